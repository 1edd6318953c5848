"""Numbers that can be dialed, and where each one leads."""

from dataclasses import dataclass
from enum import StrEnum

from crm.e164 import display, normalise

__all__ = ["Leads", "Number", "display", "normalise"]


class Leads(StrEnum):
    QUEUE = "queue"
    EXTENSION = "extension"
    HANGUP = "hangup"


@dataclass(frozen=True, slots=True)
class Number:
    dialed: str
    kind: Leads
    target: str  # name of the queue, or the extension; empty for hangup
