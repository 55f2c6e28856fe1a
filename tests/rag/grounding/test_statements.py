from __future__ import annotations

import random
import time

import pytest

from rag.grounding.statements import Statement, Statements

ANSWER = """Yes. You can renew online [1]. It costs $5.50, e.g. by card. [1][2] See `a. B[1]` now. [3] Next one [2, 3].

Here is how:

- First item. More of it. [1]
- **Second**: thing
-\x20
1. Step

## Head. One
Text wraps
here. And ends.
[2]
```python
x = a[1]

y. Z
```
[1]

| a | b |
|---|---|
| 1 | 2 [1] |

Last! Really"""


def read(text: str, size: int) -> list[Statement]:
    statements = Statements()
    found = [one for start in range(0, len(text), size) for one in statements.feed(text[start : start + size])]
    return [*found, *statements.finish()]


def test_an_answer_is_cut_into_sentences_items_headings_code_and_tables() -> None:
    assert [(one.kind, one.bare, one.cited) for one in read(ANSWER, len(ANSWER))] == [
        ("sentence", "Yes.", ()),
        ("sentence", "You can renew online.", (1,)),
        ("sentence", "It costs $5.50, e.g. by card.", (1, 2)),
        ("sentence", "See `a. B[1]` now.", (3,)),
        ("sentence", "Next one.", (2, 3)),
        ("sentence", "Here is how:", ()),
        ("sentence", "First item.", ()),
        ("sentence", "More of it.", (1,)),
        ("sentence", "**Second**: thing", ()),
        ("sentence", "Step", ()),
        ("heading", "Head. One", ()),
        ("sentence", "Text wraps\nhere.", ()),
        ("sentence", "And ends.", (2,)),
        ("code", "```python\nx = a[1]\n\ny. Z\n```", (1,)),
        ("table", "| a | b |\n|---|---|\n| 1 | 2 |", (1,)),
        ("sentence", "Last!", ()),
        ("sentence", "Really", ()),
    ]


def test_the_pieces_in_which_an_answer_comes_change_nothing() -> None:
    whole = read(ANSWER, len(ANSWER))

    assert all(read(ANSWER, size) == whole for size in (1, 2, 3, 5, 7, 11, 50))


def test_a_sentence_comes_out_once_the_next_one_begins_and_not_before_its_markers_are_complete() -> None:
    statements = Statements()

    assert statements.feed("It costs five dollars. [1][") == []
    assert statements.feed("2]") == []
    assert [one.text for one in statements.feed(" You can")] == ["It costs five dollars. [1][2]"]


def test_announcements_and_nods_are_known() -> None:
    found = read("Sí, claro. Haz esto:\n\n- Uno.\n\n**Ojo:** dos. **Requisitos:**", 9)

    assert [(one.text, one.is_affirmation, one.is_lead) for one in found] == [
        ("Sí, claro.", False, False),
        ("Haz esto:", False, True),
        ("Uno.", False, False),
        ("**Ojo:** dos.", False, False),
        ("**Requisitos:**", False, True),
    ]
    assert read("Yes. You can.", 4)[0].is_affirmation


def test_a_line_of_nothing_but_markers_belongs_to_the_sentence_or_block_before() -> None:
    assert [one.cited for one in read("It is so.\n[2]\n\n~~~\nx\n~~~\n\n[1][3]\n\nMore.", 6)] == [(2,), (1, 3), ()]


def test_markers_that_are_links_or_escaped_or_code_are_none() -> None:
    assert [one.cited for one in read("See [1](https://a.example), \\[2] and `x[3]`.", 5)] == [()]


def test_markers_are_written_anew_where_others_are_meant() -> None:
    (one,) = read("It costs five [1, 2].", 100)

    assert one.marked((0, 1)) == "It costs five [1][2]."
    assert one.marked((2,)) == "It costs five. [3]"
    assert one.marked(()) == "It costs five."


@pytest.mark.parametrize(
    "text",
    ["`", "```\nabc def\n", "[1]", "a. [1] ", "\n", " ", ".", "- ", "- \n", "[", "`a ", "`a ``b ", "> ", "|", "word ", "~", "# "],
)  # fmt: skip
@pytest.mark.parametrize("size", [5, 1_000_000])
def test_hostile_text_is_read_in_linear_time(text: str, size: int) -> None:
    started = time.perf_counter()

    read(text * (100_000 // len(text)), size)

    assert time.perf_counter() - started < 10  # a quadratic reader takes minutes; a fraction of a second is usual


def test_any_text_is_read_without_an_error() -> None:
    chance = random.Random(4)
    parts = [*"`~[]()1. \n>-#|*:ab!?", "```", "[1]", "\n\n", "word "]

    for _ in range(300):
        text = "".join(chance.choice(parts) for _ in range(60))
        found = read(text, chance.choice([1, 3, 60]))
        assert all(one.text.strip() and one.marked((0,)) for one in found)


def test_a_code_block_without_an_end_is_one_statement_and_bounded() -> None:
    (one,) = read("```\n" + "rm -rf\n" * 20_000, 1000)

    assert one.kind == "code"
    assert len(one.text) < 40_000
