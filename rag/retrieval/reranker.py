"""Reranking of search results with a cross-encoder, which reads the question and each passage together.

It is much slower than the search, whose vectors are computed in advance, so it is off unless a model is named.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from rag.errors import ModelError
from rag.retrieval.calibrated import logistic
from rag.types import Query

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

log = logging.getLogger(__name__)

WINDOW = 512
"""The most tokens of question and passage together; fewer if the model reads fewer."""
BATCH = 16
"""Pairs of one forward pass; memory grows with it."""
SHORT = 8
"""A turn with fewer words is read together with an earlier utterance: "and on Sundays?" alone ranks nothing."""
CHARACTERS = 500
"""Characters that are read of the question and of the earlier utterance; the passage needs the rest of the window."""


class Reranker(Protocol):
    """Scores how well each passage answers a question; higher is better, on any scale."""

    async def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """One score for each passage, in their order. May raise any exception."""


class Reranking:
    """Wraps a reranker that may fail: then the order of the search stays, and the log says so once."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        self._failing = False

    async def scores(self, query: Query, passages: Sequence[str]) -> list[float] | None:
        """Scores in (0, 1), in the order of the passages; None if the reranker failed."""
        if not passages:
            return []
        try:
            scores = _checked(await self._reranker.scores(reranking_text(query), passages), len(passages))
        except Exception as error:  # noqa: BLE001 - libraries raise anything, and the search's own order is still usable
            if not self._failing:
                log.warning(
                    "the reranker fails, passages keep the order of the search: %s: %s", type(error).__name__, error
                )
            self._failing = True
            return None
        self._failing = False
        return [logistic(score) for score in scores]


def _checked(scores: list[float], count: int) -> list[float]:
    if len(scores) != count or not all(map(math.isfinite, scores)):
        raise ModelError("it gave no number for some of the passages")
    return scores


def reranking_text(query: Query) -> str:
    """The question as one text: the model's rewriting if there is one, else the turn, a short one after an earlier utterance.

    Of the last two utterances the shorter one is taken, because a question is usually shorter than its answer.
    """
    if query.rewritten:
        return query.rewritten[:CHARACTERS]
    text = query.text[:CHARACTERS]
    if not query.history or len(query.text.split()) >= SHORT:
        return text
    return f"{min(query.history[-2:], key=len)[:CHARACTERS]}\n{text}"


class CrossEncoderReranker:
    """A cross-encoder of sentence-transformers with one score for each pair, by folder or hub name, in its own thread.

    The constructor reads the weights and blocks. Raises ``ModelError``.
    """

    def __init__(self, name: str) -> None:
        self._model = _read(name)
        # One thread: torch uses several cores for one batch already.
        self._thread = ThreadPoolExecutor(1, "reranker")

    async def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """The model's log odds. Texts longer than its window are truncated."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._compute, question, list(passages))

    def _compute(self, question: str, passages: Sequence[str]) -> list[float]:
        from torch.nn import Identity

        pairs = [(question, passage) for passage in passages]
        # Identity: the model's own activation is often a sigmoid, and ``logistic`` would then be applied twice.
        output = self._model.predict(pairs, batch_size=BATCH, show_progress_bar=False, activation_fn=Identity())
        scores: list[float] = output.tolist()
        return scores


class Rerankers:
    """Rerankers by name; each is loaded once. ``load`` blocks."""

    def __init__(self, load: Callable[[str], Reranker] = CrossEncoderReranker) -> None:
        self._load = load
        self._loading = Lock()
        self._by_name: dict[str, Reranking] = {}

    async def named(self, name: str) -> Reranking | None:
        """The reranker of that name; None for an empty name. Raises ``ModelError``."""
        if not name:
            return None
        return self._by_name.get(name) or await asyncio.to_thread(self._load_once, name)

    def _load_once(self, name: str) -> Reranking:
        with self._loading:
            if name not in self._by_name:
                self._by_name[name] = Reranking(self._load(name))
            return self._by_name[name]


def _read(name: str) -> CrossEncoder:
    """Loads a cross-encoder: only safetensors, and no code of the model, because both other ways can run foreign code."""
    setting = f"retrieval.reranker {name!r}"
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise ModelError(f"{setting} needs a package: pip install sentence-transformers") from error
    try:
        model = CrossEncoder(name, trust_remote_code=False, model_kwargs={"use_safetensors": True})
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{setting} is no folder with a cross-encoder in safetensors, and none can be fetched from the hub: {reason}"
        ) from error
    if model.num_labels != 1:
        raise ModelError(f"{setting} gives {model.num_labels} figures a pair; name a cross-encoder that gives one")
    # Not by max_length: that would override the number of positions that the model has (sentence-transformers 6.2).
    model.max_seq_length = min(WINDOW, model.max_seq_length or WINDOW)
    return model
