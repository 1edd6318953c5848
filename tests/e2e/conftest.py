"""The real product, real telephones and a real browser, shared by the end-to-end tests.

All of them live on one event loop for the whole session, so that browser and telephones can be shared;
they end with the last of these tests.
"""

import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.browser import Browser
from tests.e2e.customer import AGENT, OTHER_AGENT, Customers
from tests.e2e.product import Product, running

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="package")
def product() -> Iterator[Product]:
    with running() as product:
        yield product


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failed test shows what the product said."""
    report = yield
    product = getattr(item, "funcargs", {}).get("product")
    if report.when == "call" and report.failed and isinstance(product, Product):  # type: ignore[attr-defined]
        report.sections.append(("the product said", product.said()[-6000:]))  # type: ignore[attr-defined]
    return report  # type: ignore[return-value]


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with Browser(AGENT) as browser:
        yield browser


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def other_browser() -> AsyncIterator[Browser]:
    async with Browser(OTHER_AGENT) as browser:
        yield browser


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def outside(product: Product) -> AsyncIterator[Customers]:
    async with Customers(product.sip_port, product.trunk_port) as customers:
        yield customers


@pytest_asyncio.fixture(loop_scope="session")
async def customers(outside: Customers) -> AsyncIterator[Customers]:
    """Everybody outside; who still waits or talks at the end of a test hangs up."""
    yield outside
    await outside.hang_up_all()
