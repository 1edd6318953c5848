"""Which of a campaign's numbers the person called sees."""

import pytest

from dialer.caller_ids import CallerIds, area_code

POOL = ("+551130001111", "+552130002222", "+551130003333", "+553130004444")


def chosen(*numbers, pool=POOL):
    ids = CallerIds()
    return [ids.choose(pool, number) for number in numbers]


def test_one_of_the_same_area_code_comes_first_in_turn():
    assert chosen("+5511987654321", "+5511987654322", "+5511987654323") == [POOL[0], POOL[2], POOL[0]]


def test_each_area_code_has_turns_of_its_own():
    assert chosen("+5511987654321", "+5521987654321", "+5511987654322", "+5521987654322") == [
        POOL[0],
        POOL[1],
        POOL[2],
        POOL[1],
    ]


def test_where_none_is_near_all_are_shown_in_turn():
    assert chosen(*["+5585987654321"] * 5) == [*POOL, POOL[0]]
    assert chosen("+12025550123", "+12025550123") == [POOL[0], POOL[1]]


def test_no_number_abroad_is_taken_for_one_of_an_area():
    assert chosen("+5512987654321", pool=("+12025550123", "+551240001111")) == ["+551240001111"]


def test_an_empty_pool_chooses_nothing_and_a_smaller_one_holds_at_once():
    ids = CallerIds()
    assert ids.choose((), "+5511987654321") == ""
    for _ in range(3):
        ids.choose(POOL, "+5511987654321")
    assert ids.choose(POOL[2:3], "+5511987654321") == POOL[2]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("+551130001111", "11"), ("+5521987654321", "21"), ("(85) 3000-1111", "85"),
        ("085 98765-4321", "85"), ("5530001111", "55"), ("+12025550123", ""),
    ],
)  # fmt: skip
def test_the_area_code_of_a_number_written_in_any_way(number, code):
    assert area_code(number) == code
