"""Spoilt packets: whatever happens to a message on its way, it is understood or refused, and nothing else."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cti.sip.digest import Account, Challenger, Throttle, ha1
from cti.sip.flow import Flow
from cti.sip.message import PING, BadMessage, Request, StreamFramer, parse, validate
from cti.sip.registrar import Registrar
from cti.sip.sdp import NotAcceptable, answer, in_body
from cti.sip.uri import Uri

PACKETS = [file.read_bytes() for file in sorted((Path(__file__).parents[1] / "packets").rglob("*.sip"))]
PIECES = [
    b"\r\n", b"\n", b"\r", b"\r\n ", b"\r\n\r\n", b" ", b"\t", b"\0", b"\xff", b"\xc3", b'"', b"\\", b"<",
    b">", b";", b",", b":", b"=", b"@", b"%", b"%00", b"%AA", b"*", b"[", b"]", b"?", b"&", b"-1",
    b"4294967296", b"9" * 30, b"A" * 500, b"sip:", b"tel:", b"SIP/2.0", b"SIP/3.0", b"Content-Length: 3\r\n",
    b"l:0\r\n", b"Via:", b"Contact: *\r\n", b"Route: <sip:a;lr>\r\n", b"Digest ", b";tag=x", b";branch=",
    b"\xef\xbb\xbf",
]  # fmt: skip


@st.composite
def spoilt(draw):
    packet = draw(st.sampled_from(PACKETS))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(packet)))
        size = draw(st.integers(0, 12) | st.integers(0, 200))
        match draw(st.integers(0, 3)):
            case 0:
                packet = packet[:at] + draw(st.sampled_from(PIECES)) + packet[at:]
            case 1:
                packet = packet[:at] + packet[at + size :]
            case 2:
                packet = packet[:at] + packet[at : at + size] * 2 + packet[at + size :]
            case 3:
                packet = packet[:at] + draw(st.binary(min_size=1, max_size=3)) + packet[at + 1 :]
    return packet


@settings(max_examples=1500)
@given(spoilt())
def test_a_spoilt_packet_is_understood_or_refused(packet):
    try:
        message = parse(packet)
        validate(message)
    except BadMessage as bad:
        if isinstance(bad.message, Request) and bad.message.answerable:
            assert parse(bad.message.response(bad.status, to_tag="t").encode()).status == bad.status
        return
    assert parse(message.encode()) == message
    assert message.via.host and message.call_id and message.cseq.method
    for address in (message.from_, message.to, message.contact):
        assert address is None or Uri.parse(str(address.uri)) == address.uri
    if isinstance(message, Request):
        ringing = parse(message.response(180, to_tag="t").encode())
        assert (ringing.via, ringing.call_id, ringing.cseq) == (message.via, message.call_id, message.cseq)
        assert ringing.to.tag == message.to.tag or ringing.to.tag == "t"


@settings(max_examples=500)
@given(spoilt())
def test_the_audio_in_a_spoilt_packet_is_agreed_or_refused(packet):
    body = packet.partition(b"\r\n\r\n")[2]
    text = in_body("application/sdp", body)
    if text is not None:
        try:
            answered = answer(text, "127.0.0.1", 5000)
        except NotAcceptable:
            return
        assert answered.codec.name in ("PCMA", "PCMU")


@settings(max_examples=500)
@given(spoilt(), st.integers(1, 50))
def test_a_stream_frames_what_a_datagram_would_hold(packet, size):
    framer, framed = StreamFramer(), []
    try:
        for at in range(0, len(packet), size):
            framed += framer.feed(packet[at : at + size])
    except BadMessage:
        return
    for data in framed:
        try:
            head, _, body = data.partition(b"\r\n\r\n")
            assert data == PING or parse(data).body == body, head
        except BadMessage:
            continue


@settings(max_examples=500)
@given(spoilt())
def test_the_registrar_answers_every_request_it_is_given(packet):
    account = Account("1001", ha1("1001", "ramal", "secret"))
    challenger = Challenger("ramal", lambda: "0123456789abcdef")
    registrar = Registrar(lambda user: account, challenger, Throttle(3, 60))
    try:
        request = parse(packet)
        validate(request)
    except BadMessage:
        return
    if isinstance(request, Request):
        response, _ = registrar.register(request, Flow("UDP", "192.0.2.1", 5060), 0.0)
        assert parse(response.encode()).status in (400, 401, 403)
        assert registrar.events() == []
