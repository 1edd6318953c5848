"""SIP messages: bytes to Request or Response and back, framing on streams (RFC 3261 section 7). PURE.

Text is utf-8 with surrogateescape both ways, so that any byte a peer sends goes out again unchanged. A
message holds its headers as (small-letter long name, value); Via, From, To, CSeq and Contact are parsed when
first asked for. Change headers through `add`, `set`, `remove`, `prepend` only: they forget what was parsed.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NoReturn, Self

from cti.sip.headers import (
    CANONICAL,
    NAMES,
    TOKEN,
    Address,
    BadHeader,
    CSeq,
    Via,
    canonical_name,
    header_name,
    is_token,
    split_list,
)
from cti.sip.uri import BadUri, Uri

HEAD_BYTES_MAX = 32 * 1024
BODY_BYTES_MAX = 64 * 1024
PING = b"\r\n\r\n"  # RFC 5626 section 3.5.1; the answer is PONG
PONG = b"\r\n"
EXPIRES_MAX = (1 << 32) - 1

_METHODS = frozenset(
    "INVITE ACK BYE CANCEL OPTIONS REGISTER PRACK UPDATE INFO REFER SUBSCRIBE NOTIFY MESSAGE PUBLISH".split()
)
_MAKES_DIALOG = frozenset(("INVITE", "SUBSCRIBE", "REFER"))
_ONCE = frozenset(
    "from to call-id cseq max-forwards content-length content-type expires date event min-expires "
    "session-expires min-se refer-to replaces rack rseq user-agent server subject".split()
)
_REQUIRED = ("via", "from", "to", "call-id", "cseq")
_STATUS = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE | re.DOTALL)
_FOLD = re.compile(r"\r\n[ \t]+")
_NUMBER = re.compile(r"[0-9]{1,10}")
_LENGTH_LINE = re.compile(rb"\r\n(?:content-length|l)[ \t]*:((?:[^\r\n]|\r\n[ \t])*)(?=\r\n)", re.IGNORECASE)

REASONS = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
    200: "OK", 202: "Accepted", 204: "No Notification",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required",
    408: "Request Timeout", 410: "Gone", 412: "Conditional Request Failed", 413: "Request Entity Too Large",
    414: "Request-URI Too Long", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme",
    420: "Bad Extension", 421: "Extension Required", 422: "Session Interval Too Small",
    423: "Interval Too Brief", 429: "Provide Referrer Identity", 430: "Flow Failed",
    439: "First Hop Lacks Outbound Support", 480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
    484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated",
    488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending", 493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large",
    600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}  # fmt: skip


class BadMessage(ValueError):
    """The peer broke the rules.

    `message` is what could be read; when it is a Request whose `answerable` is true,
    `message.response(status)` is the answer to give, otherwise the bytes are dropped.
    """

    def __init__(self, reason: str, status: int = 400, message: "Request | Response | None" = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.message = message


class Message:
    """What requests and responses share: the headers and the body."""

    __slots__ = ("_contact", "_cseq", "_first", "_from", "_to", "_via", "body", "headers")

    headers: list[tuple[str, str]]
    body: bytes

    def __init__(self, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        self.headers = [(NAMES.get(name) or header_name(name), value) for name, value in headers]
        self.body = body
        self._forget()

    def _forget(self) -> None:
        self._first: dict[str, str] | None = None
        self._via: Via | None = None
        self._from: Address | None = None
        self._to: Address | None = None
        self._cseq: CSeq | None = None
        self._contact: Address | None = None

    def set_top_via(self, value: str) -> None:
        """Replace the topmost Via line, and only that."""
        at = next(i for i, (name, _) in enumerate(self.headers) if name == "via")
        self.headers[at] = ("via", value)
        self._via = None
        if self._first is not None:
            self._first["via"] = value

    def get(self, name: str) -> str | None:
        """The first value of the header of that name, in any spelling."""
        first = self._first
        if first is None:
            first = self._first = dict(self.headers[::-1])
        return first.get(NAMES.get(name) or header_name(name))

    def get_all(self, name: str) -> list[str]:
        """Each header line of that name, top first, not split at commas (see `headers.split_list`)."""
        wanted = NAMES.get(name) or header_name(name)
        return [value for name, value in self.headers if name == wanted]

    def tokens(self, name: str) -> list[str]:
        """The values of a list header such as Supported or Require, in small letters."""
        try:
            return [token.lower() for line in self.get_all(name) for token in split_list(line)]
        except BadHeader as error:
            self._bad(error)

    def add(self, name: str, value: str) -> Self:
        """One more header line, below the others."""
        self.headers.append((NAMES.get(name) or header_name(name), value))
        self._forget()
        return self

    def prepend(self, name: str, value: str) -> Self:
        """One more header line, above all others (Via, Record-Route, Route)."""
        self.headers.insert(0, (NAMES.get(name) or header_name(name), value))
        self._forget()
        return self

    def set(self, name: str, value: str) -> Self:
        """Exactly one line of that name, where the first one stood, or below all."""
        wanted = NAMES.get(name) or header_name(name)
        at = next((i for i, (name, _) in enumerate(self.headers) if name == wanted), len(self.headers))
        kept = [header for header in self.headers[at:] if header[0] != wanted]
        self.headers[at:] = [(wanted, value), *kept]
        self._forget()
        return self

    def remove(self, name: str) -> Self:
        wanted = NAMES.get(name) or header_name(name)
        self.headers = [header for header in self.headers if header[0] != wanted]
        self._forget()
        return self

    @property
    def via(self) -> Via:
        """The topmost Via. Like the other typed values it raises BadMessage when absent or wrong."""
        if self._via is None:
            try:
                self._via = Via.parse(self._required("via"))
            except BadHeader as error:
                self._bad(error)
        return self._via

    @property
    def from_(self) -> Address:
        if self._from is None:
            try:
                self._from = Address.parse(self._required("from"))
            except BadHeader as error:
                self._bad(error)
        return self._from

    @property
    def to(self) -> Address:
        if self._to is None:
            try:
                self._to = Address.parse(self._required("to"))
            except BadHeader as error:
                self._bad(error)
        return self._to

    @property
    def cseq(self) -> CSeq:
        if self._cseq is None:
            try:
                self._cseq = CSeq.parse(self._required("cseq"))
            except BadHeader as error:
                self._bad(error)
        return self._cseq

    @property
    def call_id(self) -> str:
        return self._required("call-id")

    @property
    def contact(self) -> Address | None:
        """The first Contact; None when there is none or it is `*`."""
        if self._contact is None:
            value = self.get("contact")
            if value is not None and value != "*":
                if "," in value or not value:
                    self._contact = self.addresses("contact")[0]
                else:
                    try:
                        self._contact = Address.parse(value)
                    except BadHeader as error:
                        self._bad(error)
        return self._contact

    def addresses(self, name: str) -> list[Address]:
        """Every value of Contact, Route, Record-Route, Path, P-Asserted-Identity, Diversion …"""
        lines = self.get_all(name)
        try:
            found = [Address.parse(value) for line in lines for value in split_list(line)]
        except BadHeader as error:
            self._bad(error)
        if lines and not found:
            self._bad(f"{canonical_name(name.lower())} is empty")
        return found

    @property
    def expires(self) -> int | None:
        """Seconds, at most 2**32 - 1; None when absent or malformed (RFC 3261 section 20.10)."""
        value = self.get("expires")
        if value is None or not (value.isascii() and value.isdigit()):
            return None
        return min(int(value[:11]), EXPIRES_MAX)

    @property
    def max_forwards(self) -> int:
        """70 when absent (RFC 3261 section 16.6)."""
        value = self.get("max-forwards")
        if value is None:
            return 70
        if _NUMBER.fullmatch(value) is None or int(value) > 255:
            self._bad(f"Max-Forwards: {value[:40]!r}")
        return int(value)

    @property
    def content_type(self) -> str:
        """Small letters, without parameters; empty when there is none."""
        return (self.get("content-type") or "").partition(";")[0].strip().lower()

    def _required(self, name: str) -> str:
        first = self._first
        if first is None:
            first = self._first = dict(self.headers[::-1])
        value = first.get(name)
        if not value:
            self._bad(f"{CANONICAL[name]} is missing")
        return value

    def _bad(self, reason: object) -> NoReturn:
        assert isinstance(self, Request | Response)
        raise BadMessage(str(reason), 400, self)

    def _encode(self, start: str) -> bytes:
        lines = [start]
        for name, value in self.headers:
            if name != "content-length":
                lines.append(f"{CANONICAL.get(name) or canonical_name(name)}: {value}")
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) + 1 or head.count("\r") != len(lines) + 1:
            raise ValueError("a line break inside a SIP header would let somebody write headers of their own")
        return head.encode("utf-8", "surrogateescape") + self.body

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, Message)
        return (self.start_line, self.body) == (other.start_line, other.body) and [
            header for header in self.headers if header[0] != "content-length"
        ] == [header for header in other.headers if header[0] != "content-length"]

    __hash__ = None  # type: ignore[assignment]

    @property
    def start_line(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{self.start_line} {self.get('cseq')} {self.get('call-id')}>"


class Request(Message):
    __slots__ = ("method", "uri")

    def __init__(
        self, method: str, uri: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri = uri

    @property
    def start_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"

    @property
    def route_set(self) -> list[str]:
        """The Record-Route values in the order a UAS keeps them (RFC 3261 section 12.1.1)."""
        return _record_route(self)

    @property
    def answerable(self) -> bool:
        """Whether enough was understood to send a response back where the request came from."""
        try:
            return self.method != "ACK" and bool(self.via and self.get("cseq") and self.get("call-id"))
        except BadMessage:
            return False

    def response(
        self,
        status: int,
        reason: str | None = None,
        to_tag: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> "Response":
        """A response that goes back the way the request came (RFC 3261 section 8.2.6.2).

        `to_tag` is set on To unless it has a tag. Record-Route is copied into what may make a dialog,
        Timestamp into 100. A request that could not be read whole is answered with what was read.
        """
        kept = ["via"]
        if 100 < status < 300 and self.method in _MAKES_DIALOG:
            kept.append("record-route")
        if status == 100:
            kept.append("timestamp")
        answered = [header for header in self.headers if header[0] in kept]
        for name in ("from", "to", "call-id", "cseq"):
            if (value := self.get(name)) is not None:  # the first one of a request that gave several
                answered.append((name, _tagged(value, to_tag) if name == "to" and to_tag else value))
        response = Response(
            status, reason if reason is not None else REASONS.get(status, "Unknown"), answered
        )
        if headers:
            response.headers += [(NAMES.get(n) or header_name(n), v) for n, v in headers]
        return response

    def encode(self) -> bytes:
        return self._encode(f"{self.method} {self.uri} SIP/2.0")


class Response(Message):
    __slots__ = ("reason", "status")

    def __init__(
        self, status: int, reason: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason

    @property
    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    @property
    def route_set(self) -> list[str]:
        """The Record-Route values in the order a UAC keeps them: reversed (RFC 3261 section 12.1.2)."""
        return _record_route(self)[::-1]

    def encode(self) -> bytes:
        return self._encode(f"SIP/2.0 {self.status} {self.reason}")


def parse(data: bytes) -> Request | Response:
    """One datagram, or one message framed by `StreamFramer`.

    Raises BadMessage, with `message` when there is something to answer. A body longer than Content-Length is
    cut, a shorter one is refused (RFC 3261 section 18.3). Headers are only split here; `validate` judges.
    """
    if data[:1] in (b"\r", b"\n"):
        data = data.lstrip(b"\r\n")
    raw_head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        raise BadMessage("the headers do not end with an empty line")
    if len(raw_head) > HEAD_BYTES_MAX:
        raise BadMessage("the headers are too long", 513)
    head = raw_head.decode("utf-8", "surrogateescape")
    fault = None
    if "\r\n " in head or "\r\n\t" in head:
        head = _FOLD.sub(" ", head)
    lines = head.split("\r\n")
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise BadMessage("a line ends with something other than CRLF")

    headers = []
    start = lines[0]
    del lines[0]
    for line in lines:
        name, colon, value = line.partition(":")
        known = NAMES.get(name)
        if known is None or not colon:
            try:
                known = header_name(name)
            except BadHeader as error:
                fault = str(error)
                continue
            if not colon:
                fault = f"a line without a colon: {line[:40]!r}"
                continue
        headers.append((known, value.strip(" \t")))

    message: Request | Response
    if start[:4].upper() == "SIP/":
        message = _response(start)
        status = 400
    else:
        message, status, wrong = _request(start)
        fault = wrong or fault
    message.headers = headers

    first = message._first = dict(headers[::-1])
    length = first.get("content-length")
    if length is None:
        message.body = body
    elif _NUMBER.fullmatch(length) is None:
        fault = fault or f"Content-Length: {length[:40]!r}"
    elif int(length) > len(body):
        fault = fault or "the body is shorter than Content-Length"
    else:
        message.body = body[: int(length)]
    if fault is not None:
        raise BadMessage(fault, status, message)
    return message


def _request(start: str) -> tuple[Request, int, str | None]:
    method, _, rest = start.partition(" ")
    uri, _, version = rest.rpartition(" ")
    request = Request(method, uri)
    if version != "SIP/2.0" and version.upper() != "SIP/2.0":
        if not is_token(method) or not re.fullmatch(r"SIP/[0-9]+\.[0-9]+", version, re.IGNORECASE):
            if not is_token(method) or "SIP/" not in rest.upper():
                raise BadMessage(f"not SIP: {start[:40]!r}")
            return request, 400, f"start line: {start[:80]!r}"
        return request, 505, f"version {version!r}"
    if method not in _METHODS and not is_token(method):
        return request, 400, f"method: {method[:40]!r}"
    if not uri or " " in uri or "\t" in uri:
        return request, 400, f"Request-URI: {uri[:80]!r}"
    return request, 400, None


def _response(start: str) -> Response:
    found = _STATUS.fullmatch(start)
    if found is None:
        raise BadMessage(f"status line: {start[:80]!r}")
    return Response(int(found[1]), found[2] or "")


def validate(message: Request | Response) -> None:
    """What every message must satisfy before anything acts on it; raises BadMessage carrying the message.

    After it the typed properties, and `uri` of From, To and each Contact, do not raise.
    """
    first = message._first
    if first is None:
        first = message._first = dict(message.headers[::-1])
    if len(first) != len(message.headers):
        _refuse_repeated(message)
    for name in _REQUIRED:
        if not first.get(name):
            message._bad(f"{CANONICAL[name]} is missing")
    try:
        cseq = message.cseq
        message.via, message.from_.uri, message.to.uri, message.max_forwards  # noqa: B018  (they raise)
        if "contact" in first:
            _check_contacts(message)
        if isinstance(message, Request):
            if cseq.method != message.method:
                message._bad(f"CSeq says {cseq.method[:40]!r}, the request is {message.method[:40]!r}")
            if Uri.parse(message.uri).headers:
                message._bad("a Request-URI may not carry headers")  # RFC 3261 section 19.1.1, table 1
    except BadUri as error:
        message._bad(error)


def _check_contacts(message: Request | Response) -> None:
    if (contact := message.contact) is not None:
        contact.uri  # noqa: B018  (it raises)
    if len(lines := message.get_all("contact")) > 1 or "," in lines[0]:
        for address in message.addresses("contact"):
            address.uri  # noqa: B018  (it raises)


def _refuse_repeated(message: Request | Response) -> None:
    seen = set()
    for name, _ in message.headers:
        if name in seen and name in _ONCE:
            message._bad(f"{canonical_name(name)} is given twice")
        seen.add(name)


def _record_route(message: Message) -> list[str]:
    try:
        return [value for line in message.get_all("record-route") for value in split_list(line)]
    except BadHeader as error:
        message._bad(error)


def _tagged(to: str, tag: str) -> str:
    try:
        tagged = Address.parse(to).tag is not None
    except BadHeader:
        tagged = True  # it is not ours to mend
    return to if tagged else f"{to};tag={tag}"


class StreamFramer:
    """Cuts a byte stream into messages by Content-Length (RFC 3261 section 18.3).

    `feed` returns whole messages, and PING for each keep-alive. It raises BadMessage when the stream can no
    longer be followed: the connection is then to be closed. Messages before the fault are returned first; the
    fault is raised by that same call only when there are none, else by the next `feed` (also of no bytes).
    """

    def __init__(self, head_max: int = HEAD_BYTES_MAX, body_max: int = BODY_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._head_max = head_max
        self._body_max = body_max
        self._searched = 0
        self._wanted = 0
        self._fault: BadMessage | None = None

    @property
    def broken(self) -> bool:
        return self._fault is not None

    @property
    def unfinished(self) -> bool:
        """Whether a part of a message is here whose rest is still to come."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        found: list[bytes] = []
        if self._fault is None:
            self._buffer += data
            try:
                while (message := self._next()) is not None:
                    found.append(message)
            except BadMessage as fault:
                self._fault = fault
                self._buffer.clear()
        if self._fault is not None and not found:
            raise self._fault
        return found

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if self._wanted == 0:
            if buffer.startswith(PING):
                return self._take(len(PING))
            if buffer[:1] == b"\r" and PING.startswith(buffer):
                return None
            while buffer[:1] in (b"\r", b"\n"):  # a lone CRLF between messages, RFC 3261 section 7.5
                del buffer[:1]
            end = buffer.find(PING, self._searched)
            if end > self._head_max or (end < 0 and len(buffer) > self._head_max):
                raise BadMessage("the headers are too long", 513)
            if end < 0:
                self._searched = max(0, len(buffer) - 3)
                return None
            self._wanted = end + 4 + self._body_length(bytes(buffer[: end + 2]))
        return self._take(self._wanted) if len(buffer) >= self._wanted else None

    def _body_length(self, head: bytes) -> int:
        lengths = _LENGTH_LINE.findall(head)
        text = b" ".join(lengths).strip()
        if len(lengths) != 1 or not (text.isdigit() and len(text) < 11):
            raise BadMessage("on a stream each message needs one Content-Length", 400, _readable(head))
        if int(text) > self._body_max:
            raise BadMessage("the body is too long", 513, _readable(head))
        return int(text)

    def _take(self, size: int) -> bytes:
        message = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._searched = self._wanted = 0
        return message


def _readable(head: bytes) -> Request | Response | None:
    """The message whose body cannot be found, for a last answer."""
    try:
        return parse(_LENGTH_LINE.sub(b"", head) + b"\r\n")
    except BadMessage as fault:
        return fault.message


__all__ = [
    "PING",
    "PONG",
    "REASONS",
    "TOKEN",
    "BadMessage",
    "Message",
    "Request",
    "Response",
    "StreamFramer",
    "parse",
    "validate",
]
