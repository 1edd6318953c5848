"""A running engine, and telephones that talk through it."""

import socket

import pytest

from cti.media.engine import EmbeddedEngine
from tests.media.peer import Peer
from tests.media.phone import Phone
from tests.ports import share
from tests.waiting import until

ROOM = share(30_000, 32_600)  # the kernel's own range is not used
_next = ROOM.start


def free_ports(count):
    """The first port of a free range, not one of an earlier call while there are others."""
    global _next
    for _ in ROOM:
        low = _next if _next + count <= ROOM.stop else ROOM.start
        _next = low + (count + 9) // 10 * 10
        sockets = []
        try:
            for port in range(low, low + count):
                sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sockets[-1].bind(("127.0.0.1", port))
            return low
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
    raise OSError("no free range of ports")


class Watched(EmbeddedEngine):
    """An engine whose events can be waited for."""

    def __init__(self, tmp_path, workers=1, ports=200, silence_ms=300, address="127.0.0.1"):
        low = free_ports(ports)
        super().__init__(address, address, low, low + ports - 1, workers, silence_ms, tmp_path)
        self.events = []
        self.on_event = self.events.append

    async def told(self, event):
        await until(lambda: event in self.events)


@pytest.fixture
async def make_engine(tmp_path):
    engines = []

    async def make(**options):
        engine = Watched(tmp_path, **options)
        engines.append(engine)
        await engine.start()
        return engine

    yield make
    for engine in engines:
        await engine.stop()


@pytest.fixture
async def engine(make_engine):
    return await make_engine()


@pytest.fixture
async def phone():
    phones = []

    def make(**options):
        phones.append(Phone(**options))
        return phones[-1]

    yield make
    for each in phones:
        each.close()


@pytest.fixture
async def caller(phone):
    """Make a phone that calls in as the given leg and is talking."""

    async def call(engine, leg, near=None, **options):
        made = phone(**options)
        made.learn(await engine.rtp_answer(leg, made.sdp(), near=near))
        made.start()
        return made

    return call


@pytest.fixture
async def peer():
    peers = []

    def make(**options):
        peers.append(Peer(**options))
        return peers[-1]

    yield make
    for each in peers:
        await each.close()
