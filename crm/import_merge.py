"""The database's part of an import: staged rows are judged, then become customers and items of a list.

Rows arrive in a table of one connection; nothing else sees them until one transaction takes them over.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from crm import lists
from crm.campaigns import Campaign
from crm.lists import ASKED_A_STEP, ASKED_AT_ONCE, REFUSALS_KEPT, Ask, Person, Verdict

SECONDS_MAX = 3600  # of one statement over all rows
ROWS_A_STEP = 20_000  # between two movements of the progress bar
COLUMNS = (
    "line name named company kind document external_code email notes phones emails custom address"
    " people".split()
)


@dataclass(frozen=True, slots=True)
class Judged:
    fresh: int
    known: int  # rows about customers we have
    twice: int  # rows about somebody of an earlier row
    blocked: int  # rows whose numbers are all blocked
    refused: int  # by the campaign's validation
    failed: int  # of these: the validation gave no answer
    refusals: Sequence[tuple[int, Verdict]]  # what it said of whom, by the customers' ids


@dataclass(frozen=True, slots=True)
class Merged:
    added: int
    updated: int
    listed: int
    listed_before: int  # rows about customers who were on the list already
    unreachable: int  # rows without a number the campaign may use


# -- Staging -----------------------------------------------------------------------------------------------


async def prepare(connection: asyncpg.Connection) -> None:
    """Every row gets its customer's number at once; those of rows not taken are never used."""
    await connection.execute("SET work_mem = '64MB'; SET temp_buffers = '64MB'")
    await drop(connection)
    await connection.execute(
        """
        CREATE TEMP TABLE stage (
            id bigint NOT NULL DEFAULT nextval(pg_get_serial_sequence('contact', 'id')),
            line bigint NOT NULL, name text NOT NULL, named boolean NOT NULL, company text NOT NULL,
            kind text NOT NULL, document text NOT NULL, external_code text NOT NULL, email text NOT NULL,
            notes text NOT NULL, phones text[] NOT NULL, emails text[] NOT NULL, custom jsonb NOT NULL,
            address jsonb, people jsonb);
        CREATE TEMP TABLE met (LIKE stage, contact_id bigint NOT NULL);
        CREATE TEMP TABLE known (line bigint PRIMARY KEY, contact_id bigint NOT NULL);
        CREATE TEMP TABLE verdict (line bigint NOT NULL, reason text NOT NULL, value text NOT NULL);
        CREATE TEMP TABLE unlisted (line bigint PRIMARY KEY);
        CREATE TEMP TABLE person (
            line bigint NOT NULL, said_on bigint NOT NULL, place bigint NOT NULL, type text NOT NULL,
            name text NOT NULL, phones text[] NOT NULL, email text NOT NULL);
        CREATE TEMP TABLE speaker (
            contact_id bigint NOT NULL, type text NOT NULL, name text NOT NULL, phones text[] NOT NULL,
            email text NOT NULL, position integer NOT NULL);
        """
    )


async def drop(connection: asyncpg.Connection) -> None:
    tables = "stage met known verdict unlisted person speaker".split()
    await connection.execute("DROP TABLE IF EXISTS " + ", ".join(f"pg_temp.{table}" for table in tables))


async def copy(connection: asyncpg.Connection, rows: AsyncIterator[bytes]) -> None:
    await connection.copy_to_table(
        "stage", source=rows, columns=COLUMNS, format="csv", delimiter="\t", null="\\N", timeout=SECONDS_MAX
    )
    await connection.execute(
        """
        CREATE INDEX ON stage (line);
        ANALYZE stage;
        INSERT INTO person (line, said_on, place, type, name, phones, email)
        SELECT line, line, each.place, each.type, each.name, each.phones, each.email
          FROM stage
         CROSS JOIN ROWS FROM (
                    jsonb_to_recordset(people) AS (type text, name text, phones text[], email text))
               WITH ORDINALITY AS each (type, name, phones, email, place)
         WHERE people IS NOT NULL;
        CREATE INDEX ON person (line);
        ANALYZE person;
        """,
        timeout=SECONDS_MAX,
    )


# -- Judging -----------------------------------------------------------------------------------------------

TWICE = """
    WITH again AS (SELECT {key} AS said, min(line) AS first FROM stage WHERE {key} <> ''
                    GROUP BY {key} HAVING count(*) > 1),
         gone AS (DELETE FROM stage USING again
                   WHERE stage.{key} = again.said AND stage.line > again.first
                   RETURNING stage.line, again.first)
    INSERT INTO verdict (line, reason, value) SELECT line, 'twice_in_file', first::text FROM gone
"""
# Two documents are two people, whatever telephone they share.
TWICE_BY_PHONE = """
    WITH said AS (SELECT line, document, unnest(phones) AS number FROM stage),
         again AS (SELECT number, min(line) AS first FROM said GROUP BY number HAVING count(*) > 1),
         twice AS (SELECT said.line, min(again.first) AS first
                     FROM said JOIN again ON again.number = said.number AND again.first < said.line
                     JOIN stage AS earlier ON earlier.line = again.first
                    WHERE said.document = '' OR earlier.document IN ('', said.document)
                    GROUP BY said.line),
         gone AS (DELETE FROM stage USING twice WHERE stage.line = twice.line
                   RETURNING stage.line, twice.first)
    INSERT INTO verdict (line, reason, value) SELECT line, 'twice_in_file', first::text FROM gone
"""
# A company may stand on a line for each of its people: they all go to its first line.
TO_FIRST_LINE = """
    UPDATE person SET line = verdict.value::bigint
      FROM verdict WHERE verdict.line = person.line AND verdict.reason = 'twice_in_file'
"""
BROUGHT_SOMEBODY = """
    UPDATE verdict SET reason = 'contact_added'
      FROM person WHERE person.said_on = verdict.line AND person.line <> person.said_on
"""
KNOWN = """
    INSERT INTO known (line, contact_id)
    SELECT stage.line, min(contact.id) FROM stage
      JOIN contact ON contact.{key} = stage.{key} AND contact.{key} <> ''
     WHERE stage.{key} <> ''
     GROUP BY stage.line
    ON CONFLICT DO NOTHING
"""
KNOWN_BY_PHONE = """
    INSERT INTO known (line, contact_id)
    SELECT said.line, min(contact.id)
      FROM (SELECT line, document, unnest(phones) AS number FROM stage) AS said
      JOIN contact_phone ON contact_phone.number = said.number
      JOIN contact ON contact.id = contact_phone.contact_id
     WHERE said.document = '' OR contact.document IN ('', said.document)
     GROUP BY said.line
    ON CONFLICT DO NOTHING
"""
BLOCKED = """
    WITH struck AS MATERIALIZED (
             SELECT DISTINCT given.line
               FROM (SELECT line, unnest(phones) AS number FROM stage
                      UNION ALL
                     SELECT line, unnest(phones) FROM person) AS given
               JOIN blocked_number ON blocked_number.number = given.number
                AND (blocked_number.campaign_id IS NULL OR blocked_number.campaign_id = $1)),
         out AS (INSERT INTO unlisted (line)
                 SELECT stage.line FROM stage JOIN struck ON struck.line = stage.line
                  WHERE NOT EXISTS (SELECT FROM unnest(phones) AS given (number)
                                     WHERE NOT is_blocked(given.number, $1))
                    AND NOT EXISTS (SELECT FROM person CROSS JOIN unnest(person.phones) AS given (number)
                                     WHERE person.line = stage.line AND NOT is_blocked(given.number, $1))
                 RETURNING line)
    INSERT INTO verdict (line, reason, value) SELECT line, 'blocked', '' FROM out
"""


async def judge(
    connection: asyncpg.Connection, campaign: Campaign | None, matches: list[str], ask: Ask | None
) -> Judged:
    """Who is in the file twice, whom we know already, and who may not be called."""
    for key in matches:
        await connection.execute(
            TWICE_BY_PHONE if key == "phone" else TWICE.format(key=key), timeout=SECONDS_MAX
        )
    twice = await connection.fetchval("SELECT count(*) FROM verdict", timeout=SECONDS_MAX)
    while count(await connection.execute(TO_FIRST_LINE, timeout=SECONDS_MAX)):
        pass  # that line may itself be about somebody of an earlier one
    await connection.execute(BROUGHT_SOMEBODY, timeout=SECONDS_MAX)
    blocked = count(await connection.execute(BLOCKED, campaign.id if campaign else None, timeout=SECONDS_MAX))
    if await connection.fetchval("SELECT EXISTS (SELECT FROM contact)"):
        for key in matches:
            await connection.execute(
                KNOWN_BY_PHONE if key == "phone" else KNOWN.format(key=key), timeout=SECONDS_MAX
            )
    refusals: list[tuple[int, Verdict]] = []
    refused, failed = await ask_each(connection, campaign, ask, refusals) if campaign and ask else (0, 0)
    await connection.execute("ANALYZE known; ANALYZE unlisted", timeout=SECONDS_MAX)
    known = count(
        await connection.execute(
            """
            WITH gone AS (DELETE FROM stage USING known WHERE known.line = stage.line
                           RETURNING stage.*, known.contact_id)
            INSERT INTO met SELECT * FROM gone
            """,
            timeout=SECONDS_MAX,
        )
    )
    fresh = await connection.fetchval("SELECT count(*) FROM stage", timeout=SECONDS_MAX)
    return Judged(fresh, known, twice, blocked, refused, failed, refusals)


async def ask_each(
    connection: asyncpg.Connection, campaign: Campaign, ask: Ask, refusals: list[tuple[int, Verdict]]
) -> tuple[int, int]:
    """The campaign's validation of each person to be listed (UAU-21): how many it refused, and failed at.

    Some are asked about at the same time, so that one that hangs holds up the others little.
    """
    refused = failed = 0
    last = 0
    places = asyncio.Semaphore(ASKED_AT_ONCE)

    async def answer(row: asyncpg.Record) -> Verdict:
        async with places:
            return await ask(campaign, Person(row["external_code"], row["code"], row["document"]))

    while rows := await connection.fetch(
        """
        SELECT stage.line, stage.external_code, stage.document,
               coalesce(known.contact_id, stage.id)::text AS code
          FROM stage LEFT JOIN known ON known.line = stage.line
         WHERE stage.line > $1 AND NOT EXISTS (SELECT FROM unlisted WHERE unlisted.line = stage.line)
         ORDER BY stage.line LIMIT $2
        """,
        last,
        ASKED_A_STEP,
    ):
        last = rows[-1]["line"]
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(answer(row)) for row in rows]
        said = [(row, task.result()) for row, task in zip(rows, asked, strict=True)]
        failed += sum(each.failed for _, each in said)
        no = [(int(row["code"]), each) for row, each in said if each.failed or not each.allowed]
        refusals += no[: REFUSALS_KEPT - len(refusals)]
        out = [
            (row["line"], each)
            for row, each in said
            if not (campaign.validation_on_failure == "allow" if each.failed else each.allowed)
        ]
        refused += len(out)
        await connection.execute(
            """
            WITH out AS (
                SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) AS out (line, reason, value)),
            unlist AS (INSERT INTO unlisted (line) SELECT line FROM out)
            INSERT INTO verdict (line, reason, value) SELECT line, reason, value FROM out
            """,
            [line for line, _ in out],
            ["no_verdict" if each.failed else "not_valid" for _, each in out],
            ["" if each.fault else each.why.replace("\x00", "") for _, each in out],
        )
    return refused, failed


async def keep(connection: asyncpg.Connection) -> None:
    """Customers we know stay as they are; the report says whom each row meant."""
    await connection.execute(
        "INSERT INTO verdict (line, reason, value) SELECT line, 'already_known', contact_id::text FROM met",
        timeout=SECONDS_MAX,
    )


async def write_verdicts(connection: asyncpg.Connection, path: Path) -> int:
    """A CSV file of line, reason and value; a line is told once. How many there are."""
    done = await connection.copy_from_query(
        "SELECT line, min(reason), min(value) FROM verdict GROUP BY line ORDER BY line",
        output=path,
        format="csv",
        timeout=SECONDS_MAX,
    )
    return count(done)


# -- Merging -----------------------------------------------------------------------------------------------

ADD_CONTACTS = """
    INSERT INTO contact (id, name, company, kind, document, external_code, email, notes, custom)
    SELECT id, name, company, kind, document, external_code, email, notes, custom
      FROM stage WHERE line BETWEEN $1 AND $2
"""
ADD_PHONES = """
    INSERT INTO contact_phone (contact_id, number, position)
    SELECT stage.id, phone.number, phone.position
      FROM stage CROSS JOIN unnest(phones) WITH ORDINALITY AS phone (number, position)
     WHERE line BETWEEN $1 AND $2
"""
ADD_EMAILS = """
    INSERT INTO contact_email (contact_id, email, position)
    SELECT stage.id, given.email, given.position
      FROM stage CROSS JOIN unnest(emails) WITH ORDINALITY AS given (email, position)
     WHERE line BETWEEN $1 AND $2
"""
PLACE = "street number complement district city state postal_code".split()
ADD_ADDRESSES = f"""
    INSERT INTO contact_address (contact_id, {", ".join(PLACE)})
    SELECT stage.id, {", ".join(f"coalesce(address ->> '{part}', '')" for part in PLACE)}
      FROM stage WHERE line BETWEEN $1 AND $2 AND address IS NOT NULL
"""
# Of the people of one company: who is said twice is one, with all the numbers; the first main one is.
SPEAKERS = """
    INSERT INTO speaker (contact_id, type, name, phones, email, position)
    SELECT contact_id,
           CASE WHEN main AND row_number() OVER (PARTITION BY contact_id, main ORDER BY first) = 1 THEN 'main'
                WHEN type = 'main' THEN $1 ELSE type END,
           name,
           coalesce((SELECT array_agg(number ORDER BY place) FROM (
                       SELECT number, min(place) AS place
                         FROM unnest(string_to_array(numbers, ',')) WITH ORDINALITY AS said (number, place)
                        WHERE number <> '' GROUP BY number ORDER BY 2 LIMIT 20) AS kept), '{}'),
           email, row_number() OVER (PARTITION BY contact_id ORDER BY first)
      FROM (SELECT whose.contact_id, bool_or(type = 'main') AS main,
                   min(said_on * 10 + place) AS first,
                   (array_agg(type ORDER BY said_on, place))[1] AS type,
                   (array_agg(name ORDER BY said_on, place))[1] AS name,
                   string_agg(array_to_string(phones, ','), ',' ORDER BY said_on, place) AS numbers,
                   coalesce((array_agg(email ORDER BY said_on, place) FILTER (WHERE email <> ''))[1], '')
                       AS email
              FROM person
              JOIN (SELECT line, id AS contact_id FROM stage
                     UNION ALL
                    SELECT line, contact_id FROM met) AS whose ON whose.line = person.line
             GROUP BY whose.contact_id, f_norm(name)) AS one
"""
ADD_PEOPLE = """
    INSERT INTO contact_person (contact_id, type, name, phones, email, position)
    SELECT contact_id, speaker.type, speaker.name, speaker.phones, speaker.email, speaker.position
      FROM stage JOIN speaker ON speaker.contact_id = stage.id
     WHERE stage.line BETWEEN $1 AND $2
     ORDER BY stage.line, speaker.position
"""
ADD_ITEMS = """
    INSERT INTO list_item (campaign_id, contact_id, generation, load_id)
    SELECT campaign.id, stage.id, campaign.generation, $4
      FROM stage JOIN campaign ON campaign.id = $3
     WHERE stage.line BETWEEN $1 AND $2
       AND CASE stage.kind WHEN 'company' THEN EXISTS (SELECT FROM campaign_phones($3, stage.id))
           ELSE stage.phones <> '{}' END
       AND NOT EXISTS (SELECT FROM unlisted WHERE unlisted.line = stage.line)
     ORDER BY stage.line
"""
UPDATE_CONTACTS = """
    UPDATE contact
       SET name = CASE WHEN said.named THEN said.name ELSE contact.name END,
           company = coalesce(nullif(said.company, ''), contact.company),
           document = coalesce(nullif(contact.document, ''), said.document),
           external_code = coalesce(nullif(said.external_code, ''), contact.external_code),
           email = coalesce(nullif(contact.email, ''), said.email),
           notes = coalesce(nullif(said.notes, ''), contact.notes),
           custom = contact.custom || said.custom,
           kind = CASE WHEN said.people IS NOT NULL AND length(contact.document) <> 11 THEN 'company'
                  ELSE contact.kind END,
           updated = now()
      FROM (SELECT DISTINCT ON (contact_id) * FROM met ORDER BY contact_id, line) AS said
     WHERE contact.id = said.contact_id
"""
MORE_PHONES = """
    INSERT INTO contact_phone (contact_id, number, position)
    SELECT met.contact_id, phone.number, 1000 + min(phone.position)
      FROM met CROSS JOIN unnest(phones) WITH ORDINALITY AS phone (number, position)
     GROUP BY met.contact_id, phone.number
    ON CONFLICT DO NOTHING
"""
MORE_EMAILS = """
    INSERT INTO contact_email (contact_id, email, position)
    SELECT met.contact_id, given.email, 1000 + min(given.position)
      FROM met JOIN contact ON contact.id = met.contact_id
     CROSS JOIN unnest(CASE met.email WHEN '' THEN emails ELSE met.email || emails END)
           WITH ORDINALITY AS given (email, position)
     WHERE lower(given.email) <> lower(contact.email)
     GROUP BY met.contact_id, given.email
    ON CONFLICT DO NOTHING
"""
# A new main contact takes the place of the one there was, who stays with the other contacts.
MAKE_ROOM = """
    UPDATE contact_person AS had SET type = $1
      FROM speaker JOIN met ON met.contact_id = speaker.contact_id
     WHERE had.contact_id = speaker.contact_id AND had.type = 'main' AND speaker.type = 'main'
       AND f_norm(had.name) <> f_norm(speaker.name)
"""
SAME_PEOPLE = """
    UPDATE contact_person AS had
       SET type = CASE speaker.type WHEN 'main' THEN 'main' ELSE had.type END,
           phones = (had.phones || ARRAY (SELECT number FROM unnest(speaker.phones) AS new (number)
                                           WHERE number <> ALL (had.phones)))[1:20],
           email = coalesce(nullif(had.email, ''), speaker.email)
      FROM speaker
      JOIN (SELECT DISTINCT ON (contact_id, f_norm(name)) id, contact_id, f_norm(name) AS name
              FROM contact_person WHERE contact_id IN (SELECT contact_id FROM met)
             ORDER BY contact_id, f_norm(name), type <> 'main', id) AS known
        ON known.contact_id = speaker.contact_id AND known.name = f_norm(speaker.name)
     WHERE had.id = known.id
"""
MORE_PEOPLE = """
    INSERT INTO contact_person (contact_id, type, name, phones, email, position)
    SELECT contact.id, speaker.type, speaker.name, speaker.phones, speaker.email, 1000 + speaker.position
      FROM speaker JOIN contact ON contact.id = speaker.contact_id AND contact.kind = 'company'
     WHERE contact.id IN (SELECT contact_id FROM met)
       AND NOT EXISTS (SELECT FROM contact_person AS had
                        WHERE had.contact_id = contact.id AND f_norm(had.name) = f_norm(speaker.name))
     ORDER BY contact.id, speaker.position
"""
MORE_ADDRESSES = f"""
    INSERT INTO contact_address (contact_id, {", ".join(PLACE)}, position)
    SELECT DISTINCT ON (met.contact_id) met.contact_id,
           {", ".join(f"coalesce(address ->> '{part}', '')" for part in PLACE)}, 1000
      FROM met
     WHERE address IS NOT NULL AND NOT EXISTS (
           SELECT FROM contact_address AS had WHERE had.contact_id = met.contact_id
              AND {" AND ".join(f"had.{part} = coalesce(address ->> '{part}', '')" for part in PLACE)})
     ORDER BY met.contact_id, met.line
"""


async def merge(
    connection: asyncpg.Connection,
    campaign: Campaign | None,
    load_id: int | None,
    update: bool,
    other_type: str,
    progress: Callable[[int], Awaitable[None]],
) -> Merged:
    """Inside the caller's transaction. New customers first; whoever is changed is locked only briefly."""
    people = count(await connection.execute(SPEAKERS, other_type, timeout=SECONDS_MAX)) > 0
    if people:
        await connection.execute("CREATE INDEX ON speaker (contact_id); ANALYZE speaker", timeout=SECONDS_MAX)
    low, high, emails, addresses = await connection.fetchrow(
        """
        SELECT coalesce(min(line), 1), coalesce(max(line), 0), coalesce(bool_or(emails <> '{}'), false),
               coalesce(bool_or(address IS NOT NULL), false) FROM stage
        """,
        timeout=SECONDS_MAX,
    )
    parts = [ADD_PHONES] + [ADD_EMAILS] * emails + [ADD_ADDRESSES] * addresses + [ADD_PEOPLE] * people
    ours = await connection.fetchval("SELECT current_setting('is_superuser') = 'on'")
    added = listed = 0
    for first in range(low, high + 1, ROWS_A_STEP):
        last = first + ROWS_A_STEP - 1
        added += count(await connection.execute(ADD_CONTACTS, first, last, timeout=SECONDS_MAX))
        async with surely_there(connection) if ours else contextlib.nullcontext():
            for part in parts:
                await connection.execute(part, first, last, timeout=SECONDS_MAX)
        if campaign is not None:
            listed += count(
                await connection.execute(ADD_ITEMS, first, last, campaign.id, load_id, timeout=SECONDS_MAX)
            )
        await progress(added)
    updated = 0
    if update:
        updated = count(await connection.execute(UPDATE_CONTACTS, timeout=SECONDS_MAX))
        for step in (MORE_PHONES, MORE_EMAILS, MORE_ADDRESSES):
            await connection.execute(step, timeout=SECONDS_MAX)
        if people:
            await connection.execute(MAKE_ROOM, other_type, timeout=SECONDS_MAX)
            await connection.execute(SAME_PEOPLE, timeout=SECONDS_MAX)
            await connection.execute(MORE_PEOPLE, timeout=SECONDS_MAX)
    if campaign is None:
        return Merged(added, updated, 0, 0, 0)
    out_of_stage, out_of_met, before = await connection.fetchrow(
        """
        SELECT (SELECT count(*) FROM stage JOIN unlisted ON unlisted.line = stage.line),
               (SELECT count(*) FROM met JOIN unlisted ON unlisted.line = met.line),
               (SELECT count(*) FROM met
                  JOIN list_item ON list_item.campaign_id = $1 AND list_item.contact_id = met.contact_id
                 WHERE NOT EXISTS (SELECT FROM unlisted WHERE unlisted.line = met.line))
        """,
        campaign.id,
        timeout=SECONDS_MAX,
    )
    rows_known = await connection.fetchval("SELECT count(*) FROM met", timeout=SECONDS_MAX)
    from_known = await list_known(connection, campaign, load_id)
    unreachable = added - out_of_stage - listed + max(0, rows_known - out_of_met - before - from_known)
    return Merged(added, updated, listed + from_known, before, unreachable)


@contextlib.asynccontextmanager
async def surely_there(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Parts of customers that this transaction has just made: nobody has to look each of them up.

    Looking is a third of the work. It takes a server of our own to leave out; no other trigger is on their
    tables.
    """
    await connection.execute("SET LOCAL session_replication_role = replica")
    yield
    await connection.execute("SET LOCAL session_replication_role = origin")


async def list_known(connection: asyncpg.Connection, campaign: Campaign, load_id: int | None) -> int:
    """Customers we had before join the list with whatever numbers they have."""
    listed, last = 0, 0
    while ids := await connection.fetchval(
        """
        SELECT array_agg(contact_id) FROM (
            SELECT DISTINCT contact_id FROM met
             WHERE contact_id > $1 AND NOT EXISTS (SELECT FROM unlisted WHERE unlisted.line = met.line)
             ORDER BY contact_id LIMIT $2) AS next
        """,
        last,
        ROWS_A_STEP,
    ):
        last = max(ids)
        listed += await lists.add(connection, campaign, sorted(ids), load_id)
    return listed


def count(answer: str) -> int:
    """How many rows a statement says it touched."""
    return int(answer.rpartition(" ")[2])
