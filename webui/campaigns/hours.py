"""The grid of hours as the wizard shows it: cells of an hour to spans of minutes and back. Pure.

Hours themselves are crm.hours; the page shows a row a weekday and a cell an hour: "0-8" is Monday 08–09.
"""

from collections.abc import Iterable, Sequence

from crm.hours import WEEK, Hours

MINUTES = 60
CELLS = {f"{day}-{hour}": (day, hour) for day in range(WEEK) for hour in range(24)}


def cells(hours: Hours) -> list[str]:
    """The cells that lie wholly in the hours."""
    return [
        cell
        for cell, (day, hour) in CELLS.items()
        if any(
            start <= hour * MINUTES and (hour + 1) * MINUTES <= end for start, end in hours.get(str(day), ())
        )
    ]


def spans(ticked: Iterable[str]) -> dict[str, list[list[int]]]:
    """The hours of these cells, neighbours joined; what is no cell is passed over."""
    found: dict[str, list[list[int]]] = {}
    for day, hour in sorted(CELLS[cell] for cell in set(ticked) if cell in CELLS):
        here = found.setdefault(str(day), [])
        if here and here[-1][1] == hour * MINUTES:
            here[-1][1] += MINUTES
        else:
            here.append([hour * MINUTES, (hour + 1) * MINUTES])
    return found


def within(hours: Hours, window: Hours) -> float:
    """Hours a week that both allow."""
    minutes = sum(
        max(0, min(end, closes) - max(start, opens))
        for day in map(str, range(WEEK))
        for start, end in hours.get(day, ())
        for opens, closes in window.get(day, ())
    )
    return minutes / MINUTES


def in_words(hours: Hours, days: Sequence[str], every_day: str) -> str:
    """Neighbouring weekdays of the same hours are said together: "Mon–Fri 08:00–12:00; Sat 10:00–16:00"."""
    runs: list[tuple[int, int, list[tuple[int, int]]]] = []
    for day in range(WEEK):
        here = [(start, end) for start, end in hours.get(str(day), ())]
        if runs and runs[-1][2] == here:
            runs[-1] = (runs[-1][0], day, here)
        else:
            runs.append((day, day, here))

    def named(first: int, last: int) -> str:
        if last - first == WEEK - 1:
            return every_day
        return days[first] if first == last else f"{days[first]}–{days[last]}"

    return "; ".join(
        named(first, last) + " " + ", ".join(f"{clock(start)}–{clock(end)}" for start, end in here)
        for first, last, here in runs
        if here
    )


def clock(minute: int) -> str:
    return f"{minute // MINUTES:02}:{minute % MINUTES:02}"
