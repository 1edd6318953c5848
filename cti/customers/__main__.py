"""`python -m cti.customers`: the demo's simulated customers in a process of their own."""

import argparse
import asyncio
import contextlib
from collections.abc import Sequence

from cti.customers.people import Customers


async def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m cti.customers", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5070, help="where the customers answer")
    parser.add_argument("--product", default="127.0.0.1:5060", metavar="HOST:PORT", help="whom they call")
    parser.add_argument("--between", type=float, default=40.0, metavar="SECONDS", help="0: they never call")
    parser.add_argument("callers", nargs="*", help="numbers they call from")
    options = parser.parse_args(arguments)
    host, _, port = options.product.rpartition(":")
    customers = Customers(options.host, options.port, (host, int(port)), options.callers, options.between)
    await customers.start()
    try:
        await asyncio.get_running_loop().create_future()  # until the process is stopped
    finally:
        await customers.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
