"""Who is asking: digest authentication as server and as client (RFC 3261 section 22, 7616, 8760). PURE.

The nonce is a sealed note to ourselves: when and to whom it was given. So nothing is kept for somebody who
only asks; a count is kept for each nonce that a right password has used. A response to a nonce that is not
good any more is never looked at, so guessing a password costs the guesser a fresh challenge and a counted
failure, and a stranger cannot have a failure counted for an address that is not his.
"""

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from cti.sip.headers import TOKEN, quote, unquote

_HASHES: dict[str, Callable[[bytes], "hashlib._Hash"]] = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_PARAM = re.compile(
    rf'[ \t]*({TOKEN})[ \t]*=[ \t]*("[^"\\]*(?:\\.[^"\\]*)*"|[^\s,"]*)[ \t]*(?:,|$)', re.DOTALL
)
_NONCE = re.compile(r"([0-9a-f]{1,16})\.([A-Za-z0-9_\-]{1,64})\.([0-9a-f]{32})")
_COUNT = re.compile(r"[0-9A-Fa-f]{1,8}")
NONCES_MAX = 50_000
HOSTS_MAX = 20_000


V = TypeVar("V")


class Verdict(StrEnum):
    """`stale`: challenge again with stale=true, the password was not looked at. `wrong`: a failure."""

    OK = "ok"
    STALE = "stale"
    WRONG = "wrong"
    MALFORMED = "malformed"


class BadDigest(ValueError):
    """The header cannot be read, or asks for what we do not speak."""


@dataclass(frozen=True, slots=True)
class Account:
    """The digests of a user's password for our realm; an empty one is a way that is closed to this user."""

    user: str
    ha1_md5: str
    ha1_sha256: str = ""


class Challenger:
    """The server's side. `token` gives unguessable text of at least 64 bits, safe in a header.

    `algorithms` in the order they are offered. The default is what every phone tried can do;
    ("SHA-256", "MD5") is RFC 8760's order and leaves out sipp, sipsak and baresip 1.0.
    """

    def __init__(
        self,
        realm: str,
        token: Callable[[], str],
        nonce_seconds: float = 300,
        algorithms: Sequence[str] = ("MD5",),
        nonces_max: int = NONCES_MAX,
    ) -> None:
        assert all(algorithm in _HASHES for algorithm in algorithms)
        self.realm = realm
        self.token = token
        self._nonce_seconds = nonce_seconds
        self._algorithms = tuple(algorithms)
        self._secret = "".join(token() for _ in range(4)).encode()
        self._used: OrderedDict[str, int] = OrderedDict()  # nonce -> highest count seen
        self._nonces_max = nonces_max
        self._forgotten = -1  # nonces given at or before this millisecond are stale

    def challenge(self, now: float, stale: bool = False, source: str = "") -> list[str]:
        """WWW-Authenticate values, one for each algorithm. `source` is the host that may answer."""
        issued = f"{int(now * 1000):x}"
        salt = self.token()
        nonce = f"{issued}.{salt}.{self._seal(issued, salt, source)}"
        return [
            f"Digest realm={quote(self.realm)}, nonce={quote(nonce)}, algorithm={algorithm}, "
            f'qop="auth"{", stale=true" if stale else ""}'
            for algorithm in self._algorithms
        ]

    def check(
        self, authorization: str, method: str, account: Account | None, now: float, source: str = ""
    ) -> Verdict:
        """Judge an Authorization value; a good one uses its count up. An unknown account takes as long."""
        try:
            fields = parse_digest(authorization)
        except BadDigest:
            return Verdict.MALFORMED
        algorithm = fields.get("algorithm", "MD5").upper()
        count = _count(fields)
        if (
            algorithm not in self._algorithms
            or count is None
            or not all(fields.get(name) for name in ("username", "realm", "nonce", "uri", "response"))
        ):
            return Verdict.MALFORMED
        nonce = fields["nonce"]
        if fields["realm"] != self.realm or not self._is_ours(nonce, now, source):
            return Verdict.STALE
        if count <= self._used.get(nonce, 0):
            return Verdict.STALE  # heard before: a replay, or packets that overtook each other
        known = account.ha1_md5 if account and algorithm == "MD5" else account.ha1_sha256 if account else ""
        expected = _response(algorithm, known, method, fields)
        same = hmac.compare_digest(expected.encode(), fields["response"].lower().encode("utf-8", "replace"))
        if not same or not known or account is None or fields["username"] != account.user:
            return Verdict.WRONG
        self._use(nonce, count, now)
        return Verdict.OK

    def username(self, authorizations: Iterable[str]) -> tuple[str, str] | None:
        """The (username, value) of the one Authorization that is for our realm; None when there is none."""
        for authorization in authorizations:
            try:
                fields = parse_digest(authorization)
            except BadDigest:
                continue
            if fields.get("realm") == self.realm and fields.get("username"):
                return fields["username"], authorization
        return None

    def _is_ours(self, nonce: str, now: float, source: str) -> bool:
        found = _NONCE.fullmatch(nonce)
        if found is None or not hmac.compare_digest(self._seal(found[1], found[2], source), found[3]):
            return False
        issued = int(found[1], 16)
        return self._forgotten < issued and now * 1000 < issued + self._nonce_seconds * 1000

    def _seal(self, issued: str, salt: str, source: str) -> str:
        text = f"{issued}.{salt}.{self.realm}.{source}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._secret, text, "sha256").hex()[:32]

    def _use(self, nonce: str, count: int, now: float) -> None:
        self._used[nonce] = count
        while self._used:
            oldest = next(iter(self._used))
            issued = int(oldest.partition(".")[0], 16)
            outlived = now * 1000 >= issued + self._nonce_seconds * 1000
            if not outlived and len(self._used) <= self._nonces_max:
                break
            del self._used[oldest]
            if not outlived:
                self._forgotten = max(self._forgotten, issued)


class Throttle:
    """Counts failures of each host and bans it; a failure is forgotten after `seconds`, and so is a ban.

    Memory is bounded: of more than `hosts_max` hosts the ones quiet longest are forgotten.
    """

    def __init__(self, limit: int, seconds: float, hosts_max: int = HOSTS_MAX) -> None:
        self._limit = limit
        self._seconds = seconds
        self._hosts_max = hosts_max
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()  # host -> (count, last)
        self._bans: OrderedDict[str, float] = OrderedDict()  # host -> until

    def failed(self, host: str, now: float) -> bool:
        """Count one failure; whether the host is banned by it."""
        count, last = self._failures.pop(host, (0, now))
        count = 1 if now - last >= self._seconds else count + 1
        if count >= self._limit:
            _remember(self._bans, host, now + self._seconds, self._hosts_max)
            return True
        _remember(self._failures, host, (count, now), self._hosts_max)
        return False

    def succeeded(self, host: str) -> None:
        self._failures.pop(host, None)

    def banned(self, host: str, now: float) -> bool:
        until = self._bans.get(host)
        if until is not None and until <= now:
            del self._bans[host]
            until = None
        return until is not None

    def bans(self, now: float) -> list[tuple[str, float]]:
        """The banned hosts and the seconds left of each ban."""
        return [(host, until - now) for host, until in self._bans.items() if until > now]


def ha1(user: str, realm: str, password: str, algorithm: str = "MD5") -> str:
    """What is kept instead of the password (RFC 7616 section 3.4.2), as small hexadecimal."""
    return _hash(algorithm, f"{user}:{realm}:{password}")


def respond(
    challenge: str, method: str, uri: str, username: str, password: str, cnonce: str, nc: int = 1
) -> str:
    """The Authorization value that answers a challenge. Raises BadDigest for one we cannot answer."""
    asked = parse_digest(challenge)
    algorithm = asked.get("algorithm", "MD5")
    name = algorithm.upper().removesuffix("-SESS")
    if "nonce" not in asked or name not in _HASHES:
        raise BadDigest(f"a challenge we cannot answer: {challenge[:200]!r}")
    offered = [qop.strip().lower() for qop in asked.get("qop", "").split(",") if qop.strip()]
    if offered and "auth" not in offered:
        raise BadDigest(f"a quality of protection we do not speak: {asked['qop'][:40]!r}")
    realm = asked.get("realm", "")
    known = ha1(username, realm, password, name)
    if algorithm.upper().endswith("-SESS"):
        known = _hash(name, f"{known}:{asked['nonce']}:{cnonce}")
    fields = {"nonce": asked["nonce"], "uri": uri, "cnonce": cnonce, "nc": f"{nc:08x}"}
    if offered:
        fields["qop"] = "auth"
    parts = [
        f"username={quote(username)}",
        f"realm={quote(realm)}",
        f"nonce={quote(asked['nonce'])}",
        f"uri={quote(uri)}",
        f'response="{_response(name, known, method, fields)}"',
    ]
    if "algorithm" in asked:
        parts.append(f"algorithm={algorithm}")
    if offered:
        parts += [f"cnonce={quote(cnonce)}", "qop=auth", f"nc={nc:08x}"]
    if "opaque" in asked:
        parts.append(f"opaque={quote(asked['opaque'])}")
    return "Digest " + ", ".join(parts)


def strongest(challenges: Iterable[str]) -> str | None:
    """Of several challenges the one to answer: SHA-256 before MD5, else the first; None when none will do."""
    able = []
    for challenge in challenges:
        try:
            asked = parse_digest(challenge)
        except BadDigest:
            continue
        name = asked.get("algorithm", "MD5").upper().removesuffix("-SESS")
        qops = asked.get("qop", "auth").lower().replace(",", " ").split()
        if name in _HASHES and "nonce" in asked and "auth" in qops:
            able.append((name != "SHA-256", challenge))
    return min(able, key=lambda pair: pair[0])[1] if able else None


def parse_digest(text: str) -> dict[str, str]:
    """The fields of an Authorization or WWW-Authenticate value, names in small letters. Raises BadDigest."""
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() != "digest":
        raise BadDigest(f"not Digest: {scheme[:40]!r}")
    fields: dict[str, str] = {}
    at = 0
    while at < len(rest):
        found = _PARAM.match(rest, at)
        if found is None or found[1].lower() in fields:
            raise BadDigest(f"digest: {rest[at : at + 80]!r}")
        fields[found[1].lower()] = unquote(found[2])
        at = found.end()
    return fields


def _count(fields: dict[str, str]) -> int | None:
    """The nonce count; 1 from the old phones that know no qop, so that they may use each nonce once."""
    if "qop" not in fields:
        return 1
    count = fields.get("nc", "")
    if fields["qop"].lower() != "auth" or not fields.get("cnonce") or not _COUNT.fullmatch(count):
        return None
    return int(count, 16) or None


def _response(algorithm: str, known: str, method: str, fields: dict[str, str]) -> str:
    asked = _hash(algorithm, f"{method}:{fields['uri']}")
    middle = fields["nonce"]
    if "qop" in fields:
        middle += f":{fields['nc']}:{fields['cnonce']}:{fields['qop']}"
    return _hash(algorithm, f"{known}:{middle}:{asked}")


def _hash(algorithm: str, text: str) -> str:
    return _HASHES[algorithm](text.encode("utf-8", "surrogateescape")).hexdigest()


def _remember(kept: OrderedDict[str, V], host: str, value: V, most: int) -> None:
    kept[host] = value
    kept.move_to_end(host)
    if len(kept) > most:
        kept.popitem(last=False)
