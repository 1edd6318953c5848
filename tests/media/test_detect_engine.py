"""Detection and messages on legs of a real worker: RTP is sent and heard over the loopback."""

import asyncio
import os
import signal

import pytest

from cti.media import g711, wav
from cti.media.detection import Decision, Kind, Thresholds
from cti.media.engine import Connected, MediaError, UnknownLeg, Unplayable
from cti.media.tones import named
from tests.media.phone import tone
from tests.media.test_detection import silence, speech, ulaw
from tests.waiting import until

USUAL = Thresholds()


def says(phone, *parts):
    """From the next packet on the phone says this, then silence for a long time."""
    sound = ulaw(*parts, silence(20))
    sound = sound[: len(sound) // 160 * 160]
    phone.voice = sound if phone.law == "PCMU" else sound.translate(g711.ULAW_TO_ALAW)
    phone.at = 0


@pytest.fixture
async def answered(engine, phone):
    """Dial a phone as the given leg: it answers, detection begins, and it speaks."""

    async def answer(leg, *parts, thresholds=USUAL, **options):
        made = phone(**options)
        made.learn(await engine.rtp_offer(leg))
        await engine.rtp_accept(leg, made.sdp())
        detecting = asyncio.create_task(engine.detect(leg, thresholds))
        says(made, *parts)
        made.start()
        return made, detecting

    return answer


@pytest.mark.parametrize("law", ["PCMA", "PCMU"])
async def test_a_person_who_answers_is_told_from_a_machine(engine, answered, law):
    assert engine.detects
    _, anas = await answered("ana", silence(0.3), speech(0.6), law=law)
    _, machines = await answered("machine", silence(0.3), speech(4), law=law)
    _, faxes = await answered("fax", silence(0.3), fax(), law=law)
    assert (await faxes).kind == Kind.FAX
    ana = await anas
    assert ana.kind == Kind.HUMAN and 1200 < ana.ms < 2000
    assert (await machines).kind == Kind.MACHINE


def fax():
    return g711.ulaw_to_pcm(tone(2100, 1, "PCMU")) / 32768


async def test_a_leg_that_sends_nothing_is_silent(engine, phone):
    made = phone()
    made.learn(await engine.rtp_offer("ana"))
    await engine.rtp_accept("ana", made.sdp())
    decision = await engine.detect("ana", Thresholds(silence_ms=600))
    assert decision == Decision(Kind.SILENCE, 600, "nobody spoke")


async def test_packets_that_stop_are_a_pause(engine, answered):
    """As from a phone that sends nothing while nobody speaks."""
    ana, detecting = await answered("ana", silence(0.2), speech(1.0))
    await until(lambda: ana.at >= 1.2 * 8000)
    await ana.stop()
    assert (await detecting).kind == Kind.HUMAN


async def test_detection_goes_on_while_the_leg_is_bridged(engine, answered, caller):
    await caller(engine, "agent", hertz=620)
    ana, detecting = await answered("ana", silence(0.5), speech(4))
    await engine.bridge("ana", "agent")
    await ana.hears(620)
    assert (await detecting).kind == Kind.MACHINE
    await ana.hears(620)


async def test_detection_of_a_leg_bridged_to_another_worker(make_engine, caller, phone):
    engine = await make_engine(workers=2)
    ana = await caller(engine, "ana", hertz=440)
    agent = await caller(engine, "agent", hertz=620)
    assert engine.worker_of("ana") != engine.worker_of("agent")
    await engine.bridge("ana", "agent")
    await agent.hears(440)
    says(ana, silence(0.3), speech(0.5))
    assert (await engine.detect("ana", USUAL)).kind == Kind.HUMAN


async def test_detection_of_a_browser(engine, peer):
    agent = peer(hertz=2100)
    await agent.connect(engine, "agent")
    await engine.told(Connected("agent"))
    assert (await engine.detect("agent", USUAL)).kind == Kind.FAX


async def test_cancelled_it_stops_and_may_begin_again(engine, caller):
    ana = await caller(engine, "ana")
    says(ana)
    detecting = asyncio.create_task(engine.detect("ana", Thresholds(silence_ms=20_000, total_ms=20_000)))
    await asyncio.sleep(0)
    detecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await detecting
    assert (await engine.detect("ana", Thresholds(silence_ms=500))).ms == 500


async def test_who_waits_for_a_leg_that_goes_is_told(engine, caller):
    await caller(engine, "ana")
    for end, error in ((engine.stop_detecting, MediaError), (engine.delete, UnknownLeg)):
        detecting = asyncio.create_task(engine.detect("ana", USUAL))
        await asyncio.sleep(0)
        await end("ana")
        with pytest.raises(error):
            await detecting
    with pytest.raises(UnknownLeg):
        await engine.detect("nobody", USUAL)


async def test_a_second_detection_ends_the_first(engine, caller):
    says(await caller(engine, "ana"))
    first = asyncio.create_task(engine.detect("ana", USUAL))
    await asyncio.sleep(0)
    second = await engine.detect("ana", Thresholds(silence_ms=500))
    with pytest.raises(MediaError):
        await first
    assert second.kind == Kind.SILENCE


async def test_a_killed_worker_ends_detection_and_message(engine, caller):
    says(await caller(engine, "ana"))
    detecting = asyncio.create_task(engine.detect("ana", USUAL))
    playing = asyncio.create_task(engine.play_once("ana", "music"))
    await asyncio.sleep(0)
    os.kill(engine.worker_of("ana"), signal.SIGKILL)
    with pytest.raises(MediaError):
        await detecting
    assert not await playing


async def test_a_message_is_left_after_the_beep_of_a_machine(engine, answered):
    machine, detecting = await answered("machine", silence(0.3), speech(3), silence(0.2), beep(), silence(1))
    assert (await detecting).kind == Kind.MACHINE
    end = await engine.greeting_end("machine", USUAL)
    assert "beep" in end.why
    machine.forget()
    assert await engine.play_once("machine", "beep")
    assert len(machine.packets) == 10


def beep():
    return g711.ulaw_to_pcm(named("beep").ulaw * 2) / 32768


async def test_a_message_is_played_to_its_end_once(engine, caller, tmp_path):
    ana = await caller(engine, "ana", hertz=440)
    greeting = tone(1200, 0.6, "PCMU")
    path = tmp_path / "message.wav"
    path.write_bytes(wav.header(1, len(greeting)) + greeting)
    assert await engine.play_once("ana", str(path))
    await until(lambda: len(ana.packets) >= 30)
    assert abs(ana.heard() - 1200) < 6
    assert len(ana.packets) in (30, 31)  # the last may be filled up


async def test_the_built_in_message_can_be_played(engine, caller):
    ana = await caller(engine, "ana")
    playing = asyncio.create_task(engine.play_once("ana", "abandoned"))
    await until(lambda: len(ana.packets) >= 20)
    sound = b"".join(packet[4] for packet in ana.packets[:20])
    assert sound == named("abandoned").alaw[: len(sound)]
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    ana.forget()
    assert await engine.play_once("ana", "zip")
    await until(lambda: len(ana.packets) >= 10)
    assert b"".join(packet[4] for packet in ana.packets[-10:]) == named("zip").alaw


async def test_the_agents_tone_leaves_the_bridge_as_it_was(engine, caller, tmp_path):
    agent = await caller(engine, "agent", hertz=440)
    customer = await caller(engine, "customer", hertz=620)
    await engine.bridge("agent", "customer")
    await agent.hears(620)
    agent.forget()
    assert await engine.play_once("agent", "zip")
    await agent.hears(620)
    await customer.hears(440)
    assert len({packet[3] for packet in agent.packets}) == 1

    longer = tone(1200, 60, "PCMU")  # than a test waits
    (tmp_path / "long.wav").write_bytes(wav.header(1, len(longer)) + longer)
    playing = asyncio.create_task(engine.play_once("agent", str(tmp_path / "long.wav")))
    await agent.hears(1200)
    playing.cancel()
    await agent.hears(620)


async def test_a_message_cut_short_is_told(engine, caller):
    await caller(engine, "ana")
    for end in (engine.stop_playing, lambda leg: engine.play(leg, "busy"), engine.delete):
        playing = asyncio.create_task(engine.play_once("ana", "music"))
        await asyncio.sleep(0)
        await end("ana")
        assert await playing is False
    with pytest.raises(UnknownLeg):
        await engine.play_once("ana", "music")


async def test_a_message_that_cannot_be_read_is_told_and_leaves_the_bridge(engine, caller, tmp_path):
    agent = await caller(engine, "agent", hertz=440)
    await caller(engine, "customer", hertz=620)
    await engine.bridge("agent", "customer")
    await agent.hears(620)
    (tmp_path / "text.wav").write_text("no sound")
    for name, words in (("nowhere.wav", "No such file"), ("text.wav", "is not a WAV file")):
        with pytest.raises(Unplayable, match=words):
            await engine.play_once("agent", str(tmp_path / name))
    await agent.hears(620)
