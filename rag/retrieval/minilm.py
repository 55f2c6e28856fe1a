"""The encoder of all-MiniLM-L6-v2 as a torch module.

Importing ``transformers`` for it costs more than everything else a first answer needs (1.5 to 7 s on two cores with
transformers 5.23, 0.1 s for these layers), so the six BERT layers are torch's own ``TransformerEncoder``, whose
post-norm layer is BERT's. A test holds the output to that of ``transformers.AutoModel``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

LAYERS, HEADS, WIDTH, INNER, POSITIONS, VOCABULARY = 6, 12, 384, 1536, 512, 30522
EPSILON = 1e-12


class MiniLM(nn.Module):
    """Token ids and mask, both (texts, tokens), to unit vectors (texts, 384): mean over the tokens, then normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.types = nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, INNER, dropout=0, activation="gelu", layer_norm_eps=EPSILON, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Embed; ``mask`` is True where a token is real."""
        embedded = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.types.weight[0]
        padding = None if bool(mask.all()) else ~mask
        tokens = self.encoder(self.norm(embedded), src_key_padding_mask=padding).float()
        kept = mask.unsqueeze(-1).to(tokens.dtype)
        return nn.functional.normalize((tokens * kept).sum(1) / kept.sum(1), dim=-1)


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AVX512_BF16, AMX or Arm's BF16); elsewhere it is slower."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


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
        state |= _layer(stored, f"encoder.layer.{number}", f"encoder.layers.{number}")
    return state


def _layer(stored: dict[str, Tensor], bert: str, own: str) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        parts = [stored[f"{bert}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        state[f"{own}.self_attn.in_proj_{kind}"] = torch.cat(parts)
        state[f"{own}.self_attn.out_proj.{kind}"] = stored[f"{bert}.attention.output.dense.{kind}"]
        state[f"{own}.norm1.{kind}"] = stored[f"{bert}.attention.output.LayerNorm.{kind}"]
        state[f"{own}.linear1.{kind}"] = stored[f"{bert}.intermediate.dense.{kind}"]
        state[f"{own}.linear2.{kind}"] = stored[f"{bert}.output.dense.{kind}"]
        state[f"{own}.norm2.{kind}"] = stored[f"{bert}.output.LayerNorm.{kind}"]
    return state
