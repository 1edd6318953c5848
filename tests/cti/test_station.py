"""The state of an agent's WebRTC station, told by the page and by the media engine, in any order."""

from types import SimpleNamespace

import pytest

from config import Settings
from crm.users import Role
from cti import commands
from cti.media.engine import Connected, Disconnected, WorkerLost
from cti.phone import Phones
from tests.fakes.desk import user
from tests.fakes.floor import floor


class Site:
    def __init__(self):
        self.agent = user(1, "agent1", Role.AGENT)
        self.floor = floor(Settings(), [self.agent])
        transport = SimpleNamespace(now=lambda: 0.0, pump=lambda: None)
        engine = self.floor.phones
        self.phones = Phones(Settings(), self.floor, engine, None, None, None, transport)
        self.floor.phones = self.phones
        self.desk = self.floor.desk(self.agent)

    async def do(self, verb, **arguments):
        return await commands.VERBS[verb](self.floor, self.desk, arguments)

    @property
    def state(self):
        return self.desk.station.state


@pytest.fixture
async def site():
    site = Site()
    await site.do("SetStation", kind="webrtc", extension=site.agent.extension)
    await site.do("MediaOffer", sdp="v=0")
    return site


async def test_a_station_is_there_once_its_connection_is(site):
    assert site.state == "no_media"
    site.phones.media_event(Connected("web-1"))
    assert site.state == "ok"


async def test_a_page_that_gave_up_too_early_takes_it_back(site):
    """On a slow machine the path may stand after the page reported that there is none."""
    site.phones.media_event(Connected("web-1"))
    await site.do("MediaReport", state="no_media_path", detail="no path")
    assert site.state == "no_media_path"
    await site.do("MediaReport", state="ok")
    assert site.state == "ok"
    assert site.desk.station.view()["detail"] == ""


@pytest.mark.parametrize("gone", [Disconnected("web-1"), WorkerLost(["web-1"])])
async def test_a_page_that_finds_all_well_does_not_hide_a_lost_connection(site, gone):
    site.phones.media_event(Connected("web-1"))
    site.phones.media_event(gone)
    lost = site.state
    await site.do("MediaReport", state="ok")
    assert site.state == lost != "ok"
    site.phones.media_event(Connected("web-1"))
    assert site.state == "ok"
