"""A campaign's day, counted forward: what can change no more is added up once, only the rest is read again.

The live page asks every second; a recount of the day (`crm.dialing_figures.day`) reads every call of it.
"""

import asyncio
import datetime
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crm.attempts import midnight
from crm.campaigns import Campaign
from crm.db import Db
from crm.dialing_figures import SUMS, TRIED, Day, percent

QUARTER = datetime.timedelta(minutes=15)
LATE = datetime.timedelta(minutes=2)  # for so long a call that has begun may not be written yet
OPEN = "open"  # not yet to be added up: it rings, somebody talks, or what came of it is still to be said
SETTLED, RECENT = "settled", "recent"
REMEMBERED = "days counted forward"  # what a pool remembers


@dataclass(frozen=True, slots=True)
class Quarter:
    """Of an hour: what a point of the curve of the answer rate is drawn from."""

    begins: datetime.datetime
    dialed: int
    live: int

    @property
    def live_percent(self) -> float:
        return percent(self.live, self.dialed)


@dataclass(frozen=True, slots=True)
class Today:
    day: Day
    quarters: tuple[Quarter, ...]  # in which somebody was dialed, in order


class Forward:
    """One campaign's. `until`: before it, all but `_open` is in `_settled`, by quarter of an hour."""

    def __init__(self, campaign_id: int, start: datetime.datetime) -> None:
        self.campaign_id, self.start = campaign_id, start
        self.until = start
        self.asked: datetime.datetime | None = None
        self._settled: dict[int, Counter[str]] = {}
        self._open: list[tuple[int, datetime.datetime]] = []
        self._one_at_a_time = asyncio.Lock()

    async def count(self, db: Db, now: datetime.datetime) -> Today:
        async with self._one_at_a_time:
            until = max(self.until, (self.asked or now) - LATE)
            rows = await db.fetch(
                f"""
                WITH tried AS (
                    SELECT {TRIED} FROM attempt
                     WHERE campaign_id = $1 AND started >= $2 AND started <= $3 AND dialed
                     UNION ALL
                    SELECT {TRIED} FROM attempt
                     WHERE dialed AND (id, started) IN (
                           SELECT * FROM unnest($5::bigint[], $6::timestamptz[])))
                SELECT part, quarter, {SUMS},
                       array_agg(id) FILTER (WHERE part = '{OPEN}') AS ids,
                       array_agg(started) FILTER (WHERE part = '{OPEN}') AS moments
                  FROM (SELECT *, floor(extract(epoch FROM started) / {QUARTER.seconds})::bigint AS quarter,
                               CASE WHEN started >= $4 THEN '{RECENT}'
                                    WHEN ended IS NOT NULL AND (user_id IS NULL OR handle_seconds > 0)
                                    THEN '{SETTLED}' ELSE '{OPEN}' END AS part
                          FROM tried) AS told
                 GROUP BY part, quarter
                """,
                self.campaign_id,
                self.until,
                now,
                until,
                [id for id, _ in self._open],
                [moment for _, moment in self._open],
            )
            self.until, self.asked = until, now
            self._open = [
                pair for row in rows if row["ids"] for pair in zip(row["ids"], row["moments"], strict=True)
            ]
            for row in rows:
                if row["part"] == SETTLED:
                    self._settled.setdefault(row["quarter"], Counter()).update(sums(row))
            found = {quarter: Counter(known) for quarter, known in self._settled.items()}
            for row in rows:
                if row["part"] != SETTLED:
                    found.setdefault(row["quarter"], Counter()).update(sums(row))
        total: Counter[str] = Counter()
        for each in found.values():
            total.update(each)
        return Today(
            Day.of(total),
            tuple(
                Quarter(moment(quarter), each["dialed"], each["live"])
                for quarter, each in sorted(found.items())
                if each["dialed"]
            ),
        )


def sums(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("part", "quarter", "ids", "moments")}


def moment(quarter: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(quarter * QUARTER.seconds, datetime.UTC)


async def today(db: Db, campaign: Campaign, now: datetime.datetime) -> Today:
    """As `crm.dialing_figures.day` counts it, for all who ask. After midnight, or when the clock was set
    back, it is counted from the beginning."""
    known: dict[int, Forward] = db.remembered.setdefault(REMEMBERED, {})
    forward, start = known.get(campaign.id), midnight(now)
    if forward is None or forward.start != start or (forward.asked and now < forward.asked):
        forward = known[campaign.id] = Forward(campaign.id, start)
    return await forward.count(db, now)
