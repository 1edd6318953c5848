"""Trunks: the lines to carriers, how much of each is in use now, and what the carriers' rules count."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from multidict import MultiDict, MultiMapping

from crm import dialing_figures, trunks
from crm.db import Db
from crm.dialing_figures import MONTH_CALLS, SHORT_DAY_CALLS, SHORT_DAY_PERCENT, Used
from crm.trunks import Trunk
from crm.users import User
from webui.kept import Kept
from webui.page import DB, FLOOR, words

GIVEN = (
    "name",
    "host",
    "port",
    "transport",
    "username",
    "number_prefix",
    "channels_max",
    "calls_per_second",
)

NOTHING = Used(0, 0, 0)
NEAR = 0.8  # of what the carrier allows: said before it is reached


@dataclass(frozen=True, slots=True)
class Row:
    trunk: Trunk
    routes: tuple[str, ...]  # that lead over it
    calls: int  # now, in both directions
    used: Used
    warnings: tuple[str, ...]


class Trunks(Kept[Trunk]):
    path = "/trunks"

    async def find(self, db: Db, id: str) -> Trunk | None:
        return await trunks.by_id(db, int(id))

    def id(self, trunk: Trunk) -> int:
        return trunk.id

    async def create(self, db: Db, by: User, sent: MultiMapping[Any]) -> Trunk:
        return await trunks.create(db, by, **facts(sent, None))

    async def update(self, db: Db, by: User, trunk: Trunk, sent: MultiMapping[Any]) -> None:
        await trunks.update(db, by, trunk.id, **facts(sent, trunk))

    async def remove(self, request: web.Request, trunk: Trunk) -> None:
        await trunks.remove(request.app[DB], request["user"], trunk.id)

    def values(self, trunk: Trunk | None) -> MultiDict[str]:
        known = asdict(trunk) if trunk else trunks.DEFAULTS
        texts = {name: str(known.get(name, "")) for name in GIVEN}
        ticked = {name: "1" if known[name] else "" for name in ("active", "follows_redirects")}
        return MultiDict(texts | ticked)

    async def listed(self, request: web.Request) -> dict[str, Any]:
        db, floor = request.app[DB], request.app[FLOOR]
        every = await trunks.all(db)
        month = await dialing_figures.month(db, datetime.now(UTC))
        leading = floor.centre.routes.values()
        return {
            "rows": [
                Row(
                    trunk,
                    tuple(route.name for route in leading if route.trunk_id == trunk.id),
                    floor.phones.trunk_calls(trunk.id),
                    (used := month.trunks.get(trunk.id, NOTHING)),
                    warnings(request, used),
                )
                for trunk in every
            ],
            "total": month.all,
            "others": month.others,
            "total_warning": too_many(request, month.all),
        }

    async def shown(
        self, request: web.Request, trunk: Trunk | None, values: MultiMapping[str]
    ) -> dict[str, Any]:
        return {"trunk": trunk, "transports": [(each, each) for each in trunks.TRANSPORTS]}


def warnings(request: web.Request, used: Used) -> tuple[str, ...]:
    """What the carrier will do about a day of short calls."""
    _ = words(request)
    if used.short_percent < SHORT_DAY_PERCENT or used.today < NEAR * SHORT_DAY_CALLS:
        return ()
    if used.today < SHORT_DAY_CALLS:
        return (_("Nearly a hundred thousand calls today, most of them short: slow down."),)
    return (_("Too many short calls today: the carrier may block this trunk for fifteen days."),)


def too_many(request: web.Request, total: Used) -> str:
    """What the month's count of the company asks for."""
    _ = words(request)
    if total.month > MONTH_CALLS:
        return _(
            "More than 500,000 calls this month: every call has to be authenticated (Origem Verificada), or "
            "the carrier stops them."
        )
    if total.month > NEAR * MONTH_CALLS:
        return _("Near 500,000 calls this month: above it every call has to be authenticated.")
    return ""


def facts(sent: MultiMapping[Any], trunk: Trunk | None) -> dict[str, Any]:
    """As crm.trunks takes them. The password is never shown: an empty field keeps the one there is, and
    without a user name there is none."""
    password = str(sent.get("password", "")) or (trunk.password if trunk else "")
    return {
        **{name: sent.get(name, "") for name in GIVEN},
        "password": password if sent.get("username") else "",
        "active": "active" in sent,
        "follows_redirects": "follows_redirects" in sent,
    }


routes = Trunks().routes()
