"""Models of a few thousand random weights, with tokenizers and adapters of their own, made in a second."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rag.models.adapters import adapter_digest
from rag.settings import ModelSettings
from rag.types import AdapterRef

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|eos|>")


def byte_tokenizer(texts: Iterable[str] = (), vocabulary: int = 300, template: str | None = TEMPLATE) -> Any:
    """Byte-level BPE; without texts every token is a byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|eos|>", additional_special_tokens=list(SPECIAL[:-1])
    )
    fast.chat_template = template
    return fast


def config_of(kind: str = "llama", **options: Any) -> Any:
    """A configuration with grouped queries (2 heads of keys for 4 of queries) unless told otherwise."""
    from transformers import AutoConfig

    given = {
        "vocab_size": 320,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "bos_token_id": None,
        "eos_token_id": 4,
        "pad_token_id": None,
    }
    return AutoConfig.for_model(kind, **{**given, **options})


def save_model(folder: Path, kind: str = "llama", tokenizer: Any = None, **options: Any) -> Path:
    """A model with random weights (always the same) and its tokenizer, as a folder. It never ends an answer by itself."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config_of(kind, **options))
    with torch.no_grad():
        model.get_output_embeddings().weight[: len(SPECIAL)] = 0  # never the likeliest
    model.save_pretrained(folder)
    (tokenizer or byte_tokenizer()).save_pretrained(folder)
    return folder


def save_adapter(folder: Path, model: Path, seed: int = 1, strength: float = 0.5, **options: Any) -> Path:
    """A LoRA adapter with random weights that changes what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    given = {"r": 4, "target_modules": ["q_proj", "v_proj", "down_proj"], "task_type": "CAUSAL_LM"}
    config = LoraConfig(**{**given, **options})
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(model), config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.normal_(0, strength)
    adapted.save_pretrained(folder)
    return folder


def settings_of(folder: Path, **options: Any) -> ModelSettings:
    """Of a tiny model, in numbers that can be compared."""
    given = {"dtype": "float32", "device": "cpu", "window": 512, "answer_tokens": 24, "batch": 4}
    return ModelSettings(kind="transformers", name=str(folder), **{**given, **options})


def quiet(_line: str) -> None:
    """Progress that nobody reads."""


def reply_of(folder: Path, prompt: list[int], tokens: int, adapter: Path | None = None) -> list[int]:
    """What transformers' own ``generate`` says to a prompt, alone and without our code."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    adapted = model if adapter is None else PeftModel.from_pretrained(model, adapter)
    ids = torch.tensor([prompt])
    out = adapted.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=tokens,
        do_sample=False,
        pad_token_id=0,
    )
    return list(out[0, len(prompt) :].tolist())


def adapter_of(folder: Path, name: str = "") -> AdapterRef:
    """How tuning would name the adapter in a folder."""
    return AdapterRef(name=name or folder.name, path=str(folder), digest=adapter_digest(folder))
