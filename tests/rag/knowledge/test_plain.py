"""Plain text as Markdown."""

from __future__ import annotations

import pytest

from rag.knowledge.loaders.plain import plain

SENTENCE = "Whoever moves has ten days to say so, at the office or on the web, with the old card in hand."


def test_a_short_line_above_a_text_is_its_heading_and_a_first_line_alone_the_title() -> None:
    text = plain(f"Moving house\n\nWhat to bring\n{SENTENCE}\n\n{SENTENCE}\n")
    assert text == f"# Moving house\n\n## What to bring\n\n{SENTENCE}\n\n{SENTENCE}\n"


@pytest.mark.parametrize(
    "text",
    [
        "Dear all,\nthank you for the cake.",
        "Roses are red\nViolets are blue",
        f"A sentence that ends.\n{SENTENCE}",
        f"- an item\n{SENTENCE}",
        f"1. a step\n{SENTENCE}",
    ],
)
def test_what_is_no_heading_stays_a_line(text: str) -> None:
    assert plain(text).strip() == text


def test_printed_lines_have_no_headings() -> None:
    assert plain(f"Moving house\n\n{SENTENCE}", printed=True) == f"Moving house\n\n{SENTENCE}"
