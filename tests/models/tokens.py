"""The test model's tokenizer: byte-level BPE learned from its own prompts, with a chat template of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langchain_core.messages import BaseMessage
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as Bytes
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

VOCABULARY = 2048
PADDING, BEGIN, TEXT_END, TURN_END = "<|pad|>", "<|begin|>", "<|end_of_text|>", "<|end|>"
ROLES = {"system": "<|system|>", "human": "<|user|>", "ai": "<|assistant|>"}
OPENS, CLOSES = "<passage>\n[", "\n</passage>\n"
FRAME = (OPENS, CLOSES, "<passages>\n", "</passages>\n\n", "<conversation>\n- ", "\n</conversation>")
"""What surrounds passages and conversations, a token each: a prompt is short and its pieces stand close together."""
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def tokenizer(prompts: Iterable[Sequence[BaseMessage]], replies: Iterable[str], window: int) -> PreTrainedTokenizerFast:
    """Learned from all messages but the instructions: those, always the same, become one token each."""
    listed = list(prompts)
    whole = [*dict.fromkeys(str(prompt[0].content) for prompt in listed), *FRAME]
    texts = [str(message.content) for prompt in listed for message in prompt[1:]] + list(replies)
    bpe = Tokenizer(BPE())
    bpe.pre_tokenizer = ByteLevel(add_prefix_space=False)
    bpe.decoder = Bytes()
    special = [PADDING, BEGIN, TEXT_END, TURN_END, *ROLES.values()]
    bpe.train_from_iterator(
        texts,
        BpeTrainer(
            vocab_size=VOCABULARY - len(whole),
            special_tokens=special,
            initial_alphabet=ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    bpe.add_tokens([AddedToken(text, normalized=False) for text in whole])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BEGIN,
        eos_token=TEXT_END,
        pad_token=PADDING,
        extra_special_tokens=[TURN_END, *ROLES.values()],
        chat_template=CHAT_TEMPLATE,
        model_max_length=window,
        clean_up_tokenization_spaces=False,
    )
