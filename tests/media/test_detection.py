"""Who has answered, told from made sounds: greetings of hummed words, tones with their cadences, noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cti.media import g711, tones
from cti.media.detection import LIMITS, Detector, GreetingEnd, Kind, Thresholds

RATE = 8000


def silence(seconds):
    return np.zeros(round(seconds * RATE))


def speech(seconds, hertz=130.0, level=0.1, seed=1):
    """Syllables: a gliding pitch with harmonics under changing formants, 140 ms each."""
    chance = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    glide = hertz * (1 + 0.15 * np.sin(2 * np.pi * 1.3 * time))
    phase = 2 * np.pi * np.cumsum(glide) / RATE
    track = np.zeros(len(time))
    for start in range(0, len(time), round(0.14 * RATE)):
        piece = slice(start, start + round(0.14 * RATE))
        formants = chance.uniform(300, 800), chance.uniform(900, 2200)
        for harmonic in range(1, 20):
            gain = sum(np.exp(-(((harmonic * hertz - f) / 150) ** 2)) for f in formants) + 0.02
            track[piece] += gain * np.sin(harmonic * phase[piece])
    return level * track / np.sqrt(np.mean(track**2))


def tone(hertz, seconds, level=0.1):
    return level * np.sqrt(2) * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def noise(seconds, level, seed=2):
    return level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def ulaw(*parts, background=0.0):
    samples = np.concatenate(parts)
    samples = samples + noise(len(samples) / RATE, background)[: len(samples)]
    return g711.pcm_to_ulaw((np.clip(samples, -1, 1) * 32767).astype(np.int16))


def decided(*parts, listener=None, background=0.0):
    listener = listener or Detector()
    listener.feed(ulaw(*parts, silence(6), background=background))
    return listener.decision


@pytest.mark.parametrize("background", [0.0, 0.003, 0.02])
@pytest.mark.parametrize("seconds", [0.35, 0.9, 1.8])
def test_a_short_greeting_and_a_pause_is_a_person(seconds, background):
    decision = decided(silence(0.4), speech(seconds), background=background)
    assert decision.kind == Kind.HUMAN
    assert 400 + seconds * 1000 < decision.ms < 400 + seconds * 1000 + 700


@pytest.mark.parametrize("background", [0.0, 0.003, 0.02])
def test_who_goes_on_speaking_is_a_machine(background):
    decision = decided(
        silence(0.8), speech(1.4), silence(0.3), speech(1.5), silence(0.4), speech(2), background=background
    )
    assert decision.kind == Kind.MACHINE
    assert decision.ms < 800 + 2800


@pytest.mark.parametrize("hertz", [620, 800, 1000, 1400, 2000])
def test_a_beep_alone_is_a_machine(hertz):
    decision = decided(silence(0.5), tone(hertz, 0.3))
    assert decision.kind == Kind.MACHINE
    assert f"beep of {hertz}" in decision.why


@pytest.mark.parametrize("hertz", [1100, 2100])
@pytest.mark.parametrize("background", [0.0, 0.02])
def test_fax_tones_are_a_fax(hertz, background):
    decision = decided(silence(0.3), tone(hertz, 0.5), background=background)
    assert decision.kind == Kind.FAX
    assert decision.ms < 800


def test_the_answer_tone_with_turned_phases_is_a_fax_too():
    time = np.arange(2 * RATE) / RATE
    turned = tone(2100, 2) * np.where(time % 0.9 < 0.45, 1, -1) * (1 + 0.2 * np.sin(2 * np.pi * 15 * time))
    assert decided(silence(1), turned).kind == Kind.FAX


@pytest.mark.parametrize(("source", "kind"), [("ringback", Kind.RINGBACK), ("busy", Kind.BUSY)])
def test_tones_of_the_network_are_told_apart(source, kind):
    detector = Detector()
    detector.feed(ulaw(silence(0.2)) + tones.named(source).ulaw * 4)
    assert detector.decision.kind == kind


@pytest.mark.parametrize("start", range(0, 24, 5))
def test_music_on_hold_is_music_from_any_place(start):
    detector = Detector()
    detector.feed(tones.named("music").ulaw[start * RATE :][: 6 * RATE])
    assert detector.decision.kind == Kind.MUSIC


@pytest.mark.parametrize("level", [0.0, 0.001, 0.01, 0.05])
def test_nothing_but_noise_is_silence(level):
    decision = decided(silence(0.1), background=level)
    assert decision.kind == Kind.SILENCE
    assert decision.ms == Thresholds().silence_ms


def test_noise_that_begins_while_we_listen_is_nobody():
    assert decided(silence(0.5), noise(6, 0.02)).kind == Kind.SILENCE


def test_a_click_is_not_a_word():
    decision = decided(silence(0.3), speech(0.04), silence(0.6), speech(1.9))
    assert decision.kind == Kind.HUMAN
    assert decision.ms > 300 + 40 + 600 + 1900


def test_somebody_in_the_background_is_not_who_answers():
    decision = decided(silence(0.2), speech(1.2, 180, level=0.03), speech(1.5, level=0.25, seed=3))
    assert decision.kind == Kind.HUMAN
    assert "spoke 1" in decision.why


def test_the_thresholds_decide():
    call = silence(0.3), speech(1.0)
    assert decided(*call, listener=Detector(Thresholds(greeting_ms=600))).kind == Kind.MACHINE
    late = decided(*call, listener=Detector(Thresholds(pause_ms=1500)))
    assert late.kind == Kind.HUMAN and late.ms > 2700
    assert decided(listener=Detector(Thresholds(silence_ms=1000))).ms == 1000


def test_a_decision_is_made_once():
    detector = Detector()
    sound = ulaw(silence(0.3), speech(0.5), silence(2))
    answers = [detector.feed(sound[at : at + 160]) for at in range(0, len(sound), 160)]
    assert [answer for answer in answers if answer] == [detector.decision]


def test_pieces_of_any_length_sound_the_same():
    sound = ulaw(silence(0.3), speech(0.5), silence(1))
    whole, pieces = Detector(), Detector()
    whole.feed(sound)
    for at in range(0, len(sound), 37):
        pieces.feed(sound[at : at + 37])
    assert pieces.decision == whole.decision


def test_samples_and_mu_law_sound_the_same():
    sound = ulaw(silence(0.3), speech(0.5), silence(1))
    one, other = Detector(), Detector()
    one.feed(sound)
    for at in range(0, len(sound), 160):
        other.feed(g711.ulaw_to_pcm(sound[at : at + 160]))
    assert one.decision == other.decision


def test_a_message_is_left_after_the_beep():
    decision = decided(speech(3), silence(0.3), tone(1000, 0.4), listener=GreetingEnd())
    assert "beep" in decision.why
    assert 3700 < decision.ms < 3900


def test_a_message_is_left_after_a_long_pause_where_nothing_beeps():
    decision = decided(speech(3), silence(1), speech(1), listener=GreetingEnd())
    assert "silence" in decision.why
    assert 7000 <= decision.ms < 7200


def test_a_greeting_without_end_is_not_waited_for():
    listener = GreetingEnd(Thresholds(message_wait_ms=4000))
    assert decided(speech(6), listener=listener).ms == 4000


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=700), max_size=40))
def test_no_bytes_do_harm(pieces):
    detector, end = Detector(), GreetingEnd()
    for piece in pieces:
        detector.feed(piece)
        end.feed(piece)
    total = sum(len(piece) for piece in pieces)
    assert detector.decision is None or detector.decision.ms <= total / 8


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["silence", "speech", "tone", "noise"]), st.floats(0.02, 2), st.floats(0.001, 0.9)
        ),
        max_size=8,
    )
)
def test_everything_is_decided_in_time(scenes):
    made = {
        "silence": lambda s, x: silence(s),
        "speech": lambda s, x: speech(s, 80 + 200 * x, x / 5),
        "tone": lambda s, x: tone(300 + 3000 * x, s),
        "noise": noise,
    }
    decision = decided(*[made[what](seconds, x) for what, seconds, x in scenes])
    assert decision is not None
    assert decision.ms <= Thresholds().total_ms


@pytest.mark.parametrize("name", LIMITS)
def test_a_threshold_outside_its_limits_is_refused(name):
    low, high = LIMITS[name]
    for value in (low - 1, high + 1):
        with pytest.raises(ValueError, match=name):
            Thresholds.read({name: value})
    assert getattr(Thresholds.read({name: str(low), "unknown": 1}), name) == low
