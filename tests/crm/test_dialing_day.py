"""The figures of a day counted forward: at every moment those of a full recount."""

import asyncio
import dataclasses
import random

import pytest

from crm import dialing_day, dialing_figures
from crm.attempts import ensure_month
from tests.crm.campaigning import NOON, agents, campaign, people, put
from tests.crm.test_dialing_figures import DAY, SECOND

ENDS = ("busy", "no_answer", "abandoned", "voicemail", "fax", "discarded_customer", "failed")


class Calls:
    """Of one campaign, as `crm.attempts` writes them: begun, lifted, taken, ended, concluded."""

    def __init__(self, db, team, made, item, contact, seed):
        self.db, self.team, self.made, self.item, self.contact = db, team, made, item, contact
        self.random, self.now = random.Random(seed), NOON
        self.ringing, self.talking, self.unsaid = [], [], []

    async def begin(self, late=0):
        by_dialer = self.random.random() < 0.8
        self.ringing.append(
            await self.db.fetchval(
                """
                INSERT INTO attempt (campaign_id, generation, item_id, contact_id, user_id, attempt_number,
                                     number, started, by_dialer)
                VALUES ($1, 1, $2, $3, $4, 1, '+5511900000000', $5, $6) RETURNING id
                """,
                self.made.id,
                self.item,
                self.contact,
                None if by_dialer else self.team[0].id,
                self.now - late * SECOND,
                by_dialer,
            )
        )

    def some(self, calls):
        self.random.shuffle(calls)
        return [calls.pop() for _ in range(self.random.randint(0, len(calls)))]

    async def go_on(self):
        for each in self.some(self.unsaid):
            said = self.random.choice(("completed", "completed", "voicemail"))
            await self.db.execute(
                "UPDATE attempt SET situation = $2, handle_seconds = 9 WHERE id = $1", each, said
            )
        for each in self.some(self.talking):
            await self.db.execute(
                "UPDATE attempt SET situation = 'completed', ended = $2, talk_seconds = 7.25 WHERE id = $1",
                each, self.now,
            )  # fmt: skip
            self.unsaid.append(each)
        for each in self.some(self.ringing):
            if self.random.random() < 0.4:
                await self.db.execute(
                    """
                    UPDATE attempt SET user_id = $2, answered = $3, connected = $3, agent_idle_seconds = 3.5
                     WHERE id = $1
                    """,
                    each, self.team[1].id, self.now,
                )  # fmt: skip
                self.talking.append(each)
            else:
                end = self.random.choice(ENDS)
                lifted = end in ("abandoned", "voicemail", "fax", "discarded_customer")
                await self.db.execute(
                    """
                    UPDATE attempt SET situation = $2, ended = $3, answered = $4, dialed = $5,
                                       handle_seconds = CASE WHEN user_id IS NULL THEN 0 ELSE 1 END
                     WHERE id = $1
                    """,
                    each, end, self.now, self.now if lifted else None, self.random.random() < 0.9,
                )  # fmt: skip


def near(day):
    return pytest.approx(dataclasses.asdict(day))


@pytest.mark.parametrize("seed", range(3))
async def test_at_every_moment_it_is_what_a_full_recount_says(fresh_db, seed):
    team = await agents(fresh_db, 2)
    made = await campaign(fresh_db, team)
    [contact] = await people(fresh_db, 1)
    calls = Calls(fresh_db, team, made, await put(fresh_db, made, contact), contact, seed)
    choice = calls.random
    await ensure_month(fresh_db, NOON)
    for _ in range(60):
        for _ in range(choice.randint(0, 4)):
            await calls.begin(late=choice.choice((0, 0, 0, 30, 110)))
        await calls.go_on()
        if choice.random() < 0.7:
            found = await asyncio.gather(
                *[dialing_day.today(fresh_db, made, calls.now) for _ in range(choice.choice((1, 3)))]
            )
            whole = await dialing_figures.day(fresh_db, made, calls.now)
            assert [dataclasses.asdict(each.day) for each in found] == [near(whole)] * len(found)
            assert sum(each.dialed for each in found[0].quarters) == whole.dialed
            assert sum(each.live for each in found[0].quarters) == whole.live
        calls.now += choice.choice((1, 20, 100, 400)) * SECOND
    [forward] = fresh_db.remembered[dialing_day.REMEMBERED].values()
    assert forward._settled, "most of it is read no more"
    tomorrow = calls.now + DAY
    assert (await dialing_day.today(fresh_db, made, tomorrow)).day.calls == 0
    back = await dialing_day.today(fresh_db, made, calls.now)
    assert dataclasses.asdict(back.day) == near(await dialing_figures.day(fresh_db, made, calls.now))
