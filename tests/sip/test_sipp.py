"""Real sipp at both ends of the stack, over UDP and TCP: not one call may fail."""

import asyncio
import contextlib
import shutil

import pytest

from cti.sip.events import Answered, Ended, IncomingCall
from tests.sip.test_transport import Phone, free_port
from tests.waiting import until

pytestmark = pytest.mark.skipif(shutil.which("sipp") is None, reason="sipp is not installed")
CALLS = 40
TRANSPORTS = pytest.mark.parametrize("kind, option", [("UDP", "u1"), ("TCP", "t1")])


@contextlib.asynccontextmanager
async def sipp(folder, *arguments):
    with (folder / "screen").open("wb") as screen:
        process = await asyncio.create_subprocess_exec(
            "sipp", "-i", "127.0.0.1", "-nostdin", "-trace_err", *arguments,
            cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=screen, stderr=screen,
        )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def complaints(folder):
    return "".join(file.read_text(errors="replace") for file in folder.glob("*errors.log"))


@TRANSPORTS
async def test_sipp_calls_us_and_hangs_up(kind, option, tmp_path):
    async with Phone(answers=True) as bob:
        arguments = [
            "-sn",
            "uac",
            "-t",
            option,
            "-p",
            str(free_port()),
            "-m",
            str(CALLS),
            "-r",
            "100",
            "-d",
            "50",
        ]
        async with sipp(tmp_path, *arguments, f"127.0.0.1:{bob.port}") as customers:
            assert await customers.wait() == 0, complaints(tmp_path)
        assert len(bob.of(IncomingCall)) == CALLS
        assert [(event.cause, event.by_peer) for event in bob.of(Ended)] == [("normal", True)] * CALLS
        assert bob.stack.sessions == 0


@TRANSPORTS
async def test_we_call_sipp_and_hang_up(kind, option, tmp_path):
    port = free_port()
    async with Phone() as ana:
        ana.transport.on_event = lambda event: hang_up_when_answered(ana, event)
        async with sipp(tmp_path, "-sn", "uas", "-t", option, "-p", str(port), "-m", str(CALLS)) as far_end:
            await until(lambda: listens(port, kind))
            for _ in range(CALLS):
                ana.call(port, kind)
            await until(lambda: len(ana.of(Ended)) == CALLS)
            await until(lambda: ana.stack.sessions == 0)
            assert await far_end.wait() == 0, complaints(tmp_path)
        assert len(ana.of(Answered)) == CALLS
        assert {event.cause for event in ana.of(Ended)} == {"normal"}


def hang_up_when_answered(phone, event):
    phone.note(event)
    if isinstance(event, Answered):
        event.session.hang_up(phone.transport.now())


def listens(port, kind):
    """Whether somebody holds the port, as the kernel tells."""
    with open(f"/proc/net/{kind.lower()}") as table:
        return any(line.split()[1].endswith(f":{port:04X}") for line in table.readlines()[1:])


@TRANSPORTS
async def test_sipp_is_refused_as_it_should_be(kind, option, tmp_path):
    async with Phone() as bob:
        bob.transport.on_event = lambda event: refuse(bob, event)
        arguments = ["-sn", "uac", "-t", option, "-p", str(free_port()), "-m", "1"]
        async with sipp(tmp_path, *arguments, f"127.0.0.1:{bob.port}") as customer:
            assert await customer.wait() == 1
        assert "SIP/2.0 486 Busy Here" in complaints(tmp_path)


def refuse(phone, event):
    phone.note(event)
    if isinstance(event, IncomingCall):
        event.session.reject(486, phone.transport.now())
