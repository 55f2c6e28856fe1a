"""Filter that removes a reasoning model's ``<think>`` blocks from a streamed reply."""

from __future__ import annotations

_OPENING = ("<think>", "<thinking>")
_CLOSING = ("</think>", "</thinking>")


class WithoutThinking:
    """Takes the pieces of one reply and returns the text outside ``<think>…</think>`` blocks.

    The start of a possible tag is kept back until it is clear whether it is one. A block without an end is removed to the end
    of the reply. A closing tag without an opening one (some templates open the block in the prompt) is removed as well, but
    the text before it was already returned: such a server must separate the reasoning itself.
    """

    def __init__(self) -> None:
        self._pending = ""
        self._inside = False
        self._trim_start = False

    def feed(self, text: str) -> str:
        """The text that may be shown after this piece."""
        self._pending += text
        visible = ""
        while (match := self._next_tag()) is not None:
            start, tag = match
            visible += self._outside_text(self._pending[:start])
            self._pending = self._pending[start + len(tag) :]
            self._inside = tag in _OPENING
            self._trim_start = True
        ready = len(self._pending) - _partial_tag_length(self._pending)
        visible += self._outside_text(self._pending[:ready])
        self._pending = self._pending[ready:]
        return visible

    def finish(self) -> str:
        """The text that was kept back, at the end of the reply."""
        rest, self._pending = self._outside_text(self._pending), ""
        return rest

    def _next_tag(self) -> tuple[int, str] | None:
        lowered = self._pending.lower()
        tags = _CLOSING if self._inside else _OPENING + _CLOSING
        matches = [(place, tag) for tag in tags if (place := lowered.find(tag)) >= 0]
        return min(matches, default=None)

    def _outside_text(self, text: str) -> str:
        """The text if it is outside a block, without the white space that follows a block; "" inside one."""
        if self._inside:
            return ""
        if self._trim_start:
            text = text.lstrip()
            self._trim_start = not text
        return text


def _partial_tag_length(text: str) -> int:
    """Characters at the end of a text that may be the beginning of a tag."""
    start = text.rfind("<")
    ending = text[start:].lower() if start >= 0 else ""
    return len(ending) if ending and any(tag.startswith(ending) for tag in _OPENING + _CLOSING) else 0
