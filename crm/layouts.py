"""Layouts: the forms agents fill about a call, and the typed categories they choose from."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a field is asked. Motive and segment are choices that reports count by (EPB-67)."""

    TEXT = "text"
    LONG_TEXT = "long_text"
    NUMBER = "number"
    DATE = "date"
    PHONE = "phone"
    CHOICE = "choice"
    MOTIVE = "motive"
    SEGMENT = "segment"
    CHECKBOX = "checkbox"


CHOICES = (Kind.CHOICE, Kind.MOTIVE, Kind.SEGMENT)
LENGTH_MAX = {Kind.LONG_TEXT: 4000}  # where a field does not say; 200 for every other kind


@dataclass(frozen=True, slots=True)
class Field:
    key: str
    label: str
    kind: Kind
    required: bool = False
    options: tuple[str, ...] = ()
    length_max: int = 0  # characters; 0 is the usual one of the kind


@dataclass(frozen=True, slots=True)
class Category:
    id: int
    name: str
    success: bool


@dataclass(frozen=True, slots=True)
class CategoryType:
    id: int
    name: str
    categories: tuple[Category, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    id: int
    name: str
    label: str
    fields: tuple[Field, ...]
    types: tuple[CategoryType, ...]

    def category(self, answer: str) -> Category | None:
        """The category an answer names by its id."""
        every = (c for t in self.types for c in t.categories)
        return next((c for c in every if str(c.id) == answer), None)
