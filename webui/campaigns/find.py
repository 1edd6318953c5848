"""The campaign an address names, and how the campaign's own pages begin."""

from aiohttp import web

from crm import campaigns
from crm.campaigns import Campaign
from webui.page import DB


async def find(request: web.Request) -> Campaign:
    campaign = await campaigns.by_id(request.app[DB], int(request.match_info["id"]))
    if campaign is None:
        raise web.HTTPNotFound(text="there is no such campaign\n")
    return campaign
