"""PURE. A custom report as statements: what of it its reader can have, and the SQL of its rows and groups.

Values travel as arguments; the words of SQL are those of the columns and of the tables in here.
"""

import base64
import binascii
import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from crm import filters
from crm.calls import ZONE
from crm.custom_report_columns import WORDS, Column, Shape, Subject
from crm.entry import missing
from crm.filters import Tree

TEXT_MAX = 200  # letters of a text that is grouped by: those that begin alike are one group
SHOWN_MAX = 2000  # letters of a text on a page
FILED_MAX = 32_000  # in a file; a spreadsheet's cell holds 32,767

T = TypeVar("T")
LOCAL = "AT TIME ZONE 'America/Sao_Paulo'"
PART_SQL = {  # of a local time
    "day": "({})::date",
    "week": "date_trunc('week', {})::date",
    "month": "date_trunc('month', {})::date",
    "hour": "extract(hour FROM {})::integer",
    "weekday": "extract(isodow FROM {})::integer - 1",
}
MEASURE_SQL = {
    "sum": "coalesce(sum({}), 0)",
    "average": "avg({})",
    "least": "min({})",
    "most": "max({})",
    "distinct": "count(DISTINCT {})",
    "yes": "count(*) FILTER (WHERE {})",
}
CASTS = {Shape.NUMBER: "numeric", Shape.DATE: "date", Shape.YES_NO: "boolean"}


# -- What of a report its reader can have ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    said: str  # "started:day"
    column: Column
    part: str  # "" is the value itself

    @property
    def sql(self) -> str:
        value = self.column.value
        match self.column.sort:
            case Shape.MOMENT:
                return PART_SQL[self.part].format(f"({value} {LOCAL})")
            case Shape.DATE if self.part:
                return PART_SQL[self.part].format(f"({value})::timestamp")
            case Shape.TEXT:
                return f"left({value}, {TEXT_MAX})"
            case _:
                return value

    @property
    def cast(self) -> str:
        if self.part in ("hour", "weekday"):
            return "integer"
        return "date" if self.part else CASTS.get(self.column.sort, "text")


@dataclass(frozen=True, slots=True)
class Measure:
    said: str  # "average:talk_seconds"
    name: str
    column: Column | None = None  # of count and share none

    @property
    def value(self) -> str:
        """What is counted of each row."""
        if self.column is None:
            return ""
        if self.name == "distinct":
            counted = self.column.counted or self.column.value
            return (
                f"nullif({counted}, '')" if self.column.sort in WORDS and not self.column.counted else counted
            )
        return self.column.value


@dataclass(frozen=True, slots=True)
class Reading:
    """A report without what is gone, or not for this reader; `missing` names that."""

    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    measures: tuple[Measure, ...]
    tree: Tree
    asks: tuple[Column, ...]
    missing: tuple[str, ...]

    @property
    def said(self) -> tuple[str, ...]:
        """What each row has, in order."""
        if self.groups:
            return (*(each.said for each in self.groups), *(one.said for one in self.measures))
        return tuple(column.key for column in self.columns)


def group(said: str, known: Mapping[str, Column]) -> Group | None:
    key, _, part = said.partition(":")
    column = known.get(key)
    return Group(said, column, part) if column and part in column.parts else None


def measure(said: str, known: Mapping[str, Column]) -> Measure | None:
    if said in ("count", "share"):
        return Measure(said, said)
    name, _, key = said.partition(":")
    column = known.get(key)
    return Measure(said, name, column) if column and name in column.measures else None


def reading(
    subject: Subject,
    known: Mapping[str, Column],
    columns: Iterable[str],
    groups: Iterable[str],
    measures: Iterable[str],
    tree: Tree,
    asks: Iterable[str],
) -> Reading:
    gone: dict[str, None] = {}  # in the order met

    def there(wanted: Iterable[tuple[str, T | None]]) -> tuple[T, ...]:
        found: list[T] = []
        for said, each in wanted:
            if each is None:
                gone[said] = None
            else:
                found.append(each)
        return tuple(found)

    chosen = there((key, known.get(key)) for key in columns)
    read_groups = there((said, group(said, known)) for said in groups)
    read_measures = there((said, measure(said, known)) for said in measures)
    fields = fields_of(known)
    kept, lost = pruned(tree, fields)
    gone |= dict.fromkeys(lost)
    read_asks = there((key, known.get(key)) for key in asks)
    return Reading(
        chosen or tuple(known[key] for key in subject.usual if key in known),
        read_groups,
        read_measures or (Measure("count", "count"),),
        kept,
        read_asks,
        tuple(gone),
    )


def fields_of(known: Mapping[str, Column]) -> dict[str, filters.Field]:
    return {key: column.field for key, column in known.items()}


def pruned(tree: Tree, fields: Mapping[str, filters.Field]) -> tuple[Tree, list[str]]:
    """The tree without conditions that cannot be asked any more, and the keys of their fields."""
    lost: list[str] = []

    def node(tree: Tree) -> Tree | None:
        match tree:
            case {"all": nodes} | {"any": nodes}:
                kept = [each for each in map(node, nodes) if each is not None]
                return {next(iter(tree)): kept} if kept else None
            case {"not": inner}:
                answer = node(inner)
                return {"not": answer} if answer is not None else None
            case {"field": key, "test": test}:
                errors: dict[str, str] = {}
                answer = filters.condition(key, test, tree.get("value"), fields, "", errors)
                if errors:
                    lost.append(key)
                return answer
        return None

    return node(tree) or {"all": []}, lost


# -- Asking ------------------------------------------------------------------------------------------------


@dataclass
class Question:
    """Which rows: conditions, and the arguments they refer to."""

    subject: Subject
    conditions: list[str]
    values: list[Any] = field(default_factory=list)

    def argument(self, value: Any, cast: str) -> str:
        self.values.append(value)
        return f"${len(self.values)}::{cast}"

    def narrow(self, group: Group, value: Any) -> None:
        """To the rows of one group."""
        if value is None:
            self.conditions.append(f"({group.sql}) IS NULL")
        else:
            self.conditions.append(f"({group.sql}) = {self.argument(value, group.cast)}")

    @property
    def rows(self) -> str:
        conditions = "\n   AND ".join(self.conditions)
        return f"{self.subject.tables}\n WHERE {conditions}"


def question(
    subject: Subject,
    fields: Mapping[str, filters.Field],
    trees: Iterable[Tree],
    start: datetime.date | None,
    end: datetime.date | None,
    today: datetime.date,
) -> Question:
    """Refused with the errors of a tree that is wrong."""
    asked = Question(subject, [subject.where])
    if start is not None and start > datetime.date.min:
        asked.conditions.append(f"{subject.moment} >= {asked.argument(midnight(start), 'timestamptz')}")
    if end is not None and end < datetime.date.max:
        after = midnight(end + datetime.timedelta(days=1))
        asked.conditions.append(f"{subject.moment} < {asked.argument(after, 'timestamptz')}")
    for tree in trees:
        condition, values = filters.sql(tree, fields, len(asked.values) + 1, today)
        asked.conditions.append(condition)
        asked.values.extend(values)
    return asked


def midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), ZONE)


def narrowing(column: Column, values: Sequence[str]) -> Tree | None:
    """What somebody typed for a column that is asked for, as a tree; None when that does not narrow."""
    values = [str(each).strip() for each in values]
    filled = [each for each in values if each]
    if not filled:
        return None

    def leaf(test: str, value: Any = None) -> Tree:
        return {"field": column.key, "test": test, "value": value}

    match column.field.sort:
        case filters.Sort.CHOICE:
            return leaf("one_of", filled)
        case filters.Sort.YES_NO:
            return leaf("yes" if filled[0] == "yes" else "no") if filled[0] in ("yes", "no") else None
        case filters.Sort.NUMBER | filters.Sort.DATE as sort:
            equal, low, high = ("equals", "less", "more") if sort == "number" else ("on", "before", "after")
            if len(values) == 1:
                return leaf(equal, filled[0])
            if len(filled) > 1:
                return leaf("between", filled[:2])
            excluded = leaf(low if values[0] else high, filled[0])
            return {"all": [leaf("filled"), {"not": excluded}]}
        case _:
            return leaf("contains", filled[0])


# -- Statements --------------------------------------------------------------------------------------------


def sorted_by(value: str, sort: Shape, descending: bool, never_null: bool = False) -> str:
    """What has no value stands last, whichever way round."""
    words = f"f_norm({value})" if sort is Shape.TEXT else value
    words = f"nullif({words}, '')" if sort in WORDS else words
    way = " DESC" if descending else " ASC"
    return words + way + ("" if never_null else " NULLS LAST")


def by_words(column: Column) -> Shape:
    """As what it is sorted."""
    return Shape.TEXT if column.order else column.sort


def list_order(subject: Subject, known: Mapping[str, Column], orders: Iterable[str]) -> str:
    """By the first of the orders that exists, else the latest first; customers in the order they came."""
    for order in orders:
        key, descending = order.removeprefix("-"), order.startswith("-")
        if column := known.get(key):
            way = " DESC" if descending else " ASC"
            ties = [each + way for each in subject.identity]
            sort, never_null = by_words(column), column.value == subject.moment
            return ", ".join([sorted_by(column.order or column.value, sort, descending, never_null), *ties])
    if subject.latest_first:
        return ", ".join(each + " DESC" for each in (subject.moment, *subject.identity))
    return ", ".join(subject.identity)


def list_sql(asked: Question, columns: Sequence[Column], order: str, letters: int) -> str:
    shown = [
        f"left({column.value}, {letters})" if column.sort is Shape.TEXT else column.value
        for column in columns
    ]
    named = [f"{value} AS c{n}" for n, value in enumerate(shown)]
    named += [f'{value} AS "{name}"' for name, value in asked.subject.belongs.items()]
    return f"SELECT {', '.join(named)}\n{asked.rows}\n ORDER BY {order}"


def count_sql(asked: Question) -> str:
    return f"SELECT count(*)\n{asked.rows}"


def groups_sql(asked: Question, groups: Sequence[Group], measures: Sequence[Measure]) -> str:
    """The CTE "grouped": g0 … the groups, o0 … what they are sorted by, m0 … the measures, n the count.

    One row has everything in it: `everything` is 1 there, 0 in all the others.
    """
    inner, outer = [], []
    for n, each in enumerate(groups):
        inner.append(f"{each.sql} AS g{n}")
        outer.append(f"g{n}")
        if each.column.order:
            inner.append(f"{each.column.order} AS s{n}")
            outer.append(f"min(s{n}) AS o{n}")
        else:
            outer.append(f"g{n} AS o{n}")
    for n, one in enumerate(measures):
        if one.column is None:
            outer.append(f"count(*) AS m{n}")
        else:
            inner.append(f"{one.value} AS v{n}")
            outer.append(f"{MEASURE_SQL[one.name].format(f'v{n}')} AS m{n}")
    names = ", ".join(f"g{n}" for n in range(len(groups)))
    return f"""
        WITH grouped AS MATERIALIZED (
            SELECT grouping({names}) <> 0 AS everything, {", ".join(outer)}, count(*) AS n
              FROM (SELECT {", ".join(inner)} {asked.rows}) AS asked
             GROUP BY GROUPING SETS (({names}), ()))"""


def groups_order(groups: Sequence[Group], measures: Sequence[Measure], orders: Iterable[str]) -> str:
    """By the first of the orders that exists, else group by group."""
    by_group = [sorted_by(f"o{n}", by_words(each.column), False) for n, each in enumerate(groups)]
    by_group += [f"g{n} NULLS LAST" for n in range(len(groups))]
    for order in orders:
        said, descending = order.removeprefix("-"), order.startswith("-")
        for n, each in enumerate(groups):
            if each.said == said:
                return ", ".join([sorted_by(f"o{n}", by_words(each.column), descending), *by_group])
        for n, one in enumerate(measures):
            if one.said == said:
                return ", ".join([sorted_by(f"m{n}", Shape.NUMBER, descending), *by_group])
    return ", ".join(by_group)


def page_sql(grouped: str, order: str, limit: int, offset: int) -> str:
    """The totals first, then the page's groups; `groups` is how many there are."""
    return f"""{grouped}
        SELECT * FROM (SELECT grouped.*, count(*) OVER () - 1 AS groups,
                              row_number() OVER (ORDER BY everything DESC, {order}) - 1 AS place
                         FROM grouped) AS placed
         WHERE everything OR place BETWEEN {offset + 1:d} AND {offset + limit:d}
         ORDER BY place"""


def stream_sql(grouped: str, order: str) -> str:
    """The totals first, then every group."""
    return f"{grouped} SELECT * FROM grouped ORDER BY everything DESC, {order}"


# -- Reading -----------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """A number as int or float; whatever else as it is."""
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)


def list_row(row: Mapping[str, Any], columns: Sequence[Column], belongs: Iterable[str]) -> dict[str, Any]:
    values = {column.key: plain(row[f"c{n}"]) for n, column in enumerate(columns)}
    return values | {
        name: row[name] for name in ("#call", "#contact", "#ticket", "#campaign") if name in belongs
    }


def group_row(
    row: Mapping[str, Any], groups: Sequence[Group], measures: Sequence[Measure], everything: int
) -> dict[str, Any]:
    """`everything` is the count over all groups, of which a share is."""
    values = [row[f"g{n}"] for n in range(len(groups))]
    numbers = {one.said: plain(row[f"m{n}"]) for n, one in enumerate(measures)}
    if "share" in numbers:
        numbers["share"] = 100 * row["n"] / everything if everything else 0.0
    return (
        dict(zip((each.said for each in groups), map(plain, values), strict=True))
        | numbers
        | {"#key": key_of(values)}
    )


def key_of(values: Sequence[Any]) -> str:
    """A row's name in addresses."""
    text = json.dumps(list(values), default=str, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def values_of(key: str, groups: Sequence[Group]) -> list[Any]:
    """What `key_of` was made of; Refused when it is of no such row."""
    try:
        values = json.loads(base64.urlsafe_b64decode(key.encode() + b"==="))
        if not isinstance(values, list) or len(values) != len(groups):
            raise ValueError(key)
        return [value_of(value, each) for value, each in zip(values, groups, strict=True)]
    except (ValueError, binascii.Error, InvalidOperation, RecursionError) as e:
        raise missing("group") from e


def value_of(value: Any, group: Group) -> Any:
    if value is None:
        return None
    match group.cast:
        case "boolean":
            right = isinstance(value, bool)
        case "integer":
            right = isinstance(value, int) and 0 <= value < 24
        case "numeric":
            number = Decimal(str(value))
            right, value = number.is_finite() and abs(number) < 10**40, number
        case "date":
            right, value = True, datetime.date.fromisoformat(str(value))
        case _:
            right = isinstance(value, str) and len(value) <= TEXT_MAX and filters.writable(value)
    if not right:
        raise ValueError(value)
    return value
