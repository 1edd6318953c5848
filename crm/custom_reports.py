"""Custom reports (UAU-63): modelled by whoever reads them, from forms, calls, campaigns and customers.

What is shown, `Found.rows`, are mappings of values in the product's own types, for the page to write out:

* of a list: each of `Found.columns` by its key, and what it belongs to: "#call" (global id), "#contact",
  "#ticket", "#campaign" (ids), each None where there is none;
* of a report with groups: each group by its own words ("agent", "started:day"), each measure by its own
  ("count", "average:talk_seconds"), and "#key", which `drill` takes for the rows behind the numbers.
  `Found.totals` has each measure over everything, also over the groups that are not shown; its key is "".

A text or telephone (E.164) that is not there is ""; a choice is the value of its option, `Column.options`
has its word, those of the product itself (a direction, a situation) are named by the page; numbers are int
or float, durations seconds, moments aware, dates of the centre's days, yes and no are bool; None is "no
value". Of the parts of a moment the day, week (its Monday) and month (its first) are dates, the hour is
0 … 23, the weekday 0 … 6 with Monday as 0.
"""

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg

from crm import audit, filters
from crm.custom_report_asking import (
    GROUPS_SHOWN,
    PERIODS,
    Asked,
    CustomReport,
    Found,
    Row,
    catalog,
    days_of,
    drill,
    preview,
    run,
    shown_columns,
    stream,
)
from crm.custom_report_columns import MEASURES, PARTS, SUBJECTS, Column, Shape
from crm.custom_report_sql import fields_of, group, measure, pruned
from crm.db import Db
from crm.entry import Entry, missing, refusing
from crm.refused import Refused
from crm.users import User, can, require

__all__ = [
    "GROUPS_SHOWN", "MEASURES", "PARTS", "PERIODS", "SUBJECTS", "Asked", "Column", "CustomReport", "Found",
    "Row", "Shape", "catalog", "days_of", "drill", "fields_of", "preview", "pruned", "run", "shown_columns",
    "stream",
]  # fmt: skip

GROUPS_MAX = 3
COLUMNS_MAX = 200
MEASURES_MAX = 12
ASKS_MAX = 12
OF_ONE_OWNER_MAX = 200
CONSTRAINTS = {"custom_report_name": "name"}


# -- Finding -------------------------------------------------------------------------------------------------

SAVED = """
    SELECT custom_report.id, custom_report.name, custom_report.about, custom_report.subject,
           custom_report.columns, custom_report.tree, custom_report."order", custom_report.groups,
           custom_report.measures, custom_report.period, custom_report.asks, custom_report.shared,
           custom_report.owner, coalesce(user_account.name, '') AS owner_name, custom_report.updated
      FROM custom_report LEFT JOIN user_account ON user_account.id = custom_report.owner
"""
LISTED = ("columns", "groups", "measures", "asks")
FACTS = (
    "name",
    "about",
    "subject",
    "columns",
    "tree",
    "order",
    "groups",
    "measures",
    "period",
    "asks",
    "shared",
)


def read(row: asyncpg.Record) -> CustomReport:
    return CustomReport(**{**row, **{name: tuple(row[name]) for name in LISTED}})


async def all(db: Db, by: User) -> list[CustomReport]:
    """One's own and those shared."""
    require(by, "see_tabulations")
    rows = await db.fetch(
        SAVED + "WHERE custom_report.owner = $1 OR custom_report.shared"
        " ORDER BY f_norm(custom_report.name), custom_report.id",
        by.id,
    )
    return [read(row) for row in rows]


async def by_id(db: Db | asyncpg.Connection, by: User | None, report_id: int) -> CustomReport:
    """Refused (not_found) unless it is one's own or shared; an administrator sees all."""
    require(by, "see_tabulations")
    row = await db.fetchrow(SAVED + "WHERE custom_report.id = $1", report_id)
    if row is None or not (row["shared"] or may_change(by, read(row))):
        raise missing("report")
    return read(row)


def may_change(by: User | None, report: CustomReport) -> bool:
    """Its owner, or an administrator."""
    return by is None or by.id == report.owner or can(by, "administer")


# -- Changing ------------------------------------------------------------------------------------------------


async def create(db: Db, by: User | None, **facts: Any) -> CustomReport:
    """`facts`: name, about, subject, columns, tree, order, groups, measures, period, asks, shared.

    Refused with errors by field: "columns.2" is the third column, "tree.0.value" as crm.filters has them.
    """
    require(by, "see_tabulations")
    async with db.acquire() as connection, connection.transaction():
        new = await checked(connection, by, facts)
        owner = by.id if by else None
        having = await connection.fetchval("SELECT count(*) FROM custom_report WHERE owner = $1", owner)
        if having >= OF_ONE_OWNER_MAX:
            raise Refused("You have {n} reports of your own already; remove one first.", n=OF_ONE_OWNER_MAX)
        with refusing(CONSTRAINTS):
            report_id = await connection.fetchval(
                """
                INSERT INTO custom_report (name, about, subject, columns, tree, "order", groups, measures,
                                           period, asks, shared, owner)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id
                """,
                *(new[name] for name in FACTS),
                owner,
            )
        await audit.note(connection, by, "custom_report.create", f"custom report {new['name']}", None, new)
        return await by_id(connection, by, report_id)


async def update(db: Db, by: User | None, report_id: int, **changes: Any) -> CustomReport:
    """Changes any of the facts; Refused (not_allowed) unless `may_change`."""
    async with db.acquire() as connection, connection.transaction():
        before = await to_change(connection, by, report_id)
        old = {name: getattr(before, name) for name in FACTS} | {
            name: list(getattr(before, name)) for name in LISTED
        }
        new = await checked(connection, by, {**old, **changes})
        with refusing(CONSTRAINTS):
            await connection.execute(
                """
                UPDATE custom_report
                   SET name = $2, about = $3, subject = $4, columns = $5, tree = $6, "order" = $7,
                       groups = $8, measures = $9, period = $10, asks = $11, shared = $12, updated = now()
                 WHERE id = $1
                """,
                report_id,
                *(new[name] for name in FACTS),
            )
        await audit.note(connection, by, "custom_report.update", f"custom report {new['name']}", old, new)
        return await by_id(connection, by, report_id)


async def remove(db: Db, by: User | None, report_id: int) -> None:
    """With its schedules; Refused (not_allowed) unless `may_change`."""
    async with db.acquire() as connection, connection.transaction():
        before = await to_change(connection, by, report_id)
        await connection.execute("DELETE FROM custom_report WHERE id = $1", report_id)
        await connection.execute("DELETE FROM report_schedule WHERE report = $1", f"custom:{report_id}")
        old = {name: getattr(before, name) for name in FACTS}
        await audit.note(connection, by, "custom_report.remove", f"custom report {before.name}", old, None)


async def to_change(connection: asyncpg.Connection, by: User | None, report_id: int) -> CustomReport:
    await connection.execute("SELECT 1 FROM custom_report WHERE id = $1 FOR UPDATE", report_id)
    report = await by_id(connection, by, report_id)
    if not may_change(by, report):
        raise Refused(
            "Only {owner} and administrators change this report; copy it to have your own.",
            code="not_allowed",
            owner=report.owner_name,
        )
    return report


async def checked(db: Db | asyncpg.Connection, by: User | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a report in one form; Refused with everything that is wrong with them."""
    entry = Entry(values)
    subject = entry.option("subject", SUBJECTS)
    known = await catalog(db, subject, by) if subject in SUBJECTS else None

    def exists(said: str, of: Callable[[str, Mapping[str, Column]], Any]) -> bool:
        return known is None or of(said, known) is not None  # of no subject nothing more can be said

    answer: dict[str, Any] = {
        "name": " ".join(entry.text("name").split()),
        "about": entry.text("about", 500, required=False),
        "subject": subject,
        "columns": chosen(entry, "columns", COLUMNS_MAX, lambda said: exists(said, column)),
        "groups": chosen(entry, "groups", GROUPS_MAX, lambda said: exists(said, group)),
        "measures": chosen(entry, "measures", MEASURES_MAX, lambda said: exists(said, measure)),
        "asks": chosen(entry, "asks", ASKS_MAX, lambda said: exists(said, column)),
        "period": entry.option("period", PERIODS),
        "shared": entry.switch("shared"),
        "order": entry.text("order", 200, required=False),
        "tree": {"all": []},
    }
    if answer["groups"]:
        answer["measures"] = answer["measures"] or ["count"]
    if known is not None:
        orders = {*answer["groups"], *answer["measures"]} if answer["groups"] else known.keys()
        if answer["order"] and answer["order"].removeprefix("-") not in orders:
            entry.errors.setdefault("order", "not_an_option")
        try:
            answer["tree"] = filters.checked(values.get("tree") or {"all": []}, fields_of(known))
        except Refused as refused:
            entry.errors |= refused.details["errors"]
    entry.done()
    return answer


def column(key: str, known: Mapping[str, Column]) -> Column | None:
    return known.get(key)


def chosen(entry: Entry, name: str, most: int, exists: Callable[[str], bool]) -> list[str]:
    """What was listed, each once and in order; the errors of those that do not exist by their place."""
    given = entry.values.get(name) or ()
    if not isinstance(given, list | tuple):
        entry.errors[name] = "not_an_option"
        return []
    for n, each in enumerate(given[: most + 1]):
        if not isinstance(each, str) or not exists(each):
            entry.errors[f"{name}.{n}"] = "not_a_field"
    if len(given) > most:
        entry.errors[name] = "too_long"
    return list(dict.fromkeys(each for each in given[:most] if isinstance(each, str)))


def draft(subject: str, **facts: Any) -> CustomReport:
    """A report that is not saved (id 0), for `preview` and for starting models; nothing is checked yet."""
    usual: dict[str, Any] = {
        "id": 0,
        "name": "",
        "about": "",
        "tree": {"all": []},
        "order": "",
        "period": "last_30",
        "shared": False,
        "owner": None,
        "owner_name": "",
        "updated": datetime.datetime.now(datetime.UTC),
    }
    lists = {name: tuple(facts.get(name) or ()) for name in LISTED}
    return CustomReport(subject=subject, **{**usual, **facts, **lists})
