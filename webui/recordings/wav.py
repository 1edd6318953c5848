"""Where the samples of a recorded WAV file lie, and how loud it is along its length.

Recordings are 8 kHz G.711 u-law, customer on the left, agent on the right; browsers play them as they are.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ULAW = 7
PCM = 1
HEADER_BYTES_MAX = 4096
LOUDEST = 32124  # what the loudest u-law code stands for


class NotWav(ValueError):
    """The file is not a WAV file of a kind we record."""


@dataclass(frozen=True)
class Sound:
    """What the header says. `start` and `size` are bytes of the sample data."""

    format: int
    channels: int
    rate: int
    start: int
    size: int

    @property
    def bytes_per_frame(self) -> int:
        return self.channels * (1 if self.format == ULAW else 2)

    @property
    def seconds(self) -> float:
        return self.size / self.bytes_per_frame / self.rate


def read_header(path: Path) -> Sound:
    """The file's facts. A recorder that died left a wrong size: the file's own length is believed then."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES_MAX)
        length = file.seek(0, 2)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        raise NotWav(f"{path.name} is not a WAV file")
    at, shape = 12, (0, 0, 0)
    while at + 8 <= len(head):
        kind, size = head[at : at + 4], struct.unpack_from("<I", head, at + 4)[0]
        if kind == b"fmt ":
            shape = struct.unpack_from("<HHI", head, at + 8)
        elif kind == b"data":
            there = length - at - 8
            return _sound(path, *shape, start=at + 8, size=size if 0 < size <= there else there)
        at += 8 + size + size % 2
    raise NotWav(f"{path.name} has no samples")


def _sound(path: Path, format: int, channels: int, rate: int, *, start: int, size: int) -> Sound:
    if format not in (ULAW, PCM) or channels not in (1, 2) or not rate:
        raise NotWav(f"{path.name} is of a kind that is not recorded here")
    return Sound(format, channels, rate, start, size)


def peaks(path: Path, steps: int) -> list[list[int]]:
    """How loud each channel is in each of `steps` equal parts of it, 0 to 100. Waits for the disk."""
    sound = read_header(path)
    kind = np.uint8 if sound.format == ULAW else np.dtype("<i2")
    count = sound.size // sound.bytes_per_frame * sound.channels
    if not count:
        return [[0] * steps for _ in range(sound.channels)]
    frames = np.memmap(path, dtype=kind, mode="r", offset=sound.start, shape=(count,)).reshape(
        -1, sound.channels
    )
    edges = np.unique(np.linspace(0, len(frames), steps, endpoint=False).astype(int))
    loud = _LOUDNESS[frames] if sound.format == ULAW else np.minimum(np.abs(frames.astype(np.int32)), LOUDEST)
    heights = np.maximum.reduceat(loud, edges, axis=0)
    return [(np.sqrt(column / LOUDEST) * 100).astype(int).tolist() for column in heights.T]


def _loudness() -> np.ndarray:
    codes = ~np.arange(256, dtype=np.int32) & 0xFF
    return (((codes & 0x0F) << 3) + 132 << ((codes >> 4) & 7)) - 132


_LOUDNESS = _loudness().astype(np.int32)
