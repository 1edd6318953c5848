"""When a queue's row on the wall turns amber or red.

Handed to the page as data: a wait crosses its threshold while nothing arrives from the server.
"""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Thresholds:
    """Amber at the first bound, red at the second."""

    service_level_percent: tuple[float, float] = (80, 60)  # below these
    wait_times_service_level: tuple[float, float] = (
        1,
        3,
    )  # longest wait, in multiples of the promised seconds
    abandoned_percent: tuple[float, float] = (5, 10)  # of the calls offered today
    offered_min: int = 10  # with fewer calls a percentage says little and colours nothing


def as_data(thresholds: Thresholds) -> dict[str, object]:
    return asdict(thresholds)
