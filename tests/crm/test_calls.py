"""Calls: written again and again the last one wins, what is known stays, and the day is counted right."""

import datetime
import uuid
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from crm import calls, queues, shifts, users
from crm.calls import CallRecord, Direction, Result
from crm.shifts import ShiftInterval
from crm.users import Role

ZONE = ZoneInfo("America/Sao_Paulo")
DAY = datetime.date(2026, 11, 20)


def at(hour, minute=0, second=0, day=DAY):
    return datetime.datetime.combine(day, datetime.time(hour, minute, second), ZONE)


def call(started, **facts):
    return CallRecord(str(uuid.uuid4()), facts.pop("direction", Direction.INBOUND), started, **facts)


def answered(started, wait, talk, **facts):
    moment = started + datetime.timedelta(seconds=wait)
    return call(
        started,
        answered=moment,
        ended=moment + datetime.timedelta(seconds=talk),
        wait_seconds=wait,
        talk_seconds=talk,
        result=Result.ANSWERED,
        **facts,
    )


async def write(db, *records):
    async with db.acquire() as connection, connection.transaction():
        await calls.write_history(connection, list(records))


@pytest.fixture
async def ana(fresh_db):
    return await users.create(
        fresh_db, None, login="ana", name="Ana", role=Role.AGENT, password="correct horse battery"
    )


@pytest.fixture
async def queue(fresh_db):
    await queues.create(fresh_db, None, name="support", label="Suporte")
    return await queues.create(fresh_db, None, name="sales", label="Vendas", service_level_seconds=20)


async def test_a_call_grows_and_what_is_known_stays(fresh_db, ana, queue):
    begun = call(at(10), number="+5511987654321", queue="sales")
    await write(fresh_db, begun)
    contact = await fresh_db.fetchval("INSERT INTO contact (name) VALUES ('Maria') RETURNING id")
    linked = replace(begun, contact_id=contact, recording="recordings/x.wav", user_id=ana.id)
    ended = replace(begun, user_id=ana.id, answered=at(10, 1), ended=at(10, 5), result=Result.ANSWERED)
    await write(fresh_db, linked, ended, ended)
    kept = await calls.by_id(fresh_db, begun.id)
    assert kept == replace(ended, contact_id=contact, recording="recordings/x.wav")
    assert await calls.of_user(fresh_db, ana.id) == [kept]
    assert await calls.by_id(fresh_db, str(uuid.uuid4())) is None


async def test_the_day_is_counted_by_quarter_hours_of_its_own_zone(fresh_db, queue):
    await write(
        fresh_db,
        answered(at(0, 0), 5, 60, queue="sales"),
        answered(at(9, 14, 59), 5, 60, queue="sales"),
        call(at(9, 15), queue="sales", ended=at(9, 16), result=Result.ABANDONED),
        answered(at(9, 20), 5, 60, queue="support"),
        call(at(23, 59, 59), queue="sales"),  # still waiting
        answered(at(9), 5, 60, direction=Direction.OUTBOUND),
        answered(at(0, 0, day=DAY + datetime.timedelta(days=1)), 5, 60, queue="sales"),
        answered(at(23, 59, 59, day=DAY - datetime.timedelta(days=1)), 5, 60, queue="sales"),
    )
    quarters = await calls.by_quarter_hour(fresh_db, DAY)
    assert len(quarters) == 96 and quarters[0].time == at(0)
    counted = {q.time: (q.offered, q.answered, q.abandoned) for q in quarters if q.offered}
    assert counted == {at(0): (1, 1, 0), at(9): (1, 1, 0), at(9, 15): (2, 1, 1), at(23, 45): (1, 0, 0)}
    assert sum(q.offered for q in await calls.by_quarter_hour(fresh_db, DAY, queue="support")) == 1


async def test_the_days_counters_of_each_queue(fresh_db, queue):
    await write(
        fresh_db,
        answered(at(9), 20, 100, queue="sales"),
        answered(at(10), 21, 50, queue="sales"),
        call(at(11), queue="sales", ended=at(11, 1), result=Result.ABANDONED, wait_seconds=60),
        answered(at(9, day=DAY - datetime.timedelta(days=1)), 1, 1, queue="sales"),
    )
    counted = await calls.today(fresh_db, DAY)
    assert counted["sales"] == calls.QueueDay("sales", 3, 2, 1, 1, 41.0, 150.0)
    assert counted["support"] == calls.QueueDay("support", 0, 0, 0, 0, 0.0, 0.0)


async def test_an_agents_figures_are_of_the_day_and_his_own(fresh_db, ana, queue):
    await write(
        fresh_db,
        answered(at(9), 5, 100, user_id=ana.id),
        answered(at(10), 5, 20, user_id=ana.id, direction=Direction.OUTBOUND),
        call(at(11), user_id=ana.id, direction=Direction.OUTBOUND, ended=at(11, 1), result=Result.BUSY),
        answered(at(12), 5, 500),
        answered(at(9, day=DAY - datetime.timedelta(days=1)), 5, 100, user_id=ana.id),
    )
    assert await calls.figures(fresh_db, ana.id, DAY) == calls.Figures(1, 2, 120, 0)


async def test_recordings_are_found_by_period_agent_queue_and_number(fresh_db, ana, queue):
    heard = answered(
        at(9), 5, 100, user_id=ana.id, queue="sales", number="+5511987654321", recording="r/1.wav"
    )
    other = answered(at(10), 5, 100, queue="support", number="+5511911112222", recording="r/2.wav")
    await write(fresh_db, heard, other, answered(at(11), 5, 100))
    day = {"start": at(0), "end": at(23, 59)}
    assert await calls.recorded(fresh_db, **day) == [other, heard]
    for narrower in (
        {"user_id": ana.id},
        {"queue": "sales"},
        {"number": "(11) 98765"},
        {"number": "011 98765"},
    ):
        assert await calls.recorded(fresh_db, **day, **narrower) == [heard]
    assert await calls.recorded(fresh_db, **day, limit=1, offset=1) == [heard]
    assert await calls.recorded(fresh_db, start=at(12), end=at(13)) == []


async def test_what_a_killed_product_left_open_is_ended(fresh_db, ana, queue):
    waiting, talking = call(at(9), queue="sales"), call(at(9), answered=at(9, 1), user_id=ana.id)
    finished = answered(at(8), 5, 100)
    await write(fresh_db, waiting, talking, finished)
    async with fresh_db.acquire() as connection:
        await shifts.write_history(connection, [ShiftInterval(ana.id, "busy", at(9))])
    assert await calls.end_unfinished(fresh_db, at(12)) == 2
    assert (await calls.by_id(fresh_db, waiting.id)).result is Result.FAILED
    assert (await calls.by_id(fresh_db, talking.id)).result is Result.ANSWERED
    assert await calls.by_id(fresh_db, finished.id) == finished
    assert (await shifts.of_user(fresh_db, ana.id, at(0), at(23)))[0].ended == at(12)


async def test_a_shift_interval_is_one_row_whatever_order_its_ends_come_in(fresh_db, ana):
    entered = ShiftInterval(ana.id, "not_ready", at(9), None, "meal")
    left = replace(entered, ended=at(9, 20))
    async with fresh_db.acquire() as connection:
        await shifts.write_history(connection, [entered, left, entered])
    assert await shifts.of_user(fresh_db, ana.id, at(0), at(23)) == [left]
