"""Energy of partial charges."""

from __future__ import annotations

from torch import Tensor, nn

from pyff import ops
from pyff.batch import Geometry, GraphBatch
from pyff.models.terms._pairs import checked_cutoff, float64_atoms, long_range

__all__ = ["Electrostatics"]


class Electrostatics(nn.Module):
    """E_i = 1/2 sum_j k q_i q_j h(r_ij) over the long-range pairs; see ops.coulomb_energy for the kinds of h.

    Args:
        length: A; damping length of kind "damped" (4 A in SO3LR), local cutoff of kind "softened" (SpookyNet).
        long_range_cutoff: A; None: all pairs of open structures, without a switch.
        kind: "damped", "softened", "point" or "erfc".
    """

    def __init__(self, length: float = 4.0, long_range_cutoff: float | None = None, *, kind: str = "damped") -> None:
        super().__init__()
        self.length, self.long_range_cutoff, self.kind = float(length), checked_cutoff(long_range_cutoff), kind

    def forward(self, batch: GraphBatch, geometry: Geometry, charges: Tensor) -> Tensor:
        """Energy of each atom [N], eV, float64; charges [N] in e."""
        return ops.coulomb_energy(
            geometry.pos, geometry.cell, batch.batch, long_range("Electrostatics", batch),
            float64_atoms("Electrostatics", "charges", charges, batch),
            kind=self.kind, length=self.length, cutoff=self.long_range_cutoff,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"kind={self.kind}, length={self.length}, long_range_cutoff={self.long_range_cutoff}"
