"""A made-up day: it adds up, it agrees with the shared referee, and it answers what a supervisor asks."""

import json
from pathlib import Path

import pytest

from bench.pacing import FixedRatio
from bench.pacing_scenarios import world_of
from dialer.pacing import Pacing
from dialer.simulated_day import Day
from dialer.simulation import PREVIEW, History, Plan, by_agents, by_limit, simulate

SCENARIOS = {
    one["id"]: one
    for one in json.loads((Path(__file__).parents[2] / "bench" / "pacing_scenarios.json").read_text())[
        "scenarios"
    ]
}
HOUR = 3600.0
BRIEF = Plan(agents=4, seconds=HOUR)


@pytest.mark.parametrize(
    ("name", "ratio", "utilisation", "abandoned"),
    [  # as the referee found them, over 4 or 8 seeds
        ("stat-n5-p30", 1.898, 0.820, 0.0165),
        ("stat-n10-p30", 1.898, 0.840, 0.0128),
        ("stat-n50-p30", 3.604, 0.928, 0.0201),
        ("amd-n10", 1.898, 0.824, 0.0093),
        ("staff-n20", 2.693, 0.879, 0.0283),
    ],
)
def test_a_fixed_ratio_does_as_under_the_referee(name, ratio, utilisation, abandoned):
    days = [Day(world_of(SCENARIOS[name], seed), FixedRatio(ratio), seed).run() for seed in range(3)]
    assert sum(day.utilisation for day in days) / 3 == pytest.approx(utilisation, abs=0.015)
    share = sum(day.abandoned for day in days) / sum(day.live for day in days)
    assert share == pytest.approx(abandoned, abs=0.008)


def test_the_same_seed_gives_the_same_day():
    first, second, other = (
        Day(world_of(SCENARIOS["saw-n5"], 1), FixedRatio(2), seed).run() for seed in (1, 1, 2)
    )
    assert first == second != other


def test_every_agents_time_is_either_busy_or_idle():
    scenario = SCENARIOS["stat-n10-p30"]
    day = Day(world_of(scenario, 0), FixedRatio(2), 0).run()
    assert day.busy_seconds + day.idle_seconds == pytest.approx(10 * scenario["duration_s"], rel=1e-6)


class Watch(Pacing):
    """Fails where the simulation shows what cannot be."""

    def decide(self, t, seen):
        agents = [*seen.idle, *seen.talk, *seen.wrap]
        assert len(agents) == len(set(agents))
        assert not (seen.idle and seen.waiting)
        assert seen.leaving <= {*seen.talk, *seen.wrap}
        assert seen.channels_free >= 0
        return super().decide(t, seen)


@pytest.mark.parametrize("name", ["staff-n20", "amd-n10"])
def test_the_picture_is_whole_at_every_decision(name):
    scenario = SCENARIOS[name] | {"duration_s": HOUR}
    assert Day(world_of(scenario, 0), Watch(), 0).run().live > 50


def test_a_forecast_keeps_the_limit_and_beats_one_call_per_agent():
    predictive = simulate(History(), Plan(agents=8, seconds=2 * HOUR))
    progressive = simulate(History(), Plan(agents=8, seconds=2 * HOUR, mode="progressive"))
    assert predictive.abandoned_percent < 3.6
    assert predictive.talk_minutes_per_hour > progressive.talk_minutes_per_hour + 2
    assert 0 <= progressive.abandoned_percent < 0.5


def test_a_list_is_done_when_every_number_was_worked():
    forecast = simulate(History(answer=0.5), Plan(agents=4, seconds=2 * HOUR, numbers=60, mode="progressive"))
    assert forecast.left == 0
    assert forecast.done_after_seconds is not None and 0 < forecast.done_after_seconds < 2 * HOUR


def test_a_long_list_tells_how_many_hours_it_needs():
    plan = Plan(agents=4, seconds=HOUR, mode="progressive")
    some, twice = (simulate(History(), Plan(**vars(plan) | {"numbers": n})) for n in (2000, 4000))
    assert some.done_after_seconds is not None and twice.done_after_seconds is not None
    assert twice.done_after_seconds == pytest.approx(2 * some.done_after_seconds, rel=0.1)
    assert some.left is not None and 1000 < some.left < 2000


def test_numbers_not_reached_are_tried_again_later():
    once = Plan(agents=4, seconds=2 * HOUR, numbers=50, mode="progressive")
    again = Plan(**vars(once) | {"attempts_max": 3, "retry_seconds": 600.0})
    first, more = simulate(History(), once), simulate(History(), again)
    assert first.done_after_seconds is not None and more.done_after_seconds is not None
    assert more.done_after_seconds > first.done_after_seconds + 600


def test_its_own_talks_make_the_forecast():
    brief = simulate(History(talks=[20.0] * 50), BRIEF)
    long = simulate(History(talks=[300.0] * 50), BRIEF)
    assert brief.dials_per_hour > 2 * long.dials_per_hour


def test_a_higher_limit_brings_more_talk():
    strict, loose = by_limit(History(), Plan(agents=6, seconds=3 * HOUR), [0.005, 0.08])
    assert loose.talk_minutes_per_hour > strict.talk_minutes_per_hour
    assert loose.abandoned_percent > strict.abandoned_percent


def test_more_agents_work_the_list_sooner():
    few, many = by_agents(History(), Plan(agents=1, seconds=HOUR, numbers=3000, mode="progressive"), [3, 9])
    assert many.done_after_seconds is not None and few.done_after_seconds is not None
    assert many.done_after_seconds < few.done_after_seconds / 2


def test_nobody_to_talk_dials_nothing():
    forecast = simulate(History(), Plan(agents=0, seconds=HOUR, numbers=10))
    assert forecast.dials_per_hour == 0 and forecast.done_after_seconds is None and forecast.left == 10


SURE = History(answer=1.0, failed=0.0, rings=[10.0] * 20, talks=[100.0] * 20, wraps=[30.0] * 20)


def test_in_preview_each_agent_looks_rings_talks_and_writes_one_after_the_other():
    plan = Plan(agents=3, seconds=8 * HOUR, mode=PREVIEW, preview_seconds=20)
    forecast = simulate(SURE, plan)
    assert forecast.talk_minutes_per_hour == pytest.approx(60 * 100 / 160, rel=0.01)
    assert forecast.utilisation == pytest.approx(130 / 160, rel=0.01)
    assert forecast.abandoned_percent == 0
    longer = simulate(SURE, Plan(agents=3, seconds=8 * HOUR, mode=PREVIEW, preview_seconds=60))
    assert longer.talk_minutes_per_hour == pytest.approx(60 * 100 / 200, rel=0.01)


def test_in_preview_a_list_is_through_when_everybody_was_tried_as_often_as_allowed():
    nobody = History(answer=0.0, failed=0.0)
    plan = Plan(agents=2, seconds=8 * HOUR, mode=PREVIEW, numbers=20, attempts_max=2, retry_seconds=1800)
    forecast = simulate(nobody, plan)
    assert forecast.left == 0 and forecast.talk_minutes_per_hour == 0
    assert forecast.done_after_seconds == pytest.approx(45 + 1800 + 10 * 45, abs=46)
    brief = simulate(nobody, Plan(agents=2, seconds=HOUR, mode=PREVIEW, numbers=1000))
    assert brief.done_after_seconds == pytest.approx(500 * 45, rel=0.02)
