"""The date at which a page says that it was changed last."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from rag.knowledge.loaders.pages import BEGINNING

_MATTER = re.compile(
    r"\ufeff?(?P<fence>---|\+\+\+)[ \t]*\r?\n(?P<fields>.*?)\n(?P=fence)[ \t]*\r?$", re.DOTALL | re.MULTILINE
)
_CHANGED = re.compile(
    r"^(?:last[_-]?modified(?:[_-]at)?|lastmod|last[_-]?updated|updated(?:[_-]?at)?|modified|date[_-]?modified)[ \t]*[:=]"
    r"[ \t]*[\"']?(?P<date>\d{4}-\d\d-\d\d)",
    re.IGNORECASE | re.MULTILINE,
)


def stated_date(text: str) -> datetime | None:
    """The day of the last change by the page's front matter (YAML or TOML), as midnight UTC; None if it does not say.

    A file's own time is none: a clone, a copy or an image of a container sets it anew. Nor is ``date``, which is mostly that of
    publication.
    """
    matter = _MATTER.match(text[:BEGINNING])
    changed = _CHANGED.search(matter["fields"]) if matter else None
    try:
        return datetime.fromisoformat(changed["date"]).replace(tzinfo=UTC) if changed else None
    except ValueError:
        return None
