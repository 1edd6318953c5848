"""The business's own word before a call: a procedure of the schema `validation`, or an address asked by HTTP.

A hook that hangs, throws or answers nonsense has failed: it holds up its own item for its own seconds, and
what went wrong is told. Whether such an item may be called is the campaign's choice, not decided here.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg

from crm.db import Db
from crm.refused import Refused

INPUTS = ("external_code", "internal_code", "document")  # in the order a procedure takes them
PROCEDURE = re.compile(r"procedure:([a-z_][a-z0-9_]{0,62})")
AT_ONCE = 8  # procedures; more wait, so that those that hang leave the database to others
ANSWER_BYTES_MAX = 64 * 1024
WHY_MAX = 300


@dataclass(frozen=True, slots=True)
class Person:
    """What a hook may be told of somebody."""

    external_code: str
    internal_code: str
    document: str

    def chosen(self, inputs: Sequence[str]) -> dict[str, str]:
        return {name: getattr(self, name) for name in INPUTS if name in inputs}


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: bool
    why: str = ""  # the hook's own words, or what went wrong with it
    failed: bool = False  # the hook gave no answer, so `allowed` is nobody's word
    fault: Refused | None = None  # what went wrong, where these are our words and not the hook's


class Validation:
    def __init__(self, db: Db) -> None:
        self._db = db
        self._http: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        if self._http:
            await self._http.close()

    async def ask(self, hook: str, inputs: Sequence[str], person: Person, seconds: float) -> Verdict:
        """Never raises and never takes longer than `seconds`."""
        told = person.chosen(inputs)
        try:
            async with asyncio.timeout(seconds):
                if hook.startswith(("http://", "https://")):
                    return await self._by_http(hook, told)
                return await self._by_procedure(hook, list(told.values()), seconds)
        except (TimeoutError, asyncpg.QueryCanceledError):
            return failed(Refused("no answer within {seconds} seconds", seconds=f"{seconds:g}"))
        except asyncpg.PostgresError as error:
            return failed(error.message or type(error).__name__)
        except Exception as error:  # the border to somebody else's program
            return failed(str(error) or type(error).__name__)

    async def _by_procedure(self, hook: str, arguments: list[str], seconds: float) -> Verdict:
        named = PROCEDURE.fullmatch(hook)
        if named is None:
            return failed(Refused("“{hook}” is neither a procedure nor an address", hook=hook))
        places = ", ".join(f"${n}::text" for n in range(1, len(arguments) + 1))
        async with self._places, self._db.acquire() as connection, connection.transaction():
            # A server that never hears of our giving up ends it by itself.
            await connection.execute(
                "SELECT set_config('statement_timeout', $1, true)", f"{seconds * 1000:.0f}"
            )
            statement = await connection.prepare(f'SELECT validation."{named[1]}"({places})')
            said = await statement.fetchval(*arguments)
            if said is None and statement.get_attributes()[0].type.name == "text":
                said = ""
        return verdict(said)

    async def _by_http(self, address: str, told: dict[str, str]) -> Verdict:
        if self._http is None:
            self._http = aiohttp.ClientSession(headers={"User-Agent": "Ramal"})
        async with self._http.post(address, json=told, allow_redirects=False) as answer:
            body = await answer.content.read(ANSWER_BYTES_MAX + 1)
        if answer.status == 204:
            return Verdict(True)
        if not 200 <= answer.status < 300:
            return failed(Refused("the address answered {status}", status=answer.status))
        if len(body) > ANSWER_BYTES_MAX:
            return failed(Refused("the answer is too long"))
        return verdict(json.loads(body))


def verdict(said: Any) -> Verdict:
    """True or an empty text is yes, false or any other text no; so is {"allowed", "reason"}."""
    match said:
        case bool():
            return Verdict(said)
        case str():
            return Verdict(not said.strip(), said.strip()[:WHY_MAX])
        case {"allowed": bool(allowed), **rest}:
            return Verdict(allowed, "" if allowed else str(rest.get("reason") or "")[:WHY_MAX])
        case _:
            return failed(Refused("the answer is neither yes nor no"))


def failed(why: str | Refused) -> Verdict:
    return Verdict(False, str(why)[:WHY_MAX], failed=True, fault=why if isinstance(why, Refused) else None)
