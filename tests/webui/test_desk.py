import re
from dataclasses import replace

import pytest

from crm.form import Permission, Scenario
from crm.refused import Refused
from tests.fakes import floor as fake
from tests.waiting import until
from tests.webui.desks import serving
from webui.desk.pages import as_arguments

CONTACT = {
    "id": 7,
    "name": "Marcos <script>",
    "company": "Padaria",
    "document": "52998224725",
    "email": "",
    "notes": "",
    "phones": [{"number": "+5511987654321", "display": "(11) 98765-4321"}],
}


@pytest.fixture
async def site(db, tmp_path):
    async with serving(db, tmp_path) as site:
        site.floor.phones.phones_on.add(site.agent.extension)
        yield site


@pytest.fixture
async def browser(site):
    return await site.browser("ana")


async def available(site, browser):
    await browser.post("/desk/SetStation", kind="softphone", extension=site.agent.extension)
    await browser.post("/desk/SetAgentState", state="ready")


def words(page: str) -> str:
    """What a reader of the page reads."""
    body = re.sub(r"(?s)<template.*?</template>|<dialog.*?</dialog>|<svg.*?</svg>", "", page)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


async def test_the_desk_works_by_plain_forms_from_station_to_saved_tabulation(site, browser):
    assert "You are not logged on" in words(await browser.text("/desk"))
    await available(site, browser)
    assert "The next call rings here" in words(await browser.text("/desk"))
    call = fake.ring(site.floor, site.agent, name="Marcos")
    page = words(await browser.text("/desk"))
    assert "Ringing" in page and "(11) 98765-4321" in page and "Answer F8" in page and "Vendas" in page
    await browser.post("/desk/AnswerCall")
    assert call.answer_asked.is_set()
    fake.connect(site.floor, site.agent, call)
    assert "Hold F6" in words(await browser.text("/desk"))
    fake.end(site.floor, site.agent, call)
    assert "Save and free Ctrl+Enter" in words(await browser.text("/desk"))
    answer = await browser.post(
        "/desk/SaveTabulation", call=call.id, **{"a.category": "1", "a.motive": "Compra", "a.notes": "sim"}
    )
    assert answer.headers["Location"] == "/desk"
    assert site.floor.agent(site.agent.id).state == "ready"


async def test_a_refused_form_without_script_says_why_beside_the_field_and_keeps_what_was_typed(
    site, browser
):
    await available(site, browser)
    call = fake.ring(site.floor, site.agent)
    fake.connect(site.floor, site.agent, call)
    answer = await browser.post(
        "/desk/SaveTabulation", call=call.id, **{"a.category": "", "a.notes": "40 caixas"}
    )
    page = await answer.text()
    assert answer.status == 422
    assert "Some answers are missing or wrong." in page
    assert re.search(r'id="w-motive" data-wrong\s*>.*?This has to be filled in', page, re.S)
    assert ">40 caixas</textarea>" in page


async def test_half_a_form_is_there_again_when_the_page_is_opened_again(site, browser):
    await available(site, browser)
    call = fake.ring(site.floor, site.agent)
    fake.connect(site.floor, site.agent, call)
    await browser.post(
        "/desk/DraftTabulation",
        call=call.id,
        **{"a.notes": "meia frase", "a.category": "2", "a.informed": "1"},
    )
    page = await browser.text("/desk")
    assert ">meia frase</textarea>" in page
    assert re.search(r'value="2" checked', page) and re.search(r'name="a.informed" value="1" checked', page)


@pytest.mark.parametrize(
    ("customer", "said"),
    [
        ({"state": "searching"}, ["Looking up the number"]),
        ({"state": "found", "contact": CONTACT, "timeline": []}, ["529.982.247-25", "first contact"]),
        (
            {"state": "several", "candidates": [{**CONTACT, "why": "ending"}]},
            ["Several customers", "same last eight digits", "This one"],
        ),
        ({"state": "unknown"}, ["Unknown number", "Create customer"]),
        ({"state": "unknown", "detail": "search_failed"}, ["could not be reached"]),
    ],
)
async def test_the_screen_pop_says_who_calls_or_what_to_do(site, browser, customer, said):
    await available(site, browser)
    fake.ring(site.floor, site.agent)
    desk = site.floor.desk(site.agent)
    await until(lambda: desk.customer and desk.customer["state"] != "searching")
    desk.customer = {"contact": None, "candidates": [], "timeline": [], **customer}
    page = await browser.text("/desk")
    for word in said:
        assert word in words(page)
    assert "<script>" not in page


async def test_the_form_to_create_a_customer_has_the_callers_number_filled_in(site, browser):
    await available(site, browser)
    fake.ring(site.floor, site.agent, number="+551133334444", name="Padaria")
    desk = site.floor.desk(site.agent)
    await until(lambda: desk.customer and desk.customer["state"] == "unknown")
    page = await browser.text("/desk")
    assert re.search(r'name="phones"[^>]*value="\+551133334444"', page)
    assert re.search(r'name="name"[^>]*value="Padaria"', page)


async def test_somebody_elses_extension_is_refused_with_the_name(site, browser):
    other = fake.floor.__globals__["User"](
        99, "bob", "Bob", "agent", 1, "Vendas", "en", "1101", True, False, True
    )
    from cti import commands

    await commands.perform(
        site.floor, site.floor.desk(other), "SetStation", {"kind": "webrtc", "extension": "1101"}
    )
    answer = await browser.post("/desk/SetStation", kind="webrtc", extension="1101")
    assert answer.status == 422
    assert "Bob is already at extension 1101." in await answer.text()


async def test_a_phone_that_is_not_registered_is_said_in_words(site, browser):
    site.floor.phones.phones_on.clear()
    await browser.post("/desk/SetStation", kind="softphone", extension=site.agent.extension)
    assert f"Phone {site.agent.extension} is not registered" in words(await browser.text("/desk"))


async def test_log_out_during_a_call_says_to_finish_it_first(site, browser):
    await available(site, browser)
    fake.connect(site.floor, site.agent, fake.ring(site.floor, site.agent))
    answer = await browser.post("/logout")
    assert answer.headers["Location"] == "/desk?kept=call"
    assert "Finish it before you log out" in words(await browser.text("/desk?kept=call"))


async def test_log_out_leaves_the_station(site, browser):
    await available(site, browser)
    await browser.post("/logout")
    assert site.floor.agent(site.agent.id).state == "logged_off"


async def test_each_key_is_on_one_button_at_most(site, browser):
    await available(site, browser)
    call = fake.ring(site.floor, site.agent)
    for _ in range(2):
        keys = re.findall(r'data-key="([^"]+)"', await browser.text("/desk"))
        assert keys and len(keys) == len(set(keys))
        fake.connect(site.floor, site.agent, call) if not call.answered else None


def test_the_fields_of_a_form_become_a_verbs_arguments():
    assert as_arguments({"call": "c", "a.notes": "x", "a.category": "1"}) == {
        "call": "c",
        "answers": {"notes": "x", "category": "1"},
    }
    assert as_arguments({"on": "true", "internal": "false"}) == {"on": True, "internal": False}
    assert as_arguments({"contact": "12", "phones": "+5511, 22 ,"}) == {
        "contact": 12,
        "phones": ["+5511", "22"],
    }


@pytest.mark.parametrize("contact", ["", "x", "1e3", "-1"])
def test_a_contact_that_is_no_number_is_refused(contact):
    with pytest.raises(Refused):
        as_arguments({"contact": contact})


async def test_another_form_is_chosen_at_the_desk_with_and_without_script(site, browser):
    await available(site, browser)
    short = replace(fake.LAYOUT, id=2, name="short", label="Breve", fields=fake.LAYOUT.fields[3:4])
    layouts = {1: fake.LAYOUT, 2: replace(short, permissions=(Permission((Scenario.INBOUND,)),))}
    site.floor.reload(replace(site.floor.centre, layouts=layouts))
    call = fake.ring(site.floor, site.agent)
    fake.connect(site.floor, site.agent, call)
    page = await browser.text("/desk")
    assert 'data-verb="ChooseLayout"' in page and "Use another form Breve" in words(page)
    await browser.post("/desk/DraftTabulation", call=call.id, **{"a.notes": "meia frase", "a.category": "1"})
    assert (await browser.post("/desk/ChooseLayout", call=call.id, layout="2")).status == 303
    page = await browser.text("/desk")
    assert ">meia frase</textarea>" in page and 'name="a.motive"' not in page
    async with browser.live() as line:  # as the page's script asks
        await line.ask("Attach")
        assert (await line.ask("ChooseLayout", call=call.id, layout="1"))["ok"]
        assert (await line.event("FormOpened"))["form"]["answers"] == {"notes": "meia frase", "category": "1"}


async def test_the_directory_counts_who_is_logged_on_in_each_group(site, browser):
    centre = site.floor.centre
    bia = replace(site.agent, id=site.agent.id + 1, name="Bia", group="Vendas")
    hers = {**centre.extensions, "1101": replace(centre.extensions["1101"], user_id=bia.id)}
    site.floor.reload(replace(centre, users={**centre.users, bia.id: bia}, extensions=hers))
    site.floor.phones.phones_on.clear()
    page = words(await browser.text("/desk"))
    assert "Vendas 0/1" in page and "Others 0/2" in page
    site.floor.phones.phones_on |= {"1101", site.agent.extension}
    page = words(await browser.text("/desk"))
    assert "Vendas 1/1" in page and "Others 1/2" in page


async def test_a_mandatory_form_is_saved_before_the_next_call_and_another_may_wait(site, browser):
    await available(site, browser)
    call = fake.ring(site.floor, site.agent)
    fake.connect(site.floor, site.agent, call)
    fake.end(site.floor, site.agent, call)
    answer = await browser.post("/desk/MakeCall", number="9999", internal="true")
    assert answer.status == 422 and "Save the tabulation of the last call first." in await answer.text()
    await browser.post(
        "/desk/SaveTabulation", call=call.id, **{"a.category": "1", "a.motive": "Compra", "a.notes": "x"}
    )
    answer = await browser.post("/desk/MakeCall", number="9999", internal="true")
    assert "There is no extension or service 9999." in await answer.text()
    queues = {
        name: replace(queue, tabulation_mandatory=False) for name, queue in site.floor.centre.queues.items()
    }
    site.floor.reload(replace(site.floor.centre, queues=queues))
    call = fake.ring(site.floor, site.agent)
    fake.connect(site.floor, site.agent, call)
    fake.end(site.floor, site.agent, call)
    answer = await browser.post("/desk/MakeCall", number="9999", internal="true")
    assert "There is no extension or service 9999." in await answer.text()
