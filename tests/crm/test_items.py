"""Items: the order of dialing, one hand at a time, leases, and where an item goes."""

import asyncio
import datetime
import random

import pytest

from crm import attempts, audit, campaigns, items, progress
from crm.db import connect
from crm.item_states import Next, Result, Situation, State
from crm.items import Criteria
from crm.refused import Refused
from dialer import retry
from tests.crm.campaigning import MINUTE, NOON, agents, boss, campaign, people, put

ANYBODY = Criteria()
SECOND = datetime.timedelta(seconds=1)


@pytest.fixture
async def team(fresh_db):
    return await agents(fresh_db, 3)


@pytest.fixture
async def winback(fresh_db, team):
    return await campaign(fresh_db, team, callback_mode="optional", attempts_max=5)


def expected(rows, user, now):
    """UAU-47 in plain Python over all rows: the id of the next item, None when there is none."""
    mine = [row["id"] for row in rows if row["held_by"] == user.id]
    if mine:
        return mine[0]
    free = [row for row in rows if row["held_by"] is None]

    def first(chosen, *keys):
        return min(chosen, key=lambda row: tuple(row[key] for key in keys), default=None)

    due = [row for row in free if row["state"] in (1, 3) and row["due_at"] <= now]
    callback = first(
        [row for row in due if row["callback_owner"] in (None, user.id)], "due_at", "priority", "id"
    )
    new = first([row for row in free if row["state"] == 0 and row["due_at"] is None], "priority", "id")
    tried = first(
        [row for row in free if row["state"] == 2 and row["due_at"] <= now],
        "attempts", "due_at", "priority", "id",
    )  # fmt: skip
    chosen = callback or new or tried
    return chosen["id"] if chosen else None


async def random_list(db, made, team, n, seed):
    """Items of every state and owner, due before and after noon."""
    choice = random.Random(seed)
    for contact_id in await people(db, n):
        state = choice.choice([0, 0, 1, 1, 2, 2, 3, 4, 5, 6])
        tried = choice.randint(1, 4) if state in (2, 3) else 0
        values = {"state": state, "priority": choice.randint(0, 2), "attempts": tried}
        if state in (1, 2, 3):
            values["due_at"] = NOON + MINUTE * choice.randint(-90, 20)
        if state in (1, 3):
            values["callback_owner"] = choice.choice([None, *(each.id for each in team)])
        if state == 4:
            values["result"] = "success"
        await put(db, made, contact_id, **values)


# -- Order -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
async def test_agents_in_turn_are_given_the_order_of_uau_47(fresh_db, team, winback, seed):
    await random_list(fresh_db, winback, team, 60, seed)
    choice = random.Random(1000 + seed)
    rules = retry.Rules(winback.attempts_max, {}, winback.callback_mode)
    now, given = NOON, 0
    while True:
        user = choice.choice(team)
        await items.sweep_expired(fresh_db, now)
        rows = await fresh_db.fetch("SELECT * FROM list_item ORDER BY id")
        item = await items.claim_next(fresh_db, winback, user, now, 60)
        assert (item.id if item else None) == expected(rows, user, now)
        if item is None and all(expected(rows, each, now) is None for each in team):
            break
        now += SECOND * choice.randint(0, 20)
        if item is not None and choice.random() < 0.8:  # else it stays in his hands
            given += 1
            situation = choice.choice([Situation.BUSY, Situation.NO_ANSWER, Situation.COMPLETED])
            result = choice.choice(list(Result)) if situation is Situation.COMPLETED else None
            attempt = await attempts.without_call(fresh_db, user, item.id, situation, now)
            tried = retry.Tried(
                situation, item.state, attempt.attempt_number, 1, result=result,
                callback_at=now + MINUTE * choice.randint(1, 3), link_agent=choice.random() < 0.5,
            )  # fmt: skip
            await items.finish(fresh_db, user, item.id, retry.after(tried, rules, user.id, now), now)
    assert given > 30


async def test_an_overdue_callback_jumps_the_queue_and_says_so(fresh_db, team, winback):
    new, later, overdue, own = await people(fresh_db, 4)
    await put(fresh_db, winback, new, priority=-5)
    await put(fresh_db, winback, later, state=1, due_at=NOON + MINUTE)
    free = await put(fresh_db, winback, overdue, state=1, due_at=NOON - MINUTE)
    mine = await put(fresh_db, winback, own, state=3, attempts=1, due_at=NOON, callback_owner=team[0].id)
    item = await items.claim_next(fresh_db, winback, team[0], NOON)
    assert (item.id, item.is_overdue(NOON)) == (free, True)
    await items.finish(fresh_db, team[0], item.id, Next(State.CANCELLED, ""), NOON)
    assert (await items.claim_next(fresh_db, winback, team[0], NOON)).id == mine
    assert (await items.claim_next(fresh_db, winback, team[1], NOON)).contact_id == new


async def test_a_callback_by_agent_goes_to_nobody_else_and_a_free_one_to_anybody(fresh_db, team, winback):
    ana, bia, _ = team
    first, second = await people(fresh_db, 2)
    hers = await put(fresh_db, winback, first, state=1, due_at=NOON - MINUTE, callback_owner=ana.id)
    assert await items.claim_next(fresh_db, winback, bia, NOON) is None
    with pytest.raises(Refused, match="Agent 1") as refused:
        await items.claim_this(fresh_db, hers, bia, NOON)
    assert refused.value.code == "others_callback"
    free = await put(fresh_db, winback, second, state=1, due_at=NOON - MINUTE)
    assert (await items.claim_next(fresh_db, winback, bia, NOON)).id == free
    assert (await items.claim_next(fresh_db, winback, ana, NOON)).id == hers


# -- Many hands --------------------------------------------------------------------------------------------


async def test_no_item_is_in_two_hands_whatever_many_agents_do_at_once(fresh_database_url):
    db = await connect(fresh_database_url, connections_max=40)
    try:
        team = await agents(db, 30)
        made = await campaign(db, team, callback_mode="optional", attempts_max=3)
        await random_list(db, made, team, 400, 7)
        owners = dict(await db.fetch("SELECT id, callback_owner FROM list_item"))
        in_hands: dict[int, int] = {}  # by our own book, kept apart from the database
        clock = [NOON]
        rules = retry.Rules(made.attempts_max, {}, made.callback_mode)
        worked, taken_back = [], 0

        async def work(user, seed):
            nonlocal taken_back
            choice = random.Random(seed)
            misses = 0
            while misses < 3:
                now = clock[0]
                dies = choice.random() < 0.05
                lease = 60 if dies else 86_400
                item = await items.claim_next(db, made, user, now, lease)
                if item is None:
                    misses += 1
                    clock[0] += MINUTE  # later callbacks and retries come due
                    continue
                assert in_hands.setdefault(item.id, user.id) == user.id, "in two hands"
                assert owners.get(item.id) in (None, user.id)
                if choice.random() < 0.1:  # looks at it again: it is still the same one
                    assert (await items.claim_next(db, made, user, now, lease)).id == item.id
                situation = choice.choice([Situation.BUSY, Situation.NO_ANSWER, Situation.COMPLETED])
                result = choice.choice([Result.SUCCESS, Result.FAILURE, Result.CALLBACK])
                result = result if situation is Situation.COMPLETED else None
                attempt = await attempts.without_call(db, user, item.id, situation, now)
                tried = retry.Tried(
                    situation, item.state, attempt.attempt_number, 1, result=result,
                    callback_at=clock[0] + MINUTE * 2, link_agent=choice.random() < 0.5,
                )  # fmt: skip
                next = retry.after(tried, rules, user.id, now)
                owners[item.id] = (
                    next.callback_owner if next.state is not State.TRYING_CALLBACK else owners[item.id]
                )
                del in_hands[item.id]
                if dies:  # the lease ends some minutes on, and the item is somebody's again
                    owners[item.id] = item.callback_owner
                    taken_back += 1
                else:
                    await items.finish(db, user, item.id, next, now)
                    worked.append((item.id, attempt.attempt_number))

        await asyncio.gather(*(work(user, n) for n, user in enumerate(team)))
        assert len(worked) > 300 and taken_back and not in_hands
        counted = dict(await db.fetch("SELECT item_id, count(*) FROM attempt GROUP BY item_id"))
        assert len({(a, b) for a, b in worked}) == len(worked), "an attempt counted twice"
        for row in await db.fetch("SELECT id, attempts, state, held_by FROM list_item"):
            assert row["held_by"] is None
            assert row["attempts"] >= counted.get(row["id"], 0)
    finally:
        await db.close()


async def test_claims_at_the_same_moment_are_as_many_items_as_agents(fresh_database_url):
    db = await connect(fresh_database_url, connections_max=40)
    try:
        team = await agents(db, 30)
        made = await campaign(db, team)
        for contact_id in await people(db, 45):
            await put(db, made, contact_id)
        taken = await asyncio.gather(*(items.claim_next(db, made, user, NOON) for user in team))
        assert [item.held_by for item in taken] == [user.id for user in team]
        first_thirty = await db.fetch("SELECT id FROM list_item ORDER BY priority, id LIMIT 30")
        assert {item.id for item in taken} == {row["id"] for row in first_thirty}
        await db.execute("UPDATE list_item SET held_by = NULL, held_until = NULL, held_since = NULL")
        twice = await asyncio.gather(*(items.claim_next(db, made, user, NOON) for user in team * 2))
        assert [item.held_by for item in twice] == [user.id for user in team * 2]
        assert len({item.id for item in twice}) == 30, "two clicks at once are one item"
    finally:
        await db.close()


async def test_one_item_wanted_by_all_is_one_agents_and_the_others_are_told_whose(fresh_db):
    team = await agents(fresh_db, 10)
    made = await campaign(fresh_db, team)
    [contact_id] = await people(fresh_db, 1)
    item_id = await put(fresh_db, made, contact_id)
    answers = await asyncio.gather(
        *(items.claim_this(fresh_db, item_id, user, NOON) for user in team), return_exceptions=True
    )
    winners = [each for each in answers if isinstance(each, items.Item)]
    assert len(winners) == 1
    holder = next(user for user in team if user.id == winners[0].held_by)
    refusals = [each for each in answers if isinstance(each, Refused)]
    assert len(refusals) == 9
    assert all(each.code == "held" and holder.name in str(each) for each in refusals)


async def test_an_agent_holds_one_item_at_most(fresh_db, team, winback):
    other = await campaign(fresh_db, team, name="Other")
    first, second = await people(fresh_db, 2)
    a = await put(fresh_db, winback, first)
    b = await put(fresh_db, winback, second)
    c = await put(fresh_db, other, first)
    assert (await items.claim_next(fresh_db, winback, team[0], NOON)).id == a
    for take in (
        items.claim_this(fresh_db, b, team[0], NOON),
        items.claim_this(fresh_db, c, team[0], NOON),
        items.claim_next(fresh_db, other, team[0], NOON),
    ):
        with pytest.raises(Refused, match="Person 1") as refused:
            await take
        assert refused.value.code == "has_another" and refused.value.details["item_id"] == a
    later = NOON + MINUTE * 5  # the lease has ended, though nobody swept
    assert (await items.claim_next(fresh_db, other, team[0], later)).id == c
    assert (await items.by_id(fresh_db, a)).held_by is None


# -- Leases ------------------------------------------------------------------------------------------------


async def test_a_lease_that_ends_returns_the_item_with_nothing_lost(fresh_db, team, winback):
    [contact_id] = await people(fresh_db, 1)
    item_id = await put(
        fresh_db, winback, contact_id, state=3, attempts=2, due_at=NOON - MINUTE, callback_note="after lunch",
        callback_owner=team[0].id, callback_phone="+5511900000000",
    )  # fmt: skip
    before = await items.by_id(fresh_db, item_id)
    await items.claim_next(fresh_db, winback, team[0], NOON, 60)
    assert await items.renew(fresh_db, team[0].id, item_id, NOON + MINUTE / 2, 60)
    assert await items.sweep_expired(fresh_db, NOON + MINUTE) == []
    swept = await items.sweep_expired(fresh_db, NOON + MINUTE * 2)
    assert [(each.item_id, each.agent, each.contact) for each in swept] == [(item_id, "Agent 1", "Person 1")]
    assert await items.by_id(fresh_db, item_id) == before
    assert not await items.renew(fresh_db, team[0].id, item_id, NOON + MINUTE * 2)
    with pytest.raises(Refused, match="no longer yours"):
        await items.finish(fresh_db, team[0], item_id, Next(State.CANCELLED, ""), NOON)


async def test_an_agent_whose_item_went_to_another_is_told_who_has_it(fresh_db, team, winback):
    [contact_id] = await people(fresh_db, 1)
    item_id = await put(fresh_db, winback, contact_id)
    await items.claim_next(fresh_db, winback, team[0], NOON, 60)
    assert await items.claim_next(fresh_db, winback, team[1], NOON + SECOND * 59) is None
    taken = await items.claim_next(fresh_db, winback, team[1], NOON + SECOND * 61)  # swept on the way
    assert (taken.id, taken.held_by) == (item_id, team[1].id)
    with pytest.raises(Refused, match="Agent 2") as refused:
        await items.finish(fresh_db, team[0], item_id, Next(State.CONCLUDED, "", result=Result.SUCCESS), NOON)
    assert refused.value.code == "held"
    with pytest.raises(Refused, match="Agent 2"):
        await attempts.begin(fresh_db, team[0], item_id, "+5511900000000", NOON)
    assert (await items.by_id(fresh_db, item_id)).state is State.NOT_WORKED


async def test_a_supervisor_frees_items_with_a_reason_that_is_kept(fresh_db, team, winback):
    lead = await boss(fresh_db)
    first, second = await people(fresh_db, 2)
    a = await put(fresh_db, winback, first)
    await put(fresh_db, winback, second)
    await items.claim_next(fresh_db, winback, team[0], NOON)
    await items.claim_next(fresh_db, winback, team[1], NOON)
    assert [(each.contact, each.agent) for each in await items.held(fresh_db, winback.id)] == [
        ("Person 1", "Agent 1"),
        ("Person 2", "Agent 2"),
    ]
    with pytest.raises(Refused):
        await items.release_held(fresh_db, team[1], [a], "mine now")
    with pytest.raises(Refused):
        await items.release_held(fresh_db, lead, [a], " ")
    freed = await items.release_held(fresh_db, lead, [a, a, 999], "browser gone")
    assert [(each.item_id, each.user_id) for each in freed] == [(a, team[0].id)]
    assert len(await items.held(fresh_db)) == 1
    entry = (await audit.recent(fresh_db))[0]
    assert entry.action == "item.release" and entry.after["reason"] == "browser gone" and entry.by == "boss"
    assert await items.release_held(fresh_db, lead, [a], "again") == []


# -- When nobody is called ---------------------------------------------------------------------------------


async def test_nothing_is_claimed_outside_hours_validity_status_or_membership(fresh_db, team):
    [contact_id] = await people(fresh_db, 1)
    stranger = (await agents(fresh_db, 1, "stranger"))[0]
    day = NOON.date()
    made = await campaign(
        fresh_db, team[:1], name="Hours", hours_preset="08-12_14-18", permanent=False, valid_from=day,
        valid_until=day,
    )  # fmt: skip
    item_id = await put(fresh_db, made, contact_id)
    morning = NOON - datetime.timedelta(hours=2)  # ten o'clock
    for at in (NOON, morning - datetime.timedelta(days=1), morning + datetime.timedelta(days=1)):
        with pytest.raises(Refused) as refused:
            await items.claim_next(fresh_db, made, team[0], at)
        assert refused.value.code == "campaign_closed"
        with pytest.raises(Refused):
            await items.claim_this(fresh_db, item_id, team[0], at)
    for user in (team[1], stranger):
        with pytest.raises(Refused) as refused:
            await items.claim_next(fresh_db, made, user, morning)
        assert refused.value.code == "not_allowed"
    await campaigns.pause(fresh_db, None, made.id)
    with pytest.raises(Refused):  # known as active by whoever read it before
        await items.claim_next(fresh_db, made, team[0], morning)
    await campaigns.activate(fresh_db, None, made.id)
    held = await items.claim_next(fresh_db, made, team[0], morning)
    assert held.id == item_id
    with pytest.raises(Refused):
        await attempts.begin(fresh_db, team[0], item_id, "+5511900000000", NOON)


async def test_whom_no_number_reaches_at_this_hour_waits_and_the_next_is_given(fresh_db, team, winback):
    rio = await people(fresh_db, 30, "+5521{:09d}")
    [paulista] = await people(fresh_db, 1)
    for contact_id in rio:
        await put(fresh_db, winback, contact_id)
    callback = await put(fresh_db, winback, paulista, state=2, attempts=1, due_at=NOON - MINUTE)
    opens = NOON + datetime.timedelta(hours=20)
    closed = {"21": opens, "22": opens}
    assert (await items.claim_next(fresh_db, winback, team[0], NOON, 60, closed)).id == callback
    assert await items.claim_next(fresh_db, winback, team[1], NOON, 60, closed) is None
    assert await fresh_db.fetchval("SELECT count(*) FROM list_item WHERE due_at = $1", opens) == 30
    why = await items.why_not_called(
        fresh_db, (await fresh_db.fetchval("SELECT min(id) FROM list_item")), NOON, closed
    )
    assert {"window"} == {each.rule for each in why}
    assert await items.reopen_deferred(fresh_db, NOON) == 0
    assert await items.reopen_deferred(fresh_db, opens) == 30
    first = await items.claim_next(fresh_db, winback, team[1], opens, 60, {})
    assert first.contact_id == rio[0]


async def test_whoever_has_only_blocked_or_wrong_numbers_is_taken_off_the_list(fresh_db, team, winback):
    first, second, third = await people(fresh_db, 3)
    for contact_id in (first, second, third):
        await put(fresh_db, winback, contact_id)
    await fresh_db.execute("INSERT INTO blocked_number (number) VALUES ('+5511900000000')")
    await fresh_db.execute(
        "INSERT INTO wrong_number (contact_id, number, at) VALUES ($1, '+5511900000001', now())", second
    )
    assert (await items.claim_next(fresh_db, winback, team[0], NOON)).contact_id == third
    states = await fresh_db.fetch("SELECT state FROM list_item ORDER BY id LIMIT 2")
    assert [row["state"] for row in states] == [State.CANCELLED, State.CANCELLED]


async def test_what_came_to_its_end_in_an_agents_hands_is_not_given_again(fresh_db, team, winback):
    """The only number does not exist: the window stays with the agent, and *Next* brings somebody else."""
    dead, other = await people(fresh_db, 2)
    item = await put(
        fresh_db, winback, dead, state=4, result="failure", held_by=team[0].id, held_until=NOON + MINUTE
    )
    await fresh_db.execute(
        "INSERT INTO wrong_number (contact_id, number, at) SELECT $1, number, $2 FROM contact_phone"
        " WHERE contact_id = $1", dead, NOON,
    )  # fmt: skip
    following = await put(fresh_db, winback, other)
    assert (await items.claim_next(fresh_db, winback, team[0], NOON)).id == following
    row = await fresh_db.fetchrow("SELECT state, held_by FROM list_item WHERE id = $1", item)
    assert tuple(row) == (4, None)


async def test_the_limit_of_attempts_ends_an_item(fresh_db, team, winback):
    [contact_id] = await people(fresh_db, 1)
    item_id = await put(fresh_db, winback, contact_id)
    now, tries = NOON, 0
    rules = retry.Rules(winback.attempts_max, {"busy": 0}, "free")
    while item := await items.claim_next(fresh_db, winback, team[0], now):
        attempt = await attempts.without_call(fresh_db, team[0], item.id, Situation.BUSY, now)
        tried = retry.Tried(Situation.BUSY, item.state, attempt.attempt_number, 1)
        await items.finish(fresh_db, team[0], item.id, retry.after(tried, rules, team[0].id, now), now)
        tries += 1
        now += MINUTE
    assert tries == 5
    item = await items.by_id(fresh_db, item_id)
    assert (item.state, item.attempts) == (State.HIT_LIMIT, 5)
    await campaigns.save_step(fresh_db, None, winback.id, "settings", {"attempts_max": 6})
    assert await items.claim_next(fresh_db, winback, team[0], datetime.datetime.now(datetime.UTC))


async def test_a_browser_that_dies_in_the_last_try_leaves_an_item_out_of_attempts(fresh_db, team, winback):
    [contact_id] = await people(fresh_db, 1)
    item_id = await put(fresh_db, winback, contact_id, state=2, attempts=4, due_at=NOON - MINUTE)
    await items.claim_next(fresh_db, winback, team[0], NOON)
    await attempts.begin(fresh_db, team[0], item_id, "+5511900000000", NOON)
    await items.sweep_expired(fresh_db, NOON + MINUTE * 2)
    item = await items.by_id(fresh_db, item_id)
    assert (item.state, item.due_at, item.held_by) == (State.HIT_LIMIT, None, None)


# -- Looking -----------------------------------------------------------------------------------------------


async def test_the_list_is_shown_in_the_order_of_dialing_and_found_by_what_is_known(fresh_db, team, winback):
    ids = await people(fresh_db, 6)
    later = await put(fresh_db, winback, ids[0], state=1, due_at=NOON + MINUTE)
    tried = await put(fresh_db, winback, ids[1], state=2, attempts=1, due_at=NOON)
    new = [await put(fresh_db, winback, each) for each in ids[2:4]]
    overdue = await put(fresh_db, winback, ids[4], state=3, attempts=1, due_at=NOON - MINUTE)
    done = await put(fresh_db, winback, ids[5], state=4, result="success")

    async def shown(criteria=ANYBODY, situation=None, page=1, size=50):
        found = await items.search(fresh_db, winback, team[0], criteria, situation, NOON, page, size)
        return [row.id for row in found.rows], found.more

    assert await shown() == ([overdue, *new, tried, later], False)
    assert await shown(page=2, size=2) == ([new[1], tried], True)
    assert await shown(situation=State.NOT_WORKED) == (new, False)
    assert await shown(situation=State.TO_CALL_BACK) == ([later], False)
    assert await shown(situation=State.TRYING_CALLBACK) == ([overdue], False)
    assert await shown(situation=State.CONCLUDED) == ([done], False)
    assert await shown(Criteria(name="PERSON 6")) == ([done], False)
    assert await shown(Criteria(phone="0000 3")) == ([new[1]], False)
    assert await shown(Criteria(name="person"), State.TRYING) == ([tried], False)
    assert await shown(Criteria(name="nobody")) == ([], False)
    taken = await items.claim_this(fresh_db, new[1], team[1], NOON)
    row = (await items.search(fresh_db, winback, team[0], Criteria(), State.NOT_WORKED, NOON)).rows[1]
    assert (row.id, row.held_agent) == (taken.id, "Agent 2")


async def test_it_is_said_in_words_why_somebody_is_not_called(fresh_db, team, winback):
    ids = await people(fresh_db, 6)
    later = await put(
        fresh_db, winback, ids[0], state=1, due_at=NOON + MINUTE * 30, callback_owner=team[0].id
    )
    limit = await put(fresh_db, winback, ids[1], state=5, attempts=5)
    done = await put(
        fresh_db, winback, ids[2], state=4, result="failure", concluded_at=NOON, concluded_by=team[1].id
    )
    held = await put(fresh_db, winback, ids[3])
    waits = await put(fresh_db, winback, ids[4], priority=3)
    blocked = await put(fresh_db, winback, ids[5], priority=9)
    await items.claim_this(fresh_db, held, team[2], NOON)
    await fresh_db.execute(
        "INSERT INTO blocked_number (number, reason) VALUES ('+5511900000005', 'asked us not to')"
    )

    async def why(item_id, now=NOON):
        return " ".join(str(each) for each in await items.why_not_called(fresh_db, item_id, now))

    assert "agreed for 2026-11-18 12:30" in await why(later) and "Agent 1's" in await why(later)
    assert "limit of attempts was reached, after 5" in await why(limit)
    assert "failure by Agent 2" in await why(done)
    assert "with Agent 3" in await why(held)
    assert await why(waits) == "Nothing hinders it; it is among the next."
    assert "(11) 90000-0005 is blocked: asked us not to" in await why(blocked)
    await campaigns.pause(fresh_db, None, winback.id)
    assert "not active" in await why(waits)


async def test_who_waits_for_a_turn_is_told_how_many_come_before(fresh_db, team, winback):
    ids = await people(fresh_db, 8)
    await put(fresh_db, winback, ids[0], state=1, attempts=1, due_at=NOON - MINUTE)
    await put(fresh_db, winback, ids[1], state=1, attempts=1, due_at=NOON + MINUTE)  # not yet
    owned = {"callback_owner": team[0].id}
    await put(fresh_db, winback, ids[2], state=1, attempts=1, due_at=NOON - MINUTE, **owned)
    first, second = [await put(fresh_db, winback, each) for each in ids[3:5]]
    again = await put(fresh_db, winback, ids[5], state=2, attempts=1, due_at=NOON - 2 * MINUTE)
    later = await put(fresh_db, winback, ids[6], state=2, attempts=1, due_at=NOON - MINUTE)
    tired = await put(fresh_db, winback, ids[7], state=2, attempts=2, due_at=NOON - 9 * MINUTE)
    for place, item_id in enumerate([first, second, again, later, tired], 1):
        (said,) = [
            each for each in await items.why_not_called(fresh_db, item_id, NOON) if each.rule == "turn"
        ]
        assert said.values == {"n": place}
    await fresh_db.execute("DELETE FROM list_item WHERE due_at < $1 AND state = 1", NOON)
    (said,) = await items.why_not_called(fresh_db, first, NOON)
    assert str(said) == "Nothing hinders it; it is among the next."


async def test_progress_counts_what_a_recount_of_the_rows_counts(fresh_db, team, winback):
    await random_list(fresh_db, winback, team, 80, 3)
    item = await items.claim_next(fresh_db, winback, team[0], NOON)
    await attempts.without_call(fresh_db, team[0], item.id, Situation.COMPLETED, NOON)
    await items.finish(fresh_db, team[0], item.id, Next(State.CONCLUDED, "", result=Result.SUCCESS), NOON)
    await items.claim_next(fresh_db, winback, team[1], NOON)
    seen = await items.progress(fresh_db, winback, NOON + MINUTE)
    rows = await fresh_db.fetch("SELECT * FROM list_item")
    left = [row for row in rows if row["state"] in (0, 1, 2, 3)]
    assert (seen.all, seen.left, seen.in_use) == (80, len(left), 1)
    assert seen.worked == sum(row["state"] != 0 for row in rows)
    assert seen.successes == sum(row["result"] == "success" for row in rows)
    assert (seen.ended_an_hour, seen.seconds_left) == (12, len(left) * 300)  # one, in at least five minutes
    assert seen.states == {state: sum(row["state"] == state for row in rows) for state in State}
    assert {(each.agent, each.attempts, each.contacts) for each in seen.agents} == {
        ("Agent 1", 1, 1),
        ("Agent 2", 0, 0),
    }


def clock(text):
    """Of that day, in São Paulo."""
    return NOON.replace(hour=int(text[:2]) + 3, minute=int(text[3:]))


async def ended(db, campaign, agent, contact_id, at):
    """Somebody who was tried then, and came to an end."""
    item_id = await put(db, campaign, contact_id, state=4, result="success", attempts=1)
    await db.execute(
        """
        INSERT INTO attempt (campaign_id, generation, item_id, contact_id, user_id, attempt_number, started)
        VALUES ($1, $2, $3, $4, $5, 1, $6)
        """,
        campaign.id,
        campaign.generation,
        item_id,
        contact_id,
        agent.id,
        at,
    )


@pytest.mark.parametrize(
    ("preset", "tried", "now", "an_hour"),
    [
        ("24h", ["11:50", "11:55"], "12:00", 12),  # ten minutes after the first
        ("24h", ["09:00", "11:30", "11:00"], "12:00", 2),  # what is over an hour old is another pace
        ("08-12_14-18", ["11:40", "11:50"], "12:30", 6),  # nobody is called at lunch
        ("24h", ["11:59"], "12:00", 12),  # one in a minute is not sixty an hour
        ("24h", [], "12:00", 0),
    ],
)
async def test_the_pace_is_that_of_the_time_it_was_worked(fresh_db, team, preset, tried, now, an_hour):
    made = await campaign(fresh_db, team, hours_preset=preset)
    ids = await people(fresh_db, 12)
    for contact_id, at in zip(ids, tried, strict=False):
        await ended(fresh_db, made, team[0], contact_id, clock(at))
    for contact_id in ids[len(tried) :]:
        await put(fresh_db, made, contact_id)
    seen = await items.progress(fresh_db, made, clock(now))
    assert seen.ended_an_hour == an_hour
    assert seen.seconds_left == (pytest.approx((12 - len(tried)) / an_hour * 3600) if an_hour else None)


async def test_a_situation_is_looked_for_among_everybody_who_fits(fresh_db, team, winback, monkeypatch):
    monkeypatch.setattr(progress, "FOUND_MAX", 3)
    ids = await people(fresh_db, 6)
    for contact_id in ids[:5]:
        await put(fresh_db, winback, contact_id)
    promised = await put(fresh_db, winback, ids[5], state=1, attempts=1, due_at=NOON)

    async def found(situation, **criteria):
        return await items.search(fresh_db, winback, team[0], items.Criteria(**criteria), situation, NOON)

    assert [row.id for row in (await found(State.TO_CALL_BACK, name="person")).rows] == [promised]
    assert [row.id for row in (await found(State.TO_CALL_BACK, name="per 6", phone="0005")).rows] == [
        promised
    ]
    everybody = await found(None, name="person")
    assert (len(everybody.rows), everybody.cut) == (3, True)
    assert not (await found(None, name="person 6")).cut
    assert not (await found(None, name="100%_\x00")).rows


async def test_a_list_is_read_no_further_than_anybody_reads(fresh_db, team, winback, monkeypatch):
    monkeypatch.setattr(progress, "PAGES_MAX", 2)
    for contact_id in await people(fresh_db, 6):
        await put(fresh_db, winback, contact_id)

    async def page(n):
        return await items.search(fresh_db, winback, team[0], items.Criteria(), None, NOON, page=n, size=2)

    first, last = await page(1), await page(99)
    assert (first.page, first.more, first.cut) == (1, True, False)
    assert (last.page, last.more, last.cut) == (2, False, True)
    assert not {row.id for row in first.rows} & {row.id for row in last.rows}


async def test_a_supervisor_sees_everybodys_overdue_callbacks_first_and_an_agent_ones_own(
    fresh_db, team, winback
):
    ids = await people(fresh_db, 2)
    fresh = await put(fresh_db, winback, ids[0])
    theirs = await put(
        fresh_db, winback, ids[1], state=1, attempts=1, due_at=NOON - MINUTE, callback_owner=team[1].id
    )

    async def order(user):
        page = await items.search(fresh_db, winback, user, items.Criteria(), None, NOON)
        return [row.id for row in page.rows]

    assert await order(None) == await order(team[1]) == [theirs, fresh]
    assert await order(team[0]) == [fresh, theirs]
