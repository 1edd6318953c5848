"""Framing: what is accepted, what is refused, and when."""

import struct

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.toolbar.frames import NESTING_MAX, BadFrame, Decoder, Encoder, decode, encode

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text()
    | st.floats(allow_nan=False).filter(lambda x: abs(x) != float("inf")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MESSAGE = st.dictionaries(st.text(), PLAIN, max_size=5)


def raw(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@given(st.lists(MESSAGE, max_size=4), st.data())
def test_messages_arrive_whole_and_in_order_however_the_bytes_are_cut(messages, data):
    stream = b"".join(map(encode, messages))
    decoder, got = Decoder(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        decoder.receive(stream[:cut])
        stream = stream[cut:]
        while (message := decoder.next()) is not None:
            got.append(message)
    assert got == messages
    assert decoder.held == 0


def test_the_example_of_the_document_is_this_frame():
    assert (
        encode({"id": 1, "verb": "Ping"}).hex(" ")
        == "00 00 00 0f 82 a2 69 64 01 a4 76 65 72 62 a4 50 69 6e 67"
    )


def test_a_long_frame_is_refused_before_its_body_comes():
    decoder = Decoder(bytes_max=10)
    decoder.receive(struct.pack(">I", 11))
    with pytest.raises(BadFrame, match="11 bytes"):
        decoder.next()


def test_a_frame_as_long_as_allowed_is_accepted():
    frame = encode({"a": "x" * 5})
    decoder = Decoder(bytes_max=len(frame) - 4)
    decoder.receive(frame)
    assert decoder.next() == {"a": "xxxxx"}


def test_what_came_before_a_bad_frame_is_still_given():
    decoder = Decoder()
    decoder.receive(encode({"id": 1}) + raw(b"\xc1"))
    assert decoder.next() == {"id": 1}
    with pytest.raises(BadFrame):
        decoder.next()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"GET / HTTP/1.1",
        msgpack.packb([1, 2]),
        msgpack.packb(7),
        msgpack.packb(None),
        msgpack.packb({1: 2}),
        msgpack.packb({b"id": 2}),
        msgpack.packb({"id": b"bytes"}),
        msgpack.packb({"id": float("nan")}),
        msgpack.packb({"id": 2**60}),
        msgpack.packb({"id": msgpack.ExtType(5, b"x")}),
        msgpack.packb({"id": msgpack.Timestamp(1, 0)}),
        msgpack.packb({"id": 1}) + b"\x00",
        msgpack.packb({"id": 1})[:-1],
        b"\x81\xa2id\xa2\xff\xfe",
        b"\x81\xa2id\xdd\xff\xff\xff\xff",
        b"\x81\xa1a" * 5000 + b"\xc0",
        b"\x91" * 100_000 + b"\xc0",
    ],
    ids=lambda body: body[:12].hex() or "empty",
)
def test_anything_but_a_map_of_plain_values_is_a_bad_frame(body):
    with pytest.raises(BadFrame):
        decode(body)


@given(st.binary(max_size=60))
def test_no_bytes_do_more_than_make_a_bad_frame(body):
    try:
        assert isinstance(decode(body), dict)
    except BadFrame:
        pass


def test_nesting_has_a_bound():
    def nested(levels: int):
        value = None
        for _ in range(levels):
            value = {"a": value}
        return value

    assert decode(msgpack.packb(nested(NESTING_MAX)))
    with pytest.raises(BadFrame, match="nested"):
        decode(msgpack.packb(nested(NESTING_MAX + 1)))


def test_a_message_for_many_readers_is_encoded_once():
    encoder, message = Encoder(), {"event": "Held", "seq": 7}
    first = encoder.encode(message)
    assert encoder.encode(message) is first
    assert first == encode(message)
    assert encoder.encode({"event": "Held", "seq": 8}) != first
