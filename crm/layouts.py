"""Layouts: the forms agents fill about a call, and the typed categories they choose from."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import asyncpg

from crm import audit
from crm.db import Db
from crm.entry import Entry, missing, refuse, refuse_used, refusing
from crm.form import CHOICES, Category, CategoryType, Field, Kind, Layout, Permission, Scenario
from crm.refused import Refused
from crm.users import User, require

__all__ = ["Category", "CategoryType", "Field", "Kind", "Layout", "Permission", "Scenario"]

CONSTRAINTS = {
    "layout_name_key": "name",
    "layout_type_type_id_fkey": "types",
    "category_type_name_key": "name",
    "category_type_id_name_key": "name",
    "category_type_id_fkey": "type",
    "tabulation_category_id_fkey": "tabulation",
    "layout_permission_group_id_fkey": "permissions",
    "layout_permission_campaign_id_fkey": "permissions",
}
FIELDS_MAX = 60
OPTIONS_MAX = 200
PERMISSIONS_MAX = 60


# -- Finding -----------------------------------------------------------------------------------------------


async def all(db: Db | asyncpg.Connection) -> list[Layout]:
    rows = await db.fetch(
        """
        SELECT id, name, label, fields,
               coalesce((SELECT array_agg(type_id ORDER BY position) FROM layout_type WHERE layout_id = id),
                        '{}') AS types,
               (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.position), '[]')
                  FROM layout_permission p WHERE p.layout_id = layout.id) AS permissions
          FROM layout ORDER BY f_norm(label), id
        """
    )
    known = {each.id: each for each in await types(db)}
    return [read(row, known) for row in rows]


async def by_id(db: Db | asyncpg.Connection, layout_id: int) -> Layout | None:
    return next((layout for layout in await all(db) if layout.id == layout_id), None)


async def types(db: Db | asyncpg.Connection) -> list[CategoryType]:
    """Every type with its active categories."""
    rows = await db.fetch(
        """
        SELECT category_type.id, category_type.name,
               category.id AS category_id, category.name AS category, category.success
          FROM category_type
          LEFT JOIN category ON category.type_id = category_type.id AND category.active
         ORDER BY f_norm(category_type.name), category_type.id, f_norm(category.name)
        """
    )
    found: dict[int, CategoryType] = {}
    for row in rows:
        kind = found.get(row["id"], CategoryType(row["id"], row["name"], ()))
        more = (Category(row["category_id"], row["category"], row["success"]),) if row["category_id"] else ()
        found[row["id"]] = CategoryType(kind.id, kind.name, kind.categories + more)
    return list(found.values())


async def asked_by(db: Db | asyncpg.Connection) -> dict[int, list[str]]:
    """The queues and campaigns that name each layout, by its id."""
    rows = await db.fetch(
        """
        SELECT layout_id, array_agg(name ORDER BY f_norm(name)) AS names
          FROM (SELECT layout_id, label AS name FROM queue
                UNION ALL SELECT layout_id, name FROM campaign) AS asking
         WHERE layout_id IS NOT NULL GROUP BY layout_id
        """
    )
    return {row["layout_id"]: row["names"] for row in rows}


async def answer_labels(db: Db | asyncpg.Connection) -> dict[str, str]:
    """Each field of any layout by its key; fields of the same key go by the label of the oldest layout."""
    rows = await db.fetch(
        """
        SELECT DISTINCT ON (field ->> 'key') field ->> 'key' AS key, field ->> 'label' AS label
          FROM layout, jsonb_array_elements(fields) AS field
         ORDER BY field ->> 'key', layout.id
        """
    )
    return {row["key"]: row["label"] for row in rows}


def read(row: asyncpg.Record, types: Mapping[int, CategoryType]) -> Layout:
    fields = tuple(
        Field(**{**each, "kind": Kind(each["kind"]), "options": tuple(each["options"])})
        for each in row["fields"]
    )
    permissions = tuple(
        Permission(tuple(map(Scenario, each["scenarios"])), each["group_id"], each["campaign_id"])
        for each in row["permissions"]
    )
    chosen = tuple(types[i] for i in row["types"])
    return Layout(row["id"], row["name"], row["label"], fields, chosen, permissions)


# -- Administration of layouts -----------------------------------------------------------------------------


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    entry = Entry(values)
    answer: dict[str, Any] = {
        "name": entry.matching("name", r"[a-z0-9_-]{1,40}"),
        "label": entry.text("label", 60),
        "fields": checked_fields(entry, values.get("fields") or ()),
        "types": entry.references("types"),
        "permissions": checked_permissions(entry, values.get("permissions") or ()),
    }
    entry.done()
    return answer


def checked_permissions(
    entry: Entry, permissions: Iterable[Permission | Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Errors are under "permissions.2.scenarios". A campaign has no incoming calls, so a permission for
    those alone and a campaign would serve nothing."""
    answer: list[dict[str, Any]] = []
    for n, given in enumerate(permissions, start=1):
        each = Entry(asdict(given) if isinstance(given, Permission) else given)
        scenarios = [str(s) for s in Scenario if s in (each.values.get("scenarios") or ())]
        one = {
            "group_id": each.reference("group_id"),
            "campaign_id": each.reference("campaign_id"),
            "scenarios": scenarios,
        }
        if not scenarios:
            each.errors["scenarios"] = "required"
        elif one["campaign_id"] and scenarios == [Scenario.INBOUND]:
            each.errors["scenarios"] = "not_allowed"
        elif any((o["group_id"], o["campaign_id"]) == (one["group_id"], one["campaign_id"]) for o in answer):
            each.errors["group_id"] = "taken"
        answer.append(one)
        entry.errors |= {f"permissions.{n}.{field}": wrong for field, wrong in each.errors.items()}
    if len(answer) > PERMISSIONS_MAX:
        entry.errors["permissions"] = "out_of_range"
    return answer


def checked_fields(entry: Entry, fields: Iterable[Field | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Errors are under "fields.2.label": the second field's label."""
    answer: list[dict[str, Any]] = []
    for n, given in enumerate(fields, start=1):
        each = Entry(asdict(given) if isinstance(given, Field) else given)
        kind = each.option("kind", list(Kind))
        answer.append(
            {
                "key": each.matching("key", r"[a-z][a-z0-9_]{0,39}"),
                "label": each.text("label", 60),
                "kind": kind,
                "required": each.switch("required"),
                "options": each.lines("options", OPTIONS_MAX) if kind in CHOICES else [],
                "length_max": each.whole("length_max", 0, 20_000),
            }
        )
        if answer[-1]["key"] in ("category", *(other["key"] for other in answer[:-1])):
            each.errors["key"] = "taken"
        entry.errors |= {f"fields.{n}.{field}": wrong for field, wrong in each.errors.items()}
    if len(answer) > FIELDS_MAX:
        entry.errors["fields"] = "out_of_range"
    return answer


async def create(db: Db, by: User | None, **values: Any) -> Layout:
    """`values`: name, label, fields (of Field, or mappings like it), types (ids of category types),
    permissions (of Permission, or mappings like it; EPB-69)."""
    require(by, "administer")
    new = checked(values)
    async with db.acquire() as connection, connection.transaction():
        with refusing(CONSTRAINTS):
            layout_id = await connection.fetchval(
                "INSERT INTO layout (name, label, fields) VALUES ($1, $2, $3) RETURNING id",
                new["name"],
                new["label"],
                new["fields"],
            )
            await set_types(connection, layout_id, new["types"])
            await set_permissions(connection, layout_id, new["permissions"])
        await audit.note(connection, by, "layout.create", f"layout {new['name']}", None, new)
        made = await by_id(connection, layout_id)
    assert made is not None
    return made


async def update(db: Db, by: User | None, layout_id: int, **changes: Any) -> Layout:
    """Changes name, label, fields, types or permissions. Types that stay keep their order; tabulations made
    before keep their answers."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, layout_id)
        if before is None:
            raise missing("layout")
        old = plain(before)
        new = checked({**old, **changes})
        place = {type_id: n for n, type_id in enumerate(old["types"])}
        new["types"] = tuple(sorted(new["types"], key=lambda type_id: place.get(type_id, len(place))))
        with refusing(CONSTRAINTS):
            await connection.execute(
                "UPDATE layout SET name = $2, label = $3, fields = $4 WHERE id = $1",
                layout_id,
                new["name"],
                new["label"],
                new["fields"],
            )
            await set_types(connection, layout_id, new["types"])
            await set_permissions(connection, layout_id, new["permissions"])
        await audit.note(connection, by, "layout.update", f"layout {new['name']}", old, new)
        made = await by_id(connection, layout_id)
    assert made is not None
    return made


def plain(layout: Layout) -> dict[str, Any]:
    """As it is written, in JSON's types."""
    return {
        "name": layout.name,
        "label": layout.label,
        "fields": json.loads(json.dumps([asdict(field) for field in layout.fields])),
        "types": tuple(each.id for each in layout.types),
        "permissions": json.loads(json.dumps([asdict(permission) for permission in layout.permissions])),
    }


async def set_types(connection: asyncpg.Connection, layout_id: int, type_ids: Sequence[int]) -> None:
    await connection.execute("DELETE FROM layout_type WHERE layout_id = $1", layout_id)
    await connection.execute(
        """
        INSERT INTO layout_type (layout_id, type_id, position)
        SELECT $1, type_id, position FROM unnest($2::integer[]) WITH ORDINALITY AS t (type_id, position)
        """,
        layout_id,
        type_ids,
    )


async def set_permissions(
    connection: asyncpg.Connection, layout_id: int, permissions: Sequence[Mapping[str, Any]]
) -> None:
    await connection.execute("DELETE FROM layout_permission WHERE layout_id = $1", layout_id)
    await connection.executemany(
        """
        INSERT INTO layout_permission (layout_id, position, group_id, campaign_id, scenarios)
        VALUES ($1, $2, $3, $4, $5)
        """,
        [
            (layout_id, n, each["group_id"], each["campaign_id"], each["scenarios"])
            for n, each in enumerate(permissions, start=1)
        ],
    )


async def remove(db: Db, by: User | None, layout_id: int) -> None:
    """Refused while a queue or campaign asks it, and once a tabulation was made with it."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        before = await by_id(connection, layout_id)
        if before is None:
            raise missing("layout")
        refuse_used(before.label, (await asked_by(connection)).get(layout_id, []))
        try:
            await connection.execute("DELETE FROM layout WHERE id = $1", layout_id)
        except asyncpg.ForeignKeyViolationError:
            raise Refused(
                "Tabulations were made with {name}: it stays.", code="in_use", name=before.label
            ) from None
        await audit.note(connection, by, "layout.remove", f"layout {before.name}", plain(before), None)


# -- Administration of categories --------------------------------------------------------------------------


async def create_type(db: Db, by: User | None, *, name: str) -> CategoryType:
    require(by, "administer")
    entry = Entry({"name": name})
    name = entry.text("name", 60)
    entry.done()
    async with db.acquire() as connection, connection.transaction():
        with refusing(CONSTRAINTS):
            type_id = await connection.fetchval(
                "INSERT INTO category_type (name) VALUES ($1) RETURNING id", name
            )
        await audit.note(connection, by, "category_type.create", f"type {name}", None, {"name": name})
    return CategoryType(type_id, name, ())


async def rename_type(db: Db, by: User | None, type_id: int, *, name: str) -> None:
    require(by, "administer")
    entry = Entry({"name": name})
    name = entry.text("name", 60)
    entry.done()
    async with db.acquire() as connection, connection.transaction():
        old = await connection.fetchval("SELECT name FROM category_type WHERE id = $1 FOR UPDATE", type_id)
        if old is None:
            raise missing("type")
        with refusing(CONSTRAINTS):
            await connection.execute("UPDATE category_type SET name = $2 WHERE id = $1", type_id, name)
        await audit.note(
            connection, by, "category_type.update", f"type {name}", {"name": old}, {"name": name}
        )


async def create_category(db: Db, by: User | None, type_id: int, *, name: str, success: Any) -> Category:
    """One that was removed before under the same name comes back."""
    require(by, "administer")
    entry = Entry({"name": name, "success": success})
    name, right = entry.text("name", 60), entry.switch("success")
    entry.done()
    async with db.acquire() as connection, connection.transaction():
        with refusing(CONSTRAINTS):
            category_id = await connection.fetchval(
                """
                INSERT INTO category (type_id, name, success) VALUES ($1, $2, $3)
                ON CONFLICT (type_id, name) DO UPDATE SET active = true, success = excluded.success
                 WHERE NOT category.active
                RETURNING id
                """,
                type_id,
                name,
                right,
            )
        if category_id is None:
            refuse({"name": "taken"})
        await audit.note(
            connection, by, "category.create", f"category {name}", None, {"type": type_id, "success": right}
        )
    return Category(category_id, name, right)


async def update_category(db: Db, by: User | None, category_id: int, *, name: str, success: Any) -> Category:
    require(by, "administer")
    entry = Entry({"name": name, "success": success})
    new = {"name": entry.text("name", 60), "success": entry.switch("success")}
    entry.done()
    async with db.acquire() as connection, connection.transaction():
        old = await connection.fetchrow(
            "SELECT name, success FROM category WHERE id = $1 FOR UPDATE", category_id
        )
        if old is None:
            raise missing("category")
        with refusing(CONSTRAINTS):
            await connection.execute(
                "UPDATE category SET name = $2, success = $3 WHERE id = $1", category_id, *new.values()
            )
        await audit.note(connection, by, "category.update", f"category {new['name']}", dict(old), new)
    return Category(category_id, str(new["name"]), bool(new["success"]))


async def remove_category(db: Db, by: User | None, category_id: int) -> None:
    """No longer offered; tabulations that chose it keep it."""
    require(by, "administer")
    async with db.acquire() as connection, connection.transaction():
        name = await connection.fetchval(
            "UPDATE category SET active = false WHERE id = $1 AND active RETURNING name", category_id
        )
        if name is None:
            raise missing("category")
        await audit.note(connection, by, "category.remove", f"category {name}", {"name": name}, None)
