import datetime
import uuid

import pytest
import pytest_asyncio

from config import Settings
from crm import audit, calls, centre, contacts
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
    assert 0 < page.find("no answer") < page.find("abandoned")


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
