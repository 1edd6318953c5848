"""Attempts and callbacks: what counts as a try, what is refused at the moment of dialing, whose it is."""

import asyncio
import datetime

import pytest

from crm import attempts, audit, blocklist, callbacks, campaigns, items
from crm.item_states import Next, Result, Situation, State
from crm.refused import Refused
from dialer import retry
from tests.crm.campaigning import MINUTE, NOON, agents, boss, campaign, people, put

NUMBER = "+5511900000000"


@pytest.fixture
async def team(fresh_db):
    return await agents(fresh_db, 3)


@pytest.fixture
async def winback(fresh_db, team):
    return await campaign(fresh_db, team, attempts_max=4, number_attempts_per_day_max=2)


@pytest.fixture
async def item(fresh_db, team, winback):
    """In the first agent's hands."""
    [contact_id] = await people(fresh_db, 1)
    await put(fresh_db, winback, contact_id)
    return await items.claim_next(fresh_db, winback, team[0], NOON, 3600)


async def refused_as(code, act):
    with pytest.raises(Refused) as refused:
        await act
    assert refused.value.code == code, refused.value
    return str(refused.value)


async def test_an_attempt_is_counted_when_it_begins_and_ends_with_what_became_of_it(
    fresh_db, team, winback, item
):
    call = "3b6f9c1e-8d0a-4f3a-9a68-0d7f3a1b2c4d"
    begun = await attempts.begin(fresh_db, team[0], item.id, NUMBER, NOON, call)
    assert (begun.attempt_number, begun.situation, begun.dialed) == (1, Situation.DIALING, True)
    now = await items.by_id(fresh_db, item.id)
    assert (now.state, now.attempts, now.last_attempt_at) == (State.TRYING, 1, NOON)
    assert now.due_at > NOON  # a server that dies now leaves an item that comes back later, not at once
    rules = retry.Rules(4, {"busy": 7}, "free")
    next = retry.after(retry.Tried(Situation.BUSY, now.state, 1, 1), rules, team[0].id, NOON + MINUTE)
    ended = await attempts.end(
        fresh_db, begun, Situation.BUSY, NOON + MINUTE, next=next, sip_status=486, cause="Busy Here"
    )
    assert (ended.situation, ended.sip_status, ended.ended) == (Situation.BUSY, 486, NOON + MINUTE)
    now = await items.by_id(fresh_db, item.id)
    assert (now.last_situation, now.due_at, now.held_by) == ("busy", NOON + MINUTE * 8, team[0].id)
    await attempts.conclude(fresh_db, ended, None, note="engaged all day", handle_seconds=12)
    [kept] = await attempts.of_item(fresh_db, item.id)
    assert (kept.note, kept.handle_seconds, kept.sip_status, kept.agent) == (
        "engaged all day",
        12,
        486,
        "Agent 1",
    )
    assert await attempts.by_call(fresh_db, call) == kept


async def test_the_end_of_a_call_changes_nothing_of_an_item_that_went_on(fresh_db, team, winback, item):
    first = await attempts.begin(fresh_db, team[0], item.id, NUMBER, NOON)
    second = await attempts.begin(fresh_db, team[0], item.id, NUMBER, NOON + MINUTE * 721)  # given up on
    late = Next(State.TRYING, "", NOON)
    await attempts.end(fresh_db, first, Situation.NO_ANSWER, NOON + MINUTE * 722, next=late)
    assert (await items.by_id(fresh_db, item.id)).last_situation == "dialing"
    at = NOON + MINUTE * 723
    await attempts.end(fresh_db, second, Situation.COMPLETED, at, answered=at)
    success = Next(State.CONCLUDED, "", result=Result.SUCCESS)
    done = await items.finish(fresh_db, team[0], item.id, success, at + MINUTE)
    assert (done.state, done.result, done.held_by) == (State.CONCLUDED, Result.SUCCESS, None)
    await attempts.end(fresh_db, second, Situation.FAILED, at + MINUTE, next=late)
    assert (await items.by_id(fresh_db, item.id)).state is State.CONCLUDED


async def test_a_number_is_dialed_no_more_often_in_a_day_than_allowed_in_any_campaign(
    fresh_db, team, winback, item
):
    other = await campaign(fresh_db, team, name="Other", number_attempts_per_day_max=3)
    await put(fresh_db, other, item.contact_id)
    theirs = await items.claim_next(fresh_db, other, team[1], NOON)
    for user, each in ((team[1], theirs), (team[0], item)):
        tried = await attempts.begin(fresh_db, user, each.id, NUMBER, NOON)
        await attempts.end(fresh_db, tried, Situation.BUSY, NOON)
    said = await refused_as("day_limit", attempts.begin(fresh_db, team[0], item.id, NUMBER, NOON))
    assert said == "(11) 90000-0000 was tried 2 times today, and the campaign allows 2."
    third = await attempts.begin(fresh_db, team[1], theirs.id, NUMBER, NOON)
    # what never went out to the carrier is not a call to the number
    await attempts.end(fresh_db, third, Situation.NOT_DIALED, NOON, dialed=False)
    assert (await attempts.standing(fresh_db, item.id, NUMBER, NOON)).today == 2
    tomorrow = NOON + datetime.timedelta(hours=12)  # midnight there
    assert (await attempts.standing(fresh_db, item.id, NUMBER, tomorrow)).today == 0
    await items.renew(fresh_db, team[0].id, item.id, tomorrow, 60)
    await attempts.begin(fresh_db, team[0], item.id, NUMBER, tomorrow)


async def test_of_agents_dialing_one_person_at_once_one_does_and_the_limit_holds(fresh_db, team):
    [contact_id] = await people(fresh_db, 1)
    crowd = await agents(fresh_db, 8, "crowd")
    held = []
    for n, user in enumerate(crowd):
        made = await campaign(fresh_db, [user], name=f"Campaign {n}", number_attempts_per_day_max=3)
        await put(fresh_db, made, contact_id)
        held.append((user, await items.claim_next(fresh_db, made, user, NOON)))
    for refused in ("in_call", "in_call", "day_limit"):
        answers = await asyncio.gather(
            *(attempts.begin(fresh_db, user, item.id, NUMBER, NOON) for user, item in held),
            return_exceptions=True,
        )
        [begun] = [each for each in answers if isinstance(each, attempts.Attempt)]
        assert {each.code for each in answers if isinstance(each, Refused)} == {refused}
        await attempts.end(fresh_db, begun, Situation.BUSY, NOON)


async def test_nobody_is_dialed_at_one_number_while_called_at_another(fresh_db, team, item):
    await fresh_db.execute("INSERT INTO contact_phone VALUES ($1, '+5511922222222', 1)", item.contact_id)
    other = await campaign(fresh_db, team, name="Other")
    await put(fresh_db, other, item.contact_id)
    theirs = await items.claim_next(fresh_db, other, team[1], NOON)
    begun = await attempts.begin(fresh_db, team[0], item.id, NUMBER, NOON)
    said = await refused_as(
        "in_call", attempts.begin(fresh_db, team[1], theirs.id, "+5511922222222", NOON + MINUTE)
    )
    assert said == "Person 1 is being called at this moment."
    await attempts.end(fresh_db, begun, Situation.BUSY, NOON + MINUTE)
    await attempts.begin(fresh_db, team[1], theirs.id, "+5511922222222", NOON + MINUTE)


async def test_no_way_of_dialing_gets_round_the_rules(fresh_db, team, winback, item):
    lead = await boss(fresh_db)

    def dial(user=team[0], number=NUMBER, at=NOON):
        return attempts.begin(fresh_db, user, item.id, number, at)

    await refused_as("held", dial(team[1]))
    await refused_as("not_a_number", dial(number="+5511911111111"))
    await blocklist.block(fresh_db, lead, NUMBER, None, "asked us not to")
    await refused_as("blocked", dial())
    await fresh_db.execute("DELETE FROM blocked_number")
    await campaigns.pause(fresh_db, lead, winback.id)
    await refused_as("campaign_closed", dial())
    await campaigns.activate(fresh_db, lead, winback.id)
    await fresh_db.execute("UPDATE list_item SET attempts = 4")
    await refused_as("attempts_max", dial())
    assert await attempts.of_item(fresh_db, item.id) == []
    await fresh_db.execute("UPDATE list_item SET state = 1, due_at = $1", NOON)  # but a promise is kept
    assert (await dial()).attempt_number == 5


async def test_a_wrong_number_is_never_dialed_again_and_the_others_are(fresh_db, team, winback, item):
    await fresh_db.execute("INSERT INTO contact_phone VALUES ($1, '+5511922222222', 1)", item.contact_id)
    attempt = await attempts.begin(fresh_db, team[0], item.id, NUMBER, NOON)
    attempt = await attempts.end(fresh_db, attempt, Situation.COMPLETED, NOON, answered=NOON)
    tried = retry.Tried(Situation.COMPLETED, item.state, attempt.attempt_number, 1, wrong_number=True)
    rules = retry.Rules(4, {}, "free")
    await items.finish(
        fresh_db, team[0], item.id, retry.after(tried, rules, team[0].id, NOON), NOON, number=NUMBER
    )
    again = await items.claim_next(fresh_db, winback, team[0], NOON)
    assert again.id == item.id
    numbers = await items.phones(fresh_db, winback.id, item.contact_id)
    assert [(each.number, each.callable) for each in numbers] == [(NUMBER, False), ("+5511922222222", True)]
    await refused_as("wrong_number", attempts.begin(fresh_db, team[0], item.id, NUMBER, NOON))
    await attempts.begin(fresh_db, team[0], item.id, "+5511922222222", NOON)


async def test_an_attempt_finds_its_month_whenever_it_is_made(fresh_db, team, winback, item):
    for at in (NOON + datetime.timedelta(days=400), NOON + datetime.timedelta(days=2000)):
        await items.renew(fresh_db, team[0].id, item.id, at, 60)
        await attempts.without_call(fresh_db, team[0], item.id, Situation.BUSY, at)
    assert len(await attempts.of_item(fresh_db, item.id)) == 2


async def test_calls_cut_off_by_a_restart_are_closed_at_the_next_start(fresh_db, team, winback, item):
    begun = await attempts.begin(fresh_db, team[0], item.id, NUMBER, NOON)
    assert await attempts.close_left_open(fresh_db, NOON + MINUTE) == 1
    [kept] = await attempts.of_item(fresh_db, item.id)
    assert (kept.id, kept.situation, kept.cause) == (begun.id, Situation.DISCARDED_CTI, "restart")
    assert await attempts.close_left_open(fresh_db, NOON + MINUTE) == 0


# -- Callbacks ---------------------------------------------------------------------------------------------


async def promised(db, made, contact_id, owner=None, due=NOON - MINUTE):
    return await put(db, made, contact_id, state=1, attempts=1, due_at=due, callback_owner=owner and owner.id)


async def test_each_agent_sees_the_callbacks_he_may_make(fresh_db, team):
    ana, bia, _ = team
    made = await campaign(fresh_db, [ana, bia], callback_mode="optional")
    alien = await campaign(fresh_db, [bia], name="Other")
    ids = await people(fresh_db, 4)
    free = await promised(fresh_db, made, ids[0], due=NOON + MINUTE)
    hers = await promised(fresh_db, made, ids[1], ana)
    his = await promised(fresh_db, made, ids[2], bia, NOON - MINUTE * 9)
    theirs = await promised(fresh_db, alien, ids[3])

    async def seen(user, until=None):
        return [each.item_id for each in await callbacks.of_user(fresh_db, user, until)]

    assert await seen(ana) == [hers, free] and await seen(ana, NOON) == [hers]
    assert await seen(bia) == [his, theirs, free] and await seen(team[2]) == []
    assert await callbacks.overdue_count(fresh_db, ana, NOON) == 1
    assert await callbacks.overdue_count(fresh_db, bia, NOON, made.id) == 1
    assert [each.item_id for each in await callbacks.of_campaign(fresh_db, made.id)] == [his, hers, free]
    waiting = await callbacks.by_agent(fresh_db, made.id, NOON)
    assert [(each.agent, each.all, each.overdue) for each in waiting] == [
        ("Agent 1", 1, 1),
        ("Agent 2", 1, 1),
        ("", 1, 0),
    ]


async def test_a_callback_is_moved_or_deleted_by_whose_it_is(fresh_db, team):
    ana, bia, _ = team
    made = await campaign(fresh_db, [ana, bia], callback_mode="optional")
    item_id = await promised(fresh_db, made, (await people(fresh_db, 1))[0], ana)
    later = NOON + MINUTE * 30
    await refused_as("others_callback", callbacks.move(fresh_db, bia, item_id, NOON, due_at=later))
    for wrong in ({"due_at": NOON - MINUTE}, {"due_at": None}, {"phone": "abc"}, {"owner": bia.id}):
        await refused_as("form", callbacks.move(fresh_db, ana, item_id, NOON, **wrong))
    await callbacks.move(fresh_db, ana, item_id, NOON, due_at=later, owner=None, phone="11 3333-4444")
    [moved] = await callbacks.of_campaign(fresh_db, made.id)
    assert (moved.due_at, moved.owner, moved.phone) == (later, None, "+551133334444")
    await refused_as("form", callbacks.remove(fresh_db, bia, item_id, NOON, ""))
    await callbacks.remove(fresh_db, bia, item_id, NOON, "he called us")
    assert await callbacks.of_campaign(fresh_db, made.id) == []
    item = await items.claim_next(fresh_db, made, bia, NOON)
    assert (item.id, item.state) == (item_id, State.TRYING)
    await refused_as("not_found", callbacks.remove(fresh_db, bia, item_id, NOON, "again"))
    said = [entry.action for entry in await audit.recent(fresh_db) if entry.action.startswith("callback")]
    assert said == ["callback.remove", "callback.move"]


async def test_a_supervisor_gives_an_absent_agents_callbacks_to_another(fresh_db, team):
    ana, bia, carl = team
    lead = await boss(fresh_db)
    made = await campaign(fresh_db, [ana, bia], callback_mode="agent")
    for contact_id in await people(fresh_db, 3):
        await promised(fresh_db, made, contact_id, ana)
    await refused_as("not_allowed", callbacks.give(fresh_db, bia, ana.id, bia.id, made.id))
    for wrong in (None, carl.id):
        await refused_as("form", callbacks.give(fresh_db, lead, ana.id, wrong, made.id))
    assert await callbacks.give(fresh_db, lead, ana.id, bia.id, made.id) == 3
    assert await items.claim_next(fresh_db, made, ana, NOON) is None
    assert (await items.claim_next(fresh_db, made, bia, NOON)).callback_owner == bia.id
