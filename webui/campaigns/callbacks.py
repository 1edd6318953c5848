"""Callbacks of campaigns: due, overdue and to come; moved to another time or agent, or deleted (TEL-14)."""

from collections.abc import Mapping
from datetime import UTC, datetime

from aiohttp import web

from crm import callbacks, campaigns, items
from crm.campaigns import Campaign
from crm.item_states import CALLBACKS
from crm.items import Item
from crm.refused import Refused
from crm.users import User, can
from webui.address import Address, is_id, last_page
from webui.auth import require
from webui.campaigns import said
from webui.campaigns.find import find
from webui.campaigns.items import find_item
from webui.page import DB, FLOOR, ZONE, render, words
from webui.sent import errors, typed

PER_PAGE = 50
FREE = "0"  # in addresses and forms: nobody's own

routes = web.RouteTableDef()


@routes.get("/campaigns/callbacks")
@require("run_campaigns")
async def everywhere(request: web.Request) -> web.Response:
    """How many wait in each campaign, and whose they are."""
    db, now = request.app[DB], datetime.now(UTC)
    running = await campaigns.all(db, statuses=("active", "paused"))
    waiting = [(each, await callbacks.by_agent(db, each.id, now)) for each in running]
    return render(
        request,
        "campaigns/callbacks_everywhere.html",
        waiting=[(campaign, owners) for campaign, owners in waiting if owners],
        states=said.states(request),
    )


@routes.get("/campaigns/{id:[0-9]{1,9}}/callbacks")
@require("run_campaigns")
async def of_campaign(request: web.Request) -> web.Response:
    return await draw(request, await find(request))


@routes.post("/campaigns/{id:[0-9]{1,9}}/callbacks")
@require("run_campaigns")
async def give(request: web.Request) -> web.Response:
    """All callbacks of one agent go to another, or to whoever comes first."""
    campaign, sent = await find(request), await request.post()
    came, goes = str(sent.get("from", "")), str(sent.get("to", ""))
    if not is_id(came) or not is_id(goes or FREE):
        return await draw(request, campaign, {"from" if not is_id(came) else "to": "?"}, typed(sent))
    try:
        moved = await callbacks.give(
            request.app[DB], request["user"], int(came), int(goes or FREE) or None, campaign.id
        )
    except Refused as refused:
        wrong = errors(request, refused)
        return await draw(request, campaign, {"to": wrong.get("owner", wrong.get("", ""))}, typed(sent))
    raise web.HTTPSeeOther(f"/campaigns/{campaign.id}/callbacks?moved={moved}")


@routes.get("/campaigns/{id:[0-9]{1,9}}/callbacks/{item:[0-9]{1,18}}")
@require("run_campaigns")
async def one(request: web.Request) -> web.Response:
    item = await find_item(request)
    values = {
        "due_at": f"{item.due_at.astimezone(ZONE):%Y-%m-%dT%H:%M}" if item.due_at else "",
        "owner": str(item.callback_owner or FREE),
        "phone": item.callback_phone,
        "note": item.callback_note,
    }
    return await draw_one(request, await find(request), item, values)


@routes.post("/campaigns/{id:[0-9]{1,9}}/callbacks/{item:[0-9]{1,18}}")
@require("run_campaigns")
async def change(request: web.Request) -> web.Response:
    db, by, now = request.app[DB], request["user"], datetime.now(UTC)
    campaign, item, sent = await find(request), await find_item(request), await request.post()
    try:
        if "remove" in sent:
            await callbacks.remove(db, by, item.id, now, str(sent.get("reason", "")))
        else:
            owner = str(sent.get("owner", ""))
            due_at = as_moment(str(sent.get("due_at", "")))
            changes = {
                "due_at": due_at,
                "phone": str(sent.get("phone", "")),
                "note": str(sent.get("note", "")),
            }
            if due_at is not None and item.due_at is not None and same_minute(due_at, item.due_at):
                del changes["due_at"]  # an overdue one may be given to somebody else as it is
            await callbacks.move(db, by, item.id, now, owner="" if owner == FREE else owner, **changes)
    except Refused as refused:
        return await draw_one(request, campaign, item, typed(sent), errors(request, refused))
    done = "removed" if "remove" in sent else "moved"
    raise web.HTTPSeeOther(f"/campaigns/{campaign.id}/callbacks?{done}=1")


async def draw(
    request: web.Request,
    campaign: Campaign,
    wrong: Mapping[str, str] | None = None,
    values: Mapping[str, str] | None = None,
) -> web.Response:
    db, now = request.app[DB], datetime.now(UTC)
    address = Address(f"/campaigns/{campaign.id}/callbacks", request.query)
    owner = next(iter(address.numbers("owner")), None)
    overdue = address.text("due") == "overdue"
    waiting = await callbacks.by_agent(db, campaign.id, now)
    asked = [each for each in waiting if owner in (None, each.owner)]
    count = sum(each.overdue if overdue else each.all for each in asked)
    page = min(address.page, last_page(count, PER_PAGE))
    return render(
        request,
        "campaigns/callbacks.html",
        status=422 if wrong else 200,
        campaign=campaign,
        address=address,
        waiting=waiting,
        owner=owner,
        overdue=overdue,
        rows=await callbacks.of_campaign(
            db, campaign.id, owner, now if overdue else None, PER_PAGE, (page - 1) * PER_PAGE
        ),
        count=count,
        page=page,
        last=last_page(count, PER_PAGE),
        now=now,
        owners=[(each.owner, each.agent) for each in waiting if each.owner],
        takers=[(each.id, each.name) for each in people(request, campaign)],
        may_be_free=campaign.callback_mode != "agent",
        may_be_owned=campaign.callback_mode != "free",
        errors=wrong or {},
        values=values or {},
        moved=next(iter(address.numbers("moved")), None),
        removed="removed" in request.query,
        states=said.states(request),
        item_states=said.badges(request, said.ITEM_STATES),
        state_name=said.state_name,
    )


async def draw_one(
    request: web.Request,
    campaign: Campaign,
    item: Item,
    values: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
) -> web.Response:
    _ = words(request)
    return render(
        request,
        "campaigns/callback.html",
        status=422 if wrong else 200,
        campaign=campaign,
        item=item,
        is_callback=item.state in CALLBACKS,
        values=values,
        errors=wrong or {},
        phones=[
            each
            for each in await items.phones(request.app[DB], campaign.id, item.contact_id)
            if each.callable
        ],
        owners=[
            *([(FREE, _("anybody"))] if campaign.callback_mode != "agent" else []),
            *(
                [(each.id, each.name) for each in people(request, campaign)]
                if campaign.callback_mode != "free"
                else []
            ),
        ],
    )


def people(request: web.Request, campaign: Campaign) -> list[User]:
    """Whose a callback of this campaign may be."""
    everybody = request.app[FLOOR].centre.users.values()
    mine = [user for user in everybody if campaigns.belongs(campaign, user) and can(user, "take_calls")]
    return sorted(mine, key=lambda user: user.name.casefold())


def as_moment(text: str) -> datetime | None:
    """A moment as a browser's field sends it, on the centre's clock; None when it is not one."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=ZONE).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def same_minute(one: datetime, other: datetime) -> bool:
    return one.replace(second=0, microsecond=0) == other.astimezone(UTC).replace(second=0, microsecond=0)
