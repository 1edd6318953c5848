"""Builds everything in order, runs it, stops it in reverse. The only file that may import all."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import secrets
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from aiohttp import web

import webui.app
from config import Settings, WrongSetting
from crm import calls, centre, db, demo, embedded
from crm.extensions import REALM
from crm.history import History
from crm.refused import Refused
from cti import inbound, mirror
from cti.customers import Customers
from cti.floor import Floor
from cti.media.engine import EmbeddedEngine
from cti.phone import Access, Phones, in_uri
from cti.sip.digest import Account, Challenger, Throttle
from cti.sip.patience import Patience
from cti.sip.registrar import Registrar
from cti.sip.stack import Stack
from cti.sip.transport import SipTransport
from cti.toolbar.client import PORT
from cti.toolbar.server import ToolbarServer
from dialer.drives import Drives
from dialer.gate import Gate
from dialer.one_to_one import OneToOne
from dialer.validation import Validation

log = logging.getLogger("ramal")

PRIORITY = -5  # where we may: a call must not wait for whatever else the machine does
HTTP_IDLE_SECONDS = 75.0  # also for half a request: without this the headers might take an hour


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Floor]:
    """Everything up inside the block. Raises Refused when it cannot start, with what to do."""
    async with contextlib.AsyncExitStack() as stack:
        database_url = await stack.enter_async_context(embedded.postgres(settings))
        redis_url = await stack.enter_async_context(embedded.valkey(settings))
        pool = await db.connect(database_url)
        stack.push_async_callback(pool.close)
        await db.migrate(pool)
        if settings.demo:
            await demo.fill(pool, settings, demo.password(settings))

        await calls.end_unfinished(pool, datetime.now(UTC))
        history = History(pool, settings.history_records_max, settings.data / "history.pending")
        writing = asyncio.create_task(history.run())
        stack.push_async_callback(_finish_history, history, writing)

        floor = Floor(await centre.load(pool), history, settings, await calls.today(pool))
        floor.db = pool
        phones = await stack.enter_async_context(telephones(settings, floor))
        stack.push_async_callback(floor.close)
        drives = await stack.enter_async_context(campaigns(settings, floor, pool))

        copying = asyncio.create_task(mirror.run(floor, redis_url))
        stack.push_async_callback(_cancel, copying)
        await stack.enter_async_context(toolbars(settings, floor, pool, "cti_port", None))
        tls = certificate(settings)
        if tls:
            await stack.enter_async_context(toolbars(settings, floor, pool, "cti_tls_port", tls))
        app = webui.app.build(settings, pool, floor, phones.transport, history, drives=drives)
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=HTTP_IDLE_SECONDS
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        with claiming("http_port", settings.bind, settings.http_port):
            await web.TCPSite(
                runner, settings.bind, settings.http_port, reuse_address=True, ssl_context=tls
            ).start()
        if settings.demo and settings.demo_customers:
            customers = Customers(settings)
            await customers.start()
            stack.push_async_callback(customers.close)
        yield floor


@contextlib.asynccontextmanager
async def telephones(settings: Settings, floor: Floor) -> AsyncIterator[Phones]:
    """The media engine, the SIP stack and its sockets, wired to the floor."""
    address = settings.public_address or settings.bind
    engine = EmbeddedEngine(
        settings.bind,
        address,
        settings.media_port_low,
        settings.media_port_high,
        settings.media_workers or max(2, os.cpu_count() or 2),
        settings.media_silence_ms,
        settings.data / "recordings",
    )
    throttle = Throttle(settings.sip_ban_after, settings.sip_ban_seconds)

    def account(user: str) -> Account | None:
        extension = floor.centre.extensions.get(user)
        return Account(user, extension.ha1_md5, extension.ha1_sha256) if extension else None

    access = Access(account, Challenger(REALM, _token), throttle)
    registrar = Registrar(account, access.challenger, throttle)
    stack = Stack(
        address, settings.sip_port, _token, registrar, throttle=throttle, tls_port=settings.sips_port
    )
    tls = certificate(settings)
    transport = SipTransport(
        stack,
        settings.bind,
        settings.sip_port,
        tls=tls,
        tls_port=settings.sips_port,
        patience=Patience(of_one_host_max=settings.sip_connections_of_host),
    )
    phones = Phones(settings, floor, engine, stack, registrar, access, transport)
    floor.phones = phones
    phones.on_call = lambda leg, source, dialed: inbound.arrived(floor, phones, leg, source, dialed)
    await engine.start()
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    try:
        with claiming("sip_port", settings.bind, settings.sip_port):
            await transport.start()
        try:
            yield phones
        finally:
            stack.hang_up(transport.now(), "server stopping")
            transport.pump()
            await transport.close()
    finally:
        await engine.stop()


@contextlib.asynccontextmanager
async def campaigns(settings: Settings, floor: Floor, pool: db.Db) -> AsyncIterator[Drives]:
    """Campaigns at the desks. Nobody dials before the do-not-call list is known."""
    await floor.blocklist.load(pool)
    validation = Validation(pool)
    gate = Gate(pool, floor.blocklist, validation)
    one_to_one = OneToOne(floor, pool, gate, settings.item_lease_seconds)
    one_to_one.join()
    drives = Drives(floor, pool, gate, one_to_one)
    drives.join()
    following = asyncio.create_task(floor.blocklist.follow(pool))
    holding = asyncio.create_task(one_to_one.run())
    dialing = asyncio.create_task(drives.run())
    try:
        yield drives
    finally:
        await _cancel(dialing)
        await _cancel(holding)
        await _cancel(following)
        await validation.close()


@contextlib.asynccontextmanager
async def toolbars(
    settings: Settings, floor: Floor, pool: db.Db, port: str, tls: ssl.SSLContext | None
) -> AsyncIterator[None]:
    """The CTI protocol on the port that this setting names."""
    server = ToolbarServer(replace(settings, cti_port=getattr(settings, port)), floor, pool, tls=tls)
    with claiming(port, settings.bind, getattr(settings, port)):
        await server.start()
    try:
        yield
    finally:
        await server.close()


def certificate(settings: Settings) -> ssl.SSLContext | None:
    """TLS for pages, SIP and CTI; None when no certificate is set."""
    if not settings.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key or None)
    except (ssl.SSLError, OSError) as error:
        raise WrongSetting(
            "tls_certificate", settings.tls_certificate, f"a certificate with its key ({error})"
        ) from error
    return context


@contextlib.contextmanager
def claiming(setting: str, address: str, port: int) -> Iterator[None]:
    """A port that cannot be had is told with the setting that names it."""
    try:
        yield
    except OSError as error:
        raise Refused(
            "{setting}: {address}:{port} cannot be used: {why}. Stop what uses it, or set {name}.",
            setting=setting,
            address=address,
            port=port,
            why=os.strerror(error.errno or 0),
            name=f"RAMAL_{setting.upper()}",
        ) from error


def _token() -> str:
    return secrets.token_hex(8)


async def _finish_history(history: History, writing: asyncio.Task[None]) -> None:
    await history.close()
    await _cancel(writing)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def serve(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(settings):
        gc.collect()
        gc.freeze()  # what was built at the start stays; collections look only at calls
        print(welcome(settings), flush=True)
        await stop.wait()
        print("Stopping…", flush=True)


def welcome(settings: Settings) -> str:
    """What a person reads when the product serves: where, as whom, and what to try."""
    host = in_uri(settings.public_address or settings.bind)
    scheme = "https" if settings.tls_certificate else "http"
    lines = [f"Ramal is serving at {scheme}://{host}:{settings.http_port}/"]
    if settings.demo:
        toolbar = ".venv/bin/ramal toolbar --user agent2"
        toolbar += "" if settings.cti_port == PORT else f" --port {settings.cti_port}"
        lines += [
            "",
            f"  Log in as agent1 … agent6, supervisor or admin; the password is {demo.password(settings)}",
            f"  Call 4000 (sales) or 4001 (support) over SIP at {host}:{settings.sip_port}",
            "  Softphones register as 1001 … 1006 with the same password",
            f"  Toolbars connect to TCP port {settings.cti_port}:  {toolbar}",
        ]
        if settings.demo_customers:
            lines.append("  Simulated customers call by themselves once an agent is available.")
    return "\n".join([*lines, "", "Ctrl-C stops it; the data stay in " + str(Path(settings.data).resolve())])


def run(settings: Settings) -> None:
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))  # one for each connection
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))
