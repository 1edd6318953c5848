"""A report as a file now, or by e-mail again and again: the same for the eight and for custom reports."""

import datetime
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from crm import report_schedules as schedules
from crm.exports import Source
from webui.exports.pages import EXPORTS, ended_or_late
from webui.page import DB, SETTINGS, words
from webui.reports import said


async def export(request: web.Request, source: Source, format: str) -> web.HTTPSeeOther:
    """Where to look at it; Refused when it cannot be started."""
    id = await request.app[EXPORTS].start(request["user"], source, format)
    await ended_or_late(request, id)
    return web.HTTPSeeOther(f"/exports/{id}?fresh=1")


async def schedule(
    request: web.Request, values: Mapping[str, Any], pairs: list[tuple[str, str]]
) -> web.HTTPSeeOther:
    """Where to see it; Refused with the errors of its fields."""
    now = datetime.datetime.now(datetime.UTC)
    await schedules.create(request.app[DB], request["user"], values, pairs, now)
    return web.HTTPSeeOther("/reports/schedules?saved=1")


def scheduling(request: web.Request, name: str, values: Mapping[str, str] | None) -> dict[str, Any]:
    """What the form that schedules a report is drawn from: as typed, else as most want it."""
    login = request["user"].login
    usual = {
        "name": name,
        "recipients": login if "@" in login else "",
        "every": "day",
        "at": "07:00",
        "format": "xlsx",
    }
    return {
        "schedule": {**usual, **(values or {})},
        "every": every(request),
        "mail": bool(request.app[SETTINGS].smtp_host),
    }


def every(request: web.Request) -> dict[str, str]:
    _ = words(request)
    return {name: f"{_(word)}, {_(said.EVERY_PERIOD[name])}" for name, word in said.EVERY.items()}
