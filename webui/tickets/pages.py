"""Tickets: found, seen with their history, opened, moved from status to status; and their types."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from crm import contacts, tickets
from crm.refused import Refused
from crm.tickets import Ticket, TicketFilter, TicketType
from crm.users import can
from webui.address import Address, as_date, day_start, is_id, last_page
from webui.auth import require
from webui.page import DB, ZONE, render, words
from webui.sent import errors, several, typed
from webui.tickets.words import EVENTS, PICTURES

PER_PAGE = 50
BLANK_ROWS = 2

routes = web.RouteTableDef()


@routes.get("/tickets")
@require("see_contacts")
async def found(request: web.Request) -> web.Response:
    db, address = request.app[DB], Address("/tickets", request.query)
    _ = words(request)
    wanted = asked(address)
    count = await tickets.count(db, wanted)
    page = min(address.page, last_page(count, PER_PAGE))
    types = await tickets.types(db, False)
    return render(
        request,
        "tickets/list.html",
        address=address,
        tickets=await tickets.search(db, wanted, PER_PAGE, (page - 1) * PER_PAGE),
        count=count,
        page=page,
        last=last_page(count, PER_PAGE),
        types=[(str(each.id), each.name) for each in types],
        statuses=[(str(s.id), f"{each.name}: {s.name}") for each in types for s in each.statuses],
        closing=closing(types),
        states=[("open", _("open")), ("closed", _("concluded"))],
        may_edit=can(request["user"], "edit_contacts"),
        may_administer=can(request["user"], "administer"),
    )


def asked(address: Address) -> TicketFilter:
    def one(name: str) -> int | None:
        return next(iter(address.numbers(name)), None)

    start, end = as_date(address.text("start")), as_date(address.text("end"))
    return TicketFilter(
        text=address.text("text"),
        type_id=one("type"),
        status_id=one("status"),
        closed={"open": False, "closed": True}.get(address.text("state")),
        contact_id=one("contact"),
        campaign_id=one("campaign"),
        start=day_start(start, ZONE) if start else None,
        end=day_start(end, ZONE).replace(hour=23, minute=59, second=59, microsecond=999_999) if end else None,
    )


def closing(types: list[TicketType]) -> set[int]:
    return {status.id for each in types for status in each.statuses if status.closing}


@routes.get("/tickets/new")
@require("edit_contacts")
async def new(request: web.Request) -> web.Response:
    return await form(request, {"contact": request.query.get("contact", "")})


@routes.post("/tickets/new")
@require("edit_contacts")
async def create(request: web.Request) -> web.Response:
    sent = typed(await request.post())
    contact, kind = sent.get("contact", ""), sent.get("type_id", "")
    try:
        made = await tickets.open(
            request.app[DB],
            request["user"],
            type_id=int(kind) if is_id(kind) else 0,
            contact_id=int(contact) if contact.isdecimal() and len(contact) < 16 else None,
            text=sent.get("text", ""),
        )
    except Refused as refused:
        return await form(request, sent, errors(request, refused))
    raise web.HTTPSeeOther(f"/tickets/{made.id}?opened=1")


async def form(
    request: web.Request, values: Mapping[str, str], wrong: Mapping[str, str] | None = None
) -> web.Response:
    db, contact = request.app[DB], values.get("contact", "")
    known = contact.isdecimal() and len(contact) < 16
    return render(
        request,
        "tickets/new.html",
        status=422 if wrong else 200,
        values=values,
        contact=await contacts.by_id(db, int(contact)) if known else None,
        types=[(str(each.id), each.name) for each in await tickets.types(db)],
        errors=wrong or {},
        may_administer=can(request["user"], "administer"),
    )


@routes.get("/tickets/{id:[0-9]{1,15}}")
@require("see_contacts")
async def one(request: web.Request) -> web.Response:
    return await page(request, await find(request))


@routes.post("/tickets/{id:[0-9]{1,15}}")
@require("edit_contacts")
async def act(request: web.Request) -> web.Response:
    """Move it to the chosen status, or only write a note."""
    db, by = request.app[DB], request["user"]
    ticket, sent = await find(request), typed(await request.post())
    status, text = sent.get("status", ""), sent.get("text", "")
    try:
        if is_id(status) and int(status) != ticket.status_id:
            await tickets.move(db, by, ticket.id, int(status), text)
        else:
            await tickets.note(db, by, ticket.id, text)
    except Refused as refused:
        return await page(request, ticket, sent, errors(request, refused))
    raise web.HTTPSeeOther(f"/tickets/{ticket.id}?saved=1")


async def page(
    request: web.Request,
    ticket: Ticket,
    values: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
) -> web.Response:
    _ = words(request)
    db, kind = request.app[DB], await tickets.type_by_id(request.app[DB], ticket.type_id)
    campaign = None
    if ticket.campaign_id:
        campaign = await db.fetchval("SELECT name FROM campaign WHERE id = $1", ticket.campaign_id)
    return render(
        request,
        "tickets/one.html",
        status=422 if wrong else 200,
        ticket=ticket,
        kind=kind,
        campaign=campaign,
        history=await tickets.history(db, ticket.id),
        happened={name: _(word) for name, word in EVENTS.items()},
        pictures=PICTURES,
        closing=closing([kind] if kind else []),
        values=values or {},
        errors=wrong or {},
        opened="opened" in request.query,
        saved="saved" in request.query,
        may_edit=can(request["user"], "edit_contacts"),
        may_open=can(request["user"], "see_tabulations"),
    )


# -- Types ---------------------------------------------------------------------------------------------------


@routes.get("/tickets/types")
@require("administer")
async def types(request: web.Request) -> web.Response:
    return await types_page(request)


@routes.post("/tickets/types")
@require("administer")
async def change_type(request: web.Request) -> web.Response:
    """One type as a whole, a new one when no id is sent."""
    db, by, sent = request.app[DB], request["user"], await request.post()
    which = str(sent.get("id", ""))
    name, statuses = str(sent.get("name", "")), statuses_of(sent)
    try:
        if is_id(which):
            active = "deactivate" not in sent if "deactivate" in sent or "activate" in sent else None
            more = {} if active is None else {"active": active}
            await tickets.update_type(db, by, int(which), name=name, statuses=statuses, **more)
        else:
            await tickets.create_type(db, by, name=name, statuses=statuses)
    except Refused as refused:
        return await types_page(request, which, name, statuses, errors(request, refused))
    raise web.HTTPSeeOther("/tickets/types?saved=1")


def statuses_of(sent: MultiMapping[Any]) -> list[dict[str, str]]:
    """The statuses as typed in the order of their position; one without a name is none."""
    rows = []
    for n in several(sent, "row"):
        row = {
            "id": str(sent.get(f"status.{n}", "")),
            "name": str(sent.get(f"name.{n}", "")).strip(),
            "closing": str(sent.get(f"closing.{n}", "")),
        }
        place = str(sent.get(f"position.{n}", "")).replace(",", ".")
        if row["name"] and f"remove.{n}" not in sent:
            rows.append((float(place) if place.replace(".", "", 1).isdecimal() else 1e9, row))
    return [row for _place, row in sorted(rows, key=lambda pair: pair[0])]


async def types_page(
    request: web.Request,
    which: str = "",
    name: str = "",
    statuses: list[dict[str, str]] | None = None,
    wrong: Mapping[str, str] | None = None,
) -> web.Response:
    """`which` was refused and is shown as it was typed."""
    shown = []
    for each in await tickets.types(request.app[DB], False):
        rows = [{"id": str(s.id), "name": s.name, "closing": "1" if s.closing else ""} for s in each.statuses]
        mine = wrong is not None and which == str(each.id)
        shown.append(
            {
                "id": str(each.id),
                "name": name if mine else each.name,
                "active": each.active,
                "rows": (statuses or []) if mine else rows,
                "errors": wrong if mine else {},
            }
        )
    fresh = wrong is not None and not is_id(which)
    new = {
        "id": "",
        "name": name if fresh else "",
        "active": True,
        "rows": (statuses or []) if fresh else [],
        "errors": wrong if fresh else {},
    }
    return render(
        request,
        "tickets/types.html",
        status=422 if wrong else 200,
        types=shown,
        new=new,
        blank=[{"id": "", "name": "", "closing": ""}] * BLANK_ROWS,
        errors=wrong or {},
        saved="saved" in request.query,
    )


async def find(request: web.Request) -> Ticket:
    ticket = await tickets.by_id(request.app[DB], int(request.match_info["id"]))
    if ticket is None:
        raise web.HTTPNotFound(text="there is no such ticket\n")
    return ticket
