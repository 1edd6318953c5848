"""Trunks and routes through their pages: what they carry, what carriers count, and who may change them."""

import re

import pytest
import pytest_asyncio

from config import Settings
from crm import audit, centre, groups, routes, trunks
from crm.dialing_figures import Used
from crm.users import Role
from tests.crm.campaigning import agents, campaign, people, put
from tests.fakes.wall import FakeWall
from tests.webui.site import serving
from webui.trunks.pages import too_many, warnings

TRUNK = {
    "name": "Operadora Sul",
    "host": "sip.sul.example",
    "port": "5060",
    "transport": "UDP",
    "username": "ramal",
    "password": "a secret of ours",
    "number_prefix": "",
    "channels_max": "30",
    "calls_per_second": "5",
    "active": "1",
}
ROUTE = {
    "name": "Celulares",
    "pattern": r"\+55\d{2}9\d{8}",
    "strip": "3",
    "prefix": "0",
    "caller_id": "+551130000000",
}


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    floor = FakeWall(await centre.load(fresh_db))
    async with serving(fresh_db, floor, Settings(data=tmp_path)) as site:
        site.admin = await site.reader(Role.ADMINISTRATOR)
        yield site


async def made(site, **changes) -> trunks.Trunk:
    status, page, where = await site.admin.post("/trunks/new", TRUNK | changes)
    assert status == 303, page
    return await trunks.by_id(site.db, int(where.split("/")[2].partition("?")[0]))


async def routed(site, trunk, **changes) -> routes.Route:
    status, page, where = await site.admin.post("/routes/new", ROUTE | {"trunk_id": str(trunk.id)} | changes)
    assert status == 303, page
    return await routes.by_id(site.db, int(where.split("/")[2].partition("?")[0]))


# -- trunks --------------------------------------------------------------------------------------------------


async def test_a_new_trunk_takes_effect_at_once_and_its_password_is_shown_to_nobody(site):
    trunk = await made(site)
    assert (trunk.host, trunk.channels_max, trunk.calls_per_second, trunk.active) == (
        "sip.sul.example",
        30,
        5,
        True,
    )
    assert site.floor.centre.trunks[trunk.id] == trunk
    for path in ("/trunks", f"/trunks/{trunk.id}"):
        assert "a secret of ours" not in (await site.admin.get(path))[1]


async def test_an_empty_password_keeps_the_one_there_is_and_no_user_name_has_none(site):
    trunk = await made(site)
    await site.admin.post(f"/trunks/{trunk.id}", TRUNK | {"password": "", "port": "5070"})
    changed = await trunks.by_id(site.db, trunk.id)
    assert (changed.password, changed.port) == ("a secret of ours", 5070)
    await site.admin.post(f"/trunks/{trunk.id}", TRUNK | {"password": "", "username": ""})
    assert (await trunks.by_id(site.db, trunk.id)).password == ""
    entries = await audit.recent(site.db, action="trunk.update")
    assert all("a secret of ours" not in f"{each.before} {each.after}" for each in entries)


async def test_redirections_are_followed_only_where_the_box_is_ticked(site):
    trunk = await made(site)
    assert not site.floor.centre.trunks[trunk.id].follows_redirects
    await site.admin.post(f"/trunks/{trunk.id}", TRUNK | {"follows_redirects": "1"})
    assert site.floor.centre.trunks[trunk.id].follows_redirects
    page = (await site.admin.get(f"/trunks/{trunk.id}"))[1]
    assert re.search('name="follows_redirects" value="1" +checked', page)
    await site.admin.post(f"/trunks/{trunk.id}", TRUNK)
    assert not site.floor.centre.trunks[trunk.id].follows_redirects


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"name": ""}, "name"),
        ({"host": "not a host"}, "host"),
        ({"port": "70000"}, "port"),
        ({"transport": "SMOKE"}, "transport"),
        ({"number_prefix": "zero"}, "number_prefix"),
        ({"channels_max": "-1"}, "channels_max"),
        ({"calls_per_second": "many"}, "calls_per_second"),
    ],
)
async def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(site, changes, field):
    status, page, _ = await site.admin.post("/trunks/new", TRUNK | {"username": "our <name>"} | changes)
    assert status == 422 and f'id="n-{field}"' in page and 'value="our &lt;name&gt;"' in page
    assert "a secret of ours" not in page
    assert await trunks.all(site.db) == []


async def test_a_trunk_is_not_removed_while_a_route_leads_over_it(site):
    trunk = await made(site)
    way = await routed(site, trunk)
    status, page, _ = await site.admin.post(f"/trunks/{trunk.id}/remove")
    assert status == 422 and "Operadora Sul is still used by Celulares." in page
    assert (await site.admin.post(f"/routes/{way.id}/remove"))[0] == 303
    assert (await site.admin.post(f"/trunks/{trunk.id}/remove"))[0] == 303
    assert await trunks.all(site.db) == [] and site.floor.centre.trunks == {}


async def test_the_list_shows_what_is_in_use_and_which_trunk_nobody_reaches(site):
    trunk, idle = await made(site), await made(site, name="Reserva", active="")
    await routed(site, trunk)
    site.floor.phones.trunk_calls = lambda id: 7 if id == trunk.id else 0
    page = (await site.admin.get("/trunks"))[1]
    assert "7 / 30" in page and "Celulares" in page and "with 85 % short ones" in page
    reader = await site.reader(Role.ADMINISTRATOR, language="pt_BR")
    assert "com 85 % de curtas" in (await reader.get("/trunks"))[1]
    assert "No route leads over it" in page and f'href="/trunks/{idle.id}"' in page


async def test_calls_of_campaigns_and_by_hand_are_counted_for_the_carriers(site):
    trunk = await made(site)
    running = await campaign(site.db, await agents(site.db, 1))
    for contact in await people(site.db, 3):
        item = await put(site.db, running, contact)
        await site.db.execute(
            """
            INSERT INTO attempt (campaign_id, generation, item_id, contact_id, number, attempt_number,
                                 started, answered, ended, situation, dialed, by_dialer, trunk_id)
            SELECT $1, 1, $2, $3, '+5511900000000', 1, now() - interval '1 second', NULL, now(), 'no_answer',
                   true, true, $4
            """,
            running.id,
            item,
            contact,
            trunk.id,
        )
    page = (await site.admin.get("/trunks"))[1]
    row = page.partition(f'href="/trunks/{trunk.id}"')[2].partition("</tr>")[0]
    assert 'data-name="Calls this month">3<' in row and 'data-name="Short today">100 %<' in row


@pytest.mark.parametrize(
    "today, short, said",
    [(99_000, 80_000, ""), (90_000, 85_000, "slow down"), (100_000, 85_000, "fifteen days")],
)
async def test_a_day_of_short_calls_is_warned_about_before_and_when_it_blocks(site, today, short, said):
    asked = Asked(site)
    told = " ".join(warnings(asked, Used(0, today, short)))
    assert said in told and bool(told) == bool(said)


@pytest.mark.parametrize(
    "month, said", [(400_000, ""), (400_001, "Near 500,000"), (500_000, "Near"), (500_001, "More than")]
)
async def test_the_month_of_the_company_is_told_near_and_above_the_rule(site, month, said):
    told = too_many(Asked(site), Used(month, 0, 0))
    assert said in told and bool(told) == bool(said)


class Asked(dict):
    """A request as far as words need one: who reads, of which application."""

    def __init__(self, site) -> None:
        super().__init__(user=site.admin.user)
        self.app = site.app


# -- routes --------------------------------------------------------------------------------------------------


async def test_a_new_route_takes_effect_at_once_for_its_groups(site):
    trunk = await made(site)
    group = await groups.create(site.db, None, name="Vendas")
    site.floor.reload(await centre.load(site.db))
    status, page, where = await site.admin.post(
        "/routes/new", [*ROUTE.items(), ("trunk_id", str(trunk.id)), ("groups", str(group.id))]
    )
    assert status == 303, page
    [way] = site.floor.centre.routes.values()
    assert (way.trunk_id, way.strip, way.prefix, way.groups) == (trunk.id, 3, "0", (group.id,))
    page = (await site.admin.get("/routes"))[1]
    assert "Vendas" in page and "without the first 3 digits" in page and "(11) 3000-0000" in page
    assert "checked" in (await site.admin.get(where))[1].split(f'name="groups" value="{group.id}"')[1][:20]


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"name": ""}, "name"),
        ({"pattern": ""}, "pattern"),
        ({"pattern": "("}, "pattern"),
        ({"trunk_id": ""}, "trunk_id"),
        ({"trunk_id": "77"}, "trunk_id"),
        ({"strip": "99"}, "strip"),
        ({"caller_id": "Anna"}, "caller_id"),
    ],
)
async def test_what_is_wrong_with_a_route_is_said_at_its_field(site, changes, field):
    trunk = await made(site)
    sent = ROUTE | {"trunk_id": str(trunk.id)} | changes
    status, page, _ = await site.admin.post("/routes/new", sent)
    assert status == 422 and f'id="n-{field}"' in page
    assert await routes.all(site.db) == []


async def test_a_changed_route_keeps_what_the_form_did_not_touch(site):
    trunk = await made(site)
    way = await routed(site, trunk)
    await site.admin.post(f"/routes/{way.id}", ROUTE | {"trunk_id": str(trunk.id), "prefix": "041"})
    assert (await routes.by_id(site.db, way.id)).prefix == "041"
    assert (await audit.recent(site.db, action="route.update"))[0].after == {"prefix": "041"}


# -- who may -------------------------------------------------------------------------------------------------


async def test_only_administrators_see_and_change_them(site):
    trunk = await made(site)
    boss = await site.reader(Role.SUPERVISOR)
    for path in ("/trunks", "/trunks/new", f"/trunks/{trunk.id}", "/routes", "/routes/new"):
        assert (await boss.get(path))[0] == 403, path
        assert (await site.admin.get(path))[0] == 200, path
    assert (await boss.post("/trunks/new", TRUNK))[0] == 403
    assert (await site.admin.post("/trunks/new", TRUNK, csrf="x"))[0] == 403
    for path in ("/trunks/999", "/routes/999"):
        assert (await site.admin.get(path))[0] == 404


async def test_an_empty_centre_says_what_trunks_and_routes_are(site):
    assert "There is no trunk yet." in (await site.admin.get("/trunks"))[1]
    assert "There is no route yet." in (await site.admin.get("/routes"))[1]
