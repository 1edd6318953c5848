"""Tickets: one matter with a customer, under a protocol number from its first event, and its history."""

import datetime
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import asyncpg

from crm import audit
from crm.calls import ZONE
from crm.db import Db
from crm.entry import Entry, missing, refuse, refusing
from crm.users import User, require

STATUSES_MAX = 30
TEXT_MAX = 4000
CONSTRAINTS = {
    "ticket_type_name_key": "name",
    "ticket_status_type_id_name_key": "statuses",
    "ticket_type_id_fkey": "type_id",
    "ticket_type_id_status_id_fkey": "status_id",
    "ticket_event_status_id_fkey": "statuses",
    "ticket_contact_id_fkey": "contact_id",
}

TYPE_CONSTRAINTS = CONSTRAINTS | {"ticket_type_id_status_id_fkey": "statuses"}


class TicketMode(StrEnum):
    """What a further call to the same customer does (UAU-26, UAU-27)."""

    OPEN_NEW = "open_new"
    EDIT_LAST = "edit_last"


@dataclass(frozen=True, slots=True)
class Status:
    id: int
    name: str
    closing: bool  # a ticket in it is concluded


@dataclass(frozen=True, slots=True)
class TicketType:
    id: int
    name: str
    active: bool
    statuses: tuple[Status, ...]  # a ticket is opened in the first


@dataclass(frozen=True, slots=True)
class Ticket:
    id: int
    protocol: str  # 20261121-000123
    type_id: int
    type: str
    status_id: int
    status: str
    contact_id: int | None
    contact: str
    campaign_id: int | None
    item_id: int | None
    call_id: str | None
    opened: datetime.datetime
    opened_by: str
    updated: datetime.datetime
    closed: datetime.datetime | None
    text: str


@dataclass(frozen=True, slots=True)
class TicketEvent:
    id: int
    at: datetime.datetime
    user: str
    kind: str  # opened, edited, moved, noted, called
    text: str
    status: str  # after this
    call_id: str | None


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """None or empty does not filter."""

    text: str = ""  # a protocol or a part of it, words of the contact's name, or of the text
    type_id: int | None = None
    status_id: int | None = None
    closed: bool | None = None
    contact_id: int | None = None
    campaign_id: int | None = None
    start: datetime.datetime | None = None  # opened
    end: datetime.datetime | None = None  # not included


# -- Types and their statuses ------------------------------------------------------------------------------


async def types(db: Db | asyncpg.Connection, active_only: bool = True) -> list[TicketType]:
    rows = await db.fetch(
        """
        SELECT ticket_type.id, ticket_type.name, ticket_type.active,
               ticket_status.id AS status_id, ticket_status.name AS status, ticket_status.closing
          FROM ticket_type LEFT JOIN ticket_status ON ticket_status.type_id = ticket_type.id
         WHERE ticket_type.active OR NOT $1
         ORDER BY f_norm(ticket_type.name), ticket_type.id, ticket_status.position, ticket_status.id
        """,
        active_only,
    )
    found: dict[int, TicketType] = {}
    for row in rows:
        before = found.get(row["id"])
        more = (Status(row["status_id"], row["status"], row["closing"]),) if row["status_id"] else ()
        found[row["id"]] = TicketType(
            row["id"], row["name"], row["active"], (before.statuses if before else ()) + more
        )
    return list(found.values())


async def type_by_id(db: Db | asyncpg.Connection, type_id: int) -> TicketType | None:
    return next((each for each in await types(db, False) if each.id == type_id), None)


def checked_type(values: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Name and statuses; a status is a mapping with name, closing, and the id it has when it is kept."""
    entry = Entry(values)
    name = entry.text("name", 60)
    statuses: list[dict[str, Any]] = []
    for n, given in enumerate(values.get("statuses") or (), start=1):
        each = Entry(given)
        status = {
            "id": each.reference("id"),
            "name": each.text("name", 60),
            "closing": each.switch("closing"),
        }
        if status["name"] in [other["name"] for other in statuses]:
            each.errors["name"] = "taken"
        statuses.append(status)
        entry.errors |= {f"statuses.{n}.{field}": wrong for field, wrong in each.errors.items()}
    if not statuses:
        entry.errors["statuses"] = "required"
    elif len(statuses) > STATUSES_MAX:
        entry.errors["statuses"] = "out_of_range"
    elif statuses[0]["closing"]:
        entry.errors["statuses.1.closing"] = "not_allowed"
    entry.done()
    return name, statuses


async def create_type(
    db: Db, by: User | None, *, name: str, statuses: Sequence[Mapping[str, Any]]
) -> TicketType:
    """The first status is the one tickets are opened in; it cannot be a closing one."""
    require(by, "administer")
    name, new = checked_type({"name": name, "statuses": statuses})
    async with db.acquire() as connection, connection.transaction():
        with refusing(TYPE_CONSTRAINTS):
            type_id = await connection.fetchval(
                "INSERT INTO ticket_type (name) VALUES ($1) RETURNING id", name
            )
            await set_statuses(connection, type_id, [{**each, "id": None} for each in new])
        after = {"name": name, "statuses": [each["name"] for each in new]}
        await audit.note(connection, by, "ticket_type.create", f"ticket type {name}", None, after)
        made = await type_by_id(connection, type_id)
    assert made is not None
    return made


async def update_type(db: Db, by: User | None, type_id: int, **changes: Any) -> TicketType:
    """Changes name, active or statuses; a status left out goes, unless a ticket ever was in it."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM ticket_type WHERE id = $1 FOR UPDATE", type_id)
        before = await type_by_id(connection, type_id)
        if before is None:
            raise missing("type")
        statuses = [{"id": s.id, "name": s.name, "closing": s.closing} for s in before.statuses]
        old = {"name": before.name, "active": before.active, "statuses": statuses}
        name, new = checked_type({**old, **changes})
        active = changes.get("active", before.active) in (True, "1", "on")
        with refusing(TYPE_CONSTRAINTS):
            await connection.execute(
                "UPDATE ticket_type SET name = $2, active = $3 WHERE id = $1", type_id, name, active
            )
            await set_statuses(connection, type_id, new)
        made = await type_by_id(connection, type_id)
        assert made is not None
        after = {
            "name": name,
            "active": active,
            "statuses": [{"id": s.id, "name": s.name, "closing": s.closing} for s in made.statuses],
        }
        await audit.note(connection, by, "ticket_type.update", f"ticket type {name}", old, after)
    return made


async def set_statuses(
    connection: asyncpg.Connection, type_id: int, statuses: Sequence[Mapping[str, Any]]
) -> None:
    kept = [each["id"] for each in statuses if each["id"]]
    await connection.execute(
        "DELETE FROM ticket_status WHERE type_id = $1 AND id <> ALL($2::integer[])", type_id, kept
    )
    # Two that change names with each other would meet on the way.
    await connection.execute(
        "UPDATE ticket_status SET name = name || ' ' || id || chr(1) WHERE type_id = $1", type_id
    )
    for position, each in enumerate(statuses):
        if each["id"]:
            done = await connection.fetchval(
                """
                UPDATE ticket_status SET name = $3, closing = $4, position = $5
                 WHERE type_id = $1 AND id = $2 RETURNING id
                """,
                type_id,
                each["id"],
                each["name"],
                each["closing"],
                position,
            )
            if done is None:
                raise missing("status")
        else:
            await connection.execute(
                """
                INSERT INTO ticket_status (type_id, name, closing, position) VALUES ($1, $2, $3, $4)
                """,
                type_id,
                each["name"],
                each["closing"],
                position,
            )


# -- Finding -----------------------------------------------------------------------------------------------

TICKET = """
    SELECT ticket.id, ticket.protocol, ticket.type_id, ticket_type.name AS type,
           ticket.status_id, ticket_status.name AS status,
           ticket.contact_id, coalesce(contact.name, '') AS contact,
           ticket.campaign_id, ticket.item_id, ticket.call_id, ticket.opened,
           coalesce(user_account.name, '') AS opened_by, ticket.updated, ticket.closed, ticket.text
      FROM ticket
      JOIN ticket_type ON ticket_type.id = ticket.type_id
      JOIN ticket_status ON ticket_status.id = ticket.status_id
      LEFT JOIN contact ON contact.id = ticket.contact_id
      LEFT JOIN user_account ON user_account.id = ticket.opened_by
"""


def read(row: asyncpg.Record) -> Ticket:
    return Ticket(**row)


async def by_id(db: Db | asyncpg.Connection, ticket_id: int) -> Ticket | None:
    row = await db.fetchrow(TICKET + "WHERE ticket.id = $1", ticket_id)
    return read(row) if row else None


async def by_protocol(db: Db | asyncpg.Connection, protocol: str) -> Ticket | None:
    row = await db.fetchrow(TICKET + "WHERE ticket.protocol = $1", protocol.strip().replace("\x00", ""))
    return read(row) if row else None


async def last_open(
    db: Db | asyncpg.Connection, contact_id: int, campaign_id: int | None = None
) -> Ticket | None:
    """The latest ticket of this customer that is not concluded; of this campaign when one is named."""
    row = await db.fetchrow(
        TICKET
        + """
         WHERE ticket.contact_id = $1 AND ticket.closed IS NULL
           AND ($2::integer IS NULL OR ticket.campaign_id = $2)
         ORDER BY ticket.opened DESC, ticket.id DESC LIMIT 1
        """,
        contact_id,
        campaign_id,
    )
    return read(row) if row else None


def where(filter: TicketFilter) -> tuple[str, list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []

    def ask(condition: str, value: Any) -> None:
        values.append(value)
        conditions.append(condition.replace("{}", f"${len(values)}"))

    if text := filter.text.replace("\x00", "").strip():
        if re.fullmatch(r"[0-9-]+", text):
            ask("strpos(ticket.protocol, {}) > 0", text)
        else:
            ask(
                "(strpos(ticket.found_by, f_norm({})) > 0 OR strpos(f_norm(contact.name), f_norm({})) > 0)",
                text,
            )
    if filter.type_id is not None:
        ask("ticket.type_id = {}", filter.type_id)
    if filter.status_id is not None:
        ask("ticket.status_id = {}", filter.status_id)
    if filter.closed is not None:
        ask("(ticket.closed IS NOT NULL) = {}", filter.closed)
    if filter.contact_id is not None:
        ask("ticket.contact_id = {}", filter.contact_id)
    if filter.campaign_id is not None:
        ask("ticket.campaign_id = {}", filter.campaign_id)
    if filter.start is not None:
        ask("ticket.opened >= {}", filter.start)
    if filter.end is not None:
        ask("ticket.opened < {}", filter.end)
    return (" WHERE " + " AND ".join(conditions)) if conditions else "", values


async def search(db: Db, filter: TicketFilter, limit: int = 50, offset: int = 0) -> list[Ticket]:
    """The latest opened first."""
    conditions, values = where(filter)
    rows = await db.fetch(
        TICKET
        + conditions
        + f" ORDER BY ticket.opened DESC, ticket.id DESC LIMIT {limit:d} OFFSET {offset:d}",
        *values,
    )
    return [read(row) for row in rows]


async def count(db: Db, filter: TicketFilter) -> int:
    conditions, values = where(filter)
    return await db.fetchval(
        "SELECT count(*) FROM ticket LEFT JOIN contact ON contact.id = ticket.contact_id" + conditions,
        *values,
    )


async def history(db: Db | asyncpg.Connection, ticket_id: int) -> list[TicketEvent]:
    """All that happened with it, the first first."""
    rows = await db.fetch(
        """
        SELECT ticket_event.id, ticket_event.at, coalesce(user_account.name, '') AS user,
               ticket_event.kind, ticket_event.text, coalesce(ticket_status.name, '') AS status,
               ticket_event.call_id
          FROM ticket_event
          LEFT JOIN user_account ON user_account.id = ticket_event.user_id
          LEFT JOIN ticket_status ON ticket_status.id = ticket_event.status_id
         WHERE ticket_event.ticket_id = $1
         ORDER BY ticket_event.at, ticket_event.id
        """,
        ticket_id,
    )
    return [TicketEvent(**row) for row in rows]


# -- What happens with one ---------------------------------------------------------------------------------


@asynccontextmanager
async def within(db: Db | asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """A transaction of our own, or a part of the caller's."""
    if isinstance(db, Db):
        async with db.acquire() as connection, connection.transaction():
            yield connection
    else:
        async with db.transaction():
            yield db


async def open(
    db: Db | asyncpg.Connection,
    by: User | None,
    *,
    type_id: int,
    contact_id: int | None = None,
    text: str = "",
    campaign_id: int | None = None,
    item_id: int | None = None,
    call_id: str | None = None,
    at: datetime.datetime | None = None,
) -> Ticket:
    """A new one in its type's first status. The protocol is of the day of `at`, in the centre's zone.

    On a connection it is a part of the caller's transaction; others who open then wait for its end.
    """
    require(by, "edit_contacts")
    text = checked_text(text)
    at = at or datetime.datetime.now(datetime.UTC)
    async with within(db) as connection:
        status_id = await connection.fetchval(
            """
            SELECT ticket_status.id FROM ticket_status
              JOIN ticket_type ON ticket_type.id = ticket_status.type_id AND ticket_type.active
             WHERE ticket_status.type_id = $1 ORDER BY ticket_status.position, ticket_status.id LIMIT 1
            """,
            type_id,
        )
        if status_id is None:
            refuse({"type_id": "not_an_option"})
        with refusing(CONSTRAINTS):
            ticket_id = await connection.fetchval(
                """
                WITH number AS (
                    INSERT INTO ticket_day (day, last) VALUES ($9, 1)
                    ON CONFLICT (day) DO UPDATE SET last = ticket_day.last + 1
                    RETURNING to_char(day, 'YYYYMMDD') || '-'
                              || lpad(last::text, greatest(6, length(last::text)), '0') AS protocol
                )
                INSERT INTO ticket (protocol, type_id, status_id, contact_id, campaign_id, item_id, call_id,
                                    opened, opened_by, updated, text)
                SELECT protocol, $1, $2, $3, $4, $5, $6, $7, $8, $7, $10 FROM number RETURNING id
                """,
                type_id,
                status_id,
                contact_id,
                campaign_id,
                item_id,
                call_id,
                at,
                by.id if by else None,
                at.astimezone(ZONE).date(),
                text,
            )
        await happened(connection, by, ticket_id, "opened", text, status_id, call_id, at)
        made = await by_id(connection, ticket_id)
    assert made is not None
    return made


async def edit_last(
    db: Db | asyncpg.Connection,
    by: User | None,
    *,
    type_id: int,
    contact_id: int,
    text: str = "",
    campaign_id: int | None = None,
    item_id: int | None = None,
    call_id: str | None = None,
    at: datetime.datetime | None = None,
) -> Ticket:
    """The customer's last ticket of this campaign goes on; a new one when none is open (UAU-27)."""
    require(by, "edit_contacts")
    at = at or datetime.datetime.now(datetime.UTC)
    async with within(db) as connection:
        # Two at once for one customer would both find none.
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtext('ticket'), $1::integer)", contact_id % 2**31
        )
        last = await last_open(connection, contact_id, campaign_id)
        if last is None:
            return await open(
                connection, by, type_id=type_id, contact_id=contact_id, text=text, campaign_id=campaign_id,
                item_id=item_id, call_id=call_id, at=at,
            )  # fmt: skip
        return await edit(connection, by, last.id, text=text, call_id=call_id, at=at)


async def for_call(
    db: Db | asyncpg.Connection, by: User | None, mode: TicketMode | str, **facts: Any
) -> Ticket:
    """The ticket of a campaign's call, as the campaign wants it: `open` or `edit_last` with these facts."""
    if TicketMode(mode) is TicketMode.OPEN_NEW:
        return await open(db, by, **facts)
    return await edit_last(db, by, **facts)


async def edit(
    db: Db | asyncpg.Connection,
    by: User | None,
    ticket_id: int,
    *,
    text: str,
    call_id: str | None = None,
    at: datetime.datetime | None = None,
) -> Ticket:
    """One more call or text of the same matter. An empty text leaves the ticket's own as it was."""
    require(by, "edit_contacts")
    text = checked_text(text)
    return await change(
        db, by, ticket_id, "called" if call_id else "edited", text, call_id=call_id, at=at, own_text=text
    )


async def note(db: Db | asyncpg.Connection, by: User | None, ticket_id: int, text: str) -> Ticket:
    """A line in the history; the ticket stays as it is."""
    require(by, "edit_contacts")
    if not text.strip():
        refuse({"text": "required"})
    return await change(db, by, ticket_id, "noted", checked_text(text))


async def move(
    db: Db | asyncpg.Connection, by: User | None, ticket_id: int, status_id: int, text: str = ""
) -> Ticket:
    """To another status of its type. A closing one concludes it, any other opens it again."""
    require(by, "edit_contacts")
    return await change(db, by, ticket_id, "moved", checked_text(text), status_id=status_id)


async def change(
    db: Db | asyncpg.Connection,
    by: User | None,
    ticket_id: int,
    kind: str,
    text: str,
    *,
    status_id: int | None = None,
    call_id: str | None = None,
    at: datetime.datetime | None = None,
    own_text: str = "",
) -> Ticket:
    at = at or datetime.datetime.now(datetime.UTC)
    async with within(db) as connection:
        row = await connection.fetchrow(
            "SELECT type_id, status_id FROM ticket WHERE id = $1 FOR UPDATE", ticket_id
        )
        if row is None:
            raise missing("ticket")
        wanted = row["status_id"] if status_id is None else status_id
        closing = await connection.fetchval(
            "SELECT closing FROM ticket_status WHERE id = $1 AND type_id = $2", wanted, row["type_id"]
        )
        if closing is None:
            refuse({"status_id": "not_an_option"})
        await connection.execute(
            """
            UPDATE ticket SET status_id = $2, updated = $3, text = CASE WHEN $4 = '' THEN text ELSE $4 END,
                              closed = CASE WHEN $5 THEN coalesce(closed, $3) END
             WHERE id = $1
            """,
            ticket_id,
            wanted,
            at,
            own_text,
            closing,
        )
        await happened(connection, by, ticket_id, kind, text, wanted, call_id, at)
        made = await by_id(connection, ticket_id)
    assert made is not None
    return made


async def happened(
    connection: asyncpg.Connection,
    by: User | None,
    ticket_id: int,
    kind: str,
    text: str,
    status_id: int,
    call_id: str | None,
    at: datetime.datetime,
) -> None:
    await connection.execute(
        """
        INSERT INTO ticket_event (ticket_id, at, user_id, kind, text, status_id, call_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        ticket_id,
        at,
        by.id if by else None,
        kind,
        text,
        status_id,
        call_id,
    )


def checked_text(text: str) -> str:
    entry = Entry({"text": text})
    text = entry.text("text", TEXT_MAX, required=False)
    entry.done()
    return text
