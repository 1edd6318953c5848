"""How engine and worker talk: MessagePack arrays over a Unix socket pair, gathered before they are sent.

Engine to worker: [verb, argument, ...]. Worker to engine: ["pairs", ports], ["reply", number, value],
["hello", webrtc port, fingerprint], ["pong"] and the events ["digit", leg, key], ["connected", leg],
["disconnected", leg], ["silent", leg], ["audible", leg].
"""

import socket
from collections.abc import Iterator
from typing import Any

import msgpack

RECEIVE_BYTES = 65536
UNSENT_BYTES_MAX = 16 << 20  # more than this unread means that the other side hangs

Message = list[Any]


class Closed(Exception):
    """The other side has closed its end, died, or stopped reading."""


class Channel:
    """One end. It never waits: what the kernel does not take is kept for flush()."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.socket = end
        self._packer = msgpack.Packer()
        self._unpacker = msgpack.Unpacker(strict_map_key=False)
        self._unsent = bytearray()

    def put(self, *message: Any) -> None:
        self._unsent += self._packer.pack(message)

    def flush(self) -> bool:
        """Send what was put. True: all of it is sent. Raises Closed."""
        try:
            while self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]
        except BlockingIOError:
            if len(self._unsent) > UNSENT_BYTES_MAX:
                raise Closed from None
            return False
        except OSError as error:
            raise Closed from error
        return True

    def receive(self) -> Iterator[Message]:
        """The messages that have arrived. Raises Closed."""
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise Closed from error
        if not data:
            raise Closed
        self._unpacker.feed(data)
        yield from self._unpacker
