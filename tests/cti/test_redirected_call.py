"""A carrier answers 302: the same call goes on at another of its servers, when the trunk allows it."""

from types import SimpleNamespace

import pytest

from config import Settings
from crm.trunks import Trunk
from crm.users import Role
from cti.phone import Phones
from cti.sip.flow import Flow
from cti.sip.message import Request, parse
from cti.sip.stack import Stack
from cti.station import CallRefused
from tests.fakes.desk import user
from tests.fakes.floor import floor
from tests.fakes.telephones import FakeEngine
from tests.sip.line import ANSWER, SDP, tokens
from tests.waiting import until

CHALLENGE = ("WWW-Authenticate", 'Digest realm="c", nonce="n", algorithm=MD5, qop="auth"')


class Engine(FakeEngine):
    async def rtp_offer(self, leg, near=None):
        self.orders.append(("rtp_offer", leg))
        return SDP


class Carrier:
    """Our telephones, and every packet they sent; the answers are the test's."""

    def __init__(self, follows=True):
        self.floor = floor(Settings(), [user(1, "agent1", Role.AGENT)])
        self.stack = Stack("127.0.0.1", 5060, tokens("t"))
        self.sent = []
        transport = SimpleNamespace(now=lambda: 0.0, pump=self.pump)
        self.engine = Engine()
        self.phones = Phones(Settings(), self.floor, self.engine, self.stack, None, None, transport)
        self.floor.phones = self.phones
        self.trunk = Trunk(
            7, "c", "192.0.2.1", 5060, "UDP", "ana", "secret", "", True, follows_redirects=follows
        )

    def pump(self):
        for flow, data in self.stack.to_send():
            message = parse(data)
            if isinstance(message, Request) and message.method == "INVITE":
                self.sent.append((flow, message))
        for event in self.stack.events():
            self.phones.sip_event(event)

    def answer(self, status, *headers, body=""):
        flow, invite = self.sent[-1]
        response = invite.response(status, to_tag=f"far{len(self.sent)}", headers=headers)
        if body:
            response.set("Content-Type", "application/sdp").body = body.encode()
        self.stack.receive(response.encode(), flow, 0.0)
        self.pump()

    async def call(self):
        return await self.phones.call_trunk(self.trunk, "5511", "1130")

    async def invited(self, times):
        await until(lambda: len(self.sent) == times)
        return self.sent[-1]


async def test_a_call_goes_on_at_the_server_that_302_names():
    carrier = Carrier()
    leg = await carrier.call()
    carrier.answer(302, ("Contact", "<sip:5599@192.0.2.2:5070;transport=tcp>"))
    flow, invite = await carrier.invited(2)
    assert flow == Flow("TCP", "192.0.2.2", 5070)
    assert invite.uri == "sip:5599@192.0.2.2:5070;transport=tcp"
    assert invite.to.uri.user == "5511" and invite.from_.uri.user == "1130"
    assert invite.body.decode() == SDP
    carrier.answer(200, body=ANSWER)
    await leg.answered
    assert leg.session.state == "up" and not leg.over.done()
    assert carrier.phones.trunk_calls(7) == 1
    await leg.hang_up()
    await until(lambda: carrier.phones.trunk_calls(7) == 0)
    await until(lambda: ("delete", leg.name) in carrier.engine.orders)


async def test_the_password_stays_with_the_host_it_is_for():
    carrier = Carrier()
    leg = await carrier.call()
    carrier.answer(302, ("Contact", "<sip:1@192.0.2.1:5070>"), ("Contact", "<sip:1@192.0.2.66>;q=0.1"))
    await carrier.invited(2)
    carrier.answer(401, CHALLENGE)
    _, again = await carrier.invited(3)
    assert again.get("Authorization")
    carrier.answer(503)
    await carrier.invited(4)
    carrier.answer(401, CHALLENGE)
    with pytest.raises(CallRefused) as refused:
        await leg.answered
    assert refused.value.status == 401 and leg.over.done() and len(carrier.sent) == 4


async def test_without_the_trunks_leave_it_is_refused_and_told_why(caplog):
    carrier = Carrier(follows=False)
    leg = await carrier.call()
    carrier.answer(302, ("Contact", "<sip:1@192.0.2.2>"))
    with pytest.raises(CallRefused) as refused:
        await leg.answered
    assert refused.value.status == 302 and leg.over.done() and len(carrier.sent) == 1
    assert "redirected to sip:1@192.0.2.2; redirections are not followed" in caplog.text


async def test_a_circle_ends_in_the_last_refusal():
    carrier = Carrier()
    leg = await carrier.call()
    for server in (2, 3):
        carrier.answer(302, ("Contact", f"<sip:1@192.0.2.{server}>"))
        await carrier.invited(server)
    carrier.answer(302, ("Contact", "<sip:1@192.0.2.2>"))
    with pytest.raises(CallRefused):
        await leg.answered
    assert len(carrier.sent) == 3 and leg.over.done()


async def test_who_hangs_up_meanwhile_calls_nobody_else():
    carrier = Carrier()
    leg = await carrier.call()
    carrier.answer(302, ("Contact", "<sip:1@192.0.2.2>"))
    await leg.hang_up()
    tasks = list(carrier.floor._tasks)
    for task in tasks:
        await task
    assert len(carrier.sent) == 1


async def test_a_server_that_has_no_address_ends_the_call(monkeypatch):
    carrier = Carrier()
    leg = await carrier.call()

    async def unknown(host):
        raise OSError("no such name")

    monkeypatch.setattr(carrier.phones, "_address", unknown)
    carrier.answer(302, ("Contact", "<sip:1@nowhere.invalid>"))
    with pytest.raises(CallRefused):
        await leg.answered
    assert leg.over.done()
