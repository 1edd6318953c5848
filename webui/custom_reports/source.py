"""A custom report as a file: for an export asked for now, and for one that goes out by e-mail."""

import datetime
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from crm import custom_reports
from crm.calls import ZONE
from crm.custom_reports import Asked, Column, CustomReport
from crm.db import Db
from crm.users import User
from webui.address import Address
from webui.custom_reports import words
from webui.custom_reports.asked import wanted
from webui.filters.words import Say


@dataclass(frozen=True)
class CustomSource:
    """In the words of whoever gets it, and with what they may see."""

    report: CustomReport
    asked_for: Asked
    by: User
    columns: Mapping[str, Column]  # in their words
    say: Say
    language: str

    @property
    def kind(self) -> str:
        return f"report-custom-{self.report.id}"

    def asked(self) -> Mapping[str, Any]:
        return {"name": self.report.name, **asdict(self.asked_for)}

    async def count(self, db: Db) -> int:
        return (await custom_reports.run(db, self.by, self.report, self.asked_for, limit=0)).count

    async def titles(self, db: Db) -> list[str]:
        return [words.heading(said, self.columns, self.say) for said in await self._shown(db)]

    async def rows(self, db: Db) -> AsyncIterator[list[Any]]:
        shown = await self._shown(db)
        async for row in custom_reports.stream(db, self.by, self.report, self.asked_for):
            yield [words.cell(said, row[said], self.columns, self.say, self.language) for said in shown]

    async def _shown(self, db: Db) -> tuple[str, ...]:
        return await custom_reports.shown_columns(db, self.by, self.report)


async def custom_source(
    db: Db, by: User, report_id: int, address: Address, say: Say, language: str
) -> CustomSource:
    """Refused when the report is not for them, or is gone."""
    report = await custom_reports.by_id(db, by, report_id)
    columns = words.named(await custom_reports.catalog(db, report.subject, by), report.subject, say)
    today = datetime.datetime.now(ZONE).date()
    asked = wanted(report, columns, address, today).asked
    return source_of(report, asked, address, by, columns, say, language)


def source_of(
    report: CustomReport,
    asked: Asked,
    address: Address,
    by: User,
    columns: Mapping[str, Column],
    say: Say,
    language: str,
) -> CustomSource:
    """Of a report that has been opened, sorted as its address says."""
    report = replace(report, order=address.text("sort") or report.order)
    return CustomSource(report, asked, by, columns, say, language)
