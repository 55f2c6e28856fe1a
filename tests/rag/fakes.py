"""Fakes behind the seams of rag, and the values that tests build most."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence

from rag.answering.answerer import Piece, Quoted, Writer
from rag.retrieval.index.passages import Scope
from rag.types import Exchange, Hit, Passage, Query, Question, Retrieval


def passage(text: str = "Text.", *, number: int = 1, title: str = "Page", **fields: object) -> Passage:
    values: dict[str, object] = {
        "id": f"p{number}", "document": f"kb/{title}.md", "source": "kb", "title": title, "headings": (title,),
        "url": f"https://help.example.com/{title}", "text": text, "position": number, "language": "en",
        "audience": "public",
    }  # fmt: skip
    return Passage(**(values | fields))  # type: ignore[arg-type]


def question(text: str, *, language: str | None = None) -> Question:
    return Question(
        turn_id="t1", conversation="c1", text=text, audiences=frozenset({"public"}), speaker="ana", language=language
    )


class FakeFinder:
    """Finds what it is told to, by a word of the query; remembers the queries."""

    def __init__(self, hits: Mapping[str, Sequence[Hit]]) -> None:
        self.hits = hits
        self.queries: list[Query] = []
        self.scopes: list[Scope] = []

    async def find(self, query: Query, scope: Scope, *, limit: int | None = None) -> Retrieval:
        self.queries.append(query)
        self.scopes.append(scope)
        said = "\n".join((*query.history, query.text)).lower()
        hits = tuple(hit for word, hits in self.hits.items() if word in said for hit in hits)
        return Retrieval(hits=hits[:limit], score=max((hit.score for hit in hits), default=0.0))


class FakeAnswerer:
    """Says its pieces (texts are quotes); remembers what it was asked."""

    name = "fake"

    def __init__(self, *pieces: str | Piece, error: Exception | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.asked: list[tuple[Question, Sequence[Hit], str]] = []

    async def astream(
        self, question: Question, history: Sequence[Exchange], hits: Sequence[Hit], language: str
    ) -> AsyncGenerator[Piece]:
        self.asked.append((question, hits, language))
        yield Writer(model=self.name, hits=tuple(hits), adapter=question.adapter.name if question.adapter else None)
        for piece in self.pieces:
            yield Quoted(text=piece) if isinstance(piece, str) else piece
        if self.error:
            raise self.error


class WordEmbeddings:
    """Unit vectors by words: texts that share words are near. Counts what it was asked to embed."""

    name = "words"
    dimension = 64
    window = 60

    def __init__(self) -> None:
        self.embedded: list[str] = []

    @property
    def query_name(self) -> str:
        return self.name

    def load(self) -> None: ...

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def embed_query(self, text: str) -> list[float]:
        vector = [0.001] * self.dimension
        for word in text.lower().split():
            vector[sum(word.strip("?¿.,").encode()) % self.dimension] += 1
        length = sum(value * value for value in vector) ** 0.5
        return [value / length for value in vector]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.embedded += texts
        return [self.embed_query(text) for text in texts]

    async def aembed_query(self, text: str) -> list[float]:
        return self.embed_query(text)

    async def aembed_queries(self, texts: Sequence[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.embed_documents(texts)
