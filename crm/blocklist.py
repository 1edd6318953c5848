"""Do-not-call: numbers nobody may call, in one campaign or in every one."""

import asyncio
import contextlib
import datetime
import logging
import re
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from crm import audit, items, sheets
from crm.db import AWAY, Db
from crm.e164 import display, normalise
from crm.entry import Entry, missing
from crm.exports import Csv, Xlsx
from crm.refused import Refused
from crm.users import User, require

log = logging.getLogger(__name__)

CHANNEL = "blocked_number"  # the tables' trigger tells of changes here
EVERYTHING = "all"
RETRY_SECONDS = 1.0
ROWS_MAX = 2_000_000  # of one imported file
TAKEN_OFF_MAX = 1000  # people offered to come back at once
REJECTED_KEPT = 10_000  # rows named in the answer of an import; the others are only counted

# Why a row of an imported list was not taken; keys of webui's words.
NOT_A_PHONE = "not_a_phone"
REPEATED = "repeated"
ALREADY = "already"


@dataclass(frozen=True, slots=True)
class Blocked:
    id: int
    number: str  # E.164
    campaign_id: int | None  # None: every campaign, and by hand
    campaign: str  # its name; empty for every campaign
    reason: str
    by_user_id: int | None
    by: str
    at: datetime.datetime


@dataclass(frozen=True, slots=True)
class Rejected:
    line: int
    text: str
    reason: str  # NOT_A_PHONE, REPEATED or ALREADY


@dataclass(frozen=True, slots=True)
class Imported:
    rows: int
    accepted: int
    already: int  # were blocked before
    repeated: int  # stood in the file twice
    rejected: int  # are no telephone numbers
    details: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class TakenOff:
    """Somebody of a running campaign who is not called any more because this number was blocked."""

    item_id: int
    campaign_id: int
    campaign: str
    contact: str
    number: str


@dataclass(frozen=True, slots=True)
class Unblocked:
    numbers: int
    taken_off: tuple[TakenOff, ...]  # whom `bring_back` brings back


# -- Asking ------------------------------------------------------------------------------------------------


async def is_blocked(db: Db | asyncpg.Connection, number: str, campaign_id: int | None = None) -> bool:
    """Of an E.164 number, by the table: in every campaign, or in this one."""
    return await db.fetchval("SELECT is_blocked($1, $2)", number, campaign_id)


async def why(db: Db | asyncpg.Connection, number: str, campaign_id: int | None = None) -> Blocked | None:
    """The row that blocks this number; the one of every campaign first."""
    found = await rows(
        db,
        "number = $1 AND (campaign_id IS NULL OR campaign_id = $2)",
        [number, campaign_id],
        "ORDER BY campaign_id NULLS FIRST LIMIT 1",
    )
    return found[0] if found else None


class Blocklist:
    """Every blocked number in memory, for whoever is about to dial. Follows the table while `follow` runs.

    The table is asked once more at the moment of dialing (`is_blocked`): this answers without waiting.
    """

    def __init__(self) -> None:
        self.everywhere: set[str] = set()
        self.by_campaign: dict[int, set[str]] = {}
        self.loaded = asyncio.Event()  # set while the table is followed
        self._told: set[str] = set()  # what changed and has not been read again; bounded by `all`
        self._news = asyncio.Event()

    def blocked(self, number: str, campaign_id: int | None = None) -> bool:
        return number in self.everywhere or (
            campaign_id is not None and number in self.by_campaign.get(campaign_id, ())
        )

    def __len__(self) -> int:
        return len(self.everywhere) + sum(len(numbers) for numbers in self.by_campaign.values())

    async def load(self, db: Db | asyncpg.Connection) -> None:
        everywhere: set[str] = set()
        by_campaign: dict[int, set[str]] = {}
        for row in await db.fetch("SELECT number, campaign_id FROM blocked_number"):
            if row["campaign_id"] is None:
                everywhere.add(row["number"])
            else:
                by_campaign.setdefault(row["campaign_id"], set()).add(row["number"])
        self.everywhere, self.by_campaign = everywhere, by_campaign

    async def follow(self, db: Db, retry_seconds: float = RETRY_SECONDS) -> None:
        """Until cancelled: load, then hear of each change; all over again when the connection breaks."""
        while True:
            try:
                async with db.acquire() as connection:
                    await self._follow(connection)
            except (*AWAY, asyncpg.PostgresError) as e:
                log.warning("the do-not-call list is not followed at the moment: %r", e)
            self.loaded.clear()
            await asyncio.sleep(retry_seconds)

    async def _follow(self, connection: asyncpg.Connection) -> None:
        lost = asyncio.Event()

        def heard(_connection: object, _pid: int, _channel: str, payload: str) -> None:
            if payload == EVERYTHING or len(self._told) > 10_000:
                self._told = {EVERYTHING}
            else:
                self._told.update(change.partition(" ")[0] for change in payload.split(","))
            self._news.set()

        def gone(_connection: object) -> None:
            lost.set()
            self._news.set()

        await connection.add_listener(CHANNEL, heard)
        connection.add_termination_listener(gone)
        try:
            await self.load(connection)
            self.loaded.set()
            while not lost.is_set():
                await self._news.wait()
                self._news.clear()
                told, self._told = self._told, set()
                if EVERYTHING in told:
                    await self.load(connection)
                elif told:
                    await self._read_again(connection, told)
        finally:
            connection.remove_termination_listener(gone)
            with contextlib.suppress(*AWAY):
                await connection.remove_listener(CHANNEL, heard)

    async def _read_again(self, connection: asyncpg.Connection, numbers: Collection[str]) -> None:
        found = await connection.fetch(
            "SELECT number, campaign_id FROM blocked_number WHERE number = ANY($1::text[])", list(numbers)
        )
        self.everywhere.difference_update(numbers)
        for here in self.by_campaign.values():
            here.difference_update(numbers)
        for row in found:
            if row["campaign_id"] is None:
                self.everywhere.add(row["number"])
            else:
                self.by_campaign.setdefault(row["campaign_id"], set()).add(row["number"])


# -- Finding -----------------------------------------------------------------------------------------------


async def rows(
    db: Db | asyncpg.Connection, condition: str, values: Sequence[object], rest: str
) -> list[Blocked]:
    found = await db.fetch(
        f"""
        SELECT blocked_number.id, number, campaign_id, coalesce(campaign.name, '') AS campaign, reason,
               by_user_id, coalesce(user_account.name, '') AS by, at
          FROM blocked_number
          LEFT JOIN user_account ON user_account.id = blocked_number.by_user_id
          LEFT JOIN campaign ON campaign.id = blocked_number.campaign_id
         WHERE {condition} {rest}
        """,
        *values,
    )
    return [Blocked(**row) for row in found]


def where(text: str, campaign_id: int | None, everywhere: bool) -> tuple[str, list[object]]:
    """By any part of the reason or the last digits of a number; of one campaign, or of every campaign."""
    conditions, values = ["true"], []  # type: tuple[list[str], list[object]]
    digits = re.sub(r"\D", "", text)
    whole = normalise(text, "11") if digits else None
    if text.strip():
        values += [whole or "", digits, text.strip().replace("\x00", "")]
        conditions.append(
            "(number = $1 OR (length($2) >= 4 AND reverse(number) LIKE reverse($2) || '%')"
            " OR strpos(f_norm(reason), f_norm($3)) > 0)"
        )
    if campaign_id is not None:
        values.append(campaign_id)
        conditions.append(f"campaign_id = ${len(values)}")
    elif everywhere:
        conditions.append("campaign_id IS NULL")
    return " AND ".join(conditions), values


async def search(
    db: Db,
    text: str = "",
    campaign_id: int | None = None,
    everywhere: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> list[Blocked]:
    """The latest first; `everywhere` leaves out those blocked in one campaign only."""
    condition, values = where(text, campaign_id, everywhere)
    return await rows(
        db, condition, values, f"ORDER BY at DESC, blocked_number.id DESC LIMIT {limit:d} OFFSET {offset:d}"
    )


async def count(db: Db, text: str = "", campaign_id: int | None = None, everywhere: bool = False) -> int:
    condition, values = where(text, campaign_id, everywhere)
    return await db.fetchval(f"SELECT count(*) FROM blocked_number WHERE {condition}", *values)


# -- Changing ----------------------------------------------------------------------------------------------


def checked_number(text: str, area_code: str) -> str | None:
    """E.164, or none: an extension or a service such as 190 cannot be blocked."""
    number = normalise(text.strip().lstrip("'"), area_code)
    return number if number and number.startswith("+") else None


async def block(
    db: Db,
    by: User | None,
    number: str,
    campaign_id: int | None = None,
    reason: str = "",
    area_code: str = "11",
) -> Blocked:
    """From now on, in this campaign or in every one. One already blocked stays as it was."""
    require(by, "edit_contacts")
    entry = Entry({"number": number, "reason": reason})
    entry.text("number", 40)
    reason = entry.text("reason", 500, required=False)
    known = checked_number(number, area_code)
    if known is None:
        entry.errors.setdefault("number", "not_a_phone")
    entry.done()
    async with db.acquire() as connection, connection.transaction():
        made = await connection.fetchval(
            """
            INSERT INTO blocked_number (number, campaign_id, reason, by_user_id) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING RETURNING id
            """,
            known,
            campaign_id,
            reason,
            by.id if by else None,
        )
        if made is not None:
            new = {"number": known, "campaign": campaign_id, "reason": reason}
            await audit.note(connection, by, "blocked_number.create", f"number {known}", None, new)
        found = await rows(
            connection, "number = $1 AND campaign_id IS NOT DISTINCT FROM $2", [known, campaign_id], ""
        )
    return found[0]


async def unblock(
    db: Db, by: User | None, number: str, campaign_id: int | None = None, reason: str = ""
) -> None:
    """This number may be called again, where it was blocked: in this campaign, or in every one."""
    found = await rows(db, "number = $1 AND campaign_id IS NOT DISTINCT FROM $2", [number, campaign_id], "")
    if not found:
        raise missing("blocked number")
    await unblock_all(db, by, [found[0].id], reason)


async def unblock_all(db: Db, by: User | None, ids: Iterable[int], reason: str = "") -> Unblocked:
    """Each stands in the audit with who had blocked it and why."""
    require(by, "run_campaigns")
    entry = Entry({"reason": reason})
    reason = entry.text("reason", 500, required=False)
    entry.done()
    async with db.acquire() as connection, connection.transaction():
        gone = await connection.fetch(
            """
            DELETE FROM blocked_number WHERE id = ANY($1::bigint[])
            RETURNING number, campaign_id AS campaign, reason, by_user_id, at
            """,
            list(ids),
        )
        for row in gone:
            after = {"why": reason} if reason else None
            await audit.note(
                connection, by, "blocked_number.remove", f"number {row['number']}", dict(row), after
            )
        people = await taken_off(connection, [(row["number"], row["campaign"]) for row in gone])
    return Unblocked(len(gone), tuple(people))


async def taken_off(
    db: Db | asyncpg.Connection, numbers: Iterable[tuple[str, int | None]], limit: int = TAKEN_OFF_MAX
) -> list[TakenOff]:
    """Whom running campaigns took off their lists for want of these numbers, which may be called again.

    A number is given with the campaign it was blocked in, or None. Whom a supervisor cancelled stays so.
    """
    asked = list(numbers)
    rows = await db.fetch(
        """
        SELECT DISTINCT ON (campaign.name, item.id) item.id AS item_id, item.campaign_id,
               campaign.name AS campaign, contact.name AS contact, asked.number
          FROM unnest($1::text[], $2::integer[]) AS asked (number, campaign_id)
         CROSS JOIN LATERAL (
               SELECT contact_id FROM contact_phone WHERE contact_phone.number = asked.number
                UNION
               SELECT contact_id FROM contact_person WHERE contact_person.phones @> ARRAY[asked.number]
               ) AS reached
          JOIN list_item AS item ON item.contact_id = reached.contact_id AND item.state = 6
           AND item.last_situation <> 'cancelled'
          JOIN campaign ON campaign.id = item.campaign_id AND campaign.status IN ('active', 'paused')
           AND (asked.campaign_id IS NULL OR asked.campaign_id = campaign.id)
          JOIN contact ON contact.id = item.contact_id
         WHERE EXISTS (SELECT FROM campaign_phones(campaign.id, contact.id) AS phone
                        WHERE phone.number = asked.number AND NOT phone.blocked AND NOT phone.wrong)
         ORDER BY campaign.name, item.id LIMIT $3
        """,
        [number for number, _campaign in asked],
        [campaign for _number, campaign in asked],
        limit,
    )
    return [TakenOff(**row) for row in rows]


async def bring_back(
    db: Db, by: User | None, numbers: Iterable[str], campaign_ids: Iterable[int], now: datetime.datetime
) -> int:
    """Whom these campaigns took off for these numbers is called again, the attempts counted from the
    beginning; how many came back."""
    require(by, "run_campaigns")
    asked = [(number, campaign) for campaign in set(campaign_ids) for number in set(numbers)]
    back = await taken_off(db, asked)
    for each in back:
        await items.reopen(db, by, each.item_id, now)
    return len(back)


# -- Lists from and to files -------------------------------------------------------------------------------


async def import_file(
    db: Db,
    by: User | None,
    name: str,
    path: Path,
    campaign_id: int | None = None,
    reason: str = "",
    area_code: str = "11",
) -> Imported:
    """A list of numbers, one a row, in CSV, text or XLSX; another column may say why. `name` is the file's.

    All of it or nothing: what is no number is told by line, the rest is blocked.
    """
    require(by, "run_campaigns")
    entry = Entry({"reason": reason})
    reason = entry.text("reason", 500, required=False)
    entry.done()
    wanted, result = await asyncio.to_thread(read, path, area_code, reason)
    async with db.acquire() as connection, connection.transaction():
        taken = await connection.fetch(
            """
            INSERT INTO blocked_number (number, campaign_id, reason, by_user_id)
            SELECT number, $3, reason, $4 FROM unnest($1::text[], $2::text[]) AS t (number, reason)
            ON CONFLICT DO NOTHING RETURNING number
            """,
            list(wanted),
            [why for _line, why in wanted.values()],
            campaign_id,
            by.id if by else None,
            timeout=600,
        )
        new = {row["number"] for row in taken}
        already = [Rejected(line, n, ALREADY) for n, (line, _why) in wanted.items() if n not in new]
        details = (result.details + tuple(already))[:REJECTED_KEPT]
        answer = Imported(
            result.rows, len(new), len(already), result.repeated, result.rejected, tuple(details)
        )
        told = {
            "file": name[:200], "campaign": campaign_id, "reason": reason, "rows": answer.rows,
            "accepted": answer.accepted, "already": answer.already, "repeated": answer.repeated,
            "rejected": answer.rejected,
        }  # fmt: skip
        await audit.note(connection, by, "blocked_number.import", "blocked numbers", None, told)
    return answer


def read(path: Path, area_code: str, reason: str) -> tuple[dict[str, tuple[int, str]], Imported]:
    """The numbers of a list with line and reason, and what was wrong with the others."""
    wanted: dict[str, tuple[int, str]] = {}
    wrong: list[Rejected] = []
    rows = repeated = rejected = 0
    for line, cells in sheets.rows(path, sheets.recognise(path).reading):
        filled = [cell.strip() for cell in cells if cell.strip()]
        if not filled:
            continue
        rows += 1
        if rows > ROWS_MAX:
            raise Refused("A list may have {most} rows at most.", code="too_large", most=ROWS_MAX)
        place, number = next(
            ((n, found) for n, cell in enumerate(filled) if (found := checked_number(cell, area_code))),
            (-1, ""),
        )
        if place < 0:
            rejected += 1
            found_wrong = Rejected(line, " · ".join(filled)[:100], NOT_A_PHONE)
        elif number in wanted:
            repeated += 1
            found_wrong = Rejected(line, filled[place][:100], REPEATED)
        else:
            said = [cell for n, cell in enumerate(filled) if n != place]
            wanted[number] = (line, (said[0] if said else reason)[:500].replace("\x00", ""))
            continue
        if len(wrong) < REJECTED_KEPT:
            wrong.append(found_wrong)
    return wanted, Imported(rows, 0, 0, repeated, rejected, tuple(wrong))


HEAD = ("Number", "Campaign", "Reason", "By", "Blocked")


async def stream(
    db: Db, campaign_id: int | None = None, everywhere: bool = False, text: str = ""
) -> AsyncIterator[Blocked]:
    """All of one moment, without holding them in memory."""
    condition, values = where(text, campaign_id, everywhere)
    async with db.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        cursor = connection.cursor(
            f"""
            SELECT blocked_number.id, number, campaign_id, coalesce(campaign.name, '') AS campaign, reason,
                   by_user_id, coalesce(user_account.name, '') AS by, at
              FROM blocked_number
              LEFT JOIN user_account ON user_account.id = blocked_number.by_user_id
              LEFT JOIN campaign ON campaign.id = blocked_number.campaign_id
             WHERE {condition} ORDER BY number, campaign_id NULLS FIRST
            """,
            *values,
            prefetch=1000,
        )
        async for row in cursor:
            yield Blocked(**row)


async def export(
    db: Db,
    by: User | None,
    path: Path,
    format: str = "csv",
    campaign_id: int | None = None,
    everywhere: bool = False,
    text: str = "",
) -> int:
    """Writes the list to this file, for another system or to be imported again; how many rows."""
    require(by, "run_campaigns")
    table = Csv(path) if format == "csv" else Xlsx(path)  # type: Csv | Xlsx
    done = 0
    try:
        table.row(HEAD)
        async for each in stream(db, campaign_id, everywhere, text):
            # An hour and a day as everybody reads them; the national writing survives spreadsheets.
            table.row(
                (display(each.number), each.campaign, each.reason, each.by, each.at.replace(tzinfo=None))
            )
            done += 1
    finally:
        await asyncio.to_thread(table.close)
    asked = {"rows": done, "campaign": campaign_id, "format": format}
    await audit.note(db, by, "blocked_number.export", "blocked numbers", None, asked)
    return done
