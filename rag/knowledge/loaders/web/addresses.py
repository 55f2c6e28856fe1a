"""Normalizes the addresses of a site to one spelling for each page, and decides which belong to a source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from posixpath import normpath
from urllib.parse import quote, urljoin, urlsplit

LONGEST = 2000
"""The longest address in characters; longer ones are generated and lead to no pages for readers."""
DEEPEST = 16
"""The most parts of a path: on a site that answers every address, relative links make paths grow without end."""
REPEATED = 3
"""How often one part may occur in a path: /a/b/a/b/a/b/… is a loop."""

PORTS = {"http": 80, "https": 443}

_TRACKING = re.compile(r"(utm_.*|gclid|fbclid|msclkid|mc_cid|mc_eid|_ga|_gl|phpsessid|jsessionid)(=.*)?", re.IGNORECASE)
_SESSION = re.compile(r";jsessionid=[^/]*", re.IGNORECASE)
_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})")
_HOST = re.compile(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]")
_DOTS = re.compile(r"/\.{1,2}(/|$)")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_MEDIA = re.compile(
    r"\.(avi|bmp|bz2|css|dmg|eot|exe|gif|gz|ico|iso|jpe?g|js|m4a|map|mjs|mov|mp3|mp4|mpe?g|ogg|png|rar|svg|tar|tgz|"
    r"tiff?|ttf|wav|webm|webp|wmv|woff2?|xz|zip|7z)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The boundaries of a source. ``origin``: scheme, host and port; ``prefix``: the beginning of its paths."""

    origin: str
    prefix: str = "/"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def page(self, link: str, base: str) -> str | None:
        """The normalized address of a link on the page ``base``; None if it leaves the site or is invalid."""
        try:
            address = normal(urljoin(base, link.strip().replace("\\", "/")))  # as browsers do
        except ValueError:
            return None
        if address is None or origin(address) not in aliases(self.origin):
            return None
        # One origin for all aliases: otherwise a page would be read once for each of them.
        address = self.origin + address.removeprefix(origin(address))
        return None if len(address) > LONGEST or _endless(urlsplit(address).path) else address

    def covers(self, address: str) -> bool:
        """Whether a page of this site belongs to the source."""
        path = address.removeprefix(self.origin)
        return self._below(urlsplit(address).path) and self._is_selected(path) and not _media(path)

    def _below(self, path: str) -> bool:
        return path == self.prefix or path.startswith(self.prefix if self.prefix.endswith("/") else f"{self.prefix}/")

    def _is_selected(self, path: str) -> bool:
        spellings = {path, path.partition("?")[0]}
        included = not self.include or _matches(spellings, self.include)
        return included and not _matches(spellings, self.exclude)


def normal(address: str) -> str | None:
    """A normalized http or https address, without fragment, tracking parameters and user name; None if invalid."""
    try:
        parts = urlsplit(address.strip())
        host, port = _host(parts.hostname or ""), parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not _HOST.fullmatch(host):
        return None
    place = host if port in {None, PORTS[parts.scheme]} else f"{host}:{port}"
    query = "&".join(each for each in parts.query.split("&") if each and not _TRACKING.fullmatch(each))
    path = _path(parts.path) + (f"?{_escape(query)}" if query else "")
    return f"{parts.scheme}://{place}{path}"


def origin(address: str) -> str:
    """Scheme, host and port of a normalized address."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


@lru_cache(maxsize=64)
def aliases(place: str) -> frozenset[str]:
    """The origins of the same site: with and without ``www.``, http and https; with an explicit port only itself."""
    parts = urlsplit(place)
    if parts.port is not None:
        return frozenset({place})
    bare = parts.netloc.removeprefix("www.")
    return frozenset(f"{scheme}://{host}" for scheme in PORTS for host in (bare, f"www.{bare}"))


def folder(address: str) -> str:
    """The path prefix of a start page: its own path if it is a folder, else that of the folder that contains it."""
    path = urlsplit(address).path
    head, _, last = path.rpartition("/")
    return f"{head}/" if "." in last else path


def _matches(spellings: set[str], globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(each, glob) for each in spellings for glob in globs)


def _host(host: str) -> str:
    host = host.rstrip(".")
    if ":" in host:
        return f"[{host}]"
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:  # a label that is empty or too long
        raise ValueError(host) from error


def _path(path: str) -> str:
    path = _escape(_SESSION.sub("", path)) or "/"
    if _DOTS.search(path):
        path = normpath(path) + ("/" if path.endswith(("/", "/.", "/..")) else "")
    return "/" + path.lstrip("/")


def _escape(text: str) -> str:
    text = quote(text, safe="%/:@!$&'()*+,;=~?-._[]")
    return _ESCAPE.sub(_unescape_plain, text)


def _unescape_plain(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if _UNRESERVED.fullmatch(character) else match[0].upper()


def _endless(path: str) -> bool:
    parts = [part for part in path.split("/") if part]
    return len(parts) > DEEPEST or any(parts.count(part) > REPEATED for part in parts)


def _media(path: str) -> bool:
    name = path.partition("?")[0].rpartition("/")[2]
    return _MEDIA.fullmatch("." + name.rpartition(".")[2]) is not None if "." in name else False
