"""Connections that end in time and lead where they may."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore

PATIENCE = 10.0
"""Seconds without a byte; the whole of a page has its own limit."""


class Clock(Protocol):
    """What time it is, and waiting; both block."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Deadline:
    """When the page that is being fetched has to be there."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._end = clock.now()

    def start(self, seconds: float) -> None:
        self._end = self._clock.now() + seconds

    def left(self) -> float:
        """Seconds, at most those that one read may wait. Raises ``httpcore.ReadTimeout`` when none are left."""
        left = self._end - self._clock.now()
        if left <= 0:
            raise httpcore.ReadTimeout("the page took too long")
        return min(left, PATIENCE)


class Neighbourhood:
    """Keeps a site that began on the public internet out of private networks, whatever its name resolves to later."""

    def __init__(self) -> None:
        self._public: bool | None = None

    def admit(self, host: str, addresses: list[str]) -> list[str]:
        """The addresses that may be connected to. Raises ``httpcore.ConnectError`` when there is none."""
        public = [each for each in addresses if ip_address(each.partition("%")[0]).is_global]
        if self._public is None:
            self._public = bool(public)
        admitted = public if self._public else addresses
        if not admitted:
            raise httpcore.ConnectError(f"{host} now leads into a private network")
        return admitted


class GuardedBackend(httpcore.NetworkBackend):
    """TCP connections to addresses that ``Neighbourhood`` admits, each read within the deadline."""

    def __init__(self, deadline: Deadline, neighbourhood: Neighbourhood) -> None:
        self._deadline = deadline
        self._neighbourhood = neighbourhood
        self._tcp = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline says how long
        local_address: str | None = None,  # noqa: ARG002 - the caller's signature
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """Connects to the address that was checked, not to the name, which may resolve to another a moment later."""
        addresses = self._neighbourhood.admit(host, _resolve(host, port))
        for address in addresses[:-1]:
            try:
                return self._connect(address, port)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):  # the next one may answer
                continue
        return self._connect(addresses[-1], port)

    def _connect(self, address: str, port: int) -> httpcore.NetworkStream:
        return _Stream(self._tcp.connect_tcp(address, port, self._deadline.left()), self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._deadline.left()), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def proxy_address(url: str) -> str | None:
    """The proxy that the environment names for an address, if any."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    found = getproxies()
    return found.get(parts.scheme) or found.get("all")


def proxy_at(proxy: str) -> httpcore.Proxy:
    """A proxy as the environment writes it, with its name and password apart."""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    signed = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return httpcore.Proxy(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", auth=signed)


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host} has no address ({error})") from error
    return list(dict.fromkeys(str(each[4][0]) for each in found))
