"""GDML expansions prepared for many evaluations: predictions of a model, products of a kernel matrix with vectors."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pyff.ops import _gdml, gdml
from pyff.ops._check import address, kernel, require, require_device
from pyff.ops._gdml_translations import arranged
from pyff.ops._lattice import reduced
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
        op = "GdmlExpansion"
        _gdml.require_expansion(op, train, coef, perms, coef_energy)
        self.n_atoms = gdml.atoms_of(op, train.shape[1])
        self.constant, self.device = float(constant), train.device
        self._packed = arranged(train, coef, perms, kernel, coef_energy)
        self._is_fused = isinstance(self._packed, _gdml.PackedExpansion) and train.device.type == "cpu"

    def product(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """f [B, D] and E [B], without the constant, of descriptors float64 [B, D]; see `gdml_product`."""
        require("GdmlExpansion", "query", query, (None, self.n_atoms * (self.n_atoms - 1) // 2), torch.float64)
        require_device("GdmlExpansion", self.device, query=query)
        return self._packed.product(query.contiguous())

    def predict(
        self, pos: Tensor, cell: Tensor | None = None, *, images: Literal["search", "round"] = "search",
        virial: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
        """Energies [B], forces [B, N, 3] and dE/dstrain [B, 3, 3] (None unless asked for) of positions [B, N, 3].

        cell: float64 [3, 3] or [B, 3, 3], rows are lattice vectors, or None; images: see `inverse_distances`.
        """
        self._require_geometry(pos, cell, images)
        if not self._is_fused:
            return self._predict_in_steps(pos, cell, images, virial)
        pos = pos.contiguous()
        if cell is not None:
            cell = (reduced(cell) if images == "search" else cell).contiguous()
        b = pos.shape[0]
        energy, forces = pos.new_empty(b), torch.empty_like(pos)
        strained = pos.new_empty(b, 3, 3) if virial else None
        stride = 9 if cell is not None and cell.dim() == 3 else 0
        geometry = (b, self.n_atoms, pos.data_ptr(), address(cell), stride, _gdml.IMAGES[images])
        outputs = (energy.data_ptr(), forces.data_ptr(), address(strained))
        threads = torch.get_num_threads()
        kernel("gdml_predict", self.device)(self._packed.args, geometry, self.constant, outputs, threads)
        return energy, forces, strained

    def _require_geometry(self, pos: Tensor, cell: Tensor | None, images: str) -> None:
        op = "GdmlExpansion"
        require(op, "pos", pos, (None, self.n_atoms, 3), torch.float64)
        if cell is not None:
            require(op, "cell", cell, (3, 3) if cell.dim() == 2 else (pos.shape[0], 3, 3), torch.float64)
            if images not in _gdml.IMAGES:
                raise ValueError(f"{op}: images must be search or round; received {images!r}")
        require_device(op, self.device, pos=pos, cell=cell)

    def _predict_in_steps(self, pos: Tensor, cell: Tensor | None, images: str, virial: bool):
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
        perms: int64 [P, D] of `descriptor_permutations`, a group.
        energies: with rows and columns for the energies, after those of the forces.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(self, x: Tensor, g: Tensor, perms: Tensor, kernel: GdmlKernel, *, energies: bool = False) -> None:
        op = "GdmlCovariance"
        _gdml.require_expansion(op, x, x, perms, None)
        require(op, "g", g, (*x.shape, 3), torch.float64)
        require_device(op, x.device, g=g)
        self.n_atoms, self.n_points, self.energies = gdml.atoms_of(op, x.shape[1]), x.shape[0], energies
        self._x, self._g = x.contiguous(), g.contiguous()
        self._packed = arranged(x, torch.zeros_like(x), perms, kernel, None)

    @property
    def size(self) -> int:
        """Rows of K."""
        return self.n_points * (3 * self.n_atoms + self.energies)

    def __call__(self, v: Tensor) -> Tensor:
        """K v [n] of v float64 [n]; n = 3 N M, or (3 N + 1) M with energies."""
        require("GdmlCovariance", "v", v, (self.size,), torch.float64)
        n_forces = 3 * self.n_atoms * self.n_points
        coef = gdml.jacobian_product(self._g, v[:n_forces].reshape(self.n_points, self.n_atoms, 3))
        coef_energy = -v[n_forces:] if self.energies else None
        f, energy = self._packed.with_coefficients(coef, coef_energy).product(self._x)
        forces = gdml.jacobian_transpose_product(self._g, f).neg_().reshape(-1)
        return torch.cat([forces, -energy]) if self.energies else forces
