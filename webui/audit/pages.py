"""Who changed what, and when: the audit as a list, newest first."""

from aiohttp import web

from crm import audit
from webui.address import Address, is_id
from webui.auth import require
from webui.i18n import N_
from webui.page import DB, FLOOR, render, words

PER_PAGE = 50
KINDS = {
    "user": N_("Users"),
    "queue": N_("Queues"),
    "layout": N_("Layouts"),
    "contact": N_("Contacts"),
    "recording": N_("Recordings"),
    "export": N_("Exports"),
    "extension": N_("Extensions"),
}
"""What an action can be about: the beginning of its name, and the word for it."""
ACTIONS = {
    "recording.hear": N_("listened to the recording"),
    "recording.download": N_("downloaded the recording"),
}
"""Words for what was done, where the action's own name does not say it to a reader."""

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
        actions={action: _(word) for action, word in ACTIONS.items()},
    )
