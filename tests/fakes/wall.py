"""A floor as supervisors and administrators need it: a wall that tests can move, a centre to reload."""

import copy
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from crm.centre import Centre


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def queue(name: str, label: str, **facts) -> dict:
    agents = dict.fromkeys(("ready", "busy", "reserved", "wrap_up", "not_ready"), 0) | facts.pop("agents", {})
    return {
        "name": name,
        "label": label,
        "waiting": 0,
        "longest_since": None,
        "offered": 0,
        "answered": 0,
        "abandoned": 0,
        "service_level_percent": None,
        "service_level_seconds": 20,
        "expected_wait_seconds": None,
        "agents": agents,
    } | facts


def agent(id: int, name: str, state: str = "ready", **facts) -> dict:
    return {
        "id": id,
        "name": name,
        "login": f"agent{id}",
        "extension": str(1000 + id),
        "group": "Vendas",
        "state": state,
        "reason": None,
        "reason_label": "",
        "since": ago(30 * id),
        "queues": ["sales"],
        "call": None,
    } | facts


class FakeWall:
    """`picture` is what the wall shows; change it and call `change()`."""

    def __init__(self, centre: Centre | None = None) -> None:
        self.centre = centre or Centre()
        self.picture: dict = {"queues": [], "agents": [], "waiting": []}
        self.watchers: set = set()
        self.agents: dict = {}
        self.phones = SimpleNamespace(trunk_calls=lambda id: 0, engine=SimpleNamespace(detects=True))
        self.pictures_taken = 0
        self.reloads = 0

    def desk(self, user) -> SimpleNamespace:
        """Of an agent who is at no station."""
        return SimpleNamespace(station=None, snapshot=dict)

    def wall(self, language: str = "pt_BR") -> dict:
        self.pictures_taken += 1
        return {"now": ago(0), **copy.deepcopy(self.picture)}

    def watch(self, callback):
        self.watchers.add(callback)
        return lambda: self.watchers.discard(callback)

    def change(self, **parts) -> None:
        self.picture |= parts
        for callback in list(self.watchers):
            callback()

    def reload(self, centre: Centre) -> None:
        self.centre = centre
        self.reloads += 1


def busy_floor() -> dict:
    """A floor in the middle of its day, for looking at."""
    return {
        "queues": [
            queue(
                "sales",
                "Vendas",
                waiting=3,
                longest_since=ago(75),
                offered=214,
                answered=198,
                abandoned=13,
                service_level_percent=71.4,
                expected_wait_seconds=95,
                agents={"ready": 0, "busy": 3, "reserved": 1, "wrap_up": 1, "not_ready": 1},
            ),
            queue(
                "support",
                "Suporte",
                waiting=1,
                longest_since=ago(8),
                offered=96,
                answered=93,
                abandoned=2,
                service_level_percent=92.7,
                expected_wait_seconds=12,
                agents={"ready": 2, "busy": 1, "reserved": 0, "wrap_up": 0, "not_ready": 1},
            ),
            queue(
                "billing",
                "Cobrança",
                offered=41,
                answered=41,
                service_level_percent=100.0,
                expected_wait_seconds=0,
                agents={"ready": 1, "busy": 1},
            ),
        ],
        "agents": [
            agent(
                1,
                "Ana Beatriz Souza",
                "busy",
                since=ago(252),
                call={
                    "display": "(11) 98765-4321",
                    "direction": "inbound",
                    "queue": "sales",
                    "since": ago(252),
                    "contact": "Mariana Alves",
                },
            ),
            agent(
                2,
                "Bruno Lima",
                "busy",
                since=ago(41),
                call={
                    "display": "(21) 97777-1212",
                    "direction": "outbound",
                    "queue": None,
                    "since": ago(41),
                    "contact": "",
                },
            ),
            agent(3, "Carla Nunes", "wrap_up", since=ago(25)),
            agent(4, "Diego Prado", "not_ready", since=ago(612), reason="lunch", reason_label="Almoço"),
            agent(5, "Elisa Ramos", "ready", since=ago(9)),
            agent(
                6,
                "Fábio Teixeira",
                "reserved",
                since=ago(4),
                call={
                    "display": "(31) 3222-0000",
                    "direction": "inbound",
                    "queue": "sales",
                    "since": ago(4),
                    "contact": "Padaria Pão de Minas Ltda",
                },
            ),
            agent(7, "Gustavo Reis", "ready", since=ago(3720)),
            agent(
                8,
                "Helena Castro",
                "busy",
                since=ago(1830),
                call={
                    "display": "1005",
                    "direction": "internal",
                    "queue": None,
                    "since": ago(1830),
                    "contact": "Elisa Ramos",
                },
            ),
        ],
        "waiting": [
            {"display": "(11) 91234-5678", "queue": "sales", "since": ago(75)},
            {"display": "(19) 3251-9000", "queue": "sales", "since": ago(33)},
            {"display": "(11) 94444-8080", "queue": "support", "since": ago(8)},
            {"display": "(85) 99988-7766", "queue": "sales", "since": ago(5)},
        ],
    }
