"""A call that 3xx answers send elsewhere: whom to call next (RFC 3261 section 8.1.3.4). PURE."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from cti.sip.headers import Address, BadHeader
from cti.sip.message import BadMessage, Response
from cti.sip.uri import NONE, BadUri, Uri

TARGETS_MAX = 5  # that are called in all: with more, somebody redirects in circles
FOLLOWED = (300, 301, 302)  # 305 names a proxy and 380 another service: nobody sends them


class Redirection:
    """Each target is called once, the best of those known first, until one answers or none is left."""

    def __init__(self, uri: str) -> None:
        self._known = {_identity(Uri.parse(uri))}
        self._waiting: list[Uri] = []
        self._followed = 0

    def after(self, status: int, contacts: Sequence[Address]) -> Uri | None:
        """Whom to call after this refusal, None when it is the last word."""
        if status >= 600:
            return None  # it speaks for everybody
        if status in FOLLOWED:
            self._waiting[:0] = self._new(contacts)
        if not self._waiting or self._followed == TARGETS_MAX:
            return None
        self._followed += 1
        return self._waiting.pop(0)

    def _new(self, contacts: Iterable[Address]) -> list[Uri]:
        found = []
        for contact in sorted(contacts, key=_quality, reverse=True):
            uri = replace(contact.uri, headers=NONE)  # a peer does not write our headers
            if uri.scheme == "sip" and _identity(uri) not in self._known:
                self._known.add(_identity(uri))
                found.append(uri)
        return found


def contacts_of(response: Response) -> tuple[Address, ...]:
    """Where a 3xx sends us; what cannot be read is passed over."""
    try:
        return tuple(address for address in response.addresses("contact") if address.uri.host)
    except (BadMessage, BadHeader, BadUri):
        return ()


def _quality(contact: Address) -> float:
    try:
        return min(1.0, max(0.0, float(contact.params.get("q") or 1)))
    except ValueError:
        return 0.0


def _identity(uri: Uri) -> tuple[str | None, str, int, str]:
    """Two URIs that lead to the same place, near enough to section 19.1.4."""
    return uri.user, uri.host.lower(), uri.port or 5060, uri.transport or "UDP"
