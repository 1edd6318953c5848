"""Centres with campaigns for tests: agents, people with phones, a campaign that is active."""

import datetime

from crm import campaigns, filters, layouts, users
from crm.users import Role

PASSWORD = "correct horse battery"
UTC = datetime.UTC
NOON = datetime.datetime(2026, 11, 18, 15, 0, tzinfo=UTC)  # a Wednesday, noon in São Paulo
MINUTE = datetime.timedelta(minutes=1)


async def boss(db, login="boss"):
    return await users.create(
        db, None, login=login, name=login.title(), role=Role.SUPERVISOR, password=PASSWORD
    )


async def agents(db, n, prefix="agent"):
    """Made without their slow passwords."""
    rows = await db.fetch(
        """
        INSERT INTO user_account (login, name, role, password, may_dial_external)
        SELECT $2 || n, initcap($2) || ' ' || n, 'agent', '-', true FROM generate_series(1, $1) AS n
        RETURNING id
        """,
        n,
        prefix,
    )
    return [await users.by_id(db, row["id"]) for row in rows]


async def people(db, n, number="+5511{:09d}", first=900000000):
    """Each with one phone; their ids."""
    rows = await db.fetch(
        """
        WITH made AS (
            INSERT INTO contact (name) SELECT 'Person ' || n FROM generate_series(1, $1) AS n RETURNING id)
        SELECT id FROM made ORDER BY id
        """,
        n,
    )
    ids = [row["id"] for row in rows]
    await db.executemany(
        "INSERT INTO contact_phone (contact_id, number) VALUES ($1, $2)",
        [(contact_id, number.format(first + place)) for place, contact_id in enumerate(ids)],
    )
    return ids


async def everybody(db, by=None, name="Everybody"):
    return await filters.create(db, by, name=name, tree={"all": []})


async def campaign(db, members=(), name="Winback", by=None, source="leads", **settings):
    """Active, with the given settings of any step; from leads unless said, so that it needs no filter."""
    form = await db.fetchval("SELECT id FROM layout LIMIT 1")
    if form is None:
        form = (await layouts.create(db, None, name="form", label="Form", fields=[], types=[])).id
    first = {
        key: settings.pop(key)
        for key in ("filter_id", "import_layout_id", "validates", "link_person", "external_code")
        if key in settings
    }
    made = await campaigns.create_draft(db, by, name=name, source=source, **first)
    days = {
        key: settings.pop(key)
        for key in (
            "permanent",
            "valid_from",
            "valid_until",
            "callback_mode",
            "hours_preset",
            "hours",
            "respect_destination_window",
        )
        if key in settings
    }
    if days:
        await campaigns.save_step(db, by, made.id, "period", days)
    groups = settings.pop("groups", ())
    await campaigns.save_step(db, by, made.id, "settings", {"layout_id": form, **settings})
    await campaigns.save_step(
        db, by, made.id, "conclusion", {"agents": [each.id for each in members], "groups": groups}
    )
    return await campaigns.activate(db, by, made.id)


async def put(db, campaign, contact_id, **values):
    """One item as it is given."""
    values = {"campaign_id": campaign.id, "contact_id": contact_id, **values}
    places = ", ".join(f"${n + 1}" for n in range(len(values)))
    return await db.fetchval(
        f"INSERT INTO list_item ({', '.join(values)}) VALUES ({places}) RETURNING id", *values.values()
    )
