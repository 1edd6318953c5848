"""Exports: long lists written to CSV or XLSX files in the background, with their progress in a table."""

import asyncio
import contextlib
import csv
import datetime
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import xlsxwriter

from crm import audit
from crm.db import Db
from crm.entry import missing
from crm.refused import Refused
from crm.users import User, can, require

log = logging.getLogger(__name__)

FORMATS = ("csv", "xlsx")
RUNNING_MAX = 3  # of one user at once
ROWS_A_STEP = 500  # between two looks at the progress and at whether to go on
XLSX_ROWS_MAX = 1_048_575
KEPT_DAYS = 7
STOPPED = "The server was stopped meanwhile."
FORMULA = re.compile(r"^[\s]*[=+\-@\t\r]")  # what a spreadsheet would calculate


@dataclass(frozen=True, slots=True)
class Export:
    id: int
    by_user_id: int
    kind: str
    format: str
    state: str  # running, done, failed, cancelled
    rows_done: int
    rows_all: int | None
    file: str | None  # its name below data/exports
    error: str | None  # a sentence in English, to be said with error_values in the reader's language
    error_values: Mapping[str, Any]
    started: datetime.datetime
    ended: datetime.datetime | None


class Source(Protocol):
    """What is exported: its rows in the words of whoever gets them, and how it is noted."""

    @property
    def kind(self) -> str: ...  # also the beginning of the file's name
    def asked(self) -> Mapping[str, Any]: ...
    async def count(self, db: Db) -> int: ...
    async def titles(self, db: Db) -> list[str]: ...
    def rows(self, db: Db) -> AsyncIterator[list[Any]]: ...


class Table(Protocol):
    """A file being written."""

    def row(self, cells: Sequence[Any]) -> None: ...
    def close(self) -> None: ...


# -- Jobs --------------------------------------------------------------------------------------------------

EXPORT = """
    SELECT id, by_user_id, kind, format, state, rows_done, rows_all, file, error, error_values, started, ended
      FROM export
"""


async def by_id(db: Db, user: User, export_id: int) -> Export | None:
    """One's own, or anybody's for an administrator."""
    row = await db.fetchrow(EXPORT + "WHERE id = $1", export_id)
    mine = row is not None and (row["by_user_id"] == user.id or can(user, "administer"))
    return Export(**row) if mine else None


async def of_user(db: Db, user: User, limit: int = 20) -> list[Export]:
    rows = await db.fetch(EXPORT + "WHERE by_user_id = $1 ORDER BY id DESC LIMIT $2", user.id, limit)
    return [Export(**row) for row in rows]


class Exports:
    """Starts and ends the jobs; lives as long as the server."""

    def __init__(self, db: Db, data: Path) -> None:
        self.db, self.folder = db, data / "exports"
        self._jobs: dict[int, asyncio.Task[None]] = {}

    async def start(self, by: User, source: Source, format: str) -> int:
        """The id of a job that now runs; the caller knows that the user may see what the source holds."""
        require(by, "export")
        if format not in FORMATS:
            raise Refused("There is no such export.", code="bad_argument")
        running = sum(1 for each in await of_user(self.db, by) if each.state == "running")
        if running >= RUNNING_MAX:
            raise Refused("{n} exports of yours are still running.", code="busy", n=running)
        asked = audit.plain(source.asked())
        async with self.db.acquire() as connection, connection.transaction():
            export_id = await connection.fetchval(
                """
                INSERT INTO export (by_user_id, kind, filter, format, state)
                VALUES ($1, $2, $3, $4, 'running') RETURNING id
                """,
                by.id,
                source.kind,
                asked,
                format,
            )
            await audit.note(connection, by, "export.start", f"export {export_id}", None, asked)
        job = asyncio.create_task(self._run(export_id, source, format), name=f"export {export_id}")
        self._jobs[export_id] = job
        job.add_done_callback(lambda _: self._jobs.pop(export_id, None))
        return export_id

    async def cancel(self, by: User, export_id: int) -> None:
        if await by_id(self.db, by, export_id) is None:
            raise missing("export")
        await self.db.execute(
            """
            UPDATE export SET state = 'cancelled', ended = now() WHERE id = $1 AND state = 'running'
            """,
            export_id,
        )
        if job := self._jobs.get(export_id):
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)

    async def file(self, by: User, export_id: int) -> Path:
        """Where a finished export is."""
        export = await by_id(self.db, by, export_id)
        if export is None or export.file is None or not (self.folder / export.file).is_file():
            raise missing("export")
        return self.folder / export.file

    async def clean(self) -> None:
        """Once at the start: what a stopped server left running has failed, what is old goes."""
        await self.db.execute(
            "UPDATE export SET state = 'failed', error = $1, ended = now() WHERE state = 'running'", STOPPED
        )
        rows = await self.db.fetch(
            "DELETE FROM export WHERE started < now() - $1::interval RETURNING file",
            datetime.timedelta(days=KEPT_DAYS),
        )
        kept = {row["file"] for row in await self.db.fetch("SELECT file FROM export WHERE file IS NOT NULL")}
        gone = {row["file"] for row in rows if row["file"]}
        for path in self.folder.glob("*") if self.folder.exists() else ():
            if path.name in gone or path.name not in kept:
                path.unlink(missing_ok=True)

    async def close(self) -> None:
        jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _run(self, export_id: int, source: Source, format: str) -> None:
        """The border round a job: whatever goes wrong is told in its row."""
        name = f"{source.kind}-{export_id}.{format}"
        half = self.folder / (name + ".part")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            rows = await write(self.db, source, half, format, partial(self._note, export_id))
            half.replace(self.folder / name)
            await self._end(export_id, "done", rows, name)
        except Refused as e:
            await self._end(export_id, "failed", error=e)
        except Exception as e:
            log.exception("export %d failed", export_id)
            await self._end(export_id, "failed", error=unforeseen(e))
        finally:
            with contextlib.suppress(OSError):
                half.unlink(missing_ok=True)

    async def _note(self, export_id: int, rows_done: int, rows_all: int) -> None:
        await self.db.execute(
            "UPDATE export SET rows_done = $2, rows_all = $3 WHERE id = $1", export_id, rows_done, rows_all
        )

    async def _end(
        self,
        export_id: int,
        state: str,
        rows: int | None = None,
        file: str | None = None,
        error: Refused | None = None,
    ) -> None:
        await self.db.execute(
            """
            UPDATE export SET state = $2, rows_done = coalesce($3, rows_done), file = $4, error = $5,
                              error_values = $6, ended = now()
             WHERE id = $1 AND state = 'running'
            """,
            export_id,
            state,
            rows,
            file,
            error.template if error else None,
            audit.plain(error.values) if error else {},
        )


def unforeseen(error: Exception) -> Refused:
    """What readers are told of a failure that only the log explains."""
    return Refused("The file could not be written ({error}).", error=type(error).__name__)


# -- Files -------------------------------------------------------------------------------------------------


async def write(
    db: Db,
    source: Source,
    path: Path,
    format: str,
    note: Callable[[int, int], Awaitable[None]],
) -> int:
    """The whole source into a file; answers its rows. `note` hears how far it is after each step."""
    rows_all = await source.count(db)
    if format == "xlsx" and rows_all > XLSX_ROWS_MAX:
        raise Refused("A spreadsheet holds {most} rows; choose CSV or a shorter period.", most=XLSX_ROWS_MAX)
    table: Table = Csv(path) if format == "csv" else Xlsx(path)
    done = 0
    try:
        table.row(await source.titles(db))
        waiting: list[list[Any]] = []
        async for cells in source.rows(db):
            waiting.append(cells)
            done += 1
            if len(waiting) == ROWS_A_STEP:
                # In a thread: a spreadsheet takes a tenth of a millisecond a row, and calls are going on.
                await asyncio.to_thread(put_rows, table, waiting)
                await note(done, rows_all)
                waiting = []
        await asyncio.to_thread(put_rows, table, waiting)
        await note(done, rows_all)
    finally:
        await asyncio.to_thread(table.close)
    return done


def put_rows(table: Table, rows: list[list[Any]]) -> None:
    for row in rows:
        table.row(row)


def harmless(cell: Any) -> Any:
    """Text a spreadsheet would take for a formula gets an apostrophe before it."""
    return "'" + cell if isinstance(cell, str) and FORMULA.match(cell) else cell


class Csv:
    """With a byte order mark and semicolons, as spreadsheets in Brazil open it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8-sig", newline="")
        self._writer = csv.writer(self._file, delimiter=";")

    def row(self, cells: Sequence[Any]) -> None:
        self._writer.writerow([harmless(self._text(cell)) for cell in cells])

    def _text(self, cell: Any) -> Any:
        if isinstance(cell, bool):
            return "1" if cell else "0"
        if isinstance(cell, datetime.datetime):
            return cell.isoformat(" ", "seconds")
        return str(cell).replace(".", ",") if isinstance(cell, float) else cell

    def close(self) -> None:
        self._file.close()


class Xlsx:
    """Rows go to a temporary file as they come; text is always written as text."""

    def __init__(self, path: Path) -> None:
        self._book = xlsxwriter.Workbook(
            str(path), {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        )
        self._sheet = self._book.add_worksheet("Ramal")
        self._time = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._head = self._book.add_format({"bold": True})
        self._next = 0
        self._sheet.freeze_panes(1, 0)

    def row(self, cells: Sequence[Any]) -> None:
        for column, cell in enumerate(cells):
            self._cell(column, cell)
        self._next += 1

    def _cell(self, column: int, cell: Any) -> None:
        if isinstance(cell, datetime.datetime):
            self._sheet.write_datetime(self._next, column, cell, self._time)
        elif isinstance(cell, bool):
            self._sheet.write_boolean(self._next, column, cell)
        elif isinstance(cell, int | float):
            self._sheet.write_number(self._next, column, cell)
        else:
            self._sheet.write_string(self._next, column, str(cell), self._head if self._next == 0 else None)

    def close(self) -> None:
        self._book.close()
