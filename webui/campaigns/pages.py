"""Campaigns (UAU-04, UAU-29): the list of them, one running campaign watched, and what is done to it.

The other pages of a campaign stand beside this one: wizard (its settings), recording (its list), items (who
is on it), held (items in use) and callbacks.
"""

from aiohttp import web

from crm import campaign_counts, campaigns
from crm.refused import Refused
from webui.address import Address, last_page
from webui.auth import require
from webui.campaigns import callbacks, held, items, leads, recording, said, watch, wizard
from webui.campaigns.find import find
from webui.page import DB, render, words
from webui.sent import errors

PER_PAGE = 50

own = web.RouteTableDef()
alongside = watch.alongside


@own.get("/campaigns")
@require("run_campaigns")
async def all_campaigns(request: web.Request) -> web.Response:
    _ = words(request)
    db, address = request.app[DB], Address("/campaigns", request.query)
    text = address.text("text")
    statuses = [status for status in address.texts("status") if status in said.STATES]
    count = await campaigns.count(db, text, statuses)
    page = min(address.page, last_page(count, PER_PAGE))
    shown = await campaigns.all(db, text, statuses, PER_PAGE, (page - 1) * PER_PAGE)
    return render(
        request,
        "campaigns/list.html",
        address=address,
        campaigns=shown,
        counts=await campaign_counts.by_campaign(db, [each.id for each in shown]),
        hours={each.id: said.hours(request, each) for each in shown},
        count=count,
        page=page,
        last=last_page(count, PER_PAGE),
        statuses=statuses,
        states=said.states(request),
        sources={code: word for code, word, _meaning in said.explained(request, said.SOURCES)},
    )


@own.post("/campaigns/{id:[0-9]{1,9}}/status")
@require("run_campaigns")
async def change_status(request: web.Request) -> web.Response:
    """Activate, pause or end it: the button says which."""
    campaign, sent = await find(request), await request.post()
    change = {"activate": campaigns.activate, "pause": campaigns.pause, "end": campaigns.end}.get(
        str(sent.get("do", ""))
    )
    if change is None:
        raise web.HTTPUnprocessableEntity(text="no such change\n")
    try:
        await change(request.app[DB], request["user"], campaign.id)
    except Refused as refused:
        if refused.code == "form":  # something is missing: the last step of the wizard names it
            raise web.HTTPSeeOther(f"/campaigns/{campaign.id}/conclusion") from refused
        return await watch.draw(request, campaign, errors(request, refused))
    raise web.HTTPSeeOther(f"/campaigns/{campaign.id}?saved=1")


@own.post("/campaigns/{id:[0-9]{1,9}}/copy")
@require("run_campaigns")
async def copy(request: web.Request) -> web.Response:
    campaign, sent = await find(request), await request.post()
    try:
        made = await campaigns.copy(
            request.app[DB], request["user"], campaign.id, str(sent.get("copy_name", ""))
        )
    except Refused as refused:
        wrong = errors(request, refused)
        wrong = {"copy_name": wrong["name"]} if "name" in wrong else wrong
        return await watch.draw(request, campaign, wrong, str(sent.get("copy_name", "")))
    raise web.HTTPSeeOther(f"/campaigns/{made.id}/identification")


@own.post("/campaigns/{id:[0-9]{1,9}}/remove")
@require("run_campaigns")
async def remove(request: web.Request) -> web.Response:
    campaign = await find(request)
    try:
        await campaigns.remove(request.app[DB], request["user"], campaign.id)
    except Refused as refused:
        return await watch.draw(request, campaign, errors(request, refused))
    raise web.HTTPSeeOther("/campaigns?removed=1")


routes = [
    *own,
    *wizard.routes,
    *watch.routes,
    *recording.routes,
    *items.routes,
    *held.routes,
    *callbacks.routes,
    *leads.routes,
]
