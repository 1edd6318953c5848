"""Pauses: the breaks agents choose from (EPB-54), in their order, and who is on each now."""

from collections.abc import Mapping

from aiohttp import web

from crm import pauses
from crm.form import key_of
from crm.pauses import Pause
from crm.refused import Refused
from webui.auth import require
from webui.effect import take_effect
from webui.page import DB, FLOOR, render
from webui.sent import errors, moved, typed

routes = web.RouteTableDef()


@routes.get("/pauses")
@require("administer")
async def all_pauses(request: web.Request) -> web.Response:
    every = await pauses.all(request.app[DB])
    return render(
        request,
        "pauses/list.html",
        pauses=[(pause, on_it(request, pause.code)) for pause in every],
        removed="removed" in request.query,
    )


@routes.post("/pauses")
@require("administer")
async def move(request: web.Request) -> web.Response:
    """One of them a place earlier or later."""
    db, sent = request.app[DB], typed(await request.post())
    codes = [pause.code for pause in await pauses.all(db)]
    await pauses.put_in_order(db, request["user"], moved(codes, sent.get("code", ""), sent.get("move", "")))
    await take_effect(request)
    raise web.HTTPSeeOther("/pauses")


@routes.get("/pauses/new")
@require("administer")
async def new(request: web.Request) -> web.Response:
    return form(request, None, {})


@routes.post("/pauses/new")
@require("administer")
async def create(request: web.Request) -> web.Response:
    sent = typed(await request.post())
    label = sent.get("label", "")
    try:
        made = await pauses.create(
            request.app[DB], request["user"], code=sent.get("code", "") or key_of(label), label=label
        )
    except Refused as refused:
        return form(request, None, sent, errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther(f"/pauses/{made.code}/edit?saved=1")


@routes.get("/pauses/{code:[a-z0-9_-]{1,40}}/edit")
@require("administer")
async def one(request: web.Request) -> web.Response:
    pause = await find(request)
    return form(request, pause, {"label": pause.label})


@routes.post("/pauses/{code:[a-z0-9_-]{1,40}}/edit")
@require("administer")
async def update(request: web.Request) -> web.Response:
    pause, sent = await find(request), typed(await request.post())
    try:
        await pauses.update(request.app[DB], request["user"], pause.code, label=sent.get("label", ""))
    except Refused as refused:
        return form(request, pause, sent, errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther(f"/pauses/{pause.code}/edit?saved=1")


@routes.post("/pauses/{code:[a-z0-9_-]{1,40}}/remove")
@require("administer")
async def remove(request: web.Request) -> web.Response:
    """Not while somebody is on it: the wall and the agent's own page would have no word for it."""
    pause = await find(request)
    try:
        if names := on_it(request, pause.code):
            raise Refused("{names} is on this pause now.", code="in_use", names=", ".join(names))
        await pauses.remove(request.app[DB], request["user"], pause.code)
    except Refused as refused:
        return form(request, pause, {"label": pause.label}, errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther("/pauses?removed=1")


def form(
    request: web.Request,
    pause: Pause | None,
    values: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
) -> web.Response:
    return render(
        request,
        "pauses/form.html",
        status=422 if wrong else 200,
        pause=pause,
        values=values,
        errors=wrong or {},
        saved="saved" in request.query,
    )


def on_it(request: web.Request, code: str) -> list[str]:
    """The names of the agents who are on this pause now, or go on it or back to it after their call."""
    floor = request.app[FLOOR]
    users = floor.centre.users
    here = [
        agent.user_id
        for agent in floor.agents.values()
        if code in (agent.reason, agent.rest.reason, agent.next.reason if agent.next else None)
    ]
    return sorted(users[id].name if id in users else str(id) for id in here)


async def find(request: web.Request) -> Pause:
    pause = await pauses.by_code(request.app[DB], request.match_info["code"])
    if pause is None:
        raise web.HTTPNotFound(text="there is no such pause\n")
    return pause
