"""The worker's loop: sockets that are ready, a tick each 20 ms, and calls from the writer thread.

Plain epoll: a worker waits for nothing else, and this costs a tenth less per packet than an event loop made
for everything (bench.media measures it).
"""

import logging
import os
import select
import time
from collections import deque
from collections.abc import Callable

TICK_SECONDS = 0.02
TICKS_MADE_UP_MAX = 10  # after a longer stop the missed ticks are left out
TROUBLE_SECONDS = 1.0

Reader = Callable[[float], None]

log = logging.getLogger(__name__)


class Loop:
    def __init__(self, tick: Callable[[float], None]) -> None:
        self._tick = tick
        self._epoll = select.epoll()
        self._readers: dict[int, Reader] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        self._calls: deque[Callable[[], None]] = deque()
        self._soon: dict[Callable[[], None], None] = {}
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.running = True
        self._trouble_at = float("-inf")
        self.add(self._wake, self._called)

    def add(self, fd: int, reader: Reader) -> None:
        """Call reader(now) each time the descriptor can be read. Again for the same one: replace it."""
        if fd not in self._readers:
            self._epoll.register(fd, select.EPOLLIN)
        self._readers[fd] = reader

    def remove(self, fd: int) -> None:
        if self._readers.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            self._writers.pop(fd, None)

    def when_writable(self, fd: int, writer: Callable[[], None] | None) -> None:
        """Call writer() while a descriptor that is also read can be written; None: no more."""
        if writer is None:
            self._writers.pop(fd, None)
        else:
            self._writers[fd] = writer
        self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if writer else 0))

    def call(self, function: Callable[[], None]) -> None:
        """Call it in the loop's thread. From any thread."""
        self._calls.append(function)
        os.eventfd_write(self._wake, 1)

    def soon(self, function: Callable[[], None]) -> None:
        """Call it once after the sockets that are ready now. From the loop's thread."""
        self._soon[function] = None

    def run(self) -> None:
        poll, readers, clock = self._epoll.poll, self._readers, time.monotonic
        next_tick = clock()
        while self.running:
            for fd, events in poll(max(0.0, next_tick - clock()), 256):
                try:
                    if events & select.EPOLLOUT and fd in self._writers:
                        self._writers[fd]()
                    if events & ~select.EPOLLOUT:
                        reader = readers.get(fd)  # closed by an earlier one of this round: gone
                        if reader is not None:
                            reader(clock())
                except Exception:  # one leg's trouble is not the others'
                    self._trouble(f"reading descriptor {fd}")
            if self._soon:
                self._run_soon()
            now = clock()
            if now >= next_tick:
                if now - next_tick > TICKS_MADE_UP_MAX * TICK_SECONDS:
                    next_tick = now
                next_tick += TICK_SECONDS
                try:
                    self._tick(now)
                except Exception:
                    self._trouble("in the tick")

    def _trouble(self, where: str) -> None:
        """Log the exception, unless one was logged just now: it may come with each packet."""
        now = time.monotonic()
        if now - self._trouble_at > TROUBLE_SECONDS:
            self._trouble_at = now
            log.exception(where)

    def _run_soon(self) -> None:
        soon, self._soon = self._soon, {}
        for function in soon:
            function()

    def _called(self, _now: float) -> None:
        os.eventfd_read(self._wake)
        while self._calls:
            self._calls.popleft()()
