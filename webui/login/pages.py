"""Logging in and out."""

from aiohttp import web

from crm import users
from crm.refused import Refused
from webui import auth, i18n
from webui.page import DB, FLOOR, PERFORM, SETTINGS, home, render, said, words

routes = web.RouteTableDef()


@routes.get("/login")
async def form(request: web.Request) -> web.StreamResponse:
    if "user" in request:
        raise web.HTTPSeeOther(home(request["user"]))
    language = request.query.get("language", "")
    if language in i18n.LANGUAGES:
        back = web.HTTPSeeOther(request.rel_url.without_query_params("language").path_qs)
        back.set_cookie("ramal_language", language, max_age=31536000, samesite="Lax", path="/")
        raise back
    return render(request, "login/form.html", login="", refusal="", next=request.query.get("next", ""))


@routes.post("/login")
async def log_in(request: web.Request) -> web.StreamResponse:
    """Check the password; a refusal keeps the name typed and says nothing about which part was wrong."""
    _ = words(request)
    sent = await request.post()
    login, onward = str(sent.get("login", "")).strip(), str(sent.get("next", ""))
    try:
        settings = request.app[SETTINGS]
        user = await users.verify(
            request.app[DB],
            login,
            str(sent.get("password", "")),
            settings.login_failures_max,
            settings.login_lock_seconds,
        )
    except Refused as refused:
        return render(
            request, "login/form.html", status=429, login=login, refusal=said(request, refused), next=onward
        )
    if user is None:
        refusal = _("The name or the password is wrong.")
        return render(request, "login/form.html", status=401, login=login, refusal=refusal, next=onward)
    response = web.HTTPSeeOther(onward if _within(onward) else home(user))
    await auth.open_session(request, user, response)
    raise response


@routes.post("/logout")
async def log_out(request: web.Request) -> web.StreamResponse:
    """Leave the station too; with a call at the desk nothing happens but a word about it."""
    if "user" in request and users.can(request["user"], "take_calls"):
        desk = request.app[FLOOR].desk(request["user"])
        call = desk.snapshot()["call"]
        if call and call["state"] != "ended":
            raise web.HTTPSeeOther("/desk?kept=call")
        await request.app[PERFORM](desk.floor, desk, "Logout", {})
    response = web.HTTPSeeOther("/login")
    await auth.close_session(request, response)
    raise response


def _within(address: str) -> bool:
    """Is it an address of ours? Never lead somebody who just logged in to another site."""
    return (
        address.startswith("/") and not address.startswith(("//", "/\\")) and address not in ("/", "/logout")
    )
