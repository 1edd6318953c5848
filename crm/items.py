"""Items of a campaign's list: who is called next, in whose hands they are, and where they go from there.

In use is a lease (held_by until held_until) on top of the state. It is renewed while the agent's desk is
there and ends by itself when it is not; an agent holds one item at most, an item one agent.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from crm import audit, campaigns
from crm.campaigns import Campaign
from crm.db import Db
from crm.entry import Entry, missing
from crm.item_states import STATE_LABELS, TO_WORK, Next, Result, State
from crm.lists import Load, add, generate, link, loads, show_list
from crm.progress import Criteria, Page, Progress, progress, search, why_not_called
from crm.refused import Refused
from crm.said import Said
from crm.users import User, can, require

__all__ = [
    "Criteria",
    "Held",
    "Item",
    "Load",
    "Page",
    "Phone",
    "Progress",
    "Said",
    "add",
    "by_id",
    "cancel",
    "claim_next",
    "claim_this",
    "finish",
    "finish_in",
    "generate",
    "held",
    "held_by",
    "link",
    "loads",
    "locked_of",
    "of_contact",
    "phones",
    "progress",
    "release",
    "release_held",
    "renew",
    "reopen",
    "search",
    "show_list",
    "stand",
    "sweep_expired",
    "why_not_called",
]

LEASE_SECONDS = 60
RELEASED_JUST_NOW = datetime.timedelta(minutes=5)  # for how long its agent is told who took an item back
PASSED_OVER_MAX = 50  # items put aside in one claim, each with those like it behind
DEFERRED_AT_ONCE = 1000
HELD_BY = "list_item_held_by"  # the index that lets an agent hold one item


@dataclass(frozen=True, slots=True)
class Item:
    id: int
    campaign_id: int
    contact_id: int
    contact: str  # the name
    generation: int
    state: State
    priority: int
    attempts: int
    due_at: datetime.datetime | None
    callback_owner: int | None
    callback_phone: str
    callback_note: str
    result: Result | None
    last_attempt_at: datetime.datetime | None
    last_situation: str
    ticket_id: int | None
    held_by: int | None
    held_until: datetime.datetime | None
    held_since: datetime.datetime | None

    def is_overdue(self, now: datetime.datetime) -> bool:
        """A callback whose time has come: it jumped the queue, and the agent is told so."""
        callback = self.state in (State.TO_CALL_BACK, State.TRYING_CALLBACK)
        return callback and self.due_at is not None and self.due_at <= now


@dataclass(frozen=True, slots=True)
class Phone:
    """A number at which a campaign may reach somebody."""

    number: str
    person: str  # of a company: whose it is
    type: str  # of a company: the type of contact
    blocked: bool
    wrong: bool  # it turned out to be somebody else's, or nobody's

    @property
    def callable(self) -> bool:
        return not (self.blocked or self.wrong)


@dataclass(frozen=True, slots=True)
class Held:
    """An item in use (UAU-37)."""

    item_id: int
    campaign_id: int
    campaign: str
    contact_id: int
    contact: str
    user_id: int
    agent: str
    since: datetime.datetime
    until: datetime.datetime


COLUMNS = """
    item.id, item.campaign_id, item.contact_id,
    (SELECT name FROM contact WHERE contact.id = item.contact_id) AS contact, item.generation, item.state,
    item.priority, item.attempts, item.due_at, item.callback_owner, item.callback_phone,
    item.callback_note, item.result, item.last_attempt_at, item.last_situation, item.ticket_id,
    item.held_by, item.held_until, item.held_since
"""


def read(row: asyncpg.Record | Mapping[str, Any]) -> Item:
    result = Result(row["result"]) if row["result"] else None
    return Item(**{**row, "state": State(row["state"]), "result": result})


async def by_id(db: Db | asyncpg.Connection, item_id: int) -> Item | None:
    row = await db.fetchrow(f"SELECT {COLUMNS} FROM list_item AS item WHERE item.id = $1", item_id)
    return read(row) if row else None


async def held_by(db: Db | asyncpg.Connection, user_id: int) -> Item | None:
    """The one item in this agent's hands."""
    row = await db.fetchrow(f"SELECT {COLUMNS} FROM list_item AS item WHERE item.held_by = $1", user_id)
    return read(row) if row else None


async def of_contact(db: Db | asyncpg.Connection, campaign_id: int, contact_id: int) -> Item | None:
    """Where a customer stands on a campaign's list; None when they are not on it."""
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM list_item AS item WHERE item.contact_id = $2 AND item.campaign_id = $1",
        campaign_id,
        contact_id,
    )
    return read(row) if row else None


async def phones(db: Db | asyncpg.Connection, campaign_id: int, contact_id: int) -> tuple[Phone, ...]:
    """In the order to try; blocked and wrong ones too, each told."""
    rows = await db.fetch(
        """
        SELECT number, person, type, blocked, wrong FROM campaign_phones($1, $2) ORDER BY place, number
        """,
        campaign_id,
        contact_id,
    )
    return tuple({row["number"]: Phone(**row) for row in reversed(rows)}.values())[::-1]


# -- Taking ------------------------------------------------------------------------------------------------

# UAU-47: callbacks whose time has come, own and free ones, the longest overdue first; then whom nobody tried,
# in the list's order; then whom somebody tried, the fewest attempts first, when their next try is due.
# The arms are probed one after the other, each a descent of its own index, and only until one answers.
# Heads are compared before they are locked, so that no lock is taken on what is not taken.
# It does not wait for the disk: a crash that forgets a lease of the last moment forgets an item in use only,
# and whatever is written about the item afterwards is written behind it.
CLAIM = f"""
    WITH campaign_now AS MATERIALIZED (
        SELECT attempts_max, set_config('synchronous_commit', 'off', true) FROM campaign
         WHERE id = $1 AND status = 'active' AND updated = $5
    ), own AS MATERIALIZED (
        SELECT id, due_at, priority FROM list_item
         WHERE campaign_id = $1 AND state IN (1, 3) AND held_by IS NULL AND callback_owner = $2
           AND due_at <= $3
         ORDER BY due_at, priority, id LIMIT 1
    ), free AS MATERIALIZED (
        SELECT id, due_at, priority FROM list_item
         WHERE campaign_id = $1 AND state IN (1, 3) AND held_by IS NULL AND callback_owner IS NULL
           AND due_at <= $3
         ORDER BY callback_owner, due_at, priority, id LIMIT 1
    ), pick AS MATERIALIZED (
        SELECT chosen.id FROM campaign_now CROSS JOIN LATERAL (
            SELECT id FROM (
                SELECT id FROM list_item WHERE held_by = $2 AND campaign_id = $1 FOR UPDATE) AS mine
            UNION ALL
            SELECT id FROM (
                SELECT list_item.id FROM list_item
                 WHERE list_item.held_by IS NULL AND list_item.id = (
                       SELECT own.id FROM own LEFT JOIN free ON true
                        WHERE free.id IS NULL
                           OR (own.due_at, own.priority, own.id) < (free.due_at, free.priority, free.id))
                   FOR UPDATE SKIP LOCKED) AS own_first
            UNION ALL
            SELECT id FROM (
                SELECT id FROM list_item
                 WHERE campaign_id = $1 AND state IN (1, 3) AND held_by IS NULL AND callback_owner IS NULL
                   AND due_at <= $3 AND EXISTS (SELECT FROM free)
                 ORDER BY callback_owner, due_at, priority, id LIMIT 1 FOR UPDATE SKIP LOCKED) AS free_first
            UNION ALL
            SELECT id FROM (
                SELECT list_item.id FROM list_item
                 WHERE list_item.held_by IS NULL AND list_item.id = (SELECT own.id FROM own)
                   FOR UPDATE SKIP LOCKED) AS own_after_all
            UNION ALL
            SELECT id FROM (
                SELECT id FROM list_item
                 WHERE campaign_id = $1 AND state = 0 AND due_at IS NULL AND held_by IS NULL
                 ORDER BY priority, id LIMIT 1 FOR UPDATE SKIP LOCKED) AS not_worked
            UNION ALL
            (SELECT trying.id FROM generate_series(0, campaign_now.attempts_max) AS tried
              CROSS JOIN LATERAL (
                SELECT id FROM list_item
                 WHERE campaign_id = $1 AND state = 2 AND held_by IS NULL AND attempts = tried
                   AND due_at <= $3
                 ORDER BY due_at, priority, id LIMIT 1 FOR UPDATE SKIP LOCKED) AS trying
              LIMIT 1)
        ) AS chosen LIMIT 1
    )
    UPDATE list_item AS item
       SET held_by = $2, held_until = $4, held_since = coalesce(item.held_since, $3)
      FROM pick WHERE item.id = pick.id
    RETURNING {COLUMNS},
              ARRAY (SELECT number FROM campaign_phones($1, item.contact_id)
                      WHERE NOT (blocked OR wrong)) AS callable
"""


async def claim_next(
    db: Db,
    campaign: Campaign,
    user: User,
    now: datetime.datetime,
    lease_seconds: float = LEASE_SECONDS,
    closed: Mapping[str, datetime.datetime] | None = None,
) -> Item | None:
    """The next item, now this agent's, in the order of UAU-47; None when there is nobody to call now.

    An agent who has one gets it again. `closed` is of `dialer.windows.closed_area_codes`: whom no number
    reaches at this hour waits until the first of them opens. Refused when the campaign is not open to him.
    """
    for _ in range(PASSED_OVER_MAX):
        claimed = await claim(db, campaign, user, now, lease_seconds)
        if claimed is None:
            return None
        item, numbers = claimed
        if item.state not in TO_WORK:  # it came to its end in the agent's hands
            await let_go(db, item.id, user.id)
            continue
        opens = all_closed(numbers, closed or {}) if campaign.respect_destination_window else None
        if opens is not None and closed:
            await defer(db, item, opens, closed)
        elif numbers:
            return item
        else:
            await give_up(db, item)
    return None


async def claim(
    db: Db, campaign: Campaign, user: User, now: datetime.datetime, lease_seconds: float
) -> tuple[Item, list[str]] | None:
    """With the numbers that may be called.

    A campaign changed since it was read is read again, and a lease that has ended is taken back.
    """
    until = now + datetime.timedelta(seconds=lease_seconds)
    swept = False
    while True:
        check_may_work(campaign, user, now)
        try:
            row = await db.fetchrow(CLAIM, campaign.id, user.id, now, until, campaign.updated)
        except asyncpg.UniqueViolationError as e:
            if e.constraint_name != HELD_BY:
                raise
            await only_here(db, campaign.id, user, now)
            continue
        if row is not None:
            facts = dict(row)
            numbers = facts.pop("callable")
            return read(facts), numbers
        fresh = await campaigns.found(db, campaign.id)
        if fresh.updated != campaign.updated or fresh.status != campaign.status:
            campaign = fresh
        elif swept:
            return None
        else:
            swept = True
            await sweep_expired(db, now)


def check_may_work(campaign: Campaign, user: User, now: datetime.datetime) -> None:
    if not (campaigns.belongs(campaign, user) and can(user, "take_calls")):
        raise Refused(
            "{name} does not belong to the campaign {campaign}.",
            code="not_allowed",
            name=user.name,
            campaign=campaign.name,
        )
    campaigns.check_open(campaign, now)


async def only_here(db: Db, campaign_id: int, user: User, now: datetime.datetime) -> None:
    """Refused when the agent holds an item of another campaign; one whose lease has ended goes back first."""
    other = await held_by(db, user.id)
    if other is not None and other.campaign_id != campaign_id:
        await only_one(db, user, now)


async def only_one(db: Db, user: User, now: datetime.datetime) -> None:
    """Refused when the agent holds an item; one whose lease has ended goes back first."""
    other = await held_by(db, user.id)
    if other is None:
        return
    if other.held_until is not None and other.held_until <= now:
        await let_go(db, other.id, user.id)
    else:
        await refuse_another(db, other)


async def refuse_another(db: Db | asyncpg.Connection, other: Item) -> None:
    campaign = await campaigns.found(db, other.campaign_id)
    raise Refused(
        "You still have {contact} of the campaign {campaign}; finish or leave it first.",
        code="has_another",
        details={"item_id": other.id, "campaign_id": other.campaign_id},
        contact=other.contact,
        campaign=campaign.name,
    )


def all_closed(numbers: Sequence[str], closed: Mapping[str, datetime.datetime]) -> datetime.datetime | None:
    """When the first of the numbers opens, None when one is open now or there is none."""
    opens = [closed.get(number[3:5]) if number.startswith("+55") else None for number in numbers]
    return None if None in opens or not opens else min(each for each in opens if each is not None)


async def defer(
    db: Db, item: Item, opens: datetime.datetime, closed: Mapping[str, datetime.datetime]
) -> None:
    """It waits for its place to open. Of those not worked, the next in line of the same kind wait with it."""
    async with db.acquire() as connection, connection.transaction():
        await connection.execute(
            """
            UPDATE list_item SET due_at = $2, held_by = NULL, held_until = NULL, held_since = NULL
             WHERE id = $1
            """,
            item.id,
            opens,
        )
        if item.state is State.NOT_WORKED:
            await defer_alike(connection, item.campaign_id, closed)


async def defer_alike(
    db: Db | asyncpg.Connection, campaign_id: int, closed: Mapping[str, datetime.datetime]
) -> None:
    """Of the next in line, those whose every place is closed wait for the first of them to open."""
    await db.execute(
        """
        WITH next AS MATERIALIZED (
            SELECT id, contact_id FROM list_item
             WHERE campaign_id = $1 AND state = 0 AND due_at IS NULL AND held_by IS NULL
             ORDER BY priority, id LIMIT $4 FOR UPDATE SKIP LOCKED
        )
        UPDATE list_item SET due_at = shut.opens
          FROM next
          JOIN contact ON contact.id = next.contact_id AND contact.kind = 'person'
         CROSS JOIN LATERAL (
            SELECT min(known.opens) AS opens, bool_and(known.opens IS NOT NULL) AS all
              FROM contact_phone AS phone
              LEFT JOIN unnest($2::text[], $3::timestamptz[]) AS known (area_code, opens)
                ON phone.number LIKE '+55%' AND substr(phone.number, 4, 2) = known.area_code
             WHERE phone.contact_id = next.contact_id) AS shut
         WHERE list_item.id = next.id AND shut.all
        """,
        campaign_id,
        list(closed),
        list(closed.values()),
        DEFERRED_AT_ONCE,
    )


async def give_up(db: Db, item: Item) -> None:
    """Nobody can be reached: each number is blocked or wrong, or there is none."""
    await db.execute(
        """
        UPDATE list_item SET state = 6, due_at = NULL, last_situation = 'blocked', held_by = NULL,
                             held_until = NULL, held_since = NULL
         WHERE id = $1
        """,
        item.id,
    )


async def claim_this(
    db: Db, item_id: int, user: User, now: datetime.datetime, lease_seconds: float = LEASE_SECONDS
) -> Item:
    """One the agent chose. Refused with who has it, or why it cannot be worked."""
    async with db.acquire() as connection, connection.transaction():
        item = await locked(connection, item_id)
        check_may_work(await campaigns.found(connection, item.campaign_id), user, now)
        await check_free(connection, item, user, now)
        other = await held_by(connection, user.id)
        if other is not None and other.id != item_id:
            if other.held_until is None or other.held_until > now:
                await refuse_another(connection, other)
            await let_go(connection, other.id, user.id)
        try:
            async with connection.transaction():
                row = await connection.fetchrow(
                    f"""
                    UPDATE list_item AS item
                       SET held_by = $2, held_until = $3,
                           held_since = CASE WHEN item.held_by = $2 THEN item.held_since ELSE $4 END
                     WHERE id = $1 RETURNING {COLUMNS}
                    """,
                    item_id,
                    user.id,
                    now + datetime.timedelta(seconds=lease_seconds),
                    now,
                )
        except asyncpg.UniqueViolationError:
            other = await held_by(connection, user.id)
            if other is not None:
                await refuse_another(connection, other)
            raise
    return read(row)


async def locked(connection: asyncpg.Connection, item_id: int) -> Item:
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM list_item AS item WHERE item.id = $1 FOR UPDATE", item_id
    )
    if row is None:
        raise missing("item")
    return read(row)


async def check_free(connection: asyncpg.Connection, item: Item, user: User, now: datetime.datetime) -> None:
    if item.held_by not in (None, user.id) and item.held_until is not None and item.held_until > now:
        raise await in_use(connection, item)
    if item.state not in (State.NOT_WORKED, State.TO_CALL_BACK, State.TRYING, State.TRYING_CALLBACK):
        raise Refused(
            "{contact} cannot be called any more: {state}.",
            code="concluded",
            contact=item.contact,
            state=STATE_LABELS[item.state],
        )
    if item.callback_owner not in (None, user.id):
        raise Refused(
            "The callback of {contact} is {agent}'s.",
            code="others_callback",
            details={"user_id": item.callback_owner},
            contact=item.contact,
            agent=await name_of(connection, item.callback_owner),
        )


async def in_use(connection: Db | asyncpg.Connection, item: Item) -> Refused:
    agent = await name_of(connection, item.held_by)
    return Refused(
        "{contact} is with {agent} now.",
        code="held",
        details={"user_id": item.held_by, "agent": agent, "item_id": item.id},
        contact=item.contact,
        agent=agent,
    )


async def name_of(connection: Db | asyncpg.Connection, user_id: int | None) -> str:
    return await connection.fetchval("SELECT name FROM user_account WHERE id = $1", user_id) or ""


# -- Holding -----------------------------------------------------------------------------------------------


async def renew(
    db: Db, user_id: int, item_id: int, now: datetime.datetime, lease_seconds: float = LEASE_SECONDS
) -> bool:
    """False when it is no longer this agent's."""
    answer = await db.execute(
        "UPDATE list_item SET held_until = $3 WHERE id = $1 AND held_by = $2",
        item_id,
        user_id,
        now + datetime.timedelta(seconds=lease_seconds),
    )
    return answer == "UPDATE 1"


async def release(db: Db, user_id: int, item_id: int) -> bool:
    """Left as it is (UAU-59); False when it was no longer this agent's."""
    return await let_go(db, item_id, user_id)


# Whoever has had all the tries the campaign allows ends here, also when nobody lived to write it down.
BACK = """
    held_by = NULL, held_until = NULL, held_since = NULL,
    state = CASE WHEN item.state IN (2, 3)
                  AND tried_out(item.attempts, item.last_situation, campaign.attempts_max)
                 THEN 5 ELSE item.state END,
    due_at = CASE WHEN item.state IN (2, 3)
                   AND tried_out(item.attempts, item.last_situation, campaign.attempts_max)
                  THEN NULL ELSE item.due_at END
"""


async def let_go(connection: Db | asyncpg.Connection, item_id: int, user_id: int) -> bool:
    answer = await connection.execute(
        f"""
        UPDATE list_item AS item SET {BACK} FROM campaign
         WHERE item.id = $1 AND item.held_by = $2 AND campaign.id = item.campaign_id
        """,
        item_id,
        user_id,
    )
    return answer == "UPDATE 1"


HELD = """
    SELECT item.id AS item_id, item.campaign_id, campaign.name AS campaign, item.contact_id,
           contact.name AS contact, item.held_by AS user_id, user_account.name AS agent,
           coalesce(item.held_since, item.held_until) AS since, item.held_until AS until
      FROM list_item AS item
      JOIN campaign ON campaign.id = item.campaign_id
      JOIN contact ON contact.id = item.contact_id
      JOIN user_account ON user_account.id = item.held_by
     WHERE item.held_by IS NOT NULL
"""


async def held(db: Db | asyncpg.Connection, campaign_id: int | None = None) -> list[Held]:
    """Items in use, of one campaign or of all (UAU-36, UAU-37)."""
    rows = await db.fetch(
        HELD + "AND ($1::integer IS NULL OR item.campaign_id = $1) ORDER BY campaign.name, since, item.id",
        campaign_id,
    )
    return [Held(**row) for row in rows]


async def release_held(db: Db, by: User | None, item_ids: Iterable[int], reason: str) -> list[Held]:
    """Taken out of agents' hands by a supervisor, who says why; answers those that were in use.

    UAU-38: the item goes back to the list as it was, and what was about to be dialed from it is not.
    """
    require(by, "run_campaigns")
    entry = Entry({"reason": reason})
    reason = entry.text("reason", 200)
    entry.done()
    async with db.acquire() as connection, connection.transaction():
        ids = list(item_ids)
        await connection.execute(
            "SELECT FROM list_item WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE", ids
        )
        were = [Held(**row) for row in await connection.fetch(HELD + "AND item.id = ANY($1::bigint[])", ids)]
        for each in were:
            await let_go(connection, each.item_id, each.user_id)
            await audit.note(
                connection,
                by,
                "item.release",
                f"item {each.item_id} of campaign {each.campaign}",
                {"held_by": each.agent},
                {"held_by": None, "reason": reason, "contact": each.contact},
            )
    return were


async def released_by(db: Db | asyncpg.Connection, item_id: int) -> tuple[str, str] | None:
    """Who took the item out of an agent's hands just now, and why, for that agent to be told (UAU-38)."""
    row = await db.fetchrow(
        """
        SELECT user_account.name, audit.after ->> 'reason' AS reason
          FROM audit JOIN user_account ON user_account.id = audit.by_user_id
         WHERE audit.action = 'item.release' AND starts_with(audit.subject, $1)
           AND audit.at > now() - $2::interval
         ORDER BY audit.at DESC LIMIT 1
        """,
        f"item {item_id} of ",
        RELEASED_JUST_NOW,
    )
    return (row["name"], row["reason"]) if row else None


async def sweep_expired(db: Db | asyncpg.Connection, now: datetime.datetime, limit: int = 1000) -> list[Held]:
    """Items whose lease has ended go back to the list as they were, and who waited for his place to open.

    For the dialer to call once a second.
    """
    await reopen_deferred(db, now)
    rows = await db.fetch(
        f"""
        WITH over AS MATERIALIZED (
            SELECT id, held_by, held_since, held_until FROM list_item
             WHERE held_by IS NOT NULL AND held_until <= $1
             ORDER BY held_until LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        UPDATE list_item AS item SET {BACK}
          FROM over, campaign, contact, user_account
         WHERE item.id = over.id AND campaign.id = item.campaign_id AND contact.id = item.contact_id
           AND user_account.id = over.held_by
        RETURNING item.id AS item_id, item.campaign_id, campaign.name AS campaign, item.contact_id,
                  contact.name AS contact, over.held_by AS user_id, user_account.name AS agent,
                  coalesce(over.held_since, over.held_until) AS since, over.held_until AS until
        """,
        now,
        limit,
    )
    return [Held(**row) for row in rows]


async def reopen_deferred(db: Db | asyncpg.Connection, now: datetime.datetime, limit: int = 5000) -> int:
    """Whose place has opened takes his turn again, of each active campaign."""
    answer = await db.execute(
        """
        UPDATE list_item SET due_at = NULL WHERE state = 0 AND id IN (
            SELECT opened.id FROM campaign CROSS JOIN LATERAL (
                SELECT id FROM list_item
                 WHERE campaign_id = campaign.id AND state = 0 AND due_at <= $1 AND held_by IS NULL
                 ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED) AS opened
             WHERE campaign.status = 'active')
        """,
        now,
        limit,
    )
    return int(answer.split()[-1])


# -- Where it goes from there ------------------------------------------------------------------------------


async def finish(
    db: Db,
    user: User,
    item_id: int,
    next: Next,
    now: datetime.datetime,
    *,
    number: str = "",
    ticket_id: int | None = None,
) -> Item:
    """The item goes where `dialer.retry` says and out of the agent's hands. Refused with who has it now.

    `number` is the one that was tried; without it a wrong number is the last attempt's.
    """
    async with db.acquire() as connection, connection.transaction():
        item = await locked_of(connection, user, item_id)
        return await write(connection, STAND_ALONE, item, user.id, next, now, number, ticket_id)


async def finish_in(
    connection: asyncpg.Connection,
    user: User,
    item: Item,
    next: Next,
    now: datetime.datetime,
    ticket_id: int | None,
) -> Item:
    """As `finish`, in the transaction in which `locked_of` read the item."""
    return await write(connection, STAND_ALONE, item, user.id, next, now, "", ticket_id)


async def locked_of(connection: asyncpg.Connection, user: User, item_id: int) -> Item:
    """An item in this agent's hands; refused with who has it when it is not."""
    item = await locked(connection, item_id)
    if item.held_by != user.id:
        raise await not_yours(connection, item)
    return item


async def not_yours(connection: Db | asyncpg.Connection, item: Item) -> Refused:
    if item.held_by is not None:
        return await in_use(connection, item)
    return Refused(
        "{contact} is no longer yours; take the item again.",
        code="held",
        details={"user_id": None, "agent": "", "item_id": item.id},
        contact=item.contact,
    )


async def stand(
    connection: asyncpg.Connection,
    item: Item,
    user_id: int | None,
    next: Next,
    now: datetime.datetime,
    *,
    number: str = "",
    ticket_id: int | None = None,
) -> None:
    """Write where the item stands; whoever holds it keeps it. A callback tried again stays as agreed."""
    await write(connection, STAND, item, user_id, next, now, number, ticket_id)


STAND = f"""
    UPDATE list_item AS item
       SET state = $2, due_at = $3, result = $4, concluded_at = $5, concluded_by = $6,
           callback_owner = CASE WHEN $7 THEN $8 ELSE callback_owner END,
           callback_phone = CASE WHEN $7 THEN $9 ELSE callback_phone END,
           callback_note = CASE WHEN $7 THEN $10 ELSE callback_note END,
           ticket_id = coalesce($11, ticket_id)
     WHERE id = $1
    RETURNING {COLUMNS}
"""
STAND_ALONE = STAND.replace("SET", "SET held_by = NULL, held_until = NULL, held_since = NULL,", 1)


async def write(
    connection: asyncpg.Connection,
    statement: str,
    item: Item,
    user_id: int | None,
    next: Next,
    now: datetime.datetime,
    number: str,
    ticket_id: int | None,
) -> Item:
    concluded = next.state is State.CONCLUDED
    agreed = next.state is not State.TRYING_CALLBACK
    row = await connection.fetchrow(
        statement,
        item.id,
        next.state,
        next.due_at,
        next.result if concluded else None,
        now if concluded else None,
        user_id if concluded else None,
        agreed,
        next.callback_owner,
        next.callback_phone,
        next.callback_note,
        ticket_id,
    )
    if next.forget_number:
        await connection.execute(
            """
            INSERT INTO wrong_number (contact_id, number, at, by_user_id)
            SELECT $1, tried.number, $3, $4
              FROM (SELECT $2::text AS number WHERE $2 <> ''
                    UNION ALL
                    (SELECT number FROM attempt WHERE item_id = $5 AND number <> '' AND $2 = ''
                      ORDER BY started DESC, id DESC LIMIT 1)) AS tried
            ON CONFLICT DO NOTHING
            """,
            item.contact_id,
            number,
            now,
            user_id,
            item.id,
        )
    return read(row)


async def cancel(db: Db, by: User | None, item_id: int, reason: str) -> None:
    """Not called any more in this campaign, also when it is in somebody's hands."""
    require(by, "run_campaigns")
    entry = Entry({"reason": reason})
    reason = entry.text("reason", 200)
    entry.done()
    async with db.acquire() as connection, connection.transaction():
        item = await locked(connection, item_id)
        await connection.execute(
            """
            UPDATE list_item SET state = 6, due_at = NULL, result = NULL, last_situation = 'cancelled',
                                 callback_owner = NULL, held_by = NULL, held_until = NULL, held_since = NULL
             WHERE id = $1
            """,
            item_id,
        )
        await note(connection, by, "item.cancel", item, State.CANCELLED, reason)


async def reopen(db: Db, by: User | None, item_id: int, now: datetime.datetime) -> None:
    """Cancelled, concluded or out of attempts: called again, with its attempts counted from the beginning."""
    require(by, "run_campaigns")
    async with db.acquire() as connection, connection.transaction():
        item = await locked(connection, item_id)
        if item.state not in (State.CONCLUDED, State.HIT_LIMIT, State.CANCELLED):
            raise Refused("{contact} is still being called.", code="wrong_status", contact=item.contact)
        await connection.execute(
            """
            UPDATE list_item SET state = 0, attempts = 0, due_at = NULL, result = NULL, concluded_at = NULL,
                                 concluded_by = NULL, callback_owner = NULL
             WHERE id = $1
            """,
            item_id,
        )
        await note(connection, by, "item.reopen", item, State.NOT_WORKED, "")


async def note(
    connection: asyncpg.Connection, by: User | None, action: str, item: Item, state: State, reason: str
) -> None:
    campaign = await campaigns.found(connection, item.campaign_id)
    after: dict[str, Any] = {"state": state.name.lower(), "contact": item.contact}
    await audit.note(
        connection,
        by,
        action,
        f"item {item.id} of campaign {campaign.name}",
        {"state": item.state.name.lower()},
        after | ({"reason": reason} if reason else {}),
    )
