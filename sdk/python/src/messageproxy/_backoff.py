"""How long to wait before trying again."""

from __future__ import annotations

import asyncio
import random


class Backoff:
    """Exponential back-off with full jitter: each wait is uniform between zero and a limit that doubles.

    Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    __slots__ = ("_limit", "_maximum", "_minimum")

    def __init__(self, minimum: float, maximum: float) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._limit = 0.0

    def next(self) -> float:
        """How long to wait now, in seconds."""
        self._limit = min(max(2 * self._limit, self._minimum), self._maximum)
        return random.uniform(0, self._limit)

    def reset(self) -> None:
        """Makes the next wait a short one again."""
        self._limit = 0.0


async def wait_until(event: asyncio.Event, seconds: float) -> bool:
    """Waits for `event`, for at most `seconds`, and tells whether it came."""
    if event.is_set():
        return True
    waiter = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiter}, timeout=max(0, seconds))
    finally:
        waiter.cancel()
    return event.is_set()
