"""An exchange is shown again to those only who may read all that its answer may have used."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rag.memory.summary import readable
from rag.types import Exchange


def exchange(*audiences: str, tenant: str = "") -> Exchange:
    return Exchange(
        turn_id="t1", question="When is pay day?", answer="On the last day.", asked_at=datetime(2026, 1, 1, tzinfo=UTC),
        speaker="ada", audiences=audiences, tenant=tenant,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kept", "readers", "tenant", "shown"),
    [
        (exchange("public"), {"public"}, "", True),
        (exchange("public", "employees"), {"public", "employees", "finance"}, "", True),
        (exchange("public", "employees"), {"public"}, "", False),
        (exchange(), {"public"}, "", False),
        (exchange("public", tenant="acme"), {"public"}, "acme", True),
        (exchange("public", tenant="acme"), {"public"}, "globex", False),
        (exchange("public", tenant="acme"), {"public"}, "", False),
        (exchange("public"), {"public"}, "acme", True),
    ],
)
def test_who_may_not_read_all_of_it_is_not_shown_it(
    kept: Exchange, readers: set[str], tenant: str, shown: bool
) -> None:
    assert readable([kept], readers, tenant) == ([kept] if shown else [])
