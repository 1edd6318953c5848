"""Campaigns that dial by themselves: how they do it (settings), what to expect of it (simulation), and how
they are doing it now (live)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from webui.dialing import live, messages, settings, simulation

routes = [*live.routes, *settings.routes, *simulation.routes, *messages.routes]


async def alongside(app: web.Application) -> AsyncIterator[None]:
    async with asynccontextmanager(live.alongside)(app), asynccontextmanager(simulation.alongside)(app):
        yield
