"""A folder as a source, or one file: found, read, hashed, and converted only when it is asked for."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from re import Pattern

from rag.errors import KnowledgeError
from rag.knowledge.loaders.conversion.converter import Converter
from rag.knowledge.loaders.documents import Candidate, LoadedDocument, Unreadable, fingerprint, printable, reason
from rag.knowledge.loaders.encoding import decode
from rag.knowledge.loaders.files.faq import Part, read_csv, read_jsonl
from rag.knowledge.loaders.files.walk import matcher, walk
from rag.knowledge.loaders.git.ignored import ignored_by_git
from rag.knowledge.loaders.kinds import READ, Kind, kind_of, largest
from rag.knowledge.loaders.pages import first_heading, front_matter, language_of, link, title_of
from rag.knowledge.loaders.plain import plain
from rag.language import LANGUAGES
from rag.settings import SourceSettings


def read_folder(
    source: SourceSettings, folder: Path, *, converter: Converter | None = None, updated: datetime | None = None
) -> Iterator[Candidate | Unreadable]:
    """Every document of a folder (or the one file that it is), in the order of paths; blocking.

    ``updated`` is the time of change of all files, where the files' own says nothing. Raises ``KnowledgeError`` when
    the folder as a whole cannot be read.
    """
    converter = converter or Converter()
    try:
        if folder.is_file():
            yield from _Shelf(source=source, root=folder.parent, converter=converter, updated=updated).file(folder.name)
            return
        if not folder.is_dir():
            raise KnowledgeError(
                f"knowledge.sources: path of {source.name!r} is {folder}, which does not exist; correct the path, or "
                "remove the source"
            )
        shelf = _Shelf(source=source, root=folder, converter=converter, updated=updated)
        yield from shelf.folder(_pattern(source))
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
class _Shelf:
    """The files below one folder, as documents of one source."""

    source: SourceSettings
    root: Path
    converter: Converter
    updated: datetime | None

    def folder(self, pattern: Pattern[str]) -> Iterator[Candidate | Unreadable]:
        for relative, obstacle in walk(self.root, ignored_by_git(self.root)):
            if obstacle:
                yield self._unreadable(relative, obstacle)
            elif pattern.fullmatch(relative) and self._is_meant(relative):
                yield from self.file(relative)

    def file(self, relative: str) -> Iterator[Candidate | Unreadable]:
        """One file: usually one candidate; what goes wrong with it concerns no other."""
        try:
            yield from self._candidates(relative)
        except Exception as error:  # noqa: BLE001 - a loop of links, a parser's limit: the other files are read
            yield self._unreadable(relative, reason(error))

    def _is_meant(self, relative: str) -> bool:
        """Files of other kinds are left out without a word, unless the glob names their ending."""
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
        # Strings, not paths, and links looked for before they are followed: this is done for every file at each sync.
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
        """A file of questions is parsed when it is found: what it holds decides how many documents it is."""
        document = f"{self.source.name}/{relative}" + (f"/{part.name}" if part.name else "")
        facts = (part.title, part.url, part.language)

        def load() -> LoadedDocument:
            return self._document(relative, part.markdown, document=document, title=part.title, part=part)

        return Candidate(
            document=document,
            fingerprint=fingerprint(self.source, part.markdown.encode(), relative, *facts),
            load=load,
        )

    def _page(self, relative: str, kind: Kind, digest: bytes) -> LoadedDocument:
        content = read(self.root / relative, kind)
        if hashlib.sha256(content).digest() != digest:
            raise KnowledgeError("changed while it was read; the next sync reads it")
        title, markdown = self._converted(kind, content)
        return self._document(relative, markdown, document=f"{self.source.name}/{relative}", title=title)

    def _converted(self, kind: Kind, content: bytes) -> tuple[str, str]:
        """Title and Markdown; the title is empty where the name of the file must do."""
        if kind == "markdown":
            named, markdown = front_matter(decode(content))
            return named or first_heading(markdown), markdown
        if kind == "text":
            markdown = plain(decode(content))
            return first_heading(markdown), markdown
        converted = self.converter.convert(kind, content)
        return first_heading(converted.markdown) or converted.title, converted.markdown

    def _document(
        self, relative: str, markdown: str, *, document: str, title: str, part: Part | None = None
    ) -> LoadedDocument:
        path = PurePosixPath(relative)
        keep_suffix = kind_of(path) != "markdown"
        declared = part.language.lower()[:2] if part and part.language.lower()[:2] in LANGUAGES else None
        return LoadedDocument(
            id=document,
            source=self.source.name,
            title=title or title_of(path),
            url=(part and part.url) or link(self.source.base_url, path, keep_suffix=keep_suffix),
            markdown=markdown,
            language=self.source.language or declared or language_of(path.parts[:-1], markdown),
            audience=self.source.audience,
            tenant=self.source.tenant,
            updated_at=self.updated or datetime.fromtimestamp((self.root / relative).stat().st_mtime, UTC),
        )


def read(path: str | Path, kind: Kind | None) -> bytes:
    """All of a file. Raises ``KnowledgeError`` for what is none, is empty or is too large (without reading it)."""
    limit = largest(kind)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe would else wait for ever
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise KnowledgeError("is no regular file")
        if found.st_size > limit:
            raise KnowledgeError(f"has {found.st_size / 1e6:.1f} MB; at most {limit // 1_000_000} MB are read")
        content = file.read(limit)
    if not content or content.isspace():
        raise KnowledgeError("is empty; fill it, or remove it")
    return content


def _parts(kind: Kind, content: bytes) -> list[Part]:
    text = decode(content)
    return read_csv(text) if kind == "csv" else read_jsonl(text)
