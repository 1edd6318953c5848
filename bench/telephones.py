"""Telephones for the benchmarks: many on one UDP socket, each answering at once, and customers who call.

They speak as much SIP as a quiet network needs. What customers say names the call and counts: each RTP
payload holds the call's number and the packet's, so that whoever hears it knows whom, and what was lost.
"""

import asyncio
import itertools
import re
import secrets
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cti.sip.digest import respond

Address = tuple[str, int]
PTIME = 0.02
TICK = 0.001
SLOTS = round(PTIME / TICK)
RTP = struct.Struct(">BBHII")
SAID = struct.Struct(">II")
FILLER = bytes([0xD5]) * (160 - SAID.size)  # silence in A-law
MEDIA_PORT = re.compile(rb"^m=audio (\d+) ", re.MULTILINE)
TAG = re.compile(r";\s*tag=([^;>\s]+)")


def udp(port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
    made.bind(("127.0.0.1", port))
    return made


def drained(sock: socket.socket, take: Callable[[bytes, Address], None]) -> None:
    """Gives `take` every packet as it comes."""

    def ready() -> None:
        for _ in range(256):
            try:
                data, peer = sock.recvfrom(4096)
            except BlockingIOError:
                return
            take(data, peer)

    asyncio.get_running_loop().add_reader(sock, ready)


@dataclass
class Message:
    first: str
    headers: dict[str, list[str]]
    body: bytes

    @classmethod
    def read(cls, data: bytes) -> "Message":
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        return cls(first, headers, body)

    def one(self, name: str) -> str:
        return self.headers[name][0]

    @property
    def method(self) -> str:
        return self.one("cseq").split()[1]

    @property
    def media_port(self) -> int:
        found = MEDIA_PORT.search(self.body)
        return int(found[1]) if found else 0


def answer(request: Message, status: str, more: str = "", body: str = "") -> bytes:
    tagged = request.one("to")
    if not TAG.search(tagged) and not status.startswith("100"):
        tagged += f";tag={secrets.token_hex(4)}"
    lines = [f"SIP/2.0 {status}"]
    lines += [f"Via: {via}" for via in request.headers["via"]]
    lines += [f"Record-Route: {route}" for route in request.headers.get("record-route", [])]
    lines += [
        f"From: {request.one('from')}",
        f"To: {tagged}",
        f"Call-ID: {request.one('call-id')}",
        f"CSeq: {request.one('cseq')}",
    ]
    return ("\r\n".join(lines) + f"\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}").encode()


def description(port: int) -> str:
    return (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n"
    )


class Voice:
    """Everybody who speaks, each every 20 ms, spread over the milliseconds."""

    def __init__(self) -> None:
        self._slots: list[dict[int, list]] = [{} for _ in range(SLOTS)]  # number -> [socket, target, packets]
        self._where: dict[int, int] = {}
        self._numbers = itertools.count(1)
        self.sent = 0
        self.late: list[float] = []  # how late this process itself woke, milliseconds

    def speak(self, sock: socket.socket, port: int, call: int) -> int:
        """Starts with a packet now; a handle for `hush`."""
        number, slot = next(self._numbers), int(time.monotonic() / TICK) % SLOTS
        one = [sock, ("127.0.0.1", port), 0, call, number]
        self._slots[slot][number] = one
        self._where[number] = slot
        self._say(one)
        return number

    def hush(self, number: int) -> None:
        slot = self._where.pop(number, None)
        if slot is not None:
            del self._slots[slot][number]

    async def run(self) -> None:
        done = int(time.monotonic() / TICK)
        while True:
            await asyncio.sleep(TICK)
            now = int(time.monotonic() / TICK)
            self.late.append((now - done - 1) * TICK * 1000)
            for tick in range(done + 1, now + 1):
                for one in self._slots[tick % SLOTS].values():
                    self._say(one)
            done = now

    def _say(self, one: list) -> None:
        sock, target, packets, call, number = one
        one[2] = packets + 1
        header = RTP.pack(0x80, 8, packets & 0xFFFF, packets * 160 & 0xFFFFFFFF, number)
        try:
            sock.sendto(header + SAID.pack(call, packets) + FILLER, target)
            self.sent += 1
        except BlockingIOError:
            pass


class Phones:
    """Agents' telephones: they register, answer every call at once, speak, and tell what they hear.

    `heard(call, packet)` is called for each packet of a customer.
    """

    def __init__(self, server: Address, voice: Voice, heard: Callable[[int, int], None]) -> None:
        self._server, self._voice, self._heard = server, voice, heard
        self._sip, self._rtp = udp(), udp()
        self._here = f"127.0.0.1:{self._sip.getsockname()[1]}"
        self._registering: dict[str, tuple[str, str, asyncio.Future[None]]] = {}
        self._calls: dict[str, tuple[bytes, int]] = {}  # by Call-ID: our 200, and who speaks
        drained(self._sip, self._signal)
        drained(self._rtp, self._listen)

    async def register(self, extension: str, password: str) -> None:
        call_id = secrets.token_hex(8)
        done = asyncio.get_running_loop().create_future()
        self._registering[call_id] = (extension, password, done)
        self._register(call_id, extension, 1, "")
        async with asyncio.timeout(10):
            await done

    def _register(self, call_id: str, extension: str, number: int, authorization: str) -> None:
        uri = f"sip:{self._server[0]}:{self._server[1]}"
        text = (
            f"REGISTER {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self._here};rport;branch=z9hG4bK{secrets.token_hex(8)}\r\n"
            "Max-Forwards: 70\r\n"
            f"From: <sip:{extension}@127.0.0.1>;tag={secrets.token_hex(4)}\r\n"
            f"To: <sip:{extension}@127.0.0.1>\r\nCall-ID: {call_id}\r\nCSeq: {number} REGISTER\r\n"
            f"Contact: <sip:{extension}@{self._here}>\r\nExpires: 3600\r\n"
            + (f"Authorization: {authorization}\r\n" if authorization else "")
            + "Content-Length: 0\r\n\r\n"
        )
        self._sip.sendto(text.encode(), self._server)

    def _signal(self, data: bytes, peer: Address) -> None:
        if len(data) < 8:
            return
        message = Message.read(data)
        call_id = message.one("call-id")
        if message.first.startswith("SIP/2.0"):
            self._registered(message, call_id)
        elif message.method == "INVITE":
            if call_id not in self._calls:
                body = description(self._rtp.getsockname()[1])
                more = f"Contact: <sip:phone@{self._here}>\r\nContent-Type: application/sdp\r\n"
                speaking = self._voice.speak(self._rtp, message.media_port, 0)
                self._calls[call_id] = answer(message, "200 OK", more, body), speaking
            self._sip.sendto(self._calls[call_id][0], peer)
        elif message.method != "ACK":
            self._sip.sendto(answer(message, "200 OK"), peer)
            if message.method == "BYE" and call_id in self._calls:
                self._voice.hush(self._calls.pop(call_id)[1])

    def _registered(self, message: Message, call_id: str) -> None:
        extension, password, done = self._registering.get(call_id, ("", "", None))
        if done is None or done.done():
            return
        status = message.first.split()[1]
        if status == "401" and message.one("cseq").startswith("1 "):
            uri = f"sip:{self._server[0]}:{self._server[1]}"
            challenge = message.one("www-authenticate")
            given = respond(challenge, "REGISTER", uri, extension, password, secrets.token_hex(8), 1)
            self._register(call_id, extension, 2, given)
        elif status == "200":
            done.set_result(None)
        elif not status.startswith("1"):
            done.set_exception(RuntimeError(f"{extension} could not register: {message.first}"))

    def _listen(self, data: bytes, _peer: Address) -> None:
        if len(data) == RTP.size + SAID.size + len(FILLER):
            call, packet = SAID.unpack_from(data, RTP.size)
            if call and data.endswith(FILLER):
                self._heard(call, packet)


@dataclass
class Customer:
    number: int
    call_id: str = field(default_factory=lambda: secrets.token_hex(8))
    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    invited: float = 0.0
    answered: float = 0.0
    ended: float = 0.0
    refused: str = ""
    to: str = ""
    speaking: int = 0


class Customers:
    """They call a number from a trunk, speak as soon as they are answered, and hang up after a while."""

    def __init__(self, server: Address, voice: Voice, dialed: str, speak_seconds: float) -> None:
        self._server, self._voice, self._dialed = server, voice, dialed
        self._speak_seconds = speak_seconds
        self._sip, self._rtp = udp(), udp()
        self._here = f"127.0.0.1:{self._sip.getsockname()[1]}"
        self.calls: dict[str, Customer] = {}
        self.music = 0  # packets heard
        drained(self._sip, self._signal)
        drained(self._rtp, self._listen)

    def call(self, number: int) -> Customer:
        customer = Customer(number)
        self.calls[customer.call_id] = customer
        body = description(self._rtp.getsockname()[1])
        more = f"Contact: <sip:customer@{self._here}>\r\nContent-Type: application/sdp\r\n"
        customer.invited = time.monotonic()
        self._send("INVITE", 1, customer, more, body)
        return customer

    def _send(self, method: str, number: int, customer: Customer, more: str = "", body: str = "") -> None:
        to = customer.to or f"<sip:{self._dialed}@{self._server[0]}>"
        text = (
            f"{method} sip:{self._dialed}@{self._server[0]}:{self._server[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self._here};rport;branch=z9hG4bK{secrets.token_hex(8)}\r\n"
            "Max-Forwards: 70\r\n"
            f"From: <sip:1199{customer.number:07d}@127.0.0.1>;tag={customer.tag}\r\n"
            f"To: {to}\r\nCall-ID: {customer.call_id}\r\nCSeq: {number} {method}\r\n"
            f"{more}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._sip.sendto(text.encode(), self._server)

    def _signal(self, data: bytes, peer: Address) -> None:
        if len(data) < 8:
            return
        message = Message.read(data)
        customer = self.calls.get(message.one("call-id"))
        if not message.first.startswith("SIP/2.0"):
            if message.method != "ACK":
                self._sip.sendto(answer(message, "200 OK"), peer)
            if message.method == "BYE" and customer:
                self._over(customer)
        elif customer and message.method == "INVITE":
            status = int(message.first.split()[1])
            if status >= 200:
                customer.to = message.one("to")
                self._send("ACK", 1, customer)
            if 200 <= status < 300 and not customer.answered:
                customer.answered = time.monotonic()
                customer.speaking = self._voice.speak(self._rtp, message.media_port, customer.number)
                asyncio.get_running_loop().call_later(self._speak_seconds, self.hang_up, customer)
            elif status >= 300:
                customer.refused = message.first
        elif customer and message.method == "BYE":
            self._over(customer)

    def hang_up(self, customer: Customer) -> None:
        if not customer.ended:
            self._voice.hush(customer.speaking)
            self._send("BYE", 2, customer)

    def _over(self, customer: Customer) -> None:
        self._voice.hush(customer.speaking)
        customer.ended = customer.ended or time.monotonic()

    def _listen(self, data: bytes, _peer: Address) -> None:
        self.music += 1
