"""Campaigns that dial by themselves: which run, who works in them, and what a supervisor asks of them."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from functools import partial
from typing import Any

from crm import audit, callbacks, campaigns
from crm.campaigns import Campaign
from crm.db import AWAY, Db
from crm.refused import Refused
from crm.users import User, require
from cti.agent import LOGGED_OFF
from cti.commands import Arguments, Verb, whole
from cti.desk import Desk
from cti.floor import Floor
from cti.trunk_use import TrunkUse
from dialer import windows
from dialer.drive import FULL, SLOW, Drive, Joined
from dialer.gate import Gate
from dialer.one_to_one import OneToOne
from dialer.work import Phase, Work

log = logging.getLogger("ramal.dialer")

POLL_SECONDS = 0.5  # a campaign paused on a page stops within this
MANUAL, PREVIEW = "manual", "preview"
# Refusals that hold the campaign up; others concern one agent, or one person of the list.
OF_CAMPAIGN = {"campaign_closed", "nobody_left", "validation_failed", "not_found"}


class Drives:
    """Wired to its floor by `join`; `run` starts and stops each campaign's drive while it runs."""

    def __init__(self, floor: Floor, db: Db, gate: Gate, one: OneToOne) -> None:
        self.floor, self.db, self.gate, self.one = floor, db, gate, one
        self.drives: dict[int, Drive] = {}  # by campaign
        self.joined: dict[int, Joined] = {}  # by user
        self._lines: dict[int, TrunkUse] = defaultdict(TrunkUse)  # by campaign, also when it is paused
        self._one_at_a_time = asyncio.Lock()

    @property
    def verbs(self) -> dict[str, Verb]:
        return {"JoinCampaign": self.join_campaign, "LeaveCampaign": self.leave_campaign}

    def join(self) -> None:
        self.floor.verbs |= self.verbs
        self.floor.parts["dialing"] = self.view_of
        self.floor.parts["dialing_choices"] = self.choices_of
        self.floor.serving = self.serving
        self.floor.watch(self._changed)
        self.one.keepers.append(self.keep)

    # -- who works where --

    def serving(self, user_id: int, queues: frozenset[str]) -> frozenset[str]:
        """An agent of a campaign takes its calls; whoever is not blended no others. Nobody is given a
        person before they said what came of the last."""
        joined = self.joined.get(user_id)
        drive = self.drives.get(joined.campaign_id) if joined else None
        if joined is None or drive is None:
            return queues
        own = queues if joined.blended else frozenset()
        return own if self.one.hands_full(user_id) else own | {drive.queue}

    async def join_campaign(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """Work in a campaign that dials by itself; `blended`: and in one's queues."""
        campaign_id = whole(arguments, "campaign")
        if campaign_id is None:
            raise Refused("Choose a campaign.", code="bad_argument")
        if desk.station is None:
            raise Refused("Log on at a station first.", code="wrong_state")
        campaign = await campaigns.found(self.db, campaign_id)
        campaigns.must_belong(campaign, desk.user)
        if campaign.dialing.mode == MANUAL:
            raise Refused(
                "{campaign} is dialed by hand: open it and take the next person.",
                code="wrong_state",
                campaign=campaign.name,
            )
        if campaign.status != "active":
            raise Refused("{campaign} is not running.", code="campaign_closed", campaign=campaign.name)
        self.joined[desk.user.id] = Joined(campaign_id, arguments.get("blended") is True, campaign.name)
        await self.poll()
        self._told(desk)
        return {"dialing": self.view_of(desk)}

    async def leave_campaign(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """No call comes from it any more; one in hand is finished."""
        self.joined.pop(desk.user.id, None)
        self._told(desk)
        return {"dialing": None}

    def _told(self, desk: Desk) -> None:
        self._show(desk)
        self.floor.assign()
        self.floor.changed()

    def _show(self, desk: Desk) -> None:
        desk.show("DialingChanged", dialing=self.view_of(desk), dialing_choices=self.choices_of(desk))

    def view_of(self, desk: Desk) -> dict[str, Any] | None:
        joined = self.joined.get(desk.user.id)
        drive = self.drives.get(joined.campaign_id) if joined else None
        if joined is None:
            return None
        return {
            "campaign": {
                "id": joined.campaign_id,
                "name": drive.campaign.name if drive else joined.campaign,
                "mode": drive.dialing.mode if drive else "",
            },
            "blended": joined.blended,
            "running": drive is not None and not drive.stopped,
        }

    def choices_of(self, desk: Desk) -> list[dict[str, Any]]:
        """The campaigns that dial by themselves now and that this agent may work in."""
        return [
            {"id": drive.campaign.id, "name": drive.campaign.name, "mode": drive.dialing.mode}
            for drive in self.drives.values()
            if not drive.stopped and campaigns.belongs(drive.campaign, desk.user)
        ]

    def _told_of(self, campaign: Campaign) -> None:
        """A campaign began, changed or stopped: its agents see it."""
        for desk in self.floor.desks.values():
            if campaigns.belongs(campaign, desk.user):
                self._show(desk)

    def members(self, campaign_id: int) -> dict[int, Joined]:
        return {user: joined for user, joined in self.joined.items() if joined.campaign_id == campaign_id}

    def begun(self, trunk_id: int) -> int:
        """Calls of every campaign that this trunk is to carry and does not know of yet."""
        calls = [call for drive in self.drives.values() for call in drive.calls.values()]
        return sum(call.trunk_id == trunk_id and not call.on_trunk for call in calls)

    def _changed(self) -> None:
        """Something moved on the floor: those who logged off work nowhere; each drive looks again."""
        for user_id in [u for u in self.joined if self.floor.agent(u).state == LOGGED_OFF]:
            del self.joined[user_id]
            self._show(self.floor.desks[user_id])
        for drive in self.drives.values():
            drive.wake()

    # -- which campaigns run --

    async def run(self) -> None:
        """Until cancelled; what is held is given back at the end."""
        try:
            while True:
                try:
                    await self.poll()
                    await self.refresh()
                except AWAY as error:
                    log.warning("the dialer waits for the database: %r", error)
                    for drive in self.drives.values():
                        drive.away = True
                except Refused as refused:
                    log.warning("%s", refused)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            for drive in self.drives.values():
                drive.stop()
                with contextlib.suppress(*AWAY):
                    await drive.give_back()

    async def poll(self) -> None:
        """Start what became active, take up what changed, stop what is no longer."""
        async with self._one_at_a_time:
            await self._poll()

    async def _poll(self) -> None:
        active = {each.id: each for each in await campaigns.dialing_by_themselves(self.db)}
        for campaign_id, campaign in active.items():
            drive = self.drives.get(campaign_id)
            if drive is None:
                members = partial(self.members, campaign_id)
                drive = Drive(
                    self.floor, self.db, self.gate, self.one, campaign, members, self.begun,
                    self._lines[campaign_id],
                )  # fmt: skip
                await drive.remember()
                self.drives[campaign_id] = drive
                self.floor.assign()
                self._told_of(campaign)
            elif drive.campaign.updated != campaign.updated:
                await drive.change(campaign)
                self._told_of(campaign)
            if drive.stopped:
                drive.go()
        for campaign_id, drive in list(self.drives.items()):
            if campaign_id not in active:
                if not drive.stopped:
                    drive.stop()
                    self._told_of(drive.campaign)
                await drive.give_back()
                if not drive.calls and not drive.in_hand:
                    del self.drives[campaign_id]

    async def keep(self) -> None:
        """What the dialer holds stays its own; asked before ended leases go back."""
        for drive in list(self.drives.values()):
            await drive.keep()

    async def refresh(self) -> None:
        if not self.drives:
            return
        now = self.gate.now()
        closed = windows.closed_area_codes(now, await self.gate.holidays(now))
        for drive in list(self.drives.values()):
            async with self._one_at_a_time:  # none is stopped while it takes people ahead
                if self.drives.get(drive.campaign.id) is not drive:
                    continue
                await drive.refresh(closed)
            await self.attend(drive)

    async def attend(self, drive: Drive) -> None:
        """With an agent on the line before the customer is called: own callbacks, everybody in preview."""
        idle = [] if drive.stopped or not drive.open else list(drive.picture.idle)
        if not idle:
            return
        now = self.gate.now()
        due = await callbacks.due_of(self.db, drive.campaign.id, idle, now)
        for user_id in idle:
            desk = self.floor.desks[user_id]
            try:
                if user_id in due:
                    if drive.trunk() and not drive.channels_free():
                        continue  # until a line is free
                    await self.one.take_item(self.floor, desk, {"item": due[user_id]})
                    await self._dial(desk)
                elif drive.dialing.mode == PREVIEW:
                    await self.one.next_item(self.floor, desk, {"campaign": drive.campaign.id})
                    self._count_down(desk, drive.dialing.preview_seconds)
            except Refused as refused:
                if refused.code in OF_CAMPAIGN:
                    drive.held_up = str(refused)

    def _count_down(self, desk: Desk, seconds: float) -> None:
        """Preview: dialed by itself unless the agent dials, writes, or leaves the person, before."""
        work = self.one.works.get(desk.user.id)
        if work is None:
            return
        self.one.count_down(desk, work, seconds)
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, lambda: self.floor.spawn(self.counted_down(desk, work)))

    async def counted_down(self, desk: Desk, work: Work) -> None:
        if self.one.works.get(desk.user.id) is work and work.phase is Phase.CONTACT and work.dial_at:
            with contextlib.suppress(Refused):  # shown in the agent's window
                await self._dial(desk)

    async def _dial(self, desk: Desk) -> None:
        work = self.one.works[desk.user.id]
        agreed = work.item.callback_phone
        numbers = [agreed] if agreed else work.open_numbers
        if not numbers:
            raise Refused("{contact} has no number that may be called now.", contact=work.contact.name)
        await self.one.dial_item(self.floor, desk, {"item": work.item.id, "number": numbers[0]})

    # -- what a supervisor asks --

    async def set_pace(self, by: User, campaign_id: int, pace: str) -> None:
        """`slow` dials one call for each free agent, `full` as many as the mode decides."""
        require(by, "run_campaigns")
        drive = self.drives.get(campaign_id)
        if drive is None:
            raise Refused("The campaign is not dialing.", code="wrong_state")
        if pace not in (FULL, SLOW):
            raise Refused("A campaign dials at full pace or slowly.", code="bad_argument")
        before, drive.pace = drive.pace, pace
        async with self.db.acquire() as connection:
            name = f"campaign {drive.campaign.name}"
            await audit.note(connection, by, "campaign.pace", name, {"pace": before}, {"pace": pace})
        drive.wake()

    def cancel_ringing(self, campaign_id: int) -> None:
        """A supervisor who stops everything at once: whoever has not lifted yet is no longer rung."""
        if drive := self.drives.get(campaign_id):
            drive.cancel_ringing()

    def views(self) -> list[dict[str, Any]]:
        return [drive.view() for drive in self.drives.values()]
