"""The holidays of Brazil and of each of its states, from the `holidays` package."""

import datetime

import holidays as known

from dialer.windows import STATES, Holidays


def load(first_year: int, last_year: int) -> Holidays:
    """Each state's with the national ones; for `windows.may_call`."""
    years = range(first_year, last_year + 1)
    national = frozenset[datetime.date](known.country_holidays("BR", years=years))
    answer = {"BR": national}
    for state in STATES:
        answer[state] = frozenset[datetime.date](known.country_holidays("BR", subdiv=state, years=years))
    return answer


def around(now: datetime.datetime) -> Holidays:
    """Of this year and the next; load again in a new year."""
    return load(now.year - 1, now.year + 1)
