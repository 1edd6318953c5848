"""An agent's shift: every state and event of the table, and what the agent chose meanwhile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.refused import Refused
from cti.agent import (
    BUSY,
    LOGGED_OFF,
    NEXT,
    NOT_READY,
    READY,
    RESERVED,
    REST,
    WORKING,
    WRAP_UP,
    Agent,
    AgentState,
)

EVENTS = sorted({event for row in NEXT.values() for event in row})


def ready() -> Agent:
    agent = Agent(7)
    agent.fire("log_on", 1.0)
    agent.fire("ready", 2.0)
    return agent


@pytest.mark.parametrize("state", list(AgentState))
@pytest.mark.parametrize("event", EVENTS)
def test_what_the_table_lacks_is_refused_and_changes_nothing(state, event):
    agent = Agent(7, state, since=5.0)
    before = repr(agent)
    if event in NEXT[state]:
        agent.fire(event, 9.0)
        assert NEXT[state][event] in (agent.state, REST)
    else:
        with pytest.raises(Refused):
            agent.fire(event, 9.0)
        assert repr(agent) == before


def test_a_call_leads_through_reserved_busy_and_wrap_up_back_to_ready():
    agent = ready()
    agent.fire("reserve", 3.0, call_id="c")
    assert (agent.state, agent.call_id) == (RESERVED, "c")
    agent.fire("connect", 4.0)
    assert (agent.state, agent.call_id) == (BUSY, "c")
    agent.fire("finish", 5.0)
    assert (agent.state, agent.call_id, agent.since) == (WRAP_UP, None, 5.0)
    agent.fire("done", 6.0)
    assert (agent.state, agent.since) == (READY, 6.0)


def test_a_pause_chosen_while_talking_comes_after_the_wrap_up():
    agent = ready()
    agent.fire("engage", 3.0, call_id="c")
    agent.choose(NOT_READY, 4.0, "lunch")
    assert agent.state == BUSY
    agent.fire("finish", 5.0)
    agent.fire("done", 6.0)
    assert (agent.state, agent.reason, agent.next) == (NOT_READY, "lunch", None)


def test_who_dialled_during_a_pause_is_back_in_that_pause_afterwards():
    agent = ready()
    agent.choose(NOT_READY, 3.0, "training")
    agent.fire("engage", 4.0, call_id="c")
    agent.fire("release", 5.0)
    assert (agent.state, agent.reason) == (NOT_READY, "training")


def test_a_missed_call_pauses_and_a_log_off_chosen_meanwhile_stands():
    missed, leaving = ready(), ready()
    for agent in (missed, leaving):
        agent.fire("reserve", 3.0, call_id="c")
    leaving.choose(LOGGED_OFF, 4.0)
    missed.fire("miss", 5.0)
    leaving.fire("miss", 5.0)
    assert (missed.state, missed.reason) == (NOT_READY, "missed_call")
    assert leaving.state == LOGGED_OFF


def test_choosing_ready_again_does_not_lose_the_place_of_the_longest_available():
    agent = ready()
    agent.choose(READY, 50.0)
    assert agent.since == 2.0


STEPS = st.lists(
    st.one_of(
        st.sampled_from([("fire", e) for e in EVENTS]),
        st.sampled_from([("choose", s) for s in (READY, NOT_READY, LOGGED_OFF)]),
    ),
    max_size=40,
)


@given(STEPS)
def test_in_whatever_order_events_come_nothing_sticks(steps):
    """A call is held exactly while reserved or busy, a choice waits exactly while there is work, and
    from every state there is a way to be free again."""
    agent = Agent(7)
    chosen = None
    for now, (verb, what) in enumerate(steps):
        working = agent.state in WORKING
        try:
            if verb == "fire":
                agent.fire(what, float(now), "lunch" if what == "pause" else None, call_id="c")
            else:
                agent.choose(what, float(now), "lunch" if what == NOT_READY else None)
                chosen = what if working else None
        except Refused:
            continue
        assert (agent.call_id is not None) == (agent.state in (RESERVED, BUSY))
        assert agent.next is None or agent.state in WORKING
        if agent.state in WORKING:
            assert (agent.next.state if agent.next else None) == chosen
        else:
            if working and verb == "fire" and chosen and what != "miss":
                assert agent.state == chosen, "the chosen next state was lost"
            chosen = None
    for event in ("connect", "finish", "done", "log_on", "ready"):
        if event in NEXT[agent.state]:
            agent.fire(event, 99.0)
    if agent.state not in WORKING and agent.state != LOGGED_OFF:
        agent.choose(READY, 99.0)
    assert agent.state in (READY, LOGGED_OFF, NOT_READY)
