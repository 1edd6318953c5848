"""Layouts of files that are imported again and again: which heading is what, remembered under a name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from crm import audit
from crm.db import Db
from crm.entry import Entry, missing, refusing
from crm.import_rows import plain
from crm.sheets import Preview
from crm.users import User, require


@dataclass(frozen=True, slots=True)
class ImportLayout:
    id: int
    name: str
    columns: tuple[Mapping[str, str], ...]  # name (the heading) and target, in the file's order
    delimiter: str
    encoding: str
    header: bool
    options: Mapping[str, Any]


LAYOUT = "SELECT id, name, columns, delimiter, encoding, header, options FROM import_layout "


def read(row: asyncpg.Record) -> ImportLayout:
    return ImportLayout(**{**row, "columns": tuple(row["columns"])})


async def all(db: Db | asyncpg.Connection) -> list[ImportLayout]:
    return [read(row) for row in await db.fetch(LAYOUT + "ORDER BY f_norm(name)")]


async def by_id(db: Db | asyncpg.Connection, layout_id: int) -> ImportLayout | None:
    row = await db.fetchrow(LAYOUT + "WHERE id = $1", layout_id)
    return read(row) if row else None


def fitting(layouts: Sequence[ImportLayout], preview: Preview) -> ImportLayout | None:
    """The layout whose columns this file has: by headings in any order, else by their number."""
    fits = [layout for layout in layouts if targets(layout, preview) is not None]
    return max(fits, key=lambda layout: len(layout.columns), default=None)


def targets(layout: ImportLayout, preview: Preview) -> list[str] | None:
    """What the layout makes of each column of this file; None when a column it needs is missing."""
    if layout.header != preview.reading.header:
        return None
    if not layout.header:
        same = len(layout.columns) == len(preview.columns)
        return [column["target"] for column in layout.columns] if same else None
    wanted = {plain(column["name"]): column["target"] for column in layout.columns}
    names = [plain(column.name) for column in preview.columns]
    needed = {name for name, target in wanted.items() if target}
    return [wanted.get(name, "") for name in names] if needed and needed <= set(names) else None


async def save(
    connection: asyncpg.Connection,
    by: User | None,
    name: str,
    preview: Preview,
    columns: Sequence[Mapping[str, str]],
    options: Mapping[str, Any],
) -> int:
    """One of that name is replaced. Inside the caller's transaction."""
    require(by, "run_campaigns")
    entry = Entry({"layout_name": name})
    name = entry.text("layout_name", 80)
    entry.done()
    layout_id = await connection.fetchval(
        """
        INSERT INTO import_layout (name, columns, delimiter, encoding, header, options, by_user_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (name) DO UPDATE SET
            columns = excluded.columns, delimiter = excluded.delimiter, encoding = excluded.encoding,
            header = excluded.header, options = excluded.options, by_user_id = excluded.by_user_id,
            updated = now()
        RETURNING id
        """,
        name,
        [dict(column) for column in columns],
        preview.reading.delimiter,
        preview.reading.encoding,
        bool(preview.reading.header),
        dict(options),
        by.id if by else None,
    )
    await audit.note(
        connection, by, "import_layout.save", f"import layout {name}", None, {"columns": list(columns)}
    )
    return layout_id


async def remove(db: Db, by: User | None, layout_id: int) -> None:
    """Refused while a campaign expects its files in this layout."""
    require(by, "run_campaigns")
    async with db.acquire() as connection, connection.transaction():
        with refusing({"campaign_import_layout_id_fkey": "layout"}):
            row = await connection.fetchrow(
                "DELETE FROM import_layout WHERE id = $1 RETURNING id, name, columns", layout_id
            )
        if row is None:
            raise missing("layout")
        await audit.note(
            connection, by, "import_layout.remove", f"import layout {row['name']}", dict(row), None
        )
