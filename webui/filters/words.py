"""How the fields and tests of a filter are called. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from crm.filters import Field, Tree
from webui.i18n import N_

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
TESTS = {
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


def field_word(field: Field, _: Callable[[str], str]) -> str:
    return field.label or _(FIELDS[field.key])


def option_words(field: Field, _: Callable[[str], str]) -> list[tuple[str, str]]:
    return [(value, _(OPTIONS.get(value, word)) if value == word else word) for value, word in field.options]


def said(tree: Tree, fields: Mapping[str, Field], _: Callable[[str], str], outermost: bool = True) -> str:
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


def condition_said(
    key: str, test: str, value: Any, fields: Mapping[str, Field], _: Callable[[str], str]
) -> str:
    field = fields.get(key)
    name = field_word(field, _) if field else key
    offered = dict(option_words(field, _)) if field else {}
    values = value if isinstance(value, list) else [value] if value is not None else []
    words = [offered.get(str(each), str(each)) for each in values]
    asked = (_(" and ") if test == "between" else ", ").join(words)
    return " ".join(part for part in (name, _(TESTS[test]), asked) if part)
