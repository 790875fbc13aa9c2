"""Kernel matrices of GDML force fields: rectangular, symmetric in place, chosen columns, the diagonal.

Equations, signs and shapes are those of `pyff.ops.gdml`. Rows come geometry by geometry, 3 atom + axis within each;
those of the energies, where wanted, after all forces.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyff.ops._check import kernel as kernel_on
from pyff.ops._check import require, require_device
from pyff.ops._gdml import PROFILES
from pyff.ops.gdml import GdmlKernel, descriptor_permutations

__all__ = ["gdml_columns", "gdml_diagonal", "gdml_gram", "gdml_matrix"]


def gdml_matrix(
    x1: Tensor, g1: Tensor, x2: Tensor, g2: Tensor, perms: Tensor, kernel: GdmlKernel, energies: bool = False, *,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Covariances of the forces of M1 and M2 geometries, K [3N M1, 3N M2].

        K_ij = sum_p J_i^T (g1 I - g2 t_p t_p^T) Pi_p J_j,    t_p = x_i - x_j[perm_p]

    Args:
        x1, g1: descriptors float64 [M1, D] and their gradients [M1, D, 3], of `inverse_distances`; x2, g2 likewise.
        perms: int64 [P, D] of `descriptor_permutations`.
        energies: append rows and columns for the energies, K [(3N + 1) M1, (3N + 1) M2].
        out: where to write K, contiguous along rows, of any row stride; a new tensor where None.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    n_atoms = _require("gdml_matrix", x1, g1, x2, g2, perms)
    shape = tuple(len(x) * (3 * n_atoms + energies) for x in (x1, x2))
    out = _target("gdml_matrix", out, shape, x1)
    _fill(out, (x1, g1), (x2, g2), _Permutations(perms, n_atoms), kernel, energies, upper=False)
    return out


def gdml_gram(
    x: Tensor, g: Tensor, perms: Tensor, kernel: GdmlKernel, energies: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """The upper triangle of `gdml_matrix` of M geometries with themselves, for half its cost.

    What is below the diagonal is undefined (with `out`, partly as it was). K is positive semidefinite: no forces
    translate or turn a molecule. What is written is all that Cholesky factorizations and eigensolvers read.

    Args:
        x, g, energies, out: see `gdml_matrix`.
        perms: int64 [P, D] of `descriptor_permutations` of a group; else K would not be symmetric.
    """
    n_atoms = _require("gdml_gram", x, g, x, g, perms)
    out = _target("gdml_gram", out, (len(x) * (3 * n_atoms + energies),) * 2, x)
    _fill(out, (x, g), (x, g), _Permutations(perms, n_atoms), kernel, energies, upper=True)
    return out


def gdml_columns(
    x1: Tensor, g1: Tensor, x2: Tensor, g2: Tensor, perms: Tensor, kernel: GdmlKernel, columns: Tensor,
    energies: bool = False,
) -> Tensor:  # fmt: skip
    """Columns of `gdml_matrix`, K[:, columns], without the others; columns int64 [C], in any order.

    The cost is that of distances between each geometry and those that own a column, and of the columns. Returns
    [3N M1 (+ M1), C], contiguous along its columns.
    """
    n_atoms = _require("gdml_columns", x1, g1, x2, g2, perms)
    require("gdml_columns", "columns", columns, (None,), torch.int64)
    require_device("gdml_columns", x1.device, columns=columns)
    width = len(x2) * (3 * n_atoms + energies)
    if len(columns) and (int(columns.min()) < 0 or int(columns.max()) >= width):
        raise ValueError(
            f"gdml_columns: columns must lie in 0 .. {width - 1}; received {int(columns.min())} .. {int(columns.max())}"
        )
    out = x1.new_empty(len(columns), len(x1) * (3 * n_atoms + energies))
    inverse = _Permutations(perms, n_atoms, inverse=True)
    owners = _Owners(columns, 3 * n_atoms, len(x2))
    rows, others = _Geometries(x1, g1), _Geometries(x2, g2)
    settings = inverse.settings(kernel, energies)
    arguments = (rows.args, others.args, settings, owners.args, out.data_ptr(), torch.get_num_threads())
    kernel_on("gdml_columns", x1.device)(*arguments)
    return out.T


def gdml_diagonal(x: Tensor, g: Tensor, perms: Tensor, kernel: GdmlKernel, energies: bool = False) -> Tensor:
    """The diagonal of `gdml_matrix` of M geometries with themselves, [3N M (+ M)]."""
    n_atoms = _require("gdml_diagonal", x, g, x, g, perms)
    permutations = _Permutations(perms, n_atoms)
    width = 3 * n_atoms
    diagonal, block = x.new_empty(len(x), width + energies), x.new_empty(width + energies, width + energies)
    for k in range(len(x)):
        one = (x[k : k + 1], g[k : k + 1])
        _fill(block, one, one, permutations, kernel, energies, upper=True)
        diagonal[k] = block.diagonal()
    return torch.cat([diagonal[:, :width].reshape(-1), diagonal[:, width:].reshape(-1)])


class _Permutations:
    """Permutations of atoms, as the kernels take them, from those of descriptors."""

    def __init__(self, perms: Tensor, n_atoms: int, *, inverse: bool = False) -> None:
        atoms = _atom_permutations(perms, n_atoms)
        self.atoms = (atoms.argsort(1) if inverse else atoms).contiguous()

    def settings(self, kernel: GdmlKernel, energies: bool) -> tuple:
        p, n = self.atoms.shape
        return n, p, self.atoms.data_ptr(), PROFILES[kernel.profile], float(kernel.sigma), energies


class _Geometries:
    def __init__(self, x: Tensor, g: Tensor) -> None:
        self.x, self.g = x.contiguous(), g.contiguous()
        self.args = (len(x), self.x.data_ptr(), self.g.data_ptr())


class _Owners:
    """Which columns, by the geometry that they belong to."""

    def __init__(self, columns: Tensor, width: int, m: int) -> None:
        of_energy = columns >= width * m
        point = torch.where(of_energy, columns - width * m, columns // width)
        component = torch.where(of_energy, width, columns % width)
        point, self.target = torch.sort(point, stable=True)
        self.component = component[self.target]
        self.point, counts = torch.unique_consecutive(point, return_counts=True)
        self.first = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        arrays = (self.point, self.first, self.component, self.target)
        self.args = (len(self.point), *(a.data_ptr() for a in arrays))


def _fill(out, first, second, permutations: _Permutations, kernel, energies: bool, *, upper: bool) -> None:
    rows = _Geometries(*first)
    columns = rows if upper else _Geometries(*second)
    settings = permutations.settings(kernel, energies)
    stride, threads = max(out.stride(0), 1), torch.get_num_threads()
    kernel_on("gdml_matrix", out.device)(rows.args, columns.args, settings, upper, out.data_ptr(), stride, threads)


def _atom_permutations(perms: Tensor, n_atoms: int) -> Tensor:
    """The permutations of atoms [P, N] that make those of descriptors [P, D]."""
    atoms = torch.arange(n_atoms, device=perms.device).repeat(len(perms), 1)
    if n_atoms > 2 and len(perms):
        # entries of the pairs (c, 0): both atoms of each image; atom 0's is in all of them
        c = torch.arange(1, n_atoms, device=perms.device)
        a, b = torch.tril_indices(n_atoms, n_atoms, -1, device=perms.device)
        image = perms[:, c * (c - 1) // 2]
        high, low = a[image], b[image]
        first = torch.where((high[:, 0] == high[:, 1]) | (high[:, 0] == low[:, 1]), high[:, 0], low[:, 0])
        atoms[:, 0] = first
        atoms[:, 1:] = high + low - first[:, None]
    bijective = torch.equal(atoms.sort(1).values, torch.arange(n_atoms, device=perms.device).expand_as(atoms))
    if not bijective or not torch.equal(descriptor_permutations(atoms.cpu()), perms.cpu()):
        raise ValueError(
            "perms must be permutations of descriptors by permutations of atoms: use descriptor_permutations"
        )
    return atoms


def _require(op: str, x1: Tensor, g1: Tensor, x2: Tensor, g2: Tensor, perms: Tensor) -> int:
    """Checks what all of these functions take; returns the number of atoms."""
    require(op, "x1", x1, (None, None), torch.float64)
    d = x1.shape[1]
    n_atoms = (1 + math.isqrt(1 + 8 * d)) // 2
    if n_atoms * (n_atoms - 1) // 2 != d:
        raise ValueError(f"{op}: x1 must have N (N - 1) / 2 columns, one per pair of atoms; received {d}")
    require(op, "g1", g1, (x1.shape[0], d, 3), torch.float64)
    require(op, "x2", x2, (None, d), torch.float64)
    require(op, "g2", g2, (x2.shape[0], d, 3), torch.float64)
    require(op, "perms", perms, (None, d), torch.int64)
    require_device(op, x1.device, g1=g1, x2=x2, g2=g2, perms=perms)
    if len(perms) == 0:
        raise ValueError(f"{op}: perms must hold at least the identity; received none")
    if d and (int(perms.min()) < 0 or int(perms.max()) >= d):
        raise ValueError(f"{op}: perms must lie in 0 .. {d - 1}; received {int(perms.min())} .. {int(perms.max())}")
    return n_atoms


def _target(op: str, out: Tensor | None, shape: tuple[int, int], like: Tensor) -> Tensor:
    if out is None:
        return like.new_empty(shape)
    require(op, "out", out, shape, torch.float64)
    require_device(op, like.device, out=out)
    if out.numel() and (out.stride(1) != 1 or out.stride(0) < shape[1]):
        raise ValueError(f"{op}: out must be contiguous along its rows; received strides {out.stride()}")
    return out
