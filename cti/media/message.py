"""Messages that a company records and uploads: any common WAV file, made into what calls can carry.

Mono or stereo, PCM of 8, 16, 24 or 32 bits or G.711, 8000 to 96000 Hz. Out comes mono mu-law at 8000 Hz.
"""

import math
import struct
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cti.media import wav
from cti.media.g711 import SAMPLES_PER_SECOND, alaw_to_pcm, pcm_to_ulaw, ulaw_to_pcm

SECONDS_MIN = 0.5
SECONDS_MAX = 120.0
RATES = range(8_000, 96_001)
QUIET_PEAK = 0.02  # of full scale: a microphone that was off
BYTES_MAX = round(SECONDS_MAX * 48_000 * 2 * 4)  # stereo of 32 bits at 48000 Hz

Samples = NDArray[np.float64]


class Fault(StrEnum):
    """Why a file cannot be a message."""

    NO_WAV = "no_wav"
    ENCODING = "encoding"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    QUIET = "quiet"


class Unfit(Exception):
    """The file cannot be a message; `fault` says which rule it breaks, the text says it in a sentence."""

    def __init__(self, fault: Fault, sentence: str) -> None:
        super().__init__(sentence)
        self.fault = fault


@dataclass(frozen=True)
class Message:
    ulaw: bytes

    @property
    def seconds(self) -> float:
        return len(self.ulaw) / SAMPLES_PER_SECOND

    def file(self) -> bytes:
        """As a WAV file that Engine.play takes, and every player too."""
        return wav.header(1, len(self.ulaw)) + self.ulaw


def read_message(path: Path) -> Message:
    """A file as a message. Raises Unfit, OSError."""
    if path.stat().st_size > BYTES_MAX:
        raise _too_long()
    return parse(path.read_bytes())


def parse(content: bytes) -> Message:
    """An uploaded file as a message. Raises Unfit."""
    if len(content) > BYTES_MAX:
        raise _too_long()
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise Unfit(Fault.NO_WAV, "This is not a WAV file.")
    chunks = wav.chunks(content)
    form, data = chunks.get(b"fmt ", b""), chunks.get(b"data", b"")
    if len(form) < 16 or not data:
        raise Unfit(Fault.NO_WAV, "This WAV file has no sound in it.")
    encoding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if encoding == 0xFFFE and len(form) >= 26:  # WAVE_FORMAT_EXTENSIBLE: the encoding begins its GUID
        encoding = int.from_bytes(form[24:26], "little")
    if channels not in (1, 2) or rate not in RATES:
        raise Unfit(Fault.ENCODING, f"{channels} channels at {rate} Hz are more or less than can be taken.")
    samples = _decoded(data, encoding, bits)
    samples = samples[: len(samples) // channels * channels].reshape(-1, channels).mean(axis=1)
    seconds = len(samples) / rate
    if seconds > SECONDS_MAX:
        raise _too_long()
    if seconds < SECONDS_MIN:
        raise Unfit(Fault.TOO_SHORT, f"A message lasts at least {SECONDS_MIN:g} seconds.")
    if np.abs(samples).max() < QUIET_PEAK:
        raise Unfit(Fault.QUIET, "Nothing can be heard in this recording.")
    return Message(pcm_to_ulaw(np.clip(resampled(samples, rate) * 32768, -32768, 32767).astype(np.int16)))


def resampled(samples: Samples, rate: int) -> Samples:
    """The same sound at 8000 Hz, without what a telephone cannot carry."""
    if rate == SAMPLES_PER_SECOND or not len(samples):
        return samples
    pad = rate // 50  # so that the end is not heard in the beginning
    size = len(samples) + 2 * pad
    size += -size % (rate // math.gcd(rate, SAMPLES_PER_SECOND))  # a whole number of samples comes out
    padded = np.zeros(size)
    padded[pad : pad + len(samples)] = samples
    spectrum = np.fft.rfft(padded)
    size_out = size * SAMPLES_PER_SECOND // rate
    out = np.fft.irfft(spectrum[: size_out // 2 + 1], size_out) * (size_out / size)
    first = pad * SAMPLES_PER_SECOND // rate
    return out[first : first + round(len(samples) * SAMPLES_PER_SECOND / rate)]


def _too_long() -> Unfit:
    return Unfit(Fault.TOO_LONG, f"A message lasts at most {SECONDS_MAX:g} seconds.")


def _decoded(data: bytes, encoding: int, bits: int) -> Samples:
    """The samples between -1 and 1, channels in turn."""
    whole = data[: len(data) - len(data) % max(1, bits // 8)]
    match encoding, bits:
        case (wav.ULAW, 8):
            return ulaw_to_pcm(whole) / 32768
        case (wav.ALAW, 8):
            return alaw_to_pcm(whole) / 32768
        case (wav.PCM, 8):
            return (np.frombuffer(whole, np.uint8).astype(np.float64) - 128) / 128
        case (wav.PCM, 16):
            return np.frombuffer(whole, "<i2") / 32768
        case (wav.PCM, 24):
            three = np.frombuffer(whole, np.uint8).reshape(-1, 3).astype(np.int32)
            return ((three[:, 0] << 8 | three[:, 1] << 16 | three[:, 2] << 24) >> 8) / 8388608
        case (wav.PCM, 32):
            return np.frombuffer(whole, "<i4") / 2147483648
        case (3, 32):
            return np.nan_to_num(np.frombuffer(whole, "<f4").astype(np.float64)).clip(-1, 1)
        case _:
            raise Unfit(Fault.ENCODING, "Sound in this encoding cannot be taken: PCM or G.711 can.")
