"""What tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from scripted import Server

from messageproxy import Client


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    """A client of the server that connects again soon."""
    async with Client(server.target, client_name="tester", reconnect_backoff=(0.001, 0.01)) as client:
        yield client
        server.closing.set()  # nobody is left to end the streams
