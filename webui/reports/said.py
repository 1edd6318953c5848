"""The words of the reports: their names, filters, columns and values (UAU-R1 … R8, UAU-V1 … V4)."""

import datetime
from collections.abc import Callable
from typing import Any

from crm.calls import ZONE
from crm.campaign_reports import Report, Row
from webui.i18n import N_

Say = Callable[[str], str]

TITLES = {
    "r1": N_("Campaign service statistics by agent"),
    "r2": N_("Campaign summary by status"),
    "r3": N_("Campaign detail"),
    "r4": N_("Campaign service statistics"),
    "r5": N_("Campaign service statistics by customer"),
    "r6": N_("Unanswered calls statistics"),
    "r7": N_("Campaign position summary"),
    "r8": N_("Campaign analytic by dialing"),
}
ABOUT = {
    "r1": N_("What each agent's items are now, and how many attempts reached somebody."),
    "r2": N_("Loaded, worked, answered and concluded items of each campaign, also since the first load."),
    "r3": N_("Each attempt with its customer, and who has not been called yet."),
    "r4": N_("The figures of each campaign for a period or an agent."),
    "r5": N_("Each customer's tickets, attempts and results."),
    "r6": N_("Why calls reached nobody: busy, no answer, invalid numbers and more."),
    "r7": N_("How the statuses are shared out, in the period and on its last day."),
    "r8": N_("Each dialing with its times, agent and result."),
}
COLUMNS = {
    "campaign": N_("Campaign"),
    "agent": N_("Analyst"),
    "items": N_("Qty items"),
    "not_worked": N_("Qty not worked"),
    "success": N_("Success"),
    "failure": N_("Failure"),
    "to_call_back": N_("To call back"),
    "hit_limit": N_("Hit limit"),
    "trying": N_("Trying to call"),
    "trying_callback": N_("Trying to call back"),
    "cancelled": N_("Cancelled"),
    "effective": N_("Effective contacts"),
    "unsuccessful": N_("Unsuccessful contacts"),
    "attempts": N_("Contact attempts"),
    "by_machine": N_("Answered by machine"),
    "without_call": N_("Contacts without a call"),
    "loaded": N_("Qty loaded"),
    "worked": N_("Qty worked"),
    "not_answered": N_("Qty not answered"),
    "answered": N_("Qty answered"),
    "callbacks": N_("Qty callbacks"),
    "pre_opened": N_("Qty pre-opened"),
    "date": N_("Date"),
    "time": N_("Time"),
    "customer": N_("Customer"),
    "document": N_("CPF/CNPJ"),
    "attempt_number": N_("Attempts"),
    "state": N_("Item situation"),
    "situation": N_("Attempt situation"),
    "ticket": N_("Ticket"),
    "result": N_("Result"),
    "reason": N_("Reason"),
    "quantity": N_("Quantity"),
    "status": N_("Status"),
    "percent": N_("% in period"),
    "quantity_last": N_("Qty on last date"),
    "percent_last": N_("% on last date"),
    "contact_id": N_("Code"),
    "external_code": N_("External code"),
    "started": N_("Call date/time"),
    "talk_seconds": N_("Duration"),
    "handle_seconds": N_("Service duration"),
}
OWN_COLUMNS = {  # where a report calls a column otherwise
    **{(report, "success"): N_("Qty success") for report in ("r2", "r4")},
    **{(report, "failure"): N_("Qty failure") for report in ("r2", "r4")},
    ("r3", "document"): N_("CPF"),
    ("r5", "situation"): N_("Call status"),
    ("r5", "ticket"): N_("Ticket number"),
    ("r7", "quantity"): N_("Qty in period"),
    ("r8", "customer"): N_("Name"),
    ("r8", "state"): N_("Situation"),
    ("r8", "situation"): N_("Call status"),
    ("r8", "attempt_number"): N_("Attempt"),
    ("r8", "agent"): N_("Agent"),
    ("r8", "answered"): N_("Service time"),
}
MEANINGS = {  # of the columns whose name alone does not say what is counted
    "items": N_("Items whose latest attempt is this agent's and in the period; each counts once."),
    "effective": N_("Attempts in which a person answered."),
    "unsuccessful": N_("Attempts that ended without a person answering, an answering machine among them."),
    "attempts": N_("All attempts of the period, those still going on too."),
    "by_machine": N_("Attempts that an answering machine took; counted apart from those a person answered."),
    "without_call": N_("Customers who came, wrote or called by themselves, by the day it was recorded."),
    "loaded": N_("Items on the campaign's list now, whatever the period."),
    "not_worked": N_("Items that are not worked now, whatever the period."),
    "worked": N_("Attempts of the period; with Last status only the latest of each item, so each item once."),
    "not_answered": N_("Attempts that neither a person nor a machine answered."),
    "answered": N_("Attempts in which a person answered."),
    "pre_opened": N_("Attempts with a ticket whose result has not been saved yet."),
    "handle_seconds": N_("From dialing until the form was saved."),
}
STATES = {
    "not_worked": N_("Not worked"),
    "trying": N_("Trying to call"),
    "to_call_back": N_("To call back"),
    "trying_callback": N_("Trying to call back"),
    "hit_limit": N_("Hit limit"),
    "cancelled": N_("Cancelled"),
    "success": N_("Concluded: success"),
    "failure": N_("Concluded: failure"),
    "concluded": N_("Concluded"),
}
SITUATIONS = {
    "dialing": N_("Under way"),
    "completed": N_("Completed"),
    "voicemail": N_("Voicemail"),
    "busy": N_("Busy"),
    "no_answer": N_("No answer"),
    "invalid": N_("Invalid number"),
    "congestion": N_("Congestion"),
    "rejected": N_("Rejected"),
    "failed": N_("Failed"),
    "discarded_cti": N_("Discarded by CTI"),
    "discarded_customer": N_("Discarded by customer"),
    "cancelled": N_("Cancelled"),
    "blocked": N_("Blocked (blacklist)"),
    "not_dialed": N_("Noted without dialing"),
    "abandoned": N_("Abandoned: no agent free"),
    "fax": N_("Fax"),
    "silence": N_("Silence"),
}
RESULTS = {
    "success": N_("Success"),
    "failure": N_("Failure"),
    "callback": N_("Callback"),
    "": N_("No result"),
}
REFERENCES = {
    "ticket": N_("Ticket date"),
    "call": N_("Call date"),
    "callback": N_("Callback date"),
    "ticket_update": N_("Ticket update date"),
    "ticket_conclusion": N_("Ticket conclusion date"),
    "all": N_("All these dates"),
}
QUERY_TYPES = {
    "situation": N_("By attempt situation"),
    "item": N_("By item situation"),
    "result": N_("By result"),
}
EVERY = {"day": N_("Every day"), "week": N_("Every Monday"), "month": N_("On the 1st of the month")}
EVERY_PERIOD = {
    "day": N_("of the day before"),
    "week": N_("of the week before, Monday to Sunday"),
    "month": N_("of the month before"),
}
FAILURES = (N_("Its owner may not export reports any more."),)  # what a schedule's row says in English
DIALER = N_("Dialer")  # of attempts no agent was given
NOT_ATTEMPTED = N_("Not attempted yet")


def column(say: Say, report: Report, name: str) -> str:
    return say(OWN_COLUMNS.get((report.id, name), COLUMNS[name]))


def meaning(say: Say, report: Report, name: str) -> str:
    if (report.id == "r1" and name == "not_worked") or (report.lists and name == "answered"):
        return ""
    return say(MEANINGS[name]) if name in MEANINGS else ""


def value(say: Say, report: Report, name: str, row: Row, query_type: str) -> Any:
    """What stands in a cell: words instead of codes, everything else as it is."""
    found = row[name]
    match name:
        case "state":
            return say(STATES[found])
        case "situation" | "reason":
            return say(SITUATIONS[found]) if found else ""
        case "result":
            return say(RESULTS[found]) if found else ""
        case "status":
            words = {"item": STATES, "result": RESULTS}.get(query_type, SITUATIONS)
            return say(words[found])
        case "agent" if report.id == "r1" and not row["user_id"]:
            return say(NOT_ATTEMPTED if row["user_id"] is None else DIALER)
    return found


def cell(say: Say, report: Report, name: str, row: Row, query_type: str) -> Any:
    """The same for a file: times where the centre is, lengths in whole seconds, nothing instead of None."""
    found = value(say, report, name, row, query_type)
    if isinstance(found, datetime.datetime):
        found = found.astimezone(ZONE).replace(tzinfo=None, microsecond=0)
    elif isinstance(found, datetime.date | datetime.time):
        found = found.isoformat()
    elif name in ("talk_seconds", "handle_seconds") and found is not None:
        found = round(found)
    return "" if found is None else found
