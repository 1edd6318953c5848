"""Calls per second through the B2BUA on one core, media anchored, sipp at both ends; Sippy's B2BUA beside it.

A trunk (sipp) calls an extension whose phone (sipp) answers at once; the caller hangs up after a second.
The same two scenarios go through Sippy's B2BUA from PyPI in the same run. The product with all its
processes (control, media worker, PostgreSQL, Valkey) has one core, Sippy has the same core, sipp the other.
The rate climbs by steps until a step fails: a failed call, a retransmitted INVITE, a rate not kept, or a
slow setup (99 % not within 250 ms). CPU per call is taken at one rate for both.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import (
    WORK,
    cores,
    cpu_seconds,
    free_port,
    note,
    percentile,
    pinned,
    stop,
    wait_until,
)
from bench.product import Product
from crm import extensions, trunks
from crm.db import Db

SCENARIOS = Path(__file__).parent / "scenarios"
EXTENSION, PASSWORD = "1001", "bench-password"
HOLD_MS = 1000
SETUP_P99_MS_MAX = 250
CPU_RATE = 100  # calls per second at which CPU per call is measured, for both
RATES = [50, 100, 150, 200, 225, 250, 275, 300, 350, 400, 450, 500, 600, 700, 800]
NOTE = (
    "No RTP flows in these calls: the product allocates and anchors both media legs of each; Sippy, without "
    "rtpproxy, anchors no media at all and writes no history. The product's core also carries its PostgreSQL "
    "and Valkey; their CPU has a key of its own."
)


@dataclass(frozen=True)
class Step:
    """What one rate gave. Milliseconds from INVITE to 200 at the caller."""

    rate: int
    successful: int
    failed: int
    retransmissions: int
    kept: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_call: float = 0.0
    stores_cpu_ms_per_call: float = 0.0
    media_cpu_ms_per_call: float = 0.0

    @property
    def passed(self) -> bool:
        return (
            self.failed == 0
            and self.retransmissions == 0
            and self.kept >= 0.97
            and self.p99_ms <= SETUP_P99_MS_MAX
        )


@contextmanager
def phone(core: int, port: int) -> Iterator[None]:
    """sipp as a telephone that answers every call."""
    process = subprocess.Popen(
        pinned(sipp("phone.xml", port, "-bind_local", "-mp", free_port()), core),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        stop(process)


def sipp(scenario: str, port: int, *more: object) -> list[object]:
    return ["sipp", "-sf", SCENARIOS / scenario, "-i", "127.0.0.1", "-p", port, "-nostdin", *more]


def register(core: int, port: int, server: int) -> None:
    command = sipp("register.xml", port, "-s", EXTENSION, "-au", EXTENSION, "-ap", PASSWORD, "-m", 1)
    done = subprocess.run(
        pinned([*command, f"127.0.0.1:{server}"], core),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the phone could not register:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def step(core: int, server: int, rate: int, seconds: float) -> Step:
    """One rate for some seconds."""
    calls = int(rate * seconds)
    with tempfile.TemporaryDirectory() as folder:
        command = sipp(
            "caller.xml", free_port(), "-s", EXTENSION, "-d", HOLD_MS, "-r", rate, "-m", calls, "-l", 20_000,
            "-mp", free_port(), "-trace_stat", "-stf", "stat.csv", "-fd", 1, "-trace_rtt", "-rtt_freq", 1,
            "-recv_timeout", 8000, f"127.0.0.1:{server}",
        )  # fmt: skip
        done = subprocess.run(
            pinned(command, core),
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=seconds + 120,
            check=False,
        )
        if not list(Path(folder).glob("*_rtt.csv")):
            raise RuntimeError(f"no call was answered; sipp said:\n{done.stderr.decode()[-2000:]}")
        rows = list(csv.DictReader((Path(folder) / "stat.csv").open(), delimiter=";"))
        (times,) = Path(folder).glob("*_rtt.csv")
        setups = [float(row["response_time_ms"]) for row in csv.DictReader(times.open(), delimiter=";")]
    last = rows[-1]
    # All calls are placed when the last row with new calls was written; one second of it is its own grain.
    placing = [row for row in rows if int(row["OutgoingCall(C)"]) >= calls]
    spent = clock(placing[0]["ElapsedTime(C)"]) if placing else clock(last["ElapsedTime(C)"])
    successful = int(last["SuccessfulCall(C)"])
    return Step(
        rate=rate,
        successful=successful,
        failed=max(int(last["FailedCall(C)"]), calls - successful),
        retransmissions=int(last["Retransmissions(C)"]),
        kept=min(1.0, (seconds + 1) / spent) if spent > seconds + 1 else 1.0,
        p50_ms=percentile(setups, 50),
        p99_ms=percentile(setups, 99),
    )


def clock(text: str) -> float:
    """sipp's elapsed time, such as 00:00:10 or 00:00:10:012000."""
    hours, minutes, seconds, *micros = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int((micros or ["0"])[0]) / 1e6


def measured(
    core: int, server: int, rate: int, seconds: float, cpu: Callable[[], tuple[float, float, float]]
) -> Step:
    before = cpu()
    got = step(core, server, rate, seconds)
    serving, media, stores = (now - then for now, then in zip(cpu(), before, strict=True))
    calls = max(got.successful, 1)
    made = Step(
        **{
            **got.__dict__,
            "cpu_ms_per_call": 1000 * serving / calls,
            "media_cpu_ms_per_call": 1000 * media / calls,
            "stores_cpu_ms_per_call": 1000 * stores / calls,
        }
    )
    note(
        f"  {rate}/s: {made.successful} calls, {made.failed} failed, {made.retransmissions} retransmissions, "
        f"setup p50 {made.p50_ms:.1f} p99 {made.p99_ms:.1f} ms, CPU {made.cpu_ms_per_call:.2f} ms per call"
    )
    return made


def climb(
    core: int, server: int, seconds: float, cpu: Callable[[], tuple[float, float, float]]
) -> tuple[Step, Step | None]:
    """The step at CPU_RATE, and the fastest step that passed. A step that fails has a second try."""
    step(core, server, 20, 3)  # warm
    at_rate = measured(core, server, CPU_RATE, seconds, cpu)
    best: Step | None = None
    for rate in RATES:
        got = measured(core, server, rate, seconds, cpu)
        if not got.passed:
            got = measured(core, server, rate, seconds, cpu)
        if not got.passed:
            break
        best = got
    return at_rate, best


async def fill(db: Db) -> None:
    await extensions.create(db, None, number=EXTENSION, password=PASSWORD, label="Bench")
    await trunks.create(db, None, name="bench", host="127.0.0.1", port=free_port())


def product_calls(core: int, other: int, seconds: float) -> tuple[Step, Step | None]:
    with Product(fill, core=core, media_workers=1) as product:
        server, port = product.settings.sip_port, free_port()
        register(other, port, server)

        def cpu() -> tuple[float, float, float]:
            now = product.cpu()
            return now.serving, now.media, now.stores

        with phone(other, port):
            return climb(other, server, seconds, cpu)


def sippy_calls(core: int, other: int, seconds: float) -> tuple[Step, Step | None]:
    python = sippy_environment()
    server, port = free_port(), free_port()
    command = [
        python.parent / "b2bua_simple",
        "-f",
        "-l",
        "127.0.0.1",
        "-p",
        server,
        "-n",
        f"127.0.0.1:{port}",
    ]
    process = subprocess.Popen(pinned(command, core), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with phone(other, port):
            wait_until(lambda: bound(server), 30, "Sippy's start")
            return climb(other, server, seconds, lambda: (cpu_seconds(process.pid), 0.0, 0.0))
    finally:
        stop(process)


def bound(port: int) -> bool:
    return f"0100007F:{port:04X} " in Path("/proc/net/udp").read_text()


def sippy_environment() -> Path:
    """Sippy from PyPI in an environment of its own; its Python."""
    python = WORK / "sippy" / "bin" / "python"
    if not (python.parent / "b2bua_simple").exists():
        note("installing Sippy")
        venv.create(WORK / "sippy", with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "sippy==2.5.0"], check=True, stdout=sys.stderr
        )
    return python


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="only the JSON object on stdout")
    parser.add_argument("--seconds", type=float, default=10, help="of each step")
    parser.add_argument("--without-sippy", action="store_true")
    options = parser.parse_args()
    core, other = cores()[0], cores()[-1]
    note("the product:")
    at_rate, best = product_calls(core, other, options.seconds)
    figures: dict[str, object] = {
        "bench": "sip_calls",
        "calls_per_second": best.rate if best else 0,
        "cpu_ms_per_call": round(at_rate.cpu_ms_per_call, 2),
        "setup_p50_ms": round(best.p50_ms, 1) if best else None,
        "setup_p99_ms": round(best.p99_ms, 1) if best else None,
        "failed": best.failed if best else at_rate.failed,
        "cpu_ms_per_call_at_calls_per_second": round(best.cpu_ms_per_call, 2) if best else None,
        "media_cpu_ms_per_call": round(at_rate.media_cpu_ms_per_call, 2),
        "stores_cpu_ms_per_call": round(at_rate.stores_cpu_ms_per_call, 2),
        "setup_p99_ms_at_cpu_rate": round(at_rate.p99_ms, 1),
        "cpu_rate": CPU_RATE,
        "hold_ms": HOLD_MS,
    }
    if not options.without_sippy:
        note("Sippy:")
        theirs, their_best = sippy_calls(core, other, options.seconds)
        figures |= {
            "cpu_ratio_to_sippy": round(at_rate.cpu_ms_per_call / theirs.cpu_ms_per_call, 3),
            "sippy_calls_per_second": their_best.rate if their_best else 0,
            "sippy_cpu_ms_per_call": round(theirs.cpu_ms_per_call, 2),
            "sippy_setup_p99_ms": round(their_best.p99_ms, 1) if their_best else None,
        }
    figures["note"] = NOTE
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
