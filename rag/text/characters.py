"""Normalises characters, the same for passages and for questions, so that equal words are equal strings."""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = re.compile("[\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]")
"""Soft hyphens, zero-width spaces, byte order marks and marks of direction: they are seen at most where a line breaks."""
_JOINERS = re.compile("(?<=[\\u0000-\\u058f])[\u200c\u200d]|[\u200c\u200d](?=[\\u0000-\\u058f])")
"""Joiners beside Latin, Greek or Cyrillic letters. Persian, the scripts of India and emoji need theirs."""
_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")


def normalized(text: str) -> str:
    """The text in NFC, without invisible characters, and with plain spaces."""
    if text.isascii():
        return text
    text = _INVISIBLE.sub("", _JOINERS.sub("", unicodedata.normalize("NFC", text)))
    return _SPACES.sub(" ", text)
