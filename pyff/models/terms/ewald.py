"""Energy of partial charges in periodic systems, without a cutoff."""

from __future__ import annotations

from torch import Tensor, nn

from pyff import ops
from pyff.batch import Geometry, GraphBatch
from pyff.models.terms._pairs import float64_atoms, long_range
from pyff.ops.ewald import EWALD_METHODS

__all__ = ["EwaldElectrostatics"]


class EwaldElectrostatics(nn.Module):
    """E_i = k/2 sum_j sum_R q_i q_j h(|r_ij + R|) over the whole lattice; see ops.ewald_energy.

    Args:
        length: A; h = erf(r/length)/r (4 A in SO3LR), which needs no pairs. None: point charges, h = 1/r.
        long_range_cutoff: A, of the pairs of point charges: the model's needs must ask for them with this cutoff.
        accuracy: relative error of the forces.
        method: "ewald", "pme" or "auto", the one that takes less time.
    """

    def __init__(
        self, length: float | None = 4.0, long_range_cutoff: float | None = None, *, accuracy: float = 1e-6,
        method: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__()
        if (length is None) != (long_range_cutoff is not None):
            raise ValueError(
                "EwaldElectrostatics: long_range_cutoff belongs to point charges (length=None), which need it; "
                f"received long_range_cutoff={long_range_cutoff} with length={length}"
            )
        if method not in EWALD_METHODS:
            raise ValueError(f"method must be one of {', '.join(EWALD_METHODS)}; received {method!r}")
        ops.ewald_split(accuracy, cutoff=long_range_cutoff, length=length)  # refuses what is out of range
        self.length, self.long_range_cutoff, self.accuracy, self.method = length, long_range_cutoff, accuracy, method

    def forward(self, batch: GraphBatch, geometry: Geometry, charges: Tensor) -> Tensor:
        """Energy of each atom [N], eV, float64; charges [N] in e.

        Raises:
            ValueError: a structure that is not periodic in all three directions.
        """
        self._require_periodic(batch)
        return ops.ewald_energy(
            geometry.pos, geometry.cell, batch.batch, float64_atoms("EwaldElectrostatics", "charges", charges, batch),
            kind="point" if self.length is None else "damped", length=self.length,
            pairs=long_range("EwaldElectrostatics", batch) if self.length is None else None,
            cutoff=self.long_range_cutoff, accuracy=self.accuracy, method=self.method,
        )  # fmt: skip

    @staticmethod
    def _require_periodic(batch: GraphBatch) -> None:
        bad = (~batch.pbc.all(1)).nonzero().flatten().tolist()
        if not bad:
            return
        pbc = batch.pbc[bad[0]].tolist()
        advice = (
            "use Electrostatics with all pairs (long_range_cutoff=None)" if not any(pbc) else
            "make it periodic in all directions with at least three times its thickness of vacuum, or use "
            "Electrostatics with a long_range_cutoff"
        )  # fmt: skip
        raise ValueError(
            f"EwaldElectrostatics: structures must be periodic in all three directions; structure {bad[0]} has "
            f"pbc={pbc}: {advice}"
        )

    def extra_repr(self) -> str:
        kind = "point charges" if self.length is None else f"length={self.length}"
        return f"{kind}, long_range_cutoff={self.long_range_cutoff}, accuracy={self.accuracy}, method={self.method}"
