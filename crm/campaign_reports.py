"""The eight reports on campaigns (UAU-R1 … R8), and the attempts and items behind each of their numbers.

Counted are attempts of items on today's lists; what a rebuild discarded is in no report. `last` counts each
item once, by its latest attempt; without it every attempt counts. Sums are read from `report_day`, which
`refresh` brings up to date first, so that each number equals a recount of the attempts at that moment.
"""

import datetime
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import asyncpg

from crm.calls import ZONE
from crm.contacts import patterns
from crm.db import Db

SQL = Path(__file__).parent / "reports"
LOCK = 0x5245504F5254  # "REPORT": one recounts at a time
CHANGES_AT_ONCE = 5000
COUNT_MAX = 10_000  # of rows that have to be counted one by one
THE_BEGINNING = datetime.date(1, 1, 1)

STATES = {  # UAU-V1, as report_state gives them
    "not_worked": 0,
    "trying": 2,
    "to_call_back": 1,
    "trying_callback": 3,
    "hit_limit": 5,
    "cancelled": 6,
    "success": 4,
    "failure": 7,
    "concluded": 8,  # without a result
}
CONCLUDED = ("success", "failure", "concluded")
STATE_NAMES = {number: name for name, number in STATES.items()}
SITUATIONS = (  # UAU-V2
    "completed",
    "voicemail",
    "busy",
    "no_answer",
    "invalid",
    "congestion",
    "rejected",
    "failed",
    "discarded_cti",
    "discarded_customer",
    "cancelled",
    "blocked",
    "not_dialed",
    "abandoned",
    "fax",
    "silence",
    "dialing",
)
MACHINES = ("voicemail", "fax", "silence")  # something took the call, and nobody spoke
UNSUCCESSFUL = tuple(name for name in SITUATIONS if name not in ("completed", "dialing"))
NOT_ANSWERED = tuple(name for name in UNSUCCESSFUL if name not in MACHINES)
REFERENCES = ("call", "ticket", "callback", "ticket_update", "ticket_conclusion", "all")  # UAU-V3
RESULTS = ("success", "failure", "callback")  # UAU-V4
QUERY_TYPES = ("item", "situation", "result")  # what UAU-R7 lists


@dataclass(frozen=True, slots=True)
class Report:
    """Filters and columns in the order of the requirements; `more` are columns added at the end."""

    id: str
    filters: tuple[str, ...]
    columns: tuple[str, ...]
    more: tuple[str, ...] = ()
    lists: bool = False  # rows are attempts, shown by the page

    @property
    def all_columns(self) -> tuple[str, ...]:
        return self.columns + self.more


PERIOD = ("start", "end")
SUMMARY = (
    "campaign loaded not_worked worked not_answered answered success failure callbacks pre_opened".split()
)
REPORTS = {
    report.id: report
    for report in (
        Report(
            "r1",
            ("campaign", "from_load", *PERIOD, "agent"),
            (
                *"campaign agent items not_worked success failure to_call_back hit_limit trying".split(),
                *"trying_callback cancelled effective unsuccessful attempts".split(),
            ),
            ("by_machine", "without_call"),
        ),
        Report(
            "r2",
            ("campaigns", "from_load", *PERIOD, "reference", "agent", "last"),
            tuple(SUMMARY),
            ("by_machine", "without_call"),
        ),
        Report(
            "r3",
            ("campaigns", *PERIOD, "states", "situations", "customer"),
            ("date", "time", "customer", "document", "attempt_number", "state", "situation"),
            lists=True,
        ),
        Report(
            "r4",
            ("campaigns", "last", *PERIOD, "reference", "agent"),
            tuple(SUMMARY),
            ("by_machine", "without_call"),
        ),
        Report(
            "r5",
            ("campaigns", "last", *PERIOD, "reference", "agent", "customer"),
            ("campaign", "document", "ticket", "attempt_number", "situation", "result"),
            ("customer",),
            lists=True,
        ),
        Report("r6", ("campaigns", "last", *PERIOD), ("campaign", "reason", "quantity")),
        Report(
            "r7",
            ("query_type", "campaigns", "agent", "last", *PERIOD),
            ("status", "quantity", "percent", "quantity_last", "percent_last"),
        ),
        Report(
            "r8",
            ("campaign", *PERIOD, "reference", "agent"),
            (
                *"contact_id external_code customer state attempt_number situation result".split(),
                *"started campaign agent answered talk_seconds handle_seconds".split(),
            ),
            lists=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class ReportFilter:
    """What a report is asked for; the days are the centre's and both count."""

    start: datetime.date
    end: datetime.date
    campaigns: tuple[int, ...] = ()  # none is all
    from_load: bool = False  # from each campaign's first load instead of `start`
    reference: str = "call"
    agent: int | None = None
    last: bool = False
    states: tuple[str, ...] = ()
    situations: tuple[str, ...] = ()
    customer: str = ""
    query_type: str = "situation"


@dataclass(frozen=True, slots=True)
class Behind:
    """Which attempts, or items of the list, a number counts; every field that is not None narrows."""

    campaign: int | None = None
    agent: int | None = None  # 0 is nobody
    situations: tuple[str, ...] | None = None
    results: tuple[str, ...] | None = None  # "" is none yet
    states: tuple[str, ...] | None = None
    last: bool | None = None
    opened: bool | None = None
    day: datetime.date | None = None
    item: int | None = None
    items: bool = False  # items of the list, whatever was attempted
    never: bool = False  # items nobody attempted
    anytime: bool = False  # whatever the period


Row = Mapping[str, Any]  # a report's row: its columns, and the ids that drilling down needs


@dataclass(frozen=True)
class Found:
    """A report's rows, or a page of them, as of one moment."""

    rows: list[Row]
    count: int
    more: bool = False  # there are more than `count`
    totals: Mapping[str, int] = field(default_factory=dict)
    last_day: datetime.date | None = None  # the one that UAU-R7 compares with
    days: tuple[tuple[datetime.date, int], ...] = ()  # of a list: attempts each day, newest first


# -- Keeping count -----------------------------------------------------------------------------------------


async def refresh(db: Db, discarded: bool = False) -> int:
    """Count what changed since the last time; answers how many items that were."""
    done = 0
    async with db.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        try:
            while True:  # each time in a snapshot younger than the lock
                async with connection.transaction(isolation="repeatable_read"):
                    taken = await connection.fetchval(
                        "SELECT report_refresh($1, $2)", CHANGES_AT_ONCE, discarded
                    )
                done += taken
                if taken == 0:
                    return done
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


async def rebuild(db: Db) -> None:
    """Count everything again from the attempts themselves."""
    async with db.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK, timeout=3600)
        try:
            async with connection.transaction(isolation="repeatable_read"):
                await connection.execute("SELECT report_rebuild()", timeout=3600)
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


async def tidy(db: Db) -> None:
    """Take away what counts nothing any more: emptied days, and those of lists that were rebuilt."""
    await refresh(db, discarded=True)
    async with db.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        try:
            await connection.execute("DELETE FROM report_day WHERE n = 0")
            await connection.execute("DELETE FROM report_list WHERE n = 0 AND attempted = 0")
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


# -- The reports -------------------------------------------------------------------------------------------


async def run(
    db: Db, report: Report, filter: ReportFilter, limit: int = 50, offset: int = 0, fresh: bool = True
) -> Found:
    """The report's rows; of a list, `limit` of them from `offset` on."""
    if fresh:
        await refresh(db)
    match report.id:
        case "r1":
            return summed(report, await asked(db, "by_agent", filter))
        case "r2" | "r4":
            return summed(report, await asked(db, "summary", filter))
        case "r6":
            return summed(report, await asked(db, "unanswered", filter))
        case "r7":
            return await position(db, filter)
        case "r3":
            return await detail(db, filter, limit, offset)
        case _:
            return await attempts(db, filter, Behind(), limit, offset)


async def asked(db: Db, name: str, filter: ReportFilter) -> list[Row]:
    statement = sql(name, filter.reference, filter.query_type)
    return [dict(row) for row in await db.fetch(statement, *arguments(filter))]


def summed(report: Report, rows: list[Row]) -> Found:
    numbers = [name for name in report.all_columns if rows and isinstance(rows[0][name], int)]
    return Found(rows, len(rows), totals={name: sum(row[name] for row in rows) for name in numbers})


async def position(db: Db, filter: ReportFilter) -> Found:
    """UAU-R7: shares are of all attempts counted in the period, and on its last day with any."""
    rows = await asked(db, "position", filter)
    totals = {name: sum(row[name] for row in rows) for name in ("quantity", "quantity_last")}
    rows = [
        {
            **row,
            "percent": percent(row["quantity"], totals["quantity"]),
            "percent_last": percent(row["quantity_last"], totals["quantity_last"]),
        }
        for row in rows
    ]
    return Found(rows, len(rows), totals=totals, last_day=rows[0]["last_day"] if rows else None)


def percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


async def detail(db: Db, filter: ReportFilter, limit: int, offset: int) -> Found:
    """UAU-R3: the attempts of the period, then the items nobody attempted, which have no date."""
    tried = await attempts(db, filter, Behind(), limit, offset)
    if filter.situations or tried.more:
        return tried
    rest = limit - len(tried.rows)
    waiting = await items(db, filter, Behind(never=True), rest, max(0, offset - tried.count))
    return replace(
        tried,
        rows=[*tried.rows, *waiting.rows],
        count=tried.count + waiting.count,
        more=waiting.more,
    )


# -- Behind a number ---------------------------------------------------------------------------------------

CAMPAIGN_COLUMNS: dict[str, Behind] = {  # of UAU-R2 and UAU-R4
    "loaded": Behind(items=True),
    "not_worked": Behind(items=True, states=("not_worked",)),
    "worked": Behind(),
    "not_answered": Behind(situations=NOT_ANSWERED),
    "answered": Behind(situations=("completed",)),
    "success": Behind(results=("success",)),
    "failure": Behind(results=("failure",)),
    "callbacks": Behind(results=("callback",)),
    "pre_opened": Behind(opened=True),
    "by_machine": Behind(situations=MACHINES),
}
AGENT_COLUMNS: dict[str, Behind] = {  # of UAU-R1
    "items": Behind(last=True),
    **{
        state: Behind(last=True, states=(state,))
        for state in (
            "not_worked success failure to_call_back hit_limit trying trying_callback cancelled".split()
        )
    },
    "effective": Behind(situations=("completed",)),
    "unsuccessful": Behind(situations=UNSUCCESSFUL),
    "attempts": Behind(),
    "by_machine": Behind(situations=MACHINES),
}


def behind(report: Report, row: Row, column: str) -> Behind | None:
    """What the number counts that stands in this row and column; None when it is no number of things."""
    match report.id:
        case "r1" if column in AGENT_COLUMNS:
            counted = replace(AGENT_COLUMNS[column], campaign=row["campaign_id"])
            if row["user_id"] is None:
                return replace(counted, never=True, last=None) if counted.last else None
            return replace(counted, agent=row["user_id"])
        case "r2" | "r4" if column in CAMPAIGN_COLUMNS:
            return replace(CAMPAIGN_COLUMNS[column], campaign=row["campaign_id"])
        case "r6" if column == "quantity":
            return Behind(campaign=row["campaign_id"], situations=(row["reason"],))
        case "r7" if column in ("quantity", "quantity_last"):
            day = row["last_day"] if column == "quantity_last" else None
            return Behind(day=day)
        case "r3" | "r5" | "r8" if column == "attempt_number":
            return Behind(item=row["item_id"], anytime=True)
    return None


def of_status(counted: Behind, query_type: str, status: str) -> Behind:
    """UAU-R7's status is of another kind with each type of query."""
    match query_type:
        case "item":
            return replace(counted, states=tuple(name for name in STATES if name == status))
        case "result":
            return replace(counted, results=tuple(name for name in RESULT_COLUMNS if name == status))
        case _:
            return replace(counted, situations=(status,))


def row_key(report: Report, row: Row) -> str:
    """What an address calls this row; `row_of` reads it."""
    match report.id:
        case "r1":
            return f"{row['campaign_id']}.{'-' if row['user_id'] is None else row['user_id']}"
        case "r2" | "r4":
            return str(row["campaign_id"])
        case "r6":
            return f"{row['campaign_id']}.{row['reason']}"
        case "r7":
            return f"{row['last_day']}.{row['status']}"
        case _:
            return str(row["item_id"])


def row_of(report: Report, key: str) -> Row | None:
    """As much of the row as `behind` asks of it; None when the key is of no row."""
    first, _, second = key.partition(".")
    try:
        match report.id:
            case "r1":
                return {"campaign_id": as_id(first), "user_id": None if second == "-" else as_id(second)}
            case "r2" | "r4":
                return {"campaign_id": as_id(first)}
            case "r6" if second in UNSUCCESSFUL:
                return {"campaign_id": as_id(first), "reason": second}
            case "r7" if any(second in names for names in NUMBERS.values()):
                return {"last_day": datetime.date.fromisoformat(first), "status": second}
            case "r3" | "r5" | "r8":
                return {"item_id": as_id(first)}
    except ValueError:
        pass
    return None


def as_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError(text)
    return int(text)


async def drill(
    db: Db, report: Report, filter: ReportFilter, row: Row, column: str, limit: int = 50, offset: int = 0
) -> Found:
    """The attempts, or the items, that this row's number counts."""
    counted = behind(report, row, column)
    if counted is None:
        return Found([], 0)
    if report.id == "r7":
        counted = of_status(counted, filter.query_type, row["status"])
    return await listed(db, filter, counted, limit, offset)


async def listed(db: Db, filter: ReportFilter, counted: Behind, limit: int = 50, offset: int = 0) -> Found:
    """The rows of a number."""
    await refresh(db)
    find = items if counted.items or counted.never else attempts
    return await find(db, filter, counted, limit, offset)


# -- Lists -------------------------------------------------------------------------------------------------


class Conditions:
    """What rows have to fulfil, with the values in the order of their places."""

    def __init__(self, values: list[Any]) -> None:
        self.said: list[str] = ["true"]
        self.values = values

    def add(self, condition: str, *values: Any) -> None:
        """`condition` has {} for each value."""
        first = len(self.values) + 1
        self.said.append(condition.format(*(f"${first + n}" for n in range(len(values)))))
        self.values.extend(values)

    def __str__(self) -> str:
        return "\n           AND ".join(self.said)


async def attempts(db: Db, filter: ReportFilter, counted: Behind, limit: int, offset: int) -> Found:
    """Where it is known how many there are on each day, only the days of this page are looked into."""
    days = await by_day(db, filter, counted)
    if days is None:
        statement, values = await attempts_statement(db, filter, counted)
        count = await db.fetchval(sql("attempts_counted").format(**statement, most=COUNT_MAX + 1), *values)
        rows = await fetch(db, statement, values, limit, offset) if count else []
        return Found(rows, min(count, COUNT_MAX), more=count > COUNT_MAX)
    count = sum(n for _, n in days)
    rows = []
    if offset < count and limit > 0:
        reached = list(accumulate(n for _, n in days))
        first = next(at for at, n in enumerate(reached) if n > offset)
        last = next((at for at, n in enumerate(reached) if n >= offset + limit), len(days) - 1)
        page = replace(filter, start=days[last][0], end=days[first][0], from_load=False)
        statement, values = await attempts_statement(db, page, replace(counted, day=None))
        rows = await fetch(db, statement, values, limit, offset - (reached[first] - days[first][1]))
    return Found(rows, count, days=tuple(days))


async def by_day(db: Db, filter: ReportFilter, counted: Behind) -> list[tuple[datetime.date, int]] | None:
    """How many attempts each day has, newest first; None when they have to be counted one by one."""
    narrowed = [
        None if (states := both(filter.states, counted.states)) is None else states_of(states),
        None if (names := both(filter.situations, counted.situations)) is None else prefixed("s_", names),
        None if counted.results is None else [RESULT_COLUMNS[name] for name in counted.results],
        None if counted.opened is None else ["opened" if counted.opened else "n - opened"],
    ]
    numbers = [columns for columns in narrowed if columns is not None]
    if counted.anytime or filter.reference != "call" or filter.customer or len(numbers) > 1:
        return None  # report_day counts each of these by itself
    where = Conditions(arguments(filter))
    if counted.campaign is not None:
        where.add("campaign_id = {}", counted.campaign)
    if counted.agent is not None:
        where.add("user_id = {}", counted.agent)
    if counted.last:
        where.add("last")
    if counted.day is not None:
        where.add("day = {}", counted.day)
    number = " + ".join(numbers[0]) or "0" if numbers else "n"
    text = sql("days").replace("{number}", number).replace("{conditions}", str(where))
    return [(row["day"], row["n"]) for row in await db.fetch(text, *where.values)]


async def attempts_statement(
    db: Db, filter: ReportFilter, counted: Behind
) -> tuple[dict[str, str], list[Any]]:
    """The tables and conditions of attempts.sql."""
    where = Conditions([])
    dated = filter.reference != "call" and not counted.anytime
    if dated:
        where.values.extend((THE_BEGINNING if filter.from_load else filter.start, filter.end))
        source = f"""(SELECT id, started, max(at) AS at FROM ({event_sql(filter.reference)}) AS event
                       GROUP BY id, started) AS dated
          JOIN attempt ON attempt.id = dated.id AND attempt.started = dated.started"""
    else:
        source = "attempt"
    # Asked of each row, not joined: a page's rows are found by their time, and few others are looked at.
    states = both(() if counted.anytime else filter.states, counted.states)
    of_item = "campaign.generation = item.generation"
    if states is not None:
        of_item += " AND report_state(item.state, item.result) = ANY ({}::smallint[])"
    where.add(
        f"(SELECT {of_item} FROM list_item AS item JOIN campaign ON campaign.id = item.campaign_id"
        " WHERE item.id = attempt.item_id)",
        *([] if states is None else [numbers_of(states)]),
    )
    if not dated and not counted.anytime:
        where.add("attempt.started >= {}", midnight(filter.start))
        where.add("attempt.started < {}", midnight(filter.end + datetime.timedelta(days=1)))
    if counted.day is not None:
        where.add("attempt.started >= {}", midnight(counted.day))
        where.add("attempt.started < {}", midnight(counted.day + datetime.timedelta(days=1)))
    if dated and filter.from_load:
        where.add("""report_day(dated.at) >= coalesce((
               SELECT report_day(min(campaign_load.at)) FROM campaign_load
                 JOIN campaign AS loaded ON loaded.id = campaign_load.campaign_id
                  AND loaded.generation = campaign_load.generation
                WHERE loaded.id = attempt.campaign_id), '-infinity')""")
    if (counted.last or filter.last) and not counted.anytime:
        where.add("(SELECT last_attempt FROM report_item WHERE item_id = attempt.item_id) = attempt.id")
    if filter.campaigns and not counted.anytime:
        where.add("attempt.campaign_id = ANY ({}::integer[])", list(filter.campaigns))
    if counted.campaign is not None:
        where.add("attempt.campaign_id = {}", counted.campaign)
    if filter.agent is not None and not counted.anytime:
        where.add("attempt.user_id = {}", filter.agent)
    if counted.agent == 0:
        where.add("attempt.user_id IS NULL")
    elif counted.agent is not None:
        where.add("attempt.user_id = {}", counted.agent)
    if counted.item is not None:
        where.add("attempt.item_id = {}", counted.item)
    situations = both(() if counted.anytime else filter.situations, counted.situations)
    if situations is not None:
        where.add("attempt.situation = ANY ({}::text[])", list(situations))
    if counted.results is not None:
        where.add("coalesce(attempt.result, '') = ANY ({}::text[])", list(counted.results))
    if counted.opened is not None:
        where.add("(attempt.ticket_id IS NOT NULL AND attempt.result IS NULL) = {}", counted.opened)
    if filter.customer and not counted.anytime:
        await add_customer(db, where, "attempt.contact_id", filter.customer)
    return {"attempts": source, "conditions": str(where)}, where.values


async def add_customer(db: Db, where: Conditions, column: str, customer: str) -> None:
    """Every word of it somewhere in the name, without accents and capitals."""
    words = await patterns(db, customer.replace("\x00", " ").split()[:8])
    where.add(
        column + " IN (SELECT id FROM contact WHERE found_by LIKE ALL ({}::text[])"
        " AND f_norm(name) LIKE ALL ({}::text[]))",
        words or [],
        words or [],
    )


async def fetch(db: Db, statement: dict[str, str], values: list[Any], limit: int, offset: int) -> list[Row]:
    page = f"LIMIT {int(limit)} OFFSET {int(offset)}"
    return [shown(row) for row in await db.fetch(sql("attempts").format(**statement, page=page), *values)]


async def items(db: Db, filter: ReportFilter, counted: Behind, limit: int, offset: int) -> Found:
    """Items of today's lists, by what they are now; the period does not concern them."""
    statement, values = await items_statement(db, filter, counted)
    if filter.customer:
        count = await db.fetchval(sql("items_counted").format(**statement, most=COUNT_MAX + 1), *values)
    else:
        count = await db.fetchval(
            """
            SELECT coalesce(sum(CASE WHEN $1 THEN n - attempted ELSE n END), 0)::bigint
              FROM report_list JOIN campaign ON campaign.id = report_list.campaign_id
                   AND campaign.generation = report_list.generation
             WHERE ($2::integer[] IS NULL OR campaign.id = ANY ($2))
               AND ($3::integer IS NULL OR campaign.id = $3)
               AND ($4::smallint[] IS NULL OR state = ANY ($4))
            """,
            counted.never,
            list(filter.campaigns) or None,
            counted.campaign,
            None if (states := both(filter.states, counted.states)) is None else numbers_of(states),
        )
    rows: list[Row] = []
    if offset < count and limit > 0:
        page = f"LIMIT {int(limit)} OFFSET {int(offset)}"
        rows = [shown(row) for row in await db.fetch(sql("items").format(**statement, page=page), *values)]
    most = COUNT_MAX if filter.customer else count
    return Found(rows, min(count, most), more=count > most)


async def items_statement(db: Db, filter: ReportFilter, counted: Behind) -> tuple[dict[str, str], list[Any]]:
    where = Conditions([])
    source = """list_item AS item
          JOIN campaign ON campaign.id = item.campaign_id AND campaign.generation = item.generation"""
    if filter.campaigns:
        where.add("item.campaign_id = ANY ({}::integer[])", list(filter.campaigns))
    if counted.campaign is not None:
        where.add("item.campaign_id = {}", counted.campaign)
    states = both(filter.states, counted.states)
    if states is not None:
        where.add("report_state(item.state, item.result) = ANY ({}::smallint[])", numbers_of(states))
    if counted.never:
        where.add("NOT EXISTS (SELECT FROM report_item WHERE report_item.item_id = item.id)")
    if filter.customer:
        await add_customer(db, where, "item.contact_id", filter.customer)
    return {"items": source, "conditions": str(where)}, where.values


async def stream(
    db: Db, report: Report, filter: ReportFilter, rows_at_once: int = 1000
) -> AsyncIterator[Row]:
    """All rows of a report, as of one moment, without holding a list in memory."""
    if not report.lists:
        for row in (await run(db, report, filter)).rows:
            yield row
        return
    await refresh(db)
    statements = [("attempts", *(await attempts_statement(db, filter, Behind())))]
    if report.id == "r3" and not filter.situations:
        statements.append(("items", *(await items_statement(db, filter, Behind(never=True)))))
    async with db.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        for name, statement, values in statements:
            text = sql(name).format(**statement, page="")
            async for row in connection.cursor(text, *values, prefetch=rows_at_once):
                yield shown(row)


# -- Reading -----------------------------------------------------------------------------------------------


def shown(row: asyncpg.Record) -> Row:
    """With names instead of numbers, and the moment split as UAU-R3 shows it."""
    never = "attempt_id" not in row
    started = None if never else row["started"]
    local = started.astimezone(ZONE) if started else None
    return {
        **NOTHING,
        **dict(row),
        "state": STATE_NAMES[row["state"]],
        "started": started,
        "date": local.date() if local else None,
        "time": local.time().replace(microsecond=0) if local else None,
    }


NOTHING: Row = {
    "attempt_id": None,
    "situation": "",
    "result": "",
    "agent": None,
    "answered": None,
    "talk_seconds": None,
    "handle_seconds": None,
    "ticket": "",
    "ticket_id": None,
    "number": "",
    "call_id": None,
}


def arguments(filter: ReportFilter) -> list[Any]:
    """$1 … $6 of chosen.sql."""
    return [
        list(filter.campaigns) or None,
        THE_BEGINNING if filter.from_load else filter.start,
        filter.end,
        filter.from_load,
        filter.agent,
        filter.last,
    ]


def both(asked: tuple[str, ...], counted: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """What a filter of several leaves of what a number counts; an empty filter leaves all of it."""
    if counted is None:
        return asked or None
    return tuple(name for name in counted if not asked or name in asked)


def numbers_of(states: tuple[str, ...]) -> list[int]:
    return [STATES[name] for name in states]


def midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), ZONE)


# Columns of report_day.
RESULT_COLUMNS = {name: f"r_{name}" for name in RESULTS} | {"": "(n - r_success - r_failure - r_callback)"}
NUMBERS = {  # by what UAU-R7 lists
    "item": {name: f"i_{name}" for name in STATES},
    "situation": {name: f"s_{name}" for name in SITUATIONS},
    "result": RESULT_COLUMNS,
}


def prefixed(prefix: str, names: Iterable[str]) -> list[str]:
    return [prefix + name for name in names]


def states_of(names: Iterable[str]) -> list[str]:
    return prefixed("i_", names)


# Which attempts have their date in the period, and when that was.
EVENTS = {
    "call": "SELECT id, started, started AS at FROM attempt WHERE started >= {from_} AND started < {until}",
    "callback": """
        SELECT id, started, callback_at AS at FROM attempt
         WHERE callback_at >= {from_} AND callback_at < {until}""",
    **{
        name: f"""
        SELECT attempt.id, attempt.started, ticket.{column} AS at
          FROM ticket JOIN attempt ON attempt.ticket_id = ticket.id
         WHERE ticket.{column} >= {{from_}} AND ticket.{column} < {{until}}"""
        for name, column in (
            ("ticket", "opened"),
            ("ticket_update", "updated"),
            ("ticket_conclusion", "closed"),
        )
    },
}


def event_sql(reference: str, first: int = 1) -> str:
    """The period's days are $first and the one after."""
    chosen = EVENTS.values() if reference == "all" else [EVENTS[reference]]
    zone = "::timestamp AT TIME ZONE 'America/Sao_Paulo'"
    from_, until = f"(${first}::date){zone}", f"(${first + 1}::date + 1){zone}"
    return " UNION ALL ".join(each.format(from_=from_, until=until) for each in chosen)


@cache
def sql(name: str, reference: str = "call", query_type: str = "situation") -> str:
    """A statement of crm/reports with its parts put in."""
    text = read(name)
    if "{chosen}" not in text:
        return text
    if reference == "call":
        counted = read("counted_by_call")
    else:
        counted = read("counted_by_date").replace("{dated}", event_sql(reference, first=2))
        counted = counted.replace("{columns}", COUNTED_COLUMNS)
    columns = NUMBERS[query_type]
    return (
        text.replace("{chosen}", read("chosen"))
        .replace("{contacts}", read("contacts"))
        .replace("{counted}", counted)
        .replace("{sums}", ", ".join(f"sum({column}) AS at_{n}" for n, column in enumerate(columns.values())))
        .replace("{pairs}", ", ".join(f"('{name}', at_{n})" for n, name in enumerate(columns)))
    )


def read(name: str) -> str:
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


COUNTED_COLUMNS = ",\n           ".join(
    f"count(*) FILTER (WHERE {condition}) AS {column}"
    for condition, column in (
        *((f"situation = '{name}'", f"s_{name}") for name in SITUATIONS),
        *((f"result = '{name}'", f"r_{name}") for name in RESULTS),
        *((f"state = {number}", f"i_{name}") for name, number in STATES.items()),
    )
)


async def campaigns(db: Db) -> list[tuple[int, str]]:
    """Those that have been loaded, as (id, name)."""
    rows = await db.fetch(
        """
        SELECT id, name FROM campaign
         WHERE EXISTS (SELECT FROM campaign_load WHERE campaign_load.campaign_id = campaign.id)
            OR EXISTS (SELECT FROM report_list WHERE report_list.campaign_id = campaign.id)
         ORDER BY f_norm(name), id
        """
    )
    return [(row["id"], row["name"]) for row in rows]
