"""The hopper: items the dialer has taken ahead, in batches, so that no dialing waits for the database.

Taken is a lease of the dialer's (`crm.users.DIALER`), renewed while it lives; when it dies the items go back
by themselves (`items.sweep_expired`). An agent who gets the call gets the item from the dialer (`hand_over`).
"""

import datetime
import heapq
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from crm import campaigns, contacts, filters, items, quotas
from crm.attempts import LOCKOUT, midnight
from crm.campaigns import Campaign
from crm.contacts import Contact
from crm.db import Db
from crm.dialing import Dialing
from crm.entry import missing
from crm.item_states import CALLBACKS, State
from crm.items import COLUMNS, DEFERRED_AT_ONCE, HELD_BY, LEASE_SECONDS, Item, Phone
from crm.users import DIALER, User

__all__ = ["DIALER", "Entry", "Mix", "fill", "give_back", "hand_over", "put_aside", "renew"]

ROUNDS_MAX = 20  # batches of one filling, where nearly nobody can be called now
BY_HAND = 0  # as a load: who was put on the list one by one
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody to dial, with all that the moment of connecting needs."""

    item: Item
    contact: Contact
    phones: tuple[Phone, ...]  # every one, in the person's order, each told
    numbers: tuple[str, ...]  # that may be called now, in the order to try
    load_id: int | None = None  # the load of the list it came with


@dataclass(slots=True)
class Mix:
    """How loads share what is given of those nobody tried: by weight, whatever the size of each batch.

    Keep one for as long as the campaign runs. A load that had nobody for a while does not catch up.
    """

    due: dict[int, float] = field(default_factory=dict)  # by load: when it has had its share

    def deal(self, available: Mapping[int, int], weights: Mapping[int, float], room: int) -> dict[int, int]:
        """How many of each load to take next. One without a weight weighs 1, one of weight 0 is not taken."""
        begin = min(self.due.values(), default=0.0)
        left = {load: n for load, n in available.items() if n > 0 and weights.get(load, 1.0) > 0}
        self.due = {load: self.due.get(load, begin) for load in left}
        turns = [(at + 1 / weights.get(load, 1.0), load) for load, at in self.due.items()]
        heapq.heapify(turns)
        portions: dict[int, int] = {}
        while turns and room > 0:
            at, load = turns[0]
            portions[load] = portions.get(load, 0) + 1
            room -= 1
            if portions[load] < left[load]:
                heapq.heapreplace(turns, (at + 1 / weights.get(load, 1.0), load))
            else:
                heapq.heappop(turns)
        return portions

    def took(self, loads: Iterable[int], weights: Mapping[int, float]) -> None:
        for load in loads:
            if load in self.due:
                self.due[load] += 1 / weights.get(load, 1.0)


# -- Filling -----------------------------------------------------------------------------------------------

NEW = "item.campaign_id = $1 AND item.state = 0 AND item.due_at IS NULL AND item.held_by IS NULL"
OF_LOAD = NEW + " AND item.load_id = part.load"
BY_HAND_OF = NEW + " AND item.load_id IS NULL AND part.load = 0"


def first(where: str, order: str, limit: str) -> str:
    return f"""(SELECT item.id FROM list_item AS item WHERE {where}
                 ORDER BY {order} LIMIT {limit} FOR UPDATE SKIP LOCKED)"""


def levels(where: str) -> str:
    """The priorities there are, the first first: each is found by one descent of the index."""
    return f"""
        WITH RECURSIVE level (priority) AS (
            (SELECT item.priority FROM list_item AS item WHERE {where} ORDER BY item.priority LIMIT 1)
             UNION ALL
            SELECT (SELECT item.priority FROM list_item AS item
                     WHERE {where} AND item.priority > level.priority ORDER BY item.priority LIMIT 1)
              FROM level WHERE level.priority IS NOT NULL)
        SELECT level.priority FROM level WHERE level.priority IS NOT NULL
    """


def chosen(order: str, where: str, limit: str) -> str:
    """A query of so many ids in the order a campaign wants; none of them reads more than it gives."""
    match order:
        case "newest":
            newest = first(f"{where} AND item.priority = level.priority", "item.id DESC", limit)
            return f"SELECT newest.id FROM ({levels(where)}) AS level CROSS JOIN LATERAL {newest} AS newest"
        case "random":  # those next to points that were drawn, of the first priority there is
            ends = ", ".join(
                f"(SELECT item.id FROM list_item AS item WHERE {where} AND item.priority = level.priority"
                f" ORDER BY item.id {way} LIMIT 1) AS {end}"
                for way, end in (("ASC", "low"), ("DESC", "high"))
            )
            near = first(
                f"{where} AND item.priority = span.priority"
                " AND item.id >= span.low + floor(point.at * (span.high - span.low + 1))::bigint",
                "item.id",
                "1",
            )
            return f"""
                SELECT DISTINCT near.id
                  FROM (SELECT level.priority, {ends}
                          FROM (SELECT priority FROM ({levels(where)}) AS level LIMIT 1) AS level) AS span
                 CROSS JOIN unnest($7::double precision[]) AS point (at)
                 CROSS JOIN LATERAL {near} AS near
            """
        case _:
            return f"SELECT next.id FROM {first(where, 'item.priority, item.id', limit)} AS next"


def claim(order: str, shared: bool) -> str:
    """The order of UAU-47, but that callbacks of an agent wait for that agent: free callbacks, one callback
    of each agent who is ready, whom nobody tried, whom somebody tried. The arms are probed one after the
    other, and only until there is enough."""
    if shared:
        parts = "$8::integer[], $9::bigint[]" if order == "random" else "$7::integer[], $8::bigint[]"
        new = f"""
            SELECT turn.id FROM (
                SELECT mine.id, (mine.place - 0.5) / part.n AS place
                  FROM unnest({parts}) AS part (load, n)
                 CROSS JOIN LATERAL (
                    SELECT few.id, row_number() OVER () AS place
                      FROM ({chosen(order, OF_LOAD, "part.n")} LIMIT part.n) AS few
                     UNION ALL
                    SELECT few.id, row_number() OVER ()
                      FROM ({chosen(order, BY_HAND_OF, "part.n")} LIMIT part.n) AS few) AS mine) AS turn
             ORDER BY turn.place
        """
    else:
        new = f"SELECT turn.id FROM ({chosen(order, NEW, '$4')} LIMIT $4) AS turn"
    callbacks = (
        "item.campaign_id = $1 AND item.state IN (1, 3) AND item.held_by IS NULL AND item.due_at <= $3"
    )
    by_index = "item.callback_owner, item.due_at, item.priority, item.id"
    free = first(f"{callbacks} AND item.callback_owner IS NULL", by_index, "$4")
    own = first(f"{callbacks} AND item.callback_owner = ready.owner", by_index, "1")
    again = first(
        "item.campaign_id = $1 AND item.state = 2 AND item.held_by IS NULL AND item.attempts = tried"
        " AND item.due_at <= $3",
        "item.due_at, item.priority, item.id",
        "$4",
    )
    return f"""
        WITH campaign_now AS MATERIALIZED (
            SELECT attempts_max, set_config('synchronous_commit', 'off', true) FROM campaign
             WHERE id = $1 AND status = 'active' AND updated = $2
        ), pick AS MATERIALIZED (
            SELECT chosen.id, row_number() OVER () AS place FROM campaign_now CROSS JOIN LATERAL (
                SELECT free.id FROM {free} AS free
                UNION ALL
                SELECT own.id FROM unnest($5::integer[]) AS ready (owner) CROSS JOIN LATERAL {own} AS own
                UNION ALL
                SELECT new.id FROM ({new}) AS new
                UNION ALL
                SELECT again.id FROM generate_series(0, campaign_now.attempts_max) AS tried
                 CROSS JOIN LATERAL {again} AS again
                 LIMIT $4) AS chosen
        )
        UPDATE list_item AS item SET held_by = {DIALER.id}, held_until = $6, held_since = $3
          FROM pick WHERE item.id = pick.id
        RETURNING pick.place, item.load_id, {COLUMNS}
    """


async def fill(
    db: Db,
    campaign: Campaign,
    dialing: Dialing,
    now: datetime.datetime,
    room: int,
    closed: Mapping[str, datetime.datetime],
    *,
    ready_owners: Collection[int] = (),
    mix: Mix | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> list[Entry]:
    """Up to `room` more people, now in the dialer's hands, in the order to dial; none while it is closed.

    `closed` is of `dialer.windows.closed_area_codes`. `ready_owners` are agents for whom one callback of
    their own may be brought. Who cannot be called now is put aside until he can, or taken off the list.
    """
    filled: list[Entry] = []
    mix = mix or Mix()
    full = await quotas.full(db, campaign, dialing)
    for _ in range(ROUNDS_MAX):
        if len(filled) >= room or campaign.status != "active" or not campaigns.is_open(campaign, now):
            break
        batch = await take(db, campaign, dialing, now, room - len(filled), ready_owners, mix, lease_seconds)
        if batch:
            filled += await those_callable(db, campaign, batch, now, closed, full)
            held = {entry.item.callback_owner for entry in filled}
            ready_owners = [owner for owner in ready_owners if owner not in held]
        else:
            fresh = await campaigns.found(db, campaign.id)
            if (fresh.updated, fresh.status) == (campaign.updated, campaign.status):
                break
            campaign = fresh
    return filled


async def take(
    db: Db,
    campaign: Campaign,
    dialing: Dialing,
    now: datetime.datetime,
    room: int,
    ready_owners: Collection[int],
    mix: Mix,
    lease_seconds: float,
) -> list[tuple[Item, int | None]]:
    until = now + datetime.timedelta(seconds=lease_seconds)
    arguments: list[Any] = [campaign.id, campaign.updated, now, room, sorted(set(ready_owners)), until]
    shared = bool(dialing.shares)
    if dialing.order == "random":
        arguments.append([random.random() for _ in range(2 * room)])
    if shared:
        portions = mix.deal(await waiting(db, campaign.id, room), dialing.shares, room)
        arguments += [list(portions), list(portions.values())]
    rows = await db.fetch(claim(dialing.order, shared), *arguments)
    batch = []
    for row in sorted(rows, key=lambda row: row["place"]):
        values = dict(row)
        values.pop("place")
        load_id = values.pop("load_id")
        batch.append((items.read(values), load_id))
    mix.took((load or BY_HAND for item, load in batch if item.state is State.NOT_WORKED), dialing.shares)
    return batch


async def waiting(db: Db, campaign_id: int, most: int) -> dict[int, int]:
    """Of each load, how many nobody tried, counted up to `most`."""
    rows = await db.fetch(
        f"""
        WITH RECURSIVE part (load) AS (
            (SELECT item.load_id FROM list_item AS item WHERE {NEW} AND item.load_id IS NOT NULL
              ORDER BY item.load_id LIMIT 1)
             UNION ALL
            SELECT (SELECT item.load_id FROM list_item AS item WHERE {NEW} AND item.load_id > part.load
                     ORDER BY item.load_id LIMIT 1)
              FROM part WHERE part.load IS NOT NULL)
        SELECT part.load, (SELECT count(*) FROM (
                   SELECT FROM list_item AS item WHERE {OF_LOAD} LIMIT $2) AS few) AS n
          FROM part WHERE part.load IS NOT NULL
         UNION ALL
        SELECT {BY_HAND}, count(*) FROM (
               SELECT FROM list_item AS item WHERE {NEW} AND item.load_id IS NULL LIMIT $2) AS few
        """,
        campaign_id,
        most,
    )
    return {row["load"]: row["n"] for row in rows}


# -- Who may be called -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tried:
    """One number of somebody's, and what speaks against calling it now."""

    phone: Phone
    today: int  # how often it was dialed today
    locked_until: datetime.datetime | None  # somebody there met no agent
    listed: bool  # one of the person's; else it was only agreed for the callback


async def those_callable(
    db: Db,
    campaign: Campaign,
    batch: Sequence[tuple[Item, int | None]],
    now: datetime.datetime,
    closed: Mapping[str, datetime.datetime],
    full: filters.Tree | None,
) -> list[Entry]:
    """The entries of the batch; all others are put aside."""
    known = await numbers_of(db, [item.id for item, _ in batch], now)
    people = await contacts.by_ids(db, [item.contact_id for item, _ in batch])
    enough = await quotas.meeting(db, full, list(people))
    shut = closed if campaign.respect_destination_window else {}
    entries: list[Entry] = []
    aside: dict[int, datetime.datetime | None] = {}
    of_closed = 0
    for item, load_id in batch:
        tried = known.get(item.id, [])
        phones = tuple(each.phone for each in tried if each.listed)
        times = {each.phone.number: when_open(each, campaign, now, shut) for each in tried}
        open_now = [number for number, at in times.items() if at is not None and at <= now]
        later = [at for at in times.values() if at is not None]
        if item.contact_id in enough:
            aside[item.id] = midnight(now) + DAY
        elif open_now and item.contact_id in people:
            numbers = in_order(item, [each for each in tried if each.phone.number in open_now])
            entries.append(Entry(item, people[item.contact_id], phones, numbers, load_id))
        else:
            aside[item.id] = min(later, default=None)
            of_closed += any(number[3:5] in shut for number in times)
    await put_aside(db, aside)
    if of_closed > len(batch) // 2:
        await items.defer_alike(db, campaign.id, shut)
    if enough and full is not None:
        await defer_full(db, campaign.id, full, midnight(now) + DAY)
    return entries


def when_open(
    tried: Tried, campaign: Campaign, now: datetime.datetime, closed: Mapping[str, datetime.datetime]
) -> datetime.datetime | None:
    """From when the number may be called; None is never."""
    if not tried.phone.callable:
        return None
    number = tried.phone.number
    times = [now]
    if number.startswith("+55") and number[3:5] in closed:
        times.append(closed[number[3:5]])
    if tried.today >= campaign.number_attempts_per_day_max:
        times.append(midnight(now) + DAY)
    if tried.locked_until is not None:
        times.append(tried.locked_until)
    return max(times)


def in_order(item: Item, tried: Iterable[Tried]) -> tuple[str, ...]:
    """What was agreed for the callback, then those dialed least today, then as the person's are ordered."""
    agreed = item.callback_phone if item.state in CALLBACKS else ""
    ordered = sorted(tried, key=lambda each: (each.phone.number != agreed, each.today))
    return tuple(each.phone.number for each in ordered)


async def numbers_of(db: Db, ids: Sequence[int], now: datetime.datetime) -> dict[int, list[Tried]]:
    """Of each item, in the person's order, a number once."""
    rows = await db.fetch(
        f"""
        SELECT item.id, phone.number, phone.person, phone.type, phone.blocked, phone.wrong, phone.listed,
               tries.today, tries.locked_until
          FROM list_item AS item
          JOIN campaign ON campaign.id = item.campaign_id
         CROSS JOIN LATERAL (
               SELECT number, person, type, place, blocked, wrong, true AS listed
                 FROM campaign_phones(item.campaign_id, item.contact_id)
                UNION ALL
               SELECT item.callback_phone, '', '', 0, is_blocked(item.callback_phone, item.campaign_id),
                      false, false
                WHERE item.callback_phone <> '') AS phone
         CROSS JOIN LATERAL (
               SELECT count(*) FILTER (WHERE attempt.started >= $2::timestamptz) AS today,
                      max(attempt.started) FILTER (WHERE attempt.situation = 'abandoned'
                                                     AND attempt.started > $3::timestamptz - {LOCKOUT})
                          + {LOCKOUT} AS locked_until
                 FROM attempt
                WHERE attempt.number = phone.number AND attempt.dialed
                  AND attempt.started >= least($2::timestamptz, $3::timestamptz - {LOCKOUT})) AS tries
         WHERE item.id = ANY($1::bigint[])
         ORDER BY item.id, NOT phone.listed, phone.place, phone.number
        """,
        ids,
        midnight(now),
        now,
    )
    known: dict[int, dict[str, Tried]] = {}
    for row in rows:
        phone = Phone(row["number"], row["person"], row["type"], row["blocked"], row["wrong"])
        tried = Tried(phone, row["today"], row["locked_until"], row["listed"])
        known.setdefault(row["id"], {}).setdefault(phone.number, tried)
    return {item_id: list(numbers.values()) for item_id, numbers in known.items()}


async def put_aside(db: Db, until: Mapping[int, datetime.datetime | None]) -> int:
    """Items of the dialer's that cannot be dialed before a time; those of no time (None) never.

    Answers how many of them were still the dialer's.
    """
    if not until:
        return 0
    answer = await db.execute(
        f"""
        UPDATE list_item AS item
           SET due_at = aside.until, held_by = NULL, held_until = NULL, held_since = NULL,
               state = CASE WHEN aside.until IS NULL THEN {State.CANCELLED:d} ELSE item.state END,
               last_situation = CASE WHEN aside.until IS NULL THEN 'blocked' ELSE item.last_situation END
          FROM unnest($1::bigint[], $2::timestamptz[]) AS aside (id, until)
         WHERE item.id = aside.id AND item.held_by = {DIALER.id}
        """,
        list(until),
        list(until.values()),
    )
    return int(answer.split()[-1])


async def defer_full(db: Db, campaign_id: int, full: filters.Tree, until: datetime.datetime) -> None:
    """Of the next in line, those of whom there are enough wait too."""
    condition, values = await filters.where(db, full, 4)
    await db.execute(
        f"""
        WITH next AS MATERIALIZED (
            SELECT id, contact_id FROM list_item
             WHERE campaign_id = $1 AND state = 0 AND due_at IS NULL AND held_by IS NULL
             ORDER BY priority, id LIMIT $3 FOR UPDATE SKIP LOCKED
        )
        UPDATE list_item SET due_at = $2
          FROM next JOIN contact ON contact.id = next.contact_id
         WHERE list_item.id = next.id AND {condition}
        """,
        campaign_id,
        until,
        DEFERRED_AT_ONCE,
        *values,
    )


# -- Holding -----------------------------------------------------------------------------------------------


async def renew(
    db: Db, ids: Collection[int], now: datetime.datetime, seconds: float = LEASE_SECONDS
) -> set[int]:
    """Those that are still the dialer's, each for so long again. The others a supervisor took back."""
    rows = await db.fetch(
        f"""
        UPDATE list_item SET held_until = $2 WHERE id = ANY($1::bigint[]) AND held_by = {DIALER.id}
        RETURNING id
        """,
        list(ids),
        now + datetime.timedelta(seconds=seconds),
    )
    return {row["id"] for row in rows}


async def give_back(db: Db, ids: Collection[int]) -> int:
    """To the list as they were; answers how many of them were still the dialer's."""
    answer = await db.execute(
        f"""
        UPDATE list_item AS item SET {items.BACK} FROM campaign
         WHERE item.id = ANY($1::bigint[]) AND item.held_by = {DIALER.id} AND campaign.id = item.campaign_id
        """,
        list(ids),
    )
    return int(answer.split()[-1])


async def hand_over(
    db: Db,
    item_id: int,
    user: User,
    now: datetime.datetime,
    lease_seconds: float = LEASE_SECONDS,
) -> Item:
    """From the dialer's hands into an agent's, who has the call.

    Refused when the agent still has another (`has_another`), or when it is no longer the dialer's (`held`).
    """
    until = now + datetime.timedelta(seconds=lease_seconds)
    while True:
        try:
            row = await db.fetchrow(
                f"""
                UPDATE list_item AS item SET held_by = $2, held_until = $3, held_since = $4
                 WHERE id = $1 AND held_by = {DIALER.id} RETURNING {COLUMNS}
                """,
                item_id,
                user.id,
                until,
                now,
            )
        except asyncpg.UniqueViolationError as e:
            if e.constraint_name != HELD_BY:
                raise
            await items.only_one(db, user, now)  # if none is left, it went back meanwhile
        else:
            break
    if row is None:
        item = await items.by_id(db, item_id)
        if item is None:
            raise missing("item")
        raise await items.not_yours(db, item)
    return items.read(row)
