"""Who is on a campaign's list, in the order of calling, and why one person was not called."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

from aiohttp import web

from crm import attempts, contacts, items, lists
from crm.campaigns import Campaign
from crm.item_states import State
from crm.items import Item
from crm.progress import Criteria
from crm.refused import Refused
from dialer import holidays, windows
from webui.address import Address, is_id
from webui.auth import require
from webui.campaigns import said
from webui.campaigns.find import find
from webui.page import DB, FLOOR, render
from webui.page import said as said_of
from webui.sent import errors

SITUATIONS = {str(int(state)): state for state in State}
CUSTOMERS_FOUND = 8
CRITERIA = ("name", "document", "phone", "external_code")

routes = web.RouteTableDef()


@routes.get("/campaigns/{id:[0-9]{1,9}}/items")
@require("run_campaigns")
async def on_the_list(request: web.Request) -> web.Response:
    campaign, now = await find(request), datetime.now(UTC)
    address = Address(f"/campaigns/{campaign.id}/items", request.query)
    situation = SITUATIONS.get(address.text("situation"))
    criteria = Criteria(**{name: address.text(name) for name in CRITERIA})
    found = await items.search(request.app[DB], campaign, None, criteria, situation, now, address.page)
    return render(
        request,
        "campaigns/items.html",
        campaign=campaign,
        address=address,
        found=found,
        now=now,
        looking=criteria != Criteria(),
        customer=address.text("customer"),
        customers=await contacts.search(request.app[DB], address.text("customer"), CUSTOMERS_FOUND)
        if address.text("customer")
        else [],
        linked=request.query.get("linked"),
        situation=situation,
        situations=[
            (code, said.badges(request, said.ITEM_STATES)[said.state_name(state)][2])
            for code, state in SITUATIONS.items()
        ],
        states=said.states(request),
        item_states=said.badges(request, said.ITEM_STATES),
        tried=said.tried(request),
        state_name=said.state_name,
    )


@routes.post("/campaigns/{id:[0-9]{1,9}}/items/link")
@require("run_campaigns")
async def link(request: web.Request) -> web.Response:
    """Put a customer on the list by hand (UAU-14), also where agents may not."""
    campaign, sent = await find(request), await request.post()
    contact = str(sent.get("contact", ""))
    if not is_id(contact):
        raise web.HTTPUnprocessableEntity(text="no such customer\n")
    try:
        added = await lists.link(request.app[DB], request["user"], campaign.id, int(contact))
    except Refused as refused:
        raise web.HTTPConflict(text=f"{said_of(request, refused)}\n") from refused
    raise web.HTTPSeeOther(f"/campaigns/{campaign.id}/items?linked={int(added)}")


@routes.get("/campaigns/{id:[0-9]{1,9}}/items/{item:[0-9]{1,18}}")
@require("run_campaigns")
async def one(request: web.Request) -> web.Response:
    return await draw(request, await find(request), await find_item(request))


@routes.post("/campaigns/{id:[0-9]{1,9}}/items/{item:[0-9]{1,18}}")
@require("run_campaigns")
async def change(request: web.Request) -> web.Response:
    """Take a person off the list with a reason, or call one again who had come to an end."""
    db, by = request.app[DB], request["user"]
    campaign, item, sent = await find(request), await find_item(request), await request.post()
    reason = str(sent.get("reason", ""))
    try:
        if sent.get("do") == "cancel":
            await items.cancel(db, by, item.id, reason)
        elif sent.get("do") == "reopen":
            await items.reopen(db, by, item.id, datetime.now(UTC))
        else:
            raise web.HTTPUnprocessableEntity(text="no such change\n")
    except Refused as refused:
        return await draw(request, campaign, item, errors(request, refused), reason)
    raise web.HTTPSeeOther(f"/campaigns/{campaign.id}/items/{item.id}?saved=1")


async def draw(
    request: web.Request,
    campaign: Campaign,
    item: Item,
    wrong: Mapping[str, str] | None = None,
    reason: str = "",
) -> web.Response:
    db, now = request.app[DB], datetime.now(UTC)
    names = {user.id: user.name for user in request.app[FLOOR].centre.users.values()}
    return render(
        request,
        "campaigns/item.html",
        status=422 if wrong else 200,
        campaign=campaign,
        item=item,
        why=[
            (each.rule, said.sentence(request, each))
            for each in await items.why_not_called(db, item.id, now, closed(now))
        ],
        phones=await items.phones(db, campaign.id, item.contact_id),
        attempts=await attempts.of_item(db, item.id),
        names=names,
        overdue=item.is_overdue(now),
        ended=item.state in (State.CONCLUDED, State.HIT_LIMIT, State.CANCELLED),
        errors=wrong or {},
        reason=reason,
        saved="saved" in request.query,
        state_name=said.state_name(item.state, item.result),
        states=said.states(request),
        item_states=said.badges(request, said.ITEM_STATES),
        results=said.badges(request, said.RESULTS),
        tried=said.tried(request),
    )


def closed(now: datetime) -> Mapping[str, datetime]:
    """Where nobody may be called now."""
    return windows.closed_area_codes(now, holidays_of(now.year))


@cache
def holidays_of(year: int) -> windows.Holidays:
    return holidays.load(year - 1, year + 1)


async def find_item(request: web.Request) -> Item:
    item = await items.by_id(request.app[DB], int(request.match_info["item"]))
    if item is None or item.campaign_id != int(request.match_info["id"]):
        raise web.HTTPNotFound(text="there is no such item on this list\n")
    return item
