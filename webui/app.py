"""The web application: everything the browser asks for, on what the server already built.

How a noun's pages plug in: a folder `webui/<noun>/` holds `__init__.py`, `pages.py` and its templates.
`pages.py` has `routes = web.RouteTableDef()`; NOUNS below names the folder. What a noun keeps
running is `alongside(app)`, an async generator as for `cleanup_ctx`. A handler reads:

    @routes.get("/queues")
    @require("administer")  # webui/auth.py; the right of crm.users.can
    async def queues(request: web.Request) -> web.Response:
        db = request.app[DB]  # keys: webui/page.py
        return render(request, "queues/list.html", queues=await crm.queues.all(db))

A template extends "layout.html" (blocks: title, actions, content; styles, scripts for its own files), draws
with the macros of "parts.html" and says words with `_("...")`. A form posts to its own address with
{{ parts.csrf_field(csrf) }} inside; a script sends the header X-CSRF-Token from <meta name="csrf">. Refusals:
catch `Refused`, render again with `said(request, refused)` and status 422. Python code says a word to the
reader through `_ = words(request)`. Filters: moment, clock, day, since (times), duration (seconds), phone.

What administrators keep (a list, a form, a removal) has its routes from webui/kept.py. A page that moves by
itself: see webui/live.py.
"""

import importlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from config import Settings
from webui import auth, i18n, page
from webui.auth import Handler
from webui.calls import RESULTS
from webui.campaigns.said import SITUATIONS
from webui.metrics import FIGURES, figures

log = logging.getLogger(__name__)

NOUNS = (
    "api",
    "login",
    "profile",
    "desk",
    "wallboard",
    "tabulations",
    "exports",
    "recordings",
    "contacts",
    "campaigns",
    "dialing",
    "work",
    "imports",
    "blocklist",
    "filters",
    "scripts",
    "tickets",
    "custom_fields",
    "reports",
    "custom_reports",
    "queues",
    "trunks",
    "routes",
    "layouts",
    "users",
    "groups",
    "pauses",
    "audit",
)
FORM_BYTES_MAX = 1 << 20
SIP_PING_SECONDS = 25.0  # keeps a softphone's way open, and finds out when it is gone
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; media-src 'self' blob:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), payment=(), usb=()",
}


def build(
    settings: Settings,
    db: Any,
    floor: Any,
    sip_transport: Any,
    history: Any,
    *,
    drives: Any = None,
    perform: Callable[..., Awaitable[dict]] | None = None,
) -> web.Application:
    """The application, ready for a runner.

    `perform` carries out a desk's verbs: cti.commands.perform unless given.
    """
    app = web.Application(
        middlewares=[explained, auth.logged_in, auth.own_wish], client_max_size=FORM_BYTES_MAX
    )
    app[page.SETTINGS], app[page.DB], app[page.FLOOR] = settings, db, floor
    app[page.HISTORY], app[page.SIP], app[page.DRIVES] = history, sip_transport, drives
    app[page.PERFORM] = perform or importlib.import_module("cti.commands").perform
    app[FIGURES] = figures(floor, history)
    app[page.SOCKETS], app[page.TOKEN] = {}, auth.token_of_programs(settings)
    app[page.WORDS] = i18n.catalogues()
    app[page.TEMPLATES] = {
        language: page.environment(language, words) for language, words in app[page.WORDS].items()
    }
    for templates in app[page.TEMPLATES].values():  # words of other pages that timelines are told in
        templates.globals.update(call_results=RESULTS, situations=SITUATIONS)
    app.on_response_prepare.append(_secure)
    app.on_shutdown.append(_close_sockets)
    app.router.add_get("/", home)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/favicon.ico", favicon)
    app.router.add_get("/sip", sip)
    app.router.add_static("/static/", page.HERE / "static")
    for noun in NOUNS:
        if (page.HERE / noun / "pages.py").exists():
            pages = importlib.import_module(f"webui.{noun}.pages")
            app.router.add_routes(pages.routes)
            if hasattr(pages, "alongside"):
                app.cleanup_ctx.append(pages.alongside)
    return app


async def home(request: web.Request) -> web.Response:
    raise web.HTTPSeeOther(page.home(request["user"]))


async def healthz(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def metrics(request: web.Request) -> web.Response:
    """Figures for Prometheus, to those logged in or with a token."""
    return web.Response(
        body=generate_latest(request.app[FIGURES]), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


async def favicon(request: web.Request) -> web.Response:
    raise web.HTTPMovedPermanently("/static/ramal.svg")


async def sip(request: web.Request) -> web.StreamResponse:
    """A softphone's SIP over WebSocket (RFC 7118); its login is SIP's own digest."""
    socket = web.WebSocketResponse(
        protocols=("sip",),
        max_msg_size=request.app[page.SETTINGS].frame_bytes_max,
        heartbeat=SIP_PING_SECONDS,
    )
    if "sip" not in request.headers.get("Sec-WebSocket-Protocol", "").replace(" ", "").split(","):
        raise web.HTTPBadRequest(text="the WebSocket subprotocol here is sip\n")
    await socket.prepare(request)
    transport = request.transport
    assert transport is not None  # it has just been written to
    host, port = (transport.get_extra_info("peername") or ("", 0))[:2]
    await request.app[page.SIP].serve_websocket(socket, (host, port), request.secure, transport.abort)
    return socket


@web.middleware
async def explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The border of the pages: every failure becomes a page that says what happened and what to do."""
    try:
        return await handler(request)
    except web.HTTPException as failure:
        if failure.status < 400 or "text/html" not in request.headers.get("Accept", ""):
            raise
        return page.render(request, "failed.html", status=failure.status, kind=str(failure.status), mark="")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        log.exception("records unreachable for %s %s", request.method, request.path)
        return page.render(request, "failed.html", status=503, kind="503", mark="")
    except Exception:
        mark = secrets.token_hex(4)
        log.exception("failure %s at %s %s", mark, request.method, request.path)
        return page.render(request, "failed.html", status=500, kind="500", mark=mark)


async def _close_sockets(app: web.Application) -> None:
    """The server goes away; pages try again until it is back."""
    for sockets in list(app[page.SOCKETS].values()):
        for socket in list(sockets):
            await socket.close(code=1001, message=b"the server stops")


async def _secure(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.path.startswith("/static/"):
        keep = "public, max-age=31536000, immutable" if "v" in request.query else "no-cache"
        response.headers.setdefault("Cache-Control", keep)
    else:
        response.headers.setdefault("Cache-Control", "no-store")
