"""Campaigns that dial by themselves, through their pages: how they do it, and how they are doing it now."""

import datetime
import json
import re
from dataclasses import fields, replace

import aiohttp
import pytest
import pytest_asyncio

from config import Settings
from crm import audit, campaigns, centre
from crm.attempts import ensure_month
from crm.calls import ZONE
from crm.dialing import ADVANCED as ADVANCED_OF
from crm.dialing import VISIBLE, Dialing, Quota, check
from crm.dialing_day import Quarter
from crm.hours import PRESETS
from crm.refused import Refused
from crm.users import Role
from cti.media import tones
from cti.media.detection import LIMITS
from dialer import pacing
from dialer.pacing import Why
from dialer.simulation import Forecast
from tests.crm.campaigning import agents, campaign, people, put
from tests.dialer.test_drive import dialing
from tests.fakes.wall import FakeWall
from tests.waiting import until
from tests.webui.site import serving
from tests.webui.test_tabulations import wav
from webui.audit import said as audit_said
from webui.desk.pages import as_arguments
from webui.dialing import said
from webui.dialing.curve import curve
from webui.dialing.live import gauge
from webui.dialing.messages import stem_of
from webui.dialing.settings import ADVANCED, RANGES, THRESHOLDS, values_of
from webui.dialing.simulation import JOBS, open_hours, through_at
from webui.dialing.trade_off import BOTTOM, LEFT, RIGHT, TOP, chart


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    """An active campaign of two agents that is dialed by hand, with three people on its list."""
    team = await agents(fresh_db, 2)
    made = await campaign(fresh_db, team)
    for contact in await people(fresh_db, 3):
        await put(fresh_db, made, contact)
    floor = FakeWall(await centre.load(fresh_db))
    async with serving(fresh_db, floor, Settings(data=tmp_path)) as site:
        site.boss = await site.reader(Role.SUPERVISOR)
        site.campaign, site.data = made, tmp_path
        site.here = f"/campaigns/{made.id}/dialing"
        yield site


@pytest_asyncio.fixture
async def at_work(fresh_db, tmp_path):
    """A campaign that dials: real floor, real dialer, telephones that the test answers."""
    async with dialing(fresh_db) as dialed:
        dialed.here.now = datetime.datetime.now(datetime.UTC)
        await campaigns.save_step(
            fresh_db, None, dialed.here.campaign.id, "period", {"respect_destination_window": ""}
        )
        await dialed.turn()
        async with serving(fresh_db, dialed.floor, Settings(data=tmp_path), dialed.drives) as site:
            site.boss = await site.reader(Role.SUPERVISOR)
            site.dialed, site.campaign = dialed, dialed.here.campaign
            site.here = f"/campaigns/{site.campaign.id}/live"
            yield site


async def now_of(site) -> campaigns.Campaign:
    return await campaigns.found(site.db, site.campaign.id)


def settings(**changes):
    """What the form sends of a campaign with the usual settings."""
    return values_of(Dialing(mode="predictive")) | changes


# -- settings ------------------------------------------------------------------------------------------------


async def test_the_mode_is_chosen_with_its_settings_and_shown_again(site):
    sent = settings(abandon_limit_percent="2,5", ring_seconds="30", caller_ids="11 3000-0000\n(21) 3000-0001")
    status, page, where = await site.boss.post(site.here, sent)
    assert (status, where) == (303, site.here + "?saved=1"), page
    dialed = (await now_of(site)).dialing
    assert (dialed.mode, dialed.abandon_limit_percent, dialed.ring_seconds) == ("predictive", 2.5, 30)
    assert dialed.caller_ids == ("+551130000000", "+552130000001")
    page = (await site.boss.get(where))[1]
    assert 'value="2.5"' in page and "in force for the next call" in page
    change = (await audit.recent(site.db, action="campaign.dialing"))[0]
    assert change.after["mode"] == "predictive"
    assert {each.name for each in fields(Dialing)} <= audit_said.FACTS.keys()
    admin = await site.reader(Role.ADMINISTRATOR)
    entry = (await admin.get("/audit"))[1].partition("dialing settings changed")[2]
    assert "Mode" in entry and "Predictive" in entry and "Abandoned at most" in entry


async def test_what_stands_under_advanced_is_kept_too(site):
    load = await site.db.fetchval(
        """
        INSERT INTO campaign_load (campaign_id, generation, kind, added) VALUES ($1, 1, 'add', 3) RETURNING id
        """,
        site.campaign.id,
    )
    more = {
        "window": "60",
        "order": "newest",
        "on_stop": "cancel",
        "threshold.pause_ms": "700",
        "outcome.480": "busy",
        "outcome.machine": "",
        f"share.{load}": "2,5",
        "quota.0.field0": "state",
        "quota.0.value0": "RJ",
        "quota.0.field1": "",
        "quota.0.value1": "",
        "quota.0.field2": "city",
        "quota.0.test2": "not_contains",
        "quota.0.value2": "São",
        "quota.0.max": "200",
        "quota.1.field0": "",
        "quota.1.max": "",
    }
    status, page, where = await site.boss.post(site.here, settings(**more))
    assert status == 303, page
    dialed = (await now_of(site)).dialing
    assert (dialed.window, dialed.order, dialed.on_stop) == (60, "newest", "cancel")
    assert (dialed.thresholds, dialed.outcomes, dialed.shares) == (
        {"pause_ms": 700},
        {"480": "busy"},
        {load: 2.5},
    )
    assert dialed.quotas == (Quota({"state": "RJ", "city": "São"}, 200, {"city": "not_contains"}),)
    page = (await site.boss.get(where))[1]
    assert 'value="RJ"' in page and 'value="700"' in page and 'value="2.5"' in page
    assert '<option value="not_contains" selected>' in page
    assert 'name="quota.0.field2"' in page and 'name="quota.0.field3"' not in page, "room for one more"


@pytest.mark.parametrize(
    "changes, field, said",
    [
        ({"mode": ""}, "mode", "filled in"),
        ({"ring_seconds": "5"}, "ring_seconds", "From 15 to 60."),
        ({"ratio": "11"}, "ratio", "From 1 to 10."),
        ({"abandon_limit_percent": "0"}, "abandon_limit_percent", "choose progressive"),
        ({"abandon_after_seconds": "soon"}, "abandon_after_seconds", "number"),
        ({"lines_max": "-1"}, "lines_max", "From 0 to 10,000."),
        ({"caller_ids": "Anna"}, "caller_ids", "telephone"),
        ({"machine": "before", "machine_action": "message"}, "machine_message", "filled in"),
        ({"threshold.pause_ms": "1"}, "thresholds", "outside"),
        ({"outcome.480": "abandoned"}, "outcomes", "Choose one"),
        ({"quota.0.field0": "state", "quota.0.value0": "", "quota.0.max": "9"}, "quotas", "filled in"),
        (
            {
                "quota.0.field0": "state",
                "quota.0.test0": "between",
                "quota.0.value0": "1;2",
                "quota.0.max": "9",
            },
            "quotas",
            "",
        ),
        ({"window": "1"}, "window", "outside"),
    ],
)
async def test_what_cannot_work_is_said_at_its_field_and_nothing_typed_is_lost(site, changes, field, said):
    status, page, _ = await site.boss.post(site.here, settings(lockout_days="17") | changes)
    assert status == 422 and "Nothing was saved" in page
    error = page.partition(f'id="n-{field}"')[2].partition("</p>")[0]
    assert said in error, error
    assert 'value="17"' in page
    assert ('id="advanced" open' in page) == (field in ADVANCED)
    assert (await now_of(site)).dialing.mode == "manual"


async def test_a_campaign_cannot_have_more_lines_than_its_trunk(at_work):
    await at_work.db.execute("UPDATE trunk SET channels_max = 10")
    here = at_work.here.replace("/live", "/dialing")
    status, page, _ = await at_work.boss.post(here, settings(lines_max="11"))
    assert status == 422 and "carries less than this" in page and "It carries 10 calls at once." in page
    assert (await at_work.boss.post(here, settings(lines_max="10")))[0] == 303


async def test_what_will_not_go_well_is_said_before_the_start(site):
    await campaigns.set_dialing(site.db, None, site.campaign.id, {"mode": "predictive", "machine": "before"})
    await site.db.execute("DELETE FROM list_item")
    site.floor.phones.engine.detects = False
    page = (await site.boss.get(site.here))[1]
    told = page.partition('aria-label="What will not go well"')[2].partition("</ul>")[0]
    for word in (
        "Nobody is left on the list",
        "does not name the company",
        "not told from people here",
        "With 2",
    ):
        assert word in told, word
    await campaigns.set_dialing(site.db, None, site.campaign.id, {"mode": "manual"})
    assert "What will not go well" not in (await site.boss.get(site.here))[1]


def test_every_setting_of_the_dialer_is_on_the_page_and_twelve_at_most_are_seen_at_once():
    assert set(ADVANCED) == set(ADVANCED_OF) and len(VISIBLE) <= 12
    assert set(THRESHOLDS) == set(LIMITS)
    assert set(said.MODES) <= {"manual", "preview", "progressive", "ratio", "predictive"}


@pytest.mark.parametrize("name", RANGES)
def test_the_limits_the_page_tells_are_those_that_are_checked(name):
    low, high = RANGES[name]
    for value in (low, high):
        if (name, value) != ("abandon_limit_percent", 0):
            check({"mode": "progressive", name: value})
    for value in (low - 0.001 if name in ("ratio",) else low - 1, high + 1):
        with pytest.raises(Refused):
            check({"mode": "progressive", name: value})


# -- messages ------------------------------------------------------------------------------------------------


async def sent(site, purpose, name, content, csrf=None):
    form = aiohttp.FormData(quote_fields=False)  # as browsers do
    form.add_field("csrf", site.boss.csrf if csrf is None else csrf)
    form.add_field("file", content, filename=name, content_type="audio/wav")
    async with site.boss.http.post(
        f"{site.here}/{purpose}", data=form, headers={"Accept": "text/html"}, allow_redirects=False
    ) as answer:
        return answer.status, await answer.text()


async def test_a_message_is_sent_in_listened_to_and_is_the_campaigns_at_once(site):
    recording = tones.ABANDONED.read_bytes()
    assert (await sent(site, "abandon_message", "Nossa empresa.WAV", recording))[0] == 303
    assert (await now_of(site)).dialing.abandon_message == "Nossa-empresa.wav"
    page = (await site.boss.get(site.here))[1]
    assert 'src="/campaigns/messages/Nossa-empresa.wav"' in page
    async with site.boss.http.get("/campaigns/messages/Nossa-empresa.wav") as answer:
        assert (answer.status, answer.content_type) == (200, "audio/wav")
        assert await answer.read() == recording


async def test_another_recording_of_the_same_name_leaves_the_first_one(site):
    first, second = tones.ABANDONED.read_bytes(), tones.MUSIC.read_bytes()
    await sent(site, "abandon_message", "a.wav", first)
    await sent(site, "machine_message", "a.wav", second)
    await sent(site, "machine_message", "a.wav", second)
    dialed = (await now_of(site)).dialing
    assert (dialed.abandon_message, dialed.machine_message) == ("a.wav", "a-2.wav")
    assert sorted(path.name for path in (site.data / "messages").iterdir()) == ["a-2.wav", "a.wav"]


@pytest.mark.parametrize(
    "content, said",
    [
        (b"RIFFnothing", "not a WAV file"),
        (b"", "Choose a file."),
        (wav(b"\x00\x80" * 500), "too short"),
    ],
)
async def test_what_is_no_message_is_refused_in_words(site, content, said):
    status, page = await sent(site, "abandon_message", "x.wav", content)
    assert status == 422 and said in page
    assert (await now_of(site)).dialing.abandon_message == ""


async def test_a_recording_sent_without_the_sessions_secret_is_not_kept(site):
    assert (await sent(site, "abandon_message", "x.wav", tones.ABANDONED.read_bytes(), csrf="x"))[0] == 403
    assert not (site.data / "messages").exists()


async def test_a_recording_that_no_campaign_uses_is_removed_and_another_is_not(site):
    await sent(site, "abandon_message", "old.wav", tones.ABANDONED.read_bytes())
    await sent(site, "abandon_message", "new.wav", tones.MUSIC.read_bytes())
    page = (await site.boss.get(site.here))[1]
    assert "no campaign uses it" in page and "used by " in page

    async def remove(name):
        return (await site.boss.post(f"{site.here}/recordings/remove", {"file": name}))[:2]

    status, page = await remove("new.wav")
    assert status == 422 and "new.wav is used by" in page and (await now_of(site)).name in page
    status, page = await remove("../settings.toml")
    assert status == 422 and "not there any more" in page
    assert (await remove("old.wav"))[0] == 303
    assert [path.name for path in (site.data / "messages").iterdir()] == ["new.wav"]
    [row] = await site.db.fetch("SELECT * FROM audit WHERE action = 'message.remove'")
    assert row["subject"] == "message old.wav"


async def test_the_built_in_message_can_be_heard_and_nothing_outside_the_folder(site):
    async with site.boss.http.get("/campaigns/messages/~built-in.wav") as answer:
        assert await answer.read() == tones.ABANDONED.read_bytes()
    (site.data / "secret.wav").write_bytes(b"secret")
    for name in ("..%2Fsecret.wav", "%2e%2e%2fsecret.wav", "secret.wav", "none.wav"):
        async with site.boss.http.get(f"/campaigns/messages/{name}") as answer:
            assert answer.status == 404, name


@pytest.mark.parametrize(
    "sent_as, stem",
    [
        ("Olá, mundo!.wav", "Ola-mundo"),
        ("C:\\sons\\Aviso 1.WAV", "Aviso-1"),
        ("../../etc/passwd", "passwd"),
        ("日本.wav", "message"),
    ],
)
def test_a_file_is_named_so_that_every_system_can_write_it(sent_as, stem):
    assert stem_of(sent_as) == stem


# -- live ----------------------------------------------------------------------------------------------------


async def act(site, do, **more):
    status, page, where = await site.boss.post(site.here, {"do": do, **more})
    assert status == 303, page
    return (await site.boss.get(where))[1]


async def test_the_page_shows_calls_in_the_air_and_why(at_work):
    dialed = at_work.dialed
    await dialed.join(0)
    await dialed.join(1)
    await dialed.rung(2)
    page = (await at_work.boss.get(at_work.here))[1]
    assert funnel(page) == {
        "Ringing": 2,
        "Talking": 0,
        "Waiting for an agent": 0,
        "Person or machine?": 0,
    } | {"Next on the list": len(dialed.drive.hopper)}
    sentence = page.partition('class="why-now" role="status">')[2].partition("<")[0]
    assert "calls ringing" in sentence
    await dialed.talking()
    assert funnel((await at_work.boss.get(at_work.here))[1])["Talking"] == 1


def funnel(page) -> dict[str, int]:
    part = page.partition('class="bars funnel">')[2].partition("</dl>")[0]
    rows = part.split("<dt>")[1:]
    return {
        row.partition("</dt>")[0]: int(row.partition('class="number">')[2].partition("<")[0]) for row in rows
    }


async def test_a_person_no_agent_is_free_for_is_counted_against_the_limit(at_work):
    dialed = at_work.dialed
    await dialed.set_mode("ratio", ratio=3, abandon_after_seconds=0.5)
    await dialed.join(0)
    legs = await dialed.rung(3)
    for leg in legs[:2]:
        leg.lift()
    await dialed.until_tried("abandoned")
    await dialed.here.phase("talking")
    page = (await at_work.boss.get(at_work.here))[1]
    assert "50 %" in page.partition('class="abandoned"')[2].partition("</div>")[0]
    assert "gauge-bad" in page


async def test_one_click_pauses_and_another_goes_on(at_work):
    dialed = at_work.dialed
    await dialed.join(0)
    await dialed.rung()
    page = await act(at_work, "pause")
    assert "Paused: nobody is called until it goes on." in page and 'value="resume"' in page
    assert dialed.drive.stopped and dialed.ringing  # what rings is let through
    page = await act(at_work, "resume")
    assert not dialed.drive.stopped and 'value="pause"' in page


async def test_stop_cancels_what_rings(at_work):
    dialed = at_work.dialed
    await dialed.join(0)
    await dialed.rung()
    await act(at_work, "stop")
    await until(lambda: not dialed.ringing)
    assert (await now_of(at_work)).status == "paused"


async def test_it_is_slowed_to_one_call_for_each_free_agent_and_goes_back_to_full_pace(at_work):
    page = await act(at_work, "slow")
    assert at_work.dialed.drive.pace == "slow" and "slowed down" in page and 'value="full"' in page
    page = await act(at_work, "full", overview="1")
    assert at_work.dialed.drive.pace == "full" and at_work.campaign.name in page


async def test_a_pace_for_a_campaign_that_does_not_dial_is_refused_in_words(at_work):
    await campaigns.pause(at_work.db, None, at_work.campaign.id)
    await at_work.dialed.drives.poll()
    status, page, _ = await at_work.boss.post(at_work.here, {"do": "slow"})
    assert status == 422 and "The campaign is not dialing." in page
    assert (await at_work.boss.post(at_work.here, {"do": "dance"}))[0] == 422


async def test_the_page_and_the_overview_are_pushed_what_changes(at_work):
    dialed = at_work.dialed
    for path, region in ((at_work.here + "/feed", "now"), ("/dialing/feed", "rows")):
        async with at_work.boss.http.ws_connect(path) as socket:
            first = json.loads((await socket.receive()).data)
            assert region in first["regions"] and first["event"] == "CampaignChanged"
            await act(at_work, "pause" if region == "now" else "resume")
            word = "Paused: nobody is called" if region == "now" else 'value="pause"'
            while word not in json.loads((await socket.receive()).data)["regions"].get(region, ""):
                pass
            await socket.send_json({"id": 1, "verb": "Ping"})
            while (answer := json.loads((await socket.receive()).data)).get("id") != 1:
                pass
            assert answer["ok"]
    assert dialed.drive is not None


async def test_campaigns_that_dial_by_themselves_are_listed_and_others_are_not(at_work):
    by_hand = await campaign(at_work.db, at_work.dialed.here.team, name="By hand")
    page = (await at_work.boss.get("/dialing"))[1]
    assert at_work.campaign.name in page and by_hand.name not in page
    await campaigns.set_dialing(at_work.db, None, at_work.campaign.id, {"mode": "manual"})
    assert "No campaign dials by itself now." in (await at_work.boss.get("/dialing"))[1]
    page = (await at_work.boss.get(f"/campaigns/{by_hand.id}"))[1]
    assert f"/campaigns/{by_hand.id}/dialing" in page and f"/campaigns/{by_hand.id}/live" not in page


class Asked(dict):
    """A request as far as words need one: who reads, of which application."""

    def __init__(self, site, reader) -> None:
        super().__init__(user=reader.user)
        self.app = site.app


async def test_every_reason_is_said_in_both_languages_with_the_readers_numbers(site):
    assert dict(said.REASONS) == dict(pacing.REASONS)
    values = dict.fromkeys(pacing.Pacing().why().values, 2.75)
    reader = await site.reader(Role.SUPERVISOR, language="pt_BR")
    for code in pacing.REASONS:
        here = said.reason(Asked(site, site.boss), Why(code, values))
        there = said.reason(Asked(site, reader), Why(code, values))
        assert here != there and here.endswith(".") and "{" not in here + there, code
    assert "2,8 %" in said.reason(Asked(site, reader), Why("budget", values))


async def test_a_share_stands_beside_its_limit_in_the_middle_of_the_bar(site):
    asked = Asked(site, site.boss)
    assert [(bar.width, bar.tone) for bar in (gauge(asked, n, 3.0) for n in (0, 1.5, 2.9, 3.0, 3.1, 30))] == [
        (0, "ok"),
        (25, "ok"),
        (48.3, "warn"),
        (50, "warn"),
        (51.7, "bad"),
        (100, "bad"),
    ]
    assert (gauge(asked, 0, 0).width, gauge(asked, 1, 0).tone) == (0, "bad")


# -- at the desk ---------------------------------------------------------------------------------------------


async def desk_of(site, agent=0) -> str:
    """The agent's desk as the page is loaded, in English."""
    user = site.dialed.here.team[agent]
    await site.db.execute("UPDATE user_account SET language = 'en' WHERE id = $1", user.id)
    status, page = await (await site.reader_of(user)).get("/desk")
    assert status == 200
    return page


async def test_an_agent_chooses_the_campaign_to_work_in_and_leaves_it(at_work):
    page = await desk_of(at_work)
    assert page.count('data-verb="JoinCampaign"') == 2 and "The next call rings here." in page
    await at_work.dialed.join(0, blended=True)
    page = await desk_of(at_work)
    assert f"Waiting for a call of {at_work.campaign.name}" in page and "and my queues" in page
    assert page.count('data-verb="LeaveCampaign"') == 1
    await at_work.dialed.here.ask("LeaveCampaign")
    assert "Waiting for a call" not in await desk_of(at_work)


async def test_a_campaign_of_others_or_one_that_stopped_is_not_offered(at_work):
    stranger = await at_work.reader(Role.AGENT)
    assert "JoinCampaign" not in (await stranger.get("/desk"))[1]
    await at_work.dialed.join(0)
    await campaigns.pause(at_work.db, None, at_work.campaign.id)
    await at_work.dialed.turn()
    page = await desk_of(at_work)
    assert f"{at_work.campaign.name} does not dial now" in page and "JoinCampaign" not in await desk_of(
        at_work, 1
    )


async def test_a_connected_call_brings_person_form_and_outcome_to_the_desk(at_work):
    await at_work.dialed.join(0)
    await at_work.dialed.talking()
    page = await desk_of(at_work)
    work = at_work.dialed.here.work()
    assert f'data-work="{work["item"]}"' in page and work["contact"]["name"] in page
    for part in (
        'id="tabulation"',
        "data-outcome",
        'value="wrong_number"',
        'value="voicemail"',
        'value="callback"',
    ):
        assert part in page, part
    assert "Attempt 1 of" in page


async def test_in_preview_the_person_is_seen_with_a_countdown_dialed_now_or_skipped(at_work):
    dialed = at_work.dialed
    await dialed.set_mode("preview", preview_seconds=600)
    await dialed.join(0)
    await dialed.turn()
    await dialed.here.phase("contact")
    page, first = await desk_of(at_work), dialed.here.work()
    assert f'data-until="{first["dial_at"]}"' in page and "Dial now" in page
    assert 'name="status" value="not_dialed"' in page and 'value="ExitItem"' not in page
    await dialed.here.ask("SaveWithoutDialing", item=first["item"], status="not_dialed")
    await dialed.turn()
    await dialed.here.phase("contact")
    assert dialed.here.work()["item"] != first["item"] and dialed.here.rung == []


def test_the_switch_of_a_form_without_script_is_a_switch():
    assert as_arguments({"campaign": "3", "blended": "true"}) == {"campaign": "3", "blended": True}


# -- what to expect ------------------------------------------------------------------------------------------


async def simulated(site, **changes) -> str:
    """The page once the simulation has ended."""
    sent = settings(**{"mode": "ratio", "agents": "2", "hours": "1", "simulate": "1"} | changes)
    status, page, _ = await site.boss.post(site.here, sent)
    assert status == 200 and "It is not saved yet." in page, page
    await until(lambda: site.app[JOBS][site.campaign.id].done)
    return (await site.boss.get(site.here))[1]


async def test_a_simulation_says_what_to_expect_and_saves_nothing(site):
    for contact in await people(site.db, 60, first=910000000):
        await put(site.db, site.campaign, contact)
    page = await simulated(site)
    told = page.partition('class="expected-said">')[2].partition("<")[0]
    assert told.startswith("2 agents, 25 % answer: ") and "minutes of talk an hour each" in told
    assert "the list is through on" in told
    assert "There is little history: 0 calls" in page
    assert page.count('class="point point-chosen"') == 1 and page.count('<tr><th scope="row">') == 6
    assert (await now_of(site)).dialing.mode == "manual"


async def test_a_page_that_waits_is_pushed_how_far_the_simulation_is(site):
    async with site.boss.http.ws_connect(site.here + "/feed") as socket:
        assert "It takes some seconds" in json.loads((await socket.receive()).data)["regions"]["simulation"]
        await simulated(site)
        while "<svg viewBox" not in json.loads((await socket.receive()).data)["regions"]["simulation"]:
            pass


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"agents": "0"}, "agents"),
        ({"hours": "25"}, "hours"),
        ({"mode": "manual"}, "mode"),
        ({"ratio": "0.5"}, "ratio"),
    ],
)
async def test_what_cannot_be_simulated_is_said_at_its_field(site, changes, field):
    sent = settings(**{"mode": "ratio", "agents": "2", "hours": "1", "simulate": "1"} | changes)
    status, page, _ = await site.boss.post(site.here, sent)
    assert status == 422 and f'id="n-{field}"' in page
    assert site.app[JOBS] == {}


async def test_preview_is_simulated_too_and_its_countdown_can_be_compared(site):
    page = await simulated(site, mode="preview", preview_seconds="15")
    told = page.partition('class="expected-said">')[2].partition("<")[0]
    assert "0 % abandoned" in told and page.count('<tr><th scope="row">') == 6
    assert "What changes with: Countdown, seconds" in page


def test_the_curve_of_the_answer_rate_has_a_point_for_each_quarter_and_gaps_where_nobody_was_dialed():
    now = datetime.datetime(2026, 11, 18, 15, 0, tzinfo=datetime.UTC)
    told = [(7 * 60, 9, 9), (60, 40, 10), (45, 10, 4), (15, 20, 0)]
    quarters = [Quarter(now - datetime.timedelta(minutes=ago), n, live) for ago, n, live in told]
    drawn = curve(quarters, now)
    assert [point.percent for point in drawn.points] == [25, 40, 0] and drawn.most == 40
    assert [point.y for point in drawn.points] == [22.0, 4.0, 52.0]
    assert [len(line.split()) for line in drawn.lines] == [2, 1]
    assert curve(quarters[:2], now) is None


async def test_the_live_page_draws_the_answer_rate_of_the_last_hours(site):
    [contact] = await people(site.db, 1)
    item = await put(site.db, site.campaign, contact)
    now = datetime.datetime.now(ZONE)
    moments = [now, max(now - datetime.timedelta(minutes=20), now.replace(hour=0, minute=0, second=0))]
    await ensure_month(site.db, now)
    for at in moments:
        await site.db.execute(
            """
            INSERT INTO attempt (campaign_id, generation, item_id, contact_id, attempt_number, number,
                                 started, answered, by_dialer)
            VALUES ($1, 1, $2, $3, 1, '+5511900000000', $4, $4, true)
            """,
            site.campaign.id, item, contact, at,
        )  # fmt: skip
    page = (await site.boss.get(f"/campaigns/{site.campaign.id}/live"))[1]
    quarters = len({at.timestamp() // 900 for at in moments})
    assert ("Answer rate of the last six hours; the top is 100 %" in page) == (quarters > 1)


def test_open_hours_of_a_list_pass_by_day_until_it_is_through():
    hours = {"0": [[540, 720], [780, 900]], "2": [[540, 600]]}  # Monday 9–12 and 13–15, Wednesday 9–10
    monday = datetime.datetime(2026, 11, 16, 11, 0, tzinfo=ZONE)
    assert through_at(hours, monday, 1800).strftime("%a %H:%M") == "Mon 11:30"
    assert through_at(hours, monday, 2 * 3600).strftime("%a %H:%M") == "Mon 14:00"
    assert through_at(hours, monday, 3.5 * 3600).strftime("%a %d %H:%M") == "Wed 18 09:30"
    assert through_at(hours, monday, 4.5 * 3600).strftime("%a %d %H:%M") == "Mon 23 09:30"
    assert through_at({}, monday, 1) is None and through_at(hours, monday, 1e9) is None


async def test_it_dials_in_the_hours_of_campaign_and_destinations_as_long_as_asked(site):
    always = replace(await now_of(site), hours=PRESETS["24h"], respect_destination_window=False)
    assert open_hours(always, 8)["6"] == [[0, 480]]
    respectful = replace(always, respect_destination_window=True)
    assert open_hours(respectful, 8)["0"] == [[540, 1020]] and "6" not in open_hours(respectful, 8)


def forecast(talk, abandoned):
    return Forecast(10, 0.03, talk, abandoned, 0.8, 600, None, None)


def test_a_chart_stands_in_its_field_with_the_limit_on_the_axis_of_abandonment():
    points = [(0.01, forecast(40, 0.5)), (0.03, forecast(50, 2.9)), (0.05, forecast(55, 4.9))]
    drawn = chart("limit", points, 0.03, 3.0, str)
    assert [point.chosen for point in drawn.points] == [False, True, False]
    assert drawn.points[0].x < drawn.points[1].x < drawn.points[2].x
    assert drawn.points[0].talk_y > drawn.points[2].talk_y  # more talk is higher
    assert drawn.points[0].abandoned_y > drawn.limit_y > drawn.points[2].abandoned_y
    assert all(TOP <= y <= BOTTOM for point in drawn.points for y in (point.talk_y, point.abandoned_y))
    one = chart("agents", points[:1], 0.01, 3.0, str)
    assert LEFT < one.points[0].x < RIGHT


# -- who may -------------------------------------------------------------------------------------------------


async def test_supervisors_and_administrators_see_the_pages_and_agents_none(at_work):
    admin, agent = await at_work.reader(Role.ADMINISTRATOR), await at_work.reader(Role.AGENT)
    for path in ("/dialing", at_work.here, at_work.here.replace("live", "dialing")):
        assert (await admin.get(path))[0] == 200, path
        assert (await agent.get(path))[0] == 403, path
    assert (await agent.post(at_work.here, {"do": "pause"}))[0] == 403
    assert (await at_work.boss.post(at_work.here, {"do": "pause"}, csrf="x"))[0] == 403
    for path in ("/campaigns/999/live", "/campaigns/999/dialing"):
        assert (await admin.get(path))[0] == 404


# -- was it heard right --------------------------------------------------------------------------------------


async def test_what_was_heard_stands_beside_what_agents_said_of_it(site):
    assert 'id="detected"' not in (await site.boss.get(site.here))[1]
    now = datetime.datetime.now(datetime.UTC)
    await ensure_month(site.db, now)
    user = await site.db.fetchval("SELECT min(id) FROM user_account WHERE role = 'agent'")
    for kind, situation in (*[("human", "completed")] * 3, ("human", "voicemail"), ("machine", "voicemail")):
        await site.db.execute(
            """
            INSERT INTO attempt (campaign_id, generation, item_id, contact_id, user_id, attempt_number,
                                 number, started, answered, connected, ended, situation, dialed, by_dialer,
                                 detection, detection_ms)
            SELECT campaign_id, generation, id, contact_id, $2, 1, '+5511900000000', $3, $3, $4, $3, $5, true,
                   true, $6, 1240
              FROM list_item WHERE campaign_id = $1 LIMIT 1
            """,
            site.campaign.id, user, now, now if kind == "human" else None, situation, kind,
        )  # fmt: skip
    page = (await site.boss.get(site.here))[1]
    rows = [re.sub(r"<[^>]*>|\s+", " ", row).split() for row in page.split('id="detected"')[1].split("<tr>")]
    assert " ".join(rows[2]) == "A person was heard 4 4 3 1 (25 %) 1.2 s"
    assert rows[3][:8] == "A machine was heard 1 0 0 0".split()
