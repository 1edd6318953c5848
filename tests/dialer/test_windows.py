"""Where and when a number may be called: every area code, its state's hours, its zone and its holidays."""

import datetime
from zoneinfo import ZoneInfo

import pytest

from config.settings import AREA_CODES
from dialer import holidays, windows
from dialer.windows import PRESETS, Allowed, Closed, may_call, shared_hours

UTC = datetime.UTC
NONE: windows.Holidays = {}
WEDNESDAY, SATURDAY, SUNDAY = (datetime.date(2026, 11, day) for day in (18, 21, 22))


def at(day, hour, minute=0, zone="America/Sao_Paulo"):
    local = datetime.datetime.combine(day, datetime.time(hour, minute), ZoneInfo(zone))
    return local.astimezone(UTC)


def mobile(area_code):
    return f"+55{area_code}987654321"


def is_allowed(number, now, known=NONE):
    return isinstance(may_call(number, now, known), Allowed)


def test_every_area_code_is_in_one_state():
    assert set(windows.STATE_OF) == AREA_CODES
    assert sum(len(codes.split()) for codes in windows.STATES.values()) == len(AREA_CODES)
    assert len(windows.STATES) == 27


@pytest.mark.parametrize("area_code", sorted(AREA_CODES))
def test_nobody_is_called_at_night_on_sundays_or_before_it_is_nine_where_he_is(area_code):
    number = mobile(area_code)
    for hour in range(24):
        assert not is_allowed(number, at(SUNDAY, hour))
    zones = windows.ZONES.get(area_code, (windows.BRASILIA,))
    earliest = 8 if windows.STATE_OF[area_code] in ("RJ", "CE") else 9
    latest = 18 if windows.STATE_OF[area_code] in ("RJ", "CE") else 21
    for minute in range(0, 24 * 60, 30):
        now = at(WEDNESDAY, minute // 60, minute % 60)
        hours = [now.astimezone(zone).hour for zone in zones]
        assert is_allowed(number, now) == all(earliest <= hour < latest for hour in hours)


@pytest.mark.parametrize(
    ("area_code", "now", "allowed"),
    [
        ("11", at(WEDNESDAY, 8, 59), False),
        ("11", at(WEDNESDAY, 9), True),
        ("11", at(WEDNESDAY, 20, 59), True),
        ("11", at(WEDNESDAY, 21), False),
        ("11", at(SATURDAY, 9, 59), False),
        ("11", at(SATURDAY, 10), True),
        ("11", at(SATURDAY, 16), False),
        ("21", at(WEDNESDAY, 8), True),
        ("21", at(WEDNESDAY, 18), False),
        ("85", at(WEDNESDAY, 18), False),
        ("21", at(SATURDAY, 12), False),
        ("92", at(WEDNESDAY, 9, 30), False),  # half past eight in Manaus
        ("92", at(WEDNESDAY, 21, 30), True),
        ("68", at(WEDNESDAY, 10, 59), False),  # two hours behind in Rio Branco
        ("68", at(WEDNESDAY, 11), True),
        ("97", at(WEDNESDAY, 10, 30), False),  # partly on Rio Branco's time: right wherever it is
        ("97", at(WEDNESDAY, 21, 30), True),
        ("97", at(WEDNESDAY, 22, 30), False),  # nine o'clock has passed in its other part
    ],
)
def test_the_hours_of_the_place_that_is_called(area_code, now, allowed):
    assert is_allowed(mobile(area_code), now) == allowed


def test_a_holiday_there_is_closed_and_one_elsewhere_is_not():
    known = {"BR": {WEDNESDAY}, "RJ": {WEDNESDAY + datetime.timedelta(days=1)}}
    noon, next_noon = at(WEDNESDAY, 12), at(WEDNESDAY, 12) + datetime.timedelta(days=1)
    assert not is_allowed(mobile("11"), noon, known) and not is_allowed(mobile("21"), noon, known)
    assert is_allowed(mobile("11"), next_noon, known) and not is_allowed(mobile("21"), next_noon, known)
    said = may_call(mobile("21"), noon, known)
    assert said.reason == "It is a holiday where this number is (21, RJ)."
    assert said.opens_at == at(WEDNESDAY + datetime.timedelta(days=2), 8)


def test_it_is_said_when_a_closed_number_opens_and_then_it_is_open():
    known = holidays.around(at(WEDNESDAY, 12))
    for area_code in sorted(AREA_CODES):
        for hours_on in range(0, 24 * 7, 5):
            now = at(WEDNESDAY, 0) + datetime.timedelta(hours=hours_on)
            said = may_call(mobile(area_code), now, known)
            if isinstance(said, Closed):
                assert said.opens_at > now and is_allowed(mobile(area_code), said.opens_at, known)
                before = said.opens_at - datetime.timedelta(minutes=1)
                assert not is_allowed(mobile(area_code), before, known)
    closed = windows.closed_area_codes(at(WEDNESDAY, 19), NONE)
    assert closed == {
        code: at(WEDNESDAY + datetime.timedelta(days=1), 8) for code in "21 22 24 85 88".split()
    }


@pytest.mark.parametrize("number", ["190", "1001", "+558001234567", "+5540041234", "+553031234567"])
def test_services_are_nobodys_number_at_any_hour(number):
    said = may_call(number, at(WEDNESDAY, 12), NONE)
    assert isinstance(said, Closed) and said.opens_at is None and "service" in said.reason


def test_an_area_code_that_does_not_exist_is_refused_and_abroad_keeps_our_hours():
    assert may_call("+5520987654321", at(WEDNESDAY, 12), NONE).reason == "There is no area code 20."
    assert is_allowed("+351912345678", at(WEDNESDAY, 12)) and not is_allowed("+351912345678", at(SUNDAY, 12))


def test_the_known_holidays_are_the_countrys_and_the_states():
    known = holidays.load(2026, 2027)
    assert datetime.date(2026, 11, 20) in known["BR"] and datetime.date(2027, 12, 25) in known["BR"]
    assert datetime.date(2026, 7, 9) in known["SP"] and datetime.date(2026, 7, 9) not in known["BR"]
    assert set(known) == {"BR", *windows.STATES}


# -- The campaign's own hours ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "open_at", "hours"),
    [
        ("24h", set(range(24)), 168),
        ("07-19", set(range(7, 19)), 84),
        ("08-12_14-18", {8, 9, 10, 11, 14, 15, 16, 17}, 56),
        ("07-22", set(range(7, 22)), 105),
    ],
)
def test_the_presets(preset, open_at, hours):
    grid = PRESETS[preset]
    assert windows.hours_per_week(grid) == hours
    for day in range(7):
        for hour in range(24):
            for minute in (0, 59):
                local = datetime.datetime(2026, 11, 16 + day, hour, minute)
                assert windows.campaign_open(grid, True, None, None, local) == (hour in open_at)


def test_the_first_and_the_last_day_of_its_validity_are_included():
    grid, first, last = PRESETS["24h"], datetime.date(2026, 11, 2), datetime.date(2026, 11, 4)
    noons = [datetime.datetime(2026, 11, day, 12) for day in range(1, 8)]
    days = [noon.day for noon in noons if windows.campaign_open(grid, False, first, last, noon)]
    assert days == [2, 3, 4]
    assert not windows.campaign_open(grid, False, None, None, datetime.datetime(2026, 11, 3))


def test_a_closed_campaign_says_when_it_opens_or_that_it_never_does():
    grid = {"0": [[540, 720]], "2": [[600, 660], [840, 900]]}
    local = datetime.datetime(2026, 11, 18, 11, 0)  # Wednesday, between its two spans
    assert windows.next_opening(grid, True, None, None, local) == datetime.datetime(2026, 11, 18, 14, 0)
    late = datetime.datetime(2026, 11, 18, 15, 0)
    assert windows.next_opening(grid, True, None, None, late) == datetime.datetime(2026, 11, 23, 9, 0)
    until = datetime.date(2026, 11, 22)
    assert windows.next_opening(grid, False, until, until, late) is None
    start = datetime.date(2026, 12, 31)  # a Thursday
    ahead = windows.next_opening(grid, False, start, datetime.date(2027, 2, 1), late)
    assert ahead == datetime.datetime(2027, 1, 4, 9, 0)


def test_hours_in_common_are_those_of_the_campaign_in_which_somewhere_is_open():
    evenings = {"0": [[18 * 60, 22 * 60]], "6": [[0, 24 * 60]]}
    assert shared_hours(evenings, ["21"]) == 0, "Rio closes at six, and everybody on Sundays"
    assert shared_hours(evenings, ["11"]) == 3
    assert shared_hours(evenings, ["21", "11", ""]) == 3
    assert shared_hours(evenings, []) == 0
    assert shared_hours(PRESETS["24h"], ["21"]) == 50
    assert shared_hours(PRESETS["24h"], ["11"]) == 66
