"""Radial profiles as functions that torch can differentiate twice, also at distance zero.

Automatic differentiation of exp(-|t|) and the like fails at t = 0, which is on the diagonal of every kernel matrix: the
root's derivative is infinite there, and replacing it by a number gives finite but wrong second derivatives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyff.ops.reference.gdml import profile

if TYPE_CHECKING:
    from pyff.ops import GdmlKernel

__all__ = ["radial_profile"]


def radial_profile(r2: Tensor, kernel: GdmlKernel) -> Tensor:
    """k(|t|) as a function of r2 = |t|^2, for kernels of one's own: k(R, R') = radial_profile(|x(R) - x(R')|^2).

    With g1 and g2 of pyff.ops.gdml, finite at zero: dk/dr2 = -g1 / 2, dg1/dr2 = -g2 / 2.
    """
    return _Radial.apply(r2, 0, kernel)


class _Radial(torch.autograd.Function):
    """k (order 0), g1 (1), g2 (2); each is the derivative of the one before, times -2."""

    generate_vmap_rule = True

    @staticmethod
    def forward(r2, order, kernel):
        return profile(r2, kernel)[order]

    @staticmethod
    def setup_context(ctx, inputs, output):
        r2, ctx.order, ctx.kernel = inputs
        ctx.save_for_backward(r2)
        ctx.save_for_forward(r2)

    @staticmethod
    def _slope(ctx):
        if ctx.order == 2:
            raise NotImplementedError("radial_profile can be differentiated twice, which forces need, not three times")
        (r2,) = ctx.saved_tensors
        return -0.5 * _Radial.apply(r2, ctx.order + 1, ctx.kernel)

    @staticmethod
    def backward(ctx, grad):
        return grad * _Radial._slope(ctx), None, None

    @staticmethod
    def jvp(ctx, tangent, *_):
        return tangent * _Radial._slope(ctx)
