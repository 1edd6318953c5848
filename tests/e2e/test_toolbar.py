"""A program on port 44900 is an agent's desk, over lost connections too; who breaks the rules is let go."""

import asyncio
import struct
from contextlib import suppress
from pathlib import Path

import msgpack

from cti.toolbar.client import RequestRefused, ToolbarClient
from tests.e2e.customer import CUSTOMER, SOFTPHONE, Customers
from tests.e2e.product import PASSWORD, Product, until
from tests.e2e.seat import seat


async def test_a_program_takes_a_call_holds_it_and_tabulates_it(
    product: Product, customers: Customers, tmp_path: Path
):
    async with seat(product, tmp_path, "agent3", "1003") as agent:
        await agent.ready()
        customer = customers.call("4000", "+5511987654321")
        phone = await agent.rung()
        await until(lambda: agent.call and agent.call["state"] == "connected")
        assert agent.call is not None
        assert agent.call["number"] == "+5511987654321"
        assert agent.call["queue"] == "sales" and agent.call["dialed"] == "4000"
        await customer.until_hears(SOFTPHONE)
        await phone.until_hears(CUSTOMER)

        await agent.client.request("HoldCall")
        await customer.until_music()
        await until(lambda: not phone.hears(CUSTOMER, 0.5))
        await agent.client.request("RetrieveCall")
        await customer.until_hears(SOFTPHONE)
        await phone.until_hears(CUSTOMER)

        await agent.client.request("ClearConnection")
        await customer.call.over
        await agent.until_state("wrap_up")
        await agent.tabulate()
        await agent.until_state("ready")


async def test_a_program_that_lost_its_connection_misses_nothing(
    product: Product, customers: Customers, tmp_path: Path
):
    async with seat(product, tmp_path, "agent3", "1003") as agent:
        await agent.ready()
        names: list[str] = []
        numbers: list[int] = []

        async def read() -> None:
            async for event in agent.client.events():
                names.append(event["event"])
                if "seq" in event:
                    numbers.append(event["seq"])

        reading = asyncio.create_task(read())
        stream = agent.client.stream
        # The connection breaks while a call comes, is spoken and ends.
        assert agent.client._writer is not None
        agent.client._writer.transport.abort()
        customer = customers.call("4000")
        await agent.rung()
        await customer.until_hears(SOFTPHONE)
        customer.call.hang_up()
        await until(lambda: agent.client.connected and agent.state == "wrap_up")
        await until(lambda: "ConnectionCleared" in names)
        reading.cancel()

        assert agent.client.stream == stream and not agent.client.resynchronised
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        wanted = [name for name in names if name in {"Delivered", "Established", "ConnectionCleared"}]
        assert wanted == ["Delivered", "Established", "ConnectionCleared"]


async def test_browser_words_and_program_words_are_the_same_snapshot(product: Product, tmp_path: Path):
    async with seat(product, tmp_path, "agent3", "1003") as agent:
        snapshot = (await agent.client.request("SnapshotDevice"))["snapshot"]
        assert snapshot["user"]["login"] == "agent3"
        assert snapshot["station"]["kind"] == "softphone" and snapshot["station"]["state"] == "ok"
        assert {"sales"} <= {queue["name"] for queue in snapshot["queues"]}
        assert snapshot["pauses"] and snapshot["directory"]


async def test_a_verb_that_may_not_be_done_now_is_refused_in_words(product: Product, tmp_path: Path):
    async with seat(product, tmp_path, "agent3", "1003") as agent:
        for verb, code in [("HoldCall", "wrong_state"), ("Fly", "unknown_verb")]:
            try:
                await agent.client.request(verb)
            except RequestRefused as refused:
                assert refused.code == code and str(refused)
            else:
                raise AssertionError(f"{verb} was not refused")


async def test_a_wrong_password_on_the_toolbar_is_refused(product: Product):
    async with ToolbarClient("127.0.0.1", product.cti_port) as client:
        try:
            await client.connect("agent6", "not the password")
        except RequestRefused as refused:
            assert refused.code == "wrong_login"
        else:
            raise AssertionError("logged in with a wrong password")


async def answer_to(product: Product, data: bytes) -> tuple[dict[str, object] | None, bool]:
    """Send raw bytes; what came back first, and whether the connection was closed afterwards."""
    reader, writer = await asyncio.open_connection("127.0.0.1", product.cti_port)
    writer.write(data)
    await writer.drain()
    answer = None
    try:
        (size,) = struct.unpack("!I", await reader.readexactly(4))
        answer = msgpack.unpackb(await reader.readexactly(size))
        closed = await reader.read(1) == b""
    except (asyncio.IncompleteReadError, ConnectionError):
        closed = True
    writer.close()
    return answer, closed


async def test_a_frame_that_is_not_msgpack_gets_an_error_and_a_closed_connection(product: Product):
    answer, closed = await answer_to(product, struct.pack("!I", 5) + b"\xc1\xc1\xc1\xc1\xc1")
    assert closed and answer is not None and answer["ok"] is False
    assert answer["error"]["code"] == "bad_frame"  # type: ignore[index]


async def test_an_oversized_frame_gets_an_error_and_a_closed_connection(product: Product):
    answer, closed = await answer_to(product, struct.pack("!I", 0x7FFFFFFF) + b"x" * 100)
    assert closed and answer is not None and answer["error"]["code"] == "bad_frame"  # type: ignore[index]


async def test_a_reader_too_slow_is_dropped_and_others_are_served(product: Product, tmp_path: Path):
    async with seat(product, tmp_path, "agent3", "1003") as agent:
        reader, writer = await asyncio.open_connection("127.0.0.1", product.cti_port, limit=1024)
        login = msgpack.packb({"id": 1, "verb": "Login", "user": "agent3", "password": PASSWORD})
        writer.write(struct.pack("!I", len(login)) + login)
        await reader.readexactly(4)  # logged in; from here on it does not read
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        ask = msgpack.packb({"id": 2, "verb": "SnapshotDevice"})
        flood = (struct.pack("!I", len(ask)) + ask) * 500

        with suppress(ConnectionError):
            while "reads too slowly and was dropped" not in product.said():
                writer.write(flood)
                await writer.drain()
        await until(lambda: "reads too slowly and was dropped" in product.said())
        # The same desk goes on for who reads.
        assert (await agent.client.request("SnapshotDevice"))["snapshot"]["user"]["login"] == "agent3"
        writer.transport.abort()
