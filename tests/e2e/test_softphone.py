"""A softphone as the agent's station, with the browser only as the toolbar (step 4)."""

from pathlib import Path

import aiohttp
import pytest

from cti.customers import share
from cti.sip.digest import respond
from cti.sip.message import Request, Response, parse
from tests.e2e.baresip import Baresip
from tests.e2e.browser import Browser
from tests.e2e.customer import CUSTOMER, SOFTPHONE, Customers
from tests.e2e.desk_page import desk
from tests.e2e.product import PASSWORD, Product, until
from tests.e2e.seat import Softphone

KNOWN = "+5511987654321"


def heard_lately(phone: Baresip, hertz: float, seconds: float = 0.6) -> bool:
    """Whether the end of what baresip has recorded of its far end so far is this tone."""
    samples = phone.heard()[-int(8000 * seconds) :]
    return len(samples) > 4000 and share(samples, hertz) > 0.6


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_softphone_takes_the_call_and_the_browser_drives_it(
    transport: str, product: Product, browser: Browser, customers: Customers, tmp_path: Path
):
    softphone = Baresip(tmp_path, product.sip_port, "1002", PASSWORD, SOFTPHONE, transport)
    async with softphone as phone, desk(browser, product, "agent2") as agent:
        await phone.until_registered()
        await agent.at_work("agent2", "softphone", "1002")
        customer = customers.call("4000", KNOWN)
        await agent.until_call("ringing")
        await agent.until_says("(11) 98765-4321", "call")
        await until(lambda: phone.saw("CALL_INCOMING"))
        await phone.command("accept")  # the handset is lifted
        await agent.until_call("connected")
        await customer.until_hears(SOFTPHONE)
        await until(lambda: heard_lately(phone, CUSTOMER))

        await agent.press("HoldCall")
        await agent.until_call("held")
        await customer.until_music()
        await until(lambda: not heard_lately(phone, CUSTOMER))
        await agent.press("RetrieveCall")
        await agent.until_call("connected")
        await customer.until_hears(SOFTPHONE)
        await until(lambda: heard_lately(phone, CUSTOMER))

        await agent.press("ClearConnection")
        await until(lambda: phone.saw("CALL_CLOSED"))
        await customer.call.over
        await agent.until_agent("wrap_up")
        await agent.tabulate()
        await agent.until_agent("ready")


async def test_answering_in_the_browser_lifts_a_phone_that_offers_it(
    product: Product, browser: Browser, customers: Customers, tmp_path: Path
):
    phone = Softphone(product, "1002")
    phone.lifts_itself = False
    assert await phone.register(tmp_path) == 0
    await phone.phone.start()
    try:
        async with desk(browser, product, "agent2") as agent:
            await agent.at_work("agent2", "softphone", "1002")
            customer = customers.call("4000", KNOWN)
            await agent.until_call("ringing")
            await until(lambda: phone.calls)
            first = phone.calls[0].call
            phone.lifts_when_asked = True
            await agent.press("AnswerCall")
            await agent.until_call("connected")
            lifted = phone.calls[-1]
            assert "answer-after=0" in (lifted.call.session.request.get("Call-Info") or "")
            await customer.until_hears(SOFTPHONE)
            await lifted.until_hears(CUSTOMER)
            assert first is lifted.call or first.over.done()
            customer.call.hang_up()
            await lifted.call.over
            await agent.until_agent("wrap_up")
    finally:
        await phone.phone.close()


async def test_the_phone_hangs_up_and_the_desk_goes_to_wrap_up(
    product: Product, browser: Browser, customers: Customers, tmp_path: Path
):
    softphone = Baresip(tmp_path, product.sip_port, "1002", PASSWORD, SOFTPHONE)
    async with softphone as phone, desk(browser, product, "agent2") as agent:
        await phone.until_registered()
        await agent.at_work("agent2", "softphone", "1002")
        customer = customers.call("4000", KNOWN)
        await until(lambda: phone.saw("CALL_INCOMING"))
        await phone.command("accept")
        await agent.until_call("connected")
        await phone.command("hangup")
        await customer.call.over
        await agent.until_agent("wrap_up")


async def test_hold_on_the_phone_itself_gives_the_customer_music(
    product: Product, browser: Browser, customers: Customers, tmp_path: Path
):
    softphone = Baresip(tmp_path, product.sip_port, "1002", PASSWORD, SOFTPHONE)
    async with softphone as phone, desk(browser, product, "agent2") as agent:
        await phone.until_registered()
        await agent.at_work("agent2", "softphone", "1002")
        customer = customers.call("4000", KNOWN)
        await until(lambda: phone.saw("CALL_INCOMING"))
        await phone.command("accept")
        await customer.until_hears(SOFTPHONE)
        await phone.command("hold")
        await customer.until_music()
        await phone.command("resume")
        await customer.until_hears(SOFTPHONE)
        customer.call.hang_up()
        await agent.until_agent("wrap_up")


async def test_a_phone_that_is_not_registered_is_told_in_words(product: Product, browser: Browser):
    async with desk(browser, product, "agent6") as agent:
        await agent.log_in("agent6")
        await agent.choose_station("softphone", "1006")
        await agent.until_station("not_registered")
        await agent.until_says("1006")


async def test_a_softphone_over_websocket_registers_and_is_called(product: Product, customers: Customers):
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(product.url + "/sip", protocols=("sip",)) as socket,
    ):
        assert socket.protocol == "sip"
        await socket.send_str(register(1))
        challenged = parse((await socket.receive_str()).encode())
        assert isinstance(challenged, Response) and challenged.status == 401
        challenge = next(c for c in challenged.get_all("WWW-Authenticate") if "SHA-256" not in c)
        proof = respond(challenge, "REGISTER", "sip:ramal", "1006", PASSWORD, "abc", 1)
        await socket.send_str(register(2, f"Authorization: {proof}\r\n"))
        registered = parse((await socket.receive_str()).encode())
        assert isinstance(registered, Response) and registered.status == 200

        call = customers.call("1006").call
        invite = parse((await socket.receive_str()).encode())
        assert isinstance(invite, Request) and invite.method == "INVITE"
        await socket.send_str(invite.response(486, to_tag="page").encode().decode())
        await call.over
        assert call.status == 486


def register(sequence: int, extra: str = "") -> str:
    return (
        "REGISTER sip:ramal SIP/2.0\r\n"
        f"Via: SIP/2.0/WS x.invalid;branch=z9hG4bKpage{sequence}\r\n"
        "Max-Forwards: 70\r\n"
        "From: <sip:1006@ramal>;tag=page\r\n"
        "To: <sip:1006@ramal>\r\n"
        "Call-ID: page\r\n"
        f"CSeq: {sequence} REGISTER\r\n"
        "Contact: <sip:1006@x.invalid;transport=ws>\r\n"
        "Expires: 120\r\n"
        f"{extra}Content-Length: 0\r\n\r\n"
    )
