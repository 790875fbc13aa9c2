"""Dispersion of quantum Drude oscillators scaled by Hirshfeld ratios."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyff import ops
from pyff.batch import Geometry, GraphBatch
from pyff.models.terms import free_atoms
from pyff.models.terms._pairs import checked_cutoff, float64_atoms, long_range

__all__ = ["Dispersion"]


class Dispersion(nn.Module):
    """E_i = 1/2 sum_j e(r_ij; alpha, C6) over the long-range pairs, alpha_i = alpha_Z h_i, C6_i = C6_Z h_i^2.

    h are the Hirshfeld ratios, alpha_Z and C6_Z the free atom's (pyff.models.terms.free_atoms, Z <= 102); the formula
    is that of ops.dispersion_energy.

    Args:
        long_range_cutoff: A; None: all pairs of open structures, without a switch.
        width: A over which the energy is switched off before the cutoff.
        scale: of the damping radius.
    """

    def __init__(
        self, long_range_cutoff: float | None = None, *, width: float = 2.0, scale: float = 1.2
    ) -> None:  # fmt: skip
        super().__init__()
        self.long_range_cutoff, self.width, self.scale = checked_cutoff(long_range_cutoff), float(width), float(scale)
        table = torch.tensor([(0.0, 0.0), *zip(free_atoms.POLARIZABILITY, free_atoms.C6)], dtype=torch.float64)
        self.register_buffer("_free_atoms", table, persistent=False)

    def _apply(self, fn, *args, **kwargs):
        table = self._free_atoms
        super()._apply(fn, *args, **kwargs)
        self._free_atoms = table.to(self._free_atoms.device)  # model.float() must not round the table
        return self

    def forward(self, batch: GraphBatch, geometry: Geometry, hirshfeld: Tensor) -> Tensor:
        """Energy of each atom [N], eV, float64; hirshfeld [N]: ratios of the volumes in the molecule and of the free
        atom, positive."""
        if batch.n_atoms and int(batch.Z.max()) > free_atoms.LAST_Z:
            raise ValueError(
                f"Dispersion: Z must be at most {free_atoms.LAST_Z}, the last element with free-atom data; received "
                f"{int(batch.Z.max())}"
            )
        ratio = float64_atoms("Dispersion", "hirshfeld", hirshfeld, batch)
        alpha, c6 = self._free_atoms[batch.Z].unbind(1)
        return ops.dispersion_energy(
            geometry.pos, geometry.cell, batch.batch, long_range("Dispersion", batch), alpha * ratio, c6 * ratio**2,
            scale=self.scale, cutoff=self.long_range_cutoff, width=self.width,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"long_range_cutoff={self.long_range_cutoff}, width={self.width}, scale={self.scale}"
