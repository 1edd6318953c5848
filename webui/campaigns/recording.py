"""Prepare and record a campaign's list (UAU-30 … UAU-34): show it, its history, add new items, rebuild it.

Recording millions takes a while, so it goes on by itself: the page waits a moment for it, and when that was
not enough shows how far it is over its WebSocket, until it is done or somebody cancels it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import aiohttp
from aiohttp import web

from crm import campaign_counts, contacts, filters, leads, lists
from crm.campaigns import Campaign
from crm.db import AWAY
from crm.lists import Load, Progress
from crm.refused import Refused
from crm.said import Said
from crm.users import User
from dialer import validation
from webui.address import Address, last_page
from webui.auth import require
from webui.campaigns import said
from webui.campaigns.find import find
from webui.counting import while_there
from webui.page import DB, fragment, render, words
from webui.page import said as refusal

PER_PAGE = 50
FAILURES_SHOWN = 10
MOMENT_SECONDS = 2.0  # a list recorded within this is simply there when the page comes back

log = logging.getLogger(__name__)
routes = web.RouteTableDef()


@dataclass(frozen=True)
class Failure:
    """A validation that gave no answer about somebody."""

    contact_id: int
    contact: str
    why: str
    fault: Refused | None


@dataclass
class Recording:
    """One list being recorded, or the last one of its campaign."""

    kind: str
    by: str
    since: datetime
    progress: Progress = field(default_factory=partial(Progress, "looking", 0, 0))
    load: Load | None = None
    refused: Refused | None = None
    cancelled_by: str = ""
    failures: list[Failure] = field(default_factory=list)  # the first few
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        return self.task is not None and not self.task.done()


RECORDINGS: web.AppKey[dict[int, Recording]] = web.AppKey("recordings")
MOVED: web.AppKey[Callable[[int], None]] = web.AppKey("campaign_moved")  # tells who watches the campaign


@routes.get("/campaigns/{id:[0-9]{1,9}}/list")
@require("run_campaigns")
async def prepare(request: web.Request) -> web.Response:
    return await draw(request, await find(request))


@routes.post("/campaigns/{id:[0-9]{1,9}}/list")
@require("run_campaigns")
async def record(request: web.Request) -> web.Response:
    _ = words(request)
    campaign, sent = await find(request), await request.post()
    kind = str(sent.get("kind", ""))
    if kind not in (lists.ADD, lists.REBUILD):
        return await draw(request, campaign, _("Choose what to do."))
    if kind == lists.REBUILD and "sure" not in sent:
        return await draw(request, campaign, _("Tick that you have read what rebuilding erases."), kind=kind)
    recordings = request.app[RECORDINGS]
    current = recordings.get(campaign.id)
    if current is None or not current.running:
        current = begin(request.app, request["user"], campaign, kind)
    if current.task is not None:
        await asyncio.wait([current.task], timeout=MOMENT_SECONDS)
    if current.refused is not None:
        return await draw(request, campaign, refusal(request, current.refused), kind=kind)
    raise web.HTTPSeeOther(f"/campaigns/{campaign.id}/list?recorded=1#history")


@routes.get("/campaigns/{id:[0-9]{1,9}}/list/counted")
@require("run_campaigns")
async def counted(request: web.Request) -> web.Response:
    """How many would be added, and why the others not: asked for by the page that shows the first of them."""
    campaign = await find(request)
    try:
        standings = await while_there(request, lists.standings(request.app[DB], campaign))
    except Refused as refused:
        raise web.HTTPConflict(text=f"{refusal(request, refused)}\n") from refused
    return web.Response(
        text=fragment(request, "campaigns/standings.html", standings=standings), content_type="text/html"
    )


@routes.get("/campaigns/{id:[0-9]{1,9}}/list/{load:[0-9]{1,9}}")
@require("run_campaigns")
async def refused_people(request: web.Request) -> web.Response:
    """Whom the validation refused when this list was recorded, or gave no answer about, and why."""
    db, campaign = request.app[DB], await find(request)
    try:
        load = await lists.by_id(db, int(request.match_info["load"]))
    except Refused as refused:
        raise web.HTTPNotFound(text="no such list\n") from refused
    if load.campaign_id != campaign.id:
        raise web.HTTPNotFound(text="no such list of this campaign\n")
    address = Address(f"/campaigns/{campaign.id}/list/{load.id}", request.query)
    last = last_page(load.refusals, PER_PAGE)
    page = min(address.page, last)
    rows = await lists.refusals(db, load.id, PER_PAGE, (page - 1) * PER_PAGE)
    return render(
        request,
        "campaigns/refusals.html",
        campaign=campaign,
        load=load,
        address=address,
        rows=[
            (each, said.sentence(request, each.why) if isinstance(each.why, Said) else each.why)
            for each in rows
        ],
        page=page,
        last=last,
        kinds=dict(said.choices(request, said.KINDS)),
        states=said.states(request),
    )


@routes.post("/campaigns/{id:[0-9]{1,9}}/list/cancel")
@require("run_campaigns")
async def cancel(request: web.Request) -> web.Response:
    """The list stays as it was before it began."""
    campaign = await find(request)
    current = request.app[RECORDINGS].get(campaign.id)
    if current is not None and current.running and current.task is not None:
        current.cancelled_by = request["user"].name
        current.task.cancel()
        await asyncio.wait([current.task])
    raise web.HTTPSeeOther(f"/campaigns/{campaign.id}/list")


def begin(app: web.Application, by: User, campaign: Campaign, kind: str) -> Recording:
    """Refused things come out at the next look; whoever waits looks at `task`."""
    current = app[RECORDINGS][campaign.id] = Recording(kind, by.name, datetime.now(UTC))

    async def work() -> None:
        hooks = validation.Validation(app[DB])

        async def ask(about: Campaign, person: lists.Person) -> validation.Verdict:
            told = validation.Person(person.external_code, person.internal_code, person.document)
            verdict = await hooks.ask(
                about.validate_list, about.validation_inputs, told, about.validation_seconds
            )
            if verdict.failed and len(current.failures) < FAILURES_SHOWN:
                contact = await contacts.by_id(app[DB], int(person.internal_code))
                name = contact.name if contact else ""
                failure = Failure(int(person.internal_code), name, verdict.why, verdict.fault)
                current.failures.append(failure)
            return verdict

        def note(progress: Progress) -> None:
            current.progress = progress
            app[MOVED](campaign.id)

        try:
            current.load = await lists.generate(app[DB], by, campaign.id, kind, datetime.now(UTC), ask, note)
        except Refused as refused:
            current.refused = refused
        except (*AWAY, aiohttp.ClientError):
            log.exception("the list of campaign %s could not be recorded", campaign.id)
            current.refused = Refused("The records could not be reached. The list is as it was; try again.")
        finally:
            await hooks.close()

    current.task = asyncio.create_task(work(), name=f"list of campaign {campaign.id}")
    current.task.add_done_callback(lambda _: app[MOVED](campaign.id))
    return current


async def draw(request: web.Request, campaign: Campaign, wrong: str = "", kind: str = "") -> web.Response:
    db, address = request.app[DB], Address(f"/campaigns/{campaign.id}/list", request.query)
    shown, standings, unshown = None, None, ""
    if address.text("show"):
        try:
            shown = await lists.show_list(db, campaign, PER_PAGE + 1, (address.page - 1) * PER_PAGE)
            if address.text("count"):  # by who has no scripts
                standings = await lists.standings(db, campaign)
        except Refused as refused:
            unshown = refusal(request, refused)
        except TimeoutError:
            _ = words(request)
            unshown = _("The list is too large to be shown now. It can be recorded all the same.")
    saved = await filters.by_id(db, campaign.filter_id) if campaign.filter_id else None
    counted = (await campaign_counts.by_campaign(db, [campaign.id]))[campaign.id]
    return render(
        request,
        "campaigns/recording.html",
        status=422 if wrong else 200,
        address=address,
        wrong=wrong,
        kind=kind,
        counts=counted,
        filter=saved,
        shown=shown[:PER_PAGE] if shown else shown,
        more=shown is not None and len(shown) > PER_PAGE,
        standings=standings,
        unshown=unshown,
        page=address.page,
        loads=await lists.loads(db, campaign.id),
        leads=await leads.of_campaign(db, campaign.id, PER_PAGE) if campaign.source == "leads" else None,
        **about(request, campaign),
    )


def about(request: web.Request, campaign: Campaign) -> dict[str, object]:
    """What the region "recording" is drawn from, here and when it is pushed."""
    _ = words(request)
    current = request.app[RECORDINGS].get(campaign.id)
    return {
        "campaign": campaign,
        "recording": current,
        "step": _(said.STEPS[current.progress.step]) if current else "",
        "failures": [
            (each, refusal(request, each.fault) if each.fault else each.why)
            for each in (current.failures if current else [])
        ],
        "refused": refusal(request, current.refused) if current and current.refused else "",
        "kinds": dict(said.choices(request, said.KINDS)),
        "states": said.states(request),
    }
