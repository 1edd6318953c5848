"""What tests stand on: a real PostgreSQL and a real Valkey, a fresh database for each test file."""

import asyncio
import contextlib
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import settings as hypothesis_settings

from config import Settings
from crm import embedded
from crm.db import Db, connect, migrate

# No test has a time limit on behaviour: a busy machine must not fail one.
hypothesis_settings.register_profile("ramal", deadline=None)
hypothesis_settings.load_profile("ramal")


@dataclass(frozen=True)
class Servers:
    postgres: str  # URL of the database "ramal", migrated, that no test writes to
    valkey: str


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Started once; TEST_PG_BIN names another PostgreSQL's programs, such as those of an older version."""
    with tempfile.TemporaryDirectory(prefix="ramal-test-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # as root the servers run as somebody else
        settings = replace(Settings(), data=Path(folder), pg_bin=os.environ.get("TEST_PG_BIN", ""))
        with asyncio.Runner() as runner:
            stack = contextlib.AsyncExitStack()
            try:
                yield runner.run(start(stack, settings))
            finally:
                runner.run(stack.aclose())


async def start(stack: contextlib.AsyncExitStack, settings: Settings) -> Servers:
    postgres = await stack.enter_async_context(embedded.postgres(settings))
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):  # nobody keeps what tests write
        await execute(beside(postgres, "postgres"), f"ALTER SYSTEM SET {setting} = off")
    await execute(beside(postgres, "postgres"), "SELECT pg_reload_conf()")
    valkey = await stack.enter_async_context(embedded.valkey(settings))
    db = await connect(postgres)
    await migrate(db)
    await db.close()
    return Servers(postgres, valkey)


@pytest.fixture(scope="session")
def postgres_url(servers: Servers) -> str:
    return servers.postgres


@pytest.fixture(scope="session")
def valkey_url(servers: Servers) -> str:
    return servers.valkey


@pytest.fixture(scope="module")
def database_url(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a migrated database for one test file."""
    name = "test_" + request.module.__name__.rpartition(".")[2][-40:].lower() + f"_{os.getpid()}"
    with copied(postgres_url, name) as url:
        yield url


class Copies:
    """Migrated databases, each for one test: the next is made, and the last removed, while a test runs."""

    def __init__(self, template_url: str) -> None:
        self._template_url = template_url
        self._work = ThreadPoolExecutor(1)
        self._numbers = itertools.count()
        self._next = self._work.submit(self._make)

    def _make(self) -> str:
        return make_copy(self._template_url, f"fresh_{os.getpid()}_{next(self._numbers)}")

    def take(self) -> str:
        url = self._next.result()
        self._next = self._work.submit(self._make)
        return url

    def give_back(self, url: str) -> None:
        self._work.submit(drop, url)

    def close(self) -> None:
        self._work.shutdown()


@pytest.fixture(scope="session")
def copies(postgres_url: str) -> Iterator[Copies]:
    copies = Copies(postgres_url)
    yield copies
    copies.close()


@pytest.fixture
def fresh_database_url(copies: Copies) -> Iterator[str]:
    """URL of a migrated database for one test."""
    url = copies.take()
    yield url
    copies.give_back(url)


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Db]:
    """A pool on the test file's database."""
    pool = await connect(database_url)
    yield pool
    await pool.close()


@pytest_asyncio.fixture
async def fresh_db(fresh_database_url: str) -> AsyncIterator[Db]:
    """A pool on a database only this test sees."""
    pool = await connect(fresh_database_url)
    yield pool
    await pool.close()


@contextlib.contextmanager
def copied(template_url: str, name: str) -> Iterator[str]:
    url = make_copy(template_url, name)
    try:
        yield url
    finally:
        drop(url)


def make_copy(template_url: str, name: str) -> str:
    template = urlsplit(template_url).path.strip("/")
    sql = f'CREATE DATABASE "{name}" TEMPLATE "{template}"'
    asyncio.run(execute(beside(template_url, "postgres"), sql))
    return beside(template_url, name)


def drop(url: str) -> None:
    name = urlsplit(url).path.strip("/")
    asyncio.run(execute(beside(url, "postgres"), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


def beside(url: str, database: str) -> str:
    """The URL of another database of the same server."""
    head, mark, query = url.partition("?")
    return f"{head.rpartition('/')[0]}/{database}{mark}{query}"


async def execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
