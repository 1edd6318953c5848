"""Trunks: the lines to carriers."""

from dataclasses import asdict, dataclass, field
from typing import Any

import asyncpg

from config.settings import HOST_NAME, is_ip
from crm import audit
from crm.db import Db
from crm.entry import Entry, missing, refuse_used, refusing
from crm.users import User, require

TRANSPORTS = ("UDP", "TCP")
CONSTRAINTS = {"trunk_name_key": "name"}


@dataclass(frozen=True, slots=True)
class Trunk:
    id: int
    name: str
    host: str
    port: int
    transport: str
    username: str  # empty: the carrier knows us by our address
    password: str = field(repr=False)
    number_prefix: str  # the carrier wants this before every number we send
    active: bool
    channels_max: int = 0  # calls at once in both directions; 0 is no limit known
    calls_per_second: int = 0  # that may be begun; 0 is no limit known
    follows_redirects: bool = False  # call whom a 3xx answer of the carrier names


TRUNK = """
    SELECT id, name, host, port, transport, username, password, number_prefix, active, channels_max,
           calls_per_second, follows_redirects
      FROM trunk
"""
DEFAULTS: dict[str, Any] = {
    "port": 5060,
    "transport": "UDP",
    "active": True,
    "channels_max": 0,
    "calls_per_second": 0,
    "follows_redirects": False,
}


async def all(db: Db | asyncpg.Connection) -> list[Trunk]:
    return [Trunk(**row) for row in await db.fetch(TRUNK + "ORDER BY f_norm(name), id")]


async def by_id(db: Db | asyncpg.Connection, trunk_id: int) -> Trunk | None:
    row = await db.fetchrow(TRUNK + "WHERE id = $1", trunk_id)
    return Trunk(**row) if row else None


def checked(values: dict[str, Any]) -> dict[str, Any]:
    entry = Entry(values)
    answer: dict[str, Any] = {
        "name": entry.text("name", 60),
        "host": entry.text("host", 253),
        "port": entry.whole("port", 1, 65535),
        "transport": entry.option("transport", TRANSPORTS),
        "username": entry.text("username", required=False),
        "password": entry.text("password", required=False),
        "number_prefix": entry.matching("number_prefix", r"[+0-9]{0,20}", required=False),
        "active": entry.switch("active"),
        "channels_max": entry.whole("channels_max", 0, 100_000),
        "calls_per_second": entry.whole("calls_per_second", 0, 10_000),
        "follows_redirects": entry.switch("follows_redirects"),
    }
    if answer["host"] and not (is_ip(answer["host"]) or HOST_NAME.fullmatch(answer["host"])):
        entry.errors["host"] = "not_allowed_characters"
    entry.done()
    return answer


def shown(values: dict[str, Any]) -> dict[str, Any]:
    """For the audit: that a password changed is seen, the password is not."""
    return {k: v for k, v in values.items() if k not in ("id", "password")}


async def create(db: Db, by: User | None, **values: Any) -> Trunk:
    """`values`: name, host, and any other field of Trunk but the id."""
    require(by, "administer")
    new = checked(DEFAULTS | values)
    async with db.acquire() as connection, connection.transaction():
        with refusing(CONSTRAINTS):
            trunk_id = await connection.fetchval(
                """
                INSERT INTO trunk (name, host, port, transport, username, password, number_prefix, active,
                                   channels_max, calls_per_second, follows_redirects)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id
                """,
                *new.values(),
            )
        await audit.note(connection, by, "trunk.create", f"trunk {new['name']}", None, shown(new))
    return Trunk(id=trunk_id, **new)


async def update(db: Db, by: User | None, trunk_id: int, **changes: Any) -> Trunk:
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, trunk_id)
        if before is None:
            raise missing("trunk")
        new = checked({**asdict(before), **changes})
        with refusing(CONSTRAINTS):
            await connection.execute(
                """
                UPDATE trunk SET name = $2, host = $3, port = $4, transport = $5, username = $6,
                                 password = $7, number_prefix = $8, active = $9, channels_max = $10,
                                 calls_per_second = $11, follows_redirects = $12
                 WHERE id = $1
                """,
                trunk_id,
                *new.values(),
            )
        old = shown(asdict(before))
        if new["password"] != before.password:
            old, new_shown = {**old, "password": "old"}, {**shown(new), "password": "new"}
        else:
            new_shown = shown(new)
        await audit.note(connection, by, "trunk.update", f"trunk {new['name']}", old, new_shown)
    return Trunk(id=trunk_id, **new)


async def remove(db: Db, by: User | None, trunk_id: int) -> None:
    """Refused while routes lead over it."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, trunk_id)
        if before is None:
            raise missing("trunk")
        over = await connection.fetch("SELECT name FROM route WHERE trunk_id = $1 ORDER BY name", trunk_id)
        refuse_used(before.name, [row["name"] for row in over])
        await connection.execute("DELETE FROM trunk WHERE id = $1", trunk_id)
        await audit.note(connection, by, "trunk.remove", f"trunk {before.name}", shown(asdict(before)), None)
