"""The background writer: in order, bounded, and nothing lost while PostgreSQL stops or dies."""

import asyncio
import contextlib
import datetime
import os
import signal
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from config import Settings
from crm import audit, calls, embedded, layouts, shifts, tabulation, users
from crm.audit import AuditEntry
from crm.calls import CallRecord, Direction, Result
from crm.contacts import ContactLinked
from crm.db import connect, migrate
from crm.form import CATEGORY
from crm.history import History
from crm.shifts import ShiftInterval
from crm.tabulation import TabulationDraft, TabulationFilter, TabulationSaved
from crm.users import Role
from tests.waiting import until

START = datetime.datetime(2026, 11, 20, 9, 0, tzinfo=datetime.UTC)


def second(n):
    return START + datetime.timedelta(seconds=n)


def call(n=0, **facts):
    return CallRecord(str(uuid.UUID(int=n + 1)), Direction.INBOUND, second(n), **facts)


@contextlib.asynccontextmanager
async def writing(history):
    task = asyncio.create_task(history.run())
    try:
        yield history
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def ana(fresh_db):
    return await users.create(
        fresh_db, None, login="ana", name="Ana", role=Role.AGENT, password="correct horse battery"
    )


@pytest.fixture
async def layout(fresh_db):
    sale = await layouts.create_type(fresh_db, None, name="Venda")
    await layouts.create_category(fresh_db, None, sale.id, name="Ganha", success=True)
    return await layouts.create(fresh_db, None, name="sales", label="Vendas", types=[sale.id])


def draft(call, ana, layout, **answers):
    return TabulationDraft(call.id, ana.id, layout.id, second(9), answers)


def saved(call, ana, layout):
    answers = {CATEGORY: str(layout.types[0].categories[0].id)}
    return TabulationSaved(call.id, ana.id, layout.id, second(10), answers)


async def test_every_kind_is_written_in_its_order(fresh_db, ana, layout):
    contact = await fresh_db.fetchval("INSERT INTO contact (name) VALUES ('Maria') RETURNING id")
    first = call(1)
    async with writing(History(fresh_db, 100)) as history:
        history.put(first)
        history.put(draft(first, ana, layout))
        history.put(ContactLinked(first.id, contact))
        history.put(ShiftInterval(ana.id, "busy", second(1)))
        history.put(replace(first, user_id=ana.id, ended=second(9), result=Result.ANSWERED))
        history.put(saved(first, ana, layout))
        history.put(ShiftInterval(ana.id, "busy", second(1), second(9)))
        history.put(AuditEntry(second(9), ana.id, "station.set", "user ana", None, {"kind": "webrtc"}))
        await history.drain()
        assert (len(history), history.lost, history.refused) == (0, 0, 0)
    kept = await calls.by_id(fresh_db, first.id)
    assert kept.contact_id == contact and kept.result is Result.ANSWERED
    (row,) = await tabulation.search(fresh_db, TabulationFilter())
    assert row.contact == "Maria" and row.category == "Ganha"
    assert (await shifts.of_user(fresh_db, ana.id, START, second(99)))[0].ended == second(9)
    assert (await audit.recent(fresh_db, action="station"))[0].after == {"kind": "webrtc"}


async def test_writing_the_same_again_changes_nothing(fresh_db, ana, layout):
    first = call(1, ended=second(9), result=Result.ABANDONED)
    entry = AuditEntry(second(9), ana.id, "x", "y")
    records = [first, saved(first, ana, layout), ShiftInterval(ana.id, "ready", second(1), second(2)), entry]
    async with writing(History(fresh_db, 100)) as history:
        for record in records * 3:
            history.put(record)
        await history.drain()
    for table, count in (("call", 1), ("tabulation", 1), ("shift", 1)):
        assert await fresh_db.fetchval(f"SELECT count(*) FROM {table}") == count
    assert len(await audit.recent(fresh_db, action="x")) == 1


async def test_a_newer_draft_takes_the_place_of_the_one_that_waits(fresh_db, ana, layout):
    history = History(fresh_db, 100)
    for n in range(50):
        history.put(draft(call(1), ana, layout, notes=str(n)))
    assert len(history) == 1
    history.put(saved(call(1), ana, layout))
    assert len(history) == 1  # the draft is worth nothing any more
    assert history.lost == 0


async def test_when_full_drafts_go_first_then_shifts_and_calls_stay(fresh_db, ana, layout):
    history = History(fresh_db, 4)
    history.put(draft(call(1), ana, layout, notes="a"))
    history.put(ShiftInterval(ana.id, "ready", second(1)))
    history.put(call(1))
    history.put(call(2))
    history.put(call(3))  # the draft makes room
    assert (len(history), history.lost) == (4, 1)
    history.put(draft(call(4), ana, layout, notes="b"))  # nothing is worth less than a draft
    assert (len(history), history.lost) == (4, 2)
    history.put(call(4))  # the shift makes room
    history.put(call(5))  # and now nothing does
    assert (len(history), history.lost) == (4, 4)
    async with writing(history):
        await history.drain()
    kept = await fresh_db.fetch("SELECT id FROM call ORDER BY started")
    assert [row["id"] for row in kept] == [call(n).id for n in (1, 2, 3, 4)]


async def test_a_record_the_database_refuses_holds_up_nobody(fresh_db, ana, tmp_path):
    async with writing(History(fresh_db, 100, tmp_path / "history.pending")) as history:
        history.put(call(1))
        history.put(call(2, user_id=999))  # there is no such user
        history.put(replace(call(3), id="not a uuid"))
        history.put(call(4))
        await history.drain()
        assert (history.refused, history.lost) == (2, 0)
    assert await fresh_db.fetchval("SELECT count(*) FROM call") == 2
    assert (tmp_path / "history.refused").stat().st_size > 0


async def test_what_a_stop_leaves_is_written_at_the_next_start_before_the_new(
    fresh_db, ana, layout, tmp_path
):
    file = tmp_path / "history.pending"
    first = call(1)
    away = await connect_and_close(fresh_db)
    stopped = History(away, 100, file)
    entry = AuditEntry(second(3), ana.id, "x", "y", {"a": 1}, None)
    for record in (
        first,
        draft(first, ana, layout, notes="é"),
        ShiftInterval(ana.id, "ready", second(1)),
        entry,
    ):
        stopped.put(record)
    await stopped.close(seconds=0.5)
    assert file.exists() and stopped.lost == 0

    again = History(fresh_db, 100, file)
    again.put(replace(first, ended=second(9), result=Result.ABANDONED))
    async with writing(again):
        await until(lambda: not file.exists() and not len(again), "all is written and the file is gone")
    assert (await calls.by_id(fresh_db, first.id)).result is Result.ABANDONED
    assert (await tabulation.pending(fresh_db, ana.id))[0].answers == {"notes": "é"}
    assert (await audit.recent(fresh_db, action="x"))[0].before == {"a": 1}


async def connect_and_close(db):
    """A pool whose every use fails, as with a database that is away."""
    pool = await connect(db._connect_args[0])
    await pool.close()
    return pool


async def test_a_file_that_cannot_be_read_is_put_aside_and_the_writer_goes_on(fresh_db, tmp_path):
    file = tmp_path / "history.pending"
    file.write_bytes(b"\xc1 not msgpack")
    async with writing(History(fresh_db, 100, file)) as history:
        history.put(call(1))
        await history.drain()
    assert await calls.by_id(fresh_db, call(1).id)
    assert (tmp_path / "history.unreadable").exists() and not file.exists()


async def test_closing_without_a_writer_writes_everything(fresh_db):
    history = History(fresh_db, 2000)
    for n in range(1200):
        history.put(call(n))
    await history.close(seconds=60)
    assert await fresh_db.fetchval("SELECT count(*) FROM call") == 1200


# -- A PostgreSQL of its own that stops -------------------------------------------------------------------


@contextlib.asynccontextmanager
async def own_postgres():
    """Its URL, and its processes, which are ours to stop."""
    with tempfile.TemporaryDirectory(prefix="ramal-test-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        async with embedded.postgres(replace(Settings(), data=Path(folder))) as url:
            pid = int((Path(folder) / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])
            yield url, psutil.Process(pid)


def send(postmaster, number):
    for process in [postmaster, *postmaster.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


async def test_while_postgres_is_stopped_nothing_waits_and_afterwards_nothing_is_lost():
    async with own_postgres() as (url, postmaster):
        db = await connect(url)
        await migrate(db)
        async with writing(History(db, 10_000)) as history:
            history.put(call(0))
            await history.drain()
            send(postmaster, signal.SIGSTOP)
            try:
                for n in range(1, 3000):
                    history.put(call(n % 1000, cause=str(n)))
                    if n % 100 == 0:
                        await asyncio.sleep(0)  # the writer tries meanwhile
                assert len(history) == 2999
            finally:
                send(postmaster, signal.SIGCONT)
            await until(lambda: not len(history), "everything is written", seconds=90)
            assert (history.lost, history.refused) == (0, 0)
        rows = await db.fetch("SELECT id, cause FROM call ORDER BY started")
        assert [row["cause"] for row in rows[1:]] == [str(2000 + n) for n in range(1, 1000)]  # the last won
        await db.close()


async def test_a_postgres_that_is_killed_comes_back_and_nothing_is_lost():
    async with own_postgres() as (url, postmaster):
        db = await connect(url)
        await migrate(db)
        async with writing(History(db, 10_000)) as history:
            for n in range(2000):
                history.put(call(n))
                if n == 700:
                    await until(lambda: history.written > 0, "it is in the middle of writing")
                    postmaster.kill()
            await until(lambda: not len(history), "everything is written", seconds=90)
            assert (history.lost, history.refused) == (0, 0)
        assert await db.fetchval("SELECT count(*) FROM call") == 2000
        await db.close()
