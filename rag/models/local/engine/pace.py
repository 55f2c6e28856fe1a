"""Measured speed of the model on this machine: prompt and answer tokens a second."""

from __future__ import annotations

PAUSE = 0.25
"""Seconds that running replies may pause while the prompt of a new one is read."""
_WEIGHT = 0.2
_FIRST, _LEAST, _MOST = 64, 16, 1024


class Pace:
    """Exponential moving averages in tokens a second; None before the first measurement."""

    def __init__(self) -> None:
        self.read: float | None = None
        self.written: float | None = None
        self._share = 0.5

    def record_prompt(self, tokens: int, seconds: float) -> None:
        """Records that reading ``tokens`` of a prompt took ``seconds``."""
        self.read = _moving_average(self.read, tokens / max(seconds, 1e-6))

    def record_step(self, tokens: int, seconds: float) -> None:
        """Records that one step, with a token for each of ``tokens`` rows, took ``seconds``."""
        self.written = _moving_average(self.written, tokens / max(seconds, 1e-6))

    def record_reply(self, written: int, allowed: int) -> None:
        """Records what share of its allowed tokens a reply used."""
        self._share = _moving_average(self._share, written / allowed)

    @property
    def piece(self) -> int:
        """Tokens of a prompt that can be read within ``PAUSE``."""
        return _FIRST if self.read is None else max(_LEAST, min(_MOST, int(self.read * PAUSE)))

    def seconds(self, prompts: int, answers: int) -> float | None:
        """Expected seconds for ``prompts`` tokens to read and ``answers`` allowed tokens to write; None if not measured."""
        if self.read is None or self.written is None:
            return None
        return prompts / self.read + answers * self._share / self.written


def _moving_average(old: float | None, new: float) -> float:
    return new if old is None else old + _WEIGHT * (new - old)
