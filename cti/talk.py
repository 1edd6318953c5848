"""Two parties speak: hold, mute, an agent's audio that drops out, recording, until one of them leaves."""

import asyncio
import logging
from typing import TYPE_CHECKING

from cti.call import Call, CallState, Leg
from cti.media.engine import MediaError
from cti.story import first

if TYPE_CHECKING:
    from cti.desk import Desk
    from cti.phone import Phones

log = logging.getLogger("ramal.talk")

AGENT_LOST = "agent lost"  # the cause when the agent's audio did not come back in time
MUSIC, SILENCE = "music", "silence"


async def talk(phones: "Phones", call: Call, record: bool) -> str:
    """Bridge both legs until one leaves or somebody hangs up; the cause. The legs stay as they are."""
    customer, agent_leg = call.customer, call.agent_leg
    assert customer is not None and agent_leg is not None
    await phones.engine.bridge(customer.name, agent_leg.name)
    await phones.engine.stop_playing(customer.name)  # the queue's music
    call.hang_up_asked.clear()
    if record and phones.settings.recordings:
        await start_recording(phones, call, customer, agent_leg)
    try:
        await first(customer.over, agent_leg.over, call.hang_up_asked.wait())
    finally:
        if call.recording_now:
            await stop_recording(phones, call)
    if customer.over.done():
        return customer.over.result() if customer.over.result() == "media lost" else "customer hung up"
    if agent_leg.over.done():
        cause = agent_leg.over.result()
        return cause if cause in (AGENT_LOST, "media lost") else "agent hung up"
    return "agent hung up"


async def part(call: Call, *desks: "Desk | None") -> None:
    """The end of every call: both legs are let go, and its desks go on to wrap-up."""
    for leg in (call.agent_leg, call.customer):
        if leg and not leg.over.done():
            await leg.hang_up()
    for desk in desks:
        if desk:
            desk.cleared(call)


async def start_recording(phones: "Phones", call: Call, customer: Leg, agent_leg: Leg) -> None:
    """Left the customer, right the agent. A recording that fails does not stop the call."""
    try:
        path = await phones.engine.record(call.id, customer.name, agent_leg.name)
        call.recording = str(path.relative_to(phones.settings.data))
        call.recording_now = True
    except (MediaError, OSError) as error:
        log.error("call %s is not recorded: %s", call.id, error)


async def stop_recording(phones: "Phones", call: Call) -> None:
    call.recording_now = False
    try:
        await asyncio.shield(phones.engine.stop_record(call.id))
    except MediaError as error:
        log.error("call %s: the recording was cut: %s", call.id, error)


async def hold(phones: "Phones", desk: "Desk", call: Call) -> None:
    """The other party hears music, this one nothing, until retrieved (EPB-22)."""
    own, other = call.leg_of(desk.user.id), call.other_leg(desk.user.id)
    if own and other and not call.holding:
        call.hold(phones.floor.now())
        await phones.engine.play(other.name, MUSIC)
        await phones.engine.play(own.name, SILENCE)
        desk.show("Held", call=call.view(desk.user.id))


async def retrieve(phones: "Phones", desk: "Desk", call: Call) -> None:
    own, other = call.leg_of(desk.user.id), call.other_leg(desk.user.id)
    if own and other and call.holding:
        call.retrieve(phones.floor.now())
        await phones.engine.stop_playing(own.name)
        if not call.away:
            await phones.engine.stop_playing(other.name)
        desk.show("Retrieved", call=call.view(desk.user.id))


async def mute(phones: "Phones", desk: "Desk", call: Call, on: bool) -> None:
    own = call.leg_of(desk.user.id)
    if own:
        await phones.engine.mute(own.name, on)
        call.muted = on
        desk.show("MuteChanged", call=call.view(desk.user.id))


async def set_away(phones: "Phones", desk: "Desk", call: Call, away: bool) -> None:
    """The browser's audio stopped or came back: the other party hears music meanwhile, and the call
    waits for `agent_return_seconds`."""
    own, other = call.leg_of(desk.user.id), call.other_leg(desk.user.id)
    if call.state == CallState.ENDED or call.answered is None or not own or not other:
        return
    if away == call.away:
        return
    call.away = away
    if away:
        loop = asyncio.get_running_loop()
        call.return_timer = loop.call_later(phones.settings.agent_return_seconds, _lost, own)
    elif call.return_timer:
        call.return_timer.cancel()
        call.return_timer = None
    if not call.holding:
        if away:
            await phones.engine.play(other.name, MUSIC)
        else:
            await phones.engine.stop_playing(other.name)
    desk.show("MediaChanged", call=call.view(desk.user.id))


def _lost(leg: Leg) -> None:
    if not leg.over.done():
        leg.over.set_result(AGENT_LOST)
