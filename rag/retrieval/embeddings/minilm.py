"""The encoder of all-MiniLM-L6-v2 as a torch module.

Importing ``transformers`` for it costs more than everything else a first answer needs (1.5 to 7 s on two cores with
transformers 5.23, 0.1 s for these layers). A test holds the output to that of ``transformers.AutoModel``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

LAYERS, HEADS, WIDTH, INNER, POSITIONS, VOCABULARY = 6, 12, 384, 1536, 512, 30522
EPSILON = 1e-12
_KINDS = ("weight", "bias")


class Layer(nn.Module):
    """One BERT layer: attention, then two dense layers, each added to its input and normalised after that.

    torch's own ``TransformerEncoderLayer`` takes a third of its time for the softmax of a padded batch on a CPU (2.13), where
    ``scaled_dot_product_attention`` computes it block by block.
    """

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.Linear(WIDTH, 3 * WIDTH)
        self.merge = nn.Linear(WIDTH, WIDTH)
        self.attended = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.widen = nn.Linear(WIDTH, INNER)
        self.narrow = nn.Linear(INNER, WIDTH)
        self.done = nn.LayerNorm(WIDTH, eps=EPSILON)

    def forward(self, tokens: Tensor, bias: Tensor | None) -> Tensor:
        """Tokens (texts, tokens, 384) to the same shape; ``bias`` (texts, 1, 1, tokens) is added to what is attended to."""
        texts, length, _ = tokens.shape
        split = self.attend(tokens).view(texts, length, 3, HEADS, WIDTH // HEADS)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        heads = nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        tokens = self.attended(tokens + self.merge(heads.transpose(1, 2).reshape(texts, length, WIDTH)))
        seen: Tensor = self.done(tokens + self.narrow(nn.functional.gelu(self.widen(tokens))))
        return seen


class MiniLM(nn.Module):
    """Token ids and mask, both (texts, tokens), to unit vectors (texts, 384): mean over the tokens, then normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.types = nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Embed; ``mask`` is True where a token is real."""
        tokens = self.norm(self.words(ids) + self.positions.weight[: ids.shape[1]] + self.types.weight[0])
        bias = None if bool(mask.all()) else _bias(mask, tokens.dtype)
        for layer in self.layers:
            tokens = layer(tokens, bias)
        kept = mask.unsqueeze(-1).float()
        return nn.functional.normalize((tokens.float() * kept).sum(1) / kept.sum(1), dim=-1)


def _bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What keeps padding out of the attention: minus infinity, nearly."""
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)[:, None, None, :]


def read(weights: Path, dtype: torch.dtype = torch.float32) -> MiniLM:
    """The model with the weights of a safetensors file in BERT's naming, computing in ``dtype``.

    KeyError or RuntimeError if they do not fit. With bfloat16 it is twice as fast (two cores of an AMD EPYC, torch 2.13:
    26 ms a passage of 256 tokens against 49) and half as large, and the vectors' cosine with float32's is above .9999.
    """
    stored = load_file(weights)
    model = MiniLM()  # not on the meta device: with torch 2.13 that imports sympy, 1.2 s for the 0.1 s of initialising
    model.load_state_dict(_renamed(stored), assign=True)
    return model.to(dtype).eval().requires_grad_(False)


def _renamed(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {
        "words.weight": stored["embeddings.word_embeddings.weight"],
        "positions.weight": stored["embeddings.position_embeddings.weight"],
        "types.weight": stored["embeddings.token_type_embeddings.weight"],
        "norm.weight": stored["embeddings.LayerNorm.weight"],
        "norm.bias": stored["embeddings.LayerNorm.bias"],
    }
    for number in range(LAYERS):
        state |= _layer(stored, f"encoder.layer.{number}", f"layers.{number}")
    return state


def _layer(stored: dict[str, Tensor], bert: str, own: str) -> dict[str, Tensor]:
    names = {
        "merge": "attention.output.dense",
        "attended": "attention.output.LayerNorm",
        "widen": "intermediate.dense",
        "narrow": "output.dense",
        "done": "output.LayerNorm",
    }
    state = {f"{own}.{ours}.{kind}": stored[f"{bert}.{its}.{kind}"] for ours, its in names.items() for kind in _KINDS}
    for kind in _KINDS:
        parts = [stored[f"{bert}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        state[f"{own}.attend.{kind}"] = torch.cat(parts)
    return state
