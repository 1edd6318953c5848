"""What an agent asks of campaigns and lists with nobody in hand (UAU-42 … UAU-51, TEL-14).

Which campaigns are open, and why one is not; who is on a list, and why somebody is not called; callbacks
moved and deleted; customers linked.
"""

from typing import Any

from crm import callbacks, campaigns, items
from crm.campaigns import Campaign
from crm.db import Db
from crm.entry import missing
from crm.item_states import STATE_LABELS, State
from crm.progress import Criteria
from crm.refused import Refused
from cti.commands import Arguments, Verb, text, whole
from cti.desk import Desk
from cti.floor import Floor
from dialer import windows
from dialer.gate import Gate
from dialer.outcome import without_call_of
from dialer.work import iso


class Lists:
    """Verbs for `cti.commands`; it keeps nothing."""

    def __init__(self, db: Db, gate: Gate) -> None:
        self.db, self.gate = db, gate

    @property
    def verbs(self) -> dict[str, Verb]:
        return {name: getattr(self, method) for name, method in VERBS.items()}

    async def list_campaigns(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        now = self.gate.now()
        return {
            "campaigns": [
                {
                    "id": campaign.id,
                    "name": campaign.name,
                    "objective": campaign.objective,
                    "mode": campaign.dialing.mode,
                    "open": campaigns.is_open(campaign, now),
                    "overdue": await callbacks.overdue_count(self.db, desk.user, now, campaign.id),
                }
                for campaign in await campaigns.visible_to(self.db, desk.user, now)
            ]
        }

    async def why_hidden(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """UAU-43: which of the four rules hides a campaign from me."""
        campaign = await campaign_of(self.db, arguments)
        said = await campaigns.why_hidden(self.db, campaign, desk.user, self.gate.now())
        return {"why": [{"rule": each.rule, "text": str(each)} for each in said]}

    async def list_items(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """UAU-44, UAU-45, UAU-48 … UAU-51."""
        campaign = await campaign_of(self.db, arguments)
        campaigns.must_belong(campaign, desk.user)
        wanted = text(arguments, "situation", "")
        if wanted and wanted.upper() not in State.__members__:
            raise Refused("There is no situation {name}.", code="bad_argument", name=wanted)
        criteria = Criteria(
            text(arguments, "name", ""),
            text(arguments, "document", ""),
            text(arguments, "phone", ""),
            text(arguments, "external_code", ""),
        )
        now = self.gate.now()
        page = await items.search(
            self.db,
            campaign,
            desk.user,
            criteria,
            State[wanted.upper()] if wanted else None,
            now,
            min(max(whole(arguments, "page") or 1, 1), 10_000),
        )
        return {
            "page": page.page,
            "more": page.more,
            "items": [
                {
                    "item": row.id,
                    "contact": row.contact_id,
                    "name": row.contact,
                    "document": row.document,
                    "external_code": row.external_code,
                    "state": row.state.name.lower(),
                    "attempts": row.attempts,
                    "due_at": iso(row.due_at) if row.due_at else None,
                    "callback_agent": row.callback_agent,
                    "last_situation": row.last_situation,
                    "held_by": row.held_agent,
                }
                for row in page.rows
            ],
        }

    async def why_not_called(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        now = self.gate.now()
        closed = windows.closed_area_codes(now, await self.gate.holidays(now))
        item = await items.by_id(self.db, item_of(arguments))
        if item is None:
            raise missing("item")
        campaigns.must_belong(await campaigns.found(self.db, item.campaign_id), desk.user)
        said = await items.why_not_called(self.db, item.id, now, closed)
        return {"why": [{"rule": each.rule, "text": str(each)} for each in said]}

    async def move_callback(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """TEL-14: reschedule."""
        now = self.gate.now()
        outcome = without_call_of({"status": "not_dialed", **arguments}, now)
        changes: dict[str, Any] = {"due_at": outcome.callback_at}
        if "note" in arguments:
            changes["note"] = outcome.note
        await callbacks.move(self.db, desk.user, item_of(arguments), now, **changes)
        return {}

    async def remove_callback(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """TEL-14: the schedule is deleted; the person stays on the list."""
        reason = text(arguments, "reason", "")
        await callbacks.remove(self.db, desk.user, item_of(arguments), self.gate.now(), reason)
        return {}

    async def link_customer(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """UAU-14, TEL-14: one more customer on the list."""
        campaign, contact = whole(arguments, "campaign"), whole(arguments, "contact")
        if campaign is None or contact is None:
            raise Refused("Choose a campaign and a customer.", code="bad_argument")
        if not await items.link(self.db, desk.user, campaign, contact):
            name = (await campaigns.found(self.db, campaign)).name
            there = await items.of_contact(self.db, campaign, contact)
            if there is None:
                raise Refused(
                    "No number of this customer may be called, so {campaign} does not take them.",
                    code="blocked",
                    campaign=name,
                )
            raise Refused(
                "{contact} is on the list of {campaign} already: {state}.",
                code="taken",
                details={"item_id": there.id},
                contact=there.contact,
                campaign=name,
                state=STATE_LABELS[there.state],
            )
        return {}


async def campaign_of(db: Db, arguments: Arguments) -> Campaign:
    campaign_id = whole(arguments, "campaign")
    if campaign_id is None:
        raise Refused("Choose a campaign.", code="bad_argument")
    return await campaigns.found(db, campaign_id)


def item_of(arguments: Arguments) -> int:
    item_id = whole(arguments, "item")
    if item_id is None:
        raise Refused("Choose a person of the list.", code="bad_argument")
    return item_id


VERBS = {
    "ListCampaigns": "list_campaigns",
    "WhyHidden": "why_hidden",
    "ListItems": "list_items",
    "WhyNotCalled": "why_not_called",
    "MoveCallback": "move_callback",
    "RemoveCallback": "remove_callback",
    "LinkCustomer": "link_customer",
}
