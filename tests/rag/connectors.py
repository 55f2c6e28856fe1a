"""Document loaders of LangChain's kind, as a package of others would bring them."""

from __future__ import annotations

from collections.abc import Iterator

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from pydantic import BaseModel


class WikiLoader(BaseLoader):
    """Two pages, one of them in pieces that come apart."""

    def __init__(self, token: str, space: str = "HR") -> None:
        self._space = space
        if token == "wrong-token":
            raise ValueError(f"401 for token {token}")
        if token == "shortened-token":
            raise ValueError(f"401 for token {token[:9]}...")

    def lazy_load(self) -> Iterator[Document]:
        page = {
            "title": "Vacation",
            "source": f"https://wiki.example.com/{self._space}/1",
            "when": "2024-05-06T07:08:09Z",
        }
        yield Document(page_content="The holidays are long.", metadata={**page, "page": 0})
        yield Document(page_content="# Pay\n\nIt comes monthly.", metadata={"id": 7, "source": None})
        yield Document(page_content="They are in August.", metadata={**page, "page": 1})


class BrokenLoader(BaseLoader):
    """One that loses its connection on the way."""

    def __init__(self, api_key: str) -> None:
        self._key = api_key

    def lazy_load(self) -> Iterator[Document]:
        yield Document(page_content="One", metadata={"source": "1"})
        raise ConnectionError(f"GET https://api.example.com/?key={self._key} timed out")


class TypedLoader(BaseLoader, BaseModel):
    """One whose options pydantic checks; its messages hold what was put in."""

    token: str
    space: str

    def lazy_load(self) -> Iterator[Document]:
        yield Document(page_content=self.space)
