"""The client: requests, events, and what a lost connection does to them."""

import asyncio

import pytest

from cti.toolbar.client import ConnectionLost, RequestRefused, ToolbarClient, applied

from .conftest import until


def cut(site):
    """The network goes away under every connection."""
    for connection in list(site.server.connections):
        connection._transport.abort()


async def collect(client, count):
    events = []
    async for event in client.events():
        events.append(event)
        if len(events) == count:
            return events


async def test_a_request_gets_its_result_and_its_event(site, client):
    snapshot = await client.connect("agent1", "secret")
    assert snapshot["agent"]["state"] == "not_ready"
    await client.request("SetAgentState", state="ready")
    (event,) = await collect(client, 1)
    assert event["event"] == "AgentReady"
    assert client.snapshot["agent"]["state"] == "ready"


async def test_a_refusal_is_raised_with_its_code_and_details(site, client):
    await client.connect("agent1", "secret")
    with pytest.raises(RequestRefused, match="missing") as refused:
        await client.request("SaveTabulation", call="c", answers={})
    assert (refused.value.code, refused.value.details) == ("form", {"errors": {"motive": "required"}})


async def test_a_wrong_password_is_raised_by_connect(site, client):
    with pytest.raises(RequestRefused) as refused:
        await client.connect("agent1", "wrong")
    assert refused.value.code == "wrong_login"


async def test_nobody_listening_is_raised_by_connect(site):
    await site.stop()
    with pytest.raises(OSError):
        await ToolbarClient("127.0.0.1", site.port).connect("agent1", "secret")


async def test_requests_made_together_each_get_their_own_answer(site, client):
    await client.connect("agent1", "secret")
    answers = await asyncio.gather(
        *(client.request("SnapshotDevice") for _ in range(20)), *(client.request("Ping") for _ in range(20))
    )
    assert ["snapshot" in answer for answer in answers] == [True] * 20 + [False] * 20


async def test_a_lost_connection_is_made_again_and_nothing_is_missed(site, client):
    await client.connect("agent1", "secret")
    desk = site.desk()
    desk.show("Held", call={"id": "c", "state": "held"})
    await until(lambda: client.last_event == 1)
    cut(site)
    await until(lambda: not desk.screens)
    desk.show("Retrieved", call={"id": "c", "state": "connected"})
    desk.show("ConnectionCleared", call={"id": "c", "state": "ended"}, cause="normal")
    await until(lambda: client.connected and client.last_event == 3)
    desk.show("AgentReady", agent={"state": "ready"})
    events = await collect(client, 4)
    assert [event["seq"] for event in events] == [1, 2, 3, 4]
    assert client.resynchronised is False
    assert client.snapshot["agent"]["state"] == "ready"


async def test_connections_lost_again_and_again_still_miss_nothing(site, client):
    await client.connect("agent1", "secret")
    collecting = asyncio.create_task(collect(client, 200))
    for number in range(200):
        site.desk().show("Held", call={"id": str(number)})
        if number % 20 == 0:
            await until(lambda: client.connected)
            cut(site)
    assert [event["seq"] for event in await collecting] == list(range(1, 201))


async def test_a_client_away_for_too_long_is_told_to_start_from_the_snapshot(site, client):
    await client.connect("agent1", "secret")
    desk = site.desk()
    desk.kept = 5
    cut(site)
    await until(lambda: not desk.screens)
    for _ in range(9):
        desk.show("Held", call={"id": "c"})
    (event,) = await collect(client, 1)
    assert event["event"] == "Resynchronised"
    assert event["snapshot"]["seq"] == 9
    assert client.resynchronised is True
    desk.show("Held", call={"id": "c"})
    (event,) = await collect(client, 1)
    assert event["seq"] == 10


async def test_a_server_started_anew_has_another_stream_and_the_client_starts_from_its_snapshot(site, client):
    await client.connect("agent1", "secret")
    site.desk().show("Held", call={"id": "c"})
    await until(lambda: client.last_event == 1)
    await site.stop()
    await until(lambda: not client.connected)
    site.floor.desks.clear()
    site.desk().stream = "a new one"
    await site.start()
    events = await collect(client, 2)
    assert [event["event"] for event in events] == ["Held", "Resynchronised"]
    assert client.stream == "a new one"


async def test_a_request_under_way_when_the_connection_goes_is_told_so(site, client):
    await client.connect("agent1", "secret")
    site.commands.gate.clear()
    asking = asyncio.create_task(client.request("SetAgentState", state="ready"))
    await until(lambda: site.commands.asked)
    cut(site)
    with pytest.raises(ConnectionLost):
        await asking
    site.commands.gate.set()


async def test_a_request_made_without_a_connection_waits_for_one(site, client):
    await client.connect("agent1", "secret")
    await site.stop()
    await until(lambda: not client.connected)
    asking = asyncio.create_task(client.request("Ping"))
    await site.start()
    assert (await asking)["ok"]


async def test_a_password_changed_meanwhile_ends_the_events_with_the_refusal(site, client):
    await client.connect("agent1", "secret")
    site.users.known.pop("agent1")
    cut(site)
    with pytest.raises(RequestRefused) as refused:
        await collect(client, 1)
    assert refused.value.code == "wrong_login"
    with pytest.raises(ConnectionLost):
        await client.request("Ping")


async def test_closing_ends_the_events_and_the_waiting_requests(site, client):
    await client.connect("agent1", "secret")
    collecting = asyncio.create_task(collect(client, 1))
    await asyncio.sleep(0)
    await client.close()
    assert await collecting is None
    await until(lambda: not site.desk().screens)


async def test_a_reader_who_falls_far_behind_starts_from_the_snapshot(site):
    async with ToolbarClient("127.0.0.1", site.port, events_kept=10) as client:
        await client.connect("agent1", "secret")
        for _ in range(11):
            site.desk().show("Held", call={"id": "c"})
        await until(lambda: client.last_event == 11)
        (event,) = await collect(client, 1)
        assert event["event"] == "Resynchronised"
        assert event["snapshot"]["seq"] == 11


async def test_a_client_pings_so_that_it_is_not_let_go(site):
    await site.stop()
    await site.start(idle_seconds=0.5)
    async with ToolbarClient("127.0.0.1", site.port, ping_seconds=0.02) as client:
        await client.connect("agent1", "secret")
        (before,) = site.server.connections
        await until(lambda: client._next_id > 60)  # twice as long as a silent client would be given
        assert site.server.connections == {before}


async def test_a_supervisor_gets_the_wall_among_the_events(site, client):
    await client.connect("supervisor", "secret")
    assert (await client.request("Watch", on=True))["wall"]
    site.floor.change()
    (event,) = await collect(client, 1)
    assert event["event"] == "WallChanged"


CALL = {"id": "c", "state": "connected"}
FORM = {"call": "c", "status": "open", "answers": {}}


@pytest.mark.parametrize(
    ("before", "event", "after"),
    [
        ({}, {"event": "Delivered", "call": CALL, "customer": {"state": "searching"}}, {"call": CALL}),
        ({"call": CALL}, {"event": "AgentReady", "agent": {}}, {"call": None, "customer": None}),
        ({"call": CALL, "form": FORM}, {"event": "AgentReady", "agent": {}}, {"call": None, "form": None}),
        ({"form": FORM}, {"event": "AgentReady", "agent": {}}, {"form": FORM}),
        ({"call": CALL, "form": FORM}, {"event": "AgentBusy", "agent": {}}, {"call": CALL, "form": FORM}),
        (
            {"call": CALL, "form": FORM},
            {"event": "FormSaved", "call": "c"},
            {"call": CALL, "form": FORM | {"status": "saved"}},
        ),
        ({"form": FORM}, {"event": "FormSaved", "call": "c"}, {"call": None, "form": None}),
        ({"form": FORM}, {"event": "FormSaved", "call": "d"}, {"form": FORM}),
        (
            {"directory": [{"extension": "1001", "state": "ready"}, {"extension": "1002", "state": "busy"}]},
            {"event": "DirectoryChanged", "directory": [{"extension": "1002", "state": "ready"}]},
            {"directory": [{"extension": "1001", "state": "ready"}, {"extension": "1002", "state": "ready"}]},
        ),
        ({"call": CALL}, {"event": "SomethingNew", "unheard": 1}, {"call": CALL}),
    ],
)
def test_an_event_changes_the_snapshot_by_the_documented_rules(before, event, after):
    snapshot = {"seq": 1, "call": None, "customer": None, "form": None} | before
    changed = applied(snapshot, event | {"seq": 2})
    assert {part: changed[part] for part in after} == after
    assert changed["seq"] == 2
    assert "unheard" not in changed
