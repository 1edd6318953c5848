"""Every waiting test of SIP runs on both loops: the product uses uvloop, whose sockets are not asyncio's."""

import asyncio

import uvloop


def pytest_asyncio_loop_factories(config, item):
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
