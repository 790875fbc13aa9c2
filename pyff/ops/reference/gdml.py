"""Plain twins of the GDML ops, float64 tensors, as the equations read. See pyff.ops.gdml for shapes and signs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "gdml_columns",
    "gdml_matrix",
    "gdml_product",
    "inverse_distances",
    "jacobian_product",
    "jacobian_transpose_product",
    "pair_indices",
    "profile",
]


def pair_indices(n_atoms: int, device=None) -> tuple[Tensor, Tensor]:
    """Atoms a > b of every descriptor entry: (1,0), (2,0), (2,1), (3,0), ..."""
    return tuple(torch.tril_indices(n_atoms, n_atoms, -1, device=device))


def _minimum_image(vec: Tensor, cell: Tensor, images: str) -> Tensor:
    rounded = vec - torch.round(vec @ torch.linalg.inv(cell)) @ cell
    if images == "round":
        return rounded
    steps = torch.tensor([-1.0, 0.0, 1.0], dtype=vec.dtype, device=vec.device)
    shifts = torch.cartesian_prod(steps, steps, steps) @ cell
    candidates = rounded[..., None, :] + shifts
    best = candidates.square().sum(-1).argmin(-1)
    return torch.take_along_dim(candidates, best[..., None, None], -2).squeeze(-2)


def inverse_distances(pos: Tensor, cell: Tensor | None = None, images: str = "search") -> tuple[Tensor, Tensor]:
    a, b = pair_indices(pos.shape[1], pos.device)
    vec = pos[:, a] - pos[:, b]
    if cell is not None:
        vec = _minimum_image(vec, cell, images)
    x = vec.square().sum(-1).rsqrt()
    return x, vec * x[..., None] ** 3


def jacobian_product(g: Tensor, v: Tensor) -> Tensor:
    a, b = pair_indices(v.shape[1], v.device)
    return (g * (v[:, b] - v[:, a])).sum(-1)


def jacobian_transpose_product(g: Tensor, u: Tensor) -> Tensor:
    n_atoms = (1 + math.isqrt(1 + 8 * u.shape[1])) // 2
    a, b = pair_indices(n_atoms, u.device)
    out = u.new_zeros(u.shape[0], n_atoms, 3)
    return out.index_add(1, b, g * u[..., None]).index_add(1, a, -g * u[..., None])


def profile(r2: Tensor, kernel) -> tuple[Tensor, Tensor, Tensor]:
    """k, g1 = -k'(r)/r and g2 = (k'' - k'/r)/r^2 as functions of r^2; all three are finite at 0."""
    s = kernel.sigma
    if kernel.profile == "rbf":
        k = torch.exp(-r2 / (2 * s**2))
        return k, k / s**2, k / s**4
    d = torch.sqrt(5 * r2)
    e = torch.exp(-d / s)
    return (1 + d / s + d**2 / (3 * s**2)) * e, 5 * (s + d) * e / (3 * s**3), 25 * e / (3 * s**4)


def gdml_product(query, train, coef, perms, kernel, coef_energy=None):
    f, energy = torch.zeros_like(query), query.new_zeros(query.shape[0])
    for perm in perms:
        t = query[:, None] - train[:, perm]  # [B, M, D]
        a = coef[:, perm]
        k, g1, g2 = profile(t.square().sum(-1), kernel)
        s = (t * a).sum(-1)
        w1, w2 = g2 * s, g1
        if coef_energy is not None:
            w1 = w1 + coef_energy * g1
            energy = energy + (coef_energy * k).sum(1)
        f = f + (w1[..., None] * t).sum(1) - w2 @ a
        energy = energy + (w2 * s).sum(1)
    return f, energy


def _jacobian(g: Tensor) -> Tensor:
    """Dense J [B, D, 3N]."""
    n = (1 + math.isqrt(1 + 8 * g.shape[1])) // 2
    eye = torch.eye(3 * n, dtype=g.dtype, device=g.device).reshape(3 * n, n, 3)
    return torch.stack([jacobian_product(g[k].expand(3 * n, -1, -1), eye).T for k in range(g.shape[0])])


def gdml_matrix(x1, g1, x2, g2, perms, kernel, energies=False):
    J1, J2 = _jacobian(g1), _jacobian(g2)
    (m1, d, n), m2 = J1.shape, J2.shape[0]
    eye = torch.eye(d, dtype=x1.dtype, device=x1.device)
    FF, FE, EF, EE = 0, 0, 0, 0
    for perm in perms:
        t = x1[:, None] - x2[:, perm]
        k, p1, p2 = profile(t.square().sum(-1), kernel)
        inner = p1[..., None, None] * eye - p2[..., None, None] * t[..., :, None] * t[..., None, :]
        J = J2[:, perm]
        FF = FF + torch.einsum("ida,ijde,jeb->iajb", J1, inner, J)
        FE = FE + torch.einsum("ida,ijd->iaj", J1, p1[..., None] * t)
        EF = EF - torch.einsum("jdb,ijd->ijb", J, p1[..., None] * t)
        EE = EE + k
    FF = FF.reshape(m1 * n, m2 * n)
    if not energies:
        return FF
    return torch.cat([torch.cat([FF, FE.reshape(m1 * n, m2)], 1), torch.cat([EF.reshape(m1, m2 * n), EE], 1)])


def gdml_columns(x1, g1, x2, g2, perms, kernel, columns, energies=False):
    return gdml_matrix(x1, g1, x2, g2, perms, kernel, energies)[:, columns]
