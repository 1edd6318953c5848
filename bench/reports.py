"""How long each of the eight reports takes over 10 million attempts, for a month and for all of them.

A year of a centre that makes some 40,000 attempts on a working day: 200 agents, each in one campaign a day,
20 campaigns, four attempts an item. Each report is asked for as its page asks, first page and counts; the
slowest of three tries counts, after one that does not. `refresh_ms_per_item` is what recounting costs after a
change.
"""

import argparse
import asyncio
import datetime
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from bench.processes import note
from config import Settings
from crm import campaign_reports as reports
from crm import embedded
from crm.campaign_reports import REPORTS, ReportFilter
from crm.db import Db, connect, migrate

ROWS = 10_000_000
DAYS = 365
LAST_DAY = datetime.date(2026, 11, 20)
FIRST_DAY = LAST_DAY - datetime.timedelta(days=DAYS - 1)
MONTH = ReportFilter(datetime.date(2026, 10, 1), datetime.date(2026, 10, 31))
ALL = ReportFilter(FIRST_DAY, LAST_DAY)
TRIES = 3
CAMPAIGNS, AGENTS, ATTEMPTS_AN_ITEM = 20, 200, 4

# An item is first tried on a day of its own and again a few days apart, each day by one of the agents who
# are in its campaign that day. What its latest attempt came to decides its state.
PEOPLE = """
INSERT INTO user_account (login, name, role, password)
SELECT 'agent' || n, 'Agente ' || n, 'agent', 'x' FROM generate_series(1, {agents}) AS n;
INSERT INTO campaign (name, hours) SELECT 'Campanha ' || n, '{{}}' FROM generate_series(1, {campaigns}) AS n;
INSERT INTO campaign_load (campaign_id, generation, at, kind)
SELECT id, 1, '{first}'::date, 'add' FROM campaign;
INSERT INTO ticket_type (name) VALUES ('Venda');
INSERT INTO ticket_status (type_id, name) SELECT id, 'Aberto' FROM ticket_type;
INSERT INTO contact (name, document)
SELECT (ARRAY['Ana','Bruno','Carla','Davi','Elisa','Fábio'])[1 + n % 6] || ' '
       || (ARRAY['Silva','Souza','Oliveira','Santos','Pereira','Lima','Gomes'])[1 + n / 6 % 7] || ' ' || n,
       lpad(n::text, 11, '0')
  FROM generate_series(1, {items}) AS n;
SELECT ensure_attempt_partition(month::date)
  FROM generate_series('{first}'::date - 31, '{last}'::date + 31, '1 month') AS month;
"""
HISTORY = """
CREATE TEMP TABLE made AS
SELECT item, 1 + item % {campaigns} AS campaign_id, number,
       '{first}'::timestamptz + make_interval(
           days => least({days} - 1, (hashint4(item) & 65535) % {days}
                         + (number - 1) * (1 + (hashint4(item) & 7))),
           secs => 43200 + (hashint4(item * 8 + number) & 65535) % 32400) AS started,
       (hashint4(item * 31 + number) & 65535) % 1000 AS luck
  FROM generate_series(1, {items}) AS item, generate_series(1, {attempts}) AS number;
"""
ATTEMPTS = """
INSERT INTO attempt (campaign_id, generation, item_id, contact_id, user_id, attempt_number, number, started,
                     answered, ended, situation, result, talk_seconds, handle_seconds)
SELECT campaign_id, 1, item, item,
       1 + (campaign_id - 1 + {campaigns} * ((luck + item) % ({agents} / {campaigns}))) % {agents}, number,
       '+5511' || 900000000 + item, started, CASE WHEN completed THEN started + interval '9 seconds' END,
       started + interval '60 seconds', situation,
       CASE WHEN NOT completed THEN NULL WHEN number < {attempts} THEN 'callback'
            WHEN luck % 3 = 0 THEN 'success' ELSE 'failure' END,
       CASE WHEN completed THEN luck ELSE 0 END, luck + 30
  FROM (SELECT *, situation = 'completed' AS completed FROM (
           SELECT *, CASE WHEN luck < 250 THEN 'completed' WHEN luck < 330 THEN 'voicemail'
                          WHEN luck < 500 THEN 'busy' WHEN luck < 860 THEN 'no_answer'
                          WHEN luck < 930 THEN 'invalid' WHEN luck < 950 THEN 'failed'
                          WHEN luck < 970 THEN 'rejected' WHEN luck < 985 THEN 'discarded_customer'
                          WHEN luck < 990 THEN 'congestion' ELSE 'not_dialed' END AS situation
             FROM made) AS t) AS made
 ORDER BY started;
"""
LIST = """
INSERT INTO list_item (id, campaign_id, contact_id, state, attempts, result, due_at, last_attempt_at)
SELECT item, campaign_id, item,
       CASE WHEN luck < 250 THEN 4 WHEN luck < 700 THEN 5 WHEN luck < 900 THEN 2 ELSE 3 END, {attempts},
       CASE WHEN luck < 250 THEN CASE WHEN luck % 3 = 0 THEN 'success' ELSE 'failure' END END, now(), started
  FROM made WHERE number = {attempts};
SELECT setval(pg_get_serial_sequence('list_item', 'id'), {items});
INSERT INTO list_item (campaign_id, contact_id)
SELECT 1 + (id + 1) % {campaigns}, id FROM contact WHERE id % 10 = 0;
"""


async def build(db: Db, rows: int) -> None:
    places = {
        "agents": AGENTS, "campaigns": CAMPAIGNS, "attempts": ATTEMPTS_AN_ITEM,
        "items": rows // ATTEMPTS_AN_ITEM,
        "first": FIRST_DAY, "last": LAST_DAY, "days": DAYS,
    }  # fmt: skip
    async with db.acquire() as connection:
        await connection.execute("SET synchronous_commit = off")
        await connection.execute("SET work_mem = '512MB'")
        await connection.execute("SET maintenance_work_mem = '1GB'")
        await connection.execute("SET session_replication_role = replica")  # counted at the end instead
        indexes = await without_indexes(connection)
        for name, step in (("people", PEOPLE), ("history", HISTORY), ("attempts", ATTEMPTS), ("list", LIST)):
            note(f"making {name}")
            await connection.execute(step.format(**places), timeout=3600)
        note("indexes")
        for index in indexes:
            await connection.execute(index, timeout=3600)
        await connection.execute("SET session_replication_role = origin")
    note("counting everything")
    began = time.monotonic()
    await reports.rebuild(db)
    note(f"counted in {time.monotonic() - began:.0f} s")
    await db.execute("VACUUM ANALYZE", timeout=3600)


async def without_indexes(connection) -> list[str]:
    """Take away the indexes that are quicker made at the end; answers how to make them."""
    rows = await connection.fetch(
        """
        SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
          FROM pg_index WHERE indrelid IN ('attempt'::regclass, 'contact'::regclass, 'list_item'::regclass)
           AND NOT indisprimary AND NOT indisunique
        """
    )
    for row in rows:
        await connection.execute(f"DROP INDEX {row['name']}")
    return [row["definition"].replace(" ON ONLY ", " ON ") for row in rows]  # and on each partition


async def slowest_ms(ask: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(TRIES + 1):
        began = time.perf_counter()
        await ask()
        times.append(1000 * (time.perf_counter() - began))
    return max(times[1:])


async def measure(db: Db) -> dict[str, float]:
    figures: dict[str, float] = {}
    for report in REPORTS.values():
        for name, filter in (("month", MONTH), ("all", ALL)):
            for last in (False, True) if "last" in report.filters else (False,):
                asked = replace(filter, last=last)
                spent = await slowest_ms(lambda report=report, asked=asked: reports.run(db, report, asked))
                key = f"{report.id}_{name}_ms"
                figures[key] = round(max(spent, figures.get(key, 0)), 1)
    for report in REPORTS.values():
        figures[report.id] = max(figures[f"{report.id}_month_ms"], figures[f"{report.id}_all_ms"])
    figures["slowest_month_ms"] = max(figures[f"{id}_month_ms"] for id in REPORTS)
    figures["slowest_ms"] = max(figures[id] for id in REPORTS)
    return figures


async def refreshing(db: Db) -> float:
    """Milliseconds to take up one changed item, among a thousand."""
    await db.execute(
        "UPDATE list_item SET state = 6, result = NULL"
        " WHERE id IN (SELECT id FROM list_item ORDER BY id LIMIT 1000)"
    )
    began = time.perf_counter()
    await reports.refresh(db)
    return 1000 * (time.perf_counter() - began) / 1000


async def bench(rows: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="ramal-bench-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # as root the server runs as somebody else
        async with embedded.postgres(replace(Settings(), data=Path(folder))) as url:
            db = await connect(url)
            try:
                await migrate(db)
                await build(db, rows)
                figures: dict[str, object] = dict(await measure(db))
                figures["counted_rows"] = await db.fetchval("SELECT count(*) FROM report_day")
                figures["refresh_ms_per_item"] = round(await refreshing(db), 3)
            finally:
                await db.close()
    return {"bench": "reports", "rows": rows, **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--json", action="store_true", help="the last line alone, as always")
    print(json.dumps(asyncio.run(bench(parser.parse_args().rows))))


if __name__ == "__main__":
    main()
