"""Waiting for what is about to share a frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# The longest wait, in seconds.
_LONGEST = 0.005


async def gather(count: Callable[[], int], enough: int, turns: int) -> None:
    """Waits while the count grows, since a frame costs more than most of what it has: until there is enough, or the
    event loop has gone round `turns` times without any more, or for 5 ms."""
    loop = asyncio.get_running_loop()
    latest = loop.time() + _LONGEST
    gathered = 0
    while gathered < count() < enough:
        gathered = count()
        for _ in range(turns):
            if loop.time() >= latest:
                return
            await asyncio.sleep(0)
