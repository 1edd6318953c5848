"""Telephones: SIP sessions and media legs become parties of calls. Nothing of one leg reaches the other."""

import asyncio
import ipaddress
import logging
import re
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from config import Settings
from crm.extensions import Extension
from crm.routes import Route
from crm.trunks import Trunk
from crm.users import User, can
from cti.agent import NOT_READY, READY
from cti.call import Call
from cti.media import engine as media
from cti.media import sdp_webrtc
from cti.media.engine import Engine, MediaError
from cti.sip import events as sip
from cti.sip.digest import Account, Challenger, Throttle, Verdict
from cti.sip.flow import Flow
from cti.sip.headers import Address
from cti.sip.redirect import Redirection
from cti.sip.registrar import Binding, Registered, Registrar, Unregistered
from cti.sip.sdp import NotAcceptable
from cti.sip.session import Session
from cti.sip.stack import Stack
from cti.sip.transport import SipTransport
from cti.sip.uri import Uri
from cti.station import CallRefused, NotSent, StationFailed, WebStation
from cti.story import LegOver
from cti.talk import set_away
from cti.trunk_use import TrunkUse

if TYPE_CHECKING:
    from cti.desk import Desk
    from cti.floor import Floor

log = logging.getLogger("ramal.phone")

SILENT_SECONDS = 6.0  # RFC 3261 17.1.1.2 gives up after 32; by then the INVITE was sent four times


class SipLeg:
    """A party reached by SIP. `answered` is resolved when both may speak, or fails with CallRefused."""

    def __init__(self, phones: "Phones", session: Session, name: str) -> None:
        self.phones = phones
        self.session = session
        self.name = name
        self.audio = Audio(phones.engine, name, session.flow.is_websocket)
        loop = asyncio.get_running_loop()
        self.over: asyncio.Future[str] = loop.create_future()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.answered.add_done_callback(lambda f: f.cancelled() or f.exception())
        self.on_ringing: Callable[[], None] | None = None
        self.early_media = False
        self.trunk: TrunkUse | None = None  # which carries it
        self.held_by_peer = False
        self.on_peer_hold: Callable[[bool], Awaitable[None]] | None = None
        self.redirection: Redirection | None = None  # set where 3xx answers are followed

    # -- a call that came in --

    def ring(self) -> None:
        self.session.ring(self.phones.now())
        self.phones.pump()

    async def answer(self) -> None:
        """Accept the call; one that cannot be carried is refused (488, 503) and ends with LegOver."""
        offer = self.session.remote_sdp
        try:
            if offer:
                sdp = await self.audio.answer(offer)
            else:  # an INVITE without an offer gets ours, its ACK brings the answer
                sdp = await self.audio.offer()
        except NotAcceptable:
            self._cannot(488, "no common codec")
        except media.NoCapacity:
            self._cannot(503, "no media capacity")
        self.session.accept(sdp, self.phones.now())
        self.phones.pump()
        if not self.answered.done():
            self.answered.set_result(None)

    def _cannot(self, status: int, cause: str) -> NoReturn:
        self.ended(cause)
        self.reject(status)
        raise LegOver(cause)

    def reject(self, status: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.session.reject(status, self.phones.now(), headers=list(headers))
        self.phones.pump()

    # -- both directions --

    async def hang_up(self, cause: str = "normal") -> None:
        self.session.hang_up(self.phones.now())
        self.phones.pump()
        self.ended(cause)

    def ended(self, cause: str) -> None:
        """The dialog is over, by whichever side: the media leg goes too."""
        if not self.answered.done():
            self.answered.set_exception(CallRefused(487, cause))
        if not self.over.done():
            self.over.set_result(cause)
            self.phones.legs.pop(self.name, None)
            self.phones.floor.spawn(self.phones.drop(self.name))

    def refused(self, status: int, reason: str) -> None:
        if not self.answered.done():
            refused = CallRefused if self.session.heard else NotSent
            self.answered.set_exception(refused(status, reason))

    def unheard(self) -> None:
        """So long after the INVITE: a trunk that has not said so much as 100 will carry nothing."""
        if self.trunk and not self.session.heard and not self.over.done():
            self.trunk.answers_nothing(self.phones.now())
            self.refused(503, "trunk silent")

    def heard(self) -> None:
        if self.trunk and self.session.heard:
            self.trunk.answers()

    async def accepted(self, sdp: str | None) -> None:
        """The far end answered our INVITE."""
        try:
            if sdp:
                await self.audio.accept(sdp)
        except (NotAcceptable, MediaError) as error:
            log.warning("%s: unusable answer: %s", self.name, error)
            self.refused(488, str(error))
            await self.hang_up("unusable answer")
            return
        if not self.answered.done():
            self.answered.set_result(None)

    async def progress(self, sdp: str | None) -> None:
        if sdp and not self.answered.done():
            try:
                await self.audio.accept(sdp)
                self.early_media = True
            except (NotAcceptable, MediaError) as error:
                log.info("%s: early media ignored: %s", self.name, error)
        if self.on_ringing:
            self.on_ringing()

    async def reoffered(self, sdp: str | None) -> None:
        """A re-INVITE: hold and resume by the phone, a new address, or only a refresh."""
        try:
            answer = await (self.audio.answer(sdp) if sdp else self.audio.reoffer())
        except (NotAcceptable, MediaError):
            self.session.refuse_offer(488, self.phones.now())
            self.phones.pump()
            return
        self.session.accept_offer(answer, self.phones.now())
        self.phones.pump()
        holds = bool(sdp) and is_hold(sdp or "")
        if holds != self.held_by_peer:
            self.held_by_peer = holds
            if self.on_peer_hold:
                await self.on_peer_hold(holds)

    async def reaccepted(self, sdp: str) -> None:
        """The answer to an offer of ours within the call."""
        try:
            await self.audio.accept(sdp)
        except (NotAcceptable, MediaError) as error:
            log.warning("%s: %s", self.name, error)


class Audio:
    """The media leg of a telephone: plain RTP, or WebRTC for one in a browser (RFC 7118 with RFC 8829)."""

    def __init__(self, engine: Engine, name: str, is_web: bool) -> None:
        self._engine = engine
        self._name = name
        self._is_web = is_web

    async def offer(self, near: str | None = None) -> str:
        make = self._engine.webrtc_offer if self._is_web else self._engine.rtp_offer
        return await make(self._name, near)

    async def answer(self, offer: str) -> str:
        self._is_web = sdp_webrtc.is_web(offer)
        return await (self._engine.webrtc_answer if self._is_web else self._engine.rtp_answer)(
            self._name, offer
        )

    async def accept(self, answer: str) -> None:
        await (self._engine.webrtc_accept if self._is_web else self._engine.rtp_accept)(self._name, answer)

    async def reoffer(self) -> str:
        return await (self._engine.webrtc_reoffer if self._is_web else self._engine.rtp_reoffer)(self._name)


def is_hold(sdp: str) -> bool:
    """A browser's c=0.0.0.0 only says that it knows no address of its own yet."""
    if re.search(r"^a=(sendonly|inactive)\s*$", sdp, re.MULTILINE):
        return True
    nowhere = re.search(r"^c=IN (IP4 0\.0\.0\.0|IP6 ::)\s*$", sdp, re.MULTILINE)
    return nowhere is not None and not sdp_webrtc.is_web(sdp)


def in_uri(host: str) -> str:
    """A host as URIs write it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call: accounts by extension, the digest challenge, and the ban of hosts that keep failing."""

    account: Callable[[str], Account | None]
    challenger: Challenger
    throttle: Throttle


class Phones:
    """The SIP stack, the media engine and the floor, wired. `on_call` starts the story of a new call."""

    def __init__(
        self,
        settings: Settings,
        floor: "Floor",
        engine: Engine,
        stack: Stack,
        registrar: Registrar,
        access: Access,
        transport: SipTransport,
    ) -> None:
        self.settings = settings
        self.floor = floor
        self.engine = engine
        self.stack = stack
        self.registrar = registrar
        self.access = access
        self.host = in_uri(settings.public_address or settings.bind)
        self.transport = transport
        self.on_call: Callable[[SipLeg, Trunk | Extension, str], None] = _nobody
        self.legs: dict[str, SipLeg] = {}
        self.web_stations: dict[str, WebStation] = {}
        self._trunks: dict[int, TrunkUse] = defaultdict(TrunkUse)
        transport.on_event = self.sip_event
        engine.on_event = self.media_event
        self.now = transport.now
        self.pump = transport.pump

    # -- who and where --

    def registered(self, extension: str) -> Binding | None:
        bindings = self.registrar.bindings(extension, self.now())
        return bindings[0] if bindings else None

    def routes_for(self, user: User) -> list[Route]:
        """Ways out this user may take (EPB-11)."""
        of_user = can(user, "dial_external")
        routes = self.floor.centre.routes.values() if of_user else ()
        return [r for r in routes if not r.groups or user.group_id in r.groups]

    def trunk_of(self, flow: Flow, user: str) -> Trunk | None:
        """The trunk a request came from: by address; a phone on the trunk's own host is told by its
        extension in From."""
        for trunk in self.floor.centre.trunks.values():
            if trunk.active and trunk.host == flow.host:
                if trunk.port == flow.port or user not in self.floor.centre.extensions:
                    return trunk
        return None

    # -- calls out --

    async def call_extension(self, extension: str, call: Call, auto_answer: bool = False) -> SipLeg:
        """INVITE the phone registered at an extension; raises StationFailed when there is none."""
        binding = self.registered(extension)
        if binding is None:
            raise StationFailed("not_registered")
        headers = []
        if auto_answer:
            headers = [
                ("Call-Info", f"<sip:{self.host}>;answer-after=0"),
                ("Alert-Info", f"<http://{self.host}>;info=alert-autoanswer;delay=0"),
            ]
        near = call.customer or call.agent_leg
        return await self._invite(
            str(binding.uri),
            binding.flow,
            self._from(call.caller or call.number, call.caller_name),
            f"<sip:{extension}@{self.host}>",
            headers,
            near=near.name if near else None,
        )

    async def call_trunk(self, trunk: Trunk, number: str, caller_id: str, near: str | None = None) -> SipLeg:
        """Place a call through a trunk; `number` is as the trunk wants it. Refused when all its channels are
        in use; how many calls begin in a second is for those who dial by themselves."""
        use = self._trunks[trunk.id]
        if trunk.channels_max and use.calls >= trunk.channels_max:
            raise NotSent(503, "trunk full")
        use.begin(self.now(), trunk.calls_per_second)  # before any wait, in which others would count too
        try:
            host = await self._address(trunk.host)
            flow = Flow(trunk.transport.upper(), host, trunk.port)
            uri = f"sip:{number}@{in_uri(trunk.host)}:{trunk.port}"
            if flow.transport != "UDP":
                uri += f";transport={flow.transport.lower()}"
            credentials = (trunk.username, trunk.password) if trunk.username and trunk.password else None
            leg = await self._invite(
                uri, flow, self._from(caller_id), None, [], credentials=credentials, near=near
            )
            if trunk.follows_redirects:
                leg.redirection = Redirection(uri)
        except BaseException:
            use.end()
            raise
        leg.over.add_done_callback(lambda _: use.end())
        leg.trunk = use
        asyncio.get_running_loop().call_later(SILENT_SECONDS, leg.unheard)
        return leg

    def trunk_silent(self, trunk_id: int) -> float | None:
        """For how many seconds this trunk has answered nothing at all; None while it answers."""
        since = self._trunks[trunk_id].silent_since
        return None if since is None else self.now() - since

    def trunk_room(self, trunk: Trunk) -> int:
        """How many calls more may begin on this trunk now."""
        return self._trunks[trunk.id].room(self.now(), trunk.channels_max, trunk.calls_per_second)

    def trunk_calls(self, trunk_id: int) -> int:
        """Calls on this trunk now, in both directions."""
        return self._trunks[trunk_id].calls

    async def _invite(
        self,
        uri: str,
        flow: Flow,
        from_: str,
        to: str | None,
        headers: list[tuple[str, str]],
        credentials: tuple[str, str] | None = None,
        near: str | None = None,
    ) -> SipLeg:
        name = f"sip-{secrets.token_hex(6)}"
        sdp = await Audio(self.engine, name, flow.is_websocket).offer(near)
        session = self.stack.invite(
            uri,
            flow=flow,
            from_=from_,
            to=to,
            sdp=sdp,
            headers=headers,
            credentials=credentials,
            now=self.now(),
        )
        leg = self._leg(session, name)
        self.pump()
        return leg

    def _leg(self, session: Session, name: str) -> SipLeg:
        leg = SipLeg(self, session, name)
        session.user = leg
        self.legs[name] = leg
        return leg

    def _from(self, number: str, display_name: str = "") -> str:
        shown = re.sub(r'[\\"\r\n]', "", display_name)
        user = re.sub(r"[^0-9A-Za-z+*#._-]", "", number) or "anonymous"
        return (f'"{shown}" ' if shown else "") + f"<sip:{user}@{self.host}>"

    async def _address(self, host: str) -> str:
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, None, family=self.transport.family)
            return str(found[0][4][0])

    # -- media helpers: what is gone is gone --

    async def drop(self, leg: str) -> None:
        try:
            await self.engine.delete(leg)
        except MediaError as error:
            log.debug("%s: %s", leg, error)

    async def quiet(self, leg: str) -> None:
        """A standing leg hears nothing and is heard by nobody."""
        try:
            await self.engine.unbridge(leg)
            await self.engine.stop_playing(leg)
            await self.engine.mute(leg, False)
        except MediaError as error:
            log.debug("%s: %s", leg, error)

    # -- what the stack says --

    def sip_event(self, event: sip.Event) -> None:
        match event:
            case sip.IncomingCall(session):
                self._incoming(session)
            case sip.Ringing(session, _, sdp):
                if leg := self._of(session):
                    leg.heard()
                    self.floor.spawn(leg.progress(sdp))
            case sip.Answered(session, sdp):
                if leg := self._of(session):
                    leg.heard()
                    self.floor.spawn(leg.accepted(sdp))
            case sip.Refused(session, status, reason):
                if leg := self._of(session):
                    leg.heard()
                    if not self._redirected(leg, event):
                        leg.refused(status, reason)
            case sip.Offered(session, sdp):
                if leg := self._of(session):
                    self.floor.spawn(leg.reoffered(sdp))
            case sip.OfferAnswered(session, sdp):
                if (leg := self._of(session)) and sdp:
                    self.floor.spawn(leg.reaccepted(sdp))
            case sip.ReferRequested(session):
                session.refuse_refer(603, self.now())
            case sip.Ended(session, cause):
                if leg := self._of(session):
                    leg.ended(cause)
            case Registered() | Unregistered():
                self._registration(event.user)
            case _:
                pass

    def _of(self, session: Session) -> SipLeg | None:
        return session.user if isinstance(session.user, SipLeg) else None

    def _redirected(self, leg: SipLeg, refused: sip.Refused) -> bool:
        """Whether the call goes on at another place; then the refused session is nobody's any more."""
        if refused.contacts and leg.redirection is None:
            where = ", ".join(contact.spec for contact in refused.contacts)
            log.warning("%s: redirected to %s; redirections are not followed there", leg.name, where)
        known = leg.redirection
        target = known.after(refused.status, refused.contacts) if known else None
        if target is None:
            return False
        log.info("%s: %s, on to %s", leg.name, refused.status, target)
        refused.session.user = leg.trunk = None  # the trunk has answered, and its part is over
        self.floor.spawn(self._follow(leg, refused.session, target))
        return True

    async def _follow(self, leg: SipLeg, refused: Session, target: Uri) -> None:
        """Call the same party at another place. Our password is only for the host it was given for."""
        old = refused.request
        try:
            host = await self._address(target.host.strip("[]"))
        except OSError as error:
            leg.refused(503, f"{target.host}: {error}")
            leg.ended("redirected to nowhere")
            return
        if leg.over.done():
            return
        port = target.port or (5061 if target.transport == "TLS" else 5060)
        flow = Flow(target.transport or refused.flow.transport, host, port)
        leg.session = self.stack.invite(
            str(target),
            flow=flow,
            from_=str(Address(old.from_.display, old.from_.spec)),
            to=old.get("To"),
            sdp=refused.local_sdp or "",
            credentials=refused.credentials if host == refused.flow.host else None,
            now=self.now(),
        )
        leg.session.user = leg
        self.pump()

    def _registration(self, extension: str) -> None:
        for desk in self.floor.desks.values():
            if desk.station and desk.station.kind == "softphone" and desk.station.extension == extension:
                desk.show("StationChanged", station=desk.station.view())
        self.floor.changed()

    # -- a call arrives --

    def _incoming(self, session: Session) -> None:
        """Who calls? A trunk by its address, an extension by its digest; everybody else is refused."""
        request = session.request
        user = request.from_.uri.user or ""
        source: Trunk | Extension | None = self.trunk_of(session.flow, user)
        if source is None:
            source = self._authenticated(session, user)
            if source is None:
                return
        dialed = sip_user(request.uri)
        leg = self._leg(session, f"sip-{secrets.token_hex(6)}")
        if isinstance(source, Trunk):
            use = self._trunks[source.id]
            use.begin(self.now(), source.calls_per_second, outgoing=False)
            use.answers()
            leg.over.add_done_callback(lambda _: use.end())
        self.on_call(leg, source, dialed)

    def _authenticated(self, session: Session, user: str) -> Extension | None:
        now, access, host = self.now(), self.access, session.flow.host
        given = session.request.get("Authorization") or session.request.get("Proxy-Authorization")
        verdict = None
        if given:
            verdict = access.challenger.check(given, "INVITE", access.account(user), now, host)
        if verdict == Verdict.OK:
            access.throttle.succeeded(host)
            return self.floor.centre.extensions.get(user)
        if verdict in (Verdict.WRONG, Verdict.MALFORMED):
            access.throttle.failed(host, now)
            session.reject(403, now)
        else:
            challenges = access.challenger.challenge(now, verdict == Verdict.STALE, host)
            session.reject(401, now, headers=[("WWW-Authenticate", c) for c in challenges])
        return None

    # -- what the media engine says --

    def media_event(self, event: Any) -> None:
        match event:
            case media.Connected(name):
                self._web_state(name, "ok")
            case media.Disconnected(name):
                self._web_state(name, "no_media_path")
            case media.Silent(name):
                self._away(name, True)
            case media.Audible(name):
                self._away(name, False)
            case media.WorkerLost(names):
                for name in names:
                    self._media_lost(name)

    def _web_state(self, name: str, state: str) -> None:
        station = self.web_stations.get(name)
        if station is None:
            return
        station.connected = state == "ok"
        if station.state == state:
            return
        station.state, station.detail = state, ""
        desk = self.floor.desks.get(station.user_id)
        if desk and desk.station is station:
            desk.show("StationChanged", station=station.view())
            if state != "ok":  # a page that reloads is back in a moment
                loop = asyncio.get_running_loop()
                loop.call_later(self.settings.station_return_seconds, self._still_away, desk, station)

    def _still_away(self, desk: "Desk", station: WebStation) -> None:
        if desk.station is station and station.state != "ok":
            if self.floor.agent(station.user_id).state == READY:
                self.floor.choose(station.user_id, NOT_READY, "station_lost")

    def _away(self, name: str, away: bool) -> None:
        """A browser that reloads or lost its network: music for the customer until it is back."""
        station = self.web_stations.get(name)
        desk = self.floor.desks.get(station.user_id) if station else None
        if desk and desk.call:
            self.floor.spawn(set_away(self, desk, desk.call, away))

    def _media_lost(self, name: str) -> None:
        """The worker that carried this leg died: its call ends cleanly."""
        if sip_leg := self.legs.get(name):
            self.floor.spawn(sip_leg.hang_up("media lost"))
        elif name in self.web_stations:
            station = self.web_stations[name]
            desk = self.floor.desks.get(station.user_id)
            leg = desk.call.leg_of(station.user_id) if desk and desk.call else None
            if leg:
                self.floor.spawn(leg.hang_up("media lost"))
            self._web_state(name, "no_media")


def _nobody(leg: SipLeg, source: Trunk | Extension, dialed: str) -> None:
    leg.reject(503)


def sip_user(uri: str) -> str:
    """The user part of a Request-URI, without parameters: what was dialled."""
    text = uri.partition(":")[2].partition("@")[0] if "@" in uri else ""
    return text.partition(";")[0]
