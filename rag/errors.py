"""Errors of the answering side.

RagError
├── ConfigurationError      a setting that cannot work; the message names key and cure
├── KnowledgeError          a source or document that cannot be read
│   └── SourceShrank        a source lost more than half of its documents
├── IndexUnavailable        the passage index does not answer
│   └── IndexLocked         another process owns the embedded index
├── ModelError              an embedding or language model cannot be loaded or failed
│   ├── ModelUnavailable    it does not answer now; trying again later may help
│   └── ModelBusy           its queue is full; says for how long
├── StoreUnavailable        Redis does not answer (a platform gets a 5xx and delivers again)
└── EvaluationError         a question set that cannot be used, or too little in it to learn from
"""

from __future__ import annotations


class RagError(Exception):
    """Root of the tree. The message says what happened, to which thing, and what to do."""


class ConfigurationError(RagError):
    """A setting that cannot work."""


class KnowledgeError(RagError):
    """A source or a document cannot be read."""


class SourceShrank(KnowledgeError):
    """A source lost more than half of its documents at once; nothing was removed."""


class IndexUnavailable(RagError):
    """The passage index does not answer; trying again later may help."""


class IndexLocked(IndexUnavailable):
    """Another process owns the embedded index."""


class ModelError(RagError):
    """An embedding or language model cannot be loaded, or failed."""


class ModelUnavailable(ModelError):
    """A language model does not answer now, or did not in time; trying again later may help."""


class ModelBusy(ModelError):
    """A language model has a full queue; ``seconds`` is about how long that will last."""

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class StoreUnavailable(RagError):
    """Redis does not answer. Nothing was accepted or changed for certain; trying again later may help."""


class EvaluationError(RagError):
    """A set of questions cannot be read, or holds too little for what is asked of it."""
