"""The RTP of one simulated customer's call."""

import asyncio
import contextlib
import secrets
import socket
import struct
from collections import deque

import numpy as np

from cti.customers.sounds import PACKET, RATE, SILENCE, Samples, Sound
from cti.media import g711

PACKET_SECONDS = PACKET / RATE
HEARD_PACKETS_MAX = 3000  # a minute
DIGITS = "0123456789*#ABCD"


class Talk:
    """The RTP of one call on a port of its own: says a Sound every 20 ms and remembers what it hears."""

    def __init__(self, host: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.setblocking(False)
        self.host, self.port = self._socket.getsockname()
        self.heard: deque[tuple[float, Samples]] = deque(maxlen=HEARD_PACKETS_MAX)  # (loop time, 20 ms)
        self.digits = ""
        self.packets_in = 0
        self.packets_out = 0
        self.ssrcs: set[int] = set()
        self.sources: set[tuple[str, int]] = set()
        self._peer: tuple[str, int] | None = None
        self._payload, self._ulaw, self._event_payload = 8, False, 101
        self._sound, self._position = SILENCE, 0
        self._ssrc, self._sequence = secrets.randbits(32), secrets.randbits(15)
        self._timestamp = secrets.randbits(31)
        self._last_digit = -1
        self._to_dial: deque[str] = deque()
        self._sending: asyncio.Task[None] | None = None

    def connect(self, host: str, port: int, payload: int, ulaw: bool, event_payload: int | None) -> None:
        """Send there, with this payload type, from now on; a port of 0 sends nothing."""
        self._peer = (host, port) if port else None
        self._payload, self._ulaw = payload, ulaw
        self._event_payload = 101 if event_payload is None else event_payload
        if self._sending is None:
            loop = asyncio.get_running_loop()
            loop.add_reader(self._socket, self._receive)
            self._sending = loop.create_task(self._send())

    def say(self, sound: Sound) -> None:
        self._sound, self._position = sound, 0

    def dial(self, digits: str) -> None:
        """Send digits as RFC 4733 events, 100 ms each, one after another."""
        self._to_dial.extend(digits)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            if self._sending is not None:
                self._sending.cancel()
                asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()

    def now(self) -> float:
        """The loop time `heard` is written in."""
        return asyncio.get_running_loop().time()

    def recent(self, seconds: float, until: float | None = None) -> Samples:
        """What was heard in the last seconds (before the loop time `until`); gaps count as silence."""
        end = self.now() if until is None else until
        parts = [samples for at, samples in self.heard if end - seconds < at <= end]
        missing = max(0, int(seconds * RATE) - sum(map(len, parts)))
        return np.concatenate([*parts, np.zeros(missing, np.int16)])

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        digit, event_packets = "", 0
        while True:
            due = max(due + PACKET_SECONDS, loop.time() - 1)
            await asyncio.sleep(due - loop.time())
            if not digit and self._to_dial:
                digit, event_packets = self._to_dial.popleft(), 0
            if digit:
                self._send_event(digit, event_packets)
                event_packets += 1
                if event_packets == 10:  # five while pressed, three ends, two of rest
                    digit = ""
            else:
                samples = self._sound.at(self._position)
                payload = g711.pcm_to_ulaw(samples) if self._ulaw else g711.pcm_to_alaw(samples)
                self._packet(self._payload, payload, self._timestamp)
            self._position += PACKET
            self._timestamp = (self._timestamp + PACKET) & 0xFFFFFFFF

    def _send_event(self, digit: str, number: int) -> None:
        if number < 8:
            begun = (self._timestamp - number * PACKET) & 0xFFFFFFFF
            end = 0x80 if number >= 5 else 0
            length = min(number + 1, 6) * PACKET
            event = struct.pack("!BBH", DIGITS.index(digit), end | 10, length)
            self._packet(self._event_payload, event, begun, marker=number == 0)

    def _packet(self, payload_type: int, payload: bytes, timestamp: int, marker: bool = False) -> None:
        if self._peer is not None:
            header = struct.pack(
                "!BBHII", 0x80, payload_type | marker << 7, self._sequence, timestamp, self._ssrc
            )
            self._sequence = (self._sequence + 1) & 0xFFFF
            with contextlib.suppress(OSError):  # the peer's port may be gone a moment before its BYE arrives
                self._socket.sendto(header + payload, self._peer)
                self.packets_out += 1

    def _receive(self) -> None:
        now = asyncio.get_running_loop().time()
        while True:
            try:
                packet, source = self._socket.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier packet
            if len(packet) > 12 and packet[0] >> 6 == 2:
                self.sources.add(source)
                self.ssrcs.add(struct.unpack_from("!I", packet, 8)[0])
                self._hear(packet, now)

    def _hear(self, packet: bytes, now: float) -> None:
        payload_type, body = packet[1] & 0x7F, packet[12 + 4 * (packet[0] & 0x0F) :]
        self.packets_in += 1
        if payload_type == 0:
            self.heard.append((now, g711.ulaw_to_pcm(body)))
        elif payload_type == 8:
            self.heard.append((now, g711.alaw_to_pcm(body)))
        elif len(body) >= 4 and body[0] < len(DIGITS):
            begun = struct.unpack_from("!I", packet, 4)[0]
            if begun != self._last_digit:
                self.digits += DIGITS[body[0]]
            self._last_digit = begun
