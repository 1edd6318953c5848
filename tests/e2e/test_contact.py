"""A customer's contact that was no call, and a conversation that a killed server cut, in a browser."""

from playwright.async_api import expect

from tests.e2e.browser import Browser
from tests.e2e.customer import Customers
from tests.e2e.desk_page import DeskPage, desk
from tests.e2e.product import PATIENCE, Product, running
from tests.e2e.test_campaign import at_a_station, reach


async def take_next(agent: DeskPage, product: Product) -> str:
    """The next person of the demonstration's campaign is in hand; their name."""
    page = agent.person.page
    await page.goto(product.url + "/work")
    await page.get_by_role("link", name="Renovação").click()
    await agent.until_station()
    await page.keyboard.press("F7")
    await expect(agent.find("[data-work]")).to_be_visible()
    return await agent.find("[data-work] h2").inner_text()


async def test_a_contact_that_was_no_call_is_recorded_by_keyboard_alone(product: Product, browser: Browser):
    """TEL-06, TEL-08 … TEL-10, TEL-13: what was done, said and came of it, without dialing."""
    async with desk(browser, product, "agent1") as agent:
        page = agent.person.page
        await at_a_station(agent, "agent1")
        name = await take_next(agent, product)
        await reach(page, "#contact-made > summary")
        await page.keyboard.press("Enter")
        await page.keyboard.press("Control+Enter")  # nothing is said yet
        await expect(agent.find("#contact-made [data-field=conversation] [data-wrong]")).to_be_visible()
        await expect(agent.find("#contact-made [data-field=result] [data-wrong]")).to_be_visible()
        await agent.find("#contact-made > summary").focus()
        await reach(page, "#o-type")
        await page.keyboard.type("Contraproposta")
        await reach(page, "#o-outcome")
        await page.keyboard.type("Aceitou")
        await reach(page, "[data-add-script]")
        await page.keyboard.press("Enter")
        await page.keyboard.type(" Fechou na loja.")
        await expect(agent.find("#contact-made [value=success]")).to_be_checked()
        await page.keyboard.press("Control+Enter")
        await expect(agent.find("[data-work]")).to_have_count(0)
        await expect(agent.find("[data-toasts]")).to_contain_text(name)
        await expect(agent.find("[data-verb=NextItem] button")).to_be_focused()

        await page.goto(product.url + "/work/operation?view=concluded&name=" + name)
        await agent.find(".history-menu > summary").first.click()
        history = agent.find(".history-menu [data-loaded]").first
        await expect(history.locator("li").first).to_contain_text("Contraproposta: Aceitou o desconto")
        await expect(history.locator("li").first).to_contain_text("sem ligação")
        await expect(history.locator("li").first).to_contain_text("Fechou na loja.")


async def test_an_agent_whose_server_was_killed_in_a_conversation_is_told_and_says_what_came_of_it(
    browser: Browser,
):
    with running() as product:
        async with (
            Customers(product.sip_port, product.trunk_port) as customers,
            await browser.person(product.url) as person,
        ):
            agent = DeskPage(person)
            await agent.log_in("agent1")
            await agent.choose_station("webrtc")
            await agent.until_station()
            name = await take_next(agent, product)
            await person.page.keyboard.press("F8")
            await agent.until_call("connected")
            await agent.find("#action > summary").click()
            await agent.find("#o-conversation").fill("Disse que fica com o plano")
            await agent.find(".outcome[data-kept]").wait_for()
            product.kill()
            product.start()

            told = agent.find("[data-interrupted]")
            await told.wait_for(timeout=PATIENCE * 1000)  # the page tries again by itself
            await expect(told).to_contain_text("O sistema reiniciou durante a ligação")
            await expect(agent.find("[data-work] h2")).to_have_text(name)
            words = agent.find("#contact-made [name=conversation]")
            await expect(words).to_have_value("Disse que fica com o plano")
            await agent.find("[data-station-dialog] button.button-main").click()
            await agent.until_attribute("[data-agent]", "data-station", "webrtc")
            await expect(words).to_have_value("Disse que fica com o plano")
            await agent.find("#contact-made .chip:has([value=success])").click()
            await agent.find("button[value=RecordContact]").click()
            await expect(agent.find("[data-work]")).to_have_count(0)

            await person.page.goto(product.url + "/work/operation?view=concluded&name=" + name)
            await agent.find(".history-menu > summary").first.click()
            history = agent.find(".history-menu [data-loaded]").first
            await expect(history).to_contain_text("Disse que fica com o plano")
            await expect(history).not_to_contain_text("sem ligação")  # it is the outcome of the call
            await customers.hang_up_all()
