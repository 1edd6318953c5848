"""The four transaction machines of RFC 3261 section 17, with the Accepted state of RFC 6026.

Each holds one alarm at a time. What retransmits (timers A, E, G) also knows when to give up (B, F, H), so the
two need one alarm between them. A transaction lives in the dict it was given and takes itself out at its end.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from cti.sip.flow import Flow
from cti.sip.wire import Alarm, Wire

T1 = 0.5  # round trip estimate, RFC 3261 section 17.1.1.1
T2 = 4.0  # longest wait between retransmissions of anything but INVITE
T4 = 5.0  # longest life of a packet in the network
TRYING_SECONDS = 0.2  # section 17.2.1: how long silence is polite
LIFE = 64 * T1  # timers B, F, H, J, L, M and the wait for an ACK

Home = dict[Any, Any]


class State(StrEnum):
    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


CALLING, TRYING, PROCEEDING, ACCEPTED, COMPLETED, CONFIRMED, TERMINATED = State


class _Transaction:
    __slots__ = ("_alarm", "_data", "_give_up", "_home", "_interval", "_wire", "flow", "key", "state")

    def __init__(self, wire: Wire, home: Home, key: Any, flow: Flow, state: State) -> None:
        self._wire = wire
        self._home = home
        self.key = key
        self.flow = flow
        self.state = state
        self._data = b""  # what is sent again
        self._alarm: Alarm | None = None
        self._interval = 0.0
        self._give_up = 0.0
        home[key] = self

    def _set_alarm(self, when: float, call: Callable[[float], None]) -> None:
        self._wire.cancel(self._alarm)
        self._alarm = self._wire.at(when, call)

    def _linger(self, state: State, seconds: float, now: float) -> None:
        """Stay to absorb retransmissions; no longer than needed when there can be none."""
        self.state = state
        if seconds:
            self._set_alarm(now + seconds, self.end)
        else:
            self.end(now)

    def end(self, now: float) -> None:
        self.state = TERMINATED
        self._wire.cancel(self._alarm)
        self._alarm = None
        self._home.pop(self.key, None)


class ServerInvite(_Transaction):
    """Section 17.2.1 and RFC 6026 section 7.1. `on_cancel` is called for a CANCEL before a final answer."""

    __slots__ = ("on_cancel", "original")

    def __init__(self, wire: Wire, home: Home, key: Any, flow: Flow, original: Any) -> None:
        super().__init__(wire, home, key, flow, PROCEEDING)
        self.original = original  # the identity that a merged copy of the request would share
        self.on_cancel: Callable[[Any, float], None] | None = None

    def try_soon(self, trying: bytes, now: float) -> None:
        """Send 100, unless something else is sent within TRYING_SECONDS or the peer has lost patience."""
        self._data = trying
        self._set_alarm(now + TRYING_SECONDS, self.receive_again)

    def receive_again(self, now: float) -> None:
        """The INVITE was retransmitted. In Accepted it is absorbed: the 2xx is repeated by the session."""
        if self.state is PROCEEDING or self.state is COMPLETED:
            self._wire.send(self.flow, self._data)

    def acknowledge(self, now: float) -> None:
        """The ACK of a 3xx to 6xx; that of a 2xx is no part of this transaction."""
        if self.state is COMPLETED:
            self._data = b""
            self._linger(CONFIRMED, 0 if self.flow.is_reliable else T4, now)  # timer I

    def respond(self, status: int, data: bytes, now: float) -> None:
        if self.state is PROCEEDING:
            self._wire.send(self.flow, data)
            if status < 200:
                self._data = data
                self._wire.cancel(self._alarm)
            elif status < 300:
                self._data = b""
                self.on_cancel = None
                self._linger(ACCEPTED, LIFE, now)  # timer L
            else:
                self._data = data
                self.on_cancel = None
                self._home.pop(
                    self.original, None
                )  # a refused request may be tried again, with credentials say
                self.state = COMPLETED
                self._give_up = now + LIFE  # timer H
                self._interval = T1  # timer G
                self._set_alarm(self._give_up if self.flow.is_reliable else now + T1, self._unacknowledged)
        elif self.state is ACCEPTED and 200 <= status < 300:
            self._wire.send(self.flow, data)

    def _unacknowledged(self, now: float) -> None:
        if now >= self._give_up:
            self.end(now)
        else:
            self._wire.send(self.flow, self._data)
            self._interval = min(2 * self._interval, T2)
            self._set_alarm(min(now + self._interval, self._give_up), self._unacknowledged)

    def end(self, now: float) -> None:
        super().end(now)
        if self._home.get(self.original) is self:
            del self._home[self.original]


class ServerNonInvite(_Transaction):
    """Section 17.2.2."""

    __slots__ = ()

    def __init__(self, wire: Wire, home: Home, key: Any, flow: Flow) -> None:
        super().__init__(wire, home, key, flow, TRYING)

    def receive_again(self, now: float) -> None:
        if self._data:
            self._wire.send(self.flow, self._data)

    def respond(self, status: int, data: bytes, now: float) -> None:
        if self.state in (TRYING, PROCEEDING):
            self._wire.send(self.flow, data)
            self._data = data
            if status < 200:
                self.state = PROCEEDING
            else:
                self._linger(COMPLETED, 0 if self.flow.is_reliable else LIFE, now)  # timer J


class _Client(_Transaction):
    """`on_response(response, now)` brings what the user must know, `on_failure(now, status)` no answer."""

    __slots__ = ("_on_failure", "_on_response")

    def __init__(
        self,
        wire: Wire,
        home: Home,
        key: Any,
        flow: Flow,
        data: bytes,
        on_response: Callable[[Any, float], None],
        on_failure: Callable[[float, int], None],
        now: float,
        state: State,
    ) -> None:
        super().__init__(wire, home, key, flow, state)
        self._data = data
        self._on_response = on_response
        self._on_failure = on_failure
        self._interval = T1
        self._give_up = now + LIFE
        wire.send(flow, data)
        self._set_alarm(self._give_up if flow.is_reliable else now + T1, self._unanswered)

    def _unanswered(self, now: float) -> None:
        """Timers A and E send again, B and F give up."""
        if now >= self._give_up:
            self.fail(408, now)
        else:
            if not self.flow.is_reliable:
                self._wire.send(self.flow, self._data)
            self._interval = self._longer_interval()
            self._set_alarm(min(now + self._interval, self._give_up), self._unanswered)

    def _longer_interval(self) -> float:
        return 2 * self._interval

    def fail(self, status: int, now: float) -> None:
        """No answer came (408) or the connection was lost (503), section 8.1.3.1."""
        waiting = self.state in (CALLING, TRYING, PROCEEDING)
        on_failure = self._on_failure
        self.end(now)
        if waiting:
            on_failure(now, status)

    def end(self, now: float) -> None:
        super().end(now)
        self._on_response = self._on_failure = _nothing  # or each call would be a cycle for the collector


def _nothing(*_: object) -> None:
    pass


def _no_ack(response: Any) -> bytes:
    return b""


class ClientInvite(_Client):
    """Section 17.1.1 and RFC 6026 section 7.2. `ack(response)` writes the ACK of a 3xx to 6xx."""

    __slots__ = ("_ack",)

    def __init__(
        self,
        wire: Wire,
        home: Home,
        key: Any,
        flow: Flow,
        data: bytes,
        on_response: Callable[[Any, float], None],
        on_failure: Callable[[float, int], None],
        ack: Callable[[Any], bytes],
        now: float,
    ) -> None:
        super().__init__(wire, home, key, flow, data, on_response, on_failure, now, CALLING)
        self._ack = ack

    def receive(self, response: Any, now: float) -> None:
        status = response.status
        state = self.state
        if status < 200:
            if state is CALLING:
                self.state = PROCEEDING
                self._wire.cancel(self._alarm)
            if state is CALLING or state is PROCEEDING:
                self._on_response(response, now)
        elif status < 300:
            if state is CALLING or state is PROCEEDING:
                self._data = b""
                self._linger(ACCEPTED, LIFE, now)  # timer M
                self._on_response(response, now)
            elif state is ACCEPTED:
                self._on_response(response, now)
        elif state is CALLING or state is PROCEEDING:
            self._data = self._ack(response)
            self._wire.send(self.flow, self._data)
            on_response = self._on_response
            self._linger(COMPLETED, 0 if self.flow.is_reliable else LIFE, now)  # timer D
            on_response(response, now)
        elif state is COMPLETED:
            self._wire.send(self.flow, self._data)

    def end(self, now: float) -> None:
        super().end(now)
        self._ack = _no_ack

    def canceled(self, now: float) -> None:
        """A CANCEL was sent: the final answer must now come within 64*T1, section 9.1."""
        if self.state is PROCEEDING:
            self._give_up = now + LIFE
            self._set_alarm(self._give_up, self._unanswered)


class ClientNonInvite(_Client):
    """Section 17.1.2."""

    __slots__ = ()

    def __init__(
        self,
        wire: Wire,
        home: Home,
        key: Any,
        flow: Flow,
        data: bytes,
        on_response: Callable[[Any, float], None],
        on_failure: Callable[[float, int], None],
        now: float,
    ) -> None:
        super().__init__(wire, home, key, flow, data, on_response, on_failure, now, TRYING)

    def receive(self, response: Any, now: float) -> None:
        if self.state in (TRYING, PROCEEDING):
            if response.status < 200:
                self.state = PROCEEDING
            else:
                self._data = b""
                on_response = self._on_response
                self._linger(COMPLETED, 0 if self.flow.is_reliable else T4, now)  # timer K
                on_response(response, now)

    def _longer_interval(self) -> float:
        return T2 if self.state is PROCEEDING else min(2 * self._interval, T2)
