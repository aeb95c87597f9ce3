"""Waiting for what is about to share a frame."""

from __future__ import annotations

import asyncio

import pytest

from messageproxy._gathering import gather


class Growing:
    """A count that grows in so many turns of the event loop, and says how many were waited for."""

    def __init__(self, turns: int) -> None:
        self._left = turns
        self.count = 1
        self.turns = 0
        self._turn()

    def _turn(self) -> None:
        self.turns += 1
        if self._left > 0:
            self._left -= 1
            self.count += 1
        asyncio.get_running_loop().call_soon(self._turn)


async def test_it_waits_while_more_comes() -> None:
    growing = Growing(5)
    await gather(lambda: growing.count, 1000, 2)
    assert growing.count == 6


async def test_it_does_not_wait_for_what_pauses_longer() -> None:
    growing = Growing(0)
    await gather(lambda: growing.count, 1000, 3)
    assert growing.turns <= 1 + 3


async def test_it_waits_until_there_is_enough() -> None:
    growing = Growing(1000)
    await gather(lambda: growing.count, 10, 1)
    assert 10 <= growing.count <= 11
    turns = growing.turns
    await gather(lambda: growing.count, 10, 1)
    assert growing.turns == turns


async def test_it_does_not_wait_for_nothing() -> None:
    growing = Growing(1000)
    await gather(lambda: 0, 10, 1)
    assert growing.turns == 1


async def test_it_does_not_wait_long(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    growing = Growing(1_000_000)
    monkeypatch.setattr(loop, "time", lambda: growing.turns / 1000)  # a turn takes a millisecond
    await gather(lambda: growing.count, 1_000_000, 1)
    assert growing.turns == 1 + 5
