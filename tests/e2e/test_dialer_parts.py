"""Parts of the dialer with telephones and browsers of their own: preview, machines, blended agents, and
outages of the database that end leases. One product for all of them."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import expect

from crm.db import AWAY
from crm.item_states import State
from cti.customers import CustomerCall, Telephone, share, tone
from cti.customers.sounds import RATE, Sound, machine, voice
from cti.media import g711
from cti.media.message import Message
from tests.e2e.browser import Browser
from tests.e2e.customer import CUSTOMER, Caller
from tests.e2e.desk_page import desk
from tests.e2e.dialing import Dialed, Worker, at_work, campaign, seats
from tests.e2e.product import Product, running, until
from tests.e2e.seat import leave
from tests.e2e.sipp import PERSON, Called
from tests.e2e.test_outages import pause

LEASE_SECONDS = 6
MESSAGE = 770  # Hz
GREETING = machine(1)


@pytest.fixture(scope="module")
def alone() -> Iterator[Product]:
    """A product whose trunk's port is left for others, and whose leases end soon."""
    with running(RAMAL_MEDIA_WORKERS="1", RAMAL_ITEM_LEASE_SECONDS=str(LEASE_SECONDS)) as product:
        (product.data / "messages").mkdir(parents=True, exist_ok=True)
        message = np.tile(tone(MESSAGE).samples, 3)[: 3 * RATE]
        (product.data / "messages" / "left.wav").write_bytes(Message(g711.pcm_to_ulaw(message)).file())
        yield product


class FarEnd:
    """Whoever the campaign calls: people, and machines where the number ends in 9."""

    def __init__(self, product: Product) -> None:
        self.called: list[Caller] = []
        self.lifted: list[float] = []  # loop time
        self.lifts = True
        self.phone = Telephone("127.0.0.1", product.trunk_port, ("127.0.0.1", product.sip_port), self._called)

    def _called(self, call: CustomerCall) -> None:
        call.ring()
        if call.number.endswith("9"):
            call.say(GREETING)
        else:
            greeting = [voice(3, 1.2).samples[: int(0.7 * RATE)], np.zeros(int(1.8 * RATE), np.int16)]
            call.say(Sound(np.concatenate([*greeting, np.tile(tone(PERSON).samples, 60)])))
        self.called.append(Caller(call))
        if self.lifts:
            self.lift(call)

    def lift(self, call: CustomerCall) -> None:
        self.lifted.append(asyncio.get_running_loop().time())
        call.answer()

    @property
    def numbers(self) -> Counter[str]:
        return Counter(each.call.number for each in self.called)


@asynccontextmanager
async def far_end(product: Product) -> AsyncIterator[FarEnd]:
    far = FarEnd(product)
    await far.phone.start()
    try:
        yield far
    finally:
        await far.phone.close()


async def concluded(dialed: Dialed, n: int) -> None:
    async def so_many() -> bool:
        rows = await dialed.items()
        return len([row for row in rows if row["result"] == "success" and row["held_by"] is None]) == n

    await until(so_many, 60)


async def test_in_preview_an_agent_sees_whom_dials_earlier_skips_and_lets_it_dial(
    alone: Product, browser: Browser
):
    async with (
        far_end(alone) as far,
        campaign(alone, [3] * 3, "preview", preview_seconds=6) as dialed,
        desk(browser, alone, "agent1") as agent,
    ):
        await agent.at_work("agent1")
        await agent.join(dialed.campaign.id)
        await agent.until_says("Pessoa 000")
        await expect(agent.find(".countdown")).to_be_visible()
        await agent.find("button[name=verb][value=DialItem]").click()
        await agent.until_call("connected")
        await agent.person.until_hears(PERSON)
        await agent.press("ClearConnection")
        await agent.until_agent("wrap_up")
        await agent.say_outcome("success")
        await agent.until_says("Pessoa 001")
        await agent.find("button[name=status][value=not_dialed]").click()
        await agent.until_says("Pessoa 002")
        await agent.until_call("connected", seconds=30)  # nobody pressed anything
        await agent.press("ClearConnection")
        await agent.until_agent("wrap_up")
        await agent.say_outcome("success")
        await concluded(dialed, 2)
        first, skipped, last = (row["attempts"] for row in sorted(await dialed.items(), key=by_id))
        assert (first, skipped, last) == (1, 1, 1), "whoever skips writes why"
        assert sorted(far.numbers.values()) == [1, 1]
        assert [row["dialed"] for row in await dialed.attempts()] == [True, False, True]
        assert alone.errors() == []


def by_id(row: dict[str, int]) -> int:
    return row["id"]


async def test_a_machine_records_the_message_after_its_beep_and_reaches_no_agent(
    alone: Product, tmp_path: Path
):
    async with (
        far_end(alone) as far,
        seats(alone, tmp_path, 1) as agents,
        campaign(
            alone, [9], "progressive",
            machine="before", machine_action="message", machine_message="left.wav",
        ) as dialed,
        at_work(agents, dialed) as [worker],
    ):  # fmt: skip
        await until(lambda: far.called)
        [machine] = far.called
        await machine.until_hears(MESSAGE, 30)
        tape = machine.call.talk.heard
        first = next(at for at, samples in tape if share(samples, MESSAGE) > 0.45)
        greeted = len(GREETING.samples) / RATE
        assert first - far.lifted[0] > greeted, "it waits for the beep"
        await dialed.until_through()
        [attempt] = await dialed.attempts()
        assert (attempt["situation"], attempt["connected"]) == ("voicemail", None)
        assert machine.call.over_by_peer and worker.talked_to == []
        assert alone.errors() == []


async def test_with_detection_after_connecting_the_agent_is_freed_of_the_machine(
    alone: Product, tmp_path: Path
):
    async with (
        far_end(alone) as far,
        seats(alone, tmp_path, 1) as agents,
        campaign(alone, [9, 3], "progressive", machine="after") as dialed,
        at_work(agents, dialed) as [worker],
    ):
        await dialed.until_through()
        assert len(far.called) == len(worker.talked_to) == 2 and worker.refused == []
        by_ending = {row["number"][-1]: row for row in await dialed.attempts()}
        assert by_ending["9"]["situation"] == "voicemail" and by_ending["9"]["detection"] == "machine"
        assert by_ending["9"]["user_id"] and by_ending["9"]["result"] is None
        assert by_ending["3"]["result"] == "success"
        assert alone.errors() == []


async def test_a_blended_agent_is_given_who_calls_in_between_two_dialed_calls(alone: Product, tmp_path: Path):
    async with (
        far_end(alone) as far,
        seats(alone, tmp_path, 1) as [agent],
        campaign(alone, [3, 3], "progressive") as dialed,
    ):
        await agent.client.request("JoinCampaign", campaign=dialed.campaign.id, blended=True)
        await agent.client.request("SetAgentState", state="ready")
        worker = Worker(agent, dialed)
        await until(lambda: agent.call and agent.call["state"] == "connected", 60)
        assert agent.call and agent.call["origin"] == "dialer"
        waiting = Caller(far.phone.call("4000", "+5511987654321", tone(CUSTOMER)))
        await until(lambda: waiting.hears_music(), 20)
        await agent.client.request("ClearConnection")
        await until(lambda: (agent.client.snapshot["work"] or {}).get("phase") == "after")
        await worker.say_outcome()
        await until(lambda: agent.call and agent.call["direction"] == "inbound", 60)
        await until(lambda: agent.call and agent.call["state"] == "connected", 60)
        assert len(far.called) == 1, "nobody is dialed for an agent who talks"
        await agent.client.request("ClearConnection")
        await agent.tabulate()
        await until(lambda: len(far.called) == 2, 60)
        await until(lambda: agent.call and agent.call["origin"] == "dialer", 60)
        await leave(agent.client)
        assert alone.errors() == []


async def test_a_call_answered_in_an_outage_longer_than_a_lease_keeps_its_person(
    alone: Product, tmp_path: Path
):
    async with (
        far_end(alone) as far,
        seats(alone, tmp_path, 1) as [agent],
        campaign(alone, [3] * 2, "progressive") as dialed,
    ):
        await agent.client.request("JoinCampaign", campaign=dialed.campaign.id)
        await agent.client.request("SetAgentState", state="ready")
        worker = Worker(agent, dialed)
        far.lifts = False
        await until(lambda: far.called, 60)
        stopped = pause(alone.postgres())
        try:
            far.lift(far.called[0].call)
            await until(lambda: agent.call and agent.call["state"] == "connected", 60)
            await asyncio.sleep(LEASE_SECONDS + 2)  # the outage itself
            await far.called[0].until_hears(agent.phone.hertz)
            await agent.client.request("ClearConnection")
        finally:
            for process in stopped:
                process.send_signal(signal.SIGCONT)
        await until(lambda: (agent.client.snapshot["work"] or {}).get("phase") == "after", 60)
        await worker.say_outcome()
        await concluded(dialed, 1)
        await until(lambda: len(far.called) == 2, 60)
        assert set(far.numbers.values()) == {1}
        await leave(agent.client)
        assert alone.errors() == []


async def test_postgresql_killed_while_it_dials_is_started_again_and_nobody_is_dialed_twice(
    alone: Product, tmp_path: Path
):
    async with (
        Called(tmp_path / "called", alone.trunk_port) as sipp,
        seats(alone, tmp_path, 3) as agents,
        campaign(alone, [0, 1, 6, 2, 5] * 4, "ratio", ratio=2, abandon_limit_percent=100) as dialed,
        at_work(agents, dialed) as workers,
    ):
        await until(lambda: sipp.words()["lifted"] >= 4, 120)
        everything = {each.pid: each for each in alone.postgres()}
        [postmaster] = [each for each in everything.values() if each.ppid() not in everything]
        postmaster.kill()

        async def back() -> bool:
            try:
                return bool(await dialed.db.fetchval("SELECT true"))
            except AWAY:
                return False

        await until(lambda: postmaster.pid not in [each.pid for each in alone.postgres()])
        await until(back, 60)
        await dialed.until_through()
        called, written = sipp.of("called"), await dialed.dialed()
        assert called == written and set(called.values()) == {1} and len(called) == 20
        assert [row["id"] for row in await dialed.items() if row["held_by"] is not None] == []
        assert not {each.pid for each in alone.postgres()} & everything.keys(), "it is another one"
        talked = {number for worker in workers for number in worker.talked_to}
        rows = {row["number"]: row for row in await dialed.attempts()}
        assert [rows[number]["result"] for number in talked] == ["success"] * len(talked)
        assert State.NOT_WORKED not in [row["state"] for row in await dialed.items()]
