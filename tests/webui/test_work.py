"""An agent's campaigns on pages, without script: the list, why one is hidden, the window, the operation."""

import datetime
import re

import pytest

from crm import actions, attempts, campaigns, contacts, filters, layouts, scripts
from crm.blocklist import Blocklist
from crm.item_states import Result
from crm.users import Role
from dialer.gate import Gate
from dialer.one_to_one import OneToOne
from dialer.validation import Validation
from tests.crm.campaigning import campaign, people, put
from tests.webui.desks import HTML, person
from tests.webui.desks import serving as desks

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
async def site(fresh_db, tmp_path):
    async with desks(fresh_db, tmp_path) as site:
        await layouts.create(fresh_db, None, name="form", label="Renewal form", fields=[], types=[])
        made = await campaign(
            fresh_db, [site.agent], name="Renewal", link_person=True, respect_destination_window=False
        )
        for contact_id in await people(fresh_db, 3):
            await put(fresh_db, made, contact_id)
        site.campaign = made
        validation = Validation(fresh_db)
        one = OneToOne(site.floor, fresh_db, Gate(fresh_db, Blocklist(), validation))
        one.join()
        site.one = one
        yield site
        await validation.close()


@pytest.fixture
async def browser(site):
    return await site.browser("ana")


def logged_on(site):
    site.floor.phones.phones_on.add(site.agent.extension)


async def at_the_station(site, browser):
    logged_on(site)
    await browser.post("/desk/SetStation", kind="softphone", extension=site.agent.extension)


def words(page: str) -> str:
    body = re.sub(r"(?s)<template.*?</template>|<dialog.*?</dialog>|<svg.*?</svg>", "", page)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


async def follow(browser, answer) -> str:
    assert answer.status == 303, await answer.text()
    return words(await browser.text(answer.headers["Location"]))


async def test_the_campaigns_open_to_an_agent_are_shown_and_others_are_explained(site, browser):
    other = await campaign(site.db, [await person(site.db, "bea")], name="Closed one")
    await put(site.db, other, (await people(site.db, 1, first=800000000))[0])
    await campaigns.pause(site.db, None, other.id)
    page = words(await browser.text("/work"))
    assert "Renewal" in page and "Open now" in page and "Why is a campaign not here?" in page
    why = words(await browser.text(f"/work?why={other.id}"))
    assert "not enabled" in why and "does not belong to the campaign" in why
    assert "outside its validity" not in why and "nobody left" not in why


async def test_the_list_is_found_by_name_phone_and_situation(site, browser):
    address = f"/work/{site.campaign.id}"
    assert {"Person 1", "Person 2", "Person 3"} <= set(re.findall(r"Person \d", await browser.text(address)))
    assert re.findall(r"<b>(Person \d)</b>", await browser.text(address + "?name=person+2")) == ["Person 2"]
    assert re.findall(r"<b>(Person \d)</b>", await browser.text(address + "?phone=0002")) == ["Person 3"]
    assert "Nobody here" in words(await browser.text(address + "?situation=to_call_back"))


async def test_somebody_elses_campaign_is_not_there(site):
    await person(site.db, "bea")
    browser = await site.browser("bea")
    assert (await browser.http.get(f"/work/{site.campaign.id}", headers=HTML)).status == 404


async def test_without_a_station_nobody_is_given_and_the_page_says_why(site, browser):
    answer = await browser.post("/work/act/NextItem", campaign=str(site.campaign.id))
    assert "Log on at a station first." in await follow(browser, answer)


async def test_next_shows_the_person_and_saving_without_dialing_frees_the_hands(site, browser):
    await at_the_station(site, browser)
    page = await follow(browser, await browser.post("/work/act/NextItem", campaign=str(site.campaign.id)))
    assert "Person 1" in page and "Dial this number" in page and "Generate service record" in page
    item = site.one.works[site.agent.id].item.id
    assert "still in your hands" in words(await browser.text("/work"))
    answer = await browser.post("/work/act/SaveWithoutDialing", item=str(item))
    assert "This has to be filled in." in await follow(browser, answer) and site.one.works
    await browser.post("/work/act/SaveWithoutDialing", item=str(item), status="no_answer", note="Out")
    assert not site.one.works
    row = await site.db.fetchrow("SELECT state, last_situation FROM list_item WHERE id = $1", item)
    assert tuple(row) == (2, "no_answer")
    assert "Out" in words(await browser.text(f"/work/history/{await contact_of(site, item)}"))


async def test_a_contact_that_was_no_call_is_recorded_from_the_window(site, browser):
    """TEL-06, TEL-08 … TEL-10: action, conversation and outcome, without dialing."""
    kind = await actions.create_type(
        site.db, None, name="Counter", outcomes=[{"name": "Bought", "result": "success"}]
    )
    await at_the_station(site, browser)
    page = await follow(browser, await browser.post("/work/act/NextItem", campaign=str(site.campaign.id)))
    assert "Record a contact that was no call" in page and "Counter" in page and "Bought" in page
    item = site.one.works[site.agent.id].item.id
    sent = {"item": str(item), "type": str(kind.id)}
    answer = await browser.post("/work/act/RecordContact", **sent)
    assert "This has to be filled in." in await follow(browser, answer) and site.one.works
    sent |= {"outcome": str(kind.outcomes[0].id), "conversation": "Came to the shop"}
    await browser.post("/work/act/RecordContact", **sent)
    assert not site.one.works
    page = words(await browser.text("/work/operation?view=concluded"))
    assert "Person 1" in page
    history = words(await browser.text(f"/work/history/{await contact_of(site, item)}"))
    assert "Counter: Bought" in history and "without a call" in history and "Came to the shop" in history
    assert "Attempts" not in history
    [before] = await contacts.timeline(site.db, await contact_of(site, item))
    assert (before.kind, before.category, before.text) == ("contact", "Counter: Bought", "Came to the shop")
    assert await site.db.fetchval("SELECT count(*) FROM attempt") == 0


async def test_a_call_that_a_restart_cut_is_said_with_what_to_do(site, browser):
    await at_the_station(site, browser)
    await browser.post("/work/act/NextItem", campaign=str(site.campaign.id))
    work = site.one.works[site.agent.id]
    now = datetime.datetime.now(datetime.UTC)
    await attempts.begin(site.db, site.agent, work.item.id, work.phones[0].number, now)
    site.one.works.clear()
    await attempts.close_left_open(site.db, now + datetime.timedelta(seconds=1))
    await site.one._restore()
    page = words(await browser.text(f"/work/{site.campaign.id}"))
    assert "The system restarted during the call to" in page and "Call again" in page


async def test_what_is_wrong_with_an_outcome_is_said_in_words(site, browser):
    await at_the_station(site, browser)
    await browser.post("/work/act/NextItem", campaign=str(site.campaign.id))
    item = site.one.works[site.agent.id].item.id
    async with browser.live() as line:
        await line.ask("Attach", page="work")
        asked = {"item": item, "result": "callback", "conversation": "Wrote", "callback_date": "2001-01-02"}
        refused = await line.ask("RecordContact", **asked, callback_time="10:00")
        assert refused["error"]["details"]["errors"] == {
            "callback_at": "This moment is over: choose one to come."
        }
        refused = await line.ask("RecordContact", **asked | {"callback_date": "2099-01-02"})
        assert refused["error"]["details"]["errors"] == {"callback_at": "Say at what time, too."}


async def test_an_overdue_callback_stands_out_in_the_list(site, browser):
    await site.db.execute(
        "UPDATE list_item SET state = 1, due_at = now() - interval '1 hour'"
        " WHERE id = (SELECT max(id) FROM list_item)"
    )
    page = words(await browser.text(f"/work/{site.campaign.id}"))
    assert re.search(r"Person 3 .*?overdue .*?Person 1", page) and page.count(" overdue ") == 2


async def contact_of(site, item):
    return await site.db.fetchval("SELECT contact_id FROM list_item WHERE id = $1", item)


async def test_what_was_typed_and_the_person_come_back_with_the_page(site, browser):
    await at_the_station(site, browser)
    await browser.post("/work/act/NextItem", campaign=str(site.campaign.id))
    work = site.one.works[site.agent.id]
    desk = site.floor.desk(site.agent)
    await site.one.draft_item(site.floor, desk, {"item": work.item.id, "values": {"note": "half a sen"}})
    page = await browser.text(f"/work/{site.campaign.id}")
    assert "half a sen" in page and "Person 1" in page


async def test_a_refused_number_is_shown_in_the_window(site, browser):
    await at_the_station(site, browser)
    await browser.post("/work/act/NextItem", campaign=str(site.campaign.id))
    work = site.one.works[site.agent.id]
    await site.db.execute("INSERT INTO blocked_number (number) VALUES ($1)", work.phones[0].number)
    answer = await browser.post("/work/act/DialItem", item=str(work.item.id), number=work.phones[0].number)
    assert "is blocked" in await follow(browser, answer)


async def test_the_page_of_a_campaign_is_a_screen_of_the_desk_with_regions_of_its_own(site, browser):
    await at_the_station(site, browser)
    async with browser.live() as line:
        answer = await line.ask("Attach", page="work")
        assert set(answer["regions"]) == {"status", "call", "work", "form", "save", "pending"}
        assert answer["snapshot"]["work"] is None
        taken = await line.ask("NextItem", campaign=site.campaign.id)
        assert taken["ok"], taken
        event = await line.event("WorkChanged")
        assert event["work"]["contact"]["name"] == "Person 1"
        assert "Person 1" in event["regions"]["work"]
        gone = await line.ask("ExitItem", item=taken["work"]["item"])
        assert gone["ok"]


async def test_the_operation_shows_scheduled_customers_and_moves_and_deletes_them(site, browser):
    soon = datetime.datetime.now(datetime.UTC) + HOUR
    item = await site.db.fetchval(
        "UPDATE list_item SET state = 1, due_at = $1 WHERE id = (SELECT min(id) FROM list_item) RETURNING id",
        soon,
    )
    assert "Person 1" not in words(await browser.text("/work/operation?view=not_worked"))
    page = words(await browser.text("/work/operation?view=scheduled"))
    assert "Person 1" in page and "Person 2" not in page and "Execute operation" in page
    back = "/work/operation?view=scheduled"
    answer = await browser.post(
        "/work/act/MoveCallback", item=str(item), back=back, callback_date="2099-01-02", callback_time="10:30"
    )
    assert answer.headers["Location"].startswith(back)
    assert "The schedule was moved." in await follow(browser, answer)
    assert (await site.db.fetchval("SELECT due_at FROM list_item WHERE id = $1", item)).year == 2099
    answer = await browser.post("/work/act/MoveCallback", item=str(item), back=back,
                                callback_date="2001-01-02", callback_time="10:30")  # fmt: skip
    assert "This moment is over" in await follow(browser, answer)
    answer = await browser.post("/work/act/RemoveCallback", item=str(item), back=back, reason="Gave up")
    assert "The schedule was deleted" in await follow(browser, answer)
    assert await site.db.fetchval("SELECT state FROM list_item WHERE id = $1", item) == 2


async def test_each_customer_is_in_one_view_of_the_operation(site, browser):
    """TEL-04 … TEL-06: whom nobody tried, who is to be tried again, whose operation is over."""
    ids = [row["id"] for row in await site.db.fetch("SELECT id FROM list_item ORDER BY id")]
    now = datetime.datetime.now(datetime.UTC)
    await site.db.execute(
        "UPDATE list_item SET state = 2, due_at = $2, attempts = 1 WHERE id = $1", ids[1], now + HOUR
    )
    await site.db.execute("UPDATE list_item SET state = 5, attempts = 5 WHERE id = $1", ids[2])
    for view, name in (("not_worked", "Person 1"), ("scheduled", "Person 2"), ("concluded", "Person 3")):
        page = words(await browser.text(f"/work/operation?view={view}"))
        assert re.findall(r"Person \d", page) == [name], view
    bea = await person(site.db, "bea")
    await site.db.execute("UPDATE list_item SET state = 1, callback_owner = $2 WHERE id = $1", ids[1], bea.id)
    assert "Person 2" not in words(await browser.text("/work/operation?view=scheduled")), "somebody else's"


async def test_a_try_agreed_on_without_contact_is_moved_as_a_callback_is(site, browser):
    """TEL-11, TEL-14."""
    await at_the_station(site, browser)
    await browser.post("/work/act/NextItem", campaign=str(site.campaign.id))
    item = site.one.works[site.agent.id].item.id
    await browser.post(
        "/work/act/SaveWithoutDialing", item=str(item), status="no_answer", no_contact="1",
        callback_date="2099-01-02", callback_time="10:30",
    )  # fmt: skip
    assert "Person 1" in words(await browser.text("/work/operation?view=scheduled"))
    moved = {"item": str(item), "back": "/work/operation?view=scheduled"}
    await browser.post("/work/act/MoveCallback", callback_date="2098-01-02", callback_time="10:30", **moved)
    assert (await site.db.fetchval("SELECT due_at FROM list_item WHERE id = $1", item)).year == 2098
    await browser.post("/work/act/RemoveCallback", reason="Now", **moved)
    assert (await site.db.fetchval("SELECT due_at FROM list_item WHERE id = $1", item)).year < 2098


async def test_the_operation_is_narrowed_by_a_saved_filter_and_turned_page_by_page(site, browser):
    """TEL-03."""
    tree = {"all": [{"field": "name", "test": "contains", "value": "person 2"}]}
    made = await filters.create(site.db, None, name="Twos", tree=tree)
    page = await browser.text("/work/operation")
    assert "Twos" in page and "Person 3" in words(page)
    page = words(await browser.text(f"/work/operation?filter={made.id}"))
    assert "Person 2" in page and "Person 3" not in page and "Person 1" not in page
    for contact_id in await people(site.db, 60, first=700000000):
        await put(site.db, site.campaign, contact_id)
    first, second = [words(await browser.text(f"/work/operation?page={n}")) for n in (1, 2)]
    assert len(re.findall(r"Person \d+", first)) == 50 and "Next page" in first
    assert len(re.findall(r"Person \d+", second)) == 13 and "Next page" not in second


async def test_a_customer_is_linked_from_the_customers_page(site, browser):
    """UAU-14, TEL-14."""
    new = (await people(site.db, 1, first=700000000))[0]
    other = await campaign(site.db, [site.agent], name="Not linkable")
    page = words(await browser.text(f"/contacts/{new}"))
    assert "Link to a campaign" in page and "Renewal" in page and "Not linkable" not in page
    asked = {"campaign": str(site.campaign.id)}
    answer = await browser.post(f"/contacts/{new}/link", **asked)
    assert "On the list of Renewal now." in await follow(browser, answer)
    assert await site.db.fetchval("SELECT count(*) FROM list_item WHERE contact_id = $1", new) == 1
    assert "on the list already" in await follow(
        browser, await browser.post(f"/contacts/{new}/link", **asked)
    )
    answer = await browser.post(f"/contacts/{new}/link", campaign=str(other.id))
    assert "may not add customers" in await follow(browser, answer)


async def test_the_window_shows_earlier_notes_and_the_customers_data_which_cannot_be_changed(site, browser):
    """UAU-55, TEL-07."""
    contact_id = await site.db.fetchval("SELECT min(id) FROM contact")
    await contacts.update(site.db, None, contact_id, email="ana@exemplo.com.br")
    await at_the_station(site, browser)
    await browser.post("/work/act/NextItem", campaign=str(site.campaign.id))
    item = site.one.works[site.agent.id].item.id
    await browser.post("/work/act/SaveWithoutDialing", item=str(item), status="busy", note="Talks fast")
    await site.db.execute("UPDATE list_item SET due_at = now() WHERE id = $1", item)
    answer = await browser.post("/work/act/TakeItem", item=str(item))
    html = await browser.text(answer.headers["Location"])
    page = words(html)
    assert "Talks fast" in page and "Customer data" in page and "ana@exemplo.com.br" in page
    fields = set(
        re.findall(
            r'name="([a-z_]+)"',
            html[
                html.index('class="contact-window"') : html.index(
                    "</form>", html.index('class="contact-window"')
                )
            ],
        )
    )
    assert fields == {
        "csrf", "item", "number", "verb", "status", "callback_date", "callback_time", "note", "no_contact",
        "record",
    }  # fmt: skip


async def test_a_customer_is_linked_from_the_operation(site, browser):
    new = (await people(site.db, 1, first=700000000))[0]
    await site.db.execute("UPDATE contact SET name = 'Zilda Nova' WHERE id = $1", new)
    assert "Zilda Nova" in words(await browser.text("/work/operation?customer=zilda"))
    asked = {"campaign": str(site.campaign.id), "contact": str(new), "back": "/work/operation"}
    linked = await browser.post("/work/act/LinkCustomer", **asked)
    assert "The customer is on the list now." in await follow(browser, linked)
    assert await site.db.fetchval("SELECT count(*) FROM list_item WHERE contact_id = $1", new) == 1
    answer = await browser.post("/work/act/LinkCustomer", **asked)
    assert "Zilda Nova is on the list of Renewal already: Not worked." in await follow(browser, answer)
    blocked = (await people(site.db, 1, first=600000000))[0]
    await site.db.execute(
        "INSERT INTO blocked_number (number) SELECT number FROM contact_phone WHERE contact_id = $1", blocked
    )
    answer = await browser.post("/work/act/LinkCustomer", **asked | {"contact": str(blocked)})
    assert "No number of this customer may be called" in await follow(browser, answer)


async def test_a_button_never_leads_out_of_these_pages(site, browser):
    answer = await browser.post("/work/act/ExitItem", item="1", back="https://example.com/work/")
    assert answer.headers["Location"].startswith("/work?")


async def test_statistics_count_what_the_agent_said(site, browser):
    await at_the_station(site, browser)
    await browser.post("/work/act/NextItem", campaign=str(site.campaign.id))
    item = site.one.works[site.agent.id].item.id
    await browser.post("/work/act/SaveWithoutDialing", item=str(item), status="busy")
    page = words(await browser.text("/work/statistics"))
    assert "1 actions" in page and "0 with contact" in page and "No contact" in page
    await actions.record(
        site.db, site.agent, campaign_id=site.campaign.id, item_id=item, contact_id=1,
        at=datetime.datetime.now(datetime.UTC), result=Result.SUCCESS,
    )  # fmt: skip
    page = words(await browser.text("/work/statistics"))  # counted although no kind of action was chosen
    assert "2 actions" in page and "1 with contact" in page and "1 successes" in page


async def test_kinds_of_action_are_made_and_changed_by_whoever_runs_campaigns(site, browser):
    assert (await browser.http.get("/actions", headers=HTML)).status == 403
    assert 'href="/actions"' not in await browser.text("/work")
    words_ = await scripts.create(
        site.db,
        None,
        name="Offer",
        kind="approach",
        steps=[{"title": "Offer", "text": "Hello {{first_name}}"}],
    )
    await person(site.db, "boss", Role.SUPERVISOR)
    boss = await site.browser("boss")
    assert 'href="/actions"' in await boss.text("/scripts")
    answer = await boss.post("/actions/new", name="", outcome_1_name="Bought", outcome_1_result="success")
    assert answer.status == 422 and "Bought" in await answer.text()
    answer = await boss.post(
        "/actions/new", name="Offer", active="1", script_id=str(words_.id),
        outcome_1_name="Bought", outcome_1_result="success",
        outcome_2_name="Later", outcome_2_result="callback",
    )  # fmt: skip
    assert answer.status == 303
    (kind,) = await actions.types(site.db)
    assert [(o.name, str(o.result)) for o in kind.outcomes] == [("Bought", "success"), ("Later", "callback")]
    first = kind.outcomes[0]
    await boss.post(
        f"/actions/{kind.id}", name="Offer 2", active="1", outcome_1_id=str(first.id),
        outcome_1_name="Bought it", outcome_1_result="success",
    )  # fmt: skip
    (kind,) = await actions.types(site.db)
    assert (kind.name, [o.name for o in kind.outcomes]) == ("Offer 2", ["Bought it"])
    assert kind.outcomes[0].id == first.id
