"""Ring somebody: an agent's station, an extension, a number beyond a trunk; until an answer or a reason."""

import asyncio
from typing import TYPE_CHECKING

from crm.calls import Result
from cti.agent import LOGGED_OFF, NOT_READY, READY
from cti.call import Call, Leg
from cti.phone import Phones
from cti.station import CallRefused, NotSent, PhoneRing, Ring, StationFailed
from cti.story import first

if TYPE_CHECKING:
    from cti.desk import Desk
    from cti.floor import Floor


class Unreached(Exception):
    """Nobody answered. `status` is the SIP status for the caller, `result` the word of history, `told` what
    the far end itself said, and `sent` whether it had the call at all."""

    def __init__(
        self, status: int, result: Result, cause: str, told: int | None = None, sent: bool = True
    ) -> None:
        super().__init__(cause)
        self.status, self.result, self.cause, self.told, self.sent = status, result, cause, told, sent


def unreached(error: Exception) -> Unreached:
    nobody = _unreached(error)
    nobody.sent = not isinstance(error, NotSent)
    match error:
        case CallRefused(status=status):
            nobody.told = status
        case TimeoutError():
            nobody.told = 408
    return nobody


def _unreached(error: Exception) -> Unreached:
    match error:
        case CallRefused(status=status) if 300 <= status < 400:
            return Unreached(480, Result.FAILED, f"redirected elsewhere: {error}")
        case CallRefused(status=486 | 600):
            return Unreached(486, Result.BUSY, str(error))
        case CallRefused(status=408 | 480 | 487):
            return Unreached(480, Result.NO_ANSWER, str(error))
        case CallRefused(status=403 | 603):
            return Unreached(603, Result.REFUSED, str(error))
        case CallRefused(status=404 | 484 | 410):
            return Unreached(404, Result.FAILED, str(error))
        case StationFailed(why="not_registered"):
            return Unreached(480, Result.FAILED, "not registered")
        case TimeoutError():
            return Unreached(480, Result.NO_ANSWER, "no answer")
        case _:
            return Unreached(503, Result.FAILED, str(error))


async def until_answered(ring: Ring, call: Call, seconds: float) -> Leg | None:
    """The answering leg; None when this side was asked to hang up first. Raises Unreached.

    AnswerCall from a desk answers the ring. Whatever way it ends, nothing is left ringing."""
    answered = ring.answered
    try:
        async with asyncio.timeout(seconds):
            while not answered.done():
                await first(answered, call.hang_up_asked.wait(), call.answer_asked.wait())
                if call.hang_up_asked.is_set():
                    await ring.cancel()
                    return None
                if call.answer_asked.is_set():
                    call.answer_asked.clear()
                    ring.answer()
        return answered.result()
    except (CallRefused, StationFailed, TimeoutError) as error:
        await ring.cancel("no answer")
        raise unreached(error) from error
    except asyncio.CancelledError:
        await ring.cancel("caller gone")
        raise


def desk_at(floor: "Floor", extension: str) -> "Desk | None":
    """The desk logged on at an extension."""
    for desk in floor.desks.values():
        if desk.station and desk.station.extension == extension:
            if floor.agent(desk.user.id).state != LOGGED_OFF:
                return desk
    return None


def ring_extension(floor: "Floor", phones: Phones, call: Call, extension: str) -> "tuple[Ring, Desk | None]":
    """Ring the desk logged on at the extension, else its registered phone; raises Unreached."""
    desk = desk_at(floor, extension)
    if desk is None:
        if phones.registered(extension) is None:
            raise Unreached(480, Result.FAILED, "not registered")
        return PhoneRing(floor, lambda auto: phones.call_extension(extension, call, auto)), None
    assert desk.station is not None
    if floor.agent(desk.user.id).state not in (READY, NOT_READY):
        raise Unreached(486, Result.BUSY, "busy")
    if desk.station.state != "ok" and desk.station.kind == "softphone":
        raise Unreached(480, Result.FAILED, desk.station.state)
    floor.move(desk.user.id, "engage", call_id=call.id)
    if call.direction == "internal":
        call.callee_id = desk.user.id
    else:
        call.user_id = desk.user.id
    ring = desk.station.ring(call)
    desk.ring(call)
    return ring, desk
