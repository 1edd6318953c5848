"""Pages of things that administrators keep: their list, the form for a new one and for a change, removal."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from aiohttp import web
from multidict import MultiMapping

from crm.db import Db
from crm.refused import Refused
from crm.users import User
from webui.auth import require
from webui.effect import take_effect
from webui.page import DB, render
from webui.sent import as_typed, errors

Thing = TypeVar("Thing")


class Kept(ABC, Generic[Thing]):
    """One kind of thing. Its templates are `list.html` and `form.html` in the folder named as its path.

    A change that is refused shows the form again as it was typed, and one that is not takes effect at once.
    """

    path: str  # of the list, such as /queues; a new one is made at /queues/new
    ids = "[0-9]{1,9}"  # how the id of one is written in its address

    # -- what each kind says --

    @abstractmethod
    async def find(self, db: Db, id: str) -> Thing | None: ...

    @abstractmethod
    def id(self, thing: Thing) -> object: ...

    @abstractmethod
    async def create(self, db: Db, by: User, sent: MultiMapping[Any]) -> Thing: ...

    @abstractmethod
    async def update(self, db: Db, by: User, thing: Thing, sent: MultiMapping[Any]) -> object: ...

    @abstractmethod
    async def remove(self, request: web.Request, thing: Thing) -> None: ...

    @abstractmethod
    def values(self, thing: Thing | None) -> MultiMapping[str]:
        """What stands in the form of this one, or of a new one."""

    @abstractmethod
    async def listed(self, request: web.Request) -> dict[str, Any]:
        """What the template of the list is told."""

    @abstractmethod
    async def shown(
        self, request: web.Request, thing: Thing | None, values: MultiMapping[str]
    ) -> dict[str, Any]:
        """What the template of the form is told besides `values`, `errors` and `saved`."""

    # -- what all have in common --

    async def one(self, request: web.Request) -> Thing:
        """The one that the address names."""
        thing = await self.find(request.app[DB], request.match_info["id"])
        if thing is None:
            raise web.HTTPNotFound(text="there is nothing at this address\n")
        return thing

    async def form(
        self,
        request: web.Request,
        thing: Thing | None,
        values: MultiMapping[str] | None = None,
        wrong: Mapping[str, str] | None = None,
    ) -> web.Response:
        values = self.values(thing) if values is None else values
        return render(
            request,
            f"{self.path[1:]}/form.html",
            status=422 if wrong else 200,
            values=values,
            errors=wrong or {},
            saved="saved" in request.query,
            **await self.shown(request, thing, values),
        )

    def routes(self) -> web.RouteTableDef:
        routes, path, at = web.RouteTableDef(), self.path, f"{self.path}/{{id:{self.ids}}}"

        @routes.get(path)
        @require("administer")
        async def every(request: web.Request) -> web.Response:
            told = await self.listed(request)
            return render(request, f"{path[1:]}/list.html", removed="removed" in request.query, **told)

        @routes.get(f"{path}/new")
        @require("administer")
        async def new(request: web.Request) -> web.Response:
            return await self.form(request, None)

        @routes.post(f"{path}/new")
        @require("administer")
        async def create(request: web.Request) -> web.Response:
            sent = await request.post()
            try:
                made = await self.create(request.app[DB], request["user"], sent)
            except Refused as refused:
                return await self.form(request, None, as_typed(sent), errors(request, refused))
            await take_effect(request)
            raise web.HTTPSeeOther(f"{path}/{self.id(made)}?saved=1")

        @routes.get(at)
        @require("administer")
        async def one(request: web.Request) -> web.Response:
            return await self.form(request, await self.one(request))

        @routes.post(at)
        @require("administer")
        async def update(request: web.Request) -> web.Response:
            thing, sent = await self.one(request), await request.post()
            try:
                await self.update(request.app[DB], request["user"], thing, sent)
            except Refused as refused:
                return await self.form(request, thing, as_typed(sent), errors(request, refused))
            await take_effect(request)
            raise web.HTTPSeeOther(f"{path}/{self.id(thing)}?saved=1")

        @routes.post(f"{at}/remove")
        @require("administer")
        async def remove(request: web.Request) -> web.Response:
            thing = await self.one(request)
            try:
                await self.remove(request, thing)
            except Refused as refused:
                return await self.form(request, thing, wrong=errors(request, refused))
            await take_effect(request)
            raise web.HTTPSeeOther(f"{path}?removed=1")

        return routes
