"""An agent over WebRTC speaks with a customer over RTP: tones are measured at both ends."""

from cti.media.engine import Connected


async def test_agent_and_customer_hear_each_other(engine, caller, peer):
    customer = await caller(engine, "customer", hertz=440, law="PCMU")
    agent = peer(hertz=700)
    await agent.connect(engine, "agent")
    await engine.told(Connected("agent"))
    await engine.bridge("customer", "agent")
    await customer.hears(700)
    await agent.hears(440)


async def test_a_reloaded_page_goes_on_with_the_same_customer(engine, caller, peer):
    customer = await caller(engine, "customer", hertz=440)
    agent = peer(hertz=700)
    await agent.connect(engine, "agent")
    await engine.bridge("customer", "agent")
    await customer.hears(700)
    lines = {packet[3] for packet in customer.packets}

    await agent.close()
    page = peer(hertz=900)
    await page.connect(engine, "agent")
    await customer.hears(900)
    await page.hears(440)
    assert {packet[3] for packet in customer.packets} == lines
