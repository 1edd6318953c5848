"""What benchmarks need of the machine: free ports, cores, CPU time of a process and its children."""

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).parents[1]
WORK = ROOT / ".bench"


def note(text: str) -> None:
    """Progress for a person; the JSON object on stdout stays alone on the last line."""
    print(text, file=sys.stderr, flush=True)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 nobody has now, outside the range from which the kernel gives ports by itself."""
    for port in range(free_port.next, 32_000):  # type: ignore[attr-defined]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port))
            except OSError:
                continue
        free_port.next = port + 10  # type: ignore[attr-defined]  # sipp takes some beside its media port
        return port
    raise OSError("no free port below 32000")


free_port.next = 30_100 + os.getpid() % 1000  # type: ignore[attr-defined]


def allow_open_files() -> None:
    """As many as the system lets us; often 1,024 until one asks."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def pinned(command: Iterable[object], core: int) -> list[str]:
    return ["taskset", "-c", str(core), *map(str, command)]


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


def tree(pid: int) -> list[int]:
    """The process and all its descendants that are alive."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, open_ = [], [pid]
    while open_:
        one = open_.pop()
        found.append(one)
        open_ += parents.get(one, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of one process with its threads; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def stop(process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def percentile(values: list[float], percent: float) -> float:
    """Nearest rank; 0 of no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0
