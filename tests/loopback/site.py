"""A web site on 127.0.0.1 that counts its requests and misbehaves when it is told to.

``python -m tests.loopback.site --port 8080 --folder pages`` serves a folder of HTML files to look at.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

HTML = "text/html; charset=utf-8"


class Time:
    """A clock that goes on only when somebody sleeps; tests share it with the crawler that they watch."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._lock = threading.Lock()

    def now(self) -> float:
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its path with the query, its headers in lower case, when it came, and the status it got."""

    path: str
    headers: Mapping[str, str]
    at: float
    status: int


@dataclass(slots=True, kw_only=True)
class Page:
    """What one path answers. ``drip`` sends it byte by byte, each so many seconds after the last."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    validators: bool = True
    drip: float = 0
    unfinished: bool = False


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A crawler that hangs up is none."""


Answers = Callable[["Asked"], Page]


class LoopbackSite:
    """Serves ``pages`` (path to page, or to a function of the request) from a thread, until it is closed."""

    def __init__(self, port: int = 0, clock: Time | None = None) -> None:
        self.clock = clock or Time()
        self.pages: dict[str, Page | Answers] = {}
        self.otherwise: Answers = lambda _: Page(status=404, body=b"Not here.")
        self.asked: list[Asked] = []
        self._server = _Server(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def html(self, path: str, text: str, *, head: str = "", html: str = '<html lang="en">', **headers: str) -> None:
        """Puts a page of HTML there; ``headers`` are named with underscores."""
        page = f"<!doctype html>{html}<head>{head}</head><body>{text}</body></html>"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = Page(body=page.encode(), headers={"Content-Type": HTML, **named})

    def put(self, path: str, body: bytes | str = b"", *, kind: str = HTML, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body.encode() if isinstance(body, str) else body
        self.pages[path] = Page(body=content, status=status, headers={"Content-Type": kind, **named})

    def sitemap(self, path: str, *addresses: str, index: bool = False, packed: bool = False) -> None:
        """Puts a sitemap there, or an index of sitemaps; addresses may be paths, with ``|2026-01-31`` for their date."""
        root, entry = ("sitemapindex", "sitemap") if index else ("urlset", "url")
        entries = "".join(f"<{entry}>{self._entry(each)}</{entry}>" for each in addresses)
        body = f'<?xml version="1.0"?><{root} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</{root}>'
        self.put(path, gzip.compress(body.encode()) if packed else body, kind="application/xml")

    def move(self, path: str, target: str, status: int = 301) -> None:
        self.put(path, status=status, Location=target)

    def paths(self) -> list[str]:
        """What was asked for, robots.txt aside."""
        return [each.path for each in self.asked if each.path != "/robots.txt"]

    @contextmanager
    def counted(self) -> Iterator[list[Asked]]:
        """Only the requests within the block, filled in at its end."""
        before, within = len(self.asked), list[Asked]()
        yield within
        within += self.asked[before:]

    def __enter__(self) -> LoopbackSite:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _entry(self, address: str) -> str:
        address, _, updated = address.partition("|")
        full = f"{self.url}{address}" if address.startswith("/") else address
        return f"<loc>{full}</loc>" + (f"<lastmod>{updated}</lastmod>" if updated else "")

    def _answer(self, path: str, headers: Mapping[str, str]) -> Page:
        asked = Asked(path, headers, self.clock.now(), 0)
        found = self.pages.get(path, self.otherwise)
        page = found if isinstance(found, Page) else found(asked)
        tag = '"' + hashlib.sha256(page.body).hexdigest()[:16] + '"'
        if page.validators and page.status == 200:
            unchanged = headers.get("if-none-match") == tag
            page = Page(
                body=b"" if unchanged else page.body,
                status=304 if unchanged else 200,
                headers={"ETag": tag, **page.headers},
                drip=page.drip,
                unfinished=page.unfinished,
            )
        self.asked.append(Asked(path, headers, asked.at, page.status))
        return page

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                page = site._answer(self.path, {name.lower(): value for name, value in self.headers.items()})
                head = f"HTTP/1.1 {page.status} Answer\r\nContent-Length: {len(page.body) + page.unfinished}\r\n"
                head += "".join(f"{name}: {value}\r\n" for name, value in page.headers.items())
                self.close_connection = page.unfinished
                try:
                    self._send(head.encode() + b"\r\n" + page.body, page.drip)
                except OSError:  # the crawler went away, as it should
                    self.close_connection = True

            def _send(self, answer: bytes, drip: float) -> None:
                if not drip:
                    self.wfile.write(answer)
                for position in range(len(answer) if drip else 0):
                    site.clock.sleep(drip)
                    self.wfile.write(answer[position : position + 1])

            def log_message(self, format: str, *args: object) -> None:
                """Tests look at ``asked``."""

        return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    site = LoopbackSite(options.port)
    for path in sorted(options.folder.rglob("*.html")):
        site.put("/" + path.relative_to(options.folder).as_posix(), path.read_bytes())
    with site:
        print(site.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
