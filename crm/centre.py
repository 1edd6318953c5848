"""The centre as it was set up: one frozen picture of users, queues, numbers and ways out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from crm.extensions import Extension
from crm.groups import Group
from crm.layouts import Layout
from crm.numbers import Number
from crm.pauses import Pause
from crm.queues import Queue
from crm.routes import Route
from crm.trunks import Trunk
from crm.users import User


@dataclass(frozen=True, slots=True)
class Centre:
    users: Mapping[int, User] = field(default_factory=dict)
    groups: Mapping[int, Group] = field(default_factory=dict)
    queues: Mapping[str, Queue] = field(default_factory=dict)  # by name
    extensions: Mapping[str, Extension] = field(default_factory=dict)  # by number
    numbers: Mapping[str, Number] = field(default_factory=dict)  # by what is dialed
    trunks: Mapping[int, Trunk] = field(default_factory=dict)
    routes: Mapping[int, Route] = field(default_factory=dict)
    layouts: Mapping[int, Layout] = field(default_factory=dict)
    pauses: tuple[Pause, ...] = ()
