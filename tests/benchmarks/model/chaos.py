"""An OpenAI-compatible server that does everything wrong, behind the whole chain and behind the running service.

``python -m tests.benchmarks.model.chaos``. Whoever asks must get an answer or an honest sentence before the deadline, and no
accepted message may be lost. Limits are short, so that a run takes minutes; what they are does not change who is answered.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rag.answering.extractive import ExtractiveAnswerer
from rag.answering.generative import GenerativeAnswerer
from rag.chain import ConversationalChain
from rag.grounding.grounder import Grounder
from rag.language import load as load_languages
from rag.models.remote.breaker import FIRST_PAUSE_SECONDS
from rag.models.remote.model import RemoteModel
from rag.prompts.sentences import Sentence, say
from rag.retrieval.embeddings.models import TextEmbeddings, load_embeddings
from rag.retrieval.index.passages import Scope
from rag.retrieval.sparse import SparseEncoder
from rag.settings import EmbeddingSettings, MemorySettings, ModelSettings, RetrievalSettings
from rag.types import Done, Hit, Passage, Query, Question, Retrieval
from tests.benchmarks.model.served import Asked, ask, service
from tests.benchmarks.stand import Cotorra, Loads, Slack
from tests.loopback.openai import LoopbackOpenAI
from tests.loopback.openai_faults import FAULTS, Fault

DEADLINE_SECONDS = 5.0
LIMITS = {"first_token_seconds": 2.0, "token_seconds": 1.0, "deadline_seconds": DEADLINE_SECONDS}
GRACE_SECONDS = 2.0
"""Of the chain itself, on a busy machine: retrieval, the fallback's quotes, the check of each sentence."""
LATE_WORDS = 24
"""Into the second sentence of the reply: something of it was shown."""
AT_ONCE = 4
"""Questions a fault in the service part: more than a breaker needs to open."""
SERVED: Sequence[Fault] = (
    "500",
    "429",
    "401",
    "refuse connection",
    "hang before headers",
    "hang before the first word",
    "hang mid-stream",
    "close mid-stream",
    "garbage",
    "garbage mid-stream",
    "malformed JSON",
    "empty choices",
)
SERVED_WORDS = 8
"""Into a reply from the handbook before it breaks."""
WAIT_SECONDS = 30.0
QUESTION = "How do I connect Slack?"
Json = dict[str, object]
Kind = Literal["written", "extracted", "quoted", "busy", "cut_off", "abstained", "apology", "silent"]
_TOLD: dict[Kind, Sentence] = {"quoted": "quoted", "busy": "busy", "cut_off": "cut_off", "abstained": "unknown"}
_APOLOGY = "Sorry, I could not answer"
_OF_THE_PAGE = "How do I reset the password of an account?"
_TEXT = (
    "To reset the password of an account, open the settings page and press the button called Reset password. "
    "The new password must have twelve characters and at least one digit. "
    "An administrator can reset the password of another person from the list of members."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the one who asked saw: the kind of sentence that the answer is or ends with, and when it was whole."""

    kind: Kind
    seconds: float

    @property
    def late(self) -> bool:
        return self.seconds > DEADLINE_SECONDS + GRACE_SECONDS


class Shelf:
    """Finds the one page, whatever is asked."""

    async def find(self, query: Query, scope: Scope, *, limit: int | None = None) -> Retrieval:
        page = Passage(
            id="p1",
            document="kb/accounts.md",
            source="kb",
            title="Accounts",
            headings=("Accounts", "Passwords"),
            url="https://help.example.com/accounts",
            text=_TEXT,
            position=0,
            language="en",
            audience="public",
        )
        return Retrieval(hits=(Hit(passage=page, score=0.9),), score=0.9)


def settings(*servers: str, **more: object) -> ModelSettings:
    """Short limits; everything else as it comes."""
    return ModelSettings.model_validate(
        {"kind": "openai", "name": "test-model", "servers": servers} | dict(LIMITS) | more
    )


def embeddings() -> TextEmbeddings:
    """Loaded, as the service has them."""
    loaded = load_embeddings(EmbeddingSettings())
    loaded.load()
    load_languages()
    return loaded


@asynccontextmanager
async def chain(model_settings: ModelSettings, loaded: TextEmbeddings) -> AsyncIterator[ConversationalChain]:
    """As the service wires it, on the shelf."""
    model = RemoteModel(model_settings)
    sparse = SparseEncoder()
    yield ConversationalChain(
        Shelf(),
        GenerativeAnswerer(model, model_settings, MemorySettings()),
        RetrievalSettings(),
        fallback=ExtractiveAnswerer(loaded, sparse, model_settings),
        grounder=Grounder(loaded, sparse, model_settings),
    )
    await model.close()


async def ask_the_chain(conversation: ConversationalChain) -> Seen:
    """One question through the chain."""
    began = time.monotonic()
    asked = Question(turn_id="t1", conversation="c1", text=_OF_THE_PAGE, audiences=frozenset({"public"}), language="en")
    text = ""
    async for event in conversation.astream(asked, ()):
        if isinstance(event, Done):
            text = event.answer.text
    return Seen(kind=kind_of(text), seconds=round(time.monotonic() - began, 2))


def kind_of(text: str) -> Kind:
    """Which honest sentence stands in an answer; without one, whether a model wrote it or the documents were quoted."""
    if not text.strip():
        return "silent"
    for kind, sentence in _TOLD.items():
        if say("en", sentence).strip("_").partition(",")[0].partition(";")[0] in text:
            return kind
    if _APOLOGY in text:
        return "apology"
    return "extracted" if text.startswith(say("en", "according", page="\n").partition("\n")[0]) else "written"


async def measure(data: Path) -> Json:
    """By fault what was seen, through the chain; then the service's count. ``silent`` and ``late`` are to be 0."""
    loaded = await asyncio.to_thread(embeddings)
    seen: dict[str, Seen] = {}
    for fault in FAULTS:
        seen[fault] = await through_the_chain(fault, loaded)
        if fault.endswith(("mid-stream", "no end")):
            seen[f"{fault}, later"] = await through_the_chain(fault, loaded, breaks_after=LATE_WORDS)
    found: Json = {fault: asdict(one) for fault, one in seen.items()}
    found["kinds"] = Counter(one.kind for one in seen.values())
    found["silent"] = sum(one.kind == "silent" for one in seen.values())
    found["late"] = sum(one.late for one in seen.values())
    found["service"] = await asyncio.to_thread(through_the_service, SERVED)
    return found


async def through_the_chain(
    fault: Fault, loaded: TextEmbeddings, *, breaks_after: int = 3, limits: Mapping[str, float] = LIMITS
) -> Seen:
    """One question while the server always meets this fault."""
    with LoopbackOpenAI(always=fault, breaks_after=breaks_after) as server:
        async with chain(settings(server.url, **limits), loaded) as conversation:
            return await ask_the_chain(conversation)


def through_the_service(faults: Sequence[Fault]) -> Json:
    """Messages through a loopback Slack while the server of the running service meets one fault after another."""
    with tempfile.TemporaryDirectory(prefix="cotorra-chaos-") as name, ExitStack() as stack:
        folder = Path(name)
        slack = stack.enter_context(Slack(folder))
        server = stack.enter_context(LoopbackOpenAI(breaks_after=SERVED_WORDS))
        running = service(folder, slack, _environment(server.url))
        stack.callback(running.stop)
        running.start()
        running.wait_ready()
        loads = Loads(folder, [QUESTION] * AT_ONCE)
        rounds: dict[str, Asked] = {}
        for fault in faults:
            server.always = fault
            rounds[fault] = _ask(slack, loads, running)
            server.always = None
            time.sleep(FIRST_PAUSE_SECONDS)  # until the breaker lets a probe in
            rounds[f"after {fault}"] = _ask(slack, loads, running)
        return _counted(rounds)


def _environment(url: str) -> dict[str, str]:
    return {
        "COTORRA_MODEL__KIND": "openai",
        "COTORRA_MODEL__NAME": "test-model",
        "OPENAI_BASE_URL": url,
        **{f"COTORRA_MODEL__{name.upper()}": str(seconds) for name, seconds in LIMITS.items()},
    }


def _ask(slack: Slack, loads: Loads, running: Cotorra) -> Asked:
    return ask(slack, loads, running, rate=0.0, count=AT_ONCE, seconds=WAIT_SECONDS)


def _counted(rounds: Mapping[str, Asked]) -> Json:
    replies = [reply for asked in rounds.values() for reply in asked.replies]
    lost = sum(asked.lost for asked in rounds.values())
    messages = len(rounds) * AT_ONCE
    return {
        "messages": messages,
        "lost": lost,
        "silent": messages - lost - len(replies),
        "late": sum(reply.full_s > DEADLINE_SECONDS + GRACE_SECONDS for reply in replies),
        "longest_s": round(max((reply.full_s for reply in replies), default=0.0), 2),
        "kinds": {name: Counter(kind_of(reply.text) for reply in asked.replies) for name, asked in rounds.items()},
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path())), indent=2))
