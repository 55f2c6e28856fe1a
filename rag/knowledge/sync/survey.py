"""Compares a source with the index: which documents are unchanged, changed, unreadable or gone."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Set
from dataclasses import dataclass, field
from time import perf_counter

from rag.errors import KnowledgeError
from rag.knowledge.loaders.sources import Candidate, LoadedDocument, Unreadable
from rag.settings import SourceSettings

ENOUGH = 10
"""The fewest documents of a source for which losing more than half at once counts as an accident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A document that is new or differs from the index, and the ``digest`` that is stored with it."""

    document: LoadedDocument
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncProgress:
    """Progress of a sync in documents. ``seen`` were compared so far; ``total`` is None until the source is read to its end.

    ``embedded`` counts passages; ``document`` is the one that was compared last.
    """

    seen: int
    total: int | None
    unchanged: int
    written: int
    skipped: int
    embedded: int
    document: str

    @property
    def done(self) -> int:
        """Documents that need no more work."""
        # a document that was read in part counts as written and as skipped
        return min(self.seen, self.unchanged + self.written + self.skipped)


Report = Callable[[SyncProgress], None]


@dataclass(slots=True, kw_only=True)
class Tally:
    """Results of changes: the number of passages written for each document, and the documents that were skipped."""

    written: dict[str, int] = field(default_factory=dict)
    skipped: list[Unreadable] = field(default_factory=list)
    embedded: int = 0

    def skip(self, document: str, error: Exception) -> None:
        """Records a document that could not be read."""
        reason = str(error) if isinstance(error, KnowledgeError) else f"{type(error).__name__}: {error}"
        self.skipped.append(Unreadable(path=document, reason=reason, document=document))

    def add(self, other: Tally) -> None:
        """Adds the results of another process."""
        self.written |= other.written
        self.skipped += other.skipped
        self.embedded += other.embedded


class Survey:
    """One comparison of a source with the index.

    ``before``: the digest of each document in the index. ``known``: the documents that readers can see; these are more
    than ``before`` while a new collection is being filled.
    """

    def __init__(
        self, source: SourceSettings, before: Mapping[str, str], known: Set[str], digest: Callable[[str], str]
    ) -> None:
        self.source = source
        self.tally = Tally()
        self.unchanged: set[str] = set()
        self.began = perf_counter()
        self._before = before
        self._visible_ids = known
        self._digest = digest
        self._visited: set[str] = set()
        self._unreadable: list[str] = []
        self._latest = ""
        self._ended = False

    def changes(self, entries: Iterable[Candidate | Unreadable]) -> Generator[Change | None]:
        """Yields each change, loaded, and None for each document without one. Blocks. Raises ``KnowledgeError``."""
        for entry in entries:
            yield self._compare(entry)
        self._ended = True

    def progress(self) -> SyncProgress:
        """The progress so far."""
        return SyncProgress(
            seen=len(self._visited),
            total=len(self._visited) if self._ended else None,
            unchanged=len(self.unchanged),
            written=len(self.tally.written),
            skipped=len(self.tally.skipped),
            embedded=self.tally.embedded,
            document=self._latest,
        )

    @property
    def added(self) -> int:
        """Documents that were written for the first time."""
        return len(self.tally.written.keys() - self._before.keys())

    @property
    def retained(self) -> list[str]:
        """Documents in the index that are neither unchanged nor rewritten: their old version stays."""
        return [each for each in self._before if each not in self.unchanged and each not in self.tally.written]

    @property
    def vanished(self) -> list[str]:
        """Documents in the index that the source no longer has."""
        return [document for document in self._before if not self._is_there(document)]

    @property
    def shrinkage(self) -> tuple[int, int] | None:
        """Missing documents and all documents that readers can see, if so many are missing that it looks like an accident."""
        known = self._visible_ids | self._before.keys()
        missing = sum(not self._is_there(document) for document in known)
        return (missing, len(known)) if len(known) >= ENOUGH and 2 * missing > len(known) else None

    def _compare(self, entry: Candidate | Unreadable) -> Change | None:
        self._latest = entry.document
        if entry.document in self._visited:  # one page under two addresses is one document
            return None
        self._visited.add(entry.document)
        if isinstance(entry, Unreadable):
            self.tally.skipped.append(entry)
            self._unreadable.append(entry.document.rstrip("/") + "/")
            return None
        digest = self._digest(entry.fingerprint)
        if self._before.get(entry.document) == digest:
            self.unchanged.add(entry.document)
            return None
        try:
            document = entry.load()
            if document.missing:  # the rest is written all the same
                self.tally.skipped.append(Unreadable(path=document.id, reason=document.missing, document=document.id))
            return Change(document=document, digest=digest)
        except Exception as error:  # noqa: BLE001 - a parser may raise anything; only this document is skipped
            self.tally.skip(entry.document, error)
            self._unreadable.append(entry.document + "/")
            return None

    def _is_there(self, document: str) -> bool:
        """Whether the source still has a document; true for all below a folder or file that could not be read."""
        # An unreadable folder must not count as empty: its documents would be removed from the index.
        return document in self._visited or document.startswith(tuple(self._unreadable))


def loaded_changes(changes: Iterable[Change]) -> Generator[Change | None]:
    """Adapts changes that are loaded already to the generator that ``PassageWriter.write`` takes."""
    yield from changes
