"""Contacts: the customers, searched, seen with what happened before, made and changed."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from multidict import MultiMapping

from crm import campaigns, contacts, custom_fields, items, tickets
from crm.contacts import MAIN, STATES, Contact
from crm.contacts import Address as PostalAddress
from crm.numbers import display
from crm.refused import Refused
from crm.tickets import TicketFilter
from crm.users import can
from webui.address import Address, is_id
from webui.auth import require
from webui.page import DB, SETTINGS, document, render, said, words
from webui.sent import errors, several, typed

SHOWN_MAX = 50
ENTRIES_MAX = 100
GIVEN = ("name", "company", "document", "email", "notes")
PERSON = ("id", "name", "type", "phones", "email")
BLANK_PEOPLE = 2
TICKETS_MAX = 5

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
        may_administer=can(request["user"], "administer"),
        may_edit=can(request["user"], "edit_contacts"),
    )


@routes.get("/contacts/new")
@require("edit_contacts")
async def new(request: web.Request) -> web.Response:
    kind = "company" if request.query.get("kind") == "company" else "person"
    return await form(request, None, {"phones": request.query.get("phone", ""), "kind": kind})


@routes.post("/contacts/new")
@require("edit_contacts")
async def create(request: web.Request) -> web.Response:
    sent = await request.post()
    area = request.app[SETTINGS].local_area_code
    try:
        made = await contacts.create(request.app[DB], request["user"], area_code=area, **facts(sent))
    except Refused as refused:
        return await form(request, None, typed(sent), errors(request, refused), rows_of(sent))
    raise web.HTTPSeeOther(f"/contacts/{made.id}?saved=1")


@routes.get("/contacts/{id:[0-9]{1,15}}")
@require("see_contacts")
async def one(request: web.Request) -> web.Response:
    _ = words(request)
    contact = await find(request)
    user = request["user"]
    return render(
        request,
        "contacts/one.html",
        contact=contact,
        entries=await contacts.timeline(request.app[DB], contact.id, ENTRIES_MAX),
        custom=await custom_answers(request, contact),
        tickets=await tickets.search(
            request.app[DB], TicketFilter(contact_id=contact.id, closed=False), TICKETS_MAX
        ),
        main=MAIN,
        may_edit=can(user, "edit_contacts"),
        may_open=can(user, "see_tabulations"),
        saved="saved" in request.query,
        linkable=await linkable(request),
        linked=request.query.get("linked", ""),
        refused=request.query.get("refused", ""),
    )


@routes.post("/contacts/{id:[0-9]{1,15}}/link")
@require("see_contacts")
async def link(request: web.Request) -> web.Response:
    """UAU-14, TEL-14: the customer goes on the list of a campaign."""
    contact, sent = await find(request), typed(await request.post())
    home = f"/contacts/{contact.id}"
    try:
        campaign = await campaigns.found(
            request.app[DB], int(sent["campaign"]) if is_id(sent.get("campaign", "")) else 0
        )
        if not await items.link(request.app[DB], request["user"], campaign.id, contact.id):
            raise Refused("This customer is on the list already, or is blocked.", code="taken")
    except Refused as refused:
        raise web.HTTPSeeOther(f"{home}?" + urlencode({"refused": said(request, refused)})) from refused
    raise web.HTTPSeeOther(f"{home}?" + urlencode({"linked": campaign.name}))


async def linkable(request: web.Request) -> list[tuple[int, str]]:
    """The campaigns on whose list this user may put a customer by hand."""
    user, known = request["user"], await campaigns.all(request.app[DB], statuses=("active", "paused"))
    return [
        (each.id, each.name)
        for each in known
        if can(user, "run_campaigns") or (each.link_person and campaigns.belongs(each, user))
    ]


@routes.get("/contacts/{id:[0-9]{1,15}}/edit")
@require("edit_contacts")
async def edit(request: web.Request) -> web.Response:
    contact = await find(request)
    return await form(request, contact, values_of(contact), rows=rows_known(contact))


@routes.post("/contacts/{id:[0-9]{1,15}}/edit")
@require("edit_contacts")
async def update(request: web.Request) -> web.Response:
    contact, sent = await find(request), await request.post()
    area = request.app[SETTINGS].local_area_code
    try:
        await contacts.update(request.app[DB], request["user"], contact.id, area_code=area, **facts(sent))
    except Refused as refused:
        return await form(request, contact, typed(sent), errors(request, refused), rows_of(sent))
    raise web.HTTPSeeOther(f"/contacts/{contact.id}?saved=1")


async def custom_answers(request: web.Request, contact: Contact) -> list[tuple[str, str, str]]:
    """Label, answer and kind of each custom field answered, also of those no longer asked."""
    _ = words(request)
    fields = await custom_fields.ever(request.app[DB])
    found = [(f.label, contact.custom[f.key], str(f.kind)) for f in fields if f.key in contact.custom]
    return [(label, _("yes") if kind == "checkbox" else answer, kind) for label, answer, kind in found]


Rows = tuple[list[dict[str, str]], list[dict[str, str]]]  # addresses, people


async def form(
    request: web.Request,
    contact: Contact | None,
    values: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
    rows: Rows = ([], []),
) -> web.Response:
    addresses, people = rows
    return render(
        request,
        "contacts/form.html",
        status=422 if wrong else 200,
        contact=contact,
        values=values,
        addresses=[*addresses, dict.fromkeys(PostalAddress.__slots__, "")],
        people=[*people, *(dict.fromkeys(PERSON, "") for _row in range(BLANK_PEOPLE))],
        fields=await custom_fields.all(request.app[DB]),
        person_types=await contacts.person_types(request.app[DB]),
        states=[(state, state) for state in sorted(STATES)],
        main=MAIN,
        errors=wrong or {},
    )


def facts(sent: MultiMapping[Any]) -> dict[str, Any]:
    """About a contact, as crm.contacts takes them and checks them; a telephone number a line."""
    answer: dict[str, Any] = {name: str(sent.get(name, "")) for name in GIVEN}
    answer["phones"] = lines(sent, "phones")
    if "kind" not in sent:
        return answer
    addresses, people = rows_of(sent)
    answer |= {
        "kind": str(sent["kind"]),
        "external_code": str(sent.get("external_code", "")),
        "emails": lines(sent, "emails"),
        "addresses": addresses,
        "people": [{**person, "phones": re.split(r"[\n;,]", person["phones"])} for person in people],
    }
    if "asked" in sent:
        answer["custom"] = {key: str(sent.get(f"custom.{key}", "")) for key in several(sent, "asked")}
    return answer


def lines(sent: MultiMapping[Any], name: str) -> list[str]:
    return re.split(r"[\n;,]", str(sent.get(name, "")))


def rows_of(sent: MultiMapping[Any]) -> Rows:
    """Addresses and people as typed; those without any word are left out, so that errors count the others."""
    addresses = [
        {name: str(sent.get(f"address.{n}.{name}", "")) for name in PostalAddress.__slots__}
        for n in several(sent, "address")
    ]
    people = [
        {name: str(sent.get(f"person.{n}.{name}", "")) for name in PERSON} for n in several(sent, "person")
    ]
    return (
        [each for each in addresses if any(text.strip() for text in each.values())],
        [
            each
            for each in people
            if any(text.strip() for name, text in each.items() if name not in ("id", "type"))
        ],
    )


def rows_known(contact: Contact) -> Rows:
    people = [
        {
            "id": str(person.id),
            "name": person.name,
            "type": person.type,
            "phones": "; ".join(display(number) for number in person.phones),
            "email": person.email,
        }
        for person in contact.people
    ]
    return [asdict(address) for address in contact.addresses], people


def values_of(contact: Contact) -> dict[str, str]:
    values = {name: str(getattr(contact, name)) for name in (*GIVEN, "kind", "external_code")}
    return {
        **values,
        "phones": "\n".join(display(number) for number in contact.phones),
        "document": document(contact.document),
        "emails": "\n".join(contact.emails),
        **{f"custom.{key}": answer for key, answer in contact.custom.items()},
    }


async def find(request: web.Request) -> Contact:
    contact = await contacts.by_id(request.app[DB], int(request.match_info["id"]))
    if contact is None:
        raise web.HTTPNotFound(text="there is no such contact\n")
    return contact
