"""Offer and answer: what is agreed, what is refused, who holds whom, and SDP as real phones write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.sip.sdp import (
    BadSdp,
    Codec,
    Media,
    NotAcceptable,
    Origin,
    SessionDescription,
    agreed,
    answer,
    in_body,
    offer,
)

PCMA, PCMU = Codec(8, "PCMA"), Codec(0, "PCMU")


def sdp(*media: str, session: str = "c=IN IP4 192.0.2.4") -> str:
    lines = ["v=0", "o=- 1 1 IN IP4 192.0.2.4", "s=-", *session.split("\n"), "t=0 0", *media]
    return "\r\n".join(line for line in lines if line) + "\r\n"


def plain(*attributes: str, formats: str = "8 0") -> str:
    return sdp(f"m=audio 4000 RTP/AVP {formats}", *attributes)


def streams(text: str) -> list[tuple[str, int]]:
    return [(media.kind, media.port) for media in SessionDescription.parse(text).media]


def test_our_offer_and_our_answer_agree():
    offered = offer("192.0.2.1", 20000, "77", codecs=("PCMU", "PCMA"))
    answered = answer(offered, "192.0.2.2", 30000, session_id="5", version=3)
    assert (answered.codec, answered.telephone_event) == (PCMU, 101)
    settled = agreed(answered.sdp)
    assert (settled.codec, settled.telephone_event) == (PCMU, 101)
    assert (settled.peer.address, settled.peer.port, settled.peer.ptime) == ("192.0.2.2", 30000, 20)
    described = SessionDescription.parse(answered.sdp)
    assert (described.origin.session_id, described.origin.version) == ("5", "3")


def test_the_answer_is_three_values():
    text, codec, telephone_event = answer(plain(), "127.0.0.1", 5000)
    assert (streams(text), codec, telephone_event) == ([("audio", 5000)], PCMA, None)
    assert "telephone-event" not in text


def test_the_offerers_order_of_codecs_wins():
    assert answer(plain(formats="0 8"), "127.0.0.1", 5000).codec == PCMU
    assert answer(plain(formats="0 8"), "127.0.0.1", 5000, codecs=("PCMA",)).codec == PCMA


def test_codecs_are_known_by_name_at_whatever_number():
    text = plain("a=rtpmap:97 opus/48000/2", "a=rtpmap:98 pcma/8000", "a=rtpmap:99 Telephone-Event/8000",
                 formats="97 98 99")  # fmt: skip
    answered = answer(text, "127.0.0.1", 5000)
    assert (answered.codec, answered.telephone_event) == (Codec(98, "PCMA"), 99)
    assert "m=audio 5000 RTP/AVP 98 99" in answered.sdp


def test_digits_at_another_rate_are_not_ours():
    text = plain("a=rtpmap:96 telephone-event/48000", "a=rtpmap:101 telephone-event/8000", formats="8 96 101")
    assert answer(text, "127.0.0.1", 5000).telephone_event == 101
    assert (
        answer(plain("a=rtpmap:96 telephone-event/48000", formats="8 96"), "::1", 5).telephone_event is None
    )


def test_a_number_mapped_to_another_codec_is_that_codec():
    with pytest.raises(NotAcceptable):
        answer(plain("a=rtpmap:8 opus/48000/2", formats="8"), "127.0.0.1", 5000)


@pytest.mark.parametrize(
    "media",
    [
        ("m=audio 4000 RTP/AVP 18",),
        ("m=audio 0 RTP/AVP 8",),
        ("m=audio 4000 RTP/SAVP 8", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"),
        ("m=audio 4000 UDP/TLS/RTP/SAVPF 8",),
        ("m=audio 4000 TCP/MSRP 8",),
        ("m=video 4000 RTP/AVP 31",),
        ("m=audio 4000 RTP/AVP 300 x",),
        (),
    ],
)
def test_an_offer_without_audio_we_speak_is_refused(media):
    with pytest.raises(NotAcceptable):
        answer(sdp(*media), "127.0.0.1", 5000)
    with pytest.raises(NotAcceptable):
        agreed(sdp(*media))


def test_multicast_and_a_stream_without_an_address_are_refused():
    with pytest.raises(NotAcceptable):
        answer(sdp("m=audio 4000 RTP/AVP 8", session="c=IN IP4 224.2.1.1/127"), "127.0.0.1", 5000)
    with pytest.raises(NotAcceptable):
        answer(sdp("m=audio 4000 RTP/AVP 8", session=""), "127.0.0.1", 5000)


def test_other_streams_are_refused_in_their_place():
    text = sdp(
        "m=video 4002 RTP/AVP 31 34",
        "m=audio 4000 RTP/SAVP 8",
        "m=audio 4004 RTP/AVP 8",
        "m=audio 4006 RTP/AVP 8",
        "m=application 9 UDP/BFCP *",
        "m=image 4008 udptl t38",
    )
    answered = answer(text, "127.0.0.1", 5000)
    assert streams(answered.sdp) == [
        ("video", 0),
        ("audio", 0),
        ("audio", 5000),
        ("audio", 0),
        ("application", 0),
        ("image", 0),
    ]
    assert "m=video 0 RTP/AVP 31 34" in answered.sdp
    assert agreed(text).peer.port == 4004


@pytest.mark.parametrize(
    ("attributes", "session", "speaks", "listens", "answered"),
    [
        ((), "c=IN IP4 192.0.2.4", True, True, "sendrecv"),
        (("a=sendrecv",), "c=IN IP4 192.0.2.4", True, True, "sendrecv"),
        (("a=sendonly",), "c=IN IP4 192.0.2.4", True, False, "recvonly"),
        (("a=recvonly",), "c=IN IP4 192.0.2.4", False, True, "sendonly"),
        (("a=inactive",), "c=IN IP4 192.0.2.4", False, False, "inactive"),
        ((), "c=IN IP4 192.0.2.4\na=sendonly", True, False, "recvonly"),
        (("a=sendrecv",), "c=IN IP4 192.0.2.4\na=sendonly", True, True, "sendrecv"),
        ((), "c=IN IP4 0.0.0.0", True, False, "recvonly"),
        (("a=inactive",), "c=IN IP4 0.0.0.0", False, False, "inactive"),
        (("a=recvonly",), "c=IN IP4 0.0.0.0", False, False, "inactive"),
        (("c=IN IP4 0.0.0.0",), "c=IN IP4 192.0.2.4", True, False, "recvonly"),
    ],
)
def test_every_form_of_hold_is_understood(attributes, session, speaks, listens, answered):
    text = sdp("m=audio 4000 RTP/AVP 8", *attributes, session=session)
    audio = agreed(text).peer
    assert (audio.speaks, audio.listens) == (speaks, listens)
    assert f"a={answered}\r\n" in answer(text, "127.0.0.1", 5000).sdp


@pytest.mark.parametrize("offered", ["sendrecv", "sendonly", "recvonly", "inactive"])
@pytest.mark.parametrize("wanted", ["sendrecv", "sendonly", "recvonly", "inactive"])
def test_the_answer_never_sends_what_the_offer_does_not_want(offered, wanted):
    text = answer(plain(f"a={offered}"), "127.0.0.1", 5000, direction=wanted).sdp
    peer, ours = agreed(plain(f"a={offered}")).peer, agreed(text).peer
    assert ours.speaks == (peer.listens and wanted in ("sendrecv", "sendonly"))
    assert ours.listens == (peer.speaks and wanted in ("sendrecv", "recvonly"))


def test_ipv6_and_host_names_are_addresses():
    text = sdp("m=audio 4000 RTP/AVP 8", session="c=IN IP6 2001:db8::20")
    assert agreed(text).peer.address == "2001:db8::20"
    assert "c=IN IP6 ::1\r\n" in answer(text, "::1", 5000).sdp
    assert (
        agreed(sdp("m=audio 4000 RTP/AVP 8", session="c=IN IP4 gw.example.com")).peer.address
        == "gw.example.com"
    )


def test_the_profile_with_feedback_is_answered_in_kind():
    text = sdp("m=audio 4000 RTP/AVPF 8", "a=rtcp-fb:* trr-int 5000")
    assert "m=audio 5000 RTP/AVPF 8" in answer(text, "127.0.0.1", 5000).sdp


def test_raw_attributes_can_be_asked_for():
    audio = agreed(plain("a=rtcp:4001", "a=candidate:1 1 UDP 2130706431 192.0.2.4 4000 typ host")).peer
    assert audio.attribute("rtcp") == "4001"
    assert audio.attribute("candidate") == "1 1 UDP 2130706431 192.0.2.4 4000 typ host"
    assert audio.attribute("fingerprint") is None


def test_sdp_of_a_real_phone_with_line_feeds_alone_and_unknown_lines():
    text = (
        "v=0\no=twinkle 1 2 IN IP4 192.0.2.7\ns=-\ni=x\nu=http://x\nb=AS:84\nc=IN IP4 192.0.2.7\n"
        "t=3034423619 3042462419\nr=7d 1h 0 25h\nz=0 0\nk=clear:x\n"
        'm=audio 8000/2 RTP/AVP 98 8 101\na=rtpmap:98 speex/16000\na=fmtp:98 mode="1,any"\n'
        "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:30\n"
    )
    settled = agreed(text)
    assert (settled.codec, settled.telephone_event, settled.peer.ptime) == (PCMA, 101, 30)
    assert "t=3034423619 3042462419\r\n" in answer(text, "127.0.0.1", 5000).sdp


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "v=1\r\n",
        "v=0\r\ns=-\r\n",
        "v=0\r\no=-\r\n",
        sdp("m=audio"),
        sdp("m=audio 70000 RTP/AVP 8"),
        sdp("m=audio x RTP/AVP 8"),
        sdp("m=audio 4000 RTP/AVP"),
        sdp("c=IN IP4"),
        sdp("not a line"),
        sdp(*["m=audio 4000 RTP/AVP 8"] * 40),
        sdp("a=" + "x" * 20_000),
    ],
)
def test_what_is_no_sdp_is_refused(text):
    with pytest.raises(BadSdp):
        SessionDescription.parse(text)


WORD = st.text("abcXYZ019-_", min_size=1, max_size=8)
ADDRESS = st.sampled_from(["127.0.0.1", "2001:db8::1", "gw.example.com", "0.0.0.0"])
ATTRIBUTE = st.tuples(WORD, st.text("abc 019:/=*;,", max_size=12).map(str.strip))
MEDIA = st.builds(
    Media,
    WORD.filter(lambda word: "_" not in word).map(str.lower),
    st.integers(0, 65535),
    st.sampled_from(["RTP/AVP", "RTP/SAVPF", "UDPTL"]),
    st.lists(WORD, min_size=1, max_size=4).map(tuple),
    ADDRESS | st.just(""),
    st.lists(ATTRIBUTE, max_size=4).map(tuple),
)


@given(
    st.builds(
        SessionDescription,
        st.builds(Origin, st.integers(0).map(str), st.integers(0).map(str), ADDRESS, WORD),
        ADDRESS,
        st.lists(MEDIA, max_size=4).map(tuple),
        st.lists(ATTRIBUTE, max_size=3).map(tuple),
    )
)
def test_written_sdp_reads_back_the_same(described):
    assert SessionDescription.parse(described.encode()) == described


@given(st.binary(max_size=200), st.text("vosctma=0 INP4.RT/AVaudio:8\r\n", max_size=120))
def test_any_bytes_are_sdp_or_not_acceptable(data, text):
    for body in (data, plain().encode() + data, plain() + text):
        try:
            answered = answer(body, "127.0.0.1", 5000)
        except NotAcceptable:
            continue
        assert agreed(answered.sdp).codec == answered.codec


def test_sdp_is_found_in_a_body_and_in_a_part_of_it():
    text = plain()
    assert in_body("application/sdp", text.encode()) == text
    assert in_body("Application/SDP ; charset=utf-8", text.encode()) == text
    parts = (
        "preface\r\n--b1\r\nContent-Type: application/isup\r\n\r\n\x01\x10\r\n--b1\r\n"
        f"Content-Disposition: session\r\nContent-Type: application/sdp\r\n\r\n{text}\r\n--b1--\r\n"
    )
    assert in_body('multipart/mixed; boundary="b1"', parts.encode()) == text
    assert in_body("multipart/mixed;boundary=b1", parts.encode()) == text
    for content_type in (None, "", "text/plain", "multipart/mixed", "multipart/mixed;boundary=b2"):
        assert in_body(content_type, parts.encode()) is None
    assert in_body("application/sdp", b"") is None
