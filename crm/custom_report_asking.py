"""What custom reports answer: what there is to ask for, pages, the rows behind a number, and files.

`crm.custom_reports` says what the rows look like, and keeps the reports themselves.
"""

import asyncio
import datetime
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg

from crm import filters
from crm.calls import ZONE
from crm.custom_report_columns import SUBJECTS, Column, Subject, columns
from crm.custom_report_sql import (
    FILED_MAX,
    SHOWN_MAX,
    Question,
    Reading,
    count_sql,
    fields_of,
    group_row,
    groups_order,
    groups_sql,
    list_order,
    list_row,
    list_sql,
    narrowing,
    page_sql,
    question,
    reading,
    stream_sql,
    values_of,
)
from crm.db import Db
from crm.entry import refuse
from crm.filters import Tree
from crm.refused import Refused
from crm.users import User, can, require

PERIODS = ("today", "yesterday", "last_7", "last_30", "this_month", "last_month", "all")
GROUPS_SHOWN = 1000  # of the groups of a report; a file has them all
PREVIEWED = 10
RUN_SECONDS = 20.0
COUNT_SECONDS = 5.0  # of the rows of a list; then the planner's guess has to do
PREVIEW_SECONDS = 2.0
FILE_SECONDS = 300.0
AT_ONCE = 4  # of pages; connections are left for the calls, whatever is asked for

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CustomReport:
    """With groups a table of them, with totals, and `columns` are of the rows behind it; without, a list."""

    id: int
    name: str
    about: str
    subject: str
    columns: tuple[str, ...]  # keys of the catalog, in order
    tree: Tree  # of crm.filters, over the catalog's fields
    order: str  # a column, a group or a measure in their own words, "-" before it: descending; "": as usual
    groups: tuple[str, ...]  # keys, or key:part of a moment or a date (PARTS)
    measures: tuple[str, ...]  # count, share, or measure:key (MEASURES)
    period: str
    asks: tuple[str, ...]  # keys of columns asked for when it is opened
    shared: bool
    owner: int | None
    owner_name: str
    updated: datetime.datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is opened for. The days are the centre's and both count; None is any.

    Of the values empty ones do not narrow. A choice is any of several, yes_no is "yes" or "no", a text or
    telephone is contained; a number or date is that one, or from the first value to the second ("" is open).
    """

    start: datetime.date | None = None
    end: datetime.date | None = None
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A page of a report as of one moment."""

    columns: tuple[str, ...]  # what each row has, in order: of a list its columns; else groups and measures
    rows: list[Row]
    count: int  # of rows, or of groups, on all pages
    exact: bool = True  # False: counting took too long, `count` is a guess
    totals: Row = field(default_factory=dict)  # of a report with groups; "count" is always among them
    capped: bool = False  # there are more groups than the GROUPS_SHOWN that can be paged through
    missing: tuple[str, ...] = ()  # what the report names and its reader cannot have: removed, or not allowed


# -- What there is to choose from --------------------------------------------------------------------------


async def catalog(db: Db | asyncpg.Connection, subject: str, by: User | None = None) -> dict[str, Column]:
    """Every column of a subject by its key, without those of customers for who may not see them."""
    found = columns(subject, await filters.fields(db), await filters.answers(db), await offered(db))
    if sees_customers(by):
        return found
    return {key: column for key, column in found.items() if not column.of_customer}


def sees_customers(by: User | None) -> bool:
    return by is None or can(by, "see_contacts")


async def offered(db: Db | asyncpg.Connection) -> dict[str, tuple[tuple[str, str], ...]]:
    """The options of choices that the centre makes itself, also of what is no longer in use."""
    rows = await db.fetch(
        """
        SELECT what, value, word FROM (
            SELECT 'user' AS what, id::text AS value, name AS word, f_norm(name) AS place
              FROM user_account WHERE id <> 0
             UNION ALL SELECT 'group', id::text, name, f_norm(name) FROM user_group
             UNION ALL SELECT 'queue', name, label, f_norm(label) FROM queue
             UNION ALL SELECT 'campaign', id::text, name, f_norm(name) FROM campaign
             UNION ALL SELECT 'layout', id::text, label, f_norm(label) FROM layout
             UNION ALL SELECT 'type', id::text, name, f_norm(name) FROM category_type
             UNION ALL
            SELECT 'category', category.id::text, category_type.name || ': ' || category.name,
                   f_norm(category_type.name || ' ' || category.name)
              FROM category JOIN category_type ON category_type.id = category.type_id
             UNION ALL SELECT 'ticket_type', id::text, name, f_norm(name) FROM ticket_type
             UNION ALL
            SELECT 'ticket_status', ticket_status.id::text, ticket_type.name || ': ' || ticket_status.name,
                   f_norm(ticket_type.name) || ' ' || lpad(ticket_status.position::text, 6, '0')
              FROM ticket_status JOIN ticket_type ON ticket_type.id = ticket_status.type_id) AS named
         ORDER BY what, place, value
        """
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        found.setdefault(row["what"], []).append((row["value"], row["word"]))
    return {what: tuple(options) for what, options in found.items()}


def days_of(period: str, today: datetime.date) -> tuple[datetime.date | None, datetime.date | None]:
    """The first and last day of one of PERIODS; None for "all"."""
    one_day = datetime.timedelta(days=1)
    first = today.replace(day=1)
    match period:
        case "today":
            return today, today
        case "yesterday":
            return today - one_day, today - one_day
        case "last_7" | "last_30":
            return today - (7 if period == "last_7" else 30) * one_day + one_day, today
        case "this_month":
            return first, today
        case "last_month":
            return (first - one_day).replace(day=1), first - one_day
        case _:
            return None, None


# -- Asking ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """A report as its reader can have it."""

    subject: Subject
    known: Mapping[str, Column]
    read: Reading
    fields: Mapping[str, filters.Field]
    orders: tuple[str, ...]  # the first that exists counts


async def ready(db: Db, by: User | None, report: CustomReport, order: str = "") -> Ready:
    """Refused for who may not see what the rows are."""
    require(by, "see_tabulations")
    if report.subject not in SUBJECTS:
        refuse({"subject": "not_an_option"})
    if report.subject == "customers":
        require(by, "see_contacts")
    subject, known = SUBJECTS[report.subject], await catalog(db, report.subject, by)
    if not sees_customers(by):
        subject = replace(subject, belongs={**subject.belongs, "#contact": "NULL"})
    read = reading(
        subject,
        known,
        report.columns,
        report.groups,
        report.measures,
        report.tree,
        report.asks,
    )
    return Ready(
        subject, known, read, fields_of(known), tuple(each for each in (order, report.order) if each)
    )


def asking(made: Ready, asked: Asked) -> Question:
    """The rows the report is about; Refused with errors "asked.<key>" for a value that is wrong."""
    today = datetime.datetime.now(ZONE).date()
    trees, errors = [made.read.tree], dict[str, str]()
    for column in made.read.asks:
        tree = narrowing(column, asked.values.get(column.key, ()))
        try:
            trees += [filters.checked(tree, made.fields)] if tree else []
        except Refused as refused:
            errors[f"asked.{column.key}"] = next(iter(refused.details["errors"].values()))
    refuse(errors)
    return question(made.subject, made.fields, trees, asked.start, asked.end, today)


async def run(
    db: Db,
    by: User | None,
    report: CustomReport,
    asked: Asked,
    limit: int = 50,
    offset: int = 0,
    order: str = "",
) -> Found:
    """A page of it. An `order` that does not exist is the report's own.

    Refused with code "too_slow" after 20 seconds, and with the errors "asked.<key>" of values that are wrong.
    """
    made = await ready(db, by, report, order)
    about = asking(made, asked)
    if made.read.groups:
        return await grouped(db, made, about, limit, offset)
    return await listed(db, made, about, limit, offset)


async def drill(
    db: Db,
    by: User | None,
    report: CustomReport,
    asked: Asked,
    row_key: str,
    limit: int = 50,
    offset: int = 0,
    order: str = "",
) -> Found:
    """The rows behind a group's numbers ("#key"), as a list; those behind the totals for ""."""
    made = await ready(db, by, report, order)
    about = asking(made, asked)
    if row_key:
        for each, value in zip(made.read.groups, values_of(row_key, made.read.groups), strict=True):
            about.narrow(each, value)
    return await listed(db, made, about, limit, offset)


async def preview(db: Db, by: User | None, draft: CustomReport) -> Found:
    """The first rows of a report being built, of its own period; Refused (too_slow) after two seconds.

    Refused with the errors of its tree, too; what else is wrong is left out and named in `missing`.
    """
    made = await ready(db, by, draft)
    filters.checked(draft.tree, made.fields)
    today = datetime.datetime.now(ZONE).date()
    about = asking(made, Asked(*days_of(draft.period, today)))
    show = grouped if made.read.groups else listed
    return await show(db, made, about, PREVIEWED, 0, PREVIEW_SECONDS)


async def listed(
    db: Db, made: Ready, about: Question, limit: int, offset: int, seconds: float = RUN_SECONDS
) -> Found:
    shown = made.read.columns
    order = list_order(about.subject, made.known, made.orders)
    statement = f"{list_sql(about, shown, order, SHOWN_MAX)}\n LIMIT {limit:d} OFFSET {offset:d}"
    async with in_turn(db, seconds), one_moment(db, seconds) as connection:
        rows = await connection.fetch(statement, *about.values) if limit else []
        count, exact = offset + len(rows), True
        if not 0 < len(rows) < limit and not (limit and count == 0):
            count, exact = await counted(connection, about, min(seconds, COUNT_SECONDS))
    return Found(
        tuple(column.key for column in shown),
        [list_row(row, shown, about.subject.belongs) for row in rows],
        max(count, offset + len(rows)),
        exact,
        missing=made.read.missing,
    )


async def counted(connection: asyncpg.Connection, about: Question, seconds: float) -> tuple[int, bool]:
    """How many rows; about how many, and False, when counting them takes too long."""
    statement = count_sql(about)
    try:
        async with connection.transaction():
            await filters.limit_time(connection, seconds)
            return await connection.fetchval(statement, *about.values), True
    except asyncpg.QueryCanceledError:
        plan = await connection.fetchval(f"EXPLAIN (FORMAT json) SELECT {about.rows}", *about.values)
        return filters.estimate(plan), False


async def grouped(
    db: Db, made: Ready, about: Question, limit: int, offset: int, seconds: float = RUN_SECONDS
) -> Found:
    groups, measures = made.read.groups, made.read.measures
    order = groups_order(groups, measures, made.orders)
    limit, offset = max(0, min(limit, GROUPS_SHOWN - offset)), min(offset, GROUPS_SHOWN)
    statement = page_sql(groups_sql(about, groups, measures), order, limit, offset)
    async with in_turn(db, seconds), one_moment(db, seconds) as connection:
        totals, *rows = await connection.fetch(statement, *about.values)
    everything = {"count": totals["n"]} | group_row(totals, groups, measures, totals["n"])
    return Found(
        made.read.said,
        [group_row(row, groups, measures, totals["n"]) for row in rows],
        totals["groups"],
        totals={key: everything[key] for key in ("count", *(one.said for one in measures))} | {"#key": ""},
        capped=totals["groups"] > GROUPS_SHOWN,
        missing=made.read.missing,
    )


async def shown_columns(db: Db, by: User | None, report: CustomReport) -> tuple[str, ...]:
    """What `stream`'s rows have, in order: the `Found.columns` of `run`."""
    return (await ready(db, by, report)).read.said


async def stream(
    db: Db, by: User | None, report: CustomReport, asked: Asked, rows_at_once: int = 1000
) -> AsyncIterator[Row]:
    """Every row, or every group, in order, as of one moment, without holding them in memory."""
    made = await ready(db, by, report)
    about = asking(made, asked)
    read = made.read
    async with one_moment(db, FILE_SECONDS) as connection:
        if read.groups:
            order = groups_order(read.groups, read.measures, made.orders)
            statement = stream_sql(groups_sql(about, read.groups, read.measures), order)
        else:
            order = list_order(about.subject, made.known, made.orders)
            statement = list_sql(about, read.columns, order, FILED_MAX)
        everything = 0
        cursor = connection.cursor(statement, *about.values, prefetch=rows_at_once, timeout=FILE_SECONDS)
        async for row in cursor:
            if not read.groups:
                yield list_row(row, read.columns, about.subject.belongs)
            elif row["everything"]:
                everything = row["n"]
            else:
                yield group_row(row, read.groups, read.measures, everything)


@asynccontextmanager
async def in_turn(db: Db, seconds: float) -> AsyncIterator[None]:
    """One of AT_ONCE; Refused when none of the others is done by then."""
    turns: asyncio.Semaphore = db.remembered.setdefault("custom reports", asyncio.Semaphore(AT_ONCE))
    try:
        async with asyncio.timeout(seconds):
            await turns.acquire()
    except TimeoutError as e:
        raise too_slow(seconds) from e
    try:
        yield
    finally:
        turns.release()


@asynccontextmanager
async def one_moment(db: Db, seconds: float) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that sees one moment; Refused when a statement in it takes longer than that."""
    async with db.acquire() as connection:
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await filters.limit_time(connection, seconds)
                yield connection
        except (asyncpg.QueryCanceledError, TimeoutError) as e:
            raise too_slow(seconds) from e


def too_slow(seconds: float) -> Refused:
    return Refused(
        "This takes longer than {seconds} seconds: choose a shorter period, or ask for less.",
        code="too_slow",
        seconds=int(seconds),
    )
