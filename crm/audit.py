"""Audit: who changed what, and when."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class AuditEntry:
    at: datetime.datetime
    by_user_id: int | None  # None is the product itself
    action: str  # such as "user.update"
    subject: str  # such as "user ana"
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    by: str = ""  # the user's login, when read
