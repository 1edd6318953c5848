"""Users: who may log in, in which role, and what each role may do."""

import datetime
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import asyncpg

from config.settings import LANGUAGES
from crm import audit, passwords
from crm.db import Db
from crm.entry import Entry, missing, refusing
from crm.refused import Refused


class Role(StrEnum):
    ADMINISTRATOR = "administrator"
    SUPERVISOR = "supervisor"
    AGENT = "agent"
    BACK_OFFICE = "back_office"
    AUDITOR = "auditor"


RIGHTS: dict[Role, frozenset[str]] = {
    Role.ADMINISTRATOR: frozenset(
        "administer audit watch_wall see_tabulations export see_contacts edit_contacts run_campaigns".split()
    ),
    Role.SUPERVISOR: frozenset(
        "take_calls watch_wall see_tabulations export see_contacts edit_contacts run_campaigns".split()
    ),
    Role.AGENT: frozenset("take_calls see_contacts edit_contacts".split()),
    Role.BACK_OFFICE: frozenset("see_tabulations see_contacts edit_contacts".split()),
    Role.AUDITOR: frozenset("audit see_tabulations export see_contacts hear_recordings".split()),
}


@dataclass(frozen=True, slots=True)
class User:
    id: int
    login: str
    name: str
    role: Role
    group_id: int | None
    group: str | None
    language: str
    extension: str | None
    may_dial_external: bool
    may_hear_recordings: bool
    active: bool


# The dialer, in whose hands an item is until an agent takes it. It cannot log in and has no right.
DIALER = User(0, "#dialer", "Discador", Role.BACK_OFFICE, None, None, "pt_BR", None, False, False, False)


def can(user: User, right: str) -> bool:
    """Whether the user has the right: one of his role's, or one given to him alone."""
    if not user.active:
        return False
    own = {
        "hear_recordings": user.may_hear_recordings,
        "dial_external": user.may_dial_external and "take_calls" in RIGHTS[user.role],
    }
    return own.get(right, False) or right in RIGHTS[user.role]


def require(by: User | None, right: str) -> None:
    """Refused unless the user has the right. None is the product itself, which has every right."""
    if by is not None and not can(by, right):
        raise Refused(
            "{name} may not do this: the right {right} is missing. An administrator grants it.",
            code="not_allowed",
            details={"right": right},
            name=by.name,
            right=right,
        )


# -- Finding -----------------------------------------------------------------------------------------------

USER = """
    SELECT user_account.id, user_account.login, user_account.name, user_account.role,
           user_account.group_id, user_group.name AS "group", user_account.language,
           extension.number AS extension, user_account.may_dial_external,
           user_account.may_hear_recordings, user_account.active
      FROM user_account
      LEFT JOIN user_group ON user_group.id = user_account.group_id
      LEFT JOIN extension ON extension.user_id = user_account.id
"""


def read(row: asyncpg.Record) -> User:
    return User(**{**row, "role": Role(row["role"])})


async def by_login(db: Db | asyncpg.Connection, login: str) -> User | None:
    row = await db.fetchrow(USER + "WHERE user_account.login = $1", login.strip().lower())
    return read(row) if row else None


async def by_id(db: Db | asyncpg.Connection, user_id: int) -> User | None:
    row = await db.fetchrow(USER + "WHERE user_account.id = $1 AND user_account.id <> 0", user_id)
    return read(row) if row else None


async def all(db: Db | asyncpg.Connection) -> list[User]:
    """Everybody but the dialer."""
    rows = await db.fetch(
        USER + "WHERE user_account.id <> 0 ORDER BY f_norm(user_account.name), user_account.id"
    )
    return [read(row) for row in rows]


# -- Logging in --------------------------------------------------------------------------------------------


async def verify(
    db: Db, login: str, password: str, failures_max: int = 5, lock_seconds: int = 60
) -> User | None:
    """The user, None when login or password is wrong; Refused after too many failures of this login.

    A login that does not exist costs the same time and is locked the same way.
    """
    login = login.strip().lower()[:100].replace("\x00", "")
    passwords.refuse_when_busy()
    await count_attempt(db, login, failures_max, lock_seconds)
    stored = await db.fetchval("SELECT password FROM user_account WHERE login = $1 AND active", login)
    if not await passwords.matches(password, stored):
        return None
    await db.execute("DELETE FROM login_failure WHERE login = $1", login)
    return await by_login(db, login)


async def count_attempt(db: Db, login: str, failures_max: int, lock_seconds: int) -> None:
    """Counted before the password is looked at, so that many attempts at once are not tested at once."""
    lock = datetime.timedelta(seconds=lock_seconds)
    row = await db.fetchrow(
        """
        INSERT INTO login_failure AS known (login, failures, last) VALUES ($1, 1, now())
        ON CONFLICT (login) DO UPDATE SET
            failures = CASE WHEN known.last < now() - $3::interval THEN 1
                            ELSE least(known.failures, $2) + 1 END,
            last = CASE WHEN known.last >= now() - $3::interval AND known.failures >= $2 THEN known.last
                        ELSE now() END
        RETURNING failures, ceil(extract(epoch FROM last + $3::interval - now()))::integer AS seconds
        """,
        login,
        failures_max,
        lock,
    )
    if row["failures"] > failures_max:
        raise Refused(
            "There were too many failed logins of {login}. Try again in {seconds} seconds.",
            code="locked",
            details={"seconds": row["seconds"]},
            login=login,
            seconds=row["seconds"],
        )
    if row["failures"] == 1:
        await db.execute("DELETE FROM login_failure WHERE last < now() - $1::interval", 10 * lock)


# -- Administration ----------------------------------------------------------------------------------------

FIELDS = frozenset(("login", "name", "role", "group_id", "language", "active")) | {
    "may_dial_external",
    "may_hear_recordings",
}
DEFAULTS: dict[str, Any] = {"language": "pt_BR", "active": True}
CONSTRAINTS = {"user_account_login_key": "login", "user_account_group_id_fkey": "group_id"}


def checked(values: dict[str, Any]) -> dict[str, Any]:
    entry = Entry({**values, "login": str(values.get("login") or "").lower()})
    answer: dict[str, Any] = {
        "login": entry.matching("login", r"[a-z0-9][a-z0-9._@-]{0,59}"),
        "name": entry.text("name"),
        "role": entry.option("role", list(Role)),
        "group_id": entry.reference("group_id"),
        "language": entry.option("language", LANGUAGES),
        "may_dial_external": entry.switch("may_dial_external"),
        "may_hear_recordings": entry.switch("may_hear_recordings"),
        "active": entry.switch("active"),
    }
    entry.done()
    return answer


async def create(db: Db, by: User | None, *, password: str, **values: Any) -> User:
    """`values`: login, name, role, and any other of FIELDS."""
    assert values.keys() <= FIELDS
    require(by, "administer")
    new = checked(DEFAULTS | values)
    passwords.check_strength(password)
    hashed = await passwords.hashed(password)
    async with db.acquire() as connection, connection.transaction():
        with refusing(CONSTRAINTS):
            user_id = await connection.fetchval(
                """
                INSERT INTO user_account (login, name, role, group_id, language, may_dial_external,
                                          may_hear_recordings, active, password)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id
                """,
                *new.values(),
                hashed,
            )
        await audit.note(connection, by, "user.create", f"user {new['login']}", None, new)
        user = await by_id(connection, user_id)
    assert user is not None
    return user


async def update(db: Db, by: User | None, user_id: int, **changes: Any) -> User:
    """Changes any of FIELDS. The last active administrator stays one."""
    assert changes.keys() <= FIELDS
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, user_id)
        if before is None:
            raise missing("user")
        new = checked({**asdict(before), **changes})
        with refusing(CONSTRAINTS):
            await connection.execute(
                """
                UPDATE user_account
                   SET login = $2, name = $3, role = $4, group_id = $5, language = $6,
                       may_dial_external = $7, may_hear_recordings = $8, active = $9
                 WHERE id = $1
                """,
                user_id,
                *new.values(),
            )
        await keep_an_administrator(connection)
        if not new["active"]:
            await connection.execute("DELETE FROM session WHERE user_id = $1", user_id)
        await audit.note(
            connection, by, "user.update", f"user {new['login']}", {k: getattr(before, k) for k in new}, new
        )
        user = await by_id(connection, user_id)
    assert user is not None
    db.remembered.pop("sessions", None)
    return user


async def keep_an_administrator(connection: asyncpg.Connection) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext('administrators'))")
    if not await connection.fetchval("SELECT 1 FROM user_account WHERE role = 'administrator' AND active"):
        raise Refused("This is the last administrator, and the centre needs one.", code="last_administrator")


async def set_password(db: Db, by: User | None, user_id: int, password: str) -> None:
    """By an administrator, or by the user himself. Every other login of the user ends."""
    if by is None or by.id != user_id:
        require(by, "administer")
    passwords.check_strength(password)
    hashed = await passwords.hashed(password)
    async with db.acquire() as connection, connection.transaction():
        login = await connection.fetchval(
            "UPDATE user_account SET password = $2 WHERE id = $1 AND id <> 0 RETURNING login", user_id, hashed
        )
        if login is None:
            raise missing("user")
        await connection.execute("DELETE FROM session WHERE user_id = $1", user_id)
        await connection.execute("DELETE FROM login_failure WHERE login = $1", login)
        await audit.note(connection, by, "user.set_password", f"user {login}")
    db.remembered.pop("sessions", None)


async def set_language(db: Db, user: User, language: str) -> None:
    """The user's own choice; no administrative change."""
    if language not in LANGUAGES:
        raise Refused("There is no such language.", code="bad_argument", details={"field": "language"})
    await db.execute("UPDATE user_account SET language = $2 WHERE id = $1", user.id, language)
    db.remembered.pop("sessions", None)
