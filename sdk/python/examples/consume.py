"""Prints the messages of a topic, until it is interrupted.

python examples/consume.py --topic orders --subscription billing
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import TextIO

from messageproxy import Client


async def run(addr: str, topic: str, subscription: str, stop: asyncio.Event, out: TextIO = sys.stdout) -> None:
    """Prints messages until `stop` is set."""
    async with Client(addr) as client, client.subscription(subscription, topic).messages(stop=stop) as messages:
        async for message in messages:  # a message is ACKed when the loop asks for the next one
            key, value = (message.key or b"").decode(), (message.value or b"").decode()
            print(f"{message.topic}/{message.partition} {key}: {value}", file=out, flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--addr", default=os.environ.get("MESSAGEPROXY_ADDR", "localhost:7070"))
    parser.add_argument("--topic", default="orders", help="where the messages come from")
    parser.add_argument("--subscription", default="consume-example", help="name of the reading position")
    args = parser.parse_args()
    stop = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows: an interrupt cancels run instead
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    await run(args.addr, args.topic, args.subscription, stop)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
