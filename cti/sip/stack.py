"""One SIP user agent: packets and time go in, packets, events and the next timer come out. PURE.

Here a message finds its transaction, its session or the answer that needs neither. Such answers are stateless
(RFC 3261 section 8.2.7), so that strangers cannot fill our memory.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

from cti.sip.ask import Ask, Credentials
from cti.sip.core import (
    ALLOW,
    EXTENSIONS,
    METHODS,
    SESSION_INTERVAL_MIN,
    Core,
    ServerTransaction,
    clean,
    echo,
    reply,
    route_set,
    sdp_of,
    tokens,
)
from cti.sip.dialog import Dialog
from cti.sip.events import (
    Answered,
    Canceled,
    Cause,
    Digit,
    Ended,
    Event,
    IncomingCall,
    OfferAnswered,
    Offered,
    OfferRefused,
    OptionsAnswered,
    ReferRequested,
    Refused,
    Ringing,
)
from cti.sip.flow import Flow
from cti.sip.headers import BadHeader, Via, split_list
from cti.sip.incoming import IncomingSession
from cti.sip.message import PING, BadMessage, Request, Response, parse, validate
from cti.sip.outgoing import OutgoingSession
from cti.sip.refresh import is_too_small
from cti.sip.session import CALLING, RINGING, Session, State
from cti.sip.transaction import ClientInvite, ServerInvite, ServerNonInvite
from cti.sip.wire import Outgoing

if TYPE_CHECKING:
    from cti.sip.digest import Throttle
    from cti.sip.registrar import Registrar

RECEIVED = re.compile(r"\s*;\s*received\s*=\s*[^;]*", re.IGNORECASE)
MAGIC = "z9hG4bK"  # a branch that begins so identifies its transaction, section 8.1.1.7
CAPABILITIES = (
    f"{ALLOW}Accept: application/sdp\r\nAccept-Encoding: identity\r\nAccept-Language: pt-BR, en\r\n"
    "Supported: 100rel, timer\r\n"
)


class Stack:
    """`host` and `port` are what peers are told; `token` gives text nobody can guess, new each time.

    Of more than `sessions_max` sessions further calls are refused with 503.
    """

    def __init__(
        self,
        host: str,
        port: int,
        token: Callable[[], str],
        registrar: "Registrar | None" = None,
        user_agent: str = "Ramal",
        throttle: "Throttle | None" = None,
        tls_port: int = 5061,
        sessions_max: int = 20_000,
    ) -> None:
        self._core = Core(host, port, tls_port, token, user_agent)
        self._registrar = registrar
        self._throttle = throttle
        self._secret = token()
        self._sessions_max = sessions_max

    # In

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """One datagram or one framed message. What cannot be answered is dropped."""
        if len(data) <= 4 and PING.startswith(data):
            return
        try:
            message = parse(data)
            if isinstance(message, Response):
                self._receive_response(message, flow, now)
            else:
                self._receive_request(message, flow, now)
        except BadMessage as bad:
            self._refuse_malformed(bad, flow, now)

    def lost(self, flow: Flow, now: float) -> None:
        """A connection was closed, or could not be opened (then `flow.connection` is 0)."""
        for client in [client for client in self._core.clients.values() if client.flow == flow]:
            client.fail(503, now)
        for session in list(self._core.sessions.values()):
            if flow in session.dialog.flows:
                session.lost(flow, now)
        if self._registrar is not None:
            self._registrar.lost(flow)
            self._tell_registrations()

    def malformed(self, bad: BadMessage, flow: Flow, now: float) -> None:
        """A stream that cannot be followed any more: give a last answer if one is possible."""
        self._refuse_malformed(bad, flow, now)

    def tick(self, now: float) -> None:
        self._core.wire.tick(now)
        if self._registrar is not None:
            self._registrar.expire(now)
            self._tell_registrations()

    # Out

    def to_send(self) -> list[Outgoing]:
        return self._core.wire.to_send()

    def events(self) -> list[Event]:
        return self._core.events()

    def next_timer(self) -> float | None:
        timers = [self._core.wire.next_timer(), self._registrar.next_timer() if self._registrar else None]
        return min((when for when in timers if when is not None), default=None)

    def on_output(self, wake: Callable[[], None]) -> None:
        """`wake` is called when a packet or an event is waiting. It must only make a note."""
        self._core.wire.wake = wake

    @property
    def sessions(self) -> int:
        """How many are alive, those that only wait for a last answer included."""
        return len(self._core.sessions)

    @property
    def transactions(self) -> int:
        return len(self._core.servers) + len(self._core.clients)

    def flows_in_use(self) -> frozenset[Flow]:
        """By which a session, a transaction or a registration speaks: the others may be given up."""
        core = self._core
        used = {flow for session in core.sessions.values() for flow in session.dialog.flows}
        used.update(transaction.flow for transaction in (*core.servers.values(), *core.clients.values()))
        if self._registrar is not None:
            used.update(self._registrar.flows)
        return frozenset(used)

    # Commands

    def invite(
        self,
        uri: str,
        *,
        flow: Flow,
        from_: str,
        sdp: str,
        now: float,
        to: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        credentials: Credentials | None = None,
    ) -> Session:
        """Call `uri` by way of `flow`. Raises ValueError when a text given cannot stand in a header."""
        return OutgoingSession(self._core, uri, flow, from_, to, sdp, headers, credentials, now)

    def options(self, uri: str, flow: Flow, now: float) -> None:
        """Ask whether anybody is there; the answer is OptionsAnswered."""
        core = self._core
        tag = core.token()
        us = f"<sip:ramal@{core.host}>;tag={tag}"
        dialog = Dialog(core, f"{core.token()}@{core.host}", us, tag, f"<{clean(uri)}>", "", uri, [], flow)

        def answer(status: int, response: Response | None, now: float) -> None:
            core.emit(OptionsAnswered(flow, None if response is None else status))

        Ask(
            core,
            dialog,
            "OPTIONS",
            f"{core.contact(flow)}Accept: application/sdp\r\n{core.agent_line}",
            "",
            answer,
            now,
        )

    def hang_up(self, now: float, cause: str | None = None) -> None:
        """End every session there is: the server is about to stop."""
        for session in list(self._core.sessions.values()):
            session.hang_up(now, cause)

    # Responses

    def _receive_response(self, response: Response, flow: Flow, now: float) -> None:
        client = self._core.clients.get((response.via.branch, response.cseq.method))
        if client is not None:
            response.to  # noqa: B018  (a response without a readable To is dropped before anything acts on it)
            vias = response.get_all("via")
            if len(vias) > 1 or "," in vias[0]:
                return  # it is another's, gone astray (section 8.1.3.3)
            if client.flow != flow and flow.is_reliable:
                client.flow = flow  # the connection that was opened for the request
            client.receive(response, now)

    # Requests

    def _receive_request(self, request: Request, flow: Flow, now: float) -> None:
        core = self._core
        method = request.method
        via = request.via
        key = _key(request, via, "INVITE" if method == "ACK" else method)
        transaction = core.servers.get(key)
        if transaction is not None and not (method == "ACK" and transaction.state == "accepted"):
            if method == "ACK":
                assert isinstance(transaction, ServerInvite)
                transaction.acknowledge(now)
            else:
                transaction.receive_again(now)
            return
        if request.cseq.method != method:
            raise BadMessage("the method in CSeq is another", 400, request)
        tag = request.to.tag
        session = core.sessions.get(tag) if tag else None
        if session is not None and not _belongs(request, session):
            session = None
        if method == "ACK":
            if session is not None:
                session.acknowledge(request, now)
            return
        if session is None and self._throttle is not None and self._throttle.banned(flow.host, now):
            return
        back = _stamp(request, via, flow)
        if method == "CANCEL":
            self._receive_cancel(request, via, key, back, now)
        elif tag is None:
            self._receive_new(request, key, flow, back, now)
        elif session is None:
            self._refuse(request, 481, back)
        elif method not in METHODS:
            self._refuse(request, 501, back, ALLOW)
        elif unknown := _unknown_extensions(request):
            self._refuse(request, 420, back, f"Unsupported: {unknown}\r\n")
        else:
            session.dialog.heard(flow)
            session.receive(request, self._begin(request, key, back), now)

    def _receive_cancel(self, request: Request, via: Via, key: Any, back: Flow, now: float) -> None:
        invite = self._core.servers.get(_key(request, via, "INVITE"))
        if not isinstance(invite, ServerInvite):
            self._refuse(request, 481, back)
            return
        tag = self._tag(request)
        ServerNonInvite(self._core.wire, self._core.servers, key, back).respond(
            200, reply(200, echo(request, None if request.to.tag else tag), self._core.server_line), now
        )
        if invite.on_cancel is not None:
            cancel, invite.on_cancel = invite.on_cancel, None
            cancel(request, now)

    def _receive_new(self, request: Request, key: Any, flow: Flow, back: Flow, now: float) -> None:
        """A request outside of any dialog (section 8.2)."""
        validate(request)
        method = request.method
        if method not in METHODS:
            known = method in ("SUBSCRIBE", "MESSAGE", "PUBLISH")
            self._refuse(request, 405 if known else 501, back, ALLOW)
        elif not request.uri.lower().startswith(("sip:", "sips:", "tel:")):
            self._refuse(request, 416, back)
        elif method == "REGISTER":
            self._register(request, key, flow, back, now)
        elif unknown := _unknown_extensions(request):
            self._refuse(request, 420, back, f"Unsupported: {unknown}\r\n")
        elif method == "INVITE":
            self._invited(request, key, flow, back, now)
        elif method == "OPTIONS":
            self._refuse(request, 200, back, f"{self._core.contact(flow)}{CAPABILITIES}")
        elif method == "REFER":
            self._refuse(request, 403, back)
        elif method == "NOTIFY":
            self._refuse(request, 481, back)
        else:
            self._refuse(request, 481, back)  # BYE, INFO, UPDATE and PRACK live in dialogs only

    def _invited(self, request: Request, key: Any, flow: Flow, back: Flow, now: float) -> None:
        core = self._core
        original = (request.from_.tag, request.call_id, request.cseq.number)
        if original in core.servers:
            self._refuse(request, 482, back)  # it came by two ways, section 8.2.2.2
        elif request.get("max-forwards") is not None and request.max_forwards == 0:
            self._refuse(request, 483, back)  # we pass calls on, so a loop must end here too
        elif len(core.sessions) >= self._sessions_max:
            self._refuse(request, 503, back, "Retry-After: 10\r\n")
        elif is_too_small(request):
            self._refuse(request, 422, back, f"Min-SE: {SESSION_INTERVAL_MIN}\r\n")
        elif request.body and sdp_of(request) is None:
            self._refuse(request, 415, back, "Accept: application/sdp\r\n")
        else:
            routes = route_set(request)  # raises while nothing has been made yet
            transaction = ServerInvite(core.wire, core.servers, key, back, original)
            core.servers[original] = transaction
            core.emit(IncomingCall(IncomingSession(core, request, routes, transaction, flow, now)))

    def _begin(self, request: Request, key: Any, back: Flow) -> ServerTransaction:
        core = self._core
        if request.method == "INVITE":
            return ServerInvite(core.wire, core.servers, key, back, None)
        return ServerNonInvite(core.wire, core.servers, key, back)

    def _register(self, request: Request, key: Any, flow: Flow, back: Flow, now: float) -> None:
        core = self._core
        if self._registrar is None:
            self._refuse(request, 405, back, ALLOW)
            return
        transaction = ServerNonInvite(core.wire, core.servers, key, back)
        response, delay = self._registrar.register(request, flow, now)
        status = response.status
        data = response.encode()
        if delay > 0:
            core.wire.at(now + delay, lambda later: transaction.respond(status, data, later))
        else:
            transaction.respond(status, data, now)
        self._tell_registrations()

    def _tell_registrations(self) -> None:
        assert self._registrar is not None
        for event in self._registrar.events():
            self._core.emit(event)

    # Answers that need no memory

    def _refuse(self, request: Request, status: int, back: Flow, extra: str = "") -> None:
        to_tag = None if request.to.tag else self._tag(request)
        self._core.wire.send(back, reply(status, echo(request, to_tag), extra + self._core.server_line))

    def _refuse_malformed(self, bad: BadMessage, flow: Flow, now: float) -> None:
        request = bad.message
        if not isinstance(request, Request) or not request.answerable:
            return
        if self._throttle is not None and self._throttle.banned(flow.host, now):
            return
        back = _stamp(request, request.via, flow)
        response = request.response(bad.status, to_tag=self._tag(request))
        try:
            self._core.wire.send(back, response.encode())
        except ValueError:
            pass  # its own headers hold line breaks: there is nobody to answer

    def _tag(self, request: Request) -> str:
        """The same for each copy of a request, and none that a session has."""
        identity = f"{self._secret}{request.via.branch}{request.get('call-id')}"
        return f"{crc32(identity.encode('utf-8', 'surrogateescape')):08x}"


def _key(request: Request, via: Via, method: str) -> Any:
    """What finds the transaction of a request (section 17.2.3)."""
    branch = via.branch
    if branch.startswith(MAGIC):
        return branch, via.host, via.port, method
    cseq = request.cseq  # RFC 2543 gave branches no meaning
    return request.uri, request.from_.tag, request.call_id, cseq.number, via.host, via.port, branch, method


def _belongs(request: Request, session: Session) -> bool:
    """Section 12.2.2; while an outgoing call is not answered, any branch of a fork may speak."""
    dialog = session.dialog
    if request.call_id != dialog.call_id:
        return False
    tag = request.from_.tag or ""
    return tag == dialog.remote_tag or (session.outgoing and session.state in (CALLING, RINGING))


def _stamp(request: Request, via: Via, flow: Flow) -> Flow:
    """Note in the topmost Via where the request really came from; returns where its responses go.

    RFC 3261 section 18.2.1 and 18.2.2, RFC 3581 section 4.
    """
    rport = "rport" in via.params
    value = next(value for name, value in request.headers if name == "via")
    top, rest = value, ""
    if "," in value:
        try:
            top, *others = split_list(value)
        except BadHeader:
            others = []
        rest = "".join(f", {other}" for other in others)
    if rport and via.params["rport"] is None:
        head, _, tail = top.rpartition(";rport")
        top = f"{head};rport={flow.port}{tail}" if head else top
    if "received" in via.params:  # only we know where it came from
        top = RECEIVED.sub("", top)
    request.set_top_via(f"{top};received={flow.host}{rest}")
    if flow.is_reliable or rport:
        return flow
    return Flow("UDP", flow.host, via.port or 5060)


def _unknown_extensions(request: Request) -> str:
    if request.get("require") is None:
        return ""
    return ", ".join(clean(name) for name in tokens(request, "require") if name not in EXTENSIONS)


__all__ = [
    "Answered",
    "Canceled",
    "Cause",
    "ClientInvite",
    "Digit",
    "Ended",
    "Event",
    "Flow",
    "IncomingCall",
    "OfferAnswered",
    "OfferRefused",
    "Offered",
    "OptionsAnswered",
    "Outgoing",
    "ReferRequested",
    "Refused",
    "Ringing",
    "Session",
    "Stack",
    "State",
]
