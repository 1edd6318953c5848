"""The dialer at work: agents in a campaign, calls in the air, and what becomes of the people called."""

import asyncio
import contextlib
import datetime

import pytest

from crm import attempts, blocklist, campaigns, dialing_figures, hopper
from crm.item_states import State
from crm.refused import Refused
from crm.users import DIALER
from cti.agent import NOT_READY, READY, WRAP_UP
from cti.call import Call
from cti.media.detection import Decision, Kind
from cti.station import NotSent
from dialer.drives import Drives
from dialer.pacing import Pacing
from tests.crm.campaigning import MINUTE, NOON, campaign, people, put
from tests.dialer.stage import Screen, Softphone, stage
from tests.waiting import until


class Dialed:
    """A stage whose campaign dials by itself; `turn` is what half a second of the dialer does."""

    def __init__(self, here):
        self.here, self.db, self.floor = here, here.db, here.floor
        self.drives = Drives(here.floor, here.db, here.one.gate, here.one)
        self.drives.join()

    @property
    def drive(self):
        return self.drives.drives[self.here.campaign.id]

    @property
    def ringing(self):
        return [leg for leg in self.here.rung if not leg.answered.done() and not leg.over.done()]

    async def turn(self):
        await self.drives.poll()
        await self.drives.refresh()

    async def join(self, agent=0, blended=False):
        await self.here.ask("JoinCampaign", agent, campaign=self.here.campaign.id, blended=blended)

    async def leave(self, agent=0):
        await self.here.ask("LeaveCampaign", agent)

    async def settle(self):
        """Until the dialer has asked itself again and every call it wanted rings."""
        await self.turn()
        await until(lambda: not self.drive._woken)
        begun = lambda: all(c.attempt or c.refused for c in self.drive.calls.values())  # noqa: E731
        await until(begun)
        await until(lambda: len(self.ringing) >= len(self.drive.picture.ring))

    async def rung(self, n=1):
        """So many customers' telephones ring."""
        await self.settle()
        await until(lambda: len(self.ringing) >= n)
        return self.ringing

    async def talking(self, agent=0):
        leg = (await self.rung())[0]
        leg.lift()
        await self.here.phase("talking", agent=agent)
        return leg

    async def item(self, number):
        return await self.db.fetchrow(
            """
            SELECT list_item.* FROM list_item JOIN contact_phone USING (contact_id) WHERE number = $1
            """,
            number,
        )

    async def free(self, number):
        """The item of this number, when it is in nobody's hands."""

        async def free():
            row = await self.item(number)
            return row["held_by"] is None and row

        return await until(free)

    async def attempts(self):
        return await self.db.fetch("SELECT * FROM attempt ORDER BY started, id")

    async def until_tried(self, situation, n=1):
        async def tried():
            rows = await self.attempts()
            return len([row for row in rows if row["situation"] == situation]) >= n and rows

        return await until(tried)

    async def set_mode(self, mode, **settings):
        await campaigns.set_dialing(self.db, None, self.here.campaign.id, {"mode": mode, **settings})
        await self.turn()


@contextlib.asynccontextmanager
async def dialing(db, mode="progressive", team_of=2, list_of=6, **settings):
    async with stage(db, team_of=team_of, list_of=list_of) as here:
        here.floor.phones.engine.detects = False
        dialed = Dialed(here)
        await dialed.set_mode(mode, **settings)
        try:
            yield dialed
        finally:
            for drive in dialed.drives.drives.values():
                drive.stop()


@pytest.fixture
async def dialed(fresh_db):
    async with dialing(fresh_db) as dialed:
        yield dialed


def form(dialed, **more):
    return {"category": dialed.here.category, "reason": "Preço", **more}


# -- How many --------------------------------------------------------------------------------------------


async def test_nobody_is_called_while_no_agent_works_in_the_campaign(dialed):
    await dialed.settle()
    assert dialed.here.rung == [] and len(dialed.drive.hopper) == 0


async def test_progressive_calls_one_person_for_each_free_agent(dialed):
    await dialed.join(0)
    assert len(await dialed.rung()) == 1
    await dialed.join(1)
    assert len(await dialed.rung(2)) == 2
    await dialed.settle()
    assert len(dialed.here.rung) == 2


async def test_an_agent_who_takes_a_break_is_dialed_for_no_more(dialed):
    await dialed.join(0)
    [leg] = await dialed.rung()
    dialed.floor.choose(dialed.here.team[0].id, NOT_READY, "lunch")
    leg.refuse(486)
    await dialed.until_tried("busy")
    await dialed.settle()
    assert len(dialed.here.rung) == 1


async def test_an_agent_who_leaves_the_campaign_or_logs_off_is_dialed_for_no_more(dialed):
    await dialed.join(0)
    [leg] = await dialed.rung()
    await dialed.here.ask("LeaveCampaign")
    leg.refuse(486)
    await dialed.until_tried("busy")
    await dialed.settle()
    assert len(dialed.here.rung) == 1 and dialed.here.desk().snapshot()["dialing"] is None


async def test_a_trunk_is_never_given_more_than_it_carries(fresh_db):
    async with dialing(fresh_db, "ratio", ratio=3, team_of=3, list_of=12) as dialed:
        dialed.floor.phones.room = 2
        for agent in range(3):
            await dialed.join(agent)
        await dialed.rung(2)
        await dialed.settle()
        assert len(dialed.here.rung) == 2


async def test_the_campaigns_own_lines_are_a_limit_too(fresh_db):
    async with dialing(fresh_db, "ratio", ratio=3, lines_max=1, list_of=12) as dialed:
        await dialed.join(0)
        await dialed.join(1)
        await dialed.rung()
        await dialed.settle()
        assert len(dialed.here.rung) == 1


async def test_no_more_calls_begin_in_a_second_than_the_campaign_allows(fresh_db):
    async with dialing(fresh_db, "ratio", ratio=5, calls_per_second=3, list_of=12) as dialed:
        await dialed.join(0)
        await dialed.join(1)
        await dialed.rung(3)
        await dialed.settle()
        assert len(dialed.here.rung) == 3
        dialed.here.now += datetime.timedelta(seconds=1)
        await dialed.rung(6)
        await dialed.settle()
        assert len(dialed.here.rung) == 6


async def test_two_campaigns_over_one_trunk_give_it_no_more_than_it_carries(fresh_db):
    async with dialing(fresh_db, "ratio", ratio=3, list_of=12) as dialed:
        here, dialed.floor.phones.room = dialed.here, 4
        other = await campaign(fresh_db, here.team, "Other", route_id=here.campaign.route_id)
        for contact_id in await people(fresh_db, 12, first=920000000):
            await put(fresh_db, other, contact_id)
        await campaigns.set_dialing(fresh_db, None, other.id, {"mode": "ratio", "ratio": 3})
        await dialed.turn()
        await here.ask("JoinCampaign", 0, campaign=here.campaign.id)
        await here.ask("JoinCampaign", 1, campaign=other.id)
        await dialed.turn()
        await until(lambda: len(here.rung) == 4)
        await dialed.settle()
        assert len(here.rung) == 4


async def test_outside_the_hours_nobody_is_called(dialed):
    dialed.here.now = NOON + datetime.timedelta(hours=12)  # midnight: the places called are closed
    await dialed.join(0)
    await dialed.settle()
    assert dialed.here.rung == []


async def test_a_paused_campaign_stops_and_gives_its_people_back(dialed):
    await dialed.join(0)
    [leg] = await dialed.rung()
    await campaigns.pause(dialed.db, None, dialed.here.campaign.id)
    await dialed.turn()
    leg.refuse(486)
    await dialed.until_tried("busy")
    await dialed.free(leg.number)
    await dialed.drives.poll()
    assert dialed.drives.drives == {}
    held = await dialed.db.fetchval("SELECT count(*) FROM list_item WHERE held_by IS NOT NULL")
    assert held == 0 and len(dialed.here.rung) == 1


async def test_a_campaign_paused_while_people_are_taken_ahead_gives_them_back(dialed, monkeypatch):
    fill, taken, go = hopper.fill, asyncio.Event(), asyncio.Event()

    async def fill_slowly(*arguments, **named):
        filled = await fill(*arguments, **named)
        taken.set()
        await go.wait()
        return filled

    monkeypatch.setattr(hopper, "fill", fill_slowly)
    await dialed.join(0)
    drive = dialed.drive
    refreshing = asyncio.ensure_future(dialed.drives.refresh())
    await taken.wait()
    await campaigns.pause(dialed.db, None, dialed.here.campaign.id)
    polling = asyncio.ensure_future(dialed.drives.poll())
    for _ in range(50):
        await asyncio.sleep(0.001)
    go.set()
    await asyncio.gather(refreshing, polling)
    await until(lambda: not drive.in_hand)
    held = await dialed.db.fetchval("SELECT count(*) FROM list_item WHERE held_by IS NOT NULL")
    assert held == 0 and dialed.here.rung == []


async def test_a_campaign_that_goes_on_calls_for_the_agents_who_stayed_in_it(dialed):
    await dialed.join(0)
    [leg] = await dialed.rung()
    await campaigns.pause(dialed.db, None, dialed.here.campaign.id)
    await dialed.turn()
    leg.refuse(486)
    await dialed.free(leg.number)
    await dialed.drives.poll()
    assert dialed.drives.drives == {}
    await campaigns.activate(dialed.db, None, dialed.here.campaign.id)
    await dialed.turn()
    await until(lambda: dialed.ringing)


async def test_stopping_cancels_what_rings_when_the_campaign_says_so(fresh_db):
    async with dialing(fresh_db, on_stop="cancel") as dialed:
        await dialed.join(0)
        [leg] = await dialed.rung()
        await campaigns.pause(dialed.db, None, dialed.here.campaign.id)
        await dialed.drives.poll()
        await until(lambda: leg.over.done())
        await dialed.until_tried("cancelled")


async def test_a_person_lifted_after_the_stop_still_meets_an_agent(dialed):
    await dialed.join(0)
    [leg] = await dialed.rung()
    await campaigns.pause(dialed.db, None, dialed.here.campaign.id)
    await dialed.turn()
    leg.lift()
    await dialed.here.phase("talking")


# -- Somebody answers ------------------------------------------------------------------------------------


async def test_who_answers_is_with_an_agent_at_once_with_record_form_and_script(dialed):
    await dialed.join(0)
    await dialed.talking()
    desk, work = dialed.here.desk(), dialed.here.work()
    assert desk.call.answered and desk.call.direction == "outbound"
    assert desk.customer["contact"]["name"] == work["contact"]["name"]
    assert desk.form.layout.name == "renewal"
    user = dialed.here.team[0].id

    async def handed():
        item = await dialed.here.item(work["item"])
        return item["held_by"] == user

    await until(handed)
    [attempt] = await dialed.attempts()
    await until(lambda: dialed.db.fetchval("SELECT user_id FROM attempt"))
    assert attempt["attempt_number"] == 1 and attempt["by_dialer"]


async def test_the_outcome_is_said_as_in_a_campaign_by_hand_and_then_the_next_call_comes(dialed):
    await dialed.join(0)
    leg = await dialed.talking()
    item = dialed.here.work()["item"]
    leg.gone()
    await dialed.here.phase("after")
    await dialed.settle()
    assert len(dialed.here.rung) == 1, "nobody is dialed before the outcome is said"
    await dialed.here.ask("SetOutcome", item=item, result="success", answers=form(dialed))
    await until(lambda: dialed.here.work() is None)
    row = await dialed.here.item(item)
    assert (row["state"], row["result"], row["held_by"]) == (State.CONCLUDED, "success", None)
    await dialed.rung(1)
    assert len(dialed.here.rung) == 2


async def test_the_category_of_the_form_says_the_outcome(dialed):
    await dialed.join(0)
    leg = await dialed.talking()
    item = dialed.here.work()["item"]
    leg.gone()
    await dialed.here.phase("after")
    call = dialed.here.desk().form.call.id
    await dialed.here.ask("SaveTabulation", call=call, answers=form(dialed))
    await until(lambda: dialed.here.work() is None)
    row = await dialed.here.item(item)
    assert (row["state"], row["result"]) == (State.CONCLUDED, "success")
    assert dialed.floor.agent(dialed.here.team[0].id).state == READY


async def test_voicemail_said_by_the_agent_returns_the_person_to_the_list(dialed):
    await dialed.join(0)
    leg = await dialed.talking()
    item = dialed.here.work()["item"]
    await dialed.here.ask("SetOutcome", item=item, status="voicemail")
    leg.gone()
    await until(lambda: dialed.here.work() is None)
    row = await dialed.here.item(item)
    assert (row["state"], row["last_situation"]) == (State.TRYING, "voicemail")


async def test_a_break_asked_for_in_a_call_comes_after_it_and_nobody_is_dialed_for_it(dialed):
    await dialed.join(0)
    leg = await dialed.talking()
    item, user = dialed.here.work()["item"], dialed.here.team[0].id
    dialed.floor.choose(user, NOT_READY, "lunch")
    await dialed.settle()
    assert user in dialed.drive.picture.leaving and dialed.drive.available() == 0
    leg.gone()
    await dialed.here.phase("after")
    await dialed.here.ask("SetOutcome", item=item, result="success", answers=form(dialed))
    await until(lambda: dialed.floor.agent(user).state == NOT_READY)
    await dialed.settle()
    assert len(dialed.here.rung) == 1


async def test_whom_no_agent_is_free_for_hears_a_message_and_is_left_alone_for_days(fresh_db):
    async with dialing(fresh_db, "ratio", ratio=2, abandon_after_seconds=0.5, team_of=1) as dialed:
        await dialed.join(0)
        one, other = (await dialed.rung(2))[:2]
        one.lift()
        await dialed.here.phase("talking")
        other.lift()
        await dialed.until_tried("abandoned")
        assert ("play_once", other.name, "abandoned") in dialed.floor.phones.engine.orders
        row = await dialed.free(other.number)
        assert row["state"] == State.TRYING
        assert row["due_at"] - NOON >= datetime.timedelta(days=3)
        assert dialed.drive.counts["abandoned"] == 1 == dialed.drive.picture.dropped


async def test_an_agents_telephone_that_does_not_lift_costs_nobody_the_call(dialed):
    await dialed.set_mode("progressive", abandon_after_seconds=4)
    dead = Softphone(dialed.floor, dialed.here.desk(0))
    await dialed.join(0)
    [leg] = await dialed.rung()
    leg.lift()
    await until(lambda: dead.rung)
    await dialed.join(1)
    await dialed.here.phase("talking", agent=1)
    agent = dialed.floor.agent(dialed.here.team[0].id)
    assert (agent.state, agent.reason) == (NOT_READY, "missed_call")
    assert dialed.drive.counts["abandoned"] == 0


async def test_a_person_who_hangs_up_before_an_agent_is_there_counts_against_the_limit(fresh_db):
    async with dialing(fresh_db, "ratio", ratio=2, abandon_after_seconds=30, team_of=1) as dialed:
        await dialed.join(0)
        one, other = (await dialed.rung(2))[:2]
        one.lift()
        await dialed.here.phase("talking")
        other.lift()
        await until(lambda: dialed.drive.picture.waiting)
        other.gone()
        await dialed.until_tried("discarded_customer")
        assert dialed.drive.picture.dropped == 1


@pytest.fixture
async def long_list(fresh_db):
    """Longer than what is taken ahead."""
    async with dialing(fresh_db, list_of=30) as dialed:
        yield dialed


async def test_an_agent_who_takes_a_person_by_hand_is_given_no_dialed_call_meanwhile(long_list, monkeypatch):
    dialed = long_list
    await dialed.join(0)
    [leg] = await dialed.rung()
    one, known, user = dialed.here.one, asyncio.Event(), dialed.here.team[0].id
    read = one._work

    async def read_slowly(item):
        await known.wait()
        return await read(item)

    monkeypatch.setattr(one, "_work", read_slowly)
    taking = asyncio.ensure_future(dialed.here.next())
    held = "SELECT count(*) FROM list_item WHERE held_by = $1"
    await until(lambda: dialed.db.fetchval(held, user))
    leg.lift()
    await until(lambda: dialed.drive.counts["answered"])
    for _ in range(10):
        await asyncio.sleep(0)
    assert dialed.floor.agent(user).state == READY
    known.set()
    work = await taking
    await dialed.here.ask("ExitItem", item=work["item"])
    await dialed.here.phase("talking")  # the person waited for it


async def test_an_agent_who_is_being_given_a_dialed_call_takes_nobody_by_hand(long_list):
    dialed = long_list
    dialed.here.softphone()  # rings until it is lifted
    await dialed.join(0)
    [leg] = await dialed.rung()
    leg.lift()
    await until(lambda: dialed.here.own())
    with pytest.raises(Refused, match="Finish the call you are in first"):
        await dialed.here.next()
    dialed.here.own()[0].lift()
    await dialed.here.phase("talking")


# -- Nobody answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "situation"), [(486, "busy"), (404, "invalid"), (503, "congestion"), (603, "rejected")]
)
async def test_a_call_nobody_took_is_written_and_the_next_is_dialed(dialed, status, situation):
    await dialed.join(0)
    [leg] = await dialed.rung()
    leg.refuse(status)
    [attempt] = await dialed.until_tried(situation)
    assert attempt["sip_status"] == status and attempt["user_id"] in (None, DIALER.id)
    assert (await dialed.free(leg.number))["attempts"] == 1
    await dialed.rung()
    assert len(dialed.here.rung) == 2


# -- Rules -----------------------------------------------------------------------------------------------


async def test_a_trunk_that_is_full_or_silent_costs_nobody_an_attempt(dialed, monkeypatch):
    call_trunk = dialed.floor.phones.call_trunk

    async def silent(*arguments, **more):
        leg = await call_trunk(*arguments, **more)
        leg.answered.set_exception(NotSent(503, "trunk silent"))
        return leg

    monkeypatch.setattr(dialed.floor.phones, "call_trunk", silent)
    await dialed.join(0)
    await dialed.turn()
    await until(lambda: dialed.here.rung)
    row = await dialed.free(dialed.here.rung[0].number)
    assert (row["attempts"], row["last_situation"]) == (0, "congestion")
    [attempt] = await dialed.here.tries(row["id"])
    assert (attempt["situation"], attempt["sip_status"], attempt["dialed"]) == ("congestion", 503, False)
    assert attempt["cause"] == "503 trunk silent"
    assert dialed.drive.pacing.figures()["level"] > 0.1, "it says nothing about who answers"


@pytest.mark.parametrize("slow", ["the rules are asked", "the try is counted"])
async def test_whoever_is_called_off_before_it_rings_is_not_dialed(dialed, monkeypatch, slow):
    asked, go = asyncio.Event(), asyncio.Event()
    owner, name = (dialed.here.one.gate, "check") if slow == "the rules are asked" else (attempts, "begin")
    quickly = getattr(owner, name)

    async def slowly(*arguments):
        done = await quickly(*arguments)
        asked.set()
        await go.wait()
        return done

    monkeypatch.setattr(owner, name, slowly)
    await dialed.join(0)
    await dialed.turn()
    await asked.wait()
    [call] = dialed.drive.calls.values()
    await dialed.leave(0)
    dialed.drives.cancel_ringing(dialed.here.campaign.id)
    go.set()
    row = await dialed.free(call.number)
    assert row["attempts"] == 0 and dialed.here.rung == []
    assert [each["dialed"] for each in await dialed.attempts()] == [False] * (owner is attempts)
    assert dialed.drive.counts["dialed"] == 0


@pytest.mark.parametrize("state", ["nobody", "closed", "stopped", "away", "leaving"])
async def test_whatever_the_pacing_says_nobody_is_dialed_without_an_agent(dialed, monkeypatch, state):
    monkeypatch.setattr(Pacing, "decide", lambda *_: 0)
    await dialed.join(0)
    await dialed.turn()
    drive = dialed.drive
    assert drive.hopper
    monkeypatch.setattr(Pacing, "decide", lambda *_: 3)
    user = dialed.here.team[0].id
    match state:
        case "nobody":
            dialed.drives.joined.clear()
        case "closed":
            drive.open = False
        case "stopped":
            drive.stop()
        case "away":
            drive.away = True
        case "leaving":
            dialed.floor.move(user, "engage", call_id="x")
            dialed.floor.choose(user, NOT_READY, "lunch")
            drive.look()
            assert user in drive.picture.leaving
    drive._decide()
    assert not drive.calls


async def test_a_number_blocked_while_it_waits_to_be_dialed_is_not(dialed):
    await dialed.join(1)
    dialed.floor.choose(dialed.here.team[1].id, NOT_READY, "lunch")
    dialed.floor.choose(dialed.here.team[1].id, READY)
    [first] = await dialed.rung()
    ahead = dialed.drive.hopper[0].numbers[0]
    await blocklist.block(dialed.db, None, ahead, None, "asked", "11")
    first.refuse(486)
    await dialed.until_tried("busy")
    await dialed.rung()
    await until(lambda: ahead not in [entry.numbers[0] for entry in dialed.drive.hopper])
    assert ahead not in [leg.number for leg in dialed.here.rung]


async def test_a_crash_gives_everybody_back_when_the_leases_end(dialed):
    await dialed.join(0)
    [leg] = await dialed.rung()
    ahead = len(dialed.drive.hopper)
    assert ahead
    dialed.here.one.keepers.clear()  # of a server that is no more
    dialed.here.now += 5 * MINUTE
    await dialed.here.one.tick()
    held = await dialed.db.fetchval("SELECT count(*) FROM list_item WHERE held_by IS NOT NULL")
    assert held == 0
    row = await dialed.item(leg.number)
    assert row["attempts"] == 1 and row["due_at"] > dialed.here.now, "whoever rings is not dialed twice"


async def test_while_the_database_is_away_nobody_is_dialed_and_nobody_is_lost(dialed, monkeypatch):
    from dialer import dialed_call

    begin, away = dialed_call.attempts.begin, [True]

    async def begin_or_fail(*arguments, **more):
        if away[0]:
            raise OSError("away")
        return await begin(*arguments, **more)

    monkeypatch.setattr(dialed_call.attempts, "begin", begin_or_fail)
    await dialed.join(0)
    await dialed.turn()
    await until(lambda: dialed.drive.picture.dials)
    await until(lambda: not dialed.drive.calls)
    assert dialed.here.rung == []
    away[0] = False
    dialed.here.now += datetime.timedelta(seconds=1)
    await dialed.rung()
    assert await dialed.db.fetchval("SELECT count(*) FROM attempt") == 1


async def test_a_conversation_while_the_database_is_away_is_written_in_its_order(dialed, monkeypatch):
    hand_over, away = hopper.hand_over, [True]

    async def hand_over_or_fail(*arguments, **more):
        if away[0]:
            raise OSError("away")
        return await hand_over(*arguments, **more)

    monkeypatch.setattr(hopper, "hand_over", hand_over_or_fail)
    await dialed.join(0)
    leg = await dialed.talking()
    item = dialed.here.work()["item"]
    await dialed.here.ask("SetOutcome", item=item, result="success", answers=form(dialed))
    leg.gone()
    await until(lambda: dialed.here.desk().call is None or dialed.here.desk().call.ended)
    assert (await dialed.attempts())[0]["ended"] is None, "the end waits for the beginning"
    away[0] = False
    row = await dialed.free(leg.number)
    assert (row["state"], row["result"]) == (State.CONCLUDED, "success")
    [attempt] = [each for each in await dialed.attempts() if each["item_id"] == item]
    assert attempt["user_id"] == dialed.here.team[0].id and attempt["result"] == "success"


async def test_a_call_through_an_outage_longer_than_a_lease_stays_the_agents(dialed, monkeypatch):
    hand_over, away = hopper.hand_over, [True]

    async def hand_over_or_fail(*arguments, **more):
        if away[0]:
            raise OSError("away")
        return await hand_over(*arguments, **more)

    monkeypatch.setattr(hopper, "hand_over", hand_over_or_fail)
    await dialed.join(0)
    leg = await dialed.talking()
    dialed.here.now += 5 * MINUTE
    await dialed.here.one.tick()  # the database is there again, and the lease is looked at before the call
    await dialed.drives.refresh()
    row = await dialed.item(leg.number)
    assert row["held_by"] == DIALER.id and row["held_until"] > dialed.here.now
    away[0] = False
    await until(lambda: dialed.db.fetchval("SELECT held_by FROM list_item WHERE id = $1", row["id"]))
    leg.gone()
    await dialed.here.phase("after")
    await dialed.here.ask("SetOutcome", item=row["id"], result="success", answers=form(dialed))
    row = await dialed.free(leg.number)
    assert (row["state"], row["result"]) == (State.CONCLUDED, "success")


async def test_nobody_else_has_an_item_before_the_end_of_its_call_is_written(dialed, monkeypatch):
    from dialer import dialed_call

    end, away = dialed_call.attempts.end, [True]

    async def end_or_fail(*arguments, **more):
        if away[0]:
            raise OSError("away")
        return await end(*arguments, **more)

    monkeypatch.setattr(dialed_call.attempts, "end", end_or_fail)
    await dialed.join(0)
    [leg] = await dialed.rung()
    leg.refuse(486)
    await until(lambda: dialed.drive.counts["dialed"] > 1)
    dialed.here.now += 90 * MINUTE  # by then a call nobody heard of again would be made again
    for _ in range(2):
        await dialed.here.one.tick()
        await dialed.turn()
    item = await dialed.item(leg.number)
    assert item["held_by"] == DIALER.id
    assert item["id"] not in [entry.item.id for entry in dialed.drive.hopper]
    away[0] = False
    row = await dialed.free(leg.number)
    assert (row["state"], row["last_situation"]) == (State.TRYING, "busy")
    assert row["due_at"] - dialed.here.now == 15 * MINUTE


async def test_a_change_is_taken_up_also_when_the_database_goes_away_amid_it(dialed, monkeypatch):
    window = dialing_figures.window
    await dialed.join(0)
    await dialed.rung()

    async def fail(*_):
        raise OSError("away")

    monkeypatch.setattr(dialing_figures, "window", fail)
    with pytest.raises(OSError):
        await dialed.set_mode("ratio", window="day", ratio=2)
    assert dialed.drive.dialing.mode == "progressive"
    monkeypatch.setattr(dialing_figures, "window", window)
    await dialed.turn()
    assert dialed.drive.dialing.mode == dialed.drive.pacing.mode == "ratio"


async def test_people_ahead_are_given_back_when_the_database_is_there_again(dialed, monkeypatch):
    give_back = hopper.give_back
    await dialed.join(0)
    await dialed.rung()
    held = "SELECT count(*) FROM list_item WHERE held_by IS NOT NULL"
    assert await dialed.db.fetchval(held) > 1

    async def fail(*_):
        raise OSError("away")

    monkeypatch.setattr(hopper, "give_back", fail)
    await campaigns.pause(dialed.db, None, dialed.here.campaign.id)
    with pytest.raises(OSError):
        await dialed.drives.poll()
    monkeypatch.setattr(hopper, "give_back", give_back)
    await dialed.drives.poll()
    assert await dialed.db.fetchval(held) == 1, "whoever rings"


async def test_a_try_that_was_counted_without_an_answer_is_none(dialed, monkeypatch):
    """The connection breaks between the database's commit and its answer."""
    from dialer import dialed_call

    begin, lost = dialed_call.attempts.begin, []

    async def begin_and_lose(*arguments, **more):
        attempt = await begin(*arguments, **more)
        if not lost:
            lost.append(attempt)
            raise OSError("away")
        return attempt

    monkeypatch.setattr(dialed_call.attempts, "begin", begin_and_lose)
    await dialed.join(0)
    await dialed.turn()
    row = await until(lambda: lost and dialed.free(lost[0].number))
    assert (row["attempts"], row["last_situation"]) == (0, "not_dialed")
    [attempt] = await dialed.here.tries(row["id"])
    assert attempt["ended"] and not attempt["dialed"]
    assert lost[0].number not in [leg.number for leg in dialed.here.rung]


# -- Blended, callbacks, preview -------------------------------------------------------------------------


async def inbound_waits(dialed):
    call = Call("inbound", "+5511999990000", "4000", dialed.floor.now(), queue="help")
    return call, asyncio.ensure_future(dialed.floor.find_agent(call))


async def test_only_a_blended_agent_is_given_calls_of_the_queues_too(dialed):
    user = dialed.here.team[0].id
    dialed.floor._queues_of = {user: frozenset({"help"})}
    await dialed.join(0)
    _, waiting = await inbound_waits(dialed)
    await asyncio.sleep(0)
    assert not waiting.done()
    await dialed.join(0, blended=True)
    assert await waiting == user


async def test_an_agents_own_callback_is_dialed_with_the_agent_on_the_line(dialed):
    user = dialed.here.team[0].id
    row = await dialed.db.fetchrow(
        """
        UPDATE list_item SET state = 1, due_at = $2, callback_owner = $1
         WHERE id = (SELECT max(id) FROM list_item) RETURNING *
        """,
        user,
        NOON - MINUTE,
    )
    await dialed.join(1)
    [other] = await dialed.rung()
    assert (await dialed.item(other.number))["id"] != row["id"], "nobody else is given it"
    await dialed.join(0)
    await dialed.turn()
    await until(lambda: (dialed.here.work() or {}).get("item") == row["id"])
    await until(lambda: dialed.here.work()["phase"] == "dialing")


async def test_an_agents_own_callback_waits_for_a_line(dialed):
    dialed.floor.phones.room = 0
    await dialed.db.execute(
        "UPDATE list_item SET state = 1, due_at = $2, callback_owner = $1",
        dialed.here.team[0].id,
        NOON - MINUTE,
    )
    await dialed.join(0)
    await dialed.turn()
    assert dialed.here.work() is None
    dialed.floor.phones.room = 1
    await dialed.turn()
    await dialed.here.phase("dialing")


async def test_preview_shows_the_person_and_dials_by_itself_after_a_while(fresh_db):
    async with dialing(fresh_db, "preview", preview_seconds=3) as dialed:
        await dialed.join(0)
        await until(lambda: dialed.floor.agent(dialed.here.team[0].id).state == READY)
        await dialed.turn()
        await dialed.turn()
        work = dialed.here.work()
        assert work["phase"] == "contact" and work["dial_at"]
        assert dialed.here.rung == []
        await until(lambda: dialed.here.rung)
        assert dialed.here.work()["phase"] == "dialing"


async def test_in_preview_nobody_is_dialed_over_what_the_agent_writes(fresh_db):
    async with dialing(fresh_db, "preview", preview_seconds=60) as dialed:
        await dialed.join(0)
        await until(lambda: dialed.floor.agent(dialed.here.team[0].id).state == READY)
        await dialed.turn()
        view, desk = dialed.here.work(), dialed.here.desk()
        work = dialed.here.one.works[desk.user.id]
        await dialed.here.ask("DraftItem", item=view["item"], values={"conversation": "Veio à loja"})
        assert view["dial_at"] and dialed.here.work()["dial_at"] is None
        await dialed.drives.counted_down(desk, work)
        assert dialed.here.work()["phase"] == "contact" and dialed.here.rung == []
        work.dial_at = NOON
        await dialed.drives.counted_down(desk, work)
        await until(lambda: dialed.here.rung)


# -- The supervisor --------------------------------------------------------------------------------------


async def test_slowly_is_one_call_for_each_free_agent(fresh_db):
    async with dialing(fresh_db, "ratio", ratio=4, list_of=20) as dialed:
        await dialed.drives.set_pace(None, dialed.here.campaign.id, "slow")
        await dialed.join(0)
        await dialed.rung()
        await dialed.settle()
        assert len(dialed.here.rung) == 1
        await dialed.drives.set_pace(None, dialed.here.campaign.id, "full")
        assert len(await dialed.rung(4)) == 4


async def test_the_live_view_says_what_is_in_the_air_and_why(dialed):
    await dialed.join(0)
    await dialed.rung()
    [view] = dialed.drives.views()
    assert view["air"]["ringing"] == 1 and view["agents"]["idle"] == 1
    assert view["why"]["code"] and view["mode"] == "progressive"


async def test_what_stands_in_one_agents_way_is_no_reason_of_the_campaign(fresh_db, monkeypatch):
    """The live page says why the campaign does not dial, not what an agent is busy with."""
    async with dialing(fresh_db, "preview", list_of=1) as dialed:
        await dialed.join(0)
        await until(lambda: dialed.floor.agent(dialed.here.team[0].id).state == READY)

        async def busy(floor, desk, arguments):
            raise Refused("Finish the call you are in first.", code="wrong_state")

        with monkeypatch.context() as patched:
            patched.setattr(dialed.here.one, "next_item", busy)
            await dialed.turn()
        assert dialed.drives.views()[0]["held_up"] == ""
        await dialed.db.execute("UPDATE list_item SET state = 4, result = 'success'")
        await dialed.turn()
        assert "Nobody is left to call" in dialed.drives.views()[0]["held_up"]


async def test_an_agents_desk_is_told_which_campaigns_it_may_join(dialed):
    desk = dialed.here.desk(0)
    screen = Screen()
    desk.attach(screen)
    await campaigns.pause(dialed.db, None, dialed.here.campaign.id)
    await dialed.turn()
    told = [each for each in screen.events if each["event"] == "DialingChanged"]
    assert told[-1]["dialing_choices"] == [] == desk.snapshot()["dialing_choices"]
    await campaigns.activate(dialed.db, None, dialed.here.campaign.id)
    await dialed.turn()
    told = [each for each in screen.events if each["event"] == "DialingChanged"]
    assert [each["id"] for each in told[-1]["dialing_choices"]] == [dialed.here.campaign.id]


async def test_who_does_not_belong_or_a_campaign_by_hand_is_refused(dialed):
    await dialed.set_mode("manual")
    with pytest.raises(Refused, match="by hand"):
        await dialed.join(0)


async def test_wrap_up_ends_only_when_form_and_outcome_are_there(dialed):
    await dialed.join(0)
    leg = await dialed.talking()
    leg.gone()
    await dialed.here.phase("after")
    assert dialed.floor.agent(dialed.here.team[0].id).state == WRAP_UP


# -- What went before ------------------------------------------------------------------------------------


async def test_the_limit_goes_on_where_it_was_when_the_server_starts_again(fresh_db):
    async with dialing(
        fresh_db, "ratio", ratio=2, abandon_after_seconds=0.5, team_of=1, window="day"
    ) as dialed:
        await dialed.join(0)
        one, other = (await dialed.rung(2))[:2]
        one.lift()
        await dialed.here.phase("talking")
        other.lift()
        await dialed.until_tried("abandoned")
        await dialed.free(other.number)
        again = Drives(dialed.floor, dialed.db, dialed.here.one.gate, dialed.here.one)
        await again.poll()
        tally = again.drives[dialed.here.campaign.id].pacing.tally
        assert (tally.live, tally.abandoned) == (2, 1)


async def test_another_mode_holds_from_the_next_decision_and_forgets_nothing(dialed):
    await dialed.join(0)
    await dialed.rung()
    dialed.drive.pacing.tally.add(dialed.floor.now(), 10, 1)
    await dialed.set_mode("ratio", ratio=3, abandon_limit_percent=50)
    assert dialed.drive.pacing.tally.live == 10
    assert len(await dialed.rung(3)) == 3


# -- Who lifted ------------------------------------------------------------------------------------------


def hears(dialed, kind):
    """The media engine tells who lifted."""

    async def detect(leg, thresholds):
        return Decision(kind, 900, "test")

    dialed.floor.phones.engine.detects = True
    dialed.floor.phones.engine.detect = detect


async def test_a_machine_reaches_no_agent_and_the_next_person_is_dialed(fresh_db):
    async with dialing(fresh_db, machine="before") as dialed:
        hears(dialed, Kind.MACHINE)
        await dialed.join(0)
        [leg] = await dialed.rung()
        leg.lift()
        [attempt] = await dialed.until_tried("voicemail")
        row = await dialed.free(leg.number)
        assert (attempt["detection"], attempt["detection_ms"]) == ("machine", 900)
        assert row["state"] == State.TRYING and dialed.here.work() is None
        assert dialed.drive.counts["machines"] == 1 and dialed.drive.picture.dropped == 0
        await dialed.rung()
        assert len(dialed.here.rung) == 2


async def test_a_machine_is_left_the_message_after_its_greeting(fresh_db):
    settings = {"machine": "before", "machine_action": "message", "machine_message": "recado.wav"}
    async with dialing(fresh_db, **settings) as dialed:
        hears(dialed, Kind.MACHINE)
        await dialed.join(0)
        [leg] = await dialed.rung()
        leg.lift()
        await dialed.until_tried("voicemail")
        orders = [order[0] for order in dialed.floor.phones.engine.orders]
        said = [o for o in dialed.floor.phones.engine.orders if o[0] == "play_once"]
        assert said[0][2].endswith("messages/recado.wav")
        assert orders.index("greeting_end") < orders.index("play_once")


async def test_a_person_told_from_a_machine_is_with_an_agent_and_what_was_heard_is_kept(fresh_db):
    async with dialing(fresh_db, machine="before") as dialed:
        hears(dialed, Kind.HUMAN)
        await dialed.join(0)
        leg = await dialed.talking()
        leg.gone()
        await until(lambda: dialed.db.fetchval("SELECT detection = 'human' AND trunk_id > 0 FROM attempt"))


async def test_after_connecting_a_machine_is_taken_from_the_agent(fresh_db):
    async with dialing(fresh_db, machine="after") as dialed:
        hears(dialed, Kind.MACHINE)
        await dialed.join(0)
        [leg] = await dialed.rung()
        leg.lift()
        await dialed.until_tried("voicemail")
        await until(lambda: dialed.here.work() is None and dialed.here.desk().call is None)
        assert leg.over.done()
        await dialed.rung()


async def test_an_engine_that_cannot_detect_gives_everybody_to_agents(fresh_db):
    async with dialing(fresh_db, machine="before") as dialed:
        await dialed.join(0)
        await dialed.talking()
