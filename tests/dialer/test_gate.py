"""The rules of dialing: each by itself, asked at the button and once more before the telephone rings."""

import datetime

import pytest

from crm import blocklist, campaigns, items
from crm.refused import Refused
from tests.crm.campaigning import NOON, boss
from tests.dialer.stage import stage
from tests.waiting import until

HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)


@pytest.fixture
async def here(fresh_db):
    async with stage(fresh_db) as here:
        yield here


async def refusal(here, work, number=None, agent=0):
    number = number or work["phones"][0]["number"]
    with pytest.raises(Refused) as refused:
        await here.ask("DialItem", agent, item=work["item"], number=number)
    assert not here.rung, "nobody's telephone rang"
    return refused.value


async def save(here, step, **values):
    await campaigns.save_step(here.db, None, here.campaign.id, step, values)


async def test_when_every_rule_says_yes_the_customer_is_rung(here):
    work = await here.next()
    leg = await here.dial(work)
    assert leg.number == work["phones"][0]["number"]
    assert [row["situation"] for row in await here.tries(work["item"])] == ["dialing"]


async def test_an_item_in_other_hands_is_not_dialed_and_the_refusal_names_them(here):
    theirs = await here.next(agent=1)
    refused = await refusal(here, theirs, agent=0)
    assert refused.code == "held" and here.team[1].name in str(refused)


async def test_an_item_whose_lease_ended_is_not_dialed(here):
    work = await here.next()
    here.now += HOUR
    assert (await refusal(here, work)).code == "held"


async def test_a_paused_campaign_does_not_call(here):
    work = await here.next()
    await campaigns.pause(here.db, None, here.campaign.id)
    assert (await refusal(here, work)).code == "campaign_closed"


async def test_a_campaign_outside_its_validity_does_not_call(here):
    work = await here.next()
    start = (NOON + DAY).date()
    await save(here, "period", permanent=False, valid_from=start, valid_until=start)
    assert (await refusal(here, work)).code == "campaign_closed"


async def test_a_campaign_outside_its_hours_does_not_call(here):
    work = await here.next()
    await save(here, "period", hours_preset="custom", hours={"2": [[13 * 60, 14 * 60]]})
    assert (await refusal(here, work)).code == "campaign_closed"


async def test_an_agent_taken_out_of_the_campaign_does_not_call_for_it(here):
    work = await here.next()
    await save(here, "conclusion", agents=[here.team[1].id])
    assert (await refusal(here, work)).code == "not_allowed"


async def test_a_number_whose_place_is_closed_is_not_called_though_the_campaign_is_open(here):
    work = await here.next()
    contact = work["contact"]["id"]
    await here.db.execute("INSERT INTO contact_phone VALUES ($1, '+5568999990001', 9)", contact)  # Acre
    here.now = datetime.datetime(
        2026, 11, 18, 13, 30, tzinfo=datetime.UTC
    )  # 10:30 in São Paulo, 08:30 in Acre
    await items.renew(here.db, here.team[0].id, work["item"], here.now, 60)
    refused = await refusal(here, work, "+5568999990001")
    assert refused.code == "number_closed" and refused.details["opens_at"].startswith("2026-11-18T14:00")
    assert await here.dial(work)


async def test_a_sunday_is_closed_everywhere_unless_the_campaign_does_not_look(here):
    work = await here.next()
    here.now = NOON + 4 * DAY
    await items.renew(here.db, here.team[0].id, work["item"], here.now, 60)
    assert (await refusal(here, work)).code == "number_closed"
    await save(here, "period", respect_destination_window=False)
    assert await here.dial(work)


async def test_a_service_is_never_called_even_where_windows_are_not_looked_at(here):
    work = await here.next()
    await save(here, "period", respect_destination_window=False)
    await here.db.execute("INSERT INTO contact_phone VALUES ($1, '+558007777000', 9)", work["contact"]["id"])
    assert (await refusal(here, work, "+558007777000")).code == "number_closed"


async def test_a_number_that_is_not_the_persons_is_not_called(here):
    work = await here.next()
    assert (await refusal(here, work, "+5511988887777")).code == "not_a_number"


async def test_a_number_known_to_be_somebody_elses_is_not_called(here):
    work = await here.next()
    number = work["phones"][0]["number"]
    await here.db.execute("INSERT INTO wrong_number VALUES ($1, $2, now())", work["contact"]["id"], number)
    assert (await refusal(here, work)).code == "wrong_number"


async def test_a_number_is_not_called_more_often_a_day_than_the_campaign_allows(here):
    work = await here.next()
    for _ in range(here.campaign.number_attempts_per_day_max):
        (await here.dial(work)).refuse(486)
        await here.phase("contact")
    here.rung.clear()
    assert (await refusal(here, work)).code == "day_limit"
    await here.ask("ExitItem", item=work["item"])
    assert (await here.next())["item"] != work["item"], "the next one is not the one just refused"


async def test_a_person_is_not_tried_more_often_than_the_campaign_allows(here):
    await save(here, "settings", attempts_max=1)
    work = await here.next()
    await here.db.execute(
        "UPDATE list_item SET attempts = 1, state = 2, due_at = $2 WHERE id = $1", work["item"], NOON
    )
    assert (await refusal(here, work)).code == "attempts_max"


async def test_a_promised_callback_is_kept_although_the_limit_of_attempts_is_reached(here):
    await save(here, "settings", attempts_max=1)
    first = await here.next()
    await here.ask("ExitItem", item=first["item"])
    await here.db.execute(
        "UPDATE list_item SET attempts = 1, state = 1, due_at = $2 WHERE id = $1", first["item"], NOON
    )
    work = await here.next()
    assert work["item"] == first["item"] and work["overdue"]
    assert await here.dial(work)


async def test_a_blocked_number_is_not_called_in_any_campaign(here):
    work = await here.next()
    await blocklist.block(here.db, None, work["phones"][0]["number"])
    assert (await refusal(here, work)).code == "blocked"


async def test_a_number_blocked_while_the_agents_own_phone_rings_is_not_called(here):
    """The button was pressed and every rule said yes; then somebody blocks the number."""
    own = here.softphone()
    work = await here.next()
    number = work["phones"][0]["number"]
    await here.ask("DialItem", item=work["item"], number=number)
    await until(lambda: own.rung)
    await blocklist.block(here.db, None, number)
    own.rung[0].lift()
    await here.phase("contact")
    assert not here.rung and "blocked" in here.work()["refusal"]
    assert not await here.tries(work["item"]), "it was never dialed"


async def test_what_a_supervisor_frees_while_the_agents_own_phone_rings_is_not_called(here):
    own = here.softphone()
    work = await here.next()
    await here.ask("DialItem", item=work["item"], number=work["phones"][0]["number"])
    await until(lambda: own.rung)
    await items.release_held(here.db, await boss(here.db), [work["item"]], "the list is changed")
    own.rung[0].lift()
    await until(lambda: here.desk().call is None)
    assert not here.rung and not await here.tries(work["item"])


async def test_a_blocked_number_is_not_called_by_hand_either(here):
    await blocklist.block(here.db, None, "+5511977776666")
    await here.floor.blocklist.load(here.db)
    with pytest.raises(Refused) as refused:
        await here.ask("MakeCall", number="11977776666", internal=False)
    assert refused.value.code == "blocked" and not here.rung


async def test_the_campaigns_own_procedure_says_no_in_its_words(fresh_db):
    await fresh_db.execute(
        "CREATE FUNCTION validation.debt(text) RETURNS text LANGUAGE sql AS $$ SELECT 'Has paid: ' || $1 $$"
    )
    settings = {"validates": True, "validate_dial": "procedure:debt", "validation_inputs": ["internal_code"]}
    async with stage(fresh_db, **settings) as here:
        work = await here.next()
        refused = await refusal(here, work)
        assert refused.code == "validation_refused"
        assert f"Has paid: {work['contact']['id']}" in str(refused) and str(refused) == here.work()["refusal"]
        await here.ask("ExitItem", item=work["item"])
        assert (await here.next())["item"] != work["item"], "only this person is held up"


HANGS = "BEGIN PERFORM pg_sleep(600); RETURN true; END"
THROWS = "BEGIN RAISE EXCEPTION 'no table of debts'; END"


@pytest.mark.parametrize(("body", "said"), [(HANGS, "1 seconds"), (THROWS, "no table of debts")])
@pytest.mark.parametrize("on_failure", ["skip", "allow"])
async def test_a_procedure_that_hangs_or_throws_stops_only_its_own_item_and_is_shown(
    fresh_db, body, said, on_failure
):
    await fresh_db.execute(
        f"CREATE FUNCTION validation.broken(text) RETURNS boolean LANGUAGE plpgsql AS $$ {body} $$"
    )
    settings = {
        "validates": True,
        "validate_dial": "procedure:broken",
        "validation_inputs": ["document"],
        "validation_seconds": 1,
        "validation_on_failure": on_failure,
    }
    async with stage(fresh_db, **settings) as here:
        work = await here.next()
        if on_failure == "allow":
            assert await here.dial(work)
            assert said in here.work()["warning"]
        else:
            refused = await refusal(here, work)
            assert refused.code == "validation_failed" and said in str(refused)
            other = await here.next(agent=1)
            assert other["item"] != work["item"], "another agent works on meanwhile"


async def test_what_became_forbidden_while_the_procedure_was_asked_is(fresh_db, monkeypatch):
    await fresh_db.execute(
        "CREATE FUNCTION validation.fine(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'"
    )
    settings = {"validates": True, "validate_dial": "procedure:fine", "validation_inputs": ["document"]}
    async with stage(fresh_db, **settings) as here:
        work = await here.next()
        number = work["phones"][0]["number"]
        ask = here.one.gate._validation.ask

        async def block_meanwhile(*arguments):
            said = await ask(*arguments)
            await blocklist.block(here.db, None, number, None, "asked", "11")
            return said

        monkeypatch.setattr(here.one.gate._validation, "ask", block_meanwhile)
        assert (await refusal(here, work, number)).code == "blocked"
        assert not here.rung


async def test_while_the_procedure_is_asked_another_agent_is_not_held_up(fresh_db):
    await fresh_db.execute(
        f"CREATE FUNCTION validation.slow(text) RETURNS boolean LANGUAGE plpgsql AS $$ {HANGS} $$"
    )
    settings = {"validates": True, "validate_dial": "procedure:slow", "validation_inputs": ["document"],
                "validation_seconds": 2}  # fmt: skip
    async with stage(fresh_db, **settings) as here:
        work = await here.next()
        asking = here.floor.spawn(refusal(here, work))
        await here.phase("checking")
        other = await here.next(agent=1)
        await here.ask("ExitItem", 1, item=other["item"])
        assert not asking.done()
        await here.ask("ExitItem", item=work["item"])
        await until(asking.done)
        assert asking.result().code in ("held", "validation_failed")
        assert here.work() is None


async def test_nobody_but_the_product_has_to_be_asked_to_see_why(here):
    """WhyHidden and WhyNotCalled say the same rules before anybody dials."""
    by = await boss(here.db)
    await campaigns.pause(here.db, by, here.campaign.id)
    why = (await here.ask("WhyHidden", campaign=here.campaign.id))["why"]
    assert [each["rule"] for each in why] == ["status"]
    item = await here.db.fetchval("SELECT min(id) FROM list_item")
    why = (await here.ask("WhyNotCalled", item=item))["why"]
    assert "status" in [each["rule"] for each in why]
