"""A report as a file: for an export asked for now, and for one that goes out by e-mail."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from crm import campaign_reports as reports
from crm.campaign_reports import Report, ReportFilter
from crm.db import Db
from webui.reports import said
from webui.reports.said import Say


@dataclass(frozen=True)
class ReportSource:
    """In the words of whoever gets it."""

    report: Report
    filter: ReportFilter
    say: Say

    @property
    def kind(self) -> str:
        return f"report-{self.report.id}"

    def asked(self) -> Mapping[str, Any]:
        return asdict(self.filter)

    async def count(self, db: Db) -> int:
        return (await reports.run(db, self.report, self.filter, limit=0)).count

    async def titles(self, db: Db) -> list[str]:
        return [said.column(self.say, self.report, name) for name in self.report.all_columns]

    async def rows(self, db: Db) -> AsyncIterator[list[Any]]:
        async for row in reports.stream(db, self.report, self.filter):
            yield [
                said.cell(self.say, self.report, name, row, self.filter.query_type)
                for name in self.report.all_columns
            ]
