"""What a question asks for, as far as headings, tables and definitions can tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from math import log

from rag.answering.quotes import Quotable
from rag.answering.selection import Candidate, Terms
from rag.knowledge.chunking import context
from rag.types import Passage

SAME = 0.8
"""Share of common terms from which on a heading is the question."""
SHORT = 600
"""Characters of a section that is quoted entirely where its heading is the question."""
ROWS = 8
"""Rows of a long table at most that are quoted as those asked for."""
NAME = 3
"""Terms of a heading that names a thing rather than says something of it."""
DEFINITION = 200
"""Characters of a sentence that says what a thing is, and …"""
SUBJECT = 80
"""… those in which its subject stands."""

_NAME = re.compile(r"\b\w*\d\w*|(?<=[^\W\d_][ ,])[^\W\d_a-zà-öø-ÿ]\w+")
"""Words with a digit, or with a capital behind another word."""
_WORD = re.compile(r"\w+")


class Asked:
    """A question; ``terms`` gives those of a text in a language."""

    def __init__(self, question: str, terms: Callable[[str, str], Terms]) -> None:
        self._question = question
        self._terms = terms

    def heads(self, passage: Passage) -> bool:
        """Whether the heading of a passage's section is the question, word order and stop words aside."""
        heading = passage.headings[-1] if passage.headings else passage.title
        asked, named = self._terms(self._question, passage.language), self._terms(heading, passage.language)
        return bool(asked) and len(asked & named) >= SAME * max(len(asked), len(named))

    def short(self, found: Sequence[Candidate]) -> list[Candidate]:
        """All units of the best passage whose heading is the question, if it is short; else none."""
        first = [one for one in found if one.number == found[0].number]
        return first if sum(len(one.unit.words) for one in first) <= SHORT else []

    def defines(self, passage: Passage, sentence: str) -> bool:
        """Whether a section's first sentence says what the thing is that its heading names and the question asks about."""
        heading = passage.headings[-1] if passage.headings else passage.title
        named, subject = (self._terms(text, passage.language) for text in (heading, sentence[:SUBJECT]))
        asked = self._terms(self._question, passage.language)
        return len(sentence) <= DEFINITION and 0 < len(named) <= NAME and named <= subject and bool(named & asked)

    def rows(self, passage: Passage, table: Quotable) -> list[int] | None:
        """The rows of a table that hold what is asked for and its head and headings do not name.

        Empty if the question names nothing else; None if it does, and no row has it.
        """
        wanted = self._wanted(passage, table)
        met = [wanted & self._terms(row, passage.language) for row in table.parts]
        rarity = Counter(term for terms in met for term in terms)
        scores = [sum(1 / log(2 + rarity[term]) for term in terms) for terms in met]
        if not wanted:
            return []
        names = self._names(passage, table)
        if names and not names & rarity.keys():
            return None
        best = max(scores, default=0.0)
        return [place for place, score in enumerate(scores) if score >= best][:ROWS] if best else None

    def names_a_row(self, passage: Passage, table: Quotable) -> bool:
        """Whether the question names a thing of the kind that the table lists, and that its head and headings do not name."""
        return bool(self._names(passage, table))

    def is_met(self, passage: Passage, table: Quotable, text: str) -> bool:
        """Whether a text has what the question names, or else something that the table's head and headings do not name."""
        missing = self._names(passage, table) or self._wanted(passage, table)
        return bool(missing & self._terms(text, passage.language))

    def _names(self, passage: Passage, table: Quotable) -> Terms:
        """What the question names that looks like the first cells of the rows: "E137" among codes, "Spain" among countries."""
        listed = {_shape(word) for row in table.parts for word in _WORD.findall(row.strip("| ").partition("|")[0])}
        names = [match[0] for match in _NAME.finditer(self._question) if _shape(match[0]) in listed]
        return self._wanted(passage, table) & self._terms(" ".join(names), passage.language)

    def _wanted(self, passage: Passage, table: Quotable) -> Terms:
        head = "\n".join(table.text.split("\n")[:2])
        known = self._terms(f"{context(passage)}{table.lead}\n{head}", passage.language)
        return self._terms(self._question, passage.language) - known


def _shape(word: str) -> str:
    """Runs of letters as one letter, runs of digits as one digit; a word of letters alone keeps its case."""
    if word.isalpha():
        return "A" if word[0].isupper() else "a"
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", word))
