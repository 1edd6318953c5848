"""One request of ours, sent again with credentials when it is challenged (RFC 3261 section 22). PURE."""

from typing import Protocol

from cti.sip import digest
from cti.sip.core import Core
from cti.sip.dialog import Dialog, Written
from cti.sip.flow import Flow
from cti.sip.headers import BadHeader
from cti.sip.message import Response
from cti.sip.transaction import ClientInvite, ClientNonInvite

TRIES_MAX = 3  # a first try, one with credentials, one more when the nonce had gone stale
DATAGRAM_BYTES_MAX = 1300  # RFC 3261 section 18.1.1: what is longer goes by TCP, the path's MTU being unknown

Credentials = tuple[str, str]  # user, password


class Answer(Protocol):
    def __call__(self, status: int, response: Response | None, now: float, /) -> None: ...


class Ask:
    """`answer(status, response, now)` is called with every response to an INVITE, with the final one to
    others; with 408 and no response when none came, with 503 and none when the connection was lost.

    A request too long for a datagram goes by TCP, and as a datagram all the same where nobody takes TCP.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_core",
        "_credentials",
        "_extra",
        "_is_long",
        "_kind",
        "_may_fall_back",
        "_method",
        "_tries",
        "authorization",
        "dialog",
        "transaction",
        "written",
    )

    transaction: ClientInvite | ClientNonInvite
    written: Written

    def __init__(
        self,
        core: Core,
        dialog: Dialog,
        method: str,
        extra: str,
        body: str,
        answer: Answer,
        now: float,
        credentials: Credentials | None = None,
        kind: str = "application/sdp",
    ) -> None:
        self._core = core
        self.dialog = dialog
        self._method = method
        self._extra = extra
        self._body = body
        self._kind = kind
        self._answer = answer
        self._credentials = credentials
        self._tries = 0
        self._is_long = False  # for a datagram, so it went by TCP
        self._may_fall_back = False  # to a datagram: nothing was heard by TCP
        self.authorization = ""
        self.send(now)

    def send(self, now: float) -> None:
        self._tries += 1
        core, dialog, flow = self._core, self.dialog, self.dialog.flow
        extra = self.authorization + self._extra
        written = dialog.request(self._method, extra, self._body, self._kind)
        self._is_long = (
            flow.transport == "UDP" and len(written.data) > DATAGRAM_BYTES_MAX and core.takes_tcp(flow, now)
        )
        if self._is_long:
            by_tcp = flow._replace(transport="TCP")
            written = dialog.request(self._method, extra, self._body, self._kind, written.number, by_tcp)
        self._may_fall_back = self._is_long
        self.written = written
        key = (written.branch, self._method)
        if self._method == "INVITE":
            self.transaction = ClientInvite(
                core.wire, core.clients, key, written.flow, written.data,
                self._receive, self._fail, self._ack_refusal, now,
            )  # fmt: skip
        else:
            self.transaction = ClientNonInvite(
                core.wire, core.clients, key, written.flow, written.data, self._receive, self._fail, now
            )

    def again(self, extra: str, now: float) -> None:
        """Send once more with other headers, as 421 and 422 ask for."""
        self._extra = extra
        self.send(now)

    def abandon(self, now: float) -> None:
        """Nobody wants the answer any more: do not ask again, and do not wait for it without end."""
        self._credentials = None
        self._may_fall_back = False
        if isinstance(self.transaction, ClientInvite):
            self.transaction.canceled(now)

    @property
    def flow(self) -> Flow:
        """By which the dialog goes on: not the connection that only this long request needed."""
        return self.dialog.flow if self._is_long else self.transaction.flow

    @property
    def may_try_again(self) -> bool:
        return self._tries < TRIES_MAX

    def acknowledge(self, dialog: Dialog, body: str = "") -> Written:
        """The ACK of a 2xx to this INVITE, in the dialog that it made; it carries the same credentials."""
        return dialog.request("ACK", self.authorization, body, number=self.written.number)

    def _receive(self, response: Response, now: float) -> None:
        self._may_fall_back = False
        status = response.status
        if status in (401, 407) and self._authorize(response):
            self.send(now)
        elif status != 100 or self._method == "INVITE":
            self._answer(status, response, now)

    def _fail(self, now: float, status: int) -> None:
        if self._may_fall_back and status == 503:
            self._core.refuses_tcp(self.dialog.flow, now)
            self._tries -= 1
            self.send(now)
        else:
            self._answer(status, None, now)

    def _ack_refusal(self, response: Response) -> bytes:
        return self.dialog.follow_up("ACK", self.written, response.get("to") or self.dialog.remote)

    def _authorize(self, response: Response) -> bool:
        """Find the credentials' header for the first challenge we can answer."""
        if self._credentials is None or not self.may_try_again:
            return False
        ours, theirs = (
            ("Authorization", "www-authenticate")
            if response.status == 401
            else ("Proxy-Authorization", "proxy-authenticate")
        )
        for challenge in response.get_all(theirs):
            if self.authorization and "stale=true" not in challenge.lower():
                return False  # these credentials were refused: the same ones will be refused again
            user, password = self._credentials
            try:
                value = digest.respond(
                    challenge, self._method, self.dialog.target, user, password, self._core.token(), 1
                )
            except (BadHeader, ValueError):
                continue
            self.authorization = f"{ours}: {value}\r\n"
            return True
        return False
