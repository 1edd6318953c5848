"""The stack against a peer whose every packet is written by hand, also wrongly, and against chance."""

import gc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cti.sip.digest import Account, Challenger, Throttle, ha1, parse_digest, respond
from cti.sip.events import (
    Answered,
    Canceled,
    Digit,
    Ended,
    IncomingCall,
    OfferAnswered,
    Offered,
    OptionsAnswered,
    Refused,
    Ringing,
)
from cti.sip.flow import Flow
from cti.sip.message import Request, Response, parse
from cti.sip.registrar import Registered, Registrar, Unregistered
from cti.sip.session import Session
from tests.sip.line import ANSWER, HELD, SDP, Peer, tokens


def statuses(messages):
    return [m.status if isinstance(m, Response) else m.method for m in messages]


def up(peer, *headers, **fields):
    """A call from the peer that was answered and confirmed."""
    session = peer.calls(*headers, **fields)
    session.accept(ANSWER, peer.now)
    [ok] = peer.heard()
    peer.ask("ACK", tag=session.local_tag)
    assert session.state == "up"
    return session, ok


def called_and_up(peer, *headers, **options):
    session, invite = peer.called(**options)
    heard = peer.answer(invite, 200, "Contact: <sip:bob@192.0.2.9:5062>", *headers, body=ANSWER)
    assert statuses(heard) == ["ACK"] and session.state == "up"
    return session, invite


# Outside of calls


def test_options_are_answered_with_what_we_can():
    [ok] = Peer().ask("OPTIONS")
    assert ok.status == 200 and "INVITE" in ok.get("allow") and ok.get("accept") == "application/sdp"
    assert ok.to.tag


@pytest.mark.parametrize(
    "method, status",
    [("SUBSCRIBE", 405), ("MESSAGE", 405), ("PUBLISH", 405), ("DANCE", 501), ("BYE", 481), ("INFO", 481),
     ("UPDATE", 481), ("PRACK", 481), ("CANCEL", 481), ("REFER", 403), ("NOTIFY", 481), ("REGISTER", 405)],
)  # fmt: skip
def test_what_is_not_for_us_is_refused_without_keeping_anything(method, status):
    peer = Peer()
    assert statuses(peer.ask(method)) == [status]
    assert peer.end.is_idle and not peer.end.told


def test_an_unknown_extension_is_named_with_420():
    [refused] = Peer().ask("INVITE", "Require: 100rel, warp", body=SDP)
    assert refused.status == 420 and refused.get("unsupported") == "warp"


@pytest.mark.parametrize(
    "fields, status",
    [
        ({"Max_Forwards": "0"}, 483),
        ({"uri": "mailto:ana@example.com"}, 416),
        ({"Content_Type": "text/plain"}, 415),
        ({"Session_Expires": "30", "Supported": "timer"}, 422),
        ({"Contact": "<<>"}, 400),
        ({"From": "nobody at all"}, 400),
        ({"CSeq": "1 BYE"}, 400),
        ({"Record_Route": ",<"}, 400),
    ],
)
def test_an_invite_that_cannot_be_served_is_refused_and_forgotten(fields, status):
    peer = Peer()
    assert statuses(peer.ask("INVITE", body=SDP, **fields)) == [status]
    assert peer.end.is_idle and not peer.end.told


def test_an_invite_that_comes_by_two_ways_is_one_call():
    peer = Peer()
    peer.calls()
    assert statuses(peer.ask("INVITE", body=SDP)) == [482]
    assert len(peer.end.of(IncomingCall)) == 1


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"\0" * 40, b"\x00\x01\x00\x00!\x12\xa4B", b"INVITE", b"\xff" * 900]
)
def test_what_is_not_sip_is_dropped(data):
    peer = Peer()
    assert peer.send(data) == [] and peer.end.is_idle


def test_a_response_nobody_waits_for_is_dropped():
    peer = Peer()
    _, invite = peer.called()
    stray = invite.response(200, to_tag="x")
    stray.set("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKother")
    assert peer.send(stray.encode()) == []


@pytest.mark.parametrize("transport", ["UDP", "TCP", "WS"])
def test_answers_go_back_where_the_request_came_from(transport):
    peer = Peer(transport, 0 if transport == "UDP" else 5)
    peer.stack.receive(
        peer.request("OPTIONS", Via=f"SIP/2.0/{transport} a1b2.invalid;branch=z9hG4bK1;rport"), peer.flow, 0.0
    )
    [(flow, data)] = peer.stack.to_send()
    assert flow == peer.flow
    assert (
        f"Via: SIP/2.0/{transport} a1b2.invalid;branch=z9hG4bK1;rport=5062;received=192.0.2.9".encode()
        in data
    )


def test_without_rport_answers_go_to_the_port_in_via():
    peer = Peer()
    for via, port in (
        ("SIP/2.0/UDP 10.0.0.1:5099;branch=z9hG4bK1", 5099),
        ("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2", 5060),
    ):
        peer.stack.receive(peer.request("OPTIONS", Via=via), peer.flow, 0.0)
        [(flow, data)] = peer.stack.to_send()
        assert flow == Flow("UDP", "192.0.2.9", port) and b"received=192.0.2.9" in data


def test_options_of_ours_tell_whether_anybody_is_there():
    peer = Peer()
    peer.stack.options("sip:192.0.2.9:5062", peer.flow, peer.now)
    [options] = peer.heard()
    peer.answer(options, 200)
    peer.stack.options("sip:192.0.2.9:5062", peer.flow, peer.now)
    peer.wait(40)
    assert [event.status for event in peer.end.of(OptionsAnswered)] == [200, None]
    assert peer.end.is_idle


# Calls from the peer


def test_trying_is_said_when_nobody_answers_at_once():
    peer = Peer()
    peer.calls()
    [(when, trying)] = peer.wait(5)
    assert (when, trying.status) == (1000.2, 100)


def test_a_repeated_invite_is_the_same_call_and_gets_the_same_answer():
    peer = Peer()
    session = peer.calls()
    session.ring(peer.now)
    peer.heard()
    assert statuses(peer.ask("INVITE", branch="z9hG4bKinvite", body=SDP)) == [180]
    session.reject(404, peer.now)
    [first] = peer.heard()
    [again] = peer.ask("INVITE", branch="z9hG4bKinvite", body=SDP)
    assert first == again and first.status == 404
    assert len(peer.end.of(IncomingCall)) == 1 and peer.ended(session) == [("refused", False)]
    peer.ask("ACK", branch="z9hG4bKinvite", tag=session.local_tag)
    peer.wait(40)
    assert peer.end.is_idle


def test_a_refused_call_may_be_tried_again_with_the_same_number():
    peer = Peer()
    session = peer.calls()
    session.reject(401, peer.now, headers=[("WWW-Authenticate", "Digest x")])
    [challenged] = peer.heard()
    assert challenged.get("www-authenticate") == "Digest x"
    peer.ask("ACK", branch="z9hG4bKinvite", tag=session.local_tag)
    peer.ask("INVITE", branch="z9hG4bKsecond", body=SDP)
    assert len(peer.end.of(IncomingCall)) == 2
    peer.wait(10)  # the first transaction is over
    assert statuses(peer.ask("INVITE", branch="z9hG4bKthird", body=SDP)) == [482]


def test_all_calls_can_be_hung_up_at_once():
    peer = Peer()
    sessions = [peer.calls(), called_and_up(peer)[0], peer.called()[0]]
    peer.stack.hang_up(peer.now, "stopping")
    assert statuses(peer.heard()) == [487, "BYE"]  # and a CANCEL when the third has answered anything
    assert [peer.ended(session) for session in sessions] == [[("stopping", False)]] * 3


def test_an_old_peer_without_magic_branches_is_served():
    peer = Peer()
    session = peer.calls(Via="SIP/2.0/UDP 192.0.2.9:5062;branch=1")
    assert peer.ask("INVITE", body=SDP, Via="SIP/2.0/UDP 192.0.2.9:5062;branch=1") != []
    assert len(peer.end.of(IncomingCall)) == 1
    assert statuses(peer.ask("CANCEL", Via="SIP/2.0/UDP 192.0.2.9:5062;branch=1")) == [200, 487]
    assert peer.ended(session) == [("canceled", True)]


def test_record_routes_come_back_in_answers_and_are_followed_in_requests():
    peer = Peer()
    session = peer.calls("Record-Route: <sip:192.0.2.9:5099;lr>, <sip:192.0.2.8;lr>")
    session.accept(ANSWER, peer.now)
    [ok] = peer.heard()
    assert ok.route_set == ["<sip:192.0.2.8;lr>", "<sip:192.0.2.9:5099;lr>"]
    peer.ask("ACK", tag=session.local_tag)
    session.hang_up(peer.now)
    [(flow, data)] = peer.stack.to_send()
    assert flow.port == 5099 and b"Route: <sip:192.0.2.9:5099;lr>, <sip:192.0.2.8;lr>\r\n" in data


def test_a_cancel_ends_a_ringing_call_and_its_copies_are_answered():
    peer = Peer()
    session = peer.calls()
    session.ring(peer.now)
    peer.heard()
    cancel = peer.request("CANCEL", branch="z9hG4bKinvite")
    assert statuses(peer.send(cancel)) == [200, 487]
    assert statuses(peer.send(cancel)) == [200]
    assert [type(event) for event in peer.end.told] == [IncomingCall, Canceled, Ended]
    session.accept(ANSWER, peer.now)
    session.reject(486, peer.now)
    session.hang_up(peer.now)
    assert peer.heard() == [] and session.state == "over"
    peer.ask("ACK", branch="z9hG4bKinvite", tag=session.local_tag)
    peer.wait(40)
    assert peer.end.is_idle


def test_a_cancel_after_the_answer_changes_nothing():
    peer = Peer()
    session = peer.calls()
    session.accept(ANSWER, peer.now)
    peer.heard()
    assert statuses(peer.ask("CANCEL", branch="z9hG4bKinvite")) == [200]
    peer.ask("ACK", tag=session.local_tag)
    assert session.state == "up"


def test_the_ack_of_a_2xx_may_carry_the_branch_of_the_invite():
    peer = Peer()
    session = peer.calls()
    session.accept(ANSWER, peer.now)
    peer.ask("ACK", branch="z9hG4bKinvite", tag=session.local_tag)
    assert session.state == "up"


@pytest.mark.parametrize("contact", ["<<>", "", "*", "sip:", "<tel:5>", "\x01", '"'])
def test_a_bad_contact_in_ack_and_bye_does_no_harm(contact):
    peer = Peer()
    session = peer.calls()
    session.accept(ANSWER, peer.now)
    peer.ask("ACK", tag=session.local_tag, Contact=contact)
    assert session.state == "up"
    assert statuses(peer.ask("BYE", tag=session.local_tag, cseq=2, Contact=contact))[-1] == 200
    assert peer.ended(session) == [("normal", True)]


def test_a_bye_while_it_rings_ends_the_invite_too():
    peer = Peer()
    session = peer.calls()
    session.ring(peer.now)
    peer.heard()
    assert sorted(statuses(peer.ask("BYE", tag=session.local_tag, cseq=2))) == [200, 487]
    assert peer.ended(session) == [("normal", True)]


def test_a_bye_tells_its_reason():
    peer = Peer()
    session, _ = up(peer)
    peer.ask("BYE", 'Reason: Q.850;cause=16;text="bye"', tag=session.local_tag, cseq=2)
    assert peer.end.of(Ended)[0].reason == 'Q.850;cause=16;text="bye"'


def test_a_request_of_another_dialog_does_not_touch_the_call():
    peer = Peer()
    session, _ = up(peer)
    assert statuses(peer.ask("BYE", tag=session.local_tag, cseq=2, Call_ID="other")) == [481]
    assert statuses(peer.ask("BYE", tag=session.local_tag, cseq=2, From="<sip:x@y>;tag=other")) == [481]
    assert statuses(peer.ask("BYE", tag="other", cseq=2)) == [481]
    assert session.state == "up"


def test_a_request_that_was_overtaken_is_refused_with_500():
    peer = Peer()
    session, _ = up(peer)
    assert statuses(peer.ask("INFO", tag=session.local_tag, cseq=7)) == [200]
    assert statuses(peer.ask("BYE", tag=session.local_tag, cseq=6)) == [500]
    assert session.state == "up"


def test_an_invite_without_an_offer_gets_ours_and_answers_it_in_the_ack():
    peer = Peer()
    session = peer.calls(body="")
    assert session.remote_sdp is None
    session.accept(SDP, peer.now)
    [ok] = peer.heard()
    assert ok.body.decode() == SDP
    peer.ask("ACK", tag=session.local_tag, body=ANSWER)
    assert [event.sdp for event in peer.end.of(OfferAnswered)] == [ANSWER] and session.remote_sdp == ANSWER


def test_an_offer_inside_a_multipart_body_is_found():
    peer = Peer()
    parts = f"--b\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--b\r\nContent-Type: text/x\r\n\r\nno\r\n"
    body = f"{parts}--b--\r\n"
    session = peer.calls(body=body, Content_Type="multipart/mixed;boundary=b")
    assert session.remote_sdp == SDP


@pytest.mark.parametrize(
    "kind, body, digits",
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=250\r\n", [("5", 250)]),
        ("application/dtmf-relay", "Signal= *\r\nDuration= 100\r\n", [("*", 100)]),
        ("application/dtmf-relay", "signal=11\n", [("#", 160)]),
        ("application/dtmf", "d", [("D", 160)]),
        ("application/dtmf-relay", "Signal=hello\r\n", []),
        ("application/dtmf-relay", "\x00\xff", []),
    ],
)
def test_digits_come_by_info(kind, body, digits):
    peer = Peer()
    session, _ = up(peer)
    assert statuses(peer.ask("INFO", tag=session.local_tag, cseq=2, body=body, Content_Type=kind)) == [200]
    assert [(event.digit, event.ms) for event in peer.end.of(Digit)] == digits


def test_a_hold_is_offered_and_answered_and_confirmed():
    peer = Peer()
    session, _ = up(peer)
    assert peer.ask("INVITE", tag=session.local_tag, cseq=2, body=HELD) == []
    assert peer.end.told[-1] == Offered(session, HELD)
    session.accept_offer(ANSWER, peer.now)
    [ok] = peer.heard()
    assert (ok.status, ok.body.decode(), ok.cseq.number) == (200, ANSWER, 2)
    assert statuses(m for _, m in peer.wait(0.6)) == [200]
    too_soon = {"tag": session.local_tag, "cseq": 3, "branch": "z9hG4bKsoon"}
    assert statuses(peer.ask("INVITE", body=SDP, **too_soon)) == [500]  # ours is not confirmed
    peer.ask("ACK", **too_soon)
    peer.ask("ACK", tag=session.local_tag, cseq=2)
    assert peer.wait(31) == []
    peer.ask("INVITE", tag=session.local_tag, cseq=4, body=SDP)
    assert len(peer.end.of(Offered)) == 2


def test_a_hold_that_is_never_confirmed_ends_the_call():
    peer = Peer()
    session, _ = up(peer)
    peer.ask("INVITE", tag=session.local_tag, cseq=2, body=HELD)
    session.accept_offer(ANSWER, peer.now)
    peer.wait(100)
    assert peer.ended(session) == [("no_ack", True)] and peer.end.is_idle


def test_an_offerless_reinvite_asks_for_our_offer():
    peer = Peer()
    session, _ = up(peer)
    peer.ask("INVITE", tag=session.local_tag, cseq=2)
    assert peer.end.told[-1] == Offered(session, None)
    session.accept_offer(SDP, peer.now)
    peer.heard()
    peer.ask("ACK", tag=session.local_tag, cseq=2, body=HELD)
    assert peer.end.told[-1] == OfferAnswered(session, HELD)


def test_a_reinvite_that_is_cancelled_leaves_the_call_as_it_was():
    peer = Peer()
    session, _ = up(peer)
    peer.ask("INVITE", tag=session.local_tag, cseq=2, body=HELD, branch="z9hG4bKre")
    assert statuses(peer.ask("CANCEL", tag=session.local_tag, cseq=2, branch="z9hG4bKre")) == [200, 487]
    session.accept_offer(ANSWER, peer.now)
    assert peer.heard() == [] and session.state == "up" and session.remote_sdp == SDP


def test_an_update_without_media_refreshes_and_one_with_media_is_offered():
    peer = Peer()
    session, _ = up(peer, "Supported: timer", "Session-Expires: 600;refresher=uac")
    [ok] = peer.ask(
        "UPDATE", "Supported: timer", "Session-Expires: 600;refresher=uac", tag=session.local_tag, cseq=2
    )
    assert ok.status == 200 and ok.get("session-expires") == "600;refresher=uac"
    peer.ask("UPDATE", tag=session.local_tag, cseq=3, body=HELD)
    assert peer.end.told[-1] == Offered(session, HELD)
    session.refuse_offer(488, peer.now)
    assert statuses(peer.heard()) == [488]


def test_the_peers_session_timer_is_accepted_and_kept():
    peer = Peer()
    session, ok = up(peer, "Supported: timer", "Session-Expires: 600")
    assert (ok.get("session-expires"), ok.get("require")) == ("600;refresher=uac", "timer")
    peer.wait(560)
    assert peer.ended(session) == []
    peer.wait(10)
    assert peer.ended(session) == [("session_expired", False)]


def test_for_a_peer_without_session_timers_we_refresh_what_a_proxy_asked_for():
    peer = Peer()
    session, ok = up(peer, "Session-Expires: 600", "Allow: INVITE, BYE")
    assert (ok.get("session-expires"), ok.get("require")) == ("600;refresher=uas", None)
    [(when, reinvite), *_] = peer.wait(300.1)
    assert (when, reinvite.method, reinvite.body.decode()) == (1300.0, "INVITE", ANSWER)
    assert reinvite.get("session-expires") == "600;refresher=uas" or "uac" in reinvite.get("session-expires")
    heard = peer.answer(reinvite, 200, "Session-Expires: 600;refresher=uac", tag="ana", body=SDP)
    assert statuses(heard) == ["ACK"] and not peer.end.of(OfferAnswered)
    assert peer.wait(250) == [] and session.state == "up"


def test_a_reliable_ringing_is_repeated_until_prack_and_the_answer_waits_for_it():
    peer = Peer()
    session = peer.calls("Require: 100rel")
    session.ring(peer.now, ANSWER)
    [ringing] = peer.heard()
    assert (ringing.status, ringing.get("require"), ringing.get("rseq")) == (183, "100rel", "1")
    session.accept(ANSWER, peer.now)
    assert peer.heard() == []
    assert statuses(m for _, m in peer.wait(2)) == [183, 183]
    assert statuses(peer.ask("PRACK", "RAck: 9 1 INVITE", tag=session.local_tag, cseq=2)) == [481]
    assert statuses(peer.ask("PRACK", "RAck: 1 1 INVITE", tag=session.local_tag, cseq=3)) == [200, 200]
    peer.ask("ACK", tag=session.local_tag)
    assert session.state == "up" and peer.wait(30) == []


def test_a_second_reliable_ringing_waits_for_the_first():
    peer = Peer()
    session = peer.calls("Require: 100rel")
    session.ring(peer.now)
    session.ring(peer.now, ANSWER)
    assert [m.get("rseq") for m in peer.heard()] == ["1"]
    heard = peer.ask("PRACK", "RAck: 1 1 INVITE", tag=session.local_tag, cseq=2)
    assert [(m.status, m.get("rseq")) for m in heard] == [(200, None), (183, "2")]


def test_a_reliable_ringing_that_nobody_confirms_ends_the_call():
    peer = Peer()
    session = peer.calls("Require: 100rel")
    session.ring(peer.now)
    peer.wait(100)
    assert peer.ended(session) == [("refused", False)] and peer.end.is_idle


def test_a_peer_that_only_supports_100rel_is_rung_plainly():
    peer = Peer()
    session = peer.calls("Supported: 100rel")
    session.ring(peer.now)
    [ringing] = peer.heard()
    assert ringing.get("rseq") is None and ringing.get("require") is None
    assert statuses(m for _, m in peer.wait(150)) == [180, 180]  # each minute, so that no proxy gives up


# Our calls


def test_an_invite_can_be_read_back_and_says_what_we_gave_it():
    peer = Peer()
    session, invite = peer.called(to='"Bob" <sip:bob@example.com>', headers=[("Alert-Info", "<urn:auto>")])
    assert session.request == invite and session.outgoing
    assert invite.to.display == "Bob" and invite.get("alert-info") == "<urn:auto>"
    assert invite.get("session-expires") == "1800" and invite.body.decode() == SDP


@pytest.mark.parametrize("wrong", [{"to": "<sip:a>\r\nEvil: yes"}, {"headers": [("A", "b\nEvil: yes")]}])
def test_nobody_writes_headers_of_their_own_through_us(wrong):
    peer = Peer()
    with pytest.raises(ValueError, match="line break"):
        peer.called(**wrong)
    assert peer.end.is_idle


def test_a_challenge_is_answered_with_the_credentials_and_the_ack_carries_them():
    peer = Peer()
    session, invite = peer.called(credentials=("ramal", "secret"))
    challenger = Challenger("trunk", tokens("n"))
    challenge = f"Proxy-Authenticate: {challenger.challenge(peer.now)[0]}"
    ack, again = peer.answer(invite, 407, challenge)
    assert (ack.method, again.method, again.cseq.number, again.to.tag) == ("ACK", "INVITE", 2, None)
    account = Account("ramal", ha1("ramal", "trunk", "secret"))
    assert challenger.check(again.get("proxy-authorization"), "INVITE", account, peer.now) == "ok"
    [ack] = peer.answer(again, 200, body=ANSWER)
    assert ack.get("proxy-authorization") == again.get("proxy-authorization") and ack.cseq.number == 2
    session.hang_up(peer.now)
    [bye] = peer.heard()
    [bye_again] = peer.answer(bye, 407, challenge)
    assert parse_digest(bye_again.get("proxy-authorization"))["username"] == "ramal"


def test_credentials_that_are_refused_are_not_tried_again():
    peer = Peer()
    session, invite = peer.called(credentials=("ramal", "wrong"))
    challenge = 'WWW-Authenticate: Digest realm="t", nonce="n", qop="auth"'
    _, again = peer.answer(invite, 401, challenge)
    peer.answer(again, 401, challenge)
    assert peer.end.last(Refused).status == 401 and peer.ended(session) == [("refused", True)]


@pytest.mark.parametrize(
    "challenge", ["WWW-Authenticate: Basic x", "WWW-Authenticate: Digest realm=x", "X: y"]
)
def test_a_challenge_we_cannot_answer_is_a_refusal(challenge):
    peer = Peer()
    session, invite = peer.called(credentials=("ramal", "secret"))
    peer.answer(invite, 401, challenge)
    assert peer.ended(session) == [("refused", True)]


def test_a_session_interval_too_small_is_asked_for_again_with_the_larger_one():
    peer = Peer()
    _, invite = peer.called()
    _, again = peer.answer(invite, 422, "Min-SE: 3600")
    assert (again.get("session-expires"), again.get("min-se"), again.cseq.number) == ("3600", "3600", 2)


def test_a_required_100rel_is_offered_on_demand():
    peer = Peer()
    _, invite = peer.called()
    assert "100rel" not in invite.get("supported")
    _, again = peer.answer(invite, 421, "Require: 100rel")
    assert "100rel" in again.get("supported")


def test_a_reliable_ringing_is_confirmed_once_and_told_once():
    peer = Peer()
    session, invite = peer.called()
    headers = ("Require: 100rel", "RSeq: 7", "Contact: <sip:bob@192.0.2.9:5062>")
    [prack] = peer.answer(invite, 183, *headers, body=ANSWER)
    assert (prack.method, prack.get("rack"), prack.to.tag) == (
        "PRACK",
        f"7 {invite.cseq.number} INVITE",
        "peer",
    )
    assert peer.answer(invite, 183, *headers, body=ANSWER) == []
    peer.answer(prack, 200)
    assert [event.sdp for event in peer.end.of(Ringing)] == [ANSWER]
    peer.answer(invite, 200, headers[2])
    assert peer.end.last(Answered).sdp == ANSWER  # what the reliable 183 had said
    session.hang_up(peer.now)
    [bye] = peer.heard()
    assert bye.cseq.number > prack.cseq.number


def test_the_second_2xx_of_a_fork_is_acked_and_ended():
    peer = Peer()
    session, invite = peer.called()
    peer.answer(invite, 180, tag="one")
    peer.answer(invite, 180, tag="two")
    peer.answer(invite, 200, "Contact: <sip:one@192.0.2.9:5062>", tag="one", body=ANSWER)
    assert session.remote_tag == "one"
    ack, bye = peer.answer(invite, 200, "Contact: <sip:two@192.0.2.9:5062>", tag="two", body=ANSWER)
    assert (ack.method, ack.to.tag, ack.uri) == ("ACK", "two", "sip:two@192.0.2.9:5062")
    assert (bye.method, bye.to.tag) == ("BYE", "two")
    assert statuses(peer.answer(invite, 200, tag="two", body=ANSWER)) == ["ACK"]
    peer.answer(bye, 200)
    assert session.state == "up" and len(peer.end.of(Answered)) == 1


def test_a_repeated_2xx_is_acked_again_also_after_the_call_ended():
    peer = Peer()
    session, invite = called_and_up(peer)
    assert statuses(peer.answer(invite, 200, body=ANSWER)) == ["ACK"]
    peer.ask(
        "BYE", tag=session.local_tag, cseq=9, From="<sip:bob@192.0.2.9>;tag=peer", Call_ID=session.call_id
    )
    assert peer.ended(session) == [("normal", True)]
    assert statuses(peer.answer(invite, 200, body=ANSWER)) == ["ACK"]
    assert len(peer.end.of(Ended)) == 1


def test_a_bye_that_overtook_the_2xx_ends_the_call_and_the_2xx_is_still_acked():
    peer = Peer()
    session, invite = peer.called()
    peer.answer(invite, 180)
    heard = peer.ask(
        "BYE", tag=session.local_tag, From="<sip:bob@192.0.2.9>;tag=peer", Call_ID=session.call_id
    )
    assert statuses(heard) == [200, "CANCEL"]
    heard = peer.answer(invite, 200, body=ANSWER)
    assert statuses(heard) == ["ACK", "BYE"]
    peer.wait(100)
    assert peer.ended(session) == [("normal", True)] and peer.end.is_idle


def test_a_call_the_peer_no_longer_knows_ends():
    peer = Peer()
    session, _ = called_and_up(peer)
    session.reinvite(HELD, peer.now)
    [reinvite] = peer.heard()
    peer.answer(reinvite, 481)
    assert peer.ended(session) == [("dialog_lost", True)]


def test_a_2xx_without_a_readable_to_is_as_if_it_never_came():
    peer = Peer()
    session, invite = peer.called()
    bad = invite.response(200)
    bad.set("To", "<<>")
    assert peer.send(bad.encode()) == [] and session.state == "calling"


# Connections


@pytest.mark.parametrize("transport", ["TCP", "WS"])
def test_a_call_that_rings_at_a_lost_connection_is_refused_with_503(transport):
    peer = Peer(transport, 5)
    session, invite = peer.called()
    peer.answer(invite, 180)
    peer.stack.lost(peer.flow, peer.now)
    peer.heard()
    assert peer.end.last(Refused).status == 503 and peer.ended(session) == [("connection_lost", True)]
    assert peer.end.is_idle


@pytest.mark.parametrize("transport", ["TCP", "WS"])
def test_a_caller_whose_connection_is_lost_before_the_answer_is_gone(transport):
    peer = Peer(transport, 5)
    session = peer.calls()
    peer.stack.lost(peer.flow, peer.now)
    peer.wait(100)
    assert peer.ended(session) == [("connection_lost", True)] and peer.end.is_idle


def test_a_browsers_call_ends_with_its_connection():
    peer = Peer("WS", 5)
    session, _ = up(peer, Contact="<sip:x@a1b2.invalid;transport=ws>")
    peer.stack.lost(peer.flow, peer.now)
    peer.wait(100)
    assert peer.ended(session) == [("connection_lost", True)] and peer.end.is_idle


def test_a_call_over_a_lost_tcp_connection_goes_on_by_another_to_the_contact():
    peer = Peer("TCP", 5)
    session, _ = up(peer, Contact="<sip:ana@192.0.2.9:5070;transport=tcp>")
    peer.stack.lost(peer.flow, peer.now)
    [(flow, data)] = peer.stack.to_send()
    assert flow == Flow("TCP", "192.0.2.9", 5070) and data.startswith(b"OPTIONS ")
    peer.flow = flow._replace(connection=6)
    peer.answer(parse(data), 200)
    assert session.state == "up"
    peer.ask("INFO", tag=session.local_tag, cseq=2)
    session.hang_up(peer.now)
    [(flow, data)] = peer.stack.to_send()
    assert flow == peer.flow and data.startswith(b"BYE ")


def test_a_call_over_a_lost_tcp_connection_ends_when_there_can_be_no_other():
    for what in ("not opened", "closed again", "481"):
        peer = Peer("TCP", 5)
        session, _ = up(peer, Contact="<sip:ana@192.0.2.9:5070;transport=tcp>")
        peer.stack.lost(peer.flow, peer.now)
        [options] = peer.heard()
        if what == "481":
            peer.answer(options, 481)
        if what == "closed again":
            peer.answer(options, 200)
        peer.stack.lost(Flow("TCP", "192.0.2.9", 5070), peer.now)
        peer.wait(100)
        cause = "dialog_lost" if what == "481" else "connection_lost"
        assert peer.ended(session) == [(cause, True)] and peer.end.is_idle


def test_requests_use_the_connection_the_peer_opened():
    peer = Peer("TCP", 5)
    session, _ = up(peer, Contact="<sip:ana@192.0.2.9:5070;transport=tcp>")
    session.hang_up(peer.now)
    [(flow, _)] = peer.stack.to_send()
    assert flow == peer.flow


def test_a_connection_opened_for_a_call_is_known_from_its_first_answer():
    peer = Peer("TCP", 0)
    session, invite = peer.called()
    peer.flow = peer.flow._replace(connection=9)
    peer.answer(invite, 200, body=ANSWER)
    assert session.flow == peer.flow


# Registration


def registrar(throttle=None):
    account = Account("bob", ha1("bob", "ramal", "secret"))
    challenger = Challenger("ramal", tokens("n"))
    return Registrar(
        lambda user: account if user == "bob" else None, challenger, throttle or Throttle(3, 300)
    )


def register(peer, password="secret", cseq=1, expires="600"):
    fields = {"To": "<sip:bob@ramal>", "From": "<sip:bob@ramal>;tag=b", "Call_ID": "reg", "Expires": expires}
    [challenged] = peer.ask("REGISTER", uri="sip:ramal", cseq=cseq, **fields)
    assert challenged.status == 401
    value = respond(challenged.get("www-authenticate"), "REGISTER", "sip:ramal", "bob", password, "c")
    return peer.ask("REGISTER", f"Authorization: {value}", uri="sip:ramal", cseq=cseq + 1, **fields)


def test_a_phone_registers_and_its_registration_runs_out():
    peer = Peer(registrar=registrar())
    assert statuses(register(peer)) == [200]
    assert [event.user for event in peer.end.of(Registered)] == ["bob"]
    peer.wait(599)
    assert not peer.end.of(Unregistered)
    peer.wait(2)
    assert [event.user for event in peer.end.of(Unregistered)] == ["bob"] and peer.end.is_idle


def test_a_phone_whose_connection_is_lost_is_unregistered():
    peer = Peer("TCP", 5, registrar=registrar())
    register(peer)
    peer.stack.lost(peer.flow, peer.now)
    peer.heard()
    assert [event.user for event in peer.end.of(Unregistered)] == ["bob"]


def test_a_wrong_password_is_answered_slowly_and_then_not_at_all():
    throttle = Throttle(3, 300)
    peer = Peer(registrar=registrar(throttle), throttle=throttle)
    for attempt in range(3):
        assert register(peer, "guess", cseq=1 + 2 * attempt) == []
        [(_, refused)] = peer.wait(1.5)
        assert refused.status == 403
    assert peer.ask("REGISTER", uri="sip:ramal") == [] and peer.ask("OPTIONS") == []
    assert peer.ask("INVITE", body=SDP) == [] and peer.send(b"INVITE x SIP/2.0\r\nVia: bad\r\n\r\n") == []
    peer.wait(301)
    assert statuses(peer.ask("OPTIONS")) == [200]


def test_more_calls_than_we_can_bear_are_told_to_come_later():
    peer = Peer(sessions_max=1)
    session = peer.calls()
    [refused] = peer.ask("INVITE", body=SDP, Call_ID="another")
    assert (refused.status, refused.get("retry-after")) == (503, "10")
    session.hang_up(peer.now)
    peer.ask("INVITE", body=SDP, Call_ID="third")
    assert len(peer.end.of(IncomingCall)) == 2


def sessions_in_memory():
    return sum(isinstance(thing, Session) for thing in gc.get_objects())


def test_an_incoming_call_that_is_over_leaves_memory_at_once():
    gc.collect()
    before = sessions_in_memory()
    gc.disable()
    try:
        peer = Peer()
        session, _ = up(peer, "Supported: timer", "Session-Expires: 1800")
        assert sessions_in_memory() == before + 1
        peer.ask("BYE", tag=session.local_tag, cseq=2)
        peer.wait(100)
        del session
        peer.end.told.clear()
        assert sessions_in_memory() == before
    finally:
        gc.enable()


PACKETS = sorted((Path(__file__).parents[1] / "packets").rglob("*.sip"))


@pytest.mark.parametrize("packet", PACKETS, ids=lambda path: path.stem)
def test_odd_packets_from_the_wire_are_survived(packet):
    peer = Peer(registrar=registrar())
    heard = peer.send(packet.read_bytes())
    if packet.parent.name == "invalid":
        status = packet.name.partition("-")[0]
        assert [str(m.status) for m in heard] == ([] if status == "drop" else [status])
    for event in peer.end.of(IncomingCall):
        event.session.hang_up(peer.now)
    peer.wait(10000)
    assert peer.end.is_idle


# Chance

COMMANDS = st.sampled_from(
    ["ring", "ring early", "accept", "reject", "hang up", "reinvite", "accept offer", "refuse offer",
     "accept refer", "refuse refer", "info", "lose"]
)  # fmt: skip
METHODS = st.sampled_from(
    ["ACK", "BYE", "CANCEL", "INVITE", "UPDATE", "PRACK", "INFO", "REFER", "NOTIFY", "OPTIONS", "X"]
)
BODIES = st.sampled_from(["", SDP, HELD, "rubbish"])
HEADERS = st.sampled_from(
    ["Require: 100rel", "Require: x", "Session-Expires: 90;refresher=uas", "Session-Expires: x",
     "Contact: <<>", "RAck: 1 1 INVITE", "RSeq: 1", "Supported: timer", "Refer-To: <sip:x@y>",
     "Record-Route: <sip:192.0.2.9;lr>", "Record-Route: ,<", "Reason: x", "Min-SE: 100", "Retry-After: soon",
     'WWW-Authenticate: Digest realm="t", nonce="n"']
)  # fmt: skip
STATUSES = st.sampled_from([100, 180, 183, 200, 302, 401, 404, 408, 422, 481, 491, 503])
STEPS = st.lists(
    st.tuples(st.just("command"), COMMANDS)
    | st.tuples(
        st.just("request"), METHODS, st.integers(1, 4), BODIES, st.lists(HEADERS, max_size=2), st.booleans()
    )
    | st.tuples(
        st.just("response"), st.integers(0, 5), STATUSES, BODIES, st.lists(HEADERS, max_size=2),
        st.sampled_from(["peer", "fork"]),
    )
    | st.tuples(st.just("again"), st.integers(0, 8))
    | st.tuples(st.just("wait"), st.sampled_from([0.1, 0.6, 5.0, 33.0, 200.0])),
    max_size=25,
)  # fmt: skip


def command(peer, session, what):
    now = peer.now
    match what:
        case "ring" | "ring early" | "accept" | "reject" if session.outgoing:
            pass
        case "ring":
            session.ring(now)
        case "ring early":
            session.ring(now, ANSWER)
        case "accept":
            session.accept(ANSWER, now)
        case "reject":
            session.reject(486, now)
        case "hang up":
            session.hang_up(now)
        case "reinvite":
            session.reinvite(HELD, now)
        case "accept offer":
            session.accept_offer(ANSWER, now)
        case "refuse offer":
            session.refuse_offer(488, now)
        case "accept refer":
            session.accept_refer(now)
        case "refuse refer":
            session.refuse_refer(603, now)
        case "info":
            session.info("application/dtmf-relay", "Signal=1\r\n", now)
        case "lose":
            peer.stack.lost(peer.flow, now)


@given(steps=STEPS, outgoing=st.booleans(), transport=st.sampled_from(["UDP", "TCP", "WS"]))
@settings(max_examples=400, deadline=None)
def test_whatever_comes_in_whatever_order_each_session_ends_once_and_nothing_is_left(
    steps, outgoing, transport
):
    peer = Peer(transport, 0 if transport == "UDP" else 5)
    asked = []  # what the stack asked of us
    said = []  # what we said, to say it again
    if outgoing:
        session, invite = peer.called(credentials=("u", "p"))
        asked.append(invite)
        same = {"Call_ID": session.call_id, "From": "<sip:bob@192.0.2.9>;tag=peer"}
    else:
        session = peer.calls("Supported: timer")
        same = {}

    def say(data):
        said.append(data)
        asked.extend(message for message in peer.send(data) if isinstance(message, Request))

    for step in steps:
        match step:
            case ("command", what):
                command(peer, session, what)
                asked.extend(message for message in peer.heard() if isinstance(message, Request))
            case ("request", method, cseq, body, headers, is_first):
                branch = {"branch": "z9hG4bKinvite"} if is_first else {}
                say(
                    peer.request(
                        method, *headers, tag=session.local_tag, cseq=cseq, body=body, **branch, **same
                    )
                )
            case ("response", number, status, body, headers, tag) if asked:
                request = asked[number % len(asked)]
                response = request.response(status, to_tag=tag)
                response.headers += [(h.partition(": ")[0].lower(), h.partition(": ")[2]) for h in headers]
                if body:
                    response.add("Content-Type", "application/sdp")
                    response.body = body.encode()
                say(response.encode())
            case ("again", number) if said:
                say(said[number % len(said)])
            case ("wait", seconds):
                asked.extend(message for _, message in peer.wait(seconds) if isinstance(message, Request))
    for each in peer.end.of(IncomingCall):
        each.session.hang_up(peer.now)
    session.hang_up(peer.now)
    peer.wait(1000)
    peer.heard()
    sessions = {id(e.session): e.session for e in peer.end.of(IncomingCall)} | {id(session): session}
    for each in sessions.values():
        assert len(peer.ended(each)) == 1
        told = [event for event in peer.end.told if getattr(event, "session", None) is each]
        assert isinstance(told[-1], Ended)
        assert each.state == "over"
    assert peer.end.is_idle


@given(data=st.binary(max_size=200), cut=st.integers(0, 600), at=st.integers(0, 600))
def test_packets_damaged_anywhere_do_no_harm(data, cut, at):
    peer = Peer(registrar=registrar())
    session, _ = up(peer)
    for packet in (
        peer.request("INVITE", body=SDP, cseq=2),
        peer.request("BYE", tag=session.local_tag, cseq=2),
        peer.request("REGISTER"),
    ):
        peer.send(packet[:at] + data + packet[at + cut :])
    for event in peer.end.of(IncomingCall):
        event.session.hang_up(peer.now)
    peer.wait(1000)
    assert all(len(peer.ended(event.session)) == 1 for event in peer.end.of(IncomingCall))


@pytest.mark.parametrize(("forwards", "status"), [("70", 200), ("seven", 400)])
def test_the_address_a_request_came_from_is_noted_once_and_not_believed_from_its_sender(forwards, status):
    peer = Peer()
    via = "SIP/2.0/UDP 192.0.2.9:5062;received=198.51.100.1;branch=z9hG4bK1;rport"
    peer.stack.receive(peer.request("OPTIONS", Via=via, Max_Forwards=forwards), peer.flow, 0.0)
    [(flow, data)] = peer.stack.to_send()
    assert data.startswith(f"SIP/2.0 {status}".encode()) and flow == peer.flow
    expected = b"Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1;rport=5062;received=192.0.2.9\r\n"
    assert expected in data


def test_a_response_with_the_via_of_another_is_none_of_ours():
    peer = Peer()
    session, invite = peer.called()
    stray = invite.response(200, to_tag="stray")
    stray.add("Via", "SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKother")
    assert peer.send(stray.encode()) == [] and session.state == "calling"
    stray.set("Via", f"{invite.get('via')}, SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKother")
    assert peer.send(stray.encode()) == [] and session.state == "calling"
    [ack] = peer.answer(invite, 200, body=ANSWER)
    assert ack.method == "ACK" and session.state == "up"


def test_who_proves_themselves_in_a_scheme_of_their_own_is_challenged():
    packet = Path(__file__).parents[1] / "packets/valid/authorization-of-a-scheme-nobody-knows.sip"
    registrar = Registrar(lambda _: None, Challenger("ramal", lambda: "n"), Throttle(3, 60))
    peer = Peer("TCP", connection=3, registrar=registrar)
    [answer] = peer.send(packet.read_bytes())
    assert answer.status == 401 and answer.get("www-authenticate").startswith("Digest ")
