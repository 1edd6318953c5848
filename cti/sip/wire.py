"""What all SIP machines share: the packets waiting to be sent and one heap of alarms."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from cti.sip.flow import Flow

Alarm = list[
    Any
]  # [when, count, what to call with `now`, or None once cancelled]: a list compares fast in a heap


class Outgoing(NamedTuple):
    flow: Flow
    data: bytes


class Wire:
    """The outbox and the clockwork of one stack. `wake` is called when there is something new to pull."""

    __slots__ = ("_alarms", "_cancelled", "_count", "_outbox", "wake")

    def __init__(self) -> None:
        self._outbox: list[Outgoing] = []
        self._alarms: list[Alarm] = []
        self._count = 0
        self._cancelled = 0
        self.wake: Callable[[], None] | None = None

    def send(self, flow: Flow, data: bytes) -> None:
        self._outbox.append(Outgoing(flow, data))
        if self.wake is not None:
            self.wake()

    def to_send(self) -> list[Outgoing]:
        outbox, self._outbox = self._outbox, []
        return outbox

    def at(self, when: float, call: Callable[[float], None]) -> Alarm:
        self._count += 1
        alarm = [when, self._count, call]
        heappush(self._alarms, alarm)
        return alarm

    def cancel(self, alarm: Alarm | None) -> None:
        """A cancelled alarm stays in the heap until it is due, or until such alarms are the larger part."""
        if alarm is not None and alarm[2] is not None:
            alarm[2] = None
            self._cancelled += 1
            if self._cancelled > 1000 and self._cancelled * 2 > len(self._alarms):
                self._alarms = [alarm for alarm in self._alarms if alarm[2] is not None]
                heapify(self._alarms)
                self._cancelled = 0

    def tick(self, now: float) -> None:
        """Ring all alarms that are due, the earliest first."""
        while self._alarms and self._alarms[0][0] <= now:
            alarm = heappop(self._alarms)
            call = alarm[2]
            if call is None:
                self._cancelled -= 1
            else:
                alarm[2] = None
                call(now)

    def next_timer(self) -> float | None:
        while self._alarms and self._alarms[0][2] is None:
            heappop(self._alarms)
            self._cancelled -= 1
        return self._alarms[0][0] if self._alarms else None
