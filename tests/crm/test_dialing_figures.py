"""The dialer's figures: each equals a recount of the attempts in plain Python, whatever happened."""

import datetime
import random
from collections import Counter
from zoneinfo import ZoneInfo

import pytest

from crm import campaigns, dialing_figures
from crm.attempts import ensure_month
from tests.crm.campaigning import NOON, agents, campaign, people, put

SECOND = datetime.timedelta(seconds=1)
DAY = datetime.timedelta(days=1)
ZONE = ZoneInfo("America/Sao_Paulo")
SITUATIONS = (
    "dialing completed voicemail busy no_answer invalid congestion rejected failed discarded_cti"
    " discarded_customer cancelled abandoned fax silence"
).split()
NOT_LIVE = {"voicemail": "machine", "fax": "fax", "silence": "silence"}
HEARD = {"machine": "machine", "music": "machine", "fax": "fax", "silence": "silence"}


@pytest.fixture
async def team(fresh_db):
    return await agents(fresh_db, 3)


async def made_up(db, team, made, seed, n=200, days=40):
    """Attempts as calls leave them, by the dialer and by hand, some under way."""
    choice = random.Random(seed)
    ids = await people(db, 10)
    item_ids = [await put(db, each, contact) for each in made for contact in ids]
    months = set()
    for _ in range(n):
        at = NOON - SECOND * choice.randint(0, days * 86400)
        if (at.year, at.month) not in months:
            months.add((at.year, at.month))
            await ensure_month(db, at)
        by_dialer, situation = choice.random() < 0.7, choice.choice(SITUATIONS)
        lifted = situation in ("completed", "voicemail", "fax", "silence", "abandoned", "discarded_customer")
        answered = at + SECOND * choice.randint(1, 30) if lifted or choice.random() < 0.4 else None
        connected = None
        if by_dialer and answered and situation in ("completed", "voicemail", "dialing"):
            connected = answered + SECOND * choice.randint(0, 2) if choice.random() < 0.8 else None
        ended = (answered or at) + SECOND * choice.choice([1, 5, 6, 7, 60, 300])
        if situation == "dialing":
            ended = None
        talk = (ended - (connected or answered)).total_seconds() if answered and ended else 0
        await db.execute(
            """
            INSERT INTO attempt (campaign_id, generation, item_id, contact_id, user_id, attempt_number,
                                 number, started, answered, ended, situation, talk_seconds, handle_seconds,
                                 dialed, by_dialer, trunk_id, connected, agent_idle_seconds, detection,
                                 call_id)
            VALUES ($1, 1, $2, $3, $4, 1, '+5511900000000', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
                    $16, gen_random_uuid())
            """,
            choice.choice(made).id, choice.choice(item_ids), choice.choice(ids),
            None if by_dialer and not connected else choice.choice(team).id, at, answered, ended, situation,
            max(talk, 0), max(talk, 0) + choice.randint(-5, 90), choice.random() < 0.95, by_dialer,
            choice.choice([None, 1, 1, 2]), connected, choice.randint(0, 60) if connected else None,
            choice.choice(["", "", "human", "machine", "music", "fax", "silence"]) if answered else "",
        )  # fmt: skip


def kind(row):
    """What lifted."""
    if row["answered"] is None:
        return None
    if row["situation"] == "abandoned":
        return "live"
    if row["situation"] in NOT_LIVE:
        return NOT_LIVE[row["situation"]]
    if row["connected"] is None and row["detection"] in HEARD:
        return HEARD[row["detection"]]
    return "live"


def is_short(row):
    return row["ended"] is not None and (
        row["answered"] is None or row["ended"] - row["answered"] <= SECOND * 6
    )


def mean(values):
    values = list(values)
    return pytest.approx(sum(values) / len(values)) if values else None


def recount(rows):
    own = [row for row in rows if row["by_dialer"]]
    live = [row for row in own if kind(row) == "live"]
    connected = [row for row in live if row["connected"]]
    abandoned = [row for row in live if row["situation"] == "abandoned"]
    gone = [row for row in live if not row["connected"] and row["ended"] and row["situation"] != "abandoned"]
    heard = Counter(kind(row) for row in own)
    return dialing_figures.Day(
        dialed=len(own),
        answered=sum(row["answered"] is not None for row in own),
        live=len(live),
        connected=len(connected),
        abandoned=len(abandoned),
        hung_up=len(gone),
        machines=heard["machine"],
        machines_connected=sum(kind(row) == "machine" and row["connected"] is not None for row in own),
        fax=heard["fax"],
        silence=heard["silence"],
        calls=len(rows),
        ended=sum(row["ended"] is not None for row in rows),
        short=sum(map(is_short, rows)),
        ring_seconds=mean((row["answered"] - row["started"]).total_seconds() for row in live),
        talk_seconds=mean(row["talk_seconds"] for row in connected if row["ended"]),
        agent_wait_seconds=mean(
            row["agent_idle_seconds"] for row in own if row["agent_idle_seconds"] is not None
        ),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_every_figure_equals_a_recount_of_the_attempts(fresh_db, team, seed):
    made = [await campaign(fresh_db, team, name=name) for name in ("One", "Two")]
    await made_up(fresh_db, team, made, seed)
    every = [dict(row) for row in await fresh_db.fetch("SELECT * FROM attempt WHERE dialed")]
    midnight = NOON.astimezone(ZONE).replace(hour=0)

    for each in made:
        mine = [row for row in every if row["campaign_id"] == each.id]
        for days in (1, 7, 60):
            start = NOON - DAY * days
            rows = [row for row in mine if start <= row["started"] <= NOON]
            found = await dialing_figures.between(fresh_db, each.id, start, NOON)
            assert found == recount(rows)
            assert found.live == found.connected + found.abandoned + found.hung_up + sum(
                kind(row) == "live" and not row["connected"] and not row["ended"]
                for row in rows if row["by_dialer"]
            )  # fmt: skip
            if found.live:
                assert found.abandoned_percent == pytest.approx(100 * found.abandoned / found.live)
        today = await dialing_figures.day(fresh_db, each, NOON)
        assert today == recount([row for row in mine if row["started"] >= midnight])

    first = midnight.replace(day=1)
    of_month = [row for row in every if first <= row["started"] <= NOON]
    for _ in range(2):  # the second time from memory
        month = await dialing_figures.month(fresh_db, NOON)
        assert {trunk: used.month for trunk, used in month.trunks.items()} == Counter(
            row["trunk_id"] or 0 for row in of_month
        )
        for trunk, used in month.trunks.items():
            rows = [row for row in of_month if row["started"] >= midnight and (row["trunk_id"] or 0) == trunk]
            assert (used.today, used.today_short) == (len(rows), sum(map(is_short, rows)))
        assert (month.all.month, month.others) == (len(of_month), 0)
    assert len(of_month) > 50


@pytest.mark.parametrize("seed", range(2))
async def test_what_a_simulation_draws_from_is_what_happened(fresh_db, team, seed):
    made = [await campaign(fresh_db, team)]
    assert (await dialing_figures.history(fresh_db, made[0], 30, NOON)).answer_rate == 0
    await made_up(fresh_db, team, made, seed, 150)
    rows = [
        dict(row) for row in await fresh_db.fetch("SELECT * FROM attempt WHERE dialed AND ended IS NOT NULL")
    ]
    rows = [row for row in rows if NOON - DAY * 30 <= row["started"]]
    live = [row for row in rows if kind(row) == "live"]
    machines = [row for row in rows if kind(row) not in (None, "live")]
    found = await dialing_figures.history(fresh_db, made[0], 30, NOON)
    assert (found.dialed, found.live, found.machines) == (len(rows), len(live), len(machines))
    assert found.failed == sum(
        row["situation"] in ("busy", "invalid", "congestion", "rejected", "failed")
        and row["answered"] is None
        for row in rows
    )
    assert found.by_hour == {
        hour: (n, sum(row["started"].astimezone(ZONE).hour == hour for row in live))
        for hour, n in Counter(row["started"].astimezone(ZONE).hour for row in rows).items()
    }
    assert sorted(found.ring_seconds) == sorted(
        (row["answered"] - row["started"]).total_seconds() for row in live
    )
    assert sorted(found.talk_seconds) == sorted(
        row["talk_seconds"] for row in live if row["talk_seconds"] > 0
    )
    wraps = [
        row["handle_seconds"] - (row["ended"] - (row["connected"] or row["started"])).total_seconds()
        for row in live if row["talk_seconds"] > 0
    ]  # fmt: skip
    assert sorted(found.wrap_seconds) == pytest.approx(sorted(each for each in wraps if each > 0))
    assert found.answer_rate == len(live) / len(rows)
    assert found.machine_share == len(machines) / (len(live) + len(machines))
    assert 0 < found.fail_share < 1


async def test_the_window_of_the_limit_is_what_the_campaign_says(fresh_db, team):
    made = await campaign(fresh_db, team)
    await fresh_db.execute("UPDATE campaign SET created = $1", NOON - DAY * 60)
    await made_up(fresh_db, team, [made], 5)
    expected = {
        "campaign": await dialing_figures.between(fresh_db, made.id, NOON - DAY * 60, NOON),
        "day": await dialing_figures.day(fresh_db, made, NOON),
        "2880": await dialing_figures.between(fresh_db, made.id, NOON - DAY * 2, NOON),
    }
    assert len({each.calls for each in expected.values()}) == 3
    for window, figures in expected.items():
        made = await campaigns.set_dialing(fresh_db, None, made.id, {"window": window})
        made = await campaigns.by_id(fresh_db, made.id)
        assert await dialing_figures.window(fresh_db, made, NOON) == figures


async def test_calls_out_of_no_campaign_count_for_the_month_too(fresh_db):
    for direction, days in (("outbound", 0), ("outbound", 3), ("inbound", 1), ("outbound", 40)):
        await fresh_db.execute(
            "INSERT INTO call (id, direction, started) VALUES (gen_random_uuid(), $1, $2)",
            direction, NOON - DAY * days,
        )  # fmt: skip
    month = await dialing_figures.month(fresh_db, NOON)
    assert (month.others, month.all.month, dict(month.trunks)) == (2, 2, {})


@pytest.mark.parametrize("seed", range(3))
async def test_what_was_heard_is_counted_by_what_agents_said_of_it(fresh_db, team, seed):
    made = [await campaign(fresh_db, team), await campaign(fresh_db, team, "Other")]
    assert await dialing_figures.detection(fresh_db, made[0], NOON - DAY * 30, NOON) == ()
    await made_up(fresh_db, team, made, seed, 400)
    await fresh_db.execute(
        "UPDATE attempt SET detection_ms = 200 + attempt_number + id % 1500 WHERE detection <> ''"
    )
    rows = [
        row
        for row in await fresh_db.fetch("SELECT * FROM attempt WHERE dialed AND by_dialer")
        if row["campaign_id"] == made[0].id and row["detection"] and NOON - DAY * 30 <= row["started"]
    ]
    found = await dialing_figures.detection(fresh_db, made[0], NOON - DAY * 30, NOON)
    assert [each.calls for each in found] == sorted((each.calls for each in found), reverse=True)
    assert sum(each.calls for each in found) == len(rows)
    for each in found:
        mine = [row for row in rows if row["detection"] == each.kind]
        judged = [row for row in mine if row["connected"] and row["ended"]]
        voicemail = [row for row in judged if row["situation"] == "voicemail"]
        assert (each.calls, each.judged, each.voicemail) == (len(mine), len(judged), len(voicemail))
        assert each.people == len(judged) - len(voicemail)
        assert each.mean_ms == mean(row["detection_ms"] for row in mine)
    assert {"human", "machine"} <= {each.kind for each in found}
    assert any(each.voicemail and each.people for each in found if each.kind == "human")
    human = next(each for each in found if each.kind == "human")
    assert human.voicemail_percent == 100 * human.voicemail / human.judged
