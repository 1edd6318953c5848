"""The wall's chart: today's calls in quarter hours beside the same day of last week.

Pure: rows of figures in, the lists a chart is drawn from out.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from typing import Any

MINUTES_PER_STEP = 15
STEPS = 24 * 60 // MINUTES_PER_STEP

QuarterHour = Sequence[Any]
"""(time, offered, answered, abandoned), the time being the start of the quarter hour."""


LINES = ("offered", "answered", "abandoned")


def chart(
    today: Iterable[QuarterHour], last_week: Iterable[QuarterHour], now: datetime, zone: tzinfo
) -> dict[str, Any]:
    """The message the page draws: today's whole quarter hours, last week's day to its end.

    The sums count both days up to and with the running quarter hour, so that they can be compared.
    """
    running = step_of(now, zone)
    now_day, then_day = lines(today, zone), lines(last_week, zone)
    return {
        "minutes_per_step": MINUTES_PER_STEP,
        "steps": running,
        "today": {name: [*line[:running], *[None] * (STEPS - running)] for name, line in now_day.items()},
        "last_week": then_day,
        "sums": {
            name: {line: sum(day[line][: running + 1]) for line in LINES}
            for name, day in (("today", now_day), ("last_week", then_day))
        },
    }


def lines(rows: Iterable[QuarterHour], zone: tzinfo) -> dict[str, list[int]]:
    """Three lists of one day, a number a quarter hour: 0 where nothing happened."""
    day = {line: [0] * STEPS for line in LINES}
    for time, *figures in rows:
        for line, figure in zip(LINES, figures, strict=True):
            day[line][step_of(time, zone)] = figure
    return day


def step_of(time: datetime, zone: tzinfo) -> int:
    local = time.astimezone(zone)
    return (local.hour * 60 + local.minute) // MINUTES_PER_STEP
