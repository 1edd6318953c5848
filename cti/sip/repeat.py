"""A response repeated until the peer confirms it: a 2xx until its ACK, a reliable 1xx until its PRACK. PURE.

RFC 3261 section 13.3.1.4, RFC 3262 section 3.
"""

from collections.abc import Callable

from cti.sip.flow import Flow
from cti.sip.transaction import LIFE, T1
from cti.sip.wire import Wire


class Repeated:
    __slots__ = (
        "_alarm",
        "_data",
        "_flow",
        "_give_up",
        "_interval",
        "_longest",
        "_on_silence",
        "_wire",
        "number",
    )

    def __init__(
        self,
        wire: Wire,
        flow: Flow,
        data: bytes,
        number: int,
        on_silence: Callable[[float], None],
        now: float,
        longest: float,
    ) -> None:
        """`number` is the CSeq or RSeq that the confirmation must name."""
        self._wire = wire
        self._flow = flow
        self._data = data
        self.number = number
        self._on_silence = on_silence
        self._interval = T1
        self._longest = longest
        self._give_up = now + LIFE
        self._alarm = wire.at(now + T1, self._again)

    def stop(self) -> None:
        self._wire.cancel(self._alarm)

    def _again(self, now: float) -> None:
        if now >= self._give_up:
            self._on_silence(now)
        else:
            self._wire.send(self._flow, self._data)
            self._interval = min(2 * self._interval, self._longest)
            self._alarm = self._wire.at(min(now + self._interval, self._give_up), self._again)
