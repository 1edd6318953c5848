"""An agent without a browser: a program on port 44900 as the desk, a telephone registered at an extension."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from cti.customers import CustomerCall, Telephone, tone
from cti.toolbar.client import RequestRefused, ToolbarClient
from tests.e2e.customer import SOFTPHONE, Caller
from tests.e2e.product import PASSWORD, PATIENCE, Product, free_ports, until
from tests.e2e.sipp import SCENARIOS, Sipp


class Seat:
    """`client` is the desk; `phone` the telephone, which says `hertz` once it is lifted."""

    def __init__(self, client: ToolbarClient, phone: "Softphone", login: str) -> None:
        self.client, self.phone, self.login = client, phone, login

    @property
    def state(self) -> str:
        return str(self.client.snapshot["agent"]["state"])

    @property
    def call(self) -> dict[str, Any] | None:
        call: dict[str, Any] | None = self.client.snapshot["call"]
        return call

    async def ready(self) -> None:
        await self.client.request("SetAgentState", state="ready")
        await until(lambda: self.state == "ready")

    async def until_state(self, *states: str, seconds: float = PATIENCE) -> None:
        await until_state(self.client, *states, seconds=seconds)

    async def rung(self) -> Caller:
        """The call now ringing at the telephone."""
        await until(lambda: self.phone.calls)
        return self.phone.calls[-1]

    async def tabulate(self, **answers: str) -> None:
        await tabulate(self.client, **answers)


async def until_state(client: ToolbarClient, *states: str, seconds: float = PATIENCE) -> None:
    try:
        await until(lambda: client.snapshot["agent"]["state"] in states, seconds)
    except AssertionError:
        agent, call, form = (client.snapshot[part] for part in ("agent", "call", "form"))
        raise AssertionError(
            f"not {states} but {agent}, call {call}, form {form and form['status']}"
        ) from None


async def tabulate(client: ToolbarClient, **answers: str) -> None:
    """Fill the form in any way that is accepted, and save it."""
    form = client.snapshot["form"]
    if form is not None and form["status"] != "saved":
        await client.request("SaveTabulation", call=form["call"], answers=any_answers(form) | answers)


async def leave(client: ToolbarClient) -> None:
    """End what is going on and log off."""
    with suppress(RequestRefused):
        await client.request("ClearConnection")
    await until_state(client, "wrap_up", "ready", "not_ready", "logged_off")
    await tabulate(client)
    await client.request("Logout")
    await until_state(client, "logged_off")


def any_answers(form: dict[str, Any]) -> dict[str, str]:
    """Answers that the form's layout accepts."""
    samples = {
        "text": "texto",
        "long_text": "um texto mais longo",
        "number": "3",
        "date": "2026-11-21",
        "phone": "11987654321",
        "checkbox": "1",
    }
    answers = {}
    for field in form["layout"]["fields"]:
        options = field.get("options") or []
        first = options[0]["value"] if options and isinstance(options[0], dict) else (options or [""])[0]
        answers[field["key"]] = samples.get(field["kind"], first)
    types = form["layout"]["types"]
    answers["category"] = str(types[0]["categories"][0]["id"])
    return answers


class Softphone:
    """A telephone at an extension: sipp registers it with digest, then it takes over sipp's port."""

    def __init__(self, product: Product, extension: str, hertz: int = SOFTPHONE) -> None:
        self.product, self.extension, self.hertz = product, extension, hertz
        self.port = free_ports(1)[0]
        self.calls: list[Caller] = []
        self.lifts_itself = True
        self.lifts_when_asked = False  # by Call-Info: answer-after=0
        self.phone = Telephone("127.0.0.1", self.port, ("127.0.0.1", product.sip_port), self._called)

    async def register(self, folder: Path, password: str = PASSWORD) -> int:
        """sipp's exit code: 0 when the registrar accepted."""
        arguments = (
            "-sf", str(SCENARIOS / "register.xml"), "-s", self.extension, "-au", self.extension,
            "-ap", password, "-i", "127.0.0.1", "-p", str(self.port), "-m", "1",
            f"127.0.0.1:{self.product.sip_port}",
        )  # fmt: skip
        async with Sipp(folder, *arguments) as registering:
            return await registering.done()

    def _called(self, call: CustomerCall) -> None:
        call.ring()
        call.say(tone(self.hertz))
        self.calls.append(Caller(call))
        asked = "answer-after=0" in (call.session.request.get("Call-Info") or "")
        if self.lifts_itself or (self.lifts_when_asked and asked):
            call.answer()


@asynccontextmanager
async def seat(
    product: Product, folder: Path, login: str, extension: str, hertz: int = SOFTPHONE
) -> AsyncIterator[Seat]:
    """An agent logged in, with a registered telephone as the station, not yet ready."""
    phone = Softphone(product, extension, hertz)
    assert await phone.register(folder / f"register-{extension}") == 0
    await phone.phone.start()
    try:
        async with ToolbarClient("127.0.0.1", product.cti_port) as client:
            await client.connect(login, PASSWORD)
            await client.request("SetStation", kind="softphone", extension=extension)
            seat = Seat(client, phone, login)
            try:
                yield seat
            finally:
                async with asyncio.timeout(60):  # a test that killed the product must end too
                    await leave(client)
    finally:
        await phone.phone.close()
