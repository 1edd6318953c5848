"""How much of a trunk is in use: calls at once, calls begun in a second, and whether it answers. PURE."""

from collections import deque
from dataclasses import dataclass, field

TRY_SECONDS = 10.0  # a silent trunk is given one call in so long, to see whether it answers again


@dataclass(slots=True)
class TrunkUse:
    """`calls` counts both directions. Of the calls begun, those of the last second are remembered, so that no
    second has more of them than the trunk allows, wherever it begins."""

    calls: int = 0
    silent_since: float | None = None  # since when it has answered nothing at all
    _tried: float = 0.0  # when the last call was asked for
    _begun: deque[float] = field(default_factory=deque)  # when, within the last second

    def room(self, now: float, channels_max: int, per_second: int) -> int:
        """How many calls more may begin now; 0 as a limit is none. `now` is in seconds."""
        room = [1_000_000]
        if self.silent_since is not None:
            room.append(int(not 0 <= now - self._tried < TRY_SECONDS))
        if channels_max:
            room.append(channels_max - self.calls)
        if per_second:
            room.append(per_second - self._lately(now))
        return max(0, min(room))

    def begin(self, now: float, per_second: int, outgoing: bool = True) -> None:
        self.calls += 1
        if outgoing:
            self._tried = now
        if outgoing and per_second:
            self._lately(now)
            self._begun.append(now)

    def end(self) -> None:
        self.calls -= 1

    def answers(self) -> None:
        """It said something, whatever it was."""
        self.silent_since = None

    def answers_nothing(self, now: float) -> None:
        if self.silent_since is None:
            self.silent_since = now

    def _lately(self, now: float) -> int:
        while self._begun and not now - 1.0 < self._begun[0] <= now:  # a clock may be set back
            self._begun.popleft()
        return len(self._begun)
