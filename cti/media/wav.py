"""WAV files, as far as calls need them: read into G.711, and the header of a G.711 file being written."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cti.media.g711 import ALAW_TO_ULAW, SAMPLES_PER_SECOND, pcm_to_ulaw

PCM = 1
ALAW = 6
ULAW = 7

FILE_BYTES_MAX = 64 << 20

# RIFF size WAVE | fmt 18 format channels rate byte-rate block bits extension | fact 4 frames | data size
_HEADER = struct.Struct("<4sI4s 4sIHHIIHHH 4sII 4sI")
HEADER_BYTES = _HEADER.size


class BadAudio(Exception):
    """The file is not one we can play: mono or stereo, 8000 Hz, 16-bit PCM or G.711."""


@dataclass(frozen=True)
class Audio:
    channels: tuple[bytes, ...]  # mu-law, one entry for each channel

    @property
    def seconds(self) -> float:
        return len(self.channels[0]) / SAMPLES_PER_SECOND


def header(channels: int, frames: int) -> bytes:
    """The header of a mu-law file with this many samples in each channel."""
    data = frames * channels
    rate = SAMPLES_PER_SECOND
    riff = (b"RIFF", HEADER_BYTES - 8 + data, b"WAVE")
    fmt = (b"fmt ", 18, ULAW, channels, rate, rate * channels, channels, 8, 0)
    return _HEADER.pack(*riff, *fmt, b"fact", 4, frames, b"data", data)


def stereo_seconds(path: Path) -> float:
    """How long a recording is, by its size: 0 when there is no such file."""
    try:
        return max(0, path.stat().st_size - HEADER_BYTES) / 2 / SAMPLES_PER_SECOND
    except OSError:
        return 0.0


def read(path: Path) -> Audio:
    """All of a file as mu-law. Raises BadAudio, or OSError when there is no such file."""
    if path.stat().st_size > FILE_BYTES_MAX:
        raise BadAudio(f"{path} is larger than {FILE_BYTES_MAX} bytes")
    return parse(path.read_bytes(), str(path))


def parse(content: bytes, name: str = "audio") -> Audio:
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise BadAudio(f"{name} is not a WAV file")
    parts = chunks(content)
    if len(parts.get(b"fmt ", b"")) < 16 or b"data" not in parts:
        raise BadAudio(f"{name} has no format or no data")
    encoding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", parts[b"fmt "])
    if rate != SAMPLES_PER_SECOND or channels not in (1, 2):
        raise BadAudio(
            f"{name} has {channels} channels at {rate} Hz; 1 or 2 at {SAMPLES_PER_SECOND} Hz can be played"
        )
    data = parts[b"data"]
    match encoding, bits:
        case (7, 8):
            ulaw = data
        case (6, 8):
            ulaw = data.translate(ALAW_TO_ULAW)
        case (1, 16):
            ulaw = pcm_to_ulaw(np.frombuffer(data[: len(data) & ~1], "<i2"))
        case _:
            raise BadAudio(
                f"{name} has encoding {encoding} with {bits} bits; PCM of 16 bits and G.711 can be played"
            )
    return Audio(tuple(ulaw[channel::channels] for channel in range(channels)))


def chunks(content: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        found.setdefault(content[at : at + 4], content[at + 8 : at + 8 + size])  # a cut file: what there is
        at += 8 + size + size % 2
    return found
