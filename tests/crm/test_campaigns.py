"""Campaigns: made step by step, shown or hidden, and their lists made, added to and begun anew."""

import asyncio
import datetime
import random
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from crm import attempts, audit, blocklist, campaigns, filters, items, leads, lists, users
from crm.item_states import Situation, State
from crm.refused import Refused
from tests.crm.campaigning import MINUTE, NOON, agents, boss, campaign, everybody, people, put


@pytest.fixture
async def lead(fresh_db):
    return await boss(fresh_db)


@pytest.fixture
async def team(fresh_db):
    return await agents(fresh_db, 2)


async def errors(act):
    with pytest.raises(Refused) as refused:
        await act
    assert refused.value.code == "form", refused.value
    return refused.value.details["errors"]


# -- The wizard --------------------------------------------------------------------------------------------


async def test_a_draft_is_saved_step_by_step_and_nothing_of_another_step_is_lost(fresh_db, lead, team):
    saved = await everybody(fresh_db)
    made = await campaigns.create_draft(fresh_db, lead, name=" Winback ", objective="Come back")
    assert (made.name, made.status, made.permanent, made.hours_preset) == ("Winback", "draft", True, "24h")
    grid = {"0": [[540, 720], [780, 1080]], "5": [[600, 720]]}
    period = {
        "permanent": "", "valid_from": "2026-11-01", "valid_until": "2026-11-30", "callback_mode": "agent",
        "hours_preset": "custom", "hours": grid,
    }  # fmt: skip
    await campaigns.save_step(fresh_db, lead, made.id, "period", period)
    settings = {
        "attempts_max": "7", "retry": {"busy": "20", "no_answer": ""}, "caller_id": "(11) 3333-4444",
        "company_target": "selected", "company_types": ["Financeiro", "Financeiro", " "],
    }  # fmt: skip
    await campaigns.save_step(fresh_db, lead, made.id, "settings", settings)
    await campaigns.save_step(fresh_db, lead, made.id, "conclusion", {"agents": [team[0].id]})
    made = await campaigns.save_step(fresh_db, lead, made.id, "identification", {"filter_id": saved.id})
    assert made.hours == grid and made.valid_until == datetime.date(2026, 11, 30)
    assert (made.attempts_max, made.retry, made.caller_id) == (7, {"busy": 20}, "+551133334444")
    assert (made.company_types, made.agents, made.objective) == (("Financeiro",), (team[0].id,), "Come back")
    summary = await campaigns.summary(fresh_db, made)
    assert (summary.hours_per_week, summary.source, summary.agents) == (10, "Everybody", ("Agent 1",))
    assert [each.rule for each in summary.hindrances] == ["layout_id"]
    actions = [entry.action for entry in await audit.recent(fresh_db) if entry.action.startswith("campaign")]
    assert actions == ["campaign.update"] * 4 + ["campaign.create"]
    assert await campaigns.all(fresh_db, "come", ["draft"]) == [made]
    assert await campaigns.count(fresh_db, "nothing") == 0


@pytest.mark.parametrize(
    ("step", "values", "wrong"),
    [
        ("identification", {"name": ""}, {"name": "required"}),
        ("identification", {"name": "Taken"}, {"name": "taken"}),
        ("identification", {"message": "x" * 141}, {"message": "too_long"}),
        ("identification", {"source": "moon"}, {"source": "not_an_option"}),
        ("identification", {"external_code": "A1"}, {"external_code": "needs_validation"}),
        ("identification", {"source": "filter", "filter_id": "99"}, {"filter_id": "not_an_option"}),
        ("period", {"permanent": ""}, {"valid_from": "required", "valid_until": "required"}),
        (
            "period",
            {"permanent": "", "valid_from": "2026-02-30", "valid_until": "2026-01-01"},
            {"valid_from": "not_a_date"},
        ),
        (
            "period",
            {"permanent": "", "valid_from": "2026-02-02", "valid_until": "2026-02-01"},
            {"valid_until": "out_of_range"},
        ),
        ("period", {"hours_preset": "custom", "hours": {}}, {"hours": "required"}),
        ("period", {"hours_preset": "custom", "hours": {"9": [[0, 60]]}}, {"hours": "not_an_option"}),
        ("period", {"hours_preset": "custom", "hours": {"0": [[60, 60]]}}, {"hours": "out_of_range"}),
        (
            "period",
            {"hours_preset": "custom", "hours": {"0": [[0, 90], [60, 99]]}},
            {"hours": "out_of_range"},
        ),
        ("period", {"hours_preset": "custom", "hours": "all day"}, {"hours": "not_an_option"}),
        ("settings", {"attempts_max": "0"}, {"attempts_max": "out_of_range"}),
        ("settings", {"retry": {"busy": "soon"}}, {"retry": "not_a_number"}),
        ("settings", {"retry": {"asleep": 5}}, {"retry": "not_an_option"}),
        ("settings", {"company_target": "selected"}, {"company_types": "required"}),
        (
            "settings",
            {"validate_dial": "procedure:x; drop", "validation_inputs": ["document"]},
            {"validate_dial": "not_an_option"},
        ),
        ("settings", {"validate_list": "procedure:ok"}, {"validation_inputs": "required"}),
        ("settings", {"caller_id": "12345678901234567"}, {"caller_id": "not_a_phone"}),
        ("conclusion", {"agents": [999]}, {"agents": "not_an_option"}),
        ("conclusion", {"groups": ["x"]}, {"groups": "not_an_option"}),
    ],
)
async def test_what_a_step_refuses_changes_nothing(db, step, values, wrong):
    if await campaigns.by_name(db, "Taken") is None:
        await campaigns.create_draft(db, None, name="Taken", source="leads")
        await campaigns.create_draft(db, None, name="Mine", source="leads")
    before = await campaigns.by_name(db, "Mine")
    assert await errors(campaigns.save_step(db, None, before.id, step, values)) == wrong
    assert await campaigns.by_id(db, before.id) == before


async def test_an_agent_may_not_make_or_change_campaigns(fresh_db, team):
    made = await campaign(fresh_db, team)
    for act in (
        campaigns.create_draft(fresh_db, team[0], name="Mine"),
        campaigns.save_step(fresh_db, team[0], made.id, "identification", {"name": "Mine"}),
        campaigns.pause(fresh_db, team[0], made.id),
        campaigns.copy(fresh_db, team[0], made.id, "Mine"),
        campaigns.remove(fresh_db, team[0], made.id),
        items.generate(fresh_db, team[0], made.id, "add", NOON),
        items.link(fresh_db, team[0], made.id, 1),
        leads.receive(fresh_db, team[0], made.id, NOON, name="X", phones=["11987654321"]),
    ):
        with pytest.raises(Refused) as refused:
            await act
        assert refused.value.code == "not_allowed"
    assert await campaigns.by_id(fresh_db, made.id) == made


async def test_its_life_goes_from_draft_to_active_and_ended_stays_ended(fresh_db, lead, team):
    draft = await campaigns.create_draft(fresh_db, lead, name="Bare")
    wrong = await errors(campaigns.activate(fresh_db, lead, draft.id))
    assert wrong == {"filter_id": "required", "agents": "required", "layout_id": "required"}
    made = await campaign(fresh_db, team)
    assert (await campaigns.pause(fresh_db, lead, made.id)).status == "paused"
    assert (await campaigns.activate(fresh_db, lead, made.id)).status == "active"
    emptied = campaigns.save_step(fresh_db, lead, made.id, "conclusion", {"agents": [], "groups": []})
    assert await errors(emptied) == {"agents": "required"}
    ended = await campaigns.end(fresh_db, lead, made.id)
    assert ended.agents == made.agents
    for act in (
        campaigns.activate(fresh_db, lead, made.id),
        campaigns.save_step(fresh_db, lead, made.id, "identification", {"name": "New"}),
    ):
        with pytest.raises(Refused):
            await act
    again = await campaigns.copy(fresh_db, lead, made.id, "Again")
    assert (again.status, again.agents, again.generation) == ("draft", made.agents, 1)
    await campaigns.remove(fresh_db, lead, again.id)
    [contact_id] = await people(fresh_db, 1)
    await put(fresh_db, made, contact_id)
    assert await errors(campaigns.remove(fresh_db, lead, made.id)) == {"list": "in_use"}


# -- Who sees it -------------------------------------------------------------------------------------------


async def test_each_of_the_four_rules_hides_a_campaign_and_says_so(fresh_db, team):
    ana, bia = team
    day = NOON.date()
    made = await campaign(fresh_db, [ana], permanent=False, valid_from=day, valid_until=day)
    [contact_id] = await people(fresh_db, 1)
    item_id = await put(fresh_db, made, contact_id)
    tomorrow = NOON + datetime.timedelta(days=1)

    async def hidden(user, now=NOON):
        made_now = await campaigns.by_id(fresh_db, made.id)
        rules = [each.rule for each in await campaigns.why_hidden(fresh_db, made_now, user, now)]
        assert (not rules) == ([made_now] == await campaigns.visible_to(fresh_db, user, now))
        return rules

    assert await hidden(ana) == []
    assert await hidden(bia) == ["agent"]
    assert await hidden(ana, tomorrow) == ["validity"]
    await fresh_db.execute("UPDATE list_item SET state = 1, due_at = $1", NOON + MINUTE)
    assert await hidden(ana) == ["items"] and await hidden(ana, NOON + MINUTE) == []
    await fresh_db.execute("UPDATE list_item SET callback_owner = $1", bia.id)
    assert await hidden(ana, NOON + MINUTE) == ["items"]
    await fresh_db.execute("UPDATE list_item SET state = 2, attempts = 3, callback_owner = NULL")
    assert await hidden(ana, NOON + MINUTE) == []
    await items.claim_this(fresh_db, item_id, ana, NOON)
    assert await hidden(ana) == []  # his own one, in hand
    await campaigns.pause(fresh_db, None, made.id)
    assert await hidden(bia, tomorrow) == ["status", "validity", "agent", "items"]


async def test_a_group_belongs_with_all_its_agents(fresh_db, team):
    group = await fresh_db.fetchval("INSERT INTO user_group (name) VALUES ('Sales') RETURNING id")
    made = await campaign(fresh_db, groups=[group])
    assert not campaigns.belongs(made, team[0])
    await fresh_db.execute("UPDATE user_account SET group_id = $1 WHERE id = $2", group, team[0].id)
    assert campaigns.belongs(made, await users.by_id(fresh_db, team[0].id))
    off = replace(await users.by_id(fresh_db, team[0].id), active=False)
    assert not campaigns.belongs(made, off)


# -- Its list ----------------------------------------------------------------------------------------------


async def filtered(db, team, lead, **settings):
    return await campaign(db, team, source="filter", filter_id=(await everybody(db, lead)).id, **settings)


async def test_adding_takes_nobody_twice_and_nobody_blocked(fresh_db, lead, team):
    made = await filtered(fresh_db, team, lead)
    ids = await people(fresh_db, 6)
    await fresh_db.execute("DELETE FROM contact_phone WHERE contact_id = $1", ids[0])
    await blocklist.block(fresh_db, lead, "+5511900000001", None, "asked us not to")
    await blocklist.block(fresh_db, lead, "+5511900000002", made.id, "not for this")
    other = await campaign(fresh_db, team, name="Other")
    await blocklist.block(fresh_db, lead, "+5511900000003", other.id, "elsewhere only")
    standing = [each.standing for each in await items.show_list(fresh_db, made)]
    assert standing == ["rejected", "blocked", "blocked", "new", "new", "new"]
    assert await lists.standings(fresh_db, made) == lists.Standings(3, 0, 2, 1)
    load = await items.generate(fresh_db, lead, made.id, "add", NOON)
    assert (load.added, load.duplicates, load.blocked, load.rejected, load.by) == (3, 0, 2, 1, "Boss")
    more = await people(fresh_db, 1, first=911111111)
    await fresh_db.execute("UPDATE list_item SET state = 4, result = 'success' WHERE contact_id = $1", ids[3])
    load = await items.generate(fresh_db, lead, made.id, "add", NOON)
    assert (load.added, load.duplicates) == (1, 3)
    rows = await fresh_db.fetch("SELECT contact_id, state FROM list_item ORDER BY id")
    assert [row["contact_id"] for row in rows] == [*ids[3:], *more]
    assert rows[0]["state"] == State.CONCLUDED
    assert [each.kind for each in await items.loads(fresh_db, made.id)] == ["add", "add"]


@pytest.mark.parametrize("target", ["main", "selected"])
async def test_everybody_is_counted_as_they_are_called_one_by_one(fresh_db, lead, team, target, monkeypatch):
    monkeypatch.setattr(lists, "PEOPLE_A_STEP", 7)
    made = await filtered(fresh_db, team, lead, company_target=target, company_types=["sales", "it"])
    chance = random.Random(5)
    ids = await people(fresh_db, 60)
    for contact_id in ids:
        number = f"+5511{900000000 + contact_id - ids[0]}"
        if chance.random() < 0.5:
            await fresh_db.execute("UPDATE contact SET kind = 'company' WHERE id = $1", contact_id)
            for type in {chance.choice(["main", "sales", "it", "press"]) for _ in range(2)}:
                phones = [f"+55213{contact_id:03}{n:04}" for n in range(chance.randrange(3))]
                await fresh_db.execute(
                    "INSERT INTO contact_person (contact_id, type, name, phones) VALUES ($1, $2, 'Ana', $3)",
                    contact_id, type, phones,
                )  # fmt: skip
                if phones and chance.random() < 0.4:
                    await blocklist.block(fresh_db, lead, phones[0], chance.choice([None, made.id]), "no")
        if chance.random() < 0.3:
            await blocklist.block(fresh_db, lead, number, chance.choice([None, made.id]), "no")
        if chance.random() < 0.3:
            await fresh_db.execute("INSERT INTO wrong_number VALUES ($1, $2, $3)", contact_id, number, NOON)
        if chance.random() < 0.2:
            await put(fresh_db, made, contact_id)
    one_by_one = Counter(each.standing for each in await items.show_list(fresh_db, made, 100))
    assert min(one_by_one[each] for each in ("new", "listed", "blocked", "rejected")) > 0
    assert await lists.standings(fresh_db, made) == lists.Standings(**one_by_one)
    load = await items.generate(fresh_db, lead, made.id, "add", NOON)
    assert (load.added, load.duplicates, load.blocked, load.rejected) == tuple(
        one_by_one[each] for each in ("new", "listed", "blocked", "rejected")
    )
    anew = await items.generate(fresh_db, lead, made.id, "rebuild", NOON)
    assert (anew.duplicates, anew.added + anew.blocked + anew.rejected) == (0, 60)


async def test_lists_made_at_the_same_moment_hold_nobody_twice(fresh_db, lead, team):
    made = await filtered(fresh_db, team, lead)
    await people(fresh_db, 200)
    loads = await asyncio.gather(*(items.generate(fresh_db, lead, made.id, "add", NOON) for _ in range(4)))
    assert sum(load.added for load in loads) == 200
    assert await fresh_db.fetchval("SELECT count(*) FROM list_item") == 200


async def test_a_rebuild_archives_the_list_and_counts_anew(fresh_db, lead, team):
    made = await filtered(fresh_db, team, lead, attempts_max=1)
    await people(fresh_db, 3)
    await items.generate(fresh_db, lead, made.id, "add", NOON)
    item = await items.claim_next(fresh_db, made, team[0], NOON)
    await attempts.without_call(fresh_db, team[0], item.id, Situation.BUSY, NOON)
    with pytest.raises(Refused, match="Agent 1") as refused:
        await items.generate(fresh_db, lead, made.id, "rebuild", NOON)
    assert refused.value.code == "in_use"
    assert await fresh_db.fetchval("SELECT count(*) FROM list_item_archive") == 0
    await items.release(fresh_db, team[0].id, item.id)
    before = await items.by_id(fresh_db, item.id)
    assert before.state is State.HIT_LIMIT
    load = await items.generate(fresh_db, lead, made.id, "rebuild", NOON)
    assert (load.added, load.duplicates, load.generation) == (3, 0, 2)
    kept = await fresh_db.fetchrow("SELECT * FROM list_item_archive WHERE id = $1", item.id)
    assert (kept["state"], kept["attempts"], kept["generation"]) == (State.HIT_LIMIT, 1, 1)
    fresh = await fresh_db.fetch("SELECT state, attempts, generation FROM list_item")
    assert {tuple(row) for row in fresh} == {(0, 0, 2)}
    assert [each.generation for each in await attempts.of_contact(fresh_db, item.contact_id)] == [1]
    made = await campaigns.by_id(fresh_db, made.id)
    progress = await items.progress(fresh_db, made, NOON + MINUTE)
    assert (progress.worked, progress.left, progress.agents) == (0, 3, ())
    claimed = await items.claim_next(fresh_db, made, team[0], NOON)
    attempt = await attempts.without_call(fresh_db, team[0], claimed.id, Situation.BUSY, NOON)
    assert (attempt.attempt_number, attempt.generation) == (1, 2)


async def test_a_list_is_recorded_only_while_the_campaign_is_in_use(fresh_db, lead, team):
    draft = await campaigns.create_draft(
        fresh_db, lead, name="Draft", filter_id=(await everybody(fresh_db)).id
    )
    with pytest.raises(Refused, match="active"):
        await items.generate(fresh_db, lead, draft.id, "add", NOON)
    file = await fresh_db.fetchval("INSERT INTO import_layout (name) VALUES ('Bank') RETURNING id")
    made = await campaign(fresh_db, team, name="File", source="layout", import_layout_id=file)
    with pytest.raises(Refused) as refused:
        await items.generate(fresh_db, lead, made.id, "add", NOON)
    assert refused.value.code == "needs_import"
    ids = await people(fresh_db, 2)
    async with fresh_db.acquire() as connection, connection.transaction():
        assert await items.add(connection, made, [*ids, ids[0]]) == 2
    assert (await items.generate(fresh_db, lead, made.id, "rebuild", NOON)).added == 2
    assert (await items.generate(fresh_db, lead, made.id, "rebuild", NOON)).added == 2


@dataclass(frozen=True)
class Said:
    allowed: bool
    failed: bool = False
    why: str = ""
    fault: Refused | None = None


@pytest.mark.parametrize(("on_failure", "added"), [("skip", 1), ("allow", 2)])
async def test_the_validation_of_a_list_is_asked_of_each_person(fresh_db, lead, team, on_failure, added):
    made = await filtered(
        fresh_db, team, lead, validates=True, validate_list="https://example.org/check",
        validation_inputs=["document", "external_code"], validation_on_failure=on_failure,
    )  # fmt: skip
    assert made.validation_inputs == ("external_code", "document")
    ids = await people(fresh_db, 3)
    asked = []

    async def ask(campaign, person):
        asked.append(person.internal_code)
        return {
            ids[0]: Said(True),
            ids[1]: Said(False, why="owes\x00 nothing"),
            ids[2]: Said(
                False, failed=True, fault=Refused("no answer within {seconds} seconds", seconds="3")
            ),
        }[int(person.internal_code)]

    with pytest.raises(Refused):
        await items.generate(fresh_db, lead, made.id, "add", NOON)
    load = await items.generate(fresh_db, lead, made.id, "add", NOON, ask)
    assert asked == [str(each) for each in ids]
    assert (load.added, load.rejected, load.failed, load.refusals) == (added, 3 - added, 1, 2)
    kept = await lists.refusals(fresh_db, load.id)
    assert [(each.contact_id, each.contact, each.failed, str(each.why)) for each in kept] == [
        (ids[2], "Person 3", True, "no answer within 3 seconds"),
        (ids[1], "Person 2", False, "owes nothing"),
    ]
    await fresh_db.execute("DELETE FROM contact WHERE id = $1", ids[2])
    assert [each.contact_id for each in await lists.refusals(fresh_db, load.id)] == [ids[1]]


async def test_a_validation_that_hangs_for_one_person_holds_up_no_other(fresh_db, lead, team):
    made = await filtered(
        fresh_db, team, lead, validates=True, validate_list="https://example.org/check",
        validation_inputs=["document"],
    )  # fmt: skip
    ids = await people(fresh_db, 3)
    others_asked, asked = asyncio.Event(), []

    async def ask(campaign, person):
        asked.append(int(person.internal_code))
        if asked[-1] == ids[0]:
            await others_asked.wait()
            return Said(False, failed=True)
        if asked[-1] == ids[2]:
            others_asked.set()
        return Said(True)

    load = await items.generate(fresh_db, lead, made.id, "add", NOON, ask)
    assert (load.added, load.failed, load.rejected) == (2, 1, 1)


async def test_the_making_of_a_list_says_how_far_it_is(fresh_db, lead, team, monkeypatch):
    monkeypatch.setattr(lists, "PEOPLE_A_STEP", 2)
    monkeypatch.setattr(lists, "ASKED_A_STEP", 3)
    made = await filtered(
        fresh_db, team, lead, validates=True, validate_list="https://example.org/check",
        validation_inputs=["document"],
    )  # fmt: skip
    ids, heard = await people(fresh_db, 5), []

    async def ask(campaign, person):
        return Said(int(person.internal_code) != ids[1], failed=int(person.internal_code) == ids[4])

    load = await items.generate(fresh_db, lead, made.id, "add", NOON, ask, heard.append)
    said = [(each.step, each.done, each.all, each.failed) for each in heard]
    assert [each for each in said if each[0] != "looking"] == [
        *(("asking", done, 5, 0) for done in range(5)), ("asking", 5, 5, 1),
        ("recording", 0, 3, 1), ("recording", 2, 3, 1), ("recording", 3, 3, 1),
    ]  # fmt: skip
    assert [each[1] for each in said if each[0] == "looking"] == list(range(0, ids[-1], 2))
    rows = await fresh_db.fetch("SELECT contact_id FROM list_item ORDER BY id")
    assert [row["contact_id"] for row in rows] == [ids[0], ids[2], ids[3]] and load.added == 3


@pytest.mark.parametrize("step", ["asking", "recording"])
async def test_a_list_cancelled_while_it_is_made_stays_as_it_was(fresh_db, lead, team, step, monkeypatch):
    monkeypatch.setattr(lists, "PEOPLE_A_STEP", 2)
    made = await filtered(
        fresh_db, team, lead, validates=True, validate_list="https://example.org/check",
        validation_inputs=["document"],
    )  # fmt: skip
    ids = await people(fresh_db, 5)
    was = await put(fresh_db, made, ids[0], state=State.CONCLUDED, result="success")

    async def ask(campaign, person):
        return Said(True)

    def note(progress):
        if progress.step == step and progress.done:
            making.cancel()

    making = asyncio.create_task(items.generate(fresh_db, lead, made.id, "rebuild", NOON, ask, note))
    with pytest.raises(asyncio.CancelledError):
        await making
    rows = await fresh_db.fetch("SELECT id, state, generation FROM list_item")
    assert [tuple(row) for row in rows] == [(was, State.CONCLUDED, 1)]
    assert await fresh_db.fetchval("SELECT count(*) FROM list_item_archive") == 0
    assert await items.loads(fresh_db, made.id) == []
    load = await items.generate(fresh_db, lead, made.id, "rebuild", NOON, ask)
    assert load.added == 5


async def test_of_a_company_the_chosen_contacts_are_called_and_never_the_main_one(fresh_db, lead, team):
    company = await fresh_db.fetchval(
        "INSERT INTO contact (name, kind) VALUES ('Acme', 'company') RETURNING id"
    )
    await fresh_db.execute(
        "INSERT INTO contact_phone (contact_id, number) VALUES ($1, '+551130000000')", company
    )
    await fresh_db.executemany(
        "INSERT INTO contact_person (contact_id, type, name, phones) VALUES ($1, $2, $3, $4)",
        [
            (company, "main", "Rui", ["+551130000001"]),
            (company, "Financeiro", "Bia", ["+551130000002", "+551130000003"]),
            (company, "Compras", "Léo", ["+551130000004"]),
        ],
    )
    to_main = await campaign(fresh_db, team, name="Main")
    chosen = await campaign(
        fresh_db, team, name="Chosen", company_target="selected", company_types=["Financeiro", "main"]
    )

    async def numbers(made):
        return [(each.number[-1], each.person) for each in await items.phones(fresh_db, made.id, company)]

    assert await numbers(to_main) == [("1", "Rui"), ("0", "")]
    assert await numbers(chosen) == [("2", "Bia"), ("3", "Bia")]


async def test_a_customer_is_linked_by_hand_where_the_campaign_allows_it(fresh_db, lead, team):
    [contact_id] = await people(fresh_db, 1)
    closed = await campaign(fresh_db, team)
    with pytest.raises(Refused):
        await items.link(fresh_db, team[0], closed.id, contact_id)
    made = await campaign(fresh_db, team[:1], name="Linking", link_person=True)
    with pytest.raises(Refused):
        await items.link(fresh_db, team[1], made.id, contact_id)
    assert await items.link(fresh_db, team[0], made.id, contact_id)
    assert not await items.link(fresh_db, lead, made.id, contact_id)
    assert await items.link(fresh_db, lead, closed.id, contact_id)


# -- Leads -------------------------------------------------------------------------------------------------


async def test_a_lead_is_on_the_list_at_once_and_only_once(fresh_db, lead, team):
    made = await campaign(fresh_db, team)
    send = {"name": "Ana", "phones": ["(11) 98765-4321"], "source": "site", "external_id": "77"}
    first = await leads.receive(fresh_db, lead, made.id, NOON, **send)
    again = await leads.receive(fresh_db, lead, made.id, NOON, **send)
    assert again == first and first.item_id is not None
    other = await leads.receive(fresh_db, lead, made.id, NOON, **{**send, "external_id": "78"})
    assert (other.contact_id, other.item_id) == (first.contact_id, first.item_id)
    assert await fresh_db.fetchval("SELECT count(*) FROM contact") == 1
    [load] = await items.loads(fresh_db, made.id)
    assert (load.kind, load.added, load.duplicates) == ("lead", 1, 1)
    assert (await items.claim_next(fresh_db, made, team[0], NOON)).contact == "Ana"
    for phones, wrong in ((["x"], "not_a_phone"), (["190"], "not_a_phone"), ([], "required")):
        refused = leads.receive(fresh_db, lead, made.id, NOON, name="B", phones=phones)
        assert await errors(refused) == {"phones": wrong}
    await blocklist.block(fresh_db, lead, "+5511911112222", None, "no")
    blocked = await leads.receive(fresh_db, lead, made.id, NOON, name="Bob", phones=["11911112222"])
    assert blocked.item_id is None
    assert [each.contact for each in await leads.of_campaign(fresh_db, made.id)] == ["Bob", "Ana", "Ana"]
    rebuilt = await items.generate(fresh_db, lead, made.id, "add", NOON)
    assert (rebuilt.added, rebuilt.duplicates, rebuilt.blocked) == (0, 1, 1)
    file = await filters.create(fresh_db, lead, name="All", tree={"all": []})
    takes_none = await campaign(fresh_db, team, name="Filter", source="filter", filter_id=file.id)
    with pytest.raises(Refused, match="takes no leads"):
        await leads.receive(fresh_db, lead, takes_none.id, NOON, **send)


@pytest.mark.parametrize(
    "more", [{}, {"external_id": "77", "source": "site"}, {"document": "529.982.247-25"}]
)
async def test_the_same_person_sent_many_times_at_the_same_moment_is_one_customer(fresh_db, lead, team, more):
    made = await campaign(fresh_db, team)
    sent = [
        leads.receive(fresh_db, lead, made.id, NOON, name="Ana", phones=["(11) 98765-4321"], **more)
        for _ in range(12)
    ]
    got = await asyncio.gather(*sent)
    assert len({each.contact_id for each in got}) == 1
    assert await fresh_db.fetchval("SELECT count(*) FROM contact") == 1
    assert await fresh_db.fetchval("SELECT count(*) FROM list_item") == 1
