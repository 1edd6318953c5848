"""Custom reports: each number equals a recount of the raw rows, and leads to exactly the rows it counts."""

import asyncio
import base64
import datetime
import json
import random
import re
import uuid
from contextlib import AsyncExitStack
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm import (
    audit,
    contacts,
    custom_fields,
    custom_report_asking,
    custom_reports,
    groups,
    layouts,
    tickets,
    users,
)
from crm import report_schedules as schedules
from crm.calls import ZONE
from crm.custom_reports import SUBJECTS, Asked
from crm.e164 import normalise
from crm.filters import TESTS, WITHOUT_VALUE
from crm.refused import Refused
from crm.users import Role
from tests.crm import campaigning

UTC = datetime.UTC
TODAY = datetime.datetime.now(ZONE).date()
MOTIVES = ("Preço", "Prazo", "Já tem")
NUMBERS = ["10", "12,5", "-3.25", "0", "", "muito", "1e5", "12,", "999999999999999"]
DAYS = ["2026-02-28", "2026-02-31", "2028-02-29", "2027-02-29", "0000-01-01", "31/12/2026", "", "2026-11-21"]
PHONES = [
    "(11) 98765-4321",
    "11 8765 4321",
    "+551133334444",
    "0 21 2345-6789",
    "190",
    "",
    "depois",
    "+12025550123",
]
TEXTS = ["", "Ótimo", "otimo", "O'Neil; --", "100%", "x" * 250, "x" * 300, "\\"]
TICKS = ["1", "on", "true", "0", "", "yes", None]
CITIES = ["São Paulo", "Sao Paulo", "Recife", ""]
WRITTEN = {}  # by the test file's database
SLOW = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)  # two shared processors

OUTCOME = [
    {"key": "motivo", "label": "Motivo", "kind": "motive", "options": MOTIVES},
    {"key": "valor", "label": "Valor", "kind": "number"},
    {"key": "dia", "label": "Dia combinado", "kind": "date"},
    {"key": "fone", "label": "Outro telefone", "kind": "phone"},
    {"key": "ok", "label": "De acordo", "kind": "checkbox"},
    {"key": "obs", "label": "Observação", "kind": "long_text"},
]
SURVEY = [
    {"key": "motivo", "label": "Motivo da nota", "kind": "choice", "options": ("Outro", *MOTIVES[:1])},
    {"key": "obs", "label": "Nota", "kind": "number"},
]


# -- A random history, and its plain reading ---------------------------------------------------------------


async def history(db, tabulations=160):
    """Two forms with fields of the same keys, and what was answered, also what no form would let through."""
    name = await db.fetchval("SELECT current_database()")
    if name in WRITTEN:
        return WRITTEN[name]
    chance = random.Random(20261122)
    boss = await campaigning.boss(db)
    some_groups = [await groups.create(db, None, name=name) for name in ("Vendas", "Suporte")]
    agents = await campaigning.agents(db, 4)
    for n, agent in enumerate(agents[:3]):
        await db.execute(
            "UPDATE user_account SET group_id = $2 WHERE id = $1", agent.id, some_groups[n % 2].id
        )
    group_of = {agent.id: str(some_groups[n % 2].id) if n < 3 else "" for n, agent in enumerate(agents)}
    types = [await layouts.create_type(db, None, name=name) for name in ("Venda", "Contato")]
    categories = [
        (await layouts.create_category(db, None, types[n % 2].id, name=f"C{n}", success=n < 2), types[n % 2])
        for n in range(4)
    ]
    forms = [
        await layouts.create(
            db, None, name=name, label=name, fields=fields, types=[each.id for each in types]
        )
        for name, fields in (("outcome", OUTCOME), ("survey", SURVEY))
    ]
    await custom_fields.create(db, None, key="plano", label="Plano", kind="choice", options=("ouro", "prata"))
    await db.execute(
        "INSERT INTO queue (name, label, wrapup_seconds, ring_seconds_max, service_level_seconds,"
        " waiting_max, wait_seconds_max) VALUES ('vendas', 'Vendas', 0, 20, 20, 10, 100)"
    )
    people = []
    for n in range(12):
        cities = chance.sample(CITIES, 2)
        made = await contacts.create(
            db,
            None,
            f"Pessoa {n % 9}",
            [f"+55119{n:08d}"],
            addresses=[{"city": city} for city in cities],
            custom={"plano": chance.choice(["", "ouro", "prata"])},
        )
        people.append(made)
    raw = []
    for n in range(tabulations):
        agent, form = chance.choice(agents), chance.choice(forms)
        category, type_ = chance.choice(categories)
        contact = chance.choice([None, *people])
        started = datetime.datetime(2026, 10, 30, tzinfo=UTC) + datetime.timedelta(
            minutes=chance.randint(0, 60 * 24 * 40)
        )
        saved = started + datetime.timedelta(minutes=chance.choice([1, 5, 600]))
        answers = {
            "motivo": chance.choice(["", *MOTIVES, "Antigo"]),
            "valor": chance.choice(NUMBERS),
            "dia": chance.choice(DAYS),
            "fone": chance.choice(PHONES),
            "ok": chance.choice(TICKS),
            "obs": chance.choice(TEXTS),
        }
        answers = {
            key: answer for key, answer in answers.items() if answer is not None and chance.random() < 0.9
        }
        call = (
            None
            if n % 20 == 0
            else {
                "direction": chance.choice(["inbound", "outbound"]),
                "number": chance.choice(["", "+5511987654321"]),
                "queue": chance.choice([None, "vendas"]),
                "talk": chance.choice([0.0, 30.5, 61.25]),
            }
        )
        call_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        if call:
            await db.execute(
                "INSERT INTO call (id, direction, number, queue, user_id, contact_id, started, talk_seconds)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                call_id,
                call["direction"],
                call["number"],
                call["queue"],
                agent.id,
                contact.id if contact else None,
                started,
                call["talk"],
            )
        own = contact is not None and (call is None or n % 2)  # else known by its call only
        await db.execute(
            "INSERT INTO tabulation (call_id, user_id, layout_id, contact_id, category_id, answers, drafted,"
            " saved)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
            call_id,
            agent.id,
            form.id,
            contact.id if own else None,
            category.id,
            answers,
            saved,
        )
        raw.append(
            facts(call_id, agent, group_of, form, category, type_, contact, started, saved, answers, call)
        )
    await db.execute(  # one that was never saved is in no report
        "INSERT INTO tabulation (call_id, user_id, layout_id, drafted)"
        " VALUES (gen_random_uuid(), $1, $2, now())",
        agents[0].id,
        forms[0].id,
    )
    WRITTEN[name] = raw, boss
    return raw, boss


def facts(call_id, agent, group_of, form, category, type_, contact, started, saved, answers, call):
    """Column key → its value, as a person reading the rows would write it down."""

    def text(key):
        return answers.get(key, "")

    number = re.fullmatch(r"[+-]?\d{1,30}([.,]\d{1,20})?", text("valor"))
    return {
        "#call": call_id,
        "saved": saved,
        "started": started if call else None,
        "agent": str(agent.id),
        "group": group_of[agent.id],
        "queue": (call["queue"] or "") if call else "",
        "direction": call["direction"] if call else "",
        "number": call["number"] if call else "",
        "talk_seconds": call["talk"] if call else None,
        "layout": str(form.id),
        "category": str(category.id),
        "type": str(type_.id),
        "success": category.success,
        "answer.motivo": text("motivo"),
        "answer.valor": Decimal(text("valor").replace(",", ".")) if number else None,
        "answer.dia": day(text("dia")),
        "answer.fone": normalise(text("fone"), "11") or re.sub(r"\D", "", text("fone")),
        "answer.ok": text("ok") in ("1", "on", "true"),
        "answer.obs": text("obs"),
        "customer": contact.name if contact else "",
        "#contact": contact.id if contact else None,
        "customer.city": contact.addresses[0].city if contact and contact.addresses else "",
        "custom.plano": contact.custom.get("plano", "") if contact else "",
    }


def day(text):
    try:
        return datetime.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
    except ValueError:
        return None


def part(value, what):
    """The part of a moment or a date that a group is of."""
    if value is None or not what:
        return value[:200] if isinstance(value, str) else value
    local = value.astimezone(ZONE) if isinstance(value, datetime.datetime) else value
    date = local.date() if isinstance(local, datetime.datetime) else local
    return {
        "day": lambda: date,
        "week": lambda: date - datetime.timedelta(days=date.weekday()),
        "month": lambda: date.replace(day=1),
        "hour": lambda: local.hour,
        "weekday": lambda: date.weekday(),
    }[what]()


def measured(said, rows, everything):
    name, _, key = said.partition(":")
    if name == "count":
        return len(rows)
    if name == "share":
        return 100 * len(rows) / everything if everything else 0.0
    if name == "distinct" and key == "customer":
        return len({row["#contact"] for row in rows} - {None})
    values = [row[key] for row in rows if row[key] is not None and row[key] != ""]
    if name == "distinct":
        return len(set(values))
    if name == "yes":
        return sum(values)
    if name == "sum":
        return sum(values)
    if not values:
        return None
    return {
        "average": lambda: sum(values) / len(values),
        "least": lambda: min(values),
        "most": lambda: max(values),
    }[name]()


def alike(found, expected):
    if isinstance(expected, Decimal | float):
        return float(found) == pytest.approx(float(expected), rel=1e-12)
    return found == expected


GROUPED_BY = [
    "agent",
    "group",
    "queue",
    "direction",
    "number",
    "layout",
    "category",
    "type",
    "success",
    "customer",
    "customer.city",
    "custom.plano",
    "answer.motivo",
    "answer.valor",
    "answer.dia",
    "answer.dia:week",
    "answer.dia:month",
    "answer.dia:weekday",
    "answer.fone",
    "answer.ok",
    "answer.obs",
    "saved:day",
    "saved:week",
    "saved:month",
    "saved:hour",
    "saved:weekday",
    "started:day",
    "started:hour",
]
MEASURED_BY = [
    "count",
    "share",
    "sum:answer.valor",
    "average:answer.valor",
    "least:answer.valor",
    "most:answer.valor",
    "sum:talk_seconds",
    "average:talk_seconds",
    "distinct:agent",
    "distinct:customer",
    "distinct:answer.motivo",
    "distinct:answer.obs",
    "yes:success",
    "yes:answer.ok",
    "least:answer.dia",
    "most:saved",
    "least:started",
]
CONDITIONS = [
    (
        {"field": "answer.motivo", "test": "one_of", "value": ["Prazo", "Antigo"]},
        lambda row: row["answer.motivo"] in ("Prazo", "Antigo"),
    ),
    (
        {"field": "answer.valor", "test": "more", "value": "1"},
        lambda row: row["answer.valor"] is not None and row["answer.valor"] > 1,
    ),
    (
        {"field": "answer.dia", "test": "before", "value": "2026-12-31"},
        lambda row: row["answer.dia"] is not None and row["answer.dia"] < datetime.date(2026, 12, 31),
    ),
    ({"field": "answer.ok", "test": "no"}, lambda row: not row["answer.ok"]),
    (
        {"field": "answer.fone", "test": "mobile"},
        lambda row: re.fullmatch(r"\+55..9.{8}", row["answer.fone"]) is not None,
    ),
    (
        {"field": "answer.obs", "test": "is", "value": "ÓTIMO"},
        lambda row: row["answer.obs"] in ("Ótimo", "otimo"),
    ),
    (
        {"field": "customer", "test": "contains", "value": "pessoa 3"},
        lambda row: row["customer"] == "Pessoa 3",
    ),
    ({"field": "customer.city", "test": "empty"}, None),
    (
        {"field": "custom.plano", "test": "none_of", "value": ["ouro"]},
        lambda row: row["custom.plano"] != "ouro",
    ),
    (
        {"field": "talk_seconds", "test": "less", "value": "60"},
        lambda row: row["talk_seconds"] is not None and row["talk_seconds"] < 60,
    ),
    (
        {"field": "saved", "test": "on", "value": "2026-11-10"},
        lambda row: row["saved"].astimezone(ZONE).date() == datetime.date(2026, 11, 10),
    ),
    ({"field": "success", "test": "yes"}, lambda row: row["success"]),
]
HELD = {filters_key: holds for filters_key, (_, holds) in enumerate(CONDITIONS) if holds}


@st.composite
def shapes(draw):
    """Groups, measures, a condition by its place and whether it is turned round, a period."""
    bounds = st.one_of(st.none(), st.dates(datetime.date(2026, 10, 28), datetime.date(2026, 12, 12)))
    return (
        draw(st.lists(st.sampled_from(GROUPED_BY), min_size=1, max_size=3, unique=True)),
        draw(st.lists(st.sampled_from(MEASURED_BY), min_size=1, max_size=4, unique=True)),
        draw(st.one_of(st.none(), st.tuples(st.sampled_from(sorted(HELD)), st.booleans()))),
        (draw(bounds), draw(bounds)),
    )


def kept(raw, condition, period):
    start, end = period
    rows = [
        row
        for row in raw
        if (start is None or row["saved"].astimezone(ZONE).date() >= start)
        and (end is None or row["saved"].astimezone(ZONE).date() <= end)
    ]
    if condition is None:
        return rows, {"all": []}
    place, opposite = condition
    tree = CONDITIONS[place][0]
    rows = [row for row in rows if HELD[place](row) is not opposite]
    return rows, {"not": tree} if opposite else tree


@settings(max_examples=50, suppress_health_check=SLOW)
@given(shape=shapes())
async def test_each_number_equals_a_recount_and_leads_to_the_rows_it_counts(db, shape):
    raw, boss = await history(db)
    by, measures, condition, period = shape
    rows, tree = kept(raw, condition, period)
    report = custom_reports.draft("tabulations", groups=by, measures=measures, tree=tree, columns=("agent",))
    asked = Asked(*period)
    found = await custom_reports.run(db, boss, report, asked, limit=1000)
    assert found.missing == () and found.columns == (*by, *measures)
    expected = {}
    for row in rows:
        key = tuple(part(row[said.partition(":")[0]], said.partition(":")[2]) for said in by)
        expected.setdefault(key, []).append(row)
    assert found.count == len(found.rows) == len(expected)
    looked_into = random.Random(found.count).sample(found.rows, min(3, found.count))
    for row in found.rows:
        behind = expected.pop(tuple(plain_key(row[said]) for said in by))
        for said in measures:
            assert alike(row[said], measured(said, behind, len(rows))), (said, row)
        if row in looked_into:
            listed = await custom_reports.drill(db, boss, report, asked, row["#key"], limit=1000)
            assert listed.exact and listed.count == len(behind)
            assert {each["#call"] for each in listed.rows} == {each["#call"] for each in behind}
    assert expected == {} and found.totals["count"] == len(rows)
    for said in measures:
        assert alike(found.totals[said], measured(said, rows, len(rows))), said


def plain_key(value):
    return Decimal(str(value)) if isinstance(value, float) else value


@settings(max_examples=15, suppress_health_check=SLOW)
@given(shape=shapes(), order=st.sampled_from(["", "-", "x"]), size=st.integers(15, 70))
async def test_pages_and_files_hold_every_row_once_in_the_same_order(db, shape, order, size):
    raw, boss = await history(db)
    by, measures, condition, period = shape
    rows, tree = kept(raw, condition, period)
    columns = tuple(dict.fromkeys(said.partition(":")[0] for said in by))
    asked = Asked(*period)
    for groups_ in ((), by):
        wanted = {"": "", "-": "-" + (by[0] if groups_ else columns[0]), "x": "-" + measures[0]}[order]
        report = custom_reports.draft(
            "tabulations", groups=groups_, measures=measures, tree=tree, columns=columns, order=wanted
        )
        streamed = [row async for row in custom_reports.stream(db, boss, report, asked, 7)]
        paged = []
        while True:
            page = await custom_reports.run(db, boss, report, asked, limit=size, offset=len(paged))
            paged += page.rows
            assert page.exact and page.count == len(streamed)
            if len(paged) >= page.count:
                break
        assert paged == streamed
        if not groups_:
            assert {row["#call"] for row in paged} == {row["#call"] for row in rows}


@pytest.mark.parametrize("order", ["success", "-success"])
async def test_rows_that_are_alike_keep_one_order(db, order):
    raw, boss = await history(db)
    report = custom_reports.draft("tabulations", columns=("success",), order=order)
    shown = (await custom_reports.run(db, boss, report, Asked(), limit=1000)).rows
    expected = sorted(((row["success"], row["#call"]) for row in raw), reverse=order.startswith("-"))
    assert [(row["success"], row["#call"]) for row in shown] == expected


async def test_a_list_shows_the_values_as_they_are(db):
    raw, boss = await history(db)
    keys = [key for key in raw[0] if not key.startswith("#")]
    report = custom_reports.draft("tabulations", columns=keys)
    found = await custom_reports.run(db, boss, report, Asked(), limit=1000)
    assert found.columns == tuple(keys) and found.count == len(raw)
    by_call = {row["#call"]: row for row in found.rows}
    for row in raw:
        shown = by_call[row["#call"]]
        for key in keys:
            assert alike(shown[key], row[key]), key
        assert shown["#contact"] == row["#contact"]
    moments = [row["saved"] for row in found.rows]
    assert moments == sorted(moments, reverse=True)  # the latest first


# -- Every column of every subject -------------------------------------------------------------------------


async def worked(db):
    """A campaign's attempts, one of them with a form, tickets, and customers with answers."""
    name = await db.fetchval("SELECT current_database()")
    if name + " worked" not in WRITTEN:
        raw, boss = await history(db)
        chance = random.Random(7)
        agents = [await users.by_id(db, int(agent)) for agent in sorted({row["agent"] for row in raw})]
        campaign = await campaigning.campaign(db, agents)
        ids = [row["id"] for row in await db.fetch("SELECT id FROM contact ORDER BY id")]
        items = [await campaigning.put(db, campaign, contact_id) for contact_id in ids]
        discarded = await campaigning.put(db, await campaigning.campaign(db, agents, "Other"), ids[0])
        await db.execute("UPDATE list_item SET generation = 0 WHERE id = $1", discarded)
        kind = await tickets.create_type(
            db, None, name="Retenção", statuses=[{"name": "Aberto"}, {"name": "Fechado", "closing": True}]
        )
        for n in range(60):
            item = chance.randrange(len(items))
            tabulated = chance.choice(raw) if n % 2 else None
            ticket = (
                await tickets.open(db, boss, type_id=kind.id, contact_id=ids[item]) if n % 5 == 0 else None
            )
            await db.execute(
                """
                INSERT INTO attempt (campaign_id, generation, item_id, contact_id, user_id, attempt_number,
                                     number, started, situation, result, call_id, talk_seconds, ticket_id)
                SELECT campaign_id, 1, id, contact_id, $2, $3, '+5511987654321',
                       now() - $4 * interval '1 hour', $5, $6, $7, $8, $9 FROM list_item WHERE id = $1
                """,
                items[item] if n else discarded,
                int(tabulated["agent"]) if tabulated else agents[0].id,
                n,
                chance.randrange(200),
                chance.choice(["completed", "busy", "no_answer"]),
                chance.choice([None, "success", "failure"]),
                tabulated["#call"] if tabulated else None,
                float(n),
                ticket.id if ticket else None,
            )
        WRITTEN[name + " worked"] = boss
    return WRITTEN[name + " worked"]


ROWS = {"tabulations": 160, "attempts": 59, "customers": 12, "tickets": 12}  # a discarded list's is in none


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_every_column_can_be_shown_sorted_grouped_measured_and_asked(db, subject):
    boss = await worked(db)
    known = await custom_reports.catalog(db, subject)
    everything = custom_reports.draft(subject, columns=known)
    found = await custom_reports.run(db, boss, everything, Asked(), limit=1000)
    assert (found.count, len(found.rows), found.missing) == (ROWS[subject], ROWS[subject], ())
    for key, column in known.items():
        report = custom_reports.draft(subject, columns=(key,), order="-" + key)
        shown = (await custom_reports.run(db, boss, report, Asked(), limit=1000)).rows
        values = [row[key] for row in shown]
        there = [value for value in values if value not in ("", None)]
        assert values[: len(there)] == there  # what has no value stands last
        if column.sort in ("number", "date", "moment", "duration"):
            assert there == sorted(there, reverse=True)
        said = [f"{key}:{part}".rstrip(":") for part in column.parts]
        measures = [f"{name}:{key}" for name in column.measures]
        for by in said or ["agent"] * (key != "agent" and "agent" in known):
            report = custom_reports.draft(subject, groups=(by,), measures=("count", *measures[:10]))
            found = await custom_reports.run(db, boss, report, Asked(), limit=1000)
            assert sum(row["count"] for row in found.rows) == found.totals["count"] == ROWS[subject]
            last = found.rows[-1]
            behind = await custom_reports.drill(db, boss, report, Asked(), last["#key"], limit=1000)
            assert behind.count == last["count"]
    for key, each in known.items():
        tree = {"field": key, "test": next(test for test in TESTS[each.field.sort] if test in WITHOUT_VALUE)}
        counts = [
            (
                await custom_reports.run(db, boss, custom_reports.draft(subject, tree=each), Asked(), limit=0)
            ).count
            for each in (tree, {"not": tree})
        ]
        assert sum(counts) == ROWS[subject], tree


async def test_an_attempt_shows_the_form_that_its_agent_saved_about_its_call(db):
    boss = await worked(db)
    raw, _ = await history(db)
    by_call = {row["#call"]: row for row in raw}
    report = custom_reports.draft("attempts", columns=("category", "answer.motivo", "answer.ok", "agent"))
    await db.execute(  # a colleague's forms about the same calls
        "INSERT INTO tabulation (call_id, user_id, layout_id, category_id, drafted, saved)"
        " SELECT call_id, $1, layout_id, category_id, now(), now() FROM tabulation WHERE saved IS NOT NULL",
        boss.id,
    )
    found = await custom_reports.run(db, boss, report, Asked(), limit=1000)
    await db.execute("DELETE FROM tabulation WHERE user_id = $1", boss.id)
    assert found.count == ROWS["attempts"]
    with_form = [row for row in found.rows if row["#call"]]
    assert with_form and len(with_form) < len(found.rows)
    for row in found.rows:
        form = by_call.get(row["#call"])
        assert row["answer.motivo"] == (form["answer.motivo"] if form else "")
        assert row["answer.ok"] is (form["answer.ok"] if form else None)
        assert row["category"] == (form["category"] if form else "")


# -- What has no value, what is gone, who may see what -----------------------------------------------------


async def test_no_value_is_a_row_of_its_own(db):
    raw, boss = await history(db)
    report = custom_reports.draft("tabulations", groups=("answer.motivo",), measures=("count", "share"))
    found = await custom_reports.run(db, boss, report, Asked())
    without = next(row for row in found.rows if row["answer.motivo"] == "")
    assert without["count"] == sum(row["answer.motivo"] == "" for row in raw)
    assert sum(row["share"] for row in found.rows) == pytest.approx(100)
    assert sum(row["count"] for row in found.rows) == found.totals["count"] == len(raw)


async def test_a_customer_shows_the_latest_answer_and_the_first_city(fresh_db):
    now = datetime.datetime.now(UTC)
    moments = [now - n * datetime.timedelta(hours=1) for n in range(4)]
    boss, _ = await minimal(fresh_db, *moments)
    cities = [{"city": "Recife"}, {"city": "Natal"}]
    ana = await contacts.create(fresh_db, boss, "Ana", ["+5511987654321"], addresses=cities)
    await contacts.create(fresh_db, boss, "Bia")
    answers = [{"note": ""}, {"note": "agora", "valor": "x"}, {"note": "antes", "valor": "2"}, {"valor": "3"}]
    for moment, answered in zip(moments, answers, strict=True):
        await fresh_db.execute(
            "UPDATE tabulation SET contact_id = $1, answers = $3 WHERE saved = $2", ana.id, moment, answered
        )
    columns = ("name", "city", "phone", "answer.note", "answer.valor")
    report = custom_reports.draft("customers", columns=columns)
    found = await custom_reports.run(fresh_db, boss, report, Asked())
    assert [tuple(row[key] for key in columns) for row in found.rows] == [
        ("Ana", "Recife", "+5511987654321", "agora", 2),
        ("Bia", "", "", "", None),
    ]
    by_city = custom_reports.draft("customers", groups=("city",), measures=("count", "sum:answer.valor"))
    grouped = await custom_reports.run(fresh_db, boss, by_city, Asked())
    assert [(row["city"], row["count"], row["sum:answer.valor"]) for row in grouped.rows] == [
        ("Recife", 1, 2),
        ("", 1, 0),
    ]
    tree = {"field": "city", "test": "is", "value": "natal"}  # a condition asks every city
    asked = custom_reports.draft("customers", columns=("name",), tree=tree)
    assert [row["name"] for row in (await custom_reports.run(fresh_db, boss, asked, Asked())).rows] == ["Ana"]


async def test_days_and_hours_are_those_of_the_centre(fresh_db):
    await minimal(fresh_db, datetime.datetime(2026, 11, 22, 2, 30, tzinfo=UTC))  # 23:30 of the day before
    said = ("saved:day", "saved:hour", "saved:weekday")
    report = custom_reports.draft("tabulations", groups=said)
    saturday = datetime.date(2026, 11, 21)
    found = await custom_reports.run(fresh_db, None, report, Asked(saturday, saturday))
    assert [[row[each] for each in said] for row in found.rows] == [[saturday, 23, 5]]
    sunday = saturday + datetime.timedelta(days=1)
    assert (await custom_reports.run(fresh_db, None, report, Asked(sunday, sunday))).rows == []


async def minimal(db, *moments, **answers):
    """An agent's tabulations of a form "f" that asks for `note`, a text, and `valor`, a number."""
    boss = await campaigning.boss(db)
    kind = await layouts.create_type(db, None, name="Venda")
    category = await layouts.create_category(db, None, kind.id, name="Ganha", success=True)
    fields = [
        {"key": "note", "label": "Nota", "kind": "text"},
        {"key": "valor", "label": "V", "kind": "number"},
    ]
    form = await layouts.create(db, None, name="f", label="F", fields=fields, types=[kind.id])
    for moment in moments:
        await db.execute(
            "INSERT INTO tabulation (call_id, user_id, layout_id, category_id, answers, drafted, saved)"
            " VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $5)",
            boss.id,
            form.id,
            category.id,
            answers,
            moment,
        )
    return boss, form


async def test_a_report_whose_field_was_removed_still_opens_and_names_it(fresh_db):
    boss, form = await minimal(fresh_db, datetime.datetime.now(UTC), note="sim", valor="3")
    made = await custom_reports.create(
        fresh_db,
        boss,
        name="Notas",
        subject="tabulations",
        columns=["answer.note", "agent"],
        period="all",
        tree={
            "all": [
                {"field": "answer.note", "test": "is", "value": "sim"},
                {"any": [{"field": "answer.valor", "test": "more", "value": "9"}]},
            ]
        },
        groups=["answer.note", "agent"],
        measures=["count", "sum:answer.valor"],
        order="-sum:answer.valor",
        asks=["answer.note"],
    )
    assert (await custom_reports.run(fresh_db, boss, made, Asked())).rows == []  # 3 is not more than 9
    await layouts.update(
        fresh_db, None, form.id, fields=[{"key": "valor", "label": "Valor", "kind": "text"}]
    )  # one is gone, the other is no number any more
    found = await custom_reports.run(
        fresh_db, boss, made, Asked(values={"answer.note": ("não",)}), order="-answer.note"
    )
    assert found.missing == ("answer.note", "sum:answer.valor", "answer.valor")
    assert found.columns == ("agent", "count") and [row["count"] for row in found.rows] == [1]
    behind = await custom_reports.drill(fresh_db, boss, made, Asked(), found.rows[0]["#key"])
    assert behind.columns == ("agent",) and behind.count == 1
    await layouts.update(fresh_db, None, form.id, fields=[])
    assert [row async for row in custom_reports.stream(fresh_db, boss, made, Asked())] == found.rows
    with pytest.raises(Refused) as refused:
        await custom_reports.update(fresh_db, boss, made.id, name="Outra")
    assert refused.value.details["errors"]["columns.0"] == "not_a_field"


async def test_who_may_not_see_customers_has_nothing_of_them(db, monkeypatch):
    raw, _ = await history(db)
    clerk = await users.create(
        db, None, login="clerk", name="Clerk", role=Role.BACK_OFFICE, password=campaigning.PASSWORD
    )
    monkeypatch.setitem(users.RIGHTS, Role.BACK_OFFICE, frozenset(["see_tabulations"]))
    known = await custom_reports.catalog(db, "tabulations", clerk)
    assert "number" in known and not any(
        key == "customer" or key.startswith(("customer.", "custom.")) for key in known
    )
    tree = {"field": "customer", "test": "is", "value": "Pessoa 3"}
    asks, values = ("customer.city",), {"customer.city": ("Recife",)}
    columns = ("customer", "custom.plano", "agent")
    report = custom_reports.draft("tabulations", columns=columns, tree=tree, order="customer", asks=asks)
    shown = await custom_reports.run(
        db, clerk, report, Asked(values=values), limit=1000, order="-custom.plano"
    )
    usual = await custom_reports.run(
        db, clerk, custom_reports.draft("tabulations", columns=("agent",)), Asked(), limit=1000
    )
    assert shown.columns == ("agent",) and shown.missing == ("customer", "custom.plano", "customer.city")
    assert shown.rows == usual.rows and shown.count == len(raw)  # neither narrowed nor sorted
    assert not any("Pessoa" in str(row) for row in shown.rows) and {
        row.get("#contact") for row in shown.rows
    } == {None}
    by_city = custom_reports.draft(
        "tabulations", groups=("customer.city", "agent"), measures=("distinct:customer",)
    )
    found = await custom_reports.run(db, clerk, by_city, Asked())
    assert found.columns == ("agent", "count") and found.missing == ("customer.city", "distinct:customer")
    streamed = [row async for row in custom_reports.stream(db, clerk, report, Asked(values=values))]
    assert streamed == usual.rows
    with pytest.raises(Refused) as refused:
        await custom_reports.run(db, clerk, custom_reports.draft("customers"), Asked())
    assert refused.value.code == "not_allowed"
    with pytest.raises(Refused) as refused:
        await custom_reports.create(
            db, clerk, name="X", subject="tabulations", columns=["customer"], period="all"
        )
    assert refused.value.details["errors"] == {"columns.0": "not_a_field"}
    monkeypatch.setitem(users.RIGHTS, Role.BACK_OFFICE, frozenset(["see_contacts"]))
    for asking in (
        custom_reports.all(db, clerk),
        custom_reports.by_id(db, clerk, 1),
        custom_reports.run(db, clerk, report, Asked()),
        custom_reports.preview(db, clerk, report),
        custom_reports.create(db, clerk, name="X", subject="tabulations", period="all"),
    ):
        with pytest.raises(Refused) as refused:
            await asking
        assert refused.value.code == "not_allowed"


# -- Saved -------------------------------------------------------------------------------------------------

FACTS = {
    "name": "Por  agente",
    "about": "Quem vende",
    "subject": "tabulations",
    "columns": ["saved", "answer.note"],
    "tree": {"all": [{"field": "success", "test": "yes"}]},
    "order": "-count",
    "groups": ["agent", "saved:week"],
    "measures": ["count", "average:answer.valor"],
    "period": "last_7",
    "asks": ["queue"],
    "shared": False,
}


async def test_a_report_is_saved_shared_changed_by_its_owner_and_removed_with_its_schedules(fresh_db):
    boss, _ = await minimal(fresh_db)
    other, admin = [
        await users.create(
            fresh_db, None, login=role, name=role, role=Role(role), password=campaigning.PASSWORD
        )
        for role in ("auditor", "administrator")
    ]
    made = await custom_reports.create(fresh_db, boss, **FACTS)
    assert made == await custom_reports.by_id(fresh_db, boss, made.id)
    assert {**FACTS, "name": "Por agente"} == {
        name: list(value) if isinstance(value := getattr(made, name), tuple) else value for name in FACTS
    }
    assert (made.owner, made.owner_name) == (boss.id, boss.name)
    assert (
        await custom_reports.all(fresh_db, boss) == [made] and await custom_reports.all(fresh_db, other) == []
    )
    with pytest.raises(Refused) as refused:
        await custom_reports.by_id(fresh_db, other, made.id)
    assert refused.value.code == "not_found"
    assert not await may(custom_reports.update(fresh_db, other, made.id, shared=True))
    assert (await custom_reports.by_id(fresh_db, admin, made.id)).name == "Por agente"

    shared = await custom_reports.update(fresh_db, boss, made.id, shared=True, groups=["agent"])
    assert await custom_reports.all(fresh_db, other) == [shared] and shared.columns == made.columns
    assert not await may(custom_reports.update(fresh_db, other, made.id, name="Minha"))
    assert not await may(custom_reports.remove(fresh_db, other, made.id))
    renamed = await custom_reports.update(fresh_db, admin, made.id, name="Da casa")
    assert renamed.owner == boss.id  # an administrator's change leaves it where it was

    now = datetime.datetime.now(UTC)
    sent = {
        "report": f"custom:{made.id}",
        "name": "Toda segunda",
        "recipients": "a@b.example",
        "format": "csv",
        "every": "week",
        "at": "07:00",
    }
    await schedules.create(fresh_db, other, sent, [], now)
    await schedules.create(fresh_db, boss, {**sent, "report": "r1"}, [], now)
    for nothing in ("custom:999", "custom:0", "custom:", "custom:1x", "r9"):
        assert not await may(schedules.create(fresh_db, boss, {**sent, "report": nothing}, [], now))
    await custom_reports.remove(fresh_db, boss, made.id)
    assert [each.report for each in await schedules.all(fresh_db, admin)] == ["r1"]
    assert not await may(custom_reports.remove(fresh_db, boss, made.id))
    deeds = [each for each in await audit.recent(fresh_db) if each.action.startswith("custom_report.")]
    assert [each.action.partition(".")[2] for each in deeds] == ["remove", "update", "update", "create"]
    assert deeds[2].after == {"groups": ["agent"], "shared": True} and deeds[2].by == boss.login


async def may(doing):
    """Whether it is done; refused otherwise."""
    try:
        await doing
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"name": " "}, {"name": "required"}),
        ({"name": "x" * 101}, {"name": "too_long"}),
        ({"name": "\x00"}, {"name": "not_allowed_characters"}),
        ({"about": "x" * 10_000_000}, {"about": "too_long"}),
        ({"subject": "calls; DROP TABLE call"}, {"subject": "not_an_option"}),
        ({"period": "ever"}, {"period": "not_an_option"}),
        (
            {"columns": ["agent", "answer.x' OR '1'='1", 'custom."']},
            {"columns.1": "not_a_field", "columns.2": "not_a_field"},
        ),
        ({"columns": ["\x00", None, 7, ["agent"]]}, {f"columns.{n}": "not_a_field" for n in range(4)}),
        ({"columns": "agent"}, {"columns": "not_an_option"}),
        ({"columns": ["agent"] * 201}, {"columns": "too_long"}),
        ({"groups": ["saved"]}, {"groups.0": "not_a_field"}),
        (
            {"groups": ["saved:year", "agent:day", "talk_seconds"], "order": ""},
            {f"groups.{n}": "not_a_field" for n in range(3)},
        ),
        ({"groups": ["agent", "group", "queue", "type"], "order": ""}, {"groups": "too_long"}),
        ({"measures": ["sum:answer.note"], "order": ""}, {"measures.0": "not_a_field"}),
        (
            {"measures": ["median:answer.valor", "sum:", "count:agent"], "order": ""},
            {f"measures.{n}": "not_a_field" for n in range(3)},
        ),
        ({"asks": ["password"]}, {"asks.0": "not_a_field"}),
        ({"order": "-sum:answer.note"}, {"order": "not_an_option"}),
        ({"order": "saved", "groups": ["agent"]}, {"order": "not_an_option"}),
        ({"order": "--count"}, {"order": "not_an_option"}),
        (
            {"tree": {"all": [{"field": "answer.valor", "test": "more", "value": "9" * 10_000_000}]}},
            {"tree.0.value": "too_long"},
        ),
        (
            {"tree": {"all": [{"field": "answer.note", "test": "is", "value": "\x00"}]}},
            {"tree.0.value": "not_allowed_characters"},
        ),
        (
            {"tree": {"all": [{"field": "answer.note", "test": "is", "value": "\ud800"}]}},
            {"tree.0.value": "not_allowed_characters"},
        ),
        ({"tree": {"all": [{"field": "city", "test": "filled"}]}}, {"tree.0.field": "not_a_field"}),
        ({"tree": "everything"}, {"tree": "not_a_field"}),
    ],
)
async def test_what_is_wrong_is_said_where_it_is(db, form_of_one_agent, changes, wrong):
    with pytest.raises(Refused) as refused:
        await custom_reports.create(db, None, **{**FACTS, **changes})
    assert refused.value.code == "form" and refused.value.details["errors"] == wrong


@pytest.fixture
async def form_of_one_agent(db):
    """The fields that FACTS name."""
    if not await db.fetchval("SELECT 1 FROM layout WHERE name = 'f'"):
        await layouts.create(
            db,
            None,
            name="f",
            label="F",
            types=[],
            fields=[
                {"key": "note", "label": "Nota", "kind": "text"},
                {"key": "valor", "label": "V", "kind": "number"},
            ],
        )


# -- Awkward input -----------------------------------------------------------------------------------------


async def test_two_hundred_columns_and_a_tree_of_eight_levels_are_answered(fresh_db):
    await minimal(fresh_db, datetime.datetime.now(UTC), note="sim")
    for n in range(4):
        fields = [
            {"key": f"campo_{n}_{m}", "label": f"Campo {m}", "kind": "number" if m % 2 else "text"}
            for m in range(50)
        ]
        await layouts.create(fresh_db, None, name=f"wide{n}", label="Wide", fields=fields, types=[])
    columns = [f"answer.campo_{n}_{m}" for n in range(4) for m in range(50)]
    tree = {"field": "answer.note", "test": "is", "value": "sim"}
    for n in range(8):
        tree = {"not": tree} if n % 2 else {"all": [tree]}
    made = await custom_reports.create(
        fresh_db,
        None,
        name="Larga",
        subject="tabulations",
        columns=columns,
        tree=tree,
        period="all",
        order=columns[-1],
    )
    found = await custom_reports.run(fresh_db, None, made, Asked())
    assert found.columns == tuple(columns) and found.count == 1
    with pytest.raises(Refused):
        await custom_reports.update(fresh_db, None, made.id, tree={"all": [{"all": [tree]}]})


async def test_a_text_with_more_values_than_are_shown_is_capped_and_says_so(fresh_db):
    boss, form = await minimal(fresh_db)
    await fresh_db.execute(
        """
        INSERT INTO tabulation (call_id, user_id, layout_id, category_id, answers, drafted, saved)
        SELECT gen_random_uuid(), $1, $2, 1, jsonb_build_object('note', 'nota ' || n), now(), now()
          FROM generate_series(1, 1500) AS n
        """,
        boss.id,
        form.id,
    )
    report = custom_reports.draft("tabulations", groups=("answer.note",), order="-answer.note")
    found = await custom_reports.run(fresh_db, boss, report, Asked(), limit=5000)
    assert (found.count, len(found.rows), found.capped, found.totals["count"]) == (1500, 1000, True, 1500)
    assert found.rows[0]["answer.note"] == "nota 999"
    last = await custom_reports.run(fresh_db, boss, report, Asked(), limit=50, offset=980)
    assert last.rows == found.rows[980:]
    assert (await custom_reports.run(fresh_db, boss, report, Asked(), limit=50, offset=5000)).rows == []
    assert len([row async for row in custom_reports.stream(fresh_db, boss, report, Asked())]) == 1500


async def test_a_long_answer_is_cut_on_the_page_and_grouped_by_how_it_begins(fresh_db):
    boss, _ = await minimal(fresh_db, datetime.datetime.now(UTC), note="ç" * 10_000_000)
    report = custom_reports.draft("tabulations", columns=("answer.note",), groups=())
    found = await custom_reports.run(fresh_db, boss, report, Asked())
    assert found.rows[0]["answer.note"] == "ç" * 2000
    by = custom_reports.draft("tabulations", columns=("answer.note",), groups=("answer.note",))
    row = (await custom_reports.run(fresh_db, boss, by, Asked())).rows[0]
    assert row["answer.note"] == "ç" * 200 and len(row["#key"]) < 1000
    assert (await custom_reports.drill(fresh_db, boss, by, Asked(), row["#key"])).count == 1
    assert [
        len(row["answer.note"]) async for row in custom_reports.stream(fresh_db, boss, report, Asked())
    ] == [32_000]


@settings(max_examples=60, suppress_health_check=SLOW)
@given(
    values=st.lists(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=300),
            st.just([]),
            st.sampled_from(["NaN", "Infinity", "1e999", "0001-01-01", "9999-12-31", "\x00", "\ud800"]),
        ),
        max_size=4,
    ),
    by=st.lists(st.sampled_from(GROUPED_BY), min_size=1, max_size=3, unique=True),
)
async def test_a_key_of_no_row_is_refused_or_leads_to_nothing(db, values, by):
    _, boss = await history(db)
    report = custom_reports.draft("tabulations", groups=by)
    for key in (base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("="), str(values)):
        try:
            found = await custom_reports.drill(db, boss, report, Asked(), key, limit=1)
        except Refused as refused:
            assert refused.code == "not_found"
        else:
            assert len(found.rows) <= 1


async def test_orders_that_do_not_exist_are_passed_over(db):
    _, boss = await history(db)
    report = custom_reports.draft("tabulations", columns=("agent",), order="agent")
    expected = await custom_reports.run(db, boss, report, Asked())
    for order in ("nothing", "--agent", "1; DROP TABLE call", "\x00", "count"):
        assert await custom_reports.run(db, boss, report, Asked(), order=order) == expected
    by = custom_reports.draft("tabulations", groups=("agent",), measures=("count",), order="-count")
    counts = [row["count"] for row in (await custom_reports.run(db, boss, by, Asked(), order="x")).rows]
    assert counts == sorted(counts, reverse=True)


# -- Asked for when it is opened ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "values", "holds"),
    [
        ("answer.motivo", ("Prazo", "Preço"), lambda v: v in ("Prazo", "Preço")),
        ("answer.motivo", ("",), lambda v: True),
        ("answer.valor", ("12,5",), lambda v: v == Decimal("12.5")),
        ("answer.valor", ("0", "11"), lambda v: v is not None and 0 <= v <= 11),
        ("answer.valor", ("", "0"), lambda v: v is not None and v <= 0),
        ("answer.valor", ("11", ""), lambda v: v is not None and v >= 11),
        ("answer.dia", ("2026-11-21", ""), lambda v: v is not None and v >= datetime.date(2026, 11, 21)),
        ("saved", ("", "2026-11-10"), lambda v: v.astimezone(ZONE).date() <= datetime.date(2026, 11, 10)),
        ("success", ("yes",), lambda v: v),
        ("success", ("no",), lambda v: not v),
        ("success", ("perhaps",), lambda v: True),
        ("customer", ("PESSOA 3",), lambda v: v == "Pessoa 3"),
        ("answer.fone", ("8765",), lambda v: "8765" in v),
        ("agent", (), lambda v: True),
    ],
)
async def test_what_is_asked_for_narrows_the_report(db, key, values, holds):
    raw, boss = await history(db)
    report = custom_reports.draft("tabulations", asks=(key,))
    asked = Asked(values={key: values, "group": ("1",)})  # the report does not ask for the group
    found = await custom_reports.run(db, boss, report, asked, limit=0)
    assert found.count == sum(holds(row[key]) for row in raw)


async def test_a_wrong_value_is_said_by_its_column(db):
    _, boss = await history(db)
    report = custom_reports.draft("tabulations", asks=("answer.valor", "answer.dia", "agent"))
    asked = Asked(values={"answer.valor": ("muito",), "answer.dia": ("", "amanhã"), "agent": ("1",)})
    with pytest.raises(Refused) as refused:
        await custom_reports.run(db, boss, report, asked)
    assert refused.value.details["errors"] == {
        "asked.answer.valor": "not_a_number",
        "asked.answer.dia": "not_a_date",
    }


def test_periods_are_whole_days_until_today():
    today = datetime.date(2026, 3, 1)
    days = {period: custom_reports.days_of(period, today) for period in custom_reports.PERIODS}
    assert {period: tuple(each and each.isoformat() for each in pair) for period, pair in days.items()} == {
        "today": ("2026-03-01", "2026-03-01"),
        "yesterday": ("2026-02-28", "2026-02-28"),
        "last_7": ("2026-02-23", "2026-03-01"),
        "last_30": ("2026-01-31", "2026-03-01"),
        "this_month": ("2026-03-01", "2026-03-01"),
        "last_month": ("2026-02-01", "2026-02-28"),
        "all": (None, None),
    }


# -- Time --------------------------------------------------------------------------------------------------


async def test_what_takes_too_long_is_refused_and_the_connection_serves_the_next(db):
    _, boss = await history(db)
    await custom_reports.preview(db, boss, custom_reports.draft("tabulations", groups=("agent",)))
    report = custom_reports.draft("tabulations", groups=("agent",))
    made = await custom_report_asking.ready(db, boss, report)
    about = custom_report_asking.asking(made, Asked())
    about.conditions.append("pg_sleep(1) IS NOT NULL")
    with pytest.raises(Refused) as refused:
        await custom_report_asking.grouped(db, made, about, 10, 0, seconds=0.05)
    assert refused.value.code == "too_slow"
    assert (await custom_reports.run(db, boss, report, Asked())).totals["count"] == 160


async def test_a_report_waits_for_its_turn_and_not_for_ever(db):
    _, boss = await history(db)
    report = custom_reports.draft("tabulations", groups=("agent",))
    made = await custom_report_asking.ready(db, boss, report)
    about = custom_report_asking.asking(made, Asked())
    async with AsyncExitStack() as others:
        for _ in range(custom_report_asking.AT_ONCE):
            await others.enter_async_context(custom_report_asking.in_turn(db, 20))
        with pytest.raises(Refused) as refused:
            await custom_report_asking.grouped(db, made, about, 10, 0, seconds=0.05)
        assert refused.value.code == "too_slow"
        waiting = asyncio.ensure_future(custom_reports.run(db, boss, report, Asked()))
        await asyncio.sleep(0)
        assert not waiting.done()
    assert (await waiting).totals["count"] == 160


async def test_rows_that_cannot_be_counted_in_time_are_guessed(db):
    _, boss = await history(db)
    report = custom_reports.draft("tabulations")
    made = await custom_report_asking.ready(db, boss, report)
    about = custom_report_asking.asking(made, Asked())
    about.conditions.append("pg_sleep(0.05) IS NOT NULL")
    async with custom_report_asking.one_moment(db, 20) as connection:
        number, exact = await custom_report_asking.counted(connection, about, 0.1)
        assert not exact and number > 0
        assert await connection.fetchval("SELECT 1") == 1  # the transaction goes on


async def test_a_preview_shows_the_first_rows_and_the_errors_of_the_tree(db):
    raw, boss = await history(db)
    shown = await custom_reports.preview(db, boss, custom_reports.draft("tabulations", period="all"))
    assert len(shown.rows) == 10 and shown.count == len(raw)
    unfinished = custom_reports.draft("tabulations", columns=("", "agent"), groups=("nothing",), period="all")
    assert (await custom_reports.preview(db, boss, unfinished)).missing == ("", "nothing")
    with pytest.raises(Refused) as refused:
        await custom_reports.preview(
            db, boss, custom_reports.draft("tabulations", tree={"all": [{"field": "x", "test": "is"}]})
        )
    assert refused.value.details["errors"] == {"tree.0.field": "not_a_field"}


async def test_reports_that_stream_do_not_see_what_is_written_meanwhile(fresh_db):
    boss, _ = await minimal(fresh_db, *[datetime.datetime.now(UTC)] * 5)
    report = custom_reports.draft("tabulations")
    rows = custom_reports.stream(fresh_db, boss, report, Asked(), rows_at_once=1)
    seen = [await anext(rows)]
    await fresh_db.execute("DELETE FROM tabulation")
    assert len(seen + [row async for row in rows]) == 5


class Sent:
    """A custom report as a file, for a schedule's letter."""

    kind = "custom"

    def __init__(self, by, report, asked):
        self.by, self.report, self.wanted = by, report, asked

    def asked(self):
        return {}

    async def count(self, db):
        return (await custom_reports.run(db, self.by, self.report, self.wanted, limit=0)).count

    async def titles(self, db):
        return list(await custom_reports.shown_columns(db, self.by, self.report))

    async def rows(self, db):
        async for row in custom_reports.stream(db, self.by, self.report, self.wanted):
            yield [row[key] for key in await self.titles(db)]


async def test_a_shared_report_goes_out_by_e_mail_until_it_is_shared_no_more(fresh_db, tmp_path):
    now = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday, nine o'clock
    boss, _ = await minimal(fresh_db, now - datetime.timedelta(days=1), now, note="=1+1")
    other = await users.create(
        fresh_db, None, login="o", name="O", role=Role.AUDITOR, password=campaigning.PASSWORD
    )
    facts = {"name": "Notas", "subject": "tabulations", "columns": ["answer.note", "agent"], "period": "all"}
    made = await custom_reports.create(fresh_db, boss, shared=True, **facts)
    values = {
        "report": f"custom:{made.id}",
        "name": "Ontem",
        "recipients": "a@b.example",
        "format": "csv",
        "every": "day",
        "at": "09:30",
    }
    await schedules.create(fresh_db, other, values, [], now)

    async def write(schedule, owner, start, end):
        report = await custom_reports.by_id(fresh_db, owner, int(schedule.report.removeprefix("custom:")))
        return schedules.Letter(Sent(owner, report, Asked(start, end)), report.name, "", "ontem.csv")

    runner = schedules.Schedules(fresh_db, tmp_path, write)
    day = datetime.timedelta(days=1)
    assert await runner.send_due(now + day / 24) == 1
    (file,) = (tmp_path / "outbox").iterdir()
    assert file.read_text(encoding="utf-8-sig").splitlines() == ["answer.note;agent", f"'=1+1;{boss.id}"]
    await custom_reports.update(fresh_db, boss, made.id, shared=False)
    assert await runner.send_due(now + 2 * day) == 0
    (schedule,) = await schedules.all(fresh_db, other)
    assert schedule.last_error == "There is no such {what}." and schedule.active
