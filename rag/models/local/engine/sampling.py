"""Chooses the next token of each row from logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """Sampling parameters of one reply: greedy at temperature 0, else random with a generator of its own.

    ``top_k`` and ``top_p`` come from the model's generation_config.json; 0 and 1 switch them off.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    generator: torch.Generator | None = None

    def draw(self, logits: Tensor) -> int:
        """Draws one token from logits (vocabulary,). On the CPU, so that a seed gives the same token on every device."""
        scores = logits.float().cpu() / self.temperature
        probabilities, tokens = torch.sort(scores.softmax(-1), descending=True)
        probabilities = probabilities[: self.top_k or None]
        # The mass before each token, without its own: so at least the likeliest token stays for every top_p.
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= self.top_p, 0.0)
        return int(tokens[torch.multinomial(probabilities, 1, generator=self.generator)])


def seeded(seed: int) -> torch.Generator:
    generator = torch.Generator()
    generator.manual_seed(seed)
    return generator


def choose(logits: Tensor, samplers: Sequence[Sampler]) -> list[int | None]:
    """The next token of each row from logits (rows, vocabulary), with one synchronisation with the device for all rows.

    None where a row's logits are not finite: the weights of the model or of the row's adapter are broken.
    """
    best, tokens = logits.max(-1)
    likeliest, finite = torch.stack((tokens, best.isfinite())).tolist()
    rows = zip(samplers, likeliest, finite, strict=True)
    return [
        None if not sane else sampler.draw(logits[row]) if sampler.temperature else token
        for row, (sampler, token, sane) in enumerate(rows)
    ]
