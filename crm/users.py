"""Users: who may log in, in which role, and what each role may do."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    ADMINISTRATOR = "administrator"
    SUPERVISOR = "supervisor"
    AGENT = "agent"
    BACK_OFFICE = "back_office"
    AUDITOR = "auditor"


RIGHTS: dict[Role, frozenset[str]] = {
    Role.ADMINISTRATOR: frozenset(
        "administer audit watch_wall see_tabulations export see_contacts edit_contacts".split()
    ),
    Role.SUPERVISOR: frozenset(
        "take_calls watch_wall see_tabulations export see_contacts edit_contacts".split()
    ),
    Role.AGENT: frozenset("take_calls see_contacts edit_contacts".split()),
    Role.BACK_OFFICE: frozenset("see_tabulations see_contacts edit_contacts".split()),
    Role.AUDITOR: frozenset("audit see_tabulations export see_contacts hear_recordings".split()),
}


@dataclass(frozen=True, slots=True)
class User:
    id: int
    login: str
    name: str
    role: Role
    group_id: int | None
    group: str | None
    language: str
    extension: str | None
    may_dial_external: bool
    may_hear_recordings: bool
    active: bool


def can(user: User, right: str) -> bool:
    """Whether the user has the right: one of his role's, or one given to him alone."""
    if not user.active:
        return False
    own = {
        "hear_recordings": user.may_hear_recordings,
        "dial_external": user.may_dial_external and "take_calls" in RIGHTS[user.role],
    }
    return own.get(right, False) or right in RIGHTS[user.role]
