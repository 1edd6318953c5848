"""Whom a call goes to after 3xx answers: each once, the best first, five at most."""

from cti.sip.events import Refused
from cti.sip.headers import Address
from cti.sip.redirect import TARGETS_MAX, Redirection
from tests.sip.line import Peer


def contacts(*texts):
    return tuple(Address.parse(text) for text in texts)


def follow(redirection, *texts, status=302):
    target = redirection.after(status, contacts(*texts))
    return None if target is None else str(target)


def test_a_call_goes_where_it_is_sent():
    assert follow(Redirection("sip:1@a"), "<sip:1@b:5070>") == "sip:1@b:5070"


def test_any_other_refusal_is_the_last_word():
    for status in (305, 380, 404, 486, 503, 603):
        assert follow(Redirection("sip:1@a"), "<sip:1@b>", status=status) is None


def test_the_best_is_tried_first_and_the_others_when_it_refuses():
    call = Redirection("sip:1@a")
    assert follow(call, "<sip:1@worse>;q=0.2", "<sip:1@best>", "<sip:1@fair>;q=0.5") == "sip:1@best"
    assert follow(call, status=486) == "sip:1@fair"
    assert follow(call, status=503) == "sip:1@worse"
    assert follow(call, status=486) is None


def test_who_speaks_for_everybody_is_the_last():
    call = Redirection("sip:1@a")
    follow(call, "<sip:1@b>", "<sip:1@c>")
    assert follow(call, status=603) is None


def test_nobody_is_called_twice_however_the_circle_is_written():
    call = Redirection("sip:1@a:5060")
    assert follow(call, "<sip:1@A>", "<sip:1@a;transport=udp>") is None
    assert follow(call, "<sip:1@b>") == "sip:1@b"
    assert follow(call, "<sip:1@a>", "<sip:1@B:5060>") is None


def test_there_is_an_end_to_it():
    call = Redirection("sip:1@a")
    followed = [follow(call, f"<sip:1@host{n}>") for n in range(9)]
    assert len([each for each in followed if each]) == TARGETS_MAX


def test_what_is_no_sip_is_not_called_and_nobody_writes_our_headers():
    call = Redirection("sip:1@a")
    assert follow(call, "<tel:+5511>", "<mailto:a@b>", "<sips:1@c>") is None
    assert follow(call, "<sip:1@b?Replaces=x>") == "sip:1@b"


def test_a_refusal_tells_where_it_sends_us():
    for contact, told in [
        ("Contact: <sip:1@192.0.2.7>;q=0.1, <sip:2@192.0.2.8>", ["sip:1@192.0.2.7", "sip:2@192.0.2.8"]),
        ("Contact: <sip:[broken>", []),
        ("X-None: there", []),
    ]:
        far = Peer()
        _, invite = far.called()
        far.answer(invite, 302, contact)
        assert [each.spec for each in far.end.last(Refused).contacts] == told
