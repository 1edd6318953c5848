"""One's own language, colours and password."""

from aiohttp import web

from crm import users
from crm.refused import Refused
from webui import i18n
from webui.auth import open_session
from webui.effect import take_effect
from webui.page import DB, render, said, words
from webui.users import seat

routes = web.RouteTableDef()
YEAR = 31536000  # seconds


@routes.get("/profile")
async def profile(request: web.Request) -> web.Response:
    saved = request.query.get("saved", "")
    return render(request, "profile/form.html", errors={}, saved=saved, telephone=True)


@routes.post("/profile/language")
async def choose_language(request: web.Request) -> web.StreamResponse:
    sent = await request.post()
    language = str(sent.get("language", ""))
    if language not in i18n.LANGUAGES:
        raise web.HTTPUnprocessableEntity(text="unknown language\n")
    await users.set_language(request.app[DB], request["user"], language)
    await take_effect(request)
    response = web.HTTPSeeOther(_back(str(sent.get("back", ""))))
    response.set_cookie("ramal_language", language, max_age=YEAR, samesite="Lax", path="/")
    raise response


@routes.post("/profile/theme")
async def choose_theme(request: web.Request) -> web.StreamResponse:
    sent = await request.post()
    response = web.HTTPSeeOther(_back(str(sent.get("back", ""))))
    theme = str(sent.get("theme", "auto"))
    response.set_cookie("ramal_theme", theme, max_age=YEAR, httponly=True, samesite="Lax", path="/")
    raise response


@routes.post("/profile/password")
async def change_password(request: web.Request) -> web.StreamResponse:
    """A new password, given the present one, for the telephone too when ticked; errors beside the field."""
    _ = words(request)
    db, user = request.app[DB], request["user"]
    sent = await request.post()
    telephone = "telephone" in sent
    present, new, again = (str(sent.get(name, "")) for name in ("present", "new", "again"))
    errors: dict[str, str] = {}
    if new != again:
        errors["again"] = _("The two are not the same.")
    elif new == present:
        errors["new"] = _("This is the password you have already.")
    else:
        try:
            if await users.verify(db, user.login, present) is None:
                errors["present"] = _("This is not your present password.")
            else:
                await seat.set_password(db, user, user, new, telephone)
        except Refused as refused:
            errors["new"] = said(request, refused)
    if errors:
        return render(request, "profile/form.html", status=422, errors=errors, saved="", telephone=telephone)
    await take_effect(request)
    response = web.HTTPSeeOther("/profile?saved=password")
    await open_session(request, user, response)  # the change ended every session, this one too
    raise response


def _back(address: str) -> str:
    return address if address.startswith("/") and not address.startswith(("//", "/\\")) else "/profile"
