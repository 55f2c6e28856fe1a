"""Text of people and documents as plain data: nothing in it ends a message, and nothing hides from the reader.

A passage that gives orders to a machine is not looked for: ordinary company text speaks of replies, instructions and assistants
too. What such an order can reach is limited elsewhere: by the frame that passages stand in, by the check of what is written
(``rag.grounding``), and by links that only cited passages can give.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from rag.text.addresses import seen
from rag.types import Passage

# The control tokens of the chat templates in use (ChatML, Llama, Gemma, Mistral, DeepSeek, Command R): a tokenizer that is given
# one of them as text makes of it what ends or begins a message.
_TEMPLATE = re.compile(
    r"<(?=[|\uff5c]|/?(?:s|bos|eos|pad|unk|mask|sep|cls|think|start_of_turn|end_of_turn|tool_call|tool_response|function_call|image|"
    r"audio|video|begin_of_\w+|end_of_\w+|start_of_\w+|extra_id_\d+|unused\d+|reserved_\w+|SPECIAL_\d+|0x[0-9A-F]{2})>|<SYS>>|</SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|AVAILABLE_TOOLS|CLS|SEP|MASK|PAD|UNK|BOS|EOS|IMG)\])"
)
_DEFUSED = {"<": "‹", "[": "❲"}


def plain_passage(passage: Passage) -> Passage:
    """The passage without characters that no reader sees; itself where there are none."""
    text, title, headings = seen(passage.text), seen(passage.title), tuple(map(seen, passage.headings))
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
