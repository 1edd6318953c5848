"""A toolbar server on a free port, before a floor without telephony."""

import asyncio
import struct

import msgpack
import pytest

from config import Settings
from crm.users import Role
from cti.toolbar.client import ToolbarClient
from cti.toolbar.frames import encode
from cti.toolbar.server import ToolbarServer
from tests.fakes.desk import FakeCommands, FakeFloor, FakeUsers, user


async def until(condition, seconds=120.0):
    """Waits until it holds; fails with its source line when it never does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Site:
    """Everything of one server; `start` may be called again, as after a restart."""

    def __init__(self):
        self.floor, self.commands = FakeFloor(), FakeCommands()
        self.users = FakeUsers(user(), user(2, "agent2"), user(9, "supervisor", Role.SUPERVISOR))
        self.server, self.port = None, 0

    async def start(self, **options):
        options = {"login_delay_seconds": 0.0} | options
        settings = Settings(cti_port=self.port, frame_bytes_max=65_536, toolbar_outbox_max=50)
        self.server = ToolbarServer(
            settings, self.floor, None, verify=self.users.verify, perform=self.commands, **options
        )
        await self.server.start()
        self.port = self.server.port

    async def stop(self):
        await self.server.close()

    def desk(self, login="agent1"):
        return self.floor.desk(self.users.known[login])

    async def raw(self, login=None):
        peer = Raw(*await asyncio.open_connection("127.0.0.1", self.port))
        if login:
            answer = await peer.ask(verb="Login", user=login, password="secret")
            assert answer["ok"], answer
        return peer


class Raw:
    """A client without manners: sends any bytes, reads frames."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.number = reader, writer, 0

    def send(self, **message):
        self.number += 1
        self.writer.write(encode({"id": self.number} | message))
        return self.number

    async def read(self):
        """The next message; None at the end."""
        async with asyncio.timeout(120):
            try:
                (size,) = struct.unpack(">I", await self.reader.readexactly(4))
                return msgpack.unpackb(await self.reader.readexactly(size))
            except (EOFError, ConnectionError):
                return None

    async def ask(self, **message):
        number = self.send(**message)
        while (answer := await self.read()) is not None:
            if answer.get("id") == number:
                return answer
        raise EOFError

    def close(self):
        self.writer.close()


@pytest.fixture
async def site():
    site = Site()
    await site.start()
    yield site
    await site.stop()


@pytest.fixture
async def client(site):
    async with ToolbarClient("127.0.0.1", site.port) as client:
        yield client
