"""What a look at a source finds: which documents are as the index has them, which changed, which are gone."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Set
from dataclasses import dataclass, field
from time import perf_counter

from rag.errors import KnowledgeError
from rag.knowledge.loaders.sources import Candidate, LoadedDocument, Unreadable
from rag.settings import SourceSettings

ENOUGH = 10
"""Documents from which on losing more than half at once is taken for an accident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A document that is new or says something else than the index, and the ``digest`` it is written with."""

    document: LoadedDocument
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncProgress:
    """How far a sync is, in documents. ``seen`` were looked at and ``total`` are there, as far as that is known.

    ``embedded`` is in passages; ``document`` is the one looked at last.
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
        """Documents that need nothing more."""
        return self.unchanged + self.written + self.skipped


Report = Callable[[SyncProgress], None]


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of changes: the passages written, by document, and what had to be left out."""

    written: dict[str, int] = field(default_factory=dict)
    skipped: list[Unreadable] = field(default_factory=list)
    embedded: int = 0

    def skip(self, document: str, error: Exception) -> None:
        """A document that could not be read."""
        reason = str(error) if isinstance(error, KnowledgeError) else f"{type(error).__name__}: {error}"
        self.skipped.append(Unreadable(path=document, reason=reason, document=document))

    def add(self, other: Tally) -> None:
        """Count what another process did."""
        self.written |= other.written
        self.skipped += other.skipped
        self.embedded += other.embedded


class Survey:
    """One look at a source. ``before`` is what the index holds (digest by document), ``known`` what readers know of it:
    more, while a new collection is being filled.
    """

    def __init__(
        self, source: SourceSettings, before: Mapping[str, str], known: Set[str], digest: Callable[[str], str]
    ) -> None:
        self.source = source
        self.tally = Tally()
        self.unchanged: set[str] = set()
        self.began = perf_counter()
        self._before = before
        self._known = known
        self._digest = digest
        self._seen: set[str] = set()
        self._unreadable: list[str] = []
        self._latest = ""
        self._ended = False

    def changes(self, found: Iterable[Candidate | Unreadable]) -> Generator[Change | None]:
        """Each change, loaded, and None for each document that needs none; blocking. Raises ``KnowledgeError``."""
        for each in found:
            yield self._look_at(each)
        self._ended = True

    def progress(self) -> SyncProgress:
        """How far it is."""
        return SyncProgress(
            seen=len(self._seen),
            total=len(self._seen) if self._ended else None,
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
    def kept(self) -> list[str]:
        """Documents whose indexed version stays, though what they say now was not written."""
        return [each for each in self._before if each not in self.unchanged and each not in self.tally.written]

    @property
    def vanished(self) -> list[str]:
        """Documents in the index that the source does not have any more."""
        return [document for document in self._before if not self._is_there(document)]

    @property
    def shrank(self) -> tuple[int, int] | None:
        """How many are gone of how many that readers know, if that looks like an accident."""
        known = self._known | self._before.keys()
        gone = sum(not self._is_there(document) for document in known)
        return (gone, len(known)) if len(known) >= ENOUGH and 2 * gone > len(known) else None

    def _look_at(self, found: Candidate | Unreadable) -> Change | None:
        self._latest = found.document
        if found.document in self._seen:  # a page under two addresses is one document
            return None
        self._seen.add(found.document)
        if isinstance(found, Unreadable):
            self.tally.skipped.append(found)
            self._unreadable.append(found.document.rstrip("/") + "/")
            return None
        digest = self._digest(found.fingerprint)
        if self._before.get(found.document) == digest:
            self.unchanged.add(found.document)
            return None
        try:
            return Change(document=found.load(), digest=digest)
        except Exception as error:  # noqa: BLE001 - whatever a parser throws at one page, the others are read
            self.tally.skip(found.document, error)
            self._unreadable.append(found.document + "/")
            return None

    def _is_there(self, document: str) -> bool:
        """What cannot be read is there too, and so is what is below a folder, or a part of a file, that cannot be read."""
        return document in self._seen or document.startswith(tuple(self._unreadable))


def at_hand(changes: Iterable[Change]) -> Generator[Change | None]:
    """Changes that were loaded before, as a survey gives them."""
    yield from changes
