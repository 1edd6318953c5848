"""How a campaign's list is made: from a filter, a file or leads, without anybody twice and nobody blocked."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg

from crm import audit, campaigns, filters
from crm.campaigns import Campaign
from crm.db import Db
from crm.entry import missing
from crm.refused import Refused
from crm.said import Said
from crm.users import User, can, require

SECONDS_MAX = 600  # for one statement over millions of people
SHOW_SECONDS = 20  # for a page of them
ASKED_AT_ONCE = 8  # people whose validation is under way: one that hangs holds up the others little
ASKED_A_STEP = 200  # people who are read at once to be asked about
PEOPLE_A_STEP = 50_000  # between two looks at how far it is, where the database does all by itself
REFUSALS_KEPT = 10_000  # of one list
ADD, REBUILD = "add", "rebuild"


class Verdict(Protocol):
    """What a validation said; `failed` when it gave no answer, `fault` what is wrong with it in our words."""

    @property
    def allowed(self) -> bool: ...
    @property
    def failed(self) -> bool: ...
    @property
    def why(self) -> str: ...
    @property
    def fault(self) -> Refused | None: ...


@dataclass(frozen=True, slots=True)
class Person:
    """What a validation may be told of somebody (UAU-23)."""

    external_code: str
    internal_code: str
    document: str


Ask = Callable[[Campaign, Person], Awaitable[Verdict]]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the making of a list is; `failed` are validations that gave no answer so far."""

    step: str  # looking, asking, recording
    done: int
    all: int
    failed: int = 0


Note = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Load:
    """One making of the list (UAU-32)."""

    id: int
    campaign_id: int
    generation: int
    at: datetime.datetime
    by_user_id: int | None
    by: str  # the user's name
    kind: str  # add, rebuild, import, lead
    added: int
    duplicates: int
    blocked: int
    rejected: int
    failed: int
    import_id: int | None
    refusals: int  # people whose validation's words are kept


@dataclass(frozen=True, slots=True)
class Refusal:
    """Somebody whom the validation of a list said no to, or gave no answer about (`failed`)."""

    contact_id: int
    contact: str
    failed: bool
    why: str | Said  # the validation's own words, or ours


@dataclass(frozen=True, slots=True)
class Candidate:
    contact_id: int
    contact: str
    document: str
    number: str  # the first that may be called, else the first
    standing: str  # new, listed, blocked, rejected


@dataclass(frozen=True, slots=True)
class Standings:
    """How many would be added, and why the others not, before anything is recorded (UAU-31)."""

    new: int
    listed: int
    blocked: int
    rejected: int  # without a number

    def plus(self, other: "Standings") -> "Standings":
        return Standings(
            self.new + other.new,
            self.listed + other.listed,
            self.blocked + other.blocked,
            self.rejected + other.rejected,
        )


# -- Who is meant ------------------------------------------------------------------------------------------


async def audience(
    connection: asyncpg.Connection, campaign: Campaign, first: int = 1
) -> tuple[str, list[Any]]:
    """The condition on `contact` of the campaign's source, and its arguments from `first` on."""
    match campaign.source:
        case "filter":
            saved = await filters.by_id(connection, campaign.filter_id) if campaign.filter_id else None
            if saved is None:
                raise missing("filter")
            return await filters.where(connection, saved.tree, first)
        case "leads":
            where = f"contact.id IN (SELECT contact_id FROM lead WHERE campaign_id = ${first})"
        case _:  # whom its files ever brought: they are or were on the list
            where = (
                f"contact.id IN (SELECT contact_id FROM list_item WHERE campaign_id = ${first}"
                f" UNION SELECT contact_id FROM list_item_archive WHERE campaign_id = ${first})"
            )
    return where, [campaign.id]


def candidates(campaign: Campaign, where: str, anew: bool = False) -> str:
    """The customers with ids above $2 up to $3 who are meant, and what recording the list does with each.

    $1 is the campaign, $4 its categories of contacts. Numbers are those of the function campaign_phones, read
    for all who need them at once. `anew`: as if nobody stood on the list.
    """
    selected = campaign.company_target == "selected"
    own = "meant.kind <> 'company'" if selected else "true"
    people = "person.type <> 'main' AND person.type = ANY($4)" if selected else "person.type = 'main'"
    return f"""
        WITH meant AS MATERIALIZED (
            SELECT contact.id, contact.kind, item.id IS NOT NULL AS listed
              FROM contact
              LEFT JOIN list_item AS item ON item.campaign_id = $1 AND item.contact_id = contact.id
               AND item.contact_id > $2 AND item.contact_id <= $3 AND NOT {anew}
             WHERE contact.id > $2 AND contact.id <= $3 AND cardinality($4::text[]) >= 0 AND ({where})),
        number AS (
            SELECT meant.id, phone.number
              FROM meant JOIN contact_phone AS phone ON phone.contact_id = meant.id
               AND phone.contact_id > $2 AND phone.contact_id <= $3 AND {own}
             WHERE NOT meant.listed
             UNION ALL
            SELECT meant.id, given.number
              FROM meant JOIN contact_person AS person ON person.contact_id = meant.id
               AND person.contact_id > $2 AND person.contact_id <= $3 AND meant.kind = 'company' AND {people}
             CROSS JOIN unnest(person.phones) AS given (number)
             WHERE NOT meant.listed),
        reached AS (
            SELECT number.id, bool_or(wrong.contact_id IS NULL) AS reachable,
                   bool_or(wrong.contact_id IS NULL AND blocked.number IS NULL) AS free
              FROM number
              LEFT JOIN wrong_number AS wrong ON wrong.contact_id = number.id AND wrong.number = number.number
              LEFT JOIN blocked_number AS blocked ON blocked.number = number.number
               AND (blocked.campaign_id IS NULL OR blocked.campaign_id = $1)
             GROUP BY number.id)
        SELECT meant.id AS contact_id, meant.listed, coalesce(reached.reachable, false) AS reachable,
               coalesce(reached.free, false) AS free
          FROM meant LEFT JOIN reached ON reached.id = meant.id
    """


async def show_list(db: Db, campaign: Campaign, limit: int = 50, offset: int = 0) -> list[Candidate]:
    """The people of the campaign's source, by id, each with what recording would do with them."""
    async with db.acquire() as connection, connection.transaction(readonly=True):
        where, arguments = await audience(connection, campaign, 2)
        last = len(arguments) + 1
        rows = await connection.fetch(
            f"""
            SELECT chosen.id AS contact_id, chosen.name AS contact, chosen.document,
                   coalesce((SELECT number FROM campaign_phones($1, chosen.id)
                              ORDER BY blocked OR wrong, place, number LIMIT 1), '') AS number,
                   CASE WHEN EXISTS (SELECT FROM list_item
                                      WHERE campaign_id = $1 AND contact_id = chosen.id) THEN 'listed'
                        WHEN EXISTS (SELECT FROM campaign_phones($1, chosen.id)
                                      WHERE NOT wrong AND NOT blocked) THEN 'new'
                        WHEN EXISTS (SELECT FROM campaign_phones($1, chosen.id) WHERE NOT wrong)
                        THEN 'blocked' ELSE 'rejected' END AS standing
              FROM (SELECT contact.id, contact.name, contact.document FROM contact WHERE {where}
                     ORDER BY contact.id LIMIT ${last + 1} OFFSET ${last + 2}) AS chosen
             ORDER BY chosen.id
            """,
            campaign.id,
            *arguments,
            limit,
            offset,
            timeout=SHOW_SECONDS,
        )
    return [Candidate(**row) for row in rows]


async def standings(db: Db, campaign: Campaign) -> Standings:
    """What recording would do with all of the campaign's source: seconds, where there are a million."""
    counted = Standings(0, 0, 0, 0)
    async with db.acquire() as connection:
        where, arguments = await audience(connection, campaign, 5)
        most = await connection.fetchval("SELECT coalesce(max(id), 0) FROM contact")
        for first, last in id_steps(most):
            row = await connection.fetchrow(
                f"{COUNTED} FROM ({candidates(campaign, where)}) AS candidate",
                campaign.id,
                first,
                last,
                campaign.company_types,
                *arguments,
                timeout=SECONDS_MAX,
            )
            counted = counted.plus(Standings(**row))
    return counted


COUNTED = """
    SELECT count(*) FILTER (WHERE NOT listed AND free) AS new,
           count(*) FILTER (WHERE listed) AS listed,
           count(*) FILTER (WHERE NOT listed AND reachable AND NOT free) AS blocked,
           count(*) FILTER (WHERE NOT listed AND NOT reachable) AS rejected
"""


def id_steps(most: int) -> Iterator[tuple[int, int]]:
    """All ids up to this one, so many at once: each is above the first and not above the last."""
    for first in range(0, most, PEOPLE_A_STEP):
        yield first, min(first + PEOPLE_A_STEP, most)


# -- Making it ---------------------------------------------------------------------------------------------


async def generate(
    db: Db,
    by: User | None,
    campaign_id: int,
    kind: str,
    now: datetime.datetime,
    ask: Ask | None = None,
    note: Note = lambda _: None,
) -> Load:
    """Add who is not on the list yet (UAU-33), or discard the list and its counters and begin anew (UAU-34).

    What a rebuild discards is kept in the archive. Refused unless the campaign is in use (UAU-28), and a
    rebuild while an item is in somebody's hands. `ask` is the campaign's validation of each person (UAU-21),
    `note` hears how far it is. Cancelled at any moment, it leaves the list as it was.
    """
    require(by, "run_campaigns")
    campaign = await campaigns.found(db, campaign_id)
    check_can_record(campaign, kind)
    if campaign.validates and campaign.validate_list and ask is None:
        raise Refused("The validation of this campaign's list cannot be asked now.", code="no_validation")
    async with db.acquire() as connection:
        try:
            counted = await gather(connection, campaign, kind, note)
            refusals: list[tuple[int, Verdict]] = []
            if campaign.validates and campaign.validate_list and ask is not None:
                counted |= await ask_each(connection, campaign, ask, counted, note, refusals)
            return await record(connection, by, campaign, kind, now, counted, note, refusals)
        finally:
            if not connection.is_closed():
                await connection.execute("DROP TABLE IF EXISTS pg_temp.candidate")


def check_can_record(campaign: Campaign, kind: str) -> None:
    if kind not in (ADD, REBUILD):
        raise Refused("There is no such way to make a list.", code="bad_argument")
    if campaign.status not in ("active", "paused"):
        raise Refused(
            "The campaign {name} has to be active before its list is recorded.",
            code="wrong_status",
            name=campaign.name,
        )
    if campaign.source == "layout" and kind == ADD:
        raise Refused(
            "The people of {name} come from a file: import one to add to its list.",
            code="needs_import",
            name=campaign.name,
        )


async def gather(connection: asyncpg.Connection, campaign: Campaign, kind: str, note: Note) -> dict[str, int]:
    """Whom to add, into a table of this connection; and how many were left out, and why.

    When it is rebuilt everybody now listed leaves the list first.
    """
    where, arguments = await audience(connection, campaign, 5)
    await connection.execute("DROP TABLE IF EXISTS pg_temp.candidate")
    await connection.execute("CREATE TEMP TABLE candidate (contact_id bigint PRIMARY KEY)")
    counted = Standings(0, 0, 0, 0)
    most = await connection.fetchval("SELECT coalesce(max(id), 0) FROM contact")
    for first, last in id_steps(most):
        note(Progress("looking", first, most))
        row = await connection.fetchrow(
            f"""
            WITH those AS MATERIALIZED ({candidates(campaign, where, kind == REBUILD)}),
            added AS (
                INSERT INTO pg_temp.candidate SELECT contact_id FROM those WHERE free AND NOT listed)
            {COUNTED} FROM those
            """,
            campaign.id,
            first,
            last,
            campaign.company_types,
            *arguments,
            timeout=SECONDS_MAX,
        )
        counted = counted.plus(Standings(**row))
    return {
        "duplicates": counted.listed,
        "blocked": counted.blocked,
        "rejected": counted.rejected,
        "failed": 0,
    }


async def ask_each(
    connection: asyncpg.Connection,
    campaign: Campaign,
    ask: Ask,
    counted: dict[str, int],
    note: Note,
    refusals: list[tuple[int, Verdict]],
) -> dict[str, int]:
    """Whom the validation refuses leaves; where it gives no answer the campaign says what follows.

    `refusals` gets both, by the ids of the customers.
    """
    refused = failed = done = last = 0
    people = await connection.fetchval("SELECT count(*) FROM candidate")
    places = asyncio.Semaphore(ASKED_AT_ONCE)

    async def answer(row: asyncpg.Record) -> Verdict:
        nonlocal done, failed
        async with places:
            said = await ask(campaign, Person(row["external_code"], str(row["id"]), row["document"]))
        done, failed = done + 1, failed + said.failed
        note(Progress("asking", done, people, failed))
        return said

    note(Progress("asking", 0, people))
    while rows := await connection.fetch(
        """
        SELECT contact.id, contact.external_code, contact.document
          FROM candidate JOIN contact ON contact.id = candidate.contact_id
         WHERE candidate.contact_id > $1 ORDER BY candidate.contact_id LIMIT $2
        """,
        last,
        ASKED_A_STEP,
    ):
        last = rows[-1]["id"]
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(answer(row)) for row in rows]
        said = [task.result() for task in asked]
        out = [
            row["id"]
            for row, each in zip(rows, said, strict=True)
            if not (campaign.validation_on_failure == "allow" if each.failed else each.allowed)
        ]
        refused += len(out)
        heard = [(row["id"], each) for row, each in zip(rows, said, strict=True)]
        no = [(id, each) for id, each in heard if each.failed or not each.allowed]
        refusals += no[: REFUSALS_KEPT - len(refusals)]
        await connection.execute("DELETE FROM candidate WHERE contact_id = ANY($1::bigint[])", out)
    return {"rejected": counted["rejected"] + refused, "failed": failed}


async def record(
    connection: asyncpg.Connection,
    by: User | None,
    campaign: Campaign,
    kind: str,
    now: datetime.datetime,
    counted: dict[str, int],
    note: Note,
    refusals: Sequence[tuple[int, Verdict]],
) -> Load:
    async with connection.transaction():
        await connection.execute("SELECT FROM campaign WHERE id = $1 FOR NO KEY UPDATE", campaign.id)
        if kind == REBUILD:
            await archive(connection, by, campaign, now)
        load_id = await connection.fetchval(
            """
            INSERT INTO campaign_load (campaign_id, generation, at, by_user_id, kind, duplicates, blocked,
                                       rejected, failed)
            SELECT id, generation, $2, $3, $4, $5, $6, $7, $8 FROM campaign WHERE id = $1 RETURNING id
            """,
            campaign.id,
            now,
            by.id if by else None,
            kind,
            counted["duplicates"],
            counted["blocked"],
            counted["rejected"],
            counted["failed"],
        )
        added = 0
        async for first, last in steps(connection, counted["failed"], note):
            answer = await connection.execute(
                """
                INSERT INTO list_item (campaign_id, contact_id, generation, load_id)
                SELECT campaign.id, candidate.contact_id, campaign.generation, $2
                  FROM campaign CROSS JOIN candidate
                 WHERE campaign.id = $1 AND candidate.contact_id BETWEEN $3 AND $4
                   AND EXISTS (SELECT FROM contact WHERE id = candidate.contact_id)
                 ORDER BY candidate.contact_id
                ON CONFLICT ON CONSTRAINT list_item_once DO NOTHING
                """,
                campaign.id,
                load_id,
                first,
                last,
                timeout=SECONDS_MAX,
            )
            added += int(answer.split()[-1])
        await connection.execute("UPDATE campaign_load SET added = $2 WHERE id = $1", load_id, added)
        await keep_refusals(connection, load_id, refusals)
        load = await by_id(connection, load_id)
        await audit.note(
            connection,
            by,
            f"campaign.list_{kind}",
            f"campaign {campaign.name}",
            None,
            {"added": load.added, "duplicates": load.duplicates, "generation": load.generation} | counted,
        )
    return load


async def steps(connection: asyncpg.Connection, failed: int, note: Note) -> AsyncIterator[tuple[int, int]]:
    """The candidates' ids from first to last, a step at a time."""
    people = await connection.fetchval("SELECT count(*) FROM candidate")
    done = last = 0
    while True:
        note(Progress("recording", done, people, failed))
        row = await connection.fetchrow(
            """
            SELECT min(contact_id) AS first, max(contact_id) AS last, count(*) AS n
              FROM (SELECT contact_id FROM candidate WHERE contact_id > $1
                     ORDER BY contact_id LIMIT $2) AS step
            """,
            last,
            PEOPLE_A_STEP,
        )
        if not row["n"]:
            return
        yield row["first"], row["last"]
        done, last = done + row["n"], row["last"]


async def keep_refusals(
    connection: asyncpg.Connection, load_id: int, refusals: Sequence[tuple[int, Verdict]]
) -> None:
    await connection.execute(
        """
        INSERT INTO campaign_load_refusal (load_id, contact_id, failed, why, facts)
        SELECT $1, said.contact_id, said.failed, said.why, said.facts
          FROM unnest($2::bigint[], $3::boolean[], $4::text[], $5::jsonb[])
               AS said (contact_id, failed, why, facts)
          JOIN contact ON contact.id = said.contact_id
        """,
        load_id,
        [contact_id for contact_id, _ in refusals],
        [said.failed for _, said in refusals],
        [said.fault.template if said.fault else said.why.replace("\x00", "") for _, said in refusals],
        [said.fault.values if said.fault else None for _, said in refusals],
        timeout=SECONDS_MAX,
    )


async def archive(
    connection: asyncpg.Connection, by: User | None, campaign: Campaign, now: datetime.datetime
) -> None:
    """The whole list moves to the archive as it was; attempts keep the generation they were made in."""
    await connection.execute(
        """
        WITH gone AS (DELETE FROM list_item WHERE campaign_id = $1 RETURNING *)
        INSERT INTO list_item_archive SELECT gone.*, $2, $3 FROM gone
        """,
        campaign.id,
        now,
        by.id if by else None,
        timeout=SECONDS_MAX,
    )
    holder = await connection.fetchval(
        """
        SELECT user_account.name FROM list_item_archive
          JOIN user_account ON user_account.id = list_item_archive.held_by
          JOIN campaign ON campaign.id = list_item_archive.campaign_id
         WHERE list_item_archive.campaign_id = $1 AND list_item_archive.generation = campaign.generation
           AND list_item_archive.held_until > $2 LIMIT 1
        """,
        campaign.id,
        now,
    )
    if holder is not None:
        raise Refused("{name} has an item of this list in use; release it first.", code="in_use", name=holder)
    await connection.execute("UPDATE campaign SET generation = generation + 1 WHERE id = $1", campaign.id)
    await campaigns.touch(connection, campaign.id)


async def add(
    connection: asyncpg.Connection,
    campaign: Campaign,
    contact_ids: Sequence[int],
    load_id: int | None = None,
    priority: int = 0,
) -> int:
    """For importers and leads, in their own transaction: how many came new to the list."""
    answer = await connection.execute(
        """
        INSERT INTO list_item (campaign_id, contact_id, generation, load_id, priority)
        SELECT campaign.id, given.contact_id, campaign.generation, $3, $4
          FROM campaign CROSS JOIN unnest($2::bigint[]) WITH ORDINALITY AS given (contact_id, place)
         WHERE campaign.id = $1
           AND EXISTS (SELECT FROM campaign_phones($1, given.contact_id) WHERE NOT blocked AND NOT wrong)
         ORDER BY given.place
        ON CONFLICT ON CONSTRAINT list_item_once DO NOTHING
        """,
        campaign.id,
        contact_ids,
        load_id,
        priority,
        timeout=SECONDS_MAX,
    )
    return int(answer.split()[-1])


async def link(db: Db, by: User, campaign_id: int, contact_id: int) -> bool:
    """Put one customer on the list by hand (UAU-14, TEL-14); False when he was there already or is blocked.

    By whoever runs campaigns, or by an agent of a campaign that allows it.
    """
    campaign = await campaigns.found(db, campaign_id)
    if not can(by, "run_campaigns") and not (campaign.link_person and campaigns.belongs(campaign, by)):
        raise Refused(
            "{name} may not add customers to the campaign {campaign}.",
            code="not_allowed",
            name=by.name,
            campaign=campaign.name,
        )
    check_can_record(campaign, REBUILD)
    async with db.acquire() as connection, connection.transaction():
        name = await connection.fetchval("SELECT name FROM contact WHERE id = $1", contact_id)
        if name is None:
            raise missing("contact")
        added = await add(connection, campaign, [contact_id])
        await audit.note(
            connection,
            by,
            "campaign.link",
            f"campaign {campaign.name}",
            None,
            {"contact": name, "added": added},
        )
    return added == 1


async def refusals(db: Db, load_id: int, limit: int = 50, offset: int = 0) -> list[Refusal]:
    """Whom the validation refused, or gave no answer about, when this list was recorded; these first.

    Of the first 10,000 of each list; whoever is no longer a customer is not among them.
    """
    rows = await db.fetch(
        """
        SELECT refusal.contact_id, contact.name AS contact, refusal.failed, refusal.why, refusal.facts
          FROM campaign_load_refusal AS refusal JOIN contact ON contact.id = refusal.contact_id
         WHERE refusal.load_id = $1
         ORDER BY refusal.failed DESC, refusal.contact_id LIMIT $2 OFFSET $3
        """,
        load_id,
        limit,
        offset,
    )
    return [
        Refusal(contact_id, contact, failed, why if facts is None else Said("no_verdict", why, facts))
        for contact_id, contact, failed, why, facts in rows
    ]


LOAD = """
    SELECT campaign_load.id, campaign_load.campaign_id, campaign_load.generation, campaign_load.at,
           campaign_load.by_user_id, coalesce(user_account.name, '') AS by, campaign_load.kind,
           campaign_load.added, campaign_load.duplicates, campaign_load.blocked, campaign_load.rejected,
           campaign_load.failed, campaign_load.import_id,
           (SELECT count(*) FROM campaign_load_refusal WHERE load_id = campaign_load.id) AS refusals
      FROM campaign_load
      LEFT JOIN user_account ON user_account.id = campaign_load.by_user_id
"""


async def by_id(db: Db | asyncpg.Connection, load_id: int) -> Load:
    row = await db.fetchrow(LOAD + "WHERE campaign_load.id = $1", load_id)
    if row is None:
        raise missing("load")
    return Load(**row)


async def loads(db: Db | asyncpg.Connection, campaign_id: int, limit: int = 200) -> list[Load]:
    """Of every generation, newest first."""
    rows = await db.fetch(
        LOAD + "WHERE campaign_load.campaign_id = $1 ORDER BY campaign_load.id DESC LIMIT $2",
        campaign_id,
        limit,
    )
    return [Load(**row) for row in rows]
