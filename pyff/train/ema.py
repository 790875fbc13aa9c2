"""Exponential moving average of the weights, kept apart from the raw ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["EMA"]


class EMA:
    """a <- d a + (1 - d) w after each step, with d = min(decay, (1 + t) / (10 + t)), so that early steps fade fast."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._names = [name for name, p in model.named_parameters() if p.requires_grad]
        self._weights = [p for p in model.parameters() if p.requires_grad]
        self._averages = [p.detach().clone() for p in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the present raw weights."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.decay else 0.0
        torch._foreach_lerp_(self._averages, self._weights, 1.0 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model carries the averages; afterwards the raw weights again."""
        raw = [w.detach().clone() for w in self._weights]
        self.copy_to_model()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._weights, raw)

    @torch.no_grad()
    def copy_to_model(self) -> None:
        """Replace the model's weights by the averages."""
        torch._foreach_copy_(self._weights, self._averages)

    def state(self) -> dict[str, Tensor]:
        """Averages by parameter name."""
        return dict(zip(self._names, self._averages))

    @torch.no_grad()
    def restore(self, averages: dict[str, Tensor], steps: int) -> None:
        torch._foreach_copy_(self._averages, [averages[name].to(a) for name, a in zip(self._names, self._averages)])
        self.steps = steps
