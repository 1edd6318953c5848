"""What the filters of the tabulations page ask for (EPB-63), read from the address. Pure."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from crm.calls import Direction
from crm.tabulation import TabulationFilter
from webui.address import Address, as_date, day_start
from webui.i18n import N_

DAYS_SHOWN = 7
SECONDS_MAX = 86_400
WRONG_DATE = N_("This is not a date.")
WRONG_ORDER = N_("The period ends before it starts.")
WRONG_NUMBER = N_("A number of seconds is needed here.")
WRONG_ID = N_("A global id has digits, the letters a to f and dashes only.")


@dataclass(frozen=True)
class Asked:
    """The filter to search by, the days shown, and what was wrong with each field that could not be read."""

    filter: TabulationFilter
    start: datetime.date
    end: datetime.date  # included
    errors: Mapping[str, str] = field(default_factory=dict)


def asked(address: Address, today: datetime.date, zone: datetime.tzinfo) -> Asked:
    """Without a period the last seven days are meant; with a global id and these, any time."""
    errors: dict[str, str] = {}
    usual = today - datetime.timedelta(days=DAYS_SHOWN - 1)
    start = _day(address, "start", usual, errors)
    end = _day(address, "end", max(today, start), errors)
    if end < start:
        errors["end"] = WRONG_ORDER
        end = start
    global_id = _global_id(address, errors)
    any_time = bool(global_id) and (start, end) == (usual, today)
    direction = address.text("direction")
    return Asked(
        TabulationFilter(
            start=None if any_time else day_start(start, zone),
            end=None if any_time else day_start(end + datetime.timedelta(days=1), zone),
            groups=address.numbers("group"),
            users=address.numbers("user"),
            queues=address.texts("queue"),
            types=address.numbers("type"),
            categories=address.numbers("category"),
            direction=direction if direction in set(Direction) else None,
            campaigns=address.numbers("campaign"),
            number=address.text("number"),
            duration_min=_seconds(address, errors),
            global_id=global_id,
        ),
        start,
        end,
        errors,
    )


def _day(address: Address, name: str, otherwise: datetime.date, errors: dict[str, str]) -> datetime.date:
    text = address.text(name)
    day = as_date(text) if text else otherwise
    if day is None or not 1900 < day.year < 9000:
        errors[name] = WRONG_DATE
        return otherwise
    return day


def _seconds(address: Address, errors: dict[str, str]) -> int:
    """Seconds, or minutes and seconds with a colon: 90 and 1:30 are the same."""
    text = address.text("duration")
    minutes, colon, seconds = text.rpartition(":")
    parts = [minutes, seconds] if colon else [seconds]
    if not text:
        return 0
    if not all(part.isascii() and part.isdigit() and len(part) <= 6 for part in parts):
        errors["duration"] = WRONG_NUMBER
        return 0
    return min(SECONDS_MAX, int(seconds) + 60 * int(minutes or 0))


def _global_id(address: Address, errors: dict[str, str]) -> str:
    """The whole id or its beginning."""
    text = address.text("global").lower()
    if len(text) <= 36 and all(letter in "0123456789abcdef-" for letter in text):
        return text
    errors["global"] = WRONG_ID
    return ""
