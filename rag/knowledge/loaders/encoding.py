"""Bytes to text: marks and UTF-8 first, then a guess that is only believed where the text looks like writing."""

from __future__ import annotations

import codecs
import re
import unicodedata

from rag.errors import KnowledgeError
from rag.language import detect

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as the mark of UTF-16 does, so it is looked for first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSES = (("cp1251", {"ru"}), ("cp1250", {"hu", "ro"}), ("cp1254", {"tr"}))
"""Windows code pages, each with the languages for which it is believed; all else is Western European."""
_ODD = frozenset({"Sm", "Sk", "So", "No", "Cc", "Cf"})
_PRINTED = frozenset("°®©™½¼¾²³±×")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
MOSTLY = 10
"""Letters in UTF-8 for each broken byte that make the text UTF-8: another encoding gives hardly any."""
_HEAD = 4096
"""Bytes of a page in which its charset stands; the standard allows 1024, real pages more."""


def decode(content: bytes) -> str:
    """The text, without its byte order mark and without NUL. Raises ``KnowledgeError`` where the encoding is not clear."""
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    try:
        return content.decode(encoding).replace("\x00", "")
    except UnicodeDecodeError as error:
        text = None if mark else _mended(content) or _guess(content)
        if text is None:
            raise KnowledgeError(
                f"is not UTF-8 (byte {error.start}), and no other encoding is plausible; save it as UTF-8"
            ) from error
        return text


def decode_page(content: bytes, charset: str = "") -> str:
    """As :func:`decode`, for HTML: what the server (``charset``) or the page's meta element says comes after a mark."""
    declared = _META.search(content[:_HEAD])
    for name in (charset, declared[1].decode() if declared else ""):
        if name and not any(content.startswith(mark) for mark, _ in _MARKS):
            try:
                return content.decode(_web_name(name)).replace("\x00", "")
            except (UnicodeError, LookupError):  # the latter also for what is no text encoding, as hex
                continue
    return decode(content)


def _web_name(name: str) -> str:
    """Browsers read Latin-1 as Windows-1252, as the encoding standard has it."""
    found = codecs.lookup(name)
    return "cp1252" if found.name in ("iso8859-1", "ascii") else found.name


def _mended(content: bytes) -> str:
    """UTF-8 with a few bytes broken, as a cut or an editor leaves it; empty where it is another encoding."""
    text = content.decode(errors="replace")
    broken = text.count("\ufffd")
    sound = len(re.findall(r"[^\x00-\x7f\ufffd]", text))
    return text if sound >= MOSTLY * broken and not _CONTROL.search(content) else ""


def _guess(content: bytes) -> str | None:
    if _CONTROL.search(content):
        return None
    for encoding, languages in _GUESSES:
        text = _decoded(content, encoding)
        if text is not None and detect(text) in languages:
            return text
    return _decoded(content, "cp1252")


def _decoded(content: bytes, encoding: str) -> str | None:
    """The text, if what is not ASCII in it reads like letters, in about the share that the alphabet has of them."""
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    foreign = re.sub(r"[\x00-\x7f]+", "", text)
    odd = sum(unicodedata.category(char) in _ODD and char not in _PRINTED for char in foreign)
    share = len(foreign) / len(re.findall(r"\w", text) or text)
    plausible = share > 0.6 if encoding == "cp1251" else share < 0.4
    return text if plausible and 10 * odd <= len(foreign) else None
