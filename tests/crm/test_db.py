"""Migrations: applied once, in order, by one of many; refused when changed or of a newer version."""

import asyncio

import asyncpg
import pytest

from crm.db import connect, migrate, migrations
from crm.refused import Refused


def two(folder):
    (folder / "0001_one.sql").write_text("CREATE TABLE one (n integer)")
    (folder / "0002_two.sql").write_text("-- no-transaction\nCREATE INDEX CONCURRENTLY one_n ON one (n)")
    return folder


async def empty(db):
    await db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


async def test_the_tables_are_made_and_a_second_time_changes_nothing(fresh_db):
    await empty(fresh_db)
    assert await migrate(fresh_db) == len(migrations()) > 0
    assert await migrate(fresh_db) == 0
    assert await fresh_db.fetchval("SELECT f_norm('Ação')") == "acao"


async def test_many_nodes_start_at_once_and_one_migrates(fresh_database_url, tmp_path):
    nodes = [await connect(fresh_database_url) for _ in range(5)]
    await empty(nodes[0])
    applied = await asyncio.gather(*(migrate(node, two(tmp_path)) for node in nodes))
    assert sorted(applied) == [0, 0, 0, 0, 2]
    for node in nodes:
        await node.close()


async def test_a_migration_that_fails_leaves_nothing_behind(fresh_db, tmp_path):
    await empty(fresh_db)
    (tmp_path / "0001_bad.sql").write_text("CREATE TABLE half (n integer); SELECT 1/0")
    with pytest.raises(Exception, match="division by zero"):
        await migrate(fresh_db, tmp_path)
    assert await fresh_db.fetchval("SELECT to_regclass('half')") is None
    (tmp_path / "0001_bad.sql").write_text("CREATE TABLE whole (n integer)")
    assert await migrate(fresh_db, tmp_path) == 1


async def test_a_changed_migration_and_a_newer_database_are_refused(fresh_db, tmp_path):
    await empty(fresh_db)
    await migrate(fresh_db, two(tmp_path))
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (n bigint)")
    with pytest.raises(Refused, match="changed"):
        await migrate(fresh_db, tmp_path)
    (tmp_path / "0001_one.sql").unlink()
    with pytest.raises(Refused, match="newer version"):
        await migrate(fresh_db, tmp_path)


async def test_what_somebody_set_in_a_session_is_gone_for_the_next(fresh_database_url):
    db = await connect(fresh_database_url, connections_max=1)
    try:
        usual = await db.fetchval("SHOW work_mem")
        async with db.acquire() as connection:
            await connection.execute("SET work_mem = '77MB'; SELECT pg_advisory_lock(7)")
        assert await db.fetchval("SHOW work_mem") == usual
        assert await db.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    finally:
        await db.close()


async def test_one_plain_statement_is_one_round_trip(fresh_database_url):
    db = await connect(fresh_database_url, connections_max=1)
    try:
        sent = []
        async with db.acquire() as connection:
            connection.add_query_logger(lambda record: sent.append(record.query))
            sent.clear()
        for act in (db.fetch, db.fetchrow, db.fetchval, db.execute):
            sent.clear()
            await act("SELECT 1")
            assert sent == ["SELECT 1"]
        with pytest.raises(asyncpg.DivisionByZeroError):
            await db.fetchval("SELECT 1 / 0")
        sent.clear()
        async with db.acquire() as connection:
            await connection.fetchval("SELECT 1")
        assert sent[0] == "SELECT 1" and "RESET ALL" in sent[1]
    finally:
        await db.close()


async def test_a_database_that_does_not_answer_is_refused_without_its_password():
    with pytest.raises(Refused) as refused:
        await connect("postgresql://ana:s3cret@127.0.0.1:1/ramal")
    assert "127.0.0.1:1" in str(refused.value) and "s3cret" not in str(refused.value)
