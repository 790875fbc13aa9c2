"""Electrostatic potential of a lattice of Gaussian charges by smooth particle-mesh Ewald: N log N.

Charges are spread on a mesh with cardinal B-splines, the reciprocal sum is a convolution by fast Fourier transform, and
the same splines interpolate the potential at the atoms, so that forces and stress are exact derivatives of the energy.
Source: Essmann et al., J. Chem. Phys. 103, 8577 (1995), eqs. 3.7 and 4.1-4.8.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from pyff.ops._fourier_sum import reciprocal_kernel

__all__ = ["ORDERS", "mesh_potential", "mesh_shape", "spline_weights"]

ORDERS = (4, 6)  # an odd order has no inverse at the mesh's highest frequency


def mesh_shape(cell: Tensor, spacing: float, order: int) -> tuple[int, int, int]:
    """Points per axis, at most `spacing` apart: even numbers without prime factors above 5, at least 2 order."""
    lengths = cell.detach().norm(dim=1).tolist()
    return tuple(_fast_size(max(math.ceil(x / spacing - 1e-9), 2 * order)) for x in lengths)


def _fast_size(n: int) -> int:
    n += n % 2
    while _has_large_factor(n):
        n += 2
    return n


def _has_large_factor(n: int) -> bool:
    for p in (2, 3, 5):
        while n % p == 0:
            n //= p
    return n > 1


@cache
def _spline_coefficients(order: int) -> tuple[tuple[float, ...], ...]:
    """c[m][j]: M_order(w + j) = sum_m c[m][j] w^m for w in [0, 1), by the recursion of the cardinal B-splines."""
    pieces = [[0.0, 1.0], [1.0, -1.0]]  # M_2: w and 1 - w, lowest power first
    for n in range(3, order + 1):
        old = [*pieces, [0.0] * (n - 1)]
        pieces = []
        for j in range(n):
            rising = _times(old[j], j, 1.0)
            falling = _times(old[j - 1] if j else [0.0] * (n - 1), n - j, -1.0)
            pieces.append([(a + b) / (n - 1) for a, b in zip(rising, falling)])
    return tuple(zip(*pieces))


def _times(polynomial: list[float], a: float, b: float) -> list[float]:
    """polynomial (a + b w)."""
    return [a * x + b * y for x, y in zip([*polynomial, 0.0], [0.0, *polynomial])]


def spline_weights(w: Tensor, order: int) -> Tensor:
    """M_order(w + j), j = 0 .. order - 1, along a new last axis."""
    powers = [torch.ones_like(w), w]
    while len(powers) < order:
        powers.append(powers[-1] * w)  # products: the derivatives of 0**0 are not numbers
    coefficients = torch.tensor(_spline_coefficients(order), dtype=w.dtype, device=w.device)
    return torch.stack(powers, -1) @ coefficients


def _spline_spectrum(size: int, order: int, like: Tensor) -> Tensor:
    """1 / |sum_j M(j + 1) exp(2 pi i n j / size)|^2 for n = 0 .. size - 1: what spreading and interpolation damp."""
    knots = spline_weights(like.new_zeros(()), order)[1:]  # M(1) .. M(order - 1)
    spectrum = torch.fft.fft(torch.nn.functional.pad(knots, (0, size - order + 1)))
    return 1 / spectrum.abs().square()


def mesh_potential(
    pos: Tensor, cell: Tensor, charges: Tensor, alpha: float, shape: tuple[int, int, int], order: int
) -> Tensor:
    """The potential [N] (e/A) at the atoms of one system, as fourier_potential, with a mesh of the given shape.

    order 4: twice continuously differentiable in pos, 6: four times.
    """
    fractional = pos @ torch.linalg.inv(cell)
    sizes = torch.tensor(shape, dtype=pos.dtype, device=pos.device)
    u = (fractional - fractional.detach().floor()) * sizes
    base = u.detach().floor()
    weights = spline_weights(u - base, order)  # [N, 3, order]
    points = base.long()[:, :, None] - torch.arange(order, device=pos.device)
    points = points % torch.tensor(shape, device=pos.device)[:, None]
    plane = (weights[:, 1, :, None] * weights[:, 2, None]).flatten(1)
    place = (points[:, 1, :, None] * shape[2] + points[:, 2, None]).flatten(1)
    mesh = pos.new_zeros(shape[0] * shape[1] * shape[2])
    for j in range(order):  # one slice of the stencil at a time: less memory than all of it
        values = (charges * weights[:, 0, j])[:, None] * plane
        mesh = mesh.index_add(0, (points[:, 0, j, None] * (shape[1] * shape[2]) + place).flatten(), values.flatten())
    potential = _convolved(mesh.reshape(shape), cell, alpha, order).flatten()
    total = torch.zeros_like(charges)
    for j in range(order):
        there = potential[points[:, 0, j, None] * (shape[1] * shape[2]) + place]
        total = total + weights[:, 0, j] * (there * plane).sum(1)
    return total


def _convolved(mesh: Tensor, cell: Tensor, alpha: float, order: int) -> Tensor:
    shape = mesh.shape
    numbers = [torch.fft.fftfreq(n, 1 / n, dtype=cell.dtype, device=cell.device) for n in shape[:2]]
    numbers.append(torch.fft.rfftfreq(shape[2], 1 / shape[2], dtype=cell.dtype, device=cell.device))
    b1, b2, b3 = (_spline_spectrum(n, order, mesh) for n in shape)
    kernel = reciprocal_kernel(tuple(numbers), cell, alpha)
    kernel = kernel * (b1[:, None, None] * b2[:, None] * b3[: numbers[2].shape[0]])
    return torch.fft.irfftn(kernel * torch.fft.rfftn(mesh), s=shape, norm="forward")
