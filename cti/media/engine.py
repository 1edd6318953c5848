"""The media engine: legs, who hears whom, what is played and kept. The interface, and the embedded engine.

The embedded engine decides here, in the control process, and its workers carry out. Commands to a worker are
sent and not waited for: they arrive in order, and a worker that cannot carry them out is dead, of which
`WorkerLost` tells. So a whole call costs no round trip.
"""

import asyncio
import itertools
import random
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from cti.media import sdp_webrtc, wav
from cti.media.control import Message
from cti.media.detection import Decision, Kind, Thresholds
from cti.media.process import MediaError, NoCapacity, WorkerGone, WorkerProcess
from cti.media.rtp import DIGITS
from cti.sip import sdp

__all__ = [
    "EmbeddedEngine",
    "Engine",
    "MediaError",
    "NoCapacity",
    "UnknownLeg",
    "UnknownRecording",
    "Unplayable",
    "WorkerGone",
]


OFFERED_DIGITS = 101  # the payload type of telephone-event in cti.sip.sdp.offer


@dataclass(frozen=True, slots=True)
class Digit:
    leg: str
    digit: str


@dataclass(frozen=True, slots=True)
class Connected:
    """DTLS is done, or the first RTP has shown where the party is."""

    leg: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A WebRTC party has closed its connection, or its ICE consent is gone."""

    leg: str


@dataclass(frozen=True, slots=True)
class Silent:
    """A bridged leg should send packets and does not."""

    leg: str


@dataclass(frozen=True, slots=True)
class Audible:
    """A silent leg sends packets again."""

    leg: str


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """These legs are gone with their worker; no command is needed, or possible, for them."""

    legs: list[str]


MediaEvent = Digit | Connected | Disconnected | Silent | Audible | WorkerLost


@dataclass(frozen=True, slots=True)
class Stats:
    packets_in: int
    packets_out: int
    lost: int
    jitter_ms: float
    silent_ms: int  # since the last packet, or since the leg began
    connected: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    path: Path
    seconds: float


class UnknownLeg(MediaError):
    """There is no such leg: never made, deleted, or lost with its worker."""


class Unplayable(MediaError):
    """The file to be played is not there, or no WAV file that can be played; says which in a sentence."""


class UnknownRecording(MediaError):
    """No recording of this name is running."""


class Engine(Protocol):
    on_event: Callable[[MediaEvent], None]

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    async def rtp_offer(self, leg: str, near: str | None = None) -> str: ...
    async def rtp_answer(self, leg: str, offer: str, near: str | None = None) -> str: ...
    async def rtp_accept(self, leg: str, answer: str) -> None: ...
    async def rtp_reoffer(self, leg: str) -> str: ...
    async def webrtc_offer(self, leg: str, near: str | None = None) -> str: ...
    async def webrtc_answer(self, leg: str, offer: str, near: str | None = None) -> str: ...
    async def webrtc_accept(self, leg: str, answer: str) -> None: ...
    async def webrtc_reoffer(self, leg: str) -> str: ...
    async def delete(self, leg: str) -> None: ...

    async def bridge(self, a: str, b: str) -> None: ...
    async def unbridge(self, a: str) -> None: ...
    async def play(self, leg: str, source: str, loop: bool = True) -> None: ...
    async def play_once(self, leg: str, source: str) -> bool: ...
    async def stop_playing(self, leg: str) -> None: ...
    async def mute(self, leg: str, on: bool) -> None: ...
    async def dtmf(self, leg: str, digits: str) -> None: ...

    @property
    def detects(self) -> bool: ...
    async def detect(self, leg: str, thresholds: Thresholds) -> Decision: ...
    async def greeting_end(self, leg: str, thresholds: Thresholds) -> Decision: ...
    async def stop_detecting(self, leg: str) -> None: ...

    async def record(self, name: str, a: str, b: str) -> Path: ...
    async def stop_record(self, name: str) -> Recorded: ...
    async def stats(self, leg: str) -> Stats: ...


_EVENTS: dict[str, Callable[..., MediaEvent]] = {
    "digit": Digit,
    "connected": Connected,
    "disconnected": Disconnected,
    "silent": Silent,
    "audible": Audible,
}


@dataclass
class _Leg:
    """What the engine knows of a leg."""

    name: str
    worker: WorkerProcess
    port: int  # 0: WebRTC
    law: str = "PCMA"
    peer: "_Leg | None" = None
    link: "_Link | None" = None
    session: str = field(default_factory=lambda: str(random.getrandbits(40)))
    version: int = 0
    ice: tuple[str, str] = ("", "")  # WebRTC: our user fragment and password
    theirs: tuple[str, str] = ("", "")  # WebRTC: their user fragment and fingerprint


@dataclass(frozen=True)
class _End:
    """One end of a link."""

    name: str
    worker: WorkerProcess
    port: int


@dataclass(frozen=True)
class _Link:
    """Two internal legs that join legs of two workers."""

    ends: dict[str, _End]  # leg it stands beside -> end


@dataclass
class _Recording:
    path: Path
    worker: WorkerProcess
    sides: dict[str, str]  # leg -> "left" | "right"


class EmbeddedEngine:
    """Workers on this machine. `address` is bound, `announce` is what SDP says; ports are shared out evenly.

    Methods raise UnknownLeg for a leg that is not there; delete, stop_playing and unbridge do nothing then.
    """

    def __init__(
        self,
        address: str,
        announce: str,
        port_low: int,
        port_high: int,
        workers: int,
        silence_ms: int,
        recordings: Path,
    ) -> None:
        self.on_event: Callable[[MediaEvent], None] = lambda event: None
        self._announce = announce
        self._inside = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
        self._recordings_folder = recordings
        share = (port_high + 1 - port_low) // workers // 2 * 2
        self._workers = [
            WorkerProcess(
                address,
                range(port_low + number * share, port_low + (number + 1) * share),
                silence_ms,
                self._happened,
                self._died,
            )
            for number in range(workers)
        ]
        self._legs: dict[str, _Leg] = {}
        self._recordings: dict[str, _Recording] = {}
        self._link_numbers = itertools.count(1)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the workers; returns when all are ready. Raises MediaError when one ends at once."""
        self._tasks = [asyncio.create_task(worker.run()) for worker in self._workers]
        for worker in self._workers:
            while not worker.ready:
                if worker.deaths:
                    await self.stop()
                    raise MediaError(f"a media worker cannot start with ports {worker.ports}")
                await worker.changed()

    async def stop(self) -> None:
        """End the workers, finishing their recordings."""
        self.on_event = lambda event: None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    # -- RTP legs ------------------------------------------------------------------------------------

    async def rtp_offer(self, leg: str, near: str | None = None) -> str:
        """An SDP offer of a new leg. Raises NoCapacity."""
        made = await self._new_rtp(leg, near)
        return self._offer(made)

    async def rtp_reoffer(self, leg: str) -> str:
        """An SDP offer of an existing leg, for a session refresh."""
        return self._offer(self._leg(leg))

    async def rtp_answer(self, leg: str, offer: str, near: str | None = None) -> str:
        """The answer to a party's offer: for a new leg, or a re-INVITE of an old one, which keeps its port.

        Raises NotAcceptable when there is no codec in common, NoCapacity.
        """
        agreed = sdp.agreed(offer)  # refused before anything is changed
        answering = self._legs.get(leg) or await self._new_rtp(leg, near)
        self._agree(answering, agreed, agreed.telephone_event)
        answering.version += 1
        return sdp.answer(offer, self._announce, answering.port, answering.session, answering.version).sdp

    async def rtp_accept(self, leg: str, answer: str) -> None:
        """Take the party's answer to our offer, early or final. Raises NotAcceptable."""
        self._agree(self._leg(leg), sdp.agreed(answer), OFFERED_DIGITS)

    def _offer(self, leg: _Leg) -> str:
        leg.version += 1
        return sdp.offer(self._announce, leg.port, leg.session, leg.version)

    def _agree(self, leg: _Leg, agreed: sdp.Agreed, digits_in: int | None) -> None:
        """Each side sends under the payload types that the other announced, RFC 3264 section 5.1."""
        party = agreed.peer
        leg.law = agreed.codec.name
        format = _format(agreed.codec.pt, party, digits_in)
        leg.worker.tell("agree", leg.name, party.address, party.port, format, party.listens, party.speaks)

    async def _new_rtp(self, name: str, near: str | None) -> _Leg:
        assert name not in self._legs, f"leg {name} exists"
        worker = await self._worker(near)
        port = await worker.take_port()
        worker.tell("rtp", name, port)
        return self._add(_Leg(name, worker, port))

    # -- WebRTC legs ---------------------------------------------------------------------------------

    async def webrtc_answer(self, leg: str, offer: str, near: str | None = None) -> str:
        """The answer to a browser's offer: for a new leg, or another connection under an old one.

        The old one keeps its bridge, line and recording. Raises NotAcceptable.
        """
        browser = sdp_webrtc.read(offer)
        answering = self._legs.get(leg) or self._add(_Leg(leg, await self._worker(near), 0))
        assert not answering.port, f"leg {leg} is plain RTP"
        if (browser.ufrag, browser.fingerprint) != answering.theirs:  # else only hold, resume or a refresh
            answering.ice = _new_ice()
        self._agree_web(answering, browser, browser.digits)
        answering.version += 1
        return sdp_webrtc.answer(browser, self._ours(answering), answering.session, answering.version)

    async def webrtc_offer(self, leg: str, near: str | None = None) -> str:
        """An SDP offer of a new leg, for a softphone in a browser."""
        assert leg not in self._legs, f"leg {leg} exists"
        made = self._add(_Leg(leg, await self._worker(near), 0, ice=_new_ice()))
        made.worker.tell("webrtc_offer", leg, *made.ice)
        return await self.webrtc_reoffer(leg)

    async def webrtc_reoffer(self, leg: str) -> str:
        """An SDP offer of an existing leg, for a session refresh: the connection stays."""
        offering = self._leg(leg)
        offering.version += 1
        return sdp_webrtc.offer(self._ours(offering), offering.session, offering.version)

    async def webrtc_accept(self, leg: str, answer: str) -> None:
        """Take the browser's answer to our offer, early or final. Raises NotAcceptable."""
        self._agree_web(self._leg(leg), sdp_webrtc.read(answer), sdp_webrtc.OFFERED_DIGITS)

    def _agree_web(self, leg: _Leg, browser: sdp_webrtc.Browser, digits_in: int | None) -> None:
        leg.law = browser.law
        leg.theirs = browser.ufrag, browser.fingerprint
        leg.worker.tell(
            "webrtc", leg.name, *leg.ice, (browser.algorithm, browser.fingerprint),
            _format(browser.payload_type, browser.audio, digits_in), browser.listens, browser.speaks,
        )  # fmt: skip

    def _ours(self, leg: _Leg) -> sdp_webrtc.Ours:
        worker = leg.worker
        return sdp_webrtc.Ours(self._announce, worker.webrtc_port, *leg.ice, worker.fingerprint)

    def _add(self, leg: _Leg) -> _Leg:
        self._legs[leg.name] = leg
        leg.worker.legs += 1
        return leg

    async def delete(self, leg: str) -> None:
        gone = self._legs.pop(leg, None)
        if gone is not None:
            self._part(gone)
            gone.worker.tell("delete", leg)
            gone.worker.legs -= 1
            if gone.port:
                gone.worker.give_port(gone.port)

    # -- who hears whom ------------------------------------------------------------------------------

    async def bridge(self, a: str, b: str) -> None:
        """Let two legs hear each other, and nobody else. Raises NoCapacity when a link finds no port."""
        one, other = self._leg(a), self._leg(b)
        if one.peer is other:
            return
        self._part(one)
        self._part(other)
        if one.worker is other.worker:
            one.worker.tell("bridge", a, b)
        else:
            await self._join(one, other)
        one.peer, other.peer = other, one

    async def unbridge(self, a: str) -> None:
        leg = self._legs.get(a)
        if leg is not None:
            self._part(leg)

    async def _join(self, one: _Leg, other: _Leg) -> None:
        number = next(self._link_numbers)
        ends: dict[str, _End] = {}
        deaths = one.worker.deaths, other.worker.deaths
        try:
            for leg in (one, other):
                ends[leg.name] = _End(f"link {number} {leg.name}", leg.worker, await leg.worker.take_port())
            for leg in (one, other):
                if self._leg(leg.name) is not leg or leg.peer is not None:
                    raise UnknownLeg(leg.name)  # deleted, lost, or bridged elsewhere while we waited
        except MediaError:
            for end in ends.values():
                if (one.worker.deaths, other.worker.deaths) == deaths:
                    end.worker.give_port(end.port)
            raise
        for leg, far in ((one, other), (other, one)):
            end = ends[leg.name]
            leg.worker.tell("link", end.name, end.port, self._inside, ends[far.name].port, leg.law)
            leg.worker.tell("bridge", leg.name, end.name)
        one.link = other.link = _Link(ends)
        self._tap_link(one, other)

    def _part(self, leg: _Leg) -> None:
        other = leg.peer
        if other is None:
            return
        leg.peer = other.peer = None
        link, leg.link, other.link = leg.link, None, None
        if link is None:
            leg.worker.tell("unbridge", leg.name)
        else:
            for end in link.ends.values():
                end.worker.tell("delete", end.name)
                end.worker.give_port(end.port)

    async def play(self, leg: str, source: str, loop: bool = True) -> None:
        """Let a leg hear a sound of cti.media.tones ("music", "zip", ...) or a WAV file, not its peer.

        A file is mono or stereo at 8000 Hz, 16-bit PCM or G.711; cti.media.message makes others so.
        """
        self._leg(leg).worker.tell("play", leg, source, loop)

    async def play_once(self, leg: str, source: str) -> bool:
        """Play it once and wait for its end: a message, or "zip" to an agent. Then the leg hears its peer.

        False: it did not come to its end; the leg is gone, or hears something else. Cancelled: it stops.
        Raises UnknownLeg, and Unplayable when the file cannot be read.
        """
        worker = self._leg(leg).worker
        number = worker.number()
        try:
            played = await worker.ask_as(number, "play_once", leg, source)
        except WorkerGone:
            return False
        except asyncio.CancelledError:
            worker.tell("stop_once", number, leg)
            raise
        if isinstance(played, str):
            raise Unplayable(played)
        return bool(played)

    async def stop_playing(self, leg: str) -> None:
        """Let a leg hear its peer again."""
        playing = self._legs.get(leg)
        if playing is not None:
            playing.worker.tell("stop", leg)

    async def mute(self, leg: str, on: bool) -> None:
        self._leg(leg).worker.tell("mute", leg, on)

    async def dtmf(self, leg: str, digits: str) -> None:
        """Send digits (0-9 * # A-D) to a party, 100 ms each."""
        wrong = set(digits) - set(DIGITS)
        if wrong:
            raise ValueError(f"not a digit: {' '.join(sorted(wrong))}")
        self._leg(leg).worker.tell("dtmf", leg, digits)

    # -- who is there --------------------------------------------------------------------------------

    @property
    def detects(self) -> bool:
        """Whether detect and greeting_end can be asked for."""
        return True

    async def detect(self, leg: str, thresholds: Thresholds) -> Decision:
        """Hear what a party says from now on, bridged or not, and tell who it is. Cancelled: it stops.

        Raises MediaError: the leg is gone, its detection was stopped, or begun once more.
        """
        return await self._hear("detect", leg, thresholds)

    async def greeting_end(self, leg: str, thresholds: Thresholds) -> Decision:
        """Hear a machine out: returns after its beep, or a long pause. Cancelled and raises: as detect."""
        return await self._hear("greeting_end", leg, thresholds)

    async def stop_detecting(self, leg: str) -> None:
        """End what detect or greeting_end do on this leg, if they do; who waits for them gets MediaError."""
        heard = self._legs.get(leg)
        if heard is not None:
            heard.worker.tell("stop_hearing", leg, None)

    async def _hear(self, verb: str, leg: str, thresholds: Thresholds) -> Decision:
        worker = self._leg(leg).worker
        number = worker.number()
        try:
            found = await worker.ask_as(number, verb, leg, asdict(thresholds))
        except asyncio.CancelledError:
            worker.tell("stop_hearing", leg, number)
            raise
        if found is None:
            raise UnknownLeg(leg) if leg not in self._legs else MediaError(f"detection on {leg} was ended")
        kind, ms, why = found
        return Decision(Kind(kind), ms, why)

    # -- recordings ----------------------------------------------------------------------------------

    async def record(self, name: str, a: str, b: str) -> Path:
        """Keep what two legs say to each other, a left and b right, until stop_record. Returns the file."""
        one, other = self._leg(a), self._leg(b)
        assert name not in self._recordings, f"recording {name} is running"
        path = self._recordings_folder / f"{name}.wav"
        self._recordings[name] = _Recording(path, one.worker, {a: "left", b: "right"})
        one.worker.tell("record", name, str(path.absolute()), a, b)
        if one.peer is other:
            self._tap_link(one, other)
        return path

    async def stop_record(self, name: str) -> Recorded:
        """Finish a recording. When its worker died, what was written until then stays.

        Raises UnknownRecording.
        """
        recording = self._recordings.pop(name, None)
        if recording is None:
            raise UnknownRecording(name)
        try:
            seconds = await recording.worker.ask("stop_record", name)
        except WorkerGone:
            seconds = None
        if seconds is None:
            seconds = wav.stereo_seconds(recording.path)
        return Recorded(recording.path, seconds)

    def _tap_link(self, one: _Leg, other: _Leg) -> None:
        """Where a recorded leg is on another worker than the recording, record its end of the link."""
        if one.link is None:
            return
        for leg, far in ((one, other), (other, one)):
            for name, recording in self._recordings.items():
                if recording.worker is leg.worker and {leg.name, far.name} == recording.sides.keys():
                    leg.worker.tell("tap", name, recording.sides[far.name], one.link.ends[leg.name].name)

    # -- figures -------------------------------------------------------------------------------------

    async def stats(self, leg: str) -> Stats:
        """Raises UnknownLeg, WorkerGone."""
        figures = await self._leg(leg).worker.ask("stats", leg)
        if figures is None:
            raise UnknownLeg(leg)
        return Stats(*figures)

    def worker_of(self, leg: str) -> int:
        """The process id of the worker that carries a leg."""
        return self._leg(leg).worker.pid

    def pids(self) -> list[int]:
        return [worker.pid for worker in self._workers if worker.ready]

    # -- workers -------------------------------------------------------------------------------------

    def _leg(self, name: str) -> _Leg:
        leg = self._legs.get(name)
        if leg is None:
            raise UnknownLeg(name)
        return leg

    async def _worker(self, near: str | None) -> WorkerProcess:
        """Where a new leg goes: beside `near`, or where fewest legs are. Waits until a worker is ready."""
        beside = self._legs.get(near) if near else None
        if beside is not None:
            return beside.worker
        while not (ready := [worker for worker in self._workers if worker.ready]):
            waits = [asyncio.ensure_future(worker.changed()) for worker in self._workers]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        return min(ready, key=lambda worker: worker.legs)

    def _happened(self, worker: WorkerProcess, message: Message) -> None:
        kind, name, *rest = message
        leg = self._legs.get(name)
        if leg is not None and leg.worker is worker:  # not one deleted while the message was on its way
            self.on_event(_EVENTS[kind](name, *rest))

    def _died(self, worker: WorkerProcess) -> None:
        lost = [leg for leg in self._legs.values() if leg.worker is worker]
        for leg in lost:
            self._part(leg)
            del self._legs[leg.name]
        worker.legs = 0
        worker.forget_ports()
        if lost:
            self.on_event(WorkerLost([leg.name for leg in lost]))


def _new_ice() -> tuple[str, str]:
    """A user fragment and a password, RFC 8839 section 5.4."""
    return secrets.token_hex(4), secrets.token_hex(12)


def _format(
    payload_type: int, audio: sdp.Audio, digits_in: int | None
) -> tuple[int, str, dict[int, str], int | None, int | None]:
    """What a worker needs to know of a party's payload types: the fields of rtp.Format."""
    accepted = {codec.pt: codec.name for codec in audio.payloads if codec.name in sdp.G711}
    return payload_type, accepted[payload_type], accepted, digits_in, audio.telephone_event
