"""Calls: one row for each conversation, under its global id."""

import datetime
from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


class Result(StrEnum):
    ANSWERED = "answered"
    ABANDONED = "abandoned"
    REFUSED = "refused"
    FAILED = "failed"
    NO_ANSWER = "no_answer"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class CallRecord:
    """Put into the history when the call begins and whenever more is known; the last one wins."""

    id: str  # the global id, a UUID
    direction: Direction
    started: datetime.datetime
    origin: str = ""  # where it came from: the trunk, an extension
    number: str = ""  # the other party: E.164 or extension
    dialed: str = ""
    queue: str | None = None  # its name
    user_id: int | None = None
    contact_id: int | None = None
    answered: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    wait_seconds: float = 0.0
    talk_seconds: float = 0.0
    hold_seconds: float = 0.0
    wrapup_seconds: float = 0.0
    result: Result | None = None  # None while it lasts
    cause: str = ""
    recording: str | None = None  # path below the data folder
