"""Matrices with known spectra."""

from __future__ import annotations

import torch
from torch import Tensor


def with_spectrum(values: Tensor, seed: int = 0) -> Tensor:
    """A symmetric matrix with these eigenvalues and random eigenvectors."""
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64, generator=generator))
    matrix = (q * values) @ q.T
    return (matrix + matrix.T) / 2


def decaying(n: int, power: float = 3.0) -> Tensor:
    """Eigenvalues i^-power: as fast as those of a smooth kernel fall at first."""
    return torch.arange(1, n + 1, dtype=torch.float64) ** -power


def vector(n: int, seed: int = 1) -> Tensor:
    return torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
