"""A call placed by an agent: from the desk or from the phone, to an extension, a queue or the world."""

from typing import TYPE_CHECKING

from crm.calls import Result
from crm.extensions import Extension
from crm.numbers import Leads, display, normalise
from crm.refused import Refused
from crm.routes import Route, number_to_send, permitted
from crm.users import User, can
from cti import story
from cti.agent import BUSY, NOT_READY, READY, WRAP_UP
from cti.call import Call, Purpose
from cti.phone import Phones, SipLeg
from cti.reach import (
    Unreached,
    desk_at,
    ring_extension,
    until_answered,
)
from cti.station import PhoneRing, Ring, Station
from cti.story import LegOver, while_up
from cti.talk import part, talk

if TYPE_CHECKING:
    from cti.desk import Desk
    from cti.floor import Floor

ANSWER_SECONDS = 90.0
OWN_PHONE_SECONDS = 20.0


def dial(
    floor: "Floor", phones: Phones, desk: "Desk", number: str, route_id: int | None, internal: bool | None
) -> Call:
    """MakeCall from a desk (EPB-09 … EPB-13); refuses with words what may not be done."""
    station = station_to_dial(floor, desk)
    typed = number.strip()
    if not typed:
        raise Refused("Type a number to call.", code="bad_argument")
    if internal or (internal is None and is_internal(floor, typed)):
        if not is_internal(floor, typed):
            raise Refused("There is no extension or service {number}.", code="not_found", number=typed)
        if typed == station.extension:
            raise Refused("This is your own extension.", code="bad_argument")
        call = Call("internal", typed, typed, floor.now(), origin="desk")
        route = None
    else:
        target, route = external(floor, phones, desk, typed, route_id)
        call = Call("outbound", target, typed, floor.now(), origin="desk")
    return begin(floor, phones, desk, call, station, route)


def dial_for(
    floor: "Floor", phones: Phones, desk: "Desk", number: str, route_id: int | None, purpose: Purpose
) -> Call:
    """A call that a campaign wants (UAU-58), by the campaign's way out or one of the agent's own."""
    station = station_to_dial(floor, desk)
    route = floor.centre.routes.get(route_id) if route_id is not None else None
    if route is None:
        number, route = external(floor, phones, desk, number, None)
    call = Call("outbound", number, number, floor.now(), origin="campaign")
    call.purpose, call.contact_id = purpose, purpose.contact_id
    return begin(floor, phones, desk, call, station, route)


def station_to_dial(floor: "Floor", desk: "Desk") -> Station:
    """Where this agent could place a call now; refused while there is other work to finish."""
    station = desk.station
    if station is None:
        raise Refused("Log on at a station first.", code="wrong_state")
    if floor.agent(desk.user.id).state not in (READY, NOT_READY, WRAP_UP):
        raise Refused("Finish the call you are in first.", code="wrong_state")
    if station.state != "ok":
        raise Refused("Your station is not ready: it has no audio.", code="station")
    if desk.form and desk.form.mandatory and desk.form.status != "saved":
        raise Refused("Save the tabulation of the last call first.", code="form_mandatory")
    return station


def begin(
    floor: "Floor", phones: Phones, desk: "Desk", call: Call, station: Station, route: Route | None
) -> Call:
    call.caller, call.caller_name, call.user_id = station.extension, desk.user.name, desk.user.id
    floor.move(desk.user.id, "engage", call_id=call.id)
    desk.originated(call)
    floor.spawn(story.run(from_desk(floor, phones, call, desk, route), floor, call))
    return call


def is_internal(floor: "Floor", number: str) -> bool:
    return number in floor.centre.extensions or number in floor.centre.numbers


def external(
    floor: "Floor", phones: Phones, desk: "Desk", typed: str, route_id: int | None
) -> tuple[str, Route]:
    """The number in full and the permitted way out, or a refusal."""
    if not can(desk.user, "dial_external"):
        raise Refused("You may not call outside numbers; a supervisor can permit it.", code="not_allowed")
    target = normalise(typed, floor.settings.local_area_code)
    if target is None:
        raise Refused("{number} is not a telephone number.", code="bad_argument", number=typed)
    if floor.blocklist.blocked(target):
        raise Refused("{number} is blocked: it may not be called.", code="blocked", number=display(target))
    route = route_for(floor, desk.user, target, route_id)
    if route is None:
        raise Refused("No route leads to {number}.", code="not_found", number=display(target))
    return target, route


def route_for(floor: "Floor", user: User, number: str, route_id: int | None = None) -> Route | None:
    """The way out this user may take to this number: the one asked for, or the first that is permitted."""
    routes = floor.centre.routes.values()
    return next((r for r in routes if route_id in (None, r.id) and permitted(r, user, number)), None)


async def from_desk(floor: "Floor", phones: Phones, call: Call, desk: "Desk", route: Route | None) -> None:
    """The agent's own station first, then the other party; ringback meanwhile."""
    other: Desk | None = None
    try:
        assert desk.station is not None
        own = desk.station.ring(call, auto_answer=True)
        leg = await until_answered(own, call, OWN_PHONE_SECONDS)
        if leg is None:
            raise Unreached(487, Result.NO_ANSWER, "agent hung up")
        call.agent_leg = leg
        async with while_up(leg):
            if call.purpose:
                await call.purpose.about_to_ring(call)
            ring, other = ring_far(floor, phones, call, route)
            await phones.engine.play(leg.name, "ringback")
            watch = floor.spawn(pass_on_early_media(phones, ring, leg.name))
            try:
                far = await until_answered(ring, call, ANSWER_SECONDS)
            finally:
                watch.cancel()
            if far is None:
                raise Unreached(487, Result.NO_ANSWER, "agent hung up")
            await phones.engine.stop_playing(leg.name)
            call.customer = far
            call.answered = floor.now()
            if call.purpose:
                call.purpose.answered(call)
            for at in (desk, other):
                if at:
                    at.established(call)
            queue = desk.own_queue()
            record = call.direction == "outbound" and bool(queue and queue.record)
            cause = await talk(phones, call, record)
            call.end(floor.now(), Result.ANSWERED, cause)
    except LegOver as gone:
        call.end(floor.now(), Result.ANSWERED if call.answered else Result.NO_ANSWER, gone.cause)
    except Unreached as nobody:
        call.sip_status = nobody.told if call.agent_leg else None  # else it is our own station's
        call.end(floor.now(), nobody.result, nobody.cause)
        desk.show("Failed", call=call.view(desk.user.id), cause=nobody.cause)
    except Refused as refused:
        call.end(floor.now(), Result.REFUSED, str(refused))
        desk.show("Failed", call=call.view(desk.user.id), cause=str(refused))
    finally:
        if call.purpose:
            call.purpose.over(call)
        await part(call, desk, other)


def ring_far(floor: "Floor", phones: Phones, call: Call, route: Route | None) -> "tuple[Ring, Desk | None]":
    """Ring the dialled extension, or the number beyond the route's trunk."""
    if route is None:
        number = floor.centre.numbers.get(call.number)
        extension = number.target if number and number.kind == Leads.EXTENSION else call.number
        return ring_extension(floor, phones, call, extension)
    if floor.blocklist.blocked(call.number):  # perhaps since the agent pressed the button
        raise Unreached(603, Result.REFUSED, "blocked", sent=False)
    trunk = floor.centre.trunks.get(route.trunk_id)
    if trunk is None or not trunk.active:
        raise Unreached(503, Result.FAILED, "trunk out of service", sent=False)
    near = call.agent_leg.name if call.agent_leg else None
    number_out = number_to_send(route, call.number)
    caller_id = (call.purpose.caller_id if call.purpose else "") or route.caller_id
    return PhoneRing(floor, lambda _: phones.call_trunk(trunk, number_out, caller_id, near)), None


async def pass_on_early_media(phones: Phones, ring: Ring, leg: str) -> None:
    """Once the far end sends its own ringing tone or announcement, that is heard instead of ours."""
    await ring.ringing.wait()
    far = ring.leg if isinstance(ring, PhoneRing) else None
    if far and far.early_media:
        await phones.engine.bridge(leg, far.name)
        await phones.engine.stop_playing(leg)


def from_phone(floor: "Floor", phones: Phones, leg: SipLeg, source: Extension, dialed: str) -> None:
    """A number dialled on the phone itself: through the routes its user may take."""
    user = floor.centre.users.get(source.user_id or 0)
    target = normalise(dialed, floor.settings.local_area_code)
    route = None
    if user and target:
        route = route_for(floor, user, target)
    if target is None:
        leg.reject(404)
    elif floor.blocklist.blocked(target):
        leg.reject(603)
    elif route is None:
        leg.reject(403)
    else:
        call = Call("outbound", target, dialed, floor.now(), origin="extension")
        call.caller, call.caller_name = source.number, source.label
        call.user_id = user.id if user else None
        call.agent_leg = leg
        floor.spawn(story.run(phone_dials(floor, phones, call, leg, route), floor, call))


async def phone_dials(floor: "Floor", phones: Phones, call: Call, caller: SipLeg, route: Route) -> None:
    own: Desk | None = None
    try:
        async with while_up(caller):
            own = engage_caller(floor, call)
            ring, _ = ring_far(floor, phones, call, route)
            watch = floor.spawn(_ring_back(ring, caller))
            try:
                far = await until_answered(ring, call, ANSWER_SECONDS)
            finally:
                watch.cancel()
            if far is None:
                raise Unreached(487, Result.NO_ANSWER, "agent hung up")
            call.customer = far
            await caller.answer()
            call.answered = floor.now()
            if own:
                own.established(call)
            queue = own.own_queue() if own else None
            cause = await talk(phones, call, bool(queue and queue.record))
            call.end(floor.now(), Result.ANSWERED, cause)
    except LegOver as gone:
        call.end(floor.now(), Result.ANSWERED if call.answered else Result.NO_ANSWER, gone.cause)
    except Unreached as nobody:
        caller.reject(nobody.status)
        call.end(floor.now(), nobody.result, nobody.cause)
    except Refused as refused:
        caller.reject(486)
        call.end(floor.now(), Result.REFUSED, str(refused))
    finally:
        await part(call, own)


async def _ring_back(ring: Ring, caller: SipLeg) -> None:
    await ring.ringing.wait()
    caller.ring()


def engage_caller(floor: "Floor", call: Call) -> "Desk | None":
    """The desk of the phone a call was dialled on: it shows the call as its own. Refuses when busy."""
    if call.origin != "extension":
        return None
    desk = desk_at(floor, call.caller)
    if desk is None or desk.station is None or desk.station.kind != "softphone":
        return None
    if floor.agent(desk.user.id).state == BUSY:
        raise Refused("Finish the call you are in first.")
    floor.move(desk.user.id, "engage", call_id=call.id)
    call.user_id = desk.user.id
    desk.originated(call)
    return desk
