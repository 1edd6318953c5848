"""Do-not-call numbers: found, blocked, unblocked, brought from a file and taken away in one."""

import datetime
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from aiohttp import BodyPartReader, web

from crm import blocklist
from crm.blocklist import Imported, TakenOff, Unblocked
from crm.refused import Refused
from webui.address import Address, is_id, last_page
from webui.auth import reads_itself, require, same_secret
from webui.blocklist.words import REASONS
from webui.page import DB, SETTINGS, render, words
from webui.sent import errors, several, typed

PER_PAGE = 50
EVERYWHERE = "all"  # of the campaigns' choice: those blocked in every campaign
FILE_BYTES_MAX = 64 << 20
FIELD_BYTES_MAX = 4096
SHOWN_MAX = 200  # of the rows not taken

routes = web.RouteTableDef()


@routes.get("/blocklist")
@require("run_campaigns")
async def listed(request: web.Request) -> web.Response:
    return await page(request)


@routes.post("/blocklist")
@require("run_campaigns")
async def block(request: web.Request) -> web.Response:
    db, by, sent = request.app[DB], request["user"], typed(await request.post())
    try:
        made = await blocklist.block(
            db,
            by,
            sent.get("number", ""),
            campaign_of(sent.get("campaign", "")),
            sent.get("reason", ""),
            request.app[SETTINGS].local_area_code,
        )
    except Refused as refused:
        return await page(request, sent, errors(request, refused))
    raise web.HTTPSeeOther(f"/blocklist?text={made.number[1:]}&blocked=1")


@routes.post("/blocklist/unblock")
@require("run_campaigns")
async def unblock(request: web.Request) -> web.Response:
    sent = await request.post()
    ids = [int(id) for id in several(sent, "id") if id.isdecimal() and len(id) < 16]
    reason = str(sent.get("why", ""))
    try:
        done = await blocklist.unblock_all(request.app[DB], request["user"], ids, reason)
    except Refused as refused:
        return await page(request, {"why": reason}, errors(request, refused))
    if done.taken_off:
        return await page(request, unblocked=done)
    raise web.HTTPSeeOther(f"/blocklist?unblocked={done.numbers}")


@routes.post("/blocklist/bring-back")
@require("run_campaigns")
async def bring_back(request: web.Request) -> web.Response:
    """Whom the chosen campaigns took off their lists because of numbers that were unblocked."""
    sent = await request.post()
    back = await blocklist.bring_back(
        request.app[DB],
        request["user"],
        several(sent, "number"),
        [int(id) for id in several(sent, "campaign") if is_id(id)],
        datetime.datetime.now(datetime.UTC),
    )
    raise web.HTTPSeeOther(f"/blocklist?back={back}")


@routes.post("/blocklist/import")
@require("run_campaigns")
@reads_itself
async def bring(request: web.Request) -> web.Response:
    """The form's own secret comes before the file in it; the file goes to the disk as it arrives."""
    if request.content_type != "multipart/form-data":
        raise web.HTTPBadRequest(text="a form with a file is expected\n")
    fields: dict[str, str] = {}
    reader = await request.multipart()
    with tempfile.TemporaryDirectory(prefix="ramal-list-") as folder:
        path, name, too_large = Path(folder) / "list", "", False
        while part := await reader.next():
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "file":
                if not same_secret(request, request.headers.get("X-CSRF-Token") or fields.get("csrf", "")):
                    raise web.HTTPForbidden(
                        text="the form is out of date: reload the page and send it again\n"
                    )
                name, too_large = part.filename or "", not await kept(part, path)
            else:
                fields[part.name or ""] = (await part.read_chunk(FIELD_BYTES_MAX)).decode("utf-8", "replace")
        try:
            if too_large:
                raise Refused("A list may have {most} MB at most.", most=FILE_BYTES_MAX >> 20)
            if not name:
                raise Refused("Choose a file.")
            result = await blocklist.import_file(
                request.app[DB],
                request["user"],
                name,
                path,
                campaign_of(fields.get("campaign", "").strip()),
                fields.get("reason", ""),
                request.app[SETTINGS].local_area_code,
            )
        except Refused as refused:
            wrong = {"file": next(iter(errors(request, refused).values()))}
            return await page(request, fields, wrong)
    return await page(request, result=result, name=name)


async def kept(part: BodyPartReader, path: Path) -> bool:
    """Whether the whole part went into the file; a browser reads no answer before it has sent everything."""
    size = 0
    with path.open("wb") as file:
        while piece := await part.read_chunk(1 << 18):
            size += len(piece)
            if size <= FILE_BYTES_MAX:
                file.write(piece)
    return size <= FILE_BYTES_MAX


@routes.get("/blocklist/export")
@require("run_campaigns")
async def export(request: web.Request) -> web.StreamResponse:
    """What the list shows, with its filters, as a file."""
    address = Address("/blocklist", request.query)
    format = "xlsx" if address.text("format") == "xlsx" else "csv"
    with tempfile.TemporaryDirectory(prefix="ramal-list-") as folder:
        path = Path(folder) / f"list.{format}"
        await blocklist.export(
            request.app[DB],
            request["user"],
            path,
            format,
            campaign_of(address.text("campaign")),
            address.text("campaign") == EVERYWHERE,
            address.text("text"),
        )
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/csv; charset=utf-8" if format == "csv" else "application/octet-stream",
                "Content-Disposition": f'attachment; filename="blocked-numbers.{format}"',
            }
        )
        response.content_length = path.stat().st_size
        await response.prepare(request)
        async for piece in pieces(path):
            await response.write(piece)
        await response.write_eof()
    return response


async def pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1 << 18):
            yield piece


def by_campaign(people: Sequence[TakenOff]) -> list[tuple[int, str, list[str]]]:
    """(campaign, its name, the people's names)."""
    found: dict[tuple[int, str], list[str]] = {}
    for each in people:
        found.setdefault((each.campaign_id, each.campaign), []).append(each.contact)
    return [(id, name, names) for (id, name), names in found.items()]


def campaign_of(text: str) -> int | None:
    return int(text) if is_id(text) else None


async def page(
    request: web.Request,
    values: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
    result: Imported | None = None,
    name: str = "",
    unblocked: Unblocked | None = None,
) -> web.Response:
    _ = words(request)
    db, address = request.app[DB], Address("/blocklist", request.query)
    text, chosen = address.text("text"), address.text("campaign")
    asked = (text, campaign_of(chosen), chosen == EVERYWHERE)
    count = await blocklist.count(db, *asked)
    shown = min(address.page, last_page(count, PER_PAGE))
    campaigns = await db.fetch("SELECT id, name FROM campaign ORDER BY status = 'ended', f_norm(name)")
    return render(
        request,
        "blocklist/list.html",
        status=422 if wrong else 200,
        address=address,
        rows=await blocklist.search(db, *asked, PER_PAGE, (shown - 1) * PER_PAGE),
        count=count,
        page=shown,
        last=last_page(count, PER_PAGE),
        campaigns=[(str(row["id"]), row["name"]) for row in campaigns],
        everywhere=EVERYWHERE,
        values=values or {},
        errors=wrong or {},
        result=result,
        name=name,
        reasons={reason: _(word) for reason, word in REASONS.items()},
        shown_max=SHOWN_MAX,
        blocked="blocked" in request.query and request.method == "GET",
        unblocked=str(unblocked.numbers) if unblocked else request.query.get("unblocked", ""),
        taken_off=by_campaign(unblocked.taken_off) if unblocked else [],
        numbers=sorted({each.number for each in unblocked.taken_off}) if unblocked else [],
        back=request.query.get("back", ""),
    )
