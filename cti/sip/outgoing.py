"""How a session that we begin is answered, refused or given up (RFC 3261 sections 9.1 and 13.2). PURE."""

from collections.abc import Sequence

from cti.sip import events
from cti.sip.ask import Ask, Credentials
from cti.sip.core import ALLOW, SUPPORTED, Core, clean, route_set, sdp_of, tokens
from cti.sip.dialog import Dialog, Written, contact_of
from cti.sip.events import Cause
from cti.sip.flow import Flow
from cti.sip.message import BadMessage, Response
from cti.sip.redirect import contacts_of
from cti.sip.refresh import ASKED, longer
from cti.sip.session import CALLING, OVER, RINGING, UP, Session
from cti.sip.transaction import PROCEEDING, ClientInvite, ClientNonInvite

SUPPORTED_RELIABLY = "Supported: timer, 100rel\r\n"


class OutgoingSession(Session):
    __slots__ = ("_acks", "_ask_invite", "_cancel_reason", "_cancel_sent", "_headers", "_rseqs")

    def __init__(
        self,
        core: Core,
        uri: str,
        flow: Flow,
        from_: str,
        to: str | None,
        sdp: str,
        headers: Sequence[tuple[str, str]],
        credentials: Credentials | None,
        now: float,
    ) -> None:
        """Raises ValueError when a text given cannot stand in a header."""
        if not uri or " " in clean(uri):
            raise ValueError(f"not a Request-URI: {uri!r}")
        self._headers = "".join([f"{clean(name)}: {clean(value)}\r\n" for name, value in headers])
        local, remote = _name_addr(from_), _name_addr(to or uri)
        tag = core.token()
        dialog = Dialog(
            core, f"{core.token()}@{core.host}", f"{local};tag={tag}", tag, remote, "", uri, [], flow
        )
        super().__init__(core, dialog, credentials)
        self.outgoing, self.heard = True, False
        self.local_sdp = sdp
        self._acks: dict[str, Written] = {}  # by remote tag: a fork may bring several 2xx
        self._rseqs: dict[str, int] = {}
        self._cancel_reason: str | None = None
        self._cancel_sent = False
        extra = f"{core.contact(flow)}{ALLOW}{SUPPORTED}{ASKED}{self._headers}{core.agent_line}"
        self._ask_invite = Ask(core, dialog, "INVITE", extra, sdp, self._receive_response, now, credentials)
        self._invite = self._ask_invite.written.data

    def _receive_response(self, status: int, response: Response | None, now: float) -> None:
        self.heard = self.heard or response is not None
        if response is None or status >= 300:
            self._receive_refusal(status, response, now)
        elif status < 200:
            self._receive_provisional(status, response, now)
        else:
            self._receive_ok(response, now)

    def _receive_provisional(self, status: int, response: Response, now: float) -> None:
        if self._ended:
            self._cancel(now)
            return
        if status == 100:
            return
        tag = response.to.tag or ""
        if tag and tag != self.dialog.remote_tag:
            self.dialog = self._dialog_of(response, tag)
        if tag and response.get("rseq") is not None and not self._is_new(tag, response, now):
            return
        self.state = RINGING
        sdp = sdp_of(response)
        if sdp is not None:
            self.remote_sdp = sdp
        self._core.emit(events.Ringing(self, status, sdp))

    def _is_new(self, tag: str, response: Response, now: float) -> bool:
        """Confirm a reliable 1xx with PRACK; one that repeats or comes before its turn tells nothing new."""
        value = response.get("rseq") or ""
        if "100rel" not in tokens(response, "require") or not (value.isascii() and value.isdigit()):
            return True
        rseq = int(value[:10])
        last = self._rseqs.get(tag)
        if last is not None and rseq != last + 1:
            return False
        self._rseqs[tag] = rseq
        cseq = response.cseq
        extra = f"RAck: {rseq} {cseq.number} {cseq.method}\r\n{self._core.agent_line}"
        Ask(self._core, self.dialog, "PRACK", extra, "", self._ignore, now, self._credentials)
        return True

    def _receive_ok(self, response: Response, now: float) -> None:
        tag = response.to.tag or ""
        ack = self._acks.get(tag)
        if ack is not None:
            self._core.wire.send(ack.flow, ack.data)  # the peer did not get our ACK
        elif self._ended or self.state not in (CALLING, RINGING):
            # Our CANCEL crossed this 2xx, or another branch of a fork has won (section 13.2.2.4).
            loser = self._dialog_of(response, tag)
            self._acknowledge(loser, tag)
            Ask(self._core, loser, "BYE", self._core.agent_line, "", self._loser_left, now, self._credentials)
        else:
            self.state = UP
            if tag and tag == self.dialog.remote_tag:
                self._point(self.dialog, response, tag)
            else:
                self.dialog = self._dialog_of(response, tag)
            self._acknowledge(self.dialog, tag)
            if response.get("session-expires") is not None:
                self.timer.accept(response, now)
            self._may_update = "update" in tokens(response, "allow")
            sdp = sdp_of(response)
            if sdp is not None:
                self.remote_sdp = sdp
            self._core.emit(events.Answered(self, self.remote_sdp))
            if self._offers is not None:
                self._offers.proceed(now)

    def _acknowledge(self, dialog: Dialog, tag: str) -> None:
        self._acks[tag] = ack = self._ask_invite.acknowledge(dialog)
        self._core.wire.send(ack.flow, ack.data)

    def _loser_left(self, status: int, response: Response | None, now: float) -> None:
        if self._ended:
            self._forget()

    def _dialog_of(self, response: Response, tag: str) -> Dialog:
        """The dialog, early or of a fork, that this response makes beside ours."""
        ours = self.dialog
        dialog = Dialog(
            self._core, ours.call_id, ours.local, ours.local_tag, "", tag, ours.target, [], ours.learned
        )
        dialog.local_cseq = max(ours.local_cseq, self._ask_invite.written.number)
        self._point(dialog, response, tag)
        return dialog

    def _point(self, dialog: Dialog, response: Response, tag: str) -> None:
        """Section 12.1.2."""
        dialog.remote_tag = tag
        dialog.remote = response.get("to") or dialog.remote
        dialog.target = contact_of(response) or dialog.target
        try:
            dialog.routes = route_set(response)
        except BadMessage:
            dialog.routes = []
        dialog.learned = self._ask_invite.flow
        dialog.aim()

    def _receive_refusal(self, status: int, response: Response | None, now: float) -> None:
        if self._ended:
            self._forget()
        elif self.state in (CALLING, RINGING) and not (
            response is not None and self._ask_again(status, response, now)
        ):
            reason = (
                response.reason
                if response is not None
                else "Request Timeout"
                if status == 408
                else "Connection Lost"
            )
            retry_after = None if response is None else _seconds(response.get("retry-after"))
            contacts = contacts_of(response) if response is not None and status < 400 else ()
            self._core.emit(events.Refused(self, status, reason, retry_after, contacts))
            if response is not None:
                cause = Cause.REFUSED
            else:
                cause = Cause.TIMEOUT if status == 408 else Cause.CONNECTION_LOST
            self._end(cause, True, now, response.get("reason") or "" if response is not None else "")
            self._forget()

    def _ask_again(self, status: int, response: Response, now: float) -> bool:
        """422 and 421 say how to ask so that the peer will take it."""
        ask = self._ask_invite
        if not ask.may_try_again:
            return False
        supported, expires = SUPPORTED, ASKED
        if status == 422 and (interval := longer(response)) is not None:
            expires = interval
        elif status == 421 and "100rel" in tokens(response, "require"):
            supported = SUPPORTED_RELIABLY
        else:
            return False
        core = self._core
        ask.again(
            f"{core.contact(self.dialog.flow)}{ALLOW}{supported}{expires}{self._headers}{core.agent_line}",
            now,
        )
        return True

    def _leave(self, cause: str, by_peer: bool, reason: str, now: float) -> None:
        if self.state in (CALLING, RINGING):
            self._withdraw(reason, now)
            self._end(cause, by_peer, now)
        else:
            super()._leave(cause, by_peer, reason, now)

    def _withdraw(self, reason: str, now: float) -> None:
        """CANCEL, but not before the peer has answered something (section 9.1): timer B is the limit."""
        self._cancel_reason = reason
        self._ask_invite.abandon(now)
        self._cancel(now)

    def _cancel(self, now: float) -> None:
        transaction = self._ask_invite.transaction
        if self._cancel_sent or self._cancel_reason is None or transaction.state is not PROCEEDING:
            return
        self._cancel_sent = True
        assert isinstance(transaction, ClientInvite)
        transaction.canceled(now)
        core = self._core
        written = self._ask_invite.written
        extra = f"Reason: {self._cancel_reason}\r\n" if self._cancel_reason else ""
        dialog = self._ask_invite.dialog
        data = dialog.follow_up("CANCEL", written, dialog.remote, extra)
        key = (written.branch, "CANCEL")
        ClientNonInvite(core.wire, core.clients, key, transaction.flow, data, _nothing, _nothing, now)

    def _bye_received(self, reason: str, now: float) -> None:
        """A BYE that overtook the 2xx: take the INVITE back, should the 2xx never come."""
        if not self._ended and self.state in (CALLING, RINGING):
            self._withdraw("", now)
            self._end(Cause.NORMAL, True, now, reason)
        else:
            super()._bye_received(reason, now)

    def _ignore(self, status: int, response: Response | None, now: float) -> None:
        """The answer to a PRACK changes nothing: the INVITE's own answer will."""

    def _forget(self) -> None:
        if self.state is not OVER:
            super()._forget()

    def lost(self, flow: Flow, now: float) -> None:
        if self.state in (CALLING, RINGING):
            return  # the INVITE's transaction is told of it, and tells us
        super().lost(flow, now)


def _name_addr(text: str) -> str:
    return clean(text) if "<" in text else f"<{clean(text)}>"


def _seconds(text: str | None) -> int | None:
    digits = (text or "").partition(";")[0].partition("(")[0].strip()
    return int(digits[:9]) if digits.isascii() and digits.isdigit() else None


def _nothing(*_: object) -> None:
    pass
