"""PURE. Whether a number may be called now: the hours of the place it is in, by area code, state and holiday.

No federal law gives hours, and states differ, so everything here is a default in a table: Mon–Fri 09–21 and
Sat 10–16 as the self-regulation has it, Mon–Fri 08–18 where Rio de Janeiro and Ceará have a law.
"""

import datetime
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from crm.e164 import NATIONWIDE, SHORT_MAX, TOLL_CODES
from crm.hours import (
    CUSTOM,
    PRESETS,
    Hours,
    campaign_open,
    hours_per_week,
    is_in,
    next_opening,
)

__all__ = [
    "CUSTOM",
    "PRESETS",
    "Allowed",
    "Closed",
    "Rules",
    "campaign_open",
    "closed_area_codes",
    "hours_per_week",
    "may_call",
    "next_opening",
    "shared_hours",
]

STATES: dict[str, str] = {  # state → its area codes
    "SP": "11 12 13 14 15 16 17 18 19",
    "RJ": "21 22 24",
    "ES": "27 28",
    "MG": "31 32 33 34 35 37 38",
    "PR": "41 42 43 44 45 46",
    "SC": "47 48 49",
    "RS": "51 53 54 55",
    "DF": "61",
    "GO": "62 64",
    "TO": "63",
    "MT": "65 66",
    "MS": "67",
    "AC": "68",
    "RO": "69",
    "BA": "71 73 74 75 77",
    "SE": "79",
    "PE": "81 87",
    "AL": "82",
    "PB": "83",
    "RN": "84",
    "CE": "85 88",
    "PI": "86 89",
    "PA": "91 93 94",
    "AM": "92 97",
    "RR": "95",
    "AP": "96",
    "MA": "98 99",
}
STATE_OF: dict[str, str] = {code: state for state, codes in STATES.items() for code in codes.split()}
BRASILIA = ZoneInfo("America/Sao_Paulo")
MANAUS, RIO_BRANCO = ZoneInfo("America/Manaus"), ZoneInfo("America/Rio_Branco")
ZONES: dict[str, tuple[ZoneInfo, ...]] = {  # area codes that are not on Brasília's time
    **{code: (MANAUS,) for code in "65 66 67 69 92 95".split()},
    "68": (RIO_BRANCO,),
    "97": (MANAUS, RIO_BRANCO),  # both: it has to be right wherever the number is
}
DAYS_AHEAD = 15  # further than any run of closed days

WEEKDAYS = ("0", "1", "2", "3", "4")
USUAL: Hours = {day: [[9 * 60, 21 * 60]] for day in WEEKDAYS} | {"5": [[10 * 60, 16 * 60]]}
OFFICE: Hours = {day: [[8 * 60, 18 * 60]] for day in WEEKDAYS}


@dataclass(frozen=True, slots=True)
class Rules:
    """Hours of the place called; a holiday there is closed all day."""

    hours: Hours = field(default_factory=lambda: USUAL)
    states: Mapping[str, Hours] = field(
        default_factory=lambda: {"RJ": OFFICE, "CE": OFFICE}  # Leis 7.853/2018 (RJ) and 16.836/2019 (CE)
    )


USUAL_RULES = Rules()
Holidays = Mapping[str, AbstractSet[datetime.date]]  # by state, and "BR" for everywhere


@dataclass(frozen=True, slots=True)
class Allowed:
    state: str  # "" when the number is not of a Brazilian place


@dataclass(frozen=True, slots=True)
class Closed:
    template: str  # a sentence in English, to be translated and then formatted with `values`
    values: Mapping[str, str]
    opens_at: datetime.datetime | None  # in UTC; None when this number may never be called

    @property
    def reason(self) -> str:
        return self.template.format(**self.values)


def may_call(
    number: str,
    now: datetime.datetime,
    holidays: Holidays,
    rules: Rules = USUAL_RULES,
) -> Allowed | Closed:
    """`number` in E.164. Short numbers and services such as 0800 are no person's and are refused."""
    if len(number) <= SHORT_MAX or is_service(number):
        return Closed("{number} is a service and not a person's number.", {"number": number}, None)
    area_code = number[3:5] if number.startswith("+55") else ""
    if area_code and area_code not in STATE_OF:
        return Closed("There is no area code {area_code}.", {"area_code": area_code}, None)
    state = STATE_OF.get(area_code, "")
    zones = ZONES.get(area_code, (BRASILIA,))
    if is_open(state, zones, now, holidays, rules):
        return Allowed(state)
    local = now.astimezone(zones[0])
    where = f"{area_code}, {state}" if state else "abroad"
    if is_holiday(state, local.date(), holidays):
        template = "It is a holiday where this number is ({where})."
    else:
        template = "It is {time} where this number is ({where}), outside the hours for calls."
    return Closed(
        template, {"where": where, "time": f"{local:%H:%M}"}, opening(state, zones, now, holidays, rules)
    )


def closed_area_codes(
    now: datetime.datetime, holidays: Holidays, rules: Rules = USUAL_RULES
) -> dict[str, datetime.datetime]:
    """Area codes that may not be called now, with when each one opens (UTC)."""
    answer = {}
    for area_code, state in STATE_OF.items():
        zones = ZONES.get(area_code, (BRASILIA,))
        if not is_open(state, zones, now, holidays, rules):
            opens = opening(state, zones, now, holidays, rules)
            answer[area_code] = opens or now + datetime.timedelta(days=DAYS_AHEAD)
    return answer


def shared_hours(hours: Hours, area_codes: Iterable[str], rules: Rules = USUAL_RULES) -> float:
    """Hours a week in which somebody at one of these area codes may be called by a campaign of these hours.

    An empty code is a number abroad. Both are read in Brasília's time, so that a place in another zone is an
    hour or two off; holidays are not looked at.
    """
    minutes: set[int] = set()
    for state in {STATE_OF.get(code, "") for code in area_codes}:
        theirs = rules.states.get(state, rules.hours)
        minutes |= minutes_of(hours) & minutes_of(theirs)
    return len(minutes) / 60


def minutes_of(hours: Hours) -> set[int]:
    return {
        int(day) * 24 * 60 + minute
        for day, spans in hours.items()
        for start, end in spans
        for minute in range(start, end)
    }


def is_service(number: str) -> bool:
    national = number.removeprefix("+55")
    toll = national[:3] in TOLL_CODES and len(national) in (9, 10)
    return number.startswith("+55") and (toll or NATIONWIDE.fullmatch(national) is not None)


def is_holiday(state: str, day: datetime.date, holidays: Holidays) -> bool:
    return day in holidays.get("BR", frozenset()) or day in holidays.get(state, frozenset())


def is_open(
    state: str, zones: tuple[ZoneInfo, ...], now: datetime.datetime, holidays: Holidays, rules: Rules
) -> bool:
    hours = rules.states.get(state, rules.hours)
    locals_ = [now.astimezone(zone) for zone in zones]
    return all(is_in(hours, at) and not is_holiday(state, at.date(), holidays) for at in locals_)


def opening(
    state: str, zones: tuple[ZoneInfo, ...], now: datetime.datetime, holidays: Holidays, rules: Rules
) -> datetime.datetime | None:
    """The next moment at which every zone is open: where a span of one of them begins."""
    hours = rules.states.get(state, rules.hours)
    starts = []
    for zone in zones:
        today = now.astimezone(zone).date()
        for ahead in range(DAYS_AHEAD):
            day = today + datetime.timedelta(days=ahead)
            for start, _ in hours.get(str(day.weekday()), ()):
                at = datetime.datetime.combine(day, datetime.time(start // 60, start % 60), zone)
                starts.append(at.astimezone(datetime.UTC))
    return next(
        (at for at in sorted(starts) if at > now and is_open(state, zones, at, holidays, rules)), None
    )
