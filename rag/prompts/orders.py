"""What of a passage is addressed to a machine that reads it, not to a person: no language model is shown it, and no quote.

The frame and the instructions of the prompt already say that passages are data, and what a model writes is held against the
passages before it is sent. Neither is enough alone: a small model follows the last order that it reads, and an order that is
followed costs the answer even where nothing of it is sent. So the plainest orders never reach the model: a sentence that speaks
of instructions, of the answer that is being written, of other passages or of the role of who reads is shown as "…", supports no
statement, and its links are not sent. With it goes the rest of its paragraph, as who has begun to give orders goes on; after a
forged frame of a prompt, the rest of the passage.

This is no proof against orders and is not meant as one: "What is the capital of Brazil?" is a question in a list of questions
and an attack in an e-mail, and stays. What such an order can reach is what ``grounder`` and ``links`` let through. Phrases were
preferred to a trained classifier because their errors can be read, and because withholding must be rare: a sentence withheld
for nothing is an answer that is not found. A page about attacks on models loses its examples, in quotes too: the extractive
answerer obeys nobody, but a reader may.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import lru_cache

from rag.prompts.order_phrases import orders
from rag.text.addresses import seen
from rag.types import Passage

WITHHELD = "…"

_BORDER = re.compile(
    r"[.!?…]['\"”»)*_]*(?=\s)|\n[ \t]*\n|\n(?=[ \t>]*(?:[-*+|#]|\d+[.)]\s|```|~~~))|(?<![<|])\|(?![>|])"
)
_PARAGRAPH = re.compile(r"\n[ \t]*\n|\n(?=[ \t>]*(?:[-*+|#]|\d+[.)]\s|```|~~~))|(?<![<|])\|(?![>|])")
_BEGINNING = re.compile(r"(?:\s++|[-*+>#|]++(?=\s)|\d{1,3}+[.)](?=\s))*+")
_MARKUP = re.compile(r"[*`~]|(?<!\w)_|_(?!\w)|^[ \t]*>", re.MULTILINE)
_ENCODED = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{24,4000}={0,2}(?![A-Za-z0-9+/_=-])")
_TEMPLATE = re.compile(
    r"<(?=[|\uff5c]|/?(?:s|bos|eos|pad|unk|mask|sep|cls|think|start_of_turn|end_of_turn|tool_call|tool_response|function_call|image|"
    r"audio|video|begin_of_\w+|end_of_\w+|start_of_\w+|extra_id_\d+|unused\d+|reserved_\w+|SPECIAL_\d+|0x[0-9A-F]{2})>|<SYS>>|</SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|AVAILABLE_TOOLS|CLS|SEP|MASK|PAD|UNK|BOS|EOS|IMG)\])"
)
_DEFUSED = {"<": "‹", "[": "❲"}


def shown_to_model(passage: Passage) -> Passage:
    """The passage as a language model may read it and a statement may rest on it; itself where nothing is to be withheld."""
    text, title, headings = _shown(passage.text), _shown(passage.title), tuple(map(_shown, passage.headings))
    if (text, title, headings) == (passage.text, passage.title, passage.headings):
        return passage
    return replace(passage, text=text, title=title, headings=headings)


def plain_text(text: str, special: Collection[str] = ()) -> str:
    """Text in which nothing is a token that ends or begins a message; ``special`` names the ones of a tokenizer."""
    if "<" in text or "[" in text:
        text = _TEMPLATE.sub(lambda match: _DEFUSED[match[0]], text)
    for token in special:
        if token in text and len(token) > 1:
            text = text.replace(token, f"{_DEFUSED.get(token[0], token[0] + chr(0x2060))}{token[1:]}")
    return text


def withheld(text: str) -> list[tuple[int, int]]:
    """Where sentences stand that give orders to a machine, each to the end of its paragraph; in order, none in another."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted(_orders(text)):
        if spans and start < spans[-1][1]:
            continue
        spans.append((_begin(text, start, spans[-1][1] if spans else 0), _end(text, end)))
    return spans


@lru_cache(maxsize=2048)
def _shown(text: str) -> str:
    text = seen(text)
    spans = withheld(text)
    parts, done = [], 0
    for start, end in spans:
        parts += [text[done:start], WITHHELD]
        done = end
    return "".join((*parts, text[done:])) if spans else text


def _orders(text: str) -> Iterator[tuple[int, int]]:
    yield from orders(_MARKUP.sub(lambda match: " " * len(match[0]), text))  # as many characters: places stay
    yield from (match.span() for match in _ENCODED.finditer(text) if any(orders(_decoded(match[0]))))


def _decoded(code: str) -> str:
    padded = code.rstrip("=") + "=" * (-len(code.rstrip("=")) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_" if "-" in code or "_" in code else None, validate=True).decode()
    except ValueError:
        return ""


def _begin(text: str, place: int, after: int) -> int:
    begin = after
    for match in _BORDER.finditer(text, after, place):
        begin = match.end()
    prefix = _BEGINNING.match(text, begin, place)
    return prefix.end() if prefix else begin


def _end(text: str, place: int) -> int:
    border = _PARAGRAPH.search(text, place)
    return border.start() if border else len(text)
