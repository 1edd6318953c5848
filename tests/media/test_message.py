"""Uploaded messages: which files become one, and how they sound afterwards."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cti.media import g711, tones, wav
from cti.media.message import SECONDS_MAX, Fault, Unfit, parse, read_message
from tests.media.phone import pitch, tone


def file(samples, rate=8000, channels=1, encoding=1, bits=16):
    """A WAV file of samples between -1 and 1."""
    samples = np.repeat(np.asarray(samples), channels)
    data = {
        (1, 8): lambda: (samples * 127 + 128).astype(np.uint8).tobytes(),
        (1, 16): lambda: (samples * 32767).astype("<i2").tobytes(),
        (1, 24): lambda: b"".join(int(x * 8388607).to_bytes(3, "little", signed=True) for x in samples),
        (1, 32): lambda: (samples * 2147483000).astype("<i4").tobytes(),
        (3, 32): lambda: samples.astype("<f4").tobytes(),
        (6, 8): lambda: g711.pcm_to_alaw((samples * 32767).astype(np.int16)),
        (7, 8): lambda: g711.pcm_to_ulaw((samples * 32767).astype(np.int16)),
    }.get((encoding, bits), lambda: bytes(10_000))()
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", encoding, channels, rate, rate * block, block, bits)
    body = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


def hum(hertz=700.0, seconds=1.0, rate=8000, level=0.5):
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("encoding,bits", [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (6, 8), (7, 8)])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_common_files_sound_the_same_as_a_message(encoding, bits, channels, rate):
    message = parse(file(hum(rate=rate), rate, channels, encoding, bits))
    assert abs(message.seconds - 1) < 0.001
    samples = g711.ulaw_to_pcm(message.ulaw)
    assert abs(pitch(samples) - 700) < 2
    assert abs(np.sqrt(np.mean((samples / 32768.0) ** 2)) - 0.5 / np.sqrt(2)) < 0.01


def test_what_a_telephone_cannot_carry_is_not_folded_into_it():
    both = hum(700, 1, 48000, 0.3) + hum(6500, 1, 48000, 0.3)
    samples = g711.ulaw_to_pcm(parse(file(both, 48000)).ulaw)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum[1500 - 40 : 1500 + 40].max() < spectrum.max() / 100


def test_a_file_that_is_right_already_stays_as_it_is(tmp_path):
    voice = tone(440, 1, "PCMU")
    (tmp_path / "right.wav").write_bytes(wav.header(1, len(voice)) + voice)
    message = read_message(tmp_path / "right.wav")
    assert message.ulaw == voice
    (tmp_path / "again.wav").write_bytes(message.file())
    assert tones.from_file(tmp_path / "again.wav").ulaw == voice


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", Fault.NO_WAV),
        (b"ID3 an MP3 file", Fault.NO_WAV),
        (b"RIFF\0\0\0\0WAVE", Fault.NO_WAV),
        (file([])[:44], Fault.NO_WAV),
        (file(hum(seconds=0.2)), Fault.TOO_SHORT),
        (file(np.zeros(16000)), Fault.QUIET),
        (file(hum(), encoding=85, bits=16), Fault.ENCODING),
        (file(hum(), channels=6), Fault.ENCODING),
        (file(hum(), rate=4000), Fault.ENCODING),
        (file(np.full(round((SECONDS_MAX + 1) * 8000), 0.5)), Fault.TOO_LONG),
    ],
)
def test_other_files_are_refused_in_a_sentence(content, fault):
    with pytest.raises(Unfit) as refusal:
        parse(content)
    assert refusal.value.fault == fault
    assert str(refusal.value).endswith(".")


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300), st.integers(0, 60), st.binary(max_size=12))
def test_a_damaged_file_is_refused_or_taken(junk, at, piece):
    whole = bytearray(file(hum(seconds=0.6)))
    whole[at : at + len(piece)] = piece
    for content in (junk, b"RIFF\0\0\0\0WAVE" + junk, bytes(whole)):
        try:
            assert parse(content).seconds >= 0.4
        except Unfit:
            pass


def test_the_built_in_message_is_a_message():
    assert 5 < read_message(tones.ABANDONED).seconds < 12
