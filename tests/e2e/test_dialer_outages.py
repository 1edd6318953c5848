"""What breaks while a campaign dials by itself: its trunk, the database, the product, an agent's browser."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from crm.item_states import State
from tests.e2e.browser import Browser
from tests.e2e.desk_page import desk
from tests.e2e.dialing import Dialed, at_work, campaign, seats
from tests.e2e.product import Product, running, until
from tests.e2e.sipp import PERSON, Called
from tests.e2e.test_outages import pause

LEASE_SECONDS = 6


@pytest.fixture(scope="module")
def alone() -> Iterator[Product]:
    """A product whose trunk's port is left for sipp, and whose leases end soon."""
    with running(
        RAMAL_MEDIA_WORKERS="1",
        RAMAL_ITEM_LEASE_SECONDS=str(LEASE_SECONDS),
        RAMAL_AGENT_RETURN_SECONDS="2",
    ) as product:
        yield product


async def everybody_once(dialed: Dialed, sipp: Called) -> None:
    """Nobody is held, nobody was dialed twice, and each call that is written was made."""
    assert sipp.of("called") == await dialed.dialed()
    assert set((await dialed.dialed()).values()) == {1}
    assert [row["id"] for row in await dialed.items() if row["held_by"] is not None] == []


async def test_a_campaign_goes_on_when_its_trunk_is_back(alone: Product, tmp_path: Path):
    anew = {"attempts_max": 50, "retry": {"failed": 0, "congestion": 0, "no_answer": 0, "cancelled": 0}}
    async with (
        seats(alone, tmp_path, 3) as agents,
        campaign(alone, [3] * 18, "progressive", anew, ring_seconds=15, calls_per_second=3) as dialed,
        at_work(agents, dialed) as workers,
    ):
        async with Called(tmp_path / "before", alone.trunk_port) as sipp:
            await until(lambda: sipp.words()["left alone"] >= 4, 120)
        reached = {number for worker in workers for number in worker.talked_to}

        async def silent() -> list[asyncpg.Record]:
            return [row for row in await dialed.attempts() if row["cause"] == "503 trunk silent"]

        await until(silent, 60)  # it does not even say that it tries
        assert alone.serves()
        async with Called(tmp_path / "after", alone.trunk_port) as sipp:
            await dialed.until_through()
            again = {number for number, word in sipp.said() if word == "lifted"}
        assert reached and again
        assert [row["state"] for row in await dialed.items()] == [State.CONCLUDED] * 18
        assert {row["situation"] for row in await silent()} == {"congestion"}
        tries = Counter(row["item_id"] for row in await dialed.attempts() if row["dialed"])
        assert {row["id"]: row["attempts"] for row in await dialed.items()} == tries, "silence is no try"
        assert [worker.refused for worker in workers] == [[]] * 3
        assert alone.errors() == []


async def test_while_the_database_stands_still_nobody_more_is_dialed_and_then_nobody_twice(
    alone: Product, tmp_path: Path
):
    async with (
        Called(tmp_path / "called", alone.trunk_port) as sipp,
        seats(alone, tmp_path, 4) as agents,
        campaign(alone, [0, 1, 6, 2, 3] * 6, "ratio", ratio=2, abandon_limit_percent=100) as dialed,
        at_work(agents, dialed) as workers,
    ):
        await until(lambda: sipp.words()["lifted"] >= 8, 120)
        begun = (await dialed.dialed()).total()
        stopped = pause(alone.postgres())
        try:
            await asyncio.sleep(10)  # the outage itself
            meanwhile = sipp.words()["called"]
            assert alone.serves()
        finally:
            for process in stopped:
                process.send_signal(signal.SIGCONT)
        assert begun <= meanwhile <= begun + 2 * len(agents), "only whose attempt was being written"
        await dialed.until_through()
        await everybody_once(dialed, sipp)
        talked = [number for worker in workers for number in worker.talked_to]
        attempts = {row["number"]: row for row in await dialed.attempts()}
        assert [attempts[number]["result"] for number in talked] == ["success"] * len(talked)
        concluded = [row for row in await dialed.items() if row["state"] == State.CONCLUDED]
        assert len(concluded) == len(talked)
        assert alone.errors() == []


async def test_a_killed_product_goes_on_with_the_campaign_and_dials_nobody_twice(
    alone: Product, tmp_path: Path
):
    async with (
        Called(tmp_path / "called", alone.trunk_port) as sipp,
        campaign(alone, [0, 1, 6, 2, 5] * 6, "ratio", ratio=2, abandon_limit_percent=100) as dialed,
    ):
        async with seats(alone, tmp_path, 3) as agents, at_work(agents, dialed):
            await until(lambda: sipp.words()["lifted"] >= 5, 120)
            alone.kill()
            alone.start()
            clients = [agent.client for agent in agents]
            await until(lambda: all(each.connected and each.resynchronised for each in clients), 60)
        async with seats(alone, tmp_path / "again", 3) as agents, at_work(agents, dialed):
            await dialed.until_through()
        cut = [row["number"] for row in await dialed.attempts() if row["cause"] == "restart"]
        called, written = sipp.of("called"), await dialed.dialed()
        assert cut, "it was killed in the middle"
        assert set(written.values()) == {1} and set(called.values()) == {1}
        assert called <= written and set(written - called) <= set(cut)
        assert len(written) == 30
        assert [row["id"] for row in await dialed.items() if row["held_by"] is not None] == []
        assert alone.errors() == []


async def test_a_person_whose_agents_browser_dies_in_the_call_is_let_go_and_comes_back_to_the_list(
    alone: Product, browser: Browser, tmp_path: Path
):
    async with (
        Called(tmp_path / "called", alone.trunk_port) as sipp,
        campaign(alone, [3] * 2, "progressive") as dialed,
        desk(browser, alone, "agent1") as agent,
    ):
        await agent.at_work("agent1")
        await agent.join(dialed.campaign.id)
        await agent.until_call("connected")
        await agent.person.until_hears(PERSON)
        await agent.person.page.close()
        await until(lambda: sipp.words()["left alone"] == 1, 60)
        [number] = sipp.of("called")

        async def back() -> bool:
            [row] = [row for row in await dialed.items() if row["attempts"]]
            return row["held_by"] is None and row["state"] == State.TRYING

        await until(back, 60)
        assert sipp.of("called") == {number: 1}, "nobody is dialed for an agent who is not there"
        assert alone.errors() == []


async def test_an_agents_telephone_that_stopped_lifting_is_passed_over(alone: Product, tmp_path: Path):
    async with (
        Called(tmp_path / "called", alone.trunk_port) as sipp,
        seats(alone, tmp_path, 2) as agents,
        campaign(alone, [0, 1, 2], "progressive", abandon_after_seconds=6) as dialed,
    ):
        dead, other = agents
        dead.phone.lifts_itself = False
        async with at_work([dead], dialed) as [lazy]:
            await until(lambda: dead.phone.calls)
            async with at_work([other], dialed) as [worker]:
                await dialed.until_through()
                assert set(worker.talked_to) == set(sipp.of("lifted")) and lazy.talked_to == []
        assert (await dialed.dialed()).total() == 3
        assert {row["situation"] for row in await dialed.attempts()} == {"completed"}
