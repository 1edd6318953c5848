"""An agent in headless Chromium speaks with a customer on a telephone."""

import pytest
from playwright.async_api import async_playwright

from cti.media.engine import Connected, Digit
from tests.media import browser


@pytest.fixture
async def agent(tmp_path):
    microphone = tmp_path / "microphone.wav"
    browser.write_microphone(microphone, 1000)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=browser.arguments(microphone)
        )
        made = browser.Agent(await chromium.new_page())
        await made.open()
        yield made
        await chromium.close()


async def test_browser_and_telephone_hear_each_other_before_and_after_a_reload(engine, caller, agent):
    customer = await caller(engine, "customer", hertz=440)
    await agent.connect(engine, "agent")
    await engine.told(Connected("agent"))
    await engine.bridge("customer", "agent")
    await customer.hears(1000)
    await agent.hears(440)

    await agent.page.reload()
    customer.forget()
    await agent.connect(engine, "agent")
    await customer.hears(1000)
    await agent.hears(440)


async def test_an_ice_restart_keeps_the_connection(engine, caller, agent):
    customer = await caller(engine, "customer", hertz=440)
    await agent.connect(engine, "agent")
    await engine.bridge("customer", "agent")
    await customer.hears(1000)
    await agent.connect(engine, "agent", "restart")
    await customer.hears(1000)
    await agent.hears(440)
    assert engine.events.count(Connected("agent")) == 1


async def test_digits_pressed_in_the_browser_reach_the_telephone(engine, caller, agent):
    customer = await caller(engine, "customer", hertz=440, digits=101)
    await agent.connect(engine, "agent")
    await engine.bridge("customer", "agent")
    await customer.hears(1000)
    await agent.press("159#")
    for digit in "159#":
        await engine.told(Digit("agent", digit))
    assert customer.pressed() == "159#"
