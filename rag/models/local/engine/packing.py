"""Linear layers whose weights are converted to oneDNN's block layout once, instead of in every call.

A CPU's matrix product needs its weights in blocks. torch rearranges them in each call, which for the few rows of a decoding
step costs as much as the product itself (two cores of an AMD EPYC, torch 2.13, 512 x 16384 in bfloat16: one row 1.9 ms against
0.5, sixteen rows 3.3 ms against 2.0).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_ROWS = 16
"""Rows for which the layout is optimised; products with other numbers of rows work too."""


class PackedLinear(nn.Linear):
    """A linear layer that keeps its weights in oneDNN's layout; it is for inference and has no gradient.

    ``weight`` is empty; it exists because peft reads dtype and device from it.
    """

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS)
        self.weight = nn.Parameter(linear.weight.new_empty(0), requires_grad=False)

    def forward(self, input: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.packed, self.bias, "none", [], "")
        return out


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    return (
        device.type == "cpu"
        and dtype in (torch.bfloat16, torch.float32)
        and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def pack(model: Any) -> None:
    """Replaces all linear layers of a model on the CPU by packed ones, one at a time: only one layer is in memory twice."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:  # not isinstance: a subclass may compute something else
                setattr(parent, name, PackedLinear(child))
