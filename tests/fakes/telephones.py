"""Telephones without SIP and media: legs that tests answer and hang up, an engine that notes its orders."""

import asyncio
from types import SimpleNamespace

from config import Settings
from cti.station import WebStation


class FakeEngine:
    """Notes every order; `breaks` names orders that fail as if a worker had a bug."""

    def __init__(self):
        self.orders = []
        self.breaks = set()

    def __getattr__(self, name):
        async def order(*arguments, **_):
            if name in self.breaks:
                raise RuntimeError(f"{name} broke")
            self.orders.append((name, *arguments))

        return order


class FakeLeg:
    def __init__(self, name, number="+5511987654321"):
        self.name = name
        self.number = number
        self.over = asyncio.get_running_loop().create_future()
        self.answered = False
        self.status = None

    async def answer(self):
        self.answered = True

    def ring(self):
        self.status = 180

    def reject(self, status):
        self.status = status
        self.gone("refused")

    def gone(self, cause="customer hung up"):
        if not self.over.done():
            self.over.set_result(cause)

    async def hang_up(self, cause="normal"):
        self.gone(cause)


class FakePhones:
    def __init__(self, floor):
        self.floor = floor
        self.engine = FakeEngine()
        self.settings = Settings(recordings=False)
        self.web_stations = {}
        self.phones = set()

    async def quiet(self, leg):
        await self.engine.unbridge(leg)

    async def drop(self, leg):
        await self.engine.delete(leg)

    def registered(self, extension):
        return SimpleNamespace(uri=extension) if extension in self.phones else None

    def routes_for(self, user):
        return []


def seat(floor, user, extension):
    """The user logged on at a WebRTC station whose audio is up, and available."""
    desk = floor.desk(user)
    desk.station = WebStation(floor.phones, user, extension)
    desk.station.state = "ok"
    floor.move(user.id, "log_on", reason="logged_on")
    floor.move(user.id, "ready")
    return desk
