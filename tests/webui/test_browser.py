"""The supervisors' and administrators' pages in a real Chromium, without telephony."""

import asyncio
import csv
import io
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from config import Settings
from crm import calls, centre, demo, users
from crm.calls import CallRecord, Direction, Result
from tests.fakes.wall import FakeWall, ago, busy_floor, queue
from tests.waiting import until
from tests.webui.site import serving
from tests.webui.test_tabulations import wav
from webui.auth import COOKIE

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATHS = (
    "/wallboard", "/wallboard?full=1", "/tabulations", "/tabulations?duration=long&queue=sales", "/exports",
    "/recordings", "/contacts", "/contacts?text=mariana", "/contacts/1", "/contacts/1/edit", "/contacts/new",
    "/queues", "/queues/1", "/queues/new", "/layouts", "/layouts/1", "/layouts/new", "/layouts/1/simulate",
    "/layouts/categories", "/users", "/users/1", "/users/new", "/audit",
    "/trunks", "/trunks/new", "/routes", "/routes/new", "/groups", "/groups/1", "/groups/new",
    "/pauses", "/pauses/new", "/pauses/meal", "/dialing", "/campaigns/1/dialing", "/profile",
    "/campaigns", "/campaigns/new", "/campaigns/1", "/campaigns/1/items", "/campaigns/1/items/1",
    "/campaigns/1/list", "/campaigns/1/callbacks", "/campaigns/1/identification", "/campaigns/1/period",
    "/campaigns/1/settings", "/campaigns/1/conclusion", "/campaigns/callbacks", "/campaigns/in-use",
    "/imports", "/filters", "/filters/new", "/filters/1", "/scripts", "/scripts/new", "/scripts/1",
    "/scripts/1/preview", "/blocklist", "/tickets", "/tickets/new", "/tickets/1", "/tickets/types",
    "/custom_fields", "/reports/custom", "/reports/custom/new", "/reports/custom/new?model=success",
    "/reports/custom/1", "/reports/custom/1/edit", "/reports", "/reports/r1", "/reports/r3", "/reports/r8",
    "/reports/schedules",
    "/nothing-here",
)  # fmt: skip
AGENT_PATHS = ("/work/operation", "/work/statistics", "/tickets", "/campaigns", "/profile")
SIZES = {"laptop": (1366, 768), "phone": (390, 844)}
NAMELESS = """() => [...document.querySelectorAll("input, select, textarea, button, a[href], summary")]
    .filter((e) => e.type !== "hidden" && e.checkVisibility())
    .filter((e) => !(e.innerText?.trim() || e.labels?.length || e.getAttribute("aria-label")
        || e.getAttribute("aria-labelledby") || e.title))
    .map((e) => e.outerHTML.slice(0, 120))"""
TWICE = """() => { const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
    return ids.filter((id, at) => ids.indexOf(id) !== at) }"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium():
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"],
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(database_url, tmp_path_factory):
    from crm.db import connect

    settings = Settings(data=tmp_path_factory.mktemp("data"))
    db = await connect(database_url)
    await demo.fill(db, settings, "correct horse battery")
    floor = FakeWall(await centre.load(db))
    async with serving(db, floor, settings) as site:
        site.settings = settings
        admin = await users.by_login(db, "admin")
        site.admin = await site.reader_of(await users.update(db, None, admin.id, may_hear_recordings=True))
        site.supervisor = await site.reader_of(await users.by_login(db, "supervisor"))
        site.agent = await site.reader_of(await users.by_login(db, "agent1"))
        yield site
    await db.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def new_page(chromium, site):
    """`page = await new_page(reader)` in a context of its own."""

    async def new(reader):
        context = await chromium.new_context(locale="pt-BR")
        await context.add_cookies([{"name": COOKIE, "value": reader.token, "url": site.url}])
        page = await context.new_page()
        page.on("pageerror", lambda error: site.complaints.append(str(error)))
        page.on("console", lambda said: site.complaints.append(said.text) if said.type == "error" else None)
        return page

    return new


@pytest.fixture
def complaints(site):
    """What pages complain about fails the test."""
    site.complaints = complaints = []
    yield
    expected = ("WebSocket", "status of 404", "status of 403")  # what a denied or missing page says
    assert [said for said in complaints if not any(word in said for word in expected)] == []


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(new_page, site, complaints):
    """`page = await open_page(reader, path)`."""
    pages = []

    async def open(reader, path, size=SIZES["laptop"]):
        pages.append(await new_page(reader))
        return await go(pages[-1], site, path, size)

    site.floor.picture = busy_floor()
    yield open
    for page in pages:
        await page.context.close()


@pytest.fixture(scope="module")
def windows():
    return {}


@pytest_asyncio.fixture(loop_scope="module")
async def visit(new_page, windows, site, complaints):
    """`page = await visit(reader, path)` in the window the reader had before, which is quicker."""

    async def visit(reader, path, size):
        if reader.token not in windows:
            windows[reader.token] = await new_page(reader)
        return await go(windows[reader.token], site, path, size)

    site.floor.picture = busy_floor()
    return visit


async def go(page, site, path, size):
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    await page.goto(site.url.rstrip("/") + path)
    return page


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", PATHS)
async def test_a_page_fits_its_screen_and_everything_in_it_has_a_name(visit, site, path, size):
    await fits(await visit(site.admin, path, SIZES[size]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", AGENT_PATHS)
async def test_an_agents_page_fits_its_screen_and_everything_in_it_has_a_name(visit, site, path, size):
    await fits(await visit(site.agent, path, SIZES[size]))


async def fits(page):
    assert await page.locator("h1").count() == 1
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    assert await page.evaluate(NAMELESS) == []
    assert await page.evaluate(TWICE) == []


async def test_the_wall_says_when_its_connection_is_lost_and_comes_back_by_itself(open_page, site):
    page = await open_page(site.supervisor, "/wallboard")
    await expect(page.locator("[data-wall]")).to_have_attribute("data-connection", "up")
    lost = page.locator("[data-region=lost]")
    await expect(lost).to_be_hidden()
    await page.context.set_offline(True)
    await expect(lost).to_be_visible()
    await page.context.set_offline(False)
    await expect(lost).to_be_hidden()
    site.floor.change(waiting=[])
    await expect(page.locator("[data-region=waiting-empty]")).to_be_visible()


async def test_a_queue_turns_amber_and_red_as_its_longest_wait_goes_on(open_page, site):
    site.floor.picture = {
        "queues": [queue("sales", "Vendas", waiting=1, longest_since=ago(18), agents={"busy": 1})],
        "agents": [],
        "waiting": [],
    }
    page = await open_page(site.supervisor, "/wallboard")
    row = page.locator("tr[data-key=sales]")
    await expect(row).to_have_attribute("data-level", "amber", timeout=15_000)
    assert "0:20" in await row.get_attribute("title")
    site.floor.change(queues=[queue("sales", "Vendas", waiting=1, longest_since=ago(61), agents={"busy": 1})])
    await expect(row).to_have_attribute("data-level", "red")
    await expect(row.locator("[data-cell=reason]")).to_contain_text("1:00")
    site.floor.change(queues=[queue("sales", "Vendas", agents={"ready": 1})])
    await expect(row).to_have_attribute("data-level", "")


async def test_waiting_with_nobody_there_is_red_at_once(open_page, site):
    site.floor.picture = {"agents": [], "waiting": [], "queues": [queue("sales", "Vendas", waiting=1)]}
    page = await open_page(site.supervisor, "/wallboard")
    await expect(page.locator("tr[data-key=sales]")).to_have_attribute("data-level", "red")


async def test_no_tile_moves_from_under_the_pointer(open_page, site):
    page = await open_page(site.supervisor, "/wallboard")
    tile = page.locator(".wall-agent", has_text="Carla Nunes")
    await expect(page.locator("[data-wall]")).to_have_attribute("data-drawn", "yes")
    await tile.hover()
    before = await tile.bounding_box()
    agents = [a | {"state": "ready"} if a["name"] == "Carla Nunes" else a for a in busy_floor()["agents"]]
    site.floor.change(agents=agents)
    await expect(tile).to_have_attribute("data-state", "ready")
    assert await tile.bounding_box() == before
    await expect(page.locator("[data-group=ready] .wall-agent", has_text="Carla Nunes")).to_be_visible()


async def test_full_screen_shows_numbers_to_be_read_from_five_metres(open_page, site):
    page = await open_page(site.supervisor, "/wallboard", (1920, 1080))
    await expect(page.locator("[data-wall]")).to_have_attribute("data-drawn", "yes")
    await page.keyboard.press("f")
    await expect(page.locator("html")).to_have_class("wall-full")
    assert "full=1" in page.url
    size = await page.locator("tr[data-key=sales] td[class=wall-big]").first.evaluate(
        "e => parseFloat(getComputedStyle(e).fontSize)"
    )
    assert size >= 60
    assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")


async def test_one_side_of_a_recording_is_heard_alone(open_page, site):
    """The customer's side is a tone, the agent's is silence; what the loudspeaker gets is measured."""
    tone = (np.sin(np.arange(8000 * 6)) > 0) * 128  # u-law 0 and 128: the loudest of either sign
    frames = np.stack([tone, np.full(len(tone), 255)], axis=1).astype(np.uint8).tobytes()
    (site.settings.data / "tone.wav").write_bytes(wav(frames))
    call = CallRecord(str(uuid.uuid4()), Direction.INBOUND, datetime.now(UTC), result=Result.ANSWERED)
    async with site.db.acquire() as connection:
        await calls.write_history(connection, [replace(call, recording="tone.wav")])
    page = await open_page(site.admin, f"/recordings/{call.id}")
    await page.evaluate(
        """() => {
            const Real = AudioContext;
            window.AudioContext = class extends Real {
                createChannelMerger(count) {
                    const merger = super.createChannelMerger(count);
                    const ears = super.createChannelSplitter(2);
                    merger.connect(ears);
                    window.ears = [0, 1].map((side) => {
                        const ear = super.createAnalyser();
                        ears.connect(ear, side);
                        return ear;
                    });
                    return merger;
                }
            };
            window.level = () => window.ears.map((ear) => {
                const wave = new Float32Array(ear.fftSize);
                ear.getFloatTimeDomainData(wave);
                return Math.max(...wave.map(Math.abs)) > 0.1;
            });
            document.querySelector("audio").loop = true;
        }"""
    )
    await page.get_by_text("Cliente", exact=True).click()
    await page.evaluate("document.querySelector('audio').play()")

    async def hears(left: bool, right: bool) -> None:
        async def so() -> bool:
            return await page.evaluate("window.level()") == [left, right]

        await until(so, f"left {left}, right {right}")

    await hears(True, True)  # one side is heard in both ears
    await page.get_by_text("Operador", exact=True).first.click()
    await hears(False, False)
    await page.get_by_text("Ambos", exact=True).click()
    await hears(True, False)


async def test_an_export_is_fetched_by_itself_and_filters_stay_in_the_address(open_page, site):
    page = await open_page(site.supervisor, "/tabulations")
    await page.locator("[data-filters] summary[aria-labelledby*='l-queue']").click()
    await page.locator("input[name=queue][value=sales]").check()
    await page.locator("[data-filters] button.button-main").click()
    await page.wait_for_url("**/tabulations?*queue=sales*")
    async with page.expect_download() as downloading:
        await page.locator("button[value=csv]").click()
    text = await asyncio.to_thread((await (await downloading.value).path()).read_text, "utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text), delimiter=";"))
    assert {row["Fila"] for row in rows} == {"Vendas"}


async def test_the_filters_work_by_keyboard_alone(open_page, site):
    page = await open_page(site.supervisor, "/tabulations")
    await page.locator("summary[aria-labelledby*='l-queue']").focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await page.keyboard.press("Escape")
    await expect(page.locator(".several[open]")).to_have_count(0)
    await page.locator("#f-number").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**queue=*")


async def test_a_question_mark_lists_the_keys_of_the_page_and_a_slash_goes_to_its_search(open_page, site):
    page = await open_page(site.supervisor, "/wallboard")
    await page.keyboard.press("?")
    await expect(page.locator("dialog[data-keys]")).to_be_visible()
    await expect(page.locator("[data-keys-here]")).to_contain_text("Tela cheia")
    await expect(page.locator("[data-keys-search]")).to_be_hidden()
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog[data-keys]")).to_be_hidden()
    await page.goto(site.url + "tickets")
    await page.keyboard.press("/")
    await expect(page.locator("#f-text")).to_be_focused()
    await page.keyboard.type("a?")
    await expect(page.locator("#f-text")).to_have_value("a?")
    await expect(page.locator("dialog[data-keys]")).to_be_hidden()


@pytest.mark.parametrize("size", SIZES)
async def test_the_navigation_leads_from_section_to_section(open_page, site, size):
    page = await open_page(site.admin, "/campaigns", SIZES[size])
    for name in ("Filtros", "Roteiros", "Números bloqueados", "Importações"):
        await page.locator("nav.section").get_by_role("link", name=name).click()
        await expect(page.locator("h1")).to_have_text(name)
        await expect(page.locator(".places [aria-current]")).to_have_text("Campanhas")
        await expect(page.locator(".section [aria-current]")).to_be_in_viewport()
    await page.locator(".places").get_by_role("link", name="Administração").click()
    await expect(page.locator("nav.section a").first).to_have_text("Filas")


async def test_a_custom_report_is_built_by_keyboard_and_its_numbers_lead_on(open_page, site):
    page = await open_page(site.supervisor, "/reports/custom/new?model=success")
    await page.locator("[name=name]").fill("Sucesso da semana")
    await page.locator("[data-find=pick-list]").fill("xyz")
    await expect(page.locator("#pick-list label:visible")).to_have_count(0)
    await page.locator("[data-find=pick-list]").fill("numero")  # without its accent
    await page.locator("#pick-number").focus()
    await page.keyboard.press("Space")
    last = page.locator(".chosen li").last
    await expect(last).to_contain_text("Número")
    await expect(page.locator("#pick-number")).to_be_focused()
    await page.locator("#up-number").focus()
    await page.keyboard.press("Enter")
    await expect(last).to_contain_text("Tempo de conversa")
    await expect(page.locator("#up-number")).to_be_focused()
    shown = page.locator("[data-part=found]")
    await expect(shown.locator("thead th")).to_have_count(5)
    await page.locator("#g-1").select_option("")  # by agent alone
    await expect(shown.locator("thead th")).to_have_count(4)
    await page.locator("#add-measure").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#of-3")).to_be_focused()
    await page.locator("#of-3").select_option("wait_seconds")
    await expect(page.locator("#how-3")).to_be_visible()
    await page.locator("#f-period").select_option("all")
    await expect(shown.locator("thead th")).to_have_count(5)
    await page.get_by_role("button", name="Salvar", exact=True).press("Enter")
    await expect(page.locator("h1")).to_have_text("Sucesso da semana")
    counted = page.locator("td.number a.behind").first
    number = await counted.inner_text()
    await counted.click()
    await expect(page.locator(".report-about strong")).to_have_text(f"{number} linhas")
