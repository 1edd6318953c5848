"""What a leg can be made to hear: music, the tones of the Brazilian network, and audio files.

All of it is encoded in both laws before anybody listens, so that a packet costs a slice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cti.media import wav
from cti.media.g711 import SAMPLES_PER_PACKET, SAMPLES_PER_SECOND, ULAW_SILENCE, ULAW_TO_ALAW, pcm_to_ulaw
from cti.media.rtp import Leg

MUSIC = Path(__file__).with_name("music.wav")
ABANDONED = Path(__file__).with_name("abandoned.wav")
NETWORK_HERTZ = 425.0  # all tones of the Brazilian network, Anatel Resolução 85 and ITU-T E.180

DTMF_ROWS = (697.0, 770.0, 852.0, 941.0)
DTMF_COLUMNS = (1209.0, 1336.0, 1477.0, 1633.0)
DTMF_KEYS = "123A456B789C*0#D"


@dataclass(frozen=True, slots=True)
class Sound:
    ulaw: bytes  # whole packets
    alaw: bytes


class Player:
    """One sound on its way to one leg, 20 ms at each tick."""

    __slots__ = ("_at", "_data", "_law", "_leg", "_loop", "_sound", "_started")

    def __init__(self, leg: Leg, sound: Sound, loop: bool) -> None:
        self._leg = leg
        self._sound = sound
        self._loop = loop
        self._at = 0
        self._started = False
        self._law = ""
        self._data = b""

    def tick(self, now: float) -> bool:
        """Send the packet of these 20 ms. False: the sound has ended."""
        leg = self._leg
        if self._law != leg.format.law:
            self._law = leg.format.law
            self._data = self._sound.ulaw if self._law == "PCMU" else self._sound.alaw
        at = self._at
        if at >= len(self._data):
            if not self._loop:
                return False
            at = 0
        self._at = at + SAMPLES_PER_PACKET
        if leg.hears and leg.dialing is None:
            leg.say(self._data[at : at + SAMPLES_PER_PACKET], not self._started, now)
            self._started = True
        else:
            self._started = False
        return True


def sound(ulaw: bytes) -> Sound:
    whole = ulaw + bytes([ULAW_SILENCE]) * (-len(ulaw) % SAMPLES_PER_PACKET)
    return Sound(whole, whole.translate(ULAW_TO_ALAW))


def from_file(path: Path) -> Sound:
    """The first channel of a file. Raises wav.BadAudio, OSError."""
    return sound(wav.read(path).channels[0])


@cache
def named(name: str) -> Sound | None:
    make = _SOUNDS.get(name)
    return make() if make else None


def digit(key: str, law: str, packets: int) -> bytes:
    """The audible tone of a key, ITU-T Q.23."""
    row, column = divmod(DTMF_KEYS.index(key), 4)
    seconds = packets * SAMPLES_PER_PACKET / SAMPLES_PER_SECOND
    made = sound(_encode(_sine(DTMF_ROWS[row], seconds, 0.2) + _sine(DTMF_COLUMNS[column], seconds, 0.25)))
    return made.ulaw if law == "PCMU" else made.alaw


def _sine(hertz: float, seconds: float, level: float) -> NDArray[np.float64]:
    at = np.arange(round(seconds * SAMPLES_PER_SECOND)) / SAMPLES_PER_SECOND
    return level * np.sin(2 * np.pi * hertz * at)


def _encode(samples: NDArray[np.float64]) -> bytes:
    return pcm_to_ulaw((samples * 32767).astype(np.int16))


def _cadence(on_seconds: float, off_seconds: float) -> Sound:
    off = bytes([ULAW_SILENCE]) * round(off_seconds * SAMPLES_PER_SECOND)
    return sound(_encode(_sine(NETWORK_HERTZ, on_seconds, 0.2)) + off)


def _zip() -> Sound:
    """200 ms, two notes upward without a click between them: an agent hears that a call is there."""
    notes = np.concatenate([_sine(hertz, 0.1, 0.15) * np.hanning(800) for hertz in (700.0, 1050.0)])
    return sound(_encode(notes))


_SOUNDS: dict[str, Callable[[], Sound]] = {
    "music": lambda: from_file(MUSIC),
    "ringback": lambda: _cadence(1, 4),
    "busy": lambda: _cadence(0.25, 0.25),
    "beep": lambda: sound(_encode(_sine(1000.0, 0.2, 0.2))),
    "zip": _zip,
    "abandoned": lambda: from_file(ABANDONED),
    "silence": lambda: sound(bytes([ULAW_SILENCE]) * SAMPLES_PER_SECOND),
}
