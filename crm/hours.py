"""PURE. When a campaign may call: its validity and its grid of hours, each weekday by itself."""

import datetime
from collections.abc import Iterator, Mapping, Sequence

DAY = 24 * 60
WEEK = 7
DAYS_AHEAD = 366  # that are looked at
Hours = Mapping[str, Sequence[Sequence[int]]]  # {"0": [[480, 720], …]}: minutes of a weekday, Monday is 0


def every_day(*spans: tuple[int, int]) -> dict[str, list[list[int]]]:
    return {str(day): [list(span) for span in spans] for day in range(WEEK)}


PRESETS: dict[str, dict[str, list[list[int]]]] = {
    "24h": every_day((0, DAY)),
    "07-19": every_day((7 * 60, 19 * 60)),
    "08-12_14-18": every_day((8 * 60, 12 * 60), (14 * 60, 18 * 60)),
    "07-22": every_day((7 * 60, 22 * 60)),
}
CUSTOM = "custom"


def problem(hours: Hours) -> str | None:
    """The message key of what is wrong with a grid: known days, spans inside the day, in order, apart."""
    for day, spans in hours.items():
        if day not in PRESETS["24h"]:
            return "not_an_option"
        end = -1
        for span in spans:
            if len(span) != 2 or not all(isinstance(minute, int) for minute in span):
                return "not_an_option"
            if not (end < span[0] < span[1] <= DAY):
                return "out_of_range"
            end = span[1]
    return None if any(hours.values()) else "required"


def is_in(hours: Hours, local: datetime.datetime) -> bool:
    minute = local.hour * 60 + local.minute
    return any(start <= minute < end for start, end in hours.get(str(local.weekday()), ()))


def hours_per_week(hours: Hours) -> float:
    return sum(end - start for spans in hours.values() for start, end in spans) / 60


def common(hours: Hours, others: Hours) -> dict[str, list[list[int]]]:
    """The minutes of each weekday that both allow."""
    both = {
        day: [
            [max(start, opens), min(end, closes)]
            for start, end in spans
            for opens, closes in others.get(day, ())
            if max(start, opens) < min(end, closes)
        ]
        for day, spans in hours.items()
    }
    return {day: spans for day, spans in both.items() if spans}


def open_seconds(hours: Hours, begins: datetime.datetime, ends: datetime.datetime) -> float:
    """How much of that time is open; both where the centre is."""
    return sum(
        max(0.0, (min(closes, ends) - max(opens, begins)).total_seconds())
        for opens, closes in openings(hours, begins, (ends.date() - begins.date()).days)
    )


def through_at(hours: Hours, begins: datetime.datetime, seconds: float) -> datetime.datetime | None:
    """When so many open seconds have passed; None when not within a year. Both where the centre is."""
    left = seconds
    for opens, closes in openings(hours, begins, DAYS_AHEAD):
        passes = (closes - max(opens, begins)).total_seconds()
        if passes >= left:
            return max(opens, begins) + datetime.timedelta(seconds=left)
        left -= max(0.0, passes)
    return None


def openings(
    hours: Hours, begins: datetime.datetime, days: int
) -> Iterator[tuple[datetime.datetime, datetime.datetime]]:
    """From when to when it is open, from that day on and so many days more."""
    for ahead in range(days + 1):
        day = begins.date() + datetime.timedelta(days=ahead)
        midnight = datetime.datetime.combine(day, datetime.time(), begins.tzinfo)
        for start, end in hours.get(str(day.weekday()), ()):
            yield midnight + datetime.timedelta(minutes=start), midnight + datetime.timedelta(minutes=end)


def campaign_open(
    hours: Hours,
    permanent: bool,
    valid_from: datetime.date | None,
    valid_until: datetime.date | None,
    local: datetime.datetime,
) -> bool:
    """Whether the campaign may call at this local time; the last day of its validity is included."""
    return is_valid(permanent, valid_from, valid_until, local.date()) and is_in(hours, local)


def is_valid(
    permanent: bool,
    valid_from: datetime.date | None,
    valid_until: datetime.date | None,
    day: datetime.date,
) -> bool:
    if permanent:
        return True
    return valid_from is not None and valid_until is not None and valid_from <= day <= valid_until


def next_opening(
    hours: Hours,
    permanent: bool,
    valid_from: datetime.date | None,
    valid_until: datetime.date | None,
    local: datetime.datetime,
) -> datetime.datetime | None:
    """When a closed campaign opens next, None when it never does; an open one is open since `local`."""
    if campaign_open(hours, permanent, valid_from, valid_until, local):
        return local
    first = local.date()
    if not permanent and valid_from is not None:
        first = max(first, valid_from)
    for ahead in range(WEEK + 1):
        day = first + datetime.timedelta(days=ahead)
        if is_valid(permanent, valid_from, valid_until, day):
            for start, _ in hours.get(str(day.weekday()), ()):
                opens = datetime.datetime.combine(day, datetime.time(start // 60, start % 60), local.tzinfo)
                if opens > local:
                    return opens
    return None
