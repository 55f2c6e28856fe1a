"""Converts Markdown to the styles of Telegram's HTML, as styled spans that can be cut at any character.

Each span carries its marks. So a cut reopens every style, link and code block in the next message, and no tag or character
reference is cut in two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from bots.messages import OutgoingReply
from bots.platforms.telegram.texts import COMMANDS, say
from rag.prompts.sentences import dated
from rag.types import Source

_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,32}")
_REFERENCE = re.compile(rf"(?<![\w/@#])(?:@\w+|#(?=\w*[^\W\d])\w+|/(?:{'|'.join(COMMANDS)})\b)", re.IGNORECASE)
_WORD_JOINER = "\u2060"
_STYLES = {"strong": "b", "em": "i", "s": "s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Text with its marks, outermost first. A mark is the inside of an opening tag: ``b``, ``a href="…"``."""

    text: str
    marks: tuple[str, ...] = ()


def render(reply: OutgoingReply, allowed: frozenset[str] = frozenset()) -> list[Span]:
    """A reply with its sources. In an answer nothing becomes a mention, tag or command, except the ``allowed`` names."""
    spans = answer_spans(reply.text, allowed) if reply.kind == "answer" else markdown_spans(reply.text)
    if reply.sources:
        spans += _source_spans(reply.sources, reply.language, _shield(frozenset()))
    return spans


def answer_spans(text: str, allowed: frozenset[str] = frozenset()) -> list[Span]:
    """An answer, complete or not, without its sources."""
    return markdown_spans(text, _shield(allowed))


def _unchanged(text: str) -> str:
    return text


def _shield(allowed: frozenset[str]) -> Callable[[str], str]:
    """A function that stops Telegram from linking @names, #tags and /commands: it puts an invisible joiner after the sign.

    Of commands only the bot's own are changed: a path such as /etc/hosts must stay correct when it is copied.
    """

    def joined(match: re.Match[str]) -> str:
        name = match.group()
        return name if name in allowed else name[0] + _WORD_JOINER + name[1:]

    return lambda text: _REFERENCE.sub(joined, text)


def _source_spans(sources: Sequence[Source], language: str, shield: Callable[[str], str]) -> list[Span]:
    spans = [Span(text="\n\n"), Span(text=say(language, "sources"), marks=("b",))]
    for source in sources:
        marks = _link_marks(source.passage.url)
        spans += [
            Span(text=f"\n{source.number}. "),
            Span(text=shield(dated(source.title, source.passage, language)), marks=marks),
        ]
    return spans


def _link_marks(url: str) -> tuple[str, ...]:
    return (f'a href="{escape(url)}"',) if _LINK.match(url) else ()


def _parser() -> MarkdownIt:
    # Reference definitions are off: a "[1]: …" in a document would turn every citation [1] into its link.
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 100}).enable(["table", "strikethrough"])
    return parser.disable("reference")


_PARSER = _parser()


def markdown_spans(markdown: str, shield: Callable[[str], str] = _unchanged) -> list[Span]:
    """The spans of a Markdown text; ``shield`` is applied to all text outside code."""
    writer = _Writer(shield)
    writer.blocks(SyntaxTreeNode(_PARSER.parse(markdown)).children, (), "\n\n")
    return writer.spans


class _Writer:
    """Walks the syntax tree of a Markdown text and appends spans."""

    def __init__(self, shield: Callable[[str], str]) -> None:
        self._shield = shield
        self.spans: list[Span] = []

    def put(self, text: str, marks: tuple[str, ...]) -> None:
        if text:
            self.spans.append(Span(text=text, marks=marks))

    def blocks(self, nodes: Iterable[SyntaxTreeNode], marks: tuple[str, ...], gap: str, indent: str = "") -> None:
        for position, node in enumerate(nodes):
            if position:
                self.put(gap, marks)
            self.block(node, marks, indent)

    def block(self, node: SyntaxTreeNode, marks: tuple[str, ...], indent: str) -> None:
        match node.type:
            case "fence" | "code_block":
                self.code(node, marks)
            case "bullet_list" | "ordered_list":
                self.items(node, marks, indent)
            case "table":
                # Telegram has no tables: the columns are aligned as preformatted text.
                self.put(_grid(node), (*_quotes(marks), "pre"))
            case "hr":
                self.put("———", marks)
            case "blockquote":  # Telegram refuses a quote within a quote: the inner one joins the outer
                self.blocks(node.children, _with(marks, "blockquote"), "\n\n", indent)
            case "heading":
                self.inline(node.children, _with(marks, "b"))
            case _:
                self.inline(node.children, marks)

    def code(self, node: SyntaxTreeNode, marks: tuple[str, ...]) -> None:
        language = _LANGUAGE.match(node.info or "")
        inner = (f'code class="language-{escape(language.group())}"',) if language else ()
        self.put(node.content.rstrip("\n"), (*_quotes(marks), "pre", *inner))

    def items(self, node: SyntaxTreeNode, marks: tuple[str, ...], indent: str) -> None:
        first = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
        for position, item in enumerate(node.children):
            bullet = "•" if first is None else f"{first + position}."
            self.put(("\n" if position else "") + f"{indent}{bullet} ", marks)
            self.blocks(item.children, marks, "\n", indent + "   ")

    def inline(self, nodes: Iterable[SyntaxTreeNode], marks: tuple[str, ...]) -> None:
        for node in nodes:
            match node.type:
                case "text":
                    self.put(self._shield(node.content), marks)
                case "softbreak" | "hardbreak":
                    self.put("\n", marks)
                case "code_inline":
                    self.put(node.content, _code_marks(marks))
                case "strong" | "em" | "s":
                    self.inline(node.children, _with(marks, _STYLES[node.type]))
                case "link":
                    self.inline(node.children, _with(marks, *_link_marks(str(node.attrs.get("href", "")))))
                case "image":
                    self.put(self._shield(node.content), _with(marks, *_link_marks(str(node.attrs.get("src", "")))))
                case _:
                    self.inline(node.children, marks)


def _with(marks: tuple[str, ...], *more: str) -> tuple[str, ...]:
    """The marks with ``more`` inside them; a style is not nested in itself."""
    names = {_name(mark) for mark in marks}
    return (*marks, *(mark for mark in more if _name(mark) not in names))


def _name(mark: str) -> str:
    return mark.partition(" ")[0]


def _quotes(marks: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(mark for mark in marks if mark == "blockquote")


def _code_marks(marks: tuple[str, ...]) -> tuple[str, ...]:
    """The marks of inline code. Telegram allows no other style on code; within a link the link stays, without the code style."""
    return marks if any(_name(mark) == "a" for mark in marks) else (*_quotes(marks), "code")


def _grid(table: SyntaxTreeNode) -> str:
    rows = [[_plain(cell) for cell in row.children] for part in table.children for row in part.children]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    rule = "-+-".join("-" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1:]])


def _plain(node: SyntaxTreeNode) -> str:
    if node.type in ("text", "code_inline", "image"):
        return node.content
    return " " if node.type in ("softbreak", "hardbreak") else "".join(_plain(child) for child in node.children)


def cut(spans: Iterable[Span], start: int, end: int) -> list[Span]:
    """The spans of ``text[start:end]``, offsets in characters of the spans' joined text."""
    pieces, offset = [], 0
    for span in spans:
        piece = span.text[max(0, start - offset) : max(0, end - offset)]
        if piece:
            pieces.append(replace(span, text=piece))
        offset += len(span.text)
    return pieces


def to_html(spans: Iterable[Span]) -> str:
    """The spans as Telegram's HTML; tags are closed in the reverse order of their opening."""
    parts: list[str] = []
    opened: tuple[str, ...] = ()
    for span in (*spans, Span(text="")):
        common = _shared(opened, span.marks)
        parts += [f"</{_name(mark)}>" for mark in reversed(opened[common:])]
        parts += [f"<{mark}>" for mark in span.marks[common:]]
        parts.append(escape(span.text, quote=False))
        opened = span.marks
    return "".join(parts)


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    pairs = zip(one, other, strict=False)
    return next((position for position, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
