"""A small centre: two queues, three agents, a layout."""

from crm.centre import Centre
from crm.extensions import Extension
from crm.layouts import Category, CategoryType, Field, Kind, Layout
from crm.numbers import Leads, Number
from crm.pauses import Pause
from crm.queues import Queue
from crm.users import Role, User

LAYOUT = Layout(
    1,
    "sale",
    "Venda",
    (
        Field("product", "Produto", Kind.CHOICE, True, ("Plano A", "Plano B")),
        Field("notes", "Notas", Kind.TEXT),
    ),
    (CategoryType(1, "Venda", (Category(1, "Vendido", True), Category(2, "Sem interesse", False))),),
)
GOOD_ANSWERS = {"category": "1", "product": "Plano A"}


def agent(number: int, may_dial_external: bool = True) -> User:
    return User(
        number,
        f"agent{number}",
        f"Agente {number}",
        Role.AGENT,
        1,
        "Vendas",
        "pt_BR",
        f"100{number}",
        may_dial_external,
        False,
        True,
    )


def queue(number: int, name: str, members: tuple[int, ...], mandatory: bool = True) -> Queue:
    return Queue(number, name, name.title(), 0, 20, 20, 50, 0, 1, mandatory, False, members)


def small_centre() -> Centre:
    users = {n: agent(n) for n in (1, 2, 3)}
    return Centre(
        users=users,
        queues={
            "sales": queue(1, "sales", (1, 2, 3)),
            "support": queue(2, "support", (2, 3), mandatory=False),
        },
        extensions={f"100{n}": Extension(f"100{n}", n, f"Ramal 100{n}", "", "") for n in users},
        numbers={
            "4000": Number("4000", Leads.QUEUE, "sales"),
            "4001": Number("4001", Leads.QUEUE, "support"),
        },
        layouts={1: LAYOUT},
        pauses=(Pause("lunch", "Almoço"),),
    )
