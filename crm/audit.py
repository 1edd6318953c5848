"""Audit: who changed what, and when. A row in the same transaction as the change."""

import datetime
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg

from crm.db import Db

if TYPE_CHECKING:
    from crm.users import User


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change; also put into the history by those who have no transaction, such as the live floor."""

    at: datetime.datetime
    by_user_id: int | None  # None is the product itself
    action: str  # such as "user.update"
    subject: str  # such as "user ana"
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    by: str = ""  # the user's login, when read
    key: str = field(default_factory=lambda: str(uuid.uuid4()))  # one written twice is kept once


async def note(
    connection: asyncpg.Connection | Db,
    by: "User | None",
    action: str,
    subject: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Call inside the transaction of the change. Only what differs is kept of `before` and `after`."""
    if before is not None and after is not None:
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        before = {key: value for key, value in before.items() if key in changed}
        after = {key: value for key, value in after.items() if key in changed}
    await connection.execute(
        """
        INSERT INTO audit (at, by_user_id, action, subject, before, after)
        VALUES (now(), $1, $2, $3, $4, $5)
        """,
        by.id if by else None,
        action,
        subject,
        plain(before),
        plain(after),
    )


def plain(values: Mapping[str, Any] | None) -> Any:
    """As JSON can hold it."""
    return None if values is None else json.loads(json.dumps(dict(values), default=str, ensure_ascii=False))


async def recent(
    db: Db,
    *,
    limit: int = 100,
    offset: int = 0,
    by_user_id: int | None = None,
    action: str = "",
    text: str = "",
) -> list[AuditEntry]:
    """Newest first; `action` is the beginning of one ("user"), `text` a part of the subject."""
    rows = await db.fetch(
        """
        SELECT audit.at, audit.by_user_id, audit.action, audit.subject, audit.before, audit.after,
               coalesce(user_account.login, '') AS by, audit.key
          FROM audit LEFT JOIN user_account ON user_account.id = audit.by_user_id
         WHERE ($3::integer IS NULL OR audit.by_user_id = $3)
           AND starts_with(audit.action, $4)
           AND ($5 = '' OR strpos(f_norm(audit.subject), f_norm($5)) > 0)
         ORDER BY audit.at DESC, audit.id DESC
         LIMIT $1 OFFSET $2
        """,
        limit,
        offset,
        by_user_id,
        action,
        text,
    )
    return [AuditEntry(**row) for row in rows]


async def write_history(connection: asyncpg.Connection, entries: list[AuditEntry]) -> None:
    await connection.executemany(
        """
        INSERT INTO audit (at, by_user_id, action, subject, before, after, key)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (key) DO NOTHING
        """,
        [(e.at, e.by_user_id, e.action, e.subject, plain(e.before), plain(e.after), e.key) for e in entries],
    )
