"""One call: its facts from INVITE to report line, and how it looks to those who may see it."""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

from crm.calls import CallRecord, Direction, Result
from crm.contacts import Contact
from crm.form import Category
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


class Purpose(Protocol):
    """Why an agent places a call, when a campaign wants it: its item, and what stands before and after it."""

    @property
    def campaign_id(self) -> int: ...
    @property
    def campaign(self) -> str:
        """Its name."""

    @property
    def item_id(self) -> int: ...
    @property
    def contact_id(self) -> int: ...
    @property
    def layout_id(self) -> int | None:
        """The form that opens when somebody answers."""

    @property
    def caller_id(self) -> str:
        """The number shown to the customer; empty for the route's."""

    @property
    def answers(self) -> Mapping[str, str]:
        """What was typed into the form of an earlier call for the same."""

    @property
    def contact(self) -> Contact | None:
        """The customer, where they are known already: then nothing is looked up."""

    async def about_to_ring(self, call: "Call") -> None:
        """Asked when the agent's own station is up and the customer is rung next; raises Refused."""

    def answered(self, call: "Call") -> None: ...
    def over(self, call: "Call") -> None: ...
    def saved(self, call: "Call", category: Category | None) -> None:
        """The form of this call was saved with this category."""


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
    caller: str = ""  # who placed an outbound or internal call: an extension
    caller_name: str = ""
    queue: str | None = None
    queue_label: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    user_id: int | None = None  # the agent: who answers an inbound call, who places the others
    callee_id: int | None = None  # the second user of an internal call
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
    return_timer: asyncio.TimerHandle | None = None
    priority: int = 0
    purpose: Purpose | None = None
    sip_status: int | None = None  # why nobody answered, as the far end said it
    customer: Leg | None = None
    agent_leg: Leg | None = None
    hang_up_asked: asyncio.Event = field(default_factory=asyncio.Event)
    answer_asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def state(self) -> CallState:
        if self.ended is not None:
            return CallState.ENDED
        if self.answered is None:
            return CallState.RINGING if self.direction == "inbound" else CallState.DIALING
        if self.holding:
            return CallState.HELD
        return CallState.RECONNECTING if self.away else CallState.CONNECTED

    def leg_of(self, user_id: int) -> Leg | None:
        """The side of this user; the other side is the customer, or the other user."""
        return self.customer if user_id == self.callee_id else self.agent_leg

    def other_leg(self, user_id: int) -> Leg | None:
        return self.agent_leg if user_id == self.callee_id else self.customer

    def hold(self, now: float) -> None:
        self.holding, self.held_since = True, now

    def retrieve(self, now: float) -> None:
        if self.held_since is not None:
            self.hold_seconds += now - self.held_since
        self.holding, self.held_since = False, None

    def end(self, now: float, result: str, cause: str) -> None:
        """Nothing after the first end changes how a call ended."""
        if self.return_timer:
            self.return_timer.cancel()
            self.return_timer = None
        if self.ended is None:
            self.retrieve(now)
            self.ended, self.result, self.cause = now, result, cause

    def record(self) -> CallRecord:
        """The call's row in history, as far as it is known now."""
        end = self.ended
        return CallRecord(
            id=self.id,
            direction=Direction(self.direction),
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
            result=Result(self.result) if self.result else None,
            cause=self.cause,
            recording=self.recording,
        )

    def view(self, user_id: int | None = None) -> dict[str, Any]:
        """The `call` of the CTI protocol, as this user sees it."""
        state, number, name = self.state, self.number, self.caller_name
        if user_id is not None and user_id == self.callee_id:
            number = self.caller
            state = CallState.RINGING if state == CallState.DIALING else state
        elif self.direction != "inbound":
            name = ""
        return {
            "id": self.id,
            "direction": self.direction,
            "state": str(state),
            "number": number,
            "display": display(number),
            "caller_name": name,
            "dialed": self.dialed,
            "queue": self.queue,
            "queue_label": self.queue_label,
            "origin": self.origin,
            "campaign": self.purpose.campaign if self.purpose else None,
            "item": self.purpose.item_id if self.purpose else None,
            "since": iso(self.started),
            "answered": iso(self.answered) if self.answered else None,
            "ended": iso(self.ended) if self.ended else None,
            "waited_seconds": round((self.answered or self.started) - self.started),
            "muted": self.muted,
            "recording": self.recording_now,
            "can": CAN[state],
        }


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def iso(seconds: float) -> str:
    return moment(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")
