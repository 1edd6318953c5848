"""A simulation's chart: minutes of talk an hour, and people abandoned, against what can be changed. Pure; the
template draws it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dialer.simulation import Forecast

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 596, 16, 212  # of the field with the lines
TALK_MOST = 60  # minutes an hour
ROUND = (1, 2, 5, 10, 20, 50, 100)  # where the axis of abandonment may end, in percent


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    talk_y: float
    abandoned_y: float
    label: str
    talk: float  # minutes an hour
    abandoned: float  # percent
    chosen: bool


@dataclass(frozen=True, slots=True)
class Chart:
    name: str  # of what is changed
    points: tuple[Point, ...]
    talk_line: str  # points of a polyline
    abandoned_line: str
    limit_y: float | None  # None: it lies above the chart
    ticks: tuple[tuple[float, int, float], ...]  # (y, minutes, percent)


def chart(
    name: str,
    points: Sequence[tuple[float, Forecast]],
    chosen: float,
    limit: float,
    tell: Callable[[float], str],
) -> Chart:
    """`points` in order of what is changed, `limit` in percent."""
    worst = max([limit, *(forecast.abandoned_percent for _, forecast in points)])
    most = next((end for end in ROUND if end >= worst), ROUND[-1])
    low, high = points[0][0], points[-1][0]

    def across(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(LEFT + 20 + (RIGHT - LEFT - 40) * share, 1)

    def up(share: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * min(1.0, max(0.0, share)), 1)

    placed = tuple(
        Point(
            across(value),
            up(forecast.talk_minutes_per_hour / TALK_MOST),
            up(forecast.abandoned_percent / most),
            tell(value),
            forecast.talk_minutes_per_hour,
            forecast.abandoned_percent,
            value == chosen,
        )
        for value, forecast in points
    )
    return Chart(
        name,
        placed,
        " ".join(f"{point.x},{point.talk_y}" for point in placed),
        " ".join(f"{point.x},{point.abandoned_y}" for point in placed),
        up(limit / most) if limit <= most else None,
        tuple((up(n / 4), 15 * n, most * n / 4) for n in range(5)),
    )
