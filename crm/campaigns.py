"""One-to-one campaigns: why, when, how and by whom a list of people is called."""

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import asyncpg

from crm import audit, filters, hours, routes, trunks
from crm.calls import ZONE
from crm.db import Db
from crm.dialing import Dialing, check, tree_of
from crm.e164 import normalise
from crm.entry import Entry, missing, refuse, refusing
from crm.item_states import SITUATION_LABELS
from crm.refused import Refused
from crm.said import Said
from crm.trunks import Trunk
from crm.users import User, can, require

CONSTRAINTS = {
    "campaign_name_key": "name",
    "campaign_filter_id_fkey": "filter_id",
    "campaign_import_layout_id_fkey": "import_layout_id",
    "campaign_script_id_fkey": "script_id",
    "campaign_layout_id_fkey": "layout_id",
    "campaign_ticket_type_id_fkey": "ticket_type_id",
    "campaign_route_id_fkey": "route_id",
    "campaign_agent_user_id_fkey": "agents",
    "campaign_group_group_id_fkey": "groups",
    "list_item_campaign_id_fkey": "list",
    "attempt_campaign_id_fkey": "list",
}
STATUSES = ("draft", "active", "paused", "ended")
SOURCES = ("filter", "layout", "leads")
CALLBACK_MODES = ("free", "optional", "agent")
INPUTS = ("external_code", "internal_code", "document")  # what a validation may be told, in this order
VALIDATION = re.compile(r"procedure:[a-z_][a-z0-9_]{0,62}|https?://[^\s]{1,500}", re.ASCII)
RETRY_MINUTES_MAX = 30 * 24 * 60
STEPS = ("identification", "period", "settings", "conclusion")


@dataclass(frozen=True, slots=True)
class Campaign:
    id: int
    name: str
    kind: str
    objective: str
    message: str
    external_code: str
    source: str  # filter, layout, leads: where its people come from
    filter_id: int | None
    import_layout_id: int | None
    script_id: int | None
    layout_id: int | None  # the tabulation form
    status: str  # draft, active, paused, ended
    defines_hours: bool  # off: permanent and open all day
    permanent: bool
    valid_from: datetime.date | None
    valid_until: datetime.date | None  # included
    hours_preset: str
    hours: Mapping[str, Sequence[Sequence[int]]]  # minutes of each weekday, Monday is "0"
    respect_destination_window: bool
    callback_mode: str  # free, optional, agent
    validates: bool
    validate_list: str  # procedure:name, an address, or empty
    validate_dial: str
    validation_inputs: tuple[str, ...]
    validation_seconds: int
    validation_on_failure: str  # skip, allow
    link_person: bool
    company_target: str  # main, selected
    company_types: tuple[str, ...]
    ticket_mode: str  # open_new, edit_last
    ticket_type_id: int | None
    attempts_max: int
    number_attempts_per_day_max: int
    retry: Mapping[str, int]  # {situation: minutes until the next try}
    route_id: int | None
    caller_id: str
    generation: int
    created_by: int | None
    created: datetime.datetime
    updated: datetime.datetime
    dialing: Dialing = field(default_factory=Dialing)
    agents: tuple[int, ...] = ()  # ids of users; no agent and no group is nobody
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """What the last step of the wizard shows (UAU-28)."""

    campaign: Campaign
    hours_per_week: float
    source: str  # name of the filter or the layout
    script: str
    layout: str
    route: str
    ticket_type: str
    agents: tuple[str, ...]
    groups: tuple[str, ...]
    items: int
    hindrances: tuple[Said, ...]  # why it cannot be activated yet


# -- Finding -----------------------------------------------------------------------------------------------

COLUMNS = [each.name for each in fields(Campaign) if each.name not in ("agents", "groups")]
CAMPAIGN = f"""
    SELECT {", ".join("campaign." + name for name in COLUMNS)}, campaign.dial_mode,
           coalesce((SELECT array_agg(user_id ORDER BY user_id) FROM campaign_agent
                      WHERE campaign_id = campaign.id), '{{}}') AS agents,
           coalesce((SELECT array_agg(group_id ORDER BY group_id) FROM campaign_group
                      WHERE campaign_id = campaign.id), '{{}}') AS groups
      FROM campaign
"""
TUPLES = ("validation_inputs", "company_types", "agents", "groups")


def read(row: asyncpg.Record) -> Campaign:
    values = {**row, **{key: tuple(row[key]) for key in TUPLES}}
    mode = values.pop("dial_mode")
    return Campaign(**{**values, "dialing": Dialing.read(row["dialing"], mode)})


async def by_id(db: Db | asyncpg.Connection, campaign_id: int) -> Campaign | None:
    row = await db.fetchrow(CAMPAIGN + "WHERE campaign.id = $1", campaign_id)
    return read(row) if row else None


async def by_name(db: Db | asyncpg.Connection, name: str) -> Campaign | None:
    row = await db.fetchrow(CAMPAIGN + "WHERE campaign.name = $1", name)
    return read(row) if row else None


async def as_of(
    db: Db, connection: Db | asyncpg.Connection, campaign_id: int, stamp: tuple[Any, ...]
) -> Campaign:
    """The campaign as it is, from memory while its (updated, status, generation) is the one remembered."""
    known: dict[int, Campaign] = db.remembered.setdefault("campaigns", {})
    campaign = known.get(campaign_id)
    if campaign is None or (campaign.updated, campaign.status, campaign.generation) != stamp:
        campaign = known[campaign_id] = await found(connection, campaign_id)
    return campaign


async def found(db: Db | asyncpg.Connection, campaign_id: int) -> Campaign:
    campaign = await by_id(db, campaign_id)
    if campaign is None:
        raise missing("campaign")
    return campaign


SEARCH = """
     WHERE ($1 = '' OR strpos(f_norm(campaign.name || ' ' || campaign.objective || ' '
                                     || campaign.external_code), f_norm($1)) > 0)
       AND (cardinality($2::text[]) = 0 OR campaign.status = ANY($2))
"""


async def all(
    db: Db | asyncpg.Connection,
    text: str = "",
    statuses: Sequence[str] = (),
    limit: int = 200,
    offset: int = 0,
) -> list[Campaign]:
    """By a part of name, objective or external code; running ones first, then the newest."""
    rows = await db.fetch(
        CAMPAIGN
        + SEARCH
        + """
         ORDER BY array_position('{active,paused,draft,ended}'::text[], campaign.status), campaign.id DESC
         LIMIT $3 OFFSET $4
        """,
        text.replace("\x00", ""),
        list(statuses),
        limit,
        offset,
    )
    return [read(row) for row in rows]


async def dialing_by_themselves(db: Db | asyncpg.Connection) -> list[Campaign]:
    """Active ones that are not dialed by hand."""
    rows = await db.fetch(CAMPAIGN + "WHERE campaign.status = 'active' AND campaign.dial_mode <> 'manual'")
    return [read(row) for row in rows]


async def count(db: Db | asyncpg.Connection, text: str = "", statuses: Sequence[str] = ()) -> int:
    return await db.fetchval(
        "SELECT count(*) FROM campaign" + SEARCH, text.replace("\x00", ""), list(statuses)
    )


# -- Whether it may be worked now --------------------------------------------------------------------------


def belongs(campaign: Campaign, user: User) -> bool:
    of_group = user.group_id is not None and user.group_id in campaign.groups
    return user.active and (user.id in campaign.agents or of_group)


def must_belong(campaign: Campaign, user: User) -> None:
    """Refused unless `belongs`."""
    if not belongs(campaign, user):
        raise Refused(
            "{name} does not belong to the campaign {campaign}.",
            code="not_allowed",
            name=user.name,
            campaign=campaign.name,
        )


def is_open(campaign: Campaign, now: datetime.datetime) -> bool:
    """By validity and hours, in the centre's time zone; its status is another question."""
    return hours.campaign_open(
        campaign.hours,
        campaign.permanent,
        campaign.valid_from,
        campaign.valid_until,
        now.astimezone(ZONE),
    )


def opens_at(campaign: Campaign, now: datetime.datetime) -> datetime.datetime | None:
    return hours.next_opening(
        campaign.hours,
        campaign.permanent,
        campaign.valid_from,
        campaign.valid_until,
        now.astimezone(ZONE),
    )


def is_valid(campaign: Campaign, now: datetime.datetime) -> bool:
    return hours.is_valid(
        campaign.permanent, campaign.valid_from, campaign.valid_until, now.astimezone(ZONE).date()
    )


def check_open(campaign: Campaign, now: datetime.datetime) -> None:
    """Refused when nobody may work it now: by status, validity or hours."""
    if campaign.status != "active":
        raise Refused("The campaign {name} is not active.", code="campaign_closed", name=campaign.name)
    if not is_valid(campaign, now):
        raise Refused(
            "The campaign {name} is not in its validity.", code="campaign_closed", name=campaign.name
        )
    if not is_open(campaign, now):
        opens = opens_at(campaign, now)
        if opens is None:
            raise Refused(
                "The campaign {name} does not call at this hour.",
                code="campaign_closed",
                details={"opens_at": None},
                name=campaign.name,
            )
        raise Refused(
            "The campaign {name} does not call at this hour; it opens {time}.",
            code="campaign_closed",
            details={"opens_at": opens.isoformat()},
            name=campaign.name,
            time=f"{opens:%Y-%m-%d %H:%M}",
        )


# Items somebody could be given now or later today: one probe of an index each, whatever the list's size.
HAS_ITEMS = """
    (EXISTS (SELECT FROM list_item WHERE campaign_id = campaign.id AND state = 0 AND due_at IS NULL
                AND held_by IS NULL)
     OR EXISTS (SELECT FROM list_item WHERE campaign_id = campaign.id AND state = 0 AND due_at <= $1
                   AND held_by IS NULL)
     OR EXISTS (SELECT FROM list_item WHERE campaign_id = campaign.id AND state IN (1, 3) AND held_by IS NULL
                   AND callback_owner IS NULL AND due_at <= $1)
     OR EXISTS (SELECT FROM list_item WHERE campaign_id = campaign.id AND state IN (1, 3) AND held_by IS NULL
                   AND callback_owner = $2 AND due_at <= $1)
     OR EXISTS (SELECT FROM generate_series(0, campaign.attempts_max) AS tried
                 CROSS JOIN LATERAL (SELECT FROM list_item
                                      WHERE campaign_id = campaign.id AND state = 2 AND held_by IS NULL
                                        AND attempts = tried AND due_at <= $1 LIMIT 1) AS item)
     OR EXISTS (SELECT FROM list_item WHERE campaign_id = campaign.id AND held_by = $2))
"""


async def visible_to(db: Db, user: User, now: datetime.datetime) -> list[Campaign]:
    """The campaigns an agent may open: none of the four rules of UAU-43 hides them."""
    rows = await db.fetch(
        CAMPAIGN
        + f"""
         WHERE campaign.status = 'active'
           AND (campaign.permanent OR $3 BETWEEN campaign.valid_from AND campaign.valid_until)
           AND (EXISTS (SELECT FROM campaign_agent WHERE campaign_id = campaign.id AND user_id = $2)
                OR EXISTS (SELECT FROM campaign_group WHERE campaign_id = campaign.id AND group_id = $4))
           AND {HAS_ITEMS}
         ORDER BY f_norm(campaign.name), campaign.id
        """,
        now,
        user.id,
        now.astimezone(ZONE).date(),
        user.group_id,
    )
    return [read(row) for row in rows] if can(user, "take_calls") else []


async def why_hidden(db: Db, campaign: Campaign, user: User, now: datetime.datetime) -> list[Said]:
    """Which of the rules of UAU-43 hide the campaign from this agent; empty when it is shown."""
    said = []
    if campaign.status != "active":
        said.append(Said("status", "The campaign is not enabled: its status is {status}.", status(campaign)))
    if not is_valid(campaign, now):
        said.append(
            Said(
                "validity",
                "Today is outside its validity, {start} to {end}.",
                {"start": campaign.valid_from, "end": campaign.valid_until},
            )
        )
    if not (belongs(campaign, user) and can(user, "take_calls")):
        said.append(
            Said("agent", "{name} does not belong to the campaign, nor does the group.", {"name": user.name})
        )
    has = await db.fetchval(
        f"SELECT {HAS_ITEMS} FROM campaign WHERE campaign.id = $3", now, user.id, campaign.id
    )
    if not has:
        said.append(Said("items", "The list has nobody left who can be called now.", {}))
    return said


def status(campaign: Campaign) -> dict[str, str]:
    return {"status": campaign.status}


# -- The wizard --------------------------------------------------------------------------------------------

DEFAULTS: dict[str, Any] = {"source": "filter", "hours": hours.PRESETS["24h"]}


async def create_draft(db: Db, by: User | None, **values: Any) -> Campaign:
    """`values`: those of the step "identification"; only the name is needed to begin."""
    require(by, "run_campaigns")
    new = identification(Entry(DEFAULTS | values))
    new.setdefault("hours", hours.PRESETS["24h"])
    async with db.acquire() as connection, connection.transaction():
        with refusing(CONSTRAINTS):
            campaign_id = await connection.fetchval(
                f"""
                INSERT INTO campaign ({", ".join(new)}, created_by)
                VALUES ({", ".join(f"${n + 1}" for n in range(len(new)))}, ${len(new) + 1}) RETURNING id
                """,
                *new.values(),
                by.id if by else None,
            )
        await audit.note(connection, by, "campaign.create", f"campaign {new['name']}", None, new)
        return await found(connection, campaign_id)


async def save_step(
    db: Db, by: User | None, campaign_id: int, step: str, values: Mapping[str, Any]
) -> Campaign:
    """One step of the wizard by itself; a value that is not given stays as it was."""
    require(by, "run_campaigns")
    if step not in CHECKS:
        raise missing("step")
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM campaign WHERE id = $1 FOR NO KEY UPDATE", campaign_id)
        before = await found(connection, campaign_id)
        if before.status == "ended":
            raise Refused("The campaign {name} has ended.", code="campaign_ended", name=before.name)
        old = asdict(before)
        new = CHECKS[step](Entry(old | dict(values)))
        members = {key: new.pop(key) for key in ("agents", "groups") if key in new}
        with refusing(CONSTRAINTS):
            if new:
                places = ", ".join(f"{key} = ${n + 2}" for n, key in enumerate(new))
                await connection.execute(
                    f"UPDATE campaign SET {places} WHERE id = $1", campaign_id, *new.values()
                )
            if members:
                await set_members(connection, campaign_id, members["agents"], members["groups"])
        await touch(connection, campaign_id)
        if before.status == "active":
            refuse_hindered(await hindrances(connection, await found(connection, campaign_id)))
        if new.get("attempts_max", before.attempts_max) != before.attempts_max:
            await apply_attempts_max(connection, campaign_id, new["attempts_max"])
        changed = {key: old[key] for key in new | members}
        await audit.note(
            connection,
            by,
            "campaign.update",
            f"campaign {new.get('name', before.name)}",
            changed,
            new | members,
        )
        return await found(connection, campaign_id)


async def touch(connection: asyncpg.Connection, campaign_id: int) -> None:
    """Always later than it was, so that one who has read the campaign before can tell."""
    await connection.execute(
        """
        UPDATE campaign SET updated = greatest(clock_timestamp(), updated + interval '1 microsecond')
         WHERE id = $1
        """,
        campaign_id,
    )


async def set_members(
    connection: asyncpg.Connection, campaign_id: int, agents: Sequence[int], groups: Sequence[int]
) -> None:
    await connection.execute("DELETE FROM campaign_agent WHERE campaign_id = $1", campaign_id)
    await connection.execute("DELETE FROM campaign_group WHERE campaign_id = $1", campaign_id)
    await connection.execute(
        "INSERT INTO campaign_agent (campaign_id, user_id) SELECT $1, unnest($2::integer[])",
        campaign_id,
        agents,
    )
    await connection.execute(
        "INSERT INTO campaign_group (campaign_id, group_id) SELECT $1, unnest($2::integer[])",
        campaign_id,
        groups,
    )


async def apply_attempts_max(connection: asyncpg.Connection, campaign_id: int, attempts_max: int) -> None:
    """A lower limit ends who has had as many tries; a higher one brings back whom the old one ended."""
    await connection.execute(
        """
        UPDATE list_item SET state = 5, due_at = NULL
         WHERE campaign_id = $1 AND state IN (2, 3) AND attempts >= $2 AND held_by IS NULL
        """,
        campaign_id,
        attempts_max,
    )
    await connection.execute(
        """
        UPDATE list_item SET state = 2, due_at = now()
         WHERE campaign_id = $1 AND state = 5 AND attempts < $2
        """,
        campaign_id,
        attempts_max,
    )


def identification(entry: Entry) -> dict[str, Any]:
    """UAU-06 … UAU-14. With `defines_hours` off it is permanent and open all day (UAU-12)."""
    answer: dict[str, Any] = {
        "name": entry.text("name", 100),
        "objective": entry.text("objective", 500, required=False),
        "message": entry.text("message", 140, required=False),
        "external_code": entry.text("external_code", 60, required=False),
        "source": entry.option("source", SOURCES),
        "filter_id": entry.reference("filter_id"),
        "import_layout_id": entry.reference("import_layout_id"),
        "defines_hours": entry.switch("defines_hours"),
        "validates": entry.switch("validates"),
        "link_person": entry.switch("link_person"),
    }
    if answer["external_code"] and not answer["validates"]:
        entry.errors.setdefault("external_code", "needs_validation")
    answer["filter_id"] = answer["filter_id"] if answer["source"] == "filter" else None
    answer["import_layout_id"] = answer["import_layout_id"] if answer["source"] == "layout" else None
    if not answer["defines_hours"]:
        answer |= {"permanent": True, "valid_from": None, "valid_until": None}
        answer |= {"hours_preset": "24h", "hours": hours.PRESETS["24h"]}
    entry.done()
    return answer


def period(entry: Entry) -> dict[str, Any]:
    """UAU-15 … UAU-19."""
    permanent = entry.switch("permanent")
    answer: dict[str, Any] = {
        "permanent": permanent,
        "valid_from": None if permanent else day(entry, "valid_from"),
        "valid_until": None if permanent else day(entry, "valid_until"),
        "callback_mode": entry.option("callback_mode", CALLBACK_MODES),
        "hours_preset": entry.option("hours_preset", [*hours.PRESETS, hours.CUSTOM]),
        "respect_destination_window": entry.switch("respect_destination_window"),
    }
    start, end = answer["valid_from"], answer["valid_until"]
    if start and end and end < start:
        entry.errors["valid_until"] = "out_of_range"
    answer["defines_hours"] = (
        entry.switch("defines_hours") or not permanent or answer["hours_preset"] != "24h"
    )
    answer["hours"] = hours.PRESETS.get(answer["hours_preset"]) or entry.values.get("hours") or {}
    if answer["hours_preset"] == hours.CUSTOM and (wrong := grid_problem(answer["hours"])):
        entry.errors["hours"] = wrong
    entry.done()
    return answer


async def set_dialing(
    db: Db,
    by: User | None,
    campaign_id: int,
    values: Mapping[str, Any],
    thresholds: Mapping[str, tuple[int, int]] | None = None,
) -> Campaign:
    """How it is dialed, also while it is active; a value that is not given stays as it was.

    `values` are those of `crm.dialing.Dialing`, and `thresholds` as `crm.dialing.check` takes them. Refused
    with every field that cannot work, by itself or with the trunk the campaign's calls go out by.
    """
    require(by, "run_campaigns")
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM campaign WHERE id = $1 FOR NO KEY UPDATE", campaign_id)
        before = await found(connection, campaign_id)
        if before.status == "ended":
            raise Refused("The campaign {name} has ended.", code="campaign_ended", name=before.name)
        old = asdict(before.dialing)
        new = check(old | dict(values), await trunk_of(connection, before), thresholds)
        await check_dialing_refers(connection, campaign_id, new)
        await connection.execute(
            "UPDATE campaign SET dial_mode = $2, dialing = $3 WHERE id = $1",
            campaign_id,
            new.mode,
            new.stored(),
        )
        if new.quotas != before.dialing.quotas:  # whom the old ones had put aside takes his turn again
            await connection.execute(
                """
                UPDATE list_item SET due_at = NULL
                 WHERE campaign_id = $1 AND state = 0 AND due_at IS NOT NULL AND held_by IS NULL
                """,
                campaign_id,
                timeout=600,
            )
        await touch(connection, campaign_id)
        await audit.note(connection, by, "campaign.dialing", f"campaign {before.name}", old, asdict(new))
        return await found(connection, campaign_id)


async def trunk_of(db: Db | asyncpg.Connection, campaign: Campaign) -> Trunk | None:
    """The one of the campaign's way out; None when calls find their way by their number."""
    route = await routes.by_id(db, campaign.route_id) if campaign.route_id is not None else None
    return await trunks.by_id(db, route.trunk_id) if route else None


async def check_dialing_refers(connection: asyncpg.Connection, campaign_id: int, new: Dialing) -> None:
    """Refused when a share is of no load of this campaign's, or a quota of no field there is."""
    errors = {}
    if new.shares:
        loads = await connection.fetch("SELECT id FROM campaign_load WHERE campaign_id = $1", campaign_id)
        if new.shares.keys() - {row["id"] for row in loads} - {0}:
            errors["shares"] = "not_an_option"
    if new.quotas:
        fields = await filters.fields(connection)
        for quota in new.quotas:
            try:
                filters.checked(tree_of(quota, fields), fields)
            except Refused:
                errors["quotas"] = "not_a_field"
                continue
            for name in quota.conditions:
                offered = [option for option, _ in fields[name].options]
                if offered and not set(quota.values_of(name)) <= set(offered):
                    errors["quotas"] = "not_an_option"
    refuse(errors)


def grid_problem(grid: Any) -> str | None:
    try:
        return hours.problem(grid)
    except (TypeError, AttributeError):
        return "not_an_option"


def day(entry: Entry, field: str) -> datetime.date | None:
    given = entry.values.get(field)
    if isinstance(given, datetime.date):
        return given
    if given in (None, ""):
        entry.errors[field] = "required"
        return None
    try:
        return datetime.date.fromisoformat(str(given))
    except ValueError:
        entry.errors[field] = "not_a_date"
        return None


def settings(entry: Entry) -> dict[str, Any]:
    """UAU-21 … UAU-27, who works it, the limits of attempts, the retry rules, and the way out."""
    answer: dict[str, Any] = {
        "validate_list": validation(entry, "validate_list"),
        "validate_dial": validation(entry, "validate_dial"),
        "validation_inputs": chosen(entry, "validation_inputs", INPUTS),
        "validation_seconds": entry.whole("validation_seconds", 1, 30),
        "validation_on_failure": entry.option("validation_on_failure", ("skip", "allow")),
        "company_target": entry.option("company_target", ("main", "selected")),
        "company_types": names(entry, "company_types"),
        "ticket_mode": entry.option("ticket_mode", ("open_new", "edit_last")),
        "ticket_type_id": entry.reference("ticket_type_id"),
        "script_id": entry.reference("script_id"),
        "layout_id": entry.reference("layout_id"),
        "attempts_max": entry.whole("attempts_max", 1, 50),
        "number_attempts_per_day_max": entry.whole("number_attempts_per_day_max", 1, 50),
        "retry": retry(entry),
        "route_id": entry.reference("route_id"),
        "caller_id": caller_id(entry),
        "agents": entry.references("agents"),
        "groups": entry.references("groups"),
    }
    if (answer["validate_list"] or answer["validate_dial"]) and not answer["validation_inputs"]:
        entry.errors.setdefault("validation_inputs", "required")
    if answer["company_target"] == "selected" and not answer["company_types"]:
        entry.errors.setdefault("company_types", "required")
    entry.done()
    return answer


def validation(entry: Entry, field: str) -> str:
    text = entry.text(field, 520, required=False)
    if text and field not in entry.errors and not VALIDATION.fullmatch(text):
        entry.errors[field] = "not_an_option"
    return text


def chosen(entry: Entry, field: str, options: Sequence[str]) -> list[str]:
    """In the order of the options, whatever order they were chosen in."""
    given = {str(each) for each in entry.values.get(field) or ()}
    if given - set(options):
        entry.errors[field] = "not_an_option"
    return [option for option in options if option in given]


def names(entry: Entry, field: str) -> list[str]:
    given = [text for each in entry.values.get(field) or () if (text := str(each).strip())]
    if any(len(text) > 100 or "\x00" in text for text in given) or len(given) > 50:
        entry.errors[field] = "too_long"
    return list(dict.fromkeys(given))


def retry(entry: Entry) -> dict[str, int]:
    """{situation: minutes}; an empty one is left to the product."""
    given = entry.values.get("retry") or {}
    answer = {}
    for situation, minutes in dict(given).items():
        if situation not in set(SITUATION_LABELS):
            entry.errors["retry"] = "not_an_option"
        elif str(minutes).strip() not in ("", "None"):
            inner = Entry({"retry": minutes})
            answer[str(situation)] = inner.whole("retry", 0, RETRY_MINUTES_MAX)
            entry.errors.update(inner.errors)
    return answer


def caller_id(entry: Entry) -> str:
    """Empty keeps that of the way out."""
    text = entry.text("caller_id", 30, required=False)
    number = normalise(text, "11") if text else ""
    if number is None:
        entry.errors["caller_id"] = "not_a_phone"
    return number or ""


def conclusion(entry: Entry) -> dict[str, Any]:
    """Who works it; the status has verbs of its own."""
    answer: dict[str, Any] = {"agents": entry.references("agents"), "groups": entry.references("groups")}
    entry.done()
    return answer


CHECKS = {
    "identification": identification,
    "period": period,
    "settings": settings,
    "conclusion": conclusion,
}


async def summary(db: Db, campaign: Campaign) -> Summary:
    row = await db.fetchrow(
        """
        SELECT coalesce(saved_filter.name, import_layout.name, '') AS source,
               coalesce(script.name, '') AS script, coalesce(layout.label, '') AS layout,
               coalesce(route.name, '') AS route, coalesce(ticket_type.name, '') AS ticket_type,
               array(SELECT user_account.name FROM campaign_agent
                       JOIN user_account ON user_account.id = campaign_agent.user_id
                      WHERE campaign_id = campaign.id ORDER BY f_norm(user_account.name)) AS agents,
               array(SELECT user_group.name FROM campaign_group
                       JOIN user_group ON user_group.id = campaign_group.group_id
                      WHERE campaign_id = campaign.id ORDER BY f_norm(user_group.name)) AS groups,
               (SELECT count(*) FROM list_item WHERE campaign_id = campaign.id) AS items
          FROM campaign
          LEFT JOIN saved_filter ON saved_filter.id = campaign.filter_id
          LEFT JOIN import_layout ON import_layout.id = campaign.import_layout_id
          LEFT JOIN script ON script.id = campaign.script_id
          LEFT JOIN layout ON layout.id = campaign.layout_id
          LEFT JOIN route ON route.id = campaign.route_id
          LEFT JOIN ticket_type ON ticket_type.id = campaign.ticket_type_id
         WHERE campaign.id = $1
        """,
        campaign.id,
    )
    if row is None:
        raise missing("campaign")
    named = {**row, "agents": tuple(row["agents"]), "groups": tuple(row["groups"])}
    return Summary(
        campaign=campaign,
        hours_per_week=hours.hours_per_week(campaign.hours),
        hindrances=tuple(await hindrances(db, campaign)),
        **named,
    )


async def hindrances(db: Db | asyncpg.Connection, campaign: Campaign) -> list[Said]:
    """What has to be filled in before the campaign can be active."""
    said = []
    if campaign.source == "filter" and campaign.filter_id is None:
        said.append(Said("filter_id", "Choose the filter its people come from.", {}))
    if campaign.source == "layout" and campaign.import_layout_id is None:
        said.append(Said("import_layout_id", "Choose the layout of the file its people come from.", {}))
    if not (campaign.agents or campaign.groups):
        said.append(Said("agents", "Choose who works the campaign.", {}))
    if campaign.layout_id is None:
        said.append(Said("layout_id", "Choose the form that opens when somebody answers.", {}))
    if campaign.validates:
        known = set(await procedures(db))
        for field in ("validate_list", "validate_dial"):
            kind, _, name = getattr(campaign, field).partition(":")
            if kind == "procedure" and name not in known:
                said.append(Said(field, "There is no validation procedure {name}.", {"name": name}))
    return said


def refuse_hindered(said: Sequence[Said]) -> None:
    refuse({each.rule: "not_an_option" if each.values else "required" for each in said})


async def procedures(db: Db | asyncpg.Connection) -> list[str]:
    """The functions of the schema `validation`, which an administrator of the database puts there."""
    rows = await db.fetch(
        """
        SELECT DISTINCT proname::text AS name FROM pg_proc
         WHERE pronamespace = 'validation'::regnamespace AND prokind = 'f' ORDER BY name
        """
    )
    return [row["name"] for row in rows]


# -- Its life ----------------------------------------------------------------------------------------------


async def activate(db: Db, by: User | None, campaign_id: int) -> Campaign:
    """Refused while something is missing; an ended campaign stays so, and can be copied."""
    return await set_status(db, by, campaign_id, ("draft", "paused"), "active")


async def pause(db: Db, by: User | None, campaign_id: int) -> Campaign:
    """Nobody is given an item any more; who has one may finish it."""
    return await set_status(db, by, campaign_id, ("active",), "paused")


async def end(db: Db, by: User | None, campaign_id: int) -> Campaign:
    return await set_status(db, by, campaign_id, ("draft", "active", "paused"), "ended")


async def set_status(
    db: Db, by: User | None, campaign_id: int, before: Sequence[str], after: str
) -> Campaign:
    require(by, "run_campaigns")
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM campaign WHERE id = $1 FOR NO KEY UPDATE", campaign_id)
        campaign = await found(connection, campaign_id)
        if campaign.status not in before:
            raise Refused(
                "The campaign {name} is {status} and cannot become {after}.",
                code="wrong_status",
                name=campaign.name,
                status=campaign.status,
                after=after,
            )
        if after == "active":
            refuse_hindered(await hindrances(connection, campaign))
        await connection.execute("UPDATE campaign SET status = $2 WHERE id = $1", campaign_id, after)
        await touch(connection, campaign_id)
        await audit.note(
            connection,
            by,
            "campaign.status",
            f"campaign {campaign.name}",
            {"status": campaign.status},
            {"status": after},
        )
        return await found(connection, campaign_id)


async def copy(db: Db, by: User | None, campaign_id: int, name: str) -> Campaign:
    """A draft with the same settings and the same people to work it, and no list."""
    require(by, "run_campaigns")
    entry = Entry({"name": name})
    name = entry.text("name", 100)
    entry.done()
    kept = [
        column
        for column in COLUMNS
        if column not in ("id", "name", "status", "generation", "created_by", "created", "updated", "dialing")
    ]
    async with db.acquire() as connection, connection.transaction():
        source = await found(connection, campaign_id)
        with refusing(CONSTRAINTS):
            new_id = await connection.fetchval(
                f"""
                INSERT INTO campaign (name, created_by, dial_mode, dialing, {", ".join(kept)})
                SELECT $2, $3, dial_mode, dialing - 'shares', {", ".join(kept)} FROM campaign WHERE id = $1
                RETURNING id
                """,
                campaign_id,
                name,
                by.id if by else None,
            )
        await set_members(connection, new_id, source.agents, source.groups)
        await audit.note(
            connection, by, "campaign.create", f"campaign {name}", None, {"copy_of": source.name}
        )
        return await found(connection, new_id)


async def remove(db: Db, by: User | None, campaign_id: int) -> None:
    """Refused once it has a list or a history: such a campaign is ended instead."""
    require(by, "run_campaigns")
    async with db.acquire() as connection, connection.transaction():
        before = await found(connection, campaign_id)
        if await connection.fetchval(
            "SELECT 1 FROM list_item_archive WHERE campaign_id = $1 LIMIT 1", campaign_id
        ):
            refuse({"list": "in_use"})
        with refusing(CONSTRAINTS):
            await connection.execute("DELETE FROM campaign WHERE id = $1", campaign_id)
        await audit.note(connection, by, "campaign.remove", f"campaign {before.name}", asdict(before), None)
