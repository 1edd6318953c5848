"""How an audit entry is said to a reader: what was done, to what, and which facts changed. Pure."""

import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any

from crm.audit import AuditEntry
from crm.calls import ZONE
from crm.filters import Field
from crm.numbers import display
from webui.campaigns import said as campaigns
from webui.campaigns.hours import in_words
from webui.dialing import said as dialing
from webui.filters.words import OPTIONS as CONTACT_KINDS
from webui.filters.words import said as filter_said
from webui.i18n import LANGUAGES, N_
from webui.imports.said import TARGETS
from webui.layouts.words import KINDS as FIELD_KINDS
from webui.layouts.words import SCENARIOS
from webui.page import ROLES
from webui.reports.said import EVERY
from webui.scripts.words import KINDS as SCRIPT_KINDS

Words = Callable[[str], str]
Names = Mapping[str, Mapping[int, str]]  # of a fact, what each id is called

KINDS = {
    "user": N_("Users"),
    "extension": N_("Extensions"),
    "group": N_("Groups"),
    "queue": N_("Queues"),
    "layout": N_("Layouts"),
    "category": N_("Categories"),
    "contact": N_("Contacts"),
    "custom_field": N_("Custom fields"),
    "campaign": N_("Campaigns"),
    "item": N_("People on the lists"),
    "callback": N_("Callbacks"),
    "lead": N_("Leads"),
    "import": N_("Imports"),
    "filter": N_("Filters"),
    "script": N_("Scripts"),
    "action_type": N_("Kinds of action"),
    "ticket_type": N_("Types of tickets"),
    "blocked_number": N_("Blocked numbers"),
    "custom_report": N_("Custom reports"),
    "report_schedule": N_("Scheduled reports"),
    "recording": N_("Recordings"),
    "message": N_("Recorded messages"),
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
    "custom field": N_("Custom field"),
    "custom fields": N_("Custom fields"),
    "campaign": N_("Campaign"),
    "item": N_("Person on the list"),
    "message": N_("Recorded message"),
    "import": N_("Import"),
    "import layout": N_("Import layout"),
    "filter": N_("Filter"),
    "script": N_("Script"),
    "action type": N_("Kind of action"),
    "ticket type": N_("Type of tickets"),
    "blocked numbers": N_("Blocked numbers"),
    "custom report": N_("Custom report"),
    "report_schedule": N_("Scheduled report"),
    "call": N_("Telephone call"),
    "export": N_("Export"),
    "number": N_("Number"),
    "trunk": N_("Trunk"),
    "route": N_("Route"),
    "pause": N_("Pause"),
    "pauses": N_("Pauses"),
}
"""The first word, or two, of a subject."""

DEEDS = {
    "create": N_("created"),
    "update": N_("changed"),
    "remove": N_("removed"),
    "rename": N_("renamed"),
    "set_password": N_("given a new password"),
    "hear": N_("recording heard"),
    "download": N_("recording downloaded"),
    "start": N_("asked for"),
    "done": N_("done"),
    "save": N_("saved"),
    "order": N_("put in another order"),
    "status": N_("other status"),
    "dialing": N_("dialing settings changed"),
    "pace": N_("pace changed"),
    "link": N_("a customer put on the list by hand"),
    "list_add": N_("new items put on the list"),
    "list_rebuild": N_("list rebuilt"),
    "list_import": N_("list imported"),
    "list_lead": N_("lead put on the list"),
    "receive": N_("lead received"),
    "release": N_("taken from its agent"),
    "cancel": N_("taken off the list"),
    "reopen": N_("put back on the list"),
    "move": N_("callback moved"),
    "give": N_("callbacks given to another agent"),
    "import": N_("list of numbers brought"),
    "export": N_("exported"),
    "blocked_number.create": N_("number blocked"),
    "blocked_number.remove": N_("number unblocked"),
    "callback.remove": N_("callback deleted"),
}
"""What was done: the last part of an action's name, or the whole name where that says more."""

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
    "permissions": N_("Permissions"),
    "scenarios": N_("Scenarios"),
    "type": N_("Type"),
    "success": N_("Success"),
    "company": N_("Company"),
    "document": N_("CPF or CNPJ"),
    "email": N_("E-mail"),
    "emails": N_("E-mails"),
    "notes": N_("Notes"),
    "phones": N_("Telephones"),
    "phone": N_("Telephone"),
    "addresses": N_("Addresses"),
    "people": N_("People to talk to"),
    "custom": N_("Custom fields"),
    "kind": N_("Kind"),
    "external_code": N_("External code"),
    "external_id": N_("External code"),
    "number": N_("Number"),
    "started": N_("Started"),
    "dialed": N_("Dialed as"),
    "target": N_("Leads to"),
    "key": N_("Key"),
    "options": N_("Options"),
    "required": N_("Mandatory"),
    "position": N_("Position"),
    "order": N_("Order"),
    "objective": N_("Objective"),
    "message": N_("Message"),
    "source": N_("Source"),
    "filter_id": N_("Filter"),
    "import_layout_id": N_("Import layout"),
    "validates": N_("External validation"),
    "validate_list": N_("Validation of the list"),
    "validate_dial": N_("Validation before dialing"),
    "validation_inputs": N_("Given to the validation"),
    "validation_seconds": N_("Seconds for the validation"),
    "validation_on_failure": N_("When the validation fails"),
    "link_person": N_("Customers linked by hand"),
    "defines_hours": N_("Validity and hours"),
    "permanent": N_("Permanent validity"),
    "valid_from": N_("Valid from"),
    "valid_until": N_("Valid until"),
    "hours_preset": N_("Hours"),
    "hours": N_("Grid of hours"),
    "respect_destination_window": N_("Respects the destination's hours"),
    "callback_mode": N_("Kind of callback"),
    "company_target": N_("Companies"),
    "company_types": N_("Kinds of contact"),
    "ticket_mode": N_("Tickets of redials"),
    "ticket_type_id": N_("Type of ticket"),
    "script_id": N_("Script"),
    "attempts_max": N_("Attempts at most"),
    "number_attempts_per_day_max": N_("Attempts per number and day"),
    "retry": N_("Try again after"),
    "route_id": N_("Route"),
    "caller_id": N_("Number shown"),
    "agents": N_("Agents"),
    "groups": N_("Groups"),
    "status": N_("Status"),
    "copy_of": N_("Copy of"),
    "generation": N_("List number"),
    "added": N_("Added"),
    "updated": N_("Updated"),
    "duplicates": N_("Duplicates"),
    "already": N_("Already there"),
    "repeated": N_("Repeated"),
    "blocked": N_("Blocked"),
    "rejected": N_("Rejected"),
    "failed": N_("Failed"),
    "listed": N_("Put on the list"),
    "rows": N_("Rows"),
    "file": N_("File"),
    "campaign": N_("Campaign"),
    "columns": N_("Columns"),
    "contact": N_("Customer"),
    "contact_id": N_("Customer"),
    "held_by": N_("In the hands of"),
    "state": N_("State"),
    "reason": N_("Reason"),
    "why": N_("Why"),
    "by_user_id": N_("By"),
    "by": N_("By"),
    "at": N_("At"),
    "due_at": N_("Due"),
    "owner": N_("Owner"),
    "note": N_("Note"),
    "callbacks": N_("Callbacks"),
    "tree": N_("Conditions"),
    "steps": N_("Steps"),
    "statuses": N_("Statuses"),
    "outcomes": N_("Outcomes"),
    "report": N_("Report"),
    "about": N_("What it shows"),
    "subject": N_("What a row is"),
    "measures": N_("Measures"),
    "period": N_("Period"),
    "asks": N_("Asked for when opened"),
    "shared": N_("Shared"),
    "recipients": N_("Recipients"),
    "every": N_("How often"),
    "host": N_("Host"),
    "port": N_("Port"),
    "transport": N_("Transport"),
    "username": N_("User name"),
    "number_prefix": N_("Prefix"),
    "prefix": N_("Prefix"),
    "strip": N_("Digits taken away"),
    "pattern": N_("Numbers"),
    "trunk_id": N_("Trunk"),
    "channels_max": N_("Calls at once"),
    "calls_per_second": N_("Calls begun per second"),
    "code": N_("Code"),
    "extension": N_("Extension"),
    "mode": N_("Mode"),
    "lines_max": N_("Lines at most"),
    "ring_seconds": N_("Rings for"),
    "abandon_limit_percent": N_("Abandoned at most"),
    "abandon_after_seconds": N_("In time is within"),
    "abandon_message": N_("Message when no agent is free"),
    "lockout_days": N_("Not called again for"),
    "ratio": N_("Calls for each free agent"),
    "preview_seconds": N_("Countdown"),
    "machine": N_("Detection"),
    "machine_action": N_("What becomes of a machine"),
    "machine_message": N_("Message for machines"),
    "caller_ids": N_("Numbers shown"),
    "thresholds": N_("Thresholds of the detection"),
    "window": N_("The limit of abandonment holds for"),
    "shares": N_("Shares of the lists"),
    "quotas": N_("Quotas"),
    "on_stop": N_("Calls that ring when it is stopped"),
    "pace": N_("Pace"),
}
"""Facts, as the forms call them."""

CODES: Mapping[str, Mapping[str, str]] = {
    "role": ROLES,
    "language": LANGUAGES,
    "kind": CONTACT_KINDS | FIELD_KINDS | SCRIPT_KINDS,
    "scenarios": SCENARIOS,
    "source": {code: word for code, (word, _) in campaigns.SOURCES.items()},
    "hours_preset": {code: word for code, (word, _) in campaigns.PRESETS.items()},
    "callback_mode": {code: word for code, (word, _) in campaigns.CALLBACKS.items()},
    "company_target": {code: word for code, (word, _) in campaigns.COMPANY.items()},
    "ticket_mode": {code: word for code, (word, _) in campaigns.TICKETS.items()},
    "state": {code: word for code, (_, _, word) in campaigns.ITEM_STATES.items()},
    "status": {code: code for code in campaigns.STATES},  # in the words of sentences
    "validation_inputs": campaigns.INPUTS,
    "validation_on_failure": {"skip": N_("the item is passed over"), "allow": N_("the item is taken")},
    "every": EVERY,
    "mode": {code: word for code, (word, _) in dialing.MODES.items()},
    "machine": {code: word for code, (word, _) in dialing.MACHINE.items()},
    "machine_action": dialing.MACHINE_ACTIONS,
    "order": dialing.ORDERS,
    "window": dialing.WINDOWS,
    "on_stop": dialing.ON_STOP,
    "pace": {"full": N_("Full pace"), "slow": N_("slowed down")},
}
"""Facts that are one of several codes, and what each code means."""

ITEM = re.compile(r"item (\d+) of (?:campaign )?(.*)", re.DOTALL)
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")
DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)")


def subject(entry: AuditEntry, _: Words) -> str:
    """What it was done to, such as "Campaign Renewal"."""
    if item := ITEM.fullmatch(entry.subject):
        return f"{_(THINGS['item'])} {item[1]}: {item[2]}"
    words = entry.subject.split(" ")
    for count in (2, 1):
        thing = " ".join(words[:count])
        if thing in THINGS:
            return " ".join([_(THINGS[thing]), *map(told, words[count:])])
    return entry.subject


def told(word: str) -> str:
    """A telephone number as people write it; anything else as it is."""
    return display(word) if re.fullmatch(r"\+\d{8,15}", word) else word


def deed(entry: AuditEntry, _: Words) -> str:
    last = entry.action.rpartition(".")[2]
    return _(DEEDS.get(entry.action) or DEEDS.get(last) or entry.action)


def fact(key: str, _: Words) -> str:
    return _(FACTS[key]) if key in FACTS else key


def value(key: str, thing: Any, _: Words, names: Names, fields: Mapping[str, Field]) -> str:
    """One fact in the reader's words; `names` for ids, `fields` for the conditions of filters."""
    match thing:
        case None | "" | []:
            return "–"
        case bool():
            return _("yes") if thing else _("no")
        case int():
            return names.get(key, {}).get(thing, str(thing))
        case str():
            return text(key, thing, _)
        case list():
            return ", ".join(value(key, each, _, names, fields) for each in thing)
        case dict():
            return mapping(key, thing, _, names, fields) if thing else "–"
    return str(thing)


def text(key: str, written: str, _: Words) -> str:
    if written in CODES.get(key, {}):
        return _(CODES[key][written])
    if MOMENT.fullmatch(written):
        try:
            return f"{datetime.datetime.fromisoformat(written).astimezone(ZONE):%d/%m/%Y %H:%M}"
        except ValueError:
            return written
    if day := DAY.fullmatch(written):
        return f"{day[3]}/{day[2]}/{day[1]}"
    return told(written)


def mapping(key: str, thing: dict[str, Any], _: Words, names: Names, fields: Mapping[str, Field]) -> str:
    if key == "tree":
        return filter_said(thing, fields, _)
    if key == "hours":
        return in_words(thing, [_(day) for day in campaigns.DAYS_SHORT], _("Every day"))
    if key == "retry":
        return ", ".join(f"{_(campaigns.SITUATIONS.get(code, code))} {n} min" for code, n in thing.items())
    if "target" in thing:
        return f"{thing.get('name')} → {_(TARGETS.get(thing['target'], thing['target']))}"
    named = next((thing[name] for name in ("label", "name", "title", "number") if thing.get(name)), None)
    if named is not None:
        return str(named)
    said = (value(inner, each, _, names, fields) for inner, each in thing.items() if each not in (None, ""))
    return ", ".join(said)
