"""Numbers that can be dialed, and where each one leads."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import asyncpg

from crm import audit
from crm.db import Db
from crm.e164 import display, normalise
from crm.entry import Entry, missing, refusing
from crm.users import User, require

__all__ = ["Leads", "Number", "display", "normalise"]

CONSTRAINTS = {"number_pkey": "dialed", "number_dialed_check": "dialed"}


class Leads(StrEnum):
    QUEUE = "queue"
    EXTENSION = "extension"
    HANGUP = "hangup"


@dataclass(frozen=True, slots=True)
class Number:
    dialed: str  # as it arrives, or E.164
    kind: Leads
    target: str  # name of the queue, or the extension; empty for hangup


NUMBER = "SELECT dialed, kind, target FROM number "


def read(row: asyncpg.Record) -> Number:
    return Number(row["dialed"], Leads(row["kind"]), row["target"])


async def all(db: Db | asyncpg.Connection) -> list[Number]:
    return [read(row) for row in await db.fetch(NUMBER + "ORDER BY dialed")]


async def by_dialed(db: Db | asyncpg.Connection, dialed: str) -> Number | None:
    row = await db.fetchrow(NUMBER + "WHERE dialed = $1", dialed)
    return read(row) if row else None


async def checked(connection: asyncpg.Connection, values: dict[str, Any]) -> Number:
    entry = Entry(values)
    dialed = entry.matching("dialed", r"\+?[0-9]{2,15}")
    kind = entry.option("kind", list(Leads))
    target = entry.text("target", required=kind != Leads.HANGUP)
    if target and not await leads_somewhere(connection, kind, target):
        entry.errors["target"] = "not_an_option"
    entry.done()
    return Number(dialed, Leads(kind), "" if kind == Leads.HANGUP else target)


async def leads_somewhere(connection: asyncpg.Connection, kind: str, target: str) -> bool:
    match kind:
        case Leads.QUEUE:
            found = await connection.fetchval("SELECT 1 FROM queue WHERE name = $1", target)
        case Leads.EXTENSION:
            found = await connection.fetchval("SELECT 1 FROM extension WHERE number = $1", target)
        case _:
            found = 1
    return found is not None


async def create(db: Db, by: User | None, *, dialed: str, kind: str, target: str = "") -> Number:
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        new = await checked(connection, {"dialed": dialed, "kind": kind, "target": target})
        with refusing(CONSTRAINTS):
            await connection.execute(
                "INSERT INTO number (dialed, kind, target) VALUES ($1, $2, $3)",
                new.dialed,
                new.kind,
                new.target,
            )
        await audit.note(connection, by, "number.create", f"number {new.dialed}", None, asdict(new))
    return new


async def update(db: Db, by: User | None, dialed: str, *, kind: str, target: str = "") -> Number:
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_dialed(connection, dialed)
        if before is None:
            raise missing("number")
        new = await checked(connection, {"dialed": dialed, "kind": kind, "target": target})
        await connection.execute(
            "UPDATE number SET kind = $2, target = $3 WHERE dialed = $1", dialed, new.kind, new.target
        )
        await audit.note(connection, by, "number.update", f"number {dialed}", asdict(before), asdict(new))
    return new


async def remove(db: Db, by: User | None, dialed: str) -> None:
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_dialed(connection, dialed)
        if before is None:
            raise missing("number")
        await connection.execute("DELETE FROM number WHERE dialed = $1", dialed)
        await audit.note(connection, by, "number.remove", f"number {dialed}", asdict(before), None)
