"""Session timers: a call whose peer vanished ends by itself (RFC 4028). PURE."""

from collections.abc import Callable
from typing import NamedTuple

from cti.sip.core import SESSION_INTERVAL, SESSION_INTERVAL_MIN, tokens
from cti.sip.message import Message, Request, Response
from cti.sip.wire import Alarm, Wire

ASKED = f"Session-Expires: {SESSION_INTERVAL}\r\nMin-SE: {SESSION_INTERVAL_MIN}\r\n"
TOO_SMALL = f"Min-SE: {SESSION_INTERVAL_MIN}\r\n"  # with a 422
INTERVAL_MAX = 24 * 3600


class Expiry(NamedTuple):
    """A Session-Expires value; `refresher` is uac, uas or empty."""

    seconds: int
    refresher: str


class SessionTimer:
    """Calls `refresh(now)` when it is our turn and `expire(now)` when nobody refreshed."""

    __slots__ = ("_alarm", "_expire", "_refresh", "_wire", "seconds", "we_refresh")

    def __init__(self, wire: Wire, refresh: Callable[[float], None], expire: Callable[[float], None]) -> None:
        self._wire = wire
        self._refresh = refresh
        self._expire = expire
        self._alarm: Alarm | None = None
        self.seconds = 0  # 0: this session has no timer
        self.we_refresh = False

    def agree(self, seconds: int, we_refresh: bool, now: float) -> None:
        """A 2xx settled the interval: begin it anew (section 10)."""
        self.stop()
        self.seconds = seconds
        self.we_refresh = we_refresh
        if we_refresh:
            self._alarm = self._wire.at(now + seconds / 2, self._ring)
        elif seconds:
            self._alarm = self._wire.at(now + seconds - min(32, seconds / 3), self._expire)

    def accept(self, response: Response, now: float) -> None:
        """The peer's 2xx to our INVITE or UPDATE."""
        expiry = expiry_of(response)
        if expiry is not None:
            self.agree(max(expiry.seconds, SESSION_INTERVAL_MIN), expiry.refresher != "uas", now)
        else:
            self.agree(0, False, now)

    def answer(self, request: Request, now: float) -> str:
        """The header lines for our 2xx to the peer's INVITE or UPDATE; the interval begins (section 9)."""
        expiry = expiry_of(request)
        if expiry is None and self.we_refresh:
            expiry = Expiry(self.seconds, "uas")  # the peer leaves it to us
        if expiry is None:
            self.agree(0, False, now)
            return ""
        knows = "timer" in tokens(request, "supported") or "timer" in tokens(request, "require")
        refresher = (expiry.refresher or "uac") if knows else "uas"
        seconds = max(expiry.seconds, SESSION_INTERVAL_MIN)
        self.agree(seconds, refresher == "uas", now)
        require = "Require: timer\r\n" if refresher == "uac" else ""
        return f"{require}Session-Expires: {seconds};refresher={refresher}\r\n"

    def renewal(self) -> str:
        """The header lines for a request of ours within the session (section 7.4)."""
        if not self.seconds:
            return ""
        refresher = "uac" if self.we_refresh else "uas"
        return f"Session-Expires: {self.seconds};refresher={refresher}\r\nMin-SE: {SESSION_INTERVAL_MIN}\r\n"

    def stop(self) -> None:
        self._wire.cancel(self._alarm)
        self._alarm = None

    def _ring(self, now: float) -> None:
        """Half of the interval is over: refresh, and if that fails let it run out."""
        self._alarm = self._wire.at(now + self.seconds / 2 - min(32, self.seconds / 3), self._expire)
        self._refresh(now)


def expiry_of(message: Message) -> Expiry | None:
    value = message.get("session-expires")
    if value is None:
        return None
    seconds, _, params = value.lower().partition(";")
    seconds = seconds.strip()
    if not (seconds.isascii() and seconds.isdigit()):
        return None
    refresher = ""
    for param in params.split(";"):
        name, _, who = param.partition("=")
        if name.strip() == "refresher" and who.strip() in ("uac", "uas"):
            refresher = who.strip()
    return Expiry(min(int(seconds[:9]), INTERVAL_MAX), refresher)


def is_too_small(request: Request) -> bool:
    """Whether to answer 422: the interval is below our minimum, and the sender understands (section 9)."""
    expiry = expiry_of(request)
    return (
        expiry is not None
        and expiry.seconds < SESSION_INTERVAL_MIN
        and "timer" in tokens(request, "supported")
    )


def longer(response: Response) -> str | None:
    """After a 422: the header lines to ask again with, None when it does not say how long (section 7.3)."""
    value = (response.get("min-se") or "").partition(";")[0].strip()
    if not (value.isascii() and value.isdigit()):
        return None
    least = min(int(value[:9]), INTERVAL_MAX)
    return f"Session-Expires: {max(least, SESSION_INTERVAL)}\r\nMin-SE: {least}\r\n"
