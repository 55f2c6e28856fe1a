"""multilingual-e5-small: twelve layers, read from 4-bit weights, whose 250,000 words stay in the file."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rag.retrieval.embeddings.bert import INNER, POSITIONS, WIDTH, Encoder, Layer
from rag.retrieval.embeddings.quantised import QuantisedFile, dequantised

LAYERS = 12
_DENSE = {"merge": ("ao", WIDTH), "widen": ("fi", INNER), "narrow": ("fo", WIDTH)}
"""Our name, the file's, and how many outputs there are."""
_NORMS = {"attended": "aln", "done": "oln"}
_BIASES = {ours: name for ours, (name, _) in _DENSE.items()} | _NORMS


class FileWords(nn.Module):
    """Vectors of token ids, dequantised when they are asked for: all of them would take 192 MB in bfloat16."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self._rows = rows  # no parameter and no buffer: what moves or saves the model leaves them alone

    def forward(self, ids: Tensor) -> Tensor:
        """Ids of any shape to (…, 384) in float32."""
        return dequantised(self._rows[ids])


def read(file: QuantisedFile, dtype: torch.dtype = torch.float32) -> Encoder:
    """The model, computing in ``dtype``. KeyError or RuntimeError if the tensors do not fit."""
    # One layer after the other: what torch initialises all twelve with would stay with the process, 85 MB.
    model = Encoder(FileWords(file.rows("emb.word", WIDTH)), (_layer(file, f"l{n}", dtype) for n in range(LAYERS)))
    state = {
        "positions.weight": file.tensor("emb.pos", dtype).view(POSITIONS, WIDTH),
        "types.weight": file.tensor("emb.type", dtype).view(2, WIDTH),
        "norm.weight": file.tensor("emb.ln.w", dtype),
        "norm.bias": file.tensor("emb.ln.b", dtype),
    }
    model.load_state_dict(state | model.layers.state_dict(prefix="layers."), assign=True)
    return model.eval().requires_grad_(False)


def _layer(file: QuantisedFile, its: str, dtype: torch.dtype) -> Layer:
    def dense(name: str, outputs: int) -> Tensor:
        return file.tensor(f"{its}.{name}.w", dtype).view(outputs, -1)

    weights = {"attend": torch.cat([dense(part, WIDTH) for part in "qkv"])}
    weights |= {ours: dense(name, outputs) for ours, (name, outputs) in _DENSE.items()}
    weights |= {ours: file.tensor(f"{its}.{name}.w", dtype) for ours, name in _NORMS.items()}
    biases = {"attend": torch.cat([file.tensor(f"{its}.{part}.b", dtype) for part in "qkv"])}
    biases |= {ours: file.tensor(f"{its}.{name}.b", dtype) for ours, name in _BIASES.items()}
    layer = Layer()
    kinds = (("weight", weights), ("bias", biases))
    layer.load_state_dict(
        {f"{name}.{kind}": tensor for kind, each in kinds for name, tensor in each.items()}, assign=True
    )
    return layer
