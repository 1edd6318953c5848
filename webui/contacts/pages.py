"""Contacts: the customers, searched, seen with what happened before, made and changed."""

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from crm import contacts
from crm.contacts import Contact
from crm.numbers import display
from crm.refused import Refused
from crm.users import can
from webui.address import Address
from webui.auth import require
from webui.calls import result_words
from webui.page import DB, SETTINGS, document, render
from webui.sent import errors, typed

SHOWN_MAX = 50
ENTRIES_MAX = 100
GIVEN = ("name", "company", "document", "email", "notes")

routes = web.RouteTableDef()


@routes.get("/contacts")
@require("see_contacts")
async def found(request: web.Request) -> web.Response:
    address = Address("/contacts", request.query)
    text = address.text("text")
    people = await contacts.search(request.app[DB], text, SHOWN_MAX + 1) if text else []
    return render(
        request,
        "contacts/list.html",
        address=address,
        text=text,
        people=people[:SHOWN_MAX],
        more=len(people) > SHOWN_MAX,
        may_edit=can(request["user"], "edit_contacts"),
    )


@routes.get("/contacts/new")
@require("edit_contacts")
async def new(request: web.Request) -> web.Response:
    return form(request, None, {"phones": request.query.get("phone", "")})


@routes.post("/contacts/new")
@require("edit_contacts")
async def create(request: web.Request) -> web.Response:
    sent = await request.post()
    area = request.app[SETTINGS].local_area_code
    try:
        made = await contacts.create(request.app[DB], request["user"], area_code=area, **facts(sent))
    except Refused as refused:
        return form(request, None, typed(sent), errors(request, refused))
    raise web.HTTPSeeOther(f"/contacts/{made.id}?saved=1")


@routes.get("/contacts/{id:[0-9]{1,15}}")
@require("see_contacts")
async def one(request: web.Request) -> web.Response:
    contact = await find(request)
    user = request["user"]
    return render(
        request,
        "contacts/one.html",
        contact=contact,
        results=result_words(request),
        timeline=await contacts.timeline(request.app[DB], contact.id, ENTRIES_MAX),
        may_edit=can(user, "edit_contacts"),
        may_open=can(user, "see_tabulations"),
        saved="saved" in request.query,
    )


@routes.get("/contacts/{id:[0-9]{1,15}}/edit")
@require("edit_contacts")
async def edit(request: web.Request) -> web.Response:
    contact = await find(request)
    return form(request, contact, values_of(contact))


@routes.post("/contacts/{id:[0-9]{1,15}}/edit")
@require("edit_contacts")
async def update(request: web.Request) -> web.Response:
    contact, sent = await find(request), await request.post()
    area = request.app[SETTINGS].local_area_code
    try:
        await contacts.update(request.app[DB], request["user"], contact.id, area_code=area, **facts(sent))
    except Refused as refused:
        return form(request, contact, typed(sent), errors(request, refused))
    raise web.HTTPSeeOther(f"/contacts/{contact.id}?saved=1")


def form(
    request: web.Request,
    contact: Contact | None,
    values: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
) -> web.Response:
    return render(
        request,
        "contacts/form.html",
        status=422 if wrong else 200,
        contact=contact,
        values=values,
        errors=wrong or {},
    )


def facts(sent: MultiMapping[Any]) -> dict[str, Any]:
    """About a contact, as crm.contacts takes them and checks them; a telephone number a line."""
    phones = re.split(r"[\n;,]", str(sent.get("phones", "")))
    return {name: str(sent.get(name, "")) for name in GIVEN} | {"phones": phones}


def values_of(contact: Contact) -> dict[str, str]:
    values = {name: str(getattr(contact, name)) for name in GIVEN}
    return values | {
        "phones": "\n".join(display(number) for number in contact.phones),
        "document": document(contact.document),
    }


async def find(request: web.Request) -> Contact:
    contact = await contacts.by_id(request.app[DB], int(request.match_info["id"]))
    if contact is None:
        raise web.HTTPNotFound(text="there is no such contact\n")
    return contact
