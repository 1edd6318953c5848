"""The network side of SIP: UDP, TCP, TLS and WebSocket sockets around one stack, on one event loop.

The only file of this folder that waits. Whatever comes in goes to the stack; `pump` carries out what the
stack then wants sent, hands over its events and sets the one timer.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol, cast

from aiohttp import WSMsgType

from cti.sip.events import Event
from cti.sip.flow import Flow
from cti.sip.message import PING, PONG, BadMessage, StreamFramer
from cti.sip.patience import Doorkeeper, Hearing, Patience
from cti.sip.stack import Stack

DATAGRAMS_PER_WAKEUP = 64
RECEIVE_BUFFER_BYTES = 4 << 20
WRITE_BUFFER_BYTES_MAX = 1 << 20  # of a connection whose peer does not read
WAITING_MAX = 256  # messages, for a connection that is being opened or a browser that does not read
CONNECT_SECONDS = 4  # a firewall that swallows our SYN, its two repetitions included
HANDSHAKE_SECONDS = 10  # of TLS
LOOKS = 4  # at each connection within the shortest time it may be silent

log = logging.getLogger("sip")


class Socket(Protocol):
    """What an aiohttp WebSocket gives us (RFC 7118 is spoken on it)."""

    async def receive(self) -> Any: ...
    async def send_bytes(self, data: bytes) -> None: ...
    async def send_str(self, data: str) -> None: ...
    async def close(self) -> Any: ...


class SipTransport:
    """`start`, then let the stack's commands be; `on_event` gets every event, in order, on the loop."""

    def __init__(
        self,
        stack: Stack,
        bind: str,
        port: int,
        *,
        on_event: Callable[[Event], None] = lambda event: None,
        tls: ssl.SSLContext | None = None,
        tls_port: int = 5061,
        tls_client: ssl.SSLContext | None = None,
        patience: Patience | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.stack = stack
        self.on_event = on_event
        self.undelivered = 0  # packets that could not be sent: the peer's retransmissions must mend it
        self._bind = bind
        self.family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        self._port = port
        self._tls = tls
        self._tls_port = tls_port
        self._tls_client = tls_client
        self._loop = loop or asyncio.get_running_loop()
        self._udp: socket.socket | None = None
        self._servers: list[asyncio.Server] = []
        self._numbers = count(1)
        self.patience = patience or Patience()
        self._doorkeeper = Doorkeeper(self.patience)
        self._peers: dict[int, _Connection | _Browser] = {}
        self._opening: dict[Flow, list[bytes]] = {}
        self._opened: dict[Flow, _Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Handle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._pumping = False
        self._woken = False
        self._closed = False

    def now(self) -> float:
        """The clock that all commands to sessions are told."""
        return self._loop.time()

    async def start(self) -> None:
        """Listen. Raises OSError when a port is taken."""
        self._udp = udp = socket.socket(self.family, socket.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            if self.family is socket.AF_INET6:  # as asyncio does with the listening sockets
                udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            udp.bind((self._bind, self._port))
            await self._listen(self._port, None)
            if self._tls is not None:
                await self._listen(self._tls_port, self._tls)
        except OSError:
            await self.close()
            raise
        self._loop.add_reader(udp.fileno(), self._drain)
        self.stack.on_output(self._wake)
        self._look_around()
        self.pump()

    async def _listen(self, port: int, tls: ssl.SSLContext | None) -> None:
        transport = "TCP" if tls is None else "TLS"
        self._servers.append(
            await self._loop.create_server(
                lambda: _Connection(self, transport, None),
                self._bind,
                port,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
                reuse_address=True,
            )
        )

    async def close(self) -> None:
        """Stop listening, close every connection, forget the timer. The stack is left as it is."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
        if self._udp is not None:
            self._loop.remove_reader(self._udp.fileno())
            self._udp.close()
            self._udp = None
        for server in self._servers:
            server.close()
        for peer in list(self._peers.values()):
            peer.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()

    async def serve_websocket(
        self, browser: Socket, peer: tuple[str, int], secure: bool, abort: Callable[[], None]
    ) -> None:
        """Speak SIP on an open WebSocket until it closes. Each frame is answered in its own kind.

        `abort` cuts the connection below it, for a peer that does not even read.
        """
        if not self._admits(peer[0]):
            await browser.close()
            return
        flow = Flow("WSS" if secure else "WS", peer[0], peer[1], next(self._numbers))
        self._peers[flow.connection] = talk = _Browser(
            browser, flow, Hearing(self.patience, self.now()), abort
        )
        writer = asyncio.create_task(talk.write())
        try:
            while True:
                frame = await browser.receive()
                if frame.type is WSMsgType.TEXT:
                    talk.is_text = True
                    data = frame.data.encode("utf-8", "surrogateescape")
                elif frame.type is WSMsgType.BINARY:
                    talk.is_text = False
                    data = frame.data
                else:
                    break
                talk.hearing.heard(True, False, self.now())
                if data.strip(b"\r\n"):
                    self.receive(data, flow)
                    self.pump()
                elif data == PING:
                    talk.send(PONG)
        finally:
            writer.cancel()
            self._leave(flow)
            self.lost(flow)

    # Those who hold a connection without using it

    def _admits(self, host: str) -> bool:
        """Whether one more connection from there may be; a refusal is told once for each look around."""
        if self._closed:
            return False
        refusal = self._doorkeeper.admit(host, len(self._peers))
        if refusal and self._doorkeeper.is_news(host):
            log.warning("connections from %s are refused: %s", host, refusal)
        return not refusal

    def _leave(self, flow: Flow) -> None:
        del self._peers[flow.connection]
        self._doorkeeper.leave(flow.host)

    def _look_around(self) -> None:
        """Close the connections whose peers have used up our patience; look again in a while."""
        now = self.now()
        used: frozenset[Flow] | None = None
        for peer in list(self._peers.values()):
            if used is None and peer.hearing.idle(now):
                used = self.stack.flows_in_use()
            flow = peer.flow
            in_use = used is not None and (flow in used or peer.opened_as in used)
            if why := peer.hearing.overdue(in_use, now):
                log.info("%s from %s:%s is closed: %s", flow.transport, flow.host, flow.port, why)
                peer.drop()
        self._doorkeeper.rest()
        shortest = min(self.patience.first_seconds, self.patience.unfinished_seconds)
        self._looking = self._loop.call_later(shortest / LOOKS, self._look_around)

    # The one motor

    def pump(self) -> None:
        """Carry out what the stack wants; also what handlers of its events ask for meanwhile."""
        if self._pumping:
            return
        self._pumping = True
        self._woken = False
        stack = self.stack
        try:
            while True:
                packets = stack.to_send()
                for flow, data in packets:
                    self._send(flow, data)
                events = stack.events()
                for event in events:
                    self._tell(event)
                if not packets and not events:
                    break
        finally:
            self._pumping = False
        self._set_timer()

    def _tell(self, event: Event) -> None:
        try:
            self.on_event(event)
        except Exception:
            log.exception("an event was not handled: %s", type(event).__name__)

    def _wake(self) -> None:
        """A command made output outside of `pump`: it is carried out in this turn of the loop's."""
        if not self._pumping and not self._woken and not self._closed:
            self._woken = True
            self._loop.call_soon(self._awake)

    def _awake(self) -> None:
        if self._woken and not self._closed:
            self.pump()

    def _set_timer(self) -> None:
        """Ringing too early does no harm, so a timer that was put off is not set anew."""
        when = self.stack.next_timer()
        if when is None or self._closed:
            return
        if self._timer is None or when < self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(when, self._tick)
            self._due = when  # uvloop's handle of a timer already due does not tell when

    def _tick(self) -> None:
        self._timer = None
        try:
            self.stack.tick(self._loop.time())
        except Exception:
            log.exception("a timer failed")
        self.pump()

    # In

    def _drain(self) -> None:
        """Take what has arrived, but not for ever: other sockets wait too."""
        udp = self._udp
        assert udp is not None
        for _ in range(DATAGRAMS_PER_WAKEUP):
            try:
                data, address = udp.recvfrom(65535)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue  # an ICMP error for something we sent
            self.receive(data, Flow("UDP", address[0], address[1]))
        self.pump()

    def receive(self, data: bytes, flow: Flow) -> None:
        """Hand over one message; whoever calls this pumps once when there are no more."""
        self._woken = True
        try:
            self.stack.receive(data, flow, self._loop.time())
        except Exception:
            log.exception("a packet from %s was not understood: %r", flow.host, data[:200])

    def lost(self, flow: Flow) -> None:
        if not self._closed:
            self.stack.lost(flow, self._loop.time())
            self.pump()

    # Out

    def _send(self, flow: Flow, data: bytes) -> None:
        if flow.transport == "UDP":
            if self._udp is not None:
                try:
                    self._udp.sendto(data, (flow.host, flow.port))
                except OSError:  # also a full socket buffer
                    self.undelivered += 1
        elif flow.connection:
            peer = self._peers.get(flow.connection)
            if peer is not None:
                peer.send(data)
            else:
                self.undelivered += 1
        elif flow in self._opened:
            self._opened[flow].send(data)
        elif flow in self._opening:
            if len(self._opening[flow]) < WAITING_MAX:
                self._opening[flow].append(data)
        else:
            self._opening[flow] = [data]
            task = self._loop.create_task(self._open(flow))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self, flow: Flow) -> None:
        """Connect to the peer, then send what has gathered meanwhile."""
        try:
            if flow.is_websocket:
                raise OSError("a browser cannot be called upon")
            tls = None if flow.transport == "TCP" else self._tls_client or ssl.create_default_context()
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await self._loop.create_connection(
                    lambda: _Connection(self, flow.transport, flow), flow.host, flow.port, ssl=tls
                )
        except (OSError, TimeoutError) as error:
            log.info("no connection to %s:%s: %s", flow.host, flow.port, error)
            self._opening.pop(flow, None)
            self.lost(flow)
            return
        for data in self._opening.pop(flow, []):
            connection.send(data)

    def connected(self, connection: "_Connection") -> Flow | None:
        """Give a new connection its flow; None when there are too many."""
        host, port = connection.address()
        if not self._admits(host):
            return None
        flow = Flow(connection.kind, host, port, next(self._numbers))
        self._peers[flow.connection] = connection
        if connection.opened_as is not None:
            self._opened[connection.opened_as] = connection
        return flow

    def disconnected(self, connection: "_Connection", flow: Flow) -> None:
        self._leave(flow)
        opened_as = connection.opened_as
        if opened_as is not None and self._opened.get(opened_as) is connection:
            del self._opened[opened_as]
            self.lost(opened_as)
        self.lost(flow)


class _Connection(asyncio.Protocol):
    """One TCP or TLS connection. `opened_as` is the flow it was opened for, None if the peer came to us."""

    flow: Flow
    hearing: Hearing

    def __init__(self, owner: SipTransport, kind: str, opened_as: Flow | None) -> None:
        self._owner = owner
        self.kind = kind
        self.opened_as = opened_as
        self._framer = StreamFramer()
        self._admitted = False
        self._transport: asyncio.Transport | None = None

    def address(self) -> tuple[str, int]:
        assert self._transport is not None
        address = self._transport.get_extra_info("peername") or ("", 0)
        return address[0], address[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not derive from it
        flow = self._owner.connected(self)
        if flow is None:
            self._transport.abort()
        else:
            self._admitted = True
            self.flow = flow
            self.hearing = Hearing(self._owner.patience, self._owner.now())

    def data_received(self, data: bytes) -> None:
        if not self._admitted:
            return
        owner, flow, framer = self._owner, self.flow, self._framer
        try:
            messages = framer.feed(data)
            self.hearing.heard(bool(messages), framer.unfinished, owner.now())
            for message in messages:
                if message == PING:
                    self.send(PONG)
                else:
                    owner.receive(message, flow)
            if framer.broken:
                framer.feed(b"")
        except BadMessage as bad:
            owner.stack.malformed(bad, flow, owner.now())
            owner.pump()
            self.close()
            return
        owner.pump()

    def pause_writing(self) -> None:
        """A peer that does not read our answers is not read either: what it asks would pile up here."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def send(self, data: bytes) -> None:
        transport = self._transport
        assert transport is not None
        if transport.get_write_buffer_size() > WRITE_BUFFER_BYTES_MAX:
            transport.abort()
        else:
            transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """Close without waiting for what the peer has not read."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if self._admitted:
            self._owner.disconnected(self, self.flow)


class _Browser:
    """One WebSocket: frames wait here for the one task that writes."""

    opened_as = None

    def __init__(self, browser: Socket, flow: Flow, hearing: Hearing, abort: Callable[[], None]) -> None:
        self._browser = browser
        self.drop = abort
        self.flow = flow
        self.hearing = hearing
        self._waiting: asyncio.Queue[tuple[bytes, bool] | None] = asyncio.Queue(WAITING_MAX)
        self.is_text = True

    def send(self, data: bytes) -> None:
        try:
            self._waiting.put_nowait((data, self.is_text))
        except asyncio.QueueFull:
            self.drop()

    def close(self) -> None:
        """What still waits is given up."""
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._waiting.put_nowait(None)

    async def write(self) -> None:
        try:
            while (frame := await self._waiting.get()) is not None:
                data, is_text = frame
                if is_text:
                    await self._browser.send_str(data.decode("utf-8", "replace"))
                else:
                    await self._browser.send_bytes(data)
        except (ConnectionError, RuntimeError):
            pass  # the reader notices too
        await self._browser.close()
