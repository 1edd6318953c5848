"""An agent with WebRTC in a browser: steps 2, 3 and 6 of what a person can do."""

from playwright.async_api import expect

from tests.e2e.browser import Browser
from tests.e2e.customer import AGENT, CUSTOMER, OTHER_AGENT, Customers
from tests.e2e.desk_page import desk
from tests.e2e.product import PASSWORD, Product, until

KNOWN, SHARED, UNKNOWN = "+5511987654321", "+5511912345678", "+5521970001234"


async def test_an_agent_logs_in_chooses_the_station_and_becomes_available(product: Product, browser: Browser):
    async with desk(browser, product, "agent1") as agent:
        page = agent.person.page
        await page.goto(product.url + "/login")
        await page.fill("input[name=login]", "agent1")
        await page.fill("input[name=password]", "not the password")
        await page.press("input[name=password]", "Enter")
        await expect(page.locator(".notice")).to_be_visible()
        assert await page.input_value("input[name=login]") == "agent1"

        await agent.at_work("agent1")
        assert await agent.find("[data-agent]").get_attribute("data-extension") == "1001"


async def test_without_a_microphone_the_page_says_so_at_once(product: Product):
    async with Browser(AGENT, microphone=False) as browser, desk(browser, product, "agent1") as agent:
        await agent.log_in("agent1")
        await agent.choose_station("webrtc")
        await agent.until_says("microfone")
        assert await agent.find("[data-agent]").get_attribute("data-agent") in {"logged_off", "not_ready"}


async def test_without_permission_the_page_says_so_at_once(product: Product):
    async with Browser(AGENT, permission=False) as browser, desk(browser, product, "agent1") as agent:
        await agent.log_in("agent1")
        await agent.choose_station("webrtc")
        await agent.until_says("cadeado")  # the padlock beside the address
        assert await agent.find("[data-agent]").get_attribute("data-agent") in {"logged_off", "not_ready"}


async def test_an_extension_somebody_else_sits_at_is_told_in_words(
    product: Product, browser: Browser, other_browser: Browser
):
    async with desk(browser, product, "agent1") as agent, desk(other_browser, product, "agent2") as other:
        await agent.at_work("agent1")
        await other.log_in("agent2")
        await other.choose_station("webrtc", "1001")
        await expect(other.find("[data-station-dialog]")).to_contain_text("Ana Souza já está no ramal 1001")


async def test_a_caller_waits_with_music_is_answered_held_and_tabulated(
    product: Product, browser: Browser, customers: Customers
):
    async with desk(browser, product, "agent1") as agent:
        await agent.log_in("agent1")
        await agent.choose_station("webrtc")
        await agent.until_station()
        customer = customers.call("4000", KNOWN)
        await customer.until_music()

        await agent.become_ready()
        await agent.until_call("ringing")
        await agent.until_says("(11) 98765-4321", "call")
        await agent.until_says("4000", "call")
        assert await agent.find("[data-region=customer] .customer-head h2").inner_text()
        assert await agent.find("[data-region=customer] .timeline li").count() > 0
        assert customer.hears_music()

        await agent.press("AnswerCall")
        await agent.until_call("connected")
        await agent.person.until_hears(CUSTOMER)
        await customer.until_hears(AGENT)

        await agent.press("HoldCall")
        await agent.until_call("held")
        await customer.until_music()

        async def silent() -> bool:
            return not await agent.person.hears(CUSTOMER)

        await until(silent)
        await agent.press("RetrieveCall")
        await agent.until_call("connected")
        await customer.until_hears(AGENT)
        await agent.person.until_hears(CUSTOMER)

        typed = await agent.answer((await agent.required())[0])
        await agent.press("ClearConnection")
        await customer.call.over
        await agent.until_agent("wrap_up")

        await agent.save()  # the category is still missing
        await expect(
            agent.find(".categories [data-wrong], [data-field=category] [data-wrong]")
        ).to_be_visible()
        await agent.until_agent("wrap_up")
        assert await agent.field((await agent.required())[0]).input_value() == typed

        await agent.tabulate()
        await agent.until_agent("ready")
        await agent.until_call("")


async def test_several_customers_with_the_number_are_offered_and_one_is_chosen(
    product: Product, browser: Browser, customers: Customers
):
    async with desk(browser, product, "agent1") as agent:
        await agent.at_work("agent1")
        customer = customers.call("4000", SHARED)
        await agent.until_call("ringing")
        candidates = agent.find("[data-region=customer] .candidates > li")
        await expect(candidates).to_have_count(2)
        await agent.press("AnswerCall")
        await agent.until_call("connected")
        name = await candidates.nth(1).locator("b").first.inner_text()
        await candidates.nth(1).locator("button").click()
        await expect(agent.find("[data-region=customer] .customer-head h2")).to_have_text(name)
        customer.call.hang_up()
        await agent.until_agent("wrap_up")
        await agent.tabulate()
        await agent.until_agent("ready")


async def test_an_unknown_caller_is_created_while_talking_and_known_the_next_time(
    product: Product, browser: Browser, customers: Customers
):
    async with desk(browser, product, "agent1") as agent:
        await agent.at_work("agent1")
        customer = customers.call("4000", UNKNOWN)
        await agent.until_call("ringing")
        await agent.press("AnswerCall")
        await agent.until_call("connected")
        await agent.find(".create input[name=name]").fill("Marta Figueiredo")
        await agent.find(".create button.button-main").click()
        await expect(agent.find("[data-region=customer] .customer-head h2")).to_have_text("Marta Figueiredo")
        customer.call.hang_up()
        await agent.until_agent("wrap_up")
        await agent.tabulate()
        await agent.until_agent("ready")

        customer = customers.call("4000", UNKNOWN)
        await agent.until_call("ringing")
        await agent.until_says("Marta Figueiredo", "customer")
        assert await agent.find("[data-region=customer] .timeline li").count() > 0
        customer.call.hang_up()


async def test_a_missed_call_pauses_the_agent_and_the_caller_keeps_the_place(
    product: Product, browser: Browser, customers: Customers
):
    async with desk(browser, product, "agent1") as agent:
        await agent.at_work("agent1")
        customer = customers.call("4000", KNOWN)
        await agent.until_call("ringing")
        await agent.press("ClearConnection")  # refuses it
        await agent.until_agent("not_ready")
        assert not customer.call.over.done()
        await customer.until_music()
        await agent.become_ready()
        await agent.until_call("ringing")
        customer.call.hang_up()
        await agent.until_call("")


async def test_the_agent_dials_a_customer_with_the_keypad(
    product: Product, browser: Browser, customers: Customers
):
    async with desk(browser, product, "agent1") as agent:
        await agent.at_work("agent1")
        for digit in "11955550001":
            await agent.find(f"[data-digit='{digit}']").click()
        assert (await agent.find("#dial-number").input_value()).endswith("0001")
        before = len(customers.called)
        await agent.find("form.dial .button-answer").click()
        await until(lambda: len(customers.called) > before)
        customer = customers.called[-1]
        assert customer.call.number.endswith("11955550001")
        await agent.until_call("connected")
        await agent.person.until_hears(CUSTOMER)
        await customer.until_hears(AGENT)

        for digit in "159#":  # the keypad now sends tones to the call
            await agent.find(f"[data-digit='{digit}']").click()
        await until(lambda: customer.call.talk.digits == "159#")

        customer.call.hang_up()
        await agent.until_agent("wrap_up", "ready")


async def test_a_busy_customer_is_told_and_the_agent_is_free_again(
    product: Product, browser: Browser, customers: Customers
):
    async with desk(browser, product, "agent1") as agent:
        await agent.at_work("agent1")
        customers.answers, before = False, len(customers.called)
        try:
            await agent.find("#dial-number").fill("11955550006")
            await agent.find("form.dial .button-answer").click()
            await until(lambda: len(customers.called) > before)
            await agent.until_call("dialing")
            customers.called[-1].call.reject(486)
            await agent.until_call("", "ended")
            await agent.until_agent("wrap_up", "ready", "not_ready")
        finally:
            customers.answers = True


async def test_a_click_on_an_extension_calls_the_colleague(
    product: Product, browser: Browser, other_browser: Browser
):
    async with desk(browser, product, "agent1") as agent, desk(other_browser, product, "agent2") as other:
        await agent.at_work("agent1")
        await other.at_work("agent2")
        await agent.find(".directory li:has(b:text-is('1002')) form[data-verb=MakeCall] button").click()
        await other.until_call("ringing")
        await other.until_says("1001", "call")
        await other.press("AnswerCall")
        await agent.until_call("connected")
        await agent.person.until_hears(OTHER_AGENT)
        await other.person.until_hears(AGENT)
        await agent.press("ClearConnection")
        await other.until_call("", "ended")
        await agent.until_agent("ready", "not_ready")


async def test_a_number_no_route_permits_is_refused_in_words(product: Product, browser: Browser):
    async with desk(browser, product, "agent1") as agent:
        await agent.at_work("agent1")
        await agent.find("#dial-number").fill("12")  # neither an extension nor a number of any route
        await agent.find("form.dial .button-answer").click()
        await expect(agent.find("[data-toasts], .desk-refusal").first).not_to_be_empty()
        await agent.until_agent("ready")


async def test_the_desk_speaks_english_by_choice_and_is_used_without_a_mouse(
    product: Product, browser: Browser, customers: Customers
):
    async with desk(browser, product, "agent1", language="en-US") as agent:
        page = agent.person.page
        await page.goto(product.url + "/login?language=en")
        await page.keyboard.type("agent1")
        await page.keyboard.press("Tab")
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_selector("[data-desk]")
        await page.locator("[data-region=call] [data-open=station]").focus()
        await page.keyboard.press("Enter")
        await page.locator("[data-station-form] button.button-main").focus()
        await page.keyboard.press("Enter")
        await agent.until_station()
        await page.keyboard.press("F2")
        await agent.until_agent("ready")
        customer = customers.call("4000", KNOWN)
        await agent.until_call("ringing")
        await page.keyboard.press("F8")
        await agent.until_call("connected")
        await customer.until_hears(AGENT)
        await page.keyboard.press("F6")
        await agent.until_call("held")
        await page.keyboard.press("F6")
        await agent.until_call("connected")
        await page.keyboard.press("F9")
        await agent.until_agent("wrap_up")
        await customer.call.over


async def test_time_in_status_counts_and_a_pause_chosen_in_a_call_comes_after_it(
    product: Product, browser: Browser, customers: Customers
):
    async with desk(browser, product, "agent1") as agent:
        await agent.at_work("agent1")
        shown = agent.find(".status-time")
        before = await shown.inner_text()

        async def counts() -> bool:
            return await shown.inner_text() != before

        await until(counts)
        customer = customers.call("4000", KNOWN)
        await agent.until_call("ringing")
        await agent.press("AnswerCall")
        await agent.until_call("connected")
        await agent.find("#state-menu summary").click()
        await agent.find("#state-menu form:has(input[value=break_10]) button").click()
        await agent.until_says("Pausa NR-17", "status")
        await agent.until_call("connected")
        customer.call.hang_up()
        await agent.until_agent("wrap_up")
        await agent.tabulate()
        await agent.until_agent("not_ready")
        await agent.until_says("Pausa NR-17", "status")


async def test_another_customer_is_searched_for_and_chosen_during_the_call(
    product: Product, browser: Browser, customers: Customers
):
    async with desk(browser, product, "agent1") as agent:
        await agent.at_work("agent1")
        customer = customers.call("4000", "+5521970005678")
        await agent.until_call("ringing")
        await agent.press("AnswerCall")
        await agent.until_call("connected")
        await agent.find("#find-customer summary").click()
        await agent.find("#find-customer input[name=text]").fill("albuquerque mariana")
        await agent.find("#find-customer input[name=text]").press("Enter")
        found = agent.find("#find-customer li", has_text="Mariana Albuquerque").first
        await found.locator("button").click()
        await expect(agent.find("[data-region=customer] .customer-head h2")).to_have_text(
            "Mariana Albuquerque"
        )
        customer.call.hang_up()
        await agent.until_agent("wrap_up")
