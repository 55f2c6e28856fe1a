"""One page after the other over HTTP: paced, limited in bytes and time, no redirect followed."""

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
    PATIENCE,
    Clock,
    Deadline,
    GuardedBackend,
    Neighbourhood,
    proxy_address,
    proxy_at,
)

AGENT = "Cotorra"
"""What robots.txt may name."""
LONGEST = 30.0
"""Seconds from the request to the last byte."""
WAIT = 30.0
"""Seconds of Retry-After that are waited for; a stop of the service would have to wait as long."""
ATTEMPTS = 3
PATIENT = 600.0
"""Seconds of Retry-After that are waited for in all."""
REFUSAL = 65_536
"""Bytes of an answer that is not the page."""
BUSY = (429, 503)

_TIMEOUTS = dict.fromkeys(("connect", "read", "write", "pool"), PATIENCE)


class Unanswered(KnowledgeError):
    """The site did not answer, or not in time: the page may be there all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``headers`` by their names in lower case; ``body`` is empty unless ``status`` is 200."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Fetcher:
    """GET requests to one site, ``rate`` a second at most; blocking."""

    def __init__(self, *, rate: float, clock: Clock) -> None:
        self._clock = clock
        self._interval = 1 / rate
        self._next = clock.now()
        self._deadline = Deadline(clock)
        self._patience = PATIENT
        self._pools: dict[str | None, httpcore.ConnectionPool] = {}

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def slow_down(self, seconds: float) -> None:
        """At least so many seconds lie between two requests from now on."""
        self._interval = max(self._interval, seconds)

    def get(self, url: str, *, most: int, headers: Mapping[str, str]) -> Answer:
        """What the address answers, when it asks to wait, after that wait. ``most`` is in bytes, unpacked.

        Raises ``Unanswered``, or ``KnowledgeError`` for a body that is too large or damaged.
        """
        for attempt in range(1, ATTEMPTS + 1):
            self._pace()
            answer = self._get(url, most, headers)
            wait = self._asked_to_wait(answer)
            if wait is None or wait > min(WAIT, self._patience) or attempt == ATTEMPTS:
                break
            self._patience -= wait
            self._next = max(self._next, self._clock.now() + wait)
        return answer

    def _pool(self, url: str) -> httpcore.ConnectionPool:
        """Connections of its own or to the proxy that the environment names, as everywhere else in Python."""
        proxy = proxy_address(url)
        if proxy not in self._pools:
            # What a name leads to behind a proxy is the proxy's to decide; here only the proxy's own name is looked up.
            self._pools[proxy] = httpcore.ConnectionPool(
                ssl_context=httpx.create_ssl_context(),
                proxy=proxy_at(proxy) if proxy else None,
                max_connections=1,
                network_backend=GuardedBackend(self._deadline, Neighbourhood()),
            )
        return self._pools[proxy]

    def _pace(self) -> None:
        if (wait := self._next - self._clock.now()) > 0:
            self._clock.sleep(wait)
        self._next = self._clock.now() + self._interval

    def _asked_to_wait(self, answer: Answer) -> float | None:
        """Seconds; None when nothing was asked."""
        asked = answer.headers.get("retry-after", "").strip()
        if answer.status not in BUSY or not asked:
            return None
        if asked.isdecimal():
            return float(asked[:9])
        moment = http_date(asked)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment else None

    def _get(self, url: str, most: int, headers: Mapping[str, str]) -> Answer:
        self._deadline.start(LONGEST)
        sent = {"User-Agent": agent(), "Accept": "text/html, */*;q=0.8", "Accept-Encoding": "gzip", **headers}
        try:
            with self._pool(url).stream(
                "GET", url, headers=list(sent.items()), extensions={"timeout": _TIMEOUTS}
            ) as response:
                named = _folded(response.headers)
                if response.status == 200:
                    return Answer(status=200, headers=named, body=_body(response, named, most))
                _drain(response)
                return Answer(status=response.status, headers=named, body=b"")
        except httpcore.TimeoutException as error:
            raise Unanswered(f"did not answer in time; a page has {LONGEST:.0f} s") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ConnectionNotAvailable, OSError) as error:
            raise Unanswered(f"cannot be reached: {error or type(error).__name__}") from error


def agent() -> str:
    """What the crawler calls itself."""
    try:
        return f"{AGENT}/{version('cotorra')}"
    except PackageNotFoundError:  # run from a folder that was never installed
        return AGENT


def http_date(text: str) -> datetime | None:
    """A date of HTTP; None for what is none."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def unpacked(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Gzip streams to their bytes; at most ``most`` are ever unpacked. Raises ``KnowledgeError``."""
    size, stream = 0, zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            rest = chunk
            while rest:
                if stream.eof:  # a further member: gzip files may be joined
                    stream = zlib.decompressobj(wbits=31)
                found = stream.decompress(rest, most - size + 1)
                size += len(found)
                _within(size, most)
                yield found
                rest = stream.unused_data if stream.eof else stream.unconsumed_tail
    except zlib.error as error:
        raise KnowledgeError(f"is damaged gzip ({error})") from error
    if not stream.eof:
        raise KnowledgeError("is damaged gzip (it ends early)")


def _within(size: int, most: int) -> None:
    if size > most:
        raise KnowledgeError(f"has more than {most // 1_000_000} MB; a page of that size is a dump, not a page")


def _body(response: httpcore.Response, headers: Mapping[str, str], most: int) -> bytes:
    packing = headers.get("content-encoding", "identity").strip().lower()
    chunks = _counted(response.iter_stream(), most)
    if packing in {"gzip", "x-gzip"}:
        return b"".join(unpacked(chunks, most))
    if packing not in {"identity", ""}:
        raise KnowledgeError(f"is packed with {packing[:20]}, which was not asked for; only gzip is read")
    return b"".join(chunks)


def _drain(response: httpcore.Response) -> None:
    """Reads the few bytes of a refusal to their end, so that the connection serves for the next page."""
    size = 0
    for chunk in response.iter_stream():
        size += len(chunk)
        if size > REFUSAL:
            return


def _counted(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        _within(size, most)
        yield chunk


def _folded(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; what comes several times is joined as HTTP says (RFC 9110, 5.3)."""
    named: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        named[key] = f"{named[key]}, {text}" if key in named else text
    return named
