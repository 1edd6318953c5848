"""A trunk's limits of channels and of calls begun in a second."""

from hypothesis import given
from hypothesis import strategies as st

from cti.trunk_use import TrunkUse


def test_without_limits_there_is_always_room():
    use = TrunkUse()
    for _ in range(1000):
        use.begin(0.0, 0)
    assert use.room(0.0, 0, 0) > 1000


def test_calls_of_both_directions_fill_the_channels_and_free_them():
    use = TrunkUse()
    use.begin(0.0, 0)
    use.begin(0.0, 0, outgoing=False)
    assert use.room(0.0, 3, 0) == 1
    use.end()
    assert use.room(0.0, 3, 0) == 2


def test_calls_that_come_in_take_nothing_from_those_that_may_begin():
    use = TrunkUse()
    use.begin(0.0, 2, outgoing=False)
    assert use.room(0.0, 0, 2) == 2


@given(
    per_second=st.integers(1, 20),
    steps=st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 30)), min_size=1, max_size=100),
)
def test_no_second_has_more_than_the_trunk_allows_wherever_it_begins(per_second, steps):
    use, now, begun = TrunkUse(), 100.0, []
    for pause, wanted in steps:
        now += pause
        for _ in range(min(wanted, use.room(now, 0, per_second))):
            use.begin(now, per_second)
            begun.append(now)
    for end in begun:
        assert len([t for t in begun if end - 1 < t <= end]) <= per_second


def test_what_began_a_second_ago_makes_room():
    use = TrunkUse()
    for at in (100.0, 100.5, 100.5):
        use.begin(at, 3)
    assert [use.room(at, 0, 3) for at in (100.9, 101.0, 101.5)] == [0, 1, 3]


def test_a_silent_trunk_is_given_one_call_now_and_then_until_it_answers():
    use = TrunkUse()
    use.begin(100.0, 5)
    use.answers_nothing(106.0)
    use.answers_nothing(107.0)
    assert use.silent_since == 106.0
    assert [use.room(at, 30, 5) for at in (106.0, 109.9, 110.0)] == [0, 0, 1]
    use.begin(110.0, 5)
    assert [use.room(at, 30, 5) for at in (111.5, 119.9, 120.0)] == [0, 0, 1]
    use.answers()
    assert use.room(112.0, 30, 5) == 5
