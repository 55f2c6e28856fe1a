"""Documents to passages. Tokens are words here, so that a reader can count them."""

from __future__ import annotations

import pytest

from rag.knowledge.chunking import PROSE, embedding_text, split
from rag.knowledge.loaders.sources import LoadedDocument
from rag.text.blocks import parse
from rag.text.sentences import sentences
from rag.types import Passage

LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen. "


def document(markdown: str, *, url: str = "https://help.example.com/slack", title: str = "Slack") -> LoadedDocument:
    return LoadedDocument(
        id="handbook/slack.md", source="handbook", title=title, url=url, markdown=markdown, language="en",
        audience="public",
    )  # fmt: skip


def words(text: str) -> int:
    return len(text.split())


def cut(markdown: str, window: int = 60) -> list[Passage]:
    return split(document(markdown), window=window, count_tokens=words)


def test_a_passage_stands_under_its_headings_and_links_to_its_anchor() -> None:
    page = f"# Slack\n\n{LONG * 2}\n\n## Connect Slack\n\n{LONG * 2}\n\n### Socket Mode\n\n{LONG * 2}\n\n## Rotate\n\n{LONG * 2}"
    assert [(passage.headings, passage.url) for passage in cut(page)] == [
        (("Slack",), "https://help.example.com/slack"),
        (("Slack", "Connect Slack"), "https://help.example.com/slack#connect-slack"),
        (("Slack", "Connect Slack", "Socket Mode"), "https://help.example.com/slack#socket-mode"),
        (("Slack", "Rotate"), "https://help.example.com/slack#rotate"),
    ]


def test_anchors_are_those_of_github() -> None:
    headings = ["¿Cómo añado documentos?", "Use `/ask` & *more*", "Set-up", "Set-up", "A  B"]
    page = "# T\n\n" + "\n\n".join(f"## {heading}\n\n{LONG * 2}" for heading in headings)
    anchors = [passage.url.partition("#")[2] for passage in cut(page)]
    assert anchors == ["cómo-añado-documentos", "use-ask--more", "set-up", "set-up-1", "a-b"]


def test_a_source_without_links_gets_none() -> None:
    assert split(document(f"# A\n\n## B\n\n{LONG}", url=""), window=60, count_tokens=words)[0].url == ""


@pytest.mark.parametrize("window", [20, 40, 80])
def test_no_passage_exceeds_the_window_with_its_title_and_headings(window: int) -> None:
    blocks = [
        "## Steps\n\nDo this:\n\n" + "\n".join(f"{n}. {LONG}" for n in range(9)),
        "## Code\n\n```toml\n" + "\n".join(f"key{n} = {n} # why so" for n in range(40)) + "\n```",
        "## Table\n\n| a | b |\n| --- | --- |\n" + "\n".join(f"| {n} | value |" for n in range(40)),
        "## Prose\n\n" + LONG * 9,
        "## Endless\n\n" + "word " * 500,
    ]
    passages = cut("# Slack\n\n" + "\n\n".join(blocks), window)
    assert max(words(embedding_text(passage)) for passage in passages) <= window


def test_nothing_that_was_written_is_lost_in_splitting() -> None:
    page = "# Slack\n\n" + "\n\n".join(f"{LONG} marker{n}" for n in range(30)) + " x" * 200
    text = " ".join(passage.text for passage in cut(page, 30))
    assert [word for word in text.split() if word.startswith("marker")] == [f"marker{n}" for n in range(30)]
    assert text.split().count("x") == 200


def test_a_code_block_is_whole_where_it_fits_and_each_part_is_one_where_it_does_not() -> None:
    code = "```python\n# not a heading\nx = 1\n```"
    assert code in cut(f"# T\n\n{LONG}\n\n{code}")[0].text
    long = "~~~sh\n" + "\n".join(f"echo {n} and {n}" for n in range(40)) + "\n~~~"
    parts = [passage.text for passage in cut(f"# T\n\n{long}", 40)]
    assert len(parts) > 1
    assert all(part.startswith("~~~~sh\n") and part.endswith("\n~~~~") for part in parts)


@pytest.mark.parametrize("run", ["a" * 100_000, "🦜" * 100_000, "a" + " " * 100_000 + "b"])
def test_what_a_tokenizer_takes_for_one_word_is_cut_too(run: str) -> None:
    passages = cut(run, window=60)
    assert max(len(each.text) for each in passages) <= 16 * 60


@pytest.mark.parametrize(
    ("markdown", "code"),
    [
        ("```py\nx = 1", "```py\nx = 1\n```"),
        ("~~~~\nx\n```js", "~~~~\nx\n```js\n~~~~"),
        ("```\nx\n```js", "```\nx\n```js\n```"),
        ("    x[1]\n      `````", "``````\nx[1]\n  `````\n``````"),
        ("```\nx\n````", "```\nx\n````"),
    ],
)
def test_code_stands_between_fences_however_the_page_wrote_it(markdown: str, code: str) -> None:
    assert [each.text for each in cut(markdown)] == [code]


def test_every_part_of_a_long_table_has_its_header() -> None:
    table = "| key | value |\n| --- | --- |\n" + "\n".join(f"| k{n} | v{n} |" for n in range(40))
    parts = [passage.text for passage in cut(f"# T\n\n{table}", 40)]
    assert len(parts) > 1
    assert all(part.startswith("| key | value |\n| --- | --- |\n| k") for part in parts)


def test_what_a_colon_announces_stays_with_it() -> None:
    page = f"# T\n\n{LONG * 2}\n\nRun these:\n\n1. First one two three four five six seven eight nine ten\n2. Second\n"
    announced = [passage.text for passage in cut(page, 45)][1]
    assert announced.startswith("Run these:\n\n1. First")
    assert announced.endswith("2. Second")


def test_a_short_section_joins_the_next_under_the_same_heading() -> None:
    (passage,) = cut("# Glossary\n\n## Turn\n\nA question and its answer.\n\n## Passage\n\nA piece of a page.\n")
    assert passage.headings == ("Glossary",)
    assert passage.url.endswith("#turn")
    assert passage.text == "**Turn**\n\nA question and its answer.\n\n**Passage**\n\nA piece of a page."


def test_a_short_section_does_not_join_the_next_chapter() -> None:
    passages = cut(f"# T\n\n## A\n\n### Short\n\nFew words.\n\n## B\n\n{LONG}")
    assert [passage.headings[-1] for passage in passages] == ["Short", "B"]


def test_headings_inside_quotes_and_code_are_text() -> None:
    (passage,) = cut("# T\n\n> # quoted\n\n    # indented\n\nSetext\n------\n\n" + LONG, 90)[:1]
    assert "# quoted" in passage.text
    assert [block.kind for block in parse("Setext\n------\n")] == ["heading"]


@pytest.mark.parametrize("markdown", ["", "\n\n", "# Only a title", "<!-- nothing -->", "---", "[a]: http://x"])
def test_a_page_without_text_has_no_passages(markdown: str) -> None:
    assert cut(markdown) == []


def test_positions_and_ids_are_stable_and_distinct() -> None:
    first, again = cut(f"# T\n\n{LONG * 9}", 40), cut(f"# T\n\n{LONG * 9}", 40)
    assert [passage.id for passage in first] == [passage.id for passage in again]
    assert len({passage.id for passage in first}) == len(first) == first[-1].position + 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Use e.g. Redis 6.2 or later. Then go.", ["Use e.g. Redis 6.2 or later.", "Then go."]),
        ("El Sr. Pérez llegó. ¿Y tú? ¡Sí!", ["El Sr. Pérez llegó.", "¿Y tú?", "¡Sí!"]),
        ("Set `a.b. C` first. Then `x`.", ["Set `a.b. C` first.", "Then `x`."]),
        ("It says “Stop.” Then it goes on… and on.", ["It says “Stop.”", "Then it goes on… and on."]),
        ("Wait (see p. 4). **Bold.** Next\nline.", ["Wait (see p. 4).", "**Bold.**", "Next line."]),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize("mark", ["{#old-id}", "{ #old-id }"])
def test_a_heading_that_names_its_anchor_keeps_it(mark: str) -> None:
    passages = split(
        document(f"# Page\n\n## Pay day {mark}\n\nOn the last working day."), window=128, count_tokens=words
    )
    assert [(each.headings, each.url.partition("#")[2]) for each in passages] == [(("Page", "Pay day"), "old-id")]


def test_prose_is_cut_short_and_code_stays_whole() -> None:
    code = "```python\n" + "\n".join(f"line_{number} = {number}" for number in range(40)) + "\n```"
    prose = " ".join(f"Sentence number {number} says what sentences say." for number in range(60))
    passages = split(document(f"# Page\n\n{prose}\n\n{code}"), window=2000, count_tokens=words)
    assert passages[-1].text == code
    assert all(words(each.text) <= PROSE for each in passages[:-1])
    assert len(passages) > 2


def test_a_question_and_its_answer_stay_a_passage_of_their_own_however_short() -> None:
    faq = "# FAQ\n\n## Who pays customs?\n\nYou do.\n\n## Is it insured?\n\nYes.\n"
    passages = split(document(faq), window=128, count_tokens=words)
    assert [(each.headings[-1], each.text) for each in passages] == [
        ("Who pays customs?", "You do."),
        ("Is it insured?", "Yes."),
    ]
    assert [each.url.partition("#")[2] for each in passages] == ["who-pays-customs", "is-it-insured"]


def test_a_row_longer_than_a_passage_keeps_the_names_of_its_columns() -> None:
    table = (
        f"| Rule | Text | Owner |\n|---|---|---|\n| A1 | short | Ana |\n| B2 | {LONG * 8} | Bea |\n| C3 | short | Eva |"
    )
    passages = [passage.text for passage in cut(table)]
    assert passages[0].endswith("| A1 | short | Ana |")
    assert all(text.startswith("Rule: B2\nText: One two") for text in passages[1:-1])
    assert "Owner: Bea" in passages[-1] or "Owner: Bea" in passages[-2]
    assert passages[-1].endswith("| Rule | Text | Owner |\n|---|---|---|\n| C3 | short | Eva |")
