"""An agent works a campaign in a browser: from the list to the outcome, on one page."""

import re

from playwright.async_api import Page, expect

from tests.e2e.browser import Browser
from tests.e2e.customer import AGENT, CUSTOMER, Customers
from tests.e2e.desk_page import DeskPage, desk
from tests.e2e.product import Product, running, until
from tests.e2e.test_supervisor import log_in

NOTE = """item => {
    const csrf = document.querySelector("meta[name=csrf]").content;
    const form = Object.assign(document.createElement("form"), { method: "post" });
    form.action = "/work/act/SaveWithoutDialing";
    for (const [name, value] of Object.entries({ item, csrf, note: "?" }))
        form.append(Object.assign(document.createElement("input"), { name, value }));
    document.body.append(form);
    form.submit();
}"""  # what an old window would send


async def test_an_agent_takes_the_next_person_calls_talks_along_the_script_and_saves_the_outcome(
    product: Product, browser: Browser, customers: Customers
):
    """UAU-42 … UAU-61: the overdue callback first, a busy try, then an answer, script, form and success."""
    async with desk(browser, product, "agent1") as agent:
        page = agent.person.page
        await agent.log_in("agent1")
        await agent.choose_station("webrtc")
        await agent.until_station()
        await page.goto(product.url + "/work")
        await page.get_by_role("link", name="Renovação").click()
        await agent.until_station()
        people = agent.find("[data-people] tbody tr")
        first = await people.first.locator("b").inner_text()

        await agent.find("[data-verb=NextItem] button").click()
        window = agent.find("[data-work]")
        await expect(window.locator("h2")).to_have_text(first)
        await expect(window.locator(".badge-bad").first).to_be_visible()  # told that it is overdue
        number = await window.locator("input[name=number]:checked").get_attribute("value")
        await window.locator("#without-call > summary").click()
        record, status = window.locator("[data-record]"), window.locator("#w-status")
        await expect(record).to_be_checked()
        await expect(record).to_be_disabled()  # only a block may leave it out (UAU-56)
        await status.select_option("block")
        await expect(record).to_be_enabled()
        await expect(window.locator("[data-block]")).to_be_visible()
        await status.select_option("")
        await expect(record).to_be_disabled()

        customers.answers, before = False, len(customers.called)
        try:
            await window.locator("button[value=DialItem]").click()
            await until(lambda: len(customers.called) > before)
            assert number and customers.called[-1].call.number.endswith(number.removeprefix("+55"))
            customers.called[-1].call.reject(486)
            await expect(window.locator(".last-call")).to_be_visible()
        finally:
            customers.answers = True

        await window.locator("button[value=DialItem]").click()
        await agent.until_call("connected")
        await agent.person.until_hears(CUSTOMER)
        await customers.called[-1].until_hears(AGENT)
        script = agent.find(".script")
        await expect(script).to_be_visible()
        opening = await script.locator("h3").inner_text()
        assert first.split()[0] in await script.locator(".script-text").inner_text(), "the text is merged"
        asked = agent.find("#tabulation .asked")
        before_choice = await asked.all_inner_texts()
        assert before_choice, "what the step asks for stands out in the form"
        await script.locator(".script-choices button").first.click()
        await expect(script.locator(".script-path")).to_contain_text(opening)
        await expect(asked).not_to_have_text(before_choice)
        await script.locator("[data-goto]").first.click()
        await expect(asked.first.locator("input, select, textarea").first).to_be_focused()

        await agent.find("#action > summary").click()
        await agent.find("#o-type").select_option(label="Contraproposta")
        words = agent.find("[data-action-script] p")
        await expect(words).to_contain_text(first.split()[0])  # its script comes by itself (TEL-09)
        await agent.find("[data-add-script]").click()
        conversation = agent.find("#o-conversation")
        await expect(conversation).to_have_value(await words.inner_text())
        await conversation.press_sequentially(" Quer pensar até amanhã.")
        outcome = agent.find("#o-outcome")
        assert "Vai mudar de operadora" not in await outcome.locator("option:not([hidden])").all_inner_texts()
        await outcome.select_option(label="Aceitou o desconto")
        await expect(agent.find(".outcome [name=result][value=success]")).to_be_checked()

        note = agent.find(".outcome [name=note]")
        await note.fill("Pediu a fatura por e-mail")
        await agent.find(".outcome[data-kept]").wait_for()
        await page.reload()
        await agent.until_call("connected", "reconnecting")
        await expect(note).to_have_value("Pediu a fatura por e-mail")
        await expect(conversation).to_have_value(re.compile("Quer pensar até amanhã"))
        await expect(script.locator(".script-path")).to_contain_text(opening)

        customers.called[-1].call.hang_up()
        await agent.until_agent("wrap_up")
        await agent.find(".outcome .chip:has([value=success])").click()
        await agent.find(".outcome button[value=SetOutcome]").click()  # the form is not filled in yet
        await expect(agent.find("#tabulation [data-field=category] [data-wrong]")).to_be_visible()
        await agent.choose_category()
        for key in await agent.required():
            await agent.answer(key)
        await agent.find(".outcome .chip:has([value=success])").click()
        await agent.find(".outcome button[value=SetOutcome]").click()
        await expect(agent.find("[data-work]")).to_have_count(0)
        await agent.until_agent("not_ready", "ready")
        await expect(agent.find("[data-people] tbody")).not_to_contain_text(first)

        await page.goto(product.url + "/work/operation?view=concluded&name=" + first)
        await expect(agent.find("tbody tr").first).to_contain_text(first)
        await agent.find(".history-menu > summary").first.click()
        history = agent.find(".history-menu [data-loaded]").first
        await expect(history).to_contain_text("Contraproposta: Aceitou o desconto")
        await expect(history).to_contain_text("Quer pensar até amanhã.")


async def test_a_person_is_taken_called_and_finished_with_by_keyboard_alone(
    product: Product, browser: Browser, customers: Customers
):
    async with desk(browser, product, "agent1") as agent:
        page = agent.person.page
        await agent.log_in("agent1")
        await agent.choose_station("webrtc")
        await agent.until_station()
        await page.goto(product.url + "/work")
        await page.get_by_role("link", name="Renovação").press("Enter")
        await agent.until_station()
        await page.keyboard.press("F7")
        await expect(agent.find("[data-work]")).to_be_visible()
        await page.keyboard.press("F8")
        await agent.until_call("connected")
        await page.keyboard.press("F9")
        await agent.until_agent("wrap_up")
        for chosen in ("#tabulation [name='a.category']", ".outcome [name=result]"):
            await reach(page, chosen)
            await page.keyboard.press("Space")
        for key in await agent.required():
            await agent.answer(key)
        await page.keyboard.press("Control+Enter")
        await expect(agent.find("[data-work]")).to_have_count(0)


async def reach(page: Page, selector: str) -> None:
    """With the tabulator key, from wherever the focus is."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        if await page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
            return
    raise AssertionError(f"{selector} is not reached")


async def test_a_person_whose_agents_browser_died_goes_back_to_the_list_by_itself(
    browser: Browser, other_browser: Browser
):
    """A killed browser says nothing: its lease ends, and the next agent is given the person."""
    with running(RAMAL_ITEM_LEASE_SECONDS="6") as product:
        async with await browser.person(product.url, None, "pt-BR") as person:
            lost = DeskPage(person)
            await at_a_station(lost, "agent2")
            await person.page.goto(product.url + "/work")
            await person.page.get_by_role("link", name="Renovação").click()
            row = lost.find("[data-people] tbody tr:has(form[data-verb=TakeItem])").last
            name = await row.locator("b").inner_text()
            await row.locator("form button").click()
            await expect(lost.find("[data-work] h2")).to_have_text(name)
            address = person.page.url.partition("?")[0] + "?name=" + name
            await person.page.close()

        async with desk(other_browser, product, "agent3") as other:
            await at_a_station(other, "agent3")
            await other.person.page.goto(address)
            await expect(other.find("[data-people] tbody tr").first).to_contain_text("Bruno")  # has it

            async def free() -> bool:
                await other.person.page.goto(address)
                return bool(await other.find("[data-people] form[data-verb=TakeItem]").count())

            await until(free, every=0.5)
            await other.find("[data-people] form[data-verb=TakeItem] button").first.click()
            await expect(other.find("[data-work] h2")).to_have_text(name)
            await other.find("button[value=ExitItem]").click()
            await expect(other.find("[data-work]")).to_have_count(0)


async def test_an_agent_who_acts_on_a_person_no_longer_theirs_is_told_who_has_it(
    product: Product, browser: Browser, other_browser: Browser
):
    """A window left open somewhere still asks for what is not its agent's any more."""
    async with desk(browser, product, "agent2") as late, desk(other_browser, product, "agent3") as quick:
        for agent, login in ((late, "agent2"), (quick, "agent3")):
            await at_a_station(agent, login)
        page = late.person.page
        await page.goto(product.url + "/work")
        await page.get_by_role("link", name="Renovação").click()
        row = late.find("[data-people] tbody tr:has(form[data-verb=TakeItem])").first
        name = await row.locator("b").inner_text()
        item = await row.locator("[name=item]").get_attribute("value")
        address = page.url.partition("?")[0] + "?name=" + name
        await row.locator("form button").click()
        await expect(late.find("[data-work] h2")).to_have_text(name)
        await quick.person.page.goto(address)
        await expect(quick.find("[data-people] tbody tr").first).to_contain_text("Bruno")
        await late.find("button[value=ExitItem]").click()
        await expect(late.find("[data-work]")).to_have_count(0)

        await quick.person.page.goto(address)
        await quick.find("[data-people] form[data-verb=TakeItem] button").first.click()
        await expect(quick.find("[data-work] h2")).to_have_text(name)
        await page.evaluate(NOTE, item)
        await page.wait_for_url(re.compile("refused="))
        await expect(late.find("main")).to_contain_text(f"{name} está com Carla")
        await quick.find("button[value=ExitItem]").click()
        await expect(quick.find("[data-work]")).to_have_count(0)


async def test_an_agent_is_told_who_took_the_person_back_and_why(
    product: Product, browser: Browser, other_browser: Browser
):
    """UAU-35 … UAU-38: a supervisor marks the item in use and releases it with a reason."""
    async with desk(browser, product, "agent2") as agent:
        await at_a_station(agent, "agent2")
        page = agent.person.page
        await page.goto(product.url + "/work")
        await page.get_by_role("link", name="Renovação").click()
        row = agent.find("[data-people] tbody tr:has(form[data-verb=TakeItem])").last
        name = await row.locator("b").inner_text()
        await row.locator("form button").click()
        await expect(agent.find("[data-work] h2")).to_have_text(name)

        async with await other_browser.person(product.url) as supervisor:
            held = supervisor.page
            await log_in(supervisor, "supervisor")
            await held.goto(product.url + "/campaigns/in-use")
            line = held.locator("tbody tr", has_text=name)
            await expect(line).to_contain_text("Bruno")
            await line.locator("[name=marked]").check()
            await held.fill("[name=reason]", "cliente ligou de volta")
            await held.locator("form:has([name=reason]) .button-main").click()
            await expect(held.locator(".notice-ok")).to_be_visible()

        told = page.locator("[data-toasts]")
        await expect(told).to_contain_text("Paulo")
        await expect(told).to_contain_text("cliente ligou de volta")
        await expect(agent.find("[data-work]")).to_have_count(0)


async def at_a_station(agent: DeskPage, login: str) -> None:
    """Logged on; whether the audio is up does not matter to who only takes somebody from the list."""
    await agent.log_in(login)
    await agent.choose_station("webrtc")
    await agent.until_attribute("[data-agent]", "data-station", "webrtc")
