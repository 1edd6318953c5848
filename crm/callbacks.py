"""Callbacks: calls somebody was promised, whose they are and when; one of an item of a campaign's list."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import asyncpg

from crm import audit, campaigns, items
from crm.db import Db
from crm.e164 import normalise
from crm.entry import Entry
from crm.item_states import CALLBACKS, State
from crm.items import Item
from crm.refused import Refused
from crm.users import User, can, require

NOTE_MAX = 1000


@dataclass(frozen=True, slots=True)
class Callback:
    item_id: int
    campaign_id: int
    campaign: str
    contact_id: int
    contact: str
    state: State  # to call back, or trying to
    due_at: datetime.datetime
    owner: int | None  # None: whoever comes first
    agent: str  # the owner's name
    phone: str
    note: str
    attempts: int
    held_by: int | None

    def is_overdue(self, now: datetime.datetime) -> bool:
        return self.due_at <= now


CALLBACK = """
    SELECT item.id AS item_id, item.campaign_id, campaign.name AS campaign, item.contact_id,
           contact.name AS contact, item.state, item.due_at, item.callback_owner AS owner,
           coalesce(owner.name, '') AS agent, item.callback_phone AS phone, item.callback_note AS note,
           item.attempts, item.held_by
      FROM list_item AS item
      JOIN campaign ON campaign.id = item.campaign_id
      JOIN contact ON contact.id = item.contact_id
      LEFT JOIN user_account AS owner ON owner.id = item.callback_owner
     WHERE item.state IN (1, 3)
"""


def read(row: asyncpg.Record) -> Callback:
    return Callback(**{**row, "state": State(row["state"])})


# -- Looking -----------------------------------------------------------------------------------------------


async def of_user(
    db: Db, user: User, until: datetime.datetime | None = None, limit: int = 200
) -> list[Callback]:
    """Those an agent may make: his own, and free ones of the active campaigns he belongs to; soonest first.

    With `until`, only those due by then: `until=now` are the overdue ones.
    """
    rows = await db.fetch(
        CALLBACK
        + """
           AND campaign.status = 'active'
           AND (item.callback_owner = $1 OR item.callback_owner IS NULL)
           AND (EXISTS (SELECT FROM campaign_agent WHERE campaign_id = campaign.id AND user_id = $1)
                OR EXISTS (SELECT FROM campaign_group WHERE campaign_id = campaign.id AND group_id = $2))
           AND ($3::timestamptz IS NULL OR item.due_at <= $3)
         ORDER BY item.due_at, item.priority, item.id LIMIT $4
        """,
        user.id,
        user.group_id,
        until,
        limit,
    )
    return [read(row) for row in rows]


async def overdue_count(db: Db, user: User, now: datetime.datetime, campaign_id: int | None = None) -> int:
    """What jumps the queue for this agent (UAU-47)."""
    return await db.fetchval(
        """
        SELECT count(*) FROM campaign
          JOIN list_item AS item ON item.campaign_id = campaign.id AND item.state IN (1, 3)
           AND item.held_by IS NULL AND item.due_at <= $3
           AND (item.callback_owner = $1 OR item.callback_owner IS NULL)
         WHERE campaign.status = 'active' AND ($4::integer IS NULL OR campaign.id = $4)
           AND (EXISTS (SELECT FROM campaign_agent WHERE campaign_id = campaign.id AND user_id = $1)
                OR EXISTS (SELECT FROM campaign_group WHERE campaign_id = campaign.id AND group_id = $2))
        """,
        user.id,
        user.group_id,
        now,
        campaign_id,
    )


async def due_of(db: Db, campaign_id: int, user_ids: Sequence[int], now: datetime.datetime) -> dict[int, int]:
    """Of each of these agents the item of their own longest overdue callback, by user."""
    rows = await db.fetch(
        """
        SELECT DISTINCT ON (callback_owner) callback_owner, id FROM list_item
         WHERE campaign_id = $1 AND state IN (1, 3) AND held_by IS NULL AND callback_owner = ANY ($2)
           AND due_at <= $3
         ORDER BY callback_owner, due_at, priority, id
        """,
        campaign_id,
        user_ids,
        now,
    )
    return {row["callback_owner"]: row["id"] for row in rows}


async def of_campaign(
    db: Db,
    campaign_id: int,
    owner: int | None = None,
    until: datetime.datetime | None = None,
    limit: int = 200,
    offset: int = 0,
) -> list[Callback]:
    """For supervisors: all of a campaign, or one agent's, soonest first."""
    rows = await db.fetch(
        CALLBACK
        + """
           AND item.id IN (SELECT id FROM list_item
                            WHERE campaign_id = $1 AND state IN (1, 3)
                              AND ($2::integer IS NULL OR callback_owner = $2)
                              AND ($3::timestamptz IS NULL OR due_at <= $3)
                            ORDER BY due_at, priority, id LIMIT $4 OFFSET $5)
         ORDER BY item.due_at, item.priority, item.id
        """,
        campaign_id,
        owner,
        until,
        limit,
        offset,
    )
    return [read(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many callbacks one owner has; `owner` None are the free ones."""

    owner: int | None
    agent: str
    all: int
    overdue: int


async def by_agent(db: Db, campaign_id: int, now: datetime.datetime) -> list[Waiting]:
    rows = await db.fetch(
        """
        SELECT item.callback_owner AS owner, coalesce(user_account.name, '') AS agent, count(*) AS all,
               count(*) FILTER (WHERE item.due_at <= $2) AS overdue
          FROM list_item AS item
          LEFT JOIN user_account ON user_account.id = item.callback_owner
         WHERE item.campaign_id = $1 AND item.state IN (1, 3)
         GROUP BY item.callback_owner, user_account.name
         ORDER BY overdue DESC, f_norm(coalesce(user_account.name, '')), item.callback_owner
        """,
        campaign_id,
        now,
    )
    return [Waiting(**row) for row in rows]


# -- Changing ----------------------------------------------------------------------------------------------


async def move(db: Db, by: User, item_id: int, now: datetime.datetime, **changes: Any) -> None:
    """Any of due_at, owner, phone and note (TEL-14: reschedule). By its owner, or whoever runs campaigns.

    A free one may be moved by any agent of its campaign; to whom it belongs follows the campaign's mode.
    """
    assert changes.keys() <= {"due_at", "owner", "phone", "note"}
    async with db.acquire() as connection, connection.transaction():
        item = await callback_of(connection, by, item_id)
        campaign = await campaigns.found(connection, item.campaign_id)
        new = checked(item, changes, now)
        if new["owner"] != item.callback_owner:
            await check_owner(connection, campaign, by, new["owner"])
        await connection.execute(
            """
            UPDATE list_item SET due_at = $2, callback_owner = $3, callback_phone = $4, callback_note = $5
             WHERE id = $1
            """,
            item_id,
            *new.values(),
        )
        await note(connection, by, "callback.move", item, new)


def checked(item: Item, changes: Mapping[str, Any], now: datetime.datetime) -> dict[str, Any]:
    old = {
        "due_at": item.due_at,
        "owner": item.callback_owner,
        "phone": item.callback_phone,
        "note": item.callback_note,
    }
    entry = Entry(old | dict(changes))
    phone = entry.text("phone", 30, required=False)
    new: dict[str, Any] = {
        "due_at": entry.values["due_at"],
        "owner": entry.reference("owner"),
        "phone": (normalise(phone, "11") or "") if phone else "",
        "note": entry.text("note", NOTE_MAX, required=False),
    }
    if phone and not new["phone"]:
        entry.errors["phone"] = "not_a_phone"
    if not isinstance(new["due_at"], datetime.datetime):
        entry.errors["due_at"] = "required"
    elif "due_at" in changes and new["due_at"] <= now:
        entry.errors["due_at"] = "out_of_range"
    entry.done()
    return new


async def check_owner(
    connection: asyncpg.Connection, campaign: campaigns.Campaign, by: User, owner: int | None
) -> None:
    """Free: nobody's. By agent: somebody's. And only of one who works the campaign."""
    runs = can(by, "run_campaigns")
    allowed = {
        "free": owner is None,
        "optional": owner in (None, by.id) or runs,
        "agent": owner is not None and runs,
    }[campaign.callback_mode]
    if owner is not None:
        works = await connection.fetchval(
            """
            SELECT EXISTS (SELECT FROM campaign_agent WHERE campaign_id = $1 AND user_id = $2)
                OR EXISTS (SELECT FROM campaign_group
                             JOIN user_account ON user_account.group_id = campaign_group.group_id
                            WHERE campaign_id = $1 AND user_account.id = $2)
            """,
            campaign.id,
            owner,
        )
        allowed = allowed and works
    if not allowed:
        raise Refused(
            "The campaign {name} does not let this callback belong to that agent.",
            code="form",
            details={"errors": {"owner": "not_an_option"}},
            name=campaign.name,
        )


async def remove(db: Db, by: User, item_id: int, now: datetime.datetime, reason: str) -> None:
    """TEL-14: the schedule is deleted; the customer stays on the list and may be tried again at once."""
    entry = Entry({"reason": reason})
    reason = entry.text("reason", 200)
    entry.done()
    async with db.acquire() as connection, connection.transaction():
        item = await callback_of(connection, by, item_id)
        if item.state is State.TRYING and item.due_at is not None and item.due_at <= now:
            raise no_callback(item)
        await connection.execute(
            """
            UPDATE list_item SET state = 2, due_at = $2, callback_owner = NULL, callback_phone = '',
                                 callback_note = ''
             WHERE id = $1
            """,
            item_id,
            now,
        )
        await note(connection, by, "callback.remove", item, {"reason": reason})


async def give(db: Db, by: User, from_user_id: int, to_user_id: int | None, campaign_id: int) -> int:
    """All callbacks of an agent who is away go to another, or to whoever comes first; how many went."""
    require(by, "run_campaigns")
    async with db.acquire() as connection, connection.transaction():
        campaign = await campaigns.found(connection, campaign_id)
        await check_owner(connection, campaign, by, to_user_id)
        answer = await connection.execute(
            """
            UPDATE list_item SET callback_owner = $3
             WHERE campaign_id = $1 AND state IN (1, 3) AND held_by IS NULL AND callback_owner = $2
            """,
            campaign_id,
            from_user_id,
            to_user_id,
        )
        moved = int(answer.split()[-1])
        await audit.note(
            connection,
            by,
            "callback.give",
            f"campaign {campaign.name}",
            {"owner": from_user_id},
            {"owner": to_user_id, "callbacks": moved},
        )
    return moved


async def callback_of(connection: asyncpg.Connection, by: User, item_id: int) -> Item:
    """Refused unless it is a callback, or a try agreed on without contact, that this user may change, in
    nobody else's hands."""
    item = await items.locked(connection, item_id)
    campaign = await campaigns.found(connection, item.campaign_id)
    if item.state not in (*CALLBACKS, State.TRYING):
        raise no_callback(item)
    if item.held_by not in (None, by.id):
        raise await items.in_use(connection, item)
    if not can(by, "run_campaigns"):
        campaigns.must_belong(campaign, by)
        if item.callback_owner not in (None, by.id):
            agent = await items.name_of(connection, item.callback_owner)
            raise Refused(
                "The callback of {contact} is {agent}'s.",
                code="others_callback",
                contact=item.contact,
                agent=agent,
            )
    return item


def no_callback(item: Item) -> Refused:
    return Refused("{contact} has no callback.", code="not_found", contact=item.contact)


async def note(
    connection: asyncpg.Connection, by: User, action: str, item: Item, after: Mapping[str, Any]
) -> None:
    before = asdict(item)
    was = {
        "due_at": before["due_at"],
        "owner": before["callback_owner"],
        "phone": before["callback_phone"],
        "note": before["callback_note"],
    }
    await audit.note(connection, by, action, f"item {item.id} of {item.contact}", was, {**was, **after})
