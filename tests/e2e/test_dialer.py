"""Campaigns that dial by themselves against telephones of somebody else's hand: sipp answers as people do, or
does not, and what it saw is what the attempts, the dialer's figures and the reports say."""

import datetime
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from playwright.async_api import expect

from crm import campaign_reports, campaigns, dialing_figures
from crm.calls import ZONE
from crm.campaign_reports import NOT_ANSWERED, REPORTS, ReportFilter
from crm.item_states import State
from cti.customers.sounds import RATE, voice
from cti.media import g711
from cti.media.message import Message
from tests.e2e.browser import Browser
from tests.e2e.desk_page import desk
from tests.e2e.dialing import at_work, campaign, seats
from tests.e2e.product import Product, running, until
from tests.e2e.sipp import PERSON, Called

IN_REPORTS = {  # what sipp says of a call that no person lifted, and what it is there
    "machine": "voicemail",
    "fax": "fax",
    "404": "invalid",
    "480": "no_answer",
    "486": "busy",
    "503": "congestion",
    "cancelled": "no_answer",
}


@pytest.fixture(scope="module")
def alone() -> Iterator[Product]:
    """A product whose trunk's port is left for sipp."""
    with running(RAMAL_MEDIA_WORKERS="1") as product:
        (product.data / "messages").mkdir(parents=True, exist_ok=True)
        words = voice(5, 0.6).samples[: int(0.6 * RATE)]
        (product.data / "messages" / "abandoned.wav").write_bytes(Message(g711.pcm_to_ulaw(words)).file())
        yield product


def mixed(n: int) -> list[int | tuple[int, int]]:
    """Endings of so many people: two of five lift, the rest is what carriers and machines say."""
    kinds = [0, 4, 1, 6, 3, 5, 2, 7, 19, 0, 6, 1, 4, 3, 79, 2, 5, 8, 1, 89]
    endings: list[int | tuple[int, int]] = [kinds[each % len(kinds)] for each in range(n)]
    endings[1:n:40] = [(4, 2)] * len(endings[1:n:40])  # whose first number does not exist
    return endings


async def test_what_became_of_a_campaign_is_the_same_for_those_called_and_in_every_report(
    alone: Product, tmp_path: Path
):
    begun = datetime.datetime.now(datetime.UTC)
    async with (
        Called(tmp_path / "called", alone.trunk_port) as sipp,
        seats(alone, tmp_path, 6) as agents,
        campaign(
            alone, mixed(150), "ratio", {"attempts_max": 2, "retry": {"busy": 0}},
            ratio=2.5, abandon_limit_percent=100, abandon_after_seconds=1, calls_per_second=20,
            machine="before", abandon_message="abandoned.wav", ring_seconds=15,
        ) as dialed,
    ):  # fmt: skip
        async with at_work(agents, dialed) as workers:
            await dialed.until_through()
        assert [worker.refused for worker in workers] == [[]] * 6
        assert alone.errors() == []
        attempts = await dialed.attempts()
        tried = Counter((row["number"], row["situation"]) for row in attempts)

        assert sipp.of("called") == await dialed.dialed(), "each number as often as it is written"
        assert sipp.of("lifted") == numbers(attempts, lambda row: row["answered"])
        nobody = Counter((number, IN_REPORTS[word]) for number, word in sipp.said() if word in IN_REPORTS)
        assert nobody == Counter({pair: n for pair, n in tried.items() if pair[1] in IN_REPORTS.values()})
        assert only_persons(sipp.of("spoke")) == only_persons(numbers(attempts, connected))
        assert only_persons(sipp.of("left alone")) == only_persons(numbers(attempts, abandoned))
        talked = Counter(number for worker in workers for number in worker.talked_to)
        assert talked == numbers(attempts, connected)
        heard = [number for worker in workers for number in worker.heard]
        assert sorted(heard) == sorted(number for number in talked if number.endswith("3"))
        situations = Counter(row["situation"] for row in attempts)
        assert situations["abandoned"] and situations["completed"] and situations["voicemail"]

        for item in await dialed.items():
            of_it = [row for row in attempts if row["item_id"] == item["id"]]
            assert item["attempts"] == len(of_it) <= 2
            last = of_it[-1]["situation"]
            match item["state"]:
                case State.HIT_LIMIT:
                    assert len(of_it) == 2 and last in ("busy", "abandoned")
                case State.CONCLUDED:
                    assert last in ("completed", "invalid")
                case _:
                    assert item["state"] == State.TRYING and item["due_at"] > begun
                    later = item["due_at"] - of_it[-1]["started"]
                    assert last != "abandoned" or later >= datetime.timedelta(days=3)

        now = datetime.datetime.now(datetime.UTC)
        figures = await dialing_figures.between(dialed.db, dialed.campaign.id, begun, now)
        words = sipp.words()
        assert (figures.dialed, figures.answered) == (words["called"], words["lifted"])
        assert (figures.machines, figures.fax) == (words["machine"], words["fax"])
        assert (figures.connected, figures.abandoned) == (talked.total(), situations["abandoned"])
        assert figures.live == words["lifted"] - words["machine"] - words["fax"]

        today = ReportFilter(
            begun.astimezone(ZONE).date(), now.astimezone(ZONE).date(), (dialed.campaign.id,)
        )
        [summary] = (await campaign_reports.run(dialed.db, REPORTS["r2"], today)).rows
        assert (summary["loaded"], summary["not_worked"], summary["worked"]) == (150, 0, words["called"])
        assert (summary["answered"], summary["success"]) == (talked.total(), talked.total())
        assert summary["by_machine"] == words["machine"] + words["fax"]
        assert summary["not_answered"] == sum(situations[each] for each in NOT_ANSWERED)
        reasons = (await campaign_reports.run(dialed.db, REPORTS["r6"], today)).rows
        del situations["completed"]
        assert {row["reason"]: row["quantity"] for row in reasons} == situations
        by_agent = (await campaign_reports.run(dialed.db, REPORTS["r1"], today)).rows
        assert sorted(row["effective"] for row in by_agent if row["effective"]) == sorted(
            len(worker.talked_to) for worker in workers if worker.talked_to
        )


def numbers(attempts: list[asyncpg.Record], which: Callable[[asyncpg.Record], object]) -> Counter[str]:
    return Counter(row["number"] for row in attempts if which(row))


def connected(row: asyncpg.Record) -> bool:
    return row["connected"] is not None


def abandoned(row: asyncpg.Record) -> bool:
    return bool(row["situation"] == "abandoned")


def only_persons(counted: Counter[str]) -> Counter[str]:
    """Of those who hang up by themselves after a while."""
    return Counter({number: n for number, n in counted.items() if number[-1] in "012"})


async def test_a_predictive_campaign_reaches_everybody_and_its_agents_wait_little(
    alone: Product, tmp_path: Path
):
    async with (
        Called(tmp_path / "called", alone.trunk_port) as sipp,
        seats(alone, tmp_path, 4) as agents,
        campaign(
            alone, [0, 4, 1, 6, 3, 7, 2, 19] * 4, "predictive",
            calls_per_second=20, machine="before", abandon_message="abandoned.wav",
        ) as dialed,
    ):  # fmt: skip
        async with at_work(agents, dialed) as workers:
            await dialed.until_through()
        assert [worker.refused for worker in workers] == [[]] * 4
        attempts = await dialed.attempts()
        assert sipp.of("called") == await dialed.dialed()
        assert Counter(n for worker in workers for n in worker.talked_to) == numbers(attempts, connected)
        waits = [row["connected"] - row["answered"] for row in attempts if connected(row)]
        assert len(waits) == 16 - len([row for row in attempts if abandoned(row)]) >= 12
        assert all(row["agent_idle_seconds"] is not None for row in attempts if connected(row))
        assert all(each.total_seconds() < 6 for each in waits)  # listening to who lifted is in it
        assert alone.errors() == []


async def test_a_browser_agent_has_the_person_the_form_and_the_next_call_on_one_page(
    alone: Product, browser: Browser, tmp_path: Path
):
    async with (
        Called(tmp_path / "called", alone.trunk_port) as sipp,
        campaign(alone, [3, 6, 3], "progressive") as dialed,
        desk(browser, alone, "agent1") as agent,
    ):
        await agent.at_work("agent1")
        await agent.join(dialed.campaign.id)
        for call, name in enumerate(("Pessoa 000", "Pessoa 002"), start=1):
            await agent.until_call("connected")
            await agent.until_says(name)
            await agent.person.until_hears(PERSON)
            await expect(agent.find("#tabulation")).to_be_visible()
            assert sipp.words()["lifted"] == call
            await agent.press("ClearConnection")
            await agent.until_agent("wrap_up")
            await agent.say_outcome("success")

        async def concluded() -> bool:
            return [row["result"] for row in await dialed.items()].count("success") == 2

        await until(concluded)
        assert sipp.words()["left alone"] == 2 and sipp.words()["486"] == 1
        assert alone.errors() == []


@pytest.mark.parametrize(("on_stop", "situation"), [("cancel", "cancelled"), ("finish", "no_answer")])
async def test_a_campaign_that_is_paused_while_telephones_ring_dials_nobody_more(
    alone: Product, tmp_path: Path, on_stop: str, situation: str
):
    """Who rings is let go at once, or rung as long as anybody."""
    async with (
        Called(tmp_path / "called", alone.trunk_port) as sipp,
        seats(alone, tmp_path, 2) as agents,
        campaign(
            alone, [8] * 30, "ratio",
            ratio=3, abandon_limit_percent=100, calls_per_second=20, on_stop=on_stop, ring_seconds=15,
        ) as dialed,
        at_work(agents, dialed),
    ):  # fmt: skip
        await until(lambda: sipp.words()["called"] == 6)
        await campaigns.pause(dialed.db, None, dialed.campaign.id)
        await until(lambda: sipp.words()["cancelled"] == 6, 60)
        await until(lambda: not agents[0].client.snapshot["dialing"]["running"])

        async def written() -> bool:
            rows = await dialed.attempts()
            return all(row["ended"] for row in rows) and not any(
                row["held_by"] is not None for row in await dialed.items()
            )

        await until(written)
        assert sipp.words()["called"] == 6
        attempts = await dialed.attempts()
        assert [row["situation"] for row in attempts] == [situation] * 6
        rung = [(row["ended"] - row["started"]).total_seconds() for row in attempts]
        assert min(rung) > 14.5 if on_stop == "finish" else True
        untried = [row for row in await dialed.items() if row["state"] == State.NOT_WORKED]
        assert len(untried) == 24

        await campaigns.activate(dialed.db, None, dialed.campaign.id)
        await until(lambda: sipp.words()["called"] > 6)  # and it goes on where it was
