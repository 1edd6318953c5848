"""Simulated customers, telephone to telephone over real SIP and RTP."""

import asyncio
from collections.abc import Callable

import pytest

from cti.customers import SILENCE, CustomerCall, People, Telephone, machine, share, tone, voice
from cti.customers.sounds import PACKET, RATE
from cti.media.detection import Detector, Kind, Thresholds
from tests.e2e.product import free_ports, until


def test_a_tone_is_measured_as_itself_and_not_as_its_neighbour():
    samples = tone(440).samples[: RATE // 2]
    assert share(samples, 440) > 0.99
    assert share(samples, 480) < 0.01
    assert share(SILENCE.at(0), 440) == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_a_voice_is_loud_now_and_quiet_then_and_no_tone(seed: int):
    samples = voice(seed).samples.astype(float)
    levels = [abs(samples[i : i + RATE // 5]).mean() for i in range(0, len(samples), RATE // 5)]
    assert max(levels) > 500 and min(levels) < 50
    assert abs(samples).max() < 32767
    assert all(share(samples[:RATE].astype("i2"), hertz) < 0.3 for hertz in range(300, 3400, 50))


def test_a_machine_speaks_then_beeps_then_listens():
    sound = machine(3)
    end = len(sound.samples)
    assert share(sound.samples[end - RATE // 2 :], 1000) > 0.9
    assert not sound.at(end + RATE).any()


@pytest.mark.parametrize("seed", range(6))
def test_a_machine_sounds_like_one_to_the_detection(seed: int):
    samples, detector = machine(seed).samples, Detector(Thresholds())
    heard = (detector.feed(samples[at : at + PACKET]) for at in range(0, len(samples), PACKET))
    decision = next(each for each in heard if each)
    assert decision.kind is Kind.MACHINE, decision.why


@pytest.fixture
async def outside():
    """A telephone as the product's side, and the demo's people as the outside."""
    ours, theirs = free_ports(2)
    people = People("127.0.0.1", theirs, ("127.0.0.1", ours))
    phone = Telephone("127.0.0.1", ours, ("127.0.0.1", theirs), lambda call: call.reject(480))
    await people.start()
    await phone.start()
    yield phone
    await phone.close()
    await people.close()


async def test_a_number_ending_in_6_is_busy_and_in_9_rejects(outside: Telephone):
    for number, status in [("11955550006", 486), ("11955550009", 603)]:
        call = outside.call(number, "4000")
        await call.over
        assert call.status == status


async def test_a_number_ending_in_7_rings_until_the_caller_gives_up(outside: Telephone):
    call = outside.call("11955550007", "4000")
    await call.rang.wait()
    assert call.status == 180 and not call.answered.is_set()
    call.hang_up()
    await call.over


async def test_a_number_ending_in_0_answers_hears_and_speaks(outside: Telephone):
    call = outside.call("11955550000", "4000", tone(440))
    await call.answered.wait()
    await until(lambda: abs(call.talk.recent(0.5).astype(float)).mean() > 300)
    call.hang_up()
    await call.over


async def test_a_number_ending_in_8_greets_and_beeps(outside: Telephone):
    call = outside.call("11955550008", "4000")
    await call.answered.wait()
    await until(lambda: share(call.talk.recent(0.4), 1000) > 0.8)
    call.hang_up()
    await call.over


@pytest.fixture
async def pair():
    """Two telephones; the second lifts every call, says a tone and remembers it."""
    first, second = free_ports(2)
    taken: list[CustomerCall] = []

    def lift(call: CustomerCall) -> None:
        taken.append(call)
        call.ring()
        call.answer()
        call.say(tone(880))

    caller = Telephone("127.0.0.1", first, ("127.0.0.1", second), lambda call: call.reject(480))
    called = Telephone("127.0.0.1", second, ("127.0.0.1", first), lift)
    await caller.start()
    await called.start()
    yield caller, taken
    await caller.close()
    await called.close()


Pair = tuple[Telephone, list[CustomerCall]]


async def hears(call: CustomerCall, hertz: int) -> None:
    await until(lambda: share(call.talk.recent(0.3), hertz) > 0.9)


async def test_both_sides_hear_each_other_and_digits_arrive(pair: Pair):
    caller, taken = pair
    call = caller.call("1", "2", tone(440))
    await hears(call, 880)
    await hears(taken[0], 440)
    call.talk.dial("1590*#")
    await until(lambda: taken[0].talk.digits == "1590*#")
    taken[0].hang_up()
    await call.over
    assert call.over_by_peer


async def test_a_call_that_is_over_leaves_no_task_and_no_socket(pair: Pair):
    caller, _ = pair
    before = len(asyncio.all_tasks())
    for _ in range(5):
        call = caller.call("1", "2", tone(440))
        await call.answered.wait()
        call.hang_up()
        await call.over
    settled: Callable[[], bool] = lambda: len(asyncio.all_tasks()) <= before  # noqa: E731
    await until(settled)
    await until(lambda: not caller.calls)
