"""Passwords: argon2 hashes, made and checked in two threads so that logins never slow the calls."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from crm.refused import Refused

LENGTH_MIN, LENGTH_MAX = 8, 128
HASHER = PasswordHasher()
THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")
WAITING_MAX = 50  # logins waiting for a thread; more are refused

# Checked in place of the hash of a login that does not exist, so that both take the same time.
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$MIIRqgvgQbgj220jfp0MPA$YfwJSVjtjSU0zzV/P3S9nnQ/USre2wvJMjfCIjrTQbg"


def check_strength(password: str) -> None:
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise Refused(
            "A password has {low} to {high} characters.",
            code="bad_argument",
            details={"field": "password"},
            low=LENGTH_MIN,
            high=LENGTH_MAX,
        )


async def hashed(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(THREADS, HASHER.hash, password)


def refuse_when_busy() -> None:
    """Before an attempt is counted, so that a storm of right logins locks nobody out."""
    if THREADS._work_queue.qsize() >= WAITING_MAX:
        raise Refused("Too many people are logging in. Try again in a few seconds.", code="busy")


async def matches(password: str, stored: str | None) -> bool:
    """Whether the password is the stored one; with None stored, no after the same work."""
    return await asyncio.get_running_loop().run_in_executor(THREADS, compare, password, stored)


def compare(password: str, stored: str | None) -> bool:
    try:
        return HASHER.verify(stored or NOBODY, password[: LENGTH_MAX + 1]) and stored is not None
    except (VerificationError, InvalidHashError):
        return False
