"""Tells those who watch a campaign how it stands, whenever the floor moves: asked once, told to many.

The figures are asked for at most once a second, less often when they take long, and not at all while nobody
watches. A watcher is given the newest picture only, so a slow one never has more than one waiting.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from crm.db import AWAY

SECONDS_BETWEEN = 1.0
REST_PER_WORK = 4  # a question that took a second is followed by four of rest
SECONDS_STILL_MAX = 10.0  # leases end and callbacks fall due without the floor moving

log = logging.getLogger(__name__)


class Watcher:
    """One reader: an asynchronous iterator of the newest pictures."""

    def __init__(self) -> None:
        self._picture: Any = None
        self._ready = asyncio.Event()

    def put(self, picture: Any) -> None:
        self._picture = picture
        self._ready.set()

    async def pictures(self) -> AsyncIterator[Any]:
        while True:
            await self._ready.wait()
            self._ready.clear()
            yield self._picture


class Feed:
    """Of one campaign. `ask` answers its picture, or fails with the database."""

    def __init__(self, ask: Callable[[], Awaitable[Any]]) -> None:
        self._ask = ask
        self._watchers: set[Watcher] = set()
        self._moved = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def move(self) -> None:
        self._moved.set()

    def join(self) -> Watcher:
        watcher = Watcher()
        self._watchers.add(watcher)
        self._moved.set()
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return watcher

    async def leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        if not self._watchers:
            await self.close()

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None

    @property
    def watched(self) -> bool:
        return bool(self._watchers)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SECONDS_STILL_MAX):
                    await self._moved.wait()
            self._moved.clear()
            began = time.monotonic()
            try:
                picture = await self._ask()
            except AWAY as away:
                log.warning("a campaign's figures could not be asked for: %s", away)
            else:
                for watcher in self._watchers:
                    watcher.put(picture)
            await asyncio.sleep(max(SECONDS_BETWEEN, REST_PER_WORK * (time.monotonic() - began)))
