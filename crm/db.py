"""The connection to PostgreSQL: a pool of connections, and the numbered migrations of its tables."""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from crm.refused import Refused

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x52414D414C  # "RAMAL": any number nobody else in this database locks
NO_TRANSACTION = "-- no-transaction"  # as a file's first line: for CREATE INDEX CONCURRENTLY

# What a database that is away, or that is just coming back, makes a statement raise.
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg 0.32 says when the server dies amid executemany
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # being shut down, starting up
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.exceptions.PostgresIOError,
    asyncpg.ReadOnlySQLTransactionError,  # a replica not yet promoted
)


class Connection(asyncpg.Connection):
    """Reset before the next user has it, unless the last one sent a plain statement: half the round trips."""

    __slots__ = ("_is_clean",)

    def stays_clean(self) -> None:
        """Until it is released; for one statement that leaves no setting, lock or listener behind."""
        self._is_clean = True

    def get_reset_query(self) -> str:
        clean, self._is_clean = getattr(self, "_is_clean", False), False
        return "" if clean else super().get_reset_query()


class Db(asyncpg.Pool):
    """A pool that also holds what its users remember, so that two databases never share a memory.

    Statements that leave something in the session (SET, LISTEN, locks of the session) are for `acquire`.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.remembered: dict[str, Any] = {}

    async def fetch(self, *arguments: Any, **named: Any) -> Any:
        return await self._alone("fetch", arguments, named)

    async def fetchrow(self, *arguments: Any, **named: Any) -> Any:
        return await self._alone("fetchrow", arguments, named)

    async def fetchval(self, *arguments: Any, **named: Any) -> Any:
        return await self._alone("fetchval", arguments, named)

    async def execute(self, *arguments: Any, **named: Any) -> Any:
        return await self._alone("execute", arguments, named)

    async def _alone(self, act: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        async with self.acquire() as connection:
            connection.stays_clean()
            return await getattr(connection, act)(*arguments, **named)


async def connect(url: str, connections_max: int = 20) -> Db:
    """Refused when the database does not answer within ten seconds, or does not let us in."""
    pool = Db(
        url,
        connection_class=Connection,
        record_class=asyncpg.Record,
        init_size=1,
        min_size=0,  # while the database is away nobody needs to hear of it every second
        max_size=connections_max,
        max_queries=50_000,
        max_inactive_connection_lifetime=300.0,
        loop=None,
        setup=None,
        init=prepare,
        reset=None,
        connect=None,
        timeout=10,
        command_timeout=60,
        server_settings={
            "application_name": "ramal",
            "timezone": "UTC",
            "idle_in_transaction_session_timeout": "60s",
        },
    )
    try:
        return await pool
    except (*AWAY, asyncpg.PostgresError) as e:
        place = urlsplit(url)._replace(query="").geturl().rpartition("@")[2]
        reason = str(e) or type(e).__name__
        raise Refused("The database at {place} cannot be used: {reason}", place=place, reason=reason) from e


async def prepare(connection: asyncpg.Connection) -> None:
    """JSON travels as Python values and UUIDs as text."""
    await connection.set_type_codec(
        "jsonb", encoder=partial(json.dumps, ensure_ascii=False), decoder=json.loads, schema="pg_catalog"
    )
    await connection.set_type_codec("uuid", encoder=str, decoder=str, schema="pg_catalog")


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    files = sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return [Migration(int(f.name[:4]), f.stem, f.read_text(encoding="utf-8")) for f in files]


async def migrate(db: Db, folder: Path = MIGRATIONS) -> int:
    """Bring the tables up to date; answers how many migrations were applied.

    Several nodes may start at once. They poll for the lock instead of waiting in it, because a waiting
    statement holds a snapshot that CREATE INDEX CONCURRENTLY would wait for: a deadlock.
    """
    async with db.acquire() as connection:
        while not await connection.fetchval(  # noqa: ASYNC110 - another node holds it
            "SELECT pg_try_advisory_lock($1)", MIGRATION_LOCK
        ):
            await asyncio.sleep(0.2)
        try:
            return await apply(connection, migrations(folder))
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", MIGRATION_LOCK)


async def apply(connection: asyncpg.Connection, known: list[Migration]) -> int:
    await connection.execute(
        """
        CREATE TABLE IF NOT EXISTS migration (
            number   integer PRIMARY KEY,
            name     text NOT NULL,
            checksum text NOT NULL,
            applied  timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    rows = await connection.fetch("SELECT number, name, checksum FROM migration ORDER BY number")
    applied = {row["number"]: row for row in rows}
    refuse_strangers(applied, {m.number: m for m in known})
    missing = [m for m in known if m.number not in applied]
    for migration in missing:
        await apply_one(connection, migration)
    return len(missing)


def refuse_strangers(applied: dict[int, asyncpg.Record], known: dict[int, Migration]) -> None:
    for number, row in applied.items():
        if number not in known:
            raise Refused(
                "The database is of a newer version of Ramal (it has migration {name}); start that version.",
                name=row["name"],
            )
        if known[number].checksum != row["checksum"]:
            raise Refused("Migration {name} was changed after it had been applied.", name=row["name"])


async def apply_one(connection: asyncpg.Connection, migration: Migration) -> None:
    if migration.sql.startswith(NO_TRANSACTION):
        await connection.execute(migration.sql, timeout=3600)
        await note(connection, migration)
    else:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '10s'")
            await connection.execute(migration.sql, timeout=3600)
            await note(connection, migration)


async def note(connection: asyncpg.Connection, migration: Migration) -> None:
    await connection.execute(
        "INSERT INTO migration (number, name, checksum) VALUES ($1, $2, $3)",
        migration.number,
        migration.name,
        migration.checksum,
    )
