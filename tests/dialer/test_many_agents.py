"""Many agents at the verbs, at random: the rules of a campaign hold whatever they do.

Desks, verbs, stories, gate and tables are real; customers' telephones are ours and look at every ring.
"""

import asyncio
import datetime
import random

import pytest

from crm import blocklist, items
from crm.calls import ZONE
from crm.db import connect
from crm.item_states import State
from crm.refused import Refused
from cti.call import CallState
from dialer import windows
from tests.crm.campaigning import MINUTE, boss, people, put
from tests.dialer.stage import Screen, stage
from tests.waiting import until

EVENING = datetime.datetime(
    2026, 11, 18, 23, 30, tzinfo=datetime.UTC
)  # 20:30 in São Paulo: half an hour left
BEDTIME = datetime.time(21, 10)
DAY = datetime.timedelta(days=1)
SECOND = datetime.timedelta(seconds=1)
ATTEMPTS_MAX, PER_DAY_MAX = 3, 2
AGENTS, ACTS = 8, 500
EXPECTED = {  # what agents may be told while others act; anything else is a bug
    "held", "has_another", "nobody_left", "concluded", "others_callback", "wrong_state", "blocked",
    "number_closed", "attempts_max", "day_limit", "wrong_number", "not_a_number", "not_found",
    "form_mandatory",
}  # fmt: skip


class Crowd:
    """The agents of a stage, a supervisor, and a book of our own of who has whom."""

    def __init__(self, here, seed):
        self.here, self.choice = here, random.Random(seed)
        self.book = {}  # item: agent
        self.freed = []  # items a supervisor took back
        self.blocked = {}  # number: when, counted in questions to the gate
        self.asked = {}  # agent and number: the last time the gate was asked about them
        self.questions = 0
        self.rings = []  # (moment, number)
        self.given = self.refused = self.acts = 0
        self.busy = {}  # agent: the turn of the clock in which he began what he does now
        self.turn = 0
        self.log = []  # (turn, agent, verb, item, answer)
        self.wrong = []  # what must not be
        self.look_at_rings()

    def look_at_rings(self):
        phones, gate = self.here.floor.phones, self.here.one.gate
        call_trunk, rules = phones.call_trunk, gate.rules

        async def asked(user, item_id, number):
            self.questions += 1
            self.asked[user.id, number] = self.questions
            return await rules(user, item_id, number)

        async def rung(trunk, number, *rest):
            self.rings.append((self.here.now, number))
            await self.must_be_allowed(number)
            return await call_trunk(trunk, number, *rest)

        gate.rules, phones.call_trunk = asked, rung

    async def must_be_allowed(self, number):
        """Asked of the tables and of our own book, not of the gate."""
        here, now = self.here, self.here.now
        holidays = await here.one.gate.holidays(now)
        if isinstance(windows.may_call(number, now, holidays), windows.Closed):
            self.wrong.append(f"{number} rang at {now}, outside its hours")
        today = [at for at, rung in self.rings if rung == number and local_day(at) == local_day(now)]
        if len(today) > PER_DAY_MAX:
            self.wrong.append(f"{number} rang too often on one day")
        row = await here.db.fetchrow(
            """
            SELECT attempt.user_id, attempt.attempt_number, item.state FROM attempt
              JOIN list_item AS item ON item.id = attempt.item_id
             WHERE attempt.number = $1 AND attempt.situation = 'dialing'
            """,
            number,
        )
        if row is None:
            self.wrong.append(f"{number} rang without an attempt of its own")
        elif row["attempt_number"] > ATTEMPTS_MAX and row["state"] != State.TRYING_CALLBACK:
            self.wrong.append(f"{number} rang above the limit: {row}")
        elif self.blocked.get(number, self.questions) < self.asked[row["user_id"], number]:
            self.wrong.append(f"{number} rang although it was blocked")

    # -- what an agent does --

    async def ask(self, verb, n, **arguments):
        """The answer, or none when it was refused with one of the expected words."""
        self.acts += 1
        log = (self.turn, n, verb, arguments.get("item"))
        self.log.append((*log, "asked"))
        try:
            answer = await self.here.ask(verb, n, **arguments)
            self.log.append((*log, (answer.get("work") or {}).get("item")))
            return answer
        except Refused as refused:
            self.log.append((*log, refused.code))
            self.refused += 1
            if refused.code not in EXPECTED:
                self.wrong.append(f"{verb} {arguments}: {refused.code} {refused}")
            return None

    def log_of(self, item):
        agents = {n for _turn, n, _verb, *of in self.log if item in of}
        return [each for each in self.log if each[1] in agents and each[0] > self.turn - 12]

    async def take(self, n, verb, **arguments):
        before = self.here.work(n)
        if before:  # whom no number reaches any more, it is not given again
            self.book.pop(before["item"], None)
        answer = await self.ask(verb, n, **arguments)
        if answer and (before is None or before["item"] != answer["work"]["item"]):
            item = answer["work"]["item"]
            self.given += 1
            other = self.book.get(item)
            if other not in (None, n):
                self.wrong.append(f"item {item} is in the hands of {other} and {n}: {self.log_of(item)}")
            self.book[item] = n
            row = await self.here.item(item)
            if row["held_by"] == self.here.team[n].id and row["callback_owner"] not in (None, row["held_by"]):
                self.wrong.append(
                    f"item {item}: a callback of {row['callback_owner']} went to {row['held_by']}"
                )
        return answer

    async def give_back(self, n, verb, item, **arguments):
        """Out of our book first: somebody else may have the item before we hear the answer."""
        mine, freed = self.book.pop(item, None) == n, self.freed.count(item)
        answer = await self.ask(verb, n, item=item, **arguments)
        work = self.here.work(n)
        if mine and answer is None and work and work["item"] == item and self.freed.count(item) == freed:
            self.book.setdefault(item, n)
        return answer

    async def step(self, n):
        """One thing an agent could do now."""
        here, choice, work = self.here, self.choice, self.here.work(n)
        if not here.desk(n).screens:
            if choice.random() < 0.4:
                here.desk(n).attach(Screen())  # the browser is back
            return
        if choice.random() < 0.04:
            here.desk(n).screens.clear()  # the browser died; what it held is nobody's by our book
            if work:
                self.book.pop(work["item"], None)
            return
        form, busy = here.desk(n).form, work and work["phase"] != "contact"
        if not busy and form and form.status != "saved" and form.call.state == CallState.ENDED:
            answers = {"category": here.category, "reason": "x"}  # of somebody who is no longer his
            await self.ask("SaveTabulation", n, call=form.call.id, answers=answers)
        elif work is None:
            if choice.random() < 0.8:
                await self.take(n, "NextItem", campaign=here.campaign.id)
            else:
                every = [row["id"] for row in await here.db.fetch("SELECT id FROM list_item")]
                await self.take(n, "TakeItem", item=choice.choice(every))
        else:
            await getattr(self, work["phase"])(n, work)

    async def contact(self, n, work):
        match self.choice.choices(("dial", "next", "other", "save", "block", "exit"), (12, 1, 1, 3, 1, 2))[0]:
            case "dial":
                await self.dial(n, work)
            case "next":
                answer = await self.take(n, "NextItem", campaign=self.here.campaign.id)
                still = await self.here.item(work["item"])
                if (
                    answer
                    and answer["work"]["item"] != work["item"]
                    and still["held_by"] == self.here.team[n].id
                ):
                    self.wrong.append(f"agent {n} has two items: {work['item']}, {answer['work']['item']}")
            case "other":
                await self.ask("TakeItem", n, item=work["item"] + 1)
            case "save":
                status = self.choice.choice(["no_answer", "busy", "not_dialed"])
                await self.give_back(n, "SaveWithoutDialing", work["item"], status=status)
            case "block":
                await self.block(n, work)
            case "exit":
                await self.give_back(n, "ExitItem", work["item"])

    async def dial(self, n, work):
        number = self.choice.choice(work["phones"])["number"]
        await self.ask("DialItem", n, item=work["item"], number=number)

    async def block(self, n, work):
        number = self.choice.choice(work["phones"])["number"]
        if await self.give_back(n, "BlockNumber", work["item"], number=number):
            self.blocked[number] = self.questions

    async def checking(self, n, work):
        pass

    async def dialing(self, n, work):
        """The customer's telephone: somebody answers, or does not, or the agent gives up."""
        call = self.here.desk(n).call
        legs = [
            leg for leg in self.here.rung if call and leg.number == call.number and not leg.answered.done()
        ]
        if not legs:
            return
        match self.choice.choices(("lift", "refuse", "give up"), (6, 5, 1))[0]:
            case "lift":
                legs[-1].lift()
            case "refuse":
                legs[-1].refuse(self.choice.choice([480, 486, 404, 503, 603]))
            case "give up":
                await self.ask("ClearConnection", n)

    async def talking(self, n, work):
        if work["chosen"] is None and self.choice.random() < 0.4:
            await self.say(n, work)
            return
        call = self.here.desk(n).call
        if call and call.customer:
            if work["chosen"]:
                self.book.pop(work["item"], None)  # carried out as soon as the call is over
            call.customer.gone()

    async def after(self, n, work):
        match self.choice.choices(("say", "again", "exit", "block"), (10, 2, 1, 1))[0]:
            case "say":
                await self.say(n, work)
            case "again":
                await self.dial(n, work)
            case "exit":
                await self.ask("ExitItem", n, item=work["item"])
            case "block":
                await self.block(n, work)

    async def say(self, n, work):
        answers = {"category": self.here.category, "reason": "x"}
        match self.choice.choice(("success", "failure", "callback", "voicemail", "wrong_number")):
            case "callback":
                at = (self.here.now + MINUTE * self.choice.randint(2, 40)).isoformat()
                said = {"result": "callback", "callback_at": at, "mine": self.choice.random() < 0.5}
            case "voicemail":
                said = {"status": "voicemail"}
            case "wrong_number":
                said = {"wrong_number": True}
            case result:
                said = {"result": result}
        await self.give_back(n, "SetOutcome", work["item"], **said, answers=answers)

    # -- what others do meanwhile --

    async def supervise(self, by):
        if self.choice.random() < 0.5:
            held = await items.held(self.here.db)
            if held:
                item = self.choice.choice(held).item_id
                self.book.pop(item, None)
                self.freed.append(item)
                await items.release_held(self.here.db, by, [item], "needed")
        else:
            number = await self.here.db.fetchval("SELECT number FROM contact_phone ORDER BY random() LIMIT 1")
            await blocklist.block(self.here.db, by, number, None, "asked")
            self.blocked[number] = self.questions

    async def time(self, seconds):
        """As the server spends it: leases are looked at again and again; nights are skipped."""
        while seconds > 0:
            await until(lambda: all(began >= self.turn for began in self.busy.values()))
            self.turn += 1  # so that no verb is slower than a lease
            self.here.now += SECOND * min(seconds, 15)
            seconds -= 15
            local = self.here.now.astimezone(ZONE)
            if local.time() > BEDTIME:
                self.book.clear()  # nobody sits there all night: leases end
                self.here.now = (local + DAY).replace(hour=10, minute=0).astimezone(datetime.UTC)
            await self.here.one.tick()

    async def all_over(self):
        """Every call ends, every browser is closed, every lease runs out."""
        for desk in self.here.floor.desks.values():
            desk.screens.clear()
        for leg in self.here.rung:
            if not leg.answered.done():
                leg.refuse(480)
            leg.gone()
        await until(lambda: all(work.phase in ("contact", "after") for work in self.here.one.works.values()))
        self.here.now += 5 * MINUTE
        await self.here.one.tick()


def local_day(at):
    return at.astimezone(ZONE).date()


async def crowded(db, here):
    """People of São Paulo, whose hours end soon, of Rio, whose are over, and some with two numbers."""
    for number in ("+5521{:09d}", "+5511{:09d}"):
        for contact_id in await people(db, 6, number=number, first=980000000):
            await put(db, here.campaign, contact_id)
    for row in await db.fetch("SELECT id FROM contact ORDER BY id LIMIT 8"):
        await db.execute(
            "INSERT INTO contact_phone VALUES ($1, $2, 9)", row["id"], f"+5511970000{row['id']:03d}"
        )
    here.now = EVENING


def settings():
    return {
        "callback_mode": "optional", "attempts_max": ATTEMPTS_MAX, "number_attempts_per_day_max": PER_DAY_MAX,
    }  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_rules_hold_whatever_many_agents_do_at_once(fresh_database_url, seed):
    db = await connect(fresh_database_url, connections_max=25)
    try:
        async with stage(db, team_of=AGENTS, list_of=30, **settings()) as here:
            await crowded(db, here)
            crowd, by = Crowd(here, seed), await boss(db)
            following = asyncio.create_task(here.floor.blocklist.follow(db))
            await here.floor.blocklist.loaded.wait()

            async def agent(n):
                while crowd.acts < ACTS:
                    crowd.busy[n] = crowd.turn
                    await crowd.step(n)
                    del crowd.busy[n]
                    await asyncio.sleep(0.001)

            async def world():
                while crowd.acts < ACTS:
                    await crowd.time(crowd.choice.choice([1, 5, 15, 60]))
                    if crowd.choice.random() < 0.1:
                        await crowd.supervise(by)

            try:
                async with asyncio.TaskGroup() as everybody:
                    everybody.create_task(world())
                    for n in range(AGENTS):
                        everybody.create_task(agent(n))
                await crowd.all_over()
            finally:
                following.cancel()
            assert crowd.wrong == []
            assert crowd.given > 30 and len(crowd.rings) > 20 and crowd.refused, "the schedule does little"
            await nothing_is_left_open(here, crowd)
    finally:
        await db.close()


async def nothing_is_left_open(here, crowd):
    db = here.db
    assert await db.fetchval("SELECT count(*) FROM list_item WHERE held_by IS NOT NULL") == 0
    assert await db.fetchval("SELECT count(*) FROM attempt WHERE situation = 'dialing'") == 0
    dialed = dict(await db.fetch("SELECT number, count(*) FROM attempt WHERE dialed GROUP BY number"))
    rung = {number: len([1 for _at, each in crowd.rings if each == number]) for _at, number in crowd.rings}
    assert dialed == rung, "each ring is an attempt, and each attempt rang"
    wrong = await db.fetch(
        """
        SELECT item.id, item.attempts, count(attempt.id), array_agg(attempt.attempt_number) AS numbers
          FROM list_item AS item LEFT JOIN attempt ON attempt.item_id = item.id
         GROUP BY item.id HAVING item.attempts <> count(attempt.id)
                              OR count(DISTINCT attempt.attempt_number) <> count(attempt.id)
        """
    )
    assert not wrong, "an attempt counted twice, or not at all"
    ends = "SELECT item_id, count(*) FROM attempt WHERE result IN ('success', 'failure') GROUP BY item_id"
    assert set(dict(await db.fetch(ends)).values()) == {1}, "concluded twice"


# -- One after the other: the order ------------------------------------------------------------------------


async def expected(here, n):
    """UAU-47, worked out from the rows: the item this agent must be given, or none."""
    now, user = here.now, here.team[n].id
    holidays = await here.one.gate.holidays(now)
    rows = await here.db.fetch("SELECT * FROM list_item WHERE held_by IS NULL")
    tried = {}
    for row in rows:
        phones = await items.phones(here.db, here.campaign.id, row["contact_id"])
        numbers = [phone.number for phone in phones if phone.callable]
        tried[row["id"]] = any(
            not isinstance(windows.may_call(number, now, holidays), windows.Closed) for number in numbers
        )
    may = [row for row in rows if tried[row["id"]]]
    callbacks = [
        row for row in may
        if row["state"] in (1, 3) and row["due_at"] <= now and row["callback_owner"] in (None, user)
    ]  # fmt: skip
    new = [row for row in may if row["state"] == 0 and row["due_at"] is None]
    again = [row for row in may if row["state"] == 2 and row["due_at"] <= now]
    ordered = [
        *sorted(callbacks, key=lambda row: (row["due_at"], row["priority"], row["id"])),
        *sorted(new, key=lambda row: (row["priority"], row["id"])),
        *sorted(again, key=lambda row: (row["attempts"], row["due_at"], row["priority"], row["id"])),
    ]
    return ordered[0]["id"] if ordered else None


@pytest.mark.parametrize("seed", [3, 5])
async def test_next_is_always_exactly_the_order_of_uau_47(fresh_db, seed):
    async with stage(fresh_db, team_of=4, list_of=14, **settings()) as here:
        await crowded(fresh_db, here)
        crowd = Crowd(here, seed)
        await fresh_db.execute("UPDATE list_item SET priority = id % 3")
        compared = callbacks = 0
        for turn in range(160):
            n = turn % 4
            await crowd.time(crowd.choice.choice([1, 15, 60, 300]))
            work = here.work(n)
            if work is None and here.desk(n).screens:
                wanted = await expected(here, n)
                answer = await crowd.take(n, "NextItem", campaign=here.campaign.id)
                got = answer["work"]["item"] if answer else None
                assert got == wanted, f"turn {turn}: agent {n} was given {got} instead of {wanted}"
                compared += got is not None
                callbacks += bool(answer and answer["work"]["overdue"])
            else:
                await crowd.step(n)
            await quiet(here)
        assert crowd.wrong == []
        assert compared > 25 and callbacks > 1, (compared, callbacks)
        await crowd.all_over()


async def quiet(here):
    """What was asked for has happened: calls ring, are answered, or are written down."""

    def settled():
        for user, work in here.one.works.items():
            call = here.floor.desks[user].call
            if work.phase == "checking" or (work.phase == "dialing" and not ringing(here, call)):
                return False
            if work.phase == "talking" and (
                call is None or call.customer is None or call.customer.over.done()
            ):
                return False
        return True

    await until(settled)


def ringing(here, call):
    return call is not None and any(
        leg.number == call.number and not leg.answered.done() and not leg.over.done() for leg in here.rung
    )
