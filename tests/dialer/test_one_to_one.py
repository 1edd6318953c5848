"""An agent works a list: takes people, calls, talks along the script, says what came of it."""

import asyncio
import datetime

import pytest

from crm import actions, attempts, blocklist, contacts, custom_fields, items, scripts, tickets
from crm.campaigns import save_step
from crm.item_states import State
from crm.refused import Refused
from cti.agent import WRAP_UP
from tests.crm.campaigning import MINUTE, NOON, boss, put
from tests.dialer.stage import stage
from tests.waiting import until

DAY = datetime.timedelta(days=1)
TOMORROW = (NOON + DAY).isoformat()


@pytest.fixture
async def here(fresh_db):
    async with stage(fresh_db) as here:
        yield here


def form(here, **more):
    return {"category": here.category, "reason": "Preço", **more}


async def refused(asking):
    with pytest.raises(Refused) as refusal:
        await asking
    return refusal.value


# -- Taking ------------------------------------------------------------------------------------------------


async def test_an_agent_without_a_station_is_given_nobody(here):
    here.desk().station = None
    assert (await refused(here.next())).code == "wrong_state"


async def test_next_gives_an_overdue_callback_first_and_says_so(here):
    ids = [row["id"] for row in await here.db.fetch("SELECT id FROM list_item ORDER BY id")]
    await here.db.execute(
        "UPDATE list_item SET state = 1, due_at = $2, callback_note = 'after lunch' WHERE id = $1",
        ids[-1], NOON - MINUTE,
    )  # fmt: skip
    work = await here.next()
    assert (work["item"], work["overdue"], work["callback"]["note"]) == (ids[-1], True, "after lunch")
    other = await here.next(agent=1)
    assert (other["item"], other["overdue"]) == (ids[0], False)


async def test_two_agents_are_never_given_the_same_person(here):
    first, second = await asyncio.gather(here.next(0), here.next(1))
    assert first["item"] != second["item"]
    refusal = await refused(here.ask("TakeItem", 1, item=first["item"]))
    assert refusal.code in ("held", "has_another")


async def test_a_chosen_person_who_is_with_somebody_else_is_refused_with_the_name(here):
    work = await here.next(0)
    refusal = await refused(here.ask("TakeItem", 1, item=work["item"]))
    assert refusal.code == "held" and here.team[0].name in str(refusal)


async def test_next_again_is_the_same_person_and_exit_changes_nothing(here):
    work = await here.next()
    before = await here.item(work["item"])
    assert (await here.next())["item"] == work["item"]
    await here.ask("ExitItem", item=work["item"])
    after = await here.item(work["item"])
    assert here.work() is None and after["held_by"] is None
    assert {k: v for k, v in after.items() if not k.startswith("held")} == {
        k: v for k, v in before.items() if not k.startswith("held")
    }


async def test_when_nobody_is_left_the_agent_is_told(here):
    await here.db.execute("UPDATE list_item SET state = 4, result = 'success'")
    assert (await refused(here.next())).code == "nobody_left"


async def test_the_list_is_searched_and_filtered_by_situation(here):
    found = await here.ask("ListItems", campaign=here.campaign.id)
    assert len(found["items"]) == 3 and not found["more"]
    found = await here.ask("ListItems", campaign=here.campaign.id, name="person 2")
    assert [each["name"] for each in found["items"]] == ["Person 2"]
    found = await here.ask("ListItems", campaign=here.campaign.id, situation="trying")
    assert found["items"] == []
    refusal = await refused(here.ask("ListItems", campaign=here.campaign.id, situation="nothing"))
    assert refusal.code == "bad_argument"


# -- Calling -----------------------------------------------------------------------------------------------


async def test_the_whole_way_from_next_to_success(here):
    work = await here.next()
    leg = await here.talk(work)
    assert here.desk().form is not None, "the campaign's form is open"
    assert here.desk().customer["contact"]["id"] == work["contact"]["id"]
    here.now += MINUTE
    leg.gone()
    await here.phase("after")
    assert here.floor.agent(here.team[0].id).state == WRAP_UP
    await here.ask("SetOutcome", item=work["item"], result="success", note="Fechou", answers=form(here))
    assert here.work() is None and here.desk().form is None
    assert here.floor.agent(here.team[0].id).state == "ready"
    item = await here.item(work["item"])
    assert (item["state"], item["result"], item["held_by"]) == (4, "success", None)
    (attempt,) = await here.tries(work["item"])
    assert (attempt["situation"], attempt["result"], attempt["note"]) == ("completed", "success", "Fechou")
    assert attempt["talk_seconds"] == 60 and attempt["category_id"] == int(here.category)
    assert (await here.next())["item"] != work["item"]


async def test_an_outcome_said_while_talking_is_carried_out_when_the_call_is_over(here):
    work = await here.next()
    leg = await here.talk(work)
    answer = await here.ask("SetOutcome", item=work["item"], result="failure", answers=form(here))
    assert answer["work"]["chosen"]["result"] == "failure"
    assert (await here.item(work["item"]))["state"] == State.TRYING
    leg.gone()
    await until(lambda: here.work() is None)
    assert (await here.item(work["item"]))["result"] == "failure"


async def test_wrong_fields_of_the_form_keep_everything_as_it_was(here):
    work = await here.next()
    await here.talked(work)
    refusal = await refused(here.ask("SetOutcome", item=work["item"], result="success", answers={}))
    assert set(refusal.details["errors"]) == {"category", "reason"}
    assert here.work()["phase"] == "after" and (await here.item(work["item"]))["state"] == State.TRYING


@pytest.mark.parametrize(
    ("mode", "mine", "owned"),
    [("free", True, False), ("optional", False, False), ("optional", True, True), ("agent", False, True)],
)
async def test_a_callback_belongs_to_whom_the_campaign_says(fresh_db, mode, mine, owned):
    async with stage(fresh_db, callback_mode=mode) as here:
        work = await here.next()
        await here.talked(work)
        await here.ask(
            "SetOutcome", item=work["item"], result="callback", callback_date="2026-11-19",
            callback_time="10:30", callback_phone="(11) 95555-0001", mine=mine, note="Ligar",
            answers=form(here),
        )  # fmt: skip
        item = await here.item(work["item"])
        assert item["state"] == State.TO_CALL_BACK and item["callback_phone"] == "+5511955550001"
        assert item["due_at"] == datetime.datetime(2026, 11, 19, 13, 30, tzinfo=datetime.UTC)
        assert item["callback_owner"] == (here.team[0].id if owned else None)


async def test_the_phone_agreed_for_a_callback_is_offered_first_and_may_be_dialed(here):
    work = await here.next()
    await here.talked(work)
    await here.ask(
        "SetOutcome", item=work["item"], result="callback", callback_at=TOMORROW,
        callback_phone="11955550001", answers=form(here),
    )  # fmt: skip
    here.now = NOON + DAY + MINUTE
    work = await here.next()
    assert work["overdue"] and work["phones"][0]["number"] == "+5511955550001"
    assert (await here.dial(work)).number == "+5511955550001"


async def test_a_callback_is_to_the_number_just_called_unless_another_is_said(here):
    """EPB-21, EPB-52."""
    work = await here.next()
    await here.talked(work)
    await here.ask(
        "SetOutcome", item=work["item"], result="callback", callback_at=TOMORROW, answers=form(here)
    )
    assert (await here.item(work["item"]))["callback_phone"] == work["phones"][0]["number"]


async def test_an_outcome_said_twice_at_the_same_moment_is_one(here):
    work = await here.next()
    await here.talked(work)
    said = await asyncio.gather(
        *(here.ask("SetOutcome", item=work["item"], result="failure", answers=form(here)) for _ in range(3)),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in said) == ["Refused", "Refused", "dict"]
    assert len(await actions.history(here.db, work["contact"]["id"])) == 1


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"callback_at": (NOON - DAY).isoformat()},
        {"callback_at": "soon"},
        {"callback_date": "2099-01-02"},  # somebody was promised an hour, too
        {"callback_time": "10:00"},
    ],
)
async def test_a_callback_without_a_time_to_come_is_refused(here, given):
    work = await here.next()
    await here.talked(work)
    refusal = await refused(here.ask("SetOutcome", item=work["item"], result="callback", **given))
    assert "callback_at" in refusal.details["errors"]


@pytest.mark.parametrize(
    ("status", "situation"),
    [
        (486, "busy"),
        (480, "no_answer"),
        (404, "invalid"),
        (503, "congestion"),
        (603, "rejected"),
        (488, "failed"),
    ],
)
async def test_a_call_nobody_answers_is_an_attempt_with_its_reason_and_the_window_stays(
    here, status, situation
):
    work = await here.next()
    (await here.dial(work)).refuse(status)
    await here.phase("contact")
    (attempt,) = await here.tries(work["item"])
    assert (attempt["situation"], attempt["sip_status"]) == (situation, status)
    assert here.work()["last"]["situation"] == situation
    item = await here.item(work["item"])
    if situation == "invalid":
        assert item["state"] == State.CONCLUDED, "the only number does not exist"
    else:
        assert item["state"] == State.TRYING and item["due_at"] > here.now - MINUTE
    await here.ask("ExitItem", item=work["item"])


async def test_when_the_agents_own_phone_stays_silent_nobody_was_called_and_the_agent_is_told(here):
    """No attempt is counted against the customer, and the person stays in the agent's hands."""
    here.softphone()
    work = await here.next()
    before = await here.item(work["item"])
    await here.ask("DialItem", item=work["item"], number=work["phones"][0]["number"])
    await until(lambda: here.own())
    here.own()[-1].refuse(480)
    await here.phase("contact")
    assert "Your own phone did not answer" in here.work()["refusal"] and not here.rung
    assert await here.tries(work["item"]) == [] and await here.item(work["item"]) == before
    assert here.work()["item"] == work["item"]


async def test_an_outcome_still_to_be_said_is_not_lost_when_calling_again_fails_at_the_agents_own_phone(here):
    work = await here.next()
    await here.talked(work)
    here.softphone()
    await here.ask("DialItem", item=work["item"], number=work["phones"][0]["number"])
    await until(lambda: here.own())
    here.own()[-1].refuse(480)
    await here.phase("after")
    assert (await refused(here.ask("ExitItem", item=work["item"]))).code == "wrong_state"
    await here.ask("SetOutcome", item=work["item"], result="failure")
    assert [row["result"] for row in await here.tries(work["item"])] == ["failure"]


async def test_hanging_up_while_it_rings_is_a_cancelled_attempt(here):
    work = await here.next()
    await here.dial(work)
    await here.ask("ClearConnection")
    await here.phase("contact")
    assert [row["situation"] for row in await here.tries(work["item"])] == ["cancelled"]


async def test_the_next_number_is_called_after_the_first_was_busy(here):
    work = await here.next()
    await here.db.execute("INSERT INTO contact_phone VALUES ($1, '+5511955550002', 9)", work["contact"]["id"])
    (await here.dial(work)).refuse(486)
    await here.phase("contact")
    assert (await here.dial(work, "+5511955550002")).number == "+5511955550002"
    assert [row["attempt_number"] for row in await here.tries(work["item"])] == [1, 2]


async def test_call_again_now_takes_what_was_typed_into_the_next_calls_form(here):
    work = await here.next()
    await here.talked(work)
    here.desk().draft(here.desk().call.id, {"reason": "A linha caiu"})
    leg = await here.dial(work)
    leg.lift()
    await here.phase("talking")
    assert here.desk().form.answers["reason"] == "A linha caiu"
    assert here.desk().pending == [], "the form of the dropped call is not left behind"


async def test_voicemail_returns_the_same_person_to_the_list_and_needs_no_form(here):
    work = await here.next()
    await here.talked(work)
    await here.ask("SetOutcome", item=work["item"], status="voicemail")
    assert here.work() is None and here.desk().form is None and here.desk().pending == []
    (attempt,) = await here.tries(work["item"])
    assert attempt["situation"] == "voicemail" and attempt["answered"] is not None
    item = await here.item(work["item"])
    assert item["state"] == State.TRYING and item["due_at"] > here.now
    assert here.floor.agent(here.team[0].id).state == "ready"


async def test_a_wrong_number_is_never_called_again_and_the_others_are(here):
    work = await here.next()
    await here.db.execute("INSERT INTO contact_phone VALUES ($1, '+5511955550002', 9)", work["contact"]["id"])
    await here.talked(work)
    await here.ask("SetOutcome", item=work["item"], wrong_number=True)
    (done,) = await actions.history(here.db, work["contact"]["id"])
    assert done.no_contact == "wrong_number"
    item = await here.item(work["item"])
    assert item["state"] == State.TRYING
    phones = {p.number: p for p in await items.phones(here.db, here.campaign.id, work["contact"]["id"])}
    assert phones[work["phones"][0]["number"]].wrong and phones["+5511955550002"].callable


# -- Without a call ----------------------------------------------------------------------------------------


async def test_saved_without_dialing_is_an_attempt_that_no_telephone_heard_of(here):
    work = await here.next()
    await here.ask("SaveWithoutDialing", item=work["item"], status="no_answer", note="Ligou antes")
    assert here.work() is None and not here.rung
    (attempt,) = await here.tries(work["item"])
    assert (attempt["situation"], attempt["dialed"], attempt["note"]) == ("no_answer", False, "Ligou antes")
    item = await here.item(work["item"])
    assert item["state"] == State.TRYING and item["held_by"] is None


async def test_no_contact_needs_a_reason_and_a_new_date_and_returns_on_it(here):
    work = await here.next()
    refusal = await refused(here.ask("SaveWithoutDialing", item=work["item"], no_contact=True))
    assert set(refusal.details["errors"]) == {"status", "callback_at"}
    await here.ask(
        "SaveWithoutDialing", item=work["item"], no_contact=True, status="no_answer", callback_at=TOMORROW
    )
    assert (await here.item(work["item"]))["due_at"] == NOON + DAY
    (done,) = await actions.history(here.db, work["contact"]["id"])
    assert (done.no_contact, done.next_at) == ("no_answer", NOON + DAY)


async def test_a_contact_that_was_no_call_concludes_the_person_and_is_no_attempt(here):
    """TEL-01, TEL-06, TEL-08: the customer came in person; what was done is written, and what came of it."""
    kind = await actions.create_type(
        here.db, None, name="Balcão", outcomes=[{"name": "Comprou", "result": "success"}]
    )
    work = await here.next()
    for given, wrong in (
        ({}, {"conversation", "result"}),
        ({"result": "success"}, {"conversation"}),
        ({"type": kind.id}, {"outcome", "result"}),
        ({"result": "callback", "conversation": "Escreveu"}, {"callback_at"}),
    ):
        refusal = await refused(here.ask("RecordContact", item=work["item"], **given))
        assert set(refusal.details["errors"]) == wrong, given
    assert here.work()["item"] == work["item"]
    await here.ask(
        "RecordContact", item=work["item"], type=kind.id, outcome=kind.outcomes[0].id,
        conversation="Veio à loja",
    )  # fmt: skip
    item = await here.item(work["item"])
    assert (item["state"], item["result"], item["attempts"], item["held_by"]) == (4, "success", 0, None)
    assert item["concluded_by"] == here.team[0].id and here.work() is None
    assert await here.tries(work["item"]) == [] and not here.rung
    (done,) = await actions.history(here.db, work["contact"]["id"])
    assert (done.type, done.outcome, done.result, done.no_contact, done.conversation) == (
        "Balcão", "Comprou", "success", "", "Veio à loja"
    )  # fmt: skip


async def test_a_customer_who_wrote_is_promised_a_call_and_gets_a_protocol(fresh_db):
    """UAU-26: the contact has its ticket, as a call has."""
    kind = await tickets.create_type(
        fresh_db, None, name="Renovação", statuses=[{"name": "Aberto"}, {"name": "Fim", "closing": True}]
    )
    async with stage(fresh_db, ticket_type_id=kind.id, callback_mode="agent") as here:
        work = await here.next()
        await here.ask(
            "RecordContact", item=work["item"], result="callback", conversation="Pediu por e-mail",
            callback_at=TOMORROW, callback_phone=work["phones"][0]["number"],
        )  # fmt: skip
        item = await here.item(work["item"])
        assert (item["state"], item["due_at"], item["attempts"]) == (State.TO_CALL_BACK, NOON + DAY, 0)
        assert (item["callback_owner"], item["callback_note"]) == (here.team[0].id, "Pediu por e-mail")
        [ticket] = await here.db.fetch("SELECT * FROM ticket")
        assert item["ticket_id"] == ticket["id"] and ticket["contact_id"] == work["contact"]["id"]


@pytest.mark.parametrize(
    ("days", "hours", "waits"),
    [
        (1, 0, None),  # noon of Thursday
        (1, 10, "2026-11-21T13:00:00.000Z"),  # 22:00; Friday is a holiday: until Saturday, 10:00
        (4, 0, "2026-11-23T12:00:00.000Z"),  # Sunday: until Monday
    ],
)
async def test_a_callback_agreed_for_a_closed_hour_says_when_it_can_be_made(here, days, hours, waits):
    work = await here.next()
    at = (NOON + DAY * days + MINUTE * 60 * hours).isoformat()
    said = await here.ask(
        "RecordContact", item=work["item"], result="callback", conversation="Escreveu", callback_at=at
    )
    assert said["waits_until"] == waits


async def test_a_contact_is_recorded_only_of_a_person_in_hand_and_not_while_calling(here):
    work = await here.next()
    refusal = await refused(
        here.ask("RecordContact", 1, item=work["item"], result="success", conversation="Veio")
    )
    assert refusal.code == "held" and here.team[0].name in str(refusal)
    leg = await here.dial(work)
    asked = here.ask("RecordContact", item=work["item"], result="success", conversation="Veio")
    assert (await refused(asked)).code == "wrong_state"
    leg.refuse(486)
    await here.phase("contact")
    await items.release(here.db, here.team[0].id, work["item"])
    await items.claim_this(here.db, work["item"], here.team[1], NOON)
    asked = here.ask("RecordContact", item=work["item"], result="success", conversation="Veio")
    assert (await refused(asked)).code == "held"
    assert await actions.history(here.db, work["contact"]["id"]) == []


async def test_after_a_call_no_contact_needs_a_reason_and_a_date_and_no_result(here):
    """TEL-11, TEL-12."""
    work = await here.next()
    await here.talked(work)
    refusal = await refused(here.ask("SetOutcome", item=work["item"], no_contact=True))
    assert set(refusal.details["errors"]) == {"status", "callback_at"}
    await here.ask("SetOutcome", item=work["item"], no_contact=True, status="voicemail", callback_at=TOMORROW)
    item = await here.item(work["item"])
    assert (item["state"], item["due_at"]) == (State.TRYING, NOON + DAY)


async def test_the_time_agreed_on_is_told_from_the_time_of_a_try_after_it(here):
    await here.db.execute("UPDATE list_item SET state = 1, due_at = $1", NOON - MINUTE)
    work = await here.next()
    agreed = work["callback"]
    (await here.dial(work)).refuse(486)
    await here.phase("contact")
    assert here.work()["callback"] == agreed and agreed["promised"]
    await here.ask("ExitItem", item=work["item"])
    again = (await here.ask("TakeItem", item=work["item"]))["work"]["callback"]
    assert not again["promised"] and again["due_at"] > agreed["due_at"]


async def test_what_was_noted_at_earlier_tries_is_in_the_window(here):
    """UAU-55: the agent's notes of the post-call screen, newest first."""
    work = await here.next()
    assert work["notes"] == []
    await here.talked(work)
    await here.ask(
        "SetOutcome", item=work["item"], result="callback", callback_at=TOMORROW, note="Estava dirigindo",
        answers=form(here),
    )  # fmt: skip
    here.now = NOON + DAY + MINUTE
    again = await here.next()
    assert [(each["agent"], each["text"]) for each in again["notes"]] == [
        (here.team[0].name, "Estava dirigindo")
    ]


async def test_the_customers_data_are_in_the_window(here):
    """TEL-07."""
    await custom_fields.create(here.db, None, key="plan", label="Plano", kind="text")
    work = await here.next()
    await here.ask("ExitItem", item=work["item"])
    await contacts.update(
        here.db, None, work["contact"]["id"], email="ana@exemplo.com.br", custom={"plan": "Ouro"},
        addresses=[{"street": "Rua A", "city": "Santos", "state": "SP"}],
    )  # fmt: skip
    contact = (await here.next())["contact"]
    assert contact["emails"] == ["ana@exemplo.com.br"] and contact["addresses"] == ["Rua A · Santos / SP"]
    assert contact["custom"] == [{"label": "Plano", "kind": "text", "answer": "Ouro"}]


async def test_neither_status_nor_note_is_refused(here):
    work = await here.next()
    assert (await refused(here.ask("SaveWithoutDialing", item=work["item"]))).code == "form"
    assert here.work() is not None


async def test_blocking_takes_the_person_off_and_the_number_out_of_every_campaign_at_once(here):
    work = await here.next()
    number = work["phones"][0]["number"]
    await here.ask("BlockNumber", item=work["item"], number=number, note="Pediu", record=False)
    assert here.work() is None and here.desk().form is None and not here.rung
    assert (await here.item(work["item"]))["state"] == State.CANCELLED
    assert await blocklist.is_blocked(here.db, number, None) and here.floor.blocklist.blocked(number)
    assert [row["situation"] for row in await here.tries(work["item"])] == ["blocked"]


async def test_blocking_while_talking_waits_for_the_end_of_the_call(here):
    work = await here.next()
    leg = await here.talk(work)
    await here.ask("BlockNumber", item=work["item"], number=work["phones"][0]["number"], note="Pediu")
    assert await blocklist.is_blocked(here.db, work["phones"][0]["number"])
    assert here.work()["phase"] == "talking"
    leg.gone()
    await until(lambda: here.work() is None)
    assert (await here.item(work["item"]))["state"] == State.CANCELLED


# -- Script, ticket, action --------------------------------------------------------------------------------


async def test_the_script_opens_merged_on_answer_and_its_choices_lead_on(here):
    made = await scripts.create(
        here.db, None, name="Renovar", kind="approach",
        steps=[
            {"title": "Abertura", "text": "Falo com {{first_name}}? É da {{campaign}}.", "choices": [
                {"label": "Sim", "next": "offer"}, {"label": "Não", "next": None}]},
            {"ref": "offer", "title": "Oferta", "text": "Temos uma oferta."},
        ],
    )  # fmt: skip
    await scripts.create(here.db, None, name="Sem tempo", kind="barrier",
                         steps=[{"title": "Sem tempo", "text": "É rápido, {{first_name}}."}])  # fmt: skip
    await save_step(here.db, None, here.campaign.id, "settings", {"script_id": made.id})
    work = await here.next()
    await here.talk(work)
    script = here.work()["script"]
    assert script["step"]["text"] == "Falo com Person? É da Winback."
    assert here.work()["barriers"][0]["steps"][0]["text"] == "É rápido, Person."
    yes, no = [each["id"] for each in script["step"]["choices"]]
    await here.ask("ChooseStep", item=work["item"], choice=yes)
    assert here.work()["script"]["step"]["title"] == "Oferta"
    assert [each["title"] for each in here.work()["script"]["path"]] == ["Abertura"]
    await here.ask("ChooseStep", item=work["item"], step=script["step"]["id"])
    await here.ask("ChooseStep", item=work["item"], choice=no)
    assert here.work()["script"]["ended"]
    assert (await refused(here.ask("ChooseStep", item=work["item"], choice=999))).code == "not_found"


@pytest.mark.parametrize(("mode", "expected"), [("open_new", 2), ("edit_last", 1)])
async def test_each_call_has_a_protocol_of_its_own_or_goes_on_in_the_last(fresh_db, mode, expected):
    kind = await tickets.create_type(
        fresh_db, None, name="Contrato", statuses=[{"name": "Aberto"}, {"name": "Fim", "closing": True}]
    )
    async with stage(fresh_db, ticket_mode=mode, ticket_type_id=kind.id) as here:
        work = await here.next()
        leg = await here.talk(work)
        await until(lambda: here.work()["protocol"])
        assert here.work()["protocol"].startswith("20")
        leg.gone()
        await here.phase("after")
        await here.ask(
            "SetOutcome", item=work["item"], result="callback", callback_at=TOMORROW, answers=form(here)
        )
        here.now = NOON + DAY + MINUTE
        again = await here.next()
        await here.talk(again)
        await until(lambda: here.work()["protocol"])
        assert await here.db.fetchval("SELECT count(*) FROM ticket") == expected
        ids = [row["ticket_id"] for row in await here.tries(work["item"])]
        assert ids[0] is not None


async def test_an_action_brings_its_script_and_its_outcome_and_stays_in_the_history(here):
    words = await scripts.create(here.db, None, name="Oferta", kind="approach",
                                 steps=[{"title": "Oferta", "text": "Olá, {{first_name}}."}])  # fmt: skip
    kind = await actions.create_type(
        here.db, None, name="Apresentação", script_id=words.id,
        outcomes=[{"name": "Comprou", "result": "success"}, {"name": "Vai pensar", "result": "callback"}],
    )  # fmt: skip
    work = await here.next()
    assert work["types"][0]["script"] == "Olá, Person."
    await here.talked(work)
    asked = here.ask("SetOutcome", item=work["item"], type=kind.id, result="success", answers=form(here))
    assert (await refused(asked)).details["errors"] == {"outcome": "required"}
    await here.ask(
        "SetOutcome", item=work["item"], type=kind.id, outcome=kind.outcomes[0].id,
        conversation="Olá, Person. Quis comprar.", answers=form(here),
    )  # fmt: skip
    assert (await here.item(work["item"]))["result"] == "success", "the outcome says the result"
    (done,) = await actions.history(here.db, work["contact"]["id"])
    assert (done.type, done.outcome, done.result, done.conversation) == (
        "Apresentação", "Comprou", "success", "Olá, Person. Quis comprar."
    )  # fmt: skip
    counted = await actions.statistics(here.db, here.team[0], NOON - DAY, NOON + DAY)
    assert [(each.outcome, each.count) for each in counted] == [("Comprou", 1)]


async def test_a_schedule_is_moved_and_deleted_and_another_agents_is_not(fresh_db):
    async with stage(fresh_db, callback_mode="agent") as here:
        work = await here.next()
        await here.talked(work)
        await here.ask(
            "SetOutcome", item=work["item"], result="callback", callback_at=TOMORROW, answers=form(here)
        )
        later = (NOON + 2 * DAY).isoformat()
        refusal = await refused(here.ask("MoveCallback", 1, item=work["item"], callback_at=later))
        assert refusal.code == "others_callback" and here.team[0].name in str(refusal)
        await here.ask("MoveCallback", item=work["item"], callback_at=later)
        assert (await here.item(work["item"]))["due_at"] == NOON + 2 * DAY
        assert (await refused(here.ask("RemoveCallback", item=work["item"]))).code == "form"
        await here.ask("RemoveCallback", item=work["item"], reason="Desistiu")
        item = await here.item(work["item"])
        assert (item["state"], item["callback_owner"]) == (State.TRYING, None)


async def test_a_customer_is_linked_where_the_campaign_allows_it(here):
    contact = await here.db.fetchval("INSERT INTO contact (name) VALUES ('Novo') RETURNING id")
    await here.db.execute("INSERT INTO contact_phone VALUES ($1, '+5511966660001', 0)", contact)
    asked = {"campaign": here.campaign.id, "contact": contact}
    assert (await refused(here.ask("LinkCustomer", **asked))).code == "not_allowed"
    await save_step(here.db, None, here.campaign.id, "identification", {"link_person": True})
    await here.ask("LinkCustomer", **asked)
    assert (await refused(here.ask("LinkCustomer", **asked))).code == "taken"


# -- Leases ------------------------------------------------------------------------------------------------


async def test_a_desk_that_is_there_keeps_its_item_for_as_long_as_it_takes(here):
    work = await here.next()
    for _ in range(20):
        here.now += MINUTE / 3
        await here.one.tick()
    assert (await here.item(work["item"]))["held_by"] == here.team[0].id
    assert await here.dial(work)


async def test_an_item_whose_browser_died_goes_back_to_the_list_by_itself(here):
    work = await here.next()
    here.desk().screens.clear()
    for _ in range(4):
        here.now += MINUTE / 3
        await here.one.tick()
    assert (await here.item(work["item"]))["held_by"] is None
    assert (await here.next(agent=1))["item"] == work["item"]


async def test_a_browser_that_comes_back_has_its_item_again_if_nobody_took_it(here):
    work = await here.next()
    screens = list(here.desk().screens)
    here.desk().screens.clear()
    here.now += 2 * MINUTE
    await here.one.tick()
    here.desk().screens.update(screens)
    await here.one.tick()
    assert (await here.item(work["item"]))["held_by"] == here.team[0].id
    assert await here.dial(work)


async def test_an_agent_who_comes_back_too_late_is_told_who_has_it(here):
    work = await here.next()
    screens = list(here.desk().screens)
    here.desk().screens.clear()
    here.now += 2 * MINUTE
    await here.one.tick()
    await here.next(agent=1)
    here.desk().screens.update(screens)
    await here.one.tick()
    assert here.work() is None
    (lost,) = [event for event in screens[0].events if event["event"] == "ItemLost"]
    assert here.team[1].name in lost["why"] and lost["contact"] == work["contact"]["name"]
    refusal = await refused(here.ask("SaveWithoutDialing", item=work["item"], note="x"))
    assert refusal.code == "held" and here.team[1].name in str(refusal)


async def test_a_call_keeps_the_item_although_no_screen_is_left(here):
    work = await here.next()
    await here.talk(work)
    here.desk().screens.clear()
    for _ in range(10):
        here.now += MINUTE / 3
        await here.one.tick()
    assert (await here.item(work["item"]))["held_by"] == here.team[0].id


async def test_what_a_supervisor_frees_leaves_the_agents_window(here):
    work = await here.next()
    await items.release_held(here.db, await boss(here.db), [work["item"]], "mistake")
    await here.one.tick()
    assert here.work() is None
    (screen,) = here.desk().screens
    (lost,) = [event for event in screen.events if event["event"] == "ItemLost"]
    assert (lost["item"], lost["by"]) == (work["item"], None)
    assert (lost["freed_by"], lost["reason"]) == ("Boss", "mistake")


async def test_what_came_of_a_conversation_is_said_although_a_supervisor_freed_the_person_in_it(here):
    work = await here.next()
    leg = await here.talk(work)
    supervisor = await boss(here.db)
    await items.release_held(here.db, supervisor, [work["item"]], "mistake")
    await here.ask("SetOutcome", item=work["item"], result="success", answers=form(here))
    await here.one.tick()
    assert (await here.item(work["item"]))["held_by"] == here.team[0].id
    leg.gone()
    await until(lambda: here.work() is None)
    assert (await here.item(work["item"]))["result"] == "success"


async def test_of_a_person_another_agent_took_meanwhile_the_agent_is_told_after_the_conversation(here):
    work = await here.next()
    leg = await here.talk(work)
    await items.release_held(here.db, await boss(here.db), [work["item"]], "mistake")
    await items.claim_this(here.db, work["item"], here.team[1], NOON)
    await here.one.tick()
    assert here.work()["phase"] == "talking"
    leg.gone()
    await here.phase("after")
    await here.one.tick()
    (screen,) = here.desk().screens
    (lost,) = [event for event in screen.events if event["event"] == "ItemLost"]
    assert here.work() is None and lost["by"] == here.team[1].name


async def test_a_server_that_starts_again_gives_agents_back_what_they_held(here):
    work = await here.next()
    here.one.works.clear()  # as a new process has none
    here.now += MINUTE * 0.9
    await here.one._restore()
    assert here.work()["item"] == work["item"]
    here.now += MINUTE * 0.25  # the lease of before is over
    await here.one.tick()
    assert here.work()["item"] == work["item"]
    assert await here.dial(work)


async def test_a_call_that_a_restart_cut_is_told_and_called_again(here):
    work = await here.next()
    assert work["interrupted"] is None
    number = work["phones"][0]["number"]
    await attempts.begin(here.db, here.team[0], work["item"], number, here.now)
    here.one.works.clear()  # killed: nothing more is written of the call
    here.now += MINUTE / 2
    await attempts.close_left_open(here.db, here.now)
    await here.one._restore()
    told = here.work()
    assert (told["phase"], told["interrupted"]["number"]) == ("contact", number)
    assert told["interrupted"]["agent"] == here.team[0].name
    (await here.dial(told)).refuse(486)
    await here.phase("contact")
    assert here.work()["interrupted"] is None


async def test_what_came_of_a_call_that_a_restart_cut_is_that_calls_outcome(here):
    work = await here.next()
    await here.talk(work)
    here.one.works.clear()
    here.now += MINUTE / 2
    await attempts.close_left_open(here.db, here.now)
    await here.one._restore()
    await here.ask("RecordContact", item=work["item"], result="success", conversation="Já tinha fechado")
    (attempt,) = await here.tries(work["item"])
    assert (attempt["situation"], attempt["result"], attempt["note"]) == (
        "completed", "success", "Já tinha fechado"
    )  # fmt: skip
    item = await here.item(work["item"])
    assert (item["state"], item["result"], item["attempts"]) == (4, "success", 1)
    (done,) = await actions.history(here.db, work["contact"]["id"])
    assert (done.result, done.conversation) == ("success", "Já tinha fechado")


async def test_what_is_typed_comes_back_with_the_page(here):
    work = await here.next()
    await here.ask("DraftItem", item=work["item"], values={"note": "começou a fal"})
    assert here.work()["draft"] == {"note": "começou a fal"}


async def test_a_call_whose_agent_is_gone_is_written_all_the_same(here):
    work = await here.next()
    leg = await here.talk(work)
    leg.gone()
    await here.phase("after")
    here.desk().screens.clear()
    for _ in range(4):
        here.now += MINUTE / 3
        await here.one.tick()
    item = await here.item(work["item"])
    assert item["held_by"] is None and item["state"] == State.TRYING
    (attempt,) = await here.tries(work["item"])
    assert attempt["situation"] == "completed" and attempt["ended"] is not None


async def test_a_person_on_two_lists_is_called_as_the_one_in_hand(here):
    """The number alone would find two customers; the campaign knows which one it calls."""
    twin = await here.db.fetchval("INSERT INTO contact (name) VALUES ('Twin') RETURNING id")
    work = await here.next()
    await here.db.execute("INSERT INTO contact_phone VALUES ($1, $2, 0)", twin, work["phones"][0]["number"])
    await put(here.db, here.campaign, twin)
    await here.talk(work)
    await until(lambda: here.desk().customer["state"] == "found")
    assert here.desk().customer["contact"]["id"] == work["contact"]["id"]
