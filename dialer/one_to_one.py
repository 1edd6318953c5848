"""One-to-one campaigns at the desk: an agent takes a person from a list, calls, and says what came of it.

The item in an agent's hands is a `Work`; each verb below is asked by a screen of the agent's desk. What is
true tomorrow is written by crm; whether a number may be called is for `dialer.gate` alone.
"""

import asyncio
import contextlib
import datetime
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from crm import (
    actions,
    attempts,
    blocklist,
    callbacks,
    campaigns,
    contacts,
    custom_fields,
    hopper,
    items,
    numbers,
    scripts,
    tickets,
)
from crm.attempts import Attempt
from crm.campaigns import Campaign
from crm.contacts import Contact
from crm.db import AWAY, Db
from crm.entry import missing
from crm.form import Category
from crm.item_states import CALLBACKS, Next, Result, Situation, State
from crm.items import Item, Phone
from crm.refused import Refused
from crm.scripts import ScriptKind
from crm.users import User
from cti import outbound
from cti.call import Call, CallState, moment
from cti.commands import Arguments, Verb, answers, text, whole
from cti.desk import Desk
from cti.floor import Floor
from dialer import retry, windows
from dialer.gate import Gate
from dialer.lists import Lists, campaign_of, item_of
from dialer.outcome import contact_of, outcome_of, without_call_of, yes
from dialer.retry import Rules, Tried
from dialer.situations import situation_of
from dialer.work import DRAFT_MAX, Guide, Outcome, Phase, Work, iso

log = logging.getLogger("ramal.one_to_one")

WATCH_SECONDS = 2.0  # how soon an agent hears that an item was taken away
RETRY_SECONDS = 1.0  # between tries to write while the database is away
NOTES_SHOWN = 3  # of earlier tries, in the contact window
PUT_OFF = {"validation_refused", "validation_failed", "day_limit"}  # refusals that would only repeat


class OneToOne:
    """Wired to its floor by `join`; `run` holds the leases while it runs."""

    def __init__(self, floor: Floor, db: Db, gate: Gate, lease_seconds: float = items.LEASE_SECONDS) -> None:
        self.floor, self.db, self.gate = floor, db, gate
        self.lease_seconds = lease_seconds
        self.lists = Lists(db, gate)
        self.works: dict[int, Work] = {}  # by user
        self._taking: set[int] = set()  # users, while a person is being taken from a list for them
        self._one_at_a_time: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._writing: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)  # by user, in the order of calls
        self._renewed: dict[int, float] = {}  # when, by user
        self.keepers: list[Callable[[], Awaitable[None]]] = []  # of leases that are not an agent's

    @property
    def verbs(self) -> dict[str, Verb]:
        return self.lists.verbs | {name: getattr(self, method) for name, method in VERBS.items()}

    def join(self) -> None:
        self.floor.verbs |= self.verbs
        self.floor.parts["work"] = self.view

    def view(self, desk: Desk) -> dict[str, Any] | None:
        work = self.works.get(desk.user.id)
        return work.view(desk.user.name, self.gate.now()) if work else None

    def _show(self, desk: Desk) -> None:
        desk.show("WorkChanged", work=self.view(desk))

    # -- campaigns --

    async def open_campaign(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """Refused with every rule that hides it; an item left in my hands is before me again."""
        campaign = await campaign_of(self.db, arguments)
        now = self.gate.now()
        said = await campaigns.why_hidden(self.db, campaign, desk.user, now)
        if said:
            raise Refused("{why}", code="campaign_closed", why=" ".join(str(each) for each in said))
        async with self._hands_of(desk):
            if desk.user.id not in self.works:
                mine = await items.held_by(self.db, desk.user.id)
                if mine and await items.renew(self.db, desk.user.id, mine.id, now, self.lease_seconds):
                    await self._take(desk, mine)
        overdue = await callbacks.overdue_count(self.db, desk.user, now, campaign.id)
        return {
            "campaign": {"id": campaign.id, "name": campaign.name, "objective": campaign.objective},
            "overdue": overdue,
            "work": self.view(desk),
        }

    # -- taking a person --

    async def next_item(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """UAU-46, UAU-47. An overdue callback comes first, and `work.overdue` says so."""
        campaign = await campaign_of(self.db, arguments)
        self._check_logged_on(desk)
        async with self._hands_of(desk):
            self._check_hands_free(desk, None)
            now = self.gate.now()
            await self._keep(now)
            closed = windows.closed_area_codes(now, await self.gate.holidays(now))
            item = await items.claim_next(self.db, campaign, desk.user, now, self.lease_seconds, closed)
            if item is None:
                raise Refused(
                    "Nobody is left to call in {campaign} at this moment.",
                    code="nobody_left",
                    campaign=campaign.name,
                )
            return {"work": await self._take(desk, item)}

    async def take_item(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """One the agent chose; refused with who has it."""
        item_id = item_of(arguments)
        self._check_logged_on(desk)
        async with self._hands_of(desk):
            self._check_hands_free(desk, item_id)
            await self._keep(self.gate.now())
            item = await items.claim_this(self.db, item_id, desk.user, self.gate.now(), self.lease_seconds)
            return {"work": await self._take(desk, item)}

    def hands_full(self, user_id: int) -> bool:
        """They have a person before them, or will in a moment: no dialed call is for them."""
        return user_id in self.works or user_id in self._taking

    @contextlib.asynccontextmanager
    async def _hands_of(self, desk: Desk) -> AsyncIterator[None]:
        """To take a person from a list; refused while a dialed call is on its way to this agent."""
        user_id = desk.user.id
        async with self._one_at_a_time[user_id]:
            coming = self.floor.calls.get(self.floor.agent(user_id).call_id or "")
            if coming and coming.origin == "dialer" and user_id not in self.works:
                raise Refused("Finish the call you are in first.", code="wrong_state")
            self._taking.add(user_id)
            try:
                yield
            finally:
                self._taking.discard(user_id)
                self.floor.assign()  # nothing was taken: a dialed call may wait for just this agent
                self.floor.changed()

    def _check_logged_on(self, desk: Desk) -> None:
        if desk.station is None:
            raise Refused("Log on at a station first.", code="wrong_state")

    def _check_hands_free(self, desk: Desk, item_id: int | None) -> None:
        work = self.works.get(desk.user.id)
        if work and work.phase is not Phase.CONTACT:
            raise Refused(
                "Say first what came of the call with {contact}.",
                code="wrong_state",
                contact=work.contact.name,
            )
        if work and item_id is not None and work.item.id != item_id:
            raise Refused(
                "You still have {contact} of the campaign {campaign}; finish or leave it first.",
                code="has_another",
                contact=work.contact.name,
                campaign=work.campaign.name,
            )

    async def _take(self, desk: Desk, item: Item) -> dict[str, Any]:
        """The item is this agent's: everything the contact window shows, read once."""
        before = self.works.get(desk.user.id)
        if before is None or before.item.id != item.id:
            self.works[desk.user.id] = await self._work(item)
        self._renewed[desk.user.id] = self.floor.now()
        self._show(desk)
        view = self.view(desk)
        assert view is not None
        return view

    async def _work(self, item: Item) -> Work:
        campaign = await campaigns.found(self.db, item.campaign_id)
        contact = await contacts.by_id(self.db, item.contact_id)
        if contact is None:
            raise missing("contact")
        phones = await items.phones(self.db, campaign.id, contact.id)
        work = await self.work_of(item, campaign, contact, phones, await self.guide(campaign))
        before = await attempts.of_item(self.db, item.id)
        work.notes = noted(before)
        work.cut = cut_off(item, before)
        return work

    async def guide(self, campaign: Campaign) -> Guide:
        """The scripts and kinds of action that agents of this campaign have before them."""
        known = {script.id: script for script in await scripts.all(self.db)}
        types = await actions.types(self.db)
        return Guide(
            script=known.get(campaign.script_id or 0),
            barriers=[script for script in known.values() if script.kind is ScriptKind.BARRIER],
            types=types,
            type_scripts={each.id: known[each.script_id] for each in types if each.script_id in known},
            custom=tuple(await custom_fields.ever(self.db)),
        )

    async def work_of(
        self, item: Item, campaign: Campaign, contact: Contact, phones: tuple[Phone, ...], guide: Guide
    ) -> Work:
        """What an agent has before them of this item; asks nothing of the database."""
        now = self.gate.now()
        closed = {}
        if campaign.respect_destination_window:
            holidays = await self.gate.holidays(now)
            for phone in phones:
                said = windows.may_call(phone.number, now, holidays)
                if isinstance(said, windows.Closed):
                    closed[phone.number] = said
        return Work(
            campaign=campaign,
            item=item,
            contact=contact,
            phones=phones,
            closed=closed,
            script=guide.script,
            barriers=guide.barriers,
            types=guide.types,
            type_scripts=guide.type_scripts,
            custom=guide.custom,
            since=now,
            agreed=item.due_at if item.state in CALLBACKS else None,
            promised=item.state is State.TO_CALL_BACK,
            overdue=item.is_overdue(now),
            ticket_id=item.ticket_id,
        )

    def connected(
        self, desk: Desk, work: Work, call: Call, attempt: Attempt, lifted: float | None, idle_seconds: float
    ) -> None:
        """A call that the dialer placed has reached this agent: its item is before them, talking. `lifted`
        is when the person answered, `idle_seconds` how long the agent had waited."""
        work.call, work.attempt, work.begun = call, attempt, self.gate.now()
        work.item = replace(work.item, attempts=attempt.attempt_number)
        self.works[desk.user.id] = work
        self._renewed[desk.user.id] = self.floor.now()

        async def hand_over() -> None:
            """The dialer's item is the agent's; verbs that come meanwhile wait for it."""
            async with self._one_at_a_time[desk.user.id]:
                connected = moment(call.answered or self.floor.now())
                await attempts.taken(
                    self.db, attempt, desk.user, connected,
                    answered=moment(lifted) if lifted else None, idle_seconds=idle_seconds,
                )  # fmt: skip
                await hopper.hand_over(self.db, work.item.id, desk.user, self.gate.now(), self.lease_seconds)
                work.notes = noted(await attempts.of_item(self.db, work.item.id))
            self._show(desk)

        self.floor.spawn(self._in_order(desk, hand_over))
        self.answered(desk, work, call)

    def count_down(self, desk: Desk, work: Work, seconds: float) -> None:
        """Preview: the agent sees when the person before them will be dialed."""
        work.dial_at = self.gate.now() + datetime.timedelta(seconds=seconds)
        self._show(desk)

    async def settle(self, desk: Desk, work: Work, outcome: Outcome) -> None:
        """An outcome that the form or the detection of machines says, unless the agent said one."""
        async with self._one_at_a_time[desk.user.id]:
            if self.works.get(desk.user.id) is work and work.chosen is None:
                await self._settle(desk, work, outcome)

    async def _mine(self, desk: Desk, arguments: Arguments) -> Work:
        """The work this request is about; refused with who has the item when it is not this agent's."""
        item_id = item_of(arguments)
        work = self.works.get(desk.user.id)
        if work is None or work.item.id != item_id:
            await self.gate.held(desk.user, item_id)
            raise Refused("Take this person from the list first.", code="wrong_state")
        return work

    def _drop(self, desk: Desk) -> None:
        """Nothing is in the agent's hands any more."""
        self.works.pop(desk.user.id, None)
        self._renewed.pop(desk.user.id, None)
        self._show(desk)
        self.floor.assign()  # a dialed call may wait for just this agent
        self.floor.changed()

    # -- the contact window --

    async def draft_item(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """What is typed in the window is kept over a reload."""
        work = await self._mine(desk, arguments)
        typed = arguments.get("values")
        if (
            not isinstance(typed, dict)
            or sum(len(str(k)) + len(str(v)) for k, v in typed.items()) > DRAFT_MAX
        ):
            raise Refused("values must be a map of texts.", code="bad_argument")
        work.draft |= {str(key): str(value) for key, value in typed.items() if value is not None}
        if work.dial_at and any(typed.values()):
            work.dial_at = None  # preview: nobody is dialed over what the agent is writing
            self._show(desk)
        return {}

    async def exit_item(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """UAU-59: closed without a change. After a call that was answered its outcome is needed first."""
        work = await self._mine(desk, arguments)
        if work.phase in (Phase.DIALING, Phase.TALKING, Phase.AFTER):
            raise Refused(
                "Say first what came of the call with {contact}.",
                code="wrong_state",
                contact=work.contact.name,
            )
        async with self._one_at_a_time[desk.user.id]:
            await items.release(self.db, desk.user.id, work.item.id)
            self._drop(desk)
        return {}

    async def save_without_dialing(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """UAU-53, UAU-55, UAU-57, TEL-11, TEL-12: the status and the note of a try without a call."""
        work = await self._mine(desk, arguments)
        outcome = without_call_of(arguments, self.gate.now())
        async with self._one_at_a_time[desk.user.id]:
            self._check_phase(work, Phase.CONTACT)
            now = self.gate.now()
            number = self._number(arguments, work) if arguments.get("number") else ""
            situation = outcome.situation or Situation.NOT_DIALED
            attempt = await attempts.without_call(
                self.db, desk.user, work.item.id, situation, now, number=number, note=outcome.note
            )
            await self._finish(desk, work, attempt, outcome, situation, "")
        return {}

    async def record_contact(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """TEL-01, TEL-06, TEL-08 … TEL-10: the customer came, wrote or called by themselves, and this is what
        came of it. An action and no attempt; of the agent's call that a restart cut, the outcome of that.
        """
        work = await self._mine(desk, arguments)
        outcome = contact_of(arguments, work, self.gate.now())
        async with self._one_at_a_time[desk.user.id]:
            self._check_phase(work, Phase.CONTACT)
            await self.gate.held(desk.user, work.item.id)
            if work.cut and work.cut.user_id == desk.user.id:
                work.attempt, work.cut = work.cut, None
                outcome = replace(outcome, note=outcome.conversation, situation=Situation.COMPLETED)
                await self._carry_out(desk, work, outcome)
            else:
                await self._conclude(desk, work, outcome)
        return {"waits_until": await self._waits_until(work, outcome)}

    async def _conclude(self, desk: Desk, work: Work, outcome: Outcome) -> None:
        """As `_finish`, where there is no attempt."""
        now = self.gate.now()
        tried = Tried(
            Situation.COMPLETED, work.item.state, work.item.attempts, result=outcome.result,
            callback_at=outcome.callback_at, callback_phone=outcome.callback_phone,
            callback_note=outcome.conversation, link_agent=outcome.mine,
        )  # fmt: skip
        next = retry.after(tried, rules_of(work.campaign), desk.user.id, now)
        if not work.protocol:
            await self._open_ticket(desk.user, work, None, outcome.conversation)
        try:
            await actions.conclude(
                self.db, desk.user, work.item.id, next, now,
                type_id=outcome.type_id, outcome_id=outcome.outcome_id, result=outcome.result,
                conversation=outcome.conversation, next_at=outcome.callback_at, ticket_id=work.ticket_id,
            )  # fmt: skip
        except Refused:  # somebody else has it
            self._drop(desk)
            raise
        self._drop(desk)

    async def block_number(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """UAU-54, UAU-56: this number in every campaign, at once; the person leaves this campaign.

        Without a call nothing is dialed and no form opens; `record` opens a ticket nevertheless.
        """
        work = await self._mine(desk, arguments)
        number = self._number(arguments, work)
        note = text(arguments, "note", "")
        async with self._one_at_a_time[desk.user.id]:
            self._check_phase(work, Phase.CONTACT, Phase.TALKING, Phase.AFTER)
            await self.gate.held(desk.user, work.item.id)
            await blocklist.block(
                self.db, desk.user, number, None, note[:500], floor.settings.local_area_code
            )
            floor.blocklist.everywhere.add(number)  # the table tells all nodes; this one knows already
            work.block(number)
            outcome = Outcome(block=True, note=note)
            if work.phase is Phase.CONTACT:
                attempt = await attempts.without_call(
                    self.db, desk.user, work.item.id, Situation.BLOCKED, self.gate.now(),
                    number=number, note=note,
                )  # fmt: skip
                if yes(arguments, "record"):
                    await self._open_ticket(desk.user, work, None, note)
                await self._finish(desk, work, attempt, outcome, Situation.BLOCKED, number)
            else:
                await self._settle(desk, work, outcome)
        return {"number": number}

    def _check_phase(self, work: Work, *phases: Phase) -> None:
        if work.phase not in phases:
            raise Refused(
                "This cannot be done while {contact} is being called.",
                code="wrong_state",
                contact=work.contact.name,
            )

    def _number(self, arguments: Arguments, work: Work) -> str:
        """One of the contact's, however it is written; the gate judges whether it may be called."""
        typed = text(arguments, "number")
        number = numbers.normalise(typed, self.floor.settings.local_area_code)
        if number is None:
            raise Refused("Choose one of the numbers.", code="bad_argument")
        return number

    # -- the call --

    async def dial_item(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """UAU-58, and *call again now* of EPB-53: through the gate, or a refusal in words."""
        work = await self._mine(desk, arguments)
        number = self._number(arguments, work)
        self._check_phase(work, Phase.CONTACT, Phase.AFTER)
        self._put_form_away(desk, work)
        outbound.station_to_dial(floor, desk)
        before, work.phase, work.refused, work.warning = work.phase, Phase.CHECKING, None, ""
        work.dial_at = None
        self._show(desk)
        try:
            passed = await self.gate.check(desk.user, work.item.id, number)
            if self.works.get(desk.user.id) is not work:
                raise Refused("You left {contact} meanwhile.", code="held", contact=work.contact.name)
            work.campaign, work.warning = passed.campaign, passed.warning
            call = outbound.dial_for(
                floor, floor.phones, desk, number, work.campaign.route_id, Errand(self, desk, work, number)
            )
        except Refused as refused:
            await self._dial_refused(desk, work, before, number, refused)
            raise
        except BaseException:
            work.phase = before
            self._show(desk)
            raise
        work.phase, work.call, work.begun, work.chosen = Phase.DIALING, call, self.gate.now(), None
        work.cut = None
        self._show(desk)
        return {"call": call.view(desk.user.id)}

    async def _dial_refused(
        self, desk: Desk, work: Work, before: Phase, number: str, refused: Refused
    ) -> None:
        """Shown in the window. What would only be refused again waits, so that *Next* brings others."""
        work.phase, work.refused = before, refused
        if self.works.get(desk.user.id) is work:
            if refused.code in PUT_OFF and before is Phase.CONTACT:
                try:
                    attempt = await attempts.without_call(
                        self.db, desk.user, work.item.id, Situation.NOT_DIALED, self.gate.now(),
                        number=number, note=str(refused),
                    )  # fmt: skip
                    work.item = await self._put_off(desk, work, attempt)
                except (Refused, *AWAY) as error:
                    log.warning("item %s could not be put off: %s", work.item.id, error)
            self._show(desk)

    async def _put_off(self, desk: Desk, work: Work, attempt: Attempt) -> Item:
        tried = self._tried(work, attempt, Situation.NOT_DIALED, Outcome())
        now = self.gate.now()
        next = retry.after(tried, rules_of(work.campaign), desk.user.id, now)
        await attempts.end(self.db, attempt, Situation.NOT_DIALED, now, next=next, dialed=False)
        return await items.by_id(self.db, work.item.id) or work.item

    def _put_form_away(self, desk: Desk, work: Work) -> None:
        """The same person is called again: what was typed goes on into the next call's form."""
        form = desk.form
        if form and form.status != "saved" and work.call and form.call is work.call:
            if form.call.state == CallState.ENDED:
                work.answers = dict(form.answers)
                desk.drop_form(form.call.id)

    def answered(self, desk: Desk, work: Work, call: Call) -> None:
        work.phase = Phase.TALKING
        work.begin_script()
        self._show(desk)
        self.floor.spawn(self.until_written(lambda: self._open_ticket(desk.user, work, call, "")))

    async def _in_order(self, desk: Desk, write: Callable[[], Awaitable[Any]]) -> None:
        """A call's end is written after its beginning, also when the database was away in between."""
        async with self._writing[desk.user.id]:
            await self.until_written(write)

    def over(self, desk: Desk, work: Work, call: Call, attempt: Attempt | None, refused: bool) -> None:
        situation = situation_of(
            answered=call.answered is not None,
            own_leg=call.agent_leg is not None,
            hung_up_here=call.hang_up_asked.is_set(),
            refused=refused,
            sip_status=call.sip_status,
        )
        write = partial(self._after_call, desk, work, call, attempt, situation)
        self.floor.spawn(self._in_order(desk, write))

    async def _after_call(
        self, desk: Desk, work: Work, call: Call, attempt: Attempt | None, situation: Situation
    ) -> None:
        """The attempt is written with how it ended; what was said meanwhile is carried out."""
        async with self._one_at_a_time[desk.user.id]:
            now = self.gate.now()
            if attempt is not None and attempt.ended is None:
                tried = self._tried(work, attempt, situation, Outcome())
                next = None
                if call.answered is None:
                    next = retry.after(tried, rules_of(work.campaign), desk.user.id, now)
                work.attempt = await attempts.end(
                    self.db,
                    attempt,
                    situation,
                    moment(call.ended) if call.ended else now,
                    next=next,
                    answered=moment(call.answered) if call.answered else None,
                    sip_status=call.sip_status,
                    cause=call.cause,
                    talk_seconds=(call.ended or call.answered) - call.answered if call.answered else 0,
                )
                if call.answered is None:
                    handled = (now - work.begun).total_seconds() if work.begun else None
                    await attempts.conclude(self.db, work.attempt, None, handle_seconds=handled)
            if self.works.get(desk.user.id) is not work or work.call is not call:
                return
            work.phase = Phase.AFTER if call.answered or self._unsaid(work) else Phase.CONTACT
            if attempt is None and work.refused is None and not call.hang_up_asked.is_set():
                work.refused = Refused(
                    "Your own phone did not answer, so {contact} was not called and no attempt is counted.",
                    contact=work.contact.name,
                )
            work.item = await items.by_id(self.db, work.item.id) or work.item
            work.phones = await items.phones(self.db, work.campaign.id, work.contact.id)
            if work.chosen and call.answered:
                await self._carry_out(desk, work, work.chosen)
            else:
                self._show(desk)

    def _unsaid(self, work: Work) -> bool:
        """The last attempt was answered, and what came of it is still to be said."""
        last = work.attempt
        return last is not None and last.answered is not None and last.result is None

    def _tried(self, work: Work, attempt: Attempt, situation: Situation, outcome: Outcome) -> Tried:
        return Tried(
            situation=situation,
            state=work.item.state if work.item.state is not State.NOT_WORKED else State.TRYING,
            attempts=attempt.attempt_number,
            other_numbers=work.other_numbers(attempt.number),
            wrong_number=outcome.wrong_number,
            result=outcome.result,
            callback_at=outcome.callback_at,
            callback_phone=outcome.callback_phone,
            callback_note=outcome.note,
            link_agent=outcome.mine,
        )

    async def until_written(self, write: Callable[[], Awaitable[Any]]) -> None:
        """How a call ended is written when the database is back, however long that takes."""
        while True:
            try:
                await write()
                return
            except Refused as refused:
                log.warning("%s", refused)
                return
            except AWAY as error:
                log.warning("an attempt waits for the database: %r", error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _open_ticket(self, user: User, work: Work, call: Call | None, note: str) -> None:
        """UAU-26, UAU-27: the protocol number is there while the agent still talks."""
        if work.campaign.ticket_type_id is None or (call is not None and work.protocol):
            return
        ticket = await tickets.for_call(
            self.db,
            user,
            work.campaign.ticket_mode,
            type_id=work.campaign.ticket_type_id,
            contact_id=work.contact.id,
            text=note,
            campaign_id=work.campaign.id,
            item_id=work.item.id,
            call_id=call.id if call else None,
        )
        work.ticket_id, work.protocol = ticket.id, ticket.protocol
        desk = self.floor.desk(user)
        if self.works.get(user.id) is work:
            self._show(desk)

    # -- what is said --

    async def choose_step(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """A choice leads to its step; without one, the step named is gone back to."""
        work = await self._mine(desk, arguments)
        choice_id, step_id = whole(arguments, "choice"), whole(arguments, "step")
        if work.script is None:
            raise Refused("The campaign has no script.", code="not_found")
        work.begin_script()
        step = work.script.step(work.path[-1]) if work.path else None
        if choice_id is not None:
            choice = next((each for each in step.choices if each.id == choice_id), None) if step else None
            if choice is None:
                raise Refused("This step of the script has no such choice.", code="not_found")
            if choice.next_step_id is None:
                work.ended = True
            else:
                work.path.append(choice.next_step_id)
        elif step_id in work.path:
            del work.path[work.path.index(step_id) + 1 :]
            work.ended = False
        else:
            raise Refused("The script was not at this step.", code="not_found")
        self._show(desk)
        return {}

    # -- what came of it --

    async def set_outcome(self, floor: Floor, desk: Desk, arguments: Arguments) -> dict[str, Any]:
        """UAU-61, EPB-19, EPB-20, TEL-08 … TEL-12. Said while talking, it is carried out after the call.

        With `answers` the form is saved too; refused with the wrong fields of both, and then nothing is.
        """
        async with self._one_at_a_time[desk.user.id]:
            work = await self._mine(desk, arguments)
            self._check_phase(work, Phase.TALKING, Phase.AFTER)
            outcome = outcome_of(arguments, work, self.gate.now())
            retry.after(  # refuses what cannot be, before anything is saved
                Tried(
                    outcome.situation or Situation.COMPLETED, State.TRYING, 1, 1, outcome.wrong_number,
                    outcome.result, outcome.callback_at,
                ),
                rules_of(work.campaign), desk.user.id, self.gate.now(),
            )  # fmt: skip
            form = desk.form if desk.form and desk.form.call is work.call else None
            if form and work.call and "answers" in arguments and not leaves_no_form(outcome):
                desk.save(work.call.id, answers(arguments))
            if form and form.status == "saved" and form.answers.get("category", "").isdigit():
                outcome = replace(outcome, category_id=int(form.answers["category"]))
            await self._settle(desk, work, outcome)
        return {"work": self.view(desk), "waits_until": await self._waits_until(work, outcome)}

    async def _waits_until(self, work: Work, outcome: Outcome) -> str | None:
        """Of a callback agreed for a time at which the rules let nobody call: when it can be made."""
        at = outcome.callback_at
        if outcome.result is not Result.CALLBACK or at is None:
            return None
        waits = None if campaigns.is_open(work.campaign, at) else campaigns.opens_at(work.campaign, at)
        number = outcome.callback_phone or next(iter(work.open_numbers), "")
        if number and work.campaign.respect_destination_window:
            said = windows.may_call(number, waits or at, await self.gate.holidays(self.gate.now()))
            if isinstance(said, windows.Closed):
                waits = said.opens_at
        return iso(waits) if waits else None

    async def _settle(self, desk: Desk, work: Work, outcome: Outcome) -> None:
        """Now when the call is over and written, else as soon as it is."""
        if work.phase is Phase.AFTER:
            await self._carry_out(desk, work, outcome)
        else:
            work.chosen = outcome
            self._show(desk)

    async def _carry_out(self, desk: Desk, work: Work, outcome: Outcome) -> None:
        attempt = work.attempt
        if attempt is None:  # the call was never written; nothing to say of it
            await items.release(self.db, desk.user.id, work.item.id)
            self._drop(desk)
            return
        if work.away:
            await self._take_back(desk, work)  # refused below, where somebody else has it
        situation = outcome.situation or attempt.situation
        if situation is not attempt.situation:
            work.attempt = attempt = await attempts.end(
                self.db,
                attempt,
                situation,
                attempt.ended or self.gate.now(),
                answered=attempt.answered,
                sip_status=attempt.sip_status,
                cause=attempt.cause,
                talk_seconds=attempt.talk_seconds,
            )
        await self._finish(desk, work, attempt, outcome, situation, attempt.number)
        if work.call and leaves_no_form(outcome):
            desk.drop_form(work.call.id)

    async def _finish(
        self,
        desk: Desk,
        work: Work,
        attempt: Attempt,
        outcome: Outcome,
        situation: Situation,
        number: str,
    ) -> None:
        """The attempt's result, the action, and where the item goes; then the agent's hands are free."""
        now = self.gate.now()
        work.attempt = attempt
        work.item = await items.by_id(self.db, work.item.id) or work.item
        if outcome.block:
            next = Next(State.CANCELLED, "The number is blocked.")
        else:
            tried = self._tried(work, attempt, situation, outcome)
            next = retry.after(tried, rules_of(work.campaign), desk.user.id, now)
            if (
                outcome.result is None
                and outcome.callback_at
                and next.state
                in (
                    State.TRYING,
                    State.TRYING_CALLBACK,
                )
            ):
                next = replace(next, due_at=outcome.callback_at)  # TEL-11
        began = work.begun if attempt.dialed and work.begun else now
        await attempts.conclude(
            self.db,
            attempt,
            outcome.result,
            category_id=outcome.category_id,
            ticket_id=work.ticket_id if work.protocol else None,
            note=outcome.note or None,
            callback_at=outcome.callback_at if outcome.result is Result.CALLBACK else None,
            handle_seconds=(now - began).total_seconds(),
        )
        no_contact = str(situation) if outcome.result is None and not outcome.block else ""
        if outcome.wrong_number:
            no_contact = "wrong_number"
        await actions.record(
            self.db,
            desk.user,
            campaign_id=work.campaign.id,
            item_id=work.item.id,
            contact_id=work.contact.id,
            at=now,
            type_id=outcome.type_id,
            outcome_id=outcome.outcome_id,
            conversation=outcome.conversation or outcome.note,
            result=outcome.result,
            no_contact=no_contact,
            next_at=outcome.callback_at,
            call_id=attempt.call_id,
        )
        try:
            await items.finish(
                self.db, desk.user, work.item.id, next, now, number=number, ticket_id=work.ticket_id
            )
        except Refused:  # somebody else has it; when the database is away the agent says it again
            self._drop(desk)
            raise
        self._drop(desk)

    # -- leases --

    async def run(self) -> None:
        """Until cancelled: items stay with the agents whose desk is there, and go back from the others."""
        restored = False
        while True:
            try:
                if not restored:
                    await attempts.close_left_open(self.db, self.gate.now())
                    await self._restore()
                    restored = True
                await self.tick()
            except AWAY as error:
                log.warning("leases are not renewed at the moment: %r", error)
            await asyncio.sleep(min(WATCH_SECONDS, self.lease_seconds / 4))

    async def _restore(self) -> None:
        """What agents held when the server stopped is before them again, if their lease has not ended."""
        now = self.gate.now()
        for held in await items.held(self.db):
            user = self.floor.centre.users.get(held.user_id)
            item = await items.by_id(self.db, held.item_id)
            if user and item and held.until > now and held.user_id not in self.works:
                await items.renew(self.db, user.id, item.id, now, self.lease_seconds)
                await self._take(self.floor.desk(user), item)

    async def tick(self) -> None:
        now = self.gate.now()
        await self._keep(now)
        await items.sweep_expired(self.db, now)
        if not self.works:
            return
        held = {each.user_id: each.item_id for each in await items.held(self.db)}
        for user_id, work in list(self.works.items()):
            desk = self.floor.desks[user_id]
            if held.get(user_id) == work.item.id:
                continue
            if not attended(self.floor, desk):
                work.away = True
            elif self.works.get(user_id) is work:
                await self._taken_away(desk, work)

    async def _keep(self, now: datetime.datetime) -> None:
        """Whoever is there keeps the item, also when the database was away for longer than a lease, and when
        the dialer, whose call it was, has not handed it over yet. Before ended leases go back to the list."""
        for user_id, work in list(self.works.items()):
            due = self.floor.now() - self._renewed.get(user_id, 0) > self.lease_seconds / 3
            if due and attended(self.floor, self.floor.desks[user_id]):
                item_id, seconds = work.item.id, self.lease_seconds
                if await items.renew(self.db, user_id, item_id, now, seconds) or await hopper.renew(
                    self.db, [item_id], now, seconds
                ):
                    self._renewed[user_id] = self.floor.now()
        for keep in self.keepers:
            await keep()

    async def _take_back(self, desk: Desk, work: Work) -> Refused | None:
        """What left the agent's hands while they were away or talked is theirs again, if nobody has it."""
        try:
            work.item = await items.claim_this(
                self.db, work.item.id, desk.user, self.gate.now(), self.lease_seconds
            )
        except Refused as refused:
            return refused
        work.away = False
        return None

    async def _taken_away(self, desk: Desk, work: Work) -> None:
        """An agent who was away takes the item back if it is free; else is told who has it."""
        async with self._one_at_a_time[desk.user.id]:
            if self.works.get(desk.user.id) is not work:
                return
            why, by, freed_by, reason = "", None, None, ""
            work.away = work.away or work.phase is Phase.TALKING  # a conversation keeps its person
            if work.away:
                refused = await self._take_back(desk, work)
                if refused is None:
                    return
                why, by = str(refused), refused.details.get("agent")
            else:
                mine = await items.by_id(self.db, work.item.id)
                if mine and mine.held_by == desk.user.id:
                    return  # taken or finished while we looked
                if mine and mine.held_by is not None:
                    taken = await items.in_use(self.db, mine)
                    why, by = str(taken), taken.details.get("agent")
                elif freed := await items.released_by(self.db, work.item.id):
                    freed_by, reason = freed
            if work.phase in (Phase.DIALING, Phase.TALKING):
                return  # told when the call is over and its outcome is said
            self._drop(desk)
            desk.show(
                "ItemLost", item=work.item.id, contact=work.contact.name, by=by, why=why,
                freed_by=freed_by, reason=reason,
            )  # fmt: skip


class Errand:
    """Why a call is placed: the purpose that cti.outbound asks and tells. One for each dialing."""

    def __init__(self, one: OneToOne, desk: Desk, work: Work, number: str) -> None:
        self._one, self._desk, self._work, self._number = one, desk, work, number
        self._attempt: Attempt | None = None
        self._refused = False
        self.campaign_id, self.campaign = work.campaign.id, work.campaign.name
        self.item_id, self.contact_id = work.item.id, work.contact.id
        self.layout_id, self.caller_id = work.campaign.layout_id, work.campaign.caller_id
        self.answers, self.contact = dict(work.answers), work.contact

    async def about_to_ring(self, call: Call) -> None:
        """The agent's own phone may have rung for a while: every rule is asked again, and the try counted."""
        one, user = self._one, self._desk.user
        try:
            await one.gate.rules(user, self.item_id, self._number)
            self._attempt = await attempts.begin(
                one.db, user, self.item_id, self._number, one.gate.now(), call.id
            )
            self._work.item = replace(self._work.item, attempts=self._attempt.attempt_number)
        except Refused as refused:
            self._refused, self._work.refused = True, refused
            raise
        except AWAY as error:
            self._work.refused = Refused(
                "This needs the database, which is away. Try again in a moment.", code="database"
            )
            raise self._work.refused from error

    def answered(self, call: Call) -> None:
        self._one.answered(self._desk, self._work, call)

    def over(self, call: Call) -> None:
        self._one.over(self._desk, self._work, call, self._attempt, self._refused)

    def saved(self, call: Call, category: Category | None) -> None:
        """The outcome is said apart from the form."""


def rules_of(campaign: Campaign) -> Rules:
    lockout = campaign.dialing.lockout_days
    return Rules(campaign.attempts_max, campaign.retry, campaign.callback_mode, lockout)


def noted(tries: Sequence[Attempt]) -> tuple[Attempt, ...]:
    return tuple([each for each in tries if each.note][:NOTES_SHOWN])


def cut_off(item: Item, tries: Sequence[Attempt]) -> Attempt | None:
    """The last try, when its call was cut by a restart and nothing has been said of it since."""
    waits = item.state in (State.TRYING, State.TRYING_CALLBACK)
    last = tries[0] if tries and waits else None
    return last if last and last.cause == attempts.RESTART and last.result is None else None


def leaves_no_form(outcome: Outcome) -> bool:
    """Nobody of the campaign was spoken to, or nothing is to be written down."""
    return outcome.block or outcome.wrong_number or outcome.situation is not None


def attended(floor: Floor, desk: Desk) -> bool:
    """Somebody looks at this desk, or it is in a call."""
    call = desk.call
    return bool(desk.screens) or (call is not None and call.state != CallState.ENDED)


VERBS = {
    "OpenCampaign": "open_campaign",
    "NextItem": "next_item",
    "TakeItem": "take_item",
    "DraftItem": "draft_item",
    "ExitItem": "exit_item",
    "SaveWithoutDialing": "save_without_dialing",
    "RecordContact": "record_contact",
    "DialItem": "dial_item",
    "BlockNumber": "block_number",
    "ChooseStep": "choose_step",
    "SetOutcome": "set_outcome",
}
