"""Counts that take a while, for a page that has been drawn without them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import web

LOOK_SECONDS = 0.5  # between two looks at whether anybody still waits

Answer = TypeVar("Answer")


async def while_there(request: web.Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """What the work answers; it ends when the reader has gone, or has asked for something else instead."""
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=LOOK_SECONDS)
            if request.transport is None or request.transport.is_closing():
                raise web.HTTPRequestTimeout(text="nobody waits for it any more\n")
        return task.result()
    finally:
        task.cancel()
