"""Clauses of a statement that its passage does not speak of.

Checked as a whole, "Refunds take five days, and the other page was taken back" shares most of its words with a passage about
refunds, so the false second half would pass. Each clause that makes a claim of its own is therefore compared by itself.
"""

from __future__ import annotations

import re

from rag.grounding.support.cues import TokenizedText
from rag.grounding.support.features import share
from rag.grounding.support.passages import Premise

CLAUSE_WORDS = 3
"""Fewest content words of a clause that makes a claim of its own."""
OWN = 1 / 3
"""Least share of a clause's content words that the passage must contain."""

_BORDER = re.compile(
    r"\s*[;:()\u2013\u2014]\s*|\s+-\s+"
    r"|,?\s+(?:because|since|although|though|whereas|while|which|so that|porque|ya que|puesto que|aunque|mientras)\s+"
    r"|,\s*(?:and|but|or|so|yet|as|y|e|pero|o|así que)\s+",
    re.IGNORECASE,
)


def unrelated_clauses(claim: str, premise: Premise) -> list[str]:
    """The clauses of a statement that share almost no words with the passage; none if it has only one clause."""
    # A single clause was checked already, as the whole statement, by stricter means than this share of words.
    clauses = [clause for clause in _BORDER.split(claim) if clause.strip()]
    return [clause for clause in clauses if _is_unrelated(clause, premise)] if len(clauses) > 1 else []


def _is_unrelated(clause: str, premise: Premise) -> bool:
    content = TokenizedText.of(clause, premise.stem).content()
    return len(content) >= CLAUSE_WORDS and share(content, premise.content) < OWN
