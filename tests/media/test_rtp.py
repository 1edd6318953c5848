"""Two telephones speak through the engine over plain RTP: what each hears is measured."""

import socket
from itertools import pairwise

import pytest

from cti.media.engine import Audible, Connected, Digit, NoCapacity, Silent, UnknownLeg
from cti.media.g711 import ULAW_TO_ALAW
from cti.sip.sdp import NotAcceptable
from tests.media.phone import pitch, tone
from tests.waiting import until


@pytest.fixture
async def pair(engine, caller):
    """Ana and Bruno, who hear each other."""
    ana = await caller(engine, "ana", hertz=440)
    bruno = await caller(engine, "bruno", hertz=620)
    await engine.bridge("ana", "bruno")
    await ana.hears(620)
    await bruno.hears(440)
    return ana, bruno


async def test_two_callers_hear_each_other(engine, pair):
    await engine.told(Connected("ana"))
    await engine.told(Connected("bruno"))


@pytest.mark.parametrize("workers", [1, 2])
async def test_callers_over_ipv6_hear_each_other_and_are_held(make_engine, caller, workers):
    engine = await make_engine(address="::1", workers=workers)
    one = await caller(engine, "one", hertz=440, address="::1")
    other = await caller(engine, "other", hertz=700, address="::1", law="PCMU")
    await engine.bridge("one", "other")
    await one.hears(700)
    await other.hears(440)
    await engine.told(Connected("one"))
    held = one.sdp().replace("c=IN IP6 ::1", "c=IN IP6 ::")
    assert "a=recvonly" in await engine.rtp_answer("one", held)
    one.learn(await engine.rtp_answer("one", one.sdp()))
    await one.hears(700)


async def test_one_offer_one_answer_and_two_laws(engine, caller, phone):
    ana = await caller(engine, "ana", hertz=440, law="PCMU")
    bruno = phone(hertz=620, law="PCMA")
    bruno.learn(await engine.rtp_offer("bruno"))
    await engine.rtp_accept("bruno", bruno.sdp())
    bruno.start()
    await engine.bridge("ana", "bruno")
    await ana.hears(620)
    await bruno.hears(440)


async def test_pass_through_changes_no_sample(engine, caller):
    ana = await caller(engine, "ana", hertz=440, law="PCMU")
    bruno = await caller(engine, "bruno", hertz=620, law="PCMU")
    carla = await caller(engine, "carla", hertz=620, law="PCMA")
    await engine.bridge("ana", "bruno")
    await bruno.hears(440)
    pieces = {ana.voice[at : at + 160] for at in range(0, len(ana.voice), 160)}
    assert {packet[4] for packet in bruno.packets} <= pieces
    await engine.bridge("ana", "carla")
    await carla.hears(440)
    assert {packet[4] for packet in carla.packets} <= {piece.translate(ULAW_TO_ALAW) for piece in pieces}


async def test_hold_plays_music_to_the_held_party_only_and_resumes(engine, pair):
    ana, bruno = pair
    await engine.play("ana", "music")
    await until(lambda: (found := ana.heard()) and abs(found - 620) > 6, "something else than the peer")
    await bruno.hears(440)
    await engine.stop_playing("ana")
    await ana.hears(620)


@pytest.mark.parametrize("source", ["ringback", "busy"])
async def test_tones_of_the_network_are_425_hertz(engine, caller, source):
    ana = await caller(engine, "ana")
    await engine.play("ana", source)
    await until(lambda: (found := ana.heard(0.1)) and abs(found - 425) < 12)


async def test_the_line_has_no_break_whoever_speaks(engine, pair, caller):
    ana, _ = pair
    ana.forget()
    await engine.play("ana", "music")
    await until(lambda: len(ana.packets) > 20)
    await engine.stop_playing("ana")
    await ana.hears(620, 0.2)
    await caller(engine, "carla", hertz=800)
    seen = list(ana.packets)
    ana.forget()
    await engine.bridge("ana", "carla")
    await until(lambda: (found := ana.heard(0.2)) and abs(found - 800) < 6)
    packets = seen + ana.packets
    assert len({packet[3] for packet in packets}) == 1, "one SSRC"
    steps = {(b[1] - a[1]) & 0xFFFF for a, b in pairwise(packets)}
    assert steps <= {0, 1, 2}, "sequence numbers go on"
    times = {((b[2] - a[2]) & 0xFFFFFFFF) % 160 for a, b in pairwise(packets)}
    assert times == {0}
    assert sum(1 for packet in packets if packet[0] & 0x80) >= 2, "a marker where the source changed"


async def test_an_audio_file_is_played_once_in_place_of_the_peer(engine, pair, tmp_path):
    from cti.media import wav

    ana, _ = pair
    greeting = tone(1200, 0.6, "PCMU")
    (tmp_path / "greeting.wav").write_bytes(wav.header(1, len(greeting)) + greeting)
    await engine.play("ana", str(tmp_path / "greeting.wav"), loop=False)
    await ana.hears(1200)
    await ana.hears(620)


async def test_a_file_that_cannot_be_played_is_silence_until_stopped(engine, pair, tmp_path):
    ana, _ = pair
    await engine.play("ana", str(tmp_path / "nowhere.wav"))
    await until(lambda: len(ana.packets) > 30 and ana.heard() is None)
    await engine.stop_playing("ana")
    await ana.hears(620)


async def test_a_muted_party_is_not_heard_and_hears(engine, pair):
    ana, bruno = pair
    await engine.mute("ana", True)
    await ana.hears(620)
    bruno.forget()
    await ana.hears(620)
    assert not bruno.packets
    await engine.mute("ana", False)
    await bruno.hears(440)


async def test_a_digit_pressed_is_told_once_and_reaches_the_peer_under_its_own_type(engine, caller):
    ana = await caller(engine, "ana", digits=101)
    bruno = await caller(engine, "bruno", digits=96, hertz=620)
    await engine.bridge("ana", "bruno")
    await bruno.hears(440)
    for digit in "4*4":
        ana.press(digit)
    await until(lambda: len(engine.events) >= 5)
    assert [event.digit for event in engine.events if isinstance(event, Digit)] == ["4", "*", "4"]
    await until(lambda: bruno.pressed() == "4*4")


async def test_each_side_of_our_offer_uses_the_number_the_other_announced(engine, phone):
    ana = phone(digits=97)
    ana.learn(await engine.rtp_offer("ana"))
    await engine.rtp_accept("ana", ana.sdp())
    ana.start()
    await engine.dtmf("ana", "5")
    await until(lambda: ana.pressed() == "5")
    ana.digits = 101
    ana.press("9")
    await engine.told(Digit("ana", "9"))


async def test_digits_are_sent_as_events_with_three_ends(engine, pair):
    _, bruno = pair
    await engine.dtmf("bruno", "12")
    await engine.dtmf("bruno", "#")
    await until(lambda: bruno.pressed() == "12#")
    await until(lambda: bruno.packets[-1][0] == 8, "the peer's voice again")
    events = [packet for packet in bruno.packets if packet[0] & 0x7F == 101]
    assert len(events) == 3 * 8
    assert sum(1 for packet in events if packet[4][1] & 0x80) == 3 * 3
    assert [packet[0] & 0x80 for packet in events].count(0x80) == 3
    await bruno.hears(440)


async def test_digits_are_tones_for_a_party_without_events(engine, caller):
    ana = await caller(engine, "ana", digits=None)
    await engine.dtmf("ana", "555555")
    await until(lambda: len(ana.packets) > 20)
    audio = b"".join(packet[4] for packet in ana.packets[:5])
    from cti.media.g711 import alaw_to_pcm

    assert min(abs(pitch(alaw_to_pcm(audio)) - hertz) for hertz in (770, 1336)) < 15


async def test_a_wrong_digit_is_refused(engine, caller):
    await caller(engine, "ana")
    with pytest.raises(ValueError, match="x"):
        await engine.dtmf("ana", "1x")


async def test_silence_of_a_bridged_party_is_told_and_its_return(engine, pair):
    _, bruno = pair
    await bruno.stop()
    await engine.told(Silent("bruno"))
    assert Silent("ana") not in engine.events
    bruno.start()
    await engine.told(Audible("bruno"))


async def test_a_party_that_holds_is_not_called_silent_and_gets_nothing(engine, pair):
    ana, bruno = pair
    answer = await engine.rtp_answer("bruno", bruno.sdp("inactive"))
    assert "a=inactive" in answer
    await bruno.stop()
    bruno.start()
    bruno.talking.cancel()
    await ana.stop()
    await engine.told(Silent("ana"))
    assert Silent("bruno") not in engine.events
    ana.start()
    await engine.told(Audible("ana"))
    bruno.forget()
    before = (await engine.stats("ana")).packets_in
    while (await engine.stats("ana")).packets_in < before + 20:
        await until(lambda: True)
    assert not bruno.packets
    assert "a=sendrecv" in await engine.rtp_answer("bruno", bruno.sdp())
    await bruno.hears(440)


async def test_a_reinvite_from_another_address_moves_the_leg_and_keeps_our_port(engine, pair, phone):
    ana, bruno = pair
    port = bruno.peer[1]
    elsewhere = phone(hertz=900)
    elsewhere.learn(await engine.rtp_answer("bruno", elsewhere.sdp()))
    assert elsewhere.peer[1] == port
    elsewhere.start()
    await ana.hears(900)
    await elsewhere.hears(440)


async def test_a_party_behind_nat_is_found_by_its_packets(engine, caller, phone):
    ana = await caller(engine, "ana", hertz=440)
    hidden = phone(hertz=620)
    hidden.learn(await engine.rtp_answer("hidden", hidden.sdp().replace("127.0.0.1", "10.255.255.1")))
    hidden.start()
    await engine.bridge("ana", "hidden")
    await ana.hears(620)
    await hidden.hears(440)


async def test_strangers_are_not_heard(engine, pair):
    """Before the party is found one stray packet decides nothing, afterwards the kernel refuses all."""
    ana, bruno = pair
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(20):
            ana.put(8, 0, tone(1500, 0.02), stranger)
        heard = (await engine.stats("ana")).packets_in
        await bruno.hears(440)
    assert (await engine.stats("ana")).packets_in <= heard + 30
    await ana.hears(620)


async def test_what_is_no_rtp_harms_nobody(engine, pair):
    ana, bruno = pair
    for junk in (
        b"",
        b"\x80",
        b"\x00" * 11,
        b"\xff" * 300,
        b"\x9f" + b"\xff" * 30,
        b"\xa0\x08" + b"\xff" * 20,
    ):
        ana.socket.sendto(junk, ana.peer)
    extended = b"\x91\x08" + bytes(10) + bytes(4) + b"\xbe\xde\x00\x01" + bytes(4) + b"\xd5" * 160
    ana.socket.sendto(extended, ana.peer)
    await until(lambda: any(packet[4] == b"\xd5" * 160 for packet in bruno.packets), "the bare payload")
    await bruno.hears(440)


async def test_nothing_common_is_not_acceptable_and_leaves_nothing(make_engine, phone):
    engine = await make_engine(ports=6)
    wrong = phone().sdp().replace("AVP 8", "AVP 18")
    for _ in range(9):
        with pytest.raises(NotAcceptable):
            await engine.rtp_answer("ana", wrong)
    await engine.rtp_offer("ana")


async def test_ports_run_out_and_come_back(make_engine):
    engine = await make_engine(ports=8)
    names = []
    with pytest.raises(NoCapacity):
        for number in range(10):
            await engine.rtp_offer(f"leg {number}")
            names.append(f"leg {number}")
    assert 2 <= len(names) <= 3
    await engine.delete(names[0])
    await engine.rtp_offer("another")


async def test_a_port_used_again_hears_only_the_new_call(make_engine, caller, phone):
    engine = await make_engine(ports=6)
    ana = await caller(engine, "ana", hertz=440)
    bruno = await caller(engine, "bruno", hertz=620)
    await engine.bridge("ana", "bruno")
    await bruno.hears(440)
    await engine.delete("ana")
    carla = phone(hertz=900)
    carla.learn(await engine.rtp_answer("carla", carla.sdp()))
    assert carla.peer == ana.peer
    await engine.bridge("carla", "bruno")
    carla.start()
    await bruno.hears(900)


async def test_a_leg_that_is_not_there_is_refused_or_left_alone(engine):
    for command in (
        engine.play("x", "music"),
        engine.bridge("x", "y"),
        engine.mute("x", True),
        engine.stats("x"),
    ):
        with pytest.raises(UnknownLeg):
            await command
    await engine.delete("x")
    await engine.unbridge("x")
    await engine.stop_playing("x")


async def test_stats_count_packets_and_losses(engine, pair):
    ana, _ = pair
    ana.sequence += 5
    await until(lambda: ana.timestamp)
    before = (await engine.stats("ana")).packets_in
    while (stats := await engine.stats("ana")).packets_in < before + 5:
        pass
    assert stats.lost == 5
    assert stats.connected and stats.packets_out > 5 and stats.silent_ms < 1000 and stats.jitter_ms < 50


async def test_reports_come_from_the_rtcp_port(engine, phone):
    """An own socket beside the phone's, on the next port, hears a sender report with a name."""
    while True:
        ana = phone(hertz=440)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            control.setblocking(False)
            try:
                control.bind(("127.0.0.1", ana.port + 1))
            except OSError:
                continue
            ana.learn(await engine.rtp_answer("ana", ana.sdp()))
            ana.start()
            await engine.play("ana", "music")

            def report():
                try:
                    return control.recvfrom(500)
                except BlockingIOError:
                    return None

            data, sender = await until(report)
            break
    assert sender == (ana.peer[0], ana.peer[1] + 1)
    while data[1] != 200:  # the first may come before the first packet: a receiver report
        data, _ = await until(report)
    assert data[28 + 24 + 1] == 202 and b"ramal" in data
