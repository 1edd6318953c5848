"""One media worker: a process that carries the packets of many legs and does as the engine says.

`python -m cti.media.worker CONTROL_FD ADDRESS PORT_LOW PORT_HIGH SILENCE_MS`; it ends when the other
end of the control socket closes. Nothing is decided here, and nothing here waits.
"""

import contextlib
import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cti.media import rtcp, tones, wav
from cti.media.control import Channel, Closed
from cti.media.detection import Decision, Detector, GreetingEnd, Listener, Thresholds
from cti.media.dtls import Identity
from cti.media.dtmf import Dialer
from cti.media.hearing import Hearing
from cti.media.icelite import IcePort
from cti.media.loop import TICK_SECONDS, Loop
from cti.media.pairs import Pairs
from cti.media.recorder import Recording, Voice, Writer
from cti.media.rtp import Format, Leg, bridge, unbridge
from cti.media.rtp_leg import RtpLeg, address_of
from cti.media.webrtc_leg import WebRtcLeg

SILENCE_TICKS = round(0.1 / TICK_SECONDS)  # who is silent is looked at each 100 ms
SECOND_TICKS = round(1 / TICK_SECONDS)
FILES_KEPT_MAX = 32
ANSWERED = ("stats", "stop_record", "play_once", "detect", "greeting_end")

PR_SET_PDEATHSIG = 1

log = logging.getLogger("media")


class Worker:
    def __init__(self, control: socket.socket, address: str, low: int, high: int, silence_ms: int) -> None:
        self._silence_seconds = silence_ms / 1000
        self._channel = Channel(control)
        self._loop = Loop(self._tick)
        self._writer = Writer()
        self._ice = IcePort(self._loop, address, low, high)
        self._identity = Identity()
        self._pairs = Pairs(address, self._ice.port + 1, high)
        self._legs: dict[str, Leg] = {}
        self._players: dict[str, tones.Player] = {}
        self._dialers: dict[str, Dialer] = {}
        self._recordings: dict[str, Recording] = {}
        self._taps: dict[str, dict[str, Voice]] = {}  # leg -> recording -> its channel
        self._files: dict[tuple[str, int], tones.Sound] = {}
        self._wanted: dict[str, str] = {}  # leg -> the file it waits for
        self._played: dict[str, int] = {}  # leg -> who is told when it has heard all
        self._hearings: dict[str, Hearing] = {}
        self._ticks = 0
        self._verbs: dict[str, Callable[..., None]] = {
            "pairs": self._open_pairs,
            "rtp": self._open_rtp,
            "agree": self._agree,
            "webrtc": self._webrtc,
            "webrtc_offer": self._webrtc_offer,
            "link": self._link,
            "bridge": self._bridge,
            "unbridge": self._unbridge,
            "play": self._play,
            "play_once": self._play_once,
            "stop": self._stop_playing,
            "stop_once": self._stop_once,
            "detect": self._detect,
            "greeting_end": self._greeting_end,
            "stop_hearing": self._stop_hearing,
            "mute": self._mute,
            "dtmf": self._dtmf,
            "record": self._record,
            "tap": self._tap,
            "stop_record": self._stop_record,
            "stats": self._stats,
            "delete": self._delete,
            "ping": lambda: self._event("pong"),
        }
        self._loop.add(control.fileno(), self._commanded)

    def run(self) -> None:
        self._event("hello", self._ice.port, self._identity.fingerprint)
        self._flush()
        self._loop.run()
        now = time.monotonic()
        for recording in self._recordings.values():
            recording.stop(now, lambda seconds: None)
        self._writer.stop()

    def stop(self) -> None:
        self._loop.running = False

    # -- the engine ----------------------------------------------------------------------------------

    def _commanded(self, _now: float) -> None:
        try:
            for verb, *arguments in self._channel.receive():
                try:
                    self._verbs[verb](*arguments)
                except Exception:  # one command's trouble is not the other legs'
                    log.exception("%s %s", verb, arguments)
                    if verb in ANSWERED:
                        self._event("reply", arguments[0], None)
            self._flush()
        except Closed:
            self.stop()

    def _event(self, *message: Any) -> None:
        self._channel.put(*message)
        self._loop.soon(self._flush)

    def _flush(self) -> None:
        try:
            done = self._channel.flush()
        except Closed:
            self.stop()
        else:
            self._loop.when_writable(self._channel.socket.fileno(), None if done else self._flush)

    # -- legs ----------------------------------------------------------------------------------------

    def _open_pairs(self, count: int) -> None:
        self._event("pairs", self._pairs.open(count))

    def _open_rtp(self, name: str, port: int) -> None:
        self._legs[name] = RtpLeg(name, self._event, time.monotonic(), self._loop, self._pairs[port])

    def _agree(self, name: str, host: str, port: int, format: list[Any], hears: bool, sends: bool) -> None:
        leg = self._legs[name]
        assert isinstance(leg, RtpLeg)
        leg.agree(address_of(host, port), Format(*format), hears, sends, time.monotonic())

    def _webrtc(
        self,
        name: str,
        ufrag: str,
        password: str,
        fingerprint: list[str],
        format: list[Any],
        hears: bool,
        sends: bool,
    ) -> None:
        """A new leg, another connection under an old one, or other media on the same."""
        algorithm, value = fingerprint
        self._web_leg(name).agree(ufrag, password, (algorithm, value), Format(*format), hears, sends)

    def _webrtc_offer(self, name: str, ufrag: str, password: str) -> None:
        """A new leg that may be reached, whose browser is not known yet."""
        self._web_leg(name).expect(ufrag, password)

    def _web_leg(self, name: str) -> WebRtcLeg:
        leg = self._legs.get(name)
        if leg is None:
            leg = self._legs[name] = WebRtcLeg(name, self._event, time.monotonic(), self._ice, self._identity)
        assert isinstance(leg, WebRtcLeg)
        return leg

    def _link(self, name: str, port: int, host: str, far_port: int, law: str) -> None:
        """An end of an internal connection to another worker."""
        leg = RtpLeg(name, self._event, time.monotonic(), self._loop, self._pairs[port])
        leg.hidden = True
        leg.format = Format(0 if law == "PCMU" else 8, law, {0: "PCMU", 8: "PCMA"}, 101, 101)
        leg.connect((host, far_port))
        self._legs[name] = leg

    def _delete(self, name: str) -> None:
        self._answer_player(name, False)
        self._end_hearing(name)
        leg = self._legs.pop(name)
        leg.player = leg.dialing = leg.tap = None
        self._players.pop(name, None)
        self._dialers.pop(name, None)
        self._wanted.pop(name, None)
        self._taps.pop(name, None)
        unbridge(leg)
        leg.close()

    # -- who hears whom ------------------------------------------------------------------------------

    def _bridge(self, a: str, b: str) -> None:
        bridge(self._legs[a], self._legs[b], time.monotonic())

    def _unbridge(self, name: str) -> None:
        unbridge(self._legs[name])

    def _mute(self, name: str, on: bool) -> None:
        leg = self._legs[name]
        leg.muted = on
        if leg.peer is not None:
            leg.peer.wire()

    def _play(self, name: str, source: str, loop: bool) -> None:
        self._wanted.pop(name, None)
        self._answer_player(name, False)
        sound = tones.named(source)
        if sound is not None:
            self._start_playing(name, sound, loop)
        else:
            self._start_playing(name, tones.named("silence"), True)
            self._wanted[name] = source
            self._writer.do(lambda: self._load(name, source, loop))

    def _play_once(self, number: int, name: str, source: str) -> None:
        """Play it and answer: True at its end, False when something else came before, text: why it cannot."""
        if name in self._legs:
            self._play(name, source, False)
            self._played[name] = number
        else:
            self._event("reply", number, None)

    def _answer_player(self, name: str, answer: bool | str) -> None:
        number = self._played.pop(name, None)
        if number is not None:
            self._event("reply", number, answer)

    def _load(self, name: str, source: str, loop: bool) -> None:
        """Read an audio file, in the writer's thread, and play it if the leg still wants it."""
        try:
            key = (source, os.stat(source).st_mtime_ns)
            sound = self._files.get(key) or tones.from_file(Path(source))
        except (OSError, wav.BadAudio) as error:
            log.warning("cannot play: %s", error)
            reason = str(error)
            self._loop.call(lambda: self._unplayable(name, source, reason))
            return
        if key not in self._files and len(self._files) >= FILES_KEPT_MAX:
            self._files.pop(next(iter(self._files)))
        self._files[key] = sound

        def play() -> None:
            if self._wanted.get(name) == source:
                self._start_playing(name, sound, loop)

        self._loop.call(play)

    def _unplayable(self, name: str, source: str, reason: str) -> None:
        """Silence goes on until it is stopped, unless somebody waits for the end of it."""
        if self._wanted.get(name) == source and name in self._played:
            self._answer_player(name, reason)
            self._stop_playing(name)

    def _start_playing(self, name: str, sound: tones.Sound | None, loop: bool) -> None:
        assert sound is not None
        leg = self._legs[name]
        self._players[name] = leg.player = tones.Player(leg, sound, loop)
        leg.wire()

    def _stop_once(self, number: int, name: str) -> None:
        if self._played.get(name) == number:
            self._stop_playing(name)

    def _stop_playing(self, name: str, whole: bool = False) -> None:
        self._answer_player(name, whole)
        self._wanted.pop(name, None)
        self._players.pop(name, None)
        leg = self._legs[name]
        leg.player = None
        leg.wire()

    def _dtmf(self, name: str, digits: str) -> None:
        dialer = self._dialers.get(name)
        if dialer is not None:
            dialer.add(digits)
        else:
            leg = self._legs[name]
            self._dialers[name] = leg.dialing = Dialer(leg, digits)
            leg.wire()

    # -- who is there --------------------------------------------------------------------------------

    def _detect(self, number: int, name: str, thresholds: dict[str, int]) -> None:
        self._hear(number, name, Detector(Thresholds(**thresholds)))

    def _greeting_end(self, number: int, name: str, thresholds: dict[str, int]) -> None:
        self._hear(number, name, GreetingEnd(Thresholds(**thresholds)))

    def _hear(self, number: int, name: str, listener: Listener) -> None:
        """Answer with what it decides; with None when there is no such leg, or no longer."""
        leg = self._legs.get(name)
        if leg is None:
            self._event("reply", number, None)
        else:
            self._end_hearing(name)

            def decided(decision: Decision) -> None:
                leg.ear = None
                del self._hearings[name]
                self._event("reply", number, (decision.kind, decision.ms, decision.why))

            leg.ear = self._hearings[name] = Hearing(number, listener, time.monotonic(), decided)

    def _stop_hearing(self, name: str, number: int | None) -> None:
        """None: whichever it is."""
        hearing = self._hearings.get(name)
        if hearing is not None and number in (None, hearing.number):
            self._end_hearing(name)

    def _end_hearing(self, name: str) -> None:
        hearing = self._hearings.pop(name, None)
        if hearing is not None:
            self._legs[name].ear = None
            self._event("reply", hearing.number, None)

    # -- recordings ----------------------------------------------------------------------------------

    def _record(self, name: str, path: str, a: str, b: str) -> None:
        recording = Recording(Path(path), self._writer, time.monotonic())
        self._recordings[name] = recording
        self._tap(name, "left", a)
        self._tap(name, "right", b)

    def _tap(self, name: str, side: str, leg: str) -> None:
        """Keep what this leg says in one channel of the recording. A leg of another worker: not yet."""
        recording = self._recordings.get(name)
        if recording is not None and leg in self._legs:
            voice = recording.left if side == "left" else recording.right
            self._taps.setdefault(leg, {})[name] = voice
            self._retap(leg)

    def _stop_record(self, number: int, name: str) -> None:
        recording = self._recordings.pop(name)
        for leg, voices in self._taps.items():
            if voices.pop(name, None) is not None:
                self._retap(leg)

        def stopped(seconds: float) -> None:
            self._loop.call(lambda: self._event("reply", number, seconds))

        recording.stop(time.monotonic(), stopped)

    def _retap(self, name: str) -> None:
        voices = list(self._taps[name].values())
        self._legs[name].tap = None if not voices else voices[0] if len(voices) == 1 else Taps(voices)

    # -- figures -------------------------------------------------------------------------------------

    def _stats(self, number: int, name: str) -> None:
        leg = self._legs[name]
        lost = max(0, leg.packets_expected - leg.packets_in)
        silent_ms = round((time.monotonic() - leg.heard_at) * 1000)
        figures = (leg.packets_in, leg.packets_out, lost, leg.jitter_ms, silent_ms, leg.connected)
        self._event("reply", number, figures)

    # -- time ----------------------------------------------------------------------------------------

    def _tick(self, now: float) -> None:
        for name, player in list(self._players.items()):
            if not player.tick(now):
                self._stop_playing(name, whole=True)
        for hearing in list(self._hearings.values()):
            hearing.tick(now)
        for name, dialer in list(self._dialers.items()):
            if not dialer.tick(now):
                del self._dialers[name]
                leg = self._legs[name]
                leg.dialing = None
                leg.wire()
        self._ticks += 1
        if self._ticks % SILENCE_TICKS == 0:
            self._listen(now)
        self._report(now)

    def _listen(self, now: float) -> None:
        """Tell which bridged legs have gone silent, and which came back."""
        for leg in self._legs.values():
            if leg.peer is None or leg.hidden or not leg.sends:
                continue
            silent = now - max(leg.heard_at, leg.expected) > self._silence_seconds
            if silent == leg.audible:
                leg.audible = not silent
                self._event("silent" if silent else "audible", leg.name)

    def _report(self, now: float) -> None:
        """Write recordings and look after legs each second, report each five: some of them at each tick."""
        place = self._ticks % SECOND_TICKS
        for recording in list(self._recordings.values())[place::SECOND_TICKS]:
            recording.flush(now)
        for leg in list(self._legs.values())[place::SECOND_TICKS]:
            leg.watch(now)
        place = self._ticks % (SECOND_TICKS * rtcp.REPORT_SECONDS)
        for leg in list(self._legs.values())[place :: SECOND_TICKS * rtcp.REPORT_SECONDS]:
            leg.report(now)


class Taps:
    """Several recordings of one leg."""

    def __init__(self, voices: list[Voice]) -> None:
        self._voices = voices

    def put(self, timestamp: int, payload: bytes, now: float) -> None:
        for voice in self._voices:
            voice.put(timestamp, payload, now)


def main(arguments: list[str]) -> None:
    descriptor, address, low, high, silence_ms = arguments
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # whatever ends the engine ends us
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for the engine, which then closes our control end
    logging.basicConfig(level=logging.INFO, format="%(name)s[%(process)d] %(levelname)s %(message)s")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    worker = Worker(socket.socket(fileno=int(descriptor)), address, int(low), int(high), int(silence_ms))
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    with contextlib.suppress(PermissionError):
        os.nice(-10)  # speech goes before everything else on this machine
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)  # a pause of the collector is a pause of every call
    worker.run()


if __name__ == "__main__":
    main(sys.argv[1:])
