"""Blocks that splitting into passages has cut are joined again."""

from __future__ import annotations

import pytest

from rag.knowledge.chunking import split
from rag.knowledge.loaders.documents import LoadedDocument
from rag.text.blocks import parse
from rag.text.joining import joined, number_of

CODE = "\n".join(f"echo number {n} && sleep {n}" for n in range(90))
ROWS = "\n".join(f"| town {n} | {n} km |" for n in range(200))
STEPS = "\n".join(f"{n}. Turn the wheel number {n} a little to the left and wait." for n in range(1, 60))
ITEMS = "\n".join(f"* The wheel number {n} turns a little to the left." for n in range(1, 60))


def passages(markdown: str) -> list[str]:
    page = LoadedDocument(
        id="kb/a.md", source="kb", title="A", url="", markdown=markdown, language="en", audience="public"
    )
    return [each.text for each in split(page, window=256, count_tokens=lambda text: len(text) // 4)]


@pytest.mark.parametrize("text", [STEPS, ITEMS, f"| Town | Way |\n| --- | --- |\n{ROWS}"])
def test_lists_and_tables_are_whole_again(text: str) -> None:
    parts = passages(text)
    assert len(parts) > 2
    [span] = joined([parse(part) for part in parts])
    assert (span.block.text, span.first, span.last) == (text, 0, len(parts) - 1)


@pytest.mark.parametrize("fence", ["```", "~~~~"])
def test_code_is_whole_again_between_longer_fences(fence: str) -> None:
    parts = passages(f"{fence}sh\n{CODE}\n{fence}")
    assert len(parts) > 2
    [span] = joined([parse(part) for part in parts])
    assert span.block.text == f"{fence}{fence[0]}sh\n{CODE}\n{fence}{fence[0]}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1. a\n2. b", "1) c"),
        ("1. a\n2. b", "4. c"),
        ("* a", "- b"),
        ("* a", "1. b"),
        ("```sh\na\n```", "```sh\nb\n```"),
        ("| a |\n|---|\n| 1 |", "| b |\n|---|\n| 2 |"),
        ("One.", "Two."),
    ],
)
def test_what_was_never_one_block_stays_apart(one: str, other: str) -> None:
    assert [span.block.text for span in joined([parse(one), parse(other)])] == [one, other]


def test_a_step_keeps_its_code_and_a_list_longer_than_a_passage_is_cut_between_its_items() -> None:
    step = (
        "{n}. Run the program number {n} and wait for its end:\n\n   ```sh\n   program --number {n} --verbose\n   ```"
    )
    parts = passages("\n".join(step.format(n=n) for n in range(1, 10)))
    assert len(parts) > 1
    for part in parts:
        assert part.count("```") % 2 == 0
        assert number_of(part) is not None, "begins with a step"


def test_a_step_longer_than_a_passage_is_cut_between_its_blocks() -> None:
    code = "\n".join(f"   echo number {n}" for n in range(30))
    parts = passages(f"1. Run this:\n\n   ```sh\n{code}\n   ```\n\n   Then wait. {'It takes long. ' * 60}\n2. Stop.")
    assert all(part.count("```") % 2 == 0 for part in parts)
    assert parts[0].startswith("1. Run this:")
    assert "2. Stop." in parts[-1]


@pytest.mark.parametrize(("item", "number"), [("12. a", 12), ("  3) a", 3), ("- a", None), ("1.5 litres", None)])
def test_steps_have_numbers(item: str, number: int | None) -> None:
    assert number_of(item) == number
