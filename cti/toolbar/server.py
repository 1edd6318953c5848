"""Port 44900: each connection is a screen of its user's desk, and a hand on it.

The server decides nothing about calls: it frames, logs in, passes verbs to `perform` in the order they
came and events to the client in the order they happened. What it holds is bounded everywhere; who reads
too slowly is dropped.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from config import Settings
from crm import users
from crm.db import AWAY, Db
from crm.refused import Refused
from crm.users import User, can
from cti import commands

from .frames import BadFrame, Decoder, Encoder, Message, encode

if TYPE_CHECKING:
    from cti.desk import Desk
    from cti.floor import Floor

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 4096
STRANGERS_OF_HOST_MAX = 256  # connections not logged in yet: an office's agents may all come back at once
LOGIN_FRAME_BYTES_MAX = 8192
LOGIN_SECONDS = 10.0
LOGIN_ATTEMPTS_MAX = 3
LOGIN_DELAY_SECONDS = 1.0
IDLE_SECONDS = 60.0
CLOSING_SECONDS = 5.0
WALL_SECONDS = 0.25
WRITE_BUFFER_BYTES = 65_536
OUTBOX_FRAMES_MAX = 4  # in longest frames: the bytes which may wait for a reader, however few the messages
REQUESTS_IN_A_ROW = 32  # then the others have their turn
FAULT = "The server could not do this; the fault has been recorded."

Verify = Callable[[str, str], Awaitable[User | None]]
"""(login, password) -> the user; None when they do not match; raises Refused after too many failures."""
Perform = Callable[["Floor", "Desk", str, Message], Awaitable[Message]]
"""(floor, desk, verb, arguments) -> the result; raises Refused."""


class ToolbarServer:
    """Serves the port from `start()` to `close()`.

    With `tls` the port speaks TLS and nothing else. `verify` and `perform` are those of crm.users and
    cti.commands when not given.
    """

    def __init__(
        self,
        settings: Settings,
        floor: Floor,
        db: Db,
        *,
        verify: Verify | None = None,
        perform: Perform = commands.perform,
        tls: ssl.SSLContext | None = None,
        connections_max: int = CONNECTIONS_MAX,
        strangers_of_host_max: int = STRANGERS_OF_HOST_MAX,
        idle_seconds: float = IDLE_SECONDS,
        login_delay_seconds: float = LOGIN_DELAY_SECONDS,
    ) -> None:
        self.settings = settings
        self.floor = floor
        self.verify = verify or functools.partial(
            users.verify,
            db,
            failures_max=settings.login_failures_max,
            lock_seconds=settings.login_lock_seconds,
        )
        self.perform = perform
        self.idle_seconds = idle_seconds
        self.login_delay_seconds = login_delay_seconds
        self.encoder = Encoder()
        self.wall = Wall(floor)
        self.connections: set[Connection] = set()
        self.dropped_slow = 0
        self._connections_max = connections_max
        self._strangers_of_host_max = strangers_of_host_max
        self._strangers: Counter[str] = Counter()  # by host
        self._tls = tls
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises OSError when the port is taken."""
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: Connection(self),
            self.settings.bind,
            self.settings.cti_port,
            ssl=self._tls,
            ssl_handshake_timeout=LOGIN_SECONDS if self._tls else None,
            backlog=1024,
        )

    @property
    def port(self) -> int:
        assert self._listener is not None
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stops listening and lets every connection go; a verb under way is finished first, for a while."""
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.close()
        self.wall.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSING_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def admit(self, connection: Connection) -> None:
        if len(self.connections) >= self._connections_max:
            why = f"there are {len(self.connections)} connections"
        elif self._strangers[connection.host] >= self._strangers_of_host_max:
            why = f"{self._strangers[connection.host]} from its host have not logged in"
        else:
            why = ""
        if not why:
            self.connections.add(connection)
            self._strangers[connection.host] += 1
            connection.is_stranger = True
            task = asyncio.get_running_loop().create_task(serve(self, connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            log.warning("the toolbar at %s was refused: %s", connection.peer, why)
            connection.send(failure(None, "full", "The server has as many connections as it may have."))
            connection.close()

    def known(self, connection: Connection) -> None:
        """It is no stranger any more: it has logged in, or it is gone."""
        if connection.is_stranger:
            connection.is_stranger = False
            self._strangers[connection.host] -= 1
            if not self._strangers[connection.host]:
                del self._strangers[connection.host]

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.known(connection)
        self.wall.unwatch(connection)


async def serve(server: ToolbarServer, connection: Connection) -> None:
    """One client, from its login to its end."""
    try:
        user = await log_in(server, connection)
        if user is not None:
            await obey(server, connection, user)
    except BadFrame as bad:
        connection.send(failure(None, "bad_frame", str(bad)))
    except TimeoutError:
        log.info("the toolbar at %s was silent too long", connection.peer)
        connection.send(failure(None, "idle", "Nothing was heard from this client for too long."))
    except ConnectionError:
        pass  # the client left
    except Exception:
        log.exception("the toolbar at %s ended by a fault of ours", connection.peer)
    finally:
        connection.detach()
        connection.close()


async def log_in(server: ToolbarServer, connection: Connection) -> User | None:
    """The user, with the connection a screen of the user's desk; None when there is no use in going on."""
    for _ in range(LOGIN_ATTEMPTS_MAX):
        async with asyncio.timeout(LOGIN_SECONDS):
            request = await connection.request()
        match request:
            case {"verb": "Login", "user": str(login), "password": str(password)}:
                try:
                    user = await server.verify(login, password)
                    if user is None:
                        raise Refused("This login and password do not match.", code="wrong_login")
                    connection.attach(user, server.floor.desk(user), request)
                    return user
                except Refused as refused:
                    await asyncio.sleep(server.login_delay_seconds)
                    connection.send(failure(request, refused.code, str(refused), refused.details))
                except AWAY as away:
                    log.warning("%s could not log in, the database is away: %r", login, away)
                    connection.send(failure(request, "database", "The database is away. Try again soon."))
                except Exception:
                    log.exception("%s could not log in by a fault of ours", login)
                    connection.send(failure(request, "internal", FAULT))
            case {"verb": "Login"}:
                connection.send(failure(request, "bad_argument", "Login needs the texts user and password."))
            case _:
                connection.send(failure(request, "not_logged_in", "The first request must be Login."))
    return None


async def obey(server: ToolbarServer, connection: Connection, user: User) -> None:
    """Serves the requests in the order they come, each to its end before the next."""
    for turn in range(1, 2**62):
        async with asyncio.timeout(server.idle_seconds):
            request = await connection.request()
        verb = request.pop("verb", None)
        answer: Message | bytes
        try:
            result = await perform(server, connection, user, verb, request)
        except Refused as refused:
            answer = failure(request, refused.code, str(refused), refused.details)
        except Exception:  # a verb's fault ends the verb, not the connection
            log.exception("%s by %s failed by a fault of ours", verb, user.login)
            answer = failure(request, "internal", FAULT)
        else:
            answer = {"id": request.get("id"), "ok": True} | result
        connection.send(answer)
        if verb == "Logout" and isinstance(answer, dict):
            return
        if turn % REQUESTS_IN_A_ROW == 0:
            await asyncio.sleep(0)


async def perform(
    server: ToolbarServer, connection: Connection, user: User, verb: object, arguments: Message
) -> Message:
    match verb:
        case "Ping":
            return {}
        case "Login":
            raise Refused("This connection is logged in already.", code="wrong_state")
        case "Watch":
            if not can(user, "watch_wall"):
                raise Refused("You may not watch the wallboard.", code="not_allowed")
            if arguments.get("on", True):
                return {"wall": server.wall.watch(connection, user.language)}
            else:
                server.wall.unwatch(connection)
                return {}
        case str():
            rest = {name: value for name, value in arguments.items() if name != "id"}
            assert connection.desk is not None  # it is open and logged in
            return await server.perform(server.floor, connection.desk, verb, rest)
        case _:
            raise Refused("A request needs a verb.", code="bad_argument")


def failure(request: Message | None, code: str, message: str, details: Message | None = None) -> bytes:
    return encode(
        {
            "id": None if request is None else request.get("id"),
            "ok": False,
            "error": {"code": code, "message": message, "details": details or {}},
        }
    )


class Connection(asyncio.Protocol):
    """One client's bytes, both ways, and a screen of its desk.

    What waits for the client is bounded: the transport's buffer stops at WRITE_BUFFER_BYTES, after it come
    at most `toolbar_outbox_max` messages and four longest frames' worth of bytes, then the client is
    dropped. What waits for us is bounded too: reading stops while one longest frame is unread.
    """

    def __init__(self, server: ToolbarServer) -> None:
        self.user: User | None = None
        self.desk: Desk | None = None
        self.host = self.peer = "?"
        self.is_stranger = False  # counted among those who have not logged in
        self._server = server
        self._decoder = Decoder(min(LOGIN_FRAME_BYTES_MAX, server.settings.frame_bytes_max))
        self._arrived = asyncio.Event()
        self._transport: Any = None
        self._open = False
        self._reading = True
        self._writable = True
        self._held: list[bytes] | None = None  # events which must not overtake the answer to Login
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._outbox_bytes_max = OUTBOX_FRAMES_MAX * server.settings.frame_bytes_max

    # what asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._open = True
        peer = transport.get_extra_info("peername")
        if peer:
            self.host, self.peer = peer[0], f"{peer[0]}:{peer[1]}"
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._server.admit(self)

    def data_received(self, data: bytes) -> None:
        self._decoder.receive(data)
        if self._reading and self._decoder.held > self._server.settings.frame_bytes_max:
            self._reading = False
            self._transport.pause_reading()
        self._arrived.set()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        while self._outbox and self._writable:
            data = self._outbox.popleft()
            self._outbox_bytes -= len(data)
            self._transport.write(data)

    def connection_lost(self, _why: Exception | None) -> None:
        self._open = False
        self._outbox.clear()
        self._arrived.set()
        self.detach()
        self._server.forget(self)

    # requests

    async def request(self) -> Message:
        """The next request. Raises BadFrame, and ConnectionError when the client is gone."""
        while True:
            self._arrived.clear()
            if not self._open:
                raise ConnectionError(self.peer)
            message = self._decoder.next()
            if message is not None:
                return message
            if not self._reading:
                self._reading = True
                self._transport.resume_reading()
            await self._arrived.wait()

    # answers and events

    def attach(self, user: User, desk: Desk, login: Message) -> None:
        """Becomes a screen of the desk and answers the Login; the missed events follow the answer."""
        after, stream = login.get("last_event"), login.get("stream")
        held: list[bytes] = []
        self.user, self.desk, self._held = user, desk, held
        try:
            attachment = desk.attach(
                self,
                after=after if isinstance(after, int) else None,
                stream=stream if isinstance(stream, str) else None,
            )
            snapshot = desk.snapshot()
        except BaseException:
            self.detach()
            raise
        finally:
            self._held = None
        answer = {
            "id": login.get("id"),
            "ok": True,
            "stream": snapshot["stream"],
            "seq": snapshot["seq"],
            "replayed": attachment.replayed,
            "snapshot": snapshot,
        }
        self._decoder.bytes_max = self._server.settings.frame_bytes_max
        self._server.known(self)
        self.send(encode(answer) + b"".join(held))

    def event(self, message: Message) -> None:
        """The desk has news. Never waits."""
        data = self._server.encoder.encode(message)
        if self._held is not None:
            self._held.append(data)
        else:
            self.send(data)

    def dismiss(self) -> None:
        """The user may no longer be logged in."""
        self.send(failure(None, "dismissed", "This user may no longer be logged in."))
        self.close()

    def send(self, message: Message | bytes) -> None:
        """Never waits: what the client does not read is kept within bounds, then the client is dropped."""
        if not self._open:
            return
        data = message if isinstance(message, bytes) else encode(message)
        if self._writable:
            self._transport.write(data)
        elif (
            len(self._outbox) < self._server.settings.toolbar_outbox_max
            and self._outbox_bytes < self._outbox_bytes_max
        ):
            self._outbox.append(data)
            self._outbox_bytes += len(data)
        else:
            self._drop_slow_reader()

    def detach(self) -> None:
        desk, self.desk = self.desk, None
        if desk is not None:
            desk.detach(self)

    def close(self) -> None:
        """What was sent still goes out, to a client who reads it soon."""
        if self._open:
            self._open = False
            self._arrived.set()
            while self._outbox:
                self._transport.write(self._outbox.popleft())
            self._transport.close()
            asyncio.get_running_loop().call_later(CLOSING_SECONDS, self._transport.abort)

    def _drop_slow_reader(self) -> None:
        log.warning("the toolbar at %s reads too slowly and was dropped", self.peer)
        self._server.dropped_slow += 1
        self._open = False
        self._outbox.clear()
        self._arrived.set()
        self._transport.abort()


class Wall:
    """The wall for those who watch: the newest picture, four times a second at most, in their language."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._watchers: dict[Connection, str] = {}
        self._unwatch: Callable[[], None] | None = None
        self._due: asyncio.TimerHandle | None = None

    def watch(self, connection: Connection, language: str) -> Message:
        """From now on the connection gets WallChanged; what the wall shows now."""
        self._watchers[connection] = language
        if self._unwatch is None:
            self._unwatch = self._floor.watch(self._changed)
        return self._floor.wall(language)

    def unwatch(self, connection: Connection) -> None:
        self._watchers.pop(connection, None)
        if not self._watchers:
            self.close()

    def close(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _changed(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(WALL_SECONDS, self._show)

    def _show(self) -> None:
        self._due = None
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for language in set(self._watchers.values()):
            wall = self._floor.wall(language)
            data = encode({"event": "WallChanged", "time": time, "wall": wall})
            for connection in [one for one, spoken in self._watchers.items() if spoken == language]:
                connection.send(data)
