"""Who has answered: a person, a machine, a fax, music or nobody. PURE: frames of sound in, one decision out.

An `Ear` says of each 20 ms how loud it is, whether somebody speaks (a pitch, above the noise of the line),
which pure tone sounds and how steady the spectrum is. A `Detector` counts what the ear says:

* a person says a few words and waits for an answer: a short greeting, then a pause;
* a machine goes on speaking, or beeps;
* tones have their frequencies and cadences; music is steady sound.

Time is counted in sound, not read from a clock. The thresholds were chosen on one set of spoken greetings and
are measured on another by `bench.amd`. In doubt it is a person: a machine put through costs an agent seconds,
a person hung up on is an abandoned call.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cti.media.g711 import SAMPLES_PER_PACKET, SAMPLES_PER_SECOND, ulaw_to_pcm

FRAME_MS = 20

# -- the ear
WINDOW = 2 * SAMPLES_PER_PACKET  # samples looked at: this frame and the one before
POINTS = 512
BIN_HERTZ = SAMPLES_PER_SECOND / POINTS
SPEECH_BINS = slice(round(90 / BIN_HERTZ), round(3700 / BIN_HERTZ))
LOBE_BINS = 4  # half the width of a pure tone in the spectrum
PITCH_LAGS = slice(SAMPLES_PER_SECOND // 400, SAMPLES_PER_SECOND // 70)  # 70 to 400 Hz
PITCH_LEAST = 0.5  # of a frame's energy repeats with its pitch
TONE_SHARE = 0.8  # of a frame's energy lies in one line of the spectrum
TONE_DRIFT_HERTZ = 14.0
MUSIC_DB = -45.0  # no music is quieter
QUIET_DB = -50.0  # nothing quieter is heard, below full scale
FLOOR_FIRST_DB = -36.0  # the noise of a line is not taken for louder than this until it has lasted
MARGIN_DB = 7.0  # speech stands so far above the noise
RISE_DB = 0.06  # how fast the noise may seem to grow in a frame of speech, and
RISE_NOISE_DB = 0.6  # in a frame without pitch
DEPTH_DB = 16.0  # what is so much quieter than the speech before it is somebody else's
FADE_DB = 0.05  # how fast that is forgotten in a frame
STEADY_LEAST = 0.7  # chords have no pitch, but stay
STEADY_FRAMES = 3  # how far apart the spectra are that are compared

# -- what is heard for how long
WORD_MS = 80  # shorter sounds are clicks
NEARER_DB = 12.0  # whoever is so much louder is the one who has answered
CLEAR_DB = 12.0  # a person's word stands so far above the noise; else it was the noise
BRIDGE_MS = 120  # a stop or a hiss inside a word
FAX_HERTZ = (1100.0, 2100.0)  # ITU-T T.30: the calling and the called station
FAX_DRIFT_HERTZ = 40.0
NETWORK_HERTZ = 425.0
NETWORK_DRIFT_HERTZ = 25.0
BEEP_HERTZ = (380.0, 2600.0)
TONE_MS = 80  # a tone is one after so long
VOWEL_MS = 400  # no vowel keeps its pitch so long
EDGE_FRAMES = 2  # at each end of a tone that are not pure
DROP_DB = 6.0  # what is heard after a tone is at least so much quieter
BEEP_ENDLESS_MS = 1500
BUSY_MS = (160, 380)  # a burst of the busy tone, 250 ms in Brazil
RINGING_MS = 600  # longer than any burst of another tone of the network


class Kind(StrEnum):
    HUMAN = "human"
    MACHINE = "machine"
    FAX = "fax"
    SILENCE = "silence"
    MUSIC = "music"
    RINGBACK = "ringback"  # it rings somewhere else: a call passed on
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When the counting ends, in milliseconds but for the share. The defaults are safe for any campaign.

    A shorter `pause_ms` connects people sooner and takes more machines for people, a longer `greeting_ms`
    spares people with much to say and lets machines speak longer.
    """

    silence_ms: int = 2500  # nobody has spoken for so long after the answer: silence
    pause_ms: int = 480  # a person has finished greeting and waits
    greeting_ms: int = 2200  # a person's greeting is no longer
    fax_ms: int = 300  # of a fax tone
    beep_ms: int = 160  # of any other single tone: a machine's
    music_ms: int = 1500  # of steady sound
    music_percent: int = 75  # how like itself music stays from one moment to the next; speech: below 60
    total_ms: int = 5000  # then it is decided whatever was heard
    message_pause_ms: int = 2000  # a machine that is silent for so long records, beep or not
    message_wait_ms: int = 30_000  # then the message is left whatever is heard

    def __post_init__(self) -> None:
        """Raises ValueError: one of them cannot work."""
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}; it can be {low} to {high}")

    @classmethod
    def read(cls, given: Mapping[str, object]) -> Self:
        """From settings: unknown names are left out, values may be text. Raises ValueError."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: int(str(value)) for name, value in given.items() if name in known})


LIMITS = {
    "silence_ms": (500, 20_000),
    "pause_ms": (200, 3000),
    "greeting_ms": (500, 10_000),
    "fax_ms": (100, 2000),
    "beep_ms": (80, 1000),
    "music_ms": (1000, 10_000),
    "music_percent": (50, 100),
    "total_ms": (1000, 30_000),
    "message_pause_ms": (500, 10_000),
    "message_wait_ms": (1000, 120_000),
}


@dataclass(frozen=True, slots=True)
class Decision:
    kind: Kind
    ms: int  # of sound heard until it was made
    why: str  # for a log: what decided


@dataclass(frozen=True, slots=True)
class Heard:
    """What the ear makes of 20 ms."""

    level_db: float  # below full scale
    floor_db: float  # the noise of the line
    voiced: bool  # a pitch above the noise: speech, or music
    tone_hertz: float  # of a single tone, 0: there is none
    steady: float  # likeness to the sound 60 ms before, 0 to 1


class Ear:
    def __init__(self) -> None:
        self._window = np.zeros(WINDOW)
        self._floor_db = FLOOR_FIRST_DB
        self._peak_db: float = QUIET_DB
        self._spectra: list[NDArray[np.float64] | None] = [None] * STEADY_FRAMES
        self._frame = 0

    def hear(self, samples: NDArray[np.int16]) -> Heard:
        """Take the next 160 samples."""
        window = self._window
        window[:SAMPLES_PER_PACKET] = window[SAMPLES_PER_PACKET:]
        window[SAMPLES_PER_PACKET:] = samples
        place = self._frame = (self._frame + 1) % STEADY_FRAMES
        frame = window[SAMPLES_PER_PACKET:]
        level_db = 10 * float(np.log10(frame.dot(frame) / SAMPLES_PER_PACKET / 2**30 + 1e-10))
        if level_db < QUIET_DB:
            self._floor_db = max(QUIET_DB, min(self._floor_db, level_db))
            self._spectra[place] = None
            return Heard(level_db, self._floor_db, False, 0.0, 0.0)
        power = np.abs(np.fft.rfft(window * _HANN, POINTS)) ** 2
        steady = self._steady(power, place)
        tonal = self._pitch(power) > PITCH_LEAST or steady > STEADY_LEAST
        voiced = tonal and level_db > max(self._floor_db + MARGIN_DB, self._peak_db - DEPTH_DB)
        self._peak_db = max(self._peak_db - FADE_DB, level_db if voiced else QUIET_DB)
        self._floor_db = min(level_db, self._floor_db + (RISE_DB if tonal else RISE_NOISE_DB))
        return Heard(level_db, self._floor_db, voiced, self._tone(power), steady)

    def _pitch(self, power: NDArray[np.float64]) -> float:
        """How much of the sound repeats with some pitch, 0 to 1."""
        likeness = np.fft.irfft(power)[: PITCH_LAGS.stop]
        return float((likeness[PITCH_LAGS] * _LAG_WEIGHT).max() / (likeness[0] + 1e-9))

    def _tone(self, power: NDArray[np.float64]) -> float:
        """The frequency of the one line of the spectrum, 0: there are more."""
        speech = power[SPEECH_BINS]
        peak = int(speech.argmax())
        low = max(0, peak - LOBE_BINS)
        line = speech[low : peak + LOBE_BINS + 1]
        if line.sum() < TONE_SHARE * speech.sum():
            return 0.0
        return float(line.dot(_BINS[low : low + len(line)]) / line.sum() + SPEECH_BINS.start) * BIN_HERTZ

    def _steady(self, power: NDArray[np.float64], place: int) -> float:
        spectrum = np.sqrt(power[SPEECH_BINS])
        spectrum -= spectrum.mean()
        spectrum /= np.sqrt(spectrum.dot(spectrum)) + 1e-9
        before, self._spectra[place] = self._spectra[place], spectrum
        return 0.0 if before is None else float(before.dot(spectrum))


_HANN = np.hanning(WINDOW)
_BINS = np.arange(POINTS)
_LAG_WEIGHT = (lambda own: own[0] / own[PITCH_LAGS])(np.correlate(_HANN, _HANN, "full")[WINDOW - 1 :])


@dataclass(frozen=True, slots=True)
class Tone:
    """One line of the spectrum that has kept its frequency."""

    ms: int
    hertz: float
    level_db: float

    def near(self, hertz: float, drift: float) -> bool:
        return abs(self.hertz - hertz) < drift

    @property
    def is_network(self) -> bool:
        return self.near(NETWORK_HERTZ, NETWORK_DRIFT_HERTZ)


Found = tuple[Kind, str]


class Music:
    """How alike the sound has stayed over the last so many milliseconds."""

    def __init__(self, ms: int) -> None:
        self._last = deque([0.0] * (ms // FRAME_MS), ms // FRAME_MS)
        self._sum = 0.0

    def take(self, heard: Heard) -> None:
        steady = heard.steady if heard.level_db > MUSIC_DB else 0.0
        self._sum += steady - self._last[0]
        self._last.append(steady)

    @property
    def percent(self) -> float:
        return 100 * self._sum / len(self._last)


class Greeting:
    """What was said so far, from the first word on."""

    def __init__(self) -> None:
        self.begun = False
        self.ms = 0  # from the first word to the end of the last one
        self.pause_ms = 0  # since then
        self.clear = False  # it stands out from the noise
        self._voiced_ms = 0
        self._steady = 0.0
        self._peak_db = QUIET_DB

    def take(self, heard: Heard) -> None:
        """The next 20 ms."""
        if heard.voiced:
            if heard.level_db > self._peak_db + NEARER_DB:
                self._forget()  # that was somebody in the background
            self._peak_db = max(self._peak_db, heard.level_db)
            self.ms += self.pause_ms + FRAME_MS
            self.pause_ms = 0
            self._voiced_ms += FRAME_MS
            self.begun = self.begun or self._voiced_ms >= WORD_MS
        elif self.ms:
            self.pause_ms += FRAME_MS
            if not self.begun and self.pause_ms > BRIDGE_MS:
                self._forget()  # a click
        if self.ms:
            self._steady += heard.steady
        self.clear = self._peak_db > heard.floor_db + CLEAR_DB

    def _forget(self) -> None:
        self.begun = False
        self.ms = self.pause_ms = self._voiced_ms = 0
        self._steady, self._peak_db = 0.0, QUIET_DB

    @property
    def steady_percent(self) -> float:
        return 100 * self._steady * FRAME_MS / max(FRAME_MS, self.ms + self.pause_ms)


class Tones:
    """Tells tones from vowels: a tone begins and ends in silence, or lasts longer than any vowel stays.

    Frames of either are held back until that is known: `released` are those that were speech after all.
    """

    def __init__(self) -> None:
        self.sounds: Tone | None = None  # a tone for sure
        self.over: Tone | None = None  # one that has just ended
        self.released: list[Heard] = []
        self._run: Tone | None = None  # what may be a tone
        self._ended: Tone | None = None
        self._held: list[Heard] = []
        self._voiced = 0  # frames of speech since it was last quiet
        self._quiet = EDGE_FRAMES + 1

    def take(self, heard: Heard) -> None:
        self.over = None
        self.released = []
        self._extend(heard)
        run = self._run
        if run is not None:
            self._held.append(heard)
            alone = self._voiced <= EDGE_FRAMES and run.ms >= TONE_MS
            self.sounds = run if alone or run.ms >= VOWEL_MS else None
        else:
            self.sounds = None
            self._after(heard)

    def _extend(self, heard: Heard) -> None:
        run, hertz = self._run, heard.tone_hertz
        if run is not None and hertz and run.near(hertz, TONE_DRIFT_HERTZ):
            ms = run.ms + FRAME_MS
            level_db = max(run.level_db, heard.level_db)
            self._run = Tone(ms, run.hertz + (hertz - run.hertz) * FRAME_MS / ms, level_db)
        else:
            if run is not None:
                self._end(run)
            self._run = Tone(FRAME_MS, hertz, heard.level_db) if hertz else None

    def _end(self, run: Tone) -> None:
        self._quiet = 0
        if self.sounds is not None:
            self._ended = run
        else:
            self._release()

    def _after(self, heard: Heard) -> None:
        """A frame that is no tone's."""
        ended = self._ended
        if heard.voiced and (ended is None or heard.level_db > ended.level_db - DROP_DB):
            self._quiet = 0
            self._voiced += 1
            if ended is not None and self._voiced > 2 * EDGE_FRAMES:
                self._release()  # speech goes on from it
        else:
            self._quiet += 1
            if self._quiet > EDGE_FRAMES:
                self.over, self._ended = ended, None
                self._voiced = 0
                if ended is not None:
                    self._held = []
        self.released.append(heard)

    def _release(self) -> None:
        self._ended = None
        self._voiced += len(self._held)
        self.released += self._held
        self._held = []


class Listener:
    """What Detector and GreetingEnd have in common: sound in, one decision out."""

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self.decision: Decision | None = None
        self._limits = thresholds or Thresholds()
        self._ear = Ear()
        self._tones = Tones()
        self._rest = b""
        self._ms = 0

    def feed(self, sound: bytes | NDArray[np.int16]) -> Decision | None:
        """Take the next sound: mu-law of any length, or the 160 samples of 20 ms. The decision, once."""
        if isinstance(sound, bytes):
            sound = self._rest + sound
            whole = len(sound) - len(sound) % SAMPLES_PER_PACKET
            self._rest = sound[whole:]
            samples = ulaw_to_pcm(sound[:whole])
        else:
            samples = sound
        for at in range(0, len(samples), SAMPLES_PER_PACKET):
            if self.decision is None and self._take(samples[at : at + SAMPLES_PER_PACKET]):
                return self.decision
        return None

    def _take(self, frame: NDArray[np.int16]) -> bool:
        heard = self._ear.hear(frame)
        self._tones.take(heard)
        self._ms += FRAME_MS
        found = self._found(heard)
        if found is not None:
            kind, why = found
            self.decision = Decision(kind, self._ms, why)
        return found is not None

    def _found(self, heard: Heard) -> Found | None:
        raise NotImplementedError

    def _beep(self) -> float:
        """The frequency of a beep that has just ended, or 0."""
        over = self._tones.over
        long = over is not None and not over.is_network and over.ms >= self._limits.beep_ms
        return over.hertz if over is not None and long and BEEP_HERTZ[0] < over.hertz < BEEP_HERTZ[1] else 0.0


class Detector(Listener):
    """One answered call, from the answer on: who is there."""

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        super().__init__(thresholds)
        self._busy_bursts = 0
        self._greeting = Greeting()
        self._music = Music(self._limits.music_ms)

    def _found(self, heard: Heard) -> Found | None:
        self._music.take(heard)
        for one in self._tones.released:
            self._greeting.take(one)
        return self._by_tone() or self._by_sound()

    def _by_tone(self) -> Found | None:
        tones, limits = self._tones, self._limits
        sounds, over = tones.sounds, tones.over
        if sounds is not None and any(sounds.near(hertz, FAX_DRIFT_HERTZ) for hertz in FAX_HERTZ):
            return (Kind.FAX, f"{sounds.hertz:.0f} Hz") if sounds.ms >= limits.fax_ms else None
        elif sounds is not None and sounds.is_network:
            return (Kind.RINGBACK, "ringing tone") if sounds.ms >= RINGING_MS else None
        elif sounds is not None and sounds.ms >= BEEP_ENDLESS_MS:
            return Kind.MACHINE, f"tone of {sounds.hertz:.0f} Hz"
        elif over is not None and over.is_network and BUSY_MS[0] <= over.ms <= BUSY_MS[1]:
            self._busy_bursts += 1
            return (Kind.BUSY, "busy tone") if self._busy_bursts == 2 else None
        elif hertz := self._beep():
            return Kind.MACHINE, f"beep of {hertz:.0f} Hz"
        return None

    def _by_sound(self) -> Found | None:
        greeting, limits = self._greeting, self._limits
        if self._music.percent >= limits.music_percent:
            return Kind.MUSIC, "steady sound"
        elif greeting.begun and greeting.steady_percent < limits.music_percent:  # else it may become music
            if greeting.pause_ms >= limits.pause_ms and greeting.clear:
                return Kind.HUMAN, f"spoke {greeting.ms} ms, then waited"
            elif greeting.ms >= limits.greeting_ms:
                return Kind.MACHINE, f"spoke {greeting.ms} ms"
        elif not greeting.ms and not self._tones.sounds and self._ms >= limits.silence_ms:
            return Kind.SILENCE, "nobody spoke"
        if self._ms >= limits.total_ms:
            return (Kind.HUMAN, "in doubt") if greeting.begun else (Kind.SILENCE, "no speech")
        return None


class GreetingEnd(Listener):
    """A machine's greeting, heard until it is our turn to leave a message: after its beep or a long pause."""

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        super().__init__(thresholds)
        self._pause_ms = 0

    def _found(self, heard: Heard) -> Found | None:
        quiet = not heard.voiced and self._tones.sounds is None
        self._pause_ms = self._pause_ms + FRAME_MS if quiet else 0
        if hertz := self._beep():
            return Kind.MACHINE, f"beep of {hertz:.0f} Hz"
        elif self._pause_ms >= self._limits.message_pause_ms:
            return Kind.MACHINE, f"{self._pause_ms} ms of silence"
        elif self._ms >= self._limits.message_wait_ms:
            return Kind.MACHINE, f"still speaking after {self._ms} ms"
        return None
