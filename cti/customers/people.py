"""The people outside in the demo: who is called answers or not, and now and then somebody calls."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from random import Random

from cti.customers.centre import Centre
from cti.customers.sounds import Sound, machine, voice
from cti.customers.telephone import CustomerCall, Telephone

log = logging.getLogger("ramal.customers")

NUMBERS = ["4000", "4000", "4001"]
CALLS_AT_ONCE = 2
SECONDS_BETWEEN_CALLS = (8.0, 40.0)  # while an agent is available
SECONDS_BETWEEN_CALLS_ALONE = (60.0, 150.0)  # while nobody could take them
FIRST_CALL_SECONDS = 20.0


class People:
    """Answer as the last digit of the number called says, and call the centre if it is known.

    0-5 answer and speak · 6 is busy · 7 lets it ring · 8 is a machine: greeting, beep · 9 rejects.
    """

    def __init__(
        self, host: str, port: int, product: tuple[str, int], centre: Centre | None = None, seed: int = 1
    ) -> None:
        self._phone = Telephone(host, port, product, self._called)
        self._centre = centre
        self._dice = Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._calling = 0

    async def start(self) -> None:
        """Raises OSError when the port is taken."""
        await self._phone.start()
        if self._centre is not None:
            self._spawn(self._keep_calling(self._centre))

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._phone.close()

    def _spawn(self, story: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(story)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a simulated customer broke", exc_info=task.exception())

    # -- who is called --

    def _called(self, call: CustomerCall) -> None:
        match call.number[-1:]:
            case "6":
                call.reject(486)
            case "9":
                call.reject(603)
            case "7":
                self._spawn(self._let_ring(call))
            case "8":
                self._spawn(self._answer(call, self._dice.uniform(2, 4), 22.0, machine))
            case _:
                talking = self._dice.uniform(45, 150)
                self._spawn(self._answer(call, self._dice.uniform(1.5, 5), talking, voice))

    async def _let_ring(self, call: CustomerCall) -> None:
        call.ring()
        if not await _over_within(call, 90):
            call.reject(480)

    async def _answer(
        self, call: CustomerCall, ringing: float, talking: float, sound: Callable[[int], Sound]
    ) -> None:
        call.ring()
        speech = await asyncio.to_thread(sound, self._dice.randrange(1000))
        if not await _over_within(call, ringing):
            call.answer()
            call.say(speech)
            if not await _over_within(call, talking):
                call.hang_up()

    # -- who calls --

    async def _keep_calling(self, centre: Centre) -> None:
        await asyncio.sleep(FIRST_CALL_SECONDS)
        while True:
            if self._calling < CALLS_AT_ONCE:
                self._spawn(self._one_call(self._dice.choice(centre.numbers)))
            pause = SECONDS_BETWEEN_CALLS if centre.agents_ready else SECONDS_BETWEEN_CALLS_ALONE
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._dice.uniform(*pause)):
                    await centre.somebody_became_ready()
                    await asyncio.sleep(self._dice.uniform(3, 8))

    async def _one_call(self, caller: str) -> None:
        """Wait patiently, talk for a while, hang up."""
        self._calling += 1
        try:
            speech = await asyncio.to_thread(voice, self._dice.randrange(1000))
            call = self._phone.call(self._dice.choice(NUMBERS), caller, speech)
            if not await _over_within(call, self._dice.uniform(60, 180)):
                call.hang_up()
                await call.over
        finally:
            self._calling -= 1


async def _over_within(call: CustomerCall, seconds: float) -> bool:
    """Whether the call ended within these seconds."""
    done, _ = await asyncio.wait({call.over}, timeout=seconds)
    return bool(done)
