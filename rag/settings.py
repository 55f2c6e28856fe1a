"""Settings of the answering side: sources, index, embeddings, retrieval, model, memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from rag.language import LANGUAGES

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Section(BaseModel):
    """A section of cotorra.toml: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(Section):
    """One source of documents: exactly one of ``path``, ``url``, ``git`` and ``loader`` says where they are."""

    name: Name
    path: Path | None = Field(None, description="a folder or a single file")
    url: str | None = Field(None, repr=False, description="a site: its sitemap or the page to start from")
    git: str | None = Field(None, repr=False, description="a Git repository: an address or a path")
    loader: str | None = Field(None, description="a LangChain document loader by its dotted name")
    audience: Name = "public"
    tenant: Name | Literal[""] = ""
    language: str | None = Field(
        None, pattern=f"^({'|'.join(LANGUAGES)})$", description="of all documents; else detected"
    )
    base_url: str = Field("", description="Prefix of the links in citations, for example https://help.example.com/")
    glob: str = Field("", description="which files are read, for example **/*.md; empty is every kind that can be read")
    branch: str = Field("", description="of the Git repository; empty is the one that it names itself")
    folder: str = Field("", description="of the Git repository; empty is all of it")
    options: dict[str, Any] = Field(default_factory=dict, repr=False, description="what the loader is made with")
    pages: int = Field(1000, ge=1, le=1_000_000, description="pages of a site at most")
    rate: float = Field(2.0, gt=0, le=100, description="requests to a site a second")
    include: tuple[str, ...] = Field((), description="paths of a site that are read, for example /docs/*")
    exclude: tuple[str, ...] = Field((), description="paths of a site that are left out")
    every_minutes: float | None = Field(
        None, ge=0, description="how often it is read, 0 for never; otherwise as all sources are"
    )

    @model_validator(mode="after")
    def _is_in_one_place(self) -> SourceSettings:
        places = [key for key in ("path", "url", "git", "loader") if getattr(self, key) is not None]
        if len(places) != 1:
            named = " and ".join(places) or "none"
            raise ValueError(f"a source has exactly one of path, url, git and loader; source {self.name!r} has {named}")
        return self

    @property
    def place(self) -> str:
        """Where the documents come from, as a message may show it: without what stands before @ in an address."""
        place = str(self.path or self.url or self.git or self.loader)
        return re.sub(r"(?<=://)[^/@]*@", "", place).partition("?")[0]


class KnowledgeSettings(Section):
    """What the bot knows. Without sources it knows its own handbook."""

    sources: tuple[SourceSettings, ...] = ()
    every_minutes: float = Field(60, ge=0, description="how often sources are read again; 0 is never")

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
    cache_days: float = Field(
        7, ge=0, le=365, description="how long Redis keeps embeddings of questions; 0 is not at all"
    )


class RetrievalSettings(Section):
    """How passages are found and when they are good enough."""

    limit: int = Field(6, ge=1, le=50, description="passages handed to the answerer")
    candidates: int = Field(80, ge=1, le=1000, description="passages fetched by each leg before fusion")
    threshold: float = Field(0.5, ge=0, le=1, description="below this score the bot says that it does not know")
    reranker: str = Field("", description="a cross-encoder of sentence-transformers that ranks anew; empty is none")


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
    return SourceSettings(name="handbook", path=root / "docs", audience="public", glob="**/*.md")
