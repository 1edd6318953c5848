"""Tabulations as a file (EPB-01, EPB-63), in the words of whoever asked for it."""

import datetime
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from crm import layouts, tabulation
from crm.calls import ZONE
from crm.db import Db
from crm.e164 import display
from crm.exports import ROWS_A_STEP
from crm.tabulation import Tabulation, TabulationFilter
from webui.calls import DIRECTIONS, RESULTS
from webui.i18n import N_

COLUMNS = {
    "started": N_("Started"),
    "agent": N_("Agent"),
    "group": N_("Group"),
    "queue": N_("Queue"),
    "campaign": N_("Campaign"),
    "direction": N_("Direction"),
    "number": N_("Number"),
    "contact": N_("Contact"),
    "result": N_("Result"),
    "wait_seconds": N_("Wait (s)"),
    "talk_seconds": N_("Talk (s)"),
    "hold_seconds": N_("Hold (s)"),
    "type": N_("Type"),
    "category": N_("Category"),
    "success": N_("Outcome"),
    "layout": N_("Form"),
    "saved": N_("Saved at"),
    "call_id": N_("Global id"),
}
WORDS: Mapping[str, Mapping[Any, str]] = {
    "direction": DIRECTIONS,
    "result": RESULTS,
    "success": {True: N_("Success"), False: N_("Failure")},
}


@dataclass(frozen=True)
class TabulationSource:
    """Tabulations as filtered, with a column for each field of any layout."""

    filter: TabulationFilter
    say: Callable[[str], str]
    kind: str = "tabulations"

    def asked(self) -> Mapping[str, Any]:
        return asdict(self.filter)

    async def count(self, db: Db) -> int:
        return await tabulation.count(db, self.filter)

    async def titles(self, db: Db) -> list[str]:
        labels = await layouts.answer_labels(db)
        return [self.say(title) for title in COLUMNS.values()] + list(labels.values())

    async def rows(self, db: Db) -> AsyncIterator[list[Any]]:
        labels = await layouts.answer_labels(db)
        async for each in tabulation.stream(db, self.filter, ROWS_A_STEP):
            yield [self._cell(key, each) for key in COLUMNS] + [each.answers.get(key, "") for key in labels]

    def _cell(self, key: str, row: Tabulation) -> Any:
        value = getattr(row, key)
        match key:
            case "number":
                return display(value)
            case "direction" | "result" | "success":
                return self.say(WORDS[key][value]) if value in WORDS[key] else ""
        if isinstance(value, datetime.datetime):
            return value.astimezone(ZONE).replace(tzinfo=None)
        return round(value, 1) if isinstance(value, float) else "" if value is None else value
