"""The border round a story: whatever breaks inside is logged with the call, and everything is let go."""

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cti.call import Call, Leg

if TYPE_CHECKING:
    from cti.floor import Floor

log = logging.getLogger("ramal.story")


async def run(story: Coroutine[Any, Any, None], floor: "Floor", call: Call) -> None:
    """The only place that catches everything. Afterwards the call has ended, its legs are hung up and
    no agent holds it."""
    floor.begin(call)
    try:
        await story
    except asyncio.CancelledError:
        call.end(floor.now(), "failed", "server stopping")
        raise
    except Exception:
        log.exception("call %s broke", call.id)
        call.end(floor.now(), "failed", "internal error")
    finally:
        call.end(floor.now(), "failed", "left open")
        floor.let_go(call)
        for leg in (call.customer, call.agent_leg):
            if leg is not None and not leg.over.done():
                try:
                    await asyncio.shield(
                        leg.hang_up("internal error" if call.result == "failed" else "normal")
                    )
                except Exception:
                    log.exception("call %s: a leg could not be hung up", call.id)
        floor.finish(call)


class LegOver(Exception):
    """The party whose presence a `while_up` block needs has gone; `cause` says how."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class while_up:
    """`async with while_up(leg):` ends the block with LegOver as soon as the leg is over.

    Works like asyncio.timeout: the running task is cancelled, and the cancellation turned into LegOver.
    """

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._fired = False

    async def __aenter__(self) -> None:
        if self._leg.over.done():
            raise LegOver(self._leg.over.result())
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._leg.over.add_done_callback(self._fire)

    def _fire(self, _: asyncio.Future[str]) -> None:
        self._fired = True
        self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leg.over.remove_done_callback(self._fire)
        if (
            self._fired
            and self._task.uncancel() <= self._cancelling
            and kind
            and issubclass(kind, asyncio.CancelledError)
        ):
            raise LegOver(self._leg.over.result()) from error


async def first(*waits: asyncio.Future[Any] | Coroutine[Any, Any, Any]) -> set[asyncio.Future[Any]]:
    """Wait until at least one is done; what was started for the waiting is stopped, given futures are not."""
    started = [asyncio.ensure_future(w) for w in waits if asyncio.iscoroutine(w)]
    given = [w for w in waits if isinstance(w, asyncio.Future)]
    try:
        done, _ = await asyncio.wait([*given, *started], return_when=asyncio.FIRST_COMPLETED)
        return done
    finally:
        for task in started:
            task.cancel()
