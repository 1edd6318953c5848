"""Tone files for the parts that speak from files: the browser's microphone and sipp."""

import wave
from pathlib import Path

import numpy as np

from cti.customers.sounds import tone
from cti.media import g711


def microphone(path: Path, hertz: int, seconds: float = 10.0) -> Path:
    """A WAV at 48 kHz for Chromium's fake microphone. In bursts, because a browser's noise suppression takes
    a tone that never pauses for noise."""
    time = np.arange(int(48000 * seconds)) / 48000
    loudness = np.where(time % 0.5 < 0.38, 0.35, 0.0)
    samples = (np.sin(2 * np.pi * hertz * time) * loudness * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(samples.tobytes())
    return path


def raw_alaw(path: Path, hertz: int, seconds: int = 2) -> Path:
    """A-law without a header, for sipp's rtp_stream."""
    path.write_bytes(g711.pcm_to_alaw(tone(hertz).samples) * seconds)
    return path


def wav_samples(path: Path) -> tuple[int, np.ndarray]:
    """Rate and channels of a PCM WAV, one row a channel."""
    with wave.open(str(path), "rb") as file:
        assert file.getsampwidth() == 2
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return file.getframerate(), samples.reshape(-1, file.getnchannels()).T
