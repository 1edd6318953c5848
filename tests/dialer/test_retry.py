"""What becomes of an item after a try: every situation, every state, the limit, and what was agreed."""

import datetime
from dataclasses import replace

import pytest

from crm.item_states import Result, Situation, State
from crm.refused import Refused
from dialer.retry import MINUTES, Rules, Tried, after

NOW = datetime.datetime(2026, 11, 18, 15, 0, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
RULES = Rules(3, {"busy": 7}, "free")
OPEN = [State.NOT_WORKED, State.TO_CALL_BACK, State.TRYING, State.TRYING_CALLBACK]
UNANSWERED = [each for each in Situation if each not in (Situation.BLOCKED, Situation.INVALID)]


@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize("situation", UNANSWERED)
def test_without_success_it_is_tried_again_later_and_a_callback_stays_one(situation, state):
    next = after(Tried(situation, state, 1), RULES, 5, NOW)
    callback = state in (State.TO_CALL_BACK, State.TRYING_CALLBACK)
    assert next.state is (State.TRYING_CALLBACK if callback else State.TRYING)
    usual = {Situation.BUSY: 7, Situation.ABANDONED: 3 * 24 * 60}
    minutes = usual.get(situation, MINUTES.get(situation, 60))
    assert next.due_at == NOW + datetime.timedelta(minutes=minutes) and next.why and next.result is None


@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize("situation", UNANSWERED)
def test_the_last_try_allowed_ends_it(situation, state):
    for attempts in (3, 4, 50):
        next = after(Tried(situation, state, attempts), RULES, 5, NOW)
        assert (next.state, next.due_at) == (State.HIT_LIMIT, None) and "3 attempts" in next.why


@pytest.mark.parametrize("result", [Result.SUCCESS, Result.FAILURE])
@pytest.mark.parametrize("attempts", [1, 3, 9])
def test_success_and_failure_both_conclude_whatever_was_counted(result, attempts):
    next = after(Tried(Situation.COMPLETED, State.TRYING, attempts, result=result), RULES, 5, NOW)
    assert (next.state, next.result, next.due_at) == (State.CONCLUDED, result, None)


@pytest.mark.parametrize(
    ("mode", "link_agent", "owner"),
    [("free", True, None), ("free", False, None), ("optional", True, 5), ("optional", False, None),
     ("agent", False, 5), ("agent", True, 5)],
)  # fmt: skip
@pytest.mark.parametrize("attempts", [1, 3])
def test_a_callback_is_whose_the_campaign_says_and_no_limit_cancels_a_promise(
    mode, link_agent, owner, attempts
):
    tried = Tried(
        Situation.COMPLETED, State.TRYING, attempts, result=Result.CALLBACK, callback_at=NOW + HOUR,
        callback_phone="+551133334444", callback_note="after lunch", link_agent=link_agent,
    )  # fmt: skip
    next = after(tried, replace(RULES, callback_mode=mode), 5, NOW)
    assert (next.state, next.due_at, next.callback_owner) == (State.TO_CALL_BACK, NOW + HOUR, owner)
    assert (next.callback_phone, next.callback_note) == ("+551133334444", "after lunch")


@pytest.mark.parametrize(
    ("when", "error"), [(None, "required"), (NOW, "out_of_range"), (NOW - HOUR, "out_of_range")]
)
def test_a_callback_needs_a_time_to_come(when, error):
    tried = Tried(Situation.COMPLETED, State.TRYING, 1, result=Result.CALLBACK, callback_at=when)
    with pytest.raises(Refused) as refused:
        after(tried, RULES, 5, NOW)
    assert refused.value.details["errors"] == {"callback_at": error}


def test_a_wrong_number_is_forgotten_and_the_others_are_called_at_once():
    """EPB-19, also when the call was noted as a success."""
    tried = Tried(
        Situation.COMPLETED, State.TO_CALL_BACK, 1, other_numbers=2, wrong_number=True, result=Result.SUCCESS
    )
    next = after(tried, RULES, 5, NOW)
    assert (next.state, next.due_at, next.forget_number) == (State.TRYING_CALLBACK, NOW, True)
    alone = after(replace(tried, other_numbers=0), RULES, 5, NOW)
    assert (alone.state, alone.result, alone.forget_number) == (State.CONCLUDED, Result.FAILURE, True)
    last = after(replace(tried, attempts=3), RULES, 5, NOW)
    assert (last.state, last.forget_number) == (State.HIT_LIMIT, True)


def test_a_number_that_does_not_exist_is_forgotten_too():
    next = after(Tried(Situation.INVALID, State.NOT_WORKED, 1, other_numbers=1), RULES, 5, NOW)
    assert (next.state, next.due_at, next.forget_number) == (State.TRYING, NOW, True)
    alone = after(Tried(Situation.INVALID, State.NOT_WORKED, 1), RULES, 5, NOW)
    assert (alone.state, alone.result) == (State.CONCLUDED, Result.FAILURE)


def test_voicemail_goes_back_to_the_list_with_the_same_number():
    """EPB-20."""
    next = after(Tried(Situation.VOICEMAIL, State.TRYING, 1), RULES, 5, NOW)
    assert (next.state, next.forget_number) == (State.TRYING, False) and next.due_at == NOW + 2 * HOUR


def test_a_blocked_number_takes_the_item_off_the_list():
    next = after(Tried(Situation.BLOCKED, State.TRYING, 1, other_numbers=3), RULES, 5, NOW)
    assert (next.state, next.due_at) == (State.CANCELLED, None)
