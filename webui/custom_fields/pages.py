"""Custom fields: an administrator decides what else is asked about customers, without programming."""

from collections.abc import Mapping

from aiohttp import web

from crm import custom_fields
from crm.custom_fields import CustomField
from crm.form import key_of
from crm.refused import Refused
from webui.address import is_id
from webui.auth import require
from webui.layouts.words import KINDS
from webui.page import DB, render, words
from webui.sent import errors, moved, typed

routes = web.RouteTableDef()


@routes.get("/custom_fields")
@require("administer")
async def all_fields(request: web.Request) -> web.Response:
    return await page(request)


@routes.post("/custom_fields")
@require("administer")
async def change(request: web.Request) -> web.Response:
    """One field as a whole: a new one when no id is sent, else changed, moved or removed."""
    db, by, sent = request.app[DB], request["user"], typed(await request.post())
    which = sent.get("id", "")
    facts = {name: sent.get(name, "") for name in ("label", "kind", "options", "required")}
    try:
        if not is_id(which):
            fields = await custom_fields.all(db)
            place = max((field.position for field in fields), default=0) + 1
            key = sent.get("key", "").strip() or key_of(facts["label"])
            await custom_fields.create(db, by, **facts, key=key, position=place)
        elif "remove" in sent:
            await custom_fields.remove(db, by, int(which))
        elif "move" in sent:
            ids = [field.id for field in await custom_fields.all(db)]
            await custom_fields.put_in_order(db, by, moved(ids, int(which), sent["move"]))
        else:
            await custom_fields.update(db, by, int(which), **facts)
    except Refused as refused:
        return await page(request, sent, errors(request, refused))
    raise web.HTTPSeeOther("/custom_fields?saved=1")


async def page(
    request: web.Request, values: Mapping[str, str] | None = None, wrong: Mapping[str, str] | None = None
) -> web.Response:
    _ = words(request)
    fields = await custom_fields.ever(request.app[DB])
    return render(
        request,
        "custom_fields/list.html",
        status=422 if wrong else 200,
        fields=[(field, shown(field)) for field in fields if field.active],
        former=[field for field in fields if not field.active],
        kinds=[(kind, _(KINDS[kind])) for kind in custom_fields.KINDS],
        kind_words={kind: _(word) for kind, word in KINDS.items()},
        which=(values or {}).get("id", "") if wrong else None,
        values=values or {},
        errors=wrong or {},
        saved="saved" in request.query,
    )


def shown(field: CustomField) -> dict[str, str]:
    return {
        "label": field.label,
        "options": "\n".join(field.options),
        "required": "1" if field.required else "",
    }
