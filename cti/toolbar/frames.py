"""The frames of port 44900: a 4-byte big-endian length and a msgpack map. PURE.

docs/cti-protocol.md says the same for those who write a client.
"""

from __future__ import annotations

import struct
from typing import Any

import msgpack

Message = dict[str, Any]
"""What one frame holds: text keys; values are None, bool, int, float, text, lists and maps of these."""

LENGTH = struct.Struct(">I")
BYTES_MAX = 262_144
"""The longest body accepted where the settings say nothing else (frame_bytes_max)."""

NESTING_MAX = 16
INTEGER_MAX = 2**53 - 1  # the browser speaks the same messages in JSON, whose integers are exact to here


class BadFrame(Exception):
    """The peer broke the rules of framing. It is told once and dropped."""


def encode(message: Message) -> bytes:
    """One whole frame."""
    body: bytes = msgpack.packb(message)
    return LENGTH.pack(len(body)) + body


class Encoder:
    """Encodes a message once for its many readers: the bytes of the last message are kept.

    The same object is taken to be the same message, so messages are not changed after they are sent.
    """

    def __init__(self) -> None:
        self._last: Message | None = None
        self._bytes = b""

    def encode(self, message: Message) -> bytes:
        if message is not self._last:
            self._bytes = encode(message)
            self._last = message
        return self._bytes


class Decoder:
    """Bytes in as they arrive, messages out in order.

    A length above `bytes_max` is refused as soon as it is read, so a peer never makes us hold more than
    one frame and what it sent together with its end.
    """

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self._buffer = bytearray()

    def receive(self, data: bytes) -> None:
        self._buffer += data

    @property
    def held(self) -> int:
        """Bytes received and not yet taken."""
        return len(self._buffer)

    def next(self) -> Message | None:
        """The next whole message; None when more bytes are needed. Raises BadFrame."""
        if len(self._buffer) < LENGTH.size:
            return None
        (size,) = LENGTH.unpack_from(self._buffer)
        if size > self.bytes_max:
            raise BadFrame(f"a frame of {size} bytes, at most {self.bytes_max} are accepted")
        end = LENGTH.size + size
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[LENGTH.size : end])
        del self._buffer[:end]
        return decode(body)


def decode(body: bytes) -> Message:
    """The message in a frame's body. Raises BadFrame for anything but a map of plain values."""
    message = unpacked(body)
    check(message, NESTING_MAX)
    return message


def unpacked(body: bytes) -> Message:
    """The map in a frame's body, its values unchecked: enough for who trusts the other side."""
    try:
        message = msgpack.unpackb(body, raw=False, ext_hook=_no_extension)
    except BadFrame:
        raise
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as wrong:
        raise BadFrame("the frame's body is not msgpack") from wrong
    if not isinstance(message, dict):
        raise BadFrame(f"the frame's body is {type(message).__name__}, a map is expected")
    return message


def check(value: Any, depth: int) -> None:
    if value is None or isinstance(value, str | bool):
        pass
    elif isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise BadFrame("an integer of more than 53 bits")
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise BadFrame("a number which is none")
    elif depth == 0:
        raise BadFrame(f"maps and lists nested more than {NESTING_MAX} deep")
    elif isinstance(value, list):
        for item in value:
            check(item, depth - 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise BadFrame("a map's key which is not text")
            check(item, depth - 1)
    else:
        raise BadFrame(f"a value of type {type(value).__name__}")


def _no_extension(code: int, _data: bytes) -> Any:
    raise BadFrame(f"a msgpack extension (type {code}); none is used here")
