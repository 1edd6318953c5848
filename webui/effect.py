"""What an administrator saved takes effect at once: the floor takes a new picture of the centre."""

from aiohttp import web

from crm import centre
from webui.page import DB, FLOOR


async def take_effect(request: web.Request) -> None:
    """After the change is committed. Work in progress goes on as it began."""
    request.app[FLOOR].reload(await centre.load(request.app[DB]))
