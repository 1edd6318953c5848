"""Regions of a page pushed over a WebSocket whenever they change, from a feed that many may watch."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import WSMsgType, web

from webui.auth import from_ourselves, held_open
from webui.campaigns.feed import Feed, Watcher
from webui.page import fragment

PING_SECONDS = 20.0

Context = Callable[[Any], dict[str, Any]]


async def push(
    request: web.Request,
    feeds: dict[Any, Feed],
    key: Any,
    ask: Callable[[], Awaitable[Any]],
    context: Context,
    regions: Mapping[str, str],
) -> web.StreamResponse:
    """Until the page goes away. `ask` answers the picture of all who watch `key`; `context` makes of it what
    the templates of `regions` are drawn from for this reader."""
    if not from_ourselves(request):
        raise web.HTTPForbidden(text="this connection did not come from our own page\n")
    socket = web.WebSocketResponse(heartbeat=PING_SECONDS, max_msg_size=1024)
    await socket.prepare(request)
    feed = feeds.setdefault(key, Feed(ask))
    watcher = feed.join()
    with held_open(request, socket):
        sending = asyncio.create_task(send(request, socket, watcher, context, regions))
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    await answer(socket, frame.data)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await feed.leave(watcher)
            if not feed.watched and feeds.get(key) is feed:
                del feeds[key]
    return socket


async def send(
    request: web.Request,
    socket: web.WebSocketResponse,
    watcher: Watcher,
    context: Context,
    regions: Mapping[str, str],
) -> None:
    told: dict[str, str] = {}
    async for picture in watcher.pictures():
        values = context(picture)
        drawn = {name: fragment(request, template, **values) for name, template in regions.items()}
        changed = {name: html for name, html in drawn.items() if told.get(name) != html}
        told = drawn
        event = {"event": "CampaignChanged", "regions": changed}
        await socket.send_str(json.dumps(event, ensure_ascii=False))


async def answer(socket: web.WebSocketResponse, text: str) -> None:
    """The page asks now and then whether we are still there."""
    try:
        asked = json.loads(text)
    except ValueError:
        asked = None
    if isinstance(asked, dict) and asked.get("verb") == "Ping":
        await socket.send_str(json.dumps({"id": asked.get("id"), "ok": True}))
    else:
        await socket.close(code=1007, message=b"not a request")
