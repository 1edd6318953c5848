"""What a campaign's settings are chosen from, where no noun of its own lists it."""

import asyncpg

from crm.db import Db

TYPES_MAX = 200


async def company_types(db: Db | asyncpg.Connection) -> list[str]:
    """The categories that companies' contacts have, but for the main one."""
    rows = await db.fetch(
        "SELECT DISTINCT type FROM contact_person WHERE type <> 'main' ORDER BY type LIMIT $1", TYPES_MAX
    )
    return [row["type"] for row in rows]


async def import_layouts(db: Db | asyncpg.Connection) -> list[tuple[int, str]]:
    """The remembered layouts of files, by name."""
    rows = await db.fetch("SELECT id, name FROM import_layout ORDER BY f_norm(name), id")
    return [(row["id"], row["name"]) for row in rows]


async def names(db: Db | asyncpg.Connection) -> dict[int, str]:
    """Every campaign, ended ones last."""
    rows = await db.fetch("SELECT id, name FROM campaign ORDER BY status = 'ended', f_norm(name), id")
    return {row["id"]: row["name"] for row in rows}
