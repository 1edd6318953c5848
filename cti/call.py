"""One call: its facts from INVITE to report line, and how it looks to those who may see it."""

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

from crm.calls import CallRecord
from crm.numbers import display


class CallState(StrEnum):
    RINGING = "ringing"
    DIALING = "dialing"
    CONNECTED = "connected"
    HELD = "held"
    RECONNECTING = "reconnecting"  # the agent's audio is gone for a moment; the customer hears music
    ENDED = "ended"


class Leg(Protocol):
    """One party's side of a call. `name` is its media leg; `over` is resolved once, with the cause."""

    name: str
    over: asyncio.Future[str]

    async def hang_up(self, cause: str = "normal") -> None: ...


CAN = {
    CallState.RINGING: ["answer", "hang_up"],
    CallState.DIALING: ["hang_up", "digits"],
    CallState.CONNECTED: ["hold", "mute", "digits", "hang_up"],
    CallState.HELD: ["retrieve", "hang_up"],
    CallState.RECONNECTING: ["hang_up"],
    CallState.ENDED: [],
}


@dataclass(slots=True, eq=False)
class Call:
    """Times are seconds since the epoch. `direction` is inbound, outbound or internal."""

    direction: str
    number: str  # the other party: E.164, or an extension
    dialed: str
    started: float
    origin: str = ""
    caller_name: str = ""
    queue: str | None = None
    queue_label: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    user_id: int | None = None
    contact_id: int | None = None
    answered: float | None = None  # when two people could first speak
    ended: float | None = None
    wrapup_ended: float | None = None
    result: str = ""
    cause: str = ""
    recording: str | None = None
    recording_now: bool = False
    muted: bool = False
    holding: bool = False
    away: bool = False  # the agent's audio is missing
    hold_seconds: float = 0.0
    held_since: float | None = None
    priority: int = 0
    customer: Leg | None = None
    agent_leg: Leg | None = None
    hang_up_asked: asyncio.Event = field(default_factory=asyncio.Event)
    answer_asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def state(self) -> CallState:
        if self.ended is not None:
            return CallState.ENDED
        if self.answered is None:
            return CallState.DIALING if self.direction == "outbound" or self.dialing else CallState.RINGING
        if self.holding:
            return CallState.HELD
        return CallState.RECONNECTING if self.away else CallState.CONNECTED

    @property
    def dialing(self) -> bool:
        """An internal call looks like dialling to the one who placed it."""
        return self.direction == "internal" and self.origin == "desk"

    def hold(self, now: float) -> None:
        self.holding, self.held_since = True, now

    def retrieve(self, now: float) -> None:
        if self.held_since is not None:
            self.hold_seconds += now - self.held_since
        self.holding, self.held_since = False, None

    def end(self, now: float, result: str, cause: str) -> None:
        """Nothing after the first end changes how a call ended."""
        if self.ended is None:
            self.retrieve(now)
            self.ended, self.result, self.cause = now, result, cause

    def record(self) -> CallRecord:
        """The call's row in history, as far as it is known now."""
        end = self.ended
        return CallRecord(
            id=self.id,
            direction=self.direction,
            origin=self.origin,
            number=self.number,
            dialed=self.dialed,
            queue=self.queue,
            user_id=self.user_id,
            contact_id=self.contact_id,
            started=moment(self.started),
            answered=moment(self.answered) if self.answered else None,
            ended=moment(end) if end else None,
            wait_seconds=round((self.answered or end or self.started) - self.started),
            talk_seconds=round(end - self.answered) if end and self.answered else 0,
            hold_seconds=round(self.hold_seconds),
            wrapup_seconds=round(self.wrapup_ended - end) if end and self.wrapup_ended else 0,
            result=self.result,
            cause=self.cause,
            recording=self.recording,
        )

    def view(self) -> dict[str, Any]:
        """The `call` of the CTI protocol."""
        return {
            "id": self.id,
            "direction": self.direction,
            "state": str(self.state),
            "number": self.number,
            "display": display(self.number),
            "caller_name": self.caller_name,
            "dialed": self.dialed,
            "queue": self.queue,
            "queue_label": self.queue_label,
            "origin": self.origin,
            "since": iso(self.started),
            "answered": iso(self.answered) if self.answered else None,
            "ended": iso(self.ended) if self.ended else None,
            "waited_seconds": round((self.answered or self.started) - self.started),
            "muted": self.muted,
            "recording": self.recording_now,
            "can": CAN[self.state],
        }


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def iso(seconds: float) -> str:
    return moment(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")
