"""The supervisor's wall: drawn once, then moved by what the server pushes over /wall/live."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import WSMsgType, web

from crm import calls
from webui.auth import from_ourselves, require
from webui.i18n import LANGUAGES
from webui.page import DB, FLOOR, ZONE, language, render, words
from webui.wallboard.chart import chart
from webui.wallboard.feed import WallFeed
from webui.wallboard.thresholds import Thresholds, as_data

log = logging.getLogger(__name__)

FEEDS = web.AppKey("wall_feeds", Mapping[str, WallFeed])
PING_SECONDS = 20.0
GROUPS = ("busy", "reserved", "wrap_up", "ready", "not_ready", "logged_off")
BLANK = {
    "queue": dict.fromkeys(
        ("name", "label", "waiting", "offered", "answered", "abandoned", "longest_since"), ""
    )
    | {"agents": dict.fromkeys(GROUPS, ""), "service_level_percent": None, "expected_wait_seconds": None},
    "agent": dict.fromkeys(("id", "name", "extension", "since", "reason_label"), "")
    | {"state": "logged_off", "call": None},
    "waiting": dict.fromkeys(("display", "queue", "since"), ""),
}
"""What the page copies for a row that appears later."""

routes = web.RouteTableDef()


async def alongside(app: web.Application) -> AsyncIterator[None]:
    """Keep the wall's feeds running, one a language, for as long as the application does."""
    db = app[DB]

    async def ask_chart() -> dict[str, Any]:
        now = datetime.now(UTC)
        today = now.astimezone(ZONE).date()
        return chart(
            await calls.by_quarter_hour(db, today),
            await calls.by_quarter_hour(db, today - timedelta(days=7)),
            now,
            ZONE,
        )

    app[FEEDS] = {language: WallFeed(app[FLOOR], language, ask_chart) for language in LANGUAGES}
    running = asyncio.gather(*(feed.run() for feed in app[FEEDS].values()))
    running.add_done_callback(ended)
    yield
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def ended(running: asyncio.Future) -> None:
    """A feed that ends by itself is a bug: the walls stand still, and the log says why."""
    error = None if running.cancelled() else running.exception()
    if error is not None and not isinstance(error, asyncio.CancelledError):  # gather's, when we stop
        log.error("the wall's feed broke", exc_info=error)


@routes.get("/wallboard")
@require("watch_wall")
async def wallboard(request: web.Request) -> web.Response:
    now = datetime.now(ZONE)
    return render(
        request,
        "wallboard/wallboard.html",
        wall=request.app[FLOOR].wall(language(request)),
        states=state_words(request),
        groups=GROUPS,
        blank=BLANK,
        said=json.dumps(page_words(request), ensure_ascii=False),
        thresholds=json.dumps(as_data(Thresholds())),
        today=now.date(),
        last_week=now.date() - timedelta(days=7),
    )


@routes.get("/wall/live")
@require("watch_wall")
async def live(request: web.Request) -> web.StreamResponse:
    if not from_ourselves(request):
        raise web.HTTPForbidden(text="this connection did not come from our own page\n")
    socket = web.WebSocketResponse(heartbeat=PING_SECONDS, max_msg_size=1024)
    await socket.prepare(request)
    feed = request.app[FEEDS][language(request)]
    watcher = feed.join()
    sending = asyncio.create_task(send(socket, watcher))
    try:
        async for message in socket:
            if message.type is WSMsgType.ERROR:
                break
    finally:
        feed.leave(watcher)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return socket


async def send(socket: web.WebSocketResponse, watcher: Any) -> None:
    async for text in watcher.texts():
        await socket.send_str(text)
    await socket.close()


def state_words(request: web.Request) -> dict[str, str]:
    _ = words(request)
    return {
        "busy": _("On a call"),
        "reserved": _("Ringing"),
        "wrap_up": _("Wrap-up"),
        "ready": _("Available"),
        "not_ready": _("Pause"),
        "logged_off": _("Logged off"),
    }


def page_words(request: web.Request) -> dict[str, Any]:
    """The words the page itself composes sentences from; %s stands for a number or a time."""
    _ = words(request)
    return {
        "states": state_words(request),
        "directions": {"inbound": _("Received"), "outbound": _("Made"), "internal": _("Internal")},
        "since": _("since %s"),
        "within": _("within %s"),
        "lost": _("No connection for %s. The numbers stand still; trying again."),
        "nobody": _("Somebody waits and nobody is there to answer"),
        "too_long": _("Longest wait above %s"),
        "too_low": _("Service level below %s"),
        "abandoned": _("More than %s abandoned"),
        "hour": _("Time"),
        "offered": _("Offered"),
        "answered": _("Answered"),
        "abandoned_line": _("Abandoned"),
        "sums": _("up to this time: %1 offered, %2 answered, %3 abandoned"),
    }
