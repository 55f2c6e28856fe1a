"""Addresses of a site: one spelling for each page, and which of them belong to a source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from posixpath import normpath
from urllib.parse import quote, urljoin, urlsplit

LONGEST = 2000
"""Characters; longer addresses are made by programs for programs."""
DEEPEST = 16
"""Parts of a path; relative links in a site that answers every address grow it without end."""
REPEATED = 3
"""Times that one part may stand in a path: /a/b/a/b/a/b/… is a loop."""

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
    """Where a source begins and ends. ``origin`` is scheme, host and port; ``prefix`` the beginning of its paths."""

    origin: str
    prefix: str = "/"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def page(self, link: str, base: str) -> str | None:
        """The one spelling of a link that stands on ``base``; None where it leaves the site or leads nowhere."""
        try:
            address = normal(urljoin(base, link.strip().replace("\\", "/")))  # browsers take both for the same
        except ValueError:
            return None
        if address is None or origin(address) not in aliases(self.origin):
            return None
        address = self.origin + address.removeprefix(origin(address))
        return None if len(address) > LONGEST or _endless(urlsplit(address).path) else address

    def covers(self, address: str) -> bool:
        """Whether a page of this site is one that the source asks for."""
        path = address.removeprefix(self.origin)
        return self._below(urlsplit(address).path) and self._chosen(path) and not _media(path)

    def _below(self, path: str) -> bool:
        return path == self.prefix or path.startswith(self.prefix if self.prefix.endswith("/") else f"{self.prefix}/")

    def _chosen(self, path: str) -> bool:
        spellings = {path, path.partition("?")[0]}
        included = not self.include or _matches(spellings, self.include)
        return included and not _matches(spellings, self.exclude)


def normal(address: str) -> str | None:
    """An http or https address in its one spelling, without fragment, tracking parameters and name of a user."""
    try:
        parts = urlsplit(address.strip())
        host, port = _host(parts.hostname or ""), parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not _HOST.fullmatch(host):
        return None
    place = host if port in {None, PORTS[parts.scheme]} else f"{host}:{port}"
    query = "&".join(each for each in parts.query.split("&") if each and not _TRACKING.fullmatch(each))
    path = _path(parts.path) + (f"?{_escaped(query)}" if query else "")
    return f"{parts.scheme}://{place}{path}"


def origin(address: str) -> str:
    """Scheme, host and port of an address in its one spelling."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


@lru_cache(maxsize=64)
def aliases(place: str) -> frozenset[str]:
    """The origins that are the same site: with and without ``www.``, http and https; with a port only itself."""
    parts = urlsplit(place)
    if parts.port is not None:
        return frozenset({place})
    bare = parts.netloc.removeprefix("www.")
    return frozenset(f"{scheme}://{host}" for scheme in PORTS for host in (bare, f"www.{bare}"))


def folder(address: str) -> str:
    """The beginning of paths that a start page stands for: itself where it is a folder, else the folder it is in."""
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
    path = _escaped(_SESSION.sub("", path)) or "/"
    if _DOTS.search(path):
        path = normpath(path) + ("/" if path.endswith(("/", "/.", "/..")) else "")
    return "/" + path.lstrip("/")


def _escaped(text: str) -> str:
    text = quote(text, safe="%/:@!$&'()*+,;=~?-._[]")
    return _ESCAPE.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if _UNRESERVED.fullmatch(character) else found[0].upper()


def _endless(path: str) -> bool:
    parts = [part for part in path.split("/") if part]
    return len(parts) > DEEPEST or any(parts.count(part) > REPEATED for part in parts)


def _media(path: str) -> bool:
    name = path.partition("?")[0].rpartition("/")[2]
    return _MEDIA.fullmatch("." + name.rpartition(".")[2]) is not None if "." in name else False
