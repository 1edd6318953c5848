"""SIP, SIPS and tel URIs (RFC 3261 section 19.1, RFC 3966) as one small value. PURE."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import quote, unquote

NONE: Mapping[str, str] = MappingProxyType({})

HOST = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]{2,45}\]"
_SIP = re.compile(
    r"(?:((?:[A-Za-z0-9\-_.!~*'()&=+$,;?/#]|%[0-9A-Fa-f]{2})*)"  # user; '#' is sent unescaped by real phones
    r"(?::((?:[A-Za-z0-9\-_.!~*'()&=+$,]|%[0-9A-Fa-f]{2})*))?@)?"  # password
    rf"({HOST})(?::([0-9]{{1,5}}))?"
    r"((?:;[^\s;?<>\"@]*)*)"
    r"(?:\?([^\s?<>\"@]*))?"
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):([\x21-\x7e]+)")
_USER_SAFE = "-_.!~*'()&=+$,;?/"
_PARAM_SAFE = "-_.!~*'()[]/:&+$"


class BadUri(ValueError):
    """The text is not a URI."""


@dataclass(frozen=True, slots=True)
class Uri:
    """`user` is unescaped; for `tel:` it is the number, for a scheme we do not know the whole rest."""

    scheme: str
    user: str | None
    host: str
    port: int | None = None
    params: Mapping[str, str | None] = field(default_factory=lambda: NONE, hash=False)
    headers: Mapping[str, str] = field(default_factory=lambda: NONE, hash=False)
    password: str | None = None

    @staticmethod
    def parse(text: str) -> "Uri":
        """Raises BadUri. Parameter names and the host come back in small letters."""
        return _remembered(text) if len(text) < 200 else _parse(text)

    @property
    def transport(self) -> str:
        """The transport asked for, in capitals, or an empty text."""
        return (self.params.get("transport") or "").upper()

    def __str__(self) -> str:
        params = "".join(
            f";{_escaped(name, _PARAM_SAFE)}"
            if value is None
            else f";{_escaped(name, _PARAM_SAFE)}={_escaped(value, _PARAM_SAFE)}"
            for name, value in self.params.items()
        )
        if self.scheme not in ("sip", "sips"):
            return f"{self.scheme}:{self.user}{params}"
        userinfo = ""
        if self.user is not None:
            secret = "" if self.password is None else f":{_escaped(self.password, '-_.!~*()&=+$,')}"
            userinfo = f"{_escaped(self.user, _USER_SAFE)}{secret}@"
        port = "" if self.port is None else f":{self.port}"
        headers = "&".join(f"{_escaped(n, '')}={_escaped(v, '')}" for n, v in self.headers.items())
        return f"{self.scheme}:{userinfo}{self.host}{port}{params}{'?' if headers else ''}{headers}"


@lru_cache(maxsize=4096)
def _remembered(text: str) -> Uri:
    return _parse(text)


def _parse(text: str) -> Uri:
    found = _SCHEME.fullmatch(text)
    if found is None:
        raise BadUri(f"not a URI: {text[:80]!r}")
    scheme, rest = found[1].lower(), found[2]
    if scheme in ("sip", "sips"):
        return _parse_sip(scheme, rest)
    if scheme == "tel":
        number, semicolon, params = rest.partition(";")
        if not re.fullmatch(r"\+?[0-9A-Fa-f*#()\-.]+", number):
            raise BadUri(f"not a telephone number: {number[:80]!r}")
        return Uri(scheme, number, "", params=_params(semicolon + params))
    return Uri(scheme, rest, "")


def _parse_sip(scheme: str, rest: str) -> Uri:
    found = _SIP.fullmatch(rest)
    if found is None:
        raise BadUri(f"not a {scheme} URI: {rest[:80]!r}")
    user, password, host, port_text, params, headers = found.groups()
    port = None if port_text is None else int(port_text)
    if port is not None and port > 65535:
        raise BadUri(f"port {port} does not exist")
    return Uri(
        scheme,
        None if user is None else _unescaped(user),
        host.lower(),
        port,
        _params(params) if params else NONE,
        _headers(headers) if headers else NONE,
        None if password is None else _unescaped(password),
    )


def _params(text: str) -> Mapping[str, str | None]:
    params: dict[str, str | None] = {}
    for part in text.split(";")[1:]:
        name, equals, value = part.partition("=")
        if not name or (equals and not value):
            raise BadUri(f"parameter without {'a value' if name else 'a name'}: {text[:80]!r}")
        params[_unescaped(name).lower()] = _unescaped(value) if equals else None
    return MappingProxyType(params)


def _headers(text: str) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for part in text.split("&"):
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise BadUri(f"header without a name or a value: {text[:80]!r}")
        headers[_unescaped(name).lower()] = _unescaped(value)
    return MappingProxyType(headers)


def _unescaped(text: str) -> str:
    return unquote(text, errors="surrogateescape") if "%" in text else text


def _escaped(text: str, safe: str) -> str:
    return quote(text, safe, errors="surrogateescape")
