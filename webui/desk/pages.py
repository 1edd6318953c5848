"""The agent's desk: the call, its customer and its tabulation on one page, drawn from the desk's snapshot."""

from typing import Any

from aiohttp import web

from crm.refused import Refused
from webui import live
from webui.auth import require
from webui.page import FLOOR, PERFORM, fragment, render, said, words

routes = web.RouteTableDef()
routes.get("/live")(live.live)
SWITCHES = ("on", "internal", "blended")


@routes.get("/desk")
@require("take_calls")
async def desk(request: web.Request) -> web.Response:
    _ = words(request)
    kept = request.query.get("kept") == "call"
    return page(request, _("You are on a call. Finish it before you log out.") if kept else "")


@routes.post("/desk/{verb}")
@require("take_calls")
async def act(request: web.Request) -> web.StreamResponse:
    """A button pressed where no script runs: the verb, then the page again, with the refusal if any."""
    mine = request.app[FLOOR].desk(request["user"])
    sent = await request.post()
    try:
        arguments = as_arguments({key: str(value) for key, value in sent.items() if key != "csrf"})
        await request.app[PERFORM](mine.floor, mine, request.match_info["verb"], arguments)
    except Refused as refused:
        errors = live.field_errors(request, refused.details.get("errors", {}))
        return page(request, said(request, refused), errors, status=422)
    raise web.HTTPSeeOther("/desk")


def page(
    request: web.Request, refusal: str = "", errors: dict[str, str] | None = None, status: int = 200
) -> web.Response:
    snapshot = request.app[FLOOR].desk(request["user"]).snapshot()
    if snapshot["form"] and errors:
        snapshot["form"] = {**snapshot["form"], "errors": errors}
    regions = {name: fragment(request, each, desk=snapshot) for name, each in live.PAGES["desk"].items()}
    return render(request, "desk/page.html", status=status, desk=snapshot, regions=regions, refusal=refusal)


def as_arguments(sent: dict[str, str]) -> dict[str, Any]:
    """A form's fields as a verb's arguments: `a.<key>` are answers, switches are booleans, phones a list.

    Raises Refused when a contact's number is not one.
    """
    arguments: dict[str, Any] = {key: value for key, value in sent.items() if not key.startswith("a.")}
    answers = {key[2:]: value for key, value in sent.items() if key.startswith("a.")}
    if answers:
        arguments["answers"] = answers
    for name in SWITCHES:
        if name in arguments:
            arguments[name] = arguments[name] in ("true", "on", "1")
    if "contact" in arguments:
        if not arguments["contact"].isdecimal():
            raise Refused("Choose a customer from the list.", code="bad_argument")
        arguments["contact"] = int(arguments["contact"])
    if "phones" in arguments:
        arguments["phones"] = [p.strip() for p in arguments["phones"].split(",") if p.strip()]
    return arguments
