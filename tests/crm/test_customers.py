"""The rest of a customer: companies and their people, addresses, e-mails, and being found by all of it."""

import datetime
import uuid

import pytest

from crm import audit, contacts, users
from crm.contacts import Address, ContactKind, Person
from crm.refused import Refused
from crm.users import Role

PEOPLE = [
    {"name": "Rui Costa", "type": "Financeiro", "phones": ["11 3333-4444"], "email": "rui@acme.example"},
    {"name": "Lia Souza", "type": "main", "phones": ["11 98765-4321"]},
]


@pytest.fixture
async def ana(fresh_db):
    return await users.create(
        fresh_db, None, login="ana", name="Ana", role=Role.AGENT, password="correct horse battery"
    )


@pytest.fixture
async def acme(fresh_db, ana):
    return await contacts.create(
        fresh_db,
        ana,
        "Acme Ltda",
        ["11 3000-1000"],
        document="12.ABC.345/01DE-35",
        email="contato@acme.example",
        kind="company",
        external_code="A-7/9",
        emails=["fiscal@acme.example", "contato@acme.example"],
        addresses=[{"street": "Av. Paulista", "number": "1000", "city": "São Paulo", "state": "sp",
                    "postal_code": "01310-100"}, {"city": " "}],
        people=PEOPLE,
    )  # fmt: skip


async def test_a_company_is_kept_with_its_people_the_main_one_first(fresh_db, acme):
    assert acme.kind is ContactKind.COMPANY and acme.emails == ("fiscal@acme.example",)
    assert [(p.name, p.type, p.phones) for p in acme.people] == [
        ("Lia Souza", "main", ("+5511987654321",)), ("Rui Costa", "Financeiro", ("+551133334444",)),
    ]  # fmt: skip
    (address,) = acme.addresses
    assert str(address) == "Av. Paulista, 1000 · São Paulo / SP · 01310-100"
    assert await contacts.by_id(fresh_db, acme.id) == acme
    assert await contacts.person_types(fresh_db) == ["Financeiro"]


@pytest.mark.parametrize(
    "text",
    [
        *("acme", "fiscal@acme", "rui costa", "LIA", "rui@"),
        *("12ABC34501DE35", "12.abc.345/01de-35", "A-7/9", "(11) 98765-4321", "1133334444", "30001000"),
    ],
)
async def test_a_company_is_found_by_any_of_its_facts(fresh_db, ana, acme, text):
    await contacts.create(fresh_db, ana, "Outra", ["11 91111-2222"], kind="company", people=[{"name": "Zé"}])
    assert await contacts.search(fresh_db, text) == [acme]


async def test_a_call_from_one_of_its_people_finds_the_company(fresh_db, acme):
    assert [c.contact for c in await contacts.candidates(fresh_db, "+551133334444")] == [acme]


async def test_people_who_stay_keep_their_id_and_the_main_one_may_change(fresh_db, ana, acme):
    lia, rui = acme.people
    changed = await contacts.update(
        fresh_db,
        ana,
        acme.id,
        people=[
            {"id": lia.id, "name": "Lia Souza", "type": "Compras"},
            {"id": rui.id, "name": "Rui Costa", "type": "main"},
            {"name": "Bia"} | {"type": "TI"},
        ],
    )
    assert [(p.id, p.type) for p in changed.people][:2] == [(rui.id, "main"), (lia.id, "Compras")]
    assert changed.emails == acme.emails and changed.addresses == acme.addresses


async def test_another_companys_person_is_not_taken_over(fresh_db, ana, acme):
    other = await contacts.create(fresh_db, ana, "Outra", kind="company")
    await contacts.update(fresh_db, ana, other.id, people=[{"id": acme.people[0].id, "name": "Cópia"}])
    assert (await contacts.by_id(fresh_db, acme.id)).people == acme.people


async def test_a_person_has_no_people(fresh_db, ana, acme):
    assert (await contacts.update(fresh_db, ana, acme.id, kind="person")).people == ()


async def test_a_change_of_one_fact_is_the_only_one_in_the_audit(fresh_db, ana, acme):
    await contacts.update(fresh_db, ana, acme.id, external_code="B")
    told = (await audit.recent(fresh_db))[0]
    assert (told.before, told.after) == ({"external_code": "A-7/9"}, {"external_code": "B"})


@pytest.mark.parametrize(
    ("facts", "wrong"),
    [
        ({"kind": "robot"}, {"kind": "not_an_option"}),
        ({"emails": ["a@b.example", "nobody"]}, {"emails": "not_an_email"}),
        ({"emails": [f"a{n}@b.example" for n in range(21)]}, {"emails": "out_of_range"}),
        ({"addresses": [{"city": "x"}, {"state": "XX"}]}, {"addresses.2.state": "not_an_option"}),
        ({"addresses": [{"postal_code": "123"}]}, {"addresses.1.postal_code": "not_a_postal_code"}),
        ({"people": [{"email": "a@b.example"}]}, {"people.1.name": "required"}),
        ({"people": [{"name": "A", "phones": ["later"]}]}, {"people.1.phones": "not_a_phone"}),
        ({"people": [{"name": "A"}, {"name": "B"}]}, {"people.2.type": "taken"}),
        ({"external_code": "x" * 61}, {"external_code": "too_long"}),
    ],
)
async def test_what_is_wrong_is_said_at_its_place(fresh_db, ana, facts, wrong):
    with pytest.raises(Refused) as refused:
        await contacts.create(fresh_db, ana, "Acme", **({"kind": "company"} | facts))
    assert refused.value.details["errors"] == wrong


async def test_dataclasses_are_taken_as_they_were_given_out(fresh_db, ana, acme):
    again = await contacts.update(
        fresh_db, ana, acme.id, people=list(acme.people), addresses=[Address(city="Rio", state="RJ")]
    )
    assert again.people == acme.people and again.addresses == (Address(city="Rio", state="RJ"),)
    assert Person("x").type == "main"


async def test_tries_without_a_call_are_in_the_timeline_once(fresh_db, ana, acme):
    campaign = await fresh_db.fetchval(
        "INSERT INTO campaign (name, hours) VALUES ('Natal', '{}') RETURNING id"
    )
    now = datetime.datetime.now(datetime.UTC)
    call = str(uuid.uuid4())
    await fresh_db.execute(
        "INSERT INTO call (id, direction, contact_id, started, ended, result, user_id)"
        " VALUES ($1, 'outbound', $2, $3, $3, 'answered', $4)",
        call, acme.id, now, ana.id,
    )  # fmt: skip
    for minutes, of_call, situation in ((0, call, "completed"), (5, None, "no_answer")):
        await fresh_db.execute(
            """
            INSERT INTO attempt (campaign_id, generation, item_id, contact_id, user_id, attempt_number,
                                 started, situation, call_id, note)
            VALUES ($1, 1, 1, $2, $3, 1, $4, $5, $6, 'à tarde')
            """,
            campaign, acme.id, ana.id, now - datetime.timedelta(minutes=minutes), situation, of_call,
        )  # fmt: skip
    entries = await contacts.timeline(fresh_db, acme.id)
    assert [(e.kind, e.queue, e.text) for e in entries] == [
        ("call", "", "answered"), ("attempt", "Natal", "no_answer · à tarde"),
    ]  # fmt: skip
