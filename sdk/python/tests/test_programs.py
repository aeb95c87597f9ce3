"""The README's quick start, the examples, and the driver of the conformance suite."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import consume
import pipeline
import produce
import pytest
import workerpool
from memory import Memory, proxy_in_thread
from scripted import PATIENCE, Server

from messageproxy import Message

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.fixture
async def memory(server: Server) -> AsyncIterator[Memory]:
    memory = Memory(server)
    serving = asyncio.create_task(memory.serve())
    yield memory
    serving.cancel()
    await asyncio.wait({serving})


def run_program(code: str, target: str) -> str:
    """Runs a program of the README against another address than it says."""
    assert "localhost:7070" in code
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.replace("localhost:7070", target)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_quick_start_runs() -> None:
    quick_start, *_ = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    with proxy_in_thread() as memory:
        output = run_program(quick_start, memory.server.target)
        assert output.splitlines() == ["stored as id-1", "billing b'ada' for b'a cup'"]
        assert memory.acked["billing"] == ["orders/0"]


def test_the_quick_start_without_asyncio_runs() -> None:
    _, _, code, *_ = re.findall(r"^ *```python\n(.*?)^ *```", README, re.M | re.S)
    assert "consume(print)" in code
    # Instead of Ctrl-C: the handler interrupts the main thread.
    interrupt = "signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)"
    # A test that is run in the background of a shell has it ignored, and its programs inherit that.
    heed = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"import signal, threading\n{heed}\n" + code.replace(
        "consume(print)", f"consume(lambda m: (print(m.value), {interrupt}))"
    )
    code = "try:\n" + "".join(f"    {line}\n" for line in code.splitlines()) + "except KeyboardInterrupt:\n    pass\n"
    with proxy_in_thread() as memory:
        assert run_program(code, memory.server.target) == "b'a cup'\n"
        assert memory.acked["billing"] == ["orders/0"]


async def test_each_line_is_stored(memory: Memory, capsys: pytest.CaptureFixture[str]) -> None:
    assert await produce.run(memory.server.target, "orders", [b"one\n", b"two\n", b"three\n"]) == 3
    assert [m.value for m in memory.topics["orders"]] == [b"one", b"two", b"three"]
    assert capsys.readouterr().out == "3 messages stored\n"


async def test_messages_are_printed(memory: Memory) -> None:
    await produce.run(memory.server.target, "orders", [b"one\n", b"two\n"])
    out, stop = io.StringIO(), asyncio.Event()
    task = asyncio.create_task(consume.run(memory.server.target, "orders", "printing", stop, out))
    await memory.wait_acked("printing", 2)
    stop.set()
    await task
    assert out.getvalue() == "orders/0 : one\norders/0 : two\n"


async def test_orders_become_invoices(memory: Memory) -> None:
    await produce.run(memory.server.target, "orders", [b"a cup\n"])
    stop = asyncio.Event()
    task = asyncio.create_task(pipeline.run(memory.server.target, stop))
    await memory.wait_acked("pipeline-example", 1)
    stop.set()
    await task
    (invoice,) = memory.topics["invoices"]
    assert invoice.value == b"invoice for A CUP"
    assert invoice.headers[0].value == b"orders/0"


async def test_workers_die_alone(memory: Memory) -> None:
    await produce.run(memory.server.target, "orders", [b"poison\n"])
    stop, others = asyncio.Event(), asyncio.Event()

    async def work(worker: int, message: Message) -> None:
        if worker == 0:
            raise SystemError("dead")
        others.set()

    task = asyncio.create_task(workerpool.run(memory.server.target, 2, work, stop))
    await asyncio.wait_for(others.wait(), PATIENCE)
    await memory.wait_acked("workerpool-example", 1)
    stop.set()
    for end in await task:
        assert "dead" in str(end)


def test_the_driver_does_as_it_is_told() -> None:
    with proxy_in_thread() as memory:
        driver = subprocess.Popen(
            [sys.executable, str(ROOT / "conformance" / "driver.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert driver.stdin is not None
        assert driver.stdout is not None
        value = base64.b64encode(b"a cup").decode()

        def tell(command: object) -> None:
            assert driver.stdin is not None
            driver.stdin.write(json.dumps(command).encode() + b"\n")
            driver.stdin.flush()

        def told(key: str) -> dict[str, object]:
            assert driver.stdout is not None
            while True:
                line: dict[str, object] = json.loads(driver.stdout.readline())
                if key in line:
                    return line

        tell({"id": 1, "op": "open", "client": "a", "target": memory.server.target})
        assert told("id") == {"id": 1, "ok": {}}
        tell({"id": 2, "op": "produce", "client": "a", "message": {"topic": "orders", "value": value}})
        assert told("id") == {"id": 2, "ok": {"message_id": "id-1", "partition": 3, "timestamp": 5}}
        tell({"id": 3, "op": "produce", "client": "a", "message": {"topic": ""}})
        error = told("id")["error"]
        assert isinstance(error, dict)
        assert (error["kind"], error["code"]) == ("error", 1)
        tell({"id": 4, "op": "consume", "client": "a", "subscription": "s", "topics": ["orders"]})
        handling = told("handling")
        message = handling["message"]
        assert isinstance(message, dict)
        assert (message["id"], message["value"]) == ("orders/0", value)
        tell({"id": 5, "op": "return", "handling": handling["handling"], "how": "ok"})
        assert told("id") == {"id": 5, "ok": {}}
        tell({"id": 6, "op": "nonsense"})
        assert "unsupported" in told("id")
        tell({"id": 7, "op": "cancel", "call": 4})
        answers = [told("id"), told("id")]
        assert {"id": 4, "ok": {}} in answers
        assert {"id": 7, "ok": {}} in answers
        assert memory.acked["s"] == ["orders/0"]
        driver.stdin.close()
        assert driver.wait(PATIENCE) == 0
        driver.stdout.close()
