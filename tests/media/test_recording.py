"""Recordings: left is the first party, right the second, silence where one is not heard."""

import os
import signal

import numpy as np

from cti.media import g711, wav
from cti.media.engine import WorkerLost
from cti.media.recorder import LATE, WINDOW, Voice
from tests.media.phone import pitch
from tests.waiting import until


def channels(path):
    audio = wav.read(path)
    assert len(audio.channels) == 2
    return [g711.ulaw_to_pcm(channel) for channel in audio.channels]


def pitches(samples, seconds=0.2):
    size = int(8000 * seconds)
    return [pitch(samples[at : at + size]) for at in range(0, len(samples) - size, size)]


def near(found, hertz):
    return found is not None and abs(found - hertz) < 8


async def heard_packets(phone, count):
    phone.forget()
    await until(lambda: len(phone.packets) >= count)


async def test_left_is_the_first_party_and_right_the_second(engine, caller, tmp_path):
    ana = await caller(engine, "ana", hertz=440, law="PCMU")
    bruno = await caller(engine, "bruno", hertz=620, law="PCMA")
    await engine.bridge("ana", "bruno")
    await ana.hears(620)
    path = await engine.record("global-id", "ana", "bruno")
    assert path == tmp_path / "global-id.wav"
    await heard_packets(bruno, 60)
    recorded = await engine.stop_record("global-id")
    assert recorded.path == path
    left, right = channels(path)
    assert abs(len(left) / 8000 - recorded.seconds) < 0.001
    assert 1.1 < recorded.seconds < 5
    assert all(near(found, 440) for found in pitches(left)[1:-1])
    assert all(near(found, 620) for found in pitches(right)[1:-1])


async def test_a_held_party_is_not_in_it_and_it_goes_on_after_the_hold(engine, caller):
    ana = await caller(engine, "ana", hertz=440)
    await caller(engine, "bruno", hertz=620)
    await engine.bridge("ana", "bruno")
    await ana.hears(620)
    path = await engine.record("held", "ana", "bruno")
    await heard_packets(ana, 40)
    await engine.play("ana", "music")  # ana waits, bruno hears nothing: neither is heard by the other
    await engine.play("bruno", "silence")
    await heard_packets(ana, 50)
    await engine.stop_playing("ana")
    await engine.stop_playing("bruno")
    await heard_packets(ana, 40)
    await engine.stop_record("held")
    for samples, hertz in zip(channels(path), (440, 620), strict=True):
        found = pitches(samples, 0.1)
        assert near(found[2], hertz) and near(found[-2], hertz)
        silent = [number for number, each in enumerate(found) if each is None]
        assert len(silent) >= 8 and silent[-1] - silent[0] < 14
        assert all(each is None or near(each, hertz) for each in found[3 : silent[0] - 1])


async def test_a_replaced_connection_goes_on_in_the_same_recording(engine, caller, peer):
    customer = await caller(engine, "customer", hertz=440)
    agent = peer(hertz=700)
    await agent.connect(engine, "agent")
    await engine.bridge("customer", "agent")
    await customer.hears(700)
    path = await engine.record("reloaded", "customer", "agent")
    await heard_packets(customer, 40)
    await agent.close()
    page = peer(hertz=900)
    await page.connect(engine, "agent")
    await customer.hears(900)
    await engine.stop_record("reloaded")
    left, right = channels(path)
    assert all(near(found, 440) for found in pitches(left)[1:-1])
    heard = [found for found in pitches(right, 0.1) if found]
    assert near(heard[1], 700) and near(heard[-2], 900)


async def test_across_two_workers_both_voices_are_in_it(make_engine, caller):
    engine = await make_engine(workers=2)
    ana = await caller(engine, "ana", hertz=440)
    bruno = await caller(engine, "bruno", hertz=620)
    path = await engine.record("apart", "ana", "bruno")
    await engine.bridge("ana", "bruno")
    await ana.hears(620)
    await bruno.hears(440)
    await engine.stop_record("apart")
    left, right = channels(path)
    assert near(pitches(left)[-2], 440)
    assert near(pitches(right)[-2], 620)


async def test_after_kill_9_the_file_can_be_played(engine, caller):
    ana = await caller(engine, "ana", hertz=440)
    await caller(engine, "bruno", hertz=620)
    await engine.bridge("ana", "bruno")
    await ana.hears(620)
    path = await engine.record("killed", "ana", "bruno")
    await until(lambda: path.exists() and path.stat().st_size > wav.HEADER_BYTES + 16000)
    os.kill(engine.worker_of("ana"), signal.SIGKILL)
    await until(lambda: isinstance(engine.events[-1], WorkerLost))
    recorded = await engine.stop_record("killed")
    left, right = channels(path)
    assert len(left) / 8000 == recorded.seconds > 0.9
    assert near(pitches(left)[2], 440) and near(pitches(right)[2], 620)


async def test_stopping_the_engine_finishes_the_recordings(make_engine, caller):
    engine = await make_engine()
    ana = await caller(engine, "ana", hertz=440)
    bruno = await caller(engine, "bruno", hertz=620)
    await engine.bridge("ana", "bruno")
    await ana.hears(620)
    path = await engine.record("stopped", "ana", "bruno")
    await heard_packets(bruno, 30)
    await engine.stop()
    left, _ = channels(path)
    assert len(left) > 8000 * 0.55
    assert near(pitches(left)[1], 440)


def voice(since=100.0):
    return Voice(since)


def samples(value, count=160):
    return bytes([value]) * count


def test_packets_are_laid_by_their_timestamps_also_out_of_order():
    track = voice()
    track.put(1000, samples(1), 100.0)
    track.put(1320, samples(3), 100.04)
    track.put(1160, samples(2), 100.041)
    assert track.take(640) == samples(1) + samples(2) + samples(3) + samples(0xFF)


def test_a_gap_is_silence_and_a_jump_of_the_clock_is_laid_where_it_arrives():
    track = voice()
    track.put(0xFFFFFFFF - 79, samples(1), 100.0)
    track.put(80, samples(2), 100.02)  # the timestamp went round
    track.put(900_000, samples(3), 100.10001)
    assert track.take(960) == samples(1) + samples(2) + samples(0xFF, 480) + samples(3)


def test_what_comes_after_it_was_written_is_left_out():
    track = voice()
    track.put(0, samples(1), 100.0)
    assert track.take(800)[:160] == samples(1)
    track.put(320, samples(2), 100.045)
    assert track.take(1600) == samples(0xFF, 800)


def test_a_window_may_go_round_many_times():
    track = voice()
    taken = b""
    for number in range(1000):
        track.put(number * 160, samples(number % 200), 100 + number / 50)
        until_sample = number * 160 - LATE
        if number % 50 == 0 and until_sample > 0:
            taken += track.take(until_sample)
    whole = np.repeat(np.arange(1000) % 200, 160).astype(np.uint8).tobytes()
    assert len(taken) > 3 * WINDOW and taken == whole[: len(taken)]
