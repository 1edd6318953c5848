"""Runs every benchmark, one after the other: one JSON object each, then a table of what matters.

The exit status is 1 when a benchmark broke; a figure short of its aim is shown, not an error.
"""

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ROOT, note

NOT_BENCHES = {"__init__", "run", "product", "processes", "telephones", "leads_import", "greetings"}


@dataclass(frozen=True)
class Aim:
    bench: str
    key: str
    least: float | None = None
    most: float | None = None

    def verdict(self, value: float) -> str:
        if self.least is not None:
            return f"{'reached' if value >= self.least else 'short'}: at least {self.least:g}"
        if self.most is not None:
            return f"{'reached' if value <= self.most else 'short'}: at most {self.most:g}"
        return ""


AIMS = [
    Aim("sip_calls", "calls_per_second", least=250),
    Aim("sip_calls", "cpu_ms_per_call", most=3),
    Aim("sip_calls", "setup_p99_ms"),
    Aim("sip_calls", "cpu_ratio_to_sippy"),
    Aim("answer_to_agent", "p50_ms"),
    Aim("answer_to_agent", "p95_ms", most=50),
    Aim("answer_to_agent", "p99_ms"),
    Aim("answer_to_agent", "lost", most=0),
    Aim("dialer_calls", "dials_per_second", least=30),
    Aim("dialer_calls", "connect_p95_ms", most=100),
    Aim("dialer_calls", "lost", most=0),
    Aim("media", "webrtc_calls_per_core", least=250),
    Aim("media", "rtp_calls_per_core", least=450),
    Aim("media", "loss", most=0),
    Aim("media", "p99_ms"),
    Aim("amd", "human_right_percent", least=95),
    Aim("amd", "machine_right_percent", least=85),
    Aim("amd", "decision_ms_p50", most=1500),
    Aim("amd", "from_answer_ms_p50"),
    Aim("toolbar_fanout", "events_per_second", least=20_000),
    Aim("toolbar_fanout", "p99_ms"),
    Aim("reports", "slowest_month_ms", most=300),
    Aim("reports", "slowest_ms", most=1000),
    Aim("leads", "import_rows_per_second"),
    Aim("leads", "import_ratio_to_copy", most=2),
    Aim("leads", "claim_p99_ms", most=20),
    Aim("leads", "claims_per_second"),
    Aim("leads", "buffers_10k"),
    Aim("leads", "buffers_10m"),
    Aim("pacing", "worst_abandoned_percent", most=3.0),
    Aim("pacing", "u300", least=0.975),
    Aim("pacing", "u100", least=0.955),
    Aim("pacing", "u50", least=0.935),
    Aim("pacing", "u20", least=0.895),
    Aim("pacing", "u10", least=0.86),
    Aim("pacing", "u5", least=0.83),
    Aim("pacing", "u3", least=0.80),
    Aim("pacing", "decision_us_p99", most=2000),
]


def benches() -> list[str]:
    """Those with aims first, in their order, then any other of this folder."""
    named = list(dict.fromkeys(aim.bench for aim in AIMS))
    found = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    runs = [one for one in found if one not in NOT_BENCHES and "__main__" in source(one)]
    return [one for one in named if one in runs] + [one for one in runs if one not in named]


def source(bench: str) -> str:
    spec = importlib.util.find_spec(f"bench.{bench}")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).read_text()


def run(bench: str) -> dict[str, object] | None:
    """Its figures; None when it broke."""
    note(f"bench.{bench}")
    command = [sys.executable, "-m", f"bench.{bench}", "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        print(lines[-1], flush=True)
        figures: dict[str, object] = json.loads(lines[-1])
        return figures
    else:
        print(json.dumps({"bench": bench, "error": f"ended with status {done.returncode}"}), flush=True)
        return None


def table(results: dict[str, dict[str, object] | None]) -> str:
    rows = [("bench", "figure", "value", "aim")]
    for aim in AIMS:
        if aim.bench in results:
            value = (results[aim.bench] or {}).get(aim.key)
            known = isinstance(value, int | float)
            rows.append(
                (aim.bench, aim.key, f"{value:g}" if known else "–", aim.verdict(value) if known else "")
            )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.rjust(width) if column == 2 else cell.ljust(width) for column, (cell, width) in
                  enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    )  # fmt: skip


def main() -> int:
    chosen = sys.argv[1:] or benches()
    results = {bench: run(bench) for bench in chosen}
    print("\n" + table(results))
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
