"""Whether a number may be dialed for an item at this moment. No page, verb or API dials past this.

Everything is read again from the database, whatever the asker believes: the item and who holds it, the
campaign, the number, the do-not-call list. Each refusal is in words and has a code of its own.
"""

import asyncio
import datetime
from collections.abc import Callable
from dataclasses import dataclass, replace

from crm import attempts, campaigns, contacts, items
from crm.blocklist import Blocklist
from crm.campaigns import Campaign
from crm.db import Db
from crm.entry import missing
from crm.items import Item
from crm.refused import Refused
from crm.users import DIALER, User
from dialer import holidays, windows
from dialer.validation import Person, Validation
from dialer.windows import Closed, Holidays


@dataclass(frozen=True, slots=True)
class Passed:
    campaign: Campaign
    item: Item
    warning: str = ""  # the campaign's hook failed, and the campaign calls nevertheless


class Gate:
    def __init__(
        self,
        db: Db,
        blocked: Blocklist,
        validation: Validation,
        clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._db, self._blocklist, self._validation = db, blocked, validation
        self.now = clock
        self._holidays: tuple[int, Holidays] | None = None  # with the year they were read in

    async def check(self, user: User, item_id: int, number: str) -> Passed:
        """Every rule, the campaign's own hook last; refused with the first that says no."""
        passed = await self.rules(user, item_id, number)
        campaign = passed.campaign
        if not (campaign.validates and campaign.validate_dial):
            return passed
        contact = await contacts.by_id(self._db, passed.item.contact_id)
        if contact is None:
            raise missing("contact")
        person = Person(contact.external_code, str(contact.id), contact.document)
        said = await self._validation.ask(
            campaign.validate_dial, campaign.validation_inputs, person, campaign.validation_seconds
        )
        if said.allowed:
            return await self.rules(user, item_id, number)  # asking took its time
        if not said.failed and said.why:
            raise Refused(
                "The validation of the campaign says no: {why}", code="validation_refused", why=said.why
            )
        if not said.failed:
            raise Refused("The validation of the campaign says no.", code="validation_refused")
        if campaign.validation_on_failure == "allow":
            return replace(await self.rules(user, item_id, number), warning=said.why)
        raise Refused(
            "The validation of the campaign failed, so this person is not called now: {why}",
            code="validation_failed",
            why=said.fault or said.why,
        )

    async def rules(self, user: User, item_id: int, number: str) -> Passed:
        """All that takes no time to ask; asked once more when the telephone is about to ring.

        With `crm.users.DIALER` as user, of an item in the dialer's hands.
        """
        now_so = await attempts.standing(self._db, item_id, number, self.now())
        item, campaign = now_so.item, now_so.campaign
        await self._check_held(user, item)
        if user.id == DIALER.id:
            campaigns.check_open(campaign, self.now())
        else:
            items.check_may_work(campaign, user, self.now())
        attempts.check_item(item, campaign)
        if self._blocklist.blocked(number, campaign.id):
            now_so = replace(now_so, blocked=True)
        attempts.check_number(now_so, number)
        await self._check_window(campaign, number)
        attempts.check_tries(now_so, number)
        return Passed(campaign, item)

    async def held(self, user: User, item_id: int) -> Item:
        """The item, while it is in this agent's hands; refused with who has it."""
        item = await items.by_id(self._db, item_id)
        if item is None:
            raise missing("item")
        await self._check_held(user, item)
        return item

    async def _check_held(self, user: User, item: Item) -> None:
        if item.held_by not in (None, user.id):
            raise await items.in_use(self._db, item)
        if item.held_by is None or item.held_until is None or item.held_until <= self.now():
            raise Refused(
                "{contact} is no longer yours; take the item again.",
                code="held",
                details={"user_id": None, "agent": "", "item_id": item.id},
                contact=item.contact,
            )

    async def _check_window(self, campaign: Campaign, number: str) -> None:
        now = self.now()
        match windows.may_call(number, now, await self.holidays(now)):
            case Closed(opens_at=opens) as closed if campaign.respect_destination_window or opens is None:
                raise Refused(
                    closed.template,
                    code="number_closed",
                    details={"opens_at": opens.isoformat() if opens else None},
                    **closed.values,
                )

    async def holidays(self, now: datetime.datetime) -> Holidays:
        if self._holidays is None or self._holidays[0] != now.year:
            self._holidays = now.year, await asyncio.to_thread(holidays.around, now)
        return self._holidays[1]
