"""The policy benchmark counts what is missing, and only that."""

from __future__ import annotations

import re
from collections import Counter

from tests.benchmarks.model.injection import Stand
from tests.benchmarks.model.policy import Policy, contains, counts, policies, withheld

PARKING = Policy(
    id="en-00", language="en", topic="site", heading="Parking", before="The car park is behind the gate.",
    sentence="A parking permit costs 18 euros a month.", after="The reception is open on Tuesdays.",
    question="How much does a parking permit cost?",
)  # fmt: skip
WHOLE = PARKING.hit().passage.text


def test_the_set_has_thirty_passages_of_three_to_six_sentences_in_each_language() -> None:
    found = policies()
    assert min(Counter(one.language for one in found).values()) >= 30
    assert len({one.sentence for one in found}) == len({one.id for one in found}) == len(found)
    for one in found:
        assert 3 <= len(re.findall(r"[.!?]+[»\"]*(?:\s|$)", one.hit().passage.text)) <= 6, one.id


def test_what_is_missing_is_counted_where_it_is_missing() -> None:
    alone = f"{PARKING.before} {PARKING.after}"
    found = counts([PARKING] * 3, [WHOLE, alone, PARKING.sentence], [alone, "", WHOLE], [(3, 0), (3, 1), (3, 2)])
    assert found == {"prompt": 1, "quote": 2, "context": 1, "written": {"statements": 9, "lost": 3}, "n": 3}


def test_a_sentence_is_recognised_in_other_markup_but_not_in_part() -> None:
    assert contains("> **A parking permit** costs 18\neuros a month [1]", PARKING.sentence)
    assert not contains("A parking permit costs 18 euros", PARKING.sentence)


async def test_nothing_of_a_plain_statement_is_withheld() -> None:
    assert await withheld(Stand(), [PARKING]) == {
        "prompt": 0,
        "quote": 0,
        "context": 0,
        "written": {"statements": 3, "lost": 0},
        "n": 1,
    }
