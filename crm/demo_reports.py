"""Two reports of a demonstration centre, modelled from its forms (UAU-63) and shared by its supervisor."""

from typing import Any

import asyncpg

REPORTS: tuple[tuple[Any, ...], ...] = (  # name, about, columns, tree, order, groups, measures, period, asks
    (
        "Motivos de contato em Vendas",
        "Por que ligam para Vendas, e quanto disso termina com sucesso.",
        ["saved", "agent", "customer", "customer.city", "answer.motive", "answer.segment", "category"],
        {"all": [{"field": "queue", "test": "one_of", "value": ["sales"]}]},
        "-count",
        ["answer.motive", "category"],
        ["count", "share", "yes:success", "average:talk_seconds"],
        "last_30",
        ["agent", "answer.segment"],
    ),
    (
        "Pedidos comentados",
        "As ligações em que se falou de um pedido, com o que foi combinado.",
        ["answer.order", "saved", "customer", "number", "agent", "answer.motive", "answer.notes"],
        {"all": [{"field": "answer.order", "test": "filled"}]},
        "-saved",
        [],
        [],
        "last_30",
        ["answer.order", "agent"],
    ),
)


async def fill(connection: asyncpg.Connection) -> None:
    """Once: a report of this name that is there already stays as it is."""
    await connection.executemany(
        """
        INSERT INTO custom_report (name, about, subject, columns, tree, "order", groups, measures, period,
                                   asks, shared, owner)
        SELECT $1, $2, 'tabulations', $3, $4, $5, $6, $7, $8, $9, true, id FROM user_account
         WHERE login = 'supervisor' AND NOT EXISTS (SELECT FROM custom_report WHERE name = $1)
        """,
        REPORTS,
    )
