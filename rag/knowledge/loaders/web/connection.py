"""Network connections with a deadline for each page, restricted to permitted addresses."""

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

READ_SECONDS = 10.0
"""The longest time without a byte, in seconds; a whole page has its own limit."""


class Clock(Protocol):
    """Time and sleeping, in seconds; a seam for tests."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The system's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Deadline:
    """The deadline of the page that is fetched."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._end = clock.now()

    def start(self, seconds: float) -> None:
        self._end = self._clock.now() + seconds

    def left(self) -> float:
        """Seconds for the next read, ``READ_SECONDS`` at most. Raises ``httpcore.ReadTimeout`` when none are left."""
        left = self._end - self._clock.now()
        if left <= 0:
            raise httpcore.ReadTimeout("the page took too long")
        return min(left, READ_SECONDS)


class NetworkGuard:
    """Keeps a crawl that began at a public address out of private networks (protection against DNS rebinding)."""

    def __init__(self) -> None:
        self._public: bool | None = None

    def admit(self, host: str, addresses: list[str]) -> list[str]:
        """The addresses to which connections are permitted. Raises ``httpcore.ConnectError`` if there is none."""
        public = [each for each in addresses if ip_address(each.partition("%")[0]).is_global]
        # Decided by the first connection, whose host the operator named in the source or as the proxy.
        if self._public is None:
            self._public = bool(public)
        admitted = public if self._public else addresses
        if not admitted:
            raise httpcore.ConnectError(f"{host} now leads into a private network")
        return admitted


class GuardedBackend(httpcore.NetworkBackend):
    """Opens TCP connections to addresses that ``NetworkGuard`` admits; every read and write ends at the deadline."""

    def __init__(self, deadline: Deadline, guard: NetworkGuard) -> None:
        self._deadline = deadline
        self._guard = guard
        self._tcp = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline says how long
        local_address: str | None = None,  # noqa: ARG002 - the caller's signature
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """Connects to a checked address, not to the name, which may resolve to another address a moment later."""
        addresses = self._guard.admit(host, _resolve(host, port))
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
    """The proxy that the environment names for an address, or None."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    results = getproxies()
    return results.get(parts.scheme) or results.get("all")


def proxy_at(proxy: str) -> httpcore.Proxy:
    """The proxy at an address; user and password are taken out of it."""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    credentials = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return httpcore.Proxy(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", auth=credentials)


def _resolve(host: str, port: int) -> list[str]:
    try:
        results = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host} has no address ({error})") from error
    return list(dict.fromkeys(str(each[4][0]) for each in results))
