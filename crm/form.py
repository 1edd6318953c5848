"""PURE. The form an agent fills about a call: what it asks, which calls it serves, and whether its
answers can be saved."""

import datetime
import re
import unicodedata
from collections.abc import Iterable, Mapping
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


class Scenario(StrEnum):
    """How a call came to be: placed by the dialer, by an agent's hand, or by the customer (EPB-69)."""

    DIALER = "dialer"
    MANUAL = "manual"
    INBOUND = "inbound"


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
class Permission:
    """Calls that a layout serves beside those of the queues and campaigns which name it (EPB-69)."""

    scenarios: tuple[Scenario, ...]
    group_id: int | None = None  # the agent's group; None is every agent
    campaign_id: int | None = None  # None is every call, of any campaign or of none

    def closeness(self, scenario: Scenario, group_id: int | None, campaign_id: int | None) -> int | None:
        """How closely it is meant for such a call; None when it is not."""
        of_group = self.group_id in (None, group_id)
        of_campaign = self.campaign_id in (None, campaign_id)
        if scenario not in self.scenarios or not of_group or not of_campaign:
            return None
        return (self.group_id is not None) * FOR_GROUP + (self.campaign_id is not None) * FOR_CAMPAIGN


FOR_GROUP, FOR_CAMPAIGN = 1, 2  # a campaign says more of a call than the agent's group does; both, the most


@dataclass(frozen=True, slots=True)
class Layout:
    id: int
    name: str
    label: str
    fields: tuple[Field, ...]
    types: tuple[CategoryType, ...]
    permissions: tuple[Permission, ...] = ()

    def category(self, answer: str) -> Category | None:
        """The category an answer names by its id."""
        every = (c for t in self.types for c in t.categories)
        return next((c for c in every if str(c.id) == answer), None)


def serving(
    layouts: Iterable[Layout],
    scenario: Scenario,
    group_id: int | None,
    campaign_id: int | None,
    named: int | None,
    lent: bool = False,
) -> tuple[Layout, ...]:
    """The layouts that may serve a call (EPB-69); the first opens, the agent may change to the others.

    `named` is the id of the one that the call's queue or campaign names: it stands before every other but
    those permitted for just this group and this campaign. One that is only `lent`, by the agent's first
    queue to a call of no queue, stands before those permitted for everybody.
    """
    found: list[tuple[int, bool, Layout]] = []
    for layout in layouts:
        close = [p.closeness(scenario, group_id, campaign_id) for p in layout.permissions]
        if layout.id == named:
            close.append(0 if lent else FOR_CAMPAIGN)
        if reached := [each for each in close if each is not None]:
            found.append((max(reached), layout.id == named, layout))
    found.sort(key=lambda each: (-each[0], not each[1], each[2].label.casefold(), each[2].id))
    return tuple(layout for _, _, layout in found)


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


def key_of(label: str) -> str:
    """A name for programs made from a label: "Renda (R$)" gives renda_r."""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_0123456789")[:40]


def is_date(text: str) -> bool:
    """As the browser's date field sends it: 2026-11-21."""
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
