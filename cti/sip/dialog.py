"""One SIP dialog: who speaks with whom, which way, the text of its requests (RFC 3261 section 12). PURE."""

from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from cti.sip.core import Core
from cti.sip.flow import Flow
from cti.sip.headers import Address, BadHeader
from cti.sip.message import BadMessage, Message
from cti.sip.uri import BadUri, Uri


class Written(NamedTuple):
    """A request as it went out, with what its CANCEL or ACK must repeat."""

    flow: Flow
    branch: str
    number: int
    head: str  # from the Request-URI to From
    data: bytes


class Dialog:
    """`flow` is where requests are sent; `learned` is where the peer's packets come from."""

    __slots__ = (
        "_core",
        "call_id",
        "flow",
        "learned",
        "local",
        "local_cseq",
        "local_tag",
        "remote",
        "remote_cseq",
        "remote_tag",
        "routes",
        "target",
    )

    def __init__(
        self,
        core: Core,
        call_id: str,
        local: str,
        local_tag: str,
        remote: str,
        remote_tag: str,
        target: str,
        routes: list[str],
        learned: Flow,
    ) -> None:
        self._core = core
        self.call_id = call_id
        self.local = local  # the value of From in our requests
        self.local_tag = local_tag
        self.remote = remote  # the value of To in our requests
        self.remote_tag = remote_tag
        self.local_cseq = 0
        self.remote_cseq = 0
        self.target = target
        self.routes = routes
        self.learned = learned
        self.flow = learned

    def aim(self) -> None:
        """Find the flow again after the target, the routes or the peer's own flow changed."""
        if self.learned.connection:
            self.flow = self.learned
        else:
            self.flow = next_hop(_uri_of(self.routes[0]) if self.routes else self.target, self.learned)

    @property
    def flows(self) -> tuple[Flow, Flow]:
        return self.learned, self.flow

    def heard(self, flow: Flow) -> None:
        """The peer's packets may begin to come another way: after a new connection, or through a NAT."""
        if flow != self.learned:
            self.learned = flow
            self.aim()

    def reconnect(self) -> bool:
        """The peer's connection is lost: whether it can be called upon by another."""
        lost = self.learned
        self.learned = Flow(lost.transport, lost.host, 0)
        self.aim()
        return self.flow.port != 0

    def refresh_target(self, message: Message) -> None:
        """Take the peer's new Contact, if it sent a usable one (section 12.2)."""
        target = contact_of(message)
        if target is not None and target != self.target:
            self.target = target
            self.aim()

    def request(
        self,
        method: str,
        extra: str = "",
        body: str = "",
        kind: str = "application/sdp",
        number: int = 0,
        flow: Flow | None = None,
    ) -> Written:
        """The next request. An ACK of a 2xx gives the `number` of its INVITE, and takes none of its own."""
        core = self._core
        flow = flow or self.flow
        if not number:
            self.local_cseq = number = self.local_cseq + 1
        branch = core.branch()
        target, route_lines = (self.target, "") if not self.routes else self._routed()
        via = core.via(flow, branch)
        head = f"{target} SIP/2.0\r\n{via}{route_lines}Max-Forwards: 70\r\nFrom: {self.local}\r\n"
        identity = f"To: {self.remote}\r\nCall-ID: {self.call_id}\r\nCSeq: {number} {method}\r\n"
        if body:
            payload = body.encode("utf-8", "surrogateescape")
            content = f"Content-Type: {kind}\r\nContent-Length: {len(payload)}\r\n\r\n"
            text = f"{method} {head}{identity}{extra}{content}"
            data = text.encode("utf-8", "surrogateescape") + payload
        else:
            text = f"{method} {head}{identity}{extra}Content-Length: 0\r\n\r\n"
            data = text.encode("utf-8", "surrogateescape")
        return Written(flow, branch, number, head, data)

    def follow_up(self, method: str, written: Written, to: str, extra: str = "") -> bytes:
        """The CANCEL of a request (section 9.1), or the ACK of its 3xx to 6xx, with the To of that."""
        text = (
            f"{method} {written.head}To: {to}\r\nCall-ID: {self.call_id}\r\n"
            f"CSeq: {written.number} {method}\r\n{extra}Content-Length: 0\r\n\r\n"
        )
        return text.encode("utf-8", "surrogateescape")

    def _routed(self) -> tuple[str, str]:
        """Request-URI and Route lines; a first route without `lr` is a strict router (section 12.2.1.1)."""
        first = _uri_of(self.routes[0])
        if ";lr" in first:
            return self.target, f"Route: {', '.join(self.routes)}\r\n"
        return first, f"Route: {', '.join([*self.routes[1:], f'<{self.target}>'])}\r\n"


def contact_of(message: Message) -> str | None:
    """The URI in Contact, None when there is none that can be used."""
    try:
        contact = message.contact
        if contact is not None and contact.uri.scheme in ("sip", "sips"):
            return contact.spec
    except (BadMessage, BadUri):
        pass
    return None


@lru_cache(maxsize=4096)
def next_hop(uri: str, learned: Flow) -> Flow:
    """Where to send what is for `uri`, from a peer whose packets come by `learned`.

    No name is ever looked up: for a host that is a name (`.invalid` is a browser's) and for a private address
    that reached us from a public one (it is behind a NAT), the way its packets come is the way back.
    """
    if learned.is_websocket:
        return learned
    try:
        parsed = Uri.parse(uri)
    except BadUri:
        return learned
    host = parsed.host.strip("[]")
    transport = parsed.transport or learned.transport
    if transport not in ("UDP", "TCP", "TLS") or not _is_address(host):
        return learned
    if host != learned.host and ip_address(host).is_private and not _is_private(learned.host):
        return learned
    return Flow(transport, host, parsed.port or (5061 if transport == "TLS" else 5060))


@lru_cache(maxsize=4096)
def _uri_of(route: str) -> str:
    try:
        return Address.parse(route).spec
    except BadHeader:
        return route.strip("<>")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_private(host: str) -> bool:
    return _is_address(host) and ip_address(host).is_private
