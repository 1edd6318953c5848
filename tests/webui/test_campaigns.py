"""Campaigns through their pages: the wizard, the list, items in use, callbacks, and a campaign watched."""

import asyncio
import datetime
import json
import re

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from config import Settings
from crm import audit, campaigns, centre, items
from crm.hours import PRESETS, hours_per_week
from crm.users import Role
from dialer import windows
from tests.crm.campaigning import agents, campaign, everybody, people, put
from tests.fakes.wall import FakeWall
from tests.waiting import until
from tests.webui.site import serving
from webui.campaigns import recording
from webui.campaigns.feed import Feed
from webui.campaigns.hours import CELLS, cells, in_words, spans, within
from webui.page import TOKEN

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FIRST = {"name": "Renovação", "source": "filter", "filter_id": "", "go": "next"}
PERIOD = {
    "defines_hours": "1",
    "permanent": "1",
    "hours_preset": "07-19",
    "callback_mode": "free",
    "go": "next",
}
SETTINGS = {
    "attempts_max": "4",
    "number_attempts_per_day_max": "2",
    "company_target": "main",
    "ticket_mode": "open_new",
    "validation_seconds": "3",
    "validation_on_failure": "skip",
    "go": "next",
}
ALWAYS = {"hours_preset": "24h", "respect_destination_window": ""}


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def ago(minutes: float) -> datetime.datetime:
    return now() - datetime.timedelta(minutes=minutes)


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    fresh_db.team = await agents(fresh_db, 2)
    floor = FakeWall(await centre.load(fresh_db))
    async with serving(fresh_db, floor, Settings(data=tmp_path)) as site:
        site.boss = await site.reader(Role.SUPERVISOR)
        site.team = fresh_db.team
        yield site


@pytest_asyncio.fixture
async def running(site):
    """An active campaign of everybody, with its two agents and no list yet."""
    filter = await everybody(site.db)
    return await campaign(site.db, site.team, source="filter", filter_id=filter.id, **ALWAYS)


async def begun(site, **values) -> campaigns.Campaign:
    """A draft, as the first step makes it."""
    status, page, _where = await site.boss.post("/campaigns/new", FIRST | values)
    assert status == 303, page
    return (await campaigns.all(site.db))[0]


# -- the grid of hours --------------------------------------------------------------------------------------


@given(st.sets(st.sampled_from(sorted(CELLS))))
def test_cells_become_hours_and_the_same_cells_again(ticked):
    hours = spans(ticked)
    assert set(cells(hours)) == ticked
    assert hours_per_week(hours) == len(ticked)


def test_neighbouring_cells_are_joined_and_what_is_no_cell_is_passed_over():
    assert spans(["0-9", "0-8", "0-14", "7-1", "0-24", "", "x"]) == {"0": [[480, 600], [840, 900]]}


@given(st.sets(st.sampled_from(sorted(CELLS))))
def test_the_hours_that_two_allow_are_counted_as_their_common_cells(ticked):
    assert within(spans(ticked), windows.USUAL) == len(ticked & set(cells(windows.USUAL)))


@pytest.mark.parametrize(
    "hours, words",
    [
        (PRESETS["07-19"], "Every day 07:00–19:00"),
        (windows.USUAL, "Mon–Fri 09:00–21:00; Sat 10:00–16:00"),
        ({"1": [[480, 720], [840, 1080]]}, "Tue 08:00–12:00, 14:00–18:00"),
        ({}, ""),
    ],
)
def test_hours_are_said_by_runs_of_days(hours, words):
    assert in_words(hours, DAYS, "Every day") == words


# -- who may -------------------------------------------------------------------------------------------------

PAGES = (
    "/campaigns",
    "/campaigns/new",
    "/campaigns/in-use",
    "/campaigns/callbacks",
    "/campaigns/{id}",
    "/campaigns/{id}/identification",
    "/campaigns/{id}/period",
    "/campaigns/{id}/settings",
    "/campaigns/{id}/conclusion",
    "/campaigns/{id}/items",
    "/campaigns/{id}/list?show=1",
    "/campaigns/{id}/callbacks",
)


async def test_administrators_and_supervisors_see_every_page_and_agents_none(site, running):
    readers = {role: await site.reader(role) for role in (Role.ADMINISTRATOR, Role.AGENT, Role.AUDITOR)}
    for path in PAGES:
        path = path.format(id=running.id)
        assert (await site.boss.get(path))[0] == 200, path
        assert (await readers[Role.ADMINISTRATOR].get(path))[0] == 200, path
        assert (await readers[Role.AGENT].get(path))[0] == 403, path
        assert (await readers[Role.AUDITOR].get(path))[0] == 403, path


async def test_a_form_without_the_sessions_secret_changes_nothing(site, running):
    forged = {"do": "pause"}
    assert (await site.boss.post(f"/campaigns/{running.id}/status", forged, csrf="x"))[0] == 403
    assert (await campaigns.by_id(site.db, running.id)).status == "active"


async def test_what_is_not_there_is_not_found(site, running):
    for path in ("/campaigns/999", "/campaigns/999/period", f"/campaigns/{running.id}/items/1"):
        assert (await site.boss.get(path))[0] == 404, path


# -- the list of campaigns -----------------------------------------------------------------------------------


async def test_an_empty_list_says_what_a_campaign_is(site):
    assert "There is no campaign yet." in (await site.boss.get("/campaigns"))[1]


async def test_campaigns_are_found_by_text_and_state_with_how_far_they_are(site, running):
    await begun(site, name="Cobrança")
    for n, contact in enumerate(await people(site.db, 4)):
        await put(site.db, running, contact, state=5 if n == 0 else 0)
    page = (await site.boss.get("/campaigns"))[1]
    assert "Winback" in page and "Cobrança" in page and "25 %" in page
    page = (await site.boss.get("/campaigns?text=cobranca"))[1]
    assert "Cobrança" in page and "Winback" not in page
    assert "Cobrança" not in (await site.boss.get("/campaigns?status=active"))[1]
    assert "No campaign matches." in (await site.boss.get("/campaigns?text=zzz"))[1]


# -- the wizard ----------------------------------------------------------------------------------------------


async def test_a_name_is_enough_to_begin_and_each_step_is_kept_as_one_goes_on(site):
    status, _page, where = await site.boss.post("/campaigns/new", FIRST | {"objective": "Ligar antes"})
    assert (status, where) == (303, "/campaigns/1/period")
    status, _page, where = await site.boss.post("/campaigns/1/period", PERIOD | {"callback_mode": "agent"})
    assert (status, where) == (303, "/campaigns/1/settings")
    status, _page, where = await site.boss.post("/campaigns/1/settings", SETTINGS)
    assert (status, where) == (303, "/campaigns/1/conclusion")
    made = await campaigns.by_id(site.db, 1)
    assert (made.status, made.objective, made.callback_mode, made.hours_preset, made.attempts_max) == (
        "draft",
        "Ligar antes",
        "agent",
        "07-19",
        4,
    )


@pytest.mark.parametrize(
    "go, where",
    [
        ("back", "/campaigns/1/identification"),
        ("identification", "/campaigns/1/identification"),
        ("settings", "/campaigns/1/settings"),
        ("conclusion", "/campaigns/1/conclusion"),
        ("next", "/campaigns/1/settings"),
        ("leave", "/campaigns/1?saved=1"),
        ("//elsewhere.example", "/campaigns/1/settings"),
    ],
)
async def test_every_button_keeps_the_step_and_leads_where_it_says(site, go, where):
    await begun(site)
    answer = await site.boss.post("/campaigns/1/period", PERIOD | {"hours_preset": "07-22", "go": go})
    assert (answer[0], answer[2]) == (303, where)
    assert (await campaigns.by_id(site.db, 1)).hours_preset == "07-22"


@pytest.mark.parametrize(
    "step, changes, field",
    [
        ("identification", {"name": ""}, "name"),
        ("identification", {"message": "x" * 141}, "message"),
        ("identification", {"source": "fax"}, "source"),
        ("period", {"permanent": "", "valid_from": "", "valid_until": "2026-12-31"}, "valid_from"),
        ("period", {"permanent": "", "valid_from": "2026-12-31", "valid_until": "2026-01-01"}, "valid_until"),
        ("period", {"hours_preset": "custom"}, "hours"),
        ("period", {"callback_mode": "whoever"}, "callback_mode"),
        ("settings", {"attempts_max": "0"}, "attempts_max"),
        ("settings", {"attempts_max": "many"}, "attempts_max"),
        ("settings", {"retry.busy": "soon"}, "retry"),
        ("settings", {"caller_id": "abc"}, "caller_id"),
        ("settings", {"script_id": "77"}, "script_id"),
    ],
)
async def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(site, step, changes, field):
    await begun(site)
    before = await campaigns.by_id(site.db, 1)
    given = {"identification": FIRST | {"objective": "<b>"}, "period": PERIOD, "settings": SETTINGS}[step]
    typed = given | {"number_attempts_per_day_max": "7"} if step == "settings" else given
    status, page, _where = await site.boss.post(f"/campaigns/1/{step}", typed | changes)
    assert status == 422 and "What you typed is still here." in page
    assert f'id="n-{field}"' in page
    assert "&lt;b&gt;" in page or step != "identification"
    assert 'value="7"' in page or step != "settings"
    assert await campaigns.by_id(site.db, 1) == before


async def test_the_first_step_keeps_what_the_manual_asks_for(site):
    """UAU-06 … UAU-14: each field under its name, kept and shown again."""
    page = (await site.boss.get("/campaigns/new"))[1]
    for label in (
        "Campaign type", "Telemarketing", "Target-audience source", "Campaign name", "Objective", "Message",
        "External code", "has validity and operating hours to define", "has external validation procedures",
        "Link person to the campaign",
    ):  # fmt: skip
        assert label in page, label
    assert 'name="message"' in page and 'maxlength="140"' in page
    typed = FIRST | {
        "objective": "Renovar antes", "message": "m" * 140, "external_code": "ERP-7", "validates": "1",
        "link_person": "1",
    }  # fmt: skip
    assert (await site.boss.post("/campaigns/new", typed))[0] == 303
    made = await campaigns.by_id(site.db, 1)
    assert (made.objective, made.message, made.external_code) == ("Renovar antes", "m" * 140, "ERP-7")
    assert made.validates and made.link_person
    page = (await site.boss.get("/campaigns/1/identification"))[1]
    assert "m" * 140 in page and 'value="ERP-7"' in page
    for switch in ("validates", "link_person"):
        assert re.search(rf'name="{switch}"[^>]*checked', page)


@pytest.mark.parametrize(
    "source, field", [("filter", "filter_id"), ("layout", "import_layout_id"), ("leads", None)]
)
async def test_each_source_of_the_audience_has_its_own_parameters(site, source, field):
    made = {
        "filter_id": (await everybody(site.db)).id,
        "import_layout_id": await site.db.fetchval(
            "INSERT INTO import_layout (name, columns) VALUES ('ERP', '[]') RETURNING id"
        ),
    }
    await begun(site, source=source, **({field: str(made[field])} if field else {}))
    campaign = await campaigns.by_id(site.db, 1)
    assert campaign.source == source
    assert {name: getattr(campaign, name) for name in made} == {
        name: made[name] if name == field else None for name in made
    }
    page = (await site.boss.get("/campaigns/1/identification"))[1]
    assert re.search(rf'name="source" value="{source}"[^>]*checked', page)
    if field:
        assert re.search(rf'<option value="{made[field]}"[^>]*selected', page)
    else:
        assert "POST /api/campaigns/1/leads" in page


async def test_each_campaign_leads_to_generating_and_rebuilding_its_list(site, running):
    page = (await site.boss.get("/campaigns?text=winback"))[1]
    assert f'href="/campaigns/{running.id}/list">Generate/Rebuild<' in page
    page = (await site.boss.get(f"/campaigns/{running.id}/list"))[1]
    assert "Prepare and record the list: Winback" in page
    for button in ("Show list", "List history", "Add new items", "Rebuild the full list", "Record list"):
        assert button in page


async def test_a_name_that_another_campaign_has_is_refused(site, running):
    status, page, _where = await site.boss.post("/campaigns/new", FIRST | {"name": "Winback"})
    assert status == 422 and "Another one has this already." in page and 'value="Winback"' in page


async def test_the_period_says_at_once_what_hours_mean(site):
    await begun(site, defines_hours="1")
    page = (await site.boss.get("/campaigns/1/period"))[1]
    assert "84 hours a week" in page and "56 hours a week" in page
    await site.boss.post(
        "/campaigns/1/period",
        PERIOD | {"hours_preset": "08-12_14-18", "respect_destination_window": "1"},
    )
    page = (await site.boss.get("/campaigns/1/period"))[1]
    assert (
        "can be called 39 hours a week: of the 56 chosen" in page
    )  # Mon–Fri 09–12 and 14–18, Sat 10–12 and 14–16


async def test_a_filter_says_at_once_how_many_it_finds(site):
    filter = await everybody(site.db)
    await people(site.db, 3)
    path = "/campaigns/audience?filter="
    assert (await site.boss.get(f"{path}{filter.id}")) == (200, "This filter finds 3 customers now.")
    for nothing in ("", "x", "999"):
        assert (await site.boss.get(path + nothing)) == (200, "")
    assert 'data-audience="/campaigns/audience"' in (await site.boss.get("/campaigns/new"))[1]


async def test_the_grid_is_kept_as_it_was_ticked(site):
    await begun(site)
    ticked = [("hour", f"{day}-{hour}") for day in range(5) for hour in (9, 10, 14)]
    sent = [*(PERIOD | {"hours_preset": "custom"}).items(), *ticked]
    assert (await site.boss.post("/campaigns/1/period", sent))[0] == 303
    made = await campaigns.by_id(site.db, 1)
    assert made.hours == {str(day): [[540, 660], [840, 900]] for day in range(5)}
    page = (await site.boss.get("/campaigns/1/period"))[1]
    assert set(re.findall(r'value="(\d-\d+)" [^>]*checked', page)) == {cell for _name, cell in ticked}
    assert "15 hours a week" in page


async def test_without_hours_to_define_it_is_permanent_and_open_all_day(site):
    await begun(site)
    await site.boss.post("/campaigns/1/period", PERIOD)
    await site.boss.post("/campaigns/1/identification", FIRST)  # the switch is off
    made = await campaigns.by_id(site.db, 1)
    assert made.permanent and made.hours_preset == "24h"
    assert "no validity and operating hours are defined" in (await site.boss.get("/campaigns/1/period"))[1]
    answer = await site.boss.post("/campaigns/1/period", {"callback_mode": "free", "go": "define_hours"})
    assert answer[2] == "/campaigns/1/period"
    assert "Validity of the campaign" in (await site.boss.get(answer[2]))[1]


async def test_going_back_and_forth_loses_no_step_and_no_switch(site):
    """Also a switch whose step has not been opened yet."""
    await begun(site, defines_hours="1", validates="1", go="settings")
    sent = [*(SETTINGS | {"go": "identification"}).items(), ("agents", str(site.team[0].id))]
    assert (await site.boss.post("/campaigns/1/settings", sent))[2] == "/campaigns/1/identification"
    page = (await site.boss.get("/campaigns/1/identification"))[1]
    for switch in ("defines_hours", "validates"):
        assert re.search(rf'name="{switch}"[^>]*checked', page), switch
    page = (await site.boss.get("/campaigns/1/period"))[1]
    assert "Validity of the campaign" in page
    open_all_day = PERIOD | {"hours_preset": "24h", "callback_mode": "agent", "go": "back"}
    await site.boss.post("/campaigns/1/period", open_all_day)
    made = await campaigns.by_id(site.db, 1)
    assert made.defines_hours and made.callback_mode == "agent" and made.agents == (site.team[0].id,)
    assert "Validity of the campaign" in (await site.boss.get("/campaigns/1/period"))[1]


async def test_procedures_are_chosen_from_those_of_the_schema_or_an_address_is_given(site):
    await begun(site, validates="1", external_code="ERP-7")
    await site.db.execute(
        "CREATE FUNCTION validation.not_in_debt(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'"
    )
    assert "not_in_debt" in (await site.boss.get("/campaigns/1/settings"))[1]
    sent = [
        *SETTINGS.items(),
        ("hooks", "1"),
        ("validate_list.procedure", "not_in_debt"),
        ("validate_dial.address", "https://erp.example/may-call"),
        ("validation_inputs", "document"),
        ("validation_inputs", "external_code"),
    ]
    assert (await site.boss.post("/campaigns/1/settings", sent))[0] == 303
    made = await campaigns.by_id(site.db, 1)
    assert (made.validate_list, made.validate_dial) == (
        "procedure:not_in_debt",
        "https://erp.example/may-call",
    )
    assert made.validation_inputs == ("external_code", "document") and made.external_code == "ERP-7"
    page = (await site.boss.get("/campaigns/1/conclusion"))[1]
    assert "not_in_debt" in page and "https://erp.example/may-call" in page
    assert "External code of the person, CPF/CNPJ of the person" in page
    assert "3 s at most; The person is not called" in page
    await site.boss.post("/campaigns/1/settings", [*sent, ("retry.busy", "15")])
    assert "Busy 15 min" in (await site.boss.get("/campaigns/1/conclusion"))[1]
    status, page, _where = await site.boss.post("/campaigns/1/settings", [*sent[:-2], ("go", "next")])
    assert status == 422 and "erp.example" in page  # nothing to tell the procedure


async def test_categories_of_contacts_are_those_known_and_others_typed(site):
    await begun(site)
    await site.db.execute(
        """
        WITH made AS (INSERT INTO contact (name, kind) VALUES ('Padaria', 'company') RETURNING id)
        INSERT INTO contact_person (contact_id, type, name) SELECT id, 'Financeiro', 'Rui' FROM made
        """
    )
    assert "Financeiro" in (await site.boss.get("/campaigns/1/settings"))[1]
    sent = [
        *(SETTINGS | {"company_target": "selected", "company_types_more": "Compras, Diretoria"}).items(),
        ("company_types", "Financeiro"),
    ]
    assert (await site.boss.post("/campaigns/1/settings", sent))[0] == 303
    assert (await campaigns.by_id(site.db, 1)).company_types == ("Financeiro", "Compras", "Diretoria")


async def test_what_is_missing_is_named_and_once_it_is_there_the_campaign_is_active(site):
    await begun(site)
    page = (await site.boss.get("/campaigns/1/conclusion"))[1]
    for sentence in ("Choose the filter", "Choose who works", "Choose the form"):
        assert sentence in page
    status, page, _where = await site.boss.post("/campaigns/1/conclusion", {"go": "activate"})
    assert status == 422 and "Choose the filter" in page
    assert "cannot be activated yet" in page and "was not saved" not in page
    done = re.findall(r'<li class="step-done[^>]*>\s*<button name="go" value="(\w+)"', page)
    assert done == ["period"]  # and not the last one, where nothing has been concluded
    assert (await campaigns.by_id(site.db, 1)).status == "draft"
    form = await site.db.fetchval(
        "INSERT INTO layout (name, label, fields) VALUES ('f', 'F', '[]') RETURNING id"
    )
    filter = await everybody(site.db)
    await site.boss.post("/campaigns/1/identification", FIRST | {"filter_id": str(filter.id)})
    sent = [*(SETTINGS | {"layout_id": str(form)}).items(), ("agents", str(site.team[0].id))]
    await site.boss.post("/campaigns/1/settings", sent)
    assert "Nothing is missing." in (await site.boss.get("/campaigns/1/conclusion"))[1]
    answer = await site.boss.post("/campaigns/1/conclusion", {"go": "activate"})
    assert (answer[0], answer[2]) == (303, "/campaigns/1/list?activated=1")
    made = await campaigns.by_id(site.db, 1)
    assert made.status == "active" and made.agents == (site.team[0].id,)


async def test_an_active_campaign_is_not_left_without_anybody_to_work_it(site, running):
    sent = SETTINGS | {"layout_id": str(running.layout_id)}
    status, page, _where = await site.boss.post(f"/campaigns/{running.id}/settings", sent)
    assert status == 422 and "What you typed is still here." in page
    assert (await campaigns.by_id(site.db, running.id)).agents == running.agents


# -- preparing and recording the list ------------------------------------------------------------------------


async def test_the_list_is_shown_before_it_is_recorded_and_nothing_changes(site, running):
    known = await people(site.db, 4)
    await put(site.db, running, known[0])
    number = await site.db.fetchval("SELECT number FROM contact_phone WHERE contact_id = $1", known[1])
    await site.db.execute("INSERT INTO blocked_number (number) VALUES ($1)", number)
    page = (await site.boss.get(f"/campaigns/{running.id}/list?show=1"))[1]
    counted = (await site.boss.get(re.search(r'data-exact="([^"]+)"', page)[1]))[1]
    for told in (counted, (await site.boss.get(f"/campaigns/{running.id}/list?show=1&count=1"))[1]):
        figures = re.findall(r"<b>(\d+)</b><span>([^<]+)", told)
        assert ("2", "would be added") in figures and ("1", "on the list already") in figures
        assert ("1", "only blocked numbers") in figures
    assert page.count("leaves out: blocked") == 1 and page.count(">adds<") == 2
    assert await site.db.fetchval("SELECT count(*) FROM list_item") == 1


async def test_adding_adds_nobody_twice_and_the_history_says_so(site, running):
    await people(site.db, 3)
    path = f"/campaigns/{running.id}/list"
    answer = await site.boss.post(path, {"kind": "add"})
    assert answer[0] == 303, answer[1]
    assert "3 items were added." in (await site.boss.get(answer[2]))[1]
    await people(site.db, 1, first=910000000)
    await site.boss.post(path, {"kind": "add"})
    page = (await site.boss.get(path))[1]
    assert "1 item was added." in page and "3 were on the list already" in page
    assert page.count("New items added") == 2
    assert await site.db.fetchval("SELECT count(*) FROM list_item") == 4


async def test_a_rebuild_warns_of_what_it_erases_and_keeps_it_in_the_archive(site, running):
    known = await people(site.db, 3)
    await put(site.db, running, known[0], state=4, result="success")
    await put(site.db, running, known[1], state=1, due_at=now())
    path = f"/campaigns/{running.id}/list"
    page = (await site.boss.get(path))[1]
    assert "2 items leave the list" in page and "1 with a callback agreed" in page
    status, page, _where = await site.boss.post(path, {"kind": "rebuild"})
    assert status == 422 and "Tick that you have read" in page
    assert await site.db.fetchval("SELECT count(*) FROM list_item_archive") == 0
    assert (await site.boss.post(path, {"kind": "rebuild", "sure": "1"}))[0] == 303
    assert await site.db.fetchval("SELECT count(*) FROM list_item_archive") == 2
    assert await site.db.fetchval("SELECT count(*) FROM list_item WHERE state = 0") == 3
    assert "List rebuilt" in (await site.boss.get(path))[1]


async def test_a_rebuild_while_an_item_is_in_use_is_refused_with_who_has_it(site, running):
    known = await people(site.db, 1)
    later = now() + datetime.timedelta(minutes=1)
    await put(site.db, running, known[0], held_by=site.team[0].id, held_until=later, held_since=now())
    status, page, _where = await site.boss.post(
        f"/campaigns/{running.id}/list", {"kind": "rebuild", "sure": "1"}
    )
    assert status == 422 and site.team[0].name in page
    assert await site.db.fetchval("SELECT count(*) FROM list_item") == 1


async def validated(site, answer) -> tuple[campaigns.Campaign, web.AppRunner]:
    """An active campaign of everybody, each of whom is asked about at an address that answers so."""
    runner = web.AppRunner(web.Application())
    runner.app.router.add_post("/may-call", answer)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    filter = await everybody(site.db)
    made = await campaign(
        site.db, site.team, source="filter", filter_id=filter.id, validates=True,
        validate_list=f"http://127.0.0.1:{runner.addresses[0][1]}/may-call",
        validation_inputs=["internal_code"], validation_seconds=30, **ALWAYS,
    )  # fmt: skip
    return made, runner


async def test_a_long_recording_shows_how_far_it_is_and_is_cancelled(site, monkeypatch):
    monkeypatch.setattr(recording, "MOMENT_SECONDS", 0)
    go_on = asyncio.Event()

    async def answer(_request):
        await go_on.wait()
        return web.json_response(True)

    made, runner = await validated(site, answer)
    path = f"/campaigns/{made.id}/list"
    await people(site.db, 3)
    try:
        assert (await site.boss.post(path, {"kind": "add"}))[0] == 303
        current = site.app[recording.RECORDINGS][made.id]
        await until(lambda: current.progress.step == "asking")
        page = (await site.boss.get(path))[1]
        assert 'value="0" max="3"' in page and "Asking the validation" in page and "0 of 3 persons" in page
        live = re.search(r'data-campaign-live="([^"]+)"', page)[1]
        async with site.boss.http.ws_connect(live) as socket:
            assert "Cancel the recording" in (await figures(socket))["recording"]
            assert (await site.boss.post(f"{path}/cancel"))[0] == 303
            while "was cancelled by Test" not in (await figures(socket)).get("recording", ""):
                pass
        assert "the list is as it was" in (await site.boss.get(path))[1]
        assert await site.db.fetchval("SELECT count(*) FROM list_item") == 0
        go_on.set()
        await site.boss.post(path, {"kind": "add"})
        await until(lambda: site.app[recording.RECORDINGS][made.id].load)
        assert "3 items were added." in (await site.boss.get(path))[1]
    finally:
        go_on.set()
        await runner.cleanup()


async def test_a_cancelled_recording_says_of_nobody_that_they_were_recorded(site, monkeypatch):
    monkeypatch.setattr(recording, "MOMENT_SECONDS", 0)
    never = asyncio.Event()

    async def answer(request):
        if (await request.json())["internal_code"] == str(known[0]):
            raise web.HTTPInternalServerError
        await never.wait()

    made, runner = await validated(site, answer)
    known = await people(site.db, 2)
    path = f"/campaigns/{made.id}/list"
    try:
        await site.boss.post(path, {"kind": "add"})
        await until(lambda: site.app[recording.RECORDINGS][made.id].failures)
        assert "the others are recorded" in (await site.boss.get(path))[1]
        await site.boss.post(f"{path}/cancel")
        page = (await site.boss.get(path))[1]
    finally:
        never.set()
        await runner.cleanup()
    assert "the list is as it was" in page and "the address answered 500" in page
    assert "the others are recorded" not in page


async def test_a_validation_that_breaks_is_shown_with_whom_it_left_out(site):
    async def answer(request):
        asked = await request.json()
        if asked["internal_code"] == str(known[1]):
            raise web.HTTPInternalServerError
        return web.json_response(True)

    made, runner = await validated(site, answer)
    known = await people(site.db, 3)
    try:
        await site.boss.post(f"/campaigns/{made.id}/list", {"kind": "add"})
        page = (await site.boss.get(f"/campaigns/{made.id}/list"))[1]
    finally:
        await runner.cleanup()
    assert "2 items were added." in page and "1 validation failed" in page
    assert f'<a href="/contacts/{known[1]}">Person 2</a>: the address answered 500' in page


async def test_whom_a_validation_left_out_and_why_is_known_after_a_restart(site):
    async def answer(request):
        asked = await request.json()
        if asked["internal_code"] == str(known[1]):
            raise web.HTTPInternalServerError
        return web.json_response({"allowed": asked["internal_code"] != str(known[2]), "reason": "has paid"})

    made, runner = await validated(site, answer)
    known = await people(site.db, 3)
    try:
        await site.boss.post(f"/campaigns/{made.id}/list", {"kind": "add"})
    finally:
        await runner.cleanup()
    site.app[recording.RECORDINGS].clear()  # as after a restart
    page = (await site.boss.get(f"/campaigns/{made.id}/list"))[1]
    path = re.search(rf'"(/campaigns/{made.id}/list/[0-9]+)">Who, and why', page)[1]
    page = (await site.boss.get(path))[1]
    row = r'href="/contacts/{}">Person {}</a>.*?{}.*?"In its own words">{}<'
    assert re.search(row.format(known[1], 2, "gave no answer", "the address answered 500"), page, re.S)
    assert re.search(row.format(known[2], 3, "said no", "has paid"), page, re.S)
    assert "Person 1" not in page
    brazilian = await site.reader(Role.SUPERVISOR, "pt_BR")
    assert "o endereço respondeu 500" in (await brazilian.get(path))[1]
    other = await campaign(site.db, site.team, name="Other")
    assert (await site.boss.get(path.replace(f"/{made.id}/", f"/{other.id}/")))[0] == 404
    assert (await site.boss.get(f"/campaigns/{made.id}/list/999999"))[0] == 404


async def test_a_draft_has_no_list_to_record(site):
    await begun(site)
    assert "once the campaign is active" in (await site.boss.get("/campaigns/1/list"))[1]
    assert (await site.boss.post("/campaigns/1/list", {"kind": "add"}))[0] == 422
    assert (await site.boss.post("/campaigns/1/list", {"kind": "?"}))[0] == 422


# -- items in use --------------------------------------------------------------------------------------------


async def held(site, running, n=1) -> list[int]:
    later = now() + datetime.timedelta(minutes=1)
    return [
        await put(site.db, running, contact, held_by=user.id, held_until=later, held_since=ago(2))
        for contact, user in zip(await people(site.db, n), site.team, strict=False)
    ]


async def test_items_in_use_are_shown_of_one_campaign_or_of_all(site, running):
    other = await campaign(site.db, site.team, name="Other", **ALWAYS)
    await held(site, running)
    page = (await site.boss.get("/campaigns/in-use"))[1]
    for text in ("Winback", "Person 1", site.team[0].name, 'name="marked"'):
        assert text in page
    assert "Person 1" in (await site.boss.get(f"/campaigns/in-use?campaign={running.id}"))[1]
    assert "No item is in use." in (await site.boss.get(f"/campaigns/in-use?campaign={other.id}"))[1]


async def test_marked_items_are_released_with_a_reason_and_the_others_stay(site, running):
    first, second = await held(site, running, 2)
    sent = {"marked": str(first), "reason": "Saiu sem avisar"}
    answer = await site.boss.post("/campaigns/in-use", sent)
    assert answer[0] == 303 and "1 item was released" in (await site.boss.get(answer[2]))[1]
    assert [each.item_id for each in await items.held(site.db)] == [second]
    note = (await audit.recent(site.db, action="item.release"))[0]
    assert note.after["reason"] == "Saiu sem avisar"


@pytest.mark.parametrize("changes", [{"reason": ""}, {"marked": ""}, {"reason": "x" * 201}])
async def test_a_release_without_reason_or_mark_releases_nothing_and_keeps_the_marks(site, running, changes):
    (item,) = await held(site, running)
    sent = {"marked": str(item), "reason": "porque sim"} | changes
    status, page, _where = await site.boss.post("/campaigns/in-use", sent)
    assert status == 422
    assert len(await items.held(site.db)) == 1
    if changes.get("marked") != "":
        assert re.search(rf'value="{item}"[^>]*checked', page)
    else:
        assert "Mark at least one item." in page and "porque sim" in page


async def test_what_had_come_back_meanwhile_is_told(site, running):
    (item,) = await held(site, running)
    await items.release(site.db, site.team[0].id, item)
    answer = await site.boss.post("/campaigns/in-use", {"marked": str(item), "reason": "parado"})
    assert "0 of the 1 marked were released" in (await site.boss.get(answer[2]))[1]


# -- who is on the list --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", range(7))
async def test_the_list_is_filtered_by_each_situation(site, running, state):
    known = await people(site.db, 7)
    for each, contact in enumerate(known):
        due = {"due_at": now()} if each in (1, 2, 3) else {}
        await put(site.db, running, contact, state=each, **due)
    page = (await site.boss.get(f"/campaigns/{running.id}/items?situation={state}"))[1]
    assert re.findall(r">(Person \d)</a>", page) == [f"Person {state + 1}"]


async def test_a_customer_is_put_on_the_list_by_hand(site, running):
    """By whoever runs campaigns, also where agents may not."""
    known = await people(site.db, 2)
    path = f"/campaigns/{running.id}/items"
    page = (await site.boss.get(f"{path}?customer=person+2"))[1]
    assert f'name="contact" value="{known[1]}"' in page
    assert f'name="contact" value="{known[0]}"' not in page
    status, _page, where = await site.boss.post(f"{path}/link", {"contact": str(known[1])})
    assert status == 303 and "The customer is on the list." in (await site.boss.get(where))[1]
    assert await site.db.fetchval("SELECT contact_id FROM list_item") == known[1]
    where = (await site.boss.post(f"{path}/link", {"contact": str(known[1])}))[2]
    assert "Nothing was added" in (await site.boss.get(where))[1]
    assert (await site.boss.post(f"{path}/link", {"contact": "x"}))[0] == 422
    assert (await (await site.reader(Role.AGENT)).post(f"{path}/link", {"contact": "1"}))[0] == 403


async def test_a_customer_is_found_on_the_list_by_name_and_number(site, running):
    for contact in await people(site.db, 3):
        await put(site.db, running, contact)
    path = f"/campaigns/{running.id}/items"
    assert (
        "Person 2" in (page := (await site.boss.get(f"{path}?name=person+2"))[1]) and "Person 3" not in page
    )
    assert "Person 3" in (page := (await site.boss.get(f"{path}?phone=0002"))[1]) and "Person 1" not in page
    assert "Nobody on this list matches." in (await site.boss.get(f"{path}?name=zzz"))[1]


@pytest.mark.parametrize(
    "values, why",
    [
        ({"state": 4, "result": "success"}, "It was concluded with success"),
        ({"state": 5, "attempts": 5}, "The limit of attempts was reached"),
        ({"state": 1, "due_at": now() + datetime.timedelta(days=1)}, "A callback was agreed for"),
        ({"state": 0}, "Nothing hinders it"),
    ],
)
async def test_any_item_says_why_its_person_was_not_called(site, running, values, why):
    (contact,) = await people(site.db, 1)
    item = await put(site.db, running, contact, **values)
    page = (await site.boss.get(f"/campaigns/{running.id}/items/{item}"))[1]
    assert why in page and "Person 1" in page


async def test_a_blocked_number_and_a_paused_campaign_are_both_named(site, running):
    (contact,) = await people(site.db, 1)
    item = await put(site.db, running, contact)
    await site.db.execute(
        "INSERT INTO blocked_number (number, reason) SELECT number, 'pediu' FROM contact_phone"
    )
    await campaigns.pause(site.db, None, running.id)
    page = (await site.boss.get(f"/campaigns/{running.id}/items/{item}"))[1]
    assert "is blocked: pediu." in page and "The campaign is not active" in page


async def test_an_item_is_cancelled_with_a_reason_and_called_again(site, running):
    (contact,) = await people(site.db, 1)
    item = await put(site.db, running, contact)
    path = f"/campaigns/{running.id}/items/{item}"
    assert (await site.boss.post(path, {"do": "cancel", "reason": ""}))[0] == 422
    assert (await site.boss.post(path, {"do": "cancel", "reason": "duplicado"}))[0] == 303
    assert await site.db.fetchval("SELECT state FROM list_item") == 6
    assert (await site.boss.post(path, {"do": "reopen"}))[0] == 303
    assert await site.db.fetchval("SELECT state FROM list_item") == 0


# -- callbacks -----------------------------------------------------------------------------------------------


async def promised(site, running, *dues, owner=None) -> list[int]:
    return [
        await put(site.db, running, contact, state=1, due_at=due, callback_owner=owner)
        for contact, due in zip(await people(site.db, len(dues)), dues, strict=True)
    ]


async def optional(site):
    return await campaign(site.db, site.team, callback_mode="optional", **ALWAYS)


async def test_callbacks_due_and_overdue_are_shown_by_agent(site):
    made = await optional(site)
    await promised(site, made, ago(30), ago(-60))
    page = (await site.boss.get(f"/campaigns/{made.id}/callbacks"))[1]
    assert "Person 1" in page and "Person 2" in page and page.count("<small>overdue</small>") == 1
    page = (await site.boss.get(f"/campaigns/{made.id}/callbacks?due=overdue"))[1]
    assert "Person 1" in page and "Person 2" not in page
    page = (await site.boss.get("/campaigns/callbacks"))[1]
    assert "Winback" in page and "anybody" in page


async def test_a_callback_is_moved_to_another_time_and_agent(site):
    made = await optional(site)
    (item,) = await promised(site, made, ago(30))
    path = f"/campaigns/{made.id}/callbacks/{item}"
    assert (await site.boss.get(path))[0] == 200
    there = {
        "due_at": "2099-01-02T14:30",
        "owner": str(site.team[1].id),
        "phone": "",
        "note": "depois das 14",
    }
    answer = await site.boss.post(path, there)
    assert answer[0] == 303, answer[1]
    row = await site.db.fetchrow("SELECT due_at, callback_owner, callback_note FROM list_item")
    assert tuple(row) == (
        datetime.datetime(2099, 1, 2, 17, 30, tzinfo=datetime.UTC),
        site.team[1].id,
        "depois das 14",
    )


async def test_an_overdue_callback_goes_to_another_agent_without_a_new_time(site):
    made = await optional(site)
    (item,) = await promised(site, made, ago(30), owner=site.team[0].id)
    page = (await site.boss.get(f"/campaigns/{made.id}/callbacks/{item}"))[1]
    due = re.search(r'name="due_at" type="datetime-local" value="([^"]+)"', page)[1]
    answer = await site.boss.post(
        f"/campaigns/{made.id}/callbacks/{item}", {"due_at": due, "owner": str(site.team[1].id)}
    )
    assert answer[0] == 303, answer[1]
    assert await site.db.fetchval("SELECT callback_owner FROM list_item") == site.team[1].id


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"due_at": "2001-01-02T14:30"}, "due_at"),
        ({"due_at": "soon"}, "due_at"),
        ({"owner": "77"}, "owner"),
        ({"phone": "abc"}, "phone"),
    ],
)
async def test_a_callback_that_cannot_be_kept_is_refused_at_its_field(site, changes, field):
    made = await optional(site)
    (item,) = await promised(site, made, ago(30))
    sent = {"due_at": "2099-01-02T14:30", "owner": "0", "note": "<nota>"} | changes
    status, page, _where = await site.boss.post(f"/campaigns/{made.id}/callbacks/{item}", sent)
    assert status == 422 and f'id="n-{field}"' in page and "&lt;nota&gt;" in page
    assert await site.db.fetchval("SELECT callback_note FROM list_item") == ""


async def test_a_callback_is_deleted_with_a_reason_and_the_person_stays(site):
    made = await optional(site)
    (item,) = await promised(site, made, ago(30))
    path = f"/campaigns/{made.id}/callbacks/{item}"
    assert (await site.boss.post(path, {"remove": "1", "reason": ""}))[0] == 422
    assert (await site.boss.post(path, {"remove": "1", "reason": "já resolveu"}))[0] == 303
    assert await site.db.fetchval("SELECT state FROM list_item") == 2
    assert "There is no callback any more" in (await site.boss.get(path))[1]


async def test_all_callbacks_of_one_who_is_away_go_to_another(site):
    made = await optional(site)
    await promised(site, made, ago(1), ago(2), owner=site.team[0].id)
    sent = {"from": str(site.team[0].id), "to": str(site.team[1].id)}
    answer = await site.boss.post(f"/campaigns/{made.id}/callbacks", sent)
    assert "2 callbacks were moved." in (await site.boss.get(answer[2]))[1]
    owners = await site.db.fetch("SELECT DISTINCT callback_owner FROM list_item")
    assert [row[0] for row in owners] == [site.team[1].id]
    assert (await site.boss.post(f"/campaigns/{made.id}/callbacks", sent | {"to": "77"}))[0] == 422


# -- a running campaign --------------------------------------------------------------------------------------


async def test_the_page_of_a_campaign_says_how_it_stands_and_who_does_not_see_it(site, running):
    page = (await site.boss.get(f"/campaigns/{running.id}"))[1]
    assert "There is nobody on the list yet." in page and "nobody left who can be called" in page
    for n, contact in enumerate(await people(site.db, 4)):
        await put(site.db, running, contact, **({"state": 4, "result": "success"} if n == 0 else {}))
    page = (await site.boss.get(f"/campaigns/{running.id}"))[1]
    figures = {word.strip(): n for n, word in re.findall(r"<b>([^<]+)</b><span>([^<]+)", page)}
    assert (figures["worked, of 4"], figures["left to call"], figures["with success · 100 %"]) == (
        "1",
        "3",
        "1",
    )
    assert "sees it" in page and "does not see it" not in page


async def test_it_is_paused_activated_and_ended(site, running):
    path = f"/campaigns/{running.id}/status"
    for do, status in (("pause", "paused"), ("activate", "active"), ("end", "ended")):
        assert (await site.boss.post(path, {"do": do}))[0] == 303
        assert (await campaigns.by_id(site.db, running.id)).status == status
    status, page, _where = await site.boss.post(path, {"do": "activate"})
    assert status == 422 and "cannot become" in page
    assert (await site.boss.post(path, {"do": "vanish"}))[0] == 422


async def test_an_unfinished_campaign_asked_to_begin_leads_to_what_is_missing(site):
    await begun(site)
    answer = await site.boss.post("/campaigns/1/status", {"do": "activate"})
    assert (answer[0], answer[2]) == (303, "/campaigns/1/conclusion")


async def test_it_is_copied_under_a_name_of_its_own_and_removed_while_it_has_no_list(site, running):
    path = f"/campaigns/{running.id}"
    status, page, _where = await site.boss.post(f"{path}/copy", {"copy_name": "Winback"})
    assert status == 422 and 'id="n-copy_name"' in page
    answer = await site.boss.post(f"{path}/copy", {"copy_name": "Winback 2"})
    made = await campaigns.by_name(site.db, "Winback 2")
    assert answer[2] == f"/campaigns/{made.id}/identification" and made.agents == running.agents
    assert (await site.boss.post(f"/campaigns/{made.id}/remove"))[0] == 303
    assert await campaigns.by_name(site.db, "Winback 2") is None
    (contact,) = await people(site.db, 1)
    await put(site.db, running, contact)
    status, page, _where = await site.boss.post(f"{path}/remove")
    assert status == 422 and "cannot be removed" in page


async def figures(socket) -> dict:
    """The next push that carries regions."""
    while True:
        message = await socket.receive_json(timeout=20)
        if message.get("regions"):
            return message["regions"]


async def test_a_watched_campaign_is_told_what_changed_when_the_floor_moves(site, running):
    known = await people(site.db, 2)
    await put(site.db, running, known[0])
    async with site.boss.http.ws_connect(f"/campaigns/{running.id}/feed") as socket:
        assert "worked, of 1<" in (await figures(socket))["progress"]
        await put(site.db, running, known[1], state=4, result="success")
        site.floor.change()
        assert "worked, of 2<" in (await figures(socket))["progress"]
        await socket.send_str(json.dumps({"id": 7, "verb": "Ping"}))
        assert (await socket.receive_json(timeout=20))["id"] == 7
    await until(lambda: not site.app[feeds()])


def feeds():
    from webui.campaigns.watch import FEEDS

    return FEEDS


async def test_what_is_no_request_closes_the_connection(site, running):
    async with site.boss.http.ws_connect(f"/campaigns/{running.id}/feed") as socket:
        await socket.send_str("{")
        while not (message := await socket.receive(timeout=20)).type.name.startswith("CLOSE"):
            assert message.type.name == "TEXT"
        assert socket.close_code == 1007


@pytest.mark.parametrize(
    "role, headers", [(Role.AGENT, {}), (Role.SUPERVISOR, {"Origin": "http://elsewhere.example"})]
)
async def test_the_socket_opens_only_to_those_with_the_right_from_our_own_page(site, running, role, headers):
    reader = await site.reader(role)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await reader.http.ws_connect(f"/campaigns/{running.id}/feed", headers=headers)
    assert refused.value.status == 403


async def test_a_feed_asks_once_for_all_its_watchers_and_goes_on_when_the_database_is_back():
    asked = []

    async def ask() -> int:
        asked.append(len(asked))
        if len(asked) == 1:
            raise ConnectionRefusedError("away")
        return len(asked)

    feed = Feed(ask)
    first, second = feed.join(), feed.join()
    await until(lambda: asked)
    feed.move()
    pictures = [await anext(each.pictures()) for each in (first, second)]
    assert pictures == [2, 2]
    await feed.leave(first)
    await feed.leave(second)
    assert not feed.watched


# -- leads ---------------------------------------------------------------------------------------------------


LEAD = {"name": "Mariana Alves", "phones": ["11 98765-4321"], "source": "site", "external_id": "L-1"}


async def sent(site, made, lead, token=None) -> tuple[int, dict]:
    headers = {"Authorization": f"Bearer {token or site.app[TOKEN]}"}
    async with aiohttp.ClientSession(site.url, headers=headers) as program:
        async with program.post(f"/api/campaigns/{made}/leads", json=lead) as answer:
            return answer.status, await answer.json() if answer.content_type == "application/json" else {}


async def test_a_lead_of_another_system_is_on_the_list_once_and_shown(site):
    made = await campaign(site.db, site.team, source="leads", **ALWAYS)
    status, first = await sent(site, made.id, LEAD)
    assert status == 201 and first["item_id"]
    assert (await sent(site, made.id, LEAD)) == (201, first)
    assert await site.db.fetchval("SELECT count(*) FROM list_item") == 1
    page = (await site.boss.get(f"/campaigns/{made.id}/list"))[1]
    assert "Mariana Alves" in page and "L-1" in page and f"/api/campaigns/{made.id}/leads" in page


@pytest.mark.parametrize(
    "lead, status",
    [
        (LEAD | {"phones": []}, 422),
        (LEAD | {"phones": ["190"]}, 422),
        (LEAD | {"name": ""}, 422),
        (LEAD | {"phones": "11987654321"}, 400),
        (LEAD | {"name": 7}, 400),
        (LEAD | {"priority": "high"}, 400),
        ([LEAD], 400),
        ("lead", 400),
    ],
)
async def test_what_is_no_lead_is_refused_and_leaves_nothing(site, lead, status):
    made = await campaign(site.db, site.team, source="leads", **ALWAYS)
    assert (await sent(site, made.id, lead))[0] == status
    assert await site.db.fetchval("SELECT count(*) FROM contact") == 0


async def test_leads_need_the_token_and_a_campaign_that_takes_them(site, running):
    assert (await sent(site, running.id, LEAD, "wrong"))[0] == 401
    assert (await sent(site, running.id, LEAD))[0] == 422  # its people come from a filter
    assert (await sent(site, 999, LEAD))[0] == 404
    assert await site.db.fetchval("SELECT count(*) FROM contact") == 0
