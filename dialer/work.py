"""One agent's item in hand: whom to call, at which numbers, what to say, and what has been agreed so far."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from crm import scripts
from crm.actions import ActionType
from crm.attempts import Attempt
from crm.campaigns import Campaign
from crm.contacts import Contact
from crm.custom_fields import CustomField
from crm.item_states import CALLBACKS, Result, Situation
from crm.items import Item, Phone
from crm.numbers import display
from crm.refused import Refused
from crm.scripts import Script, Step
from cti.call import Call
from cti.desk import contact_view
from dialer.windows import Closed

DRAFT_MAX = 10_000  # characters of all that is typed


class Phase(StrEnum):
    CONTACT = "contact"  # before a call, and after one nobody answered
    CHECKING = "checking"  # the rules, and the campaign's own procedure, are being asked
    DIALING = "dialing"
    TALKING = "talking"
    AFTER = "after"  # somebody answered and the call is over: what came of it?


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an agent said came of an item, checked; carried out as soon as its call is over."""

    result: Result | None = None
    situation: Situation | None = None  # voicemail, or why there was no contact
    wrong_number: bool = False
    block: bool = False
    callback_at: datetime.datetime | None = None  # of a callback, or the next day after no contact
    callback_phone: str = ""
    mine: bool = False
    note: str = ""
    category_id: int | None = None
    type_id: int | None = None  # of the action
    outcome_id: int | None = None
    conversation: str = ""


@dataclass(frozen=True, slots=True)
class Guide:
    """What agents of a campaign are given to say, and to ask."""

    script: Script | None
    barriers: Sequence[Script]
    types: Sequence[ActionType]
    type_scripts: Mapping[int, Script]  # by action type
    custom: Sequence[CustomField]


@dataclass(slots=True, eq=False)
class Work:
    campaign: Campaign
    item: Item
    contact: Contact
    phones: tuple[Phone, ...]
    closed: Mapping[str, Closed]  # numbers whose place may not be called now
    script: Script | None
    barriers: Sequence[Script]
    types: Sequence[ActionType]
    type_scripts: Mapping[int, Script]  # by action type
    since: datetime.datetime
    agreed: datetime.datetime | None = None  # the time of a callback, as it was when taken
    promised: bool = False  # and it is the one agreed on, not that of a try after it
    overdue: bool = False  # a callback whose time had come when it was taken
    phase: Phase = Phase.CONTACT
    path: list[int] = field(default_factory=list)  # steps of the script, the one before the agent last
    ended: bool = False  # the script is
    call: Call | None = None
    attempt: Attempt | None = None  # the last one
    begun: datetime.datetime | None = None  # the last dialing
    warning: str = ""  # the campaign's own procedure failed
    refused: Refused | None = None  # why the last dialing was, while nothing was dialed after it
    ticket_id: int | None = None
    protocol: str = ""
    chosen: Outcome | None = None  # said while the call goes on
    draft: dict[str, str] = field(default_factory=dict)  # what is typed in the window
    answers: dict[str, str] = field(default_factory=dict)  # of the form of a call that is made again
    cut: Attempt | None = None  # the last try, when the server stopped in the middle of its call
    notes: Sequence[Attempt] = ()  # earlier tries of this item of which somebody wrote something down
    custom: Sequence[CustomField] = ()  # the centre's own questions about customers
    dial_at: datetime.datetime | None = None  # preview: dialed by itself then
    away: bool = False  # the lease ended while no screen was there

    @property
    def open_numbers(self) -> list[str]:
        return [each.number for each in self.phones if each.callable]

    def other_numbers(self, number: str) -> int:
        return len([each for each in self.open_numbers if each != number])

    def begin_script(self) -> None:
        if self.script and self.script.steps and not self.path:
            self.path = [self.script.steps[0].id]

    def block(self, number: str) -> None:
        self.phones = tuple(
            replace(each, blocked=True) if each.number == number else each for each in self.phones
        )

    # -- how it looks --

    def view(self, agent: str, now: datetime.datetime) -> dict[str, Any]:
        """The `work` of the CTI protocol."""
        campaign, item = self.campaign, self.item
        return {
            "campaign": {
                "id": campaign.id,
                "name": campaign.name,
                "objective": campaign.objective,
                "callback_mode": campaign.callback_mode,
                "attempts_max": campaign.attempts_max,
            },
            "item": item.id,
            "phase": str(self.phase),
            "since": iso(self.since),
            "state": item.state.name.lower(),
            "attempts": item.attempts,
            "overdue": self.overdue,
            "dial_at": iso(self.dial_at) if self.dial_at and self.phase is Phase.CONTACT else None,
            "callback": {
                "due_at": iso(self.agreed) if self.agreed else None,
                "promised": self.promised,
                "phone": item.callback_phone,
                "note": item.callback_note,
                "mine": item.callback_owner is not None,
            }
            if item.state in CALLBACKS
            else None,
            "contact": self._contact(),
            "notes": [
                {"at": iso(each.started), "agent": each.agent, "text": each.note} for each in self.notes
            ],
            "phones": [self._phone(each) for each in self._all_phones()],
            "last": {
                "number": self.attempt.number,
                "display": display(self.attempt.number),
                "situation": str(self.attempt.situation),
                "cause": self.attempt.cause,
                "sip_status": self.attempt.sip_status,
            }
            if self.attempt
            else None,
            "interrupted": self._interrupted(),
            "warning": self.warning,
            "refusal": str(self.refused) if self.refused else "",
            "refusal_words": {
                "template": self.refused.template,
                "values": {name: str(value) for name, value in self.refused.values.items()},
            }
            if self.refused
            else None,
            "protocol": self.protocol,
            "script": self._script(agent, now),
            "barriers": [self._barrier(script, agent, now) for script in self.barriers],
            "types": [self._type(each, agent, now) for each in self.types],
            "chosen": self._chosen(),
            "draft": dict(self.draft),
        }

    def _interrupted(self) -> dict[str, Any] | None:
        if self.cut is None:
            return None
        return {
            "at": iso(self.cut.started),
            "agent": self.cut.agent,
            "number": self.cut.number,
            "display": display(self.cut.number),
        }

    def _contact(self) -> dict[str, Any]:
        """All that is known of the customer, to be read and not changed (TEL-07)."""
        contact = self.contact
        return contact_view(contact) | {
            "kind": str(contact.kind),
            "external_code": contact.external_code,
            "emails": [each for each in (contact.email, *contact.emails) if each],
            "addresses": [str(each) for each in contact.addresses],
            "people": [
                {"name": each.name, "type": each.type, "email": each.email} for each in contact.people
            ],
            "custom": [
                {"label": field.label, "kind": str(field.kind), "answer": contact.custom[field.key]}
                for field in self.custom
                if field.key in contact.custom
            ],
        }

    def _all_phones(self) -> list[Phone]:
        """One agreed for the callback comes first, also when it is not among the contact's."""
        agreed = self.item.callback_phone if self.item.state in CALLBACKS else ""
        first = [each for each in self.phones if each.number == agreed]
        if agreed and not first:
            first = [Phone(agreed, "", "", False, False)]
        return first + [each for each in self.phones if each.number != agreed]

    def _phone(self, phone: Phone) -> dict[str, Any]:
        closed = self.closed.get(phone.number)
        return {
            "number": phone.number,
            "display": display(phone.number),
            "person": phone.person,
            "type": phone.type,
            "blocked": phone.blocked,
            "wrong": phone.wrong,
            "closed": closed.reason if closed else "",
            "opens_at": iso(closed.opens_at) if closed and closed.opens_at else None,
        }

    def _script(self, agent: str, now: datetime.datetime) -> dict[str, Any] | None:
        script = self.script
        if script is None or not script.steps:
            return None
        steps = [step for step_id in self.path if (step := script.step(step_id))] or [script.steps[0]]
        return {
            "id": script.id,
            "name": script.name,
            "step": self._step(steps[-1], agent, now),
            "path": [{"id": step.id, "title": step.title} for step in steps[:-1]],
            "ended": self.ended,
        }

    def _step(self, step: Step, agent: str, now: datetime.datetime) -> dict[str, Any]:
        return {
            "id": step.id,
            "title": step.title,
            "text": self._merged(step.text, agent, now),
            "fields": list(step.fields),
            "choices": [{"id": each.id, "label": each.label} for each in step.choices],
        }

    def _barrier(self, script: Script, agent: str, now: datetime.datetime) -> dict[str, Any]:
        return {
            "id": script.id,
            "name": script.name,
            "steps": [
                {"title": step.title, "text": self._merged(step.text, agent, now)} for step in script.steps
            ],
        }

    def _type(self, kind: ActionType, agent: str, now: datetime.datetime) -> dict[str, Any]:
        script = self.type_scripts.get(kind.id)
        return {
            "id": kind.id,
            "name": kind.name,
            "outcomes": [
                {"id": each.id, "name": each.name, "result": str(each.result)} for each in kind.outcomes
            ],
            "script": "\n\n".join(self._merged(step.text, agent, now) for step in script.steps)
            if script
            else "",
        }

    def _merged(self, text: str, agent: str, now: datetime.datetime) -> str:
        return scripts.merge(text, self.contact, self.campaign.name, agent, now)

    def _chosen(self) -> dict[str, Any] | None:
        chosen = self.chosen
        if chosen is None:
            return None
        return {
            "result": str(chosen.result) if chosen.result else None,
            "situation": "blocked"
            if chosen.block
            else "wrong_number"
            if chosen.wrong_number
            else str(chosen.situation or ""),
            "callback_at": iso(chosen.callback_at) if chosen.callback_at else None,
        }


def iso(at: datetime.datetime) -> str:
    return at.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
