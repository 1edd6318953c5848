"""How a call of the dialer ended, in the words of a campaign's attempt. PURE."""

from collections.abc import Mapping

from crm.item_states import Situation
from dialer.situations import situation_of

HEARD: Mapping[str, Situation] = {  # what picked up, where it was no person
    "machine": Situation.VOICEMAIL,
    "music": Situation.VOICEMAIL,
    "fax": Situation.FAX,
    "silence": Situation.SILENCE,
}


def situation_of_dialed(
    *,
    sip_status: int | None,
    cause: str = "",
    picked_up: bool = False,
    detected: str = "",
    abandoned: bool = False,
    connected: bool = False,
    cancelled: bool = False,
    mapping: Mapping[str, str] | None = None,
) -> Situation:
    """`picked_up`: the network said answered; `detected`: what was heard then (`Attempt.detection`).

    `abandoned`: a person met no agent in time; `connected`: one met an agent; `cancelled`: we hung up while
    it rang. `mapping` is the campaign's own, of SIP statuses and of what was heard; no mapping hides a
    person who was abandoned.
    """
    mine = mapping or {}
    if abandoned:
        return Situation.ABANDONED
    if picked_up and detected in HEARD:
        return Situation(mine.get(detected, HEARD[detected]))
    if connected:
        return Situation.COMPLETED
    if picked_up:  # they hung up before anybody could speak to them
        return Situation.DISCARDED_CUSTOMER
    if not cancelled and str(sip_status) in mine:
        return Situation(mine[str(sip_status)])
    return situation_of(
        answered=False, own_leg=True, hung_up_here=cancelled, refused=False, sip_status=sip_status
    )
