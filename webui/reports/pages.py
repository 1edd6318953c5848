"""The eight reports on campaigns: filters in the address, what is behind a number, files, and by e-mail."""

import asyncio
import contextlib
import datetime
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from aiohttp import web
from multidict import MultiDict

from crm import campaign_reports as reports
from crm import custom_reports
from crm import report_schedules as schedules
from crm.campaign_reports import REPORTS, Report
from crm.db import AWAY, Db
from crm.exports import Source
from crm.outbox import Outbox
from crm.refused import Refused
from crm.report_schedules import Letter, Schedule, Schedules
from crm.users import User, can
from webui import i18n
from webui.address import Address, last_page
from webui.auth import require
from webui.custom_reports.source import custom_source
from webui.custom_reports.words import SUBJECTS
from webui.page import DB, FLOOR, SETTINGS, WORDS, ZONE, render, words
from webui.page import said as refusal
from webui.reports import said, sending
from webui.reports.asked import Asked, asked, filtered
from webui.reports.chart import chart
from webui.reports.sending import every, scheduling
from webui.reports.source import ReportSource
from webui.sent import errors, typed

PER_PAGE = 50
SECONDS_BETWEEN_COUNTS = 5.0
SECONDS_BETWEEN_TIDYING = 600.0
ONE = "/reports/{report:r[1-8]}"

log = logging.getLogger(__name__)
routes = web.RouteTableDef()


async def alongside(app: web.Application) -> AsyncIterator[None]:
    """Counting goes on in the background, so that a page has little left to count; and the mail goes out."""
    db, settings = app[DB], app[SETTINGS]

    async def write(schedule: Schedule, owner: User, start: datetime.date, end: datetime.date) -> Letter:
        return await letter(app, schedule, owner, start, end)

    jobs = [
        asyncio.create_task(counting(db), name="counting for reports"),
        asyncio.create_task(Schedules(db, settings.data, write).run(), name="scheduled reports"),
        asyncio.create_task(Outbox(db, settings).run(), name="outbox"),
    ]
    yield
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


async def counting(db: Db) -> None:
    """Until cancelled. A page counts by itself what is left, so that nothing depends on this."""
    loop = asyncio.get_running_loop()
    tidied = loop.time()
    while True:
        await asyncio.sleep(SECONDS_BETWEEN_COUNTS)
        try:
            if loop.time() - tidied > SECONDS_BETWEEN_TIDYING:
                tidied = loop.time()
                await reports.tidy(db)
            else:
                await reports.refresh(db, discarded=True)
        except AWAY:
            log.warning("the database is away; reports are counted later")
        except Exception:
            log.exception("reports could not be counted")


# -- Reports -----------------------------------------------------------------------------------------------


@routes.get("/reports")
@require("see_tabulations")
async def all_reports(request: web.Request) -> web.Response:
    return render(
        request,
        "reports/list.html",
        reports=REPORTS.values(),
        titles=said.TITLES,
        about=said.ABOUT,
        custom=await custom_reports.all(request.app[DB], request["user"]),
        subjects=SUBJECTS,
        may_export=can(request["user"], "export"),
    )


@routes.get(ONE)
@require("see_tabulations")
async def one(request: web.Request) -> web.Response:
    return await shown(request)


async def shown(
    request: web.Request,
    wrong: Mapping[str, str] | None = None,
    values: Mapping[str, str] | None = None,
    query: str | None = None,
) -> web.Response:
    db, user, report = request.app[DB], request["user"], REPORTS[request.match_info["report"]]
    address = address_of(report, request.query if query is None else MultiDict(parse_qsl(query)))
    wanted = wanted_of(report, address)
    page = address.page
    found = await reports.run(db, report, wanted.filter, PER_PAGE, (page - 1) * PER_PAGE)
    last = last_page(found.count, PER_PAGE) if report.lists else 1
    if page > last:  # an old link, or the list became shorter
        page = last
        found = await reports.run(db, report, wanted.filter, PER_PAGE, (page - 1) * PER_PAGE)
    _ = words(request)
    return render(
        request,
        "reports/one.html",
        status=422 if wrong else 200,
        report=report,
        title=said.TITLES[report.id],
        address=address,
        wanted=wanted,
        found=found,
        page=page,
        last=last,
        columns=[
            (name, said.column(_, report, name), said.meaning(_, report, name)) for name in report.all_columns
        ],
        value=lambda name, row: said.value(_, report, name, row, wanted.filter.query_type),
        behind=lambda name, row: link_behind(report, address, name, row),
        chart=chart(_, report, found, wanted.filter.query_type),
        choices=await choices(request),
        may_export=can(user, "export"),
        may_see_contacts=can(user, "see_contacts"),
        errors=wrong or {},
        **scheduling(request, _(said.TITLES[report.id]), values),
        in_words=in_words(request, report, wanted, await choices(request)),
        now=datetime.datetime.now(datetime.UTC),
        zone=ZONE,  # the centre's, whose days are counted
    )


@routes.get(ONE + "/behind")
@require("see_tabulations")
async def behind(request: web.Request) -> web.Response:
    """The attempts, or the items, that one number counts."""
    db, report = request.app[DB], REPORTS[request.match_info["report"]]
    address = Address(f"/reports/{report.id}/behind", request.query)
    wanted = wanted_of(report, address)
    column, row = address.text("column"), reports.row_of(report, address.text("row"))
    counted = reports.behind(report, row, column) if row is not None else None
    if row is None or counted is None:
        raise web.HTTPNotFound(text="there is no such number\n")
    page = address.page
    found = await reports.drill(db, report, wanted.filter, row, column, PER_PAGE, (page - 1) * PER_PAGE)
    _ = words(request)
    shown = Address(f"/reports/{report.id}", request.query)
    kept = [pair for pair in shown.pairs if pair[0] not in ("row", "column", "page")]
    campaign = next((name for id, name in await reports.campaigns(db) if id == row.get("campaign_id")), "")
    return render(
        request,
        "reports/behind.html",
        report=report,
        title=said.TITLES[report.id],
        column=said.column(_, report, column),
        about=", ".join(about for about in (campaign, *row_words(request, report, row, wanted)) if about),
        items=counted.items or counted.never,
        found=found,
        page=page,
        last=last_page(found.count, PER_PAGE),
        address=address,
        back=f"/reports/{report.id}" + (f"?{urlencode(kept)}" if kept else ""),
        states=said.STATES,
        situations=said.SITUATIONS,
        results=said.RESULTS,
        may_see_contacts=can(request["user"], "see_contacts"),
    )


@routes.post(ONE + "/export")
@require("export")
async def export(request: web.Request) -> web.Response:
    sent = await request.post()
    report, query = REPORTS[request.match_info["report"]], str(sent.get("query", ""))
    address = address_of(report, MultiDict(parse_qsl(query)))
    source = ReportSource(report, wanted_of(report, address).filter, words(request))
    try:
        raise await sending.export(request, source, str(sent.get("format", "")))
    except Refused as refused:
        return await shown(request, {"": refusal(request, refused)}, query=query)


# -- By e-mail ---------------------------------------------------------------------------------------------


@routes.get("/reports/schedules")
@require("export")
async def all_schedules(request: web.Request) -> web.Response:
    _ = words(request)
    db, user = request.app[DB], request["user"]
    own = await schedules.all(db, user)
    custom = {f"custom:{each.id}": each.name for each in await custom_reports.all(db, user)}
    return render(
        request,
        "reports/schedules.html",
        schedules=[(each, link_of(each)) for each in own],
        titles={**custom, **{id: _(title) for id, title in said.TITLES.items()}},
        error=lambda each: refusal(request, Refused(each.last_error, **each.error_values)),
        every=every(request),
        people={user.id: user.name for user in request.app[FLOOR].centre.users.values()},
        mail=bool(request.app[SETTINGS].smtp_host),
        saved="saved" in request.query,
        sending="sending" in request.query,
    )


@routes.post(ONE + "/schedule")
@require("export")
async def schedule(request: web.Request) -> web.Response:
    """This report with these filters, again and again."""
    sent = await request.post()
    report, query = REPORTS[request.match_info["report"]], str(sent.get("query", ""))
    values = {**typed(sent), "report": report.id}
    pairs = filters_of(report, address_of(report, MultiDict(parse_qsl(query))))
    try:
        raise await sending.schedule(request, values, pairs)
    except Refused as refused:
        return await shown(request, errors(request, refused), values, query)


@routes.post("/reports/schedules/{id:[0-9]{1,9}}")
@require("export")
async def change_schedule(request: web.Request) -> web.Response:
    db, by, id = request.app[DB], request["user"], int(request.match_info["id"])
    sent = await request.post()
    did = "saved"
    try:
        match str(sent.get("do", "")):
            case "remove":
                await schedules.remove(db, by, id)
            case "pause" | "resume" as wish:
                now = datetime.datetime.now(datetime.UTC)
                await schedules.switch(db, by, id, wish == "resume", now)
            case "send":
                await schedules.send_now(db, by, id)
                did = "sending"
            case _:
                raise web.HTTPBadRequest(text="nothing of that kind can be done\n")
    except Refused as refused:
        raise web.HTTPNotFound(text=f"{refused}\n") from refused
    raise web.HTTPSeeOther(f"/reports/schedules?{did}=1")


async def letter(
    app: web.Application, schedule: Schedule, owner: User, start: datetime.date, end: datetime.date
) -> Letter:
    """The mail in its owner's language."""
    language = owner.language if owner.language in i18n.LANGUAGES else "pt_BR"
    _ = app[WORDS][language].gettext
    pairs = [(name, value) for name, value in schedule.filter]
    address = Address("", MultiDict([*pairs, ("start", start.isoformat()), ("end", end.isoformat())]))
    source: Source
    if schedule.report in REPORTS:
        report = REPORTS[schedule.report]
        source, title = ReportSource(report, asked(report, address, end).filter, _), _(said.TITLES[report.id])
    else:
        id = int(schedule.report.removeprefix("custom:"))
        source = await custom_source(app[DB], owner, id, address, _, language)
        title = source.report.name
    days = f"{start:%d/%m/%Y}" if start == end else f"{start:%d/%m/%Y} – {end:%d/%m/%Y}"
    body = _("The report “{title}” for {days} is attached. {owner} asked for it to be sent: {every}.")
    return Letter(
        source,
        subject=f"{schedule.name} · {days}",
        body=body.format(title=title, days=days, owner=owner.name, every=_(said.EVERY[schedule.every]))
        + "\n",
        file_name=f"{schedule.report.replace(':', '-')}-{start:%Y-%m-%d}-{end:%Y-%m-%d}.{schedule.format}",
    )


# -- What pages are drawn from -----------------------------------------------------------------------------


def address_of(report: Report, query: Any) -> Address:
    return Address(f"/reports/{report.id}", query)


def wanted_of(report: Report, address: Address) -> Asked:
    return asked(report, address, datetime.datetime.now(ZONE).date())


def link_behind(report: Report, address: Address, name: str, row: reports.Row) -> str | None:
    """The address of what this number counts; none where there is nothing to show."""
    if not row[name] or reports.behind(report, row, name) is None:
        return None
    return f"/reports/{report.id}/behind?" + urlencode(
        [*filters_of(report, address), ("column", name), ("row", reports.row_key(report, row))]
    )


def filters_of(report: Report, address: Address) -> list[tuple[str, str]]:
    """The address without its page; what no filter at all means is said."""
    if not filtered(address) and "last" in report.filters:
        return [("last", "1")]
    return [pair for pair in address.pairs if pair[0] != "page"]


def link_of(schedule: Schedule) -> str:
    """The report as it will be sent, for the whole period before today."""
    start, end = schedules.period(schedule.every, datetime.datetime.now(ZONE).date())
    pairs = [(name, value) for name, value in schedule.filter]
    return f"/reports/{schedule.report.replace(':', '/')}?" + urlencode(
        [*pairs, ("start", str(start)), ("end", str(end))]
    )


async def choices(request: web.Request) -> dict[str, list[tuple[str, str]]]:
    """What each filter offers, as (value, word)."""
    _ = words(request)
    users = request.app[FLOOR].centre.users.values()
    people = sorted(users, key=lambda user: user.name.casefold())
    return {
        "campaign": [(str(id), name) for id, name in await reports.campaigns(request.app[DB])],
        "agent": [(str(user.id), user.name) for user in people if can(user, "take_calls") or not user.active],
        "reference": [(name, _(word)) for name, word in said.REFERENCES.items()],
        "state": [(name, _(word)) for name, word in said.STATES.items()],
        "situation": [(name, _(word)) for name, word in said.SITUATIONS.items()],
        "query_type": [(name, _(word)) for name, word in said.QUERY_TYPES.items()],
    }


def in_words(
    request: web.Request, report: Report, wanted: Asked, offered: Mapping[str, list[tuple[str, str]]]
) -> list[str]:
    """The filters in force, for the printed page."""
    _ = words(request)
    filter = wanted.filter
    names = {name: dict(options) for name, options in offered.items()}
    said_now = [names["campaign"].get(str(id), "") for id in filter.campaigns] or [_("All campaigns")]
    if filter.from_load:
        said_now.append(_("since the first load"))
    if "reference" in report.filters:
        said_now.append(_("Reference: %s") % names["reference"][filter.reference])
    if filter.agent is not None:
        said_now.append(_("Agent %s") % names["agent"].get(str(filter.agent), str(filter.agent)))
    if "last" in report.filters:
        said_now.append(_("each item once, by its last status") if filter.last else _("every attempt counts"))
    said_now += [names["state"][state] for state in filter.states]
    said_now += [names["situation"][situation] for situation in filter.situations]
    if filter.customer:
        said_now.append(_("Customer %s") % filter.customer)
    return said_now


def row_words(request: web.Request, report: Report, row: reports.Row, wanted: Asked) -> list[str]:
    """Which row a number stands in, besides its campaign."""
    _ = words(request)
    users = request.app[FLOOR].centre.users
    match report.id:
        case "r1" if row["user_id"] is None:
            return [_(said.NOT_ATTEMPTED)]
        case "r1":
            user = users.get(row["user_id"])
            return [user.name if user else _(said.DIALER)]
        case "r6":
            return [_(said.SITUATIONS[row["reason"]])]
        case "r7":
            with contextlib.suppress(KeyError):
                return [str(said.value(_, report, "status", row, wanted.filter.query_type))]
    return []
