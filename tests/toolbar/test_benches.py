"""The benchmarks keep their names and their keys; what they measure is measured by `make bench`."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import run
from bench.processes import percentile

ROOT = Path(__file__).parents[2]
OURS = ["sip_calls", "answer_to_agent", "toolbar_fanout"]


@pytest.mark.parametrize("bench", OURS)
def test_a_bench_says_what_it_measures(bench):
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{bench}", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--json" in done.stdout
    assert bench in run.benches()


def test_the_table_tells_which_aims_were_reached():
    results = {
        "answer_to_agent": {"p50_ms": 20.0, "p95_ms": 49.0, "p99_ms": 60.0, "lost": 1},
        "toolbar_fanout": None,
    }
    lines = [line.split() for line in run.table(results).splitlines()]
    assert ["answer_to_agent", "p95_ms", "49", "reached:", "at", "most", "50"] in lines
    assert ["answer_to_agent", "lost", "1", "short:", "at", "most", "0"] in lines
    assert ["toolbar_fanout", "events_per_second", "–"] in lines


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 51), (99, 100), (100, 100)])
def test_a_percentile_is_one_of_the_values(percent, value):
    assert percentile([float(number) for number in range(1, 101)], percent) == value
    assert percentile([], percent) == 0.0
