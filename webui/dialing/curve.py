"""The answer rate of the last hours as a line, a point for each quarter of an hour. Pure."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from crm.calls import ZONE
from crm.dialing_day import QUARTER, Quarter

HOURS = datetime.timedelta(hours=6)
WIDTH, HEIGHT, MARGIN = 240, 56, 4
ROUND = (5, 10, 20, 40, 60, 80, 100)  # where the axis may end, in percent


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float
    clock: str  # when it begins, where the centre is
    dialed: int
    percent: float


@dataclass(frozen=True, slots=True)
class Curve:
    points: tuple[Point, ...]
    lines: tuple[str, ...]  # points of polylines: a quarter in which nobody was dialed breaks it
    most: int  # percent at the top


def curve(quarters: Sequence[Quarter], now: datetime.datetime) -> Curve | None:
    """None where fewer than two quarters have anything to tell."""
    first = now - HOURS
    shown = [each for each in quarters if each.begins >= first]
    if len(shown) < 2:
        return None
    most = next(end for end in ROUND if end >= max(each.live_percent for each in shown))
    across, up = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    points = tuple(
        Point(
            round(MARGIN + across * ((each.begins - first) / HOURS), 1),
            round(HEIGHT - MARGIN - up * each.live_percent / most, 1),
            f"{each.begins.astimezone(ZONE):%H:%M}",
            each.dialed,
            each.live_percent,
        )
        for each in shown
    )
    lines: list[list[str]] = []
    before = None
    for each, point in zip(shown, points, strict=True):
        if before is None or each.begins - before > QUARTER:
            lines.append([])
        lines[-1].append(f"{point.x},{point.y}")
        before = each.begins
    return Curve(points, tuple(" ".join(line) for line in lines), most)
