"""Settings of the answering side: sources, index, embeddings, retrieval, model, memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Section(BaseModel):
    """A section of cotorra.toml: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(Section):
    """One source of documents: a folder, a single file, or (with a later release) a site or a LangChain loader."""

    name: Name
    path: Path
    audience: Name = "public"
    base_url: str = Field("", description="Prefix of the links in citations, for example https://help.example.com/")
    glob: str = "**/*.md"


class KnowledgeSettings(Section):
    """What the bot knows. Without sources it knows its own handbook."""

    sources: tuple[SourceSettings, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> KnowledgeSettings:
        names = [source.name for source in self.sources]
        if len(names) != len(set(names)):
            raise ValueError("two sources have the same name; give each its own")
        return self


class EmbeddingSettings(Section):
    """``packaged`` (all-MiniLM-L6-v2), or the name or folder of a sentence-transformers model."""

    model: str = "packaged"
    batch: int = Field(64, ge=1, le=1024)


class RetrievalSettings(Section):
    """How passages are found and when they are good enough."""

    limit: int = Field(6, ge=1, le=50, description="passages handed to the answerer")
    candidates: int = Field(40, ge=1, le=1000, description="passages fetched by each leg before fusion")
    threshold: float = Field(0.5, ge=0, le=1, description="below this score the bot says that it does not know")


class ModelSettings(Section):
    """What writes the answers."""

    kind: Literal["extractive"] = "extractive"
    quotes: int = Field(4, ge=1, le=12, description="sentences quoted at most in an extractive answer")


class MemorySettings(Section):
    """What a conversation remembers."""

    turns: int = Field(12, ge=0, le=200)
    ttl_days: float = Field(30, gt=0, le=3650)


class QdrantSettings(Section):
    """A Qdrant server instead of the embedded engine; ``url`` is QDRANT_URL, ``api_key`` QDRANT_API_KEY."""

    url: str | None = Field(None, repr=False)
    api_key: SecretStr | None = None
    collection: Name = "cotorra"
    timeout: float = Field(5, gt=0, le=120, description="seconds")


def handbook_source(root: Path) -> SourceSettings:
    """The handbook as the sample knowledge base."""
    return SourceSettings(name="handbook", path=root / "docs", audience="public")
