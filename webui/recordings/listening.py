"""What counts as one listening: a run of requests by one person for one recording without a long gap.

A browser fetches a recording piece by piece; the audit has one row a listening. Pure.
"""

SECONDS_BETWEEN = 600.0
LISTENINGS_KEPT_MAX = 10_000


class Listenings:
    def __init__(self) -> None:
        self._last: dict[tuple[int, str], float] = {}

    def begins(self, user_id: int, recording: str, now: float) -> bool:
        """True when this request begins a listening, which is then to be written down."""
        key = (user_id, recording)
        last = self._last.pop(key, None)
        self._last[key] = now  # the newest stands last
        if len(self._last) > LISTENINGS_KEPT_MAX:
            del self._last[next(iter(self._last))]  # forgotten early: at worst written down twice
        return last is None or now - last > SECONDS_BETWEEN
