"""`python -m cti.customers`: simulated customers until standard input ends.

Its first line is the password of a supervisor, with which they learn who may take calls.
"""

import argparse
import asyncio
import contextlib
import logging
import sys

from cti.customers.centre import Centre
from cti.customers.people import People
from cti.toolbar.client import RequestRefused

log = logging.getLogger("ramal.customers")


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m cti.customers", description=__doc__)
    made.add_argument("--host", default="127.0.0.1")
    made.add_argument("--port", type=int, default=5070, help="where the customers answer")
    made.add_argument("--product", type=address, default=("127.0.0.1", 5060), metavar="HOST:PORT")
    made.add_argument("--toolbar", type=address, metavar="HOST:PORT", help="without it they never call")
    made.add_argument("--user", default="supervisor", help="whose password standard input gives")
    return made


async def main() -> None:
    options = parser().parse_args()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    password = (await reader.readline()).decode().rstrip("\n")

    centre = Centre() if options.toolbar else None
    people = People(options.host, options.port, options.product, centre)
    try:
        await people.start()
    except OSError as error:
        sys.exit(f"ramal: no simulated customers at {options.host}:{options.port}: {error.strerror}")
    following = asyncio.create_task(follow(centre, options, password)) if centre else None
    try:
        await reader.read()  # until whoever started us closes it or ends
    finally:
        if following:
            following.cancel()
        await people.close()


async def follow(centre: Centre, options: argparse.Namespace, password: str) -> None:
    try:
        host, port = options.toolbar
        await centre.follow(host, port, options.user, password)
    except (OSError, RequestRefused) as error:
        log.warning("the simulated customers do not see who may take calls: %s", error)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
