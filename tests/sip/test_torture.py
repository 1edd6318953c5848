"""Each packet of tests/packets: the valid are understood, the invalid get the answer their name says."""

from pathlib import Path

import pytest

from cti.sip.message import BadMessage, Request, Response, parse, validate

PACKETS = Path(__file__).parents[1] / "packets"


def packets(folder):
    files = sorted((PACKETS / folder).glob("*.sip"))
    assert len(files) > 30
    return [pytest.param(file.read_bytes(), file.stem, id=file.stem) for file in files]


def read(name):
    message = parse((PACKETS / "valid" / f"{name}.sip").read_bytes())
    validate(message)
    return message


@pytest.mark.parametrize(("data", "name"), packets("valid"))
def test_a_valid_packet_is_understood_and_written_again_the_same(data, name):
    message = parse(data)
    validate(message)
    again = parse(message.encode())
    assert again == message
    assert str(again.from_) == str(message.from_)
    assert again.via == message.via
    assert again.to.uri == message.to.uri
    if isinstance(message, Request):
        assert parse(message.response(200, to_tag="t").encode()).to.tag in ("t", message.to.tag)


@pytest.mark.parametrize(("data", "name"), packets("invalid"))
def test_an_invalid_packet_is_refused_with_what_its_name_says(data, name):
    with pytest.raises(BadMessage) as refused:
        validate(parse(data))
    bad = refused.value
    answerable = isinstance(bad.message, Request) and bad.message.answerable
    expected = name.partition("-")[0]
    assert expected == (str(bad.status) if answerable else "drop"), bad.reason
    if answerable:
        response = parse(bad.message.response(bad.status, to_tag="t").encode())
        assert isinstance(response, Response)
        assert response.via.branch == "z9hG4bKkdjuw.ab"


def test_folded_values_and_odd_spelling_mean_what_they_say():
    message = read("folded-and-compact-and-odd-case")
    assert message.from_.display == 'J Rosenberg \\"'
    assert (message.from_.tag, message.to.tag) == ("98asjd8", "1918181833n")
    assert (message.max_forwards, message.cseq) == (68, (9, "INVITE"))
    assert (message.via.transport, message.via.host, message.via.branch) == ("UDP", "192.0.2.2", "390skdjuw")
    assert message.contact.display == 'Quoted string ""'
    assert message.contact.params == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert message.get("newfangledheader") == "newfangled value continued newfangled value"
    assert message.get("subject") == ""


def test_escapes_in_uris_are_undone_once():
    message = read("escaped-characters-in-the-uri")
    assert message.to.uri.user == "user"
    assert message.from_.uri.user == "I have spaces"
    assert message.contact.uri.params == {"lr": None, "name": "value%41"}


def test_bytes_after_the_body_of_a_datagram_are_cut_off():
    assert read("octets-after-the-body").body == b""


def test_an_escaped_header_name_is_another_header():
    assert [str(c.uri.user) for c in read("percent-that-escapes-nothing").addresses("contact")] == [
        "alias1",
        "alias3",
    ]


def test_parameters_outside_brackets_belong_to_the_header_and_inside_to_the_uri():
    outside, inside = read("contact-parameter-in-and-outside-the-uri").addresses("contact")
    assert (outside.params, outside.uri.params) == ({"unknownparam": None}, {})
    assert (inside.params, inside.uri.params) == ({}, {"unknownparam": None})


def test_a_comma_in_a_quoted_name_does_not_split_the_list():
    message = read("trunk-with-identity-and-diversion")
    asserted = message.addresses("p-asserted-identity")
    assert [address.display for address in asserted] == ["Maria, filha", ""]
    assert (asserted[1].uri.scheme, asserted[1].uri.user) == ("tel", "+5511987654321")
    assert message.route_set == ["<sip:192.0.2.40;lr;ftag=9a1>", "<sip:192.0.2.41:5080;transport=udp;lr>"]
    assert message.via.host == "192.0.2.40"


def test_bytes_that_are_not_utf_8_leave_as_they_came():
    message = read("name-in-latin-1")
    assert b'From: "Jo\xe3o" <sip' in message.encode()
    assert b'From: "Jo\xe3o" <sip' in message.response(180, to_tag="t").encode()
