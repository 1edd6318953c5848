"""PURE. How many numbers to dial now: told the time, the events and the picture, it answers.

Every mode has the same face: `start`, `on_event`, `decide`, `why`, `figures`. The predictive one (issue 4)
knows each busy agent's chance of being free by a few moments ahead and each call's chance of being a live
person by then; the people less the agents tell the chance that one more call would meet no agent, and it
dials while that stays below the risk the abandonment limit allows.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dialer.abandonment import MARGIN, RESERVE, Steering, Tally
from dialer.answer_rate import SLOTS, AnswerRate, Durations, gamma_slots, unanswered_slots
from dialer.life_table import LifeTable
from dialer.shortfall import Shortfall

Vector = NDArray[np.float64]

EV_LOGIN, EV_LOGOUT = 1, 2  # a = agent (login: the agent is idle)
EV_BREAK_REQ = 3  # a = agent, busy: leaves when the call is wrapped up
EV_BREAK_START, EV_BREAK_END = 4, 5  # a = agent (end: the agent is idle)
EV_DIAL = 6  # a = call
EV_FAIL = 7  # a = call, b = seconds rung: busy, invalid, rejected
EV_NOANSWER = 8  # a = call, b = seconds rung
EV_PICKUP = 9  # a = call, b = seconds rung: a person or a machine
EV_MACHINE = 10  # a = call: detection said machine, hung up
EV_OFFER = 11  # a = call, b = seconds since dialed: a live person, needs an agent now
EV_CONNECT = 12  # a = call, b = agent
EV_ABANDON = 13  # a = call: no agent within the patience
EV_TALK_END = 14  # a = agent, b = seconds talked: wrap-up begins
EV_WRAP_END = 15  # a = agent, b = seconds wrapped up
EV_CANCEL = 16  # a = call, b = seconds rung
EV_DISPO = 17  # a = agent, b = 1 when the call that ended was a machine's

TALK_EDGES = (0, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100, 120, 150, 180, 240, 300, 420, 600, 900)
WRAP_EDGES = (0, 2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 35, 40, 50, 60, 80, 120)
TALK_STEP, TALK_STEPS = 5.0, 200  # seconds of talk told apart, and how many such steps
WRAP_STEP, WRAP_STEPS = 1.0, 180
HORIZONS = 6
LEARN_SECONDS = 5.0  # tables are made anew at most so often, and where nothing happened …
LEARN_SECONDS_QUIET = 30.0  # … so often
PAY_BACK_SECONDS = 1800.0  # a debt or a credit of abandonment is spread over so long
FAILING_STEP, FAILING_MOST = 0.1, 0.9  # more calls failing say nothing of people: the trunk is out
LATELY_SECONDS = 5  # dials so long ago are "now" for a reader


@dataclass
class Picture:
    """What the dialer sees. Every dict maps an id to the time its phase began, oldest first."""

    idle: dict[int, float] = field(default_factory=dict)  # agents
    talk: dict[int, float] = field(default_factory=dict)
    wrap: dict[int, float] = field(default_factory=dict)
    leaving: set[int] = field(default_factory=set)  # busy agents that go after the current call
    ring: dict[int, float] = field(default_factory=dict)  # calls
    amd: dict[int, float] = field(default_factory=dict)  # picked up, person or machine not known yet
    waiting: dict[int, float] = field(default_factory=dict)  # a live person without an agent
    channels_free: int = 0
    delivered: int = 0
    dropped: int = 0
    dials: int = 0


class Seen(Protocol):
    """A Picture, or what has its attributes."""

    idle: dict[int, float]
    talk: dict[int, float]
    wrap: dict[int, float]
    leaving: set[int]
    ring: dict[int, float]
    amd: dict[int, float]
    waiting: dict[int, float]
    channels_free: int


@dataclass(frozen=True, slots=True)
class Why:
    """`code` names a sentence of REASONS, `values` fill it in."""

    code: str
    values: Mapping[str, float]


REASONS = {
    "start": "not started yet",
    "stopped": "stopped",
    "nobody": "not dialing: no agent is available",
    "failing": "holding back: nearly every call fails at once",
    "silent": "holding back: nobody has answered for the last {unanswered} calls",
    "channels": "not dialing: every line is in use",
    "free": "dialing: {free} of {agents} agents are free, {ringing} calls ringing",
    "ahead": "dialing ahead: {finishing} of {agents} agents are about to finish, {ringing} calls ringing",
    "enough": "enough calls in the air: {free} of {agents} agents are free, {ringing} calls ringing",
    "holding": "holding back: {finishing} of {agents} agents are about to finish, {ringing} calls ringing",
    "waiting": "holding back: people wait for an agent ({waiting})",
    "budget": "holding back: {abandoned_percent} % abandoned, the limit is {limit_percent} %",
}

PREDICTIVE, PROGRESSIVE, RATIO = "predictive", "progressive", "ratio"


class Pacing:
    """Of one campaign. Settings may be changed while it runs: they hold from the next decision."""

    def __init__(
        self,
        limit: float = 0.03,
        patience: float = 2.0,
        mode: str = PREDICTIVE,
        ratio: float = 1.5,
        window: float | None = None,
        most_per_agent: float | None = None,
    ) -> None:
        """`limit`: share of live people abandoned, of the whole campaign or of the last `window` seconds.

        `patience`: seconds a person waits for an agent; `ratio`: calls in the air per free agent;
        `most_per_agent`: calls in the air per available agent, at most, in every mode.
        """
        self.limit, self.patience, self.mode, self.ratio = limit, patience, mode, ratio
        self.most_per_agent = most_per_agent
        self.tally = Tally(window)
        self.stopped = False
        self.start({})

    # Learning

    def start(self, known: Mapping[str, Any]) -> None:
        """Before the first event: what is believed (prior: p, talk, wrap, ring) and the trunk's limits."""
        prior, limits, amd = known.get("prior") or {}, known.get("limits") or {}, known.get("amd") or {}
        self.limit = float(limits.get("abandon_rate", self.limit))
        self.patience = float(limits.get("abandon_after_s", self.patience))
        longest = float(limits.get("ring_timeout_s", 25.0))
        self.lasts = float(known["duration_s"]) if known.get("duration_s") else None  # seconds
        self.detects = bool(amd.get("enabled"))
        self.detection = float(amd.get("delay_mean", 0.0)) if self.detects else 0.0
        self.false_machines = float(amd.get("fp_est", 0.0)) if amd.get("count_fp") else 0.0
        self.rate = AnswerRate(float(prior.get("p", 0.2)))
        ring = float(prior.get("ring", 12.0))
        self.rung_live = Durations(gamma_slots(ring, 4.0, longest), 10.0)
        self.offered_after = Durations(gamma_slots(ring + self.detection, 4.0, longest + 3), 10.0)
        self.rung_dead = Durations(unanswered_slots(longest), 10.0)
        self.rung_machine = Durations(gamma_slots(ring * 1.3, 6.0, longest), 5.0)
        self.talk = LifeTable(TALK_EDGES, float(prior.get("talk", 150.0)))
        self.wrap = LifeTable(WRAP_EDGES, float(prior.get("wrap", 30.0)), 2.0)
        self.dialed_in = np.zeros(SLOTS)  # dials by seconds ago
        self.second, self.answered_now = 0.0, 0
        self.failing = 0.0  # share of the calls that ended lately which did not even ring out
        self.picked_up: dict[int, float] = {}  # call in detection → seconds rung
        self.live_of_pickups = 0.5
        self.live_of_offers, self.offers_known = 1.0, 0.0
        self.pending: dict[int, float] = {}  # agent → how live the call was taken to be
        self.steering = Steering()
        self.risks: deque[float] = deque()  # of the calls answered for and not yet dialed
        self.arrival = np.diff(self.offered_after.reached())
        self.learned_at = -LEARN_SECONDS_QUIET
        self.ended = 0  # calls, talks and wraps since
        self.seen: Seen = Picture()
        self.at = 0.0
        self.began = -1.0  # until the first event

    def on_event(self, t: float, kind: int, a: int, b: float = 0) -> None:
        """Every event, before `decide`."""
        if self.began < 0:
            self.began = self.second = t
        if kind == EV_DIAL:
            if t >= self.second + 1.0:
                self.pass_seconds(t)
            self.dialed_in[0] += 1
            if self.risks:
                self.steering.dialed(self.risks.popleft(), self.rate.level)
        elif kind == EV_FAIL or kind == EV_NOANSWER:
            self.failing += ((1.0 if kind == EV_FAIL else 0.0) - self.failing) * FAILING_STEP
            self.rung_dead.saw(b)
            self.ended += 1
        elif kind == EV_PICKUP:
            self.failing *= 1 - FAILING_STEP
            if self.detects:
                self.picked_up[a] = b
        elif kind == EV_OFFER:
            self.offered(t, a, b)
        elif kind == EV_MACHINE:
            rung = self.picked_up.pop(a, None)
            if rung is not None:
                self.rung_dead.saw(rung)
                self.rung_machine.saw(rung)
                self.live_of_pickups += (0.0 - self.live_of_pickups) * 0.01
        elif kind == EV_CONNECT:
            self.pending[int(b)] = self.live_of_offers
            self.count(t, self.live_of_offers, 0.0)
        elif kind == EV_ABANDON:
            self.picked_up.pop(a, None)
            self.count(t, self.live_of_offers, self.live_of_offers)
        elif kind == EV_TALK_END:
            self.talk.ended(b)
            self.ended += 1
        elif kind == EV_DISPO:
            self.offers_known = min(self.offers_known + 1, 300.0)
            self.live_of_offers += ((0.0 if b else 1.0) - self.live_of_offers) / (self.offers_known + 3)
            taken = self.pending.pop(a, None)
            if taken is not None:
                self.count(t, (0.0 if b else 1.0) - taken, 0.0)
        elif kind == EV_WRAP_END:
            self.wrap.ended(b)
            self.ended += 1

    def offered(self, t: float, call: int, seconds: float) -> None:
        if t >= self.second + 1.0:
            self.pass_seconds(t)
        self.answered_now += 1
        rung = self.picked_up.pop(call, None)
        self.rung_live.saw(seconds if rung is None else rung)
        self.offered_after.saw(seconds)
        if rung is not None:
            self.detection += (seconds - rung - self.detection) * 0.02
            self.live_of_pickups += (1.0 - self.live_of_pickups) * 0.01

    def count(self, t: float, live: float, abandoned: float) -> None:
        """Where the rule says so, a person taken for a machine is counted too, as often as detection errs."""
        false = live * self.false_machines / (1 - self.false_machines)
        self.tally.add(t, live + false, abandoned + false)

    def pass_seconds(self, t: float) -> None:
        """Tells the level what each second that went by tried, and what it answered."""
        reached = self.arrival
        while t >= self.second + 1.0:
            tried = 0.0 if self.failing > FAILING_MOST else float(self.dialed_in @ reached)
            self.rate.tell(tried, self.answered_now)
            self.answered_now = 0
            self.dialed_in[1:] = self.dialed_in[:-1]
            self.dialed_in[0] = 0.0
            self.second += 1.0
            if self.second < t - 2 * SLOTS:
                self.second = float(int(t)) - SLOTS

    def learn(self, t: float, seen: Seen) -> None:
        """Makes the tables anew: who answers when, who is free when."""
        self.learned_at, self.ended = t, 0
        for durations in (self.rung_live, self.offered_after, self.rung_dead, self.rung_machine):
            durations.fade()
        self.talk.fade(t)
        self.wrap.fade(t)
        self.arrival = np.diff(self.offered_after.reached())
        by_second = np.arange(SLOTS + 1.0)
        offered = self.offered_after.reached()
        quantiles = (np.arange(HORIZONS) + 0.5) / HORIZONS
        self.horizons = np.interp(quantiles, offered, by_second)
        self.arrived = quantiles
        # of a call that rings since `age`: live by each horizon, over what else it may be
        ages = np.arange(SLOTS) + 0.5
        answered = self.rung_live.reached()
        later = np.interp(ages[:, None] + self.horizons - self.detection, by_second, answered)
        now = np.interp(ages, by_second, answered)
        self.ring_live = np.maximum(later - now[:, None], 0.0)
        self.ring_left = 1 - now
        self.ring_dead = 1 - np.interp(ages, by_second, self.rung_dead.reached()) + 1e-6
        self.level_tabled = -1.0
        machine, live = self.rung_machine.density(), self.rung_live.density()
        odds = live / machine * self.live_of_pickups / max(1e-3, 1 - self.live_of_pickups)
        self.pickup_live = odds / (1 + odds) if self.detects else np.ones(SLOTS)
        # of a busy agent: not free by each horizon plus the patience
        by = self.horizons + self.patience
        wrap_rates = self.wrap.rates([t - since for since in seen.wrap.values()])
        talk_rates = self.talk.rates([t - since for since in seen.talk.values()])
        elapsed = (np.arange(WRAP_STEPS) + 0.5) * WRAP_STEP
        gone = self.wrap.survival(wrap_rates, elapsed)
        self.wrap_busy = (
            self.wrap.survival(wrap_rates, elapsed[:, None] + by) / np.maximum(gone, 1e-12)[:, None]
        )
        steps = np.arange(int(by[-1]) + 2.0)
        elapsed = (np.arange(TALK_STEPS) + 0.5) * TALK_STEP
        talking = self.talk.survival(talk_rates, elapsed[:, None] + steps)
        ending = -np.diff(talking, axis=1) / np.maximum(talking[:, :1], 1e-12)
        left = by - (steps[:-1, None] + 0.5)
        wrapped = np.where(left > 0, 1 - self.wrap.survival(wrap_rates, np.maximum(left, 0.0)), 0.0)
        self.talk_busy = 1 - ending @ wrapped

    # Deciding

    def decide(self, t: float, seen: Seen) -> int:
        """How many to dial now; never more than the free channels, none where no agent is available."""
        self.at, self.seen = t, seen
        if t >= self.second + 1.0:
            self.pass_seconds(t)
        since = t - self.learned_at
        if since >= LEARN_SECONDS_QUIET or (since >= LEARN_SECONDS and self.ended):
            self.learn(t, seen)
            self.tally.forget(t)
        agents = available(seen)
        if self.stopped or agents <= 0:
            return 0
        in_air = len(seen.ring) + len(seen.amd) + len(seen.waiting)
        most = seen.channels_free
        if self.most_per_agent is not None:
            most = min(most, int(self.most_per_agent * agents) - in_air)
        if self.failing > FAILING_MOST or self.rate.silent:
            most = min(most, len(seen.idle) - in_air)
        if most <= 0:
            return 0
        elif self.mode == PREDICTIVE:
            return self.foresee(t, seen, agents, most)
        else:
            within = self.mode == RATIO and self.credit >= 0
            return max(0, min(most, int(len(seen.idle) * (self.ratio if within else 1.0)) - in_air))

    def foresee(self, t: float, seen: Seen, agents: int, most: int) -> int:
        """The greatest number whose last call meets no agent with a chance the budget allows."""
        self.steer(t, agents)
        level = self.rate.careful
        shortfall = self.shortfall(t, seen, agents, level)
        self.risks = deque(shortfall.dials(self.steering.risk, level * self.arrived, most))
        return len(self.risks)

    @property
    def credit(self) -> float:
        """People that may be abandoned at once; below 0 a debt."""
        return self.limit * self.tally.live - self.tally.abandoned

    def steer(self, t: float, agents: int) -> None:
        """Spreads what the budget allows over the people still expected."""
        passed = t - self.began
        per_second = (self.tally.live + 5.0) / (passed + 5.0 * 200.0 / agents)
        left = PAY_BACK_SECONDS if self.lasts is None else max(0.0, self.lasts - passed)
        aim = MARGIN * self.limit
        unsure = (
            self.false_machines * self.tally.live
        ) ** 0.5  # how many were taken for machines is not seen
        credit = aim * self.tally.live - self.tally.abandoned - RESERVE - unsure
        self.steering.allow(aim, credit, max(20.0, per_second * left))

    def shortfall(self, t: float, seen: Seen, agents: int, level: float) -> Shortfall:
        """Every call and busy agent with its chance of being, by each horizon, a person or not free."""
        if abs(level - self.level_tabled) > 0.01 * level:
            self.level_tabled = level
            left = level * self.ring_left + (1 - level) * self.ring_dead
            self.ring_chance = level * self.ring_live / left[:, None]
        rows = []
        if seen.ring:
            rows.append(self.ring_chance[ages(t, seen.ring, 1.0, SLOTS)])
        if seen.amd:
            rung = [min(SLOTS - 1, int(self.picked_up.get(call, 0.0))) for call in seen.amd]
            rows.append(np.repeat(self.pickup_live[rung][:, None], HORIZONS, axis=1))
        if seen.waiting:
            rows.append(np.ones((len(seen.waiting), HORIZONS)))
        rows += self.busy(t, seen)
        return Shortfall(np.concatenate(rows) if rows else np.zeros((0, HORIZONS)), agents)

    def busy(self, t: float, seen: Seen) -> list[Vector]:
        """Of those who stay: the chance of not being free by each horizon."""
        talk, wrap, leaving = seen.talk, seen.wrap, seen.leaving
        if leaving:
            talk = {agent: since for agent, since in talk.items() if agent not in leaving}
            wrap = {agent: since for agent, since in wrap.items() if agent not in leaving}
        rows = []
        if talk:
            rows.append(self.talk_busy[ages(t, talk, TALK_STEP, TALK_STEPS)])
        if wrap:
            rows.append(self.wrap_busy[ages(t, wrap, WRAP_STEP, WRAP_STEPS)])
        return rows

    # Telling

    def why(self) -> Why:
        """Why it dials, or does not, as it does now."""
        seen, agents = self.seen, available(self.seen)
        values: dict[str, float] = {
            "agents": agents,
            "free": len(seen.idle),
            "finishing": round(self.finishing()),
            "ringing": len(seen.ring) + len(seen.amd),
            "waiting": len(seen.waiting),
            "unanswered": round(self.rate.unanswered),
            "dialed": int(self.dialed_in[:LATELY_SECONDS].sum()),
            "abandoned_percent": round(100 * self.tally.share, 1),
            "limit_percent": round(100 * self.limit, 1),
        }
        if self.stopped:
            code = "stopped"
        elif agents <= 0:
            code = "nobody"
        elif self.failing > FAILING_MOST:
            code = "failing"
        elif self.rate.silent:
            code = "silent"
        elif values["dialed"]:
            code = "free" if seen.idle else "ahead"
        elif seen.channels_free <= 0:
            code = "channels"
        elif seen.waiting:
            code = "waiting"
        elif self.credit < -0.5:
            code = "budget"
        else:
            code = "enough" if seen.idle else "holding"
        return Why(code, values)

    def figures(self) -> dict[str, float]:
        """For the live page: shares of 1, seconds, people."""
        return {
            "level": self.rate.level,
            "level_deviation": self.rate.variance**0.5,
            "trend": self.rate.trend,
            "abandoned": self.tally.abandoned,
            "live": self.tally.live,
            "abandoned_share": self.tally.share,
            "limit": self.limit,
            "risk": self.steering.risk,
            "finishing": self.finishing(),
            "talk_seconds": self.talk.mean(),
            "wrap_seconds": self.wrap.mean(),
            "ring_seconds": self.rung_live.mean,
        }

    def finishing(self) -> float:
        """Busy agents expected to be free when a call dialed now would be answered."""
        if self.learned_at < 0:
            return 0.0
        busy = self.busy(self.at, self.seen)
        return float(sum((1 - rows).mean(axis=1).sum() for rows in busy))


def available(seen: Seen) -> int:
    """Agents logged in, not on a break and not about to leave."""
    return len(seen.idle) + len(seen.talk) + len(seen.wrap) - len(seen.leaving)


def ages(t: float, since: dict[int, float], step: float, steps: int) -> NDArray[np.intp]:
    """The slot of each one's elapsed time."""
    elapsed = t - np.fromiter(since.values(), float, len(since))
    return np.minimum((elapsed / step).astype(np.intp), steps - 1)
