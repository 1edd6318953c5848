"""Queues: where calls wait, who takes them, and what is asked afterwards."""

from dataclasses import asdict, dataclass
from typing import Any

import asyncpg

from crm import audit
from crm.db import Db
from crm.entry import Entry, missing, refuse_used, refusing
from crm.refused import Refused
from crm.users import User, require

CONSTRAINTS = {
    "queue_name_key": "name",
    "queue_name_check": "name",
    "queue_layout_id_fkey": "layout_id",
    "queue_member_user_id_fkey": "members",
}


@dataclass(frozen=True, slots=True)
class Queue:
    id: int
    name: str
    label: str
    wrapup_seconds: int  # 0 is as long as the agent needs
    ring_seconds_max: int
    service_level_seconds: int
    waiting_max: int  # calls waiting at once; one more is refused as busy
    wait_seconds_max: int  # 0 is without end
    layout_id: int | None
    tabulation_mandatory: bool
    record: bool
    members: tuple[int, ...] = ()  # ids of users


QUEUE = """
    SELECT id, name, label, wrapup_seconds, ring_seconds_max, service_level_seconds, waiting_max,
           wait_seconds_max, layout_id, tabulation_mandatory, record,
           coalesce((SELECT array_agg(user_id ORDER BY user_id) FROM queue_member WHERE queue_id = id),
                    '{}') AS members
      FROM queue
"""
DEFAULTS: dict[str, Any] = {
    "wrapup_seconds": 60,
    "ring_seconds_max": 20,
    "service_level_seconds": 20,
    "waiting_max": 50,
    "wait_seconds_max": 600,
    "record": True,
}


def read(row: asyncpg.Record) -> Queue:
    return Queue(**{**row, "members": tuple(row["members"])})


async def all(db: Db | asyncpg.Connection) -> list[Queue]:
    return [read(row) for row in await db.fetch(QUEUE + "ORDER BY f_norm(label), id")]


async def by_id(db: Db | asyncpg.Connection, queue_id: int) -> Queue | None:
    row = await db.fetchrow(QUEUE + "WHERE id = $1", queue_id)
    return read(row) if row else None


def checked(values: dict[str, Any]) -> dict[str, Any]:
    entry = Entry(values)
    answer: dict[str, Any] = {
        "name": entry.matching("name", r"[a-z0-9_-]{1,40}"),
        "label": entry.text("label", 60),
        "wrapup_seconds": entry.whole("wrapup_seconds", 0, 86_400),
        "ring_seconds_max": entry.whole("ring_seconds_max", 3, 300),
        "service_level_seconds": entry.whole("service_level_seconds", 1, 3600),
        "waiting_max": entry.whole("waiting_max", 0, 10_000),
        "wait_seconds_max": entry.whole("wait_seconds_max", 0, 86_400),
        "layout_id": entry.reference("layout_id"),
        "tabulation_mandatory": entry.switch("tabulation_mandatory"),
        "record": entry.switch("record"),
        "members": entry.references("members"),
    }
    if answer["tabulation_mandatory"] and answer["layout_id"] is None:
        entry.errors.setdefault("layout_id", "required")
    entry.done()
    return answer


async def create(db: Db, by: User | None, **values: Any) -> Queue:
    """`values`: name, label, and any other field of Queue but the id."""
    require(by, "administer")
    new = checked(DEFAULTS | values)
    async with db.acquire() as connection, connection.transaction():
        with refusing(CONSTRAINTS):
            queue_id = await connection.fetchval(
                """
                INSERT INTO queue (name, label, wrapup_seconds, ring_seconds_max, service_level_seconds,
                                   waiting_max, wait_seconds_max, layout_id, tabulation_mandatory, record)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id
                """,
                *list(new.values())[:10],
            )
            await set_members(connection, queue_id, new["members"])
        await audit.note(connection, by, "queue.create", f"queue {new['name']}", None, new)
    return Queue(id=queue_id, **new)


async def update(db: Db, by: User | None, queue_id: int, **changes: Any) -> Queue:
    """Changes any field of Queue but the id."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, queue_id)
        if before is None:
            raise missing("queue")
        new = checked({**asdict(before), **changes})
        with refusing(CONSTRAINTS):
            await connection.execute(
                """
                UPDATE queue SET name = $2, label = $3, wrapup_seconds = $4, ring_seconds_max = $5,
                                 service_level_seconds = $6, waiting_max = $7, wait_seconds_max = $8,
                                 layout_id = $9, tabulation_mandatory = $10, record = $11
                 WHERE id = $1
                """,
                queue_id,
                *list(new.values())[:10],
            )
            await set_members(connection, queue_id, new["members"])
        await connection.execute(
            "UPDATE number SET target = $2 WHERE kind = 'queue' AND target = $1", before.name, new["name"]
        )
        old = {key: getattr(before, key) for key in new}
        await audit.note(connection, by, "queue.update", f"queue {new['name']}", old, new)
    return Queue(id=queue_id, **new)


async def set_members(connection: asyncpg.Connection, queue_id: int, members: tuple[int, ...]) -> None:
    await connection.execute("DELETE FROM queue_member WHERE queue_id = $1", queue_id)
    await connection.execute(
        "INSERT INTO queue_member (queue_id, user_id) SELECT $1, unnest($2::integer[])", queue_id, members
    )


async def remove(db: Db, by: User | None, queue_id: int) -> None:
    """Refused once calls have waited in it, or while a number leads to it."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, queue_id)
        if before is None:
            raise missing("queue")
        leading = await connection.fetch(
            "SELECT dialed FROM number WHERE kind = 'queue' AND target = $1 ORDER BY dialed", before.name
        )
        refuse_used(before.label, [row["dialed"] for row in leading])
        try:
            await connection.execute("DELETE FROM queue WHERE id = $1", queue_id)
        except asyncpg.ForeignKeyViolationError:
            raise Refused(
                "Calls have waited in {name}: it stays.", code="in_use", name=before.label
            ) from None
        await audit.note(connection, by, "queue.remove", f"queue {before.name}", asdict(before), None)
