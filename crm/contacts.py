"""Contacts: the customers, found by number or name, and what happened with each before."""

import datetime
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contact:
    id: int
    name: str
    company: str
    document: str  # CPF or CNPJ without punctuation
    email: str
    notes: str
    phones: tuple[str, ...]  # E.164, the first is the usual one


@dataclass(frozen=True, slots=True)
class Candidate:
    contact: Contact
    why: str  # "number" the same number, "ending" the same last eight digits
    score: int  # higher is likelier


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    time: datetime.datetime
    kind: str  # "tabulation" or "call"
    agent: str
    queue: str
    category: str
    text: str
    call_id: str


@dataclass(frozen=True, slots=True)
class ContactLinked:
    """For the history writer: this call was with this contact."""

    call_id: str
    contact_id: int
