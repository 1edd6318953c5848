"""How many calls one core carries: `python -m bench.media`.

One media worker is pinned to the first core; this process, the engine's control side and the load generator,
to the second. A call is 50 packets a second each way between two legs. Load goes up step by step until a
packet is lost, or the 99th percentile of the delay from our socket through the worker to our socket passes
P99_MS_MAX. The last line is one JSON object.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import re
import select
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aioice import stun
from OpenSSL import SSL

from cti.media.dtls import Identity
from cti.media.engine import EmbeddedEngine
from cti.media.packet import PACKET, PREFIX
from cti.media.srtp import FASTEST, KEYING_LABEL, PROFILES, Srtp, keying_bytes

ADDRESS = "127.0.0.1"
P99_MS_MAX = 20.0  # one packet time
LOAD_LEAST = 0.98  # of a step's packets that the generator must have managed to send
BEHIND_MAX = 0.02  # seconds: what the generator misses beyond that it leaves out, it does not send a burst
ATTEMPTS = 2  # at a step
WINDOW_SECONDS = 0.5
TRIES = 8  # windows for each that is wanted, on a machine that others use too
SLICES = 10  # of 20 ms: packets of all calls are spread over them
SAMPLED = 8  # the delay of one packet in so many is taken
SO_TIMESTAMPNS = 35  # the kernel notes when a packet came: the generator's own pauses do not count

STAMPED = struct.Struct("!BBHIId")  # an RTP header, and the time as the first 8 bytes of payload
STAMP = struct.Struct("!d")
TIMESPEC = struct.Struct("@ll")
SIZE = 172


@dataclass
class Result:
    calls: int
    sent: int = 0
    received: int = 0
    delays: list[float] = field(default_factory=list)  # seconds
    shares: list[float] = field(default_factory=list)  # of its core that the worker used, window by window
    left_out: int = 0  # windows in which the generator could not make the load

    @property
    def lost(self) -> int:
        return self.sent - self.received

    @property
    def passed(self) -> bool:
        return self.lost == 0 and self.p99_ms <= P99_MS_MAX

    @property
    def p99_ms(self) -> float:
        return self.percentile_ms(0.99)

    def percentile_ms(self, part: float) -> float:
        delays = sorted(self.delays) or [math.inf]
        return delays[int(len(delays) * part)] * 1000

    def __str__(self) -> str:
        share = sum(self.shares) / (len(self.shares) or 1)
        return (
            f"{self.calls} calls, worker {share:.0%} CPU, lost {self.lost} of {self.sent}, "
            f"p50 {self.percentile_ms(0.5):.2f} ms, p99 {self.p99_ms:.2f} ms, "
            f"{len(self.shares)} windows, {self.left_out} left out"
        )


class Clock:
    """Sequence numbers, timestamps and delays, shared by all legs of the generator."""

    def __init__(self) -> None:
        self.sequence = 0
        self.delays: list[float] = []
        self.received = 0
        self._buffers = [PACKET]

    def stamp(self) -> None:
        """A packet with the time of now into the buffer."""
        number = self.sequence
        STAMPED.pack_into(PACKET, 0, 0x80, 8, number & 0xFFFF, number * 160 & 0xFFFFFFFF, 0x1234, time.time())

    def receive(self, receiver: socket.socket) -> tuple[int, float]:
        """A packet into the buffer: its size, and when the kernel had it. Raises BlockingIOError."""
        size, ancillary, _, _ = receiver.recvmsg_into(self._buffers, 64)
        seconds, nanoseconds = TIMESPEC.unpack_from(ancillary[0][2])
        return size, seconds + nanoseconds / 1e9

    def take(self, at: float) -> None:
        self.delays.append(at - STAMP.unpack_from(PACKET, 12)[0])


class PlainLegs:
    """Telephones behind one socket: the worker tells them apart by its own ports."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setblocking(False)
        self.socket.bind((ADDRESS, 0))
        self.ports: list[tuple[str, int]] = []

    def offer(self) -> str:
        port = self.socket.getsockname()[1]
        return (
            f"v=0\r\no=- 1 1 IN IP4 {ADDRESS}\r\ns=-\r\nc=IN IP4 {ADDRESS}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 8\r\na=sendrecv\r\n"
        )

    def add(self, answer: str) -> None:
        found = re.search(r"m=audio (\d+)", answer)
        assert found
        self.ports.append((ADDRESS, int(found[1])))

    def send(self, part: int) -> int:
        stamp, send, packet = self.clock.stamp, self.socket.sendto, PREFIX[SIZE]
        legs = self.ports[part::SLICES]
        for address in legs:
            stamp()
            send(packet, address)
        return len(legs)

    def receive(self) -> None:
        clock, receive = self.clock, self.socket.recv_into
        try:
            for turn in range(256):
                if turn % SAMPLED:
                    clock.received += receive(PACKET) == SIZE
                else:
                    size, at = clock.receive(self.socket)
                    if size == SIZE:
                        clock.received += 1
                        clock.take(at)
        except BlockingIOError:
            pass


class Browser:
    """One WebRTC leg, as far as load needs it: an ICE check, a DTLS handshake, SRTP."""

    def __init__(self, answer: str, context: SSL.Context) -> None:
        ufrag, password, port = (
            re.search(pattern, answer)[1]  # type: ignore[index]
            for pattern in (r"a=ice-ufrag:(\S+)", r"a=ice-pwd:(\S+)", r"m=audio (\d+)")
        )
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.connect((ADDRESS, int(port)))
        self._user, self._password = f"{ufrag}:load", password
        self._dtls = SSL.Connection(context, None)
        self._dtls.set_connect_state()
        self.srtp: Srtp | None = None

    def connect(self) -> None:
        self.socket.settimeout(0.2)
        for _ in range(50):
            self.check()
            try:
                if self.socket.recv(2048)[0] < 4:
                    break
            except TimeoutError:
                continue  # the command that makes the leg is still on its way to the worker
        self.socket.settimeout(10)
        while True:
            try:
                self._dtls.do_handshake()
                break
            except SSL.WantReadError:
                self._send_dtls()
                data = self.socket.recv(2048)
                if 19 < data[0] < 64:
                    self._dtls.bio_write(data)
        self._send_dtls()
        profile = self._dtls.get_selected_srtp_profile().decode()
        keying = self._dtls.export_keying_material(KEYING_LABEL, keying_bytes(profile))
        _, key, salt = PROFILES[profile]
        keys, salts = keying[: 2 * key], keying[2 * key :]
        ours = keys[key:] + keys[:key] + salts[salt:] + salts[:salt]  # Srtp speaks as the server; we do not
        self.srtp = FASTEST(profile, ours)
        self.socket.setblocking(False)

    def check(self) -> None:
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = self._user
        request.attributes["ICE-CONTROLLING"] = 1
        request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity(self._password.encode())
        request.add_fingerprint()
        self.socket.send(bytes(request))

    def _send_dtls(self) -> None:
        try:
            waiting = self._dtls.bio_read(65536)
        except SSL.WantReadError:
            return
        start = 0
        while start < len(waiting):
            end = start + 13 + int.from_bytes(waiting[start + 11 : start + 13], "big")
            self.socket.send(waiting[start:end])
            start = end


class BrowserLegs:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.browsers: list[Browser] = []
        self._identity = Identity()
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Browser] = {}
        self._counted = 0

    def offer(self) -> str:
        return (
            f"v=0\r\no=- 1 1 IN IP4 {ADDRESS}\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 8\r\n"
            f"c=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\na=setup:actpass\r\na=ice-ufrag:load\r\n"
            f"a=fingerprint:sha-256 {self._identity.fingerprint}\r\na=sendrecv\r\n"
        )

    def add(self, answer: str) -> None:
        browser = Browser(answer, self._identity.context)
        browser.connect()
        self.browsers.append(browser)
        self._by_descriptor[browser.socket.fileno()] = browser
        self._epoll.register(browser.socket.fileno(), select.EPOLLIN)

    def send(self, part: int) -> int:
        legs = self.browsers[part::SLICES]
        for browser in legs:
            self.clock.stamp()
            assert browser.srtp is not None
            browser.socket.send(PREFIX[browser.srtp.protect(SIZE)])
        return len(legs)

    def check(self, part: int) -> None:
        """Consent, each second for a fifth of them."""
        for browser in self.browsers[part::5]:
            browser.check()

    def receive(self) -> None:
        clock = self.clock
        for descriptor, _ in self._epoll.poll(0, 1000):
            browser = self._by_descriptor[descriptor]
            self._counted += 1
            if self._counted % SAMPLED:
                size, at = browser.socket.recv_into(PACKET), 0.0
            else:
                size, at = clock.receive(browser.socket)
            if size > SIZE and not 64 <= PACKET[1] & 0x7F <= 95:
                clock.received += 1
                assert browser.srtp is not None
                if at and browser.srtp.unprotect(size):
                    clock.take(at)


Legs = PlainLegs | BrowserLegs


def measure(clock: Clock, sides: list[Legs], seconds: float, worker: int) -> tuple[int, float, float]:
    """Send for so long, on time. Returns packets sent, that share of the load, the worker's share of CPU."""
    sent, turns = 0, 0
    due = began = time.perf_counter()
    cpu = cpu_seconds(worker)
    while due < began + seconds:
        turns += 1
        clock.sequence += 1
        for part in range(SLICES):
            for side in sides:
                sent += side.send(part)
            due += 0.02 / SLICES
            while True:
                for side in sides:
                    side.receive()
                wait = due - time.perf_counter()
                if wait <= 0:
                    break
                if wait > 0.0003:
                    time.sleep(0.0002)
            due = max(due, time.perf_counter() - BEHIND_MAX)
        if clock.sequence % 50 == 0:
            for side in sides:
                if isinstance(side, BrowserLegs):
                    side.check(clock.sequence // 50 % 5)
    took = time.perf_counter() - began
    share = (cpu_seconds(worker) - cpu) / took
    patience = time.perf_counter() + 0.1
    while time.perf_counter() < patience:
        for side in sides:
            side.receive()
    return sent, turns / 50 / took, share


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def go_first() -> None:
    """As root, go before the machine's other work: measured shall be the worker, not the neighbours."""
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("-15")  # the scheduler weighs whole sessions first


class Bench:
    def __init__(self, engine: EmbeddedEngine, clock: Clock, seconds: float) -> None:
        self._engine = engine
        self._clock = clock
        self._seconds = seconds
        self._sides: list[Legs] = []
        self._names: list[str] = []

    async def steps(self, kind: str, loads: list[int]) -> Result | None:
        """The last step that passed."""
        self._sides = [
            BrowserLegs(self._clock) if kind == "webrtc" else PlainLegs(self._clock),
            PlainLegs(self._clock),
        ]
        best = None
        for calls in loads:
            await self._grow(kind, calls)
            for _ in range(ATTEMPTS):
                result = await self._step(calls)
                print(f"{kind}: {result}", flush=True)
                if result.passed:
                    break
            else:
                break
            best = result
        for name in self._names:
            await self._engine.delete(name)
        self._names.clear()
        return best

    async def _grow(self, kind: str, calls: int) -> None:
        engine, (first, second) = self._engine, self._sides
        for number in range(len(self._names) // 2, calls):
            a, b = f"{kind} {number} a", f"{kind} {number} b"
            answer: Callable[..., object] = engine.webrtc_answer if kind == "webrtc" else engine.rtp_answer
            sdp = await answer(a, first.offer())  # type: ignore[misc]
            await asyncio.sleep(0)  # the command to the worker goes out
            await asyncio.to_thread(first.add, sdp)
            second.add(await engine.rtp_answer(b, second.offer()))
            await engine.bridge(a, b)
            self._names += [a, b]

    async def _step(self, calls: int) -> Result:
        """Measure in short windows, and leave out those in which the generator was not given its core."""
        worker = self._engine.pids()[0]
        await asyncio.sleep(0.2)
        measure(self._clock, self._sides, 1.0, worker)  # everybody is found, buffers are warm
        wanted = round(self._seconds / WINDOW_SECONDS)
        result = Result(calls)
        for _ in range(wanted * TRIES):
            self._clock.delays.clear()
            self._clock.received = 0
            sent, load, share = measure(self._clock, self._sides, WINDOW_SECONDS, worker)
            result.sent += sent
            result.received += self._clock.received
            if load < LOAD_LEAST:
                result.left_out += 1
            else:
                result.delays += self._clock.delays
                result.shares.append(share)
            if len(result.shares) == wanted:
                break
        return result


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each step")
    parser.add_argument("--low-port", type=int, default=40000)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        engine = EmbeddedEngine(
            ADDRESS, ADDRESS, options.low_port, options.low_port + 7999, 1, 60_000, Path(folder)
        )
        await engine.start()
        if len(cores) > 1:
            os.sched_setaffinity(engine.pids()[0], {cores[0]})
            os.sched_setaffinity(0, {cores[1]})
        go_first()
        bench = Bench(engine, Clock(), options.seconds)
        rtp = await bench.steps("rtp", [150, 300, 450, 550, 650, 750, 850, 950])
        webrtc = await bench.steps("webrtc", [100, 250, 350, 450, 550, 650, 750])
        await engine.stop()
    if rtp is None or webrtc is None:
        sys.exit("no step passed")
    print(
        json.dumps(
            {
                "webrtc_calls_per_core": webrtc.calls,
                "rtp_calls_per_core": rtp.calls,
                "loss": rtp.lost + webrtc.lost,
                "p99_ms": round(max(rtp.p99_ms, webrtc.p99_ms), 3),
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
