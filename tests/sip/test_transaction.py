"""The four transaction machines: when they send again, when they give up, and that each of them ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.sip.flow import Flow
from cti.sip.message import Response
from cti.sip.transaction import ClientInvite, ClientNonInvite, ServerInvite, ServerNonInvite
from cti.sip.wire import Wire

UDP = Flow("UDP", "192.0.2.9", 5060)
TCP = Flow("TCP", "192.0.2.9", 5060, 3)


class Bench:
    def __init__(self, kind, flow=UDP):
        self.wire = Wire()
        self.home = {}
        self.told = []
        self.now = 0.0
        if kind is ServerInvite:
            self.machine = ServerInvite(self.wire, self.home, "key", flow, "original")
            self.home["original"] = self.machine
        elif kind is ServerNonInvite:
            self.machine = ServerNonInvite(self.wire, self.home, "key", flow)
        else:
            more = (lambda response: b"ACK",) if kind is ClientInvite else ()
            self.machine = kind(
                self.wire, self.home, "key", flow, b"request",
                lambda response, now: self.told.append(response.status),
                lambda now, status: self.told.append(("failed", status)),
                *more, 0.0,
            )  # fmt: skip

    def sends(self, seconds=100.0):
        """(when, what) of all that is sent till then."""
        sent = [(self.now, data) for _, data in self.wire.to_send()]
        until = self.now + seconds
        while (when := self.wire.next_timer()) is not None and when <= until:
            self.now = when
            self.wire.tick(when)
            sent += [(when, data) for _, data in self.wire.to_send()]
        self.now = until
        return sent

    def sent(self):
        return [data for _, data in self.wire.to_send()]

    def receive(self, status):
        self.machine.receive(Response(status, ""), self.now)

    @property
    def is_over(self):
        return not self.home and self.wire.next_timer() is None


def times(sent):
    return [when for when, _ in sent]


def test_an_invite_is_repeated_at_doubling_times_and_given_up_after_64_t1():
    bench = Bench(ClientInvite)
    assert times(bench.sends()) == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bench.told == [("failed", 408)]
    assert bench.is_over


def test_another_request_is_repeated_at_most_every_4_seconds():
    bench = Bench(ClientNonInvite)
    assert times(bench.sends()) == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.told == [("failed", 408)]
    assert bench.is_over


def test_a_provisional_answer_slows_another_request_down_to_4_seconds():
    bench = Bench(ClientNonInvite)
    bench.receive(100)
    assert times(bench.sends()) == [0, 0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert bench.told == [("failed", 408)]


@pytest.mark.parametrize("kind", [ClientInvite, ClientNonInvite])
def test_on_a_connection_nothing_is_repeated_but_the_wait_is_as_long(kind):
    bench = Bench(kind, TCP)
    assert times(bench.sends(31.9)) == [0]
    assert bench.told == []
    bench.sends(0.2)
    assert bench.told == [("failed", 408)]


def test_a_provisional_answer_ends_the_repetition_of_an_invite_for_good():
    bench = Bench(ClientInvite)
    bench.receive(180)
    bench.receive(180)
    assert times(bench.sends(1000)) == [0]
    assert bench.told == [180, 180]
    assert bench.home


def test_a_busy_is_acked_each_time_it_arrives_and_told_once():
    bench = Bench(ClientInvite)
    bench.sent()
    for _ in range(3):
        bench.receive(486)
        assert bench.sent() == [b"ACK"]
    assert bench.told == [486]
    assert bench.sends(31.9) == [] and bench.home  # timer D
    bench.sends(0.2)
    assert bench.is_over


def test_on_a_connection_a_refused_invite_is_over_at_once():
    bench = Bench(ClientInvite, TCP)
    bench.receive(486)
    assert bench.is_over


def test_every_2xx_is_told_for_64_t1_since_forks_answer_more_than_once():
    bench = Bench(ClientInvite)
    bench.receive(200)
    bench.sends(31)
    bench.receive(200)
    assert bench.told == [200, 200]
    bench.receive(486)
    bench.receive(180)
    assert bench.told == [200, 200]
    bench.sends(1.1)  # timer M
    assert bench.is_over


def test_a_final_answer_to_another_request_is_told_once_and_its_copies_are_absorbed_for_5_seconds():
    bench = Bench(ClientNonInvite)
    bench.receive(200)
    bench.receive(200)
    assert bench.told == [200]
    bench.sends(4.9)
    assert bench.home
    bench.sends(0.2)  # timer K
    assert bench.is_over


def test_after_a_cancel_the_final_answer_is_waited_for_64_t1():
    bench = Bench(ClientInvite)
    bench.receive(180)
    bench.sends(50)
    bench.machine.canceled(bench.now)
    bench.sends(31.9)
    assert bench.told == [180]
    bench.sends(0.2)
    assert bench.told == [180, ("failed", 408)]
    assert bench.is_over


@pytest.mark.parametrize("kind", [ClientInvite, ClientNonInvite])
def test_a_lost_connection_is_told_at_once_and_only_while_it_matters(kind):
    bench = Bench(kind, TCP)
    bench.machine.fail(503, 1.0)
    assert bench.told == [("failed", 503)] and bench.is_over
    bench.machine.fail(503, 1.0)
    assert bench.told == [("failed", 503)]


def test_a_refusal_is_repeated_until_the_ack_comes():
    bench = Bench(ServerInvite)
    bench.machine.respond(486, b"486", 0.0)
    assert times(bench.sends(8)) == [0, 0.5, 1.5, 3.5, 7.5]
    bench.machine.acknowledge(8.0)
    assert bench.sends(4.9) == [] and bench.home  # timer I
    bench.machine.receive_again(bench.now)
    assert bench.sent() == []
    bench.sends(0.2)
    assert bench.is_over


def test_a_refusal_that_nobody_acknowledges_is_given_up_after_64_t1():
    bench = Bench(ServerInvite)
    bench.machine.respond(486, b"486", 0.0)
    sent = times(bench.sends())
    assert sent == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.is_over


def test_on_a_connection_a_refusal_is_said_once_and_its_ack_ends_it():
    bench = Bench(ServerInvite, TCP)
    bench.machine.respond(486, b"486", 0.0)
    assert times(bench.sends(30)) == [0]
    bench.machine.acknowledge(30.0)
    assert bench.is_over


def test_trying_is_said_only_after_200_ms_of_silence_or_to_an_impatient_peer():
    bench = Bench(ServerInvite)
    bench.machine.try_soon(b"100", 0.0)
    bench.machine.respond(180, b"180", 0.1)
    assert bench.sends(10) == [(0.0, b"180")]
    bench = Bench(ServerInvite)
    bench.machine.try_soon(b"100", 0.0)
    assert bench.sends(10) == [(0.2, b"100")]
    bench = Bench(ServerInvite)
    bench.machine.try_soon(b"100", 0.0)
    bench.machine.receive_again(0.1)
    assert bench.sent() == [b"100"]


def test_a_repeated_invite_gets_the_last_answer_again_until_it_was_accepted():
    bench = Bench(ServerInvite)
    bench.machine.respond(180, b"180", 0.0)
    bench.machine.receive_again(0.0)
    assert bench.sent() == [b"180", b"180"]
    bench.machine.respond(200, b"200", 0.0)
    bench.machine.receive_again(0.0)
    assert bench.sent() == [b"200"]
    bench.machine.respond(200, b"200", 1.0)
    assert bench.sent() == [b"200"]
    bench.sends(31.9)
    assert bench.home
    bench.sends(0.2)  # timer L
    assert bench.is_over


def test_a_repeated_request_gets_the_same_final_answer_for_64_t1():
    bench = Bench(ServerNonInvite)
    bench.machine.receive_again(0.0)
    assert bench.sent() == []
    bench.machine.respond(200, b"200", 0.0)
    bench.machine.receive_again(0.0)
    bench.machine.respond(500, b"500", 0.0)
    assert bench.sent() == [b"200", b"200"]
    bench.sends(31.9)
    assert bench.home
    bench.sends(0.2)  # timer J
    assert bench.is_over


def test_on_a_connection_an_answered_request_is_over_at_once():
    bench = Bench(ServerNonInvite, TCP)
    bench.machine.respond(200, b"200", 0.0)
    assert bench.is_over


@given(
    kind=st.sampled_from([ClientInvite, ClientNonInvite]),
    flow=st.sampled_from([UDP, TCP]),
    steps=st.lists(st.sampled_from([100, 180, 200, 302, 404, 503, 603]) | st.floats(0, 20), max_size=12),
)
def test_a_client_transaction_tells_one_final_thing_and_ends_whatever_comes(kind, flow, steps):
    bench = Bench(kind, flow)
    for step in steps:
        if isinstance(step, float):
            bench.sends(step)
        elif "key" in bench.home:
            bench.receive(step)
    if kind is ClientInvite:
        bench.machine.canceled(bench.now)
    bench.sends(100)
    assert bench.is_over
    final = [told for told in bench.told if isinstance(told, tuple) or told >= 300]
    accepted = [told for told in bench.told if not isinstance(told, tuple) and 200 <= told < 300]
    assert len(final) + bool(accepted) == 1
    assert kind is ClientInvite or len(accepted) <= 1


@given(
    kind=st.sampled_from([ServerInvite, ServerNonInvite]),
    flow=st.sampled_from([UDP, TCP]),
    steps=st.lists(st.sampled_from([100, 180, 200, 404, "again", "ack"]) | st.floats(0, 20), max_size=12),
)
def test_a_server_transaction_ends_after_its_final_answer_whatever_comes(kind, flow, steps):
    bench = Bench(kind, flow)
    for step in [*steps, 500]:
        if isinstance(step, float):
            bench.sends(step)
        elif "key" not in bench.home:
            break
        elif step == "again":
            bench.machine.receive_again(bench.now)
        elif step == "ack":
            if kind is ServerInvite:
                bench.machine.acknowledge(bench.now)
        else:
            bench.machine.respond(step, b"%d" % step, bench.now)
    finals = {data for _, data in bench.sends(100) if data[:1] not in b"1"}
    assert len(finals) <= 1
    assert bench.is_over


@given(st.lists(st.tuples(st.floats(0, 1000), st.booleans()), min_size=1, max_size=50))
def test_alarms_ring_in_their_order_and_cancelled_ones_never(plan):
    wire = Wire()
    rung = []
    for number, (when, is_cancelled) in enumerate(plan):
        alarm = wire.at(when, lambda now, number=number: rung.append(number))
        if is_cancelled:
            wire.cancel(alarm)
            wire.cancel(alarm)
    wire.tick(1000.0)
    kept = [number for number, (_, is_cancelled) in enumerate(plan) if not is_cancelled]
    assert rung == sorted(kept, key=lambda number: plan[number][0])
    assert wire.next_timer() is None


def test_many_cancelled_alarms_do_not_stay_in_memory():
    wire = Wire()
    last = wire.at(5000.0, lambda now: None)
    for number in range(5000):
        wire.cancel(wire.at(1e6 + number, lambda now: None))
    assert len(wire._alarms) < 2100
    assert wire.next_timer() == 5000.0
    wire.cancel(last)
    assert wire.next_timer() is None
