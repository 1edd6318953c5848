"""Pauses: the reasons for not being ready."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pause:
    code: str
    label: str
