"""The pages served on a free port, and readers logged in to them."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import aiohttp
from aiohttp import web

from config import Settings
from crm import sessions, users
from crm.db import Db
from crm.users import Role, User
from webui import app
from webui.auth import COOKIE

HTML = {"Accept": "text/html"}


@dataclass
class Reader:
    """One logged-in person's browser, without the browser."""

    user: User
    token: str
    csrf: str
    http: aiohttp.ClientSession

    async def get(self, path: str, **more) -> tuple[int, str]:
        async with self.http.get(path, headers=HTML, **more) as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, fields=(), csrf: str | None = None) -> tuple[int, str, str]:
        """Status, page, and where it leads."""
        pairs = list(fields.items()) if isinstance(fields, dict) else list(fields)
        form = aiohttp.FormData([*pairs, ("csrf", self.csrf if csrf is None else csrf)])
        async with self.http.post(path, data=form, headers=HTML, allow_redirects=False) as answer:
            return answer.status, await answer.text(), answer.headers.get("Location", "")


@dataclass
class Site:
    db: Db
    url: str
    floor: object
    app: web.Application
    readers: list[Reader] = field(default_factory=list)

    async def reader(self, role: Role, language: str = "en", **facts) -> Reader:
        login = f"{role}{len(self.readers)}.{id(self)}"
        user = await users.create(
            self.db,
            None,
            login=login,
            name=f"Test {role}",
            role=role,
            password="correct horse battery",
            language=language,
            **facts,
        )
        return await self.reader_of(user)

    async def reader_of(self, user: User) -> Reader:
        token = await sessions.open(self.db, user.id, 1)
        found = await sessions.find(self.db, token)
        assert found is not None
        http = aiohttp.ClientSession(self.url, cookies={COOKIE: token})
        self.readers.append(Reader(user, token, found[1], http))
        return self.readers[-1]


@contextlib.asynccontextmanager
async def serving(db: Db, floor: object, settings: Settings, drives: object = None) -> AsyncIterator[Site]:
    history = SimpleNamespace(put=lambda record: None, lost=0)
    application = app.build(settings, db, floor, None, history, drives=drives, perform=lambda *_: None)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site = Site(db, f"http://127.0.0.1:{runner.addresses[0][1]}/", floor, application)
    try:
        yield site
    finally:
        for reader in site.readers:
            await reader.http.close()
        await runner.cleanup()
