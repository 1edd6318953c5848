"""The tabulation form: what is refused, field by field, and that nothing else is."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.form import (
    CATEGORY,
    CHOICES,
    MESSAGES,
    Category,
    CategoryType,
    Field,
    Kind,
    Layout,
    Permission,
    Scenario,
    check,
    key_of,
    serving,
)

TYPES = (CategoryType(1, "Venda", (Category(7, "Fechada", True), Category(8, "Perdida", False))),)


def layout(*fields):
    return Layout(1, "sales", "Vendas", fields, TYPES)


def field(kind, required=False, **more):
    return Field("f", "F", Kind(kind), required, **more)


def wrong(kind, answer, required=False, **more):
    return check(layout(field(kind, required, **more)), {CATEGORY: "7", "f": answer}).get("f")


def test_the_category_is_always_required():
    assert check(layout(), {}) == {CATEGORY: "required"}
    assert check(layout(), {CATEGORY: " "}) == {CATEGORY: "required"}
    assert check(layout(), {CATEGORY: "99"}) == {CATEGORY: "not_an_option"}
    assert check(layout(), {CATEGORY: "8"}) == {}


@pytest.mark.parametrize("kind", list(Kind))
def test_an_empty_answer_is_refused_only_where_it_is_required(kind):
    more = {"options": ("a",)} if kind in CHOICES else {}
    assert wrong(kind, "", **more) is None
    assert wrong(kind, "", required=True, **more) == "required"
    assert check(layout(field(kind, True, **more)), {CATEGORY: "7"}) == {"f": "required"}


@pytest.mark.parametrize(
    ("kind", "answer", "message"),
    [
        ("text", "x" * 200, None),
        ("text", "x" * 201, "too_long"),
        ("long_text", "x" * 4000, None),
        ("long_text", "x" * 4001, "too_long"),
        ("number", "12", None),
        ("number", "-3,5", None),
        ("number", "1e5", "not_a_number"),
        ("number", "٣", "not_a_number"),
        ("date", "2026-02-28", None),
        ("date", "2026-02-30", "not_a_date"),
        ("date", "28/02/2026", "not_a_date"),
        ("date", "20260228", "not_a_date"),
        ("phone", "(11) 98765-4321", None),
        ("phone", "hello", "not_a_phone"),
        ("checkbox", "1", None),
        ("checkbox", "on", None),
        ("checkbox", "maybe", "not_an_option"),
    ],
)
def test_an_answer_is_of_its_kind(kind, answer, message):
    assert wrong(kind, answer) == message


@pytest.mark.parametrize("kind", CHOICES)
def test_a_choice_is_one_of_its_options(kind):
    assert wrong(kind, "a", options=("a", "b")) is None
    assert wrong(kind, "c", options=("a", "b")) == "not_an_option"


def test_a_field_may_say_its_own_length():
    assert wrong("text", "abcd", length_max=3) == "too_long"
    assert wrong("text", "abc", length_max=3) is None


def test_a_required_checkbox_has_to_be_checked():
    assert wrong("checkbox", "0", required=True) == "required"
    assert wrong("checkbox", "1", required=True) is None


def test_an_answer_to_no_question_is_refused():
    assert check(layout(), {CATEGORY: "7", "other": ""}) == {"other": "unknown_field"}


fields = st.builds(
    Field,
    key=st.sampled_from("abcde"),
    label=st.just("L"),
    kind=st.sampled_from(Kind),
    required=st.booleans(),
    options=st.lists(st.text(min_size=1).map(str.strip).filter(bool), max_size=3).map(tuple),
    length_max=st.integers(0, 20),
)
layouts = st.lists(fields, max_size=5, unique_by=lambda f: f.key).map(lambda fs: layout(*fs))
answers = st.dictionaries(st.sampled_from([*"abcdef", CATEGORY]), st.text(max_size=30))


@given(layouts, answers)
def test_any_answers_get_known_messages_under_their_own_keys(layout, answers):
    errors = check(layout, answers)
    assert set(errors.values()) <= MESSAGES.keys()
    assert errors.keys() <= {CATEGORY, *answers, *(f.key for f in layout.fields)}
    assert check(layout, answers) == errors


def right(field):
    match field.kind:
        case Kind.NUMBER:
            return "1"
        case Kind.DATE:
            return datetime.date(2026, 11, 21).isoformat()
        case Kind.PHONE:
            return "190"
        case Kind.CHECKBOX:
            return "1"
        case kind if kind in CHOICES:
            return field.options[0] if field.options else ""
        case _:
            return "x"


@given(layouts)
def test_a_form_filled_as_it_asks_is_accepted(layout):
    answers = {f.key: right(f) for f in layout.fields} | {CATEGORY: "7"}
    can_be_filled = {
        f.key: not (f.kind in CHOICES and f.required and not f.options)
        and not (f.length_max and len(right(f)) > f.length_max)
        for f in layout.fields
    }
    assert check(layout, answers).keys() == {key for key, can in can_be_filled.items() if not can}


@pytest.mark.parametrize(
    "label, key",
    [
        ("Motivo da ligação", "motivo_da_ligacao"),
        ("Renda (R$)", "renda_r"),
        ("1º contato", "o_contato"),
        ("", ""),
        ("日本", ""),
        ("A-b", "a_b"),
        ("x" * 41, "x" * 40),
    ],
)
def test_a_name_for_programs_is_made_from_a_label(label, key):
    assert key_of(label) == key


# -- which calls a layout serves (EPB-69) --------------------------------------------------------------------

SALES, CARE = 1, 2  # groups
RENEWAL, WELCOME = 11, 12  # campaigns
EVERY = tuple(Scenario)


def permitted(id, *permissions, label=""):
    return Layout(id, f"l{id}", label or f"L{id}", (), TYPES, permissions)


def ids(layouts, scenario="inbound", group=SALES, campaign=None, named=None, lent=False):
    return [each.id for each in serving(layouts, Scenario(scenario), group, campaign, named, lent)]


@given(
    st.sampled_from(Scenario),
    st.sampled_from([None, SALES]),
    st.sampled_from([None, RENEWAL]),
    st.sampled_from([None, 1, 2, 9]),
    st.booleans(),
)
def test_without_permissions_only_the_named_layout_serves(scenario, group, campaign, named, lent):
    found = ids([permitted(1), permitted(2)], scenario, group, campaign, named, lent)
    assert found == ([named] if named in (1, 2) else [])


@pytest.mark.parametrize(
    ("permission", "scenario", "group", "campaign", "serves"),
    [
        (Permission(EVERY), "inbound", None, None, True),
        (Permission((Scenario.MANUAL,)), "inbound", SALES, None, False),
        (Permission((Scenario.MANUAL, Scenario.DIALER)), "dialer", SALES, RENEWAL, True),
        (Permission(EVERY, group_id=SALES), "manual", SALES, None, True),
        (Permission(EVERY, group_id=SALES), "manual", CARE, None, False),
        (Permission(EVERY, group_id=SALES), "manual", None, None, False),
        (Permission(EVERY, campaign_id=RENEWAL), "dialer", CARE, RENEWAL, True),
        (Permission(EVERY, campaign_id=RENEWAL), "dialer", CARE, WELCOME, False),
        (Permission(EVERY, campaign_id=RENEWAL), "manual", CARE, None, False),
        (Permission(EVERY, SALES, RENEWAL), "dialer", SALES, RENEWAL, True),
        (Permission(EVERY, SALES, RENEWAL), "dialer", CARE, RENEWAL, False),
    ],
)
def test_a_permission_says_group_campaign_and_scenarios(permission, scenario, group, campaign, serves):
    assert ids([permitted(1, permission)], scenario, group, campaign) == ([1] if serves else [])


ALL = permitted(1, Permission(EVERY))
GROUP = permitted(2, Permission(EVERY, group_id=SALES))
CAMPAIGN = permitted(3, Permission(EVERY, campaign_id=RENEWAL))
BOTH = permitted(4, Permission(EVERY, SALES, RENEWAL))
NAMED = permitted(5, label="Z")


def test_the_closest_opens_and_the_campaigns_own_comes_before_all_but_group_and_campaign():
    assert ids([ALL, GROUP, CAMPAIGN, BOTH, NAMED], "dialer", SALES, RENEWAL, named=5) == [4, 5, 3, 2, 1]


def test_the_queues_own_comes_before_what_the_agents_group_may_use():
    assert ids([ALL, GROUP, NAMED], "inbound", SALES, named=5) == [5, 2, 1]


def test_a_form_only_lent_to_a_manual_call_comes_after_that_of_the_agents_group():
    assert ids([ALL, GROUP, NAMED], "manual", SALES, named=5, lent=True) == [2, 5, 1]


def test_equally_close_ones_come_by_their_label():
    layouts = [permitted(n, Permission(EVERY), label=label) for n, label in ((1, "b"), (2, "A"), (3, "c"))]
    assert ids(layouts) == [2, 1, 3]


def test_a_named_layout_with_a_permission_is_there_once():
    assert ids([permitted(1, Permission(EVERY), Permission(EVERY, SALES))], named=1) == [1]
