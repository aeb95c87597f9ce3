"""Targets, options and errors."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

import messageproxy.sync
from messageproxy import Client, Code, HandlerError, Message, MessageProxyError, UnknownOutcomeError, outcome_unknown
from messageproxy._errors import ends_for_good
from messageproxy._target import credentials_of


@pytest.mark.parametrize(
    "target",
    [
        "localhost:7070",
        "127.0.0.1:1",
        "[::1]:65535",
        "dns:///proxy:7070",
        "dns:proxy:7070",
        "dns://1.2.3.4/[::1]:7070",
        "unix:/run/proxy",
        "ipv4:1.2.3.4:5",
    ],
)
def test_targets_that_may_work_are_taken(target: str) -> None:
    Client(target)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("", "is empty"),
        ("http://proxy:7070", "is a URL"),
        ("HTTPS://proxy", "is a URL"),
        ("grpc://proxy:7070", "is a URL"),
        ("localhost", "is not an address"),
        ("::1:7070", "is not an address"),
        (":7070", "has no host"),
        ("[]:7070", "has no host"),
        ("localhost:", "has no port"),
        ("localhost:0", "has no port"),
        ("localhost:65536", "has no port"),
        ("localhost:http", "has no port"),
        ("localhost:٣", "has no port"),
        ("dns:///proxy", "is not an address"),
        ("dns:///", "is not an address"),
        ("DNS:proxy:0", "has no port"),
        ("dns://1.2.3.4/:7070", "has no host"),
    ],
)
def test_targets_that_can_never_work_are_refused(target: str, problem: str) -> None:
    with pytest.raises(MessageProxyError, match=problem) as caught:
        Client(target)
    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "options",
    [
        {"client_name": "x" * 513},
        {"client_name": "\ud800"},
        {"client_name": b"bytes"},
        {"reconnect_backoff": (0, 1)},
        {"reconnect_backoff": (2, 1)},
        {"reconnect_backoff": (1, math.inf)},
        {"reconnect_backoff": (1, 10**400)},
        {"reconnect_backoff": 1},
        {"reconnect_backoff": ("1", "2")},
        {"max_outstanding": (0, 1)},
        {"max_outstanding": (1, 0)},
        {"max_outstanding": (1.5, 1)},
        {"max_message_bytes": 0},
        {"max_message_bytes": (1 << 30) + 1},
        {"logger": "log"},
        {"tls": "yes"},
    ],
)
def test_options_of_clients_that_are_out_of_range_are_refused(options: dict[str, Any]) -> None:
    for make in (Client, messageproxy.sync.Client):
        with pytest.raises(MessageProxyError, match=next(iter(options))) as caught:
            make("localhost:7070", **options)
        assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "options",
    [
        {"max_handlers": -1},
        {"key_workers": -1},
        {"attempts": 0},
        {"retry_backoff": (-1, 1)},
        {"retry_backoff": (2, 1)},
        {"failure_handler": 1},
        {"max_unacked": -1},
        {"max_unacked": 1 << 31},
        {"ack_timeout": -1},
        {"start": "middle"},
        {"drain_timeout": timedelta(seconds=-1)},
        {"observer": 1},
    ],
)
async def test_options_of_consume_that_are_out_of_range_are_refused(options: dict[str, Any], client: Client) -> None:
    async def handler(message: Message) -> None:
        raise AssertionError("it must not come to this")

    with pytest.raises(MessageProxyError, match=next(iter(options))) as caught:
        await client.subscription("billing", "orders").consume(handler, **options)
    assert caught.value.code is Code.INVALID_ARGUMENT


def test_tls_has_roots() -> None:
    assert credentials_of(True) is not None
    assert credentials_of(False) is None


def test_codes_that_are_not_known_keep_their_number() -> None:
    code = Code(999)
    assert (code, code.value, code.name, str(code)) == (999, 999, "CODE_999", "code 999")
    assert 999 not in list(Code)
    assert str(Code.ACK_TIMEOUT) == "ACK timeout"


def test_an_error_says_all() -> None:
    error = MessageProxyError(Code.TOPIC_NOT_FOUND, "there is no topic", message_ids=["a"])
    error.__cause__ = ValueError("because")
    assert str(error) == "topic not found: there is no topic: because"
    message = Message("orders", 2, b"secret", b"secret", (("h", b"secret"),), 0, "id", 1)
    handler_error = HandlerError(message, 5, ValueError())
    assert str(handler_error) == "the handler failed 5 times with message id of orders/2: ValueError"
    assert repr(handler_error) == f"HandlerError('{handler_error}')"


def test_an_unknown_outcome_is_found_among_the_causes() -> None:
    timeout = TimeoutError()
    timeout.__cause__ = UnknownOutcomeError()
    assert outcome_unknown(timeout)
    assert not outcome_unknown(TimeoutError())
    assert not outcome_unknown(MessageProxyError(Code.INTERNAL))


@pytest.mark.parametrize("retryable", [True, False])
def test_which_errors_end_a_stream_for_good(retryable: bool) -> None:
    for_good = {code for code in Code if ends_for_good(MessageProxyError(code, retryable=retryable))}
    always = {
        Code.INVALID_ARGUMENT,
        Code.TOPIC_NOT_FOUND,
        Code.PARTITION_NOT_FOUND,
        Code.SUBSCRIPTION_CONFLICT,
        Code.UNAUTHENTICATED,
        Code.PERMISSION_DENIED,
        Code.UNSUPPORTED,
    }
    by_retryable = {
        Code.UNSPECIFIED,
        Code.MESSAGE_TOO_LARGE,
        Code.UNKNOWN_OUTCOME,
        Code.NOT_HELD,
        Code.MESSAGES_EXPIRED,
    }
    assert for_good == (always if retryable else always | by_retryable)
    assert ends_for_good(MessageProxyError(Code(999), retryable=retryable)) is not retryable
