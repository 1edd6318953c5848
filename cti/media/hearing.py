"""A leg's sound on its way to whoever decides what it is: packets as they come, silence where none do."""

from collections.abc import Callable

from cti.media.detection import Decision, Listener
from cti.media.g711 import SAMPLES_PER_PACKET, SAMPLES_PER_SECOND, ULAW_SILENCE

LATE = SAMPLES_PER_SECOND * 60 // 1000  # a packet may come so late before silence takes its place
AHEAD_MAX = SAMPLES_PER_SECOND  # more sound than time has passed: the party floods us


class Hearing:
    """`decided` is called once, by put or by tick."""

    __slots__ = ("_decided", "_fed", "_listener", "_since", "number")

    def __init__(
        self, number: int, listener: Listener, now: float, decided: Callable[[Decision], None]
    ) -> None:
        self.number = number
        self._listener = listener
        self._since = now
        self._decided = decided
        self._fed = 0

    def put(self, timestamp: int, payload: bytes, now: float) -> None:
        """Take a packet in mu-law. A lost one leaves a gap that tick() fills a moment later."""
        if self._fed - self._clock(now) < AHEAD_MAX:
            self._feed(payload)

    def tick(self, now: float) -> None:
        missing = self._clock(now) - LATE - self._fed
        if missing >= SAMPLES_PER_PACKET:
            self._feed(bytes([ULAW_SILENCE]) * (missing // SAMPLES_PER_PACKET * SAMPLES_PER_PACKET))

    def _clock(self, now: float) -> int:
        return int((now - self._since) * SAMPLES_PER_SECOND)

    def _feed(self, sound: bytes) -> None:
        self._fed += len(sound)
        decision = self._listener.feed(sound)
        if decision is not None:
            self._decided(decision)
