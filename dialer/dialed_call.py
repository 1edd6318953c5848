"""A call that the dialer places: rung, told from a machine, and given to an agent who is free."""

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from crm import attempts, hopper
from crm.attempts import Attempt
from crm.calls import Result
from crm.db import AWAY
from crm.form import Category
from crm.hopper import Entry
from crm.item_states import Result as Agreed
from crm.item_states import Situation, State
from crm.refused import Refused
from crm.users import DIALER
from cti import inbound, outbound
from cti.call import Call, Leg, moment
from cti.desk import Desk
from cti.media.detection import Decision, Kind
from cti.media.engine import MediaError
from cti.reach import Unreached, until_answered
from cti.story import LegOver, while_up
from cti.talk import part, talk
from dialer import pacing, retry
from dialer.one_to_one import rules_of
from dialer.outcomes import situation_of_dialed
from dialer.retry import Tried
from dialer.work import Outcome, Work

if TYPE_CHECKING:
    from dialer.drive import Drive

log = logging.getLogger("ramal.dialer")

AGENT_SECONDS = 5.0  # an agent's own telephone has this long to lift by itself, but not more than …
AGENT_SHARE = 0.5  # of what the person waits, so that another agent can be tried
BEEP_SECONDS = 60.0
WAITS = {"validation_refused", "validation_failed", "in_call"}  # refusals that the next try would only repeat
DETECT_SECONDS = 6.0  # what is not known by then is a person
MACHINES = (Kind.MACHINE, Kind.FAX, Kind.MUSIC, Kind.BUSY)  # silence, and ringing elsewhere, may be a person


class DialedCall:
    """Why the dialer places a call, and what is known of it so far. `serial` names it to the pacing."""

    def __init__(self, drive: "Drive", serial: int, entry: Entry, number: str, caller_id: str) -> None:
        self.drive, self.serial, self.entry, self.number = drive, serial, entry, number
        self.campaign_id, self.campaign = drive.campaign.id, drive.campaign.name
        self.layout_id, self.caller_id = drive.campaign.layout_id, caller_id
        self.item_id, self.contact_id, self.contact = entry.item.id, entry.contact.id, entry.contact
        self.answers: Mapping[str, str] = {}
        self.attempt: Attempt | None = None
        self.heard: Decision | None = None  # who or what lifted, where that is listened for
        self.route = drive.route_for(number)
        self.trunk_id = self.route.trunk_id if self.route else None
        self.on_trunk = False  # the trunk knows of it
        self.sent = True  # false when it turns out that the trunk never had it
        self.dialed_at = drive.floor.now()
        self.picked_up: float | None = None  # when the telephone was lifted, by whomever
        self.abandoned = self.cancelled = False
        self.refused: Refused | None = None
        self.desk: Desk | None = None
        self.work: Work | None = None

    # -- the story --

    async def run(self, call: Call) -> None:
        drive, phones = self.drive, self.drive.floor.phones
        try:
            await self.about_to_ring(call)
            if self.route is None:
                raise Unreached(404, Result.FAILED, "no route", sent=False)
            ring, _ = outbound.ring_far(drive.floor, phones, call, self.route)
            asyncio.get_running_loop().call_soon(self.is_carried)  # just after the ring has begun
            far = await until_answered(ring, call, drive.dialing.ring_seconds)
            if far is None:
                raise Unreached(487, Result.NO_ANSWER, "cancelled")
            call.customer, self.picked_up = far, drive.floor.now()
            drive.moved(self, pacing.EV_PICKUP)
            async with while_up(far):
                await self.lifted(call, far)
        except LegOver as gone:
            self.left(call, gone)
        except Unreached as nobody:
            call.sip_status, self.cancelled = nobody.told, nobody.cause == "cancelled"
            self.sent = nobody.sent
            if self.attempt and not self.sent:
                drive.counts["dialed"] -= 1
            call.end(drive.floor.now(), nobody.result, nobody.cause)
        except Refused as refused:
            self.refused = refused
            call.end(drive.floor.now(), Result.REFUSED, str(refused))
        finally:
            self.over(call)
            await part(call, self.desk)

    def is_carried(self) -> None:
        self.on_trunk = True

    async def lifted(self, call: Call, far: Leg) -> None:
        """Somebody or something answered."""
        drive, phones = self.drive, self.drive.floor.phones
        dialing = drive.dialing
        if dialing.machine == "before" and phones.engine.detects:
            self.heard = await self.listen(far)
        if self.is_machine and dialing.machine_action != "agent":
            drive.moved(self, pacing.EV_MACHINE)
            if dialing.machine_action == "message" and self.heard and self.heard.kind is Kind.MACHINE:
                await self.until_beep(far)
                await self.say(far, dialing.machine_message)
            call.end(drive.floor.now(), Result.NO_ANSWER, "machine")
            return
        drive.moved(self, pacing.EV_OFFER)
        try:
            async with asyncio.timeout(dialing.abandon_after_seconds):
                seconds = min(AGENT_SECONDS, AGENT_SHARE * dialing.abandon_after_seconds)
                self.desk = await inbound.find_and_ring(
                    drive.floor, phones, call, seconds, queue=drive.queue, auto_answer=True
                )
        except TimeoutError:
            self.abandoned = True
            drive.moved(self, pacing.EV_ABANDON)
            await self.say(far, dialing.abandon_message)
            call.end(drive.floor.now(), Result.ABANDONED, "no agent in time")
            return
        await self.speak(call, far, self.desk)

    async def speak(self, call: Call, far: Leg, desk: Desk) -> None:
        drive, phones = self.drive, self.drive.floor.phones
        assert call.agent_leg is not None and self.attempt is not None
        call.answered = drive.floor.now()
        drive.moved(self, pacing.EV_CONNECT, desk.user.id)
        self.work = await drive.work_of(self.entry)
        drive.one.connected(desk, self.work, call, self.attempt, self.picked_up, drive.idle_before(desk))
        drive.in_hand.discard(self.item_id)
        desk.established(call)
        drive.floor.spawn(phones.engine.play_once(call.agent_leg.name, "zip"))
        listening = None
        if drive.dialing.machine == "after" and phones.engine.detects:
            listening = drive.floor.spawn(self.give_machine_back(call, far, desk, self.work))
        queue = desk.own_queue()
        try:
            cause = await talk(phones, call, bool(queue and queue.record))
        finally:
            if listening:
                listening.cancel()
        call.end(drive.floor.now(), Result.ANSWERED, cause)

    async def listen(self, far: Leg) -> Decision | None:
        """A person, unless the detection is sure of something else."""
        try:
            async with asyncio.timeout(DETECT_SECONDS):
                return await self.drive.floor.phones.engine.detect(far.name, self.drive.thresholds)
        except (TimeoutError, MediaError) as error:
            log.info("%s: not detected: %r", far.name, error)
            return None

    @property
    def is_machine(self) -> bool:
        return self.heard is not None and self.heard.kind in MACHINES

    async def give_machine_back(self, call: Call, far: Leg, desk: Desk, work: Work) -> None:
        """A machine is taken from the agent, who was connected at once."""
        self.heard = await self.listen(far)
        if self.is_machine and work.chosen is None:
            await self.settle(desk, work, Outcome(situation=Situation.VOICEMAIL))
            call.hang_up_asked.set()

    async def until_beep(self, far: Leg) -> None:
        """Until the machine has said its greeting and records."""
        with contextlib.suppress(TimeoutError, MediaError):
            async with asyncio.timeout(BEEP_SECONDS):
                await self.drive.floor.phones.engine.greeting_end(far.name, self.drive.thresholds)

    async def say(self, far: Leg, message: str) -> None:
        """One that cannot be played is not said; the call ends all the same."""
        engine = self.drive.floor.phones.engine
        try:
            await engine.stop_playing(far.name)
            await engine.play_once(far.name, self.drive.message(message))
        except (MediaError, OSError, ValueError) as error:
            log.error("the message %s was not played: %s", message, error)

    def left(self, call: Call, gone: LegOver) -> None:
        """The person hung up, while talking or before anybody could speak to them."""
        drive = self.drive
        if call.answered:
            result = Result.ANSWERED
        elif self.abandoned:
            result = Result.ABANDONED
        else:
            result = Result.FAILED if gone.cause in inbound.FAULTS else Result.NO_ANSWER
        call.end(drive.floor.now(), result, "customer hung up" if result is not Result.FAILED else gone.cause)

    # -- its purpose --

    async def about_to_ring(self, call: Call) -> None:
        """Every rule, and the try counted, in the transaction that counts it."""
        drive = self.drive
        try:
            await drive.gate.check(DIALER, self.item_id, self.number)
            if call.hang_up_asked.is_set():  # before it rang
                raise Unreached(487, Result.NO_ANSWER, "cancelled")
            self.attempt = await attempts.begin(
                drive.db, DIALER, self.item_id, self.number, drive.gate.now(), call.id
            )
        except AWAY as error:
            drive.away = True
            raise Refused(
                "This needs the database, which is away. Try again in a moment.", code="database"
            ) from error
        drive.counts["dialed"] += 1
        if call.hang_up_asked.is_set():  # while the try was counted
            raise Unreached(487, Result.NO_ANSWER, "cancelled", sent=False)

    def answered(self, call: Call) -> None:
        """Told by `lifted` itself."""

    def saved(self, call: Call, category: Category | None) -> None:
        """The form's category says what came of it, unless the agent says otherwise."""
        desk, work = self.desk, self.work
        if desk and work and category:
            result = Agreed.SUCCESS if category.success else Agreed.FAILURE
            outcome = Outcome(result=result, category_id=category.id)
            self.drive.floor.spawn(self.settle(desk, work, outcome))

    async def settle(self, desk: Desk, work: Work, outcome: Outcome) -> None:
        one = self.drive.one
        await one.until_written(lambda: one.settle(desk, work, outcome))

    def over(self, call: Call) -> None:
        """What came of it: with an agent it is for them to say, else it is written here."""
        self.drive.over(self, call)
        if self.work and self.desk:
            self.drive.one.over(self.desk, self.work, call, self.attempt, refused=False)
            self.drive.floor.spawn(self.drive.one.until_written(self.write_carried))
        else:
            self.drive.floor.spawn(self.write(call))

    async def write_carried(self) -> None:
        assert self.attempt is not None
        heard = self.heard
        await attempts.carried(
            self.drive.db,
            self.attempt,
            self.trunk_id,
            str(heard.kind) if heard else "",
            heard.ms if heard else None,
        )

    async def write(self, call: Call) -> None:
        """The attempt's end, and where the item goes from there; nobody else takes it before."""
        end = self.write_refused if self.attempt is None else self.write_end
        await self.drive.one.until_written(lambda: end(call))
        self.drive.in_hand.discard(self.item_id)

    async def write_refused(self, call: Call) -> None:
        """A rule said no, or the database was away: nothing was dialed."""
        drive = self.drive
        drive.held_up = str(self.refused or "")
        if self.refused and self.refused.code == "database":
            counted = await attempts.by_call(drive.db, call.id)  # and the answer was lost
            if counted and counted.ended is None:
                await self.end(call, counted, Situation.NOT_DIALED, dialed=False)
        if self.refused and self.refused.code in WAITS:
            minutes = retry.minutes_until_next(Situation.NOT_DIALED, rules_of(drive.campaign))
            later = drive.gate.now() + datetime.timedelta(minutes=minutes)
            await hopper.put_aside(drive.db, {self.item_id: later})
        else:
            await hopper.give_back(drive.db, [self.item_id])

    async def write_end(self, call: Call) -> None:
        drive, attempt = self.drive, self.attempt
        assert attempt is not None
        situation = situation_of_dialed(
            sip_status=call.sip_status,
            cause=call.cause,
            picked_up=self.picked_up is not None,
            detected=str(self.heard.kind) if self.heard else "",
            abandoned=self.abandoned,
            cancelled=self.cancelled,
            mapping=drive.dialing.outcomes,
        )
        if attempt.ended is None:
            self.attempt = await self.end(call, attempt, situation, dialed=self.sent)
        await hopper.give_back(drive.db, [self.item_id])

    async def end(self, call: Call, attempt: Attempt, situation: Situation, *, dialed: bool) -> Attempt:
        """The item stands where it goes from there, in whoever's hands. One that was not dialed is no try."""
        drive, state = self.drive, self.entry.item.state
        now = drive.gate.now()
        next = retry.after(
            Tried(
                situation=situation,
                state=state if state is not State.NOT_WORKED else State.TRYING,
                attempts=attempt.attempt_number - (not dialed),
                other_numbers=len([n for n in self.entry.numbers if n != self.number]),
            ),
            rules_of(drive.campaign),
            DIALER.id,
            now,
        )
        return await attempts.end(
            drive.db,
            attempt,
            situation,
            moment(call.ended) if call.ended else now,
            next=next,
            answered=moment(self.picked_up) if self.picked_up else None,
            sip_status=call.sip_status,
            cause=call.cause,
            dialed=dialed,
            counts=dialed,
            trunk_id=self.trunk_id,
            detection=str(self.heard.kind) if self.heard else "",
            detection_ms=self.heard.ms if self.heard else None,
        )
