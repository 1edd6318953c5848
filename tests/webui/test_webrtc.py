"""The page's audio (static/js/webrtc.js) in a real Chromium; its server answers when the test says so."""

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import async_playwright

from tests.e2e.browser import FLAGS
from tests.e2e.product import ROOT
from tests.waiting import until

PAGE = """<!doctype html><audio data-far></audio><script type=module>
import { Media } from "/js/webrtc.js";
window.offers = [];
window.reports = [];
window.media = new Media({
  offer: (sdp) => new Promise((answer, refuse) => offers.push({ sdp, answer, refuse })),
  report: (state) => reports.push(state),
});
</script>"""


@pytest_asyncio.fixture
async def page():
    async def audio(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", audio)
    app.router.add_static("/js", ROOT / "webui/static/js")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=[*FLAGS, "--use-fake-ui-for-media-stream"]
        )
        page = await browser.new_page()
        await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        await page.wait_for_function("window.media")
        yield page
        await browser.close()
    await runner.cleanup()


async def offers(page):
    return await page.evaluate("offers.length")


async def offered(page, times):
    async def condition():
        return await offers(page) == times

    await until(condition, f"{times} offers")


@pytest.mark.parametrize("meanwhile", ["nothing", "answers", "refuses"])
async def test_a_line_wanted_again_while_the_first_attempt_is_under_way_is_offered_again(page, meanwhile):
    """An agent who logs off and on at once: the first attempt has lost its connection, and must not be
    the one that the second waits for."""
    await page.evaluate("media.start()")
    await offered(page, 1)
    await page.evaluate("media.stop()")
    await page.evaluate("media.start()")
    await offered(page, 2)
    if meanwhile == "answers":
        await page.evaluate("offers[0].answer('v=0')")
    elif meanwhile == "refuses":
        await page.evaluate("offers[0].refuse({ code: 'wrong_state' })")
    assert await page.evaluate("media.connection !== null && media.state") in ("connecting", "asking")
    assert await page.evaluate("reports") == []


async def test_a_line_taken_back_while_the_microphone_is_asked_for_is_not_offered(page):
    await page.evaluate("""() => {
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = (wanted) =>
            new Promise((give) => { window.allow = async () => give(window.given = await ask(wanted)); });
        media.start();
    }""")
    await page.wait_for_function("!!window.allow")
    await page.evaluate("media.stop()")
    await page.evaluate("allow()")
    await page.wait_for_function("given.getTracks().every((track) => track.readyState === 'ended')")
    assert await page.evaluate("[offers.length, media.connection ?? null, media.microphone ?? null]") == [
        0,
        None,
        None,
    ]


# A server of a kind: answers an offer with a connection in the same page.
ANSWERED = """async (number) => {
    const far = window.far = new RTCPeerConnection();
    await far.setRemoteDescription({ type: "offer", sdp: offers[number].sdp });
    await far.setLocalDescription();
    if (far.iceGatheringState !== "complete") await new Promise((done) => {
        far.onicegatheringstatechange = () => far.iceGatheringState === "complete" && done();
    });
    offers[number].answer(far.localDescription.sdp);
}"""


async def test_a_path_that_stands_after_all_is_kept(page):
    """What was slow is not torn down for another attempt that will be as slow."""
    await page.evaluate("""() => {
        const [set, clear] = [window.setTimeout, window.clearTimeout];
        window.setTimeout = (then, after) => after === 8000 ? "the next attempt" : set(then, after);
        window.clearTimeout = (timer) => { (window.cleared ??= []).push(timer); clear(timer); };
        media.start();
    }""")
    await offered(page, 1)
    await page.evaluate("media.attempts = 9; media.failed(new Error('no path'))")
    assert await page.evaluate("[media.state, media.again]") == ["no_media_path", "the next attempt"]
    await page.evaluate(ANSWERED, 0)
    await page.wait_for_function("media.state === 'ok'")
    assert await page.evaluate("cleared.includes('the next attempt')")
    assert await page.evaluate("reports") == ["no_media_path", "ok"]


async def test_a_connection_that_the_server_lost_is_made_anew(page):
    await page.evaluate("media.start()")
    await offered(page, 1)
    await page.evaluate("media.lost()")  # it does not stand yet
    assert await offers(page) == 1
    await page.evaluate(ANSWERED, 0)
    await page.wait_for_function("media.state === 'ok'")
    await page.evaluate("media.lost()")
    await offered(page, 2)


async def test_two_reasons_to_begin_make_one_attempt(page):
    await page.evaluate("media.start()")
    await offered(page, 1)
    await page.evaluate("void media.begin()")
    await page.evaluate("media.take()")
    assert await offers(page) == 1
