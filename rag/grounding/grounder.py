"""Checks what a language model wrote: a statement that no passage supports is not sent.

Headings, introductions ("Do this:") and affirmations ("Yes.") claim little by themselves. They wait as leads and are sent with
the first supported statement that they lead to, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.grounding.links import permitted_markdown
from rag.grounding.statements import Statement, Statements
from rag.grounding.support.judge import Support, Verdict
from rag.grounding.support.nli import Entailing
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.sparse import SparseEncoder
from rag.settings import ModelSettings
from rag.types import Hit, Passage


class Grounder:
    """Starts the check of each answer; shared by all answers."""

    def __init__(
        self, embeddings: TextEmbeddings, sparse: SparseEncoder, settings: ModelSettings, nli: Entailing | None = None
    ) -> None:
        self._embeddings = embeddings
        self._sparse = sparse
        self._nli = nli
        self._abstains = settings.unsupported == "abstain"

    def start(self, hits: Sequence[Hit], language: str) -> Grounding:
        """A check of one answer in ``language`` (ISO 639-1); ``[n]`` in it cites ``hits[n - 1]``."""
        support = Support(hits, language, embeddings=self._embeddings, sparse=self._sparse, nli=self._nli)
        return Grounding(support, hits, abstains=self._abstains)


@dataclass(slots=True)
class _Lead:
    """A statement that is sent only with one that it leads to. If it is ``refused``, what it leads to is dropped too."""

    statement: Statement
    before: str
    refused: bool
    sent: bool = False
    followed: bool = False

    def ends_before(self, statement: Statement) -> bool:
        """A heading lasts until the next heading, an affirmation for one sentence, a colon for one sentence or a whole list."""
        if self.statement.kind == "heading":
            return statement.kind == "heading"
        if not self.followed:
            return statement.kind == "heading"
        return self.statement.is_affirmation or not (statement.item or statement.kind in ("code", "table"))


class Grounding:
    """The check of one answer. Feed the pieces in order; the returned text may be sent."""

    def __init__(self, support: Support, hits: Sequence[Hit], *, abstains: bool) -> None:
        self.dropped = 0
        self._support = support
        self._hits = hits
        self._abstains = abstains
        self._statements = Statements()
        self._leads: list[_Lead] = []
        self._before = ""
        self._has_text = False
        self._withheld: list[str] = []

    async def feed(self, text: str) -> str:
        """The text that may be sent after this piece: supported statements with their citation markers. Raises ``ModelError``."""
        # one after the other: leads and gaps depend on the order
        return self._release([await self._checked_text(one) for one in self._statements.feed(text)])

    async def finish(self) -> str:
        """The rest of the text; where a dropped statement means abstaining, the whole answer or nothing."""
        rest = [await self._checked_text(one) for one in self._statements.finish()]
        self._end_leads([*self._leads])
        sent = self._release(rest)
        if not self._abstains:
            return sent
        return "" if self.dropped else "".join(self._withheld)

    def _release(self, texts: Sequence[str]) -> str:
        if not self._abstains:
            return "".join(texts)
        # nothing is sent before the end: a single dropped statement turns the answer into an abstention
        self._withheld += texts
        return ""

    async def _checked_text(self, statement: Statement) -> str:
        """The text to send for a statement, with its leads before it; empty if it waits or is dropped."""
        self._end_leads([lead for lead in self._leads if lead.ends_before(statement)])
        if statement.is_lead or statement.is_affirmation:
            refused = not statement.is_affirmation and not self._support.may_announce(statement.bare)
            self._leads.append(_Lead(statement, _merged_gap(self._before, statement.before), refused))
            self._before = ""
            return ""
        refused = any(lead.refused for lead in self._leads)
        sent, cited = ("", ()) if refused else await self._supported_text(statement)
        for lead in self._leads:
            lead.followed = True
        if not sent or not self._leads_fit(cited):
            self._drop(statement)
            return ""
        lead_text = "".join(self._sent_lead(lead) for lead in self._leads)
        before, self._before = _merged_gap(self._before, statement.before), ""
        return lead_text + self._separated(before, sent)

    def _leads_fit(self, cited: Sequence[int]) -> bool:
        """Whether the leads fit the passages that the statement cites. A heading that does not is dropped alone."""
        unfitting = [
            lead
            for lead in self._leads
            if not lead.sent
            and not lead.statement.is_affirmation
            and not self._support.may_announce(lead.statement.bare, [*cited, *self._valid_citations(lead.statement)])
        ]
        self._end_leads([lead for lead in unfitting if lead.statement.kind == "heading"])
        return all(lead.statement.kind == "heading" for lead in unfitting)

    def _sent_lead(self, lead: _Lead) -> str:
        if lead.sent:
            return ""
        lead.sent = True
        valid = self._valid_citations(lead.statement)
        return self._separated(lead.before, permitted_markdown(lead.statement.marked(valid), self._passages(valid)))

    def _valid_citations(self, statement: Statement) -> tuple[int, ...]:
        return tuple(number - 1 for number in statement.cited if 0 < number <= len(self._hits))

    def _end_leads(self, ended: Sequence[_Lead]) -> None:
        for lead in ended:
            self._leads.remove(lead)
            if not lead.sent:
                self._count(lead.statement)
                self._before = _merged_gap(lead.before, self._before)

    def _drop(self, statement: Statement) -> None:
        self._count(statement)
        self._before = _merged_gap(self._before, statement.before)

    def _count(self, statement: Statement) -> None:
        # ``dropped`` is a number of sentences: punctuation or a bullet alone is none
        self.dropped += bool(re.search(r"\w", statement.bare))

    def _separated(self, before: str, text: str) -> str:
        """The text with the whitespace that separates it from the text before it."""
        if not self._has_text:
            before = before.lstrip()
        self._has_text = True
        return before + text

    async def _supported_text(self, statement: Statement) -> tuple[str, tuple[int, ...]]:
        """The statement with the markers of its supporting passages, and their indices; both empty without support."""
        valid = self._valid_citations(statement)
        verdict = await self._verdict(statement, valid)
        if not verdict:
            return "", ()
        # The model's own markers win over others, but a marker of a page that does not say it is never sent.
        cited = tuple(index for index in valid if index in verdict.hits) or verdict.hits[:1]
        return self._with_links(statement, cited), cited

    def _with_links(self, statement: Statement, cited: Sequence[int]) -> str:
        """The statement with only those links that the cited passages give in sentences about the same thing."""
        text = statement.marked(cited)
        unlinked = permitted_markdown(text, [])
        # Most statements have no link at all: reading the passages sentence by sentence is spared then.
        if unlinked == permitted_markdown(text, self._passages(cited)):
            return unlinked
        lead = next((lead.statement.bare for lead in reversed(self._leads)), "")
        linkable = [self._support.linkable_passage(f"{lead} {statement.bare}", index) for index in cited]
        return permitted_markdown(text, linkable)

    def _passages(self, cited: Sequence[int]) -> list[Passage]:
        return [self._hits[index].passage for index in cited]

    async def _verdict(self, statement: Statement, cited: Sequence[int]) -> Verdict:
        if statement.kind == "code":
            return self._support.code(statement.bare, cited)
        if statement.kind == "table":
            return self._support.table(statement.bare, cited)
        lead = next((lead.statement.bare for lead in reversed(self._leads) if not lead.statement.is_affirmation), "")
        return await self._support.sentence(" ".join(statement.bare.split()), cited, lead)


def _merged_gap(dropped_gap: str, before: str) -> str:
    """The whitespace before a statement after dropped ones: the wider of both gaps, with the statement's own bullet."""
    if "\n" not in before:
        return dropped_gap or before
    lines, own_gap = re.match(r"\s*\n|", dropped_gap), before.lstrip("\n")
    line_breaks = max(before.count("\n"), lines[0].count("\n") if lines else 0)
    return "\n" * min(2, line_breaks) + own_gap
