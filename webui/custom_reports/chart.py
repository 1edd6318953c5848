"""A custom report's chart: its first measure that can be drawn, by its groups. Pure."""

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from crm.custom_reports import Column, Found, Shape
from webui.custom_reports.words import NOTHING, value
from webui.filters.words import Say
from webui.reports.chart import Chart, bars, columns

KINDS = ("plain", "machine", "ok", "bad")  # colours of the second group's values, where they are so few
OF_YES_NO = {True: "ok", False: "bad"}
SUMS = ("count", "share", "sum", "yes")  # measures that add up over groups


def chart(found: Found, groups: int, known: Mapping[str, Column], say: Say, language: str) -> Chart:
    """Days stand as columns where the measure adds up; all else lies as bars, a second group as parts."""
    measured = next((said for said in found.columns[groups:] if drawable(said, known)), None)
    if not groups or measured is None:
        return Chart()
    by, adds = found.columns[:groups], measured.partition(":")[0] in SUMS
    rows = [row for row in found.rows if row[measured] is not None]

    def word(said: str, of: Any) -> str:
        return value(said, of, known, say, language) or say(NOTHING)

    def figure(number: float) -> str:
        return value(measured, number, known, say, language)

    if adds and is_day(by[0], known):
        days: Counter[datetime.date] = Counter()
        for row in rows:
            if row[by[0]] is not None:
                days[row[by[0]]] += row[measured]
        return Chart(columns=columns(days.items(), figure))
    if groups == 1 or not adds:
        labelled = [(" · ".join(word(said, row[said]) for said in by), [row[measured]]) for row in rows]
        return bars(labelled, (("plain", ""),), figure)
    parts = of_second([row[by[1]] for row in rows]) if groups == 2 else {}
    sums: dict[str, list[float]] = {}
    for row in rows:
        numbers = sums.setdefault(word(by[0], row[by[0]]), [0] * max(1, len(parts)))
        numbers[list(parts).index(row[by[1]]) if parts else 0] += row[measured]
    words = [(kind, word(by[1], of)) for of, kind in parts.items()] or [("plain", "")]
    return bars(sums.items(), words, figure)


def of_second(values: Sequence[Any]) -> dict[Any, str]:
    """The colour of each value of the second group; none when they are too many to be told apart."""
    several = list(dict.fromkeys(values))
    if not 1 < len(several) <= len(KINDS):
        return {}
    if all(each is None or isinstance(each, bool) for each in several):
        return {each: OF_YES_NO.get(each, "plain") for each in several}
    return dict(zip(several, KINDS, strict=False))


def drawable(said: str, known: Mapping[str, Column]) -> bool:
    """Is the measure a number? The latest of some moments is not."""
    name, _, key = said.partition(":")
    return name not in ("least", "most") or known[key].sort in (Shape.NUMBER, Shape.DURATION)


def is_day(said: str, known: Mapping[str, Column]) -> bool:
    key, _, part = said.partition(":")
    return part == "day" or (not part and known[key].sort is Shape.DATE)
