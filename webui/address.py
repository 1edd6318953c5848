"""The address of a list: what its filters ask for, kept so that a link to it can be sent. Pure."""

import datetime
from collections.abc import Iterable
from urllib.parse import urlencode

from multidict import MultiMapping

PAGE = "page"
PAGES_MAX = 1_000_000


class Address:
    """One list as asked for. Each method gives the address of the list asked for a little differently."""

    def __init__(self, path: str, query: MultiMapping[str]) -> None:
        self.path = path
        self.pairs = [(name, value) for name, value in query.items() if value != "" and "\x00" not in value]

    def text(self, name: str) -> str:
        return next((value.strip() for key, value in self.pairs if key == name), "")

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self.pairs if key == name)

    def numbers(self, name: str) -> tuple[int, ...]:
        """The ids among the values; anything else was never offered and is passed over."""
        return tuple(int(value) for value in self.texts(name) if is_id(value))

    @property
    def page(self) -> int:
        asked = self.text(PAGE)
        return min(max(1, int(asked)), PAGES_MAX) if is_id(asked) else 1

    def at(self, page: int) -> str:
        return self._join([*self._others(PAGE), (PAGE, str(page))])

    def having(self, **values: str) -> str:
        """With these values instead, on the first page."""
        pairs = [(name, value) for name, value in self._others(PAGE) if name not in values]
        return self._join([*pairs, *((name, value) for name, value in values.items() if value)])

    def without(self, name: str, value: str | None = None) -> str:
        """Without this filter, or only without this one of its values; on the first page."""
        pairs = [pair for pair in self._others(PAGE) if pair[0] != name or value not in (None, pair[1])]
        return self._join(pairs)

    @property
    def query(self) -> str:
        """The filters alone, without the page: what an export is asked by."""
        return urlencode(self._others(PAGE))

    def _others(self, name: str) -> list[tuple[str, str]]:
        return [pair for pair in self.pairs if pair[0] != name]

    def _join(self, pairs: Iterable[tuple[str, str]]) -> str:
        query = urlencode(list(pairs))
        return f"{self.path}?{query}" if query else self.path


def is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def as_date(text: str) -> datetime.date | None:
    """A day as a browser's date field sends it, 2026-11-21; None when it is not one."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def day_start(day: datetime.date, zone: datetime.tzinfo) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), zone)


def last_page(count: int, per_page: int) -> int:
    return max(1, -(-count // per_page))
