"""Pushes the wall to everybody who watches it: one picture taken, one text made, many readers.

The floor may change a thousand times a second; a watcher is told at most four times. Each watcher has a short
queue, and one who reads too slowly loses what is queued and is sent the whole picture again.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from crm.db import AWAY
from webui.wallboard.difference import Wall, difference

SECONDS_BETWEEN_UPDATES = 0.25
SECONDS_BETWEEN_CHARTS = 60.0
SECONDS_SILENT_MAX = 5.0
BEAT = '{"kind": "beat"}'
MESSAGES_QUEUED_MAX = 8
"""Messages kept for one slow watcher (two seconds of changes) before they become one whole picture."""

log = logging.getLogger(__name__)


class Floor(Protocol):
    """The two things of the floor that the wall needs."""

    def wall(self, language: str) -> dict[str, Any]: ...

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]: ...


class Watcher:
    """One reader of the wall: an asynchronous iterator of JSON texts that never grows beyond its bound."""

    def __init__(self, whole: Callable[[], list[str]]) -> None:
        self._whole = whole
        self._texts: list[str] = []
        self._ready = asyncio.Event()
        self._closed = False
        self.dropped = 0

    def put(self, text: str) -> None:
        if len(self._texts) < MESSAGES_QUEUED_MAX:
            self._texts.append(text)
        else:
            self.dropped += len(self._texts)
            self._texts = self._whole()
        self._ready.set()

    def close(self) -> None:
        self._closed = True
        self._ready.set()

    async def texts(self, seconds_silent_max: float = SECONDS_SILENT_MAX) -> AsyncIterator[str]:
        """Each text as it comes; BEAT when none came for a while: the page knows that the line is alive."""
        while not self._closed:
            try:
                async with asyncio.timeout(seconds_silent_max):
                    await self._ready.wait()
            except TimeoutError:
                yield BEAT
            self._ready.clear()
            while self._texts:
                yield self._texts.pop(0)


class WallFeed:
    """The wall as a stream in one language. `chart` answers the day's figures, or fails with the database."""

    def __init__(self, floor: Floor, language: str, chart: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._floor = floor
        self._language = language
        self._ask_chart = chart
        self._watchers: set[Watcher] = set()
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._wall: Wall = floor.wall(language)
        self._chart: str | None = None

    def join(self) -> Watcher:
        """A new watcher, whose first texts are the whole picture and the chart."""
        watcher = Watcher(self._whole)
        if not self._watchers:
            self._wall = self._floor.wall(self._language)
        for text in self._whole():
            watcher.put(text)
        self._watchers.add(watcher)
        self._wanted.set()
        return watcher

    def leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        watcher.close()
        if not self._watchers:
            self._wanted.clear()

    async def run(self) -> None:
        """Runs until cancelled; while nobody watches it only waits."""
        unwatch = self._floor.watch(self._changed.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._push_changes())
                tasks.create_task(self._push_charts())
        finally:
            unwatch()
            for watcher in list(self._watchers):
                self.leave(watcher)

    async def _push_changes(self) -> None:
        while True:
            await self._wanted.wait()
            await self._changed.wait()
            self._changed.clear()
            self._push_difference()
            await asyncio.sleep(SECONDS_BETWEEN_UPDATES)

    async def _push_charts(self) -> None:
        while True:
            await self._wanted.wait()
            self._chart = await self._draw_chart()
            self._tell(self._chart)
            await asyncio.sleep(SECONDS_BETWEEN_CHARTS)

    def _push_difference(self) -> None:
        after = self._floor.wall(self._language)
        change = difference(self._wall, after)
        self._wall = after
        if change is not None:
            self._tell(json.dumps(change, ensure_ascii=False))

    async def _draw_chart(self) -> str:
        try:
            return json.dumps({"kind": "chart", **await self._ask_chart()}, ensure_ascii=False)
        except AWAY as away:
            log.warning(
                "the wall's chart could not be drawn: %s", away
            )  # the page keeps the last one and says so
            return json.dumps({"kind": "chart_away"})

    def _tell(self, text: str) -> None:
        for watcher in self._watchers:
            watcher.put(text)

    def _whole(self) -> list[str]:
        picture = json.dumps({"kind": "wall", **self._wall}, ensure_ascii=False)
        return [picture] if self._chart is None else [picture, self._chart]
