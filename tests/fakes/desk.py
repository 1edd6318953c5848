"""A floor, its desks and their verbs without telephony, for tests of what stands before them."""

import asyncio
from types import SimpleNamespace

from crm.refused import Refused
from crm.users import Role, User


def user(number: int = 1, login: str = "agent1", role: Role = Role.AGENT) -> User:
    return User(number, login, login.title(), role, 1, "Sales", "en", str(1000 + number), True, False, True)


class FakeDesk:
    def __init__(self, owner: User, kept: int = 1000):
        self.user, self.kept, self.stream = owner, kept, f"stream-of-{owner.login}"
        self.seq, self.log, self.screens = 0, [], []
        self.pauses = {"lunch": "Lunch"}

    def attach(self, screen, after=None, stream=None):
        known = stream == self.stream and after is not None and self.seq - self.kept <= after <= self.seq
        self.screens.append(screen)
        for message in self.log:
            if known and message["seq"] > after:
                screen.event(message)
        return SimpleNamespace(stream=self.stream, seq=self.seq, replayed=known)

    def detach(self, screen):
        self.screens.remove(screen)

    def show(self, event, **fields):
        self.seq += 1
        message = {"event": event, "seq": self.seq, "time": "2026-11-21T20:00:00.000Z", **fields}
        self.log = [*self.log, message][-self.kept :]
        for screen in list(self.screens):
            screen.event(message)

    def snapshot(self):
        return {
            "stream": self.stream,
            "seq": self.seq,
            "now": "2026-11-21T20:00:00.000Z",
            "user": {
                "id": self.user.id,
                "login": self.user.login,
                "name": self.user.name,
                "role": str(self.user.role),
                "language": "en",
            },
            "agent": {"state": "not_ready", "reason": "logged_on", "queues": ["sales"]},
            "station": None,
            "call": None,
            "customer": None,
            "form": None,
            "queues": [{"name": "sales", "label": "Sales", "waiting": 0, "longest_since": None}],
            "pauses": [{"code": code, "label": label} for code, label in self.pauses.items()],
            "routes": [],
            "directory": [],
            "figures": {"answered": 0, "made": 0, "talk_seconds": 0, "tabulated": 0},
            "pending": [],
        }


class FakeFloor:
    def __init__(self):
        self.desks, self.watchers, self.answered = {}, [], 0

    def desk(self, owner: User) -> FakeDesk:
        return self.desks.setdefault(owner.id, FakeDesk(owner))

    def wall(self, language):
        queue = {"name": "sales", "label": "Sales", "waiting": 0, "answered": self.answered, "abandoned": 0}
        return {"now": "2026-11-21T20:00:00.000Z", "queues": [queue], "agents": [], "waiting": []}

    def watch(self, callback):
        self.watchers.append(callback)
        return lambda: self.watchers.remove(callback)

    def change(self):
        self.answered += 1
        for callback in list(self.watchers):
            callback()


class FakeUsers:
    """`verify` as crm.users has it; every password is `secret`."""

    def __init__(self, *known: User):
        self.known = {one.login: one for one in known or (user(),)}
        self.failures, self.failures_max = 0, 100

    async def verify(self, login, password):
        if self.failures >= self.failures_max:
            raise Refused("Too many wrong passwords. Try again in a minute.", code="locked")
        if password != "secret" or login not in self.known:
            self.failures += 1
            return None
        return self.known[login]


class FakeCommands:
    """`perform` as cti.commands has it, for a few verbs, with a record of what was asked."""

    def __init__(self):
        self.asked, self.gate = [], asyncio.Event()
        self.gate.set()

    async def __call__(self, floor, desk, verb, arguments):
        self.asked.append((desk.user.login, verb, arguments))
        await self.gate.wait()
        match verb, arguments:
            case "SetAgentState", {"state": "ready"}:
                desk.show("AgentReady", agent={"state": "ready", "reason": None, "queues": ["sales"]})
                return {}
            case "SetAgentState", {"state": "not_ready", **rest}:
                reason = rest.get("reason")
                desk.show("AgentNotReady", reason=reason, agent={"state": "not_ready", "reason": reason})
                return {}
            case "SnapshotDevice", {}:
                return {"snapshot": desk.snapshot()}
            case "SaveTabulation", {}:
                errors = {"motive": "required"}
                raise Refused("Some answers are missing.", code="form", details={"errors": errors})
            case "AnswerCall", {}:
                raise Refused("There is no call to answer.", code="wrong_state")
            case "HoldCall", {}:
                raise RuntimeError("a bug")
            case "Logout", {}:
                return {}
            case _:
                raise Refused("There is no verb {verb}.", code="unknown_verb", verb=verb)
