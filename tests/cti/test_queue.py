"""Who takes which call."""

from hypothesis import given
from hypothesis import strategies as st

from cti.queue import Free, Waiting, assign, in_order

QUEUES = ("sales", "support", "loans")
CALLS = st.lists(
    st.builds(
        Waiting,
        call_id=st.uuids().map(str),
        queue=st.sampled_from(QUEUES),
        since=st.floats(0, 1000),
        priority=st.integers(0, 2),
    ),
    max_size=12,
    unique_by=lambda c: c.call_id,
)
AGENTS = st.lists(
    st.builds(
        Free,
        user_id=st.integers(1, 50),
        queues=st.frozensets(st.sampled_from(QUEUES)),
        since=st.floats(0, 1000),
    ),
    max_size=12,
    unique_by=lambda a: a.user_id,
)


def test_the_longest_waiting_call_goes_to_the_longest_available_agent():
    old, new = Waiting("old", "sales", 1.0), Waiting("new", "sales", 2.0)
    rested, tired = Free(1, frozenset({"sales"}), 5.0), Free(2, frozenset({"sales"}), 9.0)
    assert assign([new, old], [tired, rested]) == [(old, rested), (new, tired)]


def test_a_higher_priority_goes_before_a_longer_wait():
    usual, urgent = Waiting("usual", "sales", 1.0), Waiting("urgent", "sales", 50.0, priority=10)
    agent = Free(1, frozenset({"sales"}), 0.0)
    assert assign([usual, urgent], [agent]) == [(urgent, agent)]


def test_a_call_nobody_serves_does_not_keep_the_others_waiting():
    lonely, served = Waiting("a", "loans", 1.0), Waiting("b", "sales", 2.0)
    agent = Free(1, frozenset({"sales"}), 0.0)
    assert assign([lonely, served], [agent]) == [(served, agent)]


@given(CALLS, AGENTS)
def test_each_call_and_agent_at_most_once_in_strict_order_and_nobody_idle_in_vain(waiting, agents):
    pairs = assign(waiting, agents)
    calls, chosen = [c for c, _ in pairs], [a for _, a in pairs]
    assert len({c.call_id for c in calls}) == len(calls)
    assert len({a.user_id for a in chosen}) == len(chosen)
    assert all(call.queue in agent.queues for call, agent in pairs)
    assert calls == [c for c in in_order(waiting) if c in calls]
    left_agents = [a for a in agents if a not in chosen]
    left_calls = [c for c in waiting if c not in calls]
    assert not any(call.queue in agent.queues for call in left_calls for agent in left_agents)
    for taken in calls:  # nobody of the same queue who came before was passed over
        for left in left_calls:
            if left.queue == taken.queue:
                assert in_order([left, taken])[0] == taken
