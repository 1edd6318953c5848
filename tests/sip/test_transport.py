"""The stack on real sockets: datagrams, byte streams and WebSockets, all on loopback."""

import asyncio
import contextlib
import datetime
import socket
import ssl
from ipaddress import ip_address
from itertools import count

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cti.sip.events import Answered, Ended, IncomingCall, Refused, Ringing
from cti.sip.flow import Flow
from cti.sip.message import Response, StreamFramer, parse
from cti.sip.patience import Patience
from cti.sip.stack import Stack
from cti.sip.transport import SipTransport
from tests.sip.line import ANSWER, SDP, tokens
from tests.waiting import until

names = count(1)


def free_port():
    """Free for UDP and TCP alike at this moment."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                return tcp.getsockname()[1]


class Phone:
    """A whole user agent that notes its events; `answers` makes it take every call."""

    def __init__(self, answers=False, host="127.0.0.1", **options):
        self.port = free_port()
        self.host = host
        self.told = []
        self.answers = answers
        self.stack = Stack(host, self.port, tokens(f"t{next(names)}-"))
        self.transport = SipTransport(self.stack, host, self.port, on_event=self.note, **options)

    def note(self, event):
        self.told.append(event)
        if self.answers and isinstance(event, IncomingCall):
            event.session.ring(self.transport.now())
            event.session.accept(ANSWER, self.transport.now())

    def of(self, kind):
        return [event for event in self.told if isinstance(event, kind)]

    def call(self, port, kind="UDP"):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.stack.invite(
            f"sip:bob@{host}:{port}",
            flow=Flow(kind, self.host, port),
            from_=f"<sip:ana@{host}>",
            sdp=SDP,
            now=self.transport.now(),
        )

    async def __aenter__(self):
        await self.transport.start()
        return self

    async def __aexit__(self, *_):
        await self.transport.close()


def request(method, kind, *headers, branch="1", tag="", cseq=1, body=""):
    lines = [
        f"{method} sip:4000@127.0.0.1 SIP/2.0",
        f"Via: SIP/2.0/{kind} a1b2.invalid;branch=z9hG4bK{branch};rport",
        "From: <sip:ana@example.com>;tag=ana",
        f"To: <sip:4000@127.0.0.1>{f';tag={tag}' if tag else ''}",
        "Call-ID: call",
        f"CSeq: {cseq} {method}",
        f"Contact: <sip:ana@a1b2.invalid;transport={kind.lower()}>",
        *(["Content-Type: application/sdp"] if body else []),
        *headers,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", body]).encode()


@pytest.mark.parametrize("kind", ["UDP", "TCP"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_two_user_agents_call_each_other(kind, host):
    async with Phone(host=host) as ana, Phone(answers=True, host=host) as bob:
        session = ana.call(bob.port, kind)
        await until(lambda: ana.of(Answered))
        if host == "::1":
            invite = bob.of(IncomingCall)[0].session.request
            assert invite.via.host == "[::1]" and invite.via.params["received"] == "::1"
            assert invite.contact.uri.host == "[::1]"
        assert ana.of(Ringing) and session.remote_sdp == ANSWER
        assert session.flow.transport == kind
        theirs = bob.of(IncomingCall)[0].session
        await until(lambda: theirs.state == "up")
        theirs.hang_up(bob.transport.now())
        await until(lambda: ana.of(Ended) and bob.of(Ended))
        assert (ana.told[-1].cause, ana.told[-1].by_peer) == ("normal", True)
        await until(lambda: ana.stack.sessions == bob.stack.sessions == 0)


def certificate(folder):
    """A certificate for 127.0.0.1 that only this test trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ramal test")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "both.pem"
    file.write_bytes(
        made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return file


async def test_a_call_over_tls(tmp_path):
    file = certificate(tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    trusting = ssl.create_default_context(cafile=file)
    port = free_port()
    async with Phone(tls_client=trusting) as ana, Phone(answers=True, tls=server, tls_port=port) as bob:
        session = ana.call(port, "TLS")
        await until(lambda: ana.of(Answered))
        assert session.flow.transport == "TLS"
        session.hang_up(ana.transport.now())
        await until(lambda: bob.of(Ended))
    async with Phone() as stranger, Phone(answers=True, tls=server, tls_port=port) as bob:
        stranger.call(port, "TLS")  # it does not trust this certificate
        await until(lambda: stranger.of(Refused))
        assert stranger.of(Refused)[0].status == 503 and not bob.told


async def test_a_call_by_a_connection_that_cannot_be_opened_is_refused():
    async with Phone() as ana:
        ana.call(free_port(), "TCP")
        await until(lambda: ana.of(Ended))
        assert ana.of(Refused)[0].status == 503


@pytest.mark.parametrize("takes_tcp", [True, False])
async def test_a_long_invite_goes_by_tcp_and_by_udp_where_tcp_is_refused(takes_tcp):
    async with Phone() as ana, Phone(answers=True) as bob:
        if not takes_tcp:
            bob.transport._servers[0].close()
        session = ana.stack.invite(
            f"sip:bob@127.0.0.1:{bob.port}",
            flow=Flow("UDP", "127.0.0.1", bob.port),
            from_="<sip:ana@127.0.0.1>",
            sdp=SDP,
            headers=[("X-Long", "x" * 1000)],
            now=ana.transport.now(),
        )
        await until(lambda: ana.of(Answered))
        [call] = bob.of(IncomingCall)
        assert call.session.flow.transport == ("TCP" if takes_tcp else "UDP")
        await until(lambda: call.session.state == "up")
        session.hang_up(ana.transport.now())
        await until(lambda: bob.of(Ended))
        assert bob.of(Ended)[0].by_peer


async def test_nobody_can_open_a_connection_to_a_browser():
    async with Phone() as ana:
        ana.call(free_port(), "WS")
        await until(lambda: ana.of(Ended))
        assert ana.of(Refused)[0].status == 503


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open():
    async with Phone() as ana:
        other = SipTransport(Stack("127.0.0.1", ana.port, tokens("o")), "127.0.0.1", ana.port)
        with pytest.raises(OSError, match="in use"):
            await other.start()


async def test_an_event_that_nobody_can_handle_does_not_stop_the_others(caplog):
    async with Phone() as ana, Phone() as bob:
        bob.transport.on_event = lambda event: bob.note(event) or 1 / 0
        ana.call(bob.port)
        ana.call(bob.port)
        await until(lambda: len(bob.of(IncomingCall)) == 2)
        assert "ZeroDivisionError" in caplog.text


async def read(reader, framer, waiting):
    while not waiting:
        data = await reader.read(65536)
        assert data, "the connection was closed"
        waiting += framer.feed(data)
    return waiting.pop(0)


async def test_messages_on_a_stream_are_cut_by_their_length_and_pings_are_answered():
    async with Phone() as bob:
        reader, writer = await asyncio.open_connection("127.0.0.1", bob.port)
        whole = request("OPTIONS", "TCP", branch="a") + request("OPTIONS", "TCP", branch="b")
        for at in range(0, len(whole), 7):
            writer.write(whole[at : at + 7])
            await writer.drain()
        framer, waiting = StreamFramer(), []
        first = parse(await read(reader, framer, waiting))
        second = parse(await read(reader, framer, waiting))
        assert [first.via.branch, second.via.branch] == ["z9hG4bKa", "z9hG4bKb"]
        writer.write(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"\r\n"
        writer.close()


async def test_a_stream_that_cannot_be_followed_is_closed():
    async with Phone() as bob:
        reader, writer = await asyncio.open_connection("127.0.0.1", bob.port)
        writer.write(request("OPTIONS", "TCP").replace(b"Content-Length: 0", b"Content-Length: many"))
        rest = await reader.read()
        assert rest.startswith(b"SIP/2.0 400 ")
        writer.close()


async def test_a_peer_that_goes_away_ends_its_call():
    async with Phone(answers=True) as bob:
        reader, writer = await asyncio.open_connection("127.0.0.1", bob.port)
        writer.write(request("INVITE", "TCP", body=SDP))
        framer, waiting = StreamFramer(), []
        while (answer := parse(await read(reader, framer, waiting))).status != 200:
            pass
        writer.write(request("ACK", "TCP", branch="2", tag=answer.to.tag))
        await until(lambda: bob.of(IncomingCall)[0].session.state == "up")
        writer.close()
        await until(lambda: bob.of(Ended))
        assert bob.of(Ended)[0].cause == "connection_lost"


async def test_closing_leaves_no_task_and_no_timer():
    before = asyncio.all_tasks()
    async with Phone() as ana, Phone(answers=True) as bob:
        ana.call(bob.port, "TCP")
        await until(lambda: ana.of(Answered))
    await until(lambda: asyncio.all_tasks() == before)
    assert ana.transport._timer.cancelled()


@contextlib.asynccontextmanager
async def site(transport):
    async def serve(http):
        browser = web.WebSocketResponse(protocols=["sip"])
        await browser.prepare(http)
        peer = http.transport.get_extra_info("peername")
        await transport.serve_websocket(browser, peer, False, http.transport.abort)
        return browser

    app = web.Application()
    app.router.add_get("/sip", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with aiohttp.ClientSession() as client:
            yield lambda: client.ws_connect(f"http://127.0.0.1:{port}/sip", protocols=["sip"])
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("is_text", [True, False])
async def test_a_browser_calls_over_its_websocket_and_is_answered_in_its_own_kind_of_frame(is_text):
    async with Phone(answers=True) as bob, site(bob.transport) as connect, connect() as browser:

        async def send(data):
            await (browser.send_str(data.decode()) if is_text else browser.send_bytes(data))

        async def hear():
            frame = await browser.receive()
            assert frame.type is (aiohttp.WSMsgType.TEXT if is_text else aiohttp.WSMsgType.BINARY)
            return parse(frame.data.encode() if is_text else frame.data)

        assert browser.protocol == "sip"
        await send(request("INVITE", "WS", body=SDP))
        ringing, ok = await hear(), await hear()
        assert (ringing.status, ok.status, ok.body.decode()) == (180, 200, ANSWER)
        await send(request("ACK", "WS", branch="2", tag=ok.to.tag))
        session = bob.of(IncomingCall)[0].session
        await until(lambda: session.state == "up")
        session.hang_up(bob.transport.now())
        bye = await hear()
        assert (bye.method, bye.uri) == ("BYE", "sip:ana@a1b2.invalid;transport=ws")
        await send(bye.response(200).encode())
        await until(lambda: session.state == "over")


async def test_a_browser_that_closes_ends_its_call():
    async with Phone(answers=True) as bob, site(bob.transport) as connect:
        async with connect() as browser:
            await browser.send_str(request("INVITE", "WS", body=SDP).decode())
            ok = None
            while not (isinstance(ok, Response) and ok.status == 200):
                ok = parse((await browser.receive()).data.encode())
            await browser.send_str(request("ACK", "WS", branch="2", tag=ok.to.tag).decode())
            await until(lambda: bob.of(IncomingCall)[0].session.state == "up")
        await until(lambda: bob.of(Ended))
        assert bob.of(Ended)[0].cause == "connection_lost"


HASTY = Patience(first_seconds=0.4, unfinished_seconds=0.4, idle_seconds=1.2, of_one_host_max=3)


@pytest.mark.parametrize("dribbled", [b"", b"x"])
async def test_half_a_message_holds_no_connection(dribbled, caplog):
    """Neither a peer that falls silent in a message nor one that sends a byte now and then."""
    caplog.set_level("INFO")
    async with Phone(patience=HASTY) as bob:
        reader, writer = await asyncio.open_connection("127.0.0.1", bob.port)
        writer.write(request("OPTIONS", "TCP"))
        assert (await reader.readuntil(b"\r\n")).startswith(b"SIP/2.0 200")
        writer.write(request("OPTIONS", "TCP", branch="2")[:-30])

        async def dribble():
            while dribbled:
                writer.write(dribbled)
                await asyncio.sleep(0.01)

        dribbling = asyncio.create_task(dribble())
        with contextlib.suppress(ConnectionError):
            await reader.read()
        dribbling.cancel()
        await until(lambda: not bob.transport._peers)
        assert "half a message and no more" in caplog.text
        writer.close()


async def test_a_connection_nobody_uses_is_closed_and_one_with_a_call_is_kept(caplog):
    caplog.set_level("INFO")
    async with Phone(answers=True, patience=HASTY) as bob, Phone(patience=HASTY) as ana:
        session = ana.call(bob.port, "TCP")
        await until(lambda: ana.of(Answered))
        idle, writer = await asyncio.open_connection("127.0.0.1", bob.port)
        assert await idle.read() == b""  # only when bob closes it
        assert "neither a message nor a registration nor a call" in caplog.text
        again, other = await asyncio.open_connection("127.0.0.1", bob.port)
        other.write(request("OPTIONS", "TCP"))
        await again.readuntil(b"\r\n\r\n")
        assert await again.read() == b""  # it has spoken once, long ago
        assert session.state == "up" and len(bob.transport._peers) == 1
        session.hang_up(ana.transport.now())
        await until(lambda: bob.of(Ended))
        writer.close()
        other.close()


async def test_a_host_has_so_many_connections_and_no_more(caplog):
    async with Phone(patience=Patience(of_one_host_max=3)) as bob:
        kept = [await asyncio.open_connection("127.0.0.1", bob.port) for _ in range(3)]
        await until(lambda: len(bob.transport._peers) == 3)
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bob.port)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
        assert caplog.text.count("connections from 127.0.0.1 are refused") == 1
        kept[0][1].close()
        await until(lambda: len(bob.transport._peers) == 2)
        reader, writer = await asyncio.open_connection("127.0.0.1", bob.port)
        writer.write(request("OPTIONS", "TCP"))
        assert (await reader.readuntil(b"\r\n")).startswith(b"SIP/2.0 200")
        for _, other in [*kept, (reader, writer)]:
            other.close()


async def test_a_peer_that_does_not_read_its_answers_is_not_read_either():
    async with Phone(patience=Patience(unfinished_seconds=1)) as bob:
        ours = socket.socket()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(ours, ("127.0.0.1", bob.port))

        async def flood():
            while True:
                await loop.sock_sendall(ours, request("OPTIONS", "TCP") * 500)

        flooding = asyncio.create_task(flood())
        [theirs] = await until(lambda: [peer._transport for peer in bob.transport._peers.values()])
        await until(lambda: not theirs.is_reading())
        assert theirs.get_write_buffer_size() < 512 * 1024
        await until(lambda: not bob.transport._peers)
        with pytest.raises(ConnectionError):
            await flooding
        ours.close()


async def test_a_websocket_that_says_nothing_or_half_a_frame_is_closed():
    async with Phone(patience=HASTY) as bob, site(bob.transport) as connect:
        async with connect() as silent:
            assert (await silent.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        async with connect() as half:
            await half.send_str(request("OPTIONS", "WS").decode())
            assert (await half.receive()).data.startswith("SIP/2.0 200 OK")
            half._writer.transport.write(b"\x81\xfe\x01\x00abcdOPTIONS")  # 256 bytes are announced
            assert (await half.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        await until(lambda: not bob.transport._peers)


async def test_one_host_has_so_many_websockets_and_no_more():
    async with Phone(patience=Patience(of_one_host_max=1)) as bob, site(bob.transport) as connect:
        async with connect() as first, connect() as second:
            assert (await second.receive()).type is aiohttp.WSMsgType.CLOSE
            await first.send_str("\r\n\r\n")
            assert (await first.receive()).data == "\r\n"


async def test_a_ping_on_a_websocket_is_answered():
    async with Phone() as bob, site(bob.transport) as connect, connect() as browser:
        await browser.send_str("\r\n\r\n")
        assert (await browser.receive()).data == "\r\n"
        await browser.send_str("rubbish")
        await browser.send_str(request("OPTIONS", "WS").decode())
        assert (await browser.receive()).data.startswith("SIP/2.0 200 OK")
