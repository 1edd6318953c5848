"""The demo's simulated customers run beside the product and end with it."""

from pathlib import Path

import numpy as np

from tests.e2e.product import running, until
from tests.e2e.seat import seat


async def test_simulated_customers_answer_by_the_last_digit_and_call_when_an_agent_is_ready(tmp_path: Path):
    with running(RAMAL_DEMO_CUSTOMERS="1", RAMAL_MEDIA_WORKERS="1") as product:
        async with seat(product, tmp_path, "agent3", "1003") as agent:
            await agent.client.request("MakeCall", number="11955550000", internal=False)
            phone = await agent.rung()
            await until(lambda: agent.call and agent.call["state"] == "connected")
            await until(lambda: np.abs(phone.call.talk.recent(1).astype(float)).mean() > 200)
            await agent.client.request("ClearConnection")
            await phone.call.over
            await agent.tabulate()

            await agent.client.request("MakeCall", number="11955550006", internal=False)
            await until(lambda: agent.call is None or agent.call["state"] == "ended")
            await agent.tabulate()

            await agent.ready()
            await until(lambda: agent.call and agent.call["direction"] == "inbound", 60)
            assert agent.call is not None and agent.call["dialed"] in {"4000", "4001"}
        children = product.children()
        assert any("cti.customers" in part for child in children for part in child.cmdline())
        product.kill()
        await until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))
