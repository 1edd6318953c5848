"""Scripts: steps and choices kept as written, merge fields, and what is wrong named at its place."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm import scripts, users
from crm.contacts import Contact, ContactKind
from crm.refused import Refused
from crm.scripts import merge, unknown_fields, unreachable
from crm.users import Role

MORNING = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.UTC)  # nine in São Paulo
MARIA = Contact(
    7, "Maria das Dores", "Padaria São Jorge", "52998224725", "m@x.example", "", ("+5511987654321",),
    external_code="A-7", custom={"plano": "ouro"},
)  # fmt: skip
STEPS = [
    {
        "ref": "a",
        "title": "Abertura",
        "text": "{{saudacao}}, {{ primeiro_nome }}!",
        "fields": ["motivo"],
        "choices": [{"label": "É ela", "next": "b"}, {"label": "Não está", "next": ""}],
    },
    {"ref": "b", "title": "Oferta", "text": "", "choices": [{"label": "De novo", "next": "a"}]},
]


@pytest.fixture
async def ana(fresh_db):
    return await users.create(
        fresh_db, None, login="ana", name="Ana", role=Role.SUPERVISOR, password="correct horse battery"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Olá {{nome}}", "Olá Maria das Dores"),
        ("{{ first_name }} da {{empresa}}", "Maria da Padaria São Jorge"),
        ("{{saudacao}}, sou {{operador}}, da campanha {{campanha}}", "bom dia, sou Ana, da campanha Natal"),
        ("{{telefone}} {{cpf}} {{codigo_externo}}", "(11) 98765-4321 52998224725 A-7"),
        ("{{custom.plano}}|{{custom.outro}}", "ouro|"),
        ("{{hoje}}", "21/11/2026"),
        ("{{whatever}} {nome} {{}} {{{{", "{{whatever}} {nome} {{}} {{{{"),
    ],
)
def test_a_text_speaks_of_the_customer(text, said):
    assert merge(text, MARIA, "Natal", "Ana", MORNING) == said


def test_a_company_is_its_own_company():
    acme = Contact(8, "Acme Ltda", "", "", "", "", (), kind=ContactKind.COMPANY)
    assert merge("da {{empresa}}", acme, now=MORNING) == "da Acme Ltda"


def test_without_a_customer_the_text_stays_readable():
    assert merge("Olá {{nome}}!", None, now=MORNING) == "Olá !"


@given(st.text(max_size=200))
def test_any_text_can_be_merged(text):
    merge(text, MARIA, text, text, MORNING)


def test_what_a_customer_is_called_is_never_merged_again():
    contact = Contact(1, "{{cpf}}", "", "52998224725", "", "", ())
    assert merge("{{nome}}", contact, now=MORNING) == "{{cpf}}"


def test_fields_nobody_defined_are_named():
    text = "{{nome}} {{nomee}} {{custom.plano}} {{custom.renda}} {{nomee}}"
    assert unknown_fields(text, ["plano"]) == ["nomee", "custom.renda"]


async def test_a_script_is_kept_with_its_steps_and_loops(fresh_db, ana):
    made = await scripts.create(fresh_db, ana, name="Venda", kind="approach", steps=STEPS)
    first, second = made.steps
    assert (first.title, first.fields, second.choices[0].next_step_id) == ("Abertura", ("motivo",), first.id)
    assert [c.next_step_id for c in first.choices] == [second.id, None]
    assert await scripts.by_id(fresh_db, made.id) == made
    assert await scripts.all(fresh_db, "barrier") == [] and await scripts.all(fresh_db, "approach") == [made]
    assert unreachable(made) == []


async def test_a_step_that_stays_keeps_its_id_and_one_left_out_goes(fresh_db, ana):
    made = await scripts.create(fresh_db, ana, name="Venda", kind="approach", steps=STEPS)
    first, second = made.steps
    changed = await scripts.update(
        fresh_db,
        ana,
        made.id,
        version=1,
        steps=[
            {"ref": "new", "title": "Antes", "choices": [{"label": "Segue", "next": str(first.id)}]},
            {"ref": str(first.id), "title": "Abertura 2"},
        ],
    )
    assert [s.title for s in changed.steps] == ["Antes", "Abertura 2"]
    assert changed.steps[1].id == first.id and changed.step(second.id) is None
    assert (changed.version, changed.name) == (2, "Venda")


async def test_two_who_edit_at_once_do_not_overwrite_each_other(fresh_db, ana):
    made = await scripts.create(fresh_db, ana, name="Venda", kind="approach", steps=STEPS)
    await scripts.update(fresh_db, ana, made.id, version=1, name="Venda nova")
    with pytest.raises(Refused) as refused:
        await scripts.update(fresh_db, ana, made.id, version=1, name="Outra")
    assert refused.value.code == "changed"
    assert (await scripts.by_id(fresh_db, made.id)).name == "Venda nova"


async def test_steps_nothing_leads_to_are_named(fresh_db, ana):
    steps = [*STEPS, {"ref": "c", "title": "Perdida", "choices": [{"label": "x", "next": "a"}]}]
    made = await scripts.create(fresh_db, ana, name="Venda", kind="approach", steps=steps)
    assert [step.title for step in unreachable(made)] == ["Perdida"]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"name": ""}, {"name": "required"}),
        ({"name": "Venda"}, {"name": "taken"}),
        ({"kind": "song"}, {"kind": "not_an_option"}),
        ({"steps": []}, {"steps": "required"}),
        ({"steps": [{"ref": "a", "title": ""}]}, {"steps.1.title": "required"}),
        ({"steps": [{"ref": "a", "title": "x", "text": "y" * 8001}]}, {"steps.1.text": "too_long"}),
        ({"steps": [{"ref": "a", "title": "x"}, {"ref": "a", "title": "y"}]}, {"steps.2.ref": "taken"}),
        (
            {"steps": [{"ref": "a", "title": "x", "choices": [{"label": "", "next": "z"}]}]},
            {"steps.1.choices.1.label": "required", "steps.1.choices.1.next": "not_an_option"},
        ),
        ({"steps": [{"ref": str(n), "title": "x"} for n in range(201)]}, {"steps": "out_of_range"}),
    ],
)
async def test_a_wrong_script_is_refused_and_not_kept(fresh_db, ana, change, wrong):
    await scripts.create(fresh_db, ana, name="Venda", kind="approach", steps=STEPS)
    with pytest.raises(Refused) as refused:
        await scripts.create(fresh_db, ana, **({"name": "Outra", "kind": "barrier", "steps": STEPS} | change))
    errors = refused.value.details["errors"]
    assert {key: errors.get(key) for key in wrong} == wrong and set(errors) <= {*wrong, "steps.1.ref"}
    assert len(await scripts.all(fresh_db)) == 1


async def test_a_script_removed_is_no_longer_offered_and_still_read(fresh_db, ana):
    made = await scripts.create(fresh_db, ana, name="Venda", kind="approach", steps=STEPS)
    await scripts.remove(fresh_db, ana, made.id)
    assert await scripts.all(fresh_db) == []
    assert (await scripts.by_id(fresh_db, made.id)).steps == made.steps
    with pytest.raises(Refused):
        await scripts.remove(fresh_db, ana, made.id)


async def test_agents_do_not_write_scripts(fresh_db):
    agent = await users.create(
        fresh_db, None, login="b", name="B", role=Role.AGENT, password="correct horse battery"
    )
    with pytest.raises(Refused, match="run_campaigns"):
        await scripts.create(fresh_db, agent, name="Venda", kind="approach", steps=STEPS)


async def test_each_version_is_kept_and_an_older_one_can_be_brought_back(fresh_db, ana):
    made = await scripts.create(fresh_db, ana, name="Venda", kind="approach", steps=STEPS)
    first = scripts.plain(made)
    await scripts.update(fresh_db, ana, made.id, name="Venda 2", steps=[{"ref": "x", "title": "Só isto"}])
    kept = await scripts.versions(fresh_db, made.id)
    assert [(each.version, each.by, each.body["name"]) for each in kept] == [
        (2, "Ana", "Venda 2"),
        (1, "Ana", "Venda"),
    ]
    back = await scripts.restore(fresh_db, ana, made.id, 1)
    assert (back.version, back.name, [step.title for step in back.steps]) == (
        3,
        "Venda",
        ["Abertura", "Oferta"],
    )
    assert shape(scripts.plain(back)) == shape(first)
    assert [each.version for each in await scripts.versions(fresh_db, made.id)] == [3, 2, 1]
    with pytest.raises(Refused):
        await scripts.restore(fresh_db, ana, made.id, 9)


def shape(body):
    """A script's words and ways, whatever the ids of its steps are."""
    places = {step["ref"]: n for n, step in enumerate(body["steps"])}
    return body["name"], [
        (step["title"], step["text"], step["fields"],
         [(choice["label"], places.get(choice["next"])) for choice in step["choices"]])
        for step in body["steps"]
    ]  # fmt: skip


async def test_a_script_made_before_versions_were_kept_keeps_how_it_was(fresh_db, ana):
    made = await scripts.create(fresh_db, ana, name="Venda", kind="approach", steps=STEPS)
    await fresh_db.execute("DELETE FROM script_version")
    await scripts.update(fresh_db, ana, made.id, name="Nova")
    assert [(each.version, each.by) for each in await scripts.versions(fresh_db, made.id)] == [
        (2, "Ana"),
        (1, ""),
    ]
