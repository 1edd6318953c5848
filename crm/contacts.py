"""Contacts: the customers, found by number or name, and what happened with each before."""

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import asyncpg
from stdnum.br import cnpj, cpf

from crm import audit, custom_fields
from crm.custom_fields import CustomField
from crm.db import Db
from crm.e164 import display, normalise
from crm.entry import Entry, missing
from crm.form import CHECKED, Kind
from crm.users import User, require

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
PHONES_MAX = 20
EMAILS_MAX = 20
ADDRESSES_MAX = 10
PEOPLE_MAX = 50
MAIN = "main"  # the type of the person a company is spoken with first
STATES = frozenset("AC AL AM AP BA CE DF ES GO MA MG MS MT PA PB PE PI PR RJ RN RO RR RS SC SE SP TO".split())
FOUND_MAX = 1000  # of each way of being found, before they are put in order
ENDING = 8  # digits that make two numbers alike: of a mobile without the ninth digit, of a landline


class ContactKind(StrEnum):
    PERSON = "person"
    COMPANY = "company"


@dataclass(frozen=True, slots=True)
class Address:
    label: str = ""
    street: str = ""
    number: str = ""
    complement: str = ""
    district: str = ""
    city: str = ""
    state: str = ""  # SP
    postal_code: str = ""  # eight digits

    def __str__(self) -> str:
        street = ", ".join(part for part in (self.street, self.number, self.complement) if part)
        city = " / ".join(part for part in (self.city, self.state) if part)
        code = f"{self.postal_code[:5]}-{self.postal_code[5:]}" if self.postal_code else ""
        return " · ".join(part for part in (street, self.district, city, code) if part)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to speak with at a company."""

    name: str
    type: str = MAIN  # or a category such as "Financeiro"
    phones: tuple[str, ...] = ()  # E.164
    email: str = ""
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Contact:
    id: int
    name: str
    company: str
    document: str  # CPF or CNPJ without punctuation, or another document as it was typed
    email: str  # the usual one
    notes: str
    phones: tuple[str, ...]  # E.164, the first is the usual one
    kind: ContactKind = ContactKind.PERSON
    external_code: str = ""  # what another system calls this customer
    emails: tuple[str, ...] = ()  # besides the usual one
    addresses: tuple[Address, ...] = ()
    people: tuple[Person, ...] = ()  # of a company, the main one first
    custom: Mapping[str, str] = field(default_factory=dict)  # by the custom field's key


@dataclass(frozen=True, slots=True)
class Candidate:
    contact: Contact
    why: str  # "number" the same number, "ending" the same last eight digits
    score: int  # higher is likelier


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    time: datetime.datetime
    kind: str  # "tabulation", "call" when nothing was written down about it, "attempt", "contact" or "ticket"
    agent: str
    queue: str  # its label, or the campaign's name
    category: str  # or the ticket's protocol
    text: str  # what was answered, or how the call or the attempt ended
    call_id: str  # empty when there was no call
    ticket_id: int | None = None


@dataclass(frozen=True, slots=True)
class ContactLinked:
    """For the history writer: this call was with this contact."""

    call_id: str
    contact_id: int


# -- Finding -----------------------------------------------------------------------------------------------

CONTACT = """
    SELECT contact.id, contact.name, contact.company, contact.document, contact.email, contact.notes,
           coalesce((SELECT array_agg(number ORDER BY position, number) FROM contact_phone
                      WHERE contact_id = contact.id), '{}') AS phones,
           contact.kind, contact.external_code, contact.custom,
           coalesce((SELECT array_agg(email ORDER BY position, email) FROM contact_email
                      WHERE contact_id = contact.id), '{}') AS emails,
           (SELECT jsonb_agg(jsonb_build_object('label', label, 'street', street, 'number', number,
                                                'complement', complement, 'district', district,
                                                'city', city, 'state', state, 'postal_code', postal_code)
                             ORDER BY position, id)
              FROM contact_address WHERE contact_id = contact.id) AS addresses,
           CASE WHEN contact.kind = 'company' THEN
           (SELECT jsonb_agg(jsonb_build_object('id', id, 'type', type, 'name', name, 'phones', phones,
                                                'email', email)
                             ORDER BY type <> 'main', position, id)
              FROM contact_person WHERE contact_id = contact.id) END AS people
      FROM contact
"""


def read(row: asyncpg.Record | Mapping[str, Any]) -> Contact:
    lists = {
        "phones": tuple(row["phones"]),
        "emails": tuple(row["emails"]),
        "addresses": tuple(Address(**each) for each in row["addresses"] or ()),
        "people": tuple(Person(**{**each, "phones": tuple(each["phones"])}) for each in row["people"] or ()),
    }
    return Contact(**{**row, **lists, "kind": ContactKind(row["kind"])})


async def by_id(db: Db | asyncpg.Connection, contact_id: int) -> Contact | None:
    row = await db.fetchrow(CONTACT + "WHERE contact.id = $1", contact_id)
    return read(row) if row else None


async def candidates(db: Db, number: str, limit: int = 10) -> list[Candidate]:
    """Who may be at this number (E.164 or short), likeliest first.

    The same number is worth more than the same ending, then whom we spoke with last.
    """
    rows = await db.fetch(
        """
        WITH alike AS (
            SELECT contact_id, number = $1 AS same FROM contact_phone
             WHERE number = $1 OR (length($1) > $2 AND reverse(number) LIKE reverse(right($1, $2)) || '%')
             UNION ALL
            SELECT contact_id, true FROM contact_person WHERE phones @> ARRAY[$1]
        )
        SELECT contact_id, bool_or(same) AS same,
               (SELECT max(started) FROM call WHERE call.contact_id = alike.contact_id) AS spoken
          FROM alike
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
    """By words of name, company or e-mail, by a document or external code, or by a phone's last digits.

    The digits are four or more. The people of a company and their phones find the company.
    """
    text = text.replace("\x00", " ").strip()
    words = text.split()[:8]
    digits = re.sub(r"\D", "", text)
    if not words:
        return []
    rows = await db.fetch(
        f"""
        WITH found AS (
            (SELECT id FROM contact WHERE found_by LIKE ALL ($1::text[]) LIMIT {FOUND_MAX})
             UNION
            (SELECT contact_id FROM contact_email WHERE found_by LIKE ALL ($1::text[]) LIMIT {FOUND_MAX})
             UNION
            (SELECT contact_id FROM contact_person WHERE found_by LIKE ALL ($1::text[]) LIMIT {FOUND_MAX})
             UNION
             SELECT id FROM contact WHERE document = ANY ($2::text[]) AND document <> ''
             UNION
             SELECT id FROM contact WHERE external_code = $3 AND external_code <> ''
             UNION
            (SELECT contact_id FROM contact_phone
              WHERE length($4) >= 4 AND reverse(number) LIKE reverse($4) || '%' LIMIT 100)
             UNION
             SELECT contact_id FROM contact_phone WHERE number = $5
             UNION
             SELECT contact_id FROM contact_person WHERE phones @> ARRAY[$5]
        )
        {CONTACT} JOIN found ON found.id = contact.id
         ORDER BY f_norm(contact.name), contact.id LIMIT $6
        """,
        await patterns(db, words),
        [text, re.sub(r"[^0-9A-Z]", "", text.upper())],
        text,
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
    """What happened before, newest first: calls with what was written down, tries, contacts that were no
    call, and tickets."""
    found = [
        *await calls_of(db, contact_id, limit),
        *await attempts_of(db, contact_id, limit),
        *await contacts_of(db, contact_id, limit),
        *await tickets_of(db, contact_id, limit),
    ]
    return sorted(found, key=lambda entry: entry.time, reverse=True)[:limit]


async def calls_of(db: Db, contact_id: int, limit: int) -> list[TimelineEntry]:
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


async def attempts_of(db: Db, contact_id: int, limit: int) -> list[TimelineEntry]:
    """Campaigns' tries that left no call behind: those not answered by a line, or not dialed at all."""
    rows = await db.fetch(
        """
        SELECT attempt.started AS time, coalesce(user_account.name, '') AS agent, campaign.name AS queue,
               coalesce(category.name, '') AS category, attempt.situation AS text, attempt.note
          FROM attempt
          JOIN campaign ON campaign.id = attempt.campaign_id
          LEFT JOIN user_account ON user_account.id = attempt.user_id
          LEFT JOIN category ON category.id = attempt.category_id
         WHERE attempt.contact_id = $1
           AND NOT EXISTS (SELECT FROM call WHERE call.id = attempt.call_id AND call.ended IS NOT NULL
                              AND call.contact_id = $1)
         ORDER BY attempt.started DESC LIMIT $2
        """,
        contact_id,
        limit,
    )
    return [
        TimelineEntry(
            row["time"],
            "attempt",
            row["agent"],
            row["queue"],
            row["category"],
            " · ".join(text for text in (row["text"], row["note"]) if text),
            "",
        )
        for row in rows
    ]


async def contacts_of(db: Db, contact_id: int, limit: int) -> list[TimelineEntry]:
    """What agents of campaigns recorded of contacts that were no call."""
    rows = await db.fetch(
        """
        SELECT action.at AS time, user_account.name AS agent, campaign.name AS queue,
               action.conversation AS text,
               concat_ws(': ', action_type.name, action_outcome.name) AS category
          FROM action
          JOIN user_account ON user_account.id = action.user_id
          JOIN campaign ON campaign.id = action.campaign_id
          LEFT JOIN action_type ON action_type.id = action.type_id
          LEFT JOIN action_outcome ON action_outcome.id = action.outcome_id
         WHERE action.contact_id = $1 AND action.without_call
         ORDER BY action.at DESC LIMIT $2
        """,
        contact_id,
        limit,
    )
    return [TimelineEntry(**row, kind="contact", call_id="") for row in rows]


async def tickets_of(db: Db, contact_id: int, limit: int) -> list[TimelineEntry]:
    rows = await db.fetch(
        """
        SELECT ticket.id, ticket.updated AS time, ticket.protocol, ticket.text, ticket_type.name AS type,
               ticket_status.name AS status, coalesce(user_account.name, '') AS agent
          FROM ticket
          JOIN ticket_type ON ticket_type.id = ticket.type_id
          JOIN ticket_status ON ticket_status.id = ticket.status_id
          LEFT JOIN user_account ON user_account.id = ticket.opened_by
         WHERE ticket.contact_id = $1 ORDER BY ticket.updated DESC LIMIT $2
        """,
        contact_id,
        limit,
    )
    return [
        TimelineEntry(
            row["time"],
            "ticket",
            row["agent"],
            f"{row['type']}: {row['status']}",
            row["protocol"],
            row["text"],
            "",
            row["id"],
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
            said.append(f"{each['label']}: {as_written(each['kind'], answer)}")
    return " · ".join(said)


def as_written(kind: str, answer: str) -> str:
    """A date and a telephone number as people write them; anything else as it was typed."""
    if kind == Kind.DATE and re.fullmatch(r"\d{4}-\d\d-\d\d", answer):
        year, month, day = answer.split("-")
        return f"{day}/{month}/{year}"
    return display(known) if kind == Kind.PHONE and (known := normalise(answer, "11")) else answer


# -- Changing ----------------------------------------------------------------------------------------------


def checked(
    values: Mapping[str, Any], area_code: str, fields: Iterable[CustomField] | None = None
) -> dict[str, Any]:
    """Without `fields` the custom answers are taken as they are, as somebody checked them before."""
    entry = Entry(values)
    answer: dict[str, Any] = {
        "name": entry.text("name", 120),
        "company": entry.text("company", 120, required=False),
        "document": entry.text("document", 40, required=False),
        "email": entry.text("email", 200, required=False),
        "notes": entry.text("notes", 4000, required=False),
        "phones": checked_phones(entry, area_code),
        "kind": entry.option("kind", list(ContactKind)) if values.get("kind") else ContactKind.PERSON,
        "external_code": entry.text("external_code", 60, required=False),
    }
    answer["document"] = checked_document(entry, answer["document"])
    if answer["email"] and not EMAIL.fullmatch(answer["email"]):
        entry.errors["email"] = "not_an_email"
    answer["emails"] = checked_emails(entry, answer["email"])
    answer["addresses"] = checked_addresses(entry)
    answer["people"] = checked_people(entry, area_code) if answer["kind"] == ContactKind.COMPANY else ()
    answer["custom"] = checked_custom(entry, area_code, fields)
    entry.done()
    return {**answer, "kind": ContactKind(answer["kind"])}


def checked_phones(entry: Entry, area_code: str) -> tuple[str, ...]:
    given = [text for each in entry.values.get("phones") or () if (text := str(each).strip())]
    numbers = [normalise(text, area_code) for text in given]
    if None in numbers:
        entry.errors["phones"] = "not_a_phone"
    elif len(numbers) > PHONES_MAX:
        entry.errors["phones"] = "out_of_range"
    return tuple(dict.fromkeys(number for number in numbers if number))


def checked_emails(entry: Entry, usual: str) -> tuple[str, ...]:
    given = [text for each in entry.values.get("emails") or () if (text := str(each).strip())]
    if not all(EMAIL.fullmatch(text) and len(text) <= 200 and "\x00" not in text for text in given):
        entry.errors["emails"] = "not_an_email"
    elif len(given) > EMAILS_MAX:
        entry.errors["emails"] = "out_of_range"
    return tuple(text for text in dict.fromkeys(given) if text != usual)


def checked_addresses(entry: Entry) -> tuple[Address, ...]:
    """Errors are under "addresses.2.state"; one without any word is none."""
    answer: list[Address] = []
    for n, given in enumerate(entry.values.get("addresses") or (), start=1):
        each = Entry(asdict(given) if isinstance(given, Address) else given)
        texts = {name: each.text(name, 120, required=False) for name in Address.__slots__}
        texts["state"] = texts["state"].upper()
        texts["postal_code"] = re.sub(r"[.\-\s]", "", texts["postal_code"])
        if texts["state"] and texts["state"] not in STATES:
            each.errors["state"] = "not_an_option"
        if not re.fullmatch(r"([0-9]{8})?", texts["postal_code"]):
            each.errors["postal_code"] = "not_a_postal_code"
        entry.errors |= {f"addresses.{n}.{name}": wrong for name, wrong in each.errors.items()}
        if any(texts.values()):
            answer.append(Address(**texts))
    if len(answer) > ADDRESSES_MAX:
        entry.errors["addresses"] = "out_of_range"
    return tuple(answer)


def checked_people(entry: Entry, area_code: str) -> tuple[Person, ...]:
    """Errors are under "people.2.name"; one without any word is none. One is the main person at most."""
    answer: list[Person] = []
    for n, given in enumerate(entry.values.get("people") or (), start=1):
        facts = asdict(given) if isinstance(given, Person) else given
        each = Entry(facts)
        if not any(facts.get(name) for name in ("name", "phones", "email")):
            continue
        person = Person(
            each.text("name", 120),
            each.text("type", 60, required=False) or MAIN,
            checked_phones(each, area_code),
            each.text("email", 200, required=False),
            each.reference("id"),
        )
        if person.email and not EMAIL.fullmatch(person.email):
            each.errors["email"] = "not_an_email"
        if person.type == MAIN and any(other.type == MAIN for other in answer):
            each.errors["type"] = "taken"
        entry.errors |= {f"people.{n}.{name}": wrong for name, wrong in each.errors.items()}
        answer.append(person)
    if len(answer) > PEOPLE_MAX:
        entry.errors["people"] = "out_of_range"
    return tuple(sorted(answer, key=lambda person: person.type != MAIN))


def checked_custom(entry: Entry, area_code: str, fields: Iterable[CustomField] | None) -> dict[str, str]:
    """Errors are under "custom.income"."""
    given = entry.values.get("custom") or {}
    if fields is None:
        return dict(given)
    kept, wrong = custom_fields.answers(fields, given, area_code)
    entry.errors |= {f"custom.{key}": problem for key, problem in wrong.items()}
    return kept


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
    **more: Any,
) -> Contact:
    """Phones may be in any writing; `area_code` completes local ones.

    `more`: kind, external_code, emails, addresses, people, custom. Custom fields that have to be answered
    are asked for only when `custom` is given: at a call a name and a number are enough.
    """
    facts = {"company": company, "document": document, "email": email, "notes": notes, **more}
    async with db.acquire() as connection, connection.transaction():
        return await add(connection, by, {"name": name, "phones": phones, **facts}, area_code)


async def add(
    connection: asyncpg.Connection, by: User | None, facts: Mapping[str, Any], area_code: str = "11"
) -> Contact:
    """As `create`, in the transaction of whoever makes sure that the customer is not there already."""
    require(by, "edit_contacts")
    fields = await custom_fields.all(connection) if "custom" in facts else None
    new = checked(facts, area_code, fields)
    contact_id = await connection.fetchval(
        """
        INSERT INTO contact (name, company, document, email, notes, kind, external_code, custom)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id
        """,
        *row_of(new),
    )
    await set_lists(connection, contact_id, new)
    await audit.note(connection, by, "contact.create", f"contact {contact_id}", None, plain(new))
    made = await by_id(connection, contact_id)
    assert made is not None
    return made


async def update(db: Db, by: User | None, contact_id: int, area_code: str = "11", **changes: Any) -> Contact:
    """Changes any field of Contact but the id. Answers to custom fields no longer asked stay."""
    require(by, "edit_contacts")
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM contact WHERE id = $1 FOR UPDATE", contact_id)
        before = await by_id(connection, contact_id)
        if before is None:
            raise missing("contact")
        fields = await custom_fields.all(connection) if "custom" in changes else None
        new = checked({**asdict(before), **changes}, area_code, fields)
        if fields is not None:
            asked = {field.key for field in fields}
            new["custom"] |= {key: text for key, text in before.custom.items() if key not in asked}
        await connection.execute(
            """
            UPDATE contact SET name = $2, company = $3, document = $4, email = $5, notes = $6, kind = $7,
                               external_code = $8, custom = $9, updated = now()
             WHERE id = $1
            """,
            contact_id,
            *row_of(new),
        )
        await set_lists(connection, contact_id, new)
        old = plain({key: getattr(before, key) for key in new})
        await audit.note(connection, by, "contact.update", f"contact {contact_id}", old, plain(new))
        made = await by_id(connection, contact_id)
    assert made is not None
    return made


def row_of(new: Mapping[str, Any]) -> list[Any]:
    names = ("name", "company", "document", "email", "notes", "kind", "external_code", "custom")
    return [new[name] for name in names]


def plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """As the audit keeps and compares it; a person's id says nothing to a reader."""
    people = [{**asdict(person), "id": None} for person in facts["people"]]
    return {
        **facts,
        "phones": tuple(facts["phones"]),
        "emails": tuple(facts["emails"]),
        "addresses": [asdict(address) for address in facts["addresses"]],
        "people": [{name: value for name, value in each.items() if name != "id"} for each in people],
    }


async def set_lists(connection: asyncpg.Connection, contact_id: int, new: Mapping[str, Any]) -> None:
    await set_phones(connection, contact_id, new["phones"])
    await set_emails(connection, contact_id, new["emails"])
    await set_addresses(connection, contact_id, new["addresses"])
    await set_people(connection, contact_id, new["people"])


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


async def set_emails(connection: asyncpg.Connection, contact_id: int, emails: Sequence[str]) -> None:
    """Those that stay keep the label they came with."""
    await connection.execute(
        "DELETE FROM contact_email WHERE contact_id = $1 AND email <> ALL($2::text[])", contact_id, emails
    )
    await connection.execute(
        """
        INSERT INTO contact_email (contact_id, email, position)
        SELECT $1, email, position FROM unnest($2::text[]) WITH ORDINALITY AS t (email, position)
        ON CONFLICT (contact_id, email) DO UPDATE SET position = excluded.position
        """,
        contact_id,
        emails,
    )


async def set_addresses(
    connection: asyncpg.Connection, contact_id: int, addresses: Sequence[Address]
) -> None:
    await connection.execute("DELETE FROM contact_address WHERE contact_id = $1", contact_id)
    await connection.executemany(
        """
        INSERT INTO contact_address (contact_id, position, label, street, number, complement, district, city,
                                     state, postal_code)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        [(contact_id, position, *asdict(each).values()) for position, each in enumerate(addresses)],
    )


async def set_people(connection: asyncpg.Connection, contact_id: int, people: Sequence[Person]) -> None:
    """Those that stay keep their id."""
    kept = [person.id for person in people if person.id]
    await connection.execute(
        "DELETE FROM contact_person WHERE contact_id = $1 AND id <> ALL($2::bigint[])", contact_id, kept
    )
    # Whoever stops being the main one makes room first.
    await connection.execute(
        "UPDATE contact_person SET type = '-' WHERE contact_id = $1 AND type = $2", contact_id, MAIN
    )
    for position, person in enumerate(people):
        facts = (person.type, person.name, list(person.phones), person.email, position)
        known = await connection.fetchval(
            """
            UPDATE contact_person SET type = $3, name = $4, phones = $5, email = $6, position = $7
             WHERE contact_id = $1 AND id = $2 RETURNING id
            """,
            contact_id,
            person.id,
            *facts,
        )
        if known is None:
            await connection.execute(
                """
                INSERT INTO contact_person (contact_id, type, name, phones, email, position)
                VALUES ($1, $2, $3, $4, $5, $6)
                """,
                contact_id,
                *facts,
            )


async def person_types(db: Db | asyncpg.Connection) -> list[str]:
    """Every category of person in use at companies, without the main one."""
    rows = await db.fetch(
        "SELECT DISTINCT type FROM contact_person WHERE type <> $1 ORDER BY type LIMIT 500", MAIN
    )
    return [row["type"] for row in rows]


async def write_history(connection: asyncpg.Connection, links: list[ContactLinked]) -> None:
    pairs = [(link.call_id, link.contact_id) for link in links]
    await connection.executemany("UPDATE call SET contact_id = $2 WHERE id = $1", pairs)
    await connection.executemany("UPDATE tabulation SET contact_id = $2 WHERE call_id = $1", pairs)
