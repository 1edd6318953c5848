"""How a placed call ended, in the words of a campaign's attempt (UAU-V2). PURE."""

from crm.item_states import Situation

BUSY = {486, 600}
NOBODY = {408, 480, 487}
NO_SUCH_NUMBER = {404, 410, 484, 604}
CONGESTED = {500, 502, 503, 504}
REJECTED = {401, 403, 407, 603, 607, 608}


def situation_of(
    *,
    answered: bool,
    own_leg: bool,
    hung_up_here: bool,
    refused: bool,
    sip_status: int | None,
) -> Situation:
    """`own_leg`: the agent's own station was up; `refused`: a rule forbade the call before it rang."""
    if answered:
        return Situation.COMPLETED
    if refused:
        return Situation.BLOCKED
    if not own_leg:
        return Situation.DISCARDED_CTI
    if sip_status in NO_SUCH_NUMBER:
        return Situation.INVALID
    if sip_status in BUSY:
        return Situation.BUSY
    if hung_up_here:
        return Situation.CANCELLED
    if sip_status in NOBODY:
        return Situation.NO_ANSWER
    if sip_status in CONGESTED:
        return Situation.CONGESTION
    if sip_status in REJECTED:
        return Situation.REJECTED
    return Situation.FAILED
