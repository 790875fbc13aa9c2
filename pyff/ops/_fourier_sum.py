"""Electrostatic potential of a lattice of Gaussian charges, summed over reciprocal lattice vectors one by one.

    phi_i = sum_{k != 0} 4 pi / V exp(-k^2 / 4 alpha^2) / k^2 Re[ conj(S(k)) exp(i k.r_i) ]
    S(k) = sum_j q_j exp(i k.r_j)

Phases factorise, exp(i k.r) = x^n1 y^n2 z^n3 with k = 2 pi n.f for fractional coordinates f: the sums over atoms and
over vectors are matrix products, and only N (n1 + n2 + n3) sines and cosines are ever computed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = ["fourier_potential", "n_vectors", "reciprocal_kernel"]

CHUNK_BYTES = 64 << 20  # of phase products at a time; beyond one chunk they are computed again for derivatives


def reciprocal_kernel(numbers: tuple[Tensor, Tensor, Tensor], cell: Tensor, alpha: float) -> Tensor:
    """4 pi / V exp(-k^2 / 4 alpha^2) / k^2 on the grid of the integers of each axis, 0 at k = 0; 1/A."""
    rows = 2 * math.pi * torch.linalg.inv(cell).T  # reciprocal lattice vectors
    n1, n2, n3 = (n.to(cell.dtype)[:, None] for n in numbers)
    k = (n1 * rows[0])[:, None, None] + (n2 * rows[1])[:, None] + n3 * rows[2]
    k2 = k.square().sum(-1)
    here = k2 > 0
    # both branches stay finite, so that no NaN enters the derivatives
    k2 = torch.where(here, k2, 1.0)
    volume = torch.linalg.det(cell).abs()
    return torch.where(here, 4 * math.pi / volume * torch.exp(-k2 / (4 * alpha**2)) / k2, 0.0)


def _half_widths(cell: Tensor, k_cutoff: float) -> list[int]:
    # k.a = 2 pi n bounds n by k |a| / 2 pi. The box around the sphere |k| < k_cutoff is summed whole: its corners come
    # free with the matrix products, and no vector enters or leaves when the cell is strained a little
    return [math.ceil(k_cutoff * x / (2 * math.pi)) for x in cell.detach().norm(dim=1).tolist()]


def n_vectors(cell: Tensor, k_cutoff: float) -> int:
    """Reciprocal lattice vectors that fourier_potential sums over."""
    m1, m2, m3 = _half_widths(cell, k_cutoff)
    return (m1 + 1) * (2 * m2 + 1) * (2 * m3 + 1)


def fourier_potential(pos: Tensor, cell: Tensor, charges: Tensor, alpha: float, k_cutoff: float) -> Tensor:
    """The potential [N] (e/A) at the atoms of one system, pos [N,3], cell [3,3], from all vectors with |k| < k_cutoff.

    Memory does not grow with N times the number of vectors. Differentiable to any order in pos, cell and charges.
    """
    m1, m2, m3 = _half_widths(cell, k_cutoff)
    integers = lambda lo, hi: torch.arange(lo, hi + 1, device=pos.device)  # noqa: E731
    numbers = integers(0, m1), integers(-m2, m2), integers(-m3, m3)
    # half of the vectors: -k contributes what k does
    twice = torch.where(numbers[0] > 0, 2.0, 1.0).to(pos.dtype)[:, None, None]
    kernel = (twice * reciprocal_kernel(numbers, cell, alpha)).flatten(0, 1)
    fractional = pos @ torch.linalg.inv(cell)
    fractional = fractional - fractional.detach().floor()  # small angles keep their digits
    rows = max(1, CHUNK_BYTES // (16 * kernel.shape[0]))
    chunks = list(zip(fractional.split(rows), charges.split(rows)))
    run = _recomputed if len(chunks) > 1 else _direct
    structure = sum(run(_structure_factor, f, q, *numbers) for f, q in chunks)
    weighted = kernel * structure.conj()
    return torch.cat([run(_potential, f, weighted, *numbers) for f, _ in chunks])


def _direct(function, *args):
    return function(*args)


def _recomputed(function, *args):
    if not torch.is_grad_enabled():
        return function(*args)
    return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False)


def _phases(fractional: Tensor, numbers: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Phases of the first two axes together, [N, n1 n2], and of the third, [N, n3]."""
    angle = 2 * math.pi * fractional
    one = torch.ones((), dtype=angle.dtype, device=angle.device)
    x, y, z = (torch.polar(one, angle[:, a, None] * n) for a, n in enumerate(numbers))
    return (x[:, :, None] * y[:, None]).flatten(1), z


def _structure_factor(fractional: Tensor, charges: Tensor, *numbers: Tensor) -> Tensor:
    xy, z = _phases(fractional, numbers)
    return xy.T @ (charges[:, None] * z)


def _potential(fractional: Tensor, weighted: Tensor, *numbers: Tensor) -> Tensor:
    xy, z = _phases(fractional, numbers)
    return ((xy @ weighted) * z).real.sum(1)
