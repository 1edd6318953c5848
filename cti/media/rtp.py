"""A leg's two directions: what is heard from a party, and the single line of packets that party hears.

The line keeps one SSRC and an unbroken sequence for as long as the leg lives, whoever is heard on it: the
peer, music, another peer after a transfer. Each change of source moves the offsets and sets the marker bit.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cti.media.g711 import ALAW_TO_ULAW, SAMPLES_PER_PACKET, SAMPLES_PER_SECOND, ULAW_TO_ALAW
from cti.media.packet import HEADER, PACKET, PAYLOAD, flatten, pack_header, unpack_header

DROPOUT_MAX = 3000  # RFC 3550 appendix A.1: a greater jump is another source
MISORDER_MAX = 100
PACKET_SECONDS = SAMPLES_PER_PACKET / SAMPLES_PER_SECOND

# 16 digits and the events that carry them, RFC 4733 section 3.2
DIGITS = "0123456789*#ABCD"


@dataclass(frozen=True, slots=True)
class Format:
    """What was agreed for a leg: payload types and laws ("PCMA" or "PCMU")."""

    payload_type: int  # what we send
    law: str
    accepted: dict[int, str]  # what we take: payload type -> law
    digits_in: int | None  # payload type of telephone-event from the party
    digits_out: int | None  # and to it


class Tap(Protocol):
    """Somebody who keeps what a leg says, in mu-law."""

    def put(self, timestamp: int, payload: bytes, now: float) -> None: ...


class Leg:
    """The part of a leg that does not care how its packets travel."""

    __slots__ = (
        "_digit_timestamp",
        "_fresh",
        "_jitter",
        "_routes",
        "_sequence_offset",
        "_timestamp_offset",
        "_transit",
        "audible",
        "connected",
        "dialing",
        "ear",
        "event",
        "expected",
        "format",
        "heard_at",
        "hears",
        "hidden",
        "muted",
        "name",
        "octets_out",
        "packets_expected",
        "packets_in",
        "packets_out",
        "peer",
        "player",
        "sends",
        "sent_at",
        "sequence",
        "sequence_in",
        "sink",
        "ssrc",
        "ssrc_in",
        "tap",
        "timestamp",
        "timestamp_in",
    )

    def __init__(self, name: str, event: Callable[..., None], now: float) -> None:
        self.name = name
        self.event = event
        self.hidden = False  # an internal link: nobody is told of it
        self.format = Format(8, "PCMA", {}, None, None)
        self.connected = False

        self.peer: Leg | None = None
        self.player: object | None = None
        self.dialing: object | None = None
        self.muted = False
        self.hears = True  # the party wants packets (not: it put us on hold)
        self.sends = True  # the party said it would send some
        self.tap: Tap | None = None  # hears the party while a peer does
        self.ear: Tap | None = None  # hears it always
        self.sink: Callable[[int, int, int, int, float], None] | None = None

        self.ssrc_in = -1
        self.sequence_in = 0
        self.timestamp_in = 0
        self.packets_in = 0
        self.packets_expected = 0
        self.heard_at = now
        self.audible = True
        self.expected = now  # since when somebody listens for this leg
        self._transit = 0
        self._jitter = 0.0
        self._digit_timestamp = -1

        self.ssrc = random.getrandbits(32)
        self.sequence = random.getrandbits(15)  # below 2**15: no guessing of the roll-over, RFC 3711 3.3.1
        self.timestamp = random.getrandbits(32)
        self.sent_at = now
        self.packets_out = 0
        self.octets_out = 0
        self._fresh = True
        self._sequence_offset = 0
        self._timestamp_offset = 0
        self._routes: dict[int, tuple[int, bytes | None]] = {}

    # -- from the party ------------------------------------------------------------------------------

    def hear(self, size: int, now: float) -> None:
        """Take the RTP packet in the buffer, said by this leg's party."""
        first, second, sequence, timestamp, ssrc = unpack_header(PACKET)
        if first != 0x80:
            size = flatten(size)
            if not size:
                return
        ahead = (sequence - self.sequence_in) & 0xFFFF
        if ssrc != self.ssrc_in or DROPOUT_MAX < ahead < 0x10000 - MISORDER_MAX:
            self._new_source(ssrc, sequence, timestamp, now)
        elif ahead <= DROPOUT_MAX:
            self.sequence_in = sequence
            self.timestamp_in = timestamp
            self.packets_expected += ahead
        self.packets_in += 1
        self.heard_at = now

        transit = (int(now * SAMPLES_PER_SECOND) - timestamp) & 0xFFFFFFFF
        change = transit - self._transit
        self._transit = transit
        self._jitter += ((change if change >= 0 else -change) - self._jitter) / 16  # RFC 3550 section 6.4.1

        sink = self.sink
        payload_type = second & 0x7F
        if self.ear is not None:
            law = self.format.accepted.get(payload_type)
            if law is not None:
                payload = bytes(PAYLOAD[size])
                self.ear.put(timestamp, payload if law == "PCMU" else payload.translate(ALAW_TO_ULAW), now)
        if payload_type == self.format.digits_in:
            self._digit(size, timestamp)
        elif sink is not None and self.tap is not None:
            law = self.format.accepted.get(payload_type)
            if law is not None:
                payload = bytes(PAYLOAD[size])
                self.tap.put(timestamp, payload if law == "PCMU" else payload.translate(ALAW_TO_ULAW), now)
        if sink is not None:
            sink(second, sequence, timestamp, size, now)

    def _new_source(self, ssrc: int, sequence: int, timestamp: int, now: float) -> None:
        self.ssrc_in = ssrc
        self.sequence_in = sequence
        self.timestamp_in = timestamp
        self.packets_expected += 1
        self._transit = (int(now * SAMPLES_PER_SECOND) - timestamp) & 0xFFFFFFFF
        self._digit_timestamp = -1
        if self.peer is not None:
            self.peer._fresh = True

    def _digit(self, size: int, timestamp: int) -> None:
        if timestamp != self._digit_timestamp and size >= HEADER + 4 and PACKET[HEADER] < len(DIGITS):
            self._digit_timestamp = timestamp  # one press has one timestamp, RFC 4733 section 2.2.1
            if not self.hidden:
                self.event("digit", self.name, DIGITS[PACKET[HEADER]])

    # -- to the party --------------------------------------------------------------------------------

    def forward(self, second: int, sequence: int, timestamp: int, size: int, now: float) -> None:
        """Send the packet in the buffer, said by the peer, on this leg's own line."""
        route = self._routes.get(second & 0x7F)
        if route is None:
            return
        payload_type, table = route
        if table is not None:
            PAYLOAD[size][:] = bytes(PAYLOAD[size]).translate(table)
        if self._fresh:
            self._rebase(sequence, timestamp, now)
            second = 0x80
        sequence = (sequence + self._sequence_offset) & 0xFFFF
        timestamp = (timestamp + self._timestamp_offset) & 0xFFFFFFFF
        if (sequence - self.sequence) & 0xFFFF < 0x8000:
            self.sequence = sequence
            if payload_type == self.format.payload_type:
                self.timestamp = timestamp
                self.sent_at = now
        pack_header(PACKET, 0, 0x80, second & 0x80 | payload_type, sequence, timestamp, self.ssrc)
        self.send(size)

    def say(self, payload: bytes, marker: bool, now: float) -> None:
        """Send 20 ms of audio, already in this leg's law, next on the line."""
        if marker:
            self.timestamp = self._timestamp_now(now)
        else:
            self.timestamp = (self.timestamp + SAMPLES_PER_PACKET) & 0xFFFFFFFF
        self.sent_at = now
        self._put(payload, 0x80 if marker else 0, self.format.payload_type, self.timestamp)

    def begin_event(self, now: float) -> int:
        """The timestamp of a press that begins now."""
        self.timestamp = self._timestamp_now(now)
        self.sent_at = now
        return self.timestamp

    def say_event(self, payload: bytes, marker: bool, timestamp: int) -> None:
        """Send one telephone-event packet, next on the line, under the timestamp of its press."""
        assert self.format.digits_out is not None
        self._put(payload, 0x80 if marker else 0, self.format.digits_out, timestamp)

    def _put(self, payload: bytes, marker: int, payload_type: int, timestamp: int) -> None:
        self.sequence = (self.sequence + 1) & 0xFFFF
        size = HEADER + len(payload)
        PACKET[HEADER:size] = payload
        pack_header(PACKET, 0, 0x80, marker | payload_type, self.sequence, timestamp, self.ssrc)
        self.send(size)

    def send(self, size: int) -> None:
        """Send the packet in the buffer to the party, or drop it when there is nowhere to send it."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def watch(self, now: float) -> None:
        """Look after the connection, once a second."""

    def report(self, now: float) -> None:
        """Send an RTCP report."""
        raise NotImplementedError

    def _rebase(self, sequence: int, timestamp: int, now: float) -> None:
        self._fresh = False
        self._sequence_offset = (self.sequence + 1 - sequence) & 0xFFFF
        self._timestamp_offset = (self._timestamp_now(now) - timestamp) & 0xFFFFFFFF

    def _timestamp_now(self, now: float) -> int:
        """Where the line's clock stands: it runs on while nobody is heard."""
        packets = max(1, round((now - self.sent_at) / PACKET_SECONDS))
        return (self.timestamp + packets * SAMPLES_PER_PACKET) & 0xFFFFFFFF

    # -- who is heard --------------------------------------------------------------------------------

    def wire(self) -> None:
        """Point the peer at this leg, or at nobody. To be called after each change of what decides it."""
        source = self.peer
        if source is None:
            return
        if self.player is None and self.dialing is None and self.hears and not source.muted:
            self._fresh = True
            self._routes = routes(source.format, self.format)
            source.sink = self.forward
        else:
            source.sink = None

    @property
    def jitter_ms(self) -> float:
        return self._jitter * 1000 / SAMPLES_PER_SECOND

    @property
    def jitter(self) -> int:
        return int(self._jitter)


def routes(source: Format, sink: Format) -> dict[int, tuple[int, bytes | None]]:
    """From each payload type of one leg to the other's, with the table between the laws if they differ."""
    found: dict[int, tuple[int, bytes | None]] = {}
    for payload_type, law in source.accepted.items():
        table = None if law == sink.law else ULAW_TO_ALAW if law == "PCMU" else ALAW_TO_ULAW
        found[payload_type] = (sink.payload_type, table)
    if source.digits_in is not None and sink.digits_out is not None:
        found[source.digits_in] = (sink.digits_out, None)
    return found


def bridge(a: Leg, b: Leg, now: float) -> None:
    """Let two legs hear each other. Whom they heard before hears nothing now."""
    if a.peer is not b:
        unbridge(a)
        unbridge(b)
        a.peer, b.peer = b, a
        for leg in (a, b):
            leg.expected = now
            leg.audible = True
    a.wire()
    b.wire()


def unbridge(leg: Leg) -> None:
    other = leg.peer
    if other is not None:
        leg.peer = other.peer = None
        leg.sink = other.sink = None
