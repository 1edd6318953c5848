"""The shared port against whatever the network brings: spoilt checks, hellos of strangers, noise."""

import socket

import pytest
from aioice import stun
from hypothesis import given, settings
from hypothesis import strategies as st

from cti.media import dtls
from cti.media.icelite import IcePort
from cti.media.rtp import Format
from cti.media.webrtc_leg import WebRtcLeg
from tests.media.conftest import free_ports


class Reader:
    """Stands where the worker's loop does."""

    def add(self, _fd, reader):
        self.read = reader


class Site:
    """A port with one leg, and a socket that everything comes from."""

    def __init__(self):
        self.loop = Reader()
        low = free_ports(10)
        self.port = IcePort(self.loop, "127.0.0.1", low, low + 10)
        self.leg = WebRtcLeg("leg", lambda *_: None, 0.0, self.port, dtls.Identity())
        speech = Format(8, "PCMA", {8: "PCMA"}, 101, 101)
        self.leg.agree("ufrag", "password", ("sha-256", "AA"), speech, True, True)
        self.browser = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.browser.connect(("127.0.0.1", self.port.port))
        self.browser.settimeout(30)

    def bring(self, datagram):
        self.browser.send(datagram)
        self.loop.read(0.0)


@pytest.fixture(scope="module")
def site():
    site = Site()
    yield site
    site.browser.close()
    site.port._socket.close()


def check():
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    request.attributes["USERNAME"] = "ufrag:browser"
    request.attributes["PRIORITY"] = 1
    request.add_message_integrity(b"password")
    request.add_fingerprint()
    return bytes(request)


@st.composite
def spoilt(draw):
    packet = bytearray(
        draw(st.sampled_from([check(), b"\x80\x08" + bytes(170), b"\x16\xfe\xff" + bytes(60)]))
    )
    for _ in range(draw(st.integers(1, 4))):
        at, size = draw(st.integers(0, len(packet))), draw(st.integers(0, 8))
        packet[at : at + size] = draw(st.binary(max_size=8))
    return bytes(packet) or b"\0"


@settings(max_examples=500, deadline=None)
@given(spoilt())
def test_whatever_comes_is_answered_or_dropped(site, packet):
    site.bring(packet)


def test_a_check_with_an_attribute_cut_short_is_dropped_and_the_next_is_answered(site):
    cut = bytearray(check())
    at = cut.index(b"\x00\x24\x00\x04")  # PRIORITY, of four bytes
    cut[at + 2 : at + 4] = b"\x00\x00"
    del cut[at + 4 : at + 8]
    cut[2:4] = (len(cut) - 20).to_bytes(2, "big")
    site.bring(bytes(cut))
    whole = check()
    site.bring(whole)
    asked = stun.parse_message(whole).transaction_id
    while (answer := stun.parse_message(site.browser.recv(2048))).transaction_id != asked:
        pass  # to what an earlier test brought
    assert answer.message_class == stun.Class.RESPONSE and answer.check_message_integrity(b"password")
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == site.browser.getsockname()
