"""Actions of the telemarketing operation: what an agent did to approach a customer, and what it led to."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from crm import audit, contacts, filters, items
from crm.db import Db
from crm.entry import Entry, missing, refuse, refusing
from crm.item_states import Next, Result, State
from crm.users import User, require

OUTCOMES_MAX = 30
CONVERSATION_MAX = 8000
CONSTRAINTS = {
    "action_type_name_key": "name",
    "action_type_script_id_fkey": "script_id",
    "action_outcome_type_id_name_key": "outcomes",
    "action_type_id_outcome_id_fkey": "outcomes",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    id: int
    name: str
    result: Result  # what it means for the campaign's item


@dataclass(frozen=True, slots=True)
class ActionType:
    id: int
    name: str
    script_id: int | None
    active: bool
    outcomes: tuple[Outcome, ...]

    def outcome(self, outcome_id: int | None) -> Outcome | None:
        return next((each for each in self.outcomes if each.id == outcome_id), None)


@dataclass(frozen=True, slots=True)
class Action:
    """One line of a customer's history of actions (TEL-13)."""

    at: datetime.datetime
    agent: str
    campaign: str
    type: str
    outcome: str
    result: str  # what it led to; empty when there was no contact, and when a number was blocked
    conversation: str
    no_contact: str
    next_at: datetime.datetime | None
    without_call: bool  # the customer came, wrote, or called by themselves


@dataclass(frozen=True, slots=True)
class Count:
    """How often an agent's actions of one type had one outcome (TEL-14)."""

    campaign: str
    type: str
    outcome: str
    result: str
    count: int


# -- Types -------------------------------------------------------------------------------------------------


async def types(db: Db | asyncpg.Connection, active_only: bool = True) -> list[ActionType]:
    rows = await db.fetch(
        """
        SELECT action_type.id, action_type.name, action_type.script_id, action_type.active,
               action_outcome.id AS outcome_id, action_outcome.name AS outcome, action_outcome.result
          FROM action_type LEFT JOIN action_outcome ON action_outcome.type_id = action_type.id
         WHERE action_type.active OR NOT $1
         ORDER BY f_norm(action_type.name), action_type.id, action_outcome.position, action_outcome.id
        """,
        active_only,
    )
    found: dict[int, ActionType] = {}
    for row in rows:
        before = found[row["id"]].outcomes if row["id"] in found else ()
        more = (
            (Outcome(row["outcome_id"], row["outcome"], Result(row["result"])),) if row["outcome_id"] else ()
        )
        found[row["id"]] = ActionType(row["id"], row["name"], row["script_id"], row["active"], before + more)
    return list(found.values())


async def type_by_id(db: Db | asyncpg.Connection, type_id: int) -> ActionType | None:
    return next((each for each in await types(db, False) if each.id == type_id), None)


def checked(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Name and script, and outcomes: each a mapping with name, result, and the id it has when it is kept."""
    entry = Entry(values)
    new = {
        "name": entry.text("name", 60),
        "script_id": entry.reference("script_id"),
        "active": entry.switch("active"),
    }
    outcomes: list[dict[str, Any]] = []
    for position, given in enumerate(values.get("outcomes") or (), start=1):
        each = Entry(given)
        if not str(given.get("name") or "").strip():
            continue
        outcome = {
            "id": each.reference("id"),
            "name": each.text("name", 60),
            "result": each.option("result", [str(result) for result in Result]),
            "position": position,
        }
        if each.errors or outcome["name"] in [other["name"] for other in outcomes]:
            entry.errors["outcomes"] = next(iter(each.errors.values()), "taken")
        outcomes.append(outcome)
    if not outcomes:
        entry.errors.setdefault("outcomes", "required")
    elif len(outcomes) > OUTCOMES_MAX:
        entry.errors.setdefault("outcomes", "too_long")
    entry.done()
    return new, outcomes


async def create_type(db: Db, by: User | None, **values: Any) -> ActionType:
    """Name, script_id and outcomes."""
    require(by, "run_campaigns")
    new, outcomes = checked({"active": True, **values})
    async with db.acquire() as connection, connection.transaction():
        with refusing(CONSTRAINTS):
            type_id = await connection.fetchval(
                "INSERT INTO action_type (name, script_id) VALUES ($1, $2) RETURNING id",
                new["name"],
                new["script_id"],
            )
            await set_outcomes(connection, type_id, [{**each, "id": None} for each in outcomes])
        after = new | {"outcomes": [each["name"] for each in outcomes]}
        await audit.note(connection, by, "action_type.create", f"action type {new['name']}", None, after)
        made = await type_by_id(connection, type_id)
    assert made is not None
    return made


async def update_type(db: Db, by: User | None, type_id: int, **values: Any) -> ActionType:
    """An outcome left out goes, unless an action ever had it."""
    require(by, "run_campaigns")
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM action_type WHERE id = $1 FOR UPDATE", type_id)
        before = await type_by_id(connection, type_id)
        if before is None:
            raise missing("type")
        old = {
            "name": before.name,
            "script_id": before.script_id,
            "active": before.active,
            "outcomes": [{"id": o.id, "name": o.name, "result": o.result} for o in before.outcomes],
        }
        new, outcomes = checked({**old, **values})
        with refusing(CONSTRAINTS):
            await connection.execute(
                "UPDATE action_type SET name = $2, script_id = $3, active = $4 WHERE id = $1",
                type_id,
                new["name"],
                new["script_id"],
                new["active"],
            )
            await set_outcomes(connection, type_id, outcomes)
        await audit.note(
            connection,
            by,
            "action_type.update",
            f"action type {before.name}",
            old | {"outcomes": [each.name for each in before.outcomes]},
            new | {"outcomes": [each["name"] for each in outcomes]},
        )
        after = await type_by_id(connection, type_id)
    assert after is not None
    return after


async def set_outcomes(
    connection: asyncpg.Connection, type_id: int, outcomes: Sequence[Mapping[str, Any]]
) -> None:
    kept = [each["id"] for each in outcomes if each["id"]]
    await connection.execute(
        "DELETE FROM action_outcome WHERE type_id = $1 AND id <> ALL($2::integer[])", type_id, kept
    )
    # Two that change names with each other would meet on the way.
    await connection.execute(
        "UPDATE action_outcome SET name = name || ' ' || id || chr(1) WHERE type_id = $1", type_id
    )
    for each in outcomes:
        if each["id"]:
            done = await connection.execute(
                """
                UPDATE action_outcome SET name = $3, result = $4, position = $5
                 WHERE type_id = $1 AND id = $2
                """,
                type_id,
                each["id"],
                each["name"],
                each["result"],
                each["position"],
            )
            if done != "UPDATE 1":
                refuse({"outcomes": "not_an_option"})
        else:
            await connection.execute(
                "INSERT INTO action_outcome (type_id, name, result, position) VALUES ($1, $2, $3, $4)",
                type_id,
                each["name"],
                each["result"],
                each["position"],
            )


# -- Customers ---------------------------------------------------------------------------------------------

VIEWS: Mapping[str, tuple[State, ...]] = {  # TEL-04 … TEL-06: every customer is in one of them
    "not_worked": (State.NOT_WORKED,),
    "scheduled": (State.TO_CALL_BACK, State.TRYING_CALLBACK, State.TRYING),
    "concluded": (State.CONCLUDED, State.HIT_LIMIT, State.CANCELLED),
}
ORDERS: Mapping[str, str] = {
    "not_worked": "item.priority, item.id",
    "scheduled": "item.state = 2, item.due_at, item.priority, item.id",  # what was agreed on first
    "concluded": "item.last_attempt_at DESC NULLS LAST, item.id",
}
PAGE = 50


@dataclass(frozen=True, slots=True)
class Customer:
    """One of an agent's customers in one campaign."""

    item_id: int
    campaign_id: int
    campaign: str
    contact_id: int
    contact: str
    document: str
    state: State
    result: str
    due_at: datetime.datetime | None
    callback_agent: str
    callback_note: str
    last_attempt_at: datetime.datetime | None
    last_situation: str
    held_by: int | None
    held_agent: str


async def customers(
    db: Db,
    user: User,
    view: str,
    campaign_ids: Sequence[int],
    *,
    name: str = "",
    tree: filters.Tree | None = None,
    page: int = 1,
) -> tuple[list[Customer], bool]:
    """TEL-02 … TEL-06: whom the agent may act on in these campaigns, by a view and a saved filter's tree.

    Another agent's callbacks are left out until they are concluded. The second answer: there are more.
    """
    words = await contacts.patterns(db, name.replace("\x00", " ").split()[:8]) or []
    condition, values = ("true", []) if tree is None else await filters.where(db, tree, first=7)
    of = f"""
           AND EXISTS (SELECT FROM contact WHERE contact.id = item.contact_id
                          AND (cardinality($4::text[]) = 0 OR contact.found_by LIKE ALL ($4))
                          AND {condition})
        """
    rows = await db.fetch(
        f"""
        WITH chosen AS MATERIALIZED (
            SELECT part.* FROM unnest($1::integer[]) AS asked (campaign_id)
             CROSS JOIN unnest($2::smallint[]) AS view (state)
             CROSS JOIN LATERAL (
                   SELECT item.id, item.state, item.priority, item.due_at, item.last_attempt_at
                     FROM list_item AS item
                    WHERE item.campaign_id = asked.campaign_id AND item.state = view.state
                      AND (item.callback_owner IS NULL OR item.callback_owner = $3 OR item.state > 3)
                      {of if words or tree is not None else "AND $4::text[] IS NOT NULL"}
                    ORDER BY {ORDERS[view]} LIMIT $5::integer + $6::integer) AS part
             ORDER BY {ORDERS[view].replace("item.", "part.")} LIMIT $5 OFFSET $6
        )
        SELECT item.id AS item_id, item.campaign_id, campaign.name AS campaign, item.contact_id,
               contact.name AS contact, contact.document, item.state, coalesce(item.result, '') AS result,
               item.due_at, coalesce(owner.name, '') AS callback_agent, item.callback_note,
               item.last_attempt_at, item.last_situation, item.held_by,
               coalesce(holder.name, '') AS held_agent
          FROM chosen
          JOIN list_item AS item ON item.id = chosen.id
          JOIN campaign ON campaign.id = item.campaign_id
          JOIN contact ON contact.id = item.contact_id
          LEFT JOIN user_account AS owner ON owner.id = item.callback_owner
          LEFT JOIN user_account AS holder ON holder.id = item.held_by
         ORDER BY {ORDERS[view]}
        """,
        list(campaign_ids),
        [int(state) for state in VIEWS[view]],
        user.id,
        words,
        PAGE + 1,
        (max(page, 1) - 1) * PAGE,
        *values,
    )
    found = [Customer(**{**row, "state": State(row["state"])}) for row in rows]
    return found[:PAGE], len(found) > PAGE


# -- What was done -----------------------------------------------------------------------------------------


async def record(
    db: Db | asyncpg.Connection,
    by: User,
    *,
    campaign_id: int,
    item_id: int,
    contact_id: int,
    at: datetime.datetime,
    type_id: int | None = None,
    outcome_id: int | None = None,
    result: Result | None = None,
    conversation: str = "",
    no_contact: str = "",
    next_at: datetime.datetime | None = None,
    call_id: str | None = None,
    without_call: bool = False,
) -> int:
    with refusing(CONSTRAINTS):
        return await db.fetchval(
            """
            INSERT INTO action (at, user_id, campaign_id, item_id, contact_id, type_id, outcome_id,
                                conversation, no_contact, next_at, call_id, result, without_call)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id
            """,
            at,
            by.id,
            campaign_id,
            item_id,
            contact_id,
            type_id,
            outcome_id,
            conversation[:CONVERSATION_MAX].replace("\x00", ""),
            no_contact,
            next_at,
            call_id,
            str(result or ""),
            without_call,
        )


async def conclude(
    db: Db,
    by: User,
    item_id: int,
    next: Next,
    now: datetime.datetime,
    *,
    type_id: int | None,
    outcome_id: int | None,
    result: Result | None,
    conversation: str,
    next_at: datetime.datetime | None,
    ticket_id: int | None,
) -> None:
    """TEL-01, TEL-06: what came of a contact that was no call of ours, in person or in writing; the item of
    this agent goes where `next` says. It is an action and no attempt. Refused with who has the item now.
    """
    async with db.acquire() as connection, connection.transaction():
        item = await items.locked_of(connection, by, item_id)
        await record(
            connection,
            by,
            campaign_id=item.campaign_id,
            item_id=item.id,
            contact_id=item.contact_id,
            at=now,
            type_id=type_id,
            outcome_id=outcome_id,
            result=result,
            conversation=conversation,
            next_at=next_at,
            without_call=True,
        )
        await items.finish_in(connection, by, item, next, now, ticket_id)


async def history(db: Db | asyncpg.Connection, contact_id: int, limit: int = 50) -> list[Action]:
    """All that was done towards this customer, in any campaign, the latest first."""
    rows = await db.fetch(
        """
        SELECT action.at, user_account.name AS agent, campaign.name AS campaign,
               coalesce(action_type.name, '') AS type, coalesce(action_outcome.name, '') AS outcome,
               action.result, action.conversation, action.no_contact, action.next_at,
               action.without_call
          FROM action
          JOIN user_account ON user_account.id = action.user_id
          JOIN campaign ON campaign.id = action.campaign_id
          LEFT JOIN action_type ON action_type.id = action.type_id
          LEFT JOIN action_outcome ON action_outcome.id = action.outcome_id
         WHERE action.contact_id = $1
         ORDER BY action.at DESC, action.id DESC LIMIT $2
        """,
        contact_id,
        limit,
    )
    return [Action(**row) for row in rows]


async def statistics(db: Db, user: User, start: datetime.datetime, end: datetime.datetime) -> list[Count]:
    """The agent's own actions in [start, end), by campaign, type and outcome or no contact."""
    rows = await db.fetch(
        """
        SELECT campaign.name AS campaign, coalesce(action_type.name, '') AS type,
               coalesce(action_outcome.name, '') AS outcome,
               CASE WHEN action.no_contact <> '' THEN 'no_contact'
                    ELSE action.result END AS result, count(*)
          FROM action
          JOIN campaign ON campaign.id = action.campaign_id
          LEFT JOIN action_type ON action_type.id = action.type_id
          LEFT JOIN action_outcome ON action_outcome.id = action.outcome_id
         WHERE action.user_id = $1 AND action.at >= $2 AND action.at < $3
         GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 5 DESC, 3
        """,
        user.id,
        start,
        end,
    )
    return [Count(**row) for row in rows]
