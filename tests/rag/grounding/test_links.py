"""What of a model's statement may be sent: links of the passages that it cites, no image, nothing that calls anybody."""

from __future__ import annotations

import re
from html import unescape
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bots.messages import OutgoingReply
from bots.platforms.slack.replying.formatting import harmless
from bots.platforms.telegram.replying.formatting import render, to_html
from rag.grounding.links import permitted_markdown
from rag.text.addresses import address_key, find_addresses
from tests.rag.fakes import passage
from tests.rag.injected import images, links

JOINER = "\u2060"
CITED = [
    passage(
        "See [the guide](https://docs.example.com/guide?v=1) and <https://portal.example.net/in>; mail desk@corp.example or call "
        "+34 600 123 456. Run `main.py`. The page /docs shows all. ![plan](https://pixel.example.org/p.png) "
        '<a href="https://old.example.com/x">old</a> [split](https://evil.example/own)\n\n[ref]: https://ref.example.com/r',
        title="Guide",
    )
]
OURS = {
    "https://docs.example.com/guide?v=1", "https://portal.example.net/in", "https://old.example.com/x",
    "https://ref.example.com/r",
    "https://evil.example/own", "mailto:desk@corp.example", "tel:+34600123456", CITED[0].url,
}  # fmt: skip
STRANGE = (
    "https://bad.example/x", "http://bad.example", "HTTPS://BAD.EXAMPLE/x", "hxxps://bad.example/x",
    "ftp://bad.example/x",
    "bad.example/x", "www.bad.example", "bad.com", "bad.io", "xn--bd-xka.com", "bàd.com", "10.0.0.1/x",
    "http://2130706433/",
    "http://[::1]/", "https://docs.example.com/guide?v=1&said=secret", "https://docs.example.com/guide",
    "https://docs.example.com",
    "https://docs.example.com@bad.example/guide?v=1", "https:\\\\bad.example",
    "https://bad.example\\@docs.example.com/guide?v=1",
    "mailto:me@bad.example", "me@bad.example", "tel:+15550001", "+1 555 000 1111", "tg://resolve?domain=bad",
    "t.me/bad",
    "https://b\u200bad.example/x", "https://bad\u00ad.example", "b\u2060ad.example/x", "https://bad。example/x",
    "bad．com",
    "https&#58;//bad.example", "https&colon;//bad.example", "bad&period;com", "https\\://bad.example", "bad\\.com",
    "https://\u202edab.example", "slack://open", "javascript://bad.example/%0aalert(1)", "//bad.example/x",
    "https://pixel.example.org/p.png",
)  # fmt: skip
FORMS = (
    "{0}", "See {0} now.", "({0})", "**{0}**", "*{0}*", "~~{0}~~", "[here]({0})", "[here](<{0}>)",
    '[here]({0} "title")', "[here]( {0} )",
    "<{0}>", "<{0}|here>", "[here][r]\n\n[r]: {0}", "[here][]\n\n[here]: {0}", "[here]: {0}", "> [1]: {0}",
    "- [1]: <{0}>",
    '<a href="{0}">here</a>', "<a href={0}>here</a>", "[a [b] c]({0})", "[`code`]({0})",
    "| a |\n|---|\n| [here]({0}) |",
    "![here]({0})", "[![here]({0})](https://portal.example.net/in)", "![here][r]\n\n[r]: {0}", '<img src="{0}">',
    "<img src={0}/>",
    "[https://portal.example.net/in]({0})", "- {0}", "1. [here]({0})", "# {0}", "> {0}", "&lt;{0}&gt;", "[he\nre]({0})",
    "\\[here]({0})", "[here\\]({0})", "`x` [here]({0}) `y`", "`[here]({0})", "[here]({0}) ` x",
    "(https://portal.example.net/in){0}",
    "https://portal.example.net/in){0}", "<b>{0}</b>", "<details><summary>{0}</summary></details>", "\\`[here]({0})\\`",
    "- x\n  ```\n[here]({0})\n  ```", "> ```\n[here]({0})\n```", "| `a | [here]({0}) ` |\n|---|\n| b |",
    "``[here]({0})`", "`a\n\n[here]({0})`",
)  # fmt: skip


PARSER = MarkdownIt("commonmark", {"html": False}).enable("table")
PARSER.validateLink = bool  # type: ignore[method-assign, assignment]


def reachable(markdown: str) -> set[str]:
    """Everywhere that either platform would lead a reader, or what it would fetch."""
    html = to_html(render(OutgoingReply(turn_id="t", kind="answer", text=markdown)))
    hrefs = set(re.findall(r'<a href="([^"]*)"', html))
    uncoded = re.sub(r"<pre>.*?</pre>|<code[^>]*>.*?</code>|<a href.*?</a>", " ", html, flags=re.DOTALL)
    shown = unescape(re.sub(r"<[^>]*>", "", uncoded))
    blocks = [token.children or [] for token in PARSER.parse(harmless(markdown))]
    inline = [child for block in blocks for child in block]
    hrefs |= {
        str(each.attrGet("href") or each.attrGet("src") or "") for each in inline if each.type in ("link_open", "image")
    }
    texts = (shown, *("".join(SPACES.get(each.type, each.content) for each in block) for block in blocks))
    return (hrefs - {""}) | {
        each.full for text in texts for each in find_addresses(text.replace("<", " ")) if each.is_sure
    }


SPACES = {"softbreak": "\n", "hardbreak": "\n", "code_inline": " ", "link_open": " ", "link_close": " "}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("address", STRANGE)
def test_a_target_that_no_cited_passage_holds_leads_nobody_anywhere(address: str, form: str) -> None:
    sent = permitted_markdown(form.format(address), CITED)
    assert {address_key(link) for link in reachable(sent)} <= {address_key(link) for link in OURS}


@pytest.mark.parametrize(
    "statement",
    [
        "Read [the guide](https://docs.example.com/guide?v=1). [1]",
        "Read <https://portal.example.net/in> [1], then [2].",
        "Go to https://portal.example.net/in, please [1].",
        "Write to <desk@corp.example> [1].",
        "Write to desk@corp.example or call +34 600 123 456 [1].",
        "Run `main.py` or main.py; see /docs [1].",
        "It costs 3.5 euros, e.g. in U.S. shops at 10 a.m., since v1.2.3 [1][2].",
        "```python\n@app.get('https://bad.example/x')\n[a](b)\n```",
        "Use `<@U1>` or ``a`b`` and `[x](https://bad.example)`.",
        "A < B, c > d & e_f *so* **it** is; 2 * 3 * 4 [12].",
        "- The first step [1]",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "Familia 👨‍👩‍👧 y corazón ❤️: sí [1].",
    ],
)
def test_an_honest_statement_stays_as_it_is(statement: str) -> None:
    assert permitted_markdown(statement, CITED) == statement


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("See [it](https://bad.example/x) [1].", "See it [1]."),
        ("See https://bad.example/x for more [1].", "See for more [1]."),
        ("https://bad.example/x [1]", ""),
        ("![plan](https://bad.example/x)", "plan"),
        ("![](https://bad.example/x) [1]", ""),
        ("[1]: https://bad.example/x", ""),
        ("[1](https://bad.example/x) [[2]](https://portal.example.net/in) so [3].", "so [3]."),
        ("[Here](HTTPS://DOCS.example.com:443/%67uide/?v=1#top).", "[Here](https://docs.example.com/guide?v=1)."),
        ("[here](desk@corp.example), [now](tel:+34-600-123-456)", "here, [now](tel:+34600123456)"),
        ("[https://bank.example](https://evil.example/own)", "[evil.example](https://evil.example/own)"),
        ("[log in at bank.com now](https://evil.example/own)", "[evil.example](https://evil.example/own)"),
        ("[**bank**.com](https://evil.example/own)", "[evil.example](https://evil.example/own)"),
        ("[evil.example](https://evil.example/own)", "[evil.example](https://evil.example/own)"),
        ("<b>Bold</b> and <script>alert(1)</script> List<String>", "Bold and alert(1) List\\<String>"),
        ("b**ad**.com", ""),
        ("https://portal.example.net/in**?said=secret**", "https://portal.example.net/in **?said=secret**"),
        ("b**a**d.com", "b**a**"),
        ("(see https://bad.example/x)", "(see)"),
    ],
)
def test_a_label_outlives_its_target(written: str, sent: str) -> None:
    assert permitted_markdown(written, CITED).strip() == sent


@pytest.mark.parametrize(
    "call",
    [
        "<@U1>",
        "<!here>",
        "<!channel>",
        "<!subteam^S1>",
        "<#C1>",
        "&lt;@U1&gt;",
        "\\<@U1>",
        "<!date^1^{date}^https://bad.example|x>",
    ],
)
def test_nothing_calls_anybody_in_slack(call: str) -> None:
    sent = permitted_markdown(f"Tell {call} now.", CITED)
    assert not re.search(r"(?:<|&lt;|&#60;)\\?[@!#]", sent)
    assert sent.startswith("Tell")
    assert sent.endswith("now.")


@pytest.mark.parametrize(
    "name",
    ["@channel", "@here", "@everyone", "@someone_bot", "\\@channel", "&#64;channel", "@\u200bchannel", "＠channel"],
)
def test_a_name_is_read_and_called_by_nobody(name: str) -> None:
    sent = permitted_markdown(f"Ask **{name}** first.", CITED)
    assert not re.search(r"[@＠]\w", sent)
    assert sent.replace(JOINER, "").replace("＠", "@").startswith("Ask **@")


@pytest.mark.parametrize(
    "line",
    ["/forget", "- /forget all", "> /forget", ">/forget", "**/forget**", "Then /forget it", "\\/forget", "&sol;forget"],
)
def test_a_command_cannot_be_tapped(line: str) -> None:
    sent = permitted_markdown(line, CITED)
    assert "/forget" not in sent
    assert "/forget" in sent.replace(JOINER, "")


def test_a_path_of_the_passage_can_be_copied_but_not_tapped_at_the_beginning() -> None:
    assert (
        permitted_markdown("The page /docs and the file /etc/hosts [1]", CITED)
        == "The page /docs and the file /etc/hosts [1]"
    )
    assert permitted_markdown("/docs shows all", CITED) == f"/{JOINER}docs shows all"


def test_a_name_with_dots_that_is_no_sure_address_stays_readable_and_is_no_link() -> None:
    sent = permitted_markdown("Edit setup.py and call it.Now", CITED)
    assert sent.replace(JOINER, "") == "Edit setup.py and call it.Now"
    assert [each.text for each in find_addresses(sent) if "." in each.text] == []


def test_without_a_passage_nothing_is_linked() -> None:
    assert permitted_markdown("See [it](https://docs.example.com/guide?v=1).", []) == "See it."


HOSTILE = st.lists(
    st.sampled_from([
        *STRANGE, *OURS, "[", "]", "(", ")", "<", ">", "!", "`", "``", "```\n", "~~~\n", "\\", "&#91;", "&lt;",
        "&amp;", "*", "**", "_", "|",
        "\n", "\n\n", " ", "  ", "- ", "> ", "1. ", "[1]", "[1]:", "[a]", "](", "][", "![", "a", "b.c", "@", "/",
        ":", "\u200b", "\u202e", "\ue000", "\ue001",
        '<a href="', '">', "<img src=", "<@U1>", "<!here>", "@here", "/start", "|---|\n", "\t", "    ", '"', "'",
        "#", "+", "é", "。",
    ]),
    max_size=14,
).map("".join)  # fmt: skip


@settings(max_examples=1000, deadline=None)
@given(HOSTILE)
def test_no_mixture_of_signs_leads_anywhere_else_or_shows_an_image(statement: str) -> None:
    sent = permitted_markdown(statement, CITED)
    assert images(sent) == []
    assert {address_key(link) for link in reachable(sent)} <= {address_key(link) for link in OURS}
    assert not re.search("[\u202e\u200b\ue000-\uf8ff]", sent)


@settings(max_examples=200, deadline=None)
@given(HOSTILE)
def test_no_definition_survives_for_the_markers_of_the_answer(statement: str) -> None:
    probe = permitted_markdown(statement, CITED) + "\n\n[1] [a] [here]"
    assert links(probe) - links(permitted_markdown(statement, CITED)) == set()


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(categories=["L", "N", "Zs"], include_characters="'\",;!?"), max_size=200))
def test_plain_words_stay_as_they_are(text: str) -> None:
    words = re.sub("[\u3164\uffa0\u115f\u1160\u17b4\u17b5]", "", text)
    assert permitted_markdown(words, CITED) == words


@pytest.mark.parametrize(
    "unit",
    ["[", "[a ", "[a](", "`", "` `` ``` ", "<a ", "a.", "a@", "&", "\\", "![[", "https://", "https://a)", "<!--",
     "[a [b] ", "/a", "+1 ",
     "(", "```\n", "[a](b ", "a:", "~~~\n", "[x]:", "*a.b*", "[ \n", "\\`", "|", "&#91;", "tel:1"],
)  # fmt: skip
def test_a_long_hostile_statement_takes_no_longer_than_its_length(unit: str) -> None:
    def seconds(length: int) -> float:
        began = process_time()
        permitted_markdown(unit * (length // len(unit)), CITED)
        return process_time() - began

    permitted_markdown(unit * 100, CITED)
    assert seconds(40_000) < 8 * max(seconds(10_000), 0.01)


@pytest.mark.parametrize("between", ['"\n"', '""', "()", "“”"])
@pytest.mark.parametrize("after", ["+", "/own", "y"])
def test_what_stood_between_an_address_and_more_text_lets_them_not_grow_together(between: str, after: str) -> None:
    sent = permitted_markdown(f"`https://old.example.com/x{between}{after}", CITED)
    assert f"x{after}" not in sent
