"""The real product as a child process, with ports, data and a password of its own."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.ports import share

ROOT = Path(__file__).parents[2]
PASSWORD = "senha-de-teste-42"
RAMAL = Path(sys.executable).parent / "ramal"
START_SECONDS = 120.0  # a cold start on a busy machine
AGAIN_SECONDS = (
    15.0  # or as long as the first start took, which had the database to make; the promise is five
)
PATIENCE = 60.0  # seconds until a wait is hopeless, also on a busy machine
MEDIA_PORTS = 400


KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody holds now, neither TCP nor UDP."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(share(11_000, 16_000))  # below the media ports and what the kernel hands out
        if port not in found and all(_is_free(port, kind) for kind in KINDS):
            found.append(port)
    return found


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_range(length: int) -> int:
    """The first of so many UDP ports in a row that are all free."""
    while True:
        low = random.choice(share(16_000, 29_600)[::2])
        if all(_is_free(port, socket.SOCK_DGRAM) for port in range(low, low + length)):
            return low


class Product:
    """`ramal demo` as a child. Its log is kept and shown when it does not start."""

    def __init__(self, folder: Path, **settings: str) -> None:
        http, sip, sips, cti, trunk = free_ports(5)
        media = free_range(MEDIA_PORTS)
        self.http_port, self.sip_port, self.cti_port, self.trunk_port = http, sip, cti, trunk
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "product.log"
        self.url = f"http://127.0.0.1:{http}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAMAL_")},
            "RAMAL_HTTP_PORT": str(http),
            "RAMAL_SIP_PORT": str(sip),
            "RAMAL_SIPS_PORT": str(sips),
            "RAMAL_CTI_PORT": str(cti),
            "RAMAL_MEDIA_PORTS": f"{media}-{media + MEDIA_PORTS - 1}",
            "RAMAL_DEMO_TRUNK_PORT": str(trunk),
            "RAMAL_DEMO_PASSWORD": PASSWORD,
            "RAMAL_DEMO_CUSTOMERS": "0",
            "RAMAL_DATA": str(self.data),
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._first_start = 0.0  # seconds
        self._log_from = 0

    def start(self, wait: bool = True) -> float:
        """Start it; the seconds until it served."""
        begun = time.monotonic()
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [RAMAL, "demo"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while wait and not self.serves():
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}:\n{self.said()[-4000:]}")
            if time.monotonic() - begun > START_SECONDS:
                raise AssertionError(f"does not serve after {START_SECONDS} s:\n{self.said()[-4000:]}")
            time.sleep(0.05)
        took = time.monotonic() - begun
        self._first_start = self._first_start or took
        return took

    def start_again(self) -> None:
        """In seconds; on a busy machine, sooner than the first start."""
        took = self.start()
        assert took < max(AGAIN_SECONDS, self._first_start), f"{took} s; the first time {self._first_start} s"

    def serves(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + "/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def said(self) -> str:
        """What it printed since the last start."""
        return self.log.read_bytes()[self._log_from :].decode(errors="replace")

    def stop(self) -> int:
        """As Ctrl-C does; the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.wait()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def children(self) -> list[psutil.Process]:
        """Every process it started, direct and indirect."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def postgres(self) -> list[psutil.Process]:
        found = []
        for child in self.children():
            with suppress(psutil.NoSuchProcess):  # it ended while we looked
                if "postgres" in child.name():
                    found.append(child)
        return found

    def media_workers(self) -> list[psutil.Process]:
        return [child for child in self.children() if any("cti.media.worker" in a for a in child.cmdline())]

    def errors(self) -> list[str]:
        """Lines of the log that tell of a bug."""
        return [line for line in self.said().splitlines() if "Traceback" in line or " ERROR " in line]


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for one product. Not pytest's own: as root, PostgreSQL's user must be able to enter it."""
    with tempfile.TemporaryDirectory(prefix="ramal-e2e-", ignore_cleanup_errors=True) as made:
        os.chmod(made, 0o755)
        yield Path(made)


@contextmanager
def running(**settings: str) -> Iterator[Product]:
    """A product in a folder of its own, stopped at the end and its folder removed."""
    with folder() as own:
        product = Product(own, **settings)
        try:
            product.start()
            yield product
        finally:
            product.stop()


async def until(condition: object, seconds: float = PATIENCE, every: float = 0.05) -> object:
    """Wait for a condition, a plain function or an async one, and return what it answered."""
    assert callable(condition)
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        answer = condition()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        if loop.time() > end:
            raise AssertionError(f"still not so after {seconds} s: {_words(condition)}")
        await asyncio.sleep(every)


def _words(condition: object) -> str:
    import inspect

    try:
        return inspect.getsource(condition).strip()  # type: ignore[arg-type]
    except (OSError, TypeError):
        return repr(condition)
