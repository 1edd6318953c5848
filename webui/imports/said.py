"""What the pages of imports call things: why a row was not taken, and what a column is."""

from collections.abc import Callable, Iterable

from crm.form import MESSAGES, Field
from crm.import_rows import CUSTOM, PEOPLE, PLACES, TEXTS
from webui.i18n import N_

REASONS = {
    "no_phone": N_("no telephone number that can be called"),
    "not_a_phone": N_("not a telephone number with its area code"),
    "digits_lost": N_("a spreadsheet has cut the number's last digits (1,19E+10)"),
    "too_many_phones": N_("more than twenty telephone numbers"),
    "not_a_document": N_("the check digits of this CPF or CNPJ are wrong"),
    "not_an_email": N_("not an e-mail address"),
    "too_many_cells": N_("more cells than the header: a delimiter stands inside a cell"),
    "not_readable": N_("letters that the chosen encoding does not have"),
    "too_long": N_("too long"),
    "empty": N_("nothing that says who it is"),
    "not_a_state": N_("not a Brazilian state"),
    "not_a_postal_code": N_("not a CEP"),
    "not_a_number": N_("not a number"),
    "not_a_date": N_("not a date"),
    "not_an_option": N_("not one of the options"),
    "twice_in_file": N_("the same as an earlier line"),
    "already_known": N_("already a customer, left unchanged"),
    "blocked": N_("only blocked numbers: not on the list"),
    "contact_added": N_("the same as an earlier line; its contact person was added there"),
    "not_a_company": N_("a contact person of somebody who is no company"),
    "not_valid": N_("the campaign's validation refused: not on the list"),
    "no_verdict": N_("the campaign's validation gave no answer: not on the list"),
}
PROBLEMS = {
    "unknown_target": N_("One of the columns is given to a field that no longer exists."),
    "target_twice": N_("Two columns are given to the same field."),
    "phone_not_mapped": N_("Say which column has the telephone, or let people without one in."),
    "nothing_mapped": N_(
        "Say at least which column has the name, the telephone, the document or the e-mail."
    ),
    "not_in_the_file": N_("No column of the file has what customers shall be told apart by."),
}
TARGETS = {
    "name": N_("Name"),
    "company": N_("Company"),
    "kind": N_("Person or company"),
    "document": N_("CPF or CNPJ"),
    "external_code": N_("External code"),
    "email": N_("E-mail"),
    "notes": N_("Notes"),
    "area": N_("Area code (DDD)"),
    "phone": N_("Telephone"),
    "address.street": N_("Street"),
    "address.number": N_("Number of the house"),
    "address.complement": N_("Complement"),
    "address.district": N_("District"),
    "address.city": N_("City"),
    "address.state": N_("State"),
    "address.postal_code": N_("CEP"),
    "main.name": N_("Main contact: name"),
    "main.phone": N_("Main contact: telephone"),
    "main.email": N_("Main contact: e-mail"),
    "other.type": N_("Other contact: kind"),
    "other.name": N_("Other contact: name"),
    "other.phone": N_("Other contact: telephone"),
    "other.email": N_("Other contact: e-mail"),
}
MATCHES = {
    "document": N_("CPF or CNPJ"),
    "external_code": N_("External code"),
    "phone": N_("Telephone"),
}
PHASES = {
    "waiting": N_("Waiting for another import"),
    "reading": N_("Reading the file and checking each row"),
    "checking": N_("Looking for duplicates and blocked numbers"),
    "saving": N_("Saving"),
    "": N_("Finished"),
}
FAILURES = (  # what an import's row says in English
    N_("This file is too large to be opened as a workbook: save it as CSV."),
    N_("The import failed ({error}). Nothing of the file was imported; start again."),
    N_("The server was stopped meanwhile. Nothing of the file was imported; start again."),
)
DELIMITERS = {";": ";", ",": ",", "\t": N_("tab"), "|": "|"}
ENCODINGS = {
    "utf-8-sig": "UTF-8",
    "cp1252": "Windows (Latin-1)",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 LE",
    "utf-16-be": "UTF-16 BE",
    "cp850": "MS-DOS (CP 850)",
    "latin-1": "ISO 8859-1",
    "mac-roman": "Macintosh",
}


def targets(_: Callable[[str], str], fields: Iterable[Field]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The choices for a column, in groups."""
    places = [f"address.{place}" for place in PLACES]
    return [
        (_("Customer"), [(name, _(TARGETS[name])) for name in TEXTS]),
        (_("Telephones"), [(name, _(TARGETS[name])) for name in ("phone", "area")]),
        (_("Address"), [(name, _(TARGETS[name])) for name in places]),
        (_("Contacts at a company"), [(name, _(TARGETS[name])) for name in PEOPLE]),
        (_("Custom fields"), [(CUSTOM + field.key, field.label) for field in fields]),
    ]


def reason(_: Callable[[str], str], key: str) -> str:
    """Also of a cell left out of a row that was taken, which begins with ~."""
    bare = key.removeprefix("~")
    words = _(REASONS.get(bare) or MESSAGES.get(bare, bare))
    return _("left out: %s") % words if key.startswith("~") else words
