"""Which columns of K a preconditioner is made of: the `choose` functions of `partial_cholesky`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pyff.solvers.partial_cholesky import Choose

__all__ = ["fixed", "greedy", "greedy_then_random", "in_blocks", "randomly_pivoted", "sampled", "whole_blocks"]

BLOCK = 256  # columns at a time: enough for matrix products to run at full speed


def greedy(residual: Tensor, room: int) -> Tensor:
    """The largest residual: pivoted Cholesky."""
    return residual.argmax().reshape(1)


def randomly_pivoted(rng: np.random.Generator, block: int) -> Choose:
    """Up to `block` columns at a time, drawn with probabilities proportional to the residual diagonal (RPCholesky).

    Repeated draws are dropped, so a block may be smaller. Source: Chen, Epperly, Tropp & Webber, arXiv:2207.06503.
    """

    def choose(residual: Tensor, room: int) -> Tensor:
        p = residual.cpu().numpy()
        drawn = np.unique(rng.choice(len(p), min(block, room), p=p / p.sum()))
        return torch.from_numpy(drawn).to(residual.device)

    return choose


def sampled(weights: Tensor, k: int, rng: np.random.Generator) -> Tensor:
    """k different indices int64, ascending, drawn with probabilities proportional to weights [n]."""
    p = weights.cpu().numpy()
    return torch.from_numpy(np.sort(rng.choice(len(p), k, replace=False, p=p / p.sum())))


def whole_blocks(n: int, block: int, k: int, rng: np.random.Generator) -> Tensor:
    """All columns of ceil(k / block) random geometries."""
    chosen = np.sort(rng.choice(n // block, min(n // block, -(-k // block)), replace=False))
    return torch.from_numpy((chosen[:, None] * block + np.arange(block)).reshape(-1))


def fixed(columns: Tensor, blocks: Sequence[int]) -> Choose:
    """Columns known beforehand, `blocks` of them at a time."""
    parts = iter(columns.split(list(blocks)))
    return lambda residual, room: next(parts).to(residual.device)


def in_blocks(columns: Tensor) -> Choose:
    """Columns known beforehand, so many at a time that memory for them is small."""
    parts = iter(columns.split(BLOCK))
    return lambda residual, room: next(parts).to(residual.device)


def greedy_then_random(rng: np.random.Generator, k: int, pivots: int) -> Choose:
    """`pivots` columns of pivoted Cholesky, then uniformly drawn others, up to k in all."""

    def choose(residual: Tensor, room: int) -> Tensor:
        if room > k - pivots:
            return greedy(residual, room)
        left = residual.nonzero().reshape(-1).cpu()
        return left[sampled(torch.ones(len(left)), min(room, BLOCK, len(left)), rng)].to(residual.device)

    return choose
