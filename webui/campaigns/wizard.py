"""The wizard of a campaign (UAU-05 … UAU-28): four steps, each kept on the server when one leaves it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from crm import campaign_choices, campaigns, filters, hours, layouts, scripts, tickets
from crm.campaigns import Campaign
from crm.item_states import SITUATION_LABELS, Situation
from crm.refused import Refused
from crm.users import can
from dialer import retry, windows
from webui.address import is_id
from webui.auth import require
from webui.campaigns import said as says
from webui.campaigns.find import find
from webui.campaigns.hours import cells, spans, within
from webui.counting import while_there
from webui.i18n import N_
from webui.page import DB, FLOOR, fragment, render, words
from webui.queues.pages import by_group
from webui.sent import errors, several, typed

STEPS = {
    "identification": N_("Identification"),
    "period": N_("Operating period"),
    "settings": N_("Additional settings"),
    "conclusion": N_("Conclusion"),
}
TEXTS = {
    "identification": (
        "name", "objective", "message", "external_code", "source", "filter_id", "import_layout_id",
    ),
    "period": ("valid_from", "valid_until", "callback_mode", "hours_preset"),
    "settings": (
        "script_id", "layout_id", "route_id", "caller_id", "attempts_max", "number_attempts_per_day_max",
        "company_target", "ticket_mode", "ticket_type_id", "validation_seconds", "validation_on_failure",
    ),
    "conclusion": (),
}  # fmt: skip
SWITCHES = {
    "identification": ("defines_hours", "validates", "link_person"),
    "period": ("permanent", "respect_destination_window"),
    "settings": (),
    "conclusion": (),
}
SETS = ("agents", "groups", "company_types", "validation_inputs", "hour")
HOOKS = ("validate_list", "validate_dial")
PROCEDURE = "procedure:"
RETRIED = tuple(  # the outcomes after which a person may be tried again
    situation
    for situation in SITUATION_LABELS
    if situation in retry.MINUTES and situation != Situation.CANCELLED
)
STEP_OF = {  # where what is missing is filled in
    "filter_id": "identification",
    "import_layout_id": "identification",
}

Chosen = Mapping[str, Sequence[str]]

routes = web.RouteTableDef()


@routes.get("/campaigns/new")
@require("run_campaigns")
async def new(request: web.Request) -> web.Response:
    return await draw(request, None, "identification", {"source": "filter"}, dict.fromkeys(SETS, ()))


@routes.post("/campaigns/new")
@require("run_campaigns")
async def create(request: web.Request) -> web.Response:
    sent = await request.post()
    try:
        made = await campaigns.create_draft(request.app[DB], request["user"], **facts("identification", sent))
    except Refused as refused:
        return await refusal(request, None, "identification", sent, errors(request, refused))
    raise web.HTTPSeeOther(onward(made, "identification", sent))


@routes.get("/campaigns/audience")
@require("run_campaigns")
async def audience(request: web.Request) -> web.Response:
    """How many customers the filter in hand finds now, in a sentence; nothing when it is not there.

    X-Exact: 0 says that it is an estimate; who asks for `exact` waits longer for the number itself.
    """
    asked = request.query.get("filter", "")
    saved = await filters.by_id(request.app[DB], int(asked)) if is_id(asked) else None
    if saved is None:
        return web.Response(text="")
    db, tree = request.app[DB], saved.tree
    if "exact" in request.query:
        found = await while_there(request, filters.count(db, tree, filters.EXACT_SECONDS))
    else:
        found = await filters.count(db, tree)
    told = fragment(request, "campaigns/audience.html", count=found)
    return web.Response(text=told, headers={"X-Exact": str(int(found.exact))})


@routes.get("/campaigns/{id:[0-9]{1,9}}/{step:identification|period|settings|conclusion}")
@require("run_campaigns")
async def one(request: web.Request) -> web.Response:
    campaign, step = await find(request), request.match_info["step"]
    return await draw(request, campaign, step, values_of(campaign), chosen_of(campaign))


@routes.post("/campaigns/{id:[0-9]{1,9}}/{step:identification|period|settings|conclusion}")
@require("run_campaigns")
async def save(request: web.Request) -> web.Response:
    db, by = request.app[DB], request["user"]
    campaign, step, sent = await find(request), request.match_info["step"], await request.post()
    go = str(sent.get("go", ""))
    try:
        if step != "conclusion":
            campaign = await campaigns.save_step(db, by, campaign.id, step, facts(step, sent))
        if go == "activate":
            await campaigns.activate(db, by, campaign.id)
    except Refused as refused:
        return await refusal(request, campaign, step, sent, errors(request, refused))
    raise web.HTTPSeeOther(onward(campaign, step, sent))


def onward(campaign: Campaign, step: str, sent: MultiMapping[Any]) -> str:
    """Where the pressed button leads, now that the step is kept."""
    here, go, order = f"/campaigns/{campaign.id}", str(sent.get("go", "")), list(STEPS)
    match go:
        case "leave":
            return f"{here}?saved=1"
        case "activate":
            return f"{here}/list?activated=1"
        case "define_hours":
            return f"{here}/period"
        case "back":
            there = order[max(0, order.index(step) - 1)]
        case _:
            there = go if go in STEPS else order[min(len(order) - 1, order.index(step) + 1)]
    return f"{here}/{there}"


async def refusal(
    request: web.Request,
    campaign: Campaign | None,
    step: str,
    sent: MultiMapping[Any],
    wrong: Mapping[str, str],
) -> web.Response:
    """The step as it was typed. Why it could not be activated stands in the list of what is missing."""
    if step == "conclusion":
        assert campaign is not None
        return await draw(request, campaign, step, values_of(campaign), chosen_of(campaign), wrong)
    kept = values_of(campaign) if campaign else {}
    for name in SWITCHES[step]:
        kept[name] = ""
    return await draw(request, campaign, step, kept | typed(sent), {n: several(sent, n) for n in SETS}, wrong)


async def draw(
    request: web.Request,
    campaign: Campaign | None,
    step: str,
    values: Mapping[str, str],
    chosen: Chosen,
    wrong: Mapping[str, str] | None = None,
) -> web.Response:
    _ = words(request)
    more = {
        "identification": identification,
        "period": period,
        "settings": settings,
        "conclusion": conclusion,
    }[step]
    return render(
        request,
        "campaigns/wizard.html",
        status=422 if wrong else 200,
        campaign=campaign,
        action=f"/campaigns/{campaign.id}/{step}" if campaign else "/campaigns/new",
        step=step,
        steps=[(code, _(word)) for code, word in STEPS.items()],
        done=await done(request, campaign),
        values=values,
        chosen=chosen,
        errors=wrong or {},
        saved="saved" in request.query,
        states=says.states(request),
        **await more(request, campaign, values, chosen),
    )


async def done(request: web.Request, campaign: Campaign | None) -> set[str]:
    """The steps in which nothing is missing; the last is done once the campaign is active."""
    if campaign is None:
        return set()
    if campaign.status != "draft":
        return set(STEPS)
    missing = await campaigns.hindrances(request.app[DB], campaign)
    return set(STEPS) - {"conclusion"} - {STEP_OF.get(each.rule, "settings") for each in missing}


# -- What each step shows ------------------------------------------------------------------------------------


async def identification(
    request: web.Request, campaign: Campaign | None, values: Mapping[str, str], chosen: Chosen
) -> dict[str, Any]:
    db = request.app[DB]
    return {
        "source_choices": says.explained(request, says.SOURCES),
        "filters": [(each.id, each.name) for each in await filters.all(db)],
        "import_layouts": await campaign_choices.import_layouts(db),
    }


async def period(
    request: web.Request, campaign: Campaign | None, values: Mapping[str, str], chosen: Chosen
) -> dict[str, Any]:
    _ = words(request)
    presets = {code: cells(grid) for code, grid in hours.PRESETS.items()}
    return {
        "preset_choices": [
            (code, word, _("%s hours a week") % number(hours.hours_per_week(grid)) if grid else meaning)
            for code, word, meaning in says.explained(request, says.PRESETS)
            for grid in [hours.PRESETS.get(code)]
        ],
        "callback_choices": says.explained(request, says.CALLBACKS),
        "days": [_(day) for day in says.DAYS],
        "ticked": set(chosen["hour"]),
        "preset_cells": json.dumps(presets),
        "destination_cells": json.dumps(cells(windows.USUAL)),
        "hours_said": hours_said(
            request,
            hours.PRESETS.get(values.get("hours_preset", "")) or spans(chosen["hour"]),
            bool(values.get("respect_destination_window")),
        ),
    }


async def settings(
    request: web.Request, campaign: Campaign | None, values: Mapping[str, str], chosen: Chosen
) -> dict[str, Any]:
    _ = words(request)
    db, centre = request.app[DB], request.app[FLOOR].centre
    people = [
        each for each in centre.users.values() if can(each, "take_calls") or str(each.id) in chosen["agents"]
    ]
    types = await campaign_choices.company_types(db)
    return {
        "people": by_group(people),
        "groups": sorted(centre.groups.values(), key=lambda group: group.name.casefold()),
        "scripts": [(each.id, each.name) for each in await scripts.all(db)],
        "layouts": [(each.id, each.label) for each in await layouts.all(db)],
        "routes": [(each.id, each.name) for each in centre.routes.values()],
        "ticket_types": [(each.id, each.name) for each in await tickets.types(db)],
        "ticket_choices": says.explained(request, says.TICKETS),
        "company_choices": says.explained(request, says.COMPANY),
        "company_types": [*types, *(each for each in chosen["company_types"] if each and each not in types)],
        "retry_rules": [(each, _(says.SITUATIONS[each]), retry.MINUTES[each]) for each in RETRIED],
        "procedures": [(name, name) for name in await campaigns.procedures(db)],
        "input_choices": says.choices(request, says.INPUTS),
        "failure_choices": list(failure_choices(request).items()),
    }


def failure_choices(request: web.Request) -> dict[str, str]:
    _ = words(request)
    return {
        "skip": _("The person is not called, and why is shown"),
        "allow": _("The person is called all the same"),
    }


async def conclusion(
    request: web.Request, campaign: Campaign | None, values: Mapping[str, str], chosen: Chosen
) -> dict[str, Any]:
    assert campaign is not None
    summary = await campaigns.summary(request.app[DB], campaign)
    return {
        "summary": summarised(request, summary),
        "missing": [
            (says.sentence(request, each), STEP_OF.get(each.rule, "settings")) for each in summary.hindrances
        ],
    }


def summarised(
    request: web.Request, summary: campaigns.Summary
) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(step, its name, [(what, in words)]): what was decided, as the last step repeats it."""
    _ = words(request)
    campaign = summary.campaign
    source = says.words_of(request, says.SOURCES, campaign.source)
    validity = (
        _("Permanent")
        if campaign.permanent
        else f"{campaign.valid_from:%d/%m/%Y} – {campaign.valid_until:%d/%m/%Y}"
    )
    hooks = [
        (_("On list generation"), campaign.validate_list),
        (_("During execution"), campaign.validate_dial),
    ]
    asked = [(name, hook.removeprefix(PROCEDURE)) for name, hook in hooks if campaign.validates and hook]
    if asked:
        given = dict(says.choices(request, says.INPUTS))
        asked += [
            (_("Input parameters"), ", ".join(given[each] for each in campaign.validation_inputs)),
            (
                _("When it fails or is too slow"),
                _("%(seconds)s s at most; %(then)s")
                % {
                    "seconds": campaign.validation_seconds,
                    "then": failure_choices(request)[campaign.validation_on_failure],
                },
            ),
        ]
    people = ", ".join([*summary.groups, *summary.agents])
    retries = "; ".join(
        f"{_(says.SITUATIONS[each])} {campaign.retry[each]} min" for each in RETRIED if each in campaign.retry
    )
    way_out = " · ".join(each for each in (summary.route, campaign.caller_id) if each)
    said = {
        "identification": [
            (_("Campaign name"), campaign.name),
            (_("Objective"), campaign.objective),
            *([(_("Message"), campaign.message)] if campaign.message else []),
            (_("Source"), f"{source}: {summary.source}" if summary.source else source),
            (_("External code"), campaign.external_code),
            (_("Link person to the campaign"), _("yes") if campaign.link_person else _("no")),
        ],
        "period": [
            (_("Validity"), validity),
            (_("Operating hours"), says.hours(request, campaign)),
            ("", hours_said(request, campaign.hours, campaign.respect_destination_window)),
            (_("Callbacks"), says.words_of(request, says.CALLBACKS, campaign.callback_mode)),
        ],
        "settings": [
            (_("Who works it"), people),
            (_("Script"), summary.script),
            (_("Form"), summary.layout),
            (
                _("Attempts"),
                _("%(person)s per person, %(number)s per number and day")
                % {"person": campaign.attempts_max, "number": campaign.number_attempts_per_day_max},
            ),
            *([(_("Try again after"), retries)] if retries else []),
            *([(_("Way out"), way_out)] if way_out else []),
            (_("Companies"), says.words_of(request, says.COMPANY, campaign.company_target)
             + (f": {', '.join(campaign.company_types)}" if campaign.company_target == "selected" else "")),
            (_("Callback tickets"), says.words_of(request, says.TICKETS, campaign.ticket_mode)
             + (f" · {summary.ticket_type}" if summary.ticket_type else "")),
            *asked,
        ],
    }  # fmt: skip
    return [(step, _(STEPS[step]), facts) for step, facts in said.items()]


def hours_said(request: web.Request, grid: hours.Hours, respected: bool) -> str:
    """What the hours mean for the list, in a sentence (the page's script says the same while one ticks)."""
    _ = words(request)
    every = hours.hours_per_week(grid)
    callable = within(grid, windows.USUAL) if respected else every
    if callable == every:
        return _("With these hours this list can be called {hours} hours a week.").format(hours=number(every))
    return _(
        "With these hours this list can be called {hours} hours a week: of the {all} chosen, the others are "
        "outside the calling hours of the destinations."
    ).format(hours=number(callable), all=number(every))


def number(value: float) -> str:
    return f"{value:g}"


# -- What was typed ------------------------------------------------------------------------------------------


def facts(step: str, sent: MultiMapping[Any]) -> dict[str, Any]:
    """About one step, as crm.campaigns takes them and checks them; a box not ticked is not sent."""
    values: dict[str, Any] = {name: str(sent[name]) for name in TEXTS[step] if name in sent}
    values |= {name: str(sent.get(name, "")) for name in SWITCHES[step]}
    if step == "identification" and not values["validates"]:
        values["external_code"] = ""  # its field is not shown then
    if step == "period":
        values["hours"] = spans(several(sent, "hour"))
        values["defines_hours"] = "1" if "defines_hours" in sent or sent.get("go") == "define_hours" else ""
        if "defines_hours" not in sent:
            values |= {"permanent": "1", "hours_preset": "24h"}
    if step == "settings":
        values |= {name: several(sent, name) for name in ("agents", "groups")}
        more = str(sent.get("company_types_more", "")).split(",")
        values["company_types"] = [*several(sent, "company_types"), *more]
        values["retry"] = {each: str(sent.get(f"retry.{each}", "")) for each in RETRIED}
        if "hooks" in sent:
            values["validation_inputs"] = several(sent, "validation_inputs")
            values |= {name: hook(sent, name) for name in HOOKS}
    return values


def hook(sent: MultiMapping[Any], name: str) -> str:
    procedure = str(sent.get(f"{name}.procedure", ""))
    return PROCEDURE + procedure if procedure else str(sent.get(f"{name}.address", "")).strip()


def values_of(campaign: Campaign) -> dict[str, str]:
    """The campaign as its forms show it."""
    names = {name for names in TEXTS.values() for name in names}
    values = {name: text(getattr(campaign, name)) for name in names}
    switches = {name for names in SWITCHES.values() for name in names}
    values |= {name: "1" if getattr(campaign, name) else "" for name in switches}
    for situation, minutes in campaign.retry.items():
        values[f"retry.{situation}"] = str(minutes)
    for name in HOOKS:
        asked = getattr(campaign, name)
        kind = "procedure" if asked.startswith(PROCEDURE) else "address"
        values[f"{name}.{kind}"] = asked.removeprefix(PROCEDURE)
    return values


def chosen_of(campaign: Campaign) -> Chosen:
    return {
        "agents": [str(id) for id in campaign.agents],
        "groups": [str(id) for id in campaign.groups],
        "company_types": campaign.company_types,
        "validation_inputs": campaign.validation_inputs,
        "hour": cells(campaign.hours if campaign.hours_preset == hours.CUSTOM else windows.USUAL),
    }


def text(value: Any) -> str:
    return "" if value is None else str(value)
