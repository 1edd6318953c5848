"""How a call's direction and result are said to a reader."""

from aiohttp import web

from crm.calls import Direction, Result
from webui.page import words


def direction_words(request: web.Request) -> dict[str, str]:
    _ = words(request)
    return {
        Direction.INBOUND: _("Received"),
        Direction.OUTBOUND: _("Made"),
        Direction.INTERNAL: _("Internal"),
    }


def result_words(request: web.Request) -> dict[str, str]:
    _ = words(request)
    return {
        Result.ANSWERED: _("answered"),
        Result.ABANDONED: _("abandoned"),
        Result.REFUSED: _("refused"),
        Result.FAILED: _("failed"),
        Result.NO_ANSWER: _("no answer"),
        Result.BUSY: _("busy"),
    }
