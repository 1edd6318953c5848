"""PURE. What becomes of an item after a try: where it stands next, when it is due, and why."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from crm.item_states import CALLBACKS, Next, Result, Situation, State
from crm.refused import Refused

MINUTES: Mapping[str, int] = {  # until the next try, where the campaign says nothing
    Situation.COMPLETED: 60,
    Situation.VOICEMAIL: 120,
    Situation.BUSY: 15,
    Situation.NO_ANSWER: 60,
    Situation.INVALID: 0,  # the person's other numbers may be called at once
    Situation.CONGESTION: 5,
    Situation.REJECTED: 240,
    Situation.FAILED: 10,
    Situation.DISCARDED_CTI: 5,
    Situation.DISCARDED_CUSTOMER: 60,
    Situation.CANCELLED: 5,
    Situation.NOT_DIALED: 60,
    Situation.FAX: 240,
    Situation.SILENCE: 60,
}
DIALING_MINUTES = 60  # of a try whose end was never heard


@dataclass(frozen=True, slots=True)
class Rules:
    """Of the campaign."""

    attempts_max: int
    minutes: Mapping[str, int]  # {situation: minutes until the next try}
    callback_mode: str  # free, optional, agent
    lockout_days: int = 3  # whom no agent was free for is not called again before


@dataclass(frozen=True, slots=True)
class Tried:
    """One try of an item, a call or only a note of one."""

    situation: Situation
    state: State  # the item's before
    attempts: int  # of the item, this one included
    other_numbers: int = 0  # of this person that may still be called
    wrong_number: bool = False  # EPB-19: somebody else answers there
    result: Result | None = None  # when somebody was spoken to
    callback_at: datetime.datetime | None = None
    callback_phone: str = ""
    callback_note: str = ""
    link_agent: bool = False  # where the agent may choose: the callback is for himself


def after(tried: Tried, rules: Rules, user_id: int, now: datetime.datetime) -> Next:
    """UAU-47 … UAU-51, UAU-61, UAU-V5, EPB-19, EPB-20. Refused when a callback has no time to come."""
    if tried.wrong_number:
        return wrong_number(tried, rules, now)
    match tried.result:
        case Result.SUCCESS | Result.FAILURE:
            return Next(State.CONCLUDED, f"It was concluded with {tried.result}.", result=tried.result)
        case Result.CALLBACK:
            return callback(tried, rules, user_id, now)
    match tried.situation:
        case Situation.BLOCKED:
            return Next(State.CANCELLED, "The number is blocked.")
        case Situation.INVALID if not tried.other_numbers:
            return Next(
                State.CONCLUDED,
                "The number does not exist, and there is no other.",
                result=Result.FAILURE,
                forget_number=True,
            )
        case _:
            return again(tried, rules, now)


def callback(tried: Tried, rules: Rules, user_id: int, now: datetime.datetime) -> Next:
    """A promise to somebody, so the limit of attempts does not cancel it."""
    if tried.callback_at is None or tried.callback_at <= now:
        raise Refused(
            "A callback needs a date and a time to come.",
            code="form",
            details={"errors": {"callback_at": "out_of_range" if tried.callback_at else "required"}},
        )
    mine = rules.callback_mode == "agent" or (rules.callback_mode == "optional" and tried.link_agent)
    return Next(
        State.TO_CALL_BACK,
        "A callback was agreed.",
        tried.callback_at,
        callback_owner=user_id if mine else None,
        callback_phone=tried.callback_phone,
        callback_note=tried.callback_note,
    )


def wrong_number(tried: Tried, rules: Rules, now: datetime.datetime) -> Next:
    """The person's other numbers are called; this one never again, whatever was noted about the call."""
    if tried.other_numbers and tried.attempts < rules.attempts_max:
        return Next(waiting(tried.state), "The number is somebody else's.", now, forget_number=True)
    if tried.other_numbers:
        return Next(State.HIT_LIMIT, limit(rules), forget_number=True)
    return Next(
        State.CONCLUDED,
        "The number is somebody else's, and there is no other.",
        result=Result.FAILURE,
        forget_number=True,
    )


def again(tried: Tried, rules: Rules, now: datetime.datetime) -> Next:
    if tried.attempts >= rules.attempts_max:
        return Next(State.HIT_LIMIT, limit(rules), forget_number=tried.situation is Situation.INVALID)
    minutes = minutes_until_next(tried.situation, rules)
    return Next(
        waiting(tried.state),
        f"It ended as {tried.situation}; the next try may be made {minutes} minutes later.",
        now + datetime.timedelta(minutes=minutes),
        forget_number=tried.situation is Situation.INVALID,
    )


def minutes_until_next(situation: Situation, rules: Rules) -> int:
    if situation is Situation.ABANDONED:
        return max(rules.lockout_days * 24 * 60, rules.minutes.get(situation, 0))
    return rules.minutes.get(situation, MINUTES.get(situation, DIALING_MINUTES))


def waiting(state: State) -> State:
    """Tried without success: a callback stays a callback."""
    return State.TRYING_CALLBACK if state in CALLBACKS else State.TRYING


def limit(rules: Rules) -> str:
    return f"The limit of {rules.attempts_max} attempts was reached."
