"""Streams replies from any LangChain chat model and maps its exceptions to ``ModelError``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage

from rag.errors import ModelError


async def streamed(
    chat: BaseChatModel, messages: Sequence[BaseMessage], **options: Any
) -> AsyncGenerator[AIMessageChunk]:
    """Yields the chunks of a reply. Raises ``ModelError`` for every exception of the chat model."""
    chunks = chat.astream(list(messages), **options)
    try:
        async for chunk in chunks:
            yield chunk
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"the language model failed ({type(error).__name__}); `cotorra doctor` says more") from error
    finally:
        # Closed here, not by the garbage collector: the model frees the reply's place at once when the reader stops.
        if (close := getattr(chunks, "aclose", None)) is not None:
            await close()
