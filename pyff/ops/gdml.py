"""The GDML kernel: inverse-distance descriptors, their Jacobians, block products and kernel matrices.

B queries, M training points, N atoms, D = N (N - 1) / 2 descriptor entries, P permutations; everything is float64.

    x_k = 1 / |r_a - r_b|, pairs a > b in the order (1,0), (2,0), (2,1), (3,0), ...        J = dx/dr
    k(t), g1 = -k'(|t|) / |t|, g2 = (k'' - k' / |t|) / |t|^2, all functions of |t|          t_p = x_i - x_j[perm_p]
    cov(E_i, E_j) = sum_p k            cov(F_i, E_j) = J_i^T sum_p g1 t_p
    cov(F_i, F_j) = sum_p J_i^T (g1 I - g2 t_p t_p^T) Pi_p J_j,    F = -dE/dr

Lengths and energies are in whatever unit the caller's data have. Not differentiable: forces come analytically.
Source: Chmiela et al., Sci. Adv. 3, e1603015 (2017); Nat. Commun. 9, 3887 (2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pyff.ops import _gdml
from pyff.ops._check import address, require, require_device
from pyff.ops._check import kernel as native
from pyff.ops._gdml_translations import arranged
from pyff.ops._lattice import reduced

__all__ = [
    "GdmlKernel",
    "descriptor_permutations",
    "gdml_product",
    "inverse_distances",
    "jacobian_product",
    "jacobian_transpose_product",
]


@dataclass(frozen=True)
class GdmlKernel:
    """A radial profile on descriptors: "matern52", (1 + d/s + d^2/(3 s^2)) exp(-d/s) with d = sqrt(5) |t|, or "rbf",
    exp(-|t|^2 / (2 s^2)), s = sigma."""

    sigma: float
    profile: Literal["matern52", "rbf"] = "matern52"

    def __post_init__(self) -> None:
        if not 0 < self.sigma < float("inf"):
            raise ValueError(f"sigma must be a positive number; received {self.sigma}")
        if self.profile not in _gdml.PROFILES:
            raise ValueError(f"profile must be one of {', '.join(_gdml.PROFILES)}; received {self.profile!r}")


def descriptor_permutations(perms: Tensor) -> Tensor:
    """What permutations of atoms int64 [P, N] do to descriptors: int64 [P, D], x[perm] is the permuted descriptor.

    Entry k, of the pair (a, b), becomes that of the pair (perm[a], perm[b]).
    """
    n = perms.shape[1]
    a, b = torch.tril_indices(n, n, -1)
    high, low = torch.maximum(perms[:, a], perms[:, b]), torch.minimum(perms[:, a], perms[:, b])
    return high * (high - 1) // 2 + low


def inverse_distances(
    pos: Tensor, cell: Tensor | None = None, images: Literal["search", "round"] = "search"
) -> tuple[Tensor, Tensor]:
    """Descriptors x [B, D] of positions [B, N, 3] and gradients g [B, D, 3] = (r_a - r_b) / |r_a - r_b|^3.

    dx_k/dr_b = g_k, dx_k/dr_a = -g_k. cell [3, 3], rows are lattice vectors: distances to the nearest image, found
    among 27 of the reduced cell ("search"; the nearest in every cell) or by rounding fractional coordinates ("round",
    what sGDML does; not the nearest in skewed cells). Where two images are equally near, x is continuous and g is not:
    forces jump by 2 f x^2 along the line between them, f = -dE/dx.
    """
    op = "inverse_distances"
    require(op, "pos", pos, (None, None, 3), torch.float64)
    if images not in _gdml.IMAGES:
        raise ValueError(f"{op}: images must be search or round; received {images!r}")
    if cell is not None:
        require(op, "cell", cell, (3, 3), torch.float64)
        require_device(op, pos.device, cell=cell)
        cell = (reduced(cell) if images == "search" else cell).contiguous()
    pos = pos.contiguous()
    b, n = pos.shape[:2]
    x = pos.new_empty(b, n * (n - 1) // 2)
    g = pos.new_empty(*x.shape, 3)
    arrays = (pos.data_ptr(), address(cell), x.data_ptr(), g.data_ptr())
    native("gdml_descriptors", pos.device)(b, n, arrays, _gdml.IMAGES[images], torch.get_num_threads())
    return x, g


def jacobian_product(g: Tensor, v: Tensor) -> Tensor:
    """J v [B, D] of v [B, N, 3]: (J v)_k = g_k . (v_b - v_a)."""
    op = "jacobian_product"
    require(op, "v", v, (None, None, 3), torch.float64)
    b, n = v.shape[:2]
    require(op, "g", g, (b, n * (n - 1) // 2, 3), torch.float64)
    return _jacobian(0, g, v, g.new_empty(g.shape[:2]))[1]


def jacobian_transpose_product(g: Tensor, u: Tensor) -> Tensor:
    """J^T u [B, N, 3] of u [B, D]."""
    op = "jacobian_transpose_product"
    require(op, "u", u, (None, None), torch.float64)
    require(op, "g", g, (*u.shape, 3), torch.float64)
    return _jacobian(1, g, g.new_empty(u.shape[0], atoms_of(op, u.shape[1]), 3), u)[0]


def atoms_of(op: str, n_pairs: int) -> int:
    """N of D = N (N - 1) / 2."""
    n = (1 + math.isqrt(1 + 8 * n_pairs)) // 2
    if n * (n - 1) // 2 != n_pairs:
        raise ValueError(f"{op}: descriptors must have one entry per pair of atoms, N (N - 1) / 2; received {n_pairs}")
    return n


def _jacobian(order: int, g: Tensor, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    g, v, u = g.contiguous(), v.contiguous(), u.contiguous()
    require_device("jacobian_product", g.device, v=v, u=u)
    arrays = (g.data_ptr(), v.data_ptr(), u.data_ptr())
    native("gdml_jacobian", g.device)(order, *v.shape[:2], arrays, torch.get_num_threads())
    return v, u


def gdml_product(
    query: Tensor, train: Tensor, coef: Tensor, perms: Tensor, kernel: GdmlKernel, coef_energy: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """f [B, D] and E [B] of the expansion with coefficients coef [M, D] (J alpha) and coef_energy [M] or None.

        S = t . a,  a = coef[j, perm_p]:    f = sum_jp (g2 S + c_j g1) t - g1 a,    E = sum_jp g1 S + c_j k

    f = -dE/dx, so forces are J^T f. query [B, D], train [M, D], perms int64 [P, D] of `descriptor_permutations`.
    K v, with K of `gdml_matrix`, is -J^T f for coef = J v. For several calls with the same training points prepare a
    `GdmlExpansion` or a `GdmlCovariance`.
    """
    op = "gdml_product"
    _gdml.require_expansion(op, train, coef, perms, coef_energy)
    require(op, "query", query, (None, train.shape[1]), torch.float64)
    require_device(op, train.device, query=query)
    return arranged(train, coef, perms, kernel, coef_energy).product(query.contiguous())
