"""One child process: unprivileged, in its own session, ending when we end, started again when it ends."""

import asyncio
import ctypes
import logging
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crm.refused import Refused

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
ACCOUNTS = ("ramal", "postgres", "nobody")  # who a child runs as when we are root
LIBC = ctypes.CDLL(None, use_errno=True)
START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 20.0
LOG_BYTES_MAX = 10_000_000


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int


def unprivileged() -> Account | None:
    """The account children drop to when we are root; None when we are nobody special already."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise Refused("PostgreSQL does not run as root: start as another user, or create a system user ramal.")


def before_exec(account: Account | None, end_signal: int, parent: int) -> Callable[[], None]:
    """Runs in the child between fork and exec."""

    def prepare() -> None:
        if account is not None:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
        if sys.platform == "linux":
            LIBC.prctl(PR_SET_PDEATHSIG, end_signal)  # after setuid, which would clear it
            if os.getppid() != parent:
                os._exit(1)  # the parent died before the line above

    return prepare


def may_use(path: Path, account: Account | None) -> bool:
    """Whether the account may enter the folder or run the program: asked of the kernel, as that account."""
    if account is None:
        return os.access(path, os.X_OK)
    test = subprocess.run(
        ["test", "-x", str(path)], user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False
    )
    return test.returncode == 0


def private_folder(path: Path, account: Account | None) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account is not None:
        os.chown(path, account.uid, account.gid)
    path.chmod(0o700)
    return path


class Child:
    """`start` waits until `ready` answers true; from then on an unexpected end is logged and mended."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        ready: Callable[[], Awaitable[bool]],
        *,
        log_file: Path,
        end_signal: signal.Signals,
        account: Account | None,
        environment: Mapping[str, str],
    ) -> None:
        self.name, self.ready, self.log_file = name, ready, log_file
        self.command = [str(part) for part in command]
        self.end_signal, self.account, self.environment = end_signal, account, environment
        self.process: asyncio.subprocess.Process | None = None
        self._guard: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._begin()
        self._guard = asyncio.create_task(self._begin_again_when_it_ends(), name=f"{self.name} guard")

    async def stop(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
            await asyncio.gather(self._guard, return_exceptions=True)
        await self._end()

    async def _begin(self) -> None:
        """A child that ends at once is tried again: the one before it may not be gone yet."""
        give_up = time.monotonic() + START_SECONDS_MAX
        while True:
            process = await self._spawn()
            while process.returncode is None and time.monotonic() < give_up:
                if await self.ready():
                    return
                await asyncio.sleep(0.01)
            if time.monotonic() >= give_up:
                await self._end()
                raise Refused("{name} did not start: {why}", name=self.name, why=self.last_words())
            await asyncio.sleep(0.2)

    async def _spawn(self) -> asyncio.subprocess.Process:
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES_MAX:
            self.log_file.replace(self.log_file.with_suffix(".old"))
        with self.log_file.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=dict(self.environment),
                start_new_session=True,  # a Ctrl-C in the terminal is for us; we stop the child in our order
                preexec_fn=before_exec(self.account, self.end_signal, os.getpid()),
            )
        return self.process

    async def _begin_again_when_it_ends(self) -> None:
        while True:
            assert self.process is not None
            code = await self.process.wait()
            log.error("%s ended with %s and is started again: %s", self.name, code, self.last_words())
            try:
                await self._begin()
            except Refused as e:
                log.error("%s", e)
            await asyncio.sleep(0.5)

    async def _end(self) -> None:
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(self.end_signal)
        try:
            async with asyncio.timeout(STOP_SECONDS_MAX):
                await self.process.wait()
        except TimeoutError:
            log.error("%s did not stop and is killed", self.name)
            self.process.kill()
            await self.process.wait()

    def last_words(self) -> str:
        try:
            lines = self.log_file.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return " / ".join(lines[-3:])
