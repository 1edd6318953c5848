"""What simulated customers know of the centre they call, learnt as a supervisor at port 44900."""

import asyncio
from typing import Any

from cti.toolbar.client import ToolbarClient

NOBODY_KNOWN = ["+5511987654321", "+5511912345678", "+5521998761234", "+5531988880000"]


class Centre:
    """Whether an agent is ready, and numbers the centre knows as its contacts'."""

    def __init__(self) -> None:
        self.agents_ready = 0
        self.numbers = list(NOBODY_KNOWN)
        self._ready = asyncio.Event()

    async def follow(self, host: str, port: int, user: str, password: str) -> None:
        """Watch the wall until the centre closes. Raises OSError and RequestRefused."""
        async with ToolbarClient(host, port) as client:
            await client.connect(user, password)
            found = await client.request("SearchContacts", text="a")
            known = [phone["number"] for contact in found["contacts"] for phone in contact["phones"]]
            self.numbers += known
            self._see((await client.request("Watch"))["wall"])
            async for event in client.events():
                if event["event"] == "WallChanged":
                    self._see(event["wall"])

    async def somebody_became_ready(self) -> None:
        """Wait for an agent to become ready when none was."""
        self._ready.clear()
        await self._ready.wait()

    def _see(self, wall: dict[str, Any]) -> None:
        before, self.agents_ready = (
            self.agents_ready,
            sum(agent["state"] == "ready" for agent in wall["agents"]),
        )
        if self.agents_ready and not before:
            self._ready.set()
