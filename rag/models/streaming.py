"""Streaming from any chat model of LangChain's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage

from rag.errors import ModelError


async def streamed(
    chat: BaseChatModel, messages: Sequence[BaseMessage], **options: Any
) -> AsyncGenerator[AIMessageChunk]:
    """The chunks of a reply; whatever a model of LangChain's raises becomes a ``ModelError``."""
    chunks = chat.astream(list(messages), **options)
    try:
        async for chunk in chunks:
            yield chunk
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"the language model failed ({type(error).__name__}); `cotorra doctor` says more") from error
    finally:
        if (close := getattr(chunks, "aclose", None)) is not None:
            await close()
