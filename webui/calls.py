"""How a call's direction and result are said to a reader."""

from aiohttp import web

from crm.calls import Direction, Result
from webui.i18n import N_
from webui.page import words

DIRECTIONS = {
    Direction.INBOUND: N_("Incoming"),
    Direction.OUTBOUND: N_("Outgoing"),
    Direction.INTERNAL: N_("Internal"),
}
RESULTS = {
    Result.ANSWERED: N_("answered"),
    Result.ABANDONED: N_("abandoned"),
    Result.REFUSED: N_("refused"),
    Result.FAILED: N_("failed"),
    Result.NO_ANSWER: N_("no answer"),
    Result.BUSY: N_("busy"),
}


def direction_words(request: web.Request) -> dict[str, str]:
    _ = words(request)
    return {direction: _(word) for direction, word in DIRECTIONS.items()}


def result_words(request: web.Request) -> dict[str, str]:
    _ = words(request)
    return {result: _(word) for result, word in RESULTS.items()}
