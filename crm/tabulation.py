"""Tabulations: what agents wrote down about calls."""

import datetime
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from crm import form
from crm.db import Db
from crm.e164 import normalise
from crm.form import CATEGORY, Layout
from crm.refused import Refused


@dataclass(frozen=True, slots=True)
class Filled:
    """What an agent typed about a call."""

    call_id: str
    user_id: int
    layout_id: int
    at: datetime.datetime
    answers: Mapping[str, str]
    contact_id: int | None = None


@dataclass(frozen=True, slots=True)
class TabulationDraft(Filled):
    """For the history writer: the form as typed so far; with no answers it opens a pending tabulation."""


@dataclass(frozen=True, slots=True)
class TabulationSaved(Filled):
    """For the history writer: answers that `accept` let through, "category" among them."""


@dataclass(frozen=True, slots=True)
class TabulationDropped:
    """For the history writer: nothing is to be written down about this call, such as a voicemail's."""

    call_id: str
    user_id: int


@dataclass(frozen=True, slots=True)
class Tabulation:
    """One tabulation with its call's facts: a row of the tabulations page and of its exports."""

    call_id: str
    user_id: int
    agent: str
    group: str
    queue: str  # its label
    campaign: str  # its name, where the call was made for one
    direction: str
    number: str
    contact_id: int | None
    contact: str
    started: datetime.datetime | None
    wait_seconds: float
    talk_seconds: float
    hold_seconds: float
    result: str
    category_id: int | None
    type: str
    category: str
    success: bool | None
    layout_id: int
    layout: str  # its label
    answers: Mapping[str, str]
    saved: datetime.datetime | None
    recording: str | None


@dataclass(frozen=True, slots=True)
class Pending:
    """A form that was opened and not yet saved."""

    call_id: str
    number: str
    started: datetime.datetime
    queue: str  # its label
    layout_id: int
    contact_id: int | None
    answers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TabulationFilter:
    """Every filter of EPB-63; None or empty does not filter."""

    start: datetime.datetime | None = None
    end: datetime.datetime | None = None  # not included
    groups: tuple[int, ...] = ()
    users: tuple[int, ...] = ()
    queues: tuple[str, ...] = ()  # names
    types: tuple[int, ...] = ()
    categories: tuple[int, ...] = ()
    direction: str | None = None
    campaigns: tuple[int, ...] = ()
    number: str = ""  # any writing of it, or a part of its digits
    duration_min: float = 0  # seconds of talk
    global_id: str = ""  # or its beginning


# -- Writing -----------------------------------------------------------------------------------------------


def accept(layout: Layout, answers: Mapping[str, str]) -> dict[str, str]:
    """The answers without spaces around them; Refused with code "form" when one cannot be saved."""
    errors = form.check(layout, answers)
    if errors:
        labels = {field.key: field.label for field in layout.fields}
        wrong = ", ".join(labels.get(key, key) for key in errors)
        raise Refused(
            "The form is not complete yet: {fields}.", code="form", details={"errors": errors}, fields=wrong
        )
    return {key: answer.strip() for key, answer in answers.items()}


async def draft(db: Db, record: TabulationDraft) -> None:
    """At once; a form that was saved stays as it was saved."""
    async with db.acquire() as connection, connection.transaction():
        await write_drafts(connection, [record])


async def save(db: Db, layout: Layout, record: TabulationSaved) -> None:
    """At once; Refused when an answer cannot be saved."""
    accept(layout, record.answers)
    async with db.acquire() as connection, connection.transaction():
        await write_saved(connection, [record])


async def write_drafts(connection: asyncpg.Connection, records: list[TabulationDraft]) -> None:
    await connection.executemany(
        """
        INSERT INTO tabulation (call_id, user_id, layout_id, contact_id, answers, drafted)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (call_id, user_id) DO UPDATE SET
            layout_id = excluded.layout_id, answers = excluded.answers, drafted = excluded.drafted,
            contact_id = coalesce(excluded.contact_id, tabulation.contact_id)
         WHERE tabulation.saved IS NULL
        """,
        [(r.call_id, r.user_id, r.layout_id, r.contact_id, dict(r.answers), r.at) for r in records],
    )


async def write_dropped(connection: asyncpg.Connection, records: list[TabulationDropped]) -> None:
    await connection.executemany(
        "DELETE FROM tabulation WHERE call_id = $1 AND user_id = $2 AND saved IS NULL",
        [(record.call_id, record.user_id) for record in records],
    )


async def write_saved(connection: asyncpg.Connection, records: list[TabulationSaved]) -> None:
    """The category moves out of the answers into its own column."""
    await connection.executemany(
        """
        INSERT INTO tabulation (call_id, user_id, layout_id, contact_id, category_id, answers, drafted, saved)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
        ON CONFLICT (call_id, user_id) DO UPDATE SET
            layout_id = excluded.layout_id, category_id = excluded.category_id, answers = excluded.answers,
            saved = excluded.saved, contact_id = coalesce(excluded.contact_id, tabulation.contact_id)
        """,
        [
            (
                r.call_id,
                r.user_id,
                r.layout_id,
                r.contact_id,
                int(r.answers[CATEGORY]),
                {key: answer for key, answer in r.answers.items() if key != CATEGORY},
                r.at,
            )
            for r in records
        ],
    )


# -- Reading -----------------------------------------------------------------------------------------------


async def pending(db: Db, user_id: int, limit: int = 50) -> list[Pending]:
    """Forms of this agent still to be saved, newest first."""
    rows = await db.fetch(
        """
        SELECT tabulation.call_id, coalesce(call.number, '') AS number,
               coalesce(call.started, tabulation.drafted) AS started, coalesce(queue.label, '') AS queue,
               tabulation.layout_id, tabulation.contact_id, tabulation.answers
          FROM tabulation
          LEFT JOIN call ON call.id = tabulation.call_id
          LEFT JOIN queue ON queue.name = call.queue
         WHERE tabulation.user_id = $1 AND tabulation.saved IS NULL
         ORDER BY started DESC LIMIT $2
        """,
        user_id,
        limit,
    )
    return [Pending(**row) for row in rows]


FROM = """
      FROM tabulation
      JOIN user_account ON user_account.id = tabulation.user_id
      JOIN layout ON layout.id = tabulation.layout_id
      LEFT JOIN call ON call.id = tabulation.call_id
      LEFT JOIN user_group ON user_group.id = user_account.group_id
      LEFT JOIN queue ON queue.name = call.queue
      LEFT JOIN contact ON contact.id = coalesce(tabulation.contact_id, call.contact_id)
      LEFT JOIN category ON category.id = tabulation.category_id
      LEFT JOIN category_type ON category_type.id = category.type_id
     WHERE tabulation.saved IS NOT NULL
"""
SELECT = f"""
    SELECT tabulation.call_id, tabulation.user_id, user_account.name AS agent,
           coalesce(user_group.name, '') AS "group", coalesce(queue.label, '') AS queue,
           coalesce((SELECT campaign.name FROM attempt JOIN campaign ON campaign.id = attempt.campaign_id
                      WHERE attempt.call_id = tabulation.call_id LIMIT 1), '') AS campaign,
           coalesce(call.direction, '') AS direction, coalesce(call.number, '') AS number,
           contact.id AS contact_id, coalesce(contact.name, '') AS contact, call.started,
           coalesce(call.wait_seconds, 0) AS wait_seconds, coalesce(call.talk_seconds, 0) AS talk_seconds,
           coalesce(call.hold_seconds, 0) AS hold_seconds, coalesce(call.result, '') AS result,
           tabulation.category_id, coalesce(category_type.name, '') AS type,
           coalesce(category.name, '') AS category, category.success,
           tabulation.layout_id, layout.label AS layout, tabulation.answers, tabulation.saved, call.recording
    {FROM}
"""


def where(filter: TabulationFilter) -> tuple[str, list[Any]]:
    """The filter as conditions, with the values they refer to. Only what filters is asked of the database."""
    conditions: list[str] = []
    values: list[Any] = []

    def ask(condition: str, value: Any) -> None:
        values.append(value)
        conditions.append(condition.format(f"${len(values)}"))

    if filter.start:
        ask("call.started >= {}", filter.start)
    if filter.end:
        ask("call.started < {}", filter.end)
    if filter.groups:
        ask("user_account.group_id = ANY({}::integer[])", filter.groups)
    if filter.users:
        ask("tabulation.user_id = ANY({}::integer[])", filter.users)
    if filter.queues:
        ask("call.queue = ANY({}::text[])", filter.queues)
    if filter.types:
        ask("category.type_id = ANY({}::integer[])", filter.types)
    if filter.categories:
        ask("tabulation.category_id = ANY({}::integer[])", filter.categories)
    if filter.direction:
        ask("call.direction = {}", filter.direction)
    if filter.campaigns:
        ask(
            "EXISTS (SELECT FROM attempt WHERE attempt.call_id = tabulation.call_id"
            " AND attempt.campaign_id = ANY({}::integer[]))",
            filter.campaigns,
        )
    if filter.number.strip():
        ask("call.number LIKE ANY({}::text[])", number_patterns(filter.number))
    if filter.duration_min:
        ask("call.talk_seconds > {}", float(filter.duration_min))
    if filter.global_id.strip():
        ask(*global_id_condition(filter.global_id.strip()))
    return "".join(f" AND {condition}" for condition in conditions), values


def number_patterns(text: str) -> list[str]:
    """The whole number in any writing, or these digits anywhere in it; nothing when there are no digits."""
    digits = re.sub(r"[^0-9]", "", text)
    whole = normalise(text, "11")
    patterns = [f"%{digits}%"] if digits else []
    return [*patterns, whole] if whole else patterns


def global_id_condition(text: str) -> tuple[str, Any]:
    try:
        return "tabulation.call_id = {}::uuid", str(uuid.UUID(text))
    except ValueError:
        return "starts_with(tabulation.call_id::text, {}::text)", text.lower().replace("\x00", "")


# What the list can be sorted by; a minus sign before the word turns it round.
ORDERS = {
    "started": "call.started",
    "agent": "f_norm(user_account.name)",
    "queue": "f_norm(queue.label)",
    "number": "call.number",
    "category": "f_norm(category.name)",
    "wait": "call.wait_seconds",
    "talk": "call.talk_seconds",
}


async def search(
    db: Db, filter: TabulationFilter, limit: int = 50, offset: int = 0, order: str = "-started"
) -> list[Tabulation]:
    """Saved tabulations, those of the latest calls first."""
    conditions, values = where(filter)
    column = ORDERS[order.removeprefix("-")]
    direction = "DESC" if order.startswith("-") else "ASC"
    rows = await db.fetch(
        SELECT
        + conditions
        + f" ORDER BY {column} {direction} NULLS LAST, call.started DESC, tabulation.call_id,"
        + f" tabulation.user_id LIMIT ${len(values) + 1} OFFSET ${len(values) + 2}",
        *values,
        limit,
        offset,
    )
    return [Tabulation(**row) for row in rows]


async def count(db: Db, filter: TabulationFilter) -> int:
    conditions, values = where(filter)
    return await db.fetchval("SELECT count(*)" + FROM + conditions, *values)


async def by_call(db: Db, call_id: str) -> list[Tabulation]:
    return await search(db, TabulationFilter(global_id=call_id))


async def stream(db: Db, filter: TabulationFilter, rows_at_once: int = 1000) -> AsyncIterator[Tabulation]:
    """All of one moment, the earliest first, without holding them in memory."""
    conditions, values = where(filter)
    sql = SELECT + conditions + " ORDER BY call.started, tabulation.call_id, tabulation.user_id"
    async with db.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        async for row in connection.cursor(sql, *values, prefetch=rows_at_once):
            yield Tabulation(**row)
