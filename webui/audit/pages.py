"""Who changed what, and when: the audit as a list, newest first."""

from aiohttp import web

from crm import audit, filters
from crm.audit import AuditEntry
from webui.address import Address, is_id
from webui.audit.said import KINDS, deed, fact, subject, value
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
    named = await names(request)
    fields = await filters.fields(request.app[DB])
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
        value=lambda key, thing: value(key, thing, _, named, fields),
        call_of=call_of,
    )


async def names(request: web.Request) -> dict[str, dict[int, str]]:
    """What the ids among the facts are called now; one that is gone stays a number."""
    db, centre = request.app[DB], request.app[FLOOR].centre
    users = {user.id: user.name for user in centre.users.values()}
    groups = {group.id: group.name for group in centre.groups.values()}
    campaigns = dict(await db.fetch("SELECT id, name FROM campaign"))
    types = dict(await db.fetch("SELECT id, name FROM category_type"))
    return {
        **dict.fromkeys(("user_id", "by_user_id", "by", "owner", "held_by", "agents", "members"), users),
        **dict.fromkeys(("group_id", "groups"), groups),
        **dict.fromkeys(("campaign", "campaign_id"), campaigns),
        "layout_id": {layout.id: layout.label for layout in centre.layouts.values()},
        "route_id": {route.id: route.name for route in centre.routes.values()},
        "trunk_id": {trunk.id: trunk.name for trunk in centre.trunks.values()},
        "filter_id": dict(await db.fetch("SELECT id, name FROM saved_filter")),
        "script_id": dict(await db.fetch("SELECT id, name FROM script")),
        "ticket_type_id": dict(await db.fetch("SELECT id, name FROM ticket_type")),
        "import_layout_id": dict(await db.fetch("SELECT id, name FROM import_layout")),
        **dict.fromkeys(("type", "types"), types),
        "order": dict(await db.fetch("SELECT id, label FROM custom_field")),
    }


def call_of(entry: AuditEntry) -> str:
    """The id of the call an entry is about, empty when it is about something else."""
    return entry.subject.removeprefix("call ") if entry.action.startswith("recording.") else ""
