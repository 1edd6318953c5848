"""Attempts: each try to reach somebody of a list, from the moment of dialing to what came of it."""

import datetime
from dataclasses import dataclass
from typing import Any

import asyncpg

from crm import campaigns, items
from crm.calls import ZONE
from crm.db import Db
from crm.e164 import display
from crm.item_states import Next, Result, Situation, State
from crm.items import Item
from crm.refused import Refused
from crm.users import User

DIALING_MINUTES = 60  # until an item may be tried again whose call was never heard of again
MONTHS = "attempt months"  # what a pool remembers: partitions known to be there


@dataclass(frozen=True, slots=True)
class Attempt:
    id: int
    campaign_id: int
    generation: int
    item_id: int
    contact_id: int
    user_id: int | None
    agent: str
    attempt_number: int
    number: str
    started: datetime.datetime
    answered: datetime.datetime | None
    ended: datetime.datetime | None
    situation: Situation
    sip_status: int | None
    cause: str
    result: Result | None
    category_id: int | None
    ticket_id: int | None
    call_id: str | None
    note: str
    callback_at: datetime.datetime | None
    talk_seconds: float
    handle_seconds: float
    dialed: bool


ATTEMPT = """
    SELECT attempt.id, attempt.campaign_id, attempt.generation, attempt.item_id, attempt.contact_id,
           attempt.user_id, coalesce(user_account.name, '') AS agent, attempt.attempt_number, attempt.number,
           attempt.started, attempt.answered, attempt.ended, attempt.situation, attempt.sip_status,
           attempt.cause, attempt.result, attempt.category_id, attempt.ticket_id, attempt.call_id,
           attempt.note, attempt.callback_at, attempt.talk_seconds, attempt.handle_seconds, attempt.dialed
      FROM attempt
      LEFT JOIN user_account ON user_account.id = attempt.user_id
"""


def read(row: asyncpg.Record) -> Attempt:
    result = Result(row["result"]) if row["result"] else None
    return Attempt(**{**row, "situation": Situation(row["situation"]), "result": result})


async def of_item(db: Db | asyncpg.Connection, item_id: int, limit: int = 100) -> list[Attempt]:
    rows = await db.fetch(
        ATTEMPT + "WHERE attempt.item_id = $1 ORDER BY attempt.started DESC, attempt.id DESC LIMIT $2",
        item_id,
        limit,
    )
    return [read(row) for row in rows]


async def of_contact(db: Db | asyncpg.Connection, contact_id: int, limit: int = 100) -> list[Attempt]:
    """In every campaign, newest first."""
    rows = await db.fetch(
        ATTEMPT + "WHERE attempt.contact_id = $1 ORDER BY attempt.started DESC, attempt.id DESC LIMIT $2",
        contact_id,
        limit,
    )
    return [read(row) for row in rows]


async def by_call(db: Db | asyncpg.Connection, call_id: str) -> Attempt | None:
    row = await db.fetchrow(ATTEMPT + "WHERE attempt.call_id = $1 ORDER BY attempt.id DESC LIMIT 1", call_id)
    return read(row) if row else None


async def number_attempts(db: Db | asyncpg.Connection, number: str, now: datetime.datetime) -> int:
    """How often this number was dialed today, in any campaign, in the centre's time zone."""
    midnight = now.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    return await db.fetchval(
        "SELECT count(*) FROM attempt WHERE number = $1 AND dialed AND started >= $2",
        number,
        midnight,
    )


# -- Trying ------------------------------------------------------------------------------------------------


async def begin(
    db: Db,
    user: User,
    item_id: int,
    number: str,
    now: datetime.datetime,
    call_id: str | None = None,
) -> Attempt:
    """A call about to be dialed. The item has to be this agent's; from here on it counts as tried.

    Refused above the limit of attempts of the item or of the number in a day, when the number is blocked
    or not this person's, and outside the campaign's hours: asked here in the same transaction that counts
    it, whatever was asked before.
    """
    await ensure_month(db, now)
    async with db.acquire() as connection, connection.transaction():
        item = await items.locked(connection, item_id)
        if item.held_by != user.id:
            raise await items.not_yours(connection, item)
        await check_may_dial(connection, item, number, now)
        return await insert(connection, item, user, number, now, Situation.DIALING, call_id, dialed=True)


async def check_may_dial(
    connection: asyncpg.Connection, item: Item, number: str, now: datetime.datetime
) -> None:
    campaign = await campaigns.found(connection, item.campaign_id)
    campaigns.check_open(campaign, now)
    if item.state in (State.CONCLUDED, State.HIT_LIMIT, State.CANCELLED) or (
        item.attempts >= campaign.attempts_max and item.state is not State.TO_CALL_BACK
    ):
        raise Refused(
            "{contact} was tried {n} times, and the campaign allows {most}.",
            code="attempts_max",
            contact=item.contact,
            n=item.attempts,
            most=campaign.attempts_max,
        )
    known = {each.number: each for each in await items.phones(connection, campaign.id, item.contact_id)}
    phone = known.get(number)
    if phone is None and number != item.callback_phone:
        raise Refused(
            "{number} is no number at which this campaign reaches {contact}.",
            code="not_a_number",
            number=display(number),
            contact=item.contact,
        )
    if await connection.fetchval("SELECT is_blocked($1, $2)", number, campaign.id):
        raise Refused("{number} is blocked.", code="blocked", number=display(number))
    if phone is not None and phone.wrong:
        raise Refused("{number} is a wrong number.", code="wrong_number", number=display(number))
    # Whoever dials the same number at the same moment waits here, and then counts this attempt too.
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", "attempt " + number)
    today = await number_attempts(connection, number, now)
    if today >= campaign.number_attempts_per_day_max:
        raise Refused(
            "{number} was tried {n} times today, and the campaign allows {most}.",
            code="day_limit",
            number=display(number),
            n=today,
            most=campaign.number_attempts_per_day_max,
        )


async def without_call(
    db: Db,
    user: User,
    item_id: int,
    situation: Situation,
    now: datetime.datetime,
    *,
    number: str = "",
    note: str = "",
) -> Attempt:
    """What the agent wrote down without dialing (UAU-53, UAU-54, UAU-57): an attempt of the item."""
    await ensure_month(db, now)
    async with db.acquire() as connection, connection.transaction():
        item = await items.locked(connection, item_id)
        if item.held_by != user.id:
            raise await items.not_yours(connection, item)
        attempt = await insert(connection, item, user, number, now, situation, None, dialed=False)
        await connection.execute(
            "UPDATE attempt SET ended = $3, note = $4 WHERE id = $1 AND started = $2",
            attempt.id,
            attempt.started,
            now,
            note,
        )
        return await again(connection, attempt)


async def insert(
    connection: asyncpg.Connection,
    item: Item,
    user: User,
    number: str,
    now: datetime.datetime,
    situation: Situation,
    call_id: str | None,
    *,
    dialed: bool,
) -> Attempt:
    """The row and the item together. Until its end is known the item counts as tried, due in an hour."""
    attempts = await connection.fetchval(
        """
        UPDATE list_item
           SET attempts = attempts + 1, state = CASE state WHEN 0 THEN 2 WHEN 1 THEN 3 ELSE state END,
               due_at = $2, last_attempt_at = $3, last_situation = $4
         WHERE id = $1 RETURNING attempts
        """,
        item.id,
        now + datetime.timedelta(minutes=DIALING_MINUTES),
        now,
        situation,
    )
    attempt_id = await connection.fetchval(
        """
        INSERT INTO attempt (campaign_id, generation, item_id, contact_id, user_id, attempt_number, number,
                             started, situation, call_id, dialed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id
        """,
        item.campaign_id,
        item.generation,
        item.id,
        item.contact_id,
        user.id,
        attempts,
        number,
        now,
        situation,
        call_id,
        dialed,
    )
    row = await connection.fetchrow(
        ATTEMPT + "WHERE attempt.id = $1 AND attempt.started = $2", attempt_id, now
    )
    return read(row)


async def end(
    db: Db,
    attempt: Attempt,
    situation: Situation,
    now: datetime.datetime,
    *,
    next: Next | None = None,
    answered: datetime.datetime | None = None,
    sip_status: int | None = None,
    cause: str = "",
    talk_seconds: float = 0,
    call_id: str | None = None,
    dialed: bool = True,
) -> Attempt:
    """How the call ended. `next` (of `dialer.retry`) says where its item stands now, in whoever's hands.

    Of somebody who answered, `next` is None: the agent says it with `items.finish`. A number the call never
    went out to (`dialed` false) is not counted as called.
    """
    async with db.acquire() as connection, connection.transaction():
        await connection.execute(
            """
            UPDATE attempt
               SET situation = $3, ended = $4, answered = $5, sip_status = $6, cause = $7, talk_seconds = $8,
                   call_id = coalesce($9, call_id), dialed = attempt.dialed AND $10
             WHERE id = $1 AND started = $2
            """,
            attempt.id,
            attempt.started,
            situation,
            now,
            answered,
            sip_status,
            cause,
            talk_seconds,
            call_id,
            dialed,
        )
        row = await connection.fetchrow(
            """
            UPDATE list_item SET last_situation = $3
             WHERE id = $1 AND attempts = $2 RETURNING id
            """,
            attempt.item_id,
            attempt.attempt_number,
            situation,
        )
        if row is not None and next is not None:  # else it was archived, or tried again meanwhile
            item = await items.locked(connection, attempt.item_id)
            if item.state in (State.TRYING, State.TRYING_CALLBACK):
                await items.stand(connection, item, attempt.user_id, next, now, number=attempt.number)
        return await again(connection, attempt)


async def conclude(
    db: Db | asyncpg.Connection,
    attempt: Attempt,
    result: Result | None,
    *,
    category_id: int | None = None,
    ticket_id: int | None = None,
    note: str | None = None,
    callback_at: datetime.datetime | None = None,
    handle_seconds: float | None = None,
) -> None:
    """What the agent said about it. What is not given stays as it was."""
    await db.execute(
        """
        UPDATE attempt
           SET result = coalesce($3, result), category_id = coalesce($4, category_id),
               ticket_id = coalesce($5, ticket_id), note = coalesce($6, note),
               callback_at = coalesce($7, callback_at), handle_seconds = coalesce($8, handle_seconds)
         WHERE id = $1 AND started = $2
        """,
        attempt.id,
        attempt.started,
        result,
        category_id,
        ticket_id,
        note,
        callback_at,
        handle_seconds,
    )


async def again(connection: asyncpg.Connection, attempt: Attempt) -> Attempt:
    row = await connection.fetchrow(
        ATTEMPT + "WHERE attempt.id = $1 AND attempt.started = $2", attempt.id, attempt.started
    )
    return read(row)


async def close_left_open(db: Db, now: datetime.datetime) -> int:
    """Once at the start: calls of a server that stopped were cut off; their items may be tried again."""
    answer = await db.execute(
        """
        WITH cut AS (
            UPDATE attempt SET situation = 'discarded_cti', ended = $1, cause = 'restart'
             WHERE situation = 'dialing' AND ended IS NULL AND started < $1::timestamptz
               AND started > $1::timestamptz - interval '2 days'
            RETURNING item_id, attempt_number
        )
        UPDATE list_item SET last_situation = 'discarded_cti' FROM cut
         WHERE list_item.id = cut.item_id AND list_item.attempts = cut.attempt_number
        """,
        now,
    )
    return int(answer.split()[-1])


async def ensure_month(db: Db, now: datetime.datetime) -> None:
    """The partitions of this month and the next, asked of the database once for each."""
    known: set[Any] = db.remembered.setdefault(MONTHS, set())
    utc = now.astimezone(datetime.UTC).date().replace(day=1)
    if utc not in known:
        following = (utc + datetime.timedelta(days=32)).replace(day=1)
        await db.execute("SELECT ensure_attempt_partition($1), ensure_attempt_partition($2)", utc, following)
        known.add(utc)
