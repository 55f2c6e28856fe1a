"""Reads the front matter of a page: YAML, TOML or JSON before the text, or lines of ``Key: value`` (MultiMarkdown, Pelican)."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import yaml

LONGEST = 50_000
"""Characters at a page's beginning in which its front matter must end."""
_FENCES = {"---": ("---", "..."), "+++": ("+++",)}
_FIELD = re.compile(r"[A-Za-z][\w .-]{0,40}:(?=\s|$)")
_SIMPLE = re.compile(r"""^(title|date|lastmod|updated|last_modified_at)\s*[:=]\s*(["']?)(.*?)\2\s*$""", re.IGNORECASE)
_DATES = (
    "last_modified_at", "last_modified", "lastmodified", "last_updated", "last_update", "lastmod",
    "updated", "updated_at", "updatedat", "modified", "date_modified", "datemodified",
)  # fmt: skip
"""Names of the day of the last change. ``date`` is none: it is mostly that of the first version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page without its front matter. ``title`` is "" and ``date``, the day of the last change, None where it has none."""

    text: str
    title: str = ""
    date: datetime | None = None


def front_matter(text: str) -> Page:
    """The page without front matter. A rule (``---``) at the beginning is none, so that no text is lost with it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    beginning = text.lstrip("\ufeff\n ")
    fields, rest = _fenced(beginning) or _json(beginning) or _lines(beginning) or ({}, text)
    if not fields and rest is text:
        return Page(text=text)
    lowered = {str(name).strip().lower().replace("-", "_"): value for name, value in fields.items()}
    return Page(text=rest, title=_title(lowered.get("title")), date=_date(lowered))


def _fenced(text: str) -> tuple[Mapping[str, object], str] | None:
    first = text.partition("\n")[0].rstrip()
    if first not in _FENCES:
        return None
    closing = "|".join(map(re.escape, _FENCES[first]))
    head = text[: LONGEST + len(first)]
    end = re.compile(rf"^(?:{closing})[ \t]*$", re.MULTILINE).search(head, len(first) + 1)
    if end is None:
        return None
    matter = head[len(first) + 1 : end.start()]
    fields = _yaml(matter) if first == "---" else _toml(matter)
    return None if fields is None else (fields, text[end.end() :].lstrip("\n"))


def _yaml(matter: str) -> Mapping[str, object] | None:
    try:
        fields = yaml.safe_load(matter)
    except Exception:  # noqa: BLE001 - PyYAML also raises ValueError, TypeError and RecursionError
        return _by_lines(matter)
    if isinstance(fields, dict):
        return fields
    return {} if fields is None else None


def _toml(matter: str) -> Mapping[str, object] | None:
    try:
        return tomllib.loads(matter)
    except (tomllib.TOMLDecodeError, RecursionError):
        return _by_lines(matter)


def _by_lines(matter: str) -> Mapping[str, object] | None:
    """The fields of front matter that its own parser refuses, for example because of a colon in a title.

    None unless nearly every line looks like one of front matter.
    """
    lines = [line for line in matter.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    shaped = sum(bool(re.match(r"\s|[\w.-]+\s*[:=]|- |[\[\]{}]", line)) for line in lines)
    if shaped < 0.8 * len(lines):
        return None
    matches = [match for line in lines if (match := _SIMPLE.match(line))]
    return {match[1].lower(): match[3] for match in matches if match[1].lower() != "title" or _is_title(match[3])}


def _is_title(text: str) -> bool:
    return bool(re.search(r"[^\W\d_]", text)) and not text.startswith(("[", "{", "&", "!"))


def _json(text: str) -> tuple[Mapping[str, object], str] | None:
    if not re.match(r"\{\s*\"", text[:LONGEST]):
        return None
    try:
        fields, end = json.JSONDecoder().raw_decode(text[:LONGEST])
    except (ValueError, RecursionError):
        return None
    known = isinstance(fields, dict) and "title" in {str(name).lower() for name in fields}
    return (fields, text[end:].lstrip("\n")) if known and text[end : end + 1] in ("\n", "") else None


def _lines(text: str) -> tuple[Mapping[str, object], str] | None:
    """Lines of ``Key: value`` up to the first empty line, if all are such and one of them is the title."""
    head, _, rest = text[:LONGEST].partition("\n\n")
    lines = head.split("\n")
    if len(lines) < 2 or not all(_FIELD.match(line) or line.startswith(("    ", "\t")) for line in lines):
        return None
    fields = {name.strip().lower(): value.strip() for line in lines for name, _, value in [line.partition(":")]}
    return (fields, rest + text[LONGEST:]) if "title" in fields and len(fields) > 1 else None


def _title(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | date):
        return ""
    return " ".join(str(value).split())


def _date(fields: Mapping[str, object]) -> datetime | None:
    return next((moment for value in _values(fields) if (moment := _moment(value)) is not None), None)


def _values(fields: Mapping[str, object]) -> Iterator[object]:
    for name in _DATES:
        value = fields.get(name)
        yield value.get("date") if isinstance(value, Mapping) else value


def _moment(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip().replace(" UTC", "Z").replace(" +", "+"))
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
