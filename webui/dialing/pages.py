"""Campaigns that dial by themselves: how they do it (settings) and how they are doing it now (live)."""

from webui.dialing import live, messages, settings

alongside = live.alongside
routes = [*live.routes, *settings.routes, *messages.routes]
