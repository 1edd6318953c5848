"""Tabulations: drafted, pending, saved once, and found by every filter of EPB-63."""

import datetime
import uuid

import pytest

from crm import calls, groups, layouts, queues, tabulation, users
from crm.calls import CallRecord, Direction, Result
from crm.form import CATEGORY
from crm.refused import Refused
from crm.tabulation import TabulationDraft, TabulationFilter, TabulationSaved
from crm.users import Role

START = datetime.datetime(2026, 11, 20, 9, 0, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


class Scene:
    """Two agents in two groups, two queues, and a layout with two types of two categories."""

    def __init__(self, db):
        self.db = db

    async def build(self):
        self.sales, self.support = [await groups.create(self.db, None, name=n) for n in ("Vendas", "Suporte")]
        self.ana, self.bruno = [
            await users.create(
                self.db, None, login=login, name=login.title(), role=Role.AGENT,
                password="correct horse battery", group_id=group.id,
            )
            for login, group in (("ana", self.sales), ("bruno", self.support))
        ]  # fmt: skip
        types = [await layouts.create_type(self.db, None, name=n) for n in ("Venda", "Contato")]
        self.won, self.lost, self.wrong, self.fell = [
            await layouts.create_category(self.db, None, types[n].id, name=name, success=success)
            for n, name, success in ((0, "Ganha", 1), (0, "Perdida", 0), (1, "Engano", 0), (1, "Caiu", 0))
        ]
        self.types = types
        self.layout = await layouts.create(
            self.db, None, name="sales", label="Vendas", types=[t.id for t in types],
            fields=[{"key": "notes", "label": "Notas", "kind": "long_text", "required": True}],
        )  # fmt: skip
        for name in ("sales", "support"):
            await queues.create(self.db, None, name=name, label=name.title(), layout_id=self.layout.id)
        return self

    async def call(
        self, agent, hour, *, queue="sales", talk=100.0, number="+5511987654321", direction="inbound"
    ):
        record = CallRecord(
            str(uuid.uuid4()), Direction(direction), START + hour * HOUR, number=number, user_id=agent.id,
            queue=queue if direction == "inbound" else None, answered=START + hour * HOUR,
            ended=START + hour * HOUR + datetime.timedelta(seconds=talk), talk_seconds=talk,
            result=Result.ANSWERED,
        )  # fmt: skip
        async with self.db.acquire() as connection:
            await calls.write_history(connection, [record])
        return record

    def draft(self, call, **answers):
        return TabulationDraft(call.id, call.user_id, self.layout.id, call.ended, answers)

    def filled(self, call, category, notes="Combinado."):
        answers = {CATEGORY: str(category.id), "notes": notes}
        return TabulationSaved(call.id, call.user_id, self.layout.id, call.ended, answers)

    async def save(self, call, category, notes="Combinado."):
        await tabulation.save(self.db, self.layout, self.filled(call, category, notes))
        return call


@pytest.fixture
async def scene(fresh_db):
    return await Scene(fresh_db).build()


async def test_a_form_is_pending_from_its_opening_until_it_is_saved(scene):
    call = await scene.call(scene.ana, 0)
    await tabulation.draft(scene.db, scene.draft(call))
    await tabulation.draft(scene.db, scene.draft(call, notes="Meio escri", category="1"))
    (left,) = await tabulation.pending(scene.db, scene.ana.id)
    assert (left.call_id, left.queue, left.number) == (call.id, "Sales", "+5511987654321")
    assert left.answers == {"notes": "Meio escri", "category": "1"}
    assert await tabulation.pending(scene.db, scene.bruno.id) == []
    await scene.save(call, scene.won)
    assert await tabulation.pending(scene.db, scene.ana.id) == []


async def test_a_draft_that_comes_late_does_not_undo_what_was_saved(scene):
    call = await scene.save(await scene.call(scene.ana, 0), scene.won)
    await tabulation.draft(scene.db, scene.draft(call, notes="old"))
    (row,) = await tabulation.by_call(scene.db, call.id)
    assert row.answers == {"notes": "Combinado."} and row.category == "Ganha" and row.success


async def test_answers_the_form_does_not_accept_are_refused_and_not_kept(scene):
    call = await scene.call(scene.ana, 0)
    with pytest.raises(Refused) as refused:
        await tabulation.save(scene.db, scene.layout, scene.filled(call, scene.won, notes=" "))
    assert refused.value.code == "form" and refused.value.details == {"errors": {"notes": "required"}}
    assert "Notas" in str(refused.value)
    assert await tabulation.count(scene.db, TabulationFilter()) == 0


async def test_two_agents_of_one_call_write_one_each(scene):
    call = await scene.save(await scene.call(scene.ana, 0), scene.won)
    other = scene.filled(call, scene.lost)
    await tabulation.save(
        scene.db,
        scene.layout,
        TabulationSaved(call.id, scene.bruno.id, scene.layout.id, other.at, other.answers),
    )
    assert {row.agent for row in await tabulation.by_call(scene.db, call.id)} == {"Ana", "Bruno"}


async def test_every_filter_narrows_and_they_narrow_together(scene):
    first = await scene.save(await scene.call(scene.ana, 0, talk=30), scene.won)
    second = await scene.save(
        await scene.call(scene.bruno, 1, queue="support", number="+5521912345678"), scene.wrong
    )
    third = await scene.save(await scene.call(scene.ana, 2, direction="outbound", talk=300), scene.lost)
    await tabulation.draft(scene.db, scene.draft(await scene.call(scene.ana, 3)))  # pending: in none
    await scene.db.execute("ANALYZE")
    cases = [
        ({}, [third, second, first]),
        ({"start": START + HOUR}, [third, second]),
        ({"end": START + 2 * HOUR}, [second, first]),
        ({"groups": (scene.sales.id,)}, [third, first]),
        ({"groups": (scene.sales.id, scene.support.id)}, [third, second, first]),
        ({"users": (scene.bruno.id,)}, [second]),
        ({"queues": ("sales",)}, [first]),
        ({"queues": ("sales", "support")}, [second, first]),
        ({"types": (scene.types[0].id,)}, [third, first]),
        ({"categories": (scene.won.id, scene.wrong.id)}, [second, first]),
        ({"direction": "outbound"}, [third]),
        ({"number": "(21) 91234-5678"}, [second]),
        ({"number": "021 91234-5678"}, [second]),
        ({"number": "4321"}, [third, first]),
        ({"number": "none"}, []),
        ({"duration_min": 100}, [third]),
        ({"duration_min": 99.5}, [third, second]),
        ({"global_id": first.id}, [first]),
        ({"global_id": first.id[:13].upper()}, [first]),
        ({"global_id": "' OR 1=1"}, []),
        ({"users": (scene.ana.id,), "duration_min": 100, "direction": "inbound"}, []),
    ]
    for facts, expected in cases:
        filter = TabulationFilter(**facts)
        found = [row.call_id for row in await tabulation.search(scene.db, filter)]
        assert found == [call.id for call in expected], facts
        assert await tabulation.count(scene.db, filter) == len(expected), facts
        streamed = [row.call_id async for row in tabulation.stream(scene.db, filter, rows_at_once=1)]
        assert streamed == found[::-1], facts


@pytest.mark.parametrize("order", [*tabulation.ORDERS, *("-" + order for order in tabulation.ORDERS)])
async def test_the_list_can_be_sorted_both_ways(scene, order):
    for n, (agent, category) in enumerate([(scene.ana, scene.won), (scene.bruno, scene.lost)]):
        await scene.save(await scene.call(agent, n, talk=n * 50 + 5, queue=["support", "sales"][n]), category)
    there = [row.call_id for row in await tabulation.search(scene.db, TabulationFilter(), order=order)]
    turned = order.removeprefix("-") if order.startswith("-") else "-" + order
    back = [row.call_id for row in await tabulation.search(scene.db, TabulationFilter(), order=turned)]
    assert len(there) == 2
    if order.removeprefix("-") not in ("number", "wait"):  # of which both calls have the same
        assert there == back[::-1]


async def test_pages_follow_one_another(scene):
    saved = [(await scene.save(await scene.call(scene.ana, n), scene.won)).id for n in range(5)]
    pages = [await tabulation.search(scene.db, TabulationFilter(), limit=2, offset=n) for n in (0, 2, 4)]
    assert [row.call_id for page in pages for row in page] == saved[::-1]


async def test_a_tabulation_whose_call_is_not_there_yet_is_found(scene):
    record = TabulationSaved(
        str(uuid.uuid4()), scene.ana.id, scene.layout.id, START, {CATEGORY: str(scene.won.id), "notes": "x"}
    )
    await tabulation.save(scene.db, scene.layout, record)
    assert [row.call_id for row in await tabulation.search(scene.db, TabulationFilter())] == [record.call_id]


async def test_the_day_counts_what_an_agent_saved(scene):
    await scene.save(await scene.call(scene.ana, 0), scene.won)
    assert (await calls.figures(scene.db, scene.ana.id, START.date())).tabulated == 1
