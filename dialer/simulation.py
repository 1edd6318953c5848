"""PURE. What a campaign would do, before it begins: its own history, these agents, the same Pacing.

"10 agents, 25 % answered: 51 minutes of talk an hour, 2.8 % abandoned, done after 31 hours." It takes seconds
of processor time, so it belongs into a process of its own.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dialer.pacing import PREDICTIVE, Pacing
from dialer.simulated_day import Day, Deck, Detection, Draw, Movement, Outcome, World

FEW_SAMPLES = 20  # fewer say less than what is usual
AGENT_SECONDS_MOST = 500_000.0  # a longer day, or more agents, is told from a part of it …
SECONDS_LEAST = 3600.0  # … of at least so long
PREVIEW = "preview"


@dataclass(frozen=True)
class History:
    """What this campaign, or one like it, has seen. Samples are seconds; few are filled up with the usual."""

    answer: float = 0.25  # share of dials that a person answered
    failed: float = 0.1
    machines: float = 0.0  # of those that neither answered nor failed
    rings: Sequence[float] = ()  # until a person answered
    talks: Sequence[float] = ()
    wraps: Sequence[float] = ()


@dataclass(frozen=True)
class Plan:
    """What is about to start."""

    agents: int
    seconds: float = 8 * 3600.0  # open hours of a day
    numbers: int | None = None  # on the list
    attempts_max: int = 1
    retry_seconds: float = 3600.0
    mode: str = PREDICTIVE
    ratio: float = 1.5
    limit: float = 0.03
    patience: float = 2.0
    ring_seconds: float = 25.0
    lines: int = 10_000
    calls_per_second: float = 5.0
    detects: bool = False
    preview_seconds: float = 20.0  # that an agent looks at each person, in the mode preview


@dataclass(frozen=True)
class Forecast:
    """Of a day. `done_after_seconds` of open hours the list is worked; None: it has no end."""

    agents: int
    limit: float
    talk_minutes_per_hour: float  # of each agent
    abandoned_percent: float
    utilisation: float  # share of the time in talk and wrap-up
    dials_per_hour: float
    done_after_seconds: float | None
    left: int | None  # numbers of the list, at the end of the day


def simulate(history: History, plan: Plan, seed: int = 0) -> Forecast:
    """A few seconds for ten agents and eight hours; a crowd's day is told from a part of it."""
    seconds = min(plan.seconds, max(SECONDS_LEAST, AGENT_SECONDS_MOST / max(1, plan.agents)))
    world = world_of(history, replace(plan, seconds=seconds))
    if plan.mode == PREVIEW:
        outcome = by_preview(world, plan.preview_seconds, seed)
    else:
        outcome = Day(world, Pacing(plan.limit, plan.patience, plan.mode, plan.ratio), seed).run()
    worked = seconds if outcome.done_after is None else outcome.done_after
    hours = max(worked, 1.0) / 3600
    done_after, left = outcome.done_after, outcome.left
    if left and plan.numbers:
        pace = (plan.numbers - left) / worked  # numbers a second
        done_after = worked + left / pace if pace > 0 else None
        left = max(0, round(plan.numbers - pace * plan.seconds))
    return Forecast(
        agents=plan.agents,
        limit=plan.limit,
        talk_minutes_per_hour=outcome.talk_seconds / 60 / hours / max(1, plan.agents),
        abandoned_percent=100 * outcome.abandoned_share,
        utilisation=outcome.utilisation,
        dials_per_hour=outcome.dials / hours,
        done_after_seconds=done_after,
        left=left,
    )


def by_preview(world: World, look_seconds: float, seed: int) -> Outcome:
    """Each agent alone: looks at a person, is on the line while it rings, talks, writes. Nobody waits."""
    rng = np.random.default_rng(seed)
    draws = (world.ring_person, world.talk, world.wrap)
    ring, talk, wrap = (Deck(draw, rng) for draw in draws)
    draws = (world.ring_failed, world.ring_machine, world.machine_talk)
    failed, machine, heard = (Deck(draw, rng) for draw in draws)
    outcome, end = Outcome(), 0.0
    new = math.inf if world.numbers is None else world.numbers
    again: list[tuple[float, int]] = []  # when, and which try
    free = [(0.0, agent) for agent in range(world.agents)]
    while free and free[0][0] < world.seconds and (new or again):
        now, agent = heapq.heappop(free)
        if again and (again[0][0] <= now or not new):
            due, attempt = heapq.heappop(again)
            now = max(now, due)
        else:
            new, attempt = new - 1, 1
        outcome.dials += 1
        now += look_seconds
        if rng.random() < world.answer(now):
            talked, written = talk.next(), wrap.next()
            now += ring.next() + talked + written
            outcome.live += 1
            outcome.talk_seconds += talked
            outcome.busy_seconds += talked + written
        else:
            luck = rng.random()
            if luck < world.failed:
                now += failed.next()
            elif luck < world.failed + (1 - world.failed) * world.machines:
                now += machine.next() + heard.next()
            else:
                now += world.ring_seconds
            if attempt < world.attempts_max:
                heapq.heappush(again, (now + world.retry_seconds, attempt + 1))
        end = max(end, now)
        heapq.heappush(free, (now, agent))
    if world.numbers is not None:
        outcome.left = round(new) + len(again)
        outcome.done_after = None if outcome.left else end
    worked = end if outcome.done_after else world.seconds
    outcome.idle_seconds = max(0.0, world.agents * worked - outcome.busy_seconds)
    return outcome


def by_limit(history: History, plan: Plan, limits: Iterable[float]) -> list[Forecast]:
    """The trade-off: what a higher limit of abandonment brings."""
    return [simulate(history, replace(plan, limit=limit)) for limit in limits]


def by_agents(history: History, plan: Plan, agents: Iterable[int]) -> list[Forecast]:
    return [simulate(history, replace(plan, agents=number)) for number in agents]


def world_of(history: History, plan: Plan) -> World:
    """A World that repeats this history."""
    means = {
        "ring": mean(history.rings, 12.0),
        "talk": mean(history.talks, 180.0),
        "wrap": mean(history.wraps, 30.0),
    }
    return World(
        agents=plan.agents,
        seconds=plan.seconds,
        answer=lambda _: history.answer,
        talk=resampled(history.talks, 180.0, 1.0),
        wrap=resampled(history.wraps, 30.0, 2.0),
        ring_person=resampled(history.rings, 12.0, 4.0),
        ring_machine=gamma(17.0, 10.0),
        ring_failed=gamma(3.0, 2.0),
        failed=history.failed,
        machines=history.machines,
        detection=Detection(gamma(1.4, 8.0), 0.02, 0.06) if plan.detects else None,
        movements=lambda _: [Movement(0.0, agent, "login") for agent in range(plan.agents)],
        limit=plan.limit,
        patience=plan.patience,
        ring_seconds=plan.ring_seconds,
        channels=plan.lines,
        calls_per_second=plan.calls_per_second,
        numbers=plan.numbers,
        attempts_max=plan.attempts_max,
        retry_seconds=plan.retry_seconds,
        known={
            "prior": {"p": history.answer, **means},
            "limits": {
                "ring_timeout_s": plan.ring_seconds,
                "abandon_after_s": plan.patience,
                "abandon_rate": plan.limit,
            },
            "amd": {"enabled": plan.detects, "delay_mean": 1.4},
        },
    )


def resampled(samples: Sequence[float], usual: float, shape: float) -> Draw:
    """Any of the samples again; where there are few, a gamma distribution of their mean."""
    if len(samples) < FEW_SAMPLES:
        return gamma(mean(samples, usual), shape)
    values = np.asarray(samples, float)
    return lambda rng, n: rng.choice(values, n)


def mean(samples: Sequence[float], usual: float) -> float:
    """`usual` counts as FEW_SAMPLES samples more, where there are few."""
    few = max(0, FEW_SAMPLES - len(samples))
    return (sum(samples) + few * usual) / (len(samples) + few)


def gamma(average: float, shape: float) -> Draw:
    return lambda rng, n: rng.gamma(shape, average / shape, n)
