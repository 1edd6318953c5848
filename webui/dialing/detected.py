"""How right the detection of machines is in this campaign, as its agents' own *voicemail* button says."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from crm import dialing_figures
from crm.campaigns import Campaign
from webui.dialing.said import DETECTED, number
from webui.i18n import N_
from webui.page import DB, words

DAYS = 30
HEARD: Mapping[str, str] = {
    "human": N_("A person was heard"),
    **DETECTED,
    "ringback": N_("It rang somewhere else"),
    "busy": N_("A busy tone was heard"),
}


async def about(request: web.Request, campaign: Campaign) -> dict[str, Any]:
    """What the template `dialing/detected.html` needs."""
    _ = words(request)
    now = datetime.now(UTC)
    heard = await dialing_figures.detection(request.app[DB], campaign, now - timedelta(days=DAYS), now)
    return {
        "detected_days": DAYS,
        "detected": [
            {
                "word": _(HEARD.get(each.kind, each.kind)),
                "calls": number(request, each.calls),
                "judged": number(request, each.judged),
                "people": number(request, each.people),
                "voicemail": number(request, each.voicemail),
                "percent": number(request, each.voicemail_percent, 1) if each.judged else "",
                "seconds": number(request, each.mean_ms / 1000, 1) if each.mean_ms is not None else "",
            }
            for each in heard
        ],
    }
