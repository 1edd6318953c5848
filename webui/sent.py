"""A form that was sent: shown again as it was typed, with each refusal beside the field it concerns."""

from typing import Any, TypeVar

from aiohttp import web
from multidict import MultiDict, MultiMapping

from crm.entry import MESSAGES
from crm.refused import Refused
from webui.page import said, words

Each = TypeVar("Each")

WHOLE = ""  # the name under which stands what concerns the form as a whole


def typed(sent: MultiMapping[Any]) -> dict[str, str]:
    return {name: str(value) for name, value in sent.items()}


def as_typed(sent: MultiMapping[Any]) -> MultiDict[str]:
    """The same with what was chosen several times."""
    return MultiDict((name, str(value)) for name, value in sent.items())


def several(sent: MultiMapping[Any], name: str) -> list[str]:
    return [str(value) for value in sent.getall(name, [])]


def errors(request: web.Request, refused: Refused) -> dict[str, str]:
    """What is wrong with each field, in the reader's words."""
    _ = words(request)
    keys = refused.details.get("errors") or {}
    if not keys:
        return {WHOLE: said(request, refused)}
    return {name: _(MESSAGES.get(key, key)) for name, key in keys.items()}


def moved(order: list[Each], which: Each, where: str) -> list[Each]:
    """The order with one a place earlier ("up") or later."""
    if which in order:
        place = order.index(which)
        other = place + (-1 if where == "up" else 1)
        if 0 <= other < len(order):
            order[place], order[other] = order[other], order[place]
    return order
