"""What others give on the same pages: each with the packaged MiniLM, its own default splitter and its own retriever.

None of them takes a conversation: they are asked the last turn alone, as their plain retrievers are. How many passages
they return is raised to what the measure looks at, which can only help them. Nothing they embed is kept between parts.
"""

from tests.benchmarks.retrieval.peers.haystack import Haystack
from tests.benchmarks.retrieval.peers.langchain import LangChain, langchain_small
from tests.benchmarks.retrieval.peers.llamaindex import LlamaIndex
from tests.benchmarks.retrieval.systems import Build

PEERS: dict[str, Build] = {
    "langchain": LangChain,
    "langchain_1000": langchain_small,
    "llamaindex": LlamaIndex,
    "haystack": Haystack,
}
