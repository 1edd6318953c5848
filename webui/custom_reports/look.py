"""Looking at a custom report: what is asked in its address, as a file, and what is behind a number."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from aiohttp import web
from multidict import MultiDict

from crm import custom_reports
from crm.custom_report_sql import group, values_of
from crm.custom_reports import GROUPS_SHOWN, PERIODS, Column, CustomReport, Shape
from crm.refused import Refused
from crm.users import can
from webui.address import Address, last_page
from webui.auth import require
from webui.custom_reports import words
from webui.custom_reports.asked import ASK, FROM, TO, Wanted, wanted
from webui.custom_reports.chart import chart
from webui.custom_reports.find import ONE, find, named, sentence, today
from webui.custom_reports.source import source_of
from webui.filters.words import Say
from webui.page import DB, ZONE, language, render
from webui.page import said as refusal
from webui.page import words as words_of
from webui.reports import sending
from webui.sent import WHOLE, errors, typed

PER_PAGE = 50

routes = web.RouteTableDef()


@routes.get(ONE)
@require("see_tabulations")
async def one(request: web.Request) -> web.Response:
    return await shown(request)


@routes.get(ONE + "/behind")
@require("see_tabulations")
async def behind(request: web.Request) -> web.Response:
    """The rows that one number counts; without a row in the address, those of the totals."""
    return await shown(request, row=request.query.get("row", ""))


@routes.post(ONE + "/export")
@require("export")
async def export(request: web.Request) -> web.Response:
    sent = await request.post()
    opened = await open_report(request, str(sent.get("query", "")))
    source = source_of(
        opened.report,
        opened.wanted.asked,
        opened.address,
        request["user"],
        opened.columns,
        words_of(request),
        language(request),
    )
    try:
        raise await sending.export(request, source, str(sent.get("format", "")))
    except Refused as refused:
        return await shown(request, {WHOLE: refusal(request, refused)}, query=opened.address.query)


@routes.post(ONE + "/schedule")
@require("export")
async def schedule(request: web.Request) -> web.Response:
    """This report with these filters, again and again."""
    sent = await request.post()
    opened = await open_report(request, str(sent.get("query", "")))
    values = {**typed(sent), "report": f"custom:{opened.report.id}"}
    kept = [pair for pair in opened.address.pairs if pair[0].startswith(ASK)]
    try:
        raise await sending.schedule(request, values, kept)
    except Refused as refused:
        return await shown(request, errors(request, refused), values, opened.address.query)


@routes.post(ONE + "/remove")
@require("see_tabulations")
async def remove(request: web.Request) -> web.Response:
    report = await find(request)
    try:
        await custom_reports.remove(request.app[DB], request["user"], report.id)
    except Refused as refused:
        return await shown(request, {WHOLE: refusal(request, refused)})
    raise web.HTTPSeeOther("/reports/custom?removed=1")


# -- Looking at one ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """A report as its reader asks for it, its columns in their words."""

    report: CustomReport
    columns: Mapping[str, Column]
    address: Address
    wanted: Wanted


async def open_report(request: web.Request, query: str | None = None) -> Opened:
    report = await find(request)
    columns = await named(request, report.subject)
    asked = request.query if query is None else MultiDict(parse_qsl(query))
    address = Address(f"/reports/custom/{report.id}", asked)
    return Opened(report, columns, address, wanted(report, columns, address, today()))


async def shown(
    request: web.Request,
    wrong: Mapping[str, str] | None = None,
    values: Mapping[str, str] | None = None,
    query: str | None = None,
    row: str | None = None,
) -> web.Response:
    """The report, or the rows behind one of its rows; a refusal stands where the table would."""
    db, user, _ = request.app[DB], request["user"], words_of(request)
    opened = await open_report(request, query)
    report, columns, address = opened.report, opened.columns, opened.address
    asked, sort, page = opened.wanted.asked, address.text("sort"), address.page
    lists = row is not None or not groups_of(report, columns)
    limit, offset = (PER_PAGE, (page - 1) * PER_PAGE) if lists else (GROUPS_SHOWN, 0)
    found, refused, wrong_asked = None, "", {name: _(word) for name, word in opened.wanted.errors.items()}
    try:
        if row is not None:
            found = await custom_reports.drill(db, user, report, asked, row, limit, offset, sort)
        else:
            found = await custom_reports.run(db, user, report, asked, limit, offset, sort)
    except Refused as e:
        if e.code == "not_found":
            raise web.HTTPNotFound(text=f"{e}\n") from e
        if e.code == "not_allowed":
            return render(request, "denied.html", status=403, right=e.details["right"])
        told = errors(request, e)
        refused = told.get(WHOLE, "")
        wrong_asked |= {name.removeprefix("asked."): word for name, word in told.items() if name}
    groups = len([said for said in found.columns if said in report.groups]) if found and not lists else 0
    kept = [pair for pair in address.pairs if pair[0] not in ("row", "page", "sort")]
    return render(
        request,
        "custom_reports/behind.html" if row is not None else "custom_reports/one.html",
        status=422 if wrong or refused else 200,
        report=report,
        address=Address(address.path + "/behind", request.query) if row is not None else address,
        wanted=opened.wanted,
        asks=[asking(columns[key], address, wrong_asked, _) for key in report.asks if key in columns],
        wrong_asked=wrong_asked,
        periods=[(name, _(words.PERIODS[name]), period_at(address, name)) for name in PERIODS],
        sentence=sentence(report.subject, report.tree, columns, _),
        subject=_(words.SUBJECTS[report.subject]),
        found=found,
        refused=refused,
        headings=[
            (said, words.heading(said, columns, _), words.is_figure(said, columns))
            for said in (found.columns if found else ())
        ],
        groups=groups,
        value=lambda said, each: words.value(said, each[said], columns, _, language(request)),
        number=lambda figure: words.number(figure, language(request)),
        opens=lambda each: opens(report.subject, each, can(user, "see_contacts")),
        missing=[words.heading(said, columns, _) for said in (found.missing if found else ())],
        sort=sort or report.order,
        behind=lambda key: f"{address.path}/behind?" + urlencode([*kept, *([("row", key)] if key else [])]),
        about_row=row_words(request, opened, row) if row else "",
        back=address.path + (f"?{urlencode(kept)}" if kept else ""),
        chart=chart(found, groups, columns, _, language(request)) if found else None,
        page=page,
        last=last_page(found.count, PER_PAGE) if found and lists else 1,
        may_see_contacts=can(user, "see_contacts"),
        may_export=can(user, "export"),
        may_change=custom_reports.may_change(user, report),
        saved="saved" in request.query,
        errors=wrong or {},
        now=datetime.datetime.now(ZONE),
        **sending.scheduling(request, report.name, values),
    )


def asking(column: Column, address: Address, wrong: Mapping[str, str], _: Say) -> dict[str, Any]:
    """One thing asked for, as the form has it, and in words what is asked now."""
    name = ASK + column.key
    chosen, ends = address.texts(name), (address.text(name + FROM), address.text(name + TO))
    offered = dict(column.options)
    if column.sort is Shape.YES_NO:
        offered = {"yes": _(words.YES_NO[True]), "no": _(words.YES_NO[False])}
    return {
        "name": name,
        "label": column.label,
        "sort": column.sort,
        "options": column.options,
        "chosen": chosen,
        "ends": ends,
        "error": wrong.get(column.key, ""),
        "said": " – ".join(end or "…" for end in ends)
        if any(ends)
        else ", ".join(offered.get(each, each) for each in chosen),
    }


def period_at(address: Address, period: str) -> str:
    return Address(address.path, MultiDict(address.pairs)).having(period=period, start="", end="")


def groups_of(report: CustomReport, columns: Mapping[str, Column]) -> list[Any]:
    """Those of the report's groups that its reader can have."""
    return [found for said in report.groups if (found := group(said, columns)) is not None]


def row_words(request: web.Request, opened: Opened, row: str) -> str:
    """Which row a number stands in."""
    _, columns = words_of(request), opened.columns
    groups = groups_of(opened.report, columns)
    values = zip(groups, values_of(row, groups), strict=True)
    told = (
        (words.heading(each.said, columns, _), words.value(each.said, found, columns, _, language(request)))
        for each, found in values
    )
    return " · ".join(f"{heading}: {value or _(words.NOTHING)}" for heading, value in told)


def opens(subject: str, row: Mapping[str, Any], may_see_contacts: bool) -> str:
    """Where a row of a list leads."""
    if subject == "tickets" and may_see_contacts:
        return f"/tickets/{row['#ticket']}"
    if row.get("#call") and subject != "customers":
        return f"/tabulations/{row['#call']}"
    return f"/contacts/{row['#contact']}" if row.get("#contact") and may_see_contacts else ""
