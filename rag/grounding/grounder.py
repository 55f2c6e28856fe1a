"""What a model wrote, held against the passages: a statement that none of them supports is not sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.grounding.links import permitted
from rag.grounding.statements import Statement, Statements
from rag.grounding.support.judge import Support, Verdict
from rag.grounding.support.nli import Entailing
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.sparse import SparseEncoder
from rag.settings import ModelSettings
from rag.types import Hit, Passage


class Grounder:
    """Checks answers; one for all."""

    def __init__(
        self, embeddings: TextEmbeddings, sparse: SparseEncoder, settings: ModelSettings, nli: Entailing | None = None
    ) -> None:
        self._embeddings = embeddings
        self._sparse = sparse
        self._nli = nli
        self._abstains = settings.unsupported == "abstain"

    def start(self, hits: Sequence[Hit], language: str) -> Grounding:
        """The check of one answer, in which ``[n]`` cites ``hits[n - 1]``."""
        support = Support(hits, language, embeddings=self._embeddings, sparse=self._sparse, nli=self._nli)
        return Grounding(support, hits, abstains=self._abstains)


@dataclass(slots=True)
class _Lead:
    """A statement that lives only with what follows. ``refused`` takes what follows with it."""

    statement: Statement
    before: str
    refused: bool
    shown: bool = False
    followed: bool = False

    def ends_before(self, statement: Statement) -> bool:
        """A heading reaches to the next one; a nod to the next sentence; a colon over one sentence, or a whole list."""
        if self.statement.kind == "heading":
            return statement.kind == "heading"
        if not self.followed:
            return statement.kind == "heading"
        return self.statement.nods or not (statement.item or statement.kind in ("code", "table"))


class Grounding:
    """One answer. Feed it the pieces in order; what comes back may be shown."""

    def __init__(self, support: Support, hits: Sequence[Hit], *, abstains: bool) -> None:
        self.dropped = 0
        self._support = support
        self._hits = hits
        self._abstains = abstains
        self._statements = Statements()
        self._leads: list[_Lead] = []
        self._before = ""
        self._began = False
        self._kept: list[str] = []

    async def feed(self, text: str) -> str:
        """What may be shown after this piece: statements that the passages support, with their markers."""
        return self._let_through([await self._judged(one) for one in self._statements.feed(text)])

    async def finish(self) -> str:
        """What was held back until the end; with ``unsupported`` "abstain" the whole answer, or nothing."""
        rest = [await self._judged(one) for one in self._statements.finish()]
        self._close([*self._leads])
        shown = self._let_through(rest)
        if not self._abstains:
            return shown
        return "" if self.dropped else "".join(self._kept)

    def _let_through(self, texts: Sequence[str]) -> str:
        if not self._abstains:
            return "".join(texts)
        self._kept += texts
        return ""

    async def _judged(self, statement: Statement) -> str:
        """The statement as it may be shown, with what leads to it; or nothing."""
        self._close([lead for lead in self._leads if lead.ends_before(statement)])
        if statement.leads or statement.nods:
            refused = not statement.nods and not self._support.announcement(statement.bare)
            self._leads.append(_Lead(statement, _joined(self._before, statement.before), refused))
            self._before = ""
            return ""
        refused = any(lead.refused for lead in self._leads)
        shown, cited = ("", ()) if refused else await self._supported(statement)
        for lead in self._leads:
            lead.followed = True
        if not shown or not self._led(cited):
            self._skip(statement)
            return ""
        leads = "".join(self._announce(lead) for lead in self._leads)
        before, self._before = _joined(self._before, statement.before), ""
        return leads + self._placed(before, shown)

    def _led(self, cited: Sequence[int]) -> bool:
        """Whether what leads to a statement speaks of the passages that it cites; a heading that does not is left out."""
        strange = [
            lead
            for lead in self._leads
            if not lead.shown
            and not lead.statement.nods
            and not self._support.announcement(lead.statement.bare, [*cited, *self._known(lead.statement)])
        ]
        self._close([lead for lead in strange if lead.statement.kind == "heading"])
        return all(lead.statement.kind == "heading" for lead in strange)

    def _announce(self, lead: _Lead) -> str:
        if lead.shown:
            return ""
        lead.shown = True
        known = self._known(lead.statement)
        return self._placed(lead.before, permitted(lead.statement.marked(known), self._passages(known)))

    def _known(self, statement: Statement) -> tuple[int, ...]:
        return tuple(number - 1 for number in statement.cited if 0 < number <= len(self._hits))

    def _close(self, over: Sequence[_Lead]) -> None:
        for lead in over:
            self._leads.remove(lead)
            if not lead.shown:
                self._count(lead.statement)
                self._before = _joined(lead.before, self._before)

    def _skip(self, statement: Statement) -> None:
        self._count(statement)
        self._before = _joined(self._before, statement.before)

    def _count(self, statement: Statement) -> None:
        self.dropped += bool(re.search(r"\w", statement.bare))

    def _placed(self, before: str, text: str) -> str:
        """Text after what was shown before it."""
        if not self._began:
            before = before.lstrip()
        self._began = True
        return before + text

    async def _supported(self, statement: Statement) -> tuple[str, tuple[int, ...]]:
        """Its text with the markers of the passages that support it, fit to be sent, and which these are; else nothing."""
        known = self._known(statement)
        verdict = await self._verdict(statement, known)
        if not verdict:
            return "", ()
        cited = tuple(index for index in known if index in verdict.hits) or verdict.hits[:1]
        return self._linked(statement, cited), cited

    def _linked(self, statement: Statement, cited: Sequence[int]) -> str:
        """Its links are those that the cited passages give where they speak of what it says."""
        text = statement.marked(cited)
        without = permitted(text, [])
        if without == permitted(text, self._passages(cited)):
            return without
        lead = next((lead.statement.bare for lead in reversed(self._leads)), "")
        return permitted(text, [self._support.linking(f"{lead} {statement.bare}", index) for index in cited])

    def _passages(self, cited: Sequence[int]) -> list[Passage]:
        return [self._hits[index].passage for index in cited]

    async def _verdict(self, statement: Statement, cited: Sequence[int]) -> Verdict:
        if statement.kind == "code":
            return self._support.code(statement.bare, cited)
        if statement.kind == "table":
            return self._support.table(statement.bare, cited)
        lead = next((lead.statement.bare for lead in reversed(self._leads) if not lead.statement.nods), "")
        return await self._support.sentence(" ".join(statement.bare.split()), cited, lead)


def _joined(left_out: str, before: str) -> str:
    """What stands before a statement when those before it were left out: the wider gap, with its own bullet if it has one."""
    if "\n" not in before:
        return left_out or before
    lines, own = re.match(r"\s*\n|", left_out), before.lstrip("\n")
    wide = max(before.count("\n"), lines[0].count("\n") if lines else 0)
    return "\n" * min(2, wide) + own
