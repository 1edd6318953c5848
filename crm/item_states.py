"""PURE. The words of a campaign's list: where an item stands, how a try ended, what was agreed."""

import datetime
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class State(IntEnum):
    """Of an item (UAU-V1). In use is no state: it is a lease on top."""

    NOT_WORKED = 0
    TO_CALL_BACK = 1
    TRYING = 2
    TRYING_CALLBACK = 3
    CONCLUDED = 4
    HIT_LIMIT = 5
    CANCELLED = 6


STATE_LABELS: dict[State, str] = {
    State.NOT_WORKED: "Not worked",
    State.TO_CALL_BACK: "To call back",
    State.TRYING: "Trying to call",
    State.TRYING_CALLBACK: "Trying to call back",
    State.CONCLUDED: "Concluded",
    State.HIT_LIMIT: "Hit limit",
    State.CANCELLED: "Cancelled",
}
TO_WORK = (State.NOT_WORKED, State.TO_CALL_BACK, State.TRYING, State.TRYING_CALLBACK)
CALLBACKS = (State.TO_CALL_BACK, State.TRYING_CALLBACK)


class Situation(StrEnum):
    """How a try ended (UAU-V2)."""

    DIALING = "dialing"
    COMPLETED = "completed"  # somebody answered: an effective contact
    VOICEMAIL = "voicemail"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    INVALID = "invalid"
    CONGESTION = "congestion"
    REJECTED = "rejected"
    FAILED = "failed"
    DISCARDED_CTI = "discarded_cti"
    DISCARDED_CUSTOMER = "discarded_customer"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"
    NOT_DIALED = "not_dialed"
    ABANDONED = "abandoned"  # the dialer's: somebody answered, and no agent was free in time
    FAX = "fax"
    SILENCE = "silence"  # answered, and nothing was heard


SITUATION_LABELS: dict[Situation, str] = {
    Situation.DIALING: "Dialing",
    Situation.COMPLETED: "Completed",
    Situation.VOICEMAIL: "Voicemail",
    Situation.BUSY: "Busy",
    Situation.NO_ANSWER: "No answer",
    Situation.INVALID: "Invalid number",
    Situation.CONGESTION: "Congestion",
    Situation.REJECTED: "Rejected",
    Situation.FAILED: "Failed",
    Situation.DISCARDED_CTI: "Discarded by CTI",
    Situation.DISCARDED_CUSTOMER: "Discarded by customer",
    Situation.CANCELLED: "Cancelled",
    Situation.BLOCKED: "Blocked (blacklist)",
    Situation.NOT_DIALED: "Not dialed",
    Situation.ABANDONED: "Abandoned",
    Situation.FAX: "Fax",
    Situation.SILENCE: "Silence",
}


class Result(StrEnum):
    """What a conversation led to (UAU-61)."""

    SUCCESS = "success"
    FAILURE = "failure"
    CALLBACK = "callback"


RESULT_LABELS: dict[Result, str] = {
    Result.SUCCESS: "Success",
    Result.FAILURE: "Failure",
    Result.CALLBACK: "Callback",
}


@dataclass(frozen=True, slots=True)
class Next:
    """Where an item goes after a try, and why: what `dialer.retry` decides and `items.finish` writes."""

    state: State
    why: str  # a sentence in English
    due_at: datetime.datetime | None = None
    result: Result | None = None  # success or failure when concluded
    callback_owner: int | None = None
    callback_phone: str = ""
    callback_note: str = ""
    forget_number: bool = False  # EPB-19: the number is not this person's and is never called again
