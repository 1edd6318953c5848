"""Tabulations: what agents wrote down about calls."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TabulationDraft:
    """For the history writer: the form as typed so far; with no answers it opens a pending tabulation."""

    call_id: str
    user_id: int
    layout_id: int
    at: datetime.datetime
    answers: Mapping[str, str]
    contact_id: int | None = None


@dataclass(frozen=True, slots=True)
class TabulationSaved:
    """For the history writer: answers that `form.check` accepted, "category" among them."""

    call_id: str
    user_id: int
    layout_id: int
    at: datetime.datetime
    answers: Mapping[str, str]
    contact_id: int | None = None


@dataclass(frozen=True, slots=True)
class Tabulation:
    """One tabulation with its call's facts: a row of the tabulations page and of its exports."""

    call_id: str
    user_id: int
    agent: str
    group: str
    queue: str
    direction: str
    number: str
    contact_id: int | None
    contact: str
    started: datetime.datetime
    wait_seconds: float
    talk_seconds: float
    result: str
    category_id: int | None
    type: str
    category: str
    success: bool | None
    layout_id: int
    layout: str
    answers: Mapping[str, str]
    saved: datetime.datetime | None
    recording: str | None


@dataclass(frozen=True, slots=True)
class Pending:
    """A form that was opened and not yet saved."""

    call_id: str
    number: str
    started: datetime.datetime
    queue: str
    layout_id: int
    contact_id: int | None
    answers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TabulationFilter:
    """Every filter of EPB-63 but the campaign; None or empty does not filter."""

    start: datetime.datetime | None = None
    end: datetime.datetime | None = None  # not included
    groups: tuple[int, ...] = ()
    users: tuple[int, ...] = ()
    queues: tuple[str, ...] = ()
    types: tuple[int, ...] = ()
    categories: tuple[int, ...] = ()
    direction: str | None = None
    number: str = ""  # any writing of it, or a part of its digits
    duration_min: int = 0  # seconds of talk
    global_id: str = ""
