"""Several replies at once are what each of them would be alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from torch import Tensor

from rag.errors import ModelError
from rag.models.local.loading import load
from rag.models.local.model import LocalModel
from rag.models.local.spelling import Detokenizer
from tests.rag.tiny_models import byte_tokenizer, quiet, reply_of, save_model, settings_of

QUESTIONS = ("hola", "¿dónde está el ñandú? 🙂", "a longer question " * 6, "x", "medium length, this one", "y" * 150)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
async def model(folder: Path) -> AsyncIterator[LocalModel]:
    model = made(folder)
    yield model
    await model.close()


def made(folder: Path, **options: Any) -> LocalModel:
    settings = settings_of(folder, **options)
    return LocalModel(settings, load(settings, quiet))


def asked(text: str) -> list[BaseMessage]:
    return [SystemMessage("Answer briefly, in the words of the passages."), HumanMessage(text)]


async def said(model: LocalModel, text: str, tokens: int = 24, **options: Any) -> str:
    pieces = [chunk.text async for chunk in model.chat.astream(asked(text), max_tokens=tokens, **options)]
    return "".join(pieces).rstrip("\ufffd")


def alone(model: LocalModel, folder: Path, text: str, tokens: int = 24) -> str:
    """As transformers' generate writes it, spelt as a whole."""
    reply = reply_of(folder, model.template.tokens(asked(text)), tokens)
    return str(byte_tokenizer().decode(reply, skip_special_tokens=True)).rstrip("\ufffd")


async def test_replies_written_together_are_those_of_generate(model: LocalModel, folder: Path) -> None:
    lengths = [24, 7, 30, 1, 12, 18]
    found = await asyncio.gather(*(said(model, text, n) for text, n in zip(QUESTIONS, lengths, strict=True)))
    assert found == [alone(model, folder, text, n) for text, n in zip(QUESTIONS, lengths, strict=True)]


async def test_replies_that_join_while_others_are_written_are_those_of_generate(
    model: LocalModel, folder: Path
) -> None:
    tasks: list[asyncio.Task[str]] = []
    stream = model.chat.astream(asked(QUESTIONS[0]), max_tokens=60)
    first = ""
    async for chunk in stream:
        first += chunk.text
        if len(tasks) < len(QUESTIONS) - 1:
            tasks.append(asyncio.create_task(said(model, QUESTIONS[len(tasks) + 1])))
    assert first == alone(model, folder, QUESTIONS[0], 60)
    assert await asyncio.gather(*tasks) == [alone(model, folder, text) for text in QUESTIONS[1:]]


async def test_a_row_that_is_used_again_remembers_nothing(model: LocalModel, folder: Path) -> None:
    await asyncio.gather(*(said(model, "z" * 300, 40) for _ in range(8)))
    assert await said(model, "hola") == alone(model, folder, "hola")


ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama without groups": ("llama", {"num_key_value_heads": 4}),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "a mixture of experts": ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
    "gpt2 with learned positions": ("gpt2", {"n_embd": 64, "n_head": 4, "n_layer": 2, "n_positions": 512}),
    "sliding windows longer than any text": ("mistral", {"sliding_window": 512}),
    "sliding windows that hide the past": ("mistral", {"sliding_window": 16}),
    "windows and full layers in turns": (
        "gemma3_text",
        {"head_dim": 16, "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "a recurrence between layers of attention": (
        "lfm2",
        {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    ),
    "positions that the mask tells": ("bloom", {"n_head": 4, "n_layer": 2}),
    "a recurrence instead of attention": ("mamba2", {"num_heads": 8, "head_dim": 16, "state_size": 8, "n_groups": 2}),
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
async def test_any_architecture_writes_what_it_writes_alone(kind: str, tmp_path: Path) -> None:
    name, options = ARCHITECTURES[kind]
    folder = save_model(tmp_path, name, **options)
    model = made(folder)
    found = await asyncio.gather(*(said(model, text, 12) for text in QUESTIONS))
    await model.close()
    assert found == [alone(model, folder, text, 12) for text in QUESTIONS]


@pytest.mark.parametrize(
    ("kind", "together"),
    [
        ("qwen3", True),
        ("a mixture of experts", True),
        ("sliding windows longer than any text", True),
        ("sliding windows that hide the past", False),
        ("windows and full layers in turns", False),
    ],
)
async def test_only_models_that_keep_all_keys_and_values_write_in_one_forward(
    kind: str, together: bool, tmp_path: Path
) -> None:
    name, options = ARCHITECTURES[kind]
    told: list[str] = []
    settings = settings_of(save_model(tmp_path, name, **options))
    loaded = load(settings, told.append)
    assert loaded.batch.whole is not together
    assert any("one after another" in line for line in told) is not together


async def test_a_long_prompt_is_read_in_pieces_while_others_are_written(model: LocalModel, folder: Path) -> None:
    async for _ in model.chat.astream(asked("warm up"), max_tokens=4):
        pass
    model.engine.pace.read = 100.0  # tokens a second, of a much slower model: pieces of 25 tokens
    pieces: list[int] = []
    fill = model.engine.batch.fill

    def counted(row: int, ids: Sequence[int], adapter: str) -> Tensor:
        pieces.append(len(ids))
        return fill(row, ids, adapter)

    model.engine.batch.fill = counted  # type: ignore[method-assign]
    assert await said(model, "y" * 150) == alone(model, folder, "y" * 150)
    assert len(pieces) > 1


async def test_instructions_that_prompts_share_are_read_once(model: LocalModel, folder: Path) -> None:
    prompt = len(model.template.tokens(asked("¿tercera?")))
    first, second, third = [await said(model, text) for text in ("¿primera?", "¿segunda?", "¿tercera?")]
    shared = model.engine.prefixes.find("__base__", model.template.tokens(asked("¿tercera?")))
    assert shared is not None
    assert 32 <= shared[1] < prompt
    assert [first, second, third] == [alone(model, folder, text) for text in ("¿primera?", "¿segunda?", "¿tercera?")]


async def test_an_answer_ends_at_every_token_that_the_model_names(tmp_path: Path) -> None:
    folder = save_model(tmp_path)
    model = made(folder)
    reply = reply_of(folder, model.template.tokens(asked("hola")), 24)
    await model.close()
    told = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**told, "eos_token_id": [4, reply[9]]}))
    model = made(folder)
    chunks = [chunk async for chunk in model.chat.astream(asked("hola"), max_tokens=24)]
    await model.close()
    assert (
        chunks[-2].response_metadata["finish_reason"] == "stop"
        or chunks[-1].response_metadata["finish_reason"] == "stop"
    )
    until = reply.index(reply[9])
    assert "".join(chunk.text for chunk in chunks) == byte_tokenizer().decode(reply[:until]).rstrip("\ufffd")


async def test_the_end_of_a_turn_in_the_template_ends_an_answer_too(model: LocalModel) -> None:
    end = byte_tokenizer().convert_tokens_to_ids("<|end|>")
    assert model.template.stops() == {end}


async def test_the_last_chunk_tells_tokens_and_reason(model: LocalModel) -> None:
    whole = await model.chat.ainvoke(asked("hola"), max_tokens=5)
    assert isinstance(whole, AIMessage)
    assert whole.response_metadata["finish_reason"] == "length"
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == 5
    assert whole.usage_metadata["input_tokens"] == model.count(asked("hola"))


def test_a_caller_without_a_loop_gets_the_same(folder: Path) -> None:
    model = made(folder)
    whole = model.chat.invoke(asked("hola"), max_tokens=9)
    asyncio.run(model.close())
    assert whole.content == alone(model, folder, "hola", 9)


async def test_a_seed_repeats_a_drawn_answer_whatever_else_is_written(model: LocalModel) -> None:
    drawn: dict[str, Any] = {"temperature": 1.0, "seed": 7}
    first = await said(model, "hola", **drawn)
    again, other, *_ = await asyncio.gather(
        said(model, "hola", **drawn),
        said(model, "hola", temperature=1.0, seed=8),
        *(said(model, text, temperature=0.7) for text in QUESTIONS),
    )
    assert first == again
    assert first != other


async def test_a_prompt_that_does_not_fit_the_window_is_refused_with_both_figures(model: LocalModel) -> None:
    with pytest.raises(ModelError, match=r"an answer of up to 24 do not fit the window of 512 tokens"):
        await said(model, "y" * 600)


SPELT = (
    "El niño comió ñoquis 🍝 y dijo: «¡qué rico!» 👩‍👩‍👧‍👦 fin.",
    "  two  spaces\n\nand\ttabs ",
    "日本語のテキスト",
)


@pytest.mark.parametrize("text", SPELT)
def test_text_of_bytes_is_never_shown_half_a_character(text: str) -> None:
    tokenizer = byte_tokenizer()
    detokenizer = Detokenizer(tokenizer)
    pieces = [detokenizer.feed(token) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert all("\ufffd" not in piece for piece in pieces)
    assert "".join(pieces) + detokenizer.finish() == text


@pytest.mark.parametrize("text", SPELT)
def test_a_sentencepiece_tokenizer_keeps_its_spaces(text: str) -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    # As Llama's: words begin with ▁, and what is in no word is spelt in bytes.
    words = {"<unk>": 0, **{f"<0x{byte:02X}>": byte + 1 for byte in range(256)}}
    for word in ("▁", "▁El", "▁y", "▁two", "▁and", "▁fin", "i", "n", "o", "d", "j", "t", "a", "b", "s", "."):
        words.setdefault(word, len(words))
    tokenizer = Tokenizer(models.BPE(words, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    ids = fast(text, add_special_tokens=False)["input_ids"]
    detokenizer = Detokenizer(fast)
    pieces = [detokenizer.feed(token) for token in ids]
    assert all("\ufffd" not in piece for piece in pieces)
    assert "".join(pieces) + detokenizer.finish() == fast.decode(ids)


def test_bytes_that_never_become_a_character_do_not_hold_back_the_rest() -> None:
    tokenizer = byte_tokenizer()
    broken = tokenizer("\u00ff", add_special_tokens=False)["input_ids"][:1] * 20
    detokenizer = Detokenizer(tokenizer)
    pieces = [detokenizer.feed(token) for token in [*broken, *tokenizer("end", add_special_tokens=False)["input_ids"]]]
    assert "".join(pieces).endswith("end")
    assert any(pieces[:15])
