"""Extensions: the numbers of stations, and the digests with which telephones register at them."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from crm import audit
from crm.db import Db
from crm.entry import Entry, missing, refusing
from crm.passwords import check_strength
from crm.users import User, require

REALM = "ramal"
CONSTRAINTS = {
    "extension_pkey": "number",
    "extension_user_id_key": "user_id",
    "extension_user_id_fkey": "user_id",
    "extension_number_check": "number",
}


@dataclass(frozen=True, slots=True)
class Extension:
    number: str
    user_id: int | None
    label: str
    ha1_md5: str = field(repr=False)  # RFC 7616: hash of number:realm:password
    ha1_sha256: str = field(repr=False)


def digests(number: str, password: str) -> tuple[str, str]:
    """HA1 by MD5 and by SHA-256; the password itself is not kept."""
    secret = f"{number}:{REALM}:{password}".encode()
    return hashlib.md5(secret).hexdigest(), hashlib.sha256(secret).hexdigest()


EXTENSION = "SELECT number, user_id, label, ha1_md5, ha1_sha256 FROM extension "


async def all(db: Db | asyncpg.Connection) -> list[Extension]:
    return [Extension(**row) for row in await db.fetch(EXTENSION + "ORDER BY number")]


async def by_number(db: Db | asyncpg.Connection, number: str) -> Extension | None:
    row = await db.fetchrow(EXTENSION + "WHERE number = $1", number)
    return Extension(**row) if row else None


def checked(values: dict[str, Any]) -> dict[str, Any]:
    entry = Entry(values)
    answer: dict[str, Any] = {
        "number": entry.matching("number", r"[0-9]{2,6}"),
        "user_id": entry.reference("user_id"),
        "label": entry.text("label", required=False),
    }
    entry.done()
    return answer


async def create(
    db: Db, by: User | None, *, number: str, password: str, label: str = "", user_id: int | str | None = None
) -> Extension:
    require(by, "administer")
    new = checked({"number": number, "user_id": user_id, "label": label})
    check_strength(password)
    async with db.acquire() as connection, connection.transaction():
        with refusing(CONSTRAINTS):
            await connection.execute(
                """
                INSERT INTO extension (number, user_id, label, ha1_md5, ha1_sha256)
                VALUES ($1, $2, $3, $4, $5)
                """,
                *new.values(),
                *digests(new["number"], password),
            )
        await audit.note(connection, by, "extension.create", f"extension {new['number']}", None, new)
        made = await by_number(connection, new["number"])
    assert made is not None
    return made


async def update(db: Db, by: User | None, number: str, **changes: Any) -> Extension:
    """Changes user_id or label."""
    assert changes.keys() <= {"user_id", "label"}
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_number(connection, number)
        if before is None:
            raise missing("extension")
        old = {"number": number, "user_id": before.user_id, "label": before.label}
        new = checked({**old, **changes})
        with refusing(CONSTRAINTS):
            await connection.execute(
                "UPDATE extension SET user_id = $2, label = $3 WHERE number = $1", *new.values()
            )
        await audit.note(connection, by, "extension.update", f"extension {number}", old, new)
        made = await by_number(connection, number)
    assert made is not None
    return made


async def set_password(db: Db, by: User | None, number: str, password: str) -> None:
    """By an administrator, or by the user whose extension it is."""
    check_strength(password)
    async with db.acquire() as connection, connection.transaction():
        extension = await by_number(connection, number)
        if by is None or extension is None or extension.user_id != by.id:
            require(by, "administer")
        if extension is None:
            raise missing("extension")
        await connection.execute(
            "UPDATE extension SET ha1_md5 = $2, ha1_sha256 = $3 WHERE number = $1",
            number,
            *digests(number, password),
        )
        await audit.note(connection, by, "extension.set_password", f"extension {number}")


async def remove(db: Db, by: User | None, number: str) -> None:
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_number(connection, number)
        if before is None:
            raise missing("extension")
        await connection.execute("DELETE FROM extension WHERE number = $1", number)
        old = {"user_id": before.user_id, "label": before.label}
        await audit.note(connection, by, "extension.remove", f"extension {number}", old, None)
