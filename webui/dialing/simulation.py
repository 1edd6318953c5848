"""What to expect of a campaign's dialing, tried out before it begins with its history (dialer.simulation):
a sentence, and how talk and abandonment change with the setting that matters. In a process of its own."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from crm import campaign_counts, campaigns, dialing_figures
from crm.calls import ZONE
from crm.campaigns import Campaign
from crm.child import before_exec
from crm.dialing import Dialing
from crm.entry import Entry
from crm.hours import Hours, common, through_at
from crm.imports import SOURCE
from crm.item_states import Situation
from crm.trunks import Trunk
from crm.users import can
from dialer import retry, windows
from dialer.pacing import PREDICTIVE, RATIO
from dialer.simulation import PREVIEW, Forecast, History, Plan
from webui.auth import require
from webui.campaigns.feed import Feed
from webui.campaigns.find import find
from webui.campaigns.push import push
from webui.dialing import said
from webui.dialing.trade_off import Chart, chart
from webui.page import DB, FLOOR, words

log = logging.getLogger(__name__)

SIMULATED = ("preview", "progressive", "ratio", "predictive")
HISTORY_DAYS = 30
LITTLE = 100  # dials; of fewer the usual answer rate is taken
USUAL_ANSWER = 0.25
HOURS_USUAL = 8.0
BESIDE_SECONDS = 7200.0  # of a day, for the other points of the chart
LIMITS = (0.01, 0.02, 0.03, 0.04, 0.05)
RATIOS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
SHARES_OF_AGENTS = (0.5, 1.5, 2.0)
COUNTDOWNS = (5.0, 10.0, 20.0, 40.0, 60.0)
REGIONS = {"simulation": "dialing/simulation.html"}

routes = web.RouteTableDef()


@dataclass
class Job:
    """One campaign's newest simulation; `points` come one by one, the one asked for first."""

    mode: str
    plan: Plan
    history: History
    dials: int  # the history is of so many
    hours: Hours  # in which it dials, on each weekday
    plans: list[
        tuple[float | None, Plan]
    ]  # with what is changed, and to what; None: until the list is through
    points: list[tuple[float, Forecast]] = field(default_factory=list)
    told: int = 0  # of the plans
    through: Forecast | None = None
    failed: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def done(self) -> bool:
        return self.told == len(self.plans) or self.failed


JOBS: web.AppKey[dict[int, Job]] = web.AppKey("simulations")
FEEDS: web.AppKey[dict[int, Feed]] = web.AppKey("simulation_feeds")


async def alongside(app: web.Application) -> AsyncIterator[None]:
    app[JOBS], app[FEEDS] = {}, {}
    yield
    for feed in app[FEEDS].values():
        await feed.close()
    under_way = [job.task for job in app[JOBS].values() if job.task]
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)


@routes.get("/campaigns/{id:[0-9]{1,9}}/dialing/feed")
@require("run_campaigns")
async def feed(request: web.Request) -> web.StreamResponse:
    campaign = await find(request)

    async def ask() -> Job | None:
        return request.app[JOBS].get(campaign.id)

    return await push(request, request.app[FEEDS], campaign.id, ask, partial(drawn, request), REGIONS)


# -- Asked for -----------------------------------------------------------------------------------------------


async def begin(
    request: web.Request,
    campaign: Campaign,
    dialing: Dialing,
    trunk: Trunk | None,
    sent: MultiMapping[Any],
) -> None:
    """With these settings, agents and hours; what was simulated before is given up."""
    entry = Entry(sent)
    agents, hours = entry.whole("agents", 1, 500), entry.decimal("hours", 1, 24)
    if dialing.mode not in SIMULATED:
        entry.errors["mode"] = "not_allowed"
    entry.done()
    db, jobs = request.app[DB], request.app[JOBS]
    seen = await dialing_figures.history(db, campaign, HISTORY_DAYS, datetime.now(UTC))
    counts = await campaign_counts.by_campaign(db, [campaign.id])
    plan = plan_of(
        campaign,
        dialing,
        trunk,
        agents,
        hours,
        counts[campaign.id].left,
        detects=machines_told(request, dialing),
    )
    job = Job(
        dialing.mode,
        plan,
        history_of(seen),
        seen.dialed,
        open_hours(campaign, hours),
        [
            (value_of(plan), replace(plan, numbers=None)),
            *([(None, plan)] if plan.numbers else ()),
            *beside(plan),
        ],
    )
    before = jobs.get(campaign.id)
    if before and before.task:
        before.task.cancel()
    jobs[campaign.id] = job
    feeds = request.app[FEEDS]

    def moved() -> None:
        if watched := feeds.get(campaign.id):
            watched.move()

    job.task = asyncio.create_task(run(job, moved))


def machines_told(request: web.Request, dialing: Dialing) -> bool:
    return dialing.machine == "before" and bool(request.app[FLOOR].phones.engine.detects)


def plan_of(
    campaign: Campaign,
    dialing: Dialing,
    trunk: Trunk | None,
    agents: int,
    hours: float,
    left: int,
    detects: bool,
) -> Plan:
    lines = [each for each in (dialing.lines_max, trunk.channels_max if trunk else 0) if each]
    begun = [each for each in (dialing.calls_per_second, trunk.calls_per_second if trunk else 0) if each]
    again = campaign.retry.get(Situation.NO_ANSWER, retry.MINUTES[Situation.NO_ANSWER])
    return Plan(
        agents=agents,
        seconds=3600 * hours,
        numbers=left or None,
        attempts_max=campaign.attempts_max,
        retry_seconds=60.0 * again,
        mode=dialing.mode,
        ratio=dialing.ratio,
        limit=dialing.abandon_limit_percent / 100,
        patience=dialing.abandon_after_seconds,
        ring_seconds=dialing.ring_seconds,
        lines=min(lines, default=10_000),
        calls_per_second=min(begun, default=5.0),
        detects=detects,
        preview_seconds=dialing.preview_seconds,
    )


def history_of(seen: dialing_figures.History) -> History:
    """As the simulation takes it; with few dials the usual shares."""
    if seen.dialed < LITTLE:
        return History(
            answer=USUAL_ANSWER,
            rings=seen.ring_seconds,
            talks=seen.talk_seconds,
            wraps=seen.wrap_seconds,
        )
    rest = seen.dialed - seen.live - seen.failed
    return History(
        answer=seen.answer_rate,
        failed=seen.failed / seen.dialed,
        machines=seen.machines / rest if rest else 0.0,
        rings=seen.ring_seconds,
        talks=seen.talk_seconds,
        wraps=seen.wrap_seconds,
    )


def value_of(plan: Plan) -> float:
    """What the chart changes: the limit, the ratio, the countdown, or how many agents there are."""
    if plan.mode == PREDICTIVE:
        return plan.limit
    if plan.mode == PREVIEW:
        return plan.preview_seconds
    return plan.ratio if plan.mode == RATIO else float(plan.agents)


def beside(plan: Plan) -> list[tuple[float, Plan]]:
    """The other points of the chart, each told from a part of a day."""
    short = replace(plan, seconds=min(plan.seconds, BESIDE_SECONDS), numbers=None)
    if plan.mode == PREDICTIVE:
        return [(limit, replace(short, limit=limit)) for limit in LIMITS if limit != plan.limit]
    if plan.mode == PREVIEW:
        others = [each for each in COUNTDOWNS if each != plan.preview_seconds]
        return [(each, replace(short, preview_seconds=each)) for each in others]
    if plan.mode == RATIO:
        return [(ratio, replace(short, ratio=ratio)) for ratio in RATIOS if ratio != plan.ratio]
    crews = {max(1, round(plan.agents * share)) for share in SHARES_OF_AGENTS} - {plan.agents}
    return [(float(number), replace(short, agents=number)) for number in sorted(crews)]


async def run(job: Job, moved: Callable[[], None]) -> None:
    """Every point, as its process tells it; the process ends with this task."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webui.dialing.simulating"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=SOURCE,
        start_new_session=True,
        preexec_fn=before_exec(None, signal.SIGKILL, os.getpid()),
    )
    assert process.stdin is not None and process.stdout is not None
    asked = {"history": asdict(job.history), "plans": [asdict(plan) for _, plan in job.plans]}
    try:
        process.stdin.write(json.dumps(asked).encode())
        process.stdin.close()
        for value, _ in job.plans:
            forecast = Forecast(**json.loads(await process.stdout.readline()))
            if value is None:
                job.through = forecast
            else:
                job.points.append((value, forecast))
            job.told += 1
            moved()
    except (ValueError, OSError) as error:
        log.error("a simulation ended early: %r", error)
        job.failed = True
        moved()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


# -- When the list is through --------------------------------------------------------------------------------


def open_hours(campaign: Campaign, hours_a_day: float) -> Hours:
    """Of each weekday, so many hours from its opening on, where the destinations may be called too."""
    both = common(campaign.hours, windows.USUAL) if campaign.respect_destination_window else campaign.hours
    answer: dict[str, list[list[int]]] = {}
    for day, spans in both.items():
        left, kept = round(60 * hours_a_day), []
        for start, end in spans:
            if left > 0:
                kept.append([start, min(end, start + left)])
                left -= end - start
        if kept:
            answer[day] = kept
    return answer


# -- What the page is drawn from -----------------------------------------------------------------------------


def about(request: web.Request, campaign: Campaign, values: Mapping[str, str]) -> dict[str, Any]:
    people = request.app[FLOOR].centre.users.values()
    agents = sum(can(user, "take_calls") and campaigns.belongs(campaign, user) for user in people)
    job = request.app[JOBS].get(campaign.id)
    return {
        "simulated_agents": job.plan.agents if job else agents or 10,
        "simulated_hours": f"{job.plan.seconds / 3600 if job else HOURS_USUAL:g}",
        **drawn(request, job),
    }


def drawn(request: web.Request, job: Job | None) -> dict[str, Any]:
    """For "dialing/simulation.html"."""
    if job is None:
        return {"job": None}
    return {
        "job": job,
        "figure": partial(said.number, request),
        "expected": sentence(request, job) if job.points else "",
        "chart": drawing(request, job) if job.done and not job.failed else None,
        "little": little(request, job),
    }


def sentence(request: web.Request, job: Job) -> str:
    """10 agents, 25 % answer: 51 minutes of talk an hour, 2.8 % abandoned, through on Thursday 15:40."""
    _, number = words(request), partial(said.number, request)
    _value, forecast = job.points[0]
    told = _(
        "{agents} agents, {answer} % answer: {talk} minutes of talk an hour each, {abandoned} % abandoned"
    ).format(
        agents=job.plan.agents,
        answer=number(100 * job.history.answer, 0),
        talk=number(forecast.talk_minutes_per_hour, 0),
        abandoned=number(forecast.abandoned_percent, 1),
    )
    if job.through is None:
        return told + "."
    done = job.through.done_after_seconds
    at = through_at(job.hours, datetime.now(ZONE), done) if done is not None else None
    if at is None:
        return told + ", " + _("and the list is not through within a year.")
    day = said.day(request, at)
    return told + ", " + _("the list is through on {day} at {time}.").format(day=day, time=f"{at:%H:%M}")


def little(request: web.Request, job: Job) -> str:
    _ = words(request)
    if job.dials >= LITTLE:
        return ""
    return _(
        "There is little history: {n} calls in the last 30 days. Where it is missing, the usual is taken: "
        "25 % answer, three minutes of talk, half a minute afterwards."
    ).format(n=job.dials)


def drawing(request: web.Request, job: Job) -> Chart:
    """How talk and abandonment change with what can be changed."""
    _, number = words(request), partial(said.number, request)
    if job.mode == PREDICTIVE:
        name, tell = _("Limit of abandonment"), lambda value: number(100 * value, 1) + " %"
    elif job.mode == RATIO:
        name, tell = _("Calls for each free agent"), lambda value: number(value, 2)
    elif job.mode == PREVIEW:
        name, tell = _("Countdown, seconds"), lambda value: number(value, 0)
    else:
        name, tell = _("Agents"), lambda value: number(value, 0)
    chosen = job.points[0][0]
    return chart(name, sorted(job.points, key=lambda point: point[0]), chosen, 100 * job.plan.limit, tell)
