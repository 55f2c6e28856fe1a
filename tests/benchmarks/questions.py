"""Distinct questions about the handbook: its own headings and settings in the phrasings that people use."""

from __future__ import annotations

import random
import re
from pathlib import Path

PHRASINGS = (
    "How do I {}?",
    "What does the handbook say about {}?",
    "Can you explain {} to me?",
    "I have a problem with {}, what should I check?",
    "Where can I find out about {}?",
    "What should I know about {} before I start?",
    "Is there anything special about {}?",
    "Which steps does {} need?",
    "Tell me about {}, please",
    "Who is allowed to do {}?",
    "My team asks about {}: what is the rule?",
    "What happens when {} goes wrong?",
)


def subjects(handbook: Path) -> list[str]:
    """Headings and setting names of the English handbook, in a fixed order."""
    found: dict[str, None] = {}
    for page in sorted((handbook / "en").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for heading in re.findall(r"^#{1,4} (.+)$", text, re.MULTILINE):
            found[heading.strip("`?. ")] = None
        for name in re.findall(r"^\| `([a-z_.\[\]]+)`", text, re.MULTILINE):
            found[name] = None
    return list(found)


def questions(handbook: Path, count: int, seed: int = 7) -> list[str]:
    """``count`` distinct questions. Raises ``ValueError`` when the handbook does not give as many."""
    pool = [phrasing.format(subject) for subject in subjects(handbook) for phrasing in PHRASINGS]
    if len(pool) < count:
        raise ValueError(f"the handbook gives {len(pool)} questions, {count} are wanted")
    return random.Random(seed).sample(pool, count)
