"""One campaign's dialer at work: its agents, its calls, the next of its list; asked at every change how many
to dial. The number is decided by `dialer.pacing` (pure); each call is a story in `dialer.dialed_call`."""

import asyncio
import datetime
import itertools
import logging
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from crm import dialing_figures, hopper
from crm.calls import ZONE
from crm.campaigns import Campaign, is_open
from crm.db import AWAY, Db
from crm.dialing import Dialing
from crm.dialing_figures import Day, History
from crm.hopper import Entry
from crm.item_states import Situation
from crm.routes import Route
from crm.trunks import Trunk
from cti import story
from cti.agent import BUSY, READY, RESERVED, WRAP_UP
from cti.call import Call
from cti.desk import Desk
from cti.floor import Floor
from cti.media.detection import Thresholds
from cti.trunk_use import TrunkUse
from dialer import pacing
from dialer.caller_ids import CallerIds
from dialer.dialed_call import DialedCall
from dialer.gate import Gate
from dialer.pacing import Pacing, Picture
from dialer.work import Guide, Work

if TYPE_CHECKING:
    from dialer.one_to_one import OneToOne

log = logging.getLogger("ramal.dialer")

HOPPER_LEAST, HOPPER_MOST = 20, 500
HOPPER_CALLS_PER_AGENT = 4
OFF, IDLE, TALK, WRAP = "off", "idle", "talk", "wrap"
FULL, SLOW = "full", "slow"  # slow: one call for each agent who is free
HISTORY_DAYS, HISTORY_LEAST = 14, 50  # days, and calls in them, that tell something
PRIORITY = 20  # a person who did not ask for the call waits least


@dataclass(slots=True)
class Joined:
    """An agent who works in a campaign; `blended` ones take calls of their queues too."""

    campaign_id: int
    blended: bool
    campaign: str = ""  # its name, said while it does not dial too


class Drive:
    """`members` are the agents who work in it now, `begun` how many calls of any campaign a trunk is to
    carry and does not know of yet, and `lines` the campaign's own calls, as `dialer.drives` keeps them."""

    def __init__(
        self,
        floor: Floor,
        db: Db,
        gate: Gate,
        one: "OneToOne",
        campaign: Campaign,
        members: Callable[[], Mapping[int, Joined]],
        begun: Callable[[int], int],
        lines: TrunkUse,
    ) -> None:
        self.floor, self.db, self.gate, self.one = floor, db, gate, one
        self.campaign = campaign
        self.members, self.begun = members, begun
        self.lines = lines
        self.queue = f"campaign {campaign.id}"
        self.picture = Picture()
        self.pace = FULL
        self.stopped = False
        self.open = True
        self.away = False  # the database is, until a refresh reaches it
        self.held_up = ""  # why a call that should have been dialed was not
        self.hopper: deque[Entry] = deque()
        self._mix = hopper.Mix()
        self._renewed = 0.0
        self.calls: dict[int, DialedCall] = {}
        self.in_hand: set[int] = set()  # items of calls that no agent has and whose end is not written yet
        self.counts: dict[str, int] = dict.fromkeys(
            ("dialed", "answered", "connected", "abandoned", "machines"), 0
        )
        self._doing: dict[int, str] = {}
        self._idle_seconds: dict[int, float] = {}  # that each agent waited for their last call
        self._serial = itertools.count(1)
        self._caller_ids = CallerIds()
        self._live_calls: dict[int, Call] = {}
        self._woken = False
        self._guide: Guide | None = None
        self._prior: dict[str, float] = {}  # what the campaign's last days say of its people and agents
        self._day = datetime.date.min  # the one that the pacing counts, where the limit is a day's
        self._set(campaign.dialing)
        self.pacing = self._new_pacing()

    # -- settings --

    def _set(self, dialing: Dialing) -> None:
        self.dialing = dialing
        self.thresholds = Thresholds.read(dialing.thresholds)

    def _new_pacing(self) -> Pacing:
        dialing = self.dialing
        window = dialing.window * 60.0 if isinstance(dialing.window, int) else None
        made = Pacing(mode=dialing.mode, ratio=dialing.ratio, window=window)
        detecting = dialing.machine == "before" and self.floor.phones.engine.detects
        made.start(
            {
                "limits": {
                    "ring_timeout_s": float(dialing.ring_seconds),
                    "abandon_after_s": dialing.abandon_after_seconds,
                    "abandon_rate": dialing.abandon_limit_percent / 100,
                },
                "prior": self._prior,
                "amd": {"enabled": detecting, "delay_mean": 1.0},
            }
        )
        return made

    async def remember(self) -> None:
        """For a drive that has just been made, or whose limit is counted anew."""
        self._recall(*await self._before(self.campaign))

    async def _before(self, campaign: Campaign) -> tuple[History, Day]:
        """What went before: how people answer and agents talk here, and what is left of the limit."""
        now = self.gate.now()
        past = await dialing_figures.history(self.db, campaign, HISTORY_DAYS, now)
        return past, await dialing_figures.window(self.db, campaign, now)

    def _recall(self, past: History, so_far: Day) -> None:
        """At once: no decision is made by a pacing that does not know what is left of the limit."""
        if past.dialed >= HISTORY_LEAST and past.talk_seconds and past.ring_seconds:
            self._prior = {
                "p": past.answer_rate,
                "ring": mean(past.ring_seconds),
                "talk": mean(past.talk_seconds),
            } | ({"wrap": mean(past.wrap_seconds)} if past.wrap_seconds else {})
        self.pacing = self._new_pacing()
        self.pacing.tally.add(self.floor.now(), so_far.live, so_far.abandoned + so_far.hung_up)
        self._day = self.gate.now().astimezone(ZONE).date()

    async def change(self, campaign: Campaign) -> None:
        """The campaign as it is now. Limits and modes hold from the next decision on; as long as the database
        is away, all is as it was."""
        dialing, before = campaign.dialing, self.campaign.dialing
        anew = (dialing.window, dialing.ring_seconds, dialing.machine) != (
            before.window,
            before.ring_seconds,
            before.machine,
        )
        guide = await self.one.guide(campaign)
        known = await self._before(campaign) if anew else None
        self._guide, self.campaign = guide, campaign
        if dialing == before:
            return
        self._set(dialing)
        pacing = self.pacing
        if known:
            self._recall(*known)
        else:
            pacing.limit = dialing.abandon_limit_percent / 100
            pacing.patience = dialing.abandon_after_seconds
            pacing.mode, pacing.ratio = dialing.mode, dialing.ratio
        self.wake()

    # -- the list ahead --

    def available(self) -> int:
        """Agents who work here now, talking or not; those about to leave are none."""
        busy = {*self.picture.talk, *self.picture.wrap} - self.picture.leaving
        return len(self.picture.idle) + len(busy)

    async def refresh(self, closed: Mapping[str, Any]) -> None:
        """Once a second: the next people of the list, held by leases; given back when nobody works."""
        now = self.gate.now()
        self.look()  # who joined before this drive began has not been seen by it
        self.open = is_open(self.campaign, now)
        if self._guide is None:
            self._guide = await self.one.guide(self.campaign)
        if self.dialing.window == "day" and self._day != now.astimezone(ZONE).date():
            await self.remember()
        if self.stopped or not self.open or not self.available() or self.dialing.mode == "preview":
            await self.give_back()
            return
        target = min(max(HOPPER_CALLS_PER_AGENT * self.available(), HOPPER_LEAST), HOPPER_MOST)
        if len(self.hopper) <= target // 2:
            room = target - len(self.hopper)
            filled = await hopper.fill(
                self.db, self.campaign, self.dialing, now, room, closed, mix=self._mix,
                lease_seconds=self.one.lease_seconds,
            )  # fmt: skip
            self._add(filled)
        self.away, self.held_up = False, ""
        self.wake()

    def _add(self, filled: list[Entry]) -> None:
        """Somebody who was taken back, and is taken ahead again now, is ahead once; who is in a call, or
        whose call is not written yet, is not."""
        fresh = {entry.item.id: entry for entry in filled if entry.item.id not in self.in_hand}
        self.hopper = deque([entry for entry in self.hopper if entry.item.id not in fresh])
        self.hopper.extend(fresh.values())

    async def keep(self) -> None:
        """People ahead, and in calls that no agent has, stay the dialer's, also when the database was away
        for longer than a lease; whom a supervisor took back is not ahead any more."""
        if self.floor.now() - self._renewed <= self.one.lease_seconds / 3:
            return
        held = {entry.item.id for entry in self.hopper} | self.in_hand
        ours = await hopper.renew(self.db, held, self.gate.now(), self.one.lease_seconds) if held else set()
        self._renewed = self.floor.now()
        gone = held - ours
        self.hopper = deque(entry for entry in self.hopper if entry.item.id not in gone)

    async def give_back(self) -> None:
        """Nobody of them is dialed meanwhile; with the database away they stay ahead, and are given back
        when it is there."""
        entries = list(self.hopper)
        self.hopper.clear()
        if entries:
            try:
                await hopper.give_back(self.db, [entry.item.id for entry in entries])
            except AWAY:
                self.hopper.extend(entries)
                raise

    async def work_of(self, entry: Entry) -> Work:
        assert self._guide is not None  # read before anybody is taken ahead
        return await self.one.work_of(entry.item, self.campaign, entry.contact, entry.phones, self._guide)

    # -- agents --

    def doing(self, user_id: int) -> str:
        if user_id not in self.members():
            return OFF
        agent, desk = self.floor.agent(user_id), self.floor.desks.get(user_id)
        if agent.state == READY:
            if desk is None or desk.station is None or desk.station.state != "ok":
                return OFF
            return WRAP if self.one.hands_full(user_id) else IDLE
        if agent.state in (RESERVED, BUSY):
            return TALK
        return WRAP if agent.state == WRAP_UP else OFF

    def look(self) -> None:
        """Tell the pacing what agents did since the last look."""
        now, picture = self.floor.now(), self.picture
        for user_id in {*self._doing, *self.members()}:
            before, doing = self._doing.get(user_id, OFF), self.doing(user_id)
            if doing != before:
                self._doing[user_id] = doing
                self._moved(user_id, before, doing, now)
            if doing == OFF:
                self._doing.pop(user_id, None)
            agent = self.floor.agent(user_id)
            rest = agent.next or agent.rest
            if doing in (TALK, WRAP) and agent.state != READY and rest.state != READY:
                if user_id not in picture.leaving:
                    picture.leaving.add(user_id)
                    self.pacing.on_event(now, pacing.EV_BREAK_REQ, user_id, 0)
            else:
                picture.leaving.discard(user_id)

    def _moved(self, user_id: int, before: str, doing: str, now: float) -> None:
        picture, tell = self.picture, self.pacing.on_event
        since = {IDLE: picture.idle, TALK: picture.talk, WRAP: picture.wrap}
        began = since[before].pop(user_id, now) if before != OFF else now
        if before == IDLE:
            self._idle_seconds[user_id] = now - began
        if before == TALK:
            tell(now, pacing.EV_TALK_END, user_id, now - began)
            work = self.one.works.get(user_id)
            machine = bool(work and work.chosen and work.chosen.situation is Situation.VOICEMAIL)
            tell(now, pacing.EV_DISPO, user_id, int(machine))
        if (before == WRAP and doing != WRAP) or (before == TALK and doing != WRAP):
            tell(now, pacing.EV_WRAP_END, user_id, now - began if before == WRAP else 0.0)
        if doing != OFF:
            since[doing][user_id] = now
        if doing == IDLE and before == OFF:
            tell(now, pacing.EV_LOGIN, user_id, 0)
        elif doing == OFF:
            tell(now, pacing.EV_LOGOUT, user_id, 0)

    def idle_before(self, desk: Desk) -> float:
        """Seconds that this agent waited for the call in hand."""
        return self._idle_seconds.get(desk.user.id, 0.0)

    # -- calls --

    def moved(self, call: DialedCall, event: int, agent: int = 0) -> None:
        """A call in the air is one step further."""
        now, picture, serial = self.floor.now(), self.picture, call.serial
        picture.ring.pop(serial, None)
        picture.amd.pop(serial, None)
        picture.waiting.pop(serial, None)
        match event:
            case pacing.EV_PICKUP:
                picture.amd[serial] = now
            case pacing.EV_OFFER:
                picture.waiting[serial] = now
                self.counts["answered"] += 1
            case pacing.EV_CONNECT:
                picture.delivered += 1
                self.counts["connected"] += 1
                self.look()
            case pacing.EV_ABANDON:
                picture.dropped += 1
                self.counts["abandoned"] += 1
            case pacing.EV_MACHINE:
                self.counts["machines"] += 1
        self.pacing.on_event(now, event, serial, agent or now - call.dialed_at)
        self.wake()

    def over(self, call: DialedCall, live: Call) -> None:
        """A call is off the trunk; one that nobody lifted tells the pacing how it ended."""
        self.calls.pop(call.serial, None)
        self.lines.end()
        self._live_calls.pop(call.serial, None)
        waiting = call.serial in self.picture.waiting or call.serial in self.picture.amd
        if call.serial in self.picture.ring:
            if call.attempt is None or call.cancelled or not call.sent:
                event = pacing.EV_CANCEL
            else:
                event = pacing.EV_NOANSWER if live.cause == "no answer" else pacing.EV_FAIL
            self.moved(call, event)
        elif waiting:  # hung up before anybody could speak to them: as bad as abandoned, for the limit
            self.moved(call, pacing.EV_ABANDON)
        self.wake()

    def wake(self) -> None:
        """Decide soon: once for all that happens in the same moment."""
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._decide)

    def _decide(self) -> None:
        self._woken = False
        self.look()
        now, picture = self.floor.now(), self.picture
        picture.channels_free = self.channels_free()
        n = self.pacing.decide(now, picture) if self.dialing.mode != "preview" else 0
        if self.pace == SLOW:
            ahead = len(picture.ring) + len(picture.amd) + len(picture.waiting)
            n = min(n, len(picture.idle) - ahead)
        if self.stopped or self.away or not self.open or not self.available():
            n = 0
        for _ in range(min(n, picture.channels_free, len(self.hopper))):
            self._dial(self.hopper.popleft())

    def _dial(self, entry: Entry) -> None:
        number = entry.numbers[0]
        dialed = DialedCall(self, next(self._serial), entry, number, self.caller_id(number))
        now = self.floor.now()
        self.lines.begin(now, self.dialing.calls_per_second)
        call = Call("outbound", number, number, now, origin="dialer")
        call.purpose, call.contact_id, call.priority = dialed, entry.contact.id, PRIORITY
        self.calls[dialed.serial], self._live_calls[dialed.serial] = dialed, call
        self.in_hand.add(dialed.item_id)
        self.picture.ring[dialed.serial] = now
        self.picture.dials += 1
        self.pacing.on_event(now, pacing.EV_DIAL, dialed.serial, 0)
        self.floor.spawn(self._tell(dialed, call))

    async def _tell(self, dialed: DialedCall, call: Call) -> None:
        await story.run(dialed.run(call), self.floor, call)

    def caller_id(self, number: str) -> str:
        """Of the campaign's pool; empty for the route's."""
        return self._caller_ids.choose(self.dialing.caller_ids, number) or self.campaign.caller_id

    def route_for(self, number: str) -> Route | None:
        """The campaign's way out, else the first that leads to this number."""
        routes = self.floor.centre.routes
        chosen = routes.get(self.campaign.route_id or 0)
        known = [chosen] if chosen else list(routes.values())
        return next((route for route in known if re.fullmatch(route.pattern, number)), None)

    def trunk(self) -> Trunk | None:
        """Whose channels limit this campaign."""
        number = self.hopper[0].numbers[0] if self.hopper else ""
        route = self.route_for(number) or self.floor.centre.routes.get(self.campaign.route_id or 0)
        trunk = self.floor.centre.trunks.get(route.trunk_id) if route else None
        return trunk if trunk and trunk.active else None

    def channels_free(self) -> int:
        """Calls that may begin now: within the campaign's own limits, and what the trunk has left."""
        trunk = self.trunk()
        if trunk is None:
            return 0
        dialing = self.dialing
        own = self.lines.room(self.floor.now(), dialing.lines_max, dialing.calls_per_second)
        return max(0, min(own, self.floor.phones.trunk_room(trunk) - self.begun(trunk.id)))

    def message(self, name: str) -> str:
        """A recording of the data folder, or the built-in one."""
        return str(Path(self.floor.settings.data) / "messages" / name) if name else "abandoned"

    # -- stop and go --

    def stop(self) -> None:
        """Nothing more is dialed; what rings is let through or cancelled, as the campaign says."""
        self.stopped = True
        if self.dialing.on_stop == "cancel":
            self.cancel_ringing()

    def cancel_ringing(self) -> None:
        for serial in self.picture.ring:
            self._live_calls[serial].hang_up_asked.set()

    def go(self) -> None:
        self.stopped = False
        self.wake()

    # -- how it looks --

    def view(self) -> dict[str, Any]:
        """What the live page shows, from what is true at this moment."""
        picture, trunk = self.picture, self.trunk()
        why = self.pacing.why()
        return {
            "campaign": {"id": self.campaign.id, "name": self.campaign.name},
            "mode": self.dialing.mode,
            "pace": self.pace,
            "stopped": self.stopped,
            "open": self.open,
            "held_up": self.held_up,
            "why": {"code": why.code, "values": dict(why.values)},
            "agents": {
                "idle": len(picture.idle),
                "talk": len(picture.talk),
                "wrap": len(picture.wrap),
                "leaving": len(picture.leaving),
                "longest_idle_since": min(picture.idle.values(), default=None),
            },
            "air": {
                "hopper": len(self.hopper),
                "ringing": len(picture.ring),
                "detecting": len(picture.amd),
                "waiting": len(picture.waiting),
                "talking": len(self.calls) - len(picture.ring) - len(picture.amd) - len(picture.waiting),
            },
            "trunk": {
                "name": trunk.name,
                "calls": self.floor.phones.trunk_calls(trunk.id),
                "channels_max": trunk.channels_max,
                "silent_seconds": self.floor.phones.trunk_silent(trunk.id),
            }
            if trunk
            else None,
            "pacing": self.pacing.figures(),
            "since_start": dict(self.counts),
        }
