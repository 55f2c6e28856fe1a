"""Converts HTML and JSX inside Markdown to Markdown: tag by tag, because Markdown cuts HTML at blank lines.

Elements of a page are often open in one block and closed in another, so no tree is built. Every step moves forward in
the text, so the time is linear in its length.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rag.knowledge.loaders.tables import table

TAG = re.compile(
    r"<(?P<close>/?)(?P<name>[A-Za-z][\w.:-]{0,60})"
    r"(?P<attributes>(?:[^<>\"'{}]++|\"[^\"]{0,4000}\"|'[^']{0,4000}'|"
    r"\{(?:[^{}]{0,4000}+|\{(?:[^{}]{0,4000}+|\{[^{}]{0,4000}\}){0,50}+\}){0,50}+\}){0,100}+)>"
)
"""An HTML or JSX tag. Possessive and bounded, so that an unclosed quote or brace ends the search soon."""
_ATTRIBUTE = re.compile(r"""([\w:@.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|\{\s*["'`]([^"'`{}]*)["'`]\s*\}|([^\s"'{}<>]+))""")
_CODE = re.compile(r"(?P<ticks>`{1,20})(?!`)(?:(?!(?P=ticks)).){1,2000}?(?P=ticks)(?!`)", re.DOTALL)

HIDDEN = frozenset(
    [
        "script",
        "style",
        "template",
        "noscript",
        "head",
        "svg",
        "math",
        "iframe",
        "object",
        "video",
        "audio",
        "canvas",
        "select",
    ]
)
BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "center",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hgroup",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "menu",
        "nav",
        "ol",
        "optgroup",
        "option",
        "p",
        "section",
        "summary",
        "ul",
    ]
)
_HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
_TABLES = frozenset(["table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption", "colgroup", "col"])
_INLINE = frozenset(
    [
        "a",
        "abbr",
        "acronym",
        "area",
        "b",
        "base",
        "basefont",
        "bdi",
        "bdo",
        "big",
        "br",
        "button",
        "cite",
        "code",
        "data",
        "datalist",
        "del",
        "dfn",
        "em",
        "embed",
        "font",
        "frame",
        "frameset",
        "i",
        "img",
        "input",
        "ins",
        "kbd",
        "label",
        "link",
        "map",
        "mark",
        "meta",
        "meter",
        "nobr",
        "output",
        "param",
        "picture",
        "progress",
        "q",
        "rp",
        "rt",
        "ruby",
        "s",
        "samp",
        "slot",
        "small",
        "source",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "textarea",
        "time",
        "track",
        "tt",
        "u",
        "var",
        "wbr",
        "pre",
    ]
)
KNOWN = HIDDEN | BLOCKS | _HEADINGS | _TABLES | _INLINE
_LABELS = ("label", "title", "header", "summary", "heading", "tab")
"""Attributes of components that a reader sees, such as the name of a tab."""
_MARKS = {
    "b": "**",
    "strong": "**",
    "i": "*",
    "em": "*",
    "code": "`",
    "tt": "`",
    "samp": "`",
    "kbd": "`",
    "del": "~~",
    "s": "~~",
}
_VOID = frozenset(
    ["br", "hr", "img", "input", "meta", "link", "wbr", "area", "base", "col", "embed", "param", "source", "track"]
)


def attributes(text: str) -> dict[str, str]:
    """The attributes of a tag with text values; values that are computed (``{x}``) are left out."""
    found = _ATTRIBUTE.findall(text[:8000])
    return {name.lower(): html.unescape(next((value for value in values if value), "")) for name, *values in found}


def is_markup(tag: re.Match[str], closed: frozenset[str]) -> bool:
    """Whether a tag is markup, and no placeholder such as ``<user>``, which a writer forgot to mark as code.

    ``closed`` has the names of all closing tags of the page.
    """
    name, rest = tag["name"], tag["attributes"].strip()
    if name.lower() in KNOWN or tag["close"] or name in closed:
        return True
    return rest.endswith("/") or "=" in rest


def closing_names(text: str) -> frozenset[str]:
    """The names of the closing tags in a text."""
    return frozenset(re.findall(r"</([A-Za-z][\w.:-]{0,60})\s*>", text))


@dataclass(slots=True)
class _Open:
    name: str
    attributes: Mapping[str, str]
    parts: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    spans: dict[tuple[int, int], str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(self.parts)


class Sink:
    """Takes tags and text in their order and writes Markdown. Elements that are never closed keep their text."""

    def __init__(self, *, inline: bool = False) -> None:
        self._inline = inline
        self._stack = [_Open("", {})]

    def text(self, text: str) -> None:
        """Adds text as it stands, which may be Markdown."""
        if not self._is_hidden():
            self._stack[-1].parts.append(text)

    def tag(self, tag: re.Match[str]) -> None:
        """Adds a tag."""
        name = tag["name"].lower() if tag["name"].lower() in KNOWN else tag["name"]
        if tag["close"]:
            self._close(name)
            return
        self._open(name, tag["attributes"])

    def result(self) -> str:
        """The Markdown of all that was added."""
        while len(self._stack) > 1:
            self._pop()
        return self._stack[0].text

    @property
    def is_code(self) -> bool:
        """Whether the next text is code."""
        return self._stack[-1].name in ("code", "tt", "samp", "kbd", "pre")

    def _is_hidden(self) -> bool:
        return self._stack[-1].name in HIDDEN

    def _open(self, name: str, text: str) -> None:
        if self._is_hidden():
            return
        values = attributes(text)
        empty = text.rstrip().endswith("/")
        if name == "br":
            self._add("\n" if not self._in("td", "th") else " ")
        elif name == "img":
            self._add(values.get("alt", ""))
        elif name not in KNOWN:
            label = next((values[key] for key in _LABELS if values.get(key, "").strip()), "")
            self._add(f"\n\n**{' '.join(label.split())}:**\n\n" if label and not self._inline else label)
        elif name not in _VOID and not empty:
            self._nest(name, values)
        elif name == "hr":
            self._add("\n\n")

    def _nest(self, name: str, values: Mapping[str, str]) -> None:
        # HTML closes some elements by the next one of their kind
        implied = {
            "li": ("li",),
            "p": ("p",),
            "td": ("td", "th"),
            "th": ("td", "th"),
            "tr": ("tr",),
            "dt": ("dt", "dd"),
            "dd": ("dt", "dd"),
        }
        depth = self._depth(*implied.get(name, ()), within=("table", "ul", "ol", "dl", "div"))
        if depth:
            self._close_to(depth)
        if len(self._stack) < 200:
            self._stack.append(_Open(name, values))

    def _depth(self, *names: str, within: tuple[str, ...] = ()) -> int:
        """The place in the stack of the innermost element of these names, 0 if there is none (inside of ``within``)."""
        for index in range(len(self._stack) - 1, 0, -1):
            if self._stack[index].name in names:
                return index
            if self._stack[index].name in within:
                return 0
        return 0

    def _in(self, *names: str) -> bool:
        return any(each.name in names for each in self._stack)

    def _close(self, name: str) -> None:
        if depth := self._depth(name):
            self._close_to(depth)

    def _close_to(self, depth: int) -> None:
        while len(self._stack) > depth:
            self._pop()

    def _add(self, text: str) -> None:
        self.text(text)

    def _pop(self) -> None:
        element = self._stack.pop()
        if element.name in HIDDEN:
            return
        parent = self._stack[-1]
        if element.name in ("td", "th"):
            row = next((each for each in reversed(self._stack) if each.name == "tr"), None)
            if row is not None:
                self._cell(row, element)
                return
        if element.name == "tr":
            grid = next((each for each in reversed(self._stack) if each.name == "table"), None)
            if grid is not None:
                grid.rows.append([part for each in element.rows for part in each])
                return
            parent.parts.append("\n\n" + " | ".join(each[0] for each in element.rows if each) + "\n\n")
            return
        parent.parts.append(self._written(element))

    def _cell(self, row: _Open, element: _Open) -> None:
        grid = next((each for each in reversed(self._stack) if each.name == "table"), row)
        line, column = len(grid.rows), sum(map(len, row.rows))
        while (line, column) in grid.spans:  # cells that a cell of an earlier row covers
            row.rows.append([grid.spans.pop((line, column))])
            column += 1
        across, down = _span(element.attributes.get("colspan")), _span(element.attributes.get("rowspan"))
        content = " ".join(element.text.split())
        row.rows.append([content] * across)
        grid.spans |= {(line + y, column + x): content for y in range(1, down) for x in range(across)}

    def _written(self, element: _Open) -> str:
        name, text = element.name, element.text
        if name in _MARKS and self._in("pre"):
            self._stack[-1].attributes = {**element.attributes, **self._stack[-1].attributes}
            return text
        if name in _MARKS:
            return _marked(text, _MARKS[name])
        if name == "a":
            target = element.attributes.get("href", "")
            linked = (
                text.strip()
                and "\n\n" not in text
                and target.startswith(("http://", "https://", "mailto:", "/", "./", "../"))
            )
            return f"[{text.strip()}]({target.replace(' ', '%20')})" if linked else text
        if name == "sup":
            return f"^{text}" if re.fullmatch(r"-?\d+|n", text.strip()) and not self._in("a") else text
        if self._inline:
            return text
        return self._block(name, text, element)

    def _block(self, name: str, text: str, element: _Open) -> str:
        if name in _HEADINGS:
            anchor = element.attributes.get("id", "")
            suffix = f" {{#{anchor}}}" if re.fullmatch(r"[\w:.-]+", anchor) else ""
            return f"\n\n{'#' * int(name[1])} {' '.join(text.split())}{suffix}\n\n" if text.strip() else ""
        if name == "pre":
            language = re.search(r"(?:lang|language|brush)[-:\s]+(\w+)", element.attributes.get("class", ""))
            return fenced(html.unescape(text), language[1] if language else "")
        if name == "table":
            return _written_table(element)
        if name == "li":
            return self._item(text)
        if name in ("summary", "dt", "caption", "legend"):
            return f"\n\n**{' '.join(text.split()).replace('**', '')}**\n\n" if text.strip() else ""
        return f"\n\n{text}\n\n" if name in BLOCKS else text

    def _item(self, text: str) -> str:
        ordered = next((each for each in reversed(self._stack) if each.name in ("ul", "ol")), None)
        marker = "- "
        if ordered is not None and ordered.name == "ol":
            marker = f"{1 + sum(part.startswith(chr(10)) and part[1:2].isdigit() for part in ordered.parts)}. "
        body = re.sub(r"\n\s*\n(\s*\n)*", "\n\n", text.strip()).replace("\n", "\n" + " " * len(marker))
        return f"\n{marker}{body}\n" if body else ""


def _span(value: str | None) -> int:
    return max(1, min(100, int(value))) if value and value.isdigit() else 1


def _marked(text: str, mark: str) -> str:
    """Text between marks, with its outer spaces outside; a mark around nothing, or around lines of blocks, is dropped."""
    bare = text.strip()
    if not bare or "\n\n" in bare or mark in bare:
        return text
    if mark == "`":
        return text[: len(text) - len(text.lstrip())] + f"`{html.unescape(' '.join(bare.split()))}`"
    return text.replace(bare, f"{mark}{bare}{mark}", 1)


def _written_table(element: _Open) -> str:
    rows = [row for row in element.rows if any(each.strip() for each in row)]
    rest = f"\n\n{element.text.strip()}\n\n" if element.text.strip() else ""
    if not rows:
        return rest
    if max(map(len, rows)) < 2:  # one column is a box around text
        return rest + "\n\n" + "\n\n".join(row[0] for row in rows if row) + "\n\n"
    return f"{rest}\n\n{table([each.replace(chr(92) + '|', '|') for each in row] for row in rows)}\n\n"


def fenced(code: str, info: str = "") -> str:
    """Code as a block between fences that are longer than every run of backticks in it."""
    longest = max(map(len, re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n\n" + f"{fence}{info}\n" + code.strip("\n") + f"\n{fence}\n\n" if code.strip() else ""


def fragment(text: str, closed: frozenset[str] = frozenset()) -> str:
    """The Markdown of a block of HTML. Comments and the text of scripts and styles are left out."""
    sink = Sink()
    for kind, part in _parts(text):
        if isinstance(part, re.Match):
            if is_markup(part, closed):
                sink.tag(part)
            else:
                sink.text("\\" + part[0])
        elif kind == "text":
            sink.text(part)
    return _tidy(sink.result())


def _parts(text: str) -> Iterator[tuple[str, str | re.Match[str]]]:
    position, start = 0, 0
    stops = re.compile(r"[<`]")
    last_comment = text.rfind("-->")
    while (stop := stops.search(text, position)) is not None:
        at = stop.start()
        match = _CODE.match(text, at) if stop[0] == "`" else TAG.match(text, at)
        end = _skipped(text, at, last_comment)
        if match is None and end is None:
            position = at + 1
            continue
        yield "text", text[start:at]
        if match is not None:
            yield ("text", match[0]) if stop[0] == "`" else ("tag", match)
        position = start = match.end() if match is not None else end or at
    yield "text", text[start:]


def _skipped(text: str, at: int, last_comment: int) -> int | None:
    """The end of a comment, declaration or processing instruction at this place; an open comment hides the rest."""
    if text.startswith("<!--", at):
        return text.find("-->", at + 2) + 3 if last_comment > at else len(text)
    if text.startswith(("<!", "<?"), at):
        end = text.find(">", at, at + 2000)
        return end + 1 if end > 0 else None
    return None


def _tidy(text: str) -> str:
    """Without the indentation of HTML's source, except in code, and without runs of empty lines."""
    parts = re.split(r"(^(`{3,})[^`\n]*\n.*?\n\2$)", text, flags=re.MULTILINE | re.DOTALL)
    clean = [
        parts[index] if index % 3 == 1 else _outdented(parts[index]) for index in range(len(parts)) if index % 3 < 2
    ]
    return re.sub(r"\n{3,}", "\n\n", "".join(clean)).strip("\n")


def _outdented(text: str) -> str:
    lines = text.split("\n")
    nested = False
    out = []
    for line in lines:
        bare = line.strip()
        is_item = bool(re.match(r"(?:[-*+]|\d+\.) ", bare))
        nested = is_item or (nested and line.startswith("  "))
        out.append(line.rstrip() if nested and bare else bare)
    return "\n".join(out)
