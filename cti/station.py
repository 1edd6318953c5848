"""Where an agent hears and speaks: WebRTC in the browser, or a softphone at an extension."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from crm.users import User
from cti.call import Call, Leg
from cti.media.engine import MediaError

if TYPE_CHECKING:
    from cti.floor import Floor
    from cti.phone import Phones, SipLeg

MEDIA_STATES = {"ok", "no_microphone", "no_permission", "no_media_path", "closed"}


class StationFailed(Exception):
    """The agent's station cannot take the call; `why` is a station state, such as not_registered."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class CallRefused(Exception):
    """The call was not taken. `status` is the SIP status of the far end (408 when nobody answered)."""

    def __init__(self, status: int, reason: str = "") -> None:
        super().__init__(f"{status} {reason}".strip())
        self.status = status
        self.reason = reason


class NotSent(CallRefused):
    """The far end never had the call: the way there is full, broken or answers nothing at all."""


class Ring(Protocol):
    """A call ringing somewhere. `answered` gives the leg, or fails with StationFailed or CallRefused."""

    answered: asyncio.Future[Leg]
    ringing: asyncio.Event

    def answer(self) -> None: ...
    async def cancel(self, cause: str = "normal") -> None: ...


class Station(Protocol):
    kind: str
    extension: str
    detail: str

    @property
    def state(self) -> str: ...
    def ring(self, call: Call, auto_answer: bool = False) -> Ring: ...
    def view(self) -> dict[str, Any]: ...
    async def leave(self) -> None: ...


def view(station: Station) -> dict[str, Any]:
    return {
        "kind": station.kind,
        "extension": station.extension,
        "state": station.state,
        "detail": station.detail,
    }


def no_answer_yet() -> asyncio.Future[Any]:
    """A future whose failure may go unseen: the call may have ended meanwhile."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda f: f.cancelled() or f.exception())
    return future


# -- WebRTC: one nailed-up connection for each login --


class WebLeg:
    """One call on the agent's standing WebRTC connection; hanging up leaves the connection up."""

    def __init__(self, phones: "Phones", name: str) -> None:
        self._phones = phones
        self.name = name
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def hang_up(self, cause: str = "normal") -> None:
        if not self.over.done():
            self.over.set_result(cause)
            await self._phones.quiet(self.name)


class WebRing:
    def __init__(self, phones: "Phones", name: str) -> None:
        self._phones, self._name = phones, name
        self.answered: asyncio.Future[Leg] = no_answer_yet()
        self.ringing = asyncio.Event()
        self.ringing.set()

    def answer(self) -> None:
        if not self.answered.done():
            self.answered.set_result(WebLeg(self._phones, self._name))

    async def cancel(self, cause: str = "normal") -> None:
        if self.answered.done() and not self.answered.cancelled() and not self.answered.exception():
            await self.answered.result().hang_up(cause)
        else:
            self.answered.cancel()


class WebStation:
    kind = "webrtc"

    def __init__(self, phones: "Phones", user: User, extension: str) -> None:
        self._phones = phones
        self.user_id = user.id
        self.extension = extension
        self.leg = f"web-{user.id}"
        self.state = "no_media"
        self.detail = ""
        self.connected = False  # as the media engine sees it, whatever the page has reported

    async def offer(self, sdp: str) -> str:
        """The page's WebRTC offer; a later one (reload, new network) takes the place of the earlier."""
        self._phones.web_stations[self.leg] = self
        return await self._phones.engine.webrtc_answer(self.leg, sdp)

    def ring(self, call: Call, auto_answer: bool = False) -> WebRing:
        ring = WebRing(self._phones, self.leg)
        if auto_answer:
            ring.answer()
        return ring

    def view(self) -> dict[str, Any]:
        return view(self)

    async def leave(self) -> None:
        if self._phones.web_stations.get(self.leg) is self:
            del self._phones.web_stations[self.leg]
            await self._phones.drop(self.leg)


# -- softphone: an ordinary SIP phone --


class PhoneRing:
    """A telephone rings by an INVITE, which `invite(auto_answer)` sends. Answering from a desk calls it
    again asking it to answer by itself, since no phone can be made to lift a call already ringing."""

    def __init__(
        self, floor: "Floor", invite: Callable[[bool], Awaitable["SipLeg"]], auto_answer: bool = False
    ) -> None:
        self._floor, self._invite = floor, invite
        self.answered: asyncio.Future[Leg] = no_answer_yet()
        self.ringing = asyncio.Event()
        self.leg: SipLeg | None = None
        self._canceled = False
        floor.spawn(self._run(auto_answer))

    async def _run(self, auto_answer: bool) -> None:
        try:
            leg = await self._invite(auto_answer)
        except (StationFailed, CallRefused, MediaError) as failure:
            self._fail(failure)
            return
        if self._canceled:
            await leg.hang_up()
            return
        self.leg = leg
        leg.on_ringing = self.ringing.set
        try:
            await leg.answered
        except Exception as refused:
            if self.leg is leg:  # not replaced by the auto-answer call
                self._fail(refused)
            return
        if self.answered.done():
            await leg.hang_up()
        else:
            self.leg = leg
            self.answered.set_result(leg)

    def _fail(self, failure: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(failure)

    def answer(self) -> None:
        lifted = self.leg is not None and self.leg.answered.done()
        if not self.answered.done() and not lifted:
            ringing, self.leg = self.leg, None
            if ringing:
                self._floor.spawn(ringing.hang_up("answered from the desk"))
            self._floor.spawn(self._run(auto_answer=True))

    async def cancel(self, cause: str = "normal") -> None:
        self._canceled = True
        self.answered.cancel()
        if self.leg:
            await self.leg.hang_up(cause)


class SoftphoneStation:
    kind = "softphone"

    def __init__(self, phones: "Phones", user: User, extension: str) -> None:
        self.phones = phones
        self.user_id = user.id
        self.extension = extension
        self.detail = ""

    @property
    def state(self) -> str:
        return "ok" if self.phones.registered(self.extension) else "not_registered"

    def ring(self, call: Call, auto_answer: bool = False) -> PhoneRing:
        phones, extension = self.phones, self.extension
        return PhoneRing(phones.floor, lambda auto: phones.call_extension(extension, call, auto), auto_answer)

    def view(self) -> dict[str, Any]:
        return view(self)

    async def leave(self) -> None:
        """The phone stays registered; it belongs to whoever logs on next."""
