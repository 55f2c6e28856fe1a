"""Makes text of people and documents safe as data in a prompt: no control tokens and no invisible characters.

Nothing here searches for instructions to a machine: ordinary company text speaks of replies, instructions and assistants too.
What an injected instruction can achieve is limited elsewhere: by the tags around passages, by the check of the answer
(``rag.grounding``), and by links that only cited passages can give.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from rag.text.addresses import visible_text
from rag.types import Passage

# Control tokens of common chat templates (ChatML, Llama, Gemma, Mistral, DeepSeek, Command R): a tokenizer does not tell one in
# a text from a real one, so a document could end its message and begin another.
_TEMPLATE = re.compile(
    r"<(?=[|\uff5c]|/?(?:s|bos|eos|pad|unk|mask|sep|cls|think|start_of_turn|end_of_turn|tool_call|tool_response|function_call|image|"
    r"audio|video|begin_of_\w+|end_of_\w+|start_of_\w+|extra_id_\d+|unused\d+|reserved_\w+|SPECIAL_\d+|0x[0-9A-F]{2})>|<SYS>>|</SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|AVAILABLE_TOOLS|CLS|SEP|MASK|PAD|UNK|BOS|EOS|IMG)\])"
)
_DEFUSED = {"<": "‹", "[": "❲"}


def plain_passage(passage: Passage) -> Passage:
    """The passage without invisible characters; the same object if it has none."""
    text, title, headings = (
        visible_text(passage.text),
        visible_text(passage.title),
        tuple(map(visible_text, passage.headings)),
    )
    if (text, title, headings) == (passage.text, passage.title, passage.headings):
        return passage
    return replace(passage, text=text, title=title, headings=headings)


def plain_text(text: str, special: Collection[str] = ()) -> str:
    """The text without control tokens: their first character is replaced. ``special`` lists further tokens of a tokenizer."""
    if "<" in text or "[" in text:
        text = _TEMPLATE.sub(lambda match: _DEFUSED[match[0]], text)
    for token in special:
        if token in text and len(token) > 1:
            text = text.replace(token, f"{_DEFUSED.get(token[0], token[0] + chr(0x2060))}{token[1:]}")
    return text
