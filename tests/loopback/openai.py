"""An OpenAI-compatible server on 127.0.0.1, with vLLM's requests for adapters, that misbehaves when it is told to.

``python -m tests.loopback.openai --port 8000 --rate 50`` serves one that quotes the first passage of its prompt.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

from tests.loopback.openai_faults import ANSWERED, FAULTS, SLOW_SECONDS, STREAMED, Fault, Json, broken, error

_WORD = re.compile(r"\s*\S+")
_PASSAGE = re.compile(r"<passage>\n\[(\d+)\][^\n]*\n(.*?)</passage>", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Json

    @property
    def prompt(self) -> str:
        """The last message."""
        return str(self.body["messages"][-1]["content"])


Writer = Callable[[Asked], str]


def first_passage(asked: Asked) -> str:
    """Quotes the beginning of the first passage of the prompt, each sentence cited: an answer that grounding lets through."""
    found = _PASSAGE.search(asked.prompt)
    if found is None:
        return "The documents do not say it."
    text = " ".join(line for line in found.group(2).splitlines() if line and line[0].isalpha())
    sentences = re.split(r"(?<=[.!?])\s", text or found.group(2).strip())[:3]
    return " ".join(f"{sentence.rstrip('.')} [{found.group(1)}]." for sentence in sentences)


@dataclass(slots=True)
class LoopbackOpenAI:
    """Serves from a thread while it is entered. ``faults`` are met one a chat request, then ``always``, if any.

    ``loads``: adapters may be loaded and unloaded. ``rate``: words a second, 0 for all at once. ``breaks_after``: words of a
    reply that breaks in its middle.
    """

    model: str = "test-model"
    key: str | None = None
    port: int = 0
    window: int | None = 4096
    loads: bool = True
    rate: float = 0
    first_word_seconds: float = 0
    breaks_after: int = 3
    answer: Writer = first_passage
    owner: str = "vllm"
    lists: bool = True
    always: Fault | None = None
    faults: deque[Fault] = field(default_factory=deque)
    adapters: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    hung_up: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None
    _ready: threading.Event = field(default_factory=threading.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def chats(self) -> list[Asked]:
        """The chat requests among those asked."""
        return [one for one in self.asked if one.path == "/v1/chat/completions"]

    def restart(self) -> None:
        """As a server that is started again: without the adapters that were loaded while it ran."""
        self.adapters.clear()

    def __enter__(self) -> LoopbackOpenAI:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connected, "127.0.0.1", self.port))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in tuple(self._tasks):
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    def _stop(self) -> None:
        self._loop.stop()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up += 1
        except asyncio.CancelledError:  # the end; a cancelled handler is reported as an error by asyncio (Python 3.11)
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request of a connection; False when it ends with it."""
        asked = await _request(reader)
        if asked is None:
            return False
        self.asked.append(asked)
        if self.key is not None and asked.headers.get("authorization") != f"Bearer {self.key}":
            return _send(writer, 401, error(401, "Incorrect API key provided"))
        if asked.path == "/v1/chat/completions":
            return await self._chat(reader, writer, asked)
        return self._fact(writer, asked)

    def _fact(self, writer: asyncio.StreamWriter, asked: Asked) -> bool:
        """Requests about models and adapters, answered at once."""
        if asked.path == "/v1/models" and self.lists:
            return _send(writer, 200, self._models())
        if asked.path == "/v1/load_lora_adapter" and self.loads:
            return self._load(writer, asked)
        if asked.path == "/v1/unload_lora_adapter" and self.loads:
            return self._unload(writer, asked)
        return _send(writer, 404, {"detail": "Not Found"})

    def _models(self) -> Json:
        base = {"id": self.model, "object": "model", "owned_by": self.owner, "max_model_len": self.window}
        loaded = [{"id": name, "root": path, "parent": self.model} for name, path in self.adapters.items()]
        return {"object": "list", "data": [base, *loaded]}

    def _load(self, writer: asyncio.StreamWriter, asked: Asked) -> bool:
        name, path = asked.body.get("lora_name"), asked.body.get("lora_path")
        if not name or not path:
            return _send(writer, 400, error(400, "Both 'lora_name' and 'lora_path' must be provided."))
        if name in self.adapters:
            return _send(writer, 400, error(400, f"The lora adapter '{name}' has already been loaded."))
        if str(path).startswith("/nowhere"):
            return _send(writer, 404, error(404, "No adapter found for it."))
        self.adapters[str(name)] = str(path)
        return _send(writer, 200, f"Success: LoRA adapter '{name}' added successfully.")

    def _unload(self, writer: asyncio.StreamWriter, asked: Asked) -> bool:
        name = asked.body.get("lora_name")
        if not name:
            return _send(writer, 400, error(400, "'lora_name' needs to be provided to unload a LoRA adapter."))
        if self.adapters.pop(str(name), None) is None:
            return _send(writer, 404, error(404, f"The lora adapter '{name}' cannot be found."))
        return _send(writer, 200, f"Success: LoRA adapter '{name}' removed successfully.")

    async def _chat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> bool:
        fault = self.faults.popleft() if self.faults else self.always
        if fault in ANSWERED:
            status, body, headers = ANSWERED[fault]
            return _send(writer, status, body, headers)
        if asked.body.get("model") not in (self.model, *self.adapters):
            return _send(writer, 404, error(404, f"The model `{asked.body.get('model')}` does not exist."))
        if fault == "400 temperature" and "temperature" in asked.body:
            return _send(writer, 400, error(400, "Unsupported value", param="temperature"))
        if fault == "400 max_tokens" and "max_tokens" in asked.body:
            return _send(writer, 400, error(400, "Unsupported parameter", param="max_tokens"))
        if fault == "refuse connection":
            return False
        left = asyncio.create_task(reader.read(1))  # ends when the client hangs up
        reply = asyncio.create_task(self._replied(writer, asked, fault))
        await asyncio.wait((left, reply), return_when=asyncio.FIRST_COMPLETED)
        if not reply.done():
            self.hung_up += 1
        for task in (left, reply):
            task.cancel()
        await asyncio.gather(left, reply, return_exceptions=True)
        return False

    async def _replied(self, writer: asyncio.StreamWriter, asked: Asked, fault: Fault | None) -> None:
        with suppress(ConnectionError):  # who hangs up is counted above
            await self._reply(writer, asked, fault)

    async def _reply(self, writer: asyncio.StreamWriter, asked: Asked, fault: Fault | None) -> None:
        if fault == "hang before headers":
            await asyncio.Event().wait()
        if not asked.body.get("stream"):
            text = self.answer(asked)
            message = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", "index": 0}
            _send(writer, 200, {**_head(asked), "choices": [message], "usage": _usage(asked, text)})
            return
        if fault == "garbage":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + bytes(range(256)) * 40)
            return
        if fault == "html":
            _send(writer, 200, "<!doctype html><title>Sign in</title>", {"content-type": "text/html"})
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n")
        chunked = fault == "close mid-stream"
        writer.write(b"transfer-encoding: chunked\r\n\r\n" if chunked else b"\r\n")
        while fault == "no line break":
            writer.write(b"x" * 65_536)
            await writer.drain()
        async for line in self._events(asked, fault):
            data = line if isinstance(line, bytes) else b"data: " + json.dumps(line).encode() + b"\n\n"
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n" if chunked else data)
            await writer.drain()

    async def _events(self, asked: Asked, fault: Fault | None) -> AsyncIterator[Json | bytes]:
        """Chunks of a streamed reply as JSON, and whatever a fault sends instead as bytes."""
        head = _head(asked) | {"object": "chat.completion.chunk"}
        yield head | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
        text = "" if fault == "no words" else self.answer(asked)
        if fault in STREAMED:
            yield STREAMED[fault]
            return
        if fault == "hang before the first word":
            await asyncio.Event().wait()
        if fault == "only thinking":
            text = "<think>" + text * 3
        await asyncio.sleep(self.first_word_seconds)
        words = _WORD.findall(text)
        pause = SLOW_SECONDS if fault == "slow" else 1 / self.rate if self.rate else 0
        for number, word in enumerate(words):
            if number == self.breaks_after and fault is not None and fault.endswith(("mid-stream", "no end")):
                async for rest in broken(fault, head):
                    yield rest
                return
            await asyncio.sleep(pause)
            yield head | {"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
        ended = "length" if fault == "only thinking" else "stop"
        yield head | {"choices": [{"index": 0, "delta": {}, "finish_reason": ended}]}
        if (asked.body.get("stream_options") or {}).get("include_usage"):
            yield head | {"choices": [], "usage": _usage(asked, text)}
        yield b"data: [DONE]\n\n"


def _head(asked: Asked) -> Json:
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked.body["model"]}


def _usage(asked: Asked, text: str) -> Json:
    prompt = sum(len(str(message["content"]).split()) for message in asked.body["messages"])
    written = len(text.split())
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


async def _request(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, path, _ = first.split(" ")
    return Asked(method=method, path=path, headers=headers, body=json.loads(body) if body else {})


def _send(
    writer: asyncio.StreamWriter, status: int, body: Json | str, headers: Mapping[str, str] | None = None
) -> bool:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = "text/plain" if isinstance(body, str) else "application/json"
    lines = {"content-type": kind, **(headers or {}), "content-length": str(len(data))}
    head = f"HTTP/1.1 {status} Answer\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(head.encode() + b"\r\n" + data)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", default="test-model")
    parser.add_argument("--rate", type=float, default=0, help="words a second; 0 is all at once")
    parser.add_argument("--first-word-seconds", type=float, default=0)
    parser.add_argument("--fault", choices=FAULTS)
    given = parser.parse_args()
    server = LoopbackOpenAI(
        model=given.model,
        port=given.port,
        rate=given.rate,
        first_word_seconds=given.first_word_seconds,
        always=given.fault,
    )
    with server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
