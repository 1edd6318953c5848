"""Digest: RFC examples, nonces that end, replays, guessing, and hosts that are banned."""

import hashlib
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.sip.digest import (
    Account,
    BadDigest,
    Challenger,
    Throttle,
    Verdict,
    ha1,
    parse_digest,
    respond,
    strongest,
)

ANA = Account("1001", ha1("1001", "ramal", "secret"), ha1("1001", "ramal", "secret", "SHA-256"))


def tokens() -> Callable[[], str]:
    counter = itertools.count(1)
    return lambda: f"token{next(counter):04d}"


def challenger(**options) -> Challenger:
    return Challenger("ramal", tokens(), **options)


def reply(challenge: str, password: str = "secret", nc: int = 1, user: str = "1001") -> str:
    return respond(challenge, "REGISTER", "sip:127.0.0.1", user, password, "c0ffee", nc)


def test_the_md5_example_of_rfc_2617():
    challenge = 'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'  # noqa: E501
    answered = respond(challenge, "GET", "/dir/index.html", "Mufasa", "Circle Of Life", "0a4f113b")
    fields = parse_digest(answered)
    assert fields["response"] == "6629fae49393a05397450978507c4ef1"
    assert fields["opaque"] == "5ccc069c403ebaf9f0171e9517f40e41"
    assert (fields["nc"], fields["qop"]) == ("00000001", "auth")


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm, response):
    challenge = f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'  # noqa: E501
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    answered = respond(challenge, "GET", "/dir/index.html", "Mufasa", "Circle of Life", cnonce)
    assert parse_digest(answered)["response"] == response


def test_the_first_challenge_is_one_md5_with_qop_auth():
    (challenge,) = challenger().challenge(10.0)
    fields = parse_digest(challenge)
    assert (fields["realm"], fields["algorithm"], fields["qop"]) == ("ramal", "MD5", "auth")
    assert "stale" not in fields


def test_the_strong_policy_offers_sha_256_first_and_takes_both():
    server = challenger(algorithms=("SHA-256", "MD5"))
    first, second = server.challenge(10.0)
    assert "algorithm=SHA-256," in first and "algorithm=MD5," in second
    assert strongest([second, first]) == first
    assert server.check(reply(first), "REGISTER", ANA, 10.0) == Verdict.OK
    assert server.check(reply(second, nc=2), "REGISTER", ANA, 10.0) == Verdict.OK


def test_the_strong_policy_alone_refuses_md5():
    server = challenger(algorithms=("SHA-256",))
    (challenge,) = server.challenge(10.0)
    weaker = challenge.replace("SHA-256", "MD5")
    assert server.check(reply(weaker), "REGISTER", ANA, 10.0) == Verdict.MALFORMED


def test_an_account_without_a_digest_for_the_algorithm_has_no_way_in():
    server = challenger(algorithms=("SHA-256",))
    (challenge,) = server.challenge(10.0)
    assert server.check(reply(challenge), "REGISTER", Account("1001", ANA.ha1_md5), 10.0) == Verdict.WRONG


def test_a_right_password_is_right_and_wrong_ones_are_wrong():
    server = challenger()
    (challenge,) = server.challenge(10.0)
    assert server.check(reply(challenge, "Secret"), "REGISTER", ANA, 11.0) == Verdict.WRONG
    assert server.check(reply(challenge, user="1002"), "REGISTER", ANA, 11.0) == Verdict.WRONG
    assert server.check(reply(challenge), "INVITE", ANA, 11.0) == Verdict.WRONG
    assert server.check(reply(challenge), "REGISTER", None, 11.0) == Verdict.WRONG
    assert server.check(reply(challenge), "REGISTER", ANA, 11.0) == Verdict.OK


def test_an_empty_digest_is_no_password():
    server = challenger()
    (challenge,) = server.challenge(10.0)
    fields = parse_digest(reply(challenge))
    asked = hashlib.md5(f"REGISTER:{fields['uri']}".encode()).hexdigest()
    middle = f"{fields['nonce']}:{fields['nc']}:{fields['cnonce']}:auth"
    forged = reply(challenge).replace(
        fields["response"], hashlib.md5(f":{middle}:{asked}".encode()).hexdigest()
    )
    assert server.check(forged, "REGISTER", Account("1001", ""), 10.0) == Verdict.WRONG
    assert server.check(forged, "REGISTER", None, 10.0) == Verdict.WRONG


def test_a_count_must_grow_and_may_jump():
    server = challenger()
    (challenge,) = server.challenge(10.0)
    assert server.check(reply(challenge, nc=2), "REGISTER", ANA, 11.0) == Verdict.OK
    assert server.check(reply(challenge, nc=2), "REGISTER", ANA, 11.0) == Verdict.STALE
    assert server.check(reply(challenge, nc=1), "REGISTER", ANA, 11.0) == Verdict.STALE
    assert server.check(reply(challenge, nc=0x1F), "REGISTER", ANA, 11.0) == Verdict.OK
    assert server.check(reply(challenge, nc=0x20), "REGISTER", ANA, 11.0) == Verdict.OK


def test_a_wrong_password_does_not_use_the_count_up():
    server = challenger()
    (challenge,) = server.challenge(10.0)
    assert server.check(reply(challenge, "guess", nc=9), "REGISTER", ANA, 11.0) == Verdict.WRONG
    assert server.check(reply(challenge, nc=1), "REGISTER", ANA, 11.0) == Verdict.OK


def test_a_nonce_ends():
    server = challenger(nonce_seconds=30)
    (challenge,) = server.challenge(10.0)
    assert server.check(reply(challenge), "REGISTER", ANA, 39.9) == Verdict.OK
    assert server.check(reply(challenge, nc=2), "REGISTER", ANA, 40.0) == Verdict.STALE
    (again,) = server.challenge(40.0, stale=True)
    assert parse_digest(again)["stale"] == "true"
    assert server.check(reply(again), "REGISTER", ANA, 41.0) == Verdict.OK


def test_a_nonce_we_did_not_give_teaches_nothing_about_the_password():
    server, other = challenger(), Challenger("ramal", lambda: "elsewhere")
    (foreign,) = other.challenge(10.0)
    made_up = 'Digest realm="ramal", nonce="1", algorithm=MD5, qop="auth"'
    for challenge, password in itertools.product((foreign, made_up), ("secret", "guess")):
        assert server.check(reply(challenge, password), "REGISTER", ANA, 10.0) == Verdict.STALE


def test_a_nonce_is_good_only_for_the_host_that_asked():
    server = challenger()
    (challenge,) = server.challenge(10.0, source="192.0.2.1")
    assert server.check(reply(challenge, "guess"), "REGISTER", ANA, 10.0, "192.0.2.2") == Verdict.STALE
    assert server.check(reply(challenge), "REGISTER", ANA, 10.0, "192.0.2.1") == Verdict.OK


def test_an_old_phone_without_qop_may_use_each_nonce_once():
    server = challenger()
    (challenge,) = server.challenge(10.0)
    old = reply(challenge.replace(', qop="auth"', ""))
    assert "qop" not in old and "nc=" not in old
    assert server.check(old, "REGISTER", ANA, 10.0) == Verdict.OK
    assert server.check(old, "REGISTER", ANA, 10.0) == Verdict.STALE


def test_forgetting_used_nonces_never_lets_one_be_replayed():
    server = challenger(nonces_max=3)
    replies = []
    for second in range(10):
        (challenge,) = server.challenge(10.0 + second)
        replies.append(reply(challenge))
        assert server.check(replies[-1], "REGISTER", ANA, 10.0 + second) == Verdict.OK
    for replayed in replies:
        assert server.check(replayed, "REGISTER", ANA, 20.0) == Verdict.STALE


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "Basic dXNlcjpwYXNz",
        lambda text: "",
        lambda text: "Digest",
        lambda text: text.replace("nc=00000001", "nc=xyz"),
        lambda text: text.replace("nc=00000001", "nc=00000000"),
        lambda text: text.replace("nc=00000001", "nc=123456789"),
        lambda text: text.replace(', cnonce="c0ffee"', ""),
        lambda text: text.replace("qop=auth", "qop=auth-int"),
        lambda text: text.replace("algorithm=MD5", "algorithm=MD5-sess"),
        lambda text: text.replace("algorithm=MD5", "algorithm=SHA-512"),
        lambda text: text.replace('username="1001"', 'username="1001'),
        lambda text: text + ', username="1002"',
        lambda text: text.replace('uri="sip:127.0.0.1"', 'uri=""'),
        lambda text: text.replace(", ", "; "),
    ],
)
def test_what_cannot_be_read_is_malformed(spoil):
    server = challenger()
    (challenge,) = server.challenge(10.0)
    assert server.check(spoil(reply(challenge)), "REGISTER", ANA, 10.0) == Verdict.MALFORMED
    assert server.check(reply(challenge), "REGISTER", ANA, 10.0) == Verdict.OK


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text.replace(", ", ","),
        lambda text: text.replace(", ", " ,\t").replace("=", " = ", 3),
        lambda text: text.replace("qop=auth", 'qop="auth"').replace("algorithm=MD5", 'algorithm="MD5"'),
        lambda text: text.replace("algorithm=MD5, ", ""),
        lambda text: text.replace("algorithm=MD5", "algorithm=md5").replace("Digest ", "digest  "),
        lambda text: text.replace("username", "UserName").replace("nc=00000001", "nc=00000001, x=y"),
    ],
)
def test_every_way_phones_write_it_is_read(rewrite):
    server = challenger()
    (challenge,) = server.challenge(10.0)
    assert server.check(rewrite(reply(challenge)), "REGISTER", ANA, 10.0) == Verdict.OK


@given(st.text(max_size=80) | st.text('Digest nonce=",\\realm', max_size=80).map("Digest ".__add__))
def test_any_text_gets_a_verdict_and_none_gets_in(text):
    server = challenger()
    assert server.check(text, "REGISTER", ANA, 10.0) in (Verdict.MALFORMED, Verdict.STALE)
    assert strongest([text]) in (None, text)


@given(st.text(min_size=1, max_size=10), st.text(max_size=10), st.integers(1, 0xFFFFFFFF))
def test_our_own_answer_satisfies_our_own_challenge(user, password, nc):
    server = challenger()
    account = Account(user, ha1(user, "ramal", password))
    (challenge,) = server.challenge(10.0)
    answered = respond(challenge, "INVITE", "sip:4000@127.0.0.1", user, password, "cnonce", nc)
    assert server.check(answered, "INVITE", account, 10.0) == Verdict.OK


def test_challenges_we_cannot_answer_are_said_so():
    for challenge in (
        "Basic realm=x",
        'Digest realm="x"',
        'Digest realm="x", nonce="1", algorithm=SHA-512-256',
        'Digest realm="x", nonce="1", qop="auth-int"',
    ):
        assert strongest([challenge]) is None
        with pytest.raises(BadDigest):
            respond(challenge, "INVITE", "sip:a@b", "u", "p", "c")
    able = 'Digest realm="x",nonce="1"'
    assert strongest(["Basic realm=x", able]) == able


def test_the_authorization_for_our_realm_is_found_among_others():
    server = challenger()
    (challenge,) = server.challenge(10.0)
    ours = reply(challenge)
    theirs = ours.replace('realm="ramal"', 'realm="carrier"').replace("1001", "other")
    assert server.username(["Basic x", theirs, ours]) == ("1001", ours)
    assert server.username([theirs]) is None


def test_a_host_is_banned_after_so_many_failures_and_for_so_long():
    throttle = Throttle(3, 60)
    assert [throttle.failed("192.0.2.1", 10.0 + i) for i in range(3)] == [False, False, True]
    assert throttle.banned("192.0.2.1", 12.0) and throttle.banned("192.0.2.1", 71.9)
    assert not throttle.banned("192.0.2.2", 12.0)
    assert throttle.bans(12.0) == [("192.0.2.1", 60.0)]
    assert not throttle.banned("192.0.2.1", 72.0)
    assert not throttle.failed("192.0.2.1", 73.0)


def test_a_success_and_time_both_forgive():
    throttle = Throttle(2, 60)
    throttle.failed("a", 0.0)
    throttle.succeeded("a")
    assert not throttle.failed("a", 1.0)
    assert not throttle.failed("a", 61.0)
    assert throttle.failed("a", 120.0)


def test_the_throttle_forgets_the_hosts_quiet_longest_and_keeps_bans():
    throttle = Throttle(2, 1000, hosts_max=3)
    throttle.failed("banned", 0.0)
    throttle.failed("banned", 0.0)
    for i in range(100):
        throttle.failed(f"host{i}", 1.0 + i)
    assert throttle.banned("banned", 200.0)
    assert not throttle.failed("host1", 200.0)  # forgotten: this is its first again
    assert throttle.failed("host99", 200.0)
