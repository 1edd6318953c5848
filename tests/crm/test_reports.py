"""Every number of the eight reports equals a recount of the raw attempts, on histories made at random."""

import asyncio
import datetime
import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm import campaign_reports as reports
from crm.calls import ZONE
from crm.campaign_reports import REPORTS, SITUATIONS, STATES, ReportFilter
from crm.db import connect

DAYS = [datetime.date(2026, 10, 28) + datetime.timedelta(days=n) for n in range(8)]  # over a month's end
FIRST, LAST_DAY = DAYS[0], DAYS[-1]
EVERYTHING = ReportFilter(datetime.date(2020, 1, 1), datetime.date(2030, 1, 1))
STATE_NAMES = {
    0: "not_worked",
    1: "to_call_back",
    2: "trying",
    3: "trying_callback",
    5: "hit_limit",
    6: "cancelled",
}
TABLES = (
    "attempt, list_item, list_item_archive, campaign_load, ticket_event, ticket, ticket_status, ticket_type,"
    " campaign, contact, user_account, report_day, report_item, report_list, report_item_change,"
    " report_list_change"
)


# -- histories ---------------------------------------------------------------------------------------------


class History:
    """Does to the tables what a centre does to them, at random, and counts now and then in between."""

    def __init__(self, db, seed: int) -> None:
        self.db, self.random, self.serial = db, random.Random(seed), 0

    def moment(self) -> datetime.datetime:
        """At night too: midnight there and midnight in Greenwich are different days."""
        day = self.random.choice(DAYS)
        time = datetime.time(self.random.choice((0, 2, 9, 15, 21, 22, 23)), self.random.randrange(60))
        return datetime.datetime.combine(day, time, ZONE)

    async def begin(self) -> None:
        db = self.db
        await db.execute(f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE")
        for month in ("2026-10-01", "2026-11-01"):
            await db.execute("SELECT ensure_attempt_partition($1::text::date)", month)
        self.agents = [
            await db.fetchval(
                "INSERT INTO user_account (login, name, role, password)"
                " VALUES ($1, $2, 'agent', 'x') RETURNING id",
                f"a{n}",
                name,
            )
            for n, name in enumerate(("Zoé", "Ana", "Bruno"))
        ]
        self.contacts = [
            await db.fetchval(
                "INSERT INTO contact (name, company, document, external_code)"
                " VALUES ($1, $2, $3, $4) RETURNING id",
                self.random.choice(("João Silva", "Maria da Silva", "Padaria 100%", "Silvana Souza")),
                self.random.choice(("", "Silva & Filhos")),
                f"{n:011}",
                f"X{n}",
            )
            for n in range(10)
        ]
        self.type = await db.fetchval("INSERT INTO ticket_type (name) VALUES ('Venda') RETURNING id")
        self.status = await db.fetchval(
            "INSERT INTO ticket_status (type_id, name) VALUES ($1, 'Aberto') RETURNING id", self.type
        )
        self.campaigns = [
            await db.fetchval("INSERT INTO campaign (name, hours) VALUES ($1, '{}') RETURNING id", name)
            for name in ("Vendas", "cobrança", "Ávidos")
        ]

    async def load(self) -> None:
        campaign = self.random.choice(self.campaigns)
        generation = await self.db.fetchval("SELECT generation FROM campaign WHERE id = $1", campaign)
        await self.db.execute(
            "INSERT INTO campaign_load (campaign_id, generation, at, kind) VALUES ($1, $2, $3, 'add')",
            campaign,
            generation,
            self.moment(),
        )
        await self.db.execute(
            "INSERT INTO list_item (campaign_id, contact_id, generation) SELECT $1, unnest($2::bigint[]), $3"
            " ON CONFLICT DO NOTHING",
            campaign,
            self.random.sample(self.contacts, self.random.randrange(1, len(self.contacts) + 1)),
            generation,
        )

    async def item(self):
        return await self.db.fetchrow(
            "SELECT id, campaign_id, contact_id, generation, attempts FROM list_item"
            " ORDER BY id OFFSET $1 LIMIT 1",
            self.random.randrange(12),
        )

    async def attempt(self) -> None:
        item = await self.item()
        if item is None:
            return
        started = self.moment()
        situation = self.random.choice(SITUATIONS)
        result = self.random.choice((None, None, "success", "failure", "callback"))
        await self.db.execute(
            """
            INSERT INTO attempt (campaign_id, generation, item_id, contact_id, user_id, attempt_number,
                                 number, started, situation, result, ticket_id, callback_at, talk_seconds)
            VALUES ($1, $2, $3, $4, $5, $6, '+5511987654321', $7, $8, $9, $10, $11, 12.5)
            """,
            item["campaign_id"], item["generation"], item["id"], item["contact_id"],
            self.random.choice([*self.agents, None]), item["attempts"] + 1, started, situation, result,
            await self.ticket(item) if self.random.random() < 0.4 else None,
            self.moment() if result == "callback" else None,
        )  # fmt: skip
        await self.db.execute("UPDATE list_item SET attempts = attempts + 1 WHERE id = $1", item["id"])

    async def ticket(self, item) -> int:
        """A new one, or the last of this item again."""
        last = await self.db.fetchval("SELECT max(id) FROM ticket WHERE item_id = $1", item["id"])
        if last and self.random.random() < 0.5:
            return last
        self.serial += 1
        opened = self.moment()
        return await self.db.fetchval(
            """
            INSERT INTO ticket (protocol, type_id, status_id, contact_id, campaign_id, item_id, opened,
                                updated, closed)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id
            """,
            f"20261101-{self.serial:06}", self.type, self.status, item["contact_id"], item["campaign_id"],
            item["id"], opened, self.moment(), self.random.choice((None, self.moment())),
        )  # fmt: skip

    async def contact(self) -> None:
        """A customer came, or wrote: an agent recorded it, and it is no attempt."""
        item = await self.item()
        if item is not None:
            await self.db.execute(
                """
                INSERT INTO action (at, user_id, campaign_id, item_id, contact_id, result, without_call)
                VALUES ($1, $2, $3, $4, $5, 'success', $6)
                """,
                self.moment(), self.random.choice(self.agents), item["campaign_id"], item["id"],
                item["contact_id"], self.random.random() < 0.7,
            )  # fmt: skip

    async def change_item(self) -> None:
        item = await self.item()
        if item:
            state = self.random.randrange(7)
            await self.db.execute(
                "UPDATE list_item SET state = $2, result = $3, due_at = $4 WHERE id = $1",
                item["id"],
                state,
                self.random.choice(("success", "failure", None)) if state == 4 else None,
                self.moment() if state in (1, 2, 3) else None,
            )

    async def change_attempt(self) -> None:
        """Its form is saved, or it is found to have been another's, or to have begun at another time."""
        await self.db.execute(
            """
            UPDATE attempt SET result = $2, situation = $3, user_id = $4, started = coalesce($5, started)
             WHERE id = (SELECT id FROM attempt ORDER BY id OFFSET $1 LIMIT 1)
            """,
            self.random.randrange(20),
            self.random.choice((None, "success", "failure", "callback")),
            self.random.choice(SITUATIONS),
            self.random.choice(self.agents),
            self.random.choice((None, self.moment())),
        )

    async def change_ticket(self) -> None:
        await self.db.execute(
            "UPDATE ticket SET updated = $2, closed = $3"
            " WHERE id = (SELECT id FROM ticket ORDER BY id OFFSET $1 LIMIT 1)",
            self.random.randrange(5),
            self.moment(),
            self.random.choice((None, self.moment())),
        )

    async def remove_attempt(self) -> None:
        await self.db.execute(
            "DELETE FROM attempt WHERE id = (SELECT id FROM attempt ORDER BY id OFFSET $1 LIMIT 1)",
            self.random.randrange(30),
        )

    async def remove_contact(self) -> None:
        await self.db.execute("DELETE FROM contact WHERE id = $1", self.random.choice(self.contacts))
        self.contacts = [row["id"] for row in await self.db.fetch("SELECT id FROM contact")] or [
            await self.db.fetchval("INSERT INTO contact (name) VALUES ('Último') RETURNING id")
        ]

    async def rebuild(self) -> None:
        """The list is discarded into the archive; attempts stay, and count no more."""
        campaign = self.random.choice(self.campaigns)
        async with self.db.acquire() as connection, connection.transaction():
            await connection.execute(
                "UPDATE campaign SET generation = generation + 1 WHERE id = $1", campaign
            )
            await connection.execute(
                """
                WITH gone AS (DELETE FROM list_item WHERE campaign_id = $1 RETURNING *)
                INSERT INTO list_item_archive SELECT *, now() FROM gone
                """,
                campaign,
            )

    async def count(self) -> None:
        await reports.refresh(self.db)

    async def tidy(self) -> None:
        await reports.tidy(self.db)

    async def live(self, steps: int) -> None:
        await self.begin()
        await self.load()
        often = (
            [self.attempt] * 12
            + [self.contact] * 3
            + [self.change_item] * 6
            + [self.change_attempt] * 3
            + [self.load] * 3
        )
        seldom = [self.count, self.count, self.tidy, self.change_ticket, self.remove_attempt, self.rebuild]
        for _ in range(steps):
            await self.random.choice([*often, *seldom, self.remove_contact])()


# -- the recount -------------------------------------------------------------------------------------------


class Raw:
    """The tables as they are, counted in plain Python."""

    def __init__(self, tables: dict[str, list[dict]]) -> None:
        self.campaigns = {c["id"]: c for c in tables["campaign"]}
        self.tickets = {t["id"]: t for t in tables["ticket"]}
        self.contacts = {c["id"]: c for c in tables["contact"]}
        self.names = {u["id"]: u["name"] for u in tables["user_account"]}
        self.items = {
            i["id"]: i
            for i in tables["list_item"]
            if i["generation"] == self.campaigns[i["campaign_id"]]["generation"]
        }
        self.attempts = [a for a in tables["attempt"] if a["item_id"] in self.items]
        self.contacts_made = [a for a in tables["action"] if a["without_call"] and a["item_id"] in self.items]
        self.first_load = {}
        for load in sorted(tables["campaign_load"], key=lambda load: load["at"], reverse=True):
            if load["generation"] == self.campaigns[load["campaign_id"]]["generation"]:
                self.first_load[load["campaign_id"]] = day_of(load["at"])
        latest = {}
        for attempt in sorted(self.attempts, key=lambda a: (a["started"], a["id"])):
            latest[attempt["item_id"]] = attempt["id"]
        self.latest = set(latest.values())
        self.attempted = set(latest)

    @classmethod
    async def read(cls, db) -> "Raw":
        names = "campaign campaign_load list_item attempt ticket contact user_account action".split()
        return cls({name: [dict(row) for row in await db.fetch(f"SELECT * FROM {name}")] for name in names})

    def state(self, item_id: int) -> str:
        item = self.items[item_id]
        return (item["result"] or "concluded") if item["state"] == 4 else STATE_NAMES[item["state"]]

    def dates(self, attempt: dict, reference: str) -> list[datetime.date]:
        ticket = self.tickets.get(attempt["ticket_id"], {})
        moments = {
            "call": attempt["started"],
            "callback": attempt["callback_at"],
            "ticket": ticket.get("opened"),
            "ticket_update": ticket.get("updated"),
            "ticket_conclusion": ticket.get("closed"),
        }
        chosen = moments.values() if reference == "all" else [moments[reference]]
        return [day_of(moment) for moment in chosen if moment]

    def chosen(self, filter: ReportFilter) -> list[dict]:
        return [c for c in self.campaigns.values() if not filter.campaigns or c["id"] in filter.campaigns]

    def counted(self, filter: ReportFilter, last: bool | None = None) -> list[dict]:
        ids = {c["id"] for c in self.chosen(filter)}
        found = []
        for attempt in self.attempts:
            campaign = attempt["campaign_id"]
            start = filter.start
            if filter.from_load:
                start = self.first_load.get(campaign, datetime.date.min)
            if (
                campaign in ids
                and any(start <= day <= filter.end for day in self.dates(attempt, filter.reference))
                and filter.agent in (None, attempt["user_id"])
                and (attempt["id"] in self.latest or not (filter.last if last is None else last))
            ):
                found.append(attempt)
        return found

    def without_call(self, filter: ReportFilter) -> list[dict]:
        """By the day they were recorded, whatever the report's reference."""
        ids = {c["id"] for c in self.chosen(filter)}
        load = self.first_load
        start = {id: load.get(id, datetime.date.min) if filter.from_load else filter.start for id in ids}
        return [
            made
            for made in self.contacts_made
            if made["campaign_id"] in ids
            and start[made["campaign_id"]] <= day_of(made["at"]) <= filter.end
            and filter.agent in (None, made["user_id"])
        ]

    def listed(self, filter: ReportFilter) -> list[dict]:
        """Of UAU-R3, R5 and R8, newest first."""
        found = [
            attempt
            for attempt in self.counted(filter)
            if (not filter.states or self.state(attempt["item_id"]) in filter.states)
            and (not filter.situations or attempt["situation"] in filter.situations)
            and self.named(attempt["contact_id"], filter.customer)
        ]
        return sorted(found, key=lambda a: (a["started"], a["id"]), reverse=True)

    def named(self, contact_id: int, customer: str) -> bool:
        name = plain(self.contacts[contact_id]["name"])
        return all(plain(word) in name for word in customer.split())


def plain(text: str) -> str:
    return text.lower().translate(str.maketrans("áãéíóúç", "aaeiouc"))


def day_of(moment: datetime.datetime) -> datetime.date:
    return moment.astimezone(ZONE).date()


MACHINES = {"voicemail", "fax", "silence"}
NOT_ANSWERED = set(SITUATIONS) - MACHINES - {"completed", "dialing"}


def recount_r1(raw: Raw, filter: ReportFilter) -> dict:
    rows = defaultdict(Counter)
    for attempt in raw.counted(filter, last=False):
        row = rows[attempt["campaign_id"], attempt["user_id"] or 0]
        row["attempts"] += 1
        row["effective"] += attempt["situation"] == "completed"
        row["unsuccessful"] += attempt["situation"] not in ("completed", "dialing")
        row["by_machine"] += attempt["situation"] in MACHINES
    for attempt in raw.counted(filter, last=True):
        row = rows[attempt["campaign_id"], attempt["user_id"] or 0]
        row["items"] += 1
        row[raw.state(attempt["item_id"])] += 1
    for made in raw.without_call(filter):
        rows[made["campaign_id"], made["user_id"]]["without_call"] += 1
    if filter.agent is None:
        for id, item in raw.items.items():
            if id not in raw.attempted and (not filter.campaigns or item["campaign_id"] in filter.campaigns):
                rows[item["campaign_id"], None]["items"] += 1
                rows[item["campaign_id"], None][raw.state(id)] += 1
    return rows


def recount_summary(raw: Raw, filter: ReportFilter) -> dict:
    rows = defaultdict(Counter)
    for id, item in raw.items.items():
        if not filter.campaigns or item["campaign_id"] in filter.campaigns:
            rows[item["campaign_id"]]["loaded"] += 1
            rows[item["campaign_id"]]["not_worked"] += raw.state(id) == "not_worked"
    for attempt in raw.counted(filter):
        row = rows[attempt["campaign_id"]]
        row["worked"] += 1
        row["not_answered"] += attempt["situation"] in NOT_ANSWERED
        row["answered"] += attempt["situation"] == "completed"
        row["by_machine"] += attempt["situation"] in MACHINES
        row["success"] += attempt["result"] == "success"
        row["failure"] += attempt["result"] == "failure"
        row["callbacks"] += attempt["result"] == "callback"
        row["pre_opened"] += attempt["ticket_id"] is not None and attempt["result"] is None
    for made in raw.without_call(filter):
        rows[made["campaign_id"]]["without_call"] += 1
    return rows


def recount_r6(raw: Raw, filter: ReportFilter) -> Counter:
    return Counter(
        (attempt["campaign_id"], attempt["situation"])
        for attempt in raw.counted(filter)
        if attempt["situation"] not in ("completed", "dialing")
    )


def recount_r7(raw: Raw, filter: ReportFilter) -> tuple[Counter, Counter]:
    def status(attempt: dict) -> str:
        kinds = {
            "item": raw.state(attempt["item_id"]),
            "result": attempt["result"] or "",
            "situation": attempt["situation"],
        }
        return kinds[filter.query_type]

    counted = raw.counted(filter)
    last = max((day_of(attempt["started"]) for attempt in counted), default=None)
    return (
        Counter(map(status, counted)),
        Counter(status(attempt) for attempt in counted if day_of(attempt["started"]) == last),
    )


# -- the comparison ----------------------------------------------------------------------------------------


async def compare(db, asked: ReportFilter) -> None:
    raw = await Raw.read(db)
    for report in REPORTS.values():
        usual = ReportFilter(asked.start, asked.end)
        names = [{"campaign": "campaigns"}.get(name, name) for name in report.filters]
        filter = replace(usual, **{name: getattr(asked, name) for name in names})
        found = await reports.run(db, report, filter, limit=1000)
        match report.id:
            case "r1":
                same_numbers(report, recount_r1(raw, filter), found, "campaign_id", "user_id")
            case "r2" | "r4":
                same_numbers(report, recount_summary(raw, filter), found, "campaign_id")
            case "r6":
                assert {(r["campaign_id"], r["reason"]): r["quantity"] for r in found.rows} == recount_r6(
                    raw, filter
                )
            case "r7":
                whole, last = recount_r7(raw, filter)
                assert {r["status"]: r["quantity"] for r in found.rows} == whole
                assert {r["status"]: r["quantity_last"] for r in found.rows if r["quantity_last"]} == last
                for row in found.rows:
                    assert row["percent"] == round(100 * row["quantity"] / whole.total(), 1)
                    assert row["percent_last"] == round(100 * row["quantity_last"] / last.total(), 1)
            case _:
                same_list(raw, report, filter, found)
                await same_pages(db, report, filter, found)
        await same_behind(db, raw, report, filter, found)
        streamed = [row async for row in reports.stream(db, report, filter)]
        assert [stable(row) for row in streamed] == [stable(row) for row in found.rows]


def same_numbers(report, expected: dict, found, *key: str) -> None:
    expected = {id: +numbers for id, numbers in expected.items()}
    expected = {id: numbers for id, numbers in expected.items() if numbers}
    columns = [name for name in report.all_columns if name not in ("campaign", "agent")]
    shown = {}
    for row in found.rows:
        id = tuple(row[name] for name in key)
        shown[id if len(id) > 1 else id[0]] = +Counter({name: row[name] for name in columns})
    for numbers in expected.values():
        numbers.pop("concluded", None)  # has no column of its own
    assert shown == expected
    assert found.totals == {name: sum(row[name] for row in found.rows) for name in found.totals}


def same_list(raw: Raw, report, filter: ReportFilter, found) -> None:
    expected = raw.listed(filter)
    never = []
    if report.id == "r3" and not filter.situations:
        never = [
            id
            for id, item in sorted(raw.items.items())
            if id not in raw.attempted
            and (not filter.campaigns or item["campaign_id"] in filter.campaigns)
            and (not filter.states or raw.state(id) in filter.states)
            and raw.named(item["contact_id"], filter.customer)
        ]
    assert [row["attempt_id"] for row in found.rows] == [a["id"] for a in expected] + [None] * len(never)
    assert [row["item_id"] for row in found.rows[len(expected) :]] == never
    assert found.count == len(expected) + len(never) and not found.more
    for row, attempt in zip(found.rows, expected, strict=False):
        contact = raw.contacts[attempt["contact_id"]]
        ticket = raw.tickets.get(attempt["ticket_id"], {})
        facts = {
            "campaign": raw.campaigns[attempt["campaign_id"]]["name"],
            "agent": raw.names.get(attempt["user_id"]),
            "customer": contact["name"],
            "contact_id": contact["id"],
            "external_code": contact["external_code"],
            "document": contact["document"],
            "date": day_of(attempt["started"]),
            "time": attempt["started"].astimezone(ZONE).time(),
            "ticket": ticket.get("protocol", ""),
            "state": raw.state(attempt["item_id"]),
        }
        facts |= {
            name: attempt[name] for name in ("situation", "result", "attempt_number", "started", "answered")
        }
        facts |= {name: attempt[name] for name in ("talk_seconds", "handle_seconds")}
        assert {name: row[name] for name in facts} == facts


async def same_pages(db, report, filter: ReportFilter, found) -> None:
    """Page by page gives the same rows as all at once."""
    paged = []
    for offset in range(0, found.count, 7):
        page = await reports.run(db, report, filter, limit=7, offset=offset)
        assert page.count == found.count
        paged += page.rows
    assert [stable(row) for row in paged] == [stable(row) for row in found.rows]


async def same_behind(db, raw: Raw, report, filter: ReportFilter, found) -> None:
    """Behind every number stand as many rows, and they are different ones."""
    for row in found.rows[:4]:
        for column in report.all_columns:
            if reports.behind(report, row, column) is None:
                continue
            rows = await reports.drill(db, report, filter, row, column, limit=1000)
            expected = row[column]
            if report.lists:
                expected = sum(a["item_id"] == row["item_id"] for a in raw.attempts)
            assert (len(rows.rows), rows.count) == (expected, expected), (report.id, column)
            key = "item_id" if rows.rows and rows.rows[0]["attempt_id"] is None else "attempt_id"
            assert len({each[key] for each in rows.rows}) == expected


def stable(row) -> tuple:
    return tuple(sorted((name, str(value)) for name, value in row.items()))


asked_for = st.builds(
    lambda start, length, **more: ReportFilter(start, start + datetime.timedelta(days=length), **more),
    st.sampled_from(DAYS),
    st.integers(0, 8),
    campaigns=st.sampled_from([(), (), (1,), (2, 3)]),
    from_load=st.booleans(),
    reference=st.sampled_from(reports.REFERENCES),
    agent=st.sampled_from([None, None, 1, 2, 99]),
    last=st.booleans(),
    states=st.sampled_from([(), (), ("not_worked",), ("success", "failure"), tuple(STATES)]),
    situations=st.sampled_from([(), (), ("completed",), ("busy", "no_answer", "voicemail")]),
    customer=st.sampled_from(["", "", "silva", "joao SILVA", "100%", "nobody"]),
    query_type=st.sampled_from(reports.QUERY_TYPES),
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32), steps=st.integers(0, 60), asked=st.lists(asked_for, min_size=1, max_size=3)
)
def test_every_number_equals_a_recount_of_the_attempts(database_url, seed, steps, asked):
    async def scene() -> None:
        db = await connect(database_url)
        try:
            await History(db, seed).live(steps)
            await compare(db, EVERYTHING)
            for each in asked:
                await compare(db, each)
        finally:
            await db.close()

    asyncio.run(scene())


@pytest.mark.parametrize("seed", range(3))
async def test_counting_what_changed_gives_what_counting_everything_gives(db, seed):
    history = History(db, seed)
    await history.live(150)
    await reports.tidy(db)
    kept = await counts(db)
    assert kept[0]
    await reports.rebuild(db)
    assert await counts(db) == kept


async def counts(db) -> tuple:
    days = await db.fetch(
        "SELECT * FROM report_day WHERE n > 0 ORDER BY day, campaign_id, generation, user_id, last"
    )
    lists = await db.fetch(
        "SELECT * FROM report_list WHERE n <> 0 OR attempted <> 0 ORDER BY campaign_id, generation, state"
    )
    known = await db.fetch(
        "SELECT item_id, last_attempt, state, cardinality(days) FROM report_item ORDER BY item_id"
    )
    return [tuple(row)[1:] for row in days], [tuple(row) for row in lists], [tuple(row) for row in known]
