"""The real floor with its desks and verbs, on a small made-up centre, without telephones or audio."""

from types import SimpleNamespace
from typing import Any

from config import Settings
from crm.centre import Centre
from crm.extensions import Extension
from crm.layouts import Category, CategoryType, Field, Kind, Layout
from crm.pauses import Pause
from crm.queues import Queue
from crm.routes import Route
from crm.users import User
from cti.call import Call
from cti.floor import Floor

LAYOUT = Layout(
    1,
    "sales",
    "Atendimento de vendas",
    (
        Field("motive", "Motivo do contato", Kind.MOTIVE, True, ("Compra", "Dúvida", "Reclamação")),
        Field("order", "Número do pedido", Kind.NUMBER),
        Field("return_on", "Retornar em", Kind.DATE),
        Field("notes", "O que foi combinado", Kind.LONG_TEXT, True),
        Field("informed", "Cliente informado da gravação", Kind.CHECKBOX),
    ),
    (
        CategoryType(
            1,
            "Venda",
            (
                Category(1, "Venda fechada", True),
                Category(2, "Proposta enviada", True),
                Category(3, "Sem interesse", False),
            ),
        ),
        CategoryType(2, "Atendimento", (Category(4, "Dúvida resolvida", True), Category(5, "Engano", False))),
    ),
)
PAUSES = (
    Pause("break_10", "Pausa NR-17 (10 min)"),
    Pause("meal", "Lanche (20 min)"),
    Pause("wc", "Particular"),
)


class Telephones:
    """Stands where cti.phone.Phones does; remembers what it was asked."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.engine = self
        self.web_stations: dict[str, Any] = {}
        self.asked: list[tuple[str, ...]] = []
        self.phones_on: set[str] = set()

    def routes_for(self, user: User) -> list[Route]:
        return list(self.floor.centre.routes.values()) if user.may_dial_external else []

    def registered(self, extension: str) -> bool:
        return extension in self.phones_on

    async def webrtc_answer(self, leg: str, sdp: str) -> str:
        self.asked.append(("webrtc_answer", leg, sdp))
        return "v=0"

    async def dtmf(self, leg: str, digits: str) -> None:
        self.asked.append(("dtmf", leg, digits))

    async def mute(self, leg: str, on: bool) -> None:
        self.asked.append(("mute", leg, str(on)))

    async def drop(self, leg: str) -> None:
        self.asked.append(("drop", leg))


class Kept(list):
    """Stands where the history's writer does."""

    lost = 0

    def put(self, record: Any) -> None:
        self.append(record)


def floor(settings: Settings, users: list[User], db: Any = None) -> Floor:
    """A floor on which every user with an extension has it and is in queue sales."""
    members = tuple(user.id for user in users if user.role in ("agent", "supervisor"))
    queues = {
        "sales": Queue(1, "sales", "Vendas", 0, 20, 20, 50, 0, 1, True, True, members),
        "support": Queue(2, "support", "Suporte", 0, 20, 20, 50, 0, 1, False, True, members[:1]),
    }
    extensions = {
        number: Extension(number, user_id, label, "", "")
        for number, user_id, label in [
            *[(user.extension, user.id, user.name) for user in users if user.extension],
            ("1101", None, "Recepção"),
            ("1102", None, "Sala de reunião"),
        ]
    }
    centre = Centre(
        users={user.id: user for user in users},
        queues=queues,
        extensions=extensions,
        layouts={1: LAYOUT},
        pauses=PAUSES,
        routes={1: Route(1, "Externa", "*", 1, 0, "", "", ())},
    )
    made = Floor(centre, Kept(), settings)  # type: ignore[arg-type]
    made.db = db
    made.phones = Telephones(made)  # type: ignore[assignment]
    return made


def ring(floor: Floor, user: User, number: str = "+5511987654321", name: str = "") -> Call:
    """A customer's call before this agent, ringing."""
    call = Call("inbound", number, "4000", floor.now(), origin="4000", caller_name=name, user_id=user.id)
    call.queue, call.queue_label = "sales", "Vendas"
    desk = floor.desk(user)
    floor.move(user.id, "reserve", call_id=call.id)
    desk.ring(call)
    return call


def connect(floor: Floor, user: User, call: Call) -> None:
    call.answered = floor.now()
    call.agent_leg = SimpleNamespace(name="agent")  # type: ignore[assignment]
    call.customer = SimpleNamespace(name="customer")  # type: ignore[assignment]
    call.recording_now = True
    floor.move(user.id, "connect", call_id=call.id)
    floor.desk(user).established(call)


def end(floor: Floor, user: User, call: Call) -> None:
    call.end(floor.now(), "answered", "normal")
    floor.desk(user).cleared(call)
