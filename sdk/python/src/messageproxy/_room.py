"""Bounds what is outstanding."""

from __future__ import annotations


class Room:
    """Counts what is outstanding, by number and bytes. What is alone may be larger than the limit."""

    __slots__ = ("_bytes", "_max_bytes", "_max_messages", "_messages")

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._messages = 0
        self._bytes = 0

    def take(self, size: int) -> bool:
        """Takes a place if there is one."""
        fits = self._messages == 0 or (self._messages < self._max_messages and self._bytes + size <= self._max_bytes)
        if fits:
            self._messages += 1
            self._bytes += size
        return fits

    def give(self, messages: int, size: int) -> None:
        """Gives places back, and the bytes of all of them."""
        self._messages -= messages
        self._bytes -= size
