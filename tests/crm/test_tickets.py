"""Tickets: protocol numbers unique under concurrency, statuses of their type, and their whole history."""

import asyncio
import datetime
import re

import pytest

from crm import audit, contacts, tickets, users
from crm.refused import Refused
from crm.tickets import TicketFilter, TicketMode
from crm.users import Role

EVENING = datetime.datetime(2026, 11, 22, 1, 30, tzinfo=datetime.UTC)  # the 21st in São Paulo
STATUSES = [{"name": "Aberto"}, {"name": "Em análise"}, {"name": "Resolvido", "closing": True}]


@pytest.fixture
async def ana(fresh_db):
    return await users.create(
        fresh_db, None, login="ana", name="Ana", role=Role.AGENT, password="correct horse battery"
    )


@pytest.fixture
async def sale(fresh_db):
    return await tickets.create_type(fresh_db, None, name="Venda", statuses=STATUSES)


@pytest.fixture
async def maria(fresh_db, ana):
    return await contacts.create(fresh_db, ana, "Maria das Dores", ["11 98765-4321"])


async def test_a_ticket_has_its_protocol_from_the_first_event_in_the_centres_day(fresh_db, ana, sale, maria):
    made = await tickets.open(
        fresh_db, ana, type_id=sale.id, contact_id=maria.id, text="quer trocar", at=EVENING
    )
    assert made.protocol == "20261121-000001"
    assert (made.type, made.status, made.contact, made.opened_by) == (
        "Venda", "Aberto", "Maria das Dores", "Ana",
    )  # fmt: skip
    (first,) = await tickets.history(fresh_db, made.id)
    assert (first.kind, first.user, first.text, first.status) == ("opened", "Ana", "quer trocar", "Aberto")
    assert await tickets.by_protocol(fresh_db, " 20261121-000001 ") == made


async def test_fifty_opened_at_once_have_numbers_without_gap_or_repetition(fresh_db, ana, sale, maria):
    made = await asyncio.gather(
        *(tickets.open(fresh_db, ana, type_id=sale.id, contact_id=maria.id, at=EVENING) for _ in range(50))
    )
    assert sorted(t.protocol for t in made) == [f"20261121-{n:06}" for n in range(1, 51)]


async def test_a_refused_opening_gives_no_number_away(fresh_db, ana, sale):
    with pytest.raises(Refused):
        await tickets.open(fresh_db, ana, type_id=sale.id, contact_id=987, at=EVENING)
    made = await tickets.open(fresh_db, ana, type_id=sale.id, at=EVENING)
    assert made.protocol == "20261121-000001"


async def test_a_ticket_opened_in_a_callers_transaction_goes_with_it(fresh_db, ana, sale):
    async with fresh_db.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        made = await tickets.open(connection, ana, type_id=sale.id)
        await transaction.rollback()
    assert await tickets.by_id(fresh_db, made.id) is None


async def test_a_closing_status_concludes_and_another_opens_again(fresh_db, ana, sale):
    opened, working, done = sale.statuses
    made = await tickets.open(fresh_db, ana, type_id=sale.id)
    moved = await tickets.move(fresh_db, ana, made.id, working.id, "ligando para o estoque")
    assert (moved.status, moved.closed) == ("Em análise", None)
    closed = await tickets.move(fresh_db, ana, made.id, done.id)
    assert closed.closed is not None
    assert (await tickets.move(fresh_db, ana, made.id, opened.id, "voltou")).closed is None
    await tickets.note(fresh_db, ana, made.id, "cliente avisado")
    assert [(e.kind, e.status, e.text) for e in await tickets.history(fresh_db, made.id)] == [
        ("opened", "Aberto", ""),
        ("moved", "Em análise", "ligando para o estoque"),
        ("moved", "Resolvido", ""),
        ("moved", "Aberto", "voltou"),
        ("noted", "Aberto", "cliente avisado"),
    ]


async def test_a_status_of_another_type_is_refused(fresh_db, ana, sale):
    other = await tickets.create_type(fresh_db, None, name="Suporte", statuses=STATUSES)
    made = await tickets.open(fresh_db, ana, type_id=sale.id)
    with pytest.raises(Refused) as refused:
        await tickets.move(fresh_db, ana, made.id, other.statuses[1].id)
    assert refused.value.details["errors"] == {"status_id": "not_an_option"}
    assert len(await tickets.history(fresh_db, made.id)) == 1


async def test_edit_last_goes_on_with_the_open_one_and_opens_one_when_there_is_none(
    fresh_db, ana, sale, maria
):
    facts = {"type_id": sale.id, "contact_id": maria.id}
    first = await tickets.for_call(fresh_db, ana, TicketMode.EDIT_LAST, **facts, text="primeira")
    again = await tickets.for_call(
        fresh_db, ana, "edit_last", **facts, text="segunda", call_id="00000000-0000-0000-0000-000000000001"
    )
    assert (again.id, again.text) == (first.id, "segunda")
    assert [e.kind for e in await tickets.history(fresh_db, first.id)] == ["opened", "called"]
    await tickets.move(fresh_db, ana, first.id, sale.statuses[2].id)
    after = await tickets.for_call(fresh_db, ana, "edit_last", **facts)
    assert after.id != first.id
    assert (await tickets.for_call(fresh_db, ana, "open_new", **facts)).id not in (first.id, after.id)


async def test_edit_last_by_ten_at_once_opens_one(fresh_db, ana, sale, maria):
    made = await asyncio.gather(
        *(tickets.edit_last(fresh_db, ana, type_id=sale.id, contact_id=maria.id) for _ in range(10))
    )
    assert len({t.id for t in made}) == 1
    assert len(await tickets.history(fresh_db, made[0].id)) == 10


async def test_tickets_of_one_campaign_are_not_edited_by_another(fresh_db, ana, sale, maria):
    ids = [
        await fresh_db.fetchval("INSERT INTO campaign (name, hours) VALUES ($1, '{}') RETURNING id", name)
        for name in "AB"
    ]
    one, other = [
        await tickets.edit_last(fresh_db, ana, type_id=sale.id, contact_id=maria.id, campaign_id=campaign)
        for campaign in ids
    ]
    assert one.id != other.id


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"text": "dores"}, 1),
        ({"text": "TROCAR"}, 1),
        ({"text": "20261121-000002"}, 1),
        ({"text": "000001"}, 1),
        ({"text": "'; --"}, 0),
        ({"closed": True}, 1),
        ({"closed": False}, 2),
        ({"start": EVENING, "end": EVENING + datetime.timedelta(days=1)}, 3),
        ({"end": EVENING}, 0),
        ({}, 3),
    ],
)
async def test_search_by_each_fact(fresh_db, ana, sale, maria, wanted, found):
    await tickets.open(fresh_db, ana, type_id=sale.id, contact_id=maria.id, at=EVENING)
    await tickets.open(fresh_db, ana, type_id=sale.id, text="quer trocar", at=EVENING)
    closed = await tickets.open(fresh_db, ana, type_id=sale.id, at=EVENING)
    await tickets.move(fresh_db, ana, closed.id, sale.statuses[2].id)
    assert len(await tickets.search(fresh_db, TicketFilter(**wanted))) == found
    assert await tickets.count(fresh_db, TicketFilter(**wanted)) == found


async def test_a_customers_tickets_are_in_the_timeline(fresh_db, ana, sale, maria):
    made = await tickets.open(fresh_db, ana, type_id=sale.id, contact_id=maria.id, text="quer trocar")
    (entry,) = await contacts.timeline(fresh_db, maria.id)
    assert (entry.kind, entry.category, entry.ticket_id) == ("ticket", made.protocol, made.id)
    assert entry.queue == "Venda: Aberto" and entry.text == "quer trocar"


# -- Types ---------------------------------------------------------------------------------------------------


async def test_statuses_are_renamed_put_in_order_and_exchange_their_names(fresh_db, sale):
    opened, working, done = sale.statuses
    changed = await tickets.update_type(
        fresh_db,
        None,
        sale.id,
        statuses=[
            {"id": working.id, "name": "Aberto"},
            {"id": opened.id, "name": "Em análise"},
            {"name": "Cancelado", "closing": "1"},
            {"id": done.id, "name": "Resolvido", "closing": "1"},
        ],
    )
    assert [(s.id, s.name) for s in changed.statuses[:2]] == [
        (working.id, "Aberto"), (opened.id, "Em análise"),
    ]  # fmt: skip
    assert [(s.name, s.closing) for s in changed.statuses[2:]] == [("Cancelado", True), ("Resolvido", True)]
    assert (await audit.recent(fresh_db))[0].action == "ticket_type.update"


async def test_a_status_a_ticket_was_in_stays(fresh_db, ana, sale):
    await tickets.open(fresh_db, ana, type_id=sale.id)
    with pytest.raises(Refused) as refused:
        await tickets.update_type(fresh_db, None, sale.id, statuses=[{"name": "Novo"}])
    assert set(refused.value.details["errors"].values()) == {"in_use"}
    assert (await tickets.type_by_id(fresh_db, sale.id)).statuses == sale.statuses


@pytest.mark.parametrize(
    ("name", "statuses", "wrong"),
    [
        ("", STATUSES, {"name": "required"}),
        ("Venda", STATUSES, {"name": "taken"}),
        ("Outro", [], {"statuses": "required"}),
        ("Outro", [{"name": "Fim", "closing": "1"}], {"statuses.1.closing": "not_allowed"}),
        ("Outro", [{"name": "A"}, {"name": "A"}], {"statuses.2.name": "taken"}),
        ("Outro", [{"name": "A"}, {"name": ""}], {"statuses.2.name": "required"}),
        ("Outro", [{"name": str(n)} for n in range(31)], {"statuses": "out_of_range"}),
    ],
)
async def test_a_wrong_type_is_refused(fresh_db, sale, name, statuses, wrong):
    with pytest.raises(Refused) as refused:
        await tickets.create_type(fresh_db, None, name=name, statuses=statuses)
    assert refused.value.details["errors"] == wrong
    assert len(await tickets.types(fresh_db)) == 1


async def test_a_type_no_longer_active_opens_nothing(fresh_db, ana, sale):
    await tickets.update_type(fresh_db, None, sale.id, active=False)
    assert await tickets.types(fresh_db) == []
    with pytest.raises(Refused):
        await tickets.open(fresh_db, ana, type_id=sale.id)


async def test_what_cannot_be_written_down_is_refused(fresh_db, ana, sale):
    made = await tickets.open(fresh_db, ana, type_id=sale.id)
    with pytest.raises(Refused):
        await tickets.note(fresh_db, ana, made.id, "  ")
    with pytest.raises(Refused):
        await tickets.edit(fresh_db, ana, made.id, text="x" * 4001)
    with pytest.raises(Refused, match="no such ticket"):
        await tickets.note(fresh_db, ana, 999, "x")
    auditor = await users.create(
        fresh_db, None, login="x", name="X", role=Role.AUDITOR, password="correct horse battery"
    )
    with pytest.raises(Refused, match="edit_contacts"):
        await tickets.open(fresh_db, auditor, type_id=sale.id)
    assert re.fullmatch(r"\d{8}-\d{6}", made.protocol)
