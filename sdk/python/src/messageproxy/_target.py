"""Where a client connects to, and with which credentials."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path

import grpc

from messageproxy._errors import InvalidTypeError, MessageProxyError, invalid

# Those of gRPC's resolvers besides dns; others can't be added in Python.
_GRPC_SCHEMES = ("unix:", "unix-abstract:", "vsock:", "ipv4:", "ipv6:", "xds:", "google-c2p:")


def check_target(target: str) -> None:
    """Refuses targets that can never work.

    gRPC accepts most of them, and then tries for ever: it takes "localhost" for port 443, and "http://…", or any other
    scheme that it doesn't know, for a name.
    """
    if not isinstance(target, str):
        raise InvalidTypeError(f"the target is {type(target).__name__}, not str")
    if not target:
        raise _refused(target, "is empty")
    address, lower = target, target.lower()
    if lower.startswith("dns:"):  # dns:host:port, dns:///host:port, or dns://server/host:port
        address = target[len("dns:") :].rpartition("/")[2]
    elif lower.startswith(_GRPC_SCHEMES):
        return  # for gRPC's resolver to judge
    elif "://" in target:
        raise _refused(target, "is a URL")
    match = re.fullmatch(r"(\[[^\[\]]*\]|[^\[\]:]*):([^:]*)", address)
    if match is None:
        raise _refused(target, "is not an address")
    host, port = match.groups()
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise _refused(target, "has no port from 1 to 65535")
    if host in ("", "[]"):
        raise _refused(target, "has no host")


def _refused(target: str, problem: str) -> MessageProxyError:
    return invalid(
        f'the target {target!r} {problem}: give "host:port", or a target that gRPC knows, such as "dns:///host:port"'
    )


def credentials_of(tls: bool | grpc.ChannelCredentials) -> grpc.ChannelCredentials | None:
    """The credentials that an option `tls` asks for; None: plaintext."""
    if isinstance(tls, grpc.ChannelCredentials):
        return tls
    if not isinstance(tls, bool):
        raise InvalidTypeError(f"tls: {type(tls).__name__} is neither a bool nor a grpc.ChannelCredentials")
    return grpc.ssl_channel_credentials(_system_roots()) if tls else None


def _system_roots() -> bytes | None:
    """The certificates that this system trusts, as PEM. None: gRPC's own, which it brings with it."""
    if os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"):
        return None  # gRPC reads it
    loaded = ssl.create_default_context().get_ca_certs(binary_form=True)
    if loaded:
        return "".join(map(ssl.DER_cert_to_PEM_cert, loaded)).encode()
    # OpenSSL looks certificates of a directory up when it needs one, by the hash that is their file's name.
    directory = ssl.get_default_verify_paths().capath
    files = sorted(Path(directory).glob("*.[0-9]")) if directory else []
    return b"\n".join(file.read_bytes() for file in files) or None
