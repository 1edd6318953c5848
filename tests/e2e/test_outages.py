"""What breaks inside while people speak: a media worker dies, PostgreSQL stops, the product is killed."""

import signal
from pathlib import Path

import asyncpg
import psutil

from tests.e2e.browser import Browser
from tests.e2e.customer import AGENT, CUSTOMER, SOFTPHONE, Customers
from tests.e2e.desk_page import desk
from tests.e2e.product import Product, running, until
from tests.e2e.seat import Seat, seat


async def speak(agent: Seat, customers: Customers, number: str = "4000"):
    """A customer and the agent in a call, hearing each other."""
    customer = customers.call(number)
    rung = len(agent.phone.calls)
    await until(lambda: len(agent.phone.calls) > rung)
    phone = agent.phone.calls[-1]
    await customer.until_hears(SOFTPHONE)
    await phone.until_hears(CUSTOMER)
    return customer, phone


async def test_a_call_whose_media_worker_dies_ends_and_the_next_call_works(
    product: Product, customers: Customers, tmp_path: Path
):
    async with seat(product, tmp_path, "agent5", "1005") as agent:
        await agent.ready()
        customer, phone = await speak(agent, customers)
        for worker in product.media_workers():
            worker.kill()
        await customer.call.over
        await phone.call.over
        await agent.until_state("wrap_up", "ready")
        await agent.tabulate()
        await agent.until_state("ready")
        await until(lambda: len(product.media_workers()) >= 1)
        customer, _ = await speak(agent, customers)
        customer.call.hang_up()
        await agent.until_state("wrap_up")


async def test_calls_go_on_while_postgresql_stands_still_and_nothing_is_lost(tmp_path: Path):
    with running(RAMAL_MEDIA_WORKERS="1") as product:
        async with (
            Customers(product.sip_port, product.trunk_port) as customers,
            seat(product, tmp_path, "agent5", "1005") as agent,
        ):
            await agent.ready()
            database = product.postgres()
            assert database
            stopped = pause(database)
            try:
                calls = []
                for _ in range(2):
                    customer, _phone = await speak(agent, customers)
                    assert agent.call is not None
                    calls.append(agent.call["id"])
                    customer.call.hang_up()
                    await agent.until_state("wrap_up")
                    await agent.tabulate()
                    await agent.until_state("ready")
            finally:
                for process in stopped:
                    process.send_signal(signal.SIGCONT)

            async def kept() -> bool:
                return await tabulated(product, calls) == set(calls)

            await until(kept)


def pause(processes: list[psutil.Process]) -> list[psutil.Process]:
    """SIGSTOP to the server and all that it started."""
    everything = {child for process in processes for child in [process, *process.children(recursive=True)]}
    for process in everything:
        process.send_signal(signal.SIGSTOP)
    return list(everything)


async def tabulated(product: Product, calls: list[str]) -> set[str]:
    """Which of these calls have both their row and their tabulation in the database."""
    connection = await connect(product)
    try:
        rows = await connection.fetch(
            "SELECT call.id::text FROM call JOIN tabulation ON tabulation.call_id = call.id"
            " WHERE call.id::text = ANY($1) AND call.ended IS NOT NULL",
            calls,
        )
        return {row["id"] for row in rows}
    finally:
        await connection.close()


async def connect(product: Product) -> asyncpg.Connection:
    """As the product does, over the embedded server's socket."""
    socket = (product.data / "postgres").resolve() / "run"
    return await asyncpg.connect(host=str(socket), user="ramal", database="ramal")


async def test_after_a_kill_in_the_middle_of_a_call_customers_can_call_again(tmp_path: Path):
    with running(RAMAL_MEDIA_WORKERS="1") as product:
        async with Customers(product.sip_port, product.trunk_port) as customers:
            async with seat(product, tmp_path, "agent5", "1005") as agent:
                await agent.ready()
                await speak(agent, customers)
                product.kill()
                product.start_again()
                await until(lambda: agent.client.connected and agent.client.resynchronised)
                assert agent.client.snapshot["call"] is None
            async with seat(product, tmp_path / "again", "agent5", "1005") as agent:
                await agent.ready()
                await speak(agent, customers)


async def test_a_browser_whose_media_worker_dies_gets_its_audio_back_for_the_next_call(
    product: Product, browser: Browser, customers: Customers
):
    async with desk(browser, product, "agent1") as agent:
        await agent.at_work("agent1")
        customer = customers.call("4000")
        await agent.until_call("ringing")
        await agent.press("AnswerCall")
        await customer.until_hears(AGENT)
        for worker in product.media_workers():
            worker.kill()
        await customer.call.over
        await agent.until_agent("wrap_up")
        await agent.tabulate()
        await agent.until_station("ok")
        await agent.until_agent("ready", "not_ready")
        if await agent.find("[data-agent]").get_attribute("data-agent") == "not_ready":
            await agent.become_ready()
        customer = customers.call("4000")
        await agent.until_call("ringing")
        await agent.press("AnswerCall")
        await customer.until_hears(AGENT)
        await agent.person.until_hears(CUSTOMER)
        customer.call.hang_up()


async def test_a_browser_agent_works_on_while_postgresql_stands_still(browser: Browser):
    with running(RAMAL_MEDIA_WORKERS="1") as product:
        async with (
            Customers(product.sip_port, product.trunk_port) as customers,
            desk(browser, product, "agent1") as agent,
        ):
            await agent.at_work("agent1")
            stopped = pause(product.postgres())
            try:
                customer = customers.call("4000", "+5511987654321")
                await agent.until_call("ringing")
                await agent.press("AnswerCall")
                await agent.until_call("connected")
                await customer.until_hears(AGENT)
                await agent.person.until_hears(CUSTOMER)
                await agent.person.page.reload()  # the session is known without the database
                await agent.until_call("connected")
                await customer.until_hears(AGENT)
                number = await agent.find("[data-call]").first.get_attribute("data-call")
                await agent.press("ClearConnection")
                await agent.until_agent("wrap_up")
                await agent.tabulate()
                await agent.until_agent("ready")
            finally:
                for process in stopped:
                    process.send_signal(signal.SIGCONT)

            async def kept() -> bool:
                return bool(await tabulated(product, [str(number)]))

            await until(kept)
