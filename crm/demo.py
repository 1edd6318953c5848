"""A demonstration centre: its people, queues and customers, put into an empty database once."""

import datetime
import json
import os
import re
import secrets
import unicodedata
from random import Random
from typing import Any

import asyncpg

from config import Settings
from crm import demo_campaign, demo_dialing, demo_history, demo_reports, layouts, passwords
from crm.db import Db
from crm.extensions import digests

GROUPS = ("Supervisão", "Vendas", "Suporte")
PEOPLE = (  # login, name, role, group, extension
    ("admin", "Marta Nogueira", "administrator", "Supervisão", None),
    ("supervisor", "Paulo Teixeira", "supervisor", "Supervisão", None),
    ("agent1", "Ana Souza", "agent", "Vendas", "1001"),
    ("agent2", "Bruno Carvalho", "agent", "Vendas", "1002"),
    ("agent3", "Carla Menezes", "agent", "Vendas", "1003"),
    ("agent4", "Diego Ramos", "agent", "Suporte", "1004"),
    ("agent5", "Elisa Prado", "agent", "Suporte", "1005"),
    ("agent6", "Fábio Lacerda", "agent", "Suporte", "1006"),
)
PAUSES = (
    ("break_10", "Pausa NR-17 (10 min)"),
    ("meal", "Lanche (20 min)"),
    ("personal", "Particular"),
    ("feedback", "Orientação da supervisão"),
    ("training", "Treinamento"),
)
SALES_TYPES = {
    "Venda": [("Venda fechada", True), ("Proposta enviada", True), ("Retornar depois", True)],
    "Sem venda": [("Sem interesse", False), ("Preço", False), ("Já é cliente de outra empresa", False)],
    "Contato": [("Engano", False), ("Ligação caiu", False)],
}
SUPPORT_TYPES = {
    "Solução": [("Resolvido no atendimento", True), ("Orientação dada", True)],
    "Encaminhamento": [("Visita técnica agendada", True), ("Aberto chamado de segundo nível", False)],
    "Contato": [],
}
SALES_FIELDS: tuple[dict[str, Any], ...] = (
    {
        "key": "motive",
        "label": "Motivo do contato",
        "kind": "motive",
        "required": True,
        "options": ("Primeira compra", "Recompra", "Cotação", "Troca ou devolução", "Reclamação"),
    },
    {
        "key": "segment",
        "label": "Segmento",
        "kind": "segment",
        "options": ("Residencial", "Pequena empresa", "Grande empresa"),
    },
    {"key": "order", "label": "Número do pedido", "kind": "number"},
    {"key": "return_on", "label": "Retornar em", "kind": "date"},
    {"key": "other_phone", "label": "Outro telefone", "kind": "phone"},
    {"key": "notes", "label": "O que foi combinado", "kind": "long_text", "required": True},
    {"key": "informed", "label": "Cliente informado da gravação", "kind": "checkbox"},
)
SUPPORT_FIELDS: tuple[dict[str, Any], ...] = (
    {
        "key": "motive",
        "label": "Problema",
        "kind": "motive",
        "required": True,
        "options": ("Sem sinal", "Lentidão", "Instalação", "Segunda via", "Mudança de endereço"),
    },
    {
        "key": "equipment",
        "label": "Equipamento",
        "kind": "choice",
        "options": ("Roteador", "Telefone", "Terminal de fibra", "Não se aplica"),
    },
    {"key": "protocol", "label": "Protocolo", "kind": "text", "length_max": 30},
    {"key": "notes", "label": "O que foi feito", "kind": "long_text", "required": True},
)
FIRST_NAMES = (
    "Adriana Alexandre Aline Amanda André Antônio Beatriz Bianca Caio Camila Carlos Cecília César Clara "
    "Cláudia Cristiano Daniel Débora Eduardo Eliane Érica Fabiana Felipe Fernanda Flávia Francisco Gabriel "
    "Gabriela Gilberto Guilherme Gustavo Helena Heloísa Henrique Igor Isabela Ivone Jaqueline João Joaquim "
    "Jorge José Juliana Karina Larissa Laura Leandro Letícia Luana Lucas Luís Luíza Marcelo Márcia Maria "
    "Mariana Mateus Maurício Mônica Natália Otávio Patrícia Pedro Priscila Rafael Raquel Regina Renato "
    "Roberta Rodrigo Rosângela Sérgio Silvana Simone Sônia Tatiana Thiago Valéria Vera Vinícius Vitória"
).split()
LAST_NAMES = (
    "Almeida Alves Andrade Araújo Azevedo Barbosa Barros Borges Brito Campos Cardoso Castro Cavalcanti "
    "Coelho Costa Cunha Dias Duarte Farias Fernandes Ferreira Figueiredo Fonseca Freitas Garcia Gomes "
    "Gonçalves Guimarães Lima Lopes Macedo Machado Magalhães Marques Martins Mello Mendes Miranda Monteiro "
    "Moraes Moreira Nascimento Neves Nunes Oliveira Pacheco Peixoto Pereira Pinheiro Pinto Pires Queiroz "
    "Rezende Ribeiro Rocha Rodrigues Sales Sampaio Santana Santos Siqueira Soares Tavares Toledo Vasconcelos "
    "Viana Vieira Xavier"
).split()
TRADES = (
    "Padaria Farmácia Papelaria Transportes Auto Peças Clínica Escola Mercado Ótica Restaurante Gráfica "
    "Materiais Imobiliária"
).split()
AREA_CODES = ("11",) * 12 + ("19", "12", "13", "21", "31", "41", "51", "61", "71", "81", "85")
KNOWN = (  # one match, and two candidates for the same number
    ("Mariana Albuquerque", "Albuquerque Decorações", "+5511987654321"),
    ("Ricardo Menezes", "Menezes Materiais", "+5511912345678"),
    ("Luciana Menezes", "", "+5511912345678"),
)
NOT_CONTACTS = ("+5521998761234", "+5531988880000")  # the simulated customers nobody knows
CONTACTS = 320
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is read as another


def password(settings: Settings) -> str:
    """Of every demo user and extension: the setting's, else the one made at the first start and kept."""
    file = settings.data / "demo.json"
    if settings.demo_password:
        word = settings.demo_password
    elif file.exists():
        return json.loads(file.read_text())["password"]
    else:
        word = "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(3))
    keep(settings, word)
    return word


def keep(settings: Settings, word: str) -> None:
    """In a file only we can read."""
    settings.data.mkdir(parents=True, exist_ok=True)
    half = settings.data / "demo.json.new"
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"password": word}, file)
    half.replace(settings.data / "demo.json")


async def fill(db: Db, settings: Settings, password: str, now: datetime.datetime | None = None) -> None:
    """The centre once, the history of the last two weeks' days that have none, the password always.

    All or nothing: what is killed half-way starts anew.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    async with db.acquire() as connection, connection.transaction():
        stored = await connection.fetchval("SELECT password FROM user_account WHERE login = 'agent1'")
        if stored is None:
            await set_up(connection, settings)
        if stored is None or not await passwords.matches(password, stored):
            await set_passwords(connection, password)
        await connection.execute("UPDATE trunk SET port = $1 WHERE name = 'demo'", settings.demo_trunk_port)
        await demo_history.fill(connection, now, settings.data)
        await demo_campaign.fill(connection, now)
        await demo_dialing.fill(connection, now)
        await demo_reports.fill(connection)


async def set_up(connection: asyncpg.Connection, settings: Settings) -> None:
    await add_people(connection, settings.language)
    await connection.executemany(
        "INSERT INTO pause (code, label, position) VALUES ($1, $2, $3)",
        [(code, label, n) for n, (code, label) in enumerate(PAUSES, start=1)],
    )
    types = {**await add_types(connection, SALES_TYPES), **await add_types(connection, SUPPORT_TYPES)}
    sales = await add_layout(connection, "sales", "Vendas", SALES_FIELDS, [types[t] for t in SALES_TYPES])
    support = await add_layout(
        connection, "support", "Suporte", SUPPORT_FIELDS, [types[t] for t in SUPPORT_TYPES]
    )
    await add_queue(connection, "sales", "Vendas", "4000", sales)
    await add_queue(connection, "support", "Suporte", "4001", support)
    trunk = await connection.fetchval(
        "INSERT INTO trunk (name, host, port) VALUES ('demo', '127.0.0.1', $1) RETURNING id",
        settings.demo_trunk_port,
    )
    await connection.execute(
        r"INSERT INTO route (name, pattern, trunk_id) VALUES ('Externa', '\+?\d{3,15}', $1)", trunk
    )
    await add_contacts(connection, Random(2026))


async def add_people(connection: asyncpg.Connection, language: str) -> None:
    await connection.executemany("INSERT INTO user_group (name) VALUES ($1)", [(name,) for name in GROUPS])
    await connection.executemany(
        """
        INSERT INTO user_account (login, name, role, group_id, language, may_dial_external,
                                  may_hear_recordings, password)
        SELECT $1, $2, $3, (SELECT id FROM user_group WHERE name = $4), $5, true, $6, ''
        """,
        [(login, name, role, group, language, role != "agent") for login, name, role, group, _ in PEOPLE],
    )
    await connection.executemany(
        """
        INSERT INTO extension (number, user_id, label, ha1_md5, ha1_sha256)
        SELECT $2, id, name, '', '' FROM user_account WHERE login = $1
        """,
        [(login, number) for login, _, _, _, number in PEOPLE if number],
    )


async def set_passwords(connection: asyncpg.Connection, password: str) -> None:
    hashed = await passwords.hashed(password)
    for login, _, _, _, number in PEOPLE:
        await connection.execute("UPDATE user_account SET password = $2 WHERE login = $1", login, hashed)
        if number:
            await connection.execute(
                "UPDATE extension SET ha1_md5 = $2, ha1_sha256 = $3 WHERE number = $1",
                number,
                *digests(number, password),
            )


async def add_types(
    connection: asyncpg.Connection, types: dict[str, list[tuple[str, bool]]]
) -> dict[str, int]:
    """The id of each; one that is there already is shared."""
    ids = {}
    for name, categories in types.items():
        ids[name] = await connection.fetchval(
            """
            INSERT INTO category_type (name) VALUES ($1)
            ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
            """,
            name,
        )
        await connection.executemany(
            "INSERT INTO category (type_id, name, success) VALUES ($1, $2, $3)",
            [(ids[name], category, success) for category, success in categories],
        )
    return ids


async def add_layout(
    connection: asyncpg.Connection,
    name: str,
    label: str,
    fields: tuple[dict[str, Any], ...],
    types: list[int],
) -> int:
    new = layouts.checked({"name": name, "label": label, "fields": fields})
    layout_id = await connection.fetchval(
        "INSERT INTO layout (name, label, fields) VALUES ($1, $2, $3) RETURNING id",
        new["name"],
        new["label"],
        new["fields"],
    )
    await layouts.set_types(connection, layout_id, types)
    return layout_id


async def add_queue(
    connection: asyncpg.Connection, name: str, label: str, number: str, layout_id: int
) -> None:
    """Every agent is in both queues, so that whoever tries the demo gets calls."""
    queue_id = await connection.fetchval(
        """
        INSERT INTO queue (name, label, wrapup_seconds, ring_seconds_max, service_level_seconds, waiting_max,
                           wait_seconds_max, layout_id, tabulation_mandatory, record)
        VALUES ($1, $2, 120, 20, 20, 50, 900, $3, true, true) RETURNING id
        """,
        name,
        label,
        layout_id,
    )
    await connection.execute(
        """
        INSERT INTO queue_member (queue_id, user_id)
        SELECT $1, id FROM user_account WHERE role = 'agent'
        """,
        queue_id,
    )
    await connection.execute(
        "INSERT INTO number (dialed, kind, target) VALUES ($1, 'queue', $2)", number, name
    )


async def add_contacts(connection: asyncpg.Connection, dice: Random) -> None:
    taken = {number[-8:] for _, _, number in KNOWN} | {number[-8:] for number in NOT_CONTACTS}
    people = [(name, company, [number]) for name, company, number in KNOWN]
    while len(people) < CONTACTS:
        people.append(invented(dice, taken))
    rows = await connection.fetch(
        """
        INSERT INTO contact (name, company, document, email, notes)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) RETURNING id
        """,
        [name for name, _, _ in people],
        [company for _, company, _ in people],
        [cpf(dice) if dice.random() < 0.7 else "" for _ in people],
        [email(name) if dice.random() < 0.8 else "" for name, _, _ in people],
        [dice.choice(NOTES) if dice.random() < 0.2 else "" for _ in people],
    )
    await connection.executemany(
        "INSERT INTO contact_phone (contact_id, number, position) VALUES ($1, $2, $3)",
        [
            (row["id"], number, position)
            for row, (_, _, numbers) in zip(rows, people, strict=True)
            for position, number in enumerate(numbers, start=1)
        ],
    )


NOTES = (
    "Prefere ser chamado à tarde.",
    "Cliente desde 2019.",
    "Pediu para não receber ofertas por e-mail.",
    "Falar com a secretária quando não atender.",
    "Compra todo mês para a empresa.",
)


def invented(dice: Random, taken: set[str]) -> tuple[str, str, list[str]]:
    surnames = dice.sample(LAST_NAMES, dice.choice((1, 2, 2)))
    name = f"{dice.choice(FIRST_NAMES)} {' '.join(surnames)}"
    company = f"{dice.choice(TRADES)} {surnames[-1]}" if dice.random() < 0.4 else ""
    area = dice.choice(AREA_CODES)
    numbers = [new_number(dice, area, "9", taken)]
    if dice.random() < 0.35:
        numbers.append(new_number(dice, area, dice.choice("2345"), taken))
    return name, company, numbers


def new_number(dice: Random, area: str, first: str, taken: set[str]) -> str:
    """A mobile has nine digits, the second of them 6 to 9; a landline has eight. No two endings are alike."""
    while True:
        second = str(dice.randrange(6, 10)) if first == "9" else ""
        subscriber = first + second + f"{dice.randrange(10_000_000):07d}"
        if subscriber[-8:] not in taken:
            taken.add(subscriber[-8:])
            return f"+55{area}{subscriber}"


def cpf(dice: Random) -> str:
    """With right check digits."""
    digits = [dice.randrange(10) for _ in range(9)]
    for _ in range(2):
        rest = sum((len(digits) + 1 - n) * digit for n, digit in enumerate(digits)) * 10 % 11
        digits.append(rest % 10)
    return "".join(map(str, digits))


def email(name: str) -> str:
    first, *_, last = plain(name).lower().split()
    return f"{first}.{last}@exemplo.com.br"


def plain(text: str) -> str:
    return re.sub(r"[^A-Za-z ]", "", unicodedata.normalize("NFD", text))
