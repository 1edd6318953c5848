"""Recordings: listed, heard in the page and downloaded by those who may; the audit says who heard what."""

import asyncio
import datetime
import time
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from crm import audit, calls, recordings
from crm.calls import CallRecord
from crm.refused import Refused
from crm.users import can
from webui.address import Address, as_date, day_start, is_id
from webui.auth import require
from webui.page import DB, FLOOR, SETTINGS, ZONE, render
from webui.recordings.listening import Listenings
from webui.recordings.wav import NotWav, peaks

LISTENINGS = web.AppKey("listenings", Listenings)
PER_PAGE = 50
DAYS_SHOWN = 7
STEPS = 400

routes = web.RouteTableDef()


async def alongside(app: web.Application) -> AsyncIterator[None]:
    app[LISTENINGS] = Listenings()
    yield


@routes.get("/recordings")
@require("hear_recordings")
async def found(request: web.Request) -> web.Response:
    centre = request.app[FLOOR].centre
    address = Address("/recordings", request.query)
    today = datetime.datetime.now(ZONE).date()
    start = as_date(address.text("start")) or today - datetime.timedelta(days=DAYS_SHOWN - 1)
    end = max(start, as_date(address.text("end")) or today)
    user_id = int(address.text("user")) if is_id(address.text("user")) else None
    listed = await calls.recorded(
        request.app[DB],
        start=day_start(start, ZONE),
        end=day_start(end + datetime.timedelta(days=1), ZONE),
        user_id=user_id if can(request["user"], "see_tabulations") else request["user"].id,
        queue=address.text("queue") or None,
        number=address.text("number"),
        limit=PER_PAGE + 1,
        offset=(address.page - 1) * PER_PAGE,
    )
    return render(
        request,
        "recordings/list.html",
        address=address,
        start=start,
        end=end,
        calls=listed[:PER_PAGE],
        more=len(listed) > PER_PAGE,
        names={user.id: user.name for user in centre.users.values()},
        labels={queue.name: queue.label for queue in centre.queues.values()},
    )


@routes.get("/recordings/{call_id:[0-9a-f-]{36}}")
@require("hear_recordings")
async def one(request: web.Request) -> web.Response:
    call, centre = await find(request), request.app[FLOOR].centre
    agent, queue = centre.users.get(call.user_id or 0), centre.queues.get(call.queue or "")
    return render(
        request,
        "recordings/one.html",
        call=call,
        agent=agent.name if agent else "",
        queue=queue.label if queue else call.queue,
    )


@routes.get("/recordings/{call_id:[0-9a-f-]{36}}/sound")
@require("hear_recordings")
async def sound(request: web.Request) -> web.StreamResponse:
    """The file as it was recorded, or the part of it a Range header asks for."""
    call = await find(request)
    path = file_of(request, call)
    headers = {"Content-Type": "audio/wav", "Cache-Control": "private, no-store"}
    action = "recording.hear"
    if "download" in request.query:
        action = "recording.download"
        headers["Content-Disposition"] = f'attachment; filename="{call.started:%Y-%m-%d}-{call.id}.wav"'
    if request.app[LISTENINGS].begins(request["user"].id, f"{action} {call.id}", time.monotonic()):
        facts = {"number": call.number}
        await audit.note(request.app[DB], request["user"], action, f"call {call.id}", None, facts)
    return web.FileResponse(path, headers=headers)


@routes.get("/recordings/{call_id:[0-9a-f-]{36}}/loudness")
@require("hear_recordings")
async def loudness(request: web.Request) -> web.Response:
    """How loud each side is along the call: [[customer], [agent]], 0 to 100."""
    path = file_of(request, await find(request))
    try:
        return web.json_response({"peaks": await asyncio.to_thread(peaks, path, STEPS)})
    except NotWav as wrong:
        raise web.HTTPNotFound(text=f"{wrong}\n") from wrong


async def find(request: web.Request) -> CallRecord:
    """The call asked for, when there is a recording of it that this person may hear."""
    call = await calls.by_id(request.app[DB], request.match_info["call_id"])
    if call is None or not call.recording or not recordings.may_hear(request["user"], call):
        raise web.HTTPNotFound(text="there is no recording of this call\n")
    return call


def file_of(request: web.Request, call: CallRecord) -> Path:
    try:
        return recordings.file_of(call, request.app[SETTINGS].data)
    except Refused as refused:
        raise web.HTTPNotFound(text=f"{refused}\n") from refused
