"""Groups: what users belong to, and what is permitted or offered by group (EPB-74)."""

from collections.abc import Mapping

from aiohttp import web

from crm import groups
from crm.groups import Group
from crm.refused import Refused
from webui.auth import require
from webui.effect import take_effect
from webui.page import DB, render
from webui.sent import errors, typed

routes = web.RouteTableDef()


@routes.get("/groups")
@require("administer")
async def all_groups(request: web.Request) -> web.Response:
    return render(
        request,
        "groups/list.html",
        groups=await groups.all(request.app[DB]),
        uses=await groups.uses(request.app[DB]),
        removed="removed" in request.query,
    )


@routes.get("/groups/new")
@require("administer")
async def new(request: web.Request) -> web.Response:
    return await form(request, None, {})


@routes.post("/groups/new")
@require("administer")
async def create(request: web.Request) -> web.Response:
    sent = typed(await request.post())
    try:
        made = await groups.create(request.app[DB], request["user"], name=sent.get("name", ""))
    except Refused as refused:
        return await form(request, None, sent, errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther(f"/groups/{made.id}?saved=1")


@routes.get("/groups/{id:[0-9]{1,9}}")
@require("administer")
async def one(request: web.Request) -> web.Response:
    group = await find(request)
    return await form(request, group, {"name": group.name})


@routes.post("/groups/{id:[0-9]{1,9}}")
@require("administer")
async def update(request: web.Request) -> web.Response:
    group, sent = await find(request), typed(await request.post())
    try:
        await groups.update(request.app[DB], request["user"], group.id, name=sent.get("name", ""))
    except Refused as refused:
        return await form(request, group, sent, errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther(f"/groups/{group.id}?saved=1")


@routes.post("/groups/{id:[0-9]{1,9}}/remove")
@require("administer")
async def remove(request: web.Request) -> web.Response:
    group = await find(request)
    try:
        await groups.remove(request.app[DB], request["user"], group.id)
    except Refused as refused:
        return await form(request, group, {"name": group.name}, errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther("/groups?removed=1")


async def form(
    request: web.Request,
    group: Group | None,
    values: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
) -> web.Response:
    return render(
        request,
        "groups/form.html",
        status=422 if wrong else 200,
        group=group,
        values=values,
        errors=wrong or {},
        uses=(await groups.uses(request.app[DB]))[group.id] if group else None,
        saved="saved" in request.query,
    )


async def find(request: web.Request) -> Group:
    group = await groups.by_id(request.app[DB], int(request.match_info["id"]))
    if group is None:
        raise web.HTTPNotFound(text="there is no such group\n")
    return group
