"""Attempts: each try to reach somebody of a list, from the moment of dialing to what came of it."""

import datetime
from dataclasses import dataclass
from typing import Any

import asyncpg

from crm import campaigns, items
from crm.calls import ZONE
from crm.campaigns import Campaign
from crm.db import Db
from crm.dialing import Dialing
from crm.e164 import display
from crm.entry import missing
from crm.item_states import STATE_LABELS, TO_WORK, Next, Result, Situation, State
from crm.items import Item
from crm.refused import Refused
from crm.users import DIALER, User

DIALING_MINUTES = 60  # until an item may be tried again whose call was never heard of again
IN_CALL = "interval '12 hours'"  # no call is longer: one without an end was begun on a server that died
# For how long somebody whom no agent was free for is not called, as the campaign says.
DAYS = f"coalesce((campaign.dialing ->> 'lockout_days')::integer, {Dialing().lockout_days})"
LOCKOUT = f"make_interval(days => {DAYS})"
RESTART = "restart"  # the cause of a call that was cut because the server stopped
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
    handle_seconds: float  # of a call of the dialer: since the agent had it
    dialed: bool
    by_dialer: bool
    trunk_id: int | None
    connected: datetime.datetime | None  # of a call of the dialer: when an agent had it
    agent_idle_seconds: float | None  # that the agent had waited for it
    detection: str  # human, machine, fax, silence, music; empty when nothing was listened for
    detection_ms: int | None


FACTS = """
    attempt.id, attempt.campaign_id, attempt.generation, attempt.item_id, attempt.contact_id, attempt.user_id,
    coalesce((SELECT name FROM user_account WHERE user_account.id = attempt.user_id), '') AS agent,
    attempt.attempt_number, attempt.number, attempt.started, attempt.answered, attempt.ended,
    attempt.situation, attempt.sip_status, attempt.cause, attempt.result, attempt.category_id,
    attempt.ticket_id, attempt.call_id, attempt.note, attempt.callback_at, attempt.talk_seconds,
    attempt.handle_seconds, attempt.dialed, attempt.by_dialer, attempt.trunk_id, attempt.connected,
    attempt.agent_idle_seconds, attempt.detection, attempt.detection_ms
"""
ATTEMPT = f"SELECT {FACTS} FROM attempt "


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


# -- Trying ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether a number may be dialed for an item, as it was at one moment."""

    item: Item
    campaign: Campaign
    known: bool  # this campaign reaches this person there
    wrong: bool  # it turned out to be somebody else's
    blocked: bool
    today: int  # how often it was dialed today, in any campaign, where the centre is
    abandoned: datetime.datetime | None  # when somebody there last met no agent, within the lockout
    in_call: bool  # the person is being called now, at any number, or how that ended is not yet written


STANDING = f"""
    SELECT {items.COLUMNS}, campaign.updated, campaign.status, campaign.generation AS campaign_generation,
           phone.known, phone.wrong, is_blocked($2, item.campaign_id) AS blocked, tries.today,
           tries.abandoned, tries.in_call OR EXISTS (
               SELECT FROM attempt
                WHERE attempt.contact_id = item.contact_id AND attempt.dialed AND attempt.ended IS NULL
                  AND attempt.started > $4::timestamptz - {IN_CALL}) AS in_call
      FROM list_item AS item
      JOIN campaign ON campaign.id = item.campaign_id
     CROSS JOIN LATERAL (
           SELECT count(*) > 0 AS known, coalesce(bool_or(listed.wrong), false) AS wrong
             FROM campaign_phones(item.campaign_id, item.contact_id) AS listed
            WHERE listed.number = $2) AS phone
     CROSS JOIN LATERAL (
           SELECT count(*) FILTER (WHERE attempt.started >= $3::timestamptz) AS today,
                  max(attempt.started) FILTER (WHERE attempt.situation = 'abandoned'
                      AND attempt.started > $4::timestamptz - {LOCKOUT}) AS abandoned,
                  coalesce(bool_or(attempt.ended IS NULL AND attempt.started >
                      $4::timestamptz - {IN_CALL}), false) AS in_call
             FROM attempt
            WHERE attempt.number = $2 AND attempt.dialed
              AND attempt.started >= least($3::timestamptz, $4::timestamptz - {LOCKOUT},
                                           $4::timestamptz - {IN_CALL})) AS tries
     WHERE item.id = $1
"""


FACTS_OF_NUMBER = ("known", "wrong", "blocked", "today", "abandoned", "in_call")


async def standing(
    db: Db, item_id: int, number: str, now: datetime.datetime, connection: asyncpg.Connection | None = None
) -> Standing:
    """Read in one statement, in the transaction of `connection` when it is given."""
    row = await (connection or db).fetchrow(STANDING, item_id, number, midnight(now), now)
    if row is None:
        raise missing("item")
    values = dict(row)
    facts = {name: values.pop(name) for name in FACTS_OF_NUMBER}
    stamp = tuple(values.pop(name) for name in ("updated", "status", "campaign_generation"))
    campaign = await campaigns.as_of(db, connection or db, values["campaign_id"], stamp)
    return Standing(items.read(values), campaign, **facts)


def midnight(now: datetime.datetime) -> datetime.datetime:
    return now.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)


def check_item(item: Item, campaign: Campaign) -> None:
    """Refused when the item is not to be called any more."""
    if item.state not in TO_WORK:
        raise Refused(
            "{contact} cannot be called any more: {state}.",
            code="concluded",
            contact=item.contact,
            state=STATE_LABELS[item.state],
        )
    # A callback is a promise: the limit of attempts does not break it.
    if item.attempts >= campaign.attempts_max and item.state is not State.TO_CALL_BACK:
        raise Refused(
            "{contact} was tried {n} times, and the campaign allows {most}.",
            code="attempts_max",
            contact=item.contact,
            n=item.attempts,
            most=campaign.attempts_max,
        )


def check_number(standing: Standing, number: str) -> None:
    """Refused when it is not this person's, or blocked."""
    if not standing.known and number != standing.item.callback_phone:
        raise Refused(
            "{number} is no number at which this campaign reaches {contact}.",
            code="not_a_number",
            number=display(number),
            contact=standing.item.contact,
        )
    if standing.wrong:
        raise Refused("{number} is a wrong number.", code="wrong_number", number=display(number))
    if standing.blocked:
        raise Refused("{number} is blocked: it may not be called.", code="blocked", number=display(number))


def check_tries(standing: Standing, number: str) -> None:
    """Refused when the number was tried too often today, when somebody there met no agent a short time ago,
    and while the person is being called."""
    if standing.today >= standing.campaign.number_attempts_per_day_max:
        raise Refused(
            "{number} was tried {n} times today, and the campaign allows {most}.",
            code="day_limit",
            number=display(number),
            n=standing.today,
            most=standing.campaign.number_attempts_per_day_max,
        )
    if standing.abandoned is not None:
        raise Refused(
            "At {number} somebody met no agent on {day}; it is not called for {n} days after.",
            code="lockout",
            number=display(number),
            day=f"{standing.abandoned.astimezone(ZONE):%Y-%m-%d}",
            n=standing.campaign.dialing.lockout_days,
        )
    if standing.in_call:
        raise Refused(
            "{contact} is being called at this moment.", code="in_call", contact=standing.item.contact
        )


async def begin(
    db: Db,
    user: User,
    item_id: int,
    number: str,
    now: datetime.datetime,
    call_id: str | None = None,
) -> Attempt:
    """A call about to be dialed. The item has to be this agent's or, with `crm.users.DIALER` as user, the
    dialer's; from here on it counts as tried. Nobody is the agent of a dialer's attempt until `taken`.

    Refused above the limit of attempts of the item or of the number in a day, when the number is blocked
    or not this person's, within the lockout after an abandoned call, and outside the campaign's hours:
    asked here in the same transaction that counts it, whatever was asked before.
    """
    await ensure_month(db, now)
    async with db.acquire() as connection, connection.transaction():
        # Whoever dials the same number or person at the same moment waits here, then knows of this attempt.
        await connection.execute(
            """
            SELECT pg_advisory_xact_lock(hashtextextended('attempt ' || $2, 0)),
                   pg_advisory_xact_lock(hashtextextended('attempt of ' || contact_id, 0))
              FROM list_item WHERE id = $1 FOR UPDATE
            """,
            item_id,
            number,
        )
        now_so = await standing(db, item_id, number, now, connection)
        if now_so.item.held_by != user.id:
            raise await items.not_yours(connection, now_so.item)
        campaigns.check_open(now_so.campaign, now)
        check_item(now_so.item, now_so.campaign)
        check_number(now_so, number)
        check_tries(now_so, number)
        return await insert(
            connection, now_so.item, user, number, now, Situation.DIALING, call_id, dialed=True
        )


async def taken(
    db: Db | asyncpg.Connection,
    attempt: Attempt,
    user: User,
    connected: datetime.datetime,
    *,
    answered: datetime.datetime | None = None,
    idle_seconds: float | None = None,
) -> Attempt:
    """An agent has the dialer's call: from now on it is the agent's, in reports too.

    `answered` is when the person lifted, `idle_seconds` how long the agent had waited.
    """
    row = await db.fetchrow(
        f"""
        UPDATE attempt SET user_id = $3, connected = $4, answered = coalesce($5, answered),
                           agent_idle_seconds = $6
         WHERE id = $1 AND started = $2 RETURNING {FACTS}
        """,
        attempt.id,
        attempt.started,
        user.id,
        connected,
        answered,
        idle_seconds,
    )
    return read(row)


async def carried(
    db: Db | asyncpg.Connection,
    attempt: Attempt,
    trunk_id: int | None,
    detection: str = "",
    detection_ms: int | None = None,
) -> None:
    """What is known of the dialer's call besides its end: over which trunk, and who was heard to answer."""
    await db.execute(
        """
        UPDATE attempt SET trunk_id = $3, detection = $4, detection_ms = $5 WHERE id = $1 AND started = $2
        """,
        attempt.id,
        attempt.started,
        trunk_id,
        detection,
        detection_ms,
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
    row = await connection.fetchrow(
        f"""
        WITH item AS (
            UPDATE list_item
               SET attempts = attempts + 1, state = CASE state WHEN 0 THEN 2 WHEN 1 THEN 3 ELSE state END,
                   due_at = $2, last_attempt_at = $3, last_situation = $4
             WHERE id = $1 RETURNING id, campaign_id, generation, contact_id, attempts
        )
        INSERT INTO attempt (campaign_id, generation, item_id, contact_id, user_id, attempt_number, number,
                             started, situation, call_id, dialed, by_dialer)
        SELECT campaign_id, generation, id, contact_id, $5, attempts, $6, $3, $4, $7, $8, $9 FROM item
        RETURNING {FACTS}
        """,
        item.id,
        now + datetime.timedelta(minutes=DIALING_MINUTES),
        now,
        situation,
        user.id or None,
        number,
        call_id,
        dialed,
        user.id == DIALER.id,
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
    counts: bool = True,
    trunk_id: int | None = None,
    detection: str = "",
    detection_ms: int | None = None,
) -> Attempt:
    """How the call ended. `next` (of `dialer.retry`) says where its item stands now, in whoever's hands.

    Of somebody who answered, `next` is None: the agent says it with `items.finish`. A number the call never
    went out to (`dialed` false) is not counted as called, and a try that is none (`counts` false) not among
    the item's. Of `answered` the earliest said is kept.
    """
    async with db.acquire() as connection, connection.transaction():
        ended = await connection.fetchrow(
            f"""
            UPDATE attempt
               SET situation = $3, ended = $4, answered = least(answered, $5), sip_status = $6, cause = $7,
                   talk_seconds = $8, call_id = coalesce($9, call_id), dialed = attempt.dialed AND $10,
                   trunk_id = coalesce($11, trunk_id), detection = coalesce(nullif($12, ''), detection),
                   detection_ms = coalesce($13, detection_ms)
             WHERE id = $1 AND started = $2
            RETURNING {FACTS}
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
            trunk_id,
            detection,
            detection_ms,
        )
        row = await connection.fetchrow(
            """
            UPDATE list_item
               SET last_situation = $3, attempts = CASE WHEN $4 THEN attempts ELSE attempts - 1 END
             WHERE id = $1 AND attempts = $2 RETURNING id
            """,
            attempt.item_id,
            attempt.attempt_number,
            situation,
            counts,
        )
        if row is not None and next is not None:  # else it was archived, or tried again meanwhile
            item = await items.locked(connection, attempt.item_id)
            if item.state in (State.TRYING, State.TRYING_CALLBACK):
                by = attempt.user_id or DIALER.id
                await items.stand(connection, item, by, next, now, number=attempt.number)
    return read(ended)


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


async def again(connection: Db | asyncpg.Connection, attempt: Attempt) -> Attempt:
    row = await connection.fetchrow(
        ATTEMPT + "WHERE attempt.id = $1 AND attempt.started = $2", attempt.id, attempt.started
    )
    return read(row)


async def close_left_open(db: Db, now: datetime.datetime) -> int:
    """Once at the start: calls of a server that stopped were cut off; their items may be tried again."""
    answer = await db.execute(
        f"""
        WITH cut AS (
            UPDATE attempt SET situation = 'discarded_cti', ended = $1, cause = '{RESTART}'
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
