"""Port 44900 from the wire: login, order, refusals, bounds."""

import asyncio
import ssl
import struct

import pytest

from cti.toolbar.frames import encode

from .conftest import until


async def test_a_login_gives_the_snapshot_and_the_stream(site):
    peer = await site.raw()
    answer = await peer.ask(verb="Login", user="agent1", password="secret")
    assert answer["ok"] is True
    assert answer["stream"] == "stream-of-agent1"
    assert answer["replayed"] is False
    assert answer["snapshot"]["user"]["login"] == "agent1"
    assert answer["seq"] == answer["snapshot"]["seq"] == 0


@pytest.mark.parametrize("verb", ["AnswerCall", "Ping", None, 7])
async def test_nothing_but_login_is_served_before_it(site, verb):
    peer = await site.raw()
    answer = await peer.ask(verb=verb)
    assert answer["error"]["code"] == "not_logged_in"
    assert site.commands.asked == []


async def test_three_wrong_passwords_end_the_connection(site):
    peer = await site.raw()
    for _ in range(3):
        answer = await peer.ask(verb="Login", user="agent1", password="wrong")
        assert (answer["ok"], answer["error"]["code"]) == (False, "wrong_login")
    assert await peer.read() is None
    assert site.floor.desks == {}


async def test_a_wrong_password_is_answered_late(site):
    await site.stop()
    await site.start(login_delay_seconds=0.2)
    peer, clock = await site.raw(), asyncio.get_running_loop()
    began = clock.time()
    await peer.ask(verb="Login", user="agent1", password="wrong")
    assert clock.time() - began >= 0.2


async def test_a_locked_user_is_told_so(site):
    site.users.failures = site.users.failures_max
    peer = await site.raw()
    answer = await peer.ask(verb="Login", user="agent1", password="secret")
    assert answer["error"]["code"] == "locked"


async def test_a_login_without_a_password_is_refused(site):
    peer = await site.raw()
    assert (await peer.ask(verb="Login", user="agent1"))["error"]["code"] == "bad_argument"
    assert (await peer.ask(verb="Login", user="agent1", password=7))["error"]["code"] == "bad_argument"


@pytest.mark.parametrize(
    ("fault", "code"), [(OSError("the database is away"), "database"), (KeyError("a bug"), "internal")]
)
async def test_a_fault_while_logging_in_is_not_the_clients_end(site, fault, code):
    async def broken(login, password):
        raise fault

    site.server.verify, verify = broken, site.server.verify
    peer = await site.raw()
    assert (await peer.ask(verb="Login", user="agent1", password="secret"))["error"]["code"] == code
    site.server.verify = verify
    assert (await peer.ask(verb="Login", user="agent1", password="secret"))["ok"]


async def test_a_desk_that_cannot_be_shown_is_not_kept_as_a_screen(site):
    peer = await site.raw()
    site.desk().pauses, pauses = None, site.desk().pauses
    assert (await peer.ask(verb="Login", user="agent1", password="secret"))["error"]["code"] == "internal"
    assert site.desk().screens == []
    site.desk().pauses = pauses
    assert (await peer.ask(verb="Login", user="agent1", password="secret"))["ok"]


async def test_a_verb_is_carried_out_and_its_event_comes(site):
    peer = await site.raw("agent1")
    number = peer.send(verb="SetAgentState", state="ready")
    event, answer = await peer.read(), await peer.read()
    assert (event["event"], event["seq"], "id" in event) == ("AgentReady", 1, False)
    assert answer == {"id": number, "ok": True}
    assert site.commands.asked == [("agent1", "SetAgentState", {"state": "ready"})]


async def test_requests_are_served_in_their_order_one_at_a_time(site):
    peer = await site.raw("agent1")
    site.commands.gate.clear()
    numbers = [peer.send(verb="SetAgentState", state="ready") for _ in range(40)]
    await until(lambda: site.commands.asked)
    assert len(site.commands.asked) == 1
    site.commands.gate.set()
    answers = [message for _ in range(80) if "id" in (message := await peer.read())]
    assert [answer["id"] for answer in answers] == numbers


async def test_one_clients_slow_verb_does_not_keep_another_waiting(site):
    slow, quick = await site.raw("agent1"), await site.raw("agent2")
    site.commands.gate.clear()
    slow.send(verb="SetAgentState", state="ready")
    await until(lambda: site.commands.asked)
    assert (await quick.ask(verb="Ping"))["ok"]
    site.commands.gate.set()


async def test_a_refusal_carries_its_code_its_words_and_its_details(site):
    peer = await site.raw("agent1")
    answer = await peer.ask(verb="SaveTabulation", call="c", answers={})
    assert answer["error"] == {
        "code": "form",
        "message": "Some answers are missing.",
        "details": {"errors": {"motive": "required"}},
    }


async def test_unknown_verbs_and_requests_without_verb_are_refused(site):
    peer = await site.raw("agent1")
    assert (await peer.ask(verb="Dance"))["error"]["code"] == "unknown_verb"
    assert (await peer.ask(hello=1))["error"]["code"] == "bad_argument"
    assert (await peer.ask(verb="Login", user="agent1", password="secret"))["error"]["code"] == "wrong_state"
    assert (await peer.ask(verb="Ping"))["ok"]


async def test_a_fault_in_a_verb_ends_the_verb_and_not_the_connection(site, caplog):
    peer = await site.raw("agent1")
    assert (await peer.ask(verb="HoldCall"))["error"]["code"] == "internal"
    assert "HoldCall" in caplog.text
    assert (await peer.ask(verb="Ping"))["ok"]


async def test_every_screen_of_a_desk_gets_the_same_events(site):
    one, two, other = await site.raw("agent1"), await site.raw("agent1"), await site.raw("agent2")
    site.desk().show("Held", call={"id": "c"})
    assert await one.read() == await two.read()
    site.desk("agent2").show("Retrieved", call={"id": "d"})
    assert (await other.read())["event"] == "Retrieved"


async def test_a_client_naming_the_last_event_it_saw_gets_what_it_missed_after_the_answer(site):
    first = await site.raw("agent1")
    site.desk().show("Held", call={"id": "c"})
    assert (await first.read())["seq"] == 1
    first.close()
    await until(lambda: not site.desk().screens)
    for _ in range(200):  # more than may wait for a slow reader
        site.desk().show("Retrieved", call={"id": "c"})
    again = await site.raw()
    answer = await again.ask(
        verb="Login", user="agent1", password="secret", stream="stream-of-agent1", last_event=1
    )
    assert (answer["replayed"], answer["seq"]) == (True, 201)
    assert [(await again.read())["seq"] for _ in range(200)] == list(range(2, 202))
    site.desk().show("Held", call={"id": "c"})
    assert (await again.read())["seq"] == 202


@pytest.mark.parametrize(
    ("stream", "last"), [("another", 0), ("stream-of-agent1", 99), (None, None), (1, "x")]
)
async def test_a_client_of_another_stream_starts_from_the_snapshot(site, stream, last):
    site.desk().show("Held", call={"id": "c"})
    peer = await site.raw()
    answer = await peer.ask(verb="Login", user="agent1", password="secret", stream=stream, last_event=last)
    assert (answer["ok"], answer["replayed"], answer["seq"]) == (True, False, 1)
    assert (await peer.ask(verb="Ping"))["ok"]


@pytest.mark.parametrize(
    "garbage",
    [b"\x00\x00\x00\x03abc", struct.pack(">I", 65_537), b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x00"],
    ids=["not msgpack", "too long", "another protocol", "empty"],
)
@pytest.mark.parametrize("login", ["agent1", None])
async def test_a_malformed_frame_gets_an_error_and_a_closed_connection(site, garbage, login):
    peer = await site.raw(login)
    peer.writer.write(garbage)
    answer = await peer.read()
    assert (answer["id"], answer["ok"], answer["error"]["code"]) == (None, False, "bad_frame")
    assert await peer.read() is None
    await until(lambda: not site.server.connections)


async def test_what_came_before_the_malformed_frame_is_served(site):
    peer = await site.raw("agent1")
    peer.writer.write(encode({"id": 5, "verb": "Ping"}) + b"\x00\x00\x00\x01\xc1")
    assert (await peer.read())["id"] == 5
    assert (await peer.read())["error"]["code"] == "bad_frame"


async def test_a_slow_reader_is_dropped_and_the_others_are_served(site):
    slow, quick = await site.raw("agent1"), await site.raw("agent1")
    slow.reader._transport.pause_reading()  # this client does not read any more
    seen = 0
    while site.server.dropped_slow == 0:
        site.desk().show("DirectoryChanged", directory=["x" * 1000] * 50)
        seen += 1
        assert (await quick.read())["seq"] == seen
        assert all(connection._outbox_bytes < 2**20 for connection in site.server.connections)
    await until(lambda: len(site.server.connections) == 1)
    assert len(site.desk().screens) == 1


async def test_a_client_that_sends_without_reading_answers_is_dropped(site):
    peer = await site.raw("agent1")
    peer.reader._transport.pause_reading()
    flood = encode({"id": "i" * 2000, "verb": "Ping"}) * 200
    while site.server.dropped_slow == 0:
        peer.writer.write(flood)
        try:
            await peer.writer.drain()
        except ConnectionError:
            break
        await asyncio.sleep(0)
    await until(lambda: site.server.dropped_slow == 1 and not site.server.connections)


async def test_a_flood_of_requests_is_not_read_faster_than_it_is_served(site):
    peer = await site.raw("agent1")
    site.commands.gate.clear()
    peer.send(verb="SetAgentState", state="ready")
    await until(lambda: site.commands.asked)
    (connection,) = site.server.connections
    peer.writer.write(encode({"id": 0, "verb": "Ping", "ballast": "x" * 50_000}) * 100)
    await until(lambda: not connection._reading)
    assert connection._decoder.held < 2**20
    site.commands.gate.set()
    answers = [message for _ in range(102) if "id" in (message := await peer.read())]
    assert len(answers) == 101


async def test_a_silent_client_is_let_go(site):
    await site.stop()
    await site.start(idle_seconds=0.1)
    peer = await site.raw("agent1")
    assert (await peer.read())["error"]["code"] == "idle"
    assert await peer.read() is None
    await until(lambda: not site.desk().screens)


async def test_connections_have_a_bound(site):
    await site.stop()
    await site.start(connections_max=2)
    first, _second, third = [await site.raw() for _ in range(3)]
    assert (await third.read())["error"]["code"] == "full"
    assert await third.read() is None
    first.close()
    await until(lambda: len(site.server.connections) == 1)
    assert await site.raw("agent1")


async def test_those_of_one_host_who_do_not_log_in_have_a_bound_and_keep_nobody_out_who_does(site, caplog):
    await site.stop()
    await site.start(strangers_of_host_max=2)
    agents = [await site.raw("agent1") for _ in range(3)]  # they count no more once they are known
    first, _second, third = [await site.raw() for _ in range(3)]
    assert (await third.read())["error"]["code"] == "full"
    assert await third.read() is None
    assert "2 from its host have not logged in" in caplog.text
    first.close()
    await until(lambda: len(site.server.connections) == 4)
    agents.append(await site.raw("agent1"))
    for agent in agents:
        agent.close()
    await until(lambda: len(site.server.connections) == 1)
    assert site.server._strangers == {"127.0.0.1": 1}


async def test_a_stranger_sends_no_long_frames_and_an_agent_may(site):
    stranger, agent = await site.raw(), await site.raw("agent1")
    assert (await agent.ask(verb="Ping", ballast="x" * 50_000))["ok"]
    stranger.send(verb="Login", user="agent1", password="x" * 50_000)
    assert (await stranger.read())["error"]["code"] == "bad_frame"
    assert await stranger.read() is None


async def test_half_a_frame_is_waited_for_as_long_as_silence_however_slowly_it_comes(site):
    await site.stop()
    await site.start(idle_seconds=0.3)
    peer = await site.raw("agent1")
    peer.writer.write(struct.pack(">I", 60_000))

    async def dribble():
        while True:
            peer.writer.write(b"x")
            await asyncio.sleep(0.01)

    dribbling = asyncio.create_task(dribble())
    assert (await peer.read())["error"]["code"] == "idle"
    dribbling.cancel()
    await until(lambda: not site.server.connections)


async def test_logout_is_answered_and_ends_the_connection(site):
    peer = await site.raw("agent1")
    assert (await peer.ask(verb="Logout"))["ok"]
    assert await peer.read() is None


async def test_a_dismissed_user_loses_every_connection(site):
    one, two, other = await site.raw("agent1"), await site.raw("agent1"), await site.raw("agent2")
    for screen in list(site.desk("agent1").screens):
        screen.dismiss()
    for peer in (one, two):
        assert (await peer.read())["error"]["code"] == "dismissed"
        assert await peer.read() is None
    assert (await other.ask(verb="Ping"))["ok"]


async def test_a_supervisor_watches_the_wall_and_is_not_flooded(site):
    peer = await site.raw("supervisor")
    assert (await peer.ask(verb="Watch", on=True))["wall"]["queues"][0]["answered"] == 0
    for _ in range(500):
        site.floor.change()
    event = await peer.read()
    assert (event["event"], "seq" in event) == ("WallChanged", False)
    assert event["wall"]["queues"][0]["answered"] == 500  # one picture, the newest
    assert (await peer.ask(verb="Watch", on=False))["ok"]
    assert site.floor.watchers == []


async def test_an_agent_may_not_watch_the_wall(site):
    peer = await site.raw("agent1")
    assert (await peer.ask(verb="Watch", on=True))["error"]["code"] == "not_allowed"


async def test_nobody_watches_once_the_last_watcher_is_gone(site):
    peer = await site.raw("supervisor")
    await peer.ask(verb="Watch")
    assert len(site.floor.watchers) == 1
    peer.close()
    await until(lambda: site.floor.watchers == [])


async def test_closing_lets_the_verb_under_way_finish(site):
    peer = await site.raw("agent1")
    site.commands.gate.clear()
    peer.send(verb="SetAgentState", state="ready")
    await until(lambda: site.commands.asked)
    closing = asyncio.create_task(site.server.close())
    await asyncio.sleep(0)
    site.commands.gate.set()
    await closing
    assert site.desk().seq == 1
    assert site.desk().screens == []


async def test_tls_is_spoken_when_a_certificate_is_given(site, tmp_path):
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    await site.stop()
    await site.start(tls=context)
    from cti.toolbar.client import ToolbarClient

    async with ToolbarClient(
        "127.0.0.1", site.port, tls=ssl.create_default_context(cafile=str(certificate))
    ) as client:
        await client.connect("agent1", "secret")
        assert await client.request("Ping") == {"id": 1, "ok": True}
    plain = await site.raw()
    plain.send(verb="Login", user="agent1", password="secret")
    assert await plain.read() is None


def make_certificate(folder):
    """A key and a certificate for 127.0.0.1 that signs itself, in one PEM file."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
