"""A call that arrives: where its number leads, the queue's wait, the agent who takes it."""

import asyncio
from typing import TYPE_CHECKING

from crm.calls import Result
from crm.extensions import Extension
from crm.numbers import Leads, normalise
from crm.queues import Queue
from crm.refused import Refused
from crm.trunks import Trunk
from cti import outbound, story
from cti.agent import NOT_READY
from cti.call import Call
from cti.phone import Phones, SipLeg
from cti.reach import Unreached, ring_extension, until_answered
from cti.story import LegOver, while_up
from cti.talk import AGENT_LOST, MUSIC, part, talk

if TYPE_CHECKING:
    from cti.desk import Desk
    from cti.floor import Floor

EXTENSION_RING_SECONDS = 60.0
FAULTS = {"media lost", "no common codec", "no media capacity"}
LOST_AGENT_PRIORITY = 10  # a customer who lost their agent goes before those who wait


def arrived(floor: "Floor", phones: Phones, leg: SipLeg, source: Trunk | Extension, dialed: str) -> None:
    """Start the story of a new INVITE; unknown numbers get 404 before any story begins.

    Only extensions may dial out: a trunk reaches nothing but our own numbers and extensions."""
    centre = floor.centre
    number = centre.numbers.get(dialed)
    extension = dialed if dialed in centre.extensions else None
    queue = None
    if number and number.kind == Leads.QUEUE:
        queue = centre.queues.get(number.target)
    elif number and number.kind == Leads.EXTENSION:
        extension = number.target
    if queue:
        call = new_call(floor, leg, source, dialed)
        call.queue, call.queue_label = queue.name, queue.label
        floor.spawn(story.run(wait_in_queue(floor, phones, call, leg, queue), floor, call))
    elif extension:
        call = new_call(floor, leg, source, dialed)
        floor.spawn(story.run(to_extension(floor, phones, call, leg, extension), floor, call))
    elif number and number.kind == Leads.HANGUP:
        leg.reject(603)
    elif isinstance(source, Extension):
        outbound.from_phone(floor, phones, leg, source, dialed)
    else:
        leg.reject(404)


def new_call(floor: "Floor", leg: SipLeg, source: Trunk | Extension, dialed: str) -> Call:
    """The facts the INVITE tells. Between our own extensions a call is internal."""
    address = leg.session.request.from_
    user, name = address.uri.user or "", address.display or ""
    if isinstance(source, Extension):
        internal = dialed in floor.centre.extensions
        call = Call(
            "internal" if internal else "inbound",
            dialed if internal else source.number,
            dialed,
            floor.now(),
            origin="extension",
        )
        call.caller, call.caller_name = source.number, name or source.label
    else:
        number = normalise(user, floor.settings.local_area_code) or user
        call = Call("inbound", number, dialed, floor.now(), origin=source.name, caller_name=name)
        call.caller = number
    call.customer = leg
    return call


async def wait_in_queue(floor: "Floor", phones: Phones, call: Call, caller: SipLeg, queue: Queue) -> None:
    """Answer with music, find an agent, speak; a caller who loses the agent waits again, first in line."""
    if floor.waiting_calls(queue.name) >= queue.waiting_max:
        caller.reject(486)
        call.end(floor.now(), Result.REFUSED, "queue full")
        return
    desk: Desk | None = None
    try:
        async with while_up(caller):
            await caller.answer()
            await phones.engine.play(caller.name, MUSIC)
            while True:
                async with asyncio.timeout(queue.wait_seconds_max or None):
                    desk = await find_and_ring(floor, phones, call, queue.ring_seconds_max)
                cause = await speak(floor, phones, call, desk, queue.record)
                if cause != AGENT_LOST:
                    call.end(floor.now(), Result.ANSWERED, cause)
                    return
                await back_to_queue(floor, phones, call, desk, caller)
                desk = None
    except LegOver as gone:
        caller_left(floor, call, gone)
    except TimeoutError:
        call.end(floor.now(), Result.NO_ANSWER, "waited too long")
    finally:
        await part(call, desk)


def caller_left(floor: "Floor", call: Call, gone: LegOver) -> None:
    """The call ends because the caller's leg is over: they hung up, or it could not be carried."""
    ours = gone.cause in FAULTS
    if call.answered:
        result = Result.ANSWERED
    else:
        result = Result.FAILED if ours else Result.ABANDONED
    call.end(floor.now(), result, gone.cause if ours else "customer hung up")


async def find_and_ring(
    floor: "Floor",
    phones: Phones,
    call: Call,
    seconds: float,
    queue: str | None = None,
    auto_answer: bool = False,
) -> "Desk":
    """One agent after the other is chosen and rung, until one answers; who does not is paused. `queue` is
    where they are found, when it is not the call's own; `auto_answer` lifts their telephone by itself."""
    while True:
        user_id = await floor.find_agent(call, queue)
        desk = floor.desks[user_id]
        call.user_id = user_id
        call.answer_asked.clear()
        call.hang_up_asked.clear()
        try:
            assert desk.station is not None
            ring = desk.station.ring(call, auto_answer)
            desk.ring(call)
            leg = await until_answered(ring, call, seconds)
        except Unreached as missed:
            dismiss(floor, call, desk, "miss", missed.cause)
            continue
        except asyncio.CancelledError:
            dismiss(floor, call, desk, "release", "customer hung up")
            raise
        if leg is None:
            dismiss(floor, call, desk, "miss", "declined")
            continue
        call.agent_leg = leg
        floor.move(user_id, "connect", call_id=call.id)
        return desk


def dismiss(floor: "Floor", call: Call, desk: "Desk", event: str, cause: str) -> None:
    """The call stops ringing at this desk."""
    call.user_id = None
    desk.show("ConnectionCleared", call=call.view(desk.user.id), cause=cause)
    desk.clear()
    floor.move(desk.user.id, event)


async def speak(floor: "Floor", phones: Phones, call: Call, desk: "Desk | None", record: bool) -> str:
    """From the answer to the first who leaves; the cause."""
    if call.answered is None:
        floor.answered(call)
    if desk:
        desk.established(call)
    return await talk(phones, call, record)


async def back_to_queue(floor: "Floor", phones: Phones, call: Call, desk: "Desk", caller: SipLeg) -> None:
    """The agent's audio did not come back: the customer keeps the music and is first in line again."""
    leg, call.agent_leg = call.agent_leg, None
    call.away = call.holding = False
    call.priority = LOST_AGENT_PRIORITY
    if leg:
        await phones.quiet(leg.name)
    await phones.engine.play(caller.name, MUSIC)
    floor.choose(desk.user.id, NOT_READY, "station_lost")
    dismiss(floor, call, desk, "release", AGENT_LOST)


async def to_extension(floor: "Floor", phones: Phones, call: Call, caller: SipLeg, extension: str) -> None:
    """Ring one extension, desk or phone; the caller is answered when it answers."""
    desk: Desk | None = None
    own: Desk | None = None
    try:
        async with while_up(caller):
            own = outbound.engage_caller(floor, call)
            ring, desk = ring_extension(floor, phones, call, extension)
            watch = floor.spawn(pass_on_ringing(ring.ringing, caller))
            try:
                leg = await until_answered(ring, call, EXTENSION_RING_SECONDS)
            finally:
                watch.cancel()
            if leg is None:
                raise Unreached(603, Result.REFUSED, "declined")
            if call.direction == "internal":  # who called is the agent's side, who was called the other
                call.agent_leg, call.customer = caller, leg
            else:
                call.agent_leg = leg
            await caller.answer()
            call.answered = floor.now()
            for at in (desk, own):
                if at:
                    at.established(call)
            cause = await talk(phones, call, record=False)
            call.end(floor.now(), Result.ANSWERED, cause)
    except LegOver as gone:
        caller_left(floor, call, gone)
    except Unreached as nobody:
        caller.reject(nobody.status)
        call.end(floor.now(), nobody.result, nobody.cause)
    except Refused as refused:
        caller.reject(486)
        call.end(floor.now(), Result.REFUSED, str(refused))
    finally:
        await part(call, desk, own)


async def pass_on_ringing(ringing: asyncio.Event, caller: SipLeg) -> None:
    await ringing.wait()
    caller.ring()
