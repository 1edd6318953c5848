"""Saved filters over the customers: a tree of conditions, and the SQL it becomes.

A tree is {"all": [nodes]}, {"any": [nodes]} or {"not": node}; a leaf {"field": …, "test": …, "value": …}.
Values only ever travel as arguments; every word of SQL comes from the tables below. A condition is true or
false, never null, so that "not" is its opposite. The root may be empty: every customer.
"""

import datetime
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

import asyncpg

from crm import audit, custom_fields, form
from crm.calls import ZONE
from crm.contacts import CONTACT, STATES, Contact, ContactKind
from crm.contacts import read as read_contact
from crm.custom_fields import CustomField
from crm.db import Db
from crm.e164 import normalise
from crm.entry import Entry, missing, refuse, refusing
from crm.form import CHECKED, Kind
from crm.users import User, require

Tree = Mapping[str, Any]

GROUP_ORDER = ("customer", "address", "company", "work", "form", "custom")
DEPTH_MAX = 8
CONDITIONS_MAX = 100
VALUES_MAX = 1000  # of "one of"
TEXT_MAX = 200
DAYS_MAX = 36_500
SAMPLE = 20
COUNT_SECONDS = 1.0
SAMPLE_SECONDS = 2.0
GUESS_SECONDS = 1.0
GUESSED_FROM = 10_000  # customers, when counting all of them takes too long
EXACT_SECONDS = 60.0  # for a count that somebody waits for
CONSTRAINTS = {"saved_filter_name_key": "name", "campaign_filter_id_fkey": "campaign"}


class Sort(StrEnum):
    """What kind of value a field has, and so what can be asked of it."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    PHONE = "phone"
    CHOICE = "choice"
    YES_NO = "yes_no"


TESTS: Mapping[Sort, tuple[str, ...]] = {
    Sort.TEXT: ("contains", "not_contains", "is", "is_not", "begins", "one_of", "empty", "filled"),
    Sort.NUMBER: ("equals", "differs", "less", "more", "between", "empty", "filled"),
    Sort.DATE: ("on", "before", "after", "between", "last_days", "next_days", "empty", "filled"),
    Sort.PHONE: ("contains", "is", "area_code", "not_area_code", "state", "mobile", "empty", "filled"),
    Sort.CHOICE: ("one_of", "none_of", "empty", "filled"),
    Sort.YES_NO: ("yes", "no"),
}
WITHOUT_VALUE = frozenset(("empty", "filled", "yes", "no", "mobile"))
SEVERAL = frozenset(("one_of", "none_of", "area_code", "not_area_code", "state"))
TWO = frozenset(("between",))
AREA_CODES_OF = {
    "SP": "11 12 13 14 15 16 17 18 19", "RJ": "21 22 24", "ES": "27 28", "MG": "31 32 33 34 35 37 38",
    "PR": "41 42 43 44 45 46", "SC": "47 48 49", "RS": "51 53 54 55", "DF": "61", "GO": "61 62 64",
    "TO": "63", "MT": "65 66", "MS": "67", "AC": "68", "RO": "69", "BA": "71 73 74 75 77", "SE": "79",
    "PE": "81 87", "AL": "82", "PB": "83", "RN": "84", "CE": "85 88", "PI": "86 89", "PA": "91 93 94",
    "AM": "92 97", "RR": "95", "AP": "96", "MA": "98 99",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """One fact of a customer: the SQL of its only value, or a column of the rows that belong to the customer.

    Both: any of them. `one` is never null; '' and null alike are written as the sort's own "no value".
    """

    key: str
    sort: Sort
    one: str = ""
    many: str = ""  # "table WHERE …", with the customer's id in it
    value: str = ""  # of one of its rows
    found_by: tuple[str, str] = ("", "")  # texts with an index by their letters in which `one`, `many` stand
    options: tuple[tuple[str, str], ...] = ()  # (value, word); of a choice
    label: str = ""  # of a custom field or an answer; the others are named by the pages
    group: str = "customer"
    as_written: bool = False  # a text that is compared as it is, such as a document


@dataclass(frozen=True, slots=True)
class Count:
    number: int
    exact: bool  # False: it took too long, this is reckoned from some of the customers
    least: int = 0  # and lies between these, in nineteen of twenty cases
    most: int = 0


@dataclass(frozen=True, slots=True)
class SavedFilter:
    id: int
    name: str
    owner: int | None
    owner_name: str
    tree: Tree
    updated: datetime.datetime


# -- Fields ------------------------------------------------------------------------------------------------


def local_day(moment: str) -> str:
    return f"(({moment}) AT TIME ZONE 'America/Sao_Paulo')::date"


def of(table: str) -> str:
    return f"{table} WHERE {table}.contact_id = contact.id"


FIELDS: tuple[Field, ...] = (
    Field("name", Sort.TEXT, one="contact.name", found_by=("contact.found_by", "")),
    Field("kind", Sort.CHOICE, one="contact.kind", options=tuple((str(k), str(k)) for k in ContactKind)),
    Field("company", Sort.TEXT, one="contact.company", found_by=("contact.found_by", "")),
    Field(
        "document",
        Sort.TEXT,
        one="upper(regexp_replace(contact.document, '[./[:space:]-]', '', 'g'))",
        as_written=True,
    ),
    Field("external_code", Sort.TEXT, one="contact.external_code", as_written=True),
    Field("notes", Sort.TEXT, one="contact.notes"),
    Field(
        "email",
        Sort.TEXT,
        one="contact.email",
        many=of("contact_email"),
        value="contact_email.email",
        found_by=("contact.found_by", "contact_email.found_by"),
    ),
    Field("phone", Sort.PHONE, many=of("contact_phone"), value="contact_phone.number"),
    Field(
        "phones",
        Sort.NUMBER,
        one="(SELECT count(*) FROM contact_phone WHERE contact_phone.contact_id = contact.id)::numeric",
    ),
    Field("city", Sort.TEXT, many=of("contact_address"), value="contact_address.city", group="address"),
    Field(
        "district", Sort.TEXT, many=of("contact_address"), value="contact_address.district", group="address"
    ),
    Field(
        "state",
        Sort.CHOICE,
        many=of("contact_address"),
        value="contact_address.state",
        options=tuple((state, state) for state in sorted(STATES)),
        group="address",
    ),
    Field(
        "postal_code",
        Sort.TEXT,
        many=of("contact_address"),
        value="contact_address.postal_code",
        group="address",
        as_written=True,
    ),
    Field("person_type", Sort.TEXT, many=of("contact_person"), value="contact_person.type", group="company"),
    Field(
        "person_name",
        Sort.TEXT,
        many=of("contact_person"),
        value="contact_person.name",
        found_by=("", "contact_person.found_by"),
        group="company",
    ),
    Field("created", Sort.DATE, one=local_day("contact.created"), group="work"),
    Field("updated", Sort.DATE, one=local_day("contact.updated"), group="work"),
    Field(
        "last_call",
        Sort.DATE,
        one=local_day("SELECT max(call.started) FROM call WHERE call.contact_id = contact.id"),
        group="work",
    ),
    Field(
        "calls",
        Sort.NUMBER,
        one="(SELECT count(*) FROM call WHERE call.contact_id = contact.id)::numeric",
        group="work",
    ),
    Field(
        "category",
        Sort.CHOICE,
        many=of("tabulation") + " AND tabulation.saved IS NOT NULL",
        value="tabulation.category_id::text",
        group="work",
    ),
    Field(
        "campaign",
        Sort.CHOICE,
        many=of("list_item"),
        value="list_item.campaign_id::text",
        group="work",
    ),
    Field(
        "concluded",
        Sort.CHOICE,
        many=of("list_item") + " AND list_item.result IS NOT NULL",
        value="list_item.result",
        options=(("success", "success"), ("failure", "failure")),
        group="work",
    ),
    Field(
        "ticket_status",
        Sort.CHOICE,
        many=of("ticket"),
        value="ticket.status_id::text",
        group="work",
    ),
    Field(
        "open_ticket",
        Sort.YES_NO,
        one="EXISTS (SELECT FROM ticket WHERE ticket.contact_id = contact.id AND ticket.closed IS NULL)",
        group="work",
    ),
    Field(
        "blocked",
        Sort.YES_NO,
        one="EXISTS (SELECT FROM contact_phone JOIN blocked_number"
        " ON blocked_number.number = contact_phone.number AND blocked_number.campaign_id IS NULL"
        " WHERE contact_phone.contact_id = contact.id)",
        group="work",
    ),
)
CUSTOM = "custom."
ANSWER = "answer."
KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
KINDS = {
    Kind.TEXT: Sort.TEXT,
    Kind.LONG_TEXT: Sort.TEXT,
    Kind.NUMBER: Sort.NUMBER,
    Kind.DATE: Sort.DATE,
    Kind.PHONE: Sort.PHONE,
    Kind.CHOICE: Sort.CHOICE,
    Kind.MOTIVE: Sort.CHOICE,
    Kind.SEGMENT: Sort.CHOICE,
    Kind.CHECKBOX: Sort.YES_NO,
}
SPECIAL = r"'([\\%_])'"  # letters that mean something to LIKE
TICKED = "(" + ", ".join(f"'{word}'" for word in CHECKED) + ")"


def of_custom(field: CustomField) -> Field:
    """The key has been checked by the table: it is made of small letters, digits and _ only."""
    assert KEY.fullmatch(field.key)
    sort = KINDS[field.kind]
    options = tuple((option, option) for option in field.options)
    one = read_as(sort, f"coalesce(contact.custom ->> '{field.key}', '')")
    return Field(CUSTOM + field.key, sort, one, options=options, label=field.label, group="custom")


def of_answer(field: form.Field) -> Field:
    """What the customer ever answered: any tabulation that was saved."""
    return Field(
        ANSWER + field.key,
        KINDS[field.kind],
        many=of("tabulation") + " AND tabulation.saved IS NOT NULL",
        value=answer(field),
        options=tuple((option, option) for option in field.options),
        label=field.label,
        group="form",
    )


def answer(field: form.Field) -> str:
    """SQL of one field of the form in the row `tabulation`, as it was typed."""
    assert KEY.fullmatch(field.key)
    sort, text = KINDS[field.kind], f"coalesce(tabulation.answers ->> '{field.key}', '')"
    return f"f_phone({text})" if sort is Sort.PHONE else read_as(sort, text)


def read_as(sort: Sort, text: str) -> str:
    """SQL of the value that a text stands for; none, and no error, when it is not written as such a value."""
    match sort:
        case Sort.NUMBER:
            return f"f_number({text})"
        case Sort.DATE:
            return f"f_day({text})"
        case Sort.YES_NO:
            return f"({text} IN {TICKED})"
        case _:
            return text


async def answers(db: Db | asyncpg.Connection) -> list[form.Field]:
    """The fields of every layout, each key once."""
    rows = await db.fetch(
        """
        SELECT field ->> 'key' AS key, field ->> 'label' AS label, field ->> 'kind' AS kind,
               field -> 'options' AS options
          FROM layout, jsonb_array_elements(fields) WITH ORDINALITY AS t (field, position)
         ORDER BY layout.id, position
        """
    )
    return merged(
        form.Field(row["key"], row["label"], Kind(row["kind"]), options=tuple(row["options"] or ()))
        for row in rows
        if KEY.fullmatch(row["key"])
    )


def merged(fields: Iterable[form.Field]) -> list[form.Field]:
    """Pure. Fields of one key become one, with the first one's label; a text where they differ in sort."""
    found: dict[str, form.Field] = {}
    for field in fields:
        known = found.setdefault(field.key, field)
        same = KINDS[known.kind] is KINDS[field.kind]
        options = tuple(dict.fromkeys((*known.options, *field.options)))
        found[field.key] = replace(
            known, kind=known.kind if same else Kind.TEXT, options=options if same else ()
        )
    return list(found.values())


async def fields(db: Db | asyncpg.Connection) -> dict[str, Field]:
    """Every field by its key, with what its choices offer now."""
    offered = {
        "category": await db.fetch(
            """
            SELECT category.id::text AS value, category_type.name || ': ' || category.name AS word
              FROM category JOIN category_type ON category_type.id = category.type_id
             ORDER BY f_norm(category_type.name), f_norm(category.name)
            """
        ),
        "campaign": await db.fetch(
            "SELECT id::text AS value, name AS word FROM campaign ORDER BY f_norm(name), id"
        ),
        "ticket_status": await db.fetch(
            """
            SELECT ticket_status.id::text AS value, ticket_type.name || ': ' || ticket_status.name AS word
              FROM ticket_status JOIN ticket_type ON ticket_type.id = ticket_status.type_id
             ORDER BY f_norm(ticket_type.name), ticket_status.position
            """
        ),
    }
    found = known(await custom_fields.ever(db), await answers(db))
    for key, rows in offered.items():
        found[key] = replace(found[key], options=tuple((row["value"], row["word"]) for row in rows))
    return found


def known(custom: Iterable[CustomField] = (), answers: Iterable[form.Field] = ()) -> dict[str, Field]:
    more = (*(of_answer(each) for each in answers), *(of_custom(each) for each in custom))
    return {field.key: field for field in (*FIELDS, *more)}


# -- Checking ----------------------------------------------------------------------------------------------


def checked(tree: Any, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Pure. The tree in one form; Refused with errors by each wrong node's path, such as "tree.0.1.value".

    A choice that is no longer offered is let through: nobody matches it.
    """
    errors: dict[str, str] = {}
    counted = [0]
    answer = node(tree, fields, (), errors, counted)
    if counted[0] > CONDITIONS_MAX:
        errors[""] = "too_long"
    refuse({("tree." + path).rstrip("."): wrong for path, wrong in errors.items()})
    assert answer is not None
    return answer


def node(
    given: Any, fields: Mapping[str, Field], path: tuple[str, ...], errors: dict[str, str], counted: list[int]
) -> dict[str, Any] | None:
    place = ".".join(path)
    match given:
        case {"all": list() as nodes} | {"any": list() as nodes} if len(given) == 1:
            counted[0] += len(nodes)
            if len(path) > DEPTH_MAX or counted[0] > 10 * CONDITIONS_MAX:
                errors[place] = "too_long"
                return None
            if not nodes and path:
                errors[place] = "required"
            word = next(iter(given))
            inside = [node(each, fields, (*path, str(n)), errors, counted) for n, each in enumerate(nodes)]
            return {word: [each for each in inside if each is not None]}
        case {"not": inner} if len(given) == 1:
            counted[0] += 1
            if len(path) > DEPTH_MAX:
                errors[place] = "too_long"
                return None
            return {"not": node(inner, fields, (*path, "not"), errors, counted)}
        case {"field": str() as key, "test": str() as test}:
            return condition(key, test, given.get("value"), fields, place, errors)
        case _:
            errors[place] = "not_a_field"
            return None


def condition(
    key: str, test: str, value: Any, fields: Mapping[str, Field], place: str, errors: dict[str, str]
) -> dict[str, Any] | None:
    field = fields.get(key)
    if field is None:
        errors[f"{place}.field".lstrip(".")] = "not_a_field"
        return None
    if test not in TESTS[field.sort]:
        errors[f"{place}.test".lstrip(".")] = "not_an_option"
        return None
    if test in WITHOUT_VALUE:
        return {"field": key, "test": test}
    values = value if isinstance(value, list | tuple) else [value]
    if test in TWO:
        values = [*values, None, None][:2]
    elif test in SEVERAL:
        values = [each for each in values if each not in (None, "")]
    else:
        values = values[:1]
    if not values or any(each in (None, "") or isinstance(each, list | dict) for each in values):
        errors[f"{place}.value".lstrip(".")] = "required"
        return None
    if len(values) > VALUES_MAX:
        errors[f"{place}.value".lstrip(".")] = "too_long"
        return None
    parsed, wrong = [], None
    for each in values:
        text, problem = in_one_form(field, test, str(each).strip())
        wrong = wrong or problem
        parsed.append(text)
    if wrong:
        errors[f"{place}.value".lstrip(".")] = wrong
        return None
    return {"field": key, "test": test, "value": parsed if test in SEVERAL | TWO else parsed[0]}


def in_one_form(field: Field, test: str, text: str) -> tuple[str, str | None]:
    """One value as it is kept, and the key of what is wrong with it."""
    wrong = None
    if not text:
        wrong = "required"
    elif not writable(text):
        wrong = "not_allowed_characters"
    elif len(text) > TEXT_MAX:
        wrong = "too_long"
    elif test in ("last_days", "next_days"):
        wrong = None if re.fullmatch(r"[0-9]{1,5}", text) and int(text) <= DAYS_MAX else "not_a_number"
    elif test == "state" and field.sort is Sort.PHONE:
        wrong = None if text in AREA_CODES_OF else "not_an_option"
    elif test in ("area_code", "not_area_code"):
        wrong = None if re.fullmatch(r"[1-9][1-9]", text) else "not_an_option"
    elif field.sort is Sort.NUMBER:
        text, wrong = number(text)
    elif field.sort is Sort.DATE:
        wrong = None if is_day(text) else "not_a_date"
    elif field.sort is Sort.PHONE:
        text, wrong = phone(text, test)
    elif field.as_written and field.key in ("document", "postal_code"):
        text = re.sub(r"[.\-/\s]", "", text).upper() or text
    return text, wrong


def writable(text: str) -> bool:
    """Whether the database can hold it: no NUL, and no half of a letter as JSON can spell one."""
    return "\x00" not in text and not re.search("[\ud800-\udfff]", text)


def number(text: str) -> tuple[str, str | None]:
    try:
        value = Decimal(text.replace(",", "."))
    except InvalidOperation:
        return text, "not_a_number"
    if not value.is_finite() or abs(value) >= 10**15 or len(text) > 40:
        return text, "not_a_number"
    return format(value, "f"), None


def phone(text: str, test: str) -> tuple[str, str | None]:
    if test == "is":
        whole = normalise(text, "11")
        return (whole, None) if whole else (text, "not_a_phone")
    digits = re.sub(r"[^0-9]", "", text)
    return (digits, None) if digits else (text, "not_a_phone")


def is_day(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


# -- SQL ---------------------------------------------------------------------------------------------------


def sql(
    tree: Tree, fields: Mapping[str, Field] | None = None, first: int = 1, today: datetime.date | None = None
) -> tuple[str, list[Any]]:
    """Pure but for the day when none is given. A condition on the table `contact`, and its arguments.

    `first` is the number of its first argument: $1 unless the query around it has some of its own. The tree
    is checked; Refused when it is wrong.
    """
    by_key = fields if fields is not None else known()
    writer = Writer(by_key, first, today or datetime.datetime.now(ZONE).date())
    return writer.node(checked(tree, by_key)), writer.values


async def where(db: Db | asyncpg.Connection, tree: Tree, first: int = 1) -> tuple[str, list[Any]]:
    """`sql` with the custom fields there are now."""
    return sql(tree, await fields(db), first)


class Writer:
    """Writes one tree; collects the arguments on the way."""

    def __init__(self, fields: Mapping[str, Field], first: int, today: datetime.date) -> None:
        self.fields, self.first, self.today = fields, first, today
        self.values: list[Any] = []

    def argument(self, value: Any, cast: str) -> str:
        self.values.append(value)
        return f"${self.first + len(self.values) - 1}::{cast}"

    def node(self, tree: Tree) -> str:
        match tree:
            case {"all": nodes}:
                return "(" + " AND ".join(self.node(each) for each in nodes) + ")" if nodes else "true"
            case {"any": nodes}:
                return "(" + " OR ".join(self.node(each) for each in nodes) + ")" if nodes else "true"
            case {"not": inner}:
                return f"(NOT {self.node(inner)})"
            case _:
                field = self.fields[tree["field"]]
                write: Callable[[Field, str, Any], str] = {
                    Sort.TEXT: self.text,
                    Sort.NUMBER: self.number,
                    Sort.DATE: self.date,
                    Sort.PHONE: self.phone,
                    Sort.CHOICE: self.choice,
                    Sort.YES_NO: self.yes_no,
                }[field.sort]
                return write(field, tree["test"], tree.get("value"))

    def has(self, field: Field, condition: str, *, opposite: bool = False, letters: str = "") -> str:
        """Whether a value `t.v` of the field meets the condition.

        Rows of the customer are asked about in EXISTS at its plainest, which PostgreSQL can turn into a join.
        `letters` is a pattern of LIKE that nobody meets the condition without: an index finds it.
        """
        met = []
        parts = ("", field.one, field.found_by[0]), (field.many, field.value, field.found_by[1])
        for sql, value, found_by in parts:
            if value:
                asked = f"({condition.replace('t.v', f'({value})')})"
                if letters and found_by:
                    asked = f"({found_by} LIKE {letters} AND {asked})"
                met.append(f"EXISTS (SELECT FROM {sql} AND {asked})" if sql else asked)
        either = f"({' OR '.join(met)})"
        return f"(NOT {either})" if opposite else either

    def text(self, field: Field, test: str, value: Any) -> str:
        if test in ("empty", "filled"):
            return self.has(field, "t.v <> ''", opposite=test == "empty")
        cast = "text" if not isinstance(value, list) else "text[]"
        asked = self.argument(value, cast)
        own, other = ("t.v", asked) if field.as_written else ("f_norm(t.v)", f"f_norm({asked})")
        letters = f"'%' || regexp_replace({other}, {SPECIAL}, '\\\\\\1', 'g') || '%'"
        match test:
            case "is" | "is_not":
                condition = f"{own} = {other}"
            case "contains" | "not_contains":
                condition = f"strpos({own}, {other}) > 0"
            case "begins":
                condition = f"starts_with({own}, {other})"
            case _:
                normal = "w" if field.as_written else "f_norm(w)"
                condition = f"{own} IN (SELECT {normal} FROM unnest({asked}) AS u (w))"
        return self.has(
            field,
            condition,
            opposite=test in ("is_not", "not_contains"),
            letters=letters * (test != "one_of"),
        )

    def number(self, field: Field, test: str, value: Any) -> str:
        if test in ("empty", "filled"):
            return self.has(field, "t.v IS NOT NULL", opposite=test == "empty")
        if test == "between":
            low, high = (self.argument(Decimal(each), "numeric") for each in value)
            condition = f"t.v BETWEEN {low} AND {high}"
        else:
            sign = {"equals": "=", "differs": "=", "less": "<", "more": ">"}[test]
            condition = f"t.v {sign} {self.argument(Decimal(value), 'numeric')}"
        return self.has(field, f"coalesce({condition}, false)", opposite=test == "differs")

    def date(self, field: Field, test: str, value: Any) -> str:
        if test in ("empty", "filled"):
            return self.has(field, "t.v IS NOT NULL", opposite=test == "empty")
        low, high = days(test, value, self.today)
        bounds = ((">=", low), ("<=", high))
        conditions = [f"t.v {sign} {self.argument(day, 'date')}" for sign, day in bounds if day is not None]
        return self.has(field, f"coalesce({' AND '.join(conditions)}, false)")

    def phone(self, field: Field, test: str, value: Any) -> str:
        match test:
            case "empty" | "filled":
                condition = "t.v <> ''"
            case "is":
                condition = f"t.v = {self.argument(value, 'text')}"
            case "contains":
                condition = f"strpos(t.v, {self.argument(value, 'text')}) > 0"
            case "mobile":
                condition = f"t.v LIKE '{MOBILE}'"
            case "state":
                codes = [code for state in value for code in AREA_CODES_OF[state].split()]
                condition = f"t.v LIKE ANY ({self.argument(geographic(codes), 'text[]')})"
            case _:
                condition = f"t.v LIKE ANY ({self.argument(geographic(value), 'text[]')})"
        return self.has(field, condition, opposite=test in ("empty", "not_area_code"))

    def choice(self, field: Field, test: str, value: Any) -> str:
        if test in ("empty", "filled"):
            return self.has(field, "t.v <> ''", opposite=test == "empty")
        asked = self.argument(list(value), "text[]")
        return self.has(field, f"t.v = ANY({asked})", opposite=test == "none_of")

    def yes_no(self, field: Field, test: str, value: Any) -> str:
        return self.has(field, "t.v", opposite=test == "no")


MOBILE = "+55__9" + 8 * "_"


def geographic(area_codes: Iterable[str]) -> list[str]:
    """Patterns of numbers (E.164) with an area code in them; ten times as quick as a regular expression."""
    return [f"+55{code}" + digits * "_" for code in area_codes for digits in (8, 9)]


NEVER = (datetime.date.max, datetime.date.min)


def days(test: str, value: Any, today: datetime.date) -> tuple[datetime.date | None, datetime.date | None]:
    """The first and the last day a test of dates lets through."""
    one_day = datetime.timedelta(days=1)
    match test:
        case "last_days":
            return today - datetime.timedelta(days=min(int(value), today.toordinal() - 1)), today
        case "next_days":
            return today, today + datetime.timedelta(days=int(value))
        case "between":
            low, high = (datetime.date.fromisoformat(each) for each in value)
            return low, high
        case "on":
            return datetime.date.fromisoformat(value), datetime.date.fromisoformat(value)
        case "before":
            day = datetime.date.fromisoformat(value)
            return (None, day - one_day) if day > datetime.date.min else NEVER
        case _:
            day = datetime.date.fromisoformat(value)
            return (day + one_day, None) if day < datetime.date.max else NEVER


# -- Asking ------------------------------------------------------------------------------------------------


async def count(db: Db, tree: Tree, seconds: float = COUNT_SECONDS) -> Count:
    """How many customers; when that takes too long, about how many."""
    condition, values = await where(db, tree)
    try:
        async with db.acquire() as connection, connection.transaction(readonly=True):
            await limit_time(connection, seconds)
            found = await connection.fetchval(f"SELECT count(*) FROM contact WHERE {condition}", *values)
            return Count(found, True)
    except asyncpg.QueryCanceledError:
        return await about(db, condition, values)


async def about(db: Db, condition: str, values: Sequence[Any]) -> Count:
    """Reckoned from some pages of the table, always the same ones; else what the planner believes."""
    everybody = await db.fetchval("SELECT reltuples FROM pg_class WHERE oid = 'contact'::regclass")
    share = min(100.0, 100 * GUESSED_FROM / max(everybody, 1))
    try:
        async with db.acquire() as connection, connection.transaction(readonly=True):
            await limit_time(connection, GUESS_SECONDS)
            found, asked = await connection.fetchrow(
                f"""
                SELECT count(*) FILTER (WHERE {condition}), count(*)
                  FROM contact TABLESAMPLE SYSTEM ({share:f}) REPEATABLE (1)
                """,
                *values,
            )
    except asyncpg.QueryCanceledError:
        found = asked = 0
    everybody = max(everybody, asked)  # nobody has looked at the table yet: -1
    plan = await db.fetchval(f"EXPLAIN (FORMAT json) SELECT FROM contact WHERE {condition}", *values)
    return reckoned(found, asked, round(everybody), estimate(plan))


def reckoned(found: int, asked: int, everybody: int, planned: int) -> Count:
    """Pure. How many of everybody, when so many were found among those asked; `planned` is the database's
    guess, which is taken where nobody was found.

    The bounds are those of a Poisson count, twice as far: neighbours on a page of the table are alike.
    """
    if not asked:
        return Count(min(planned, everybody), False, 0, everybody)
    share = everybody / asked
    least = max(found, max(0.0, found**0.5 - 2) ** 2 * share)
    most = min(everybody, ((found + 1) ** 0.5 + 2) ** 2 * share)
    number = found * share if found else min(planned, most)
    return Count(
        rounded(number), False, rounded(least, ROUND_FLOOR), min(everybody, rounded(most, ROUND_CEILING))
    )


def rounded(number: float, way: str = ROUND_HALF_EVEN) -> int:
    """To two digits: more is not known."""
    return int(Context(2, way).create_decimal(Decimal(number)))


def estimate(plan: Any) -> int:
    read = json.loads(plan) if isinstance(plan, str) else plan
    return int(read[0]["Plan"]["Plan Rows"])


async def limit_time(connection: asyncpg.Connection, seconds: float) -> None:
    """Of this transaction; with room enough to join a million customers with their numbers in memory."""
    await connection.execute(
        f"SET LOCAL statement_timeout = {int(seconds * 1000)}; SET LOCAL work_mem = '64MB'"
    )


async def sample(
    db: Db, tree: Tree, limit: int = SAMPLE, seconds: float = SAMPLE_SECONDS
) -> list[Contact] | None:
    """Some of the customers, those known longest first; none when it takes too long to find them."""
    condition, values = await where(db, tree)
    try:
        async with db.acquire() as connection, connection.transaction(readonly=True):
            await limit_time(connection, seconds)
            rows = await connection.fetch(
                f"""
                {CONTACT}
                  JOIN (SELECT contact.id FROM contact WHERE {condition} ORDER BY contact.id LIMIT {limit:d})
                       AS chosen ON chosen.id = contact.id
                 ORDER BY contact.id
                """,
                *values,
            )
    except asyncpg.QueryCanceledError:
        return None
    return [read_contact(row) for row in rows]


async def matches(db: Db | asyncpg.Connection, tree: Tree, contact_id: int) -> bool:
    condition, values = await where(db, tree, 2)
    return await db.fetchval(
        f"SELECT EXISTS (SELECT FROM contact WHERE contact.id = $1 AND {condition})", contact_id, *values
    )


# -- Saved -------------------------------------------------------------------------------------------------

SAVED = """
    SELECT saved_filter.id, saved_filter.name, saved_filter.owner,
           coalesce(user_account.name, '') AS owner_name, saved_filter.tree, saved_filter.updated
      FROM saved_filter LEFT JOIN user_account ON user_account.id = saved_filter.owner
"""


async def all(db: Db | asyncpg.Connection) -> list[SavedFilter]:
    rows = await db.fetch(SAVED + "ORDER BY f_norm(saved_filter.name), saved_filter.id")
    return [SavedFilter(**row) for row in rows]


async def by_id(db: Db | asyncpg.Connection, filter_id: int) -> SavedFilter | None:
    row = await db.fetchrow(SAVED + "WHERE saved_filter.id = $1", filter_id)
    return SavedFilter(**row) if row else None


def checked_facts(values: Mapping[str, Any], fields: Mapping[str, Field]) -> tuple[str, dict[str, Any]]:
    entry = Entry(values)
    name = entry.text("name", 100)
    tree: dict[str, Any] = {}
    try:
        tree = checked(values.get("tree") or {"all": []}, fields)
    finally:
        if entry.errors:
            entry.done()
    return name, tree


async def create(db: Db, by: User | None, *, name: str, tree: Tree) -> SavedFilter:
    require(by, "run_campaigns")
    async with db.acquire() as connection, connection.transaction():
        name, new = checked_facts({"name": name, "tree": tree}, await fields(connection))
        with refusing(CONSTRAINTS):
            filter_id = await connection.fetchval(
                "INSERT INTO saved_filter (name, owner, tree) VALUES ($1, $2, $3) RETURNING id",
                name,
                by.id if by else None,
                new,
            )
        await audit.note(connection, by, "filter.create", f"filter {name}", None, {"name": name, "tree": new})
        made = await by_id(connection, filter_id)
    assert made is not None
    return made


async def update(db: Db, by: User | None, filter_id: int, **changes: Any) -> SavedFilter:
    """Changes name or tree. Lists made with it before stay as they are."""
    require(by, "run_campaigns")
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM saved_filter WHERE id = $1 FOR UPDATE", filter_id)
        before = await by_id(connection, filter_id)
        if before is None:
            raise missing("filter")
        old = {"name": before.name, "tree": before.tree}
        name, tree = checked_facts({**old, **changes}, await fields(connection))
        with refusing(CONSTRAINTS):
            await connection.execute(
                "UPDATE saved_filter SET name = $2, tree = $3, updated = now() WHERE id = $1",
                filter_id,
                name,
                tree,
            )
        new = {"name": name, "tree": tree}
        await audit.note(connection, by, "filter.update", f"filter {name}", old, new)
        made = await by_id(connection, filter_id)
    assert made is not None
    return made


async def remove(db: Db, by: User | None, filter_id: int) -> None:
    """Refused while a campaign finds its customers by it."""
    require(by, "run_campaigns")
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, filter_id)
        if before is None:
            raise missing("filter")
        with refusing(CONSTRAINTS):
            await connection.execute("DELETE FROM saved_filter WHERE id = $1", filter_id)
        old = {"name": before.name, "tree": before.tree}
        await audit.note(connection, by, "filter.remove", f"filter {before.name}", old, None)


def fields_of(tree: Tree) -> Sequence[str]:
    """The keys of the fields a tree asks about."""
    match tree:
        case {"all": nodes} | {"any": nodes}:
            return [key for each in nodes for key in fields_of(each)]
        case {"not": inner}:
            return fields_of(inner)
        case {"field": key}:
            return [key]
    return []
