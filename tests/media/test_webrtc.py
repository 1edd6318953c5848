"""An agent over WebRTC speaks with a customer over RTP: tones are measured at both ends."""

import asyncio
import re
import socket

import pytest
from aioice import stun

from cti.media.engine import Audible, Connected, Disconnected, Silent, UnknownLeg
from cti.sip.sdp import NotAcceptable
from tests.waiting import until


async def test_agent_and_customer_hear_each_other(engine, caller, peer):
    customer = await caller(engine, "customer", hertz=440, law="PCMU")
    agent = peer(hertz=700)
    await agent.connect(engine, "agent")
    await engine.told(Connected("agent"))
    await engine.bridge("customer", "agent")
    await customer.hears(700)
    await agent.hears(440)


async def test_a_reloaded_page_goes_on_with_the_same_customer(engine, caller, peer):
    customer = await caller(engine, "customer", hertz=440)
    agent = peer(hertz=700)
    await agent.connect(engine, "agent")
    await engine.bridge("customer", "agent")
    await customer.hears(700)
    lines = {packet[3] for packet in customer.packets}

    await agent.close()
    page = peer(hertz=900)
    await page.connect(engine, "agent")
    await customer.hears(900)
    await page.hears(440)
    assert {packet[3] for packet in customer.packets} == lines


async def test_a_browser_that_is_called_answers_our_offer(engine, caller, peer):
    customer = await caller(engine, "customer", hertz=440, law="PCMU")
    softphone = peer(hertz=700)
    await softphone.called(engine, "softphone")
    await engine.told(Connected("softphone"))
    await engine.bridge("customer", "softphone")
    await customer.hears(700)
    await softphone.hears(440)


async def test_a_browser_may_begin_before_its_answer_has_arrived(engine, caller, peer):
    """Its handshake starts when it answers; the 200 that carries the answer takes longer."""
    customer = await caller(engine, "customer", hertz=440)
    softphone = peer(hertz=700)
    answer = await softphone.called(engine, "softphone", accepts=False)
    await until(lambda: softphone.connection.iceConnectionState == "completed")
    await engine.webrtc_accept("softphone", answer)
    await engine.told(Connected("softphone"))
    await engine.bridge("customer", "softphone")
    await customer.hears(700)
    await softphone.hears(440)


async def test_hold_and_a_refresh_leave_the_connection_as_it_is(engine, caller, peer):
    customer = await caller(engine, "customer", hertz=440)
    softphone = peer(hertz=700)
    await softphone.connect(engine, "softphone")
    await engine.bridge("customer", "softphone")
    await customer.hears(700)
    offer = softphone.connection.localDescription.sdp
    first = await engine.webrtc_answer("softphone", offer)
    held = await engine.webrtc_answer("softphone", offer.replace("a=sendrecv", "a=sendonly"))
    assert "a=recvonly" in held and ice_of(held) == ice_of(first)
    resumed = await engine.webrtc_answer("softphone", offer)
    assert "a=sendrecv" in resumed and ice_of(resumed) == ice_of(first)
    refreshed = await engine.webrtc_reoffer("softphone")
    assert ice_of(refreshed) == ice_of(first)
    await engine.webrtc_accept("softphone", offer)
    await customer.hears(700)
    await softphone.hears(440)
    assert engine.events.count(Connected("softphone")) == 1


def ice_of(sdp):
    return re.findall(r"a=ice-(?:ufrag|pwd):(\S+)", sdp)


async def test_an_agent_and_a_customer_of_two_workers(make_engine, caller, peer):
    engine = await make_engine(workers=2)
    customer = await caller(engine, "customer", hertz=440)
    agent = peer(hertz=700)
    await agent.connect(engine, "agent")
    assert engine.worker_of("agent") != engine.worker_of("customer")
    await engine.bridge("agent", "customer")
    await customer.hears(700)
    await agent.hears(440)
    await engine.play("agent", "busy")
    await agent.hears(425)
    await engine.stop_playing("agent")
    await agent.hears(440)


async def test_a_page_that_says_goodbye_is_disconnected_at_once_and_may_come_back(engine, caller, peer):
    customer = await caller(engine, "customer", hertz=440)
    agent = peer(hertz=700)
    await agent.connect(engine, "agent")
    await engine.bridge("customer", "agent")
    await customer.hears(700)
    await agent.close()
    await engine.told(Disconnected("agent"))
    await engine.told(Silent("agent"))
    page = peer(hertz=900)
    await page.connect(engine, "agent")
    await engine.told(Audible("agent"))
    await customer.hears(900)


async def test_a_page_that_vanishes_is_silent_soon_and_disconnected_after_its_consent(engine, caller, peer):
    customer = await caller(engine, "customer", hertz=440)
    agent = peer(hertz=700)
    await agent.connect(engine, "agent")
    await engine.bridge("customer", "agent")
    await customer.hears(700)
    agent.vanish()
    await engine.told(Silent("agent"))
    assert Disconnected("agent") not in engine.events
    await engine.told(Disconnected("agent"))
    assert not (await engine.stats("agent")).connected


async def test_ten_agents_log_in_at_once(engine, peer):
    agents = [peer(hertz=700) for _ in range(10)]
    await asyncio.gather(*(agent.connect(engine, f"agent {n}") for n, agent in enumerate(agents)))
    for number in range(10):
        await engine.told(Connected(f"agent {number}"))


async def test_a_check_without_the_password_is_not_answered(engine):
    answer = await engine.webrtc_answer("agent", OFFER)
    port, ufrag, password = (
        re.search(pattern, answer)[1]
        for pattern in (r"m=audio (\d+)", r"a=ice-ufrag:(\S+)", r"a=ice-pwd:(\S+)")
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as browser:
        browser.setblocking(False)
        browser.connect(("127.0.0.1", int(port)))

        def check(name, key):
            request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
            request.attributes["USERNAME"] = f"{name}:theirs"
            request.add_message_integrity(key.encode())
            request.add_fingerprint()
            browser.send(bytes(request))
            return request.transaction_id

        def received():
            try:
                return browser.recv(2048)
            except BlockingIOError:
                return None

        for junk in (b"\0", b"\0\1\0\0" + bytes(16), b"\x16\xfe\xff" + bytes(40), b"\x80" * 40):
            browser.send(junk)
        check(ufrag, "wrong")
        check("stranger", password)
        await engine.stats("agent")  # the leg is there
        right = check(ufrag, password)
        response = stun.parse_message(await until(received))
        assert response.check_message_integrity(password.encode())
        assert response.transaction_id == right
        assert response.attributes["XOR-MAPPED-ADDRESS"] == browser.getsockname()


OFFER = (
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
    "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 AA:BB\r\n"
    "a=setup:actpass\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
    "a=sendrecv\r\na=rtcp-mux\r\n"
    "a=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\n"
    "a=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n"
)


async def test_the_answer_is_ice_lite_passive_and_refuses_video(engine):
    lines = (await engine.webrtc_answer("agent", OFFER)).split("\r\n")
    port = next(line.split()[1] for line in lines if line.startswith("m=audio"))
    for line in (
        "a=ice-lite",
        "a=group:BUNDLE 0",
        f"m=audio {port} UDP/TLS/RTP/SAVPF 8 126",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=setup:passive",
        "a=rtpmap:126 telephone-event/8000",
        f"a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host",
        "m=video 0 UDP/TLS/RTP/SAVPF 96",
    ):
        assert line in lines
    assert not any(line.startswith(("a=extmap", "a=ssrc")) for line in lines)


@pytest.mark.parametrize(
    "without",
    ["a=rtcp-mux\r\n", "a=fingerprint:sha-256 AA:BB\r\n", "UDP/TLS/", " 0 8 13", "v=0\r\n"],
)
async def test_an_offer_that_cannot_be_served_is_not_acceptable(engine, without):
    with pytest.raises(NotAcceptable):
        await engine.webrtc_answer("agent", OFFER.replace(without, ""))
    with pytest.raises(UnknownLeg):
        await engine.stats("agent")
