"""Looking at a campaign's list: who is on it, how far it is, and why somebody is not called."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from crm import campaign_counts, campaigns, hours, quotas
from crm.calls import ZONE
from crm.campaigns import Campaign
from crm.contacts import patterns
from crm.db import Db
from crm.e164 import display
from crm.entry import missing
from crm.item_states import SITUATION_LABELS, STATE_LABELS, Result, Situation, State
from crm.said import Said
from crm.users import User

PAGE = 50
PAGES_MAX = 200  # nobody reads further; a search finds who stands behind
FOUND_MAX = 1000  # customers a search looks for on the list
HOUR = datetime.timedelta(hours=1)
PACE_SECONDS_MIN = 300


@dataclass(frozen=True, slots=True)
class Criteria:
    """What to find a customer by (UAU-45); empty does not filter."""

    name: str = ""
    document: str = ""
    phone: str = ""  # its last digits
    external_code: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list."""

    id: int
    contact_id: int
    contact: str
    document: str
    external_code: str
    state: State
    priority: int
    attempts: int
    due_at: datetime.datetime | None
    callback_owner: int | None
    callback_agent: str
    callback_note: str
    result: Result | None
    concluded_at: datetime.datetime | None
    last_attempt_at: datetime.datetime | None
    last_situation: str
    held_by: int | None
    held_agent: str


@dataclass(frozen=True, slots=True)
class Page:
    rows: tuple[Row, ...]
    page: int  # from 1
    more: bool
    cut: bool = False  # more people fit than are ever shown


@dataclass(frozen=True, slots=True)
class Working:
    """One agent of a campaign, today."""

    user_id: int
    agent: str
    attempts: int
    contacts: int  # who answered
    successes: int
    failures: int
    callbacks: int
    holds: str  # the customer in hand


@dataclass(frozen=True, slots=True)
class Progress:
    states: Mapping[State, int]
    all: int
    worked: int  # no longer not worked
    left: int  # still to be called, at once or later
    in_use: int
    overdue: int  # callbacks
    successes: int
    failures: int
    ended_an_hour: float  # items that come to their end, at the pace of the last hour
    seconds_left: float | None  # of open hours, at this pace; None while nothing comes to its end
    agents: tuple[Working, ...]


# -- The list ----------------------------------------------------------------------------------------------

ROW = """
    SELECT item.id, item.contact_id, contact.name AS contact, contact.document, contact.external_code,
           item.state, item.priority, item.attempts, item.due_at, item.callback_owner,
           coalesce(owner.name, '') AS callback_agent, item.callback_note, item.result, item.concluded_at,
           item.last_attempt_at, item.last_situation, item.held_by, coalesce(holder.name, '') AS held_agent,
           {found} AS found
      FROM chosen
      JOIN list_item AS item ON item.id = chosen.id
      JOIN contact ON contact.id = item.contact_id
      LEFT JOIN user_account AS owner ON owner.id = item.callback_owner
      LEFT JOIN user_account AS holder ON holder.id = item.held_by
     ORDER BY chosen.place
"""
# In the order of dialing. Each part is read from its own index, no further than the page asked for.
PARTS: Mapping[str, str] = {
    "callback": """
        SELECT item.id, 0 AS part, 0 AS tries, item.due_at, item.priority FROM list_item AS item
         WHERE item.campaign_id = $1 AND item.state IN (1, 3) AND item.due_at <= $4 AND {theirs} {of}
         ORDER BY item.due_at, item.priority, item.id LIMIT $2::integer + $3::integer + 1""",
    "not_worked": """
        SELECT item.id, 1 AS part, 0 AS tries, NULL::timestamptz AS due_at, item.priority
          FROM list_item AS item
         WHERE item.campaign_id = $1 AND item.state = 0 {of}
         ORDER BY item.priority, item.id LIMIT $2::integer + $3::integer + 1""",
    "trying": """
        SELECT item.id, 2 AS part, item.attempts AS tries, item.due_at, item.priority FROM list_item AS item
         WHERE item.campaign_id = $1 AND item.state = 2 AND item.held_by IS NULL {of}
         ORDER BY item.attempts, item.due_at, item.priority, item.id LIMIT $2::integer + $3::integer + 1""",
    "trying_held": """
        SELECT item.id, 2 AS part, item.attempts AS tries, item.due_at, item.priority FROM list_item AS item
         WHERE item.campaign_id = $1 AND item.state = 2 AND item.held_by IS NOT NULL {of}
         ORDER BY item.attempts, item.due_at, item.priority, item.id LIMIT $2::integer + $3::integer + 1""",
    "later": """
        SELECT item.id, 3 AS part, 0 AS tries, item.due_at, item.priority FROM list_item AS item
         WHERE item.campaign_id = $1 AND item.state IN (1, 3)
           AND NOT (item.due_at <= $4 AND {theirs}) {of}
         ORDER BY item.due_at, item.priority, item.id LIMIT $2::integer + $3::integer + 1""",
    "ended": """
        SELECT item.id, 4 + item.state AS part, 0 AS tries, NULL::timestamptz AS due_at, item.priority
          FROM list_item AS item
         WHERE item.campaign_id = $1 AND item.state IN (4, 5, 6) {of}
         ORDER BY item.state, item.priority, item.id LIMIT $2::integer + $3::integer + 1""",
}
PARTS_OF: Mapping[State | None, tuple[str, ...]] = {
    None: ("callback", "not_worked", "trying", "trying_held", "later"),
    State.NOT_WORKED: ("not_worked",),
    State.TRYING: ("trying", "trying_held"),
    State.TO_CALL_BACK: ("callback", "later"),
    State.TRYING_CALLBACK: ("callback", "later"),
    State.CONCLUDED: ("ended",),
    State.HIT_LIMIT: ("ended",),
    State.CANCELLED: ("ended",),
}


async def search(
    db: Db,
    campaign: Campaign,
    user: User | None,
    criteria: Criteria,
    situation: State | None,
    now: datetime.datetime,
    page: int = 1,
    size: int = PAGE,
) -> Page:
    """The people of a list in the order of dialing, by situation (UAU-48 … UAU-51) or by what is known.

    Without criteria and situation: who is still to be called. With criteria: whoever is on the list. It is
    this agent's order, whose own callbacks come first; without one, everybody's do.
    """
    page = min(max(page, 1), PAGES_MAX)
    asked: list[Any] = [campaign.id, size, (page - 1) * size, now, user.id if user else 0, situation]
    found = await those_found(db, criteria, situation, asked)
    of = " AND item.contact_id IN (SELECT id FROM found)" if found else ""
    of += " AND item.state = $6::integer" if situation is not None else " AND $6::integer IS NULL"
    parts = PARTS_OF[situation] if situation is not None or not found else tuple(PARTS)
    theirs = "(item.callback_owner IS NULL OR item.callback_owner = $5::integer)" if user else "true"
    chosen = " UNION ALL ".join(f"({PARTS[part].format(of=of, theirs=theirs)})" for part in parts)
    rows = await db.fetch(
        f"""
        WITH {f"found AS MATERIALIZED ({found})," if found else ""}
        chosen AS MATERIALIZED (
            SELECT id, row_number() OVER (ORDER BY part, tries, due_at, priority, id) AS place
              FROM ({chosen}) AS parts
             WHERE $4::timestamptz IS NOT NULL AND $5::integer IS NOT NULL  -- not every part asks for them
             ORDER BY part, tries, due_at, priority, id LIMIT $2 + 1 OFFSET $3
        )
        {ROW.format(found="(SELECT count(*) FROM found)" if found else "0")}
        """,
        *asked,
    )
    more = len(rows) > size
    cut = bool(rows) and (rows[0]["found"] >= FOUND_MAX or (more and page >= PAGES_MAX))
    return Page(tuple(read(row) for row in rows[:size]), page, more and page < PAGES_MAX, cut)


def read(row: asyncpg.Record) -> Row:
    values = {name: value for name, value in row.items() if name != "found"}
    result = Result(row["result"]) if row["result"] else None
    return Row(**{**values, "state": State(row["state"]), "result": result})


async def those_found(db: Db, criteria: Criteria, situation: State | None, asked: list[Any]) -> str:
    """The query of the customers on the list who meet the criteria, empty without any; `asked` grows.

    Each word is compared by itself, which an index by letters can do, and all of them at once cannot.
    """

    def argument(value: str) -> str:
        asked.append(value)
        return f"${len(asked)}::text"

    document = "".join(each for each in criteria.document.upper() if each.isalnum())
    code = criteria.external_code.strip().replace("\x00", "")
    phone = "".join(each for each in criteria.phone if each.isascii() and each.isdigit())
    words = criteria.name.replace("\x00", " ").split()[:8]
    conditions = [f"contact.found_by LIKE {argument(each)}" for each in await patterns(db, words) or ()]
    if document:
        conditions.append(f"contact.document = {argument(document)} AND contact.document <> ''")
    if code:
        conditions.append(f"contact.external_code = {argument(code)} AND contact.external_code <> ''")
    if phone:
        conditions.append(
            "EXISTS (SELECT FROM contact_phone WHERE contact_phone.contact_id = contact.id"
            f" AND reverse(contact_phone.number) LIKE {argument(phone[::-1] + '%')})"
        )
    if not conditions:
        return ""
    state = " AND list_item.state = $6::integer" if situation is not None else ""
    return f"""
        SELECT contact.id FROM contact
         WHERE {" AND ".join(conditions)}
           AND EXISTS (SELECT FROM list_item
                        WHERE list_item.campaign_id = $1 AND list_item.contact_id = contact.id{state})
         LIMIT {FOUND_MAX}
    """


# -- How far it is -----------------------------------------------------------------------------------------


async def progress(db: Db, campaign: Campaign, now: datetime.datetime) -> Progress:
    """What a supervisor watches. The pace is that of the open hours since the first try of the last hour."""
    counted = (await campaign_counts.by_campaign(db, [campaign.id]))[campaign.id]
    row = await db.fetchrow(
        """
        SELECT (SELECT count(*) FROM list_item WHERE campaign_id = $1 AND held_by IS NOT NULL) AS in_use,
               (SELECT count(*) FROM list_item
                 WHERE campaign_id = $1 AND state IN (1, 3) AND held_by IS NULL AND due_at <= $2) AS overdue,
               recent.ended, recent.began
          FROM (SELECT count(DISTINCT item.id) AS ended, min(attempt.started) AS began
                  FROM attempt
                  LEFT JOIN list_item AS item ON item.id = attempt.item_id AND item.state IN (4, 5, 6)
                 WHERE attempt.campaign_id = $1 AND attempt.generation = $4
                   AND attempt.started >= $3 AND attempt.started <= $2) AS recent
        """,
        campaign.id,
        now,
        now - HOUR,
        campaign.generation,
    )
    pace = hourly(row["ended"], campaign, row["began"], now)
    return Progress(
        states=counted.states,
        all=counted.all,
        worked=counted.worked,
        left=counted.left,
        in_use=row["in_use"],
        overdue=row["overdue"],
        successes=counted.of_state.get("success", 0),
        failures=counted.of_state.get("failure", 0),
        ended_an_hour=pace,
        seconds_left=counted.left / pace * 3600 if pace else (0.0 if not counted.left else None),
        agents=tuple(await working(db, campaign, now)),
    )


def hourly(ended: int, campaign: Campaign, began: datetime.datetime | None, now: datetime.datetime) -> float:
    """What ended since then, in an hour: while the campaign was open, and in five minutes at the least."""
    if began is None:
        return 0.0
    open_ = hours.open_seconds(campaign.hours, began.astimezone(ZONE), now.astimezone(ZONE))
    return ended * 3600 / max(open_, PACE_SECONDS_MIN)


async def working(db: Db, campaign: Campaign, now: datetime.datetime) -> list[Working]:
    """Who tried somebody today or holds an item, the busiest first."""
    midnight = now.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = await db.fetch(
        """
        SELECT user_account.id AS user_id, user_account.name AS agent,
               coalesce(tried.attempts, 0) AS attempts,
               coalesce(tried.contacts, 0) AS contacts, coalesce(tried.successes, 0) AS successes,
               coalesce(tried.failures, 0) AS failures, coalesce(tried.callbacks, 0) AS callbacks,
               coalesce(contact.name, '') AS holds
          FROM user_account
          LEFT JOIN (SELECT user_id, count(*) AS attempts,
                            count(*) FILTER (WHERE situation = 'completed') AS contacts,
                            count(*) FILTER (WHERE result = 'success') AS successes,
                            count(*) FILTER (WHERE result = 'failure') AS failures,
                            count(*) FILTER (WHERE result = 'callback') AS callbacks
                       FROM attempt
                      WHERE campaign_id = $1 AND generation = $2 AND started >= $3 AND started <= $4
                      GROUP BY user_id) AS tried ON tried.user_id = user_account.id
          LEFT JOIN list_item AS item ON item.campaign_id = $1 AND item.held_by = user_account.id
          LEFT JOIN contact ON contact.id = item.contact_id
         WHERE tried.user_id IS NOT NULL OR item.id IS NOT NULL
         ORDER BY attempts DESC, f_norm(user_account.name), user_account.id
        """,
        campaign.id,
        campaign.generation,
        midnight,
        now,
    )
    return [Working(**row) for row in rows]


async def area_codes(db: Db | asyncpg.Connection, campaign_id: int, sample: int = 2000) -> tuple[str, ...]:
    """Of the numbers of so many of those to be called next; an empty one is abroad."""
    rows = await db.fetch(
        """
        SELECT DISTINCT CASE WHEN phone.number LIKE '+55%' THEN substr(phone.number, 4, 2) ELSE '' END AS code
          FROM (SELECT contact_id FROM list_item WHERE campaign_id = $1 AND state = 0 AND held_by IS NULL
                 LIMIT $2) AS item
         CROSS JOIN LATERAL campaign_phones($1, item.contact_id) AS phone
         ORDER BY code
        """,
        campaign_id,
        sample,
    )
    return tuple(row["code"] for row in rows)


# -- Why somebody is not called ----------------------------------------------------------------------------


async def why_not_called(
    db: Db,
    item_id: int,
    now: datetime.datetime,
    closed: Mapping[str, datetime.datetime] | None = None,
) -> list[Said]:
    """Every reason there is, in words, the decisive ones first; never empty.

    `closed` is of `dialer.windows.closed_area_codes`.
    """
    row = await db.fetchrow(
        """
        SELECT item.*, contact.name AS contact, holder.name AS holder, owner.name AS owner,
               concluder.name AS concluder
          FROM list_item AS item
          JOIN contact ON contact.id = item.contact_id
          LEFT JOIN user_account AS holder ON holder.id = item.held_by
          LEFT JOIN user_account AS owner ON owner.id = item.callback_owner
          LEFT JOIN user_account AS concluder ON concluder.id = item.concluded_by
         WHERE item.id = $1
        """,
        item_id,
    )
    if row is None:
        raise missing("item")
    campaign = await campaigns.found(db, row["campaign_id"])
    said = of_state(row)
    if not said:
        numbers = await of_numbers(db, campaign, row["contact_id"], now, closed or {})
        said = of_campaign(campaign, now) + of_hands(row, now, numbers)
        said += await of_quotas(db, campaign, row["contact_id"]) + numbers
    if not said:
        said = [await of_turn(db, row, now)]
    return said + of_last(row)


def time(at: datetime.datetime | None) -> str:
    return f"{at.astimezone(ZONE):%Y-%m-%d %H:%M}" if at else "–"


def of_state(row: Mapping[str, Any]) -> list[Said]:
    match State(row["state"]):
        case State.CONCLUDED:
            values = {
                "result": row["result"] or "",
                "time": time(row["concluded_at"]),
                "agent": row["concluder"] or "–",
            }
            return [Said("concluded", "It was concluded with {result} by {agent} at {time}.", values)]
        case State.HIT_LIMIT:
            values = {"attempts": row["attempts"]}
            return [Said("hit_limit", "The limit of attempts was reached, after {attempts}.", values)]
        case State.CANCELLED if row["last_situation"] == Situation.BLOCKED:
            return [Said("blocked", "It was taken off the list because no number may be called.", {})]
        case State.CANCELLED:
            return [Said("cancelled", "It was cancelled.", {})]
        case _:
            return []


def of_campaign(campaign: Campaign, now: datetime.datetime) -> list[Said]:
    said = []
    if campaign.status != "active":
        said.append(
            Said("status", "The campaign is not active: its status is {status}.", {"status": campaign.status})
        )
    if not campaigns.is_open(campaign, now):
        opens = campaigns.opens_at(campaign, now)
        said.append(
            Said("hours", "The campaign is closed; it opens {time}.", {"time": time(opens)})
            if opens
            else Said("validity", "The campaign is closed and does not open any more.", {})
        )
    if not (campaign.agents or campaign.groups):
        said.append(Said("agents", "Nobody belongs to the campaign.", {}))
    return said


def of_hands(row: Mapping[str, Any], now: datetime.datetime, numbers: Sequence[Said]) -> list[Said]:
    """Who has it, whose callback it is, and when it is due."""
    said = []
    if row["held_by"] is not None and row["held_until"] > now:
        values = {"agent": row["holder"], "time": time(row["held_since"])}
        said.append(Said("held", "It is with {agent} since {time}.", values))
    due = {
        "time": time(row["due_at"]),
        "agent": row["owner"] or "",
        "state": STATE_LABELS[State(row["state"])],
    }
    if row["due_at"] is not None and row["due_at"] > now:
        if State(row["state"]) in (State.TO_CALL_BACK, State.TRYING_CALLBACK):
            said.append(Said("callback", "A callback was agreed for {time}.", due))
        elif State(row["state"]) is State.NOT_WORKED and "window" not in [each.rule for each in numbers]:
            said.append(Said("aside", "It is put aside until {time}.", due))
        elif State(row["state"]) is State.NOT_WORKED:
            said.append(Said("window", "Calls to where it is are allowed from {time}.", due))
        else:
            said.append(Said("retry", "The next try may be made from {time}.", due))
    if row["callback_owner"] is not None:
        said.append(Said("owner", "Its callback is {agent}'s and goes to nobody else.", due))
    return said


async def of_quotas(db: Db, campaign: Campaign, contact_id: int) -> list[Said]:
    full = await quotas.full(db, campaign, campaign.dialing)
    if not await quotas.meeting(db, full, [contact_id]):
        return []
    return [Said("quota", "There are enough successes among customers like this one.", {})]


async def of_numbers(
    db: Db,
    campaign: Campaign,
    contact_id: int,
    now: datetime.datetime,
    closed: Mapping[str, datetime.datetime],
) -> list[Said]:
    """What hinders each number; nothing as long as one may be called."""
    midnight = now.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = await db.fetch(
        """
        SELECT DISTINCT ON (phone.number) phone.number, phone.blocked, phone.wrong,
               (SELECT reason FROM blocked_number
                 WHERE blocked_number.number = phone.number AND (campaign_id IS NULL OR campaign_id = $1)
                 ORDER BY campaign_id NULLS FIRST LIMIT 1) AS reason,
               (SELECT count(*) FROM attempt
                 WHERE attempt.number = phone.number AND dialed AND started >= $3 AND started <= $4) AS today,
               (SELECT max(started) FROM attempt
                 WHERE attempt.number = phone.number AND dialed AND situation = 'abandoned'
                   AND started > $5 AND started <= $4) AS abandoned
          FROM campaign_phones($1, $2) AS phone
        """,
        campaign.id,
        contact_id,
        midnight,
        now,
        now - datetime.timedelta(days=campaign.dialing.lockout_days),
    )
    if not rows:
        return [Said("no_number", "There is no number to call.", {})]
    said = [of_number(campaign, row, closed) for row in rows]
    return [] if None in said else [each for each in said if each is not None]


def of_number(
    campaign: Campaign, row: Mapping[str, Any], closed: Mapping[str, datetime.datetime]
) -> Said | None:
    number = row["number"]
    opens = closed.get(number[3:5]) if number.startswith("+55") else None
    values = {
        "number": display(number),
        "reason": row["reason"] or "–",
        "n": row["today"],
        "time": time(opens),
    }
    if row["blocked"]:
        return Said("blocked", "{number} is blocked: {reason}.", values)
    if row["wrong"]:
        return Said("wrong_number", "{number} is a wrong number.", values)
    if campaign.respect_destination_window and opens is not None:
        return Said("window", "{number} may be called from {time}, where it is.", values)
    if row["today"] >= campaign.number_attempts_per_day_max:
        return Said("day_limit", "{number} was tried {n} times today, which is the limit.", values)
    if row["abandoned"] is not None:
        values["time"] = time(row["abandoned"] + datetime.timedelta(days=campaign.dialing.lockout_days))
        return Said("lockout", "At {number} somebody met no agent; it is called again from {time}.", values)
    return None


async def of_turn(db: Db, row: Mapping[str, Any], now: datetime.datetime) -> Said:
    """Nothing hinders it: others come first (UAU-47); of callbacks, those that are anybody's."""
    before = await db.fetchval(
        """
        SELECT count(*) FROM (
            SELECT FROM list_item
             WHERE campaign_id = $1 AND held_by IS NULL AND state IN (1, 3) AND callback_owner IS NULL
               AND due_at <= $5
             UNION ALL
            SELECT FROM list_item
             WHERE campaign_id = $1 AND held_by IS NULL AND state = 0 AND due_at IS NULL
               AND ($2 <> 0 OR (priority, id) < ($3, $4))
             UNION ALL
            SELECT FROM list_item
             WHERE campaign_id = $1 AND held_by IS NULL AND state = 2 AND $2 = 2 AND due_at <= $5
               AND (attempts, due_at, priority, id) < ($6, $7, $3, $4)
             LIMIT 10001) AS earlier
        """,
        row["campaign_id"],
        row["state"],
        row["priority"],
        row["id"],
        now,
        row["attempts"],
        row["due_at"],
    )
    if before == 0 or State(row["state"]) in (State.TO_CALL_BACK, State.TRYING_CALLBACK):
        return Said("turn", "Nothing hinders it; it is among the next.", {})
    if before > 10_000:
        return Said("turn", "It waits for its turn: more than 10,000 come before it.", {})
    return Said("turn", "It waits for its turn: {n} come before it.", {"n": before})


def of_last(row: Mapping[str, Any]) -> list[Said]:
    if row["last_attempt_at"] is None:
        return []
    situation = row["last_situation"]
    label = SITUATION_LABELS[Situation(situation)] if situation in set(Situation) else situation
    values = {"time": time(row["last_attempt_at"]), "situation": label, "attempts": row["attempts"]}
    return [Said("last", "The last of {attempts} attempts was at {time}: {situation}.", values)]
