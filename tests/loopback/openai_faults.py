"""What a server of language models can do wrong, as ``tests.loopback.openai`` does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, get_args

Json = dict[str, Any]
Fault = Literal[
    "500",
    "429",
    "429 for 1 s",
    "429 for an hour",
    "400 overlong",
    "400 temperature",
    "400 max_tokens",
    "401",
    "403",
    "404",
    "307",
    "refuse connection",
    "hang before headers",
    "hang before the first word",
    "hang mid-stream",
    "close mid-stream",
    "end mid-stream",
    "error mid-stream",
    "garbage",
    "garbage mid-stream",
    "malformed JSON",
    "deep JSON",
    "another shape",
    "empty choices",
    "no words",
    "only thinking",
    "html",
    "no end",
    "no line break",
    "slow",
]
FAULTS: Sequence[Fault] = get_args(Fault)
SLOW_SECONDS = 0.1
SECRET_OF_THE_SERVER = "what the server wrote about sk-very-secret"
"""Stands in every error that it answers: nothing of it may be shown or logged."""


def error(status: int, message: str, **more: str) -> Json:
    """As OpenAI and vLLM answer it."""
    return {"error": {"message": f"{message} {SECRET_OF_THE_SERVER}", "type": "error", "code": status, **more}}


_OVERLONG = "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens."
ANSWERED: dict[Fault | None, tuple[int, Json, dict[str, str]]] = {
    "500": (500, error(500, "Internal"), {}),
    "429": (429, error(429, "Rate limit"), {}),
    "429 for 1 s": (429, error(429, "Rate limit"), {"retry-after": "1"}),
    "429 for an hour": (429, error(429, "Rate limit"), {"retry-after": "3600"}),
    "400 overlong": (400, error(400, _OVERLONG), {}),
    "401": (401, error(401, "Incorrect API key provided"), {}),
    "403": (403, error(403, "Not for this project"), {}),
    "404": (404, {"detail": "Not Found"}, {}),
    "307": (307, {}, {"location": "http://127.0.0.1:9/v1/chat/completions"}),
}
STREAMED: dict[Fault | None, bytes] = {
    "malformed JSON": b'data: {"choices": [{"delta": {"content": "half\n\n',
    "deep JSON": b"data: " + b"[" * 100_000 + b"\n\n",
    "another shape": b'data: {"choices": [{"text": 7}]}\n\ndata: [1, 2]\n\ndata: "text"\n\n',
    "empty choices": b'data: {"choices": []}\n\ndata: [DONE]\n\n',
}


async def broken(fault: Fault, head: Json) -> AsyncIterator[Json | bytes]:
    """How a reply goes on from where it breaks: chunks as JSON, or bytes."""
    word = head | {"choices": [{"index": 0, "delta": {"content": " more"}, "finish_reason": None}]}
    match fault:
        case "hang mid-stream":
            await asyncio.Event().wait()
        case "garbage mid-stream":
            yield b"data: \xff\xfe\x00 {{{\n\n"
        case "error mid-stream":
            yield {"error": {"message": SECRET_OF_THE_SERVER, "code": 500}}
        case "no end":
            while True:
                await asyncio.sleep(0)
                yield word
