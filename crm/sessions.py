"""Web sessions: a token in the browser, its sha256 in the database, a memory for when that is away."""

import asyncio
import datetime
import hashlib
import secrets
import time
from dataclasses import dataclass

from crm import users
from crm.db import AWAY, Db
from crm.users import User

FRESH_SECONDS = 5.0  # how long a session is believed without asking the database again
ANSWER_SECONDS = 2.0  # then the database counts as away
REMEMBERED_MAX = 20_000


@dataclass(slots=True)
class Known:
    user: User
    csrf: str
    expires: datetime.datetime
    asked: float  # time.monotonic()


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def memory(db: Db) -> dict[bytes, Known]:
    return db.remembered.setdefault("sessions", {})


async def open(db: Db, user_id: int, hours: int) -> str:
    """A new session's token, of 256 random bits. Sessions that ran out are swept away on the way."""
    token = secrets.token_urlsafe(32)
    await db.execute("DELETE FROM session WHERE expires < now()")
    await db.execute(
        "INSERT INTO session (token_hash, user_id, csrf, expires) VALUES ($1, $2, $3, now() + $4::interval)",
        digest(token),
        user_id,
        secrets.token_urlsafe(32),
        datetime.timedelta(hours=hours),
    )
    return token


async def find(db: Db, token: str) -> tuple[User, str] | None:
    """The session's user and CSRF token; None when there is none, it ran out or its user is not active.

    While the database is away, sessions seen before go on as they were.
    """
    key = digest(token)
    known = memory(db).get(key)
    if known is None or time.monotonic() - known.asked > FRESH_SECONDS:
        known = await ask(db, key, known)
    if known is None or known.expires <= datetime.datetime.now(datetime.UTC):
        memory(db).pop(key, None)
        return None
    return known.user, known.csrf


async def ask(db: Db, key: bytes, known: Known | None) -> Known | None:
    if known is not None:
        known.asked = time.monotonic()  # others who come meanwhile do not ask too
    try:
        async with asyncio.timeout(ANSWER_SECONDS if known else 5 * ANSWER_SECONDS):
            answer = await from_database(db, key)
    except AWAY:
        if known is None:
            raise
        answer = known
    if answer is not None:
        remembered = memory(db)
        if len(remembered) >= REMEMBERED_MAX:
            remembered.pop(next(iter(remembered)))
        remembered[key] = answer
    return answer


async def from_database(db: Db, key: bytes) -> Known | None:
    async with db.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT user_id, csrf, expires FROM session WHERE token_hash = $1 AND expires > now()", key
        )
        user = await users.by_id(connection, row["user_id"]) if row else None
    if row is None or user is None or not user.active:
        return None
    return Known(user, row["csrf"], row["expires"], time.monotonic())


async def close(db: Db, token: str) -> None:
    memory(db).pop(digest(token), None)
    await db.execute("DELETE FROM session WHERE token_hash = $1", digest(token))
