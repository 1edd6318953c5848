"""What one agent sees and does: the call before them, its customer, its form, and the stream of events.

Browser and toolbar are screens of the same desk: each gets every event with the same number, and one
that comes back naming the last number it saw gets what it missed.
"""

import asyncio
import logging
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from crm import calls, contacts, tabulation
from crm.contacts import Candidate, Contact, ContactLinked
from crm.form import CATEGORY, Scenario, check, serving
from crm.layouts import Layout
from crm.numbers import display
from crm.queues import Queue
from crm.refused import Refused
from crm.tabulation import TabulationDraft, TabulationDropped, TabulationSaved
from crm.users import User
from cti.agent import BUSY, LOGGED_OFF, WRAP_UP
from cti.call import Call, CallState, iso, moment

if TYPE_CHECKING:
    from cti.floor import Floor
    from cti.station import Station

log = logging.getLogger("ramal.desk")

LOOK_UP_SECONDS = 5.0
TIMELINE_ENTRIES = 20


class Screen(Protocol):
    """Where a desk is seen. `event` must not wait: a slow screen drops itself."""

    def event(self, message: dict[str, Any]) -> None: ...
    def dismiss(self) -> None:
        """The user may no longer be logged in: say so and close."""


@dataclass(slots=True)
class Form:
    """The tabulation of one call while it is being filled."""

    call: Call
    layout: Layout
    mandatory: bool
    offered: tuple[Layout, ...] = ()  # those that may serve this call, `layout` among them
    answers: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    status: str = "open"

    def view(self) -> dict[str, Any]:
        return {
            "call": self.call.id,
            "number": display(self.call.number),
            "layout": layout_view(self.layout),
            "layouts": [{"id": each.id, "label": each.label} for each in self.offered or (self.layout,)],
            "answers": self.answers,
            "errors": self.errors,
            "status": self.status,
            "mandatory": self.mandatory,
        }


@dataclass(frozen=True, slots=True)
class Attachment:
    """What a screen learns when it joins: was everything it missed sent again?"""

    stream: str
    seq: int
    replayed: bool


class Desk:
    def __init__(self, floor: "Floor", user: User) -> None:
        self.floor = floor
        self.user = user
        self.stream = secrets.token_hex(8)
        self.seq = 0
        self.screens: set[Screen] = set()
        self.station: Station | None = None
        self.call: Call | None = None
        self.customer: dict[str, Any] | None = None
        self.form: Form | None = None
        self.pending: list[dict[str, Any]] = []
        self.figures = {"answered": 0, "made": 0, "talk_seconds": 0, "tabulated": 0}
        self._kept: deque[dict[str, Any]] = deque(maxlen=floor.settings.desk_events_kept)
        self._wrap_up: asyncio.TimerHandle | None = None
        self._remembered = False
        self._aside: dict[str, Form] = {}  # unsaved forms of earlier calls, by call

    # -- screens and events --

    def attach(self, screen: Screen, after: int | None = None, stream: str | None = None) -> Attachment:
        """Join the stream. Events after `after` are sent again if they are all still kept."""
        replay = self._missed(after) if after is not None and stream == self.stream else None
        self.screens.add(screen)
        for message in replay or ():
            screen.event(message)
        return Attachment(self.stream, self.seq, replay is not None)

    def _missed(self, after: int) -> list[dict[str, Any]] | None:
        if after > self.seq:
            return None
        missed = [m for m in self._kept if m["seq"] > after]
        return missed if len(missed) == self.seq - after else None

    def detach(self, screen: Screen) -> None:
        self.screens.discard(screen)

    def show(self, event: str, **fields: Any) -> None:
        """Tell every screen, and keep it for those that are away."""
        self.seq += 1
        message = {"event": event, "seq": self.seq, "time": iso(self.floor.now()), **fields}
        self._kept.append(message)
        for screen in list(self.screens):
            screen.event(message)

    # -- the call before the agent --

    def ring(self, call: Call) -> None:
        """The screen-pop: who is calling, why, and what they told us before."""
        self._begin(call)
        self.show("Delivered", call=call.view(self.user.id), customer=self.customer)

    def originated(self, call: Call) -> None:
        self._begin(call)
        self.show("Originated", call=call.view(self.user.id), customer=self.customer)

    def _begin(self, call: Call) -> None:
        if self.form and self.form.call is not call:
            self.put_aside()
        self.call, self.customer = call, None
        if call.direction != "internal":
            known = call.purpose.contact if call.purpose else None
            self.customer = {
                "state": "found" if known else "searching",
                "contact": contact_view(known) if known else None,
                "candidates": [],
                "timeline": [],
            }
            self.floor.spawn(self._show_known(call) if call.purpose else self._look_up(call))

    def established(self, call: Call) -> None:
        self.show("Established", call=call.view(self.user.id))
        if self.form is None or self.form.call is not call:
            self._open_form(call)

    def _open_form(self, call: Call) -> None:
        layouts, mandatory = self._layouts_for(call)
        if layouts:
            self.form = Form(call, layouts[0], mandatory, layouts)
            if call.purpose:
                self.form.answers = known_answers(layouts[0], dict(call.purpose.answers))
            self.floor.history.put(self._draft())
            self.show("FormOpened", form=self.form.view())

    def _layouts_for(self, call: Call) -> tuple[tuple[Layout, ...], bool]:
        """Those that may serve this call, first the one that opens (EPB-69); whether it is mandatory."""
        if call.direction == "internal":
            return (), False
        every, group = self.floor.centre.layouts.values(), self.user.group_id
        if why := call.purpose:
            scenario = Scenario.DIALER if call.origin == "dialer" else Scenario.MANUAL
            return serving(every, scenario, group, why.campaign_id, why.layout_id), True
        queue = self.floor.centre.queues.get(call.queue) if call.queue else self.own_queue()
        scenario = Scenario.INBOUND if call.direction == "inbound" else Scenario.MANUAL
        named = queue.layout_id if queue else None
        layouts = serving(every, scenario, group, None, named, lent=not call.queue)
        return layouts, bool(queue and queue.tabulation_mandatory)

    def own_queue(self) -> Queue | None:
        """The first queue the agent serves: manual calls are tabulated and recorded like its own."""
        name = min(self.floor.queues_of(self.user.id), default="")
        return self.floor.centre.queues.get(name)

    def cleared(self, call: Call) -> None:
        """The conversation is over; wrap-up begins if there is something to tabulate."""
        self.show("ConnectionCleared", call=call.view(self.user.id), cause=call.cause)
        agent = self.floor.agent(self.user.id)
        if agent.state != BUSY or agent.call_id != call.id:
            return
        if call.answered:
            self.figures["made" if call.direction == "outbound" else "answered"] += 1
            self.figures["talk_seconds"] += round((call.ended or call.answered) - call.answered)
        if self.form and self.form.call is call and self.form.status != "saved":
            self.floor.move(self.user.id, "finish")
            self._start_wrap_up(call)
        else:
            self.clear()
            self.floor.move(self.user.id, "release")

    def _start_wrap_up(self, call: Call) -> None:
        queue = self.floor.centre.queues.get(call.queue or "")
        if queue and queue.wrapup_seconds and self.form and not self.form.mandatory:
            loop = asyncio.get_running_loop()
            self._wrap_up = loop.call_later(queue.wrapup_seconds, self.end_wrap_up)

    def end_wrap_up(self) -> None:
        """Go on without saving: the form becomes a pending tabulation, nothing typed is lost."""
        if self._wrap_up:
            self._wrap_up.cancel()
            self._wrap_up = None
        if self.floor.agent(self.user.id).state != WRAP_UP:
            return
        call = self.call
        if call:
            call.wrapup_ended = self.floor.now()
            self.floor.history.put(call.record())
        self.put_aside()
        self.clear()
        self.floor.move(self.user.id, "done")

    def put_aside(self) -> None:
        """An unsaved form waits in the list of pending tabulations."""
        if self.form and self.form.status != "saved":
            call = self.form.call
            entry = {"call": call.id, "display": display(call.number), "time": iso(call.started)}
            self.pending = [p for p in self.pending if p["call"] != call.id] + [entry]
            self._aside[call.id] = self.form
        self.form = None

    def clear(self) -> None:
        """Nothing lies before the agent any more."""
        if self.form and self.form.status == "saved":
            self.form = None
        self.put_aside()
        self.call = self.customer = None

    def logged_off(self) -> None:
        """The station is free for others; a half-filled form stays pending."""
        self.put_aside()
        self.clear()
        if self.station:
            self.floor.spawn(self.station.leave())
            self.station = None
        self.show("StationChanged", station=None)

    # -- the customer --

    async def _look_up(self, call: Call) -> None:
        found: list[Candidate] = []
        detail = ""
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                found = await contacts.candidates(self.floor.db, call.number)
        except Exception as error:  # the database is away: the call goes on, the agent is told
            log.warning("call %s: the customer could not be looked up: %r", call.id, error)
            detail = "search_failed"
        if self.call is not call:
            return
        if len(found) == 1:
            await self._set_contact(call, found[0].contact)
        else:
            self.customer = {
                "state": "several" if found else "unknown",
                "detail": detail,
                "contact": None,
                "candidates": [contact_view(c.contact) | {"why": c.why} for c in found],
                "timeline": [],
            }
            self.show("ScreenPop", customer=self.customer)

    async def _show_known(self, call: Call) -> None:
        """A campaign knows whom it calls; the number may be many people's."""
        assert call.purpose is not None and call.contact_id is not None
        contact = call.purpose.contact
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                contact = contact or await contacts.by_id(self.floor.db, call.contact_id)
        except Exception as error:
            log.warning("call %s: the customer could not be looked up: %r", call.id, error)
        if contact is None:
            await self._look_up(call)
        elif self.call is call:
            await self._set_contact(call, contact)

    async def _set_contact(self, call: Call, contact: Contact) -> None:
        call.contact_id = contact.id
        self.floor.history.put(ContactLinked(call.id, contact.id))
        timeline: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                entries = await contacts.timeline(self.floor.db, contact.id, TIMELINE_ENTRIES)
            timeline = [
                {
                    "time": iso(e.time.timestamp()),
                    "kind": e.kind,
                    "agent": e.agent,
                    "queue": e.queue,
                    "category": e.category,
                    "text": e.text,
                }
                for e in entries
                if e.call_id != call.id
            ]
        except Exception as error:
            log.warning("call %s: no timeline: %r", call.id, error)
        if self.call is call:
            self.customer = {
                "state": "found",
                "contact": contact_view(contact),
                "candidates": [],
                "timeline": timeline,
            }
            self.show("ScreenPop", customer=self.customer)

    async def choose_contact(self, call_id: str, contact_id: int) -> None:
        call = self._this_call(call_id)
        contact = await contacts.by_id(self.floor.db, contact_id)
        if contact is None:
            raise Refused("This contact no longer exists.", code="not_found")
        await self._set_contact(call, contact)

    async def create_contact(self, call_id: str, **fields: Any) -> Contact:
        call = self._this_call(call_id)
        contact = await contacts.create(self.floor.db, self.user, **fields)
        await self._set_contact(call, contact)
        return contact

    def _this_call(self, call_id: str) -> Call:
        if self.call is None or self.call.id != call_id:
            raise Refused("This call is no longer at your desk.", code="wrong_state")
        return self.call

    # -- the form --

    def _draft(self) -> TabulationDraft:
        assert self.form is not None
        form = self.form
        return TabulationDraft(
            form.call.id,
            self.user.id,
            form.layout.id,
            moment(self.floor.now()),
            dict(form.answers),
            form.call.contact_id,
        )

    def draft(self, call_id: str, answers: dict[str, str]) -> None:
        """Keep what has been typed so far; other screens of the desk see it."""
        form = self._this_form(call_id)
        form.answers = known_answers(form.layout, answers)
        form.status = "drafted"
        self.floor.history.put(self._draft())
        self.show("FormDrafted", form=form.view())

    def save(self, call_id: str, answers: dict[str, str]) -> None:
        """Record the tabulation; after the call this also ends wrap-up (EPB-18, EPB-49)."""
        form = self._this_form(call_id)
        form.answers = known_answers(form.layout, answers)
        form.errors = check(form.layout, form.answers)
        if form.errors:
            self.floor.history.put(self._draft())
            raise Refused("Some answers are missing or wrong.", code="form", details={"errors": form.errors})
        if form.status != "saved":
            self.figures["tabulated"] += 1
        form.status = "saved"
        self.floor.history.put(
            TabulationSaved(
                form.call.id,
                self.user.id,
                form.layout.id,
                moment(self.floor.now()),
                dict(form.answers),
                form.call.contact_id,
            )
        )
        self.pending = [p for p in self.pending if p["call"] != call_id]
        self._aside.pop(call_id, None)
        self.show("FormSaved", call=call_id)
        if form.call.purpose:
            form.call.purpose.saved(form.call, form.layout.category(form.answers.get(CATEGORY, "")))
        if form.call.state == CallState.ENDED:
            self.form = None
            self.end_wrap_up()

    def choose_layout(self, call_id: str, layout_id: int, answers: dict[str, str] | None = None) -> None:
        """Go on with another of the layouts that may serve the call (EPB-69); what both ask is kept."""
        form = self._this_form(call_id)
        layout = next((each for each in form.offered if each.id == layout_id), None)
        if layout is None:
            raise Refused("This form may not be used for this call.", code="not_found")
        if form.status == "saved":
            raise Refused("This form is saved already.", code="wrong_state")
        form.answers = known_answers(layout, {**form.answers, **(answers or {})})
        if layout.category(form.answers.get(CATEGORY, "")) is None:
            form.answers.pop(CATEGORY, None)
        form.layout, form.errors = layout, {}
        self.floor.history.put(self._draft())
        self.show("FormOpened", form=form.view())

    def drop_form(self, call_id: str) -> None:
        """Nothing is to be written down about this call, and wrap-up ends if it was its own."""
        form = self.form
        if form is None or form.call.id != call_id or form.status == "saved":
            return
        self.form = None
        self.floor.history.put(TabulationDropped(call_id, self.user.id))
        self.show("FormDropped", call=call_id)
        if form.call.state == CallState.ENDED:
            self.end_wrap_up()

    def open_pending(self, call_id: str) -> None:
        """Bring a tabulation that was left open back to the desk."""
        if self.form and self.form.call.id == call_id:
            return
        if call_id not in self._aside:
            raise Refused("This tabulation is not pending.", code="not_found")
        if self.form or self.floor.agent(self.user.id).state in (BUSY, WRAP_UP):
            raise Refused("Finish the call at your desk first.", code="wrong_state")
        self.form = self._aside[call_id]
        self.show("FormOpened", form=self.form.view())

    def _this_form(self, call_id: str) -> Form:
        if self.form is None or self.form.call.id != call_id:
            raise Refused("This form is no longer open.", code="wrong_state")
        return self.form

    async def remember(self) -> None:
        """Once for each start of the server: own figures and the tabulations left open."""
        if self._remembered:
            return
        self._remembered = True
        try:
            done = await calls.figures(self.floor.db, self.user.id)
            self.figures = {key: value + getattr(done, key) for key, value in self.figures.items()}
            for left in await tabulation.pending(self.floor.db, self.user.id):
                layout = self.floor.centre.layouts.get(left.layout_id)
                if layout is None or left.call_id in self._aside:
                    continue
                call = Call("inbound", left.number, "", left.started.timestamp(), id=left.call_id)
                call.queue, call.contact_id = left.queue, left.contact_id
                call.answered = call.ended = call.started
                self._aside[call.id] = Form(call, layout, False, answers=dict(left.answers), status="drafted")
                self.pending.append(
                    {"call": call.id, "display": display(call.number), "time": iso(call.started)}
                )
        except Exception as error:
            self._remembered = False
            log.warning("%s: pending tabulations could not be read: %r", self.user.login, error)

    # -- how it looks --

    def agent_view(self) -> dict[str, Any]:
        agent = self.floor.agent(self.user.id)
        return {
            "state": str(agent.state),
            "since": iso(agent.since),
            "reason": agent.reason,
            "reason_label": self.floor.reason_label(agent.reason, self.user.language),
            "next": {"state": str(agent.next.state), "reason": agent.next.reason} if agent.next else None,
            "queues": sorted(self.floor.queues_of(self.user.id)),
        }

    def snapshot(self) -> dict[str, Any]:
        """The whole desk; docs/cti-protocol.md describes each field."""
        user, centre = self.user, self.floor.centre
        on_station = self.station and self.floor.agent(user.id).state != LOGGED_OFF
        return {
            "stream": self.stream,
            "seq": self.seq,
            "now": iso(self.floor.now()),
            "user": {
                "id": user.id,
                "login": user.login,
                "name": user.name,
                "role": str(user.role),
                "language": user.language,
                "extension": user.extension,
            },
            "agent": self.agent_view(),
            "station": self.station.view() if self.station and on_station else None,
            "call": self.call.view(self.user.id) if self.call else None,
            "customer": self.customer,
            "form": self.form.view() if self.form else None,
            "queues": self.floor.queue_views(user.id),
            "pauses": [{"code": p.code, "label": p.label} for p in centre.pauses],
            "routes": [{"id": r.id, "name": r.name} for r in self.floor.phones.routes_for(user)],
            "directory": self.floor.directory(),
            "figures": dict(self.figures),
            "pending": list(self.pending),
            **{name: part(self) for name, part in self.floor.parts.items()},
        }


def layout_view(layout: Layout) -> dict[str, Any]:
    return {
        "id": layout.id,
        "label": layout.label,
        "fields": [
            {
                "key": f.key,
                "label": f.label,
                "kind": str(f.kind),
                "required": f.required,
                "options": list(f.options),
            }
            for f in layout.fields
        ],
        "types": [
            {
                "id": t.id,
                "name": t.name,
                "categories": [{"id": c.id, "name": c.name, "success": c.success} for c in t.categories],
            }
            for t in layout.types
        ],
    }


def contact_view(contact: Contact) -> dict[str, Any]:
    return {
        "id": contact.id,
        "name": contact.name,
        "company": contact.company,
        "document": contact.document,
        "email": contact.email,
        "notes": contact.notes,
        "phones": [{"number": p, "display": display(p)} for p in contact.phones],
    }


def known_answers(layout: Layout, answers: dict[str, str]) -> dict[str, str]:
    """Only fields the layout has, as text."""
    keys = {f.key for f in layout.fields} | {"category"}
    return {key: str(value) for key, value in answers.items() if key in keys and value is not None}
