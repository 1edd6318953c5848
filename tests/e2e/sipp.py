"""sipp as plain customers and as the trunk's far end: real SIP from somebody else's hand."""

import asyncio
import contextlib
import re
from collections import Counter
from pathlib import Path

import numpy as np

from cti.customers.sounds import RATE, machine, tone, voice
from cti.media import g711

SCENARIOS = Path(__file__).parent / "scenarios"


class Sipp:
    """One run of sipp; `await run.done()` is its exit code, 0 when every call went as its scenario says."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._arguments = folder, arguments
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Sipp":
        with (self._folder / "sipp.out").open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                "sipp",
                *self._arguments,
                "-nostdin",
                "-trace_err",
                "-error_file",
                str(self._folder / "errors"),
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()

    async def done(self) -> int:
        assert self._process is not None
        return await self._process.wait()

    def complaints(self) -> str:
        errors = self._folder / "errors"
        return errors.read_text(errors="replace") if errors.exists() else ""


def customer(
    folder: Path,
    product_port: int,
    port: int,
    media_port: int,
    number: str,
    scenario: str = "customer.xml",
    calls: int = 1,
    rate: float = 1.0,
    talking_ms: int = 2000,
    keys: dict[str, str] | None = None,
) -> Sipp:
    """Customers who call a number of the product and speak a tone from a file `tone.alaw` in the folder."""
    named = [part for key, value in (keys or {}).items() for part in ("-key", key, value)]
    return Sipp(
        folder, "-sf", str(SCENARIOS / scenario), "-s", number, "-i", "127.0.0.1", "-p", str(port),
        "-mi", "127.0.0.1", "-mp", str(media_port), "-m", str(calls), "-r", str(rate),
        "-d", str(talking_ms), *named, f"127.0.0.1:{product_port}",
    )  # fmt: skip


def trunk(folder: Path, port: int, media_port: int, calls: int = 1, scenario: str = "trunk.xml") -> Sipp:
    """The far end of a trunk: rings, answers, echoes what it hears."""
    return Sipp(
        folder, "-sf", str(SCENARIOS / scenario), "-i", "127.0.0.1", "-p", str(port),
        "-mi", "127.0.0.1", "-mp", str(media_port), "-rtp_echo", "-m", str(calls),
    )  # fmt: skip


PERSON = 620  # Hz that a person called says after the greeting


class Called(Sipp):
    """Everybody a campaign calls (scenarios/called.xml), at the far end of the trunk."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(
            folder, "-sf", str(SCENARIOS / "called.xml"), "-i", "127.0.0.1", "-p", str(port),
            "-mi", "127.0.0.1", "-trace_logs", "-log_file", str(folder / "said"), "-aa",
        )  # fmt: skip
        greeting = [voice(3, 1.2).samples[: int(0.7 * RATE)], np.zeros(int(1.8 * RATE), np.int16)]
        said = {
            "person": np.concatenate([*greeting, *[tone(PERSON).samples] * 3]),
            "machine": machine(1).samples,
            "fax": tone(2100).samples,
        }
        for name, samples in said.items():
            (folder / f"{name}.alaw").write_bytes(g711.pcm_to_alaw(samples))

    def said(self) -> list[tuple[str, str]]:
        """Everything that happened so far, in its order: the number, and the scenario's word for it."""
        log = self._folder / "said"
        text = log.read_text(errors="replace") if log.exists() else ""
        return re.findall(r"(\+\d+) (called|lifted|[a-z ]+|\d{3})$", text, re.MULTILINE)

    def words(self) -> Counter[str]:
        return Counter(word for _, word in self.said())

    def of(self, word: str) -> Counter[str]:
        """How often that happened, by number."""
        return Counter(number for number, each in self.said() if each == word)
