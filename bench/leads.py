"""How fast a list comes in, and how long an agent waits for the next person on it.

The claim is `items.claim_next` whole, the person's numbers included, against the embedded PostgreSQL.
Fifty agents work a list of ten million, each claiming and finishing twice a second: a hundred claims a
second are five times what a floor of five hundred agents needs (`claim_p99_ms`). Then they work without a
pause, which is as many as this machine can do (`claims_per_second`; `claim_busy_p99_ms` is the wait in that
crowd). They share the product's pool of connections. `select_1_p99_ms` is what any question takes on this
machine at that time; `claim_server_ms` is PostgreSQL's own time for one claim on the large list.

`buffers_…` are the pages one claim reads, the numbers' included, the most of three kinds of list: with
callbacks due, with people not worked, and with nothing but tries to be made again; on lists just made, so
that size alone makes the difference: a page more for each index that is a level higher.

Only the people who may be claimed exist as customers; the others behind them are items alone.
"""

import argparse
import asyncio
import datetime
import importlib.util
import json
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from bench.processes import note, percentile
from config import Settings
from crm import campaigns, embedded, items, layouts, users
from crm.campaigns import Campaign
from crm.db import Db, connect, migrate
from crm.item_states import Next, Result, State
from crm.users import User

AGENTS = 50
PEOPLE = 50_000  # at the head of the list, with a number each
SMALL, LARGE = 10_000, 10_000_000
ATTEMPTS_MAX = 10
PACE_SECONDS = 0.5  # between two claims of one agent
PACED_SECONDS, BUSY_SECONDS = 20, 10
WARM_TURNS = 10
PROBES = 15
NOON = datetime.datetime(2026, 11, 18, 15, 0, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Kind:
    """One list: what its items are, as columns of n, and when they are claimed."""

    name: str
    columns: str
    claimed_at: datetime.datetime


KINDS = [
    Kind("not worked", "0, 0, NULL::timestamptz", NOON),
    Kind("callbacks", "1, 1, timestamptz '{noon}' + (n % 7200 - 36) * interval '1 second'", NOON),
    Kind("trying", "2, 1 + n % 9, timestamptz '{noon}' + (n % 7200 - 36) * interval '1 second'", NOON),
]


async def measure(small: int, large: int, folder: Path) -> dict[str, float | int]:
    settings = replace(Settings(), data=folder)
    figures: dict[str, float | int] = {}
    async with embedded.postgres(settings) as url:
        db = await connect(url)
        try:
            await migrate(db)
            agents = await centre(db)
            figures["buffers_10k"], _ = await probes(db, agents, small)
            figures["buffers_10m"], figures["claim_server_ms"] = await probes(db, agents, large)
            worked = await mixed(db, agents, large)
            figures |= await paced(db, worked, agents)
            figures |= await busy(db, worked, agents)
        finally:
            await db.close()
    return figures


# -- The lists ---------------------------------------------------------------------------------------------


async def centre(db: Db) -> list[User]:
    rows = await db.fetch(
        """
        INSERT INTO user_account (login, name, role, password)
        SELECT 'agent' || n, 'Agent ' || n, 'agent', '-' FROM generate_series(1, $1) AS n RETURNING id
        """,
        AGENTS,
    )
    await db.execute(
        "INSERT INTO contact (id, name) SELECT n, 'Person ' || n FROM generate_series(1, $1) AS n", PEOPLE
    )
    await db.execute(
        """
        INSERT INTO contact_phone (contact_id, number)
        SELECT n, '+5511' || 900000000 + n FROM generate_series(1, $1) AS n
        """,
        PEOPLE,
    )
    await layouts.create(db, None, name="form", label="Form", fields=[], types=[])
    found = [await users.by_id(db, row["id"]) for row in rows]
    return [user for user in found if user is not None]


async def campaign(db: Db, agents: list[User], name: str) -> Campaign:
    made = await campaigns.create_draft(db, None, name=name, source="leads")
    form = await db.fetchval("SELECT min(id) FROM layout")
    values: dict[str, Any] = {"layout_id": form, "attempts_max": ATTEMPTS_MAX}
    await campaigns.save_step(db, None, made.id, "settings", values)
    members = {"agents": [user.id for user in agents]}
    await campaigns.save_step(db, None, made.id, "conclusion", members)
    return await campaigns.activate(db, None, made.id)


async def fill(db: Db, lists: list[tuple[Campaign, str, int]]) -> None:
    """(campaign, columns, items), indexes made afterwards; without the triggers that look for customers."""
    started = time.monotonic()
    async with db.acquire() as connection:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("DELETE FROM list_item", timeout=600)
        await connection.execute("VACUUM list_item", timeout=600)
        indexes = await connection.fetch(
            """
            SELECT indexname AS name, indexdef AS made FROM pg_indexes
             WHERE tablename = 'list_item'
               AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE conrelid = 'list_item'::regclass)
            """
        )
        for index in indexes:
            await connection.execute(f"DROP INDEX {index['name']}")
        for made, columns, n in lists:
            await connection.execute(
                f"""
                INSERT INTO list_item (campaign_id, contact_id, state, attempts, due_at)
                SELECT $1, n, {columns.format(noon=NOON.isoformat())} FROM generate_series(1, $2::bigint) AS n
                """,
                made.id,
                n,
                timeout=1800,
            )
        await connection.execute("SET maintenance_work_mem = '256MB'")
        for index in indexes:
            await connection.execute(index["made"], timeout=1800)
        await connection.execute("VACUUM (ANALYZE) list_item", timeout=1800)
        await connection.execute("CHECKPOINT", timeout=600)
        await connection.execute("RESET session_replication_role")
    note(f"{sum(n for _, _, n in lists)} items in {time.monotonic() - started:.0f} s")


async def probes(db: Db, agents: list[User], size: int) -> tuple[int, float]:
    """Pages and milliseconds of one claim on a list of this size: the medians of the kind with the most."""
    of_kind = []
    made = [(await campaign(db, agents, f"{kind.name} of {size}"), kind) for kind in KINDS]
    share = size // len(KINDS)
    await fill(db, [(each, kind.columns, share) for each, kind in made])
    for each, kind in made:
        found = [await probe(db, each, user, kind.claimed_at) for user in agents[:PROBES]]
        pages, milliseconds = (median(values) for values in zip(*found, strict=True))
        of_kind.append((round(pages), round(milliseconds, 3)))
        note(f"{kind.name} of {size}: {pages:.0f} pages, {milliseconds:.3f} ms")
    return max(of_kind)


async def probe(db: Db, made: Campaign, user: User, now: datetime.datetime) -> tuple[int, float]:
    """What PostgreSQL counted; taken back, so that the next one finds the same list."""
    async with db.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            plan = await connection.fetchval(
                "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT json)" + items.CLAIM,
                made.id,
                user.id,
                now,
                now + HOUR,
                made.updated,
            )
        finally:
            await transaction.rollback()
    told = json.loads(plan)[0]
    root = told["Plan"]
    assert root["Actual Rows"] == 1, "nothing was claimed"
    return root["Shared Hit Blocks"] + root["Shared Read Blocks"], told["Execution Time"]


# -- Many agents -------------------------------------------------------------------------------------------


async def mixed(db: Db, agents: list[User], size: int) -> Campaign:
    """A list half worked: callbacks for later and tries for later stand beside whom nobody has called."""
    made = await campaign(db, agents, f"mixed of {size}")
    columns = (
        f"CASE WHEN n <= {PEOPLE} THEN 0 WHEN n % 10 = 0 THEN 1 WHEN n % 5 = 1 THEN 2 ELSE 0 END,"
        " n % 3,"
        f" CASE WHEN n > {PEOPLE} AND (n % 10 = 0 OR n % 5 = 1)"
        " THEN timestamptz '{noon}' + (1 + n % 999) * interval '1 hour' END"
    )
    await fill(db, [(made, columns, size)])
    return made


async def turn(db: Db, made: Campaign, user: User) -> float:
    """Seconds until the agent had the next person, who is then to be tried again later or concluded."""
    started = time.perf_counter()
    item = await items.claim_next(db, made, user, NOON)
    waited = time.perf_counter() - started
    assert item is not None, "the list is worked to its end"
    if item.id % 3:
        next = Next(State.TRYING, "", NOON + HOUR)
    else:
        next = Next(State.CONCLUDED, "", result=Result.SUCCESS)
    await items.finish(db, user, item.id, next, NOON)
    return waited


async def paced(db: Db, made: Campaign, agents: list[User]) -> dict[str, float | int]:
    waits: list[float] = []
    for _ in range(WARM_TURNS):  # each connection has prepared its statements
        await asyncio.gather(*(turn(db, made, user) for user in agents))
    until = time.monotonic() + PACED_SECONDS

    async def work(user: User, place: int) -> None:
        at = time.monotonic() + PACE_SECONDS * place / len(agents)
        while at < until:
            await asyncio.sleep(at - time.monotonic())
            waits.append(await turn(db, made, user))
            at = max(at + PACE_SECONDS, time.monotonic())

    await asyncio.gather(*(work(user, place) for place, user in enumerate(agents)))
    note(f"paced: {len(waits) / PACED_SECONDS:.0f} claims a second")
    idle = []
    for _ in range(500):  # what any question takes on this machine now, whatever else it does
        started = time.perf_counter()
        await db.fetchval("SELECT 1")
        idle.append(time.perf_counter() - started)
        await asyncio.sleep(0.01)
    return {
        "agents": len(agents),
        "select_1_p99_ms": round(percentile(idle, 99) * 1000, 2),
        "paced_claims_per_second": round(len(waits) / PACED_SECONDS, 1),
        "claim_p50_ms": round(percentile(waits, 50) * 1000, 2),
        "claim_p99_ms": round(percentile(waits, 99) * 1000, 2),
    }


async def busy(db: Db, made: Campaign, agents: list[User]) -> dict[str, float | int]:
    waits: list[float] = []
    until = time.monotonic() + BUSY_SECONDS

    async def work(user: User) -> None:
        while time.monotonic() < until:
            waits.append(await turn(db, made, user))

    await asyncio.gather(*(work(user) for user in agents))
    return {
        "claims_per_second": round(len(waits) / BUSY_SECONDS),
        "claim_busy_p99_ms": round(percentile(waits, 99) * 1000, 2),
    }


async def all_figures(small: int, large: int, rows: int | None, parts: list[str]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if "import" in parts and importlib.util.find_spec("bench.leads_import"):
        from bench import leads_import

        with tempfile.TemporaryDirectory(prefix="ramal-bench-") as folder:
            os.chmod(folder, 0o755)
            figures |= await leads_import.measure(rows or leads_import.ROWS, Path(folder))
    if "claim" in parts:
        with tempfile.TemporaryDirectory(prefix="ramal-bench-") as folder:
            os.chmod(folder, 0o755)  # as root the server runs as somebody else
            figures |= await measure(small, large, Path(folder))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=SMALL)
    parser.add_argument("--large", type=int, default=LARGE)
    parser.add_argument("--rows", type=int, help="people in the file that is imported")
    parser.add_argument("--only", choices=["import", "claim"])
    parser.add_argument("--json", action="store_true", help="one line of JSON and nothing else on stdout")
    options = parser.parse_args()
    parts = [options.only] if options.only else ["import", "claim"]
    figures = uvloop.run(all_figures(options.small, options.large, options.rows, parts))
    print(json.dumps({"bench": "leads"} | figures, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
