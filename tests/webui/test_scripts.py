"""The script editor: steps and choices come and go without script, words are merged, and it can be tried."""

import pytest
import pytest_asyncio

from config import Settings
from crm import centre, contacts, layouts, scripts
from crm.users import Role
from tests.fakes.wall import FakeWall
from tests.webui.site import serving

OPENING = {
    "name": "Venda",
    "kind": "approach",
    "step": "n1",
    "title.n1": "Abertura",
    "text.n1": "{{saudacao}}, {{primeiro_nome}} <b>!",
    "choice.n1": "0",
    "label.n1.0": "É ela",
    "next.n1.0": "",
}


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    await layouts.create(
        fresh_db,
        None,
        name="venda",
        label="Venda",
        fields=[{"key": "motivo", "label": "Motivo", "kind": "text"}],
    )
    floor = FakeWall(await centre.load(fresh_db))
    async with serving(fresh_db, floor, Settings(data=tmp_path)) as site:
        site.boss = await site.reader(Role.SUPERVISOR)
        yield site


async def made(site, **changes):
    status, page, where = await site.boss.post("/scripts/new", OPENING | changes)
    assert status == 303, page
    return await scripts.by_id(site.db, int(where.split("/")[2].partition("?")[0]))


async def test_a_script_is_written_and_kept(site):
    script = await made(site, **{"fields.n1": "motivo"})
    (step,) = script.steps
    assert (step.title, step.fields, step.choices[0].label) == ("Abertura", ("motivo",), "É ela")
    page = (await site.boss.get(f"/scripts/{script.id}"))[1]
    assert "{{saudacao}}, {{primeiro_nome}} &lt;b&gt;!" in page and 'value="É ela"' in page
    assert "Venda" in (await site.boss.get("/scripts"))[1]


async def test_a_choice_that_wants_a_new_step_gets_it(site):
    page = (await site.boss.post("/scripts/new", OPENING | {"next.n1.0": "+", "do": "show"}))[1]
    assert 'name="title.n2" value="É ela"' in page
    assert '<option value="n2" selected>2 · É ela</option>' in page
    script = await made(site, **{"next.n1.0": "+"})
    assert script.steps[0].choices[0].next_step_id == script.steps[1].id


async def test_steps_and_choices_come_move_and_go_and_nothing_typed_is_lost(site):
    two = OPENING | {"next.n1.0": "n2", "title.n2": "Oferta", "text.n2": "Temos"}
    pairs = [*two.items(), ("step", "n2")]
    page = (await site.boss.post("/scripts/new", [*pairs, ("do", "step")]))[1]
    assert 'name="title.n3"' in page and 'value="Oferta"' in page and "not reached" in page
    page = (await site.boss.post("/scripts/new", [*pairs, ("do", "up:n2")]))[1]
    assert page.find('id="step-n2"') < page.find('id="step-n1"')
    page = (await site.boss.post("/scripts/new", [*pairs, ("do", "choice:n1")]))[1]
    assert 'name="label.n1.1"' in page
    page = (await site.boss.post("/scripts/new", [*pairs, ("do", "unchoose:n1:0")]))[1]
    assert "label.n1.0" not in page
    page = (await site.boss.post("/scripts/new", [*pairs, ("do", "remove:n2")]))[1]
    assert "title.n2" not in page and 'value="É ela"' in page
    assert await scripts.all(site.db) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "This has to be filled in."),
        ({"title.n1": ""}, "This has to be filled in."),
        ({"label.n1.0": ""}, "This has to be filled in."),
        ({"text.n1": "x" * 8001}, "This is too long."),
        ({"kind": "song"}, "Choose one of the options."),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_typed_is_lost(site, change, words):
    status, page, _ = await site.boss.post("/scripts/new", OPENING | change)
    assert status == 422 and words in page and "Nothing was saved" in page
    assert await scripts.all(site.db) == []


async def test_a_field_nobody_knows_is_named_while_writing(site):
    page = (await site.boss.post("/scripts/new", OPENING | {"text.n1": "{{nomee}}", "do": "show"}))[1]
    assert "Nobody knows the field {{nomee}}" in page


async def test_a_second_writer_is_told_and_overwrites_nothing(site):
    script = await made(site)
    ref = str(script.steps[0].id)
    form = {"name": "Primeira", "kind": "approach", "step": ref, f"title.{ref}": "A", "version": "1"}
    assert (await site.boss.post(f"/scripts/{script.id}", form))[0] == 303
    status, page, _ = await site.boss.post(f"/scripts/{script.id}", form | {"name": "Segunda"})
    assert status == 422 and "Somebody else changed this script" in page and 'value="Segunda"' in page
    assert (await scripts.by_id(site.db, script.id)).name == "Primeira"


async def test_a_script_is_tried_with_a_customer_step_by_step(site):
    script = await made(site, **{"next.n1.0": "+"})
    await contacts.create(site.db, None, "Rui <i> Costa", ["11 98765-4321"])
    page = (await site.boss.get(f"/scripts/{script.id}/preview"))[1]
    assert "Mariana &lt;b&gt;!" in page and "É ela" in page
    page = (await site.boss.get(f"/scripts/{script.id}/preview?contact=rui"))[1]
    assert "Rui &lt;b&gt;!" in page and "<i>" not in page
    second = script.steps[1].id
    page = (await site.boss.get(f"/scripts/{script.id}/preview?step={second}&trail={script.steps[0].id}"))[1]
    assert "<li>Abertura</li>" in page
    assert "The script ends here" in (await site.boss.get(f"/scripts/{script.id}/preview?step=end"))[1]
    assert (await site.boss.get(f"/scripts/{script.id}/preview?step=x&trail=x.9&contact=zzz"))[0] == 200


async def test_scripts_are_for_those_who_run_campaigns(site):
    agent = await site.reader(Role.AGENT)
    assert (await agent.get("/scripts"))[0] == 403
    script = await made(site)
    assert (await site.boss.post(f"/scripts/{script.id}/remove"))[0] == 303
    assert await scripts.all(site.db) == []


async def test_an_older_version_is_looked_at_and_brought_back(site):
    script = await made(site)
    page = (await site.boss.get(f"/scripts/{script.id}"))[1]
    assert f"/scripts/{script.id}/versions" in page
    status, _, _ = await site.boss.post(f"/scripts/{script.id}", OPENING | {
        "version": "1", "step": str(script.steps[0].id), f"title.{script.steps[0].id}": "Outra",
        f"text.{script.steps[0].id}": "Novo texto",
    })  # fmt: skip
    assert status == 303
    page = (await site.boss.get(f"/scripts/{script.id}/versions?version=1"))[1]
    assert "Abertura" in page and "&lt;b&gt;!" in page and "Bring back this version" in page
    assert "Bring back this version" not in (await site.boss.get(f"/scripts/{script.id}/versions"))[1]
    status, _, where = await site.boss.post(f"/scripts/{script.id}/versions", {"version": "1"})
    assert (status, where) == (303, f"/scripts/{script.id}?saved=1")
    now = await scripts.by_id(site.db, script.id)
    assert (now.version, [step.title for step in now.steps]) == (3, ["Abertura"])
    assert (await site.boss.post(f"/scripts/{script.id}/versions", {"version": "x"}))[0] == 422
    agent = await site.reader(Role.AGENT)
    assert (await agent.post(f"/scripts/{script.id}/versions", {"version": "1"}))[0] == 403
