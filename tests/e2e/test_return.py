"""The server owns the call: reload, another tab, five seconds without a network (step 5)."""

import asyncio

import pytest

from tests.e2e.browser import Browser
from tests.e2e.customer import AGENT, CUSTOMER, Caller, Customers
from tests.e2e.desk_page import DeskPage, desk
from tests.e2e.network import Network
from tests.e2e.product import Product, until

KNOWN = "+5511987654321"
TYPED = "metade de uma frase"


async def talking(agent: DeskPage, customers: Customers) -> tuple[Caller, str]:
    """In a call, both hear each other, a text field of the form is half filled; its key."""
    await agent.at_work("agent1")
    customer = customers.call("4000", KNOWN)
    await agent.until_call("ringing")
    await agent.press("AnswerCall")
    await agent.until_call("connected")
    await agent.person.until_hears(CUSTOMER)
    await customer.until_hears(AGENT)
    text = agent.find("#tabulation textarea").first
    await text.fill(TYPED)
    key = (await text.get_attribute("name") or "").removeprefix("a.")
    return customer, key


async def ends_well(agent: DeskPage, customer: Caller, key: str) -> None:
    """The call is still there, in both directions, and so is what was typed; it ends as any call."""
    await agent.until_call("connected")
    await agent.person.until_hears(CUSTOMER)
    await customer.until_hears(AGENT)
    assert await agent.field(key).input_value() == TYPED
    assert not customer.call.over.done()
    await agent.press("ClearConnection")
    await customer.call.over
    await agent.until_agent("wrap_up")
    await agent.tabulate()
    await agent.until_agent("ready")


async def back_within_two_seconds(agent: DeskPage, customer: Caller) -> None:
    """Measured from now, the moment of the page's return."""
    loop = asyncio.get_running_loop()
    returned = loop.time()
    await asyncio.gather(customer.until_hears(AGENT), agent.person.until_hears(CUSTOMER))
    # Both ears listen over six tenths of a second of whole audio, which is taken off again.
    assert loop.time() - returned - 0.6 < 2.0


async def test_a_reload_in_the_middle_of_a_call(product: Product, browser: Browser, customers: Customers):
    async with desk(browser, product, "agent1") as agent:
        customer, key = await talking(agent, customers)
        await agent.person.page.reload(wait_until="commit")
        await agent.person.page.wait_for_selector("[data-desk]")
        await back_within_two_seconds(agent, customer)
        await ends_well(agent, customer, key)


async def test_the_tab_is_closed_and_another_opened(product: Product, browser: Browser, customers: Customers):
    async with desk(browser, product, "agent1") as agent:
        customer, key = await talking(agent, customers)
        await agent.person.page.close()
        await customer.until_music()
        await agent.person.open_tab()
        await agent.person.page.goto(product.url + "/")
        await agent.person.page.wait_for_selector("[data-desk]")
        await back_within_two_seconds(agent, customer)
        await ends_well(agent, customer, key)


@pytest.mark.parametrize("way", ["silently", "with every connection reset"])
async def test_the_network_is_away_for_five_seconds(
    way: str, product: Product, browser: Browser, customers: Customers
):
    async with Network(product.http_port) as network, desk(browser, product, "agent1", network) as agent:
        customer, key = await talking(agent, customers)
        network.cut()
        if way == "with every connection reset":
            network.reset()
        await customer.until_music()
        await asyncio.sleep(5)  # the five seconds of the promise
        assert customer.hears_music()
        network.mend()
        await back_within_two_seconds(agent, customer)
        await ends_well(agent, customer, key)


async def test_the_customer_hangs_up_while_the_page_is_away(
    product: Product, browser: Browser, customers: Customers
):
    async with desk(browser, product, "agent1") as agent:
        customer, key = await talking(agent, customers)
        await agent.person.page.close()
        await customer.until_music()
        customer.call.hang_up()
        await customer.call.over
        await agent.person.open_tab()
        await agent.person.page.goto(product.url + "/")
        await agent.person.page.wait_for_selector("[data-desk]")
        await agent.until_agent("wrap_up")
        assert await agent.field(key).input_value() == TYPED
        await agent.tabulate()
        await agent.until_agent("ready", "not_ready")


async def test_two_tabs_show_the_same_desk(product: Product, browser: Browser, customers: Customers):
    async with desk(browser, product, "agent1") as agent:
        customer, _ = await talking(agent, customers)
        first = agent.person.page
        await agent.person.open_tab()
        await agent.person.page.goto(product.url + "/")
        await agent.person.page.wait_for_selector("[data-desk]")
        await agent.until_call("connected")
        await agent.press("HoldCall")
        await agent.until_call("held")

        async def held_there() -> bool:
            return await first.locator("[data-call]").first.get_attribute("data-state") == "held"

        await until(held_there)
        customer.call.hang_up()
        await agent.until_agent("wrap_up")
