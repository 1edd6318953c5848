"""A campaign that dials by itself, with 100 agents on port 44900: how many calls a second, and how soon an
agent has the person.

The people are at the end of a trunk: most lift at once and speak, some are busy, some lines are out of order.
A person's time begins when they lift and say their first packet; it ends when Delivered is at the toolbar of
the agent who has them. Agents speak for two seconds, hang up and say the outcome. `lost` counts people who
lifted and were at no agent within the two seconds that the campaign allows, and calls of which an agent
never heard a packet. `own_lateness` is how late this process itself woke: time the product did not take.
"""

import argparse
import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvloop

from bench.processes import free_port, note, percentile
from bench.product import Product
from bench.telephones import Address, Message, Phones, Voice, answer, description, drained, udp
from crm import campaigns, extensions, layouts, passwords, routes, trunks
from crm.db import Db
from cti.toolbar.client import RequestRefused, ToolbarClient

AGENTS = 100
DIALS_PER_SECOND = 36  # what the trunk permits, above the aim
PEOPLE = 20_000
SPEAK_SECONDS = 2.0
PATIENCE_SECONDS = 2.0
PASSWORD = "bench-password"
LOGINS_AT_ONCE = 4
WARM_UP_SECONDS = 8.0
NOBODY = {"8": "486 Busy Here", "9": "503 Service Unavailable"}  # by the last digit of who is called


async def fill(trunk_port: int, db: Db) -> None:
    """Agents agent1 … with extensions 2001 …, and a campaign that calls PEOPLE one for each free agent."""
    hashed = await passwords.hashed(PASSWORD)
    members = []
    for number in range(1, AGENTS + 1):
        user_id = await db.fetchval(
            """
            INSERT INTO user_account (login, name, role, language, may_dial_external, may_hear_recordings,
                                      active, password)
            VALUES ($1, $2, 'agent', 'en', true, false, true, $3) RETURNING id
            """,
            f"agent{number}",
            f"Agent {number}",
            hashed,
        )
        members.append(user_id)
        await extensions.create(db, None, number=str(2000 + number), password=PASSWORD, user_id=user_id)
    trunk = await trunks.create(
        db, None, name="bench", host="127.0.0.1", port=trunk_port, calls_per_second=DIALS_PER_SECOND
    )
    route = await routes.create(db, None, name="all", pattern=r"\+\d+", trunk_id=trunk.id)
    kind = await layouts.create_type(db, None, name="Sale")
    await layouts.create_category(db, None, kind.id, name="Sold", success=True)
    form = await layouts.create(db, None, name="bench", label="Bench", fields=[], types=[kind.id])
    made = await campaigns.create_draft(db, None, name="Bench", source="leads")
    await campaigns.save_step(db, None, made.id, "period", {"respect_destination_window": False})
    settings = {"layout_id": form.id, "route_id": route.id, "number_attempts_per_day_max": 50}
    await campaigns.save_step(db, None, made.id, "settings", settings)
    await campaigns.save_step(db, None, made.id, "conclusion", {"agents": members, "groups": []})
    dialing = {
        "mode": "progressive",
        "calls_per_second": DIALS_PER_SECOND,
        "abandon_after_seconds": PATIENCE_SECONDS,
    }
    await campaigns.set_dialing(db, None, made.id, dialing)
    await campaigns.activate(db, None, made.id)
    await db.execute(
        """
        WITH made AS (
            INSERT INTO contact (name) SELECT 'Person ' || n FROM generate_series(1, $2) AS n RETURNING id
        ), phone AS (
            INSERT INTO contact_phone (contact_id, number)
            SELECT id, '+5511' || (900000000 + row_number() OVER (ORDER BY id)) FROM made
        )
        INSERT INTO list_item (campaign_id, contact_id) SELECT $1, id FROM made ORDER BY id
        """,
        made.id,
        PEOPLE,
    )
    await db.execute("ANALYZE")


@dataclass
class Person:
    """Who was called: when they lifted and spoke, when an agent had them and heard them."""

    called: float
    lifted: float | None = None
    delivered: float | None = None
    heard: bool = False
    ended: bool = False
    speaking: int = 0


class Trunk:
    """The far end: everybody who is called lifts at once, but for some."""

    def __init__(self, voice: Voice, port: int) -> None:
        self._voice, self.port = voice, port
        self._sip, self._rtp = udp(port), udp()
        self.people: dict[int, Person] = {}
        self.refused = 0
        self._answers: dict[str, tuple[bytes, int]] = {}  # by Call-ID: what was said, and who is called
        drained(self._sip, self._signal)

    def _signal(self, data: bytes, peer: Address) -> None:
        if len(data) < 8:
            return
        message = Message.read(data)
        call_id = message.one("call-id")
        if message.first.startswith("SIP/2.0") or message.method == "ACK":
            return
        if message.method == "INVITE":
            if call_id not in self._answers:
                self._answers[call_id] = self._called(message)
            self._sip.sendto(self._answers[call_id][0], peer)
            return
        self._sip.sendto(answer(message, "200 OK"), peer)
        person = self.people.get(self._answers.get(call_id, (b"", 0))[1])
        if message.method == "BYE" and person:
            person.ended = True
            self._voice.hush(person.speaking)

    def _called(self, message: Message) -> tuple[bytes, int]:
        number = message.first.split()[1].partition("@")[0][-7:]
        if refusal := NOBODY.get(number[-1]):
            self.refused += 1
            return answer(message, refusal), 0
        person = self.people[int(number)] = Person(time.monotonic())
        more = f"Contact: <sip:person@127.0.0.1:{self.port}>\r\nContent-Type: application/sdp\r\n"
        said = answer(message, "200 OK", more, description(self._rtp.getsockname()[1]))
        person.lifted = time.monotonic()
        person.speaking = self._voice.speak(self._rtp, message.media_port, int(number))
        return said, int(number)


class Floor:
    """All agents, the people they call, and what was seen."""

    def __init__(self, product: Product, trunk: Trunk, voice: Voice) -> None:
        self.cti_port, self.trunk, self.voice = product.settings.cti_port, trunk, voice
        self.phones = Phones(("127.0.0.1", product.settings.sip_port), voice, self.heard)
        self.agents: list[ToolbarClient] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.refusals: Counter[str] = Counter()  # of what agents asked

    async def log_in(self, number: int, gate: asyncio.Semaphore) -> None:
        async with gate:
            client = ToolbarClient("127.0.0.1", self.cti_port)
            await self.phones.register(str(2000 + number), PASSWORD)
            await client.connect(f"agent{number}", PASSWORD)
            await client.request("SetStation", kind="softphone", extension=str(2000 + number))
            self.agents.append(client)

    async def begin(self) -> None:
        """Everybody works in the campaign from the same moment."""
        found = await self.agents[0].request("ListCampaigns")
        for client in self.agents:
            self.spawn(self.watch(client))
            await client.request("JoinCampaign", campaign=found["campaigns"][0]["id"])
            await client.request("SetAgentState", state="ready")

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def watch(self, client: ToolbarClient) -> None:
        async for event in client.events():
            match event["event"]:
                case "Delivered":
                    person = self.trunk.people.get(int(event["call"]["number"][-7:]))
                    if person and person.delivered is None:
                        person.delivered = time.monotonic()
                case "Established":
                    self.spawn(self.talk(client, event["call"]["item"]))
                case "AgentNotReady" if event["agent"]["reason"] == "missed_call":
                    await client.request("SetAgentState", state="ready")

    async def talk(self, client: ToolbarClient, item: int) -> None:
        await asyncio.sleep(SPEAK_SECONDS)
        try:
            sold = client.snapshot["form"]["layout"]["types"][0]["categories"][0]["id"]
            await client.request("SetOutcome", item=item, result="success", answers={"category": str(sold)})
            await client.request("ClearConnection")
        except RequestRefused as refused:
            self.refusals[str(refused)] += 1

    def heard(self, call: int, packet: int) -> None:
        if person := self.trunk.people.get(call):
            person.heard = True

    async def close(self) -> None:
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in self.agents))


async def measure(product: Product, trunk_port: int, seconds: float) -> dict[str, object]:
    voice = Voice()
    trunk = Trunk(voice, trunk_port)
    floor = Floor(product, trunk, voice)
    speaking = asyncio.create_task(voice.run())
    try:
        gate = asyncio.Semaphore(LOGINS_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for number in range(1, AGENTS + 1):
                group.create_task(floor.log_in(number, gate))
        note(f"{len(floor.agents)} agents are at their telephones")
        await floor.begin()
        await asyncio.sleep(WARM_UP_SECONDS)
        voice.late.clear()
        began, before, refused = time.monotonic(), product.cpu(), trunk.refused
        await asyncio.sleep(seconds)
        ended, used = time.monotonic(), product.cpu() - before
        refused = trunk.refused - refused
        late = list(voice.late)
        await asyncio.sleep(PATIENCE_SECONDS + SPEAK_SECONDS)
    finally:
        speaking.cancel()
        await floor.close()
    if floor.refusals:
        note(f"refused: {dict(floor.refusals)}")
    people = [one for one in trunk.people.values() if began <= one.called < ended]
    waits = [1000 * (one.delivered - one.lifted) for one in people if one.delivered and one.lifted]
    return {
        "bench": "dialer_calls",
        "dials_per_second": round((len(people) + refused) / (ended - began), 1),
        "connect_p50_ms": round(percentile(waits, 50), 1),
        "connect_p95_ms": round(percentile(waits, 95), 1),
        "connect_p99_ms": round(percentile(waits, 99), 1),
        "lost": len([one for one in people if one.delivered is None or not one.heard]),
        "people": len(people),
        "agents": AGENTS,
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
    port = free_port(socket.SOCK_DGRAM)
    with Product(partial(fill, port), media_workers=2, recordings=False) as product:
        figures = uvloop.run(measure(product, port, options.seconds))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
