"""What a simulated customer says: a tone, a wordless voice, an answering machine; how to measure a tone."""

import math
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from cti.media import g711

Samples = NDArray[np.int16]
RATE = g711.SAMPLES_PER_SECOND
PACKET = g711.SAMPLES_PER_PACKET


@dataclass(frozen=True, eq=False)
class Sound:
    """16-bit samples at 8 kHz; one that does not repeat is followed by silence."""

    samples: Samples
    repeats: bool = True

    def at(self, position: int) -> Samples:
        """The packet that begins at this sample."""
        places = np.arange(position, position + PACKET)
        if self.repeats:
            return self.samples[places % len(self.samples)]
        inside = places < len(self.samples)
        return np.where(inside, self.samples[np.minimum(places, len(self.samples) - 1)], 0).astype(np.int16)


SILENCE = Sound(np.zeros(PACKET, np.int16))
READING = (0.1, 0.25)  # the breaths of somebody who reads a greeting out


def tone(hertz: int, level: float = 0.25) -> Sound:
    """A sine of whole periods, so that it repeats without a click; level 1 is full scale."""
    wave = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)
    return Sound((wave * level * 32767).astype(np.int16))


def voice(seed: int, seconds: float = 9.0, breath: tuple[float, float] = (0.25, 0.7)) -> Sound:
    """Somebody speaking without words: a pitch through three formants, in syllables with pauses; `breath` is
    how many seconds the shortest and the longest of them last."""
    dice = Random(seed)
    pitch = dice.choice([dice.uniform(95, 140), dice.uniform(170, 235)])
    out = np.zeros(int(seconds * RATE))
    place = 0
    while place < len(out) - RATE // 2:
        for _ in range(dice.randint(3, 9)):  # a phrase of syllables, then a breath
            length = int(dice.uniform(0.11, 0.24) * RATE)
            if place + length >= len(out):
                break
            time = np.arange(length) / RATE
            glide = pitch * (1 + dice.uniform(-0.12, 0.12) * time / time[-1])
            phase = 2 * np.pi * np.cumsum(glide) / RATE
            formants = [dice.uniform(300, 800), dice.uniform(900, 2100), dice.uniform(2300, 2900)]
            syllable = np.zeros(length)
            for harmonic in range(1, int(3400 / pitch)):
                hertz = harmonic * pitch
                gain = sum(math.exp(-(((hertz - f) / 160) ** 2)) / (n + 1) for n, f in enumerate(formants))
                syllable += (gain + 0.02 / harmonic) * np.sin(harmonic * phase)
            out[place : place + length] += syllable * np.hanning(length)
            place += int(length * dice.uniform(0.85, 1.1))
        place += int(dice.uniform(*breath) * RATE)
    return Sound((out / np.abs(out).max() * 0.35 * 32767).astype(np.int16))


def machine(seed: int) -> Sound:
    """An answering machine: a greeting in one breath, a beep, and then it listens."""
    pause = np.zeros(RATE // 2, np.int16)
    beep = tone(1000).samples[: RATE // 2]
    return Sound(np.concatenate([voice(seed, 5.0, READING).samples, pause, beep]), repeats=False)


def share(samples: Samples, hertz: float) -> float:
    """How much of the power of the samples lies at this frequency, 0 to 1 (Goertzel, with a Hann window)."""
    if not len(samples):
        return 0.0
    window = np.hanning(len(samples))
    signal = samples.astype(np.float64) * window
    power = float(np.sum(signal**2))
    if power < len(samples) * 100.0:  # quieter than 10 of 32767 is silence
        return 0.0
    turn = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / RATE)
    amplitude = 2 * abs(np.dot(signal, turn)) / float(np.sum(window))
    return float(min(1.0, amplitude**2 / 2 * float(np.sum(window**2)) / power))
