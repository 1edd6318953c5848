"""Imports: a file is sent, seen as it was recognised, its columns are named, and its progress watched."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, web
from multidict import MultiMapping

from config.settings import AREA_CODES
from crm import campaigns, import_layouts, imports, lists
from crm.campaigns import Campaign
from crm.import_rows import MAIN
from crm.imports import Import, Imports, Progress
from crm.refused import Refused
from crm.sheets import Reading
from dialer import validation
from webui.auth import reads_itself, require, same_secret
from webui.imports import said
from webui.page import DB, SETTINGS, ZONE, render, words
from webui.page import said as refusal
from webui.sent import WHOLE, errors, several

IMPORTS = web.AppKey("imports", Imports)
ONE = "/imports/{id:[0-9]{1,15}}"
FIELD_BYTES_MAX = 4096
SHOWN_MAX = 50
STATES = ("active", "paused")  # of campaigns that take people

routes = web.RouteTableDef()


async def alongside(app: web.Application) -> AsyncIterator[None]:
    hooks = validation.Validation(app[DB])

    async def ask(campaign: Campaign, person: lists.Person) -> validation.Verdict:
        told = validation.Person(person.external_code, person.internal_code, person.document)
        inputs = campaign.validation_inputs
        return await hooks.ask(campaign.validate_list, inputs, told, campaign.validation_seconds)

    settings = app[SETTINGS]
    inbox = Path(settings.import_folder) if settings.import_folder else None
    app[IMPORTS] = Imports(app[DB], settings.data, settings.local_area_code, inbox, ask)
    await app[IMPORTS].clean()
    yield
    await app[IMPORTS].close()
    await hooks.close()


# -- A file comes in ---------------------------------------------------------------------------------------


@routes.get("/imports")
@require("run_campaigns")
async def all_imports(request: web.Request) -> web.Response:
    return await listed(request, whole(request.query.get("campaign")))


@routes.post("/imports")
@require("run_campaigns")
@reads_itself
async def send(request: web.Request) -> web.Response:
    """The form is read as it arrives, because files are larger than memory; its own secret comes first."""
    campaign_id: int | None = None
    if request.content_type != "multipart/form-data":
        raise web.HTTPBadRequest(text="a form with a file is expected\n")
    reader = await request.multipart()
    allowed = same_secret(request, request.headers.get("X-CSRF-Token", ""))
    try:
        while part := await reader.next():
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "csrf":
                allowed = allowed or same_secret(request, await short(part))
            elif part.name == "campaign_id":
                campaign_id = whole(await short(part))
            elif part.name == "file":
                if not allowed:
                    raise web.HTTPForbidden(
                        text="the form is out of date: reload the page and send it again\n"
                    )
                if not part.filename:
                    raise Refused("Choose a file.")
                import_id = await request.app[IMPORTS].receive(
                    request["user"], part.filename, pieces(part), campaign_id
                )
                raise web.HTTPSeeOther(f"/imports/{import_id}")
        raise Refused("Choose a file.")
    except Refused as refused:
        async with aclosing(
            rest(reader)
        ) as unread:  # a browser reads no answer before it has sent everything
            async for _ in unread:
                pass
        return await listed(request, campaign_id, refusal(request, refused))


@routes.post("/imports/folder")
@require("run_campaigns")
async def take(request: web.Request) -> web.Response:
    """A file that lies in the folder for bulk imports."""
    sent = await request.post()
    campaign_id = whole(sent.get("campaign_id"))
    try:
        import_id = await request.app[IMPORTS].take(request["user"], str(sent.get("name", "")), campaign_id)
    except Refused as refused:
        return await listed(request, campaign_id, refusal(request, refused))
    raise web.HTTPSeeOther(f"/imports/{import_id}")


async def listed(request: web.Request, campaign_id: int | None, refused: str = "") -> web.Response:
    jobs = request.app[IMPORTS]
    return render(
        request,
        "imports/list.html",
        status=422 if refused else 200,
        imports=await imports.recent(request.app[DB], SHOWN_MAX),
        waiting=await asyncio.to_thread(jobs.waiting_files),
        inbox=str(jobs.inbox),
        usable=await asyncio.to_thread(jobs.inbox_usable),
        campaigns=await open_campaigns(request),
        campaign_id=campaign_id or "",
        layouts=await import_layouts.all(request.app[DB]),
        refused=refused,
    )


async def pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk(1 << 18):
        yield piece


async def rest(reader: Any) -> AsyncGenerator[bytes, None]:
    while part := await reader.next():
        while piece := await part.read_chunk(1 << 18):
            yield piece


async def short(part: BodyPartReader) -> str:
    """A small field of the form."""
    content = b""
    while len(content) < FIELD_BYTES_MAX and (piece := await part.read_chunk(FIELD_BYTES_MAX)):
        content += piece
    return content.decode("utf-8", "replace").strip()


# -- What it is --------------------------------------------------------------------------------------------


@routes.get(ONE)
@require("run_campaigns")
async def one(request: web.Request) -> web.Response:
    return await drawn(request, await find(request))


@routes.post(ONE)
@require("run_campaigns")
async def change(request: web.Request) -> web.Response:
    """Read it another way, use a layout, keep what was chosen, or keep it and start."""
    jobs, by = request.app[IMPORTS], request["user"]
    found, sent = await find(request), await request.post()
    act = str(sent.get("act", "check"))
    try:
        if act == "read":
            await jobs.read_again(by, found.id, reading_of(sent))
        elif act == "layout":
            await jobs.use_layout(by, found.id, whole(sent.get("layout_id")) or 0)
        else:
            await choose(request, found, sent)
            if act == "start":
                await jobs.start(by, found.id)
    except Refused as refused:
        return await drawn(request, found, problems(request, refused), sent)
    raise web.HTTPSeeOther(f"/imports/{found.id}" + ("" if act == "start" else "#columns"))


async def choose(request: web.Request, found: Import, sent: MultiMapping[Any]) -> None:
    await request.app[IMPORTS].choose(
        request["user"],
        found.id,
        targets_of(found, sent),
        options_of(sent),
        whole(sent.get("campaign_id")),
        str(sent.get("layout_name", "")),
    )


@routes.post(ONE + "/cancel")
@require("run_campaigns")
async def cancel(request: web.Request) -> web.Response:
    found = await find(request)
    await request.app[IMPORTS].cancel(request["user"], found.id)
    raise web.HTTPSeeOther(f"/imports/{found.id}")


@routes.post(ONE + "/remove")
@require("run_campaigns")
async def remove(request: web.Request) -> web.Response:
    found = await find(request)
    try:
        await request.app[IMPORTS].remove(request["user"], found.id)
    except Refused as refused:
        return await drawn(request, found, problems(request, refused))
    raise web.HTTPSeeOther("/imports")


@routes.get(ONE + "/live")
@require("run_campaigns")
async def live(request: web.Request) -> web.StreamResponse:
    """Every change of the progress as a server-sent event, pushed by the import until it has ended."""
    found = await find(request)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    async with aclosing(request.app[IMPORTS].follow(found.id)) as news:
        async for progress in news:
            told = json.dumps(event(request, progress), ensure_ascii=False)
            await response.write(f"data: {told}\n\n".encode())
    return response


@routes.get(ONE + "/report")
@require("run_campaigns")
async def report(request: web.Request) -> web.StreamResponse:
    """Every row that was not taken, or not all of it, with the reason, as spreadsheets here open it."""
    found = await find(request)
    _ = words(request)
    try:
        steps = imports.report_rows(request.app[IMPORTS].report(found))
    except Refused as refused:
        raise web.HTTPNotFound(text=f"{refused}\n") from refused
    at = (found.ended or found.created).astimezone(ZONE)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="import-{found.id}-{at:%Y-%m-%d-%H%M}.csv"',
        }
    )
    await response.prepare(request)
    first = True
    while step := await asyncio.to_thread(next, steps, None):
        if first:
            step[0][:4] = [_("Line"), _("Reason"), _("Column"), _("Value")]
        await response.write(await asyncio.to_thread(written, step, request, first))
        first = False
    return response


def written(step: list[list[str]], request: web.Request, first: bool) -> bytes:
    _ = words(request)
    text = io.StringIO(newline="")
    lines = csv.writer(text, delimiter=";")
    for place, row in enumerate(step):
        lines.writerow(row if first and place == 0 else [row[0], said.reason(_, row[1]), *row[2:]])
    return (("\ufeff" if first else "") + text.getvalue()).encode("utf-8", "replace")


# -- Layouts -----------------------------------------------------------------------------------------------


@routes.post("/imports/layouts/{layout:[0-9]{1,9}}/remove")
@require("run_campaigns")
async def remove_layout(request: web.Request) -> web.Response:
    try:
        await import_layouts.remove(request.app[DB], request["user"], int(request.match_info["layout"]))
    except Refused as refused:
        _ = words(request)
        in_use = refused.details.get("errors", {}).get("layout") == "in_use"
        why = _("A campaign expects its files in this layout.") if in_use else refusal(request, refused)
        return await listed(request, None, why)
    raise web.HTTPSeeOther("/imports#layouts")


# -- Drawing -----------------------------------------------------------------------------------------------


async def drawn(
    request: web.Request,
    found: Import,
    wrong: Mapping[str, str] | None = None,
    sent: MultiMapping[Any] | None = None,
) -> web.Response:
    _ = words(request)
    status = 422 if wrong else 200
    context: dict[str, Any] = {"one": found, "errors": wrong or {}, "phases": said.PHASES}
    if found.state == "running":
        return render(request, "imports/running.html", status=status, **context)
    if found.state == "done":
        has_report = found.rejected + found.duplicates + found.blocked + found.notes > 0
        return render(request, "imports/done.html", status=status, has_report=has_report, **context)
    fields = await request.app[IMPORTS].fields()
    if sent is not None and "area_code" in sent:
        targets, options = targets_of(found, sent), options_of(sent)
        campaign_id, layout_name = str(sent.get("campaign_id", "")), str(sent.get("layout_name", ""))
    else:
        targets, options = [column["target"] for column in found.columns], dict(found.options)
        campaign_id, layout_name = str(found.campaign_id or ""), ""
    error = refusal(request, Refused(found.error, **found.error_values)) if found.error else ""
    return render(
        request,
        "imports/columns.html",
        status=status,
        failed=error,
        targets=targets,
        groups=said.targets(_, fields),
        names={name: _(word) for name, word in said.TARGETS.items()}
        | {f"custom:{field.key}": field.label for field in fields},
        options=options,
        campaign_id=campaign_id,
        layout_name=layout_name,
        matches=[(key, _(word)) for key, word in said.MATCHES.items()],
        campaigns=await open_campaigns(request),
        layouts=await import_layouts.all(request.app[DB]),
        tried=imports.tried(found, fields),
        reason=lambda key: said.reason(_, key),
        main=MAIN,
        delimiters=[(code, _(word)) for code, word in said.DELIMITERS.items()],
        encodings=list(said.ENCODINGS.items()),
        area_codes=[(code, code) for code in sorted(AREA_CODES)],
        **context,
    )


async def open_campaigns(request: web.Request) -> list[tuple[int, str]]:
    return [(one.id, one.name) for one in await campaigns.all(request.app[DB], statuses=STATES)]


def problems(request: web.Request, refused: Refused) -> dict[str, str]:
    """What is wrong, in words; what has no field of its own stands above the form."""
    _ = words(request)
    keys: Mapping[str, str] = refused.details.get("errors") or {}
    named = errors(request, refused)
    answer = {field: _(said.PROBLEMS[keys[field]]) if keys.get(field) in said.PROBLEMS else text
              for field, text in named.items()}  # fmt: skip
    if "columns" in answer:
        answer[WHOLE] = answer["columns"]
    return answer


def reading_of(sent: MultiMapping[Any]) -> Reading:
    return Reading(
        encoding=str(sent.get("encoding", "")),
        delimiter=str(sent.get("delimiter", ""))[:1],
        header="header" in sent,
        sheet=str(sent.get("sheet", "")),
    )


def targets_of(found: Import, sent: MultiMapping[Any]) -> list[str]:
    return [str(sent.get(f"column{place}", "")) for place in range(len(found.preview.columns))]


def options_of(sent: MultiMapping[Any]) -> dict[str, Any]:
    return {
        "area_code": str(sent.get("area_code", "")),
        "on_known": str(sent.get("on_known", "")),
        "wrong_document": str(sent.get("wrong_document", "")),
        "phone_required": "phone_required" in sent,
        "other_type": str(sent.get("other_type", "")),
        "matches": several(sent, "told_by"),
    }


def event(request: web.Request, progress: Progress) -> dict[str, object]:
    _ = words(request)
    return {
        "state": progress.state,
        "phase": _(said.PHASES[progress.phase]),
        "share": round(progress.share, 4),
        "read": progress.rows_read,
        "all": progress.rows_all,
        "rejected": progress.rejected,
    }


def whole(given: object) -> int | None:
    text = str(given or "")
    return int(text) if text.isdecimal() and len(text) < 10 else None


async def find(request: web.Request) -> Import:
    found = await imports.by_id(request.app[DB], int(request.match_info["id"]))
    if found is None:
        raise web.HTTPNotFound(text="there is no such import\n")
    return found
