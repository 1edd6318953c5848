"""How a campaign is dialed: what cannot work, what will not go well, and changing it while it runs."""

import pytest

from crm import audit, campaigns, custom_fields, routes, trunks
from crm.dialing import ADVANCED, VISIBLE, Dialing, Quota, check, warnings
from crm.refused import Refused
from crm.trunks import Trunk
from tests.crm.campaigning import agents, boss, campaign

TRUNK = Trunk(1, "t", "h", 5060, "UDP", "", "", "", True, channels_max=30, calls_per_second=10)


@pytest.fixture
async def team(fresh_db):
    return await agents(fresh_db, 2)


@pytest.fixture
async def winback(fresh_db, team):
    return await campaign(fresh_db, team)


def errors(values, trunk=None, thresholds=None):
    with pytest.raises(Refused) as refused:
        check(values, trunk, thresholds)
    return refused.value.details["errors"]


# -- What cannot work --------------------------------------------------------------------------------------


def test_what_is_not_given_has_its_default_and_only_twelve_settings_are_seen_at_first():
    assert check({}) == Dialing() == Dialing.read({})
    assert (Dialing().mode, Dialing().abandon_limit_percent, Dialing().lockout_days) == ("manual", 3.0, 3)
    assert len(VISIBLE) - 1 <= 12, "besides the mode"
    assert set(VISIBLE).isdisjoint(ADVANCED)


@pytest.mark.parametrize(
    ("values", "field", "why"),
    [
        ({"mode": "turbo"}, "mode", "not_an_option"),
        ({"mode": "predictive", "abandon_limit_percent": 0}, "abandon_limit_percent", "no_limit"),
        ({"abandon_limit_percent": 101}, "abandon_limit_percent", "out_of_range"),
        ({"abandon_limit_percent": "nan"}, "abandon_limit_percent", "out_of_range"),
        ({"abandon_limit_percent": "some"}, "abandon_limit_percent", "not_a_number"),
        ({"lines_max": 31}, "lines_max", "above_trunk"),
        ({"lines_max": -1}, "lines_max", "out_of_range"),
        ({"calls_per_second": 11}, "calls_per_second", "above_trunk"),
        ({"ring_seconds": 14}, "ring_seconds", "out_of_range"),
        ({"ring_seconds": 61}, "ring_seconds", "out_of_range"),
        ({"ratio": 0.9}, "ratio", "out_of_range"),
        ({"preview_seconds": 1}, "preview_seconds", "out_of_range"),
        ({"lockout_days": 91}, "lockout_days", "out_of_range"),
        ({"abandon_after_seconds": 0}, "abandon_after_seconds", "out_of_range"),
        ({"abandon_message": "../../etc/passwd"}, "abandon_message", "not_allowed_characters"),
        ({"machine": "always"}, "machine", "not_an_option"),
        ({"machine": "before", "machine_action": "message"}, "machine_message", "required"),
        ({"caller_ids": "1133334444, nobody"}, "caller_ids", "not_a_phone"),
        ({"thresholds": {"nothing": 1}}, "thresholds", "not_an_option"),
        ({"thresholds": {"silence_ms": 1}}, "thresholds", "out_of_range"),
        ({"window": "year"}, "window", "not_a_number"),
        ({"window": 4}, "window", "out_of_range"),
        ({"order": "oldest"}, "order", "not_an_option"),
        ({"shares": {"a": 1}}, "shares", "not_an_option"),
        ({"shares": {1: -1}}, "shares", "out_of_range"),
        ({"shares": {1: 0, 2: 0}}, "shares", "out_of_range"),
        ({"shares": [1]}, "shares", "not_an_option"),
        ({"quotas": "RJ"}, "quotas", "not_an_option"),
        ({"quotas": [3]}, "quotas", "required"),
        ({"quotas": [{"field": "state", "max": 3}]}, "quotas", "required"),
        ({"quotas": [{"field": "state", "value": "RJ", "max": "many"}]}, "quotas", "not_a_number"),
        ({"on_stop": "drop"}, "on_stop", "not_an_option"),
        ({"outcomes": {"999": "busy"}}, "outcomes", "not_an_option"),
        ({"outcomes": {"486": "completed"}}, "outcomes", "not_an_option"),
        ({"outcomes": {"human": "busy"}}, "outcomes", "not_an_option"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_field(values, field, why):
    assert errors(values, TRUNK, {"silence_ms": (500, 20_000)}) == {field: why}


def test_every_wrong_field_is_said_at_once():
    assert errors({"mode": "x", "ratio": 0, "ring_seconds": 1}).keys() == {"mode", "ratio", "ring_seconds"}


def test_what_was_typed_is_understood_and_stored_as_it_is_read():
    new = check(
        {
            "mode": "predictive", "abandon_limit_percent": "2,5", "lines_max": "30", "calls_per_second": 10,
            "caller_ids": "(11) 3333-4444; 2133334444\n1133334444", "window": "60", "order": "random",
            "shares": {"7": "70", 9: 30.0, 11: ""},
            "outcomes": {"486": "no_answer", "503": "", "fax": "invalid"},
            "quotas": [
                {"conditions": {"custom.gender": "F", "state": "RJ"}, "max": 200},
                {"field": "city", "value": " Niterói ", "max": "5"},
                {"conditions": {"city": "Rio, Niterói", "email": ""}, "max": 7,
                 "tests": {"city": "one_of", "email": "filled", "state": "is"}},
            ],
            "thresholds": {"silence_ms": "900", "beep_ms": ""}, "on_stop": "cancel",
        },
        TRUNK,
    )  # fmt: skip
    assert new.caller_ids == ("+551133334444", "+552133334444")
    assert (new.window, new.shares, new.thresholds) == (60, {7: 70.0, 9: 30.0}, {"silence_ms": 900})
    assert new.outcomes == {"486": "no_answer", "fax": "invalid"}
    assert new.quotas == (
        Quota({"custom.gender": "F", "state": "RJ"}, 200),
        Quota({"city": "Niterói"}, 5),
        Quota({"city": "Rio, Niterói", "email": ""}, 7, {"city": "one_of", "email": "filled"}),
    )
    assert Dialing.read(new.stored(), "predictive") == new
    assert "ring_seconds" not in new.stored(), "a default may become another"
    assert check({"quotas": new.quotas}).quotas == new.quotas


# -- What will not go well ---------------------------------------------------------------------------------


async def test_what_will_not_go_well_is_said_before_the_start(winback):
    well = {"left": 10, "agents": 10, "hours_per_week": 40.0}
    named = Dialing("predictive", abandon_message="we.wav")
    assert warnings(winback, named, **well) == []
    assert {each.rule for each in warnings(winback, Dialing("predictive"), **well)} == {"abandon_message"}
    bad = warnings(
        winback,
        Dialing("ratio", machine="before", ratio=3),
        left=0,
        agents=0,
        hours_per_week=0,
        detects=False,
    )
    assert {each.rule for each in bad} == {"list", "agents", "hours", "abandon_message", "machine", "ratio"}
    assert all(str(each) for each in bad)
    assert [each.rule for each in warnings(winback, named, left=1, agents=2)] == ["mode"]


# -- Changing it -------------------------------------------------------------------------------------------


async def test_it_is_changed_while_the_campaign_runs_and_the_audit_keeps_both(fresh_db, winback):
    lead = await boss(fresh_db)
    assert winback.dialing == Dialing()
    made = await campaigns.set_dialing(fresh_db, lead, winback.id, {"mode": "ratio", "ratio": 2})
    assert (made.status, made.dialing) == ("active", Dialing("ratio", ratio=2.0))
    assert made.updated > winback.updated, "whoever has read it before can tell"
    again = await campaigns.set_dialing(fresh_db, lead, winback.id, {"lines_max": 4})
    assert again.dialing == Dialing("ratio", ratio=2.0, lines_max=4)
    assert (await campaigns.by_id(fresh_db, winback.id)).dialing == again.dialing
    entry = (await audit.recent(fresh_db))[0]
    assert (entry.action, entry.before, entry.after) == (
        "campaign.dialing",
        {"lines_max": 0},
        {"lines_max": 4},
    )


async def test_what_cannot_work_changes_nothing_and_not_everybody_may(fresh_db, team, winback):
    for by, values, code in (
        (None, {"mode": "predictive", "abandon_limit_percent": 0}, "form"),
        (None, {"shares": {77: 1}}, "form"),
        (None, {"quotas": [{"field": "shoe_size", "value": "40", "max": 1}]}, "form"),
        (None, {"quotas": [{"field": "state", "value": "Rio", "max": 1}]}, "form"),
        (team[0], {"mode": "ratio"}, "not_allowed"),
    ):
        with pytest.raises(Refused) as refused:
            await campaigns.set_dialing(fresh_db, by, winback.id, values)
        assert refused.value.code == code
    assert (await campaigns.by_id(fresh_db, winback.id)) == winback
    await campaigns.end(fresh_db, None, winback.id)
    with pytest.raises(Refused) as refused:
        await campaigns.set_dialing(fresh_db, None, winback.id, {"mode": "ratio"})
    assert refused.value.code == "campaign_ended"


async def test_the_lines_are_those_of_the_campaigns_own_way_out(fresh_db, winback):
    await custom_fields.create(fresh_db, None, key="gender", label="Gender", kind="text")
    trunk = await trunks.create(fresh_db, None, name="few", host="127.0.0.1", channels_max=4)
    route = await routes.create(fresh_db, None, name="out", trunk_id=trunk.id)
    await campaigns.set_dialing(fresh_db, None, winback.id, {"lines_max": 5})
    await campaigns.save_step(fresh_db, None, winback.id, "settings", {"route_id": route.id})
    with pytest.raises(Refused) as refused:
        await campaigns.set_dialing(fresh_db, None, winback.id, {"lines_max": 5})
    assert refused.value.details["errors"] == {"lines_max": "above_trunk"}
    quotas = [{"conditions": {"custom.gender": "F", "phone": "rj", "city": "Rio"}, "max": 200}]
    made = await campaigns.set_dialing(fresh_db, None, winback.id, {"lines_max": 4, "quotas": quotas})
    assert made.dialing.quotas[0].max == 200


async def test_a_copy_is_dialed_the_same_way_but_has_no_loads_to_share(fresh_db, winback):
    load = await fresh_db.fetchval(
        "INSERT INTO campaign_load (campaign_id, generation, kind) VALUES ($1, 1, 'add') RETURNING id",
        winback.id,
    )
    await campaigns.set_dialing(
        fresh_db, None, winback.id, {"mode": "predictive", "order": "newest", "shares": {load: 2}}
    )
    copy = await campaigns.copy(fresh_db, None, winback.id, "Winback II")
    assert copy.dialing == Dialing("predictive", order="newest")
