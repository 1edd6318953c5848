"""A client of port 44900: the desk of one user, kept up to date over lost connections.

    async with ToolbarClient("127.0.0.1", 44900) as client:
        await client.connect("agent1", "secret")
        await client.request("SetAgentState", state="ready")
        async for event in client.events():
            if event["event"] == "Delivered":
                await client.request("AnswerCall")

docs/cti-protocol.md describes what goes over the wire.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Self

from .frames import LENGTH, BadFrame, Message, encode, unpacked

PORT = 44900
PING_SECONDS = 20.0
SILENCE_SECONDS = 50.0  # two pings unanswered: the connection is dead whatever TCP thinks
RETRY_SECONDS_MIN = 0.1
RETRY_SECONDS_MAX = 5.0
FRAME_BYTES_MAX = 16 * 1024 * 1024
EVENTS_KEPT = 10_000
RESYNCHRONISED = "Resynchronised"
PARTS = ("agent", "station", "call", "customer", "form", "queues", "work", "dialing", "dialing_choices")
"""The parts of the snapshot which an event may bring anew."""


class RequestRefused(Exception):
    """The server says no: `code` is for programs, the text for the person, `details` depends on the code."""

    def __init__(self, code: str, message: str, details: Message) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


class ConnectionLost(ConnectionError):
    """The connection went before the answer came: the request may have been carried out or not."""


class ToolbarClient:
    """One user's desk.

    `snapshot` is the desk as last known; events keep it current. `connected` tells whether there is a
    connection at this moment. `resynchronised` tells whether the newest connection had to begin from a
    snapshot because the server no longer had every event missed; events() then yields
    {"event": "Resynchronised", "snapshot": ...} in their place.
    """

    def __init__(
        self,
        host: str,
        port: int = PORT,
        *,
        tls: ssl.SSLContext | None = None,
        ping_seconds: float = PING_SECONDS,
        events_kept: int = EVENTS_KEPT,
    ) -> None:
        self.host = host
        self.port = port
        self.snapshot: Message = {}
        self.stream: str | None = None
        self.last_event: int | None = None
        self.connected = False
        self.resynchronised = False
        self._tls = tls
        self._ping_seconds = ping_seconds
        self._events_kept = events_kept
        self._user = ""
        self._password = ""
        self._next_id = 1
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._events: deque[Message] = deque()
        self._changed = asyncio.Condition()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._running: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self, user: str, password: str) -> Message:
        """Logs in and gives the snapshot. From here on the client reconnects by itself until close().

        Raises OSError when nobody listens there, RequestRefused when the login is wrong.
        """
        assert self._running is None, "this client is connected already"
        self._user, self._password = user, password
        await self._open()
        self._running = asyncio.create_task(self._run())
        return self.snapshot

    async def request(self, verb: str, **arguments: Any) -> Message:
        """Carries out a verb and gives its result; waits for a connection when there is none at the moment.

        Raises RequestRefused, and ConnectionLost when the connection went before the answer came.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self.connected or self._over)
        if self._over:
            raise ConnectionLost("the client is closed") from self._failure
        return await self._ask(verb, arguments)

    async def events(self) -> AsyncIterator[Message]:
        """The events in their order, over reconnections, until close(). Those since connect() come first.

        Raises RequestRefused when a reconnection is refused, for example because the password was changed.
        """
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._events) or self._over)
            if self._events:
                yield self._events.popleft()
            elif self._failure is not None:
                raise self._failure
            else:
                return

    async def close(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await self._lose()

    @property
    def _over(self) -> bool:
        return self._running is None or self._running.done()

    # the connection

    async def _run(self) -> None:
        """Reads until the connection is lost, then makes another, until cancelled or refused."""
        try:
            while True:
                try:
                    async with asyncio.TaskGroup() as group:
                        pinging = group.create_task(self._ping())
                        await self._read()
                        pinging.cancel()
                except* (OSError, EOFError, TimeoutError, BadFrame):
                    pass
                await self._lose()
                await self._reopen()
        except RequestRefused as refused:
            self._failure = refused
        finally:
            await self._tell()

    async def _reopen(self) -> None:
        seconds = RETRY_SECONDS_MIN
        while True:
            await asyncio.sleep(seconds * random.uniform(0.5, 1.0))
            try:
                await self._open()
            except (OSError, EOFError, TimeoutError, BadFrame):
                await self._lose()
                seconds = min(seconds * 2, RETRY_SECONDS_MAX)
            except RequestRefused as refused:
                if refused.code not in ("full", "busy", "locked", "database", "internal"):
                    raise
                await self._lose()
                seconds = RETRY_SECONDS_MAX
            else:
                return

    async def _open(self) -> None:
        """Connects and logs in, naming the last event seen."""
        self._reader, self._writer = await asyncio.open_connection(self.host, self.port, ssl=self._tls)
        login: Message = {"id": 0, "verb": "Login", "user": self._user, "password": self._password}
        if self.stream is not None:
            login |= {"stream": self.stream, "last_event": self.last_event}
        self._writer.write(encode(login))
        async with asyncio.timeout(SILENCE_SECONDS):
            answer = result(await self._frame())
        self.resynchronised = self.stream is not None and not answer["replayed"]
        self.snapshot = answer["snapshot"]
        if self.stream is None or self.resynchronised:
            self.last_event = answer["seq"]
        self.stream = answer["stream"]
        if self.resynchronised:
            self._keep({"event": RESYNCHRONISED, "snapshot": self.snapshot})
        self.connected = True
        await self._tell()

    async def _lose(self) -> None:
        self.connected = False
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionLost("the connection was lost before the answer came"))
        self._answers.clear()
        await self._tell()

    async def _read(self) -> None:
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await self._frame()
            if "event" in message:
                self._apply(message)
                await self._tell()
            else:
                answer = self._answers.pop(message.get("id") or 0, None)
                if answer is not None and not answer.done():
                    answer.set_result(message)

    async def _frame(self) -> Message:
        assert self._reader is not None
        (size,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
        if size > FRAME_BYTES_MAX:
            raise BadFrame(f"a frame of {size} bytes")
        return unpacked(await self._reader.readexactly(size))

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._ping_seconds)
            await self._ask("Ping", {})

    async def _ask(self, verb: str, arguments: Message) -> Message:
        assert self._writer is not None
        number, self._next_id = self._next_id, self._next_id + 1
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(encode({"id": number, "verb": verb} | arguments))
            return result(await answer)
        finally:
            self._answers.pop(number, None)

    # events

    def _apply(self, event: Message) -> None:
        """A replayed event is news to the reader; the snapshot that came with the login has it already."""
        number = event.get("seq")
        if number is not None:
            self.last_event = number
            if number > self.snapshot["seq"]:
                self.snapshot = applied(self.snapshot, event)
        self._keep(event)

    def _keep(self, event: Message) -> None:
        """A reader who is `events_kept` behind starts anew from the snapshot, as after a long absence."""
        if len(self._events) >= self._events_kept:
            self._events.clear()
            self.resynchronised = True
            event = {"event": RESYNCHRONISED, "snapshot": self.snapshot}
        self._events.append(event)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def result(answer: Message) -> Message:
    """What the server answered. Raises RequestRefused."""
    match answer:
        case {"ok": True}:
            return answer
        case {"error": {"code": str(code), "message": str(message)} as error}:
            raise RequestRefused(code, message, error.get("details") or {})
        case _:
            raise BadFrame("an answer without ok and without error")


def applied(snapshot: Message, event: Message) -> Message:
    """The snapshot after an event of the stream; docs/cti-protocol.md gives the rules."""
    after = snapshot | {"seq": event["seq"]} | {part: event[part] for part in PARTS if part in event}
    call, form = snapshot.get("call"), snapshot.get("form")
    match event:
        case {"event": "AgentReady" | "AgentNotReady" | "AgentLoggedOff"} if call is not None:
            after |= {"call": None, "customer": None}
            if form is not None and form["call"] == call["id"]:
                after["form"] = None
        case {"event": "DirectoryChanged", "directory": changes}:
            directory = {entry["extension"]: entry for entry in [*snapshot["directory"], *changes]}
            after["directory"] = list(directory.values())
        case {"event": "FormSaved", "call": str(saved)}:
            after["call"] = call
            if form is not None and form["call"] == saved:
                at_the_desk = call is not None and call["id"] == saved
                after["form"] = form | {"status": "saved"} if at_the_desk else None
        case {"event": "FormDropped", "call": str(dropped)}:
            after["call"] = call
            if form is not None and form["call"] == dropped:
                after["form"] = None
    return after
