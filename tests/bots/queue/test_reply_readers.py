"""A computed answer that waits in the ledger goes to nobody who may not read all that it may have used."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bots.messages import OutgoingReply
from bots.queue.replies import ReplyRecord

FINAL = OutgoingReply(turn_id="t", kind="answer", text="On the last day. [1]")
COMPUTED = ReplyRecord(
    turn_id="t",
    conversation="c",
    intended_at=datetime(2026, 1, 1, tzinfo=UTC),
    final=FINAL,
    audiences=("public", "employees"),
    tenant="acme",
)


@pytest.mark.parametrize(
    ("readers", "tenant", "goes"),
    [
        ({"public", "employees"}, "acme", True),
        ({"public", "employees", "finance"}, "acme", True),
        ({"public"}, "acme", False),
        ({"public", "employees"}, "globex", False),
        ({"public", "employees"}, "", False),
    ],
)
def test_an_answer_goes_to_those_who_may_read_all_of_it(readers: set[str], tenant: str, goes: bool) -> None:
    assert COMPUTED.answer_for(frozenset(readers), tenant) == (FINAL if goes else None)


def test_an_answer_of_which_nobody_knows_what_it_used_goes_to_nobody() -> None:
    assert replace(COMPUTED, audiences=(), tenant="").answer_for(frozenset({"public"})) is None


def test_an_answer_that_used_no_tenants_documents_goes_to_every_tenant() -> None:
    assert replace(COMPUTED, tenant="").answer_for(frozenset(COMPUTED.audiences), "globex") == FINAL


def test_an_answer_that_stands_on_the_screen_stays_the_answer() -> None:
    assert replace(COMPUTED, finished=True).answer_for(frozenset({"public"})) == FINAL
