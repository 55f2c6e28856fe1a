"""A web site as a source, from a start page and from a sitemap."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rag.errors import KnowledgeError
from rag.knowledge.loaders.sources import discover
from rag.knowledge.loaders.web.crawl import crawl
from rag.settings import SourceSettings
from tests.loopback.site import Asked, LoopbackSite, Page
from tests.rag.crawling import Crawler, page
from tests.rag.files import pdf


@pytest.fixture
def site() -> Iterator[LoopbackSite]:
    with LoopbackSite() as site:
        yield site


@pytest.fixture
def web(site: LoopbackSite, tmp_path: Path) -> Crawler:
    return Crawler(site, tmp_path / "cache")


def small_site(site: LoopbackSite) -> None:
    site.html("/docs/", page("Start", "a.html", "b.html?utm_source=mail#part", "/blog/", "https://example.com/x"))
    site.html("/docs/a.html", page("Answers", "b.html", "./deep/c.html"))
    site.html("/docs/b.html", page("Basics", "a.html#top"))
    site.html("/docs/deep/c.html", page("Corners"))
    site.html("/blog/", page("Blog"))


def test_a_start_page_leads_breadth_first_to_what_lies_below_it(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    found = web.crawl("/docs/")
    assert found.ids == ["kb/docs/", "kb/docs/a.html", "kb/docs/b.html", "kb/docs/deep/c.html"]
    assert site.paths() == ["/docs/", "/docs/a.html", "/docs/b.html", "/docs/deep/c.html"]
    assert not found.unreadable


def test_a_page_becomes_markdown_with_title_link_language_anchors_and_time(site: LoopbackSite, web: Crawler) -> None:
    text = (
        '<main><h1>Guía</h1><h2 id="horas">Horario</h2><p>Abrimos a las nueve de la mañana todos los días.</p></main>'
    )
    site.html("/gu%C3%ADa.html", text, html='<html lang="es-ES">', Last_Modified="Wed, 21 Oct 2026 07:28:00 GMT")
    document = web.crawl("/guía.html?utm_campaign=x").load("kb/gu%C3%ADa.html")
    assert (document.title, document.language, document.source) == ("Guía", "es", "kb")
    assert document.url == f"{site.url}/gu%C3%ADa.html"
    assert "## Horario {#horas}" in document.markdown
    assert document.updated_at == datetime(2026, 10, 21, 7, 28, tzinfo=UTC)


def test_a_language_that_is_not_supported_is_detected_from_the_text(site: LoopbackSite, web: Crawler) -> None:
    site.html("/", page("Start"), html='<html lang="xx">')
    assert web.crawl().load("kb/").language == "en"


def test_a_sitemap_names_the_pages_their_order_and_their_times(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    site.sitemap(
        "/sitemap.xml", "/docs/b.html|2026-03-01", "/docs/a.html", "/blog/?utm_medium=feed", "https://example.com/x"
    )
    found = web.crawl("/sitemap.xml")
    assert found.ids == ["kb/docs/b.html", "kb/docs/a.html", "kb/blog/"]
    assert found.load("kb/docs/b.html").updated_at == datetime(2026, 3, 1, tzinfo=UTC)
    assert found.load("kb/docs/a.html").updated_at is None


def test_an_index_of_packed_sitemaps_is_read_part_by_part(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    site.sitemap("/one.xml.gz", "/docs/a.html", packed=True)
    site.sitemap("/two.xml", "/docs/b.html")
    site.sitemap("/index.xml", "/one.xml.gz", "/two.xml", "/retired.xml", "https://example.com/s.xml", index=True)
    assert web.crawl("/index.xml").ids == ["kb/docs/a.html", "kb/docs/b.html"]


def test_only_as_many_pages_as_set_are_read_and_the_rest_is_said(site: LoopbackSite, web: Crawler) -> None:
    site.html("/", page("Start", *(f"/{number}" for number in range(30))))
    for number in range(30):
        site.html(f"/{number}", page(f"Number {number}"))
    found = web.crawl(pages=5)
    assert len(found.ids) == 5
    assert "more than 5 pages" in found.reasons["kb/#rest"]
    assert len(site.paths()) == 5


def test_globs_choose_pages_and_the_start_page_leads_on_all_the_same(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    site.html("/docs/deep/old.html", page("Old"))
    site.html("/docs/", page("Start", "deep/c.html", "a.html", "deep/old.html"))
    found = web.crawl("/docs/", include=("/docs/deep/*",), exclude=("*/old*",))
    assert found.ids == ["kb/docs/deep/c.html"]
    assert site.paths() == ["/docs/", "/docs/deep/c.html"]


def test_an_unchanged_site_is_asked_only_under_conditions_and_gives_the_same(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    site.put("/robots.txt", "User-agent: *\nAllow: /", kind="text/plain")
    first = web.crawl("/docs/")
    with site.counted() as again:
        second = web.crawl("/docs/")
    assert second.fingerprints == first.fingerprints
    assert len(again) == 5
    assert all("if-none-match" in each.headers for each in again)
    assert second.load("kb/docs/a.html").markdown == first.load("kb/docs/a.html").markdown


def test_a_changed_page_gets_another_fingerprint_and_only_that_one(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    first = web.crawl("/docs/")
    site.html("/docs/a.html", page("Answers, new", "b.html", "./deep/c.html"))
    second = web.crawl("/docs/")
    assert {each for each in second.ids if second.fingerprints[each] != first.fingerprints[each]} == {"kb/docs/a.html"}
    assert "Answers, new" in second.load("kb/docs/a.html").markdown


def test_a_fresh_token_in_a_page_without_validators_is_no_change(site: LoopbackSite, web: Crawler) -> None:
    def answer(token: int) -> Page:
        head = f'<meta name="csrf" content="{token}"><script nonce="{token}">let a = {token};</script><!-- {token} -->'
        body = f"<html><head>{head}</head><body>{page('Start')}<input type=hidden value={token}></body></html>"
        return Page(body=body.encode(), headers={"Content-Type": "text/html"}, validators=False)

    site.pages["/"] = lambda _: answer(len(site.asked))
    first, second = web.crawl(), web.crawl()
    assert second.fingerprints == first.fingerprints


def test_settings_that_a_document_carries_change_its_fingerprint(site: LoopbackSite, web: Crawler) -> None:
    site.html("/", page("Start"))
    first, second = web.crawl(), web.crawl(audience="employees")
    assert first.fingerprints != second.fingerprints
    assert second.load("kb/").audience == "employees"


def test_a_page_that_answers_404_has_vanished_without_a_word(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    web.crawl("/docs/")
    site.put("/docs/b.html", status=410)
    found = web.crawl("/docs/")
    assert found.ids == ["kb/docs/", "kb/docs/a.html", "kb/docs/deep/c.html"]
    assert not found.unreadable


def test_a_page_that_fails_stays_and_so_does_what_only_it_leads_to(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    web.crawl("/docs/")
    site.put("/docs/a.html", status=500)
    for _ in range(2):
        found = web.crawl("/docs/")
        assert found.ids == ["kb/docs/", "kb/docs/b.html", "kb/docs/deep/c.html"]
        assert "answers 500" in found.reasons["kb/docs/a.html"]


def test_a_site_that_stops_answering_fails_as_a_whole(site: LoopbackSite, web: Crawler) -> None:
    names = [f"/{number}.html" for number in range(20)]
    site.html("/", page("Start", *names))
    for name in names:
        site.put(name, status=502)
    with pytest.raises(KnowledgeError, match="5 pages in a row did not answer"):
        web.crawl()
    assert len(site.paths()) == 6


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_start_page_that_is_not_there_fails_the_source(site: LoopbackSite, web: Crawler, status: int) -> None:
    site.put("/docs/", status=status)
    with pytest.raises(KnowledgeError, match=f"/docs/ answers {status}"):
        web.crawl("/docs/")


def test_a_part_of_a_sitemap_that_fails_fails_the_source_before_any_page_is_read(
    site: LoopbackSite, web: Crawler
) -> None:
    small_site(site)
    site.sitemap("/one.xml", "/docs/a.html")
    site.put("/two.xml", status=503)
    site.sitemap("/index.xml", "/one.xml", "/two.xml", index=True)
    with pytest.raises(KnowledgeError, match=r"two\.xml answers 503"):
        web.crawl("/index.xml")
    assert "/docs/a.html" not in site.paths()


def test_copies_are_read_once_by_the_address_that_they_name(site: LoopbackSite, web: Crawler) -> None:
    site.html("/", page("Start", "/print/a", "/a", "/b?session=1", "/b?session=2"))
    site.html("/print/a", page("Answers"), head='<link rel="canonical" href="/a">')
    site.html("/a", page("Answers"), head='<link rel="canonical" href="/a?utm_source=self">')
    for session in "12":
        site.html(f"/b?session={session}", page("Basics"), head='<link rel=canonical href="/b">')
    site.html("/b", page("Basics"))
    assert web.crawl().ids == ["kb/", "kb/a", "kb/b"]


def test_a_copy_whose_original_is_missing_is_read_itself(site: LoopbackSite, web: Crawler) -> None:
    site.html("/", page("Start", "/copy", "/elsewhere"))
    site.html("/copy", page("Copy"), head='<link rel="canonical" href="/gone">')
    site.html("/elsewhere", page("Elsewhere"), head='<link rel="canonical" href="https://example.com/original">')
    assert web.crawl().ids == ["kb/", "kb/elsewhere", "kb/copy"]


def test_the_same_text_at_two_addresses_is_one_document(site: LoopbackSite, web: Crawler) -> None:
    site.html("/docs/", page("Start", "/docs/index.html"))
    site.html("/docs/index.html", page("Start", "/docs/index.html"))
    assert web.crawl("/docs/").ids == ["kb/docs/"]


def test_a_redirect_leads_to_the_page_which_is_read_once(site: LoopbackSite, web: Crawler) -> None:
    site.move("/", "/docs/")
    site.html("/docs/", page("Start", "old", "new"))
    site.move("/docs/old", "/docs/new")
    site.html("/docs/new", page("New"))
    found = web.crawl("/")
    assert found.ids == ["kb/docs/", "kb/docs/new"]
    assert site.paths().count("/docs/new") == 1


def test_other_kinds_of_files_are_read_by_type_and_the_rest_is_named_or_passed_over(
    site: LoopbackSite, web: Crawler
) -> None:
    site.html("/", page("Start", "/notes.txt", "/read.md", "/clip.mp4", "/logo", "/program", "/old.doc"))
    site.put("/notes.txt", "Bring your own cup.", kind="text/plain")
    site.put("/read.md", "# Read me\n\nThis is *Markdown*.", kind="text/markdown")
    site.put("/logo", b"\x89PNG", kind="image/png")
    site.put("/program", b"\x7fELF", kind="application/x-executable")
    site.put("/old.doc", b"\xd0\xcf", kind="application/msword")
    found = web.crawl()
    assert found.ids == ["kb/", "kb/notes.txt", "kb/read.md"]
    assert found.load("kb/read.md").title == "Read me"
    assert "/clip.mp4" not in site.paths()
    assert list(found.reasons) == ["kb/old.doc"]
    assert "is application/msword" in found.reasons["kb/old.doc"]


def test_a_pdf_among_the_pages_is_converted(site: LoopbackSite, web: Crawler) -> None:
    site.html("/", page("Start", "/handbook.pdf"))
    site.put("/handbook.pdf", pdf("The hotel costs 120 euros a night."), kind="application/pdf")
    document = web.crawl().load("kb/handbook.pdf")
    assert "The hotel costs 120 euros a night." in document.markdown
    assert document.url == f"{site.url}/handbook.pdf"


def test_a_listed_address_of_a_kind_that_is_not_read_is_named(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    site.sitemap("/sitemap.xml", "/program", "/docs/a.html")
    site.put("/program", b"\x7fELF", kind="application/x-executable")
    found = web.crawl("/sitemap.xml")
    assert "is application/x-executable" in found.reasons["kb/program"]
    assert found.ids == ["kb/docs/a.html"]


def test_an_interrupted_crawl_leaves_the_pages_that_it_read(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    source = SourceSettings(name="kb", url=f"{site.url}/docs/")
    begun = crawl(source, web.cache, clock=site.clock)
    next(begun), next(begun)
    begun.close()  # type: ignore[attr-defined]
    with site.counted() as again:
        assert len(web.crawl("/docs/").ids) == 4
    assert [each.path for each in again if "if-none-match" in each.headers] == ["/docs/", "/docs/a.html"]


CHILD = """
import sys
from pathlib import Path
from rag.knowledge.loaders.sources import discover
from rag.settings import SourceSettings
print(len(list(discover(SourceSettings(name="kb", url=sys.argv[1], rate=100), Path(sys.argv[2])))))
"""


def test_a_crawler_that_is_killed_leaves_the_pages_that_it_read(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    last = site.pages["/docs/b.html"]
    assert isinstance(last, Page)

    def kill(_: Asked) -> Page:
        child.kill()
        return last

    site.pages["/docs/b.html"] = kill
    with subprocess.Popen([sys.executable, "-c", CHILD, f"{site.url}/docs/", str(web.cache)]) as child:
        assert child.wait() == -signal.SIGKILL
    site.pages["/docs/b.html"] = last
    with site.counted() as again:
        assert len(web.crawl("/docs/").ids) == 4
    assert [each.path for each in again if "if-none-match" in each.headers] == ["/docs/", "/docs/a.html"]


def test_a_damaged_cache_is_begun_anew(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    first = web.crawl("/docs/")
    (web.cache / "web.sqlite").write_bytes(b"this is no database at all" * 500)
    assert web.crawl("/docs/").fingerprints == first.fingerprints


def test_a_document_is_loaded_in_another_thread_after_the_crawl(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    found = web.crawl("/docs/")
    titles: list[str] = []
    thread = threading.Thread(target=lambda: titles.append(found.load("kb/docs/a.html").title))
    thread.start()
    thread.join()
    assert titles == ["Answers"]


def test_a_document_whose_cache_was_removed_says_what_to_do(site: LoopbackSite, web: Crawler) -> None:
    small_site(site)
    found = web.crawl("/docs/")
    (web.cache / "web.sqlite").unlink()
    with pytest.raises(KnowledgeError, match="sync again"):
        found.load("kb/docs/a.html")


def test_pages_that_vanished_leave_the_cache(site: LoopbackSite, web: Crawler) -> None:
    site.html("/", page("Start", "/secret"))
    site.html("/secret", page("Zanzibar"))
    web.crawl()
    site.html("/", page("Start"))
    web.crawl()
    site.html("/", page("Start", "/secret"))
    with site.counted() as again:
        web.crawl()
    assert "/secret" not in [each.path for each in again if "if-none-match" in each.headers]


def test_a_source_with_a_url_is_discovered_as_a_site(site: LoopbackSite, tmp_path: Path) -> None:
    site.html("/", page("Start"))
    (found,) = discover(SourceSettings(name="kb", url=site.url, rate=100), tmp_path / "cache")
    assert getattr(found, "document", "") == "kb/"


@pytest.mark.parametrize("url", ["ftp://example.com/", "example.com", "http://", "http://name:word@127.0.0.1/"])
def test_an_address_that_cannot_be_crawled_is_said_with_what_to_write(web: Crawler, url: str) -> None:
    source = SourceSettings(name="kb", url=url)
    with pytest.raises(KnowledgeError, match=r"url of source 'kb'") as caught:
        list(crawl(source, web.cache, clock=web.site.clock))
    assert "word" not in str(caught.value).replace("password", "")


def test_a_proxy_that_the_environment_names_is_asked(
    site: LoopbackSite, web: Crawler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.setenv("no_proxy", "")
    site.html("http://wiki.test/", page("Behind the proxy"))
    assert web.crawl("http://wiki.test/").load("kb/").title == "Behind the proxy"
    assert [each.path for each in site.asked] == ["http://wiki.test/robots.txt", "http://wiki.test/"]
