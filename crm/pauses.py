"""Pauses: the reasons for not being ready."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import asyncpg

from crm import audit
from crm.db import Db
from crm.entry import Entry, missing, refusing
from crm.users import User, require

CONSTRAINTS = {"pause_pkey": "code", "pause_code_check": "code"}


@dataclass(frozen=True, slots=True)
class Pause:
    code: str
    label: str


async def all(db: Db | asyncpg.Connection) -> list[Pause]:
    rows = await db.fetch("SELECT code, label FROM pause ORDER BY position, code")
    return [Pause(**row) for row in rows]


async def by_code(db: Db | asyncpg.Connection, code: str) -> Pause | None:
    row = await db.fetchrow("SELECT code, label FROM pause WHERE code = $1", code)
    return Pause(**row) if row else None


def checked(code: str, label: str) -> Pause:
    """No code is "new", which is the address of the form for another one."""
    entry = Entry({"code": code, "label": label})
    pause = Pause(entry.matching("code", r"(?!new$)[a-z0-9_-]{1,40}"), entry.text("label", 60))
    entry.done()
    return pause


async def create(db: Db, by: User | None, *, code: str, label: str) -> Pause:
    """The last in the list."""
    require(by, "administer")
    new = checked(code, label)
    async with db.acquire() as connection, connection.transaction():
        with refusing(CONSTRAINTS):
            await connection.execute(
                """
                INSERT INTO pause (code, label, position)
                SELECT $1, $2, coalesce(max(position), 0) + 1 FROM pause
                """,
                new.code,
                new.label,
            )
        await audit.note(connection, by, "pause.create", f"pause {new.code}", None, asdict(new))
    return new


async def update(db: Db, by: User | None, code: str, *, label: str) -> Pause:
    require(by, "administer")
    new = checked(code, label)
    async with db.acquire() as connection, connection.transaction():
        old = await connection.fetchval("SELECT label FROM pause WHERE code = $1 FOR UPDATE", code)
        if old is None:
            raise missing("pause")
        await connection.execute("UPDATE pause SET label = $2 WHERE code = $1", code, new.label)
        await audit.note(
            connection, by, "pause.update", f"pause {code}", {"label": old}, {"label": new.label}
        )
    return new


async def put_in_order(db: Db, by: User | None, codes: Sequence[str]) -> None:
    """Agents choose from them in this order from now on."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        await connection.execute(
            """
            UPDATE pause SET position = t.position
              FROM unnest($1::text[]) WITH ORDINALITY AS t (code, position) WHERE pause.code = t.code
            """,
            list(codes),
        )
        await audit.note(connection, by, "pause.order", "pauses", None, {"order": list(codes)})


async def remove(db: Db, by: User | None, code: str) -> None:
    """What was recorded under it stays recorded."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        label = await connection.fetchval("DELETE FROM pause WHERE code = $1 RETURNING label", code)
        if label is None:
            raise missing("pause")
        await audit.note(connection, by, "pause.remove", f"pause {code}", {"label": label}, None)
