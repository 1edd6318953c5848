"""Trunks: the lines to carriers, how much of each is in use now, and what the carriers' rules count."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from crm import dialing_figures, trunks
from crm.dialing_figures import MONTH_CALLS, SHORT_DAY_CALLS, SHORT_DAY_PERCENT, Used
from crm.refused import Refused
from crm.trunks import Trunk
from webui.auth import require
from webui.effect import take_effect
from webui.page import DB, FLOOR, render, words
from webui.sent import errors, typed

GIVEN = (
    "name",
    "host",
    "port",
    "transport",
    "username",
    "number_prefix",
    "channels_max",
    "calls_per_second",
)

NOTHING = Used(0, 0, 0)
NEAR = 0.8  # of what the carrier allows: said before it is reached

routes = web.RouteTableDef()


@dataclass(frozen=True, slots=True)
class Row:
    trunk: Trunk
    routes: tuple[str, ...]  # that lead over it
    calls: int  # now, in both directions
    used: Used
    warnings: tuple[str, ...]


@routes.get("/trunks")
@require("administer")
async def all_trunks(request: web.Request) -> web.Response:
    db, floor = request.app[DB], request.app[FLOOR]
    every = await trunks.all(db)
    month = await dialing_figures.month(db, datetime.now(UTC))
    leading = floor.centre.routes.values()
    return render(
        request,
        "trunks/list.html",
        rows=[
            Row(
                trunk,
                tuple(route.name for route in leading if route.trunk_id == trunk.id),
                floor.phones.trunk_calls(trunk.id),
                (used := month.trunks.get(trunk.id, NOTHING)),
                warnings(request, used),
            )
            for trunk in every
        ],
        total=month.all,
        others=month.others,
        total_warning=too_many(request, month.all),
        removed="removed" in request.query,
    )


def warnings(request: web.Request, used: Used) -> tuple[str, ...]:
    """What the carrier will do about a day of short calls."""
    _ = words(request)
    if used.short_percent < SHORT_DAY_PERCENT or used.today < NEAR * SHORT_DAY_CALLS:
        return ()
    if used.today < SHORT_DAY_CALLS:
        return (_("Nearly a hundred thousand calls today, most of them short: slow down."),)
    return (_("Too many short calls today: the carrier may block this trunk for fifteen days."),)


def too_many(request: web.Request, total: Used) -> str:
    """What the month's count of the company asks for."""
    _ = words(request)
    if total.month > MONTH_CALLS:
        return _(
            "More than 500,000 calls this month: every call has to be authenticated (Origem Verificada), or "
            "the carrier stops them."
        )
    if total.month > NEAR * MONTH_CALLS:
        return _("Near 500,000 calls this month: above it every call has to be authenticated.")
    return ""


@routes.get("/trunks/new")
@require("administer")
async def new(request: web.Request) -> web.Response:
    return form(request, None, values_of(trunks.DEFAULTS))


@routes.post("/trunks/new")
@require("administer")
async def create(request: web.Request) -> web.Response:
    sent = await request.post()
    try:
        made = await trunks.create(request.app[DB], request["user"], **facts(sent, None))
    except Refused as refused:
        return form(request, None, shown_again(sent), errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther(f"/trunks/{made.id}?saved=1")


@routes.get("/trunks/{id:[0-9]{1,9}}")
@require("administer")
async def one(request: web.Request) -> web.Response:
    trunk = await find(request)
    return form(request, trunk, values_of(asdict(trunk)))


@routes.post("/trunks/{id:[0-9]{1,9}}")
@require("administer")
async def update(request: web.Request) -> web.Response:
    trunk, sent = await find(request), await request.post()
    try:
        await trunks.update(request.app[DB], request["user"], trunk.id, **facts(sent, trunk))
    except Refused as refused:
        return form(request, trunk, shown_again(sent), errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther(f"/trunks/{trunk.id}?saved=1")


@routes.post("/trunks/{id:[0-9]{1,9}}/remove")
@require("administer")
async def remove(request: web.Request) -> web.Response:
    trunk = await find(request)
    try:
        await trunks.remove(request.app[DB], request["user"], trunk.id)
    except Refused as refused:
        return form(request, trunk, values_of(asdict(trunk)), errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther("/trunks?removed=1")


def form(
    request: web.Request,
    trunk: Trunk | None,
    values: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
) -> web.Response:
    return render(
        request,
        "trunks/form.html",
        status=422 if wrong else 200,
        trunk=trunk,
        values=values,
        errors=wrong or {},
        transports=[(each, each) for each in trunks.TRANSPORTS],
        saved="saved" in request.query,
    )


def facts(sent: MultiMapping[Any], trunk: Trunk | None) -> dict[str, Any]:
    """As crm.trunks takes them. The password is never shown: an empty field keeps the one there is, and
    without a user name there is none."""
    password = str(sent.get("password", "")) or (trunk.password if trunk else "")
    return {
        **{name: sent.get(name, "") for name in GIVEN},
        "password": password if sent.get("username") else "",
        "active": "active" in sent,
        "follows_redirects": "follows_redirects" in sent,
    }


def values_of(values: Mapping[str, Any]) -> dict[str, str]:
    texts = {name: str(values.get(name, "")) for name in GIVEN}
    return texts | {name: "1" if values[name] else "" for name in ("active", "follows_redirects")}


def shown_again(sent: MultiMapping[Any]) -> dict[str, str]:
    return {name: value for name, value in typed(sent).items() if name != "password"}


async def find(request: web.Request) -> Trunk:
    trunk = await trunks.by_id(request.app[DB], int(request.match_info["id"]))
    if trunk is None:
        raise web.HTTPNotFound(text="there is no such trunk\n")
    return trunk
