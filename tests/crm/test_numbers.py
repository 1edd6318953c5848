"""Telephone numbers: every usual Brazilian writing, abroad, short ones, and never an exception."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.settings import AREA_CODES
from crm.e164 import display, normalise

PUNCTUATED = "0123456789 ()-./+"


@pytest.mark.parametrize(
    ("typed", "number", "shown"),
    [
        ("11 98765-4321", "+5511987654321", "(11) 98765-4321"),
        ("(11) 3456-7890", "+551134567890", "(11) 3456-7890"),
        ("98765-4321", "+5521987654321", "(21) 98765-4321"),
        ("3456-7890", "+552134567890", "(21) 3456-7890"),
        ("8765-4321", "+5521987654321", "(21) 98765-4321"),  # before the ninth digit
        ("11 8765-4321", "+5511987654321", "(11) 98765-4321"),
        ("011 98765-4321", "+5511987654321", "(11) 98765-4321"),
        ("0 15 11 98765-4321", "+5511987654321", "(11) 98765-4321"),  # with a carrier
        ("0 21 11 3456-7890", "+551134567890", "(11) 3456-7890"),
        ("+55 11 98765-4321", "+5511987654321", "(11) 98765-4321"),
        ("5511987654321", "+5511987654321", "(11) 98765-4321"),
        ("551134567890", "+551134567890", "(11) 3456-7890"),
        ("55 99123-4567", "+5555991234567", "(55) 99123-4567"),  # area code 55
        ("0055 11 98765-4321", "+5511987654321", "(11) 98765-4321"),
        ("0800 123 4567", "+558001234567", "0800 123 4567"),
        ("0300 123 456", "+55300123456", "0300 12 3456"),
        ("+55 800 123 4567", "+558001234567", "0800 123 4567"),
        ("4004-1234", "+5540041234", "4004-1234"),
        ("3003 1234", "+5530031234", "3003-1234"),
        ("+1 212 555 2368", "+12125552368", "+1 212-555-2368"),
        ("00 1 212 555 2368", "+12125552368", "+1 212-555-2368"),
        ("00 21 1 212 555 2368", "+12125552368", "+1 212-555-2368"),
        ("+351 21 123 4567", "+351211234567", "+351 21 123 4567"),
        ("1001", "1001", "1001"),
        ("190", "190", "190"),
        ("4000", "4000", "4000"),
    ],
)
def test_a_number_is_known_in_each_writing_and_shown_in_one(typed, number, shown):
    assert normalise(typed, "21") == number
    assert display(number) == shown
    assert normalise(shown, "84") == number


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "5",
        "abc",
        "*72",
        "1234567",
        "10 98765-4321",
        "11 18765-4321",
        "+",
        "++5511987654321",
        "+55",
        "²³⁴",
        "9" * 40,
    ],
)
def test_what_cannot_be_a_number_is_none(typed):
    assert normalise(typed, "11") is None


@given(st.one_of(st.text(), st.text(PUNCTUATED, max_size=25)), st.sampled_from(sorted(AREA_CODES)))
@example("+558000000000", "11")
def test_any_text_is_none_or_a_number_that_stays_itself(text, area_code):
    number = normalise(text, area_code)
    if number is not None:
        digits = number.removeprefix("+")
        assert digits.isascii() and digits.isdigit() and 2 <= len(digits) <= 15
        assert normalise(number, "11") == number
        assert display(number)


brazilian = st.one_of(
    st.tuples(st.sampled_from(sorted(AREA_CODES)), st.from_regex(r"9[0-9]{8}", fullmatch=True)),
    st.tuples(st.sampled_from(sorted(AREA_CODES)), st.from_regex(r"[2-5][0-9]{7}", fullmatch=True)),
)


@given(brazilian, st.sampled_from(["15", "21", "31", "41"]))
def test_every_way_of_dialing_a_brazilian_number_is_the_same_number(number, carrier):
    area, subscriber = number
    e164 = f"+55{area}{subscriber}"
    for typed in (
        area + subscriber,
        "0" + area + subscriber,
        "0" + carrier + area + subscriber,
        "55" + area + subscriber,
        "0055" + area + subscriber,
        display(e164),
        f"({area}) {subscriber[:-4]}-{subscriber[-4:]}",
    ):
        assert normalise(typed, "11") == e164
