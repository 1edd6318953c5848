"""The one background writer of what happens on the floor: no call ever waits for the database."""

import asyncio
import dataclasses
import datetime
import itertools
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import msgpack

from crm import audit, calls, contacts, shifts, tabulation
from crm.audit import AuditEntry
from crm.calls import CallRecord
from crm.contacts import ContactLinked
from crm.db import AWAY, Db
from crm.shifts import ShiftInterval
from crm.tabulation import TabulationDraft, TabulationDropped, TabulationSaved

log = logging.getLogger(__name__)

Record = (
    CallRecord
    | ShiftInterval
    | TabulationDraft
    | TabulationSaved
    | TabulationDropped
    | ContactLinked
    | AuditEntry
)
Key = tuple[str, int]

# How each kind is written: in any number at once, and so that writing one twice is the same as once.
WRITERS: dict[type, Callable[[asyncpg.Connection, list[Any]], Awaitable[None]]] = {
    CallRecord: calls.write_history,
    ContactLinked: contacts.write_history,
    ShiftInterval: shifts.write_history,
    TabulationDraft: tabulation.write_drafts,
    TabulationSaved: tabulation.write_saved,
    TabulationDropped: tabulation.write_dropped,
    AuditEntry: audit.write_history,
}
KINDS = {kind.__name__: kind for kind in WRITERS}
EXPENDABLE = (TabulationDraft, ShiftInterval)  # given up first, in this order, when there is no more room

# What a record that can never be written raises.
OF_A_RECORD = (asyncpg.PostgresError, ValueError, TypeError, KeyError)

BATCH_MAX = 500
GATHER_SECONDS = 0.2  # what comes within it is written together: a transaction costs more than its rows
WRITE_SECONDS_MAX = 10.0
PAUSE_SECONDS = (0.1, 5.0)  # between attempts while the database is away: first and longest


class History:
    """`put` never waits. What is put is written in its order; `run` writes until it is cancelled.

    When `records_max` wait, drafts make room for the rest, then shift intervals; only then is a record not
    taken. `lost` counts every record given up. One that the database refuses for good goes to the file
    history.refused, so that it holds up nobody.
    """

    def __init__(self, db: Db, records_max: int, pending_file: Path | None = None) -> None:
        self.db, self.records_max = db, records_max
        self.pending_file = pending_file  # what the last stop left, data/history.pending
        self.refused_file = pending_file.with_suffix(".refused") if pending_file else None
        self.lost = 0
        self.refused = 0
        self.written = 0
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Record] = {}  # in order of arrival
        self._expendable: dict[type, dict[int, None]] = {kind: {} for kind in EXPENDABLE}
        self._drafts: dict[Key, int] = {}  # the draft waiting for each form
        self._loaded: set[int] = set()  # those that came from the file of the last stop
        self._something = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._running = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, record: Record) -> None:
        """Take the record to be written; returns at once, whatever the database does."""
        assert type(record) in WRITERS
        if isinstance(record, TabulationDraft | TabulationSaved | TabulationDropped):
            self._supersede((record.call_id, record.user_id))
        if len(self._waiting) >= self.records_max and not self._make_room(record):
            self.lost += 1
            log.error("history is full and did not take %r", record)
            return
        self._append(record)

    def _append(self, record: Record) -> int:
        number = next(self._numbers)
        self._waiting[number] = record
        if type(record) in self._expendable:
            self._expendable[type(record)][number] = None
        if isinstance(record, TabulationDraft):
            self._drafts[record.call_id, record.user_id] = number
        self._empty.clear()
        self._something.set()
        return number

    def _supersede(self, key: Key) -> None:
        """A draft still waiting is worth nothing once there is a newer one of the same form."""
        number = self._drafts.get(key)
        if number is not None:
            self._take_out(number)

    def _make_room(self, record: Record) -> bool:
        """Give up the oldest record that is worth less than this one."""
        for kind in EXPENDABLE:
            if isinstance(record, kind):
                break
            if self._expendable[kind]:
                self._take_out(next(iter(self._expendable[kind])))
                self.lost += 1
                return True
        return False

    def _take_out(self, number: int) -> None:
        record = self._waiting.pop(number, None)
        if record is None:
            return
        self._expendable.get(type(record), {}).pop(number, None)
        self._loaded.discard(number)
        if isinstance(record, TabulationDraft):
            form = (record.call_id, record.user_id)
            if self._drafts.get(form) == number:
                del self._drafts[form]
        if not self._waiting:
            self._something.clear()
            self._empty.set()

    # -- Writing -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write what is put, for ever; while the database is away, try again and keep everything."""
        self._load()
        self._running = True
        pause = PAUSE_SECONDS[0]
        try:
            while True:
                await self._something.wait()
                await asyncio.sleep(GATHER_SECONDS)
                if await self._write_some():
                    pause = PAUSE_SECONDS[0]
                else:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, PAUSE_SECONDS[1])
        finally:
            self._running = False

    async def drain(self) -> None:
        """Until everything put so far is written, which takes `run` and a database."""
        await self._empty.wait()

    async def close(self, seconds: float = 5.0) -> None:
        """At the end: write what waits, and put into the file what the database does not take in time.

        `run` may go on or have been cancelled before.
        """
        try:
            async with asyncio.timeout(seconds):
                if self._running:
                    await self.drain()
                else:
                    await self._write_all()
        except TimeoutError:
            log.warning("the database did not take %d records in %g seconds", len(self), seconds)
        if self._waiting:
            self._spill()

    async def _write_all(self) -> None:
        self._load()
        while self._waiting and await self._write_some():
            pass

    async def _write_some(self) -> bool:
        """One batch; false when the database is away."""
        batch = self._batch()
        records = [record for _, record in batch]
        try:
            await self._write(records)
        except AWAY as e:
            log.warning("%d records wait for the database: %s", len(self), str(e) or type(e).__name__)
            return False
        except OF_A_RECORD as e:
            log.warning("a batch was refused and is written one by one: %s", e)
            return await self._write_one_by_one(batch)
        except Exception:
            log.exception("a bug keeps %d records from being written", len(self))
            return False
        self._done([number for number, _ in batch])
        return True

    def _batch(self) -> list[tuple[int, Record]]:
        """The first to have come. Those of the last stop go by themselves: then their file can go too."""
        first = list(itertools.islice(self._waiting.items(), BATCH_MAX))
        return [each for each in first if each[0] in self._loaded] or first

    async def _write(self, records: list[Record]) -> None:
        """All or nothing. Neighbours of one kind go together."""
        connection = await self.db.acquire(timeout=WRITE_SECONDS_MAX)
        # A server that hangs would also hang our cancellation and rollback: only the connection's end helps.
        end = asyncio.get_running_loop().call_later(WRITE_SECONDS_MAX, connection.terminate)
        try:
            async with connection.transaction():
                for kind, group in itertools.groupby(records, type):
                    await WRITERS[kind](connection, list(group))
        except BaseException:
            connection.terminate()  # in whatever state it is: nobody uses it again
            raise
        finally:
            end.cancel()
            await self.db.release(connection, timeout=1)

    async def _write_one_by_one(self, batch: list[tuple[int, Record]]) -> bool:
        for number, record in batch:
            try:
                await self._write([record])
            except AWAY:
                return False
            except OF_A_RECORD as e:
                self._set_aside(record, e)
            self._done([number])
        return True

    def _done(self, numbers: list[int]) -> None:
        some_were_loaded = bool(self._loaded)
        for number in numbers:
            self._take_out(number)
        self.written += len(numbers)
        if some_were_loaded and not self._loaded and self.pending_file is not None:
            self.pending_file.unlink(missing_ok=True)

    def _set_aside(self, record: Record, why: Exception) -> None:
        self.refused += 1
        log.error("the database refused %r: %s", record, why)
        if self.refused_file is not None:
            with self.refused_file.open("ab") as file:
                file.write(packed([record]))

    # -- Over a restart ------------------------------------------------------------------------------------

    def _spill(self) -> None:
        if self.pending_file is None:
            log.error("%d records of the history are lost", len(self))
            self.lost += len(self)
            return
        self.pending_file.parent.mkdir(parents=True, exist_ok=True)
        half = self.pending_file.with_suffix(".new")
        with half.open("wb") as file:
            file.write(packed(list(self._waiting.values())))
            file.flush()
            os.fsync(file.fileno())
        half.replace(self.pending_file)

    def _load(self) -> None:
        """What the last stop left comes before everything new."""
        if self.pending_file is None or self._loaded or not self.pending_file.exists():
            return
        newer, self._waiting, self._drafts = list(self._waiting.values()), {}, {}
        self._expendable = {kind: {} for kind in EXPENDABLE}
        try:
            left = unpacked(self.pending_file.read_bytes())
        except (ValueError, TypeError, KeyError, msgpack.UnpackException):
            log.exception("%s cannot be read and is put aside", self.pending_file)
            self.pending_file.replace(self.pending_file.with_suffix(".unreadable"))
            left = []
        self._loaded = {self._append(record) for record in left}
        for record in newer:
            self._append(record)


def packed(records: list[Record]) -> bytes:
    """A stream of [kind, fields]; times as ISO 8601 behind an extension type."""
    packer = msgpack.Packer(default=plain)
    return b"".join(packer.pack([type(r).__name__, fields(r)]) for r in records)


def fields(record: Record) -> dict[str, Any]:
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}


def plain(value: object) -> object:
    if isinstance(value, datetime.datetime):
        return msgpack.ExtType(1, value.isoformat().encode())
    return dict(value) if isinstance(value, Mapping) else str(value)


def unpacked(data: bytes) -> list[Record]:
    unpacker = msgpack.Unpacker(ext_hook=lambda _, text: datetime.datetime.fromisoformat(text.decode()))
    unpacker.feed(data)
    return [KINDS[kind](**values) for kind, values in unpacker]
