"""Plain twins of distance_matrix and kernel_matrix."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["distance_matrix", "kernel_matrix"]


def distance_matrix(x: Tensor, y: Tensor | None = None, norm: str = "l2") -> Tensor:
    difference = x[:, None] - (x if y is None else y)[None]
    return difference.abs().sum(-1) if norm == "l1" else difference.square().sum(-1).sqrt()


def kernel_matrix(x: Tensor, y: Tensor | None, sigma: float, kind: str = "laplacian") -> Tensor:
    if kind == "laplacian":
        return torch.exp(-distance_matrix(x, y, "l1") / sigma)
    return torch.exp(-distance_matrix(x, y, "l2").square() / (2 * sigma**2))
