"""How many events a second port 44900 delivers to 1,000 connections, and how late they are.

The server (the product's ToolbarServer before the product's floor, 1,000 agents, a desk and a connection
each) is a process of its own on one core; the clients are another on the other. Each event is one message
for one desk, as a change of a queue is, so each is encoded and sent by itself. The offered rate climbs until
events come late (99 % not within 50 ms), not all come, or the server cannot offer them; each has a
second try.
"""

import argparse
import asyncio
import json
import os
import struct
import subprocess
import sys
import time
from array import array
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import uvloop

from bench.processes import ROOT, allow_open_files, cores, free_port, note, percentile, pinned, stop
from config import Settings
from crm.centre import Centre
from crm.history import History
from crm.queues import Queue
from crm.users import Role, User
from cti.floor import Floor
from cti.toolbar.frames import encode
from cti.toolbar.server import ToolbarServer

CONNECTIONS = 1000
RATES = [5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 35_000, 40_000, 50_000, 60_000, 80_000]
P99_MS_MAX = 50
ROUND_SECONDS = 0.01
LENGTH = struct.Struct(">I")


# The server's process: commands come as lines on stdin, one JSON object each goes out


async def serve(port: int) -> None:
    users = {
        number: User(
            number, f"agent{number}", f"Agent {number}", Role.AGENT, None, None, "en", None, True, False, True
        )
        for number in range(1, CONNECTIONS + 1)
    }
    queue = Queue(1, "sales", "Sales", 60, 20, 20, 50, 600, None, False, False, tuple(users))
    settings = Settings(cti_port=port)
    history = History(None, 1000, Path(os.devnull))  # type: ignore[arg-type]  # nothing is put into it
    floor = Floor(Centre(users=users, queues={queue.name: queue}), history, settings)
    floor.phones = SimpleNamespace(routes_for=lambda user: [], registered=lambda number: None)  # type: ignore
    by_login = {user.login: user for user in users.values()}

    async def verify(login: str, _password: str) -> User | None:
        return by_login.get(login)

    server = ToolbarServer(settings, floor, None, verify=verify)  # type: ignore[arg-type]
    await server.start()
    print(json.dumps({"port": server.port}), flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        rate, seconds = map(float, line.split())
        print(json.dumps(await produce(floor, rate, seconds) | {"dropped": server.dropped_slow}), flush=True)
    await server.close()


async def produce(floor: Floor, rate: float, seconds: float) -> dict[str, Any]:
    """Shows `rate` events a second, evenly, each at the next desk."""
    desks = [floor.desks[number] for number in sorted(floor.desks)]
    began, shown, cpu = time.monotonic(), 0, time.process_time()
    waiting = [{"name": "sales", "label": "Sales", "waiting": 3, "longest_since": "2026-11-21T20:00:00.000Z"}]
    while (spent := time.monotonic() - began) < seconds:
        for _ in range(int(spent * rate) - shown):
            desks[shown % len(desks)].show("QueuesChanged", queues=waiting, sent=time.monotonic_ns() // 1000)
            shown += 1
        await asyncio.sleep(max(0.0, ROUND_SECONDS - (time.monotonic() - began - spent)))
    return {"shown": shown, "seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}


# The clients' process


class Client(asyncio.Protocol):
    """One toolbar, which reads each event and notes how late it is."""

    delays = array("q")

    def __init__(self, login: str, welcomed: asyncio.Future[None]) -> None:
        self.login, self.welcomed, self.buffer = login, welcomed, b""

    def connection_made(self, transport: Any) -> None:
        transport.write(encode({"id": 1, "verb": "Login", "user": self.login, "password": "x"}))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns() // 1000
        buffer, start = self.buffer + data, 0
        while len(buffer) >= start + 4:
            end = start + 4 + LENGTH.unpack_from(buffer, start)[0]
            if len(buffer) < end:
                break
            message = msgpack.unpackb(buffer[start + 4 : end])
            if "sent" in message:
                self.delays.append(now - message["sent"])
            elif message.get("id") == 1:
                assert message["ok"], message
                self.welcomed.set_result(None)
            start = end
        self.buffer = buffer[start:]


async def measure(process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
    assert process.stdin and process.stdout
    loop = asyncio.get_running_loop()
    port = json.loads(process.stdout.readline())["port"]
    for number in range(1, CONNECTIONS + 1):
        welcomed = loop.create_future()
        await loop.create_connection(lambda n=number, w=welcomed: Client(f"agent{n}", w), "127.0.0.1", port)
        await welcomed
    note(f"{CONNECTIONS} connections")
    best = None
    await offer(process, 1000, 2)  # warm
    for rate in RATES:
        got = await offer(process, rate, seconds) or await offer(process, rate, seconds)
        if got is None:
            break
        best = got
    return best or {"events_per_second": 0, "p50_ms": None, "p99_ms": None, "lost": None}


async def offer(process: subprocess.Popen[bytes], rate: int, seconds: float) -> dict[str, Any] | None:
    """The figures of one rate; None when it was too much."""
    assert process.stdin and process.stdout
    del Client.delays[:]
    process.stdin.write(f"{rate} {seconds}\n".encode())
    process.stdin.flush()
    told = json.loads(await asyncio.get_running_loop().run_in_executor(None, process.stdout.readline))
    end = time.monotonic() + 3
    while len(Client.delays) < told["shown"] and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    delays = [delay / 1000 for delay in Client.delays]
    p50, p99 = percentile(delays, 50), percentile(delays, 99)
    lost, offered = told["shown"] - len(delays), told["shown"] / told["seconds"]
    cpu = 1e6 * told["cpu"] / told["shown"]
    note(
        f"  {rate}/s: {offered:.0f}/s shown, {lost} lost, {told['dropped']} dropped, p50 {p50:.1f} "
        f"p99 {p99:.1f} ms, CPU of the server {cpu:.1f} µs per event"
    )
    if lost or told["dropped"] or p99 > P99_MS_MAX or offered < 0.98 * rate:
        return None
    return {
        "events_per_second": round(offered),
        "p50_ms": round(p50, 2),
        "p99_ms": round(p99, 2),
        "lost": lost,
        "cpu_us_per_event": round(cpu, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="only the JSON object on stdout")
    parser.add_argument("--seconds", type=float, default=5, help="of each rate")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    allow_open_files()
    if options.serve:
        uvloop.run(serve(options.serve))
        return
    here = cores()
    os.sched_setaffinity(0, {here[-1]})
    command: list[object] = [sys.executable, "-m", "bench.toolbar_fanout", "--serve", free_port()]
    process = subprocess.Popen(
        pinned(command, here[0]), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        figures = uvloop.run(measure(process, options.seconds))
    finally:
        stop(process)
    print(json.dumps({"bench": "toolbar_fanout"} | figures | {"connections": CONNECTIONS}))


if __name__ == "__main__":
    main()
