"""The demonstration campaign: in all situations, true to its own attempts, the same when filled again."""

import datetime
from dataclasses import replace

import pytest

from config import Settings
from crm import actions, demo, demo_campaign, scripts, tickets
from crm.item_states import State
from crm.tickets import TicketFilter

OURS = f"(SELECT id FROM campaign WHERE name = '{demo_campaign.NAME}')"
NOW = datetime.datetime(2026, 11, 20, 19, 30, tzinfo=datetime.UTC)


@pytest.fixture
def settings(tmp_path):
    return replace(Settings(), data=tmp_path, demo=True, demo_trunk_port=5999)


async def test_it_has_items_in_every_situation_that_agree_with_their_attempts(fresh_db, settings):
    await demo.fill(fresh_db, settings, "senha-de-demonstração", NOW)
    states = dict(
        await fresh_db.fetch(
            f"SELECT state, count(*) FROM list_item WHERE campaign_id = {OURS} GROUP BY state"
        )
    )
    assert set(states) == set(State) and sum(states.values()) == demo_campaign.ITEMS
    wrong = await fresh_db.fetch(
        """
        SELECT item.id FROM list_item AS item
          LEFT JOIN LATERAL (SELECT count(*) AS made, max(started) AS last, max(attempt_number) AS number
                               FROM attempt WHERE item_id = item.id) AS tried ON true
          LEFT JOIN attempt AS last ON last.item_id = item.id AND last.attempt_number = item.attempts
         WHERE tried.made <> item.attempts
            OR last.started IS DISTINCT FROM item.last_attempt_at
            OR (item.attempts > 0 AND last.situation <> item.last_situation)
            OR (item.result IS NOT NULL AND last.result IS DISTINCT FROM item.result)
            OR (item.state = 0 AND item.attempts > 0)
        """
    )
    assert not wrong
    assert (
        await fresh_db.fetchval(f"SELECT sum(added) FROM campaign_load WHERE campaign_id = {OURS}")
        == demo_campaign.ITEMS
    )


async def test_some_callbacks_are_overdue_and_some_are_still_to_come(fresh_db, settings):
    await demo.fill(fresh_db, settings, "senha-de-demonstração", NOW)
    overdue, later, owned = await fresh_db.fetchrow(
        """
        SELECT count(*) FILTER (WHERE due_at < $1), count(*) FILTER (WHERE due_at > $1), count(callback_owner)
          FROM list_item WHERE state IN (1, 3)
        """,
        NOW,
    )
    assert overdue > 5 and later > 5 and 0 < owned < overdue + later


async def test_whoever_was_spoken_to_has_a_ticket_with_a_protocol_of_its_day(fresh_db, settings):
    await demo.fill(fresh_db, settings, "senha-de-demonstração", NOW)
    spoken = await fresh_db.fetchval(
        f"SELECT count(DISTINCT item_id) FROM attempt WHERE situation = 'completed' AND campaign_id = {OURS}"
    )
    assert spoken > 50
    assert await fresh_db.fetchval("SELECT count(*) FROM ticket") == spoken
    assert await fresh_db.fetchval("SELECT count(*) FROM list_item WHERE ticket_id IS NOT NULL") == spoken
    for ticket in await tickets.search(fresh_db, TicketFilter(), 20):
        first, *_, last = await tickets.history(fresh_db, ticket.id)
        assert (first.kind, first.status) == ("opened", "Aberto") and last.status == ticket.status
    assert (
        await fresh_db.fetchval(
            """
            SELECT count(*) FROM ticket_day
             WHERE last <> (SELECT count(*) FROM ticket WHERE protocol LIKE to_char(day, 'YYYYMMDD') || '-%')
            """
        )
        == 0
    )


async def test_no_agent_is_on_two_attempts_at_once_and_filling_again_changes_nothing(fresh_db, settings):
    await demo.fill(fresh_db, settings, "senha-de-demonstração", NOW)
    overlapping = """
        SELECT count(*) FROM attempt AS a JOIN attempt AS b
            ON a.user_id = b.user_id AND a.id < b.id
           AND b.started < a.started + a.handle_seconds * interval '1 second'
           AND a.started < b.started + b.handle_seconds * interval '1 second'
    """
    assert await fresh_db.fetchval(overlapping) == 0
    before = await fresh_db.fetchval("SELECT count(*) FROM attempt")
    await demo.fill(fresh_db, settings, "senha-de-demonstração", NOW + datetime.timedelta(days=1))
    assert await fresh_db.fetchval("SELECT count(*) FROM attempt") == before
    assert await fresh_db.fetchval("SELECT count(*) FROM campaign") == 2


async def test_agents_have_kinds_of_action_barriers_and_a_history_that_agrees_with_the_attempts(
    fresh_db, settings
):
    await demo.fill(fresh_db, settings, "senha-de-demonstração", NOW)
    kinds = await actions.types(fresh_db)
    known = {script.id: script for script in await scripts.all(fresh_db)}
    assert len(kinds) == 3 and all(kind.outcomes and known[kind.script_id].steps for kind in kinds)
    barriers = [script for script in known.values() if script.kind is scripts.ScriptKind.BARRIER]
    assert len(barriers) == 5
    for script in known.values():
        assert not scripts.unreachable(script)
        assert [scripts.unknown_fields(step.text, []) for step in script.steps if step.text] == [
            [] for step in script.steps
        ]
    assert await fresh_db.fetchval("SELECT count(*) FROM action") == await fresh_db.fetchval(
        f"SELECT count(*) FROM attempt WHERE campaign_id = {OURS}"
    )
    wrong = """
        SELECT count(*) FROM action LEFT JOIN action_outcome ON action_outcome.id = action.outcome_id
          JOIN attempt ON attempt.item_id = action.item_id AND attempt.ended = action.at
         WHERE attempt.result IS DISTINCT FROM action_outcome.result
    """
    assert await fresh_db.fetchval(wrong) == 0
