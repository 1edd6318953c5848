"""Who is asking: the session behind the cookie, what they may do, and that the request is their own wish.

A session is a cookie (HttpOnly, SameSite=Lax, Secure over TLS) whose token only the browser has. Whatever
changes something (POST, PUT, PATCH, DELETE) must come from our own pages: the browser's Sec-Fetch-Site or
Origin says so, and the form's hidden field `csrf` (or the header X-CSRF-Token) carries the session's second
secret.

    @routes.get("/queues")
    @require("administer")
    async def queues(request): ...          # request["user"] is the User, request["csrf"] the form's secret
"""

import hmac
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from urllib.parse import quote, urlsplit

from aiohttp import web

from config import Settings
from crm import sessions, users
from webui.page import DB, SETTINGS, SOCKETS, TOKEN, render

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOKIE = "ramal_session"
OPEN = ("/healthz", "/login", "/favicon.ico", "/sip")  # /sip logs in with SIP's own digest
LEADS = re.compile(r"/api/campaigns/[0-9]{1,9}/leads")  # all that a program may send
SESSION_OVER = 4401  # close code of a WebSocket whose session ended
CHANGING = ("POST", "PUT", "PATCH", "DELETE")
OURSELVES = ("same-origin", "none")  # "none" is the reader's own doing: typed, bookmarked


def require(right: str) -> Callable[[Handler], Handler]:
    """Let in only those who have the right; others see which one is missing and who grants it."""

    def guarded(handler: Handler) -> Handler:
        @wraps(handler)
        async def guard(request: web.Request) -> web.StreamResponse:
            if "user" not in request or users.can(request["user"], right):  # without a user: a token
                return await handler(request)
            return render(request, "denied.html", status=403, right=right)

        return guard

    return guarded


def reads_itself(handler: Handler) -> Handler:
    """The handler takes its form as a stream and proves with `same_secret` that the form is ours."""
    handler.reads_itself = True  # type: ignore[attr-defined]
    return handler


@web.middleware
async def logged_in(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find the session; without one only the open places answer, pages lead to the login."""
    token = request.cookies.get(COOKIE, "")
    found = await sessions.find(request.app[DB], token) if token else None
    if found is not None:
        request["user"], request["csrf"] = found
    if found is not None or request.path in OPEN or request.path.startswith("/static/") or program(request):
        return await handler(request)
    if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        raise web.HTTPSeeOther(f"/login?next={quote(request.path_qs, safe='')}")
    raise web.HTTPUnauthorized(text="log in first\n")


@web.middleware
async def own_wish(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a change that another site made this browser ask for."""
    if request.method in CHANGING:
        if not from_ourselves(request):
            raise web.HTTPForbidden(text="this request did not come from our own page\n")
        itself = getattr(request.match_info.handler, "reads_itself", False)
        if "user" in request and not itself and not await _carries_secret(request):
            raise web.HTTPForbidden(text="the form is out of date: reload the page and send it again\n")
    return await handler(request)


def from_ourselves(request: web.Request) -> bool:
    """Does the browser say that one of our own pages asked? What is no browser says nothing and passes."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None and site not in OURSELVES:
        return False
    return origin is None or urlsplit(origin).netloc == request.host


async def _carries_secret(request: web.Request) -> bool:
    sent = request.headers.get("X-CSRF-Token")
    if sent is None and request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        sent = str((await request.post()).get("csrf", ""))
    return same_secret(request, sent or "")


def same_secret(request: web.Request, sent: str) -> bool:
    return hmac.compare_digest(sent.encode(), request["csrf"].encode())


async def open_session(request: web.Request, user: users.User, response: web.Response) -> None:
    """Log the person in on this browser: a new session, its token only in the cookie."""
    hours = request.app[SETTINGS].session_hours
    token = await sessions.open(request.app[DB], user.id, hours)
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(hours * 3600),
        httponly=True,
        samesite="Lax",
        secure=request.secure,
        path="/",
    )


async def close_session(request: web.Request, response: web.Response) -> None:
    """Log out: the token is worth nothing from now on, and what is open with it is closed."""
    token = request.cookies.get(COOKIE, "")
    await sessions.close(request.app[DB], token)
    for socket in list(request.app[SOCKETS].get(token, ())):
        await socket.close(code=SESSION_OVER, message=b"logged out")
    response.del_cookie(COOKIE, path="/")


async def still_logged_in(request: web.Request) -> bool:
    """Is the session this request came with still good? Asked by connections that stay open."""
    return await sessions.find(request.app[DB], request.cookies.get(COOKIE, "")) is not None


@contextmanager
def held_open(request: web.Request, socket: web.WebSocketResponse) -> Iterator[None]:
    """While the block runs, logging out closes this socket."""
    mine = request.app[SOCKETS].setdefault(request.cookies.get(COOKIE, ""), set())
    mine.add(socket)
    try:
        yield
    finally:
        mine.discard(socket)
        if not mine:
            request.app[SOCKETS].pop(request.cookies.get(COOKIE, ""), None)


def token_of_programs(settings: Settings) -> str:
    """The token of data/api.token, made at the first start and readable by the owner only."""
    path = settings.data / "api.token"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()


def program(request: web.Request) -> bool:
    """Does a program ask with the token, for what programs may read, or send what they may send?"""
    kind, _, sent = request.headers.get("Authorization", "").partition(" ")
    readable = request.method == "GET" and (request.path == "/metrics" or request.path.startswith("/api/"))
    sendable = request.method == "POST" and LEADS.fullmatch(request.path) is not None
    ours = hmac.compare_digest(sent.encode(), request.app[TOKEN].encode())
    return (readable or sendable) and kind == "Bearer" and ours
