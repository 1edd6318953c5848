"""Groups of users."""

from dataclasses import astuple, dataclass

import asyncpg

from crm import audit
from crm.db import Db
from crm.entry import Entry, missing, refuse_used, refusing
from crm.users import User, require

CONSTRAINTS = {"user_group_name_key": "name"}


@dataclass(frozen=True, slots=True)
class Group:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Uses:
    """Who and what names a group, each by id and name (EPB-74)."""

    users: tuple[tuple[int, str], ...] = ()
    routes: tuple[tuple[int, str], ...] = ()
    campaigns: tuple[tuple[int, str], ...] = ()
    layouts: tuple[tuple[int, str], ...] = ()


async def all(db: Db | asyncpg.Connection) -> list[Group]:
    return [
        Group(**row) for row in await db.fetch("SELECT id, name FROM user_group ORDER BY f_norm(name), id")
    ]


async def by_id(db: Db | asyncpg.Connection, group_id: int) -> Group | None:
    row = await db.fetchrow("SELECT id, name FROM user_group WHERE id = $1", group_id)
    return Group(**row) if row else None


async def uses(db: Db | asyncpg.Connection) -> dict[int, Uses]:
    """What uses each group, by the group's id."""
    rows = await db.fetch(
        """
        SELECT user_group.id,
               ARRAY(SELECT (id, name) FROM user_account WHERE group_id = user_group.id
                      ORDER BY f_norm(name)) AS users,
               ARRAY(SELECT (id, name) FROM route WHERE id IN
                            (SELECT route_id FROM route_group WHERE group_id = user_group.id)
                      ORDER BY f_norm(name)) AS routes,
               ARRAY(SELECT (id, name) FROM campaign WHERE id IN
                            (SELECT campaign_id FROM campaign_group WHERE group_id = user_group.id)
                      ORDER BY f_norm(name)) AS campaigns,
               ARRAY(SELECT (id, label) FROM layout WHERE id IN
                            (SELECT layout_id FROM layout_permission WHERE group_id = user_group.id)
                      ORDER BY f_norm(label)) AS layouts
          FROM user_group
        """
    )
    return {
        row["id"]: Uses(
            *(tuple(map(tuple, row[what])) for what in ("users", "routes", "campaigns", "layouts"))
        )
        for row in rows
    }


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
    """Refused, with their names, while users belong to it or a route, campaign or layout names it: a route
    that loses its last group would be open to everybody."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM user_group WHERE id = $1 FOR UPDATE", group_id)
        before = await by_id(connection, group_id)
        if before is None:
            raise missing("group")
        used = (await uses(connection))[group_id]
        refuse_used(before.name, [name for several in astuple(used) for _, name in several])
        await connection.execute("DELETE FROM user_group WHERE id = $1", group_id)
        await audit.note(connection, by, "group.remove", f"group {before.name}", {"name": before.name}, None)
