"""What a page's site reads, and a reader never sees: it goes, and code stays as it is."""

from __future__ import annotations

from datetime import UTC, datetime
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.knowledge.loaders.cleaning.page import clean_converted, clean_page
from rag.text.blocks import parse


def cleaned(markdown: str, *, mdx: bool = False) -> str:
    return clean_page(markdown, mdx=mdx).markdown.strip()


@pytest.mark.parametrize(
    ("matter", "title", "date"),
    [
        ("---\ntitle: Plain\nupdated: 2026-01-02\n---\n", "Plain", datetime(2026, 1, 2, tzinfo=UTC)),
        ("---\ntitle: Travel: what is paid\ndescription: x\n---\n", "Travel: what is paid", None),
        ('---\ntitle: "Quoted: it"\ntags: [a, b]\n...\n', "Quoted: it", None),
        (
            "---\r\ntitle: Windows\r\nlast_update:\r\n  date: 2026-03-04\r\n---\r\n",
            "Windows",
            datetime(2026, 3, 4, tzinfo=UTC),
        ),
        (
            '+++\ntitle = "Toml"\nupdated = 2026-01-02T03:04:05Z\n+++\n',
            "Toml",
            datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        ),
        ('{\n  "title": "Json",\n  "updated": "2026-01-02"\n}\n', "Json", datetime(2026, 1, 2, tzinfo=UTC)),
        ("Title: Pelican\nModified: 2026-01-02\nCategory: x\n\n", "Pelican", datetime(2026, 1, 2, tzinfo=UTC)),
        ("---\ntitle: 2026\ndraft: true\n---\n", "2026", None),
        ("---\n---\n", "", None),
    ],
)
def test_front_matter_gives_title_and_date_and_is_not_shown(matter: str, title: str, date: datetime | None) -> None:
    page = clean_page(matter + "\nTaxis are paid.\n")
    assert (page.title, page.date, page.markdown.strip()) == (title, date, "Taxis are paid.")


@pytest.mark.parametrize(
    "text", ["---\n\nA rule above.\n\n---\n\nBelow.", "Note: this is text.\nIt goes on.", '{"a": 1} is JSON.']
)
def test_text_that_only_looks_like_front_matter_stays(text: str) -> None:
    assert clean_page(text).markdown.replace("---", "").split() == text.replace("---", "").split()


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("Before <!-- 9 percent --> after.", "Before after."),
        ("<!--\nDraft.\n\nSecret.\n-->\n\nShown.", "Shown."),
        ("<!-- one --> Shown.", "Shown."),
        ("- a <!-- x -->\n- b", "- a\n- b"),
        ("| A |\n|---|\n| b <!-- c --> |", "| A |\n| --- |\n| b |"),
        ("[//]: # (Secret.)\n\nShown.", "Shown."),
        ("{/* gone */}\n\nShown {/* gone */} here.", "Shown here."),
        ("{% comment %}\nSecret.\n{% endcomment %}\n\nShown.", "Shown."),
        ("An open <!-- stays text", "An open <!-- stays text"),
        ("Shown.\n\n<!-- open to the end\n\nHidden.", "Shown."),
    ],
)
def test_comments_are_hidden_as_a_browser_hides_them(markdown: str, shown: str) -> None:
    assert cleaned(markdown) == shown


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("<details>\n<summary>When?</summary>\n\nIn April.\n\n</details>", "**When?**\n\nIn April."),
        ('<p align="center"><img src="x.png" alt="Plan"></p>', "Plan"),
        ('<h2 id="b">Booking</h2>\n<p>In the <b>calendar</b>.</p>', "## Booking {#b}\n\nIn the **calendar**."),
        ("<ul>\n  <li>One</li>\n\n    <li>Two</li>\n</ul>", "- One\n\n- Two"),
        ("<ol><li>a</li><li>b</li></ol>", "1. a\n\n2. b"),
        ("10<sup>2</sup> H<sub>2</sub>O <kbd>Ctrl</kbd>", "10^2 H2O `Ctrl`"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ('<a href="https://a.b">site</a> <font color=red>red</font>', "[site](https://a.b) red"),
        ("<script>\nalert(1)\n\n</script>\n<style>p{}</style>\n\nText.", "Text."),
        ('<div class="x">\n\n## Inside\n\nText.\n\n</div>', "## Inside\n\nText."),
        ("<dl><dt>Term</dt><dd>Meaning</dd></dl>", "**Term**\n\nMeaning"),
        ("Write <user-name> and a < b.", "Write \\<user-name> and a < b."),
        ("&copy; 2026&nbsp;x &lt;b&gt;", "© 2026 x \\<b>"),
        ("See <https://a.b/c>.", "See https://a.b/c."),
    ],
)
def test_html_becomes_markdown(markdown: str, shown: str) -> None:
    assert cleaned(markdown) == shown


def test_an_html_table_becomes_one_whose_spanned_cells_are_filled() -> None:
    page = (
        '<table>\n<tr><th>Region</th><th>Plan</th></tr>\n\n<tr><td rowspan="2">North</td><td>Basic</td></tr>\n\n'
        "<tr><td>\n\nPlus | more\n\n</td></tr>\n</table>"
    )
    assert cleaned(page) == "| Region | Plan |\n| --- | --- |\n| North | Basic |\n| North | Plus \\| more |"


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("## Fees {: #fees .big }", "## Fees {#fees}"),
        ("## Fees { #fees }", "## Fees { #fees }"),
        ("## Fees {.unnumbered}", "## Fees"),
        ("Text.\n{: .lead}", "Text."),
        (
            'A [link](https://a.b){: target="_blank"} and [one](https://c.d){target=_blank}.',
            "A [link](https://a.b) and [one](https://c.d).",
        ),
        ("![Plan](x.png){width=300}", "Plan"),
        ("A [span]{.smallcaps} here.", "A span here."),
        ("The set {a, b} and {x} stay.", "The set {a, b} and {x} stay."),
    ],
)
def test_attribute_lists_go_and_anchors_of_headings_stay(markdown: str, shown: str) -> None:
    assert [(each.text, each.anchor) for each in parse(cleaned(markdown))] == [
        (each.text, each.anchor) for each in parse(shown)
    ]


@pytest.mark.parametrize(
    "markdown",
    [
        "!!! warning\n    Mind the gap.",
        '!!! note "Warning"\n    Mind the gap.',
        "??? warning\n    Mind the gap.",
        "???+ warning\n\n    Mind the gap.\n",
        ":::warning\nMind the gap.\n:::",
        ":::info[Warning]\n\nMind the gap.\n\n:::",
        "::: tip Warning\nMind the gap.\n:::",
        "::::warning\nMind the gap.\n::::",
        '::: {.callout-note title="Warning"}\nMind the gap.\n:::',
        "/// warning\nMind the gap.\n///",
        "/// note | Warning\n    open: True\nMind the gap.\n///",
        '=== "Warning"\n\n    Mind the gap.',
        "```{warning}\nMind the gap.\n```",
        "```{admonition} Warning\n:class: tip\nMind the gap.\n```",
        '{% hint title="Warning" %}\nMind the gap.\n{% endhint %}',
        '{{< callout title="Warning" >}}\nMind the gap.\n{{< /callout >}}',
        '{{% tab "Warning" %}}\nMind the gap.\n{{% /tab %}}',
        '<Tabs>\n<TabItem value="w" label="Warning">\n\nMind the gap.\n\n</TabItem>\n</Tabs>',
    ],
)
def test_boxes_and_tabs_keep_their_title_and_their_text(markdown: str) -> None:
    assert cleaned(markdown) == "**Warning:**\n\nMind the gap."


def test_an_alert_of_github_keeps_its_kind() -> None:
    assert cleaned("> [!CAUTION]\n> Mind the gap.") == "> **Caution:**\n> Mind the gap."


@pytest.mark.parametrize(
    "module",
    [
        "import Tabs from '@theme/Tabs';\nimport {A, B} from \"@x/y\";",
        "import './style.css';",
        "import {\n  A,\n  B,\n} from 'x';",
        "export const Level = () => <b>3</b>;",
        "export const meta = {\n  title: 'x',\n\n  list: [1, 2],\n};",
        "export default function Layout({children}) {\n  return <div>{children}</div>;\n}",
    ],
)
def test_modules_of_mdx_are_left_out(module: str) -> None:
    assert cleaned(f"{module}\n\nRun it.", mdx=True) == "Run it."
    assert cleaned("import the contacts from the file first.") == "import the contacts from the file first."


def test_expressions_of_mdx_give_their_text_only_in_mdx() -> None:
    assert cleaned("Press{' '}\"Save\" {'now'}.", mdx=True) == 'Press "Save" now.'
    assert cleaned("The set {'a'} stays.") == "The set {'a'} stays."


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("Version {{ site.version }} of {{ product }}.", "Version of product."),
        ("{% include toc.html %}\n\nText.", "Text."),
        ('{{< youtube id="x" >}}\n\nText.', "Text."),
        ('See [the guide]({{< ref "guide.md" >}}).', "See the guide."),
        ("{% highlight ruby %}\nputs '{{ x }}'\n{% endhighlight %}", "```ruby\nputs '{{ x }}'\n```"),
        ("[TOC]\n\nText.", "Text."),
        ('--8<-- "snippets/x.md"\n\nText.', "Text."),
        ("{* ../src/a.py hl[1] *}\n\nText.", "Text."),
        ("::: package.module\n    options:\n        x: 1\n\nText.", "Text."),
        ("Press ++ctrl+c++ for ==marked== :material-check: text.", "Press ctrl+c for marked text."),
        ("See {ref}`label` and [[Page]] and [[a/b|shown]].", "See `label` and Page and shown."),
        ("- [ ] open\n- [x] done", "- ☐ open\n- ☑ done"),
    ],
)
def test_templates_and_shortcodes_are_left_out(markdown: str, shown: str) -> None:
    assert cleaned(markdown) == shown


def test_notes_stand_behind_the_paragraph_that_refers_to_them() -> None:
    page = "One[^1] and two[^long].\n\nNext^[An aside.].\n\n[^1]: First.\n[^long]:\n    Second,\n\n    with *more*.\n"
    assert cleaned(page) == "One and two.\n\nFirst.\n\nSecond,\n\nwith *more*.\n\nNext (An aside.)."


def test_reference_links_are_resolved() -> None:
    assert cleaned("The [tool][exp], [exp] and [x][].\n\n[exp]: https://a.b/c\n[x]: https://d.e") == (
        "The [tool](https://a.b/c), [exp](https://a.b/c) and [x](https://d.e)."
    )


def test_badges_go_and_other_pictures_leave_their_description() -> None:
    page = "[![Build](https://img.shields.io/x.svg)](https://ci)\n[![Cov](https://codecov.io/b)](https://c)\n\n![A plan](p.png)"
    assert cleaned(page) == "A plan"


CODE = [
    "```html\n<div class='x'>{{ y }}</div>\n<!-- shown -->\n```",
    "~~~\n!!! note\n:::tip\n[^1]: x\n~~~",
    "    <div>{% if %}</div>",
    "Use `<div>`, `{{ x }}`, `{: .a}` and `[^1]`.",
    "- item\n\n  ```\n  import x from 'y'\n  ```",
    "> ```\n> <b>\n> ```",
]


@pytest.mark.parametrize("code", CODE)
def test_code_stays_letter_for_letter(code: str) -> None:
    assert clean_page(code).markdown == code


def test_code_in_a_list_that_has_markup_stays_too() -> None:
    assert (
        cleaned("1. Run <b>it</b>:\n\n   ```sh\n   echo '<b>' {{ x }}\n   ```")
        == "1. Run **it**:\n\n   ```sh\n   echo '<b>' {{ x }}\n   ```"
    )


def test_html_code_is_fenced_with_its_language() -> None:
    assert (
        cleaned('<pre><code class="language-js">let a = &lt;b&gt;;\n  x</code></pre>')
        == "```js\nlet a = <b>;\n  x\n```"
    )


@given(st.lists(st.text("abc XYZ.,;éñ1", min_size=1).filter(str.strip), min_size=1, max_size=8))
def test_plain_prose_keeps_every_word(paragraphs: list[str]) -> None:
    text = "\n\n".join(paragraphs)
    assert clean_page(text).markdown.split() == clean_converted(text).split()


@given(st.text("<>!-{}[]:`*_#|/ ab\n\"'^=%&;", max_size=200))
def test_no_text_breaks_the_cleaning(text: str) -> None:
    assert isinstance(clean_page(text).markdown, str)


@pytest.mark.parametrize(
    "hostile",
    [
        "<",
        "<a ",
        '<a "',
        "<!--",
        "[",
        "![",
        "[^1",
        "{{",
        "{% ",
        "{:",
        "<div>\n\n",
        "<table>\n",
        ":::note\n",
        "{% highlight x %}\n",
        "word ",
        "^[",
        "export const x = {\n\n",
    ],
)
def test_hostile_text_is_read_in_bounded_time(hostile: str) -> None:
    began = process_time()
    clean_page(hostile * (200_000 // len(hostile)))
    assert process_time() - began < 15


def test_deep_nesting_loses_no_word() -> None:
    assert "bottom" in cleaned("> " * 300 + "<b>bottom</b>")
    assert "bottom" in cleaned("<div>" * 500 + "bottom")
    assert "bottom" in cleaned("".join("    " * depth + "!!! note\n" for depth in range(100)) + "    " * 100 + "bottom")


def test_a_long_paragraph_with_markup_is_cleaned_to_its_end() -> None:
    shown = cleaned("Some words <b>here</b> and [there](https://a.b/c). " * 2000)
    assert shown.count("**here**") == shown.count("[there](https://a.b/c)") == 2000


def test_characters_are_those_of_questions() -> None:
    assert (
        cleaned("The ware\u00adhouse of\u200bfice at\u00a0nine, cafe\u0301.") == "The warehouse office at nine, café."
    )
    assert clean_converted("a\u00adb\n\n```\nx\u00ady\n```\n\nc\u200bd") == "ab\n\n```\nx\u00ady\n```\n\ncd"
