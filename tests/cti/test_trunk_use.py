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
def test_no_second_has_twice_what_the_trunk_allows_and_no_minute_more_than_it(per_second, steps):
    use, now, begun = TrunkUse(), 100.0, []
    for pause, wanted in steps:
        now += pause
        for _ in range(min(wanted, use.room(now, 0, per_second))):
            use.begin(now, per_second)
            begun.append(now)
    for start in begun:
        within = [t for t in begun if start <= t < start + 1]
        assert len(within) <= 2 * per_second
    assert len(begun) <= per_second * (now - 100.0) + per_second
