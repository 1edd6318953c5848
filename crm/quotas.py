"""Quotas: so many successes among the customers who meet some conditions, then no more of them are called."""

from collections.abc import Sequence

import asyncpg

from crm import filters
from crm.campaigns import Campaign
from crm.db import Db
from crm.dialing import Dialing, tree_of


async def full(db: Db | asyncpg.Connection, campaign: Campaign, dialing: Dialing) -> filters.Tree | None:
    """The customers of whom there are enough successes, as a filter; None when of nobody."""
    if not dialing.quotas:
        return None
    fields = await filters.fields(db)
    trees, counts, arguments = [], [], [campaign.id]
    for quota in dialing.quotas:
        tree = filters.checked(tree_of(quota, fields), fields)
        condition, values = filters.sql(tree, fields, len(arguments) + 1)
        trees.append(tree)
        counts.append(f"count(*) FILTER (WHERE {condition})")
        arguments += values
    row = await db.fetchrow(
        f"""
        SELECT {", ".join(f"{count} AS n{place}" for place, count in enumerate(counts))}
          FROM list_item AS item JOIN contact ON contact.id = item.contact_id
         WHERE item.campaign_id = $1 AND item.state = 4 AND item.result = 'success'
        """,
        *arguments,
    )
    reached = [
        tree for tree, n, quota in zip(trees, row.values(), dialing.quotas, strict=True) if n >= quota.max
    ]
    return {"any": reached} if reached else None


async def meeting(
    db: Db | asyncpg.Connection, tree: filters.Tree | None, contact_ids: Sequence[int]
) -> set[int]:
    if tree is None:
        return set()
    condition, values = await filters.where(db, tree, 2)
    rows = await db.fetch(
        f"SELECT contact.id FROM contact WHERE contact.id = ANY($1::bigint[]) AND {condition}",
        contact_ids,
        *values,
    )
    return {row["id"] for row in rows}
