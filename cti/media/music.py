"""Makes the bundled music on hold: `python -m cti.media.music` writes music.wav beside this file.

A slow progression of soft chords with a quiet bell melody above, made here from sines, so nobody's licence
stands behind it. It ends where it begins, so that it can go round.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cti.media import wav
from cti.media.g711 import SAMPLES_PER_SECOND, pcm_to_ulaw

FILE = Path(__file__).with_name("music.wav")

BEAT_SECONDS = 0.75
BEATS_PER_CHORD = 4
# Semitones above A3 (220 Hz): Fmaj7, G6, Em7, Am7, Dm7, G7, Cmaj7, C6
CHORDS = (
    (-4, 0, 3, 7), (-2, 2, 5, 7), (-5, -2, 2, 5), (0, 3, 7, 10),
    (-7, -4, 0, 3), (-2, 2, 5, 8), (-9, -5, -2, 2), (-9, -5, 0, 3),
)  # fmt: skip
# One bell for each beat, counted in notes of the chord (4 and above: an octave higher), None: rest
MELODY = (
    (4, None, 6, 5), (7, None, 6, None), (6, 5, None, 4), (5, None, 7, 6),
    (4, None, 5, 7), (6, None, 5, None), (7, 6, None, 5), (4, None, None, None),
)  # fmt: skip

Samples = NDArray[np.float64]


def compose() -> Samples:
    """The whole loop, between -1 and 1."""
    beat = int(BEAT_SECONDS * SAMPLES_PER_SECOND)
    track = np.zeros(len(CHORDS) * BEATS_PER_CHORD * beat)
    for number, (chord, melody) in enumerate(zip(CHORDS, MELODY, strict=True)):
        start = number * BEATS_PER_CHORD * beat
        for note in chord:
            _add(track, start, 0.11 * pad(hertz(note), BEATS_PER_CHORD * BEAT_SECONDS + 1.2))
        _add(track, start, 0.16 * pad(hertz(chord[0] - 12), BEATS_PER_CHORD * BEAT_SECONDS + 0.6))
        for place, step in enumerate(melody):
            if step is not None:
                octaves, note = divmod(step, len(chord))
                _add(track, start + place * beat, 0.14 * bell(hertz(chord[note] + 12 * octaves)))
    return track * 0.32 / np.abs(track).max()


def hertz(semitones_above_a3: int) -> float:
    return float(220 * 2 ** (semitones_above_a3 / 12))


def pad(frequency: float, seconds: float) -> Samples:
    """A slow, round tone: two sines a little apart, swelling and fading."""
    at = np.arange(int(seconds * SAMPLES_PER_SECOND)) / SAMPLES_PER_SECOND
    swell = np.minimum(1, at / 0.7) * np.minimum(1, (seconds - at) / 1.2)
    tone = np.sin(2 * np.pi * frequency * at) + 0.7 * np.sin(2 * np.pi * frequency * 1.003 * at)
    return swell * (tone + 0.2 * np.sin(4 * np.pi * frequency * at))


def bell(frequency: float) -> Samples:
    at = np.arange(int(1.6 * SAMPLES_PER_SECOND)) / SAMPLES_PER_SECOND
    tone = np.sin(2 * np.pi * frequency * at + 0.6 * np.exp(-6 * at) * np.sin(4 * np.pi * frequency * at))
    return np.minimum(1, at / 0.012) * np.exp(-3.2 * at) * tone


def _add(track: Samples, start: int, sound: Samples) -> None:
    """Lay a sound over the track; what goes past the end sounds at the beginning."""
    np.add.at(track, (start + np.arange(len(sound))) % len(track), sound)


if __name__ == "__main__":
    ulaw = pcm_to_ulaw((compose() * 32767).astype(np.int16))
    FILE.write_bytes(wav.header(1, len(ulaw)) + ulaw)
