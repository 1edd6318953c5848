"""What the filters of a report ask for, read from its address. Pure."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from crm.campaign_reports import CONCLUDED, QUERY_TYPES, REFERENCES, SITUATIONS, STATES, Report, ReportFilter
from webui.address import PAGE, Address, as_date
from webui.i18n import N_

DAYS_SHOWN = 30
WRONG_DATE = N_("This is not a date.")
WRONG_ORDER = N_("The period ends before it starts.")
CUSTOMER_LENGTH_MAX = 100


@dataclass(frozen=True)
class Asked:
    """The filter, and what was wrong with each field that could not be read."""

    filter: ReportFilter
    errors: Mapping[str, str] = field(default_factory=dict)


def asked(report: Report, address: Address, today: datetime.date) -> Asked:
    """The last thirty days when no period is given. Only the report's own filters are read.

    An address without any filter shows each item once, by its last status: what most come to see.
    """
    errors: dict[str, str] = {}
    start = _day(address, "start", today - datetime.timedelta(days=DAYS_SHOWN - 1), errors)
    end = _day(address, "end", max(today, start), errors)
    if end < start:
        errors["end"] = WRONG_ORDER
        end = start
    own = set(report.filters)
    several = address.numbers("campaign") if own & {"campaign", "campaigns"} else ()
    agent = address.text("agent")
    reference, query_type = address.text("reference"), address.text("query_type")
    return Asked(
        ReportFilter(
            start,
            end,
            campaigns=several[:1] if "campaign" in own else several,
            from_load="from_load" in own and address.text("from_load") == "1",
            reference=reference if "reference" in own and reference in REFERENCES else "call",
            agent=int(agent) if "agent" in own and _is_id(agent) else None,
            last="last" in own and (address.text("last") == "1" or not filtered(address)),
            states=_states(address) if "states" in own else (),
            situations=tuple(s for s in SITUATIONS if s in address.texts("situation"))
            if "situations" in own
            else (),
            customer=address.text("customer")[:CUSTOMER_LENGTH_MAX] if "customer" in own else "",
            query_type=query_type if "query_type" in own and query_type in QUERY_TYPES else QUERY_TYPES[1],
        ),
        errors,
    )


def filtered(address: Address) -> bool:
    """Does the address say anything but which page of the list is wanted?"""
    return any(name != PAGE for name, _ in address.pairs)


def _states(address: Address) -> tuple[str, ...]:
    """Concluded means with either result."""
    chosen = set(address.texts("state"))
    if "concluded" in chosen:
        chosen |= set(CONCLUDED)
    return tuple(state for state in STATES if state in chosen)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _day(address: Address, name: str, otherwise: datetime.date, errors: dict[str, str]) -> datetime.date:
    text = address.text(name)
    day = as_date(text) if text else otherwise
    if day is None or not 1900 < day.year < 9000:
        errors[name] = WRONG_DATE
        return otherwise
    return day
