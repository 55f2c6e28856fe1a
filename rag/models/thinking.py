"""Leaves out what a reasoning model thinks aloud: nobody asked for it, no passage supports it."""

from __future__ import annotations

_OPENING = ("<think>", "<thinking>")
_CLOSING = ("</think>", "</thinking>")


class WithoutThinking:
    """Takes the text of one reply as it comes and gives what stands outside of ``<think>…</think>``, half a tag held back.

    A block that never ends is all thinking. A closing tag alone (templates that open the block in the prompt) goes too; what
    stood before it was passed on already: such a server must separate the reasoning itself.
    """

    def __init__(self) -> None:
        self._held = ""
        self._inside = False
        self._trimming = False

    def feed(self, text: str) -> str:
        """What may be shown after this piece."""
        self._held += text
        shown = ""
        while (found := self._next_tag()) is not None:
            start, tag = found
            shown += self._passed(self._held[:start])
            self._held = self._held[start + len(tag) :]
            self._inside = tag in _OPENING
            self._trimming = True
        ready = len(self._held) - _unfinished(self._held)
        shown += self._passed(self._held[:ready])
        self._held = self._held[ready:]
        return shown

    def finish(self) -> str:
        """What was held back, once nothing follows."""
        rest, self._held = self._passed(self._held), ""
        return rest

    def _next_tag(self) -> tuple[int, str] | None:
        lowered = self._held.lower()
        tags = _CLOSING if self._inside else _OPENING + _CLOSING
        found = [(place, tag) for tag in tags if (place := lowered.find(tag)) >= 0]
        return min(found, default=None)

    def _passed(self, text: str) -> str:
        """Text outside of a block; the empty lines after one go with it."""
        if self._inside:
            return ""
        if self._trimming:
            text = text.lstrip()
            self._trimming = not text
        return text


def _unfinished(text: str) -> int:
    """Length of what may still become a tag at the end of a text."""
    start = text.rfind("<")
    ending = text[start:].lower() if start >= 0 else ""
    return len(ending) if ending and any(tag.startswith(ending) for tag in _OPENING + _CLOSING) else 0
