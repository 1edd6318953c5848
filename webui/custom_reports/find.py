"""A custom report as its reader may have it: found, in words, and with the columns that are for them."""

import datetime
from collections.abc import Mapping

from aiohttp import web

from crm import custom_reports
from crm.custom_reports import Column, CustomReport
from crm.filters import Tree
from crm.refused import Refused
from crm.users import can
from webui.custom_reports import words
from webui.filters.words import Say
from webui.filters.words import said as tree_said
from webui.page import DB, ZONE
from webui.page import words as words_of

ONE = "/reports/custom/{id:[0-9]{1,9}}"


async def find(request: web.Request, id: int | None = None) -> CustomReport:
    wanted = int(request.match_info["id"]) if id is None else id
    try:
        return await custom_reports.by_id(request.app[DB], request["user"], wanted)
    except Refused as refused:
        raise web.HTTPNotFound(text=f"{refused}\n") from refused


async def named(request: web.Request, subject: str) -> dict[str, Column]:
    """The columns of a subject that this reader can have, in their words."""
    known = await custom_reports.catalog(request.app[DB], subject, request["user"])
    return words.named(known, subject, words_of(request))


def subjects_for(request: web.Request) -> list[str]:
    """What rows can be for this reader."""
    may = can(request["user"], "see_contacts")
    return [subject for subject in custom_reports.SUBJECTS if may or subject != "customers"]


def today() -> datetime.date:
    return datetime.datetime.now(ZONE).date()


def sentence(subject: str, tree: Tree, columns: Mapping[str, Column], _: Say) -> str:
    """Which rows: the filter in words, without what is gone."""
    fields = custom_reports.fields_of(columns)
    kept, _lost = custom_reports.pruned(tree, fields)
    return _(words.EVERY_ONE[subject]) if kept == {"all": []} else tree_said(kept, fields, _)
