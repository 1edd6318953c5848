"""Routes: the permitted ways out, each for some groups of users."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    id: int
    name: str
    pattern: str  # a regular expression that the whole number (E.164 or short) matches
    trunk_id: int
    strip: int  # characters taken from the front of the number
    prefix: str  # then put there instead
    caller_id: str  # number shown to the called party; empty keeps that of the trunk
    groups: tuple[int, ...]  # ids of the groups that may use it; empty is every group
