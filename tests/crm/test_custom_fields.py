"""Custom fields: answers in one form, wrong ones named, fields added, put in order and put away."""

import pytest

from crm import audit, contacts, custom_fields, users
from crm.custom_fields import CustomField, answers
from crm.form import Kind
from crm.refused import Refused
from crm.users import Role


def field(kind, required=False, options=()):
    return CustomField(1, "f", "F", Kind(kind), options, required, 0, True)


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        ("text", "  olá ", {"f": "olá"}),
        ("text", "", {}),
        ("number", "1.234,5", "not_a_number"),
        ("number", "12,50", {"f": "12.5"}),
        ("number", "-0,0", {"f": "0"}),
        ("number", "1000", {"f": "1000"}),
        ("number", 7, {"f": "7"}),
        ("number", "7 reais", "not_a_number"),
        ("date", "2026-02-28", {"f": "2026-02-28"}),
        ("date", "2026-02-30", "not_a_date"),
        ("phone", "98765-4321", {"f": "+5521987654321"}),
        ("phone", "later", "not_a_phone"),
        ("choice", "ouro", {"f": "ouro"}),
        ("choice", "lata", "not_an_option"),
        ("checkbox", "on", {"f": "1"}),
        ("checkbox", "0", {}),
        ("text", "x" * 201, "too_long"),
        ("text", "a\x00b", "not_allowed_characters"),
    ],
)
def test_an_answer_is_kept_in_one_form_or_named_as_wrong(kind, given, kept):
    asked = field(kind, options=("ouro", "prata"))
    result = answers([asked], {"f": given}, "21")
    assert result == ((kept, {}) if isinstance(kept, dict) else ({}, {"f": kept}))


def test_what_is_required_and_what_nobody_asks():
    assert answers([field("text", required=True)], {"g": "x"}) == (
        {}, {"g": "unknown_field", "f": "required"},
    )  # fmt: skip


@pytest.fixture
async def ana(fresh_db):
    return await users.create(
        fresh_db, None, login="ana", name="Ana", role=Role.AGENT, password="correct horse battery"
    )


async def test_a_field_is_asked_answered_and_put_away_and_its_answers_stay(fresh_db, ana):
    made = await custom_fields.create(fresh_db, None, key="renda", label="Renda", kind="number", required="1")
    with pytest.raises(Refused) as refused:
        await contacts.create(fresh_db, ana, "Maria", custom={})
    assert refused.value.details["errors"] == {"custom.renda": "required"}
    maria = await contacts.create(fresh_db, ana, "Maria", custom={"renda": "1500,00"})
    assert maria.custom == {"renda": "1500"}
    await custom_fields.remove(fresh_db, None, made.id)
    assert await custom_fields.all(fresh_db) == []
    assert (await contacts.update(fresh_db, ana, maria.id, custom={})).custom == {"renda": "1500"}
    back = await custom_fields.create(fresh_db, None, key="renda", label="Renda mensal", kind="number")
    assert (back.id, back.label, back.active) == (made.id, "Renda mensal", True)


async def test_a_call_makes_a_contact_without_answers_that_are_required_on_the_page(fresh_db, ana):
    await custom_fields.create(fresh_db, None, key="renda", label="Renda", kind="number", required="1")
    assert (await contacts.create(fresh_db, ana, "Maria", ["98765-4321"])).custom == {}


async def test_key_and_kind_stay_when_a_field_is_changed(fresh_db):
    made = await custom_fields.create(
        fresh_db, None, key="plano", label="Plano", kind="choice", options="a\nb"
    )
    changed = await custom_fields.update(
        fresh_db, None, made.id, key="other", kind="text", label="Planos", options="b\nc\nb\n"
    )
    assert (changed.key, changed.kind, changed.options) == ("plano", Kind.CHOICE, ("b", "c"))
    told = (await audit.recent(fresh_db))[0]
    assert told.before == {"label": "Plano", "options": ["a", "b"]}


async def test_fields_are_asked_in_the_order_they_were_put(fresh_db):
    made = [
        await custom_fields.create(fresh_db, None, key=key, label=key, kind="text", position=n)
        for n, key in enumerate("abc")
    ]
    await custom_fields.put_in_order(fresh_db, None, [made[2].id, made[0].id, made[1].id])
    assert [f.key for f in await custom_fields.all(fresh_db)] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("facts", "wrong"),
    [
        ({"key": "Renda"}, {"key": "not_allowed_characters"}),
        ({"key": "a'--"}, {"key": "not_allowed_characters"}),
        ({"key": "taken"}, {"key": "taken"}),
        ({"label": ""}, {"label": "required"}),
        ({"kind": "motive"}, {"kind": "not_an_option"}),
        ({"kind": "choice", "options": " \n"}, {"options": "required"}),
    ],
)
async def test_a_wrong_field_is_refused(fresh_db, facts, wrong):
    await custom_fields.create(fresh_db, None, key="taken", label="T", kind="text")
    with pytest.raises(Refused) as refused:
        await custom_fields.create(fresh_db, None, **({"key": "k", "label": "L", "kind": "text"} | facts))
    assert refused.value.details["errors"] == wrong


async def test_only_an_administrator_adds_fields(fresh_db, ana):
    with pytest.raises(Refused, match="administer"):
        await custom_fields.create(fresh_db, ana, key="k", label="L", kind="text")
