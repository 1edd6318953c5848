"""Custom fields: what an administrator has people asked about customers besides what everybody is asked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

import asyncpg

from crm import audit, form
from crm.db import Db
from crm.e164 import normalise
from crm.entry import Entry, missing, refuse, refusing
from crm.form import CHECKED, Field, Kind
from crm.users import User, require

KINDS = (Kind.TEXT, Kind.LONG_TEXT, Kind.NUMBER, Kind.DATE, Kind.PHONE, Kind.CHOICE, Kind.CHECKBOX)
FIELDS_MAX = 200
OPTIONS_MAX = 500
CONSTRAINTS = {"custom_field_key_key": "key"}


@dataclass(frozen=True, slots=True)
class CustomField:
    id: int
    key: str
    label: str
    kind: Kind
    options: tuple[str, ...]
    required: bool
    position: int
    active: bool

    @property
    def field(self) -> Field:
        return Field(self.key, self.label, self.kind, self.required, self.options)


# -- Finding -----------------------------------------------------------------------------------------------

CUSTOM_FIELD = "SELECT id, key, label, kind, options, required, position, active FROM custom_field "


def read(row: asyncpg.Record) -> CustomField:
    return CustomField(**{**row, "kind": Kind(row["kind"]), "options": tuple(row["options"])})


async def all(db: Db | asyncpg.Connection) -> list[CustomField]:
    """Those asked now, in the order asked."""
    return [read(row) for row in await db.fetch(CUSTOM_FIELD + "WHERE active ORDER BY position, id")]


async def ever(db: Db | asyncpg.Connection) -> list[CustomField]:
    """Also those no longer asked."""
    return [read(row) for row in await db.fetch(CUSTOM_FIELD + "ORDER BY active DESC, position, id")]


async def by_id(db: Db | asyncpg.Connection, field_id: int) -> CustomField | None:
    row = await db.fetchrow(CUSTOM_FIELD + "WHERE id = $1", field_id)
    return read(row) if row else None


# -- Answers -----------------------------------------------------------------------------------------------


def answers(
    fields: Iterable[CustomField], given: Mapping[str, Any], area_code: str = "11"
) -> tuple[dict[str, str], dict[str, str]]:
    """What is kept of the answers given, and what is wrong with them by field key. Pure.

    Kept are texts in one form: a number as 12.5, a date as 2026-11-21, a phone as E.164, a ticked box as 1.
    An empty answer is not kept at all.
    """
    known = {field.key: field for field in fields}
    kept: dict[str, str] = {}
    wrong = {key: "unknown_field" for key in given if key not in known}
    for key, field in known.items():
        text = str(given.get(key) if given.get(key) is not None else "").strip()
        if "\x00" in text:
            wrong[key] = "not_allowed_characters"
        elif problem := form.problem(field.field, text):
            wrong[key] = problem
        elif text and (field.kind is not Kind.CHECKBOX or text in CHECKED):
            kept[key] = in_one_form(field.kind, text, area_code)
    return kept, wrong


def in_one_form(kind: Kind, text: str, area_code: str) -> str:
    match kind:
        case Kind.NUMBER:
            number = Decimal(text.replace(",", "."))
            return format(number.normalize() if number else Decimal(0), "f")
        case Kind.PHONE:
            return normalise(text, area_code) or text
        case Kind.CHECKBOX:
            return "1"
        case _:
            return text


# -- Administration ----------------------------------------------------------------------------------------


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    entry = Entry(values)
    kind = entry.option("kind", list(KINDS))
    answer = {
        "key": entry.matching("key", r"[a-z][a-z0-9_]{0,39}"),
        "label": entry.text("label", 60),
        "kind": kind,
        "options": entry.lines("options", OPTIONS_MAX) if kind == Kind.CHOICE else [],
        "required": entry.switch("required"),
        "position": entry.whole("position", 0, 10_000),
    }
    entry.done()
    return answer


async def create(db: Db, by: User | None, **values: Any) -> CustomField:
    """`values`: key, label, kind, options, required, position. One removed before comes back by its key."""
    require(by, "administer")
    new = checked(values)
    async with db.acquire() as connection, connection.transaction():
        if await connection.fetchval("SELECT count(*) FROM custom_field WHERE active") >= FIELDS_MAX:
            refuse({"key": "out_of_range"})
        field_id = await connection.fetchval(
            """
            INSERT INTO custom_field (key, label, kind, options, required, position)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (key) DO UPDATE SET
                label = excluded.label, options = excluded.options, required = excluded.required,
                position = excluded.position, active = true
             WHERE NOT custom_field.active AND custom_field.kind = excluded.kind
            RETURNING id
            """,
            *new.values(),
        )
        if field_id is None:
            refuse({"key": "taken"})
        await audit.note(connection, by, "custom_field.create", f"custom field {new['key']}", None, new)
        made = await by_id(connection, field_id)
    assert made is not None
    return made


async def update(db: Db, by: User | None, field_id: int, **changes: Any) -> CustomField:
    """Changes label, options, required or position; key and kind stay, for what was answered by them."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM custom_field WHERE id = $1 FOR UPDATE", field_id)
        before = await by_id(connection, field_id)
        if before is None or not before.active:
            raise missing("field")
        old = {name: value for name, value in asdict(before).items() if name not in ("id", "active")}
        new = checked({**old, **changes, "key": before.key, "kind": before.kind})
        with refusing(CONSTRAINTS):
            await connection.execute(
                """
                UPDATE custom_field SET label = $2, options = $3, required = $4, position = $5 WHERE id = $1
                """,
                field_id,
                new["label"],
                new["options"],
                new["required"],
                new["position"],
            )
        old["options"] = list(old["options"])
        await audit.note(connection, by, "custom_field.update", f"custom field {before.key}", old, new)
        made = await by_id(connection, field_id)
    assert made is not None
    return made


async def remove(db: Db, by: User | None, field_id: int) -> None:
    """No longer asked; what was answered stays with each customer."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        key = await connection.fetchval(
            "UPDATE custom_field SET active = false WHERE id = $1 AND active RETURNING key", field_id
        )
        if key is None:
            raise missing("field")
        await audit.note(connection, by, "custom_field.remove", f"custom field {key}", {"key": key}, None)


async def put_in_order(db: Db, by: User | None, ids: Sequence[int]) -> None:
    """They are asked in this order from now on."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        await connection.execute(
            """
            UPDATE custom_field SET position = t.position
              FROM unnest($1::integer[]) WITH ORDINALITY AS t (id, position) WHERE custom_field.id = t.id
            """,
            list(ids),
        )
        await audit.note(connection, by, "custom_field.order", "custom fields", None, {"order": list(ids)})
