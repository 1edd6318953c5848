"""PURE. What may still be abandoned, and what risk a dial may take so that it is used and never overrun.

The budget is the limit's share of the live people reached in a window, less those abandoned. The risk of a
dial is its chance of meeting no agent should a person answer. `Steering` holds the greatest risk taken
where dials spend, on average, what the budget allows.
"""

import math
from collections import deque

SLICE_SECONDS = 60.0  # a rolling window moves in such steps


class Tally:
    """Live people reached and abandoned: of the whole campaign, or (`window` seconds) lately."""

    def __init__(self, window: float | None = None) -> None:
        self.window = window
        self.live = 0.0
        self.abandoned = 0.0
        self.slices: deque[list[float]] = deque()  # [began, live, abandoned]

    def add(self, now: float, live: float, abandoned: float) -> None:
        self.live += live
        self.abandoned += abandoned
        if self.window is not None:
            if not self.slices or now - self.slices[-1][0] >= SLICE_SECONDS:
                self.slices.append([now, 0.0, 0.0])
            self.slices[-1][1] += live
            self.slices[-1][2] += abandoned

    def forget(self, now: float) -> None:
        while self.window is not None and self.slices and self.slices[0][0] < now - self.window:
            _, live, abandoned = self.slices.popleft()
            self.live -= live
            self.abandoned -= abandoned

    @property
    def share(self) -> float:
        return self.abandoned / self.live if self.live > 0.5 else 0.0


MARGIN = 0.98  # of the limit is aimed at, and more to spend a credit: at most …
AIM_MOST = 2.0  # … so many times the limit
RESERVE = 0.5  # people: the last one abandoned comes whole
RISK_LEAST, RISK_MOST = 0.002, 0.6
STRETCH_FIRST, STRETCH_LEAST, STRETCH_MOST = 1.6, 0.1, 50.0
GAIN = 0.006  # of the stretch, per live person expected


class Steering:
    """The greatest risk a dial may take: what the budget allows on average, stretched, as many risk less."""

    def __init__(self) -> None:
        self.aim = 0.0  # people abandoned per live person, from now on
        self.stretch = STRETCH_FIRST

    def allow(self, limit: float, credit: float, expected: float) -> None:
        """`credit`: people that may be abandoned at once (below 0: a debt); `expected`: people to come."""
        self.aim = min(AIM_MOST * limit, max(0.0, limit + credit / max(expected, 1.0)))

    @property
    def risk(self) -> float:
        return min(RISK_MOST, max(RISK_LEAST, self.stretch * self.aim))

    def dialed(self, risk: float, live: float) -> None:
        """A call was dialed at this risk; `live` people are expected of it."""
        if self.aim > 0:
            error = max(-3.0, 1 - risk / self.aim)
            self.stretch *= math.exp(GAIN * live * error)
            self.stretch = min(STRETCH_MOST, max(STRETCH_LEAST, self.stretch))
