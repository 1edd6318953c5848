"""The merge fields a script's text can have, as they are offered: in Portuguese or English. Pure."""

from collections.abc import Callable, Sequence

from crm.custom_fields import CustomField
from crm.scripts import CUSTOM, FIELDS, PORTUGUESE, ScriptKind
from webui.i18n import N_

KINDS = {ScriptKind.APPROACH: N_("Approach"), ScriptKind.BARRIER: N_("Barrier")}
MERGE = {
    "name": N_("Name"),
    "first_name": N_("First name"),
    "company": N_("Company"),
    "document": N_("CPF or CNPJ"),
    "phone": N_("Telephone"),
    "email": N_("E-mail"),
    "external_code": N_("External code"),
    "notes": N_("Notes"),
    "campaign": N_("Campaign"),
    "agent": N_("Agent's name"),
    "greeting": N_("Good morning, afternoon, evening"),
    "today": N_("Today's date"),
}


def offered(custom: Sequence[CustomField], language: str, _: Callable[[str], str]) -> list[tuple[str, str]]:
    """(what is written into the text, what it is called)."""
    own = {name: word for word, name in reversed(PORTUGUESE.items())} if language == "pt_BR" else {}
    fixed = [("{{" + own.get(name, name) + "}}", _(MERGE[name])) for name in FIELDS]
    return [*fixed, *(("{{" + CUSTOM + field.key + "}}", field.label) for field in custom)]
