"""How a session that the peer began is answered or refused (RFC 3261 section 13.3, RFC 3262). PURE."""

from collections.abc import Sequence

from cti.sip import events
from cti.sip.core import ALLOW, SUPPORTED, Core, ServerTransaction, clean, echo, reply, sdp_of, tokens
from cti.sip.dialog import Dialog, contact_of
from cti.sip.events import Cause
from cti.sip.flow import Flow
from cti.sip.message import Request
from cti.sip.repeat import Repeated
from cti.sip.session import ANSWERED, CALLING, RINGING, UP, Session
from cti.sip.transaction import T2, ServerInvite
from cti.sip.wire import Alarm

STILL_RINGING_SECONDS = 60.0  # proxies on the way give up a call of which they hear nothing, section 13.3.1.1
RSEQ_FIRST = 1


class IncomingSession(Session):
    __slots__ = (
        "_accepting",
        "_alarm",
        "_echo",
        "_provisional",
        "_reliably",
        "_repeated",
        "_ringing",
        "_rseq",
        "_transaction",
    )

    def __init__(
        self,
        core: Core,
        request: Request,
        routes: list[str],
        transaction: ServerInvite,
        flow: Flow,
        now: float,
    ) -> None:
        tag = core.token()
        from_ = request.from_
        dialog = Dialog(
            core,
            request.call_id,
            f"{request.get('to')};tag={tag}",
            tag,
            request.get("from") or "",
            from_.tag or "",
            contact_of(request) or from_.spec,
            routes,
            flow,
        )
        dialog.remote_cseq = request.cseq.number
        dialog.aim()
        super().__init__(core, dialog, None)
        self._invite = request
        self._transaction = transaction
        self._echo = echo(request, tag)
        self._reliably = "100rel" in tokens(request, "require")
        self._rseq = RSEQ_FIRST - 1
        self._ringing: tuple[str | None] | None = (
            None  # a further 1xx that waits for the PRACK of the one before
        )
        self._accepting: str | None = None  # a 2xx that waits for it
        self._provisional: Repeated | None = None
        self._repeated: Repeated | None = None
        self._alarm: Alarm | None = None
        self._may_update = "update" in tokens(request, "allow")
        self.remote_sdp = sdp_of(request)
        transaction.on_cancel = self._canceled
        transaction.try_soon(reply(100, self._echo), now)

    def ring(self, now: float, sdp: str | None = None) -> None:
        """180, or 183 with early media."""
        if self._ended or self.state not in (CALLING, RINGING):
            return
        self.state = RINGING
        if self._provisional is not None:
            self._ringing = (sdp,)
        elif self._reliably:
            self._rseq += 1
            extra = f"Require: 100rel\r\nRSeq: {self._rseq}\r\n"
            data = self._ring(sdp, extra, now)
            self._provisional = Repeated(
                self._core.wire, self._transaction.flow, data, self._rseq, self._unpracked, now, float("inf")
            )
        else:
            self._ring(sdp, "", now)
            self._core.wire.cancel(self._alarm)
            self._alarm = self._core.wire.at(now + STILL_RINGING_SECONDS, self._still_ringing)

    def _ring(self, sdp: str | None, extra: str, now: float) -> bytes:
        if sdp is not None:
            self.local_sdp = sdp
        core = self._core
        status = 183 if sdp else 180
        head = f"{extra}{core.contact(self.dialog.flow)}{ALLOW}{core.server_line}"
        data = reply(status, self._echo, head, sdp or "")
        self._transaction.respond(status, data, now)
        return data

    def _still_ringing(self, now: float) -> None:
        self._transaction.receive_again(now)
        self._alarm = self._core.wire.at(now + STILL_RINGING_SECONDS, self._still_ringing)

    def accept(self, sdp: str, now: float) -> None:
        """200. The session is up when the peer has confirmed it."""
        if self._ended or self.state not in (CALLING, RINGING):
            return
        if self._provisional is not None and self.local_sdp is not None:
            self._accepting = sdp  # RFC 3262 section 3: not before the answer in the 1xx is confirmed
            return
        self.state = ANSWERED
        self._stop_ringing()
        self.local_sdp = sdp
        core = self._core
        request = self.request
        timer = "" if request.get("session-expires") is None else self.timer.answer(request, now)
        extra = f"{core.contact(self.dialog.flow)}{ALLOW}{SUPPORTED}{timer}{core.server_line}"
        data = reply(200, self._echo, extra, sdp)
        transaction = self._transaction
        transaction.respond(200, data, now)
        self._repeated = Repeated(
            core.wire, transaction.flow, data, request.cseq.number, self._unacknowledged, now, T2
        )

    def reject(
        self, status: int, now: float, reason: str | None = None, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Any final status from 300 on; a challenge is 401 with its header. Ended follows."""
        if not self._ended and self.state in (CALLING, RINGING):
            self._refuse(status, now, reason, headers)
            self._end(Cause.REFUSED, False, now)
            self._forget()

    def _refuse(
        self, status: int, now: float, reason: str | None = None, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        extra = "".join([f"{clean(name)}: {clean(value)}\r\n" for name, value in headers])
        data = reply(status, self._echo, extra + self._core.server_line, reason=reason and clean(reason))
        self._transaction.respond(status, data, now)

    def _leave(self, cause: str, by_peer: bool, reason: str, now: float) -> None:
        if self.state in (CALLING, RINGING):
            self._refuse(487, now, None, [("Reason", reason)] if reason else ())
            self._end(cause, by_peer, now)
            self._forget()
        elif self.state is ANSWERED:
            self._end(cause, by_peer, now)  # BYE may only follow the ACK, section 15
        else:
            super()._leave(cause, by_peer, reason, now)

    def _canceled(self, cancel: Request, now: float) -> None:
        self._refuse(487, now)
        self._core.emit(events.Canceled(self))
        self._end(Cause.CANCELED, True, now, cancel.get("reason") or "")
        self._forget()

    def acknowledge(self, request: Request, now: float) -> None:
        repeated = self._repeated
        if repeated is None or repeated.number != request.cseq.number:
            super().acknowledge(request, now)
            return
        repeated.stop()
        self._repeated = None
        if self._ended:
            self._bye("", now)
            return
        self.state = UP
        if self.remote_sdp is None and (sdp := sdp_of(request)) is not None:
            self.remote_sdp = sdp
            self._core.emit(events.OfferAnswered(self, sdp))
        if self._offers is not None:
            self._offers.proceed(now)

    def _unacknowledged(self, now: float) -> None:
        self._repeated = None
        self._end(Cause.NO_ACK, True, now)
        self._bye("", now)

    def _bye_received(self, reason: str, now: float) -> None:
        if not self._ended and self.state in (CALLING, RINGING):
            self._refuse(487, now)
        if self._repeated is not None:
            self._repeated.stop()
            self._repeated = None
            self._forget()
        super()._bye_received(reason, now)

    def _receive_prack(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        provisional = self._provisional
        confirmed = (request.get("rack") or "").split()
        if provisional is None or confirmed != [
            str(provisional.number),
            str(self.request.cseq.number),
            "INVITE",
        ]:
            self.answer(request, transaction, 481, now)
            return
        provisional.stop()
        self._provisional = None
        sdp = sdp_of(request)
        if sdp is not None and self.remote_sdp is not None:
            self.answer(request, transaction, 488, now)  # an offer before the call is answered: not taken
        else:
            self.answer(request, transaction, 200, now)
            if sdp is not None:
                self.remote_sdp = sdp
                self._core.emit(events.OfferAnswered(self, sdp))
        ringing, self._ringing = self._ringing, None
        accepting, self._accepting = self._accepting, None
        if accepting is not None:
            self.accept(accepting, now)
        elif ringing is not None:
            self.ring(now, *ringing)

    def _unpracked(self, now: float) -> None:
        """Nobody confirmed the 1xx for 64*T1: RFC 3262 section 3 says 5xx."""
        self._provisional = None
        self.reject(504, now)

    def lost(self, flow: Flow, now: float) -> None:
        if not self._ended and self.state in (CALLING, RINGING):
            self._refuse(503, now)
        super().lost(flow, now)

    def _stop_ringing(self) -> None:
        wire = self._core.wire
        wire.cancel(self._alarm)
        self._alarm = None
        if self._provisional is not None:
            self._provisional.stop()
            self._provisional = None

    def _end(self, cause: str, by_peer: bool, now: float, reason: str = "") -> None:
        self._stop_ringing()
        super()._end(cause, by_peer, now, reason)
