"""A demonstration campaign that dials by itself, running: its list, and what it did on its last days."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import asyncpg

from crm.calls import ZONE
from crm.hours import PRESETS
from crm.item_states import Result, Situation, State

NAME = "Boas-vindas"
OBJECTIVE = "Dar as boas-vindas a quem assinou neste mês e oferecer a fatura por e-mail."
PEOPLE = 900
WORKED = 420  # of them somebody was tried already
DAYS = 5
SECONDS_PER_TALK = 260  # of one agent, from one conversation to the next
ATTEMPTS_MAX = 6
SEED = 5311
FIRST = (
    "Alice Bento Cecília Davi Elisa Fábio Gabriela Heitor Isabel Jonas Karina Lauro Manuela Nélson Olívia "
    "Pietro Quitéria Raul Sônia Téo"
).split()
LAST = (
    "Albuquerque Barros Cavalcanti Dantas Esteves Farias Guimarães Holanda Iório Jardim Leite Machado "
    "Nóbrega Peixoto Queiroz Rezende Sampaio Teles"
).split()
LIFTED_BY = (
    (range(6), 36),
    ((6,), 10),
    ((7,), 34),
    ((8,), 14),
    ((9,), 6),
)  # last digits, as cti.customers answers
MISSED = {  # by the last digit
    6: (Situation.BUSY, 486),
    7: (Situation.NO_ANSWER, 408),
    8: (Situation.VOICEMAIL, 200),
    9: (Situation.REJECTED, 603),
}
RESULTS = ((Result.SUCCESS, 30), (Result.FAILURE, 55), (Result.CALLBACK, 15))
ABANDONED_PERCENT = 2.0  # of those who lifted


@dataclass(slots=True)
class Person:
    contact_id: int
    number: str
    tries: list[dict[str, Any]] = field(default_factory=list)


async def fill(connection: asyncpg.Connection, now: datetime.datetime) -> None:
    """Once; its simulated people answer at any hour, so that whoever tries it can dial."""
    if await connection.fetchval("SELECT true FROM campaign WHERE name = $1", NAME):
        return
    agents = [
        row["id"]
        for row in await connection.fetch(
            "SELECT id FROM user_account WHERE role = 'agent' AND active ORDER BY login"
        )
    ]
    if not agents:
        return
    dice = Random(SEED)
    campaign_id = await set_up(connection, agents, now)
    people = await add_people(connection, dice)
    trunk_id = await connection.fetchval("SELECT id FROM trunk ORDER BY id LIMIT 1")
    others = await connection.fetch("SELECT DISTINCT user_id FROM attempt WHERE user_id IS NOT NULL")
    free = [agent for agent in agents if agent not in {row["user_id"] for row in others}]
    work(people[:WORKED], free or agents, now, dice)
    await write(connection, campaign_id, trunk_id, people, now)


async def set_up(connection: asyncpg.Connection, agents: Sequence[int], now: datetime.datetime) -> int:
    campaign_id = await connection.fetchval(
        """
        INSERT INTO campaign (name, objective, source, layout_id, route_id, status, hours,
                              respect_destination_window, callback_mode, attempts_max, dial_mode,
                              created_by, created, updated)
        VALUES ($1, $2, 'leads', (SELECT id FROM layout WHERE name = 'sales'),
                (SELECT id FROM route ORDER BY id LIMIT 1), 'active', $3, false, 'free', $4, 'predictive',
                (SELECT id FROM user_account WHERE login = 'supervisor'), $5, $5)
        RETURNING id
        """,
        NAME,
        OBJECTIVE,
        PRESETS["24h"],
        ATTEMPTS_MAX,
        now - datetime.timedelta(days=2 * DAYS),
    )
    await connection.executemany(
        "INSERT INTO campaign_agent (campaign_id, user_id) VALUES ($1, $2)",
        [(campaign_id, agent) for agent in agents],
    )
    return campaign_id


async def add_people(connection: asyncpg.Connection, dice: Random) -> list[Person]:
    """Each with one mobile number of São Paulo, whose last digit says how it answers."""
    names = [f"{dice.choice(FIRST)} {dice.choice(LAST)} {dice.choice(LAST)}" for _ in range(PEOPLE)]
    rows = await connection.fetch(
        """
        INSERT INTO contact (name) SELECT name FROM unnest($1::text[]) WITH ORDINALITY AS given (name, place)
         ORDER BY place RETURNING id
        """,
        names,
    )
    kinds, weights = [kind for kind, _ in LIFTED_BY], [weight for _, weight in LIFTED_BY]
    people = []
    for place, row in enumerate(sorted(rows, key=lambda row: row["id"])):
        last = dice.choice(list(dice.choices(kinds, weights)[0]))
        people.append(Person(row["id"], f"+5511{97_310_000 + place:08d}{last}"))
    await connection.copy_records_to_table(
        "contact_phone",
        columns=("contact_id", "number"),
        records=[(person.contact_id, person.number) for person in people],
    )
    return people


def work(people: Sequence[Person], agents: Sequence[int], now: datetime.datetime, dice: Random) -> None:
    """The same dice, people and time make the same calls; no agent is in two of them at once."""
    days = working_days(now)
    talks = [
        (nine + datetime.timedelta(seconds=turn * SECONDS_PER_TALK + dice.randrange(60)), agent)
        for nine in days
        for turn in range(9 * 3600 // SECONDS_PER_TALK)
        for agent in agents
    ]
    dice.shuffle(talks)
    for person in people:
        missed = MISSED.get(int(person.number[-1]))
        if missed:
            for started in sorted(some_time(days, dice) for _ in range(dice.choice((1, 1, 2, 3)))):
                person.tries.append(attempt(person, started, missed[0], missed[1], None, dice))
        elif dice.uniform(0, 100) < ABANDONED_PERCENT:
            person.tries.append(attempt(person, some_time(days, dice), Situation.ABANDONED, 200, None, dice))
        else:
            started, agent = talks.pop()
            person.tries.append(attempt(person, started, Situation.COMPLETED, 200, agent, dice))


def working_days(now: datetime.datetime) -> list[datetime.datetime]:
    """Nine o'clock of the last ones."""
    today = now.astimezone(ZONE).date()
    days = [today - datetime.timedelta(days=ago) for ago in range(1, 3 * DAYS)]
    chosen = [day for day in days if day.weekday() < 5][:DAYS]
    return [datetime.datetime.combine(day, datetime.time(9), ZONE).astimezone(datetime.UTC) for day in chosen]


def some_time(days: Sequence[datetime.datetime], dice: Random) -> datetime.datetime:
    return dice.choice(days) + datetime.timedelta(seconds=dice.randrange(9 * 3600))


def attempt(
    person: Person,
    started: datetime.datetime,
    situation: Situation,
    status: int,
    agent: int | None,
    dice: Random,
) -> dict[str, Any]:
    after = datetime.timedelta
    ringing = 25.0 if situation is Situation.NO_ANSWER else round(dice.uniform(3, 14), 1)
    lifted = started + after(seconds=ringing) if status == 200 else None
    talk = round(min(220.0, dice.lognormvariate(4.3, 0.5)), 1) if agent else 0.0
    said = 8.0 if situation is Situation.ABANDONED else 3.0 if situation is Situation.VOICEMAIL else 0.0
    ended = started + after(seconds=ringing + talk + (said if lifted else 0))
    result = dice.choices([r for r, _ in RESULTS], [w for _, w in RESULTS])[0] if agent else None
    return {
        "contact_id": person.contact_id,
        "user_id": agent,
        "attempt_number": len(person.tries) + 1,
        "number": person.number,
        "started": started,
        "answered": lifted,
        "connected": lifted if agent else None,
        "agent_idle_seconds": round(dice.expovariate(1 / 9), 1) if agent else None,
        "ended": ended,
        "situation": str(situation),
        "sip_status": status,
        "result": str(result) if result else None,
        "callback_at": started + after(days=1) if result is Result.CALLBACK else None,
        "talk_seconds": talk,
        "handle_seconds": round(talk + dice.uniform(8, 35), 1) if agent else 0.0,
        "dialed": True,
        "by_dialer": True,
    }


def standing(person: Person, now: datetime.datetime) -> tuple[Any, ...]:
    """State, attempts, due, result, when and by whom concluded, the last try and its situation."""
    if not person.tries:
        return (int(State.NOT_WORKED), 0, None, None, None, None, None, "")
    last = person.tries[-1]
    n, tried = len(person.tries), (last["started"], last["situation"])
    match last["result"]:
        case Result.SUCCESS | Result.FAILURE:
            done = (last["ended"], last["user_id"])
            return (int(State.CONCLUDED), n, None, last["result"], *done, *tried)
        case Result.CALLBACK:
            due = now + datetime.timedelta(minutes=30 + 7 * (person.contact_id % 200))
            return (int(State.TO_CALL_BACK), n, due, None, None, None, *tried)
        case _:
            days = 3 if last["situation"] == Situation.ABANDONED else 0
            due = last["ended"] + datetime.timedelta(days=days, hours=1)
            return (int(State.TRYING), n, due, None, None, None, *tried)


async def write(
    connection: asyncpg.Connection,
    campaign_id: int,
    trunk_id: int | None,
    people: Sequence[Person],
    now: datetime.datetime,
) -> None:
    load_id = await connection.fetchval(
        """
        INSERT INTO campaign_load (campaign_id, generation, at, by_user_id, kind, added)
        SELECT $1, 1, $2, id, 'lead', $3 FROM user_account WHERE login = 'supervisor' RETURNING id
        """,
        campaign_id,
        now - datetime.timedelta(days=2 * DAYS),
        len(people),
    )
    columns = ("state", "attempts", "due_at", "result", "concluded_at", "concluded_by", "last_attempt_at",
               "last_situation")  # fmt: skip
    await connection.copy_records_to_table(
        "list_item",
        columns=("campaign_id", "contact_id", "load_id", *columns),
        records=[(campaign_id, each.contact_id, load_id, *standing(each, now)) for each in people],
    )
    items = {
        row["contact_id"]: row["id"]
        for row in await connection.fetch(
            "SELECT id, contact_id FROM list_item WHERE campaign_id = $1", campaign_id
        )
    }
    tries = sorted((one for person in people for one in person.tries), key=lambda one: one["started"])
    for month in {one["started"].date().replace(day=1) for one in tries}:
        await connection.execute("SELECT ensure_attempt_partition($1)", month)
    await connection.copy_records_to_table(
        "attempt",
        columns=("campaign_id", "generation", "item_id", "trunk_id", *tries[0]),
        records=[(campaign_id, 1, items[one["contact_id"]], trunk_id, *one.values()) for one in tries],
    )
