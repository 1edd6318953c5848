"""A running campaign watched: worked, left, when it will be through, results, agents; pushed as it moves."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, time
from functools import partial
from typing import Any

from aiohttp import web

from crm import campaigns, hours, items
from crm.campaigns import Campaign
from crm.item_states import State
from crm.progress import Progress
from crm.users import User, can
from dialer import windows
from webui.auth import require
from webui.campaigns import recording, said
from webui.campaigns.feed import Feed
from webui.campaigns.find import find
from webui.campaigns.push import push
from webui.page import DB, FLOOR, ZONE, render, words

FEEDS: web.AppKey[dict[int, Feed]] = web.AppKey("campaign_feeds")
SHOWN_AGENTS_MAX = 60  # of whom the page says why the campaign is hidden from them
REGIONS = {"progress": "campaigns/progress.html", "recording": "campaigns/recording_now.html"}
STATES = {  # the order the page counts them in
    State.NOT_WORKED: "not_worked",
    State.TRYING: "trying",
    State.TO_CALL_BACK: "to_call_back",
    State.TRYING_CALLBACK: "trying_callback",
    State.CONCLUDED: "concluded",
    State.HIT_LIMIT: "hit_limit",
    State.CANCELLED: "cancelled",
}

routes = web.RouteTableDef()


async def alongside(app: web.Application) -> AsyncIterator[None]:
    """The feeds of watched campaigns and the lists being recorded, for as long as the application runs."""
    app[FEEDS], app[recording.RECORDINGS] = {}, {}

    def moved() -> None:
        for feed in app[FEEDS].values():
            feed.move()

    def moved_one(campaign_id: int) -> None:
        if feed := app[FEEDS].get(campaign_id):
            feed.move()

    app[recording.MOVED] = moved_one
    unwatch = app[FLOOR].watch(moved)
    yield
    unwatch()
    for feed in app[FEEDS].values():
        await feed.close()
    under_way = [each.task for each in app[recording.RECORDINGS].values() if each.task is not None]
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)


@routes.get("/campaigns/{id:[0-9]{1,9}}")
@require("run_campaigns")
async def one(request: web.Request) -> web.Response:
    return await draw(request, await find(request))


async def draw(
    request: web.Request,
    campaign: Campaign,
    wrong: Mapping[str, str] | None = None,
    copy_name: str | None = None,
) -> web.Response:
    _ = words(request)
    now = datetime.now(UTC)
    picture = await items.progress(request.app[DB], campaign, now)
    return render(
        request,
        "campaigns/watch.html",
        status=422 if wrong else 200,
        errors=wrong or {},
        saved="saved" in request.query,
        copy_name=_("%s (copy)") % campaign.name if copy_name is None else copy_name,
        hidden=await hidden(request, campaign, now),
        hours=said.hours(request, campaign),
        **about(request, campaign, picture),
    )


@routes.get("/campaigns/{id:[0-9]{1,9}}/feed")
@require("run_campaigns")
async def live(request: web.Request) -> web.StreamResponse:
    """Regions of this page and of the list's, whenever they change."""
    campaign = await find(request)
    ask_here = partial(ask, request.app, campaign.id)
    return await push(request, request.app[FEEDS], campaign.id, ask_here, partial(shown, request), REGIONS)


async def ask(app: web.Application, campaign_id: int) -> tuple[Campaign, Progress]:
    campaign = await campaigns.found(app[DB], campaign_id)
    return campaign, await items.progress(app[DB], campaign, datetime.now(UTC))


def shown(request: web.Request, picture: tuple[Campaign, Progress]) -> dict[str, Any]:
    campaign, progress = picture
    return about(request, campaign, progress) | recording.about(request, campaign)


def about(request: web.Request, campaign: Campaign, picture: Progress) -> dict[str, Any]:
    """What the region "progress" is drawn from."""
    now = datetime.now(UTC)
    named = said.badges(request, said.ITEM_STATES)
    every = max(1, picture.all)
    left = picture.seconds_left
    return {
        "campaign": campaign,
        "progress": picture,
        "states": said.states(request),
        "open": campaigns.is_open(campaign, now),
        "opens": campaigns.opens_at(campaign, now),
        "through": pace(request, left),
        "through_at": through_at(campaign, now, left),
        "counted": [
            (int(state), *named[name], picture.states[state], 100 * picture.states[state] / every)
            for state, name in STATES.items()
        ],
        "results": said.badges(request, said.RESULTS),
    }


def through_at(campaign: Campaign, now: datetime, seconds: float | None) -> datetime | None:
    """When so many seconds of calling have passed, in its hours and those of most destinations.

    None when that is not within its validity, or not within a year.
    """
    if not seconds:
        return None
    grid, begins = campaign.hours, now.astimezone(ZONE)
    if campaign.respect_destination_window:
        grid = hours.common(grid, windows.USUAL)
    if campaign.valid_from is not None:
        begins = max(begins, datetime.combine(campaign.valid_from, time(), ZONE))
    at = hours.through_at(grid, begins, seconds)
    if at is None or (campaign.valid_until is not None and at.date() > campaign.valid_until):
        return None
    return at


def pace(request: web.Request, seconds: float | None) -> str:
    """How long it will take at this pace, as roughly as it is known."""
    _ = words(request)
    if seconds is None:
        return "–"
    hours = seconds / 3600
    if hours >= 48:
        return _("%s days") % round(hours / 24)
    return (
        _("%s h") % f"{hours:.1f}".rstrip("0").rstrip(".")
        if hours >= 1
        else _("%s min") % round(seconds / 60)
    )


async def hidden(request: web.Request, campaign: Campaign, now: datetime) -> list[tuple[User, list[str]]]:
    """Each linked agent with what hides the campaign from them (UAU-43)."""
    people = [
        user
        for user in request.app[FLOOR].centre.users.values()
        if can(user, "take_calls") and campaigns.belongs(campaign, user)
    ]
    shown = sorted(people, key=lambda user: user.name.casefold())[:SHOWN_AGENTS_MAX]
    return [
        (
            user,
            [
                said.sentence(request, why)
                for why in await campaigns.why_hidden(request.app[DB], campaign, user, now)
            ],
        )
        for user in shown
    ]
