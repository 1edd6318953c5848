"""PURE. The chance that a person who answers meets no agent.

Each call in the air becomes, by each of a few horizons, a live person with some chance; each busy agent is
then still busy with some chance. A newcomer meets no agent when people and busy agents together are at
least as many as the agents there are. That count is a Poisson binomial: exact for small teams (its
characteristic function), a normal with a correction for skew for large ones.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

EXACT_AGENTS = 24  # up to so many


class Shortfall:
    """`chances`: a row per call or busy agent, a column per horizon."""

    def __init__(self, chances: Vector, agents: int) -> None:
        self.agents = agents
        if agents <= EXACT_AGENTS:
            points, self.weights = frequencies(agents)
            self.points = points
            self.product = (1 + chances[:, :, None] * points).prod(axis=0)
        else:
            total, squares = chances.sum(axis=0), (chances * chances).sum(axis=0)
            cubes = (chances * chances * chances).sum(axis=0)
            self.mean, self.variance = total, total - squares
            self.third = total - 3 * squares + 2 * cubes

    def dials(self, risk: float, joins: Vector, most: int) -> list[float]:
        """The risk of each call that may be dialed, none above `risk`; `joins`: its chance of being a person
        by each horizon."""
        return self.few(risk, joins, most) if self.agents <= EXACT_AGENTS else self.many(risk, joins, most)

    def few(self, risk: float, joins: Vector, most: int) -> list[float]:
        risks: list[float] = []
        product, factor = self.product, 1 + joins[:, None] * self.points
        while len(risks) < most:
            found = 1 - float(np.minimum.accumulate((product @ self.weights).real[::-1]).mean())
            if found > risk:
                break
            risks.append(max(0.0, found))
            product = product * factor
        return risks

    def many(self, risk: float, joins: Vector, most: int) -> list[float]:
        mean, variance, third = self.mean.tolist(), self.variance.tolist(), self.third.tolist()
        chances = joins.tolist()

        def at(number: int) -> float:
            total = worst = 0.0
            for m, v, k, q in reversed(list(zip(mean, variance, third, chances, strict=True))):
                worst = max(
                    worst,
                    tail(
                        self.agents - 0.5,
                        m + number * q,
                        v + number * q * (1 - q),
                        k + number * q * (1 - q) * (1 - 2 * q),
                    ),
                )
                total += worst
            return total / len(mean)

        risks: list[float] = []
        while len(risks) < most:
            found = at(len(risks))
            if found > risk:
                break
            risks.append(found)
        return risks


def tail(above: float, mean: float, variance: float, third: float) -> float:
    """The chance of a count above a bound: normal, corrected for skew (Edgeworth)."""
    if variance < 1e-9:
        return float(mean > above)
    deviation = math.sqrt(variance)
    z = (above - mean) / deviation
    if abs(z) > 6:
        return float(z < 0)
    density = math.exp(-0.5 * z * z) * 0.3989422804014327
    found = (
        0.5 * math.erfc(z * 0.7071067811865476) + density * third / (variance * deviation) * (z * z - 1) / 6
    )
    return min(1.0, max(0.0, found))


@cache
def frequencies(agents: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Points of the unit circle less one (half of them, the others are conjugate), and the weights that sum
    the chances of 0 … agents - 1 from the characteristic function there."""
    size = 3 * agents + 16  # a count of so many more is out of question
    half = np.arange(size // 2 + 1)
    angle = 2 * np.pi * half / size
    twice = np.where((half == 0) | (half * 2 == size), 1.0, 2.0)
    weights = np.exp(-1j * angle[:, None] * np.arange(agents)).sum(axis=1) * twice / size
    return np.exp(1j * angle) - 1, weights
