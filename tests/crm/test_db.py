"""Migrations: applied once, in order, by one of many; refused when changed or of a newer version."""

import asyncio

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


async def test_a_database_that_does_not_answer_is_refused_without_its_password():
    with pytest.raises(Refused) as refused:
        await connect("postgresql://ana:s3cret@127.0.0.1:1/ramal")
    assert "127.0.0.1:1" in str(refused.value) and "s3cret" not in str(refused.value)
