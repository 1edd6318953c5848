"""Imports: a file of people becomes customers, and items of a campaign's list, all of it or nothing.

A process of its own reads the file (crm/import_worker.py); its rows stream through a pipe, which is the
bounded queue, into a staging table; one transaction takes them over (crm/import_merge.py).
"""

import asyncio
import contextlib
import csv
import datetime
import json
import logging
import os
import secrets
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import asyncpg

from config.settings import AREA_CODES
from crm import audit, campaigns, custom_fields, import_layouts, import_merge, lists
from crm.campaigns import Campaign
from crm.child import before_exec
from crm.db import Db
from crm.entry import TRUE, missing
from crm.exports import harmless
from crm.form import Field
from crm.import_layouts import ImportLayout
from crm.import_rows import (
    MATCHES,
    OTHER,
    TYPE_LENGTH_MAX,
    Converter,
    Note,
    Person,
    Rejected,
    guess,
    plan_of,
    wrong_plan,
)
from crm.import_worker import HEAD, TOO_LARGE
from crm.lists import Ask
from crm.refused import Refused
from crm.sheets import Column, Preview, Reading
from crm.users import User, require

log = logging.getLogger(__name__)

BYTES_MAX = 4 << 30
FRAME_BYTES_MAX = 1 << 28
PIPE_BYTES = 1 << 20  # rows waiting between the reader and the database
RECOGNISE_SECONDS_MAX = 180
KEPT_DAYS = 7
SECONDS_BETWEEN_NEWS = 0.1
SECONDS_BETWEEN_NOTES = 1.0  # of the progress in the import's row, for other nodes and a reload
SOURCE = Path(__file__).resolve().parents[1]
AGAIN = ("previewed", "failed", "cancelled")  # from here it can be started, as its file is still there
ON_KNOWN = ("update", "keep")
WRONG_DOCUMENT = ("reject", "leave_out")
FIGURES = ("added", "updated", "duplicates", "blocked", "rejected", "listed", "phones", "notes")


@dataclass(frozen=True, slots=True)
class Import:
    id: int
    by_user_id: int | None
    by: str
    layout_id: int | None
    campaign_id: int | None
    campaign: str
    name: str
    bytes: int
    preview: Preview
    columns: tuple[Mapping[str, str], ...]  # name and target
    options: Mapping[str, Any]  # area_code, matches, on_known, phone_required, wrong_document, other_type
    state: str
    rows_all: int
    rows_read: int
    rows_done: int
    added: int
    updated: int
    duplicates: int
    blocked: int
    rejected: int
    listed: int
    phones: int
    notes: int
    error: str  # a sentence, with names in braces
    error_values: Mapping[str, Any]
    created: datetime.datetime
    started: datetime.datetime | None
    ended: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class Progress:
    state: str
    phase: str  # waiting, reading, checking, saving, or empty when it has ended
    rows_all: int
    rows_read: int
    rows_done: int
    rejected: int

    @property
    def share(self) -> float:
        """Of the bar: reading is the shorter part of the work."""
        every = max(self.rows_all, self.rows_read, 1)
        return min(1.0, 0.3 * self.rows_read / every + 0.7 * self.rows_done / every)


@dataclass(frozen=True, slots=True)
class Tried:
    """What a row of the preview would become."""

    cells: tuple[str, ...]
    name: str
    phones: tuple[str, ...]
    document: str
    people: tuple[Person, ...]
    rejected: str  # a reason, or empty
    notes: tuple[Note, ...]


# -- Finding -----------------------------------------------------------------------------------------------

IMPORT = """
    SELECT import.id, import.by_user_id, coalesce(user_account.name, '') AS by, import.layout_id,
           import.campaign_id, coalesce(campaign.name, '') AS campaign, import.name, import.bytes,
           import.preview, import.columns, import.options, import.state, import.rows_all, import.rows_read,
           import.rows_done, import.added, import.updated, import.duplicates, import.blocked,
           import.rejected, import.listed, import.phones, import.notes, import.error, import.error_values,
           import.created, import.started, import.ended
      FROM import
      LEFT JOIN user_account ON user_account.id = import.by_user_id
      LEFT JOIN campaign ON campaign.id = import.campaign_id
"""


def read(row: asyncpg.Record) -> Import:
    return Import(**{**row, "preview": preview_of(row["preview"]), "columns": tuple(row["columns"])})


def preview_of(said: Mapping[str, Any]) -> Preview:
    return Preview(
        Reading(**said["reading"]),
        tuple(said["sheets"]),
        tuple(Column(each["name"], tuple(each["samples"])) for each in said["columns"]),
        tuple(tuple(row) for row in said["rows"]),
        said["rows_all"],
    )


async def by_id(db: Db | asyncpg.Connection, import_id: int) -> Import | None:
    row = await db.fetchrow(IMPORT + "WHERE import.id = $1", import_id)
    return read(row) if row else None


async def found(db: Db | asyncpg.Connection, import_id: int) -> Import:
    one = await by_id(db, import_id)
    if one is None:
        raise missing("import")
    return one


async def recent(db: Db, limit: int = 50, campaign_id: int | None = None) -> list[Import]:
    """Newest first; of one campaign when it is named."""
    rows = await db.fetch(
        IMPORT + "WHERE $2::integer IS NULL OR import.campaign_id = $2 ORDER BY import.id DESC LIMIT $1",
        limit,
        campaign_id,
    )
    return [read(row) for row in rows]


# -- Choosing ----------------------------------------------------------------------------------------------


def checked_options(values: Mapping[str, Any], targets: Sequence[str], area_code: str) -> dict[str, Any]:
    """What is not said is what suits these columns."""
    errors = {}
    wished = values.get("matches", usual_matches(targets))
    answer: dict[str, Any] = {
        "area_code": str(values.get("area_code") or area_code).strip(),
        "on_known": str(values.get("on_known") or "update"),
        "wrong_document": str(values.get("wrong_document") or "reject"),
        "phone_required": values.get("phone_required", "phone" in targets) in TRUE,
        "matches": [key for key in MATCHES if key in wished],
        "other_type": str(values.get("other_type") or OTHER).strip(),
    }
    if answer["area_code"] not in AREA_CODES:
        errors["area_code"] = "not_an_option"
    if answer["on_known"] not in ON_KNOWN:
        errors["on_known"] = "not_an_option"
    if answer["wrong_document"] not in WRONG_DOCUMENT:
        errors["wrong_document"] = "not_an_option"
    if len(answer["other_type"]) > TYPE_LENGTH_MAX or "\x00" in answer["other_type"]:
        errors["other_type"] = "too_long"
    if any(key not in targets for key in answer["matches"]):
        errors["matches"] = "not_in_the_file"
    if errors:
        refuse_plan(errors)
    return answer


def refuse_plan(errors: Mapping[str, str]) -> NoReturn:
    """By field the key of a message: crm.entry.MESSAGES, or PROBLEMS of webui/imports/said.py."""
    what = ", ".join(f"{field} ({key})" for field, key in errors.items())
    raise Refused(
        "This file cannot be imported so: {what}.", code="form", details={"errors": dict(errors)}, what=what
    )


def usual_matches(targets: Sequence[str]) -> list[str]:
    """By what customers are told apart: a telephone only when nothing better is in the file."""
    better = [key for key in ("document", "external_code") if key in targets]
    return better or [key for key in ("phone",) if key in targets]


def tried(one: Import, fields: Sequence[Field]) -> list[Tried]:
    """The preview's rows as they would be taken."""
    work = Converter(plan_of({**one.options, "columns": one.columns}, fields))
    answer = []
    for cells in one.preview.rows:
        try:
            customer = work.row(cells)
            who = (customer.name, customer.phones, customer.document, customer.people)
            answer.append(Tried(cells, *who, "", tuple(work.notes)))
        except Rejected as no:
            answer.append(Tried(cells, "", (), "", (), no.reason, ()))
    return answer


# -- Jobs --------------------------------------------------------------------------------------------------


class Imports:
    """Receives files, carries imports out one after the other, and tells whoever follows them."""

    def __init__(
        self, db: Db, data: Path, area_code: str = "11", inbox: Path | None = None, ask: Ask | None = None
    ) -> None:
        self.db, self.area_code, self.ask = db, area_code, ask
        self.folder = (data / "imports").resolve()
        self.inbox = inbox or self.folder / "inbox"  # files put here by other means (UAU-02)
        self._jobs: dict[int, asyncio.Task[None]] = {}
        self._live: dict[int, Progress] = {}
        self._news: dict[int, asyncio.Event] = {}
        self._told: dict[int, float] = {}
        self._one_at_a_time = asyncio.Lock()

    # -- a file comes in

    async def receive(
        self, by: User, name: str, pieces: AsyncIterator[bytes], campaign_id: int | None = None
    ) -> int:
        """The id of an import whose columns can now be looked at. Refused when the file is no table."""
        require(by, "run_campaigns")
        arriving = self._path(secrets.token_hex(8) + ".part")
        arriving.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            size = 0
            with os.fdopen(os.open(arriving, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                async for piece in pieces:
                    size += len(piece)
                    if size > BYTES_MAX:
                        raise Refused("This file is larger than {most} GB.", most=BYTES_MAX >> 30)
                    file.write(piece)
            return await self._accept(by, name, arriving, size, campaign_id)
        finally:
            arriving.unlink(missing_ok=True)

    def inbox_usable(self) -> bool:
        """May this program read and write the folder for bulk imports? A missing one may be made (UAU-02)."""
        rights = os.R_OK | os.W_OK | os.X_OK
        return not self.inbox.exists() or (self.inbox.is_dir() and os.access(self.inbox, rights))

    def waiting_files(self) -> list[str]:
        """Names of the files in the folder for bulk imports, newest first (UAU-03)."""
        if not self.inbox.is_dir() or not self.inbox_usable():
            return []
        files = [path for path in self.inbox.iterdir() if path.is_file() and not path.name.startswith(".")]
        return [path.name for path in sorted(files, key=lambda path: -path.stat().st_mtime)][:200]

    async def take(self, by: User, name: str, campaign_id: int | None = None) -> int:
        """Like `receive`, of a file in the folder for bulk imports; it stays there."""
        require(by, "run_campaigns")
        if name not in self.waiting_files():
            raise Refused("There is no file {name} in the folder for imports.", name=name)

        async def pieces() -> AsyncIterator[bytes]:
            with (self.inbox / name).open("rb") as file:
                while piece := await asyncio.to_thread(file.read, 1 << 20):
                    yield piece

        return await self.receive(by, name, pieces(), campaign_id)

    async def _accept(self, by: User, name: str, arrived: Path, size: int, campaign_id: int | None) -> int:
        if size == 0:
            raise Refused("There is nothing in this file.")
        campaign = await self._campaign(campaign_id)
        known = await import_layouts.all(self.db)
        preview = await self._recognise(arrived, Reading())
        layout = None
        if campaign is not None and campaign.import_layout_id is not None:
            expected = [each for each in known if each.id == campaign.import_layout_id]
            layout = import_layouts.fitting(expected, preview)
        layout = layout or import_layouts.fitting(known, preview)
        targets = await self._targets(preview, layout)
        async with self.db.acquire() as connection, connection.transaction():
            import_id = await connection.fetchval(
                """
                INSERT INTO import (by_user_id, layout_id, campaign_id, name, bytes, preview, columns,
                                    options, state, rows_all)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'previewed', $9) RETURNING id
                """,
                by.id,
                layout.id if layout else None,
                campaign_id,
                Path(name.replace("\\", "/")).name[:200] or "?",
                size,
                asdict(preview),
                columns_of(preview, targets),
                self._options(layout, targets),
                preview.rows_all,
            )
            os.replace(arrived, self._path(f"{import_id}.file"))
        return import_id

    def _options(self, layout: ImportLayout | None, targets: Sequence[str]) -> dict[str, Any]:
        given = dict(layout.options) if layout else {}
        given["matches"] = [key for key in given.get("matches", usual_matches(targets)) if key in targets]
        return checked_options(given, targets, self.area_code)

    async def _targets(self, preview: Preview, layout: ImportLayout | None) -> list[str]:
        known = import_layouts.targets(layout, preview) if layout else None
        names = [column.name for column in preview.columns] if preview.reading.header else []
        names += [""] * (len(preview.columns) - len(names))
        return known or guess(names, [column.samples for column in preview.columns], await self.fields())

    async def fields(self) -> list[Field]:
        return [field.field for field in await custom_fields.all(self.db)]

    async def _campaign(self, campaign_id: int | None) -> Campaign | None:
        campaign = await campaigns.found(self.db, campaign_id) if campaign_id is not None else None
        if campaign is not None and campaign.status == "ended":
            raise Refused("The campaign {name} has ended.", code="wrong_status", name=campaign.name)
        return campaign

    # -- what a person chooses

    async def read_again(self, by: User, import_id: int, reading: Reading) -> None:
        """With another delimiter, encoding, sheet, or with or without a header."""
        require(by, "run_campaigns")
        one = self._open(await found(self.db, import_id))
        preview = await self._recognise(self._path(f"{import_id}.file"), reading)
        layout = import_layouts.fitting(await import_layouts.all(self.db), preview)
        targets = await self._targets(preview, layout)
        kept = [key for key in one.options["matches"] if key in targets]
        options = {**one.options, "matches": kept or usual_matches(targets)}
        await self.db.execute(
            """
            UPDATE import SET preview = $2, columns = $3, options = $4, layout_id = $5, rows_all = $6
             WHERE id = $1
            """,
            import_id,
            asdict(preview),
            columns_of(preview, targets),
            options,
            layout.id if layout else None,
            preview.rows_all,
        )

    async def choose(
        self,
        by: User,
        import_id: int,
        targets: Sequence[str],
        options: Mapping[str, Any],
        campaign_id: int | None,
        layout_name: str = "",
    ) -> None:
        """What each column is, and what happens with whom. A name remembers all that as a layout."""
        require(by, "run_campaigns")
        one = self._open(await found(self.db, import_id))
        await self._campaign(campaign_id)
        if len(targets) != len(one.preview.columns):
            raise Refused("The file has {columns} columns.", columns=len(one.preview.columns))
        fields = await self.fields()
        checked = checked_options(options, targets, self.area_code)
        if problem := wrong_plan(targets, fields, checked["phone_required"]):
            refuse_plan({"columns": problem})
        columns = columns_of(one.preview, targets)
        async with self.db.acquire() as connection, connection.transaction():
            layout_id = one.layout_id
            if layout_name.strip():
                layout_id = await import_layouts.save(
                    connection, by, layout_name, one.preview, columns, checked
                )
            await connection.execute(
                """
                UPDATE import SET columns = $2, options = $3, campaign_id = $4, layout_id = $5 WHERE id = $1
                """,
                import_id,
                columns,
                checked,
                campaign_id,
                layout_id,
            )

    async def use_layout(self, by: User, import_id: int, layout_id: int) -> None:
        require(by, "run_campaigns")
        one = self._open(await found(self.db, import_id))
        layout = await import_layouts.by_id(self.db, layout_id)
        targets = import_layouts.targets(layout, one.preview) if layout else None
        if layout is None or targets is None:
            raise Refused("This file does not have the columns of that layout.")
        await self.db.execute(
            "UPDATE import SET columns = $2, options = $3, layout_id = $4 WHERE id = $1",
            import_id,
            columns_of(one.preview, targets),
            self._options(layout, targets),
            layout.id,
        )

    def _open(self, one: Import) -> Import:
        if one.state not in AGAIN or not self._path(f"{one.id}.file").exists():
            raise Refused("This import can no longer be changed.", code="wrong_status")
        return one

    # -- the work

    async def start(self, by: User, import_id: int) -> None:
        require(by, "run_campaigns")
        one = self._open(await found(self.db, import_id))
        campaign = await self._campaign(one.campaign_id)
        if campaign is not None and campaign.status == "draft":
            raise Refused(
                "The campaign {name} has to be active before its list is recorded.",
                code="wrong_status",
                name=campaign.name,
            )
        targets = [column["target"] for column in one.columns]
        if problem := wrong_plan(targets, await self.fields(), one.options["phone_required"]):
            refuse_plan({"columns": problem})
        async with self.db.acquire() as connection, connection.transaction():
            started = await connection.fetchval(
                """
                UPDATE import SET state = 'running', started = now(), ended = NULL, error = '', rows_read = 0,
                                  rows_done = 0, rejected = 0, error_values = '{}'
                 WHERE id = $1 AND state = ANY($2::text[]) RETURNING id
                """,
                import_id,
                AGAIN,
            )
            if started is None:
                raise Refused("This import can no longer be changed.", code="wrong_status")
            await audit.note(
                connection,
                by,
                "import.start",
                f"import {import_id}",
                None,
                {"file": one.name, "campaign": one.campaign, "columns": list(one.columns), **one.options},
            )
        self._live[import_id] = Progress("running", "waiting", one.rows_all, 0, 0, 0)
        job = asyncio.create_task(self._run(by, import_id), name=f"import {import_id}")
        self._jobs[import_id] = job

    async def cancel(self, by: User, import_id: int) -> None:
        """Nothing of it stays, unless its last moment had come already."""
        require(by, "run_campaigns")
        if job := self._jobs.get(import_id):
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)

    async def remove(self, by: User, import_id: int) -> None:
        """An import that was never carried out, and its file."""
        require(by, "run_campaigns")
        self._open(await found(self.db, import_id))
        await self.db.execute("DELETE FROM import WHERE id = $1 AND state <> 'done'", import_id)
        for ending in ("file", "report"):
            self._path(f"{import_id}.{ending}").unlink(missing_ok=True)

    async def follow(self, import_id: int) -> AsyncGenerator[Progress, None]:
        """What is known now, then every change until the import has ended."""
        while True:
            news = self._news.setdefault(import_id, asyncio.Event())
            now = self._live.get(import_id)
            if now is None:
                one = await found(self.db, import_id)
                now = Progress(one.state, "", one.rows_all, one.rows_read, one.rows_done, one.rejected)
            yield now
            if now.state != "running" or import_id not in self._jobs:
                return
            await news.wait()

    def report(self, one: Import) -> Path:
        """Line, reason, column, value and the cells of every row not taken, or not all of it."""
        path = self._path(f"{one.id}.report")
        if one.state != "done" or not path.is_file():
            raise missing("report")
        return path

    async def clean(self) -> None:
        """Once at the start: what a stopped server left running has failed, what is old goes."""
        await self.db.execute(
            """
            UPDATE import SET state = 'failed', ended = now(),
                   error = 'The server was stopped meanwhile. Nothing of the file was imported; start again.'
             WHERE state = 'running'
            """
        )
        week = datetime.timedelta(days=KEPT_DAYS)
        await self.db.execute(
            "DELETE FROM import WHERE state <> 'done' AND created < now() - $1::interval", week
        )
        kept = await self.db.fetch(
            """
            SELECT id || '.file' AS name FROM import WHERE state <> 'done'
             UNION ALL
            SELECT id || '.report' FROM import WHERE state = 'done' AND ended > now() - $1::interval
            """,
            week,
        )
        names = {row["name"] for row in kept}
        for path in self.folder.glob("*.*") if self.folder.exists() else ():
            if path.is_file() and path.name not in names:
                path.unlink(missing_ok=True)

    async def close(self) -> None:
        jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _run(self, by: User, import_id: int) -> None:
        """The border round a job: whatever goes wrong is told in its row."""
        try:
            async with self._one_at_a_time:
                await self._carry_out(by, await found(self.db, import_id))
        except asyncio.CancelledError:
            await asyncio.shield(self._end(import_id, "cancelled", "", {}))
            raise
        except Refused as e:
            await self._end(import_id, "failed", e.template, e.values)
        except Exception as e:
            log.exception("import %d failed", import_id)
            why = "The import failed ({error}). Nothing of the file was imported; start again."
            await self._end(import_id, "failed", why, {"error": type(e).__name__})
        finally:
            self._jobs.pop(import_id, None)
            self._live.pop(import_id, None)
            self._told.pop(import_id, None)
            if news := self._news.pop(import_id, None):
                news.set()

    async def _carry_out(self, by: User, one: Import) -> None:
        campaign = await self._campaign(one.campaign_id)
        fields = await self.fields()
        async with self.db.acquire() as connection:
            try:
                await import_merge.prepare(connection)
                figures = await self._stage(connection, one, fields)
                ask = self.ask if campaign and campaign.validates and campaign.validate_list else None
                self._tell(one.id, "checking")
                judged = await import_merge.judge(connection, campaign, one.options["matches"], ask)
                if one.options["on_known"] == "keep":
                    await import_merge.keep(connection)
                await self._report(connection, one)
                await self._merge(connection, by, one, campaign, figures, judged)
            finally:
                if not connection.is_closed():
                    await asyncio.shield(import_merge.drop(connection))
        self._path(f"{one.id}.file").unlink(missing_ok=True)  # personal data nobody needs any more

    async def _stage(
        self, connection: asyncpg.Connection, one: Import, fields: Sequence[Field]
    ) -> dict[str, int]:
        asked = {
            "path": str(self._path(f"{one.id}.file")),
            "report": str(self._path(f"{one.id}.report")),
            "reading": asdict(one.preview.reading),
            "columns": list(one.columns),
            "fields": [asdict(field) for field in fields],
            **one.options,
        }
        figures: dict[str, int] = {}

        async def rows() -> AsyncGenerator[bytes, None]:
            async with contextlib.aclosing(worker("convert", asked)) as frames:
                async for letter, content in frames:
                    if letter == b"R":
                        yield content
                    else:
                        figures.update(json.loads(content))
                        await self._reading(one, figures)

        async with contextlib.aclosing(rows()) as source:
            await import_merge.copy(connection, source)
        return figures

    async def _reading(self, one: Import, figures: Mapping[str, int]) -> None:
        self._tell(
            one.id,
            "reading",
            rows_all=max(one.rows_all, figures["read"]),
            rows_read=figures["read"],
            rejected=figures["rejected"],
        )
        await self._note(one.id)

    async def _report(self, connection: asyncpg.Connection, one: Import) -> None:
        lines = self._path(f"{one.id}.lines")
        try:
            if await import_merge.write_verdicts(connection, lines):
                asked = {
                    "path": str(self._path(f"{one.id}.file")),
                    "report": str(self._path(f"{one.id}.report")),
                    "reading": asdict(one.preview.reading),
                    "lines": str(lines),
                }
                async with contextlib.aclosing(worker("report", asked)) as frames:
                    async for _ in frames:
                        pass
        finally:
            lines.unlink(missing_ok=True)

    async def _merge(
        self,
        connection: asyncpg.Connection,
        by: User,
        one: Import,
        campaign: Campaign | None,
        figures: Mapping[str, int],
        judged: import_merge.Judged,
    ) -> None:
        before = figures["rejected"] + judged.twice + judged.known

        async def progress(added: int) -> None:
            self._tell(one.id, "saving", rows_all=figures["read"], rows_done=before + added)
            await self._note(one.id)

        await progress(0)
        async with connection.transaction():
            load_id = await self._load(connection, by, one, campaign, figures, judged)
            update = one.options["on_known"] == "update"
            other_type = one.options.get("other_type", OTHER)
            merged = await import_merge.merge(connection, campaign, load_id, update, other_type, progress)
            if load_id is not None:
                await connection.execute(
                    """
                    UPDATE campaign_load SET added = $2, duplicates = $3, rejected = rejected + $4
                     WHERE id = $1
                    """,
                    load_id,
                    merged.listed,
                    judged.twice + merged.listed_before,
                    merged.unreachable,
                )
                await lists.keep_refusals(connection, load_id, judged.refusals)
            result = {
                "added": merged.added,
                "updated": merged.updated,
                "duplicates": judged.twice + (0 if update else judged.known),
                "blocked": judged.blocked,
                "rejected": figures["rejected"],
                "listed": merged.listed,
                "phones": figures["phones"],
                "notes": figures["notes"],
            }
            await connection.execute(
                """
                UPDATE import
                   SET state = 'done', ended = now(), rows_all = $2, rows_read = $2, rows_done = $2,
                       added = $3, updated = $4, duplicates = $5, blocked = $6, rejected = $7, listed = $8,
                       phones = $9, notes = $10
                 WHERE id = $1
                """,
                one.id,
                figures["read"],
                *(result[name] for name in FIGURES),
            )
            await audit.note(connection, by, "import.done", f"import {one.id}", None, result)

    async def _load(
        self,
        connection: asyncpg.Connection,
        by: User,
        one: Import,
        campaign: Campaign | None,
        figures: Mapping[str, int],
        judged: import_merge.Judged,
    ) -> int | None:
        """The making of the list that this import is (UAU-32)."""
        if campaign is None:
            return None
        return await connection.fetchval(
            """
            INSERT INTO campaign_load (campaign_id, generation, by_user_id, kind, blocked, rejected, failed,
                                       import_id)
            SELECT id, generation, $2, 'import', $3, $4, $5, $6 FROM campaign WHERE id = $1 RETURNING id
            """,
            campaign.id,
            by.id,
            judged.blocked,
            figures["rejected"] + judged.refused,
            judged.failed,
            one.id,
        )

    async def _end(self, import_id: int, state: str, error: str, values: Mapping[str, Any]) -> None:
        self._path(f"{import_id}.report").unlink(missing_ok=True)
        await self.db.execute(
            """
            UPDATE import SET state = $2, error = $3, error_values = $4, ended = now()
             WHERE id = $1 AND state = 'running'
            """,
            import_id,
            state,
            error,
            dict(values),
        )

    def _tell(self, import_id: int, phase: str, **figures: int) -> None:
        before = self._live[import_id]
        now = Progress(**{**asdict(before), "phase": phase, **figures})
        self._live[import_id] = now
        time = asyncio.get_running_loop().time()
        if phase != before.phase or time - self._told.get(import_id, 0.0) > SECONDS_BETWEEN_NEWS:
            self._told[import_id] = time
            if news := self._news.pop(import_id, None):
                news.set()

    async def _note(self, import_id: int) -> None:
        """The progress in the import's row, now and then."""
        time = asyncio.get_running_loop().time()
        if time - self._told.get(-import_id, 0.0) > SECONDS_BETWEEN_NOTES:
            self._told[-import_id] = time
            now = self._live[import_id]
            await self.db.execute(
                """
                UPDATE import SET rows_all = $2, rows_read = $3, rows_done = $4, rejected = $5 WHERE id = $1
                """,
                import_id,
                now.rows_all,
                now.rows_read,
                now.rows_done,
                now.rejected,
            )

    async def _recognise(self, path: Path, reading: Reading) -> Preview:
        asked = {"path": str(path), "reading": asdict(reading)}
        try:
            async with asyncio.timeout(RECOGNISE_SECONDS_MAX):
                async with contextlib.aclosing(worker("recognise", asked)) as frames:
                    async for _, content in frames:
                        return preview_of(json.loads(content))
        except TimeoutError as e:
            raise Refused(TOO_LARGE) from e
        raise AssertionError("the worker said nothing")

    def _path(self, name: str) -> Path:
        return self.folder / name


def columns_of(preview: Preview, targets: Sequence[str]) -> list[dict[str, str]]:
    return [
        {"name": column.name, "target": target}
        for column, target in zip(preview.columns, targets, strict=True)
    ]


async def worker(task: str, asked: Mapping[str, Any]) -> AsyncGenerator[tuple[bytes, bytes], None]:
    """The frames of one import process; it is gone when this generator is closed. Raises its refusal."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crm.import_worker", task),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=SOURCE,
        env={**os.environ, "RUST_BACKTRACE": "0"},
        limit=PIPE_BYTES,
        start_new_session=True,
        preexec_fn=before_exec(None, signal.SIGKILL, os.getpid()),
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(asked).encode())
        process.stdin.close()
        while True:
            try:
                letter, size = HEAD.unpack(await process.stdout.readexactly(HEAD.size))
                content = await process.stdout.readexactly(min(size, FRAME_BYTES_MAX))
            except asyncio.IncompleteReadError as e:
                if await process.wait() > 0:
                    raise RuntimeError(f"the reader ended with {process.returncode}") from e
                raise Refused(TOO_LARGE) from e  # a signal: its limit on memory
            if letter == b"E":
                said = json.loads(content)
                template = said["template"]
                raise Refused(template, **said["values"])
            yield letter, content
            if letter == b"D":
                return
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


# -- The report --------------------------------------------------------------------------------------------


def report_rows(path: Path, rows_a_step: int = 1000) -> Iterator[list[list[str]]]:
    """The report's rows, some at a time; the first is its header: line, reason, column, value, headings."""
    csv.field_size_limit(1 << 20)
    with path.open(encoding="utf-8", newline="") as file:
        step: list[list[str]] = []
        for row in csv.reader(file):
            step.append([str(harmless(cell)) for cell in row])
            if len(step) == rows_a_step:
                yield step
                step = []
        yield step
