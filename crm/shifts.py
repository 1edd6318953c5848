"""Shifts: how long each agent was in which state."""

import datetime
from dataclasses import dataclass

import asyncpg

from crm.db import Db


@dataclass(frozen=True, slots=True)
class ShiftInterval:
    """Put into the history when the state is left, or entered with `ended` None; the last one wins."""

    user_id: int
    state: str
    started: datetime.datetime
    ended: datetime.datetime | None = None
    reason: str | None = None


async def of_user(
    db: Db, user_id: int, start: datetime.datetime, end: datetime.datetime
) -> list[ShiftInterval]:
    rows = await db.fetch(
        """
        SELECT user_id, state, started, ended, reason FROM shift
         WHERE user_id = $1 AND started >= $2 AND started < $3 ORDER BY started
        """,
        user_id,
        start,
        end,
    )
    return [ShiftInterval(**row) for row in rows]


async def write_history(connection: asyncpg.Connection, intervals: list[ShiftInterval]) -> None:
    await connection.executemany(
        """
        INSERT INTO shift (user_id, state, started, ended, reason) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (user_id, started) DO UPDATE SET
            state = excluded.state, ended = coalesce(excluded.ended, shift.ended), reason = excluded.reason
        """,
        [(i.user_id, i.state, i.started, i.ended, i.reason) for i in intervals],
    )
