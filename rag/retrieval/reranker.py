"""A second look at what was found: a cross-encoder reads the question and each passage together, and ranks anew.

Slower by far than the search, which compares vectors that were made beforehand, and off unless a model is named.
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
"""Tokens of question and passage together that are read at most, as far as the model reads that many."""
BATCH = 16
"""Pairs computed at once; their memory grows with it."""
SHORT = 8
"""Words below which a turn is read with what was said before it: "and on Sundays?" alone ranks nothing."""
CHARACTERS = 500
"""Of the question, and of what was said before it, that are read: the passage needs the rest of the window."""


class Reranker(Protocol):
    """What says how well each passage answers a question: any figures, of which a higher one is better."""

    async def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """One score a passage, in their order. May raise anything."""


class Reranking:
    """A reranker that may fail: then the ranking stays as the search made it, and the log says so once."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        self._failing = False

    async def scores(self, query: Query, passages: Sequence[str]) -> list[float] | None:
        """Scores in (0, 1), in the order of the passages; None when the reranker failed."""
        if not passages:
            return []
        try:
            found = _checked(await self._reranker.scores(asked(query), passages), len(passages))
        except Exception as error:  # noqa: BLE001 - a library's errors are its own, and the search has an answer
            if not self._failing:
                log.warning(
                    "the reranker fails, passages keep the order of the search: %s: %s", type(error).__name__, error
                )
            self._failing = True
            return None
        self._failing = False
        return [logistic(score) for score in found]


def _checked(scores: list[float], count: int) -> list[float]:
    if len(scores) != count or not all(map(math.isfinite, scores)):
        raise ModelError("it gave no number for some of the passages")
    return scores


def asked(query: Query) -> str:
    """The question as one text that stands alone: rewritten by a model; else a short one after what it follows.

    Of the two utterances before it that is the shorter one: a question is, more often than its answer.
    """
    if query.rewritten:
        return query.rewritten[:CHARACTERS]
    text = query.text[:CHARACTERS]
    if not query.history or len(query.text.split()) >= SHORT:
        return text
    return f"{min(query.history[-2:], key=len)[:CHARACTERS]}\n{text}"


class CrossEncoderReranker:
    """Any cross-encoder of sentence-transformers with one score a pair, by folder or hub name, in a thread of its own.

    Making one reads the weights, which blocks. Raises ``ModelError``.
    """

    def __init__(self, name: str) -> None:
        self._model = _read(name)
        self._thread = ThreadPoolExecutor(1, "reranker")

    async def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """Log odds, as the model gives them. What is longer than its window is cut."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._computed, question, list(passages))

    def _computed(self, question: str, passages: Sequence[str]) -> list[float]:
        from torch.nn import Identity

        pairs = [(question, passage) for passage in passages]
        computed = self._model.predict(pairs, batch_size=BATCH, show_progress_bar=False, activation_fn=Identity())
        found: list[float] = computed.tolist()
        return found


class Rerankers:
    """Rerankers by name, each loaded once; ``load`` blocks."""

    def __init__(self, load: Callable[[str], Reranker] = CrossEncoderReranker) -> None:
        self._load = load
        self._loading = Lock()
        self._known: dict[str, Reranking] = {}

    async def named(self, name: str) -> Reranking | None:
        """The one that ``retrieval.reranker`` names; None without a name. Raises ``ModelError``."""
        if not name:
            return None
        return self._known.get(name) or await asyncio.to_thread(self._loaded, name)

    def _loaded(self, name: str) -> Reranking:
        with self._loading:
            if name not in self._known:
                self._known[name] = Reranking(self._load(name))
            return self._known[name]


def _read(name: str) -> CrossEncoder:
    """Weights from safetensors only, and no code that comes with a model."""
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
    # Not as max_length: that would outrank the positions that the model has (sentence-transformers 6.2).
    model.max_seq_length = min(WINDOW, model.max_seq_length or WINDOW)
    return model
