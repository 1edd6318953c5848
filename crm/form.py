"""PURE. The form an agent fills about a call: what it asks, and whether its answers can be saved."""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from crm.e164 import normalise

CATEGORY = "category"  # the key under which the chosen category's id is answered; always required
NUMBER = re.compile(r"[+-]?\d{1,15}([.,]\d{1,10})?", re.ASCII)
CHECKED = ("1", "on", "true")
UNCHECKED = ("", "0", "off", "false")
MESSAGES = {
    "required": "This has to be filled in.",
    "too_long": "This is too long.",
    "not_a_number": "This has to be a number.",
    "not_a_date": "This has to be a date.",
    "not_a_phone": "This has to be a telephone number with its area code.",
    "not_an_option": "Choose one of the options.",
    "unknown_field": "This form has no such field.",
}


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


def check(layout: Layout, answers: Mapping[str, str]) -> dict[str, str]:
    """What is wrong, as {field key: message key}; empty when the answers can be saved."""
    fields = {field.key: field for field in layout.fields}
    errors = {key: "unknown_field" for key in answers if key not in fields and key != CATEGORY}
    chosen = answers.get(CATEGORY, "").strip()
    if not chosen:
        errors[CATEGORY] = "required"
    elif layout.category(chosen) is None:
        errors[CATEGORY] = "not_an_option"
    for key, field in fields.items():
        if wrong := problem(field, answers.get(key, "").strip()):
            errors[key] = wrong
    return errors


def problem(field: Field, answer: str) -> str | None:
    """The message key for one answer, None when it is right."""
    if field.kind is Kind.CHECKBOX:
        return checkbox_problem(field, answer)
    if not answer:
        return "required" if field.required else None
    if len(answer) > (field.length_max or LENGTH_MAX.get(field.kind, 200)):
        return "too_long"
    return wrong_kind(field, answer)


def checkbox_problem(field: Field, answer: str) -> str | None:
    if answer not in CHECKED + UNCHECKED:
        return "not_an_option"
    return "required" if field.required and answer in UNCHECKED else None


def wrong_kind(field: Field, answer: str) -> str | None:
    if field.kind in CHOICES:
        return None if answer in field.options else "not_an_option"
    match field.kind:
        case Kind.NUMBER:
            return None if NUMBER.fullmatch(answer) else "not_a_number"
        case Kind.DATE:
            return None if is_date(answer) else "not_a_date"
        case Kind.PHONE:
            # Any area code serves: the question is only whether it can be a number.
            return None if normalise(answer, "11") else "not_a_phone"
        case _:
            return None


def is_date(text: str) -> bool:
    """As the browser's date field sends it: 2026-11-21."""
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
