"""What is made of weights and kept until they change: tables, casts, rearrangements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

__all__ = ["Frozen", "own_weights", "weights_are_own"]

_own: ContextVar[bool] = ContextVar("own", default=False)


@contextmanager
def own_weights(value: bool = True) -> Iterator[None]:
    """Inside: nobody trains the weights, so that a change shows in a tensor's version or place.

    For a model that its user alone holds: comparing all weights of SO3LR with copies takes a tenth of the time of a
    small molecule's energy, and drives the tables out of the cache.
    """
    token = _own.set(value)
    try:
        yield
    finally:
        _own.reset(token)


def weights_are_own() -> bool:
    """Whether this is inside `own_weights`: then no gradient of a weight is ever asked for."""
    return _own.get()


class Frozen:
    """Cache of one value made of weights.

    The weights are compared with a copy at every call, outside `own_weights`: neither fused optimizers nor writes
    through `.data` change a tensor's version.
    """

    def __init__(self) -> None:
        self._copies: list[Tensor] | None = None
        self._marks: list[tuple[int, int]] = []
        self._made: Any = None

    def __call__(self, weights: tuple[Tensor, ...], make: Callable[[], Any]) -> Any:
        """make(), without a graph, unless the weights are those of the last call."""
        if not self._current(weights):
            with torch.no_grad():
                self._made = make()
            self._copies = [w.detach().clone() for w in weights]
            self._marks = _marks(weights)
        return self._made

    def _current(self, weights: tuple[Tensor, ...]) -> bool:
        if self._copies is None or len(weights) != len(self._copies):
            return False
        if _own.get() and self._marks == _marks(weights):
            return True
        return all(map(_same, self._copies, weights))


def _marks(weights: tuple[Tensor, ...]) -> list[tuple[int, int]]:
    return [(w.data_ptr(), w._version) for w in weights]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
