"""What the campaign pages call things, in the reader's language: states, situations, results, choices."""

import datetime
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web

from crm.calls import ZONE
from crm.campaigns import Campaign
from crm.item_states import State
from crm.said import Said
from webui import page
from webui.campaigns.hours import in_words
from webui.i18n import N_

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d", re.ASCII)  # as sentences of crm write one
Badge = tuple[str, str, str]  # tone, picture, word
Meaning = tuple[str, str]  # word, what choosing it means


def pgettext(context: str, text: str) -> str:
    """Mark a word that this context says in another way; it is translated where it is shown."""
    return text


CAMPAIGN = "campaign"  # in Portuguese a campaign is feminine
STATES: Mapping[str, Badge] = MappingProxyType(
    {
        "draft": ("idle", "edit", pgettext("campaign", "Draft")),
        "active": ("ok", "play", pgettext("campaign", "Active")),
        "paused": ("warn", "pause", pgettext("campaign", "Paused")),
        "ended": ("idle", "check", pgettext("campaign", "Ended")),
    }
)
ITEM_STATES: Mapping[str, Badge] = MappingProxyType(
    {
        "not_worked": ("idle", "dot", N_("Not worked")),
        "to_call_back": ("busy", "clock", N_("To call back")),
        "trying": ("info", "phone", N_("Trying to call")),
        "trying_callback": ("info", "history", N_("Trying to call back")),
        "success": ("ok", "check", N_("Concluded with success")),
        "failure": ("warn", "cross", N_("Concluded without success")),
        "concluded": ("ok", "check", N_("Concluded")),
        "hit_limit": ("warn", "warning", N_("Attempt limit reached")),
        "cancelled": ("idle", "delete", N_("Cancelled")),
    }
)
SITUATIONS: Mapping[str, str] = MappingProxyType(
    {
        "dialing": N_("Dialing"),
        "completed": N_("Completed"),
        "voicemail": N_("Voicemail"),
        "busy": N_("Busy"),
        "no_answer": N_("No answer"),
        "invalid": N_("Number does not exist"),
        "congestion": N_("Congestion"),
        "rejected": N_("Rejected"),
        "failed": N_("Call failed"),
        "discarded_cti": N_("Discarded by the CTI"),
        "discarded_customer": N_("Discarded by the customer"),
        "blocked": N_("Blocked"),
        "cancelled": N_("Cancelled"),
        "not_dialed": N_("Recorded without a call"),
        "abandoned": N_("Abandoned: no agent free"),
        "fax": N_("Fax"),
        "silence": N_("Silence"),
    }
)
RESULTS: Mapping[str, Badge] = MappingProxyType(
    {
        "success": ("ok", "check", N_("Success")),
        "failure": ("warn", "cross", N_("Failure")),
        "callback": ("busy", "clock", N_("Callback")),
    }
)
NAMED = (  # what sentences of the records name as it is, and no table here says
    N_("draft"),
    N_("active"),
    N_("paused"),
    N_("ended"),
    N_("success"),
    N_("failure"),
    N_("Hit limit"),
    N_("Invalid number"),
    N_("Failed"),
    N_("Discarded by CTI"),
    N_("Discarded by customer"),
    N_("Blocked (blacklist)"),
    N_("Not dialed"),
)
SOURCES: Mapping[str, Meaning] = MappingProxyType(
    {
        "filter": (N_("Saved filter"), N_("Customers who are already here, found by a saved filter.")),
        "layout": (N_("Layout"), N_("A file from outside, CSV or XLSX: its people become customers.")),
        "leads": (N_("Leads"), N_("People another system sends one by one, through the API.")),
    }
)
PRESETS: Mapping[str, Meaning] = MappingProxyType(
    {
        "24h": (N_("24 hours"), ""),
        "07-19": (N_("Standard – 07:00 to 19:00"), ""),
        "08-12_14-18": (N_("Standard – 08:00 to 12:00 and 14:00 to 18:00"), ""),
        "07-22": (N_("Standard – 07:00 to 22:00"), ""),
        "custom": (N_("Restrict hours"), N_("Each weekday by itself, in the grid below.")),
    }
)
CALLBACKS: Mapping[str, Meaning] = MappingProxyType(
    {
        "free": (
            N_("Free"),
            N_("Every callback is open to any available agent: it is kept at its hour, by whoever is there."),
        ),
        "optional": (
            N_("Allows linking to the agent"),
            N_("Free unless the agent ticks “mine” while scheduling; then it waits for that agent."),
        ),
        "agent": (
            N_("By agent"),
            N_("Kept by the agent who scheduled it and by nobody else: when that agent is away it waits."),
        ),
    }
)
COMPANY: Mapping[str, Meaning] = MappingProxyType(
    {
        "main": (N_("Main contact"), N_("Companies are called at the numbers of their main contact.")),
        "selected": (
            N_("Selected contacts"),
            N_("Only contacts of the chosen categories are called, never the main contact. A company without "
               "one is not called."),
        ),
    }
)  # fmt: skip
TICKETS: Mapping[str, Meaning] = MappingProxyType(
    {
        "open_new": (N_("Open new"), N_("Each redial opens a new ticket with a protocol number of its own.")),
        "edit_last": (
            N_("Edit last"),
            N_("A redial goes on in the last open ticket of this item, under the same protocol number."),
        ),
    }
)
INPUTS: Mapping[str, str] = MappingProxyType(
    {
        "external_code": N_("External code of the person"),
        "internal_code": N_("Internal code of the person"),
        "document": N_("CPF/CNPJ of the person"),
    }
)
DAYS = (
    N_("Monday"),
    N_("Tuesday"),
    N_("Wednesday"),
    N_("Thursday"),
    N_("Friday"),
    N_("Saturday"),
    N_("Sunday"),
)
DAYS_SHORT = (N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"), N_("Fri"), N_("Sat"), N_("Sun"))


KINDS: Mapping[str, str] = MappingProxyType(
    {
        "add": N_("New items added"),
        "rebuild": N_("List rebuilt"),
        "import": N_("Imported from a file"),
        "lead": N_("Leads"),
    }
)
STEPS: Mapping[str, str] = MappingProxyType(  # of crm.lists.Progress
    {
        "looking": N_("Looking for the people"),
        "asking": N_("Asking the validation about each person"),
        "recording": N_("Recording them"),
    }
)


def choices(request: web.Request, table: Mapping[str, str]) -> list[tuple[str, str]]:
    _ = page.words(request)
    return [(code, _(word)) for code, word in table.items()]


def explained(request: web.Request, table: Mapping[str, Meaning]) -> list[tuple[str, str, str]]:
    """(code, word, what it means)"""
    _ = page.words(request)
    return [(code, _(word), meaning and _(meaning)) for code, (word, meaning) in table.items()]


def words_of(request: web.Request, table: Mapping[str, Meaning], code: str) -> str:
    return page.words(request)(table[code][0]) if code in table else code


def badges(request: web.Request, table: Mapping[str, Badge]) -> dict[str, Badge]:
    _ = page.words(request)
    return {code: (tone, picture, _(word)) for code, (tone, picture, word) in table.items()}


def states(request: web.Request) -> dict[str, Badge]:
    """The campaign's states, said of a campaign."""
    catalogue = request.app[page.WORDS][page.language(request)]
    return {
        code: (tone, picture, catalogue.pgettext(CAMPAIGN, word))
        for code, (tone, picture, word) in STATES.items()
    }


def hours(request: web.Request, campaign: Campaign) -> str:
    """When it may be worked, as short as it can be said."""
    _ = page.words(request)
    if campaign.hours_preset == "24h":
        return _("24 hours")
    return in_words(campaign.hours, [_(day) for day in DAYS_SHORT], _("Every day"))


def sentence(request: web.Request, told: Said) -> str:
    """What a rule says, in the reader's language."""
    _ = page.words(request)
    return _(told.template).format(**{name: shown(_, value) for name, value in told.values.items()})


def shown(_: Callable[[str], str], value: Any) -> str:
    if isinstance(value, datetime.datetime):
        return f"{value.astimezone(ZONE):%d/%m/%Y %H:%M}"
    if isinstance(value, datetime.date):
        return f"{value:%d/%m/%Y}"
    if isinstance(value, str) and TIME.fullmatch(value):
        return f"{value[8:10]}/{value[5:7]}/{value[:4]} {value[11:]}"
    return _(value) if isinstance(value, str) and value else str(value)


def state_name(state: State, result: str | None = None) -> str:
    """The key in ITEM_STATES: a conclusion is told with its result."""
    return result if state is State.CONCLUDED and result else state.name.lower()


def tried(request: web.Request) -> dict[str, str]:
    """How a try ended, by its code; none yet is a dash."""
    return dict(choices(request, SITUATIONS)) | {"": "–"}
