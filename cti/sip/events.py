"""What a SIP stack tells the one who uses it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cti.sip.flow import Flow
from cti.sip.headers import Address

if TYPE_CHECKING:
    from cti.sip.session import Session


class Cause(StrEnum):
    """Why a session ended, unless `hang_up` was given a word of its own."""

    NORMAL = "normal"  # a BYE, sent or received
    CANCELED = "canceled"  # given up before it was answered
    REFUSED = "refused"  # a final answer from 300 on, sent or received
    TIMEOUT = "timeout"  # the peer does not answer
    NO_ACK = "no_ack"  # we answered, the peer never confirmed
    CONNECTION_LOST = "connection_lost"
    SESSION_EXPIRED = "session_expired"  # RFC 4028: not refreshed in time
    DIALOG_LOST = "dialog_lost"  # the peer no longer knows the call (481)


@dataclass(frozen=True, slots=True)
class IncomingCall:
    session: "Session"


@dataclass(frozen=True, slots=True)
class Canceled:
    """The caller gave up before we answered. Ended follows."""

    session: "Session"


@dataclass(frozen=True, slots=True)
class Ringing:
    """A provisional answer above 100; `sdp` is early media. May come several times."""

    session: "Session"
    status: int
    sdp: str | None


@dataclass(frozen=True, slots=True)
class Answered:
    session: "Session"
    sdp: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """Our call was not taken: a status from 300; 408 is no answer, 503 a lost connection. Ended follows.

    `contacts` is where a 3xx sends us instead.
    """

    session: "Session"
    status: int
    reason: str
    retry_after: int | None
    contacts: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Offered:
    """The peer wants other media: answer with `accept_offer` or `refuse_offer`.

    Without `sdp` it asks for an offer of ours, which `accept_offer` then gives; its answer is OfferAnswered.
    """

    session: "Session"
    sdp: str | None


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    session: "Session"
    sdp: str


@dataclass(frozen=True, slots=True)
class OfferRefused:
    session: "Session"
    status: int


@dataclass(frozen=True, slots=True)
class Digit:
    session: "Session"
    digit: str
    ms: int


@dataclass(frozen=True, slots=True)
class ReferRequested:
    """The peer asks us to call `target` (RFC 3515): answer with `accept_refer` or `refuse_refer`."""

    session: "Session"
    target: str
    referred_by: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """Exactly once for each session, and its last event. `reason` is the peer's Reason header, if any."""

    session: "Session"
    cause: str
    by_peer: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OptionsAnswered:
    """`status` None: no answer came."""

    flow: Flow
    status: int | None


Event = (
    IncomingCall
    | Canceled
    | Ringing
    | Answered
    | Refused
    | Offered
    | OfferAnswered
    | OfferRefused
    | Digit
    | ReferRequested
    | Ended
    | OptionsAnswered
    | Any  # Registered and Unregistered, the registrar's
)
