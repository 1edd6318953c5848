"""Migrated databases for tests, used again where only rows changed: removing them costs a tenth of a copy."""

import asyncio
import collections
import contextlib
import io
import itertools
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg

NUMBERS = itertools.count()
BYTES_MAX = 4_000_000  # of tables; whoever wrote more leaves so many dead rows that a new copy is quicker

# Of everything a migration may make how many there are, and which transaction changed one of them last;
# and what the planner learnt and was set, which would outlive the rows.
CATALOGUE = """
    SELECT string_agg(format('%s %s %s', kind, n, newest), ', ' ORDER BY kind)
      FROM (
            SELECT tableoid::regclass AS kind, count(*) AS n, max(xmin::text::bigint) AS newest
              FROM (
                    SELECT tableoid, xmin FROM pg_class WHERE oid >= 16384
                     UNION ALL SELECT tableoid, xmin FROM pg_attribute WHERE attrelid >= 16384
                     UNION ALL SELECT tableoid, xmin FROM pg_constraint WHERE oid >= 16384
                     UNION ALL SELECT tableoid, xmin FROM pg_trigger WHERE oid >= 16384
                     UNION ALL SELECT tableoid, xmin FROM pg_attrdef WHERE oid >= 16384
                     UNION ALL SELECT tableoid, xmin FROM pg_rewrite WHERE oid >= 16384
                     UNION ALL SELECT tableoid, xmin FROM pg_proc WHERE oid >= 16384
                     UNION ALL SELECT tableoid, xmin FROM pg_type WHERE oid >= 16384
                     UNION ALL SELECT tableoid, xmin FROM pg_statistic WHERE starelid >= 16384
                     UNION ALL SELECT tableoid, xmin FROM pg_namespace
                                WHERE oid >= 16384 AND nspname !~ '^pg_(toast_)?temp_'
                   ) AS made
             GROUP BY tableoid
             UNION ALL
            SELECT 'pg_database', count(setconfig), length(datacl::text)
              FROM pg_database LEFT JOIN pg_db_role_setting ON setdatabase = oid
             WHERE datname = current_database()
             GROUP BY oid, datacl
           ) AS all_kinds
"""
TABLES = """
    SELECT oid::regclass::text AS name, pg_relation_size(oid) AS bytes,
           ARRAY(SELECT attname::text FROM pg_attribute
                  WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
                  ORDER BY attnum) AS columns
      FROM pg_class
     WHERE relkind = 'r' AND oid >= 16384 AND pg_relation_size(oid) > 0
"""
SEQUENCES = "SELECT seqrelid::regclass::text, pg_sequence_last_value(seqrelid) FROM pg_sequence"
END_OTHERS = """
    SELECT pg_terminate_backend(pid, 60000)
      FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Contents:
    """What a migrated database holds before anybody wrote to it."""

    catalogue: str
    rows: dict[str, bytes]  # of the tables that have any, as COPY writes them
    sequences: dict[str, int | None]


async def contents(url: str) -> Contents:
    async with connected(url) as connection:
        rows = {table["name"]: await rows_of(connection, table) for table in await connection.fetch(TABLES)}
        rows = {name: written for name, written in rows.items() if written}
        sequences = dict(await connection.fetch(SEQUENCES))
        return Contents(await connection.fetchval(CATALOGUE), rows, sequences)


async def restored(url: str, before: Contents) -> bool:
    """Give it back the contents it had; no when more than rows changed, or more of them than is worth it."""
    async with connected(url) as connection:
        await connection.execute(END_OTHERS)
        if await connection.fetchval(CATALOGUE) != before.catalogue:
            return False
        tables = await connection.fetch(TABLES)
        if sum(table["bytes"] for table in tables) > BYTES_MAX:
            return False
        changed = [
            table
            for table in tables
            if table["name"] not in before.rows
            or await rows_of(connection, table) != before.rows[table["name"]]
        ]
        moved = dict(await connection.fetch(SEQUENCES)).items() - before.sequences.items()
        undo = [f"DELETE FROM ONLY {table['name']}" for table in changed]
        undo += [set_sequence(name, before.sequences[name]) for name, _ in moved]
        undo.insert(0, "SET session_replication_role = replica")  # no triggers, no foreign keys
        await connection.execute(";".join(undo))
        for table in changed:
            if rows := before.rows.get(table["name"]):
                await connection.copy_to_table(
                    table["name"], source=io.BytesIO(rows), columns=table["columns"]
                )
        return True


def set_sequence(name: str, last: int | None) -> str:
    return f"SELECT setval('{name}', {last or 1}, {last is not None})"


async def rows_of(connection: asyncpg.Connection, table: asyncpg.Record) -> bytes:
    written = io.BytesIO()
    await connection.copy_from_table(table["name"], output=written, columns=table["columns"])
    return written.getvalue()


class Databases:
    """One for each who asks: while a test runs, the next is made ready of the one the last test gave back."""

    def __init__(self, template_url: str) -> None:
        self._template_url = template_url
        self._work = ThreadPoolExecutor(1)
        self._used: collections.deque[str] = collections.deque()
        self._before: Contents | None = None
        self._next = self._work.submit(self._prepare)

    def take(self) -> str:
        url = self._next.result()
        self._next = self._work.submit(self._prepare)
        return url

    def give_back(self, url: str) -> None:
        self._used.append(url)

    def close(self) -> None:
        self._work.shutdown()

    def _prepare(self) -> str:
        while self._used:
            url = self._used.popleft()
            assert self._before is not None
            if asyncio.run(restored(url, self._before)):
                return url
            self._execute(f'DROP DATABASE "{urlsplit(url).path.strip("/")}" WITH (FORCE)')
        name = f"fresh_{os.getpid()}_{next(NUMBERS)}"
        template = urlsplit(self._template_url).path.strip("/")
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        url = beside(self._template_url, name)
        if self._before is None:
            self._before = asyncio.run(contents(url))
        return url

    def _execute(self, sql: str) -> None:
        asyncio.run(execute(beside(self._template_url, "postgres"), sql))


def beside(url: str, database: str) -> str:
    """The URL of another database of the same server."""
    head, mark, query = url.partition("?")
    return f"{head.rpartition('/')[0]}/{database}{mark}{query}"


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def execute(url: str, sql: str) -> None:
    async with connected(url) as connection:
        await connection.execute(sql)
