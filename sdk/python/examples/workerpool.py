"""Has several workers share a subscription. When one dies, the others get its partitions.

Run it several times at once: the processes share too.

python examples/workerpool.py --workers 3
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable

from messageproxy import Client, Message

Work = Callable[[int, Message], Awaitable[None]]


async def run(addr: str, workers: int, work: Work, stop: asyncio.Event) -> list[BaseException]:
    """Works until `stop` is set or no worker is left, and returns why the workers died."""
    async with Client(addr) as client:

        async def worker(number: int) -> None:
            async def handler(message: Message) -> None:
                await work(number, message)

            try:
                await client.subscription("workerpool-example", "orders").consume(handler, stop=stop)
            except Exception as e:
                logging.getLogger(__name__).warning("worker %d died, the others take over: %s", number, e)
                raise

        ends = await asyncio.gather(*map(worker, range(workers)), return_exceptions=True)
    return [end for end in ends if end is not None]


async def print_message(worker: int, message: Message) -> None:
    """What the workers do."""
    value = (message.value or b"").decode()
    print(f"worker {worker}: {message.topic}/{message.partition} {value}", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--addr", default=os.environ.get("MESSAGEPROXY_ADDR", "localhost:7070"))
    parser.add_argument("--workers", type=int, default=3)
    args = parser.parse_args()
    stop = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows: an interrupt cancels run instead
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    died = await run(args.addr, args.workers, print_message, stop)
    if died:
        raise SystemExit("; ".join(map(str, died)))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
