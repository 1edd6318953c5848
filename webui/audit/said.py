"""How an audit entry is said to a reader: what was done, to what, and which facts changed. Pure."""

from collections.abc import Callable

from crm.audit import AuditEntry
from webui.i18n import N_

KINDS = {
    "user": N_("Users"),
    "extension": N_("Extensions"),
    "group": N_("Groups"),
    "queue": N_("Queues"),
    "layout": N_("Layouts"),
    "category": N_("Categories"),
    "contact": N_("Contacts"),
    "recording": N_("Recordings"),
    "export": N_("Exports"),
    "number": N_("Numbers"),
    "trunk": N_("Trunks"),
    "route": N_("Routes"),
    "pause": N_("Pauses"),
}
"""What an action can be about, the beginning of its name, in the words of a filter."""

THINGS = {
    "user": N_("User"),
    "extension": N_("Extension"),
    "group": N_("Group"),
    "queue": N_("Queue"),
    "layout": N_("Layout"),
    "category": N_("Category"),
    "type": N_("Type"),
    "contact": N_("Contact"),
    "call": N_("Telephone call"),
    "export": N_("Export"),
    "number": N_("Number"),
    "trunk": N_("Trunk"),
    "route": N_("Route"),
    "pause": N_("Pause"),
}
"""The first word of a subject."""

DEEDS = {
    "create": N_("created"),
    "update": N_("changed"),
    "remove": N_("removed"),
    "rename": N_("renamed"),
    "set_password": N_("given a new password"),
    "hear": N_("recording heard"),
    "download": N_("recording downloaded"),
    "start": N_("asked for"),
}
"""The last part of an action's name."""

FACTS = {
    "name": N_("Name"),
    "label": N_("Label"),
    "login": N_("Login"),
    "role": N_("Role"),
    "group_id": N_("Group"),
    "user_id": N_("User"),
    "language": N_("Language"),
    "active": N_("Active"),
    "may_dial_external": N_("May dial external numbers"),
    "may_hear_recordings": N_("May hear recordings"),
    "wrapup_seconds": N_("Wrap-up"),
    "ring_seconds_max": N_("Rings for"),
    "service_level_seconds": N_("Service level"),
    "waiting_max": N_("Waiting at most"),
    "wait_seconds_max": N_("Longest wait"),
    "layout_id": N_("Layout"),
    "tabulation_mandatory": N_("Tabulation mandatory"),
    "record": N_("Record the calls"),
    "members": N_("Agents"),
    "fields": N_("Fields"),
    "types": N_("Types"),
    "success": N_("Success"),
    "company": N_("Company"),
    "document": N_("CPF or CNPJ"),
    "email": N_("E-mail"),
    "notes": N_("Notes"),
    "phones": N_("Telephones"),
    "number": N_("Number"),
    "started": N_("Started"),
    "dialed": N_("Dialed as"),
    "target": N_("Leads to"),
}
"""Facts, as the forms call them."""


def subject(entry: AuditEntry, _: Callable[[str], str]) -> str:
    thing, space, name = entry.subject.partition(" ")
    return _(THINGS.get(thing, thing)) + space + name


def deed(entry: AuditEntry, _: Callable[[str], str]) -> str:
    done = entry.action.rpartition(".")[2]
    return _(DEEDS[done]) if done in DEEDS else entry.action


def fact(key: str, _: Callable[[str], str]) -> str:
    return _(FACTS[key]) if key in FACTS else key
