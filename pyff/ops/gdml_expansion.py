"""GDML expansions prepared for many evaluations: predictions of a model, products of a kernel matrix with vectors."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pyff.ops import gdml
from pyff.ops._check import require, require_device
from pyff.ops.gdml import GdmlKernel

__all__ = ["GdmlCovariance", "GdmlExpansion"]


class GdmlExpansion:
    """Energies and forces of positions from one GDML expansion, arranged once for the kernel.

        x, J = descriptors of pos and dx/dr,   f, E of `gdml_product`:   energy = E + constant,   forces = J^T f
        virial = dE/dstrain = sum_k f_k v_k v_k^T / |v_k|^3,   v_k = r_a - r_b of the nearest image

    Units are those of the data that the coefficients belong to. A factor of the expansion (std) belongs into the
    coefficients. The arrays are copied: later changes of the arguments have no effect.

    Args:
        train: descriptors of the training points, float64 [M, D], of `inverse_distances`.
        coef: coefficients J_j alpha_j, float64 [M, D].
        perms: int64 [P, D] of `descriptor_permutations`.
        coef_energy: coefficients of the training energies, float64 [M], or None.
        constant: added to the energies.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(
        self, train: Tensor, coef: Tensor, perms: Tensor, kernel: GdmlKernel, coef_energy: Tensor | None = None, *,
        constant: float = 0.0,
    ) -> None:  # fmt: skip
        _require_expansion("GdmlExpansion", train, coef, perms, coef_energy)
        self.kernel, self.constant = kernel, float(constant)
        self._arrays = (train.clone(), coef.clone(), perms.clone(), kernel)
        self._coef_energy = None if coef_energy is None else coef_energy.clone()

    def product(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """f [B, D] and E [B], without the constant, of descriptors float64 [B, D]; see `gdml_product`."""
        return gdml.gdml_product(query, *self._arrays, self._coef_energy)

    def predict(
        self, pos: Tensor, cell: Tensor | None = None, *, images: Literal["search", "round"] = "search",
        virial: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
        """Energies [B], forces [B, N, 3] and dE/dstrain [B, 3, 3] (None unless asked for) of positions [B, N, 3].

        cell: float64 [3, 3] or [B, 3, 3], rows are lattice vectors, or None; images: see `inverse_distances`.
        """
        if cell is None or cell.dim() == 2:
            x, g = gdml.inverse_distances(pos, cell, images)
        else:
            each = [gdml.inverse_distances(p[None], c, images) for p, c in zip(pos, cell)]
            x, g = (torch.cat(part) for part in zip(*each))
        f, energy = self.product(x)
        strained = torch.einsum("bd,bdi,bdj->bij", f / x**3, g, g) if virial else None
        return energy + self.constant, gdml.jacobian_transpose_product(g, f), strained


class GdmlCovariance:
    """The kernel matrix K of `gdml_matrix` as an operator that is never stored: `covariance(v)` is K v.

    Args:
        x: descriptors float64 [M, D]; g: their gradients float64 [M, D, 3], of `inverse_distances`.
        perms: int64 [P, D] of `descriptor_permutations`.
        energies: with rows and columns for the energies, after those of the forces.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(self, x: Tensor, g: Tensor, perms: Tensor, kernel: GdmlKernel, *, energies: bool = False) -> None:
        require("GdmlCovariance", "g", g, (*x.shape, 3), torch.float64)
        _require_expansion("GdmlCovariance", x, x, perms, None)
        self.x, self.g, self.perms, self.kernel, self.energies = x, g, perms, kernel, energies
        n_pairs = x.shape[1]
        self.n_atoms = (1 + round((1 + 8 * n_pairs) ** 0.5)) // 2

    @property
    def size(self) -> int:
        """Rows of K."""
        return self.x.shape[0] * (3 * self.n_atoms + self.energies)

    def __call__(self, v: Tensor) -> Tensor:
        """K v [n] of v float64 [n]; n = 3 N M, or (3 N + 1) M with energies."""
        require("GdmlCovariance", "v", v, (self.size,), torch.float64)
        m = self.x.shape[0]
        n_forces = 3 * self.n_atoms * m
        coef = gdml.jacobian_product(self.g, v[:n_forces].reshape(m, self.n_atoms, 3))
        coef_energy = -v[n_forces:] if self.energies else None
        f, energy = gdml.gdml_product(self.x, self.x, coef, self.perms, self.kernel, coef_energy)
        forces = -gdml.jacobian_transpose_product(self.g, f).reshape(-1)
        return torch.cat([forces, -energy]) if self.energies else forces


def _require_expansion(op: str, train: Tensor, coef: Tensor, perms: Tensor, coef_energy: Tensor | None) -> None:
    require(op, "train", train, (None, None), torch.float64)
    require(op, "coef", coef, tuple(train.shape), torch.float64)
    require(op, "perms", perms, (None, train.shape[1]), torch.int64)
    if coef_energy is not None:
        require(op, "coef_energy", coef_energy, (train.shape[0],), torch.float64)
    require_device(op, train.device, coef=coef, perms=perms, coef_energy=coef_energy)
