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
from collections.abc import Awaitable, Callable
from functools import wraps
from urllib.parse import quote, urlsplit

from aiohttp import web

from crm import sessions, users
from webui.page import DB, SETTINGS, render

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOKIE = "ramal_session"
OPEN = ("/healthz", "/login", "/favicon.ico", "/sip")  # /sip logs in with SIP's own digest
CHANGING = ("POST", "PUT", "PATCH", "DELETE")
OURSELVES = ("same-origin", "none")  # "none" is the reader's own doing: typed, bookmarked


def require(right: str) -> Callable[[Handler], Handler]:
    """Let in only those who have the right; others see which one is missing and who grants it."""

    def guarded(handler: Handler) -> Handler:
        @wraps(handler)
        async def guard(request: web.Request) -> web.StreamResponse:
            if users.can(request["user"], right):
                return await handler(request)
            return render(request, "denied.html", status=403, right=right)

        return guard

    return guarded


@web.middleware
async def logged_in(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find the session; without one only the open places answer, pages lead to the login."""
    token = request.cookies.get(COOKIE, "")
    found = await sessions.find(request.app[DB], token) if token else None
    if found is not None:
        request["user"], request["csrf"] = found
    if found is not None or request.path in OPEN or request.path.startswith("/static/"):
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
        if "user" in request and not await _carries_secret(request):
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
    return hmac.compare_digest((sent or "").encode(), request["csrf"].encode())


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
    await sessions.close(request.app[DB], request.cookies.get(COOKIE, ""))
    response.del_cookie(COOKIE, path="/")
