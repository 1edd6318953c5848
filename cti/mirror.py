"""The floor copied to Redis for watchers outside this process; nothing else uses Redis.

`ramal:wall` is the whole wall as JSON and expires when this server is gone; the channel `ramal:wall` tells
each change. Redis is never needed: while it is away the floor goes on, and the copy is made anew.
"""

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import redis.asyncio
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from cti.floor import Floor

log = logging.getLogger("ramal.mirror")

KEY = "ramal:wall"
EVERY_SECONDS = 1.0
EXPIRES_SECONDS = 30
RETRY_SECONDS = 5.0


async def run(floor: "Floor", url: str) -> None:
    """Copy the floor after each change, at most once a second, until cancelled."""
    changed = asyncio.Event()
    changed.set()
    unwatch = floor.watch(changed.set)
    client = redis.asyncio.from_url(url)
    away = False
    try:
        while True:
            try:
                async with asyncio.timeout(EXPIRES_SECONDS / 3):
                    await changed.wait()
            except TimeoutError:
                pass  # nothing moved: the copy is only kept from expiring
            changed.clear()
            try:
                wall = json.dumps(floor.wall())
                await client.set(KEY, wall, ex=EXPIRES_SECONDS)
                await client.publish(KEY, wall)
                away = False
            except (RedisError, OSError) as error:
                if not away:
                    log.warning("Redis is away: %s", error)
                away = True
                changed.set()
            await asyncio.sleep(RETRY_SECONDS if away else EVERY_SECONDS)
    finally:
        unwatch()
        await client.aclose()
