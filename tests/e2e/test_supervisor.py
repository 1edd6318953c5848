"""A supervisor in a browser: the wallboard (step 7), tabulations and recordings (step 8)."""

import csv
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
from playwright.async_api import expect

from cti.customers import share
from cti.media import g711
from tests.e2e.browser import Browser, Person
from tests.e2e.customer import CUSTOMER, SOFTPHONE, Customers
from tests.e2e.product import PASSWORD, Product, until
from tests.e2e.seat import Seat, seat

CALLER = "+5511987654321"


async def log_in(person: Person, login: str) -> None:
    await person.page.goto(person.url + "/login")
    await person.page.fill("input[name=login]", login)
    await person.page.fill("input[name=password]", PASSWORD)
    await person.page.press("input[name=password]", "Enter")
    await person.page.wait_for_selector("header.top .menu")


async def cell(person: Person, queue: str, name: str) -> str:
    return (await person.page.locator(f"tr[data-key={queue}] [data-cell={name}]").inner_text()).strip()


async def test_the_wall_moves_by_itself_and_no_page_polls(
    product: Product, browser: Browser, customers: Customers, tmp_path: Path
):
    async with (
        await browser.person(product.url) as person,
        seat(product, tmp_path, "agent5", "1005") as agent,
    ):
        await log_in(person, "supervisor")
        await person.page.goto(product.url + "/wallboard")
        await expect(person.page.locator("[data-chart=today] canvas")).to_be_visible()
        answered = int(await cell(person, "sales", "answered"))
        abandoned = int(await cell(person, "sales", "abandoned"))
        asked: list[str] = []
        person.page.on("request", lambda request: asked.append(request.url))

        async def shows(name: str, value: str) -> None:
            async def condition() -> bool:
                return await cell(person, "sales", name) == value

            await until(condition)

        customer = customers.call("4000", CALLER)
        await shows("waiting", "1")
        await expect(person.page.locator("[data-region=waiting] li[data-key]")).to_have_count(1)
        first = await cell(person, "sales", "longest")
        await until_changes(person, "longest", first)
        customer.call.hang_up()
        await shows("waiting", "0")
        await shows("abandoned", str(abandoned + 1))

        await agent.ready()
        tile = person.page.locator(".wall-agent[data-key]", has_text="Elisa")
        await expect(person.page.locator("[data-group=ready] .wall-agent", has_text="Elisa")).to_be_visible()
        customer = customers.call("4000", CALLER)
        await expect(person.page.locator("[data-group=busy] .wall-agent", has_text="Elisa")).to_be_visible()
        await expect(tile.locator("[data-cell=talk]")).not_to_be_empty()
        await shows("answered", str(answered + 1))
        customer.call.hang_up()
        await expect(
            person.page.locator("[data-group=wrap_up] .wall-agent", has_text="Elisa")
        ).to_be_visible()

        assert [url for url in asked if "/wall/live" not in url and "/chart" not in url] == []
        assert person.complaints == []


async def until_changes(person: Person, name: str, before: str) -> None:
    async def condition() -> bool:
        return await cell(person, "sales", name) != before

    await until(condition)


async def finished_call(agent: Seat, customers: Customers, seconds_heard: float = 2.0) -> str:
    """A call in which both spoke, recorded and tabulated; its global id."""
    await agent.ready()
    before = len(agent.phone.calls)
    customer = customers.call("4000", CALLER)
    await until(lambda: len(agent.phone.calls) > before)
    await customer.until_hears(SOFTPHONE)
    await until(lambda: share(agent.phone.calls[-1].call.talk.recent(seconds_heard), CUSTOMER) > 0.95)
    assert agent.call is not None
    number = str(agent.call["id"])
    customer.call.hang_up()
    await agent.until_state("wrap_up")
    await agent.tabulate()
    await agent.until_state("ready")
    return number


def ulaw_stereo(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Left and right of a u-law WAV."""
    assert data[:4] == b"RIFF" and data[8:12] == b"WAVE"
    place = 12
    channels = 0
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        if kind == b"fmt ":
            form, channels, rate = struct.unpack_from("<HHI", data, place + 8)
            assert (form, channels, rate) == (7, 2, 8000)
        if kind == b"data":
            samples = g711.ulaw_to_pcm(data[place + 8 : place + 8 + size])
            return samples[0::2], samples[1::2]
        place += 8 + size + size % 2
    raise AssertionError("no data in the WAV")


async def test_tabulations_are_filtered_exported_and_their_recording_is_heard(
    product: Product, browser: Browser, customers: Customers, tmp_path: Path
):
    async with (
        await browser.person(product.url) as person,
        seat(product, tmp_path, "agent5", "1005") as agent,
    ):
        number = await finished_call(agent, customers)
        await log_in(person, "supervisor")
        page = person.page

        async def listed() -> bool:
            await page.goto(f"{product.url}/tabulations?global={number}")
            return await page.locator("tbody tr").count() == 1

        await until(listed)
        row = page.locator("tbody tr")
        await expect(row).to_contain_text("Elisa")
        await expect(row).to_contain_text("98765-4321")

        # each filter keeps it or takes it away
        today = await page.evaluate("() => new Intl.DateTimeFormat('sv').format(new Date())")
        for query, kept in [
            (f"number=987654321&start={today}", True),
            ("number=1133334444", False),
            ("queue=sales", True),
            ("queue=support", False),
            ("direction=inbound", True),
            ("direction=outbound", False),
            ("duration=9999", False),
            (f"start={today}&end={today}", True),
            ("start=2001-01-01&end=2001-01-02", False),
        ]:
            await page.goto(f"{product.url}/tabulations?global={number}&{query}")
            assert await page.locator("tbody tr").count() == (1 if kept else 0), query

        for form in ("csv", "xlsx"):
            await page.goto(f"{product.url}/tabulations?global={number}")
            await page.locator(f"button[name=format][value={form}]").click()
            link = page.locator("a[download], a[href*='/download'], a[href*='/file']").first
            await expect(link).to_be_visible(timeout=30_000)
            async with page.expect_download() as downloading:
                await link.click()
            path = await (await downloading.value).path()
            holds(path.read_bytes(), form, number)

        await page.goto(f"{product.url}/tabulations/{number}")
        played = await page.evaluate(
            """async () => {
                const audio = document.querySelector("audio");
                await audio.play();
                while (audio.currentTime < 0.3) await new Promise((done) => setTimeout(done, 50));
                return audio.duration;
            }"""
        )
        assert played > 1
        sound = await person.context.request.get(f"{product.url}/recordings/{number}/sound")
        customer_side, agent_side = ulaw_stereo(await sound.body())
        end = len(customer_side) - 800
        assert share(customer_side[end - 8000 : end], CUSTOMER) > 0.8
        assert share(agent_side[end - 8000 : end], SOFTPHONE) > 0.8
        assert person.complaints == []

    async with await browser.person(product.url) as person:
        await log_in(person, "agent4")
        answer = await person.context.request.get(f"{product.url}/recordings/{number}/sound")
        assert answer.status == 403
        assert (await person.context.request.get(f"{product.url}/tabulations")).status == 403
        assert (await person.context.request.get(f"{product.url}/wallboard")).status == 403

    anonymous = await browser.person(product.url)
    async with anonymous as person:
        answer = await person.context.request.get(f"{product.url}/recordings/{number}/sound", max_redirects=0)
        assert answer.status in {302, 303, 401}


def holds(data: bytes, form: str, number: str) -> None:
    """The export has a heading and this one call."""
    if form == "csv":
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig")), delimiter=delimiter(data)))
        assert len(rows) == 2 and number in rows[1]
    else:
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            words = b"".join(book.read(name) for name in book.namelist() if name.endswith(".xml"))
            assert number.encode() in words


def delimiter(data: bytes) -> str:
    heading = data.split(b"\n")[0]
    return ";" if heading.count(b";") > heading.count(b",") else ","


async def test_who_may_not_administer_gets_words_and_a_forged_form_is_refused(
    product: Product, browser: Browser
):
    async with await browser.person(product.url) as person:
        await log_in(person, "agent4")
        for path in ("/users", "/queues", "/audit"):
            answer = await person.context.request.get(product.url + path)
            assert answer.status == 403, path
        forged = await person.context.request.post(
            product.url + "/profile/language", form={"language": "en", "csrf": "guessed", "back": "/"}
        )
        assert forged.status == 403
        page = await person.context.request.get(product.url + "/")
        policy = page.headers.get("content-security-policy", "")
        assert "default-src 'self'" in policy or "default-src 'none'" in policy
        assert "unsafe" not in policy
