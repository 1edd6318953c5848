"""sipp as customers and as the trunk: somebody else's SIP at both ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.customer import SOFTPHONE
from tests.e2e.product import Product, free_ports, running, until
from tests.e2e.seat import seat
from tests.e2e.sipp import customer, trunk
from tests.e2e.sounds import raw_alaw

HERTZ = 620


@pytest.fixture(scope="module")
def alone() -> Iterator[Product]:
    """A product whose trunk's port is left for sipp."""
    with running(RAMAL_MEDIA_WORKERS="1") as product:
        yield product


def prepared(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    raw_alaw(folder / "tone.alaw", HERTZ)
    return folder


async def test_a_sipp_customer_is_answered_heard_and_hung_up_on(alone: Product, tmp_path: Path):
    folder = prepared(tmp_path / "sipp")
    media = free_ports(1)[0] // 2 * 2
    async with seat(alone, tmp_path, "agent3", "1003") as agent:
        await agent.ready()
        calling = customer(
            folder,
            alone.sip_port,
            alone.trunk_port,
            media,
            "4000",
            "customer_stays.xml",
            keys={"caller": "+5511987654321"},
        )
        async with calling as sipp:
            phone = await agent.rung()
            await until(lambda: agent.call and agent.call["state"] == "connected")
            await phone.until_hears(HERTZ)
            await agent.client.request("ClearConnection")
            assert await sipp.done() == 0, sipp.complaints()


async def test_ten_customers_wait_at_once_and_give_up(alone: Product, tmp_path: Path):
    folder = prepared(tmp_path / "sipp")
    media = free_ports(1)[0] // 2 * 2
    calling = customer(
        folder,
        alone.sip_port,
        alone.trunk_port,
        media,
        "4001",
        calls=10,
        rate=20,
        talking_ms=2500,
        keys={"caller": "+5521998761234"},
    )
    async with seat(alone, tmp_path, "agent3", "1003") as agent, calling as sipp:

        def waiting() -> int:
            return sum(q["waiting"] for q in agent.client.snapshot["queues"] if q["name"] == "support")

        await until(lambda: waiting() == 10)
        assert await sipp.done() == 0, sipp.complaints()
        await until(lambda: waiting() == 0)


async def test_a_call_placed_to_the_trunk_hears_itself_echoed(alone: Product, tmp_path: Path):
    folder = prepared(tmp_path / "sipp")
    media = free_ports(1)[0] // 2 * 2
    async with (
        seat(alone, tmp_path, "agent3", "1003") as agent,
        trunk(folder, alone.trunk_port, media) as sipp,
    ):
        await agent.ready()
        await agent.client.request("MakeCall", number="11955550001", internal=False)
        phone = await agent.rung()
        await until(lambda: agent.call and agent.call["state"] == "connected")
        await phone.until_hears(SOFTPHONE)  # sipp sends back what it hears
        await agent.client.request("ClearConnection")
        assert await sipp.done() == 0, sipp.complaints()
