"""One call as one SIP session, from its answer until it has ended (RFC 3261 sections 14 and 15). PURE.

How a session begins is in `incoming` and `outgoing`; how its media changes is in `offer`.
"""

from enum import StrEnum
from typing import Any

from cti.sip import events
from cti.sip.ask import Ask, Credentials
from cti.sip.core import ALLOW, SUPPORTED, Core, ServerTransaction, clean, echo, reply
from cti.sip.dialog import Dialog
from cti.sip.events import Cause
from cti.sip.flow import Flow
from cti.sip.headers import Address, BadHeader, unquote
from cti.sip.message import Request, Response, parse
from cti.sip.offer import Offers
from cti.sip.refresh import SessionTimer

DIGITS = frozenset("0123456789*#ABCD")
DIGIT_MS = 160


class State(StrEnum):
    CALLING = "calling"
    RINGING = "ringing"
    ANSWERED = "answered"  # we sent a 2xx and wait for its ACK
    UP = "up"
    ENDING = "ending"  # Ended was told, the peer is still being told
    OVER = "over"


CALLING, RINGING, ANSWERED, UP, ENDING, OVER = State


class Session:
    """`user` is free for the one who uses the stack. Commands to a session that has ended do nothing."""

    __slots__ = (
        "_core",
        "_credentials",
        "_ended",
        "_invite",
        "_may_update",
        "_offers",
        "_refer",
        "_timer",
        "dialog",
        "heard",
        "local_sdp",
        "outgoing",
        "remote_sdp",
        "state",
        "user",
    )

    def __init__(self, core: Core, dialog: Dialog, credentials: Credentials | None) -> None:
        self._core = core
        self.dialog = dialog
        self.heard = True  # the peer has said something, be it 100 only
        self._credentials = credentials
        self._invite: Request | bytes = b""
        self._ended = False
        self._may_update = False  # the peer's Allow names UPDATE
        self._refer: tuple[Request, ServerTransaction] | None = None
        self._timer: SessionTimer | None = None
        self._offers: Offers | None = None
        self.outgoing = False
        self.state = CALLING
        self.local_sdp: str | None = None
        self.remote_sdp: str | None = None
        self.user: Any = None
        core.sessions[dialog.local_tag] = self

    @property
    def id(self) -> str:
        return self.dialog.local_tag

    @property
    def call_id(self) -> str:
        return self.dialog.call_id

    @property
    def local_tag(self) -> str:
        return self.dialog.local_tag

    @property
    def remote_tag(self) -> str:
        """Empty until the peer of an outgoing call has answered anything."""
        return self.dialog.remote_tag

    @property
    def flow(self) -> Flow:
        """Where the peer's packets come from."""
        return self.dialog.learned

    @property
    def request(self) -> Request:
        """The INVITE that began it, the peer's or ours."""
        if isinstance(self._invite, bytes):
            parsed = parse(self._invite)
            assert isinstance(parsed, Request)
            self._invite = parsed
        return self._invite

    @property
    def has_ended(self) -> bool:
        return self._ended

    # What the user of the stack may do

    def ring(self, now: float, sdp: str | None = None) -> None:
        raise NotImplementedError("only an incoming call can ring here")

    def accept(self, sdp: str, now: float) -> None:
        raise NotImplementedError("only an incoming call can be accepted")

    def reject(
        self,
        status: int,
        now: float,
        reason: str | None = None,
        headers: "list[tuple[str, str]] | tuple[()]" = (),
    ) -> None:
        raise NotImplementedError("only an incoming call can be rejected")

    def hang_up(self, now: float, cause: str | None = None) -> None:
        """End it as its state requires: CANCEL, BYE or 487. Ended follows at once, the peer hears in time.

        `cause` becomes Ended's cause; a Reason value (`Q.850;cause=16;text="…"`, RFC 3326) is also sent.
        """
        if not self._ended:
            self._leave(cause or Cause.NORMAL, False, reason_of(cause or ""), now)

    def reinvite(self, sdp: str, now: float) -> None:
        """Offer other media; OfferAnswered or OfferRefused follows. Of offers that wait the last one wins."""
        if not self._ended:
            self.offers.want(sdp, now)

    def accept_offer(self, sdp: str, now: float) -> None:
        """Answer Offered; nothing happens when the peer has withdrawn it."""
        if not self._ended:
            self.offers.accept(sdp, now)

    def refuse_offer(self, status: int, now: float) -> None:
        """The media stays as it was."""
        if not self._ended:
            self.offers.refuse(status, now)

    def info(self, kind: str, body: str, now: float) -> None:
        """Send an INFO, such as `application/dtmf-relay` (RFC 6086 legacy usage)."""
        if self.state is UP:
            self._ask("INFO", "", now, body, clean(kind))

    def accept_refer(self, now: float) -> None:
        """Take on what ReferRequested asked. Tell how it goes with `notify_refer`."""
        if self._refer is not None:
            self._answer_refer(202, now)
            self.notify_refer(100, now)

    def refuse_refer(self, status: int, now: float) -> None:
        if self._refer is not None:
            self._answer_refer(status, now)

    def notify_refer(self, status: int, now: float) -> None:
        """How the call that a REFER asked for goes; a final status is the last (RFC 3515 section 2.4)."""
        if self.state is UP:
            state = "active;expires=60" if status < 200 else "terminated;reason=noresource"
            fragment = reply(status, "").partition(b"\r\n")[0].decode()
            extra = f"Event: refer\r\nSubscription-State: {state}\r\n"
            self._ask("NOTIFY", extra, now, f"{fragment}\r\n", "message/sipfrag;version=2.0")

    # What comes from the peer

    def receive(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        """A request inside the dialog, except ACK and CANCEL."""
        number = request.cseq.number
        dialog = self.dialog
        if number < dialog.remote_cseq:
            self.answer(request, transaction, 500, now)  # section 12.2.2
        else:
            dialog.remote_cseq = number
            handle = _HANDLERS.get(request.method)
            if handle is None:
                self.answer(request, transaction, 405, now, ALLOW)
            else:
                handle(self, request, transaction, now)

    def acknowledge(self, request: Request, now: float) -> None:
        """The ACK of a 2xx of ours."""
        if self._offers is not None:
            self._offers.acknowledge(request, now)

    def lost(self, flow: Flow, now: float) -> None:
        """The peer's connection is gone. Whether the peer is too is asked by another, if one is possible."""
        if self._ended:
            return
        once = self.dialog.learned == flow
        if once and self.state in (UP, ANSWERED) and self.dialog.reconnect():
            if self.state is UP:
                self._ask("OPTIONS", "", now)
        else:
            self._end(Cause.CONNECTION_LOST, True, now)
            self._forget()

    # What the parts share

    @property
    def offers(self) -> Offers:
        if self._offers is None:
            self._offers = Offers(self, self._core)
        return self._offers

    @property
    def timer(self) -> SessionTimer:
        if self._timer is None:
            self._timer = SessionTimer(self._core.wire, self._refresh, self._expire)
        return self._timer

    @property
    def credentials(self) -> Credentials | None:
        return self._credentials

    def answer(
        self,
        request: Request,
        transaction: ServerTransaction,
        status: int,
        now: float,
        extra: str = "",
        body: str = "",
    ) -> bytes:
        """Respond to a request inside the dialog. Returns what was sent, should it have to be repeated."""
        data = reply(status, echo(request, None), f"{extra}{self._core.server_line}", body)
        transaction.respond(status, data, now)
        return data

    def gone(self, cause: Cause, now: float) -> None:
        """The peer no longer knows this session, or never answers: take leave all the same."""
        if not self._ended:
            self._leave(cause, True, "", now)

    def _leave(self, cause: str, by_peer: bool, reason: str, now: float) -> None:
        """End, and let the peer know as this state of the session requires."""
        self._end(cause, by_peer, now)
        self._bye(reason, now)

    def _bye(self, reason: str, now: float) -> None:
        self.state = ENDING
        extra = f"Reason: {reason}\r\n" if reason else ""
        Ask(
            self._core, self.dialog, "BYE", f"{extra}{self._core.agent_line}", "", self._bye_answered, now,
            self._credentials,
        )  # fmt: skip

    def _bye_answered(self, status: int, response: Response | None, now: float) -> None:
        self._forget()

    def _end(self, cause: str, by_peer: bool, now: float, reason: str = "") -> None:
        """Tell the user, once, and stop every clock. The peer is told by the caller of this."""
        if self._ended:
            return
        self._ended = True
        self.state = ENDING
        if self._timer is not None:
            self._timer.stop()
        if self._offers is not None:
            self._offers.stop(now)
        if self._refer is not None:
            self._answer_refer(487, now)
        self._core.emit(events.Ended(self, cause, by_peer, reason))

    def _forget(self) -> None:
        self.state = OVER
        self._timer = self._offers = None
        self._core.sessions.pop(self.dialog.local_tag, None)

    def _ask(self, method: str, extra: str, now: float, body: str = "", kind: str = "") -> None:
        core, dialog = self._core, self.dialog
        lines = f"{core.contact(dialog.flow)}{extra}{core.agent_line}"
        Ask(core, dialog, method, lines, body, self._asked, now, self._credentials, kind)

    def _asked(self, status: int, response: Response | None, now: float) -> None:
        """Whatever was asked, these answers say that the dialog is gone (section 12.2.1.2)."""
        if self.state is not UP:
            pass  # the INVITE's own answer decides
        elif status == 481:
            self.gone(Cause.DIALOG_LOST, now)
        elif response is None:
            self.gone(Cause.TIMEOUT if status == 408 else Cause.CONNECTION_LOST, now)

    def _refresh(self, now: float) -> None:
        """Our turn to show that the session lives (RFC 4028 section 10)."""
        if self._may_update or self.local_sdp is None:
            core, dialog = self._core, self.dialog
            extra = f"{core.contact(dialog.flow)}{SUPPORTED}{self.timer.renewal()}{core.agent_line}"
            Ask(core, dialog, "UPDATE", extra, "", self._refreshed, now, self._credentials)
        else:
            self.offers.repeat(now)

    def _refreshed(self, status: int, response: Response | None, now: float) -> None:
        if response is not None and 200 <= status < 300:
            self.dialog.refresh_target(response)
            if not self._ended:
                self.timer.accept(response, now)
        elif status in (405, 501):
            self._may_update = False
            if not self._ended:
                self.offers.repeat(now)
        else:
            self._asked(status, response, now)

    def _expire(self, now: float) -> None:
        if not self._ended:
            self._leave(Cause.SESSION_EXPIRED, False, "", now)

    def _receive_bye(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        self.answer(request, transaction, 200, now)
        self._bye_received(clean(request.get("reason") or ""), now)

    def _bye_received(self, reason: str, now: float) -> None:
        if not self._ended:
            self._end(Cause.NORMAL, True, now, reason)
            self._forget()

    def _receive_invite(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        if self._ended:
            self.answer(request, transaction, 481, now)
        else:
            self.offers.receive_invite(request, transaction, now)

    def _receive_update(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        if self._ended:
            self.answer(request, transaction, 481, now)
        else:
            self.offers.receive_update(request, transaction, now)

    def _receive_prack(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        self.answer(request, transaction, 481, now)  # nothing reliable of ours is waiting, RFC 3262 section 3

    def _receive_options(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        self.answer(request, transaction, 200, now, f"{ALLOW}{SUPPORTED}Accept: application/sdp\r\n")

    def _receive_info(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        kind = request.content_type
        if not request.body:
            self.answer(request, transaction, 200, now)
        elif kind in ("application/dtmf-relay", "application/dtmf"):
            self.answer(request, transaction, 200, now)
            digit = digit_of(kind, request.body)
            if digit is not None and not self._ended:
                self._core.emit(events.Digit(self, *digit))
        else:
            self.answer(
                request, transaction, 415, now, "Accept: application/dtmf-relay, application/dtmf\r\n"
            )

    def _receive_refer(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        target = target_of(request)
        if target is None:
            self.answer(request, transaction, 400, now)
        elif self.state is not UP or self._refer is not None:
            self.answer(request, transaction, 491, now)
        else:
            self._refer = request, transaction
            self._core.emit(events.ReferRequested(self, target, request.get("referred-by")))

    def _answer_refer(self, status: int, now: float) -> None:
        assert self._refer is not None
        (request, transaction), self._refer = self._refer, None
        self.answer(
            request, transaction, status, now, self._core.contact(self.dialog.flow) if status < 300 else ""
        )

    def _receive_notify(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        self.answer(request, transaction, 489, now)  # we never subscribe


_HANDLERS = {
    "BYE": Session._receive_bye,
    "INVITE": Session._receive_invite,
    "UPDATE": Session._receive_update,
    "PRACK": lambda session, *received: session._receive_prack(*received),
    "OPTIONS": Session._receive_options,
    "INFO": Session._receive_info,
    "REFER": Session._receive_refer,
    "NOTIFY": Session._receive_notify,
}


def reason_of(cause: str) -> str:
    """The Reason header's value in what `hang_up` was given, if it is one."""
    return clean(cause) if ";" in cause else ""


def digit_of(kind: str, body: bytes) -> tuple[str, int] | None:
    """`Signal=5` and `Duration=160` of a dtmf-relay body, or the bare digit of an application/dtmf one."""
    text = body.decode("ascii", "replace")
    if kind == "application/dtmf":
        fields = {"signal": text.strip()}
    else:
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition("=") for line in text.splitlines())
        }
    signal = fields.get("signal", "").upper()
    digit = {"10": "*", "11": "#"}.get(signal, signal)
    duration = fields.get("duration", "")
    ms = int(duration[:5]) if duration.isascii() and duration.isdigit() else DIGIT_MS
    return (digit, ms) if digit in DIGITS else None


def target_of(refer: Request) -> str | None:
    """The URI in Refer-To, None when there is none that can be read."""
    value = refer.get("refer-to")
    if not value:
        return None
    try:
        return unquote(Address.parse(value).spec)
    except BadHeader:
        return None
