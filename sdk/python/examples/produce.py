"""Makes a message of each line of its standard input.

seq 1000 | python examples/produce.py --topic orders
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Iterable

from messageproxy import Client, Receipt


async def run(addr: str, topic: str, lines: Iterable[bytes]) -> int:
    """Produces the lines and returns how many are stored. Raises the first error."""
    stored = 0
    failed: list[BaseException] = []

    def answered(receipt: asyncio.Future[Receipt]) -> None:
        nonlocal stored
        error = receipt.exception()
        if error is None:
            stored += 1
        else:
            failed.append(error)

    async with Client(addr) as client:
        for line in lines:
            if failed:
                break  # the rest too would be out of order
            receipt = await client.produce_async(topic=topic, value=line.rstrip(b"\n"))
            receipt.add_done_callback(answered)
        await client.flush()
        await asyncio.sleep(0)  # the callbacks of the last ones
    print(stored, "messages stored")
    if failed:
        raise failed[0]
    return stored


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--addr", default=os.environ.get("MESSAGEPROXY_ADDR", "localhost:7070"))
    parser.add_argument("--topic", default="orders", help="where the messages go")
    args = parser.parse_args()
    asyncio.run(run(args.addr, args.topic, sys.stdin.buffer))
