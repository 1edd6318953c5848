"""What tests stand on: a real PostgreSQL and a real Valkey, a fresh database for each test file."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from hypothesis import settings as hypothesis_settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from config import Settings
from crm import embedded, passwords
from crm.db import Db, connect, migrate
from tests.databases import Databases, beside, execute

# No test has a time limit on behaviour: a busy machine must not fail one.
hypothesis_settings.register_profile("ramal", deadline=None)
hypothesis_settings.load_profile("ramal")

# A quick hash in place of one that is slow on purpose.
PRODUCT_HASHER, PRODUCT_NOBODY = passwords.HASHER, passwords.NOBODY
passwords.HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
passwords.NOBODY = passwords.HASHER.hash("nobody")


END_TO_END = "tests/e2e/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First those that wait for telephones most of the time: who else tests has the processor meanwhile."""
    items.sort(key=lambda item: not item.nodeid.startswith(END_TO_END))


class Shares(LoadFileScheduling):
    """Who tests at the same time takes one file after the other, but one of them everything end to end.

    A product, a browser and telephones at a time are enough for the processor, and the tests share them.
    """

    def _split_scope(self, nodeid: str) -> str:
        return END_TO_END if nodeid.startswith(END_TO_END) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Shares:
    config.option.loadscopereorder = False  # by the number of tests
    return Shares(config, log)


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


@pytest.fixture(scope="session")
def databases(postgres_url: str) -> Iterator[Databases]:
    databases = Databases(postgres_url)
    yield databases
    databases.close()


@pytest.fixture(scope="module")
def database_url(databases: Databases) -> Iterator[str]:
    """URL of a migrated database for one test file."""
    url = databases.take()
    yield url
    databases.give_back(url)


@pytest.fixture
def fresh_database_url(databases: Databases) -> Iterator[str]:
    """URL of a migrated database for one test."""
    url = databases.take()
    yield url
    databases.give_back(url)


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
