"""Reads a folder (or one file) as a source: files are read and hashed, and converted only when they are loaded."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from re import Pattern

from rag.errors import KnowledgeError
from rag.knowledge.loaders.cleaning.page import CleanPage, clean_converted, clean_page
from rag.knowledge.loaders.conversion.converter import Converter
from rag.knowledge.loaders.documents import Candidate, LoadedDocument, Unreadable, fingerprint, printable, reason
from rag.knowledge.loaders.encoding import decode
from rag.knowledge.loaders.files.faq import Part, read_csv, read_jsonl
from rag.knowledge.loaders.files.walk import matcher, walk
from rag.knowledge.loaders.git.ignored import ignored_by_git
from rag.knowledge.loaders.kinds import READ, Kind, kind_of, largest
from rag.knowledge.loaders.pages import first_heading, language_of, link, title_of
from rag.knowledge.loaders.plain import plain
from rag.language import LANGUAGES
from rag.settings import SourceSettings
from rag.text.characters import normalized


def read_folder(
    source: SourceSettings, folder: Path, *, converter: Converter | None = None
) -> Iterator[Candidate | Unreadable]:
    """All documents of a folder, or of one file, in the order of paths. Blocks.

    Raises ``KnowledgeError`` when the folder as a whole cannot be read.
    """
    converter = converter or Converter()
    try:
        if folder.is_file():
            yield from _FolderReader(source=source, root=folder.parent, converter=converter).file(folder.name)
            return
        if not folder.is_dir():
            raise KnowledgeError(
                f"knowledge.sources: path of {source.name!r} is {folder}, which does not exist; correct the path, or "
                "remove the source"
            )
        reader = _FolderReader(source=source, root=folder, converter=converter)
        yield from reader.folder(_pattern(source))
    finally:
        converter.close()


def _pattern(source: SourceSettings) -> Pattern[str]:
    try:
        return matcher(source.glob or "**/*")
    except (ValueError, re.error) as error:
        raise KnowledgeError(
            f"knowledge.sources: glob of {source.name!r} is {source.glob!r}: {error}; write for example **/*.md"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _FolderReader:
    """Converts the files below one folder to documents of one source."""

    source: SourceSettings
    root: Path
    converter: Converter

    def folder(self, pattern: Pattern[str]) -> Iterator[Candidate | Unreadable]:
        for relative, obstacle in walk(self.root, ignored_by_git(self.root)):
            if obstacle:
                yield self._unreadable(relative, obstacle)
            elif pattern.fullmatch(relative) and self._is_selected(relative):
                yield from self.file(relative)

    def file(self, relative: str) -> Iterator[Candidate | Unreadable]:
        """The candidates of one file, usually one. An error makes this file unreadable and no other."""
        try:
            yield from self._candidates(relative)
        except Exception as error:  # noqa: BLE001 - a loop of links or a parser's limit concerns this file only
            yield self._unreadable(relative, reason(error))

    def _is_selected(self, relative: str) -> bool:
        """Whether a file is reported at all: other kinds are skipped silently, unless the glob names their ending."""
        suffix = PurePosixPath(relative).suffix
        return kind_of(PurePosixPath(relative)) is not None or (suffix != "" and self.source.glob.endswith(suffix))

    def _unreadable(self, relative: str, why: str) -> Unreadable:
        return Unreadable(
            path=printable(str(self.root / relative)), reason=why, document=printable(f"{self.source.name}/{relative}")
        )

    def _candidates(self, relative: str) -> Iterator[Candidate]:
        if printable(relative) != relative:
            raise KnowledgeError("has a name that is not UTF-8; rename it")
        path, kind = os.path.join(self.root, relative), kind_of(PurePosixPath(relative))  # noqa: PTH118 - see below
        # Strings instead of Path objects, and resolve() only for links: this runs for every file at each sync.
        if os.path.islink(path) and not Path(path).resolve().is_relative_to(self.root.resolve()):  # noqa: PTH114
            raise KnowledgeError("is a link that leaves the source's folder")
        content = read(path, kind)
        if kind is None:
            raise KnowledgeError(f"is of a kind that is not read; read are {READ}")
        digest = hashlib.sha256(content).digest()
        if kind in ("csv", "jsonl"):
            yield from (self._part(relative, part) for part in _parts(kind, content))
            return
        yield Candidate(
            document=f"{self.source.name}/{relative}",
            fingerprint=fingerprint(self.source, digest, relative),
            load=lambda: self._page(relative, kind, digest),
        )

    def _part(self, relative: str, part: Part) -> Candidate:
        """The candidate of one part. A FAQ is parsed already here, because its content decides how many documents it has."""
        document = f"{self.source.name}/{relative}" + (f"/{part.name}" if part.name else "")
        facts = (part.title, part.url, part.language)

        def load() -> LoadedDocument:
            page = clean_page(part.markdown)
            return self._document(relative, page, document=document, part=part)

        return Candidate(
            document=document,
            fingerprint=fingerprint(self.source, part.markdown.encode(), relative, *facts),
            load=load,
        )

    def _page(self, relative: str, kind: Kind, digest: bytes) -> LoadedDocument:
        content = read(self.root / relative, kind)
        if hashlib.sha256(content).digest() != digest:  # the index would store it with the old fingerprint
            raise KnowledgeError("changed while it was read; the next sync reads it")
        page = self._convert(kind, content, mdx=relative.endswith(".mdx"))
        return self._document(relative, page, document=f"{self.source.name}/{relative}")

    def _convert(self, kind: Kind, content: bytes, *, mdx: bool) -> CleanPage:
        """Title and Markdown of a file; the title is "" if the file's name must serve as one."""
        if kind == "markdown":
            page = clean_page(decode(content), mdx=mdx)
            return page if page.title else replace(page, title=first_heading(page.markdown))
        if kind == "text":
            markdown = clean_converted(plain(decode(content)))
            return CleanPage(markdown=markdown, title=first_heading(markdown))
        result = self.converter.convert(kind, content)
        markdown = clean_converted(result.markdown)
        return CleanPage(
            markdown=markdown, title=first_heading(markdown) or normalized(result.title), missing=result.missing
        )

    def _document(
        self,
        relative: str,
        page: CleanPage,
        *,
        document: str,
        part: Part | None = None,
    ) -> LoadedDocument:
        path = PurePosixPath(relative)
        keep_suffix = kind_of(path) != "markdown"
        declared = part.language.lower()[:2] if part and part.language.lower()[:2] in LANGUAGES else None
        return LoadedDocument(
            id=document,
            source=self.source.name,
            title=(part and part.title) or page.title or normalized(title_of(path)),
            url=(part and part.url) or link(self.source.base_url, path, keep_suffix=keep_suffix),
            markdown=page.markdown,
            language=self.source.language or declared or language_of(path.parts[:-1], page.markdown),
            audience=self.source.audience,
            tenant=self.source.tenant,
            missing=page.missing,
            updated_at=page.date,
        )


def read(path: str | Path, kind: Kind | None) -> bytes:
    """The content of a regular file. Raises ``KnowledgeError`` for others, and for an empty or too large file."""
    limit = largest(kind)
    descriptor = os.open(
        path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    )  # O_NONBLOCK: opening a named pipe would wait for ever
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KnowledgeError("is no regular file")
        if status.st_size > limit:
            raise KnowledgeError(f"has {status.st_size / 1e6:.1f} MB; at most {limit // 1_000_000} MB are read")
        content = file.read(limit)
    if not content or content.isspace():
        raise KnowledgeError("is empty; fill it, or remove it")
    return content


def _parts(kind: Kind, content: bytes) -> list[Part]:
    text = decode(content)
    return read_csv(text) if kind == "csv" else read_jsonl(text)
