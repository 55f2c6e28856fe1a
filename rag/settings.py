"""Settings of the answering side: sources, index, embeddings, retrieval, model, memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator

from rag.language import LANGUAGES

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Section(BaseModel):
    """A section of cotorra.toml; unknown keys are errors, and values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(Section):
    """One source of documents; exactly one of ``path``, ``url``, ``git`` and ``loader`` is set."""

    name: Name
    path: Path | None = Field(None, description="a folder or a single file")
    # Not in the repr: an address may contain a password or a token, and options a secret.
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
            keys = " and ".join(places) or "none"
            raise ValueError(f"a source has exactly one of path, url, git and loader; source {self.name!r} has {keys}")
        return self

    @property
    def place(self) -> str:
        """The place of the documents for messages: an address without user, password and query, which may be secret."""
        place = str(self.path or self.url or self.git or self.loader)
        return re.sub(r"(?<=://)[^/@]*@", "", place).partition("?")[0]


class KnowledgeSettings(Section):
    """The sources of the bot's knowledge; without any it knows its own handbook."""

    sources: tuple[SourceSettings, ...] = ()
    every_minutes: float = Field(60, ge=0, description="how often sources are read again; 0 is never")

    @model_validator(mode="after")
    def _names_are_unique(self) -> KnowledgeSettings:
        names = [source.name for source in self.sources]
        if len(names) != len(set(names)):
            raise ValueError("two sources have the same name; give each its own")
        return self


class EmbeddingSettings(Section):
    """Which model embeds texts.

    ``multilingual`` (multilingual-e5-small, Linux on x86-64), ``english`` (all-MiniLM-L6-v2), ``packaged`` (the first
    of them that is installed), or a sentence-transformers name or folder.
    """

    model: str = "packaged"
    batch: int = Field(64, ge=1, le=1024)
    cache_days: float = Field(
        7, ge=0, le=365, description="how long Redis keeps embeddings of questions; 0 is not at all"
    )


class RetrievalSettings(Section):
    """How passages are retrieved, and the score from which on they are used."""

    limit: int = Field(6, ge=1, le=50, description="passages handed to the answerer")
    candidates: int = Field(80, ge=1, le=1000, description="passages fetched by each leg before fusion")
    threshold: float = Field(0.5, ge=0, le=1, description="below this score the bot says that it does not know")
    reranker: str = Field("", description="a cross-encoder of sentence-transformers that ranks anew; empty is none")


class ModelSettings(Section):
    """How answers are written: by quotes alone, by a language model in this process, or by an OpenAI-compatible server."""

    kind: Literal["extractive", "transformers", "openai"] = "extractive"
    name: str = Field("Qwen/Qwen3-1.7B", description="hub name, folder, or the server's name of the model")
    revision: str = Field("", description="of a model of the hub: branch, tag or commit; empty is its main branch")
    adapter: Name | Literal[""] = Field("", description="the adapter that answers; empty is the promoted one, if any")
    quotes: int = Field(4, ge=1, le=12, description="sentences quoted at most in an extractive answer")
    rewrite: bool = Field(
        True, description="let the model rewrite a turn that leans on the past into a question for the search"
    )
    unsupported: Literal["drop", "abstain"] = Field(
        "drop",
        description="what happens to a sentence that its passage does not support: it is left out, or no answer is given",
    )
    nli: str = Field(
        "", description="a natural language inference cross-encoder that judges support too; empty is none"
    )
    answer_tokens: int = Field(512, ge=16, le=8192, description="tokens of an answer at most")
    temperature: float = Field(0.0, ge=0, le=2, description="0 always writes the likeliest token")
    window: int = Field(
        8192,
        ge=256,
        le=1_048_576,
        description="tokens of prompt and answer at most, or fewer where the model has fewer",
    )
    deadline_seconds: float = Field(120, gt=0, le=3600, description="until an answer must be complete")
    first_token_seconds: float = Field(45, gt=0, le=600, description="until the first word, queueing included")
    batch: int = Field(16, ge=1, le=512, description="answers written at once in this process")
    queue: int = Field(
        64, ge=0, le=10_000, description="answers that may wait for a place; beyond it people are told how long"
    )
    adapters: int = Field(4, ge=1, le=64, description="adapters kept in this process's memory")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    remote_code: tuple[str, ...] = Field((), description="models whose own Python code may run, by name")
    servers: tuple[str, ...] = Field(
        (), repr=False, description="OpenAI-compatible servers, tried in order, for example http://127.0.0.1:8000/v1"
    )
    api_key: SecretStr | None = None
    token_seconds: float = Field(
        20, gt=0, le=600, description="silence between two pieces of a server's answer at most"
    )
    retries: int = Field(2, ge=0, le=10, description="of a request to a server that failed before its first word")
    load_adapters: bool = Field(
        False, description="the server is vLLM and loads adapters when told to (VLLM_ALLOW_RUNTIME_LORA_UPDATING)"
    )

    @field_validator("servers", mode="before")
    @classmethod
    def _are_listed(cls, value: object) -> object:
        """OPENAI_BASE_URL may name several, with commas between them."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_a_server(self) -> ModelSettings:
        """Checks the servers only for ``openai``: otherwise OPENAI_BASE_URL in the environment is meant for other programs."""
        if self.kind == "openai" and not self.servers:
            raise ValueError(
                'model.kind = "openai" needs model.servers (or OPENAI_BASE_URL), for example http://127.0.0.1:8000/v1'
            )
        if self.kind == "openai" and not all(one.startswith(("http://", "https://")) for one in self.servers):
            raise ValueError("every one of model.servers begins with http:// or https:// and usually ends in /v1")
        return self


class MemorySettings(Section):
    """How much of a conversation is remembered, and for how long."""

    turns: int = Field(12, ge=0, le=200)
    ttl_days: float = Field(30, gt=0, le=3650)
    tokens: int = Field(1500, ge=0, le=100_000, description="of the past in a prompt at most, the summary included")
    summary: bool = Field(True, description="keep a running summary of the turns that are no longer kept word for word")
    notes: bool = Field(False, description="keep what people ask to be remembered about them, each in their own notes")


class QdrantSettings(Section):
    """A Qdrant server instead of the embedded engine; ``url`` is QDRANT_URL, ``api_key`` QDRANT_API_KEY."""

    url: str | None = Field(None, repr=False)
    api_key: SecretStr | None = None
    collection: Name = "cotorra"
    timeout: float = Field(5, gt=0, le=120, description="seconds")


def handbook_source(root: Path) -> SourceSettings:
    """The handbook as the sample knowledge base."""
    return SourceSettings(name="handbook", path=root / "docs", audience="public", glob="**/*.md")
