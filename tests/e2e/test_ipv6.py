"""A product that lives on IPv6: pages, SIP and audio, with a telephone and a browser of ours."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from cti.sip.events import Answered, Ended
from cti.sip.flow import Flow
from tests.e2e.browser import Browser
from tests.e2e.customer import AGENT, CUSTOMER
from tests.e2e.desk_page import DeskPage
from tests.e2e.product import PASSWORD, Product, folder, until
from tests.media.phone import Phone as Audio
from tests.sip.test_transport import Phone

HERE = "::1"


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    with folder() as own:
        product = Product(own, RAMAL_BIND=HERE)
        product.url = f"http://[{HERE}]:{product.http_port}"
        try:
            product.start()
            yield product
        finally:
            product.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def audio() -> AsyncIterator[Audio]:
    audio = Audio(hertz=CUSTOMER, address=HERE)
    yield audio
    audio.close()


async def test_a_telephone_and_an_agents_browser_speak_over_ipv6(
    product: Product, browser: Browser, audio: Audio
):
    async with Phone(host=HERE) as phone, await browser.person(product.url) as person:
        agent = DeskPage(person)
        await agent.at_work("agent2")
        for kind in ("UDP", "TCP"):
            session = phone.stack.invite(
                f"sip:4000@[{HERE}]:{product.sip_port}",
                flow=Flow(kind, HERE, product.sip_port),
                from_=f"<sip:1005@[{HERE}]>",
                sdp=audio.sdp(),
                credentials=("1005", PASSWORD),
                now=phone.transport.now(),
            )
            await until(lambda: phone.of(Answered))
            audio.learn(session.remote_sdp)
            if not audio.talking:
                audio.start()
            await agent.until_call("ringing")
            await agent.press("AnswerCall")
            await agent.until_call("connected")
            await person.until_hears(CUSTOMER)
            await audio.hears(AGENT)
            await agent.press("ClearConnection")
            await until(lambda: phone.of(Ended))
            await agent.until_agent("wrap_up")
            await agent.tabulate()
            await agent.until_agent("ready")
            phone.told.clear()
    assert product.errors() == []
