"""Contacts: ranked candidates, search, creation with what is wrong named, and their timeline."""

import datetime
import uuid

import pytest

from crm import audit, calls, contacts, users
from crm.calls import CallRecord, Direction, Result
from crm.contacts import ContactLinked
from crm.refused import Refused
from crm.users import Role

NOW = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.UTC)


@pytest.fixture
async def ana(fresh_db):
    return await users.create(
        fresh_db, None, login="ana", name="Ana", role=Role.AGENT, password="correct horse battery"
    )


async def spoke(db, contact_id, ago):
    record = CallRecord(
        str(uuid.uuid4()),
        Direction.INBOUND,
        NOW - ago,
        ended=NOW,
        contact_id=contact_id,
        result=Result.ABANDONED,
    )
    async with db.acquire() as connection:
        await calls.write_history(connection, [record])
    return record


async def test_candidates_are_ranked_by_number_then_ending_then_whom_we_spoke_with_last(fresh_db, ana):
    other_area = await contacts.create(fresh_db, ana, "Outro DDD", ["21 98765-4321"])
    old = await contacts.create(fresh_db, ana, "Antigo", ["11 98765-4321"])
    recent = await contacts.create(fresh_db, ana, "Recente", ["11 98765-4321", "11 3456-7890"])
    never = await contacts.create(fresh_db, ana, "Nunca", ["11 98765-4321"])
    await contacts.create(fresh_db, ana, "Ninguém", ["11 98765-4322"])
    await spoke(fresh_db, other_area.id, datetime.timedelta(hours=1))
    await spoke(fresh_db, old.id, datetime.timedelta(days=30))
    await spoke(fresh_db, recent.id, datetime.timedelta(days=1))
    found = await contacts.candidates(fresh_db, "+5511987654321")
    assert [c.contact for c in found] == [recent, old, never, other_area]
    assert [c.why for c in found] == ["number", "number", "number", "ending"]
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    assert await contacts.candidates(fresh_db, "+5511000000000") == []


async def test_an_extension_matches_only_itself(fresh_db, ana):
    await contacts.create(fresh_db, ana, "Interno", ["1001"])
    await contacts.create(fresh_db, ana, "Fora", ["11 3456-1001"])
    assert [c.contact.name for c in await contacts.candidates(fresh_db, "1001")] == ["Interno"]


@pytest.mark.parametrize(
    "text",
    [
        *("jose", "JOSÉ conceicao", "conceição padaria", "jose@"),
        *("12ABC34501DE35", "12.abc.345/01de-35"),
        *("5 4321", "98765-4321", "(11) 98765-4321"),
    ],
)
async def test_search_finds_by_words_document_and_last_digits(fresh_db, ana, text):
    jose = await contacts.create(
        fresh_db, ana, "José da Conceição", ["98765-4321"], "Padaria Pão Quente", "12.ABC.345/01DE-35",
        "jose@exemplo.com.br",
    )  # fmt: skip
    await contacts.create(fresh_db, ana, "Outra Pessoa", ["91111-2222"])
    assert await contacts.search(fresh_db, text) == [jose]


@pytest.mark.parametrize("text", ["", "  ", "%", "_", "\\", "321", "'; DROP TABLE contact", "\x00"])
async def test_search_of_odd_text_finds_nothing_and_does_no_harm(fresh_db, ana, text):
    await contacts.create(fresh_db, ana, "Maria", ["98765-4321"])
    assert await contacts.search(fresh_db, text) == []


async def test_a_contact_is_made_with_its_phones_in_one_form(fresh_db, ana):
    made = await contacts.create(
        fresh_db,
        ana,
        " Maria ",
        ["3456-7890", "", "(21) 3456-7890"],
        document="529.982.247-25",
        area_code="21",
    )
    assert made.name == "Maria" and made.document == "52998224725"
    assert made.phones == ("+552134567890",)
    assert await contacts.by_id(fresh_db, made.id) == made
    assert (await audit.recent(fresh_db))[0].action == "contact.create"


@pytest.mark.parametrize(
    ("facts", "wrong"),
    [
        ({"name": ""}, {"name": "required"}),
        ({"phones": ["hello"]}, {"phones": "not_a_phone"}),
        ({"phones": [f"11 9{n:08}" for n in range(30)]}, {"phones": "out_of_range"}),
        ({"document": "529.982.247-26"}, {"document": "not_a_document"}),
        ({"document": "12ABC34501DE36"}, {"document": "not_a_document"}),
        ({"email": "nobody"}, {"email": "not_an_email"}),
        ({"notes": "x" * 4001}, {"notes": "too_long"}),
    ],
)
async def test_a_wrong_contact_is_refused_and_not_kept(fresh_db, ana, facts, wrong):
    with pytest.raises(Refused) as refused:
        await contacts.create(fresh_db, ana, **({"name": "Maria"} | facts))
    assert refused.value.details["errors"] == wrong
    assert await fresh_db.fetchval("SELECT count(*) FROM contact") == 0


async def test_a_contact_is_changed_by_those_who_may(fresh_db, ana):
    made = await contacts.create(fresh_db, ana, "Maria", ["98765-4321"])
    changed = await contacts.update(
        fresh_db, ana, made.id, company="Loja", phones=["3456-7890", "98765-4321"]
    )
    assert changed.phones == ("+551134567890", "+5511987654321")
    assert await contacts.by_id(fresh_db, made.id) == changed
    auditor = await users.create(
        fresh_db, None, login="x", name="X", role=Role.AUDITOR, password="correct horse battery"
    )
    with pytest.raises(Refused, match="edit_contacts"):
        await contacts.update(fresh_db, auditor, made.id, company="")
    with pytest.raises(Refused, match="no such contact"):
        await contacts.update(fresh_db, ana, 999, company="")


async def test_a_call_linked_later_is_in_the_timeline(fresh_db, ana):
    maria = await contacts.create(fresh_db, ana, "Maria", ["98765-4321"])
    older = await spoke(fresh_db, maria.id, datetime.timedelta(days=2))
    unknown = await spoke(fresh_db, None, datetime.timedelta(days=1))
    async with fresh_db.acquire() as connection:
        await contacts.write_history(connection, [ContactLinked(unknown.id, maria.id)])
    entries = await contacts.timeline(fresh_db, maria.id)
    assert [e.call_id for e in entries] == [unknown.id, older.id]
    assert (entries[0].kind, entries[0].text) == ("call", "abandoned")
    assert len(await contacts.timeline(fresh_db, maria.id, limit=1)) == 1


@pytest.mark.parametrize(
    ("kind", "answer", "shown"),
    [
        ("date", "2026-11-21", "21/11/2026"),
        ("date", "amanhã", "amanhã"),
        ("phone", "11987654321", "(11) 98765-4321"),
        ("phone", "12", "12"),
        ("text", "2026-11-21", "2026-11-21"),
    ],
)
def test_an_answer_is_told_as_people_write_it(kind, answer, shown):
    assert contacts.as_written(kind, answer) == shown
