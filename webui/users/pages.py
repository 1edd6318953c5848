"""Users: who may log in, in which role, group and extension, with which rights."""

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from crm import users
from crm.centre import Centre
from crm.refused import Refused
from crm.users import Role, User
from webui.address import Address
from webui.auth import require
from webui.effect import take_effect
from webui.page import DB, FLOOR, ROLES, render, words
from webui.sent import errors, typed
from webui.users import seat
from webui.users.once import Once

ONCE = web.AppKey("once", Once)
LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # none that is mistaken for another when read aloud
PASSWORD_LETTERS = 14

routes = web.RouteTableDef()


async def alongside(app: web.Application) -> AsyncIterator[None]:
    app[ONCE] = Once()
    yield


@routes.get("/users")
@require("administer")
async def people(request: web.Request) -> web.Response:
    address = Address("/users", request.query)
    centre = request.app[FLOOR].centre
    everybody = sorted(await users.all(request.app[DB]), key=lambda user: not user.active)
    return render(
        request,
        "users/list.html",
        address=address,
        people=[user for user in everybody if matches(user, address)],
        everybody=len(everybody),
        groups=group_choices(centre),
        roles_said=role_choices(request),
    )


@routes.get("/users/new")
@require("administer")
async def new(request: web.Request) -> web.Response:
    return form(request, None, {"role": Role.AGENT, "active": "1", "language": "pt_BR"})


@routes.post("/users/new")
@require("administer")
async def create(request: web.Request) -> web.Response:
    db, by, sent = request.app[DB], request["user"], await request.post()
    password = make_password()
    try:
        made = await users.create(db, by, password=password, **facts(sent))
    except Refused as refused:
        return form(request, None, typed(sent), errors(request, refused))
    await take_effect(request)
    return await sit_down(request, made, sent, password, f"?new={show_once(request, password)}")


@routes.get("/users/{id:[0-9]{1,9}}")
@require("administer")
async def one(request: web.Request) -> web.Response:
    user = await find(request)
    return form(request, user, values_of(user))


@routes.post("/users/{id:[0-9]{1,9}}")
@require("administer")
async def update(request: web.Request) -> web.Response:
    db, by, sent = request.app[DB], request["user"], await request.post()
    user = await find(request)
    try:
        changed = await users.update(db, by, user.id, **facts(sent))
    except Refused as refused:
        return form(request, user, typed(sent), errors(request, refused))
    await take_effect(request)
    return await sit_down(request, changed, sent, make_password(), "?saved=1")


async def sit_down(
    request: web.Request, user: User, sent: MultiMapping[Any], password: str, then: str
) -> web.Response:
    """Give the person the extension that was typed; the rest is saved already."""
    number, address = str(sent.get("extension", "")).strip(), f"/users/{user.id}{then}"
    if number == (user.extension or ""):
        raise web.HTTPSeeOther(address)
    try:
        await seat.seat(request.app[DB], request["user"], user, number, password)
    except Refused as refused:
        return form(request, user, typed(sent), errors(request, refused))
    await take_effect(request)
    if number and "new=" not in then:
        address = f"/users/{user.id}?phone=1&new={show_once(request, password)}"
    raise web.HTTPSeeOther(address)


@routes.post("/users/{id:[0-9]{1,9}}/password")
@require("administer")
async def set_password(request: web.Request) -> web.Response:
    """A new password, made here, shown once: for the login, and the telephone when the box is ticked."""
    user, sent, password = await find(request), await request.post(), make_password()
    try:
        await seat.set_password(request.app[DB], request["user"], user, password, "telephone" in sent)
    except Refused as refused:
        return form(request, user, values_of(user), errors(request, refused))
    await take_effect(request)
    only = "login=1&" if user.extension and "telephone" not in sent else ""
    raise web.HTTPSeeOther(f"/users/{user.id}?{only}new={show_once(request, password)}")


def form(
    request: web.Request, user: User | None, values: Mapping[str, str], wrong: Mapping[str, str] | None = None
) -> web.Response:
    """The form about one person; with what was refused when something was."""
    return render(
        request,
        "users/form.html",
        status=422 if wrong else 200,
        person=user,
        values=values,
        errors=wrong or {},
        groups=group_choices(request.app[FLOOR].centre),
        roles_said=role_choices(request),
        password=request.app[ONCE].take(request.query.get("new", ""), request["user"].id, time.monotonic()),
        phone_only="phone" in request.query,
        login_only="login" in request.query,
        saved="saved" in request.query,
    )


def facts(sent: MultiMapping[Any]) -> dict[str, Any]:
    """About a person, as crm.users takes them and checks them; a box not ticked is not sent."""
    boxes = ("may_dial_external", "may_hear_recordings", "active")
    given = ("login", "name", "role", "group_id", "language")
    return {name: sent.get(name, "") for name in given} | {name: name in sent for name in boxes}


def values_of(user: User) -> dict[str, str]:
    return {
        "login": user.login,
        "name": user.name,
        "role": user.role,
        "group_id": str(user.group_id or ""),
        "language": user.language,
        "extension": user.extension or "",
        "may_dial_external": "1" if user.may_dial_external else "",
        "may_hear_recordings": "1" if user.may_hear_recordings else "",
        "active": "1" if user.active else "",
    }


def matches(user: User, address: Address) -> bool:
    """Whether a person is among those the filters ask for."""
    text = address.text("text").casefold()
    return (
        (not text or any(text in part.casefold() for part in (user.name, user.login, user.extension or "")))
        and address.text("role") in ("", user.role)
        and address.text("group") in ("", str(user.group_id or ""))
    )


def group_choices(centre: Centre) -> list[tuple[str, str]]:
    return sorted(((str(g.id), g.name) for g in centre.groups.values()), key=lambda pair: pair[1].casefold())


async def find(request: web.Request) -> User:
    user = await users.by_id(request.app[DB], int(request.match_info["id"]))
    if user is None:
        raise web.HTTPNotFound(text="there is no such user\n")
    return user


def make_password() -> str:
    letters = "".join(secrets.choice(LETTERS) for _ in range(PASSWORD_LETTERS))
    return f"{letters[:5]}-{letters[5:10]}-{letters[10:]}"


def show_once(request: web.Request, password: str) -> str:
    mark = secrets.token_urlsafe(16)
    request.app[ONCE].put(mark, request["user"].id, password, time.monotonic())
    return mark


def role_choices(request: web.Request) -> list[tuple[str, str]]:
    _ = words(request)
    return [(role, _(word)) for role, word in ROLES.items()]
