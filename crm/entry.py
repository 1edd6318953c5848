"""What an administrator typed into a form, checked field by field.

A wrong entry is Refused with code "form" and details {"errors": {field: key of MESSAGES}}.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg

from crm import form
from crm.refused import Refused

MESSAGES = form.MESSAGES | {
    "taken": "Another one has this already.",
    "not_allowed_characters": "This has characters that cannot be used here.",
    "out_of_range": "This is outside what is allowed.",
    "past": "This moment is over: choose one to come.",
    "time_required": "Say at what time, too.",
    "too_short": "This is too short.",
    "in_use": "This is still in use.",
    "needs_validation": "This needs the external validation procedures to be switched on.",
    "not_an_email": "This has to be an e-mail address.",
    "not_a_document": "The check digits of this CPF or CNPJ are wrong.",
    "not_a_postal_code": "A postal code (CEP) has eight digits.",
    "not_allowed": "This is not possible here.",
    "not_a_field": "There is no such field.",
    "no_limit": "Predictive dialing abandons somebody now and then: allow more, or choose progressive.",
    "above_trunk": "The trunk of this campaign carries less than this: lower it, or leave 0 for all it has.",
}
TRUE = ("1", "on", "true", "yes", True)


class Entry:
    """Reads values one by one, remembers what is wrong, and refuses everything at once in `done`."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.errors: dict[str, str] = {}

    def text(self, field: str, length_max: int = 100, required: bool = True) -> str:
        text = str(self.values.get(field) or "").strip()
        if required and not text:
            self.errors[field] = "required"
        elif len(text) > length_max:
            self.errors[field] = "too_long"
        elif "\x00" in text:
            self.errors[field] = "not_allowed_characters"
        return text

    def matching(self, field: str, pattern: str, required: bool = True) -> str:
        text = self.text(field, required=required)
        if text and field not in self.errors and not re.fullmatch(pattern, text, re.ASCII):
            self.errors[field] = "not_allowed_characters"
        return text

    def whole(self, field: str, low: int, high: int) -> int:
        """A whole number; an empty one is the lowest allowed."""
        given = self.values.get(field)
        try:
            number = low if given in (None, "") else int(str(given).strip())
        except ValueError:
            self.errors[field] = "not_a_number"
            return low
        if not low <= number <= high:
            self.errors[field] = "out_of_range"
        return number

    def decimal(self, field: str, low: float, high: float) -> float:
        """A number, with a comma or a point; an empty one is the lowest allowed."""
        given = self.values.get(field)
        try:
            number = float(low if given in (None, "") else str(given).strip().replace(",", "."))
        except ValueError:
            self.errors[field] = "not_a_number"
            return low
        if not low <= number <= high:  # nor is nan
            self.errors[field] = "out_of_range"
        return number

    def option(self, field: str, options: Collection[str]) -> str:
        chosen = str(self.values.get(field) or "")
        if chosen not in options:
            self.errors[field] = "not_an_option" if chosen else "required"
        return chosen

    def switch(self, field: str) -> bool:
        return self.values.get(field) in TRUE

    def reference(self, field: str) -> int | None:
        """The id of a row somewhere else, or none; the database knows whether it exists."""
        given = self.values.get(field)
        if given in (None, ""):
            return None
        try:
            return int(str(given))
        except ValueError:
            self.errors[field] = "not_an_option"
            return None

    def references(self, field: str) -> tuple[int, ...]:
        try:
            return tuple(sorted({int(str(each)) for each in self.values.get(field) or ()}))
        except ValueError:
            self.errors[field] = "not_an_option"
            return ()

    def lines(self, field: str, most: int, length_max: int = 200) -> list[str]:
        """What was listed, or typed one a line, each once; at least one and at most `most`."""
        given = self.values.get(field) or ()
        listed = given.splitlines() if isinstance(given, str) else given
        found = list(dict.fromkeys(text for line in listed if (text := str(line).strip())))
        if not found:
            self.errors[field] = "required"
        elif len(found) > most or any(len(text) > length_max for text in found):
            self.errors[field] = "too_long"
        return found

    def done(self) -> None:
        refuse(self.errors)


def refuse(errors: Mapping[str, str]) -> None:
    if errors:
        sentences = " ".join(f"{field}: {MESSAGES[key]}" for field, key in errors.items())
        raise Refused("{what}", code="form", details={"errors": dict(errors)}, what=sentences)


@contextmanager
def refusing(fields: Mapping[str, str]) -> Iterator[None]:
    """What the tables' constraints say no to is refused; `fields` gives each constraint's field."""
    try:
        yield
    except asyncpg.UniqueViolationError as e:
        refuse({fields.get(e.constraint_name or "", e.constraint_name or "name"): "taken"})
    except asyncpg.ForeignKeyViolationError as e:
        wrong = "in_use" if "still referenced" in str(e.detail or e) else "not_an_option"
        refuse({fields.get(e.constraint_name or "", "name"): wrong})
    except (asyncpg.CheckViolationError, asyncpg.DataError) as e:
        refuse({fields.get(getattr(e, "constraint_name", "") or "", "name"): "out_of_range"})


def refuse_used(name: str, by: Sequence[str]) -> None:
    """What something names is not removed; the refusal says by what."""
    if by:
        raise Refused("{name} is still used by {names}.", code="in_use", name=name, names=", ".join(by))


def missing(what: str) -> Refused:
    return Refused("There is no such {what}.", code="not_found", what=what)
