"""Takes the pictures of docs/ui.md from the running product: `python -m docs.screenshots [NAME ...]`.

Starts the demo with data and ports of its own, lets agents and customers of the end-to-end tests work in it,
and photographs each page as its reader sees it. Names choose pictures; without any, all are taken.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.e2e.browser import Browser, Person
from tests.e2e.customer import AGENT, Customers
from tests.e2e.desk_page import DeskPage, desk
from tests.e2e.product import PASSWORD, Product, running, until
from tests.e2e.seat import seat

FOLDER = Path(__file__).parent / "ui"
KNOWN = "+5511987654321"
OTHERS = ("+5511912345678", "+552133334444", "+5531988887777")
LAPTOP, PHONE, SCREEN = (1366, 768), (390, 844), (1920, 1080)
SECONDS_TO_LOOK_ALIVE = 3.0


async def main(product: Product, chosen: set[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    async with Browser(AGENT) as browser, Customers(product.sip_port, product.trunk_port) as customers:
        camera = Camera(browser, product, chosen)
        await camera.look("login", None, "/login")
        async with desk(browser, product, "agent1") as page, colleagues(product, customers, page, camera):
            await camera.look(
                "wallboard", "supervisor", "/wallboard", until="[data-chart=today] canvas", whole=True
            )
            await camera.look(
                "wallboard-full", "supervisor", "/wallboard?full=1", size=SCREEN, dark=True,
                until="[data-chart=today] canvas",
            )  # fmt: skip
            await camera.look("wallboard-phone", "supervisor", "/wallboard", size=PHONE)
        await camera.look("tabulations", "supervisor", "/tabulations?queue=sales")
        await camera.look("recording", "supervisor", "/recordings", click="tr:nth-child(8) a.row-link")
        await camera.look(
            "tabulation", "supervisor", "/tabulations?duration=60", click="tr:has(.button-small) a.row-link"
        )
        await camera.look("contact", "supervisor", "/contacts?text=Mariana Albuquerque", click="a.row-link")
        await camera.look("users", "admin", "/users")
        await camera.look("user", "admin", "/users", click="a.row-link")
        await camera.look("queue", "admin", "/queues", click="a.row-link")
        await camera.look("layout", "admin", "/layouts", click="a.row-link")
        await camera.look("permissions", "admin", "/layouts/1", first=permit)
        await camera.look("simulation", "admin", "/layouts", click="a[href$=simulate]")
        await camera.look("trunks", "admin", "/trunks")
        await camera.look("routes", "admin", "/routes")
        await camera.look("groups", "admin", "/groups")
        await camera.look("pauses", "admin", "/pauses")
        await camera.look("custom-fields", "admin", "/custom_fields", first=ask_more)
        await camera.look("audit", "admin", "/audit")
        await campaigns(camera)
        await dialing(camera, product)
        async with desk(browser, product, "agent2") as page:
            await campaign_work(camera, page, customers)


async def campaigns(camera: "Camera") -> None:
    """What supervisors see of a campaign, from its settings to its reports."""
    await camera.look("campaigns", "supervisor", "/campaigns")
    await camera.look("campaign", "supervisor", "/campaigns/1")
    await camera.look("campaign-settings", "supervisor", "/campaigns/1/period")
    await camera.look("campaign-item", "supervisor", "/campaigns/1/items", click="a.row-link")
    await camera.look("campaign-phone", "supervisor", "/campaigns/1", size=PHONE)
    await camera.look("import", "supervisor", "/imports", first=send_a_file)
    await camera.look("filter", "supervisor", "/filters/1")
    await camera.look("script", "supervisor", "/scripts/1")
    await camera.look("blocklist", "supervisor", "/blocklist")
    await camera.look("reports", "supervisor", "/reports")
    await camera.look("report", "supervisor", "/reports/r1")
    await camera.look("custom-report", "supervisor", "/reports/custom/1?period=all")
    await camera.look("custom-report-builder", "supervisor", "/reports/custom/new?model=success")
    await camera.look("tickets", "supervisor", "/tickets")
    await camera.look("ticket", "supervisor", "/tickets", click="a.row-link")
    await camera.look("keys", "supervisor", "/wallboard", first=ask_for_keys)


async def campaign_work(camera: "Camera", page: DeskPage, customers: Customers) -> None:
    """An agent opens a campaign, takes the next person, and talks along the script."""
    if camera.chosen and not camera.chosen & {"work", "work-list", "work-person", "work-call", "operation"}:
        return
    tab = page.person.page
    await page.log_in("agent2")
    await page.choose_station("webrtc")
    await page.until_station()
    await tab.goto(page.person.url + "/work")
    await camera.take("work", page.person)
    await tab.get_by_role("link", name="Renovação").click()
    await page.until_station()
    await camera.take("work-list", page.person)
    await page.find("[data-verb=NextItem] button").click()
    await page.find("[data-work]").wait_for()
    await camera.take("work-person", page.person)
    await page.find("[data-work] button[value=DialItem]").click()
    await page.until_call("connected")
    await page.find(".script .script-choices button").first.click()
    await camera.take("work-call", page.person)
    customers.called[-1].call.hang_up()
    await camera.look("operation", "agent3", "/work/operation?view=scheduled")


async def dialing(camera: "Camera", product: Product) -> None:
    """Three agents work in the campaign that dials by itself."""
    if camera.chosen and not camera.chosen & {"dialing", "dialing-live", "dialing-settings"}:
        return
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for number in (4, 5, 6):
            (folder / f"register-100{number}").mkdir()
            one = await stack.enter_async_context(seat(product, folder, f"agent{number}", f"100{number}"))
            campaign = one.client.snapshot["dialing_choices"][0]["id"]
            await one.client.request("JoinCampaign", campaign=campaign)
            await one.ready()
        await one.until_state("busy", seconds=60)
        await camera.look("dialing", "supervisor", "/dialing")
        await camera.look("dialing-live", "supervisor", f"/campaigns/{campaign}/live")
        await camera.look("dialing-settings", "supervisor", f"/campaigns/{campaign}/dialing")


async def permit(person: Person) -> None:
    """The layout may be used for calls by hand and incoming ones of the second group."""
    await person.page.locator(".add-permission summary").click()
    row = person.page.locator(".add-permission fieldset")
    await row.locator("select").first.select_option(index=2)
    for scenario in ("manual", "inbound"):
        await row.locator(f"input[value={scenario}]").check()
    await person.page.locator("form.sections button.button-main").click()
    await person.page.wait_for_url("**saved=1")
    await person.page.locator(".add-permission summary").click()
    await person.page.locator("#permissions").scroll_into_view_if_needed()


async def send_a_file(person: Person) -> None:
    ana, joao = "Ana Lima;529.982.247-25;(11) 98765-0001;Osasco", "João Sá;;1133330002;Santo André"
    rows = f"NOME;CPF;CELULAR;CIDADE\r\n{ana}\r\n{joao}\r\n"
    file = {"name": "clientes.csv", "mimeType": "text/csv", "buffer": rows.encode("latin-1")}
    await person.page.set_input_files("#f-file", [file])  # type: ignore[list-item]
    await person.page.locator("form[enctype] button.button-main").click()
    await person.page.wait_for_selector(".import-columns")


async def ask_more(person: Person) -> None:
    for label, kind, options in (
        ("Vencimento do contrato", "date", ""),
        ("Plano", "choice", "Básico\nCompleto"),
    ):
        await person.page.fill(".new-field #f-label", label)
        await person.page.select_option(".new-field #f-kind", kind)
        if options:
            await person.page.fill(".new-field #f-options", options)
        await person.page.locator(".new-field button.button-main").click()
        await person.page.wait_for_selector(f"form[aria-label='{label}']")


async def ask_for_keys(person: Person) -> None:
    await person.page.keyboard.press("?")
    await person.page.wait_for_selector("dialog[data-keys][open]")


class Camera:
    """Photographs what a reader sees, as a PNG under docs/ui."""

    def __init__(self, browser: Browser, product: Product, chosen: set[str]) -> None:
        self.browser, self.product, self.chosen = browser, product, chosen

    async def look(
        self,
        name: str,
        login: str | None,
        path: str,
        *,
        size: tuple[int, int] = LAPTOP,
        dark: bool = False,
        click: str = "",
        first: Callable[[Person], Awaitable[None]] | None = None,
        until: str = "main",
        whole: bool = False,
    ) -> None:
        if self.chosen and name not in self.chosen:
            return
        async with await self.browser.person(self.product.url, viewport=size) as person:
            await person.page.emulate_media(color_scheme="dark" if dark else "light")
            if login:
                await log_in(person, login)
            await person.page.goto(self.product.url + path)
            if click:
                await person.page.locator(click).first.click()
                await person.page.wait_for_load_state("networkidle")
            if first:
                await first(person)
            await person.page.wait_for_selector(until)
            await self.take(name, person, whole)

    async def take(self, name: str, person: Person, whole: bool = False) -> None:
        if not self.chosen or name in self.chosen:
            await asyncio.sleep(SECONDS_TO_LOOK_ALIVE)
            await person.page.screenshot(path=str(FOLDER / f"{name}.png"), full_page=whole)
            print(name, flush=True)


async def log_in(person: Person, login: str) -> None:
    await person.page.goto(person.url + "/login")
    await person.page.fill("input[name=login]", login)
    await person.page.fill("input[name=password]", PASSWORD)
    await person.page.press("input[name=password]", "Enter")
    await person.page.wait_for_selector("header.top .menu")


@asynccontextmanager
async def colleagues(
    product: Product, customers: Customers, page: DeskPage, camera: Camera
) -> AsyncIterator[None]:
    """A floor at work: agent1 talks in the browser, one talks, one writes, one pauses, two customers wait."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for number in (2, 3, 4):
            (folder / f"register-100{number}").mkdir()
        bruno, carla, diego = [
            await stack.enter_async_context(seat(product, folder, f"agent{n}", f"100{n}")) for n in (2, 3, 4)
        ]
        await page.at_work("agent1")
        await camera.take("desk-ready", page.person)
        customers.call("4000", KNOWN)
        await page.until_call("ringing")
        await camera.take("desk-ringing", page.person)
        await page.press("AnswerCall")
        await page.until_call("connected")
        await page.choose_category()
        await camera.take("desk-call", page.person)
        await page.person.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        await camera.take("desk-phone", page.person)

        await bruno.ready()
        customers.call("4000", OTHERS[0])
        await bruno.until_state("busy")
        await carla.ready()
        short = customers.call("4001", OTHERS[1])
        await carla.until_state("busy")
        short.call.hang_up()
        await carla.until_state("wrap_up")
        pauses = [pause["code"] for pause in diego.client.snapshot["pauses"]]
        await diego.client.request("SetAgentState", state="not_ready", reason=pauses[0])
        waiting = [customers.call("4000", OTHERS[1]), customers.call("4001", OTHERS[2])]
        await until(lambda: all(not call.call.over.done() for call in waiting))
        yield
        for call in waiting:
            call.call.hang_up()


if __name__ == "__main__":
    with running() as product:
        asyncio.run(main(product, set(sys.argv[1:])))
