"""What the dialing pages call things, in the reader's language: modes, reasons, choices, numbers."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from aiohttp import web
from babel.numbers import format_decimal

from dialer.pacing import Why
from webui import page
from webui.campaigns.said import DAYS_SHORT, Meaning
from webui.i18n import N_

MODES: Mapping[str, Meaning] = MappingProxyType(
    {
        "manual": (N_("One to one"), N_("Agents take the next person and dial by hand.")),
        "preview": (
            N_("Preview"),
            N_("A free agent is shown the next person; after a countdown the number is dialed."),
        ),
        "progressive": (
            N_("Progressive"),
            N_(
                "One call for each free agent, dialed by itself. Nobody is ever abandoned for want of agents."
            ),
        ),
        "ratio": (
            N_("Fixed ratio"),
            N_("So many calls for each free agent. More talk, and some people who meet no agent."),
        ),
        "predictive": (
            N_("Predictive"),
            N_("As many calls as the limit of abandonment allows, decided anew at every moment."),
        ),
    }
)
MACHINE: Mapping[str, Meaning] = MappingProxyType(
    {
        "off": (N_("Off"), N_("Every answered call goes to an agent, machines too.")),
        "before": (
            N_("Before the agent"),
            N_("Agents hear people only; each call waits a second or so until it is known."),
        ),
        "after": (
            N_("While the agent listens"),
            N_("The agent hears the call at once; a machine is taken away as soon as it is known."),
        ),
    }
)
MACHINE_ACTIONS: Mapping[str, str] = MappingProxyType(
    {
        "hang_up": N_("Hang up"),
        "message": N_("Play the message for machines"),
        "agent": N_("Give it to an agent"),
    }
)
ORDERS: Mapping[str, str] = MappingProxyType(
    {"list": N_("As on the list"), "newest": N_("The newest first"), "random": N_("At random")}
)
ON_STOP: Mapping[str, str] = MappingProxyType(
    {
        "finish": N_("They ring on; who answers gets an agent"),
        "cancel": N_("They are cancelled at once"),
    }
)
WINDOWS: Mapping[str, str] = MappingProxyType(
    {
        "campaign": N_("The whole campaign"),
        "day": N_("The day"),
        "60": N_("The last hour"),
        "1440": N_("The last 24 hours"),
        "43200": N_("The last 30 days"),
    }
)
DETECTED: Mapping[str, str] = MappingProxyType(
    {
        "machine": N_("A machine was heard"),
        "fax": N_("A fax was heard"),
        "silence": N_("Nothing was heard"),
        "music": N_("Music was heard"),
    }
)
CODES: Mapping[str, str] = MappingProxyType(
    {
        "404": N_("404 Not found"),
        "480": N_("480 Temporarily unavailable"),
        "484": N_("484 Address incomplete"),
        "486": N_("486 Busy here"),
        "487": N_("487 Request terminated"),
        "500": N_("500 Server internal error"),
        "502": N_("502 Bad gateway"),
        "503": N_("503 Service unavailable"),
        "600": N_("600 Busy everywhere"),
        "603": N_("603 Decline"),
        "604": N_("604 Does not exist anywhere"),
    }
)
REASONS: Mapping[str, str] = MappingProxyType(  # those of dialer.pacing, word by word
    {
        "start": N_("not started yet"),
        "stopped": N_("stopped"),
        "nobody": N_("not dialing: no agent is available"),
        "failing": N_("holding back: nearly every call fails at once"),
        "silent": N_("holding back: nobody has answered for the last {unanswered} calls"),
        "channels": N_("not dialing: every line is in use"),
        "free": N_("dialing: {free} of {agents} agents are free, {ringing} calls ringing"),
        "ahead": N_(
            "dialing ahead: {finishing} of {agents} agents are about to finish, {ringing} calls ringing"
        ),
        "enough": N_("enough calls in the air: {free} of {agents} agents are free, {ringing} calls ringing"),
        "holding": N_(
            "holding back: {finishing} of {agents} agents are about to finish, {ringing} calls ringing"
        ),
        "waiting": N_("holding back: people wait for an agent ({waiting})"),
        "budget": N_("holding back: {abandoned_percent} % abandoned, the limit is {limit_percent} %"),
    }
)


def number(request: web.Request, value: float, digits: int = 0) -> str:
    """With the reader's own point or comma: at most so many digits after it."""
    pattern = "#,##0." + "#" * digits if digits else "#,##0"
    return format_decimal(round(value, digits), pattern, locale=page.language(request))


def day(request: web.Request, at: datetime) -> str:
    """With its weekday: Thu 26/11/2026."""
    _ = page.words(request)
    return f"{_(DAYS_SHORT[at.weekday()])} {at:%d/%m/%Y}"


def reason(request: web.Request, why: Why) -> str:
    """Why it dials as it does, in a sentence."""
    _ = page.words(request)
    values: dict[str, Any] = {
        name: number(request, value, 1 if name.endswith("percent") else 0)
        for name, value in why.values.items()
    }
    sentence = _(REASONS[why.code]).format(**values)
    return sentence[:1].upper() + sentence[1:] + "."
