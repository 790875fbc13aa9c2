"""What the solvers need to know of a symmetric positive semidefinite matrix."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

__all__ = ["DenseOperator", "Operator"]


class Operator(Protocol):
    """A symmetric positive semidefinite matrix K, float64 [n, n], that need not be stored.

    block: rows that belong together (the coordinates of one geometry); 1 where none do.
    """

    size: int
    block: int
    device: torch.device

    def __call__(self, v: Tensor) -> Tensor:
        """K v [n]."""
        ...

    def columns(self, indices: Tensor) -> Tensor:
        """K[:, indices], [n, k], of int64 [k]."""
        ...

    def diagonal(self) -> Tensor:
        """[n]."""
        ...


class DenseOperator:
    """A stored matrix float64 [n, n]; it is not copied."""

    def __init__(self, matrix: Tensor, block: int = 1) -> None:
        if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype != torch.float64:
            raise ValueError(f"matrix must be float64 [n, n]; received {matrix.dtype} {list(matrix.shape)}")
        self.matrix, self.block, self.size, self.device = matrix, block, matrix.shape[0], matrix.device

    def __call__(self, v: Tensor) -> Tensor:
        return self.matrix @ v

    def columns(self, indices: Tensor) -> Tensor:
        # symmetric: rows lie together in memory
        return self.matrix[indices].T

    def diagonal(self) -> Tensor:
        return self.matrix.diagonal().clone()
