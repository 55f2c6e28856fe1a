"""From logits to the next token of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """How one reply chooses: the likeliest token at temperature 0, else drawn with a generator of its own.

    ``top_k`` and ``top_p`` are what the model's authors recommend (its generation_config.json); 0 and 1 keep all.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    generator: torch.Generator | None = None

    def draw(self, logits: Tensor) -> int:
        """One token from logits (vocabulary,), on the CPU: so a seed gives the same on every device."""
        scores = logits.float().cpu() / self.temperature
        kept, tokens = torch.sort(scores.softmax(-1), descending=True)
        kept = kept[: self.top_k or None]
        before = kept.cumsum(-1) - kept
        kept = kept.masked_fill(before >= self.top_p, 0.0)
        return int(tokens[torch.multinomial(kept, 1, generator=self.generator)])


def seeded(seed: int) -> torch.Generator:
    generator = torch.Generator()
    generator.manual_seed(seed)
    return generator


def choose(logits: Tensor, samplers: Sequence[Sampler]) -> list[int | None]:
    """The next token of each row, from logits (rows, vocabulary); one synchronisation with the device for all rows.

    None where a row's logits are no numbers: its weights, or its adapter's, are broken.
    """
    best, tokens = logits.max(-1)
    likeliest, finite = torch.stack((tokens, best.isfinite())).tolist()
    chosen = zip(samplers, likeliest, finite, strict=True)
    return [
        None if not sane else sampler.draw(logits[row]) if sampler.temperature else token
        for row, (sampler, token, sane) in enumerate(chosen)
    ]
