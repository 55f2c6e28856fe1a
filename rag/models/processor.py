"""Features of this machine's processor."""

from __future__ import annotations

import torch


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AVX512_BF16, AMX or Arm's BF16).

    Without it torch emulates bfloat16, which is slower than float32.
    """
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
