"""Two weeks of a demonstration centre's days: calls, what was written down about them, agents' states."""

import datetime
import math
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from random import Random

import asyncpg

from crm import calls, layouts, shifts, tabulation
from crm.calls import ZONE, CallRecord, Direction, Result
from crm.form import CATEGORY, Layout
from crm.shifts import ShiftInterval
from crm.tabulation import TabulationSaved

DAYS = 14
CALLS_A_DAY = 150
WEIGHT_OF_HOUR = (1, 1, 1, 1, 1, 2, 4, 9, 16, 22, 25, 22, 16, 19, 23, 24, 21, 16, 12, 9, 6, 4, 2, 1)
TURNS = (("agent6",), ("agent1", "agent2", "agent4"), ("agent3", "agent5", "agent1"), ("agent5", "agent6"))
TURN_HOURS = 6
BREAKS = (
    (90, 10, "break_10"),
    (180, 20, "meal"),
    (270, 10, "break_10"),
)  # minute of the turn, minutes, reason
KNOWN_CALLER = 0.8
PATIENCE_SECONDS = 55.0
TALK_SECONDS = 170.0
RECORDED = 6  # of the latest calls, with a file that can be heard
SAID = {
    "sales": (
        "Pediu proposta para três pontos e quer receber por e-mail.",
        "Vai conversar com o sócio e retorna na semana que vem.",
        "Fechou o plano anual, primeira parcela no cartão.",
        "Achou caro; ofereci o plano menor e ficou de pensar.",
        "Quer trocar o endereço de entrega do pedido.",
        "Perguntou pelo prazo de entrega; informado de cinco dias úteis.",
        "Reclamou do atraso; abri prioridade na expedição.",
    ),
    "support": (
        "Reiniciado o equipamento, sinal voltou durante a ligação.",
        "Trocada a senha da rede e orientado sobre a posição do roteador.",
        "Visita técnica marcada, cliente avisado do período.",
        "Enviada a segunda via por e-mail.",
        "Lentidão só no celular; orientado a usar a rede de 5 GHz.",
        "Sem energia no bairro; vai ligar quando voltar.",
    ),
}


@dataclass
class Day:
    """What one day left behind."""

    records: list[CallRecord] = field(default_factory=list)
    saved: list[TabulationSaved] = field(default_factory=list)
    intervals: list[ShiftInterval] = field(default_factory=list)


@dataclass
class Facts:
    """Who works there and who calls."""

    agents: dict[str, tuple[int, str]]  # login: id, extension
    callers: list[tuple[int, str]]  # contact, number
    layouts: dict[str, Layout]  # by queue


async def fill(connection: asyncpg.Connection, now: datetime.datetime, data: Path) -> None:
    """Every day of the last two weeks without a call gets its calls; today up to now."""
    facts = await known(connection)
    today = now.astimezone(ZONE).date()
    first = today - datetime.timedelta(days=DAYS)
    done = await connection.fetch(
        "SELECT DISTINCT (started AT TIME ZONE $1)::date AS day FROM call WHERE started >= $2",
        str(ZONE),
        calls.day_bounds(first)[0],
    )
    missing = {first + datetime.timedelta(days=n) for n in range(DAYS + 1)} - {row["day"] for row in done}
    if not facts.agents or not facts.callers:
        return
    for date in sorted(missing):
        day = make(date, min(now, calls.day_bounds(date)[1]), facts, Random(date.toordinal()))
        if date == today and not done:
            day.records = recorded(day.records, day.saved, data)
        await calls.write_history(connection, day.records)
        await tabulation.write_saved(connection, day.saved)
        await shifts.write_history(connection, day.intervals)


async def known(connection: asyncpg.Connection) -> Facts:
    agents = await connection.fetch(
        """
        SELECT user_account.login, user_account.id, extension.number
          FROM user_account JOIN extension ON extension.user_id = user_account.id
         WHERE user_account.role = 'agent'
        """
    )
    callers = await connection.fetch(
        "SELECT contact_id, number FROM contact_phone ORDER BY contact_id, position"
    )
    queues = await connection.fetch(
        "SELECT name, layout_id FROM queue WHERE layout_id IS NOT NULL ORDER BY id"
    )
    forms = {layout.id: layout for layout in await layouts.all(connection)}
    return Facts(
        {row["login"]: (row["id"], row["number"]) for row in agents},
        [(row["contact_id"], row["number"]) for row in callers],
        {row["name"]: forms[row["layout_id"]] for row in queues},
    )


def make(date: datetime.date, until: datetime.datetime, facts: Facts, dice: Random) -> Day:
    """One day up to `until`; the same dice make the same day."""
    day = Day()
    free: dict[str, datetime.datetime] = {}  # when each agent is next free
    for began in moments(date, dice):
        if began > until - datetime.timedelta(minutes=1):
            break
        on_duty = [a for a in agents_at(began) if a in facts.agents]
        for agent in on_duty:
            begin_turn(day, free, facts, agent, began)
        if on_duty and dice.random() < 0.15:
            call_out(day, free, facts, dice, dice.choice(on_duty), began)
        else:
            call_in(day, free, facts, dice, on_duty, began)
    day.records = [r for r in day.records if r.ended is not None and r.ended <= until]
    kept = {record.id for record in day.records}
    day.saved = [s for s in day.saved if s.call_id in kept and s.at <= until]
    day.intervals = [i for i in day.intervals if i.ended is not None and i.ended <= until]
    return day


def moments(date: datetime.date, dice: Random) -> Iterator[datetime.datetime]:
    """When calls come, more at midday and fewer at the weekend."""
    midnight = calls.day_bounds(date)[0]
    busy = 0.45 if date.weekday() >= 5 else dice.uniform(0.9, 1.15)
    hours = dice.choices(range(24), WEIGHT_OF_HOUR, k=round(CALLS_A_DAY * busy))
    for second in sorted(hour * 3600 + dice.uniform(0, 3599) for hour in hours):
        yield midnight + datetime.timedelta(seconds=round(second, 1))


def agents_at(moment: datetime.datetime) -> tuple[str, ...]:
    return TURNS[moment.hour // TURN_HOURS]


def begin_turn(
    day: Day, free: dict[str, datetime.datetime], facts: Facts, agent: str, moment: datetime.datetime
) -> None:
    """An agent on duty for the first time is ready since the turn began; breaks that are due are taken."""
    start = moment.replace(hour=moment.hour // TURN_HOURS * TURN_HOURS, minute=0, second=0, microsecond=0)
    free[agent] = max(free.get(agent, start), start)
    user_id = facts.agents[agent][0]
    for minute, minutes, reason in BREAKS:
        due = start + datetime.timedelta(minutes=minute)
        if free[agent] <= due <= moment:
            add_state(day, user_id, "ready", free[agent], due)
            free[agent] = due + datetime.timedelta(minutes=minutes)
            add_state(day, user_id, "not_ready", due, free[agent], reason)


def add_state(
    day: Day,
    user_id: int,
    state: str,
    start: datetime.datetime,
    end: datetime.datetime,
    reason: str | None = None,
) -> None:
    if end > start:
        day.intervals.append(ShiftInterval(user_id, state, start, end, reason))


def call_in(
    day: Day,
    free: dict[str, datetime.datetime],
    facts: Facts,
    dice: Random,
    on_duty: list[str],
    began: datetime.datetime,
) -> None:
    """Somebody calls a queue, and the agent who is free longest takes it, if that is soon enough."""
    queue = dice.choices(list(facts.layouts), (60, 40)[: len(facts.layouts)])[0]
    contact_id, number = dice.choice(facts.callers)
    known = dice.random() < KNOWN_CALLER
    call = CallRecord(
        id=str(uuid.UUID(int=dice.getrandbits(128), version=4)),
        direction=Direction.INBOUND,
        started=began,
        origin="demo",
        number=number if known else f"+5511{dice.randrange(960_000_000, 999_999_999)}",
        dialed="4000" if queue == "sales" else "4001",
        queue=queue,
        contact_id=contact_id if known else None,
    )
    agent = min(on_duty, key=lambda a: free[a], default=None)
    ringing = dice.uniform(2, 9)
    soonest = max(began, free[agent]) if agent else began
    wait = (soonest - began).total_seconds() + ringing
    patience = dice.expovariate(1 / PATIENCE_SECONDS) + 6
    if agent is None or wait > patience:
        day.records.append(
            replace(
                call,
                ended=began + seconds(patience),
                wait_seconds=round(patience, 1),
                result=Result.ABANDONED,
                cause="caller",
            )
        )
        return
    answered = began + seconds(wait)
    talk = min(1500.0, dice.lognormvariate(math.log(TALK_SECONDS), 0.7))
    wrapup = dice.uniform(8, 70)
    ended = answered + seconds(talk)
    day.records.append(
        replace(
            call,
            user_id=facts.agents[agent][0],
            answered=answered,
            ended=ended,
            wait_seconds=round(wait, 1),
            talk_seconds=round(talk, 1),
            hold_seconds=round(dice.uniform(10, 60), 1) if dice.random() < 0.15 else 0.0,
            wrapup_seconds=round(wrapup, 1),
            result=Result.ANSWERED,
            cause=dice.choice(("caller", "caller", "agent")),
        )
    )
    occupy(day, free, facts, agent, soonest, answered, ended, wrapup)
    if dice.random() < 0.97:
        day.saved.append(written_down(day.records[-1], facts.layouts[queue], queue, dice, wrapup))


def call_out(
    day: Day,
    free: dict[str, datetime.datetime],
    facts: Facts,
    dice: Random,
    agent: str,
    began: datetime.datetime,
) -> None:
    contact_id, number = dice.choice(facts.callers)
    user_id, extension = facts.agents[agent]
    began = max(began, free[agent])
    ringing = dice.uniform(4, 25)
    result = dice.choices(
        (Result.ANSWERED, Result.NO_ANSWER, Result.BUSY, Result.FAILED), weights=(70, 18, 9, 3)
    )[0]
    talk = min(900.0, dice.lognormvariate(math.log(110), 0.6)) if result is Result.ANSWERED else 0.0
    answered = began + seconds(ringing) if talk else None
    ended = began + seconds(ringing + talk)
    day.records.append(
        CallRecord(
            id=str(uuid.UUID(int=dice.getrandbits(128), version=4)),
            direction=Direction.OUTBOUND,
            started=began,
            origin=extension,
            number=number,
            dialed=number,
            user_id=user_id,
            contact_id=contact_id,
            answered=answered,
            ended=ended,
            talk_seconds=round(talk, 1),
            wait_seconds=round(ringing, 1),
            result=result,
        )
    )
    occupy(day, free, facts, agent, began, began, ended, 0.0)
    if talk:
        queue = dice.choice(list(facts.layouts))
        day.saved.append(written_down(day.records[-1], facts.layouts[queue], queue, dice, 5.0))


def occupy(
    day: Day,
    free: dict[str, datetime.datetime],
    facts: Facts,
    agent: str,
    rings: datetime.datetime,
    answered: datetime.datetime,
    ended: datetime.datetime,
    wrapup: float,
) -> None:
    user_id = facts.agents[agent][0]
    add_state(day, user_id, "ready", free[agent], rings)
    add_state(day, user_id, "reserved", rings, answered)
    add_state(day, user_id, "busy", answered, ended)
    free[agent] = ended + seconds(wrapup)
    add_state(day, user_id, "wrap_up", ended, free[agent])


def written_down(
    call: CallRecord, layout: Layout, queue: str, dice: Random, wrapup: float
) -> TabulationSaved:
    categories = [c for t in layout.types for c in t.categories]
    weights = [5 if c.success else 2 for c in categories]
    answers = {CATEGORY: str(dice.choices(categories, weights)[0].id), "notes": dice.choice(SAID[queue])}
    for each in layout.fields:
        if each.options and (each.required or dice.random() < 0.6):
            answers[each.key] = dice.choice(each.options)
    if queue == "sales":
        answers["informed"] = "1"
        if dice.random() < 0.3:
            answers["order"] = str(dice.randrange(20_000, 90_000))
    assert call.user_id is not None and call.ended is not None
    at = call.ended + seconds(wrapup)
    return TabulationSaved(call.id, call.user_id, layout.id, at, answers, call.contact_id)


def seconds(number: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=round(number, 1))


# -- Recordings that can be heard --------------------------------------------------------------------------


def recorded(records: list[CallRecord], saved: list[TabulationSaved], data: Path) -> list[CallRecord]:
    """The latest short calls that were written down get a recording of their length."""
    told = {each.call_id for each in saved}
    short = [r for r in records if r.id in told and 20 <= r.talk_seconds <= 150 and r.queue][-RECORDED:]
    names = {}
    for record in short:
        path = Path("recordings") / f"{record.id}.wav"
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).write_bytes(wave(record.talk_seconds, Random(record.id)))
        names[record.id] = str(path)
    return [replace(r, recording=names[r.id]) if r.id in names else r for r in records]


def wave(length: float, dice: Random) -> bytes:
    """Stereo u-law at 8 kHz: two voices, one high and one low, that hum in turns."""
    voices = hum(210), hum(115)
    sound = bytearray()
    while len(sound) < 2 * int(length * 8000):
        samples = dice.randrange(4000, 20_000)
        speaker = dice.randrange(2)
        phrase = bytearray(b"\xff" * (2 * samples))
        phrase[speaker::2] = (voices[speaker] * 3)[:samples]
        sound += phrase
    del sound[2 * int(length * 8000) :]
    form = struct.pack("<4sIHHIIHHH", b"fmt ", 18, 7, 2, 8000, 16_000, 2, 8, 0)
    facts = struct.pack("<4sII4sI", b"fact", 4, len(sound) // 2, b"data", len(sound))
    return struct.pack("<4sI4s", b"RIFF", 50 + len(sound), b"WAVE") + form + facts + sound


@cache
def hum(pitch: int) -> bytes:
    """A second of something like a voice: harmonics that swell with each of two syllables."""
    return bytes(
        ulaw(
            int(
                3300
                * abs(math.sin(2 * math.pi * n / 8000))
                * sum(math.sin(2 * math.pi * pitch * k * n / 8000) / k for k in (1, 2, 3))
            )
        )
        for n in range(8000)
    )


def ulaw(sample: int) -> int:
    """ITU-T G.711 of a 16-bit sample."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32_635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | (magnitude >> (exponent + 3)) & 0x0F) & 0xFF
