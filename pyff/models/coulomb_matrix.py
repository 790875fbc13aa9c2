"""Coulomb matrices, and three ways to make them independent of the order of the atoms.

    C_ii = Z_i^2.4 / 2        C_ij = Z_i Z_j / |r_i - r_j|,   r in Bohr

M structures of up to n atoms, padded: atomic numbers [M, n], zero where there is no atom, positions [M, n, 3] in A.
Sources: Rupp et al., Phys. Rev. Lett. 108, 058301 (2012); Hansen et al., J. Chem. Theory Comput. 9, 3404 (2013).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pyff.units import LENGTH

__all__ = ["coulomb_matrices", "eigenvalues", "norm_sorted", "randomly_sorted"]


def coulomb_matrices(Z: Tensor, pos: Tensor) -> Tensor:
    """Coulomb matrices float64 [M, n, n], Hartree; rows and columns of missing atoms are zero."""
    charge = Z.double()
    r = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist") / LENGTH["Bohr"]
    diagonal = torch.eye(Z.shape[1], dtype=torch.bool, device=Z.device)
    absent = diagonal | (Z == 0)[:, :, None] | (Z == 0)[:, None, :]
    pairs = torch.where(absent, 0.0, charge[:, :, None] * charge[:, None, :] / torch.where(absent, 1.0, r))
    return pairs + torch.diag_embed(0.5 * charge**2.4)


def eigenvalues(C: Tensor) -> Tensor:
    """Eigenvalues by descending magnitude [M, n]. Different molecules may share them."""
    values = torch.linalg.eigvalsh(C)
    return values.take_along_dim(values.abs().argsort(dim=1, descending=True, stable=True), 1)


def norm_sorted(C: Tensor) -> Tensor:
    """Lower triangles [M, n (n + 1) / 2], diagonal included, rows and columns by descending norm of the row.

    A complete description, but it jumps where two norms cross; equivalent atoms keep the order of the input.
    """
    return _lower_triangle(_by_norm(C))


def randomly_sorted(C: Tensor, noise: Tensor) -> Tensor:
    """Lower triangles [M, T, n (n + 1) / 2] of T orders per structure: by descending norm of the row plus noise.

    noise: [M, T, n], or [1, T, n] for all structures alike, Hartree; added to norms sorted already, so that
    the order of the input does not matter.
    """
    C = _by_norm(C)
    order = (torch.linalg.vector_norm(C, dim=2)[:, None] + noise).argsort(dim=2, descending=True, stable=True)
    # missing atoms stay at the end
    return _lower_triangle(_permuted(C[:, None], _present_first(C, order)))


def _by_norm(C: Tensor) -> Tensor:
    return _permuted(C, torch.linalg.vector_norm(C, dim=2).argsort(dim=1, descending=True, stable=True))


def _present_first(C: Tensor, order: Tensor) -> Tensor:
    absent = (C.diagonal(dim1=1, dim2=2) == 0)[:, None].expand_as(order).take_along_dim(order, 2)
    return order.take_along_dim(absent.int().argsort(dim=2, stable=True), 2)


def _permuted(C: Tensor, order: Tensor) -> Tensor:
    return C.take_along_dim(order[..., :, None], -2).take_along_dim(order[..., None, :], -1)


def _lower_triangle(C: Tensor) -> Tensor:
    i, j = torch.tril_indices(C.shape[-1], C.shape[-1], device=C.device)
    return C[..., i, j]
