"""The log on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rag.prompts.instructions import VERSION
from rag.types import snapshot_digest
from tests.postgres import postgres_server, postgres_url
from tuning.conversations.log import ConversationLog
from tuning.conversations.records import LoggedFeedback, LoggedPassage, LoggedTurn

__all__ = ["postgres_server", "postgres_url"]

SECRET = b"a secret of this installation"
NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'log.sqlite3'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def log(url: str) -> Iterator[ConversationLog]:
    log = ConversationLog(url, SECRET)
    log.upgrade()
    yield log
    log.close()


def passage(text: str = "Press *Save*.", *, score: float = 0.75, **changes: Any) -> LoggedPassage:
    values: dict[str, Any] = {"title": "Settings", "headings": ("Profile", "Photo"), "url": "https://x.example/s#p"}
    values |= {"text": text, "source": "handbook", "score": score} | changes
    digest = snapshot_digest(values["title"], values["headings"], values["url"], values["text"])
    return LoggedPassage(**({"digest": digest} | values))


def turn(turn_id: str = "t1", *, minutes: int = 0, **changes: Any) -> LoggedTurn:
    values: dict[str, Any] = {
        "turn_id": turn_id,
        "conversation": "slack:T1:C1:1.0",
        "platform": "slack",
        "speaker": "U1",
        "language": "en",
        "question": "How do I save?",
        "answer": "Press Save. [1]",
        "outcome": "answered",
        "passages": (passage(),),
        "cited": (0,),
        "model": "extractive",
        "adapter": None,
        "seconds": {"retrieve": 0.1, "answer": 1 / 3},
        "reply_id": "1700000000.000100",
        "asked_at": NOON + timedelta(minutes=minutes),
        "prompt_version": VERSION,
    }
    return LoggedTurn(**(values | changes))


def feedback(turn_id: str = "t1", *, minutes: int = 1, **changes: Any) -> LoggedFeedback:
    values: dict[str, Any] = {"turn_id": turn_id, "speaker": "U2", "rating": "up"}
    return LoggedFeedback(**(values | {"given_at": NOON + timedelta(minutes=minutes)} | changes))
