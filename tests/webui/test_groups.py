"""Groups and pauses through their pages: made, renamed, put in order, removed only when nothing uses them."""

import pytest
import pytest_asyncio

from config import Settings
from crm import audit, centre, groups, pauses, routes, trunks, users
from crm.users import Role
from cti.agent import NOT_READY, READY, Agent, Resting
from tests.fakes.wall import FakeWall
from tests.webui.site import serving


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    floor = FakeWall(await centre.load(fresh_db))
    async with serving(fresh_db, floor, Settings(data=tmp_path)) as site:
        site.admin = await site.reader(Role.ADMINISTRATOR)
        yield site


# -- groups --------------------------------------------------------------------------------------------------


async def made(site, name="Vendas") -> groups.Group:
    status, page, where = await site.admin.post("/groups/new", {"name": name})
    assert status == 303, page
    return await groups.by_id(site.db, int(where.split("/")[2].partition("?")[0]))


async def test_a_new_group_is_there_at_once_and_is_renamed(site):
    group = await made(site)
    assert site.floor.centre.groups[group.id].name == "Vendas"
    assert (await site.admin.post(f"/groups/{group.id}", {"name": "Televendas"}))[0] == 303
    assert site.floor.centre.groups[group.id].name == "Televendas"
    assert "Televendas" in (await site.admin.get("/groups"))[1]
    assert [each.action for each in await audit.recent(site.db)][:2] == ["group.update", "group.create"]


@pytest.mark.parametrize("name", ["", "Vendas", "x" * 61])
async def test_a_wrong_name_is_refused_at_its_field_and_kept(site, name):
    await made(site)
    status, page, _ = await site.admin.post("/groups/new", {"name": name})
    assert status == 422 and 'id="n-name"' in page and f'value="{name}"' in page
    assert len(await groups.all(site.db)) == 1


async def test_a_group_in_use_says_by_whom_and_stays(site):
    group = await made(site)
    await users.create(
        site.db, None, login="ana", name="Ana <Lima>", role=Role.AGENT, password="correct horse",
        group_id=group.id,
    )  # fmt: skip
    line = await trunks.create(site.db, None, name="Sul", host="sul.example")
    way = await routes.create(site.db, None, name="Celulares", trunk_id=line.id, groups=[group.id])
    status, page, _ = await site.admin.post(f"/groups/{group.id}/remove")
    assert status == 422 and "Vendas is still used by Ana &lt;Lima&gt;, Celulares." in page
    assert f'href="/routes/{way.id}"' in page and await groups.by_id(site.db, group.id)
    listed = (await site.admin.get("/groups"))[1]
    assert "Ana &lt;Lima&gt;" in listed and "Celulares" in listed


async def test_an_idle_group_says_so_and_is_removed(site):
    group = await made(site)
    assert "Nobody belongs to this group." in (await site.admin.get("/groups"))[1]
    status, _, where = await site.admin.post(f"/groups/{group.id}/remove")
    assert (status, where) == (303, "/groups?removed=1") and site.floor.centre.groups == {}
    page = (await site.admin.get(where))[1]
    assert "The group was removed." in page and "There is no group yet." in page


# -- pauses --------------------------------------------------------------------------------------------------


async def paused(site, *labels) -> list[str]:
    for label in labels:
        assert (await site.admin.post("/pauses/new", {"label": label, "code": ""}))[0] == 303
    return [pause.code for pause in site.floor.centre.pauses]


async def test_a_new_pause_gets_a_code_of_its_label_and_agents_have_it_at_once(site):
    assert await paused(site, "Lanche (20 min)", "Reunião") == ["lanche_20_min", "reuniao"]


@pytest.mark.parametrize(
    "sent, field",
    [
        ({"label": ""}, "label"),
        ({"label": "Outra", "code": "Com Espaço"}, "code"),
        ({"label": "Almoço"}, "code"),
    ],
)
async def test_a_wrong_pause_is_refused_at_its_field(site, sent, field):
    await paused(site, "Almoço")
    status, page, _ = await site.admin.post("/pauses/new", sent)
    assert status == 422 and f'id="n-{field}"' in page and f'value="{sent["label"]}"' in page
    assert len(await pauses.all(site.db)) == 1


async def test_a_pause_is_renamed_and_keeps_its_code(site):
    await paused(site, "Almoço")
    assert (await site.admin.post("/pauses/almoco", {"label": "Refeição", "code": "x"}))[0] == 303
    assert await pauses.all(site.db) == [pauses.Pause("almoco", "Refeição")]


async def test_pauses_are_put_in_the_order_agents_choose_from(site):
    await paused(site, "A", "B", "C")
    assert (await site.admin.post("/pauses", {"code": "c", "move": "up"}))[0] == 303
    assert [pause.code for pause in site.floor.centre.pauses] == ["a", "c", "b"]
    await site.admin.post("/pauses", {"code": "a", "move": "down"})
    await site.admin.post("/pauses", {"code": "b", "move": "down"})  # it is the last already
    await site.admin.post("/pauses", {"code": "gone", "move": "up"})
    assert [pause.code for pause in await pauses.all(site.db)] == ["c", "a", "b"]


@pytest.mark.parametrize(
    "agent",
    [
        lambda id: Agent(id, NOT_READY, reason="almoco"),
        lambda id: Agent(id, READY, next=Resting(NOT_READY, "almoco")),
    ],
)
async def test_a_pause_somebody_is_on_or_asked_for_is_not_removed(site, agent):
    await paused(site, "Almoço")
    ana = (await site.reader(Role.AGENT)).user
    site.floor.reload(await centre.load(site.db))
    site.floor.agents[ana.id] = agent(ana.id)
    status, page, _ = await site.admin.post("/pauses/almoco/remove")
    assert status == 422 and "Test agent is on this pause now." in page
    assert "Test agent" in (await site.admin.get("/pauses"))[1]
    site.floor.agents.clear()
    assert (await site.admin.post("/pauses/almoco/remove"))[0] == 303
    assert site.floor.centre.pauses == () and "There is no pause yet." in (await site.admin.get("/pauses"))[1]


@pytest.mark.parametrize("role", [Role.SUPERVISOR, Role.AGENT, Role.AUDITOR])
async def test_only_administrators_see_and_change_them(site, role):
    await made(site)
    await paused(site, "Almoço")
    reader = await site.reader(role)
    for path in ("/groups", "/groups/new", "/groups/1", "/pauses", "/pauses/new", "/pauses/almoco"):
        assert (await reader.get(path))[0] == 403
    for path in ("/groups/new", "/groups/1/remove", "/pauses/new", "/pauses/almoco/remove", "/pauses"):
        assert (await reader.post(path, {"name": "x", "label": "x"}))[0] == 403
    assert len(await groups.all(site.db)) == len(await pauses.all(site.db)) == 1


@pytest.mark.parametrize("path", ["/groups/77", "/pauses/gone"])
async def test_what_is_not_there_is_not_found(site, path):
    assert (await site.admin.get(path))[0] == 404
