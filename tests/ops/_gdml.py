"""Geometries and permutations for tests of the GDML ops."""

from __future__ import annotations

import torch


def random_positions(b: int, n: int, seed: int = 0, spread: float = 0.15) -> torch.Tensor:
    """b distorted copies of n atoms that are at least about 1.2 apart."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.cartesian_prod(*[torch.arange(4.0, dtype=torch.float64)] * 3)[:n] * 1.5
    return grid + spread * torch.randn(b, n, 3, generator=generator, dtype=torch.float64)


def rotations(n: int, p: int) -> torch.Tensor:
    """The cyclic group of the last p of n atoms, [p, n]; that of all atoms, again and again, where p > n."""
    order = min(n, p)
    perms = torch.arange(n).repeat(p, 1)
    for k in range(p):
        perms[k, n - order :] = n - order + torch.roll(torch.arange(order), k)
    return perms
