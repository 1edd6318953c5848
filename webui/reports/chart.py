"""A report's chart: which bars there are and how long. Pure; the template draws them."""

import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from crm.campaign_reports import Found, Report
from webui.reports import said
from webui.reports.said import Say

BARS_MAX = 60
COLUMNS_MAX = 120  # days drawn one by one; above that, weeks


@dataclass(frozen=True, slots=True)
class Part:
    kind: str  # its colour: ok, machine, bad or plain
    word: str
    number: float
    said: str
    from_percent: float
    percent: float  # of the longest bar


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    number: float
    said: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A day's, or a week's, bar that stands."""

    start: datetime.date
    end: datetime.date
    number: float
    said: str
    percent: float  # of the highest


@dataclass(frozen=True)
class Chart:
    bars: tuple[Bar, ...] = ()
    columns: tuple[Column, ...] = ()
    left_out: int = 0  # bars that did not fit
    words: tuple[tuple[str, str], ...] = ()  # (kind, word) of the parts


# What each report's bars are made of, as (kind, column). The rest of the report is in the table.
PARTS = {
    "r1": (("ok", "effective"), ("bad", "unsuccessful")),
    "r2": (("ok", "answered"), ("machine", "by_machine"), ("bad", "not_answered")),
    "r4": (("ok", "answered"), ("machine", "by_machine"), ("bad", "not_answered")),
    "r6": (("plain", "quantity"),),
    "r7": (("plain", "quantity"),),
}
LABELS = {"r1": "agent", "r2": "campaign", "r4": "campaign", "r6": "reason", "r7": "status"}


def chart(say: Say, report: Report, found: Found, query_type: str) -> Chart:
    if report.lists:
        return Chart(columns=columns(found.days))
    sums: dict[str, Counter[str]] = {}  # by label, in the table's order; an agent of several campaigns once
    for row in found.rows:
        if report.id != "r1" or row["user_id"] is not None:
            label = str(said.value(say, report, LABELS[report.id], row, query_type))
            sums.setdefault(label, Counter()).update({name: row[name] for _, name in PARTS[report.id]})
    words = tuple((kind, said.column(say, report, name)) for kind, name in PARTS[report.id])
    shown = list(sums.items())
    if report.id == "r1":  # by name: no ranking of persons
        shown.sort(key=lambda pair: pair[0].casefold())
    elif report.id == "r6":
        shown.sort(key=lambda pair: -pair[1].total())
    return bars([(label, [numbers[name] for _, name in PARTS[report.id]]) for label, numbers in shown], words)


Figure = Callable[[float], str]  # a number as the reader writes it


def bars(
    labelled: Iterable[tuple[str, Sequence[float]]], words: Sequence[tuple[str, str]], figure: Figure = str
) -> Chart:
    """A bar for each label, of one part for each (kind, word); those of nothing are left out."""
    something = [(label, numbers) for label, numbers in labelled if sum(numbers)]
    longest = max((sum(numbers) for _, numbers in something), default=0)
    drawn = tuple(
        Bar(label, sum(numbers), figure(sum(numbers)), parts(words, numbers, longest, figure))
        for label, numbers in something[:BARS_MAX]
    )
    return Chart(bars=drawn, left_out=len(something) - len(drawn), words=tuple(words))


def parts(
    words: Sequence[tuple[str, str]], numbers: Sequence[float], longest: float, figure: Figure
) -> tuple[Part, ...]:
    found, reached = [], 0.0
    for (kind, word), number in zip(words, numbers, strict=True):
        found.append(
            Part(kind, word, number, figure(number), share(reached, longest), share(number, longest))
        )
        reached += number
    return tuple(found)


def columns(days: Iterable[tuple[datetime.date, float]], figure: Figure = str) -> tuple[Column, ...]:
    """One for each day from the first to the last, those without attempts too; weeks when they are many."""
    counts = dict(days)
    if not counts:
        return ()
    first, last = min(counts), max(counts)
    step = 1 if (last - first).days < COLUMNS_MAX else 7
    if step == 7:
        first -= datetime.timedelta(days=first.weekday())
    sums: list[tuple[datetime.date, datetime.date, float]] = []
    start = first
    while start <= last:
        end = start + datetime.timedelta(days=step - 1)
        sums.append((start, end, sum(counts.get(start + datetime.timedelta(days=n), 0) for n in range(step))))
        start = end + datetime.timedelta(days=1)
    highest = max(number for _, _, number in sums)
    return tuple(
        Column(start, end, number, figure(number), share(number, highest)) for start, end, number in sums
    )


def share(number: float, whole: float) -> float:
    return round(100 * max(0, number) / whole, 2) if whole > 0 else 0.0
