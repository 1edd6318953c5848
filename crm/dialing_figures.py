"""What the dialer did: the figures its limits and the carrier's are about, each counted from attempt rows.

A *live answer* is a person who lifted: not a machine, a fax or silence. One who met no agent in time is
abandoned: a live answer but no effective contact (reports on campaigns count it among those not answered).
"""

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self

import asyncpg

from crm.attempts import midnight
from crm.calls import ZONE
from crm.campaigns import Campaign
from crm.db import Db

SHORT_SECONDS = 6  # Anatel: a call no longer than this is short, and one that did not complete is too
SHORT_DAY_CALLS, SHORT_DAY_PERCENT = 100_000, 85.0  # in a day above both, the carrier blocks for 15 days
MONTH_CALLS = 500_000  # of a company by a carrier: above it in a month every call has to be authenticated
DAY = datetime.timedelta(days=1)
SAMPLES_MAX = 2000
REMEMBERED = "dialed days"  # what a pool remembers: the counts of days that are over

KIND = """
    CASE WHEN answered IS NULL THEN 'nobody'
         WHEN situation = 'abandoned' THEN 'live'
         WHEN situation IN ('voicemail', 'fax', 'silence') THEN situation
         WHEN connected IS NULL AND detection IN ('machine', 'music') THEN 'voicemail'
         WHEN connected IS NULL AND detection IN ('fax', 'silence') THEN detection
         ELSE 'live' END
"""
SHORT = f"ended IS NOT NULL AND (answered IS NULL OR ended - answered <= interval '{SHORT_SECONDS} seconds')"

TRIED = f"""
    id, started, by_dialer, user_id, situation, answered, connected, ended, talk_seconds, handle_seconds,
    agent_idle_seconds, extract(epoch FROM answered - started)::double precision AS ring, {KIND} AS kind
"""
CONNECTED = "by_dialer AND kind = 'live' AND connected IS NOT NULL AND ended IS NOT NULL"
SUMS = f"""
    count(*) FILTER (WHERE by_dialer) AS dialed,
    count(*) FILTER (WHERE by_dialer AND answered IS NOT NULL) AS answered,
    count(*) FILTER (WHERE by_dialer AND kind = 'live') AS live,
    count(*) FILTER (WHERE by_dialer AND kind = 'live' AND connected IS NOT NULL) AS connected,
    count(*) FILTER (WHERE by_dialer AND kind = 'live' AND situation = 'abandoned') AS abandoned,
    count(*) FILTER (WHERE by_dialer AND kind = 'live' AND situation <> 'abandoned'
                       AND connected IS NULL AND ended IS NOT NULL) AS hung_up,
    count(*) FILTER (WHERE by_dialer AND kind = 'voicemail') AS machines,
    count(*) FILTER (WHERE by_dialer AND kind = 'voicemail' AND connected IS NOT NULL) AS machines_connected,
    count(*) FILTER (WHERE by_dialer AND kind = 'fax') AS fax,
    count(*) FILTER (WHERE by_dialer AND kind = 'silence') AS silence,
    count(*) AS calls, count(*) FILTER (WHERE ended IS NOT NULL) AS ended,
    count(*) FILTER (WHERE {SHORT}) AS short,
    coalesce(sum(ring) FILTER (WHERE by_dialer AND kind = 'live'), 0) AS ring_sum,
    coalesce(sum(talk_seconds) FILTER (WHERE {CONNECTED}), 0) AS talk_sum,
    count(*) FILTER (WHERE {CONNECTED}) AS talks,
    coalesce(sum(agent_idle_seconds) FILTER (WHERE by_dialer), 0) AS wait_sum,
    count(agent_idle_seconds) FILTER (WHERE by_dialer) AS waits
"""


def percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


def mean(total: float, n: int) -> float | None:
    return total / n if n else None


# -- A day -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Day:
    """Of one campaign in one span of time. All but `calls`, `ended` and `short` are the dialer's own."""

    dialed: int
    answered: int  # something lifted
    live: int  # a person did
    connected: int  # of the live ones: with an agent
    abandoned: int  # of the live ones: no agent was free in time
    hung_up: int  # of the live ones: they left before anybody could speak to them
    machines: int
    machines_connected: int  # of these: an agent heard it
    fax: int
    silence: int
    calls: int  # whoever dialed them
    ended: int
    short: int  # not completed, or over within six seconds
    ring_seconds: float | None = None  # mean of the live ones
    talk_seconds: float | None = None  # mean of the connected ones that are over
    agent_wait_seconds: float | None = None  # mean of how long agents were free before a call

    @classmethod
    def of(cls, sums: Mapping[str, Any]) -> Self:
        """Of the columns of SUMS, which of parts of the time can be added."""
        known = {each.name: sums[each.name] for each in fields(cls) if each.default is MISSING}
        return cls(
            **known,
            ring_seconds=mean(sums["ring_sum"], sums["live"]),
            talk_seconds=mean(sums["talk_sum"], sums["talks"]),
            agent_wait_seconds=mean(sums["wait_sum"], sums["waits"]),
        )

    @property
    def abandoned_percent(self) -> float:
        """Of live answers: what the limit is about."""
        return percent(self.abandoned, self.live)

    @property
    def short_percent(self) -> float:
        return percent(self.short, self.ended)


async def day(db: Db | asyncpg.Connection, campaign: Campaign, now: datetime.datetime) -> Day:
    """Today where the centre is, until now."""
    return await between(db, campaign.id, midnight(now), now)


async def window(db: Db | asyncpg.Connection, campaign: Campaign, now: datetime.datetime) -> Day:
    """The span that the campaign's limit is kept in."""
    match campaign.dialing.window:
        case "campaign":
            return await between(db, campaign.id, campaign.created, now)
        case int() as minutes:
            return await between(db, campaign.id, now - datetime.timedelta(minutes=minutes), now)
        case _:
            return await day(db, campaign, now)


async def between(
    db: Db | asyncpg.Connection, campaign_id: int, start: datetime.datetime, end: datetime.datetime
) -> Day:
    row = await db.fetchrow(
        f"""
        SELECT {SUMS} FROM (
            SELECT {TRIED} FROM attempt
             WHERE campaign_id = $1 AND started >= $2 AND started <= $3 AND dialed) AS tried
        """,
        campaign_id,
        start,
        end,
    )
    return Day.of(row)


# -- Was it heard right ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """Calls of the dialer that were listened to and taken for the same."""

    kind: str  # as `Attempt.detection` says it
    calls: int
    judged: int  # an agent had them, and they are over
    voicemail: int  # of the judged ones: the agent pressed *voicemail*, or the campaign took them away
    mean_ms: float | None  # until it was known

    @property
    def voicemail_percent(self) -> float:
        return percent(self.voicemail, self.judged)

    @property
    def people(self) -> int:
        """Of the judged ones: spoken to."""
        return self.judged - self.voicemail


async def detection(
    db: Db | asyncpg.Connection, campaign: Campaign, start: datetime.datetime, end: datetime.datetime
) -> tuple[Heard, ...]:
    """What was heard by what agents said of it (issue 4): people taken for machines and machines for people
    that reached an agent, the most frequent first. Without detection there is nothing."""
    rows = await db.fetch(
        """
        SELECT detection AS kind, count(*) AS calls, count(*) FILTER (WHERE judged) AS judged,
               count(*) FILTER (WHERE judged AND situation = 'voicemail') AS voicemail,
               avg(detection_ms)::double precision AS mean_ms
          FROM (SELECT detection, detection_ms, situation,
                       connected IS NOT NULL AND ended IS NOT NULL AS judged
                  FROM attempt
                 WHERE campaign_id = $1 AND started >= $2 AND started <= $3 AND dialed AND by_dialer
                   AND detection <> '') AS heard
         GROUP BY kind ORDER BY calls DESC, kind
        """,
        campaign.id,
        start,
        end,
    )
    return tuple(Heard(**row) for row in rows)


# -- What the carrier counts -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Used:
    """Calls of campaigns over one trunk, or over all."""

    month: int  # since its first day, where the centre is
    today: int
    today_short: int

    @property
    def short_percent(self) -> float:
        return percent(self.today_short, self.today)


@dataclass(frozen=True, slots=True)
class Month:
    """What MONTH_CALLS and SHORT_DAY_CALLS are compared with, the company's CNPJ being the centre's own."""

    trunks: Mapping[int, Used]  # 0 where the trunk is not known
    others: int  # calls out this month that were no campaign's

    @property
    def all(self) -> Used:
        used = self.trunks.values()
        return Used(
            sum(each.month for each in used) + self.others,
            sum(each.today for each in used),
            sum(each.today_short for each in used),
        )


@dataclass(frozen=True, slots=True)
class OfDay:
    calls: Counter[int] = field(default_factory=Counter)  # by trunk
    short: Counter[int] = field(default_factory=Counter)
    others: int = 0


async def month(db: Db, now: datetime.datetime) -> Month:
    """Today and yesterday are counted each time, the days before once."""
    known: dict[datetime.date, OfDay] = db.remembered.setdefault(REMEMBERED, {})
    today = now.astimezone(ZONE).date()
    for each in [each for each in known if each < today.replace(day=1)]:
        del known[each]
    days = [today.replace(day=n) for n in range(1, today.day + 1)]
    settled = [each for each in days if each < today - DAY]
    unknown = [each for each in days if each not in settled or each not in known]
    counted = await by_day(db, unknown)
    known |= {each: counted[each] for each in settled if each in counted}
    everything = [counted.get(each) or known[each] for each in days]
    calls: Counter[int] = sum((each.calls for each in everything), Counter())
    return Month(
        {
            trunk: Used(n, everything[-1].calls[trunk], everything[-1].short[trunk])
            for trunk, n in calls.items()
        },
        sum(each.others for each in everything),
    )


async def by_day(db: Db, days: Sequence[datetime.date]) -> dict[datetime.date, OfDay]:
    """Days one after the other, each counted by what it has."""
    found = {}
    for each in days:
        start = datetime.datetime.combine(each, datetime.time(), ZONE)
        end = datetime.datetime.combine(each + DAY, datetime.time(), ZONE)
        rows = await db.fetch(
            f"""
            SELECT coalesce(tried.trunk_id, 0) AS trunk_id, count(*) AS calls,
                   count(*) FILTER (WHERE {SHORT}) AS short
              FROM campaign
              JOIN attempt AS tried ON tried.campaign_id = campaign.id
                                   AND tried.started >= $1 AND tried.started < $2 AND tried.dialed
             GROUP BY 1
            """,
            start,
            end,
        )
        others = await db.fetchval(
            """
            SELECT count(*) FROM call
             WHERE call.direction = 'outbound' AND call.started >= $1 AND call.started < $2
               AND NOT EXISTS (SELECT FROM attempt
                                WHERE attempt.call_id = call.id
                                  AND attempt.started > $1::timestamptz - interval '1 day'
                                  AND attempt.started < $2::timestamptz + interval '1 day')
            """,
            start,
            end,
        )
        found[each] = OfDay(
            Counter({row["trunk_id"]: row["calls"] for row in rows}),
            Counter({row["trunk_id"]: row["short"] for row in rows}),
            others,
        )
    return found


# -- What a simulation draws from --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class History:
    """Of a campaign's calls, whoever dialed them; shares are of all dialed unless said otherwise."""

    dialed: int
    live: int
    machines: int  # fax and silence too
    failed: int  # busy, refused, no such number: over without ringing out
    by_hour: Mapping[int, tuple[int, int]]  # hour of the centre's day: dialed, live
    ring_seconds: tuple[float, ...]  # of the live ones, the latest SAMPLES_MAX of each
    machine_ring_seconds: tuple[float, ...]
    talk_seconds: tuple[float, ...]
    wrap_seconds: tuple[float, ...]  # from the end of the call until the form was saved

    @property
    def answer_rate(self) -> float:
        return self.live / self.dialed if self.dialed else 0.0

    @property
    def machine_share(self) -> float:
        """Of whatever lifted."""
        lifted = self.live + self.machines
        return self.machines / lifted if lifted else 0.0

    @property
    def fail_share(self) -> float:
        """Of what nobody lifted."""
        rest = self.dialed - self.live - self.machines
        return self.failed / rest if rest else 0.0


async def history(
    db: Db | asyncpg.Connection, campaign: Campaign, days: int, now: datetime.datetime
) -> History:
    """Of so many days until now; of a campaign that never dialed, nothing."""
    arguments = (campaign.id, now - days * DAY, now)
    rows = await db.fetch(
        f"""
        SELECT extract(hour FROM started AT TIME ZONE '{ZONE.key}')::integer AS hour, count(*) AS dialed,
               count(*) FILTER (WHERE kind = 'live') AS live,
               count(*) FILTER (WHERE kind IN ('voicemail', 'fax', 'silence')) AS machines,
               count(*) FILTER (WHERE kind = 'nobody' AND situation IN ('busy', 'invalid', 'congestion',
                                                                        'rejected', 'failed')) AS failed
          FROM (SELECT started, situation, {KIND} AS kind FROM attempt
                 WHERE campaign_id = $1 AND started >= $2 AND started <= $3 AND dialed
                   AND ended IS NOT NULL) AS tried
         GROUP BY hour ORDER BY hour
        """,
        *arguments,
    )
    samples = await db.fetch(
        f"""
        SELECT extract(epoch FROM answered - started)::double precision AS ring, kind, talk_seconds,
               handle_seconds - extract(epoch FROM ended - coalesce(connected, started))::double precision
                   AS wrap
          FROM (SELECT started, answered, connected, ended, talk_seconds, handle_seconds, {KIND} AS kind
                  FROM attempt
                 WHERE campaign_id = $1 AND started >= $2 AND started <= $3 AND dialed
                   AND ended IS NOT NULL AND answered IS NOT NULL
                 ORDER BY started DESC LIMIT {SAMPLES_MAX}) AS tried
        """,
        *arguments,
    )
    live = [row for row in samples if row["kind"] == "live"]
    return History(
        dialed=sum(row["dialed"] for row in rows),
        live=sum(row["live"] for row in rows),
        machines=sum(row["machines"] for row in rows),
        failed=sum(row["failed"] for row in rows),
        by_hour={row["hour"]: (row["dialed"], row["live"]) for row in rows},
        ring_seconds=tuple(row["ring"] for row in live),
        machine_ring_seconds=tuple(row["ring"] for row in samples if row["kind"] != "live"),
        talk_seconds=tuple(row["talk_seconds"] for row in live if row["talk_seconds"] > 0),
        wrap_seconds=tuple(row["wrap"] for row in live if row["talk_seconds"] > 0 and row["wrap"] > 0),
    )
