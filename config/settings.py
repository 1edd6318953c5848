"""Every setting with its default, its unit and what is allowed."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The 67 area codes (DDD) in use in Brazil.
AREA_CODES = frozenset(
    "11 12 13 14 15 16 17 18 19 21 22 24 27 28 31 32 33 34 35 37 38 41 42 43 44 45 46 47 48 49 "
    "51 53 54 55 61 62 63 64 65 66 67 68 69 71 73 74 75 77 79 81 82 83 84 85 86 87 88 89 "
    "91 92 93 94 95 96 97 98 99".split()
)
LANGUAGES = ("pt_BR", "en")
SMTP_TLS = ("none", "starttls", "tls")
EMAIL = re.compile(r"[^\s@<>,;:\"]+@[A-Za-z0-9.-]+", re.ASCII)
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


def setting(default: Any, allowed: str, check: Callable[[Any], bool], secret: bool = False) -> Any:
    """A field of Settings; `allowed` says in words what `check` accepts."""
    return field(default=default, metadata={"allowed": allowed, "check": check, "secret": secret})


def whole(default: int, low: int, high: int, unit: str = "") -> Any:
    words = f"a whole number from {low} to {high}" + (f" ({unit})" if unit else "")
    return setting(default, words, lambda n: low <= n <= high)


def port(default: int) -> Any:
    return setting(default, "a port from 1 to 65535, or 0 for any free one", lambda n: 0 <= n <= 65535)


def switch(default: bool) -> Any:
    return setting(default, "true or false (1 or 0 in the environment)", lambda _: True)


def address(default: str, allowed: str, check: Callable[[str], bool]) -> Any:
    return setting(default, allowed, check, secret=True)  # a URL may hold a password


def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_file(path: str) -> bool:
    return path == "" or Path(path).is_file()


@dataclass(frozen=True, slots=True)
class Settings:
    """Built by `config.load`, which checks every value; tests may build it directly."""

    # Addresses and ports
    bind: str = setting("127.0.0.1", "an IP address of this machine, 0.0.0.0 or :: for all", is_ip)
    public_address: str = setting(
        "",
        "an IP address or host name, or empty to announce the bind address",
        lambda a: a == "" or is_ip(a) or HOST_NAME.fullmatch(a) is not None,
    )
    http_port: int = port(8080)
    sip_port: int = port(5060)
    sips_port: int = port(5061)
    cti_port: int = port(44900)
    cti_tls_port: int = port(44901)  # with a certificate
    tls_certificate: str = setting("", "a PEM file with the certificate chain, or empty", is_file)
    tls_key: str = setting("", "a PEM file with the private key, or empty when in the chain's file", is_file)

    # Media
    media_port_low: int = whole(20000, 1024, 65534)
    media_port_high: int = whole(29999, 1025, 65535)
    media_workers: int = whole(0, 0, 64, "processes; 0 is one for each core, at least two")
    media_silence_ms: int = whole(800, 100, 60_000, "milliseconds without audio until a leg is silent")
    recordings: bool = switch(True)

    # Storage
    database_url: str = address(
        "",
        "postgresql://… or empty for the embedded server",
        lambda u: u == "" or u.startswith(("postgresql://", "postgres://")),
    )
    redis_url: str = address(
        "",
        "redis://…, rediss://… or unix://…, or empty for the embedded server",
        lambda u: u == "" or u.startswith(("redis://", "rediss://", "unix://")),
    )
    data: Path = setting(  # noqa: RUF009 - it is a field like its siblings
        Path("data"), "a folder, created when missing", lambda p: str(p) not in ("", "/")
    )
    pg_bin: str = setting("", "a folder holding initdb and postgres, or empty to search", lambda _: True)
    import_folder: str = setting(  # UAU-03
        "", "a folder whose files can be imported, or empty for imports/inbox in data", lambda _: True
    )
    history_records_max: int = whole(100_000, 100, 10_000_000, "records waiting for the database")

    # Demo
    demo: bool = switch(False)
    demo_password: str = setting(
        "",
        "8 to 128 characters, or empty to generate one",
        lambda p: p == "" or 8 <= len(p) <= 128,
        secret=True,
    )
    demo_customers: bool = switch(True)
    demo_trunk_port: int = port(5070)  # where the simulated customers answer and call from

    # E-mail
    smtp_host: str = setting(
        "",
        "the host name or IP address of a mail server, or empty to send none",
        lambda h: h == "" or is_ip(h) or HOST_NAME.fullmatch(h) is not None,
    )
    smtp_port: int = whole(587, 1, 65535)
    smtp_user: str = setting("", "a user name, or empty to send without logging in", lambda _: True)
    smtp_password: str = setting("", "that user's password", lambda _: True, secret=True)
    smtp_from: str = setting(
        "", "the e-mail address mail is sent from", lambda a: a == "" or EMAIL.fullmatch(a) is not None
    )
    smtp_tls: str = setting(
        "starttls",
        "one of " + ", ".join(SMTP_TLS) + "; tls is encrypted from the start",
        SMTP_TLS.__contains__,
    )

    # The floor
    local_area_code: str = setting("11", "a Brazilian area code such as 11", AREA_CODES.__contains__)
    language: str = setting("pt_BR", "one of " + ", ".join(LANGUAGES), LANGUAGES.__contains__)
    station_return_seconds: int = whole(10, 1, 300, "seconds an available agent's audio may be away")
    agent_return_seconds: int = whole(60, 1, 3600, "seconds a call waits for an agent's lost audio")
    item_lease_seconds: int = whole(
        60, 4, 3600, "seconds until a campaign's item leaves an agent whose desk is gone"
    )
    desk_events_kept: int = whole(1000, 10, 100_000, "events a client that reconnects can still get")
    toolbar_outbox_max: int = whole(500, 10, 100_000, "messages waiting before a slow reader is dropped")
    frame_bytes_max: int = whole(262_144, 1024, 16_777_216, "bytes")

    # Defence
    sip_ban_after: int = whole(10, 1, 10_000, "failed SIP logins from one host")
    sip_ban_seconds: int = whole(300, 1, 86_400, "seconds")
    sip_connections_of_host: int = whole(1000, 10, 20_000, "SIP connections from one host")
    login_failures_max: int = whole(5, 1, 1000, "failed logins of one name")
    login_lock_seconds: int = whole(60, 1, 86_400, "seconds")
    session_hours: int = whole(12, 1, 168, "hours")
