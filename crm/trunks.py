"""Trunks: the lines to carriers."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Trunk:
    id: int
    name: str
    host: str
    port: int
    transport: str  # UDP or TCP
    username: str
    password: str = field(repr=False)
    number_prefix: str
    active: bool
