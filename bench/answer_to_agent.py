"""How long from a customer's INVITE to the agent who is free: until the desk shows it, until the first audio.

The agents are logged in on port 44900 with a softphone each, which answers at once; 20 customers a second
call a queue and speak for ten seconds, so that 200 calls are up, all with audio both ways. A customer's time
begins when the INVITE is sent; `event` ends when Delivered is at the agent's toolbar, `audio` when the first
packet the customer said is at the agent's telephone (customers speak every 20 ms). p50, p95 and p99 without
a word before them are of the later of both. `own_lateness` is how late this process itself woke: time the
product did not take. A call is lost when either does not come within five seconds.
"""

import argparse
import asyncio
import json
import time
from dataclasses import dataclass

import uvloop

from bench.processes import note, percentile
from bench.product import Product
from bench.telephones import Customers, Phones, Voice
from crm import extensions, numbers, passwords, queues, trunks
from crm.db import Db
from cti.toolbar.client import RequestRefused, ToolbarClient

AGENTS = 210  # ten more than there are calls, so that the next call finds one who is free
CALLS_PER_SECOND = 20
SPEAK_SECONDS = 10.0
PASSWORD = "bench-password"
LOST_SECONDS = 5.0
LOGINS_AT_ONCE = 4


async def fill(db: Db) -> None:
    """Agents agent1 … with extensions 2001 …, all in the queue `sales`, dialed as 4000."""
    members = []
    hashed = await passwords.hashed(PASSWORD)
    for number in range(1, AGENTS + 1):
        user_id = await db.fetchval(
            """
            INSERT INTO user_account (login, name, role, language, may_dial_external, may_hear_recordings,
                                      active, password)
            VALUES ($1, $2, 'agent', 'en', false, false, true, $3) RETURNING id
            """,
            f"agent{number}",
            f"Agent {number}",
            hashed,
        )
        members.append(user_id)
        await extensions.create(db, None, number=str(2000 + number), password=PASSWORD, user_id=user_id)
    await queues.create(
        db, None, name="sales", label="Sales", record=False, layout_id=None, tabulation_mandatory=False,
        members=tuple(members),
    )  # fmt: skip
    await numbers.create(db, None, dialed="4000", kind="queue", target="sales")
    await trunks.create(db, None, name="bench", host="127.0.0.1", port=9)


@dataclass
class Seen:
    """One call: seconds from its INVITE, and what was heard of it."""

    invited: float
    event: float | None = None
    audio: float | None = None
    first: int = 0
    last: int = 0
    packets: int = 0


class Floor:
    """All agents and customers, and what they saw."""

    def __init__(self, product: Product) -> None:
        self.server = ("127.0.0.1", product.settings.sip_port)
        self.cti_port = product.settings.cti_port
        self.calls: dict[int, Seen] = {}
        self.agents: list[ToolbarClient] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.voice = Voice()
        self.phones = Phones(self.server, self.voice, self.heard)
        self.customers = Customers(self.server, self.voice, "4000", SPEAK_SECONDS)

    async def log_in(self, number: int, gate: asyncio.Semaphore) -> None:
        async with gate:
            client = ToolbarClient("127.0.0.1", self.cti_port)
            await self.phones.register(str(2000 + number), PASSWORD)
            await client.connect(f"agent{number}", PASSWORD)
            await client.request("SetStation", kind="softphone", extension=str(2000 + number))
            await client.request("SetAgentState", state="ready")
            self.agents.append(client)
            self.tasks.append(asyncio.create_task(self.watch(client)))

    async def watch(self, client: ToolbarClient) -> None:
        async for event in client.events():
            if event["event"] == "Delivered":
                seen = self.calls.get(int(event["call"]["number"][-7:]))
                if seen is not None and seen.event is None:
                    seen.event = time.monotonic() - seen.invited
            elif event["event"] == "AgentNotReady" and event["agent"]["reason"] == "missed_call":
                await client.request("SetAgentState", state="ready")

    def heard(self, call: int, packet: int) -> None:
        seen = self.calls.get(call)
        if seen is None:
            return
        if seen.audio is None:
            seen.audio, seen.first = time.monotonic() - seen.invited, packet
        seen.last = max(seen.last, packet)
        seen.packets += 1

    async def call(self, seconds: float) -> list[Seen]:
        """Customers call at the bench's pace; the calls of this time."""
        loop, first = asyncio.get_running_loop(), len(self.calls) + 1
        began = loop.time()
        for turn in range(int(seconds * CALLS_PER_SECOND)):
            await asyncio.sleep(max(0.0, began + turn / CALLS_PER_SECOND - loop.time()))
            number = first + turn
            seen = self.calls[number] = Seen(time.monotonic())
            seen.invited = self.customers.call(number).invited
        return [self.calls[number] for number in range(first, len(self.calls) + 1)]

    def up(self) -> int:
        return sum(1 for one in self.customers.calls.values() if one.answered and not one.ended)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in self.agents))


async def measure(product: Product, seconds: float) -> dict[str, object]:
    floor = Floor(product)
    speaking = asyncio.create_task(floor.voice.run())
    try:
        gate = asyncio.Semaphore(LOGINS_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for number in range(1, AGENTS + 1):
                group.create_task(floor.log_in(number, gate))
        note(f"{len(floor.agents)} agents are ready")
        await floor.call(SPEAK_SECONDS + 2)
        note(f"{floor.up()} calls are up")
        up_before, before = floor.up(), product.cpu()
        floor.voice.late.clear()
        calls = await floor.call(seconds)
        late = list(floor.voice.late)
        used, up_after = product.cpu() - before, floor.up()
        await asyncio.sleep(LOST_SECONDS)
        refused = [one.refused for one in floor.customers.calls.values() if one.refused]
        await asyncio.sleep(SPEAK_SECONDS - LOST_SECONDS + 1)
        still_up = floor.up()
    except* RequestRefused as refused_group:
        raise refused_group.exceptions[0] from None
    finally:
        speaking.cancel()
        await floor.close()
    events = [1000 * one.event for one in calls if one.event is not None and one.event < LOST_SECONDS]
    audios = [1000 * one.audio for one in calls if one.audio is not None and one.audio < LOST_SECONDS]
    both = [
        1000 * max(one.event, one.audio)
        for one in calls
        if one.event is not None and one.audio is not None and max(one.event, one.audio) < LOST_SECONDS
    ]
    expected = sum(one.last - one.first + 1 for one in calls if one.audio is not None)
    heard = sum(one.packets for one in calls)
    figures: dict[str, object] = {"bench": "answer_to_agent"}
    for word, values in (("", both), ("event_", events), ("audio_", audios)):
        for percent in (50, 95, 99):
            figures[f"{word}p{percent}_ms"] = round(percentile(values, percent), 1)
    return figures | {
        "lost": len(calls) - len(both),
        "calls": len(calls),
        "agents": len(floor.agents),
        "calls_per_second": CALLS_PER_SECOND,
        "calls_up": min(up_before, up_after),
        "still_up_at_the_end": still_up,
        "refused": len(refused),
        "rtp_loss": round(1 - heard / expected, 5) if expected else None,
        "own_lateness_p99_ms": round(percentile(late, 99), 1),
        "serving_cpu_cores": round(used.serving / seconds, 2),
        "media_cpu_cores": round(used.media / seconds, 2),
        "stores_cpu_cores": round(used.stores / seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="only the JSON object on stdout")
    parser.add_argument("--seconds", type=float, default=30, help="of measuring")
    options = parser.parse_args()
    with Product(fill, media_workers=2, recordings=False) as product:
        figures = uvloop.run(measure(product, options.seconds))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
