"""The registrar: who gets in, which bindings stand, how they end, and what is told of it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.sip.digest import Account, Challenger, Throttle, ha1, respond
from cti.sip.flow import Flow
from cti.sip.message import Request, Response, parse, validate
from cti.sip.registrar import BINDINGS_MAX, Registered, Registrar, Unregistered
from cti.sip.uri import Uri

ACCOUNTS = {
    user: Account(user, ha1(user, "ramal", f"secret{user}"), ha1(user, "ramal", f"secret{user}", "SHA-256"))
    for user in ("1001", "1002")
}
PHONE = Flow("UDP", "192.0.2.1", 5070)
OTHER = Flow("TCP", "192.0.2.2", 40000, 7)
CONTACT = "<sip:1001@192.0.2.1:5070>"


class Office:
    """A registrar and a phone that answers challenges."""

    def __init__(self, **options) -> None:
        counter = itertools.count(1)
        self.throttle = Throttle(3, 300)
        challenger = Challenger("ramal", lambda: f"token{next(counter):05d}", 300, **options)
        self.registrar = Registrar(ACCOUNTS.get, challenger, self.throttle)
        self.cseq = itertools.count(1)

    def ask(self, *headers, flow=PHONE, now=0.0, user="1001", to=None, cseq=None, call_id="r1") -> Response:
        """One REGISTER as it stands."""
        request = Request(
            "REGISTER",
            "sip:127.0.0.1",
            [
                ("Via", "SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1;rport"),
                ("From", f"<sip:{user}@127.0.0.1>;tag=a"),
                ("To", f"<sip:{to or user}@127.0.0.1>"),
                ("Call-ID", call_id),
                ("CSeq", f"{next(self.cseq) if cseq is None else cseq} REGISTER"),
                *headers,
            ],
        )
        heard = parse(request.encode())
        validate(heard)
        response, self.delay = self.registrar.register(heard, flow, now)
        written = parse(response.encode())
        validate(written)
        assert written.to.tag
        return written

    def register(self, *contacts, expires=None, password=None, headers=(), user="1001", **asked) -> Response:
        """REGISTER, and once more with the answer to the challenge."""
        lines = [("Contact", contact) for contact in contacts]
        lines += [("Expires", str(expires))] if expires is not None else []
        lines += headers
        challenged = self.ask(*lines, user=user, **asked)
        assert challenged.status == 401
        answered = respond(
            challenged.get("www-authenticate"),
            "REGISTER",
            "sip:127.0.0.1",
            user,
            f"secret{user}" if password is None else password,
            "c0ffee",
        )
        return self.ask(*lines, ("Authorization", answered), user=user, **asked)

    def reached(self, now=0.0, user="1001"):
        return [(str(binding.uri), binding.flow) for binding in self.registrar.bindings(user, now)]

    def told(self):
        return [
            (type(event), event.user, event.binding.flow if isinstance(event, Registered) else None)
            for event in self.registrar.events()
        ]


@pytest.fixture
def office():
    return Office()


def test_a_phone_is_challenged_then_registered(office):
    accepted = office.register(CONTACT, expires=600)
    assert accepted.status == 200
    assert accepted.contact.uri == Uri("sip", "1001", "192.0.2.1", 5070)
    assert accepted.contact.params["expires"] == "600"
    assert office.reached() == [("sip:1001@192.0.2.1:5070", PHONE)]
    assert office.told() == [(Registered, "1001", PHONE)]
    assert PHONE in office.registrar.flows


def test_sha_256_registers_too():
    office = Office(algorithms=("SHA-256", "MD5"))
    assert office.register(CONTACT).status == 200


def test_the_same_answer_cannot_be_sent_again(office):
    challenged = office.ask()
    answered = respond(
        challenged.get("www-authenticate"), "REGISTER", "sip:127.0.0.1", "1001", "secret1001", "c"
    )
    assert office.ask(("Contact", CONTACT), ("Authorization", answered)).status == 200
    again = office.ask(("Contact", "<sip:thief@192.0.2.66>"), ("Authorization", answered))
    assert again.status == 401
    assert "stale=true" in again.get("www-authenticate")
    assert office.reached() == [("sip:1001@192.0.2.1:5070", PHONE)]


def test_a_wrong_password_is_refused_slowly_and_then_banned(office):
    for failure in range(3):
        assert not office.throttle.banned(PHONE.host, 0.0), failure
        assert office.register(CONTACT, password="guess").status == 403
        assert office.delay == 1.0
    assert office.throttle.banned(PHONE.host, 0.0)
    assert office.reached() == []


def test_nobody_learns_which_users_exist(office):
    strangers = office.register(CONTACT, user="9999", password="guess")
    known = office.register(CONTACT, user="1002", password="guess")
    assert (strangers.status, strangers.reason) == (known.status, known.reason) == (403, "Forbidden")


def test_a_right_password_forgives_earlier_failures(office):
    for _ in range(4):
        assert office.register(CONTACT, password="guess").status == 403
        assert office.register(CONTACT).status == 200
    assert not office.throttle.banned(PHONE.host, 0.0)


def test_one_user_may_not_register_for_another(office):
    assert office.register(CONTACT, to="1002").status == 403
    assert office.reached(user="1002") == []


def test_an_authorization_that_cannot_be_read_is_a_bad_request(office):
    garbled = 'Digest username="1001", realm="ramal", nonce="x"'
    assert office.ask(("Contact", CONTACT), ("Authorization", garbled)).status == 400


def test_a_registration_ends_when_its_time_is_over(office):
    office.register(CONTACT, expires=60, now=100.0)
    office.registrar.events()
    assert office.registrar.next_timer() == 160.0
    assert office.reached(now=159.9) and not office.reached(now=160.0)
    office.registrar.expire(159.9)
    assert office.told() == []
    office.registrar.expire(160.0)
    assert office.told() == [(Unregistered, "1001", None)]
    assert office.registrar.next_timer() is None
    assert PHONE not in office.registrar.flows


def test_a_refresh_is_not_told_and_moves_the_end(office):
    office.register(CONTACT, expires=60, now=0.0)
    office.registrar.events()
    office.register(CONTACT, expires=60, now=50.0)
    office.registrar.expire(60.0)
    assert office.told() == []
    assert office.reached(now=109.0)


def test_a_phone_whose_address_changed_is_told_again(office):
    office.register(CONTACT)
    moved = PHONE._replace(port=6000)
    office.register(CONTACT, flow=moved)
    assert office.told() == [(Registered, "1001", PHONE), (Registered, "1001", moved)]
    assert office.reached() == [("sip:1001@192.0.2.1:5070", moved)]
    assert PHONE not in office.registrar.flows


@pytest.mark.parametrize(
    ("contact", "header", "granted"),
    [
        (CONTACT, None, "3600"),
        (CONTACT, "7200", "3600"),
        (CONTACT, "60", "60"),
        (CONTACT + ";expires=90", "7200", "90"),
        (CONTACT + ";expires=soon", None, "3600"),
        (CONTACT, "soon", "3600"),
        (CONTACT + ";expires=99999999999999999999", None, "3600"),
    ],
)
def test_what_time_is_granted(office, contact, header, granted):
    assert office.register(contact, expires=header).contact.params["expires"] == granted


def test_too_short_an_interval_is_refused_with_the_shortest(office):
    refused = office.register(CONTACT, expires=59)
    assert (refused.status, refused.reason) == (423, "Interval Too Brief")
    assert refused.get("min-expires") == "60"
    assert office.reached() == []


def test_expires_zero_unregisters_that_contact(office):
    office.register(CONTACT)
    office.register("<sip:1001@192.0.2.2>;transport=tcp", flow=OTHER, call_id="r2")
    office.registrar.events()
    assert office.register(CONTACT, expires=0).get_all("contact") == [
        "<sip:1001@192.0.2.2>;transport=tcp;expires=3600"
    ]
    assert office.told() == []
    assert office.register("<sip:1001@192.0.2.2>;expires=0", flow=OTHER, call_id="r2").contact is None
    assert office.told() == [(Unregistered, "1001", None)]


def test_unregistering_what_is_not_registered_is_fine(office):
    assert office.register(CONTACT, CONTACT, expires=0).status == 200
    assert office.told() == []


def test_star_unregisters_everything(office):
    office.register(CONTACT, "<sip:1001@192.0.2.9>")
    office.registrar.events()
    assert office.register("*", expires=0).status == 200
    assert office.reached() == []
    assert office.told() == [(Unregistered, "1001", None)]


@pytest.mark.parametrize("expires", [None, 60, "soon"])
def test_star_needs_expires_zero(office, expires):
    office.register(CONTACT)
    assert office.register("*", expires=expires).status == 400
    assert office.reached()


def test_register_without_a_contact_only_asks(office):
    office.register(CONTACT + ";q=0.7", now=0.0)
    asked = office.register(now=100.0)
    assert asked.contact.params == {"q": "0.7", "expires": "3500"}


def test_the_newest_registration_comes_first(office):
    office.register(CONTACT)
    office.register("<sip:1001@192.0.2.2>", flow=OTHER, call_id="r2")
    assert [flow for _, flow in office.reached()] == [OTHER, PHONE]
    office.register(CONTACT)
    assert [flow for _, flow in office.reached()] == [PHONE, OTHER]


def test_an_old_packet_does_not_undo_a_newer_one(office):
    office.register(CONTACT, cseq=10)
    assert office.register(CONTACT, cseq=9, expires=0).status == 400
    assert office.register("*", cseq=8, expires=0).status == 400
    assert office.reached()
    assert office.register(CONTACT, cseq=1, expires=0, call_id="after a restart").status == 200
    assert not office.reached()


def test_all_contacts_or_none(office):
    refused = office.register(CONTACT, "<sip:1001@192.0.2.9>;expires=5", "<sip:1001@192.0.2.10>")
    assert refused.status == 423
    assert office.register(CONTACT, "<mailto:a@b>").status == 400
    assert office.reached() == []


def test_the_device_is_known_by_its_instance(office):
    instance = ';+sip.instance="<urn:uuid:2b5a2b2c>";reg-id=1'
    office.register(f"<sip:abc@u3tv.invalid;transport=ws>{instance}", flow=Flow("WSS", "192.0.2.3", 1, 4))
    office.register(f"<sip:xyz@9m2h.invalid;transport=ws>{instance}", flow=Flow("WSS", "192.0.2.3", 2, 5))
    assert office.reached() == [("sip:xyz@9m2h.invalid;transport=ws", Flow("WSS", "192.0.2.3", 2, 5))]
    (binding,) = office.registrar.bindings("1001", 0.0)
    assert binding.instance == "<urn:uuid:2b5a2b2c>"


def test_a_lost_connection_takes_its_registrations_along(office):
    office.register("<sip:1001@192.0.2.2>", flow=OTHER)
    office.register("<sip:1002@192.0.2.2>", flow=OTHER, user="1002")
    office.register("<sip:1002@192.0.2.1>", user="1002")
    office.registrar.events()
    office.registrar.lost(OTHER)
    assert office.told() == [(Unregistered, "1001", None)]
    assert (office.reached(), len(office.reached(user="1002"))) == ([], 1)
    office.registrar.lost(OTHER)
    assert office.told() == []


def test_a_path_is_kept_and_given_back(office):
    headers = [("Path", "<sip:edge;lr>, <sip:core;lr>"), ("Supported", "path")]
    assert office.register(CONTACT, headers=headers).get_all("path") == ["<sip:edge;lr>, <sip:core;lr>"]
    (binding,) = office.registrar.bindings("1001", 0.0)
    assert binding.path == ("<sip:edge;lr>", "<sip:core;lr>")


def test_a_phone_that_registers_ever_new_addresses_pushes_out_its_own(office):
    for i in range(BINDINGS_MAX + 5):
        assert office.register(f"<sip:1001@192.0.2.1:{6000 + i}>").status == 200
    reached = office.reached()
    assert len(reached) == BINDINGS_MAX
    assert reached[0][0].endswith(str(6000 + BINDINGS_MAX + 4))
    many = [f"<sip:1001@192.0.2.1:{7000 + i}>" for i in range(BINDINGS_MAX + 1)]
    assert office.register(*many).status == 400


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["register", "unregister", "star", "lost", "expire"]),
        st.sampled_from(["1001", "1002"]),
        st.sampled_from([PHONE, OTHER]),
        st.integers(0, 2),
        st.integers(60, 200),
    ),
    max_size=25,
)


@given(STEPS)
def test_what_is_told_always_matches_who_can_be_reached(steps):
    office, now, online = Office(), 0.0, set()
    for what, user, flow, number, seconds in steps:
        contact = f"<sip:{user}@192.0.2.{number}>"
        now += seconds / 3
        office.registrar.expire(now)
        match what:
            case "register":
                assert office.register(contact, expires=seconds, user=user, flow=flow, now=now).status == 200
            case "unregister":
                assert office.register(contact, expires=0, user=user, flow=flow, now=now).status == 200
            case "star":
                assert office.register("*", expires=0, user=user, flow=flow, now=now).status == 200
            case "lost":
                office.registrar.lost(flow)
        for event in office.registrar.events():
            if isinstance(event, Registered):
                online.add(event.user)
            else:
                assert event.user in online
                online.remove(event.user)
        flows = set()
        for anybody in ("1001", "1002"):
            bindings = office.registrar.bindings(anybody, now)
            assert bool(bindings) == (anybody in online)
            flows.update(binding.flow for binding in bindings)
        assert office.registrar.flows == flows
        due = office.registrar.next_timer()
        assert not online or (due is not None and due > now)
