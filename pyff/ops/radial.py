"""Radial basis functions and cutoff functions of distances, with their derivatives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pyff.ops import reference
from pyff.ops._check import feature_kernel, require, runs_on_twin
from pyff.ops._register import Triple, differentiable_op

__all__ = [
    "CUTOFFS",
    "BasisArgs",
    "BernsteinBasis",
    "BesselBasis",
    "Cutoff",
    "ExpGaussianBasis",
    "GaussianBasis",
    "RadialBasis",
    "cutoff_function",
    "radial_basis",
]

CUTOFFS = {"none": 0, "cosine": 1, "mollifier": 2, "smooth": 3, "polynomial3": 4, "polynomial6": 5}  # math/cutoff.hpp
GAUSSIAN, EXP_GAUSSIAN, BERNSTEIN, BESSEL = range(4)  # csrc/math/radial.hpp
MAX_BERNSTEIN = 128  # larger binomials are not numbers in float32


class BasisArgs(NamedTuple):
    """A basis as kernels take it; start and spacing are 0 where the kind has no centres."""

    kind: int
    start: float
    spacing: float
    gamma: float
    size: int


def _require_basis(name: str, size: int, **positive: float) -> None:
    if size >= 1 and all(0 < x < math.inf for x in positive.values()):
        return
    need = ", ".join(f"{k} > 0" for k in positive)
    received = ", ".join(f"{k}={x}" for k, x in {"size": size, **positive}.items())
    raise ValueError(f"a {name} basis needs size >= 1, {need}, all finite; received {received}")


@dataclass(frozen=True)
class GaussianBasis:
    """g_k(d) = exp(-gamma (d - mu_k)^2), mu_k = start + k spacing, k = 0 .. size - 1; lengths in A."""

    start: float
    spacing: float
    gamma: float
    size: int

    decay = 0.0  # as in ExpGaussianBasis: a function of d itself

    def __post_init__(self) -> None:
        _require_basis("Gaussian", self.size, spacing=self.spacing, gamma=self.gamma)

    @property
    def args(self) -> BasisArgs:
        return BasisArgs(GAUSSIAN, self.start, self.spacing, self.gamma, self.size)

    def resolution(self, nearest: float = 0.0) -> float:
        """The finest length (A) over which the basis bends at distances from `nearest` on: the standard deviation."""
        return 1 / math.sqrt(2 * self.gamma)


@dataclass(frozen=True)
class ExpGaussianBasis:
    """g_k(d) = exp(-beta (e^-d - mu_k)^2), mu_k = start + k spacing, k = 0 .. size - 1; d in A.

    Source: Unke and Meuwly, J. Chem. Theory Comput. 15, 3678 (2019), eq. 7 without its cutoff function.
    """

    start: float
    spacing: float
    beta: float
    size: int

    decay = 1.0  # 1/A: the basis is a function of e^(-decay d)

    def __post_init__(self) -> None:
        _require_basis("exponential Gaussian", self.size, spacing=self.spacing, beta=self.beta)

    @classmethod
    def physnet(cls, cutoff: float, size: int) -> ExpGaussianBasis:
        """Centres evenly from e^-cutoff to 1 and beta = (2/size (1 - e^-cutoff))^-2, as PhysNet starts from."""
        if size < 2 or not 0 < cutoff < math.inf:
            raise ValueError(f"PhysNet's basis needs size >= 2 and a positive cutoff; received {size} and {cutoff}")
        span = 1 - math.exp(-cutoff)
        return cls(math.exp(-cutoff), span / (size - 1), (2 * span / size) ** -2, size)

    @property
    def args(self) -> BasisArgs:
        return BasisArgs(EXP_GAUSSIAN, self.start, self.spacing, self.beta, self.size)

    def resolution(self, nearest: float = 0.0) -> float:
        """The finest length (A) over which the basis bends at distances from `nearest` on: the standard deviation in
        e^-d there, as a distance."""
        return math.exp(nearest) / math.sqrt(2 * self.beta)

    def warped_resolution(self, nearest: float) -> float:
        """The same along 1 - e^-(d - nearest), where it is the same everywhere."""
        return self.resolution(nearest)


@dataclass(frozen=True)
class BernsteinBasis:
    """b_k(d) = C(n, k) x^k (1 - x)^(n-k), x = exp(-gamma d), n = size - 1, k = 0 .. n; gamma in 1/A.

    Source: Unke et al., Nat. Commun. 12, 7273 (2021), eqs. 12 and 13 without their cutoff function; SpookyNet counts
    k down where this basis counts up.
    """

    gamma: float
    size: int

    def __post_init__(self) -> None:
        _require_basis("Bernstein", self.size, gamma=self.gamma)
        if self.size > MAX_BERNSTEIN:
            raise ValueError(f"a Bernstein basis has at most {MAX_BERNSTEIN} functions; received {self.size}")

    @property
    def decay(self) -> float:
        """The basis is a function of e^(-decay d); 1/A."""
        return self.gamma

    @property
    def args(self) -> BasisArgs:
        return BasisArgs(BERNSTEIN, 0.0, 0.0, self.gamma, self.size)

    def resolution(self, nearest: float = 0.0) -> float:
        """The finest length (A) over which the basis bends at distances from `nearest` on: the standard deviation
        sqrt(x (1 - x) / n) of the function centred there, as a distance; at d = 0 the decay length of b_n."""
        x = math.exp(-self.gamma * nearest)
        return max(math.sqrt((1 - x) / (x * self.size)), 1 / self.size) / self.gamma

    def warped_resolution(self, nearest: float) -> float:
        """The same along (1 - e^(-gamma (d - nearest))) / gamma, where b_0 far out is the finest: 1 / size in x."""
        return math.exp(self.gamma * nearest) / (self.size * self.gamma)


@dataclass(frozen=True)
class BesselBasis:
    """g_k(d) = sin((k + 1) pi d / radius) / d, k = 0 .. size - 1, in 1/A; (k + 1) pi / radius at d = 0.

    Source: Gasteiger, Gross and Guennemann, ICLR 2020, eq. 7 without its factor sqrt(2 / radius).
    """

    radius: float
    size: int

    decay = 0.0

    def __post_init__(self) -> None:
        _require_basis("Bessel", self.size, radius=self.radius)

    @property
    def args(self) -> BasisArgs:
        return BasisArgs(BESSEL, 0.0, 0.0, math.pi / self.radius, self.size)

    def resolution(self, nearest: float = 0.0) -> float:
        """The finest length (A) over which the basis bends at distances from `nearest` on: two thirds of a
        radian of the fastest sine."""
        return self.radius / (1.5 * math.pi * self.size)


RadialBasis = GaussianBasis | ExpGaussianBasis | BernsteinBasis | BesselBasis


@dataclass(frozen=True)
class Cutoff:
    """C(d), 1 at 0 and 0 from radius (A) on. With t = d/rc, kind is one of

    "cosine" (1 + cos(pi t))/2; "mollifier" exp(1 - 1/(1 - t^2)), which is SpookyNet's exp(-d^2/((rc-d)(rc+d)));
    "polynomial3" 1 - 10 t^3 + 15 t^4 - 6 t^5 (SO3LR's "phys"); "polynomial6" 1 - 28 t^6 + 48 t^7 - 21 t^8 (DimeNet);
    "smooth", 1 up to onset and then f(1-x)/(f(x) + f(1-x)), f(x) = exp(-1/x), x = (d - onset)/(rc - onset);
    "none", 1 inside: discontinuous.
    """

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


def _basis(distance: Tensor, kind, start, spacing, gamma, size, dtype: torch.dtype, order: int) -> Tensor:
    distance = distance.contiguous()
    out = torch.empty(distance.shape[0], size, dtype=dtype)
    feature_kernel("radial_basis", dtype, distance.device)(
        distance.shape[0], distance.data_ptr(), (kind, start, spacing, gamma, size), order, out.data_ptr(),
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
        "radial_basis",
        "Tensor distance, int kind, float start, float spacing, float gamma, int size, ScalarType dtype",
        _basis,
        lambda d, kind, start, spacing, gamma, size, dtype: (d.new_empty(d.shape[0], size, dtype=dtype),),
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


def radial_basis(distance: Tensor, basis: RadialBasis, *, dtype=torch.float32, order: int = 0) -> Tensor:
    """g_k(d) [E, size] of distances [E] (float64, A); order > 0: the order-th derivative (up to 3), as constants.

    With order 0 differentiable to second order.
    """
    if not torch.compiler.is_compiling():
        require("radial_basis", "distance", distance, (None,), torch.float64)
        if order == 0 and runs_on_twin("radial_basis", distance):
            return reference.radial_basis(distance, basis, dtype=dtype)
    if order == 0:
        return _basis_op(distance, *basis.args, dtype)
    return _basis(distance.detach().cpu(), *basis.args, dtype, order).to(distance.device)


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
