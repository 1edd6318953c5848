"""A SIP telephone without a screen: places calls, takes calls, says a Sound and remembers what it hears."""

import asyncio
import secrets
from collections.abc import Callable

from cti.customers.sounds import SILENCE, Sound
from cti.customers.talk import Talk
from cti.sip import sdp
from cti.sip.flow import Flow
from cti.sip.stack import (
    Answered,
    Ended,
    Event,
    IncomingCall,
    OfferAnswered,
    Offered,
    Refused,
    Ringing,
    Session,
    Stack,
)
from cti.sip.transport import SipTransport
from cti.sip.uri import Uri


class CustomerCall:
    """One call of a telephone, placed or taken. Its futures are awaited; its verbs return at once."""

    def __init__(self, phone: "Telephone", session: Session, talk: Talk) -> None:
        loop = asyncio.get_running_loop()
        self.session = session
        self.talk = talk
        self.rang = asyncio.Event()
        self.answered = asyncio.Event()
        self.over: asyncio.Future[str] = loop.create_future()  # the cause; "" for a plain hang-up
        self.over_by_peer = False
        self.status = 0  # of the last response to our INVITE
        self.ended_at = 0.0  # loop time
        self.answered_at = 0.0
        self._phone = phone

    @property
    def number(self) -> str:
        """What was dialed to reach this telephone."""
        return Uri.parse(self.session.request.uri).user or ""

    def ring(self) -> None:
        self._phone.do(lambda now: self.session.ring(now))

    def answer(self) -> None:
        offer = self.session.remote_sdp
        text = self._answer_to(offer) if offer else self._offer()
        self._phone.do(lambda now: self.session.accept(text, now))

    def reject(self, status: int) -> None:
        self._phone.do(lambda now: self.session.reject(status, now))

    def hang_up(self) -> None:
        self._phone.do(lambda now: self.session.hang_up(now))

    def say(self, sound: Sound) -> None:
        self.talk.say(sound)

    def follow(self, event: Event) -> None:
        """What the stack tells about this call."""
        loop = asyncio.get_running_loop()
        match event:
            case Ringing(status=status, sdp=text):
                self.status = status
                self.rang.set()
                if text:
                    self._connect(text)
            case Answered(sdp=text):
                if text:
                    self._connect(text)
                self.status = self.status if self.session.outgoing is False else 200
                self.answered_at = loop.time()
                self.answered.set()
            case Refused(status=status):
                self.status = status
            case Offered(sdp=text):
                answer = self._answer_to(text) if text else self._offer()
                self._phone.do(lambda now: self.session.accept_offer(answer, now))
            case OfferAnswered(sdp=text):
                self._connect(text)
            case Ended(cause=cause, by_peer=by_peer):
                self.talk.close()
                if not self.over.done():
                    self.over_by_peer, self.ended_at = by_peer, loop.time()
                    self.over.set_result(cause or "")

    def _answer_to(self, offer: str) -> str:
        """Our answer to what the far end offers; raises NotAcceptable."""
        text = sdp.answer(offer, self.talk.host, self.talk.port, session_id=str(self.talk.port)).sdp
        self._connect(offer)
        return text

    def _offer(self) -> str:
        return sdp.offer(self.talk.host, self.talk.port, str(self.talk.port))

    def _connect(self, theirs: str) -> None:
        codec, event_payload, audio = sdp.agreed(theirs)
        self.talk.connect(audio.address, audio.port, codec.pt, codec.name == "PCMU", event_payload)


class Telephone:
    """A SIP endpoint without registration, like a trunk's far end: `product` is where it calls.

    `on_call` is handed each call that arrives, and rings, answers or rejects it.
    """

    def __init__(
        self,
        host: str,
        port: int,
        product: tuple[str, int],
        on_call: Callable[[CustomerCall], object],
        transport: str = "UDP",
    ) -> None:
        self.host, self.port = host, port
        self.calls: dict[str, CustomerCall] = {}
        self._product = product
        self._flow = Flow(transport, *product)  # type: ignore[arg-type]
        self._on_call = on_call
        self._stack = Stack(host, port, lambda: secrets.token_hex(8), None, user_agent="Customer")
        self._transport = SipTransport(self._stack, host, port)
        self._transport.on_event = self._event

    async def start(self) -> None:
        await self._transport.start()

    async def close(self) -> None:
        for call in list(self.calls.values()):
            call.hang_up()
            call.talk.close()
        await self._transport.close()

    def call(self, number: str, caller: str, sound: Sound = SILENCE, name: str = "") -> CustomerCall:
        """Place a call; say the sound as soon as somebody can hear it."""
        host, port = self._product
        display = f'"{name}" ' if name else ""
        talk = Talk(self.host)
        offer = sdp.offer(self.host, talk.port, str(talk.port))
        session = self._stack.invite(
            f"sip:{number}@{host}:{port}",
            flow=self._flow,
            from_=f"{display}<sip:{caller}@{self.host}:{self.port}>",
            sdp=offer,
            now=self._transport.now(),
        )
        call = CustomerCall(self, session, talk)
        call.say(sound)
        self.calls[session.id] = call
        self._transport.pump()
        return call

    def do(self, act: Callable[[float], object]) -> None:
        """Give the stack a command, at its own clock, and send what follows from it."""
        act(self._transport.now())
        self._transport.pump()

    def _event(self, event: Event) -> None:
        session: Session | None = getattr(event, "session", None)
        if isinstance(event, IncomingCall):
            call = CustomerCall(self, event.session, Talk(self.host))
            self.calls[event.session.id] = call
            self._on_call(call)
        elif session is not None and session.id in self.calls:
            call = self.calls[session.id]
            call.follow(event)
            if isinstance(event, Ended):
                del self.calls[session.id]
