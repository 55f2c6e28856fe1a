"""The clauses of a statement: a claim that is glued to a true sentence hides behind its words.

Weighed as a whole, "Refunds take five days, and the other page was taken back" shares most of its words with a passage about
refunds. So each clause that says something of its own is held against the passage once more, by itself.
"""

from __future__ import annotations

import re

from rag.grounding.support.cues import Read
from rag.grounding.support.features import share
from rag.grounding.support.passages import Premise

TELLING = 3
"""Content words from which on a clause says something of its own."""
OWN = 1 / 3
"""Share of its content words that a passage must have, or nothing in the passage speaks of what the clause says."""

_BORDER = re.compile(
    r"\s*[;:()\u2013\u2014]\s*|\s+-\s+"
    r"|,?\s+(?:because|since|although|though|whereas|while|which|so that|porque|ya que|puesto que|aunque|mientras)\s+"
    r"|,\s*(?:and|but|or|so|yet|as|y|e|pero|o|así que)\s+",
    re.IGNORECASE,
)


def stray(claim: str, premise: Premise) -> list[str]:
    """The clauses of which a passage has hardly a word, where a statement has more than one clause."""
    clauses = [clause for clause in _BORDER.split(claim) if clause.strip()]
    return [clause for clause in clauses if _is_stray(clause, premise)] if len(clauses) > 1 else []


def _is_stray(clause: str, premise: Premise) -> bool:
    content = Read.of(clause, premise.stem).content()
    return len(content) >= TELLING and share(content, premise.content) < OWN
