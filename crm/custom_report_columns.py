"""PURE. What custom reports can show, ask and count: the subjects, and each one's columns with their SQL.

Every word of SQL stands here; keys of answers and of custom fields are checked by their pattern.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from crm.filters import Field


class Shape(StrEnum):
    """The sorts of crm.filters, and two more: a tree asks a moment as a date, a duration as a number."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    PHONE = "phone"
    CHOICE = "choice"
    YES_NO = "yes_no"
    MOMENT = "moment"
    DURATION = "duration"


# What each sort of column can be measured by, and in which parts grouped; "" is by its own value.
MEASURES: Mapping[Shape, tuple[str, ...]] = {
    Shape.TEXT: ("distinct",),
    Shape.NUMBER: ("sum", "average", "least", "most", "distinct"),
    Shape.DATE: ("least", "most", "distinct"),
    Shape.PHONE: ("distinct",),
    Shape.CHOICE: ("distinct",),
    Shape.YES_NO: ("yes",),
    Shape.MOMENT: ("least", "most"),
    Shape.DURATION: ("sum", "average", "least", "most"),
}
PARTS: Mapping[Shape, tuple[str, ...]] = {
    Shape.TEXT: ("",),
    Shape.NUMBER: ("",),
    Shape.DATE: ("", "week", "month", "weekday"),
    Shape.PHONE: ("",),
    Shape.CHOICE: ("",),
    Shape.YES_NO: ("",),
    Shape.MOMENT: ("day", "week", "month", "hour", "weekday"),
    Shape.DURATION: (),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One fact of a row. `field` is what a filter tree asks of it, under the same key."""

    key: str
    sort: Shape
    group: str  # of the builder: call, form, campaign, ticket, or one of crm.filters.GROUP_ORDER
    field: Field
    value: str  # SQL; of a text, telephone or choice never null
    order: str = ""  # SQL it is sorted by, where that is not its value
    counted: str = ""  # SQL of what is distinct about it, where that is not its value
    label: str = ""  # of an answer or custom field; the others are named by the pages
    options: tuple[tuple[str, str], ...] = ()  # (value, word) of a choice
    of_customer: bool = False  # only for who may see contacts

    @property
    def measures(self) -> tuple[str, ...]:
        return MEASURES[self.sort]

    @property
    def parts(self) -> tuple[str, ...]:
        return PARTS[self.sort]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a row is."""

    name: str
    tables: str  # FROM …; customers by the name of `contact`
    where: str
    moment: str  # by which a period chooses
    moment_key: str  # of its column
    identity: str  # of a row, for a stable order
    usual: tuple[str, ...]  # columns of a report that names none


SUBJECTS: tuple[str, ...] = ("tabulations", "attempts", "customers", "tickets")
