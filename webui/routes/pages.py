"""Routes: the permitted ways out, over which trunk, for whom, and with which number shown."""

from typing import Any

from aiohttp import web
from multidict import MultiDict, MultiMapping

from crm import routes as ways
from crm.db import Db
from crm.routes import Route
from crm.users import User
from webui.kept import Kept
from webui.page import DB, FLOOR
from webui.sent import several

GIVEN = ("name", "pattern", "trunk_id", "strip", "prefix", "caller_id")


class Routes(Kept[Route]):
    path = "/routes"

    async def find(self, db: Db, id: str) -> Route | None:
        return await ways.by_id(db, int(id))

    def id(self, way: Route) -> int:
        return way.id

    async def create(self, db: Db, by: User, sent: MultiMapping[Any]) -> Route:
        return await ways.create(db, by, **facts(sent))

    async def update(self, db: Db, by: User, way: Route, sent: MultiMapping[Any]) -> None:
        await ways.update(db, by, way.id, **facts(sent))

    async def remove(self, request: web.Request, way: Route) -> None:
        await ways.remove(request.app[DB], request["user"], way.id)

    def values(self, way: Route | None) -> MultiDict[str]:
        if way is None:
            return MultiDict((name, str(value)) for name, value in ways.DEFAULTS.items())
        groups = [("groups", str(id)) for id in way.groups]
        return MultiDict([*((name, str(getattr(way, name))) for name in GIVEN), *groups])

    async def listed(self, request: web.Request) -> dict[str, Any]:
        centre = request.app[FLOOR].centre
        return {"ways": await ways.all(request.app[DB]), "trunks": centre.trunks, "groups": centre.groups}

    async def shown(
        self, request: web.Request, way: Route | None, values: MultiMapping[str]
    ) -> dict[str, Any]:
        centre = request.app[FLOOR].centre
        return {
            "way": way,
            "chosen": set(values.getall("groups", [])),
            "trunks": sorted(((t.id, t.name) for t in centre.trunks.values()), key=lambda pair: pair[1]),
            "groups": sorted(centre.groups.values(), key=lambda group: group.name.casefold()),
        }


def facts(sent: MultiMapping[Any]) -> dict[str, Any]:
    """As crm.routes takes them and checks them."""
    return {**{name: sent.get(name, "") for name in GIVEN}, "groups": several(sent, "groups")}


routes = Routes().routes()
