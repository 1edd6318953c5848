"""Where each user can be reached: REGISTER and its bindings (RFC 3261 section 10, RFC 5626 tolerated). PURE.

A user is reached by the flow its REGISTER came on, not by the address it wrote into Contact.
"""

from collections.abc import Callable, Iterable, KeysView
from dataclasses import dataclass

from cti.sip.digest import Account, Challenger, Throttle, Verdict
from cti.sip.flow import Flow
from cti.sip.headers import Address, BadHeader, split_list
from cti.sip.message import BadMessage, Request, Response
from cti.sip.uri import BadUri, Uri

EXPIRES_DEFAULT = 3600  # RFC 3261 section 10.2.1.1 leaves it to us, also for what cannot be read
BINDINGS_MAX = 10  # of one user; a phone that forgets what it registered pushes out its own oldest
WRONG_PASSWORD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Binding:
    """`uri` is what a request to this phone is addressed to, `flow` how it gets there."""

    uri: Uri
    flow: Flow
    path: tuple[str, ...]
    expires_at: float
    user_agent: str = ""
    instance: str = ""
    call_id: str = ""
    cseq: int = 0
    contact: Address | None = None

    @property
    def place(self) -> tuple[object, ...]:
        """Two bindings of the same place are one: the same device, else the same address."""
        if self.instance and self.contact is not None:
            return (self.instance, self.contact.params.get("reg-id") or "")
        return (self.uri.scheme, self.uri.user, self.uri.host, self.uri.port, self.uri.transport)


@dataclass(frozen=True, slots=True)
class Registered:
    """New, or reached by another flow than before. A mere refresh is not told."""

    user: str
    binding: Binding


@dataclass(frozen=True, slots=True)
class Unregistered:
    """The last binding of the user has gone."""

    user: str


class _Refused(Exception):
    def __init__(self, status: int, reason: str | None = None, min_expires: int | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.reason = reason
        self.min_expires = min_expires


class Registrar:
    """`accounts` gives the account of a user name, None when there is none."""

    def __init__(
        self,
        accounts: Callable[[str], Account | None],
        challenger: Challenger,
        throttle: Throttle,
        expires_min: int = 60,
        expires_max: int = 3600,
    ) -> None:
        self._accounts = accounts
        self._challenger = challenger
        self._throttle = throttle
        self._expires_min = expires_min
        self._expires_max = expires_max
        self._bindings: dict[str, dict[tuple[object, ...], Binding]] = {}
        self._users_of: dict[Flow, set[str]] = {}
        self._events: list[Registered | Unregistered] = []
        self._earliest: float | None = None

    def register(self, request: Request, flow: Flow, now: float) -> tuple[Response, float]:
        """The response, and the seconds to hold it back: a wrong password is answered slowly."""
        try:
            return self._register(request, flow, now)
        except _Refused as refused:
            response = self._response(request, refused.status, refused.reason)
            if refused.min_expires is not None:
                response.set("Min-Expires", str(refused.min_expires))
            return response, 0.0
        except (BadMessage, BadUri):
            return self._response(request, 400), 0.0

    def bindings(self, user: str, now: float) -> list[Binding]:
        """Where the user can be reached, the newest registration first."""
        known = self._bindings.get(user, {}).values()
        return [binding for binding in reversed(known) if binding.expires_at > now]

    @property
    def flows(self) -> KeysView[Flow]:
        """By which phones can be reached."""
        return self._users_of.keys()

    def lost(self, flow: Flow) -> None:
        """The connection is gone, and with it the only way to the phones behind it."""
        for user in self._users_of.get(flow, set()).copy():
            gone = [place for place, binding in self._bindings[user].items() if binding.flow == flow]
            self._remove(user, gone)

    def expire(self, now: float) -> None:
        if self._earliest is None or self._earliest > now:
            return
        for user in list(self._bindings):
            over = [place for place, binding in self._bindings[user].items() if binding.expires_at <= now]
            self._remove(user, over)
        self._earliest = min(
            (b.expires_at for bindings in self._bindings.values() for b in bindings.values()), default=None
        )

    def next_timer(self) -> float | None:
        """When to call `expire` next; never too late, sometimes too early."""
        return self._earliest

    def events(self) -> list[Registered | Unregistered]:
        events, self._events = self._events, []
        return events

    def _register(self, request: Request, flow: Flow, now: float) -> tuple[Response, float]:
        claimed = self._challenger.username(request.get_all("authorization"))
        if claimed is None:
            return self._challenged(request, flow, now, stale=False), 0.0
        name, authorization = claimed
        account = self._accounts(name)
        match self._challenger.check(authorization, "REGISTER", account, now, flow.host):
            case Verdict.MALFORMED:
                raise _Refused(400, "Bad Authorization")
            case Verdict.STALE:
                return self._challenged(request, flow, now, stale=True), 0.0
            case Verdict.WRONG:
                self._throttle.failed(flow.host, now)
                return self._response(request, 403), WRONG_PASSWORD_SECONDS
        self._throttle.succeeded(flow.host)
        assert account is not None
        if request.to.uri.user != account.user:
            raise _Refused(403)  # one user may not register for another
        self._update(request, account.user, flow, now)
        return self._accepted(request, account.user, now), 0.0

    def _challenged(self, request: Request, flow: Flow, now: float, stale: bool) -> Response:
        response = self._response(request, 401)
        for challenge in self._challenger.challenge(now, stale, flow.host):
            response.add("WWW-Authenticate", challenge)
        return response

    def _accepted(self, request: Request, user: str, now: float) -> Response:
        response = self._response(request, 200)
        for binding in self.bindings(user, now):
            contact = binding.contact or Address("", binding.uri)
            seconds = max(1, round(binding.expires_at - now))
            response.add("Contact", str(contact.with_params(expires=str(seconds))))
        if "path" in request.tokens("supported"):
            for path in request.get_all("path"):
                response.add("Path", path)
        return response

    def _update(self, request: Request, user: str, flow: Flow, now: float) -> None:
        """All or nothing (RFC 3261 section 10.3): everything is checked before anything is kept."""
        known = self._bindings.get(user, {})
        if request.get("contact") is None:
            return
        if request.get("contact") == "*":
            if request.expires != 0:
                raise _Refused(400, "Contact * Needs Expires 0")
            _in_order(request, known.values())
            self._remove(user, list(known))
            return
        wanted = [self._wanted(request, contact, flow, now) for contact in request.addresses("contact")]
        if len(wanted) > BINDINGS_MAX:
            raise _Refused(400, "Too Many Contacts")
        _in_order(request, [known[binding.place] for binding in wanted if binding.place in known])
        was_known = bool(known)
        self._drop(user, [binding.place for binding in wanted if binding.expires_at <= now])
        for binding in wanted:
            if binding.expires_at > now:
                self._keep(user, binding)
        left = self._bindings.get(user, {})
        self._drop(user, list(left)[: max(0, len(left) - BINDINGS_MAX)])
        if was_known and not self._bindings.get(user):
            self._events.append(Unregistered(user))

    def _wanted(self, request: Request, contact: Address, flow: Flow, now: float) -> Binding:
        if contact.uri.scheme not in ("sip", "sips"):
            raise _Refused(400, "Contact Is Not SIP")
        asked = contact.params.get("expires")
        header = request.expires
        seconds = EXPIRES_DEFAULT if header is None else header
        if asked is not None:
            seconds = int(asked[:10]) if asked.isascii() and asked.isdigit() else EXPIRES_DEFAULT
        if 0 < seconds < self._expires_min:
            raise _Refused(423, min_expires=self._expires_min)
        try:
            path = tuple(value for line in request.get_all("path") for value in split_list(line))
        except BadHeader as error:
            raise _Refused(400, "Bad Path") from error
        return Binding(
            contact.uri,
            flow,
            path,
            now + min(seconds, self._expires_max),
            (request.get("user-agent") or "")[:200],
            (contact.params.get("+sip.instance") or "")[:200],
            request.call_id,
            request.cseq.number,
            contact,
        )

    def _keep(self, user: str, binding: Binding) -> None:
        bindings = self._bindings.setdefault(user, {})
        before = bindings.pop(binding.place, None)
        if before is not None:
            self._forget_flow(user, before.flow)
        bindings[binding.place] = binding
        self._users_of.setdefault(binding.flow, set()).add(user)
        if self._earliest is None or binding.expires_at < self._earliest:
            self._earliest = binding.expires_at
        if before is None or (before.flow, before.uri) != (binding.flow, binding.uri):
            self._events.append(Registered(user, binding))

    def _remove(self, user: str, places: Iterable[tuple[object, ...]]) -> None:
        was_known = user in self._bindings
        self._drop(user, places)
        if was_known and user not in self._bindings:
            self._events.append(Unregistered(user))

    def _drop(self, user: str, places: Iterable[tuple[object, ...]]) -> None:
        bindings = self._bindings.get(user, {})
        for place in places:
            if (binding := bindings.pop(place, None)) is not None:
                self._forget_flow(user, binding.flow)
        if not bindings:
            self._bindings.pop(user, None)

    def _forget_flow(self, user: str, flow: Flow) -> None:
        if any(binding.flow == flow for binding in self._bindings.get(user, {}).values()):
            return
        users = self._users_of.get(flow, set())
        users.discard(user)
        if not users:
            self._users_of.pop(flow, None)

    def _response(self, request: Request, status: int, reason: str | None = None) -> Response:
        return request.response(status, reason, to_tag=self._challenger.token())


def _in_order(request: Request, touched: Iterable[Binding]) -> None:
    """Within one Call-ID the CSeq must grow, else an old packet would undo a newer one."""
    cseq, call_id = request.cseq.number, request.call_id
    if any(binding.call_id == call_id and cseq <= binding.cseq for binding in touched):
        raise _Refused(400, "CSeq Out Of Order")
