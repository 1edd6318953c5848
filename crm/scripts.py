"""Scripts: what an agent says, step by step, with choices that lead to the next step."""

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import asyncpg

from crm import audit
from crm.calls import ZONE
from crm.contacts import Contact, ContactKind
from crm.db import Db
from crm.e164 import display
from crm.entry import Entry, missing, refusing
from crm.refused import Refused
from crm.users import User, require

STEPS_MAX = 200
CHOICES_MAX = 30
TEXT_MAX = 8000
CONSTRAINTS = {"script_name_key": "name", "campaign_script_id_fkey": "campaign"}
MERGE = re.compile(r"\{\{\s*([A-Za-zÀ-ÿ_][\wÀ-ÿ]*(?:\.[a-z][a-z0-9_]*)?)\s*\}\}")


class ScriptKind(StrEnum):
    APPROACH = "approach"
    BARRIER = "barrier"  # what to say to an objection, or to whoever does not put the call through


@dataclass(frozen=True, slots=True)
class Choice:
    id: int
    label: str
    next_step_id: int | None  # None: the script ends


@dataclass(frozen=True, slots=True)
class Step:
    id: int
    title: str
    text: str  # with {{merge}} fields
    fields: tuple[str, ...]  # keys of the tabulation form's fields asked in this step
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Script:
    id: int
    name: str
    kind: ScriptKind
    version: int  # one more with each change
    active: bool
    updated: datetime.datetime
    steps: tuple[Step, ...]  # the script begins with the first

    def step(self, step_id: int) -> Step | None:
        return next((step for step in self.steps if step.id == step_id), None)


@dataclass(frozen=True, slots=True)
class Version:
    """A script as it was."""

    version: int
    at: datetime.datetime
    by: str  # empty: nobody knows any more
    body: Mapping[str, Any]  # name, kind and steps, as `checked` takes them


# -- Merge fields ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Merged:
    """What a text can speak of."""

    contact: Contact | None
    campaign: str
    agent: str
    now: datetime.datetime


def of_contact(answer: Callable[[Contact], str]) -> Callable[[Merged], str]:
    return lambda about: answer(about.contact) if about.contact else ""


def greeting(about: Merged) -> str:
    hour = about.now.astimezone(ZONE).hour
    return "bom dia" if 5 <= hour < 12 else "boa tarde" if 12 <= hour < 18 else "boa noite"


FIELDS: Mapping[str, Callable[[Merged], str]] = {
    "name": of_contact(lambda contact: contact.name),
    "first_name": of_contact(lambda contact: (contact.name.split() or [""])[0]),
    "company": of_contact(
        lambda contact: contact.company or (contact.name if contact.kind is ContactKind.COMPANY else "")
    ),
    "document": of_contact(lambda contact: contact.document),
    "phone": of_contact(lambda contact: display(contact.phones[0]) if contact.phones else ""),
    "email": of_contact(lambda contact: contact.email),
    "external_code": of_contact(lambda contact: contact.external_code),
    "notes": of_contact(lambda contact: contact.notes),
    "campaign": lambda about: about.campaign,
    "agent": lambda about: about.agent,
    "greeting": greeting,
    "today": lambda about: about.now.astimezone(ZONE).strftime("%d/%m/%Y"),
}
PORTUGUESE = {  # the same fields, as a Brazilian writes them
    "nome": "name",
    "primeiro_nome": "first_name",
    "empresa": "company",
    "documento": "document",
    "cpf": "document",
    "cnpj": "document",
    "telefone": "phone",
    "codigo_externo": "external_code",
    "observacoes": "notes",
    "campanha": "campaign",
    "agente": "agent",
    "operador": "agent",
    "saudacao": "greeting",
    "hoje": "today",
}
CUSTOM = "custom."  # {{custom.income}} is the customer's answer to the custom field "income"


def merge(
    text: str,
    contact: Contact | None,
    campaign: str = "",
    agent: str = "",
    now: datetime.datetime | None = None,
) -> str:
    """Pure but for the hour when none is given. The text with what is known in place of its merge fields.

    What is not known about this customer is left out; a field nobody defined stays as it was written.
    """
    about = Merged(contact, campaign, agent, now or datetime.datetime.now(datetime.UTC))

    def said(match: re.Match[str]) -> str:
        name = match[1].lower()
        name = PORTUGUESE.get(name, name)
        if name.startswith(CUSTOM):
            return str(contact.custom.get(name.removeprefix(CUSTOM), "")) if contact else ""
        return FIELDS[name](about) if name in FIELDS else match[0]

    return MERGE.sub(said, text)


def unknown_fields(text: str, custom: Sequence[str]) -> list[str]:
    """Merge fields of the text that mean nothing; `custom` are the keys of custom fields."""
    names = [match[1].lower() for match in MERGE.finditer(text)]
    known = {*FIELDS, *PORTUGUESE, *(CUSTOM + key for key in custom)}
    return [name for name in dict.fromkeys(names) if name not in known]


def unreachable(script: Script) -> list[Step]:
    """Steps no choice leads to from the first one. A barrier is shown whole: none of it."""
    if script.kind is ScriptKind.BARRIER:
        return []
    reached: set[int] = set()
    to_visit = [script.steps[0].id] if script.steps else []
    while to_visit:
        step = script.step(to_visit.pop())
        if step is not None and step.id not in reached:
            reached.add(step.id)
            to_visit += [choice.next_step_id for choice in step.choices if choice.next_step_id]
    return [step for step in script.steps if step.id not in reached]


# -- Finding -----------------------------------------------------------------------------------------------

SCRIPT = "SELECT id, name, kind, version, active, updated FROM script "


async def all(
    db: Db | asyncpg.Connection, kind: ScriptKind | str | None = None, active_only: bool = True
) -> list[Script]:
    rows = await db.fetch(
        SCRIPT
        + "WHERE (active OR NOT $1) AND ($2::text IS NULL OR kind = $2)"
        + " ORDER BY active DESC, f_norm(name), id",
        active_only,
        kind,
    )
    return await with_steps(db, rows)


async def by_id(db: Db | asyncpg.Connection, script_id: int) -> Script | None:
    found = await with_steps(db, await db.fetch(SCRIPT + "WHERE id = $1", script_id))
    return found[0] if found else None


async def with_steps(db: Db | asyncpg.Connection, rows: Sequence[asyncpg.Record]) -> list[Script]:
    ids = [row["id"] for row in rows]
    choices: dict[int, list[Choice]] = {}
    for row in await db.fetch(
        """
        SELECT id, step_id, label, next_step_id FROM script_choice
         WHERE script_id = ANY($1::integer[]) ORDER BY position, id
        """,
        ids,
    ):
        choices.setdefault(row["step_id"], []).append(Choice(row["id"], row["label"], row["next_step_id"]))
    steps: dict[int, list[Step]] = {}
    for row in await db.fetch(
        """
        SELECT id, script_id, title, text, fields FROM script_step
         WHERE script_id = ANY($1::integer[]) ORDER BY position, id
        """,
        ids,
    ):
        step = Step(
            row["id"], row["title"], row["text"], tuple(row["fields"]), tuple(choices.get(row["id"], ()))
        )
        steps.setdefault(row["script_id"], []).append(step)
    return [
        Script(**{**row, "kind": ScriptKind(row["kind"]), "steps": tuple(steps.get(row["id"], ()))})
        for row in rows
    ]


# -- Administration ----------------------------------------------------------------------------------------


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Steps are mappings: ref (the id it has, or any word for a new one), title, text, fields, and choices,
    mappings of label and next (a step's ref, or empty for the end). Errors are under "steps.2.title"."""
    entry = Entry(values)
    answer: dict[str, Any] = {
        "name": entry.text("name", 100),
        "kind": entry.option("kind", list(ScriptKind)),
        "steps": [],
    }
    given = list(values.get("steps") or ())
    refs = [str(each.get("ref") or f"#{n}") for n, each in enumerate(given, start=1)]
    for n, (ref, step) in enumerate(zip(refs, given, strict=True), start=1):
        each = Entry(step)
        answer["steps"].append(
            {
                "ref": ref,
                "title": each.text("title", 100),
                "text": each.text("text", TEXT_MAX, required=False),
                "fields": [str(key)[:40] for key in step.get("fields") or ()],
                "choices": checked_choices(each, step.get("choices") or (), refs),
            }
        )
        if refs.count(ref) > 1:
            each.errors["ref"] = "taken"
        entry.errors |= {f"steps.{n}.{field}": wrong for field, wrong in each.errors.items()}
    if not given:
        entry.errors["steps"] = "required"
    elif len(given) > STEPS_MAX:
        entry.errors["steps"] = "out_of_range"
    entry.done()
    return answer


def checked_choices(
    step: Entry, choices: Sequence[Mapping[str, Any]], refs: Sequence[str]
) -> list[dict[str, str]]:
    answer = []
    for n, choice in enumerate(choices, start=1):
        each = Entry(choice)
        label, following = each.text("label", 100), str(choice.get("next") or "")
        if following and following not in refs:
            each.errors["next"] = "not_an_option"
        answer.append({"label": label, "next": following})
        step.errors |= {f"choices.{n}.{field}": wrong for field, wrong in each.errors.items()}
    if len(answer) > CHOICES_MAX:
        step.errors["choices"] = "out_of_range"
    return answer


async def create(db: Db, by: User | None, **values: Any) -> Script:
    """`values`: name, kind, steps as `checked` takes them."""
    require(by, "run_campaigns")
    new = checked(values)
    async with db.acquire() as connection, connection.transaction():
        with refusing(CONSTRAINTS):
            script_id = await connection.fetchval(
                "INSERT INTO script (name, kind) VALUES ($1, $2) RETURNING id", new["name"], new["kind"]
            )
        await set_steps(connection, script_id, new["steps"])
        await audit.note(connection, by, "script.create", f"script {new['name']}", None, new)
        made = await by_id(connection, script_id)
        assert made is not None
        await keep_version(connection, by, made)
    return made


async def update(
    db: Db, by: User | None, script_id: int, *, version: int | None = None, **changes: Any
) -> Script:
    """Changes name, kind or steps. Refused when `version` is given and somebody changed it meanwhile.

    A step that keeps its ref keeps its id, so that what was written down about it stays true.
    """
    require(by, "run_campaigns")
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM script WHERE id = $1 FOR UPDATE", script_id)
        before = await by_id(connection, script_id)
        if before is None:
            raise missing("script")
        if version is not None and version != before.version:
            raise Refused(
                "Somebody else changed this script meanwhile. Nothing of yours is saved; copy what you need.",
                code="changed",
            )
        old = plain(before)
        new = checked({**old, **changes})
        with refusing(CONSTRAINTS):
            await connection.execute(
                """
                UPDATE script SET name = $2, kind = $3, version = version + 1, active = true, updated = now()
                 WHERE id = $1
                """,
                script_id,
                new["name"],
                new["kind"],
            )
        await set_steps(connection, script_id, new["steps"])
        made = await by_id(connection, script_id)
        assert made is not None
        await keep_version(connection, None, before)  # one made without this function
        await keep_version(connection, by, made)
        await audit.note(connection, by, "script.update", f"script {new['name']}", old, plain(made))
    return made


async def set_steps(
    connection: asyncpg.Connection, script_id: int, steps: Sequence[Mapping[str, Any]]
) -> None:
    mine = {
        str(row["id"]): row["id"]
        for row in await connection.fetch("SELECT id FROM script_step WHERE script_id = $1", script_id)
    }
    kept = [mine[step["ref"]] for step in steps if step["ref"] in mine]
    await connection.execute("DELETE FROM script_choice WHERE script_id = $1", script_id)
    await connection.execute(
        "DELETE FROM script_step WHERE script_id = $1 AND id <> ALL($2::integer[])", script_id, kept
    )
    ids: dict[str, int] = {}
    for position, step in enumerate(steps):
        ids[step["ref"]] = await connection.fetchval(
            """
            INSERT INTO script_step (id, script_id, position, title, text, fields)
            VALUES (coalesce($1::integer, nextval(pg_get_serial_sequence('script_step', 'id'))::integer),
                    $2, $3, $4, $5, $6)
            ON CONFLICT (id) DO UPDATE SET position = excluded.position, title = excluded.title,
                                           text = excluded.text, fields = excluded.fields
            RETURNING id
            """,
            mine.get(step["ref"]),
            script_id,
            position,
            step["title"],
            step["text"],
            step["fields"],
        )
    for step in steps:
        await connection.executemany(
            """
            INSERT INTO script_choice (script_id, step_id, label, next_step_id, position)
            VALUES ($1, $2, $3, $4, $5)
            """,
            [
                (script_id, ids[step["ref"]], choice["label"], ids.get(choice["next"]), position)
                for position, choice in enumerate(step["choices"])
            ],
        )


def plain(script: Script) -> dict[str, Any]:
    """As `checked` takes it."""
    return {
        "name": script.name,
        "kind": str(script.kind),
        "steps": [
            {
                "ref": str(step.id),
                "title": step.title,
                "text": step.text,
                "fields": list(step.fields),
                "choices": [
                    {"label": choice.label, "next": str(choice.next_step_id or "")} for choice in step.choices
                ],
            }
            for step in script.steps
        ],
    }


# -- Versions ----------------------------------------------------------------------------------------------


async def keep_version(connection: asyncpg.Connection, by: User | None, script: Script) -> None:
    await connection.execute(
        """
        INSERT INTO script_version (script_id, version, at, by_user_id, body) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING
        """,
        script.id,
        script.version,
        script.updated,
        by.id if by else None,
        plain(script),
    )


async def versions(db: Db | asyncpg.Connection, script_id: int, limit: int = 100) -> list[Version]:
    """Newest first; the first one is how the script is now."""
    rows = await db.fetch(
        """
        SELECT script_version.version, script_version.at, coalesce(user_account.name, '') AS by,
               script_version.body
          FROM script_version LEFT JOIN user_account ON user_account.id = script_version.by_user_id
         WHERE script_version.script_id = $1
         ORDER BY script_version.version DESC LIMIT $2
        """,
        script_id,
        limit,
    )
    return [Version(**row) for row in rows]


async def restore(db: Db, by: User | None, script_id: int, version: int) -> Script:
    """The script becomes what it was then, as a version of its own: nothing in between is lost."""
    require(by, "run_campaigns")
    body = await db.fetchval(
        "SELECT body FROM script_version WHERE script_id = $1 AND version = $2", script_id, version
    )
    if body is None:
        raise missing("version")
    return await update(db, by, script_id, **body)


async def remove(db: Db, by: User | None, script_id: int) -> None:
    """No longer offered; campaigns that use it go on with it."""
    require(by, "run_campaigns")
    async with db.acquire() as connection, connection.transaction():
        name = await connection.fetchval(
            "UPDATE script SET active = false, updated = now() WHERE id = $1 AND active RETURNING name",
            script_id,
        )
        if name is None:
            raise missing("script")
        await audit.note(connection, by, "script.remove", f"script {name}", {"name": name}, None)
