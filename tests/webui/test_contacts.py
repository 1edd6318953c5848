import datetime
import uuid

import pytest
import pytest_asyncio

from config import Settings
from crm import audit, calls, centre, contacts, custom_fields, tickets
from crm.calls import CallRecord, Direction, Result
from crm.users import Role
from tests.fakes.wall import FakeWall
from tests.webui.site import serving

MARIANA = {
    "name": "Mariana Albuquerque",
    "company": "Padaria São Jorge",
    "phones": "(11) 98765-4321\n21 3333-4444",
    "document": "529.982.247-25",
    "email": "mariana@padaria.example",
    "notes": "liga sempre cedo",
}


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    floor = FakeWall(await centre.load(fresh_db))
    async with serving(fresh_db, floor, Settings(data=tmp_path)) as site:
        site.agent = await site.reader(Role.AGENT)
        yield site


async def made(site, **changes) -> contacts.Contact:
    status, page, where = await site.agent.post("/contacts/new", MARIANA | changes)
    assert status == 303, page
    return await contacts.by_id(site.db, int(where.split("/")[2].partition("?")[0]))


async def test_a_contact_is_made_with_its_numbers_in_one_form(site):
    contact = await made(site)
    assert contact.phones == ("+5511987654321", "+552133334444")
    assert contact.document == "52998224725"
    page = (await site.agent.get(f"/contacts/{contact.id}"))[1]
    for words in ("(11) 98765-4321", "529.982.247-25", "Padaria São Jorge", "Nothing yet."):
        assert words in page


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"name": " "}, "name"),
        ({"phones": "(11) 98765-4321\nlater"}, "phones"),
        ({"document": "529.982.247-24"}, "document"),
        ({"email": "mariana"}, "email"),
        ({"notes": "x" * 5000}, "notes"),
    ],
)
async def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(site, changes, field):
    status, page, _ = await site.agent.post("/contacts/new", MARIANA | {"company": "A & B"} | changes)
    assert status == 422
    assert f'id="n-{field}"' in page and 'value="A &amp; B"' in page
    assert await contacts.search(site.db, "mariana") == []


@pytest.mark.parametrize(
    "text", ["mariana", "ALBUQUERQUE mari", "sao jorge", "4321", "(11) 98765-4321", "52998224725"]
)
async def test_a_contact_is_found_by_any_of_its_facts(site, text):
    await made(site)
    assert "Mariana Albuquerque" in (await site.agent.get("/contacts", params={"text": text}))[1]


@pytest.mark.parametrize("text", ["zzz", "%", "'; --"])
async def test_a_search_that_finds_nobody_offers_a_new_contact(site, text):
    await made(site)
    page = (await site.agent.get("/contacts", params={"text": text}))[1]
    assert "Nobody matches" in page and "/contacts/new" in page


async def test_without_a_search_the_page_says_what_to_do(site):
    assert "Whom are you looking for?" in (await site.agent.get("/contacts"))[1]


async def test_a_change_is_kept_and_in_the_audit(site):
    contact = await made(site)
    edit = f"/contacts/{contact.id}/edit"
    page = (await site.agent.get(edit))[1]
    assert "(11) 98765-4321\n(21) 3333-4444" in page and 'value="529.982.247-25"' in page
    assert (await site.agent.post(edit, MARIANA | {"email": ""}))[0] == 303
    assert (await contacts.by_id(site.db, contact.id)).email == ""
    change = (await audit.recent(site.db, action="contact.update"))[0]
    assert change.before == {"email": "mariana@padaria.example"}


async def test_earlier_calls_are_told_newest_first(site):
    contact = await made(site)
    now = datetime.datetime.now(datetime.UTC)
    records = [
        CallRecord(
            id=str(uuid.uuid4()), direction=Direction.INBOUND, started=now - datetime.timedelta(days=days),
            number=contact.phones[0], contact_id=contact.id, ended=now, result=result,
        )
        for days, result in ((3, Result.ABANDONED), (1, Result.NO_ANSWER))
    ]  # fmt: skip
    async with site.db.acquire() as connection:
        await calls.write_history(connection, records)
    page = (await site.agent.get(f"/contacts/{contact.id}"))[1]
    assert 0 < page.find("No answer") < page.find("Abandoned")


async def test_who_may_only_look_cannot_change(site):
    contact = await made(site)
    auditor = await site.reader(Role.AUDITOR)
    assert (await auditor.get(f"/contacts/{contact.id}"))[0] == 200
    assert f"/contacts/{contact.id}/edit" not in (await auditor.get(f"/contacts/{contact.id}"))[1]
    assert (await auditor.get(f"/contacts/{contact.id}/edit"))[0] == 403
    assert (await auditor.post(f"/contacts/{contact.id}/edit", MARIANA))[0] == 403


# -- the audit -----------------------------------------------------------------------------------------------


async def test_the_audit_is_read_by_kind_person_and_subject(site):
    contact = await made(site)
    auditor = await site.reader(Role.AUDITOR)
    for query, found in (
        ("", True), ("kind=contact", True), ("kind=queue", False), ("text=contact", True),
        ("text=zzz", False),
        (f"by={site.agent.user.id}", True), (f"by={auditor.user.id}", False), ("by=x&page=x&kind=x", True),
    ):  # fmt: skip
        status, page = await auditor.get(f"/audit?{query}")
        assert status == 200
        assert (f"Contact {contact.id}" in page) is found, query


@pytest.mark.parametrize("role", [Role.AGENT, Role.SUPERVISOR, Role.BACK_OFFICE])
async def test_the_audit_is_for_those_with_the_right(site, role):
    assert (await (await site.reader(role)).get("/audit"))[0] == 403


# -- companies, custom fields, tickets -----------------------------------------------------------------------

ACME = {
    "kind": "company", "name": "Acme Ltda", "document": "12.ABC.345/01DE-35", "email": "a@acme.example",
    "phones": "11 3000-1000", "emails": "fiscal@acme.example\n", "external_code": "A-7",
    "person": "1", "person.1.name": "Lia Souza", "person.1.phones": "11 98765-4321; 11 3333-4444",
    "address": "1", "address.1.street": "Av. Paulista", "address.1.number": "1000",
    "address.1.city": "São Paulo", "address.1.state": "SP", "address.1.postal_code": "01310-100",
}  # fmt: skip


async def test_a_company_is_kept_with_its_people_and_address(site):
    pairs = [*ACME.items(), ("person", "2"), ("person.2.name", "Rui"), ("person.2.type", "Financeiro")]
    status, page, where = await site.agent.post("/contacts/new", pairs)
    assert status == 303, page
    page = (await site.agent.get(where))[1]
    for words in ("Lia Souza", "main contact", "Financeiro", "Av. Paulista, 1000", "fiscal@acme", "A-7"):
        assert words in page
    contact = (await contacts.search(site.db, "acme"))[0]
    edit = (await site.agent.get(f"/contacts/{contact.id}/edit"))[1]
    assert 'value="(11) 98765-4321; (11) 3333-4444"' in edit and 'value="Financeiro"' in edit
    assert f'name="person.1.id" value="{contact.people[0].id}"' in edit


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"person.1.phones": "later"}, "This has to be a telephone number with its area code."),
        ({"person.1.name": ""}, "This has to be filled in."),
        ({"address.1.postal_code": "123"}, "A postal code (CEP) has eight digits."),
        ({"emails": "nobody"}, "This has to be an e-mail address."),
    ],
)
async def test_what_is_wrong_in_a_row_is_said_there_and_nothing_typed_is_lost(site, changes, words):
    status, page, _ = await site.agent.post("/contacts/new", ACME | changes)
    assert status == 422 and words in page and 'value="Av. Paulista"' in page
    assert await contacts.search(site.db, "acme") == []


async def test_custom_fields_are_asked_kept_and_shown(site):
    admin = await site.reader(Role.ADMINISTRATOR)
    field = {"label": "Renda (R$)", "kind": "number", "required": "1"}
    assert (await admin.post("/custom_fields", field))[0] == 303
    assert 'name="custom.renda_r"' in (await site.agent.get("/contacts/new"))[1]
    status, page, _ = await site.agent.post("/contacts/new", ACME | {"asked": "renda_r"})
    assert status == 422 and "This has to be filled in." in page
    status, page, where = await site.agent.post(
        "/contacts/new", ACME | {"asked": "renda_r", "custom.renda_r": "1500,50"}
    )
    assert status == 303 and "1500.5" in (await site.agent.get(where))[1]


async def test_an_administrator_orders_changes_and_removes_fields(site):
    admin = await site.reader(Role.ADMINISTRATOR)
    for label in ("Um", "Dois"):
        assert (await admin.post("/custom_fields", {"label": label, "kind": "text"}))[0] == 303
    one, two = await custom_fields.all(site.db)
    assert (await admin.post("/custom_fields", {"id": str(two.id), "move": "up"}))[0] == 303
    assert [f.label for f in await custom_fields.all(site.db)] == ["Dois", "Um"]
    assert (await admin.post("/custom_fields", {"id": str(one.id), "label": "Primeiro"}))[0] == 303
    status, page, _ = await admin.post("/custom_fields", {"id": str(two.id), "label": ""})
    assert status == 422 and "This has to be filled in." in page
    status, page, _ = await admin.post("/custom_fields", {"label": "Escolha", "kind": "choice"})
    assert status == 422 and 'value="Escolha"' in page
    assert (await admin.post("/custom_fields", {"id": str(two.id), "remove": "1"}))[0] == 303
    assert [f.label for f in await custom_fields.all(site.db)] == ["Primeiro"]
    assert "No longer asked: Dois" in (await admin.get("/custom_fields"))[1]
    assert (await site.agent.get("/custom_fields"))[0] == 403


async def test_open_tickets_and_attempts_stand_on_the_page(site):
    contact = await made(site)
    kind = await tickets.create_type(site.db, None, name="Venda", statuses=[{"name": "Aberto"}])
    ticket = await tickets.open(site.db, None, type_id=kind.id, contact_id=contact.id, text="quer trocar")
    campaign = await site.db.fetchval("INSERT INTO campaign (name, hours) VALUES ('N', '{}') RETURNING id")
    await site.db.execute(
        """
        INSERT INTO attempt (campaign_id, generation, item_id, contact_id, attempt_number, started, situation,
                             note)
        VALUES ($1, 1, 1, $2, 1, now(), 'no_answer', 'à tarde')
        """,
        campaign,
        contact.id,
    )
    page = (await site.agent.get(f"/contacts/{contact.id}"))[1]
    for words in (f"/tickets/{ticket.id}", ticket.protocol, "quer trocar", "Attempt: No answer", "à tarde"):
        assert words in page
