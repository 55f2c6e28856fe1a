"""Sites that are broken or mean harm: one clear line each, nothing outside is touched, and the other pages are read."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.errors import KnowledgeError
from rag.knowledge.loaders.web.fetching import unpack
from tests.loopback.site import HTML, LoopbackSite, Page
from tests.rag.crawling import PARAGRAPH, Crawler, page


@pytest.fixture
def site() -> Iterator[LoopbackSite]:
    with LoopbackSite() as site:
        site.html("/", page("Start", "/bad", "/good"))
        site.html("/good", page("Good"))
        yield site


@pytest.fixture
def web(site: LoopbackSite, tmp_path: Path) -> Crawler:
    return Crawler(site, tmp_path / "cache")


@pytest.fixture
def other() -> Iterator[LoopbackSite]:
    """Another service on this machine, which no page may make the crawler ask."""
    with LoopbackSite() as other:
        other.otherwise = lambda _: Page(body=b"<html><body>Internal.</body></html>", headers={"Content-Type": HTML})
        yield other


def only_the_bad_one_is_left_out(web: Crawler, reason: str) -> None:
    found = web.crawl()
    assert found.ids == ["kb/", "kb/good"]
    assert reason in found.reasons["kb/bad"]


def test_links_to_other_hosts_and_ports_are_never_asked(site: LoopbackSite, web: Crawler, other: LoopbackSite) -> None:
    port = other.url.rpartition(":")[2]
    links = [other.url, f"//127.0.0.1:{port}/x", f"http://localhost:{port}/", f"http://127.1:{port}/"]
    links += [
        f"http://{site.url[7:]}@127.0.0.1:{port}/",
        f"http://[::ffff:127.0.0.1]:{port}/",
        f"http:\\\\127.0.0.1:{port}/",
    ]
    links += [
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "javascript:alert(1)",
    ]
    site.html("/", page("Start", "/good", *links))
    assert web.crawl().ids == ["kb/", "kb/good"]
    assert not other.asked


def test_a_redirect_to_another_service_is_not_followed(site: LoopbackSite, web: Crawler, other: LoopbackSite) -> None:
    web.crawl()
    site.html("/bad", page("Bad"))
    web.crawl()
    site.move("/bad", f"{other.url}/admin", 302)
    only_the_bad_one_is_left_out(web, "which is not of this source")
    assert not other.asked


def test_a_start_page_or_robots_txt_that_leads_elsewhere_is_an_error(
    site: LoopbackSite, web: Crawler, other: LoopbackSite
) -> None:
    site.move("/", other.url)
    with pytest.raises(KnowledgeError, match="another site; name that one if you mean it"):
        web.crawl()
    site.move("/robots.txt", f"{other.url}/robots.txt")
    with pytest.raises(KnowledgeError, match=r"robots\.txt leads to .* another site"):
        web.crawl()
    assert not other.asked


def test_a_sitemap_names_no_page_and_no_part_of_another_service(
    site: LoopbackSite, web: Crawler, other: LoopbackSite
) -> None:
    site.sitemap("/one.xml", "/good", f"{other.url}/page")
    site.sitemap("/index.xml", "/one.xml", f"{other.url}/two.xml", index=True)
    assert web.crawl("/index.xml").ids == ["kb/good"]
    assert "/two.xml" not in site.paths()
    assert not other.asked


def test_a_base_element_does_not_lead_out_of_the_site(site: LoopbackSite, web: Crawler, other: LoopbackSite) -> None:
    site.html("/", page("Start", "good"), head=f'<base href="{other.url}/">')
    assert web.crawl().ids == ["kb/"]
    assert not other.asked


@pytest.mark.parametrize("target", ["/bad", "/bad2"])
def test_a_redirect_loop_ends_with_a_line(site: LoopbackSite, web: Crawler, target: str) -> None:
    site.html("/bad", page("Bad"))
    web.crawl()
    site.move("/bad", target)
    site.move("/bad2", "/bad")
    found = web.crawl()
    assert found.ids == ["kb/", "kb/good"]
    assert site.paths().count("/bad") == 2


def test_redirects_without_end_end_with_a_line(site: LoopbackSite, web: Crawler) -> None:
    site.put("/robots.txt", kind="text/plain")
    site.otherwise = lambda asked: Page(status=302, headers={"Location": asked.path + "x"})
    found = web.crawl()
    assert found.ids == ["kb/", "kb/good"]
    assert found.reasons == {"kb/badxxxxx": "leads on without end; correct its redirect"}


def test_a_start_page_that_redirects_without_end_is_an_error(site: LoopbackSite, web: Crawler) -> None:
    site.move("/", "/")
    with pytest.raises(KnowledgeError, match="leads on more than 5 times"):
        web.crawl()


def test_a_page_that_is_too_large_is_left_before_its_end(site: LoopbackSite, web: Crawler) -> None:
    site.put("/bad", b"<p>" + b"word " * 2_100_000)
    only_the_bad_one_is_left_out(web, "has more than 10 MB")


def test_a_decompression_bomb_is_not_unpacked(site: LoopbackSite, web: Crawler) -> None:
    site.put("/bad", gzip.compress(bytes(200_000_000), 9), Content_Encoding="gzip")
    only_the_bad_one_is_left_out(web, "has more than 10 MB")


def test_what_is_not_unpacked_takes_no_memory() -> None:
    bomb = gzip.compress(bytes(200_000_000), 9)
    tracemalloc.start()
    with pytest.raises(KnowledgeError, match="has more than 10 MB"):
        list(unpack([bomb], 10_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000_000


def test_packing_that_nobody_asked_for_is_refused(site: LoopbackSite, web: Crawler) -> None:
    site.put("/bad", b"\x1b\x00\x00", Content_Encoding="br")
    only_the_bad_one_is_left_out(web, "is packed with br")


@pytest.mark.parametrize("body", [b"no gzip at all", gzip.compress(b"<p>Hello</p>" * 100, mtime=0)[:-20], b""])
def test_damaged_packing_is_one_line(site: LoopbackSite, web: Crawler, body: bytes) -> None:
    site.put("/bad", body, Content_Encoding="gzip")
    only_the_bad_one_is_left_out(web, "is damaged gzip")


def test_packed_pages_are_read(site: LoopbackSite, web: Crawler) -> None:
    site.put("/bad", gzip.compress(page("Packed").encode()), Content_Encoding="gzip")
    assert web.crawl().load("kb/bad").title == "Packed"


def test_a_page_that_drips_is_given_up_after_its_time(site: LoopbackSite, web: Crawler) -> None:
    site.pages["/bad"] = Page(body=b"x" * 100_000, headers={"Content-Type": HTML}, drip=2)
    started = site.clock.now()
    only_the_bad_one_is_left_out(web, "did not answer in time")
    assert site.clock.now() > started + 30


def test_headers_that_drip_are_given_up_too(site: LoopbackSite, web: Crawler) -> None:
    site.pages["/bad"] = Page(headers={"X-Slow": "x" * 90_000}, drip=2)
    only_the_bad_one_is_left_out(web, "did not answer in time")


def test_an_answer_that_breaks_off_is_one_line(site: LoopbackSite, web: Crawler) -> None:
    site.pages["/bad"] = Page(body=b"<p>Hel", headers={"Content-Type": HTML}, unfinished=True)
    only_the_bad_one_is_left_out(web, "cannot be reached")


def test_headers_without_end_are_one_line(site: LoopbackSite, web: Crawler) -> None:
    site.pages["/bad"] = Page(headers={"X-Long": "x" * 300_000})
    only_the_bad_one_is_left_out(web, "cannot be reached")


def test_an_answer_that_claims_nothing_changed_to_a_first_question_is_one_line(
    site: LoopbackSite, web: Crawler
) -> None:
    site.put("/bad", status=304)
    only_the_bad_one_is_left_out(web, "answers 304")


@pytest.mark.parametrize("link", ["/{}x/", "/{}?month=1", "{}/sub/"])
def test_link_spaces_without_end_are_bounded_and_real_pages_come_first(
    site: LoopbackSite, web: Crawler, link: str
) -> None:
    def trap(asked: object) -> Page:
        path = str(getattr(asked, "path", ""))
        text = page(f"Trap {len(site.asked)}", link.format(path.rstrip("/").lstrip("/") or "calendar"), path + "&m=1")
        return Page(body=text.encode(), headers={"Content-Type": HTML})

    site.html("/", page("Start", "/calendar", "/good"))
    site.otherwise = lambda asked: Page(status=404) if asked.path == "/robots.txt" else trap(asked)
    found = web.crawl(pages=200)
    assert "kb/good" in found.ids[:3]
    assert len(site.paths()) <= 200


def test_a_page_with_ever_so_many_links_fills_neither_memory_nor_time(site: LoopbackSite, web: Crawler) -> None:
    links = "".join(f'<a href="/{number}">x</a>' for number in range(200_000))
    site.html("/", page("Start", "/good") + links)
    found = web.crawl(pages=10)
    assert len(site.paths()) <= 40
    assert "more than 10 pages" in found.reasons["kb/#rest"]


def test_a_page_that_is_all_script_is_one_line(site: LoopbackSite, web: Crawler) -> None:
    site.html("/bad", '<div id="app"></div><script>render()</script>')
    found = web.crawl()
    with pytest.raises(KnowledgeError, match="JavaScript"):
        found.load("kb/bad")
    assert found.load("kb/good").title == "Good"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html; charset=utf-8", "<h1>Café</h1>".encode("latin-1")),
        ("text/html; charset=no-such-thing", "<h1>Café</h1>".encode()),
        ("text/html; charset=base64", "<h1>Café</h1>".encode()),
        ("text/html", '<meta charset="iso-8859-1"><h1>Café</h1>'.encode("cp1252")),
        ("text/html", "\ufeff<h1>Café</h1>".encode("utf-16")),
        ("text/html", '<?xml version="1.0" encoding="utf-8"?><h1>Café</h1>'.encode()),
    ],
)
def test_wrong_and_strange_encodings_are_read(site: LoopbackSite, web: Crawler, kind: str, body: bytes) -> None:
    encoding = "utf-16-le" if b"\x00" in body else "ascii"
    site.put("/bad", body + PARAGRAPH.encode(encoding), kind=kind)
    found = web.crawl()
    assert not found.unreadable
    assert found.load("kb/bad").title == "Café"


def test_html_without_end_tags_nested_without_end_is_read_or_named(site: LoopbackSite, web: Crawler) -> None:
    site.put("/bad", b"<div>" * 200_000 + b"deep")
    found = web.crawl()
    assert "kb/good" in found.ids
    assert ("kb/bad" in found.ids) != ("kb/bad" in found.reasons)


BOMB = """<?xml version="1.0"?><!DOCTYPE urlset [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>&b;</loc></url></urlset>"""
FILE = """<?xml version="1.0"?><!DOCTYPE urlset [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<urlset><url><loc>http://127.0.0.1/&a;</loc></url></urlset>"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (BOMB, "declares a document type"),
        (FILE, "declares a document type"),
        ("<urlset><url><loc>", "is no valid XML"),
        ('<?xml version="1.0" encoding="nonsense"?><urlset/>', "is no valid XML|has an encoding"),
        ("<rss><channel/></rss>", "is no sitemap but <rss>"),
        ("", "is no valid XML"),
        ("<urlset></urlset>", "leads to no page"),
        (gzip.compress(bytes(100_000_000), 9), "has more than 50 MB|is no valid XML"),
        (gzip.compress(b"<urlset></urlset>", mtime=0)[:-3], "is damaged gzip"),
    ],
)
def test_a_bad_sitemap_fails_the_source_with_its_reason(
    site: LoopbackSite, web: Crawler, body: str | bytes, reason: str
) -> None:
    site.put("/sitemap.xml", body, kind="application/xml")
    with pytest.raises(KnowledgeError, match=reason):
        web.crawl("/sitemap.xml")


def test_an_index_that_names_itself_is_an_error(site: LoopbackSite, web: Crawler) -> None:
    site.sitemap("/index.xml", "/index.xml", index=True)
    with pytest.raises(KnowledgeError, match="an index within an index"):
        web.crawl("/index.xml")


def test_addresses_in_a_sitemap_that_are_none_are_passed_over(site: LoopbackSite, web: Crawler) -> None:
    site.sitemap(
        "/sitemap.xml", "http://[::1", "http://127.0.0.1:99999/", "javascript:x", "x" * 4000, "/good|not a date"
    )
    found = web.crawl("/sitemap.xml")
    assert found.ids == ["kb/good"]


def test_a_robots_txt_without_end_is_an_error(site: LoopbackSite, web: Crawler) -> None:
    site.put("/robots.txt", b"Disallow: /x\n" * 100_000, kind="text/plain")
    with pytest.raises(KnowledgeError, match=r"robots\.txt has more than"):
        web.crawl()
