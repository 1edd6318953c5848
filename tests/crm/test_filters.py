"""Filters: any tree gives valid SQL with the same answer as reading the customers one by one."""

import datetime
import random
import re
import unicodedata
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm import audit, blocklist, contacts, custom_fields, filters, form, layouts, users
from crm.calls import ZONE
from crm.e164 import normalise
from crm.filters import AREA_CODES_OF, SEVERAL, TESTS, TWO, WITHOUT_VALUE, Sort
from crm.refused import Refused
from crm.users import Role

TODAY = datetime.datetime.now(ZONE).date()
WORDS = ["", "São Paulo", "sao", "PAULO", "João da Silva", "Maria", "O'Neil; --", "100%", "a_b", "\\", "Ação"]
NUMBERS = ["0", "5", "-3.5", "12.25", "1000000", "7"]
DAYS = [(TODAY + datetime.timedelta(days=n)).isoformat() for n in (-400, -30, -1, 0, 1, 45)]
PHONES = ["+5511987654321", "+551133334444", "+5521912345678", "+5585988887777", "+12025550123", "190"]
OPTIONS = ("ouro", "prata", "bronze")
CUSTOM = [
    ("apelido", "text"), ("renda", "number"), ("nascimento", "date"), ("recado", "phone"),
    ("plano", "choice"), ("vip", "checkbox"),
]  # fmt: skip

SLOW = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)  # two shared processors


@pytest.fixture
async def ana(fresh_db):
    return await users.create(
        fresh_db, None, login="ana", name="Ana", role=Role.SUPERVISOR, password="correct horse battery"
    )


# -- The plain reading -----------------------------------------------------------------------------------


def fold(text):
    parts = unicodedata.normalize("NFKD", text)
    return "".join(c for c in parts if not unicodedata.combining(c)).lower()


def facts_of(contact, created, blocked):
    """Field key → its values, as a person reading the contact's page would list them."""
    custom = contact.custom
    return {
        "name": [contact.name],
        "kind": [str(contact.kind)],
        "company": [contact.company],
        "document": [re.sub(r"[./\s-]", "", contact.document).upper()],
        "external_code": [contact.external_code],
        "notes": [contact.notes],
        "email": [e for e in (contact.email, *contact.emails) if e],
        "phone": list(contact.phones),
        "phones": [str(len(contact.phones))],
        "city": [a.city for a in contact.addresses if a.city],
        "district": [a.district for a in contact.addresses if a.district],
        "state": [a.state for a in contact.addresses if a.state],
        "postal_code": [a.postal_code for a in contact.addresses if a.postal_code],
        "person_type": [p.type for p in contact.people],
        "person_name": [p.name for p in contact.people],
        "created": [created],
        "updated": [created],
        "last_call": [],
        "calls": ["0"],
        "category": [],
        "campaign": [],
        "concluded": [],
        "ticket_status": [],
        "open_ticket": [False],
        "blocked": [blocked],
        "custom.apelido": [custom.get("apelido", "")],
        "custom.renda": [custom["renda"]] if "renda" in custom else [],
        "custom.nascimento": [custom["nascimento"]] if "nascimento" in custom else [],
        "custom.recado": [custom["recado"]] if "recado" in custom else [],
        "custom.plano": [custom.get("plano", "")],
        "custom.vip": [custom.get("vip") == "1"],
    }


def area_of(number):
    rest = number.removeprefix("+55")
    ok = number.startswith("+55") and len(rest) in (10, 11) and rest[2] in "23456789"
    return rest[:2] if ok else None


def met(sort, key, test, value, v):
    from decimal import Decimal

    as_written = key in ("document", "external_code", "postal_code")
    norm = (lambda x: x) if as_written else fold
    if sort is Sort.TEXT:
        return {
            "contains": lambda: norm(value) in norm(v),
            "is": lambda: norm(value) == norm(v),
            "begins": lambda: norm(v).startswith(norm(value)),
            "one_of": lambda: norm(v) in [norm(each) for each in value],
        }[test]()
    if sort is Sort.NUMBER:
        n = Decimal(v)
        return {
            "equals": lambda: n == Decimal(value),
            "less": lambda: n < Decimal(value),
            "more": lambda: n > Decimal(value),
            "between": lambda: Decimal(value[0]) <= n <= Decimal(value[1]),
        }[test]()
    if sort is Sort.DATE:
        day = datetime.date.fromisoformat(v)
        iso = datetime.date.fromisoformat
        return {
            "on": lambda: day == iso(value),
            "before": lambda: day < iso(value),
            "after": lambda: day > iso(value),
            "between": lambda: iso(value[0]) <= day <= iso(value[1]),
            "last_days": lambda: 0 <= (TODAY - day).days <= int(value),
            "next_days": lambda: 0 <= (day - TODAY).days <= int(value),
        }[test]()
    if sort is Sort.PHONE:
        return {
            "contains": lambda: value in v,
            "is": lambda: v == value,
            "area_code": lambda: area_of(v) in value,
            "state": lambda: any(area_of(v) in AREA_CODES_OF[state].split() for state in value),
            "mobile": lambda: area_of(v) is not None and len(v) == 14 and v[5] == "9",
        }[test]()
    return v in value


OPPOSITE = {
    "not_contains": "contains", "is_not": "is", "differs": "equals", "not_area_code": "area_code",
    "none_of": "one_of",
}  # fmt: skip


def holds(tree, facts, fields):
    match tree:
        case {"all": nodes}:
            return all(holds(each, facts, fields) for each in nodes)
        case {"any": nodes}:
            return any(holds(each, facts, fields) for each in nodes) or not nodes
        case {"not": inner}:
            return not holds(inner, facts, fields)
    key, test, value = tree["field"], tree["test"], tree.get("value")
    sort, values = fields[key].sort, facts[key]
    if sort is Sort.YES_NO:
        return values[0] is (test == "yes")
    if test in ("empty", "filled"):
        return any(v != "" for v in values) is (test == "filled")
    if test in OPPOSITE:
        return not any(met(sort, key, OPPOSITE[test], value, v) for v in values)
    return any(met(sort, key, test, value, v) for v in values)


# -- Random customers and trees ----------------------------------------------------------------------------


async def population(db):
    """Fifty customers with every kind of value, also those nobody typed into a form."""
    if "population" in db.remembered:
        return db.remembered["population"]
    ready = await custom_fields.ever(db)
    for key, kind in () if ready else CUSTOM:
        await custom_fields.create(
            db, None, key=key, label=key, kind=kind, options=OPTIONS if kind == "choice" else ()
        )
    chance = random.Random(20261121)

    def some(pool, most=2):
        return chance.sample(pool, chance.randint(0, most))

    found = {}
    if not ready:
        await blocklist.block(db, None, PHONES[0], reason="asked")
    for n in range(0 if ready else 50):
        company = chance.random() < 0.4
        custom = {
            "apelido": chance.choice(WORDS), "renda": chance.choice(["", *NUMBERS]),
            "nascimento": chance.choice(["", *DAYS]), "recado": chance.choice(["", *PHONES[:5]]),
            "plano": chance.choice(["", *OPTIONS]), "vip": chance.choice(["", "1"]),
        }  # fmt: skip
        await contacts.create(
            db, None, chance.choice(WORDS[1:]), some(PHONES, 3), chance.choice(WORDS),
            chance.choice(["", "52998224725", "RG 1"]), chance.choice(["", "a@b.example", "Ção@x.example"]),
            chance.choice(WORDS), kind="company" if company else "person",
            external_code=chance.choice(["", "X1", f"C{n}"]),
            emails=some(["z@b.example", "w@y.example"]),
            addresses=[
                {"city": chance.choice(WORDS), "district": chance.choice(WORDS),
                 "state": chance.choice(["", "SP", "CE"]), "postal_code": chance.choice(["", "01310100"])}
                for _ in range(chance.randint(0, 2))
            ],
            people=[{"name": chance.choice(WORDS[1:]), "type": t} for t in some(["main", "Compras", "TI"])],
            custom=custom,
        )  # fmt: skip
    rows = await db.fetch("SELECT id, created FROM contact ORDER BY id")
    for row in rows if not ready else ():
        created = row["created"] - datetime.timedelta(days=chance.choice([0, 0, 1, 30, 400]))
        await db.execute("UPDATE contact SET created = $2, updated = $2 WHERE id = $1", row["id"], created)
    for row in await db.fetch("SELECT id, created FROM contact ORDER BY id"):
        contact = await contacts.by_id(db, row["id"])
        day = row["created"].astimezone(ZONE).date().isoformat()
        found[contact.id] = facts_of(contact, day, PHONES[0] in contact.phones)
    db.remembered["population"] = found
    return found


KNOWN = filters.known(
    [
        custom_fields.CustomField(
            n, key, key, custom_fields.Kind(kind), OPTIONS if kind == "choice" else (), False, n, True
        )
        for n, (key, kind) in enumerate(CUSTOM)
    ]
)


@st.composite
def leaves(draw):
    field = draw(st.sampled_from(sorted(KNOWN)))
    sort = KNOWN[field].sort
    test = draw(st.sampled_from(TESTS[sort]))
    if test in WITHOUT_VALUE:
        return {"field": field, "test": test}
    if test in ("last_days", "next_days"):
        one = st.sampled_from(["0", "1", "30", "36500"])
    elif test == "state" and sort is Sort.PHONE:
        one = st.sampled_from(["SP", "RJ", "CE"])
    elif "area_code" in test:
        one = st.sampled_from(["11", "21", "85", "99"])
    else:
        one = {
            Sort.TEXT: st.sampled_from(
                [*WORDS[1:], "529.982.247-25", "rg-1", "X1", "01310100", "main", "a", "@"]
            ),
            Sort.NUMBER: st.sampled_from([*NUMBERS, "2"]),
            Sort.DATE: st.sampled_from([*DAYS, "0001-01-01", "9999-12-31"]),
            Sort.PHONE: st.sampled_from([*PHONES] if test == "is" else ["11", "9876", "190"]),
            Sort.CHOICE: st.sampled_from([*OPTIONS, "person", "company", "SP", "success", "1"]),
        }[sort]
    if test in TWO:
        return {"field": field, "test": test, "value": [draw(one), draw(one)]}
    if test in SEVERAL:
        return {"field": field, "test": test, "value": draw(st.lists(one, min_size=1, max_size=3))}
    return {"field": field, "test": test, "value": draw(one)}


trees = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None, suppress_health_check=SLOW)
@given(tree=trees)
async def test_any_tree_finds_whom_a_plain_reading_finds(db, tree):
    people = await population(db)
    condition, values = filters.sql(tree, await filters.fields(db))
    found = await db.fetch(f"SELECT contact.id FROM contact WHERE {condition}", *values)
    one_form = filters.checked(tree, KNOWN)
    assert {row["id"] for row in found} == {
        contact_id for contact_id, facts in people.items() if holds(one_form, facts, KNOWN)
    }


@pytest.mark.parametrize("field", sorted(KNOWN))
async def test_every_test_of_every_field_is_valid_sql(db, field):
    await population(db)
    for test in TESTS[KNOWN[field].sort]:
        value = {"state": ["SP"], "area_code": ["11"], "not_area_code": ["11"], "between": ["1", "2"]}.get(
            test, "1"
        )
        if KNOWN[field].sort is Sort.DATE and "days" not in test:
            value = [DAYS[0], DAYS[1]] if test == "between" else DAYS[0]
        elif KNOWN[field].sort is Sort.PHONE and test == "is":
            value = PHONES[0]
        counted = await filters.count(db, {"all": [{"field": field, "test": test, "value": value}]})
        assert counted.exact


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.sampled_from(["all", "any", "not", "field", "test", "value"]), st.text(max_size=5)),
            st.one_of(inner, st.sampled_from(["name", "is", "contains", "custom.x' OR '1'='1", "phone"])),
            max_size=4,
        ),
    ),
    max_leaves=15,
)


@settings(max_examples=400, deadline=None, suppress_health_check=SLOW)
@given(tree=junk)
async def test_whatever_is_sent_is_refused_or_harmless_sql(db, tree):
    await population(db)
    try:
        condition, values = filters.sql(tree, KNOWN)
    except Refused as refused:
        assert refused.code == "form" and all(key.startswith("tree") for key in refused.details["errors"])
        return
    await db.fetch(f"SELECT contact.id FROM contact WHERE {condition}", *values)


@settings(max_examples=200, deadline=None, suppress_health_check=SLOW)
@given(text=st.text(min_size=1, max_size=40))
async def test_no_value_ever_becomes_sql(db, text):
    await population(db)
    tree = {
        "any": [
            {"field": f, "test": t, "value": text}
            for f in ("name", "email", "document")
            for t in ("is", "contains")
        ]
    }
    try:
        condition, values = filters.sql(tree, KNOWN)
    except Refused:
        return
    assert condition == filters.sql({"any": [{**leaf, "value": "x"} for leaf in tree["any"]]}, KNOWN)[0]
    await db.fetch(f"SELECT contact.id FROM contact WHERE {condition}", *values)


# -- By hand -----------------------------------------------------------------------------------------------


def leaf(field, test, value=None):
    return {"field": field, "test": test, "value": value}


@pytest.mark.parametrize(
    ("tree", "where", "wrong"),
    [
        ({"all": [leaf("nothing", "is", "x")]}, "tree.0.field", "not_a_field"),
        ({"all": [leaf("name; DROP TABLE contact", "is", "x")]}, "tree.0.field", "not_a_field"),
        ({"all": [leaf("name", "mobile")]}, "tree.0.test", "not_an_option"),
        ({"all": [leaf("name", "is", "")]}, "tree.0.value", "required"),
        ({"all": [leaf("name", "is", {"a": 1})]}, "tree.0.value", "required"),
        ({"all": [leaf("name", "is", "x" * 201)]}, "tree.0.value", "too_long"),
        ({"all": [leaf("name", "is", "\x00")]}, "tree.0.value", "not_allowed_characters"),
        ({"all": [leaf("phones", "less", "NaN")]}, "tree.0.value", "not_a_number"),
        ({"all": [leaf("phones", "less", "1e400")]}, "tree.0.value", "not_a_number"),
        ({"all": [leaf("phones", "between", ["1"])]}, "tree.0.value", "required"),
        ({"all": [leaf("created", "before", "31/12/2026")]}, "tree.0.value", "not_a_date"),
        ({"all": [leaf("created", "last_days", "-1")]}, "tree.0.value", "not_a_number"),
        ({"all": [leaf("phone", "is", "later")]}, "tree.0.value", "not_a_phone"),
        ({"all": [leaf("phone", "state", ["XX"])]}, "tree.0.value", "not_an_option"),
        ({"all": [leaf("name", "one_of", ["x"] * 1001)]}, "tree.0.value", "too_long"),
        ({"all": [{"any": []}]}, "tree.0", "required"),
        ({"all": [{"not": {"any": [leaf("name", "is")]}}]}, "tree.0.not.0.value", "required"),
        ({"all": [leaf("name", "filled")] * 101}, "tree", "too_long"),
        ("everybody", "tree", "not_a_field"),
        ({"all": [], "any": []}, "tree", "not_a_field"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where_it_is(tree, where, wrong):
    with pytest.raises(Refused) as refused:
        filters.sql(tree)
    assert refused.value.details["errors"] == {where: wrong}


def test_a_tree_too_deep_is_refused():
    tree = leaf("name", "filled")
    for _ in range(400):
        tree = {"not": tree}
    with pytest.raises(Refused):
        filters.sql(tree)


def test_arguments_are_numbered_after_those_of_the_query_around():
    condition, values = filters.sql({"all": [leaf("name", "is", "x"), leaf("phone", "mobile")]}, first=4)
    assert "$4" in condition and "$1" not in condition and values == ["x"]


async def test_the_root_may_be_empty_and_finds_everybody(fresh_db, ana):
    await contacts.create(fresh_db, ana, "Maria")
    assert await filters.count(fresh_db, {"all": []}) == filters.Count(1, True)
    assert [c.name for c in await filters.sample(fresh_db, {"any": []})] == ["Maria"]


async def test_a_sample_is_of_twenty_and_one_customer_can_be_asked_about(fresh_db, ana):
    made = [await contacts.create(fresh_db, ana, f"Maria {n}") for n in range(25)]
    tree = {"all": [leaf("name", "begins", "MARÍA")]}
    assert [c.id for c in await filters.sample(fresh_db, tree)] == [c.id for c in made[:20]]
    assert (await filters.count(fresh_db, tree)).number == 25
    assert await filters.matches(fresh_db, tree, made[0].id)
    assert not await filters.matches(fresh_db, {"not": tree}, made[0].id)


async def test_a_count_that_takes_too_long_becomes_an_estimate(fresh_db, ana, monkeypatch):
    monkeypatch.setattr(filters, "GUESS_SECONDS", 60)
    await fresh_db.execute(
        "INSERT INTO contact (name) SELECT 'Cliente ' || n FROM generate_series(1, 60000) AS n"
    )
    tree = {"all": [leaf("name", "contains", "cliente")]}
    assert (await filters.count(fresh_db, tree, seconds=0.002)).number == 60_000  # before any statistics
    await fresh_db.execute("ANALYZE contact")
    tree = {"all": [leaf("name", "contains", "cliente")] * 20}
    guess = await filters.count(fresh_db, tree, seconds=0.002)
    assert guess == filters.Count(60_000, False, 57_000, 60_000)
    every_third = {"all": [leaf("name", "contains", "3"), *tree["all"]]}
    guess = await filters.count(fresh_db, every_third, seconds=0.002)
    exact = await filters.count(fresh_db, every_third, seconds=60)
    assert not guess.exact and exact.exact and 0.8 < guess.number / exact.number < 1.2
    assert guess.least <= exact.number <= guess.most
    assert await filters.sample(fresh_db, {"not": tree}, seconds=0.002) is None


@pytest.mark.parametrize("share", [0.5, 0.01, 0.001, 0.0001, 0])
def test_an_estimate_says_within_what_the_truth_is(share):
    chance = random.Random(7)
    right = 0
    for _ in range(200):
        found = sum(chance.random() < share for _ in range(10_000)) if share else 0
        guess = filters.reckoned(found, 10_000, 1_000_000, 3)
        assert guess.least <= guess.number <= guess.most <= 1_000_000
        right += guess.least <= share * 1_000_000 <= guess.most
    assert right >= 190


def test_where_nothing_could_be_asked_the_estimate_is_the_databases():
    assert filters.reckoned(0, 0, 1000, 70) == filters.Count(70, False, 0, 1000)
    assert filters.reckoned(0, 10_000, 1_000_000, 5000) == filters.Count(900, False, 0, 900)


async def test_a_filter_is_saved_changed_and_removed_with_its_changes_in_the_audit(fresh_db, ana):
    made = await filters.create(
        fresh_db, ana, name="Paulistas", tree={"all": [leaf("phone", "state", ["SP"])]}
    )
    changed = await filters.update(fresh_db, ana, made.id, name="De São Paulo")
    assert changed.tree == made.tree and changed.owner == ana.id and changed.owner_name == "Ana"
    assert [f.name for f in await filters.all(fresh_db)] == ["De São Paulo"]
    with pytest.raises(Refused) as refused:
        await filters.create(fresh_db, ana, name="De São Paulo", tree={"all": []})
    assert refused.value.details["errors"] == {"name": "taken"}
    await filters.remove(fresh_db, ana, made.id)
    assert await filters.all(fresh_db) == []
    assert [e.action for e in await audit.recent(fresh_db, action="filter")] == [
        "filter.remove", "filter.update", "filter.create",
    ]  # fmt: skip


async def test_a_filter_a_campaign_uses_stays(fresh_db, ana):
    made = await filters.create(fresh_db, ana, name="Todos", tree={"all": []})
    await fresh_db.execute("INSERT INTO campaign (name, filter_id, hours) VALUES ('C', $1, '{}')", made.id)
    with pytest.raises(Refused) as refused:
        await filters.remove(fresh_db, ana, made.id)
    assert refused.value.details["errors"] == {"campaign": "in_use"}


async def test_agents_do_not_make_filters(fresh_db, ana):
    agent = await users.create(
        fresh_db, None, login="b", name="B", role=Role.AGENT, password="correct horse battery"
    )
    with pytest.raises(Refused, match="run_campaigns"):
        await filters.create(fresh_db, agent, name="x", tree={"all": []})


async def test_a_filter_outlives_the_custom_field_it_asks_about(fresh_db, ana):
    field = await custom_fields.create(
        fresh_db, None, key="plano", label="Plano", kind="choice", options="ouro"
    )
    await contacts.create(fresh_db, ana, "Maria", custom={"plano": "ouro"})
    made = await filters.create(
        fresh_db, ana, name="Ouro", tree={"all": [leaf("custom.plano", "one_of", ["ouro"])]}
    )
    await custom_fields.remove(fresh_db, None, field.id)
    assert (await filters.count(fresh_db, made.tree)).number == 1


# -- Answers of forms --------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None, suppress_health_check=SLOW)
@given(
    text=st.one_of(
        st.from_regex(r"[+-]?[0-9]{1,32}([.,][0-9]{0,22})?", fullmatch=True),
        st.from_regex(r"[0-9]{4}-[0-3][0-9]-[0-3][0-9]", fullmatch=True),
        st.dates().map(str),
        st.text(max_size=20).filter(filters.writable),
    )
)
async def test_a_text_is_read_as_the_number_or_the_day_it_is_written_as_and_never_stops_a_query(db, text):
    number, day = await db.fetchrow("SELECT f_number($1), f_day($1)", text)
    written = re.fullmatch(r"[+-]?[0-9]{1,30}([.,][0-9]{1,20})?", text)
    assert number == (Decimal(text.replace(",", ".")) if written else None)
    assert day == (datetime.date.fromisoformat(text) if filters.is_day(text) else None)


@pytest.mark.parametrize(
    "text",
    ["(11) 98765-4321", "11 3333-4444", "011 3333-4444", "11 8765-4321", "+55 11 98765 4321", "5511987654321",
     "+1 202 555 0123", "190", "0 21 2345-6789", "(55) 98765-4321", "55 3333-4444"],
)  # fmt: skip
async def test_a_telephone_is_read_as_the_product_reads_it(db, text):
    assert await db.fetchval("SELECT f_phone($1)", text) == normalise(text, "11")


def field(key, kind, *options, label=""):
    return form.Field(key, label or key, form.Kind(kind), options=options)


def test_fields_of_the_same_key_are_one():
    merged = filters.merged(
        [
            field("why", "motive", "price", "time", label="Why"),
            field("note", "text", label="Note"),
            field("much", "number"),
            field("why", "choice", "time", "other", label="Reason"),
            field("note", "long_text"),
            field("much", "date"),
        ]
    )
    assert merged == [
        field("why", "motive", "price", "time", "other", label="Why"),
        field("note", "text", label="Note"),
        field("much", "text"),
    ]


async def test_customers_are_found_by_what_they_answered_in_any_form_that_was_saved(fresh_db, ana):
    fields = [
        {"key": "plan", "label": "Plan", "kind": "motive", "options": ["gold", "iron"]},
        {"key": "paid", "label": "Paid", "kind": "number"},
        {"key": "due", "label": "Due", "kind": "date"},
        {"key": "phone", "label": "Other telephone", "kind": "phone"},
        {"key": "agreed", "label": "Agreed", "kind": "checkbox"},
        {"key": "said", "label": "Said", "kind": "long_text"},
    ]
    kind = await layouts.create_type(fresh_db, None, name="Sale")
    category = await layouts.create_category(fresh_db, None, kind.id, name="Won", success=True)
    layout = await layouts.create(fresh_db, None, name="sales", label="Sales", fields=fields, types=[kind.id])
    names = ("Ana", "Bia", "Caio", "Davi")
    people = [(await contacts.create(fresh_db, ana, name)).id for name in names]
    answered = [
        (
            0,
            True,
            {"plan": "gold", "paid": "12,50", "due": "2026-11-21", "agreed": "on", "said": "Até amanhã"},
        ),
        (0, True, {"plan": "iron", "paid": "a lot", "due": "2026-02-31", "phone": "(11) 98765-4321"}),
        (1, True, {"plan": "iron", "paid": "100", "agreed": "0"}),
        (2, False, {"plan": "gold", "paid": "100", "agreed": "1", "said": "amanhã"}),  # a draft
    ]
    for who, saved, answers in answered:
        await fresh_db.execute(
            "INSERT INTO tabulation (call_id, user_id, layout_id, contact_id, category_id, answers, drafted,"
            " saved) VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, now(), CASE WHEN $6 THEN now() END)",
            ana.id, layout.id, people[who], category.id, answers, saved,
        )  # fmt: skip
    known = await filters.fields(fresh_db)
    assert known["answer.plan"].options == (("gold", "gold"), ("iron", "iron"))
    assert {key for key in known if key.startswith("answer.")} == {"answer." + each["key"] for each in fields}
    for tree, found in [
        (leaf("answer.plan", "one_of", ["gold"]), "Ana"),
        (leaf("answer.plan", "none_of", ["gold"]), "Bia Caio Davi"),
        (leaf("answer.plan", "empty"), "Caio Davi"),
        (leaf("answer.paid", "between", ["12,5", "99"]), "Ana"),
        (leaf("answer.paid", "more", "99"), "Bia"),
        (leaf("answer.paid", "filled"), "Ana Bia"),
        (leaf("answer.due", "before", "2027-01-01"), "Ana"),
        (leaf("answer.due", "empty"), "Bia Caio Davi"),
        (leaf("answer.phone", "is", "11 98765-4321"), "Ana"),
        (leaf("answer.phone", "area_code", ["21"]), ""),
        (leaf("answer.agreed", "yes"), "Ana"),
        (leaf("answer.agreed", "no"), "Bia Caio Davi"),
        (leaf("answer.said", "contains", "AMANHA"), "Ana"),
        ({"not": leaf("answer.said", "contains", "amanhã")}, "Bia Caio Davi"),
    ]:
        shown = await filters.sample(fresh_db, {"all": [tree]})
        assert " ".join(each.name for each in shown) == found, tree
