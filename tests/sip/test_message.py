"""Messages: headers by any name, typed values, responses, framing, and no other error than BadMessage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.sip.headers import Address, BadHeader, CSeq, Via, split_list
from cti.sip.message import PING, BadMessage, Request, Response, StreamFramer, parse, validate
from cti.sip.uri import Uri

TOKEN = st.text("ABCxyz019-.!%*_+`'~", min_size=1, max_size=10)
LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30).map(
    lambda text: text.strip(" \t")
)
HEADERS = st.lists(st.tuples(st.sampled_from(["Via", "v", "From", "Contact", "X-Odd"]) | TOKEN, LINE)).map(
    lambda headers: [(n, v) for n, v in headers if n.lower() not in ("l", "content-length")]
)
URIS = st.sampled_from(["sip:1001@127.0.0.1", "tel:+5511987654321", "sip:[::1]:5060;lr", "urn:service:sos"])
REQUESTS = st.builds(Request, TOKEN, URIS, HEADERS, st.binary(max_size=50))
RESPONSES = st.builds(Response, st.integers(100, 699), LINE, HEADERS, st.binary(max_size=50))


def invite(**changed: str | None) -> bytes:
    headers: dict[str, str | None] = {
        "Via": "SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1;rport",
        "From": '"Ana" <sip:1001@127.0.0.1>;tag=a',
        "To": "<sip:4000@127.0.0.1>",
        "Call-ID": "1@192.0.2.1",
        "CSeq": "1 INVITE",
        "Contact": "<sip:1001@192.0.2.1:5070>",
        "Content-Length": "4",
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join(["INVITE sip:4000@127.0.0.1 SIP/2.0", *lines, "", "body"]).encode()


def read(data: bytes) -> Request:
    message = parse(data)
    validate(message)
    assert isinstance(message, Request)
    return message


@given(REQUESTS | RESPONSES)
def test_a_written_message_reads_back_the_same(message):
    assert parse(message.encode()) == message


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_bad_message(data):
    with_start = b"INVITE sip:a@b SIP/2.0\r\n" + data + b"\r\n\r\n"
    for packet in (data, with_start, b"SIP/2.0 200 OK\r\n" + data + b"\r\n\r\n"):
        try:
            validate(parse(packet))
        except BadMessage as bad:
            if isinstance(bad.message, Request) and bad.message.answerable:
                parse(bad.message.response(400, to_tag="t").encode())


@pytest.mark.parametrize("name", ["Call-ID", "call-id", "CALL-ID", "i", "I", "cAlL-iD"])
def test_a_header_is_found_by_any_spelling_of_its_name(name):
    message = Request("OPTIONS", "sip:a@b", [("i", "one")])
    assert message.get(name) == "one"
    assert message.set(name, "two").get_all("Call-ID") == ["two"]
    assert message.remove(name).get("i") is None


def test_names_are_written_as_in_their_rfc():
    headers = [("i", "1"), ("cseq", "1 A"), ("x-my-header", "1"), ("www-authenticate", "x")]
    assert parse(Request("A", "sip:a@b", headers).encode()).encode() == (
        b"A sip:a@b SIP/2.0\r\nCall-ID: 1\r\nCSeq: 1 A\r\nX-My-Header: 1\r\nWWW-Authenticate: x\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


def test_set_replaces_all_lines_where_the_first_one_stood():
    message = Request("A", "sip:a@b", [("Route", "1"), ("To", "x"), ("Route", "2")])
    assert message.set("route", "3").headers == [("route", "3"), ("to", "x")]
    assert message.prepend("Via", "v").add("Route", "4").headers == [
        ("via", "v"),
        ("route", "3"),
        ("to", "x"),
        ("route", "4"),
    ]


def test_a_change_forgets_what_was_parsed():
    message = read(invite())
    assert message.to.tag is None
    message.set("To", "<sip:4000@127.0.0.1>;tag=b")
    assert message.to.tag == "b"


def test_typed_values_are_read():
    message = read(invite())
    assert (message.via.transport, message.via.host, message.via.port) == ("UDP", "192.0.2.1", 5070)
    assert (message.via.branch, message.via.received, message.via.rport) == ("z9hG4bK1", None, None)
    assert message.via.wants_rport
    assert (message.from_.display, message.from_.uri.user, message.from_.tag) == ("Ana", "1001", "a")
    assert message.contact is not None and message.contact.uri == Uri("sip", "1001", "192.0.2.1", 5070)
    assert (message.cseq, message.call_id, message.max_forwards) == ((1, "INVITE"), "1@192.0.2.1", 70)


def test_via_is_written_with_received_and_rport_filled_in():
    via = read(invite()).via.with_params(received="192.0.2.9", rport="40000")
    assert str(via) == "SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1;rport=40000;received=192.0.2.9"
    assert (Via.parse(str(via)), via.rport) == (via, 40000)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("60", 60),
        ("0", 0),
        ("4294967296", 4294967295),
        ("9" * 400, 4294967295),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("²", None),
    ],
)
def test_expires_is_seconds_or_nothing(value, seconds):
    assert Request("REGISTER", "sip:a", [("Expires", value)]).expires == seconds


def test_a_response_goes_back_the_way_the_request_came():
    request = read(invite(Record_Route="<sip:p;lr>, <sip:q;lr>", Timestamp="54"))
    request.add("Via", "SIP/2.0/TCP second")
    trying = request.response(100)
    assert (trying.get_all("via"), trying.get("timestamp"), trying.to.tag) == (
        request.get_all("via"),
        "54",
        None,
    )
    ringing = request.response(180, to_tag="mine", headers=[("Contact", "<sip:us>")])
    assert ringing.start_line == "SIP/2.0 180 Ringing"
    assert ringing.to.tag == "mine"
    assert ringing.route_set == ["<sip:q;lr>", "<sip:p;lr>"]
    assert request.route_set == ["<sip:p;lr>", "<sip:q;lr>"]
    assert ringing.contact == Address("", "sip:us")
    assert request.response(486, to_tag="mine").get("record-route") is None


def test_a_request_that_says_things_twice_is_answered_once():
    with pytest.raises(BadMessage) as refused:
        read(invite(t="<sip:second@127.0.0.1>", i="second"))
    response = refused.value.message.response(400, to_tag="mine")
    validate(response)
    assert (response.to.uri.user, response.call_id) == ("4000", "1@192.0.2.1")


def test_a_tag_that_is_there_stays():
    request = read(invite(To='"a;tag=no" <sip:4000@127.0.0.1>;tag=first'))
    assert request.response(200, to_tag="second").to.tag == "first"
    request = read(invite(To='"a;tag=no" <sip:4000@127.0.0.1;tag=uri>'))
    assert request.response(200, to_tag="second").to.tag == "second"


def test_a_value_with_a_line_break_is_never_sent():
    for value in ("a\r\nX-Smuggled: yes", "a\nb", "a\rb"):
        with pytest.raises(ValueError):
            Request("A", "sip:a@b", [("Subject", value)]).encode()
        with pytest.raises(ValueError):
            Response(200, value).encode()


def test_the_body_is_cut_at_content_length_and_never_made_up():
    assert read(invite(Content_Length="2")).body == b"bo"
    assert read(invite(Content_Length=None)).body == b"body"
    with pytest.raises(BadMessage) as refused:
        parse(invite(Content_Length="5"))
    assert refused.value.status == 400
    assert refused.value.message.response(400).via.branch == "z9hG4bK1"


def test_lists_split_at_commas_outside_quotes_and_brackets():
    assert split_list('a, "b, c" <sip:x,y>;z="1,2" ,, <sip:q?a=1,2>,') == [
        "a",
        '"b, c" <sip:x,y>;z="1,2"',
        "<sip:q?a=1,2>",
    ]
    assert read(invite(Supported="100rel, Timer")).add("k", "PATH").tokens("supported") == [
        "100rel",
        "timer",
        "path",
    ]
    for text in ('a, "b', "a, <b"):
        with pytest.raises(BadHeader):
            split_list(text)


DISPLAYS = st.text(st.characters(codec="utf-8"), max_size=12)


@given(DISPLAYS, URIS, st.dictionaries(TOKEN.map(str.lower), st.none() | DISPLAYS.filter(bool), max_size=3))
def test_a_written_address_reads_back_the_same(display, uri, params):
    assert Address.parse(str(Address(display, uri, params))) == Address(display, uri, params)


@given(st.text(max_size=40) | st.text('<>";=, \\sip:@SIP/2.0UDP', max_size=40))
def test_any_text_is_a_header_value_or_a_bad_header(text):
    for read_value in (Via.parse, CSeq.parse, Address.parse, split_list):
        try:
            read_value(text)
        except BadHeader:
            continue


def test_contact_star_is_no_address():
    assert read(invite(Contact="*")).contact is None


PACKETS = [
    invite(),
    PING,
    invite(Content_Length=None, l="4"),
    invite(Content_Length="0").removesuffix(b"body"),
    PING,
    invite(Content_Length=None, L=" \r\n 4"),
]


@given(st.lists(st.integers(1, 400), max_size=60), st.sampled_from([b"", b"\r\n"]))
def test_a_stream_gives_the_same_messages_however_it_is_cut(cuts, between):
    stream = between.join(PACKETS[:1]) + between + b"".join(PACKETS[1:])
    framer, framed, at = StreamFramer(), [], 0
    for size in [*cuts, len(stream)]:
        framed += framer.feed(stream[at : at + size])
        at += size
    expected = list(PACKETS)
    if between:
        expected[1:2] = []  # CRLF CRLF CRLF: a ping and a CRLF, in whichever order it is cut
        framed.remove(PING)
    assert framed == expected


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (invite(Content_Length=None), 400),
        (invite(Content_Length="-4"), 400),
        (invite(Content_Length="70000"), 513),
        (invite(l="4"), 400),
        (b"x" * 40_000, 513),
        (b"INVITE sip:a SIP/2.0\r\nSubject: " + b"x" * 40_000 + b"\r\n\r\n", 513),
    ],
)
def test_a_stream_that_cannot_be_followed_is_given_up(data, status):
    framer = StreamFramer()
    with pytest.raises(BadMessage) as refused:
        framer.feed(data)
    assert refused.value.status == status
    with pytest.raises(BadMessage):
        framer.feed(PING)


def test_what_came_before_the_fault_is_still_heard():
    framer = StreamFramer()
    assert framer.feed(invite() + invite(Content_Length="oops")) == [invite()]
    assert framer.broken
    with pytest.raises(BadMessage) as refused:
        framer.feed(b"")
    assert isinstance(refused.value.message, Request) and refused.value.message.answerable


@given(st.lists(st.binary(max_size=60) | st.sampled_from(PACKETS), max_size=8))
def test_any_stream_is_messages_or_a_bad_message(chunks):
    framer = StreamFramer(head_max=600, body_max=100)
    try:
        for chunk in chunks:
            for data in framer.feed(chunk):
                if data != PING:
                    parse(data)
    except BadMessage:
        return
