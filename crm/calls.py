"""Calls: one row for each conversation, under its global id, and the counters made of them."""

import datetime
import re
from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple
from zoneinfo import ZoneInfo

import asyncpg

from crm.db import Db

ZONE = ZoneInfo("America/Sao_Paulo")  # whose days and quarter hours are counted


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


VALUES = attrgetter(*(field.name for field in fields(CallRecord)))
CALL = """
    SELECT id, direction, started, origin, number, dialed, queue, user_id, contact_id, answered, ended,
           wait_seconds, talk_seconds, hold_seconds, wrapup_seconds, result, cause, recording
      FROM call
"""


def read(row: asyncpg.Record) -> CallRecord:
    result = Result(row["result"]) if row["result"] else None
    return CallRecord(**{**row, "direction": Direction(row["direction"]), "result": result})


async def by_id(db: Db | asyncpg.Connection, call_id: str) -> CallRecord | None:
    row = await db.fetchrow(CALL + "WHERE id = $1", call_id)
    return read(row) if row else None


async def of_user(db: Db, user_id: int, limit: int = 50) -> list[CallRecord]:
    """The user's latest calls, newest first."""
    rows = await db.fetch(CALL + "WHERE user_id = $1 ORDER BY started DESC LIMIT $2", user_id, limit)
    return [read(row) for row in rows]


async def recorded(
    db: Db,
    *,
    start: datetime.datetime,
    end: datetime.datetime,
    user_id: int | None = None,
    queue: str | None = None,
    number: str = "",
    limit: int = 50,
    offset: int = 0,
) -> list[CallRecord]:
    """Calls with a recording, newest first; `number` is any part of its digits."""
    rows = await db.fetch(
        CALL
        + """
         WHERE recording IS NOT NULL AND started >= $1 AND started < $2
           AND ($3::integer IS NULL OR user_id = $3)
           AND ($4::text IS NULL OR queue = $4)
           AND ($5 = '' OR strpos(number, $5) > 0)
         ORDER BY started DESC, id LIMIT $6 OFFSET $7
        """,
        start,
        end,
        user_id,
        queue,
        digits_of(number),
        limit,
        offset,
    )
    return [read(row) for row in rows]


def digits_of(number: str) -> str:
    """What to look for in stored numbers: those typed with their zero (011 …) are stored without."""
    return re.sub(r"[^0-9]", "", number).removeprefix("0")


async def write_history(connection: asyncpg.Connection, records: list[CallRecord]) -> None:
    """What is known of contact and recording is not forgotten by a record that does not say."""
    await connection.executemany(
        """
        INSERT INTO call (id, direction, started, origin, number, dialed, queue, user_id, contact_id,
                          answered, ended, wait_seconds, talk_seconds, hold_seconds, wrapup_seconds,
                          result, cause, recording)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
        ON CONFLICT (id) DO UPDATE SET
            direction = excluded.direction, started = excluded.started, origin = excluded.origin,
            number = excluded.number, dialed = excluded.dialed, queue = excluded.queue,
            user_id = excluded.user_id, contact_id = coalesce(excluded.contact_id, call.contact_id),
            answered = excluded.answered, ended = excluded.ended, wait_seconds = excluded.wait_seconds,
            talk_seconds = excluded.talk_seconds, hold_seconds = excluded.hold_seconds,
            wrapup_seconds = excluded.wrapup_seconds, result = excluded.result, cause = excluded.cause,
            recording = coalesce(excluded.recording, call.recording)
        """,
        [VALUES(record) for record in records],
    )


async def end_unfinished(db: Db, at: datetime.datetime) -> int:
    """Calls and agents' states that a killed product left open end now; call before the floor opens."""
    async with db.acquire() as connection, connection.transaction():
        ended = await connection.fetch(
            """
            UPDATE call SET ended = $1, result = CASE WHEN answered IS NULL THEN 'failed' ELSE 'answered' END,
                            cause = 'restart'
             WHERE ended IS NULL AND started < $1 RETURNING id
            """,
            at,
        )
        await connection.execute("UPDATE shift SET ended = $1 WHERE ended IS NULL AND started < $1", at)
    return len(ended)


# -- Counters ----------------------------------------------------------------------------------------------


class QuarterHour(NamedTuple):
    time: datetime.datetime
    offered: int
    answered: int
    abandoned: int


class QueueDay(NamedTuple):
    queue: str
    offered: int
    answered: int
    abandoned: int
    within_level: int  # answered within the queue's service level
    wait_seconds: float  # of all answered together
    talk_seconds: float


class Figures(NamedTuple):
    answered: int
    made: int
    talk_seconds: int
    tabulated: int


def day_bounds(
    day: datetime.date | None, zone: ZoneInfo = ZONE
) -> tuple[datetime.datetime, datetime.datetime]:
    """Midnight to midnight there; None is today."""
    day = day or datetime.datetime.now(zone).date()
    start = datetime.datetime.combine(day, datetime.time(), zone)
    return start, datetime.datetime.combine(day + datetime.timedelta(days=1), datetime.time(), zone)


async def by_quarter_hour(
    db: Db, day: datetime.date | None = None, queue: str | None = None, zone: ZoneInfo = ZONE
) -> list[QuarterHour]:
    """Calls that came to queues, in each of the day's quarter hours, empty ones too."""
    start, end = day_bounds(day, zone)
    rows = await db.fetch(
        """
        SELECT quarter AS time, count(call.id) AS offered,
               count(call.answered) AS answered,
               count(call.id) FILTER (WHERE call.result = 'abandoned') AS abandoned
          FROM generate_series($1::timestamptz, $2::timestamptz - interval '1 second', '15 minutes')
               AS quarter
          LEFT JOIN call ON call.started >= quarter AND call.started < quarter + interval '15 minutes'
               AND call.started >= $1 AND call.started < $2
               AND call.direction = 'inbound' AND call.queue IS NOT NULL
               AND ($3::text IS NULL OR call.queue = $3)
         GROUP BY quarter ORDER BY quarter
        """,
        start,
        end,
        queue,
    )
    return [QuarterHour(*row.values()) for row in rows]


async def today(db: Db, day: datetime.date | None = None, zone: ZoneInfo = ZONE) -> dict[str, QueueDay]:
    """The day's counters of each queue, by its name; queues without calls too."""
    start, end = day_bounds(day, zone)
    rows = await db.fetch(
        """
        SELECT queue.name AS queue, count(call.id) AS offered,
               count(call.answered) AS answered,
               count(call.id) FILTER (WHERE call.result = 'abandoned') AS abandoned,
               count(call.answered) FILTER (WHERE call.wait_seconds <= queue.service_level_seconds)
                   AS within_level,
               coalesce(sum(call.wait_seconds) FILTER (WHERE call.answered IS NOT NULL), 0) AS wait_seconds,
               coalesce(sum(call.talk_seconds), 0) AS talk_seconds
          FROM queue
          LEFT JOIN call ON call.queue = queue.name AND call.direction = 'inbound'
               AND call.started >= $1 AND call.started < $2
         GROUP BY queue.id ORDER BY queue.id
        """,
        start,
        end,
    )
    return {row["queue"]: QueueDay(*row.values()) for row in rows}


async def figures(db: Db, user_id: int, day: datetime.date | None = None, zone: ZoneInfo = ZONE) -> Figures:
    """What one agent did in a day."""
    start, end = day_bounds(day, zone)
    row = await db.fetchrow(
        """
        SELECT count(answered) FILTER (WHERE direction <> 'outbound') AS answered,
               count(*) FILTER (WHERE direction = 'outbound') AS made,
               coalesce(sum(talk_seconds), 0)::bigint AS talk_seconds,
               (SELECT count(*) FROM tabulation
                 WHERE user_id = $1 AND saved >= $2 AND saved < $3) AS tabulated
          FROM call WHERE user_id = $1 AND started >= $2 AND started < $3
        """,
        user_id,
        start,
        end,
    )
    return Figures(*row.values())
