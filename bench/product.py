"""The product as a child process: ports and data of its own, on one core if asked."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.processes import ROOT, cpu_seconds, free_port, name, note, pinned, stop, tree, wait_until
from config import Settings
from crm import db as database
from crm import embedded
from crm.db import Db

START_SECONDS = 180
STORES = ("postgres", "valkey", "redis")
MEDIA_PORTS = (10_000, 19_999)


@dataclass(frozen=True)
class Cpu:
    """Seconds used so far: by what serves calls (control and media workers), and by the stores."""

    serving: float
    media: float
    stores: float

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.serving - other.serving, self.media - other.media, self.stores - other.stores)


class Product:
    """A context manager. `fill(db)` sets up the centre before the start, without demo data."""

    def __init__(
        self,
        fill: Callable[[Db], Awaitable[None]],
        core: int | None = None,
        media_workers: int = 1,
        **settings: object,
    ) -> None:
        self._fill = fill
        self._core = core
        self.data = Path(tempfile.mkdtemp(prefix="ramal-bench-"))
        self.settings = Settings(
            http_port=free_port(),
            sip_port=free_port(),
            sips_port=free_port(),
            cti_port=free_port(),
            media_port_low=MEDIA_PORTS[0],
            media_port_high=MEDIA_PORTS[1],
            media_workers=media_workers,
            data=self.data,
            **settings,  # type: ignore[arg-type]
        )
        self._log = self.data / "log"

    def __enter__(self) -> Self:
        asyncio.run(self._set_up())
        settings = self.settings
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RAMAL_")} | {
            "RAMAL_HTTP_PORT": str(settings.http_port),
            "RAMAL_SIP_PORT": str(settings.sip_port),
            "RAMAL_SIPS_PORT": str(settings.sips_port),
            "RAMAL_CTI_PORT": str(settings.cti_port),
            "RAMAL_MEDIA_PORTS": f"{settings.media_port_low}-{settings.media_port_high}",
            "RAMAL_MEDIA_WORKERS": str(settings.media_workers),
            "RAMAL_DATA": str(settings.data),
            "RAMAL_RECORDINGS": "1" if settings.recordings else "0",
            "LOG_LEVEL": "WARNING",
        }
        command: list[object] = [sys.executable, "-m", "cti.ramal", "serve"]
        self._process = subprocess.Popen(
            pinned(command, self._core) if self._core is not None else [str(part) for part in command],
            cwd=ROOT,
            env=environment,
            stdout=self._log.open("ab"),
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(self._serves, START_SECONDS, "the product's start")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        note(f"the product serves, process {self.pid}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        stop(self._process)
        if said := self._log.read_text(errors="replace").strip():
            note("the product said:\n" + "\n".join(said.splitlines()[-40:]))
        shutil.rmtree(self.data, ignore_errors=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu(self) -> Cpu:
        serving = media = stores = 0.0
        for pid in tree(self.pid):
            seconds, command = cpu_seconds(pid), name(pid)
            if any(store in command.split(" ")[0] for store in STORES):
                stores += seconds
            else:
                serving += seconds
                media += seconds if "media.worker" in command else 0.0
        return Cpu(serving, media, stores)

    def _serves(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"the product ended:\n{self._log.read_text(errors='replace')[-4000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.settings.http_port}/healthz", timeout=2):
                return True
        except OSError:
            return False

    async def _set_up(self) -> None:
        async with embedded.postgres(self.settings) as url:
            pool = await database.connect(url)
            try:
                await database.migrate(pool)
                await self._fill(pool)
            finally:
                await pool.close()
