"""Decodes bytes: byte order marks and UTF-8 first, then a guess that is accepted only if the text looks plausible."""

from __future__ import annotations

import codecs
import re
import unicodedata

from rag.errors import KnowledgeError
from rag.language import detect

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSES = (("cp1251", {"ru"}), ("koi8-r", {"ru"}), ("cp1250", {"hu", "ro"}), ("cp1254", {"tr"}))
"""Windows code pages, each with the languages for which it is accepted; the fallback is Western European (cp1252)."""
_EAST_ASIAN = (
    ("euc_jp", (0xB0, 0xD7), 0.2),
    ("shift_jis", (0x88, 0x9F), 0.2),
    ("euc_kr", (0xB0, 0xC8), 0.0),
    ("gb2312", (0xB0, 0xD7), 0.0),
    ("big5", (0xA4, 0xC6), 0.0),
    ("gb18030", (0xB0, 0xD7), 0.0),
)
"""Encodings, the first bytes of their usual characters, and the least share of kana. Korean is tried before Chinese, whose
characters fall into Korean's syllables only in part."""
_ODD = frozenset({"Sm", "Sk", "So", "No", "Cc", "Cf"})
_PRINTED = frozenset("°®©™½¼¾²³±×")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
MOSTLY = 10
"""Valid multi-byte characters needed for each broken one to accept UTF-8; other encodings give hardly any valid ones."""
_HEAD = 4096
"""Bytes of a page that are searched for its charset; the HTML standard says 1024, but real pages exceed that."""


def decode(content: bytes) -> str:
    """The text without byte order mark and NUL. Raises ``KnowledgeError`` if the encoding cannot be determined."""
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    try:
        return content.decode(encoding).replace("\x00", "")
    except UnicodeDecodeError as error:
        text = None if mark else _repair(content) or _guess(content)
        if text is None:
            raise KnowledgeError(
                f"is not UTF-8 (byte {error.start}), and no other encoding is plausible; save it as UTF-8"
            ) from error
        return text


def decode_page(content: bytes, charset: str = "") -> str:
    """As :func:`decode`, for HTML: after a byte order mark, ``charset`` (the server's) and the page's meta element decide."""
    declared = _META.search(content[:_HEAD])
    for name in (charset, declared[1].decode() if declared else ""):
        if name and not any(content.startswith(mark) for mark, _ in _MARKS):
            try:
                return content.decode(_web_name(name)).replace("\x00", "")
            except (UnicodeError, LookupError):  # LookupError also for codecs that give no text, such as hex
                continue
    return decode(content)


def _web_name(name: str) -> str:
    """Python's name of a codec. Latin-1 and ASCII become Windows-1252, as the WHATWG Encoding Standard requires."""
    codec = codecs.lookup(name)
    return "cp1252" if codec.name in ("iso8859-1", "ascii") else codec.name


def _repair(content: bytes) -> str:
    """UTF-8 text with a few broken bytes replaced (a file cut off, a faulty editor); "" for another encoding."""
    text = content.decode(errors="replace")
    broken = text.count("\ufffd")
    sound = len(re.findall(r"[^\x00-\x7f\ufffd]", text))
    return text if sound >= MOSTLY * broken and not _CONTROL.search(content) else ""


def _guess(content: bytes) -> str | None:
    # Control characters do not occur in text: the file is binary.
    if _CONTROL.search(content):
        return None
    if (text := _decode_east_asian(content)) is not None:
        return text
    for encoding, languages in _GUESSES:
        text = _decode_if_plausible(content, encoding)
        if text is not None and detect(text) in languages:
            return text
    return _decode_if_plausible(content, "cp1252")


def _decode_east_asian(content: bytes) -> str | None:
    """Text of two bytes a character, if nearly all characters are among the usual ones of that language; else None."""
    for encoding, usual, least in _EAST_ASIAN:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        foreign = [char for char in text if char > "\x7f" and not _is_mark(char)]
        kana = sum("\u3040" <= char <= "\u30ff" for char in foreign)
        common = sum(_is_usual(char, encoding, usual) for char in foreign)
        if len(foreign) < 4 or common < 0.85 * len(foreign) or kana < least * len(foreign):
            continue
        # a third of the letters, or the pairs are accented letters of a Latin alphabet
        if 3 * len(foreign) > len(re.findall(r"\w", text)):
            return text
    return None


def _is_mark(char: str) -> bool:
    return "\u3000" <= char <= "\u303f" or "\uff00" <= char <= "\uffef" or "\u2000" <= char <= "\u206f" or char in "·×"


def _is_usual(char: str, encoding: str, leads: tuple[int, int]) -> bool:
    """Whether a character is a syllable of Japanese, or its first byte is one of the usual characters."""
    if "\u3040" <= char <= "\u30ff":
        return encoding in ("shift_jis", "euc_jp")
    lead = char.encode(encoding)[0]
    return leads[0] <= lead <= leads[1]


def _has_odd_case(text: str) -> bool:
    """Whether capitals stand behind small letters: a wrong code page for Cyrillic swaps them."""
    return len(re.findall(r"[а-яё][А-ЯЁ]", text)) > 0.1 * len(re.findall(r"\w+", text))


def _decode_if_plausible(content: bytes, encoding: str) -> str | None:
    """The text if its non-ASCII characters are mostly letters, in a share that fits the alphabet; else None."""
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    foreign = re.sub(r"[\x00-\x7f]+", "", text)
    odd = sum(unicodedata.category(char) in _ODD and char not in _PRINTED for char in foreign)
    share = len(foreign) / len(re.findall(r"\w", text) or text)
    if encoding in ("cp1251", "koi8-r") and _has_odd_case(text):
        return None
    # Cyrillic text is nearly all non-ASCII; Latin alphabets add a few accented letters to ASCII.
    plausible = share > 0.6 if encoding in ("cp1251", "koi8-r") else share < 0.4
    return text if plausible and 10 * odd <= len(foreign) else None
