"""Recognises who wants to talk to a person."""

from __future__ import annotations

import re

_WISH = re.compile(
    r"\b(?:(?:talk|speak|chat)\s+(?:to|with)\s+(?:a\s+|an\s+|some)?(?:human|person|agent|someone|somebody|one)"
    r"|hablar\s+con\s+(?:una?\s+)?(?:persona|agente|humano|alguien))\b",
    re.IGNORECASE,
)


def wants_person(text: str) -> bool:
    """Whether a message wishes to be answered by a person."""
    return len(text) <= 200 and _WISH.search(text) is not None
