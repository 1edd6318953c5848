"""Pauses: the breaks agents choose from (EPB-54), in their order, and who is on each now."""

from typing import Any

from aiohttp import web
from multidict import MultiDict, MultiMapping

from crm import pauses
from crm.db import Db
from crm.form import key_of
from crm.pauses import Pause
from crm.refused import Refused
from crm.users import User
from webui.auth import require
from webui.effect import take_effect
from webui.kept import Kept
from webui.page import DB, FLOOR
from webui.sent import moved, typed


class Pauses(Kept[Pause]):
    path = "/pauses"
    ids = "(?!new$)[a-z0-9_-]{1,40}"

    async def find(self, db: Db, id: str) -> Pause | None:
        return await pauses.by_code(db, id)

    def id(self, pause: Pause) -> str:
        return pause.code

    async def create(self, db: Db, by: User, sent: MultiMapping[Any]) -> Pause:
        label = sent.get("label", "")
        return await pauses.create(db, by, code=sent.get("code", "") or key_of(label), label=label)

    async def update(self, db: Db, by: User, pause: Pause, sent: MultiMapping[Any]) -> None:
        await pauses.update(db, by, pause.code, label=sent.get("label", ""))

    async def remove(self, request: web.Request, pause: Pause) -> None:
        """Not while somebody is on it: the wall and the agent's own page would have no word for it."""
        if names := on_it(request, pause.code):
            raise Refused("{names} is on this pause now.", code="in_use", names=", ".join(names))
        await pauses.remove(request.app[DB], request["user"], pause.code)

    def values(self, pause: Pause | None) -> MultiDict[str]:
        return MultiDict(label=pause.label if pause else "")

    async def listed(self, request: web.Request) -> dict[str, Any]:
        every = await pauses.all(request.app[DB])
        return {"pauses": [(pause, on_it(request, pause.code)) for pause in every]}

    async def shown(
        self, request: web.Request, pause: Pause | None, values: MultiMapping[str]
    ) -> dict[str, Any]:
        return {"pause": pause}


routes = Pauses().routes()


@routes.post("/pauses")
@require("administer")
async def move(request: web.Request) -> web.Response:
    """One of them a place earlier or later."""
    db, sent = request.app[DB], typed(await request.post())
    codes = [pause.code for pause in await pauses.all(db)]
    await pauses.put_in_order(db, request["user"], moved(codes, sent.get("code", ""), sent.get("move", "")))
    await take_effect(request)
    raise web.HTTPSeeOther("/pauses")


def on_it(request: web.Request, code: str) -> list[str]:
    """The names of the agents who are on this pause now, or go on it or back to it after their call."""
    floor = request.app[FLOOR]
    users = floor.centre.users
    here = [
        agent.user_id
        for agent in floor.agents.values()
        if code in (agent.reason, agent.rest.reason, agent.next.reason if agent.next else None)
    ]
    return sorted(users[id].name if id in users else str(id) for id in here)
