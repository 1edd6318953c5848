"""A campaign that dials by itself, watched while it does: its calls as a funnel, why it dials as it does, the
figures its limits hold for; paused, slowed or stopped with one click that another one undoes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aiohttp import web

from crm import campaigns, dialing_day, dialing_figures, items
from crm.campaigns import Campaign
from crm.dialing_day import Today
from crm.dialing_figures import MONTH_CALLS, SHORT_DAY_CALLS, SHORT_DAY_PERCENT, Month, Used
from crm.progress import Progress
from crm.refused import Refused
from dialer.drive import FULL, SLOW
from dialer.pacing import Why
from webui.auth import require
from webui.campaigns import said as campaign_words
from webui.campaigns.feed import Feed
from webui.campaigns.find import find
from webui.campaigns.push import push
from webui.campaigns.watch import pace, through_at
from webui.dialing import said
from webui.dialing.curve import curve
from webui.i18n import N_
from webui.page import DB, DRIVES, FLOOR, render, words
from webui.sent import errors

FEEDS: web.AppKey[dict[int, Feed]] = web.AppKey("dialing_feeds")  # 0: of the overview
MONTH: web.AppKey[dict[str, Any]] = web.AppKey("dialing_month")
MONTH_SECONDS = 30.0  # how old the carriers' counts may be
NOTHING = Used(0, 0, 0)
OVERVIEW = 0
REGIONS = {"now": "dialing/now.html"}
ROWS = {"rows": "dialing/rows.html"}
ACTS = ("pause", "resume", "stop", "slow", "full")
AIR_WORDS = {  # from the list to the conversation
    "hopper": N_("Next on the list"),
    "ringing": N_("Ringing"),
    "detecting": N_("Person or machine?"),
    "waiting": N_("Waiting for an agent"),
    "talking": N_("Talking"),
}
AIR = tuple(AIR_WORDS)
GAUGE = 2.0  # how many times the limit a bar is long

routes = web.RouteTableDef()


@dataclass(frozen=True)
class Picture:
    """One campaign at this moment; `view` is its drive's, none while it does not dial."""

    campaign: Campaign
    view: Mapping[str, Any] | None
    today: Today
    progress: Progress
    trunk: Used  # the carrier's count of the trunk it goes out by
    company: Used


async def alongside(app: web.Application) -> AsyncIterator[None]:
    """The feeds of what is watched, for as long as the application runs."""
    app[FEEDS], app[MONTH] = {}, {}

    def moved() -> None:
        for feed in app[FEEDS].values():
            feed.move()

    unwatch = app[FLOOR].watch(moved)
    yield
    unwatch()
    for feed in app[FEEDS].values():
        await feed.close()


# -- Pages ---------------------------------------------------------------------------------------------------


@routes.get("/dialing")
@require("run_campaigns")
async def overview(request: web.Request) -> web.Response:
    context = all_about(request, await everything(request.app))
    return render(request, "dialing/overview.html", errors={}, **context)


@routes.get("/campaigns/{id:[0-9]{1,9}}/live")
@require("run_campaigns")
async def live(request: web.Request) -> web.Response:
    return await draw(request, await find(request))


async def draw(
    request: web.Request, campaign: Campaign, wrong: Mapping[str, str] | None = None
) -> web.Response:
    picture = await of(request.app, campaign)
    return render(
        request,
        "dialing/live.html",
        status=422 if wrong else 200,
        errors=wrong or {},
        **about(request, picture),
    )


@routes.post("/campaigns/{id:[0-9]{1,9}}/live")
@require("run_campaigns")
async def act(request: web.Request) -> web.Response:
    """One of ACTS, in force before the page is drawn again."""
    campaign, sent = await find(request), await request.post()
    db, by, drives, what = request.app[DB], request["user"], request.app[DRIVES], str(sent.get("do", ""))
    if what not in ACTS:
        raise web.HTTPUnprocessableEntity(text="no such act\n")
    try:
        if what in (SLOW, FULL):
            await drives.set_pace(by, campaign.id, what)
        elif what == "resume":
            await campaigns.activate(db, by, campaign.id)
        else:
            await campaigns.pause(db, by, campaign.id)
        await drives.poll()
        if what == "stop" and campaign.id in drives.drives:
            drives.drives[campaign.id].cancel_ringing()
    except Refused as refused:
        if refused.code == "form":  # something is missing: the last step of the wizard names it
            raise web.HTTPSeeOther(f"/campaigns/{campaign.id}/conclusion") from refused
        return await draw(request, await find(request), errors(request, refused))
    for feed in request.app[FEEDS].values():
        feed.move()
    raise web.HTTPSeeOther("/dialing" if "overview" in sent else f"/campaigns/{campaign.id}/live")


# -- What moves by itself ------------------------------------------------------------------------------------


@routes.get("/dialing/feed")
@require("run_campaigns")
async def overview_feed(request: web.Request) -> web.StreamResponse:
    ask, context = partial(everything, request.app), partial(all_about, request)
    return await push(request, request.app[FEEDS], OVERVIEW, ask, context, ROWS)


@routes.get("/campaigns/{id:[0-9]{1,9}}/live/feed")
@require("run_campaigns")
async def live_feed(request: web.Request) -> web.StreamResponse:
    campaign = await find(request)

    async def ask() -> Picture:
        return await of(request.app, await campaigns.found(request.app[DB], campaign.id))

    return await push(request, request.app[FEEDS], campaign.id, ask, partial(about, request), REGIONS)


async def of(app: web.Application, campaign: Campaign) -> Picture:
    db, now = app[DB], datetime.now(UTC)
    drive = app[DRIVES].drives.get(campaign.id) if app[DRIVES] else None
    view = drive.view() if drive else None
    trunk = await campaigns.trunk_of(db, campaign)
    counted = await month(app)
    return Picture(
        campaign,
        view,
        await dialing_day.today(db, campaign, now),
        await items.progress(db, campaign, now),
        counted.trunks.get(trunk.id if trunk else 0, NOTHING),
        counted.all,
    )


async def month(app: web.Application) -> Month:
    """What carriers count, asked for now and then: it takes a while and moves slowly."""
    known, loop = app[MONTH], asyncio.get_running_loop()
    if "month" not in known or loop.time() - known["at"] > MONTH_SECONDS:
        known |= {"at": loop.time(), "month": await dialing_figures.month(app[DB], datetime.now(UTC))}
    return known["month"]


async def everything(app: web.Application) -> list[Picture]:
    """Every campaign that dials by itself and is active or paused."""
    every = await campaigns.all(app[DB], statuses=("active", "paused"))
    return [await of(app, each) for each in every if each.dialing.mode != "manual"]


# -- What the pages are drawn from ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gauge:
    """A share beside its limit, as a bar whose middle is the limit."""

    percent: str
    limit: str
    width: float  # of 100
    tone: str  # ok, warn, bad


def gauge(request: web.Request, percent: float, limit: float) -> Gauge:
    width = min(100.0, 100 * percent / (limit * GAUGE)) if limit else (100.0 if percent else 0.0)
    tone = "bad" if percent > limit else "warn" if percent > 0.85 * limit else "ok"
    return Gauge(said.number(request, percent, 1), said.number(request, limit, 1), round(width, 1), tone)


def about(request: web.Request, picture: Picture) -> dict[str, Any]:
    """One campaign, for "dialing/now.html" and the page around it."""
    _ = words(request)
    campaign, view, day, now = picture.campaign, picture.view, picture.today.day, datetime.now(UTC)
    limit = campaign.dialing.abandon_limit_percent
    figures = view["pacing"] if view else {}
    air = view["air"] if view else dict.fromkeys(AIR, 0)
    most = max(*air.values(), 1)
    left = picture.progress.seconds_left
    return {
        "campaign": campaign,
        "states": campaign_words.states(request),
        "view": view,
        "mode": _(said.MODES[campaign.dialing.mode][0]),
        "why": why(request, picture),
        "silent": silent(request, view),
        "air": [(code, _(AIR_WORDS[code]), air[code], round(100 * air[code] / most, 1)) for code in AIR],
        "level": said.number(request, 100 * figures["level"], 1) if figures else "–",
        "curve": curve(picture.today.quarters, now),
        "figure": partial(said.number, request),
        "trend": round(100 * figures["trend"]) if figures else 0,
        "today": gauge(request, day.abandoned_percent, limit),
        "window": gauge(request, 100 * figures["abandoned_share"], limit) if figures else None,
        "window_word": window_word(request, campaign),
        "day": day,
        "answered": said.number(request, 100 * day.live / day.dialed, 1) if day.dialed else "–",
        "waited": None if day.agent_wait_seconds is None else said.number(request, day.agent_wait_seconds, 1),
        "longest": datetime.fromtimestamp(view["agents"]["longest_idle_since"], UTC)
        if view and view["agents"]["longest_idle_since"]
        else None,
        "trunk": picture.trunk,
        "company": picture.company,
        "month_max": said.number(request, MONTH_CALLS),
        "month_over": picture.company.month > MONTH_CALLS,
        "short_over": short_over(picture.trunk),
        "progress": picture.progress,
        "through": pace(request, left),
        "through_at": through_at(campaign, now, left),
    }


def short_over(used: Used) -> bool:
    """Where the carrier blocks for fifteen days."""
    return used.today >= SHORT_DAY_CALLS and used.short_percent >= SHORT_DAY_PERCENT


def all_about(request: web.Request, pictures: list[Picture]) -> dict[str, Any]:
    return {"shown": [about(request, each) for each in pictures], "states": campaign_words.states(request)}


def why(request: web.Request, picture: Picture) -> str:
    """Why it dials as it does now, in a sentence."""
    _ = words(request)
    campaign, view = picture.campaign, picture.view
    if campaign.status == "paused":
        return _("Paused: nobody is called until it goes on.")
    if campaign.status != "active":
        return _("It is not active: nobody is called.")
    if view is None:
        return _("It begins to dial in a moment.")
    if view["stopped"]:
        return _("It stops: calls that ring are still there.")
    if not view["open"]:
        return _("Outside its hours: nobody is called now.")
    if campaign.dialing.mode == "preview":
        return _("Each free agent sees the next person before the number is dialed.")
    return said.reason(request, Why(view["why"]["code"], view["why"]["values"]))


def silent(request: web.Request, view: Mapping[str, Any] | None) -> str:
    """A trunk that does not even say that it heard of a call."""
    _ = words(request)
    trunk = view["trunk"] if view else None
    if not trunk or trunk.get("silent_seconds") is None:
        return ""
    return _(
        "The trunk %(name)s has answered nothing at all for %(n)s seconds. A call every ten seconds tries "
        "it; nobody loses an attempt by it."
    ) % {"name": trunk["name"], "n": round(trunk["silent_seconds"])}


def window_word(request: web.Request, campaign: Campaign) -> str:
    _ = words(request)
    window = str(campaign.dialing.window)
    return _(said.WINDOWS[window]) if window in said.WINDOWS else _("The last %s minutes") % window
