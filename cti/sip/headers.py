"""The grammar of SIP header fields: Via, name-addr, CSeq, lists, parameters (RFC 3261 section 25). PURE.

No pattern here may need more than linear time, whatever a stranger sends: alternatives in a repetition start
with different characters, and optional spaces never stand beside a class that contains spaces.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from cti.sip.uri import HOST, Uri

Params = Mapping[str, str | None]
NO_PARAMS: Params = MappingProxyType({})

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
_QUOTED = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_PARAMS = rf'(;[^,<>"]*(?:{_QUOTED}[^,<>"]*)*)?'

_TOKEN = re.compile(TOKEN)
_VIA = re.compile(
    rf"SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*({TOKEN})"
    rf"[ \t]+({HOST})(?:[ \t]*:[ \t]*([0-9]{{1,5}}))?[ \t]*{_PARAMS}",
    re.IGNORECASE | re.DOTALL,
)
_NAME_ADDR = re.compile(
    rf"(?:({_QUOTED})[ \t]*|([A-Za-z0-9\-.!%*_+`'~ \t\x80-\U0010ffff]*))"
    rf'<([A-Za-z][A-Za-z0-9+.\-]*:[^<>"\s]+)>[ \t]*{_PARAMS}',
    re.DOTALL,
)
_ADDR_SPEC = re.compile(rf'([A-Za-z][A-Za-z0-9+.\-]*:[^<>"\s;?,]+)[ \t]*{_PARAMS}', re.DOTALL)
_PARAM = re.compile(rf"[ \t]*;[ \t]*({TOKEN})(?:[ \t]*=[ \t]*([^\s;\"]+|{_QUOTED}))?[ \t]*", re.DOTALL)
_CSEQ = re.compile(rf"([0-9]{{1,12}})[ \t]+({TOKEN})")
_ELEMENT = re.compile(rf'[^,"<]*(?:(?:{_QUOTED}|<[^>]*>)[^,"<]*)*', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

COMPACT = {  # RFC 3261 section 20, RFC 3515, 3892, 4028, 3841, 6665, 8224
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
    "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported",
    "l": "content-length", "m": "contact", "n": "identity-info", "o": "event", "r": "refer-to",
    "s": "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}  # fmt: skip
_KNOWN = """Accept Accept-Contact Accept-Encoding Accept-Language Alert-Info Allow Allow-Events
Authentication-Info Authorization Call-ID Call-Info Contact Content-Disposition Content-Encoding
Content-Language Content-Length Content-Type CSeq Date Diversion Error-Info Event Expires Flow-Timer From
History-Info Identity In-Reply-To Max-Forwards MIME-Version Min-Expires Min-SE Organization
P-Asserted-Identity P-Preferred-Identity Path Priority Privacy Proxy-Authenticate Proxy-Authorization
Proxy-Require RAck Reason Record-Route Refer-To Referred-By Reject-Contact Remote-Party-ID Replaces Reply-To
Request-Disposition Require Retry-After Route RSeq Server Service-Route Session-Expires SIP-ETag SIP-If-Match
Subject Subscription-State Supported Timestamp To Unsupported User-Agent Via Warning
WWW-Authenticate""".split()

CANONICAL = {name.lower(): name for name in _KNOWN}
NAMES = {name: name.lower() for name in _KNOWN} | {name: name for name in CANONICAL} | COMPACT


class BadHeader(ValueError):
    """The text breaks the grammar of its header field."""


class Via(NamedTuple):
    """One Via value. `host` keeps the brackets of an IPv6 reference."""

    transport: str
    host: str
    port: int | None
    params: Params

    @staticmethod
    def parse(text: str) -> "Via":
        """The first (topmost) of the values in `text`. Raises BadHeader."""
        found = _VIA.match(text)
        if found is None or (found.end() != len(text) and text[found.end()] != ","):
            raise BadHeader(f"Via: {text[:80]!r}")
        transport, host, port, params = found.groups()
        return Via(transport.upper(), host, None if port is None else _port(port), parse_params(params or ""))

    @property
    def branch(self) -> str:
        return self.params.get("branch") or ""

    @property
    def received(self) -> str | None:
        return self.params.get("received")

    @property
    def rport(self) -> int | None:
        """The port once filled in; None when absent or still empty (see `wants_rport`)."""
        value = self.params.get("rport")
        return int(value) if value and value.isascii() and value.isdigit() and len(value) < 6 else None

    @property
    def wants_rport(self) -> bool:
        return "rport" in self.params

    def with_params(self, **params: str | None) -> "Via":
        return self._replace(params={**self.params, **params})

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {self.host}{port}{format_params(self.params)}"


class CSeq(NamedTuple):
    number: int
    method: str

    @staticmethod
    def parse(text: str) -> "CSeq":
        """Raises BadHeader, also for a number of 2**31 and above (RFC 3261 section 8.1.1.5)."""
        return _usual_cseq(text) if len(text) < 24 else _cseq(text)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


class Address:
    """A From, To, Contact or Route value: display name, URI, and the header's own parameters.

    The URI is parsed when first asked for, since most messages are served by their tag alone.
    """

    __slots__ = ("_spec", "_uri", "display", "params")

    def __init__(self, display: str, uri: Uri | str, params: Params = NO_PARAMS) -> None:
        self.display = display
        self.params = params
        self._spec = uri
        self._uri: Uri | None = None

    @staticmethod
    def parse(text: str) -> "Address":
        """Exactly one value, with or without angle brackets. Raises BadHeader."""
        if found := _NAME_ADDR.fullmatch(text):
            quoted, plain, uri, params = found.groups()
            display = unquote(quoted) if quoted is not None else plain.strip()
            return Address(display, uri, parse_params(params) if params else NO_PARAMS)
        if found := _ADDR_SPEC.fullmatch(text):
            uri, params = found.groups()
            return Address("", uri, parse_params(params) if params else NO_PARAMS)
        raise BadHeader(f"address: {text[:80]!r}")

    @property
    def uri(self) -> Uri:
        """Raises BadUri; not after `message.validate` has passed the message."""
        if self._uri is None:
            self._uri = self._spec if isinstance(self._spec, Uri) else Uri.parse(self._spec)
        return self._uri

    @property
    def spec(self) -> str:
        """The URI's text as it came."""
        return str(self._spec)

    @property
    def tag(self) -> str | None:
        return self.params.get("tag")

    def with_params(self, **params: str | None) -> "Address":
        return Address(self.display, self._spec, {**self.params, **params})

    def __str__(self) -> str:
        display = f"{quote(self.display)} " if self.display else ""
        return f"{display}<{self._spec}>{format_params(self.params)}"

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Address):
            return NotImplemented
        return (self.display, self.spec, self.params) == (other.display, other.spec, other.params)

    def __hash__(self) -> int:
        return hash((self.display, self.spec))


@lru_cache(maxsize=1024)
def _usual_cseq(text: str) -> CSeq:
    return _cseq(text)


def _cseq(text: str) -> CSeq:
    found = _CSEQ.fullmatch(text)
    if found is None or (number := int(found[1])) >= 1 << 31:
        raise BadHeader(f"CSeq: {text[:80]!r}")
    return CSeq(number, found[2])


def parse_params(text: str) -> Params:
    """`;a=1;b;c="x y"` to a mapping; a parameter without `=` is None, a quoted value is unquoted."""
    params: dict[str, str | None] = {}
    if '"' in text or " " in text or "\t" in text:
        at = 0
        while at < len(text):
            found = _PARAM.match(text, at)
            if found is None:
                raise BadHeader(f"parameters: {text[at : at + 80]!r}")
            name, value = found[1].lower(), found[2]
            params[name] = unquote(value) if value and value[0] == '"' else value
            at = found.end()
    elif text:
        for part in text[1:].split(";"):
            name, equals, found_value = part.partition("=")
            if not name or (equals and not found_value):
                raise BadHeader(f"parameters: {text[:80]!r}")
            params[name.lower()] = found_value if equals else None
    if len(params) < text.count(";") and '"' not in text:
        raise BadHeader(f"a parameter is given twice: {text[:80]!r}")
    return params


def format_params(params: Params) -> str:
    return "".join(
        [
            f";{name}" if value is None else f";{name}={value if _plain(value) else quote(value)}"
            for name, value in params.items()
        ]
    )


def split_list(text: str) -> list[str]:
    """Values of a comma separated field, in order; commas in quotes and in angle brackets do not split."""
    if "," not in text:
        return [text] if text else []
    values = []
    at = 0
    while at < len(text):
        found = _ELEMENT.match(text, at)
        if found is not None:
            if value := found[0].strip(" \t"):
                values.append(value)
            at = found.end()
        if at < len(text):
            if text[at] != ",":
                raise BadHeader(f"list: {text[at : at + 80]!r}")
            at += 1
    return values


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """The content of a quoted string; text that is not quoted comes back as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    return _ESCAPED.sub(r"\1", text[1:-1]) if "\\" in text else text[1:-1]


def is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def header_name(text: str) -> str:
    """The long name in small letters for any spelling of a header's name. Raises BadHeader."""
    name = text.rstrip(" \t").lower()
    if not is_token(name):
        raise BadHeader(f"header name: {text[:40]!r}")
    return COMPACT.get(name, name)


def canonical_name(name: str) -> str:
    """How a header's name is written on the wire: as in its RFC, or Like-This."""
    return CANONICAL.get(name) or "-".join([part.capitalize() for part in name.split("-")])


def _port(text: str) -> int:
    port = int(text)
    if port > 65535:
        raise BadHeader(f"port {port} does not exist")
    return port


_PLAIN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~:\[\]/@]+")


def _plain(value: str) -> bool:
    return _PLAIN.fullmatch(value) is not None
