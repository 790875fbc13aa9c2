"""What is made of weights and kept until they change: tables, casts, rearrangements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Frozen"]


class Frozen:
    """Cache of one value made of weights.

    The weights are compared with a copy at every call: neither fused optimizers nor writes through `.data` change a
    tensor's version.
    """

    def __init__(self) -> None:
        self._copies: list[Tensor] | None = None
        self._made: Any = None

    def __call__(self, weights: tuple[Tensor, ...], make: Callable[[], Any]) -> Any:
        """make(), without a graph, unless the weights are those of the last call."""
        if not self._current(weights):
            with torch.no_grad():
                self._made = make()
            self._copies = [w.detach().clone() for w in weights]
        return self._made

    def _current(self, weights: tuple[Tensor, ...]) -> bool:
        return self._copies is not None and len(weights) == len(self._copies) and all(map(_same, self._copies, weights))


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
