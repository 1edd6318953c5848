"""What the pacing knows: life tables, the answer rate, the chance of meeting no agent, the budget."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer.abandonment import Steering, Tally
from dialer.answer_rate import AnswerRate
from dialer.life_table import LifeTable
from dialer.shortfall import EXACT_AGENTS, Shortfall

EDGES = (0, 10, 20, 40, 80, 160, 320)


def chance_of_at_least(chances, number):
    """The long way: one Bernoulli after the other."""
    pmf = np.array([1.0])
    for chance in chances:
        pmf = np.convolve(pmf, [1 - chance, chance])
    return float(pmf[number:].sum())


def risk_of_one(chances, agents):
    rows = np.array(chances, float).reshape(-1, 1)
    (risk,) = Shortfall(rows, agents).dials(1.1, np.zeros(1), 1)
    return risk


@given(st.lists(st.floats(0, 1), max_size=30), st.integers(1, EXACT_AGENTS))
def test_a_small_teams_risk_is_exact(chances, agents):
    assert risk_of_one(chances, agents) == pytest.approx(chance_of_at_least(chances, agents), abs=1e-6)


@given(st.lists(st.floats(0.05, 0.95), min_size=80, max_size=160), st.integers(EXACT_AGENTS + 1, 70))
def test_a_large_teams_risk_is_near(chances, agents):
    assert risk_of_one(chances, agents) == pytest.approx(chance_of_at_least(chances, agents), abs=0.01)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 40), st.floats(0.01, 0.5))
def test_no_call_runs_more_risk_than_allowed_and_each_runs_more_than_the_one_before(chances, agents, risk):
    rows = np.array(chances).reshape(-1, 1)
    risks = Shortfall(rows, agents).dials(risk, np.array([0.3]), 20)
    assert all(one <= risk for one in risks)
    assert all(later >= earlier - 1e-3 for earlier, later in pairwise(risks))


def test_a_call_that_will_answer_first_takes_the_agent_of_the_next():
    nobody_else, one_more = np.zeros((0, 2)), np.array([[0.1, 0.4]])
    (free,) = Shortfall(nobody_else, 1).dials(1.0, np.zeros(2), 1)
    (taken,) = Shortfall(one_more, 1).dials(1.0, np.zeros(2), 1)
    assert free == pytest.approx(0.0, abs=1e-9)
    assert taken == pytest.approx(0.4, abs=1e-9)  # worst for those who ring already, too


@pytest.mark.parametrize("mean", [20.0, 60.0, 180.0])
def test_a_life_table_finds_the_survival_of_what_it_saw(mean):
    table, rng = LifeTable(EDGES, 100.0), np.random.default_rng(1)
    for seconds in rng.exponential(mean, 2000).tolist():
        table.ended(seconds)
    survival = table.survival(table.rates(), np.array([30.0, 100.0]))
    assert survival == pytest.approx(np.exp(-np.array([30.0, 100.0]) / mean), abs=0.03)


def test_what_still_lasts_counts_as_time_spent():
    table = LifeTable(EDGES, 100.0)
    for _ in range(50):
        table.ended(15.0)
    ended_only = table.rates()[1]
    assert table.rates([300.0] * 50)[1] < 0.6 * ended_only


def test_old_habits_fade():
    table = LifeTable(EDGES, 100.0)
    for mean, began in (200.0, 0), (50.0, 1000):
        rng = np.random.default_rng(2)
        for number, seconds in enumerate(rng.exponential(mean, 1000).tolist()):
            table.ended(seconds)
            table.fade((began + number) * 10.0)
    assert table.mean() == pytest.approx(50.0, rel=0.25)


def told(rate, level, seconds, seed, per_second=2.0):
    rng = np.random.default_rng(seed)
    for _ in range(seconds):
        rate.tell(per_second, int(rng.poisson(per_second * level)))


@pytest.mark.parametrize("level", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("seed", range(5))
def test_a_steady_answer_rate_is_known_well(level, seed):
    rate = AnswerRate(0.25)
    told(rate, level, 1500, seed)
    assert rate.level == pytest.approx(level, rel=0.2, abs=0.02)


@pytest.mark.parametrize("levels", [(0.12, 0.45), (0.45, 0.12)])
@pytest.mark.parametrize("seed", range(5))
def test_a_jump_is_followed_within_a_minute_and_a_half(levels, seed):
    rate = AnswerRate(0.25)
    told(rate, levels[0], 1200, seed)
    told(rate, levels[1], 90, seed + 1)
    assert abs(rate.level - levels[1]) < abs(rate.level - levels[0])


def test_silence_teaches_nothing_and_ends_with_the_first_answer():
    rate = AnswerRate(0.25)
    told(rate, 0.3, 900, 5)
    told(rate, 0.0, 900, 6)
    assert rate.silent and rate.level > 0.05
    rate.tell(1.0, 1)
    assert not rate.silent


def test_a_rolling_tally_forgets_and_a_whole_one_does_not():
    rolling, whole = Tally(600), Tally()
    for tally in rolling, whole:
        tally.add(0.0, 10, 5)
        tally.add(500.0, 10, 0)
        tally.forget(700.0)
    assert (rolling.live, rolling.abandoned, rolling.share) == (10, 0, 0)
    assert (whole.live, whole.abandoned, whole.share) == (20, 5, 0.25)


def test_a_debt_leaves_nearly_no_risk_and_a_credit_more_than_the_limit():
    steering = Steering()
    steering.allow(0.03, 0.0, 100.0)
    even = steering.risk
    steering.allow(0.03, 2.0, 100.0)
    assert steering.aim > 0.03 and steering.risk > even
    steering.allow(0.03, -5.0, 100.0)
    assert steering.aim == 0 and steering.risk < 0.01


def test_risks_that_stay_below_the_aim_stretch_what_a_dial_may_take():
    steering = Steering()
    steering.allow(0.03, 0.0, 100.0)
    before = steering.risk
    for _ in range(600):
        steering.dialed(0.0, 0.3)
    assert steering.risk > 1.5 * before
    for _ in range(4000):
        steering.dialed(0.2, 0.3)
    assert steering.risk < before
