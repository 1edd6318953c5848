"""The REST API: what programs read, and the leads they send, with the token of data/api.token.

Programs that act, or that must miss nothing, use the CTI port (docs/cti-protocol.md) instead.
"""

from typing import Any

from aiohttp import web

from crm import users
from webui.auth import require
from webui.campaigns.leads import LEAD
from webui.page import FLOOR

routes = web.RouteTableDef()


@routes.get("/api/openapi.json")
async def description(request: web.Request) -> web.Response:
    """This API in OpenAPI 3.1."""
    return web.json_response(DESCRIPTION)


@routes.get("/api/wall")
@require("watch_wall")
async def wall(request: web.Request) -> web.Response:
    return web.json_response(request.app[FLOOR].wall())


@routes.get("/api/queues")
@require("watch_wall")
async def queues(request: web.Request) -> web.Response:
    return web.json_response({"queues": request.app[FLOOR].wall()["queues"]})


@routes.get("/api/agents")
@require("watch_wall")
async def agents(request: web.Request) -> web.Response:
    return web.json_response({"agents": request.app[FLOOR].wall()["agents"]})


@routes.get("/api/desk")
async def desk(request: web.Request) -> web.Response:
    """One's own desk; a program has none."""
    if "user" not in request or not users.can(request["user"], "take_calls"):
        raise web.HTTPForbidden(text="only who takes calls has a desk\n")
    return web.json_response(request.app[FLOOR].desk(request["user"]).snapshot())


def _reading(summary: str, kind: str) -> dict[str, Any]:
    return {
        "get": {
            "summary": summary,
            "security": [{"token": []}, {"session": []}],
            "responses": {
                "200": {
                    "description": summary,
                    "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind}"}}},
                },
                "401": {"description": "No login and no token"},
                "403": {"description": "The right is missing"},
            },
        }
    }


def _list(of: str) -> dict[str, Any]:
    items = {"type": "array", "items": {"$ref": f"#/components/schemas/{of.title()}"}}
    return {"type": "object", "properties": {f"{of}s": items}}


NUMBERS = ("waiting", "offered", "answered", "abandoned", "service_level_seconds")
DESCRIPTION: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Ramal", "version": "1", "description": "The floor as it is now, to be read."},
    "paths": {
        "/api/wall": _reading("Queues, agents and waiting calls", "Wall"),
        "/api/queues": _reading("Each queue today", "Queues"),
        "/api/agents": _reading("Each agent now", "Agents"),
        "/api/campaigns/{id}/leads": {
            "post": {
                "summary": "A lead for a campaign that takes leads; sent twice, it is the first one again",
                "security": [{"token": []}, {"session": []}],
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Lead"}}},
                },
                "responses": {
                    "201": {"description": "id, contact_id, item_id (null: every number is blocked), at"},
                    "400": {"description": "Not a lead"},
                    "404": {"description": "No such campaign"},
                    "422": {"description": "error: what is wrong, field by field"},
                },
            }
        },
        "/api/desk": _reading("One's own desk, as docs/cti-protocol.md describes its snapshot", "Desk"),
    },
    "components": {
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer", "description": "The token of data/api.token"},
            "session": {"type": "apiKey", "in": "cookie", "name": "ramal_session"},
        },
        "schemas": {
            "Queue": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "label": {"type": "string"},
                    **{name: {"type": "integer"} for name in NUMBERS},
                    "longest_since": {"type": ["string", "null"], "format": "date-time"},
                    "service_level_percent": {"type": ["number", "null"]},
                    "expected_wait_seconds": {"type": ["number", "null"]},
                    "agents": {"type": "object", "additionalProperties": {"type": "integer"}},
                },
            },
            "Agent": {
                "type": "object",
                "properties": {
                    "id": {"type": "integer"},
                    **{name: {"type": "string"} for name in ("name", "login", "state")},
                    **{name: {"type": ["string", "null"]} for name in ("extension", "group", "reason")},
                    "since": {"type": "string", "format": "date-time"},
                    "queues": {"type": "array", "items": {"type": "string"}},
                    "call": {"type": ["object", "null"]},
                },
            },
            "Queues": _list("queue"),
            "Agents": _list("agent"),
            "Wall": {
                "allOf": [
                    {"$ref": "#/components/schemas/Queues"},
                    {"$ref": "#/components/schemas/Agents"},
                    {"type": "object", "properties": {"waiting": {"type": "array"}}},
                ]
            },
            "Desk": {"type": "object"},
            "Lead": LEAD,
        },
    },
}
