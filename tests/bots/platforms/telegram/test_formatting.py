"""Markdown becomes HTML that Telegram takes, in pieces that fit, with nothing lost and nothing smuggled in."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bots.messages import OutgoingReply
from bots.platforms.telegram.replying.formatting import Span, answer_spans, markdown_spans, render, to_html
from bots.platforms.telegram.replying.splitting import split
from tests.bots.platforms.telegram.scene import source
from tests.loopback.telegram_html import parse_html, utf16_length


def html(markdown: str) -> str:
    return to_html(markdown_spans(markdown))


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("# Title *one*", "<b>Title <i>one</i></b>"),
        ("a **b** _c_ ~~d~~ `e<f`", "a <b>b</b> <i>c</i> <s>d</s> <code>e&lt;f</code>"),
        ("**bold `code`**", "<b>bold </b><code>code</code>"),
        ("[x](https://a.b/?q=1&r=2)", '<a href="https://a.b/?q=1&amp;r=2">x</a>'),
        ("[`x`](https://a.b)", '<a href="https://a.b">x</a>'),
        ("[x](tg://user?id=1) [y](javascript:1)", "x [y](javascript:1)"),
        ("[m](mailto:a@b.c)", '<a href="mailto:a@b.c">m</a>'),
        ("![pic](https://a.b/p.png)", '<a href="https://a.b/p.png">pic</a>'),
        ("<b>raw</b> & <script>", "&lt;b&gt;raw&lt;/b&gt; &amp; &lt;script&gt;"),
        ("- a\n- b\n  1. c\n  2. d", "• a\n• b\n   1. c\n   2. d"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("> a\n>\n> > b", "<blockquote>a\n\nb</blockquote>"),
        ("```python\nx < 1\n```", '<pre><code class="language-python">x &lt; 1</code></pre>'),
        ('```a"onclick=\nx\n```', '<pre><code class="language-a">x</code></pre>'),
        ("| a | bb |\n|---|---|\n| 1 | **2** |", "<pre>a | bb\n--+---\n1 | 2</pre>"),
        ("one\ntwo\n\nthree\n\n---", "one\ntwo\n\nthree\n\n———"),
        ("see [1]\n\n[1]: https://evil.example", "see [1]\n\n[1]: https://evil.example"),
        ("open ```\ncode", "open ```\ncode"),
        ("**half", "**half"),
    ],
)
def test_markdown_becomes_the_styles_that_telegram_knows(markdown: str, expected: str) -> None:
    assert html(markdown) == expected
    parse_html(expected)


WORDS = st.text(st.sampled_from("abcñ é.!?<>&\"'@#/_*`~[]()|\n 🦜👩‍👧-1=\t"), max_size=40)
BLOCKS = st.one_of(
    WORDS,
    WORDS.map(lambda text: f"```py\n{text}\n```"),
    WORDS.map(lambda text: f"- {text}\n- **{text}**"),
    WORDS.map(lambda text: f"> {text}\n>> {text}"),
    WORDS.map(lambda text: f"## {text} `{text}` [{text}](https://a.b)"),
    WORDS.map(lambda text: f"| a | {text} |\n|---|---|\n| {text} | b |"),
)
DOCUMENTS = st.lists(BLOCKS, max_size=6).map("\n\n".join)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@given(markdown=DOCUMENTS, limit=st.integers(20, 200))
@settings(max_examples=150, deadline=None)
@example(markdown="```\n" + "x" * 500 + "\n```", limit=60)
@example(markdown="**" + "🦜" * 300 + "**", limit=33)
def test_every_piece_is_valid_fits_and_together_they_are_the_whole_text(markdown: str, limit: int) -> None:
    spans = answer_spans(markdown)
    pieces = split(spans, limit)
    parsed = [parse_html(piece.html) for piece in pieces]
    assert all(0 < utf16_length(part.text) <= limit for part in parsed)
    assert [part.text for part in parsed] == [piece.plain.strip() for piece in pieces]
    assert squeezed("".join(part.text for part in parsed)) == squeezed("".join(span.text for span in spans))


@given(words=st.lists(st.from_regex(r"[A-Za-zñé0-9]{1,9}", fullmatch=True), min_size=1, max_size=60))
@settings(max_examples=50, deadline=None)
def test_no_word_of_a_text_is_lost(words: list[str]) -> None:
    for markdown in (" ".join(words), "\n\n".join(words), "- " + "\n- ".join(words), "> " * 30 + " ".join(words)):
        assert squeezed("".join(words)) in squeezed(html(markdown).replace("•", ""))


@given(markdown=DOCUMENTS)
@settings(max_examples=100, deadline=None)
@example(markdown="@admin, [@admin](https://a.b) **#now** (/forget)")
def test_an_answer_calls_nobody_and_commands_nothing(markdown: str) -> None:
    for piece in split(answer_spans(markdown)):
        found = [entity for entity in parse_html(piece.html).entities if entity.kind in ("mention", "hashtag")]
        assert found == []
    commands = [entity.text for entity in parse_html(to_html(answer_spans(markdown))).entities]
    assert "/forget" not in commands


def test_paths_and_addresses_can_still_be_copied() -> None:
    text = "See /etc/hosts, https://a.b/@x#y, a@b.c and C#."
    assert "".join(span.text for span in answer_spans(text)) == text


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("One two.\n\nThree four five.", 20, ["One two.", "Three four five."]),
        ("One two three\nfour five six", 20, ["One two three", "four five six"]),
        ("One two. Three four five.", 20, ["One two.", "Three four five."]),
        ("One two three four", 14, ["One two three", "four"]),
        ("x" * 25, 10, ["x" * 10, "x" * 10, "x" * 5]),
        ("🦜" * 6, 5, ["🦜🦜", "🦜🦜", "🦜🦜"]),
        ("12345 78901", 5, ["12345", "78901"]),
        ("   \n ", 5, []),
    ],
)
def test_a_text_is_cut_at_paragraph_line_sentence_word(text: str, limit: int, expected: list[str]) -> None:
    assert [piece.plain for piece in split([Span(text=text)], limit)] == expected


def test_a_code_block_that_is_cut_is_opened_again_and_keeps_its_indentation() -> None:
    first, second = split(markdown_spans("```py\nif a:\n    b = 1\n    c = 2\n```"), 16)
    assert first.html == '<pre><code class="language-py">if a:\n    b = 1</code></pre>'
    assert second.html == '<pre><code class="language-py">    c = 2</code></pre>'


def test_a_family_is_not_torn_apart() -> None:
    pieces = split([Span(text="a" * 8 + "👩‍👧‍👦" + "b" * 8)], 12)
    assert "".join(piece.plain for piece in pieces).count("👩‍👧‍👦") == 1
    assert any("👩‍👧‍👦" in piece.plain for piece in pieces)


def test_steps_with_code_and_the_sign_of_more_are_shown_as_such() -> None:
    answer = (
        "9. Add the key:\n\n   ```sh\n   apt-key add <key>\n   ```\n10. Check it. [1]\n\n"
        "… 4 more steps: [Install: Linux](<https://h.example/install#linux>)"
    )
    assert to_html(answer_spans(answer)) == (
        '9. Add the key:\n<pre><code class="language-sh">apt-key add &lt;key&gt;</code></pre>\n10. Check it. [1]\n\n'
        '… 4 more steps: <a href="https://h.example/install#linux">Install: Linux</a>'
    )


def test_a_source_says_when_it_was_changed() -> None:
    known = source(title="Vacaciones")
    dated = replace(known, passage=replace(known.passage, updated_at=datetime(2026, 5, 3, tzinfo=UTC)))
    reply = OutgoingReply(turn_id="0" * 16, kind="answer", text="Sí.", language="es", sources=(dated,))
    assert "Vacaciones (actualizado el 3 de mayo de 2026)</a>" in to_html(render(reply))


def test_sources_are_headed_in_the_language_of_the_answer() -> None:
    reply = OutgoingReply(turn_id="0" * 16, kind="answer", text="Sí.", language="es", sources=(source(title="A & @b"),))
    assert to_html(render(reply)) == (
        'Sí.\n\n<b>Fuentes</b>\n1. <a href="https://help.example.com/page#a">A &amp; @\u2060b</a>'
    )
