"""What a custom report is opened for, read from its address. Pure.

`start` and `end` are days, `period` one of crm.custom_reports.PERIODS; days go before a period. What the
report asks for is `ask.<key>`: of a choice any number of times; of numbers, durations, days and moments it is
`ask.<key>.from` and `ask.<key>.to`.
"""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from crm.custom_reports import PERIODS, Asked, Column, CustomReport, Shape, days_of
from webui.address import Address, as_date
from webui.i18n import N_
from webui.reports.asked import WRONG_DATE, WRONG_ORDER

ASK = "ask."
FROM, TO = ".from", ".to"
RANGED = (Shape.NUMBER, Shape.DURATION, Shape.DATE, Shape.MOMENT)
WRONG_DURATION = N_("A length is seconds, or minutes and seconds with a colon: 90 or 1:30.")


@dataclass(frozen=True)
class Wanted:
    """What is asked, which period that is ("" for days of its own), and what could not be read."""

    asked: Asked
    period: str
    errors: Mapping[str, str] = field(default_factory=dict)


def wanted(
    report: CustomReport, columns: Mapping[str, Column], address: Address, today: datetime.date
) -> Wanted:
    """The report's own period when the address has none."""
    errors: dict[str, str] = {}
    named = address.text("period")
    period = named if named in PERIODS else report.period
    start, end = days_of(period, today)
    if address.text("start") or address.text("end"):
        given = day(address, "start", errors), day(address, "end", errors)
        if not errors and given[0] and given[1] and given[1] < given[0]:
            errors["end"] = WRONG_ORDER
        if not errors:
            period = next((name for name in PERIODS if days_of(name, today) == given), "")
            start, end = given
    values = {key: answered(columns[key], address, errors) for key in report.asks if key in columns}
    return Wanted(Asked(start, end, {key: each for key, each in values.items() if any(each)}), period, errors)


def day(address: Address, name: str, errors: dict[str, str]) -> datetime.date | None:
    text = address.text(name)
    found = as_date(text) if text else None
    if text and (found is None or not 1900 < found.year < 9000):
        errors[name] = WRONG_DATE
        return None
    return found


def answered(column: Column, address: Address, errors: dict[str, str]) -> tuple[str, ...]:
    """As crm.custom_reports.Asked has it."""
    name = ASK + column.key
    if column.sort not in RANGED:
        return address.texts(name) if column.sort is Shape.CHOICE else (address.text(name),)
    ends = address.text(name + FROM), address.text(name + TO)
    if column.sort is Shape.DURATION:
        read = tuple(seconds(text) for text in ends)
        if None in read:
            errors[column.key] = WRONG_DURATION
            return ()
        return tuple(each or "" for each in read)
    return ends


def seconds(text: str) -> str | None:
    """Of a length as somebody types it: 90, 1:30 or 0:01:30; None when it is not one."""
    if not text:
        return ""
    if not re.fullmatch(r"[0-9]{1,6}(:[0-9]{1,2}){0,2}", text, re.ASCII):
        return None
    total = 0
    for each in text.split(":"):
        total = 60 * total + int(each)
    return str(total)
