"""Filters over the customers: built while count and sample are shown, saved under a name."""

import asyncio
from typing import Any

from aiohttp import web

from crm import filters
from crm.entry import MESSAGES
from crm.filters import GROUP_ORDER, SavedFilter
from crm.refused import Refused
from webui.auth import require
from webui.counting import while_there
from webui.filters.rows import Row, act, complete, conditions, mark, mark_complete, of_form, of_tree, to_tree
from webui.filters.words import drawn, said
from webui.page import DB, fragment, render, words
from webui.page import said as refusal
from webui.sent import errors

EVERYBODY = {"all": [{"field": "name", "test": "contains", "value": ""}]}

routes = web.RouteTableDef()


@routes.get("/filters")
@require("run_campaigns")
async def all_filters(request: web.Request) -> web.Response:
    _ = words(request)
    known = await filters.fields(request.app[DB])
    return render(
        request,
        "filters/list.html",
        filters=[(each, said(each.tree, known, _)) for each in await filters.all(request.app[DB])],
        removed="removed" in request.query,
    )


@routes.get("/filters/new")
@require("run_campaigns")
async def new(request: web.Request) -> web.Response:
    return await builder(request, None, request.query.get("name", ""), of_tree(EVERYBODY))


@routes.post("/filters/new")
@require("run_campaigns")
async def create(request: web.Request) -> web.Response:
    return await change(request, None)


@routes.get("/filters/{id:[0-9]{1,9}}")
@require("run_campaigns")
async def one(request: web.Request) -> web.Response:
    saved = await find(request)
    return await builder(request, saved, saved.name, of_tree(saved.tree))


@routes.post("/filters/{id:[0-9]{1,9}}")
@require("run_campaigns")
async def update(request: web.Request) -> web.Response:
    return await change(request, await find(request))


@routes.post("/filters/{id:[0-9]{1,9}}/remove")
@require("run_campaigns")
async def remove(request: web.Request) -> web.Response:
    saved = await find(request)
    try:
        await filters.remove(request.app[DB], request["user"], saved.id)
    except Refused as refused:
        wrong = errors(request, refused)
        return await builder(request, saved, saved.name, of_tree(saved.tree), wrong)
    raise web.HTTPSeeOther("/filters?removed=1")


@routes.post("/filters/count")
@require("run_campaigns")
async def counted(request: web.Request) -> web.Response:
    """How many the form's filter finds, for as long as somebody waits for it."""
    db, sent = request.app[DB], await request.post()
    asked = complete(of_form(sent, await filters.fields(db)))
    tree: dict[str, Any] = to_tree(asked) if asked else {"all": []}
    try:
        count = await while_there(request, filters.count(db, tree, filters.EXACT_SECONDS))
    except Refused as refused:
        raise web.HTTPUnprocessableEntity(text=f"{refusal(request, refused)}\n") from refused
    drawn = fragment(request, "filters/count.html", count=count, counting=False)
    return web.Response(text=drawn, content_type="text/html")


async def change(request: web.Request, saved: SavedFilter | None) -> web.Response:
    """Save, or draw the form again with one row more or less."""
    db, sent = request.app[DB], await request.post()
    known = await filters.fields(db)
    root = of_form(sent, known)
    name, do = str(sent.get("name", "")), str(sent.get("do", "save"))
    if do != "save":
        added = act(root, do, known)
        return await builder(request, saved, name, root, added=added)
    try:
        if saved is None:
            saved = await filters.create(db, request["user"], name=name, tree=to_tree(root))
        else:
            await filters.update(db, request["user"], saved.id, name=name, tree=to_tree(root))
    except Refused as refused:
        mark(root, tree_errors(request, refused))
        return await builder(request, saved, name, root, errors(request, refused))
    raise web.HTTPSeeOther(f"/filters/{saved.id}?saved=1")


async def builder(
    request: web.Request,
    saved: SavedFilter | None,
    name: str,
    root: Row,
    wrong: dict[str, str] | None = None,
    added: int | None = None,
) -> web.Response:
    _ = words(request)
    db = request.app[DB]
    known = await filters.fields(db)
    asked = complete(root)
    tree: dict[str, Any] = to_tree(asked) if asked else {"all": []}
    count = people = None
    try:
        count, people = await asyncio.gather(filters.count(db, tree), filters.sample(db, tree))
    except Refused as refused:
        if not wrong:
            mark_complete(root, asked, tree_errors(request, refused))
    return render(
        request,
        "filters/builder.html",
        status=422 if wrong else 200,
        filter=saved,
        name=name,
        tree=drawn(
            root, known, GROUP_ORDER, (_("Customers who meet"), _("or who meet"), _("and who meet")), _
        ),
        errors=wrong or {},
        incomplete=conditions(root) - conditions(asked),
        sentence=said(tree, known, _),
        count=count,
        people=people,
        added=added,
        saved="saved" in request.query and request.method == "GET",
    )


def tree_errors(request: web.Request, refused: Refused) -> dict[str, str]:
    _ = words(request)
    found = refused.details.get("errors") or {}
    return {path: _(MESSAGES[key]) for path, key in found.items() if path.startswith("tree")}


async def find(request: web.Request) -> SavedFilter:
    saved = await filters.by_id(request.app[DB], int(request.match_info["id"]))
    if saved is None:
        raise web.HTTPNotFound(text="there is no such filter\n")
    return saved
