"""What answers a dialed call, as a labelled set: greetings by espeak-ng, music, tones, silence and noise.

Two sets that share no phrase and no voice: TUNING, on which the thresholds of cti.media.detection were
chosen, and MEASURED, on which they are judged. Every call is six seconds from the moment of the answer, at
8 kHz, through the band of a telephone line and A-law. All of it follows from a seed, so that two runs measure
the same calls.
"""

import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cti.media import g711, wav
from cti.media.message import resampled
from cti.media.tones import MUSIC

RATE = g711.SAMPLES_PER_SECOND
SECONDS = 6.0
SNR_DB = (None, 30, 20, 15, 10)  # None: a line with no noise at all
NOISES = ("white", "pink", "babble")

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Call:
    kind: str  # human, machine, fax, music, ringback, busy, silence
    what: str  # the phrase or the sound
    condition: str  # its noise
    begins_ms: int  # when what is to be told begins: the first word, the first tone
    ulaw: bytes


@dataclass(frozen=True)
class Voice:
    name: str  # as espeak-ng takes it after -v
    words_a_minute: int
    pitch: int  # 0 to 99


@dataclass(frozen=True)
class Speech:
    voices: tuple[Voice, ...]
    humans: tuple[str, ...]
    machines: tuple[str, ...]


@dataclass(frozen=True)
class Material:
    """What a set is made of: for each language its voices and what they say."""

    seed: int
    speech: tuple[Speech, ...]
    music: tuple[int, ...]  # seeds of tunes; 0: the bundled music on hold, at different places
    copies: int  # of each call without speech


TUNING = Material(
    seed=4,
    speech=(
        Speech(
            voices=(
                Voice("pt-br", 165, 45),
                Voice("pt-br+m3", 150, 35),
                Voice("pt-br+f2", 175, 60),
                Voice("pt-br+f5", 190, 50),
                Voice("pt-br+klatt2", 160, 50),
                Voice("pt-br+Alicia", 155, 55),
            ),
            humans=(
                "Alô",
                "Alô, bom dia",
                "Oi",
                "Fala",
                "Quem é?",
                "Pois não?",
                "Boa tarde, aqui é o João",
                "Restaurante Sabor da Terra, boa noite",
            ),
            machines=(
                "Olá! No momento não posso atender. Deixe seu nome e telefone que eu retorno assim que "
                "possível.",
                "O número chamado está desligado ou fora da área de cobertura. Tente mais tarde.",
                "Esta é a caixa postal de Roberto Almeida. Grave sua mensagem depois do bip.",
                "Bem-vindo à central de atendimento. Para vendas, digite um. Para suporte, digite dois.",
                "Oi, aqui é a Paula. Agora eu não consigo falar, mas deixe um recado que eu te ligo depois.",
            ),
        ),
        Speech(
            voices=(Voice("en-us", 170, 45), Voice("en-gb+f3", 160, 55), Voice("en-us+m5", 180, 40)),
            humans=("Hello?", "Hi, who is this?", "Speaking", "Good morning, Sara here"),
            machines=(
                "Hello. I am away from my desk right now. Leave your name and number after the tone.",
                "The person you are calling cannot take your call. At the tone, please record your message.",
            ),
        ),
    ),
    music=(0, 1, 2, 3),
    copies=2,
)

MEASURED = Material(
    seed=5,
    speech=(
        Speech(
            voices=(
                Voice("pt-br+m1", 160, 40),
                Voice("pt-br+m7", 175, 55),
                Voice("pt-br+f1", 150, 65),
                Voice("pt-br+f4", 185, 50),
                Voice("pt-br+klatt4", 165, 45),
                Voice("pt-br+Mario", 170, 50),
                Voice("pt-br+linda", 145, 60),
                Voice("pt+f3", 180, 70),
            ),
            humans=(
                "Alô?",
                "Alô. Alô?",
                "Oi, quem fala?",
                "Pronto",
                "Sim?",
                "Diga",
                "Oi, tudo bem?",
                "Boa noite, pode falar",
                "Sim, bom dia, é a Maria",
                "Padaria São José, bom dia",
            ),
            machines=(
                "Você ligou para Carlos e Ana. Deixe seu recado após o sinal.",
                "Sua chamada está sendo encaminhada para a caixa de mensagens e estará sujeita à cobrança "
                "após o sinal.",
                "Oi, você ligou para o celular da Fernanda. Não posso falar agora, deixe uma mensagem.",
                "Olá. Nosso horário de atendimento é de segunda a sexta, das oito às dezoito horas.",
                "Este número não está recebendo chamadas no momento. Por favor, ligue mais tarde.",
                "Você ligou para a clínica Vida Nova. Todos os nossos atendentes estão ocupados. Aguarde na "
                "linha.",
                "Caixa postal. Grave o seu recado e desligue, ou tecle jogo da velha para mais opções.",
            ),
        ),
        Speech(
            voices=(Voice("en-gb", 165, 50), Voice("en-us+f2", 175, 60), Voice("en-gb-scotland+m4", 155, 45)),
            humans=("Hello", "Yes?", "Hi, this is Tom", "Hello, good afternoon", "Smith residence"),
            machines=(
                "You have reached the voice mail of John Carter. Please leave a message after the beep.",
                "Your call has been forwarded to an automatic voice message system.",
                "Hi, sorry I missed your call. Leave me a message and I will call you back soon.",
            ),
        ),
    ),
    music=(0, 11, 12, 13, 14, 15),
    copies=4,
)


def calls(material: Material) -> Iterator[Call]:
    """The set, in a fixed order. Ends the program when there is no espeak-ng."""
    if shutil.which("espeak-ng") is None:
        sys.exit("the labelled calls are spoken by espeak-ng: apt-get install espeak-ng")
    chance = np.random.default_rng(material.seed)
    yield from _spoken(material, chance)
    yield from _musical(material, chance)
    yield from _tones(material, chance)
    yield from _quiet(material, chance)


def _spoken(material: Material, chance: np.random.Generator) -> Iterator[Call]:
    said = [
        (kind, phrase, voice)
        for speech in material.speech
        for kind, phrases in (("human", speech.humans), ("machine", speech.machines))
        for phrase in phrases
        for voice in speech.voices
    ]
    with ThreadPoolExecutor(2) as pool:
        voices = list(pool.map(lambda one: say(one[1], one[2]), said))
    babble = _babble(voices, chance)
    for number, ((kind, phrase, voice), samples) in enumerate(zip(said, voices, strict=True)):
        for turn in range(2):
            snr_db = SNR_DB[(number + turn * 2) % len(SNR_DB)]
            noise = NOISES[(number // len(SNR_DB) + turn) % len(NOISES)]
            # people speak with the telephone at the ear; a machine picks up, then looks for its greeting
            delay = chance.uniform(0.15, 0.9) if kind == "human" else chance.uniform(0.3, 1.8)
            call = np.zeros(round(SECONDS * RATE))
            _lay(call, delay, _level(samples, chance.uniform(-30, -14)))
            if kind == "human":
                _lay(call, chance.uniform(3.2, 4.5) + delay, _level(samples, -22))  # nobody answered: again
                if chance.random() < 0.3:
                    _lay(call, chance.uniform(0, 0.1), _click(chance))  # picking up
            yield _heard(kind, f"{phrase} ({voice.name})", delay, call, snr_db, noise, babble, chance)


def _musical(material: Material, chance: np.random.Generator) -> Iterator[Call]:
    hold = g711.ulaw_to_pcm(wav.read(MUSIC).channels[0]) / 32768
    for seed in material.music:
        for copy in range(material.copies):
            tune = np.roll(hold, -int(chance.integers(len(hold)))) if seed == 0 else _tune(seed, copy)
            samples = _level(tune[: round(SECONDS * RATE)], chance.uniform(-28, -16))
            yield _heard(
                "music", f"tune {seed}", 0, samples, SNR_DB[copy % len(SNR_DB)], "pink", samples, chance
            )


def _tones(material: Material, chance: np.random.Generator) -> Iterator[Call]:
    for copy in range(material.copies):
        for kind, what, hertz, on, off, first in (
            ("fax", "CNG 1100 Hz", 1100, 0.5, 3.0, 0.2 + 0.4 * copy),
            ("fax", "CED 2100 Hz", 2100, 3.0, 9.0, 0.2 + 0.5 * copy),
            ("fax", "ANSam 2100 Hz", 2100, 3.0, 9.0, 0.3 + 0.4 * copy),
            ("ringback", "425 Hz 1 s of 5 s", 425, 1.0, 4.0, 0.3 * copy),
            ("busy", "425 Hz 250 ms of 500 ms", 425, 0.25, 0.25, 0.3 * copy),
            ("machine", "a beep alone", (800, 1000, 1400, 620)[copy % 4], 0.35, 9.0, 0.5 + 0.3 * copy),
        ):
            hertz *= 1 + chance.uniform(-0.008, 0.008)
            call = np.zeros(round(SECONDS * RATE))
            at = first
            while at < SECONDS:
                tone = np.sin(2 * np.pi * hertz * np.arange(round(on * RATE)) / RATE)
                if "ANSam" in what:  # ITU-T V.8: 15 Hz amplitude, the phase turned each 450 ms
                    time = np.arange(len(tone)) / RATE
                    tone *= (1 + 0.2 * np.sin(2 * np.pi * 15 * time)) * np.where(time % 0.9 < 0.45, 1, -1)
                _lay(call, at, _level(tone, chance.uniform(-30, -12)))
                at += on + off
            yield _heard(kind, what, first, call, SNR_DB[copy % len(SNR_DB)], "white", call, chance)


def _quiet(material: Material, chance: np.random.Generator) -> Iterator[Call]:
    nothing = np.zeros(round(SECONDS * RATE))
    yield _heard("silence", "nothing at all", 0, nothing, None, "white", nothing, chance)
    for copy in range(material.copies):
        for noise in ("white", "pink"):
            for level in (-60, -48, -36, -28):
                samples = _level(_noise(noise, len(nothing), nothing, chance), level)
                if copy % 2:  # noise that begins while we listen, as comfort noise does
                    samples[: round(chance.uniform(0.1, 0.8) * RATE)] = 0
                yield _heard(
                    "silence", f"{noise} noise at {level} dB", 0, samples, None, noise, nothing, chance
                )


# -- the sounds ------------------------------------------------------------------------------------


def say(phrase: str, voice: Voice) -> Samples:
    """What espeak-ng makes of it, without the silence around it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run(
            ("espeak-ng", "-v", voice.name, "-s", str(voice.words_a_minute), "-p", str(voice.pitch),
             "-w", str(path), phrase),
            check=True,
        )  # fmt: skip
        content = path.read_bytes()
    rate = int.from_bytes(content[24:28], "little")
    samples = resampled(np.frombuffer(content[44:], "<i2") / 32768, rate)
    loud = np.flatnonzero(np.abs(samples) > 0.003)
    return samples[loud[0] : loud[-1] + 1]


def _babble(voices: list[Samples], chance: np.random.Generator) -> Samples:
    """Eight people talking behind."""
    behind = np.zeros(round(SECONDS * RATE))
    for _ in range(8):
        talk = np.concatenate([voices[int(chance.integers(len(voices)))] for _ in range(8)])
        behind += _level(np.resize(np.roll(talk, int(chance.integers(len(talk)))), len(behind)), -20)
    return behind


def _tune(seed: int, copy: int) -> Samples:
    """Another tune: chords of plucked or held notes, with or without a drum."""
    dice = random.Random(seed)
    held, drum = seed % 2 == 0, seed % 3 == 0
    beat = dice.uniform(0.25, 0.5)
    track = np.zeros(round((SECONDS + 4) * RATE))
    scale = [0, 2, 4, 7, 9, 12, 14, 16]
    root = dice.uniform(180, 300)
    at = 0.0
    while at < SECONDS + 3:
        length = beat * dice.choice((2, 3, 4) if held else (1, 1, 2))
        time = np.arange(round((length + 0.3) * RATE)) / RATE
        for step in dice.sample(scale, 3 if held else 2):
            hertz = root * 2 ** (step / 12)
            shape = np.minimum(1, time / 0.03) * (
                np.minimum(1, (length + 0.3 - time) / 0.3) if held else np.exp(-3 * time)
            )
            note = sum(np.sin(2 * np.pi * hertz * k * time) / k**1.5 for k in (1, 2, 3, 4))
            _lay(track, at, shape * note)
        if drum:
            _lay(track, at, 1.5 * np.exp(-40 * time) * np.random.default_rng(seed).standard_normal(len(time)))
        at += length
    return np.roll(track, -round((1 + copy * 0.37) * RATE))


def _click(chance: np.random.Generator) -> Samples:
    burst = chance.standard_normal(round(0.04 * RATE)) * np.exp(-np.arange(round(0.04 * RATE)) / 80)
    return _level(burst, chance.uniform(-30, -20))


def _noise(kind: str, size: int, babble: Samples, chance: np.random.Generator) -> Samples:
    white = chance.standard_normal(size)
    if kind == "babble":
        return np.roll(babble, int(chance.integers(len(babble))))[:size]
    if kind == "pink":
        spectrum = np.fft.rfft(white)
        return np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), size)
    return white


def _heard(
    kind: str,
    what: str,
    begins: float,
    samples: Samples,
    snr_db: int | None,
    noise: str,
    babble: Samples,
    chance: np.random.Generator,
) -> Call:
    """The call as it comes off the line."""
    size = len(samples)
    if snr_db is not None:
        loud = samples[np.abs(samples) > 1e-4]
        speech_db = 10 * np.log10(np.mean(loud**2)) if len(loud) else -25
        samples = samples + _level(_noise(noise, size, babble, chance), speech_db - snr_db)
    banded = np.fft.irfft(np.fft.rfft(samples) * _band(size), size)
    pcm = np.clip(banded * 32768, -32768, 32767).astype(np.int16)
    condition = "clean" if snr_db is None else f"{noise} {snr_db} dB"
    return Call(
        kind, what, condition, round(begins * 1000), g711.pcm_to_alaw(pcm).translate(g711.ALAW_TO_ULAW)
    )


@cache
def _band(size: int) -> Samples:
    """300 to 3400 Hz with soft edges."""
    hertz = np.arange(size // 2 + 1) * RATE / size
    return 1 / (1 + (250 / np.maximum(hertz, 1)) ** 8) / (1 + (hertz / 3500) ** 30)


def _level(samples: Samples, db: float) -> Samples:
    """At this many decibels below full scale, measured where there is sound."""
    loud = samples[np.abs(samples) > 0.01 * np.abs(samples).max(initial=0)]
    rms = np.sqrt(np.mean(loud**2)) if len(loud) else 1.0
    return samples * 10 ** (db / 20) / rms


def _lay(track: Samples, seconds: float, sound: Samples) -> None:
    at = round(seconds * RATE)
    piece = sound[: max(0, len(track) - at)]
    track[at : at + len(piece)] += piece
