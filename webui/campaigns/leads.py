"""Leads that another system sends to a campaign: POST /api/campaigns/{id}/leads, with the token of programs.

    {"name": "Mariana Alves", "phones": ["11 98765-4321"], "source": "site", "external_id": "L-1029"}

One that is sent twice (same source and external id) is answered as the first time.
"""

import json
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from crm import leads
from crm.entry import MESSAGES
from crm.refused import Refused
from webui.auth import require
from webui.page import DB, said, words

TEXTS = ("name", "source", "external_id", "document", "email", "company", "notes", "external_code")
PHONES_MAX = 20

routes = web.RouteTableDef()


@routes.post("/api/campaigns/{id:[0-9]{1,9}}/leads")
@require("run_campaigns")
async def receive(request: web.Request) -> web.Response:
    """201 with the lead and its item; 422 with what is wrong with each field."""
    given = await facts(request)
    try:
        lead = await leads.receive(
            request.app[DB],
            request.get("user"),
            int(request.match_info["id"]),
            datetime.now(UTC),
            **given,
        )
    except Refused as refused:
        return web.json_response(
            {
                "error": {
                    "code": refused.code,
                    "message": said(request, refused),
                    "errors": wrong(request, refused),
                }
            },
            status=404 if refused.code == "not_found" else 422,
        )
    body = {"id": lead.id, "contact_id": lead.contact_id, "item_id": lead.item_id, "at": lead.at.isoformat()}
    return web.json_response(body, status=201)


async def facts(request: web.Request) -> dict[str, Any]:
    """What was sent, each of the kind it has to be; anything else is no lead."""
    try:
        sent = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        sent = None
    if not isinstance(sent, dict):
        raise web.HTTPBadRequest(text="a lead is a JSON object\n")
    known: dict[str, Any] = {name: sent[name] for name in TEXTS if name in sent}
    phones, priority = sent.get("phones", []), sent.get("priority", 0)
    if not all(isinstance(value, str) for value in known.values()):
        raise web.HTTPBadRequest(text=f"{', '.join(TEXTS)} are texts\n")
    if not isinstance(phones, list) or not all(isinstance(each, str) for each in phones[:PHONES_MAX]):
        raise web.HTTPBadRequest(text="phones is a list of texts\n")
    if not isinstance(priority, int):
        raise web.HTTPBadRequest(text="priority is a whole number\n")
    return {"name": "", **known, "phones": phones[:PHONES_MAX], "priority": priority}


def wrong(request: web.Request, refused: Refused) -> dict[str, str]:
    _ = words(request)
    return {name: _(MESSAGES.get(key, key)) for name, key in (refused.details.get("errors") or {}).items()}


LEAD = {
    "type": "object",
    "required": ["name", "phones"],
    "properties": {
        **{name: {"type": "string"} for name in TEXTS},
        "phones": {"type": "array", "items": {"type": "string"}, "maxItems": PHONES_MAX},
        "priority": {"type": "integer", "description": "the lowest is called first"},
    },
}
