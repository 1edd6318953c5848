"""Queues: where calls wait, who takes them, and what is asked afterwards."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Queue:
    id: int
    name: str
    label: str
    wrapup_seconds: int  # 0 is as long as the agent needs
    ring_seconds_max: int
    service_level_seconds: int
    waiting_max: int  # calls waiting at once; one more is refused as busy
    wait_seconds_max: int  # 0 is without end
    layout_id: int | None
    tabulation_mandatory: bool
    record: bool
    members: tuple[int, ...] = ()  # ids of users
