"""The driver of the conformance suite: does what it reads from standard input, by the SDK's public API."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc

from messageproxy import (
    Client,
    ClosedError,
    Event,
    EventKind,
    HandlerError,
    HandlersRunningError,
    Message,
    MessageProxyError,
    OutgoingMessage,
    ProduceTimeoutError,
    StartPosition,
    UnknownOutcomeError,
    skip_failed,
)

JSON = dict[str, Any]


class AskedToFailError(Exception):
    """The error of a handler that was asked to fail."""


class AskedFailureHandlerToFailError(Exception):
    """The error of a failure handler that was asked to fail."""


class UnsupportedError(Exception):
    """A command that can't be done in this language."""


def say(line: JSON) -> None:
    sys.stdout.buffer.write(json.dumps(line).encode() + b"\n")
    sys.stdout.buffer.flush()


class Driver:
    """Runs commands as they come, all at the same time. Owned by its event loop."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        # What ends the calls that can be ended, by the id of their commands.
        self.ends: dict[int, Callable[[], object]] = {}
        self.handlings: dict[int, asyncio.Future[JSON]] = {}
        self.next_handling = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def start(self, line: bytes) -> None:
        """Begins a command, in the order of the lines."""
        command: JSON = json.loads(line)
        task = asyncio.create_task(self.run(command))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        if command["op"] == "produce":
            self.ends[command["id"]] = task.cancel
        elif command["op"] == "consume":
            stop = command["stop"] = asyncio.Event()
            self.ends[command["id"]] = stop.set

    async def run(self, command: JSON) -> None:
        """Does a command and answers it."""
        operation: Callable[[JSON], Coroutine[Any, Any, JSON | None]] | None = getattr(
            self, f"do_{command['op']}", None
        )
        try:
            if operation is None:
                raise UnsupportedError(f"there is no command {command['op']!r}")
            answer: JSON = {"ok": await operation(command) or {}}
        except UnsupportedError as e:
            answer = {"unsupported": str(e)}
        except BaseException as e:
            answer = {"error": error_json(e)}
        self.ends.pop(command["id"], None)
        say({"id": command["id"], **answer})

    # ---------------------------------------------------------------- commands

    async def do_open(self, command: JSON) -> None:
        given = command.get("options") or {}
        options = {name: value for name, value in given.items() if value is not None and name != "log"}
        if "reconnect_backoff" in options:
            options["reconnect_backoff"] = tuple(map(from_ms, options["reconnect_backoff"]))
        if "tls" in options:
            roots = options["tls"].get("roots")
            options["tls"] = True if roots is None else grpc.ssl_channel_credentials(roots.encode())
        if given.get("log"):
            options["logger"] = log_to_output()
        self.clients[command["client"]] = Client(command["target"], **options)

    async def do_produce(self, command: JSON) -> JSON:
        client = self.clients[command["client"]]
        given = command["message"]
        key, value = mutable(given.get("key")), mutable(given.get("value"))
        message = OutgoingMessage(
            topic=given.get("topic"),
            key=key,
            value=value.decode() if command.get("text") and value is not None else value,  # type: ignore[arg-type]
            headers=[(k, from_base64(v)) for k, v in given.get("headers") or ()],
            partition=given.get("partition"),
            timestamp=given.get("timestamp"),
        )
        if command.get("change"):
            # produce takes the message over before it waits for the first time, and so before the loop comes to this.
            asyncio.get_running_loop().call_soon(spoil, key, value)
        receipt = await client.produce(message)
        return {"message_id": receipt.message_id, "partition": receipt.partition, "timestamp": receipt.timestamp_ms}

    async def do_flush(self, command: JSON) -> None:
        await self.clients[command["client"]].flush()

    async def do_close(self, command: JSON) -> None:
        await self.clients[command["client"]].close()

    async def do_cancel(self, command: JSON) -> None:
        end = self.ends.get(command["call"])
        if end is not None:
            end()

    async def do_consume(self, command: JSON) -> None:
        consume = command["id"]
        options = self.consume_options(consume, command.get("options") or {})

        async def handler(message: Message) -> None:
            say({"handling": self.number(), "consume": consume, "message": message_json(message)})
            if not command.get("auto"):
                await self.handle(self.next_handling, message, AskedToFailError)

        subscription = self.clients[command["client"]].subscription(
            command.get("subscription") or "", *(command.get("topics") or ())
        )
        await subscription.consume(
            handler, stop=command["stop"], observer=lambda event: tell_event(consume, event), **options
        )

    def consume_options(self, consume: int, given: JSON) -> JSON:
        options = {name: value for name, value in given.items() if value is not None}
        if "attempts" in options:
            options["attempts"], *backoff = options["attempts"]
            options["retry_backoff"] = tuple(map(from_ms, backoff))
        for name in ("ack_timeout", "drain_timeout"):
            if name in options:
                options[name] = from_ms(options[name])
        if "start" in options:
            # An option is given as it stands; Python takes the name of a position for none.
            options["start"] = {position.value: position for position in StartPosition}.get(
                options["start"], options["start"]
            )
        if options.get("failure_handler") == "skip":
            options["failure_handler"] = skip_failed
        elif options.get("failure_handler") == "ask":
            options["failure_handler"] = self.failure_handler(consume)
        return options

    def failure_handler(self, consume: int) -> Callable[[Message, BaseException], Coroutine[Any, Any, None]]:
        async def ask(message: Message, error: BaseException) -> None:
            number = self.number()
            say({"handling": number, "consume": consume, "message": message_json(message), "failure": str(error)})
            await self.handle(number, message, AskedFailureHandlerToFailError)

        return ask

    def number(self) -> int:
        self.next_handling += 1
        return self.next_handling

    async def handle(self, number: int, message: Message, failure: type[Exception]) -> None:
        """Waits for the command that says how a handler returns, and does as it says."""
        told = self.handlings[number] = asyncio.get_running_loop().create_future()
        while not told.done():
            try:
                await asyncio.wait({told})
            except asyncio.CancelledError:
                say({"handling": number, "cancelled": True})
        command = told.result()
        if command["how"] == "change":
            message.id = "changed"
        elif command["how"] != "ok":  # fail, and panic: Python has one way
            raise failure(command.get("text") or "")

    async def do_return(self, command: JSON) -> None:
        self.handlings.pop(command["handling"]).set_result(command)

    async def do_ping(self, command: JSON) -> None:
        pass

    async def do_memory(self, command: JSON) -> JSON:
        gc.collect()
        return {"bytes": resident_bytes()}


def resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        raise UnsupportedError("this system has no /proc/self/statm") from None
    return pages * os.sysconf("SC_PAGE_SIZE")


def spoil(*contents: bytearray | None) -> None:
    for content in contents:
        if content is not None:
            content[:] = b"X" * len(content)


def from_ms(milliseconds: float) -> float:
    return milliseconds / 1000


def to_ms(seconds: float) -> int:
    return round(seconds * 1000)


def from_base64(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def mutable(text: str | None) -> bytearray | None:
    return None if text is None else bytearray(base64.b64decode(text))


def to_base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def message_json(message: Message) -> JSON:
    return {
        "topic": message.topic,
        "partition": message.partition,
        "key": to_base64(message.key),
        "value": to_base64(message.value),
        "headers": [[key, to_base64(value)] for key, value in message.headers],
        "timestamp": message.timestamp_ms,
        "id": message.id,
        "attempt": message.delivery_attempt,
    }


def error_json(error: BaseException) -> JSON:
    """What the driver says of an error."""
    if isinstance(error, asyncio.CancelledError):
        cause = error.__cause__
        if isinstance(cause, UnknownOutcomeError):
            return error_json(cause)
        return {"kind": "cancelled", "message": f"cancelled: {cause}" if cause else "cancelled"}
    if isinstance(error, MessageProxyError):
        return {
            "kind": "error",
            "code": int(error.code),
            "message": str(error),
            "retryable": error.retryable,
            "message_ids": list(error.message_ids),
        }
    if isinstance(error, HandlerError):
        return {
            "kind": "handler",
            "message": str(error),
            "attempts": error.attempts,
            "message_id": error.message.id,
            "cause": str(error.__cause__),
        }
    kinds = {
        ClosedError: "closed",
        HandlersRunningError: "handlers_running",
        AskedFailureHandlerToFailError: "failure_handler",
        ProduceTimeoutError: "cancelled",
    }
    return {"kind": kinds.get(type(error), "other"), "message": str(error) or repr(error)}


def tell_event(consume: int, event: Event) -> None:
    told: JSON = {"consume": consume, "kind": event.kind.value}
    if event.kind is EventKind.CONNECTED:
        told |= {"max_unacked": event.max_unacked, "ack_timeout": to_ms(event.ack_timeout)}
    if event.kind in (EventKind.ASSIGNED, EventKind.WITHDRAWN):
        told["partitions"] = [list(partition) for partition in event.partitions]
    if event.kind is EventKind.WITHDRAWN:
        told["time_left"] = to_ms(event.time_left)
    if event.error is not None:
        told["error"] = error_json(event.error)
    say({"event": told})


class LogHandler(logging.Handler):
    """Says what is logged."""

    def emit(self, record: logging.LogRecord) -> None:
        say({"log": {"level": record.levelname.lower(), "text": self.format(record)}})


def log_to_output() -> logging.Logger:
    logger = logging.Logger("driver")
    logger.addHandler(LogHandler())
    return logger


async def main() -> None:
    loop, driver, end = asyncio.get_running_loop(), Driver(), asyncio.Event()

    def read() -> None:
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(driver.start, line)
        loop.call_soon_threadsafe(end.set)

    threading.Thread(target=read, daemon=True).start()
    await end.wait()
    with contextlib.suppress(OSError):
        sys.stdout.buffer.flush()
    os._exit(0)  # whatever is under way


if __name__ == "__main__":
    asyncio.run(main())
