"""Electrostatic potential of a lattice of Gaussian charges by smooth particle-mesh Ewald: N log N.

Charges are spread on a mesh with cardinal B-splines, the reciprocal sum is a convolution by fast Fourier transform, and
the same splines interpolate the potential at the atoms, so that forces and stress are exact derivatives of the energy.
Source: Essmann et al., J. Chem. Phys. 103, 8577 (1995), eqs. 3.7 and 4.1-4.8.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyff.ops._fourier_sum import reciprocal_kernel
from pyff.ops.mesh import mesh_gather, mesh_spread
from pyff.ops.reference.mesh import spline_weights

__all__ = ["mesh_potential", "mesh_shape"]


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


def mesh_potential(
    pos: Tensor, cell: Tensor, charges: Tensor, alpha: float, shape: tuple[int, int, int], order: int
) -> Tensor:
    """The potential [N] (e/A) at the atoms of one system, as fourier_potential, with a mesh of the given shape.

    order 4: twice continuously differentiable in pos, 6: four times.
    """
    fractional = pos @ torch.linalg.inv(cell)
    u = (fractional - fractional.detach().floor()) * fractional.new_tensor(shape)
    mesh = mesh_spread(charges, u, shape, order)
    return mesh_gather(_Convolution.apply(mesh, _kernel(cell, alpha, shape, order)), u, order)


def _kernel(cell: Tensor, alpha: float, shape: tuple[int, int, int], order: int) -> Tensor:
    """What the mesh's spectrum is multiplied by: the reciprocal kernel, and what the splines damp twice over."""
    numbers = [torch.fft.fftfreq(n, 1 / n, dtype=cell.dtype, device=cell.device) for n in shape[:2]]
    numbers.append(torch.fft.rfftfreq(shape[2], 1 / shape[2], dtype=cell.dtype, device=cell.device))
    b1, b2, b3 = (_spline_spectrum(n, order, cell) for n in shape)
    kernel = reciprocal_kernel(tuple(numbers), cell, alpha)
    return kernel * (b1[:, None, None] * b2[:, None] * b3[: numbers[2].shape[0]])


def _spline_spectrum(size: int, order: int, like: Tensor) -> Tensor:
    """1 / |sum_j M(j + 1) exp(2 pi i n j / size)|^2, n = 0 .. size - 1."""
    knots = spline_weights(like.detach().new_zeros(()), order)[1:]  # M(1) .. M(order - 1)
    spectrum = torch.fft.fft(torch.nn.functional.pad(knots, (0, size - order + 1)))
    return 1 / spectrum.abs().square()


class _Convolution(torch.autograd.Function):
    """irfftn(kernel rfftn(x)) of an even kernel, which is its own transpose: torch's derivatives of rfftn and irfftn
    would each take a complex transform of the whole mesh."""

    @staticmethod
    def forward(ctx, x: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(x, kernel)
        return torch.fft.irfftn(kernel * torch.fft.rfftn(x), s=x.shape, norm="forward")

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, kernel = ctx.saved_tensors
        of_x = _Convolution.apply(grad, kernel) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return of_x, None
        product = (torch.fft.rfftn(x) * torch.fft.rfftn(grad).conj()).real
        half = torch.full((kernel.shape[2],), 2.0, dtype=kernel.dtype, device=kernel.device)  # k and -k
        half[0] = half[-1] = 1.0
        return of_x, product * half
