"""PURE. How many of the numbers dialed answer, and after how long a ring.

The level is the share of dials that become a live person. It is a mixture of filters that differ only in
how fast they forget, weighted by how well each foretold what came: a jump is followed in seconds, a quiet
level is known well. A dial counts as tried in the measure in which a person would have answered by now, so
calls that still ring tell their part, and quick failures do not mislead.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

MEMORIES = (30.0, 90.0, 300.0, 1200.0, 7200.0)  # seconds
RECENT = 2  # of them, shown as the trend
SWITCH = 0.0003  # chance per second of looking that another memory becomes the right one
PRIOR_TRIED = 8.0  # what is believed beforehand counts as so many dials, and no filter knows less than …
LEAST_TRIED = 3.0
CARE = 1.25  # standard deviations of the level that may surprise
USUAL_SECONDS = 3600.0  # the usual level is the mean of so long, at first of …
USUAL_SECONDS_FIRST = 60.0
LEAST_OF_USUAL = 0.2  # fewer answer than usual, but not fewer than this share of it:
SILENCE_MOST = 4.0  # where so many people should have answered even then, something is broken
SLOTS = 64  # seconds of ringing told apart
FADE_CALLS = 1500.0


class AnswerRate:
    """The level, told once a second how many dials were tried and how many of them answered."""

    def __init__(self, prior: float) -> None:
        self.level = prior  # share of dials that become a live person
        self.filters = [Filter(memory, prior) for memory in MEMORIES]
        self.usual, self.usual_seconds = prior, USUAL_SECONDS_FIRST
        self.unanswered = 0.0  # tried since anybody answered

    @property
    def silent(self) -> bool:
        """Nobody answers: rather the trunk's fault than the people's, so nothing is learned from it."""
        return self.unanswered * LEAST_OF_USUAL * self.usual > SILENCE_MOST

    def tell(self, tried: float, answered: int) -> None:
        """What one second brought."""
        self.unanswered = 0.0 if answered else self.unanswered + tried
        self.usual += (self.level - self.usual) / self.usual_seconds
        self.usual_seconds = min(USUAL_SECONDS, self.usual_seconds + 1)
        if self.silent:
            tried = 0.0
        if tried > 0 or answered:
            self.weigh(max(tried, 1e-6), answered)
        for one in self.filters:
            one.tell(tried, answered, self.level)
        self.level = min(0.98, max(0.002, sum(one.weight * one.level for one in self.filters)))

    def weigh(self, tried: float, answered: int) -> None:
        """By the chance each filter gave to what came."""
        found = [one.foretold(tried, answered) for one in self.filters]
        best = max(found)
        for one, logarithm in zip(self.filters, found, strict=True):
            one.weight *= math.exp(logarithm - best)
        total = sum(one.weight for one in self.filters)
        for one in self.filters:
            one.weight = one.weight / total * (1 - SWITCH) + SWITCH / len(self.filters)

    @property
    def variance(self) -> float:
        """Of the level: of each filter, and between them."""
        return sum(
            one.weight * (one.level / one.tried + (one.level - self.level) ** 2) for one in self.filters
        )

    @property
    def careful(self) -> float:
        """The level, as much higher as it may well be."""
        return min(0.98, max(LEAST_OF_USUAL * self.usual, self.level + CARE * self.variance**0.5))

    @property
    def trend(self) -> float:
        """The level of the last minutes over that of the last hours, less one."""
        return self.filters[RECENT].level / self.filters[-1].level - 1


class Filter:
    """A gamma distribution of the level, which forgets over `memory` seconds."""

    def __init__(self, memory: float, prior: float) -> None:
        self.keep = math.exp(-1.0 / memory)
        self.answered, self.tried = prior * PRIOR_TRIED, PRIOR_TRIED
        self.weight = 1 / len(MEMORIES)

    def foretold(self, tried: float, answered: int) -> float:
        """Logarithm of the chance of so many answers (negative binomial), up to what all filters share."""
        chance = self.answered * math.log(self.tried / (self.tried + tried))
        for before in range(answered):
            chance += math.log((self.answered + before) / (self.tried + tried))
        return chance

    def tell(self, tried: float, answered: int, level: float) -> None:
        """What is forgotten falls back to `level`, as sure as LEAST_TRIED dials."""
        back = LEAST_TRIED * (1 - self.keep)
        self.answered = (self.answered + answered) * self.keep + back * level
        self.tried = (self.tried + tried) * self.keep + back

    @property
    def level(self) -> float:
        return self.answered / self.tried


class Durations:
    """A histogram by the second, 0 … SLOTS; old observations fade."""

    def __init__(self, prior: Sequence[float] | Vector, weight: float) -> None:
        values = np.asarray(prior, float)
        self.counts = values / values.sum() * weight

    def saw(self, seconds: float) -> None:
        self.counts[min(SLOTS - 1, max(0, int(seconds)))] += 1

    def fade(self) -> None:
        total = self.counts.sum()
        if total > FADE_CALLS:
            self.counts *= FADE_CALLS / total

    def reached(self) -> Vector:
        """The share at most 0, 1, … SLOTS seconds long."""
        total = np.concatenate([[0.0], np.cumsum(self.counts)])
        return np.asarray(total / total[-1])

    def density(self) -> Vector:
        """Per second, smoothed over neighbours."""
        return np.convolve(self.counts / self.counts.sum(), [0.1, 0.2, 0.4, 0.2, 0.1], mode="same") + 1e-4

    @property
    def mean(self) -> float:
        return float(self.counts @ (np.arange(SLOTS) + 0.5) / self.counts.sum())


def gamma_slots(mean: float, shape: float, longest: float) -> Vector:
    """A gamma distribution by the second, none beyond `longest`."""
    at = np.arange(SLOTS) + 0.5
    density = at ** (shape - 1) * np.exp(-at * shape / mean)
    density[at > longest] = 0.0
    return np.asarray(density / density.sum())


def unanswered_slots(longest: float) -> Vector:
    """A tenth fail at once, the others ring to the end."""
    density = gamma_slots(3.0, 2.0, longest) * 0.1
    density[min(SLOTS - 1, int(longest))] += 0.9
    return density
