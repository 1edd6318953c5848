"""Do-not-call numbers on their page: blocked, found, unblocked, brought from a file and taken away in one."""

import aiohttp
import pytest
import pytest_asyncio

from config import Settings
from crm import audit, blocklist, centre
from crm.users import Role
from tests.crm.campaigning import agents, campaign, people, put
from tests.fakes.wall import FakeWall
from tests.webui.site import HTML, serving

MARIA, JOSE = "+5511987654321", "+5521933334444"


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    floor = FakeWall(await centre.load(fresh_db))
    async with serving(fresh_db, floor, Settings(data=tmp_path)) as site:
        site.boss = await site.reader(Role.SUPERVISOR)
        site.campaign = await fresh_db.fetchval(
            "INSERT INTO campaign (name, hours) VALUES ('Natal', '{}') RETURNING id"
        )
        yield site


async def brought(site, data, reader=None, csrf=None, **fields):
    form = aiohttp.FormData()
    reader = reader or site.boss
    form.add_field("csrf", reader.csrf if csrf is None else csrf)
    for name, value in fields.items():
        form.add_field(name, value)
    form.add_field("file", data, filename="lista.csv", content_type="text/csv")
    async with reader.http.post("/blocklist/import", data=form, headers=HTML) as answer:
        return answer.status, await answer.text()


async def test_a_number_is_blocked_everywhere_or_in_one_campaign(site):
    assert (await site.boss.post("/blocklist", {"number": "(11) 98765-4321", "reason": "<i>"}))[0] == 303
    only = {"number": "21 93333-4444", "campaign": str(site.campaign)}
    assert (await site.boss.post("/blocklist", only))[0] == 303
    assert await blocklist.is_blocked(site.db, MARIA) and not await blocklist.is_blocked(site.db, JOSE)
    page = (await site.boss.get("/blocklist"))[1]
    assert "(11) 98765-4321" in page and "&lt;i&gt;" in page and "Natal" in page
    assert "(21) 93333-4444" not in (await site.boss.get("/blocklist?campaign=all"))[1]
    assert "(21) 93333-4444" in (await site.boss.get(f"/blocklist?campaign={site.campaign}"))[1]
    assert "No number matches" in (await site.boss.get("/blocklist?text=000000"))[1]


async def test_what_is_no_number_is_said_and_stays_typed(site):
    status, page, _ = await site.boss.post("/blocklist", {"number": "later", "reason": "pediu"})
    assert status == 422 and 'value="later"' in page and 'value="pediu"' in page
    assert "This has to be a telephone number" in page and await blocklist.count(site.db) == 0


async def test_chosen_numbers_are_unblocked_and_the_audit_says_why(site):
    made = [await blocklist.block(site.db, None, number) for number in (MARIA, JOSE)]
    status, _, where = await site.boss.post(
        "/blocklist/unblock", {"id": str(made[0].id), "why": "mudou de ideia"}
    )
    assert status == 303 and "1 number may be called again." in (await site.boss.get(where))[1]
    assert not await blocklist.is_blocked(site.db, MARIA) and await blocklist.is_blocked(site.db, JOSE)
    assert (await audit.recent(site.db))[0].after == {"why": "mudou de ideia"}
    where = (await site.boss.post("/blocklist/unblock", {"id": "x"}))[2]
    assert "Nothing was chosen." in (await site.boss.get(where))[1]


async def test_a_list_is_brought_and_each_row_not_taken_is_told(site):
    await blocklist.block(site.db, None, MARIA)
    data = "telefone;motivo\n11987654321;x\n21933334444;pediu\n<later>;?\n".encode("cp1252")
    status, page = await brought(site, data, reason="da lista")
    assert status == 200 and "What became of lista.csv" in page
    assert "no telephone number" in page and "was blocked already" in page and "&lt;later&gt;" in page
    assert (await blocklist.why(site.db, JOSE)).reason == "pediu"


@pytest.mark.parametrize("data", [b"", b"\x7fELF\x00\x01\x00" * 99, b"PK\x03\x04nothing"])
async def test_what_is_no_list_is_refused_and_said(site, data):
    status, page = await brought(site, data, reason="typed")
    assert status == 422 and 'value="typed"' in page and await blocklist.count(site.db) == 0


async def test_a_list_from_another_site_is_not_taken(site):
    status, _ = await brought(site, b"11987654321", csrf="wrong")
    assert status == 403 and await blocklist.count(site.db) == 0


async def test_the_list_is_taken_away_as_csv_and_xlsx(site):
    await blocklist.block(site.db, None, MARIA, reason="=1+1")
    await blocklist.block(site.db, None, JOSE, site.campaign)
    async with site.boss.http.get("/blocklist/export?format=csv&campaign=all") as answer:
        text = (await answer.read()).decode("utf-8-sig")
    assert "(11) 98765-4321" in text and "'=1+1" in text and "93333" not in text
    async with site.boss.http.get("/blocklist/export?format=xlsx") as answer:
        assert (await answer.read()).startswith(b"PK")


async def test_the_list_is_for_those_who_run_campaigns(site):
    agent = await site.reader(Role.AGENT)
    assert (await agent.get("/blocklist"))[0] == 403
    assert (await agent.post("/blocklist/unblock", {"id": "1"}))[0] == 403
    assert (await brought(site, b"11987654321", agent))[0] == 403


async def test_whom_a_block_took_off_comes_back_with_one_button(site):
    made = await campaign(site.db, await agents(site.db, 1), name="Renewal")
    [contact] = await people(site.db, 1)
    item = await put(site.db, made, contact, state=6, last_situation="blocked")
    number = await site.db.fetchval("SELECT number FROM contact_phone")
    blocked = await blocklist.block(site.db, None, number)
    status, page, _ = await site.boss.post("/blocklist/unblock", {"id": str(blocked.id), "why": "error"})
    assert status == 200 and "1 number may be called again" in page
    assert "Renewal" in page and "1 person" in page and "Person 1" in page
    status, _, where = await site.boss.post(
        "/blocklist/bring-back", {"number": number, "campaign": str(made.id)}
    )
    assert (status, where) == (303, "/blocklist?back=1")
    assert "1 person is called again" in (await site.boss.get(where))[1]
    assert await site.db.fetchval("SELECT state FROM list_item WHERE id = $1", item) == 0
    agent = await site.reader(Role.AGENT)
    assert (await agent.post("/blocklist/bring-back", {"number": number, "campaign": str(made.id)}))[0] == 403
