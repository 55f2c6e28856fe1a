"""Converts HTML to Markdown, without navigation and other page furniture; runs in the converter's child process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import trafilatura
from bs4 import BeautifulSoup, Tag
from markdownify import ATX, MarkdownConverter

from rag.errors import KnowledgeError
from rag.knowledge.loaders.conversion.structure import prepare
from rag.knowledge.loaders.encoding import decode_page

LEAST_SHARE = 0.3
"""The smallest share of a page's words that its main part may have; a part with less is not the main one."""
_SURROUNDINGS = (
    "script, style, noscript, template, nav, iframe, svg, dialog, [hidden]:not([role=tabpanel]):not([hidden=until-found]), "
    "[aria-hidden=true], [role=navigation], [role=search], [role=contentinfo], input, select, textarea, button, .breadcrumb, .breadcrumbs, "  # noqa: E501
    "#breadcrumb-section, .toc-macro, .page-metadata, .pageSection > .pageSectionHeader, .pageSection > .greybox"
)
_MAIN = (
    "main, [role=main]",
    "article",
    "#main-content",
    "[itemprop=articleBody]",
    ".markdown-body",
    ".entry-content",
    ".post-content",
    "#bodyContent",
    "#content",
)
"""Where pages have their main part, the surest mark first."""
_BOX = re.compile(
    r"admonition|callout|alert|caution|warning|danger|notice|hint|\bnote|\btip\b|\binfo|important|aside|message|infobox|panel|box"
)
"""Classes of boxes within a text; a page's margin has others."""
_MARGIN = re.compile(
    r"sidebar|toc\b|table-of-contents|related|share|social|promo|newsletter|advert|\bads?\b|widget|menu|nav"
)
_PERMALINKS = "a.headerlink, a.anchor, a.anchor-link, a.hash-link, a[aria-label^=Permalink], a[title^=Permalink]"
_Markdownify: Any = MarkdownConverter  # Any: its stubs lack the methods that subclasses override
_HEADINGS = re.compile(r"^h[1-6]$")


def convert(_kind: str, content: bytes, request: Mapping[str, str]) -> tuple[str, str]:
    """The Markdown, and the title in the page's head. Headings keep their ids as ``{#id}``."""
    page = decode_page(content, request.get("charset", ""))
    soup = BeautifulSoup(page, "lxml")
    title = soup.title.get_text() if soup.title else ""
    scripted = soup.find("script") is not None
    _name_headings(soup)
    for element in soup.select(_SURROUNDINGS):
        if element.find_parent("pre") is None or element.name == "button":
            element.decompose()
    _remove_margins(soup)
    prepare(soup)
    markdown = _main(soup, request.get("url", "")) or _extract(soup, request.get("url", ""))
    if not re.search(r"\w", markdown):
        cure = "without JavaScript; save it from a browser" if scripted else "at all; add some"
        raise KnowledgeError(f"has no text {cure}, or leave it out")
    return markdown, title


def _remove_margins(soup: BeautifulSoup) -> None:
    """Removes what stands beside the text (``aside``, small forms); boxes within it, and forms around it, stay."""
    for form in soup.find_all("form"):
        if form.find(("p", "h1", "h2", "h3", "table", "article", "main")) is None and _words(form) < 60:
            form.decompose()
    for aside in soup.find_all("aside"):
        if not aside.decomposed and not _is_box(aside):
            aside.decompose()


def _is_box(aside: Tag) -> bool:
    names = " ".join([*(aside.get("class") or []), str(aside.get("id") or "")]).lower()
    if _MARGIN.search(names.replace("aside", "")):
        return False
    if _BOX.search(names.replace("sidebar", "")) or aside.get("role") in ("note", "doc-tip", "doc-notice", "alert"):
        return True
    linked = sum(len(link.get_text(strip=True)) for link in aside.find_all("a"))
    within = aside.find_parent(("main", "article")) is not None or aside.find_parent(attrs={"role": "main"}) is not None
    return within and linked < 0.5 * len(aside.get_text(strip=True))


def _name_headings(soup: BeautifulSoup) -> None:
    """Stores each heading's anchor in ``data-anchor`` and removes its permalink sign."""
    for heading in soup.find_all(_HEADINGS):
        anchor = _anchor(heading)
        for sign in heading.select(_PERMALINKS):
            sign.decompose()
        if anchor and not re.search(r"[\s{}]", anchor):
            heading["data-anchor"] = anchor


def _anchor(heading: Tag) -> str:
    """A heading's id, or that of an anchor or permalink inside it, or of the section that it opens (Sphinx)."""
    candidates = [heading.get("id"), *(link.get("id") or link.get("name") for link in heading.find_all("a"))]
    candidates += [href[1:] for link in heading.select(_PERMALINKS) if (href := str(link.get("href"))).startswith("#")]
    if (
        isinstance(parent := heading.parent, Tag)
        and parent.name in ("section", "div")
        and parent.find(_HEADINGS) is heading
    ):
        candidates.append(
            parent.get("id") if parent.name == "section" or "section" in (parent.get("class") or []) else None
        )
    return next((str(name) for name in candidates if name), "")


def _main(soup: BeautifulSoup, url: str) -> str:
    """The part that the page marks as its main one, if it has enough of the page's words; else ""."""
    for elements in map(soup.select, _MAIN):
        if len(elements) == 1 and _words(elements[0]) >= LEAST_SHARE * _words(soup.body or soup):
            return markdown_of(elements[0], url)
    return ""


def _extract(soup: BeautifulSoup, url: str) -> str:
    """The main part as trafilatura extracts it, or the whole body if that is too little."""
    for element in soup.select("body > header, body > footer"):
        element.decompose()
    body = soup.body or soup
    text = trafilatura.extract(str(soup), output_format="markdown", include_comments=False, include_formatting=True)
    if not text or _is_too_little(text, body):
        return markdown_of(body, url)
    return "\n".join(_with_anchors(text, soup))


def _is_too_little(text: str, body: Tag) -> bool:
    """Whether too few words or fewer than half of the headings are left, as trafilatura does with short pages."""
    headings = len(re.findall(r"^#+ ", text, re.MULTILINE))
    if text.count("```") < 2 * len(body.find_all("pre")) or (body.find("table") is not None and "|" not in text):
        return True
    return len(re.findall(r"\w+", text)) < LEAST_SHARE * _words(body) or 2 * headings < len(body.find_all(_HEADINGS))


def _with_anchors(text: str, soup: BeautifulSoup) -> Iterator[str]:
    """Adds the anchors, which trafilatura drops: each heading gets that of the next heading with the same words."""
    anchors_by_heading: dict[str, list[str]] = {}
    for heading in soup.find_all(_HEADINGS):
        anchors_by_heading.setdefault(_words_only(heading.get_text()), []).append(str(heading.get("data-anchor", "")))
    for line in text.split("\n"):
        anchors = anchors_by_heading.get(_words_only(line)) if line.startswith("#") else None
        anchor = anchors.pop(0) if anchors else ""
        yield f"{line} {{#{anchor}}}" if anchor else line


def _words_only(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.replace("\\", "")))


def _words(element: Tag) -> int:
    return len(re.findall(r"\w+", element.get_text(" ")))


def markdown_of(element: Tag, url: str = "") -> str:
    """The Markdown of a part of a page; its links are made absolute with ``url``."""
    options = {
        "heading_style": ATX,
        "bullets": "-",
        "escape_underscores": False,
        "table_infer_header": True,
        "page": url,
    }
    converter = _Markdown(**options)
    return re.sub(r"\n{3,}", "\n\n", str(converter.convert_soup(element))).strip()


class _Markdown(_Markdownify):  # type: ignore[misc]
    """markdownify with anchors at headings, absolute links only, and the alternative text of pictures."""

    def escape(self, text: str, parent_tags: set[str]) -> str:
        return re.sub(r"<(?=[A-Za-z/!?])", r"\\<", str(super().escape(text, parent_tags)))

    def convert_hN(self, n: int, el: Tag, text: str, parent_tags: set[str]) -> str:  # noqa: N802 - markdownify's name
        if not text.strip():
            return ""
        anchor = el.get("data-anchor")
        return str(super().convert_hN(n, el, f"{text.strip()} {{#{anchor}}}" if anchor else text, parent_tags))

    def convert_a(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        target = _absolute(self.options["page"], str(el.get("href") or ""))
        if not target or not text.strip():
            return text
        el["href"] = target.replace(" ", "%20")
        return str(super().convert_a(el, text, parent_tags))

    def convert_img(self, el: Tag, text: str, parent_tags: set[str]) -> str:  # noqa: ARG002 - as markdownify calls it
        return str(el.get("alt") or "")

    def convert_pre(self, el: Tag, text: str, parent_tags: set[str]) -> str:  # noqa: ARG002 - as markdownify calls it
        code = el.get_text().strip("\n")
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
        return f"\n\n{fence}{_code_language(el)}\n{code}\n{fence}\n\n" if code.strip() else ""


def _absolute(page: str, href: str) -> str:
    """The absolute address of a link; "" for other schemes than http, https and mailto."""
    try:
        target = urljoin(page, href)
        return target if urlsplit(target).scheme in ("http", "https", "mailto") else ""
    except ValueError:  # an address like http://[
        return ""


def _code_language(pre: Tag) -> str:
    named = (
        pre.get("data-language")
        or pre.get("data-lang")
        or (pre.code and (pre.code.get("data-language") or pre.code.get("data-lang")))
    )
    if named and re.fullmatch(r"[\w+#-]+", str(named)):
        return str(named)
    class_names: list[Any] = [*(pre.get("class") or []), *((pre.code.get("class") or []) if pre.code else [])]
    return next((match[1] for name in class_names if (match := re.match(r"lang(?:uage)?-(\w+)$", str(name)))), "")
