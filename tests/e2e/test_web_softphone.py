"""Telephones that others wrote, in a real browser: SIP over the product's WebSocket, audio by WebRTC."""

import pytest

from tests.e2e.browser import Browser
from tests.e2e.customer import AGENT, CUSTOMER, OTHER_AGENT, Customers
from tests.e2e.desk_page import desk
from tests.e2e.product import Product, until
from tests.e2e.web_softphone import web_softphone

LIBRARIES = ("jssip", "sipjs")
KNOWN = "+5511987654321"


@pytest.mark.parametrize("library", LIBRARIES)
async def test_it_registers_by_digest_and_again_and_a_wrong_password_is_refused(
    library: str, product: Product, other_browser: Browser
):
    async with web_softphone(other_browser, product, library, "1005") as phone:
        await phone.start("not-the-password")
        await phone.until_told("refused", "403")
        await phone.do("stop")
    async with web_softphone(other_browser, product, library, "1005") as phone:
        await phone.start()
        await phone.until_told("registered")
        await phone.do("register")
        await until(lambda: len([text for text in phone.heard if is_registered(text)]) == 2)
        assert not [said for said in await phone.told() if said[0] == "refused"]


@pytest.mark.parametrize("library", LIBRARIES)
async def test_it_is_called_speaks_and_both_ends_hang_up(
    library: str, product: Product, other_browser: Browser, customers: Customers
):
    async with web_softphone(other_browser, product, library, "1005") as phone:
        await phone.start()
        await phone.until_told("registered")
        customer = customers.call("1005", KNOWN)
        await phone.until_told("called", "987654321")
        await phone.do("answer")
        await phone.until_told("confirmed")
        await customer.until_hears(OTHER_AGENT)
        await phone.person.until_hears(CUSTOMER)
        customer.call.hang_up()
        await phone.until_told("ended", "remote")

        await phone.forget()
        customer = customers.call("1005", KNOWN)
        await phone.until_told("called")
        await phone.do("answer")
        await customer.until_hears(OTHER_AGENT)
        await phone.do("hangUp")
        await customer.call.over

        await phone.forget()
        customer = customers.call("1005", KNOWN)
        await phone.until_told("called")
        await phone.do("reject")
        await customer.call.over
        assert customer.call.status == 486

        await phone.forget()
        customer = customers.call("1005", KNOWN)
        await phone.until_told("called")
        customer.call.hang_up()
        await until_over(phone)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_it_calls_a_queue_holds_and_hangs_up(
    library: str, product: Product, browser: Browser, other_browser: Browser
):
    async with (
        desk(browser, product, "agent2") as agent,
        web_softphone(other_browser, product, library, "1005") as phone,
    ):
        await agent.at_work("agent2")
        await phone.start()
        await phone.until_told("registered")
        await phone.do("call", "sip:4000@ramal")
        await agent.until_call("ringing")
        await agent.press("AnswerCall")
        await agent.until_call("connected")
        await phone.until_told("confirmed")
        await phone.person.until_hears(AGENT)
        await agent.person.until_hears(OTHER_AGENT)

        await phone.do("hold", True)
        await until(lambda: hears_no_more(agent.person, OTHER_AGENT))
        await phone.do("hold", False)
        await agent.person.until_hears(OTHER_AGENT)
        await phone.person.until_hears(AGENT)

        await agent.press("HoldCall")
        await agent.until_call("held")
        await until(lambda: hears_no_more(phone.person, AGENT))
        await agent.press("RetrieveCall")
        await agent.until_call("connected")
        await phone.person.until_hears(AGENT)

        await phone.do("hangUp")
        await agent.until_agent("wrap_up")
        await agent.tabulate()

        await phone.forget()
        await agent.until_agent("ready")
        await phone.do("call", "sip:4000@ramal")
        await agent.until_call("ringing")
        await agent.press("AnswerCall")
        await agent.until_call("connected")
        await phone.person.until_hears(AGENT)
        await agent.press("ClearConnection")
        await phone.until_told("ended", "remote")
        await agent.until_agent("wrap_up")
        await agent.tabulate()

        await phone.forget()
        await agent.until_agent("ready")
        await phone.do("call", "sip:1002@ramal")
        await agent.until_call("ringing")
        await phone.until_told("progress")
        await phone.do("hangUp")
        await until_over(phone)
        await agent.until_call("")


async def test_it_is_an_agents_station(
    product: Product, browser: Browser, other_browser: Browser, customers: Customers
):
    async with (
        desk(browser, product, "agent4") as agent,
        web_softphone(other_browser, product, "jssip", "1004") as phone,
    ):
        await phone.start()
        await phone.until_told("registered")
        await agent.at_work("agent4", "softphone", "1004")
        customer = customers.call("4000", KNOWN)
        await agent.until_call("ringing")
        await phone.until_told("called")
        await phone.do("answer")
        await agent.until_call("connected")
        await customer.until_hears(OTHER_AGENT)
        await phone.person.until_hears(CUSTOMER)
        await phone.person.page.close()  # the tab is gone, and the telephone with it
        await customer.call.over
        await agent.until_agent("wrap_up")
        await agent.until_station("not_registered")


def is_registered(text: str) -> bool:
    return text.startswith("SIP/2.0 200") and " REGISTER\r\n" in text


async def hears_no_more(person, hertz: float) -> bool:
    return not await person.hears(hertz)


async def until_over(phone) -> None:
    async def over() -> bool:
        return any(said in ("ended", "failed") for said, _ in await phone.told())

    await until(over)
