"""A new password on its way from the form that made it to the one page that shows it, once. Pure."""

SECONDS_KEPT = 300.0
KEPT_MAX = 100


class Once:
    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, int, str]] = {}

    def put(self, mark: str, for_user_id: int, secret: str, now: float) -> None:
        """Keep the secret under a mark that goes into the address; the oldest go when there are too many."""
        self._kept = {key: kept for key, kept in self._kept.items() if now - kept[0] < SECONDS_KEPT}
        while len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[mark] = (now, for_user_id, secret)

    def take(self, mark: str, for_user_id: int, now: float) -> str | None:
        """The secret, to the person it was made for, the first time only."""
        kept = self._kept.get(mark)
        if kept is None or kept[1] != for_user_id:
            return None
        del self._kept[mark]
        return kept[2] if now - kept[0] < SECONDS_KEPT else None
