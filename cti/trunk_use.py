"""How much of a trunk is in use: calls at once, and calls begun in a second. PURE."""

from dataclasses import dataclass


@dataclass(slots=True)
class TrunkUse:
    """`calls` counts both directions. Beginnings are a bucket that fills up within a second, so that no
    second has more of them than the trunk allows."""

    calls: int = 0
    _spent: float = 0.0  # beginnings that still count at `_at`
    _at: float = 0.0

    def room(self, now: float, channels_max: int, per_second: int) -> int:
        """How many calls more may begin now; 0 as a limit is none. `now` is in seconds."""
        room = [1_000_000]
        if channels_max:
            room.append(channels_max - self.calls)
        if per_second:
            room.append(int(per_second - self._left(now, per_second)))
        return max(0, min(room))

    def begin(self, now: float, per_second: int, outgoing: bool = True) -> None:
        self.calls += 1
        if outgoing and per_second:
            self._spent, self._at = self._left(now, per_second) + 1, now

    def end(self) -> None:
        self.calls -= 1

    def _left(self, now: float, per_second: int) -> float:
        return max(0.0, self._spent - (now - self._at) * per_second)
