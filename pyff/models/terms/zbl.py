"""Nuclear repulsion with a screening function that is learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyff import ops
from pyff.batch import Geometry, GraphBatch
from pyff.nn.frozen import Frozen, weights_are_own
from pyff.units import CODATA_2014

__all__ = ["ZBL"]


class ZBL(nn.Module):
    """Ziegler-Biersack-Littmark repulsion over the short-range edges; the formula is that of ops.zbl_energy.

    Ten parameters, made positive by softplus: exponents a [4], weights c [4] (then normalised to sum 1), power P and
    inverse screening length D (1/A). They start at the universal screening function.

    Args:
        cutoff: the model's cutoff function.
        end: A, where the repulsion has fallen to zero (1.5 A in SO3LR); None: at the cutoff only (SpookyNet).
    """

    def __init__(self, cutoff: ops.Cutoff, *, end: float | None = 1.5) -> None:
        super().__init__()
        self.cutoff, self.end = cutoff, end
        self.exponents = _raw([3.20000, 0.94230, 0.40280, 0.20160])
        self.weights = _raw([0.18180, 0.50990, 0.28020, 0.02817])
        self.power = _raw(0.23)
        self.inverse_length = _raw(1 / (0.8854 * CODATA_2014.bohr))
        self._frozen = Frozen()

    def coefficients(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """a [4], c [4] with sum 1, P [], D [] in 1/A, float64."""
        a, c, power, inverse_length = (
            softplus(x.double(), threshold=100.0)
            for x in (self.exponents, self.weights, self.power, self.inverse_length)
        )
        return a, c / c.sum(), power, inverse_length

    def forward(self, batch: GraphBatch, geometry: Geometry) -> Tensor:
        """Energy of each atom [N], eV, float64."""
        if weights_are_own():  # a dozen small operations, and their places in the graph of the forces
            raw = (self.exponents, self.weights, self.power, self.inverse_length)
            coefficients = self._frozen(raw, self.coefficients)
        else:
            coefficients = self.coefficients()
        return ops.zbl_energy(
            geometry.pos, geometry.cell, batch.batch, batch, batch.Z, *coefficients,
            cutoff=self.cutoff, end=self.end,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"cutoff={self.cutoff}, end={self.end}"


def _raw(value) -> nn.Parameter:
    """The parameter whose softplus is value."""
    value = torch.tensor(value, dtype=torch.float64)
    return nn.Parameter((value + torch.log(-torch.expm1(-value))).to(torch.get_default_dtype()))
