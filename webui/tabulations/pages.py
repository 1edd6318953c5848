"""Tabulations: what agents wrote down about calls, found by EPB-63's filters, one by one and exported."""

import datetime
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from aiohttp import web

from crm import campaigns, tabulation
from crm.campaigns import Campaign
from crm.centre import Centre
from crm.form import CHECKED, Kind, Layout
from crm.users import can
from webui.address import Address, last_page
from webui.auth import require
from webui.calls import direction_words, result_words
from webui.page import DB, FLOOR, ZONE, render, words
from webui.tabulations.asked import Asked, asked

PER_PAGE = 50

routes = web.RouteTableDef()


@routes.get("/tabulations")
@require("see_tabulations")
async def found(request: web.Request) -> web.Response:
    db, user = request.app[DB], request["user"]
    address = Address("/tabulations", request.query)
    today = datetime.datetime.now(ZONE).date()
    wanted = asked(address, today, ZONE)
    count = await tabulation.count(db, wanted.filter)
    page = min(address.page, last_page(count, PER_PAGE))
    offered = choices(request.app[FLOOR].centre, await campaigns.all(db))
    order = (
        address.text("sort") if address.text("sort").removeprefix("-") in tabulation.ORDERS else "-started"
    )
    return render(
        request,
        "tabulations/list.html",
        address=address,
        wanted=wanted,
        rows=await tabulation.search(db, wanted.filter, PER_PAGE, (page - 1) * PER_PAGE, order),
        count=count,
        page=page,
        last=last_page(count, PER_PAGE),
        sort=order,
        choices=offered,
        directions=direction_words(request),
        filters=in_force(request, address, wanted, offered),
        month_ago=today - datetime.timedelta(days=30),
        may_export=can(user, "export"),
        may_hear=can(user, "hear_recordings"),
    )


@routes.get("/tabulations/{call_id:[0-9a-f-]{36}}")
@require("see_tabulations")
async def one(request: web.Request) -> web.Response:
    """What was written down about one call, by each agent, with the call's facts and recording."""
    rows = await tabulation.by_call(request.app[DB], request.match_info["call_id"])
    if not rows:
        raise web.HTTPNotFound(text="there is no tabulation of this call\n")
    layouts = request.app[FLOOR].centre.layouts
    return render(
        request,
        "tabulations/one.html",
        row=rows[0],
        rows=[(row, said_answers(request, row.answers, layouts.get(row.layout_id))) for row in rows],
        results=result_words(request),
        back=back_to(request),
        may_hear=can(request["user"], "hear_recordings"),
        may_see_contacts=can(request["user"], "see_contacts"),
    )


def back_to(request: web.Request) -> str:
    """The list as it was filtered, when the reader came from it."""
    came = urlsplit(request.headers.get("Referer", ""))
    return f"/tabulations?{came.query}" if came.path == "/tabulations" and came.query else "/tabulations"


def choices(centre: Centre, called_for: Sequence[Campaign]) -> Mapping[str, list[tuple[str, str]]]:
    """What each filter of several offers, as (value, word)."""
    types = {type.id: type for layout in centre.layouts.values() for type in layout.types}
    by_word = {
        "group": [(str(group.id), group.name) for group in centre.groups.values()],
        "user": [(str(user.id), user.name) for user in centre.users.values()],
        "queue": [(queue.name, queue.label) for queue in centre.queues.values()],
        "type": [(str(type.id), type.name) for type in types.values()],
        "category": [(str(c.id), c.name) for type in types.values() for c in type.categories],
        "campaign": [(str(each.id), each.name) for each in called_for],
    }
    return {name: sorted(options, key=lambda pair: pair[1].casefold()) for name, options in by_word.items()}


def in_force(
    request: web.Request, address: Address, wanted: Asked, offered: Mapping[str, list[tuple[str, str]]]
) -> list[tuple[str, str]]:
    """Each filter that narrows the list, in words, with the address of the list without it."""
    _ = words(request)
    said = [
        (word, address.without(name, value))
        for name, options in offered.items()
        for value, word in options
        if value in address.texts(name)
    ]
    if wanted.filter.direction:
        said.append((direction_words(request)[wanted.filter.direction], address.without("direction")))
    if wanted.filter.number:
        said.append((_("Number %s") % wanted.filter.number, address.without("number")))
    if wanted.filter.duration_min:
        said.append((_("Longer than %s s") % wanted.filter.duration_min, address.without("duration")))
    if wanted.filter.global_id:
        said.append((_("Global id %s") % wanted.filter.global_id[:8], address.without("global")))
    return said


def said_answers(
    request: web.Request, answers: Mapping[str, str], layout: Layout | None
) -> list[tuple[str, str]]:
    """The answers in the form's order, under the labels they were asked by; those of removed fields last."""
    _ = words(request)
    fields = {field.key: field for field in layout.fields} if layout else {}
    keys = [*(key for key in fields if key in answers), *(key for key in answers if key not in fields)]
    said = []
    for key in keys:
        field = fields.get(key)
        answer = answers[key]
        if field is not None and field.kind is Kind.CHECKBOX:
            answer = _("yes") if answer in CHECKED else _("no")
        said.append((field.label if field else key, answer))
    return said
