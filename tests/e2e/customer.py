"""Customers of the tests: a telephone at the trunk's port that says tones and measures what it hears."""

import asyncio

from cti.customers import CustomerCall, Telephone, share, tone
from cti.customers.sounds import RATE
from tests.e2e.product import PATIENCE, until


class Caller:
    """One call of a customer, with ears: `await caller.until_hears(700)`."""

    def __init__(self, call: CustomerCall) -> None:
        self.call = call

    def hears(self, hertz: float, seconds: float = 0.6) -> bool:
        """Whether most of what arrived in these last seconds is this tone."""
        samples = self.call.talk.recent(seconds)
        return share(samples, hertz) > 0.45

    def hears_music(self, seconds: float = 1.0) -> bool:
        """Something sounds, and no single one of the test's tones is it."""
        samples = self.call.talk.recent(seconds).astype(float)
        loud = float((samples**2).mean()) ** 0.5 > 100
        return loud and not any(share(samples.astype("i2"), hertz) > 0.45 for hertz in TONES)

    def packets_missing(self, seconds: float) -> float:
        """The part of these last seconds in which nothing arrived."""
        loop_time = self.call.talk.now()
        arrived = sum(len(s) for at, s in self.call.talk.heard if at > loop_time - seconds)
        return max(0.0, 1 - arrived / (seconds * RATE))

    async def until_hears(self, hertz: float, seconds: float = PATIENCE) -> None:
        try:
            await until(lambda: self.hears(hertz), seconds)
        except AssertionError:
            raise AssertionError(f"no {hertz} Hz: {self.ears()}") from None

    def ears(self) -> str:
        """What arrived of late, in words."""
        samples = self.call.talk.recent(0.6)
        shares = {hertz: round(share(samples, hertz), 2) for hertz in TONES}
        level = round(float((samples.astype(float) ** 2).mean()) ** 0.5)
        talk = self.call.talk
        over = self.call.over.result() if self.call.over.done() else None
        packets = f"packets {talk.packets_in} in {talk.packets_out} out"
        return f"level {level} of 32767, {shares}, {packets}, over {over}"

    async def until_music(self, seconds: float = PATIENCE) -> None:
        await until(self.hears_music, seconds)


CUSTOMER, AGENT, OTHER_AGENT, SOFTPHONE = 440, 700, 1150, 880
TONES = (CUSTOMER, AGENT, OTHER_AGENT, SOFTPHONE)


class Customers:
    """Everybody outside: they call in from the trunk's port, and answer what is placed to it."""

    def __init__(self, product_port: int, port: int) -> None:
        self.called: list[Caller] = []
        self.answers = True
        self.phone = Telephone("127.0.0.1", port, ("127.0.0.1", product_port), self._called)

    async def __aenter__(self) -> "Customers":
        await self.phone.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.phone.close()

    def call(self, number: str, caller: str = "+5511987654321", hertz: int = CUSTOMER) -> Caller:
        return Caller(self.phone.call(number, caller, tone(hertz)))

    async def hang_up_all(self) -> None:
        calls = list(self.phone.calls.values())
        for call in calls:
            call.hang_up()
        await asyncio.gather(*(call.over for call in calls))

    def _called(self, call: CustomerCall) -> None:
        call.ring()
        call.say(tone(CUSTOMER))
        self.called.append(Caller(call))
        if self.answers:
            call.answer()


__all__ = ["AGENT", "CUSTOMER", "OTHER_AGENT", "SOFTPHONE", "Caller", "Customers"]
