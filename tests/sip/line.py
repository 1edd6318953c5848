"""Stacks and hand-written peers joined by a network that tests can cut, and a clock that tests move."""

from itertools import count

from cti.sip.events import Ended
from cti.sip.flow import Flow
from cti.sip.message import Request, parse
from cti.sip.stack import Stack

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8\r\n"
HELD = SDP + "a=sendonly\r\n"
ANSWER = SDP.replace("20000", "30000")


def tokens(name):
    numbers = count(1)
    return lambda: f"{name}{next(numbers)}x"


class End:
    """One stack, and all that it told."""

    def __init__(self, name, host, transport="UDP", **options):
        self.host = host
        self.transport = transport
        self.stack = Stack(host, 5060, tokens(name), **options)
        self.told = []

    def flow(self, connection=0):
        return Flow(self.transport, self.host, 5060, connection)

    def of(self, kind):
        return [event for event in self.told if isinstance(event, kind)]

    def last(self, kind):
        return self.of(kind)[-1]

    @property
    def is_idle(self):
        return self.stack.sessions == 0 and self.stack.transactions == 0 and self.stack.next_timer() is None


class Line:
    """Two ends. `loses(message)` says which packets never arrive, `doubles` which come twice."""

    def __init__(self, transport="UDP"):
        connection = 0 if transport == "UDP" else 7
        self.now = 1000.0
        self.a = End("a", "192.0.2.1", transport)
        self.b = End("b", "192.0.2.2", transport)
        self._flows = {
            self.a: self.b.flow(connection),  # what comes to a, comes from b
            self.b: self.a.flow(connection),
        }
        self.sent = []  # (when, from whom, message)
        self.loses = lambda message: False
        self.doubles = lambda message: False
        self.answers = {}  # event kind -> what b or a does with it

    def call(self, **options):
        flow = self._flows[self.a]
        return self.a.stack.invite(
            "sip:bob@192.0.2.2",
            flow=flow,
            from_='"Ana" <sip:ana@192.0.2.1>',
            sdp=SDP,
            now=self.now,
            **options,
        )

    def run(self):
        """Deliver until nothing is on the way."""
        moved = True
        while moved:
            moved = False
            for end, other in ((self.a, self.b), (self.b, self.a)):
                for _, data in end.stack.to_send():
                    moved = True
                    message = parse(data)
                    self.sent.append((self.now, end, message))
                    if not self.loses(message):
                        for _ in range(1 + bool(self.doubles(message))):
                            other.stack.receive(data, self._flows[other], self.now)
                for event in end.stack.events():
                    moved = True
                    end.told.append(event)
                    if act := self.answers.get(type(event)):
                        act(end, event)

    def wait(self, seconds):
        """Let time pass, timer by timer."""
        end_of_wait = self.now + seconds
        while True:
            timers = [when for end in (self.a, self.b) if (when := end.stack.next_timer()) is not None]
            if not timers or min(timers) > end_of_wait:
                break
            self.now = max(self.now, min(timers))
            self.a.stack.tick(self.now)
            self.b.stack.tick(self.now)
            self.run()
        self.now = end_of_wait

    def starts(self, end=None):
        """What went over the line, as `INVITE` or `180`."""
        return [
            message.method if isinstance(message, Request) else str(message.status)
            for _, sender, message in self.sent
            if end is None or sender is end
        ]

    def established(self):
        """A call from a to b that is up; both its sessions."""
        ours = self.call()
        self.run()
        theirs = self.b.told[-1].session
        theirs.accept(ANSWER, self.now)
        self.run()
        assert ours.state == theirs.state == "up"
        self.sent.clear()
        return ours, theirs


class Peer:
    """A peer whose every packet the test writes, and the stack it speaks to."""

    def __init__(self, transport="UDP", connection=0, host="192.0.2.9", port=5062, **options):
        self.flow = Flow(transport, host, port, connection)
        self.end = End("r", "192.0.2.1", transport, **options)
        self.stack = self.end.stack
        self.now = 1000.0
        self._branches = count(1)

    def request(
        self, method, *headers, branch=None, tag=None, cseq=1, body="", uri="sip:4000@192.0.2.1", **fields
    ):
        """Only what is asked for differs from a plain request; `fields` replaces lines, empty removes."""
        lines = {
            "Via": f"SIP/2.0/{self.flow.transport} {self.flow.host}:{self.flow.port}"
            f";branch={branch or f'z9hG4bKp{next(self._branches)}'};rport",
            "Max-Forwards": "70",
            "From": '"Ana" <sip:ana@example.com>;tag=ana',
            "To": f"<{uri}>" + (f";tag={tag}" if tag else ""),
            "Call-ID": "call@peer",
            "CSeq": f"{cseq} {method}",
            "Contact": f"<sip:ana@{self.flow.host}:{self.flow.port}>",
        } | {name.replace("_", "-"): value for name, value in fields.items()}
        if body and "Content-Type" not in lines:
            lines["Content-Type"] = "application/sdp"
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        text += "".join(f"{header}\r\n" for header in headers)
        return f"{method} {uri} SIP/2.0\r\n{text}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()

    def send(self, data):
        """Deliver one packet; what came back, parsed."""
        self.stack.receive(data, self.flow, self.now)
        return self.heard()

    def ask(self, method, *headers, **fields):
        return self.send(self.request(method, *headers, **fields))

    def answer(self, request, status, *headers, tag="peer", body="", reason="Whatever"):
        """The response to a request we heard."""
        response = request.response(
            status, reason, to_tag=tag, headers=[tuple(h.split(": ", 1)) for h in headers]
        )
        if body:
            response.set("Content-Type", "application/sdp")
            response.body = body.encode()
        return self.send(response.encode())

    def heard(self):
        self.end.told += self.stack.events()
        return [parse(data) for _, data in self.stack.to_send()]

    def wait(self, seconds):
        """Let time pass, timer by timer; all packets heard meanwhile with their times."""
        heard = []
        end_of_wait = self.now + seconds
        while (when := self.stack.next_timer()) is not None and when <= end_of_wait:
            self.now = max(self.now, when)
            self.stack.tick(self.now)
            heard += [(self.now, message) for message in self.heard()]
        self.now = end_of_wait
        return heard

    def calls(self, *headers, **fields):
        """Our side of a call that the peer begins, not answered yet."""
        self.ask("INVITE", *headers, **({"body": SDP, "branch": "z9hG4bKinvite"} | fields))
        return self.end.told[-1].session

    def called(self, **options):
        """Our call to the peer, and the INVITE it heard."""
        session = self.stack.invite(
            "sip:bob@192.0.2.9:5062",
            flow=self.flow,
            from_="<sip:4000@192.0.2.1>",
            sdp=SDP,
            now=self.now,
            **options,
        )
        [invite] = self.heard()
        return session, invite

    def ended(self, session):
        return [(e.cause, e.by_peer) for e in self.end.of(Ended) if e.session is session]
