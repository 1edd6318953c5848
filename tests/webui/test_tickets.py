"""Tickets on their pages: opened for a customer, found, moved, noted, and their types made by hand."""

import pytest
import pytest_asyncio

from config import Settings
from crm import centre, contacts, tickets
from crm.users import Role
from tests.fakes.wall import FakeWall
from tests.webui.site import serving

STATUSES = [{"name": "Aberto"}, {"name": "Em análise"}, {"name": "Resolvido", "closing": "1"}]


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    floor = FakeWall(await centre.load(fresh_db))
    async with serving(fresh_db, floor, Settings(data=tmp_path)) as site:
        site.agent = await site.reader(Role.AGENT)
        site.kind = await tickets.create_type(fresh_db, None, name="Venda", statuses=STATUSES)
        site.maria = await contacts.create(fresh_db, None, "Maria <i> Dores")
        yield site


async def opened(site, text="quer <b>trocar"):
    form = {"contact": str(site.maria.id), "type_id": str(site.kind.id), "text": text}
    status, page, where = await site.agent.post("/tickets/new", form)
    assert status == 303, page
    return await tickets.by_id(site.db, int(where.split("/")[2].partition("?")[0])), where


async def test_a_ticket_is_opened_for_a_customer_under_its_protocol(site):
    assert "Maria &lt;i&gt; Dores" in (await site.agent.get(f"/tickets/new?contact={site.maria.id}"))[1]
    ticket, where = await opened(site)
    page = (await site.agent.get(where))[1]
    assert f"Opened under the protocol {ticket.protocol}." in page
    assert "quer &lt;b&gt;trocar" in page and "Maria &lt;i&gt; Dores" in page


async def test_it_is_moved_with_a_note_and_noted_and_the_history_tells(site):
    ticket, _ = await opened(site)
    done = site.kind.statuses[2]
    form = {"status": str(done.id), "text": "trocado"}
    assert (await site.agent.post(f"/tickets/{ticket.id}", form))[0] == 303
    assert (await site.agent.post(f"/tickets/{ticket.id}", {"text": "cliente avisado"}))[0] == 303
    page = (await site.agent.get(f"/tickets/{ticket.id}"))[1]
    assert 0 < page.find("cliente avisado") < page.find("trocado") and "Concluded" in page
    status, page, _ = await site.agent.post(f"/tickets/{ticket.id}", {"text": " "})
    assert status == 422 and "This has to be filled in." in page
    status, page, _ = await site.agent.post(f"/tickets/{ticket.id}", {"status": "999", "text": "typed"})
    assert status == 422 and ">typed</textarea>" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", True), ("text=dores", True), ("text=zzz", False), ("state=open", True), ("state=closed", False),
        ("start=2020-01-01", True), ("end=2020-01-01", False), ("type=1", True), ("type=99", False),
        ("status=x&page=x&contact=x&start=x", True),
    ],
)  # fmt: skip
async def test_tickets_are_found_by_their_facts(site, query, found):
    ticket, _ = await opened(site)
    status, page = await site.agent.get(f"/tickets?{query}")
    assert status == 200 and (ticket.protocol in page) is found


async def test_what_cannot_be_opened_is_said(site):
    status, page, _ = await site.agent.post("/tickets/new", {"contact": "", "type_id": "", "text": "typed"})
    assert status == 422 and "Choose one of the options." in page and ">typed</textarea>" in page
    auditor = await site.reader(Role.AUDITOR)
    assert (await auditor.get("/tickets"))[0] == 200
    assert (await auditor.get("/tickets/new"))[0] == 403
    assert (await site.agent.get("/tickets/99"))[0] == 404


async def test_an_administrator_makes_and_changes_types(site):
    admin = await site.reader(Role.ADMINISTRATOR)
    rows = [("name", "Suporte"), ("row", "1"), ("row", "2"), ("row", "3")]
    rows += [
        ("name.1", "Fim"),
        ("closing.1", "1"),
        ("position.1", "9"),
        ("name.2", "Novo"),
        ("position.2", "1"),
    ]
    assert (await admin.post("/tickets/types", rows))[0] == 303
    made = next(t for t in await tickets.types(site.db) if t.name == "Suporte")
    assert [(s.name, s.closing) for s in made.statuses] == [("Novo", False), ("Fim", True)]
    novo, _fim = made.statuses
    form = {"id": str(made.id), "name": "Suporte", "row": "1", "status.1": str(novo.id), "name.1": "Nova"}
    assert (await admin.post("/tickets/types", form | {"deactivate": "1"}))[0] == 303
    made = await tickets.type_by_id(site.db, made.id)
    assert (made.active, [s.name for s in made.statuses]) == (False, ["Nova"])
    assert (await admin.post("/tickets/types", form | {"activate": "1"}))[0] == 303
    status, page, _ = await admin.post("/tickets/types", form | {"name": "Venda"})
    assert status == 422 and "Another one has this already." in page
    status, page, _ = await admin.post("/tickets/types", {"name": "Vazio"})
    assert status == 422 and 'value="Vazio"' in page
    assert (await site.agent.get("/tickets/types"))[0] == 403


async def test_a_status_tickets_were_in_is_not_taken_away(site):
    await opened(site)
    admin = await site.reader(Role.ADMINISTRATOR)
    form = {"id": str(site.kind.id), "name": "Venda", "row": "1", "name.1": "Outro"}
    status, page, _ = await admin.post("/tickets/types", form)
    assert status == 422 and "Tickets were in a status that would go" in page
