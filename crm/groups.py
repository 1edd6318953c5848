"""Groups of users."""

from dataclasses import dataclass

import asyncpg

from crm import audit
from crm.db import Db
from crm.entry import Entry, missing, refusing
from crm.users import User, require

CONSTRAINTS = {"user_group_name_key": "name", "user_account_group_id_fkey": "group"}


@dataclass(frozen=True, slots=True)
class Group:
    id: int
    name: str


async def all(db: Db | asyncpg.Connection) -> list[Group]:
    return [
        Group(**row) for row in await db.fetch("SELECT id, name FROM user_group ORDER BY f_norm(name), id")
    ]


async def by_id(db: Db | asyncpg.Connection, group_id: int) -> Group | None:
    row = await db.fetchrow("SELECT id, name FROM user_group WHERE id = $1", group_id)
    return Group(**row) if row else None


def checked(name: str) -> str:
    entry = Entry({"name": name})
    answer = entry.text("name", 60)
    entry.done()
    return answer


async def create(db: Db, by: User | None, *, name: str) -> Group:
    require(by, "administer")
    name = checked(name)
    async with db.acquire() as connection, connection.transaction():
        with refusing(CONSTRAINTS):
            group_id = await connection.fetchval(
                "INSERT INTO user_group (name) VALUES ($1) RETURNING id", name
            )
        await audit.note(connection, by, "group.create", f"group {name}", None, {"name": name})
    return Group(group_id, name)


async def update(db: Db, by: User | None, group_id: int, *, name: str) -> Group:
    require(by, "administer")
    name = checked(name)
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, group_id)
        if before is None:
            raise missing("group")
        with refusing(CONSTRAINTS):
            await connection.execute("UPDATE user_group SET name = $2 WHERE id = $1", group_id, name)
        await audit.note(
            connection, by, "group.update", f"group {name}", {"name": before.name}, {"name": name}
        )
    return Group(group_id, name)


async def remove(db: Db, by: User | None, group_id: int) -> None:
    """Refused while users belong to it."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, group_id)
        if before is None:
            raise missing("group")
        with refusing(CONSTRAINTS):
            await connection.execute("DELETE FROM user_group WHERE id = $1", group_id)
        await audit.note(connection, by, "group.remove", f"group {before.name}", {"name": before.name}, None)
