"""A crawler's manners: what a site forbids is left alone, and it is asked as slowly as it wishes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from rag.errors import KnowledgeError
from tests.loopback.site import Asked, LoopbackSite, Page
from tests.rag.crawling import Crawler, page


@pytest.fixture
def site() -> Iterator[LoopbackSite]:
    with LoopbackSite() as site:
        site.html("/", page("Start", "/a", "/private/b", "/c"))
        site.html("/a", page("Answers"))
        site.html("/private/b", page("Basics"))
        site.html("/c", page("Corners"))
        yield site


@pytest.fixture
def web(site: LoopbackSite, tmp_path: Path) -> Crawler:
    return Crawler(site, tmp_path / "cache")


def gaps(asked: list[Asked]) -> list[float]:
    return [later.at - earlier.at for earlier, later in pairwise(asked)]


def robots(site: LoopbackSite, text: str) -> None:
    site.put("/robots.txt", text, kind="text/plain")


def test_requests_are_as_far_apart_as_the_rate_says(site: LoopbackSite, web: Crawler) -> None:
    web.crawl(rate=4)
    assert len(site.asked) == 5
    assert gaps(site.asked) == [0.25] * 4


def test_a_crawl_delay_is_kept_where_it_is_slower_than_the_rate(site: LoopbackSite, web: Crawler) -> None:
    robots(site, "User-agent: *\nCrawl-delay: 7")
    web.crawl(rate=4)
    assert gaps(site.asked)[1:] == [7] * 3


def test_a_crawl_delay_that_means_no_is_an_error(site: LoopbackSite, web: Crawler) -> None:
    robots(site, "User-agent: *\nCrawl-delay: 86400")
    with pytest.raises(KnowledgeError, match="asks for 86400 s between two requests"):
        web.crawl()
    assert not site.paths()


def test_what_robots_txt_forbids_is_never_asked_for(site: LoopbackSite, web: Crawler) -> None:
    robots(site, "User-agent: *\nDisallow: /private/")
    found = web.crawl()
    assert found.ids == ["kb/", "kb/a", "kb/c"]
    assert "/private/b" not in site.paths()
    assert not found.unreadable


def test_rules_for_this_crawler_come_before_those_for_all(site: LoopbackSite, web: Crawler) -> None:
    robots(site, "User-agent: *\nDisallow: /\n\nUser-agent: cotorra\nDisallow: /c")
    assert web.crawl().ids == ["kb/", "kb/a", "kb/private/b"]


def test_the_crawler_says_its_name_and_version(site: LoopbackSite, web: Crawler) -> None:
    web.crawl()
    assert {each.headers["user-agent"].partition("/")[0] for each in site.asked} == {"Cotorra"}


def test_a_page_that_becomes_forbidden_stays_as_it_was(site: LoopbackSite, web: Crawler) -> None:
    web.crawl()
    robots(site, "User-agent: *\nDisallow: /private/")
    with site.counted() as again:
        found = web.crawl()
    assert "robots.txt" in found.reasons["kb/private/b"]
    assert "/private/b" not in [each.path for each in again]


def test_a_forbidden_start_page_is_an_error_that_names_robots_txt(site: LoopbackSite, web: Crawler) -> None:
    robots(site, "User-agent: *\nDisallow: /")
    with pytest.raises(KnowledgeError, match=r"not allowed by robots\.txt"):
        web.crawl()
    assert not site.paths()


def test_a_robots_txt_that_fails_forbids_everything(site: LoopbackSite, web: Crawler) -> None:
    site.put("/robots.txt", status=500)
    with pytest.raises(KnowledgeError, match=r"robots\.txt answers 500"):
        web.crawl()
    assert not site.paths()


def test_a_robots_txt_that_is_kept_secret_forbids_nothing(site: LoopbackSite, web: Crawler) -> None:
    site.put("/robots.txt", status=403)
    assert len(web.crawl().ids) == 4


def busy(site: LoopbackSite, status: int, **headers: str) -> None:
    """The page /a answers the first request so, and later ones as usual."""
    calm = site.pages["/a"]
    assert isinstance(calm, Page)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    site.pages["/a"] = lambda _: calm if "/a" in site.paths() else Page(status=status, headers=named)


@pytest.mark.parametrize("status", [429, 503])
def test_a_site_that_asks_to_wait_is_asked_again_after_that_time(site: LoopbackSite, web: Crawler, status: int) -> None:
    busy(site, status, Retry_After="20")
    assert web.crawl(rate=1).ids == ["kb/", "kb/a", "kb/private/b", "kb/c"]
    first, second = (each.at for each in site.asked if each.path == "/a")
    assert second - first == 20


@pytest.mark.parametrize("wait", ["86400", "Fri, 31 Dec 2100 23:59:59 GMT", "9" * 400])
def test_a_site_that_asks_to_wait_too_long_is_left_until_the_next_sync(
    site: LoopbackSite, web: Crawler, wait: str
) -> None:
    busy(site, 503, Retry_After=wait)
    found = web.crawl()
    assert "answers 503" in found.reasons["kb/a"]
    assert site.paths().count("/a") == 1


def test_waiting_for_a_site_has_an_end_however_often_it_asks(site: LoopbackSite, web: Crawler) -> None:
    names = [f"/{number}" for number in range(60)]
    site.html("/", page("Start", *names, "/a"))
    for name in names[::2]:
        site.put(name, status=503, Retry_After="30")
        site.html(f"/{int(name[1:]) + 1}", page(name))
    started = site.clock.now()
    found = web.crawl(rate=100)
    assert len(found.unreadable) == 30
    assert site.clock.now() - started < 660


@pytest.mark.parametrize("wait", ["", "-5", "soon", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_wait_that_says_nothing_does_not_stop_the_crawl(site: LoopbackSite, web: Crawler, wait: str) -> None:
    site.put("/a", status=429, Retry_After=wait)
    found = web.crawl()
    assert found.ids == ["kb/", "kb/private/b", "kb/c"]
    assert site.paths().count("/a") <= 3


@pytest.mark.parametrize("head", ['<meta name="robots" content="NOINDEX, follow">', "<meta name=cotorra content=none>"])
def test_a_page_that_does_not_want_to_be_indexed_is_left_out(site: LoopbackSite, web: Crawler, head: str) -> None:
    site.html("/a", page("Answers"), head=head)
    found = web.crawl()
    assert found.ids == ["kb/", "kb/private/b", "kb/c"]
    assert not found.unreadable


def test_a_page_that_is_not_to_be_indexed_any_more_vanishes(site: LoopbackSite, web: Crawler) -> None:
    web.crawl()
    site.html("/a", page("Answers"), X_Robots_Tag="noindex")
    assert "kb/a" not in web.crawl().ids
    site.html("/a", page("Answers"))
    assert "kb/a" in web.crawl().ids


def test_the_header_may_be_meant_for_others(site: LoopbackSite, web: Crawler) -> None:
    site.html("/a", page("Answers"), X_Robots_Tag="googlebot: noindex, nofollow")
    site.html("/c", page("Corners"), X_Robots_Tag="otherbot: nofollow, cotorra: noindex")
    assert web.crawl().ids == ["kb/", "kb/a", "kb/private/b"]


def test_links_that_are_not_to_be_followed_are_not(site: LoopbackSite, web: Crawler) -> None:
    site.html("/", page("Start", "/a") + '<a rel="ugc nofollow" href="/c">c</a>')
    site.html("/a", page("Answers", "/private/b"), head='<meta name="robots" content="nofollow">')
    assert web.crawl().ids == ["kb/", "kb/a"]


def test_a_sitemap_whose_pages_are_all_forbidden_says_so(site: LoopbackSite, web: Crawler) -> None:
    site.sitemap("/sitemap.xml", "/a", "/c", "https://example.com/")
    robots(site, "User-agent: *\nDisallow: /")
    with pytest.raises(KnowledgeError, match=r"leads to no page that may be read.*robots\.txt"):
        web.crawl("/sitemap.xml")
    assert site.paths() == ["/sitemap.xml"]
