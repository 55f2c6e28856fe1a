"""BERT's encoder as a torch module, as all-MiniLM-L6-v2 and multilingual-e5-small have it: 12 heads, 384 wide.

Importing ``transformers`` for it costs more than everything else a first answer needs (1.5 to 7 s on two cores with
transformers 5.23, 0.1 s for these layers). A test holds the output to that of ``transformers.AutoModel``.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

HEADS, WIDTH, INNER, POSITIONS = 12, 384, 1536, 512
EPSILON = 1e-12


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


class Encoder(nn.Module):
    """Token ids and mask, both (texts, tokens), to unit vectors (texts, 384): mean over the tokens, then normalised.

    ``words`` gives the vectors of token ids.
    """

    def __init__(self, words: nn.Module, layers: Iterable[Layer]) -> None:
        super().__init__()
        self.words = words
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.types = nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.layers = nn.ModuleList(layers)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Embed; ``mask`` is True where a token is real."""
        words = self.words(ids).to(self.positions.weight.dtype)
        tokens = self.norm(words + self.positions.weight[: ids.shape[1]] + self.types.weight[0])
        bias = None if bool(mask.all()) else _bias(mask, tokens.dtype)
        for layer in self.layers:
            tokens = layer(tokens, bias)
        kept = mask.unsqueeze(-1).float()
        return nn.functional.normalize((tokens.float() * kept).sum(1) / kept.sum(1), dim=-1)


def _bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What keeps padding out of the attention: minus infinity, nearly."""
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)[:, None, None, :]
