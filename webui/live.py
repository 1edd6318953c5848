"""The desk's WebSocket: CTI requests, answers and events as JSON, with the regions of the page that changed.

Requests and answers are those of docs/cti-protocol.md. The first is `Attach {stream?, last_event?}`, answered
with {stream, seq, replayed, snapshot, regions}; missed events follow. An event may carry "regions":
{name: html}; the page only places them. `static/js/live.js` connects, reconnects and shows the banner, for
this page and for others that move by themselves on a WebSocket of their own.
"""

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

from aiohttp import WSMsgType, web

from crm import users
from crm.entry import MESSAGES
from crm.refused import Refused
from webui.auth import SESSION_OVER, from_ourselves, held_open, still_logged_in
from webui.page import FLOOR, PERFORM, SETTINGS, fragment, said, words

log = logging.getLogger(__name__)

REGIONS = ("status", "call", "customer", "form", "save", "dial", "directory", "pending", "figures")
# Each page that is a screen of the desk: its regions with their templates. Attach says which page it is.
PAGES: dict[str, dict[str, str]] = {
    "desk": {name: f"desk/{name}.html" for name in REGIONS}
    | {"customer": "desk/person.html", "save": "desk/saving.html"}
}
QUIET = {"QueuesChanged": "queues", "DirectoryChanged": "directory"}  # these carry all they change
QUIET_REGIONS = {"queues": ("status",), "directory": ("directory",)}
QUIET_SECONDS = 0.5  # what only moves numbers is gathered this long
REQUESTS_MAX = 32  # of one page at once
PING_SECONDS = 20.0
SESSION_SECONDS = 30.0  # how often an open page's session is looked at

routes = web.RouteTableDef()


@routes.get("/live")
async def live(request: web.Request) -> web.StreamResponse:
    if not from_ourselves(request):
        raise web.HTTPForbidden(text="this connection did not come from our own page\n")
    if not users.can(request["user"], "take_calls"):
        raise web.HTTPForbidden(text="this user does not take calls\n")
    settings = request.app[SETTINGS]
    socket = web.WebSocketResponse(heartbeat=PING_SECONDS, max_msg_size=settings.frame_bytes_max)
    await socket.prepare(request)
    page = Page(request, socket, settings.toolbar_outbox_max)
    with held_open(request, socket):
        try:
            await page.serve()
        finally:
            page.desk.detach(page)
    return socket


class Page:
    """One open desk page: a screen of its desk."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, outbox_max: int) -> None:
        self.desk = request.app[FLOOR].desk(request["user"])
        self._request = request
        self._socket = socket
        self._outbox_max = outbox_max
        self._events: deque[dict[str, Any]] = deque()
        self._moved = asyncio.Event()
        self._urgent = asyncio.Event()
        self._attached = asyncio.Event()
        self._templates = PAGES["desk"]
        self._sent: dict[str, str] = {}
        self._looked = asyncio.get_running_loop().time()
        self._running: set[asyncio.Task[None]] = set()

    def event(self, message: dict[str, Any]) -> None:
        """The desk shows something; a page too slow to take it is dropped and will come back."""
        if len(self._events) >= self._outbox_max:
            self._events.clear()
            self._spawn(self._socket.close(code=1013, message=b"too slow"))
        else:
            self._events.append(message)
            self._moved.set()
            if message["event"] not in QUIET:
                self._urgent.set()

    async def serve(self) -> None:
        sender = asyncio.create_task(self._send_events())
        try:
            async for frame in self._socket:
                if frame.type is WSMsgType.TEXT:
                    await self._take(frame.data)
        finally:
            sender.cancel()
            for task in self._running:
                task.cancel()
            await asyncio.gather(sender, *self._running, return_exceptions=True)

    async def _take(self, text: str) -> None:
        try:
            asked = json.loads(text)
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or not isinstance(asked.get("verb"), str):
            await self._socket.close(code=1007, message=b"not a request")
        elif len(self._running) >= REQUESTS_MAX:
            await self._answer(
                asked.get("id"), self._error(Refused("Too many requests at once.", code="busy"))
            )
        else:
            # Each in its own task: a question to a slow database must not hold up a hang-up.
            self._spawn(self._handle(asked))

    def dismiss(self) -> None:
        """The user may no longer be logged in."""
        self._spawn(self._socket.close(code=SESSION_OVER, message=b"dismissed"))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _handle(self, asked: dict[str, Any]) -> None:
        verb = asked["verb"]
        arguments = {key: value for key, value in asked.items() if key not in ("id", "verb")}
        try:
            if verb == "Attach":
                self._attached.clear()  # events wait until the answer is out
                answer = self._attach(arguments)
            elif verb == "Ping":
                answer = {"ok": True}
                await self._look_at_session()
            else:
                perform = self._request.app[PERFORM]
                answer = {"ok": True, **await perform(self.desk.floor, self.desk, verb, arguments)}
        except Refused as refused:
            answer = self._error(refused)
        except Exception:
            log.exception("%s: %s failed", self.desk.user.login, verb)
            answer = self._error(
                Refused("This did not work. Nothing was changed; try again.", code="internal")
            )
        await self._answer(asked.get("id"), answer)
        if verb == "Attach":
            self._attached.set()

    async def _look_at_session(self) -> None:
        """Somebody whose password was changed or who was locked out keeps no open page."""
        now = asyncio.get_running_loop().time()
        if now - self._looked > SESSION_SECONDS:
            self._looked = now
            if not await still_logged_in(self._request):
                await self._socket.close(code=SESSION_OVER, message=b"the session is over")

    async def _answer(self, number: Any, answer: dict[str, Any]) -> None:
        if not self._socket.closed:
            await self._socket.send_str(json.dumps({"id": number, **answer}, ensure_ascii=False))

    def _error(self, refused: Refused) -> dict[str, Any]:
        details = dict(refused.details)
        if isinstance(details.get("errors"), Mapping):
            details["errors"] = field_errors(self._request, details["errors"])
        message = said(self._request, refused)
        return {"ok": False, "error": {"code": refused.code, "message": message, "details": details}}

    def _attach(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Join the desk's stream again: the whole page as it is now, then what was missed."""
        after, stream = arguments.get("last_event"), arguments.get("stream")
        self._templates = PAGES.get(str(arguments.get("page")), PAGES["desk"])
        self.desk.detach(self)
        self._events.clear()
        attachment = self.desk.attach(self, after if isinstance(after, int) else None, stream)
        snapshot = self.desk.snapshot()
        self._sent.clear()
        return {
            "ok": True,
            "stream": snapshot["stream"],
            "seq": snapshot["seq"],
            "replayed": attachment.replayed,
            "snapshot": snapshot,
            "regions": self._changed(snapshot, set(self._templates)),
        }

    async def _send_events(self) -> None:
        while True:
            await self._moved.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIET_SECONDS):
                    await self._urgent.wait()
            await self._attached.wait()
            self._moved.clear()
            self._urgent.clear()
            events, self._events = list(self._events), deque()
            if events:
                *before, last = events
                for message in before:
                    await self._socket.send_str(json.dumps(message, ensure_ascii=False))
                regions = self._after(events)
                await self._socket.send_str(json.dumps({**last, "regions": regions}, ensure_ascii=False))

    def _after(self, events: list[dict[str, Any]]) -> dict[str, str]:
        """The regions these events changed."""
        if all(message["event"] in QUIET for message in events):
            names = {name for message in events for name in QUIET_REGIONS[QUIET[message["event"]]]}
        else:
            names = set(self._templates)
        return self._changed(self.desk.snapshot(), names)

    def _changed(self, snapshot: dict[str, Any], names: set[str]) -> dict[str, str]:
        changed = {}
        for name, template in self._templates.items():
            if name not in names:
                continue
            html = fragment(self._request, template, desk=snapshot)
            if self._sent.get(name) != html:
                self._sent[name] = changed[name] = html
        return changed


def field_errors(request: web.Request, errors: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with each answer, as a sentence in the reader's language."""
    _ = words(request)
    return {key: _(MESSAGES.get(wrong, wrong)) for key, wrong in errors.items()}
