"""The embedded servers: started, stopped, killed, started again, in every kind of folder."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis.asyncio as redis

from config import Settings
from crm import embedded
from crm.child import unprivileged
from crm.refused import Refused
from tests.waiting import until

ROOT = Path(__file__).parents[2]
SERVE = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from config import Settings
from crm import child, embedded
child.START_SECONDS_MAX = 240.0  # on a busy machine
async def serve():
    settings = replace(Settings(), data=Path(sys.argv[1]))
    async with embedded.postgres(settings) as postgres, embedded.valkey(settings) as valkey:
        print(postgres, valkey, flush=True)
        await asyncio.Event().wait()
asyncio.run(serve())
"""


@pytest.fixture
def data():
    """A data folder that an unprivileged child can get at."""
    with tempfile.TemporaryDirectory(prefix="ramal-test-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def settings(data):
    return replace(Settings(), data=data)


class Product:
    """A process of its own that holds both servers open."""

    def __init__(self, data):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(data)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        said = self.process.stdout.readline().split()
        self.error = "" if said else self.process.communicate()[1]
        self.postgres, self.valkey = said or ("", "")
        self.children = psutil.Process(self.process.pid).children(recursive=True) if said else []

    def kill(self):
        self.process.kill()
        self.process.communicate()


async def query(url, sql):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def gone(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_both_serve_stop_and_keep_what_postgres_was_told(settings):
    others = set(psutil.Process().children(recursive=True))  # of the whole test run
    async with embedded.postgres(settings) as url:
        await query(url, "CREATE TABLE kept (n integer)")
        children = set(psutil.Process().children(recursive=True)) - others
        assert children
    assert all(gone(child) for child in children)
    async with embedded.postgres(settings) as url, embedded.valkey(settings) as valkey:
        assert await query(url, "SELECT count(*) FROM kept") == 0
        client = redis.from_url(valkey)
        assert await client.ping()
        await client.aclose()


async def test_urls_in_the_settings_win_and_nothing_is_started(data):
    settings = replace(
        Settings(), data=data, database_url="postgresql://elsewhere/x", redis_url="redis://elsewhere"
    )
    async with embedded.postgres(settings) as url, embedded.valkey(settings) as valkey:
        assert (url, valkey) == ("postgresql://elsewhere/x", "redis://elsewhere")
        assert list(data.iterdir()) == []


async def test_a_killed_product_leaves_no_server_behind_and_its_data_survive(data):
    first = Product(data)
    await query(first.postgres, "CREATE TABLE survives (n integer)")
    first.kill()
    await until(lambda: all(gone(child) for child in first.children), "the children end")
    second = Product(data)
    assert await query(second.postgres, "SELECT count(*) FROM survives") == 0
    second.kill()


async def test_product_and_postgres_killed_at_once_start_again(data):
    first = Product(data)
    for child in first.children:
        child.kill()
    first.kill()
    second = Product(data)
    assert await query(second.postgres, "SELECT 1") == 1, second.error
    second.kill()


async def test_a_server_that_outlived_its_product_is_ended(settings):
    async with embedded.postgres(settings) as url:
        await query(url, "SELECT 1")
        shutil.copy(settings.data / "postgres" / "cluster" / "postmaster.pid", settings.data / "pid")
        pid = int((settings.data / "pid").read_text().split()[0])
        assert embedded.orphan(settings.data / "pid", settings.data / "postgres" / "cluster") == pid
        assert embedded.orphan(settings.data / "pid", settings.data) is None
        await embedded.end_orphan(settings.data / "pid", settings.data / "postgres" / "cluster")
        assert not embedded.alive(pid)


async def test_a_process_that_is_not_the_server_is_never_ended(settings):
    settings.data.joinpath("pid").write_text(str(os.getpid()))
    await embedded.end_orphan(settings.data / "pid", settings.data / "postgres")
    settings.data.joinpath("pid").write_text("not a number")
    await embedded.end_orphan(settings.data / "pid", settings.data)


async def test_a_second_instance_on_the_same_folder_is_refused(settings):
    async with embedded.postgres(settings):
        with pytest.raises(Refused, match="already running"):
            async with embedded.postgres(settings):
                pass
    async with embedded.valkey(settings):
        with pytest.raises(Refused, match="already running"):
            async with embedded.valkey(settings):
                pass


async def test_a_server_that_dies_is_started_again(settings):
    async with embedded.postgres(settings) as url:
        pid = int((settings.data / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

        async def answers():
            try:
                return await query(url, "SELECT pg_postmaster_start_time()")
            except (OSError, asyncpg.PostgresError):
                return None

        await until(answers, "PostgreSQL is back")


async def test_a_kill_while_the_cluster_is_made_leaves_nothing_half_made(settings):
    making = asyncio.create_task(embedded.postgres(settings).__aenter__())
    await until(lambda: (settings.data / "postgres" / "cluster.new").exists(), "initdb has begun")
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert not (settings.data / "postgres" / "cluster").exists()
    async with embedded.postgres(settings) as url:
        assert await query(url, "SELECT 1") == 1


async def test_a_folder_whose_path_is_too_long_for_a_socket_serves(data):
    settings = replace(Settings(), data=data / ("long" * 25))
    async with embedded.postgres(settings) as url, embedded.valkey(settings) as valkey:
        assert await query(url, "SELECT 1") == 1
        client = redis.from_url(valkey)
        assert await client.ping()
        await client.aclose()


async def test_a_folder_only_we_may_enter_serves_and_stays_closed(data):
    """As root, the children are somebody else; as anybody, nothing is opened to others."""
    closed = data / "closed"
    closed.mkdir(mode=0o700)
    settings = replace(Settings(), data=closed / "data")
    for _ in range(2):
        async with embedded.postgres(settings) as url, embedded.valkey(settings) as valkey:
            assert await query(url, "SELECT 1") == 1
            client = redis.from_url(valkey)
            assert await client.ping()
            await client.aclose()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    home = (closed / "data" / "postgres").resolve()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    shutil.rmtree(closed)
    embedded.sweep(embedded.ELSEWHERE)
    assert not home.exists()


async def test_binaries_only_we_may_read_are_copied_and_run(data, monkeypatch):
    found = next(embedded.all_binaries(""))
    assert found.package is not None
    closed = data / "closed"
    closed.mkdir(mode=0o700)
    site = closed / "site-packages"
    for part in (found.package, found.package.with_name(found.package.name + ".libs")):
        shutil.copytree(part, site / part.name, symlinks=True)
    valkey = shutil.copy2(embedded.valkey_program(), closed / "valkey-server")
    inside = embedded.Binaries(site / found.package.name / "pginstall" / "bin", site / found.package.name)
    monkeypatch.setattr(embedded, "all_binaries", lambda _: iter([inside]))
    monkeypatch.setattr(embedded, "valkey_program", lambda: Path(valkey))
    settings = replace(Settings(), data=data / "data")
    for _ in range(2):
        async with embedded.postgres(settings) as url, embedded.valkey(settings) as valkey_url:
            assert await query(
                url, "SELECT count(*) > 0 FROM pg_available_extensions WHERE name = 'unaccent'"
            )
            client = redis.from_url(valkey_url)
            assert await client.ping()
            await client.aclose()
    copied = data / "data" / "postgres" / "programs" / found.package.name
    assert copied.exists() == (unprivileged() is not None)


async def test_the_servers_never_run_as_root(settings):
    async with embedded.postgres(settings), embedded.valkey(settings):
        assert all(child.uids().effective != 0 for child in psutil.Process().children(recursive=True))


async def test_data_of_another_postgres_version_are_refused_and_kept(settings):
    cluster = settings.data / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("9\n")
    with pytest.raises(Refused, match="PostgreSQL 9"):
        async with embedded.postgres(settings):
            pass
    assert (cluster / "PG_VERSION").exists()


async def test_a_wrong_pg_bin_is_refused(settings):
    with pytest.raises(Refused, match="RAMAL_PG_BIN"):
        async with embedded.postgres(replace(settings, pg_bin="/nowhere")):
            pass


async def test_a_server_that_cannot_start_is_refused_with_its_last_words(settings, monkeypatch):
    monkeypatch.setattr("crm.child.START_SECONDS_MAX", 1.0)
    monkeypatch.setitem(embedded.POSTGRES_SETTINGS, "shared_buffers", "nonsense")
    with pytest.raises(Refused, match="nonsense"):
        async with embedded.postgres(settings):
            pass


@pytest.mark.parametrize(
    "memory, buffers", [(1 << 30, "128MB"), (8 << 30, "512MB"), (16 << 30, "1024MB"), (256 << 30, "1024MB")]
)
def test_the_database_gets_a_share_of_the_memory(memory, buffers):
    assert embedded.shared_buffers(memory) == buffers


def test_a_container_that_may_use_less_memory_than_the_machine_has_counts(tmp_path):
    machine = embedded.memory_bytes(tmp_path / "absent")
    limit = tmp_path / "memory.max"
    limit.write_text(f"{machine // 2}\n")
    assert embedded.memory_bytes(limit) == machine // 2
    limit.write_text("max\n")
    assert embedded.memory_bytes(limit) == machine


async def test_the_share_is_what_the_server_runs_with(settings):
    async with embedded.postgres(settings) as url:
        connection = await asyncpg.connect(url)
        given = await connection.fetchval("SELECT pg_size_bytes(current_setting('shared_buffers'))")
        await connection.close()
    assert given == int(embedded.shared_buffers(embedded.memory_bytes())[:-2]) << 20
