"""The engine's side of one worker: its process, its channel, its free ports, its death and its return."""

import asyncio
import itertools
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cti.media.control import Channel, Closed, Message

PAIRS_AT_ONCE = 64  # opened ahead of need
PAIRS_LOW = 32  # below this more are asked for
GATHER_SECONDS = 0.002  # orders within it go together: each packet wakes the worker
PING_SECONDS = 1
PINGS_UNANSWERED_MAX = 5
RESTART_SECONDS_MAX = 5.0
END_SECONDS_MAX = 5.0  # to finish its recordings

SOURCE = Path(__file__).resolve().parents[2]

log = logging.getLogger(__name__)


class MediaError(Exception):
    """The engine cannot do what was asked; the leg, if there is one, can be deleted."""


class NoCapacity(MediaError):
    """No port is free for another leg."""


class WorkerGone(MediaError):
    """The worker died before it answered."""


class WorkerProcess:
    """A worker that is started again when it dies. `legs` counts what the engine has put on it."""

    def __init__(
        self,
        address: str,
        ports: range,
        silence_ms: int,
        on_event: Callable[["WorkerProcess", Message], None],
        on_death: Callable[["WorkerProcess"], None],
    ) -> None:
        self.legs = 0
        self.deaths = 0
        self.ready = False
        self.ports = f"{ports.start}-{ports.stop - 1}"
        self.webrtc_port = 0
        self.fingerprint = ""
        self._arguments = (address, str(ports.start), str(ports.stop), str(silence_ms))
        self._on_event = on_event
        self._on_death = on_death
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._flushing = False
        self._free: deque[int] = deque()
        self._exhausted = False
        self._pairs_asked = False
        self._waiting: list[asyncio.Future[None]] = []
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._pings_unanswered = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    # -- commands ------------------------------------------------------------------------------------

    def tell(self, *message: Any) -> None:
        """Send a command. Commands are carried out in order; to a dead worker they are lost like its legs."""
        if self._channel is not None:
            self._channel.put(*message)
            if not self._flushing:
                self._flushing = True
                asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush)

    async def ask(self, verb: str, *arguments: Any) -> Any:
        """Send a command that is answered. Raises WorkerGone."""
        return await self.ask_as(self.number(), verb, *arguments)

    def number(self) -> int:
        """A new one, by which a question and what belongs to it can be named."""
        return next(self._numbers)

    async def ask_as(self, number: int, verb: str, *arguments: Any) -> Any:
        """Ask under a number taken before. Raises WorkerGone."""
        if self._channel is None:
            raise WorkerGone("the media worker has died")
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        self.tell(verb, number, *arguments)
        try:
            return await reply
        finally:
            del self._replies[number]

    async def take_port(self) -> int:
        """An open pair for a new leg. Raises NoCapacity when the worker's range is used up."""
        while not self._free:
            if self._exhausted or not self.ready:
                raise NoCapacity("no RTP port is free")
            self._ask_for_pairs()
            await self.changed()
        port = self._free.popleft()
        if len(self._free) < PAIRS_LOW:
            self._ask_for_pairs()
        return port

    async def changed(self) -> None:
        """Wait until the worker has become ready, has more ports, or has died."""
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        await change

    def give_port(self, port: int) -> None:
        self._free.append(port)

    def forget_ports(self) -> None:
        """The worker that had opened them is dead."""
        self._free.clear()

    def _ask_for_pairs(self) -> None:
        if not self._pairs_asked and not self._exhausted:
            self._pairs_asked = True
            self.tell("pairs", PAIRS_AT_ONCE)

    # -- its life ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a worker running until cancelled."""
        wait_seconds = 0.0
        while True:
            await asyncio.sleep(wait_seconds)
            loop = asyncio.get_running_loop()
            started = loop.time()
            try:
                await self._life()
            finally:
                await self._end()
            wait_seconds = (
                0.0 if loop.time() - started > 10 else min(RESTART_SECONDS_MAX, wait_seconds * 2 + 0.1)
            )
            log.error("media worker %d has ended; its calls are lost, another one starts", self.pid)

    async def _life(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = _spawn(theirs, self._arguments)
        loop = asyncio.get_running_loop()
        self._channel = Channel(ours)
        self._pings_unanswered = 0
        self._exhausted = self._pairs_asked = False
        self._ask_for_pairs()
        dead = asyncio.Event()
        loop.add_reader(ours, self._receive, dead)
        watch = asyncio.create_task(self._watch())
        try:
            await dead.wait()
        finally:
            watch.cancel()
            loop.remove_reader(ours)

    async def _watch(self) -> None:
        """Kill a worker that hangs after it has been ready."""
        while not self.ready:
            await self.changed()
        while self._pings_unanswered < PINGS_UNANSWERED_MAX:
            self._pings_unanswered += 1
            self.tell("ping")
            await asyncio.sleep(PING_SECONDS)
        log.error("media worker %d does not answer", self.pid)
        assert self._process is not None
        self._process.kill()

    async def _end(self) -> None:
        """Let go of the process, tell who depended on it. Cancelled or dead: the same."""
        channel, self._channel = self._channel, None
        self.ready = False
        self.deaths += 1
        if channel is not None:
            loop = asyncio.get_running_loop()
            loop.remove_writer(channel.socket)
            channel.socket.close()
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(WorkerGone("the media worker has died"))
        self._on_death(self)
        self._wake()
        if self._process is not None:
            await asyncio.shield(asyncio.to_thread(_reap, self._process))

    def _receive(self, dead: asyncio.Event) -> None:
        assert self._channel is not None
        try:
            for message in self._channel.receive():
                match message:
                    case ["pairs", ports]:
                        self._pairs_asked = False
                        self._exhausted = len(ports) < PAIRS_AT_ONCE
                        self._free.extend(ports)
                        self._wake()
                    case ["reply", number, value]:
                        if number in self._replies and not self._replies[number].done():
                            self._replies[number].set_result(value)
                    case ["pong"]:
                        self._pings_unanswered = 0
                    case ["hello", port, fingerprint]:
                        self.webrtc_port, self.fingerprint = port, fingerprint
                        self.ready = True
                        self._wake()
                    case _:
                        self._on_event(self, message)
        except Closed:
            asyncio.get_running_loop().remove_reader(self._channel.socket)
            dead.set()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    def _flush(self) -> None:
        self._flushing = False
        if self._channel is None:
            return
        loop = asyncio.get_running_loop()
        try:
            if self._channel.flush():
                loop.remove_writer(self._channel.socket)
            else:
                loop.add_writer(self._channel.socket, self._flush)
        except Closed:
            loop.remove_writer(self._channel.socket)  # the reader notices too


def _spawn(control: socket.socket, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        (sys.executable, "-m", "cti.media.worker", str(control.fileno()), *arguments),
        pass_fds=(control.fileno(),),
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
    )


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(END_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
