"""Whole calls through a queue: the floor, desks and stories are real, telephones are ours."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config import Settings
from crm.refused import Refused
from cti import story
from cti.agent import LOGGED_OFF, NOT_READY, READY, WORKING, WRAP_UP
from cti.call import Call
from cti.floor import Floor
from cti.inbound import wait_in_queue
from tests.fakes.centre import GOOD_ANSWERS, small_centre
from tests.fakes.telephones import FakeLeg, FakePhones, seat
from tests.waiting import until


class Kept(list):
    put = list.append


def new_floor():
    floor = Floor(small_centre(), Kept(), Settings())
    floor.phones = FakePhones(floor)
    return floor


@pytest.fixture
def floor():
    return new_floor()


def arrive(floor, queue="sales", name="caller"):
    leg = FakeLeg(name)
    call = Call("inbound", leg.number, "4000", floor.now(), queue=queue, customer=leg)
    told = wait_in_queue(floor, floor.phones, call, leg, floor.centre.queues[queue])
    floor.spawn(story.run(told, floor, call))
    return call, leg


async def settle():
    """Until nothing more happens by itself: every story waits for somebody."""
    for _ in range(30):
        await asyncio.sleep(0)


async def test_a_caller_hears_music_until_an_agent_answers_and_both_are_bridged(floor):
    call, leg = arrive(floor)
    await settle()
    assert leg.answered and ("play", "caller", "music") in floor.phones.engine.orders
    desk = seat(floor, floor.centre.users[1], "1001")
    await until(lambda: desk.call is call)
    assert floor.agent(1).state == "reserved"
    call.answer_asked.set()
    await until(lambda: call.state == "connected")
    await settle()
    assert ("bridge", "caller", "web-1") in floor.phones.engine.orders
    assert floor.agent(1).state == "busy"
    [sales] = [q for q in floor.wall()["queues"] if q["name"] == "sales"]
    assert (sales["offered"], sales["answered"], sales["service_level_percent"]) == (1, 1, 100)


async def test_after_hang_up_the_form_must_be_saved_and_then_the_agent_is_available_again(floor):
    desk = seat(floor, floor.centre.users[1], "1001")
    call, leg = arrive(floor)
    await until(lambda: desk.call is call)
    call.answer_asked.set()
    await until(lambda: desk.form)
    leg.gone()
    await until(lambda: floor.agent(1).state == WRAP_UP)
    with pytest.raises(Refused) as refused:
        desk.save(call.id, {"notes": "ligou"})
    assert refused.value.details["errors"] == {"category": "required", "product": "required"}
    assert desk.form.answers == {"notes": "ligou"}, "nothing typed is lost"
    assert floor.agent(1).state == WRAP_UP
    desk.save(call.id, GOOD_ANSWERS)
    assert floor.agent(1).state == READY
    assert desk.call is None and desk.form is None


async def test_an_agent_who_declines_is_paused_and_the_next_one_is_tried(floor):
    first = seat(floor, floor.centre.users[1], "1001")
    call, _ = arrive(floor)
    await until(lambda: first.call is call)
    second = seat(floor, floor.centre.users[2], "1002")
    call.hang_up_asked.set()
    await until(lambda: second.call is call)
    assert (floor.agent(1).state, floor.agent(1).reason) == (NOT_READY, "missed_call")
    assert first.call is None


async def test_a_caller_who_gives_up_while_it_rings_frees_the_agent(floor):
    desk = seat(floor, floor.centre.users[1], "1001")
    call, leg = arrive(floor)
    await until(lambda: desk.call is call)
    leg.gone()
    await until(lambda: floor.agent(1).state == READY)
    assert (call.result, floor.today("sales").abandoned) == ("abandoned", 1)


async def test_a_story_that_breaks_lets_its_agent_go_and_hangs_up(floor):
    floor.phones.engine.breaks.add("bridge")
    desk = seat(floor, floor.centre.users[1], "1001")
    call, leg = arrive(floor)
    await until(lambda: desk.call is call)
    call.answer_asked.set()
    await until(lambda: not floor.calls)
    assert leg.over.done() and call.result == "failed"
    assert floor.agent(1).state in (READY, WRAP_UP)


async def test_a_full_queue_refuses_as_busy(floor):
    sales = replace(floor.centre.queues["sales"], waiting_max=1)
    floor.centre = replace(floor.centre, queues=floor.centre.queues | {"sales": sales})
    arrive(floor, name="a")
    await settle()
    call, leg = arrive(floor, name="b")
    await until(lambda: leg.status == 486)
    assert call.result == "refused"


async def test_a_customer_whose_agent_is_lost_waits_again_before_all_others(floor):
    desk = seat(floor, floor.centre.users[1], "1001")
    call, _ = arrive(floor, name="first")
    await until(lambda: desk.call is call)
    call.answer_asked.set()
    await until(lambda: call.state == "connected")
    other, _ = arrive(floor, name="other")
    await settle()
    call.agent_leg.over.set_result("agent lost")
    await until(lambda: call.agent_leg is None)
    assert floor.agent(1).reason == "station_lost"
    second = seat(floor, floor.centre.users[2], "1002")
    await until(lambda: second.call is call)
    assert other.user_id is None


class FakeScreen:
    def __init__(self):
        self.events = []
        self.dismissed = False

    def event(self, message):
        self.events.append(message)

    def dismiss(self):
        self.dismissed = True


async def test_a_user_who_is_switched_off_leaves_after_the_call_in_hand(floor):
    desk = seat(floor, floor.centre.users[1], "1001")
    screen = FakeScreen()
    desk.attach(screen)
    call, leg = arrive(floor)
    await until(lambda: desk.call is call)
    call.answer_asked.set()
    await until(lambda: call.state == "connected")
    users = floor.centre.users | {1: replace(floor.centre.users[1], active=False)}
    floor.reload(replace(floor.centre, users=users))
    assert screen.dismissed and call.state == "connected"
    leg.gone()
    await until(lambda: floor.agent(1).state == WRAP_UP)
    desk.save(call.id, GOOD_ANSWERS)
    assert floor.agent(1).state == LOGGED_OFF


async def test_a_screen_that_comes_back_gets_what_it_missed_and_only_while_it_is_kept(floor):
    desk = seat(floor, floor.centre.users[1], "1001")
    first = desk.attach(FakeScreen())
    for _ in range(3):
        floor.choose(1, NOT_READY, "lunch")
        floor.choose(1, READY)
    back = FakeScreen()
    assert desk.attach(back, first.seq, first.stream).replayed
    assert [m["seq"] for m in back.events] == list(range(first.seq + 1, desk.seq + 1))
    assert not desk.attach(FakeScreen(), first.seq, "another stream").replayed
    assert not desk.attach(FakeScreen(), desk.seq + 1, first.stream).replayed
    for _ in range(floor.settings.desk_events_kept):
        desk.show("MuteChanged")
    assert not desk.attach(FakeScreen(), first.seq, first.stream).replayed


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            "arrive customer_gone answer decline hang_up pause ready log_off save away back break".split()
        ),
        st.integers(0, 5),
    ),
    max_size=40,
)


def act(floor, calls, action, number):
    desks = list(floor.desks.values())
    desk = desks[number % len(desks)]
    user_id = desk.user.id
    match action:
        case "arrive":
            calls.append(arrive(floor, ("sales", "support")[number % 2], f"caller{len(calls)}"))
        case "customer_gone" if calls:
            calls[number % len(calls)][1].gone()
        case "answer" if desk.call:
            desk.call.answer_asked.set()
        case "decline" | "hang_up" if desk.call:
            desk.call.hang_up_asked.set()
        case "pause":
            floor.choose(user_id, NOT_READY, "lunch")
        case "ready":
            floor.choose(user_id, READY)
        case "log_off":
            floor.choose(user_id, LOGGED_OFF)
        case "save" if desk.form:
            desk.save(desk.form.call.id, GOOD_ANSWERS)
        case "away" if desk.call and desk.call.agent_leg and desk.call.answered:
            if not desk.call.agent_leg.over.done():
                desk.call.agent_leg.over.set_result("agent lost")
        case "break":
            floor.phones.engine.breaks ^= {"bridge"}


def check(floor, calls):
    holders = Counter(a.call_id for a in floor.agents.values() if a.call_id)
    assert not holders or max(holders.values()) == 1, "two agents hold one call"
    for desk in floor.desks.values():
        agent = floor.agent(desk.user.id)
        if agent.call_id:
            assert desk.call is not None and desk.call.id == agent.call_id
            assert agent.call_id in floor.calls, "an agent holds a call that is over"
        if agent.state == WRAP_UP:
            assert desk.form is not None, "wrap-up without anything to fill"
        if agent.state not in WORKING:
            assert desk.call is None
    for call, leg in calls:
        if call.id not in floor.calls and call.ended:
            assert leg.over.done() and call.result
    waiting = [e for e in floor._entries.values() if not e.chosen.done()]
    ready = [a for a in floor.agents.values() if a.state == READY]
    for entry in waiting:
        assert not any(entry.waiting.queue in floor.queues_of(a.user_id) for a in ready)


async def live(actions):
    floor = new_floor()
    calls = []
    for user in floor.centre.users.values():
        seat(floor, user, user.extension)
    for action, number in actions:
        try:
            act(floor, calls, action, number)
        except Refused:
            pass
        if number != 5:  # now and then two things happen in the same breath
            await settle()
            check(floor, calls)
    for _, leg in calls:
        leg.gone()
    await settle()
    check(floor, calls)
    assert not floor.calls and not floor._entries
    for desk in floor.desks.values():
        if floor.agent(desk.user.id).state == WRAP_UP:
            desk.save(desk.form.call.id, GOOD_ANSWERS)
        assert floor.agent(desk.user.id).state not in WORKING, "stuck"
    records = [r for r in floor.history if hasattr(r, "direction") and r.ended]
    assert {r.id for r in records} == {call.id for call, _ in calls}, "every call has its report line"
    await floor.close()


@given(ACTIONS)
@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_whatever_order_events_arrive_in_nobody_is_in_two_calls_and_nothing_is_stuck(actions):
    asyncio.run(live(actions))
