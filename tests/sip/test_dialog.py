"""Calls between two stacks: answered, changed, refreshed and ended, over a line that loses and doubles."""

from random import Random

import pytest

from cti.sip.dialog import Dialog, next_hop
from cti.sip.events import (
    Answered,
    Canceled,
    Ended,
    IncomingCall,
    OfferAnswered,
    Offered,
    OfferRefused,
    ReferRequested,
    Refused,
    Ringing,
)
from cti.sip.flow import Flow
from tests.sip.line import ANSWER, HELD, SDP, End, Line

BOTH = pytest.mark.parametrize("transport", ["UDP", "TCP"])
FAR = Flow("UDP", "203.0.113.7", 40000)


def ends(end):
    return [(event.cause, event.by_peer) for event in end.of(Ended)]


@BOTH
def test_a_call_rings_is_answered_and_ends(transport):
    line = Line(transport)
    ours = line.call()
    line.run()
    theirs = line.b.last(IncomingCall).session
    assert theirs.remote_sdp == SDP
    theirs.ring(line.now)
    line.run()
    assert line.a.last(Ringing).status == 180 and ours.state == theirs.state == "ringing"
    theirs.accept(ANSWER, line.now)
    assert theirs.state == "answered"
    line.run()
    assert line.a.last(Answered).sdp == ANSWER == ours.remote_sdp
    assert ours.state == theirs.state == "up"
    assert (ours.call_id, ours.local_tag, ours.remote_tag) == (
        theirs.call_id,
        theirs.remote_tag,
        theirs.local_tag,
    )
    ours.hang_up(line.now)
    line.run()
    assert ends(line.a) == [("normal", False)] and ends(line.b) == [("normal", True)]
    assert line.starts() == ["INVITE", "180", "200", "ACK", "BYE", "200"]
    line.wait(40)
    assert line.a.is_idle and line.b.is_idle


@BOTH
def test_the_called_one_may_hang_up_too(transport):
    line = Line(transport)
    _, theirs = line.established()
    theirs.hang_up(line.now)
    theirs.hang_up(line.now)
    line.run()
    assert ends(line.a) == [("normal", True)] and ends(line.b) == [("normal", False)]
    line.wait(40)
    assert line.a.is_idle and line.b.is_idle


@pytest.mark.parametrize("seed", range(20))
def test_a_call_survives_the_loss_of_four_packets_in_ten(seed):
    line = Line()
    dice = Random(seed)
    line.loses = lambda message: dice.random() < 0.4
    line.answers[IncomingCall] = lambda end, event: event.session.accept(ANSWER, line.now)
    ours = line.call()
    line.run()
    line.wait(31)
    assert ours.state == "up" and line.b.last(IncomingCall).session.state == "up"
    ours.hang_up(line.now)
    line.wait(80)
    assert ends(line.a) == [("normal", False)] and ends(line.b) == [("normal", True)]
    assert line.a.is_idle and line.b.is_idle


@BOTH
def test_every_packet_twice_changes_nothing(transport):
    line = Line(transport)
    line.doubles = lambda message: True
    ours, theirs = line.established()
    ours.reinvite(HELD, line.now)
    line.run()
    assert len(line.b.of(Offered)) == 1
    theirs.accept_offer(ANSWER, line.now)
    line.run()
    assert len(line.a.of(OfferAnswered)) == 1
    theirs.hang_up(line.now)
    line.run()
    assert len(line.b.of(IncomingCall)) == len(line.a.of(Answered)) == 1
    assert ends(line.a) == [("normal", True)] and ends(line.b) == [("normal", False)]
    line.wait(80)
    assert line.a.is_idle and line.b.is_idle


def test_a_2xx_is_repeated_until_its_ack_arrives():
    line = Line()
    line.loses = lambda message: message.start_line.startswith("ACK") and line.now < 1005
    line.call()
    line.run()
    line.b.last(IncomingCall).session.accept(ANSWER, line.now)
    line.run()
    line.wait(20)
    times = [when - 1000 for when, _, message in line.sent if message.start_line == "SIP/2.0 200 OK"]
    assert times == [0, 0.5, 1.5, 3.5, 7.5]
    assert line.b.last(IncomingCall).session.state == "up"


def test_a_2xx_that_is_never_confirmed_ends_the_call_with_a_bye():
    line = Line()
    line.loses = lambda message: message.start_line.startswith("ACK")
    line.call()
    line.run()
    line.b.last(IncomingCall).session.accept(ANSWER, line.now)
    line.run()
    line.wait(80)
    assert ends(line.b) == [("no_ack", True)] and ends(line.a) == [("normal", True)]
    assert line.a.is_idle and line.b.is_idle


def test_hanging_up_before_the_ack_waits_for_it_with_the_bye():
    line = Line()
    line.loses = lambda message: message.start_line.startswith("ACK") and line.now < 1001
    line.call()
    line.run()
    theirs = line.b.last(IncomingCall).session
    theirs.accept(ANSWER, line.now)
    line.run()
    theirs.hang_up(line.now)
    line.run()
    assert ends(line.b) == [("normal", False)] and "BYE" not in line.starts(line.b)
    line.wait(2)
    assert "BYE" in line.starts(line.b) and ends(line.a) == [("normal", True)]


@BOTH
def test_a_call_given_up_while_it_rings_is_cancelled(transport):
    line = Line(transport)
    ours = line.call()
    line.run()
    line.b.last(IncomingCall).session.ring(line.now)
    line.run()
    ours.hang_up(line.now, 'SIP;cause=200;text="Call completed elsewhere"')
    line.run()
    assert line.starts() == ["INVITE", "180", "CANCEL", "200", "487", "ACK"]
    assert len(line.b.of(Canceled)) == 1 and ends(line.b) == [("canceled", True)]
    assert line.b.last(Ended).reason == 'SIP;cause=200;text="Call completed elsewhere"'
    assert len(line.a.of(Ended)) == 1 and not line.a.of(Refused)
    line.wait(40)
    assert line.a.is_idle and line.b.is_idle


def test_a_call_given_up_before_any_answer_is_cancelled_only_after_one():
    line = Line()
    line.loses = lambda message: line.now < 1003
    ours = line.call()
    line.run()
    ours.hang_up(line.now)
    line.run()
    assert len(line.a.of(Ended)) == 1
    line.wait(3)
    assert set(line.starts()) == {"INVITE"}
    line.wait(1)
    assert "CANCEL" in line.starts() and ends(line.b) == [("canceled", True)]
    line.wait(80)
    assert line.a.is_idle and line.b.is_idle


def test_a_call_given_up_to_nobody_is_over_after_64_t1():
    line = Line()
    line.loses = lambda message: True
    ours = line.call()
    line.run()
    ours.hang_up(line.now)
    line.wait(33)
    assert len(line.a.of(Ended)) == 1 and line.a.is_idle
    assert "CANCEL" not in line.starts()


def test_a_cancel_that_crosses_the_200_becomes_ack_and_bye():
    line = Line()
    ours = line.call()
    line.run()
    theirs = line.b.last(IncomingCall).session
    theirs.ring(line.now)
    line.run()
    theirs.accept(ANSWER, line.now)  # the 200 is on its way …
    ours.hang_up(line.now)  # … and so is the CANCEL
    line.run()
    assert not line.a.of(Answered) and ends(line.a) == [("normal", False)]
    assert ends(line.b) == [("normal", True)]
    assert line.starts(line.a) == ["INVITE", "CANCEL", "ACK", "BYE"]
    line.wait(80)
    assert line.a.is_idle and line.b.is_idle


def test_a_call_to_nobody_is_refused_with_408():
    line = Line()
    line.loses = lambda message: True
    ours = line.call()
    line.run()
    line.wait(33)
    refused = line.a.last(Refused)
    assert (refused.session, refused.status) == (ours, 408)
    assert ends(line.a) == [("timeout", True)] and line.a.is_idle


@BOTH
def test_a_refusal_is_told_with_its_status(transport):
    line = Line(transport)
    line.answers[IncomingCall] = lambda end, event: event.session.reject(
        486, line.now, "At Lunch", [("Retry-After", "30 (soon)")]
    )
    line.call()
    line.run()
    refused = line.a.last(Refused)
    assert (refused.status, refused.reason, refused.retry_after) == (486, "At Lunch", 30)
    assert ends(line.a) == [("refused", True)] and ends(line.b) == [("refused", False)]
    line.wait(40)
    assert line.a.is_idle and line.b.is_idle


@BOTH
def test_media_is_changed_from_both_sides_in_turn(transport):
    line = Line(transport)
    ours, theirs = line.established()
    for one, other, end, far in ((ours, theirs, line.a, line.b), (theirs, ours, line.b, line.a)):
        one.reinvite(HELD, line.now)
        line.run()
        assert far.last(Offered).session is other and far.last(Offered).sdp == HELD
        other.accept_offer(ANSWER, line.now)
        line.run()
        assert end.last(OfferAnswered).session is one and one.remote_sdp == ANSWER
        assert other.remote_sdp == HELD and other.local_sdp == ANSWER


def test_a_refused_offer_leaves_the_media_as_it_was():
    line = Line()
    ours, theirs = line.established()
    ours.reinvite(HELD, line.now)
    line.run()
    theirs.refuse_offer(488, line.now)
    line.run()
    assert line.a.last(OfferRefused).status == 488
    assert (ours.local_sdp, ours.remote_sdp) == (SDP, ANSWER) and (theirs.local_sdp, theirs.remote_sdp) == (
        ANSWER,
        SDP,
    )
    assert ours.state == theirs.state == "up"


def test_the_same_offer_again_is_answered_without_asking():
    line = Line()
    ours, _ = line.established()
    ours.reinvite(SDP, line.now)
    line.run()
    assert not line.b.of(Offered) and line.a.last(OfferAnswered).sdp == ANSWER


def test_offers_that_cross_are_refused_with_491_and_made_again_one_after_the_other():
    line = Line()
    ours, theirs = line.established()
    line.answers[Offered] = lambda end, event: event.session.accept_offer(ANSWER, line.now)
    ours.reinvite(HELD, line.now)
    theirs.reinvite(HELD.replace("sendonly", "inactive"), line.now)
    line.run()
    assert line.starts().count("491") == 2 and not line.a.of(OfferAnswered)
    line.wait(10)
    assert len(line.a.of(OfferAnswered)) == len(line.b.of(OfferAnswered)) == 1
    assert len(line.a.of(Offered)) == len(line.b.of(Offered)) == 1
    assert not line.a.of(OfferRefused) and not line.b.of(OfferRefused)


def test_of_offers_made_while_one_is_under_way_only_the_last_follows():
    line = Line()
    ours, _ = line.established()
    ours.reinvite(HELD, line.now)
    ours.reinvite(HELD.replace("20000", "20002"), line.now)
    ours.reinvite(HELD.replace("20000", "20004"), line.now)
    line.answers[Offered] = lambda end, event: event.session.accept_offer(ANSWER, line.now)
    line.run()
    assert [event.sdp for event in line.b.of(Offered)] == [HELD, HELD.replace("20000", "20004")]


def test_hanging_up_during_an_offer_ends_both():
    line = Line()
    ours, theirs = line.established()
    ours.reinvite(HELD, line.now)
    line.run()
    ours.hang_up(line.now)
    line.run()
    theirs.accept_offer(ANSWER, line.now)
    line.run()
    assert ends(line.a) == [("normal", False)] and ends(line.b) == [("normal", True)]
    line.wait(80)
    assert line.a.is_idle and line.b.is_idle


def test_an_offer_that_the_peer_never_answers_does_not_hold_the_stack_for_ever():
    line = Line()
    ours, _ = line.established()
    ours.reinvite(HELD, line.now)
    line.run()
    line.wait(1)
    line.loses = lambda message: message.start_line.startswith("SIP/2.0 487")
    ours.hang_up(line.now)
    line.wait(120)
    assert line.a.is_idle and line.b.is_idle


def test_an_offer_into_the_void_ends_the_call():
    line = Line()
    ours, _ = line.established()
    line.loses = lambda message: True
    ours.reinvite(HELD, line.now)
    line.wait(33)
    assert ends(line.a) == [("timeout", True)]
    line.wait(80)
    assert line.a.is_idle


def test_the_caller_refreshes_the_session_at_half_its_interval_with_update():
    line = Line()
    ours, theirs = line.established()
    line.wait(3000)
    updates = [when - 1000 for when, _, message in line.sent if message.start_line.startswith("UPDATE")]
    assert updates == [900, 1800, 2700]
    assert ours.state == theirs.state == "up"


def test_a_session_that_is_not_refreshed_ends():
    line = Line()
    line.established()
    line.loses = lambda message: True
    line.wait(1800 - 32 + 1)
    assert ends(line.b) == [("session_expired", False)]
    assert len(line.a.of(Ended)) == 1  # its refresh went unanswered
    line.wait(200)
    assert line.a.is_idle and line.b.is_idle


def test_a_refer_is_handed_over_and_its_progress_told():
    line = Line()
    ours, theirs = line.established()
    ours._ask(
        "REFER", "Refer-To: <sip:1002@192.0.2.1?Subject=x>\r\nReferred-By: <sip:ana@192.0.2.1>\r\n", line.now
    )
    line.run()
    asked = line.b.last(ReferRequested)
    assert (asked.target, asked.referred_by) == ("sip:1002@192.0.2.1?Subject=x", "<sip:ana@192.0.2.1>")
    theirs.accept_refer(line.now)
    theirs.notify_refer(200, line.now)
    line.run()
    notifies = [m for _, end, m in line.sent if m.start_line.startswith("NOTIFY")]
    assert [n.body for n in notifies] == [b"SIP/2.0 100 Trying\r\n", b"SIP/2.0 200 OK\r\n"]
    assert notifies[1].get("subscription-state").startswith("terminated")


def test_a_refer_nobody_answered_is_answered_when_the_call_ends():
    line = Line()
    ours, theirs = line.established()
    ours._ask("REFER", "Refer-To: <sip:1002@192.0.2.1>\r\n", line.now)
    line.run()
    theirs.hang_up(line.now)
    line.wait(80)
    assert "487" in line.starts(line.b)
    assert line.a.is_idle and line.b.is_idle


# Routes


def dialog(routes, target="sip:bob@192.0.2.7", learned=FAR):
    made = Dialog(
        End("x", "192.0.2.1").stack._core,
        "id",
        "<sip:a@b>;tag=1",
        "1",
        "<sip:c@d>",
        "2",
        target,
        routes,
        learned,
    )
    made.aim()
    return made


def test_a_request_follows_loose_routes_to_the_first_of_them():
    written = dialog(["<sip:192.0.2.50:5070;lr>", "<sip:p2.example.com;lr>"]).request("BYE")
    assert written.flow == Flow("UDP", "192.0.2.50", 5070)
    text = written.data.decode()
    assert text.startswith("BYE sip:bob@192.0.2.7 SIP/2.0\r\n")
    assert "Route: <sip:192.0.2.50:5070;lr>, <sip:p2.example.com;lr>\r\n" in text


def test_a_strict_router_gets_its_own_address_as_request_uri_and_the_target_last():
    text = dialog(["<sip:192.0.2.50>", "<sip:p2.example.com;lr>"]).request("BYE").data.decode()
    assert text.startswith("BYE sip:192.0.2.50 SIP/2.0\r\n")
    assert "Route: <sip:p2.example.com;lr>, <sip:bob@192.0.2.7>\r\n" in text


@pytest.mark.parametrize(
    "uri, learned, hop",
    [
        ("sip:bob@192.0.2.7", FAR, Flow("UDP", "192.0.2.7", 5060)),
        ("sip:bob@192.0.2.7:5080;transport=tcp", FAR, Flow("TCP", "192.0.2.7", 5080)),
        ("sip:bob@192.0.2.7;transport=tls", FAR, Flow("TLS", "192.0.2.7", 5061)),
        ("sip:bob@[2001:db8::1]:5080", FAR, Flow("UDP", "2001:db8::1", 5080)),
        ("sip:bob@203.0.113.7:5080", FAR, Flow("UDP", "203.0.113.7", 5080)),
        ("sip:bob@phone.example.com", FAR, FAR),  # names are not looked up
        ("sip:x@a1b2.invalid;transport=ws", FAR, FAR),
        ("sip:bob@192.168.1.5:5060", Flow("UDP", "198.51.100.7", 999), Flow("UDP", "192.168.1.5", 5060)),
        ("sip:bob@192.168.1.5:5060", Flow("UDP", "8.8.8.8", 999), Flow("UDP", "8.8.8.8", 999)),  # NAT
        ("sip:bob@192.0.2.7", Flow("WS", "8.8.8.8", 9, 4), Flow("WS", "8.8.8.8", 9, 4)),
        ("no uri at all", FAR, FAR),
    ],
)  # fmt: skip
def test_the_next_hop_is_the_contact_where_it_can_be_reached_and_else_the_way_it_came(uri, learned, hop):
    assert next_hop(uri, learned) == hop
