"""The demonstration campaign that dials by itself: running, with days behind it that its figures tell of."""

import datetime

import pytest

from config import Settings
from crm import campaigns, demo, demo_dialing, dialing_figures, hopper

NOW = datetime.datetime(2026, 11, 20, 15, 0, tzinfo=datetime.UTC)


@pytest.fixture
async def campaign(fresh_db, tmp_path):
    await demo.fill(fresh_db, Settings(data=tmp_path), "senha-de-teste", NOW)
    return await campaigns.by_name(fresh_db, demo_dialing.NAME)


async def test_it_runs_and_has_somebody_to_dial_at_any_hour(fresh_db, campaign):
    assert campaign.status == "active" and campaign.dialing.mode == "predictive"
    night = NOW.replace(hour=5)
    given = await hopper.fill(fresh_db, campaign, campaign.dialing, night, 20, {})
    assert len(given) == 20


async def test_its_days_show_answers_machines_and_an_abandonment_below_the_limit(fresh_db, campaign):
    history = await dialing_figures.history(fresh_db, campaign, 10, NOW)
    assert history.dialed > 300 and history.talk_seconds
    days = await dialing_figures.between(fresh_db, campaign.id, NOW - datetime.timedelta(days=10), NOW)
    assert days.connected > 100 and days.machines > 20
    assert 0 < days.abandoned <= 0.03 * days.live


async def test_no_agent_is_in_two_conversations_at_once(fresh_db, campaign):
    twice = await fresh_db.fetchval(
        """
        SELECT count(*) FROM attempt AS one JOIN attempt AS other
            ON one.user_id = other.user_id AND one.id < other.id
           AND one.started < other.ended AND other.started < one.ended
         WHERE one.campaign_id = $1 AND other.campaign_id = $1
        """,
        campaign.id,
    )
    assert twice == 0


async def test_filled_twice_it_is_there_once(fresh_db, campaign, tmp_path):
    await demo.fill(fresh_db, Settings(data=tmp_path), "senha-de-teste", NOW)
    assert await fresh_db.fetchval("SELECT count(*) FROM campaign") == 2
