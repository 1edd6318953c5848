"""Changes of an answered session's media: re-INVITE and UPDATE, ours and the peer's, one at a time. PURE.

RFC 3261 section 14, RFC 3311, and the answers that RFC 6337 table 1 gives to offers that cross.
"""

from typing import TYPE_CHECKING
from zlib import crc32

from cti.sip import events
from cti.sip.ask import Ask
from cti.sip.core import ALLOW, SUPPORTED, Core, ServerTransaction, echo, reply, sdp_of
from cti.sip.dialog import Written
from cti.sip.events import Cause
from cti.sip.message import Request, Response
from cti.sip.refresh import TOO_SMALL, is_too_small
from cti.sip.repeat import Repeated
from cti.sip.transaction import T2
from cti.sip.wire import Alarm

if TYPE_CHECKING:
    from cti.sip.session import Session

SOON = "Retry-After: 1\r\n"


class Offers:
    __slots__ = (
        "_ack",
        "_asking",
        "_before",
        "_core",
        "_is_refresh",
        "_offered",
        "_pause",
        "_proceeding",
        "_session",
        "_theirs",
        "_unconfirmed",
        "_wanted",
    )

    def __init__(self, session: "Session", core: Core) -> None:
        self._session = session
        self._core = core
        self._wanted: str | None = None  # an offer of ours that waits for its turn
        self._is_refresh = False
        self._pause: Alarm | None = None  # the wait after a glare
        self._asking: Ask | None = None  # our re-INVITE under way
        self._before: str | None = None  # our description in force until that is accepted
        self._proceeding = False
        self._ack: Written | None = None
        self._theirs: tuple[Request, ServerTransaction] | None = (
            None  # the peer's offer that our user considers
        )
        self._unconfirmed: Repeated | None = None  # our 2xx to their re-INVITE
        self._offered = False  # that 2xx held our offer

    # Ours

    def want(self, sdp: str, now: float) -> None:
        self._wanted = sdp
        self._is_refresh = False
        self.proceed(now)

    def repeat(self, now: float) -> None:
        """Refresh the session with the media it has."""
        if self._wanted is None and self._asking is None:
            self._wanted = self._session.local_sdp
            self._is_refresh = True
            self.proceed(now)

    def proceed(self, now: float) -> None:
        """Send the offer that waits, if nothing is in its way any more."""
        session = self._session
        if (
            self._wanted is not None
            and session.state == "up"
            and self._asking is None
            and self._pause is None
            and self._theirs is None
            and self._unconfirmed is None
        ):
            self._before = session.local_sdp
            session.local_sdp, self._wanted = self._wanted, None
            self._proceeding = False
            self._ack = None
            core = self._core
            contact = core.contact(session.dialog.flow)
            extra = f"{contact}{ALLOW}{SUPPORTED}{session.timer.renewal()}{core.agent_line}"
            self._asking = Ask(
                core,
                session.dialog,
                "INVITE",
                extra,
                session.local_sdp or "",
                self._answer,
                now,
                session.credentials,
            )

    def _answer(self, status: int, response: Response | None, now: float) -> None:
        if status < 200:
            self._proceeding = True
        elif status < 300 and response is not None:
            self._answer_ok(response, now)
        elif self._asking is not None:
            self._asking = None
            self._refused(status, response, now)
            self.proceed(now)

    def _answer_ok(self, response: Response, now: float) -> None:
        if self._asking is None:
            if self._ack is not None:
                self._core.wire.send(self._ack.flow, self._ack.data)  # the peer did not get our ACK
            return
        session = self._session
        session.dialog.refresh_target(response)
        self._ack = self._asking.acknowledge(session.dialog)
        self._core.wire.send(self._ack.flow, self._ack.data)
        self._asking = None
        if session.has_ended:
            return
        session.timer.accept(response, now)
        sdp = sdp_of(response) or session.remote_sdp or ""
        unchanged = sdp == session.remote_sdp
        session.remote_sdp = sdp
        if not (self._is_refresh and unchanged):
            self._core.emit(events.OfferAnswered(session, sdp))
        self.proceed(now)

    def _refused(self, status: int, response: Response | None, now: float) -> None:
        session = self._session
        if session.has_ended:
            return
        refused, session.local_sdp = session.local_sdp, self._before
        if status == 491:
            if self._wanted is None:
                self._wanted = refused
            self._pause = self._core.wire.at(now + self._glare_seconds(), self._try_again)
        elif status == 481 or (response is None and not self._proceeding):
            session.gone(Cause.DIALOG_LOST if status == 481 else _cause(status), now)
        elif not self._is_refresh:
            self._core.emit(events.OfferRefused(session, status))

    def _glare_seconds(self) -> float:
        """Random within the bounds of section 14.1: the one who began the call waits longer."""
        thousandth = crc32(self._core.token().encode()) % 1000 / 1000
        return 2.1 + 1.9 * thousandth if self._session.outgoing else 2.0 * thousandth

    def _try_again(self, now: float) -> None:
        self._pause = None
        self.proceed(now)

    # The peer's

    def receive_invite(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        if self._may_consider(request, transaction, now):
            session = self._session
            sdp = sdp_of(request)
            transaction.try_soon(reply(100, echo(request, None)), now)  # type: ignore[union-attr]
            self._theirs = request, transaction
            transaction.on_cancel = self._withdrawn  # type: ignore[union-attr]
            if sdp is not None and sdp == session.remote_sdp and session.local_sdp is not None:
                self.accept(session.local_sdp, now)  # only a refresh: the same offer has the same answer
            else:
                self._core.emit(events.Offered(session, sdp))

    def receive_update(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        session = self._session
        sdp = sdp_of(request)
        if sdp is None:
            if is_too_small(request):
                session.answer(request, transaction, 422, now, TOO_SMALL)
            else:
                session.dialog.refresh_target(request)
                timer = session.timer.answer(request, now) if session.state in ("up", "answered") else ""
                session.answer(
                    request, transaction, 200, now, self._core.contact(session.dialog.flow) + timer
                )
        elif self._may_consider(request, transaction, now):
            self._theirs = request, transaction
            self._core.emit(events.Offered(session, sdp))

    def _may_consider(self, request: Request, transaction: ServerTransaction, now: float) -> bool:
        """Whether an offer can be looked at now; answers it if not."""
        session = self._session
        ours_is_open = self._asking is not None or (
            session.outgoing and session.state in ("calling", "ringing")
        )
        if ours_is_open:
            session.answer(request, transaction, 491, now)
        elif self._theirs is not None or self._unconfirmed is not None or session.state != "up":
            session.answer(request, transaction, 500, now, SOON)
        elif is_too_small(request):
            session.answer(request, transaction, 422, now, TOO_SMALL)
        elif request.body and sdp_of(request) is None:
            session.answer(request, transaction, 415, now, "Accept: application/sdp\r\n")
        else:
            return True
        return False

    def accept(self, sdp: str, now: float) -> None:
        if self._theirs is None:
            return
        (request, transaction), self._theirs = self._theirs, None
        session = self._session
        core = self._core
        session.dialog.refresh_target(request)
        offer = sdp_of(request)
        if offer is not None:
            session.remote_sdp = offer
        session.local_sdp = sdp
        extra = f"{core.contact(session.dialog.flow)}{ALLOW}{SUPPORTED}{session.timer.answer(request, now)}"
        if request.method == "INVITE":
            self._offered = offer is None
            data = session.answer(request, transaction, 200, now, extra, sdp)
            self._unconfirmed = Repeated(
                core.wire, transaction.flow, data, request.cseq.number, self._unacknowledged, now, T2
            )
        else:
            session.answer(request, transaction, 200, now, extra, sdp)
            self.proceed(now)

    def refuse(self, status: int, now: float) -> None:
        if self._theirs is not None:
            (request, transaction), self._theirs = self._theirs, None
            self._session.answer(request, transaction, status, now)
            self.proceed(now)

    def acknowledge(self, request: Request, now: float) -> None:
        if self._unconfirmed is not None and self._unconfirmed.number == request.cseq.number:
            self._unconfirmed.stop()
            self._unconfirmed = None
            sdp = sdp_of(request)
            if self._offered and sdp is not None:
                self._session.remote_sdp = sdp
                self._core.emit(events.OfferAnswered(self._session, sdp))
            self._offered = False
            self.proceed(now)

    def _unacknowledged(self, now: float) -> None:
        self._unconfirmed = None
        self._session.gone(Cause.NO_ACK, now)

    def _withdrawn(self, cancel: Request, now: float) -> None:
        self.refuse(487, now)

    def stop(self, now: float) -> None:
        """The session ends: nothing may be left waiting."""
        self._wanted = None
        self._core.wire.cancel(self._pause)
        self._pause = None
        if self._unconfirmed is not None:
            self._unconfirmed.stop()
            self._unconfirmed = None
        self.refuse(487, now)
        if self._asking is not None:
            self._asking.abandon(now)


def _cause(status: int) -> Cause:
    return Cause.TIMEOUT if status == 408 else Cause.CONNECTION_LOST
