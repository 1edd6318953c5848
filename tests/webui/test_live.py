import asyncio
import json

import aiohttp
import pytest

from tests.fakes import floor as fake
from tests.waiting import until
from tests.webui.desks import person, serving
from webui import live


@pytest.fixture
async def site(db, tmp_path):
    async with serving(db, tmp_path) as site:
        yield site


@pytest.fixture
async def line(site):
    browser = await site.browser("ana")
    async with browser.live() as line:
        yield line


async def ready(site, line):
    site.floor.phones.phones_on.add(site.agent.extension)
    await line.ask("Attach")
    await line.ask("SetStation", kind="softphone", extension=site.agent.extension)
    assert (await line.ask("SetAgentState", state="ready"))["ok"]


async def test_attaching_gives_the_whole_page_as_it_is(site, line):
    answer = await line.ask("Attach")
    assert answer["ok"] and not answer["replayed"]
    assert answer["snapshot"]["agent"]["state"] == "logged_off"
    assert set(answer["regions"]) == set(live.REGIONS)


async def test_a_call_pops_with_the_regions_it_changed_and_no_others(site, line):
    await ready(site, line)
    call = fake.ring(site.floor, site.agent)
    event = await line.event("Delivered")
    assert event["call"]["number"] == "+5511987654321"
    while "call" not in event.get("regions", {}):
        event = json.loads((await line.socket.receive()).data)
    assert call.id in event["regions"]["call"] and "(11) 98765-4321" in event["regions"]["call"]
    assert "pending" not in event["regions"]


async def test_a_page_that_comes_back_gets_what_it_missed(site):
    browser = await site.browser("ana")
    async with browser.live() as line:
        await ready(site, line)
        seen = (await line.ask("Attach"))["seq"]
        stream = (await line.ask("SnapshotDevice"))["snapshot"]["stream"]
    await until(lambda: not site.floor.desk(site.agent).screens)
    fake.ring(site.floor, site.agent)
    async with browser.live() as line:
        answer = await line.ask("Attach", stream=stream, last_event=seen)
        assert answer["replayed"] and answer["snapshot"]["call"]["state"] == "ringing"
        assert (await line.event("Delivered"))["seq"] > seen


async def test_a_page_of_an_earlier_server_starts_from_the_snapshot(line):
    answer = await line.ask("Attach", stream="of another start", last_event=7)
    assert answer["ok"] and not answer["replayed"]


async def test_a_refusal_comes_in_the_readers_language_with_its_code(site):
    await person(site.db, "rita", language="pt_BR")
    site.floor.reload(site.floor.centre)
    async with (await site.browser("rita")).live() as line:
        error = (await line.ask("HoldCall"))["error"]
    assert error["code"] == "wrong_state"
    assert error["message"] == "Não há ligação na sua mesa."


async def test_an_unknown_verb_is_refused_and_the_line_stays(line):
    assert (await line.ask("Dance"))["error"]["code"] == "unknown_verb"
    assert (await line.ask("Ping"))["ok"]


@pytest.mark.parametrize("frame", ["no json", "[]", '{"id": 1}', '{"id": 1, "verb": 7}'])
async def test_what_is_no_request_closes_the_connection(line, frame):
    await line.socket.send_str(frame)
    while (await line.socket.receive()).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
        pass
    assert line.socket.close_code == 1007


async def test_a_frame_beyond_the_bound_closes_the_connection(site, line):
    await line.socket.send_str(json.dumps({"id": 1, "verb": "Ping", "x": "x" * 300_000}))
    while (await line.socket.receive()).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
        pass
    assert line.socket.close_code == 1009


async def test_a_form_with_missing_answers_says_which_and_keeps_what_was_typed(site, line):
    await ready(site, line)
    call = fake.ring(site.floor, site.agent)
    fake.connect(site.floor, site.agent, call)
    answer = await line.ask("SaveTabulation", call=call.id, answers={"notes": "quer 40 caixas"})
    assert answer["error"]["code"] == "form"
    assert answer["error"]["details"]["errors"] == {
        "category": "This has to be filled in.",
        "motive": "This has to be filled in.",
    }
    assert site.floor.desk(site.agent).snapshot()["form"]["answers"]["notes"] == "quer 40 caixas"


async def test_what_is_typed_in_one_window_reaches_the_other(site):
    browser = await site.browser("ana")
    async with browser.live() as one, browser.live() as two:
        await ready(site, one)
        await two.ask("Attach")
        call = fake.ring(site.floor, site.agent)
        fake.connect(site.floor, site.agent, call)
        await one.ask("DraftTabulation", call=call.id, answers={"notes": "abc"})
        assert (await two.event("FormDrafted"))["form"]["answers"] == {"notes": "abc"}


async def test_a_question_to_a_slow_database_does_not_hold_up_other_requests(site, line):
    gate = asyncio.Event()
    perform = site.application[live.PERFORM]

    async def slow(floor, desk, verb, arguments):
        if verb == "SearchContacts":
            await gate.wait()
            return {"contacts": []}
        return await perform(floor, desk, verb, arguments)

    site.application._state[live.PERFORM] = slow
    await line.socket.send_json({"id": 100, "verb": "SearchContacts", "text": "x"})
    assert (await line.ask("SnapshotDevice"))["ok"]
    gate.set()
    while json.loads((await line.socket.receive()).data).get("id") != 100:
        pass


async def test_a_page_too_slow_for_its_events_is_dropped_not_buffered(db, tmp_path):
    async with serving(db, tmp_path, toolbar_outbox_max=10) as site:
        browser = await site.browser("ana")
        async with browser.live() as line:
            await line.ask("Attach")
            desk = site.floor.desk(site.agent)
            for n in range(11):
                desk.show("MuteChanged", n=n)
            while (await line.socket.receive()).type not in (
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSED,
            ):
                pass
            assert line.socket.close_code == 1013


async def test_a_closed_page_is_no_longer_a_screen_of_the_desk(site):
    browser = await site.browser("ana")
    desk = site.floor.desk(site.agent)
    async with browser.live() as line:
        await line.ask("Attach")
        assert len(desk.screens) == 1
    await until(lambda: not desk.screens)


async def test_a_session_that_ended_elsewhere_closes_the_page(site, line):
    await line.ask("Attach")
    await site.db.execute("DELETE FROM session")
    site.db.remembered.clear()
    page = next(iter(site.floor.desk(site.agent).screens))
    page._looked -= live.SESSION_SECONDS + 1
    await line.socket.send_json({"id": 9, "verb": "Ping"})
    while (await line.socket.receive()).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
        pass
    assert line.socket.close_code == 4401
