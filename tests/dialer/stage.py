"""A floor with campaigns: desks, stories and tables are real, telephones are ours, the clock is set."""

import asyncio
import contextlib

from config import Settings
from crm import layouts, routes, trunks, users
from crm.centre import Centre, load
from cti.commands import perform
from cti.floor import Floor
from cti.station import CallRefused, SoftphoneStation
from dialer.gate import Gate
from dialer.one_to_one import OneToOne
from dialer.validation import Validation
from tests.crm.campaigning import NOON, agents, campaign, people, put
from tests.fakes.telephones import FakeLeg, FakePhones, seat
from tests.waiting import until

FORM = {
    "name": "renewal",
    "label": "Renovação",
    "fields": [{"key": "reason", "label": "Motivo", "kind": "text", "required": True}],
}


class Kept(list):
    put = list.append


class Screen:
    """An open page of a desk."""

    def __init__(self):
        self.events = []

    def event(self, message):
        self.events.append(message)

    def dismiss(self):
        pass


class FarLeg(FakeLeg):
    """A customer's telephone: it rings until the test answers or refuses."""

    def __init__(self, name, number):
        super().__init__(name, number)
        self.answered = asyncio.get_running_loop().create_future()
        self.answered.add_done_callback(lambda f: f.cancelled() or f.exception())
        self.on_ringing = lambda: None
        self.early_media = False

    def lift(self):
        self.answered.set_result(self)

    def refuse(self, status):
        self.answered.set_exception(CallRefused(status, "test"))


class Phones(FakePhones):
    def __init__(self, floor):
        super().__init__(floor)
        self.rung: list[FarLeg] = []  # every customer's telephone that ever rang
        self.caller_ids = []
        self.room = 1000  # calls more that the trunk carries at once
        self.softphones: dict[str, Softphone] = {}

    async def call_extension(self, extension, call, auto):
        leg = FarLeg(f"own-{extension}", extension)
        self.softphones[extension].rung.append(leg)
        return leg

    def routes_for(self, user):
        return list(self.floor.centre.routes.values()) if user.may_dial_external else []

    def trunk_room(self, trunk):
        return self.room - self.trunk_calls(trunk.id)

    def trunk_silent(self, trunk_id):
        return None

    def trunk_calls(self, trunk_id):
        return len([leg for leg in self.rung if not leg.over.done()])

    async def call_trunk(self, trunk, number, caller_id, near=None):
        leg = FarLeg(f"far-{len(self.rung)}", number)
        self.rung.append(leg)
        self.caller_ids.append(caller_id)
        return leg


class Softphone:
    """An agent's own telephone at the station's extension."""

    def __init__(self, floor, desk):
        self.rung: list[FarLeg] = []
        floor.phones.phones.add(desk.station.extension)
        floor.phones.softphones[desk.station.extension] = self
        desk.station = SoftphoneStation(floor.phones, desk.user, desk.station.extension)


class Stage:
    """What the tests of one campaign stand on."""

    def __init__(self, db, floor, one, team, campaign):
        self.db, self.floor, self.one, self.team, self.campaign = db, floor, one, team, campaign
        self.now = NOON

    @property
    def rung(self):
        return self.floor.phones.rung

    def desk(self, n=0):
        return self.floor.desk(self.team[n])

    async def ask(self, verb, agent=0, **arguments):
        return await perform(self.floor, self.desk(agent), verb, arguments)

    async def next(self, agent=0):
        return (await self.ask("NextItem", agent, campaign=self.campaign.id))["work"]

    def softphone(self, agent=0):
        return Softphone(self.floor, self.desk(agent))

    def own(self, agent=0):
        """Every ring of the agent's own softphone."""
        return self.floor.phones.softphones[self.desk(agent).station.extension].rung

    def work(self, agent=0):
        return self.desk(agent).snapshot()["work"]

    async def item(self, item_id):
        return await self.db.fetchrow("SELECT * FROM list_item WHERE id = $1", item_id)

    async def tries(self, item_id):
        return await self.db.fetch(
            "SELECT * FROM attempt WHERE item_id = $1 ORDER BY attempt_number", item_id
        )

    async def phase(self, *phases, agent=0):
        await until(lambda: (self.work(agent) or {}).get("phase") in phases, f"phase {phases}")

    async def dial(self, work, number=None, agent=0):
        """Dialed, and the customer's telephone rings."""
        before = len(self.rung)
        number = number or work["phones"][0]["number"]
        await self.ask("DialItem", agent, item=work["item"], number=number)
        await until(lambda: len(self.rung) > before)
        return self.rung[-1]

    async def talk(self, work, agent=0):
        leg = await self.dial(work, agent=agent)
        leg.lift()
        await self.phase("talking", agent=agent)
        return leg

    async def talked(self, work, agent=0):
        """The conversation is over and the outcome is to be said."""
        leg = await self.talk(work, agent)
        leg.gone()
        await self.phase("after", agent=agent)


@contextlib.asynccontextmanager
async def stage(db, team_of=2, list_of=3, **settings):
    """Agents at their stations, a campaign with so many not worked people; noon of a Wednesday."""
    team = await agents(db, team_of)
    kind = await layouts.create_type(db, None, name="Venda")
    category = await layouts.create_category(db, None, kind.id, name="Vendido", success=True)
    form = await layouts.create(db, None, types=[kind.id], **FORM)
    trunk = await trunks.create(db, None, name="out", host="127.0.0.1", port=5999)
    route = await routes.create(db, None, name="all", pattern=r"\+\d+", trunk_id=trunk.id)
    made = await campaign(db, team, layout_id=form.id, route_id=route.id, **settings)
    for contact_id in await people(db, list_of):
        await put(db, made, contact_id)
    team = [await users.by_id(db, each.id) for each in team]
    centre: Centre = await load(db)
    stage = Stage(db, None, None, team, made)
    floor = stage.floor = Floor(centre, Kept(), Settings(), clock=lambda: stage.now.timestamp())
    floor.db, floor.phones = db, Phones(floor)
    validation = Validation(db)
    stage.category = str(category.id)
    gate = Gate(db, floor.blocklist, validation, lambda: stage.now)
    stage.one = OneToOne(floor, db, gate, 60)
    stage.one.join()
    for n, user in enumerate(team):
        desk = seat(floor, user, f"10{n:02d}")
        desk.attach(Screen())
    try:
        yield stage
    finally:
        await floor.close()
        await validation.close()
