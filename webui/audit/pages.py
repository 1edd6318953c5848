"""Who changed what, and when: the audit as a list, newest first."""

from aiohttp import web

from crm import audit
from webui.address import Address, is_id
from webui.audit.said import KINDS, deed, fact, subject
from webui.auth import require
from webui.page import DB, FLOOR, render, words

PER_PAGE = 50
routes = web.RouteTableDef()


@routes.get("/audit")
@require("audit")
async def entries(request: web.Request) -> web.Response:
    _ = words(request)
    address = Address("/audit", request.query)
    kind, by = address.text("kind"), address.text("by")
    found = await audit.recent(
        request.app[DB],
        limit=PER_PAGE + 1,
        offset=(address.page - 1) * PER_PAGE,
        by_user_id=int(by) if is_id(by) else None,
        action=kind if kind in KINDS else "",
        text=address.text("text"),
    )
    people = sorted(request.app[FLOOR].centre.users.values(), key=lambda user: user.name.casefold())
    return render(
        request,
        "audit/list.html",
        address=address,
        entries=found[:PER_PAGE],
        more=len(found) > PER_PAGE,
        people=[(str(user.id), user.name) for user in people],
        names={user.id: user.name for user in people},
        kinds_said=[(kind, _(word)) for kind, word in KINDS.items()],
        subject=lambda entry: subject(entry, _),
        deed=lambda entry: deed(entry, _),
        fact=lambda key: fact(key, _),
    )
