"""The demo's customers in a process of their own, so that their audio takes nothing from the calls' loop."""

import asyncio
import contextlib
import logging
import sys

from config import Settings
from crm import demo

log = logging.getLogger("ramal.customers")


class Customers:
    """Runs `python -m cti.customers` until closed; it also ends when this process does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        settings = self._settings
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cti.customers"),
            *("--port", str(settings.demo_trunk_port)),
            *("--product", f"{settings.bind}:{settings.sip_port}"),
            *("--toolbar", f"{settings.bind}:{settings.cti_port}"),
            stdin=asyncio.subprocess.PIPE,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(demo.password(settings).encode() + b"\n")

    async def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await self._process.wait()
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
