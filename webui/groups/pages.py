"""Groups: what users belong to, and what is permitted or offered by group (EPB-74)."""

from typing import Any

from aiohttp import web
from multidict import MultiDict, MultiMapping

from crm import groups
from crm.db import Db
from crm.groups import Group
from crm.users import User
from webui.kept import Kept
from webui.page import DB


class Groups(Kept[Group]):
    path = "/groups"

    async def find(self, db: Db, id: str) -> Group | None:
        return await groups.by_id(db, int(id))

    def id(self, group: Group) -> int:
        return group.id

    async def create(self, db: Db, by: User, sent: MultiMapping[Any]) -> Group:
        return await groups.create(db, by, name=sent.get("name", ""))

    async def update(self, db: Db, by: User, group: Group, sent: MultiMapping[Any]) -> None:
        await groups.update(db, by, group.id, name=sent.get("name", ""))

    async def remove(self, request: web.Request, group: Group) -> None:
        await groups.remove(request.app[DB], request["user"], group.id)

    def values(self, group: Group | None) -> MultiDict[str]:
        return MultiDict(name=group.name if group else "")

    async def listed(self, request: web.Request) -> dict[str, Any]:
        db = request.app[DB]
        return {"groups": await groups.all(db), "uses": await groups.uses(db)}

    async def shown(
        self, request: web.Request, group: Group | None, values: MultiMapping[str]
    ) -> dict[str, Any]:
        uses = (await groups.uses(request.app[DB]))[group.id] if group else None
        return {"group": group, "uses": uses}


routes = Groups().routes()
