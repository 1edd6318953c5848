"""Which forms open for a call at a desk, and how its agent changes among them (EPB-69)."""

from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from config import Settings
from crm.form import Category, CategoryType, Field, Kind, Layout, Permission, Scenario
from crm.refused import Refused
from crm.tabulation import TabulationSaved
from cti.agent import READY
from cti.call import Call
from cti.commands import perform
from tests.fakes import floor as fake
from tests.fakes.desk import user

COMPLAINT = Layout(
    2,
    "complaint",
    "Reclamação",
    (Field("notes", "O que houve", Kind.LONG_TEXT), Field("product", "Produto", Kind.TEXT)),
    (CategoryType(3, "Reclamação", (Category(3, "Sem interesse", False), Category(9, "Aberta", True))),),
)
INBOUND, MANUAL, DIALER = Scenario.INBOUND, Scenario.MANUAL, Scenario.DIALER


@pytest.fixture
def ana():
    return user()  # of group 1, in the queues sales (layout 1) and support (the same)


@pytest.fixture
async def floor(ana):
    made = fake.floor(Settings(), [ana])
    await perform(made, made.desk(ana), "SetStation", {"kind": "webrtc", "extension": ana.extension})
    made.choose(ana.id, READY)
    return made


def permit(floor, *permissions):
    layouts = {**floor.centre.layouts, 2: replace(COMPLAINT, permissions=permissions)}
    floor.reload(replace(floor.centre, layouts=layouts))


def without_named_layouts(floor):
    queues = {name: replace(queue, layout_id=None) for name, queue in floor.centre.queues.items()}
    floor.reload(replace(floor.centre, queues=queues))


def answered(floor, ana):
    call = fake.ring(floor, ana)
    fake.connect(floor, ana, call)
    return call


def dialed(floor, ana, purpose=None, origin="desk"):
    """A call placed at this desk, or by the dialer for it, and answered."""
    call = Call("outbound", "+5511987654321", "11987654321", floor.now(), origin=origin, user_id=ana.id)
    call.purpose = purpose
    floor.move(ana.id, "engage", call_id=call.id)
    floor.desk(ana).originated(call)
    call.answered = floor.now()
    floor.desk(ana).established(call)
    return call


def why(layout_id=1, campaign_id=7):
    saved = []
    return SimpleNamespace(
        campaign="Renovação", campaign_id=campaign_id, item_id=1, contact_id=1, layout_id=layout_id,
        contact=None, answers={}, over=lambda call: None, told=saved,
        saved=lambda call, category: saved.append(category),
    )  # fmt: skip


def opened(floor, ana):
    form = floor.desk(ana).snapshot()["form"]
    return form and (form["layout"]["id"], [each["id"] for each in form["layouts"]])


async def test_without_permissions_a_call_has_the_form_of_its_queue_alone(floor, ana):
    permit(floor)
    answered(floor, ana)
    assert opened(floor, ana) == (1, [1])


async def test_what_is_permitted_is_offered_after_the_queues_own_form(floor, ana):
    permit(floor, Permission((INBOUND,)))
    answered(floor, ana)
    assert opened(floor, ana) == (1, [1, 2])
    assert floor.desk(ana).form.mandatory


async def test_a_permission_for_other_calls_or_another_group_offers_nothing(floor, ana):
    permit(floor, Permission((MANUAL, DIALER)), Permission((INBOUND,), group_id=2))
    answered(floor, ana)
    assert opened(floor, ana) == (1, [1])


async def test_a_queue_that_names_no_form_gets_the_permitted_one(floor, ana):
    without_named_layouts(floor)
    permit(floor, Permission((INBOUND,), group_id=1))
    answered(floor, ana)
    assert opened(floor, ana) == (2, [2])


async def test_a_manual_call_gets_the_form_of_the_agents_group_before_that_of_a_queue(floor, ana):
    permit(floor, Permission((MANUAL,), group_id=1))
    dialed(floor, ana)
    assert opened(floor, ana) == (2, [2, 1])


@pytest.mark.parametrize(
    ("origin", "scenario", "found"),
    [
        ("campaign", MANUAL, (1, [1, 2])),
        ("dialer", DIALER, (1, [1, 2])),
        ("campaign", DIALER, (1, [1])),
        ("dialer", MANUAL, (1, [1])),
    ],
)
async def test_a_campaigns_call_is_the_dialers_or_by_hand(floor, ana, origin, scenario, found):
    permit(floor, Permission((scenario,), campaign_id=7))
    dialed(floor, ana, why(), origin)
    assert opened(floor, ana) == found


async def test_for_just_this_group_and_campaign_the_permitted_form_opens(floor, ana):
    permit(floor, Permission((DIALER,), 1, 7))
    dialed(floor, ana, why(), "dialer")
    assert opened(floor, ana) == (2, [2, 1])


async def test_another_form_keeps_what_both_ask_and_drops_a_category_it_has_not(floor, ana):
    permit(floor, Permission((INBOUND,)))
    call = answered(floor, ana)
    desk = floor.desk(ana)
    desk.draft(call.id, {"notes": "meia frase", "order": "12", "category": "1"})
    typed = {"notes": "uma frase", "order": "12", "category": "1"}
    await perform(floor, desk, "ChooseLayout", {"call": call.id, "layout": 2, "answers": typed})
    form = desk.snapshot()["form"]
    assert opened(floor, ana) == (2, [1, 2]) and form["answers"] == {"notes": "uma frase"}
    desk.draft(call.id, {"notes": "uma frase", "category": "3"})
    await perform(floor, desk, "ChooseLayout", {"call": call.id, "layout": 1})
    assert desk.snapshot()["form"]["answers"] == {"notes": "uma frase", "category": "3"}


async def test_what_is_saved_is_saved_with_the_chosen_form(floor, ana):
    permit(floor, Permission((DIALER,)))
    purpose = why()
    call = dialed(floor, ana, purpose, "dialer")
    desk = floor.desk(ana)
    await perform(floor, desk, "ChooseLayout", {"call": call.id, "layout": 2})
    await perform(floor, desk, "SaveTabulation", {"call": call.id, "answers": {"category": "9"}})
    [kept] = [record for record in floor.history if isinstance(record, TabulationSaved)]
    assert (kept.layout_id, kept.answers) == (2, {"category": "9"})
    assert purpose.told == [Category(9, "Aberta", True)]  # the campaign is told by the form that was used


async def test_the_change_is_an_event_for_every_screen(floor, ana):
    permit(floor, Permission((INBOUND,)))
    call = answered(floor, ana)
    desk, events = floor.desk(ana), []
    desk.attach(Mock(event=events.append))
    await perform(floor, desk, "ChooseLayout", {"call": call.id, "layout": "2"})
    [event] = [each for each in events if each["event"] == "FormOpened"]
    assert event["form"]["layout"]["id"] == 2
    assert event["form"]["layouts"] == [
        {"id": 1, "label": "Atendimento de vendas"},
        {"id": 2, "label": "Reclamação"},
    ]


@pytest.mark.parametrize(
    ("layout", "code"), [(3, "not_found"), (None, "bad_argument"), ("x", "bad_argument")]
)
async def test_a_form_that_may_not_be_used_is_refused(floor, ana, layout, code):
    permit(floor, Permission((INBOUND,)))
    call = answered(floor, ana)
    with pytest.raises(Refused) as refused:
        await perform(floor, floor.desk(ana), "ChooseLayout", {"call": call.id, "layout": layout})
    assert refused.value.code == code and opened(floor, ana) == (1, [1, 2])


async def test_a_saved_form_stays_the_one_it_was_saved_with(floor, ana):
    permit(floor, Permission((INBOUND,)))
    call = answered(floor, ana)
    desk = floor.desk(ana)
    desk.save(call.id, {"motive": "Compra", "notes": "x", "category": "1"})
    with pytest.raises(Refused) as refused:
        await perform(floor, desk, "ChooseLayout", {"call": call.id, "layout": 2})
    assert refused.value.code == "wrong_state"
