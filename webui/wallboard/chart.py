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


def lines(rows: Iterable[QuarterHour], zone: tzinfo, steps: int = STEPS) -> dict[str, list[int | None]]:
    """Three lists of one day, a number a quarter hour: 0 where nothing happened, None after `steps` steps."""
    day: dict[str, list[int | None]] = {
        name: [0] * steps + [None] * (STEPS - steps) for name in ("offered", "answered", "abandoned")
    }
    for time, offered, answered, abandoned in rows:
        step = step_of(time, zone)
        if step < steps:
            day["offered"][step] = offered
            day["answered"][step] = answered
            day["abandoned"][step] = abandoned
    return day


def step_of(time: datetime, zone: tzinfo) -> int:
    local = time.astimezone(zone)
    return (local.hour * 60 + local.minute) // MINUTES_PER_STEP


def chart(
    today: Iterable[QuarterHour], last_week: Iterable[QuarterHour], now: datetime, zone: tzinfo
) -> dict[str, Any]:
    """The message the page draws: today up to and with the running quarter hour, last week's day whole."""
    steps = step_of(now, zone) + 1
    return {
        "minutes_per_step": MINUTES_PER_STEP,
        "steps": steps,
        "today": lines(today, zone, steps),
        "last_week": lines(last_week, zone),
        "now": now.isoformat(),
    }
