"""Routes: the permitted ways out, each for some groups of users."""

import re
from dataclasses import asdict, dataclass
from typing import Any

import asyncpg

from crm import audit
from crm.db import Db
from crm.entry import Entry, missing, refuse_used, refusing
from crm.users import User, can, require

CONSTRAINTS = {
    "route_name_key": "name",
    "route_trunk_id_fkey": "trunk_id",
    "route_group_group_id_fkey": "groups",
}


@dataclass(frozen=True, slots=True)
class Route:
    id: int
    name: str
    pattern: str  # a regular expression that the whole number (E.164 or short) matches
    trunk_id: int
    strip: int  # characters taken from the front of the number
    prefix: str  # then put there instead
    caller_id: str  # number shown to the called party; empty keeps that of the trunk
    groups: tuple[int, ...]  # ids of the groups that may use it; empty is every group


def permitted(route: Route, user: User, number: str) -> bool:
    """Whether this user may call this number (E.164 or short) over this route."""
    of_group = not route.groups or user.group_id in route.groups
    return of_group and can(user, "dial_external") and re.fullmatch(route.pattern, number) is not None


def number_to_send(route: Route, number: str) -> str:
    return route.prefix + number[route.strip :]


ROUTE = """
    SELECT id, name, pattern, trunk_id, strip, prefix, caller_id,
           coalesce((SELECT array_agg(group_id ORDER BY group_id) FROM route_group WHERE route_id = id),
                    '{}') AS groups
      FROM route
"""
DEFAULTS: dict[str, Any] = {"pattern": r"\+?\d+"}


def read(row: asyncpg.Record) -> Route:
    return Route(**{**row, "groups": tuple(row["groups"])})


async def all(db: Db | asyncpg.Connection) -> list[Route]:
    return [read(row) for row in await db.fetch(ROUTE + "ORDER BY id")]


async def by_id(db: Db | asyncpg.Connection, route_id: int) -> Route | None:
    row = await db.fetchrow(ROUTE + "WHERE id = $1", route_id)
    return read(row) if row else None


def checked(values: dict[str, Any]) -> dict[str, Any]:
    entry = Entry(values)
    answer: dict[str, Any] = {
        "name": entry.text("name", 60),
        "pattern": entry.matching("pattern", r"[\\+0-9d\[\]()|.*?{},^$-]{1,100}"),
        "trunk_id": entry.reference("trunk_id"),
        "strip": entry.whole("strip", 0, 20),
        "prefix": entry.matching("prefix", r"[+0-9]{0,20}", required=False),
        "caller_id": entry.matching("caller_id", r"[+0-9]{0,20}", required=False),
        "groups": entry.references("groups"),
    }
    if answer["trunk_id"] is None:
        entry.errors.setdefault("trunk_id", "required")
    try:
        re.compile(answer["pattern"])
    except re.error:
        entry.errors["pattern"] = "not_allowed_characters"
    entry.done()
    return answer


async def create(db: Db, by: User | None, **values: Any) -> Route:
    """`values`: name, trunk_id, and any other field of Route but the id."""
    require(by, "administer")
    new = checked(DEFAULTS | values)
    async with db.acquire() as connection, connection.transaction():
        with refusing(CONSTRAINTS):
            route_id = await connection.fetchval(
                """
                INSERT INTO route (name, pattern, trunk_id, strip, prefix, caller_id)
                VALUES ($1, $2, $3, $4, $5, $6) RETURNING id
                """,
                *list(new.values())[:6],
            )
            await set_groups(connection, route_id, new["groups"])
        await audit.note(connection, by, "route.create", f"route {new['name']}", None, new)
    return Route(id=route_id, **new)


async def update(db: Db, by: User | None, route_id: int, **changes: Any) -> Route:
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, route_id)
        if before is None:
            raise missing("route")
        new = checked({**asdict(before), **changes})
        with refusing(CONSTRAINTS):
            await connection.execute(
                """
                UPDATE route SET name = $2, pattern = $3, trunk_id = $4, strip = $5, prefix = $6,
                                 caller_id = $7
                 WHERE id = $1
                """,
                route_id,
                *list(new.values())[:6],
            )
            await set_groups(connection, route_id, new["groups"])
        old = {key: getattr(before, key) for key in new}
        await audit.note(connection, by, "route.update", f"route {new['name']}", old, new)
    return Route(id=route_id, **new)


async def set_groups(connection: asyncpg.Connection, route_id: int, groups: tuple[int, ...]) -> None:
    await connection.execute("DELETE FROM route_group WHERE route_id = $1", route_id)
    await connection.execute(
        "INSERT INTO route_group (route_id, group_id) SELECT $1, unnest($2::integer[])", route_id, groups
    )


async def remove(db: Db, by: User | None, route_id: int) -> None:
    """Refused while a campaign names it."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, route_id)
        if before is None:
            raise missing("route")
        named = await connection.fetch(
            "SELECT name FROM campaign WHERE route_id = $1 ORDER BY name", route_id
        )
        refuse_used(before.name, [row["name"] for row in named])
        await connection.execute("DELETE FROM route WHERE id = $1", route_id)
        await audit.note(connection, by, "route.remove", f"route {before.name}", asdict(before), None)
