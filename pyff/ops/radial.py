"""Radial basis functions and cutoff functions of distances, with their derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyff.ops import reference
from pyff.ops._check import feature_kernel, require, runs_on_twin
from pyff.ops._register import Triple, differentiable_op

__all__ = ["CUTOFFS", "Cutoff", "GaussianBasis", "cutoff_function", "gaussian_basis"]

CUTOFFS = {"none": 0, "cosine": 1, "mollifier": 2, "smooth": 3}  # csrc/math/cutoff.hpp


@dataclass(frozen=True)
class GaussianBasis:
    """g_k(d) = exp(-gamma (d - mu_k)^2), mu_k = start + k spacing, k = 0 .. size - 1; lengths in A."""

    start: float
    spacing: float
    gamma: float
    size: int

    def __post_init__(self) -> None:
        if self.size < 1 or not self.spacing > 0 or not self.gamma > 0:
            raise ValueError(
                f"a Gaussian basis needs size >= 1, spacing > 0, gamma > 0; received size={self.size}, "
                f"spacing={self.spacing}, gamma={self.gamma}"
            )


@dataclass(frozen=True)
class Cutoff:
    """C(d), 1 at 0 and 0 from radius (A) on. kind: "cosine" (1 + cos(pi d/rc))/2; "mollifier"
    exp(1 - 1/(1 - (d/rc)^2)); "smooth", 1 up to onset and then f(1-x)/(f(x) + f(1-x)), f(x) = exp(-1/x),
    x = (d - onset)/(rc - onset); "none", 1 inside: discontinuous."""

    kind: str
    radius: float
    onset: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in CUTOFFS:
            raise ValueError(f"cutoff function must be one of {', '.join(CUTOFFS)}; received {self.kind!r}")
        if not 0 < self.radius < float("inf"):
            raise ValueError(f"cutoff must be positive and finite; received {self.radius}")
        if not 0 <= self.onset < self.radius:
            raise ValueError(f"cutoff onset must lie in [0, cutoff); received {self.onset} with cutoff {self.radius}")


def _basis(distance: Tensor, start, spacing, gamma, size, dtype: torch.dtype, order: int) -> Tensor:
    distance = distance.contiguous()
    out = torch.empty(distance.shape[0], size, dtype=dtype)
    feature_kernel("gaussian_basis", dtype, distance.device)(
        distance.shape[0], distance.data_ptr(), start, spacing, gamma, size, order, out.data_ptr(),
        torch.get_num_threads(),
    )  # fmt: skip
    return out


def _cutoff(distance: Tensor, kind, radius, onset, dtype: torch.dtype, order: int) -> Tensor:
    distance = distance.contiguous()
    out = torch.empty(distance.shape[0], dtype=dtype)
    feature_kernel("cutoff_function", dtype, distance.device)(
        distance.shape[0], distance.data_ptr(), kind, radius, onset, order, out.data_ptr(),
        torch.get_num_threads(),
    )  # fmt: skip
    return out


def _contract(grad: Tensor, values: Tensor) -> Tensor:
    product = grad.double() * values.double()
    return product.sum(1) if product.dim() == 2 else product


def _spread(cotangent: Tensor, values: Tensor) -> Tensor:
    rows = cotangent[:, None] if values.dim() == 2 else cotangent
    return (rows * values.double()).to(values.dtype)


def _triple(name: str, schema: str, native, fake) -> Triple:
    """An elementwise function of the distance, from its native derivatives."""

    def backward(grads, args, needs):
        return (_contract(grads[0], native(*args, order=1)),)

    def double_backward(cotangents, grads, args, need_grads, need_args):
        (v,) = cotangents
        first = _spread(v, native(*args, order=1)) if need_grads[0] else None
        second = v * _contract(grads[0], native(*args, order=2)) if need_args[0] else None
        return (first,), (second,)

    return Triple(name, schema, 1, 1, lambda *a: (native(*a, order=0),), fake, backward, double_backward)


_basis_op = differentiable_op(
    _triple(
        "gaussian_basis",
        "Tensor distance, float start, float spacing, float gamma, int size, ScalarType dtype",
        _basis,
        lambda d, start, spacing, gamma, size, dtype: (d.new_empty(d.shape[0], size, dtype=dtype),),
    )
)
_cutoff_op = differentiable_op(
    _triple(
        "cutoff_function",
        "Tensor distance, int kind, float radius, float onset, ScalarType dtype",
        _cutoff,
        lambda d, kind, radius, onset, dtype: (d.new_empty(d.shape[0], dtype=dtype),),
    )
)


def gaussian_basis(distance: Tensor, basis: GaussianBasis, *, dtype=torch.float32, order: int = 0) -> Tensor:
    """g_k(d) [E, size] of distances [E] (float64, A); order > 0: the order-th derivative (up to 3), as constants.

    With order 0 differentiable to second order.
    """
    if not torch.compiler.is_compiling():
        require("gaussian_basis", "distance", distance, (None,), torch.float64)
        if order == 0 and runs_on_twin("gaussian_basis", distance):
            return reference.gaussian_basis(distance, basis, dtype=dtype)
    parameters = (basis.start, basis.spacing, basis.gamma, basis.size)
    if order == 0:
        return _basis_op(distance, *parameters, dtype)
    return _basis(distance.detach().cpu(), *parameters, dtype, order).to(distance.device)


def cutoff_function(distance: Tensor, cutoff: Cutoff, *, dtype=torch.float32, order: int = 0) -> Tensor:
    """C(d) [E] of distances [E] (float64, A); order > 0: the order-th derivative (up to 3), as constants.

    With order 0 differentiable to second order.
    """
    if not torch.compiler.is_compiling():
        require("cutoff_function", "distance", distance, (None,), torch.float64)
        if order == 0 and runs_on_twin("cutoff_function", distance):
            return reference.cutoff_function(distance, cutoff, dtype=dtype)
    parameters = (CUTOFFS[cutoff.kind], cutoff.radius, cutoff.onset)
    if order == 0:
        return _cutoff_op(distance, *parameters, dtype)
    return _cutoff(distance.detach().cpu(), *parameters, dtype, order).to(distance.device)
