"""How the fields and tests of a filter are called. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crm.filters import AREA_CODES_OF, SEVERAL, TESTS, TWO, WITHOUT_VALUE, Field, Sort, Tree
from webui.filters.rows import Row
from webui.i18n import N_

Say = Callable[[str], str]
Words = list[tuple[str, str]]  # (value, word), as a choice offers them

FIELDS = {
    "name": N_("Name"),
    "kind": N_("Person or company"),
    "company": N_("Company"),
    "document": N_("CPF or CNPJ"),
    "external_code": N_("External code"),
    "notes": N_("Notes"),
    "email": N_("E-mail"),
    "phone": N_("Telephone"),
    "phones": N_("Number of telephones"),
    "city": N_("City"),
    "district": N_("District"),
    "state": N_("State of the address"),
    "postal_code": N_("Postal code"),
    "person_type": N_("Type of person at the company"),
    "person_name": N_("Name of a person at the company"),
    "created": N_("Registered on"),
    "updated": N_("Last changed on"),
    "last_call": N_("Last call on"),
    "calls": N_("Number of calls"),
    "category": N_("Category of a tabulation"),
    "campaign": N_("In the list of a campaign"),
    "concluded": N_("Concluded in a campaign with"),
    "ticket_status": N_("Has a ticket in status"),
    "open_ticket": N_("Has an open ticket"),
    "blocked": N_("Has a blocked number"),
}
GROUPS = {
    "customer": N_("Customer"),
    "address": N_("Address"),
    "company": N_("People of a company"),
    "work": N_("What happened"),
    "form": N_("Answers of forms"),
    "custom": N_("Custom fields"),
}
TEST_WORDS = {
    "contains": N_("contains"),
    "not_contains": N_("does not contain"),
    "is": N_("is"),
    "is_not": N_("is not"),
    "begins": N_("begins with"),
    "one_of": N_("is one of"),
    "none_of": N_("is none of"),
    "empty": N_("is empty"),
    "filled": N_("is filled in"),
    "equals": N_("is equal to"),
    "differs": N_("is not equal to"),
    "less": N_("is less than"),
    "more": N_("is more than"),
    "between": N_("is between"),
    "on": N_("is on"),
    "before": N_("is before"),
    "after": N_("is after"),
    "last_days": N_("in the last days"),
    "next_days": N_("in the next days"),
    "area_code": N_("has the area code"),
    "not_area_code": N_("has no number of the area code"),
    "state": N_("is of the state"),
    "mobile": N_("is a mobile"),
    "yes": N_("yes"),
    "no": N_("no"),
}
JOINED = {
    "all": N_("all of these"),
    "any": N_("at least one of these"),
    "none": N_("none of these"),
    "not_all": N_("not all of these"),
}
OPTIONS = {
    "person": N_("person"),
    "company": N_("company"),
    "success": N_("success"),
    "failure": N_("failure"),
}


@dataclass(frozen=True)
class Drawn:
    """What filters/tree.html draws a tree from."""

    root: Row
    fields: Mapping[str, Field]
    groups: list[tuple[str, Words]]
    options: Mapping[str, Words]
    tests: Mapping[Sort, Words]
    joins: Words
    meeting: tuple[str, ...]  # "customers who meet", "or who meet", "and who meet"
    states: Words
    several: frozenset[str] = SEVERAL
    two: frozenset[str] = TWO
    without: frozenset[str] = WITHOUT_VALUE


def drawn(
    root: Row,
    fields: Mapping[str, Field],
    groups: Iterable[str],
    meeting: tuple[str, ...],
    _: Say,
    headings: Mapping[str, str] = GROUPS,
) -> Drawn:
    """`meeting` in the reader's words; `headings` are those of the groups."""
    return Drawn(
        root,
        fields,
        [
            (_(headings[group]), [(key, field_word(f, _)) for key, f in fields.items() if f.group == group])
            for group in groups
        ],
        {key: option_words(field, _) for key, field in fields.items()},
        {sort: [(test, _(TEST_WORDS[test])) for test in tests] for sort, tests in TESTS.items()},
        [(join, _(word)) for join, word in JOINED.items()],
        meeting,
        [(state, state) for state in sorted(AREA_CODES_OF)],
    )


def field_word(field: Field, _: Say) -> str:
    return field.label or _(FIELDS[field.key])


def option_words(field: Field, _: Say) -> Words:
    return [(value, _(OPTIONS.get(value, word)) if value == word else word) for value, word in field.options]


def said(tree: Tree, fields: Mapping[str, Field], _: Say, outermost: bool = True) -> str:
    """A whole tree in one sentence."""
    match tree:
        case {"all": []} | {"any": []}:
            return _("every customer")
        case {"all": nodes} | {"any": nodes}:
            word = _(" and ") if "all" in tree else _(" or ")
            words = word.join(said(each, fields, _, False) for each in nodes)
            return words if outermost or len(nodes) == 1 else f"({words})"
        case {"not": inner}:
            return _("not %s") % said(inner, fields, _, False)
        case {"field": key, "test": test}:
            return condition_said(key, test, tree.get("value"), fields, _)
    return ""


def condition_said(key: str, test: str, value: Any, fields: Mapping[str, Field], _: Say) -> str:
    field = fields.get(key)
    name = field_word(field, _) if field else key
    offered = dict(option_words(field, _)) if field else {}
    values = value if isinstance(value, list) else [value] if value is not None else []
    words = [offered.get(str(each), str(each)) for each in values]
    asked = (_(" and ") if test == "between" else ", ").join(words)
    return " ".join(part for part in (name, _(TEST_WORDS[test]), asked) if part)
