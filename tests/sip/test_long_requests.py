"""Requests too long for a datagram go by TCP, and back to UDP where TCP is refused (RFC 3261, 18.1.1)."""

import pytest

from cti.sip.ask import DATAGRAM_BYTES_MAX
from cti.sip.core import WITHOUT_TCP_SECONDS
from cti.sip.events import Answered, Refused, Ringing
from cti.sip.flow import Flow
from cti.sip.message import parse
from tests.sip.line import ANSWER, SDP, Peer

LONG = [("X-Long", "x" * 900)]
UDP = Flow("UDP", "192.0.2.9", 5062)
TCP = Flow("TCP", "192.0.2.9", 5062)
CONNECTION = TCP._replace(connection=7)


class Far(Peer):
    """A peer at UDP and TCP, who hears by which way each request comes."""

    def heard(self):
        self.end.told += self.stack.events()
        sent = self.stack.to_send()
        self.ways = [flow for flow, _ in sent]
        self.sizes = [len(data) for _, data in sent]
        return [parse(data) for _, data in sent]

    def by(self, flow):
        self.flow = flow
        return self

    def starts(self):
        return [message.start_line.split()[0] for message in self.heard()]


@pytest.fixture
def far():
    return Far()


def test_a_request_that_fits_a_datagram_goes_by_udp(far):
    _, invite = far.called(headers=[("X-Long", "x" * 200)])
    assert far.ways == [UDP] and far.sizes[0] <= DATAGRAM_BYTES_MAX
    assert invite.via.transport == "UDP"


def test_a_longer_one_goes_by_tcp_and_the_call_goes_on_by_udp(far):
    session, invite = far.called(headers=LONG)
    assert far.ways == [TCP] and far.sizes[0] > DATAGRAM_BYTES_MAX
    assert (invite.via.transport, invite.cseq.number) == ("TCP", 1)
    assert "transport=udp" in invite.get("contact")
    far.by(CONNECTION).answer(invite, 180)
    [ack] = far.answer(invite, 200, "Contact: <sip:bob@192.0.2.9:5062>", body=ANSWER)
    assert far.end.of(Ringing) and far.end.of(Answered)
    assert (ack.method, ack.via.transport, far.ways) == ("ACK", "UDP", [UDP])
    far.stack.lost(CONNECTION, far.now)  # it has done its service
    assert session.state == "up" and not far.heard()
    session.hang_up(far.now)
    [bye] = far.heard()
    assert (bye.method, far.ways) == ("BYE", [UDP])


def test_its_retransmissions_are_left_to_tcp(far):
    far.called(headers=LONG)
    assert far.wait(31) == []


def test_where_tcp_is_refused_it_goes_as_a_datagram_and_is_answered(far):
    session, first = far.called(headers=LONG)
    far.stack.lost(TCP, far.now)
    [again] = far.heard()
    assert far.ways == [UDP] and again.via.transport == "UDP"
    assert again.via.branch != first.via.branch and again.call_id == first.call_id
    assert not far.end.of(Refused)
    [ack] = far.answer(again, 200, body=ANSWER)
    assert ack.method == "ACK" and session.state == "up"


def test_a_peer_without_tcp_is_not_tried_again_for_a_while(far):
    far.called(headers=LONG)
    far.stack.lost(TCP, far.now)
    [again] = far.heard()
    far.answer(again, 486)
    far.called(headers=LONG)
    assert far.ways == [UDP]
    far.wait(WITHOUT_TCP_SECONDS + 1)
    far.called(headers=LONG)
    assert far.ways == [TCP]


def test_a_connection_lost_after_an_answer_is_not_asked_again_by_udp(far):
    _, invite = far.called(headers=LONG)
    far.by(CONNECTION).answer(invite, 183)
    far.stack.lost(CONNECTION, far.now)
    assert far.heard() == [] and far.end.last(Refused).status == 503


def test_credentials_that_make_it_too_long_move_it_to_tcp(far):
    _, invite = far.called(headers=[("X-Long", "x" * 450)], credentials=("ana", "secret"))
    assert far.ways == [UDP]
    challenge = f'WWW-Authenticate: Digest realm="carrier", nonce="{"n" * 150}", algorithm=MD5, qop="auth"'
    ack, again = far.answer(invite, 401, challenge)
    assert (ack.method, again.method) == ("ACK", "INVITE")
    assert far.ways == [UDP, TCP] and again.cseq.number == 2


def test_a_canceled_one_is_canceled_by_the_same_way(far):
    session, invite = far.called(headers=LONG)
    far.by(CONNECTION).answer(invite, 180)
    session.hang_up(far.now)
    [cancel] = far.heard()
    assert (cancel.method, cancel.via) == ("CANCEL", invite.via)
    assert far.ways == [CONNECTION]


def test_one_given_up_before_tcp_was_refused_is_not_sent_again(far):
    session, _ = far.called(headers=LONG)
    session.hang_up(far.now)
    far.stack.lost(TCP, far.now)
    assert far.heard() == [] and far.end.is_idle


def test_a_long_offer_in_a_call_goes_by_tcp_too(far):
    session, invite = far.called()
    far.answer(invite, 200, body=ANSWER)
    far.heard()
    session.reinvite(SDP + "a=x:" + "y" * 1200 + "\r\n", far.now)
    [offer] = far.heard()
    assert (offer.method, far.ways) == ("INVITE", [TCP])
    far.stack.lost(TCP, far.now)
    [offer] = far.heard()
    assert (offer.method, far.ways) == ("INVITE", [UDP])
    [ack] = far.answer(offer, 200, body=ANSWER)
    assert ack.method == "ACK" and session.state == "up"
