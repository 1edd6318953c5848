"""Leads: people who arrive one by one through the API, and are on their campaign's list at once."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from crm import audit, campaigns, contacts, lists
from crm.db import Db
from crm.e164 import normalise
from crm.entry import Entry
from crm.refused import Refused
from crm.users import User, require


@dataclass(frozen=True, slots=True)
class Lead:
    id: int
    campaign_id: int
    contact_id: int
    contact: str
    source: str  # who sent it, such as "site"
    external_id: str
    at: datetime.datetime
    item_id: int | None  # None: not on the list, because every number is blocked


LEAD = """
    SELECT lead.id, lead.campaign_id, lead.contact_id, contact.name AS contact, lead.source,
           lead.external_id, lead.at, list_item.id AS item_id
      FROM lead
      JOIN contact ON contact.id = lead.contact_id
      LEFT JOIN list_item ON list_item.campaign_id = lead.campaign_id
                         AND list_item.contact_id = lead.contact_id
"""


async def receive(
    db: Db,
    by: User | None,
    campaign_id: int,
    now: datetime.datetime,
    *,
    name: str,
    phones: Sequence[str],
    source: str = "",
    external_id: str = "",
    area_code: str = "11",
    priority: int = 0,
    **facts: Any,
) -> Lead:
    """The lead, its customer (known by document or number, else new) and its place on the list.

    One sent twice (same source and external id) is the first one again. `facts` are those of a contact.
    """
    require(by, "run_campaigns")
    campaign = await campaigns.found(db, campaign_id)
    if campaign.source != "leads" or campaign.status not in ("active", "paused"):
        raise Refused("The campaign {name} takes no leads now.", code="wrong_status", name=campaign.name)
    entry = Entry({"source": source, "external_id": external_id, "phones": phones, "priority": priority})
    source = entry.text("source", 60, required=False)
    external_id = entry.text("external_id", 200, required=False)
    priority = entry.whole("priority", -1000, 1000)
    numbers = [normalise(str(each), area_code) for each in phones]
    if not numbers:
        entry.errors["phones"] = "required"
    elif not all(number and number.startswith("+") for number in numbers):
        entry.errors["phones"] = "not_a_phone"
    entry.done()
    document = compact(str(facts.get("document") or ""))
    wanted = [number for number in numbers if number]
    keys = [f"lead {each}" for each in (*wanted, document) if each]
    if external_id:
        keys.append(f"lead {campaign_id} {source} {external_id}")
    async with db.acquire() as connection, connection.transaction():
        for key in sorted(set(keys)):  # the same person sent twice at the same moment waits here
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", key)
        if external_id and (known := await by_external_id(connection, campaign_id, source, external_id)):
            return known
        contact_id = await known_contact(connection, wanted, document)
        if contact_id is None:
            made = await contacts.add(connection, None, {"name": name, "phones": wanted, **facts})
            contact_id = made.id
        lead_id = await connection.fetchval(
            """
            INSERT INTO lead (campaign_id, contact_id, source, external_id, at) VALUES ($1, $2, $3, $4, $5)
            RETURNING id
            """,
            campaign_id,
            contact_id,
            source,
            external_id,
            now,
        )
        load_id = await load_of_today(connection, campaign_id, by, now)
        added = await lists.add(connection, campaign, [contact_id], load_id, priority)
        await connection.execute(
            """
            UPDATE campaign_load SET added = added + $2, duplicates = duplicates + 1 - $2 WHERE id = $1
            """,
            load_id,
            added,
        )
        await audit.note(
            connection,
            by,
            "lead.receive",
            f"campaign {campaign.name}",
            None,
            {"source": source, "external_id": external_id, "contact_id": contact_id},
        )
        row = await connection.fetchrow(LEAD + "WHERE lead.id = $1", lead_id)
    return Lead(**row)


async def known_contact(connection: asyncpg.Connection, numbers: Sequence[str], document: str) -> int | None:
    """By the document when there is one, else by a number that is one customer's only."""
    if document:
        found = await connection.fetch("SELECT id FROM contact WHERE document = $1 LIMIT 2", document)
        return found[0]["id"] if len(found) == 1 else None
    found = await connection.fetch(
        "SELECT DISTINCT contact_id AS id FROM contact_phone WHERE number = ANY($1::text[]) LIMIT 2", numbers
    )
    return found[0]["id"] if len(found) == 1 else None


def compact(document: str) -> str:
    return "".join(each for each in document.upper() if each.isalnum())


async def load_of_today(
    connection: asyncpg.Connection, campaign_id: int, by: User | None, now: datetime.datetime
) -> int:
    """One line of the list's history for a day's leads, and not one for each."""
    await connection.execute("SELECT FROM campaign WHERE id = $1 FOR NO KEY UPDATE", campaign_id)
    load_id = await connection.fetchval(
        """
        SELECT campaign_load.id FROM campaign_load JOIN campaign ON campaign.id = campaign_load.campaign_id
         WHERE campaign_load.campaign_id = $1 AND campaign_load.kind = 'lead'
           AND campaign_load.generation = campaign.generation
           AND campaign_load.at > $2::timestamptz - interval '24 hours'
         ORDER BY campaign_load.id DESC LIMIT 1
        """,
        campaign_id,
        now,
    )
    return load_id or await connection.fetchval(
        """
        INSERT INTO campaign_load (campaign_id, generation, at, by_user_id, kind)
        SELECT id, generation, $2, $3, 'lead' FROM campaign WHERE id = $1 RETURNING id
        """,
        campaign_id,
        now,
        by.id if by else None,
    )


async def by_external_id(
    db: Db | asyncpg.Connection, campaign_id: int, source: str, external_id: str
) -> Lead | None:
    row = await db.fetchrow(
        LEAD + "WHERE lead.campaign_id = $1 AND lead.source = $2 AND lead.external_id = $3",
        campaign_id,
        source,
        external_id,
    )
    return Lead(**row) if row else None


async def of_campaign(db: Db, campaign_id: int, limit: int = 100, offset: int = 0) -> list[Lead]:
    """Newest first."""
    rows = await db.fetch(
        LEAD + "WHERE lead.campaign_id = $1 ORDER BY lead.id DESC LIMIT $2 OFFSET $3",
        campaign_id,
        limit,
        offset,
    )
    return [Lead(**row) for row in rows]
