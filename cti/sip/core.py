"""What every part of one SIP user agent shares: its identity, its wire, the tables of what is alive. PURE."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cti.sip.flow import Flow
from cti.sip.headers import BadHeader, split_list
from cti.sip.message import REASONS, Message, Request, Response
from cti.sip.sdp import in_body
from cti.sip.transaction import ClientInvite, ClientNonInvite, ServerInvite, ServerNonInvite
from cti.sip.wire import Wire

if TYPE_CHECKING:
    from cti.sip.events import Event
    from cti.sip.session import Session

METHODS = (
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "OPTIONS",
    "INFO",
    "UPDATE",
    "PRACK",
    "REFER",
    "NOTIFY",
    "REGISTER",
)
EXTENSIONS = frozenset(("100rel", "timer"))
ALLOW = f"Allow: {', '.join(METHODS)}\r\n"
SUPPORTED = "Supported: timer\r\n"  # 100rel is understood but not asked for: most peers need two packets less
WITHOUT_TCP_SECONDS = 3600  # how long a peer that refused TCP is not tried again
WITHOUT_TCP_MAX = 10_000
SESSION_INTERVAL = 1800  # RFC 4028 section 4
SESSION_INTERVAL_MIN = 90  # RFC 4028 section 5

_STATUS_LINES = {status: f"SIP/2.0 {status} {reason}\r\n" for status, reason in REASONS.items()}
_ECHOED = {
    "via": "Via: ",
    "record-route": "Record-Route: ",
    "from": "From: ",
    "call-id": "Call-ID: ",
    "cseq": "CSeq: ",
}

ServerTransaction = ServerInvite | ServerNonInvite
ClientTransaction = ClientInvite | ClientNonInvite


class Core:
    __slots__ = (
        "_contacts",
        "_events",
        "_hosts",
        "_without_tcp",
        "agent_line",
        "clients",
        "host",
        "server_line",
        "servers",
        "sessions",
        "token",
        "wire",
    )

    def __init__(
        self, host: str, port: int, tls_port: int, token: Callable[[], str], user_agent: str
    ) -> None:
        bracketed = f"[{host}]" if ":" in host else host
        self.host = bracketed
        self.token = token
        self.wire = Wire()
        self.agent_line = f"User-Agent: {clean(user_agent)}\r\n"
        self.server_line = f"Server: {user_agent}\r\n"
        self.sessions: dict[str, Session] = {}  # by our tag
        self.servers: dict[Any, ServerTransaction] = {}
        self.clients: dict[tuple[str, str], ClientTransaction] = {}
        self._events: list[Event] = []
        self._without_tcp: dict[tuple[str, int], float] = {}  # and until when we believe it
        self._hosts = {
            transport: f"{bracketed}:{tls_port if transport in ('TLS', 'WSS') else port}"
            for transport in ("UDP", "TCP", "TLS", "WS", "WSS")
        }
        self._contacts = {
            transport: f"Contact: <sip:ramal@{place};transport={transport.lower()}>\r\n"
            for transport, place in self._hosts.items()
        }

    def emit(self, event: "Event") -> None:
        self._events.append(event)
        if self.wire.wake is not None:
            self.wire.wake()

    def events(self) -> "list[Event]":
        events, self._events = self._events, []
        return events

    def contact(self, flow: Flow) -> str:
        """Our Contact header line, for a peer on that kind of transport."""
        return self._contacts[flow.transport]

    def via(self, flow: Flow, branch: str) -> str:
        return f"Via: SIP/2.0/{flow.transport} {self._hosts[flow.transport]};branch={branch};rport\r\n"

    def takes_tcp(self, flow: Flow, now: float) -> bool:
        """Whether to try it there; unknown until it was tried."""
        return self._without_tcp.get((flow.host, flow.port), now) <= now

    def refuses_tcp(self, flow: Flow, now: float) -> None:
        if len(self._without_tcp) >= WITHOUT_TCP_MAX:
            self._without_tcp.pop(next(iter(self._without_tcp)))
        self._without_tcp[flow.host, flow.port] = now + WITHOUT_TCP_SECONDS

    def branch(self) -> str:
        return f"z9hG4bK{self.token()}"


def echo(request: Request, to_tag: str | None) -> str:
    """The header lines every response to `request` begins with (RFC 3261 section 8.2.6.2)."""
    lines = []
    for name, value in request.headers:
        if name in _ECHOED:
            lines.append(f"{_ECHOED[name]}{value}\r\n")
        elif name == "to":
            lines.append(f"To: {value};tag={to_tag}\r\n" if to_tag else f"To: {value}\r\n")
    return "".join(lines)


def reply(
    status: int,
    echoed: str,
    extra: str = "",
    body: str = "",
    reason: str | None = None,
    kind: str = "application/sdp",
) -> bytes:
    """A response as bytes. `echoed` is what `echo` made of the request, `extra` further header lines."""
    if reason is None:
        start = _STATUS_LINES.get(status) or f"SIP/2.0 {status} Unknown\r\n"
    else:
        start = f"SIP/2.0 {status} {reason}\r\n"
    if body:
        payload = body.encode("utf-8", "surrogateescape")
        head = f"{start}{echoed}{extra}Content-Type: {kind}\r\nContent-Length: {len(payload)}\r\n\r\n"
        return head.encode("utf-8", "surrogateescape") + payload
    return f"{start}{echoed}{extra}Content-Length: 0\r\n\r\n".encode("utf-8", "surrogateescape")


def clean(text: str) -> str:
    """Text that will stand in a header. Raises ValueError if it would end the line there."""
    if "\r" in text or "\n" in text:
        raise ValueError("a line break inside a SIP header would let somebody write headers of their own")
    return text


def tokens(message: Message, name: str) -> list[str]:
    """The values of a list header in small letters; what cannot be read counts as absent."""
    if message.get(name) is None:
        return []
    try:
        return [token.lower() for line in message.get_all(name) for token in split_list(line)]
    except BadHeader:
        return []


def route_set(message: Message) -> list[str]:
    """The routes of the dialog that this request or response makes. Raises BadMessage."""
    if message.get("record-route") is None:
        return []
    assert isinstance(message, Request | Response)
    return message.route_set


def sdp_of(message: Message) -> str | None:
    """The session description in the body, also from inside a multipart body (RFC 5621)."""
    if not message.body:
        return None
    return in_body(message.get("content-type") or "application/sdp", message.body)
