"""One agent's shift as a table: what they are doing, and what may happen next. PURE."""

from dataclasses import dataclass, field
from enum import StrEnum

from crm.refused import Refused


class AgentState(StrEnum):
    LOGGED_OFF = "logged_off"
    NOT_READY = "not_ready"
    READY = "ready"
    RESERVED = "reserved"  # a call was chosen for them and is ringing
    BUSY = "busy"  # talking, or dialling out
    WRAP_UP = "wrap_up"  # the call is over, its tabulation is not


LOGGED_OFF, NOT_READY, READY = AgentState.LOGGED_OFF, AgentState.NOT_READY, AgentState.READY
RESERVED, BUSY, WRAP_UP = AgentState.RESERVED, AgentState.BUSY, AgentState.WRAP_UP
REST = "rest"  # not a state: where the agent rests after work, see Agent.fire

NEXT: dict[AgentState, dict[str, AgentState | str]] = {
    LOGGED_OFF: {"log_on": NOT_READY},
    NOT_READY: {"ready": READY, "pause": NOT_READY, "log_off": LOGGED_OFF, "engage": BUSY},
    READY: {
        "ready": READY,
        "pause": NOT_READY,
        "log_off": LOGGED_OFF,
        "reserve": RESERVED,
        "engage": BUSY,
    },
    RESERVED: {"connect": BUSY, "release": REST, "miss": NOT_READY},
    BUSY: {"finish": WRAP_UP, "release": REST},
    WRAP_UP: {"done": REST, "engage": BUSY},
}
WORKING = frozenset({RESERVED, BUSY, WRAP_UP})
CHOICES = {READY: "ready", NOT_READY: "pause", LOGGED_OFF: "log_off"}
MISSED = "missed_call"  # the reason of an agent who let a call ring
LOGGED_ON = "logged_on"  # the reason of an agent who has just logged on


@dataclass(frozen=True, slots=True)
class Resting:
    """A state without work, as chosen by the agent: where to go once the work is done."""

    state: AgentState
    reason: str | None = None


@dataclass(slots=True)
class Agent:
    """`since` and `now` are seconds since the epoch; `call_id` is the call a working agent holds."""

    user_id: int
    state: AgentState = LOGGED_OFF
    reason: str | None = None
    since: float = 0.0
    call_id: str | None = None
    next: Resting | None = None
    rest: Resting = field(default=Resting(NOT_READY))

    def fire(self, event: str, now: float, reason: str | None = None, call_id: str | None = None) -> None:
        """Move by `event`; refuses what the table lacks, and then changes nothing."""
        target = NEXT[self.state].get(event)
        if target is None:
            raise Refused("This is not possible while the agent is {state}.", state=self.state, event=event)
        if target == REST:
            rest = self.next or self.rest
            target, reason = rest.state, rest.reason
        elif event == "miss":
            # Someone who did not answer must not get the next call; a log-off chosen meanwhile stands.
            if self.next and self.next.state != READY:
                target, reason = self.next.state, self.next.reason
            else:
                reason = MISSED
        assert isinstance(target, AgentState)
        if target in WORKING and self.state not in WORKING:
            self.rest, self.next = Resting(self.state, self.reason), None
        elif target not in WORKING:
            self.next = None
        if target in (RESERVED, BUSY):
            self.call_id = call_id if call_id is not None else self.call_id
        else:
            self.call_id = None
        unchanged = target == self.state and (reason if target == NOT_READY else None) == self.reason
        self.state, self.reason = target, reason if target == NOT_READY else None
        if not unchanged:
            self.since = now

    def choose(self, state: AgentState, now: float, reason: str | None = None) -> None:
        """What the agent asks for: at once when they have no work, otherwise as soon as it is done."""
        if state not in CHOICES:
            raise Refused("An agent cannot choose to be {state}.", state=state)
        if self.state == LOGGED_OFF:
            if state != LOGGED_OFF:
                raise Refused("Log on at a station first.")
        elif self.state in WORKING:
            self.next = Resting(state, reason)
        else:
            self.fire(CHOICES[state], now, reason)
