"""PURE. What an agent says came of a call, or of a try without one: checked, and in our own words."""

import datetime
from collections.abc import Mapping
from typing import Any

from crm.actions import CONVERSATION_MAX, ActionType
from crm.actions import Outcome as Ending
from crm.calls import ZONE
from crm.entry import refuse
from crm.item_states import Result, Situation
from crm.numbers import normalise
from crm.refused import Refused
from dialer.work import Outcome, Work

NOTE_MAX = 4000
STATUSES = (  # a try without a call (UAU-53), and why there was no contact (TEL-12)
    Situation.NO_ANSWER,
    Situation.BUSY,
    Situation.VOICEMAIL,
    Situation.REJECTED,
    Situation.DISCARDED_CUSTOMER,
    Situation.INVALID,
    Situation.NOT_DIALED,
)


def outcome_of(arguments: Mapping[str, Any], work: Work, now: datetime.datetime) -> Outcome:
    """Of a call that was answered. Refused with every wrong field at once."""
    errors: dict[str, str] = {}
    note = said(arguments, "note", errors)
    conversation = said(arguments, "conversation", errors, CONVERSATION_MAX)
    if yes(arguments, "wrong_number"):
        refuse(errors)
        return Outcome(wrong_number=True, note=note, conversation=conversation)
    no_contact = yes(arguments, "no_contact")
    situation = status(arguments, "status", errors) if no_contact or arguments.get("status") else None
    spoken_to = situation is None and not no_contact
    kind, ending = action_of(arguments, work, errors, needed=spoken_to)
    result = result_of(arguments, ending, errors) if spoken_to else None
    at, phone = promise_of(arguments, work, now, errors) if result is Result.CALLBACK else (None, "")
    if not spoken_to:
        at = to_come(arguments, now, errors, needed=no_contact)
    refuse(errors)
    return Outcome(
        result=result,
        situation=situation,
        callback_at=at,
        callback_phone=phone,
        mine=yes(arguments, "mine"),
        note=note,
        type_id=kind.id if kind else None,
        outcome_id=ending.id if ending else None,
        conversation=conversation,
    )


def contact_of(arguments: Mapping[str, Any], work: Work, now: datetime.datetime) -> Outcome:
    """Of a contact that was no call of ours. What was done or said is needed: nothing else tells of it."""
    errors: dict[str, str] = {}
    conversation = said(arguments, "conversation", errors, CONVERSATION_MAX)
    kind, ending = action_of(arguments, work, errors)
    if kind is None and not conversation:
        errors.setdefault("conversation", "required")
    result = result_of(arguments, ending, errors)
    at, phone = promise_of(arguments, work, now, errors) if result is Result.CALLBACK else (None, "")
    refuse(errors)
    return Outcome(
        result=result,
        callback_at=at,
        callback_phone=phone,
        mine=yes(arguments, "mine"),
        type_id=kind.id if kind else None,
        outcome_id=ending.id if ending else None,
        conversation=conversation,
    )


def without_call_of(arguments: Mapping[str, Any], now: datetime.datetime) -> Outcome:
    """Of a try without a call: a status, a note, and perhaps the day of the next one."""
    errors: dict[str, str] = {}
    note = said(arguments, "note", errors)
    no_contact = yes(arguments, "no_contact")
    situation = status(arguments, "status", errors) if no_contact or arguments.get("status") else None
    at = to_come(arguments, now, errors, needed=no_contact)
    refuse(errors)
    if situation is None and not note:
        raise Refused(
            "Choose a status or write a note.", code="form", details={"errors": {"status": "required"}}
        )
    return Outcome(situation=situation, callback_at=at, note=note)


def action_of(
    arguments: Mapping[str, Any], work: Work, errors: dict[str, str], needed: bool = True
) -> tuple[ActionType | None, Ending | None]:
    """TEL-08: an action type with, where it is `needed`, the outcome that fits the answer."""
    kind = next((each for each in work.types if str(each.id) == str(arguments.get("type") or "")), None)
    ending = kind.outcome(number(arguments.get("outcome"))) if kind else None
    if arguments.get("type") and kind is None:
        errors["type"] = "not_an_option"
    if arguments.get("outcome") and ending is None:
        errors["outcome"] = "not_an_option"
    if kind and ending is None and needed:
        errors.setdefault("outcome", "required")
    return kind, ending


def result_of(arguments: Mapping[str, Any], ending: Ending | None, errors: dict[str, str]) -> Result | None:
    given = str(arguments.get("result") or (ending.result if ending else ""))
    if given in set(Result):
        return Result(given)
    errors["result"] = "not_an_option" if given else "required"
    return None


def promise_of(
    arguments: Mapping[str, Any], work: Work, now: datetime.datetime, errors: dict[str, str]
) -> tuple[datetime.datetime | None, str]:
    """UAU-61: when to call back, with the hour, and where: at the number just called or another."""
    at = to_come(arguments, now, errors, needed=True)
    day, time = arguments.get("callback_date"), arguments.get("callback_time")
    if day and not (time or arguments.get("callback_at")):
        errors["callback_at"] = "time_required"
    if "callback_phone" not in arguments and work.call:
        return at, work.call.number  # EPB-21
    return at, telephone(arguments, errors)


def to_come(
    arguments: Mapping[str, Any], now: datetime.datetime, errors: dict[str, str], needed: bool
) -> datetime.datetime | None:
    at = when(arguments, errors)
    if at is not None and at <= now:
        errors["callback_at"] = "past"
    if at is None and needed:
        errors.setdefault("callback_at", "required")
    return at


def yes(arguments: Mapping[str, Any], name: str) -> bool:
    """A switch: true, or what a page's form sends for one that is on."""
    return arguments.get(name) in (True, "1", "on", "true")


def said(arguments: Mapping[str, Any], name: str, errors: dict[str, str], most: int = NOTE_MAX) -> str:
    given = str(arguments.get(name) or "").replace("\x00", "").strip()
    if len(given) > most:
        errors[name] = "too_long"
    return given


def status(arguments: Mapping[str, Any], name: str, errors: dict[str, str]) -> Situation | None:
    given = str(arguments.get(name) or "")
    if given in STATUSES:
        return Situation(given)
    errors[name] = "not_an_option" if given else "required"
    return None


def when(arguments: Mapping[str, Any], errors: dict[str, str]) -> datetime.datetime | None:
    """`callback_at`, or `callback_date` and `callback_time`; without a zone it is the centre's."""
    given = str(arguments.get("callback_at") or "").strip()
    day, time = (str(arguments.get(f"callback_{part}") or "").strip() for part in ("date", "time"))
    if not given and day:
        given = f"{day}T{time or '09:00'}"
    if not given:
        return None
    try:
        at = datetime.datetime.fromisoformat(given)
    except ValueError:
        errors["callback_at"] = "not_a_date"
        return None
    return (at if at.tzinfo else at.replace(tzinfo=ZONE)).astimezone(datetime.UTC)


def telephone(arguments: Mapping[str, Any], errors: dict[str, str]) -> str:
    given = str(arguments.get("callback_phone") or "").strip()
    if not given:
        return ""
    known = normalise(given, "11")
    if known is None or not known.startswith("+"):
        errors["callback_phone"] = "not_a_phone"
        return ""
    return known


def number(given: Any) -> int | None:
    return int(given) if str(given or "").isdecimal() else None
