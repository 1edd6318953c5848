"""How a campaign is dialed: the mode, its settings with their safe defaults, and what about them cannot work.

Read from the campaign's columns `dial_mode` and `dialing`; written by `campaigns.set_dialing`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

import asyncpg

from crm.db import Db
from crm.e164 import normalise
from crm.entry import Entry, refuse
from crm.filters import SEVERAL, TWO, WITHOUT_VALUE, Field, Sort, Tree
from crm.item_states import Situation
from crm.said import Said
from crm.trunks import Trunk

if TYPE_CHECKING:
    from crm.campaigns import Campaign

MODES = ("manual", "preview", "progressive", "ratio", "predictive")
OVERDIALING = ("ratio", "predictive")  # more calls than free agents: some are abandoned
MACHINE = ("off", "before", "after")  # detection: never, before an agent hears the call, or while one does
MACHINE_ACTIONS = ("hang_up", "message", "agent")
WINDOWS = ("campaign", "day")  # of the figure that the limit holds; or a number of minutes
ORDERS = ("list", "newest", "random")
ON_STOP = ("finish", "cancel")  # what becomes of ringing calls
DETECTED = ("machine", "fax", "silence", "music")
OUTCOMES = (  # what a code of the network or a detection may be counted as
    *(Situation.VOICEMAIL, Situation.BUSY, Situation.NO_ANSWER, Situation.INVALID, Situation.CONGESTION),
    *(Situation.REJECTED, Situation.FAILED, Situation.DISCARDED_CTI, Situation.DISCARDED_CUSTOMER),
    *(Situation.CANCELLED, Situation.FAX, Situation.SILENCE),
)
WINDOW_MINUTES = (5, 30 * 24 * 60)
LOCKOUT_DAYS_MAX = 90
CALLER_IDS_MAX = 1000
SHARES_MAX = QUOTAS_MAX = 200
YES = ("1", "yes", "true", "sim")
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,99}", re.ASCII)  # a recording in the folder of messages


@dataclass(frozen=True, slots=True)
class Quota:
    """So many successes among the customers who meet every condition, and no more.

    `tests` are of crm.filters, for the fields that are not simply asked to be the value; values of one that
    takes several have commas between them, from and to a semicolon.
    """

    conditions: Mapping[str, str]  # {field of crm.filters: value}
    max: int
    tests: Mapping[str, str] = field(default_factory=dict)  # {field: test}

    def values_of(self, name: str) -> list[str]:
        """What this field is compared with."""
        test, written = self.tests.get(name, ""), self.conditions[name]
        if test in WITHOUT_VALUE:
            return []
        between = ";" if test in TWO else ","
        return [each.strip() for each in written.split(between)] if test in SEVERAL | TWO else [written]


@dataclass(frozen=True, slots=True)
class Dialing:
    """Seconds and percent are of what the names say; the defaults are safe for a campaign in Brazil."""

    mode: str = "manual"
    lines_max: int = 0  # calls at once; 0 is as many as the trunk carries
    ring_seconds: int = 25  # then nobody answers; Anatel counts one hung up early as a short call
    abandon_limit_percent: float = 3.0  # of live answers
    abandon_after_seconds: float = 2.0  # from the answer until an agent has the call
    abandon_message: str = ""  # a recording that names the company; empty for the built-in one
    lockout_days: int = 3  # whom no agent was free for is not called again before
    ratio: float = 1.5  # calls for each free agent, in the mode "ratio"
    preview_seconds: int = 20  # to look at the customer before the call, in the mode "preview"
    machine: str = "off"
    machine_action: str = "hang_up"
    caller_ids: tuple[str, ...] = ()  # E.164; one of the called area code first, else in turn
    # Advanced:
    calls_per_second: int = 5
    machine_message: str = ""
    thresholds: Mapping[str, int] = field(default_factory=dict)  # of cti.media.detection.Thresholds
    window: str | int = "campaign"
    order: str = "list"  # of those nobody tried, within their priority
    shares: Mapping[int, float] = field(default_factory=dict)  # {load: weight}; one not named weighs 1
    quotas: tuple[Quota, ...] = ()
    on_stop: str = "finish"
    outcomes: Mapping[str, str] = field(default_factory=dict)  # {SIP status or detection: situation}

    @classmethod
    def read(cls, stored: Mapping[str, Any], mode: str = "manual") -> Self:
        """Of a campaign's columns; what is not stored has its default."""
        known = {name: stored[name] for name in STORED & stored.keys()}
        if "caller_ids" in known:
            known["caller_ids"] = tuple(known["caller_ids"])
        if "shares" in known:
            known["shares"] = {int(load): weight for load, weight in known["shares"].items()}
        if "quotas" in known:
            known["quotas"] = tuple(Quota(**each) for each in known["quotas"])
        return cls(mode=mode, **known)

    def stored(self) -> dict[str, Any]:
        """As the column `dialing` holds it: what differs from the defaults, without the mode."""
        usual = asdict(Dialing())
        mine = {
            name: value for name, value in asdict(self).items() if name != "mode" and value != usual[name]
        }
        if "shares" in mine:
            mine["shares"] = {str(load): weight for load, weight in self.shares.items()}
        return mine


STORED = {each.name for each in fields(Dialing)} - {"mode"}
ADVANCED = (
    *("calls_per_second", "machine_message", "thresholds", "window", "order", "shares", "quotas"),
    *("on_stop", "outcomes"),
)
VISIBLE = tuple(each.name for each in fields(Dialing) if each.name not in ADVANCED)


# -- What cannot work --------------------------------------------------------------------------------------


def check(
    values: Mapping[str, Any],
    trunk: Trunk | None = None,
    thresholds: Mapping[str, tuple[int, int]] | None = None,
) -> Dialing:
    """Refused with every field that cannot work. A value that is not given has its default.

    `trunk` is the one the campaign's calls go out by, and `thresholds` the limits of each of the
    detection's (cti.media.detection.LIMITS), where they are known.
    """
    entry = Entry(asdict(Dialing()) | {name: given for name, given in values.items() if given is not None})
    new = Dialing(
        mode=entry.option("mode", MODES),
        lines_max=entry.whole("lines_max", 0, 10_000),
        ring_seconds=entry.whole("ring_seconds", 15, 60),
        abandon_limit_percent=entry.decimal("abandon_limit_percent", 0, 100),
        abandon_after_seconds=entry.decimal("abandon_after_seconds", 0.5, 30),
        abandon_message=recording(entry, "abandon_message"),
        lockout_days=entry.whole("lockout_days", 0, LOCKOUT_DAYS_MAX),
        ratio=entry.decimal("ratio", 1, 10),
        preview_seconds=entry.whole("preview_seconds", 3, 600),
        machine=entry.option("machine", MACHINE),
        machine_action=entry.option("machine_action", MACHINE_ACTIONS),
        caller_ids=numbers(entry),
        calls_per_second=entry.whole("calls_per_second", 1, 500),
        machine_message=recording(entry, "machine_message"),
        thresholds=limits_of(entry, thresholds),
        window=window(entry),
        order=entry.option("order", ORDERS),
        shares=shares(entry),
        quotas=quotas(entry),
        on_stop=entry.option("on_stop", ON_STOP),
        outcomes=outcomes(entry),
    )
    if new.mode == "predictive" and new.abandon_limit_percent <= 0:
        entry.errors.setdefault("abandon_limit_percent", "no_limit")
    if trunk and trunk.channels_max and new.lines_max > trunk.channels_max:
        entry.errors.setdefault("lines_max", "above_trunk")
    if trunk and trunk.calls_per_second and new.calls_per_second > trunk.calls_per_second:
        entry.errors.setdefault("calls_per_second", "above_trunk")
    if new.machine == "before" and new.machine_action == "message" and not new.machine_message:
        entry.errors.setdefault("machine_message", "required")
    entry.done()
    return new


def recording(entry: Entry, name: str) -> str:
    text = entry.text(name, 100, required=False)
    if text and name not in entry.errors and not FILE.fullmatch(text):
        entry.errors[name] = "not_allowed_characters"
    return text


def numbers(entry: Entry) -> tuple[str, ...]:
    given = entry.values["caller_ids"]
    words = re.split(r"[,;\n]", given) if isinstance(given, str) else [str(each) for each in given]
    known = [normalise(word.strip(), "11") for word in words if word.strip()]
    if None in known:
        entry.errors["caller_ids"] = "not_a_phone"
    elif len(known) > CALLER_IDS_MAX:
        entry.errors["caller_ids"] = "too_long"
    return tuple(dict.fromkeys(each for each in known if each))


def limits_of(entry: Entry, known: Mapping[str, tuple[int, int]] | None) -> dict[str, int]:
    given = mapping(entry, "thresholds")
    answer = {}
    for name, value in given.items():
        if known is not None and name not in known:
            entry.errors["thresholds"] = "not_an_option"
        elif value not in (None, ""):
            inner = Entry({"thresholds": value})
            answer[str(name)] = inner.whole("thresholds", *(known[name] if known else (1, 60_000)))
            entry.errors.update(inner.errors)
    return answer


def window(entry: Entry) -> str | int:
    if entry.values["window"] in WINDOWS:
        return str(entry.values["window"])
    return entry.whole("window", *WINDOW_MINUTES)


def shares(entry: Entry) -> dict[int, float]:
    answer = {}
    for load, weight in mapping(entry, "shares").items():
        if weight in (None, ""):
            continue
        inner = Entry({"shares": weight})
        answer[whole(str(load), entry, "shares")] = inner.decimal("shares", 0, 1_000_000)
        entry.errors.update(inner.errors)
    if len(answer) > SHARES_MAX or (answer and not any(answer.values())):
        entry.errors.setdefault("shares", "out_of_range")
    return answer


def whole(text: str, entry: Entry, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        entry.errors[name] = "not_an_option"
        return 0
    return int(text)


def quotas(entry: Entry) -> tuple[Quota, ...]:
    """Each {"conditions": {field: value}, "max": n}, perhaps with "tests": {field: test}, or {"field": …,
    "value": …, "max": n}."""
    given = entry.values["quotas"] or ()
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) > QUOTAS_MAX:
        entry.errors["quotas"] = "not_an_option"
        return ()
    answer = []
    for each in given:
        match asdict(each) if isinstance(each, Quota) else each:
            case {"conditions": dict() as conditions, "max": most} if conditions:
                pass
            case {"field": name, "value": value, "max": most}:
                conditions = {name: value}
            case _:
                conditions, most = {"": ""}, 0
        tests = tests_of(asdict(each) if isinstance(each, Quota) else each, conditions)
        if not all(
            str(name or "").strip() and (str(value or "").strip() or tests.get(name) in WITHOUT_VALUE)
            for name, value in conditions.items()
        ):
            entry.errors["quotas"] = "required"
            continue
        inner = Entry({"quotas": most})
        answer.append(
            Quota(
                {str(name): str(value).strip() for name, value in conditions.items()},
                inner.whole("quotas", 0, 100_000_000),
                tests,
            )
        )
        entry.errors.update(inner.errors)
    return tuple(answer)


def tests_of(given: Any, conditions: Mapping[str, Any]) -> dict[str, str]:
    tests = given.get("tests") if isinstance(given, Mapping) else None
    known = tests.items() if isinstance(tests, Mapping) else ()
    return {str(name): str(test) for name, test in known if test and name in conditions}


def tree_of(quota: Quota, fields: Mapping[str, Field]) -> Tree:
    """The customers it counts, as a filter; `phone` is the state of a number. Refused without the field."""
    leaves: list[Tree] = []
    for name, value in quota.conditions.items():
        if name not in fields:
            refuse({"quotas": "not_a_field"})
        leaf: dict[str, Any] = {"field": name}
        if test := quota.tests.get(name, ""):
            leaf |= {
                "test": test,
                "value": quota.values_of(name),
            }  # of which filters.checked takes what it needs
            leaves.append(leaf)
            continue
        match fields[name].sort:
            case Sort.TEXT:
                leaf |= {"test": "is", "value": value}
            case Sort.CHOICE:
                leaf |= {"test": "one_of", "value": [value]}
            case Sort.NUMBER:
                leaf |= {"test": "equals", "value": value}
            case Sort.DATE:
                leaf |= {"test": "on", "value": value}
            case Sort.PHONE:
                leaf |= {"test": "state", "value": [value.upper()]}
            case Sort.YES_NO:
                leaf |= {"test": "yes" if value.lower() in YES else "no"}
        leaves.append(leaf)
    return {"all": leaves}


def outcomes(entry: Entry) -> dict[str, str]:
    answer = {}
    for code, situation in mapping(entry, "outcomes").items():
        if situation in (None, ""):
            continue
        known = str(code) in DETECTED or re.fullmatch(r"[3-6][0-9]{2}", str(code), re.ASCII)
        if not known or situation not in OUTCOMES:
            entry.errors["outcomes"] = "not_an_option"
        answer[str(code)] = str(situation)
    return answer


def mapping(entry: Entry, name: str) -> Mapping[Any, Any]:
    given = entry.values[name] or {}
    if not isinstance(given, Mapping):
        entry.errors[name] = "not_an_option"
        return {}
    return given


# -- Recordings -------------------------------------------------------------------------------------------


async def using(db: Db | asyncpg.Connection, recording: str) -> list[str]:
    """The names of the campaigns, over or not, whose people or machines hear it."""
    rows = await db.fetch(
        """
        SELECT name FROM campaign
         WHERE $1 IN (dialing ->> 'abandon_message', dialing ->> 'machine_message') ORDER BY name
        """,
        recording,
    )
    return [row["name"] for row in rows]


# -- What will not go well ---------------------------------------------------------------------------------


def warnings(
    campaign: "Campaign",
    dialing: Dialing,
    *,
    left: int,
    agents: int,
    hours_per_week: float | None = None,
    detects: bool = True,
) -> list[Said]:
    """Said before the start; none of it stops the campaign.

    `left` is how many of the list may still be called, `agents` how many people belong to the campaign,
    `hours_per_week` for how long somebody of the list may be called at all (`dialer.windows.shared_hours`;
    None when nobody knows), and `detects` whether the media engine tells machines from people.
    """
    said = []
    if left == 0:
        said.append(Said("list", "Nobody is left on the list: add people to it.", {}))
    if agents == 0:
        said.append(Said("agents", "Nobody works the campaign: link agents or a group to it.", {}))
    if hours_per_week == 0:
        said.append(
            Said(
                "hours",
                "The campaign's hours and those of the places it calls have nothing in common: "
                "nobody of the list will be called. Change the campaign's hours.",
                {},
            )
        )
    if dialing.mode in OVERDIALING and not dialing.abandon_message:
        said.append(
            Said(
                "abandon_message",
                "Whom no agent is free for will hear a message that does not name the company: "
                "choose a recording of your own.",
                {},
            )
        )
    if dialing.machine != "off" and not detects:
        said.append(
            Said(
                "machine",
                "Answering machines are not told from people here: the media engine in use cannot. "
                "Agents will hear them.",
                {},
            )
        )
    if dialing.mode in OVERDIALING and agents and agents < 3:
        said.append(
            Said(
                "mode",
                "With {n} agents calling ahead gains little: progressive abandons nobody.",
                {"n": agents},
            )
        )
    if dialing.mode == "ratio" and dialing.ratio > 2:
        said.append(
            Said(
                "ratio",
                "{ratio} calls for each free agent will pass the limit on some days.",
                {"ratio": dialing.ratio},
            )
        )
    if campaign.callback_mode == "agent" and dialing.mode != "manual":
        said.append(Said("callback_mode", "Callbacks wait until the agent they belong to is free.", {}))
    return said
