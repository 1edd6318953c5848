"""What a peer may hold on streams: connections, and each for how long without using it. PURE.

RFC 3261 section 18 leaves these times to us; each is well above what a transaction needs (64*T1 is 32 s).
"""

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    first_seconds: float = 40.0  # from the connection to the first whole message
    unfinished_seconds: float = 10.0  # from a message's first byte to its last
    idle_seconds: float = 120.0  # without a word, a registration, a call or a transaction
    connections_max: int = 20_000
    of_one_host_max: int = 1000


class Hearing:
    """When one peer was heard. `overdue` is why its connection should be closed, empty while it need not."""

    __slots__ = ("_begun", "_heard", "_patience")

    def __init__(self, patience: Patience, now: float) -> None:
        self._patience = patience
        self._heard = now + patience.first_seconds - patience.idle_seconds  # as if it had spoken before
        self._begun: float | None = None  # when the message of which a part is here began

    def heard(self, whole: bool, unfinished: bool, now: float) -> None:
        """Bytes came: whether a whole message was among them, and whether a part of one is left over."""
        if whole:
            self._heard = now
        if not unfinished:
            self._begun = None
        elif whole or self._begun is None:
            self._begun = now

    def idle(self, now: float) -> bool:
        return now - self._heard > self._patience.idle_seconds

    def overdue(self, in_use: bool, now: float) -> str:
        if self._begun is not None and now - self._begun > self._patience.unfinished_seconds:
            return "half a message and no more"
        if self.idle(now) and not in_use:
            return "neither a message nor a registration nor a call"
        return ""


class Doorkeeper:
    """Counts the connections that peers have made."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._hosts: Counter[str] = Counter()
        self._refused: set[str] = set()

    def admit(self, host: str, connections: int) -> str:
        """Empty, or why this host gets none; the same host's next refusals are told only after `rest`."""
        if connections >= self._patience.connections_max:
            return f"there are {connections} connections already"
        if self._hosts[host] >= self._patience.of_one_host_max:
            return f"it has {self._hosts[host]} connections already"
        self._hosts[host] += 1
        return ""

    def leave(self, host: str) -> None:
        self._hosts[host] -= 1
        if self._hosts[host] <= 0:
            del self._hosts[host]

    def is_news(self, host: str) -> bool:
        """Whether this host's refusal has not been told lately."""
        told = host in self._refused
        self._refused.add(host)
        return not told

    def rest(self) -> None:
        self._refused.clear()
