"""Reports sent by e-mail at a time: who gets which, of which period, and when next."""

import asyncio
import datetime
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from config.settings import EMAIL
from crm import audit, custom_reports, exports, outbox, users
from crm.calls import ZONE
from crm.campaign_reports import REPORTS
from crm.db import AWAY, Db
from crm.entry import Entry, missing
from crm.exports import FORMATS, Source
from crm.refused import Refused
from crm.users import User, can, require

log = logging.getLogger(__name__)

CUSTOM = re.compile("custom:([1-9][0-9]{0,8})")  # a custom report, by its id
EVERY = ("day", "week", "month")
RECIPIENTS_MAX = 20
OF_ONE_OWNER_MAX = 50
SECONDS_BETWEEN_LOOKS = 10.0
AFTER_A_FAILURE = datetime.timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Schedule:
    id: int
    report: str
    name: str
    filter: list[list[str]]  # the page's address without its period
    format: str
    recipients: list[str]
    every: str
    at: datetime.time
    next_due: datetime.datetime
    last_sent: datetime.datetime | None
    last_error: str  # a sentence in English, to be said with error_values in the reader's language
    error_values: Mapping[str, Any]
    owner: int
    active: bool


@dataclass(frozen=True)
class Letter:
    """What a scheduled report is sent as, in its owner's language."""

    source: Source
    subject: str
    body: str
    file_name: str


Write = Callable[[Schedule, User, datetime.date, datetime.date], Awaitable[Letter]]

SCHEDULE = """
    SELECT id, report, name, filter, format, recipients, every, at, next_due, last_sent, last_error,
           error_values, owner, active
      FROM report_schedule
"""


async def all(db: Db, user: User) -> list[Schedule]:
    """One's own; an administrator sees everybody's."""
    rows = await db.fetch(
        SCHEDULE + "WHERE owner = $1 OR $2 ORDER BY f_norm(name), id", user.id, can(user, "administer")
    )
    return [Schedule(**row) for row in rows]


async def by_id(db: Db | asyncpg.Connection, user: User, schedule_id: int) -> Schedule:
    row = await db.fetchrow(
        SCHEDULE + "WHERE id = $1 AND (owner = $2 OR $3)", schedule_id, user.id, can(user, "administer")
    )
    if row is None:
        raise missing("schedule")
    return Schedule(**row)


async def create(
    db: Db, by: User, values: Mapping[str, Any], filter: list[tuple[str, str]], now: datetime.datetime
) -> int:
    """`values`: report, name, recipients (addresses in a text), format, every, at (such as 07:30).

    `report` is one of REPORTS, or custom: and the id of a custom report that `by` may see.
    """
    require(by, "export")
    entry = Entry(values)
    if custom := CUSTOM.fullmatch(str(values.get("report"))):
        report = f"custom:{(await custom_reports.by_id(db, by, int(custom[1]))).id}"
    else:
        report = entry.option("report", tuple(REPORTS))
    name = " ".join(entry.text("name").split())
    format = entry.option("format", FORMATS)
    every = entry.option("every", EVERY)
    at = time_of(entry)
    recipients = addresses(entry)
    entry.done()
    if await db.fetchval("SELECT count(*) FROM report_schedule WHERE owner = $1", by.id) >= OF_ONE_OWNER_MAX:
        raise Refused("You have {n} scheduled reports already; remove one first.", n=OF_ONE_OWNER_MAX)
    async with db.acquire() as connection, connection.transaction():
        id = await connection.fetchval(
            """
            INSERT INTO report_schedule (report, name, filter, format, recipients, every, at, next_due, owner)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id
            """,
            report,
            name,
            [list(pair) for pair in filter if pair[0] not in ("start", "end", "page")],
            format,
            recipients,
            every,
            at,
            next_due(every, at, now),
            by.id,
        )
        after = {"name": name, "report": report, "recipients": recipients, "every": every, "at": str(at)}
        await audit.note(connection, by, "report_schedule.create", f"report_schedule {id}", None, after)
    return int(id)


async def remove(db: Db, by: User, schedule_id: int) -> None:
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, by, schedule_id)
        await connection.execute("DELETE FROM report_schedule WHERE id = $1", schedule_id)
        about = {"name": before.name, "report": before.report, "recipients": before.recipients}
        await audit.note(
            connection, by, "report_schedule.remove", f"report_schedule {schedule_id}", about, None
        )


async def switch(db: Db, by: User, schedule_id: int, active: bool, now: datetime.datetime) -> None:
    """On again, it goes out the next time it would have, not for the time it was off."""
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, by, schedule_id)
        await connection.execute(
            "UPDATE report_schedule SET active = $2, next_due = $3, last_error = '' WHERE id = $1",
            schedule_id,
            active,
            next_due(before.every, before.at, now),
        )
        await audit.note(
            connection,
            by,
            "report_schedule.update",
            f"report_schedule {schedule_id}",
            {"active": before.active},
            {"active": active},
        )


async def send_now(db: Db, by: User, schedule_id: int) -> None:
    """It is due at once; afterwards it goes on as before."""
    schedule = await by_id(db, by, schedule_id)
    await db.execute("UPDATE report_schedule SET next_due = now() WHERE id = $1", schedule.id)


def time_of(entry: Entry) -> datetime.time:
    text = entry.text("at")
    try:
        return datetime.time.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        if text:
            entry.errors["at"] = "not_allowed_characters"
        return datetime.time()


def addresses(entry: Entry) -> list[str]:
    found = [part for part in re.split(r"[\s,;]+", entry.text("recipients", 2000)) if part]
    if any(len(each) > 254 or not EMAIL.fullmatch(each) for each in found):
        entry.errors["recipients"] = "not_an_email"
    elif len(found) > RECIPIENTS_MAX:
        entry.errors["recipients"] = "too_long"
    return list(dict.fromkeys(found))


# -- When, and of which days -------------------------------------------------------------------------------


def next_due(every: str, at: datetime.time, after: datetime.datetime) -> datetime.datetime:
    """The next such time of day where the centre is: each day, each Monday, or each first of a month."""
    day = after.astimezone(ZONE).date()
    while True:
        right_day = every == "day" or (day.weekday() == 0 if every == "week" else day.day == 1)
        moment = datetime.datetime.combine(day, at, ZONE)
        if right_day and moment > after:
            return moment
        day += datetime.timedelta(days=1)


def period(every: str, today: datetime.date) -> tuple[datetime.date, datetime.date]:
    """The whole day, week (Monday to Sunday) or month before the one of today; both days included."""
    match every:
        case "day":
            end = today - datetime.timedelta(days=1)
            return end, end
        case "week":
            end = today - datetime.timedelta(days=today.weekday() + 1)
            return end - datetime.timedelta(days=6), end
        case _:
            end = today.replace(day=1) - datetime.timedelta(days=1)
            return end.replace(day=1), end


# -- Sending -----------------------------------------------------------------------------------------------


class Schedules:
    """Puts the reports that are due into the outbox; several servers may do so beside each other."""

    def __init__(self, db: Db, data: Path, write: Write) -> None:
        self.db, self.data, self.write = db, data, write

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.send_due(datetime.datetime.now(datetime.UTC))
            except AWAY:
                log.warning("the database is away; scheduled reports wait")
            except Exception:
                log.exception("scheduled reports could not be looked after")
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    async def send_due(self, now: datetime.datetime) -> int:
        """Answers how many were put into the outbox."""
        rows = await self.db.fetch(SCHEDULE + "WHERE active AND next_due <= $1 ORDER BY next_due", now)
        return sum([await self._send(Schedule(**row), now) for row in rows])

    async def _send(self, schedule: Schedule, now: datetime.datetime) -> bool:
        """One that fails is told in its row, holds up no other, and is tried again in a while."""
        try:
            return await self._put(schedule, now)
        except AWAY:
            raise
        except Exception as e:
            if not isinstance(e, Refused):
                log.exception("scheduled report %d failed", schedule.id)
            why = e if isinstance(e, Refused) else exports.unforeseen(e)
            await self.db.execute(
                "UPDATE report_schedule SET last_error = $2, error_values = $3, next_due = $4 WHERE id = $1",
                schedule.id,
                why.template,
                audit.plain(why.values),
                now + AFTER_A_FAILURE,
            )
            return False

    async def _put(self, schedule: Schedule, now: datetime.datetime) -> bool:
        owner = await users.by_id(self.db, schedule.owner)
        if owner is None or not (can(owner, "export") and can(owner, "see_tabulations")):
            await self.db.execute(
                "UPDATE report_schedule SET active = false, last_error = $2 WHERE id = $1",
                schedule.id,
                "Its owner may not export reports any more.",
            )
            return False
        letter = await self.write(schedule, owner, *period(schedule.every, now.astimezone(ZONE).date()))
        report = schedule.report.replace(":", "-")
        name = f"outbox/{report}-{schedule.id}-{secrets.token_hex(6)}.{schedule.format}"
        path = self.data / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = False
        try:
            await exports.write(self.db, letter.source, path, schedule.format, unheard)
            async with self.db.acquire() as connection, connection.transaction():
                kept = await connection.fetchval(  # none when another server was quicker
                    """
                    UPDATE report_schedule SET next_due = $3, last_sent = $4, last_error = ''
                     WHERE id = $1 AND next_due = $2 AND active RETURNING true
                    """,
                    schedule.id,
                    schedule.next_due,
                    next_due(schedule.every, schedule.at, now),
                    now,
                )
                if kept:
                    await outbox.put(
                        connection,
                        schedule.recipients,
                        letter.subject,
                        letter.body,
                        name,
                        letter.file_name,
                    )
        finally:
            if not kept:
                path.unlink(missing_ok=True)
        return bool(kept)


async def unheard(_done: int, _all: int) -> None:
    """Nobody watches the progress of a scheduled report."""
