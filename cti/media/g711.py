"""G.711: the two laws, from one to the other, and to and from 16-bit samples (ITU-T G.711).

Everything here is a table. Calls pass through undecoded; only files, tones and tests need samples.
"""

import numpy as np
from numpy.typing import NDArray

SAMPLES_PER_SECOND = 8000
SAMPLES_PER_PACKET = 160  # 20 ms

ULAW_SILENCE = 0xFF
ALAW_SILENCE = 0xD5


def ulaw_to_pcm(data: bytes) -> NDArray[np.int16]:
    return _ULAW[np.frombuffer(data, np.uint8)]


def alaw_to_pcm(data: bytes) -> NDArray[np.int16]:
    return _ALAW[np.frombuffer(data, np.uint8)]


def pcm_to_ulaw(samples: NDArray[np.int16]) -> bytes:
    value = samples.astype(np.int32) >> 2  # 14 bits, as the Recommendation counts them
    sign = np.where(value < 0, 0x7F, 0xFF)
    value = np.minimum(np.abs(value), 8158) + 33
    segment = np.searchsorted(_ULAW_SEGMENTS, value)
    return (((segment << 4) | ((value >> (segment + 1)) & 0x0F)) ^ sign).astype(np.uint8).tobytes()


def pcm_to_alaw(samples: NDArray[np.int16]) -> bytes:
    value = samples.astype(np.int32) >> 3  # 13 bits
    mask = np.where(value >= 0, 0xD5, 0x55)
    value = np.where(value >= 0, value, -value - 1)
    segment = np.searchsorted(_ALAW_SEGMENTS, value)
    shift = np.maximum(segment, 1)
    return (((segment << 4) | ((value >> shift) & 0x0F)) ^ mask).astype(np.uint8).tobytes()


def _ulaw_values() -> NDArray[np.int16]:
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_values() -> NDArray[np.int16]:
    code = np.arange(256) ^ 0x55
    segment = (code & 0x70) >> 4
    magnitude = (code & 0x0F) << 4
    magnitude = np.where(segment == 0, magnitude + 8, (magnitude + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


_ULAW_SEGMENTS = np.array([0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF])
_ALAW_SEGMENTS = np.array([0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF])
_ULAW = _ulaw_values()
_ALAW = _alaw_values()

ULAW_TO_ALAW = pcm_to_alaw(_ULAW)  # for bytes.translate
ALAW_TO_ULAW = pcm_to_ulaw(_ALAW)
