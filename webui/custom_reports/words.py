"""The words of custom reports (UAU-63): rows, columns, groups, measures and values. Pure.

Facts of customers are called as in the filters over them (webui.filters.words); all else is named here.
"""

import datetime
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from babel.numbers import format_decimal

from crm.calls import ZONE
from crm.custom_report_columns import CUSTOMER
from crm.custom_reports import Column, Shape
from crm.e164 import display
from webui.calls import DIRECTIONS, RESULTS
from webui.campaigns.said import DAYS
from webui.dialing.detected import HEARD
from webui.filters.words import FIELDS, GROUPS, OPTIONS, Say, Words
from webui.i18n import N_
from webui.page import duration
from webui.reports.said import RESULTS as OUTCOMES
from webui.reports.said import SITUATIONS

SUBJECTS = {
    "tabulations": N_("Forms saved about calls"),
    "attempts": N_("Attempts of campaigns"),
    "customers": N_("Customers"),
    "tickets": N_("Tickets"),
}
ABOUT = {
    "tabulations": N_("One row for each form that was saved, with its call and its customer."),
    "attempts": N_(
        "One row for each try of a campaign to reach somebody, with the form saved about its call."
    ),
    "customers": N_("One row for each customer."),
    "tickets": N_("One row for each ticket, with its customer."),
}
MEETING = {
    "tabulations": (N_("Forms that meet"), N_("or that meet"), N_("and that meet")),
    "attempts": (N_("Attempts that meet"), N_("or that meet"), N_("and that meet")),
    "customers": (N_("Customers who meet"), N_("or who meet"), N_("and who meet")),
    "tickets": (N_("Tickets that meet"), N_("or that meet"), N_("and that meet")),
}
EVERY_ONE = {
    "tabulations": N_("every form"),
    "attempts": N_("every attempt"),
    "customers": N_("every customer"),
    "tickets": N_("every ticket"),
}
GROUP_WORDS = {"call": N_("About the call"), "ticket": N_("Ticket"), "campaign": N_("Campaign")} | GROUPS
COLUMNS = {
    "agent": N_("Agent"),
    "attempt_number": N_("Number of the attempt"),
    "by_dialer": N_("Dialed by itself"),
    "call": N_("Global id"),
    "callback": N_("Callback at"),
    "campaign": N_("Campaign"),
    "category": N_("Category"),
    "cause": N_("Network cause"),
    "closed": N_("Closed at"),
    "customer": N_("Customer"),
    "detection": N_("What lifted"),
    "dialed": N_("Was dialed"),
    "direction": N_("Direction"),
    "group": N_("Group"),
    "handle_seconds": N_("Handling time"),
    "hold_seconds": N_("Time on hold"),
    "layout": N_("Form"),
    "note": N_("Note"),
    "number": N_("Number"),
    "open": N_("Is open"),
    "open_seconds": N_("Time open"),
    "opened": N_("Opened at"),
    "opened_by": N_("Opened by"),
    "protocol": N_("Protocol"),
    "queue": N_("Queue"),
    "recorded": N_("Was recorded"),
    "result": N_("Result"),
    "saved": N_("Saved at"),
    "situation": N_("Situation"),
    "started": N_("Started"),
    "status": N_("Status"),
    "success": N_("Success"),
    "talk_seconds": N_("Talk time"),
    "text": N_("Text"),
    "ticket_type": N_("Type of ticket"),
    "type": N_("Type"),
    "updated": N_("Last changed at"),
    "wait_seconds": N_("Waiting time"),
    "wrapup_seconds": N_("Wrap-up time"),
}
OPTION_WORDS: Mapping[tuple[str, str], Mapping[Any, str]] = {  # of choices that the product makes
    ("tabulations", "direction"): DIRECTIONS,
    ("tabulations", "result"): RESULTS,
    ("attempts", "situation"): SITUATIONS,
    ("attempts", "result"): OUTCOMES,
    ("attempts", "detection"): HEARD,
}
PARTS = {
    "day": N_("{column}, by day"),
    "week": N_("{column}, by week"),
    "month": N_("{column}, by month"),
    "hour": N_("{column}, by hour of the day"),
    "weekday": N_("{column}, by day of the week"),
}
MEASURES = {
    "count": N_("Quantity"),
    "share": N_("Share (%)"),
    "sum": N_("{column}: sum"),
    "average": N_("{column}: average"),
    "least": N_("{column}: least"),
    "most": N_("{column}: most"),
    "distinct": N_("{column}: how many different"),
    "yes": N_("{column}: how many yes"),
}
HOW = {
    "sum": N_("Sum"),
    "average": N_("Average"),
    "least": N_("Least"),
    "most": N_("Most"),
    "distinct": N_("How many different"),
    "yes": N_("How many yes"),
}
PERIODS = {
    "today": N_("Today"),
    "yesterday": N_("Yesterday"),
    "last_7": N_("Last 7 days"),
    "last_30": N_("Last 30 days"),
    "this_month": N_("This month"),
    "last_month": N_("Last month"),
    "all": N_("Any time"),
}
YES_NO = {True: N_("Yes"), False: N_("No")}
NOTHING = N_("(nothing)")
TEXT_SHOWN = 300  # letters of a cell on a page
SHORT_DAYS = "%d/%m/%Y"


def named(columns: Mapping[str, Column], subject: str, _: Say) -> dict[str, Column]:
    """The same columns with every label and every option in the reader's words; in the picker's order."""
    found = {key: with_words(column, subject, _) for key, column in columns.items()}
    place = list(GROUP_WORDS)
    return dict(sorted(found.items(), key=lambda pair: place.index(pair[1].group)))


def with_words(column: Column, subject: str, _: Say) -> Column:
    label = column_word(column, subject, _)
    known = OPTION_WORDS.get((subject, column.key), OPTIONS)
    options = tuple(
        (value, _(known.get(value, word)) if value == word else word) for value, word in column.options
    )
    return replace(column, label=label, field=replace(column.field, label=label, options=options))


def column_word(column: Column, subject: str, _: Say) -> str:
    if column.label:
        return column.label
    of_customer = subject == "customers" or column.key.startswith(CUSTOMER)
    return _((FIELDS if of_customer else COLUMNS)[column.key.removeprefix(CUSTOMER)])


def grouped(columns: Mapping[str, Column], _: Say) -> list[tuple[str, Words]]:
    """The columns under the headings of the picker."""
    return [
        (_(word), words)
        for group, word in GROUP_WORDS.items()
        if (words := [(each.key, each.label) for each in columns.values() if each.group == group])
    ]


# -- Headings and cells ------------------------------------------------------------------------------------


def heading(said: str, columns: Mapping[str, Column], _: Say) -> str:
    """Of a column, a group ("started:day") or a measure ("average:talk_seconds")."""
    if said in ("count", "share"):
        return _(MEASURES[said])
    first, colon, second = said.partition(":")
    if colon and first in MEASURES and second in columns:
        return _(MEASURES[first]).format(column=columns[second].label)
    if colon and first in columns:
        return _(PARTS[second]).format(column=columns[first].label)
    return columns[first].label if first in columns else said


def is_figure(said: str, columns: Mapping[str, Column]) -> bool:
    """Does the column stand to the right, as numbers do?"""
    first, colon, second = said.partition(":")
    if said in ("count", "share"):
        return True
    if colon and first in MEASURES:
        return first in ("distinct", "yes") or columns[second].sort in (Shape.NUMBER, Shape.DURATION)
    return not colon and first in columns and columns[first].sort in (Shape.NUMBER, Shape.DURATION)


def value(said: str, found: Any, columns: Mapping[str, Column], _: Say, language: str) -> str:
    """What stands in a cell of the page; "" where there is no value."""
    if found is None or found == "":
        return ""
    first, colon, second = said.partition(":")
    if said == "share":
        return f"{number(found, language, 1)} %"
    if said == "count" or (colon and first in ("distinct", "yes")):
        return number(found, language)
    if colon and first in MEASURES:
        return one(columns[second], found, _, language)
    if colon:
        return part(second, found, _)
    return one(columns[first], found, _, language)


def one(column: Column, found: Any, _: Say, language: str) -> str:
    match column.sort:
        case Shape.YES_NO:
            return _(YES_NO[found])
        case Shape.CHOICE:
            return dict(column.options).get(found, str(found))
        case Shape.NUMBER:
            return number(found, language, 2)
        case Shape.DURATION:
            return duration(found)
        case Shape.PHONE:
            return display(found)
        case Shape.MOMENT:
            return found.astimezone(ZONE).strftime(f"{SHORT_DAYS} %H:%M")
        case Shape.DATE:
            return found.strftime(SHORT_DAYS)
    return found if len(found) <= TEXT_SHOWN else found[:TEXT_SHOWN] + "…"


def part(name: str, found: Any, _: Say) -> str:
    match name:
        case "week":
            return f"{found:{SHORT_DAYS}} – {found + datetime.timedelta(days=6):{SHORT_DAYS}}"
        case "month":
            return f"{found:%m/%Y}"
        case "hour":
            return f"{found:02}:00 – {found:02}:59"
        case "weekday":
            return _(DAYS[found])
    return f"{found:{SHORT_DAYS}}"


def number(found: float, language: str, digits: int = 0) -> str:
    """With the reader's own point or comma: at most so many digits after it."""
    pattern = "#,##0." + "#" * digits if digits else "#,##0"
    return format_decimal(round(found, digits), pattern, locale=language)


def cell(said: str, found: Any, columns: Mapping[str, Column], _: Say, language: str) -> Any:
    """The same for a file: numbers and moments (where the centre is) stay such; lengths in whole seconds."""
    first, colon, second = said.partition(":")
    column = columns.get(second if colon and first in MEASURES else first)
    if isinstance(found, datetime.datetime):
        return found.astimezone(ZONE).replace(tzinfo=None, microsecond=0)
    if isinstance(found, bool):
        return _(YES_NO[found])
    if isinstance(found, int | float) and not (colon and first in columns):
        seconds = column is not None and column.sort is Shape.DURATION
        return round(found) if seconds else round(found, 4) if isinstance(found, float) else found
    if isinstance(found, str) and column is not None and column.sort is Shape.TEXT:
        return found
    return value(said, found, columns, _, language)
