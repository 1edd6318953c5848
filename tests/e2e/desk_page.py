"""The agent's desk in a browser, driven as an agent does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Locator

from cti.toolbar.client import ToolbarClient
from tests.e2e.browser import Browser, Person
from tests.e2e.network import Network
from tests.e2e.product import PASSWORD, PATIENCE, Product, until
from tests.e2e.seat import leave


class DeskPage:
    def __init__(self, person: Person) -> None:
        self.person = person

    def find(self, selector: str, has_text: str | None = None) -> Locator:
        return self.person.page.locator(selector, has_text=has_text)

    # -- coming and going --

    async def log_in(self, login: str, password: str = PASSWORD) -> None:
        page = self.person.page
        await page.goto(self.person.url + "/login")
        await page.fill("input[name=login]", login)
        await page.fill("input[name=password]", password)
        await page.press("input[name=password]", "Enter")
        await page.wait_for_selector("[data-desk]")

    async def choose_station(self, kind: str, extension: str | None = None) -> None:
        """The dialog opens by itself for somebody without a station."""
        await self.person.page.wait_for_selector("[data-station-dialog][open]")
        await self.find(f"[data-station-dialog] label:has(input[value={kind}])").click()
        if extension:
            await self.find("[data-station-dialog] input[name=extension]").fill(extension)
        await self.find("[data-station-form] button.button-main").click()

    async def until_station(self, state: str = "ok", seconds: float = PATIENCE) -> None:
        try:
            await self.until_attribute("[data-agent]", "data-station-state", state, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; {await self.person.media()}") from None

    async def become_ready(self) -> None:
        await self.find("form[data-verb=SetAgentState] .button-answer").first.click()
        await self.until_agent("ready", "reserved")  # who waits in the queue rings at once

    async def at_work(self, login: str, kind: str = "webrtc", extension: str | None = None) -> None:
        """Logged in, at the station, available."""
        await self.log_in(login)
        await self.choose_station(kind, extension)
        await self.until_station()
        await self.become_ready()

    async def join(self, campaign_id: int) -> None:
        """Work in a campaign that dials by itself, and in nothing else."""
        await self.find("#dialing-menu summary").click()
        chosen = self.find(f"#dialing-menu form:has(input[name=campaign][value='{campaign_id}'])")
        await chosen.filter(has=self.find("input[name=blended][value=false]")).locator("button").click()
        await self.find(f"#dialing-menu[data-dialing='{campaign_id}']").wait_for()

    # -- the call --

    async def press(self, verb: str) -> None:
        await self.find(f"[data-region=call] form[data-verb={verb}] button").click()

    async def until_agent(self, *states: str, seconds: float = PATIENCE) -> None:
        await self.until_attribute("[data-agent]", "data-agent", *states, seconds=seconds)

    async def until_call(self, *states: str, seconds: float = PATIENCE) -> None:
        """The call is ringing, dialing, connected, held, reconnecting, ended, or "" for none."""
        await self.until_attribute("[data-call]", "data-state", *states, seconds=seconds)

    async def until_attribute(
        self, selector: str, name: str, *values: str, seconds: float = PATIENCE
    ) -> None:
        found: list[str | None] = []

        async def condition() -> bool:
            found[:] = [await self.find(selector).first.get_attribute(name)]
            return found[0] in values

        try:
            await until(condition, seconds)
        except AssertionError:
            await self.person.picture(f"not-{values[0]}")
            raise AssertionError(f"{name} is {found} and not one of {values}") from None

    async def until_says(self, text: str, region: str = "", seconds: float = PATIENCE) -> None:
        selector = f"[data-region={region}]" if region else "body"
        words: list[str] = []

        async def condition() -> bool:
            words[:] = [await self.find(selector).first.inner_text(timeout=5000)]
            return text in words[0]

        try:
            await until(condition, seconds)
        except AssertionError:
            raise AssertionError(f"{text!r} is not in {words[0]!r}") from None

    # -- the form --

    def field(self, key: str) -> Locator:
        return self.find(f'#tabulation [name="a.{key}"]')

    async def required(self) -> list[str]:
        """The keys of the form's required fields beside the category."""
        fields = self.find('#tabulation [aria-required="true"]')
        names = [await fields.nth(i).get_attribute("name") or "" for i in range(await fields.count())]
        return [name.removeprefix("a.") for name in names if name != "a.category"]

    async def answer(self, key: str) -> str:
        """Give a field any acceptable answer; what was given."""
        field = self.field(key)
        if await field.evaluate("element => element.tagName") == "SELECT":
            options = [o for o in await field.locator("option").all_inner_texts() if o]
            await field.select_option(options[0])
            return options[0]
        kinds = {"date": "2026-11-21", "tel": "11987654321"}
        numeric = await field.get_attribute("inputmode") == "decimal"
        value = "7" if numeric else kinds.get(await field.get_attribute("type") or "", "Pediu proposta")
        await field.fill(value)
        return value

    async def choose_category(self) -> None:
        select = self.find('#tabulation select[name="a.category"]')
        if await select.count():
            values = await select.locator("option").evaluate_all("options => options.map(o => o.value)")
            await select.select_option(next(value for value in values if value))
        else:
            await self.find('#tabulation label:has(input[name="a.category"])').first.click()

    async def save(self) -> None:
        await self.find('[data-region=save] button[form="tabulation"]').click()

    async def say_outcome(self, result: str) -> None:
        """Of a campaign's call, with the form."""
        await self.choose_category()
        for key in await self.required():
            await self.answer(key)
        await self.find(f".outcome .chip:has([value={result}])").click()
        await self.find(".outcome button[value=SetOutcome]").click()
        await self.find("[data-work]").wait_for(state="detached")

    async def tabulate(self) -> None:
        await self.choose_category()
        for key in await self.required():
            await self.answer(key)
        await self.save()


@asynccontextmanager
async def desk(
    browser: Browser, product: Product, login: str, network: Network | None = None, language: str = "pt-BR"
) -> AsyncIterator[DeskPage]:
    """A browser's window for this agent; whatever is left of the agent's work is ended afterwards."""
    async with await browser.person(network.url if network else product.url, network, language) as person:
        try:
            yield DeskPage(person)
        finally:
            await send_home(product, login)
    assert not person.complaints, person.complaints


async def send_home(product: Product, login: str) -> None:
    async with ToolbarClient("127.0.0.1", product.cti_port) as client:
        await client.connect(login, PASSWORD)
        await leave(client)
