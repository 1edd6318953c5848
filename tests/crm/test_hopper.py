"""The hopper: whom the dialer takes ahead, in which order, by which share, and who is left out."""

import asyncio
import datetime
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm import attempts, campaigns, contacts, custom_fields, hopper, items, progress
from crm.db import connect
from crm.dialing import Dialing, Quota
from crm.hopper import DIALER, Mix
from crm.item_states import Next, Result, Situation, State
from crm.refused import Refused
from tests.crm.campaigning import MINUTE, NOON, agents, boss, campaign, people, put

DAY = datetime.timedelta(days=1)
SECOND = datetime.timedelta(seconds=1)
PREDICTIVE = Dialing("predictive")


@pytest.fixture
async def team(fresh_db):
    return await agents(fresh_db, 3)


@pytest.fixture
async def winback(fresh_db, team):
    return await campaign(fresh_db, team, callback_mode="optional", attempts_max=5)


async def listed(db, made, n, **values):
    return [await put(db, made, contact_id, **values) for contact_id in await people(db, n)]


def ids(entries):
    return [entry.item.id for entry in entries]


async def fill(db, made, room, dialing=PREDICTIVE, now=NOON, closed=None, **more):
    return await hopper.fill(db, made, dialing, now, room, closed or {}, **more)


async def load_of(db, made):
    return await db.fetchval(
        "INSERT INTO campaign_load (campaign_id, generation, kind) VALUES ($1, 1, 'add') RETURNING id",
        made.id,
    )


# -- Order -------------------------------------------------------------------------------------------------


def expected(rows, room, ready, now):
    """UAU-47 for the dialer in plain Python over all rows: the ids of one batch."""

    def by(chosen, *keys):
        return [row["id"] for row in sorted(chosen, key=lambda row: tuple(row[key] for key in keys))]

    due = [row for row in rows if row["state"] in (1, 3) and row["due_at"] <= now]
    answer = by([row for row in due if row["callback_owner"] is None], "due_at", "priority", "id")
    for owner in sorted(ready):
        answer += by([row for row in due if row["callback_owner"] == owner], "due_at", "priority", "id")[:1]
    answer += by([row for row in rows if row["state"] == 0 and row["due_at"] is None], "priority", "id")
    again = [row for row in rows if row["state"] == 2 and row["due_at"] <= now]
    return (answer + by(again, "attempts", "due_at", "priority", "id"))[:room]


@pytest.mark.parametrize("seed", range(4))
async def test_batches_come_in_the_order_of_uau_47(fresh_db, team, winback, seed):
    choice = random.Random(seed)
    for contact_id in await people(fresh_db, 60):
        state = choice.choice([0, 0, 1, 1, 2, 2, 3, 4, 5, 6])
        values = {"state": state, "priority": choice.randint(0, 2)}
        values["attempts"] = choice.randint(1, 4) if state in (2, 3) else 0
        if state in (1, 2, 3):
            values["due_at"] = NOON + MINUTE * choice.randint(-90, 20)
        if state in (1, 3):
            values["callback_owner"] = choice.choice([None, *(each.id for each in team)])
        await put(fresh_db, winback, contact_id, **values)
    given = 0
    for _ in range(100):
        ready = [each.id for each in team if choice.random() < 0.4]
        room = choice.randint(1, 12)
        rows = await fresh_db.fetch("SELECT * FROM list_item WHERE held_by IS NULL")
        batch = await fill(fresh_db, winback, room, ready_owners=ready)
        wanted = expected(rows, room, ready, NOON)
        given += len(batch)
        assert ids(batch) == wanted
        assert all(entry.item.held_by == DIALER.id for entry in batch)
        if not batch and len(ready) == len(team):
            break
    assert given >= 25


async def test_a_callback_of_an_agent_waits_for_that_agent_and_comes_one_by_one(fresh_db, team, winback):
    ana, bia, _ = team
    hers = await listed(
        fresh_db,
        winback,
        3,
        state=1,
        due_at=NOON - MINUTE,
        callback_owner=ana.id,
        callback_note="after lunch",
    )
    assert await fill(fresh_db, winback, 10) == []
    assert await fill(fresh_db, winback, 10, ready_owners=[bia.id]) == []
    first = await fill(fresh_db, winback, 10, ready_owners=[ana.id, bia.id])
    assert (ids(first), first[0].item.callback_owner) == (hers[:1], ana.id)
    assert ids(await fill(fresh_db, winback, 10, ready_owners=[ana.id])) == hers[1:2]


async def test_the_newest_come_first_within_their_priority_when_the_campaign_says_so(fresh_db, winback):
    usual = await listed(fresh_db, winback, 6, priority=1)
    urgent = await listed(fresh_db, winback, 3, priority=0)
    order = Dialing("predictive", order="newest")
    taken = [ids(await fill(fresh_db, winback, 4, order)) for _ in range(4)]
    assert taken == [[*urgent[::-1], usual[5]], usual[4:0:-1], usual[:1], []]


async def test_a_random_order_takes_everybody_once_and_is_not_the_lists(fresh_db, winback):
    everybody = await listed(fresh_db, winback, 60, priority=1)
    urgent = await listed(fresh_db, winback, 5, priority=0)
    order, taken = Dialing("predictive", order="random"), []
    while batch := await fill(fresh_db, winback, 10, order):
        assert len(batch) <= 10
        taken += ids(batch)
    assert set(taken[:5]) == set(urgent), "priorities stand in any order"
    assert sorted(taken[5:]) == everybody and taken[5:] != everybody
    assert set(taken[5:15]) != set(everybody[:10]), "one chance in 75 thousand million"


# -- Shares ------------------------------------------------------------------------------------------------


@given(
    st.dictionaries(st.integers(1, 6), st.sampled_from([0.5, 1.0, 3.0, 10.0]), min_size=1),
    st.lists(st.integers(1, 40), min_size=60, max_size=60),
)
def test_shares_are_as_weighed_however_the_batches_fall(weights, rooms):
    mix, got = Mix(), Counter()
    for room in rooms:
        portions = mix.deal(dict.fromkeys(weights, room), weights, room)
        assert sum(portions.values()) == room
        mix.took([load for load, n in portions.items() for _ in range(n)], weights)
        got.update(portions)
    whole = sum(rooms)
    for load, weight in weights.items():
        assert abs(got[load] - whole * weight / sum(weights.values())) < len(weights) + 1


def test_a_load_that_had_nobody_does_not_catch_up_and_one_without_weight_weighs_one():
    mix, weights = Mix(), {1: 1.0, 2: 1.0, 4: 0.0}
    for _ in range(100):
        mix.took([1] * mix.deal({1: 9}, weights, 1)[1], weights)
    assert mix.deal({1: 9, 2: 9}, weights, 10) == {1: 5, 2: 5}
    assert mix.deal({1: 9, 3: 9, 4: 9}, weights, 4) == {1: 2, 3: 2}
    assert mix.deal({1: 1, 2: 9}, weights, 8) == {1: 1, 2: 7}, "what one lacks the other gives"
    assert mix.deal({4: 9}, weights, 5) == {}


@pytest.mark.parametrize("order", ["list", "newest", "random"])
async def test_loads_are_mixed_by_their_weights_and_each_keeps_its_order(fresh_db, winback, order):
    a, b, c = [await load_of(fresh_db, winback) for _ in range(3)]
    of = {}
    for load in (a, b, c, None):
        for item_id in await listed(fresh_db, winback, 60, load_id=load):
            of[item_id] = load
    dialing = Dialing("predictive", shares={a: 6, b: 3, c: 0}, order=order)
    mix, taken = Mix(), []
    for room in (1, 2, 7, 20, 20):
        batch = await fill(fresh_db, winback, room, dialing, mix=mix)
        assert [entry.load_id for entry in batch] == [of[each] for each in ids(batch)]
        taken += ids(batch)
    assert Counter(of[each] for each in taken) == {a: 30, b: 15, None: 5}
    mine = [each for each in taken if of[each] == a]
    if order != "random":
        assert sorted(mine) == [each for each in of if of[each] == a][-30 if order == "newest" else 0 :][:30]
    while batch := await fill(fresh_db, winback, 30, dialing, mix=mix):
        taken += ids(batch)
    assert Counter(of[each] for each in taken) == {a: 60, b: 60, None: 60}, (
        "the rest follows when one is empty"
    )
    assert len(set(taken)) == 180


# -- Who is left out ---------------------------------------------------------------------------------------


async def test_numbers_that_may_not_be_called_are_left_out_and_who_has_none_is_put_aside(
    fresh_db, team, winback
):
    made = await contacts.create(
        fresh_db, None, "Several", phones=[
            "+5511911111111", "+5521922222222", "+5511933333333", "+5511944444444"]
    )  # fmt: skip
    several = await put(fresh_db, winback, made.id, priority=-1)
    await fresh_db.execute("INSERT INTO blocked_number (number) VALUES ('+5511911111111')")
    await fresh_db.execute(
        "INSERT INTO wrong_number (contact_id, number, at) VALUES ($1, '+5511933333333', now())", made.id
    )
    blocked, wrong, closed, tried, fine = await people(fresh_db, 5)
    for contact_id in (blocked, wrong, closed, tried, fine):
        await put(fresh_db, winback, contact_id)
    await fresh_db.execute(
        "INSERT INTO blocked_number (number, campaign_id) VALUES ('+5511900000000', $1)",
        winback.id,
    )
    await fresh_db.execute(
        "INSERT INTO wrong_number (contact_id, number, at) VALUES ($1, '+5511900000001', now())", wrong
    )
    await fresh_db.execute("UPDATE contact_phone SET number = '+5521900000002' WHERE contact_id = $1", closed)
    for _ in range(3):
        await fresh_db.execute(
            """
            INSERT INTO attempt (campaign_id, generation, item_id, contact_id, attempt_number, number,
                                 started)
            VALUES ($1, 1, 0, 0, 1, '+5511900000003', $2)
            """,
            winback.id, NOON - MINUTE,
        )  # fmt: skip
    opens = NOON + datetime.timedelta(hours=20)
    batch = await fill(fresh_db, winback, 10, closed={"21": opens})
    assert ids(batch)[0] == several
    assert batch[0].numbers == ("+5511944444444",)
    assert [(each.number, each.callable) for each in batch[0].phones] == [
        ("+5511911111111", False),
        ("+5521922222222", True),
        ("+5511933333333", False),
        ("+5511944444444", True),
    ]
    assert batch[0].contact == await contacts.by_id(fresh_db, made.id), "the screen-pop asks nobody"
    assert [entry.contact.id for entry in batch[1:]] == [fine]
    rows = {row["contact_id"]: row for row in await fresh_db.fetch("SELECT * FROM list_item")}
    assert {rows[each]["state"] for each in (blocked, wrong)} == {State.CANCELLED}
    assert rows[closed]["due_at"] == opens and rows[closed]["state"] == State.NOT_WORKED
    midnight = NOON.replace(hour=3) + DAY
    assert rows[tried]["due_at"] == midnight and all(
        rows[each]["held_by"] is None for each in (closed, tried)
    )
    await items.reopen_deferred(fresh_db, midnight)
    assert ids(await fill(fresh_db, winback, 10, now=midnight)) == [rows[tried]["id"]]


async def test_whom_no_agent_was_free_for_is_not_called_within_the_lockout_in_any_campaign(
    fresh_db, team, winback
):
    await campaigns.set_dialing(fresh_db, None, winback.id, {"lockout_days": 2})
    winback = await campaigns.by_id(fresh_db, winback.id)
    other = await campaign(fresh_db, team, name="Other")
    [contact_id] = await people(fresh_db, 1)
    mine, theirs = await put(fresh_db, winback, contact_id), await put(fresh_db, other, contact_id)
    [entry] = await fill(fresh_db, winback, 1)
    attempt = await attempts.begin(fresh_db, DIALER, mine, entry.numbers[0], NOON)
    await attempts.end(fresh_db, attempt, Situation.ABANDONED, NOON, answered=NOON)
    await items.finish(fresh_db, DIALER, mine, Next(State.TRYING, "", NOON), NOON)
    assert await fill(fresh_db, winback, 5, now=NOON + MINUTE) == []
    assert await fill(fresh_db, other, 5, now=NOON + MINUTE) == []
    due = dict(await fresh_db.fetch("SELECT id, due_at FROM list_item"))
    assert due == {mine: NOON + DAY * 2, theirs: NOON + DAY * 3}, "each as its campaign says"
    await items.claim_this(fresh_db, mine, team[0], NOON + DAY)
    with pytest.raises(Refused) as refused:  # nor by hand
        await attempts.begin(fresh_db, team[0], mine, entry.numbers[0], NOON + DAY)
    assert refused.value.code == "lockout"
    await items.release(fresh_db, team[0].id, mine)
    [again] = await fill(fresh_db, winback, 5, now=NOON + DAY * 2 + SECOND)
    await attempts.begin(fresh_db, DIALER, mine, again.numbers[0], NOON + DAY * 2 + SECOND)


async def test_the_number_agreed_for_a_callback_comes_first_then_the_least_tried(fresh_db, winback):
    made = await contacts.create(fresh_db, None, "Two", phones=["+5511911111111", "+5511922222222"])
    item = await put(
        fresh_db, winback, made.id, state=1, due_at=NOON - MINUTE, callback_phone="+5511955555555"
    )
    await fresh_db.execute(
        """
        INSERT INTO attempt (campaign_id, generation, item_id, contact_id, attempt_number, number, started)
        SELECT $1, 1, $2, $3, 1, number, $4 FROM unnest(ARRAY['+5511911111111', '+5511955555555']) AS number
        """,
        winback.id, item, made.id, NOON - MINUTE,
    )  # fmt: skip
    [entry] = await fill(fresh_db, winback, 1)
    assert entry.numbers == ("+5511955555555", "+5511922222222", "+5511911111111")
    assert [each.number for each in entry.phones] == ["+5511911111111", "+5511922222222"]
    await hopper.give_back(fresh_db, [item])
    await fresh_db.execute("INSERT INTO blocked_number (number) VALUES ('+5511955555555')")
    [entry] = await fill(fresh_db, winback, 1)
    assert entry.numbers == ("+5511922222222", "+5511911111111")


async def test_a_list_that_is_nearly_all_closed_gives_the_few_who_are_open(fresh_db, winback):
    await people(fresh_db, 1)
    for number in ("+5521{:09d}", "+5511{:09d}"):
        for contact_id in await people(fresh_db, 300 if "21" in number else 3, number):
            await put(fresh_db, winback, contact_id)
    batch = await fill(fresh_db, winback, 5, closed={"21": NOON + DAY})
    assert [entry.numbers[0][:5] for entry in batch] == ["+5511"] * 3
    assert await fresh_db.fetchval("SELECT count(*) FROM list_item WHERE due_at = $1", NOON + DAY) == 300


async def test_nothing_is_taken_while_the_campaign_is_not_open(fresh_db, team, winback):
    await listed(fresh_db, winback, 3)
    await campaigns.pause(fresh_db, None, winback.id)
    assert await fill(fresh_db, winback, 5) == [], "though whoever asks knew it as active"
    await campaigns.activate(fresh_db, None, winback.id)
    hours = {"hours_preset": "custom", "hours": {"2": [[13 * 60, 14 * 60]]}}
    await campaigns.save_step(fresh_db, None, winback.id, "period", hours)
    assert await fill(fresh_db, winback, 5) == []
    assert len(await fill(fresh_db, winback, 5, now=NOON + MINUTE * 90)) == 3


# -- Quotas ------------------------------------------------------------------------------------------------


async def test_whom_there_are_enough_of_is_given_no_more_until_the_quota_is_raised(fresh_db, winback):
    await custom_fields.create(fresh_db, None, key="gender", label="Gender", kind="text")
    women = {"custom": {"gender": "F"}, "addresses": [{"state": "RJ", "city": "Niterói"}]}
    men = {"custom": {"gender": "M"}, "addresses": [{"state": "RJ", "city": "Niterói"}]}
    of = {}
    for n in range(30):
        facts = women if n % 2 else men
        made = await contacts.create(fresh_db, None, f"P{n}", phones=[f"+55119{n:08d}"], **facts)
        of[await put(fresh_db, winback, made.id)] = facts["custom"]["gender"]
    raised = []
    for most in (4, 6):
        asked = {"custom.gender": "M", "state": "RJ", "city": "niteroi, Rio", "email": ""}
        tests = {"custom.gender": "is_not", "city": "one_of", "email": "empty"}
        quota = {"conditions": asked, "tests": tests, "max": most}
        winback = await campaigns.set_dialing(fresh_db, None, winback.id, {"quotas": [quota]})
        now, got = NOON, Counter()
        while batch := await fill(fresh_db, winback, 3, winback.dialing, now):
            for entry in batch:
                await items.finish(
                    fresh_db, DIALER, entry.item.id, Next(State.CONCLUDED, "", result=Result.SUCCESS), now
                )
                got[of[entry.item.id]] += 1
        raised.append(got)
    assert raised[0]["M"] == 15 and 4 <= raised[0]["F"] <= 6, "no more than were in the air"
    assert sum((raised[0] + raised[1]).values()) - 15 in (6, 7, 8)
    assert Quota({"state": "RJ"}, 1) != Quota({"state": "RJ"}, 2)


# -- Hands -------------------------------------------------------------------------------------------------


async def test_an_agent_who_gets_the_call_gets_the_item_and_never_a_second_one(fresh_db, team, winback):
    ana, bia, _ = team
    first, second, third = await listed(fresh_db, winback, 3)
    await fill(fresh_db, winback, 2)
    mine = await hopper.hand_over(fresh_db, first, ana, NOON, 60)
    assert (mine.held_by, mine.held_until) == (ana.id, NOON + MINUTE)
    with pytest.raises(Refused) as refused:
        await hopper.hand_over(fresh_db, second, ana, NOON)
    assert refused.value.code == "has_another"
    for item_id, code in ((first, "held"), (third, "held"), (999, "not_found")):
        with pytest.raises(Refused) as refused:
            await hopper.hand_over(fresh_db, item_id, bia, NOON)
        assert refused.value.code == code
    later = NOON + MINUTE * 2  # the lease has ended, though nobody swept
    assert (await hopper.hand_over(fresh_db, second, ana, later)).held_by == ana.id
    assert (await items.by_id(fresh_db, first)).held_by is None


HOLD = "UPDATE list_item SET held_by = $2, held_since = $3, held_until = $3 WHERE id = $1"
LET_GO = "UPDATE list_item SET held_by = NULL, held_since = NULL, held_until = NULL WHERE id = $1"


async def test_what_the_agent_has_may_go_back_and_come_again_while_a_call_is_handed_over(
    fresh_db, team, winback, monkeypatch
):
    first, second = await listed(fresh_db, winback, 2)
    await fill(fresh_db, winback, 1)
    left = [3]

    async def only_one(db, user, now):
        """It is gone when somebody looks, and there again at the next try."""
        await fresh_db.execute(LET_GO, second)
        left[0] -= 1

    async def another(*arguments):
        if left[0]:
            await fresh_db.execute(HOLD, second, team[0].id, NOON)
        return await fetchrow(*arguments)

    fetchrow = fresh_db.fetchrow
    monkeypatch.setattr(items, "only_one", only_one)
    monkeypatch.setattr(fresh_db, "fetchrow", another)
    assert (await hopper.hand_over(fresh_db, first, team[0], NOON)).held_by == team[0].id
    assert left == [0]


async def test_what_a_supervisor_frees_is_not_dialed(fresh_db, team, winback):
    lead = await boss(fresh_db)
    first, second = await listed(fresh_db, winback, 2)
    batch = await fill(fresh_db, winback, 2)
    shown = await items.held(fresh_db, winback.id)
    assert [(each.item_id, each.agent) for each in shown] == [(first, "Discador"), (second, "Discador")]
    await items.release_held(fresh_db, lead, [first], "complaint")
    assert await hopper.renew(fresh_db, [first, second], NOON) == {second}
    with pytest.raises(Refused) as refused:
        await attempts.begin(fresh_db, DIALER, first, batch[0].numbers[0], NOON)
    assert refused.value.code == "held"
    with pytest.raises(Refused):
        await hopper.hand_over(fresh_db, first, team[0], NOON)
    assert await fresh_db.fetchval("SELECT count(*) FROM attempt") == 0
    assert await hopper.give_back(fresh_db, [first, second]) == 1
    assert await items.held(fresh_db) == []


async def test_an_attempt_of_the_dialer_is_nobodys_until_an_agent_has_the_call(fresh_db, team, winback):
    [item] = await listed(fresh_db, winback, 1)
    [entry] = await fill(fresh_db, winback, 1)
    begun = await attempts.begin(fresh_db, DIALER, item, entry.numbers[0], NOON)
    assert (begun.user_id, begun.agent, begun.by_dialer) == (None, "", True)
    lifted, heard = NOON + SECOND * 10, NOON + SECOND * 11
    taken = await attempts.taken(fresh_db, begun, team[0], heard, answered=lifted, idle_seconds=7.5)
    assert (taken.user_id, taken.connected, taken.agent_idle_seconds) == (team[0].id, heard, 7.5)
    await hopper.hand_over(fresh_db, item, team[0], heard)
    ended = await attempts.end(
        fresh_db, taken, Situation.COMPLETED, NOON + MINUTE, answered=heard, trunk_id=1, detection="human",
        detection_ms=900,
    )  # fmt: skip
    assert (ended.answered, ended.trunk_id, ended.detection, ended.detection_ms) == (lifted, 1, "human", 900)
    done = Next(State.CONCLUDED, "", result=Result.SUCCESS)
    assert (await items.finish(fresh_db, team[0], item, done, NOON + MINUTE)).held_by is None


async def test_a_dialer_that_dies_leaves_its_items_as_they_were(fresh_db, winback):
    await listed(fresh_db, winback, 5, state=3, attempts=2, due_at=NOON - MINUTE, callback_note="after lunch")
    rows = await fresh_db.fetch("SELECT * FROM list_item ORDER BY id")
    assert len(await fill(fresh_db, winback, 5, lease_seconds=60)) == 5
    assert await items.sweep_expired(fresh_db, NOON + MINUTE - SECOND) == []
    swept = await items.sweep_expired(fresh_db, NOON + MINUTE)
    assert {each.user_id for each in swept} == {DIALER.id} and len(swept) == 5
    assert await fresh_db.fetch("SELECT * FROM list_item ORDER BY id") == rows


async def test_what_cannot_be_dialed_after_all_is_put_aside_or_taken_off(fresh_db, team, winback):
    later, never, others = await listed(fresh_db, winback, 3)
    await fill(fresh_db, winback, 2)
    await items.claim_this(fresh_db, others, team[0], NOON)
    assert await hopper.put_aside(fresh_db, {later: NOON + DAY, never: None, others: None}) == 2
    rows = await fresh_db.fetch("SELECT state, due_at, held_by FROM list_item ORDER BY id")
    assert [tuple(row) for row in rows] == [
        (0, NOON + DAY, None),
        (State.CANCELLED, None, None),
        (0, None, team[0].id),
    ]


# -- Many at once ------------------------------------------------------------------------------------------


async def test_no_item_is_in_two_hands_or_given_twice_whatever_fillers_and_agents_do_at_once(
    fresh_database_url,
):
    db = await connect(fresh_database_url, connections_max=24)
    try:
        team = await agents(db, 8)
        made = await campaign(db, team, callback_mode="optional", attempts_max=3)
        loads = [await load_of(db, made) for _ in range(3)]
        choice = random.Random(4)
        blocked = set()
        for place, contact_id in enumerate(await people(db, 300)):
            values = {"load_id": choice.choice([*loads, None])}
            if place % 10 == 0:
                values |= {
                    "state": 1,
                    "due_at": NOON - MINUTE * place,
                    "callback_owner": choice.choice(team).id,
                }
            elif place % 7 == 0:
                values |= {"state": 2, "due_at": NOON - MINUTE * place, "attempts": place % 3}
            item_id = await put(db, made, contact_id, **values)
            if place % 13 == 0:
                number = f"+5511{900000000 + place:09d}"
                await db.execute("INSERT INTO blocked_number (number) VALUES ($1)", number)
                blocked.add(item_id)
        owners = dict(await db.fetch("SELECT id, callback_owner FROM list_item"))
        in_hands: dict[int, str] = {}  # by our own book, kept apart from the database
        done: list[int] = []

        def take(item_id, who):
            assert item_id not in in_hands, f"{who} has what {in_hands[item_id]} has"
            assert item_id not in blocked and item_id not in done
            in_hands[item_id] = who

        async def conclude(user, item_id):
            del in_hands[item_id]
            done.append(item_id)
            await items.finish(db, user, item_id, Next(State.CONCLUDED, "", result=Result.FAILURE), NOON)

        async def filler(n, dialing):
            luck, mix, idle = random.Random(n), Mix(), 0
            while idle < 3:
                ready = (
                    [user.id for user in team if luck.random() < 0.5] if idle < 2 else [u.id for u in team]
                )
                batch = await fill(db, made, luck.randint(1, 9), dialing, ready_owners=ready, mix=mix)
                idle = 0 if batch else idle + 1
                for entry in batch:
                    take(entry.item.id, f"filler {n}")
                    assert owners[entry.item.id] in (None, *ready)
                for entry in batch:
                    fate, item_id = luck.random(), entry.item.id
                    if fate < 0.2:
                        del in_hands[item_id]
                        assert await hopper.give_back(db, [item_id]) == 1
                    elif fate < 0.5:
                        user = luck.choice(team[:6])
                        try:
                            await hopper.hand_over(db, item_id, user, NOON)
                        except Refused as refused:
                            assert refused.code == "has_another"
                            await conclude(DIALER, item_id)
                        else:
                            await conclude(user, item_id)
                    else:
                        attempt = await attempts.begin(db, DIALER, item_id, entry.numbers[0], NOON)
                        await attempts.end(db, attempt, Situation.BUSY, NOON)
                        await conclude(DIALER, item_id)

        async def agent(user):
            while True:
                item = await items.claim_next(db, made, user, NOON)
                if item is None:
                    break
                take(item.id, user.name)
                assert owners[item.id] in (None, user.id)
                await asyncio.sleep(0)
                await conclude(user, item.id)

        orders = [Dialing(), Dialing(order="newest"), Dialing(order="random"), Dialing(shares={loads[0]: 3})]
        fillers = [filler(n, dialing) for n, dialing in enumerate(orders * 2)]
        await asyncio.gather(*fillers, *(agent(user) for user in team[6:]))
        assert len(done) == len(set(done)) == 300 - len(blocked)
        assert await db.fetchval("SELECT count(*) FROM list_item WHERE held_by IS NOT NULL") == 0
    finally:
        await db.close()


async def test_it_is_said_why_the_dialer_passes_somebody_over(fresh_db, winback):
    locked, enough, busy, abroad = await people(fresh_db, 4)
    ids_of = [await put(fresh_db, winback, each) for each in (locked, enough, busy, abroad)]
    await fresh_db.execute("UPDATE contact SET name = 'Enough' WHERE id = $1", enough)
    await fresh_db.execute("UPDATE contact_phone SET number = '+14155550100' WHERE contact_id = $1", abroad)
    quota = {"field": "name", "value": "enough", "max": 0}
    winback = await campaigns.set_dialing(fresh_db, None, winback.id, {"quotas": [quota], "lockout_days": 2})
    for number, situation, n in (("+5511900000000", "abandoned", 1), ("+5511900000002", "busy", 3)):
        for _ in range(n):
            await fresh_db.execute(
                """
                INSERT INTO attempt (campaign_id, generation, item_id, contact_id, attempt_number, number,
                                     started, situation)
                VALUES ($1, 1, 0, 0, 1, $2, $3, $4)
                """,
                winback.id, number, NOON - MINUTE, situation,
            )  # fmt: skip
    batch = await fill(fresh_db, winback, 10, winback.dialing)
    assert ids(batch) == ids_of[3:]
    said = [await items.why_not_called(fresh_db, each, NOON) for each in ids_of[:3]]
    assert [[each.rule for each in of] for of in said] == [
        ["aside", "lockout"],
        ["aside", "quota"],
        ["aside", "day_limit"],
    ]
    assert "again from 2026-11-20 11:59" in str(said[0][1])
    assert await progress.area_codes(fresh_db, winback.id) == ("11",)
    await hopper.give_back(fresh_db, ids_of)
    assert await progress.area_codes(fresh_db, winback.id) == ("", "11")
