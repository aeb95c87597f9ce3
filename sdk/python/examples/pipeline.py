"""Produces an invoice from each order.

An order is ACKed only when its invoice is stored, so none is lost; after a failure one may be made twice.

python examples/pipeline.py
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal

from messageproxy import Client, Message


async def run(addr: str, stop: asyncio.Event) -> None:
    """Makes invoices until `stop` is set."""
    async with Client(addr) as client:

        async def make_invoice(order: Message) -> None:
            await client.produce(
                topic="invoices",
                key=order.key,  # a customer's invoices keep the order of the orders
                value=b"invoice for " + (order.value or b"").upper(),
                headers=[("order", order.id.encode())],  # tells duplicates
            )

        # The orders of different customers are handled at the same time, so that their invoices travel together.
        await client.subscription("pipeline-example", "orders").consume(make_invoice, stop=stop, key_workers=64)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--addr", default=os.environ.get("MESSAGEPROXY_ADDR", "localhost:7070"))
    args = parser.parse_args()
    stop = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows: an interrupt cancels run instead
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    await run(args.addr, stop)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
