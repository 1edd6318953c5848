"""Which ports a test may try: those who test at the same time probe different ones."""

import os

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS


def share(low: int, high: int) -> range:
    """This worker's part of the ports from low to below high."""
    size = (high - low) // WORKERS
    return range(low + WORKER * size, low + (WORKER + 1) * size)
