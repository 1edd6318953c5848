"""Shifts: how long each agent was in which state."""

import datetime
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShiftInterval:
    """Put into the history when the state is left, or entered with `ended` None; the last one wins."""

    user_id: int
    state: str
    started: datetime.datetime
    ended: datetime.datetime | None = None
    reason: str | None = None
