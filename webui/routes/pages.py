"""Routes: the permitted ways out, over which trunk, for whom, and with which number shown."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from crm import routes as ways
from crm.refused import Refused
from crm.routes import Route
from webui.auth import require
from webui.effect import take_effect
from webui.page import DB, FLOOR, render
from webui.sent import errors, several, typed

GIVEN = ("name", "pattern", "trunk_id", "strip", "prefix", "caller_id")

routes = web.RouteTableDef()


@routes.get("/routes")
@require("administer")
async def all_routes(request: web.Request) -> web.Response:
    centre = request.app[FLOOR].centre
    return render(
        request,
        "routes/list.html",
        ways=await ways.all(request.app[DB]),
        trunks=centre.trunks,
        groups=centre.groups,
        removed="removed" in request.query,
    )


@routes.get("/routes/new")
@require("administer")
async def new(request: web.Request) -> web.Response:
    return form(request, None, {name: str(value) for name, value in ways.DEFAULTS.items()}, ())


@routes.post("/routes/new")
@require("administer")
async def create(request: web.Request) -> web.Response:
    sent = await request.post()
    try:
        made = await ways.create(request.app[DB], request["user"], **facts(sent))
    except Refused as refused:
        return form(request, None, typed(sent), several(sent, "groups"), errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther(f"/routes/{made.id}?saved=1")


@routes.get("/routes/{id:[0-9]{1,9}}")
@require("administer")
async def one(request: web.Request) -> web.Response:
    way = await find(request)
    return form(request, way, values_of(way), [str(id) for id in way.groups])


@routes.post("/routes/{id:[0-9]{1,9}}")
@require("administer")
async def update(request: web.Request) -> web.Response:
    way, sent = await find(request), await request.post()
    try:
        await ways.update(request.app[DB], request["user"], way.id, **facts(sent))
    except Refused as refused:
        return form(request, way, typed(sent), several(sent, "groups"), errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther(f"/routes/{way.id}?saved=1")


@routes.post("/routes/{id:[0-9]{1,9}}/remove")
@require("administer")
async def remove(request: web.Request) -> web.Response:
    way = await find(request)
    try:
        await ways.remove(request.app[DB], request["user"], way.id)
    except Refused as refused:
        groups = [str(id) for id in way.groups]
        return form(request, way, values_of(way), groups, errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther("/routes?removed=1")


def form(
    request: web.Request,
    way: Route | None,
    values: Mapping[str, str],
    groups: Any,
    wrong: Mapping[str, str] | None = None,
) -> web.Response:
    centre = request.app[FLOOR].centre
    return render(
        request,
        "routes/form.html",
        status=422 if wrong else 200,
        way=way,
        values=values,
        chosen=set(groups),
        errors=wrong or {},
        trunks=sorted(((each.id, each.name) for each in centre.trunks.values()), key=lambda pair: pair[1]),
        groups=sorted(centre.groups.values(), key=lambda group: group.name.casefold()),
        saved="saved" in request.query,
    )


def facts(sent: MultiMapping[Any]) -> dict[str, Any]:
    """As crm.routes takes them and checks them."""
    return {**{name: sent.get(name, "") for name in GIVEN}, "groups": several(sent, "groups")}


def values_of(way: Route) -> dict[str, str]:
    return {name: str(getattr(way, name)) for name in GIVEN}


async def find(request: web.Request) -> Route:
    way = await ways.by_id(request.app[DB], int(request.match_info["id"]))
    if way is None:
        raise web.HTTPNotFound(text="there is no such route\n")
    return way
