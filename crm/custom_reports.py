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
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from crm.custom_report_columns import MEASURES, PARTS, SUBJECTS, Column, Shape
from crm.db import Db
from crm.filters import Tree
from crm.users import User

__all__ = ["MEASURES", "PARTS", "PERIODS", "SUBJECTS", "Asked", "Column", "CustomReport", "Found", "Shape"]

PERIODS = ("today", "yesterday", "last_7", "last_30", "this_month", "last_month", "all")
GROUPS_MAX = 3
GROUPS_SHOWN = 1000  # of the groups of a report; a file has them all
COLUMNS_MAX = 60
MEASURES_MAX = 12
ASKS_MAX = 12

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
    telephone is contained; a number or date is that one, or with two values from one to the other ("" is open).
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


async def catalog(db: Db | asyncpg.Connection, subject: str, by: User | None = None) -> dict[str, Column]:
    """Every column of a subject by its key, without those of customers for who may not see them."""
    raise NotImplementedError


def days_of(period: str, today: datetime.date) -> tuple[datetime.date | None, datetime.date | None]:
    """The first and last day of one of PERIODS; None for "all"."""
    raise NotImplementedError


async def all(db: Db, by: User) -> list[CustomReport]:
    """One's own and those shared."""
    raise NotImplementedError


async def by_id(db: Db | asyncpg.Connection, by: User | None, report_id: int) -> CustomReport:
    """Refused (not_found) unless it is one's own or shared; an administrator sees all."""
    raise NotImplementedError


def may_change(by: User | None, report: CustomReport) -> bool:
    """Its owner, or an administrator."""
    raise NotImplementedError


async def create(db: Db, by: User | None, **facts: Any) -> CustomReport:
    """`facts`: name, about, subject, columns, tree, order, groups, measures, period, asks, shared.

    Refused with errors by field: "columns.2" is the third column, "tree.0.value" as crm.filters has them.
    """
    raise NotImplementedError


async def update(db: Db, by: User | None, report_id: int, **changes: Any) -> CustomReport:
    """Changes any of the facts; Refused (not_allowed) unless `may_change`."""
    raise NotImplementedError


async def remove(db: Db, by: User | None, report_id: int) -> None:
    """With its schedules; Refused (not_allowed) unless `may_change`."""
    raise NotImplementedError


def draft(subject: str, **facts: Any) -> CustomReport:
    """A report that is not saved (id 0), for `preview` and for starting models; nothing is checked yet."""
    raise NotImplementedError


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

    Refused with code "too_slow" after 20 seconds; with code "form" and errors "asked.<key>" for a wrong value.
    """
    raise NotImplementedError


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
    raise NotImplementedError


def stream(
    db: Db, by: User | None, report: CustomReport, asked: Asked, rows_at_once: int = 1000
) -> AsyncIterator[Row]:
    """Every row, or every group, in order, as of one moment, without holding them in memory."""
    raise NotImplementedError


async def shown_columns(db: Db, by: User | None, report: CustomReport) -> tuple[str, ...]:
    """What `stream`'s rows have, in order: the `Found.columns` of `run`."""
    raise NotImplementedError


async def preview(db: Db, by: User | None, draft: CustomReport) -> Found:
    """The first rows of a report being built, of its own period; Refused (too_slow) after two seconds."""
    raise NotImplementedError
