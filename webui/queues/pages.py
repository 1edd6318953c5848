"""Queues: where calls wait, who takes them, what is asked afterwards, and which numbers lead there."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import groupby
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from crm import numbers, queues
from crm.centre import Centre
from crm.queues import Queue
from crm.refused import Refused
from crm.users import User, can
from webui.auth import require
from webui.effect import take_effect
from webui.page import DB, FLOOR, render
from webui.sent import errors, several, typed

GIVEN = (
    "name",
    "label",
    "wrapup_seconds",
    "ring_seconds_max",
    "service_level_seconds",
    "waiting_max",
    "wait_seconds_max",
    "layout_id",
)
BOXES = ("tabulation_mandatory", "record")

routes = web.RouteTableDef()


@routes.get("/queues")
@require("administer")
async def all_queues(request: web.Request) -> web.Response:
    centre = request.app[FLOOR].centre
    return render(
        request,
        "queues/list.html",
        queues=await queues.all(request.app[DB]),
        leading=leading(centre),
        layouts={layout.id: layout.label for layout in centre.layouts.values()},
    )


@routes.get("/queues/new")
@require("administer")
async def new(request: web.Request) -> web.Response:
    return form(request, None, {name: str(value) for name, value in queues.DEFAULTS.items()}, ())


@routes.post("/queues/new")
@require("administer")
async def create(request: web.Request) -> web.Response:
    sent = await request.post()
    try:
        made = await queues.create(request.app[DB], request["user"], **facts(sent))
    except Refused as refused:
        return form(request, None, typed(sent), several(sent, "members"), errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther(f"/queues/{made.id}?saved=1")


@routes.get("/queues/{id:[0-9]{1,9}}")
@require("administer")
async def one(request: web.Request) -> web.Response:
    queue = await find(request)
    return form(request, queue, values_of(queue), [str(id) for id in queue.members])


@routes.post("/queues/{id:[0-9]{1,9}}")
@require("administer")
async def update(request: web.Request) -> web.Response:
    queue, sent = await find(request), await request.post()
    try:
        await queues.update(request.app[DB], request["user"], queue.id, **facts(sent))
    except Refused as refused:
        return form(request, queue, typed(sent), several(sent, "members"), errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther(f"/queues/{queue.id}?saved=1")


@routes.post("/queues/{id:[0-9]{1,9}}/remove")
@require("administer")
async def remove(request: web.Request) -> web.Response:
    queue = await find(request)
    try:
        await queues.remove(request.app[DB], request["user"], queue.id)
    except Refused as refused:
        members = [str(id) for id in queue.members]
        return form(request, queue, values_of(queue), members, errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther("/queues?removed=1")


@routes.post("/queues/{id:[0-9]{1,9}}/numbers")
@require("administer")
async def lead(request: web.Request) -> web.Response:
    """One more number leads to this queue, or one no longer does."""
    db, by = request.app[DB], request["user"]
    queue, sent = await find(request), await request.post()
    try:
        if "remove" in sent:
            await numbers.remove(db, by, str(sent["remove"]))
        else:
            await numbers.create(db, by, dialed=str(sent.get("dialed", "")), kind="queue", target=queue.name)
    except Refused as refused:
        values = {**values_of(queue), "dialed": str(sent.get("dialed", ""))}
        return form(request, queue, values, [str(id) for id in queue.members], errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther(f"/queues/{queue.id}?saved=1#numbers")


def form(
    request: web.Request,
    queue: Queue | None,
    values: Mapping[str, str],
    members: Any,
    wrong: Mapping[str, str] | None = None,
) -> web.Response:
    centre = request.app[FLOOR].centre
    people = [user for user in centre.users.values() if can(user, "take_calls") or str(user.id) in members]
    return render(
        request,
        "queues/form.html",
        status=422 if wrong else 200,
        queue=queue,
        values=values,
        members=set(members),
        errors=wrong or {},
        layouts=[(str(layout.id), layout.label) for layout in centre.layouts.values()],
        people=by_group(people),
        numbers=leading(centre).get(queue.name, []) if queue else [],
        saved="saved" in request.query,
    )


def by_group(people: Iterable[User]) -> list[tuple[str, list[User]]]:
    def group(user: User) -> str:
        return user.group or ""

    ordered = sorted(people, key=lambda user: (group(user), user.name.casefold()))
    return [(name, list(here)) for name, here in groupby(ordered, key=group)]


def facts(sent: MultiMapping[Any]) -> dict[str, Any]:
    """About a queue, as crm.queues takes them and checks them; a box not ticked is not sent."""
    values = {name: sent.get(name, "") for name in GIVEN} | {name: name in sent for name in BOXES}
    return {**values, "members": several(sent, "members")}


def values_of(queue: Queue) -> dict[str, str]:
    values = asdict(queue)
    texts = {name: "" if values[name] is None else str(values[name]) for name in GIVEN}
    return texts | {name: "1" if values[name] else "" for name in BOXES}


def leading(centre: Centre) -> dict[str, list[str]]:
    """The numbers that lead to each queue, by its name."""
    found: dict[str, list[str]] = {}
    for number in centre.numbers.values():
        if number.kind == "queue":
            found.setdefault(number.target, []).append(number.dialed)
    return found


async def find(request: web.Request) -> Queue:
    queue = await queues.by_id(request.app[DB], int(request.match_info["id"]))
    if queue is None:
        raise web.HTTPNotFound(text="there is no such queue\n")
    return queue
