"""How a campaign is dialed, on a page: the mode and its twelve settings, the others under *Advanced*, what
will not go well, and what to expect of them (the simulation). Saved while it runs, it is in force at once."""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from aiohttp import BodyPartReader, web
from multidict import MultiMapping

from crm import campaign_counts, campaigns, filters, lists, progress
from crm.campaigns import Campaign
from crm.dialing import OUTCOMES, Dialing, Quota, check, using, warnings
from crm.filters import TESTS, Field, Sort
from crm.refused import Refused
from crm.users import can
from cti.media.detection import LIMITS, Thresholds
from dialer.windows import shared_hours
from webui.auth import reads_itself, require, same_secret
from webui.campaigns import said as campaign_words
from webui.campaigns.find import find
from webui.dialing import detected, messages, said, simulation
from webui.filters.words import TEST_WORDS, field_word
from webui.i18n import N_
from webui.imports.pages import rest, short
from webui.page import DB, FLOOR, SETTINGS, render, words
from webui.sent import errors, typed

RANGES: Mapping[str, tuple[float, float]] = {  # those of crm.dialing.check
    "lines_max": (0, 10_000),
    "ring_seconds": (15, 60),
    "abandon_limit_percent": (0, 100),
    "abandon_after_seconds": (0.5, 30),
    "lockout_days": (0, 90),
    "ratio": (1, 10),
    "preview_seconds": (3, 600),
    "calls_per_second": (1, 500),
}
TEXTS = (
    *("mode", "abandon_message", "machine", "machine_action", "machine_message", "caller_ids"),
    *("window", "order", "on_stop"),
)
ADVANCED = (  # what stands under that heading, as errors name it
    *("calls_per_second", "machine_message", "thresholds", "window", "order", "shares", "quotas"),
    *("on_stop", "outcomes"),
)
THRESHOLDS = {
    "silence_ms": N_("silence after the answer is nobody"),
    "pause_ms": N_("a pause after which a person has greeted"),
    "greeting_ms": N_("a longer greeting is a machine's"),
    "fax_ms": N_("of a fax tone"),
    "beep_ms": N_("of a machine's beep"),
    "music_ms": N_("of steady sound is music"),
    "music_percent": N_("how steady music is, in percent"),
    "total_ms": N_("decided at the latest"),
    "message_pause_ms": N_("a silent machine records"),
    "message_wait_ms": N_("the message is left at the latest"),
}
QUOTAS_BLANK = 2  # rows offered for new ones
CONDITIONS_BLANK = 1  # of one quota, offered beside those it has; a new one has two: women, and from RJ
CONDITIONS_MAX = 50
HERE = "/campaigns/{id:[0-9]{1,9}}/dialing"

routes = web.RouteTableDef()


@routes.get(HERE)
@require("run_campaigns")
async def settings(request: web.Request) -> web.Response:
    campaign = await find(request)
    return await draw(request, campaign, values_of(campaign.dialing))


@routes.post(HERE)
@require("run_campaigns")
async def save(request: web.Request) -> web.Response:
    campaign, sent = await find(request), await request.post()
    if "simulate" in sent:
        return await simulate(request, campaign, sent)
    try:
        await campaigns.set_dialing(request.app[DB], request["user"], campaign.id, facts(sent), LIMITS)
    except Refused as refused:
        return await draw(request, campaign, typed(sent), explained(request, refused))
    raise web.HTTPSeeOther(f"/campaigns/{campaign.id}/dialing?saved=1")


async def simulate(request: web.Request, campaign: Campaign, sent: MultiMapping[Any]) -> web.Response:
    """With what is typed, which is not saved by it."""
    try:
        trunk = await campaigns.trunk_of(request.app[DB], campaign)
        await simulation.begin(request, campaign, check(facts(sent), trunk, LIMITS), trunk, sent)
    except Refused as refused:
        return await draw(request, campaign, typed(sent), explained(request, refused))
    return await draw(request, campaign, typed(sent), unsaved=True)


@routes.post(HERE + "/{purpose:abandon_message|machine_message}")
@require("run_campaigns")
@reads_itself
async def take_message(request: web.Request) -> web.Response:
    """A recording comes in and is this campaign's from now on; the form's own secret comes first."""
    campaign, purpose = await find(request), request.match_info["purpose"]
    if request.content_type != "multipart/form-data":
        raise web.HTTPBadRequest(text="a form with a file is expected\n")
    reader = await request.multipart()
    allowed = same_secret(request, request.headers.get("X-CSRF-Token", ""))
    name, content = "", b""
    while part := await reader.next():
        if isinstance(part, BodyPartReader) and part.name == "csrf":
            allowed = allowed or same_secret(request, await short(part))
        elif isinstance(part, BodyPartReader) and part.name == "file" and allowed:
            name, content = part.filename or "", await messages.received(part)
            break
    async with aclosing(rest(reader)) as unread:  # a browser reads no answer before it has sent everything
        async for _ in unread:
            pass
    if not allowed:
        raise web.HTTPForbidden(text="the form is out of date: reload the page and send it again\n")
    try:
        kept = await messages.keep(request.app[SETTINGS].data, name, content)
        changed = {purpose: kept} | ({"machine_action": "message"} if purpose == "machine_message" else {})
        await campaigns.set_dialing(request.app[DB], request["user"], campaign.id, changed)
    except Refused as refused:
        wrong = explained(request, refused)
        wrong = {purpose: wrong[""]} if "" in wrong else wrong
        return await draw(request, campaign, values_of(campaign.dialing), wrong)
    raise web.HTTPSeeOther(f"/campaigns/{campaign.id}/dialing?saved=1#messages")


@routes.post(HERE + "/recordings/remove")
@require("run_campaigns")
async def remove_message(request: web.Request) -> web.Response:
    """Of the folder all campaigns share."""
    campaign, sent, app = await find(request), await request.post(), request.app
    try:
        await messages.remove(app[DB], request["user"], app[SETTINGS].data, str(sent.get("file", "")))
    except Refused as refused:
        wrong = {"recordings": explained(request, refused)[""]}
        return await draw(request, campaign, values_of(campaign.dialing), wrong)
    raise web.HTTPSeeOther(f"/campaigns/{campaign.id}/dialing?saved=1#recordings")


async def draw(
    request: web.Request,
    campaign: Campaign,
    values: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
    unsaved: bool = False,
) -> web.Response:
    _ = words(request)
    db = request.app[DB]
    known = await filters.fields(db)
    trunk = await campaigns.trunk_of(db, campaign)
    wrong = wrong or {}
    return render(
        request,
        "dialing/settings.html",
        status=422 if wrong else 200,
        campaign=campaign,
        states=campaign_words.states(request),
        values=values,
        errors=wrong,
        advanced=any(name in ADVANCED for name in wrong),
        saved="saved" in request.query,
        unsaved=unsaved,
        warnings=await foreseen(request, campaign),
        trunk=trunk,
        ranges=RANGES,
        modes=campaign_words.explained(request, said.MODES),
        machine=campaign_words.explained(request, said.MACHINE),
        machine_actions=campaign_words.choices(request, said.MACHINE_ACTIONS),
        orders=campaign_words.choices(request, said.ORDERS),
        on_stop=campaign_words.choices(request, said.ON_STOP),
        windows=windows(request, values.get("window", "")),
        messages=[(each, each) for each in messages.all(request.app[SETTINGS].data)],
        built_in=messages.BUILT_IN,
        kept=[(each, await using(db, each)) for each in messages.all(request.app[SETTINGS].data)],
        detects=detects(request),
        thresholds=[
            (name, _(word), *LIMITS[name], getattr(Thresholds(), name)) for name, word in THRESHOLDS.items()
        ],
        codes=codes(request, values),
        situations=[(str(each), _(campaign_words.SITUATIONS[str(each)])) for each in OUTCOMES],
        loads=await lists.loads(db, campaign.id),
        kinds=dict(campaign_words.choices(request, campaign_words.KINDS)),
        quota_rows=[
            (n, range(conditions_offered(values, n))) for n in range(quotas_in(values) + QUOTAS_BLANK)
        ],
        tests=quota_tests(request),
        fields=sorted(
            ((key, field_word(field, _)) for key, field in known.items() if countable(field)),
            key=lambda pair: pair[1].casefold(),
        ),
        **simulation.about(request, campaign, values),
        **await detected.about(request, campaign),
    )


async def foreseen(request: web.Request, campaign: Campaign) -> list[str]:
    """What will not go well with the settings in force, in sentences."""
    db = request.app[DB]
    counts = await campaign_counts.by_campaign(db, [campaign.id])
    if campaign.dialing.mode == "manual":
        return []
    people = request.app[FLOOR].centre.users.values()
    agents = sum(can(user, "take_calls") and campaigns.belongs(campaign, user) for user in people)
    codes = await progress.area_codes(db, campaign.id) if campaign.respect_destination_window else ()
    told = warnings(
        campaign,
        campaign.dialing,
        left=counts[campaign.id].left,
        agents=agents,
        hours_per_week=shared_hours(campaign.hours, codes) if codes else None,
        detects=detects(request),
    )
    return [
        campaign_words.sentence(
            request,
            replace(
                each,
                values={
                    name: said.number(request, value, 1) if isinstance(value, float) else value
                    for name, value in each.values.items()
                },
            ),
        )
        for each in told
    ]


def detects(request: web.Request) -> bool:
    """Whether the media engine tells machines from people."""
    return request.app[FLOOR].phones.engine.detects


def countable(field: Field) -> bool:
    """What a quota can be of: facts of a customer with one value to write."""
    return field.group != "work" and field.sort in (
        Sort.TEXT, Sort.CHOICE, Sort.NUMBER, Sort.PHONE, Sort.YES_NO, Sort.DATE,
    )  # fmt: skip


def quota_tests(request: web.Request) -> list[tuple[str, str]]:
    """All that can be asked; a field that cannot be asked so is refused."""
    _ = words(request)
    every = dict.fromkeys(test for tests in TESTS.values() for test in tests)
    return [(test, _(TEST_WORDS[test])) for test in every]


def windows(request: web.Request, chosen: str) -> list[tuple[str, str]]:
    _ = words(request)
    known = campaign_words.choices(request, said.WINDOWS)
    if chosen.isdigit() and chosen not in said.WINDOWS:
        known.append((chosen, _("The last %s minutes") % chosen))
    return known


def codes(request: web.Request, values: Mapping[str, str]) -> list[tuple[str, str]]:
    """(code, word): of the network and of the detection, those chosen before too."""
    known = dict(campaign_words.choices(request, said.CODES))
    known |= dict(campaign_words.choices(request, said.DETECTED))
    mine = (name.removeprefix("outcome.") for name in values if name.startswith("outcome."))
    return list((known | {code: code for code in mine if code not in known}).items())


def explained(request: web.Request, refused: Refused) -> dict[str, str]:
    """What is wrong with each field; a number is told its limits."""
    _ = words(request)
    wrong = errors(request, refused)
    for name, key in (refused.details.get("errors") or {}).items():
        if key == "out_of_range" and name in RANGES:
            low, high = (said.number(request, each, 1) for each in RANGES[name])
            wrong[name] = _("From {low} to {high}.").format(low=low, high=high)
    return wrong


# -- What was typed ------------------------------------------------------------------------------------------


def facts(sent: MultiMapping[Any]) -> dict[str, Any]:
    """As crm.dialing.check takes them."""
    values = {name: str(sent.get(name, "")) for name in (*TEXTS, *RANGES)}
    return {
        **values,
        "thresholds": of(sent, "threshold."),
        "shares": of(sent, "share."),
        "outcomes": of(sent, "outcome."),
        "quotas": quotas(sent),
    }


def of(sent: MultiMapping[Any], prefix: str) -> dict[str, str]:
    given = {name.removeprefix(prefix): str(value) for name, value in sent.items() if name.startswith(prefix)}
    return {name: value for name, value in given.items() if value}


def quotas(sent: MultiMapping[Any]) -> list[dict[str, Any]]:
    """Rows of conditions and a number; a row with nothing in it is none."""
    rows = []
    for n in range(quotas_in(sent)):
        asked = [
            tuple(str(sent.get(f"quota.{n}.{part}{k}", "")) for part in ("field", "test", "value"))
            for k in range(conditions_in(sent, n))
        ]
        conditions = {field: value for field, _, value in asked if field}
        tests = {field: test for field, test, _ in asked if field and test}
        most = str(sent.get(f"quota.{n}.max", ""))
        if conditions or most:
            rows.append({"conditions": conditions or {"": ""}, "max": most, "tests": tests})
    return rows


def conditions_in(values: Mapping[str, Any], n: int) -> int:
    start = f"quota.{n}.field"
    places = [name.removeprefix(start) for name in values if name.startswith(start)]
    return min(max((int(place) for place in places if place.isdigit()), default=-1) + 1, CONDITIONS_MAX)


def conditions_offered(values: Mapping[str, str], n: int) -> int:
    """Those that are filled in, and room for one more."""
    used = [k for k in range(conditions_in(values, n)) if values.get(f"quota.{n}.field{k}")]
    return max(max(used, default=-1) + 1 + CONDITIONS_BLANK, 2)


def quotas_in(values: Mapping[str, Any]) -> int:
    rows = [int(name.split(".")[1]) for name in values if name.startswith("quota.") and name.count(".") == 2
            and name.split(".")[1].isdigit()]  # fmt: skip
    return min(max(rows, default=-1) + 1, 200)


def values_of(dialing: Dialing) -> dict[str, str]:
    """The settings as the form shows them."""
    values = {name: str(getattr(dialing, name)) for name in TEXTS if name != "caller_ids"}
    values |= {name: f"{getattr(dialing, name):g}" for name in RANGES}
    values["caller_ids"] = "\n".join(dialing.caller_ids)
    values |= {f"threshold.{name}": str(value) for name, value in dialing.thresholds.items()}
    values |= {f"share.{load}": f"{weight:g}" for load, weight in dialing.shares.items()}
    values |= {f"outcome.{code}": situation for code, situation in dialing.outcomes.items()}
    for n, quota in enumerate(dialing.quotas):
        values |= quota_values(n, quota)
    return values


def quota_values(n: int, quota: Quota) -> dict[str, str]:
    values = {f"quota.{n}.max": str(quota.max)}
    for k, (field, value) in enumerate(quota.conditions.items()):
        test = quota.tests.get(field, "")
        values |= {f"quota.{n}.field{k}": field, f"quota.{n}.test{k}": test, f"quota.{n}.value{k}": value}
    return values
