"""How long a silent peer is borne, by a clock that the tests move."""

from cti.sip.patience import Doorkeeper, Hearing, Patience

PATIENCE = Patience(40, 10, 120, connections_max=5, of_one_host_max=2)


def hearing():
    return Hearing(PATIENCE, 1000.0)


def test_a_peer_that_never_says_anything_has_less_time_than_one_that_spoke():
    silent, spoke = hearing(), hearing()
    spoke.heard(True, False, 1000.0)
    assert silent.overdue(False, 1040.0) == spoke.overdue(False, 1120.0) == ""
    assert silent.overdue(False, 1040.1) == "neither a message nor a registration nor a call"
    assert spoke.overdue(False, 1120.1)


def test_who_is_registered_or_in_a_call_may_be_silent():
    assert hearing().overdue(True, 9000.0) == ""


def test_a_message_has_its_time_from_its_first_byte_however_often_bytes_come():
    peer = hearing()
    for second in range(11):
        peer.heard(False, True, 1000.0 + second)
        assert peer.overdue(True, 1000.0 + second) == ""
    assert peer.overdue(True, 1010.1) == "half a message and no more"


def test_the_next_message_has_its_own_time():
    peer = hearing()
    for at in range(0, 100, 8):  # each piece ends one message and begins the next
        peer.heard(at > 0, True, 1000.0 + at)
        assert peer.overdue(False, 1000.0 + at + 9) == ""
    peer.heard(True, False, 1100.0)
    assert peer.overdue(False, 1120.0) == ""


def test_connections_are_counted_by_host_and_in_all():
    door = Doorkeeper(PATIENCE)
    assert door.admit("192.0.2.1", 0) == door.admit("192.0.2.1", 1) == ""
    assert door.admit("192.0.2.1", 2) == "it has 2 connections already"
    assert door.admit("192.0.2.2", 2) == ""
    assert door.admit("192.0.2.3", 5) == "there are 5 connections already"
    door.leave("192.0.2.1")
    assert door.admit("192.0.2.1", 2) == ""


def test_a_refusal_is_news_once_until_the_doorkeeper_has_rested():
    door = Doorkeeper(PATIENCE)
    assert [door.is_news("a"), door.is_news("a"), door.is_news("b")] == [True, False, True]
    door.rest()
    assert door.is_news("a")
