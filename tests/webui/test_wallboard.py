import asyncio
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import aiohttp
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from config import Settings
from crm.users import Role
from tests.fakes.wall import FakeWall, agent, ago, busy_floor, queue
from tests.waiting import until
from tests.webui.site import serving
from webui.wallboard.chart import STEPS, chart
from webui.wallboard.difference import difference
from webui.wallboard.feed import BEAT, MESSAGES_QUEUED_MAX, WallFeed, Watcher

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
EMPTY = {"now": "t0", "queues": [], "agents": [], "waiting": []}


# -- what changed --------------------------------------------------------------------------------------------


def test_a_picture_that_looks_the_same_says_nothing():
    assert difference({**EMPTY, "now": "t0"}, {**EMPTY, "now": "t1"}) is None


def test_only_the_rows_that_changed_are_said():
    ana, bruno = agent(1, "Ana", since="t"), agent(2, "Bruno", since="t")
    change = difference(
        {**EMPTY, "agents": [ana, bruno]}, {**EMPTY, "agents": [ana, {**bruno, "state": "busy"}]}
    )
    assert change == {"kind": "change", "now": "t0", "agents": [{**bruno, "state": "busy"}]}


def test_who_left_is_said():
    change = difference({**EMPTY, "agents": [agent(1, "Ana")]}, EMPTY)
    assert change == {"kind": "change", "now": "t0", "agents_gone": [1]}


rows = st.dictionaries(st.integers(0, 5), st.integers(0, 3)).map(
    lambda facts: [{"id": id, "name": f"n{id}", "fact": fact} for id, fact in facts.items()]
)
walls = st.builds(
    lambda agents, queues, waiting: {"now": "t", "agents": agents, "queues": queues, "waiting": waiting},
    rows, rows, st.lists(st.integers(), max_size=3),
)  # fmt: skip


@given(walls, walls)
def test_a_change_applied_to_the_old_picture_gives_the_new_one(before, after):
    change = difference(before, after) or {}
    for kind, key in (("agents", "id"), ("queues", "name")):
        table = {row[key]: row for row in before[kind]} | {row[key]: row for row in change.get(kind, [])}
        for gone in change.get(f"{kind}_gone", []):
            del table[gone]
        assert table == {row[key]: row for row in after[kind]}
    assert change.get("waiting", before["waiting"]) == after["waiting"]


# -- the chart -----------------------------------------------------------------------------------------------


def test_the_running_quarter_hour_is_counted_but_not_drawn():
    now = datetime(2026, 11, 20, 10, 7, tzinfo=SAO_PAULO)
    rows = [(now.replace(minute=0), 5, 4, 1), (now.replace(hour=9, minute=45), 7, 7, 0)]
    drawn = chart(rows, [], now, SAO_PAULO)
    assert drawn["steps"] == 40
    assert drawn["today"]["offered"][39:42] == [7, None, None]
    assert drawn["sums"]["today"] == {"offered": 12, "answered": 11, "abandoned": 1}


def test_last_weeks_day_is_drawn_to_its_end_and_summed_to_the_same_time():
    now = datetime(2026, 11, 20, 10, 7, tzinfo=SAO_PAULO)
    then = now - timedelta(days=7)
    rows = [(then.replace(hour=9, minute=0), 3, 3, 0), (then.replace(hour=15, minute=0), 8, 6, 2)]
    drawn = chart([], rows, now, SAO_PAULO)
    assert drawn["last_week"]["offered"][60] == 8 and len(drawn["last_week"]["offered"]) == STEPS
    assert drawn["sums"]["last_week"]["offered"] == 3


def test_a_call_is_drawn_at_the_centres_own_time_of_day():
    rows = [(datetime(2026, 11, 20, 2, 15, tzinfo=UTC), 1, 1, 0)]  # 23:15 of the day before in São Paulo
    drawn = chart(rows, [], datetime(2026, 11, 19, 23, 50, tzinfo=SAO_PAULO), SAO_PAULO)
    assert drawn["today"]["offered"][23 * 4 + 1] == 1


# -- the feed ------------------------------------------------------------------------------------------------


async def test_a_watcher_who_does_not_read_keeps_a_bounded_queue_and_then_gets_the_whole_picture():
    watcher = Watcher(lambda: ["whole"])
    for number in range(1000):
        watcher.put(str(number))
        assert len(watcher._texts) <= MESSAGES_QUEUED_MAX
    assert watcher.dropped > 0
    assert "whole" in watcher._texts


async def test_a_watcher_hears_a_beat_when_nothing_changes():
    watcher = Watcher(lambda: [])
    assert await anext(watcher.texts(seconds_silent_max=0.01)) == BEAT


async def no_chart() -> dict:
    return {}


@pytest_asyncio.fixture
async def feed():
    floor = FakeWall()
    feed = WallFeed(floor, "en", no_chart)
    feed.floor = floor
    running = asyncio.create_task(feed.run())
    await until(lambda: floor.watchers)
    yield feed
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def next_of(texts, kind: str) -> dict:
    async for text in texts:
        if json.loads(text)["kind"] == kind:
            return json.loads(text)
    raise AssertionError(f"the stream ended before a {kind}")


async def test_a_watcher_sees_the_picture_first_and_then_what_changes(feed):
    texts = feed.join().texts()
    assert (await next_of(texts, "wall"))["queues"] == []
    feed.floor.change(queues=[queue("sales", "Sales", waiting=2)])
    assert (await next_of(texts, "change"))["queues"][0]["waiting"] == 2


async def test_a_storm_of_changes_becomes_few_messages_and_the_last_one_is_true(feed):
    watcher = feed.join()
    texts = watcher.texts()
    await next_of(texts, "wall")
    taken = feed.floor.pictures_taken
    for number in range(1, 1001):
        feed.floor.change(queues=[queue("sales", "Sales", waiting=number)])
        await asyncio.sleep(0)
    seen = []
    while not seen or seen[-1] != 1000:
        seen.append((await next_of(texts, "change"))["queues"][0]["waiting"])
    assert len(seen) <= 3
    assert feed.floor.pictures_taken - taken <= 4


async def test_nobody_watching_costs_nothing(feed):
    taken = feed.floor.pictures_taken
    for number in range(100):
        feed.floor.change(queues=[queue("sales", "Sales", waiting=number)])
        await asyncio.sleep(0)
    assert feed.floor.pictures_taken == taken


async def test_the_wall_goes_on_while_the_records_cannot_be_reached():
    async def away() -> dict:
        raise ConnectionRefusedError("no database")

    floor = FakeWall()
    feed = WallFeed(floor, "en", away)
    running = asyncio.create_task(feed.run())
    texts = feed.join().texts()
    assert await next_of(texts, "chart_away")
    floor.change(waiting=[{"display": "1", "queue": "sales", "since": ago(1)}])
    assert (await next_of(texts, "change"))["waiting"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_end_of_the_feed_ends_its_watchers():
    floor = FakeWall()
    feed = WallFeed(floor, "en", no_chart)
    running = asyncio.create_task(feed.run())
    await until(lambda: floor.watchers)
    texts = feed.join().texts()
    await next_of(texts, "wall")
    running.cancel()
    assert [text async for text in texts if json.loads(text)["kind"] == "wall"] == []
    await asyncio.gather(running, return_exceptions=True)
    assert not floor.watchers


# -- the page ------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def site(db, tmp_path):
    floor = FakeWall()
    floor.picture = busy_floor()
    async with serving(db, floor, Settings(data=tmp_path)) as site:
        yield site


async def test_a_supervisor_sees_queues_agents_and_whom_they_talk_to(site):
    reader = await site.reader(Role.SUPERVISOR)
    status, page = await reader.get("/wallboard")
    assert status == 200
    for words in ("Vendas", "Ana Beatriz Souza", "Mariana Alves", "(11) 91234-5678", "Almoço"):
        assert words in page


async def test_the_wall_is_drawn_in_the_readers_language(site):
    reader = await site.reader(Role.SUPERVISOR, language="pt_BR")
    assert "Em atendimento" in (await reader.get("/wallboard"))[1]


async def test_an_agent_is_told_which_right_is_missing(site):
    reader = await site.reader(Role.AGENT)
    status, page = await reader.get("/wallboard")
    assert status == 403
    assert "watch the wallboard" in page


async def test_a_queueless_floor_says_so(site):
    site.floor.picture = {"queues": [], "agents": [], "waiting": []}
    page = (await (await site.reader(Role.SUPERVISOR)).get("/wallboard"))[1]
    assert "There is no queue yet." in page and "Nobody is waiting." in page


async def test_the_socket_pushes_the_picture_the_chart_and_every_change(site):
    reader = await site.reader(Role.SUPERVISOR)
    async with reader.http.ws_connect("/wall/live") as socket:
        kinds = {}
        while {"wall", "chart"} - kinds.keys():
            message = await socket.receive_json()
            kinds[message["kind"]] = message
        assert kinds["wall"]["agents"][0]["name"] == "Ana Beatriz Souza"
        assert len(kinds["chart"]["today"]["offered"]) == STEPS
        site.floor.change(waiting=[])
        assert (await socket.receive_json())["waiting"] == []


@pytest.mark.parametrize(
    "role, headers, status",
    [
        (Role.AGENT, {}, 403),
        (Role.SUPERVISOR, {"Origin": "http://elsewhere.example"}, 403),
        (Role.SUPERVISOR, {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_the_socket_opens_only_to_those_with_the_right_from_our_own_page(site, role, headers, status):
    reader = await site.reader(role)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await reader.http.ws_connect("/wall/live", headers=headers)
    assert refused.value.status == status


async def test_leaving_the_page_leaves_nothing_behind(site):
    reader = await site.reader(Role.SUPERVISOR)
    async with reader.http.ws_connect("/wall/live") as socket:
        await socket.receive_json()
    before = site.floor.pictures_taken
    site.floor.change(waiting=[])
    await until(lambda: not any(watching(site)))
    assert site.floor.pictures_taken - before <= 1


def watching(site) -> list[int]:
    from webui.wallboard.pages import FEEDS

    return [len(feed._watchers) for feed in site.app[FEEDS].values()]
