"""Texts of like length share a forward pass, and the others do not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.retrieval.embeddings.batching import PADDING, like_lengths


def test_a_short_question_is_not_padded_to_the_conversation_beside_it() -> None:
    assert like_lengths([250, 9], 64) == [[1], [0]]


def test_texts_of_nearly_one_length_stay_together() -> None:
    assert like_lengths([12, 9, 10, 11], 64) == [[1, 2, 3, 0]]


def test_no_texts_are_no_batches() -> None:
    assert like_lengths([], 8) == []


@given(lengths=st.lists(st.integers(0, 256), max_size=200), most=st.integers(1, 64))
def test_every_text_is_in_one_batch_that_is_neither_too_large_nor_mostly_padding(lengths: list[int], most: int) -> None:
    batches = like_lengths(lengths, most)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= most for batch in batches)
    padded = [len(batch) * max(lengths[place] for place in batch) for batch in batches]
    assert all(
        tokens - sum(lengths[place] for place in batch) <= PADDING
        for tokens, batch in zip(padded, batches, strict=True)
    )
