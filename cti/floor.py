"""The live floor: its agents, waiting calls and desks. An agent moves only through this door."""

import asyncio
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config import Settings
from crm.blocklist import Blocklist
from crm.calls import QueueDay
from crm.centre import Centre
from crm.queues import Queue
from crm.shifts import ShiftInterval
from crm.users import User
from cti.agent import BUSY, LOGGED_OFF, READY, RESERVED, WORKING, WRAP_UP, Agent, AgentState
from cti.call import Call, iso, moment
from cti.desk import Desk
from cti.queue import Free, Waiting, assign, in_order

if TYPE_CHECKING:
    from crm.history import History
    from cti.commands import Verb
    from cti.phone import Phones

log = logging.getLogger("ramal.floor")

TELL_SECONDS = 0.5  # queues and presence are told to desks at most this often
TELL_AT_ONCE = 8  # desks, and then a pause
TELL_PAUSE_SECONDS = 0.005
EVENTS = {
    AgentState.LOGGED_OFF: "AgentLoggedOff",
    AgentState.NOT_READY: "AgentNotReady",
    AgentState.READY: "AgentReady",
    AgentState.RESERVED: "AgentBusy",
    AgentState.BUSY: "AgentBusy",
    AgentState.WRAP_UP: "AgentWorkingAfterCall",
}
REASONS = {
    "missed_call": {"pt_BR": "Chamada não atendida", "en": "Missed call"},
    "logged_on": {"pt_BR": "Entrou agora", "en": "Just logged on"},
    "station_lost": {"pt_BR": "Sem conexão de áudio", "en": "Station lost"},
}


@dataclass(slots=True)
class DayCount:
    """What a queue did today: calls, and their seconds of waiting."""

    offered: int = 0
    answered: int = 0
    abandoned: int = 0
    answered_in_level: int = 0
    wait_seconds_total: float = 0.0


@dataclass(slots=True)
class _Entry:
    waiting: Waiting
    call: Call
    chosen: asyncio.Future[int]


class Floor:
    """Everything that is true only now. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        centre: Centre,
        history: "History",
        settings: Settings,
        today: Mapping[str, QueueDay] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.history = history
        self.settings = settings
        self.now = clock
        self.agents: dict[int, Agent] = {}
        self.desks: dict[int, Desk] = {}
        self.calls: dict[str, Call] = {}
        self.phones: Phones = None  # type: ignore[assignment]  # given by server.py, which builds both
        self.db: Any = None
        self.blocklist = Blocklist()
        self.parts: dict[str, Callable[[Desk], Any]] = {}  # of a desk's snapshot, from further right
        self.verbs: dict[str, Verb] = {}  # more than those of cti/commands.py, from further right
        self.serving: Callable[[int, frozenset[str]], frozenset[str]] = _their_own  # from further right
        self._entries: dict[str, _Entry] = {}
        self._today = {
            name: DayCount(q.offered, q.answered, q.abandoned, q.within_level, q.wait_seconds)
            for name, q in (today or {}).items()
        }
        self._day = time.localtime(clock())[:3]  # that of the counters
        self._watchers: set[Callable[[], None]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._told_queues: dict[str, Any] = {}
        self._told_presence: dict[str, Any] = {}
        self._telling: asyncio.TimerHandle | None = None
        self._untold = False
        self.reload(centre)

    # -- the picture of what is configured --

    def reload(self, centre: Centre) -> None:
        """Take a new picture of users and queues; work in progress goes on as it began."""
        self.centre = centre
        queues: dict[int, set[str]] = defaultdict(set)
        for queue in centre.queues.values():
            for user_id in queue.members:
                queues[user_id].add(queue.name)
        self._queues_of = {user_id: frozenset(names) for user_id, names in queues.items()}
        for desk in self.desks.values():
            desk.user = centre.users.get(desk.user.id, desk.user)
            if not desk.user.active:
                self._dismiss(desk)
        self.assign()
        self.changed()

    def _dismiss(self, desk: Desk) -> None:
        """A user who may no longer log in finishes the call in hand, and sees nothing more."""
        if self.agent(desk.user.id).state != LOGGED_OFF:
            self.choose(desk.user.id, LOGGED_OFF)
        for screen in list(desk.screens):
            screen.dismiss()

    def queues_of(self, user_id: int) -> frozenset[str]:
        return self._queues_of.get(user_id, frozenset())

    def serves(self, user_id: int) -> frozenset[str]:
        """From where calls may come to this agent now: their queues, or what a campaign makes of them."""
        return self.serving(user_id, self.queues_of(user_id))

    def reason_label(self, reason: str | None, language: str) -> str:
        if reason is None:
            return ""
        for pause in self.centre.pauses:
            if pause.code == reason:
                return pause.label
        return REASONS.get(reason, {}).get(language, reason)

    # -- agents --

    def agent(self, user_id: int) -> Agent:
        return self.agents.setdefault(user_id, Agent(user_id, since=self.now()))

    def desk(self, user: User) -> Desk:
        if user.id not in self.desks:
            self.desks[user.id] = Desk(self, user)
        return self.desks[user.id]

    def move(self, user_id: int, event: str, reason: str | None = None, call_id: str | None = None) -> None:
        """The only door through which an agent moves."""
        agent = self.agent(user_id)
        self._record_move(agent, lambda: agent.fire(event, self.now(), reason, call_id))

    def choose(self, user_id: int, state: AgentState, reason: str | None = None) -> None:
        """What the agent asks for; kept for later when there is work to finish first."""
        agent = self.agent(user_id)
        self._record_move(agent, lambda: agent.choose(state, self.now(), reason))

    def _record_move(self, agent: Agent, fire: Callable[[], None]) -> None:
        state, reason, since = agent.state, agent.reason, agent.since
        fire()
        if (agent.state, agent.reason) != (state, reason):
            self._write_shift(agent.user_id, state, since, agent.since, reason)
            self._write_shift(agent.user_id, agent.state, agent.since, None, agent.reason)
        desk = self.desks.get(agent.user_id)
        if desk:
            desk.show(EVENTS[agent.state], agent=desk.agent_view())
            if agent.state == LOGGED_OFF and state != LOGGED_OFF:
                desk.logged_off()
        self.changed()
        if agent.state == READY:
            self.assign()

    def _write_shift(
        self, user_id: int, state: AgentState, since: float, until: float | None, reason: str | None
    ) -> None:
        if state != LOGGED_OFF:
            ended = moment(until) if until is not None else None
            self.history.put(ShiftInterval(user_id, str(state), moment(since), ended, reason))

    # -- calls --

    def begin(self, call: Call) -> None:
        self.calls[call.id] = call
        self.history.put(call.record())
        if call.queue:
            self.today(call.queue).offered += 1
        self.changed()

    def answered(self, call: Call) -> None:
        """An agent took the call: the queue's counters say so at once."""
        call.answered = self.now()
        queue = self.centre.queues.get(call.queue or "")
        if queue:
            wait = call.answered - call.started
            today = self.today(queue.name)
            today.answered += 1
            today.wait_seconds_total += wait
            if wait <= queue.service_level_seconds:
                today.answered_in_level += 1
        self.changed()

    def finish(self, call: Call) -> None:
        """The call's last row. Called once, by story.run."""
        self.calls.pop(call.id, None)
        if call.queue and call.answered is None:
            self.today(call.queue).abandoned += 1
        self.history.put(call.record())
        self.changed()

    def today(self, queue: str) -> DayCount:
        """Counters of the local day; a new day begins them anew."""
        day = time.localtime(self.now())[:3]
        if self._day != day:
            self._today.clear()
        self._day = day
        return self._today.setdefault(queue, DayCount())

    async def find_agent(self, call: Call, queue: str | None = None) -> int:
        """Wait in the call's queue, or in the one named, until an agent is reserved for it; their user id."""
        queue = queue or call.queue
        assert queue is not None
        chosen: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiting = Waiting(call.id, queue, call.started, call.priority)
        self._entries[call.id] = _Entry(waiting, call, chosen)
        self.assign()
        self.changed()
        try:
            return await chosen
        except asyncio.CancelledError:
            if chosen.done() and not chosen.cancelled():  # chosen and abandoned in the same breath
                self.move(chosen.result(), "release")
            raise
        finally:
            self._entries.pop(call.id, None)
            self.changed()

    def assign(self) -> None:
        """Carry out what cti/queue.py decides."""
        if not self._entries:
            return
        waiting = [e.waiting for e in self._entries.values() if not e.chosen.done()]
        if not waiting:
            return
        free = [
            Free(agent.user_id, self.serves(agent.user_id), agent.since)
            for agent in self.agents.values()
            if agent.state == READY
        ]
        for place, agent in assign(waiting, free):
            self.move(agent.user_id, "reserve", call_id=place.call_id)
            self._entries[place.call_id].chosen.set_result(agent.user_id)

    def let_go(self, call: Call) -> None:
        """Whatever agent still holds the call is free to go on; the end of every story."""
        self._entries.pop(call.id, None)
        for agent in self.agents.values():
            if agent.call_id == call.id and agent.state in (RESERVED, BUSY):
                self.move(agent.user_id, "release")
        for desk in self.desks.values():
            if desk.call is call and self.agent(desk.user.id).state != WRAP_UP:
                desk.clear()

    # -- work beside the stories --

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run in the background until done or until the floor closes; what breaks is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)
        return task

    def _spawned(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("background work broke", exc_info=task.exception())

    async def close(self) -> None:
        """End every story; their finally blocks hang up and write the last rows."""
        for task in list(self._tasks):
            task.cancel()
        while self._tasks:
            waited = set(self._tasks)  # what they begin while they end is waited for next
            await asyncio.wait(waited, timeout=5)
            for task in waited & self._tasks:
                if not task.done():
                    log.error("still running at the end: %r", task)
                self._tasks.discard(task)
        if self._telling:
            self._telling.cancel()
        for agent in self.agents.values():
            self._write_shift(agent.user_id, agent.state, agent.since, self.now(), agent.reason)

    # -- who watches --

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back on every change, possibly often; returns what ends it."""
        self._watchers.add(callback)
        return lambda: self._watchers.discard(callback)

    def changed(self) -> None:
        for callback in list(self._watchers):
            callback()
        self._untold = True
        if self._telling is None and self.desks:
            self._telling = asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        """Tell desks what moved in their queues and in the directory since the last time."""
        self._untold = False
        queues = {view["name"]: view for view in map(self._queue_view, self.centre.queues.values())}
        moved = {name for name, view in queues.items() if self._told_queues.get(name) != view}
        self._told_queues = queues
        presence = {entry["extension"]: entry for entry in self.directory()}
        changes = [entry for key, entry in presence.items() if self._told_presence.get(key) != entry]
        self._told_presence = presence
        watched = [desk for desk in self.desks.values() if desk.screens] if moved or changes else []
        self._tell_some(iter(watched), queues, moved, changes)

    def _tell_some(
        self,
        desks: Iterator[Desk],
        queues: dict[str, dict[str, Any]],
        moved: set[str],
        changes: list[dict[str, Any]],
    ) -> None:
        """A few desks at a time, so that the news of a large floor holds up no call."""
        some = list(itertools.islice(desks, TELL_AT_ONCE))
        for desk in some:
            mine = self.queues_of(desk.user.id)
            if mine & moved:
                desk.show("QueuesChanged", queues=[queues[name] for name in sorted(mine) if name in queues])
            if changes:
                desk.show("DirectoryChanged", directory=changes)
        loop = asyncio.get_running_loop()
        if some:
            self._telling = loop.call_later(
                TELL_PAUSE_SECONDS, self._tell_some, desks, queues, moved, changes
            )
        else:
            self._telling = loop.call_later(TELL_SECONDS, self._tell) if self._untold else None

    def queue_views(self, user_id: int) -> list[dict[str, Any]]:
        mine = self.queues_of(user_id)
        return [self._queue_view(q) for q in self.centre.queues.values() if q.name in mine]

    def _queue_view(self, queue: Queue) -> dict[str, Any]:
        waiting = [e.waiting.since for e in self._entries.values() if e.waiting.queue == queue.name]
        return {
            "name": queue.name,
            "label": queue.label,
            "waiting": len(waiting),
            "longest_since": iso(min(waiting)) if waiting else None,
        }

    def waiting_calls(self, queue: str) -> int:
        return sum(1 for e in self._entries.values() if e.waiting.queue == queue)

    def directory(self) -> list[dict[str, Any]]:
        """Extensions with their owner's name, group and presence."""
        at = {
            desk.station.extension: desk
            for desk in self.desks.values()
            if desk.station and self.agent(desk.user.id).state != LOGGED_OFF
        }
        entries = []
        for extension in self.centre.extensions.values():
            desk = at.get(extension.number)
            user = desk.user if desk else self.centre.users.get(extension.user_id or 0)
            if desk:
                state = str(self.agent(desk.user.id).state)
            elif self.phones and self.phones.registered(extension.number):
                state = "registered"
            else:
                state = "logged_off"
            entries.append(
                {
                    "extension": extension.number,
                    "name": user.name if user else extension.label,
                    "group": (user.group or "") if user else "",
                    "state": state,
                }
            )
        return entries

    def wall(self, language: str = "pt_BR") -> dict[str, Any]:
        """The `wall` of the CTI protocol: what a supervisor sees."""
        entries = in_order(e.waiting for e in self._entries.values() if e.call.queue)
        logged_on = [a for a in self.agents.values() if a.state != LOGGED_OFF]
        return {
            "now": iso(self.now()),
            "queues": [self._wall_queue(q, logged_on) for q in self.centre.queues.values()],
            "agents": [self._wall_agent(a, language) for a in logged_on],
            "waiting": [
                {
                    "display": self._entries[w.call_id].call.view()["display"],
                    "queue": w.queue,
                    "since": iso(w.since),
                }
                for w in entries
            ],
        }

    def _wall_queue(self, queue: Queue, agents: list[Agent]) -> dict[str, Any]:
        today = self.today(queue.name)
        counts = dict.fromkeys(("ready", "reserved", "busy", "wrap_up", "not_ready"), 0)
        for agent in agents:
            if queue.name in self.serves(agent.user_id):
                counts[str(agent.state)] += 1
        ended = today.answered + today.abandoned
        view = self._queue_view(queue)
        at_work = len(agents) and sum(counts.values()) - counts["not_ready"]
        mean_wait = today.wait_seconds_total / today.answered if today.answered else None
        return view | {
            "offered": today.offered,
            "answered": today.answered,
            "abandoned": today.abandoned,
            "service_level_percent": round(100 * today.answered_in_level / ended) if ended else None,
            "service_level_seconds": queue.service_level_seconds,
            "expected_wait_seconds": round(mean_wait) if mean_wait is not None and at_work else None,
            "agents": counts,
        }

    def _wall_agent(self, agent: Agent, language: str) -> dict[str, Any]:
        user = self.centre.users.get(agent.user_id)
        desk = self.desks.get(agent.user_id)
        call = desk.call if desk and agent.state in WORKING else None
        contact = desk.customer.get("contact") if desk and call and desk.customer else None
        return {
            "id": agent.user_id,
            "name": user.name if user else "",
            "login": user.login if user else "",
            "extension": desk.station.extension if desk and desk.station else "",
            "group": (user.group or "") if user else "",
            "state": str(agent.state),
            "reason": agent.reason,
            "reason_label": self.reason_label(agent.reason, language),
            "since": iso(agent.since),
            "queues": sorted(self.queues_of(agent.user_id)),
            "call": {
                "display": call.view()["display"],
                "direction": call.direction,
                "queue": call.queue,
                "since": iso(call.answered or call.started),
                "contact": contact["name"] if contact else None,
            }
            if call
            else None,
        }


def _their_own(user_id: int, queues: frozenset[str]) -> frozenset[str]:
    return queues
