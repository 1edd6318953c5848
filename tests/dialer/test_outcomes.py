"""How a call of the dialer ended: by the network, by what was heard, and as the campaign maps both."""

import pytest

from crm.dialing import DETECTED, OUTCOMES
from crm.item_states import Situation
from dialer.outcomes import situation_of_dialed


@pytest.mark.parametrize(
    ("status", "situation"),
    [
        (486, Situation.BUSY), (600, Situation.BUSY), (404, Situation.INVALID), (484, Situation.INVALID),
        (410, Situation.INVALID), (604, Situation.INVALID), (480, Situation.NO_ANSWER),
        (408, Situation.NO_ANSWER), (487, Situation.NO_ANSWER), (503, Situation.CONGESTION),
        (500, Situation.CONGESTION), (403, Situation.REJECTED), (603, Situation.REJECTED),
        (488, Situation.FAILED), (None, Situation.FAILED),
    ],
)  # fmt: skip
def test_a_call_nobody_lifted_ends_as_the_network_says(status, situation):
    assert situation_of_dialed(sip_status=status) is situation


@pytest.mark.parametrize("sip_status", [200, None, 487])
def test_what_lifted_decides_once_something_did(sip_status):
    def ended(**known):
        return situation_of_dialed(sip_status=sip_status, picked_up=True, **known)

    assert ended(detected="machine") is Situation.VOICEMAIL
    assert ended(detected="music") is Situation.VOICEMAIL
    assert ended(detected="fax") is Situation.FAX
    assert ended(detected="silence") is Situation.SILENCE
    assert ended(detected="human") is Situation.DISCARDED_CUSTOMER, "they left before an agent came"
    assert ended() is Situation.DISCARDED_CUSTOMER
    assert ended(detected="human", connected=True) is Situation.COMPLETED
    assert ended(abandoned=True) is Situation.ABANDONED


def test_one_we_hung_up_on_while_it_rang_was_cancelled():
    assert situation_of_dialed(sip_status=487, cancelled=True) is Situation.CANCELLED
    assert situation_of_dialed(sip_status=None, cancelled=True) is Situation.CANCELLED


def test_the_campaigns_own_mapping_goes_before_ours():
    mine = {"486": "no_answer", "480": "invalid", "machine": "no_answer", "fax": "invalid"}
    assert situation_of_dialed(sip_status=486, mapping=mine) is Situation.NO_ANSWER
    assert situation_of_dialed(sip_status=480, mapping=mine) is Situation.INVALID
    assert situation_of_dialed(sip_status=600, mapping=mine) is Situation.BUSY
    heard = {"sip_status": 200, "picked_up": True, "mapping": mine}
    assert situation_of_dialed(**heard, detected="machine") is Situation.NO_ANSWER
    assert situation_of_dialed(**heard, detected="fax") is Situation.INVALID
    assert situation_of_dialed(**heard, detected="silence") is Situation.SILENCE


@pytest.mark.parametrize("code", ["200", "480", "487", "None", *DETECTED, "human", ""])
@pytest.mark.parametrize("into", OUTCOMES)
def test_no_mapping_hides_somebody_who_met_no_agent_nor_one_who_did(code, into):
    mine = {code: str(into)}
    for status in (200, 480, 487, None):
        known = {"sip_status": status, "picked_up": True, "detected": "human", "mapping": mine}
        assert situation_of_dialed(**known, abandoned=True) is Situation.ABANDONED
        assert situation_of_dialed(**known, connected=True) is Situation.COMPLETED
