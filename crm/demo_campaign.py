"""A demonstration campaign, half worked: its script and ticket type, its list, two weeks of attempts."""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

import asyncpg

from crm.calls import ZONE
from crm.demo_scripts import ACTIONS, BARRIERS, SCRIPT
from crm.hours import PRESETS
from crm.item_states import Result, Situation, State

NAME = "Renovação"
ITEMS = 300
AGENTS = ("agent1", "agent2", "agent3")
ATTEMPTS_MAX = 5
DAYS = 14
MINUTES_PER_ATTEMPT = 7  # one agent's attempts begin this far apart, so that none overlaps the next
SEED = 1911
TICKET_TYPE = "Renovação de contrato"
TICKET_STATUSES = (("Aberto", False), ("Em negociação", False), ("Renovado", True), ("Encerrado", True))
MISSED = (
    (Situation.NO_ANSWER, 46),
    (Situation.VOICEMAIL, 24),
    (Situation.BUSY, 14),
    (Situation.REJECTED, 6),
    (Situation.CONGESTION, 4),
    (Situation.DISCARDED_CUSTOMER, 4),
    (Situation.FAILED, 2),
)
SIP = {
    Situation.COMPLETED: 200,
    Situation.VOICEMAIL: 200,
    Situation.NO_ANSWER: 480,
    Situation.BUSY: 486,
    Situation.REJECTED: 603,
    Situation.CONGESTION: 503,
    Situation.FAILED: 500,
    Situation.INVALID: 404,
}
SAID = {
    Result.SUCCESS: ("Renovou por doze meses.", "Renovou e pediu segundo ponto.", "Renovou, prefere boleto."),
    Result.FAILURE: ("Vai mudar de cidade.", "Achou caro.", "Já fechou com outra empresa."),
    Result.CALLBACK: ("Estava dirigindo.", "Vai falar com a família.", "Pediu para ligar depois do almoço."),
}
PARTS = (  # of a hundred items: where they stand
    (State.CONCLUDED, Result.SUCCESS, 15),
    (State.CONCLUDED, Result.FAILURE, 14),
    (State.TO_CALL_BACK, None, 9),
    (State.TRYING_CALLBACK, None, 4),
    (State.TRYING, None, 17),
    (State.HIT_LIMIT, None, 3),
    (State.CANCELLED, None, 2),
    (State.NOT_WORKED, None, 36),
)


@dataclass
class Item:
    contact_id: int
    number: str
    state: State
    result: Result | None
    tries: list[dict[str, Any]] = field(default_factory=list)
    due_at: datetime.datetime | None = None
    owner: int | None = None
    note: str = ""


async def fill(connection: asyncpg.Connection, now: datetime.datetime) -> None:
    """Once: a campaign of this name that is there already stays as it is."""
    if await connection.fetchval("SELECT 1 FROM campaign WHERE name = $1", NAME):
        return
    agents = [
        row["id"]
        for row in await connection.fetch(
            "SELECT id FROM user_account WHERE login = ANY($1) ORDER BY login", list(AGENTS)
        )
    ]
    people = await connection.fetch(
        """
        SELECT DISTINCT ON (contact_id) contact_id, number
          FROM contact_phone ORDER BY contact_id, position LIMIT $1
        """,
        ITEMS,
    )
    if not agents or not people:
        return
    dice = Random(SEED)
    campaign_id, ticket_type = await set_up(connection, agents, now)
    items = worked([(row["contact_id"], row["number"]) for row in people], agents, now, dice)
    await write_items(connection, campaign_id, items, now)
    await write_attempts(connection, campaign_id, items, await categories(connection), dice)
    await write_actions(connection, campaign_id)
    await open_tickets(connection, campaign_id, ticket_type)
    await block(connection, items)


# -- The campaign ------------------------------------------------------------------------------------------


async def set_up(
    connection: asyncpg.Connection, agents: Sequence[int], now: datetime.datetime
) -> tuple[int, int]:
    """Its simulated customers answer at any hour, so it is open always, that whoever tries it can call."""
    script = await add_script(connection)
    ticket_type = await connection.fetchval(
        """
        INSERT INTO ticket_type (name) VALUES ($1)
        ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
        """,
        TICKET_TYPE,
    )
    await connection.executemany(
        """
        INSERT INTO ticket_status (type_id, name, closing, position) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING
        """,
        [(ticket_type, name, closing, n) for n, (name, closing) in enumerate(TICKET_STATUSES, start=1)],
    )
    supervisor = await connection.fetchval("SELECT id FROM user_account WHERE login = 'supervisor'")
    campaign_id = await connection.fetchval(
        """
        INSERT INTO campaign (name, objective, source, filter_id, script_id, layout_id, status, hours,
                              respect_destination_window, callback_mode, link_person, ticket_mode,
                              ticket_type_id, attempts_max, created_by, created, updated)
        VALUES ($1, $2, 'filter', $3, $4, (SELECT id FROM layout WHERE name = 'sales'), 'active', $5,
                false, 'optional', true, 'edit_last', $6, $7, $8, $9, $9)
        RETURNING id
        """,
        NAME,
        "Renovar o plano de quem vence neste mês, antes que a concorrência ligue.",
        await add_filter(connection),
        script,
        PRESETS["24h"],
        ticket_type,
        ATTEMPTS_MAX,
        supervisor,
        now - datetime.timedelta(days=DAYS + 1),
    )
    await connection.executemany(
        "INSERT INTO campaign_agent (campaign_id, user_id) VALUES ($1, $2)",
        [(campaign_id, agent) for agent in agents],
    )
    return campaign_id, ticket_type


async def add_filter(connection: asyncpg.Connection) -> int:
    tree = {"all": [{"field": "phone", "test": "filled"}]}
    return await connection.fetchval(
        """
        INSERT INTO saved_filter (name, owner, tree)
        VALUES ($1, (SELECT id FROM user_account WHERE login = 'supervisor'), $2)
        ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
        """,
        "Clientes com telefone",
        tree,
    )


async def add_script(connection: asyncpg.Connection) -> int:
    """The campaign's own; beside it what answers objections, and the kinds of action with their words."""
    for name, words in BARRIERS:
        await write_script(connection, name, "barrier", [(*step, (), ()) for step in words])
    for name, text, outcomes in ACTIONS:
        script = await write_script(connection, f"{name} – texto", "approach", [(name, text, (), ())])
        await connection.execute(
            """
            WITH kind AS (
                INSERT INTO action_type (name, script_id) VALUES ($1, $2) RETURNING id
            )
            INSERT INTO action_outcome (type_id, name, result, position)
            SELECT kind.id, given.name, given.result, given.position
              FROM kind, unnest($3::text[], $4::text[]) WITH ORDINALITY AS given (name, result, position)
            """,
            name,
            script,
            [outcome for outcome, _result in outcomes],
            [str(result) for _outcome, result in outcomes],
        )
    return await write_script(connection, f"{NAME} – abordagem", "approach", SCRIPT)


async def write_script(
    connection: asyncpg.Connection, name: str, kind: str, steps: Sequence[tuple[Any, ...]]
) -> int:
    """Steps as those of SCRIPT."""
    script = await connection.fetchval(
        """
        INSERT INTO script (name, kind) VALUES ($1, $2) RETURNING id
        """,
        name,
        kind,
    )
    made = [
        await connection.fetchval(
            """
            INSERT INTO script_step (script_id, position, title, text, fields)
            VALUES ($1, $2, $3, $4, $5) RETURNING id
            """,
            script,
            position,
            title,
            text,
            list(fields),
        )
        for position, (title, text, fields, _) in enumerate(steps, start=1)
    ]
    await connection.executemany(
        """
        INSERT INTO script_choice (script_id, step_id, label, next_step_id, position)
        VALUES ($1, $2, $3, $4, $5)
        """,
        [
            (script, step, label, None if leads is None else made[leads], n)
            for step, (_, _, _, choices) in zip(made, steps, strict=True)
            for n, (label, leads) in enumerate(choices, start=1)
        ],
    )
    return script


# -- Its list, worked for two weeks ------------------------------------------------------------------------


def worked(
    people: Sequence[tuple[int, str]], agents: Sequence[int], now: datetime.datetime, dice: Random
) -> list[Item]:
    """The same dice, people and time make the same list."""
    parts = [(state, result) for state, result, share in PARTS for _ in range(share)]
    items = [Item(contact, number, *parts[n % len(parts)]) for n, (contact, number) in enumerate(people)]
    slots = list(moments(now, agents))
    dice.shuffle(slots)
    free = iter(slots)
    for item in items:
        item.tries = tries(item, sorted(islice(free, tries_of(item, dice))), dice)
    dealt = [item for item in items if item.state in (State.TO_CALL_BACK, State.TRYING_CALLBACK)]
    for n, item in enumerate(dealt):
        item.due_at = now + datetime.timedelta(minutes=(-190, -45, -5, 25, 90, 300, 1500, 2900)[n % 8] - n)
        item.owner = item.tries[-1]["user_id"] if n % 3 == 0 else None
        item.note = dice.choice(SAID[Result.CALLBACK])
    for item in items:
        if item.state is State.TRYING:
            item.due_at = item.tries[-1]["ended"] + datetime.timedelta(hours=1)
    return items


def moments(now: datetime.datetime, agents: Sequence[int]) -> Iterator[tuple[datetime.datetime, int]]:
    """When each agent could place a call: working days from nine to seven, before now."""
    today = now.astimezone(ZONE).date()
    for ago in range(1, DAYS + 1):
        day = today - datetime.timedelta(days=ago)
        if day.weekday() < 5:
            nine = datetime.datetime.combine(day, datetime.time(9), ZONE).astimezone(datetime.UTC)
            for minute in range(0, 600, MINUTES_PER_ATTEMPT):
                for agent in agents:
                    yield nine + datetime.timedelta(minutes=minute), agent


def tries_of(item: Item, dice: Random) -> int:
    match item.state:
        case State.NOT_WORKED:
            return 0
        case State.HIT_LIMIT:
            return ATTEMPTS_MAX
        case State.TRYING_CALLBACK:
            return dice.choice((2, 3))
        case _:
            return dice.choice((1, 1, 1, 2, 2, 3))


def tries(item: Item, slots: Sequence[tuple[datetime.datetime, int]], dice: Random) -> list[dict[str, Any]]:
    """Missed again and again, but for the last, which left the item where it stands."""
    made = [attempt(item, n, *slot, missed(dice), None, dice) for n, slot in enumerate(slots, start=1)]
    if made:
        last = len(made) - (2 if item.state is State.TRYING_CALLBACK else 1)
        started, agent = slots[last]
        if item.state is State.CONCLUDED:
            made[last] = attempt(item, last + 1, started, agent, Situation.COMPLETED, item.result, dice)
        elif item.state in (State.TO_CALL_BACK, State.TRYING_CALLBACK):
            made[last] = attempt(item, last + 1, started, agent, Situation.COMPLETED, Result.CALLBACK, dice)
        elif item.state is State.CANCELLED:
            made[last] = attempt(item, last + 1, started, agent, Situation.BLOCKED, None, dice)
    return made


def missed(dice: Random) -> Situation:
    return dice.choices([each for each, _ in MISSED], [weight for _, weight in MISSED])[0]


def attempt(
    item: Item,
    n: int,
    started: datetime.datetime,
    agent: int,
    situation: Situation,
    result: Result | None,
    dice: Random,
) -> dict[str, Any]:
    dialed = situation is not Situation.BLOCKED
    ringing = round(dice.uniform(4, 28), 1) if dialed else 0.0
    talk = round(min(300.0, dice.lognormvariate(4.6, 0.6)), 1) if situation is Situation.COMPLETED else 0.0
    after = round(dice.uniform(5, 60), 1)
    return {
        "contact_id": item.contact_id,
        "user_id": agent,
        "attempt_number": n,
        "number": item.number,
        "started": started,
        "answered": started + datetime.timedelta(seconds=ringing) if talk else None,
        "ended": started + datetime.timedelta(seconds=ringing + talk),
        "situation": str(situation),
        "sip_status": SIP.get(situation),
        "result": str(result) if result else None,
        "note": dice.choice(SAID[result]) if result else "",
        "callback_at": started + datetime.timedelta(days=1) if result is Result.CALLBACK else None,
        "talk_seconds": talk,
        "handle_seconds": round(talk + ringing + after, 1),
        "dialed": dialed,
    }


# -- Writing it --------------------------------------------------------------------------------------------


async def write_items(
    connection: asyncpg.Connection, campaign_id: int, items: Sequence[Item], now: datetime.datetime
) -> None:
    """Recorded in two loads, as lists grow."""
    first = len(items) * 4 // 5
    loads = [
        await connection.fetchval(
            """
            INSERT INTO campaign_load (campaign_id, generation, at, by_user_id, kind, added, duplicates,
                                       blocked, rejected)
            SELECT $1, 1, $2, id, 'add', $3, $4, $5, $6 FROM user_account WHERE login = 'supervisor'
            RETURNING id
            """,
            campaign_id,
            now - datetime.timedelta(days=ago),
            added,
            duplicates,
            blocked,
            rejected,
        )
        for ago, added, duplicates, blocked, rejected in (
            (DAYS + 1, first, 0, 3, 5),
            (6, len(items) - first, first, 3, 2),
        )
    ]
    await connection.copy_records_to_table(
        "list_item",
        columns=(
            "campaign_id",
            "contact_id",
            "load_id",
            "state",
            "attempts",
            "due_at",
            "callback_owner",
            "callback_phone",
            "callback_note",
            "result",
            "concluded_at",
            "concluded_by",
            "last_attempt_at",
            "last_situation",
        ),
        records=[record(campaign_id, loads[n >= first], item) for n, item in enumerate(items)],
    )


def record(campaign_id: int, load_id: int, item: Item) -> tuple[Any, ...]:
    last = item.tries[-1] if item.tries else None
    concluded = last if item.state is State.CONCLUDED else None
    promised = item.state in (State.TO_CALL_BACK, State.TRYING_CALLBACK)
    return (
        campaign_id,
        item.contact_id,
        load_id,
        int(item.state),
        len(item.tries),
        item.due_at,
        item.owner,
        item.number if promised else "",
        item.note,
        str(item.result) if item.result else None,
        concluded["ended"] if concluded else None,
        concluded["user_id"] if concluded else None,
        last["started"] if last else None,
        last["situation"] if last else "",
    )


async def categories(connection: asyncpg.Connection) -> dict[str, list[int]]:
    """Those of the sales form, by the result of the conversation they fit."""
    rows = await connection.fetch(
        """
        SELECT category.id,
               CASE WHEN category.name LIKE 'Retornar%' THEN 'callback'
                    WHEN category.success THEN 'success' ELSE 'failure' END AS result
          FROM layout
          JOIN layout_type ON layout_type.layout_id = layout.id
          JOIN category ON category.type_id = layout_type.type_id
         WHERE layout.name = 'sales' AND category.active
         ORDER BY category.id
        """
    )
    return {result: [row["id"] for row in rows if row["result"] == result] for result in Result}


async def write_attempts(
    connection: asyncpg.Connection,
    campaign_id: int,
    items: Sequence[Item],
    categories: dict[str, list[int]],
    dice: Random,
) -> None:
    made = [each for item in items for each in item.tries]
    for month in {each["started"].date().replace(day=1) for each in made}:
        await connection.execute("SELECT ensure_attempt_partition($1)", month)
    ids = {
        row["contact_id"]: row["id"]
        for row in await connection.fetch(
            "SELECT id, contact_id FROM list_item WHERE campaign_id = $1", campaign_id
        )
    }
    columns = list(made[0]) if made else []
    records = []
    for each in sorted(made, key=lambda each: (each["started"], each["user_id"])):
        offered = categories[each["result"]] if each["result"] else []
        category = dice.choice(offered) if offered else None
        records.append((campaign_id, 1, ids[each["contact_id"]], category, *(each[name] for name in columns)))
    await connection.copy_records_to_table(
        "attempt", columns=("campaign_id", "generation", "item_id", "category_id", *columns), records=records
    )


async def write_actions(connection: asyncpg.Connection, campaign_id: int) -> None:
    """What was done at each attempt: its words, and the outcome that fits its result."""
    await connection.execute(
        """
        INSERT INTO action (at, user_id, campaign_id, item_id, contact_id, type_id, outcome_id, conversation,
                            no_contact, next_at, result)
        SELECT attempt.ended, attempt.user_id, attempt.campaign_id, attempt.item_id, attempt.contact_id,
               outcome.type_id, outcome.id, attempt.note,
               CASE WHEN attempt.result IS NULL AND attempt.situation <> 'blocked'
                    THEN attempt.situation ELSE '' END, attempt.callback_at, coalesce(attempt.result, '')
          FROM attempt
          LEFT JOIN LATERAL (
               SELECT action_outcome.type_id, action_outcome.id FROM action_outcome
                 JOIN action_type ON action_type.id = action_outcome.type_id
                WHERE action_type.name = $2 AND action_outcome.result = attempt.result
                ORDER BY (action_outcome.position + attempt.id) % 2, action_outcome.position LIMIT 1
               ) AS outcome ON true
         WHERE attempt.campaign_id = $1
         ORDER BY attempt.ended, attempt.id
        """,
        campaign_id,
        ACTIONS[0][0],
    )


async def open_tickets(connection: asyncpg.Connection, campaign_id: int, ticket_type: int) -> None:
    """Whoever was spoken to has a ticket, numbered within its day; the item and its talks name it."""
    await connection.execute(
        """
        WITH spoken AS (
            SELECT DISTINCT ON (item_id) item_id, contact_id, user_id, started,
                   (started AT TIME ZONE $3)::date AS day
              FROM attempt
             WHERE campaign_id = $1 AND situation = 'completed'
             ORDER BY item_id, started
        ), numbered AS (
            SELECT spoken.*, coalesce(ticket_day.last, 0)
                   + row_number() OVER (PARTITION BY spoken.day ORDER BY started, item_id) AS number
              FROM spoken LEFT JOIN ticket_day ON ticket_day.day = spoken.day
        ), opened AS (
            INSERT INTO ticket (protocol, type_id, status_id, contact_id, campaign_id, item_id, opened,
                                opened_by, updated, closed, text)
            SELECT to_char(day, 'YYYYMMDD') || '-' || lpad(number::text, 6, '0'), $2,
                   (SELECT id FROM ticket_status
                     WHERE type_id = $2
                       AND name = CASE WHEN item.result = 'success' THEN 'Renovado'
                                       WHEN item.result = 'failure' THEN 'Encerrado'
                                       ELSE 'Em negociação' END),
                   numbered.contact_id, $1, item_id, started, user_id, coalesce(item.concluded_at, started),
                   item.concluded_at, 'Renovação do plano'
              FROM numbered JOIN list_item AS item ON item.id = item_id
            RETURNING id, item_id, opened, opened_by, closed, status_id
        ), told AS (
            INSERT INTO ticket_event (ticket_id, at, user_id, kind, status_id)
            SELECT id, opened, opened_by, 'opened',
                   (SELECT id FROM ticket_status WHERE type_id = $2 ORDER BY position, id LIMIT 1)
              FROM opened
            UNION ALL
            SELECT id, coalesce(closed, opened + interval '1 minute'), opened_by, 'moved', status_id
              FROM opened
        ), named AS (
            UPDATE list_item SET ticket_id = opened.id FROM opened WHERE list_item.id = opened.item_id
        )
        UPDATE attempt SET ticket_id = opened.id
          FROM opened
         WHERE attempt.item_id = opened.item_id AND attempt.campaign_id = $1
           AND attempt.situation = 'completed'
        """,
        campaign_id,
        ticket_type,
        str(ZONE),
    )
    await connection.execute(
        """
        INSERT INTO ticket_day (day, last)
        SELECT to_date(split_part(protocol, '-', 1), 'YYYYMMDD'), max(split_part(protocol, '-', 2)::integer)
          FROM ticket GROUP BY 1
        ON CONFLICT (day) DO UPDATE SET last = greatest(ticket_day.last, excluded.last)
        """
    )


async def block(connection: asyncpg.Connection, items: Sequence[Item]) -> None:
    """The numbers of those who asked not to be called."""
    await connection.executemany(
        """
        INSERT INTO blocked_number (number, reason, by_user_id, at) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING
        """,
        [
            (item.number, "Pediu para não receber ligações", last["user_id"], last["ended"])
            for item in items
            if item.state is State.CANCELLED
            for last in item.tries[-1:]
        ],
    )
