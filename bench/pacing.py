"""How busy the dialer keeps agents, and how many people it abandons, in the scenarios of the shared referee.

Our own simulator (dialer.simulated_day) runs each scenario; beside each stands the best fixed ratio of calls
in the air per free agent that keeps the limit, known only afterwards. Those ratios take long to find and
never change with the pacing, so they are kept in bench/pacing_ratios.json: `python -m bench.pacing --ratios`
finds them again. (Those kept were found under the referee, with 4 or 8 seeds; of the five largest, ours finds
the same within 0.001.)

The referee itself: python ../shared/dialer/judge.py bench.pacing_policy:Policy
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench.pacing_scenarios import world_of
from bench.processes import ROOT, note, percentile
from dialer.pacing import Pacing, Seen
from dialer.simulated_day import Day, Outcome

SHARED = ROOT.parent / "shared" / "dialer" / "public.json"
KEPT = (
    Path(__file__).parent / "pacing_scenarios.json"
)  # the few that the figures need, where SHARED is missing
RATIOS = Path(__file__).parent / "pacing_ratios.json"
TEAMS = (300, 100, 50, 20, 10, 5, 3)
LIMIT_PERCENT = 3.0
SEEDS = 4
SMALL_TEAM = 10  # sees few calls in a day: twice the seeds
GRID = [round(1.06**power, 3) for power in range(55)]  # of fixed ratios

T = TypeVar("T")


class FixedRatio:
    """So many calls in the air per free agent, whatever happens."""

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def start(self, known: Mapping[str, Any]) -> None:
        pass

    def on_event(self, t: float, kind: int, a: int, b: float = 0) -> None:
        pass

    def decide(self, t: float, seen: Seen) -> int:
        in_air = len(seen.ring) + len(seen.amd) + len(seen.waiting)
        return max(0, int(self.ratio * len(seen.idle)) - in_air)


class Timed(Pacing):
    """Notes how long decisions take, of the processor's time: other processes share the cores."""

    def __init__(self) -> None:
        super().__init__()
        self.nanoseconds: list[int] = []

    def decide(self, t: float, seen: Seen) -> int:
        began = time.thread_time_ns()
        number = super().decide(t, seen)
        self.nanoseconds.append(time.thread_time_ns() - began)
        return number


# Running


@dataclass(frozen=True)
class Result:
    """Of a scenario, over its seeds."""

    utilisation: float
    abandoned_percent: float
    decision_us_p99: float = 0.0


def result(outcomes: Iterable[Outcome], nanoseconds: list[int]) -> Result:
    days = list(outcomes)
    live = sum(day.live + day.counted for day in days)
    return Result(
        sum(day.utilisation for day in days) / len(days),
        100 * sum(day.abandoned + day.counted for day in days) / max(1, live),
        percentile([float(one) for one in nanoseconds], 99) / 1000 if nanoseconds else 0.0,
    )


def seeds_of(scenario: Mapping[str, Any], seeds: int) -> range:
    return range(seeds * (2 if scenario["agents"] <= SMALL_TEAM else 1))


def paced(scenario: Mapping[str, Any], seeds: int) -> Result:
    outcomes, nanoseconds = [], list[int]()
    for seed in seeds_of(scenario, seeds):
        policy = Timed()
        outcomes.append(Day(world_of(scenario, seed), policy, seed).run())
        nanoseconds += policy.nanoseconds
    return result(outcomes, nanoseconds)


def fixed(scenario: Mapping[str, Any], ratio: float, seeds: int) -> Result:
    return result(
        (Day(world_of(scenario, seed), FixedRatio(ratio), seed).run() for seed in seeds_of(scenario, seeds)),
        [],
    )


def best_ratio(scenario: Mapping[str, Any], seeds: int) -> dict[str, float]:
    """Of GRID, the one with most utilisation that keeps the limit."""
    found: dict[int, Result] = {}

    def at(place: int) -> Result:
        if place not in found:
            found[place] = fixed(scenario, GRID[place], seeds)
        return found[place]

    low, high = 0, len(GRID) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if at(middle).abandoned_percent <= LIMIT_PERCENT:
            low = middle
        else:
            high = middle
    for place in range(max(0, low - 1), min(len(GRID), low + 3)):
        at(place)
    kept = [place for place, one in found.items() if one.abandoned_percent <= LIMIT_PERCENT] or [0]
    best = max(kept, key=lambda place: at(place).utilisation)
    return {
        "ratio": GRID[best],
        "utilisation": round(at(best).utilisation, 4),
        "abandoned_percent": round(at(best).abandoned_percent, 2),
    }


def every(
    work: Callable[[dict[str, Any], int], T], scenarios: list[dict[str, Any]], arguments: argparse.Namespace
) -> Iterator[tuple[dict[str, Any], T]]:
    with ProcessPoolExecutor(arguments.jobs) as pool:
        yield from zip(scenarios, pool.map(work, scenarios, [arguments.seeds] * len(scenarios)), strict=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenarios", type=Path, default=SHARED if SHARED.exists() else KEPT)
    parser.add_argument("--only", default="", help="scenarios whose name has this in it")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument(
        "--ratios", action="store_true", help="find the best fixed ratios again, and keep them"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    scenarios = [
        one for one in json.loads(arguments.scenarios.read_text())["scenarios"] if arguments.only in one["id"]
    ]
    scenarios.sort(key=lambda one: -one["agents"])
    ratios: dict[str, dict[str, float]] = json.loads(RATIOS.read_text()) if RATIOS.exists() else {}
    if arguments.ratios:
        for scenario, best in every(best_ratio, scenarios, arguments):
            ratios[scenario["id"]] = best
            note(f"{scenario['id']:20s} {best}")
        RATIOS.write_text(json.dumps(dict(sorted(ratios.items())), indent=1) + "\n")
        return 0
    figures: dict[str, Any] = {"worst_abandoned_percent": 0.0, "below_fixed_ratio": []}
    for scenario, got in every(paced, scenarios, arguments):
        name, best = scenario["id"], ratios.get(scenario["id"], {}).get("utilisation", 0.0)
        note(
            f"{name:20s} {got.utilisation:.4f} (fixed ratio {best:.4f})  {got.abandoned_percent:.2f} %  "
            f"p99 {got.decision_us_p99:.0f} us"
        )
        figures["worst_abandoned_percent"] = max(
            figures["worst_abandoned_percent"], round(got.abandoned_percent, 3)
        )
        if got.utilisation < best:
            figures["below_fixed_ratio"].append(name)
        for team in TEAMS:
            if name == f"stat-n{team}-p30":
                figures[f"u{team}"] = round(got.utilisation, 4)
        if scenario["agents"] >= 300:
            figures["decision_us_p99"] = max(
                figures.get("decision_us_p99", 0.0), round(got.decision_us_p99, 1)
            )
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
