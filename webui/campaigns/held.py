"""Items in use (UAU-35 … UAU-38): whom agents have in hand, and taking one back with a reason."""

from collections.abc import Mapping, Sequence

from aiohttp import web

from crm import campaigns, items
from crm.refused import Refused
from webui.address import Address, is_id
from webui.auth import require
from webui.page import DB, render
from webui.sent import errors, several

routes = web.RouteTableDef()


@routes.get("/campaigns/in-use")
@require("run_campaigns")
async def in_use(request: web.Request) -> web.Response:
    return await draw(request)


@routes.post("/campaigns/in-use")
@require("run_campaigns")
async def release(request: web.Request) -> web.Response:
    sent = await request.post()
    marked = [item for item in several(sent, "marked") if item.isascii() and item.isdigit()]
    reason = str(sent.get("reason", ""))
    if not marked:
        return await draw(request, {"marked": "required"}, marked, reason)
    try:
        freed = await items.release_held(request.app[DB], request["user"], map(int, marked), reason)
    except Refused as refused:
        return await draw(request, errors(request, refused), marked, reason)
    chosen = str(sent.get("campaign", ""))
    here = f"?campaign={chosen}&" if is_id(chosen) else "?"
    raise web.HTTPSeeOther(f"/campaigns/in-use{here}released={len(freed)}&asked={len(marked)}")


async def draw(
    request: web.Request,
    wrong: Mapping[str, str] | None = None,
    marked: Sequence[str] = (),
    reason: str = "",
) -> web.Response:
    db, address = request.app[DB], Address("/campaigns/in-use", request.query)
    chosen = next(iter(address.numbers("campaign")), None)
    released, asked = address.numbers("released"), address.numbers("asked")
    return render(
        request,
        "campaigns/held.html",
        status=422 if wrong else 200,
        held=await items.held(db, chosen),
        campaigns=[
            (each.id, each.name) for each in await campaigns.all(db, statuses=("active", "paused", "ended"))
        ],
        chosen=chosen,
        marked=set(marked),
        reason=reason,
        errors=wrong or {},
        released=(released[0], asked[0]) if released and asked else None,
    )
