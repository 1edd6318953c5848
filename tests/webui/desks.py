"""The pages and the live connection on a real floor, for tests of login, desk and live."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
from aiohttp import web

from config import Settings
from crm import extensions, users
from crm.db import Db
from crm.users import Role, User
from cti.floor import Floor
from tests.fakes import floor as fake
from tests.waiting import until
from webui import app

PASSWORD = "correct horse battery"
HTML = {"Accept": "text/html"}


@dataclass
class Browser:
    """One person's cookies and the pages they open; no script runs here."""

    http: aiohttp.ClientSession
    url: str
    csrf: str = ""

    async def log_in(self, login: str, password: str = PASSWORD, **fields: str) -> aiohttp.ClientResponse:
        form = {"login": login, "password": password, **fields}
        answer = await self.http.post("/login", data=form, headers=HTML, allow_redirects=False)
        if answer.status == 303:
            self.csrf = (await self.text("/profile")).partition('name="csrf" content="')[2].partition('"')[0]
        return answer

    async def text(self, path: str) -> str:
        return await (await self.http.get(path, headers=HTML)).text()

    async def post(self, path: str, headers: dict | None = None, **fields: str) -> aiohttp.ClientResponse:
        return await self.http.post(
            path,
            data={"csrf": self.csrf, **fields},
            headers={**HTML, **(headers or {})},
            allow_redirects=False,
        )

    @contextlib.asynccontextmanager
    async def live(self) -> AsyncIterator["Line"]:
        async with self.http.ws_connect("/live") as socket:
            yield Line(socket)


@dataclass
class Line:
    """The desk's WebSocket as a page uses it."""

    socket: aiohttp.ClientWebSocketResponse
    number: int = 0
    events: list[dict] = field(default_factory=list)

    async def ask(self, verb: str, **fields: object) -> dict:
        self.number += 1
        await self.socket.send_json({"id": self.number, "verb": verb, **fields})
        while True:
            message = json.loads((await self.socket.receive()).data)
            if message.get("id") == self.number:
                return message
            self.events.append(message)

    async def event(self, name: str) -> dict:
        """The next event of this name, with all before it kept in `events`."""
        while True:
            for message in self.events:
                if message["event"] == name and not message.get("seen"):
                    message["seen"] = True
                    return message
            self.events.append(json.loads((await self.socket.receive()).data))


@dataclass
class Site:
    db: Db
    url: str
    floor: Floor
    agent: User
    stack: contextlib.AsyncExitStack
    application: web.Application
    settings: Settings

    async def browser(self, login: str | None = None) -> Browser:
        http = await self.stack.enter_async_context(
            aiohttp.ClientSession(self.url, cookie_jar=aiohttp.CookieJar(unsafe=True))
        )
        browser = Browser(http, self.url)
        if login:
            assert (await browser.log_in(login)).status == 303
        return browser


async def person(db: Db, login: str, role: Role = Role.AGENT, language: str = "en") -> User:
    """This user, made at the first call; agents get an extension of their own."""
    found = await users.by_login(db, login)
    if found is None:
        found = await users.create(
            db,
            None,
            login=login,
            name=login.title(),
            role=role,
            password=PASSWORD,
            language=language,
            may_dial_external=role == Role.AGENT,
        )
        if role == Role.AGENT:
            number = str(2000 + found.id)
            await extensions.create(db, None, number=number, password=PASSWORD, user_id=found.id)
        found = await users.by_login(db, login)
    assert found is not None
    return found


@contextlib.asynccontextmanager
async def serving(db: Db, folder: Path, login: str = "ana", **changes: object) -> AsyncIterator[Site]:
    agent = await person(db, login)
    settings = replace(Settings(), data=folder, **changes)
    floor = fake.floor(settings, [agent], db)
    async with contextlib.AsyncExitStack() as stack:
        application = app.build(settings, db, floor, None, floor.history)
        runner = web.AppRunner(application, shutdown_timeout=1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Site(
            db, f"http://127.0.0.1:{runner.addresses[0][1]}/", floor, agent, stack, application, settings
        )


__all__ = ["PASSWORD", "Browser", "Line", "Site", "person", "serving", "until"]
