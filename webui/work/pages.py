"""An agent's work in campaigns: the list, the person in hand, and the telemarketing operation."""

import datetime
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from crm import actions, attempts, callbacks, campaigns, contacts, filters, items, scripts
from crm.calls import ZONE
from crm.campaigns import Campaign
from crm.entry import missing
from crm.item_states import Result, State
from crm.progress import Criteria
from crm.refused import Refused
from crm.scripts import ScriptKind
from webui import live
from webui.auth import require
from webui.campaigns import said as campaign_words
from webui.desk.pages import as_arguments
from webui.i18n import N_
from webui.page import DB, FLOOR, PERFORM, fragment, render, said, words
from webui.sent import errors as wrong_fields
from webui.sent import typed

routes = web.RouteTableDef()

live.PAGES["work"] = {
    "status": "desk/status.html",
    "call": "desk/call.html",
    "work": "work/window.html",
    "form": "desk/form.html",
    "save": "work/outcome.html",
    "pending": "desk/pending.html",
}
SITUATIONS = (State.NOT_WORKED, State.TRYING, State.TO_CALL_BACK, State.TRYING_CALLBACK)  # UAU-48 … UAU-51
VIEWS: Mapping[str, str] = {  # of the telemarketing operation, TEL-04 … TEL-06
    "not_worked": N_("Not worked customers"),
    "scheduled": N_("Scheduled customers"),
    "concluded": N_("Concluded customers"),
}
RESULTS = (
    (Result.SUCCESS, N_("Success")),
    (Result.FAILURE, N_("Failure")),
    (Result.CALLBACK, N_("Callback")),
)
DONE: Mapping[str, str] = {  # what the operation says once it is carried out
    "MoveCallback": N_("The schedule was moved."),
    "RemoveCallback": N_("The schedule was deleted; the person can be tried again at once."),
    "LinkCustomer": N_("The customer is on the list now."),
}
CRITERIA = ("name", "document", "phone", "external_code")
BLANK_OUTCOMES = 6  # lines offered for new outcomes of an action type
DAYS = {"today": 0, "week": 6, "month": 29}


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


# -- My campaigns ------------------------------------------------------------------------------------------


@routes.get("/work")
@require("take_calls")
async def mine(request: web.Request) -> web.Response:
    """The campaigns open to me, and of any other the rules that hide it (UAU-42, UAU-43)."""
    db, user, at = request.app[DB], request["user"], now()
    shown = await campaigns.visible_to(db, user, at)
    known = {campaign.id for campaign in shown}
    every = await campaigns.all(db, statuses=("active", "paused", "ended"))
    hidden = [each for each in every if each.id not in known]
    asked = next((each for each in hidden if str(each.id) == request.query.get("why")), None)
    why = await campaigns.why_hidden(db, asked, user, at) if asked else []
    return render(
        request,
        "work/list.html",
        campaigns=[
            (each, await callbacks.overdue_count(db, user, at, each.id), campaigns.is_open(each, at))
            for each in shown
        ],
        hidden=hidden,
        asked=asked,
        why=[campaign_words.sentence(request, each) for each in why],
        work=request.app[FLOOR].desk(user).snapshot().get("work"),
        refused=request.query.get("refused", ""),
    )


# -- One campaign: its list, and the person in hand --------------------------------------------------------


@routes.get(r"/work/{campaign:\d+}")
@require("take_calls")
async def one(request: web.Request) -> web.Response:
    campaign = await campaign_of(request)
    desk = request.app[FLOOR].desk(request["user"])
    refusal = request.query.get("refused", "")
    try:
        await request.app[PERFORM](desk.floor, desk, "OpenCampaign", {"campaign": campaign.id})
    except Refused as refused:
        refusal = refusal or said(request, refused)
    snapshot = desk.snapshot()
    templates = live.PAGES["work"]
    return render(
        request,
        "work/page.html",
        page_name="work",
        desk=snapshot,
        regions={name: fragment(request, each, desk=snapshot) for name, each in templates.items()},
        refusal=refusal,
        campaign=campaign,
        **await people(request, campaign),
    )


@routes.get(r"/work/{campaign:\d+}/people")
@require("take_calls")
async def people_again(request: web.Request) -> web.Response:
    """The list alone, for the page that has finished with somebody."""
    campaign = await campaign_of(request)
    html = fragment(request, "work/people.html", campaign=campaign, **await people(request, campaign))
    return web.Response(text=html, content_type="text/html")


async def people(request: web.Request, campaign: Campaign) -> dict[str, Any]:
    query, user, at = request.query, request["user"], now()
    criteria = Criteria(*(query.get(name, "").strip()[:100] for name in CRITERIA))
    situation = next((each for each in SITUATIONS if each.name.lower() == query.get("situation")), None)
    page = int(query["page"]) if query.get("page", "").isdecimal() and len(query["page"]) < 5 else 1
    kept = {name: query[name] for name in (*CRITERIA, "situation") if query.get(name)}
    return {
        "found": await items.search(request.app[DB], campaign, user, criteria, situation, at, page),
        "criteria": criteria,
        "asked": bool(kept),
        "situation": situation.name.lower() if situation else "",
        "situations": [each.name.lower() for each in SITUATIONS],
        "states": campaign_words.badges(request, campaign_words.ITEM_STATES),
        "last": dict(campaign_words.choices(request, campaign_words.SITUATIONS)),
        "overdue": await callbacks.overdue_count(request.app[DB], user, at, campaign.id),
        "at": at,
        "address": lambda number: f"/work/{campaign.id}?" + urlencode({**kept, "page": number}),
    }


async def campaign_of(request: web.Request) -> Campaign:
    """Refused as if it were not there, to those who do not belong to it."""
    campaign = await campaigns.by_id(request.app[DB], int(request.match_info["campaign"][:9]))
    if campaign is None or not campaigns.belongs(campaign, request["user"]):
        raise web.HTTPNotFound(text="there is no such campaign for you\n")
    return campaign


@routes.post("/work/act/{verb}")
@require("take_calls")
async def act(request: web.Request) -> web.StreamResponse:
    """A button pressed where no script runs: the verb, then the page it was on, with the refusal if any."""
    desk = request.app[FLOOR].desk(request["user"])
    sent = typed(await request.post())
    back = sent.pop("back", "")
    before = desk.snapshot().get("work")
    home = f"/work/{before['campaign']['id']}" if before else "/work"
    place = back if back == "/work" or back.startswith(("/work/", "/work?")) else home
    try:
        arguments = as_arguments({key: value for key, value in sent.items() if key not in ("csrf", "verb")})
        answer = await request.app[PERFORM](desk.floor, desk, request.match_info["verb"], arguments)
    except Refused as refused:
        mark = "&" if "?" in place else "?"
        raise web.HTTPSeeOther(place + mark + urlencode({"refused": in_words(request, refused)})) from refused
    taken = answer.get("work")
    if request.match_info["verb"] in DONE:
        place += ("&" if "?" in place else "?") + urlencode({"done": request.match_info["verb"]})
    raise web.HTTPSeeOther(f"/work/{taken['campaign']['id']}" if taken else place)


def in_words(request: web.Request, refused: Refused) -> str:
    wrong = wrong_fields(request, refused)
    return " ".join(sorted(set(wrong.values())))[:500]


@routes.get(r"/work/history/{contact:\d+}")
@require("take_calls")
async def history(request: web.Request) -> web.Response:
    """TEL-13: all that was done towards a customer, and every attempt."""
    db, contact_id = request.app[DB], int(request.match_info["contact"][:18])
    html = fragment(
        request,
        "work/history.html",
        actions=await actions.history(db, contact_id),
        attempts=await attempts.of_contact(db, contact_id, 30),
        last=dict(campaign_words.choices(request, campaign_words.SITUATIONS)),
        results=campaign_words.badges(request, campaign_words.RESULTS),
    )
    return web.Response(text=html, content_type="text/html")


# -- The telemarketing operation ---------------------------------------------------------------------------


@routes.get("/work/operation")
@require("take_calls")
async def operation(request: web.Request) -> web.Response:
    """TEL-02 … TEL-06: whom I may act on, in every campaign that is active up to today."""
    db, user, at, query = request.app[DB], request["user"], now(), request.query
    shown = await campaigns.visible_to(db, user, at)
    view = query.get("view", "")
    view = view if view in VIEWS else "not_worked"
    chosen = [each for each in shown if str(each.id) == query.get("campaign")] or shown
    name = query.get("name", "").strip()[:100]
    saved = await filters.all(db)
    own = next((each for each in saved if str(each.id) == query.get("filter")), None)
    page = int(query["page"]) if re.fullmatch(r"[1-9][0-9]{0,4}", query.get("page", "")) else 1
    rows, more = await actions.customers(
        db, user, view, [each.id for each in chosen], name=name, tree=own.tree if own else None, page=page
    )
    kept = {key: query[key] for key in ("campaign", "name", "filter") if query.get(key)}
    _ = words(request)
    return render(
        request,
        "work/operation.html",
        view=view,
        views=[
            (key, _(label), "/work/operation?" + urlencode({"view": key, **kept}))
            for key, label in VIEWS.items()
        ],
        linkable=[each for each in shown if each.link_person],
        choices=[(each.id, each.name) for each in shown],
        filters=[(each.id, each.name) for each in saved],
        own=own,
        chosen=query.get("campaign", ""),
        name=name,
        rows=rows,
        page=page,
        more=more,
        address=lambda number: "/work/operation?" + urlencode({"view": view, **kept, "page": number}),
        back="/work/operation?" + urlencode({"view": view, **kept}),
        at=at,
        states=campaign_words.badges(request, campaign_words.ITEM_STATES),
        last=dict(campaign_words.choices(request, campaign_words.SITUATIONS)),
        refused=query.get("refused", ""),
        done=_(DONE[query["done"]]) if query.get("done") in DONE else "",
        at_a_station=request.app[FLOOR].desk(user).station is not None,
        customers=await contacts.search(db, query["customer"], 8) if query.get("customer") else [],
        customer=query.get("customer", ""),
    )


@routes.get("/work/statistics")
@require("take_calls")
async def statistics(request: web.Request) -> web.Response:
    """TEL-14: what I did, by campaign, action and outcome; my own figures only."""
    period = request.query.get("period", "")
    period = period if period in DAYS else "today"
    today = datetime.datetime.now(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    start, end = today - datetime.timedelta(days=DAYS[period]), today + datetime.timedelta(days=1)
    counts = await actions.statistics(request.app[DB], request["user"], start, end)
    return render(
        request,
        "work/statistics.html",
        period=period,
        counts=counts,
        all=sum(each.count for each in counts),
        contacts=sum(each.count for each in counts if each.result in set(Result)),
        successes=sum(each.count for each in counts if each.result == "success"),
    )


# -- Kinds of action ---------------------------------------------------------------------------------------


@routes.get("/actions")
@require("run_campaigns")
async def action_types(request: web.Request) -> web.Response:
    return render(
        request,
        "work/actions.html",
        types=await actions.types(request.app[DB], active_only=False),
        scripts={script.id: script.name for script in await scripts.all(request.app[DB])},
        results=dict(results(request)),
    )


@routes.get("/actions/new")
@require("run_campaigns")
async def new_action_type(request: web.Request) -> web.Response:
    return await action_form(request, None, {"active": True, "outcomes": []})


@routes.post("/actions/new")
@require("run_campaigns")
async def create_action_type(request: web.Request) -> web.Response:
    given = action_values(typed(await request.post()))
    try:
        await actions.create_type(request.app[DB], request["user"], **given)
    except Refused as refused:
        return await action_form(request, None, given, refused)
    raise web.HTTPSeeOther("/actions")


@routes.get(r"/actions/{type:\d+}")
@require("run_campaigns")
async def one_action_type(request: web.Request) -> web.Response:
    kind = await action_type_of(request)
    given = {
        "name": kind.name,
        "script_id": kind.script_id,
        "active": kind.active,
        "outcomes": [{"id": o.id, "name": o.name, "result": str(o.result)} for o in kind.outcomes],
    }
    return await action_form(request, kind, given)


@routes.post(r"/actions/{type:\d+}")
@require("run_campaigns")
async def change_action_type(request: web.Request) -> web.Response:
    kind = await action_type_of(request)
    given = action_values(typed(await request.post()))
    try:
        await actions.update_type(request.app[DB], request["user"], kind.id, **given)
    except Refused as refused:
        return await action_form(request, kind, given, refused)
    raise web.HTTPSeeOther("/actions")


async def action_type_of(request: web.Request) -> actions.ActionType:
    kind = await actions.type_by_id(request.app[DB], int(request.match_info["type"][:9]))
    if kind is None:
        raise web.HTTPNotFound(text=str(missing("type")))
    return kind


def action_values(sent: Mapping[str, str]) -> dict[str, Any]:
    """Outcomes come as lines: outcome_1_name, outcome_1_result, outcome_1_id."""
    lines = sorted(
        {int(key.split("_")[1]) for key in sent if key.startswith("outcome_") and key.split("_")[1].isdigit()}
    )
    return {
        "name": sent.get("name", ""),
        "script_id": sent.get("script_id", ""),
        "active": "active" in sent,
        "outcomes": [
            {part: sent.get(f"outcome_{n}_{part}", "") for part in ("id", "name", "result")} for n in lines
        ],
    }


async def action_form(
    request: web.Request,
    kind: actions.ActionType | None,
    given: Mapping[str, Any],
    refused: Refused | None = None,
) -> web.Response:
    blank = {"id": "", "name": "", "result": ""}
    every = await scripts.all(request.app[DB])
    return render(
        request,
        "work/action.html",
        status=422 if refused else 200,
        kind=kind,
        given=given,
        lines=[each for each in given["outcomes"] if each["name"]] + [blank] * BLANK_OUTCOMES,
        scripts=[(each.id, each.name) for each in every if each.kind is ScriptKind.APPROACH],
        results=results(request),
        errors=wrong_fields(request, refused) if refused else {},
    )


def results(request: web.Request) -> list[tuple[str, str]]:
    _ = words(request)
    return [(str(result), _(label)) for result, label in RESULTS]
