"""Contacts: the customers, found by number or name, and what happened with each before."""

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import asyncpg
from stdnum.br import cnpj, cpf

from crm import audit
from crm.db import Db
from crm.e164 import normalise
from crm.entry import Entry, missing
from crm.form import CHECKED, Kind
from crm.users import User, require

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
PHONES_MAX = 20
ENDING = 8  # digits that make two numbers alike: of a mobile without the ninth digit, of a landline


@dataclass(frozen=True, slots=True)
class Contact:
    id: int
    name: str
    company: str
    document: str  # CPF or CNPJ without punctuation, or another document as it was typed
    email: str
    notes: str
    phones: tuple[str, ...]  # E.164, the first is the usual one


@dataclass(frozen=True, slots=True)
class Candidate:
    contact: Contact
    why: str  # "number" the same number, "ending" the same last eight digits
    score: int  # higher is likelier


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    time: datetime.datetime
    kind: str  # "tabulation", or "call" when nothing was written down about it
    agent: str
    queue: str  # its label
    category: str
    text: str  # what was answered, or how the call ended
    call_id: str


@dataclass(frozen=True, slots=True)
class ContactLinked:
    """For the history writer: this call was with this contact."""

    call_id: str
    contact_id: int


# -- Finding -----------------------------------------------------------------------------------------------

CONTACT = """
    SELECT contact.id, contact.name, contact.company, contact.document, contact.email, contact.notes,
           coalesce((SELECT array_agg(number ORDER BY position, number) FROM contact_phone
                      WHERE contact_id = contact.id), '{}') AS phones
      FROM contact
"""


def read(row: asyncpg.Record | Mapping[str, Any]) -> Contact:
    return Contact(**{**row, "phones": tuple(row["phones"])})


async def by_id(db: Db | asyncpg.Connection, contact_id: int) -> Contact | None:
    row = await db.fetchrow(CONTACT + "WHERE contact.id = $1", contact_id)
    return read(row) if row else None


async def candidates(db: Db, number: str, limit: int = 10) -> list[Candidate]:
    """Who may be at this number (E.164 or short), likeliest first.

    The same number is worth more than the same ending, then whom we spoke with last.
    """
    rows = await db.fetch(
        """
        SELECT contact_id, bool_or(number = $1) AS same,
               (SELECT max(started) FROM call WHERE call.contact_id = contact_phone.contact_id) AS spoken
          FROM contact_phone
         WHERE number = $1 OR (length($1) > $2 AND ending = right($1, $2))
         GROUP BY contact_id
         ORDER BY same DESC, spoken DESC NULLS LAST, contact_id
         LIMIT $3
        """,
        number,
        ENDING,
        limit,
    )
    found = await by_ids(db, [row["contact_id"] for row in rows])
    return [
        Candidate(
            found[row["contact_id"]],
            "number" if row["same"] else "ending",
            (1000 if row["same"] else 500) - place,
        )
        for place, row in enumerate(rows)
        if row["contact_id"] in found
    ]


async def by_ids(db: Db, ids: Sequence[int]) -> dict[int, Contact]:
    rows = await db.fetch(CONTACT + "WHERE contact.id = ANY($1::bigint[])", ids)
    return {row["id"]: read(row) for row in rows}


async def search(db: Db, text: str, limit: int = 30) -> list[Contact]:
    """By words of name, company or e-mail, by a document, or by the last digits of a phone (four or more)."""
    words = text.replace("\x00", " ").split()[:8]
    digits = re.sub(r"\D", "", text)
    document = re.sub(r"[^0-9A-Z]", "", text.upper())
    if not words:
        return []
    rows = await db.fetch(
        CONTACT
        + """
         WHERE contact.found_by LIKE ALL ($1::text[])
            OR ($2 <> '' AND contact.document = $2)
            OR (length($3) >= 4 AND contact.id IN (
                   SELECT contact_id FROM contact_phone
                    WHERE reverse(number) LIKE reverse($3) || '%' OR number = $4 LIMIT 100))
         ORDER BY f_norm(contact.name), contact.id LIMIT $5
        """,
        await patterns(db, words),
        document,
        digits,
        normalise(text, "11") or "",
        limit,
    )
    return [read(row) for row in rows]


async def patterns(db: Db, words: Iterable[str]) -> list[str]:
    """Each word anywhere, without accents and capitals."""
    return await db.fetchval(
        r"""
        SELECT array_agg('%' || regexp_replace(f_norm(word), '([\\%_])', '\\\1', 'g') || '%')
          FROM unnest($1::text[]) AS t (word)
        """,
        list(words),
    )


async def timeline(db: Db, contact_id: int, limit: int = 50) -> list[TimelineEntry]:
    """Earlier calls with what was written down about them, newest first."""
    rows = await db.fetch(
        """
        SELECT call.started AS time, call.id AS call_id, call.result, call.direction,
               coalesce(tabulated.name, talked.name, '') AS agent,
               coalesce(queue.label, '') AS queue,
               tabulation.saved, tabulation.answers, layout.fields, coalesce(category.name, '') AS category
          FROM call
          LEFT JOIN tabulation ON tabulation.call_id = call.id AND tabulation.saved IS NOT NULL
          LEFT JOIN layout ON layout.id = tabulation.layout_id
          LEFT JOIN category ON category.id = tabulation.category_id
          LEFT JOIN user_account AS tabulated ON tabulated.id = tabulation.user_id
          LEFT JOIN user_account AS talked ON talked.id = call.user_id
          LEFT JOIN queue ON queue.name = call.queue
         WHERE call.contact_id = $1 AND call.ended IS NOT NULL
         ORDER BY call.started DESC LIMIT $2
        """,
        contact_id,
        limit,
    )
    return [
        TimelineEntry(
            row["time"],
            "tabulation" if row["saved"] else "call",
            row["agent"],
            row["queue"],
            row["category"],
            in_words(row["answers"], row["fields"]) if row["saved"] else row["result"] or "",
            row["call_id"],
        )
        for row in rows
    ]


def in_words(answers: Mapping[str, str], fields: Iterable[Mapping[str, Any]]) -> str:
    """The answers in the form's order, each after its label; of a checkbox the label says it all."""
    said = []
    for each in fields:
        answer = answers.get(each["key"])
        if each["kind"] == Kind.CHECKBOX:
            said += [each["label"]] if answer in CHECKED else []
        elif answer:
            said.append(f"{each['label']}: {answer}")
    return " · ".join(said)


# -- Changing ----------------------------------------------------------------------------------------------


def checked(values: Mapping[str, Any], area_code: str) -> dict[str, Any]:
    entry = Entry(values)
    answer: dict[str, Any] = {
        "name": entry.text("name", 120),
        "company": entry.text("company", 120, required=False),
        "document": entry.text("document", 40, required=False),
        "email": entry.text("email", 200, required=False),
        "notes": entry.text("notes", 4000, required=False),
        "phones": checked_phones(entry, area_code),
    }
    answer["document"] = checked_document(entry, answer["document"])
    if answer["email"] and not EMAIL.fullmatch(answer["email"]):
        entry.errors["email"] = "not_an_email"
    entry.done()
    return answer


def checked_phones(entry: Entry, area_code: str) -> tuple[str, ...]:
    given = [text for each in entry.values.get("phones") or () if (text := str(each).strip())]
    numbers = [normalise(text, area_code) for text in given]
    if None in numbers:
        entry.errors["phones"] = "not_a_phone"
    elif len(numbers) > PHONES_MAX:
        entry.errors["phones"] = "out_of_range"
    return tuple(dict.fromkeys(number for number in numbers if number))


def checked_document(entry: Entry, text: str) -> str:
    """A CPF or CNPJ (also the alphanumeric one of 2026) has to be right; other documents stay as typed."""
    compact = re.sub(r"[.\-/\s]", "", text).upper()
    looks_brazilian = (len(compact) == 11 and compact.isdigit()) or re.fullmatch(r"[0-9A-Z]{12}\d\d", compact)
    if not looks_brazilian:
        return text
    if not (cpf.is_valid(compact) or cnpj.is_valid(compact)):
        entry.errors["document"] = "not_a_document"
    return compact


async def create(
    db: Db,
    by: User | None,
    name: str,
    phones: Sequence[str] = (),
    company: str = "",
    document: str = "",
    email: str = "",
    notes: str = "",
    area_code: str = "11",
) -> Contact:
    """Phones may be in any writing; `area_code` completes local ones."""
    require(by, "edit_contacts")
    given = {"name": name, "phones": phones, "company": company, "document": document}
    new = checked({**given, "email": email, "notes": notes}, area_code)
    async with db.acquire() as connection, connection.transaction():
        contact_id = await connection.fetchval(
            """
            INSERT INTO contact (name, company, document, email, notes)
            VALUES ($1, $2, $3, $4, $5) RETURNING id
            """,
            *list(new.values())[:5],
        )
        await set_phones(connection, contact_id, new["phones"])
        await audit.note(connection, by, "contact.create", f"contact {contact_id}", None, new)
    return Contact(id=contact_id, **new)


async def update(db: Db, by: User | None, contact_id: int, area_code: str = "11", **changes: Any) -> Contact:
    """Changes any field of Contact but the id."""
    require(by, "edit_contacts")
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM contact WHERE id = $1 FOR UPDATE", contact_id)
        before = await by_id(connection, contact_id)
        if before is None:
            raise missing("contact")
        new = checked({**asdict(before), **changes}, area_code)
        await connection.execute(
            """
            UPDATE contact SET name = $2, company = $3, document = $4, email = $5, notes = $6,
                               updated = now()
             WHERE id = $1
            """,
            contact_id,
            *list(new.values())[:5],
        )
        await set_phones(connection, contact_id, new["phones"])
        old = {key: getattr(before, key) for key in new}
        await audit.note(connection, by, "contact.update", f"contact {contact_id}", old, new)
    return Contact(id=contact_id, **new)


async def set_phones(connection: asyncpg.Connection, contact_id: int, phones: Sequence[str]) -> None:
    await connection.execute("DELETE FROM contact_phone WHERE contact_id = $1", contact_id)
    await connection.execute(
        """
        INSERT INTO contact_phone (contact_id, number, position)
        SELECT $1, number, position FROM unnest($2::text[]) WITH ORDINALITY AS t (number, position)
        """,
        contact_id,
        phones,
    )


async def write_history(connection: asyncpg.Connection, links: list[ContactLinked]) -> None:
    pairs = [(link.call_id, link.contact_id) for link in links]
    await connection.executemany("UPDATE call SET contact_id = $2 WHERE id = $1", pairs)
    await connection.executemany("UPDATE tabulation SET contact_id = $2 WHERE call_id = $1", pairs)
