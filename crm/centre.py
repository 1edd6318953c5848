"""The centre as it was set up: one frozen picture of users, queues, numbers and ways out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from crm import extensions, groups, layouts, numbers, pauses, queues, routes, trunks, users
from crm.db import Db
from crm.extensions import Extension
from crm.form import Layout
from crm.groups import Group
from crm.numbers import Number
from crm.pauses import Pause
from crm.queues import Queue
from crm.routes import Route
from crm.trunks import Trunk
from crm.users import User


@dataclass(frozen=True, slots=True)
class Centre:
    """For the live floor, which routes in memory. Loaded again after an administrative change."""

    users: Mapping[int, User] = field(default_factory=dict)
    groups: Mapping[int, Group] = field(default_factory=dict)
    queues: Mapping[str, Queue] = field(default_factory=dict)  # by name
    extensions: Mapping[str, Extension] = field(default_factory=dict)  # by number
    numbers: Mapping[str, Number] = field(default_factory=dict)  # by what is dialed
    trunks: Mapping[int, Trunk] = field(default_factory=dict)
    routes: Mapping[int, Route] = field(default_factory=dict)
    layouts: Mapping[int, Layout] = field(default_factory=dict)
    pauses: tuple[Pause, ...] = ()


async def load(db: Db) -> Centre:
    """All of one moment."""
    async with db.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        return Centre(
            users={each.id: each for each in await users.all(connection)},
            groups={each.id: each for each in await groups.all(connection)},
            queues={each.name: each for each in await queues.all(connection)},
            extensions={each.number: each for each in await extensions.all(connection)},
            numbers={each.dialed: each for each in await numbers.all(connection)},
            trunks={each.id: each for each in await trunks.all(connection)},
            routes={each.id: each for each in await routes.all(connection)},
            layouts={each.id: each for each in await layouts.all(connection)},
            pauses=tuple(await pauses.all(connection)),
        )
