"""Queues: where calls wait, who takes them, what is asked afterwards, and which numbers lead there."""

from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from typing import Any

from aiohttp import web
from multidict import MultiDict, MultiMapping

from crm import numbers, queues
from crm.centre import Centre
from crm.db import Db
from crm.queues import Queue
from crm.refused import Refused
from crm.users import User, can
from webui.auth import require
from webui.effect import take_effect
from webui.kept import Kept
from webui.page import DB, FLOOR
from webui.sent import errors, several

GIVEN = (
    "name",
    "label",
    "wrapup_seconds",
    "ring_seconds_max",
    "service_level_seconds",
    "waiting_max",
    "wait_seconds_max",
    "layout_id",
)
BOXES = ("tabulation_mandatory", "record")


class Queues(Kept[Queue]):
    path = "/queues"

    async def find(self, db: Db, id: str) -> Queue | None:
        return await queues.by_id(db, int(id))

    def id(self, queue: Queue) -> int:
        return queue.id

    async def create(self, db: Db, by: User, sent: MultiMapping[Any]) -> Queue:
        return await queues.create(db, by, **facts(sent))

    async def update(self, db: Db, by: User, queue: Queue, sent: MultiMapping[Any]) -> None:
        await queues.update(db, by, queue.id, **facts(sent))

    async def remove(self, request: web.Request, queue: Queue) -> None:
        await queues.remove(request.app[DB], request["user"], queue.id)

    def values(self, queue: Queue | None) -> MultiDict[str]:
        if queue is None:
            return MultiDict((name, str(value)) for name, value in queues.DEFAULTS.items())
        known = asdict(queue)
        return MultiDict(
            [
                *((name, "" if known[name] is None else str(known[name])) for name in GIVEN),
                *((name, "1" if known[name] else "") for name in BOXES),
                *(("members", str(id)) for id in queue.members),
            ]
        )

    async def listed(self, request: web.Request) -> dict[str, Any]:
        centre = request.app[FLOOR].centre
        return {
            "queues": await queues.all(request.app[DB]),
            "leading": leading(centre),
            "layouts": {layout.id: layout.label for layout in centre.layouts.values()},
        }

    async def shown(
        self, request: web.Request, queue: Queue | None, values: MultiMapping[str]
    ) -> dict[str, Any]:
        centre, members = request.app[FLOOR].centre, set(values.getall("members", []))
        people = [
            user for user in centre.users.values() if can(user, "take_calls") or str(user.id) in members
        ]
        return {
            "queue": queue,
            "members": members,
            "layouts": [(str(layout.id), layout.label) for layout in centre.layouts.values()],
            "people": by_group(people),
            "numbers": leading(centre).get(queue.name, []) if queue else [],
        }


kept = Queues()
routes = kept.routes()


@routes.post("/queues/{id:[0-9]{1,9}}/numbers")
@require("administer")
async def lead(request: web.Request) -> web.Response:
    """One more number leads to this queue, or one no longer does."""
    db, by = request.app[DB], request["user"]
    queue, sent = await kept.one(request), await request.post()
    try:
        if "remove" in sent:
            await numbers.remove(db, by, str(sent["remove"]))
        else:
            await numbers.create(db, by, dialed=str(sent.get("dialed", "")), kind="queue", target=queue.name)
    except Refused as refused:
        values = kept.values(queue)
        values["dialed"] = str(sent.get("dialed", ""))
        return await kept.form(request, queue, values, errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther(f"/queues/{queue.id}?saved=1#numbers")


def by_group(people: Iterable[User]) -> list[tuple[str, list[User]]]:
    def group(user: User) -> str:
        return user.group or ""

    ordered = sorted(people, key=lambda user: (group(user), user.name.casefold()))
    return [(name, list(here)) for name, here in groupby(ordered, key=group)]


def facts(sent: MultiMapping[Any]) -> dict[str, Any]:
    """About a queue, as crm.queues takes them and checks them; a box not ticked is not sent."""
    values = {name: sent.get(name, "") for name in GIVEN} | {name: name in sent for name in BOXES}
    return {**values, "members": several(sent, "members")}


def leading(centre: Centre) -> dict[str, list[str]]:
    """The numbers that lead to each queue, by its name."""
    found: dict[str, list[str]] = {}
    for number in centre.numbers.values():
        if number.kind == "queue":
            found.setdefault(number.target, []).append(number.dialed)
    return found
