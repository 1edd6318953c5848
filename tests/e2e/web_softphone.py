"""A SIP telephone in a browser page, made of a library of others (JsSIP or SIP.js)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import WebSocket

from tests.e2e.browser import Browser, Person
from tests.e2e.product import PASSWORD, ROOT, Product, free_ports, until


async def bundle() -> Path:
    """The page's script."""
    made = await asyncio.create_subprocess_exec(
        ROOT / "tools/test_softphones.sh", stdout=asyncio.subprocess.PIPE
    )
    path, _ = await made.communicate()
    assert made.returncode == 0, "tools/test_softphones.sh failed"
    return Path(path.decode().strip())


@asynccontextmanager
async def site() -> AsyncIterator[str]:
    """The page's address: on loopback, where a browser gives the microphone."""
    script = await bundle()

    async def page(_: web.Request) -> web.Response:
        html = "<!doctype html><title>softphone</title><script src=bundle.js></script>"
        return web.Response(text=html, content_type="text/html")

    async def bundled(_: web.Request) -> web.FileResponse:
        return web.FileResponse(script)

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/bundle.js", bundled)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    [port] = free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()


class WebSoftphone:
    def __init__(self, person: Person, product: Product, kind: str, extension: str) -> None:
        self.person, self.product, self.kind, self.extension = person, product, kind, extension
        self.heard: list[str] = []  # every message of the server
        person.page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: self.heard.append(str(frame)))

    async def start(self, password: str = PASSWORD) -> None:
        options = {
            "url": self.product.url.replace("http", "ws") + "/sip",
            "uri": f"sip:{self.extension}@ramal",
            "password": password,
        }
        await self.person.page.evaluate("([kind, options]) => softphone(kind, options)", [self.kind, options])

    async def do(self, verb: str, argument: Any = None) -> None:
        await self.person.page.evaluate("([verb, argument]) => phone[verb](argument)", [verb, argument])

    async def told(self) -> list[list[str]]:
        found: list[list[str]] = await self.person.page.evaluate("told")
        return found

    async def until_told(self, what: str, detail: str = "", times: int = 1) -> None:
        async def condition() -> bool:
            return sum(what == said and detail in more for said, more in await self.told()) >= times

        try:
            await until(condition)
        except AssertionError:
            raise AssertionError(
                f"not {what} {detail}: {await self.told()}; {self.person.complaints}"
            ) from None

    async def forget(self) -> None:
        await self.person.page.evaluate("() => { told.length = 0; }")


@asynccontextmanager
async def web_softphone(
    browser: Browser, product: Product, kind: str, extension: str
) -> AsyncIterator[WebSoftphone]:
    async with site() as address, await browser.person(product.url) as person:
        await person.page.goto(address)
        yield WebSoftphone(person, product, kind, extension)
