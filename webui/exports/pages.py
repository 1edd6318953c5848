"""Exports: a short one comes at once, a long one shows its progress and can be cancelled."""

import asyncio
import datetime
import json
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict

from crm import custom_reports, exports
from crm.exports import Export, Exports
from crm.refused import Refused
from webui.address import Address
from webui.auth import require
from webui.i18n import N_
from webui.page import DB, SETTINGS, ZONE, render, said, words
from webui.reports.said import TITLES
from webui.tabulations.asked import asked
from webui.tabulations.source import TabulationSource

EXPORTS = web.AppKey("exports", Exports)
SECONDS_SHORT = 2.0  # an export done within this time shows no progress
SECONDS_BETWEEN_LOOKS = 0.2
TYPES = {"csv": "text/csv", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
FAILURES = (N_("The server was stopped meanwhile."),)  # what an export's row says in English
ONE = "/exports/{id:[0-9]{1,9}}"

routes = web.RouteTableDef()


async def alongside(app: web.Application) -> AsyncIterator[None]:
    app[EXPORTS] = Exports(app[DB], app[SETTINGS].data)
    await app[EXPORTS].clean()
    yield
    await app[EXPORTS].close()


@routes.post("/exports")
@require("export")
@require("see_tabulations")
async def start(request: web.Request) -> web.Response:
    """The list of tabulations as filtered, into a file."""
    sent = await request.post()
    address = Address("/tabulations", MultiDict(parse_qsl(str(sent.get("query", "")))))
    filter = asked(address, datetime.datetime.now(ZONE).date(), ZONE).filter
    source = TabulationSource(filter, words(request))
    try:
        id = await request.app[EXPORTS].start(request["user"], source, str(sent.get("format", "")))
    except Refused as refused:
        return await listed(request, said(request, refused))
    await ended_or_late(request, id)
    raise web.HTTPSeeOther(f"/exports/{id}?fresh=1")


@routes.get("/exports")
@require("export")
async def earlier(request: web.Request) -> web.Response:
    return await listed(request)


@routes.get(ONE)
@require("export")
async def one(request: web.Request) -> web.Response:
    """Its progress, then the file, which a browser fetches by itself right after it was asked for."""
    export = await find(request)
    return render(
        request,
        "exports/one.html",
        export=export,
        error=said(request, Refused(export.error, **export.error_values)) if export.error else "",
        fresh="fresh" in request.query,
    )


@routes.get(ONE + "/live")
@require("export")
async def live(request: web.Request) -> web.StreamResponse:
    """The job's progress as server-sent events, until it has ended."""
    export = await find(request)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    before = None
    while True:
        if export != before:
            await response.write(f"data: {json.dumps(progress(export))}\n\n".encode())
        if export.state != "running":
            return response
        before = export
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        export = await find(request)


@routes.get(ONE + "/file")
@require("export")
async def file(request: web.Request) -> web.StreamResponse:
    export = await find(request)
    try:
        path = await request.app[EXPORTS].file(request["user"], export.id)
    except Refused as refused:
        raise web.HTTPNotFound(text=f"{refused}\n") from refused
    name = f"{export.kind}-{export.started.astimezone(ZONE):%Y-%m-%d-%H%M}.{export.format}"
    return web.FileResponse(
        path,
        headers={
            "Content-Type": TYPES[export.format],
            "Content-Disposition": f'attachment; filename="{name}"',
        },
    )


@routes.post(ONE + "/cancel")
@require("export")
async def cancel(request: web.Request) -> web.Response:
    export = await find(request)
    await request.app[EXPORTS].cancel(request["user"], export.id)
    raise web.HTTPSeeOther(f"/exports/{export.id}")


async def listed(request: web.Request, refused: str = "") -> web.Response:
    return render(
        request,
        "exports/list.html",
        status=422 if refused else 200,
        exports=await exports.of_user(request.app[DB], request["user"]),
        titles=await titles(request),
        refused=refused,
    )


async def titles(request: web.Request) -> dict[str, str]:
    """What each kind of export is called."""
    _ = words(request)
    custom = await custom_reports.all(request.app[DB], request["user"])
    return {f"report-{report}": _(title) for report, title in TITLES.items()} | {
        f"report-custom-{report.id}": report.name for report in custom
    }


async def ended_or_late(request: web.Request, id: int) -> None:
    """Until the export has ended, but no longer than a reader waits without being told why."""
    loop = asyncio.get_running_loop()
    late = loop.time() + SECONDS_SHORT
    while True:
        export = await exports.by_id(request.app[DB], request["user"], id)
        if export is None or export.state != "running" or loop.time() > late:
            return
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)


async def find(request: web.Request) -> Export:
    id = int(request.match_info.get("id", "0"))
    export = await exports.by_id(request.app[DB], request["user"], id)
    if export is None:
        raise web.HTTPNotFound(text="there is no such export\n")
    return export


def progress(export: Export) -> dict[str, object]:
    return {"state": export.state, "rows_done": export.rows_done, "rows_all": export.rows_all}
