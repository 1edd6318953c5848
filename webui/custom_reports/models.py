"""What a new report can start from: a few models, and one for each question of the forms. Pure."""

from collections.abc import Mapping
from typing import Any

from crm.custom_reports import Column, Shape
from crm.filters import ANSWER
from webui.filters.words import Say
from webui.i18n import N_

QUESTIONS_MAX = 6

MODELS: Mapping[str, tuple[str, str, str, Mapping[str, Any]]] = {  # subject, name, about, facts
    "categories": (
        "tabulations",
        N_("Forms by category"),
        N_("How often each category was chosen, and its share."),
        {
            "columns": ("saved", "agent", "queue", "customer", "category"),
            "groups": ("category",),
            "measures": ("count", "share"),
            "asks": ("layout", "queue", "agent"),
        },
    ),
    "success": (
        "tabulations",
        N_("Success by agent and day"),
        N_("What each agent saved each day, how much of it with success, and how long they talked."),
        {
            "columns": ("saved", "agent", "customer", "category", "success", "talk_seconds"),
            "groups": ("agent", "saved:day"),
            "measures": ("count", "yes:success", "average:talk_seconds"),
            "period": "last_7",
            "asks": ("agent", "group", "layout"),
        },
    ),
    "answers": (
        "tabulations",
        N_("Every answer"),
        N_("One row for each form, with all that was answered."),
        {
            "columns": ("saved", "agent", "customer", "category"),
            "period": "last_7",
            "asks": ("layout", "category"),
        },
    ),
    "hours": (
        "tabulations",
        N_("Calls by hour of the day"),
        N_("When the calls come whose forms were saved, and how long people waited."),
        {
            "columns": ("started", "queue", "agent", "wait_seconds", "category"),
            "groups": ("started:hour",),
            "measures": ("count", "average:wait_seconds", "most:wait_seconds"),
            "asks": ("queue", "direction"),
        },
    ),
    "attempts": (
        "attempts",
        N_("Attempts by campaign and situation"),
        N_("How the tries of each campaign ended."),
        {
            "columns": ("started", "campaign", "agent", "customer", "number", "situation", "result"),
            "groups": ("campaign", "situation"),
            "measures": ("count", "share"),
            "asks": ("campaign", "agent"),
        },
    ),
    "cities": (
        "customers",
        N_("Customers by city"),
        N_("How many customers live where."),
        {
            "columns": ("name", "phone", "city", "state", "created"),
            "groups": ("state", "city"),
            "measures": ("count", "share"),
            "order": "-count",
            "period": "all",
            "asks": ("state",),
        },
    ),
    "tickets": (
        "tickets",
        N_("Tickets by status"),
        N_("How many tickets are where, and how long they are or were open."),
        {
            "columns": ("opened", "protocol", "ticket_type", "status", "customer"),
            "groups": ("ticket_type", "status"),
            "measures": ("count", "average:open_seconds"),
            "asks": ("ticket_type", "open"),
        },
    ),
}


def facts(model: str, columns: Mapping[str, Column], _: Say) -> dict[str, Any]:
    """What the model fills in, of what its reader can have; `columns` are those of its subject."""
    _subject, name, about, given = MODELS[model]
    kept = dict(given)
    if model == "answers":
        kept["columns"] = (*given["columns"], *(key for key in columns if key.startswith(ANSWER)))
    for listed in ("columns", "asks"):
        kept[listed] = tuple(key for key in kept.get(listed, ()) if key in columns)
    return kept | {"name": _(name), "about": _(about)}


def questions(columns: Mapping[str, Column]) -> list[Column]:
    """The questions of forms that a model is offered for: those with answers to choose from."""
    asked = (each for each in columns.values() if each.key.startswith(ANSWER) and each.sort is Shape.CHOICE)
    return list(asked)[:QUESTIONS_MAX]


def of_question(column: Column) -> dict[str, Any]:
    return {
        "name": column.label,
        "columns": ("saved", "agent", "customer", "category", column.key),
        "groups": (column.key,),
        "measures": ("count", "share"),
        "order": "-count",
        "asks": ("queue", "agent"),
    }
