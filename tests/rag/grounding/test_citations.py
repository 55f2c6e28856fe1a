"""Citations are renumbered while the answer streams by."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.grounding.citations import Citations
from rag.types import Hit, Passage


def hits(count: int = 4) -> list[Hit]:
    return [
        Hit(
            passage=Passage(
                id=str(number), document="d", source="s", title=f"Page {number}", headings=(), url="", text="t",
                position=number, language="en", audience="public",
            ),
            score=1 - number / 10,
        )
        for number in range(1, count + 1)
    ]  # fmt: skip


def ground(text: str, sizes: int = 1) -> tuple[str, list[str]]:
    citations = Citations(hits())
    pieces = [text[start : start + sizes] for start in range(0, len(text), sizes)]
    shown = "".join(citations.feed(piece) for piece in pieces) + citations.finish()
    return shown, [f"{source.number}:{source.title}" for source in citations.sources]


def test_a_writer_may_cite_longer_passages_than_were_retrieved() -> None:
    first, *others = hits(3)
    citations = Citations([first, *others])
    citations.cite([replace(first, passage=replace(first.passage, text="t and more"))])
    citations.feed("A [1]. C [3].")
    citations.finish()
    assert [source.passage.text for source in citations.sources] == ["t and more", "t"]


@pytest.mark.parametrize("sizes", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("text", "expected", "sources"),
    [
        ("B [3]. A [1]. B [3]", "B [1]. A [2]. B [1]", ["1:Page 3", "2:Page 1"]),
        ("None [9], zero [0]. Yes [2][4]", "None, zero. Yes [1][2]", ["1:Page 2", "2:Page 4"]),
        ("Link [1](https://x.example), def [2]: no", "Link [1](https://x.example), def [2]: no", []),
        ("Span `a[1]` and ``b`[1]`` and [1]", "Span `a[1]` and ``b`[1]`` and [1]", ["1:Page 1"]),
        ("Text [2]\n\n```py\nx[1]\n```\nmore [1]", "Text [1]\n\n```py\nx[1]\n```\nmore [2]", ["1:Page 2", "2:Page 1"]),
        ("1. a\n   ~~~\n   x[1]\n   ~~~\n\n[4]", "1. a\n   ~~~\n   x[1]\n   ~~~\n\n[1]", ["1:Page 4"]),
        (r"Literal \[1] and \\[2]", r"Literal \[1] and \\[1]", ["1:Page 2"]),
        ("A lone ` tick [1]\n\nnext [2]", "A lone ` tick [1]\n\nnext [2]", ["1:Page 1", "2:Page 2"]),
        ("Half [", "Half [", []),
        ("Half [1", "Half [1", []),
        ("Open ```\ncode [1]", "Open ```\ncode [1]", ["1:Page 1"]),
        ("```\nnever closed [1]", "```\nnever closed [1]", []),
        ("``` a[1] ``` [2]\n\n[3]", "``` a[1] ``` [1]\n\n[2]", ["1:Page 2", "2:Page 3"]),
        ("[2024] and [x] and ~~gone~~ [1]", "[2024] and [x] and ~~gone~~ [1]", ["1:Page 1"]),
        ("", "", []),
    ],
)
def test_markers_are_numbered_by_first_appearance_however_the_text_is_cut(
    text: str, expected: str, sources: list[str], sizes: int
) -> None:
    assert ground(text, sizes) == (expected, sources)


def test_no_half_marker_is_ever_shown() -> None:
    citations = Citations(hits())
    assert citations.feed("x [") == "x"
    assert citations.feed("1") == ""
    assert citations.feed("]") == ""
    assert citations.feed(" and") == " [1] and"


def test_text_flows_as_soon_as_it_is_decided() -> None:
    citations = Citations(hits())
    assert citations.feed("A sentence. ") == "A sentence."
    assert citations.feed("Another") == " Another"


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab [12]`~\\\n(:9", max_size=60), st.integers(0, 10_000))
def test_the_cuts_of_a_stream_change_nothing(text: str, seed: int) -> None:
    whole = Citations(hits())
    expected = whole.feed(text) + whole.finish()
    cut, shown, start = Citations(hits()), "", 0
    chance = random.Random(seed)
    while start < len(text):
        end = start + chance.randint(1, 5)
        shown += cut.feed(text[start:end])
        start = end
    assert shown + cut.finish() == expected
    assert cut.sources == whole.sources
