"""Whether a number may be dialed for an item at this moment. No page, verb or API dials past this.

Everything is read again from the database, whatever the asker believes: the item and who holds it, the
campaign, the number, the do-not-call list. Each refusal is in words and has a code of its own.
"""

import asyncio
import datetime
from collections.abc import Callable
from dataclasses import dataclass

from crm import attempts, blocklist, campaigns, contacts, items
from crm.blocklist import Blocklist
from crm.campaigns import Campaign
from crm.db import Db
from crm.e164 import display
from crm.entry import missing
from crm.item_states import STATE_LABELS, TO_WORK, State
from crm.items import Item
from crm.refused import Refused
from crm.users import User
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
            return passed
        if not said.failed and said.why:
            raise Refused(
                "The validation of the campaign says no: {why}", code="validation_refused", why=said.why
            )
        if not said.failed:
            raise Refused("The validation of the campaign says no.", code="validation_refused")
        if campaign.validation_on_failure == "allow":
            return Passed(campaign, passed.item, said.why)
        raise Refused(
            "The validation of the campaign failed, so this person is not called now: {why}",
            code="validation_failed",
            why=said.why,
        )

    async def rules(self, user: User, item_id: int, number: str) -> Passed:
        """All that takes no time to ask; asked once more when the telephone is about to ring."""
        item = await self.held(user, item_id)
        campaign = await campaigns.found(self._db, item.campaign_id)
        items.check_may_work(campaign, user, self.now())
        check_item(item, campaign)
        await self._check_number(campaign, item, number)
        await self._check_blocked(campaign, number)
        await self._check_window(campaign, number)
        await self._check_attempts(campaign, number)
        return Passed(campaign, item)

    async def held(self, user: User, item_id: int) -> Item:
        """The item, while it is in this agent's hands; refused with who has it."""
        item = await items.by_id(self._db, item_id)
        if item is None:
            raise missing("item")
        if item.held_by not in (None, user.id):
            raise await items.in_use(self._db, item)
        if item.held_by is None or item.held_until is None or item.held_until <= self.now():
            raise Refused(
                "{contact} is no longer yours; take the item again.",
                code="held",
                details={"user_id": None, "agent": "", "item_id": item.id},
                contact=item.contact,
            )
        return item

    async def _check_number(self, campaign: Campaign, item: Item, number: str) -> None:
        phones = {phone.number: phone for phone in await items.phones(self._db, campaign.id, item.contact_id)}
        phone = phones.get(number)
        if phone is None and number != item.callback_phone:
            raise Refused(
                "{number} is no number at which this campaign reaches {contact}.",
                code="not_a_number",
                number=display(number),
                contact=item.contact,
            )
        if phone is not None and phone.wrong:
            raise Refused("{number} is a wrong number.", code="wrong_number", number=display(number))

    async def _check_blocked(self, campaign: Campaign, number: str) -> None:
        known = self._blocklist.blocked(number, campaign.id)
        if known or await blocklist.is_blocked(self._db, number, campaign.id):
            raise Refused(
                "{number} is blocked: it may not be called.", code="blocked", number=display(number)
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

    async def _check_attempts(self, campaign: Campaign, number: str) -> None:
        most = campaign.number_attempts_per_day_max
        today = await attempts.number_attempts(self._db, number, self.now())
        if today >= most:
            raise Refused(
                "{number} was tried {n} times today, and the campaign allows {most}.",
                code="day_limit",
                number=display(number),
                n=today,
                most=most,
            )


def check_item(item: Item, campaign: Campaign) -> None:
    if item.state not in TO_WORK:
        raise Refused(
            "{contact} cannot be called any more: {state}.",
            code="concluded",
            contact=item.contact,
            state=STATE_LABELS[item.state],
        )
    # A callback is a promise: the limit of attempts does not break it.
    if item.attempts >= campaign.attempts_max and item.state is not State.TO_CALL_BACK:
        raise Refused(
            "{contact} was tried {n} times, and the campaign allows {most}.",
            code="attempts_max",
            contact=item.contact,
            n=item.attempts,
            most=campaign.attempts_max,
        )
