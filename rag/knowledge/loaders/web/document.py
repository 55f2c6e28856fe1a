"""Converts a fetched page to a document of the source."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from rag.errors import KnowledgeError
from rag.knowledge.loaders import kinds
from rag.knowledge.loaders.cleaning.page import CleanPage, clean_converted, clean_page
from rag.knowledge.loaders.conversion.converter import Converter
from rag.knowledge.loaders.documents import Candidate, LoadedDocument, fingerprint
from rag.knowledge.loaders.encoding import decode_page
from rag.knowledge.loaders.kinds import Kind
from rag.knowledge.loaders.pages import first_heading
from rag.knowledge.loaders.plain import plain
from rag.knowledge.loaders.web.cache import Stored, stored_body
from rag.knowledge.loaders.web.fetching import http_date
from rag.knowledge.loaders.web.page import Facts, charset
from rag.language import LANGUAGES, detect
from rag.settings import SourceSettings
from rag.text.characters import normalized

_OFFICE = "application/vnd.openxmlformats-officedocument"
_KINDS: dict[str, Kind] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/markdown": "markdown",
    "application/pdf": "pdf",
    f"{_OFFICE}.wordprocessingml.document": "docx",
    f"{_OFFICE}.presentationml.presentation": "pptx",
    f"{_OFFICE}.spreadsheetml.sheet": "xlsx",
    "application/vnd.ms-excel": "xls",
}
_BY_NAME = ("text/plain", "application/octet-stream", "")
"""Media types that servers use for unknown files; the name's ending says more."""

_ASSET = re.compile(r"[/+.-](xml|json|javascript|css|calendar|octet-stream|zip|gzip|tar|executable)$")
_FILES = ("csv", "jsonl")
"""Kinds with several documents in one file; only folders support them."""


def document_id(source: SourceSettings, address: str) -> str:
    parts = urlsplit(address)
    return f"{source.name}{parts.path}" + (f"?{parts.query}" if parts.query else "")


def kind_of(page: Stored) -> Kind | None:
    """The kind of a page; None if it is not read."""
    name = media_type(page)
    if name not in _BY_NAME:
        return _KINDS.get(name)
    ending = kinds.kind_of(path_of(page.address))
    if ending in _FILES:
        return None
    return ending or ("text" if name == "text/plain" else None)


def largest(address: str) -> int:
    """The size limit of a page in bytes, by its name's ending."""
    return kinds.largest(kinds.kind_of(path_of(address)))


def path_of(address: str) -> PurePosixPath:
    return PurePosixPath(urlsplit(address).path)


def media_type(page: Stored) -> str:
    return page.kind.partition(";")[0].strip().lower()


def is_asset(page: Stored) -> bool:
    """Whether a page is a picture, feed, archive or the like, which is skipped silently if pages only link to it."""
    name = media_type(page)
    return name.partition("/")[0] in {"image", "audio", "video", "font"} or bool(_ASSET.search(name))


def candidate(
    source: SourceSettings, cache: Path, page: Stored, facts: Facts, updated: datetime | None, converter: Converter
) -> Candidate:
    """The candidate of a page; its bytes are read from the cache when it is loaded. Raises ``KnowledgeError``."""
    kind = kind_of(page)
    if kind is None:
        raise KnowledgeError(
            f"is {media_type(page)[:60] or 'of no known type'}; read are web pages, text, PDF and office files"
        )
    document = _Document(source=source, page=page, kind=kind, language=facts.language, updated=updated)
    return Candidate(
        document=document_id(source, page.address),
        fingerprint=fingerprint(source, facts.content.encode(), page.address, kind, facts.language),
        load=lambda: document.load(stored_body(cache, page.body), converter),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    source: SourceSettings
    page: Stored
    kind: Kind
    language: str
    updated: datetime | None

    def load(self, body: bytes, converter: Converter) -> LoadedDocument:
        page = self._convert(body, converter)
        return LoadedDocument(
            id=document_id(self.source, self.page.address),
            source=self.source.name,
            title=page.title or normalized(_title_from(self.page.address)),
            url=self.page.address,
            markdown=page.markdown,
            language=self.source.language or self._declared_language() or detect(page.markdown),
            audience=self.source.audience,
            tenant=self.source.tenant,
            missing=page.missing,
            updated_at=page.date or self.updated or http_date(self.page.modified),
        )

    def _convert(self, body: bytes, converter: Converter) -> CleanPage:
        if self.kind == "markdown":
            page = clean_page(
                decode_page(body, charset(self.page.kind)), mdx=path_of(self.page.address).suffix == ".mdx"
            )
            return page if page.title else replace(page, title=first_heading(page.markdown))
        if self.kind == "text":
            return CleanPage(markdown=clean_converted(plain(decode_page(body, charset(self.page.kind)))))
        result = converter.convert(self.kind, body, url=self.page.address, charset=charset(self.page.kind))
        markdown = clean_converted(result.markdown)
        return CleanPage(
            markdown=markdown, title=first_heading(markdown) or normalized(result.title), missing=result.missing
        )

    def _declared_language(self) -> str | None:
        code = self.language.lower().replace("_", "-").partition("-")[0]
        return code if code in LANGUAGES else None


def _title_from(address: str) -> str:
    parts = urlsplit(address)
    name = PurePosixPath(unquote(parts.path)).stem or parts.hostname or address
    return name.replace("-", " ").replace("_", " ")
