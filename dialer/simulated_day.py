"""PURE. A made-up day of a campaign: what a Pacing decides, among calls and agents that come by chance.

A discrete-event simulation: no clock, no wires. The same World and seed give the same day.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dialer import pacing
from dialer.pacing import Picture, Seen

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]  # seconds
Course = Callable[[float], float]  # a value at each second of the day

TICK_SECONDS = 1.0


class Paces(Protocol):
    """What decides: a Pacing, or another policy to compare it with."""

    def start(self, known: Mapping[str, Any]) -> None: ...
    def on_event(self, t: float, kind: int, a: int, b: float = 0) -> None: ...
    def decide(self, t: float, seen: Seen) -> int: ...


@dataclass(frozen=True)
class Detection:
    """Of machines: how long it takes and how it errs."""

    delay: Draw
    false_machines: float = 0.0  # share of people
    missed: float = 0.0  # share of machines
    counted: bool = False  # people taken for machines count as abandoned


@dataclass(frozen=True)
class Movement:
    """An agent's, at a second of the day: comes, goes, or rests for `seconds`."""

    at: float
    agent: int
    kind: str  # login, logout, rest
    seconds: float = 0.0


@dataclass(frozen=True)
class World:
    """What a day is drawn from. Shares of 1, seconds."""

    agents: int
    seconds: float
    answer: Course  # share of dials that a person answers
    talk: Draw
    wrap: Draw
    ring_person: Draw
    ring_machine: Draw
    ring_failed: Draw
    ring_unanswered: Draw | None = None  # None: to the end
    failed: float = 0.1
    machines: float = 0.0  # of those that neither answer nor fail
    talk_scale: Course = lambda _: 1.0
    machine_talk: Draw = lambda rng, n: rng.exponential(8.0, n)
    machine_wrap: Draw = lambda rng, n: rng.exponential(4.0, n)
    detection: Detection | None = None
    movements: Callable[[np.random.Generator], Iterable[Movement]] = lambda _: ()
    limit: float = 0.03
    patience: float = 2.0
    ring_seconds: float = 25.0
    message_seconds: float = 8.0  # said to the abandoned
    channels: int = 10_000
    calls_per_second: float = 1e9
    numbers: int | None = None  # on the list; None: no end
    attempts_max: int = 1
    retry_seconds: float = 3600.0
    known: Mapping[str, Any] = field(default_factory=dict)  # told to the pacing


@dataclass
class Outcome:
    """Of one day."""

    busy_seconds: float = 0.0
    talk_seconds: float = 0.0
    idle_seconds: float = 0.0
    live: int = 0  # people reached, those abandoned among them
    abandoned: int = 0
    false_machines: int = 0
    counted: int = 0  # of them, where the rule counts them
    dials: int = 0
    done_after: float | None = None  # seconds until every number of the list was worked
    left: int | None = None  # numbers of the list

    @property
    def utilisation(self) -> float:
        return self.busy_seconds / max(1e-9, self.busy_seconds + self.idle_seconds)

    @property
    def abandoned_share(self) -> float:
        return (self.abandoned + self.counted) / max(1, self.live + self.counted)


class Deck:
    """Values of a distribution, one after the other."""

    def __init__(self, draw: Draw, rng: np.random.Generator) -> None:
        self.draw, self.rng = draw, rng
        self.values: list[float] = []

    def next(self) -> float:
        if not self.values:
            self.values = self.draw(self.rng, 2048).tolist()
        return self.values.pop()


@dataclass(slots=True)
class Dialed:
    """A call in the air; `person` and `machine` are known to fate only."""

    at: float
    attempt: int
    person: bool = False
    machine: bool = False


class Day:
    """Runs once."""

    def __init__(self, world: World, paces: Paces, seed: int = 0) -> None:
        self.world, self.paces = world, paces
        seeds = np.random.SeedSequence(seed).spawn(12)
        rngs = [np.random.default_rng(one) for one in seeds]
        self.fate = Deck(lambda rng, n: rng.random(n), rngs[0])
        self.rings = {
            "person": Deck(world.ring_person, rngs[1]),
            "machine": Deck(world.ring_machine, rngs[2]),
            "failed": Deck(world.ring_failed, rngs[3]),
            "unanswered": Deck(
                world.ring_unanswered or (lambda _, n: np.full(n, world.ring_seconds)), rngs[4]
            ),
        }
        self.talks, self.wraps = Deck(world.talk, rngs[5]), Deck(world.wrap, rngs[6])
        self.machine_talks = Deck(world.machine_talk, rngs[7])
        self.machine_wraps = Deck(world.machine_wrap, rngs[8])
        self.error = Deck(lambda rng, n: rng.random(n), rngs[9])
        self.delays = Deck(world.detection.delay if world.detection else world.talk, rngs[10])
        self.staff = rngs[11]
        self.now = 0.0
        self.order = count()
        self.agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.picture = Picture(channels_free=world.channels)
        self.outcome = Outcome()
        self.calls: dict[int, Dialed] = {}
        self.talking: dict[int, tuple[Dialed, float]] = {}  # agent → call, wrap-up to come
        self.away: dict[int, float] = {}  # agent asked to rest or leave → seconds, 0 for good
        self.gone: set[int] = set()  # agents who rest or have left
        self.tokens, self.tokens_at = world.calls_per_second, 0.0
        self.fresh = world.numbers
        self.again: deque[tuple[float, int]] = deque()  # due, attempts made
        self.open = 0  # numbers dialed and not worked yet

    # What happens

    def run(self) -> Outcome:
        world = self.world
        self.paces.start(world.known)
        for movement in world.movements(self.staff):
            self.later(movement.at, getattr(self, movement.kind), movement.agent, movement.seconds)
        self.later(0.0, self.tick)
        while self.agenda and self.agenda[0][0] < world.seconds and self.outcome.done_after is None:
            self.now, _, happen, told = heapq.heappop(self.agenda)
            happen(*told)
            self.dial()
        self.close()
        return self.outcome

    def later(self, at: float, happen: Callable[..., None], *told: Any) -> None:
        heapq.heappush(self.agenda, (at, next(self.order), happen, told))

    def tell(self, kind: int, a: int, b: float = 0) -> None:
        self.paces.on_event(self.now, kind, a, b)

    def tick(self) -> None:
        self.later(self.now + TICK_SECONDS, self.tick)

    def dial(self) -> None:
        wanted = self.paces.decide(self.now, self.picture)
        if wanted > 0:
            world = self.world
            passed = self.now - self.tokens_at
            self.tokens = min(world.calls_per_second, self.tokens + passed * world.calls_per_second)
            self.tokens_at = self.now
            for _ in range(min(wanted, self.picture.channels_free, int(self.tokens))):
                attempt = self.next_attempt()
                if attempt is None:
                    break
                self.place(attempt)

    def next_attempt(self) -> int | None:
        """Which attempt of some number is due; None when the list has nothing now."""
        if self.fresh is None:
            return 1
        if self.again and self.again[0][0] <= self.now:
            return self.again.popleft()[1] + 1
        if self.fresh:
            self.fresh -= 1
            return 1
        return None

    def place(self, attempt: int) -> None:
        world, number = self.world, self.outcome.dials
        self.outcome.dials += 1
        self.picture.dials += 1
        self.tokens -= 1
        self.open += 1
        self.picture.channels_free -= 1
        self.picture.ring[number] = self.now
        call = self.calls[number] = Dialed(self.now, attempt)
        fate, answer = self.fate.next(), world.answer(self.now)
        if fate < answer:
            call.person = True
            self.rings_until("person", number, self.pick_up)
        elif fate < answer + world.failed:
            self.rings_until("failed", number, self.fail)
        elif fate < answer + world.failed + world.machines * (1 - answer - world.failed):
            call.machine = True
            self.rings_until("machine", number, self.pick_up)
        else:
            self.rings_until("unanswered", number, self.give_up)
        self.tell(pacing.EV_DIAL, number)

    def rings_until(self, kind: str, number: int, end: Callable[[int, float], None]) -> None:
        seconds = self.rings[kind].next()
        if seconds >= self.world.ring_seconds:
            seconds = self.world.ring_seconds
            end = end if kind == "failed" else self.give_up
        self.later(self.now + seconds, end, number, seconds)

    def fail(self, number: int, seconds: float) -> None:
        self.hang_up(number)
        self.tell(pacing.EV_FAIL, number, seconds)

    def give_up(self, number: int, seconds: float) -> None:
        self.hang_up(number)
        self.tell(pacing.EV_NOANSWER, number, seconds)

    def hang_up(self, number: int) -> None:
        """Nobody was reached: the number is due again later, or worked."""
        self.picture.ring.pop(number, None)
        self.picture.amd.pop(number, None)
        self.picture.channels_free += 1
        self.put_back(self.calls.pop(number))

    def put_back(self, call: Dialed) -> None:
        if call.attempt < self.world.attempts_max:
            self.again.append((self.now + self.world.retry_seconds, call.attempt))
        self.worked()

    def worked(self) -> None:
        self.open -= 1
        if self.fresh == 0 and not self.again and not self.open:
            self.outcome.done_after = self.now

    def pick_up(self, number: int, seconds: float) -> None:
        del self.picture.ring[number]
        self.tell(pacing.EV_PICKUP, number, seconds)
        if self.world.detection:
            self.picture.amd[number] = self.now
            self.later(self.now + self.delays.next(), self.detect, number)
        else:
            self.offer(number)

    def detect(self, number: int) -> None:
        call, detection, chance = self.calls[number], self.world.detection, self.error.next()
        assert detection
        if chance >= detection.missed if call.machine else chance < detection.false_machines:
            self.outcome.false_machines += call.person
            self.hang_up(number)
            self.tell(pacing.EV_MACHINE, number)
        else:
            del self.picture.amd[number]
            self.offer(number)

    def offer(self, number: int) -> None:
        self.tell(pacing.EV_OFFER, number, self.now - self.calls[number].at)
        if self.picture.idle:
            self.connect(number, next(iter(self.picture.idle)))
        else:
            self.picture.waiting[number] = self.now
            self.later(self.now + self.world.patience, self.abandon, number)

    def abandon(self, number: int) -> None:
        if number in self.picture.waiting:
            del self.picture.waiting[number]
            call = self.calls.pop(number)
            self.outcome.live += call.person
            self.outcome.abandoned += call.person
            self.picture.dropped += 1
            self.later(self.now + self.world.message_seconds, self.free_channel)
            self.put_back(call)
            self.tell(pacing.EV_ABANDON, number)

    def free_channel(self) -> None:
        self.picture.channels_free += 1

    def connect(self, number: int, agent: int) -> None:
        call = self.calls.pop(number)
        self.outcome.idle_seconds += self.now - self.picture.idle.pop(agent)
        self.outcome.live += call.person
        self.picture.delivered += 1
        self.picture.talk[agent] = self.now
        if call.machine:
            talk, wrap = self.machine_talks.next(), self.machine_wraps.next()
        else:
            talk, wrap = self.talks.next() * self.world.talk_scale(self.now), self.wraps.next()
        self.talking[agent] = call, wrap
        self.later(self.now + talk, self.end_talk, agent, talk)
        self.tell(pacing.EV_CONNECT, number, agent)

    def end_talk(self, agent: int, seconds: float) -> None:
        call, wrap = self.talking.pop(agent)
        del self.picture.talk[agent]
        self.outcome.busy_seconds += seconds
        self.outcome.talk_seconds += seconds
        self.picture.channels_free += 1
        self.picture.wrap[agent] = self.now
        self.tell(pacing.EV_TALK_END, agent, seconds)
        self.tell(pacing.EV_DISPO, agent, int(call.machine))
        if call.machine:
            self.put_back(call)
        else:
            self.worked()
        self.later(self.now + wrap, self.end_wrap, agent, wrap)

    def end_wrap(self, agent: int, seconds: float) -> None:
        del self.picture.wrap[agent]
        self.outcome.busy_seconds += seconds
        self.tell(pacing.EV_WRAP_END, agent, seconds)
        if agent in self.away:
            self.leave(agent)
        else:
            self.ready(agent)

    def ready(self, agent: int) -> None:
        self.picture.idle[agent] = self.now
        if self.picture.waiting:
            number = next(iter(self.picture.waiting))
            del self.picture.waiting[number]
            self.connect(number, agent)

    def login(self, agent: int, _: float = 0.0) -> None:
        self.gone.discard(agent)
        self.tell(pacing.EV_LOGIN, agent)
        self.ready(agent)

    def logout(self, agent: int, _: float = 0.0) -> None:
        self.ask(agent, 0.0)

    def rest(self, agent: int, seconds: float) -> None:
        if agent not in self.gone:
            self.ask(agent, seconds)

    def ask(self, agent: int, seconds: float) -> None:
        """A busy agent goes after the call."""
        if agent in self.gone:
            self.away[agent] = seconds
        elif agent in self.picture.idle:
            self.outcome.idle_seconds += self.now - self.picture.idle.pop(agent)
            self.away[agent] = seconds
            self.leave(agent)
        elif agent in self.picture.talk or agent in self.picture.wrap:
            if self.away.get(agent) != 0.0:
                self.away[agent] = seconds
            self.picture.leaving.add(agent)
            self.tell(pacing.EV_BREAK_REQ, agent)

    def leave(self, agent: int) -> None:
        self.picture.leaving.discard(agent)
        self.gone.add(agent)
        seconds = self.away.pop(agent)
        if seconds:
            self.tell(pacing.EV_BREAK_START, agent)
            self.later(self.now + seconds, self.come_back, agent)
        else:
            self.tell(pacing.EV_LOGOUT, agent)

    def come_back(self, agent: int) -> None:
        if self.away.pop(agent, None) is None:
            self.gone.discard(agent)
            self.tell(pacing.EV_BREAK_END, agent)
            self.ready(agent)

    def close(self) -> None:
        """What still goes on counts up to now."""
        world, outcome, picture = self.world, self.outcome, self.picture
        end = world.seconds if outcome.done_after is None else self.now
        talking = sum(end - since for since in picture.talk.values())
        outcome.talk_seconds += talking
        outcome.busy_seconds += talking + sum(end - since for since in picture.wrap.values())
        outcome.idle_seconds += sum(end - since for since in picture.idle.values())
        if world.detection and world.detection.counted:
            outcome.counted = outcome.false_machines
        if self.fresh is not None:
            outcome.left = self.fresh + len(self.again) + self.open
