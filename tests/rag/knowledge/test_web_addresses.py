"""One spelling for each address, where a site ends, and which machines it may lead to."""

from __future__ import annotations

import httpcore
import pytest

from rag.knowledge.loaders.web.addresses import Site, folder, normal
from rag.knowledge.loaders.web.connection import NetworkGuard


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("HTTPS://Example.COM:443/a/../b/./c.html#part", "https://example.com/b/c.html"),
        ("http://example.com", "http://example.com/"),
        ("http://example.com:8080/x/", "http://example.com:8080/x/"),
        ("https://example.com./a?utm_source=x&b=1&gclid=2&a=", "https://example.com/a?b=1&a="),
        ("https://example.com/a;jsessionid=1A2B?PHPSESSID=3", "https://example.com/a"),
        ("https://example.com/%7euser/%c3%a9 b", "https://example.com/~user/%C3%A9%20b"),
        ("https://name:word@example.com/", "https://example.com/"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("http://[2001:DB8::1]:8080/", "http://[2001:db8::1]:8080/"),
        ("https://example.com/../../etc/passwd", "https://example.com/etc/passwd"),
        ("ftp://example.com/", None),
        ("https:///path", None),
        ("https://exa mple.com/", None),
        ("https://example.com:99999/", None),
        ("https://[::1/", None),
        ("https://" + "a" * 70 + "ü.com/", None),
        ("mailto:nobody@example.com", None),
    ],
)
def test_an_address_has_one_spelling(written: str, spelled: str | None) -> None:
    assert normal(written) == spelled
    if spelled:
        assert normal(spelled) == spelled


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("../b", "https://www.example.com/b"),
        ("http://example.com/b", "https://www.example.com/b"),
        ("//www.example.com/b", "https://www.example.com/b"),
        ("https://www.example.com:8443/b", None),
        ("https://docs.example.com/b", None),
        ("https://www.example.com.evil.example/b", None),
        ("https://www.example.com@evil.example/b", None),
        ("https:\\\\evil.example\\b", None),
        ("tel:+3400000000", None),
        ("/" + "x" * 2001, None),
        ("/" + "a/" * 17, None),
        ("/a/b/a/b/a/b/a/b", None),
    ],
)
def test_a_site_is_one_host_with_and_without_www(link: str, address: str | None) -> None:
    assert Site(origin="https://www.example.com").page(link, "https://www.example.com/docs/a") == address


@pytest.mark.parametrize(
    ("start", "prefix"),
    [
        ("https://example.com/", "/"),
        ("https://example.com/docs/guide.html", "/docs/"),
        ("https://example.com/help/en-us", "/help/en-us"),
    ],
)
def test_a_start_page_stands_for_the_folder_that_it_is_or_is_in(start: str, prefix: str) -> None:
    assert folder(start) == prefix


def test_what_lies_below_a_folder_is_not_what_begins_like_it() -> None:
    site = Site(origin="https://example.com", prefix="/help")
    assert [
        site.covers(f"https://example.com{path}") for path in ("/help", "/help/a?b=/x", "/helpers", "/help/a.zip")
    ] == [
        True,
        True,
        False,
        False,
    ]


def test_globs_match_the_path_with_and_without_its_query() -> None:
    site = Site(origin="https://example.com", include=("/docs/*",), exclude=("*/draft-*", "*?page=*"))
    paths = ("/docs/a/b", "/docs/a?sort=up", "/docs/draft-1", "/docs/a?page=2", "/blog/docs/")
    assert [site.covers(f"https://example.com{path}") for path in paths] == [True, True, False, False, False]


def test_a_public_site_whose_name_leads_into_a_private_network_later_is_not_followed() -> None:
    guard = NetworkGuard()
    assert guard.admit("example.com", ["93.184.215.14", "10.0.0.1"]) == ["93.184.215.14"]
    for private in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1%eth0", "::ffff:192.168.0.1"):
        with pytest.raises(httpcore.ConnectError, match="private network"):
            guard.admit("example.com", [private])


def test_a_site_in_a_private_network_may_be_read_when_it_is_where_the_source_begins() -> None:
    guard = NetworkGuard()
    assert guard.admit("wiki.internal", ["10.0.0.7"]) == ["10.0.0.7"]
    assert guard.admit("wiki.internal", ["10.0.0.8"]) == ["10.0.0.8"]
