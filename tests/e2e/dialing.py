"""A campaign that dials by itself, made in the product's own database, and what became of everybody there."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg

from crm import campaigns, db
from crm.campaigns import Campaign
from cti.toolbar.client import ConnectionLost, RequestRefused
from tests.e2e.product import Product, until
from tests.e2e.seat import Seat, any_answers, seat
from tests.e2e.sipp import PERSON

LONG = 240.0  # seconds; on a busy machine a whole campaign may take so long


class Dialed:
    """The campaign, seen from the database."""

    def __init__(self, pool: db.Db, campaign: Campaign, numbers: Sequence[Sequence[str]]) -> None:
        self.db, self.campaign, self.numbers = pool, campaign, numbers

    async def attempts(self) -> list[asyncpg.Record]:
        return await self.db.fetch(
            "SELECT * FROM attempt WHERE campaign_id = $1 ORDER BY started, id", self.campaign.id
        )

    async def items(self) -> list[asyncpg.Record]:
        return await self.db.fetch("SELECT * FROM list_item WHERE campaign_id = $1", self.campaign.id)

    async def dialed(self) -> Counter[str]:
        """How often each number was, by the attempts."""
        return Counter(row["number"] for row in await self.attempts() if row["dialed"])

    async def left(self) -> str:
        """What is still to do now, in words; empty once everybody was worked or waits for another time."""
        row = await self.db.fetchrow(
            """
            SELECT (SELECT count(*) FROM attempt WHERE campaign_id = $1 AND ended IS NULL) AS going_on,
                   count(*) FILTER (WHERE held_by IS NOT NULL) AS held,
                   count(*) FILTER (WHERE state = 0 AND due_at IS NULL) AS untried,
                   count(*) FILTER (WHERE state IN (1, 2, 3) AND due_at <= now()) AS due
              FROM list_item WHERE campaign_id = $1
            """,
            self.campaign.id,
        )
        return ", ".join(f"{n} {word}" for word, n in row.items() if n)

    async def until_through(self, seconds: float = LONG) -> None:
        async def through() -> bool:
            return not await self.left()

        try:
            await until(through, seconds, 0.5)
        except AssertionError:
            raise AssertionError(f"not through: {await self.left()}") from None

    async def until_dialed(self, at_least: int) -> None:
        async def enough() -> bool:
            return (await self.dialed()).total() >= at_least

        await until(enough, LONG, 0.1)


@asynccontextmanager
async def connected(product: Product) -> AsyncIterator[db.Db]:
    """The product's database, over its embedded server's socket."""
    socket = (product.data / "postgres").resolve() / "run"
    pool = await db.connect(f"postgresql://ramal@/ramal?host={socket}", 5)
    try:
        yield pool
    finally:
        pool.terminate()


@asynccontextmanager
async def campaign(
    product: Product,
    endings: Iterable[int | tuple[int, int]],
    mode: str,
    settings: dict[str, Any] | None = None,
    **dialing: Any,
) -> AsyncIterator[Dialed]:
    """Active, of one person for each ending: the last two digits of the number; of two, for two numbers."""
    wanted = [ending if isinstance(ending, tuple) else (ending,) for ending in endings]
    async with connected(product) as pool:
        serial = await pool.fetchval("SELECT count(*) FROM campaign")
        numbers = [  # of nobody in another campaign, where they may have met no agent
            [f"+55119{serial:02d}{5000 * n + place:04d}{each:02d}" for n, each in enumerate(ending)]
            for place, ending in enumerate(wanted)
        ]
        team = await pool.fetch("SELECT id FROM user_account WHERE role = 'agent'")
        layout = await pool.fetchval("SELECT id FROM layout WHERE name = 'sales'")
        name = f"{mode.title()} {serial}"
        made = await campaigns.create_draft(pool, None, name=name, source="leads")
        await campaigns.save_step(pool, None, made.id, "period", {"respect_destination_window": False})
        given = {"layout_id": layout, "number_attempts_per_day_max": 50} | (settings or {})
        await campaigns.save_step(pool, None, made.id, "settings", given)
        agents = {"agents": [row["id"] for row in team], "groups": []}
        await campaigns.save_step(pool, None, made.id, "conclusion", agents)
        await campaigns.set_dialing(pool, None, made.id, {"mode": mode, **dialing})
        for place, theirs in enumerate(numbers):
            contact = await pool.fetchval(
                "INSERT INTO contact (name) VALUES ($1) RETURNING id", f"Pessoa {place:03d}"
            )
            await pool.executemany(
                "INSERT INTO contact_phone (contact_id, number, position) VALUES ($1, $2, $3)",
                [(contact, number, n) for n, number in enumerate(theirs, start=1)],
            )
            await pool.execute(
                "INSERT INTO list_item (campaign_id, contact_id) VALUES ($1, $2)", made.id, contact
            )
        made = await campaigns.activate(pool, None, made.id)
        try:
            yield Dialed(pool, made, numbers)
        finally:
            await campaigns.end(pool, None, made.id)


class Worker:
    """An agent of a campaign: takes what comes, and says the outcome once the person has hung up."""

    def __init__(self, agent: Seat, campaign: Dialed) -> None:
        self.agent, self.campaign = agent, campaign
        self.talked_to: list[str] = []  # numbers
        self.heard: list[str] = []  # of those who do not hang up: whose voice arrived
        self.refused: list[str] = []
        self.tries_again = self.agent.phone.lifts_itself
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Worker":
        await self.join()
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self.agent.client.connected:
            await self.agent.client.request("LeaveCampaign")

    async def join(self) -> None:
        """Also with a person in hand whose call a restart cut off: who is left, to be called another time."""
        work = self.agent.client.snapshot["work"]
        if work:
            await self.agent.client.request("ExitItem", item=work["item"])
        await self.agent.client.request("JoinCampaign", campaign=self.campaign.campaign.id)
        await self.agent.client.request("SetAgentState", state="ready")

    async def _work(self) -> None:
        async for event in self.agent.client.events():
            try:
                await self._answer_to(event)
            except (RequestRefused, ConnectionLost) as refused:
                self.refused.append(f"{event['event']}: {refused}")

    async def say_outcome(self) -> None:
        client = self.agent.client
        form, item = client.snapshot["form"], client.snapshot["work"]["item"]
        answers = any_answers(form) if form and form["status"] != "saved" else {}
        await client.request("SetOutcome", item=item, result="success", answers=answers)

    async def _answer_to(self, event: dict[str, Any]) -> None:
        client = self.agent.client
        match event:
            case {"event": "Established", "call": {"number": number}}:
                self.talked_to.append(number)
                if number.endswith("3"):  # who does not hang up
                    with suppress(AssertionError):  # the trunk died
                        await self.agent.phone.calls[-1].until_hears(PERSON)
                        self.heard.append(number)
                    await client.request("ClearConnection")
            case {"event": "WorkChanged", "work": {"phase": "after"}}:
                await self.say_outcome()
            case {"event": "AgentNotReady", "agent": {"reason": "missed_call"}} if self.tries_again:
                await client.request("SetAgentState", state="ready")


@asynccontextmanager
async def seats(product: Product, folder: Path, n: int) -> AsyncIterator[list[Seat]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(seat(product, folder, f"agent{each}", f"{1000 + each}"))
            for each in range(1, n + 1)
        ]


@asynccontextmanager
async def at_work(agents: list[Seat], dialed: Dialed) -> AsyncIterator[list[Worker]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Worker(agent, dialed)) for agent in agents]
