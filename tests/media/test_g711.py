"""The tables agree with the standard library's on every input."""

import warnings

import numpy as np
import pytest

from cti.media import g711

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    audioop = pytest.importorskip("audioop")

EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
EVERY_BYTE = bytes(range(256))


def test_each_sample_becomes_the_byte_the_standard_library_gives():
    assert g711.pcm_to_ulaw(EVERY_SAMPLE) == audioop.lin2ulaw(EVERY_SAMPLE.tobytes(), 2)
    assert g711.pcm_to_alaw(EVERY_SAMPLE) == audioop.lin2alaw(EVERY_SAMPLE.tobytes(), 2)


def test_each_byte_becomes_the_sample_the_standard_library_gives():
    assert g711.ulaw_to_pcm(EVERY_BYTE).tobytes() == audioop.ulaw2lin(EVERY_BYTE, 2)
    assert g711.alaw_to_pcm(EVERY_BYTE).tobytes() == audioop.alaw2lin(EVERY_BYTE, 2)


def test_from_one_law_to_the_other_nothing_audible_changes():
    for table, read_back, original in (
        (g711.ULAW_TO_ALAW, g711.alaw_to_pcm, g711.ulaw_to_pcm(EVERY_BYTE)),
        (g711.ALAW_TO_ULAW, g711.ulaw_to_pcm, g711.alaw_to_pcm(EVERY_BYTE)),
    ):
        error = read_back(EVERY_BYTE.translate(table)).astype(int) - original
        assert np.all(np.abs(error) <= 8 + np.abs(original.astype(int)) / 24)


def test_silence_stays_silence():
    assert bytes([g711.ULAW_SILENCE]).translate(g711.ULAW_TO_ALAW) == bytes([g711.ALAW_SILENCE])
    assert bytes([g711.ALAW_SILENCE]).translate(g711.ALAW_TO_ULAW)[0] in (0xFF, 0xFE)
