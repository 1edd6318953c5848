"""Which waiting call goes to which free agent. A decision, nothing else. PURE."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call in a queue: the higher priority first, then the longer wait (`since`, epoch seconds)."""

    call_id: str
    queue: str
    since: float
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Free:
    """An available agent, the queues they serve, and since when they have been available."""

    user_id: int
    queues: frozenset[str]
    since: float


def in_order(waiting: Iterable[Waiting]) -> list[Waiting]:
    return sorted(waiting, key=lambda call: (-call.priority, call.since, call.call_id))


def assign(waiting: Iterable[Waiting], agents: Iterable[Free]) -> list[tuple[Waiting, Free]]:
    """Each call in order takes the longest-available agent who serves its queue; nobody appears twice."""
    free = sorted(agents, key=lambda agent: (agent.since, agent.user_id))
    pairs = []
    for call in in_order(waiting):
        if not free:
            break
        chosen = next((agent for agent in free if call.queue in agent.queues), None)
        if chosen:
            free.remove(chosen)
            pairs.append((call, chosen))
    return pairs
