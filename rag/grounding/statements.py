"""Splits a streamed answer into statements: sentences, headings, code blocks and tables, each with its citation markers.

A statement is returned as soon as following text cannot change it. The buffer is bounded and scanned once, so that neither
unclosed code nor an endless sentence makes it slow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rag.text.sentences import STARTS, is_border

Kind = Literal["sentence", "heading", "code", "table"]

LONGEST = 2000
"""Most characters of a sentence: a longer one is cut there, and its parts then find no support."""
LONGEST_BLOCK = 32_000
"""Most characters of a code block or a table that are kept: a longer one is no quote of a passage."""
LOOK = 12
"""Characters that decide what kind of line it is: CommonMark allows nine digits in the number of a list item."""
BLANK = 200
"""Most spaces and line breaks to wait through before a line counts as decided."""

_CITATION = r"\[\d{1,3}(?:[ \t]{0,4}[,;][ \t]{0,4}\d{1,3})*\](?![(:])"
MARKER = re.compile(rf"(?<!\\){_CITATION}")
_MARKERS = re.compile(rf"(?:[ \t]{{0,4}}{_CITATION})*")
_LINE_OF_MARKERS = re.compile(rf"\s*(?:{_CITATION}[ \t,.]*)+(?:\n|\Z)")
_MAYBE_LINE_OF_MARKERS = re.compile(rf"\s*(?:{_CITATION}[ \t,.]*)*(?:\[[\d,; \t]*)?\Z")
_SPAN = re.compile(r"(?<!`)(`++).+?(?<!`)\1(?!`)", re.DOTALL)
_EVENT = re.compile(r"(?P<ticks>`+)|(?P<end>[.!?…。！？]+[\"'”’»)*_]*)|(?P<line>\n)")
# What may stand at the end of a piece behind a full stop: only the next piece tells whether a sentence ends there.
_UNDECIDED = re.compile(r"[ \t]*(?:\[[\d,; \t]{0,20}\]?|[\"'“‘«(\[*_`¿¡]*)\Z")
_LINE = re.compile(
    r"(?P<blank>[ \t]*\n)"
    r"|[ \t>]*(?P<fence>`{3,}(?=[^`\n]*(?:\n|\Z))|~{3,})"
    r"|(?P<table> {0,3}\|)"
    r"|(?P<heading> {0,3}#{1,6}[ \t]+)"
    r"|(?P<rule> {0,3}(?:-[ \t]*){3,}\n)"
    r"|(?P<item>[ \t>]*(?:[-*+•]|\d{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?)"
    r"|(?P<quote>(?: {0,3}>[ \t]?)+)"
    r"|(?P<prose>[ \t]*)"
)
_SENTENCE_END = re.compile(rf"[.!?…:。！？][\"'”’»)*_]*(?:\s{{0,4}}{_CITATION})*\s*\Z")
_AFFIRMATION = re.compile(
    r"\W*(?:yes|no|s[ií]|correct|right|exactly|indeed|of course|sure|certainly|absolutely|that['’]?s (?:right|correct)"
    r"|correcto|exacto|exactamente|claro(?: que s[ií])?|por supuesto|as[ií] es|ok(?:ay)?|de acuerdo)\W*",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A unit of an answer, as written. ``before`` is the text between it and the previous one: spaces, line breaks, a bullet."""

    kind: Kind
    before: str
    text: str
    item: bool = False

    @cached_property
    def cited(self) -> tuple[int, ...]:
        """The numbers in its citation markers, each once; brackets within code are no markers."""
        text = self.text.rpartition("\n\n")[2] if self.kind == "code" else _SPAN.sub("", self.text)
        numbers = [int(number) for marker in MARKER.findall(text) for number in re.findall(r"\d+", marker)]
        return tuple(dict.fromkeys(numbers)) if self.kind != "code" or _LINE_OF_MARKERS.match(text) else ()

    @cached_property
    def bare(self) -> str:
        """Its Markdown without citation markers."""
        if self.kind == "code":
            return self.text.rpartition("\n\n")[0] if self.cited else self.text
        parts, position = [], 0
        for code in _SPAN.finditer(self.text):
            parts += [_without_markers(self.text[position : code.start()]), code[0]]
            position = code.end()
        return "".join([*parts, _without_markers(self.text[position:])]).strip()

    def marked(self, cited: Sequence[int]) -> str:
        """Its Markdown with markers for ``cited`` (indices from 0): where the model put them if they agree, else at the end."""
        numbers = tuple(index + 1 for index in cited)
        if numbers == self.cited:
            return MARKER.sub(_separate, self.text) if self.kind == "sentence" else self.text
        markers = "".join(f"[{number}]" for number in numbers)
        if not markers:
            return self.bare
        return f"{self.bare}\n\n{markers}" if self.kind in ("code", "table") else f"{self.bare} {markers}"

    @property
    def is_lead(self) -> bool:
        """Whether it only announces or names what follows: a heading, or a sentence that ends in a colon."""
        return self.kind == "heading" or (self.kind == "sentence" and self.bare.rstrip("*_ ").endswith((":", "：")))

    @property
    def is_affirmation(self) -> bool:
        """Whether it only says yes or no to the next statement ("Exactly.")."""
        return self.kind == "sentence" and len(self.bare) < 40 and _AFFIRMATION.fullmatch(self.bare) is not None


def _separate(marker: re.Match[str]) -> str:
    """[1, 2] as [1][2]."""
    return "".join(f"[{number}]" for number in re.findall(r"\d+", marker[0]))


def _without_markers(text: str) -> str:
    return re.sub(rf"[ \t]{{0,4}}(?<!\\){_CITATION}", "", text)


class Statements:
    """Incremental splitter. Feed the pieces of one answer in order; ``finish`` returns the rest."""

    def __init__(self) -> None:
        self._complete: list[Statement] = []
        self._buffer = ""
        self._position = 0  # the buffer is scanned up to here
        self._at_line_start = True  # whether a line begins at the position
        self._before = ""
        self._kind: Kind = "sentence"
        self._item = False
        self._fence = ""
        self._lines: list[str] = []
        self._size = 0
        self._pending_block: Statement | None = None  # a block that a line of markers may follow

    def feed(self, piece: str) -> list[Statement]:
        """The statements that are complete after this piece."""
        statements: list[Statement] = []
        for start in range(0, len(piece), LONGEST):  # however long the piece is, the buffer stays small
            self._buffer += piece[start : start + LONGEST].replace("\r", "")
            self._read(final=False)
            statements += self._take()
        return statements

    def finish(self) -> list[Statement]:
        """The remaining statements."""
        self._read(final=True)
        if self._lines:
            self._close()
        self._complete_block()
        self._cut(len(self._buffer))
        return self._take()

    def _read(self, *, final: bool) -> None:
        while self._buffer and self._step(final=final):
            pass

    def _take(self) -> list[Statement]:
        statements, self._complete = self._complete, []
        return statements

    def _step(self, *, final: bool) -> bool:
        """Scans the next part of the buffer; False if that needs more text."""
        if self._pending_block:
            return self._after_block(final=final)
        if self._lines:
            return self._block_line(final=final)
        if self._at_line_start:
            return self._line(final=final)
        return self._sentence(final=final) or self._too_long()

    # Lines

    def _line(self, *, final: bool) -> bool:
        if not final and "\n" not in self._buffer[self._position : self._position + BLANK] and self._is_short():
            return False
        match = _LINE.match(self._buffer, self._position)
        if match is None or match.lastgroup == "prose":
            self._prose(match[0] if match else "")
        elif match.lastgroup in ("fence", "table"):
            self._open(match)
        else:
            self._cut(self._position)
            self._prefix(match[0], item=match.lastgroup == "item")
            self._kind = "heading" if match.lastgroup == "heading" else "sentence"
            self._at_line_start = match.lastgroup in ("blank", "rule", "quote")
        return True

    def _is_short(self) -> bool:
        """Whether too little of the line has arrived to tell its kind."""
        return len(self._buffer) - self._position < BLANK and len(self._buffer[self._position :].lstrip(" \t>")) < LOOK

    def _prefix(self, text: str, *, item: bool) -> None:
        # one blank line at most, and a bounded gap, however many line breaks the model writes
        self._before = re.sub(r"\n(?:[ \t]*\n){2,}", "\n\n", (self._before + text)[-BLANK:])
        self._buffer = self._buffer[len(text) :]
        self._item = item

    def _prose(self, indent: str) -> None:
        """Continues the sentence on a line of prose, unless it was complete."""
        self._at_line_start = False
        if not self._position:
            self._prefix(indent, item=self._item and "\n\n" not in self._before)
        elif not MARKER.match(self._buffer, self._position + len(indent)) and self._is_over(
            self._position + len(indent)
        ):
            self._cut(self._position)
            self._kind = "sentence"

    def _is_over(self, following: int) -> bool:
        if self._kind == "heading":
            return True
        return bool(_SENTENCE_END.search(self._buffer, 0, self._position) and STARTS.match(self._buffer, following))

    # Code and tables

    def _open(self, match: re.Match[str]) -> None:
        self._cut(self._position)
        self._kind = "code" if match["fence"] else "table"
        self._fence = match["fence"] or ""
        self._size = 0
        self._lines = [""]

    def _block_line(self, *, final: bool) -> bool:
        end = self._buffer.find("\n", self._position) + 1
        if not end:
            self._position = len(self._buffer)
            if not final and self._position < LONGEST_BLOCK:
                return False
            end = self._position
        if self._kind == "table" and not self._buffer.lstrip(" ").startswith("|"):
            self._close()
            return True
        line, self._buffer, self._position = self._buffer[:end], self._buffer[end:], 0
        first = len(self._lines) == 1
        self._size += len(line)
        # An overlong block is read to its end without being kept, or its rest would be taken for sentences.
        self._lines.append(line if self._size <= LONGEST_BLOCK else "")
        if self._kind == "code" and not first and self._closes(line):
            self._close()
        return True

    def _closes(self, line: str) -> bool:
        bare = line.strip(" \t>\n")
        return bare.startswith(self._fence) and not bare.strip(self._fence[0])

    def _close(self) -> None:
        """Ends a block, but holds it back: its markers may stand in the line below."""
        written = "".join(self._lines)
        text = written.rstrip("\n")
        self._pending_block = Statement(kind=self._kind, before=self._before, text=text, item=self._item)
        self._before = written[len(text) :]
        self._lines, self._kind, self._item = [], "sentence", False
        self._at_line_start, self._position = True, 0

    def _after_block(self, *, final: bool) -> bool:
        if not final and len(self._buffer) < BLANK and _MAYBE_LINE_OF_MARKERS.match(self._buffer):
            return False
        self._complete_block()
        return True

    def _complete_block(self) -> None:
        """Completes a code block or table, with the line of markers below it."""
        if (block := self._pending_block) is None:
            return
        self._pending_block = None
        if markers := _LINE_OF_MARKERS.match(self._buffer):
            text = f"{block.text}\n\n{markers[0].strip()}"
            block = Statement(kind=block.kind, before=block.before, text=text, item=block.item)
            self._buffer, self._before = self._buffer[markers.end() :], "\n"
        self._complete.append(block)

    # Sentences

    def _sentence(self, *, final: bool) -> bool:
        event = _EVENT.search(self._buffer, self._position)
        if event is None:
            self._position = len(self._buffer)
            return False
        self._position = event.start()
        if event.end() == len(self._buffer) and not final and not event["line"]:
            return False
        if event["line"]:
            self._position, self._at_line_start = event.end(), True
            return True
        return self._code(event, final=final) if event["ticks"] else self._end(event, final=final)

    def _code(self, event: re.Match[str], *, final: bool) -> bool:
        """Skips a code span; backticks without a partner in their paragraph open none."""
        paragraph = self._buffer.find("\n\n", event.end())
        stop = len(self._buffer) if paragraph < 0 else paragraph
        closed = re.compile(rf"(?<!`){event[0]}(?!`)").search(self._buffer, event.end(), stop)
        if closed and (final or closed.end() < len(self._buffer)):
            self._position = closed.end()
        elif final or paragraph >= 0 or len(self._buffer) > LONGEST:
            self._position = event.end()
        else:
            return False
        return True

    def _end(self, event: re.Match[str], *, final: bool) -> bool:
        """Skips a full stop and its markers; the text behind them decides whether the sentence ends there."""
        markers = _MARKERS.match(self._buffer, event.end())
        stop = markers.end() if markers else event.end()
        if not final and _UNDECIDED.match(self._buffer, stop):
            return False
        if self._is_border(event.end(), stop):
            self._cut(stop)
        else:
            self._position = stop
        return True

    def _is_border(self, end: int, stop: int) -> bool:
        follows = self._buffer[stop : stop + BLANK].lstrip(" \t")[:LOOK]
        if self._kind == "heading" or not follows or follows[0] == "\n":
            return False
        if self._buffer[end - 1] in "。！？":  # Chinese and Japanese put no space after a sentence
            return True
        separate = stop > end or self._buffer[stop] in " \t"
        preceding = self._buffer[max(0, end - LOOK) : end]
        return separate and is_border(f"{preceding} {follows}", 0, len(preceding))

    def _too_long(self) -> bool:
        if len(self._buffer) <= LONGEST:
            return False
        space = self._buffer.rfind(" ", 0, LONGEST)
        self._cut(space if space > 0 else LONGEST)
        return True

    def _cut(self, stop: int) -> None:
        """Completes the statement that ends at ``stop``."""
        written, self._buffer, self._position = self._buffer[:stop], self._buffer[stop:], 0
        text = written.strip()
        if text:
            before = self._before + written[: len(written) - len(written.lstrip())]
            self._complete.append(Statement(kind=self._kind, before=before, text=text, item=self._item))
            self._before = written[len(written.rstrip()) :]
        else:
            self._before += written
            if self._item:  # a bullet without text: it must not be put before the next statement
                self._before, self._item = "\n" * min(2, self._before.count("\n")), False
        if text:
            blanks = len(self._buffer) - len(self._buffer.lstrip(" \t"))
            self._before, self._buffer = self._before + self._buffer[:blanks], self._buffer[blanks:]
