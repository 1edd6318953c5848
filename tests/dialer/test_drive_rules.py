"""What never happens, whatever agents, people, supervisors, trunks and the database do, in any order.

Random schedules over the real dialer and a real database, where telephones are ours: `Carrier` carries every
call that it is asked to and notes what should not have been dialed. Each schedule has its own habits: what
happens often in it, and whether the pacing is out of its mind. RULES_SEEDS sets how many schedules run.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import os
import random
from collections import Counter

import pytest

from config import Settings
from crm import (
    attempts,
    blocklist,
    campaigns,
    dialing_figures,
    hopper,
    items,
    layouts,
    queues,
    routes,
    trunks,
)
from crm.calls import ZONE
from crm.centre import load
from crm.db import connect
from crm.item_states import State
from crm.refused import Refused
from crm.users import DIALER
from cti import inbound, story
from cti.agent import BUSY, LOGGED_OFF, NOT_READY, READY, RESERVED, WRAP_UP
from cti.call import Call
from cti.commands import perform
from cti.floor import Floor
from cti.media.detection import Decision, Kind
from cti.station import NotSent
from cti.trunk_use import TrunkUse
from dialer import one_to_one, windows
from dialer.drives import Drives
from dialer.gate import Gate
from dialer.one_to_one import OneToOne
from dialer.pacing import Pacing
from dialer.validation import Validation
from dialer.work import Phase
from tests.crm.campaigning import NOON, agents, campaign
from tests.dialer.stage import FORM, FarLeg, Kept, Phones, Screen
from tests.fakes.telephones import FakeLeg, seat
from tests.waiting import until

SEEDS = range(int(os.environ.get("RULES_SEEDS", "5")))
STEPS = 90
LEASE = 60.0
ABANDON_SECONDS = 0.05  # real ones; no page lets them be so few
PAUSE = "lunch"
WORK = {str(day): [[9 * 60, 18 * 60]] for day in range(7)}
AREAS = ("11", "11", "21", "68")  # the last is two hours behind the others
SECOND = datetime.timedelta(seconds=1)
MODES = ("progressive", "ratio", "predictive")
SOON = dict.fromkeys(
    ("busy", "no_answer", "congestion", "rejected", "voicemail", "discarded_customer", "cancelled", "failed"),
    1,
)


class Carrier(Phones):
    """One trunk, counted as `cti.phone` counts it."""

    def __init__(self, world, floor, engine):
        super().__init__(floor)
        self.world, self.engine = world, engine
        self.use = TrunkUse()

    def trunk_room(self, trunk):
        return self.use.room(self.floor.now(), trunk.channels_max, trunk.calls_per_second)

    def trunk_calls(self, trunk_id):
        return self.use.calls

    async def call_trunk(self, trunk, number, caller_id, near=None):
        if trunk.channels_max and self.use.calls >= trunk.channels_max:
            self.world.full(near is None)
            raise NotSent(503, "trunk full")
        leg = FarLeg(f"far-{len(self.world.legs)}", number)
        leg.by_dialer, leg.at = near is None, self.world.now
        leg.over.add_done_callback(lambda _: self.use.end())
        self.use.begin(self.floor.now(), trunk.calls_per_second)
        self.world.rings(leg, trunk)
        return leg


class World:
    """One server's life after the other on the same database, and what telephones saw of it."""

    def __init__(self, url, seed, patch):
        self.url, self.random, self.patch = url, random.Random(seed), patch
        self.how_often = {}
        self.beginning = set()  # calls whose attempt is just being counted
        self.now = NOON
        self.legs = []  # every customer's telephone that ever rang
        self.calls = []  # of the queue
        self.wrong = []  # what happened and should not have
        self.blocked = {}  # number → calls that were on their way when it was blocked
        self.excused = {}  # campaign → calls that were on their way when it was paused or its limits changed
        self.may_lose = set()  # agents whose browser died, or who asked for another person while they had one
        self.released = set()  # items taken out of somebody's hands
        self.left_until = NOON  # what nobody gives back waits for the end of its lease, as it had to
        self.counted = []  # drives that it will tell of
        self.crashed = False
        self.asked = []
        self.away = self.losing = False  # the database is, or its answers get lost
        self.log = []
        self.slow = 0  # seconds that people taken ahead are on their way
        self.watch_begin()
        self.watch_fill()
        if self.random.random() < 0.4:
            patch.setattr(Pacing, "decide", lambda *_: self.pick((0, 0, 1, 2, 8)))

    def watch_begin(self):
        begin = attempts.begin

        async def watched(db, user, item_id, number, now, call_id=None):
            self.beginning.add(call_id)
            try:
                return await begin(db, user, item_id, number, now, call_id)
            finally:
                self.beginning.discard(call_id)

        self.patch.setattr(attempts, "begin", watched)

    def watch_fill(self):
        fill = hopper.fill

        async def slowly(*arguments, **named):
            filled = await fill(*arguments, **named)
            self.busy["fillings"] += 1
            await asyncio.sleep(self.slow)
            self.busy["fillings"] -= 1
            return filled

        self.patch.setattr(hopper, "fill", slowly)

    def on_the_way(self):
        """Calls that every rule was asked for, or is just being."""
        return {call.id for call in self.floor.calls.values() if counted(call.purpose)} | self.beginning

    # -- the centre --

    async def open(self):
        self.db = await self.reach()
        self.team = await agents(self.db, 4)
        kind = await layouts.create_type(self.db, None, name="Venda")
        category = await layouts.create_category(self.db, None, kind.id, name="Vendido", success=True)
        self.category = str(category.id)
        form = await layouts.create(self.db, None, types=[kind.id], **FORM)
        self.trunk = await trunks.create(
            self.db, None, name="out", host="127.0.0.1", port=5999, channels_max=6, calls_per_second=5
        )
        route = await routes.create(self.db, None, name="all", pattern=r"\+\d+", trunk_id=self.trunk.id)
        await queues.create(
            self.db, None, name="help", label="Help", members=[each.id for each in self.team], record=False
        )
        self.contact_of, people = await self.people(24)
        self.campaigns, settings = {}, {
            "layout_id": form.id, "route_id": route.id, "retry": SOON, "attempts_max": 2,
            "number_attempts_per_day_max": 3, "callback_mode": "optional",
        }  # fmt: skip
        for name, listed in (("One", people[:16]), ("Two", people[:16:2] + people[16:])):
            hours = {"hours_preset": "custom", "hours": WORK} if name == "Two" else {}
            made = await campaign(self.db, self.team, name, **settings, **hours)
            await self.db.executemany(
                "INSERT INTO list_item (campaign_id, contact_id) VALUES ($1, $2)",
                [(made.id, contact) for contact in listed],
            )
            self.campaigns[made.id] = made
            await self.set_dialing(made.id, mode=self.random.choice(MODES), lockout_days=1)
        await self.begin()

    async def people(self, n):
        """Some with two telephones."""
        contact_of, ids = {}, []
        for place in range(n):
            contact = await self.db.fetchval(
                "INSERT INTO contact (name) VALUES ($1) RETURNING id", f"P{place}"
            )
            ids.append(contact)
            for extra in range(1 + place % 3 // 2):
                number = f"+55{AREAS[place % len(AREAS)]}9{10000000 + 2 * place + extra}"
                contact_of[number] = contact
                await self.db.execute(
                    "INSERT INTO contact_phone (contact_id, number) VALUES ($1, $2)", contact, number
                )
        return contact_of, ids

    async def reach(self):
        """A pool that knows how busy it is, and that can be cut off."""
        db = await connect(self.url)
        acquire, world, busy = db.acquire, self, Counter()

        class Counted:
            def __init__(self, *arguments, **named):
                if world.away:
                    raise OSError("away")
                if db is not world.db:
                    raise asyncio.CancelledError  # of a server that is no more
                self.real = acquire(*arguments, **named)

            async def __aenter__(self):
                busy["statements"] += 1
                try:
                    return await self.real.__aenter__()
                except BaseException:
                    busy["statements"] -= 1
                    raise

            async def __aexit__(self, *error):
                try:
                    await self.real.__aexit__(*error)
                finally:
                    busy["statements"] -= 1
                if world.losing and error == (None, None, None) and world.random.random() < 0.3:
                    raise OSError("done, and nobody heard of it")

        self.db, self.busy = db, busy
        db.acquire = Counted
        return db

    async def begin(self):
        """A server starts."""
        floor = self.floor = Floor(
            await load(self.db), Kept(), Settings(), clock=lambda: self.now.timestamp()
        )
        floor.db, floor.phones = self.db, Phones(floor)
        floor.phones = Carrier(self, floor, floor.phones.engine)
        floor.phones.engine.detects = False
        floor.phones.engine.detect = self.hear
        await floor.blocklist.load(self.db)
        self.validation = Validation(self.db)
        gate = Gate(self.db, floor.blocklist, self.validation, lambda: self.now)
        await gate.holidays(self.now)
        check = gate.check

        async def check_slowly(user, item_id, number):
            passed = await check(user, item_id, number)
            if self.random.random() < 0.1 and not self.away and not self.losing:
                await self.meanwhile(passed.item, number)
            return passed

        gate.check = check_slowly
        self.one = OneToOne(floor, self.db, gate, LEASE)
        self.one.join()
        self.drives = Drives(floor, self.db, gate, self.one)
        self.drives.join()
        await attempts.close_left_open(self.db, self.now)
        await self.one._restore()
        for n, user in enumerate(self.team):
            seat(floor, user, f"10{n:02d}").attach(Screen())
        self.could = Counter()  # by campaign: somebody could take a call since everything was at rest
        self.standing = {}  # of each item when everything was at rest: its state, and whose callback it is

    async def crash(self):
        """Everything in memory is gone, nothing is written any more, and the carrier hangs up."""
        self.crashed, self.now = True, self.now + SECOND
        self.left_until = self.now + LEASE * SECOND
        old, old_db, old_validation = self.floor, self.db, self.validation
        self.db = None
        while old._tasks:
            for task in list(old._tasks):
                task.cancel()
            await asyncio.wait(set(old._tasks))
        if old._telling:
            old._telling.cancel()
        for drive in self.drives.drives.values():
            drive._woken = True  # decides no more
        for leg in self.legs:
            leg.gone("server died")
        self.counted.clear()
        self.beginning.clear()
        for task in self.asked:
            task.cancel()
        await asyncio.gather(*self.asked, return_exceptions=True)
        self.asked.clear()
        old_db.terminate()
        await old_validation.close()
        await self.reach()
        await self.begin()

    async def close(self):
        for drive in self.drives.drives.values():
            drive.stop()
        await self.floor.close()
        await self.validation.close()
        await self.db.close()

    async def set_dialing(self, campaign_id, **values):
        values = {"abandon_after_seconds": 2.0, **values}
        made = await campaigns.set_dialing(self.db, None, campaign_id, values)
        await self.db.execute(
            """
            UPDATE campaign SET dialing = dialing || jsonb_build_object('abandon_after_seconds', $2::float)
             WHERE id = $1
            """,
            campaign_id,
            ABANDON_SECONDS,
        )
        self.campaigns[campaign_id] = made

    async def hear(self, leg, thresholds):
        kind = self.random.choice((Kind.HUMAN, Kind.HUMAN, Kind.MACHINE, Kind.FAX))
        return Decision(kind, 900, "test")

    # -- what telephones see --

    def say(self, what):
        self.wrong.append(f"{self.now:%d %H:%M:%S} {what}; after {self.log[-12:]}")

    def rings(self, leg, trunk):
        """Somebody's telephone is about to ring: may it?"""
        calls = [
            each
            for each in self.floor.calls.values()
            if each.number == leg.number and each.customer is None and counted(each.purpose)
        ]
        if len(calls) != 1:
            self.say(f"{leg.number} is called by {len(calls)} calls at once")
        leg.call, purpose, now = calls[0], calls[0].purpose, self.now
        leg.item, leg.campaign = purpose.item_id, purpose.campaign_id
        called = self.campaigns[leg.campaign]
        contact = self.contact_of[leg.number]
        for other in self.legs:
            if not other.over.done() and self.contact_of[other.number] == contact:
                self.say(f"{leg.number} is dialed while {other.number} of the same person is in a call")
        if leg.number in self.blocked and calls[0].id not in self.blocked[leg.number]:
            self.say(f"{leg.number} is blocked")
        excused = calls[0].id in self.excused.get(called.id, ())
        if not excused and (called.status != "active" or not campaigns.is_open(called, now)):
            self.say(f"{called.name} is closed")
        if isinstance(windows.may_call(leg.number, now, self.one.gate._holidays[1]), windows.Closed):
            self.say(f"{leg.number} may not be called at this hour")
        state, owner = self.standing.get(leg.item, (State.NOT_WORKED, None))
        earlier = [each for each in self.legs if each.item == leg.item]
        if len(earlier) >= called.attempts_max and state is not State.TO_CALL_BACK and not excused:
            self.say(f"item {leg.item} is called for the {len(earlier) + 1}th time")
        day = now.astimezone(ZONE).date()
        today = [e for e in self.legs if e.number == leg.number and e.at.astimezone(ZONE).date() == day]
        if len(today) >= called.number_attempts_per_day_max and not excused:
            self.say(f"{leg.number} is called for the {len(today) + 1}th time today")
        if leg.by_dialer:
            self.dials(leg, trunk, called, owner)
        elif owner not in (None, calls[0].user_id):
            self.say(f"the callback of {owner} is dialed by {calls[0].user_id}")
        self.legs.append(leg)

    def full(self, by_dialer):
        """Of agents' own calls, which nobody can foresee, the last one or the dialer's next finds no line."""
        if by_dialer and all(leg.by_dialer or leg.over.done() for leg in self.legs):
            self.say("the dialer asks a trunk for more than it carries")

    def dials(self, leg, trunk, called, owner):
        """By itself."""
        use = self.floor.phones.use
        if trunk.channels_max and use.calls > trunk.channels_max:
            self.say(f"{use.calls} calls on a trunk of {trunk.channels_max}")
        lately = [each for each in self.legs if each.by_dialer and each.at > self.now - SECOND]
        if len(lately) >= trunk.calls_per_second:
            self.say(f"{len(lately) + 1} calls begun in a second, of {trunk.calls_per_second}")
        mine = [each for each in lately if each.campaign == called.id]
        if len(mine) >= called.dialing.calls_per_second:
            self.say(f"{called.name} began {len(mine) + 1} calls in a second")
        up = [e for e in self.legs if e.by_dialer and e.campaign == called.id and not e.over.done()]
        if called.dialing.lines_max and len(up) >= called.dialing.lines_max:
            self.say(f"{called.name} has {len(up) + 1} calls at once, of {called.dialing.lines_max}")
        if owner is not None:
            self.say(f"a callback of agent {owner} is dialed for anybody")
        self.look()
        if not self.could[called.id]:
            self.say(f"{called.name} dials and no agent is available")

    def look(self):
        """Remember for which campaigns somebody could take a call."""
        for user_id, joined in self.drives.joined.items():
            agent, desk = self.floor.agent(user_id), self.floor.desks[user_id]
            there = desk.station is not None and desk.station.state == "ok"
            stays = (agent.next or agent.rest).state == READY
            if (agent.state == READY and there) or (agent.state in (RESERVED, BUSY, WRAP_UP) and stays):
                self.could[joined.campaign_id] += 1

    # -- at rest --

    async def rest(self):
        """Until nothing goes on: no statement, no request, no decision."""
        quiet = 0
        while quiet < 25:
            await asyncio.sleep(0 if quiet else 0.001)
            self.look()
            deciding = any(drive._woken for drive in self.drives.drives.values())
            asking = [task for task in self.asked if not task.done()]
            quiet = 0 if any(self.busy.values()) or deciding or asking else quiet + 1
        for task in self.asked:
            with contextlib.suppress(Refused, OSError):
                task.result()
        self.asked.clear()

    async def turn(self):
        """What half a second of the server does."""
        with contextlib.suppress(OSError):
            await self.drives.poll()
            self.counted += [each for each in self.drives.drives.values() if each not in self.counted]
            if self.random.random() < 0.5:
                await self.one.tick()
            await self.drives.refresh()
            for drive in self.drives.drives.values():
                if drive.hopper and not campaigns.is_open(drive.campaign, self.now):
                    self.say(f"{drive.campaign.name} is closed and holds people ahead")
            await self.one.tick()

    async def check(self):
        rows, before = [], None
        while before != set(self.floor.calls):  # a person may have been abandoned while we looked
            await self.rest()
            before = set(self.floor.calls)
            rows = await self.db.fetch("SELECT id, state, held_by, held_until, callback_owner FROM list_item")
        self.standing = {row["id"]: (State(row["state"]), row["callback_owner"]) for row in rows}
        leased = [row for row in rows if row["held_by"] is not None and row["held_until"] > self.now]
        self.check_hands({row["id"]: row["held_by"] for row in leased})
        rung = Counter(leg.number for leg in self.legs)
        tried = {
            row["number"]: row["n"]
            for row in await self.db.fetch(
                "SELECT number, count(*) AS n FROM attempt WHERE dialed GROUP BY 1"
            )
        }
        if rung != tried:
            self.say(f"telephones rang {rung - Counter(tried)} and attempts are {Counter(tried) - rung}")
        again = await self.db.fetch(
            """
            SELECT again.number FROM attempt AS left_alone
              JOIN attempt AS again ON again.number = left_alone.number AND again.dialed
                                   AND (again.started, again.id) > (left_alone.started, left_alone.id)
                                   AND again.started < left_alone.started + interval '1 day'
             WHERE left_alone.situation = 'abandoned'
            """
        )
        if again:
            self.say(f"dialed within the lockout: {[row['number'] for row in again]}")
        self.could = Counter()
        self.look()
        assert not self.wrong, "\n".join(self.wrong)

    def check_hands(self, held):
        """Each item is in one hand, and who holds it knows."""
        works = {user: work.item.id for user, work in self.one.works.items()}
        ahead = [e.item.id for drive in self.drives.drives.values() for e in drive.hopper]
        in_air = [item for drive in self.drives.drives.values() for item in drive.in_hand]
        there = [
            work.item.id
            for work in self.one.works.values()
            if not work.away and work.item.id not in self.released
        ]
        for drive in self.drives.drives.values():
            for call in drive.calls.values():
                if call.work and self.one.works.get(call.desk.user.id) is not call.work:
                    self.say(f"agent {call.desk.user.id} talks to one person and has another before them")
        for desk in self.desks():
            for screen in desk.screens:
                lost = [each for each in screen.events if each.get("event") == "ItemLost"]
                screen.events.clear()
                for each in lost:
                    if each["item"] not in self.released and desk.user.id not in self.may_lose:
                        self.say(f"agent {desk.user.id} was there and lost item {each['item']}: {each}")
        hands = Counter(ahead + in_air + there)
        for item, n in hands.items():
            if n > 1:
                self.say(f"item {item} is in {n} hands: ahead {ahead} in the air {in_air} agents {works}")
        if self.now < self.left_until:
            return
        for item, holder in held.items():
            if holder == DIALER.id and item not in ahead + in_air:
                self.say(f"the dialer holds item {item} and does nothing with it")
            elif holder != DIALER.id and works.get(holder) != item:
                self.say(f"agent {holder} holds item {item} and has {works.get(holder)} before them")

    # -- what may happen --

    def ringing(self):
        return [leg for leg in self.legs if not leg.answered.done() and not leg.over.done()]

    def lifted(self):
        return [leg for leg in self.legs if leg.answered.done() and not leg.over.done()]

    def desks(self, *states):
        desks = [self.floor.desk(user) for user in self.team]
        return [desk for desk in desks if not states or self.floor.agent(desk.user.id).state in states]

    def pick(self, some):
        some = list(some)
        return self.random.choice(some) if some else None

    def ask(self, desk, verb, **arguments):
        self.asked.append(asyncio.ensure_future(perform(self.floor, desk, verb, arguments)))

    def background(self, work):
        self.asked.append(asyncio.ensure_future(work))

    async def person_lifts(self):
        """And nobody hangs up in the same moment, which would be a matter of opinion."""
        if leg := self.pick(each for each in self.ringing() if not each.call.hang_up_asked.is_set()):
            leg.lift()
            for _ in range(6):
                await asyncio.sleep(0)

    def person_refuses(self):
        if leg := self.pick(self.ringing()):
            leg.refuse(self.pick((486, 404, 480, 503, 603)))
            leg.gone("refused")

    def nobody_lifts(self):
        if leg := self.pick(self.ringing()):
            leg.answered.set_exception(TimeoutError())

    def person_hangs_up(self):
        if leg := self.pick(self.lifted()):
            leg.gone()

    def agent_joins(self):
        if desk := self.pick(self.desks(READY, READY, NOT_READY)):
            campaign_id = self.pick(self.campaigns)
            self.ask(desk, "JoinCampaign", campaign=campaign_id, blended=self.random.random() < 0.4)

    def agent_leaves(self):
        if desk := self.pick(self.desks()):
            self.ask(desk, "LeaveCampaign")

    def agent_pauses(self):
        if desk := self.pick(self.desks(READY, BUSY, WRAP_UP)):
            self.floor.choose(desk.user.id, NOT_READY, PAUSE)

    def agent_is_ready(self):
        for desk in self.desks(NOT_READY, BUSY, WRAP_UP):
            if desk.station and desk.station.state == "ok":
                self.floor.choose(desk.user.id, READY)

    def agent_logs_off(self):
        if desk := self.pick(self.desks(READY, NOT_READY, BUSY, WRAP_UP)):
            self.floor.choose(desk.user.id, LOGGED_OFF)

    def agents_return(self):
        """Whoever logged off or whose browser died."""
        for n, user in enumerate(self.team):
            desk = self.floor.desk(user)
            if self.floor.agent(user.id).state == LOGGED_OFF:
                seat(self.floor, user, f"10{n:02d}")
            elif desk.station:
                desk.station.state = "ok"
            if not desk.screens:
                desk.attach(Screen())

    def browser_dies(self):
        if desk := self.pick(self.desks()):
            desk.screens.clear()
            self.may_lose.add(desk.user.id)
            if desk.station:
                desk.station.state = "no_media_path"
            call = desk.call
            if call and call.agent_leg and not call.agent_leg.over.done() and self.random.random() < 0.5:
                call.agent_leg.over.set_result("agent lost")
            elif self.floor.agent(desk.user.id).state == READY and self.random.random() < 0.7:
                self.floor.choose(desk.user.id, NOT_READY, "station_lost")

    def agent_answers(self):
        for desk in self.desks(RESERVED):
            self.ask(desk, "AnswerCall")

    def agent_hangs_up(self):
        if desk := self.pick(self.desks(BUSY)):
            self.ask(desk, "ClearConnection")

    def agent_says(self, desk=None, said=None):
        if desk is None:
            desk = self.pick(
                each for each in self.desks()
                if (work := self.one.works.get(each.user.id)) and work.phase in (Phase.TALKING, Phase.AFTER)
            )  # fmt: skip
        work = desk and self.one.works.get(desk.user.id)
        if not work:
            return
        at = (self.now + self.pick((2, 40, 600)) * 60 * SECOND).isoformat()
        form = {"answers": {"category": self.category, "reason": "Preço"}}
        said = said or self.pick(
            (
                {"result": "success", **form},
                {"result": "failure", **form},
                {"result": "callback", "callback_at": at, "mine": True, **form},
                {"result": "callback", "callback_at": at, **form},
                {"status": "voicemail"},
                {"wrong_number": True},
                {"block": True},
            )
        )
        if "block" in said:
            self.background(self.agent_blocks(desk, work.item.id, work.call.number))
        else:
            self.ask(desk, "SetOutcome", item=work.item.id, **said)

    async def agent_blocks(self, desk, item, number):
        await perform(self.floor, desk, "BlockNumber", {"item": item, "number": number})
        self.blocked.setdefault(number, self.on_the_way())

    def agent_saves_form(self, desk=None):
        if desk := desk or self.pick(each for each in self.desks() if each.form):
            answers = {"category": self.category, "reason": "Preço"}
            self.ask(desk, "SaveTabulation", call=desk.form.call.id, answers=answers)

    def agent_takes_by_hand(self):
        if desk := self.pick(self.desks(READY, NOT_READY, RESERVED, BUSY)):
            if desk.user.id in self.one.works:
                self.may_lose.add(desk.user.id)  # whom nobody may call any more
            self.ask(desk, "NextItem", campaign=self.pick(self.campaigns))

    async def agent_calls_whom_nobody_met(self):
        """By hand, from whichever campaign has them free."""
        free = await self.db.fetch(
            """
            SELECT item.id, attempt.number FROM attempt JOIN list_item AS item USING (contact_id)
             WHERE attempt.situation = 'abandoned' AND item.held_by IS NULL AND item.state IN (0, 1, 2, 3)
               AND attempt.started > $1::timestamptz - interval '1 day'
             ORDER BY item.id, attempt.number
            """,
            self.now,
        )
        desk = self.pick(self.desks(READY, NOT_READY))
        if free and desk and desk.user.id not in self.one.works:
            item, number = self.pick([tuple(row) for row in free])
            self.background(self.takes_and_dials(desk, item, number))

    async def takes_and_dials(self, desk, item, number):
        await perform(self.floor, desk, "TakeItem", {"item": item})
        use, trunk = self.floor.phones.use, self.floor.centre.trunks[self.trunk.id]
        if use.calls + self.drives.begun(trunk.id) < trunk.channels_max:
            await perform(self.floor, desk, "DialItem", {"item": item, "number": number})

    def agent_leaves_item(self):
        for user_id, work in self.one.works.items():
            if work.phase is Phase.CONTACT and self.random.random() < 0.7:
                self.ask(self.floor.desks[user_id], "ExitItem", item=work.item.id)

    def agent_dials(self):
        works = [each for each in self.one.works.items() if each[1].phase in (Phase.CONTACT, Phase.AFTER)]
        use, trunk = self.floor.phones.use, self.floor.centre.trunks[self.trunk.id]
        if works and use.calls + self.drives.begun(trunk.id) < trunk.channels_max:
            user_id, work = self.pick(works)
            if work.open_numbers:
                number = self.pick(work.open_numbers)
                self.ask(self.floor.desks[user_id], "DialItem", item=work.item.id, number=number)

    def customer_calls(self):
        floor = self.floor
        leg = FakeLeg(f"in-{len(self.calls)}", "+5531999990000")
        call = Call("inbound", leg.number, "4000", floor.now(), origin="out", queue="help")
        call.customer = leg
        self.calls.append(leg)
        queue = floor.centre.queues["help"]
        waits = inbound.wait_in_queue(floor, floor.phones, call, leg, queue)
        floor.spawn(story.run(waits, floor, call))

    def customer_hangs_up(self):
        if leg := self.pick(each for each in self.calls if not each.over.done()):
            leg.gone()

    async def meanwhile(self, item, number):
        """Between the rules and the call."""
        match self.random.randrange(3):
            case 0:
                await self.supervisor_blocks(number)
            case 1:
                await self.supervisor_pauses(item.campaign_id)
            case 2:
                await self.set_limits(item.campaign_id, attempts_max=4, number_attempts_per_day_max=1)

    async def supervisor_pauses(self, campaign_id=None):
        active = [each.id for each in self.campaigns.values() if each.status == "active"]
        campaign_id = campaign_id or self.pick(active)
        if campaign_id in active:
            paused = await campaigns.pause(self.db, None, campaign_id)
            self.campaigns[campaign_id], self.excused[campaign_id] = paused, self.on_the_way()

    async def supervisor_pauses_while_people_are_taken(self):
        """Also while agents join, who let the server look for what runs."""
        self.slow = 0.03
        self.background(self.turn())
        await asyncio.sleep(self.random.random() * 0.01)
        await self.supervisor_pauses()
        self.background(self.drives.poll())
        await self.rest()
        self.slow = 0

    async def supervisor_starts(self):
        for each in list(self.campaigns.values()):
            if each.status == "paused":
                self.campaigns[each.id] = await campaigns.activate(self.db, None, each.id)

    async def supervisor_blocks(self, number=None):
        number = number or self.pick(self.contact_of)
        await blocklist.block(self.db, None, number, None, "asked", "11")
        self.floor.blocklist.everywhere.add(number)
        self.blocked.setdefault(number, self.on_the_way())

    async def supervisor_releases(self):
        held = await items.held(self.db)
        if held:
            some = [each.item_id for each in self.random.sample(held, min(3, len(held)))]
            self.released |= set(some)
            await items.release_held(self.db, None, some, "shift over")

    async def supervisor_changes(self):
        await self.rest()
        campaign_id = self.pick(self.campaigns)
        change = self.pick(
            (
                {"mode": "progressive"},
                {"mode": "ratio", "ratio": self.pick((1.5, 3, 6))},
                {"mode": "predictive"},
                {"mode": "preview"},
                {"lines_max": self.pick((0, 2, 3))},
                {"calls_per_second": self.pick((1, 2, 4))},
                {"on_stop": self.pick(("cancel", "finish"))},
                {"window": self.pick(("day", "campaign", 30))},
                {"abandon_limit_percent": self.pick((3.0, 60.0))},
                {"machine": self.pick(("off", "before", "after"))},
            )
        )
        await self.set_dialing(campaign_id, **change)
        await self.turn()

    async def supervisor_sets_limits(self):
        await self.set_limits(
            self.pick(self.campaigns),
            attempts_max=self.pick((1, 2, 4)),
            number_attempts_per_day_max=self.pick((1, 2, 4)),
        )

    async def set_limits(self, campaign_id, **limits):
        saved = await campaigns.save_step(self.db, None, campaign_id, "settings", limits)
        self.campaigns[campaign_id], self.excused[campaign_id] = saved, self.on_the_way()

    async def supervisor_sets_trunk(self):
        await self.rest()
        now = dataclasses.replace(
            self.trunk, channels_max=self.pick((2, 4, 6, 8)), calls_per_second=self.pick((3, 5))
        )
        centre = self.floor.centre
        self.floor.reload(dataclasses.replace(centre, trunks={now.id: now}))

    async def supervisor_sets_pace(self):
        if campaign_id := self.pick(self.drives.drives):
            await self.drives.set_pace(None, campaign_id, self.pick(("slow", "full")))

    def supervisor_cancels(self):
        if campaign_id := self.pick(self.drives.drives):
            self.drives.cancel_ringing(campaign_id)

    async def time_passes(self, seconds=None):
        await self.rest()
        self.now += (seconds or self.pick((0.2, 0.34, 0.5, 1, 1, 5, 25))) * SECOND

    async def minutes_pass(self):
        """Each with the server at work, so that no lease ends by itself."""
        for _ in range(self.pick((2, 4, 12))):
            await self.time_passes(self.pick((20, 40)))
            await self.turn()

    async def night_falls(self):
        """Nobody talks through it. Whoever is held goes back, unless the server is quick enough to renew."""
        for _ in range(3):
            for leg in (*self.ringing(), *self.lifted()):
                leg.gone()
                if not leg.answered.done():
                    leg.refuse(480)
            await self.rest()
        if self.ringing() or self.lifted():
            return  # the dialer found others to call
        self.now += 60 * 60 * self.pick((7, 9, 14, 21)) * SECOND
        self.left_until = self.now + LEASE * SECOND
        await self.turn()

    async def database_is_away(self, seconds=0):
        self.left_until = self.now + (LEASE + seconds) * SECOND
        self.away = True
        for _ in range(3):
            self.now += seconds / 3 * SECOND
            act = self.pick(self.people_act)
            await self.do(act)
            await self.turn()
            await asyncio.sleep(0.01)
        self.away = False

    async def database_is_away_for_long(self):
        """Longer than a lease, or than until somebody is called again whose call was never heard of."""
        await self.rest()
        await self.database_is_away(self.pick((1.5 * LEASE, 1.5 * LEASE, 90 * 60)))
        await self.turn()

    async def answers_get_lost(self):
        """What is written is written, and nobody hears of it: the connection broke in that moment."""
        self.left_until = self.now + LEASE * SECOND
        self.losing = True
        for _ in range(3):
            act = self.pick((*self.people_act, self.agent_joins, self.agent_dials, self.agent_takes_by_hand))
            await self.do(act)
            await self.turn()
            await asyncio.sleep(0.01)
            self.may_lose |= set(self.one.works)  # who is told so says it again
        self.losing = False

    @property
    def people_act(self):
        return (
            self.person_lifts, self.person_refuses, self.person_hangs_up, self.nobody_lifts,
            self.agent_hangs_up, self.agent_says, self.agent_pauses, self.agent_is_ready,
        )  # fmt: skip

    def what_may_happen(self):
        """Each with how often."""
        return {
            self.turn: 14, self.person_lifts: 16, self.person_refuses: 6, self.nobody_lifts: 2,
            self.person_hangs_up: 8, self.agent_joins: 10, self.agent_leaves: 1, self.agent_pauses: 2,
            self.agent_is_ready: 6, self.agent_logs_off: 1, self.agents_return: 3, self.browser_dies: 1,
            self.agent_answers: 3, self.agent_hangs_up: 4, self.agent_says: 12, self.agent_saves_form: 3,
            self.agent_takes_by_hand: 2, self.agent_leaves_item: 2, self.agent_dials: 3,
            self.customer_calls: 2, self.customer_hangs_up: 2, self.supervisor_pauses: 1,
            self.supervisor_starts: 2, self.supervisor_blocks: 1, self.supervisor_releases: 1,
            self.supervisor_changes: 3, self.supervisor_sets_limits: 1, self.supervisor_sets_trunk: 1,
            self.supervisor_sets_pace: 1, self.supervisor_cancels: 1, self.time_passes: 10,
            self.minutes_pass: 1.5, self.night_falls: 0.5, self.database_is_away: 1, self.crash: 0.2,
            self.database_is_away_for_long: 0.5, self.answers_get_lost: 0.5,
            self.agent_calls_whom_nobody_met: 2, self.supervisor_pauses_while_people_are_taken: 1,
        }  # fmt: skip

    async def do(self, act):
        done = act()
        if asyncio.iscoroutine(done):
            await done

    async def step(self):
        """One thing or some at once."""
        may = self.what_may_happen()
        self.how_often = self.how_often or {act.__name__: self.pick((0.3, 1, 1, 3)) for act in may}
        may = {act: often * self.how_often[act.__name__] for act, often in may.items()}
        for act in self.random.choices(list(may), list(may.values()), k=self.pick((1, 1, 2, 4))):
            self.log.append(act.__name__)
            self.look()
            await self.do(act)
            self.look()
            for _ in range(self.pick((0, 1, 5))):
                await asyncio.sleep(0)

    # -- the end --

    async def finish(self):
        """Everybody hangs up and says what came of it, and the campaigns are paused."""
        for each in list(self.campaigns):
            if self.campaigns[each].status == "active":
                self.campaigns[each] = await campaigns.pause(self.db, None, each)
        await self.turn()
        await self.check()
        for leg in (*self.ringing(), *self.lifted(), *self.calls):
            leg.gone()
            if isinstance(leg, FarLeg) and not leg.answered.done():
                leg.refuse(480)
        await until(lambda: not self.floor.calls, "every call is over")
        await self.rest()
        self.agents_return()
        await self.one.tick()
        self.agent_leaves_item()
        for desk in self.desks():
            work = self.one.works.get(desk.user.id)
            if work and work.phase is Phase.CONTACT:
                self.ask(desk, "ExitItem", item=work.item.id)
            elif work:
                self.agent_says(desk, {"status": "voicemail"})
        await self.rest()
        for desk in self.desks(WRAP_UP):  # whose person was taken from them has the form yet
            self.agent_saves_form(desk)
        await self.rest()
        await self.turn()
        self.now += (LEASE + 1) * SECOND if self.now < self.left_until else 0 * SECOND
        await self.turn()
        await self.check()

    async def check_end(self):
        stuck = {d.user.id: self.floor.agent(d.user.id).state for d in self.desks(RESERVED, BUSY, WRAP_UP)}
        assert not stuck and not self.one.works, f"agents are still at work: {stuck} {self.one.works}"
        assert await self.db.fetchval("SELECT count(*) FROM list_item WHERE held_by IS NOT NULL") == 0
        open_ = await self.db.fetch("SELECT * FROM attempt WHERE ended IS NULL OR situation = 'dialing'")
        assert not open_, f"attempts without an end: {open_}"
        if not self.crashed:  # what is not written when a server dies was counted for nothing
            await self.check_counts()

    async def check_counts(self):
        told = Counter()
        for drive in self.counted:
            told.update(drive.counts)
        start = NOON - SECOND
        days = [await dialing_figures.between(self.db, each, start, self.now) for each in self.campaigns]
        mine = [leg for leg in self.legs if leg.by_dialer]
        lifted = [leg for leg in mine if leg.answered.done() and leg.answered.exception() is None]
        written = {
            "dialed": sum(day.dialed for day in days),
            "lifted": sum(day.answered for day in days),
            "connected": sum(day.connected + day.machines_connected for day in days),
            "abandoned": sum(day.abandoned + day.hung_up for day in days),
        }
        assert written == {
            "dialed": len(mine),
            "lifted": len(lifted),
            "connected": told["connected"],
            "abandoned": told["abandoned"],
        }
        assert told["dialed"] == len(mine)


def counted(purpose):
    """The attempt of a call that may ring now; none while its rules are asked."""
    return getattr(purpose, "attempt", None) or getattr(purpose, "_attempt", None)


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr(one_to_one, "RETRY_SECONDS", 0.01)


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_the_rules_hold(fresh_database_url, no_waiting, monkeypatch, seed):
    world = World(fresh_database_url, seed, monkeypatch)
    await world.open()
    try:
        for desk in world.desks():
            world.ask(desk, "JoinCampaign", campaign=world.pick(world.campaigns))
        await world.check()
        for _ in range(STEPS):
            await world.step()
            await world.check()
        await world.finish()
        await world.check_end()
    finally:
        await world.close()
