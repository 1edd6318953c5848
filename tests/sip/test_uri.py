"""URIs: what is understood, what is refused, and that writing gives back what was read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.sip.uri import BadUri, Uri

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
names = st.text("abcdefghijklmnopqrstuvwxyz-+.", min_size=1, max_size=8)
hosts = st.sampled_from(["127.0.0.1", "[2001:db8::1]", "example.com", "u3tv6gkcuqpl.invalid", "pbx_1"])
uris = st.builds(
    Uri,
    st.sampled_from(["sip", "sips"]),
    st.none() | texts,
    hosts,
    st.none() | st.integers(0, 65535),
    st.dictionaries(names, st.none() | texts, max_size=3),
    st.dictionaries(names, texts, max_size=3),
)


def test_every_part_is_read():
    uri = Uri.parse("SIP:Bob%20B:pa%3Ass@Example.COM:5070;transport=TCP;LR?Replaces=a%40b&x=1")
    assert (uri.scheme, uri.user, uri.password, uri.host, uri.port) == (
        "sip",
        "Bob B",
        "pa:ss",
        "example.com",
        5070,
    )
    assert uri.params == {"transport": "TCP", "lr": None}
    assert uri.headers == {"replaces": "a@b", "x": "1"}
    assert uri.transport == "TCP"


def test_escaped_bytes_that_are_no_utf_8_are_written_as_they_came():
    text = "sip:%AA@host;%AB=%AC?%AD=%AE"
    assert str(Uri.parse(text)) == text


def test_a_uri_without_a_user_has_none():
    assert Uri.parse("sip:127.0.0.1").user is None
    assert Uri.parse("sip:@127.0.0.1").user == ""


def test_a_telephone_number_is_the_user():
    uri = Uri.parse("tel:+55-11-98765-4321;phone-context=example.com")
    assert (uri.user, uri.host, uri.params) == ("+55-11-98765-4321", "", {"phone-context": "example.com"})
    assert str(uri) == "tel:+55-11-98765-4321;phone-context=example.com"


def test_an_unknown_scheme_keeps_its_rest():
    uri = Uri.parse("urn:service:sos")
    assert (uri.scheme, uri.user, str(uri)) == ("urn", "service:sos", "urn:service:sos")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "bob@example.com",
        "sip:bob@",
        "sip:bob@host:70000",
        "sip:bob@host:port",
        "sip:bob@ho st",
        "sip:bob @host",
        "sip:b%4@host",
        "sip:bob@host;=x",
        "sip:bob@host;a=",
        "sip:bob@host;;lr",
        "sip:bob@host?a",
        "sip:bob@[::1",
        "sip:bob@host>",
        "sip:a@b@host",
        "tel:ana",
        "1sip:bob@host",
        "sip:joão@host",
    ],
)
def test_what_is_no_uri_is_refused(text):
    with pytest.raises(BadUri):
        Uri.parse(text)


@given(uris)
def test_a_written_uri_reads_back_the_same(uri):
    assert Uri.parse(str(uri)) == uri


@given(st.text(max_size=60) | st.text("sip:@;=?%[]0a.", max_size=40).map("sip:".__add__))
def test_any_text_is_a_uri_or_a_bad_uri(text):
    try:
        uri = Uri.parse(text)
    except BadUri:
        return
    assert Uri.parse(str(uri)) == uri
