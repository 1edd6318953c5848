"""PURE. How long something lasts, learned from what ended and from what has not ended yet.

A life table is a rate of ending per interval of elapsed time: endings seen there, over time spent there.
What still lasts counts as time spent (right-censored), and old observations fade, so a change of habit is
followed.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

PRIOR_WEIGHT = 8.0  # what is believed beforehand counts as so many endings
FADE_ENDINGS = 400.0  # observations fade so that about so many count at any time …
FADE_SECONDS = 1200.0  # … but never faster than this
FOREVER = 1e6


class LifeTable:
    """Durations in seconds. `edges` are the intervals' beginnings, the first 0; the last one is open."""

    def __init__(self, edges: Sequence[float], mean: float, shape: float = 1.0) -> None:
        """`mean` and `shape` (of a gamma distribution) are the belief before anything was seen."""
        self.edges = np.array(edges, float)
        self.widths = np.append(np.diff(self.edges), np.inf)
        self.seen_endings = np.zeros(len(edges))
        self.seen_seconds = np.zeros(len(edges))
        self.prior_endings, self.prior_seconds = gamma_life(edges, mean, shape)
        self.total = 0  # endings ever
        self.faded_at = 0.0

    def ended(self, seconds: float) -> None:
        last = int(np.searchsorted(self.edges, seconds, side="right")) - 1
        self.seen_endings[last] += 1
        self.seen_seconds += np.clip(seconds - self.edges, 0.0, self.widths)
        self.total += 1

    def fade(self, now: float) -> None:
        """Old observations lose weight, by time, where there are enough."""
        passed, self.faded_at = now - self.faded_at, now
        weight = self.seen_endings.sum()
        if weight > FADE_ENDINGS:
            keep = max(FADE_ENDINGS / weight, np.exp(-passed / FADE_SECONDS))
            self.seen_endings *= keep
            self.seen_seconds *= keep

    def rates(self, lasting: Iterable[float] = ()) -> Vector:
        """Endings per second in each interval; `lasting` are the elapsed seconds of what goes on now."""
        endings = self.seen_endings + self.prior_endings
        seconds = self.seen_seconds + self.prior_seconds
        elapsed = np.fromiter(lasting, float)
        if len(elapsed):
            seconds = seconds + np.clip(elapsed[:, None] - self.edges, 0.0, self.widths).sum(axis=0)
        return np.asarray(endings / seconds)

    def survival(self, rates: Vector, at: NDArray[Any]) -> Vector:
        """The share that lasts longer than each of `at`."""
        knots = np.append(self.edges, FOREVER)
        hazard = np.concatenate([[0.0], np.cumsum(rates * np.diff(knots))])
        return np.asarray(np.exp(-np.interp(at, knots, hazard)))

    def mean(self) -> float:
        """Seconds, of what was seen lately and what is believed."""
        endings = self.seen_endings.sum() + self.prior_endings.sum()
        return float((self.seen_seconds.sum() + self.prior_seconds.sum()) / endings)


def gamma_life(edges: Sequence[float], mean: float, shape: float) -> tuple[Vector, Vector]:
    """Endings and seconds per interval that PRIOR_WEIGHT durations of a gamma distribution would leave."""
    steps = np.arange(0.0, max(mean * 12, edges[-1] + mean), max(mean / 100, 0.05))
    density = steps ** (shape - 1) * np.exp(-steps * shape / mean)
    density[0] = density[1] if shape <= 1 else 0.0
    survival = 1 - np.cumsum(density) / density.sum()
    width = steps[1] - steps[0]
    endings, seconds = np.zeros(len(edges)), np.zeros(len(edges))
    for number, (begin, end) in enumerate(pairwise([*edges, np.inf])):
        inside = (steps >= begin) & (steps < end)
        seconds[number] = survival[inside].sum() * width
        endings[number] = density[inside].sum() / density.sum()
    return endings * PRIOR_WEIGHT, np.maximum(seconds * PRIOR_WEIGHT, 1e-3)
