"""Several workers: legs joined across them, a worker killed and replaced."""

import asyncio
import os
import signal
import sys

import pytest

from cti.media.engine import Audible, Connected, EmbeddedEngine, MediaError, Silent, WorkerLost
from tests.media.conftest import free_ports
from tests.waiting import until


def lost(engine):
    return [event for event in engine.events if isinstance(event, WorkerLost)]


async def test_legs_of_two_workers_hear_each_other_and_part_again(make_engine, caller):
    engine = await make_engine(workers=2)
    ana = await caller(engine, "ana", hertz=440, law="PCMU")
    bruno = await caller(engine, "bruno", hertz=620, law="PCMA")
    assert ana.peer[1] // 100 != bruno.peer[1] // 100, "one on each worker"
    await engine.bridge("ana", "bruno")
    await ana.hears(620)
    await bruno.hears(440)
    bruno.press("7")
    await until(lambda: ana.pressed() == "7")
    assert {event.leg for event in engine.events if isinstance(event, Connected)} == {"ana", "bruno"}

    await engine.play("ana", "music")
    await until(lambda: (found := ana.heard()) and abs(found - 620) > 6)
    await engine.stop_playing("ana")
    await ana.hears(620)
    await bruno.stop()
    await engine.told(Silent("bruno"))
    bruno.start()
    await engine.told(Audible("bruno"))

    carla = await caller(engine, "carla", near="bruno", hertz=900)
    await engine.bridge("carla", "bruno")
    await carla.hears(620)
    await bruno.hears(900)
    ana.forget()
    await carla.hears(620)
    assert not ana.packets


async def test_a_killed_worker_loses_its_legs_only_and_is_replaced(make_engine, caller):
    engine = await make_engine(workers=2)
    ana = await caller(engine, "ana", hertz=440)
    await caller(engine, "bruno", hertz=620)
    carla = await caller(engine, "carla", near="ana", hertz=900)
    await engine.bridge("ana", "bruno")
    await ana.hears(620)
    os.kill(engine.worker_of("bruno"), signal.SIGKILL)
    await until(lambda: lost(engine))
    assert lost(engine) == [WorkerLost(["bruno"])]

    await engine.bridge("ana", "carla")
    await ana.hears(900)
    await carla.hears(440)

    await until(lambda: len(engine.pids()) == 2)
    diego = await caller(engine, "diego", hertz=700)
    await engine.bridge("ana", "diego")
    await ana.hears(700)
    await diego.hears(440)
    await engine.delete("bruno")


async def test_the_only_worker_killed_new_legs_wait_for_the_next(engine, caller):
    await caller(engine, "ana")
    os.kill(engine.worker_of("ana"), signal.SIGKILL)
    await until(lambda: lost(engine))
    bruno = await caller(engine, "bruno")
    await engine.play("bruno", "busy")
    await until(lambda: (found := bruno.heard(0.1)) and abs(found - 425) < 12)


async def test_a_worker_that_hangs_is_replaced(engine, caller):
    await caller(engine, "ana")
    os.kill(engine.worker_of("ana"), signal.SIGSTOP)
    await until(lambda: lost(engine) == [WorkerLost(["ana"])])


async def test_workers_end_with_the_engine(make_engine):
    engine = await make_engine(workers=2)
    pids = engine.pids()
    await engine.stop()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_workers_end_when_the_control_process_is_killed(tmp_path):
    """Run an engine in a process of its own, kill -9 that."""
    low = free_ports(20)
    program = f"""
import asyncio
from pathlib import Path
from cti.media.engine import EmbeddedEngine
async def main():
    engine = EmbeddedEngine("127.0.0.1", "127.0.0.1", {low}, {low + 19}, 1, 300, Path({str(tmp_path)!r}))
    await engine.start()
    print(*engine.pids(), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    worker = int(await process.stdout.readline())
    process.kill()
    await process.wait()

    def gone():
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return True
        with open(f"/proc/{worker}/stat") as stat:  # dead, and waiting for init to notice
            return ") Z" in stat.read()

    await until(gone)


async def test_ports_that_cannot_be_had_stop_the_start(tmp_path):
    engine = EmbeddedEngine("192.0.2.1", "192.0.2.1", 30000, 30019, 1, 300, tmp_path)
    with pytest.raises(MediaError, match="30000-30019"):
        await engine.start()


async def test_many_legs_share_the_workers_evenly(make_engine):
    engine = await make_engine(workers=2)
    for number in range(20):
        await engine.rtp_offer(f"leg {number}")
    workers = [engine.worker_of(f"leg {number}") for number in range(20)]
    assert {workers.count(pid) for pid in engine.pids()} == {10}
