"""Fetches pages over HTTP one at a time: with a rate limit, limits of bytes and time, and without following redirects."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version

import httpcore
import httpx

from rag.errors import KnowledgeError
from rag.knowledge.loaders.web.connection import (
    READ_SECONDS,
    Clock,
    Deadline,
    GuardedBackend,
    NetworkGuard,
    proxy_address,
    proxy_at,
)

AGENT = "Cotorra"
"""The crawler's name for robots.txt."""
LONGEST = 30.0
"""The longest time from the request to the last byte, in seconds."""
WAIT = 30.0
"""The longest Retry-After that is obeyed, in seconds; stopping the service has to wait for it."""
ATTEMPTS = 3
RETRY_SECONDS = 600.0
"""Seconds of Retry-After that are obeyed in one crawl altogether."""
REFUSAL = 65_536
"""The most bytes that are read of a response with an error status."""
BUSY = (429, 503)

_TIMEOUTS = dict.fromkeys(("connect", "read", "write", "pool"), READ_SECONDS)


class Unanswered(KnowledgeError):
    """The site did not answer, or not in time; the page may still exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response. The names of ``headers`` are in lower case; ``body`` is empty unless ``status`` is 200."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Fetcher:
    """Sends GET requests to one site, at most ``rate`` a second. Blocks."""

    def __init__(self, *, rate: float, clock: Clock) -> None:
        self._clock = clock
        self._interval = 1 / rate
        self._next = clock.now()
        self._deadline = Deadline(clock)
        self._retry_seconds_left = RETRY_SECONDS
        self._pools: dict[str | None, httpcore.ConnectionPool] = {}

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def slow_down(self, seconds: float) -> None:
        """Raises the time between two requests to at least ``seconds``."""
        self._interval = max(self._interval, seconds)

    def get(self, url: str, *, most: int, headers: Mapping[str, str]) -> Answer:
        """The response of an address; a Retry-After is obeyed. ``most``: the largest body in bytes, unpacked.

        Raises ``Unanswered``, or ``KnowledgeError`` for a body that is too large or damaged.
        """
        for attempt in range(1, ATTEMPTS + 1):
            self._pace()
            answer = self._get(url, most, headers)
            wait = self._retry_after(answer)
            if wait is None or wait > min(WAIT, self._retry_seconds_left) or attempt == ATTEMPTS:
                break
            self._retry_seconds_left -= wait
            self._next = max(self._next, self._clock.now() + wait)
        return answer

    def _pool(self, url: str) -> httpcore.ConnectionPool:
        """The connections for an address: direct ones, or those to the proxy that the environment names."""
        proxy = proxy_address(url)
        if proxy not in self._pools:
            # Behind a proxy the proxy resolves the site's name; here only the proxy's own name is resolved and checked.
            self._pools[proxy] = httpcore.ConnectionPool(
                ssl_context=httpx.create_ssl_context(),
                proxy=proxy_at(proxy) if proxy else None,
                max_connections=1,
                network_backend=GuardedBackend(self._deadline, NetworkGuard()),
            )
        return self._pools[proxy]

    def _pace(self) -> None:
        if (wait := self._next - self._clock.now()) > 0:
            self._clock.sleep(wait)
        self._next = self._clock.now() + self._interval

    def _retry_after(self, answer: Answer) -> float | None:
        """Seconds of a Retry-After header (RFC 9110: a number or a date); None if there is none."""
        header = answer.headers.get("retry-after", "").strip()
        if answer.status not in BUSY or not header:
            return None
        if header.isdecimal():
            return float(header[:9])  # bounded, because a header may have any number of digits
        moment = http_date(header)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment else None

    def _get(self, url: str, most: int, headers: Mapping[str, str]) -> Answer:
        self._deadline.start(LONGEST)
        # Only gzip, because its unpacked size can be limited while it is read.
        request_headers = {
            "User-Agent": agent(),
            "Accept": "text/html, */*;q=0.8",
            "Accept-Encoding": "gzip",
            **headers,
        }
        try:
            with self._pool(url).stream(
                "GET", url, headers=list(request_headers.items()), extensions={"timeout": _TIMEOUTS}
            ) as response:
                fields = _combined_headers(response.headers)
                if response.status == 200:
                    return Answer(status=200, headers=fields, body=_body(response, fields, most))
                _drain(response)
                return Answer(status=response.status, headers=fields, body=b"")
        except httpcore.TimeoutException as error:
            raise Unanswered(f"did not answer in time; a page has {LONGEST:.0f} s") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ConnectionNotAvailable, OSError) as error:
            raise Unanswered(f"cannot be reached: {error or type(error).__name__}") from error


def agent() -> str:
    """The crawler's User-Agent."""
    try:
        return f"{AGENT}/{version('cotorra')}"
    except PackageNotFoundError:  # run from a folder that was never installed
        return AGENT


def http_date(text: str) -> datetime | None:
    """An HTTP date; None if the text is none."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def unpack(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Unpacks gzip, ``most`` bytes at most. Raises ``KnowledgeError`` for more and for damaged data."""
    size, stream = 0, zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            rest = chunk
            while rest:
                if stream.eof:  # a gzip file may consist of several members
                    stream = zlib.decompressobj(wbits=31)
                block = stream.decompress(rest, most - size + 1)
                size += len(block)
                _check_size(size, most)
                yield block
                rest = stream.unused_data if stream.eof else stream.unconsumed_tail
    except zlib.error as error:
        raise KnowledgeError(f"is damaged gzip ({error})") from error
    if not stream.eof:
        raise KnowledgeError("is damaged gzip (it ends early)")


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise KnowledgeError(f"has more than {most // 1_000_000} MB; a page of that size is a dump, not a page")


def _body(response: httpcore.Response, headers: Mapping[str, str], most: int) -> bytes:
    packing = headers.get("content-encoding", "identity").strip().lower()
    chunks = _limit_size(response.iter_stream(), most)
    if packing in {"gzip", "x-gzip"}:
        return b"".join(unpack(chunks, most))
    if packing not in {"identity", ""}:
        raise KnowledgeError(f"is packed with {packing[:20]}, which was not asked for; only gzip is read")
    return b"".join(chunks)


def _drain(response: httpcore.Response) -> None:
    """Reads a short error response to its end, so that the connection can be reused for the next page."""
    size = 0
    for chunk in response.iter_stream():
        size += len(chunk)
        if size > REFUSAL:
            return


def _limit_size(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        _check_size(size, most)
        yield chunk


def _combined_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; repeated ones are joined with commas (RFC 9110, 5.3)."""
    fields: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return fields
